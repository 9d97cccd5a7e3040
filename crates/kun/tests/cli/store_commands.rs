//! `models`, `pull` and `rm`, without a network.

use crate::kun::Scratch;

#[test]
fn the_catalogue_is_listed_with_what_is_here() {
    let scratch = Scratch::new();
    let json = scratch.run(["models", "--json"]).json();
    let rows = json.as_array().expect("a list");
    let small = rows.iter().find(|row| row["name"] == "smollm2:135m").expect("the default model is listed");
    let keys: Vec<&String> = small.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["name", "bytes", "licence", "description", "here", "path"]);
    assert_eq!((small["here"].as_bool(), small["path"].is_null()), (Some(false), true));
    assert!(rows.iter().any(|row| row["name"] == "gemma3:270m"));
    let table = scratch.run(["models"]).output();
    assert!(table.lines().any(|line| line.starts_with("smollm2:135m") && line.contains(" no ")), "{table}");
}

#[test]
fn what_is_not_here_cannot_be_removed_or_fetched_without_a_network() {
    let scratch = Scratch::new();
    scratch.run(["rm", "smollm2:135m"]).fails(4, &["smollm2:135m", "kun models"]);
    for line in [
        &["pull", "smollm2:135m"][..],
        &["run", "Why is the sea salty?"],
        &["inspect", "hf:someone/something"],
    ] {
        scratch.run(line).fails(4, &["HF_HUB_OFFLINE"]);
    }
    scratch.run(["pull", "nonsense"]).fails(2, &["nonsense", "smollm2:135m"]);
}

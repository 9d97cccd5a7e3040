//! What servers are sent.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::kun::{Scratch, end};
use crate::server::{Answer, Server, completion};

/// A server that answers every request at once.
fn quick() -> Server {
    Server::start(|_, _| Answer::stream(&completion(9, 0, 3), Duration::ZERO))
}

/// The prompts that a load sent, in an order that does not depend on threads.
fn prompts(flags: &[&str]) -> Vec<String> {
    let server = quick();
    Scratch::new().run([&["load", &server.url()], flags].concat()).output();
    let asked = server.asked("/v1/completions");
    let mut prompts: Vec<String> = asked.iter().map(|asked| asked.body["prompt"].to_string()).collect();
    prompts.sort_unstable();
    prompts
}

#[test]
fn the_same_run_sends_the_same_to_another_server() {
    let flags = ["--requests", "20", "--concurrency", "4", "--prompt-tokens", "20-40"];
    let first = prompts(&flags);
    assert_eq!(first, prompts(&flags));
    assert_ne!(first, prompts(&[&flags[..], &["--seed", "2"]].concat()));
    // Neither the pace nor the number of streams changes what is sent.
    assert_eq!(first, prompts(&["--requests", "20", "--rate", "500", "--prompt-tokens", "20-40"]));
    let lengths = first.iter().map(|prompt| prompt.split(',').count());
    assert!(
        lengths.clone().all(|length| (20..=40).contains(&length)) && lengths.max() > Some(25),
        "{first:?}"
    );
}

#[test]
fn prefixes_are_shared_as_asked() {
    let sent = prompts(&[
        "--requests",
        "6",
        "--prompt-tokens",
        "40",
        "--shared-prefix",
        "0.5",
        "--prefix-groups",
        "2",
    ]);
    let ids: Vec<Vec<u64>> = sent.iter().map(|prompt| serde_json::from_str(prompt).expect("ids")).collect();
    let mut prefixes: Vec<&[u64]> = ids.iter().map(|ids| &ids[..20]).collect();
    prefixes.dedup();
    assert_eq!(prefixes.len(), 2, "{prefixes:?}");
    let mut rests: Vec<&[u64]> = ids.iter().map(|ids| &ids[20..]).collect();
    rests.sort_unstable();
    rests.dedup();
    assert_eq!(rests.len(), 6);
}

#[test]
fn key_and_headers_are_sent_and_not_told() {
    for (flags, variable, expect) in [
        (&["--key", "from-flag"][..], "from-variable", "Bearer from-flag"),
        (&[], "from-variable", "Bearer from-variable"),
        (&["--header", "Authorization: Basic own"], "from-variable", "Basic own"),
    ] {
        let server = quick();
        let scratch = Scratch::new();
        let page = scratch.path("page.html");
        let mut command = scratch.command(["load", &server.url(), "--json", "--header", "X-Team: a b"]);
        command.args(flags).arg("--html").arg(&page).env("OPENAI_API_KEY", variable);
        let told = end(&mut command).output() + &std::fs::read_to_string(page).expect("it was written");
        for path in ["/v1/models", "/tokenize", "/v1/completions"] {
            for asked in server.asked(path) {
                assert_eq!(
                    (asked.header("authorization"), asked.header("x-team")),
                    (Some(expect), Some("a b"))
                );
            }
        }
        assert!(!told.contains("from-") && !told.contains("own\""), "{told}");
    }
}

#[test]
fn words_are_calibrated_where_there_are_no_token_ids() {
    // A template of 20 tokens, and two for each word.
    let count = |asked: &crate::server::Asked| {
        let text = asked.body["messages"][0]["content"].as_str().expect("a text");
        20 + 2 * text.split(' ').count()
    };
    let server = Server::start(move |asked, _| match asked.body["stream"].as_bool() {
        Some(true) => Answer::stream(&completion(count(asked), 0, 3), Duration::ZERO),
        _ => {
            let usage = json!({"prompt_tokens": count(asked), "completion_tokens": 1});
            Answer::json(
                200,
                &json!({"choices": [{"message": {"content": "a"}, "finish_reason": "length"}], "usage": usage}),
            )
        }
    });
    let flags = ["--api", "chat", "--requests", "3", "--prompt-tokens", "100"];
    let json = Scratch::new().run([&["load", &server.url(), "--json"], &flags[..]].concat()).json();
    assert_eq!(
        (&json["input_tokens"], &json["settings"]["prompts"]),
        (&json!(300), &json!("words")),
        "{json}"
    );
    assert_eq!(server.asked("/v1/chat/completions").len(), 5);
    assert!(server.asked("/tokenize").is_empty());
}

#[test]
fn without_a_tokenizer_and_without_counts_words_are_taken_for_tokens() {
    let server = Server::bare(|asked| match (asked.path.as_str(), asked.body["stream"].as_bool()) {
        ("/v1/completions", Some(true)) => Answer::stream(&completion(9, 0, 3), Duration::ZERO),
        ("/v1/completions", _) => {
            Answer::json(200, &json!({"choices": [{"text": "a", "finish_reason": "stop"}]}))
        }
        _ => Answer::json(404, &json!({"detail": "Not Found"})),
    });
    let line = ["load", &server.url(), "--model", "m", "--requests", "1", "--prompt-tokens", "50"];
    let ended = Scratch::new().run(line);
    assert!(ended.stderr.contains("a word is taken for a token"), "{ended:?}");
    assert_eq!(ended.code, Some(0));
    let asked = server.asked("/v1/completions");
    let words =
        asked.last().and_then(|asked| asked.body["prompt"].as_str()).expect("a text").split(' ').count();
    assert_eq!((words, server.asked("/tokenize").len()), (50, 2));
}

#[test]
fn prompts_of_a_file_are_sent_in_turn() {
    let scratch = Scratch::new();
    let plain = scratch.file("prompts.txt", "first line\n\n{not json}\n");
    let objects = scratch.file(
        "prompts.jsonl",
        "{\"prompt\": [1, 2], \"max_tokens\": 7}\n{\"prompt\": \"text\", \"note\": \"x\"}\n",
    );
    for (file, prompts, max_tokens) in [
        (&plain, [json!("first line"), json!("{not json}"), json!("first line")], [128, 128, 128]),
        (&objects, [json!([1, 2]), json!("text"), json!([1, 2])], [7, 128, 7]),
    ] {
        let server = quick();
        let path = file.to_str().expect("UTF-8");
        scratch.run(["load", &server.url(), "--prompts", path, "--requests", "3"]).output();
        let asked = server.asked("/v1/completions");
        let sent: Vec<&Json> = asked.iter().map(|asked| &asked.body["prompt"]).collect();
        assert_eq!(sent, prompts.iter().collect::<Vec<_>>());
        let lengths: Vec<_> = asked.iter().filter_map(|asked| asked.body["max_tokens"].as_u64()).collect();
        assert_eq!(lengths, max_tokens);
    }
}

#[test]
fn what_warms_up_does_not_count() {
    let server = quick();
    let line =
        ["load", &server.url(), "--json", "--warmup", "5", "--requests", "3", "--shared-prefix", "0.5"];
    let json = Scratch::new().run(line).json();
    assert_eq!(json["requests"]["sent"], 3);
    let asked = server.asked("/v1/completions");
    let mut prompts: Vec<String> = asked.iter().map(|asked| asked.body["prompt"].to_string()).collect();
    prompts.sort_unstable();
    prompts.dedup();
    assert_eq!((asked.len(), prompts.len()), (8, 8));
    let full = Server::start(|_, number| match number {
        0 => Answer::json(429, &json!({"error": {"message": "full"}})),
        _ => Answer::stream(&completion(9, 0, 3), Duration::ZERO),
    });
    let ended = Scratch::new().run(["load", &full.url(), "--warmup", "1", "--requests", "1"]);
    assert_eq!(ended.stderr, "warmup: 1 failed (429), at first: HTTP 429: full\n", "{ended:?}");
    assert!(ended.stdout.contains("1 ok, 0 failed"), "{ended:?}");
}

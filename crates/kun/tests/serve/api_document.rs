//! docs/api.md: each of its curl lines is run as it stands there, against the default model.

use std::process::Command;

use serde_json::Value;

use crate::kun::Scratch;
use crate::server::Server;

const DOCUMENT: &str = include_str!("../../../../docs/api.md");

#[test]
fn every_line_of_the_document_works() {
    let Some(model) = crate::real::model() else { return };
    let scratch = Scratch::new();
    // The document calls the model by the name that it has in the catalogue.
    let alias = format!("smollm2:135m={}", model.display());
    let state = scratch.path("state");
    let flags = ["--alias", &alias, "--state-dir", state.to_str().expect("UTF-8")];
    let server = Server::with_models(scratch, &[model.to_str().expect("UTF-8")], &flags);
    let (mut file, mut batch) = (String::new(), String::new());
    let lines: Vec<&str> =
        DOCUMENT.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(lines.len() >= 25, "only {} examples", lines.len());
    for line in lines {
        assert!(line.starts_with("curl http://localhost:8080/"), "{line}");
        let line = line.replacen(
            "curl http://localhost:8080",
            &format!("curl -sS --fail-with-body http://{}", server.address),
            1,
        );
        let line = line.replace("FILE_ID", &file).replace("BATCH_ID", &batch);
        let output = Command::new("sh").arg("-c").arg(&line).output().expect("sh and curl are there");
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}\n{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let id = answer["id"].as_str().unwrap_or_default().to_owned();
        match answer["object"].as_str() {
            Some("file") => file = id,
            Some("batch") => batch = id,
            _ => {}
        }
    }
}

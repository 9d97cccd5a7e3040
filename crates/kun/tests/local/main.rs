//! A model in this process, as other languages have it: the library of the binary, without the binary.

#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "../cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
#[path = "../cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

use ::kun::local::{Kind, Local, Opening};
use engine::request::{FinishReason, Request};
use serde_json::{Value, json};
use server::InProcess;
use tokio::runtime::Runtime;

use kun::Scratch;

const SETTINGS: &[(&str, &str)] = &[("ctx", "64"), ("threads", "1"), ("memory", "512MiB")];

fn post(runtime: &Runtime, service: &InProcess, path: &str, body: &Value) -> (u16, Value) {
    let (status, bytes) = runtime.block_on(async {
        let answer = service.call("POST".parse().expect("a method"), path, body.to_string()).await;
        (answer.status.as_u16(), answer.body.all().await.expect("a whole body"))
    });
    (status, serde_json::from_slice(&bytes).expect("JSON"))
}

#[test]
fn text_goes_through_the_routes_and_token_ids_to_the_engine() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "tiny.gguf");
    let mut loaded = 0.0;
    let mut told = |opening: Opening<'_>| {
        let Opening::Loading(share) = opening else { panic!("a path is not fetched: {opening:?}") };
        loaded = share;
    };
    let local = Local::open(Some(path.as_os_str()), SETTINGS, &mut told).expect("it can be opened");
    assert_eq!((local.name.as_str(), loaded), ("tiny", 1.0));
    assert_eq!(local.handle.limits().context_tokens, 64);
    let runtime = Runtime::new().expect("a runtime");

    let prompt = local.tokenizer.encode_prompt("ab", text::tokenizer::Specials::Parse);
    let ask = json!({"prompt": "ab", "max_tokens": 5, "temperature": 0, "ignore_eos": true, "return_token_ids": true});
    let (status, answer) = post(&runtime, &local.service, "/v1/completions", &ask);
    assert_eq!(status, 200, "{answer}");
    let through_routes: Vec<u32> =
        serde_json::from_value(answer["choices"][0]["token_ids"].clone()).expect("ids");
    let mut straight = Vec::new();
    for chunk in local.handle.submit(Request::new(prompt, 5)).expect("it is taken") {
        straight.extend(chunk.tokens);
    }
    assert_eq!((through_routes.len(), &through_routes), (5, &straight));

    let (status, answer) =
        post(&runtime, &local.service, "/v1/completions", &json!({"prompt": "a", "min_p": 7}));
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("min_p")), "{answer}");
    let (status, _) = post(&runtime, &local.service, "/v1/nothing", &json!({}));
    assert_eq!(status, 404);
}

#[test]
fn a_stream_comes_in_pieces_and_ends_with_the_service() {
    let scratch = Scratch::new();
    let path = model::write(&scratch, "tiny.gguf");
    let local = Local::open(Some(path.as_os_str()), SETTINGS, &mut |_| ()).expect("it can be opened");
    let runtime = Runtime::new().expect("a runtime");
    let ask = json!({"prompt": "ab", "max_tokens": 8, "ignore_eos": true, "stream": true});
    let frames = runtime.block_on(async {
        let mut answer =
            local.service.call("POST".parse().expect("a method"), "/v1/completions", ask.to_string()).await;
        let mut frames = Vec::new();
        while let Some(bytes) = answer.body.next().await {
            frames.push(bytes.expect("bytes"));
        }
        frames
    });
    assert!(frames.len() > 2, "{frames:?}");
    assert!(frames.last().expect("some").ends_with(b"data: [DONE]\n\n"), "{frames:?}");

    local.shut_down();
    let (status, answer) = post(&runtime, &local.service, "/v1/completions", &json!({"prompt": "a"}));
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("shutting_down")), "{answer}");
    let generation = local.handle.submit(Request::new(vec![1], 4));
    let ended = generation.map(|chunks| chunks.last().and_then(|chunk| chunk.finished).map(|f| f.reason));
    assert!(matches!(ended, Err(_) | Ok(Some(FinishReason::Cancelled))), "{ended:?}");
}

#[test]
fn what_cannot_be_opened_is_told_by_its_kind() {
    let open = |model: &str, settings: &[(&str, &str)]| {
        let failure = Local::open(Some(model.as_ref()), settings, &mut |_| ()).expect_err(model);
        (failure.kind(), failure.to_string())
    };
    let (kind, told) = open("/nowhere/x.gguf", SETTINGS);
    assert_eq!(kind, Kind::Io, "{told}");
    for (setting, part) in
        [(("memory", "much"), "--memory"), (("ctx", "1"), "--ctx"), (("ctxt", "64"), "ctxt is no setting")]
    {
        let (kind, told) = open("/nowhere/x.gguf", &[setting]);
        assert!(kind == Kind::Usage && told.contains(part), "{told}");
    }
}

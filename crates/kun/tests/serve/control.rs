//! How a request steers what is said: samplers and their order, biases and banned texts, budgets for thinking, and the
//! guard where an answer has a form.

use serde_json::{Value, json};

use crate::server::Server;
use crate::vocabulary::{HELL, SIZE};
use crate::wire::with;

const CHAT: &str = "/v1/chat/completions";
const COMPLETION: &str = "/v1/completions";

fn completion(more: Value) -> Value {
    with(json!({"prompt": "hello", "temperature": 1, "seed": 5, "max_tokens": 40, "ignore_eos": true}), more)
}

fn text(server: &Server, more: Value) -> String {
    let answer = server.post(COMPLETION, &completion(more)).json(200);
    answer["choices"][0]["text"].as_str().expect("text").to_owned()
}

fn streamed(server: &Server, more: Value) -> String {
    let reply = server.post(COMPLETION, &completion(with(more, json!({"stream": true}))));
    let events = reply.events();
    let chunks = events.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["text"].as_str().map(str::to_owned)).collect()
}

fn refused(server: &Server, more: Value, param: &str, part: &str) {
    let error = server.post(COMPLETION, &completion(more)).json(400)["error"].take();
    assert_eq!(error["param"], param, "{error}");
    assert!(error["message"].as_str().expect("a message").contains(part), "{error}");
}

#[test]
fn samplers_come_in_the_order_that_is_asked_for() {
    let server = Server::start(&[]);
    let usual = text(&server, json!({"top_k": 5, "min_p": 0.3}));
    let all =
        ["penalties", "dry", "lz", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"];
    assert_eq!(text(&server, json!({"top_k": 5, "min_p": 0.3, "samplers": all})), usual);
    // Three letters that are about as probable as each other.
    let letters = |more: Value| {
        let three = json!({"logit_bias": [["abc", 100]], "temperature": 2, "max_tokens": 100});
        text(&server, with(three, more))
    };
    let different = |text: &str| text.chars().collect::<std::collections::BTreeSet<_>>().len();
    let two = letters(json!({"top_k": 1, "samplers": ["temperature", "top_k"]}));
    assert_ne!(two, letters(json!({"top_k": 1, "samplers": ["temperature"]})), "top_k is off");
    assert!(different(&letters(json!({"samplers": ["temperature"]}))) > 1);
    // Heated first, more of them are probable enough.
    let few = letters(json!({"min_p": 0.5, "samplers": ["min_p", "temperature"]}));
    let more = letters(json!({"min_p": 0.5, "samplers": ["temperature", "min_p"]}));
    assert_ne!(few, more);
    let one = text(&server, json!({"temperature": 2, "top_k": 1, "samplers": ["top_k"]}));
    assert_eq!(one, text(&server, json!({"temperature": 0})));
    refused(&server, json!({"samplers": ["top_k", "best"]}), "samplers[1]", "typ_p");
    refused(&server, json!({"samplers": ["xtc", "xtc"]}), "samplers[1]", "already");
}

#[test]
fn mirostat_and_lz_and_windows_change_what_is_said() {
    let server = Server::start(&[]);
    let plain = text(&server, json!({}));
    let one = text(&server, json!({"mirostat": 1, "mirostat_tau": 1}));
    let two = text(&server, json!({"mirostat": 2, "mirostat_tau": 1}));
    assert!(one != plain && two != plain);
    assert_eq!(
        two,
        text(&server, json!({"mirostat": 2, "mirostat_tau": 1, "top_k": 1})),
        "it takes their place"
    );
    let ollama = |options: Value| {
        let asked = json!({"prompt": "hello", "raw": true, "stream": false, "options": options});
        server.post("/api/generate", &asked).json(200)["response"].as_str().expect("text").to_owned()
    };
    let options = json!({"num_predict": 20, "temperature": 1, "seed": 5});
    let plain = ollama(options.clone());
    for more in [json!({"mirostat": 2, "mirostat_tau": 1}), json!({"samplers": ["top_k"], "top_k": 1})] {
        assert_ne!(ollama(with(options.clone(), more.clone())), plain, "{more}");
    }
    // Without the penalty it says one thing only.
    let loops = json!({"temperature": 0, "frequency_penalty": -2, "max_tokens": 400, "loop_guard": "off"});
    let looping = text(&server, loops.clone());
    let strong = json!({"lz_penalty": 10, "lz_buffer": 4});
    let found = server.post(
        COMPLETION,
        &completion(with(with(loops.clone(), strong), json!({"frequency_penalty": -0.01}))),
    );
    assert_ne!(found.json(200)["choices"][0]["text"], looping.as_str());
    assert_ne!(text(&server, with(loops, json!({"repeat_last_n": 0}))), looping, "the window is empty");
    for (field, bad) in [
        ("mirostat", json!(3)),
        ("mirostat_tau", json!(-1)),
        ("mirostat_eta", json!(2)),
        ("lz_penalty", json!(11)),
        ("lz_window", json!(-2)),
        ("lz_buffer", json!(0)),
        ("dry_sequence_breakers", json!([""])),
    ] {
        let mut body = json!({});
        body[field] = bad;
        refused(&server, body, field, field);
    }
    let breakers = json!({"dry_multiplier": 1, "dry_sequence_breakers": ["\n\n", "hell", "He said:"]});
    assert!(!text(&server, breakers).is_empty());
}

#[test]
fn a_bias_may_be_on_texts_and_a_ban() {
    let server = Server::start(&[]);
    let greedy = |bias: Value| text(&server, json!({"temperature": 0, "max_tokens": 3, "logit_bias": bias}));
    assert_eq!(greedy(json!([["hell", 100]])), "hellhellhell");
    assert_eq!(greedy(json!([[HELL, 100]])), "hellhellhell");
    assert_eq!(greedy(json!([["A", 50], [65, 50], ["B", 99]])), "AAA", "what is said twice adds up");
    assert_eq!(greedy(json!([["A", 100], ["hell", false], ["hell", 100]])), "AAA", "a ban stands");
    assert_eq!(greedy(json!({"65": 100, "66": false})), "AAA");
    // Each of the tokens of the text.
    let mixed = text(&server, json!({"temperature": 2, "logit_bias": [["xyz", 100]]}));
    assert!(mixed.chars().all(|c| "xyz".contains(c)) && mixed.contains('z'), "{mixed}");
    for (bias, part) in [
        (json!([["", 1]]), "empty"),
        (json!([1]), "size 2"),
        (json!([["a", 101]]), "between -100 and 100"),
        (json!([["a", true]]), "false"),
        (json!([[SIZE, 1]]), "no token id"),
        (json!({"hell": 1}), "no token id"),
    ] {
        let error =
            server.post(COMPLETION, &completion(json!({"logit_bias": bias}))).json(400)["error"].take();
        assert!(error["param"].as_str().is_some_and(|param| param.starts_with("logit_bias")), "{error}");
        assert!(error["message"].as_str().expect("a message").contains(part), "{error}");
    }
}

#[test]
fn a_banned_text_is_never_seen() {
    let server = Server::start(&[]);
    let letters = json!({"logit_bias": [["abc", 100]], "temperature": 1.5, "max_tokens": 200});
    let banned = ["aab", "bc", "bab"];
    let free = text(&server, letters.clone());
    assert!(banned.iter().all(|banned| free.contains(banned)), "{free}");
    for seed in 0..5 {
        let asked = with(letters.clone(), json!({"seed": seed, "banned_strings": banned}));
        let whole = text(&server, asked.clone());
        assert!(banned.iter().all(|banned| !whole.contains(banned)) && whole.len() == 200, "{whole}");
        assert_eq!(streamed(&server, asked.clone()), whole);
        assert_eq!(text(&server, asked), whole, "it is the same each time");
    }
    // Within a form as well, where it leaves a choice.
    let formed = json!({"guided_regex": "[ab]{20}", "banned_strings": ["ab"], "logit_bias": [["ab", 100]]});
    let formed = text(&server, formed);
    assert!(formed.len() == 20 && !formed.contains("ab"), "{formed}");
    let forced = json!({"guided_regex": "xaby", "banned_strings": ["ab"]});
    assert_eq!(text(&server, forced), "xaby", "where the form has it, it is said");
    refused(&server, json!({"banned_strings": ["a", ""]}), "banned_strings", "1 to 256");
    let nothing = json!({"banned_strings": ["A", "B"], "guided_regex": "[AB]+"});
    let error = server.post(COMPLETION, &completion(nothing)).json(400)["error"].take();
    assert!(error["message"].as_str().expect("a message").contains("banned_strings"), "{error}");
}

#[test]
fn log_probabilities_of_chosen_tokens_stand_beside_each() {
    let server = Server::start(&[]);
    let ids = json!([65, 66, HELL]);
    let body = completion(json!({"logprob_token_ids": ids, "temperature": 0, "max_tokens": 3}));
    let logprobs = server.post(COMPLETION, &body).json(200)["choices"][0]["logprobs"].take();
    for top in logprobs["top_logprobs"].as_array().expect("a list") {
        let top = top.as_object().expect("an object");
        assert!(["A", "B", "hell"].iter().all(|token| top.contains_key(*token)), "{top:?}");
    }
    let chat = json!({
        "messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 3,
        "logprobs": true, "top_logprobs": 2, "logprob_token_ids": ids,
    });
    let answer = server.post(CHAT, &chat).json(200);
    let content = answer["choices"][0]["logprobs"]["content"].as_array().expect("a list").clone();
    assert_eq!(content.len(), 3);
    for token in content {
        let tops = token["top_logprobs"].as_array().expect("a list");
        let has =
            |text: &str| tops.iter().any(|top| top["token"] == text && top["logprob"].as_f64() <= Some(0.0));
        assert!((3..=5).contains(&tops.len()) && has("A") && has("B") && has("hell"), "{token}");
    }
    refused(&server, json!({"logprob_token_ids": [1, SIZE]}), "logprob_token_ids[1]", "token ids are 0 to");
    refused(&server, json!({"logprob_token_ids": vec![1; 101]}), "logprob_token_ids", "at most 100");
}

#[test]
fn a_form_that_leaves_a_choice_does_not_excuse_a_loop() {
    let server = Server::start(&[]);
    let a = json!({"logit_bias": [["a", 100]], "temperature": 0, "max_tokens": 1600, "ignore_eos": false});
    let choice = |more: Value| {
        server.post(COMPLETION, &completion(with(a.clone(), more))).json(200)["choices"][0].take()
    };
    let free = choice(json!({"guided_regex": "[A-Z][a-z]+"}));
    assert_eq!(
        (&free["finish_reason"], &free["repetition"]["recovered"]),
        (&json!("stop"), &json!(true)),
        "{free}"
    );
    assert!(free["text"].as_str().expect("text").len() < 1000, "{free}");
    let stopped = choice(json!({"guided_regex": "[A-Z][a-z]+", "loop_guard": "stop"}));
    // It is the beginning of what has the form, as at a limit.
    assert_eq!(
        (&stopped["finish_reason"], &stopped["stop_reason"]),
        (&json!("length"), &Value::Null),
        "{stopped}"
    );
    assert_eq!(
        (stopped["text"].as_str().map(str::len), &stopped["repetition"]["recovered"]),
        (Some(2), &json!(false))
    );
    let off = choice(json!({"guided_regex": "[A-Z][a-z]+", "loop_guard": "off"}));
    assert!(off["text"].as_str().expect("text").len() > 1500);
    // Two letters are a choice, but what is repeated has none.
    let forced = choice(json!({"guided_regex": "(abc ){300}[xy]"}));
    assert_eq!((&forced["finish_reason"], &forced["repetition"]), (&json!("stop"), &Value::Null));
    assert!(forced["text"].as_str().expect("text").starts_with(&"abc ".repeat(300)));
    // Log-probabilities come one by one, and are taken back with their tokens.
    let beside = choice(json!({"guided_regex": "[A-Z][a-z]+", "logprobs": 1}));
    assert_eq!(beside["text"], free["text"]);
    let tokens = beside["logprobs"]["tokens"].as_array().expect("a list");
    let text: String = tokens.iter().map(|token| token.as_str().expect("a text")).collect();
    assert_eq!(free["text"], text);
}

//! `/v1/embeddings`: vectors in both encodings, of all kinds of input.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::model::EMBEDDING;
use crate::server::Server;
use crate::vocabulary::{BOS, SIZE};

const PATH: &str = "/v1/embeddings";

fn vectors(server: &Server, body: Value) -> Vec<Vec<f32>> {
    let answer = server.post(PATH, &body).json(200);
    assert_eq!(answer["object"], "list");
    let data = answer["data"].as_array().expect("a list");
    let vector = |(index, item): (usize, &Value)| {
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
        match &item["embedding"] {
            Value::Array(numbers) => numbers.iter().map(|x| x.as_f64().expect("a number") as f32).collect(),
            Value::String(text) => {
                let bytes = STANDARD.decode(text).expect("base64");
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            }
            other => panic!("{other}"),
        }
    };
    data.iter().enumerate().map(vector).collect()
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn line_11_all_inputs_and_both_encodings_give_the_same_vectors() {
    let server = Server::start(&[]);
    let plain = vectors(&server, json!({"input": "abc"}));
    assert_eq!(plain[0].len(), EMBEDDING as usize);
    assert!((length(&plain[0]) - 1.0).abs() < 1e-6);
    let tokens = json!([BOS, 97, 98, 99]);
    for body in [
        json!({"input": "abc", "encoding_format": "float"}),
        json!({"input": "abc", "encoding_format": "base64"}),
        json!({"input": ["abc"], "dimensions": EMBEDDING, "user": "me"}),
        json!({"input": tokens, "encoding_format": "base64"}),
        json!({"input": [tokens]}),
    ] {
        assert_eq!(vectors(&server, body.clone()), plain, "{body}");
    }
    let many = vectors(&server, json!({"input": ["x", "abc", "a longer text", "abc"]}));
    assert_eq!((&many[1], &many[3]), (&plain[0], &plain[0]));
    assert_ne!(many[0], many[1]);
}

#[test]
fn line_11_dimensions_shorten_and_make_1_long_again() {
    let server = Server::start(&[]);
    let whole = &vectors(&server, json!({"input": "abc"}))[0];
    let short = &vectors(&server, json!({"input": "abc", "dimensions": 5}))[0];
    let scale = length(&whole[..5]);
    for (x, y) in short.iter().zip(&whole[..5]) {
        assert!((f64::from(*x) * scale - f64::from(*y)).abs() < 1e-6);
    }
    assert_eq!(short.len(), 5);
    assert!((length(short) - 1.0).abs() < 1e-6);
}

#[test]
fn the_usage_counts_all_inputs() {
    let server = Server::start(&[]);
    let inputs: Vec<String> = (0..300).map(|n| "a".repeat(n % 7 + 1)).collect();
    let answer = server.post(PATH, &json!({"input": inputs})).json(200);
    let tokens: usize = inputs.iter().map(|input| input.len() + 1).sum();
    assert_eq!(answer["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    assert_eq!(answer["data"].as_array().expect("a list").len(), 300);
    assert!(answer["timings"]["prompt_ms"].is_number());
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let server = Server::start(&[]);
    for (body, param, code) in [
        (json!({}), "input", Value::Null),
        (json!({"input": []}), "input", Value::Null),
        (json!({"input": ""}), "input", Value::Null),
        (json!({"input": ["a", ""]}), "input", Value::Null),
        (json!({"input": [[]]}), "input", Value::Null),
        (json!({"input": [-1]}), "input", Value::Null),
        (json!({"input": [SIZE]}), "input", Value::Null),
        (json!({"input": [0.5]}), "input[0]", Value::Null),
        (json!({"input": [[1], "a"]}), "input", Value::Null),
        (json!({"input": 5}), "input", Value::Null),
        (json!({"input": vec!["a"; 10_000]}), "input", Value::Null),
        (json!({"input": "a".repeat(4097)}), "input", json!("context_length_exceeded")),
        (json!({"input": ["a", "a".repeat(4097)]}), "input[1]", json!("context_length_exceeded")),
        (json!({"input": "a", "dimensions": 0}), "dimensions", Value::Null),
        (json!({"input": "a", "dimensions": EMBEDDING + 1}), "dimensions", Value::Null),
        (json!({"input": "a", "encoding_format": "foo"}), "encoding_format", Value::Null),
    ] {
        let error = server.post(PATH, &body).json(400)["error"].clone();
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &code), "{error}");
    }
    assert_eq!(server.post(PATH, &json!({"input": "a", "model": "x"})).json(404)["error"]["param"], "model");
}

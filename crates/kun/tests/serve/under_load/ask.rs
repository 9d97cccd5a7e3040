//! Random requests, and their answers in a form that is the same streamed or whole.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use crate::server::{Reply, Server, request};

/// A request that has one answer only, whenever and beside whatever it runs.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) path: &'static str,
    /// Without `stream`.
    pub(super) body: Value,
    pub(super) stream: bool,
}

/// Texts that many prompts begin with.
const BEGINNINGS: [&str; 4] = [
    "You are a helpful assistant. Answer in one sentence, and say so if you do not know. ",
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs. How vexingly quick daft \
     zebras jump! Sphinx of black quartz, judge my vow. ",
    "hello hello he said, hell and high water, ",
    "",
];
const WORDS: [&str; 12] = [
    "he",
    "hell",
    "hello",
    "water",
    "zebra",
    "\u{e9}t\u{e9}",
    "\u{6c34}",
    "1, 2, 3",
    "\n",
    " the",
    "{}",
    "fox",
];

/// Random requests, all different.
pub(super) fn asks(count: usize, seed: u64, most_tokens: u64) -> Vec<Ask> {
    let mut dice = Dice::new(seed);
    (0..count).map(|number| ask(number, &mut dice, most_tokens)).collect()
}

fn ask(number: usize, dice: &mut Dice, most_tokens: u64) -> Ask {
    let mut prompt = String::new();
    // Some have the same beginning twice over, which is more than a page.
    for _ in 0..dice.within(1, 3) {
        prompt.push_str(dice.one_of(&BEGINNINGS));
    }
    for _ in 0..dice.within(1, 30) {
        prompt.push_str(dice.one_of(&WORDS));
    }
    let is_chat = dice.once_in(3);
    let mut body = json!({
        "max_tokens": dice.within(1, most_tokens),
        "temperature": dice.one_of(&[0.0, 0.0, 0.7, 1.0, 1.5]),
        // Every request has its own, or the answers of some would be alike by chance.
        "seed": number,
        "ignore_eos": dice.once_in(2),
    });
    let fields = body.as_object_mut().expect("an object");
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if is_chat {
        let mut messages = vec![json!({"role": "user", "content": prompt})];
        if dice.once_in(2) {
            messages.insert(0, json!({"role": "system", "content": BEGINNINGS[0]}));
        }
        set("messages", messages.into());
    } else {
        set("prompt", prompt.into());
    }
    if dice.once_in(3) {
        set("n", dice.within(2, 3).into());
    }
    if dice.once_in(2) {
        let top = dice.within(0, 5);
        if is_chat {
            set("logprobs", true.into());
            set("top_logprobs", top.into());
        } else {
            set("logprobs", top.into());
            set("echo", dice.once_in(3).into());
        }
    }
    if dice.once_in(3) {
        set("stop", json!([dice.one_of(&["e", "he", "zz", "\u{6c34}"]), "never to be found"]));
    }
    if dice.once_in(3) {
        set("top_p", 0.8.into());
    }
    if dice.once_in(4) {
        set("top_k", 20.into());
    }
    if dice.once_in(4) {
        set("min_p", 0.05.into());
    }
    if dice.once_in(4) {
        set("repeat_penalty", 1.2.into());
    }
    if dice.once_in(5) {
        set("frequency_penalty", 0.5.into());
        set("logit_bias", json!({"104": 5.0, "32": -100.0}));
    }
    Ask {
        path: if is_chat { "/v1/chat/completions" } else { "/v1/completions" },
        body,
        stream: dice.once_in(2),
    }
}

impl Ask {
    /// Its answer, by whatever way it was asked to come.
    pub(super) fn of(&self, server: &Server, stream: bool) -> Result<Value, String> {
        answer(&self.send(server, stream), stream)
    }

    pub(super) fn send(&self, server: &Server, stream: bool) -> Reply {
        server.send(self.text(stream))
    }

    /// The text of the request.
    pub(super) fn text(&self, stream: bool) -> String {
        let mut body = self.body.clone();
        if stream {
            body["stream"] = true.into();
        }
        request(self.path, &body.to_string(), &[])
    }
}

/// Each choice's text, log-probabilities and end.
pub(super) fn answer(reply: &Reply, stream: bool) -> Result<Value, String> {
    if reply.status != 200 {
        return Err(format!("{}: {}", reply.status, reply.text()));
    }
    let mut choices: Vec<Value> = Vec::new();
    if !stream {
        let whole: Value = serde_json::from_slice(&reply.body).map_err(|e| e.to_string())?;
        for choice in whole["choices"].as_array().ok_or("no choices")? {
            add(&mut choices, choice, "message");
        }
        return Ok(choices.into());
    }
    let events = reply.events();
    let (last, chunks) = events.split_last().ok_or("no events")?;
    if *last != "[DONE]" {
        return Err(format!("the stream ends with {last}"));
    }
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).map_err(|e| e.to_string())?;
        for choice in chunk["choices"].as_array().ok_or_else(|| format!("no choices in {chunk}"))? {
            add(&mut choices, choice, "delta");
        }
    }
    Ok(choices.into())
}

/// Adds what a choice, or a piece of it, says.
fn add(choices: &mut Vec<Value>, choice: &Value, said: &str) {
    let index = choice["index"].as_u64().expect("choices are numbered") as usize;
    while choices.len() <= index {
        choices.push(json!({"text": "", "logprobs": {}, "finish_reason": null}));
    }
    let whole = &mut choices[index];
    let more = choice["text"].as_str().or(choice[said]["content"].as_str()).unwrap_or_default();
    let text = format!("{}{more}", whole["text"].as_str().unwrap_or_default());
    whole["text"] = text.into();
    let lists = choice["logprobs"].as_object().cloned().unwrap_or_else(Map::new);
    for (name, list) in lists {
        let Value::Array(list) = list else { continue };
        let known = &mut whole["logprobs"][&name];
        match known {
            Value::Array(known) => known.extend(list),
            _ => *known = list.into(),
        }
    }
    if !choice["finish_reason"].is_null() {
        whole["finish_reason"] = choice["finish_reason"].clone();
    }
}

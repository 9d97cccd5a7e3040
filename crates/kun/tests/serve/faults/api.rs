//! The routes that take requests of clients: a good request to each, and what each calls the fields that they share.
//!
//! Whatever one route refuses its siblings refuse too; a limit that is kept on one path and forgotten on the next is the
//! commonest hole there is.

use serde_json::Value;

use crate::server::request;

/// Whose shape a route's errors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
    Ollama,
    /// Not even HTTP.
    None,
}

/// A route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api {
    pub(super) path: &'static str,
    pub(super) dialect: Dialect,
    /// A request that it answers.
    pub(super) good: &'static str,
    /// The field that the prompt is in.
    pub(super) input: &'static str,
    /// What it knows under a name of its own, or not at all; everything else it calls what all do.
    names: &'static [(&'static str, &'static str)],
    /// The fields that it knows under the name that all have for it.
    known: &'static [&'static str],
}

pub(super) const CHAT: Api = Api {
    path: "/v1/chat/completions",
    dialect: Dialect::OpenAi,
    good: r#"{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0}"#,
    input: "messages",
    names: &[],
    known: &[
        "messages",
        "model",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "typical_p",
        "repeat_penalty",
        "repeat_last_n",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "seed",
        "max_tokens",
        "max_completion_tokens",
        "min_tokens",
        "n",
        "stop",
        "stop_token_ids",
        "stream",
        "stream_options",
        "top_logprobs",
        "user",
        "priority",
        "deadline_ms",
        "ignore_eos",
        "chat_template_kwargs",
        "metadata",
        "debug",
        "tools",
        "tool_choice",
        "reasoning_effort",
    ],
};

pub(super) const COMPLETIONS: Api = Api {
    path: "/v1/completions",
    dialect: Dialect::OpenAi,
    good: r#"{"prompt": "hi", "max_tokens": 4, "temperature": 0}"#,
    input: "prompt",
    names: &[],
    known: &[
        "prompt",
        "model",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "typical_p",
        "repeat_penalty",
        "repeat_last_n",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "seed",
        "max_tokens",
        "min_tokens",
        "n",
        "stop",
        "stop_token_ids",
        "stream",
        "stream_options",
        "logprobs",
        "prompt_logprobs",
        "user",
        "priority",
        "deadline_ms",
        "ignore_eos",
        "debug",
        "suffix",
        "best_of",
        "echo",
    ],
};

pub(super) const RESPONSES: Api = Api {
    path: "/v1/responses",
    dialect: Dialect::OpenAi,
    good: r#"{"input": "hi", "max_output_tokens": 4, "temperature": 0}"#,
    input: "input",
    names: &[("max_tokens", "max_output_tokens"), ("messages", "input")],
    known: &[
        "input",
        "model",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repeat_penalty",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "top_logprobs",
        "user",
        "priority",
        "deadline_ms",
        "chat_template_kwargs",
        "metadata",
        "debug",
        "tools",
        "tool_choice",
    ],
};

pub(super) const MESSAGES: Api = Api {
    path: "/v1/messages",
    dialect: Dialect::Anthropic,
    good: r#"{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0}"#,
    input: "messages",
    names: &[("stop", "stop_sequences")],
    known: &[
        "messages",
        "model",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "max_tokens",
        "stream",
        "priority",
        "deadline_ms",
        "tools",
        "tool_choice",
    ],
};

pub(super) const COUNT: Api = Api {
    path: "/v1/messages/count_tokens",
    dialect: Dialect::Anthropic,
    good: r#"{"messages": [{"role": "user", "content": "hi"}]}"#,
    input: "messages",
    names: &[],
    known: &["messages", "model", "tools", "tool_choice"],
};

pub(super) const OLLAMA_CHAT: Api = Api {
    path: "/api/chat",
    dialect: Dialect::Ollama,
    good: r#"{"messages": [{"role": "user", "content": "hi"}], "stream": false, "options": {"num_predict": 4, "temperature": 0}}"#,
    input: "messages",
    names: OLLAMA_OPTIONS,
    known: &["messages", "model", "stream"],
};

pub(super) const OLLAMA_GENERATE: Api = Api {
    path: "/api/generate",
    dialect: Dialect::Ollama,
    good: r#"{"prompt": "hi", "stream": false, "options": {"num_predict": 4, "temperature": 0}}"#,
    input: "prompt",
    names: OLLAMA_OPTIONS,
    known: &["model", "stream"],
};

const OLLAMA_OPTIONS: &[(&str, &str)] = &[
    ("temperature", "options.temperature"),
    ("top_p", "options.top_p"),
    ("top_k", "options.top_k"),
    ("min_p", "options.min_p"),
    ("typical_p", "options.typical_p"),
    ("repeat_penalty", "options.repeat_penalty"),
    ("repeat_last_n", "options.repeat_last_n"),
    ("frequency_penalty", "options.frequency_penalty"),
    ("presence_penalty", "options.presence_penalty"),
    ("seed", "options.seed"),
    ("stop", "options.stop"),
];

pub(super) const EMBEDDINGS: Api = Api {
    path: "/v1/embeddings",
    dialect: Dialect::OpenAi,
    good: r#"{"input": "hi"}"#,
    input: "input",
    names: &[],
    known: &["input", "model", "user", "dimensions", "encoding_format"],
};

pub(super) const TOKENIZE: Api = Api {
    path: "/tokenize",
    dialect: Dialect::OpenAi,
    good: r#"{"content": "hi"}"#,
    input: "content",
    names: &[],
    known: &["model"],
};

pub(super) const DETOKENIZE: Api = Api {
    path: "/detokenize",
    dialect: Dialect::OpenAi,
    good: r#"{"tokens": [1]}"#,
    input: "tokens",
    names: &[],
    known: &["model"],
};

pub(super) const TEMPLATE: Api = Api {
    path: "/apply-template",
    dialect: Dialect::OpenAi,
    good: r#"{"messages": [{"role": "user", "content": "hi"}]}"#,
    input: "messages",
    names: &[],
    known: &["messages", "model", "chat_template_kwargs", "reasoning_effort"],
};

/// All routes that take a body.
pub(super) const ALL: [Api; 11] = [
    CHAT,
    COMPLETIONS,
    RESPONSES,
    MESSAGES,
    COUNT,
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
    EMBEDDINGS,
    TOKENIZE,
    DETOKENIZE,
    TEMPLATE,
];

/// Those that generate.
pub(super) const GENERATING: [Api; 6] =
    [CHAT, COMPLETIONS, RESPONSES, MESSAGES, OLLAMA_CHAT, OLLAMA_GENERATE];

impl Api {
    /// What it calls a field that goes by this name elsewhere; none if it has no such field.
    pub(super) fn name(&self, field: &str) -> Option<&'static str> {
        let own = self.names.iter().find(|(name, _)| *name == field).map(|(_, own)| *own);
        own.or_else(|| self.known.iter().find(|name| **name == field).copied())
    }

    /// The good request with a field set to what is no JSON, perhaps.
    pub(super) fn with(&self, field: &str, raw: &str) -> String {
        const PLACE: &str = "<here>";
        let mut body: Value = serde_json::from_str(self.good).expect("JSON");
        let mut at = &mut body;
        for part in field.split('.') {
            at = &mut at[part];
        }
        *at = PLACE.into();
        // The older name would contradict it.
        if field == "max_completion_tokens" {
            body.as_object_mut().expect("an object").remove("max_tokens");
        }
        body.to_string().replace(&format!("{PLACE:?}"), raw)
    }

    /// The good request without a field.
    pub(super) fn without(&self, field: &str) -> String {
        let mut body: Value = serde_json::from_str(self.good).expect("JSON");
        body.as_object_mut().expect("an object").remove(field);
        body.to_string()
    }

    /// The bytes of a POST of this body.
    pub(super) fn post(&self, body: &str) -> Vec<u8> {
        request(self.path, body, &[]).into_bytes()
    }
}

//! `GET /metrics`: what the service has done and is doing, in the text format that Prometheus reads.
//!
//! What gateways and dashboards know from vLLM is there under vLLM's names too: one family registered twice, so that both
//! always say the same.

pub(crate) mod meter;
mod scrape;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::IntoResponse;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error::ApiError;
use crate::state::App;

/// Seconds of a whole answer, a wait or a prompt.
const SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0,
];
/// Seconds between two tokens.
const GAP_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5];
/// Tokens of a prompt or an answer.
const TOKENS: [f64; 14] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 1e5];

/// Which model a number is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Model {
    model_name: String,
}

/// How an answer of a model ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Finish {
    model_name: String,
    finished_reason: &'static str,
}

/// Which requests a number counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answered {
    method: String,
    route: String,
    /// 0 if the client had gone before there was an answer.
    status: u16,
}

/// What became of a line of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BatchLine {
    outcome: &'static str,
}

/// Makes histograms with these buckets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms = Family<Model, Histogram, Buckets>;
type Counters = Family<Model, Counter>;

/// Everything that is counted as it happens.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    first_token: Histograms,
    gap: Histograms,
    whole: Histograms,
    queue: Histograms,
    prompt: Histograms,
    generation: Histograms,
    prompt_length: Histograms,
    answer_length: Histograms,
    prompt_tokens: Counters,
    cached_tokens: Counters,
    generated_tokens: Counters,
    finished: Family<Finish, Counter>,
    cancelled: Counters,
    batch_lines: Family<BatchLine, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histograms::new_with_constructor(Buckets(&SECONDS));
        let tokens = || Histograms::new_with_constructor(Buckets(&TOKENS));
        let mut metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            first_token: seconds(),
            gap: Histograms::new_with_constructor(Buckets(&GAP_SECONDS)),
            whole: seconds(),
            queue: seconds(),
            prompt: seconds(),
            generation: seconds(),
            prompt_length: tokens(),
            answer_length: tokens(),
            prompt_tokens: Family::default(),
            cached_tokens: Family::default(),
            generated_tokens: Family::default(),
            finished: Family::default(),
            cancelled: Family::default(),
            batch_lines: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Puts every family under its names. The library adds `_total` to those of counters.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("kun_requests", "Requests that were answered or left", self.requests.clone());
        registry.register(
            "kun_batch_lines",
            "Lines of batches that have an answer",
            self.batch_lines.clone(),
        );
        let histograms: [(&[&str], &str, &Histograms); 8] = [
            (
                &["kun_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"],
                "From a request's arrival to the first token of an answer",
                &self.first_token,
            ),
            (
                &[
                    "kun_inter_token_seconds",
                    "vllm:inter_token_latency_seconds",
                    "vllm:time_per_output_token_seconds",
                ],
                "From one token of an answer to the next",
                &self.gap,
            ),
            (
                &["kun_end_to_end_seconds", "vllm:e2e_request_latency_seconds"],
                "From a request's arrival to the end of an answer",
                &self.whole,
            ),
            (
                &["kun_queue_seconds", "vllm:request_queue_time_seconds"],
                "From submission to the first step",
                &self.queue,
            ),
            (
                &["kun_prompt_seconds", "vllm:request_prefill_time_seconds"],
                "From the first step to the first token",
                &self.prompt,
            ),
            (
                &["kun_generation_seconds", "vllm:request_decode_time_seconds"],
                "From the first token to the last",
                &self.generation,
            ),
            (
                &["kun_prompt_length_tokens", "vllm:request_prompt_tokens"],
                "Tokens of a prompt",
                &self.prompt_length,
            ),
            (
                &["kun_answer_length_tokens", "vllm:request_generation_tokens"],
                "Tokens of an answer",
                &self.answer_length,
            ),
        ];
        for (names, help, family) in histograms {
            names.iter().for_each(|&name| registry.register(name, help, family.clone()));
        }
        let counters: [(&[&str], &str, &Counters); 4] = [
            (
                &["kun_prompt_tokens", "vllm:prompt_tokens"],
                "Tokens of prompts, those from the cache included",
                &self.prompt_tokens,
            ),
            (&["kun_cached_tokens"], "Tokens of prompts that were not computed again", &self.cached_tokens),
            (
                &["kun_generated_tokens", "vllm:generation_tokens"],
                "Tokens of answers",
                &self.generated_tokens,
            ),
            (&["kun_cancelled"], "Answers that nobody waited for any more", &self.cancelled),
        ];
        for (names, help, family) in counters {
            names.iter().for_each(|&name| registry.register(name, help, family.clone()));
        }
        for name in ["kun_answers_finished", "vllm:request_success"] {
            registry.register(name, "Answers that ended, by how they did", self.finished.clone());
        }
    }

    /// A line of a batch has its answer.
    pub(crate) fn batch_line(&self, completed: bool) {
        let outcome = if completed { "completed" } else { "failed" };
        self.batch_lines.get_or_create(&BatchLine { outcome }).inc();
    }

    /// A request has been answered, or left.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: u16) {
        // Made-up methods would make a number each.
        let method = match *method {
            Method::GET | Method::POST | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE => {
                method.as_str()
            }
            _ => "other",
        };
        let labels = Answered { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
    }
}

/// Shows all of it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "service",
    responses((status = 200, content_type = "text/plain", body = String))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let unwritable = |_| ApiError::internal("the metrics can't be written");
    let mut written = String::new();
    text::encode_registry(&mut written, &app.front.metrics.registry).map_err(unwritable)?;
    text::encode_registry(&mut written, &scrape::registry(&app)).map_err(unwritable)?;
    let open = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if open.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        text::encode_eof(&mut written).map_err(unwritable)?;
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return Ok(([(CONTENT_TYPE, kind)], written));
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], classic(&written)))
}

/// The older text format: there a counter's name has its `_total` in the lines that describe it as well, and information
/// is a gauge that is 1.
fn classic(open: &str) -> String {
    let types: HashMap<&str, &str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut written = String::with_capacity(open.len() + open.len() / 8);
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        let (sign, what, name, rest) = (words.next(), words.next(), words.next(), words.next());
        let (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name)) = (sign, what, name) else {
            if sign != Some("#") {
                written.push_str(line);
                written.push('\n');
            }
            continue;
        };
        let (suffix, kind) = match types.get(name) {
            Some(&"counter") => ("_total", "counter"),
            Some(&"info") => ("_info", "gauge"),
            Some(kind) => ("", *kind),
            None => ("", "untyped"),
        };
        let rest = if what == "TYPE" { kind } else { rest.unwrap_or_default() };
        written.push_str(&format!("# {what} {name}{suffix} {rest}\n"));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_text_formats_name_a_counter_as_they_should() {
        let metrics = Metrics::default();
        metrics.answered(&Method::POST, "/v1/chat/completions", 200);
        metrics.answered(&Method::from_bytes(b"BREW").expect("a method"), "none", 404);
        let mut open = String::new();
        text::encode_registry(&mut open, &metrics.registry).expect("strings can be written");
        let line = "kun_requests_total{method=\"POST\",route=\"/v1/chat/completions\",status=\"200\"} 1\n";
        assert!(open.contains("# TYPE kun_requests counter\n") && open.contains(line), "{open}");
        assert!(open.contains("method=\"other\""), "{open}");
        let classic = classic(&open);
        assert!(
            classic.contains("# TYPE kun_requests_total counter\n") && classic.contains(line),
            "{classic}"
        );
        assert!(classic.contains("# HELP kun_requests_total Requests that were answered"), "{classic}");
    }
}

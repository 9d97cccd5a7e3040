//! What is measured of a job as its tokens come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::request::{Chunk, FinishReason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::{Finish, Metrics, Model};
use crate::exchange::Exchange;
use crate::running::Timings;

/// Measures a job. Answers that have not ended when it is dropped were left by their client.
///
/// Without an exchange, as in tests of other parts, it measures nothing.
#[derive(Debug)]
pub(crate) struct Meter(Option<Measuring>);

#[derive(Debug)]
struct Measuring {
    exchange: Arc<Exchange>,
    model_name: String,
    /// Answers that have not ended.
    open: usize,
    first_token: Histogram,
    gap: Histogram,
    generated_tokens: Counter,
}

/// How fast one answer comes.
#[derive(Debug)]
pub(crate) struct Pace {
    last_token: Option<Instant>,
    prompt_tokens: usize,
    /// Of the answers to a prompt, one counts the prompt.
    counts_prompt: bool,
}

impl Pace {
    pub(crate) fn new(prompt_tokens: usize, counts_prompt: bool) -> Self {
        Pace { last_token: None, prompt_tokens, counts_prompt }
    }
}

impl Meter {
    /// The engine has a job of so many answers to prompts of so many tokens together.
    pub(crate) fn new(
        exchange: Option<&Arc<Exchange>>,
        model: &str,
        open: usize,
        prompt_tokens: usize,
    ) -> Self {
        Meter(exchange.map(|exchange| {
            exchange.submitted(model, prompt_tokens);
            let metrics = &exchange.metrics;
            let labels = Model { model_name: model.to_owned() };
            Measuring {
                first_token: metrics.first_token.get_or_create_owned(&labels),
                gap: metrics.gap.get_or_create_owned(&labels),
                generated_tokens: metrics.generated_tokens.get_or_create_owned(&labels),
                exchange: Arc::clone(exchange),
                model_name: labels.model_name,
                open,
            }
        }))
    }

    /// A chunk of an answer has come; `stopped` if a stop string had ended it before.
    pub(crate) fn chunk(&mut self, pace: &mut Pace, chunk: &Chunk, stopped: bool) {
        let Some(measuring) = &mut self.0 else { return };
        if !chunk.tokens.is_empty() {
            measuring.tokens(pace, chunk.tokens.len(), Instant::now());
        }
        if let Some(finished) = &chunk.finished {
            let timings =
                Timings { queue: finished.queued, prompt: finished.prompt, generation: finished.generation };
            let reason = match finished.reason {
                _ if stopped => "stop",
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Repetition => "repetition",
                FinishReason::Cancelled => "abort",
                FinishReason::TimedOut => "timeout",
                FinishReason::Error(_) | FinishReason::Impossible(_) => "error",
            };
            if let Some(repetition) = finished.repetition {
                measuring.exchange.repeated(if repetition.recovered { "recovered" } else { "stopped" });
            }
            measuring.ended(pace, reason, finished.cache.cached_tokens, timings, finished.completion_tokens);
        }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        if self.open > 0 {
            let (metrics, answers) = (&self.exchange.metrics, self.open as u64);
            self.exchange.cancelled();
            let labels = Model { model_name: self.model_name.clone() };
            metrics.cancelled.get_or_create(&labels).inc_by(answers);
            let labels = Finish { model_name: self.model_name.clone(), finished_reason: "abort" };
            metrics.finished.get_or_create(&labels).inc_by(answers);
        }
    }
}

impl Measuring {
    fn tokens(&self, pace: &mut Pace, count: usize, now: Instant) {
        match pace.last_token.replace(now) {
            None => self.first_token.observe(seconds(now - self.exchange.started)),
            Some(last) => {
                // Tokens that come together share the time that they took.
                let gap = seconds(now - last) / count as f64;
                (0..count).for_each(|_| self.gap.observe(gap));
            }
        }
        self.generated_tokens.inc_by(count as u64);
        self.exchange.generated(count);
    }

    fn ended(&mut self, pace: &Pace, reason: &'static str, cached: usize, timings: Timings, tokens: usize) {
        self.open = self.open.saturating_sub(1);
        let Measuring { exchange, model_name, .. } = self;
        let metrics: &Metrics = &exchange.metrics;
        let labels = Model { model_name: model_name.clone() };
        if pace.counts_prompt {
            metrics.prompt_tokens.get_or_create(&labels).inc_by(pace.prompt_tokens as u64);
            metrics.cached_tokens.get_or_create(&labels).inc_by(cached as u64);
        }
        metrics.queue.get_or_create(&labels).observe(seconds(timings.queue));
        metrics.prompt.get_or_create(&labels).observe(seconds(timings.prompt));
        metrics.generation.get_or_create(&labels).observe(seconds(timings.generation));
        metrics.whole.get_or_create(&labels).observe(seconds(exchange.started.elapsed()));
        metrics.prompt_length.get_or_create(&labels).observe(pace.prompt_tokens as f64);
        metrics.answer_length.get_or_create(&labels).observe(tokens as f64);
        let labels = Finish { model_name: model_name.clone(), finished_reason: reason };
        metrics.finished.get_or_create(&labels).inc();
        exchange.finished(reason, if pace.counts_prompt { cached } else { 0 }, timings);
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

//! From what was measured of each request to what is told of all of them.
//!
//! Latencies and tokens are those of requests that succeeded; of others, their number is told.

use serde::Serialize;

use super::answer::Record;
use super::arguments::LoadArgs;
use super::fault::Kind;
use super::percentiles::Percentiles;
use super::plan::{Pace, Plan};
use super::requests::Requests;
use super::run::Run;

/// The JSON of `kun load`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) settings: Settings,
    pub(super) is_interrupted: bool,
    /// Why it was not all that was planned.
    pub(super) remark: Option<String>,
    /// From the first request's sending to the last one's end.
    pub(super) duration_s: f64,
    pub(super) requests: Counts,
    pub(super) failures: Vec<Failed>,
    pub(super) requests_per_second: f64,
    pub(super) input_tokens_per_second: f64,
    pub(super) output_tokens_per_second: f64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Of the input; none if the server does not say.
    pub(super) cached_tokens: Option<u64>,
    pub(super) cached_fraction: Option<f64>,
    pub(super) streams_mean: f64,
    pub(super) streams_max: usize,
    /// From when a request was due until it was sent: the time that all streams were busy.
    pub(super) wait_ms: Option<Percentiles>,
    pub(super) first_byte_ms: Option<Percentiles>,
    pub(super) first_token_ms: Option<Percentiles>,
    pub(super) inter_token_ms: Option<Percentiles>,
    /// Of each request, the mean time from one token to the next.
    pub(super) time_per_output_token_ms: Option<Percentiles>,
    pub(super) end_to_end_ms: Option<Percentiles>,
    /// Until an answer 429 was there.
    pub(super) until_429_ms: Option<Percentiles>,
    /// What the answers 429 asked for.
    pub(super) retry_after_ms: Option<Percentiles>,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) model: String,
    pub(super) api: &'static str,
    pub(super) stream: bool,
    #[serde(rename = "loop")]
    pub(super) loop_name: &'static str,
    pub(super) concurrency: usize,
    pub(super) rate: Option<f64>,
    /// What prompts are made of.
    pub(super) prompts: &'static str,
    pub(super) prompt_tokens: Option<String>,
    pub(super) output_tokens: String,
    pub(super) shared_prefix: f64,
    pub(super) prefix_groups: u64,
    pub(super) temperature: f32,
    pub(super) allow_eos: bool,
    pub(super) seed: u64,
    pub(super) warmup: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) sent: usize,
    pub(super) ok: usize,
    pub(super) failed: usize,
    /// They were running when Ctrl-C was pressed.
    pub(super) unfinished: usize,
    /// Of those that succeeded: with fewer tokens than were asked for.
    pub(super) short: usize,
}

/// Failures of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failed {
    pub(super) kind: Kind,
    pub(super) count: usize,
    /// What was said the first time.
    pub(super) message: String,
}

impl Settings {
    /// Those of a run.
    pub(super) fn new(args: &LoadArgs, url: &str, requests: &Requests, plan: &Plan) -> Self {
        let (loop_name, rate) = match plan.pace {
            Pace::Closed { .. } => ("closed", None),
            Pace::Open { rate, .. } => ("open", Some(rate)),
        };
        Settings {
            url: url.to_owned(),
            model: requests.model.clone(),
            api: args.api.name(),
            stream: !args.no_stream,
            loop_name,
            concurrency: plan.pace.streams_max(),
            rate,
            prompts: requests.prompts.kind(),
            prompt_tokens: requests.prompts.tokens().map(|span| span.to_string()),
            output_tokens: args.output_tokens.to_string(),
            shared_prefix: args.shared_prefix.unwrap_or(0.0),
            prefix_groups: args.prefix_groups.unwrap_or(1),
            temperature: args.temperature,
            allow_eos: args.allow_eos,
            seed: args.seed,
            warmup: args.warmup,
        }
    }
}

impl Report {
    /// What is told of a run.
    pub(super) fn new(settings: Settings, run: &Run) -> Self {
        let ok: Vec<&Record> = run.records.iter().filter(|record| record.outcome.is_ok()).collect();
        let full: Vec<&Record> = run
            .records
            .iter()
            .filter(|record| record.outcome.as_ref().is_err_and(|fault| fault.kind == Kind::Full))
            .collect();
        let is_open = settings.rate.is_some();
        let duration = duration(&run.records);
        let per_second = |count: f64| if duration > 0.0 { count / duration } else { 0.0 };
        let input_tokens = sum(ok.iter().map(|record| record.prompt_tokens));
        let output_tokens = sum(ok.iter().map(|record| Some(record.output_tokens)));
        let says_cached = ok.iter().any(|record| record.cached_tokens.is_some());
        let cached_tokens = says_cached.then(|| sum(ok.iter().map(|record| record.cached_tokens)));
        let failed = run.records.len() - ok.len();
        Report {
            settings,
            is_interrupted: run.is_interrupted,
            remark: run.remark.clone(),
            duration_s: duration,
            requests: Counts {
                sent: run.sent,
                ok: ok.len(),
                failed,
                unfinished: run.sent.saturating_sub(run.records.len()),
                short: ok.iter().filter(|record| record.is_short).count(),
            },
            failures: failures(run),
            requests_per_second: per_second(ok.len() as f64),
            input_tokens_per_second: per_second(input_tokens as f64),
            output_tokens_per_second: per_second(output_tokens as f64),
            input_tokens,
            output_tokens,
            cached_tokens,
            cached_fraction: cached_tokens
                .filter(|_| input_tokens > 0)
                .map(|cached| cached as f64 / input_tokens as f64),
            streams_mean: per_second(run.records.iter().map(|record| record.end - record.sent).sum()),
            streams_max: streams_max(&run.records),
            wait_ms: percentiles(ok.iter().filter(|_| is_open).map(|r| (r.sent - r.due) as f32)),
            first_byte_ms: percentiles(ok.iter().filter_map(|r| r.first_byte)),
            first_token_ms: percentiles(ok.iter().filter_map(|r| r.first_token)),
            inter_token_ms: percentiles(ok.iter().flat_map(|r| r.gaps.iter().copied())),
            time_per_output_token_ms: percentiles(ok.iter().filter_map(|r| time_per_output_token(r))),
            end_to_end_ms: percentiles(ok.iter().map(|r| end_to_end(r))),
            until_429_ms: percentiles(full.iter().map(|r| end_to_end(r))),
            retry_after_ms: percentiles(full.iter().filter_map(|r| r.retry_after)),
        }
    }
}

/// From the first request's sending to the last one's end.
fn duration(records: &[Record]) -> f64 {
    let first = records.iter().map(|record| record.sent).reduce(f64::min);
    let last = records.iter().map(|record| record.end).reduce(f64::max);
    first.zip(last).map_or(0.0, |(first, last)| last - first)
}

/// From when a request was due to its end, in seconds.
pub(super) fn end_to_end(record: &Record) -> f32 {
    (record.end - record.due) as f32
}

/// The mean over all tokens but the first, however many there are in a chunk.
fn time_per_output_token(record: &Record) -> Option<f32> {
    let between = record.output_tokens.checked_sub(1).filter(|between| *between > 0)?;
    record.first_token?;
    let total: f64 = record.gaps.iter().map(|gap| f64::from(*gap)).sum();
    Some((total / f64::from(between)) as f32)
}

/// The most streams that ran at the same time.
fn streams_max(records: &[Record]) -> usize {
    let mut running: usize = 0;
    let counts = changes(records).into_iter().map(|(_, is_begin)| {
        running = if is_begin { running + 1 } else { running - 1 };
        running
    });
    counts.max().unwrap_or(0)
}

/// When streams begin and end, in order; at the same time, ends come first.
pub(super) fn changes(records: &[Record]) -> Vec<(f64, bool)> {
    let both = records.iter().flat_map(|record| [(record.sent, true), (record.end, false)]);
    let mut changes: Vec<(f64, bool)> = both.collect();
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    changes
}

fn failures(run: &Run) -> Vec<Failed> {
    let rows = run.failures.iter();
    rows.map(|(kind, (count, message))| Failed { kind: *kind, count: *count, message: message.clone() })
        .collect()
}

fn percentiles(samples: impl Iterator<Item = f32>) -> Option<Percentiles> {
    Percentiles::of(&mut samples.collect::<Vec<f32>>())
}

fn sum(counts: impl Iterator<Item = Option<u32>>) -> u64 {
    counts.flatten().map(u64::from).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::commands::load::fault::Fault;

    pub(in super::super) fn record(number: u64, sent: f64, end: f64) -> Record {
        Record {
            number,
            due: sent,
            sent,
            end,
            outcome: Ok(()),
            first_byte: Some(0.1),
            first_token: Some(0.5),
            gaps: Box::new([0.25, 0.5]),
            prompt_tokens: Some(10),
            cached_tokens: Some(4),
            output_tokens: 4,
            is_short: false,
            retry_after: None,
            finish_reason: Some("length".to_owned()),
            text: None,
            token_ids: None,
        }
    }

    pub(in super::super) fn settings() -> Settings {
        Settings {
            url: "http://host".to_owned(),
            model: "<model>".to_owned(),
            api: "completions",
            stream: true,
            loop_name: "closed",
            concurrency: 2,
            rate: None,
            prompts: "token ids",
            prompt_tokens: Some("10".to_owned()),
            output_tokens: "4".to_owned(),
            shared_prefix: 0.4,
            prefix_groups: 1,
            temperature: 0.0,
            allow_eos: false,
            seed: 1,
            warmup: 0,
        }
    }

    pub(in super::super) fn run() -> Run {
        let mut full = record(2, 3.0, 3.5);
        full.outcome = Err(Fault::new(Kind::Full, ""));
        full.retry_after = Some(2.0);
        Run {
            records: vec![record(0, 0.0, 2.0), record(1, 1.0, 4.0), full],
            failures: [(Kind::Full, (1, "HTTP 429: <full>".to_owned()))].into(),
            sent: 4,
            is_interrupted: true,
            remark: None,
        }
    }

    #[test]
    fn what_succeeded_is_measured_and_what_failed_is_counted() {
        let report = Report::new(settings(), &run());
        let counts = Counts { sent: 4, ok: 2, failed: 1, unfinished: 1, short: 0 };
        assert_eq!((report.duration_s, report.requests), (4.0, counts));
        assert_eq!(report.requests_per_second, 0.5);
        assert_eq!((report.input_tokens, report.input_tokens_per_second), (20, 5.0));
        assert_eq!((report.output_tokens, report.output_tokens_per_second), (8, 2.0));
        assert_eq!((report.cached_tokens, report.cached_fraction), (Some(8), Some(0.4)));
        assert_eq!((report.streams_max, report.streams_mean), (2, 5.5 / 4.0));
        let p50 = |p: Option<Percentiles>| p.map(|p| (p.count, p.p50));
        assert_eq!(p50(report.wait_ms), None);
        assert_eq!(p50(report.first_token_ms), Some((2, 500.0)));
        assert_eq!(p50(report.inter_token_ms), Some((4, 250.0)));
        assert_eq!(p50(report.time_per_output_token_ms), Some((2, 250.0)));
        assert_eq!(p50(report.end_to_end_ms), Some((2, 2000.0)));
        assert_eq!(p50(report.until_429_ms), Some((1, 500.0)));
        assert_eq!(p50(report.retry_after_ms), Some((1, 2000.0)));
    }

    #[test]
    fn in_an_open_loop_waiting_counts() {
        let mut late = record(0, 3.0, 4.0);
        late.due = 1.0;
        let run = Run { records: vec![late], sent: 1, ..Run::default() };
        let report = Report::new(Settings { loop_name: "open", rate: Some(1.0), ..settings() }, &run);
        assert_eq!(report.wait_ms.map(|p| p.max), Some(2000.0));
        assert_eq!(report.end_to_end_ms.map(|p| p.max), Some(3000.0));
        assert_eq!(report.duration_s, 1.0);
    }

    #[test]
    fn nothing_measured_is_told_without_numbers_that_are_none() {
        let report = Report::new(settings(), &Run::default());
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!((&json["requests_per_second"], &json["first_token_ms"]), (&0.0.into(), &().into()));
        assert_eq!(json["cached_fraction"], serde_json::Value::Null);
    }
}

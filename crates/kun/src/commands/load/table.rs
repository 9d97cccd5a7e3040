//! The report for people, as text.

use std::fmt::Write;

use super::percentiles::Percentiles;
use super::report::{Report, Settings};

/// What was asked for, the numbers, and what went wrong.
pub(super) fn table(report: &Report) -> String {
    let mut out = format!("{}\n\n", head(&report.settings));
    for (name, value) in totals(report) {
        line(&mut out, name, &value);
    }
    let columns = ["p50", "p90", "p99", "max"].map(|name| format!("{name:>11}")).concat();
    line(&mut out, "\nmilliseconds", &columns);
    for (name, percentiles) in latencies(report) {
        let values = percentiles.map_or_else(|| format!("{:>11}", "-"), |p| columns_of(&p));
        line(&mut out, name, &values);
    }
    for failed in &report.failures {
        line(
            &mut out,
            &format!("\nfailed: {}", failed.kind.name()),
            &format!("{}, at first: {}", failed.count, failed.message),
        );
    }
    if let Some(remark) = &report.remark {
        line(&mut out, "\nremark", remark);
    }
    out
}

/// What was asked for, in two lines.
pub(super) fn head(s: &Settings) -> String {
    let pace = match s.rate {
        None if s.concurrency == 1 => "closed loop of 1 stream".to_owned(),
        None => format!("closed loop of {} streams", s.concurrency),
        Some(rate) => format!("open loop of {rate} requests/s, at most {} streams", s.concurrency),
    };
    let prompts = match &s.prompt_tokens {
        Some(tokens) => format!("prompts of {tokens} tokens ({})", s.prompts),
        None => "prompts of a file".to_owned(),
    };
    let shared = match (s.shared_prefix, s.prefix_groups) {
        (0.0, _) => String::new(),
        (shared, 1) => format!(", {:.0} % shared", 100.0 * shared),
        (shared, groups) => format!(", {:.0} % shared in {groups} groups", 100.0 * shared),
    };
    let stream = if s.stream { "streamed" } else { "whole" };
    format!(
        "{}: {}, {}, {stream}\n{pace}, {prompts}{shared}, answers of {}, seed {}",
        s.url, s.model, s.api, s.output_tokens, s.seed
    )
}

/// The rows with one value.
pub(super) fn totals(report: &Report) -> Vec<(&'static str, String)> {
    let n = &report.requests;
    let mut counts = format!("{} ok, {} failed", n.ok, n.failed);
    for (count, what) in [(n.unfinished, "unfinished"), (n.short, "with short answers")] {
        if count > 0 {
            write!(counts, ", {count} {what}").expect("a String takes everything");
        }
    }
    let cached =
        report.cached_fraction.map_or_else(|| "not told".to_owned(), |f| format!("{:.1} %", 100.0 * f));
    let streams = format!("{:.1} on average, {} at most", report.streams_mean, report.streams_max);
    vec![
        ("requests", counts),
        ("duration", format!("{:.2} s", report.duration_s)),
        ("throughput", format!("{:.2} requests/s", report.requests_per_second)),
        ("input", format!("{:.1} tokens/s ({} tokens)", report.input_tokens_per_second, report.input_tokens)),
        (
            "output",
            format!("{:.1} tokens/s ({} tokens)", report.output_tokens_per_second, report.output_tokens),
        ),
        ("cached input", cached),
        ("running streams", streams),
    ]
}

/// The rows with percentiles. What can't be without failures, or in a closed loop, is left out there.
pub(super) fn latencies(report: &Report) -> Vec<(&'static str, Option<Percentiles>)> {
    let mut rows = vec![
        ("first byte", report.first_byte_ms),
        ("first token", report.first_token_ms),
        ("between tokens", report.inter_token_ms),
        ("per output token", report.time_per_output_token_ms),
        ("end to end", report.end_to_end_ms),
    ];
    if report.wait_ms.is_some() {
        rows.insert(0, ("wait to be sent", report.wait_ms));
    }
    for (name, percentiles) in
        [("until a 429", report.until_429_ms), ("its Retry-After", report.retry_after_ms)]
    {
        if percentiles.is_some() {
            rows.push((name, percentiles));
        }
    }
    rows
}

fn columns_of(p: &Percentiles) -> String {
    [p.p50, p.p90, p.p99, p.max].map(|value| format!("{:>11}", ms(value))).concat()
}

/// Milliseconds with the digits that matter.
pub(super) fn ms(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn line(out: &mut String, name: &str, value: &str) {
    // A line break before the name is no part of its width.
    let width = 18 + name.len() - name.trim_start().len();
    writeln!(out, "{name:width$}{value}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::load::report::tests::{run, settings};

    #[test]
    fn the_table_has_the_numbers_in_columns() {
        let expect = "\
http://host: <model>, completions, streamed
closed loop of 2 streams, prompts of 10 tokens (token ids), 40 % shared, answers of 4, seed 1

requests          2 ok, 1 failed, 1 unfinished
duration          4.00 s
throughput        0.50 requests/s
input             5.0 tokens/s (20 tokens)
output            2.0 tokens/s (8 tokens)
cached input      40.0 %
running streams   1.4 on average, 2 at most

milliseconds              p50        p90        p99        max
first byte             100        100        100        100
first token            500        500        500        500
between tokens         250        500        500        500
per output token       250        250        250        250
end to end            2000       3000       3000       3000
until a 429            500        500        500        500
its Retry-After       2000       2000       2000       2000

failed: 429       1, at first: HTTP 429: <full>
";
        let squeezed = |text: &str| {
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        let shown = table(&Report::new(settings(), &run()));
        assert_eq!(squeezed(&shown), squeezed(expect), "{shown}");
        let widths: Vec<usize> = shown.lines().skip(11).take(8).map(str::len).collect();
        assert_eq!(widths, [62; 8], "{shown}");
    }
}

//! The report as one small HTML file: text, tables and plots, without scripts and without anything from outside.

mod plot;

use std::fmt::Write;

use super::answer::Record;
use super::report::{self, Report};
use super::table;
use plot::{Axis, Mark, Plot};

/// Points of a distribution's curve.
const CURVE_POINTS: usize = 250;
/// Intervals of a plot over time.
const INTERVALS: usize = 120;
/// Dots of the plot of requests; of more, every n-th is drawn.
const DOTS_MAX: usize = 2000;
/// A distribution whose samples differ by more gets a logarithmic axis.
const LOG_ABOVE: f64 = 20.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--faint:#687076;--line:#d7dbdf;--page:#fff;--mark:#0b68cb;--bad:#cd2b31}\
@media(prefers-color-scheme:dark){:root{--ink:#ecedee;--faint:#9ba1a6;--line:#3a3f42;--page:#151718;--mark:#52a9ff;--bad:#ff6369}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:44rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.3rem}h2{font-size:1rem;margin:2rem 0 0}p{white-space:pre-line;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{border-bottom:1px solid var(--line);padding:.2rem .4rem;text-align:left}\
th{font-weight:600}.n td+td,.n th+th{text-align:right;font-variant-numeric:tabular-nums}\
svg{width:100%;height:auto;display:block}text{fill:var(--faint);font:12px system-ui,sans-serif}\
.axis{stroke:var(--line);fill:none}.curve{stroke:var(--mark);fill:none;stroke-width:1.75;stroke-linejoin:round}\
.ok{fill:var(--mark);fill-opacity:.6}.failed{fill:var(--bad)}b.failed{color:var(--bad)}";

/// The page.
pub(super) fn page(report: &Report, records: &[Record]) -> String {
    let mut out = String::new();
    write_page(&mut out, report, records).expect("a String takes everything");
    out
}

fn write_page(out: &mut String, report: &Report, records: &[Record]) -> std::fmt::Result {
    let model = escaped(&report.settings.model);
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>kun load: {model}</title><style>{STYLE}</style></head><body>"
    )?;
    writeln!(out, "<h1>{model} under load</h1>\n<p>{}</p>", escaped(&table::head(&report.settings)))?;
    if report.is_interrupted {
        writeln!(out, "<p><b class=\"failed\">Interrupted: what was measured until then.</b></p>")?;
    }
    if let Some(remark) = &report.remark {
        writeln!(out, "<p><b class=\"failed\">{}</b></p>", escaped(remark))?;
    }
    write_tables(out, report)?;
    for (title, plot) in plots(report, records) {
        writeln!(out, "<h2>{title}</h2>\n{}", plot.svg())?;
    }
    writeln!(out, "</body></html>")
}

fn write_tables(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "<table>")?;
    for (name, value) in table::totals(report) {
        writeln!(out, "<tr><th>{name}</th><td>{}</td></tr>", escaped(&value))?;
    }
    writeln!(out, "</table>\n<table class=\"n\">")?;
    writeln!(out, "<tr><th>milliseconds</th><th>p50</th><th>p90</th><th>p99</th><th>max</th></tr>")?;
    for (name, percentiles) in table::latencies(report) {
        let values =
            percentiles.map_or([const { String::new() }; 4], |p| [p.p50, p.p90, p.p99, p.max].map(table::ms));
        let cells: String = values.iter().map(|value| format!("<td>{value}</td>")).collect();
        writeln!(out, "<tr><td>{name}</td>{cells}</tr>")?;
    }
    writeln!(out, "</table>")?;
    if report.failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "<table>\n<tr><th>failed</th><th>requests</th><th>at first</th></tr>")?;
    for failed in &report.failures {
        let (kind, message) = (failed.kind.name(), escaped(&failed.message));
        writeln!(out, "<tr><td>{kind}</td><td>{}</td><td>{message}</td></tr>", failed.count)?;
    }
    writeln!(out, "</table>")
}

/// Those plots for which something was measured.
fn plots(report: &Report, records: &[Record]) -> Vec<(&'static str, Plot)> {
    let ok = || records.iter().filter(|record| record.outcome.is_ok());
    let first = distribution(ok().filter_map(|record| record.first_token).collect());
    let between = distribution(ok().flat_map(|record| record.gaps.iter().copied()).collect());
    let mut plots = Vec::new();
    plots.extend(first.map(|plot| ("Time to the first token: fraction of requests within it", plot)));
    plots.extend(between.map(|plot| ("Time between tokens: fraction within it", plot)));
    if report.duration_s > 0.0 {
        let start = records.iter().map(|record| record.sent).fold(f64::INFINITY, f64::min);
        let over = Intervals { start, each: report.duration_s / INTERVALS as f64 };
        plots.push(("Output tokens per second", over.plot("tokens/s", &over.tokens(records))));
        plots.push(("Running streams", over.plot("streams", &over.running(records))));
        plots.push(("Requests: when each was sent, and how long it took", requests(records, start)));
    }
    plots
}

/// The fraction of samples, in seconds, that are at or below a time.
fn distribution(mut samples: Vec<f32>) -> Option<Plot> {
    samples.sort_unstable_by(f32::total_cmp);
    let ms = |sample: f32| f64::from(sample) * 1e3;
    let max = ms(*samples.last()?);
    // Chunks that arrive together have no time between them, which a logarithmic axis can't show.
    let min = ms(samples[samples.len() / 100]).max(max / 1e5);
    let x = if max > LOG_ABOVE * min { Axis::log("ms", min, max) } else { Axis::linear("ms", max) };
    let count = samples.len();
    let points = CURVE_POINTS.min(count);
    let ranks = (1..=points).map(|n| n * count / points);
    // A step at each sample: between two samples there is nothing.
    let mut fraction = 0.0;
    let curve = ranks.flat_map(|rank| {
        let before = std::mem::replace(&mut fraction, rank as f64 / count as f64);
        let time = ms(samples[rank - 1]);
        [(time, before), (time, fraction)]
    });
    Some(Plot { x, y: Axis::linear("", 1.0), marks: vec![Mark::Line(curve.collect())] })
}

/// A run's time, cut into equal intervals.
struct Intervals {
    start: f64,
    /// Seconds of one.
    each: f64,
}

impl Intervals {
    fn of(&self, time: f64) -> usize {
        // A time before the start, as rounding may make it, is in the first one.
        (((time - self.start) / self.each) as usize).min(INTERVALS - 1)
    }

    /// Tokens per second in each; tokens of a chunk arrive together, and all of an answer that is no stream at its end.
    fn tokens(&self, records: &[Record]) -> Vec<f64> {
        let mut tokens = vec![0.0; INTERVALS];
        for record in records.iter().filter(|record| record.outcome.is_ok()) {
            let Some(first) = record.first_token else {
                tokens[self.of(record.end)] += f64::from(record.output_tokens);
                continue;
            };
            let of_chunk = f64::from(record.output_tokens) / (record.gaps.len() + 1) as f64;
            let mut time = record.due + f64::from(first);
            tokens[self.of(time)] += of_chunk;
            for gap in &record.gaps {
                time += f64::from(*gap);
                tokens[self.of(time)] += of_chunk;
            }
        }
        tokens.iter().map(|tokens| tokens / self.each).collect()
    }

    /// Streams that run in each, on average.
    fn running(&self, records: &[Record]) -> Vec<f64> {
        let mut seconds = vec![0.0; INTERVALS];
        let (mut running, mut before) = (0.0, self.start);
        for (time, is_begin) in report::changes(records) {
            for (interval, seconds) in
                seconds.iter_mut().enumerate().take(self.of(time) + 1).skip(self.of(before))
            {
                let begin = self.start + interval as f64 * self.each;
                *seconds += running * (time.min(begin + self.each) - before.max(begin)).max(0.0);
            }
            running += if is_begin { 1.0 } else { -1.0 };
            before = time;
        }
        seconds.iter().map(|seconds| seconds / self.each).collect()
    }

    fn plot(&self, unit: &'static str, values: &[f64]) -> Plot {
        let max = values.iter().copied().fold(0.0, f64::max);
        let middle = |interval: usize| (interval as f64 + 0.5) * self.each;
        let line = values.iter().enumerate().map(|(interval, value)| (middle(interval), *value)).collect();
        let x = Axis::linear("s", self.each * INTERVALS as f64);
        Plot { x, y: Axis::linear(unit, max), marks: vec![Mark::Line(line)] }
    }
}

/// A dot for each request.
fn requests(records: &[Record], start: f64) -> Plot {
    let shown: Vec<&Record> = records.iter().step_by(records.len().div_ceil(DOTS_MAX)).collect();
    let dots = |is_ok: bool| {
        let those = shown.iter().filter(|record| record.outcome.is_ok() == is_ok);
        those.map(|record| (record.sent - start, f64::from(report::end_to_end(record)))).collect::<Vec<_>>()
    };
    let (ok, failed) = (dots(true), dots(false));
    let max = |value: fn(&(f64, f64)) -> f64| ok.iter().chain(&failed).map(value).fold(0.0, f64::max);
    let (x, y) = (Axis::linear("s", max(|dot| dot.0)), Axis::linear("s", max(|dot| dot.1)));
    Plot { x, y, marks: vec![Mark::Dots("ok", ok), Mark::Dots("failed", failed)] }
}

/// Text within HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::load::report::tests::{record, run, settings};
    use crate::commands::load::run::Run;

    #[test]
    fn the_page_has_everything_in_itself_and_strangers_text_is_text() {
        let run = run();
        let page = page(&Report::new(settings(), &run), &run.records);
        assert_eq!(page.matches("<svg").count(), 5, "{page}");
        assert_eq!(page.matches("<circle").count(), 3);
        assert!(page.contains("&lt;model&gt;") && page.contains("HTTP 429: &lt;full&gt;"), "{page}");
        for never in ["<script", "<model>", "<full>", "src=", "href=", "@import", "NaN", "inf"] {
            assert!(!page.contains(never), "{never} in {page}");
        }
    }

    #[test]
    fn nothing_measured_is_a_page_without_plots() {
        let page = page(&Report::new(settings(), &Run::default()), &[]);
        assert!(!page.contains("<svg") && page.ends_with("</body></html>\n"), "{page}");
    }

    #[test]
    fn a_page_of_many_requests_stays_small() {
        let records: Vec<Record> =
            (0..100_000).map(|n| record(n, n as f64 * 0.01, n as f64 * 0.01 + 2.0)).collect();
        let run = Run { sent: records.len(), records, ..Run::default() };
        let page = page(&Report::new(settings(), &run), &run.records);
        assert!(page.len() < 250_000, "{}", page.len());
    }

    #[test]
    fn what_runs_and_what_arrives_adds_up_over_time() {
        let records = run().records;
        let over = Intervals { start: 0.0, each: 4.0 / INTERVALS as f64 };
        let total = |values: Vec<f64>| values.iter().sum::<f64>() * over.each;
        assert!((total(over.running(&records)) - 5.5).abs() < 1e-9);
        assert!((total(over.tokens(&records)) - 8.0).abs() < 1e-9);
        // From 1 s to 2 s two streams run, from 3 s to 3.5 s as well.
        let running = over.running(&records);
        assert_eq!(
            [0.5, 1.5, 2.5, 3.2, 3.9].map(|time| running[over.of(time)].round()),
            [1.0, 2.0, 1.0, 2.0, 1.0]
        );
    }
}

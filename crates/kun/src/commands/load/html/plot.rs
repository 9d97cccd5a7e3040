//! A plot as SVG: two axes with ticks, and lines or dots between them.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;
/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;
/// An axis of more powers of ten is labelled at these alone.
const DECADES_WITH_STEPS: f64 = 2.5;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(super) enum Mark {
    Line(Vec<(f64, f64)>),
    /// Dots of a class of the style sheet.
    Dots(&'static str, Vec<(f64, f64)>),
}

/// A range of values. Values outside of it are drawn at its ends.
#[derive(Debug)]
pub(super) struct Axis {
    unit: &'static str,
    min: f64,
    max: f64,
    is_log: bool,
}

impl Axis {
    /// From 0 to a value.
    pub(super) fn linear(unit: &'static str, max: f64) -> Self {
        Axis { unit, min: 0.0, max: if max > 0.0 { max } else { 1.0 }, is_log: false }
    }

    /// Between two values above 0.
    pub(super) fn log(unit: &'static str, min: f64, max: f64) -> Self {
        assert!(min > 0.0 && min < max, "a logarithmic axis from {min} to {max}");
        Axis { unit, min, max, is_log: true }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.min, self.max);
        match self.is_log {
            true => (value / self.min).ln() / (self.max / self.min).ln(),
            false => (value - self.min) / (self.max - self.min),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = round_step((self.max - self.min) / TICKS);
            // A little more than the whole, so that rounding does not lose the last one.
            let count = ((self.max - self.min) / step + 1e-9) as usize;
            return (0..=count).map(|n| self.min + n as f64 * step).collect();
        }
        let decades = (self.max / self.min).log10();
        let steps: &[f64] = if decades <= DECADES_WITH_STEPS { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (first, last) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
        let all = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|tick| (self.min..=self.max).contains(tick)).collect()
    }
}

/// The next larger of 1, 2, 5, 10, 20, …
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|round| *round >= step * 0.999)
        .unwrap_or(step)
}

impl Plot {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("a String takes everything");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")?;
        for tick in self.y.ticks() {
            let y = self.y_of(tick);
            write!(out, "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{right}\"/>")?;
            write!(
                out,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                label(tick)
            )?;
        }
        write!(out, "<text x=\"{LEFT}\" y=\"12\">{}</text>", self.y.unit)?;
        for tick in self.x.ticks() {
            let x = self.x_of(tick);
            write!(out, "<path class=\"axis\" d=\"M{x:.1} {bottom}v5\"/>")?;
            write!(
                out,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                label(tick)
            )?;
        }
        write!(out, "<text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{}</text>", bottom + 4.0, self.x.unit)?;
        for mark in &self.marks {
            match mark {
                Mark::Line(points) => {
                    write!(out, "<polyline class=\"curve\" points=\"")?;
                    for (x, y) in points {
                        write!(out, "{:.1},{:.1} ", self.x_of(*x), self.y_of(*y))?;
                    }
                    write!(out, "\"/>")?;
                }
                Mark::Dots(class, points) => {
                    write!(out, "<g class=\"{class}\">")?;
                    for (x, y) in points {
                        write!(
                            out,
                            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>",
                            self.x_of(*x),
                            self.y_of(*y)
                        )?;
                    }
                    write!(out, "</g>")?;
                }
            }
        }
        write!(out, "</svg>")
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// A round number without zeros that say nothing.
fn label(tick: f64) -> String {
    let text = format!("{tick:.3}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        for (axis, expect) in [
            (Axis::linear("", 1.0), &["0", "0.2", "0.4", "0.6", "0.8", "1"][..]),
            (Axis::linear("", 437.0), &["0", "100", "200", "300", "400"]),
            (Axis::linear("", 0.0), &["0", "0.2", "0.4", "0.6", "0.8", "1"]),
            (Axis::linear("", 0.05), &["0", "0.01", "0.02", "0.03", "0.04", "0.05"]),
            (Axis::log("", 3.0, 120.0), &["5", "10", "20", "50", "100"]),
            (Axis::log("", 0.5, 2000.0), &["1", "10", "100", "1000"]),
        ] {
            let ticks: Vec<String> = axis.ticks().into_iter().map(label).collect();
            assert_eq!(ticks, expect, "{axis:?}");
        }
    }

    #[test]
    fn values_are_placed_between_the_ends() {
        let (linear, log) = (Axis::linear("", 10.0), Axis::log("", 1.0, 100.0));
        for (axis, value, expect) in [
            (&linear, 0.0, 0.0),
            (&linear, 5.0, 0.5),
            (&linear, 99.0, 1.0),
            (&log, 10.0, 0.5),
            (&log, 0.0, 0.0),
        ] {
            assert!((axis.place(value) - expect).abs() < 1e-9, "{axis:?} {value}");
        }
    }
}

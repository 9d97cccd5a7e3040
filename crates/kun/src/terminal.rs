//! Standard input, and progress on standard error.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, Outcome, reason};

/// No text from a pipe may be longer; no context holds that much.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// Is somebody there to type?
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// Is standard input a pipe or a file? Neither is a terminal, nor what a service manager or a closed
/// descriptor leaves there, which must not be waited for.
pub(crate) fn has_piped_input() -> bool {
    fs::metadata("/dev/stdin").is_ok_and(|m| m.file_type().is_fifo() || m.file_type().is_file())
}

/// All of standard input as text.
pub(crate) fn read_input() -> Outcome<String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::io(format!("cannot read standard input: {}", reason(&e))))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("standard input is longer than {} MiB", INPUT_BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|e| {
        let byte = e.utf8_error().valid_up_to();
        Failure::usage(format!("standard input is not UTF-8 text: byte {byte} is the first that is not"))
    })
}

/// A bar of bytes; it shows nothing where standard error is no terminal.
pub(crate) fn byte_bar(what: &str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left")
}

/// A bar of counted steps; it shows nothing where standard error is no terminal.
pub(crate) fn step_bar(what: &str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {wide_bar} {pos}/{len}, {eta} left")
}

/// Shows what share of a model is loaded. The bar goes when this is dropped.
pub(crate) fn loading() -> impl FnMut(f32) {
    struct Cleared(ProgressBar);
    impl Drop for Cleared {
        fn drop(&mut self) {
            self.0.finish_and_clear();
        }
    }
    let bar = Cleared(step_bar("loading", 100));
    move |done| bar.0.set_position((100.0 * done) as u64)
}

fn bar(what: &str, total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    ProgressBar::new(total).with_style(style).with_message(what.to_owned())
}

/// `12.3 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = 0;
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Things per second; 0 where nothing was measured.
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_fitting_unit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn nothing_measured_is_no_speed() {
        assert_eq!(per_second(5, Duration::ZERO), 0.0);
        assert_eq!(per_second(5, Duration::from_millis(500)), 10.0);
    }
}

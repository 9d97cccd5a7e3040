//! The measurements as Markdown: a section a model for BENCHMARKS.md, a line a model for README.md. Both go
//! between two marks, and the text around them stays.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::results::{self, ModelResult, Spread};
use super::shape::TESTS;

const BEGIN: &str = "<!-- compare: begin (written by `cargo xtask compare`) -->";
const END: &str = "<!-- compare: end -->";

/// Writes everything that has been kept into both documents.
pub(super) fn write(root: &Path) -> Result<()> {
    let all = results::kept(root)?;
    let sections: String = all.iter().map(section).collect();
    for (file, text) in [("BENCHMARKS.md", sections), ("README.md", summary(&all))] {
        let path = root.join(file);
        let old = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let new = put_between(&old, &text).with_context(|| format!("{file} has no {BEGIN} and {END}"))?;
        fs::write(&path, new).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(())
}

/// All that was measured of one model.
pub(super) fn section(result: &ModelResult) -> String {
    let mut text = String::new();
    let [before, after] = result.read_bytes_per_second.map(|bytes| bytes / 1e9);
    let lines = [
        format!("### {}", result.title),
        String::new(),
        format!(
            "{} MB. Kun {} at commit {} ({}), llama.cpp {}; {} threads, {} rounds, {}.",
            result.bytes / 1_000_000,
            result.kun,
            result.commit,
            result.isa,
            result.peer,
            result.threads,
            result.rounds,
            result.date
        ),
        format!(
            "{}; memory reads {before:.1} GB/s before and {after:.1} GB/s after; others used {:.0} % of the processor.",
            result.machine,
            100.0 * result.use_by_others
        ),
        String::new(),
        "| test | Kun, tokens/s | llama.cpp, tokens/s | ratio |".to_owned(),
        "| --- | ---: | ---: | ---: |".to_owned(),
    ];
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    for test in &result.tests {
        let _ = writeln!(
            text,
            "| {} (`{}`) | {} | {} | {:.2} × |",
            title(&test.name),
            test.name,
            cell(&test.kun),
            cell(&test.peer),
            test.ratio()
        );
    }
    text.push('\n');
    text
}

/// One line a model: Kun's medians, and how they compare.
fn summary(all: &[ModelResult]) -> String {
    let mut text = String::from("| tokens/s, and times llama.cpp's |");
    TESTS.iter().for_each(|test| text += &format!(" {} |", test.title));
    text += "\n| --- |";
    TESTS.iter().for_each(|_| text += " ---: |");
    for result in all {
        text += &format!("\n| {} |", result.title);
        for test in TESTS {
            text += &match result.tests.iter().find(|t| t.name == test.name) {
                Some(t) => format!(" {} ({:.2} ×) |", number(Spread::of(&t.kun).median), t.ratio()),
                None => " |".to_owned(),
            };
        }
    }
    text + "\n"
}

fn title(name: &str) -> &str {
    TESTS.iter().find(|test| test.name == name).map_or(name, |test| test.title)
}

fn cell(values: &[f64]) -> String {
    let Spread { median, min, max } = Spread::of(values);
    format!("{} ({} – {})", number(median), number(min), number(max))
}

/// About three digits, with a comma between thousands.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    let comma_after = |i: usize| i > 0 && (whole.len() - i).is_multiple_of(3);
    whole.char_indices().fold(String::new(), |text, (i, digit)| {
        if comma_after(i) { format!("{text},{digit}") } else { format!("{text}{digit}") }
    })
}

/// Replaces what is between the marks.
fn put_between(old: &str, new: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", new.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::result;
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let old = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = put_between(&old, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(put_between(&new, "new").unwrap(), new);
        assert_eq!(put_between("no marks", "new"), None);
        assert_eq!(put_between(&format!("{END}{BEGIN}"), "new"), None);
    }

    #[test]
    fn a_section_has_medians_spread_and_ratio() {
        let section = section(&result("Tiny", &[1000.0, 1234.4, 1300.0], &[99.0, 100.04, 123.0]));
        assert!(
            section.starts_with("### Tiny\n\n98 MB. Kun 0.1.0 at commit abc (avx2), llama.cpp b1; 2 threads"),
            "{section}"
        );
        assert!(
            section.contains(
                "memory reads 30.0 GB/s before and 31.0 GB/s after; others used 1 % of the processor"
            ),
            "{section}"
        );
        assert!(
            section.contains(
                "| prompt of 512 tokens (`pp512`) | 1,234 (1,000 – 1,300) | 100 (99.0 – 123) | 12.34 × |"
            ),
            "{section}"
        );
    }

    #[test]
    fn what_is_kept_is_written_into_both_documents_as_they_are() {
        let root = std::env::temp_dir().join(format!("kun-report-{}", std::process::id()));
        fs::create_dir_all(root.join("docs")).unwrap();
        for (file, text) in [
            ("README.md", include_str!("../../../README.md")),
            ("BENCHMARKS.md", include_str!("../../../BENCHMARKS.md")),
        ] {
            fs::write(root.join(file), text).unwrap();
        }
        for kun in [50.0, 70.0] {
            results::keep(&root, result("Tiny", &[kun], &[100.0])).unwrap();
            write(&root).unwrap();
        }
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        let (readme, benchmarks) = (read("README.md"), read("BENCHMARKS.md"));
        fs::remove_dir_all(&root).unwrap();
        assert!(readme.contains("\n| Tiny | 70.0 (0.70 ×) |") && readme.starts_with("# Kun\n"), "{readme}");
        assert_eq!(benchmarks.matches("### Tiny").count(), 1, "{benchmarks}");
        assert!(
            benchmarks.starts_with("# Benchmarks\n") && benchmarks.contains("| 0.70 × |"),
            "{benchmarks}"
        );
    }

    #[test]
    fn the_summary_leaves_cells_empty_that_were_not_measured() {
        let summary = summary(&[result("Tiny", &[50.0], &[100.0])]);
        assert!(summary.ends_with("\n| Tiny | 50.0 (0.50 ×) | | | |\n"), "{summary}");
    }

    #[test]
    fn numbers_have_commas_between_thousands() {
        assert_eq!(
            ["1,234,567", "100", "99.9", "12,346"],
            [1_234_567.0, 100.2, 99.94, 12_345.6].map(number).each_ref().map(String::as_str)
        );
    }
}

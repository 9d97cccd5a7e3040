//! Rules for the Markdown files.

use super::repository::Repository;

/// Every record in `docs/adr` is linked from ARCHITECTURE.md.
pub(super) fn records_are_listed(repository: &Repository) -> Vec<String> {
    let index = repository.text("ARCHITECTURE.md").unwrap_or("");
    let targets: Vec<&str> = links(index).map(|(_, target)| target).collect();
    repository
        .texts(&[".md"])
        .filter(|(path, _)| path.starts_with("docs/adr/") && !targets.contains(path))
        .map(|(path, _)| format!("ARCHITECTURE.md: {path} is not listed"))
        .collect()
}

/// Links to files of the repository lead to files that are there, and links to headings to headings.
pub(super) fn links_lead_somewhere(repository: &Repository) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in repository.texts(&[".md"]) {
        for (number, target) in links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').map_or((target, None), |(f, h)| (f, Some(h)));
            let file = if file.is_empty() { path.to_owned() } else { resolved(path, file) };
            if !repository.has(&file) {
                problems.push(format!("{path}:{number}: there is no {file}"));
            } else if let (Some(heading), Some(text)) = (heading, repository.text(&file))
                && !headings(text).any(|h| h == heading)
            {
                problems.push(format!("{path}:{number}: {file} has no heading #{heading}"));
            }
        }
    }
    problems
}

/// Targets of `[text](target)` outside of code, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        // Every second piece is in backticks. Of a link whose text is code, `](target)` begins the piece behind it.
        line.split('`').step_by(2).flat_map(move |piece| {
            let after = piece.split("](").skip(1);
            after.filter_map(move |rest| Some((number, rest.split_once(')')?.0.split(' ').next()?)))
        })
    })
}

/// Lines that are not in a fenced block, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// A relative link from a file, as a path from the root.
fn resolved(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a file's headings, as the usual renderers make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_not_listed_is_found() {
        let files =
            |index| [("ARCHITECTURE.md", index), ("docs/adr/0001-a.md", ""), ("docs/adr/0002-b.md", "")];
        let both = "[1](docs/adr/0001-a.md), [`2`](docs/adr/0002-b.md)";
        assert_eq!(records_are_listed(&Repository::of(&files(both))), [""; 0]);
        assert_eq!(
            records_are_listed(&Repository::of(&files("[1](docs/adr/0001-a.md)"))),
            ["ARCHITECTURE.md: docs/adr/0002-b.md is not listed"]
        );
    }

    fn check(text: &str, expect: &[&str]) {
        let files =
            [("docs/a.md", text), ("README.md", "# One word, two\n```\n# Not this\n```"), ("src/x.rs", "")];
        assert_eq!(links_lead_somewhere(&Repository::of(&files)), expect, "{text}");
    }

    #[test]
    fn links_are_followed_from_their_file() {
        check("[a](../README.md) [b](a.md) [c](../src) [d](https://example.org/x) [e](/src/x.rs)", &[]);
        check("\n[a](README.md)", &["docs/a.md:2: there is no docs/README.md"]);
        check("[`code`](../gone.md \"title\")", &["docs/a.md:1: there is no gone.md"]);
        check("`[a](gone.md)`\n```\n[a](gone.md)\n```", &[]);
    }

    #[test]
    fn links_to_headings_are_followed_too() {
        check("[a](../README.md#one-word-two) [b](#here)\n## Here", &[]);
        check("[a](../README.md#not-this)", &["docs/a.md:1: README.md has no heading #not-this"]);
    }
}

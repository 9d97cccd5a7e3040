//! Rules for source files, one by one.

use super::repository::Repository;

const SOURCES: &[&str] = &[".rs", ".py", ".sh", ".js", ".ts"];
const LINES_MAX: usize = 600;
/// What a longer file says in its first comment, with the reason behind it.
const LONG: &str = "long because";

/// Where unsafe code may be: a whole crate, or one file of a crate.
const UNSAFE_CRATES: &[&str] = &["crates/kernels/"];
const UNSAFE_FILES: &[&str] = &["crates/weights/src/gguf/mapping.rs"];
/// In tests an allocator that counts may be unsafe as well: the trait is.
const UNSAFE_TESTS: &str = "GlobalAlloc";

/// Every crate forbids unsafe code, but for the places named above.
pub(super) fn unsafe_has_its_place(repository: &Repository) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in repository.texts(&["/src/lib.rs", "/src/main.rs"]) {
        let krate = path.split("src/").next().unwrap_or(path);
        let excepted = |place: &&str| place.starts_with(krate);
        if !UNSAFE_CRATES.iter().chain(UNSAFE_FILES).any(excepted)
            && !text.contains("#![forbid(unsafe_code)]")
        {
            problems.push(format!("{path}: #![forbid(unsafe_code)] is missing"));
        }
    }
    for (path, text) in repository.texts(&[".rs"]) {
        let allowed = UNSAFE_CRATES.iter().any(|krate| path.starts_with(krate))
            || UNSAFE_FILES.contains(&path)
            || (path.contains("/tests/") && text.contains(UNSAFE_TESTS));
        if allowed {
            continue;
        }
        for (number, line) in code_lines(text) {
            if words(line).any(|word| word == "unsafe") {
                problems.push(format!("{path}:{number}: unsafe code has no place here"));
            }
        }
    }
    problems
}

/// A file is at most 600 lines long, or its first comment says what it is long because of.
pub(super) fn files_are_short(repository: &Repository) -> Vec<String> {
    let is_long = |text: &str| text.lines().count() > LINES_MAX && !head(text).contains(LONG);
    repository
        .texts(SOURCES)
        .filter(|(_, text)| is_long(text))
        .map(|(path, text)| {
            let lines = text.lines().count();
            format!("{path}: {lines} lines; split it, or say in its first comment that it is \"{LONG} …\"")
        })
        .collect()
}

/// No marks of what is still to be done, no tests that are switched off.
pub(super) fn nothing_is_unfinished(repository: &Repository) -> Vec<String> {
    // Put together from halves, so that this file has none of them.
    let words_never = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let code_never = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!("#[ign", "ore"),
    ];
    let mut problems = Vec::new();
    for (path, text) in repository.texts(&[".rs", ".py", ".sh", ".js", ".ts", ".md", ".toml", "/run"]) {
        for (number, line) in (1..).zip(text.lines()) {
            let word = words_never.into_iter().find(|never| words(line).any(|word| word == *never));
            let code = code_never.into_iter().find(|never| path.ends_with(".rs") && line.contains(never));
            if let Some(found) = word.or(code) {
                problems.push(format!("{path}:{number}: {found} has no place in a finished repository"));
            }
        }
    }
    problems
}

/// The comment (or docstring) with which a file begins, on one line.
fn head(text: &str) -> String {
    let is_head = |line: &&str| line.starts_with("//") || line.starts_with('#');
    let mut lines = text.lines().skip_while(|line| line.starts_with("#!")).peekable();
    let quoted = lines.peek().is_some_and(|line| line.starts_with("\"\"\""));
    let lines: Vec<&str> = if quoted {
        let first = lines.next().unwrap_or("");
        std::iter::once(first).chain(lines.take_while(|line| !line.contains("\"\"\""))).collect()
    } else {
        lines.take_while(is_head).map(|line| line.trim_start_matches(['/', '!', '#'])).collect()
    };
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Lines with their numbers, without comments and without what stands in quotes.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).map(|(number, line)| {
        let end = [line.find("//"), line.find('"')].into_iter().flatten().min().unwrap_or(line.len());
        (number, &line[..end])
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&Repository) -> Vec<String>, path: &str, text: &str, expect: &[&str]) {
        assert_eq!(rule(&Repository::of(&[(path, text)])), expect, "{path}: {text}");
    }

    #[test]
    fn unsafe_code_is_forbidden_outside_of_its_places() {
        let forbidden = "#![forbid(unsafe_code)]\nfn main() {}";
        check(unsafe_has_its_place, "crates/text/src/lib.rs", forbidden, &[]);
        let missing = ["crates/text/src/lib.rs: #![forbid(unsafe_code)] is missing"];
        check(unsafe_has_its_place, "crates/text/src/lib.rs", "fn main() {}", &missing);
        check(unsafe_has_its_place, "crates/kernels/src/lib.rs", "unsafe { x() }", &[]);
        check(unsafe_has_its_place, "crates/weights/src/lib.rs", "mod gguf;", &[]);
        check(unsafe_has_its_place, "crates/weights/src/gguf/mapping.rs", "unsafe { map() }", &[]);
        let here = ["crates/weights/src/store.rs:2: unsafe code has no place here"];
        check(unsafe_has_its_place, "crates/weights/src/store.rs", "// unsafe\nunsafe { map() }", &here);
        check(unsafe_has_its_place, "crates/a/tests/b.rs", "unsafe impl GlobalAlloc for A {}", &[]);
    }

    #[test]
    fn a_long_file_says_why() {
        let long = "fn a() {}\n".repeat(601);
        let expect = ["a.rs: 601 lines; split it, or say in its first comment that it is \"long because …\""];
        check(files_are_short, "a.rs", &long, &expect);
        check(files_are_short, "a.rs", &"fn a() {}\n".repeat(600), &[]);
        check(
            files_are_short,
            "a.rs",
            &format!("//! A table.\n//! The file is long\n//! because of it.\n{long}"),
            &[],
        );
        check(
            files_are_short,
            "a.py",
            &format!("#!/bin/x\n\"\"\"A table.\n\nLong because of it.\n\"\"\"\n{long}"),
            &[],
        );
        let late = format!("{long}// long because\n");
        assert_eq!(files_are_short(&Repository::of(&[("a.rs", &late)])).len(), 1);
    }

    #[test]
    fn marks_of_unfinished_work_are_found_as_words() {
        let mark = concat!("TO", "DO");
        let expect = [format!("a.md:2: {mark} has no place in a finished repository")];
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        check(nothing_is_unfinished, "a.md", &format!("x\n{mark}: y"), &expect);
        check(nothing_is_unfinished, "a.md", &format!("x{mark}"), &[]);
        for code in [concat!("to", "do!()"), concat!("db", "g!(x)"), concat!("#[ign", "ore = \"slow\"]")] {
            assert_eq!(nothing_is_unfinished(&Repository::of(&[("a.rs", code)])).len(), 1, "{code}");
        }
    }
}

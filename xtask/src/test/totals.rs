//! The sum over all test binaries, read from what the test harness prints.

use std::fmt;

/// How many tests there were, and which failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) binaries: usize,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    failures: Vec<String>,
}

impl Totals {
    /// Takes one line of output into account.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.binaries += 1;
        // "ok. 3 passed; 0 failed; 1 ignored; …"
        let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Takes one line of pytest or of Node's runner into account: "3 passed, 1 failed in 2.1s", "ℹ pass 3".
    pub(super) fn read_client(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("FAILED ") {
            self.failures.push(name.to_owned());
        }
        if let Some((what, number)) = line.trim_start_matches(['ℹ', '#', ' ']).split_once(' ')
            && let Ok(number) = number.trim().parse::<usize>()
        {
            match what {
                "pass" => self.passed += number,
                "fail" | "cancelled" => self.failed += number,
                "skipped" | "todo" => self.ignored += number,
                _ => {}
            }
        } else if line.contains(" in ") {
            let counts = line.split(" in ").next().unwrap_or_default();
            for count in counts.trim_matches(['=', ' ']).split(", ") {
                let Some((number, what)) = count.split_once(' ') else { continue };
                let Ok(number) = number.parse::<usize>() else { continue };
                match what {
                    "passed" | "xpassed" => self.passed += number,
                    "failed" | "error" | "errors" => self.failed += number,
                    "skipped" | "xfailed" => self.ignored += number,
                    _ => {}
                }
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.failures {
            writeln!(f, "failed: {name}")?;
        }
        let Totals { binaries, passed, failed, ignored, .. } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored in {binaries} test binaries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added() {
        let mut totals = Totals::default();
        let output = "\
running 2 tests
test a::b ... ok
test a::c ... FAILED
test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: ok. 40 passed; 0 failed; 3 ignored; 0 measured; 5 filtered out; finished in 1.5s";
        output.lines().for_each(|line| totals.read(line));
        assert_eq!((totals.binaries, totals.passed, totals.failed, totals.ignored), (2, 41, 1, 5));
        assert_eq!(totals.to_string(), "failed: a::c\n41 passed, 1 failed, 5 ignored in 2 test binaries");
    }

    #[test]
    fn totals_of_pytest_and_of_node_are_read() {
        let mut totals = Totals::default();
        let output = "\
FAILED test_openai.py::test_chat - AssertionError
22 failed, 72 passed, 28 skipped in 53.40s
1 passed in 78.84s (0:01:18)
ℹ tests 5
ℹ pass 4
ℹ fail 1
ℹ skipped 2
# pass 3
client calls: 90";
        output.lines().for_each(|line| totals.read_client(line));
        assert_eq!((totals.passed, totals.failed, totals.ignored), (80, 23, 30));
        assert_eq!(totals.failures.len(), 1);
    }
}

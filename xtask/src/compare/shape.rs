//! The table of tests: what both programs are asked to do, under the names that `kun bench` has for it.

/// A test: a row of the table.
#[derive(Debug)]
pub(super) struct Test {
    /// The name in `kun bench`.
    pub(super) name: &'static str,
    /// What a reader calls it.
    pub(super) title: &'static str,
    pub(super) work: Work,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Evaluate a prompt of so many tokens.
    Prompt { tokens: usize },
    /// Generate so many tokens after so many others.
    Generation { tokens: usize, depth: usize },
    /// Generate so many tokens in each of so many sequences, each after a prompt of its own.
    Batched { sequences: usize, prompt: usize, tokens: usize },
}

/// All tests, in the order in which they run.
pub(super) const TESTS: &[Test] = &[
    Test { name: "pp512", title: "prompt of 512 tokens", work: Work::Prompt { tokens: 512 } },
    Test {
        name: "tg128",
        title: "generation of 128 tokens",
        work: Work::Generation { tokens: 128, depth: 0 },
    },
    Test {
        name: "tg128@4096",
        title: "generation after 4,096 tokens",
        work: Work::Generation { tokens: 128, depth: 4096 },
    },
    Test {
        name: "tg128x16",
        title: "16 sequences together",
        work: Work::Batched { sequences: 16, prompt: 16, tokens: 128 },
    },
];

impl Test {
    /// Is there much to compute before anything is measured?
    pub(super) fn is_slow(&self) -> bool {
        matches!(self.work, Work::Generation { depth: 1.., .. })
    }
}

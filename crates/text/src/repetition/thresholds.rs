//! How much must be repeated before it counts as a loop.
//!
//! Two tables, and the higher of their numbers counts. The first goes by the unit's period: a long unit that comes back
//! word for word needs few copies. The second goes by how many different symbols the unit has: with few it may be a
//! table, a matrix or a ruler, which somebody wants, and only its length tells.

/// The tables for one kind of symbol.
#[derive(Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// The longest unit that is looked for.
    pub period_max: usize,
    /// By period, ascending; the last row is for `period_max`.
    by_period: &'static [ByPeriod],
    /// By different symbols, ascending; with more than the last row has, the period alone counts.
    by_variety: &'static [ByVariety],
}

/// Units of up to `period` symbols are a loop from so many copies and so many symbols on.
#[derive(Debug, PartialEq, Eq)]
struct ByPeriod {
    period: usize,
    copies: usize,
    length: usize,
}

/// Units of up to `variety` different symbols are a loop from so many symbols on.
#[derive(Debug, PartialEq, Eq)]
struct ByVariety {
    variety: usize,
    length: usize,
}

/// For tokens of a vocabulary.
pub static TOKENS: Thresholds = Thresholds {
    period_max: 256,
    by_period: &[
        ByPeriod { period: 1, copies: 64, length: 64 },
        ByPeriod { period: 8, copies: 16, length: 64 },
        // A sentence in a script of which the vocabulary has few words is longer, and that much of it is no chance.
        ByPeriod { period: 48, copies: 6, length: 0 },
        ByPeriod { period: 256, copies: 4, length: 0 },
    ],
    by_variety: &[
        ByVariety { variety: 4, length: 512 },
        ByVariety { variety: 12, length: 384 },
        ByVariety { variety: 24, length: 192 },
    ],
};

/// For characters. A line of markup has as many different ones as a short sentence, so more of it must be there.
pub static CHARACTERS: Thresholds = Thresholds {
    period_max: 512,
    by_period: &[
        ByPeriod { period: 1, copies: 256, length: 256 },
        ByPeriod { period: 8, copies: 32, length: 128 },
        ByPeriod { period: 512, copies: 4, length: 0 },
    ],
    by_variety: &[
        ByVariety { variety: 4, length: 2048 },
        ByVariety { variety: 12, length: 1536 },
        ByVariety { variety: 18, length: 1024 },
        ByVariety { variety: 24, length: 512 },
    ],
};

impl Thresholds {
    /// How many symbols copies of a unit must have to be a loop: one of this period, with so many different symbols.
    pub fn length(&self, period: usize, variety: usize) -> usize {
        let row = self.by_variety.iter().find(|row| variety <= row.variety);
        self.least_length(period).max(row.map_or(0, |row| row.length))
    }

    /// The same for a unit whose symbols all differ.
    pub(super) fn least_length(&self, period: usize) -> usize {
        let row = self.by_period.iter().find(|row| period <= row.period);
        let row = row.expect("the last row is for the longest period");
        (row.copies * period).max(row.length)
    }
}

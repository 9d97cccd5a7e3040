//! Text that repeats itself for ever: the end of a sequence of symbols, tokens or characters, as copies of one unit.
//!
//! For every period p up to a bound, the detector counts how many of the last symbols equal the one p places before
//! them. A sequence ends in copies of a unit of p symbols exactly as long as that count goes on, so a symbol costs one
//! comparison and one addition for each period, which compilers do many at a time: about a tenth of a microsecond.
//! Only the smallest period counts, as copies of "ab" are copies of "abab" as well.
//!
//! Whether copies are a loop or wanted is a matter of how much is repeated ([`Thresholds`]). Much of what is asked for
//! repeats itself: rows of zeros, tables without content, rulers, refrains, boilerplate. Such units have few *different*
//! symbols, whereas a sentence has many, so the fewer there are, the more must be repeated. What has only a few passes
//! for some hundred tokens, and is a loop in the end: nothing tells an endless row of zeros from one that is wanted but
//! its length.
//!
//! What it does not see: copies that differ in something (a number that counts up), and units longer than the bound.

pub mod thresholds;

pub use thresholds::Thresholds;

/// Counts the copies at the end of one sequence.
///
/// Invariant: `runs[bound - p]` is how many symbols at the end equal the one p places before them, since the start.
#[derive(Debug, Clone)]
pub struct Repetitions {
    thresholds: &'static Thresholds,
    /// The longest period comes first, so that it stands beside the oldest symbol.
    runs: Vec<u32>, // [thresholds.period_max]
    /// What each run must reach before it is worth a look, in the same order.
    worth_a_look: Vec<u32>, // [thresholds.period_max]
    /// Symbols taken so far.
    pushes: u64,
    /// The last unit whose different symbols were counted.
    known: Option<Known>,
    /// Memory for counting different symbols.
    symbols: Vec<u32>,
}

/// A unit, and how many different symbols it has: as long as its copies go on, that stays the same.
#[derive(Debug, Clone, Copy)]
struct Known {
    period: usize,
    variety: usize,
    /// The symbol up to which its copies went.
    at: u64,
}

/// The end of a sequence as copies of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    /// Symbols of the unit, the fewest possible.
    pub period: usize,
    /// Symbols of all copies, the last of which may be cut off.
    pub length: usize,
}

impl Repeated {
    /// How often the whole unit stands there.
    pub fn copies(&self) -> usize {
        self.length / self.period
    }

    /// Symbols behind the first copy.
    pub fn excess(&self) -> usize {
        self.length - self.period
    }
}

/// What the end of a sequence looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing to speak of.
    None,
    /// At least half of what would be a loop.
    Suspicion(Repeated),
    /// A loop.
    Loop(Repeated),
}

impl Repetitions {
    /// For a sequence that begins.
    pub fn new(thresholds: &'static Thresholds) -> Self {
        let bound = thresholds.period_max;
        let least =
            |period: usize| (thresholds.least_length(period) / 2).saturating_sub(period).max(1) as u32;
        Repetitions {
            thresholds,
            runs: vec![0; bound],
            worth_a_look: (1..=bound).rev().map(least).collect(),
            pushes: 0,
            known: None,
            symbols: Vec::with_capacity(bound),
        }
    }

    /// Forgets what was counted: the next symbol begins new runs. They may still lead back to the symbols before.
    pub fn restart(&mut self) {
        self.runs.fill(0);
        self.known = None;
    }

    /// Takes the last symbol of `sequence`, which is the sequence of the last call with this symbol added. (Only the
    /// last `period_max + 1` symbols of it are looked at, so it may be cut in front.)
    pub fn push(&mut self, sequence: &[u32]) -> Finding {
        let Some((&last, before)) = sequence.split_last() else { return Finding::None };
        self.pushes += 1;
        let bound = self.runs.len();
        let before = &before[before.len().saturating_sub(bound)..];
        // Longer periods than there are symbols have nothing to be compared with.
        let first = bound - before.len();
        let mut looked_for = false;
        let counters = self.runs[first..].iter_mut().zip(&self.worth_a_look[first..]);
        for ((run, &least), &symbol) in counters.zip(before) {
            *run = if symbol == last { *run + 1 } else { 0 };
            looked_for |= *run >= least;
        }
        if looked_for { self.look(sequence) } else { Finding::None }
    }

    /// Weighs the runs that are long enough for it.
    fn look(&mut self, sequence: &[u32]) -> Finding {
        let bound = self.runs.len();
        let mut longest = 0;
        let mut finding = Finding::None;
        for period in 1..=bound.min(sequence.len() - 1) {
            let run = self.runs[bound - period];
            let length = run as usize + period;
            // What has a shorter period as well has no unit of this one.
            let primitive = length > longest;
            longest = longest.max(length);
            if !primitive || run < self.worth_a_look[bound - period] {
                continue;
            }
            let unit = &sequence[sequence.len() - period..];
            let wanted = self.thresholds.length(period, self.variety(unit));
            let repeated = Repeated { period, length };
            if length >= wanted {
                return Finding::Loop(repeated);
            }
            if 2 * length >= wanted && finding == Finding::None {
                finding = Finding::Suspicion(repeated);
            }
        }
        finding
    }

    /// How many different symbols a unit has.
    fn variety(&mut self, unit: &[u32]) -> usize {
        let goes_on = |known: &Known| known.period == unit.len() && known.at + 1 == self.pushes;
        let variety = self.known.filter(goes_on).map(|known| known.variety).unwrap_or_else(|| {
            self.symbols.clear();
            self.symbols.extend_from_slice(unit);
            self.symbols.sort_unstable();
            self.symbols.dedup();
            self.symbols.len()
        });
        self.known = Some(Known { period: unit.len(), variety, at: self.pushes });
        variety
    }
}

#[cfg(test)]
mod tests;

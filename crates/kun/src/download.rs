//! Fetching a model, with a progress bar on standard error.

use std::path::PathBuf;

use indicatif::ProgressBar;
use weights::download::Progress;
use weights::store::Store;

use crate::environment::Environment;
use crate::failure::Outcome;
use crate::{output, terminal};

/// Fetches a model unless it is in the store, and gives its file.
pub(crate) fn pull(store: &Store, name: &str, environment: &Environment) -> Outcome<PathBuf> {
    let mut display = Display { name: name.to_owned(), bar: None, verifying: false };
    let pulled = store.pull(name, &environment.hub, &mut |progress| display.show(progress));
    if let Some(bar) = &display.bar {
        bar.finish_and_clear();
    }
    Ok(pulled?)
}

/// What is on the terminal.
struct Display {
    name: String,
    bar: Option<ProgressBar>,
    /// The bar counts bytes that are hashed, not bytes that arrive.
    verifying: bool,
}

impl Display {
    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Connecting { source } => self.say(&format!("fetching {} from {source}", self.name)),
            // The reason names the source, and the next line what is tried instead.
            Progress::FallingBack { why, .. } => self.say(&why),
            Progress::Retrying { why, after } => {
                self.say(&format!("{why}; trying again in {:.0} s", after.as_secs_f64()));
            }
            Progress::WaitingForLock => {
                self.say(&format!("another process is fetching {}: waiting", self.name))
            }
            Progress::Bytes { done, total } => self.advance(false, done, total),
            Progress::Verifying { done, total } => self.advance(true, done, total),
            Progress::Done => {}
        }
    }

    fn advance(&mut self, verifying: bool, done: u64, total: u64) {
        if self.verifying != verifying
            && let Some(bar) = self.bar.take()
        {
            bar.finish_and_clear();
        }
        self.verifying = verifying;
        let what = if verifying { "verifying" } else { "fetching" };
        let bar = self.bar.get_or_insert_with(|| terminal::byte_bar(what, total));
        bar.set_length(total);
        bar.set_position(done);
    }

    /// A line above the bar.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(line)),
            None => output::note(line),
        }
    }
}

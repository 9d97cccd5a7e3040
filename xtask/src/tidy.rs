//! `cargo xtask tidy`: the rules of the repository that no compiler checks.
//!
//! A rule is a function from the files of the repository to what is wrong with them, so each is tested on a
//! few made-up files.

mod crates;
mod documents;
mod repository;
mod sources;
mod tables;

use std::path::Path;

use anyhow::{Result, bail};

use repository::Repository;

/// A rule: what it asks for, and its check.
type Rule = (&'static str, fn(&Repository) -> Vec<String>);

const RULES: &[Rule] = &[
    ("crates depend on each other as ARCHITECTURE.md says", crates::dependencies_are_drawn),
    ("a library of others has its sentence in CONTRIBUTING.md", crates::libraries_have_reasons),
    ("unsafe code stays in the kernels and the mapping of files", sources::unsafe_has_its_place),
    ("a file over 600 lines says why", sources::files_are_short),
    ("nothing is left unfinished", sources::nothing_is_unfinished),
    ("tables are complete", tables::tables_are_complete),
    ("README.md names every row of the tables", tables::rows_are_documented),
    ("ARCHITECTURE.md lists every decision record", documents::records_are_listed),
    ("links lead to files that are there", documents::links_lead_somewhere),
];

/// Checks all rules and says everything that is wrong.
pub(crate) fn run(root: &Path) -> Result<()> {
    let repository = Repository::read(root)?;
    let mut wrong = 0;
    for (rule, check) in RULES {
        let problems = check(&repository);
        println!("{}  {rule}", if problems.is_empty() { "ok   " } else { "WRONG" });
        for problem in &problems {
            println!("       {problem}");
        }
        wrong += problems.len();
    }
    if wrong > 0 { bail!("tidy found {wrong} problems") } else { Ok(()) }
}

//! What bad input and faults get from the service: a table of cases, and what must hold after each of them.
//!
//! A case is a request, or something done to a server, and what is expected of it; its number is its row in the project's
//! list of faults. After every case the process is the same one, it is healthy, a canary request brings the bytes that it
//! always brought, nothing has panicked and no error text holds what is nobody's business. The table runs twice: what
//! memory is larger after a row of the second round than after the first round has leaked.
//!
//! Rows that one server can't be put through again and again stand elsewhere: 1 to 21 in `broken_models` and, for the
//! service, in `faults/start`; 23 to 33 and 95 there and in `cli`; 67, 75, 76, 79 to 81 and 93 in `faults/load`; 69, 73, 74 and 82 in
//! `under_load` and `front_drain`; 77 in `under_load`; 83 in `memory`, which holds the largest size that the process ever had; 84, 85, 89,
//! 90 and 94 in `cli/pull` and the tests of the store; 92 in `front_heads`; 102 in `forms`; 115 in the engine's tests, with a
//! model that panics. The numbers 47, 51 and 56 are none of the list: they hold what is like its neighbours.

mod api;
mod bodies;
mod case;
mod exchange;
mod forms;
mod http;
mod load;
mod params;
mod prompts;
mod start;
mod streaming;
mod templates;
mod watch;

use std::collections::BTreeSet;

use case::Case;
use watch::Watch;

use crate::server::Server;

/// Cases that one server with its usual limits takes one after the other.
fn table() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(bodies::cases());
    cases.extend(params::cases());
    cases.extend(prompts::cases());
    cases.extend(forms::cases());
    cases.extend(http::cases());
    cases.extend(templates::cases());
    cases.extend(streaming::cases());
    cases.sort_by_key(|case| case.row);
    cases
}

#[test]
fn every_fault_gets_its_answer_and_leaves_the_server_as_it_was() {
    let mut server = Server::start(&[]);
    let cases = table();
    let rows: BTreeSet<u16> = cases.iter().map(|case| case.row).collect();
    println!("{} cases of {} rows: {rows:?}", cases.len(), rows.len());
    assert!(cases.len() >= 200, "{} cases", cases.len());
    let mut failures = Vec::new();
    let mut watch = Watch::begin(&server);
    for round in [Round::Warm, Round::Measured] {
        for row in &rows {
            for case in cases.iter().filter(|case| case.row == *row) {
                let mut wrong = case.run(&server);
                wrong.extend(watch.look(&mut server));
                failures.extend(wrong.into_iter().map(|what| format!("row {row}: {}: {what}", case.name)));
                // Of hundreds of cases on a broken server none says more than the first.
                assert!(failures.len() < 500, "{}", failures.join("\n"));
            }
            if round == Round::Measured {
                failures.extend(watch.memory(&server).map(|what| format!("row {row}: {what}")));
            }
        }
        watch.measure(&server);
        if !failures.is_empty() {
            break;
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Takes what a process takes once: arenas, threads, the pages of caches.
    Warm,
    Measured,
}

//! The detector against its definition, and what it makes of units of all kinds.

use super::thresholds::{CHARACTERS, TOKENS};
use super::*;

/// The definition: the smallest period that the longest end has, tried one by one.
fn expect(sequence: &[u32], thresholds: &'static Thresholds) -> Finding {
    let mut suspicion = Finding::None;
    let mut longest = 0;
    for period in 1..=thresholds.period_max.min(sequence.len().saturating_sub(1)) {
        let end = sequence.len();
        let run =
            (0..end - period).take_while(|i| sequence[end - 1 - i] == sequence[end - 1 - i - period]).count();
        let length = run + period;
        if run == 0 || length <= longest {
            continue;
        }
        longest = length;
        let mut unit = sequence[end - period..].to_vec();
        unit.sort_unstable();
        unit.dedup();
        let wanted = thresholds.length(period, unit.len());
        let repeated = Repeated { period, length };
        if length >= wanted {
            return Finding::Loop(repeated);
        }
        // Half of what the period alone asks for must be there before anything is looked at.
        let worth_a_look = run >= (thresholds.least_length(period) / 2).saturating_sub(period).max(1);
        if worth_a_look && 2 * length >= wanted && suspicion == Finding::None {
            suspicion = Finding::Suspicion(repeated);
        }
    }
    suspicion
}

/// Every finding on the way is as it is defined.
fn follow(sequence: &[u32], thresholds: &'static Thresholds) {
    let mut repetitions = Repetitions::new(thresholds);
    for end in 1..=sequence.len() {
        let finding = repetitions.push(&sequence[..end]);
        assert_eq!(finding, expect(&sequence[..end], thresholds), "after {end} of {sequence:?}");
    }
}

/// A unit of `period` symbols, `variety` of which differ, and a prefix of other symbols before its copies.
fn copies(prefix: usize, period: usize, variety: usize, length: usize) -> Vec<u32> {
    let unit = |i: usize| if i % period < variety { (i % period) as u32 } else { variety as u32 - 1 };
    (0..prefix as u32).map(|i| 10_000 + i).chain((0..length).map(unit)).collect()
}

#[test]
fn findings_follow_the_definition() {
    for (period, variety) in
        [(1, 1), (2, 2), (7, 7), (8, 3), (9, 9), (30, 25), (64, 64), (65, 60), (256, 200), (257, 257)]
    {
        for prefix in [0, 1, 300] {
            follow(&copies(prefix, period, variety, 1200.min(period * 70)), &TOKENS);
        }
    }
    // Few different symbols in no order: periods come and go.
    let mut state = 1u32;
    for symbols in [2, 3] {
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let mut sequence: Vec<u32> = Vec::new();
        while sequence.len() < 3000 {
            let length = 1 + random() as usize % 40;
            let unit: Vec<u32> = (0..length).map(|_| random() % symbols).collect();
            let copies = 1 + random() as usize % (1 + 300 / length);
            (0..copies).for_each(|_| sequence.extend(&unit));
        }
        follow(&sequence, &TOKENS);
    }
}

#[test]
fn a_loop_is_found_as_soon_as_enough_is_repeated() {
    let check = |thresholds, period, variety, at| {
        let sequence = copies(100, period, variety, 4000);
        let mut repetitions = Repetitions::new(thresholds);
        let found =
            (1..=sequence.len()).find(|&end| matches!(repetitions.push(&sequence[..end]), Finding::Loop(_)));
        assert_eq!(found.map(|end| end - 100), at, "period {period}, {variety} different");
    };
    check(&TOKENS, 1, 1, Some(512));
    check(&TOKENS, 4, 4, Some(512));
    check(&TOKENS, 8, 8, Some(384));
    check(&TOKENS, 24, 24, Some(192));
    check(&TOKENS, 25, 25, Some(150));
    check(&TOKENS, 48, 48, Some(288));
    check(&TOKENS, 49, 49, Some(196));
    check(&TOKENS, 64, 64, Some(256));
    check(&TOKENS, 65, 65, Some(260));
    check(&TOKENS, 256, 256, Some(1024));
    check(&TOKENS, 257, 257, None);
    check(&CHARACTERS, 35, 28, Some(140));
    check(&CHARACTERS, 20, 3, Some(2048));
}

#[test]
fn the_smallest_unit_counts_and_copies_end_where_they_do() {
    let mut repetitions = Repetitions::new(&TOKENS);
    let mut sequence = copies(5, 30, 30, 30 * 6 + 7);
    let mut last = Finding::None;
    (1..=sequence.len()).for_each(|end| last = repetitions.push(&sequence[..end]));
    let repeated = Repeated { period: 30, length: 187 };
    assert_eq!(last, Finding::Loop(repeated));
    assert_eq!((repeated.copies(), repeated.excess()), (6, 157));
    sequence.push(77_777);
    assert_eq!(repetitions.push(&sequence), Finding::None, "another symbol ends it");
}

#[test]
fn half_of_a_loop_is_suspicious() {
    let sequence = copies(0, 30, 30, 180);
    let mut repetitions = Repetitions::new(&TOKENS);
    for end in 1..180 {
        let suspicious = matches!(repetitions.push(&sequence[..end]), Finding::Suspicion(_));
        assert_eq!(suspicious, end >= 90, "after {end}");
    }
}

#[test]
fn after_a_restart_copies_count_anew() {
    let sequence = copies(0, 30, 30, 400);
    let mut repetitions = Repetitions::new(&TOKENS);
    (1..=60).for_each(|end| assert_eq!(repetitions.push(&sequence[..end]), Finding::None));
    repetitions.restart();
    let found = (61..=400).find(|&end| matches!(repetitions.push(&sequence[..end]), Finding::Loop(_)));
    assert_eq!(found, Some(60 + 150), "the copies before are one");
}

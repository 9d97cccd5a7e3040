//! The rules for cutting text as the regular expressions that they stand for, for programs that have an engine for them.

use super::split::{Cased, Lead, Rule, Run, Stage};

const CONTRACTIONS: &str = "'s|'t|'re|'ve|'m|'ll|'d";

/// The expression of a stage: what it matches are words, and so is what lies between.
pub(crate) fn of_stage(stage: &Stage) -> String {
    match stage {
        Stage::Rules(rules) => rules.iter().map(of_rule).collect::<Vec<_>>().join("|"),
        Stage::TrailingSpaces => r"\s+$".to_owned(),
    }
}

fn of_rule(rule: &Rule) -> String {
    match rule {
        Rule::Run(run) => of_run(run),
        Rule::Contraction { any_case: false } => CONTRACTIONS.to_owned(),
        Rule::Contraction { any_case: true } => format!("(?i:{CONTRACTIONS})"),
        Rule::Cased(Cased { lead, first, last, needs_first, contraction }) => {
            let (first_times, last_times) = if *needs_first { ('+', '*') } else { ('*', '+') };
            let (lead, first, last) = (lead.class(), first.class(), last.class());
            let end = if *contraction { format!("(?i:{CONTRACTIONS})?") } else { String::new() };
            format!("{lead}?{first}{first_times}{last}{last_times}{end}")
        }
        Rule::Newlines => r"\s*[\r\n]+".to_owned(),
        Rule::SpacesBeforeWord => r"\s+(?!\S)".to_owned(),
        Rule::Spaces => r"\s+".to_owned(),
    }
}

fn of_run(run: &Run) -> String {
    let lead = match &run.lead {
        Lead::None => String::new(),
        Lead::Optional(set) => set.class() + "?",
        Lead::Required(set) => set.class(),
    };
    let times = match (run.least, run.most) {
        (1, 1) => String::new(),
        (1, usize::MAX) => "+".to_owned(),
        (least, usize::MAX) => format!("{{{least},}}"),
        (least, most) => format!("{{{least},{most}}}"),
    };
    let tail = run.tail.map_or_else(String::new, |set| set.class() + "*");
    format!("{lead}{}{times}{tail}", run.set.class())
}

#[cfg(test)]
mod tests {
    use super::super::pretokenizers::find;
    use super::*;

    #[test]
    fn a_rule_is_written_as_the_original_has_it() {
        let written = |name: &str| {
            let stages = find(name).expect("it is in the table").stages;
            stages.iter().map(of_stage).collect::<Vec<_>>()
        };
        let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d|[\x{20}]?[\p{L}]+|[\x{20}]?[\p{N}]+|[\x{20}]?[^\p{L}\p{N}\s]+|\s+(?!\S)|\s+";
        assert_eq!(written("smollm"), [r"[\p{N}]", gpt2]);
        assert_eq!(
            written("llama-bpe"),
            [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\p{L}\p{N}\x{a}\x{d}]?[\p{L}]+|[\p{N}]{1,3}|[\x{20}]?[^\p{L}\p{N}\s]+[\x{a}\x{d}]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
                .map(|text| text.replace(r"\x{a}\x{d}", r"\x{d}\x{a}"))
        );
    }
}

//! Grammars in the form of llama.cpp (GBNF), translated into the matcher's dialect of Lark.
//!
//! The matcher cuts text into lexemes, longest first, before it looks at rules; the original knows characters only. So
//! that a grammar means the same here, a grammar without recursion becomes one lexeme, and of any other each character is
//! a lexeme of its own.
//!
//! The form is described in llama.cpp's `grammars/README.md`.

mod parser;

use std::collections::HashMap;
use std::fmt::Write;

use super::{GrammarError, GrammarLimits, at_most};

/// A rule's name and what it stands for.
#[derive(Debug)]
struct Rule {
    name: String,
    body: Choice,
}

/// Alternatives, each a sequence.
type Choice = Vec<Vec<Element>>;

/// A part of a sequence, and how often it comes.
#[derive(Debug)]
struct Element {
    what: What,
    least: u64,
    /// None for any number.
    most: Option<u64>,
}

#[derive(Debug)]
enum What {
    Text(String),
    /// As a regular expression: `[^a-z]`, or any character.
    Class(String),
    Rule(String),
    Group(Choice),
}

/// The same grammar in Lark.
///
/// # Errors
/// If it is wrong, larger than the limits, or has a rule that begins with itself: the original would not end.
pub(super) fn to_lark(source: &str, limits: &GrammarLimits) -> Result<String, GrammarError> {
    let rules = parser::parse(source, limits)?;
    at_most("rules", rules.len(), limits.rules)?;
    let grammar = Grammar::new(rules)?;
    grammar.refuse_left_recursion()?;
    Ok(grammar.lark())
}

struct Grammar {
    rules: Vec<Rule>,
    numbers: HashMap<String, usize>,
    root: usize,
}

impl Grammar {
    fn new(rules: Vec<Rule>) -> Result<Grammar, GrammarError> {
        let mut numbers = HashMap::new();
        for (number, rule) in rules.iter().enumerate() {
            if numbers.insert(rule.name.clone(), number).is_some() {
                return Err(wrong(format!("rule {} is there twice", rule.name)));
            }
        }
        let Some(&root) = numbers.get("root") else {
            return Err(wrong("there is no rule root, with which an answer begins".to_owned()));
        };
        let grammar = Grammar { rules, numbers, root };
        for rule in &grammar.rules {
            let unknown = names(&rule.body).into_iter().find(|name| !grammar.numbers.contains_key(*name));
            if let Some(name) = unknown {
                return Err(wrong(format!("rule {} uses {name}, which is no rule", rule.name)));
            }
        }
        Ok(grammar)
    }

    /// Which rules can be empty: those that are so because of others follow until nothing changes.
    fn nullable(&self) -> Vec<bool> {
        let mut nullable = vec![false; self.rules.len()];
        loop {
            let mut changed = false;
            for number in 0..self.rules.len() {
                if !nullable[number] && self.can_be_empty(&self.rules[number].body, &nullable) {
                    nullable[number] = true;
                    changed = true;
                }
            }
            if !changed {
                return nullable;
            }
        }
    }

    fn can_be_empty(&self, choice: &Choice, nullable: &[bool]) -> bool {
        choice
            .iter()
            .any(|sequence| sequence.iter().all(|element| self.element_can_be_empty(element, nullable)))
    }

    fn element_can_be_empty(&self, element: &Element, nullable: &[bool]) -> bool {
        element.least == 0
            || match &element.what {
                What::Text(text) => text.is_empty(),
                What::Class(_) => false,
                What::Rule(name) => nullable[self.numbers[name]],
                What::Group(choice) => self.can_be_empty(choice, nullable),
            }
    }

    /// The rules that a choice can begin with.
    fn first(&self, choice: &Choice, nullable: &[bool], found: &mut Vec<usize>) {
        for sequence in choice {
            for element in sequence {
                match &element.what {
                    What::Rule(name) => found.push(self.numbers[name]),
                    What::Group(choice) => self.first(choice, nullable, found),
                    What::Text(_) | What::Class(_) => {}
                }
                if !self.element_can_be_empty(element, nullable) {
                    break;
                }
            }
        }
    }

    fn refuse_left_recursion(&self) -> Result<(), GrammarError> {
        let nullable = self.nullable();
        let begins_with = |number: usize| {
            let mut found = Vec::new();
            self.first(&self.rules[number].body, &nullable, &mut found);
            found
        };
        match self.cycle(&begins_with) {
            Some(number) => Err(wrong(format!("rule {} begins with itself", self.rules[number].name))),
            None => Ok(()),
        }
    }

    /// A rule that leads back to itself.
    fn cycle(&self, leads_to: &dyn Fn(usize) -> Vec<usize>) -> Option<usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            No,
            OnTheWay,
            Done,
        }
        let mut seen = vec![Seen::No; self.rules.len()];
        for start in 0..self.rules.len() {
            // Without recursion: rules may form a long chain.
            let mut path = vec![(start, None::<Vec<usize>>)];
            while let Some((number, next)) = path.last_mut() {
                let number = *number;
                if next.is_none() {
                    match seen[number] {
                        Seen::OnTheWay => return Some(number),
                        Seen::Done => {
                            path.pop();
                            continue;
                        }
                        Seen::No => seen[number] = Seen::OnTheWay,
                    }
                    *next = Some(leads_to(number));
                }
                match next.as_mut().and_then(Vec::pop) {
                    Some(other) => path.push((other, None)),
                    None => {
                        seen[number] = Seen::Done;
                        path.pop();
                    }
                }
            }
        }
        None
    }

    fn lark(&self) -> String {
        let leads_to = |number: usize| {
            names(&self.rules[number].body).into_iter().map(|name| self.numbers[name]).collect()
        };
        let is_recursive = self.cycle(&leads_to).is_some();
        let prefix = if is_recursive { "r" } else { "R" };
        let mut lark = format!("start: {prefix}{}\n", self.root);
        for (number, rule) in self.rules.iter().enumerate() {
            write!(lark, "{prefix}{number}: ").expect("a string takes everything");
            self.write_choice(&rule.body, is_recursive, prefix, &mut lark);
            lark.push('\n');
        }
        lark
    }

    fn write_choice(&self, choice: &Choice, by_character: bool, prefix: &str, lark: &mut String) {
        for (i, sequence) in choice.iter().enumerate() {
            if i > 0 {
                lark.push_str(" | ");
            }
            if sequence.is_empty() {
                lark.push_str("\"\"");
            }
            for (i, element) in sequence.iter().enumerate() {
                if i > 0 {
                    lark.push(' ');
                }
                match &element.what {
                    What::Text(text) => write_text(text, by_character && text.chars().nth(1).is_some(), lark),
                    What::Class(class) => write!(lark, "/{class}/").expect("a string takes everything"),
                    What::Rule(name) => {
                        write!(lark, "{prefix}{}", self.numbers[name]).expect("a string takes everything");
                    }
                    What::Group(choice) => {
                        lark.push('(');
                        self.write_choice(choice, by_character, prefix, lark);
                        lark.push(')');
                    }
                }
                write_count(element, lark);
            }
        }
    }
}

fn write_text(text: &str, by_character: bool, lark: &mut String) {
    let quoted = |text: &str| serde_json::to_string(text).expect("a text is JSON");
    if by_character {
        let characters: Vec<String> = text.chars().map(|c| quoted(c.encode_utf8(&mut [0; 4]))).collect();
        write!(lark, "({})", characters.join(" ")).expect("a string takes everything");
    } else {
        lark.push_str(&quoted(text));
    }
}

fn write_count(element: &Element, lark: &mut String) {
    match (element.least, element.most) {
        (1, Some(1)) => Ok(()),
        (0, Some(1)) => write!(lark, "?"),
        (0, None) => write!(lark, "*"),
        (1, None) => write!(lark, "+"),
        (least, None) => write!(lark, "{{{least},}}"),
        (least, Some(most)) => write!(lark, "{{{least},{most}}}"),
    }
    .expect("a string takes everything");
}

/// The rules that a choice names.
fn names(choice: &Choice) -> Vec<&str> {
    let mut names = Vec::new();
    let mut choices = vec![choice];
    while let Some(choice) = choices.pop() {
        for element in choice.iter().flatten() {
            match &element.what {
                What::Rule(name) => names.push(name.as_str()),
                What::Group(choice) => choices.push(choice),
                What::Text(_) | What::Class(_) => {}
            }
        }
    }
    names
}

fn wrong(message: String) -> GrammarError {
    GrammarError::Syntax(message)
}

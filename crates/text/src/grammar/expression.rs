//! Regular expressions as automata: which tokens may come depends on the automaton's state alone, so a mask that was made
//! for a state serves whenever the answer comes to that state again.
//!
//! The matcher's own way, which knows all grammars, walks through most of the vocabulary for each mask of an open
//! expression, such as words with blanks between them. Here that is done once for each state, and there are few. What
//! may come is the same in both; an expression whose automaton grows too large is left to the matcher.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llguidance::derivre::{Regex, RegexBuilder, StateID};
use llguidance::toktrie::{Recognizer, TokEnv};

/// Work for building an automaton: as much as the matcher allows itself.
const FUEL: u64 = 1_000_000;
/// Bytes of an automaton's tables.
const AUTOMATON_BYTES_MAX: usize = 2 << 20;
/// Bytes of the masks that are kept for an expression.
const MASKS_BYTES_MAX: usize = 1 << 20;
/// How many bytes are followed before the automaton's size is looked at again.
const LOOK_EVERY: usize = 4096;

/// Where an answer is in its expression. Clones go their own ways and share what was learnt.
#[derive(Clone)]
pub(super) struct Expression {
    shared: Arc<Mutex<Shared>>,
    tokens: TokEnv,
    /// The state before the first token and after each one.
    states: Vec<StateID>,
}

#[derive(Clone)]
struct Shared {
    automaton: Regex,
    masks: HashMap<StateID, Arc<[u32]>>,
    /// It has grown too large and is of no use any more.
    too_large: bool,
}

impl Expression {
    /// The automaton of an expression in the library's syntax; none if it is too large.
    pub(super) fn new(pattern: &str, tokens: &TokEnv) -> Option<Expression> {
        let mut builder = RegexBuilder::new();
        let expression = builder.mk_regex(pattern).ok()?;
        let mut automaton = builder.into_regex_limited(expression, FUEL).ok()?;
        let states = vec![automaton.initial_state()];
        let shared = Shared { automaton, masks: HashMap::new(), too_large: false };
        Some(Expression { shared: Arc::new(Mutex::new(shared)), tokens: Arc::clone(tokens), states })
    }

    /// The same state, and what was learnt so far; what is learnt from now on is not shared.
    pub(super) fn fresh(&self) -> Expression {
        let shared = Arc::new(Mutex::new(self.lock().clone()));
        Expression { shared, tokens: Arc::clone(&self.tokens), states: self.states.clone() }
    }

    /// Which tokens may come next, and whether the answer may end; none if the matcher has to say.
    pub(super) fn mask(&self) -> Option<(Arc<[u32]>, bool)> {
        let mut shared = self.lock();
        if shared.too_large {
            return None;
        }
        let state = self.state();
        let may_end = shared.automaton.is_accepting(state);
        if let Some(mask) = shared.masks.get(&state) {
            return Some((Arc::clone(mask), may_end));
        }
        if shared.automaton.num_bytes() > AUTOMATON_BYTES_MAX {
            shared.give_up();
            return None;
        }
        let trie = self.tokens.tok_trie();
        let mut allowed = trie.alloc_token_set();
        let mut walk =
            Walk { states: vec![state], automaton: &mut shared.automaton, pushed: 0, too_large: false };
        trie.add_bias(&mut walk, &mut allowed, &[]);
        if walk.too_large {
            shared.give_up();
            return None;
        }
        let mask: Arc<[u32]> = allowed.as_slice().into();
        if (shared.masks.len() + 1) * size_of_val(&*mask) <= MASKS_BYTES_MAX {
            shared.masks.insert(state, Arc::clone(&mask));
        }
        Some((mask, may_end))
    }

    /// Takes over the token that came next.
    pub(super) fn commit(&mut self, token: u32) {
        let mut shared = self.lock();
        let state = match shared.too_large {
            true => StateID::DEAD,
            false => shared.automaton.transition_bytes(self.state(), self.tokens.tok_trie().token(token)),
        };
        drop(shared);
        self.states.push(state);
    }

    /// Takes the last `tokens` back.
    pub(super) fn rewind(&mut self, tokens: usize) {
        self.states.truncate(self.states.len().saturating_sub(tokens).max(1));
    }

    fn state(&self) -> StateID {
        *self.states.last().expect("there is always the first state")
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // What is learnt is whole at any time.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn give_up(&mut self) {
        self.masks = HashMap::new();
        self.too_large = true;
    }
}

/// A walk through the vocabulary's tree.
struct Walk<'a> {
    /// The state after each byte of the way.
    states: Vec<StateID>,
    automaton: &'a mut Regex,
    pushed: usize,
    too_large: bool,
}

impl Recognizer for Walk<'_> {
    fn pop_bytes(&mut self, num: usize) {
        self.states.truncate(self.states.len() - num);
    }

    fn collapse(&mut self) {
        self.states.drain(..self.states.len() - 1);
    }

    fn trie_finished(&mut self) {
        self.states.truncate(1);
    }

    fn try_push_byte(&mut self, byte: u8) -> bool {
        self.pushed += 1;
        if self.pushed.is_multiple_of(LOOK_EVERY) {
            self.too_large |= self.automaton.num_bytes() > AUTOMATON_BYTES_MAX;
        }
        let from = *self.states.last().expect("the first state is never popped");
        let to = match self.too_large {
            true => StateID::DEAD,
            false => self.automaton.transition(from, byte),
        };
        if to.is_dead() {
            return false;
        }
        self.states.push(to);
        true
    }
}

//! A model whose logits are a hash of the whole history of a sequence, read back from its own pages.
//!
//! It writes the tokens of each span through the span's pages and computes each row from what the pages hold then:
//! a wrong page table, a page with two writers or a token that was not computed again changes the answer.
//!
//! On demand it repeats itself: behind each [`LOOPS`] it prefers a unit of [`PERIOD`] tokens, again and again, until it
//! comes to an [`ESCAPE`], which it likes least but one.

use std::sync::Arc;

use kun_engine::batch::{Batch, PAGE_TOKENS};
use kun_engine::kv::KvCache;
use kun_engine::limits::Limits;
use kun_engine::model::{Model, Outputs, Shape};
use kun_engine::request::{Request, TokenId};
use text::phrases::Phrases;
use text::tokenizer::Tokenizer;
use text::vocabulary::{TokenKind, Vocabulary};

/// Tokens in the mock's vocabulary.
pub(crate) const VOCABULARY: usize = 97;

/// Numbers in a hidden state of the mock.
pub(crate) const EMBEDDING: usize = 4;

/// Behind this token the mock repeats itself. It comes from prompts alone.
pub(crate) const LOOPS: TokenId = 94;

/// The token that ends it.
pub(crate) const ESCAPE: TokenId = 93;

/// Tokens of the unit that is repeated, all different: 0, 3, 6 and so on.
pub(crate) const PERIOD: usize = 30;

/// A prompt with this token makes the forward pass panic.
pub(crate) const PANICS: TokenId = 95;

/// A token after which all logits and the hidden state are NaN.
pub(crate) const NOT_A_NUMBER: TokenId = 96;

/// Texts that answers with [`banned`] must not have: within a token or across some, and where one goes back for one of them
/// another may come up.
pub(crate) const BANNED: [&str; 3] = ["fb", "caj", "ebeg"];

/// Called at the beginning of every pass.
pub(crate) type Hook = Box<dyn FnMut(&Batch) + Send>;

pub(crate) struct Mock {
    shape: Shape,
    pages: Vec<[TokenId; PAGE_TOKENS]>,
    hook: Hook,
}

impl Mock {
    pub(crate) fn new(context_length: usize, limits: &Limits) -> Self {
        Mock::with_hook(context_length, limits, Box::new(|_| ()))
    }

    pub(crate) fn with_hook(context_length: usize, limits: &Limits, hook: Hook) -> Self {
        Mock {
            shape: Mock::shape_of(context_length),
            pages: vec![[TokenId::MAX; PAGE_TOKENS]; limits.kv_pages],
            hook,
        }
    }

    pub(crate) fn shape_of(context_length: usize) -> Shape {
        Shape { vocabulary: VOCABULARY, embedding: EMBEDDING, context_length, kv_layers: Vec::new() }
    }
}

impl Model for Mock {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn forward(&mut self, batch: &Batch, _kv: &mut KvCache, outputs: &mut Outputs) {
        (self.hook)(batch);
        outputs.logits.resize(batch.logit_rows() * VOCABULARY, 0.0);
        outputs.hidden.resize(batch.hidden_rows() * EMBEDDING, 0.0);
        let mut rows = outputs.logits.chunks_exact_mut(VOCABULARY);
        let mut states = outputs.hidden.chunks_exact_mut(EMBEDDING);
        let mut tokens = batch.tokens.iter();
        for span in &batch.spans {
            let pages = batch.pages(span);
            assert_eq!(pages.len(), (span.start + span.len).div_ceil(PAGE_TOKENS));
            for position in span.start..span.start + span.len {
                let token = *tokens.next().expect("the spans have as many tokens as the batch");
                assert_ne!(token, PANICS, "the token that panics");
                self.pages[pages[position / PAGE_TOKENS] as usize][position % PAGE_TOKENS] = token;
            }
            let end = span.start + span.len;
            let (first_row, first_state) = (end - span.logit_rows(), end - span.hidden_rows());
            if first_row.min(first_state) == end {
                continue;
            }
            let history = (0..end).map(|p| self.pages[pages[p / PAGE_TOKENS] as usize][p % PAGE_TOKENS]);
            let mut hash = Hash::default();
            for (position, token) in history.enumerate() {
                hash.add(token);
                if position >= first_row {
                    hash.logits(token, rows.next().expect("a row for each wanted token"));
                }
                if position >= first_state {
                    hash.hidden(token, states.next().expect("a state for each wanted token"));
                }
            }
        }
        assert!(tokens.next().is_none() && rows.next().is_none() && states.next().is_none());
    }
}

/// The logits after `history`, by definition.
pub(crate) fn logits_after(history: &[TokenId]) -> Vec<f32> {
    let mut hash = Hash::default();
    history.iter().for_each(|&token| hash.add(token));
    let mut row = vec![0.0; VOCABULARY];
    hash.logits(*history.last().expect("a history"), &mut row);
    row
}

/// The hidden state after `history`, by definition.
pub(crate) fn hidden_after(history: &[TokenId]) -> [f32; EMBEDDING] {
    let mut hash = Hash::default();
    history.iter().for_each(|&token| hash.add(token));
    let mut state = [0.0; EMBEDDING];
    hash.hidden(*history.last().expect("a history"), &mut state);
    state
}

/// The text of a token: two letters.
pub(crate) fn piece(token: TokenId) -> String {
    let letter = |digit: u32| char::from(b'a' + digit as u8);
    [letter(token / 10), letter(token % 10)].iter().collect()
}

/// What tells where [`BANNED`] stands in an answer.
pub(crate) fn banned() -> Phrases {
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        tokens: (0..VOCABULARY as TokenId).map(|token| piece(token).into_bytes()).collect(),
        scores: vec![0.0; VOCABULARY],
        kinds: vec![TokenKind::Normal; VOCABULARY],
        ..Vocabulary::default()
    };
    let tokenizer = Tokenizer::new(vocabulary).expect("a vocabulary");
    Phrases::in_text(Arc::new(tokenizer), &BANNED.map(str::to_owned)).expect("few and short")
}

/// A greedy request.
pub(crate) fn request(prompt: Vec<TokenId>, max_tokens: usize) -> Request {
    Request::new(prompt, max_tokens)
}

/// A prompt of `len` harmless tokens that differs from seed to seed.
pub(crate) fn prompt(seed: u64, len: usize) -> Vec<TokenId> {
    let mut random = Random(seed);
    (0..len).map(|_| random.below(90) as TokenId).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014), for seeded tests.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[derive(Default)]
struct Hash {
    sum: u64,
    /// Loops that wait for their escape.
    loops: usize,
    /// Tokens since the last that began one or ended it.
    since: usize,
}

impl Hash {
    fn add(&mut self, token: TokenId) {
        self.sum = mix(self.sum.wrapping_mul(31).wrapping_add(u64::from(token) + 1));
        self.since += 1;
        match token {
            LOOPS => (self.loops, self.since) = (self.loops + 1, 0),
            ESCAPE if self.loops > 0 => (self.loops, self.since) = (self.loops - 1, 0),
            _ => {}
        }
    }

    fn logits(&self, last: TokenId, row: &mut [f32]) {
        let mut random = Random(self.sum);
        row.fill_with(|| random.below(10_000) as f32 / 1000.0);
        if self.loops > 0 {
            // So far above the others that they don't come at any usual temperature.
            row[self.since % PERIOD * 3] = 50.0;
            row[ESCAPE as usize] = 30.0;
        }
        // The tokens with a meaning of their own come from prompts alone.
        row[LOOPS as usize] = f32::NEG_INFINITY;
        row[PANICS as usize] = f32::NEG_INFINITY;
        row[NOT_A_NUMBER as usize] = if last == NOT_A_NUMBER { f32::NAN } else { f32::NEG_INFINITY };
    }

    fn hidden(&self, last: TokenId, state: &mut [f32]) {
        let mut random = Random(!self.sum);
        state.fill_with(|| random.below(10_000) as f32 / 1000.0 - 5.0);
        if last == NOT_A_NUMBER {
            state[1] = f32::NAN;
        }
    }
}

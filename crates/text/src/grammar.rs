//! What form an answer must have, as a mask of the tokens that may come next: JSON schemas, regular expressions,
//! choices and grammars.
//!
//! The matching itself is the library `llguidance`'s. Here is what makes it safe to offer to strangers: every way in is
//! checked against [`GrammarLimits`] before anything is built, what the library does not know is refused by its place and
//! never ignored, and one spelling of JSON is allowed (`{"a": 1, "b": 2}`), so that a model cannot go on for ever
//! between two values and most of a rigid form is given, not asked for.
//!
//! A [`Constraint`] is one answer's state. It is a pure function of the tokens that it was told of.

mod counts;
mod expression;
mod gbnf;
mod schema;
mod vocabulary;

use std::fmt;
use std::sync::Arc;

use llguidance::api::{GrammarWithLexer, ParserLimits, StopReason, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Matcher, ParserFactory, regex_to_lark};
use serde_json::Value;

use crate::tokenizer::Tokenizer;
use expression::Expression;

pub use schema::{SchemaError, close_objects, spelt};

/// What an answer's form is given as.
#[derive(Debug, Clone, PartialEq)]
pub enum GrammarSource {
    /// Any JSON object.
    JsonObject,
    /// A JSON schema (draft 2020-12, and what older drafts spell otherwise).
    JsonSchema(Value),
    /// A regular expression in the syntax of the crate `regex`, for the whole answer.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in llguidance's dialect of Lark.
    Lark(String),
    /// A grammar in the form of llama.cpp.
    Gbnf(String),
}

impl GrammarSource {
    /// A grammar whose form is not said: only llama.cpp's has `::=`, and Lark's begins with `start`.
    pub fn of_grammar(text: &str) -> GrammarSource {
        match text.contains("::=") || !text.contains("start:") {
            true => GrammarSource::Gbnf(text.to_owned()),
            false => GrammarSource::Lark(text.strip_prefix("%llguidance").unwrap_or(text).to_owned()),
        }
    }
}

/// How large a grammar may be.
#[derive(Debug, Clone, Copy)]
pub struct GrammarLimits {
    /// Bytes of the source, as JSON or text.
    pub source_bytes: usize,
    /// How deep a schema may be nested.
    pub depth: usize,
    /// Schemas within a schema.
    pub schemas: usize,
    /// Properties of all objects of a schema.
    pub properties: usize,
    /// Values of all `enum`s of a schema, or texts of a choice.
    pub values: usize,
    /// The largest `minLength`, `maxLength`, `minItems`, `maxItems`, and count in a grammar or expression, those within it
    /// included.
    pub repetitions: u64,
    /// Rules of a grammar.
    pub rules: usize,
}

impl Default for GrammarLimits {
    fn default() -> Self {
        GrammarLimits {
            source_bytes: 256 << 10,
            depth: 64,
            schemas: 10_000,
            properties: 5_000,
            values: 10_000,
            repetitions: 4_096,
            rules: 2_000,
        }
    }
}

/// Why a form can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The schema is wrong or has something in it that can't be enforced.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The grammar or regular expression is wrong.
    #[error("{0}")]
    Syntax(String),
    /// It is larger than one of the limits.
    #[error("it has {found} {what}; at most {max} are possible")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: u64,
        /// How much there may be.
        max: u64,
    },
    /// No text has this form.
    #[error("no text can have this form: {0}")]
    Unsatisfiable(String),
    /// The model's vocabulary can't be used.
    #[error("this model's vocabulary can't be used for it: {0}")]
    Vocabulary(String),
}

/// What compiles the forms of answers for one model.
pub struct Grammars {
    factory: ParserFactory,
    tokens: TokEnv,
    ends: Arc<[u32]>,
    limits: GrammarLimits,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Grammars {
    /// Reads the vocabulary, which takes some tens of milliseconds.
    ///
    /// # Errors
    /// If the vocabulary has no token that ends an answer.
    pub fn new(tokenizer: Arc<Tokenizer>, limits: GrammarLimits) -> Result<Grammars, GrammarError> {
        let ends: Arc<[u32]> = tokenizer.end_of_generation().into();
        let tokens = vocabulary::environment(tokenizer)?;
        let capabilities = InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&tokens, capabilities, &slices)
            .map_err(|error| GrammarError::Vocabulary(error.to_string()))?;
        *factory.limits_mut() = ParserLimits {
            max_grammar_size: 200_000,
            max_lexer_states: 20_000,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        factory.quiet();
        Ok(Grammars { factory, tokens, ends, limits })
    }

    /// The state at the beginning of an answer that must have this form.
    ///
    /// # Errors
    /// If it is wrong, too large, or can't be enforced.
    pub fn compile(&self, source: &GrammarSource) -> Result<Constraint, GrammarError> {
        let grammar = self.grammar(source)?;
        let parser = self.factory.create_parser(TopLevelGrammar::from_grammar(grammar));
        let matcher = Matcher::new(parser);
        if let Some(error) = matcher.get_error() {
            return Err(schema::refusal(&error));
        }
        // A form that nothing has shows in the first mask. What is learnt on the way there is thrown away: a form that is kept
        // for others stays small.
        matcher
            .deep_clone()
            .compute_mask_or_eos()
            .map_err(|error| GrammarError::Unsatisfiable(first_line(&error.to_string())))?;
        let expression = match source {
            GrammarSource::Regex(pattern) => Expression::new(&ascii_classes(pattern), &self.tokens),
            _ => None,
        };
        Ok(Constraint { matcher, expression, ends: Arc::clone(&self.ends) })
    }

    fn grammar(&self, source: &GrammarSource) -> Result<GrammarWithLexer, GrammarError> {
        let limits = &self.limits;
        let check_bytes = |text: &str| at_most("bytes", text.len(), limits.source_bytes);
        Ok(match source {
            GrammarSource::JsonObject => {
                GrammarWithLexer::from_json_schema(schema::spelt(serde_json::json!({"type": "object"})))
            }
            GrammarSource::JsonSchema(value) => {
                schema::check(value, limits)?;
                GrammarWithLexer::from_json_schema(schema::spelt(value.clone()))
            }
            GrammarSource::Regex(pattern) => {
                check_bytes(pattern)?;
                check_counts(counts::of_expression(pattern), limits)?;
                GrammarWithLexer::from_lark(format!("start: /{}/", ascii_classes(pattern)))
            }
            GrammarSource::Choice(texts) => {
                at_most("texts", texts.len(), limits.values)?;
                texts.iter().try_for_each(|text| check_bytes(text))?;
                GrammarWithLexer::from_lark(choice(texts)?)
            }
            GrammarSource::Lark(text) => {
                check_bytes(text)?;
                check_nesting(text, limits.depth)?;
                check_counts(counts::of_lark(text), limits)?;
                schema::check_within(text, limits)?;
                GrammarWithLexer::from_lark(text.clone())
            }
            GrammarSource::Gbnf(text) => {
                check_bytes(text)?;
                let lark = gbnf::to_lark(text, limits)?;
                check_counts(counts::of_lark(&lark), limits)?;
                GrammarWithLexer::from_lark(lark)
            }
        })
    }
}

/// One answer's form, as far as it has come. A clone goes its own way from here and shares what was learnt about the form
/// so far, and will be.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    /// The same as an automaton, where that is possible: it has the masks sooner.
    expression: Option<Expression>,
    ends: Arc<[u32]>,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraint").field("stop_reason", &self.matcher.stop_reason()).finish_non_exhaustive()
    }
}

/// Why a form can't be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the form of the answer can't be followed any further: {0}")]
pub struct ConstraintError(String);

impl ConstraintError {
    /// An answer that was begun elsewhere has another form.
    pub fn of_another_form() -> Self {
        ConstraintError("what was generated before is not of the form that the answer must have".to_owned())
    }
}

impl Constraint {
    /// The same state for another request: what the two learn about the form is not shared, so that what one of them may
    /// learn does not depend on what others did.
    pub fn fresh(&self) -> Constraint {
        let expression = self.expression.as_ref().map(Expression::fresh);
        Constraint { matcher: self.matcher.deep_clone(), expression, ends: Arc::clone(&self.ends) }
    }

    /// Which tokens may come next, a bit for each: token `t` is bit `t % 32` of word `t / 32`. Those that end an
    /// answer are among them where it may end.
    ///
    /// # Errors
    /// If it would take too long to find out.
    pub fn mask(&mut self, mask: &mut Vec<u32>) -> Result<(), ConstraintError> {
        mask.clear();
        match self.expression.as_ref().and_then(Expression::mask) {
            // Where nothing can follow the matcher has to say so.
            Some((allowed, may_end)) if allowed.iter().any(|&word| word != 0) => {
                mask.extend_from_slice(&allowed);
                if let (Some(&end), true) = (self.ends.first(), may_end) {
                    mask[end as usize / 32] |= 1 << (end % 32);
                }
            }
            _ => mask.extend_from_slice(self.matcher.compute_mask_or_eos().map_err(failed)?.as_slice()),
        }
        if self.ends.iter().any(|&end| is_allowed(mask, end)) {
            for &end in self.ends.iter() {
                mask[end as usize / 32] |= 1 << (end % 32);
            }
        }
        Ok(())
    }

    /// Takes over the token that came next.
    ///
    /// # Errors
    /// If the mask did not have it.
    pub fn commit(&mut self, token: u32) -> Result<(), ConstraintError> {
        if self.is_end(token) {
            return Ok(());
        }
        self.matcher.consume_token(token).map_err(failed)?;
        if let Some(expression) = &mut self.expression {
            expression.commit(token);
        }
        Ok(())
    }

    /// The tokens that come next whatever a model says, as the vocabulary would write them. They are not taken over.
    pub fn forced(&mut self) -> Vec<u32> {
        self.matcher.compute_ff_tokens()
    }

    /// Takes the last `tokens` back.
    ///
    /// # Errors
    /// If there were not as many.
    pub fn rewind(&mut self, tokens: usize) -> Result<(), ConstraintError> {
        self.matcher.rollback(tokens).map_err(failed)?;
        if let Some(expression) = &mut self.expression {
            expression.rewind(tokens);
        }
        Ok(())
    }

    /// Whether a token is one of those that end an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Whether the answer has its form and nothing can be added.
    pub fn is_complete(&self) -> bool {
        matches!(
            self.matcher.stop_reason(),
            StopReason::NoExtension | StopReason::NoExtensionBias | StopReason::EndOfSentence
        )
    }
}

/// An expression as the library has it. Digits and words are ASCII's, as in schemas.
fn ascii_classes(pattern: &str) -> String {
    regex_to_lark(pattern, "dw")
}

/// Whether a mask has a token.
pub fn is_allowed(mask: &[u32], token: u32) -> bool {
    mask.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
}

fn failed(error: impl fmt::Display) -> ConstraintError {
    ConstraintError(first_line(&error.to_string()))
}

/// The first line of a message, within bounds: the library's can be long.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(300).collect()
}

fn at_most(what: &'static str, found: usize, max: usize) -> Result<(), GrammarError> {
    if found > max {
        Err(GrammarError::TooLarge { what, found: found as u64, max: max as u64 })
    } else {
        Ok(())
    }
}

/// What is repeated by counts within counts.
fn check_counts(product: u64, limits: &GrammarLimits) -> Result<(), GrammarError> {
    let max = limits.repetitions;
    if product > max {
        Err(GrammarError::TooLarge { what: "repetitions", found: product, max })
    } else {
        Ok(())
    }
}

/// A grammar of alternatives.
fn choice(texts: &[String]) -> Result<String, GrammarError> {
    if texts.is_empty() {
        return Err(GrammarError::Syntax(
            "there is nothing to choose from: give at least one text".to_owned(),
        ));
    }
    let quoted: Vec<String> =
        texts.iter().map(|text| serde_json::to_string(text).expect("a text is JSON")).collect();
    Ok(format!("start: {}", quoted.join(" | ")))
}

/// The library reads groups by recursion: they are counted before it is called.
fn check_nesting(grammar: &str, depth_max: usize) -> Result<(), GrammarError> {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in grammar.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    at_most("groups within each other", deepest, depth_max)
}

#[cfg(test)]
mod tests;

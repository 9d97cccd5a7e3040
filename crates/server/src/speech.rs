//! What models say, taken apart: the content, the reasoning and the calls of an answer.
//!
//! A [`Speech`] is what a job knows of it; a [`Speaker`] reads one answer with it. The reader is `text`'s: it never fails,
//! and gives back as content what is no call of a tool that was offered. Only chats have one; what a completion says is
//! told as it is.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use engine::request::{Marker, Thinking, TokenId};
use text::grammar::GrammarSource;
use text::phrases::Phrases;
use text::speech::{Begin, Format, Part, Reader, Tool};
use text::tokenizer::Specials;

use crate::error::ApiError;
use crate::forms::Wanted;
use crate::job::Job;
use crate::model::ServedModel;
use crate::openai::new_id;
use crate::running::Piece;
use crate::tools::Tools;

/// How a model speaks, found out when it is first asked for.
#[derive(Debug, Default)]
pub struct Speaking(OnceLock<Known>);

/// What is known of a model's template.
#[derive(Debug)]
pub(crate) struct Known {
    format: Format,
    /// Whether the template tells the model of tools.
    pub(crate) shows_tools: bool,
    /// Whether the template writes the calls of a history.
    pub(crate) shows_calls: bool,
    /// Whether the template has to do with thinking.
    pub(crate) shows_thinking: bool,
    /// Whether the template knows how hard the model is to think.
    pub(crate) knows_effort: bool,
}

impl ServedModel {
    /// What its template says of how it speaks.
    pub(crate) fn known(&self) -> &Known {
        self.speaking.0.get_or_init(|| {
            let source = self.details.template_source.as_deref().unwrap_or_default();
            Known {
                format: Format::of_template(source),
                shows_tools: has_word(source, "tools"),
                shows_calls: has_word(source, "tool_calls"),
                knows_effort: has_word(source, "reasoning_effort"),
                shows_thinking: ["think", "reasoning"].iter().any(|word| source.contains(word)),
            }
        })
    }

    /// The format of its answers.
    fn format(&self, with_tools: bool) -> Format {
        let known = self.known();
        match with_tools && !known.shows_tools {
            // What it was told of calls is ours then.
            true => Format::by_name("generic").expect("there is a format for models without one"),
            false => known.format,
        }
    }

    /// The token that a text is, if it is a single one.
    fn single_token(&self, text: &str) -> Option<TokenId> {
        match self.tokenizer.encode(text, Specials::Parse).as_slice() {
            &[token] => Some(token),
            _ => None,
        }
    }
}

/// Whether a word stands in a template, not as part of another.
fn has_word(source: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    source
        .match_indices(word)
        .any(|(at, _)| !source[..at].ends_with(is_part) && !source[at + word.len()..].starts_with(is_part))
}

/// How the answers of a job are read.
#[derive(Debug)]
pub(crate) struct Speech {
    format: Format,
    tools: Vec<Tool>,
    begin: Begin,
    /// Whether an answer may have more than one call.
    parallel: bool,
    /// Markers that are shown to the reader although they are special tokens.
    markers: Vec<(TokenId, &'static str)>,
    /// The tokens that end the reasoning in which the answer begins, if a form is to begin behind them.
    pub(crate) form_begins_after: Vec<TokenId>,
    /// The beginning of the ids of calls.
    call_id: String,
}

/// What an answer follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before<'a> {
    /// The text of the prompt.
    pub(crate) prompt: &'a str,
    /// Whether the request has the beginning of the answer.
    pub(crate) answer_begun: bool,
}

impl Job {
    /// Has the answers read, and lets them have a form only: that of the request, or calls if it asks for them.
    pub(crate) async fn speak(
        &mut self,
        tools: Tools,
        before: Before<'_>,
        form: Option<Wanted>,
        stop_field: &'static str,
    ) -> Result<(), ApiError> {
        let format = self.model.format(!tools.is_empty());
        let markers = format.markers().iter().filter_map(|&marker| Some((self.special(marker)?, marker)));
        let markers = markers.collect();
        let forced = tools.forced(&format, &|marker| self.special(marker));
        let form = match (forced, form) {
            (Some(_), Some(form)) => {
                let message =
                    format!("tool_choice and {} both give the answer's form: leave one out", form.field);
                return Err(ApiError::field("tool_choice", message));
            }
            (Some(grammar), None) => {
                Some(Wanted { source: GrammarSource::Lark(grammar), field: "tool_choice".to_owned() })
            }
            (None, form) => form,
        };
        // JSON that was asked for is no call, whatever it looks like.
        let is_json = matches!(
            form.as_ref().map(|form| &form.source),
            Some(GrammarSource::JsonObject | GrammarSource::JsonSchema(_))
        );
        let mut speech = Speech {
            format,
            parallel: tools.parallel,
            tools: if is_json { Vec::new() } else { tools.into_list() },
            begin: if before.answer_begun { Begin::Content } else { format.begin_after(before.prompt) },
            markers,
            form_begins_after: Vec::new(),
            call_id: new_id("call_")?,
        };
        let is_formed = form.is_some();
        if let (Some(_), Some(end)) = (&form, format.end_of_begun_thinking(before.prompt)) {
            match self.model.single_token(end) {
                Some(end) => speech.form_begins_after.push(end),
                // When several tokens have come can't be told from others of the same text. It does not think then.
                None => {
                    let end = self.model.tokenize_bare(&format!("{end}\n\n"));
                    self.prompts.iter_mut().for_each(|prompt| prompt.extend_from_slice(&end));
                    speech.begin = Begin::Answer;
                }
            }
        }
        self.thinking = self.thinking(&speech, before.prompt, is_formed);
        self.speech = Some(Arc::new(speech));
        self.follow(form, stop_field).await.map_err(names_tools)
    }

    /// How the engine tells thinking from the answer, to keep it to its budget and out of loops.
    fn thinking(&self, speech: &Speech, prompt: &str, is_formed: bool) -> Option<Thinking> {
        if speech.begin == Begin::Content {
            return None;
        }
        let marks = speech.format.thinking_marks(prompt)?;
        let marker = |text: &str| match self.special(text) {
            Some(token) => Some(Marker::Tokens(vec![token])),
            None => {
                let phrases = Phrases::of_markers(Arc::clone(&self.model.tokenizer), &[text.to_owned()]);
                phrases.ok().map(Marker::Text)
            }
        };
        // A form begins right behind the end.
        let close = if is_formed { format!("\n{}", marks.end) } else { marks.close };
        Some(Thinking {
            open: speech.begin == Begin::Thinking,
            // With a form there is no thinking but what the prompt began.
            begin: if is_formed { None } else { marker(marks.begin) },
            end: marker(marks.end)?,
            close: self.model.tokenizer.encode_inside(&close, Specials::Parse),
            budget_tokens: self.thinking_budget,
        })
    }

    /// The special token that a marker is.
    fn special(&self, marker: &str) -> Option<TokenId> {
        self.model.single_token(marker).filter(|&token| self.model.tokenizer.is_special(token))
    }
}

/// A grammar of calls that can't be compiled is the fault of a tool's schema.
fn names_tools(mut error: ApiError) -> ApiError {
    const CHOICE: &str = "tool_choice";
    if error.param.as_deref() != Some(CHOICE) {
        return error;
    }
    if let Some(why) = error.message.strip_prefix(CHOICE) {
        error.message = format!("tools{why}");
    }
    if error.code == Some("invalid_grammar") {
        error.code = Some("invalid_json_schema");
    }
    error.with_param("tools")
}

/// More of a call, or all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallPiece {
    /// Which call of the answer it is, from 0.
    pub(crate) index: usize,
    /// With the beginning of a call its id and name.
    pub(crate) begun: Option<CallBegun>,
    /// More of the arguments' JSON.
    pub(crate) arguments: String,
    /// With the end of a call whether it is whole.
    pub(crate) ended: Option<bool>,
}

/// The beginning of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallBegun {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Piece {
    /// Adds what comes next, in the place of what is taken back.
    pub(crate) fn add(&mut self, more: Piece) {
        self.text.truncate(self.text.len() - more.taken_back.text_bytes);
        self.tokens.truncate(self.tokens.len() - more.taken_back.tokens);
        self.text.push_str(&more.text);
        self.reasoning.push_str(&more.reasoning);
        self.tokens.extend(more.tokens);
        self.prompt_logprobs.extend(more.prompt_logprobs);
        for call in more.calls {
            match self.calls.last_mut() {
                Some(last) if last.index == call.index => {
                    last.arguments.push_str(&call.arguments);
                    last.ended = call.ended.or(last.ended);
                }
                _ => self.calls.push(call),
            }
        }
    }

    /// Whether another is of the same kind, so that nothing of the order is lost if the two become one.
    fn goes_with(&self, other: &Piece) -> bool {
        let kinds =
            |piece: &Piece| [!piece.text.is_empty(), !piece.reasoning.is_empty(), !piece.calls.is_empty()];
        kinds(self) == kinds(other) || kinds(self) == [false; 3]
    }
}

/// How calls are numbered. A stream has told of calls that were taken back, so that no other may have their numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    /// Calls that were begun since the beginning of the answer, as it is now.
    begun: usize,
    /// Calls that were told of.
    told: usize,
    /// Calls that were left when the answer was last taken back, and how many numbers behind them are in use.
    left: usize,
    skipped: usize,
}

impl Numbers {
    fn of(self, index: usize) -> usize {
        if index < self.left { index } else { index + self.skipped }
    }
}

/// Reads one answer.
pub(crate) struct Speaker {
    speech: Arc<Speech>,
    /// None once the answer has ended.
    reader: Option<Reader>,
    choice: usize,
    ids: BTreeSet<String>,
    numbers: Numbers,
    /// Calls that are whole.
    pub(crate) calls: usize,
    /// Tokens of reasoning and its markers.
    pub(crate) reasoning_tokens: usize,
}

impl Speaker {
    /// For the answer with this number.
    pub(crate) fn new(speech: &Arc<Speech>, choice: usize) -> Self {
        Speaker {
            reader: Some(Reader::new(speech.format, &speech.tools, speech.begin)),
            speech: Arc::clone(speech),
            choice,
            ids: BTreeSet::new(),
            numbers: Numbers::default(),
            calls: 0,
            reasoning_tokens: 0,
        }
    }

    /// Goes back to the beginning of the answer, to read what is left of it.
    pub(crate) fn begin_again(&mut self) {
        self.reader = Some(Reader::new(self.speech.format, &self.speech.tools, self.speech.begin));
        (self.calls, self.reasoning_tokens) = (0, 0);
        self.numbers = Numbers { told: self.numbers.told, ..Numbers::default() };
        self.ids.clear();
    }

    /// All that is left has been read: what comes now is new.
    pub(crate) fn goes_on(&mut self) {
        let Numbers { told, begun, .. } = self.numbers;
        self.numbers = Numbers { left: begun, skipped: told - begun, ..self.numbers };
    }

    /// The text of a special token that the reader has to see.
    pub(crate) fn marker(&self, token: TokenId) -> Option<&'static str> {
        self.speech.markers.iter().find(|(marker, _)| *marker == token).map(|&(_, text)| text)
    }

    /// Takes text and tokens out of a piece and adds what they say, in pieces of one kind each.
    pub(crate) fn read(&mut self, raw: &mut Piece, read: &mut Vec<Piece>) {
        let (text, tokens) = (std::mem::take(&mut raw.text), std::mem::take(&mut raw.tokens));
        let mut parts = Vec::new();
        if let Some(reader) = &mut self.reader {
            let was_thinking = reader.is_thinking();
            reader.push(&text, &mut parts);
            if was_thinking || reader.is_thinking() {
                self.reasoning_tokens += tokens.len();
            }
        }
        self.put(parts, read);
        match read.last_mut() {
            Some(last) => last.tokens.extend(tokens),
            None if tokens.is_empty() => {}
            None => read.push(Piece { tokens, ..Piece::default() }),
        }
    }

    /// The end of the answer: adds what was kept back.
    pub(crate) fn finish(&mut self, read: &mut Vec<Piece>) {
        if let Some(reader) = self.reader.take() {
            let mut parts = Vec::new();
            reader.finish(&mut parts);
            self.put(parts, read);
        }
    }

    fn put(&mut self, parts: Vec<Part>, read: &mut Vec<Piece>) {
        for part in parts {
            let piece = match part {
                Part::Content(text) => Piece { text, ..Piece::default() },
                Part::Reasoning(reasoning) => Piece { reasoning, ..Piece::default() },
                Part::CallBegun { index, .. }
                | Part::CallArguments { index, .. }
                | Part::CallEnded { index, .. }
                    if index > 0 && !self.speech.parallel =>
                {
                    continue;
                }
                Part::CallBegun { index, id, name } => {
                    self.numbers.begun += 1;
                    let index = self.numbers.of(index);
                    self.numbers.told = self.numbers.told.max(index + 1);
                    let begun = Some(CallBegun { id: self.id(index, id), name });
                    of_call(CallPiece { index, begun, arguments: String::new(), ended: None })
                }
                Part::CallArguments { index, json } => {
                    let index = self.numbers.of(index);
                    of_call(CallPiece { index, begun: None, arguments: json, ended: None })
                }
                Part::CallEnded { index, complete } => {
                    self.calls += usize::from(complete);
                    let index = self.numbers.of(index);
                    let ended = Some(complete);
                    of_call(CallPiece { index, begun: None, arguments: String::new(), ended })
                }
            };
            match read.last_mut() {
                Some(last) if last.goes_with(&piece) => last.add(piece),
                _ => read.push(piece),
            }
        }
    }

    /// A call's id: the model's own, if it is one that no other call has.
    fn id(&mut self, index: usize, own: Option<String>) -> String {
        let own = own.filter(|id| !id.is_empty() && !self.ids.contains(id));
        let id = own.unwrap_or_else(|| format!("{}{:02x}{index:02x}", self.speech.call_id, self.choice));
        self.ids.insert(id.clone());
        id
    }
}

fn of_call(call: CallPiece) -> Piece {
    Piece { calls: vec![call], ..Piece::default() }
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn a_template_mentions_tools_by_a_word_of_its_own() {
        let check = |source: &str, expect: bool| assert_eq!(has_word(source, "tools"), expect, "{source}");
        check("{% if tools %}", true);
        check("{{ tools | tojson }}", true);
        check("tools", true);
        check("{{ m.tool_calls }} {{ my_tools }} {{ toolset }}", false);
        check("{{ tools_in_user_message }}{{ tools }}", true);
        check("", false);
    }
}

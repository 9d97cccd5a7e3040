//! A conversation and its way into a prompt: rendered anew for each answer, with its oldest turns dropped
//! when the context has no room for them.

use engine::request::TokenId;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};

/// What was said so far.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    /// What the model is told before everything else. It is never dropped.
    pub(crate) system: Option<String>,
    turns: Vec<Turn>,
}

#[derive(Debug, Clone)]
struct Turn {
    user: String,
    /// None while the answer is being made.
    answer: Option<String>,
}

/// A prompt with room for an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<TokenId>,
    /// Turns that had to go.
    pub(crate) dropped: usize,
}

impl Conversation {
    /// Nothing said yet, under this system message.
    pub(crate) fn new(system: Option<String>) -> Self {
        Conversation { system, turns: Vec::new() }
    }

    /// The user says something.
    pub(crate) fn say(&mut self, text: &str) {
        self.turns.push(Turn { user: text.to_owned(), answer: None });
    }

    /// The model's answer to what was said last, which may have been cut short.
    pub(crate) fn answered(&mut self, text: String) {
        if let Some(turn) = self.turns.last_mut() {
            turn.answer = Some(text);
        }
    }

    /// Takes back what was said last.
    pub(crate) fn take_back(&mut self) {
        self.turns.pop();
    }

    /// Forgets all turns.
    pub(crate) fn clear(&mut self) {
        self.turns.clear();
    }

    /// How often the user has spoken.
    pub(crate) fn turns(&self) -> usize {
        self.turns.len()
    }

    /// The messages as chat templates know them.
    #[cfg(test)]
    fn messages(&self) -> Vec<Value> {
        self.messages_without(0)
    }

    /// The messages less those of the oldest `dropped` turns.
    fn messages_without(&self, dropped: usize) -> Vec<Value> {
        let system = self.system.iter().map(|text| json!({"role": "system", "content": text}));
        let turns = self.turns.iter().skip(dropped).flat_map(|turn| {
            let user = json!({"role": "user", "content": turn.user});
            let answer = turn.answer.iter().map(|text| json!({"role": "assistant", "content": text}));
            std::iter::once(user).chain(answer)
        });
        system.chain(turns).collect()
    }

    /// The prompt for the next answer, of at most `room` tokens. Old turns are dropped until it fits; where that
    /// can't help, none is.
    pub(crate) fn prompt(
        &mut self,
        room: usize,
        mut render: impl FnMut(&[Value]) -> Outcome<Vec<TokenId>>,
    ) -> Outcome<Prompt> {
        let mut dropped = 0;
        loop {
            let tokens = render(&self.messages_without(dropped))?;
            if tokens.len() <= room {
                self.turns.drain(..dropped);
                return Ok(Prompt { tokens, dropped });
            }
            dropped += 1;
            if dropped >= self.turns.len() {
                return Err(too_long(tokens.len(), room));
            }
        }
    }
}

/// The failure of a prompt that the context has no room for.
pub(crate) fn too_long(tokens: usize, room: usize) -> Failure {
    Failure::usage(format!(
        "the prompt is {tokens} tokens long, the context has room for {room}\n\
         shorten it or give a larger --ctx"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt of one token a word.
    fn words(messages: &[Value]) -> Outcome<Vec<TokenId>> {
        let words = messages.iter().map(|m| m["content"].as_str().expect("text").split(' ').count());
        Ok(vec![0; words.sum()])
    }

    fn conversation(turns: usize) -> Conversation {
        let mut conversation = Conversation::new(Some("be good".to_owned()));
        for n in 0..turns {
            conversation.say(&format!("question {n}"));
            conversation.answered(format!("answer {n}"));
        }
        conversation.say("and now");
        conversation
    }

    #[test]
    fn every_turn_is_in_the_prompt_in_order() {
        let roles: Vec<_> =
            conversation(1).messages().iter().map(|m| format!("{} {}", m["role"], m["content"])).collect();
        assert_eq!(
            roles,
            [
                r#""system" "be good""#,
                r#""user" "question 0""#,
                r#""assistant" "answer 0""#,
                r#""user" "and now""#
            ]
        );
    }

    #[test]
    fn the_oldest_turns_are_dropped_and_the_system_message_never() {
        let mut talk = conversation(3);
        let prompt = talk.prompt(8, words).expect("fits");
        assert_eq!(prompt, Prompt { tokens: vec![0; 8], dropped: 2 });
        let messages = talk.messages();
        assert_eq!(messages[0]["content"], "be good");
        assert_eq!(messages[1]["content"], "question 2");
    }

    #[test]
    fn what_can_never_fit_is_refused_with_both_numbers() {
        let mut talk = conversation(2);
        let failure = talk.prompt(3, words).expect_err("four words are left");
        assert_eq!(talk.turns(), 3, "what can't be helped by it forgets nothing");
        assert_eq!(failure.exit_code(), 2);
        assert!(
            failure.to_string().contains("4 tokens") && failure.to_string().contains("for 3"),
            "{failure}"
        );
    }
}

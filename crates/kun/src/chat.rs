//! The interactive chat: lines from the terminal, answers to it. The conversation is rendered anew for
//! each answer, so the model sees exactly what stands in it.

mod input;

use std::io::IsTerminal;
use std::path::PathBuf;

use engine::request::Form;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::answer::{self, Ask};
use crate::conversation::{Conversation, Prompt, too_long};
use crate::environment::Environment;
use crate::failure::{Failure, Kind, Outcome};
use crate::interrupt::Interrupts;
use crate::output;
use crate::parameters::Parameters;
use crate::session::Session;

use input::{Composer, HELP, Wish};

/// The file in Kun's folder that keeps what was typed.
const HISTORY_FILE: &str = "history.txt";

/// What a chat runs in.
pub(crate) struct Surroundings<'a> {
    /// No template: each message is a prompt of its own.
    pub(crate) raw: bool,
    /// What each answer must look like.
    pub(crate) form: Option<Box<Form>>,
    pub(crate) environment: &'a Environment,
    pub(crate) interrupts: &'a Interrupts,
}

/// Chats until the user leaves.
pub(crate) fn run(
    session: &Session,
    conversation: Conversation,
    parameters: Parameters,
    surroundings: Surroundings<'_>,
) -> Outcome {
    let history = history_file(surroundings.environment);
    let mut editor = DefaultEditor::new().map_err(|e| terminal_failure(&e))?;
    if let Some(file) = &history {
        // A history that isn't there yet, or can't be read, is an empty one.
        let _ = editor.load_history(file);
    }
    surroundings.interrupts.only_mark();
    output::note("Type a message, /help for the commands, Ctrl-D to leave.");
    let mut chat = Chat { session, conversation, parameters, surroundings };
    let outcome = chat.read_and_answer(&mut editor);
    if let Some(file) = &history {
        // A chat on a read-only disk works, it just isn't remembered.
        let _ = editor.save_history(file);
    }
    outcome
}

struct Chat<'a> {
    session: &'a Session,
    conversation: Conversation,
    parameters: Parameters,
    surroundings: Surroundings<'a>,
}

impl Chat<'_> {
    fn read_and_answer(&mut self, editor: &mut DefaultEditor) -> Outcome {
        let mut composer = Composer::default();
        let mut interrupted_before = false;
        loop {
            let line = match editor.readline(if composer.is_open() { "... " } else { ">>> " }) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) if interrupted_before => return Err(Failure::interrupted()),
                Err(ReadlineError::Interrupted) => {
                    interrupted_before = true;
                    composer.clear();
                    output::note("Ctrl-C again, Ctrl-D or /exit to leave");
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(()),
                Err(e) => return Err(terminal_failure(&e)),
            };
            interrupted_before = false;
            let Some(message) = composer.push(&line) else { continue };
            if !message.trim().is_empty() {
                // Only a full history file or a broken one could refuse it, and the chat goes on without.
                let _ = editor.add_history_entry(message.as_str());
            }
            if !self.fulfil(&message)? {
                return Ok(());
            }
        }
    }

    /// Does what a message asks for. False: leave.
    fn fulfil(&mut self, message: &str) -> Outcome<bool> {
        match Wish::parse(message) {
            Wish::Nothing => {}
            Wish::Say(text) => self.answer(text)?,
            Wish::Clear => {
                self.conversation.clear();
                output::note("the conversation is forgotten");
            }
            Wish::System(text) => self.set_system(text),
            Wish::Set(name, value) => match self.parameters.set(name, value) {
                Ok(()) => output::note(format!("{name} = {value}")),
                Err(wrong) => output::note(format!("{name}: {wrong}")),
            },
            Wish::Show => self.show(),
            Wish::Help => output::note(HELP),
            Wish::Wrong(text) => output::note(text),
            Wish::Exit => return Ok(false),
        }
        Ok(true)
    }

    fn set_system(&mut self, text: &str) {
        if self.surroundings.raw {
            output::note("without a chat template there is no system message");
            return;
        }
        self.conversation.system = (!text.is_empty()).then(|| text.to_owned());
        output::note(if text.is_empty() { "no system message" } else { "the system message is set" });
    }

    fn show(&self) {
        for (name, value) in self.parameters.shown() {
            output::note(format!("{name:16}{value}"));
        }
        output::note(format!("{:16}{} tokens", "ctx", self.session.ctx));
        output::note(format!("{:16}{}", "system", self.conversation.system.as_deref().unwrap_or("none")));
        output::note(format!("{:16}{}", "turns so far", self.conversation.turns()));
    }

    /// Answers; what is wrong with this one message is told and does not end the chat.
    fn answer(&mut self, text: &str) -> Outcome {
        self.conversation.say(text);
        let prompt = match self.prompt(text) {
            Ok(prompt) => prompt,
            Err(failure) if is_of_message(&failure) => {
                self.conversation.take_back();
                output::note(failure.to_string());
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if prompt.dropped > 0 {
            output::note(format!(
                "(the context is full: the oldest {} of the conversation {} forgotten)",
                if prompt.dropped == 1 { "turn".to_owned() } else { format!("{} turns", prompt.dropped) },
                if prompt.dropped == 1 { "is" } else { "are" },
            ));
        }
        let interrupts = self.surroundings.interrupts;
        interrupts.clear();
        let unwanted = || interrupts.pressed();
        let on_text = |piece: &str| output::write(piece);
        let ask = Ask { prompt: prompt.tokens, form: self.surroundings.form.clone() };
        let answer = match answer::generate(self.session, ask, &self.parameters, on_text, unwanted) {
            Ok(answer) => answer,
            Err(failure) if is_of_message(&failure) => {
                self.conversation.take_back();
                output::note(failure.to_string());
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        output::write(if answer.text.ends_with('\n') { "\n" } else { "\n\n" })?;
        match &answer.finished {
            Some(finished) => output::note(answer::speeds(finished)),
            None => output::note("(stopped)"),
        }
        if self.surroundings.raw {
            self.conversation.clear()
        } else {
            self.conversation.answered(answer.text)
        }
        Ok(())
    }

    fn prompt(&mut self, text: &str) -> Outcome<Prompt> {
        let room = self.session.prompt_room();
        if !self.surroundings.raw {
            return self.conversation.prompt(room, |messages| self.session.render(messages));
        }
        let tokens = self.session.raw_prompt(text);
        if tokens.len() > room {
            Err(too_long(tokens.len(), room))
        } else {
            Ok(Prompt { tokens, dropped: 0 })
        }
    }
}

/// Whether it is about one message, so that the chat can go on.
fn is_of_message(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Usage | Kind::Model)
}

/// Where the history is kept, if there is a place for it.
fn history_file(environment: &Environment) -> Option<PathBuf> {
    let home = environment.home().ok()?;
    // Where it can't be made, loading and saving fail later, and neither matters to the chat.
    let _ = std::fs::create_dir_all(&home);
    std::io::stdin().is_terminal().then(|| home.join(HISTORY_FILE))
}

fn terminal_failure(error: &ReadlineError) -> Failure {
    Failure::io(format!("cannot read from the terminal: {error}\nsend the prompt through a pipe instead"))
}

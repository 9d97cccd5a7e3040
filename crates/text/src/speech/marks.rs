//! Which markers mean something where: in content, in reasoning, and before a call.

use std::borrow::Cow;

use super::spec::Spec;

/// What a marker means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The reasoning of this index of the format begins.
    Think(usize),
    EndThink(&'static str),
    Frame(&'static str),
    Open(usize),
    Close(&'static str),
    Silent,
    /// Another message begins.
    Start(&'static str),
    EndMessage,
}

type Marks = Vec<(Cow<'static, str>, Mark)>;

impl Spec {
    /// What is looked for in content. Markers at the end of calls mean something only after one.
    pub(super) fn marks_in_content(&'static self, has_tools: bool, after_call: bool) -> Marks {
        let mut marks = self.marks_of_headers();
        if marks.is_empty() {
            marks = self.marks_of_calls(has_tools);
        }
        marks.extend(self.marks_of_thinking());
        marks.extend(self.silent.iter().map(|mark| ((*mark).into(), Mark::Silent)));
        if after_call {
            marks.extend(self.calls.closings.iter().map(|mark| ((*mark).into(), Mark::Close(mark))));
        }
        marks
    }

    /// What is looked for in reasoning.
    pub(super) fn marks_in_thinking(&'static self, has_tools: bool) -> Marks {
        let mut marks = self.marks_of_headers();
        if self.calls.in_thinking {
            marks.extend(self.marks_of_calls(has_tools));
        }
        marks.extend(self.marks_of_thinking());
        marks
    }

    /// What begins calls. Without tools nothing does.
    pub(super) fn marks_of_calls(&'static self, has_tools: bool) -> Marks {
        if !has_tools {
            return Vec::new();
        }
        let frames = self.calls.frames.iter().map(|frame| ((*frame).into(), Mark::Frame(frame)));
        let openings = self.calls.openings.iter().enumerate();
        frames.chain(openings.map(|(index, opening)| (opening.mark.into(), Mark::Open(index)))).collect()
    }

    fn marks_of_thinking(&'static self) -> Marks {
        let mut marks = Vec::new();
        for (index, thinking) in self.thinking.iter().enumerate() {
            marks.push((thinking.open.into(), Mark::Think(index)));
            marks.extend(thinking.close.iter().map(|close| ((*close).into(), Mark::EndThink(close))));
        }
        marks
    }

    fn marks_of_headers(&'static self) -> Marks {
        let Some(headers) = &self.headers else { return Vec::new() };
        let starts = headers.start.iter().map(|start| ((*start).into(), Mark::Start(start)));
        let ends = headers.message_ends.iter().map(|end| ((*end).into(), Mark::EndMessage));
        starts.chain(ends).collect()
    }
}

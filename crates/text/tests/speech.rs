//! Answers of many models, taken apart whole, character by character, and cut at random: the parts must be what
//! `data/answers.jsonl` says, and the same however the text comes. Then the same texts are broken in random ways:
//! nothing may be lost, nothing may panic, and what is called complete must be JSON.

#[path = "speech/broken.rs"]
mod broken;

use serde_json::Value;
use text::speech::{Begin, Format, Part, Reader, Tool};

/// The templates of the data with the formats that they are of.
const TEMPLATES: &[(&str, &str)] = &[
    ("Apertus-8B-Instruct.jinja", "apertus"),
    ("Apriel-1.6-15b-Thinker-fixed.jinja", "apriel"),
    ("ByteDance-Seed-OSS.jinja", "seed_oss"),
    ("Cohere2MoE.jinja", "command_r"),
    ("CohereForAI-c4ai-command-r-plus-tool_use.jinja", "command_r_plus"),
    ("CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja", "command_r"),
    ("GLM-4.6.jinja", "glm"),
    ("GLM-4.7-Flash.jinja", "glm"),
    ("GigaChat3-10B-A1.8B.jinja", "gigachat"),
    ("GigaChat3.1-10B-A1.8B.jinja", "gigachat_v31"),
    ("Kimi-K2-Instruct.jinja", "kimi_k2"),
    ("Kimi-K2-Thinking.jinja", "kimi_k2"),
    ("Kimi-K3.jinja", "kimi_k3"),
    ("LFM2-8B-A1B.jinja", "lfm2"),
    ("LFM2.5-8B-A1B.jinja", "lfm2"),
    ("LFM2.5-Instruct.jinja", "lfm2"),
    ("MiMo-VL.jinja", "hermes"),
    ("MiniMax-M2.jinja", "minimax_m2"),
    ("MiniMax-M3.jinja", "minimax_m3"),
    ("Mistral-Small-3.2-24B-Instruct-2506.jinja", "mistral"),
    ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.jinja", "qwen_coder"),
    ("NVIDIA-Nemotron-Nano-v2.jinja", "nemotron"),
    ("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja", "hermes"),
    ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", "hermes"),
    ("Qwen-QwQ-32B.jinja", "hermes"),
    ("Qwen-Qwen2.5-7B-Instruct.jinja", "hermes"),
    ("Qwen3-Coder.jinja", "qwen_coder"),
    ("Qwen3.5-4B.jinja", "qwen_coder"),
    ("Reka-Edge.jinja", "hermes"),
    ("Spark2.5.jinja", "glm"),
    ("StepFun3.5-Flash.jinja", "qwen_coder"),
    ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja", "deepseek"),
    ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", "deepseek"),
    ("deepseek-ai-DeepSeek-V3.1.jinja", "deepseek"),
    ("deepseek-ai-DeepSeek-V3.2.jinja", "dsml"),
    ("deepseek-ai-DeepSeek-V4-Flash-0731.jinja", "dsml"),
    ("deepseek-ai-DeepSeek-V4.jinja", "dsml"),
    ("fireworks-ai-llama-3-firefunction-v2.jinja", "firefunction"),
    ("google-gemma-2-2b-it.jinja", "gemma"),
    ("google-gemma-4-31B-it.jinja", "gemma4"),
    ("ibm-granite-granite-3.3-2B-Instruct.jinja", "granite"),
    ("ibm-granite-granite-4.0.jinja", "hermes"),
    ("ibm-granite-granite-4.1.jinja", "hermes"),
    ("inclusionai-ling-3.0-flash.jinja", "glm"),
    ("llama-cpp-deepseek-r1.jinja", "deepseek"),
    ("meetkai-functionary-medium-v3.1.jinja", "functionary"),
    ("meetkai-functionary-medium-v3.2.jinja", "functionary_v3"),
    ("meta-llama-Llama-3.1-8B-Instruct.jinja", "llama"),
    ("meta-llama-Llama-3.2-3B-Instruct.jinja", "llama"),
    ("meta-llama-Llama-3.3-70B-Instruct.jinja", "llama"),
    ("mistralai-Ministral-3-14B-Reasoning-2512.jinja", "mistral"),
    ("mistralai-Mistral-Nemo-Instruct-2407.jinja", "mistral_list"),
    ("moonshotai-Kimi-K2.jinja", "kimi_k2"),
    ("muse-glimmer.jinja", "muse"),
    ("openai-gpt-oss-120b.jinja", "harmony"),
    ("openbmb-MiniCPM5-1B.jinja", "minicpm"),
    ("unsloth-Apriel-1.5.jinja", "apriel"),
    ("unsloth-mistral-Devstral-Small-2507.jinja", "mistral"),
];

/// How many answers there are, so that none goes missing without notice.
const ANSWERS: usize = 446;

/// Answers that are taken apart in another way, by their template and a part of them, with the reason. One that
/// agrees again fails the test.
const KNOWN_DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "Qwen3.5-4B.jinja",
        "<think>\n\n</think>",
        "a marker that the prompt has already is dropped at the beginning of the reasoning",
    ),
    (
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja",
        "\"tool_name\": \"special_function\", ",
        "a call begins with its arguments, and none have come yet",
    ),
    ("Cohere2MoE.jinja", "\"tool_name\": \"special_function\", ", "as above"),
    (
        "openai-gpt-oss-120b.jinja",
        "to=container.exec",
        "a call of no tool of the request is content, not lost",
    ),
    ("openai-gpt-oss-120b.jinja", "to=python", "as above"),
];

/// One line of the data.
struct Answer {
    template: String,
    format: Format,
    begin: Begin,
    input: String,
    tools: Vec<Tool>,
    partial: bool,
    expected: Value,
}

/// What parts amount to.
#[derive(Debug, Default, PartialEq)]
struct Message {
    content: String,
    reasoning: String,
    calls: Vec<(String, Option<String>, String)>,
}

fn answers() -> Vec<Answer> {
    let lines = include_str!("data/answers.jsonl").lines();
    let answer = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |key: &str| value[key].as_str().expect("a line has this text").to_owned();
        let template = text("template");
        let of_template = TEMPLATES.iter().find(|(name, _)| *name == template).expect("the table has it");
        let format = Format::by_name(of_template.1).expect("the format has this name");
        let begin = match value["begin"].as_str() {
            Some("thinking") => Begin::Thinking,
            Some("content") => Begin::Content,
            _ => format.begin_after(&text("prompt")),
        };
        let tool = |tool: &Value| Tool {
            name: tool["name"].as_str().expect("a tool has a name").to_owned(),
            parameters: tool["parameters"].clone(),
        };
        let tools =
            value["tools"].as_array().map(|tools| tools.iter().map(tool).collect()).unwrap_or_default();
        let (input, partial) = (text("input"), value["partial"] == true);
        Answer { template, format, begin, input, tools, partial, expected: value }
    };
    lines.map(answer).collect()
}

/// The parts of a text that comes in these pieces, adjacent ones of a kind put together.
fn parts<'a>(answer: &Answer, pieces: impl Iterator<Item = &'a str>, finish: bool) -> Vec<Part> {
    let mut reader = Reader::new(answer.format, &answer.tools, answer.begin);
    let mut all = Vec::new();
    for piece in pieces {
        let mut parts = Vec::new();
        reader.push(piece, &mut parts);
        parts.into_iter().for_each(|part| add(&mut all, part));
    }
    if finish {
        let mut parts = Vec::new();
        reader.finish(&mut parts);
        parts.into_iter().for_each(|part| add(&mut all, part));
    }
    all
}

fn add(all: &mut Vec<Part>, part: Part) {
    match (all.last_mut(), part) {
        (Some(Part::Content(last)), Part::Content(more)) => last.push_str(&more),
        (Some(Part::Reasoning(last)), Part::Reasoning(more)) => last.push_str(&more),
        (Some(Part::CallArguments { index, json }), Part::CallArguments { index: same, json: more })
            if *index == same =>
        {
            json.push_str(&more);
        }
        (_, part) => all.push(part),
    }
}

fn message(parts: &[Part]) -> Message {
    let mut message = Message::default();
    for part in parts {
        match part {
            Part::Content(text) => message.content.push_str(text),
            Part::Reasoning(text) => message.reasoning.push_str(text),
            Part::CallBegun { index, id, name } => {
                assert_eq!(*index, message.calls.len(), "calls are counted from 0");
                message.calls.push((name.clone(), id.clone(), String::new()));
            }
            Part::CallArguments { index, json } => {
                assert_eq!(*index + 1, message.calls.len(), "arguments belong to the last call");
                message.calls[*index].2.push_str(json);
            }
            Part::CallEnded { index, .. } => assert_eq!(*index + 1, message.calls.len()),
        }
    }
    message
}

/// Where a message differs from what is expected. Whitespace around texts doesn't count, nor how JSON is written.
fn difference(message: &Message, answer: &Answer) -> Option<String> {
    let expected = &answer.expected;
    let same_text = |text: &str, key: &str| text.trim() == expected[key].as_str().unwrap_or("").trim();
    let calls = expected["calls"].as_array().expect("a line has calls");
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    let same_calls = message.calls.len() == calls.len()
        && message.calls.iter().zip(calls).all(|((name, id, arguments), expected)| {
            *name == expected["name"]
                && id.as_deref() == expected["id"].as_str()
                && json(arguments) == json(expected["arguments"].as_str().unwrap_or(""))
        });
    let agrees =
        same_text(&message.content, "content") && same_text(&message.reasoning, "reasoning") && same_calls;
    (!agrees).then(|| {
        let calls = &expected["calls"];
        let (content, reasoning) = (&expected["content"], &expected["reasoning"]);
        format!(
            "{}, {:?}, {:?}\n  input:    {:?}\n  expected: {content} {reasoning} {calls}\n  here:     {message:?}",
            answer.template,
            answer.format,
            answer.begin,
            answer.input,
        )
    })
}

/// Small numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// A text cut at random places between characters, into pieces of at most `length` characters.
fn cut<'a>(text: &'a str, length: usize, random: &mut Random) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let characters = 1 + random.below(length);
        let at = rest.char_indices().nth(characters).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Takes a text apart in several ways, which must agree, and gives the parts.
fn parts_however_cut(answer: &Answer, finish: bool, random: &mut Random) -> Vec<Part> {
    let whole = parts(answer, std::iter::once(answer.input.as_str()), finish);
    for length in [1, 2, 7, 30] {
        let pieces = cut(&answer.input, length, random);
        let cut = parts(answer, pieces.iter().copied(), finish);
        assert_eq!(cut, whole, "{:?} cut as {pieces:?}", answer.format);
    }
    whole
}

#[test]
fn answers_are_taken_apart_as_expected() {
    let answers = answers();
    assert_eq!(answers.len(), ANSWERS);
    let mut random = Random(7);
    let mut known: Vec<_> = KNOWN_DIFFERENCES.to_vec();
    let (mut agreeing, mut failures) = (0, Vec::new());
    for answer in &answers {
        let parts = parts_however_cut(answer, !answer.partial, &mut random);
        let listed = known
            .iter()
            .position(|(template, part, _)| *template == answer.template && answer.input.contains(part));
        match (difference(&message(&parts), answer), listed) {
            (None, _) => agreeing += 1,
            (Some(_), Some(at)) => {
                known.remove(at);
            }
            (Some(difference), None) => failures.push(difference),
        }
    }
    println!("{agreeing} of {} answers are taken apart as expected", answers.len());
    assert!(failures.is_empty(), "{} differ\n{}", failures.len(), failures.join("\n"));
    assert!(known.is_empty(), "listed differences that there aren't: {known:?}");
}

#[test]
fn without_tools_nothing_is_a_call_and_all_text_is_said() {
    let mut random = Random(11);
    for mut answer in answers() {
        answer.tools.clear();
        let parts = parts_however_cut(&answer, true, &mut random);
        assert_eq!(message(&parts).calls, [], "{:?}", answer.input);
        broken::check_nothing_is_lost(&answer, &parts);
    }
}

/// What the grammars of forced calls write is what the readers read: `data/forced.jsonl` has a text of each.
#[test]
fn forced_calls_are_read() {
    let parameters = serde_json::json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    });
    let tools = [Tool { name: "weather".to_owned(), parameters }];
    let lines = include_str!("data/forced.jsonl").lines();
    let mut formats: Vec<&str> = Format::names().collect();
    for line in lines {
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        let name = value["format"].as_str().expect("a line has a format");
        let format = Format::by_name(name).expect("the format has this name");
        let mut reader = Reader::new(format, &tools, Begin::Answer);
        let mut parts = Vec::new();
        reader.push(value["text"].as_str().expect("a line has a text"), &mut parts);
        reader.finish(&mut parts);
        let message = message(&parts);
        assert_eq!((message.content.as_str(), message.calls.len()), ("", 1), "{name}: {message:?}");
        let (called, _, arguments) = &message.calls[0];
        let arguments: Value = serde_json::from_str(arguments).expect("arguments are JSON");
        assert_eq!((called.as_str(), &arguments["city"]), ("weather", &Value::from("Paris")), "{name}");
        formats.retain(|format| *format != name);
    }
    assert_eq!(formats, [""; 0], "formats without a text");
}

#[test]
fn templates_are_of_their_formats() {
    const CORPUS: &str = "KUN_TEST_TEMPLATES";
    let Ok(folder) = std::env::var(CORPUS) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{CORPUS} must be set under CI");
        eprintln!("SKIPPED: the formats of chat templates, because {CORPUS} is not set");
        return;
    };
    for (template, format) in TEMPLATES {
        let path = std::path::Path::new(&folder).join(template);
        let source = std::fs::read_to_string(&path).expect("the template can be read");
        assert_eq!(Format::of_template(&source).name(), *format, "{template}");
    }
}

/// What ends a thinking that takes too long is read as its end, in every format that marks thoughts.
#[test]
fn a_thinking_that_is_broken_off_is_over() {
    let mut with_marks = 0;
    for name in Format::names() {
        let format = Format::by_name(name).expect("the format has this name");
        let Some(marks) = format.thinking_marks("") else { continue };
        assert!(marks.close.contains(marks.end), "{name}");
        let mut reader = Reader::new(format, &[], Begin::Answer);
        let mut parts = Vec::new();
        reader.push(&format!("{}hm{}Yes.", marks.begin, marks.close), &mut parts);
        reader.finish(&mut parts);
        let message = message(&parts);
        assert_eq!(
            (message.reasoning.trim(), message.content.as_str()),
            ("hm", "Yes."),
            "{name}: {message:?}"
        );
        with_marks += 1;
    }
    assert!(with_marks > 20, "only {with_marks} formats have marks");
    let marks = |prompt: &str| Format::by_name("mistral").and_then(|format| format.thinking_marks(prompt));
    assert_eq!(marks("<think>\n").map(|marks| marks.end), Some("</think>"), "the one that the prompt began");
    assert_eq!(marks("").map(|marks| marks.end), Some("[/THINK]"), "its own");
}

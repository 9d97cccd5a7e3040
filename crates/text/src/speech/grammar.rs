//! Grammars for answers that have to be calls, in the dialect of Lark that the library llguidance reads.
//!
//! Each is made of the same notation that the reader takes apart afterwards. Markers that are single tokens of the
//! vocabulary are written as `<[id]>`, since text never matches those; all other text is written in quotes.

use serde_json::{Map, Value, json};

use super::dict::Dict;
use super::scanner::quoted;
use super::schema::{Tool, Types};
use super::spec::Calls;
use super::tags::Tags;

/// The most calls that a grammar allows in an answer.
const CALLS_MAX: usize = 16;

/// How many calls an answer has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// Exactly one.
    One,
    /// One or more.
    Many,
}

/// Which token a text is, if it is a single special one of the vocabulary.
pub type SpecialToken<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// Writes the grammar of an answer that is calls of these tools.
pub(super) fn grammar(calls: &Calls, tools: &[Tool], how: Forced, lark: &mut Lark<'_>) -> String {
    let frame = &calls.written;
    let mut alternatives = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let call = frame.notation.rule(tool, lark);
        let (before, after) = (lark.text(frame.before), lark.text(frame.after));
        lark.rules.push(format!("call_{index}: {before} {call} {after}"));
        alternatives.push(format!("call_{index}"));
    }
    let (begin, end) = (lark.text(frame.begin), lark.text(frame.end));
    let more = match how {
        Forced::One => String::new(),
        Forced::Many => format!("({} call){{0,{}}}", lark.text(frame.between), CALLS_MAX - 1),
    };
    let mut text = format!("start: {begin} call {more} {end}\ncall: {}\n", alternatives.join(" | "));
    for rule in &lark.rules {
        text.push_str(rule);
        text.push('\n');
    }
    // Empty literals leave gaps, which mean nothing.
    text.lines().map(|line| single_spaced(line) + "\n").collect()
}

/// The line with single spaces between things, those within quotes left alone.
fn single_spaced(line: &str) -> String {
    let (mut spaced, mut in_text, mut escaped) = (String::with_capacity(line.len()), false, false);
    for c in line.trim_end().chars() {
        if in_text || c != ' ' || !spaced.ends_with([' ', '(']) {
            spaced.push(c);
        }
        in_text ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
    }
    spaced
}

/// A grammar that is being written.
pub(super) struct Lark<'a> {
    special: SpecialToken<'a>,
    /// The markers of the format that may be single tokens.
    tokens: &'static [&'static str],
    rules: Vec<String>,
    names: usize,
}

impl<'a> Lark<'a> {
    /// With nothing in it.
    pub(super) fn new(special: SpecialToken<'a>, tokens: &'static [&'static str]) -> Lark<'a> {
        Lark { special, tokens, rules: Vec::new(), names: 0 }
    }

    /// An expression for this very text.
    pub(super) fn text(&self, text: &str) -> String {
        let mut expression = Vec::new();
        let mut rest = text;
        while let Some((at, token, id)) = self.first_token(rest) {
            if at > 0 {
                expression.push(quoted(&rest[..at]));
            }
            expression.push(format!("<[{id}]>"));
            rest = &rest[at + token.len()..];
        }
        if !rest.is_empty() {
            expression.push(quoted(rest));
        }
        expression.join(" ")
    }

    fn first_token(&self, text: &str) -> Option<(usize, &'static str, u32)> {
        let found = |token: &&'static str| Some((text.find(token)?, *token, (self.special)(token)?));
        // Of two that begin together the longer one is meant.
        self.tokens.iter().filter_map(found).min_by_key(|(at, token, _)| (*at, usize::MAX - token.len()))
    }

    /// An expression for JSON that satisfies a schema of arguments.
    pub(super) fn json(&self, schema: &Value) -> String {
        match schema {
            Value::Object(fields) if !fields.is_empty() => {
                let mut fields = fields.clone();
                if !["type", "$ref", "anyOf", "oneOf", "allOf"].iter().any(|key| fields.contains_key(*key)) {
                    fields.insert("type".to_owned(), json!("object"));
                }
                format!("%json {}", Value::Object(fields))
            }
            _ => r#"%json {"type":"object"}"#.to_owned(),
        }
    }

    /// An expression for JSON that satisfies the schema of a parameter.
    fn parameter(&self, schema: &Value, root: &Value) -> String {
        let mut schema = schema.clone();
        if let Some(fields) = schema.as_object_mut() {
            for key in ["$defs", "definitions"] {
                if let (Some(definitions), false) = (root.get(key), fields.contains_key(key)) {
                    fields.insert(key.to_owned(), definitions.clone());
                }
            }
        }
        format!("%json {schema}")
    }

    /// An expression for any text up to and with `end`.
    fn text_up_to(&mut self, end: &str) -> String {
        let name = format!("text_{}", self.names);
        self.names += 1;
        let end_expression = self.text(end);
        if end_expression.starts_with('<') {
            // Text doesn't match the token with which the end begins.
            self.rules.push(format!("{name}: /(?s:.*)/"));
            return format!("{name} {end_expression}");
        }
        let (literal, more) = match end_expression.split_once(" <") {
            Some((literal, more)) => (literal.to_owned(), format!(" <{more}")),
            None => (end_expression, String::new()),
        };
        self.rules.push(format!("{name}[lazy]: /(?s:.*)/ {literal}"));
        name + &more
    }

    /// A call between tags. Required parameters come first, in the order of the schema.
    pub(super) fn tags(&mut self, tags: &Tags, tool: &Tool) -> String {
        let gap = tags.gap;
        let [of_name, of_text, of_other] = tags.attributes;
        let begins_with_parameter = tags.name_ends.contains(&tags.parameter);
        let name_end = match tags.name_ends.first() {
            _ if begins_with_parameter => "",
            Some(end) => end,
            None => "",
        };
        let mut rule = self.text(&format!("{}{name_end}{of_name}{}{gap}", tool.name, tags.tag_end));
        for (key, schema, required) in parameters(tool) {
            let types = Types::of(schema, &tool.parameters);
            let line = if tags.value_end_line.is_empty() { "" } else { "\n" };
            let attributes = if types.is_text_only() { of_text } else { of_other };
            let before = format!(
                "{}{key}{}{attributes}{}{}{line}",
                tags.parameter, tags.key_end, tags.tag_end, tags.value
            );
            let end = if tags.key_is_tag {
                format!("{}/{key}{}", tags.parameter, tags.key_end)
            } else {
                format!("{line}{}{gap}", tags.value_end)
            };
            let before = self.text(&before);
            let value = match text_values(schema) {
                Some(values) => {
                    let values: Vec<String> = values.iter().map(|value| self.text(value)).collect();
                    format!("({}) {}", values.join(" | "), self.text(&end))
                }
                None if types.has(Types::STRING) => self.text_up_to(&end),
                None => format!("{} {}", self.parameter(schema, &tool.parameters), self.text(&end)),
            };
            rule += &if required { format!(" {before} {value}") } else { format!(" ({before} {value})?") };
        }
        format!("{rule} {}", self.text(tags.end))
    }

    /// A call of Python with arguments by name, whose values are JSON.
    pub(super) fn pythonic(&mut self, tool: &Tool) -> String {
        let all: Vec<_> = parameters(tool)
            .into_iter()
            .map(|(key, schema, required)| {
                let value = self.parameter(schema, &tool.parameters);
                (format!("{} {value}", self.text(&format!("{key}="))), required)
            })
            .collect();
        format!("{} {} {}", self.text(&format!("{}(", tool.name)), separated(&all, "\", \""), self.text(")"))
    }

    /// A call with an object of bare keys. Values of text, numbers and so on are as their schema says; what is in
    /// lists and objects may be anything.
    pub(super) fn dict(&mut self, dict: &Dict, tool: &Tool) -> String {
        let text_end = self.text_up_to(dict.quote);
        let text = format!("{} {text_end}", self.text(dict.quote));
        if !self.rules.iter().any(|rule| rule.starts_with("any_value:")) {
            let key = "/[a-zA-Z_][a-zA-Z0-9_]*/ \":\" any_value";
            self.rules.push(format!(
                "any_value: {text} | /-?[0-9]+(\\.[0-9]+)?/ | \"true\" | \"false\" | \"null\" | any_list | any_object"
            ));
            self.rules.push("any_list: \"[\" (any_value (\",\" any_value)*)? \"]\"".to_owned());
            self.rules.push(format!("any_object: \"{{\" ({key} (\",\" {key})*)? \"}}\""));
        }
        let all: Vec<_> = parameters(tool)
            .into_iter()
            .map(|(key, schema, required)| {
                let types = Types::of(schema, &tool.parameters);
                let value = match text_values(schema) {
                    Some(values) => {
                        let quoted = |value: &String| self.text(&format!("{0}{value}{0}", dict.quote));
                        format!("({})", values.iter().map(quoted).collect::<Vec<_>>().join(" | "))
                    }
                    None if types.is_text_only() => text.clone(),
                    None if types.has(Types::STRING)
                        || types.has(Types::OBJECT)
                        || types.has(Types::ARRAY) =>
                    {
                        "any_value".to_owned()
                    }
                    None => self.parameter(schema, &tool.parameters),
                };
                (format!("{} {value}", self.text(&format!("{key}:"))), required)
            })
            .collect();
        let name = self.text(&format!("{}{}{{", dict.prefix, tool.name));
        format!("{name} {} {}", separated(&all, "\",\""), self.text("}"))
    }
}

/// Required things with separators, then optional ones, each of which may be missing.
fn separated(all: &[(String, bool)], separator: &str) -> String {
    let optional: Vec<&str> =
        all.iter().filter(|(_, required)| !required).map(|(text, _)| text.as_str()).collect();
    let required: Vec<&str> =
        all.iter().filter(|(_, required)| *required).map(|(text, _)| text.as_str()).collect();
    let rest = |from: usize| -> String {
        optional[from..].iter().map(|text| format!(" ({separator} {text})?")).collect()
    };
    if !required.is_empty() {
        return required.join(&format!(" {separator} ")) + &rest(0);
    }
    let beginnings: Vec<String> =
        (0..optional.len()).map(|at| format!("{}{}", optional[at], rest(at + 1))).collect();
    if beginnings.is_empty() { String::new() } else { format!("({})?", beginnings.join(" | ")) }
}

/// The parameters of a tool with their schemas and whether they are required, the required ones first.
fn parameters(tool: &Tool) -> Vec<(&str, &Value, bool)> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let properties = tool.parameters.get("properties").and_then(Value::as_object).unwrap_or(&NONE);
    let required: Vec<&str> = tool
        .parameters
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut all: Vec<_> = properties
        .iter()
        .map(|(key, schema)| (key.as_str(), schema, required.contains(&key.as_str())))
        .collect();
    all.sort_by_key(|(_, _, required)| !required);
    all
}

/// The values of a schema that lists strings.
fn text_values(schema: &Value) -> Option<Vec<String>> {
    let values = schema.get("enum")?.as_array()?;
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::speech::Format;

    fn tools() -> [Tool; 2] {
        let parameters = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["c", "f"]},
                "days": {"type": "integer"},
            },
            "required": ["city"],
        });
        [
            Tool { name: "weather".to_owned(), parameters },
            Tool { name: "now".to_owned(), parameters: json!({}) },
        ]
    }

    fn check(format: &str, how: Forced, special: &[(&str, u32)], expect: &str) {
        let special = |text: &str| special.iter().find(|(token, _)| *token == text).map(|(_, id)| *id);
        let format = Format::by_name(format).expect("there is such a format");
        let grammar = format.call_grammar(&tools(), how, &special).expect("there are tools");
        assert_eq!(grammar, expect, "{format:?}");
    }

    const SCHEMA: &str = r#"{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]},"days":{"type":"integer"}},"required":["city"]}"#;

    #[test]
    fn arguments_that_are_json_have_the_schema() {
        let special = [("<tool_call>", 7), ("</tool_call>", 8)];
        let expect = r#"start: call
call: call_0 | call_1
call_0: <[7]> "\n" "{\"name\": \"weather\", \"arguments\": " %json SCHEMA "}" "\n" <[8]>
call_1: <[7]> "\n" "{\"name\": \"now\", \"arguments\": " %json {"type":"object"} "}" "\n" <[8]>
"#;
        check("hermes", Forced::One, &special, &expect.replace("SCHEMA", SCHEMA));
        let expect = r#"start: call ("\n" call){0,15}
call: call_0 | call_1
call_0: "<tool_call>\n" "{\"name\": \"weather\", \"arguments\": " %json SCHEMA "}" "\n</tool_call>"
call_1: "<tool_call>\n" "{\"name\": \"now\", \"arguments\": " %json {"type":"object"} "}" "\n</tool_call>"
"#;
        check("hermes", Forced::Many, &[], &expect.replace("SCHEMA", SCHEMA));
        let expect = r#"start: call (call){0,15}
call: call_0 | call_1
call_0: <[9]> "weather" <[32]> %json SCHEMA
call_1: <[9]> "now" <[32]> %json {"type":"object"}
"#;
        let special = [("[TOOL_CALLS]", 9), ("[ARGS]", 32)];
        check("mistral", Forced::Many, &special, &expect.replace("SCHEMA", SCHEMA));
    }

    #[test]
    fn arguments_in_tags_are_typed_one_by_one() {
        let expect = r#"start: call
call: call_0 | call_1
text_0[lazy]: /(?s:.*)/ "\n</parameter>\n"
call_0: "<tool_call>\n<function=" "weather>\n" "<parameter=city>\n" text_0 ("<parameter=unit>\n" ("c" | "f") "\n</parameter>\n")? ("<parameter=days>\n" %json {"type":"integer"} "\n</parameter>\n")? "</function>" "\n</tool_call>"
call_1: "<tool_call>\n<function=" "now>\n" "</function>" "\n</tool_call>"
"#;
        check("qwen_coder", Forced::One, &[], expect);
        // Text doesn't match special tokens, which end it then.
        let expect = r#"start: call
call: call_0 | call_1
text_0: /(?s:.*)/
call_0: <[1]> "weather\n" "<arg_key>city</arg_key><arg_value>" text_0 <[3]> "\n" ("<arg_key>unit</arg_key><arg_value>" ("c" | "f") <[3]> "\n")? ("<arg_key>days</arg_key><arg_value>" %json {"type":"integer"} <[3]> "\n")? <[2]>
call_1: <[1]> "now\n" <[2]>
"#;
        check("glm", Forced::One, &[("<tool_call>", 1), ("</tool_call>", 2), ("</arg_value>", 3)], expect);
    }

    #[test]
    fn arguments_of_python_have_values_of_json() {
        let expect = r#"start: <[5]> "[" call (", " call){0,15} "]" <[6]>
call: call_0 | call_1
call_0: "weather(" "city=" %json {"type":"string"} (", " "unit=" %json {"enum":["c","f"]})? (", " "days=" %json {"type":"integer"})? ")"
call_1: "now(" ")"
"#;
        let special = [("<|tool_call_start|>", 5), ("<|tool_call_end|>", 6)];
        check("lfm2", Forced::Many, &special, expect);
    }

    #[test]
    fn gemmas_text_stands_between_marks() {
        let expect = r#"start: call
call: call_0 | call_1
text_0: /(?s:.*)/
any_value: <[3]> text_0 <[3]> | /-?[0-9]+(\.[0-9]+)?/ | "true" | "false" | "null" | any_list | any_object
any_list: "[" (any_value ("," any_value)*)? "]"
any_object: "{" (/[a-zA-Z_][a-zA-Z0-9_]*/ ":" any_value ("," /[a-zA-Z_][a-zA-Z0-9_]*/ ":" any_value)*)? "}"
call_0: <[1]> "call:weather{" "city:" <[3]> text_0 <[3]> ("," "unit:" (<[3]> "c" <[3]> | <[3]> "f" <[3]>))? ("," "days:" %json {"type":"integer"})? "}" <[2]>
text_1: /(?s:.*)/
call_1: <[1]> "call:now{" "}" <[2]>
"#;
        let special = [("<|tool_call>", 1), ("<tool_call|>", 2), ("<|\"|>", 3)];
        check("gemma4", Forced::One, &special, expect);
    }

    /// Every format's grammar begins with what its reader reads as a call.
    #[test]
    fn every_format_has_a_grammar() {
        for name in Format::names() {
            let format = Format::by_name(name).expect("it is one of the names");
            assert_eq!(format.call_grammar(&[], Forced::One, &|_| None), None, "{name}");
            let grammar = format.call_grammar(&tools(), Forced::Many, &|_| None).expect("there are tools");
            for line in grammar.lines() {
                let (rule, body) = line.split_once(": ").expect("a line is a rule");
                assert!(rule.starts_with(|c: char| c.is_ascii_lowercase()), "{name}: {line}");
                assert!(!body.trim().is_empty(), "{name}: {line}");
            }
            assert!(grammar.contains("weather") && grammar.contains("now"), "{name}: {grammar}");
        }
    }
}

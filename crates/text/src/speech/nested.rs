//! Values that are written as tags within tags: an object as one for each key, a list as one `item` for each item.

use serde_json::Value;

use super::scanner::quoted;
use super::schema::{Types, items, property};

/// How deeply tags may nest.
const DEPTH_MAX: usize = 32;

/// The JSON of a value between tags that begin with `mark`.
pub(super) fn json_of(text: &str, schema: Option<&Value>, root: &Value, mark: &str) -> String {
    value(text, schema, &Tagged { root, mark }, DEPTH_MAX)
}

struct Tagged<'a> {
    root: &'a Value,
    mark: &'a str,
}

fn value(text: &str, schema: Option<&Value>, tagged: &Tagged<'_>, depth_left: usize) -> String {
    let types = schema.map_or(Types::ALL, |schema| Types::of(schema, tagged.root));
    let is_nested = text.trim_start().starts_with(tagged.mark);
    // Where text is allowed, tags are text.
    let expanded = if is_nested && depth_left > 0 && (types == Types::ALL || !types.has(Types::STRING)) {
        children(text, tagged.mark)
    } else {
        None
    };
    let Some(children) = expanded else { return types.json_of(text) };
    let is_list = children.iter().all(|(tag, _)| *tag == "item") && types.has(Types::ARRAY);
    let mut json = String::from(if is_list { "[" } else { "{" });
    for (index, (tag, text)) in children.iter().enumerate() {
        if index > 0 {
            json.push_str(", ");
        }
        let schema = match (schema, is_list) {
            (Some(schema), true) => items(schema, tagged.root),
            (Some(schema), false) => property(schema, tag, tagged.root),
            (None, _) => None,
        };
        if !is_list {
            json.push_str(&quoted(tag));
            json.push_str(": ");
        }
        json.push_str(&value(text, schema, tagged, depth_left - 1));
    }
    json.push(if is_list { ']' } else { '}' });
    json
}

/// The tags side by side in a text, each with what is between its beginning and its end, if there is nothing else.
fn children<'a>(text: &'a str, mark: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (tag, inside) = rest.strip_prefix(mark)?.split_once('>')?;
        let (inside, after) = split_at_end(inside, tag, mark)?;
        found.push((tag, inside));
        rest = after.trim_start();
    }
    Some(found)
}

/// Cuts at the end that belongs to a tag, with the same tag nesting inside.
fn split_at_end<'a>(text: &'a str, tag: &str, mark: &str) -> Option<(&'a str, &'a str)> {
    let (begin, end) = (format!("{mark}{tag}>"), format!("{mark}/{tag}>"));
    let (mut open, mut at) = (1, 0);
    loop {
        let next_end = at + text[at..].find(&end)?;
        match text[at..next_end].find(&begin) {
            Some(inner) => {
                open += 1;
                at += inner + begin.len();
            }
            None => {
                open -= 1;
                if open == 0 {
                    return Some((&text[..next_end], &text[next_end + end.len()..]));
                }
                at = next_end + end.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, schema: Value, expect: &str) {
        assert_eq!(json_of(text, Some(&schema), &schema, "~<"), expect, "{text}");
    }

    #[test]
    fn tags_become_objects_and_lists() {
        check("~<a>1~</a>~<b>x~</b>", json!({"type": "object"}), r#"{"a": 1, "b": "x"}"#);
        let strings = json!({"type": "array", "items": {"type": "string"}});
        check("~<item>1~</item> ~<item>b~</item>", strings, r#"["1", "b"]"#);
        check("~<item>~<item>1~</item>~</item>", json!({"type": "array"}), "[[1]]");
        check("~<item>1~</item>", json!({"type": "object"}), r#"{"item": 1}"#);
        check("~<a>1~</a>", json!({"type": "string"}), r#""~<a>1~</a>""#);
        check("~<a>1", json!({"type": "object"}), r#""~<a>1""#);
        check("[1]", json!({"type": "array"}), "[1]");
    }
}

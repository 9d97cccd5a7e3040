use super::*;
use crate::vocabulary::{TokenKind, Vocabulary};
use serde_json::json;

const SPACE: u32 = 257;
const END: u32 = 261;

/// A token for each byte, some for several, and the end.
fn grammars() -> Grammars {
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| format!("<0x{byte:02X}>").into_bytes()).collect();
    tokens.extend(["<unk>", "▁", "true", "false", "ab", "<end>"].map(Vec::from));
    let eos = tokens.len() as u32 - 1;
    let mut kinds = vec![TokenKind::Byte; 256];
    kinds.extend(vec![TokenKind::Normal; tokens.len() - 256]);
    kinds[256] = TokenKind::Unknown;
    kinds[eos as usize] = TokenKind::Control;
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        scores: vec![0.0; tokens.len()],
        tokens,
        kinds,
        unk: Some(256),
        bos: Some(eos),
        eos: Some(eos),
        add_space_prefix: Some(false),
        ..Vocabulary::default()
    };
    let tokenizer = Arc::new(Tokenizer::new(vocabulary).expect("a vocabulary"));
    Grammars::new(tokenizer, GrammarLimits::default()).expect("it has an end")
}

/// Whether a whole text has the form, byte by byte, and how far it comes.
fn follow(grammars: &Grammars, source: &GrammarSource, text: &str) -> (usize, bool) {
    let mut constraint = grammars.compile(source).unwrap_or_else(|error| panic!("{source:?}: {error}"));
    let mut mask = Vec::new();
    // Of two tokens for one text the matcher knows one.
    let token = |byte: u8| if byte == b' ' { SPACE } else { u32::from(byte) };
    for (at, byte) in text.bytes().enumerate() {
        constraint.mask(&mut mask).expect("small");
        if constraint.is_complete() || !is_allowed(&mask, token(byte)) {
            return (at, false);
        }
        constraint.commit(token(byte)).expect("allowed");
    }
    constraint.mask(&mut mask).expect("small");
    (text.len(), constraint.is_complete() || is_allowed(&mask, END))
}

#[track_caller]
fn check(source: GrammarSource, accepted: &[&str], refused: &[&str]) {
    let grammars = grammars();
    for text in accepted {
        assert_eq!(follow(&grammars, &source, text), (text.len(), true), "{source:?} should have {text:?}");
    }
    for text in refused {
        assert!(!follow(&grammars, &source, text).1, "{source:?} should not have {text:?}");
    }
}

fn refusal(source: GrammarSource) -> String {
    grammars().compile(&source).err().unwrap_or_else(|| panic!("{source:?} is taken")).to_string()
}

#[test]
fn schemas_have_one_spelling() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "boolean"}}},
        "required": ["a", "b"],
        "additionalProperties": false,
    });
    check(
        GrammarSource::JsonSchema(schema),
        &["{\"a\": 1, \"b\": []}", "{\"a\": -20, \"b\": [true, false]}"],
        &[
            "{\"a\":1,\"b\":[]}",
            "{\"a\": 1}",
            "{ \"a\": 1, \"b\": []}",
            "{\"b\": [], \"a\": 1}",
            "{\"a\": 1, \"b\": []} ",
            "[]",
        ],
    );
    check(GrammarSource::JsonObject, &["{}", "{\"x\": {\"y\": [null, \"z\"]}}"], &["[]", "1", "{", ""]);
}

#[test]
fn references_within_a_schema_work() {
    let schema = json!({"$ref": "#/$defs/tree", "$defs": {"tree": {
        "type": "object",
        "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
        "required": ["left"],
        "additionalProperties": false,
    }}});
    check(
        GrammarSource::JsonSchema(schema),
        &["{\"left\": null}", "{\"left\": {\"left\": null}}"],
        &["{\"left\": 1}"],
    );
}

#[test]
fn expressions_and_choices_are_for_the_whole_answer() {
    check(GrammarSource::Regex("[a-c]+\\d{2}".to_owned()), &["ab12", "c00"], &["ab1", "ab123", "d12"]);
    let texts = ["yes", "no", "not \"sure\""].map(str::to_owned).to_vec();
    check(GrammarSource::Choice(texts), &["yes", "no", "not \"sure\""], &["not", "yess", "maybe"]);
    check(GrammarSource::Lark("start: \"a\" b+\nb: \"x\" | \"y\"".to_owned()), &["ax", "axy"], &["a", "x"]);
}

#[test]
fn grammars_of_llama_cpp_mean_what_they_mean_there() {
    let gbnf = |text: &str| GrammarSource::Gbnf(text.to_owned());
    check(gbnf("root ::= \"yes\" | \"no\""), &["yes", "no"], &["ye", "yesno"]);
    check(gbnf("root ::= [a-c]{2,3} [^x\\n]? # why\n"), &["ab", "abc", "abcd", "ab!"], &["a", "abx", "ab\n"]);
    // What a longest lexeme would take wrongly.
    check(gbnf("root ::= (\"a\" | \"ab\") (\"bc\" | \"d\")"), &["abc", "ad", "abbc", "abd"], &["ab", "abcd"]);
    let list = "root ::= list\nlist ::= \"(\" (item (\",\" item)*)? \")\"\nitem ::= list | word\nword ::= [a-z]+\n   | \"λ\"";
    check(gbnf(list), &["()", "(a,(b,c),())", "(λ)"], &["(", "(a,)", "(a", "a"]);
    check(gbnf("root ::= \"\\x41\\u00e9\\n\" .\n"), &["Aé\n\u{1F40B}"], &["Aé\n"]);
    for (text, expect) in [
        ("", "there is no rule root, with which an answer begins"),
        ("root ::= other", "rule root uses other, which is no rule"),
        ("root ::= root \"a\" | \"b\"", "rule root begins with itself"),
        ("root ::= a\na ::= \"x\"? b\nb ::= a", "rule a begins with itself"),
        ("root ::= \"a", "line 1: the text's closing quote is missing"),
        ("root ::= [z-a]", "line 1: the range 'z' to 'a' goes down"),
        ("root ::= \"a\"{9999}", "it has 9999 repetitions; at most 4096 are possible"),
        ("root ::= (\"a\"", "line 1: ) is missing before \"\""),
        ("root ::= \"a\"\nroot ::= \"b\"", "rule root is there twice"),
        ("root ::= \"a\" $", "line 1: '$' means nothing here"),
    ] {
        assert_eq!(refusal(gbnf(text)), expect, "{text}");
    }
    let deep = format!("root ::= {}", "(".repeat(60_000));
    assert_eq!(refusal(gbnf(&deep)), "it has 65 groups within each other; at most 64 are possible");
    let chain: String = (0..5000).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    assert_eq!(refusal(gbnf(&chain)), "it has 2001 rules; at most 2000 are possible");
}

#[test]
fn schemas_are_refused_with_the_place() {
    let deep = (0..100).fold(json!({"type": "string"}), |inner, _| json!({"items": inner}));
    let many: serde_json::Map<String, Value> = (0..50_000).map(|i| (format!("p{i}"), json!({}))).collect();
    let values: Vec<usize> = (0..100_000).collect();
    for (schema, expect) in [
        (json!(false), "the schema false allows nothing (at the top of the schema)"),
        (json!(5), "a schema must be an object, not a number (at the top of the schema)"),
        (
            json!({"properties": {"a": {"not": {}}}}),
            "the keyword \"not\" can't be enforced (at /properties/a/not)",
        ),
        (
            json!({"x-guidance": {"lenient": true}}),
            "the keyword \"x-guidance\" can't be enforced (at /x-guidance)",
        ),
        (
            json!({"items": {"minimum": 3, "maximum": 2}}),
            "minimum is 3, more than the 2 of maximum (at /items)",
        ),
        (json!({"enum": []}), "enum must be a list of at least one value (at /enum)"),
        (
            json!({"type": "text"}),
            "type must be one or a list of null, boolean, object, array, number, string, integer (at /type)",
        ),
        (
            json!({"properties": {"a/b": {}}, "required": ["c"]}),
            "\"c\" is required, but no property (at /required)",
        ),
        (
            json!({"$ref": "http://there/x"}),
            "$ref \"http://there/x\" leads outside of the schema, and nothing is fetched (at /$ref)",
        ),
        (json!({"$ref": "#/$defs/x"}), "$ref \"#/$defs/x\" leads to nothing in the schema (at /$ref)"),
        (
            json!({"maxItems": 1_000_000_000}),
            "maxItems is 1000000000; at most 4096 is possible (at /maxItems)",
        ),
        (json!({"maxLength": -1}), "maxLength must be a whole number from 0 up (at /maxLength)"),
        (json!({"properties": {"a/b": 1}}), "a schema must be an object, not a number (at /properties/a~1b)"),
        (deep, "it has 65 schemas within each other; at most 64 are possible"),
        (json!({"properties": many}), "it has 50000 properties; at most 5000 are possible"),
        (json!({"enum": values}), "it has 100000 values in enum; at most 10000 are possible"),
    ] {
        assert_eq!(refusal(GrammarSource::JsonSchema(schema)), expect);
    }
}

#[test]
fn what_nothing_can_satisfy_and_what_is_no_expression_is_refused() {
    for source in [
        GrammarSource::JsonSchema(json!({"$ref": "#"})),
        GrammarSource::JsonSchema(json!({"type": "string", "pattern": "(?<=x)"})),
        GrammarSource::JsonSchema(json!({"type": "string", "pattern": "^+[a-z]$"})),
        GrammarSource::JsonSchema(json!({"allOf": [{"type": "string"}, {"type": "number"}]})),
        GrammarSource::Regex("(".to_owned()),
        GrammarSource::Regex("[^\\d\\D]".to_owned()),
        GrammarSource::Choice(Vec::new()),
        GrammarSource::Lark(String::new()),
        GrammarSource::Lark("start: other".to_owned()),
        GrammarSource::Lark(format!("start: {}", "(".repeat(60_000))),
        GrammarSource::Lark("start: %json {\"pattern\": \"((a{99}){99}){99}\"}".to_owned()),
        GrammarSource::Lark("start: %json {\"x-guidance\": {\"lenient\": true}, \"not\": {}}".to_owned()),
    ] {
        let message = refusal(source.clone());
        assert!(
            !message.is_empty() && message.len() < 400 && !message.contains('\n'),
            "{source:?}: {message}"
        );
    }
}

#[test]
fn what_is_forced_is_given_and_can_be_taken_back() {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false});
    let mut constraint = grammars().compile(&GrammarSource::JsonSchema(schema)).expect("a schema");
    let spell = |tokens: &[u32]| tokens.len();
    let forced = constraint.forced();
    assert!(spell(&forced) > 3, "{forced:?}: the name of the only property is given");
    let (mut before, mut after) = (Vec::new(), Vec::new());
    constraint.mask(&mut before).expect("small");
    for &token in &forced {
        constraint.commit(token).expect("forced");
    }
    constraint.rewind(forced.len()).expect("as many came");
    constraint.mask(&mut after).expect("small");
    assert_eq!(before, after);
    // A copy goes its own way.
    let mut copy = constraint.clone();
    copy.commit(forced[0]).expect("forced");
    constraint.mask(&mut after).expect("small");
    assert_eq!(before, after);
}

/// All that can follow must be the same, token by token, along texts that have the form and at where they leave it.
#[test]
fn automata_allow_what_the_matcher_allows() {
    let words = "[A-Z][a-z]+( [a-z]+)*\\.";
    let cases: [(&str, &[&str]); 14] = [
        (words, &["Whales sing songs.", "A", "Abab ab."]),
        (".*", &["anything at all", "grüße, 世界 🐋", ""]),
        ("(?s:.)*", &["two\nlines", ""]),
        ("[^\\n]{1,20}", &["abababababababababab", "true", "é"]),
        ("(true|false)( (true|false))*", &["true false", "true true tr"]),
        ("\\d{3}-\\d{4}", &["555-0199", "12"]),
        ("\\w+@\\w+\\.(com|org)", &["ab_1@true.org", "ab@ab.com"]),
        ("a*", &["aaaa", ""]),
        ("(a|b)*abb", &["ababb", "abbabb"]),
        ("(?i)yes|no", &["YES", "nO"]),
        ("[\\x22/\\\\]+", &["\"/\\", "//"]),
        ("\\p{Greek}+", &["αβγ", "ω"]),
        ("x{0}", &[""]),
        ("", &[""]),
    ];
    let grammars = grammars();
    for (pattern, texts) in cases {
        let source = GrammarSource::Regex(pattern.to_owned());
        let Ok(compiled) = grammars.compile(&source) else { panic!("{pattern:?} is refused") };
        assert!(compiled.expression.is_some(), "{pattern:?} has no automaton");
        for text in texts {
            let (mut fast, mut plain) = (compiled.fresh(), compiled.fresh());
            plain.expression = None;
            let (mut fast_mask, mut plain_mask) = (Vec::new(), Vec::new());
            for byte in text.bytes() {
                assert_eq!(fast.is_complete(), plain.is_complete(), "{pattern:?} {text:?}");
                fast.mask(&mut fast_mask).expect("small");
                plain.mask(&mut plain_mask).expect("small");
                assert_eq!(fast_mask, plain_mask, "{pattern:?} {text:?}");
                assert_eq!(fast.forced(), plain.forced(), "{pattern:?} {text:?}");
                let token = if byte == b' ' { SPACE } else { u32::from(byte) };
                // Back and forth, as an answer goes that is taken back.
                fast.commit(token).expect("allowed");
                fast.rewind(1).expect("there is one");
                fast.commit(token).expect("allowed");
                plain.commit(token).expect("allowed");
            }
            let ends = [&mut fast, &mut plain].map(|constraint| {
                let complete = constraint.is_complete();
                let mut mask = Vec::new();
                constraint.mask(&mut mask).expect("small");
                (complete, mask)
            });
            assert_eq!(ends[0], ends[1], "{pattern:?} {text:?}");
        }
    }
}

#[test]
fn an_automaton_that_grows_too_large_is_left_to_the_matcher() {
    let source = GrammarSource::Regex("(a|b| |true|false)*a(a|b| |true|false){14}.*c".to_owned());
    let mut constraint = grammars().compile(&source).expect("small as it stands");
    let by_automaton =
        |constraint: &Constraint| constraint.expression.as_ref().is_some_and(|e| e.mask().is_some());
    // Steps that never come back to where they were.
    let mut number = 1u32;
    let mut steps = 0;
    while by_automaton(&constraint) {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = if number >> 31 == 0 { b'a' } else { b'b' };
        constraint.commit(byte.into()).expect("allowed");
        steps += 1;
        assert!(steps < 40_000, "it has thousands of states by now");
    }
    assert!(steps > 100, "it was an automaton for a while");
    let mut mask = Vec::new();
    constraint.mask(&mut mask).expect("the matcher goes on");
    assert!(is_allowed(&mask, b'a'.into()) && !is_allowed(&mask, b'\n'.into()));
}

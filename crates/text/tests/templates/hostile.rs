//! Templates that want to hang, crash or fill the machine. Each must end in an error, soon and in little memory.
//!
//! Nothing here is timed: the fuel bounds the work, and a test that hangs or overflows its stack fails by itself.

use serde_json::{Value, json};
use text::template::{ChatTemplate, TemplateError, TemplateLimits};

const FUEL: &str = "fuel (instructions and bytes built)";
const NESTING: &str = "nested loops and macro calls";

fn render(source: &str) -> Result<String, TemplateError> {
    let input = json!({"messages": [{"role": "user", "content": "hi"}], "s": "ab", "l": [1, 2, 3], "n": 7});
    ChatTemplate::new(source)?.render(&input, &TemplateLimits::default())
}

#[track_caller]
fn hits(source: &str, limit: &str) {
    match render(source) {
        Err(TemplateError::Limit { limit: found, line }) => {
            assert_eq!((found, line > 0), (limit, true), "{source}");
        }
        Err(other) => panic!("{source}: {other}"),
        Ok(text) => panic!("{source}: {} bytes", text.len()),
    }
}

/// Any error will do, as long as there is one.
#[track_caller]
fn fails(source: &str) {
    if let Ok(text) = render(source) {
        panic!("{}: {} bytes", &source[..source.len().min(80)], text.len());
    }
}

#[test]
fn loops_that_do_not_end_soon_run_out_of_fuel() {
    let counted = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    hits(counted, FUEL);
    hits("{% for a in l * 1000 %}{% for b in l * 1000 %}{% set x = a * b %}{% endfor %}{% endfor %}", FUEL);
    hits(
        "{% for a in range(99999) %}{{ s|upper|lower|title|trim }}{{ l|map('string')|join }}{% endfor %}",
        FUEL,
    );
    hits("{% for a in range(99999) %}{% if 'x' in s * 9999 %}{% endif %}{% endfor %}", FUEL);
    // The list grows while it is doubled, not while it is walked.
    let doubled =
        "{% set n = namespace(l=[1]) %}{% for a in range(64) %}{% set n.l = n.l + n.l %}{% endfor %}";
    hits(&format!("{doubled}{{{{ n.l|length }}}}{{% for x in n.l %}}{{% endfor %}}"), FUEL);
}

#[test]
fn huge_ranges_are_refused() {
    for range in ["10**10", "100001", "0, 9223372036854775807", "0, -9223372036854775807, -1", "0, 10**9, 2"]
    {
        fails(&format!("{{% for x in range({range}) %}}{{% endfor %}}"));
        fails(&format!("{{{{ range({range})|list|length }}}}"));
    }
    fails("{{ range(0, 5, 0)|list }}");
}

#[test]
fn text_that_multiplies_is_paid_for_before_it_is_built() {
    hits("{{ ('a' * 99999999)|length }}", FUEL);
    fails("{{ 'a' * 2000000000 }}");
    fails("{{ 'a' * 9223372036854775807 }}");
    fails("{{ [1] * 2000000000 }}");
    let doubled = "{% set n = namespace(t='ab') %}{% for a in range(64) %}";
    for double in [
        "n.t + n.t",
        "n.t ~ n.t",
        "n.t * 2",
        "'%s%s' % (n.t, n.t)",
        "[n.t, n.t]|join",
        "n.t.join(['', '', ''])",
    ] {
        hits(&format!("{doubled}{{% set n.t = {double} %}}{{% endfor %}}"), FUEL);
    }
    hits(&format!("{doubled}{{% set n.t = n.t.replace('a', 'aaaa') %}}{{% endfor %}}"), FUEL);
    hits(&format!("{doubled}{{% set n.t = n.t|replace('a', 'aaaa') %}}{{% endfor %}}"), FUEL);
    hits(
        &format!(
            "{doubled}{{% set n.t = '<'|safe + n.t + n.t|e %}}{{% set n.t = n.t ~ n.t %}}{{% endfor %}}"
        ),
        FUEL,
    );
    for wide in [
        "s.ljust(10**9)",
        "s.rjust(10**9)",
        "s.center(10**9)",
        "s.zfill(10**9)",
        "'{:>999999999}'.format(1)",
        "'%999999999d' % 1",
        "'%.999999999f' % 1.5",
        "s|indent(10**9, true)",
        "l|tojson(indent=10**9)",
        "s|center(10**9)",
    ] {
        fails(&format!("{{{{ {wide} }}}}"));
    }
}

#[test]
fn values_that_print_as_more_than_they_are_cost_what_they_print() {
    let nest =
        "{% set n = namespace(l=['ab']) %}{% for a in range(40) %}{% set n.l = [n.l, n.l] %}{% endfor %}";
    for print in
        ["n.l", "n.l|string", "n.l|tojson", "n.l ~ ''", "'%s' % (n.l,)", "'{}'.format(n.l)", "[n.l]|join"]
    {
        hits(&format!("{nest}{{{{ {print} }}}}"), FUEL);
    }
    let deep = "{% set n = namespace(l=[]) %}{% for a in range(99999) %}{% set n.l = [n.l] %}{% endfor %}";
    for print in ["n.l", "n.l|tojson", "n.l == n.l", "n.l|string"] {
        // A comparison may well succeed; what matters is that the stack holds.
        let _ = render(&format!("{deep}{{{{ {print} }}}}"));
    }
    fails(&format!("{deep}{{{{ n.l }}}}"));
}

#[test]
fn output_over_the_cap_is_refused() {
    let template = ChatTemplate::new("{% for i in range(9) %}{{ text }}{% endfor %}").expect("it parses");
    let limits = TemplateLimits { output_bytes_max: 100, ..TemplateLimits::default() };
    let render = |text: &str| template.render(&json!({ "text": text }), &limits);
    assert_eq!(render("elevenbytes").map(|text| text.len()), Ok(99));
    let over = TemplateError::Limit { line: 0, limit: "output bytes" };
    assert_eq!(render("twelve bytes"), Err(over));
}

#[test]
fn recursion_ends_before_the_stack_does() {
    hits("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", NESTING);
    hits("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", NESTING);
    hits("{% macro m(x) %}{{ m([x]) }}{{ m([x, x]) }}{% endmacro %}{{ m(1) }}", NESTING);
    fails("{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}");
    fails("{% set l = [1, [1, [1]]] %}{% for x in l recursive %}{{ loop(l) }}{% endfor %}");
}

#[test]
fn deep_sources_are_refused_not_followed() {
    const DEEP: usize = 100_000;
    let around = |open: &str, inner: &str, close: &str| open.repeat(DEEP) + inner + &close.repeat(DEEP);
    for source in [
        format!("{{{{ {} }}}}", around("(", "1", ")")),
        format!("{{{{ {} }}}}", around("[", "1", "]")),
        format!("{{{{ {} }}}}", around("{1:", "1", "}")),
        format!("{{{{ {}1 }}}}", "not ".repeat(DEEP)),
        format!("{{{{ {}1 }}}}", "-".repeat(DEEP)),
        format!("{{{{ {}1 }}}}", "- ".repeat(DEEP)),
        format!("{{{{ {}1 }}}}", "+ ".repeat(DEEP)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(DEEP)),
        format!("{{{{ 1{} }}}}", " ~ 1".repeat(DEEP)),
        format!("{{{{ 1{} }}}}", " % 1".repeat(DEEP)),
        format!("{{{{ s{} }}}}", "|safe + s".repeat(DEEP)),
        format!("{{{{ 1{} }}}}", " ** 1".repeat(DEEP)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(DEEP)),
        format!("{{{{ s{} }}}}", "|upper".repeat(DEEP)),
        format!("{{{{ s{} }}}}", ".a".repeat(DEEP)),
        format!("{{{{ s{} }}}}", "[0]".repeat(DEEP)),
        format!("{{{{ s{} }}}}", "()".repeat(DEEP)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(DEEP / 2)),
        around("{% if 1 %}", "", "{% endif %}"),
        around("{%for x in l%}", "", "{%endfor%}"),
        around("{%call m()%}", "", "{%endcall%}"),
        "{{ '".to_owned() + &"a".repeat(2 << 20),
        "{% for x in ".repeat(DEEP / 2),
        "{{".repeat(DEEP),
    ] {
        let start: String = source.chars().take(60).collect();
        match ChatTemplate::new(&source) {
            Err(TemplateError::Syntax { line, message }) => {
                assert!(line >= 1 && message.len() < 300, "{start}: {message}");
            }
            other => panic!("{start}: {other:?}"),
        }
    }
}

#[test]
fn deep_input_is_refused() {
    let template = ChatTemplate::new("{{ x }}").expect("it parses");
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| Value::Array(vec![inner]));
    let render = |depth| template.render(&json!({ "x": nested(depth) }), &TemplateLimits::default());
    assert!(render(64).is_ok());
    let error = render(65).expect_err("one level too many");
    assert_eq!(error, TemplateError::Limit { line: 0, limit: "nesting of the template's input" });
}

#[test]
fn nothing_outside_the_template_is_in_reach() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{% extends 'other' %}",
        "{{ debug() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
    ] {
        fails(source);
    }
}

"""Renders chat templates with Python's jinja2 the way HuggingFace transformers does, as the oracle of tests/templates.rs.

    make_expected.py corpus DIRECTORY_OF_JINJA_FILES OUT.json   every template with every case of cases.json
    make_expected.py snippets                                   fills in the expectations of snippets.json, in place

An outcome is {"text": …}, {"raised": …} when the template called raise_exception, or {"error": …} for any other error.
Needs jinja2 >= 3.1.
"""

import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

HERE = pathlib.Path(__file__).resolve().parent
# The clock of strftime_now; `NOW` in tests/templates.rs is the same instant.
NOW = datetime.datetime(2026, 3, 7, 14, 5, 9)


class Raised(jinja2.exceptions.TemplateError):
    """What raise_exception throws; a type of its own so that the outcome can tell it from other errors."""


class Generation(jinja2.ext.Extension):
    """The {% generation %} block: its body runs in a scope of its own and is passed through."""

    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(lineno)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise Raised(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


def outcome(compile, variables):
    try:
        return {"text": compile().render(**variables)}
    except Raised as error:
        return {"raised": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def corpus(directory, out):
    cases = json.loads((HERE / "cases.json").read_text())
    env = environment()
    expected = {}
    for path in sorted(pathlib.Path(directory).glob("*.jinja")):
        template = env.from_string(path.read_text(encoding="utf-8"))
        expected[path.name] = {
            name: outcome(lambda: template, {**cases["defaults"], **variables}) for name, variables in cases["cases"].items()
        }
    pathlib.Path(out).write_text(json.dumps(expected, ensure_ascii=False, indent=1))


def snippets():
    path = HERE / "snippets.json"
    table = json.loads(path.read_text())
    env = environment()
    for snippet in table["snippets"]:
        source = snippet["source"]
        snippet.clear()
        snippet.update(source=source, **outcome(lambda: env.from_string(source), table["variables"]))
    lines = ",\n".join("  " + json.dumps(snippet, ensure_ascii=False) for snippet in table["snippets"])
    variables = json.dumps(table["variables"], ensure_ascii=False)
    path.write_text(f'{{\n "variables": {variables},\n "snippets": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["corpus", directory, out]:
            corpus(directory, out)
        case ["snippets"]:
            snippets()
        case _:
            sys.exit(__doc__)

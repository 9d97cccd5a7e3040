"""Takes the answers of models, with what they consist of, out of llama.cpp's tests, as the data of tests/speech.rs.

    make_answers.py LLAMA_CPP > answers.jsonl

LLAMA_CPP is the folder of its source; what is read is tests/test-chat.cpp and models/templates. A line has `template`,
`prompt` (the end of what the template makes of a question, and of the answer so far if it is continued), `input`,
`tools`, `partial` (whether more was to come) and `content`, `reasoning` and `calls`. Of an answer that is continued, only
the rest is expected.

Left out, and counted at the end: answers whose reasoning is to stay in the content, and those that are to be taken out of
a block of code because a schema was given. Needs jinja2 >= 3.1.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "templates"))
import make_expected  # noqa: E402  how transformers renders templates

PROMPT_CHARACTERS = 80
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "'": "'", "\\": "\\", "/": "/"}
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<space>\s+)|R"(?P<mark>[^(]*)\((?P<raw>.*?)\)(?P=mark)"
    |"(?P<text>(?:[^"\\]|\\.)*)"|(?P<name>[A-Za-z_][\w:]*)|(?P<number>\d+)|(?P<char>.)""",
    re.S | re.X,
)


def unescaped(text):
    plain = re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text)
    plain = re.sub(r"\\(.)", lambda match: ESCAPES[match[1]], plain)
    return plain if plain == text else plain.encode("latin-1").decode() if "\\x" in text else plain


def tokens(source):
    found = []
    for match in TOKEN.finditer(source):
        if match["raw"] is not None:
            found.append(("text", match["raw"]))
        elif match["text"] is not None:
            found.append(("text", unescaped(match["text"])))
        elif match["comment"] is None and match["space"] is None:
            kind = "name" if match["name"] else "number" if match["number"] else "char"
            found.append((kind, match[0]))
    return found


class Source:
    """Reads the few expressions of C++ that the tests are made of."""

    def __init__(self, source):
        self.tokens = tokens(source)
        self.at = 0
        self.variables = {"true": True, "false": False}

    def peek(self, ahead=0):
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ("end", "")

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, char):
        if self.peek() == ("char", char):
            self.at += 1
            return True
        return False

    def list(self, end):
        items = []
        while not self.take(end):
            items.append(self.expression())
            self.take(",")
        return items

    def expression(self):
        value = self.primary()
        while True:
            if self.peek()[0] == "text":
                value += self.next()[1]
            elif self.take("+"):
                value += self.primary()
            else:
                return value

    def primary(self):
        kind, text = self.next()
        if kind == "text":
            return text
        if kind == "number":
            return int(text)
        if (kind, text) == ("char", "{"):
            return self.list("}")
        if kind != "name":
            raise SyntaxError(f"{kind} {text!r} at token {self.at}")
        if self.take("("):
            return self.call(text, self.list(")"))
        return self.variables[text] if text in self.variables else text

    @staticmethod
    def call(function, arguments):
        content, reasoning, calls = "", "", []
        if function in ("simple_assist_msg", "common_chat_msg"):
            content, reasoning, name, text, id = (arguments + [""] * 5)[:5]
            calls = [[name, text, id]] if name or id else []
        elif function == "message_with_tool_calls":
            calls = [arguments]
        elif function == "message_with_content_and_tool_call":
            content, calls = arguments[0], [arguments[1:]]
        elif function == "message_with_reasoning_and_tool_call":
            reasoning, calls = arguments[0], [arguments[1:]]
        elif function == "message_with_tool_calls_and_reasoning":
            reasoning, calls = arguments[2], [arguments[:2]]
        elif function == "message_with_reasoning_content_and_multiple_tool_calls":
            reasoning, content, calls = arguments
        elif function == "read_templates":
            return None
        else:
            raise NameError(function)
        return {"content": content, "reasoning": reasoning, "calls": calls}

    def definition(self):
        """`name = value;` or `name{…};`, if one stands here."""
        name = self.peek()
        if name[0] != "name" or self.peek(1) not in (("char", "="), ("char", "{")):
            return False
        start = self.at
        self.at += 1
        try:
            self.take("=")
            value = self.expression()
            if not self.take(";"):
                raise SyntaxError("more than a value")
        except (SyntaxError, NameError, TypeError, IndexError):
            self.at = start
            return False
        self.variables[name[1]] = value
        return True


def chain(source):
    """`.test(…).tools(…)….run()` after the tester's name."""
    steps = {}
    while source.take("."):
        step = source.next()[1]
        if not source.take("("):
            raise SyntaxError(step)
        steps[step] = source.list(")")
        if step == "run":
            return steps
    raise SyntaxError("a test without run")


def tests(source):
    """Each test with its template. A body that runs for several templates is read once for each."""
    testers, loop, functions = {}, [], {}
    while source.peek()[0] != "end":
        kind, text = source.peek()
        if text == "for" and source.peek(1) == ("char", "("):
            begin = source.at
            while source.next() != ("char", ":"):
                pass
            loop = []
            if source.take("{"):
                loop = [item for item in source.list("}")]
            source.at = begin + 1
        elif text == "test_lfm2_parser" and source.peek(1) == ("char", "(") and source.peek(2)[1] == "tmpl":
            for template in loop:
                yield from ((template, steps) for steps in functions["lfm2"])
            source.at += 1
        elif text in testers and source.peek(1) == ("char", ".") and source.peek(2)[1] == "test":
            source.at += 1
            steps = chain(source)
            for template in testers[text]:
                if template is None:
                    functions.setdefault("lfm2", []).append(steps)
                else:
                    yield template, steps
        elif kind == "name" and source.peek(1) == ("char", "=") and source.peek(2)[1] == "peg_tester":
            of = source.peek(4)
            templates = {"template_path": [None], "path": loop}.get(of[1], [of[1]])
            testers[text] = templates
            source.at += 4
        elif not source.definition():
            source.at += 1


def prompts(folder, template, variables, cache={}):
    if template not in cache:
        source = (folder / template).read_text(encoding="utf-8")
        cache[template] = make_expected.environment().from_string(source)
    outcome = make_expected.outcome(lambda: cache[template], variables)
    return outcome.get("text", "")


def expected(steps):
    message = dict(steps.get("expect", [{"content": "", "reasoning": "", "calls": []}])[0])
    for step, field in (("expect_content", "content"), ("expect_reasoning", "reasoning"), ("expect_tool_calls", "calls")):
        if step in steps:
            message[field] = steps[step][0]
    calls = [(call + [""] * 3)[:3] for call in message["calls"]]
    message["calls"] = [{"name": name, "arguments": text, "id": id or None} for name, text, id in calls]
    return message


def main(folder):
    text = (folder / "tests" / "test-chat.cpp").read_text(encoding="utf-8")
    source = Source(text.partition("static void test_template_generation_prompt")[0])
    left_out = {"reasoning in content": 0, "schema in a block of code": 0}
    seen = set()
    for template, steps in tests(source):
        answer = steps["test"][0]
        message = expected(steps)
        reasoning_format = steps.get("reasoning_format", ["COMMON_REASONING_FORMAT_NONE"])[0]
        if "json_schema" in steps and message["content"].strip() not in answer.replace("```", "").strip("\n"):
            raise ValueError(answer)
        if "json_schema" in steps and "```" in answer:
            left_out["schema in a block of code"] += 1
            continue
        tools = [
            {"name": name, "parameters": json.loads(parameters)} for name, _, parameters in steps.get("tools", [[]])[0]
        ]
        continued = steps.get("continue_final_message", [""])[0]
        thinking = steps.get("enable_thinking", [True])[0]
        variables = {
            "messages": [{"role": "user", "content": "Hey there!"}],
            "add_generation_prompt": True,
            "enable_thinking": thinking,
            "thinking": thinking,
            "bos_token": "<s>",
            "eos_token": "</s>",
        }
        if tools:
            variables["tools"] = [{"type": "function", "function": {**tool, "description": ""}} for tool in tools]
        prompt = prompts(folder, template, variables)
        begin = None
        if continued:
            # The answer so far is the prompt's end, so that only where it ends matters.
            begin = "thinking" if continued.endswith("REASONING") else "content"
            before = steps["messages"][0][-1]
            message["content"] = message["content"].removeprefix(before["content"])
            message["reasoning"] = message["reasoning"].removeprefix(before["reasoning"])
        if template.endswith("Apriel-1.6-15b-Thinker-fixed.jinja"):
            message["reasoning"] = message["reasoning"].removeprefix("Here are my reasoning steps:\n")
        if reasoning_format.endswith("NONE") and re.search(
            r"<think|\[THINK|THINKING\|>|<\|channel>?\|?>(analysis|thought)|^I need to check", message["content"]
        ):
            left_out["reasoning in content"] += 1
            continue
        line = {
            "template": template.removeprefix("models/templates/"),
            "prompt": prompt[-PROMPT_CHARACTERS:],
            **({"begin": begin} if begin else {}),
            "input": answer,
            **({"tools": tools} if tools else {}),
            **({"partial": True} if steps.get("is_partial", [False])[0] else {}),
            **message,
        }
        text = json.dumps(line, ensure_ascii=False)
        if text not in seen:
            seen.add(text)
            print(text)
    print(f"{len(seen)} answers; left out: {left_out}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))

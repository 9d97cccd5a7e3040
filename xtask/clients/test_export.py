"""`kun export-hf`: the tokenizer loads in Hugging Face's library and gives the ids that `kun tokenize` gives."""

import json
import os
import random
import subprocess

import pytest
from tokenizers import Tokenizer

# What no rule for cutting text is indifferent to, in the scripts and signs that people write.
TEXTS = [
    "Hello, world!",
    "  leading and trailing  ",
    "don't DON'T they'll I'VE it's",
    "tabs\tand\nnew\r\nlines\n\n\n and   runs of    spaces\n \n  \n",
    "1 12 123 1234 12345 1,000.50 ٣٤٥ Ⅷ ½",
    "snake_case camelCase PascalCase kebab-case __init__ a.b.c()",
    "def f(x):\n    if x > 0:\n        return x  # ok\n\treturn -x\n",
    '{"a": [1, 2, {"b": null}], "c": "\\u00e9"}',
    "https://example.org/path?q=1&r=%20#top user@example.org",
    "naïve café Ångström e\u0301 ﬁ ß ẞ Ǆ",
    "中文字符，标点。日本語テキスト、한국어 문장",
    "العربية עברית हिन्दी ภาษาไทย ქართული",
    "😀👍🏽👨‍👩‍👧‍👦🇩🇪 ☃ ♥️ ∑∫√ → ≠ €£¥",
    "\u00a0\u2003\u200b\ufeff\u3000 odd spaces \u2028 \u0085",
    "\x00\x01\x7f control",
    "..... ----- ===== ***** !!!??? ```` ~~~ $$$ <<<>>>",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𝟘𝟙",
    "",
    " ",
    "\n",
]


def texts():
    """The texts above, and many pieces of them in random order."""
    chance = random.Random(1)
    pieces = [text[at : at + 7] for text in TEXTS for at in range(0, len(text), 3)]
    made = ["".join(chance.choices(pieces, k=chance.randint(1, 12))) for _ in range(2000)]
    return TEXTS + made


@pytest.fixture(scope="module", params=["smollm2:135m", "gemma3:270m"])
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    run("export-hf", request.param, str(folder))
    return request.param, folder


def run(*arguments, **more):
    return subprocess.run([os.environ["KUN_TEST_BINARY"], *arguments], check=True, capture_output=True, **more)


def ids_of(model, text):
    return json.loads(run("tokenize", model, "--json", input=text.encode()).stdout)["ids"]


def test_the_ids_are_the_same(exported):
    model, folder = exported
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # One call for all: what stands between texts is a word of its own to both.
    different = []
    for start in range(0, len(texts()), 100):
        part = texts()[start : start + 100]
        joined = "\nxyz\n".join(part)
        theirs = tokenizer.encode(joined, add_special_tokens=False).ids
        if theirs != ids_of(model, joined):
            different.append(start)
    assert different == []


def test_the_same_file_gives_the_same_bytes(exported, tmp_path):
    model, folder = exported
    run("export-hf", model, str(tmp_path))
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_configuration_is_the_models(exported):
    model, folder = exported
    config = json.loads((folder / "config.json").read_text())
    wanted = {
        "smollm2:135m": ("LlamaForCausalLM", "llama", 8192, 49152, 576),
        "gemma3:270m": ("Gemma3ForCausalLM", "gemma3_text", 32768, 262144, 640),
    }[model]
    names = ("architectures", "model_type", "max_position_embeddings", "vocab_size", "hidden_size")
    found = tuple(config[name] for name in names)
    assert (found[0][0], *found[1:]) == wanted
    ends = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert ends == config["eos_token_id"]
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokens["model_max_length"] == wanted[2] and ("chat_template" in tokens) == (model == "smollm2:135m")
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(tokens["eos_token"]) is not None


def test_a_beginning_is_added_where_the_file_asks_for_one(exported):
    model, folder = exported
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bare = tokenizer.encode("Hello", add_special_tokens=False).ids
    assert tokenizer.encode("Hello").ids == ([] if model == "smollm2:135m" else [2]) + bare
    assert tokenizer.decode(tokenizer.encode("Hello, wörld  x").ids) == "Hello, wörld  x"

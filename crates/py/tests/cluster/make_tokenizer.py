"""Writes the tokenizer of a GGUF with the pre-tokenizer `smollm` as Dynamo's frontend reads it: make_tokenizer.py GGUF FOLDER"""

import json
import sys
from pathlib import Path

from gguf import GGUFReader

CONTROL = 3


def main(source, folder):
    fields = {name: field.contents() for name, field in GGUFReader(source).fields.items()}
    of_tokenizer = {name.removeprefix("tokenizer.ggml."): value for name, value in fields.items()}
    if of_tokenizer["pre"] != "smollm":
        sys.exit(f"{source} has the pre-tokenizer {of_tokenizer['pre']}; this script knows smollm")
    tokens, kinds = of_tokenizer["tokens"], of_tokenizer["token_type"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": i, "content": tokens[i], "special": True, **flags} for i, kind in enumerate(kinds) if kind == CONTROL]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE",
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [merge.split(" ", 1) for merge in of_tokenizer["merges"]],
    }
    digits = {"type": "Digits", "individual_digits": True}
    begin, end = of_tokenizer["bos_token_id"], of_tokenizer["eos_token_id"]
    files = {
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": added,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
            "decoder": byte_level,
            "model": model,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2Tokenizer",
            "bos_token": tokens[begin],
            "eos_token": tokens[end],
            "chat_template": fields["tokenizer.chat_template"],
        },
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "bos_token_id": begin,
            "eos_token_id": end,
            "max_position_embeddings": fields["llama.context_length"],
            "vocab_size": len(tokens),
        },
        "generation_config.json": {"bos_token_id": begin, "eos_token_id": end},
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


main(*sys.argv[1:])

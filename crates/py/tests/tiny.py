"""A whole model of a few kilobytes: bytes for tokens and one block of weights. It answers, if not wisely."""

import struct
from pathlib import Path
from typing import Any

import numpy

BOS, EOS = 260, 261
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
EMBEDDING, FEED_FORWARD, KEYS = 32, 64, 16

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def write(path: Path) -> Path:
    """Writes the model as a GGUF file."""
    tokens = [_character(byte) for byte in range(256)] + ["he", "ll", "hell", "\u0120he", "<|begin|>", "<|end|>"]
    kinds = [3 if token >= BOS else 1 for token in range(len(tokens))]
    header = {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "tiny"),
        "llama.block_count": (U32, 1),
        "llama.context_length": (U32, 4096),
        "llama.embedding_length": (U32, EMBEDDING),
        "llama.feed_forward_length": (U32, FEED_FORWARD),
        "llama.attention.head_count": (U32, 2),
        "llama.attention.head_count_kv": (U32, 1),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "tokenizer.ggml.model": (STRING, "gpt2"),
        "tokenizer.ggml.pre": (STRING, "gpt-2"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
        "tokenizer.ggml.merges": (ARRAY, (STRING, ["h e", "l l", "he ll", "\u0120 he"])),
        "tokenizer.ggml.bos_token_id": (U32, BOS),
        "tokenizer.ggml.eos_token_id": (U32, EOS),
        "tokenizer.ggml.add_bos_token": (BOOL, True),
        "tokenizer.chat_template": (STRING, TEMPLATE),
    }
    shapes = {
        "token_embd.weight": (EMBEDDING, len(tokens)),
        "blk.0.attn_norm.weight": (EMBEDDING,),
        "blk.0.attn_q.weight": (EMBEDDING, EMBEDDING),
        "blk.0.attn_k.weight": (EMBEDDING, KEYS),
        "blk.0.attn_v.weight": (EMBEDDING, KEYS),
        "blk.0.attn_output.weight": (EMBEDDING, EMBEDDING),
        "blk.0.ffn_norm.weight": (EMBEDDING,),
        "blk.0.ffn_gate.weight": (EMBEDDING, FEED_FORWARD),
        "blk.0.ffn_up.weight": (EMBEDDING, FEED_FORWARD),
        "blk.0.ffn_down.weight": (FEED_FORWARD, EMBEDDING),
        "output_norm.weight": (EMBEDDING,),
    }
    out = [b"GGUF", struct.pack("<IQQ", 3, len(shapes), len(header))]
    for key, (kind, value) in header.items():
        out += [_text(key), struct.pack("<I", kind), _value(kind, value)]
    random, data = numpy.random.default_rng(1), b""
    for name, shape in shapes.items():
        out += [_text(name), struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))]
        norm = name.endswith("norm.weight")
        weights = numpy.ones(shape) if norm else random.uniform(-0.5, 0.5, shape)
        data += weights.astype("<f4").tobytes()
        data += bytes(-len(data) % 32)
    head = b"".join(out)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _text(value)
    if kind == ARRAY:
        of, items = value
        return struct.pack("<IQ", of, len(items)) + b"".join(_value(of, item) for item in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def _character(byte: int) -> str:
    """The character that stands for a byte: printable ones for themselves, the others from U+0100 on."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in shown:
        return chr(byte)
    return chr(0x100 + [other for other in range(256) if other not in shown].index(byte))

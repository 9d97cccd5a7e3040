#!/usr/bin/env python3
"""Writes formats.bin: blocks of every tensor format and what PyPI `gguf` decodes them to.

    pip install gguf numpy && python make_formats.py

The file, little-endian: u32 number of formats, then for each of them
    u8 length and bytes of the name; u32 ggml_type, block_len, block_bytes, number of blocks;
    the blocks; one u64 for each 32 weights: the FNV-1a hash of the 32 f32 bit patterns, every NaN as 7fc00000.
Hashes, because the numbers themselves would be megabytes in the repository.
"""

import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

# The f16 fields of each format: their offsets in the block.
F16_FIELDS = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}
RANDOM_BLOCKS = 80
# Zero, least and largest subnormal, least normal, one, largest, infinity; each with both signs.
EDGES_F16 = [s | m for m in (0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x7C00) for s in (0, 0x8000)]
EDGES_BF16 = [s | m for m in (0, 1, 0x7F, 0x80, 0x3F80, 0x7F7F, 0x7F80, 0x7FC0) for s in (0, 0x8000)]
EDGES_F32 = [s | m for m in (0, 1, 0x7FFFFF, 0x800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000)
             for s in (0, 0x80000000)]
EDGES_E8M0 = [0, 1, 2, 3, 126, 127, 128, 129, 253, 254, 255, 0, 1, 255]


def plain_blocks(rng, width, edges):
    edges = np.array(edges, dtype=f"<u{width}").view(np.uint8)
    count = 512 * width - edges.size
    return np.concatenate([edges, rng.integers(0, 256, count, dtype=np.uint8)]).reshape(-1, width)


def finite_f16(rng, count):
    bits = rng.integers(0, 0x7C00, count, dtype=np.uint16) | (rng.integers(0, 2, count, dtype=np.uint16) << 15)
    return bits.astype("<u2")


def set_f16(blocks, offset, bits):
    blocks[:, offset : offset + 2] = bits.astype("<u2").view(np.uint8).reshape(-1, 2)


def quantised_blocks(rng, name, block_bytes):
    fields = F16_FIELDS[name]
    random = rng.integers(0, 256, (RANDOM_BLOCKS, block_bytes), dtype=np.uint8)
    for field in fields:  # the last eight stay wholly random: some of their scales are infinite or NaN
        set_f16(random[:-8], field, finite_f16(rng, RANDOM_BLOCKS - 8))
    edges = rng.integers(0, 256, (len(EDGES_F16), block_bytes), dtype=np.uint8)
    for i, field in enumerate(fields):
        set_f16(edges, field, np.roll(np.array(EDGES_F16, dtype=np.uint16), i))
    if name == "MXFP4":
        edges[:, 0] = EDGES_E8M0
    # All bits clear and all set; once as they are and once with ones (halves, for MXFP4) as scales.
    extremes = np.array([[0], [255], [0], [255]], dtype=np.uint8).repeat(block_bytes, axis=1)
    for field in fields:
        set_f16(extremes[2:], field, np.array([0x3C00, 0x3C00], dtype=np.uint16))
    if name == "MXFP4":
        extremes[2:, 0] = 127
    return np.concatenate([random, edges, extremes])


def hashes(weights):
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32).copy()
    bits[np.isnan(weights)] = 0x7FC00000
    words = bits.astype("<u4").view(np.uint8).reshape(-1, 128).astype(np.uint64)
    state = np.full(len(words), 0xCBF29CE484222325, dtype=np.uint64)
    for i in range(128):
        state = (state ^ words[:, i]) * np.uint64(0x100000001B3)
    return state


def main():
    rng = np.random.default_rng(2026)
    plain = {"F32": (4, EDGES_F32), "F16": (2, EDGES_F16), "BF16": (2, EDGES_BF16)}
    names = [*plain, *F16_FIELDS]
    out = bytearray(np.uint32(len(names)).astype("<u4").tobytes())
    for name in names:
        kind = GGMLQuantizationType[name]
        block_len, block_bytes = GGML_QUANT_SIZES[kind]
        blocks = plain_blocks(rng, *plain[name]) if name in plain else quantised_blocks(rng, name, block_bytes)
        with np.errstate(all="ignore"):
            weights = gguf.quants.dequantize(blocks.reshape(1, -1), kind).reshape(-1)
        assert weights.size == len(blocks) * block_len
        out += bytes([len(name)]) + name.encode()
        out += np.array([kind.value, block_len, block_bytes, len(blocks)], dtype="<u4").tobytes()
        out += blocks.tobytes() + hashes(weights).astype("<u8").tobytes()
    path = pathlib.Path(__file__).with_name("formats.bin")
    path.write_bytes(out)
    print(f"{path.name}: {len(out)} bytes, gguf with {len(names)} formats")


if __name__ == "__main__":
    main()

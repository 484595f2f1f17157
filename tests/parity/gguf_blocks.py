#!/usr/bin/env python3
"""Writes gguf_blocks.gguf: for each type of tensor one of random blocks, and as NAME.f32 what the gguf package decodes it to.

Needs: pip install gguf numpy. Scales are finite; everything else in a block is any bits.
"""
import os

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {  # where the f16 scales of a block lie
    "F32": [], "F16": [], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2],
    "Q5_K": [0, 2], "Q6_K": [208]}


def main():
    r = np.random.default_rng(1)
    w = gguf.GGUFWriter(os.path.join(HERE, "gguf_blocks.gguf"), "sedge-test")
    w.add_uint32("test.u32", 7)
    w.add_string("test.string", "naïve")
    w.add_array("test.strings", ["a", "", "漢字"])
    w.add_array("test.floats", [0.5, -2.0])
    w.add_bool("test.bool", True)
    w.add_int64("test.i64", -(1 << 40))
    for name, scales in TYPES.items():
        kind = gguf.GGMLQuantizationType[name]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        n = 512 // values
        if name in ("F32", "F16"):
            x = r.standard_normal((2, 512)).astype(np.float32 if name == "F32" else np.float16)
            x[0, :6] = [0, -0.0, 1e-7, 65504, -1, 6e-5]
            w.add_tensor(name, x)
            w.add_tensor(name + ".f32", x.astype(np.float32))
            continue
        blocks = r.integers(0, 256, (2, n, size), dtype=np.uint8)
        for at in scales:
            blocks[:, :, at:at + 2] = (r.standard_normal((2, n)) / 16).astype(np.float16)[..., None].view(np.uint8)
        if name == "BF16":
            blocks = r.standard_normal((2, 512)).astype(np.float32).view(np.uint8).reshape(2, 512, 4)[..., 2:].copy()
        raw = blocks.reshape(2, n * size)
        w.add_tensor(name, raw, raw_dtype=kind)
        w.add_tensor(name + ".f32", gguf.dequantize(raw, kind).astype(np.float32).reshape(2, 512))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()

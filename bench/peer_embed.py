#!/usr/bin/env python3
"""The peers of bench_embed: the same texts through transformers (PyTorch, mean pooling as sentence-transformers does it: sorted by
length, batches of 32, padded to the longest of the batch) and, with a second model file, through onnxruntime.

    peer_embed.py MODEL TEXTS THREADS [--onnx] [--repeats N] [--out FILE.npy] [--check FILE.safetensors]

--check compares the vectors of bench_embed with those of PyTorch and prints the least and mean cosine. --onnx exports the PyTorch
model to a temporary ONNX file first. Needs torch, transformers, and onnxruntime and onnx for --onnx."""
import argparse
import os
import statistics
import tempfile
import time

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

BATCH = 32


def batches(ids):
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    for at in range(0, len(order), BATCH):
        some = order[at:at + BATCH]
        width = max(len(ids[i]) for i in some)
        x = np.zeros((len(some), width), dtype=np.int64)
        mask = np.zeros((len(some), width), dtype=np.int64)
        for row, i in enumerate(some):
            x[row, :len(ids[i])] = ids[i]
            mask[row, :len(ids[i])] = 1
        yield some, x, mask


def run(ids, forward, dim):
    out = np.zeros((len(ids), dim), dtype=np.float32)
    for some, x, mask in batches(ids):
        h = forward(x, mask)
        m = mask[:, :, None].astype(np.float32)
        v = (h * m).sum(1) / np.maximum(m.sum(1), 1e-9)
        out[some] = v / np.linalg.norm(v, axis=1, keepdims=True)
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("texts")
    p.add_argument("threads", type=int)
    p.add_argument("--onnx", action="store_true")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--most", type=int, default=256)
    p.add_argument("--out")
    p.add_argument("--check")
    a = p.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(a.threads)
    torch.set_num_threads(a.threads)
    with open(a.texts, encoding="utf-8", errors="replace", newline="\n") as f:
        texts = f.read().removesuffix("\n").split("\n")
    tokenizer = Tokenizer.from_file(os.path.join(a.model, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(a.most)
    model = AutoModel.from_pretrained(a.model, dtype=torch.float32).eval()

    def torch_forward(x, mask):
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(x), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()

    peers = [("transformers-torch", torch_forward)]
    if a.onnx:
        import onnxruntime
        path = os.path.join(tempfile.mkdtemp(), "model.onnx")
        example = torch.ones(2, 8, dtype=torch.int64)

        class Hidden(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, x, mask):
                return self.model(input_ids=x, attention_mask=mask).last_hidden_state

        axes = {0: "batch", 1: "tokens"}
        torch.onnx.export(Hidden().eval(), (example, example), path, input_names=["x", "mask"], output_names=["h"], dynamo=False,
                          dynamic_axes={"x": axes, "mask": axes, "h": axes}, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = a.threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        peers.append(("onnxruntime", lambda x, mask: session.run(None, {"x": x, "mask": mask})[0]))
    print("peer,case,min,median,unit")
    for name, forward in peers:
        speeds = []
        for _ in range(a.repeats):
            start = time.perf_counter()
            ids = [e.ids for e in tokenizer.encode_batch_fast(texts)]
            v = run(ids, forward, model.config.hidden_size)
            speeds.append(len(texts) / (time.perf_counter() - start))
        print(f"{name},embed f32 ({len(texts)} texts, {sum(map(len, ids))} tokens),{min(speeds):.4g},{statistics.median(speeds):.4g},texts/s",
              flush=True)
        if a.out and name.startswith("transformers"):
            np.save(a.out, v)
        if a.check:
            from safetensors.numpy import load_file
            mine = load_file(a.check)["vectors"]
            cosine = (mine * v).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(v, axis=1)
            print(f"{name} against {a.check}: cosine least {cosine.min():.7f}, mean {cosine.mean():.7f}, "
                  f"largest difference {np.abs(mine - v).max():.2e}", flush=True)


if __name__ == "__main__":
    main()

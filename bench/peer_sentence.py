#!/usr/bin/env python3
"""Vectors of `sedge lm embed` beside those of sentence-transformers, the library that the model's folder was made for: the same texts,
in f32, one line of CSV a file.

    sedge lm embed MODEL --file TEXTS --out f32.safetensors --precision f32
    sedge lm embed MODEL --file TEXTS --out bf16.safetensors --precision bf16
    peer_sentence.py MODEL TEXTS f32.safetensors bf16.safetensors [--threads N] [--least COSINE ...] [--reference FILE.npy]

--least: what each file must reach, in order; the exit code is 1 when one does not. --reference: keeps the library's vectors for the
next time. Needs sentence-transformers."""
import argparse
import os
import sys
import time

import numpy as np
import sentence_transformers
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("texts")
    p.add_argument("files", nargs="*")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--reference")
    p.add_argument("--least", type=float, nargs="*", default=[])
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    with open(a.texts, encoding="utf-8", errors="replace", newline="\n") as f:
        texts = f.read().removesuffix("\n").split("\n")
    seconds = 0
    if a.reference and os.path.exists(a.reference):
        want = np.load(a.reference)
    else:
        model = SentenceTransformer(a.model, device="cpu")
        start = time.perf_counter()
        want = model.encode(texts, batch_size=32, convert_to_numpy=True, show_progress_bar=False)
        seconds = time.perf_counter() - start
        if a.reference:
            np.save(a.reference, want)
    want = want.astype(np.float64)
    norm = np.linalg.norm(want, axis=1)
    print("peer,threads,file,texts,least_cosine,mean_cosine,largest_difference,peer_texts_per_s")
    failed = False
    for i, name in enumerate(a.files):
        x = load_file(name)["vectors"].astype(np.float64)
        assert x.shape == want.shape, f"{name}: expected {want.shape}, found {x.shape}"
        cosine = (x * want).sum(1) / (np.linalg.norm(x, axis=1) * norm)
        print(f"sentence-transformers {sentence_transformers.__version__} torch {torch.__version__},{a.threads},{name},{len(texts)},"
              f"{cosine.min():.9f},{cosine.mean():.9f},{np.abs(x - want).max():.3g},{len(texts) / seconds if seconds else 0:.1f}")
        failed |= i < len(a.least) and not cosine.min() >= a.least[i]
    sys.exit(failed)


if __name__ == "__main__":
    main()

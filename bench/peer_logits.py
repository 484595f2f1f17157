#!/usr/bin/env python3
"""Holds what bench_logits wrote against transformers and llama.cpp on the same tokens: the largest difference of a logit after each prompt, and how many
of the continuations are what the peer writes greedily (its likeliest token at every place of ours, so the same text).

    sedge lm merge MODEL.gguf -o f32.gguf --type f32; sedge lm merge MODEL.gguf -o f32 --type f32     the decoded weights
    bench_logits MODEL.gguf PROMPTS OUT
    peer_logits.py OUT f32 [THREADS]           transformers, f32
    peer_logits.py OUT f32.gguf [THREADS]      llama.cpp, f32 throughout (keys and values, too); or MODEL.gguf: its own few-bit products"""
import os
import sys

import numpy as np


def torch_rows(folder, threads):
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def rows(ids, first):
        with torch.inference_mode():
            return model(torch.tensor([ids])).logits[0, first:].numpy()
    return rows


def llama_rows(path, threads):
    import llama_cpp as L
    quiet = L.llama_log_callback(lambda level, text, user: None)
    L.llama_log_set(quiet, None)
    L.llama_backend_init()
    mp = L.llama_model_default_params()
    mp.n_gpu_layers = 0
    model = L.llama_model_load_from_file(path.encode(), mp)
    n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    cp = L.llama_context_default_params()
    cp.n_ctx = cp.n_batch = cp.n_ubatch = 512
    cp.n_threads = cp.n_threads_batch = threads
    cp.type_k = cp.type_v = 0
    cp.flash_attn_type = 0
    context = L.llama_init_from_model(model, cp)
    batch = L.llama_batch_init(512, 0, 1)

    def rows(ids, first):
        L.llama_memory_clear(L.llama_get_memory(context), True)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, i >= first
            batch.seq_id[i][0] = 0
        batch.n_tokens = len(ids)
        assert L.llama_decode(context, batch) == 0
        return np.stack([np.ctypeslib.as_array(L.llama_get_logits_ith(context, i), shape=(n_vocab,)).copy() for i in range(first, len(ids))])
    rows.keep = quiet, model
    return rows


def main():
    out, peer = sys.argv[1:3]
    lines = [[[int(x) for x in half.split()] for half in line.split("|")] for line in open(out + ".tokens")]
    logits = np.fromfile(out + ".logits", np.float32).reshape(len(lines), -1)
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else os.cpu_count()
    rows = (torch_rows if os.path.isdir(peer) else llama_rows)(peer, threads)
    largest, same, first_same, gaps = [], 0, 0, []
    for (prompt, written), mine in zip(lines, logits):
        theirs = rows(prompt + written[:-1], len(prompt) - 1)
        largest.append(float(np.abs(theirs[0] - mine).max()))
        best = theirs.argmax(1)
        differ = np.flatnonzero(best != written)
        same += len(differ) == 0
        first_same += int(theirs[0].argmax() == mine.argmax())
        if len(differ):
            i = differ[0]
            gaps.append(float(theirs[i].max() - theirs[i][written[i]]))
    largest.sort()
    n = len(lines)
    print(f"prompts {n}, largest difference of a logit {largest[-1]:.3g} (99 of 100: {largest[n * 99 // 100 - 1]:.3g}, median {largest[n // 2]:.3g})")
    print(f"first token equal {first_same / n:.4f}, greedy text equal {same / n:.4f}")
    if gaps:
        print(f"where they part, ours is behind their best by at most {max(gaps):.3g}")


if __name__ == "__main__":
    main()

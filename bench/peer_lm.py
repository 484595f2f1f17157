#!/usr/bin/env python3
"""The peer of bench_lm: the same GGUF file and tokens through llama.cpp (llama-cpp-python, built for this CPU), greedy.

    peer_lm.py MODEL THREADS [PROMPT [LENGTH [TEXTS]]]            CSV on stdout, the tokens that were written on stderr
    peer_lm.py MODEL THREADS [PROMPT [LENGTH]] --torch    the tokens of transformers on the decoded weights instead, no timing (accelerate)

Keys and values are kept as llama.cpp does by default (f16); --f32: as sedge does."""
import argparse
import statistics
import sys
import time

import numpy as np

TEXT = ("A recommender engineer opens the log of a shop and reads it line by line: who bought what, when, and what "
        "came after. ")


def torch_tokens(path, n_prompt, length):
    import os
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    folder, name = os.path.split(path)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    one = tokenizer.encode(TEXT, add_special_tokens=False)
    ids = (one * (n_prompt // len(one) + 1))[:n_prompt]
    with torch.inference_mode():
        out = model.generate(torch.tensor([ids]), max_new_tokens=length, do_sample=False)[0, n_prompt:]
    print("tokens", *out.tolist(), file=sys.stderr)


def run(L, model, vocab, threads, n_prompt, length, texts, f32):
    """Greedy decoding of `texts` prompts that differ in their first token; every step is one llama_decode for all of them."""
    cp = L.llama_context_default_params()
    cp.n_ctx = texts * (n_prompt + length)
    cp.n_batch = cp.n_ubatch = 512
    cp.n_seq_max = texts
    cp.n_threads = cp.n_threads_batch = threads
    if f32:
        cp.type_k = cp.type_v = 0
    context = L.llama_init_from_model(model, cp)
    n_vocab = L.llama_vocab_n_tokens(vocab)
    room = (L.llama_token * 64)()
    n = L.llama_tokenize(vocab, TEXT.encode(), len(TEXT), room, 64, False, False)
    one = (list(room[:n]) * (n_prompt // n + 1))[:n_prompt]
    batch = L.llama_batch_init(512, 0, 1)

    def add(token, place, text, logits):
        i = batch.n_tokens
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, place, 1, logits
        batch.seq_id[i][0] = text
        batch.n_tokens = i + 1

    def best(i):
        row = np.ctypeslib.as_array(L.llama_get_logits_ith(context, i), shape=(n_vocab,))
        return int(row.argmax())

    read, write = [], []
    for r in range(5):
        L.llama_memory_clear(L.llama_get_memory(context), True)
        start, token = time.perf_counter(), []
        for t in range(texts):
            for at in range(0, n_prompt, 512):
                batch.n_tokens = 0
                for k in range(at, min(at + 512, n_prompt)):
                    add(one[k] + (t if k == 0 else 0), k, t, k + 1 == n_prompt)
                assert L.llama_decode(context, batch) == 0
            token.append(best(batch.n_tokens - 1))
        read.append(texts * n_prompt / (time.perf_counter() - start))
        out = [[x] for x in token]
        start = time.perf_counter()
        for step in range(length - 1):
            batch.n_tokens = 0
            for t in range(texts):
                add(out[t][-1], n_prompt + step, t, True)
            assert L.llama_decode(context, batch) == 0
            for t in range(texts):
                out[t].append(best(t))
        write.append(texts * (length - 1) / (time.perf_counter() - start))
        if r == 0:
            print("tokens", *out[0], file=sys.stderr)
    print(f"llama.cpp,lm prompt {n_prompt} texts {texts},{min(read):.4g},{statistics.median(read):.4g},tokens/s")
    print(f"llama.cpp,lm decode {length} texts {texts},{min(write):.4g},{statistics.median(write):.4g},tokens/s")
    L.llama_free(context)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("threads", type=int)
    p.add_argument("prompt", type=int, nargs="?", default=256)
    p.add_argument("length", type=int, nargs="?", default=64)
    p.add_argument("texts", type=int, nargs="?", default=16)
    p.add_argument("--torch", action="store_true")
    p.add_argument("--f32", action="store_true")
    a = p.parse_args()
    if a.torch:
        torch_tokens(a.model, a.prompt, a.length)
        return
    import llama_cpp as L
    quiet = L.llama_log_callback(lambda level, text, user: None)
    L.llama_log_set(quiet, None)
    L.llama_backend_init()
    mp = L.llama_model_default_params()
    mp.n_gpu_layers = 0
    model = L.llama_model_load_from_file(a.model.encode(), mp)
    vocab = L.llama_model_get_vocab(model)
    print("peer,case,min,median,unit")
    for texts in sorted({1, a.texts}):
        run(L, model, vocab, a.threads, a.prompt, a.length, texts, a.f32)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The peer of bench_lm: the same GGUF file and tokens through llama.cpp (the wheel of cyllama), greedy.

    peer_lm.py MODEL THREADS [PROMPT [LENGTH]]            CSV on stdout, the tokens that were written on stderr
    peer_lm.py MODEL THREADS [PROMPT [LENGTH]] --torch    the tokens of transformers on the decoded weights instead, no timing (accelerate)"""
import argparse
import statistics
import sys
import time

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


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("threads", type=int)
    p.add_argument("prompt", type=int, nargs="?", default=256)
    p.add_argument("length", type=int, nargs="?", default=64)
    p.add_argument("--torch", action="store_true")
    a = p.parse_args()
    path, threads, n_prompt, length = a.model, a.threads, a.prompt, a.length
    if a.torch:
        torch_tokens(path, n_prompt, length)
        return
    from cyllama.llama import llama_cpp as L
    mp = L.LlamaModelParams()
    mp.n_gpu_layers = 0
    model = L.LlamaModel(path, mp)
    cp = L.LlamaContextParams()
    cp.n_ctx = n_prompt + length
    cp.n_batch = cp.n_ubatch = 512
    cp.n_threads = cp.n_threads_batch = threads
    context = L.LlamaContext(model, cp)
    vocab = model.get_vocab()
    sampler = L.LlamaSampler(L.LlamaSamplerChainParams())
    sampler.add_greedy()
    one = vocab.tokenize(TEXT, False, False)
    ids = (list(one) * (n_prompt // len(one) + 1))[:n_prompt]
    read, write = [], []
    for r in range(5):
        context.kv_cache_clear()
        batch = L.LlamaBatch(n_tokens=512, embd=0, n_seq_max=1)
        start = time.perf_counter()
        batch.set_batch(ids, 0, False)
        batch.set_last_logits_to_true()
        context.decode(batch)
        token = sampler.sample(context, -1)
        read.append(n_prompt / (time.perf_counter() - start))
        out, at = [], n_prompt
        start = time.perf_counter()
        while len(out) < length and not vocab.is_eog(token):
            out.append(token)
            if len(out) == length:
                break
            batch.reset()
            batch.add(token, at, [0], True)
            at += 1
            context.decode(batch)
            token = sampler.sample(context, -1)
        write.append(len(out) / (time.perf_counter() - start))
        if r == 0:
            print("tokens", *out, file=sys.stderr)
    print("peer,case,min,median,unit")
    print(f"llama.cpp,lm prompt {n_prompt},{min(read):.4g},{statistics.median(read):.4g},tokens/s")
    print(f"llama.cpp,lm decode {length},{min(write):.4g},{statistics.median(write):.4g},tokens/s")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The peer of bench_lm_tune: a LoRA step (rank 8, all linear layers, AdamW) of the same decoder by transformers and PEFT in bf16, on the
same texts in one padded batch, as a data collator makes it. --full: all weights learn, f32 with products in bf16 (autocast), --f32: without.

    peer_lm_tune.py MODEL THREADS [TOKENS] [--even]     CSV on stdout. --even: TOKENS in texts of 128, where nothing is padded"""
import argparse
import contextlib
import resource
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

p = argparse.ArgumentParser()
p.add_argument("model")
p.add_argument("threads", type=int)
p.add_argument("tokens", type=int, nargs="?", default=2048)
p.add_argument("--even", action="store_true")
p.add_argument("--full", action="store_true")
p.add_argument("--f32", action="store_true")
p.add_argument("--repeats", type=int, default=5)
a = p.parse_args()
torch.set_num_threads(a.threads)
model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32 if a.full or a.f32 else torch.bfloat16)
if not a.full:
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"))
model.train()
optim = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
lengths, at = [], 0
while at < a.tokens:
    n = 128 if a.even else 32 + len(lengths) * 73 % 225
    lengths.append(min(n, a.tokens - at))
    at += lengths[-1]
ids = [100 + t * 7919 % 30000 % (model.config.vocab_size - 100) for t in range(a.tokens)]
longest, at = max(lengths), 0
x = torch.zeros(len(lengths), longest, dtype=torch.long)
y = torch.full((len(lengths), longest), -100)
mask = torch.zeros(len(lengths), longest, dtype=torch.long)
for i, n in enumerate(lengths):
    x[i, :n] = y[i, :n] = torch.tensor(ids[at:at + n])
    mask[i, :n] = 1
    at += n
times = []
for r in range(a.repeats + 1):
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16) if a.full and not a.f32 else contextlib.nullcontext():
        loss = model(input_ids=x, attention_mask=mask, labels=y).loss
    forward = time.perf_counter()
    loss.backward()
    back = time.perf_counter()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optim.step()
    optim.zero_grad()
    if r:
        times.append((forward - start, back - forward, time.perf_counter() - start))
print("machine,threads,case,min,median,unit")
for k, name in enumerate(("forward", "backward", "step")):
    values = [t[k] for t in times]
    print(f"torch {torch.__version__},{a.threads},{"full" if a.full else "LoRA"} {name},{min(values):.4g},{statistics.median(values):.4g},s")
print(f"# {len(lengths)} texts, {x.numel()} places for {a.tokens} tokens, loss {float(loss):.6f}, "
      f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6:.0f} MB in all")

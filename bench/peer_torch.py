#!/usr/bin/env python3
"""Training speed of PyTorch on the same models, data and batches as sedge's: SASRec epoch, TIGER step.

    python3 bench/peer_torch.py DATA sasrec|tiger [--augment user|prefix] [--steps N] [--threads N]

DATA is a dataset folder of sedge with semantic IDs. The models are those of src/models/sasrec.c and src/models/tiger.c
with their default options, written the usual way: sequences padded to the longest of the batch, scaled_dot_product_attention,
logits only where there is a label, AdamW (fused). Both f32 and bf16 autocast are timed, eager and (with --compile) compiled.
Prints CSV: peer, version, model, setting, precision, threads, seconds a step (median, least), steps.
Needs torch, numpy, safetensors."""
import argparse
import math
import os
import statistics
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.numpy import load_file


def bucket(rel, both, buckets=32, most=128):
    out = torch.zeros_like(rel)
    if both:
        buckets //= 2
        out = out + (rel > 0).long() * buckets
        a = rel.abs()
    else:
        a = (-rel).clamp(min=0)
    exact = buckets // 2
    far = exact + (torch.log(a.float().clamp(min=1) / exact) / math.log(most / exact) * (buckets - exact)).long()
    return out + torch.where(a < exact, a, far.clamp(max=buckets - 1))


class Rms(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.w = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.w, 1e-6)


class Heads(nn.Module):
    def __init__(self, d, heads, width, bias, drop, scale):
        super().__init__()
        self.h, self.drop, self.scale = heads, drop, scale
        self.q, self.k, self.v = (nn.Linear(d, heads * width, bias=bias) for _ in range(3))
        self.o = nn.Linear(heads * width, d, bias=bias)

    def forward(self, x, memory, mask=None, causal=False):
        def split(t):
            return t.view(t.shape[0], t.shape[1], self.h, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(memory)), split(self.v(memory)), attn_mask=mask,
                                           dropout_p=self.drop, is_causal=causal, scale=self.scale)
        return self.o(y.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))


class Block(nn.Module):
    def __init__(self, d, heads, width, ffn, drop, rms, cross=False):
        super().__init__()
        norm = Rms if rms else nn.LayerNorm
        self.n1, self.n2 = norm(d), norm(d)
        scale = 1.0 if rms else None
        self.a = Heads(d, heads, width, not rms, drop, scale)
        self.c, self.n3 = (Heads(d, heads, width, not rms, drop, scale), norm(d)) if cross else (None, None)
        self.w1, self.w2 = nn.Linear(d, ffn, bias=not rms), nn.Linear(ffn, d, bias=not rms)
        self.act = F.relu if rms else F.gelu
        self.drop = nn.Dropout(drop)

    def forward(self, x, mask=None, memory=None, mask_memory=None, causal=False):
        n = self.n1(x)
        x = x + self.drop(self.a(n, n, mask, causal))
        if self.c is not None:
            x = x + self.drop(self.c(self.n3(x), memory, mask_memory))
        return x + self.drop(self.w2(self.drop(self.act(self.w1(self.n2(x))))))


class Sasrec(nn.Module):
    def __init__(self, items, d=64, layers=2, heads=2, ffn=256, length=50, drop=0.3):
        super().__init__()
        self.item, self.position = nn.Embedding(items, d), nn.Embedding(length, d)
        self.blocks = nn.ModuleList(Block(d, heads, d // heads, ffn, drop, False) for _ in range(layers))
        self.norm, self.drop = nn.LayerNorm(d), nn.Dropout(drop)

    def forward(self, item, target):  # padded on the right: causal attention never looks there
        n = item.shape[1]
        x = self.item(item) * math.sqrt(self.item.weight.shape[1]) + self.position(torch.arange(n))
        x = self.drop(x)
        for b in self.blocks:
            x = b(x, causal=True)
        keep = target >= 0
        return F.cross_entropy(self.norm(x)[keep] @ self.item.weight.T, target[keep])


class Tiger(nn.Module):
    def __init__(self, sizes, d=128, layers=4, heads=6, width=64, ffn=1024, drop=0.1):
        super().__init__()
        self.first = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        self.sizes, self.levels, self.d = sizes, len(sizes), d
        self.token = nn.Embedding(self.first[-1] + 1, d)
        self.bias_enc, self.bias_dec = nn.Embedding(32, heads), nn.Embedding(32, heads)
        self.enc = nn.ModuleList(Block(d, heads, width, ffn, drop, True) for _ in range(layers))
        self.dec = nn.ModuleList(Block(d, heads, width, ffn, drop, True, True) for _ in range(layers))
        self.ne, self.nd, self.drop = Rms(d), Rms(d), nn.Dropout(drop)

    def forward(self, source, valid, causal, codes, own, limit):
        n, L = source.shape[1], self.levels
        at = torch.arange(n)
        seen = valid[:, None, :].expand(-1, n, -1)
        if causal:
            seen = seen & (at[None] // L <= at[:, None] // L)[None]
        seen = seen | torch.eye(n, dtype=torch.bool)
        bias = self.bias_enc(bucket(at[None] - at[:, None], True)).permute(2, 0, 1)[None]
        mask = bias.masked_fill(~seen[:, None], -1e9)
        x = self.drop(self.token(source))
        for b in self.enc:
            x = b(x, mask.to(x.dtype))
        memory = self.drop(self.ne(x))[own] if own is not None else self.drop(self.ne(x))
        sees = (at[None] < limit[:, None])[:, None, None]
        first = torch.tensor(self.first[:-1])
        ids = torch.cat([torch.full((len(codes), 1), self.first[-1]), (codes + first)[:, :-1]], 1)
        at = torch.arange(L)
        bias = self.bias_dec(bucket(at[None] - at[:, None], False)).permute(2, 0, 1)[None]
        bias = bias.masked_fill(~(at[None] <= at[:, None]), -1e9)
        x = self.drop(self.token(ids))
        for b in self.dec:
            x = b(x, bias.to(x.dtype), memory, sees)
        x = self.drop(self.nd(x)) * self.d ** -0.5
        loss = 0
        for l in range(L):
            table = self.token.weight[self.first[l]:self.first[l + 1]]
            loss = loss + F.cross_entropy(x[:, l] @ table.T, codes[:, l])
        return loss / L


def sasrec_batches(offsets, item, batch, length):
    runs = []
    for u in range(len(offsets) - 1):
        begin, end = offsets[u], offsets[u + 1] - 2
        while end - begin >= 2:
            runs.append(item[max(begin, end - length - 1):end])
            end -= length
    order = np.random.RandomState(1).permutation(len(runs))
    for i in range(0, len(order), batch):
        part = [runs[j] for j in order[i:i + batch]]
        width = max(len(r) for r in part) - 1
        x = np.zeros((len(part), width), np.int64)
        y = np.full((len(part), width), -1, np.int64)
        for r, run in enumerate(part):
            x[r, :len(run) - 1] = run[:-1]
            y[r, :len(run) - 1] = run[1:]
        yield torch.from_numpy(x), torch.from_numpy(y)


def tiger_batches(offsets, item, codes, first, batch, history, augment):
    L = codes.shape[1]
    runs = []
    for u in range(len(offsets) - 1):
        begin, end = offsets[u], offsets[u + 1] - 2
        start = begin + 1
        while start < end:
            last = start
            if augment == "user":
                last = begin + history if start == begin + 1 else start + history // 2 - 1
            last = min(last, end - 1)
            runs.append((max(begin, last - history), start, last))
            start = last + 1
    order = np.random.RandomState(1).permutation(len(runs))
    for i in range(0, len(order), batch):
        part = [runs[j] for j in order[i:i + batch]]
        width = max(last - begin for begin, _, last in part) * L
        source = np.zeros((len(part), width), np.int64)
        valid = np.zeros((len(part), width), bool)
        target, own, limit = [], [], []
        for r, (begin, start, last) in enumerate(part):
            t = (codes[item[begin:last]] + first).reshape(-1)
            source[r, :len(t)] = t
            valid[r, :len(t)] = True
            for e in range(start, last + 1):
                target.append(codes[item[e]])
                own.append(r)
                limit.append((e - begin) * L)
        own = torch.tensor(own) if augment == "user" else None
        yield (torch.from_numpy(source), torch.from_numpy(valid), augment == "user",
               torch.from_numpy(np.array(target, np.int64)), own, torch.tensor(limit))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("data")
    a.add_argument("model", choices=["sasrec", "tiger"])
    a.add_argument("--augment", default="prefix", choices=["user", "prefix"])
    a.add_argument("--batch", type=int, default=256)
    a.add_argument("--steps", type=int, default=8)
    a.add_argument("--warm", type=int, default=2)
    a.add_argument("--threads", type=int, default=os.cpu_count())
    a.add_argument("--compile", action="store_true")
    a = a.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    events = load_file(os.path.join(a.data, "events.safetensors"))
    offsets, item = events["user_offsets"], events["item"].astype(np.int64)
    if a.model == "tiger":
        ids = load_file(os.path.join(a.data, "ids.safetensors"))
        codes = ids["codes"].astype(np.int64)
        sizes = [int(s) for s in ids["sizes"]]
    print("peer,version,model,setting,precision,threads,median_s,least_s,steps")
    for precision in ("f32", "bf16"):
        if a.model == "sasrec":
            model, setting = Sasrec(int(item.max()) + 1), "ce"
            batches = sasrec_batches(offsets, item, a.batch, 50)
        else:
            model, setting = Tiger(sizes), a.augment
            first = np.array([sum(sizes[:i]) for i in range(len(sizes))])
            batches = tiger_batches(offsets, item, codes, first, a.batch, 20, a.augment)
        step_model = torch.compile(model, dynamic=True) if a.compile else model
        optim = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        times = []
        for i, batch in enumerate(batches):
            if i == a.warm + a.steps:
                break
            start = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = step_model(*batch)
            optim.zero_grad(set_to_none=True)
            loss.backward()
            optim.step()
            if i >= a.warm:
                times.append(time.perf_counter() - start)
        print(f"pytorch,{torch.__version__},{a.model},{setting}{' compiled' if a.compile else ''},{precision},{a.threads},"
              f"{statistics.median(times):.4f},{min(times):.4f},{len(times)}", flush=True)


if __name__ == "__main__":
    main()

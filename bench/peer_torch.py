#!/usr/bin/env python3
"""Seconds a training step of PyTorch on the models, data and batches of sedge: SASRec, HSTU and TIGER.

    python3 bench/peer_torch.py DATA sasrec|hstu|tiger [OPTION=VALUE...] [--precisions f32,bf16] [--layouts packed,padded] [--compile]

DATA is a dataset folder of sedge, for tiger with semantic IDs. OPTION=VALUE are options of `sedge train` (src/models/sasrec.c,
src/models/hstu.c, src/models/tiger.c, src/train/train.h); those that are no option here are refused. Step b of S takes the examples b, b + S ..., as
bench/train.c does. A step is forward, backward, gradient clipping and AdamW (fused); making the batch is not in it.

Written to be fast: everything but attention runs on real tokens only (layout packed; padded is the usual way), logits exist only
where there is a label, masks are built once a step and shared by layers and, where they can be, by users. The decoder of
augment=user asks all targets of a user in one attention.

Prints CSV: program, version, model, layout, precision, threads, median_s, least_s, cpu_s, steps, steps_an_epoch, targets_a_step;
cpu_s is processor time of all threads, the measure on a machine that others use, with one thread.
Needs torch, numpy, safetensors."""
import argparse
import functools
import math
import os
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.numpy import load_file

SASREC = {"dim": 64, "layers": 2, "heads": 2, "ffn": 256, "length": 50, "dropout": 0.3, "dropout_input": 0.3}
HSTU = {"dim": 50, "blocks": 2, "heads": 1, "dqk": 50, "dv": 50, "length": 200, "dropout": 0.2, "dropout_input": 0.2,
        "negatives": 128, "temperature": 0.05, "bias": "both", "loss": "sampled"}
TIGER = {"dim": 128, "layers": 4, "heads": 6, "head_dim": 64, "ffn": 1024, "dropout": 0.1, "history": 20, "augment": "user",
         "prefix_vectors": False, "cross_bias": True, "init_sd": 1.0, "softmax": "level", "buckets": 32, "bucket_distance": 128}
TRAIN = {"batch": 256, "steps": 20, "lr": 0.001, "beta1": 0.9, "beta2": 0.98, "weight_decay": 0.0, "clip": 1.0}
WARM = 3


# ---- blocks -----------------------------------------------------------------------------------------------------------------

class Layout:
    """Where the rows of a batch lie in (sequences, longest). Packed rows are real tokens only."""

    def __init__(self, place, sequences, longest, packed):
        self.shape, self.place = (sequences, longest), place if packed else None

    def spread(self, x):  # (rows, width) -> (sequences, longest, width)
        if self.place is not None:
            x = x.new_zeros(self.shape[0] * self.shape[1], x.shape[1]).index_copy(0, self.place, x)
        return x.view(*self.shape, -1)

    def gather(self, x):  # and back
        x = x.reshape(self.shape[0] * self.shape[1], -1)
        return x if self.place is None else x.index_select(0, self.place)


def norm(rms, d):
    return nn.RMSNorm(d, 1e-6) if rms else nn.LayerNorm(d, 1e-8)


class Heads(nn.Module):
    def __init__(self, d, heads, width, bias, drop, scale):
        super().__init__()
        self.h, self.drop, self.scale = heads, drop, scale
        self.q, self.k, self.v = (nn.Linear(d, heads * width, bias=bias) for _ in range(3))
        self.o = nn.Linear(heads * width, d, bias=bias)

    def forward(self, x, memory, rows, keys, mask=None, causal=False):
        def split(t):
            return t.view(t.shape[0], t.shape[1], self.h, -1).transpose(1, 2)
        q, k, v = split(rows.spread(self.q(x))), split(keys.spread(self.k(memory))), split(keys.spread(self.v(memory)))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask.to(q.dtype), dropout_p=self.drop,
                                           is_causal=causal, scale=self.scale)
        return self.o(rows.gather(y.transpose(1, 2)))


class Block(nn.Module):
    def __init__(self, d, heads, width, ffn, drop, rms, cross=False):
        super().__init__()
        self.n1, self.n2 = norm(rms, d), norm(rms, d)
        scale = 1.0 if rms else None
        self.a = Heads(d, heads, width, not rms, drop, scale)
        self.c, self.n3 = (Heads(d, heads, width, not rms, drop, scale), norm(rms, d)) if cross else (None, None)
        self.w1, self.w2 = nn.Linear(d, ffn, bias=not rms), nn.Linear(ffn, d, bias=not rms)
        self.act = F.relu if rms else F.gelu
        self.drop = nn.Dropout(drop)

    def forward(self, x, rows, mask=None, causal=False, memory=None, asked=None, keys=None, mask_memory=None):
        n = self.n1(x)
        x = x + self.drop(self.a(n, n, rows, rows, mask, causal))
        if self.c is not None:
            x = x + self.drop(self.c(self.n3(x), memory, asked, keys, mask_memory))
        return x + self.drop(self.w2(self.drop(self.act(self.w1(self.n2(x))))))


# ---- SASRec -----------------------------------------------------------------------------------------------------------------

class Sasrec(nn.Module):
    def __init__(self, o, items):
        super().__init__()
        d = o.dim
        self.item, self.position = nn.Embedding(items, d), nn.Embedding(o.length, d)
        for e in (self.item, self.position):
            nn.init.normal_(e.weight, 0, 0.02)
        self.blocks = nn.ModuleList(Block(d, o.heads, d // o.heads, o.ffn, o.dropout, False) for _ in range(o.layers))
        self.norm, self.drop = norm(False, d), nn.Dropout(o.dropout_input)

    def forward(self, item, position, rows, kept, target):
        x = self.drop(self.item(item) * math.sqrt(self.item.weight.shape[1]) + self.position(position))
        for b in self.blocks:
            x = b(x, rows, causal=True)  # padding is behind: a causal row never sees it
        x = x if kept is None else x.index_select(0, kept)
        return F.cross_entropy(self.norm(x) @ self.item.weight.T, target)


def sasrec_examples(o, offsets):
    runs = []
    for u in range(len(offsets) - 1):
        begin, end = offsets[u], offsets[u + 1] - 2
        while end - begin >= 2:
            runs.append((max(begin, end - o.length - 1), end))
            end -= o.length
    return runs


def sasrec_batch(o, part, data, packed):
    size = [end - begin - 1 for begin, end in part]
    longest = max(size)
    place = np.concatenate([r * longest + np.arange(n) for r, n in enumerate(size)])
    item = np.concatenate([data.item[begin:end - 1] for begin, end in part])
    target = torch.from_numpy(np.concatenate([data.item[begin + 1:end] for begin, end in part]))
    position = np.concatenate([np.arange(n)[::-1] for n in size])
    if not packed:
        item, position = (np.bincount(place, v, len(part) * longest).astype(np.int64) for v in (item, position))
    at = torch.from_numpy(place)
    return (torch.from_numpy(item), torch.from_numpy(position.copy()), Layout(at, len(part), longest, packed),
            None if packed else at, target), len(target)


# ---- HSTU: as in the research code, but buckets of time once a step instead of once a layer --------------------------------

class Buckets(torch.autograd.Function):
    """table[bucket] with a gradient by counting, which is several times quicker than that of an embedding."""
    @staticmethod
    def forward(ctx, table, bucket):
        ctx.save_for_backward(bucket)
        ctx.size = len(table)
        return table.index_select(0, bucket.view(-1)).view(bucket.shape)

    @staticmethod
    def backward(ctx, grad):
        return torch.bincount(ctx.saved_tensors[0].view(-1), grad.reshape(-1).float(), ctx.size), None


class HstuBlock(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o, inner = o, o.heads * (o.dqk + o.dv)
        self.uvqk = nn.Parameter(torch.randn(o.dim, 2 * inner) * 0.02)
        self.out = nn.Linear(o.heads * o.dv, o.dim)
        self.position = nn.Parameter(torch.randn(2 * o.length - 1) * 0.02)
        self.time = nn.Parameter(torch.zeros(129))

    def forward(self, x, rows, at, bucket, seen):
        o, (batch, n) = self.o, rows.shape
        u, v, q, k = F.silu(F.layer_norm(x, x.shape[1:], eps=1e-6) @ self.uvqk).split(
            [o.heads * o.dv, o.heads * o.dv, o.heads * o.dqk, o.heads * o.dqk], 1)

        def split(t):
            return rows.spread(t).view(batch, n, o.heads, -1).transpose(1, 2)
        a = split(q) @ split(k).transpose(2, 3)
        if o.bias in ("both", "position"):
            a = a + self.position[at]
        if bucket is not None:
            a = a + Buckets.apply(self.time, bucket)[:, None]
        a = F.silu(a) * seen
        y = rows.gather((a.to(q.dtype) @ split(v)).transpose(1, 2))
        return x + self.out(F.dropout(F.layer_norm(y, y.shape[1:], eps=1e-6) * u, o.dropout))


class Hstu(nn.Module):
    def __init__(self, o, items):
        super().__init__()
        self.o = o
        self.item, self.position = nn.Embedding(items, o.dim), nn.Embedding(o.length, o.dim)
        nn.init.normal_(self.item.weight, 0, 0.02)
        nn.init.normal_(self.position.weight, 0, o.dim ** -0.5)
        self.blocks = nn.ModuleList(HstuBlock(o) for _ in range(o.blocks))

    def forward(self, item, position, rows, kept, target, time, now):
        o, n = self.o, rows.shape[1]
        x = F.dropout(self.item(item) * math.sqrt(o.dim) + self.position(position), o.dropout_input)
        at = torch.arange(n)
        at = at[None] - at[:, None] + o.length - 1
        seen = torch.ones(n, n).tril() / o.length
        bucket = None
        if time is not None and o.bias in ("both", "time"):
            age = (now[:, :, None] - time[:, None]).abs().clamp(min=1)
            bucket = (torch.log(age.float()) / 0.301).int().clamp(max=128)
        for b in self.blocks:
            x = b(x, rows, at, bucket, seen)
        x = x if kept is None else x.index_select(0, kept)
        if o.loss == "ce":
            return F.cross_entropy(F.layer_norm(x, x.shape[1:], eps=1e-6) @ self.item.weight.T, target)
        other = torch.randint(self.item.num_embeddings, (len(x), o.negatives))
        x, table = F.normalize(x.float(), dim=1, eps=1e-6), F.normalize(self.item.weight, dim=1, eps=1e-6)
        if len(table) < 64 * o.negatives:  # one product and a choice of its numbers is quicker than fetching rows
            every = x @ table.T
            right, wrong = every.gather(1, target[:, None]), every.gather(1, other)
        else:
            right = (x * F.embedding(target, table)).sum(1, keepdim=True)
            wrong = (F.embedding(other, table) @ x[:, :, None]).squeeze(2)
        wrong = wrong.float()
        logit = torch.cat([right.float(), wrong.masked_fill(other == target[:, None], -5e4)], 1) / o.temperature
        return F.cross_entropy(logit, torch.zeros(len(x), dtype=torch.long))


def hstu_batch(o, part, data, packed):
    (item, _, rows, kept, target), n = sasrec_batch(o, part, data, packed)
    shape, place = rows.shape, rows.place if packed else kept
    position = torch.from_numpy(np.concatenate([np.arange(end - begin - 1) for begin, end in part]))
    position = position if packed else torch.zeros(shape[0] * shape[1], dtype=torch.long).index_copy(0, place, position)
    time = now = None
    if data.time is not None:
        def padded(ahead):
            t = torch.from_numpy(np.concatenate([data.time[begin + ahead:end - 1 + ahead] for begin, end in part]))
            return torch.zeros(shape[0] * shape[1], dtype=torch.long).index_copy(0, place, t).view(shape)
        time, now = padded(0), padded(1)
    return (item, position, rows, kept, target, time, now), n


# ---- TIGER ------------------------------------------------------------------------------------------------------------------

@functools.lru_cache(None)
def bucket(n, both, buckets, most):
    """Buckets of the distances -n .. n."""
    rel = torch.arange(-n, n + 1)
    out = torch.zeros_like(rel)
    if both:
        buckets //= 2
        out = out + (rel > 0).long() * buckets
        a = rel.abs()
    else:
        a = (-rel).clamp(min=0)
    exact = buckets // 2
    far = exact + (torch.log(a.float().clamp(min=1) / exact) / math.log(most / exact) * (buckets - exact) + 1e-6).long()
    return out + torch.where(a < exact, a, far.clamp(max=buckets - 1))


class Tiger(nn.Module):
    def __init__(self, o, data):
        super().__init__()
        d, self.o, self.L, self.first = o.dim, o, data.codes.shape[1], data.first
        self.token = nn.Embedding(int(self.first[-1]) + 1, d)
        nn.init.normal_(self.token.weight, 0, o.init_sd)
        self.prefix = nn.Embedding(data.n_prefixes, d) if o.prefix_vectors else None
        if self.prefix is not None:
            nn.init.zeros_(self.prefix.weight)
        self.bias_enc, self.bias_dec = nn.Embedding(o.buckets, o.heads), nn.Embedding(o.buckets, o.heads)
        self.bias_cross = nn.Embedding(o.buckets, o.heads) if o.cross_bias else None
        self.enc = nn.ModuleList(Block(d, o.heads, o.head_dim, o.ffn, o.dropout, True) for _ in range(o.layers))
        self.dec = nn.ModuleList(Block(d, o.heads, o.head_dim, o.ffn, o.dropout, True, True) for _ in range(o.layers))
        self.ne, self.nd, self.drop = norm(True, d), norm(True, d), nn.Dropout(o.dropout)

    def bias(self, table, queries, keys, both):
        """(1, heads, queries, keys) from the places of both."""
        n = int(max(queries[-1], keys[-1])) + 1
        at = bucket(n, both, self.o.buckets, self.o.bucket_distance)
        return table(at[keys[None] - queries[:, None] + n]).permute(2, 0, 1)[None]

    def read(self, token, prefix):
        x = self.token(token)
        if self.prefix is not None:  # row 0 stands for "none": its vector is multiplied by nothing
            x = x + self.prefix(prefix.clamp(min=0)) * (prefix >= 0)[:, None]
        return self.drop(x * (1 / self.o.init_sd))

    def forward(self, source, prefix, rows, ids, prefix_out, asked, target, lists):
        o, L, (n_users, n) = self.o, self.L, rows.shape
        at = torch.arange(n)
        mask = self.bias(self.bias_enc, at, at, True)
        if o.augment == "user":  # causal by item: what is behind a user's last item is never seen
            mask = mask.masked_fill(at[None] // L > at[:, None] // L, -1e9)
        else:
            mask = mask.masked_fill(~lists["valid"][:, None, None], -1e9)
        x = self.read(source, prefix)
        for b in self.enc:
            x = b(x, rows, mask)
        memory = self.drop(self.ne(x))

        if o.augment == "user":  # slot s of a user asks after s + 1 items: one mask for all
            place = (torch.arange(asked.shape[1]) // L + 1) * L - 1
            sees = (at[None] > place[:, None])[None, None]
            mask = torch.zeros(()) if self.bias_cross is None else self.bias(self.bias_cross, place, at, False)
            mask = mask.masked_fill(sees, -1e9)
        else:
            last = lists["last"]
            mask = torch.zeros(())
            if self.bias_cross is not None:
                by = bucket(n, False, o.buckets, o.bucket_distance)
                mask = self.bias_cross(by[at[None] - last[:, None] + n]).permute(0, 2, 1)[:, :, None]
            mask = mask.masked_fill(~lists["valid"][:, None, None], -1e9)
        at = torch.arange(L)
        own = Layout(None, ids.shape[0] // L, L, False)
        itself = self.bias(self.bias_dec, at, at, False).masked_fill(at[None] > at[:, None], -1e9)
        x = self.read(ids, prefix_out)
        for b in self.dec:
            x = b(x, own, itself, False, memory, asked, rows, mask)
        x = (self.drop(self.nd(x)) * (o.dim ** -0.5 / o.init_sd)).view(-1, L, o.dim)
        if o.softmax == "legal":
            return self.legal_loss(x, target, lists)
        loss = 0
        for l in range(L):
            table = self.token.weight[int(self.first[l]):int(self.first[l + 1])]
            loss = loss + F.cross_entropy(x[:, l] @ table.T, target[:, l])
        return loss / L

    def legal_loss(self, x, target, lists):
        """Cross-entropy over the codes that exist after the codes before: the first level over its whole table, the others over
        lists of candidates, one behind the other."""
        token, prefix, row, hit = lists["token"], lists["prefix"], lists["row"], lists["hit"]
        loss = F.cross_entropy(x[:, 0] @ self.token.weight[:int(self.first[1])].T, target[:, 0], reduction="sum")
        x = x[:, 1:].reshape(-1, x.shape[2])
        e = self.token(token)
        if self.prefix is not None:
            e = e + self.prefix(prefix)
        logit = (x.index_select(0, row) * e).sum(1).float()
        top = torch.full((len(x),), -math.inf).scatter_reduce(0, row, logit.detach(), "amax")
        total = torch.zeros(len(x)).index_add(0, row, torch.exp(logit - top.index_select(0, row)))
        loss = loss + (torch.log(total) + top).sum() - logit.index_select(0, hit).sum()
        return loss / target.numel()


def tiger_prepare(data, folder):
    ids = load_file(os.path.join(folder, "ids.safetensors"))
    data.codes = ids["codes"].astype(np.int64)
    data.first = np.concatenate([[0], np.cumsum(ids["sizes"].astype(np.int64))])
    n, L = data.codes.shape
    data.node = np.full((n, L), -1, np.int64)  # row of each prefix of two codes and more
    data.children = []  # level -> for each prefix of that length, in order: candidates (code, row)
    data.n_prefixes, before = 0, np.zeros(n, np.int64)
    for l in range(L):
        pair, at, now = np.unique(np.stack([before, data.codes[:, l]], 1), axis=0, return_index=True, return_inverse=True)
        begin = np.searchsorted(pair[:, 0], np.arange(before.max() + 2))
        data.children.append((begin, pair[:, 1], data.n_prefixes))
        if l:
            data.node[:, l] = data.n_prefixes + now.reshape(-1)
            data.n_prefixes += len(pair)
        data.before = getattr(data, "before", []) + [before]
        before = now.reshape(-1)


def tiger_examples(o, offsets):
    runs = []
    for u in range(len(offsets) - 1):
        begin, end = offsets[u], offsets[u + 1] - 2
        first = begin + 1
        while first < end:
            last = first
            if o.augment == "user":
                last = begin + o.history if first == begin + 1 else first + o.history // 2 - 1
            last = min(last, end - 1)
            runs.append((max(begin, last - o.history), first, last))
            first = last + 1
    return runs


def tiger_batch(o, part, data, packed):
    L = data.codes.shape[1]
    events = [np.arange(begin, last) for begin, _, last in part]
    n = max(len(e) for e in events) * L
    place = np.concatenate([r * n + np.arange(len(e) * L) for r, e in enumerate(events)])
    read = data.item[np.concatenate(events)]
    source, prefix = (data.codes[read] + data.first[:-1]).reshape(-1), data.node[read].reshape(-1)
    if not packed:
        source = np.bincount(place, source, len(part) * n).astype(np.int64)
        prefix = np.bincount(place, prefix + 1, len(part) * n).astype(np.int64) - 1
    asked = [np.arange(first, last + 1) for _, first, last in part]
    target = data.item[np.concatenate(asked)]
    slots = max(last - begin for begin, _, last in part) if o.augment == "user" else 1
    slot = np.concatenate([e - begin - 1 if o.augment == "user" else e * 0 for e, (begin, _, _) in zip(asked, part)])
    user = np.concatenate([np.full(len(e), r) for r, e in enumerate(asked)])
    rows = ((user * slots + slot)[:, None] * L + np.arange(L)).reshape(-1)
    code = data.codes[target]
    ids = np.concatenate([np.full((len(code), 1), data.first[-1]), (code + data.first[:-1])[:, :-1]], 1)
    prefix_out = np.concatenate([np.full((len(code), 1), -1), data.node[target][:, :-1]], 1)
    size = np.array([len(e) * L for e in events])
    lists = {"valid": torch.from_numpy(np.arange(n)[None] < size[:, None]), "last": torch.from_numpy(size - 1)}
    if o.softmax == "legal":
        token, pre, row, hit, have = [], [], [], [], 0
        for t, i in enumerate(target):
            for l in range(1, L):
                begin, codes, first = data.children[l]
                b, e = begin[data.before[l][i]], begin[data.before[l][i] + 1]
                token.append(codes[b:e] + data.first[l])
                pre.append(np.arange(b, e) + first)
                row.append(np.full(e - b, t * (L - 1) + l - 1))
                hit.append(have + data.node[i, l] - first - b)
                have += e - b
        lists.update({k: torch.from_numpy(np.concatenate(v)) for k, v in (("token", token), ("prefix", pre), ("row", row))})
        lists["hit"] = torch.tensor(np.array(hit))
    t = torch.from_numpy
    return (t(source), t(prefix), Layout(t(place), len(part), n, packed), t(ids.reshape(-1)), t(prefix_out.reshape(-1)),
            Layout(t(rows), len(part), slots * L, True), t(code), lists), len(target)


# ---- timing -----------------------------------------------------------------------------------------------------------------

class Data:
    pass


def options(model, given):
    known = {**{"sasrec": SASREC, "hstu": HSTU, "tiger": TIGER}[model], **TRAIN}
    # what makes no difference to the time of a step, or is the only way there is here
    fixed = {"loss": "ce", "alpha": "2", "epochs": None, "valid_every": None, "valid_users": None, "patience": None, "schedule": None, "warmup": None}
    for text in given:
        key, _, value = text.partition("=")
        if key in known:
            kind = type(known[key])
            known[key] = value == "true" if kind is bool else kind(value)
        elif key not in fixed or fixed[key] not in (None, value):
            sys.exit(f"peer_torch.py: option '{text}' is not known here")
    return argparse.Namespace(**known)


def time_steps(o, model_name, data, runs, precision, packed, compiled):
    torch.manual_seed(1)
    make = {"sasrec": sasrec_batch, "hstu": hstu_batch, "tiger": tiger_batch}[model_name]
    model = Tiger(o, data) if model_name == "tiger" else {"sasrec": Sasrec, "hstu": Hstu}[model_name](o, data.n_items)
    call = torch.compile(model, dynamic=True) if compiled else model
    optim = torch.optim.AdamW(model.parameters(), lr=o.lr, betas=(o.beta1, o.beta2), eps=1e-8, weight_decay=o.weight_decay,
                              fused=True)
    every = -(-len(runs) // o.batch)
    times, cpu, targets = [], [], 0
    for i in range(WARM + o.steps):
        batch, n = make(o, runs[i % every::every], data, packed)
        start, start_cpu = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = call(*batch)
        optim.zero_grad(set_to_none=True)
        loss.backward()
        if o.clip > 0:
            nn.utils.clip_grad_norm_(model.parameters(), o.clip, foreach=True)
        optim.step()
        if i >= WARM:
            times.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
            targets += n
        assert math.isfinite(loss.item())
    layout = ("packed" if packed else "padded") + (" compiled" if compiled else "")
    print(f"pytorch,{torch.__version__},{model_name},{layout},{precision},{torch.get_num_threads()},{statistics.median(times):.5f},"
          f"{min(times):.5f},{statistics.median(cpu):.5f},{o.steps},{every},{targets / o.steps:.1f}", flush=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("data")
    a.add_argument("model", choices=["sasrec", "hstu", "tiger"])
    a.add_argument("option", nargs="*")
    a.add_argument("--precisions", default="f32,bf16")
    a.add_argument("--layouts", default="packed,padded")
    a.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    a.add_argument("--compile", action="store_true", help="torch.compile as well as eager")
    a = a.parse_args()
    o = options(a.model, a.option)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    events = load_file(os.path.join(a.data, "events.safetensors"))
    data = Data()
    data.item, offsets = events["item"].astype(np.int64), events["user_offsets"].astype(np.int64)
    data.time = events.get("timestamp")
    data.n_items = int(data.item.max()) + 1
    if a.model == "tiger":
        tiger_prepare(data, a.data)
    runs = (tiger_examples if a.model == "tiger" else sasrec_examples)(o, offsets)
    print("program,version,model,layout,precision,threads,median_s,least_s,cpu_s,steps,steps_an_epoch,targets_a_step")
    for compiled in (False, True) if a.compile else (False,):
        for packed in a.layouts.split(","):
            for precision in a.precisions.split(","):
                time_steps(o, a.model, data, runs, precision, packed == "packed", compiled)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes transformer.safetensors: transformer blocks, cross-entropy and AdamW as PyTorch computes them, in double, so that
tests/parity/transformer.c can compare values and gradients. Two sequences (5 and 3 tokens; memories of 4 and 2) are computed one by one,
which is what a packed batch must equal. Needs torch, numpy, safetensors."""
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(20260101)
torch.set_default_dtype(torch.float64)
D, HEADS, WIDTH, FFN = 24, 3, 8, 40
LENGTHS, MEMORY = [5, 3], [4, 2]
out = {}


def tensor(name, *shape, scale=1.0):
    out[name] = (torch.randn(*shape) * scale).requires_grad_(True)
    return out[name]


def bucket(rel, both, buckets=8, most=16):
    n = 0
    if both:
        buckets //= 2
        n = buckets if rel > 0 else 0
        rel = abs(rel)
    else:
        rel = max(0, -rel)
    exact = buckets // 2
    if rel < exact:
        return n + rel
    return n + min(buckets - 1, exact + int(math.log(rel / exact) / math.log(most / exact) * (buckets - exact)))


def attend(p, x, memory, causal, bias, both, scale):
    def split(t):
        return t.view(t.shape[0], HEADS, WIDTH).transpose(0, 1)
    q, k, v = (split(F.linear(s, out[f"{p}.{n}.weight"], out.get(f"{p}.{n}.bias"))) for n, s in (("q", x), ("k", memory), ("v", memory)))
    s = q @ k.transpose(1, 2) * scale
    nq, nk = x.shape[0], memory.shape[0]
    if bias is not None:
        index = torch.tensor([[bucket(j - (i + nk - nq), both) for j in range(nk)] for i in range(nq)])
        s = s + bias[index].permute(2, 0, 1)
    if causal:
        s = s.masked_fill(torch.ones(nq, nk).triu(nk - nq + 1).bool(), -math.inf)
    y = (s.softmax(-1) @ v).transpose(0, 1).reshape(nq, HEADS * WIDTH)
    return F.linear(y, out[f"{p}.o.weight"], out.get(f"{p}.o.bias"))


def rms(x, w):
    return w * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def declare(p, t5, cross):
    for part in ["self"] + (["cross"] if cross else []):
        tensor(f"{p}.norm_{part}.weight", D, scale=0.3).data.add_(1)
        if not t5:
            tensor(f"{p}.norm_{part}.bias", D, scale=0.2)
        for n in "qkvo":
            o, i = (D, HEADS * WIDTH) if n == "o" else (HEADS * WIDTH, D)
            tensor(f"{p}.{part}.{n}.weight", o, i, scale=0.3)
            if not t5:
                tensor(f"{p}.{part}.{n}.bias", o, scale=0.2)
    tensor(f"{p}.norm_ffn.weight", D, scale=0.3).data.add_(1)
    if not t5:
        tensor(f"{p}.norm_ffn.bias", D, scale=0.2)
    tensor(f"{p}.ffn.w1.weight", FFN, D, scale=0.3)
    tensor(f"{p}.ffn.w2.weight", D, FFN, scale=0.3)
    if t5:
        tensor(f"{p}.ffn.w3.weight", FFN, D, scale=0.3)
    else:
        tensor(f"{p}.ffn.w1.bias", FFN, scale=0.2)
        tensor(f"{p}.ffn.w2.bias", D, scale=0.2)


def norm(p, x, t5):
    w = out[p + ".weight"]
    return rms(x, w) if t5 else F.layer_norm(x, (D,), w, out[p + ".bias"], 1e-8)


def block(p, x, t5, memory=None, causal=True, bias=None, both=False):
    scale = 1.0 if t5 else WIDTH ** -0.5
    n = norm(p + ".norm_self", x, t5)
    x = x + attend(p + ".self", n, n, causal, bias, both, scale)
    if memory is not None:
        x = x + attend(p + ".cross", norm(p + ".norm_cross", x, t5), memory, False, None, False, scale)
    n = norm(p + ".norm_ffn", x, t5)
    if t5:
        inner = F.silu(F.linear(n, out[p + ".ffn.w1.weight"])) * F.linear(n, out[p + ".ffn.w3.weight"])
        return x + F.linear(inner, out[p + ".ffn.w2.weight"])
    inner = F.gelu(F.linear(n, out[p + ".ffn.w1.weight"], out[p + ".ffn.w1.bias"]))
    return x + F.linear(inner, out[p + ".ffn.w2.weight"], out[p + ".ffn.w2.bias"])


x = tensor("x", sum(LENGTHS), D)
memory = tensor("memory", sum(MEMORY), D)
table = tensor("table", 30, D, scale=0.5)
bias = tensor("bias", 8, HEADS)
target = torch.randint(0, 30, (sum(LENGTHS),))
declare("plain", False, False)
declare("t5", True, True)
losses = {}
for p, t5 in (("plain", False), ("t5", True)):
    rows = []
    for i in range(2):
        a, m = sum(LENGTHS[:i]), sum(MEMORY[:i])
        xi, mi = x[a:a + LENGTHS[i]], memory[m:m + MEMORY[i]]
        rows.append(block(p, xi, t5, mi if t5 else None, True, bias if t5 else None, False))
    y = torch.cat(rows)
    loss = F.cross_entropy(y @ table.T, target, label_smoothing=0.1)
    for t in out.values():
        t.grad = None
    loss.backward()
    losses[p] = {k: t.grad.clone() for k, t in out.items() if t.grad is not None}
    losses[p]["y"], losses[p]["loss"] = y.detach(), loss.detach().reshape(1)

w = torch.randn(7, requires_grad=True)
steps = [w.detach().clone()]
optim = torch.optim.AdamW([w], lr=0.05, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.1)
slope = torch.randn(5, 7)
for g in slope:
    w.grad = g.clone()
    optim.step()
    steps.append(w.detach().clone())

save = {k: v.detach() for k, v in out.items()}
for p, grads in losses.items():
    save.update({f"{p}:{k}": v for k, v in grads.items()})
save["adamw.weights"], save["adamw.grads"] = torch.stack(steps), slope
save = {k: v.float().contiguous() for k, v in save.items()}
save["target"] = target.int()
save_file(save, os.path.join(os.path.dirname(os.path.abspath(__file__)), "transformer.safetensors"))

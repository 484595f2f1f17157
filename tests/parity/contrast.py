#!/usr/bin/env python3
"""Writes lora/contrast.safetensors, too: the loss and all gradients of the adapter lora/ beside llama/, over last states, and ("both.") over
means of states where tokens see both sides. Writes bert/train.safetensors and roberta/train.safetensors, for the encoders that bert.py made: the contrastive loss of three pairs and a
further wrong answer, over vectors of the means cut to 24 and to 8 numbers, and the sums of every gradient over rows and columns; and the same
("same.") of five pairs of which some share their query or their answer, so that a right answer of a query is never one of its wrong ones.
transformers and PEFT in double."""
import os

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = [[3, 4, 5, 2], [3, 6, 2], [3, 7, 8, 9, 2], [3, 4, 2], [3, 6, 6, 10, 2], [3, 9, 2], [3, 11, 12, 13, 14, 2]]
SAME = [[3, 4, 5, 2], [3, 6, 2], [3, 7, 8, 9, 2], [3, 6, 2], [3, 10, 2], [3, 4, 2], [3, 6, 6, 10, 2], [3, 4, 2], [3, 9, 2], [3, 5, 2],
        [3, 6, 6, 10, 2], [3, 11, 12, 13, 14, 2]]
WIDTHS, TEMPERATURE = (24, 8), 0.2


def put(out, prefix, model, texts, pairs):
    model.zero_grad()
    e = torch.stack([model(input_ids=torch.tensor([t])).last_hidden_state[0].mean(0) for t in texts])
    query, answer = texts[:pairs], texts[pairs:]
    wrong = [[answer[j] not in [answer[k] for k in range(pairs) if query[k] == query[i]] for j in range(len(answer))] for i in range(pairs)]
    out_of = ~(torch.tensor(wrong) | torch.eye(pairs, len(answer), dtype=torch.bool))
    loss = 0
    for w in WIDTHS:
        u = torch.nn.functional.normalize(e[:, :w], dim=-1)
        logits = (u[:pairs] @ u[pairs:].T / TEMPERATURE).masked_fill(out_of, -torch.inf)
        loss = loss + torch.nn.functional.cross_entropy(logits, torch.arange(pairs)) / len(WIDTHS)
    loss.backward()
    out[prefix + "loss"] = loss[None]
    for key, p in model.named_parameters():
        if p.grad is None:
            continue
        if p.grad.ndim == 1:
            out[prefix + key] = p.grad.clone()
        else:
            out[prefix + key + ".rows"], out[prefix + key + ".cols"] = p.grad.sum(1), p.grad.sum(0)


for name in ("bert", "roberta"):
    model = AutoModel.from_pretrained(os.path.join(HERE, name), dtype=torch.float32, attn_implementation="eager", add_pooling_layer=False)
    model = model.double().eval()
    out = {}
    put(out, "", model, TEXTS, 3)
    put(out, "same.", model, SAME, 5)
    path = os.path.join(HERE, name, "train.safetensors")
    if os.path.exists(path):
        os.remove(path)
    save_file({k: v.detach().float().contiguous() for k, v in out.items()}, path)


def decoder():
    """The first set of texts; "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" as in the adapter's file."""
    out = {}
    for prefix, both in (("", False), ("both.", True)):
        base = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "llama"), dtype=torch.float32, attn_implementation="eager")
        model = PeftModel.from_pretrained(base, os.path.join(HERE, "lora"), is_trainable=True).double().eval()
        e = []
        for t in TEXTS:
            mask = {"attention_mask": torch.zeros(1, 1, len(t), len(t), dtype=torch.float64)} if both else {}
            h = model(input_ids=torch.tensor([t]), output_hidden_states=True, **mask).hidden_states[-1][0]
            e.append(h.mean(0) if both else h[-1])
        e, loss = torch.stack(e), 0
        for w in WIDTHS:
            u = torch.nn.functional.normalize(e[:, :w], dim=-1)
            loss = loss + torch.nn.functional.cross_entropy(u[:3] @ u[3:].T / TEMPERATURE, torch.arange(3)) / len(WIDTHS)
        loss.backward()
        out[prefix + "loss"] = loss.detach()[None]
        for key, p in model.named_parameters():
            if p.grad is not None:
                out[prefix + key.replace(".default", "")] = p.grad.clone()
    save_file({k: v.float().contiguous() for k, v in out.items()}, os.path.join(HERE, "lora", "contrast.safetensors"))


decoder()

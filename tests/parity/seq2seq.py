#!/usr/bin/env python3
"""Writes, for the T5s that t5.py made, what training must give: NAME/train.safetensors with the loss of two pairs of texts that are packed in
one batch, and the sums of every gradient over rows and over columns. And adapters as PEFT saves them, NAMElora/, with the loss and all
gradients. transformers and peft in double.  tests/parity/seq2seq.py [--check SEDGE]
--check: the other way round. What the command learned and merged, through peft and transformers."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

HERE = os.path.dirname(os.path.abspath(__file__))
READ = [[5, 17, 3, 3, 29, 11, 30, 36, 8, 1], [4, 30, 7, 1]]
WRITE = [[12, 9, 35, 28, 1], [33, 6, 6, 14, 20, 31, 1]]


def open_model(name):
    folder = os.path.join(HERE, name) if not os.path.isabs(name) else name
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    table = load_file(os.path.join(folder, "model.safetensors"))
    if "lm_head.weight" in table:  # new versions tie what the file has apart
        model.lm_head.weight = torch.nn.Parameter(table["lm_head.weight"].float())
    return model.eval().double()


def logits_of(model, read, write):
    start = torch.tensor([[0] + write[:-1]])
    return model(input_ids=torch.tensor([read]), decoder_input_ids=start, use_cache=False).logits[0]


def loss_of(model):
    logp = [logits_of(model, r, w).log_softmax(-1)[torch.arange(len(w)), torch.tensor(w)] for r, w in zip(READ, WRITE)]
    return -torch.cat(logp).mean()


def write(path, tensors):
    if os.path.exists(path):
        os.remove(path)
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, path)


def full(name):
    model = open_model(name)
    want = load_file(os.path.join(HERE, name, "expected.safetensors"))
    found = model(input_ids=want["ids"][None].long(), decoder_input_ids=want["words"][None].long(), use_cache=False).logits[0]
    assert (found - want["logits"]).abs().max() < 1e-4, "another model than t5.py wrote"
    loss = loss_of(model)
    loss.backward()
    out = {"loss": loss[None]}
    for key, p in model.named_parameters():
        out |= {key: p.grad} if p.grad.ndim == 1 else {key + ".rows": p.grad.sum(1), key + ".cols": p.grad.sum(0)}
    write(os.path.join(HERE, name, "train.safetensors"), out)
    print(name, float(loss))


def adapter(name, targets):
    path = os.path.join(HERE, name + "lora")
    shutil.rmtree(path, ignore_errors=True)
    model = get_peft_model(open_model(name).float(), LoraConfig(task_type="SEQ_2_SEQ_LM", r=3, lora_alpha=6, target_modules=targets))
    torch.manual_seed(5)
    for p in model.parameters():
        if p.requires_grad:
            p.data = torch.randn_like(p) * 0.2
    model.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    config = json.load(open(os.path.join(path, "adapter_config.json")))
    config["base_model_name_or_path"] = name
    with open(os.path.join(path, "adapter_config.json"), "w") as f:
        json.dump(config, f, indent=1, sort_keys=True)
        f.write("\n")
    model.double().eval()
    loss = loss_of(model)
    loss.backward()
    out = {"loss": loss[None]}
    for key, p in model.named_parameters():
        if p.grad is not None:
            out[key.replace(".default", "").replace("base_model.model.", "", 1)] = p.grad
    write(os.path.join(path, "train.safetensors"), out)
    print(name + "lora", float(loss))


def check(sedge):
    run = lambda *args: json.loads(subprocess.run([sedge, "lm", *args, "-q", "--json"], check=True, capture_output=True).stdout)

    def compare(what, found, want, tolerance=1e-4):
        print(f"{what}: sedge {found:.6f}, peer {want:.6f}")
        assert abs(found - want) <= tolerance * abs(want), what

    for name in ("t5", "t5v11"):
        base = os.path.join(HERE, name)
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(base, "tokenizer.json"))
        read, text = tokenizer("the cat")["input_ids"], tokenizer("a cat in")["input_ids"]

        def logp_of(model):
            return float(logits_of(model, read, text).double().log_softmax(-1)[torch.arange(len(text)), torch.tensor(text)].sum())

        with tempfile.TemporaryDirectory() as tmp:
            data, out = os.path.join(tmp, "d.jsonl"), os.path.join(tmp, "out")
            with open(data, "w") as f:
                for i in range(60):
                    f.write(json.dumps({"prompt": "ab" * (i % 5 + 1), "completion": "the cat"[: i % 7 + 1]}) + "\n")
            options = ["--set", "epochs=3", "lr=0.01", "tokens=128", "precision=f32"]
            score = lambda model, *more: run("score", model, "--prompt", "the cat", "--text", "a cat in", *more)["logp"]
            compare(name, score(base), logp_of(open_model(name)))
            run("tune", base, data, "-o", out, *options, "rank=4", "targets=q,v,wo")
            compare("LoRA", score(base, "--adapter", out), logp_of(PeftModel.from_pretrained(open_model(name).float(), out).double().eval()))
            run("tune", base, data, "-o", out + "l", *options, "rank=4", "layers=1:2,0")
            compare("LoRA with ranks by layer", score(base, "--adapter", out + "l"),
                    logp_of(PeftModel.from_pretrained(open_model(name).float(), out + "l").double().eval()))
            run("tune", base, data, "-o", out + "f", *options, "method=full")
            compare("full", score(out + "f"), logp_of(open_model(out + "f")))
            run("merge", base, "--adapter", out, "-o", out + "m", "--set", "type=f32")
            compare("merged folder", score(out + "m"), logp_of(open_model(out + "m")))
            for kind in ("f32", "f16", "q8_0"):
                run("merge", base, "--adapter", out, "-o", out + ".gguf", "--set", "type=" + kind)
                compare("merged.gguf " + kind, score(out + ".gguf"), logp_of(open_model(out + "m")), 1e-4 if kind == "f32" else 1e-2)


if sys.argv[1:2] == ["--check"]:
    check(sys.argv[2])
else:
    for model_name in ("t5", "t5v11"):
        full(model_name)
    adapter("t5", ["q", "v", "wi", "wo"])
    adapter("t5v11", ["k", "o", "wi_0", "wi_1"])

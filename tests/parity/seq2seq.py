#!/usr/bin/env python3
"""Writes, for the T5s that t5.py made, what training must give: NAME/train.safetensors with the loss of two pairs of texts that are packed in
one batch, and the sums of every gradient over rows and over columns. And adapters as PEFT saves them, NAMElora/ and NAMEhead/ (with
parts of the output matrix), with the loss and all gradients. transformers and peft in double.  tests/parity/seq2seq.py [--check SEDGE]
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


def adapter(name, targets, kind="lora"):
    path = os.path.join(HERE, name + kind)
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
    print(name + kind, float(loss))


def bottleneck(name):
    """Layers behind attention and feed-forward, in files of the same kind that PEFT does not know: y + B gelu(A y + a) + b."""
    path, r = os.path.join(HERE, name + "bottleneck"), 4
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    torch.manual_seed(5)
    model, out = open_model(name), {}
    for key, layer in model.named_modules():
        if key.endswith((".o", ".wo")):
            rows = layer.out_features
            part = {k: (torch.randn(s) * 0.2).double().requires_grad_() for k, s in (
                ("adapter_down.weight", (r, rows)), ("adapter_down.bias", (r,)), ("adapter_up.weight", (rows, r)), ("adapter_up.bias", (rows,)))}
            layer.register_forward_hook(lambda m, x, y, p=part: y + torch.nn.functional.gelu(
                y @ p["adapter_down.weight"].T + p["adapter_down.bias"]) @ p["adapter_up.weight"].T + p["adapter_up.bias"])
            out |= {f"{key}.{k}": v for k, v in part.items()}
    write(os.path.join(path, "adapter_model.safetensors"), {"base_model.model." + k: v for k, v in out.items()})
    with open(os.path.join(path, "adapter_config.json"), "w") as f:
        json.dump({"peft_type": "BOTTLENECK", "r": r, "non_linearity": "gelu", "base_model_name_or_path": name}, f, indent=1, sort_keys=True)
        f.write("\n")
    for v in out.values():
        v.data = v.data.float().double()
    loss = loss_of(model)
    loss.backward()
    write(os.path.join(path, "train.safetensors"), {"loss": loss[None]} | {k: v.grad for k, v in out.items()})


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
            run("tune", base, data, "-o", out + "h", *options, "rank=4", "targets=q,lm_head")
            compare("LoRA of the output matrix", score(base, "--adapter", out + "h"),
                    logp_of(PeftModel.from_pretrained(open_model(name).float(), out + "h").double().eval()))
            run("merge", base, "--adapter", out + "h", "-o", out + "hm", "--set", "type=f32")
            compare("merged", score(out + "hm"), logp_of(open_model(out + "hm")))
            run("tune", base, data, "-o", out + "f", *options, "method=full")
            compare("full", score(out + "f"), logp_of(open_model(out + "f")))
            run("merge", base, "--adapter", out, "-o", out + "m", "--set", "type=f32")
            compare("merged folder", score(out + "m"), logp_of(open_model(out + "m")))
            for kind in ("f32", "f16", "q8_0"):
                run("merge", base, "--adapter", out, "-o", out + ".gguf", "--set", "type=" + kind)
                compare("merged.gguf " + kind, score(out + ".gguf"), logp_of(open_model(out + "m")), 1e-4 if kind == "f32" else 1e-2)


def check_llama_cpp(sedge):
    """What sedge writes as .gguf, through llama.cpp: logits of the decoder against transformers, and tokens. llama.cpp wants as many layers in
    both stacks, and does not scale outputs of v1.0."""
    import llama_cpp as cpp
    import numpy as np
    from transformers import T5Config
    cpp.llama_backend_init()
    for form, tied in (("relu", True), ("gated-gelu", False)):
        with tempfile.TemporaryDirectory() as tmp:
            shutil.copy(os.path.join(HERE, "t5", "tokenizer.json"), tmp)
            torch.manual_seed(3)
            model = T5ForConditionalGeneration(T5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_decoder_layers=2, num_heads=4,
                                                        decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, feed_forward_proj=form)).eval()
            for key, p in model.named_parameters():
                p.data = torch.randn_like(p) * (1.0 if "relative" in key or "shared" in key else 0.2) + (1 if "layer_norm" in key else 0)
            if not tied:
                model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.3)
            model.config.scale_decoder_outputs = tied
            model.save_pretrained(tmp)
            config = json.load(open(os.path.join(tmp, "config.json"))) | {"tie_word_embeddings": tied, "scale_decoder_outputs": tied}
            json.dump(config, open(os.path.join(tmp, "config.json"), "w"))
            path = os.path.join(tmp, "model.gguf")
            subprocess.run([sedge, "lm", "merge", tmp, "-o", path, "-q", "--set", "type=f32"], check=True, capture_output=True)
            peer = cpp.llama_model_load_from_file(path.encode(), cpp.llama_model_default_params())
            assert cpp.llama_model_has_encoder(peer) and cpp.llama_model_has_decoder(peer) and cpp.llama_model_decoder_start_token(peer) == 0
            options = cpp.llama_context_default_params()
            options.n_ctx = options.n_batch = options.n_ubatch = 64
            context = cpp.llama_init_from_model(peer, options)
            read, start = READ[0], [0] + WRITE[1][:-1]
            tokens = (cpp.llama_token * len(read))(*read)  # borrowed by the batch
            assert cpp.llama_encode(context, cpp.llama_batch_get_one(tokens, len(read))) == 0
            batch = cpp.llama_batch_init(len(start), 0, 1)
            batch.n_tokens = len(start)
            for i, w in enumerate(start):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = w, i, 1, 0, 1
            assert cpp.llama_decode(context, batch) == 0
            found = np.array([np.ctypeslib.as_array(cpp.llama_get_logits_ith(context, i), shape=(40,)).copy() for i in range(len(start))])
            want = logits_of(model.double(), read, WRITE[1]).detach().numpy() * (32 ** 0.5 if tied else 1)
            print(f"llama.cpp, {form}: logits differ by at most {abs(found - want).max():.2g} of {abs(want).max():.2g}")
            assert abs(found - want).max() < 2e-2 * abs(want).max()  # its keys and values are f16
            text = b"the cat in a."
            out = (cpp.llama_token * 64)()
            n = cpp.llama_tokenize(cpp.llama_model_get_vocab(peer), text, len(text), out, 64, True, False)
            tokens = PreTrainedTokenizerFast(tokenizer_file=os.path.join(tmp, "tokenizer.json"))(text.decode())["input_ids"]
            assert list(out[:n]) == tokens, (list(out[:n]), tokens)


if sys.argv[1:2] == ["--check"]:
    check(sys.argv[2])
    check_llama_cpp(sys.argv[2])
else:
    for model_name in ("t5", "t5v11"):
        full(model_name)
    adapter("t5", ["q", "v", "wi", "wo"])
    adapter("t5v11", ["k", "o", "wi_0", "wi_1"])
    adapter("t5", ["v", "lm_head"], "head")
    adapter("t5v11", ["v", "lm_head"], "head")
    bottleneck("t5")
    bottleneck("t5v11")

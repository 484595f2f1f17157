#!/usr/bin/env python3
"""Writes, for the decoders that llama.py made, what training must give: NAME/train.safetensors with the loss of two sequences that
are packed in one batch, the sums of every gradient over rows and over columns, states behind the first layer, the loss when tokens
see both sides. And adapters as PEFT saves them: lora/ (with the loss and all gradients), llamahead/ and qwen2head/ (with parts of an
output matrix of its own, and of one that is the word table) and prompt/ (soft tokens).
transformers and peft in double.  tests/parity/decoder.py [--check SEDGE]
--check: the other way round. What the command learned and merged, through peft, transformers and llama.cpp (llama-cpp-python)."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, TrainableTokensConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
SEQUENCES = [[5, 17, 3, 3, 29, 11, 0, 36, 8, 21], [2, 38, 7, 7, 14, 30]]
SILENT = {(0, 0), (0, 1), (1, 3)}  # tokens without a loss of what comes next


def open_model(name):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, name), dtype=torch.float32, attn_implementation="eager")
    return model.eval().double()


def loss_of(model, soft=0, mask=None, new={}):
    total, n = 0, 0
    for s, ids in enumerate(SEQUENCES):
        ids = [new.get(i, i) for i in ids]
        more = {} if mask is None else {"attention_mask": torch.ones(1, 1, len(ids), len(ids), dtype=torch.bool)}
        logp = model(input_ids=torch.tensor([ids]), **more).logits[0, soft:].log_softmax(-1)
        for t in range(len(ids) - 1):
            if (s, t) not in SILENT:
                total, n = total - logp[t, ids[t + 1]], n + 1
    return total / n


def sums(name, grad):
    if grad.ndim == 1:
        return {name: grad}
    return {name + ".rows": grad.sum(1), name + ".cols": grad.sum(0)}


def write(path, tensors):
    if os.path.exists(path):
        os.remove(path)
    save_file({k: v.detach().float().contiguous() for k, v in tensors.items()}, path)


def full(name):
    model = open_model(name)
    loss = loss_of(model)
    loss.backward()
    out = {"loss": loss[None]}
    for key, p in model.named_parameters():
        out |= sums(key, p.grad)
    out["states"] = torch.cat([model(input_ids=torch.tensor([i]), output_hidden_states=True).hidden_states[1][0] for i in SEQUENCES])
    out["loss_both_ways"] = loss_of(model, mask=True)[None]
    write(os.path.join(HERE, name, "train.safetensors"), out)


def trim(folder, base):
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as f:
        config = json.load(f)
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"] or []) or config["target_modules"]
    with open(path, "w") as f:
        json.dump(config, f, indent=1, sort_keys=True)
        f.write("\n")


def adapter(name, config, soft=0, base="llama"):
    path = os.path.join(HERE, name)
    shutil.rmtree(path, ignore_errors=True)
    torch.manual_seed(5)
    model = get_peft_model(open_model(base).float(), config)
    for p in model.parameters():
        if p.requires_grad:
            p.data = torch.randn_like(p) * 0.2
    model.save_pretrained(path)
    trim(path, base)
    model.double().eval()
    loss = loss_of(model, soft)
    loss.backward()
    out = {"loss": loss[None]}
    for key, p in model.named_parameters():
        if p.grad is not None:
            key = "prompt_embeddings" if soft else key
            out[key.replace(".default", "").replace("base_model.model.", "", 1)] = p.grad
    write(os.path.join(path, "train.safetensors"), out)


NEW = {17: 40, 3: 41, 38: 42, 7: 42}  # tokens of the sequences, and the new ones in their places


def rows(name, config, base, whole):
    """Rows of new tokens, and of an old one, as PEFT saves them; with whole tables beside them, or without."""
    path = os.path.join(HERE, name)
    shutil.rmtree(path, ignore_errors=True)
    torch.manual_seed(5)
    model = open_model(base).float()
    model.resize_token_embeddings(43)
    model = get_peft_model(model, config)
    for p in model.parameters():
        if p.requires_grad:
            p.data = torch.randn_like(p) * 0.2
    model.save_pretrained(path, save_embedding_layers="auto" if whole else False)
    trim(path, base)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(HERE, base, "tokenizer.json"))
    assert len(tokenizer) == 40 and tokenizer.add_tokens(["<a_0>", "<a_1>", "[EMB]"]) == 3
    tokenizer.backend_tokenizer.save(os.path.join(path, "tokenizer.json"))
    model.double().eval()
    loss = loss_of(model, new=NEW)
    loss.backward()
    out, order = {"loss": loss[None]}, sorted(range(len(INDICES)), key=lambda i: INDICES[i])
    for key, p in model.named_parameters():
        if p.grad is not None:
            key = key.replace(".default", "").replace("base_model.model.", "", 1)
            out[key] = p.grad[order] if "delta" in key else p.grad
    write(os.path.join(path, "train.safetensors"), out)
    print(name, float(loss), sorted(out))


INDICES = [41, 40, 5, 42]


def bottleneck():
    """Layers behind attention and feed-forward, in files of the same kind that PEFT does not know: y + B gelu(A y + a) + b."""
    path, n = os.path.join(HERE, "bottleneck"), 6
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    torch.manual_seed(5)
    model, out = open_model("llama"), {}
    for name, layer in model.named_modules():
        if name.endswith(("o_proj", "down_proj")) and not (name.endswith("o_proj") and ".0." in name):  # ranks by layer: one is left out
            r, rows = n if ".1." in name else 3, layer.out_features
            part = {k: (torch.randn(s) * 0.2).double().requires_grad_() for k, s in (
                ("adapter_down.weight", (r, rows)), ("adapter_down.bias", (r,)), ("adapter_up.weight", (rows, r)), ("adapter_up.bias", (rows,)))}
            layer.register_forward_hook(lambda m, x, y, p=part: y + torch.nn.functional.gelu(
                y @ p["adapter_down.weight"].T + p["adapter_down.bias"]) @ p["adapter_up.weight"].T + p["adapter_up.bias"])
            out |= {f"{name}.{k}": v for k, v in part.items()}
    write(os.path.join(path, "adapter_model.safetensors"), {"base_model.model." + k: v for k, v in out.items()})
    for v in out.values():
        v.data = v.data.float().double()
    with open(os.path.join(path, "adapter_config.json"), "w") as f:
        json.dump({"peft_type": "BOTTLENECK", "r": n, "non_linearity": "gelu", "base_model_name_or_path": "llama",
                   "rank_pattern": {"model.layers.0.mlp.down_proj": 3}}, f, indent=1, sort_keys=True)
        f.write("\n")
    loss = loss_of(model)
    loss.backward()
    write(os.path.join(path, "train.safetensors"), {"loss": loss[None]} | {k: v.grad for k, v in out.items()})


def check(sedge):
    """Adapters that sedge learned: PEFT must find their losses. Merged models: transformers and llama.cpp must say what sedge says."""
    run = lambda *args: json.loads(subprocess.run([sedge, "lm", *args, "-q", "--json"], check=True, capture_output=True).stdout)
    base, text = os.path.join(HERE, "llama"), "the cat that the"
    ids = PreTrainedTokenizerFast(tokenizer_file=os.path.join(base, "tokenizer.json"))(text)["input_ids"]

    def logp_of(logits):
        logp = torch.as_tensor(logits).double().log_softmax(-1)
        return sum(float(logp[t, ids[t + 1]]) for t in range(len(ids) - 1))

    def compare(what, found, want, tolerance=1e-4):
        print(f"{what}: sedge {found:.6f}, peer {want:.6f}")
        assert abs(found - want) <= tolerance * abs(want), what

    with tempfile.TemporaryDirectory() as tmp:
        data, out = os.path.join(tmp, "d.jsonl"), os.path.join(tmp, "out")
        with open(data, "w") as f:
            for i in range(60):
                f.write(json.dumps({"prompt": "ab" * (i % 5 + 1), "completion": "the cat"[: i % 7 + 1]}) + "\n")
        options = ["--set", "epochs=3", "lr=0.01", "rank=4", "tokens=128", "targets=q_proj,v_proj,down_proj", "precision=f32"]
        run("tune", base, data, "-o", out, *options)
        model = PeftModel.from_pretrained(open_model("llama"), out).double().eval()
        compare("LoRA", run("score", base, "--adapter", out, "--text", text)["logp"], logp_of(model(input_ids=torch.tensor([ids])).logits[0]))
        run("tune", base, data, "-o", out + "r", *options, "layers=0:2,1:6")
        model = PeftModel.from_pretrained(open_model("llama"), out + "r").double().eval()
        compare("LoRA with ranks by layer", run("score", base, "--adapter", out + "r", "--text", text)["logp"],
                logp_of(model(input_ids=torch.tensor([ids])).logits[0]))
        run("tune", base, data, "-o", out + "l", *options, "layers=1")
        model = PeftModel.from_pretrained(open_model("llama"), out + "l").double().eval()
        compare("LoRA of the last layer", run("score", base, "--adapter", out + "l", "--text", text)["logp"],
                logp_of(model(input_ids=torch.tensor([ids])).logits[0]))
        for name in ("llama", "qwen2"):
            own, head = os.path.join(HERE, name), out + name
            run("tune", own, data, "-o", head, *options, "targets=q_proj,lm_head", "layers=1")
            model = PeftModel.from_pretrained(open_model(name), head).double().eval()
            compare(f"LoRA of the output matrix, {name}", run("score", own, "--adapter", head, "--text", text)["logp"],
                    logp_of(model(input_ids=torch.tensor([ids])).logits[0]))
            run("merge", own, "--adapter", head, "-o", head + "m", "--set", "type=f32")
            whole = AutoModelForCausalLM.from_pretrained(head + "m", dtype=torch.float32).double().eval()
            compare(f"merged, {name}", run("score", head + "m", "--text", text)["logp"], logp_of(whole(input_ids=torch.tensor([ids])).logits[0]))
        words, tokens = os.path.join(tmp, "tokens.txt"), os.path.join(tmp, "t.jsonl")
        with open(words, "w") as f:
            f.write("<a_0>\tthe cat\n<a_1>\n[EMB]\ta\n")
        with open(tokens, "w") as f:
            for i in range(60):
                f.write(json.dumps({"prompt": "ab<a_1>" * (i % 5 + 1), "completion": "the <a_0>[EMB]"}) + "\n")
        said = "the <a_0>cat<a_1> [EMB]the"
        for name in ("llama", "qwen2"):
            for method, more in (("lora", "targets=v_proj"), ("lora", "targets=v_proj,lm_head"), ("tokens", "lr=0.05")):
                if name == "llama" and "lm_head" in more:
                    continue  # PEFT has no such files
                own, to = os.path.join(HERE, name), os.path.join(tmp, "rows")
                shutil.rmtree(to, ignore_errors=True)
                run("tune", own, tokens, "-o", to, *options, "method=" + method, more, "new_tokens=" + words)
                tokenizer = AutoTokenizer.from_pretrained(to)
                n = tokenizer(said)["input_ids"]
                assert len(tokenizer) == 43 and [i for i in n if i >= 40] == [40, 41, 42], n

                def said_by(model):
                    logp = model.double().eval()(input_ids=torch.tensor([n])).logits[0].log_softmax(-1)
                    return sum(float(logp[t, n[t + 1]]) for t in range(len(n) - 1))

                model = open_model(name).float()
                model.resize_token_embeddings(len(tokenizer))
                found = run("score", own, "--adapter", to, "--text", said)["logp"]
                compare(f"new tokens, {name}, {method} {more}", found, said_by(PeftModel.from_pretrained(model, to)))
                run("merge", own, "--adapter", to, "-o", to + "m", "--set", "type=f32")
                compare("merged", run("score", to + "m", "--text", said)["logp"],
                        said_by(AutoModelForCausalLM.from_pretrained(to + "m", dtype=torch.float32)))
                compare("merged and not", run("score", to + "m", "--text", said)["logp"], found)
                assert AutoTokenizer.from_pretrained(to + "m")(said)["input_ids"] == n
                shutil.rmtree(to + "m")
        run("tune", base, data, "-o", out + "p", *options, "method=prompt", "soft=7")
        model = PeftModel.from_pretrained(open_model("llama"), out + "p").double().eval()
        compare("prompt", run("score", base, "--adapter", out + "p", "--text", text)["logp"],
                logp_of(model(input_ids=torch.tensor([ids])).logits[0, 7:]))
        merged = os.path.join(tmp, "merged")
        run("merge", base, "--adapter", out, "-o", merged, "--set", "type=f32")
        whole = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).double().eval()
        compare("merged folder", run("score", merged, "--text", text)["logp"], logp_of(whole(input_ids=torch.tensor([ids])).logits[0]))
        from llama_cpp import Llama
        for kind in ("f32", "f16", "bf16", "q8_0", "q4_0"):
            path = os.path.join(tmp, kind + ".gguf")
            run("merge", base, "--adapter", out, "-o", path, "--set", "type=" + kind)
            peer = Llama(path, n_ctx=64, logits_all=True, verbose=False)
            assert peer.tokenize(text.encode(), add_bos=False) == ids, peer.tokenize(text.encode(), add_bos=False)
            peer.eval(ids)
            compare("merged.gguf " + kind, run("score", path, "--text", text)["logp"], logp_of(peer.scores[: len(ids)]), 5e-3)


if sys.argv[1:2] == ["--check"]:
    check(sys.argv[2])
else:
    for model_name in ("llama", "llama3", "qwen2", "qwen3"):
        full(model_name)
    adapter("lora", LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"]))
    for model_name in ("llama", "qwen2"):
        adapter(model_name + "head", LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=6, target_modules=["v_proj", "lm_head"]), base=model_name)
    rows("llamarows", LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=6, target_modules=["v_proj"],
                                 trainable_token_indices={"embed_tokens": INDICES, "lm_head": INDICES}), "llama", True)
    rows("qwen2rows", LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=6, target_modules=["v_proj"], trainable_token_indices=INDICES), "qwen2", False)
    rows("llamatokens", TrainableTokensConfig(task_type="CAUSAL_LM", target_modules=["embed_tokens", "lm_head"], token_indices=INDICES), "llama", False)
    rows("qwen2tokens", TrainableTokensConfig(task_type="CAUSAL_LM", target_modules=["embed_tokens"], token_indices=INDICES), "qwen2", True)
    rows("qwen2rowshead", LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=6, target_modules=["v_proj", "lm_head"],
                                     trainable_token_indices=INDICES), "qwen2", True)
    adapter("prompt", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), soft=3)
    bottleneck()

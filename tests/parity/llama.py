#!/usr/bin/env python3
"""Writes llama/, llama3/ (scaled rotation), qwen2/, qwen3/: small random decoders as Hugging Face folders, and llama.gguf: the first one in Q8_0 as the converter
to GGUF writes it (rows of q and k interleaved). Beside each, the logits that transformers gives in double for one text.
Needs torch, transformers, tokenizers, safetensors, gguf."""
import json
import os

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
IDS = [5, 17, 3, 3, 29, 11, 0, 36, 8, 21]
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
             max_position_embeddings=64, eos_token_id=1, bos_token_id=0, pad_token_id=None, attn_implementation="eager",
             initializer_range=0.02)
SPECIAL = ["<|im_start|>", "<|im_end|>"]
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endfor %}"
          "{{ '<|im_start|>assistant\\n' }}")


def vocabulary():
    """Two special tokens and single bytes as GPT-2 spells them: letters, space, newline; one merge."""
    pieces = SPECIAL + list("abcdefghijklmnopqrstuvwxyz") + ["\u0120", "\u010a", ".", "?", "A", "B", "C", "D", "E", "F", "G"]
    return pieces + ["th"], [("t", "h")]


def make_tokenizer(folder):
    pieces, merges = vocabulary()
    t = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(SPECIAL)
    t.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"chat_template": CHATML}, f, indent=1)
        f.write("\n")
    return len(pieces)


def fill(model):
    torch.manual_seed(11)
    for name, p in model.named_parameters():
        p.data = torch.randn_like(p) * 0.2 + (1 if "norm" in name else 0)


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS])).logits[0].float()


def folder(name, config, cls, dtype):
    path = os.path.join(HERE, name)
    os.makedirs(path, exist_ok=True)
    config.vocab_size = make_tokenizer(path)
    model = cls(config).eval()
    fill(model)
    model.to(dtype)
    model.save_pretrained(path)
    if os.path.exists(f"{path}/generation_config.json"):
        os.remove(f"{path}/generation_config.json")
    model = cls.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval().double()  # anew: .to() rounded angles, too
    save_file({"logits": logits(model).contiguous(), "ids": torch.tensor(IDS, dtype=torch.int32)}, f"{path}/expected.safetensors")
    return model


def interleave(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write_gguf(model, path):
    c, pieces, merges = model.config, *vocabulary()
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(c.max_position_embeddings)
    out.add_embedding_length(c.hidden_size)
    out.add_block_count(c.num_hidden_layers)
    out.add_feed_forward_length(c.intermediate_size)
    out.add_head_count(c.num_attention_heads)
    out.add_head_count_kv(c.num_key_value_heads)
    out.add_layer_norm_rms_eps(c.rms_norm_eps)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    out.add_vocab_size(c.vocab_size)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(pieces)
    out.add_token_types([gguf.TokenType.CONTROL] * len(SPECIAL) + [gguf.TokenType.NORMAL] * (len(pieces) - len(SPECIAL)))
    out.add_token_merges([" ".join(m) for m in merges])
    out.add_eos_token_id(1)
    out.add_chat_template(CHATML)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm", "model.layers.": "blk."}
    with torch.no_grad():
        for name, p in model.named_parameters():
            w = p.float().numpy()
            if w.ndim == 2:
                q = gguf.quants.quantize(w, gguf.GGMLQuantizationType.Q8_0)
                p.copy_(torch.from_numpy(gguf.quants.dequantize(q, gguf.GGMLQuantizationType.Q8_0)))
                heads = c.num_attention_heads if "q_proj" in name else c.num_key_value_heads if "k_proj" in name else 0
                if heads:
                    w = interleave(w, heads)
                q = gguf.quants.quantize(w, gguf.GGMLQuantizationType.Q8_0)
            for old, new in names.items():
                name = name.replace(old, new)
            if w.ndim == 2:
                out.add_tensor(name, q, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            else:
                out.add_tensor(name, w)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    save_file({"logits": logits(model).contiguous()}, path + ".expected.safetensors")


llama = folder("llama", LlamaConfig(tie_word_embeddings=False, rms_norm_eps=1e-5, **SIZES), LlamaForCausalLM, torch.float32)
# frequencies of 8 wide heads turn 20, 6.4, 2 and 0.64 times in 128 tokens: as they are, as they are, between, divided
folder("llama3", LlamaConfig(tie_word_embeddings=True, rope_parameters={
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128}, **SIZES), LlamaForCausalLM, torch.bfloat16)
folder("qwen2", Qwen2Config(tie_word_embeddings=True, rope_theta=1000000.0, **SIZES), Qwen2ForCausalLM, torch.bfloat16)
folder("qwen3", Qwen3Config(tie_word_embeddings=True, head_dim=16, **SIZES), Qwen3ForCausalLM, torch.float16)
write_gguf(llama, os.path.join(HERE, "llama.gguf"))

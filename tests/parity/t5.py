#!/usr/bin/env python3
"""Writes t5/ (relu, tied table) and t5v11/ (gated gelu, own output matrix, bf16, as many heads as do not fill the width): small random
T5s as Hugging Face folders with a Unigram tokenizer. Beside each: the encoder's states, the decoder's logits and greedy text that
transformers gives in double. Needs torch, transformers, tokenizers, safetensors."""
import json
import os

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import T5Config, T5ForConditionalGeneration

HERE = os.path.dirname(os.path.abspath(__file__))
N = 150  # tokens: distances in every bucket, the last one too
LENGTH = 40


def make_tokenizer(folder):
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)] + [(c, -4.0 - i / 10) for i, c in enumerate("abcdefghijklmnopqrstuvwxyz")]
    pieces += [("\u2581the", -3.0), ("\u2581c", -3.5), ("at", -3.2), (".", -5.0), ("\u2581a", -3.1), ("in", -4.0)]
    t = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    t.add_special_tokens(["<pad>", "</s>", "<unk>"])
    t.save(os.path.join(folder, "tokenizer.json"))
    return len(pieces)


def folder(name, dtype, **more):
    path = os.path.join(HERE, name)
    os.makedirs(path, exist_ok=True)
    vocab = make_tokenizer(path) + 4  # rows that no token has, as in the real ones
    config = T5Config(vocab_size=vocab, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_decoder_layers=2, decoder_start_token_id=0,
                      eos_token_id=1, pad_token_id=0, dropout_rate=0.0, **more)
    model = T5ForConditionalGeneration(config).eval()
    torch.manual_seed(5)
    for key, p in model.named_parameters():
        p.data = torch.randn_like(p) * (1.0 if "relative" in key or "shared" in key else 0.2) + (1 if "layer_norm" in key else 0)
    if not config.scale_decoder_outputs: # new versions tie and scale as they like: say what the files of v1.1 say
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.3)
    model.to(dtype).save_pretrained(path)
    with open(f"{path}/config.json") as f:
        written = json.load(f)
    written["tie_word_embeddings"] = written.pop("scale_decoder_outputs")
    with open(f"{path}/config.json", "w") as f:
        json.dump(written, f, indent=2)
        f.write("\n")
    for extra in ("generation_config.json",):
        if os.path.exists(f"{path}/{extra}"):
            os.remove(f"{path}/{extra}")
    model = model.double()
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, vocab - 4, (1, N), generator=generator)
    words = torch.cat([torch.zeros(1, 1, dtype=torch.long), torch.randint(3, vocab - 4, (1, LENGTH - 1), generator=generator)], 1)
    with torch.no_grad():
        states = model.encoder(input_ids=ids).last_hidden_state[0]
        logits = model(input_ids=ids, decoder_input_ids=words, use_cache=False).logits[0]
        greedy = model.generate(ids, max_new_tokens=LENGTH, do_sample=False, num_beams=1, use_cache=False)[0, 1:]
    save_file({"states": states.float().contiguous(), "logits": logits.float().contiguous(), "ids": ids[0].int().contiguous(),
               "words": words[0].int().contiguous(), "greedy": greedy.int().contiguous()}, f"{path}/expected.safetensors")
    print(name, config.scale_decoder_outputs, config.feed_forward_proj, greedy.tolist())


folder("t5", torch.float32, num_heads=4, feed_forward_proj="relu")
folder("t5v11", torch.bfloat16, num_heads=3, feed_forward_proj="gated-gelu", tie_word_embeddings=False)

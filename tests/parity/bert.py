#!/usr/bin/env python3
"""Writes bert/ and roberta/: small random encoders as sentence-transformers folders, with the vectors that transformers (in double)
and the formulas of sentence-transformers' modules give for a few texts. Needs torch, transformers, tokenizers, safetensors."""
import json
import os

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["a b c", "", "c", "d e f g h i j k a b c d e f g h i j k", "unknown words a", "b a", "k k k k k k k"]
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=16)


def put(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def make_tokenizer(folder, first, begin, end, pad):
    words = [pad, begin, end, "[UNK]"] if first == 0 else [begin, pad, end, "[UNK]"]
    vocab = {w: i for i, w in enumerate(words + list("abcdefghijk"))}
    t = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=[(w, vocab[w]) for w in (begin, end)])
    t.save(os.path.join(folder, "tokenizer.json"))
    return t, len(vocab)


def random_weights(model):
    torch.manual_seed(7)
    for name, p in model.named_parameters():
        p.data = torch.randn_like(p) * 0.3 + (1 if name.endswith("LayerNorm.weight") else 0)


def states(model, tokenizer, text, most):
    tokenizer.enable_truncation(most)
    ids = tokenizer.encode(text).ids
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).last_hidden_state[0]


def bert():
    folder = os.path.join(HERE, "bert")
    os.makedirs(folder, exist_ok=True)
    tokenizer, n = make_tokenizer(folder, 0, "[CLS]", "[SEP]", "[PAD]")
    model = BertModel(BertConfig(vocab_size=n, attn_implementation="eager", **SIZES), add_pooling_layer=False).double().eval()
    random_weights(model)
    model.float().save_pretrained(folder)
    model.double()
    put(f"{folder}/modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                                   {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                                   {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])
    put(f"{folder}/1_Pooling/config.json", {"word_embedding_dimension": 24, "pooling_mode_cls_token": False,
                                            "pooling_mode_mean_tokens": True})
    put(f"{folder}/sentence_bert_config.json", {"max_seq_length": 10, "do_lower_case": False})
    out = []
    for text in TEXTS:
        v = states(model, tokenizer, text, 10).mean(0)
        out.append(v / v.norm())
    save_file({"vectors": torch.stack(out).float()}, f"{folder}/expected.safetensors")


def roberta():
    folder = os.path.join(HERE, "roberta")
    os.makedirs(folder, exist_ok=True)
    tokenizer, n = make_tokenizer(folder, 1, "<s>", "</s>", "<pad>")
    config = RobertaConfig(vocab_size=n, pad_token_id=1, type_vocab_size=1, hidden_act="gelu_new", attn_implementation="eager", **SIZES)
    model = RobertaModel(config, add_pooling_layer=False).double().eval()
    random_weights(model)
    model.to(torch.bfloat16).save_pretrained(folder)
    # a class's prefix and old names of norms, as dumps of the first years have them
    weights = {"roberta." + k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in load_file(f"{folder}/model.safetensors").items()}
    save_file(weights, f"{folder}/model.safetensors")
    model.double()
    names = ["Transformer", "Pooling", "Dense"]
    put(f"{folder}/modules.json", [{"idx": i, "name": str(i), "path": f"{i}_{k}" if i else "", "type": f"sentence_transformers.models.{k}"}
                                   for i, k in enumerate(names)])
    put(f"{folder}/1_Pooling/config.json", {"word_embedding_dimension": 24, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": True,
                                            "pooling_mode_mean_tokens": True, "pooling_mode_mean_sqrt_len_tokens": True,
                                            "pooling_mode_weightedmean_tokens": True, "pooling_mode_lasttoken": True})
    put(f"{folder}/2_Dense/config.json", {"in_features": 144, "out_features": 5, "bias": True,
                                          "activation_function": "torch.nn.modules.activation.Tanh"})
    w, b = torch.randn(5, 144) * 0.1, torch.randn(5)
    save_file({"linear.weight": w, "linear.bias": b}, f"{folder}/2_Dense/model.safetensors")
    out = []
    for text in TEXTS:
        h = states(model, tokenizer, text, 14)  # positions 2 .. 15
        n = h.shape[0]
        t = torch.arange(1, n + 1).double()[:, None]
        v = torch.cat([h[0], h.max(0).values, h.mean(0), h.sum(0) / n ** 0.5, (t * h).sum(0) / t.sum(), h[-1]])
        out.append(torch.tanh(w.double() @ v + b.double()))
    save_file({"vectors": torch.stack(out).float()}, f"{folder}/expected.safetensors")


bert()
roberta()

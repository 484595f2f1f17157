#!/usr/bin/env python3
"""Writes prompts/: a small random encoder as a sentence-transformers folder with prompts that are not pooled, lower case and a pooler behind
its first token; with the vectors that sentence-transformers gives, and hidden states of every layer by transformers, of it and of llama/,
qwen3/ and t5/. And bert.gguf: bert/ (bert.py) under the names that llama.cpp's converter gives. Needs gguf, torch, transformers, sentence-transformers, tokenizers, safetensors."""
import os

import gguf
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, BertConfig, BertModel, PreTrainedTokenizerFast, T5EncoderModel

from bert import HERE, put, random_weights

FOLDER = os.path.join(HERE, "prompts")
TEXTS = ["a b c", "", "C", "d e F g h i j k a b c d e f g h", "A \u00c9 a"]
PROMPTS = {"query": "a B ", "document": "", "long": "a b c d e f g h i j k a b c "}
IDS = {"llama": [5, 17, 3, 3, 29], "qwen3": [5, 17, 3, 3, 29], "t5": [5, 17, 3, 3, 29]}


def make():
    os.makedirs(FOLDER, exist_ok=True)
    vocab = {w: i for i, w in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]"] + list("abcdefghijk") + ["\u00e9"])}
    t = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    fast.save_pretrained(FOLDER)
    model = BertModel(BertConfig(vocab_size=len(vocab), hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40,
                                 max_position_embeddings=16, attn_implementation="eager")).eval()
    random_weights(model)
    model.save_pretrained(FOLDER)
    put(f"{FOLDER}/modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                                   {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])
    put(f"{FOLDER}/1_Pooling/config.json", {"word_embedding_dimension": 24, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": True,
                                            "pooling_mode_mean_tokens": True, "pooling_mode_mean_sqrt_len_tokens": False,
                                            "pooling_mode_weightedmean_tokens": True, "pooling_mode_lasttoken": True, "include_prompt": False})
    put(f"{FOLDER}/sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": True})
    put(f"{FOLDER}/config_sentence_transformers.json", {"prompts": PROMPTS, "default_prompt_name": "query", "similarity_fn_name": "cosine"})


def write_gguf(path):
    """WordPiece in place of bert/'s words: of single letters the same, with the mark that the converter puts before whole words."""
    out = gguf.GGUFWriter(path, "bert")
    out.add_context_length(16)
    out.add_embedding_length(24)
    out.add_block_count(2)
    out.add_feed_forward_length(40)
    out.add_head_count(3)
    out.add_layer_norm_eps(1e-12)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("jina-v2-en")
    out.add_token_type_count(2)
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    out.add_token_list(special + ["\u2581" + c for c in "abcdefghijk"])
    out.add_token_types([gguf.TokenType.CONTROL] * 4 + [gguf.TokenType.NORMAL] * 11)
    out.add_unk_token_id(3)
    out.add_bos_token_id(1)
    out.add_sep_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, 2)
    for name, w in load_file(os.path.join(HERE, "bert", "model.safetensors")).items():
        base, end = name.rsplit(".", 1)
        if base.startswith("pooler"):
            continue
        out.add_tensor(f"{names.get_name(base)}.{end}", w.float().numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    make()
    write_gguf(os.path.join(HERE, "bert.gguf"))
    model = SentenceTransformer(FOLDER, device="cpu").double()
    out = {"default": model.encode(TEXTS, convert_to_tensor=True)}
    for name in PROMPTS:
        out[name] = model.encode(TEXTS, prompt_name=name, convert_to_tensor=True)
    out["own"] = model.encode(TEXTS, prompt="k b ", convert_to_tensor=True)

    bert = AutoModel.from_pretrained(FOLDER, attn_implementation="eager").double().eval()
    ids = torch.tensor([[1, 4, 5, 6, 2]])  # "a b c"
    with torch.no_grad():
        of = bert(input_ids=ids, output_hidden_states=True)
    out["layers"] = torch.stack([h[0].mean(0) for h in of.hidden_states])
    out["cls_tanh"] = of.pooler_output[0]
    first, second, last = of.hidden_states[1][0], of.hidden_states[-2][0], of.hidden_states[-1][0]
    out["avg_first_last"] = ((first + last) / 2).mean(0)
    out["avg_top2"] = ((second + last) / 2).mean(0)
    weight = torch.arange(1, 6).double()
    out["weightedmean"] = (last * weight[:, None]).sum(0) / weight.sum()
    out["mean_sqrt"] = last.sum(0) / 5 ** 0.5
    for name, ids in IDS.items():
        model = (T5EncoderModel if name == "t5" else AutoModel).from_pretrained(os.path.join(HERE, name), dtype=torch.float32, attn_implementation="eager")
        model = model.double().eval()
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        if name != "t5":  # every token sees all: a mask of its own, of zeros
            mask = torch.zeros(1, 1, len(ids), len(ids), dtype=torch.float64)
            with torch.no_grad():
                both = model(input_ids=torch.tensor([ids]), attention_mask=mask, output_hidden_states=True).hidden_states
            out[f"{name}.both"] = torch.stack([h[0].mean(0) for h in both])
        out[f"{name}.ids"] = torch.tensor(ids, dtype=torch.int32)
        out[f"{name}.layers"] = torch.stack([h[0] for h in states])
    save_file({k: v if k.endswith("ids") else v.float().contiguous() for k, v in out.items()}, f"{FOLDER}/expected.safetensors")


if __name__ == "__main__":
    main()

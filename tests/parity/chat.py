"""Conversations as transformers writes them with the templates of some chat models (what they say of tools left out), for chat.c:
    python3 tests/parity/chat.py
writes tests/parity/chat: a small model with the tokens of all of them, and cases.json."""
import json
import os

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat")
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
THINK = ["<think>", "</think>"]
MERGES = [("\u010a", "\u010a"), ("t", "h"), ("th", "e"), ("u", "s"), ("us", "er"), ("e", "r"), ("<", "|"), ("|", ">"), ("\u0120", "a")]

LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
          "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
          "{% endif %}{{ content }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}")
LLAMA31 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
QWEN3 = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
           "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
           "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
GRITLM = ("{{ '<s>' }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
          "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n' + message['content'] + '</s>\n' }}{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")
ZEPHYR = "{% for m in messages %}{{ '<|user|>' if m.role == 'user' else '<|system|>' if m.role == 'system' else '<|assistant|>' }}{% endfor %}"

SYSTEM, USER = {"role": "system", "content": " the system\n"}, {"role": "user", "content": "\tuse a th\u00e9  \n"}
TALKS = [[USER], [SYSTEM, USER], [USER, {"role": "assistant", "content": " er..."}, {"role": "user", "content": "the\n\n"}]]


def tokenizer():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = SPECIAL + letters
    pieces += [a + b for a, b in MERGES]
    merges = [m for m in MERGES if m[0] in pieces and m[1] in pieces]
    t = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens(SPECIAL)
    t.add_tokens(THINK)
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return t


def main():
    os.makedirs(HERE, exist_ok=True)
    t = tokenizer()
    t.save(os.path.join(HERE, "tokenizer.json"))
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=t.get_vocab_size(), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                         num_attention_heads=1, num_key_value_heads=1, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1))
    model.save_pretrained(HERE)
    os.remove(os.path.join(HERE, "generation_config.json"))
    cases = []
    for name, template, bos, end in [("llama3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>"), ("llama3.1", LLAMA31, "<|begin_of_text|>", "<|eot_id|>"),
                                     ("qwen3", QWEN3, "<s>", "<|im_end|>"), ("smollm2", SMOLLM2, "<s>", "<|im_end|>"), ("gritlm", GRITLM, "<s>", "</s>"),
                                     ("zephyr", ZEPHYR, "<s>", None)]:
        fast = PreTrainedTokenizerFast(tokenizer_object=t, bos_token=bos, eos_token="</s>", chat_template=template)
        case = {"name": name, "template": template, "end": t.token_to_id(end) if end else -1, "talks": []}
        for talk in TALKS:
            if end is None or (name == "gritlm" and talk[0] is SYSTEM):
                continue
            of = {"messages": talk, "tokens": fast.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)}
            if name == "qwen3":
                of["quick"] = fast.apply_chat_template(talk, add_generation_prompt=True, enable_thinking=False, return_dict=False)
            case["talks"].append(of)
        cases.append(case)
    with open(os.path.join(HERE, "cases.json"), "w") as f:
        json.dump(cases, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()

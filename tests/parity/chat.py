"""Conversations as transformers writes them with the templates of some chat models (what most say of tools left out), for chat.c:
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
QWEN3 = r"""{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(
            message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' +
                    content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""
SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
           "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
           "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
GRITLM = ("{{ '<s>' }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
          "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n' + message['content'] + '</s>\n' }}{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")
ZEPHYR = ("{% for m in messages %}\n{{ '<|user|>\n' if m.role == 'user' else '<|system|>\n' if m.role == 'system' else '<|assistant|>\n' }}"
          "{{ m.content + eos_token }}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")
TURN = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
BOS_FIRST = "{{bos_token}}{% for message in messages %}" + TURN + "{% endfor %}" + ASK  # Hermes 2 Pro
OWN_SYSTEM = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Hermes 3"
              "<|im_end|>\n' }}{% endif %}" + TURN + "{% endfor %}" + ASK)
PLAIN_SYSTEM = ("{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% endif %}"
                "{% if system_message is defined %}{{ system_message }}{% endif %}{% for message in messages %}"
                "{% set content = message['content'] %}{% if message['role'] == 'user' %}"
                "{{ '<|im_start|>user\n' + content + '<|im_end|>\n<|im_start|>assistant\n' }}{% elif message['role'] == 'assistant' %}"
                "{{ content + '<|im_end|>' + '\n' }}{% endif %}{% endfor %}")  # Yi 1.5
TRIM = "{% for message in messages %}" + TURN.replace("message['content']", "message['content'] | trim") + "{% endfor %}" + ASK
NO_LINE = "{% for message in messages %}" + TURN.replace(" + '\n'}}", "}}") + "{% endfor %}" + ASK
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}"
          "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
          "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
          "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + "
          "message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
          "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + "
          "eos_token }}{% endif %}{% endfor %}")

SYSTEM, USER = {"role": "system", "content": " the system\n"}, {"role": "user", "content": "\tuse a th\u00e9  \n"}
ANSWER = {"role": "assistant", "content": "use the er"}
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
                                     ("qwen3", QWEN3, "<s>", "<|im_end|>"), ("smollm2", SMOLLM2, "<s>", "<|im_end|>"),
                                     ("gritlm", GRITLM, "<s>", "</s>"), ("zephyr", ZEPHYR, "<s>", "</s>"),
                                     ("bos first", BOS_FIRST, "<s>", "<|im_end|>"),
                                     ("own system", OWN_SYSTEM, "<s>", "<|im_end|>"), ("plain system", PLAIN_SYSTEM, "<s>", "<|im_end|>"),
                                     ("trim", TRIM, "<s>", "<|im_end|>"), ("no line", NO_LINE, "<s>", "<|im_end|>"),
                                     ("llama2", LLAMA2, "<s>", "</s>")]:
        fast = PreTrainedTokenizerFast(tokenizer_object=t, bos_token=bos, eos_token="</s>", chat_template=template)
        case = {"name": name, "template": template, "bos": bos, "end": t.token_to_id(end), "talks": []}
        for talk in TALKS:
            if name == "gritlm" and talk[0] is SYSTEM:
                continue
            of = {"messages": talk, "tokens": fast.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)}
            if name == "qwen3":
                of["quick"] = fast.apply_chat_template(talk, add_generation_prompt=True, enable_thinking=False, return_dict=False)
            answered = talk + [ANSWER]
            of["answered"] = fast.apply_chat_template(answered, add_generation_prompt=False, return_dict=False)
            case["talks"].append(of)
        cases.append(case)
    with open(os.path.join(HERE, "cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()

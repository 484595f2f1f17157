"""What Jinja, set up as transformers does for chat templates, writes of templates and conversations, for jinja.c:
    python3 tests/parity/jinja.py FOLDER_OF_QWEN3
writes tests/parity/jinja.json. The folder's tokenizer_config.json has the template of Qwen3 with all that it says of tools."""
import json
import os
import sys

import chat
from transformers.utils.chat_template_utils import _compile_jinja_template

QWEN25 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\n" }}{{- "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or
           (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.arguments | tojson }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
MISTRAL = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- This block checks for alternating user/assistant messages, skipping tool calling messages #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- endif %}
                {%- endfor %}
            {%- endfor %}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
"""
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"







  "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}"
         "{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
         "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
         "{{'<start_of_turn>model\n'}}{% endif %}")
ALL = r"""{# comment #}
  {% set ns = namespace(a=1, b='x') %}
{%+ if true %} kept {% endif +%}
 x
{% macro greet(who, mark='!') -%}
hello {{ who }}{{ mark }}
{%- endmacro %}
{{ greet('a') }}|{{ greet('b', mark='?') }}|{{ greet(who='c') }}
{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }}:{{ m.content[1:3] }}|{{ m['content'][-1] }}
|{{ m.content.split('h') | join('+') }}|{{ m.content.split() | join('_') }}{% if loop.index == 2 %}{% break %}{% endif %}
{% else %}none{% endfor %}
{%- for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}
{% set x %}block {{ ns.b }}{% endset %}[{{ x }}]{% set ns.b = ns.b ~ 1 ~ true ~ none %}{{ ns.b }}
{{ 'a' 'b' "c\u00e9\x41" }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 2 - 5 + 1 * 3 }} {{ 'x' if messages|length > 1 else 'y' }}
{{ ('a' in 'abc') and not ('z' in ['z']) }} {{ 1 < 2 < 3 }} {{ nope | default('dd') }} {{ nope.x if nope is defined else 'und' }}
{{ [1,2,3][::-1][0] }}{{ {'k': 'v'}.k }}{{ {'k': 'v'}['k'] }}{{ {'k':'v'}.get('z', 'q') }}
{% for k, v in {'p': 1, 'q': 2}.items() %}{{ k }}={{ v }},{% endfor %}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ 'AbC dE'.title() }} {{ 'abC'|upper }}
{{ 'abC'.capitalize() }} {{ messages[0].content is string }} {{ '' or 'e' }} {{ 'aXbX'.replace('X', 'yy') }}
{{ '--a--'.strip('-') }} {{ 'a.b'.startswith(('x', 'a')) }} {{ loop is defined }}
{% generation %}g{% endgeneration %} {{ messages[:1][0].role }} {{ (messages|last).role }} {{ 3 is odd }} {{ true is boolean }}
{{ [] is iterable }}
{% if messages[0].role == 'user' -%}
   U
{%- elif messages[0].role == 'system' %}
   S
{% else %}
   A
{% endif %}
end

"""
TALKS = [[("user", "hi")], [("system", " Be brief.\n"), ("user", "\thi th\u00e9 \u00a0\u3000")],
         [("user", "a"), ("assistant", " b \n"), ("user", "c")],
         [("user", "hello h"), ("assistant", "<think>\nx\n</think>\n\nyes"), ("user", "h"), ("assistant", "ok")],
         [("system", "s"), ("user", "a"), ("assistant", "b"), ("assistant", "<think>\nq\n</think>\nc"), ("user", ""), ("system", "late")]]


def main():
    with open(os.path.join(sys.argv[1], "tokenizer_config.json")) as f:
        qwen3 = json.load(f)["chat_template"]
    cases = []
    for template in [qwen3, QWEN25, MISTRAL, GEMMA, ALL, chat.LLAMA31, chat.SMOLLM2, chat.PLAIN_SYSTEM, chat.LLAMA2, chat.ZEPHYR]:
        jinja, runs = _compile_jinja_template(template), []
        for i, talk in enumerate(TALKS):
            for answer in (False, True):
                for quick in (False, True) if "enable_thinking" in template else (False,):
                    messages = [{"role": r, "content": c} for r, c in talk]
                    more = {"enable_thinking": False} if quick else {}
                    try:
                        text = jinja.render(messages=messages, tools=None, documents=None, add_generation_prompt=answer, bos_token="<s>",
                                            eos_token="</s>", **more)
                    except Exception as e:
                        text = {"refuses": str(e)}
                    runs.append([i, answer, quick, text])
        cases.append({"template": template, "runs": runs})
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja.json"), "w") as f:
        f.write('{"talks": ' + json.dumps(TALKS) + ',\n"cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main()

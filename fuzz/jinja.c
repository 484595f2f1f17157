/* jinja.c - any bytes as a chat template, the rest as what a user says: a text whose bytes know who said them, or an error of one line. */
#include "fuzz.h"

#include "base/utf8.h"
#include "text/jinja.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = size ? memchr(text, 0, size) : NULL; /* a template, a zero byte, what is said */
    const size_t head = end ? (size_t)(end - text) : size;
    sg_jinja_turn turn[] = {
        {"system", {"be brief", 8}}, {"user", {"hi", 2}}, {"assistant", {"<think>\nx\n</think>\n\nyes", 22}}};
    const sg_jinja_vars vars = {
        .turn = turn, .n = 3, .answer = size & 1, .no_thinking = size & 2, .bos = "<s>", .eos = "</s>"};
    sg_jinja_out out = {0};
    sg_error err = {0};

    if (end && sg_utf8_valid(end + 1, size - head - 1))
        turn[1].text = (sg_bytes){end + 1, size - head - 1};
    if (sg_jinja_render(&out, (sg_bytes){text, head}, &vars, &err))
        FUZZ_CHECK(*err.message && !strchr(err.message, '\n'));
    else
        FUZZ_CHECK(out.text.size == out.said.size && sg_utf8_valid(out.text.data, out.text.size));
    for (size_t i = 0; i < out.said.size; i++)
        FUZZ_CHECK((uint8_t)out.said.data[i] <= 3);
    sg_jinja_out_free(&out);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "{{ bos_token }}{%- for m in messages %}\n{% if m.role != 'system' and loop.index0 % 2 == 1 -%}\n {{ "
        "'<|' ~ m['role'] + '|>' }}"
        "{%- elif not m.content %}{% else %}{{- m.content | trim }}{% endif %}\n{% endfor %}{# end #}",
        "{% set ns = namespace(n=messages | length - 1, q='\\u00e9\\x41\\n') %}{% for m in messages[::-1] if "
        "m.role == 'user' %}"
        "{% set ns.n = ns.n - 1 %}"
        "{% if ns.n < 0 %}{% break %}{% endif %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% endfor "
        "%}{{ ns.n }}",
        "{% macro f(a, b='x') %}{{ a ~ b | default('y') }}{% endmacro %}{% set t %}{{ f('1', b=2 if "
        "add_generation_prompt else none) }}{% endset %}"
        "{{ t.replace('1', 'one').title() }}{{ {'k': [1, 2][0]}.k in (1, 2) }}"
        "{{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content[1:] }}",
        ("{% for k, v in {'a': 'b'}.items() %}{{ k }}{{ v }}{% else %}{{ raise_exception('no') }}{% endfor "
         "%}{{ range(3) | join('-') }}"),
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    sg_buf_putc(out, 0);
    sg_buf_puts(out, "what \xc3\xa4 user <|im_end|> says");
    return true;
}

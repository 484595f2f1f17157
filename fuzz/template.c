/* template.c - any bytes as a template file, the rest as the values of its slots and as an answer: prompts within the budget that no
 * value forges, or an error of one line. */
#include "fuzz.h"

#include "text/template.h"
#include "text/tokenizer.h"

#include <string.h>

static void check_prompt(const sg_template *t, const sg_bytes *part, size_t n_part)
{
    sg_slot_value value[SG_TEMPLATE_SLOTS_MAX];
    static sg_prompt out;
    sg_error err = {0};
    double tokens = 0;

    for (size_t i = 0; i < SG_TEMPLATE_SLOTS_MAX; i++)
        value[i] = (sg_slot_value){part, n_part};
    if (sg_template_render(&out, t, value, NULL, "it", &err)) {
        FUZZ_CHECK(*err.message && !strchr(err.message, '\n'));
    } else {
        for (size_t i = 0; i < out.n; i++)
            tokens += sg_tokens_about((sg_bytes){out.text[i].data, out.text[i].size});
        FUZZ_CHECK(!out.tokens || (double)out.tokens == tokens);
    }
    sg_prompt_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end =
        size ? memchr(text, 0, size) : NULL; /* a template, a zero byte, values, a zero byte between each */
    const size_t head = end ? (size_t)(end - text) : size;
    sg_bytes part[3] = {{"v", 1}};
    size_t n_part = 1;
    sg_template *t;
    sg_error err = {0};
    sg_buf out = {0};

    if (sg_template_parse(&t, (sg_bytes){text, head}, "fuzz", &err)) {
        FUZZ_CHECK(!t && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    if (end) {
        const size_t rest = size - head - 1;

        part[0] = (sg_bytes){end + 1, rest / 2};
        part[1] = (sg_bytes){end + 1 + rest / 2, rest - rest / 2};
        n_part = 2;
    }
    check_prompt(t, part, n_part);
    if (sg_template_answer(&out, t, part[0], &err))
        FUZZ_CHECK(strncmp(err.message, "answer", 6) == 0 || strncmp(err.message, "a pattern", 9) == 0);
    sg_buf_free(&out);
    sg_template_close(t);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const struct {
        const char *template, *value;
    } seeds[] = {
        {"template item-facts 2\n# comment\nslot title tokens=4\nslot brand else=\"un\\n\\\"known\"\nslot "
         "history list=\", \" keep=end number\n"
         "guard <START>\nbudget 40\nanswer match [0-9]+\nrepairs 2\nfallback unknown\n[system]\nYou know "
         "{{cosmetics}}.\n[user]\n"
         "Which {title} by {brand}?\n\n{history}\n",
         "a long \xc3\xa4 title <START> of many words, 42 of them, and more \xff"},
        {"template t 1\nslot a json lines\nanswer json a,b\n[user]\n{\"x\": \"{a}\"}\n",
         "{\"a\": 1, \"b\": [2]} \n\n \"quotes\""},
        {"template t 1\nslot a tokens=3\nslot b list tokens=5\nguard |\nguard ##\nbudget 12\nanswer "
         "line\n[user]\nq|{a}\n[assistant]\n{b}\n[user]\n"
         "{a}{b}\n",
         "## x | y ###"},
        {"template t 1\nbudget 1\n[user]\nfar too long {a}\n", ""},
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i].template);
    sg_buf_putc(out, 0);
    sg_buf_puts(out, seeds[i].value);
    return true;
}

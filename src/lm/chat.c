/* chat.c - ChatML:  <|im_start|>ROLE \n TEXT <|im_end|> \n  a turn, then <|im_start|>assistant \n.
 *
 * A template in a model's file is a program in Jinja; known ones are recognised by what they contain, and written out here. */
#include "lm/chat.h"

#include "base/alloc.h"

#include <string.h>

#define START "<|im_start|>"
#define END   "<|im_end|>"

static bool add(sg_token_list *out, const int32_t *id, size_t n)
{
    if (!sg_grow(&out->id, &out->cap, out->n + n, sizeof *out->id))
        return false;
    if (n)
        memcpy(out->id + out->n, id, n * sizeof *id);
    out->n += n;
    return true;
}

static sg_status encode(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, const sg_encode_how *how,
                        sg_error *err)
{
    sg_encoder *e;
    const int32_t *id;
    size_t n;
    sg_status st = sg_encoder_new(&e, t, err);

    if (!st && !(st = sg_encoder_run(&id, &n, e, text, how, err)) && !add(out, id, n))
        st = sg_fail_memory(err, "tokens");
    sg_encoder_free(e);
    return st;
}

sg_status sg_text_tokens(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, bool literal,
                         sg_error *err)
{
    return encode(out, t, text, &(sg_encode_how){.literal = literal}, err);
}

sg_status sg_bare_tokens(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, sg_error *err)
{
    return encode(out, t, text, &(sg_encode_how){.bare = true, .literal = true}, err);
}

int32_t sg_chat_end(const sg_llama *m)
{
    return strstr(sg_llama_chat_template(m), START)
               ? sg_tokenizer_find(sg_llama_tokenizer(m), (sg_bytes){END, strlen(END)})
               : -1;
}

/* <|im_start|>, then "ROLE\nTEXT" as one text, since a tokenizer may join what stands at the seam. */
static sg_status add_turn(sg_token_list *out, const sg_tokenizer *t, const char *role, sg_bytes text,
                          bool closed, sg_error *err)
{
    const int32_t start = sg_tokenizer_find(t, (sg_bytes){START, strlen(START)}),
                  end = sg_tokenizer_find(t, (sg_bytes){END, strlen(END)});
    const sg_encode_how how = {.bare = true, .literal = true};
    sg_buf b = {0};
    sg_status st;

    sg_buf_puts(&b, role);
    sg_buf_putc(&b, '\n');
    sg_buf_add(&b, text.data, text.size);
    if (b.failed || !add(out, &start, 1))
        st = sg_fail_memory(err, "tokens");
    else if (!(st = encode(out, t, (sg_bytes){b.data, b.size}, &how, err)) && closed) {
        if (!add(out, &end, 1))
            st = sg_fail_memory(err, "tokens");
        else
            st = encode(out, t, (sg_bytes){"\n", 1}, &how, err);
    }
    sg_buf_free(&b);
    return st;
}

sg_status sg_chat_tokens(sg_token_list *out, const sg_llama *m, const sg_turn *turn, size_t n, sg_error *err)
{
    static const char *const systems[] = {
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        "You are a helpful assistant."};
    const char *template = sg_llama_chat_template(m), *system = NULL;
    const sg_tokenizer *t = sg_llama_tokenizer(m);
    sg_status st = SG_OK;

    if (!strstr(template, START) || sg_chat_end(m) < 0 ||
        sg_tokenizer_find(t, (sg_bytes){START, strlen(START)}) < 0)
        return sg_fail(err, SG_ERR_MISSING, "expected a model with a ChatML template, found %s",
                       *template ? "another template" : "no template");
    for (size_t i = 0; i < sizeof systems / sizeof *systems && !system; i++)
        if (strstr(template, systems[i]))
            system = systems[i];
    if (system && (n == 0 || strcmp(turn[0].role, "system") != 0))
        st = add_turn(out, t, "system", (sg_bytes){system, strlen(system)}, true, err);
    for (size_t i = 0; i < n && !st; i++)
        st = add_turn(out, t, turn[i].role, turn[i].text, true, err);
    return st ? st : add_turn(out, t, "assistant", (sg_bytes){"", 0}, false, err);
}

/* chat.c - conversations in the forms of some chat models:
 *
 *   ChatML   <|im_start|>ROLE \n TEXT <|im_end|> \n                              a turn, then <|im_start|>assistant \n
 *   Llama 3  <|begin_of_text|>, then <|start_header_id|>ROLE<|end_header_id|> \n\n TEXT <|eot_id|>, TEXT without white space around it
 *   GritLM   <s>, then <|user|> \n TEXT \n <|assistant|> \n TEXT </s> \n, the names of turns being text and no tokens
 *
 * A template in a model's file is a program in Jinja; known ones are recognised by what they contain, and written out here. */
#define _GNU_SOURCE /* memmem */
#include "lm/chat.h"

#include "base/alloc.h"

#include <string.h>

#define SPACES    " \t\n\v\f\r"
#define USER      "<|user|>"
#define ASSISTANT "<|assistant|>"

typedef struct form {
    const char *sign, *not;   /* what a template of this form contains, and what it does not */
    const char *first;        /* token in front of all; NULL: none */
    const char *start, *head; /* tokens in front of the role and behind it; NULL: none */
    const char *gap;          /* text in front of what a turn says */
    const char *end, *after;  /* the token that ends a turn, and the text behind it */
    bool trims;
} form;

static const form forms[] = {
    {"<|im_start|>", "<|im_sep|>", NULL, "<|im_start|>", NULL, "\n", "<|im_end|>", "\n", false},
    {"<|start_header_id|>", "<|python_start|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "\n\n", "<|eot_id|>", "", true},
    {USER, "<|end|>", NULL, NULL, NULL, "\n", "</s>", "\n", false}, /* GritLM */
};

static sg_bytes bytes_of(const char *text)
{
    return (sg_bytes){text, strlen(text)};
}

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

/* NULL: none that is known. */
static const form *form_of(const sg_llama *m)
{
    const char *template = sg_llama_chat_template(m);

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strstr(template, forms[i].sign) && !strstr(template, forms[i].not))
            return forms[i].start || !strstr(template, "<|system|>") ? &forms[i] : NULL; /* Zephyr names turns as GritLM does, a system too */
    return NULL;
}

static int32_t find(const sg_llama *m, const char *token)
{
    return sg_tokenizer_find(sg_llama_tokenizer(m), bytes_of(token));
}

int32_t sg_chat_end(const sg_llama *m)
{
    const form *f = form_of(m);

    return f ? find(m, f->end) : -1;
}

static sg_status add_token(sg_token_list *out, const sg_llama *m, const char *token, sg_error *err)
{
    const int32_t id = find(m, token);

    if (id < 0)
        return sg_fail(err, SG_ERR_MISSING, "the model's chat template needs the token %s, which its tokenizer does not have", token);
    return add(out, &id, 1) ? SG_OK : sg_fail_memory(err, "tokens");
}

static sg_bytes trimmed(sg_bytes text)
{
    while (text.size && strchr(SPACES, text.data[text.size - 1]) && text.data[text.size - 1])
        text.size--;
    while (text.size && strchr(SPACES, *text.data) && *text.data) {
        text.data++;
        text.size--;
    }
    return text;
}

/* What stands between two tokens is one text, since a tokenizer may join what stands at a seam. open: the head of an answer. */
static sg_status add_turn(sg_token_list *out, const sg_llama *m, const form *f, const char *role, const char *front, sg_bytes text, bool open,
                          sg_error *err)
{
    const sg_tokenizer *t = sg_llama_tokenizer(m);
    sg_buf b = {0};
    sg_status st = add_token(out, m, f->start, err);

    text = f->trims ? trimmed(text) : text;
    if (!st && f->head) {
        if (!(st = sg_bare_tokens(out, t, bytes_of(role), err)))
            st = add_token(out, m, f->head, err);
    } else {
        sg_buf_puts(&b, role);
    }
    sg_buf_puts(&b, f->gap);
    sg_buf_puts(&b, front);
    sg_buf_add(&b, text.data, text.size);
    if (!st && b.failed)
        st = sg_fail_memory(err, "tokens");
    if (!st)
        st = sg_bare_tokens(out, t, (sg_bytes){b.data, b.size}, err);
    if (!st && !open && !(st = add_token(out, m, f->end, err)) && *f->after)
        st = sg_bare_tokens(out, t, bytes_of(f->after), err);
    sg_buf_free(&b);
    return st;
}

/* Turns between special tokens. */
static sg_status add_turns(sg_token_list *out, const sg_llama *m, const form *f, const sg_turn *turn, size_t n, sg_error *err)
{
    static const char *const systems[] = {
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        "You are a helpful assistant."};
    const char *template = sg_llama_chat_template(m), *system = NULL, *dates = "";
    const bool own = n > 0 && strcmp(turn[0].role, "system") == 0;
    sg_status st = f->first ? add_token(out, m, f->first, err) : SG_OK;

    for (size_t i = 0; i < sizeof systems / sizeof *systems && !system; i++)
        if (strstr(template, systems[i]))
            system = systems[i];
    if (strstr(template, "Cutting Knowledge Date: December 2023")) { /* Llama 3.1 to 3.3: the day that stands in the template, not today */
        dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
        system = "";
    }
    if (!st && (own || system))
        st = add_turn(out, m, f, "system", dates, own ? turn[0].text : bytes_of(system), false, err);
    for (size_t i = own; i < n && !st; i++)
        st = add_turn(out, m, f, turn[i].role, "", turn[i].text, false, err);
    return st ? st : add_turn(out, m, f, "assistant", "", (sg_bytes){"", 0}, true, err);
}

/* Where names of turns are text, a text that spells one would forge a turn. */
static bool names_a_turn(sg_bytes text)
{
    return memmem(text.data, text.size, USER, strlen(USER)) || memmem(text.data, text.size, ASSISTANT, strlen(ASSISTANT));
}

/* Runs of turns up to an assistant's end are one text. */
static sg_status add_named_turns(sg_token_list *out, const sg_llama *m, const form *f, const sg_turn *turn, size_t n, sg_error *err)
{
    const sg_encode_how how = {.literal = true};
    const sg_tokenizer *t = sg_llama_tokenizer(m);
    bool first = true; /* with what the tokenizer puts in front of a text */
    sg_buf b = {0};
    sg_status st = SG_OK;

    for (size_t i = 0; i <= n && !st; i++) {
        const bool user = i < n && strcmp(turn[i].role, "user") == 0;

        if (i < n && !user && strcmp(turn[i].role, "assistant") != 0) {
            st = sg_fail(err, SG_ERR_USAGE, "the model's chat template knows turns of the user and the assistant alone, found %.40s", turn[i].role);
            break;
        }
        if (i < n && names_a_turn(turn[i].text)) {
            st = sg_fail(err, SG_ERR_USAGE, "expected a text without " USER " and " ASSISTANT ", the names of turns in this model's template");
            break;
        }
        sg_buf_puts(&b, user ? USER : ASSISTANT);
        sg_buf_puts(&b, f->gap);
        if (i < n)
            sg_buf_add(&b, turn[i].text.data, turn[i].text.size);
        if (user) {
            sg_buf_puts(&b, f->gap);
            continue;
        }
        if (b.failed)
            st = sg_fail_memory(err, "tokens");
        else if (first)
            st = encode(out, t, (sg_bytes){b.data, b.size}, &how, err);
        else
            st = sg_bare_tokens(out, t, (sg_bytes){b.data, b.size}, err);
        if (!st && i < n)
            st = add_token(out, m, f->end, err);
        first = false;
        b.size = 0;
        sg_buf_puts(&b, f->after);
    }
    sg_buf_free(&b);
    return st;
}

sg_status sg_chat_tokens(sg_token_list *out, const sg_llama *m, const sg_turn *turn, size_t n, sg_error *err)
{
    const form *f = form_of(m);

    if (!f)
        return sg_fail(err, SG_ERR_MISSING, "expected a model with the chat template of ChatML, Llama 3 or GritLM, found %s",
                       *sg_llama_chat_template(m) ? "another template" : "no template");
    return (f->start ? add_turns : add_named_turns)(out, m, f, turn, n, err);
}

sg_status sg_chat_no_thinking(sg_token_list *out, const sg_llama *m, sg_error *err)
{
    if (!strstr(sg_llama_chat_template(m), "</think>"))
        return sg_fail(err, SG_ERR_USAGE, "think: the model's chat template has no thoughts to leave out");
    return encode(out, sg_llama_tokenizer(m), bytes_of("<think>\n\n</think>\n\n"), &(sg_encode_how){.bare = true}, err);
}

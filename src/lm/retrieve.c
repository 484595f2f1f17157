/* retrieve.c - prompts, documents as tokens, and queries some at a time. */
#include "lm/retrieve_parts.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_retrieve_config
const sg_option sg_retrieve_options[] = {SG_RETRIEVE_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_retrieve_options = sizeof sg_retrieve_options / sizeof *sg_retrieve_options;

enum { TOGETHER = 256 /* queries whose texts are kept until they are ranked */, SAY_EVERY = 512 };

/* ---- prompts ---------------------------------------------------------------------------------------------------------------- */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void sg_retrieve_prompt(sg_buf *out, sg_retrieve_by by, sg_bytes query)
{
    sg_buf_puts(out, "Query: ");
    sg_buf_add(out, query.data, query.size);
    sg_buf_puts(out, by == SG_BY_TITLE ? "\nTitle:" : "\nText:");
}

void sg_retrieve_completion(sg_buf *out, sg_bytes text)
{
    for (size_t at = 0, end; at < text.size; at = end) {
        while (at < text.size && is_space(text.data[at]))
            at++;
        for (end = at; end < text.size && !is_space(text.data[end]);)
            end++;
        if (at < end)
            sg_buf_putc(out, ' ');
        sg_buf_add(out, text.data + at, end - at);
    }
}

/* ---- documents -------------------------------------------------------------------------------------------------------------- */
void sg_token_lists_free(sg_token_lists *l)
{
    sg_free(l->id);
    sg_free(l->offsets);
    *l = (sg_token_lists){0};
}

sg_status sg_read_texts(sg_token_lists *out, const sg_tokenizer *t, const sg_bytes *text, int32_t n,
                        size_t most, const sg_progress *progress, sg_error *err)
{
    const sg_encode_how how = {.bare = true, .literal = true, .most = most};
    sg_buf line = {0};
    sg_encoder *e;
    size_t cap = 0, all = 0;
    sg_status st = sg_encoder_new(&e, t, err);

    if (!st && !(out->offsets = sg_alloc_zero((size_t)n + 1, sizeof *out->offsets)))
        st = sg_fail_memory(err, "documents");
    for (int32_t i = 0; i < n && !st; i++) {
        const int32_t *id = NULL;
        size_t many = 0;

        line.size = 0;
        sg_retrieve_completion(&line, text[i]);
        if (line.failed)
            st = sg_fail_memory(err, "documents");
        else if (line.size)
            st = sg_encoder_run(&id, &many, e, (sg_bytes){line.data, line.size}, &how, err);
        if (!st && (all + many > INT32_MAX - 1 || !sg_grow(&out->id, &cap, all + many + 1, sizeof *out->id)))
            st = sg_fail_memory(err, "documents");
        if (!st) {
            if (many)
                memcpy(out->id + all, id, many * sizeof *id);
            all += many;
            out->offsets[i + 1] = (int64_t)all;
            out->n = i + 1;
        }
        if (!st && i % SAY_EVERY == 0)
            st = sg_progress_tick(
                progress,
                &(sg_progress_event){
                    .stage = "read", .unit = "texts", .done = i, .total = n, .loss = (double)NAN},
                err);
    }
    sg_buf_free(&line);
    sg_encoder_free(e);
    return st;
}

sg_status sg_retriever_new(sg_retriever **out, const sg_documents *d, sg_retrieve_by by,
                           const sg_tokenizer *t, const sg_progress *progress, sg_error *err)
{
    sg_retriever *r = sg_alloc_zero(1, sizeof *r);
    sg_status st;

    *out = NULL;
    if (!r)
        return sg_fail_memory(err, "documents");
    r->by = by;
    r->tokenizer = t;
    r->n = d->n;
    r->allow = d->allow;
    st = by == SG_BY_TITLE ? sg_titles_new(r, d, progress, err) : sg_strings_new(r, d, progress, err);
    if (st) {
        sg_retriever_free(r);
        return st;
    }
    *out = r;
    return SG_OK;
}

void sg_retriever_free(sg_retriever *r)
{
    if (!r)
        return;
    sg_guide_free(r->guide);
    sg_titles_free(&r->titles);
    sg_strings_free(&r->strings);
    sg_free(r);
}

/* ---- queries ---------------------------------------------------------------------------------------------------------------- */
sg_status sg_retrieve_write(sg_answer *answer, const sg_retrieve_job *job, int beam, int length,
                            double length_penalty, const sg_generate_watch *watch, sg_error *err)
{
    const sg_generate_job work = {.desk = job->desk,
                                  .prompt = job->prompt,
                                  .n = job->n,
                                  .end = -1,
                                  .guide = job->r->guide,
                                  .watch = watch};
    sg_generate_report here, *all = &job->report->generate;
    sg_generate_config c;
    sg_status st;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.beam = beam;
    c.length = length;
    c.length_penalty = length_penalty;
    c.batch = job->config->batch;
    st = sg_generate(answer, &here, &work, &c, NULL, err);
    all->seconds[0] += here.seconds[0];
    all->seconds[1] += here.seconds[1];
    all->prompt_tokens += here.prompt_tokens;
    all->tokens += here.tokens;
    return st;
}

int sg_retrieve_length(const sg_retriever *r, const sg_retrieve_config *c)
{
    return r->by == SG_BY_TITLE ? r->titles.longest + 1 : c->length;
}

/* The first n tokens of the query, as text. */
static sg_status cut_query(sg_buf *out, const sg_retriever *r, sg_bytes query, size_t n, sg_error *err)
{
    const sg_encode_how how = {.bare = true, .literal = true, .most = n};
    sg_encoder *e;
    const int32_t *id;
    size_t found;
    sg_status st = sg_encoder_new(&e, r->tokenizer, err);

    out->size = 0;
    if (!st && !(st = sg_encoder_run(&id, &found, e, query, &how, err)))
        st = sg_tokenizer_decode(out, r->tokenizer, id, found, false, err);
    sg_encoder_free(e);
    return st;
}

/* What the query spells is text, and never a special token; what there is no room for loses its end. */
static sg_status make_prompt(sg_token_list *out, const sg_retriever *r, sg_bytes query, size_t most,
                             sg_error *err)
{
    sg_buf text = {0}, cut = {0};
    size_t tokens = most;
    sg_status st = SG_OK;

    while (!st) {
        text.size = out->n = 0;
        sg_retrieve_prompt(&text, r->by, query);
        st = text.failed || cut.failed
                 ? sg_fail_memory(err, "query")
                 : sg_text_tokens(out, r->tokenizer, (sg_bytes){text.data, text.size}, true, err);
        if (st || out->n <= most)
            break;
        if (tokens == 0) {
            st = sg_fail(err, SG_ERR_USAGE, "expected a model with room for %zu more tokens before a text",
                         out->n - most);
            break;
        }
        tokens = tokens > out->n - most ? tokens - (out->n - most) : 0;
        if (tokens) /* 0 would be all of it */
            st = cut_query(&cut, r, query, tokens, err);
        query = (sg_bytes){tokens && cut.data ? cut.data : "", tokens ? cut.size : 0};
    }
    sg_buf_free(&text);
    sg_buf_free(&cut);
    return st;
}

sg_status sg_retrieve(sg_found *out, sg_retrieve_report *report, sg_retriever *r, sg_desk *desk,
                      const sg_bytes *query, int n, const sg_retrieve_config *c, const sg_progress *progress,
                      sg_error *err)
{
    const int room = desk->places - sg_retrieve_length(r, c);
    const int most = c->query_tokens < room || desk->start >= 0 ? c->query_tokens
                                                                : room; /* an encoder has room of its own */
    sg_token_list prompt[TOGETHER] = {{0}};
    sg_status st = SG_OK;

    *report = (sg_retrieve_report){0};
    if (room < 1)
        return sg_fail(err, SG_ERR_USAGE,
                       "expected a model with room for more than %d tokens, texts alone have %d",
                       desk->places, sg_retrieve_length(r, c));
    for (int from = 0, here; from < n && !st; from += here) {
        here = n - from < TOGETHER ? n - from : TOGETHER;
        for (int i = 0; i < here && !st; i++)
            st = make_prompt(&prompt[i], r, query[from + i], (size_t)most, err);
        const sg_retrieve_job job = {r, desk, prompt, here, c, report};
        if (!st)
            st = (r->by == SG_BY_TITLE ? sg_titles_retrieve : sg_strings_retrieve)(out + from, &job, err);
        if (!st)
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "retrieve",
                                                       .unit = "queries",
                                                       .done = from + here,
                                                       .total = n,
                                                       .loss = (double)NAN},
                                  err);
    }
    for (int i = 0; i < TOGETHER; i++)
        sg_free(prompt[i].id);
    return st;
}

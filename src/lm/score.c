/* score.c - the prompt is read once, and the texts go on from it together. */
#include "lm/score.h"

#include "base/alloc.h"

#include <math.h>

enum { TOGETHER = 16 /* texts that are read at once */ };

typedef struct scoring {
    double *logp;
    int *tokens;
    sg_desk *desk;
    const sg_tokenizer *tokenizer;
    const sg_token_list *prompt;
    const sg_bytes *text;
    int before; /* the text at the desk that has read the prompt; -1: there is none */
} scoring;

typedef struct one { /* text being scored */
    int text; /* at the desk; -1: none */
    sg_token_list ids;
    double *logp;
} one;

static sg_status push(sg_token_list *l, int32_t id, sg_error *err)
{
    if (!sg_grow(&l->id, &l->cap, l->n + 1, sizeof *l->id))
        return sg_fail_memory(err, "scores");
    l->id[l->n++] = id;
    return SG_OK;
}

/* The token before the first that counts, then the text: behind a prompt its last token, read again, since it says how likely the first one
 * is; behind an encoder the one that a text begins with. Of a text alone the first token is that one. */
static sg_status list_tokens(sg_token_list *out, const scoring *s, sg_bytes text, sg_error *err)
{
    const sg_desk *d = s->desk;
    sg_status st;

    if (d->start >= 0) {
        if ((st = push(out, d->start, err)) || (st = sg_text_tokens(out, s->tokenizer, text, true, err)))
            return st;
        return !d->ends.n || sg_ends_has(&d->ends, out->id[out->n - 1]) ? SG_OK : push(out, d->ends.id[0], err);
    }
    if (s->prompt->n == 0)
        return sg_text_tokens(out, s->tokenizer, text, true, err);
    return (st = push(out, s->prompt->id[s->prompt->n - 1], err)) ? st : sg_bare_tokens(out, s->tokenizer, text, err);
}

static sg_status open_one(one *t, const scoring *s, sg_bytes text, sg_error *err)
{
    sg_status st;

    *t = (one){.text = -1};
    if ((st = list_tokens(&t->ids, s, text, err)))
        return st;
    if (!(t->logp = sg_alloc_zero(t->ids.n + 1, sizeof *t->logp)))
        return sg_fail_memory(err, "scores");
    return s->before < 0 ? sg_desk_open(s->desk, &t->text, err) : sg_desk_fork(s->desk, &t->text, s->before, err);
}

/* Texts first .. first + n - 1, TOGETHER at most. */
static sg_status score_some(const scoring *s, size_t first, int n, sg_error *err)
{
    sg_piece piece[TOGETHER];
    one t[TOGETHER];
    int opened = 0;
    sg_status st = SG_OK;

    for (; opened < n && !st; opened++)
        if (!(st = open_one(&t[opened], s, s->text[first + (size_t)opened], err)))
            piece[opened] =
                (sg_piece){.text = t[opened].text, .id = t[opened].ids.id, .n = (int)t[opened].ids.n, .logp = t[opened].logp};
    if (!st)
        st = sg_desk_read(s->desk, piece, n, err);
    for (int i = 0; i < opened; i++) {
        double *sum = &s->logp[first + (size_t)i];

        *sum = 0;
        for (size_t k = 1; k < t[i].ids.n && !st; k++)
            *sum += t[i].logp[k];
        s->tokens[first + (size_t)i] = t[i].ids.n ? (int)t[i].ids.n - 1 : 0;
        if (t[i].text >= 0)
            sg_desk_close(s->desk, t[i].text);
        sg_free(t[i].ids.id);
        sg_free(t[i].logp);
    }
    return st;
}

/* All of the prompt but its last token; an encoder reads it whole. */
static sg_status read_prompt(scoring *s, sg_error *err)
{
    const sg_token_list *p = s->prompt;
    int known = 0;
    sg_status st;

    if (p->n == 0 && s->desk->start < 0)
        return SG_OK;
    if (p->n == 0)
        return sg_fail(err, SG_ERR_USAGE, "expected a prompt, which the encoder reads, found nothing");
    if (s->desk->start < 0 && p->n >= (size_t)s->desk->places)
        return sg_fail(err, SG_ERR_USAGE, "prompt: expected fewer tokens than the %d that the model knows, found %zu", s->desk->places, p->n);
    if ((st = sg_desk_begin(s->desk, &s->before, &known, p->id, (int)p->n, err)) || s->desk->start >= 0)
        return st;
    return sg_desk_read(s->desk, &(sg_piece){.text = s->before, .id = p->id + known, .n = (int)p->n - 1 - known}, 1, err);
}

sg_status sg_score_texts(double *logp, int *tokens, sg_desk *desk, const sg_tokenizer *t, const sg_token_list *prompt, const sg_bytes *text,
                         size_t n, const sg_progress *progress, sg_error *err)
{
    scoring s = {logp, tokens, desk, t, prompt, text, -1};
    sg_status st = read_prompt(&s, err);

    for (size_t i = 0; i < n && !st; i += TOGETHER) {
        const size_t left = n - i < TOGETHER ? n - i : TOGETHER;

        if (!(st = score_some(&s, i, (int)left, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "score",
                                                       .unit = "texts",
                                                       .done = (double)(i + left),
                                                       .total = (double)n,
                                                       .loss = (double)NAN},
                                  err);
    }
    if (s.before >= 0)
        sg_desk_close(desk, s.before);
    return st;
}

sg_status sg_score_t5_desk(sg_desk **out, const sg_t5 *m, const sg_bytes *text, size_t n, sg_pool *pool, sg_error *err)
{
    sg_token_list ids = {0};
    size_t most = 0;
    sg_status st = SG_OK;

    *out = NULL;
    for (size_t i = 0; i < n && !st; i++) {
        ids.n = 0;
        st = sg_text_tokens(&ids, sg_t5_tokenizer(m), text[i], true, err);
        most = ids.n > most ? ids.n : most;
    }
    sg_free(ids.id);
    return st ? st : sg_t5_desk(out, m, (int)most + 2, pool, err); /* the token it begins with, and an end */
}

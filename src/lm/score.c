/* score.c - the prompt is read once, and the texts go on from it together. */
#include "lm/score.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>

enum { TOGETHER = 16 /* texts that are read at once */ };

typedef struct scoring {
    double *logp;
    int *tokens;
    const sg_score_job *job;
    sg_desk *desk; /* of the job */
    int before;    /* the text at the desk that has read the prompt; -1: there is none */
} scoring;

typedef struct one { /* text being scored */
    size_t i;
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
        if ((st = push(out, d->start, err)) || (st = sg_text_tokens(out, s->job->tokenizer, text, true, err)))
            return st;
        return !d->ends.n || sg_ends_has(&d->ends, out->id[out->n - 1]) ? SG_OK
                                                                        : push(out, d->ends.id[0], err);
    }
    if (s->job->prompt->n == 0)
        return sg_text_tokens(out, s->job->tokenizer, text, true, err);
    return (st = push(out, s->job->prompt->id[s->job->prompt->n - 1], err))
               ? st
               : sg_bare_tokens(out, s->job->tokenizer, text, err);
}

/* Puts before an error which text it is about. */
static sg_status about(const scoring *s, size_t i, sg_status st, sg_error *err)
{
    char where[40];

    snprintf(where, sizeof where, "text %zu", (s->job->place ? s->job->place[i] : i) + 1);
    sg_error_prefix(err, where);
    return st;
}

/* Tokens that a text may have, with the one before it. */
static size_t room(const scoring *s)
{
    const size_t prompt = s->desk->start < 0 && s->job->prompt->n ? s->job->prompt->n - 1 : 0,
                 places = (size_t)s->desk->places;

    return places > prompt ? places - prompt : 0;
}

static sg_status open_one(one *t, const scoring *s, size_t i, sg_error *err)
{
    sg_status st;

    *t = (one){.i = i, .text = -1};
    if ((st = list_tokens(&t->ids, s, s->job->text[i], err)))
        return st;
    if (t->ids.n > room(s))
        return sg_fail(err, SG_ERR_USAGE,
                       "expected a text of at most %zu tokens, for which there is room, found %zu", room(s),
                       t->ids.n);
    if (!(t->logp = sg_alloc_zero(t->ids.n + 1, sizeof *t->logp)))
        return sg_fail_memory(err, "scores");
    return s->before < 0 ? sg_desk_open(s->desk, &t->text, err)
                         : sg_desk_fork(s->desk, &t->text, s->before, err);
}

static sg_status sum_up(const scoring *s, const one *t, sg_error *err)
{
    double *sum = &s->logp[t->i];

    *sum = 0;
    for (size_t k = 1; k < t->ids.n; k++)
        *sum += t->logp[k];
    s->tokens[t->i] = t->ids.n ? (int)t->ids.n - 1 : 0;
    if (!isfinite(*sum))
        return about(s, t->i,
                     sg_fail(err, SG_ERR_NUMERIC, "the model's numbers are not finite: there is no score"),
                     err);
    return s->job->done ? s->job->done(s->job->ctx, t->i, err) : SG_OK;
}

static void close_one(one *t, const scoring *s)
{
    if (t->text >= 0)
        sg_desk_close(s->desk, t->text);
    sg_free(t->ids.id);
    sg_free(t->logp);
}

/* Texts first .. first + n - 1, TOGETHER at most. */
static sg_status score_some(const scoring *s, size_t first, size_t n, sg_error *err)
{
    sg_piece piece[TOGETHER];
    one t[TOGETHER];
    int opened = 0;
    sg_status st = SG_OK;

    for (size_t i = first; i < first + n && !st; i++) {
        one *o = &t[opened];

        if (!(st = open_one(o, s, i, err))) {
            piece[opened++] =
                (sg_piece){.text = o->text, .id = o->ids.id, .n = (int)o->ids.n, .logp = o->logp};
        } else {
            close_one(o, s);
            if (st == SG_ERR_USAGE)
                st = s->job->give_up ? s->job->give_up(s->job->ctx, i, err) : about(s, i, st, err);
            if (st == SG_ERR_MEMORY)
                sg_fail_memory(err, "scores");
        }
    }
    if (!st)
        st = sg_desk_read(s->desk, piece, opened, err);
    for (int i = 0; i < opened; i++) {
        if (!st)
            st = sum_up(s, &t[i], err);
        close_one(&t[i], s);
    }
    return st;
}

/* All of the prompt but its last token; an encoder reads it whole. */
static sg_status read_prompt(scoring *s, sg_error *err)
{
    const sg_token_list *p = s->job->prompt;
    int known = 0;
    sg_status st;

    if (p->n == 0 && s->desk->start < 0)
        return SG_OK;
    if (p->n == 0)
        return sg_fail(err, SG_ERR_USAGE, "expected a prompt, which the encoder reads, found nothing");
    if (s->desk->start < 0 && p->n >= (size_t)s->desk->places)
        return sg_fail(err, SG_ERR_USAGE,
                       "prompt: expected fewer tokens than the %d that the model knows, found %zu",
                       s->desk->places, p->n);
    if ((st = sg_desk_begin(s->desk, &s->before, &known, p->id, (int)p->n, err)) || s->desk->start >= 0)
        return st;
    return sg_desk_read(
        s->desk, &(sg_piece){.text = s->before, .id = p->id + known, .n = (int)p->n - 1 - known}, 1, err);
}

sg_status sg_score_texts(double *logp, int *tokens, const sg_score_job *job, const sg_progress *progress,
                         sg_error *err)
{
    scoring s = {logp, tokens, job, job->desk, -1};
    const size_t n = job->n;
    sg_status st = read_prompt(&s, err);

    for (size_t i = 0; i < n && !st; i += TOGETHER) {
        const size_t left = n - i < TOGETHER ? n - i : TOGETHER;

        if (!(st = score_some(&s, i, left, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "score",
                                                       .unit = "texts",
                                                       .done = (double)(i + left),
                                                       .total = (double)n,
                                                       .loss = (double)NAN},
                                  err);
    }
    if (s.before >= 0)
        sg_desk_close(s.desk, s.before);
    return st;
}

sg_status sg_score_t5_desk(sg_desk **out, const sg_t5 *m, const sg_bytes *text, size_t n, sg_pool *pool,
                           sg_error *err)
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

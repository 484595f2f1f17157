/* generate.c - the loop of writing: every text that is being written takes one step together.
 *
 * A prompt is answered by a search: some texts beside each other (one, or `beam`), extended by one token a step. New prompts join when
 * others are done, so that a step has work for `batch` texts; what they share at their start is read once. */
#include "lm/generate.h"

#include "base/alloc.h"
#include "lm/sample.h"
#include "math/math.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_generate_config
const sg_option sg_generate_options[] = {SG_GENERATE_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_generate_options = sizeof sg_generate_options / sizeof *sg_generate_options;

enum { SHARED_LEAST = 16 /* tokens at the start of all prompts that are worth a text of their own */ };

typedef struct line { /* a text being written */
    int text;         /* at the desk */
    double logp;
    sg_guide_state at;    /* of the guide */
    sg_token_list tokens; /* owned: written so far; the last one is not read yet */
} line;

typedef struct search {
    bool open;
    int number; /* of the prompt */
    int known;  /* of its tokens; -1: all were read */
    int length; /* tokens it may write */
    line *line; /* owned: (beam) */
    int n;
    sg_written *done; /* owned: (beam) best first */
    int n_done;
} search;

typedef struct candidate {
    double score;
    int line;
    int32_t token; /* -1: the text ends */
} candidate;

typedef struct writer {
    const sg_generate_job *job;
    const sg_generate_config *c;
    sg_answer *out;
    sg_generate_report *report;
    search *search;   /* owned: (batch) */
    int n_open, next; /* searches; the next prompt */
    sg_piece *piece;  /* owned: (rows) of a step */
    size_t rows;
    float *logits;  /* owned: (rows, vocab) */
    float *value;   /* owned: (vocab) as all below */
    float *allowed; /* logits of allowed tokens */
    int32_t *index;
    candidate *candidate; /* owned: (beam (beam + ends + 2)) */
    sg_ends ends;         /* of the model and the job */
} writer;

static size_t vocab_of(const writer *w)
{
    return (size_t)w->job->desk->vocab;
}

static bool ends_text(const writer *w, int32_t token)
{
    return sg_ends_has(&w->ends, token);
}

/* ---- what may follow, and what does ------------------------------------------------------------------------------------- */
typedef struct options {
    const float *logits;  /* (n) */
    const int32_t *token; /* (n) NULL: number i is token i */
    size_t n;
    bool ends; /* the guide lets the text end, and there is no token for it */
} options;

static sg_status list_options(options *out, writer *w, const float *logits, sg_guide_state at, sg_error *err)
{
    const int32_t *id;
    int32_t n;
    bool ends;
    sg_status st;

    *out = (options){logits, NULL, vocab_of(w), false};
    if (!w->job->guide)
        return SG_OK;
    if ((st = sg_guide_next(w->job->guide, &id, &n, &ends, at, err)))
        return st;
    out->n = 0;
    for (int32_t i = 0; i < n; i++) /* a guide's vocabulary may be smaller or larger than the model's */
        if (id[i] < w->job->desk->vocab && !ends_text(w, id[i])) {
            w->allowed[out->n] = logits[id[i]];
            w->index[out->n++] = id[i];
        }
    for (int i = 0; ends && i < w->ends.n; i++) {
        w->allowed[out->n] = logits[w->ends.id[i]];
        w->index[out->n++] = w->ends.id[i];
    }
    out->logits = w->allowed;
    out->token = w->index;
    out->ends = ends && !w->ends.n;
    if (!out->n && !out->ends)
        return sg_fail(err, SG_ERR_FORMAT, "the guide allows no token of this model");
    return SG_OK;
}

static sg_status push(sg_token_list *l, int32_t id, sg_error *err)
{
    if (!sg_grow(&l->id, &l->cap, l->n + 1, sizeof *l->id))
        return sg_fail_memory(err, "tokens");
    l->id[l->n++] = id;
    return SG_OK;
}

static double worth(const writer *w, double logp, size_t tokens)
{
    return w->c->length_penalty > 0 ? logp / pow((double)(tokens ? tokens : 1), w->c->length_penalty) : logp;
}

/* Puts a finished text where it belongs among the best `beam`; the tokens are copied. */
static sg_status finish(writer *w, search *s, const line *l, double logp, bool ended, sg_error *err)
{
    const int most = w->c->beam;
    int at = s->n_done;
    sg_written done = {.ended = ended, .logp = logp};

    while (at > 0 && worth(w, logp, l->tokens.n) > worth(w, s->done[at - 1].logp, s->done[at - 1].tokens.n))
        at--;
    if (at == most)
        return SG_OK;
    if (!sg_grow(&done.tokens.id, &done.tokens.cap, l->tokens.n + 1, sizeof *done.tokens.id))
        return sg_fail_memory(err, "tokens");
    if (l->tokens.n)
        memcpy(done.tokens.id, l->tokens.id, l->tokens.n * sizeof *l->tokens.id);
    done.tokens.n = l->tokens.n;
    if (s->n_done == most)
        sg_free(s->done[--s->n_done].tokens.id);
    memmove(s->done + at + 1, s->done + at, (size_t)(s->n_done - at) * sizeof *s->done);
    s->done[at] = done;
    s->n_done++;
    return SG_OK;
}

static void drop_line(writer *w, line *l)
{
    sg_desk_close(w->job->desk, l->text);
    sg_free(l->tokens.id);
    *l = (line){0};
}

static void close_search(writer *w, search *s)
{
    for (int i = 0; i < s->n; i++)
        drop_line(w, &s->line[i]);
    for (int i = 0; i < s->n_done; i++)
        sg_free(s->done[i].tokens.id);
    sg_free(s->line);
    sg_free(s->done);
    w->n_open -= s->open;
    *s = (search){0};
}

/* The search's texts become the answer. */
static sg_status give_answer(writer *w, search *s, sg_error *err)
{
    for (int i = 0; i < s->n; i++) {
        const sg_status st = finish(w, s, &s->line[i], s->line[i].logp, false, err);

        if (st)
            return st;
    }
    const sg_generate_watch *watch = w->job->watch;
    const int number = s->number;

    w->out[number] = (sg_answer){s->done, s->n_done};
    s->done = NULL;
    s->n_done = 0;
    close_search(w, s);
    return watch && watch->done ? watch->done(watch->ctx, number, &w->out[number], err) : SG_OK;
}

/* Does somebody who watches say that a text ends with its last token? */
static sg_status asked_to_end(bool *yes, const writer *w, int prompt, const sg_token_list *written,
                              sg_error *err)
{
    const sg_generate_watch *watch = w->job->watch;

    *yes = false;
    return watch && watch->ends && !w->job->guide ? watch->ends(yes, watch->ctx, prompt, written, err)
                                                  : SG_OK;
}

static sg_status not_finite(sg_error *err)
{
    return sg_fail(err, SG_ERR_NUMERIC, "the model's numbers are not finite: nothing can follow");
}

/* ---- one text: the likeliest token, or one drawn ---------------------------------------------------------------------------- */
static sg_status end_alone(writer *w, search *s, sg_error *err)
{
    const sg_status st = finish(w, s, &s->line[0], s->line[0].logp, true, err);

    drop_line(w, &s->line[0]);
    s->n = 0;
    return st;
}

static sg_status advance_alone(writer *w, search *s, const float *logits, sg_error *err)
{
    const sg_sampling how = {w->c->temperature, w->c->top_k, w->c->top_p, w->c->min_p, (uint64_t)w->c->seed};
    const sg_generate_watch *watch = w->job->watch;
    const uint64_t number =
        watch && watch->number ? watch->number(watch->ctx, s->number) : (uint64_t)s->number;
    line *l = &s->line[0];
    bool ends;
    options o;
    int32_t id;
    sg_status st = list_options(&o, w, logits, l->at, err);

    if (st)
        return st;
    if (o.ends && !o.n)
        return end_alone(w, s, err);
    /* w->index names the options: scratch of its own */
    id = sg_sample(o.logits, o.n, &how, number, l->tokens.n, (int32_t *)(void *)w->candidate, w->value);
    if (o.token)
        id = o.token[id];
    l->logp += sg_token_logp(logits, vocab_of(w), id); /* NaN where any logit is, whatever was drawn */
    if (!isfinite(l->logp))
        return not_finite(err);
    if (ends_text(w, id))
        return end_alone(w, s, err);
    if (w->job->guide)
        sg_guide_step(w->job->guide, &l->at, id);
    w->report->tokens++;
    if ((st = push(&l->tokens, id, err)) || (st = asked_to_end(&ends, w, s->number, &l->tokens, err)))
        return st;
    return ends ? end_alone(w, s, err) : SG_OK;
}

/* ---- beams ------------------------------------------------------------------------------------------------------------------ */
static int by_score(const void *x, const void *y)
{
    const candidate *a = x, *b = y;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

/* The best extensions of every line: of one line at most `beam` matter, and its likeliest end. */
static sg_status list_candidates(int *n, writer *w, search *s, const float *logits, sg_error *err)
{
    const size_t vocab = vocab_of(w);
    int32_t *best = w->index + vocab + 1; /* behind the options */

    *n = 0;
    for (int i = 0; i < s->n; i++, logits += vocab) {
        size_t most = (size_t)w->c->beam + (size_t)w->ends.n;
        float top;
        const double all = log((double)sg_sum_exp(&top, logits, vocab));
        bool ended = false; /* several tokens may end a text: the likeliest one does */
        options o;
        sg_status st = isfinite(all) && isfinite(top) ? list_options(&o, w, logits, s->line[i].at, err)
                                                      : not_finite(err);

        if (st)
            return st;
        if (o.ends)
            w->candidate[(*n)++] = (candidate){s->line[i].logp, i, -1};
        most = sg_topk(best, w->value, most < o.n ? most : o.n, o.logits, o.n);
        for (size_t k = 0; k < most; k++) {
            const int32_t id = o.token ? o.token[best[k]] : best[k];
            const double score = s->line[i].logp + (double)w->value[k] - (double)top - all;

            if (!ends_text(w, id) || !ended)
                w->candidate[(*n)++] = (candidate){score, i, ends_text(w, id) ? -1 : id};
            ended |= ends_text(w, id);
        }
    }
    qsort(w->candidate, (size_t)*n, sizeof *w->candidate, by_score);
    return SG_OK;
}

/* The line that goes on with a candidate: the first one that continues a line takes its text, others fork it. */
static sg_status extend(line *out, writer *w, search *s, const candidate *c, bool first, sg_error *err)
{
    line *from = &s->line[c->line];
    sg_status st = SG_OK;

    *out = (line){.text = from->text, .logp = c->score, .at = from->at};
    if (!first && (st = sg_desk_fork(w->job->desk, &out->text, from->text, err)))
        return st;
    if (!sg_grow(&out->tokens.id, &out->tokens.cap, from->tokens.n + 1, sizeof *out->tokens.id))
        st = sg_fail_memory(err, "tokens");
    if (!st && from->tokens.n)
        memcpy(out->tokens.id, from->tokens.id, from->tokens.n * sizeof *from->tokens.id);
    if (!st) {
        out->tokens.n = from->tokens.n;
        out->tokens.id[out->tokens.n++] = c->token;
        if (w->job->guide)
            sg_guide_step(w->job->guide, &out->at, c->token);
        w->report->tokens++;
        return SG_OK;
    }
    if (!first)
        sg_desk_close(w->job->desk, out->text);
    return st;
}

static sg_status advance_beams(writer *w, search *s, const float *logits, sg_error *err)
{
    line *next = sg_alloc_zero((size_t)w->c->beam, sizeof *next);
    bool *used = sg_alloc_zero((size_t)s->n, sizeof *used); /* the line's text went on */
    int n = 0, kept = 0;
    sg_status st = next && used ? list_candidates(&n, w, s, logits, err) : sg_fail_memory(err, "beams");

    for (int i = 0; i < n && kept < w->c->beam && !st; i++) {
        const candidate *c = &w->candidate[i];

        if (c->token < 0) {
            st = finish(w, s, &s->line[c->line], c->score, true, err);
        } else if (c->score > -INFINITY && !(st = extend(&next[kept], w, s, c, !used[c->line], err))) {
            bool ends;

            used[c->line] = true;
            kept++;
            if (!(st = asked_to_end(&ends, w, s->number, &next[kept - 1].tokens, err)) && ends &&
                !(st = finish(w, s, &next[kept - 1], c->score, true, err)))
                drop_line(w, &next[--kept]);
        }
    }
    for (int i = 0; i < s->n && used && next; i++) {
        if (!used[i])
            sg_desk_close(w->job->desk, s->line[i].text);
        sg_free(s->line[i].tokens.id);
    }
    if (used && next) {
        memcpy(s->line, next, (size_t)kept * sizeof *next);
        s->n = kept;
    }
    sg_free(next);
    sg_free(used);
    return st;
}

/* No text still being written can become one of the best: probabilities only fall. Divided by a power of the length they may rise
 * again, at most to what they are now over the longest length. */
static bool is_settled(const writer *w, const search *s)
{
    double best = -INFINITY;

    for (int i = 0; i < s->n; i++)
        best = s->line[i].logp > best ? s->line[i].logp : best;
    return s->n == 0 || (s->n_done == w->c->beam &&
                         worth(w, best, (size_t)s->length) <=
                             worth(w, s->done[s->n_done - 1].logp, s->done[s->n_done - 1].tokens.n));
}

static sg_status advance(writer *w, search *s, const float *logits, sg_error *err)
{
    const sg_generate_watch *watch = w->job->watch;
    sg_status st = SG_OK;

    if (watch && watch->first && s->line[0].tokens.n == 0)
        st = watch->first(watch->ctx, s->number, logits, err);
    if (!st)
        st = w->c->beam > 1 ? advance_beams(w, s, logits, err) : advance_alone(w, s, logits, err);
    for (int i = 0; i < s->n && watch && watch->kept && !st; i++)
        st = watch->kept(watch->ctx, s->number, &s->line[i].tokens, s->line[i].logp, err);
    if (st)
        return st;
    if (s->n == 0 && s->n_done == 0)
        return not_finite(err); /* what may follow has logits of -infinity */
    if (is_settled(w, s))
        while (s->n > 0)
            drop_line(w, &s->line[--s->n]);
    if (s->n == 0 || s->line[0].tokens.n >= (size_t)s->length)
        return give_answer(w, s, err);
    return SG_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------------ */
static sg_status open_search(writer *w, search *s, sg_error *err)
{
    const sg_token_list *p = &w->job->prompt[w->next];
    const sg_desk *d = w->job->desk;
    const int room = d->places - (d->start >= 0 ? 1 : (int)p->n);
    sg_status st;

    *s = (search){.open = true, .number = w->next, .length = w->c->length < room ? w->c->length : room};
    w->n_open++;
    s->line = sg_alloc_zero((size_t)w->c->beam, sizeof *s->line);
    s->done = sg_alloc_zero((size_t)w->c->beam, sizeof *s->done);
    if (!s->line || !s->done)
        return sg_fail_memory(err, "beams");
    if ((st = sg_desk_begin(w->job->desk, &s->line[0].text, &s->known, p->id, (int)p->n, err)))
        return st;
    s->n = 1;
    if (w->job->guide)
        s->line[0].at = w->job->guide->begin;
    w->next++;
    return SG_OK;
}

static sg_status make_room(writer *w, size_t rows, sg_error *err)
{
    const size_t vocab = vocab_of(w);
    size_t bytes;
    float *logits;
    sg_piece *piece;

    if (rows <= w->rows)
        return SG_OK;
    if (!sg_mul(&bytes, rows, vocab * sizeof *logits) ||
        !(piece = sg_realloc(w->piece, rows * sizeof *piece)))
        return sg_fail_memory(err, "logits");
    w->piece = piece;
    if (!(logits = sg_realloc(w->logits, bytes)))
        return sg_fail_memory(err, "logits");
    w->logits = logits;
    w->rows = rows;
    return SG_OK;
}

/* What every open search wants read: the rest of its prompt, or the last token of each line. */
static size_t gather(writer *w, bool *reads)
{
    size_t n = 0;

    for (int i = 0; i < w->c->batch; i++) {
        search *s = &w->search[i];

        for (int k = 0; s->open && k < s->n; k++, n++) {
            const sg_token_list *p = &w->job->prompt[s->number];
            const sg_desk *d = w->job->desk;

            w->piece[n] = (sg_piece){.text = s->line[k].text, .logits = w->logits + n * vocab_of(w)};
            if (s->known < 0) {
                w->piece[n].id = &s->line[k].tokens.id[s->line[k].tokens.n - 1];
                w->piece[n].n = 1;
            } else {
                w->piece[n].id = d->start >= 0 ? &d->start : p->id + s->known;
                w->piece[n].n = d->start >= 0 ? 1 : (int)p->n - s->known;
                w->report->prompt_tokens += d->start >= 0 ? (double)p->n : w->piece[n].n;
                *reads = true;
            }
        }
    }
    return n;
}

static sg_status step(writer *w, sg_error *err)
{
    const double start = sg_now();
    size_t rows = 0;
    bool reads = false;
    sg_status st = SG_OK;

    for (int i = 0; i < w->c->batch; i++) /* texts at once, at most `batch`; one search at least */
        rows += w->search[i].open ? (size_t)w->c->beam : 0;
    for (int i = 0; i < w->c->batch && w->next < w->job->n && !st; i++)
        if (!w->search[i].open && (rows == 0 || rows + (size_t)w->c->beam <= (size_t)w->c->batch)) {
            st = open_search(w, &w->search[i], err);
            rows += (size_t)w->c->beam;
        }
    if (st || (st = make_room(w, rows, err)))
        return st;
    rows = gather(w, &reads);
    if ((st = sg_desk_read(w->job->desk, w->piece, (int)rows, err)))
        return st;
    const float *logits = w->logits;
    for (int i = 0; i < w->c->batch && !st; i++)
        if (w->search[i].open) {
            const int n = w->search[i].n;

            w->search[i].known = -1;
            st = advance(w, &w->search[i], logits, err);
            logits += (size_t)n * vocab_of(w);
        }
    w->report->seconds[!reads] += sg_now() - start;
    return st;
}

/* Reads what all prompts begin with, as a text that stays open: prompts begin from it. */
static sg_status read_shared(writer *w, int *text, sg_error *err)
{
    const sg_token_list *p = w->job->prompt;
    size_t same = p[0].n;
    sg_piece piece;
    sg_status st;

    for (int i = 0; i < w->job->n; i++) {
        size_t k = 0;

        while (k < same && k + 1 < p[i].n && p[i].id[k] == p[0].id[k])
            k++;
        same = k;
    }
    if (w->job->n < 2 || same < SHARED_LEAST || w->job->desk->start >= 0)
        return SG_OK;
    if ((st = sg_desk_open(w->job->desk, text, err)))
        return st;
    piece = (sg_piece){.text = *text, .id = p[0].id, .n = (int)same};
    w->report->prompt_tokens += (double)same;
    return sg_desk_read(w->job->desk, &piece, 1, err);
}

static sg_status check(const sg_generate_job *job, const sg_generate_config *c, sg_error *err)
{
    const bool encoded = job->desk->start >= 0;

    if (c->beam > 1 && c->temperature > 0)
        return sg_fail(err, SG_ERR_USAGE, "beam: expected 1 with a temperature, found %d", c->beam);
    for (int i = 0; i < job->n; i++) {
        if (job->prompt[i].n == 0)
            return sg_fail(err, SG_ERR_USAGE, "expected a prompt, found nothing");
        if (!encoded && job->prompt[i].n >= (size_t)job->desk->places)
            return sg_fail(err, SG_ERR_USAGE,
                           "prompt: expected fewer tokens than the %d that there is room for, found %zu",
                           job->desk->places, job->prompt[i].n);
    }
    return SG_OK;
}

sg_status sg_generate(sg_answer *out, sg_generate_report *report, const sg_generate_job *job,
                      const sg_generate_config *c, const sg_progress *progress, sg_error *err)
{
    const size_t vocab = (size_t)job->desk->vocab, beam = (size_t)c->beam;
    const size_t candidates = beam * (beam + SG_ENDS_MOST + 2) * sizeof(candidate),
                 indices = vocab * sizeof(int32_t);
    writer w = {.job = job, .c = c, .out = out, .report = report};
    int shared = -1;
    double start;
    sg_status st;

    *report = (sg_generate_report){0};
    if ((st = check(job, c, err)) || job->n == 0)
        return st;
    w.ends = job->desk->ends;
    if (!sg_ends_add(&w.ends, job->end, job->desk->vocab))
        return sg_fail(err, SG_ERR_USAGE, "expected at most %d tokens that end a text", SG_ENDS_MOST);
    w.search = sg_alloc_zero((size_t)c->batch, sizeof *w.search);
    w.value = sg_alloc_array(vocab, sizeof *w.value);
    w.allowed = sg_alloc_array(vocab + 1, sizeof *w.allowed);
    w.index = sg_alloc_array(2 * vocab + 2, sizeof *w.index);
    w.candidate = sg_alloc(candidates > indices ? candidates : indices);
    if (!w.search || !w.value || !w.allowed || !w.index || !w.candidate)
        st = sg_fail_memory(err, "beams");
    start = sg_now();
    if (!st)
        st = read_shared(&w, &shared, err);
    report->seconds[0] += sg_now() - start;
    while (!st && (w.next < job->n || w.n_open > 0)) {
        const bool one = job->n == 1;

        if (!(st = step(&w, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "generate",
                                                       .unit = one ? "tokens" : "texts",
                                                       .done = one ? report->tokens : w.next - w.n_open,
                                                       .total = one ? c->length : job->n,
                                                       .loss = (double)NAN},
                                  err);
    }
    for (int i = 0; i < c->batch && w.search; i++)
        if (w.search[i].open)
            close_search(&w, &w.search[i]);
    if (shared >= 0)
        sg_desk_close(job->desk, shared);
    sg_free(w.search);
    sg_free(w.piece);
    sg_free(w.logits);
    sg_free(w.value);
    sg_free(w.allowed);
    sg_free(w.index);
    sg_free(w.candidate);
    return st;
}

void sg_answer_free(sg_answer *a)
{
    for (int i = 0; i < a->n; i++)
        sg_free(a->text[i].tokens.id);
    sg_free(a->text);
    *a = (sg_answer){0};
}

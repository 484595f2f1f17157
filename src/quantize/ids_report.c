/* ids_report.c - what semantic IDs mean: for every prefix its typical words, its categories and brands, and its best-known
 * items.
 *
 * A word is typical of a prefix when its log-odds against the rest of the catalogue stand out from their own uncertainty:
 *   d = ln (y + a)/(n + A - y - a) - ln (z + a)/(m + A - z - a),  score = d / sqrt(1/(y + a) + 1/(z + a))
 * y of n items of the prefix and z of m others have the word; a is the word's share of all, times A = 20 pseudo-items.
 *   [Monroe, Colaresi & Quinn 2008, eq. 16-22] */
#include "quantize/tokenize.h"

#include "base/alloc.h"
#include "data/vocab.h"
#include "file/json.h"
#include "quantize/quantize.h"
#include "text/columns.h"
#include "text/normalise.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRIOR 20.0 /* pseudo-items */

/* For every item the different words, paths or values it has, as numbers into a vocabulary. */
typedef struct facts {
    const char *name;  /* "words", or the column's */
    bool words, paths; /* words are ranked by log-odds, others by count */
    sg_vocab *vocab;   /* owned */
    int64_t *offsets;  /* owned: (n + 1) */
    int32_t *value;    /* owned */
    size_t n_value, cap;
    int32_t *total; /* owned: items that have it */
    int32_t *here;  /* owned: items of the current prefix that have it */
} facts;

typedef struct reporter {
    const sg_dataset *data;
    const sg_ids *ids;
    int32_t n, top;
    facts *list; /* owned */
    int n_facts;
    const sg_text_column *title;
    int64_t *events;  /* owned: (n) */
    int32_t *touched; /* owned: numbers with here > 0 */
    size_t cap_touched;
    uint32_t *order; /* owned: items by codes */
} reporter;

/* ---- facts ---------------------------------------------------------------------------------------------------- */

static sg_status add_fact(facts *f, int64_t first, sg_bytes s, sg_error *err)
{
    int32_t number;
    const sg_status st = sg_vocab_add(f->vocab, s, &number, err);

    if (st)
        return st;
    for (int64_t k = first; k < (int64_t)f->n_value; k++)
        if (f->value[k] == number)
            return SG_OK;
    if (!sg_grow(&f->value, &f->cap, f->n_value + 1, sizeof *f->value))
        return sg_fail_memory(err, "item facts");
    f->value[f->n_value++] = number;
    return SG_OK;
}

static sg_status add_words(facts *f, int64_t first, sg_bytes cell, sg_words *w, sg_buf *text, sg_error *err)
{
    sg_status st = sg_words_split(w, cell, err);

    for (size_t i = 0; st == SG_OK && i < w->n; i++) {
        if (w->start[i + 1] - w->start[i] < 2)
            continue; /* single letters say little */
        text->size = 0;
        sg_words_print(text, w, i);
        st = text->failed ? sg_fail_memory(err, "item facts")
                          : add_fact(f, first, (sg_bytes){text->data, text->size}, err);
    }
    return st;
}

/* Every prefix of every path: "A", "A > B". */
static sg_status add_paths(facts *f, int64_t first, sg_bytes cell, sg_error *err)
{
    sg_status st = SG_OK;
    size_t begin = 0;

    for (size_t i = 0; st == SG_OK && i <= cell.size; i++) {
        const bool end = i == cell.size || (i + 3 <= cell.size && memcmp(cell.data + i, " | ", 3) == 0);

        if (!end && !(i + 3 <= cell.size && memcmp(cell.data + i, " > ", 3) == 0))
            continue;
        if (i > begin)
            st = add_fact(f, first, (sg_bytes){cell.data + begin, i - begin}, err);
        begin = end ? i + 3 : begin;
        i += i < cell.size ? 2 : 0;
    }
    return st;
}

static sg_status gather(facts *f, const reporter *r, const sg_text_plan *plan, const sg_column_plan *only,
                        sg_error *err)
{
    sg_words w = {0};
    sg_buf text = {0};
    sg_status st = sg_vocab_new(&f->vocab, err);

    if (st == SG_OK && !(f->offsets = sg_alloc_zero((size_t)r->n + 1, sizeof *f->offsets)))
        st = sg_fail_memory(err, "item facts");
    for (int32_t i = 0; st == SG_OK && i < r->n; i++) {
        const int64_t first = f->offsets[i] = (int64_t)f->n_value;

        for (int k = 0; f->words && st == SG_OK && k < plan->n; k++)
            if (plan->list[k].kind == SG_COLUMN_TEXT || plan->list[k].kind == SG_COLUMN_PATH)
                st = add_words(f, first, sg_strings_at(&plan->list[k].column->text, (size_t)i), &w, &text,
                               err);
        if (!f->words && st == SG_OK) {
            assert(only);
            const sg_bytes cell = sg_strings_at(&only->column->text, (size_t)i);

            if (f->paths)
                st = add_paths(f, first, cell, err);
            else if (cell.size)
                st = add_fact(f, first, cell, err);
        }
        f->offsets[i + 1] = (int64_t)f->n_value;
    }
    sg_words_free(&w);
    sg_buf_free(&text);
    if (st)
        return st;
    const size_t n = (size_t)sg_vocab_count(f->vocab);
    f->total = sg_alloc_zero(n, sizeof *f->total);
    f->here = sg_alloc_zero(n, sizeof *f->here);
    if (!f->total || !f->here)
        return sg_fail_memory(err, "item facts");
    for (size_t k = 0; k < f->n_value; k++)
        f->total[f->value[k]]++;
    return SG_OK;
}

static sg_status gather_all(reporter *r, sg_error *err)
{
    sg_text_plan plan;
    sg_status st = sg_text_plan_new(&plan, r->data, NULL, err);

    if (st)
        return st;
    if (!(r->list = sg_alloc_zero((size_t)plan.n + 1, sizeof *r->list)))
        st = sg_fail_memory(err, "item facts");
    if (st == SG_OK && plan.n) {
        r->list[r->n_facts++] = (facts){.name = "words", .words = true};
        st = gather(&r->list[0], r, &plan, NULL, err);
    }
    for (int k = 0; st == SG_OK && k < plan.n; k++) {
        const sg_column_plan *p = &plan.list[k];
        facts *f = &r->list[r->n_facts];

        if (p->kind == SG_COLUMN_TEXT && (!r->title || strcmp(p->column->name, "title") == 0))
            r->title = p->column;
        if (p->kind != SG_COLUMN_PATH && p->kind != SG_COLUMN_CATEGORY)
            continue;
        *f = (facts){.name = p->column->name, .paths = p->kind == SG_COLUMN_PATH};
        r->n_facts++;
        st = gather(f, r, &plan, p, err);
    }
    sg_text_plan_free(&plan);
    return st;
}

/* ---- one prefix ----------------------------------------------------------------------------------------------- */

typedef struct ranked {
    double score;
    int32_t number;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static double log_odds(double y, double n, double z, double m, double share)
{
    const double a = share * PRIOR,
                 d = log((y + a) / (n + PRIOR - y - a)) - log((z + a) / (m + PRIOR - z - a));

    return d / sqrt(1 / (y + a) + 1 / (z + a));
}

static json_t *text_of(sg_bytes s)
{
    json_t *text = json_stringn(s.data, s.size);

    return text ? text : json_string(""); /* NULL: not UTF-8 */
}

static int path_depth(sg_bytes s)
{
    int depth = 1;

    for (size_t i = 0; i + 3 <= s.size; i++)
        depth += memcmp(s.data + i, " > ", 3) == 0;
    return depth;
}

/* Words by log-odds; values by count; of paths first the deepest one that half the items share. */
static sg_status describe_facts(json_t *out, reporter *r, facts *f, const uint32_t *item, int32_t n,
                                sg_error *err)
{
    json_t *list = json_array();
    ranked *rank;
    size_t touched = 0, kept = 0;

    for (int32_t i = 0; i < n; i++)
        for (int64_t k = f->offsets[item[i]]; k < f->offsets[item[i] + 1]; k++)
            if (f->here[f->value[k]]++ == 0) {
                if (!sg_grow(&r->touched, &r->cap_touched, touched + 1, sizeof *r->touched)) {
                    json_decref(list);
                    return sg_fail_memory(err, "report");
                }
                r->touched[touched++] = f->value[k];
            }
    if (!(rank = sg_alloc_array(touched, sizeof *rank))) {
        json_decref(list);
        return sg_fail_memory(err, "report");
    }
    for (size_t k = 0; k < touched; k++) {
        const int32_t w = r->touched[k], y = f->here[w];
        const double share = (double)y / n;
        double score = y;

        if (f->words)
            score = log_odds(y, n, f->total[w] - y, r->n - n, (double)f->total[w] / r->n);
        else if (f->paths)
            score = share >= 0.5 ? path_depth(sg_vocab_at(f->vocab, w)) + share : share;
        if (!f->words || (score > 1.96 && (y > 1 || n == 1)))
            rank[kept++] = (ranked){score, w};
    }
    qsort(rank, kept, sizeof *rank, by_score);
    for (size_t k = 0; k < kept && k < (size_t)r->top; k++)
        json_array_append_new(list, json_pack("{s:o, s:f}", f->words ? "word" : "value",
                                              text_of(sg_vocab_at(f->vocab, rank[k].number)), "share",
                                              (double)f->here[rank[k].number] / n));
    for (size_t k = 0; k < touched; k++)
        f->here[r->touched[k]] = 0;
    sg_free(rank);
    json_object_set_new(out, f->name, list);
    return SG_OK;
}

/* The items with most events, ties by number. */
static json_t *examples(const reporter *r, const uint32_t *item, int32_t n)
{
    json_t *list = json_array();
    int64_t bound_events = INT64_MAX;
    uint32_t bound_item = 0;

    for (int32_t k = 0; k < r->top && k < n; k++) {
        int32_t best = -1;

        for (int32_t i = 0; i < n; i++) {
            const int64_t e = r->events[item[i]];
            const bool after = e < bound_events || (e == bound_events && item[i] > bound_item);

            if (after && (best < 0 || e > r->events[item[best]] ||
                          (e == r->events[item[best]] && item[i] < item[best])))
                best = i;
        }
        bound_events = r->events[item[best]];
        bound_item = item[best];
        json_t *one = json_pack("{s:o, s:I}", "item", text_of(sg_strings_at(&r->data->item_ids, bound_item)),
                                "events", (json_int_t)bound_events);
        if (r->title)
            json_object_set_new(one, r->title->name, text_of(sg_strings_at(&r->title->text, bound_item)));
        json_array_append_new(list, one);
    }
    return list;
}

static sg_status describe_prefix(json_t *list, reporter *r, const uint32_t *item, int32_t n, int depth,
                                 sg_error *err)
{
    const int32_t *codes = r->ids->codes + (size_t)item[0] * (size_t)r->ids->levels;
    json_t *prefix = json_array(), *out = json_pack("{s:o, s:i}", "prefix", prefix, "items", (int)n);
    sg_status st = SG_OK;

    for (int l = 0; l < depth; l++)
        json_array_append_new(prefix, json_integer(codes[l]));
    for (int k = 0; k < r->n_facts && st == SG_OK; k++)
        st = describe_facts(out, r, &r->list[k], item, n, err);
    json_object_set_new(out, "examples", examples(r, item, n));
    json_array_append_new(list, out);
    return st;
}

/* Is one of the first `length` codes of the item the end of its ID? */
static bool has_ended(const sg_ids *ids, uint32_t item, int length)
{
    bool ended = false;

    for (int l = 1; ids->ends && l < length; l++)
        ended |= ids->codes[item * (size_t)ids->levels + (size_t)l] == ids->size[l] - 1;
    return ended;
}

static sg_status describe_all(json_t *report, reporter *r, int depth, sg_error *err)
{
    json_t *list = json_array();
    sg_status st = SG_OK;

    json_object_set_new(report, "prefixes", list);
    for (int length = 1; length <= depth && length <= r->ids->levels; length++)
        for (int32_t i = 0, end; i < r->n && st == SG_OK; i = end) {
            const size_t width = (size_t)r->ids->levels, bytes = (size_t)length * sizeof *r->ids->codes;

            for (end = i + 1; end < r->n && memcmp(r->ids->codes + r->order[i] * width,
                                                   r->ids->codes + r->order[end] * width, bytes) == 0;)
                end++;
            if (has_ended(r->ids, r->order[i], length))
                continue; /* the item stands there with its last code */
            st = describe_prefix(list, r, r->order + i, end - i, length, err);
        }
    return st;
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

/* The report kept with the IDs, or a fresh look at IDs that came without one. */
static sg_status health_of(json_t **out, const sg_ids *ids, sg_error *err)
{
    const char *kept = sg_tensors_meta(ids->file, "report"),
               *digit = sg_tensors_meta(ids->file, "collision_digit");
    sg_codes c = {.n = ids->n,
                  .levels = ids->levels,
                  .codes = (int32_t *)(uintptr_t)ids->codes,
                  .reconstruction = NAN,
                  .ends = ids->ends,
                  .digit = digit && strcmp(digit, "true") == 0};

    if (kept)
        return sg_json_parse(out, (sg_bytes){kept, strlen(kept)}, "report of the semantic IDs", err);
    for (int l = 0; l < c.levels; l++) {
        c.size[l] = ids->size[l];
        c.error[l] = NAN;
    }
    return sg_doctor(out, &c, "import", NULL, 0, err);
}

static void reporter_fini(reporter *r)
{
    for (int k = 0; k < r->n_facts; k++) {
        sg_vocab_free(r->list[k].vocab);
        sg_free(r->list[k].offsets);
        sg_free(r->list[k].value);
        sg_free(r->list[k].total);
        sg_free(r->list[k].here);
    }
    sg_free(r->list);
    sg_free(r->events);
    sg_free(r->touched);
    sg_free(r->order);
}

sg_status sg_ids_report(json_t **out, const sg_dataset *d, int depth, int top, sg_error *err)
{
    sg_ids ids = {0};
    reporter r = {.data = d, .ids = &ids, .n = d->n_items, .top = top};
    sg_status st;

    *out = NULL;
    if ((st = sg_ids_open(&ids, d, err)) || (st = health_of(out, &ids, err)))
        goto done;
    if (depth > 0) {
        r.events = sg_alloc_zero((size_t)d->n_items, sizeof *r.events);
        r.order = sg_alloc_array((size_t)d->n_items, sizeof *r.order);
        if (!r.events || !r.order) {
            st = sg_fail_memory(err, "report");
            goto done;
        }
        for (int64_t e = 0; e < d->n_events; e++)
            r.events[d->item[e]]++;
        if ((st = sg_codes_order(r.order, ids.codes, ids.n, ids.levels, ids.size, err)) ||
            (st = gather_all(&r, err)))
            goto done;
        st = describe_all(*out, &r, depth, err);
    }
done:
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    reporter_fini(&r);
    sg_ids_close(&ids);
    return st;
}

/* lm_lessons.c - examples to tune a language model on, from the queries and documents of a collection. */
#include "api/lm_documents.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "text/spans.h"

#include <math.h>
#include <string.h>

#define SG_OPTION_STRUCT api_lessons_config
const sg_option api_lessons_options[] = {API_LESSONS_OPTIONS(SG_OPTION_ROW)};
const size_t api_n_lessons_options = sizeof api_lessons_options / sizeof *api_lessons_options;

enum { STREAM = SG_RNG_USER + 91, SPANS_MOST = 101, SAY_EVERY = 256 };

typedef struct maker {
    const api_documents *d;
    const api_lessons_config *c;
    sg_collection_split split;
    sg_writer *out;
    sg_buf prompt, answer, line;
    uint64_t drawn;          /* draws so far: each has a number of its own */
    json_int_t judged, free; /* lessons from judgements, and from documents alone */
    sg_error *err;
} maker;

static sg_bytes cut(sg_bytes text, sg_span s)
{
    return (sg_bytes){text.data + s.begin, s.end - s.begin};
}

/* The prompt and the answer at hand, as a line; without an answer: none. */
static sg_status put(maker *k, json_int_t *count)
{
    json_t *o;
    char *text;
    sg_status st = SG_OK;

    if (k->prompt.failed || k->answer.failed)
        return sg_fail_memory(k->err, "lessons");
    if (k->answer.size) {
        o = json_pack("{s:s%, s:s%}", "prompt", k->prompt.data, k->prompt.size, "completion", k->answer.data,
                      k->answer.size);
        text = o ? json_dumps(o, JSON_COMPACT) : NULL;
        if (!text || (sg_buf_puts(&k->line, text), sg_buf_putc(&k->line, '\n'), k->line.failed))
            st = sg_fail_memory(k->err, "lessons");
        else
            st = sg_writer_put(k->out, k->line.data, k->line.size, k->err);
        free(text);
        json_decref(o);
        ++*count;
    }
    k->prompt.size = k->answer.size = k->line.size = 0;
    return st;
}

static sg_status put_pair(maker *k, sg_retrieve_by by, sg_bytes query, sg_bytes answer, json_int_t *count)
{
    sg_retrieve_prompt(&k->prompt, by, query);
    sg_retrieve_completion(&k->answer, answer);
    return put(k, count);
}

static sg_status draw(sg_span *out, int *n_out, maker *k, int n, sg_bytes text, sg_bytes query, int words)
{
    const sg_span_how how = {words, query.size ? k->c->sharpness : 0, (uint64_t)k->c->seed, k->drawn++};

    return sg_spans_draw(out, n_out, n, text, query, &how, k->err);
}

/* ---- what is learned of a query and a document ---------------------------------------------------------------------------------- */
static sg_status title(maker *k, sg_bytes query, int32_t doc)
{
    return put_pair(k, SG_BY_TITLE, query, sg_strings_at(&k->d->title, (size_t)doc), &k->judged);
}

/* Strings of its text that share words with the query, and one of its title. */
static sg_status ngrams(maker *k, sg_bytes query, int32_t doc)
{
    const sg_bytes part[] = {sg_strings_at(&k->d->text, (size_t)doc),
                             sg_strings_at(&k->d->title, (size_t)doc)};
    const int wanted[] = {k->c->ngrams, 1};
    sg_span span[SPANS_MOST];
    sg_status st = SG_OK;

    for (int p = 0; p < 2 && !st; p++) {
        int n;

        st = draw(span, &n, k, wanted[p], part[p], query, k->c->words);
        for (int i = 0; i < n && !st; i++)
            st = put_pair(k, SG_BY_SUBSTRING, query, cut(part[p], span[i]), &k->judged);
    }
    return st;
}

static sg_status query_of(maker *k, sg_bytes query, int32_t doc)
{
    api_document_prompt(&k->prompt, sg_strings_at(&k->d->title, (size_t)doc),
                        sg_strings_at(&k->d->text, (size_t)doc), k->c->document);
    sg_retrieve_completion(&k->answer, query);
    return put(k, &k->judged);
}

/* ---- what is learned of a document alone: a part of its text stands for a query ------------------------------------------------ */
static sg_status alone(maker *k, sg_retrieve_by by, int32_t doc)
{
    const sg_bytes text = sg_strings_at(&k->d->text, (size_t)doc),
                   head = sg_strings_at(&k->d->title, (size_t)doc);
    sg_span query[SPANS_MOST], answer;
    const double whole = floor(k->c->spans);
    const bool more = sg_rng_double((uint64_t)k->c->seed, STREAM, 0, (uint64_t)doc) < k->c->spans - whole;
    int n, one;
    sg_status st = draw(query, &n, k, (int)whole + more, text, (sg_bytes){"", 0}, 2 * k->c->words);

    for (int i = 0; i < n && !st; i++) {
        if (by == SG_BY_TITLE) {
            st = put_pair(k, by, cut(text, query[i]), head, &k->free);
            continue;
        }
        if (!(st = draw(&answer, &one, k, 1, text, cut(text, query[i]), k->c->words)) && one)
            st = put_pair(k, by, cut(text, query[i]), cut(text, answer), &k->free);
    }
    return st;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------ */
typedef sg_status lesson(maker *k, sg_bytes query, int32_t doc);

/* The documents that a query is taught: at most `judged`, the best grades first, drawn among equal ones. */
static sg_status teach_query(maker *k, int32_t q, lesson *make)
{
    const sg_judgements *j = &k->d->collection->split[k->split];
    const int64_t begin = j->offsets[q];
    const uint32_t n = (uint32_t)(j->offsets[q + 1] - begin);
    uint32_t *order = sg_alloc_array((size_t)n + 1, sizeof *order);
    int32_t best = 0;
    int made = 0;
    sg_status st = order ? SG_OK : sg_fail_memory(k->err, "lessons");

    if (!st)
        sg_rng_permutation(order, n, (uint64_t)k->c->seed, STREAM, (uint64_t)q);
    for (uint32_t i = 0; i < n; i++)
        best = j->grade[begin + i] > best ? j->grade[begin + i] : best;
    for (; best > 0 && !st; best--)
        for (uint32_t i = 0; i < n && !st && (!k->c->judged || made < k->c->judged); i++)
            if (j->grade[begin + order[i]] == best) {
                st = make(k, sg_strings_at(&k->d->collection->query_text, (size_t)q),
                          j->doc[begin + order[i]]);
                made++;
            }
    sg_free(order);
    return st;
}

static sg_status tick(api_call *c, int32_t done, int32_t n)
{
    return done % SAY_EVERY
               ? SG_OK
               : sg_progress_tick(
                     &c->progress,
                     &(sg_progress_event){
                         .stage = "lessons", .unit = "texts", .done = done, .total = n, .loss = (double)NAN},
                     &c->err);
}

static sg_status teach(api_call *c, maker *k, const char *what)
{
    static const struct {
        const char *name;
        lesson *make;
        sg_retrieve_by by;
        bool alone;
    } kinds[] = {{"titles", title, SG_BY_TITLE, true},
                 {"ngrams", ngrams, SG_BY_SUBSTRING, true},
                 {"queries", query_of, SG_BY_TITLE, false}};
    const int32_t queries = k->d->collection->n_queries, documents = k->d->set->n_items;
    sg_status st = SG_OK;
    size_t kind = 0;

    while (kind < 3 && strcmp(kinds[kind].name, what) != 0)
        kind++;
    if (kind == 3)
        return sg_fail(&c->err, SG_ERR_USAGE, "for: expected titles, ngrams or queries, found '%s'", what);
    for (int32_t q = 0; q < queries && !st; q++)
        if (!(st = teach_query(k, q, kinds[kind].make)))
            st = tick(c, q, queries);
    for (int32_t d = 0; d < documents && !st && k->c->spans > 0 && kinds[kind].alone; d++)
        if (!(st = alone(k, kinds[kind].by, d)))
            st = tick(c, d, documents);
    if (!st && k->judged + k->free == 0)
        st = sg_fail(&c->err, SG_ERR_FORMAT, "%s: expected judged documents with texts in %s, found none",
                     k->d->set->dir, sg_collection_split_names[k->split]);
    return st;
}

int sedge_lm_lessons(const sedge_lessons_params *given, char **json, sedge_error *err)
{
    sedge_lessons_params p;
    api_lessons_config o;
    const api_table table = {&o, api_lessons_options, api_n_lessons_options};
    api_documents d = {0};
    api_call c;
    maker k = {.d = &d, .c = &o, .split = SG_COLLECTION_TRAIN, .err = &c.err};
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(&table, 1);
    if (!st && !(st = api_need(p.data, "a dataset folder", &c.err)) &&
        !(st = api_need(p.what, "what the lessons are for", &c.err)) &&
        !(st = api_need(p.out, "a file to write (out)", &c.err)) &&
        !(st = api_assign(&table, 1, p.set, p.n_set, &c.err)) &&
        !(st = api_documents_open(&d, p.data, &c.err)) &&
        !(st = api_documents_split(&k.split, &d, p.split ? p.split : "train", &c.err)) &&
        !(st = sg_writer_open(&k.out, p.out, &c.err)) && !(st = teach(&c, &k, p.what))) {
        st = sg_writer_commit(k.out, &c.err);
        k.out = NULL;
    }
    sg_writer_abort(k.out);
    if (!st && !(c.result = json_pack("{s:s, s:I, s:I, s:I}", "out", p.out, "lessons", k.judged + k.free,
                                      "from_judgements", k.judged, "from_documents", k.free)))
        st = sg_fail_memory(&c.err, "result");
    sg_buf_free(&k.prompt);
    sg_buf_free(&k.answer);
    sg_buf_free(&k.line);
    api_documents_close(&d);
    return api_end(&c, st, json, err);
}

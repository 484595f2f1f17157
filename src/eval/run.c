/* run.c - ranked documents: read from a TREC run, made by a model, written. */
#include "eval/retrieval.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "data/scan.h"
#include "data/vocab.h"
#include "eval/trec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RNG_QUERIES = 0x717279, QUERIES = 64 };

void sg_run_free(sg_run *r)
{
    sg_free(r->offsets);
    sg_free(r->doc);
    sg_free(r->score);
    *r = (sg_run){0};
}

/* ---- a run of another system ---- */

typedef struct entry {
    int32_t query, doc;
    float score;
    sg_bytes id; /* of the document */
    uint64_t line;
} entry;

typedef struct entries {
    entry *row; /* owned */
    size_t n, cap;
} entries;

static int by_score(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const size_t n = x->id.size < y->id.size ? x->id.size : y->id.size;
    int order;

    if (x->query != y->query)
        return (x->query > y->query) - (x->query < y->query);
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if ((order = memcmp(x->id.data, y->id.data, n)) != 0)
        return order < 0 ? 1 : -1;
    return (x->id.size < y->id.size) - (x->id.size > y->id.size);
}

static int by_doc(const void *a, const void *b)
{
    const entry *x = a, *y = b;

    if (x->query != y->query)
        return (x->query > y->query) - (x->query < y->query);
    if (x->doc != y->doc)
        return (x->doc > y->doc) - (x->doc < y->doc);
    return (x->line > y->line) - (x->line < y->line);
}

/* Words of a line between spaces and tabs; at most 7 are told apart. */
static int cut_words(sg_bytes line, sg_bytes word[7])
{
    int n = 0;
    size_t i = 0;

    while (n < 7) {
        while (i < line.size && (line.data[i] == ' ' || line.data[i] == '\t'))
            i++;
        const size_t begin = i;

        while (i < line.size && line.data[i] != ' ' && line.data[i] != '\t')
            i++;
        if (i == begin)
            break;
        word[n++] = (sg_bytes){line.data + begin, i - begin};
    }
    return n;
}

/* "RUN:12: ..." for the line that was read last. */
static sg_status fail_line(const sg_reader *in, sg_error *err, const char *expected, const char *found)
{
    return sg_fail(err, SG_ERR_FORMAT, "%s:%llu: expected %s, found %s", sg_reader_path(in),
                   (unsigned long long)sg_reader_line_number(in), expected, found);
}

static sg_status take_entry(entries *e, sg_dataset *d, const sg_vocab *queries, const sg_reader *in,
                            sg_bytes line, sg_buf *room, sg_error *err)
{
    sg_bytes word[7];
    const int n = cut_words(line, word);
    char quote[SG_QUOTE_ROOM];
    double score;
    int32_t query, doc;

    if (n != 6) {
        snprintf(quote, sizeof quote, "%s%d", n == 7 ? "more than " : "", n == 7 ? 6 : n);
        return fail_line(in, err, "6 words (query Q0 document rank score tag)", quote);
    }
    if ((query = sg_vocab_find(queries, sg_trec_id(word[0], room))) < 0)
        return fail_line(in, err, "the id of a query", sg_quote(quote, word[0]));
    if ((doc = sg_dataset_item(d, sg_trec_id(word[2], room))) < 0)
        return fail_line(in, err, "the id of a document", sg_quote(quote, word[2]));
    if (!sg_scan_number(word[4], &score) || fabs(score) > 3e38)
        return fail_line(in, err, "a number as score", sg_quote(quote, word[4]));
    if (room->failed || !sg_grow(&e->row, &e->cap, e->n + 1, sizeof *e->row))
        return sg_fail_memory(err, sg_reader_path(in));
    e->row[e->n++] = (entry){query, doc, (float)score, sg_strings_at(&d->item_ids, (size_t)doc),
                             sg_reader_line_number(in)};
    return SG_OK;
}

static sg_status read_entries(entries *e, sg_dataset *d, const sg_collection *c, const char *path,
                              sg_error *err)
{
    sg_vocab *queries = NULL;
    sg_reader *in = NULL;
    sg_buf room = {0};
    const char *line;
    size_t size;
    sg_status st = sg_vocab_over(&queries, &c->query_ids, err);

    if (!st)
        st = sg_reader_open(&in, path, err);
    while (!st && !(st = sg_reader_line(in, &line, &size, err)) && line)
        if (sg_trim((sg_bytes){line, size}).size)
            st = take_entry(e, d, queries, in, (sg_bytes){line, size}, &room, err);
    if (!st && e->n == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a TREC run, found an empty file", path);
    sg_reader_close(in);
    sg_buf_free(&room);
    sg_vocab_free(queries);
    return st;
}

static sg_status check_twice(entries *e, const sg_collection *c, const char *path, sg_error *err)
{
    qsort(e->row, e->n, sizeof *e->row, by_doc);
    for (size_t i = 1; i < e->n; i++) {
        const entry *x = &e->row[i];
        char quote[2][SG_QUOTE_ROOM];

        if (x->query == x[-1].query && x->doc == x[-1].doc)
            return sg_fail(
                err, SG_ERR_FORMAT,
                "%s:%llu: expected a document once for a query, found %s for query %s again (line %llu)",
                path, (unsigned long long)x->line, sg_quote(quote[0], x->id),
                sg_quote(quote[1], sg_strings_at(&c->query_ids, (size_t)x->query)),
                (unsigned long long)x[-1].line);
    }
    return SG_OK;
}

static sg_status run_new(sg_run *r, int32_t n_queries, size_t n, sg_error *err)
{
    *r = (sg_run){.n_queries = n_queries,
                  .offsets = sg_alloc_zero((size_t)n_queries + 1, sizeof *r->offsets),
                  .doc = sg_alloc_array(n, sizeof *r->doc),
                  .score = sg_alloc_array(n, sizeof *r->score)};
    return r->offsets && r->doc && r->score ? SG_OK : sg_fail_memory(err, "lists");
}

sg_status sg_run_read(sg_run *out, sg_dataset *d, const sg_collection *c, const char *path, sg_error *err)
{
    entries e = {0};
    sg_status st;

    *out = (sg_run){0};
    if (!(st = read_entries(&e, d, c, path, err)) && !(st = check_twice(&e, c, path, err)) &&
        !(st = run_new(out, c->n_queries, e.n, err))) {
        qsort(e.row, e.n, sizeof *e.row, by_score);
        for (size_t i = 0; i < e.n; i++) {
            out->doc[i] = e.row[i].doc;
            out->score[i] = e.row[i].score;
            out->offsets[e.row[i].query + 1]++;
        }
        for (int32_t q = 0; q < c->n_queries; q++)
            out->offsets[q + 1] += out->offsets[q];
    }
    if (st)
        sg_run_free(out);
    sg_free(e.row);
    return st;
}

/* ---- a run of ours ---- */

/* Numbers of the queries that are asked, ascending. */
static sg_status choose(int32_t **out, int32_t *n, const sg_collection *c, sg_collection_split split,
                        int64_t most, sg_error *err)
{
    const int32_t all = sg_collection_asked(c, split);
    const double share = most > 0 && most < all ? (double)most / all : 1;

    *n = 0;
    if (all == 0)
        return sg_fail(err, SG_ERR_USAGE, "%s split: expected queries with a relevant document, found none",
                       sg_collection_split_names[split]);
    if (!(*out = sg_alloc_array((size_t)all, sizeof **out)))
        return sg_fail_memory(err, "queries");
    for (int32_t q = 0; q < c->n_queries; q++)
        if (sg_collection_relevant(c, split, q) &&
            (share >= 1 || (double)sg_rng_float(1, RNG_QUERIES, 0, (uint64_t)q) < share))
            (*out)[(*n)++] = q;
    return SG_OK;
}

/* The lists of queries number first .. first + n - 1 of `query`, behind those that are there. */
static sg_status ask(sg_run *r, int64_t *end, sg_session *s, const sg_collection *c, const int32_t *query,
                     int n, int k, int32_t *item, float *score, sg_error *err)
{
    sg_bytes text[QUERIES];
    sg_status st;

    for (int i = 0; i < n; i++)
        text[i] = sg_strings_at(&c->query_text, (size_t)query[i]);
    if ((st = s->model->class->retrieve(s, text, n, k, item, score, err)))
        return st;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < k; j++) {
            const size_t at = (size_t)i * (size_t)k + (size_t)j;

            if (item[at] < 0) {
                r->n_invalid++;
                continue;
            }
            r->doc[*end] = item[at];
            r->score[(*end)++] = score[at];
            r->offsets[query[i] + 1]++;
        }
    }
    return SG_OK;
}

sg_status sg_run_make(sg_run *out, const sg_model *m, const sg_collection *c, sg_collection_split split,
                      const sg_eval_spec *spec, int k, sg_pool *pool, const sg_progress *progress,
                      sg_error *err)
{
    int32_t *query = NULL, *item = NULL, n = 0;
    float *score = NULL;
    sg_session *s = NULL;
    int64_t end = 0;
    size_t room;
    sg_status st;

    *out = (sg_run){0};
    if (k > m->n_items)
        k = m->n_items;
    if ((st = choose(&query, &n, c, split, spec->users_max, err)))
        goto done;
    item = sg_alloc_array(QUERIES, (size_t)k * sizeof *item);
    score = sg_alloc_array(QUERIES, (size_t)k * sizeof *score);
    if (!item || !score || !sg_mul(&room, (size_t)n, (size_t)k)) {
        st = sg_fail_memory(err, "lists");
        goto done;
    }
    if ((st = run_new(out, c->n_queries, room, err)) || (st = sg_session_new(&s, m, pool, err)))
        goto done;
    s->beam = spec->beam;
    s->free = spec->free;
    for (int32_t i = 0; !st && i < n; i += QUERIES) {
        const sg_progress_event e = {
            .stage = "retrieve", .unit = "queries", .done = i, .total = n, .loss = (double)NAN};

        if (!(st = sg_progress_tick(progress, &e, err)))
            st = ask(out, &end, s, c, query + i, n - i < QUERIES ? n - i : QUERIES, k, item, score, err);
    }
    for (int32_t q = 0; !st && q < c->n_queries; q++)
        out->offsets[q + 1] += out->offsets[q];
done:
    if (st)
        sg_run_free(out);
    sg_session_free(s);
    sg_free(query);
    sg_free(item);
    sg_free(score);
    return st;
}

sg_status sg_run_write(const sg_run *r, const sg_dataset *d, const sg_collection *c, const char *path,
                       const char *tag, sg_error *err)
{
    sg_writer *w = NULL;
    sg_buf line = {0};
    sg_status st = sg_writer_open(&w, path, err);

    for (int32_t q = 0; !st && q < r->n_queries; q++) {
        for (int64_t i = r->offsets[q]; i < r->offsets[q + 1]; i++) {
            sg_trec_put_id(&line, sg_strings_at(&c->query_ids, (size_t)q));
            sg_buf_puts(&line, " Q0 ");
            sg_trec_put_id(&line, sg_strings_at(&d->item_ids, (size_t)r->doc[i]));
            sg_buf_printf(&line, " %lld %.9g %s\n", (long long)(i - r->offsets[q] + 1), (double)r->score[i],
                          tag);
        }
        st = line.failed ? sg_fail_memory(err, path) : sg_writer_put(w, line.data, line.size, err);
        line.size = 0;
    }
    sg_buf_free(&line);
    if (st) {
        sg_writer_abort(w);
        return st;
    }
    return sg_writer_commit(w, err);
}

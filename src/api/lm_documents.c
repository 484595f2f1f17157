/* lm_documents.c - what may be found, and what is asked: by the queries of a collection, or by users' histories. */
#include "api/lm_documents.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

#define SG_OPTION_STRUCT api_queries_config
const sg_option api_queries_options[] = {API_QUERIES_OPTIONS(SG_OPTION_ROW)};
const size_t api_n_queries_options = sizeof api_queries_options / sizeof *api_queries_options;

enum { STREAM = SG_RNG_USER + 92 };

typedef struct strings {
    sg_buf bytes;
    int64_t *offsets; /* owned: (n + 1) */
    size_t n, cap;
} strings;

typedef struct api_documents_made {
    strings title, text; /* of items without a column of that name */
    strings id, query;
    int64_t *offsets;     /* owned: (queries + 1) of the judgements */
    int32_t *doc, *grade; /* owned */
    size_t n, cap_offsets, cap_doc, cap_grade;
} made;

/* The next string is what was added to its bytes since the last one. */
static sg_status end_string(strings *s, sg_error *err)
{
    if (s->bytes.failed || !sg_grow(&s->offsets, &s->cap, s->n + 2, sizeof *s->offsets))
        return sg_fail_memory(err, "documents");
    s->offsets[0] = 0;
    s->offsets[++s->n] = (int64_t)s->bytes.size;
    return SG_OK;
}

static sg_strings view(const strings *s)
{
    static const int64_t none[1];

    return (sg_strings){s->n, s->bytes.data ? s->bytes.data : "", s->offsets ? s->offsets : none};
}

static void strings_free(strings *s)
{
    sg_buf_free(&s->bytes);
    sg_free(s->offsets);
}

/* ---- documents -------------------------------------------------------------------------------------------------------------- */
/* The columns title and text; where there is no text all other columns of an item, one behind the other. */
static sg_status read_items(api_documents *d, sg_error *err)
{
    const sg_text_column *title = sg_dataset_column(d->set, "title"),
                         *text = sg_dataset_column(d->set, "text");
    sg_status st = SG_OK;

    for (int32_t i = 0; i < d->set->n_items && !st; i++) {
        for (int c = 0; c < d->set->n_columns && !text; c++)
            if (&d->set->columns[c] != title)
                sg_retrieve_completion(&d->made->text.bytes,
                                       sg_strings_at(&d->set->columns[c].text, (size_t)i));
        if (!text)
            st = end_string(&d->made->text, err);
        if (!title && !st)
            st = end_string(&d->made->title, err);
    }
    d->title = title ? title->text : view(&d->made->title);
    d->text = text ? text->text : view(&d->made->text);
    return st;
}

/* ---- queries ---------------------------------------------------------------------------------------------------------------- */
static sg_status judge(made *m, int32_t doc, int32_t grade, sg_error *err)
{
    if (!sg_grow(&m->doc, &m->cap_doc, m->n + 1, sizeof *m->doc) ||
        !sg_grow(&m->grade, &m->cap_grade, m->n + 1, sizeof *m->grade))
        return sg_fail_memory(err, "queries");
    m->doc[m->n] = doc;
    m->grade[m->n++] = grade;
    return SG_OK;
}

/* Its text, id and judgements have been added. */
static sg_status end_query(made *m, sg_error *err)
{
    sg_status st;

    if ((st = end_string(&m->id, err)) || (st = end_string(&m->query, err)))
        return st;
    if (!sg_grow(&m->offsets, &m->cap_offsets, m->id.n + 1, sizeof *m->offsets))
        return sg_fail_memory(err, "queries");
    m->offsets[0] = 0;
    m->offsets[m->id.n] = (int64_t)m->n;
    return SG_OK;
}

/* taken (n): `most` ones, drawn, or all. */
static sg_status draw(uint8_t **taken, size_t n, const api_queries_config *q, sg_error *err)
{
    const size_t most = q->queries && (size_t)q->queries < n ? (size_t)q->queries : n;
    uint32_t *order = most < n ? sg_alloc_array(n, sizeof *order) : NULL;

    *taken = sg_alloc_zero(n + 1, 1);
    if (!*taken || (most < n && !order) || n > UINT32_MAX) {
        sg_free(order);
        return sg_fail_memory(err, "queries");
    }
    if (order)
        sg_rng_permutation(order, (uint32_t)n, (uint64_t)q->draw, STREAM, 0);
    for (size_t i = 0; i < most; i++)
        (*taken)[order ? order[i] : i] = 1;
    sg_free(order);
    return SG_OK;
}

static sg_status take_queries(api_documents *d, const sg_collection *c, const api_queries_config *q,
                              sg_error *err)
{
    const sg_judgements *j = &c->split[d->split];
    uint8_t *taken;
    size_t number = 0;
    sg_status st = draw(&taken, (size_t)sg_collection_asked(c, d->split), q, err);

    for (int32_t k = 0; k < c->n_queries && !st; k++) {
        const sg_bytes id = sg_strings_at(&c->query_ids, (size_t)k),
                       text = sg_strings_at(&c->query_text, (size_t)k);

        if (!sg_collection_relevant(c, d->split, k) || !taken[number++])
            continue;
        sg_buf_add(&d->made->id.bytes, id.data, id.size);
        sg_buf_add(&d->made->query.bytes, text.data, text.size);
        for (int64_t i = j->offsets[k]; i < j->offsets[k + 1] && !st; i++)
            st = judge(d->made, j->doc[i], j->grade[i], err);
        if (!st)
            st = end_query(d->made, err);
    }
    sg_free(taken);
    return st;
}

/* The items that are to be found for a user with n of them, by place: first .. end - 1. */
static void targets(int64_t *first, int64_t *end, sg_collection_split split, int64_t n)
{
    *end = split == SG_COLLECTION_TEST ? n : split == SG_COLLECTION_DEV ? n - 1 : n - 2;
    *first = split == SG_COLLECTION_TRAIN ? 1 : *end - 1;
    if (n < 3 || *first < 1)
        *first = *end = 0;
}

static sg_status take_history(api_documents *d, int32_t user, int64_t at, int most, sg_error *err)
{
    const int32_t *item = d->set->item + d->set->user_offsets[user];
    const sg_bytes id = sg_strings_at(&d->set->user_ids, (size_t)user);
    sg_buf *text = &d->made->query.bytes;
    sg_status st;

    for (int64_t i = at > most ? at - most : 0; i < at; i++) {
        const sg_bytes title = sg_strings_at(&d->title, (size_t)item[i]);

        sg_buf_add(text, title.data, title.size);
        if (i + 1 < at)
            sg_buf_puts(text, "; ");
    }
    sg_buf_add(&d->made->id.bytes, id.data, id.size);
    if (d->split == SG_COLLECTION_TRAIN)
        sg_buf_printf(&d->made->id.bytes, ":%lld", (long long)at);
    if ((st = judge(d->made, item[at], 1, err)))
        return st;
    return end_query(d->made, err);
}

static sg_status take_histories(api_documents *d, const api_queries_config *q, sg_error *err)
{
    uint8_t *taken = NULL;
    size_t n = 0;
    sg_status st = SG_OK;

    for (int pass = 0; pass < 2 && !st; pass++) { /* counts, then takes those drawn */
        size_t number = 0;

        for (int32_t u = 0; u < d->set->n_users && !st; u++) {
            int64_t first, end;

            targets(&first, &end, d->split, d->set->user_offsets[u + 1] - d->set->user_offsets[u]);
            for (; first < end && !st; first++, number++)
                if (pass && taken[number])
                    st = take_history(d, u, first, q->history, err);
        }
        n = number;
        if (!pass && !st)
            st = draw(&taken, n, q, err);
    }
    sg_free(taken);
    return st;
}

static sg_status read_split(sg_collection_split *out, const char *name, sg_error *err)
{
    for (int i = 0; i < SG_COLLECTION_SPLITS; i++)
        if (strcmp(sg_collection_split_names[i], name) == 0) {
            *out = (sg_collection_split)i;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_USAGE, "split: expected train, dev or test, found '%s'", name);
}

sg_status api_documents_open(api_documents *d, const char *dir, const char *split, const char *usual,
                             const api_queries_config *q, sg_error *err)
{
    sg_collection *c = NULL;
    sg_status st;

    if (!(d->made = sg_alloc_zero(1, sizeof *d->made)))
        return sg_fail_memory(err, "documents");
    if ((st = read_split(&d->split, split ? split : usual, err)) ||
        (st = sg_dataset_open(&d->set, dir, err)) || (st = read_items(d, err)) ||
        (st = sg_collection_open(&c, d->set, err)))
        return st;
    if (!c && (!d->set->n_events || !sg_dataset_column(d->set, "title")))
        return sg_fail(
            err, SG_ERR_USAGE,
            "%s: expected queries and judgements ('sedge import beir'), or users and titles of items, "
            "found neither",
            dir);
    st = c ? take_queries(d, c, q, err) : take_histories(d, q, err);
    sg_collection_close(c);
    if (!st && !d->made->id.n)
        st = sg_fail(err, SG_ERR_USAGE, "%s: expected judgements in split %s, found none", dir,
                     sg_collection_split_names[d->split]);
    d->asked.n_queries = (int32_t)d->made->id.n;
    d->asked.query_ids = view(&d->made->id);
    d->asked.query_text = view(&d->made->query);
    d->asked.split[d->split] =
        (sg_judgements){(int64_t)d->made->n, d->made->offsets, d->made->doc, d->made->grade};
    return st;
}

void api_documents_close(api_documents *d)
{
    sg_dataset_close(d->set);
    if (!d->made)
        return;
    strings_free(&d->made->title);
    strings_free(&d->made->text);
    strings_free(&d->made->id);
    strings_free(&d->made->query);
    sg_free(d->made->offsets);
    sg_free(d->made->doc);
    sg_free(d->made->grade);
    sg_free(d->made);
}

/* ---- prompts ---------------------------------------------------------------------------------------------------------------- */
static void put_words(sg_buf *out, sg_bytes text, int words)
{
    size_t end = 0;

    for (; end < text.size && words > 0; end++)
        words -= text.data[end] == ' ';
    sg_retrieve_completion(out, (sg_bytes){text.data, end});
}

void api_document_prompt(sg_buf *out, sg_bytes title, sg_bytes text, int words)
{
    sg_buf_puts(out, "Document:");
    sg_retrieve_completion(out, title);
    sg_buf_putc(out, '\n');
    put_words(out, text, words);
    sg_buf_puts(out, "\nQuery:");
}

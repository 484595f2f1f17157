/* dsi_texts.c - texts as word numbers, all read before training; forms of a document drawn at every step. */
#include "models/dsi_texts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/json.h"
#include "text/columns.h"
#include "text/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 512, RNG_CHUNK = SG_RNG_USER + 40, RNG_QUERY, RNG_ANSWER };

void sg_dsi_texts_free(sg_dsi_texts *t)
{
    sg_free(t->word);
    sg_free(t->offsets);
    sg_free(t->asked);
    sg_free(t->made);
    *t = (sg_dsi_texts){0};
}

/* ---- reading ---- */

typedef struct builder {
    sg_dsi_texts *t;
    size_t n, cap_word, cap_offsets; /* texts so far */
    sg_lexicon_room room;
    sg_buf text;
} builder;

/* One more text; *words: where it begins. */
static sg_status add(builder *b, sg_bytes text, size_t most, sg_error *err)
{
    const size_t at = b->n ? (size_t)b->t->offsets[b->n] : 0;
    size_t n;
    sg_status st;

    if (!sg_grow(&b->t->word, &b->cap_word, at + most, sizeof *b->t->word) ||
        !sg_grow(&b->t->offsets, &b->cap_offsets, b->n + 2, sizeof *b->t->offsets))
        return sg_fail_memory(err, "texts");
    if (b->n == 0)
        b->t->offsets[0] = 0;
    if ((st = sg_lexicon_read(b->t->word + at, &n, b->t->words, &b->room, text, most, err)))
        return st;
    b->t->offsets[++b->n] = (int64_t)(at + n);
    return SG_OK;
}

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Is at least this share of the words of text number i that say something in the document? A text of other words alone is strange. */
static bool fits(const builder *b, size_t i, int32_t doc, double overlap)
{
    const sg_dsi_texts *t = b->t;
    int n = 0, in = 0;

    for (int64_t w = t->offsets[i]; w < t->offsets[i + 1]; w++) {
        if (sg_lexicon_stop(t->words, t->word[w]))
            continue;
        n++;
        for (int64_t d = t->offsets[doc]; d < t->offsets[doc + 1]; d++)
            if (t->word[d] == t->word[w]) {
                in++;
                break;
            }
    }
    return n > 0 && in >= overlap * n;
}

typedef struct made {
    size_t text;   /* number */
    uint64_t hash; /* of its words, sorted */
    int32_t doc;
    bool out;
} made;

typedef struct made_list {
    made *row; /* owned */
    size_t n, cap;
} made_list;

static int by_hash(const void *a, const void *b)
{
    const made *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->doc != y->doc)
        return (x->doc > y->doc) - (x->doc < y->doc);
    return (x->text > y->text) - (x->text < y->text);
}

static int by_doc(const void *a, const void *b)
{
    const made *x = a, *y = b;

    if (x->doc != y->doc)
        return (x->doc > y->doc) - (x->doc < y->doc);
    return (x->text > y->text) - (x->text < y->text);
}

static uint64_t hash_words(const sg_dsi_texts *t, size_t i)
{
    int32_t word[WORDS_MAX];
    const size_t n = (size_t)(t->offsets[i + 1] - t->offsets[i]);

    memcpy(word, t->word + t->offsets[i], n * sizeof *word);
    qsort(word, n, sizeof *word, ascending);
    return sg_hash_bytes((const char *)word, n * sizeof *word, 1);
}

/* The lines of an answer, each a query; "1. " and the like in front are numbers of a list. */
static sg_status add_answer(builder *b, made_list *list, int32_t doc, const char *answer, double overlap,
                            sg_error *err)
{
    for (const char *at = answer; *at;) {
        const size_t size = strcspn(at, "\n");
        const char *line = at;
        size_t n = size;
        sg_status st;

        while (n && strchr(" \t\r-*", *line)) {
            line++;
            n--;
        }
        at += size + (at[size] == '\n');
        if (n == 0)
            continue;
        b->t->counts.read++;
        if ((st = add(b, (sg_bytes){line, n}, (size_t)b->t->length, err)))
            return st;
        if (!fits(b, b->n - 1, doc, overlap)) {
            b->t->counts.strange++;
            b->n--;
            continue;
        }
        if (!sg_grow(&list->row, &list->cap, list->n + 1, sizeof *list->row))
            return sg_fail_memory(err, "queries");
        list->row[list->n++] = (made){b->n - 1, hash_words(b->t, b->n - 1), doc, false};
    }
    return SG_OK;
}

/* Sentences of a document as queries for it: the least that a generator can do. A column ends a sentence. */
static sg_status take_sentences(builder *b, made_list *list, const sg_dataset *d, double overlap,
                                sg_error *err)
{
    sg_buf lines = {0};
    sg_status st = SG_OK;

    for (int32_t doc = 0; !st && doc < d->n_items; doc++) {
        lines.size = 0;
        for (int c = 0; c < d->n_columns; c++) {
            const sg_bytes cell = sg_strings_at(&d->columns[c].text, (size_t)doc);

            for (size_t i = 0; i < cell.size; i++) {
                const bool end = strchr(".!?", cell.data[i]) && i + 1 < cell.size && cell.data[i + 1] == ' ';

                sg_buf_putc(&lines, end || cell.data[i] == '\0' ? '\n' : cell.data[i]);
            }
            sg_buf_putc(&lines, '\n');
        }
        st = lines.failed ? sg_fail_memory(err, "sentences")
                          : add_answer(b, list, doc, lines.data ? lines.data : "", overlap, err);
    }
    sg_buf_free(&lines);
    return st;
}

static sg_status read_made(builder *b, made_list *list, sg_dataset *d, const char *path, double overlap,
                           sg_error *err)
{
    char where[SG_JSON_WHERE];
    sg_reader *r = NULL;
    json_t *line;
    sg_status st;

    if (!strcmp(path, SG_DSI_SENTENCES))
        return take_sentences(b, list, d, overlap, err);
    st = sg_reader_open(&r, path, err);
    while (!st && !(st = sg_json_line(&line, where, r, err)) && line) {
        const char *id, *answer;
        int32_t doc;

        if (!(st = sg_json_need_string(&id, line, "id", where, err)) &&
            !(st = sg_json_need_string(&answer, line, "answer", where, err)))
            st =
                (doc = sg_dataset_item(d, (sg_bytes){id, strlen(id)})) < 0
                    ? sg_fail(err, SG_ERR_MISSING, "%s: expected the id of a document, found '%s'", where, id)
                    : add_answer(b, list, doc, answer, overlap, err);
        json_decref(line);
    }
    sg_reader_close(r);
    return st;
}

/* Leaves out what is there twice, and moves the rest together, by document. */
static sg_status sift(builder *b, made_list *list, size_t first, sg_error *err)
{
    sg_dsi_texts *t = b->t;
    int32_t *word;
    int64_t *offsets, at = 0;
    size_t kept = 0;

    if (list->n)
        qsort(list->row, list->n, sizeof *list->row, by_hash);
    for (size_t i = 0, end; i < list->n; i = end) {
        bool conflict = false;

        for (end = i + 1; end < list->n && list->row[end].hash == list->row[i].hash; end++)
            conflict |= list->row[end].doc != list->row[i].doc;
        for (size_t k = i; k < end; k++) {
            list->row[k].out = conflict || k > i;
            t->counts.conflicting += conflict;
            t->counts.repeated += !conflict && k > i;
        }
    }
    if (list->n)
        qsort(list->row, list->n, sizeof *list->row, by_doc);
    word = sg_alloc_array((size_t)(t->offsets[b->n] - t->offsets[first]), sizeof *word);
    offsets = sg_alloc_array(list->n + 1, sizeof *offsets);
    t->made = sg_alloc_zero((size_t)t->n_docs + 1, sizeof *t->made);
    if (!word || !offsets || !t->made) {
        sg_free(word);
        sg_free(offsets);
        return sg_fail_memory(err, "queries");
    }
    offsets[0] = t->offsets[first];
    for (size_t i = 0; i < list->n; i++) {
        const made *x = &list->row[i];
        const int64_t n = t->offsets[x->text + 1] - t->offsets[x->text];

        if (x->out)
            continue;
        memcpy(word + at, t->word + t->offsets[x->text], (size_t)n * sizeof *word);
        at += n;
        offsets[++kept] = t->offsets[first] + at;
        t->made[x->doc + 1]++;
    }
    memcpy(t->word + t->offsets[first], word, (size_t)at * sizeof *word);
    memcpy(t->offsets + first, offsets, (kept + 1) * sizeof *offsets);
    t->made[0] = (int64_t)first;
    for (int32_t i = 0; i < t->n_docs; i++)
        t->made[i + 1] += t->made[i];
    t->counts.kept = (int64_t)kept;
    sg_free(word);
    sg_free(offsets);
    return SG_OK;
}

static sg_status list_asked(sg_dsi_texts *t, sg_error *err)
{
    const sg_collection *c = t->collection;

    if (!(t->asked = sg_alloc_array((size_t)c->n_queries, sizeof *t->asked)))
        return sg_fail_memory(err, "queries");
    for (int32_t q = 0; q < c->n_queries; q++)
        if (sg_collection_relevant(c, SG_COLLECTION_TRAIN, q))
            t->asked[t->n_asked++] = q;
    return SG_OK;
}

sg_status sg_dsi_texts_new(sg_dsi_texts *out, const sg_train_data *t, const sg_lexicon *words, int length,
                           const char *path, double overlap, sg_error *err)
{
    const sg_collection *c = t->collection;
    builder b = {.t = out};
    made_list list = {0};
    sg_status st;

    *out = (sg_dsi_texts){.collection = c, .words = words, .length = length, .n_docs = t->data->n_items};
    st = list_asked(out, err);
    for (int32_t d = 0; !st && d < out->n_docs; d++) {
        b.text.size = 0;
        if (sg_lexicon_document(&b.text, t->data, (size_t)d))
            st = sg_fail_memory(err, "documents");
        else
            st = add(&b, (sg_bytes){b.text.data ? b.text.data : "", b.text.size}, WORDS_MAX, err);
    }
    for (int32_t q = 0; !st && q < c->n_queries; q++)
        st = add(&b, sg_strings_at(&c->query_text, (size_t)q), (size_t)length, err);
    const size_t first = b.n;
    if (!st && *path && !(st = read_made(&b, &list, (sg_dataset *)(uintptr_t)t->data, path, overlap, err)) &&
        !(st = sift(&b, &list, first, err)) && out->counts.kept == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected queries for documents, found none that can be used",
                     path);
    sg_lexicon_room_free(&b.room);
    sg_buf_free(&b.text);
    sg_free(list.row);
    if (st)
        sg_dsi_texts_free(out);
    return st;
}

/* ---- drawing ---- */

static int take(int32_t *word, const sg_dsi_texts *t, int64_t begin, int64_t end)
{
    const int n = end - begin < t->length ? (int)(end - begin) : t->length;

    memcpy(word, t->word + begin, (size_t)n * sizeof *word);
    return n;
}

/* Words that say something, each once, in their order. */
static int take_set(int32_t *word, const sg_dsi_texts *t, int64_t begin, int64_t end)
{
    int n = 0;

    for (int64_t i = begin; i < end && n < t->length; i++) {
        bool there = sg_lexicon_stop(t->words, t->word[i]);

        for (int k = 0; k < n && !there; k++)
            there = word[k] == t->word[i];
        if (!there)
            word[n++] = t->word[i];
    }
    return n ? n : take(word, t, begin, end);
}

/* Consecutive words from anywhere. A chunk of words that say nothing is moved on, round the end, until it holds one that does; a
 * document without any has nothing better to give. */
static int take_chunk(int32_t *word, const sg_dsi_texts *t, int64_t begin, int64_t end, uint64_t seed,
                      uint64_t draw, uint64_t doc)
{
    const int64_t n = end - begin, places = n > t->length ? n - t->length + 1 : 1;
    const int64_t from = (int64_t)sg_rng_below((uint64_t)places, seed, RNG_CHUNK, draw, doc);

    for (int64_t i = 0; i < places; i++) {
        const int64_t at = begin + (from + i) % places;

        for (int64_t w = at; w < end && w < at + t->length; w++)
            if (!sg_lexicon_stop(t->words, t->word[w]))
                return take(word, t, at, end);
    }
    return take(word, t, begin, end);
}

int sg_dsi_draw(int32_t *word, const sg_dsi_texts *t, int32_t doc, sg_dsi_form form, uint64_t seed,
                uint64_t draw, bool *query)
{
    const int64_t begin = t->offsets[doc], end = t->offsets[doc + 1];
    const int64_t n_made = t->made ? t->made[doc + 1] - t->made[doc] : 0;
    const int64_t forms = n_made + (form != SG_DSI_NONE || n_made == 0);
    const int64_t pick =
        n_made ? (int64_t)sg_rng_below((uint64_t)forms, seed, RNG_QUERY, draw, (uint64_t)doc) : 0;

    *query = pick < n_made;
    if (*query)
        return take(word, t, t->offsets[t->made[doc] + pick], t->offsets[t->made[doc] + pick + 1]);
    return form == SG_DSI_SET        ? take_set(word, t, begin, end)
           : form == SG_DSI_INVERTED ? take_chunk(word, t, begin, end, seed, draw, (uint64_t)doc)
                                     : take(word, t, begin, end);
}

int sg_dsi_draw_query(int32_t *word, int32_t *doc, const sg_dsi_texts *t, uint64_t seed, uint64_t draw)
{
    const sg_judgements *j = &t->collection->split[SG_COLLECTION_TRAIN];
    const int32_t q = t->asked[sg_rng_below((uint64_t)t->n_asked, seed, RNG_QUERY, draw, UINT64_MAX)];
    const size_t text = (size_t)t->n_docs + (size_t)q;
    const uint64_t n = (uint64_t)sg_collection_relevant(t->collection, SG_COLLECTION_TRAIN, q);
    uint64_t left = sg_rng_below(n, seed, RNG_ANSWER, draw, (uint64_t)q);
    int64_t i = j->offsets[q];

    for (; j->grade[i] <= 0 || left > 0; i++)
        left -= j->grade[i] > 0;
    *doc = j->doc[i];
    return take(word, t, t->offsets[text], t->offsets[text + 1]);
}

/* lexicon.c - words counted, kept, and found again. */
#include "models/lexicon.h"

#include "base/alloc.h"
#include "text/hash.h"

#include <stdlib.h>
#include <string.h>

/* English, after case folding and without apostrophes; of other languages no word is left out. */
static const char *const stop_words[] = {
    "a",     "about",   "above",  "after", "again", "against", "all",     "also",    "am",     "an",
    "and",   "any",     "are",    "as",    "at",    "be",      "because", "been",    "before", "being",
    "below", "between", "both",   "but",   "by",    "can",     "could",   "did",     "do",     "does",
    "doing", "down",    "during", "each",  "few",   "for",     "from",    "further", "had",    "has",
    "have",  "having",  "he",     "her",   "here",  "hers",    "him",     "his",     "how",    "i",
    "if",    "in",      "into",   "is",    "it",    "its",     "itself",  "just",    "may",    "me",
    "might", "more",    "most",   "must",  "my",    "no",      "nor",     "not",     "now",    "of",
    "off",   "on",      "once",   "only",  "or",    "other",   "our",     "out",     "over",   "own",
    "same",  "she",     "should", "so",    "some",  "such",    "than",    "that",    "the",    "their",
    "them",  "then",    "there",  "these", "they",  "this",    "those",   "through", "to",     "too",
    "under", "until",   "up",     "upon",  "very",  "was",     "we",      "were",    "what",   "when",
    "where", "which",   "while",  "who",   "whom",  "why",     "will",    "with",    "within", "without",
    "would", "you",     "your",
};

void sg_lexicon_room_free(sg_lexicon_room *r)
{
    sg_words_free(&r->split);
    sg_buf_free(&r->word);
}

void sg_lexicon_free(sg_lexicon *x)
{
    sg_vocab_free(x->index);
    sg_free(x->stop);
    *x = (sg_lexicon){0};
}

/* ---- counting ---- */

typedef struct counted {
    int32_t word;
    uint32_t texts, last; /* last: 1 + number of the last text that held it */
} counted;

static int more_texts(const void *a, const void *b)
{
    const counted *x = a, *y = b;

    if (x->texts != y->texts)
        return x->texts < y->texts ? 1 : -1;
    return (x->word > y->word) - (x->word < y->word);
}

static sg_status count_text(counted **list, size_t *cap, sg_vocab *v, sg_lexicon_room *r, sg_bytes text,
                            uint32_t number, sg_error *err)
{
    sg_status st = sg_words_split(&r->split, text, err);

    for (size_t i = 0; !st && i < r->split.n; i++) {
        const int32_t n = sg_vocab_count(v);
        int32_t word;

        r->word.size = 0;
        sg_words_print(&r->word, &r->split, i);
        if (r->word.failed || !sg_grow(list, cap, (size_t)n + 1, sizeof **list))
            return sg_fail_memory(err, "words");
        if ((st = sg_vocab_add(v, (sg_bytes){r->word.data, r->word.size}, &word, err)))
            return st;
        if (word == n)
            (*list)[n] = (counted){.word = n};
        if ((*list)[word].last != number + 1) {
            (*list)[word].last = number + 1;
            (*list)[word].texts++;
        }
    }
    return st;
}

/* The first n words of the list as the model's arrays. */
static sg_status keep_words(sg_model *m, const sg_vocab *v, const counted *list, size_t n, sg_error *err)
{
    int64_t *offsets = sg_alloc_array(n + 1, sizeof *offsets), at = 0;
    sg_buf bytes = {0};
    char *data;
    sg_status st;

    for (size_t i = 0; offsets && i < n; i++) {
        const sg_bytes word = sg_vocab_at(v, list[i].word);

        offsets[i] = at;
        sg_buf_add(&bytes, word.data, word.size);
        at += (int64_t)word.size;
    }
    sg_buf_add(&bytes, "", 0);
    if (!offsets || bytes.failed || !(data = sg_alloc((size_t)at))) {
        sg_free(offsets);
        sg_buf_free(&bytes);
        return sg_fail_memory(err, "words");
    }
    offsets[n] = at;
    if (at)
        memcpy(data, bytes.data, (size_t)at);
    sg_buf_free(&bytes);
    if ((st = sg_model_array_put(m, "lexicon.bytes", SG_DT_U8, 1, &(uint64_t){(uint64_t)at}, data, err))) {
        sg_free(offsets);
        return st;
    }
    return sg_model_array_put(m, "lexicon.offsets", SG_DT_I64, 1, &(uint64_t){n + 1}, offsets, err);
}

sg_status sg_lexicon_fit(sg_model *m, int32_t most, sg_lexicon_text *text, void *ctx, size_t n, sg_error *err)
{
    sg_lexicon_room r = {0};
    counted *list = NULL;
    sg_vocab *v = NULL;
    sg_buf all = {0};
    size_t cap = 0, words;
    sg_status st = sg_vocab_new(&v, err);

    for (size_t i = 0; !st && i < n; i++) {
        all.size = 0;
        text(ctx, i, &all);
        st = all.failed ? sg_fail_memory(err, "texts")
                        : count_text(&list, &cap, v, &r, (sg_bytes){all.data ? all.data : "", all.size},
                                     (uint32_t)i, err);
    }
    if (!st && (words = (size_t)sg_vocab_count(v)) == 0)
        st = sg_fail(err, SG_ERR_USAGE, "%s: expected texts with words, found none", m->class->name);
    else if (!st) {
        qsort(list, words, sizeof *list, more_texts);
        st = keep_words(m, v, list, words < (size_t)most ? words : (size_t)most, err);
    }
    sg_lexicon_room_free(&r);
    sg_buf_free(&all);
    sg_vocab_free(v);
    sg_free(list);
    return st;
}

/* ---- reading ---- */

static sg_status check_words(sg_lexicon *x, const sg_model *m, int32_t most, sg_error *err)
{
    const int64_t any = -1;
    const sg_model_array *bytes, *offsets;
    sg_status st;

    if ((st = sg_model_array_need(&bytes, m, "lexicon.bytes", SG_DT_U8, 1, &any, err)) ||
        (st = sg_model_array_need(&offsets, m, "lexicon.offsets", SG_DT_I64, 1, &any, err)))
        return st;
    if (offsets->count < 2 || offsets->count > (size_t)most + 1)
        return sg_fail(err, SG_ERR_FORMAT, "array 'lexicon.offsets': expected 2 to %d numbers, found %zu",
                       (int)most + 1, offsets->count);
    x->words = (sg_strings){offsets->count - 1, bytes->data, offsets->data};
    for (size_t i = 0; i < x->words.n; i++)
        if (x->words.offsets[i] < 0 || x->words.offsets[i] > x->words.offsets[i + 1] ||
            x->words.offsets[i + 1] > (int64_t)bytes->count)
            return sg_fail(
                err, SG_ERR_FORMAT,
                "array 'lexicon.offsets': expected ascending numbers from 0 to %zu, found %lld at %zu",
                bytes->count, (long long)x->words.offsets[i], i);
    return SG_OK;
}

sg_status sg_lexicon_need(sg_lexicon *x, const sg_model *m, int32_t most, int32_t hashed, sg_error *err)
{
    sg_status st;

    sg_lexicon_free(x);
    x->most = most;
    x->hashed = hashed;
    if ((st = check_words(x, m, most, err)) || (st = sg_vocab_over(&x->index, &x->words, err)))
        return st;
    if (!(x->stop = sg_alloc_zero(x->words.n, 1)))
        return sg_fail_memory(err, "words");
    for (size_t i = 0; i < sizeof stop_words / sizeof *stop_words; i++) {
        const int32_t id = sg_vocab_find(x->index, (sg_bytes){stop_words[i], strlen(stop_words[i])});

        if (id >= 0)
            x->stop[id] = 1;
    }
    return SG_OK;
}

sg_status sg_lexicon_read(int32_t *id, size_t *n, const sg_lexicon *x, sg_lexicon_room *r, sg_bytes text,
                          size_t most, sg_error *err)
{
    sg_status st = sg_words_split(&r->split, text, err);

    *n = 0;
    for (size_t i = 0; !st && i < r->split.n && i < most; i++) {
        r->word.size = 0;
        sg_words_print(&r->word, &r->split, i);
        if (r->word.failed)
            return sg_fail_memory(err, "words");
        id[i] = sg_vocab_find(x->index, (sg_bytes){r->word.data, r->word.size});
        if (id[i] < 0)
            id[i] = x->most + (int32_t)(sg_hash_bytes(r->word.data, r->word.size, 0) % (uint64_t)x->hashed);
        (*n)++;
    }
    return st;
}

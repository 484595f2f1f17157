/* lexicon.c - words counted, kept, and found again. */
#include "models/lexicon.h"

#include "base/alloc.h"
#include "text/hash.h"

#include <stdlib.h>
#include <string.h>

/* English, after case folding and without apostrophes, in the order of bytes; of other languages no word is left out. */
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
    sg_free(r->id);
    sg_stemmer_free(r->stemmer);
    *r = (sg_lexicon_room){0};
}

void sg_lexicon_free(sg_lexicon *x)
{
    sg_vocab_free(x->index);
    sg_free(x->stop);
    *x = (sg_lexicon){0};
}

/* ---- a word ---- */

static int by_bytes(const void *key, const void *entry)
{
    const sg_buf *word = key;
    const char *stop = *(const char *const *)entry;
    const size_t n = strlen(stop);
    const int order = memcmp(word->data, stop, word->size < n ? word->size : n);

    return order ? order : (word->size > n) - (word->size < n);
}

static bool says_nothing(const sg_buf *word)
{
    return bsearch(word, stop_words, sizeof stop_words / sizeof *stop_words, sizeof *stop_words, by_bytes) !=
           NULL;
}

/* Word i of the text that r holds, in its form, into r->word; *kept: whether it has one. */
static sg_status take_word(bool *kept, sg_lexicon_room *r, const sg_word_form *form, size_t i, sg_error *err)
{
    sg_status st = SG_OK;

    r->word.size = 0;
    sg_words_print(&r->word, &r->split, i);
    if (r->word.failed)
        return sg_fail_memory(err, "words");
    *kept = !form->drop_stop || !says_nothing(&r->word);
    if (!*kept || !form->stemmer)
        return SG_OK;
    if (!r->stemmer)
        st = sg_stemmer_new(&r->stemmer, form->stemmer, err);
    return st ? st : sg_stem(r->stemmer, &r->word, err);
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

static sg_status count_text(counted **list, size_t *cap, sg_vocab *v, sg_lexicon_room *r,
                            const sg_word_form *form, sg_bytes text, uint32_t number, sg_error *err)
{
    sg_status st = sg_words_split(&r->split, text, err);

    for (size_t i = 0; !st && i < r->split.n; i++) {
        const int32_t n = sg_vocab_count(v);
        int32_t word;
        bool kept;

        if ((st = take_word(&kept, r, form, i, err)) || !kept)
            continue;
        if (!sg_grow(list, cap, (size_t)n + 1, sizeof **list))
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

sg_status sg_lexicon_fit(sg_model *m, int32_t most, const sg_word_form *form, sg_lexicon_text *text,
                         void *ctx, size_t n, sg_error *err)
{
    const sg_word_form plain = {0};
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
                        : count_text(&list, &cap, v, &r, form ? form : &plain,
                                     (sg_bytes){all.data ? all.data : "", all.size}, (uint32_t)i, err);
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

sg_status sg_lexicon_need(sg_lexicon *x, const sg_model *m, int32_t most, int32_t hashed,
                          const sg_word_form *form, sg_error *err)
{
    sg_status st;

    sg_lexicon_free(x);
    x->form = form ? *form : (sg_word_form){0};
    x->most = most;
    x->hashed = hashed;
    if (x->form.stemmer) { /* now, not with the first query */
        sg_stemmer *stemmer;

        if ((st = sg_stemmer_new(&stemmer, x->form.stemmer, err)))
            return st;
        sg_stemmer_free(stemmer);
    }
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

sg_status sg_lexicon_document(sg_buf *out, const sg_dataset *d, size_t doc)
{
    for (int c = 0; c < d->n_columns; c++) {
        const sg_bytes cell = sg_strings_at(&d->columns[c].text, doc);

        if (c)
            sg_buf_putc(out, ' ');
        sg_buf_add(out, cell.data, cell.size);
    }
    return out->failed ? SG_ERR_MEMORY : SG_OK;
}

/* Numbers of the first words of the text that r holds, at most `most`. */
static sg_status find_words(int32_t *id, size_t *n, const sg_lexicon *x, sg_lexicon_room *r, size_t most,
                            sg_error *err)
{
    *n = 0;
    for (size_t i = 0; i < r->split.n && *n < most; i++) {
        bool kept;
        const sg_status st = take_word(&kept, r, &x->form, i, err);
        int32_t word;

        if (st)
            return st;
        if (!kept)
            continue;
        word = sg_vocab_find(x->index, (sg_bytes){r->word.data, r->word.size});
        if (word < 0 && x->hashed)
            word = x->most + (int32_t)(sg_hash_bytes(r->word.data, r->word.size, 0) % (uint64_t)x->hashed);
        id[(*n)++] = word;
    }
    return SG_OK;
}

sg_status sg_lexicon_read(int32_t *id, size_t *n, const sg_lexicon *x, sg_lexicon_room *r, sg_bytes text,
                          size_t most, sg_error *err)
{
    const sg_status st = sg_words_split(&r->split, text, err);

    *n = 0;
    return st ? st : find_words(id, n, x, r, most, err);
}

sg_status sg_lexicon_read_all(size_t *n, const sg_lexicon *x, sg_lexicon_room *r, sg_bytes text,
                              sg_error *err)
{
    const sg_status st = sg_words_split(&r->split, text, err);

    *n = 0;
    if (st)
        return st;
    if (!sg_grow(&r->id, &r->cap_id, r->split.n, sizeof *r->id))
        return sg_fail_memory(err, "words");
    return find_words(r->id, n, x, r, r->split.n, err);
}

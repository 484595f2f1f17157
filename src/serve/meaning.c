/* meaning.c - words that mark a set of items.
 *
 * With p(w) the share of all items whose text has the word w, and q(w) the share in the set, a word's weight is
 *   q(w) log(q(w) / p(w)),
 * its part of the Kullback-Leibler divergence: frequent in the set and rare elsewhere. Large catalogues are sampled at even
 * steps, so the work does not grow with them. */
#include "serve/meaning.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

enum { SAMPLE_ALL = 20000, SAMPLE_SET = 2000, TEXT_MAX = 400, WORD_MIN = 3, WORD_MAX = 40 };

typedef struct word {
    char text[WORD_MAX + 1]; /* empty: a free slot */
    uint32_t items;          /* that have it */
    uint32_t last_item;      /* 1 + the item that was counted last: an item counts once */
} word;

typedef struct words { /* open addressing, at most half full */
    word *slot;        /* owned */
    size_t n, cap;
} words;

struct sg_meaning {
    const sg_dataset *data; /* borrowed */
    words all;
    double n_all; /* items sampled */
};

static size_t hash_word(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return (size_t)(h ^ (h >> 29));
}

static word *find_slot(const words *w, const char *s, size_t n)
{
    size_t i = hash_word(s, n) & (w->cap - 1);

    while (w->slot[i].text[0] && (strncmp(w->slot[i].text, s, n) != 0 || w->slot[i].text[n]))
        i = (i + 1) & (w->cap - 1);
    return &w->slot[i];
}

static bool make_room(words *w)
{
    words bigger = {.cap = w->cap ? 2 * w->cap : 1024};

    if (w->cap && w->n < w->cap / 2)
        return true;
    if (!(bigger.slot = sg_alloc_zero(bigger.cap, sizeof *bigger.slot)))
        return false;
    for (size_t i = 0; i < w->cap; i++)
        if (w->slot[i].text[0])
            *find_slot(&bigger, w->slot[i].text, strlen(w->slot[i].text)) = w->slot[i];
    bigger.n = w->n;
    sg_free(w->slot);
    *w = bigger;
    return true;
}

static bool count_word(words *w, const char *s, size_t n, uint32_t item)
{
    word *slot;

    if (n < WORD_MIN || n > WORD_MAX)
        return true;
    if (!make_room(w))
        return false;
    slot = find_slot(w, s, n);
    if (!slot->text[0]) {
        memcpy(slot->text, s, n);
        w->n++;
    }
    if (slot->last_item != item + 1) {
        slot->items++;
        slot->last_item = item + 1;
    }
    return true;
}

static bool is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Words are runs of letters; every byte of a character outside ASCII counts as one. */
static bool count_text(words *w, sg_bytes text, uint32_t item)
{
    const size_t size = text.size < TEXT_MAX ? text.size : TEXT_MAX;
    char lower[WORD_MAX + 1];
    size_t n = 0;

    for (size_t i = 0; i <= size; i++) {
        const unsigned char c = i < size ? (unsigned char)text.data[i] : 0;

        if (is_letter(c)) {
            if (n < WORD_MAX)
                lower[n] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            n++;
        } else {
            if (!count_word(w, lower, n, item))
                return false;
            n = 0;
        }
    }
    return true;
}

static bool count_item(words *w, const sg_dataset *d, int32_t item)
{
    for (int c = 0; c < d->n_columns; c++)
        if (!count_text(w, sg_strings_at(&d->columns[c].text, (size_t)item), (uint32_t)item))
            return false;
    return true;
}

sg_status sg_meaning_new(sg_meaning **out, const sg_dataset *d, sg_error *err)
{
    sg_meaning *m = sg_alloc_zero(1, sizeof *m);
    const int32_t step = d->n_items / SAMPLE_ALL + 1;

    *out = NULL;
    if (!m)
        return sg_fail_memory(err, "words of items");
    m->data = d;
    for (int32_t i = 0; i < d->n_items; i += step, m->n_all++)
        if (!count_item(&m->all, d, i)) {
            sg_meaning_free(m);
            return sg_fail_memory(err, "words of items");
        }
    *out = m;
    return SG_OK;
}

void sg_meaning_free(sg_meaning *m)
{
    if (m)
        sg_free(m->all.slot);
    sg_free(m);
}

static double weight(const sg_meaning *m, const word *w, double n_set)
{
    const word *everywhere = m->all.cap ? find_slot(&m->all, w->text, strlen(w->text)) : NULL;
    const double p = ((everywhere ? everywhere->items : 0) + 0.5) / (m->n_all + 1), q = w->items / n_set;

    return q > p ? q * log(q / p) : 0;
}

json_t *sg_meaning_words(sg_meaning *m, const sg_catalogue *c, int32_t first, int32_t last, int n)
{
    const int32_t step = (last - first) / SAMPLE_SET + 1;
    words set = {0};
    json_t *list = json_array();
    double n_set = 0;
    bool good = list != NULL;

    for (int32_t leaf = first; good && leaf < last; leaf += step) {
        const int32_t item = sg_catalogue_item(c, leaf);

        if (item >= m->data->n_items) /* came after the dataset */
            continue;
        good = count_item(&set, m->data, item);
        n_set++;
    }
    for (int k = 0; good && k < n; k++) {
        word *best = NULL;
        double most = 0;

        for (size_t i = 0; i < set.cap; i++) {
            word *w = &set.slot[i];
            const double x = w->text[0] && w->items > 1 ? weight(m, w, n_set) : 0;

            if (x > most || (best && x == most && x > 0 && strcmp(w->text, best->text) < 0)) {
                most = x;
                best = w;
            }
        }
        if (!best)
            break;
        /* bytes beyond ASCII may be cut characters: such a word is left out, not printed broken */
        json_t *text = json_string(best->text);
        if (text)
            good = !json_array_append_new(list, text);
        best->items = 0;
    }
    sg_free(set.slot);
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

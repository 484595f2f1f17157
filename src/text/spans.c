/* spans.c - every run of words has a key, what it shares plus Gumbel noise, and the largest keys are the draw: this is sampling
 * without replacement from the softmax of what is shared [Yellott 1977]. */
#include "text/spans.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { STREAM = SG_RNG_USER + 90, LETTERS_LEAST = 4 };

typedef struct word {
    size_t begin, end;
    uint64_t hash; /* of its letters and digits in lower case; 0: too few */
} word;

typedef struct words {
    word *item; /* owned */
    size_t n, cap;
} words;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static uint64_t hash_of(sg_bytes text, size_t begin, size_t end)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    int letters = 0;

    for (size_t i = begin; i < end; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c - 'A' + 'a');
        if (c < 0x80 && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            continue;
        h = (h ^ c) * 0x100000001b3u;
        letters += (c & 0xc0) != 0x80;
    }
    return letters < LETTERS_LEAST ? 0 : h ? h : 1;
}

static sg_status split(words *out, sg_bytes text, sg_error *err)
{
    for (size_t at = 0, end; at < text.size; at = end) {
        while (at < text.size && is_space(text.data[at]))
            at++;
        for (end = at; end < text.size && !is_space(text.data[end]);)
            end++;
        if (at == end)
            break;
        if (!sg_grow(&out->item, &out->cap, out->n + 1, sizeof *out->item))
            return sg_fail_memory(err, "words");
        out->item[out->n++] = (word){at, end, hash_of(text, at, end)};
    }
    return SG_OK;
}

/* Words of the run that the query has, each once; one that the run begins with counts twice: what comes first is what a model is
 * surest of. */
static int shared(const word *run, size_t n, const words *query)
{
    int sum = 0;

    for (size_t i = 0; i < n; i++) {
        bool known = false, repeated = false;

        for (size_t k = 0; k < i && !repeated; k++)
            repeated = run[k].hash == run[i].hash;
        for (size_t k = 0; k < query->n && !known && !repeated && run[i].hash; k++)
            known = query->item[k].hash == run[i].hash;
        sum += known + (known && i == 0);
    }
    return sum;
}

sg_status sg_spans_draw(sg_span *out, int *n_out, int n, sg_bytes text, sg_bytes query,
                        const sg_span_how *how, sg_error *err)
{
    words all = {0}, asked = {0};
    double *key = sg_alloc_array((size_t)n + 1, sizeof *key); /* of out, descending */
    sg_status st = key ? SG_OK : sg_fail_memory(err, "spans");

    *n_out = 0;
    if (!st && !(st = split(&all, text, err)))
        st = split(&asked, query, err);
    const size_t run = all.n < (size_t)how->words ? all.n : (size_t)how->words;
    for (size_t i = 0; i + run <= all.n && run && !st; i++) {
        const double u = sg_rng_double(how->seed, STREAM, how->number, i);
        const double mine =
            how->sharpness * shared(all.item + i, run, &asked) - log(-log(u > 0 ? u : 0x1p-60));
        int at = *n_out < n ? (*n_out)++ : n;

        for (; at > 0 && mine > key[at - 1]; at--)
            if (at < n) {
                key[at] = key[at - 1];
                out[at] = out[at - 1];
            }
        if (at < n) {
            key[at] = mine;
            out[at] = (sg_span){all.item[i].begin, all.item[i + run - 1].end};
        }
    }
    sg_free(all.item);
    sg_free(asked.item);
    sg_free(key);
    return st;
}

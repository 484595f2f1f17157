/* doctor.c - is this codebook healthy, and if not, what to do.
 *
 * Per level: codes in use, entropy H of the code frequencies, perplexity exp(H), the share of the commonest code, and how
 * many different codes follow a prefix on average. Over all levels: how many tuples are unique before the collision digit,
 * the largest clash, items whose vectors are equal bit for bit. The thresholds are TIGER's (80 % usage) and those of
 * practice: half the codes as perplexity at level 1, 80 % unique tuples.
 * An hourglass: a middle level whose perplexity is less than half of both its neighbours'.  [Kuai et al. 2024] */
#include "quantize/quantize.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct level_health {
    int used;
    double entropy;  /* nats */
    double largest;  /* share of the commonest code */
    double children; /* different codes of this level behind one prefix of the levels before */
    double error;
} level_health;

typedef struct health {
    level_health level[SG_LEVELS_MAX];
    int levels;                        /* without the digit */
    int32_t tuples;                    /* different ones */
    int32_t colliding;                 /* items that share their tuple */
    int32_t clash;                     /* most items with one tuple */
    int32_t duplicates;                /* items whose vector another item has, too; -1: no vectors */
    int32_t length[SG_LEVELS_MAX + 1]; /* items with so many codes, where IDs end */
} health;

/* Codes of a level, without the one that ends an ID. */
static int32_t codes_of(const sg_codes *c, int l)
{
    return c->size[l] - (c->ends && l > 0);
}

/* Among the items that have a code there. */
static void judge_level(level_health *h, const sg_codes *c, int l, int32_t *count)
{
    int32_t n = 0;

    memset(count, 0, (size_t)c->size[l] * sizeof *count);
    for (int32_t i = 0; i < c->n; i++)
        count[c->codes[(size_t)i * (size_t)c->levels + (size_t)l]]++;
    for (int32_t k = 0; k < codes_of(c, l); k++)
        n += count[k];
    for (int32_t k = 0; k < codes_of(c, l); k++) {
        const double p = (double)count[k] / n;

        if (!count[k])
            continue;
        h->used++;
        h->entropy -= p * log(p);
        h->largest = p > h->largest ? p : h->largest;
    }
    h->error = c->error[l];
}

/* order: rows sorted. Prefixes are runs of it. */
static void judge_tuples(health *h, const sg_codes *c, const uint32_t *order)
{
    const size_t width = (size_t)c->levels;
    int32_t prefixes[SG_LEVELS_MAX + 1] = {0}, run = 0;

    for (int32_t i = 0; i < c->n; i++) {
        const int32_t *row = c->codes + order[i] * width,
                      *before = i ? c->codes + order[i - 1] * width : NULL;
        int same = 0;

        while (before && same < h->levels && row[same] == before[same])
            same++;
        for (int l = before ? same : 0; l < h->levels; l++)
            prefixes[l + 1]++;
        if (before && same == h->levels) {
            h->colliding += run == 1 ? 2 : 1;
            run++;
        } else {
            run = 1;
        }
        h->clash = run > h->clash ? run : h->clash;
    }
    prefixes[0] = 1;
    for (int l = 0; l < h->levels; l++)
        h->level[l].children = (double)prefixes[l + 1] / prefixes[l];
    h->tuples = prefixes[h->levels];
}

/* Items with equal vectors have equal codes, so they lie in one run of `order`. */
static int32_t count_duplicates(const sg_codes *c, const uint32_t *order, int levels, const float *x,
                                size_t dim)
{
    const size_t width = (size_t)c->levels;
    int32_t count = 0;

    for (int32_t i = 0, end; i < c->n; i = end) {
        for (end = i + 1; end < c->n && memcmp(c->codes + order[i] * width, c->codes + order[end] * width,
                                               (size_t)levels * sizeof *c->codes) == 0;)
            end++;
        for (int32_t a = i; a < end && end - i <= 4096; a++) /* larger runs say enough by themselves */
            for (int32_t b = i; b < end; b++)
                if (a != b && memcmp(x + order[a] * dim, x + order[b] * dim, dim * sizeof *x) == 0) {
                    count++;
                    break;
                }
    }
    return count;
}

static sg_status examine(health *h, const sg_codes *c, const float *x, int dim, sg_error *err)
{
    uint32_t *order = sg_alloc_array((size_t)c->n, sizeof *order);
    int32_t most = 1, *count;
    sg_status st;

    for (int l = 0; l < c->levels; l++)
        most = c->size[l] > most ? c->size[l] : most;
    count = sg_alloc_array((size_t)most, sizeof *count);
    st = order && count ? sg_codes_order(order, c->codes, c->n, c->levels, c->size, err)
                        : sg_fail_memory(err, "doctor");
    if (st == SG_OK) {
        h->levels = c->levels - c->digit;
        for (int l = 0; l < h->levels; l++)
            judge_level(&h->level[l], c, l, count);
        judge_tuples(h, c, order);
        for (size_t i = 0; i < (size_t)c->n; i++)
            h->length[sg_codes_length(c, i)]++;
        h->duplicates =
            x && !c->latent && c->book ? count_duplicates(c, order, h->levels, x, (size_t)dim) : -1;
    }
    sg_free(order);
    sg_free(count);
    return st;
}

/* ---- advice --------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) advise(json_t *list, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(list, json_string(text));
}

#define BOOKS                                                                                                \
    "fewer codes would do, or the codes collapsed (keep kmeans_init and restart_dead on, try "               \
    "optimizer=adagrad or a smaller lr)"

/* What helps, method by method; NULL: nothing does, or nothing is wrong. An option named here is one that the method reads. */
static const struct remedies {
    const char *method;
    const char *unused;   /* many codes without an item */
    const char *lopsided; /* one code with many */
    const char *hourglass;
    const char *depth; /* the option that says how many levels there are */
    const char *finer; /* more different tuples, beside more levels */
} remedies[] = {
    {"import", "fewer codes would do, or the codes collapsed", NULL, NULL, NULL, NULL},
    {"rkmeans", "fewer codes would do", "try standardise=true or balanced=true",
     "try balanced=true or fewer codes", "levels", "more codes or collision=next"},
    {"alit", "fewer codes would do", "try standardise=true or balanced=true",
     "try balanced=true or fewer codes", "cap", "more codes or collision=next"},
    {"rqvae", BOOKS, "try standardise=true", "try fewer codes", "levels", "more codes or collision=next"},
    {"vqvae", BOOKS, "try standardise=true", NULL, NULL, "more codes or collision=next"},
    {"fsq", "a coarser grid would do", "try standardise=true", "try a coarser grid", "levels",
     "a finer grid"},
    {"lfq", "fewer codes would do, or a larger entropy spreads the items",
     "try standardise=true or a larger entropy", "try a larger entropy or fewer codes", "levels",
     "more codes"},
    {"pq", "fewer codes would do", "try standardise=true or balanced=true", NULL, "levels",
     "more codes or collision=next"},
    {"opq", "fewer codes would do", "try standardise=true", NULL, "levels", "more codes or collision=next"},
    {"hkmeans", NULL, "try standardise=true or balanced=true", "try balanced=true", NULL,
     NULL}, /* the number in the leaf is part of its ID */
};

/* NULL: controls, whose codes are what they are meant to be. */
static const struct remedies *remedies_of(const char *method)
{
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (strcmp(remedies[i].method, method) == 0)
            return &remedies[i];
    return NULL;
}

static void advise_levels(json_t *list, const health *h, const sg_codes *c, const struct remedies *r)
{
    for (int l = 0; l < h->levels; l++) {
        const level_health *x = &h->level[l];
        const double perplexity = exp(x->entropy);

        if (r->unused && !c->ends && c->n >= 10 * c->size[l] && x->used < 0.8 * c->size[l])
            advise(list, "level %d uses %d of %d codes: %s", l + 1, x->used, (int)c->size[l], r->unused);
        if (l == 0 && c->n >= 10 * c->size[0] && perplexity < 0.5 * c->size[0])
            advise(list,
                   "level 1 is lopsided: its %d codes in use are worth %.0f equal ones, and the commonest "
                   "holds %.1f %% of "
                   "the items%s%s",
                   x->used, perplexity, 100 * x->largest, r->lopsided ? ": " : "",
                   r->lopsided ? r->lopsided : "");
        if (l > 0 && l + 1 < h->levels && 2 * perplexity < exp(h->level[l - 1].entropy) &&
            2 * perplexity < exp(h->level[l + 1].entropy))
            advise(list,
                   "hourglass: level %d is worth %.0f equal codes, its neighbours %.0f and %.0f, so many "
                   "items pass "
                   "through few prefixes%s%s",
                   l + 1, perplexity, exp(h->level[l - 1].entropy), exp(h->level[l + 1].entropy),
                   r->hourglass ? ": " : "", r->hourglass ? r->hourglass : "");
        if (r->depth && !c->product && l > 0 && isfinite(x->error) && x->error > 0.97 * h->level[l - 1].error)
            advise(list, "level %d removes only %.1f %% of the error that level %d left: %s=%d would do",
                   l + 1, 100 * (1 - x->error / h->level[l - 1].error), l, r->depth, l);
    }
}

/* Of one level with about ten items a code; 0: no option says how many there are. */
static int codes_for(int32_t n, const char *method)
{
    int codes = n / 10 > 2 ? n / 10 : 2;

    if (strcmp(method, "hkmeans") == 0 || strcmp(method, "fsq") == 0 || strcmp(method, "import") == 0)
        return 0;
    while (strcmp(method, "lfq") == 0 && codes & (codes - 1)) /* a power of 2 */
        codes &= codes - 1;
    return codes;
}

/* The next larger number of levels that the method takes; 0: there is none. */
static int deeper(const sg_codes *c, int levels, const struct remedies *r)
{
    const int most = strcmp(r->method, "alit") == 0 ? SG_LEVELS_MAX - 1 : 8, dim = c->book_dim * levels;

    for (int more = levels + 1; r->depth && more <= most; more++)
        if (!c->product || dim % more == 0)
            return more;
    return 0;
}

static void advise_uniqueness(json_t *list, const health *h, const sg_codes *c, const struct remedies *r)
{
    const int more = deeper(c, h->levels, r);
    char levels[64] = "";

    if (more)
        snprintf(levels, sizeof levels, "%s=%d%s", r->depth, more, r->finer ? ", " : "");
    advise(list, "only %.1f %% of the tuples are unique%s%s%s", 100 * (double)h->tuples / c->n,
           more || r->finer ? ": try " : "", levels, r->finer ? r->finer : "");
}

static json_t *make_advice(const health *h, const sg_codes *c, const char *method)
{
    const struct remedies *r = remedies_of(method);
    json_t *list = json_array();

    if (!r)
        return list;
    if (h->levels && c->size[0] > 2 && c->n < 10 * c->size[0]) {
        const int codes = codes_for(c->n, method);

        if (codes)
            advise(list, "%d codes at level 1 for %d items: with codes=%d a code would hold about ten",
                   (int)c->size[0], (int)c->n, codes);
        else
            advise(list, "%d codes at level 1 for %d items: a code holds fewer than ten", (int)c->size[0],
                   (int)c->n);
    }
    advise_levels(list, h, c, r);
    if (h->duplicates > 0 && h->duplicates > c->n / 50)
        advise(list,
               "%d items have exactly the vector of another item: no tokenizer can tell these apart; more "
               "item text would",
               (int)h->duplicates);
    if (h->tuples < 0.8 * c->n && strcmp(method, "hkmeans") != 0)
        advise_uniqueness(list, h, c, r);
    if (h->clash > 256)
        advise(list,
               "%d items share one tuple: look at these items (the report of `sedge inspect` names them): is "
               "their content "
               "empty or the same?",
               (int)h->clash);
    return list;
}

/* ---- report --------------------------------------------------------------------------------------------------- */

/* {"mean": ..., "items": [of one code, of two, ...]} */
static json_t *lengths_json(const health *h, int32_t n)
{
    json_t *items = json_array();
    double sum = 0;

    for (int l = 1; l <= h->levels; l++) {
        json_array_append_new(items, json_integer(h->length[l]));
        sum += (double)l * h->length[l];
    }
    return json_pack("{s:f, s:o}", "mean", sum / n, "items", items);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

sg_status sg_doctor(json_t **out, const sg_codes *c, const char *method, const float *x, int dim,
                    sg_error *err)
{
    health h = {0};
    json_t *levels, *collisions;
    const sg_status st = examine(&h, c, x, dim, err);

    *out = NULL;
    if (st)
        return st;
    levels = json_array();
    for (int l = 0; l < h.levels; l++)
        json_array_append_new(levels,
                              json_pack("{s:i, s:i, s:i, s:f, s:i, s:f, s:f, s:f, s:f, s:o}", "level", l + 1,
                                        "codes", (int)codes_of(c, l), "used", h.level[l].used, "usage",
                                        (double)h.level[l].used / codes_of(c, l), "dead",
                                        (int)codes_of(c, l) - h.level[l].used, "entropy_bits",
                                        h.level[l].entropy / log(2), "perplexity", exp(h.level[l].entropy),
                                        "largest_share", h.level[l].largest, "codes_per_prefix",
                                        h.level[l].children, "error", number(h.level[l].error)));
    collisions = json_pack("{s:i, s:i, s:f, s:i, s:i}", "tuples", (int)h.tuples, "items_sharing",
                           (int)h.colliding, "unique_share", (double)h.tuples / c->n, "largest", (int)h.clash,
                           "digit_codes", c->digit ? (int)c->size[c->levels - 1] : 0);
    *out = json_pack("{s:i, s:o, s:o, s:o}", "items", (int)c->n, "levels", levels, "collisions", collisions,
                     "advice", make_advice(&h, c, method));
    if (*out && isfinite(c->reconstruction))
        json_object_set_new(*out, "reconstruction_error", json_real(c->reconstruction));
    if (*out && c->ends)
        json_object_set_new(*out, "lengths", lengths_json(&h, c->n));
    if (*out && h.duplicates >= 0)
        json_object_set_new(*out, "equal_vectors", json_integer(h.duplicates));
    return *out ? SG_OK : sg_fail_memory(err, "codebook report");
}

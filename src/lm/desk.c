/* desk.c - the forward of decoders of the Llama family over rows of many texts (formulas: lm/llama.c).
 *
 * A row is one token of one text. Matrices see all rows of a step at once; attention sees each text's own past, which lies in pages of
 * SG_PAGE tokens with all layers of them (math/paged.h), in f32. Texts share pages; who writes into a shared page copies it first.
 *
 * Vectors that a model has in front of every text (prompt tuning) are read once, as a text of their own that all others begin with. */
#include "lm/desk_rows.h"

#include "base/alloc.h"
#include "lm/llama_parts.h"
#include "math/gemm.h"
#include "math/kernels.h"
#include "math/paged.h"

#include <math.h>
#include <string.h>

enum {
    CHUNK = 128 /* rows that go through all layers at once */,
    GRAIN = 1 << 14,
    SPARE_PAGES = 64, /* kept for the next texts */
    UNIT_TOKENS = 16, /* of a text in one piece of attention */
    NO_TOKEN = -1,
};

typedef struct page page;
struct page {
    int texts;                   /* that hold it */
    page *next;                  /* among the spare ones */
    _Alignas(64) float number[]; /* (layers, kv_heads, keys then values) */
};

typedef struct text {
    bool open;
    int length;   /* with the vectors in front, which callers do not count */
    float **page; /* (n_pages) numbers of pages */
    size_t cap_page, cap_id;
    int n_pages;
    int32_t *id; /* (length); of vectors in front: NO_TOKEN */
} text;

typedef struct row {
    int text, place;
} row;

typedef struct unit {          /* a run of rows of one text and one head of keys: a piece of attention */
    int first, n, head, heads; /* rows; first query head, and how many */
} unit;

typedef struct llama_desk {
    sg_desk desk;
    const sg_llama *m; /* borrowed */
    sg_pool *pool;     /* borrowed */
    text *text;        /* owned */
    size_t cap_text;
    int n_texts;
    int front;   /* vectors in front of every text: text 0 holds them */
    page *spare; /* owned */
    int n_spare;
    size_t page_floats, keys_floats, values_floats; /* of a page; of a head in it */
    double *frequency;                              /* owned: (head_dim / 2) */
    float *memory;                                  /* owned: all of the below, for CHUNK rows */
    float *x, *n, *q, *a, *k, *v, *gate, *up, *turn, *sums, *states, *logits, *work, *others;
    size_t work_floats; /* a thread */
    row *row;           /* owned: (CHUNK) */
    unit *unit;         /* owned */
    size_t cap_unit, n_units;
    int n_rows, layer;
    sg_depth depth;
    float *taken; /* owned: (CHUNK, dim) states of that depth; NULL: those after the last norm */
} llama_desk;

/* ---- pages ---------------------------------------------------------------------------------------------------------------- */
static float *take_page(llama_desk *d)
{
    page *p = d->spare;

    if (p) {
        d->spare = p->next;
        d->n_spare--;
    } else if (
        !(p = sg_alloc_zero(
              1,
              sizeof *p +
                  d->page_floats *
                      sizeof *p
                          ->number))) { /* values of places not written weigh nothing, but must be numbers */
        return NULL;
    }
    p->texts = 1;
    p->next = NULL;
    return p->number;
}

static page *page_of(float *number)
{
    return (page *)(void *)((char *)number - offsetof(page, number));
}

static void leave_page(llama_desk *d, float *number)
{
    page *p = page_of(number);

    if (--p->texts > 0)
        return;
    if (d->n_spare >= SPARE_PAGES) {
        sg_free(p);
        return;
    }
    p->next = d->spare;
    d->spare = p;
    d->n_spare++;
}

/* Where in a page the keys of a head begin; its values stand behind them. */
static size_t keys_at(const llama_desk *d, int layer, int head)
{
    return ((size_t)layer * (size_t)d->m->config.kv_heads + (size_t)head) *
           (d->keys_floats + d->values_floats);
}

/* Pages for `more` tokens behind the text, the one it goes on in its own. */
static bool make_room(llama_desk *d, text *t, int more)
{
    const int want = (t->length + more + SG_PAGE - 1) / SG_PAGE, open = t->length / SG_PAGE;

    if (!sg_grow(&t->page, &t->cap_page, (size_t)want + 1, sizeof *t->page) ||
        !sg_grow(&t->id, &t->cap_id, (size_t)t->length + (size_t)more + 1, sizeof *t->id))
        return false;
    if (more > 0 && open < t->n_pages && page_of(t->page[open])->texts > 1) {
        float *mine = take_page(d);

        if (!mine)
            return false;
        memcpy(mine, t->page[open], d->page_floats * sizeof *mine);
        leave_page(d, t->page[open]);
        t->page[open] = mine;
    }
    while (t->n_pages < want) {
        if (!(t->page[t->n_pages] = take_page(d)))
            return false;
        t->n_pages++;
    }
    return true;
}

/* ---- texts ---------------------------------------------------------------------------------------------------------------- */
static sg_status open_empty(llama_desk *d, int *out, sg_error *err)
{
    int at = 0;

    while (at < d->n_texts && d->text[at].open)
        at++;
    if (at == d->n_texts) {
        if (!sg_grow(&d->text, &d->cap_text, (size_t)d->n_texts + 1, sizeof *d->text))
            return sg_fail_memory(err, "texts");
        d->text[d->n_texts++] = (text){0};
    }
    d->text[at].open = true;
    *out = at; /* untouched after an error */
    return SG_OK;
}

static void desk_cut(sg_desk *desk, int which, int length)
{
    llama_desk *d = (llama_desk *)(void *)desk;
    text *t = &d->text[which];

    length = d->front + (length < 0 ? 0 : length);
    if (length >= t->length)
        return;
    t->length = length;
    while (t->n_pages * SG_PAGE >= t->length + SG_PAGE)
        leave_page(d, t->page[--t->n_pages]);
}

static void desk_close(sg_desk *desk, int which)
{
    llama_desk *d = (llama_desk *)(void *)desk;
    text *t = &d->text[which];

    while (t->n_pages > 0)
        leave_page(d, t->page[--t->n_pages]);
    t->length = 0;
    t->open = false;
}

/* A new text with the first n tokens of `from`. */
static sg_status share(llama_desk *d, int *out, int from, int n, sg_error *err)
{
    const int pages = (n + SG_PAGE - 1) / SG_PAGE;
    sg_status st = open_empty(d, out, err);

    if (st)
        return st;
    text *t = &d->text[*out];
    const text *old = &d->text[from];

    if (!sg_grow(&t->page, &t->cap_page, (size_t)pages + 1, sizeof *t->page) ||
        !sg_grow(&t->id, &t->cap_id, (size_t)n + 1, sizeof *t->id)) {
        desk_close(&d->desk, *out);
        return sg_fail_memory(err, "texts");
    }
    for (; t->n_pages < pages; t->n_pages++) {
        t->page[t->n_pages] = old->page[t->n_pages];
        page_of(t->page[t->n_pages])->texts++;
    }
    if (n)
        memcpy(t->id, old->id, (size_t)n * sizeof *t->id);
    t->length = n;
    return SG_OK;
}

static sg_status desk_open(sg_desk *desk, int *out, sg_error *err)
{
    llama_desk *d = (llama_desk *)(void *)desk;

    return d->front ? share(d, out, 0, d->front, err) : open_empty(d, out, err);
}

static sg_status desk_fork(sg_desk *desk, int *out, int from, sg_error *err)
{
    llama_desk *d = (llama_desk *)(void *)desk;

    return share(d, out, from, d->text[from].length, err);
}

static sg_status desk_begin(sg_desk *desk, int *out, int *known, const int32_t *prompt, int n, sg_error *err)
{
    llama_desk *d = (llama_desk *)(void *)desk;
    int best = -1;

    *known = 0;
    for (int i = 0; i < d->n_texts; i++) {
        const text *t = &d->text[i];
        int same = 0;

        while (t->open && d->front + same < t->length && same < n - 1 &&
               t->id[d->front + same] == prompt[same])
            same++;
        if (same > *known) {
            *known = same;
            best = i;
        }
    }
    return best < 0 ? desk_open(desk, out, err) : share(d, out, best, d->front + *known, err);
}

/* ---- the desk ------------------------------------------------------------------------------------------------------------- */
static void desk_free(sg_desk *desk)
{
    llama_desk *d = (llama_desk *)(void *)desk;

    for (int i = 0; i < d->n_texts; i++) {
        desk_close(desk, i);
        sg_free(d->text[i].page);
        sg_free(d->text[i].id);
    }
    for (page *p = d->spare, *next; p; p = next) {
        next = p->next;
        sg_free(p);
    }
    sg_free(d->text);
    sg_free(d->memory);
    sg_free(d->taken);
    sg_free(d->frequency);
    sg_free(d->row);
    sg_free(d->unit);
    sg_free(d);
}

static size_t most_sums(const sg_llama *m)
{
    size_t most = sg_matrix_floats(&m->output, CHUNK);

    for (int i = 0; i < m->config.layers; i++) {
        const sg_llama_layer *y = &m->layer[i];
        const sg_matrix *all[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};

        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            const size_t here = sg_matrix_floats(all[k], CHUNK);

            most = here > most ? here : most;
        }
    }
    return most;
}

/* Numbers of a row of logits that come from an adapter's rows: theirs, and what its low-rank part goes through. */
static size_t others_of(const sg_llama *m)
{
    const sg_row_set *s = m->output_rows;

    return s ? (size_t)s->n + (m->output.low.a ? (size_t)m->output.low.a->dim[0] : 0) : 0;
}

static sg_status desk_read(sg_desk *desk, const sg_piece *piece, int n, sg_error *err);
static sg_status read_front(llama_desk *d, sg_error *err);

sg_status sg_llama_desk(sg_desk **out, const sg_llama *m, int places, sg_pool *pool, sg_error *err)
{
    static const sg_desk_ops ops = {desk_open,  desk_begin, desk_fork, desk_cut,
                                    desk_close, desk_read,  desk_free};
    const sg_llama_config *c = &m->config;
    const size_t q = (size_t)c->heads * (size_t)c->head_dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim,
                 dim = (size_t)c->dim, work = (sg_paged_floats(c->head_dim) + 15) / 16 * 16;
    const size_t parts[] = {CHUNK * dim,
                            CHUNK * dim,
                            CHUNK * q,
                            CHUNK * q,
                            CHUNK * kv,
                            CHUNK * kv,
                            CHUNK * (size_t)c->ffn,
                            CHUNK * (size_t)c->ffn,
                            CHUNK * (size_t)c->head_dim,
                            most_sums(m),
                            SG_DESK_LOGITS * dim,
                            SG_DESK_LOGITS * (size_t)c->vocab,
                            work * (size_t)sg_pool_threads(pool),
                            SG_DESK_LOGITS * others_of(m)};
    llama_desk *d;
    size_t n = 0;

    *out = NULL;
    if (places < 1 || places > sg_llama_places(m))
        return sg_fail(err, SG_ERR_USAGE,
                       "expected room for 1 to %d tokens, as many as the model knows, found %d",
                       sg_llama_places(m), places);
    if (!(d = sg_alloc_zero(1, sizeof *d)))
        return sg_fail_memory(err, "session");
    *d = (llama_desk){
        .desk = {&ops, c->vocab, places, c->ends, -1}, .m = m, .pool = pool, .work_floats = work};
    d->keys_floats = (size_t)c->head_dim * SG_PAGE;
    d->values_floats = sg_page_width(c->head_dim) * SG_PAGE;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        n += (parts[i] + 15) / 16 * 16;
    d->memory = sg_alloc_array(n, sizeof *d->memory);
    d->row = sg_alloc_array(CHUNK, sizeof *d->row);
    d->frequency = sg_alloc_array((size_t)c->head_dim / 2, sizeof *d->frequency);
    if (!sg_mul(&d->page_floats, (size_t)c->layers * (size_t)c->kv_heads,
                d->keys_floats + d->values_floats) ||
        d->page_floats > SIZE_MAX / 8 || !d->memory || !d->row || !d->frequency) {
        desk_free(&d->desk);
        return sg_fail_memory(err, "session");
    }
    float **const to[] = {&d->x,  &d->n,    &d->q,    &d->a,      &d->k,      &d->v,    &d->gate,
                          &d->up, &d->turn, &d->sums, &d->states, &d->logits, &d->work, &d->others};
    float *at = d->memory;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *to[i] = at;
        at += (parts[i] + 15) / 16 * 16;
    }
    for (int i = 0; i < c->head_dim / 2; i++)
        d->frequency[i] = sg_llama_frequency(m, i);
    const sg_status st = m->soft ? read_front(d, err) : SG_OK;
    if (st) {
        desk_free(&d->desk);
        return st;
    }
    *out = &d->desk;
    return SG_OK;
}

sg_status sg_llama_desk_depth(sg_desk *desk, sg_depth depth, sg_error *err)
{
    llama_desk *d = (llama_desk *)(void *)desk;

    if (!d->taken && !(d->taken = sg_alloc_array(CHUNK * (size_t)d->m->config.dim, sizeof *d->taken)))
        return sg_fail_memory(err, "states");
    d->depth = depth;
    return SG_OK;
}

/* ---- forward -------------------------------------------------------------------------------------------------------------- */
static void rms_rows(float *y, const float *x, const sg_param *w, size_t rows, size_t dim, float eps)
{
    float inv;

    for (size_t r = 0; r < rows; r++)
        sg_kernels_best()->rmsnorm(y + r * dim, &inv, x + r * dim, w->value, dim, eps);
}

static void angles(llama_desk *d)
{
    const size_t half = (size_t)d->m->config.head_dim / 2;

    for (size_t t = 0; t < (size_t)d->n_rows; t++)
        for (size_t i = 0; i < half;
             i++) { /* in double: places times slow frequencies lose digits in float */
            const double angle = (double)d->row[t].place * d->frequency[i];

            d->turn[t * 2 * half + i] = (float)cos(angle);
            d->turn[t * 2 * half + half + i] = (float)sin(angle);
        }
}

/* Norm of each head (NULL: none), then the rotation, in place. x: (rows, heads * head_dim). */
static void place_heads(const llama_desk *d, float *x, int heads, const sg_param *norm)
{
    const size_t width = (size_t)d->m->config.head_dim, half = width / 2;

    if (norm)
        rms_rows(x, x, norm, (size_t)d->n_rows * (size_t)heads, width, d->m->config.eps);
    for (size_t t = 0; t < (size_t)d->n_rows; t++) {
        const float *c = d->turn + t * width, *s = c + half;

        for (size_t h = 0; h < (size_t)heads; h++, x += width)
            for (size_t i = 0; i < half; i++) {
                const float a = x[i], b = x[i + half];

                x[i] = a * c[i] - b * s[i];
                x[i + half] = b * c[i] + a * s[i];
            }
    }
}

/* New keys and values into the pages of their texts. */
static void keep_rows(const llama_desk *d)
{
    const size_t width = (size_t)d->m->config.head_dim, wide = sg_page_width((int)width);
    const float *k = d->k, *v = d->v;

    for (int r = 0; r < d->n_rows; r++) {
        const text *t = &d->text[d->row[r].text];
        float *numbers = t->page[d->row[r].place / SG_PAGE];
        const size_t at = (size_t)d->row[r].place % SG_PAGE;

        for (int h = 0; h < d->m->config.kv_heads; h++, k += width, v += width) {
            float *keys = numbers + keys_at(d, d->layer, h), *values = keys + d->keys_floats;

            for (size_t i = 0; i < width; i++)
                keys[i * SG_PAGE + at] = k[i];
            memcpy(values + at * wide, v, width * sizeof *v);
        }
    }
}

/* Runs of rows of one text, UNIT_TOKENS at most, times heads of keys: a piece reads its keys and values once. */
static bool make_units(llama_desk *d)
{
    const sg_llama_config *c = &d->m->config;
    const int group = c->heads / c->kv_heads, least = SG_PAGED_ROWS / UNIT_TOKENS;

    d->n_units = 0;
    for (int first = 0, n; first < d->n_rows; first += n) {
        const int heads = group < least ? group : least;

        for (n = 1; n < UNIT_TOKENS && first + n < d->n_rows && d->row[first + n].text == d->row[first].text;)
            n++;
        for (int h = 0; h < c->heads;) {
            const int left = group - h % group, take = heads < left ? heads : left;

            if (!sg_grow(&d->unit, &d->cap_unit, d->n_units + 1, sizeof *d->unit))
                return false;
            d->unit[d->n_units++] = (unit){first, n, h, take};
            h += take;
        }
    }
    return true;
}

static void attend_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const llama_desk *d = ctx;
    const sg_llama_config *c = &d->m->config;
    const size_t width = (size_t)c->head_dim, ld = (size_t)c->heads * width;

    for (size_t i = begin; i < end; i++) {
        const unit *u = &d->unit[i];
        const text *t = &d->text[d->row[u->first].text];
        const float *q[SG_PAGED_ROWS];
        float *out[SG_PAGED_ROWS];
        int32_t seen[SG_PAGED_ROWS];
        sg_paged a = {
            .dh = c->head_dim, .scale = 1 / sqrtf((float)c->head_dim), .q = q, .out = out, .seen = seen};

        a.page = (const float *const *)(const void *)t->page;
        a.k = keys_at(d, d->layer, u->head / (c->heads / c->kv_heads));
        a.v = a.k + d->keys_floats;
        for (int r = u->first; r < u->first + u->n; r++)
            for (int h = u->head; h < u->head + u->heads; h++, a.n++) {
                q[a.n] = d->q + (size_t)r * ld + (size_t)h * width;
                out[a.n] = d->a + (size_t)r * ld + (size_t)h * width;
                seen[a.n] = d->row[r].place + 1;
            }
        sg_kernels_best()->attend_pages(&a, d->work + (size_t)thread * d->work_floats);
    }
}

static void gate_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const llama_desk *d = ctx;
    const sg_kernels *k = sg_kernels_best();

    k->act(SG_SILU, d->gate + begin, d->gate + begin, end - begin);
    k->mul(d->gate + begin, d->gate + begin, d->up + begin, end - begin);
}

static const float *value_of(const sg_param *p)
{
    return p ? p->value : NULL;
}

static void run_layer(llama_desk *d)
{
    const sg_llama_config *c = &d->m->config;
    const sg_llama_layer *y = &d->m->layer[d->layer];
    const size_t dim = (size_t)c->dim, rows = (size_t)d->n_rows;
    const int n = d->n_rows;

    rms_rows(d->n, d->x, y->norm_self, rows, dim, c->eps);
    sg_matrix_times(d->pool, &y->q, n, d->n, value_of(y->q_bias), d->q, d->sums);
    sg_matrix_times(d->pool, &y->k, n, d->n, value_of(y->k_bias), d->k, d->sums);
    sg_matrix_times(d->pool, &y->v, n, d->n, value_of(y->v_bias), d->v, d->sums);
    place_heads(d, d->q, c->heads, y->q_norm);
    place_heads(d, d->k, c->kv_heads, y->k_norm);
    keep_rows(d);
    sg_parallel_for(d->pool, d->n_units, 1, attend_body, d);
    sg_matrix_times(d->pool, &y->o, n, d->a, NULL, d->n, d->sums);
    sg_kernels_best()->add(d->x, d->x, d->n, rows * dim);

    rms_rows(d->n, d->x, y->norm_ffn, rows, dim, c->eps);
    sg_matrix_times(d->pool, &y->gate, n, d->n, NULL, d->gate, d->sums);
    sg_matrix_times(d->pool, &y->up, n, d->n, NULL, d->up, d->sums);
    sg_parallel_for(d->pool, rows * (size_t)c->ffn, GRAIN, gate_body, d);
    sg_matrix_times(d->pool, &y->down, n, d->gate, NULL, d->n, d->sums);
    sg_kernels_best()->add(d->x, d->x, d->n, rows * dim);
}

static sg_status read_words(llama_desk *d, const int32_t *id, sg_error *err)
{
    const size_t dim = (size_t)d->m->config.dim;
    sg_status st = SG_OK;

    for (int r = 0; r < d->n_rows && !st; r++) {
        const int own = sg_row_find(d->m->words_rows, id[r]);

        if (own >= 0)
            memcpy(d->x + (size_t)r * dim, d->m->words_rows->rows->value + (size_t)own * dim,
                   dim * sizeof *d->x);
        else
            st = sg_weights_read(d->x + (size_t)r * dim, d->m->weights, d->m->words, (size_t)id[r] * dim, dim,
                                 err);
    }
    return st;
}

/* The rows of d, whose vectors are in d->x, through all layers; then d->n holds their states after the last norm. Or through as many
 * as it takes for the states of d->depth. */
static sg_status run_rows(llama_desk *d, sg_error *err)
{
    const size_t dim = (size_t)d->m->config.dim, count = dim * (size_t)d->n_rows;
    const int layers = d->m->config.layers, last = d->taken ? sg_depth_last(d->depth) : layers;

    if (!make_units(d))
        return sg_fail_memory(err, "session");
    angles(d);
    for (d->layer = 0; d->layer < last; d->layer++) {
        if (d->taken)
            sg_depth_take(d->taken, d->depth, d->layer, d->x, count);
        run_layer(d);
    }
    if (last == layers)
        rms_rows(d->n, d->x, d->m->norm, (size_t)d->n_rows, dim, d->m->config.eps);
    if (d->taken)
        sg_depth_take(d->taken, d->depth, last, last == layers ? d->n : d->x, count);
    return SG_OK;
}

/* Logits (n, rows of the file) become (n, vocab), and some of them are those of an adapter's rows, with its low-rank part of these. */
static void other_logits(llama_desk *d, int n, const float *states, float *logits)
{
    const sg_row_set *s = d->m->output_rows;
    const sg_lora *low = &d->m->output.low;
    const size_t rows = (size_t)d->m->output.out, vocab = (size_t)d->desk.vocab;
    const int dim = d->m->config.dim, rank = low->a ? low->a->dim[0] : 0;
    float *z = d->others + (size_t)n * (size_t)s->n;

    for (int i = n; rows < vocab && i-- > 1;)
        memmove(logits + (size_t)i * vocab, logits + (size_t)i * rows, rows * sizeof *logits);
    sg_gemm(d->pool, SG_F32, false, true, n, s->n, dim, 1, states, dim, s->rows->value, dim, 0, d->others,
            s->n);
    if (rank)
        sg_gemm_linear(d->pool, SG_F32, n, states, dim, low->a, NULL, z, rank);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < s->n; k++) {
            const float *b = rank ? low->b->value + (size_t)s->id[k] * (size_t)rank : NULL;
            float sum = 0;

            for (int j = 0; j < rank; j++)
                sum += z[i * rank + j] * b[j];
            logits[(size_t)i * vocab + (size_t)s->id[k]] =
                d->others[(size_t)i * (size_t)s->n + (size_t)k] + low->scale * sum;
        }
}

static void make_logits(void *ctx, int n, const float *states, float *logits)
{
    llama_desk *d = ctx;

    sg_matrix_times(d->pool, &d->m->output, n, states, NULL, logits, d->sums);
    if (d->m->output_rows)
        other_logits(d, n, states, logits);
}

static sg_status check_pieces(llama_desk *d, const sg_piece *piece, int n, sg_error *err)
{
    sg_status st;

    for (int i = 0; i < n; i++)
        if ((st = sg_desk_check(&d->desk, &piece[i], d->text[piece[i].text].length - d->front, err)))
            return st;
    for (int i = 0; i < n; i++)
        if (!make_room(d, &d->text[piece[i].text], piece[i].n))
            return sg_fail_memory(err, "past of a text");
    return SG_OK;
}

static sg_status desk_read(sg_desk *desk, const sg_piece *piece, int n, sg_error *err)
{
    llama_desk *d = (llama_desk *)(void *)desk;
    const sg_desk_output out = {make_logits, d, d->m->config.dim, desk->vocab, d->states, d->logits};
    sg_desk_place p = {0, 0};
    sg_status st = check_pieces(d, piece, n, err);

    while (!st) {
        const sg_desk_place begin = p;
        int32_t id[CHUNK];
        int which, at;

        for (d->n_rows = 0; d->n_rows < CHUNK && sg_desk_next(&which, &at, &p, piece, n);) {
            id[d->n_rows] = piece[which].id[at];
            d->row[d->n_rows++] = (row){piece[which].text, d->text[piece[which].text].length + at};
        }
        if (!d->n_rows)
            break;
        if (!(st = read_words(d, id, err)) && !(st = run_rows(d, err)))
            sg_desk_answer(&out, piece, begin, d->taken ? d->taken : d->n, d->n_rows);
    }
    for (int i = 0; i < n && !st; i++) {
        text *t = &d->text[piece[i].text];

        if (piece[i].n)
            memcpy(t->id + t->length, piece[i].id, (size_t)piece[i].n * sizeof *t->id);
        t->length += piece[i].n;
    }
    return st;
}

/* The model's vectors as text 0, which stays open. */
static sg_status read_front(llama_desk *d, sg_error *err)
{
    const sg_param *soft = d->m->soft;
    const size_t dim = (size_t)d->m->config.dim;
    int which;
    sg_status st = open_empty(d, &which, err);

    if (st)
        return st;
    text *t = &d->text[which];
    if (!make_room(d, t, soft->dim[0]))
        return sg_fail_memory(err, "past of a text");
    while (t->length < soft->dim[0] && !st) {
        const int left = soft->dim[0] - t->length;

        d->n_rows = left < CHUNK ? left : CHUNK;
        for (int r = 0; r < d->n_rows; r++) {
            d->row[r] = (row){which, t->length + r};
            t->id[t->length + r] = NO_TOKEN;
        }
        memcpy(d->x, soft->value + (size_t)t->length * dim, (size_t)d->n_rows * dim * sizeof *d->x);
        st = run_rows(d, err);
        t->length += d->n_rows;
    }
    d->front = t->length;
    return st;
}

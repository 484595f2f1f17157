/* stack.c - decoder blocks over cached keys and values.
 *
 * A prefix attends to the codes it was made of, wherever their rows lie: beams are dropped and copied, so
 * these are scattered over the cache. All prefixes of a sequence attend to the same memory and are computed
 * together. */
#include "decode/stack.h"

#include "math/attention.h"
#include "math/gemm.h"

#include <string.h>

enum { ROWS = 16 }; /* prefixes in a piece */

static int inner_of(const sg_stack *s)
{
    return s->spec.block->spec.heads * s->spec.block->spec.head_dim;
}

/* Adds keys and values of the memory's rows to those of the layer that are kept. */
static bool keep_memory(sg_stack *s, int layer, const sg_tensor *k, const sg_tensor *v, const int32_t *tokens)
{
    const size_t inner = (size_t)inner_of(s);

    for (int i = 0; k && v && i < s->batch; i++)
        if (!sg_kept_add(s->spec.kept[(size_t)layer * (size_t)s->batch + (size_t)i], (int)inner,
                         k->data + (size_t)tokens[i] * inner, v->data + (size_t)tokens[i] * inner,
                         tokens[i + 1] - tokens[i])) {
            sg_graph_fail(s->graph, SG_ERR_MEMORY, "keys of a history: out of memory");
            return false;
        }
    return k && v;
}

/* Rows of each sequence when some are kept. */
static const int32_t *count_kept(const sg_stack *s)
{
    int32_t *n = sg_scratch(s->graph, (size_t)s->batch + 1, sizeof *n);

    if (n)
        n[0] = 0;
    for (int i = 0; n && i < s->batch; i++)
        n[i + 1] = n[i] + s->spec.kept[i]->n;
    return n;
}

sg_status sg_stack_open(sg_stack *s, sg_graph *g, const sg_stack_spec *spec, sg_tensor *memory,
                        const int32_t *tokens, int batch, int cap, sg_error *err)
{
    size_t numbers;

    *s = (sg_stack){.spec = *spec, .graph = g, .batch = batch, .tokens = tokens, .cap = cap};
    numbers = (size_t)spec->layers * (size_t)(spec->levels + spec->written) * (size_t)inner_of(s);
    s->cross_k = sg_scratch(g, (size_t)spec->layers, sizeof *s->cross_k);
    s->cross_v = sg_scratch(g, (size_t)spec->layers, sizeof *s->cross_v);
    s->k = sg_scratch(g, (size_t)cap, numbers * sizeof *s->k);
    s->v = sg_scratch(g, (size_t)cap, numbers * sizeof *s->v);
    for (int i = 0; i < 2; i++)
        s->path[i] = sg_scratch(g, (size_t)cap * (size_t)spec->levels, sizeof *s->path[i]);
    for (int i = 0; i < 2 && spec->written; i++)
        s->trail[i] = sg_scratch(g, (size_t)cap * (size_t)spec->written, sizeof *s->trail[i]);
    if (sg_graph_status(g, err))
        return sg_graph_status(g, err);
    for (int i = 0; i < spec->layers; i++) {
        s->cross_k[i] = sg_linear(g, memory, spec->block[i].cross.k, spec->block[i].cross.kb);
        s->cross_v[i] = sg_linear(g, memory, spec->block[i].cross.v, spec->block[i].cross.vb);
        if (!spec->kept)
            continue;
        if (memory && !keep_memory(s, i, s->cross_k[i], s->cross_v[i], tokens))
            return sg_graph_status(g, err);
        s->cross_k[i] = s->cross_v[i] = NULL;
    }
    if (spec->kept)
        s->tokens = count_kept(s);
    return sg_graph_status(g, err);
}

static int32_t place_of(const sg_stack *s, int token,
                        int row) /* token: of the search, then those written before it */
{
    return token * s->cap + row;
}

/* Where the keys of each row's tokens lie, (n, n_written + level + 1): what its start wrote, what its parent has, its own. */
static int32_t *take_paths(sg_stack *s, const sg_beam_rows *rows)
{
    const int level = rows->level, levels = s->spec.levels, len = s->n_written + level + 1;
    int32_t *packed = sg_scratch(s->graph, (size_t)rows->n * (size_t)len, sizeof *packed);

    for (int u = 0; packed && u < rows->batch; u++)
        for (int r = rows->offsets[u]; r < rows->offsets[u + 1]; r++) {
            int32_t *path = s->path[level & 1] + (size_t)r * (size_t)levels,
                    *out = packed + (size_t)r * (size_t)len;

            if (level)
                memcpy(path, s->path[(level - 1) & 1] + (size_t)rows->parent[r] * (size_t)levels,
                       (size_t)level * sizeof *path);
            path[level] = place_of(s, level, r);
            if (s->n_written)
                memcpy(out, s->trail[0] + (size_t)u * (size_t)s->spec.written,
                       (size_t)s->n_written * sizeof *out);
            memcpy(out + s->n_written, path, (size_t)(level + 1) * sizeof *out);
        }
    return packed;
}

/* (heads, len): what is added to the logits of a prefix's own tokens; the same for every prefix. */
static float *own_bias(const sg_stack *s, int len)
{
    const sg_param *b = s->spec.bias_self;
    float *bias = b ? sg_scratch(s->graph, (size_t)b->dim[1] * (size_t)len, sizeof *bias) : NULL;

    for (int t = 0; bias && t < len; t++) {
        const int bucket = sg_t5_bucket(t - len + 1, false, b->dim[0], s->spec.bias_max_distance);

        for (int h = 0; h < b->dim[1]; h++)
            bias[h * len + t] = b->value[bucket * b->dim[1] + h];
    }
    return bias;
}

typedef struct own_work {
    const sg_stack *s;
    float *out;
    const float *q, *k, *v, *bias;
    const int32_t *path;
    int len;
} own_work;

static void attend_own(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const own_work *w = ctx;
    const sg_block_spec *b = &w->s->spec.block->spec;
    const size_t at = begin * (size_t)inner_of(w->s);

    sg_attend_rows(w->out + at, w->q + at, (int)(end - begin), b->heads, b->head_dim, w->s->spec.scale, w->k,
                   w->v, w->path + begin * (size_t)w->len, w->len, w->bias);
}

typedef struct block_rows { /* rows that go through the blocks together */
    const int32_t *path;    /* (n, len) */
    const float *bias;      /* (heads, len) or NULL */
    int len;
    int32_t place; /* of the first row's own keys */
} block_rows;

/* x + attention of each row to its own tokens; k and v of the last one go to the cache first. */
static sg_tensor *self_part(sg_stack *s, int layer, sg_tensor *x, const block_rows *rows)
{
    const sg_block *b = &s->spec.block[layer];
    const int inner = inner_of(s), dim = b->spec.dim;
    const size_t each = (size_t)(s->spec.levels + s->spec.written) * (size_t)s->cap * (size_t)inner;
    const size_t at = (size_t)layer * each, last = at + (size_t)rows->place * (size_t)inner;
    sg_graph *g = s->graph;
    sg_pool *pool = sg_graph_pool(g);
    sg_tensor *normed = sg_norm_forward(g, &b->norm_self, x),
              *q = sg_linear(g, normed, b->self.q, b->self.qb);
    sg_tensor *out = q ? sg_tensor_2d(g, q->dim[0], inner) : NULL;

    if (!out)
        return NULL;
    sg_gemm_linear(pool, sg_graph_precision(g), q->dim[0], normed->data, dim, b->self.k,
                   b->self.kb ? b->self.kb->value : NULL, s->k + last, inner);
    sg_gemm_linear(pool, sg_graph_precision(g), q->dim[0], normed->data, dim, b->self.v,
                   b->self.vb ? b->self.vb->value : NULL, s->v + last, inner);
    sg_parallel_for(
        pool, (size_t)q->dim[0], ROWS, attend_own,
        &(own_work){s, out->data, q->data, s->k + at, s->v + at, rows->bias, rows->path, rows->len});
    return sg_plus(g, x, sg_linear(g, out, b->self.o, b->self.ob));
}

/* offsets (batch + 1): rows of each sequence, which all look back from the end of its memory. */
static sg_tensor *through_blocks(sg_stack *s, sg_tensor *x, const block_rows *rows, const int32_t *offsets)
{
    sg_graph *g = s->graph;
    int32_t *place = sg_scratch(g, (size_t)offsets[s->batch] + 1, sizeof *place);

    if (!place)
        return NULL;
    for (int u = 0; u < s->batch; u++)
        for (int r = offsets[u]; r < offsets[u + 1]; r++)
            place[r] = s->tokens[u + 1] > s->tokens[u] ? s->tokens[u + 1] - s->tokens[u] - 1 : 0;
    sg_attention_spec cross = {.heads = s->spec.block->spec.heads,
                               .batch = s->batch,
                               .offsets_q = offsets,
                               .offsets_k = s->tokens,
                               .mask = SG_MASK_NONE,
                               .place_q = place,
                               .scale = s->spec.scale,
                               .bias = s->spec.bias_cross,
                               .bias_max_distance = s->spec.bias_max_distance};
    for (int i = 0; i < s->spec.layers && x; i++) {
        const sg_block *b = &s->spec.block[i];

        cross.kept = s->spec.kept ? s->spec.kept + (size_t)i * (size_t)s->batch : NULL;
        x = self_part(s, i, x, rows);
        x = sg_heads_attend(g, &b->cross, x, sg_norm_forward(g, &b->norm_cross, x), s->cross_k[i],
                            s->cross_v[i], &cross, 0);
        x = sg_block_ffn(g, b, x, 0);
    }
    return x;
}

sg_tensor *sg_stack_step(sg_stack *s, const sg_beam_rows *rows, sg_tensor *x)
{
    sg_graph *g = s->graph;
    const int32_t *offsets = rows->offsets;
    block_rows what = {.len = s->n_written + rows->level + 1, .place = place_of(s, rows->level, 0)};
    int32_t *merged;

    if (rows->n > s->cap)
        return sg_graph_fail(g, SG_ERR_USAGE, "decoder holds %d prefixes, %d asked", s->cap, rows->n);
    what.path = take_paths(s, rows);
    what.bias = own_bias(s, what.len);
    if (!what.path || (s->spec.bias_self && !what.bias))
        return NULL;
    if (s->first) { /* the rows of a sequence are those of all its starts */
        if (!(merged = sg_scratch(g, (size_t)s->batch + 1, sizeof *merged)))
            return NULL;
        for (int u = 0; u <= s->batch; u++)
            merged[u] = rows->offsets[s->first[u]];
        offsets = merged;
    }
    return through_blocks(s, x, &what, offsets);
}

void sg_stack_starts(sg_stack *s, const int32_t *first, const int32_t *from)
{
    int32_t *next = s->trail[1];

    for (int i = 0; from && i < first[s->batch]; i++)
        memcpy(next + (size_t)i * (size_t)s->spec.written,
               s->trail[0] + (size_t)from[i] * (size_t)s->spec.written, (size_t)s->n_written * sizeof *next);
    s->trail[1] = s->trail[0];
    s->trail[0] = next;
    s->first = first;
    if (!from)
        s->n_written = 0;
}

bool sg_stack_write(sg_stack *s, sg_tensor *x)
{
    sg_graph *g = s->graph;
    const int n = s->first[s->batch];
    block_rows what = {.len = s->n_written + 1, .place = place_of(s, s->spec.levels + s->n_written, 0)};
    int32_t *path = sg_scratch(g, (size_t)n * (size_t)what.len, sizeof *path);

    if (s->n_written == s->spec.written || n > s->cap) {
        sg_graph_fail(g, SG_ERR_USAGE, "decoder holds %d starts of %d tokens, %d of %d asked", s->cap,
                      s->spec.written, n, s->n_written + 1);
        return false;
    }
    what.bias = own_bias(s, what.len);
    if (!path || (s->spec.bias_self && !what.bias))
        return false;
    for (int i = 0; i < n; i++) {
        int32_t *trail = s->trail[0] + (size_t)i * (size_t)s->spec.written;

        trail[s->n_written] = what.place + i;
        memcpy(path + (size_t)i * (size_t)what.len, trail, (size_t)what.len * sizeof *path);
    }
    what.path = path;
    if (!through_blocks(s, x, &what, s->first))
        return false;
    s->n_written++;
    return true;
}

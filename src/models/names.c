/* names.c - codes and prefixes as tokens; the answers that exist after a prefix as lists. */
#include "models/names.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "math/math.h"
#include "models/content.h"
#include "models/counts.h"

void sg_names_init(sg_names *s, const sg_catalogue *c)
{
    *s = (sg_names){
        .catalogue = c, .levels = sg_catalogue_levels(c), .learned = sg_catalogue_levels(c), .scale = 1};
    for (int l = 0; l < s->levels; l++) {
        s->first[l] = s->tokens;
        s->size[l] = sg_catalogue_size(c, l);
        s->tokens += s->size[l];
    }
}

sg_status sg_names_number(sg_names *s, sg_error *err)
{
    const sg_catalogue *c = s->catalogue;
    const int32_t names = sg_catalogue_items(c);
    int32_t n = 0;

    for (int l = 2; l <= s->levels; l++) {
        s->first_prefix[l] = n;
        n += sg_catalogue_nodes(c, l);
    }
    s->first_prefix[s->levels + 1] = n;
    if (!(s->node = sg_alloc_array((size_t)names * (size_t)s->levels, sizeof *s->node)))
        return sg_fail_memory(err, "prefixes");
    for (int32_t i = 0; i < names; i++) {
        int32_t node = sg_catalogue_leaf(c, i);

        for (int l = s->levels; l > 0; l--) {
            s->node[(size_t)i * (size_t)s->levels + (size_t)l - 1] = l > 1 ? s->first_prefix[l] + node : -1;
            node = sg_catalogue_parent(c, l, node);
        }
    }
    return SG_OK;
}

void sg_names_rows(int32_t *row, const sg_names *s, const int32_t *codes)
{
    int32_t node = 0;

    for (int l = 0; l < s->levels; l++) {
        node = node < 0 ? -1 : sg_catalogue_child(s->catalogue, l, node, codes[l]);
        row[l] = l && node >= 0 ? s->first_prefix[l + 1] + node : -1;
    }
}

void sg_names_free(sg_names *s)
{
    sg_free(s->node);
    for (int l = 0; l <= SG_LEVELS_MAX; l++)
        sg_free(s->known[l]);
}

sg_status sg_names_content(sg_names *s, const sg_train_data *t, const int32_t *name, double spread,
                           sg_error *err)
{
    const size_t levels = (size_t)s->levels, dim = (size_t)s->prefix->dim[1];
    const int32_t n_items = t->data->n_items, n_prefix = s->prefix->dim[0], n_rows = n_prefix + s->size[0];
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    int32_t *row = sg_alloc_array((size_t)n_items * levels, sizeof *row);
    float *start;
    sg_status st;

    if (!row)
        return sg_fail_memory(err, "prefixes");
    for (int32_t i = 0; i < n_items; i++) {
        const int32_t own = name ? name[i] : i;

        sg_catalogue_codes(s->catalogue, own, codes);
        for (size_t l = 0; l < levels; l++)
            row[(size_t)i * levels + l] = l ? s->node[(size_t)own * levels + l] : n_prefix + codes[0];
    }
    if (!(st = sg_content_rows(&start, t, row, s->levels, n_rows, (int)dim, spread, err))) {
        sg_axpy(s->prefix->value, 1, start, (size_t)n_prefix * dim);
        sg_axpy(s->token->value, 1, start + (size_t)n_prefix * dim, (size_t)s->size[0] * dim);
        sg_free(start);
    }
    sg_free(row);
    return st;
}

sg_status sg_names_known(sg_names *s, const sg_train_data *t, const int32_t *name, sg_error *err)
{
    const int32_t n_items = t->data->n_items;
    int64_t *count;
    int32_t unseen = 0;
    sg_status st = sg_count_items(&count, t, false, err);

    if (st)
        return st;
    for (int32_t i = 0; i < n_items; i++)
        unseen += count[i] == 0;
    for (int l = 0; unseen && l <= s->levels; l++) {
        sg_free(s->known[l]);
        if (!(s->known[l] = sg_alloc_zero((size_t)sg_catalogue_nodes(s->catalogue, l), 1))) {
            st = sg_fail_memory(err, "prefixes");
            break;
        }
    }
    for (int32_t i = 0; unseen && !st && i < n_items; i++) {
        int32_t node = sg_catalogue_leaf(s->catalogue, name ? name[i] : i);

        for (int l = s->levels; count[i] && l >= 0; l--) {
            s->known[l][node] = 1;
            if (l)
                node = sg_catalogue_parent(s->catalogue, l, node);
        }
    }
    sg_free(count);
    return st;
}

/* The codes after each prefix of the names, as candidates: offsets (rows + 1), and the place of the name's own. code NULL: counted
 * only. */
static int32_t list_answers(const sg_names *s, const int32_t *name, int n, int32_t *offsets, int32_t *target,
                            int32_t *code, int32_t *prefix)
{
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    int32_t at = 0, r = 0;

    for (int t = 0; t < n; t++) {
        sg_catalogue_codes(s->catalogue, name[t], codes);

        const int whole = sg_catalogue_length(s->catalogue, codes),
                  length = whole < s->learned ? whole : s->learned;

        for (int32_t l = 0, node = 0; l < length; l++, r++) {
            const sg_children next = sg_catalogue_children(s->catalogue, l, node);

            offsets[r] = at;
            node = sg_catalogue_child(s->catalogue, l, node, codes[l]);
            for (int32_t j = 0; j < next.n; j++) {
                if (next.first + j == node)
                    target[r] = at - offsets[r];
                else if (s->known[l + 1] && !s->known[l + 1][next.first + j])
                    continue;
                if (code) {
                    code[at] = s->first[l] + sg_child_code(&next, j);
                    prefix[at] = s->prefix && l ? s->first_prefix[l + 1] + next.first + j : -1;
                }
                at++;
            }
        }
    }
    offsets[r] = at;
    return at;
}

sg_tensor *sg_names_loss_legal(sg_graph *g, const sg_names *s, sg_tensor *x, const int32_t *name, int n,
                               float smoothing)
{
    const size_t rows = (size_t)n * (size_t)s->levels; /* at most */
    int32_t *offsets = sg_scratch(g, rows + 1, sizeof *offsets),
            *target = sg_scratch(g, rows + 1, sizeof *target);

    if (!offsets || !target)
        return NULL;
    const size_t all = (size_t)list_answers(s, name, n, offsets, target, NULL, NULL);
    int32_t *code = sg_scratch(g, all + 1, sizeof *code), *prefix = sg_scratch(g, all + 1, sizeof *prefix);

    if (!code || !prefix)
        return NULL;
    list_answers(s, name, n, offsets, target, code, prefix);
    return sg_softmax_ce_list(g, x, s->head, s->prefix,
                              &(sg_list_spec){.offsets = offsets,
                                              .id_a = code,
                                              .id_b = prefix,
                                              .target = target,
                                              .scale = s->scale,
                                              .label_smoothing = smoothing});
}

typedef struct prefix_work {
    const sg_names *s;
    const sg_beam_rows *rows;
    const int32_t *node;
    const float *x; /* (n, dim), scaled */
} prefix_work;

static void add_prefix_logits(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const prefix_work *w = ctx;
    const sg_names *s = w->s;
    const int level = w->rows->level;
    const size_t dim = (size_t)s->prefix->dim[1];

    for (size_t r = begin; r < end; r++) {
        if (w->node[r] < 0)
            continue;

        const sg_children next = sg_catalogue_children(s->catalogue, level, w->node[r]);
        const float *table = s->prefix->value + (size_t)(s->first_prefix[level + 1] + next.first) * dim;

        for (int32_t j = 0; j < next.n; j++)
            w->rows->logits[r * (size_t)w->rows->ld + (size_t)sg_child_code(&next, j)] +=
                sg_dot(w->x + r * dim, table + (size_t)j * dim, dim);
    }
}

void sg_names_logits(sg_graph *g, const sg_names *s, const float *x, const int32_t *node, bool legal,
                     const sg_beam_rows *rows)
{
    const int level = rows->level;

    sg_gemm_linear_range(sg_graph_pool(g), rows->n, x, s->head->dim[1], s->head, s->first[level],
                         s->size[level], rows->logits, rows->ld);
    if (s->prefix && level && legal)
        sg_parallel_for(sg_graph_pool(g), (size_t)rows->n, 16, add_prefix_logits,
                        &(prefix_work){s, rows, node, x});
}

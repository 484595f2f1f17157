/* prior.c - from the leaves up. */
#include "decode/prior.h"

typedef struct lift {
    const sg_catalogue *c;
    const float *items;
    float *node[SG_CATALOGUE_LEVELS_MAX + 1];
} lift;

static void lift_user(const lift *w, size_t user)
{
    const int levels = sg_catalogue_levels(w->c);
    const int32_t leaves = sg_catalogue_nodes(w->c, levels);
    const float *items = w->items + user * (size_t)sg_catalogue_items(w->c);

    for (int32_t v = 0; v < leaves; v++)
        w->node[levels][user * (size_t)leaves + (size_t)v] = items[sg_catalogue_item(w->c, v)];
    for (int l = levels - 1; l >= 0; l--) {
        const int32_t n = sg_catalogue_nodes(w->c, l);
        const float *below = w->node[l + 1] + user * (size_t)sg_catalogue_nodes(w->c, l + 1);

        for (int32_t v = 0; v < n; v++) {
            const sg_children kids = sg_catalogue_children(w->c, l, v);
            float most = below[kids.first];

            for (int32_t i = 1; i < kids.n; i++)
                most = below[kids.first + i] > most ? below[kids.first + i] : most;
            w->node[l][user * (size_t)n + (size_t)v] = most;
        }
    }
}

static void lift_users(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    for (size_t u = begin; u < end; u++)
        lift_user(ctx, u);
}

sg_status sg_prior_init(sg_prior *p, const sg_catalogue *c, int batch, const float *items, sg_pool *pool,
                        sg_arena *arena, sg_error *err)
{
    lift w = {.c = c, .items = items};

    *p = (sg_prior){{NULL}};
    for (int l = 0; l <= sg_catalogue_levels(c); l++)
        if (!(p->node[l] = w.node[l] = sg_arena_take_array(arena, (size_t)batch,
                                                           (size_t)sg_catalogue_nodes(c, l) * sizeof(float))))
            return sg_fail_memory(err, "prior");
    sg_parallel_for(pool, (size_t)batch, 1, lift_users, &w);
    return SG_OK;
}

/* shop.h - a small made shop in memory: users who walk along a ring of items, some of them twice, with
 * text and ids. */
#ifndef TEST_SHOP_H
#define TEST_SHOP_H

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "data/split.h"
#include "models/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct shop {
    sg_dataset data;
    sg_text_column column;
    sg_split *split;
    sg_train_data train;
    sg_vectors vectors;
    int64_t *offsets;
    int32_t *item;
    char *item_bytes, *user_bytes, *text;
    int64_t *item_offsets, *user_offsets, *text_offsets;
    char dir[64];
} shop;

static inline void shop_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static inline sg_strings shop_ids(char **bytes, int64_t **offsets, int32_t n, const char *format)
{
    sg_buf b = {0};

    *offsets = sg_alloc_array((size_t)n + 1, sizeof **offsets);
    if (!*offsets)
        shop_fail("out of memory");
    for (int32_t i = 0; i < n; i++) {
        (*offsets)[i] = (int64_t)b.size;
        sg_buf_printf(&b, format, (int)i);
    }
    (*offsets)[n] = (int64_t)b.size;
    *bytes = sg_buf_take(&b);
    return (sg_strings){(size_t)n, *bytes, *offsets};
}

/* Item i has the words "kindK" (i modulo 7) and "numberN" (i / 2), so that neighbours share text. */
static inline void shop_init(shop *s, int32_t n_users, int32_t n_items, uint64_t seed)
{
    const sg_split_spec loo = {.kind = SG_SPLIT_LOO, .text = "loo"};
    sg_buf text = {0};
    size_t cap = 0;
    int64_t n = 0;
    sg_error err;

    memset(s, 0, sizeof *s);
    s->offsets = sg_alloc_zero((size_t)n_users + 1, sizeof *s->offsets);
    s->text_offsets = sg_alloc_zero((size_t)n_items + 1, sizeof *s->text_offsets);
    for (int32_t u = 0; u < n_users; u++) {
        const int64_t events = 3 + (int64_t)sg_rng_below(12, seed, SG_RNG_TEST, 1, (uint64_t)u);
        int32_t at = (int32_t)sg_rng_below((uint64_t)n_items, seed, SG_RNG_TEST, 2, (uint64_t)u);

        for (int64_t e = 0; e < events; e++, n++) {
            if (!sg_grow(&s->item, &cap, (size_t)n + 1, sizeof *s->item))
                shop_fail("out of memory");
            s->item[n] = at;
            if (sg_rng_float(seed, SG_RNG_TEST, 3, (uint64_t)n) < 0.6f)
                at = (at + 1) % n_items;
            else if (sg_rng_float(seed, SG_RNG_TEST, 4, (uint64_t)n) < 0.9f)
                at = (int32_t)(sg_rng_below((uint64_t)n_items, seed, SG_RNG_TEST, 5, (uint64_t)n) *
                               sg_rng_below((uint64_t)n_items, seed, SG_RNG_TEST, 6, (uint64_t)n) /
                               (uint64_t)n_items);
        }
        s->offsets[u + 1] = n;
    }
    for (int32_t i = 0; i < n_items; i++) {
        sg_buf_printf(&text, "kind%d number%d", (int)(i % 7), (int)(i / 2));
        s->text_offsets[i + 1] = (int64_t)text.size;
    }
    s->text = sg_buf_take(&text);
    snprintf(s->dir, sizeof s->dir, "%s/sedge-shop-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"); /* fsync is dear */
    if (!mkdtemp(s->dir))
        shop_fail("mkdtemp");
    s->column = (sg_text_column){"title", {(size_t)n_items, s->text, s->text_offsets}};
    s->data = (sg_dataset){.dir = s->dir,
                           .name = (char *)(uintptr_t) "shop",
                           .n_users = n_users,
                           .n_items = n_items,
                           .n_events = n,
                           .user_offsets = s->offsets,
                           .item = s->item,
                           .user_ids = shop_ids(&s->user_bytes, &s->user_offsets, n_users, "u%d"),
                           .item_ids = shop_ids(&s->item_bytes, &s->item_offsets, n_items, "item-%d"),
                           .columns = &s->column,
                           .n_columns = 1};
    memset(s->data.sha256, 'a', 64);
    if (sg_split_new(&s->split, &s->data, &loo, &err))
        shop_fail(err.message);
    s->train = (sg_train_data){.data = &s->data, .split = s->split};
}

static inline void shop_fini(shop *s)
{
    sg_dir_remove(s->dir, NULL);
    sg_split_free(s->split);
    sg_free(s->offsets);
    sg_free(s->item);
    sg_free(s->item_bytes);
    sg_free(s->user_bytes);
    sg_free(s->text);
    sg_free(s->item_offsets);
    sg_free(s->user_offsets);
    sg_free(s->text_offsets);
}

/* A fitted model of this class; options: "key=value" strings, NULL at the end. */
static inline sg_model *shop_model(const shop *s, const char *name, const char *const *options, sg_pool *pool)
{
    const sg_model_class *class;
    sg_model *m;
    sg_error err;

    if (!(class = sg_model_class_find(name, &err)) || sg_model_new(&m, class, &err))
        shop_fail(err.message);
    for (; options && *options; options++)
        if (sg_options_assign(m->config, class->options, class->n_options, *options, &err))
            shop_fail(err.message);
    if (sg_model_build(m, &s->train, 1, &err) || (class->fit && sg_model_fit(m, &s->train, pool, NULL, &err)))
        shop_fail(err.message);
    return m;
}

#endif

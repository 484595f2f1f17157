/* vector_shop.h - a small dataset on disk with vectors whose structure is known. */
#ifndef TEST_VECTOR_SHOP_H
#define TEST_VECTOR_SHOP_H

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "data/writer.h"
#include "text/lsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A shop on disk: 600 items in 6 shelves of 4 boards; vector = shelf + board + noise; items 0 and 1 are alike. */
enum { N = 600, DIM = 16, SHELVES = 6, BOARDS = 4, USERS = 100, EVENTS = 5 };

typedef struct shop {
    char dir[64];
    sg_dataset *data;
    float vectors[N * DIM];
} shop;

static inline int32_t shelf_of(int i)
{
    return i < 2 ? 0 : i % SHELVES;
}

static inline int32_t board_of(int i)
{
    return i < 2 ? 0 : i / SHELVES % BOARDS;
}

static inline void write_shop(const char *dir)
{
    static char id[N][16], title[N][64], path[N][64], bytes[3][N * 64];
    static int64_t offsets[3][N + 1];
    static sg_dataset_event events[USERS * EVENTS];
    const char *const names[] = {"title", "categories"};
    int64_t sizes[2];
    sg_strings strings[3];
    sg_dataset_spec spec = {.name = "shop",
                            .n_users = USERS,
                            .n_items = N,
                            .n_events = USERS * EVENTS,
                            .column = names,
                            .column_bytes = sizes,
                            .n_columns = 2};
    sg_error err;

    for (int i = 0; i < N; i++) {
        const char *cells[3] = {id[i], title[i], path[i]};

        snprintf(id[i], sizeof *id, "%d", i + 1);
        snprintf(title[i], sizeof *title, "shelfword%d thing number%d", shelf_of(i), i);
        snprintf(path[i], sizeof *path, "Shop > Shelf %d > Board %d", shelf_of(i), board_of(i));
        for (int k = 0; k < 3; k++) {
            memcpy(bytes[k] + offsets[k][i], cells[k], strlen(cells[k]));
            offsets[k][i + 1] = offsets[k][i] + (int64_t)strlen(cells[k]);
        }
    }
    for (int k = 0; k < 3; k++)
        strings[k] = (sg_strings){N, bytes[k], offsets[k]};
    spec.item_id_bytes = offsets[0][N];
    sizes[0] = offsets[1][N];
    sizes[1] = offsets[2][N];
    for (int e = 0; e < USERS * EVENTS;
         e++) /* items 0 .. 199 teach; the last two events of a user are items 200 .. 399 */
        events[e] = (sg_dataset_event){
            .user = e / EVENTS,
            .row = e,
            .item = e % EVENTS < EVENTS - 2 ? e % 200 : 200 + e / EVENTS * 2 + e % EVENTS % 2};
    assert_int_equal(sg_dataset_write(dir, &spec, events, NULL, &strings[0], &strings[1], &err), SG_OK);
}

static inline int open_shop(void **state)
{
    shop *s = calloc(1, sizeof *s);
    char dir[96];
    sg_error err;

    snprintf(s->dir, sizeof s->dir, "/tmp/sedge-tokenize-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(dir, sizeof dir, "%s/data", s->dir);
    write_shop(dir);
    assert_int_equal(sg_dataset_open(&s->data, dir, &err), SG_OK);
    for (int i = 0; i < N; i++)
        for (int d = 0; d < DIM; d++)
            s->vectors[i * DIM + d] =
                (float)(2 * sg_rng_normal(1, SG_RNG_TEST, (uint64_t)shelf_of(i), (uint64_t)d) +
                        sg_rng_normal(2, SG_RNG_TEST, (uint64_t)(shelf_of(i) * BOARDS + board_of(i)),
                                      (uint64_t)d) +
                        0.1 * sg_rng_normal(3, SG_RNG_TEST, (uint64_t)(i < 2 ? 0 : i), (uint64_t)d));
    assert_int_equal(sg_vectors_save(s->data, s->vectors, N, DIM, "test", NULL, &err), SG_OK);
    *state = s;
    return 0;
}

static inline int close_shop(void **state)
{
    shop *s = *state;

    sg_dataset_close(s->data);
    sg_dir_remove(s->dir, NULL);
    free(s);
    assert_int_equal(sg_alloc_live(), 0);
    return 0;
}

#endif

/* import.h - a parser of events over bytes in memory, handed out in pieces that depend on the bytes; then all
 * passes over what it took. With and without bad rows allowed: nothing may crash, and an error is one line.
 */
#ifndef FUZZ_IMPORT_H
#define FUZZ_IMPORT_H

#include "base/alloc.h"
#include "data/filter.h"
#include "data/intake.h"
#include "data/item_text.h"

#include <stdlib.h>
#include <string.h>

static inline void fuzz_check(sg_status st, const sg_error *err)
{
    if (st && (!err->message[0] || strchr(err->message, '\n')))
        abort();
}

static inline void fuzz_events_as(const uint8_t *data, size_t size,
                                  sg_status read(sg_intake *k, sg_error *err), bool forgiving)
{
    static const size_t pieces[] = {1, 7, 61, 4096, 1 << 20};
    const int64_t live = sg_alloc_live();
    sg_import_spec spec = sg_import_defaults();
    sg_intake k = {0};
    sg_counts counts = {0};
    sg_error err = {.message = ""};
    sg_input in;
    int passes;
    sg_status st;

    spec.bad_rows_max = forgiving ? 1000000 : 0;
    if (forgiving)
        spec.column_action = size % 3 ? NULL : "action";
    st = sg_input_memory(&in, (sg_bytes){(const char *)data, size}, pieces[size % 5], "input", &err);
    if (!st)
        st = sg_intake_init(&k, &spec, NULL, "/tmp", true, &err);
    k.in = &in;
    if (!st && !(st = read(&k, &err)))
        st = sg_intake_flush(&k, &err);
    fuzz_check(st, &err);
    if (!st && k.rows && !(st = sg_events_sort(k.events, &err)) &&
        !(st = sg_counts_init(&counts, (size_t)sg_vocab_count(k.users), (size_t)sg_vocab_count(k.items),
                              &err)) &&
        !(st = sg_filter_dedup(k.events, counts.n_items, &err)) &&
        !(st = sg_counts_take(&counts, k.events, &err)) &&
        !(st = sg_filter_core(k.events, &counts, 2, 2, false, &passes, &err)))
        st = sg_filter_length(k.events, &counts, 1, 3, &err);
    fuzz_check(st, &err);
    sg_counts_fini(&counts);
    sg_intake_fini(&k);
    sg_input_close(&in);
    if (sg_alloc_live() != live)
        abort();
}

static inline void fuzz_events(const uint8_t *data, size_t size, sg_status read(sg_intake *k, sg_error *err))
{
    fuzz_events_as(data, size, read, false);
    fuzz_events_as(data, size, read, true);
}

#endif

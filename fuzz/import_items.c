/* import_items.c - any bytes as an item file, whatever kind it looks like; then every text is read back. */
#include "import.h"

#include "base/utf8.h"

static void read_back(sg_item_text *x)
{
    const sg_bytes *cell;
    sg_error err;

    for (int32_t i = 0; i < sg_vocab_count(x->k->items); i++) {
        if (sg_item_text_get(x, i, &cell, &err))
            abort();
        for (size_t c = 0; c < x->n_columns; c++)
            if (!sg_utf8_valid(cell[c].data, cell[c].size))
                abort();
    }
}

static void read_items(const uint8_t *data, size_t size, bool all)
{
    static const size_t pieces[] = {1, 7, 61, 4096, 1 << 20};
    static const char *const ids[] = {"0", "1", "2", "3", "B1", "B2"};
    const int64_t live = sg_alloc_live();
    sg_import_spec spec = sg_import_defaults();
    uint32_t count[6] = {1, 1, 1, 1, 1, 0};
    sg_item_text x = {0};
    sg_item_format format;
    sg_intake k = {0};
    sg_error err = {.message = ""};
    sg_input in;
    int32_t number;
    sg_status st;

    spec.items_all = all;
    spec.bad_rows_max = all ? 1000000 : 0;
    spec.item_id_base = all && size % 2;
    st = sg_input_memory(&in, (sg_bytes){(const char *)data, size}, pieces[size % 5], "input", &err);
    if (!st)
        st = sg_intake_init(&k, &spec, NULL, "/tmp", false, &err);
    for (int i = 0; !st && i < 6; i++)
        st = sg_vocab_add(k.items, (sg_bytes){ids[i], strlen(ids[i])}, &number, &err);
    k.in = &in;
    if (!st)
        st = sg_item_text_init(&x, &k, count, 6, "/tmp", &err);
    if (!st && !(st = sg_item_format_find(&format, &in, &err)))
        st = sg_item_text_read(&x, format, &err);
    fuzz_check(st, &err);
    if (!st)
        read_back(&x);
    sg_item_text_fini(&x);
    sg_intake_fini(&k);
    sg_input_close(&in);
    if (sg_alloc_live() != live)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_items(data, size, false);
    read_items(data, size, true);
    return 0;
}

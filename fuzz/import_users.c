/* import_users.c - any bytes as a file about users; what comes of it is a series that a dataset may hold. */
#include "import.h"

#include "base/utf8.h"
#include "data/user_series.h"

static void read_users(const uint8_t *data, size_t size, bool forgiving)
{
    static const size_t pieces[] = {1, 7, 61, 4096, 1 << 20};
    static const char *const ids[] = {"0", "1", "2", "3", "u1", "u2"};
    static const int32_t number[] = {2, 0, -1, 1, 3, -1};
    const int64_t live = sg_alloc_live();
    sg_import_spec spec = sg_import_defaults();
    sg_user_series x;
    sg_series series = {0};
    sg_intake k = {0};
    sg_error err = {.message = ""};
    sg_input in;
    uint64_t rows, without;
    int32_t at;
    sg_status st;

    spec.bad_rows_max = forgiving ? 1000000 : 0;
    st = sg_input_memory(&in, (sg_bytes){(const char *)data, size}, pieces[size % 5], "input", &err);
    if (!st)
        st = sg_intake_init(&k, &spec, NULL, "/tmp", false, &err);
    for (int i = 0; !st && i < 6; i++)
        st = sg_vocab_add(k.users, (sg_bytes){ids[i], strlen(ids[i])}, &at, &err);
    k.in = &in;
    sg_user_series_init(&x, &k);
    if (!st && !(st = sg_user_series_read(&x, &rows, &without, &err)))
        st = sg_user_series_end(&series, &x, number, 4, &err);
    fuzz_check(st, &err);
    if (!st && series.offsets) {
        if (sg_series_check(&series, 4, "input", &err))
            abort();
        for (size_t i = 0; i < series.names.n; i++)
            if (!sg_utf8_valid(sg_strings_at(&series.names, i).data, sg_strings_at(&series.names, i).size))
                abort();
    }
    sg_user_series_fini(&x);
    sg_intake_fini(&k);
    sg_input_close(&in);
    if (sg_alloc_live() != live)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_users(data, size, false);
    read_users(data, size, true);
    return 0;
}

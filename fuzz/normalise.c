/* normalise.c - any bytes as text: words, none of them empty, that print. */
#include "fuzz.h"

#include "text/normalise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_words w = {0};
    sg_buf text = {0};
    sg_error err = {0};

    if (sg_words_split(&w, (sg_bytes){(const char *)data, size}, &err) == SG_OK)
        for (size_t i = 0; i < w.n; i++) {
            FUZZ_CHECK(w.start[i] < w.start[i + 1]);
            sg_words_print(&text, &w, i);
        }
    sg_words_free(&w);
    sg_buf_free(&text);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "L'Oreal 0.5-Fluid Ounce, Women's",
        "caf\xc3\xa9 e\xcc\x81 \xef\xac\x81 \xef\xbc\xa1 STRA\xc3\x9f\x45",
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xed\x95\x9c\xea\xb5\xad \xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\x82",
        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac \xff\xfe \xed\xa0\x80",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}

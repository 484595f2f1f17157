/* sha256.c - the vectors of FIPS 180-4, and the same hash however the bytes are cut. */
#include "base/io.h"
#include "file/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_hash(const char *data, size_t size, const char *want)
{
    for (size_t piece = 1; piece <= 200; piece += 63) {
        sg_sha256 h;
        char hex[65];

        sg_sha256_init(&h);
        for (size_t at = 0; at < size; at += piece)
            sg_sha256_add(&h, data + at, size - at < piece ? size - at : piece);
        sg_sha256_hex(&h, hex);
        assert_string_equal(hex, want);
        sg_sha256_init(&h); /* and without the processor's instructions */
        h.fast = false;
        sg_sha256_add(&h, data, size);
        sg_sha256_hex(&h, hex);
        assert_string_equal(hex, want);
    }
}

static void published_vectors(void **state)
{
    (void)state;
    static char million[1000000];

    assert_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', sizeof million);
    assert_hash(million, sizeof million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every place of the padding: one bit after n bytes, then zeros, then the length. */
static void every_length_around_a_block(void **state)
{
    (void)state;
    char text[130], last[65] = "";

    memset(text, 'x', sizeof text);
    for (size_t n = 0; n < sizeof text; n++) {
        sg_sha256 one, two;
        char a[65], b[65];

        sg_sha256_init(&one);
        sg_sha256_add(&one, text, n);
        sg_sha256_hex(&one, a);
        sg_sha256_init(&two);
        sg_sha256_add(&two, text, n / 3);
        sg_sha256_add(&two, text, 0);
        sg_sha256_add(&two, text + n / 3, n - n / 3);
        sg_sha256_hex(&two, b);
        assert_string_equal(a, b);
        assert_string_not_equal(a, last);
        strcpy(last, a);
    }
}

static void of_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/sedge-sha-XXXXXX", hex[65];
    uint64_t size;
    sg_error err;

    close(mkstemp(path));
    assert_int_equal(sg_file_write(path, "abc", 3, NULL), SG_OK);
    assert_int_equal(sg_sha256_file(hex, &size, path, &err), SG_OK);
    assert_int_equal(size, 3);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    unlink(path);
    assert_int_equal(sg_sha256_file(hex, &size, path, &err), SG_ERR_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(every_length_around_a_block),
        cmocka_unit_test(of_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

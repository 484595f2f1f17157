/* tokenizer.c - numbers and text equal to those of the libraries that the files were made for.
 *
 * tokenizer.json holds texts with what huggingface/tokenizers and google/sentencepiece make of them; tokenizer.py wrote it, and
 * the small tokenizers in tokenizers/ with it. Cases of real tokenizers need their files in $SEDGE_DATA and are left out, with a
 * word, where those are absent.
 *
 *   test_parity_tokenizer                  the test
 *   test_parity_tokenizer --encode PATH    records of stdin (u32 bytes, little-endian, then text) to lines "ID ID ...|HEX", the
 *                                          hexadecimal being the decoded text: tokenizer.py compares these in bulk */
#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void unhex(sg_buf *out, const char *hex)
{
    unsigned byte;

    for (out->size = 0; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        sg_buf_putc(out, (char)byte);
}

static void check_case(sg_encoder *e, const sg_tokenizer *t, const json_t *o, sg_buf *text, sg_buf *decoded)
{
    const json_t *wanted = json_object_get(o, "ids");
    const char *hex = json_string_value(json_object_get(o, "text"));
    const int32_t *id;
    sg_error err;
    size_t n;

    unhex(text, hex);
    if (sg_encoder_run(&id, &n, e, (sg_bytes){text->data ? text->data : "", text->size}, NULL, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n || i < json_array_size(wanted); i++)
        if (i >= n || i >= json_array_size(wanted) || id[i] != json_integer_value(json_array_get(wanted, i)))
            fail_msg("text %s: token %zu is %d, expected %d", hex, i, i < n ? (int)id[i] : -1,
                     i < json_array_size(wanted) ? (int)json_integer_value(json_array_get(wanted, i)) : -1);
    unhex(text, json_string_value(json_object_get(o, "decoded")));
    decoded->size = 0;
    assert_int_equal(sg_tokenizer_decode(decoded, t, id, n, true, &err), SG_OK);
    if (decoded->size != text->size || (text->size && memcmp(decoded->data, text->data, text->size)))
        fail_msg("text %s: decoded as '%s', expected '%s'", hex, decoded->size ? decoded->data : "",
                 text->size ? text->data : "");
}

/* SEDGE_DATA/PATH or tests/parity/tokenizers/PATH; NULL: absent. */
static char *locate(const json_t *o)
{
    const char *data = getenv("SEDGE_DATA"), *path = json_string_value(json_object_get(o, "path"));
    const bool real = json_is_true(json_object_get(o, "real"));
    sg_buf b = {0};

    if (real)
        sg_buf_printf(&b, "%s/tokenizers/%s", data ? data : TEST_SOURCE_DIR "/../shared/data", path);
    else
        sg_buf_printf(&b, "%s/tests/parity/tokenizers/%s", TEST_SOURCE_DIR, path);
    if (sg_file_exists(b.data) || sg_dir_exists(b.data))
        return sg_buf_take(&b);
    if (!real)
        fail_msg("%s is missing", b.data);
    print_message("left out: %s is not there\n", b.data);
    sg_buf_free(&b);
    return NULL;
}

static void gives_the_numbers_and_text_of_the_libraries(void **state)
{
    (void)state;
    json_t *root = NULL;
    sg_error err;
    sg_buf text = {0}, decoded = {0};
    size_t cases = 0;

    assert_int_equal(
        sg_json_read(&root, TEST_SOURCE_DIR "/tests/parity/tokenizer.json", SG_JSON_BYTES_MAX, &err), SG_OK);
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *o = json_array_get(root, i), *list = json_object_get(o, "cases");
        char *path = locate(o);
        sg_tokenizer *t;
        sg_encoder *e;

        if (!path)
            continue;
        if (sg_tokenizer_open(&t, path, &err))
            fail_msg("%s", err.message);
        assert_int_equal(sg_encoder_new(&e, t, &err), SG_OK);
        for (size_t k = 0; k < json_array_size(list); k++, cases++)
            check_case(e, t, json_array_get(list, k), &text, &decoded);
        sg_encoder_free(e);
        sg_tokenizer_close(t);
        sg_free(path);
    }
    assert_true(cases > 100);
    json_decref(root);
    sg_buf_free(&text);
    sg_buf_free(&decoded);
}

static int encode_records(const char *path)
{
    sg_tokenizer *t;
    sg_encoder *e;
    sg_error err;
    sg_buf text = {0}, decoded = {0};
    unsigned char head[4];
    const int32_t *id;
    size_t n;

    if (sg_tokenizer_open(&t, path, &err) || sg_encoder_new(&e, t, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    while (fread(head, 1, 4, stdin) == 4) {
        const size_t size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;

        if (!sg_grow(&text.data, &text.cap, size + 1, 1) || fread(text.data, 1, size, stdin) != size)
            return 1;
        decoded.size = 0;
        if (sg_encoder_run(&id, &n, e, (sg_bytes){text.data, size}, NULL, &err) ||
            sg_tokenizer_decode(&decoded, t, id, n, true, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        for (size_t i = 0; i < n; i++)
            printf(i ? " %d" : "%d", (int)id[i]);
        putchar('|');
        for (size_t i = 0; i < decoded.size; i++)
            printf("%02x", (unsigned char)decoded.data[i]);
        putchar('\n');
    }
    sg_buf_free(&text);
    sg_buf_free(&decoded);
    sg_encoder_free(e);
    sg_tokenizer_close(t);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gives_the_numbers_and_text_of_the_libraries)};

    if (argc == 3 && strcmp(argv[1], "--encode") == 0)
        return encode_records(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

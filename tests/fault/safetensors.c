/* safetensors.c - whichever allocation or I/O operation of a save or an open fails: a clear error, the old file, no leak. */
#include "faults.h"
#include "folder.h"

#include "file/json.h"
#include "file/manifest.h"
#include "file/safetensors.h"
#include "file/yaml.h"

static char path[80];

static int make_dir(void **state)
{
    if (folder_make(state))
        return -1;
    snprintf(path, sizeof path, "%s/t", folder);
    return 0;
}

static const uint8_t bytes[300000] = {1, 2, 3};
static const float numbers[4] = {1, 2, 3, 4};
static const sg_tensor_desc list[] = {
    {.name = "bytes", .dtype = SG_DT_U8, .rank = 1, .dim = {sizeof bytes}, .data = bytes},
    {.name = "numbers", .dtype = SG_DT_F32, .rank = 2, .dim = {2, 2}, .data = numbers},
};
static const sg_meta meta = {"format", "pt"};

static sg_status save(void *ctx, sg_error *err)
{
    (void)ctx;
    return sg_tensors_write(path, list, 2, &meta, 1, err);
}

static void old_or_new(void *ctx, bool done)
{
    sg_tensors *t;

    (void)ctx;
    assert_int_equal(sg_tensors_open(&t, path, NULL), SG_OK);
    if (done)
        assert_int_equal(sg_tensors_count(t), 2);
    assert_true(sg_tensors_count(t) == 2 || sg_tensors_count(t) == 1);
    sg_tensors_close(t);
    assert_int_equal(faults_entries(folder), 1);
    assert_int_equal(sg_tensors_write(path, list + 1, 1, NULL, 0, NULL), SG_OK);
}

static void saving_survives_every_fault(void **state)
{
    (void)state;
    assert_int_equal(sg_tensors_write(path, list + 1, 1, NULL, 0, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_IO, save, old_or_new, NULL) >= 8);
    faults_jansson(true);
    assert_true(faults_walk(FAULTS_ALLOC, save, old_or_new, NULL) >= 20);
    faults_jansson(false);
}

static sg_status open_file(void *ctx, sg_error *err)
{
    sg_tensors *t;
    const sg_file_tensor *x;
    sg_status st;

    (void)ctx;
    if ((st = sg_tensors_open(&t, path, err)))
        return st;
    if (!(st = sg_tensors_need(&x, t, "numbers", SG_DT_F32, 2, NULL, err)))
        assert_memory_equal(x->data, numbers, sizeof numbers);
    sg_tensors_close(t);
    return st;
}

static void opening_fails_cleanly(void **state)
{
    (void)state;
    assert_int_equal(sg_tensors_write(path, list, 2, &meta, 1, NULL), SG_OK);
    assert_int_equal(faults_walk(FAULTS_IO, open_file, NULL, NULL), 2);
    assert_true(faults_walk(FAULTS_ALLOC, open_file, NULL, NULL) >= 4);
}

/* Data one byte off alignment is copied; the copy may fail too. */
static sg_status parse_unaligned(void *ctx, sg_error *err)
{
    static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}";
    static _Alignas(8) char file[8 + sizeof header - 1 + 5];
    sg_tensors *t;
    sg_status st;

    (void)ctx;
    file[0] = sizeof header - 1;
    memcpy(file + 8, header, sizeof header - 1);
    if (!(st = sg_tensors_parse(&t, (sg_bytes){file, sizeof file}, "f", err)))
        sg_tensors_close(t);
    return st;
}

static void copies_fail_cleanly(void **state)
{
    (void)state;
    assert_int_equal(faults_walk(FAULTS_ALLOC, parse_unaligned, NULL, NULL),
                     5); /* file, name, message, list, copy */
}

static sg_status json_round_trip(void *ctx, sg_error *err)
{
    static const char text[] = "{\"a\": [1, 0.5, \"x\"], \"b\": {}}";
    json_t *v, *again = NULL;
    sg_status st;

    (void)ctx;
    if ((st = sg_json_parse(&v, (sg_bytes){text, sizeof text - 1}, "f", err)))
        return st;
    if (!(st = sg_json_write(path, v, err)))
        st = sg_json_read(&again, path, 1000, err);
    json_decref(v);
    json_decref(again);
    return st;
}

static sg_status write_manifest(void *ctx, sg_error *err)
{
    (void)ctx;
    return sg_manifest_write(folder, err);
}

static sg_status manifest(void *ctx, sg_error *err)
{
    const sg_status st = sg_manifest_write(folder, err);

    (void)ctx;
    return st ? st : sg_manifest_check(folder, true, err);
}

static void json_and_manifests_fail_cleanly(void **state)
{
    (void)state;
    for (faults_kind kind = FAULTS_ALLOC; kind <= FAULTS_IO; kind++) {
        assert_true(faults_walk(kind, json_round_trip, NULL, NULL) >= 8);
        assert_true(faults_walk(kind, manifest, NULL, NULL) >= 10);
    }
    faults_jansson(true);
    assert_true(faults_walk(FAULTS_ALLOC, write_manifest, NULL, NULL) >= 30);
    faults_jansson(false);
}

static sg_status yaml(void *ctx, sg_error *err)
{
    static const char text[] = "a: [1, x, 2.5]\nb:\n  c: true\n";
    json_t *v, *places;
    sg_status st;

    (void)ctx;
    if ((st = sg_yaml_parse(&v, &places, (sg_bytes){text, sizeof text - 1}, "r", err)))
        return st;
    json_decref(v);
    json_decref(places);
    return st;
}

static void yaml_fails_cleanly(void **state)
{
    (void)state;
    faults_jansson(true);
    assert_true(faults_walk(FAULTS_ALLOC, yaml, NULL, NULL) >= 15);
    faults_jansson(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_survives_every_fault), cmocka_unit_test(opening_fails_cleanly),
        cmocka_unit_test(copies_fail_cleanly),         cmocka_unit_test(json_and_manifests_fail_cleanly),
        cmocka_unit_test(yaml_fails_cleanly),
    };

    return cmocka_run_group_tests(tests, make_dir, folder_drop);
}

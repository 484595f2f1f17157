/* dataset.c - what was written is what is opened; whatever was changed in between is refused with one clear line. */
#include "base/alloc.h"
#include "base/io.h"
#include "data/dataset.h"
#include "data/writer.h"
#include "file/json.h"
#include "file/manifest.h"
#include "file/sha256.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char data[80];

static int make_dir(void **state)
{
    if (folder_make(state))
        return -1;
    snprintf(data, sizeof data, "%s/d", folder);
    return 0;
}

static const char *in_data(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", data, name);
    return path;
}

/* user 0: items 2, 0; user 1: nothing; user 2: items 1, 1, 2 */
static const sg_dataset_event events[] = {
    {.user = 0, .item = 2, .timestamp = 10, .row = 4, .rating = 5, .action = 0},
    {.user = 0, .item = 0, .timestamp = 20, .row = 1, .rating = 3, .action = 1},
    {.user = 2, .item = 1, .timestamp = 5, .row = 2, .rating = 1, .action = 0},
    {.user = 2, .item = 1, .timestamp = 5, .row = 3, .rating = 2, .action = 1},
    {.user = 2, .item = 2, .timestamp = 7, .row = 0, .rating = 4, .action = 0},
};
static const char *const actions[] = {"view", "buy"};
static const char *const columns[] = {"title", "brand"};
static const int64_t title_offsets[] = {0, 5, 5, 10}, brand_offsets[] = {0, 1, 2, 3};
static const sg_strings cells[] = {{3, "CremeD\xc3\xa9j\xc3", title_offsets}, {3, "ABC", brand_offsets}};
static const int64_t id_offsets[] = {0, 2, 4, 7};
static const sg_strings ids = {3, "u1u2u13", id_offsets};

static sg_dataset_spec spec(void)
{
    return (sg_dataset_spec){.name = "tiny",
                             .n_users = 3,
                             .n_items = 3,
                             .n_events = 5,
                             .timestamp = true,
                             .rating = true,
                             .action = true,
                             .row = true,
                             .column = columns,
                             .n_columns = 2,
                             .action_name = actions,
                             .n_actions = 2};
}

static void write_tiny(void)
{
    const sg_dataset_spec s = spec();
    static const int64_t offsets[] = {0, 5, 5, 9};
    const sg_strings text[] = {{3, "CremeD\xc3\xa9j", offsets}, cells[1]};

    assert_int_equal(sg_dataset_write(data, &s, events, &ids, &ids, text, NULL), SG_OK);
}

static sg_bytes bytes(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

static void opens_what_was_written(void **state)
{
    (void)state;
    sg_error err = {0};
    sg_dataset *d;

    write_tiny();
    assert_int_equal(sg_dataset_open(&d, data, &err), SG_OK);
    assert_string_equal(d->name, "tiny");
    assert_int_equal(d->n_users, 3);
    assert_int_equal(d->n_items, 3);
    assert_int_equal(d->n_events, 5);
    assert_memory_equal(d->user_offsets, ((const int64_t[]){0, 2, 2, 5}), 4 * sizeof(int64_t));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(d->item[i], events[i].item);
        assert_int_equal(d->timestamp[i], events[i].timestamp);
        assert_int_equal(d->row[i], events[i].row);
        assert_int_equal(d->action[i], events[i].action);
        assert_true(d->rating[i] == events[i].rating);
    }
    assert_int_equal(d->n_columns, 2);
    assert_string_equal(d->columns[1].name, "brand");
    const sg_text_column *title = sg_dataset_column(d, "title");
    assert_non_null(title);
    assert_int_equal(sg_strings_at(&title->text, 1).size, 0);
    assert_memory_equal(sg_strings_at(&title->text, 2).data, "D\xc3\xa9j", 4);
    assert_null(sg_dataset_column(d, "price"));
    assert_int_equal(sg_dataset_item(d, bytes("u13")), 2);
    assert_int_equal(sg_dataset_user(d, bytes("u2")), 1);
    assert_int_equal(sg_dataset_user(d, bytes("u")), -1);
    assert_int_equal(sg_dataset_user(d, bytes("")), -1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(d->about, "actions"), 1)), "buy");
    sg_dataset_close(d);
    assert_int_equal(sg_dataset_verify(data, &err), SG_OK);
    assert_int_equal(sg_alloc_live(), 0);
}

static void same_input_same_bytes(void **state)
{
    (void)state;
    sg_dataset *d;
    char first[65];

    write_tiny();
    assert_int_equal(sg_dataset_open(&d, data, NULL), SG_OK);
    strcpy(first, d->sha256);
    sg_dataset_close(d);
    write_tiny();
    assert_int_equal(sg_dataset_open(&d, data, NULL), SG_OK);
    assert_string_equal(d->sha256, first);
    sg_dataset_close(d);
}

static void numbers_stand_for_ids_that_are_not_given(void **state)
{
    (void)state;
    sg_dataset_spec s = {.name = "bare", .n_users = 3, .n_items = 1000, .n_events = 5};
    sg_dataset *d;

    assert_int_equal(sg_dataset_write(data, &s, events, NULL, NULL, NULL, NULL), SG_OK);
    assert_int_equal(sg_dataset_open(&d, data, NULL), SG_OK);
    assert_int_equal(sg_dataset_item(d, bytes("999")), 999);
    assert_null(d->timestamp);
    assert_null(d->rating);
    assert_int_equal(d->n_columns, 0);
    sg_dataset_close(d);
}

static void writer_refuses(const sg_dataset_event *e, size_t n, const char *message)
{
    sg_dataset_spec s = {.name = "x",
                         .n_users = 3,
                         .n_items = 3,
                         .n_events = 2,
                         .timestamp = true,
                         .user_id_bytes = 3,
                         .item_id_bytes = 3};
    char want[200];
    sg_dataset_writer *w;
    sg_error err;

    assert_int_equal(sg_dataset_writer_open(&w, data, &s, &err), SG_OK);
    sg_status st = sg_dataset_writer_events(w, e, n, &err);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sg_dataset_writer_item(w, bytes("i"), NULL, &err), SG_OK);
        assert_int_equal(sg_dataset_writer_user(w, bytes("u"), &err), SG_OK);
    }
    if (!st) {
        st = sg_dataset_writer_commit(w, NULL, &err);
        w = NULL;
    }
    sg_dataset_writer_abort(w);
    assert_int_equal(st, SG_ERR_USAGE);
    snprintf(want, sizeof want, "%s%s", data, message);
    assert_non_null(strstr(err.message, message));
}

static void writer_refuses_what_is_not_sorted_or_announced(void **state)
{
    (void)state;
    writer_refuses((sg_dataset_event[]){{.user = 1}, {.user = 0}}, 2,
                   ": event 1: not sorted by user and time");
    writer_refuses((sg_dataset_event[]){{.timestamp = 2}, {.timestamp = 1}}, 2,
                   ": event 1: not sorted by user and time");
    writer_refuses((sg_dataset_event[]){{.item = 3}}, 1, ": event 0: user 0 or item 3 does not exist");
    writer_refuses((sg_dataset_event[]){{.user = 3}}, 1, ": event 0: user 3 or item 0 does not exist");
    writer_refuses((sg_dataset_event[]){{.user = 0}, {.user = 0}, {.user = 1}}, 3,
                   ": more events than the 2 announced");
    writer_refuses((sg_dataset_event[]){{.user = 0}}, 1, "tensor 'item': expected 8 bytes, found 4");
    assert_int_equal(sg_alloc_live(), 0);
}

static void writer_refuses_text_that_is_not_utf8(void **state)
{
    (void)state;
    sg_dataset_spec s = spec();
    sg_error err;

    assert_int_equal(sg_dataset_write(data, &s, events, &ids, &ids, cells, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": item 2: text is not UTF-8"));
    s.name = "\xff";
    assert_int_equal(sg_dataset_write(data, &s, events, &ids, &ids, cells, &err), SG_ERR_USAGE);
    s = spec();
    s.n_events = 0;
    assert_int_equal(sg_dataset_write(data, &s, events, &ids, &ids, cells, &err), SG_ERR_USAGE);
    s = spec();
    s.column = (const char *const[]){"title", "title"};
    assert_int_equal(sg_dataset_write(data, &s, events, &ids, &ids, cells, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": text column 'title' is given twice"));
}

static void writer_replaces_only_datasets(void **state)
{
    (void)state;
    sg_dataset_spec s = {.name = "x", .n_users = 3, .n_items = 3, .n_events = 5};
    sg_error err;

    assert_int_equal(sg_dataset_write(folder, &s, events, NULL, NULL, NULL, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": exists and holds no dataset.json: not replaced"));
}

/* Rewrites events.safetensors with other columns and makes dataset.json believe it. */
static void forge_events(const int64_t offsets[4], const int32_t item[5], const int64_t timestamp[5])
{
    const sg_tensor_desc list[] = {
        {.name = "user_offsets", .dtype = SG_DT_I64, .rank = 1, .dim = {4}, .data = offsets},
        {.name = "item", .dtype = SG_DT_I32, .rank = 1, .dim = {5}, .data = item},
        {.name = "timestamp", .dtype = SG_DT_I64, .rank = 1, .dim = {5}, .data = timestamp},
    };
    static const char *const names[] = {SG_DATASET_EVENTS, SG_DATASET_ITEMS, SG_DATASET_USERS};
    json_t *about, *files;
    char hex[65];

    write_tiny();
    assert_int_equal(sg_tensors_write(in_data(SG_DATASET_EVENTS), list, 3, NULL, 0, NULL), SG_OK);
    assert_int_equal(sg_json_read(&about, in_data(SG_DATASET_JSON), 1 << 20, NULL), SG_OK);
    assert_int_equal(sg_manifest_files(&files, data, names, 3, NULL), SG_OK);
    assert_int_equal(sg_dataset_sha256(hex, files, "", NULL), SG_OK);
    json_object_set_new(about, "files", files);
    json_object_set_new(about, "sha256", json_string(hex));
    assert_int_equal(sg_json_write(in_data(SG_DATASET_JSON), about, NULL), SG_OK);
    json_decref(about);
}

static void open_refuses(const char *message)
{
    const int64_t live = sg_alloc_live();
    sg_dataset *d;
    sg_error err;

    assert_int_equal(sg_dataset_open(&d, data, &err), SG_ERR_FORMAT);
    assert_null(d);
    assert_int_equal(sg_alloc_live(), live);
    if (!strstr(err.message, message))
        fail_msg("expected '%s', found '%s'", message, err.message);
}

static void open_refuses_broken_columns(void **state)
{
    (void)state;
    static const int64_t offsets[] = {0, 2, 2, 5}, times[] = {1, 2, 3, 3, 3};
    static const int32_t items[] = {0, 1, 2, 1, 0};

    forge_events((const int64_t[]){0, 3, 2, 5}, items, times);
    open_refuses(
        "events.safetensors: tensor 'user_offsets': expected ascending numbers from 0 to 5, found 2 at 2");
    forge_events((const int64_t[]){0, 2, 2, 4}, items, times);
    open_refuses("tensor 'user_offsets': expected ascending numbers from 0 to 5, found 4 at 3");
    forge_events((const int64_t[]){-1, 2, 2, 5}, items, times);
    open_refuses("tensor 'user_offsets': expected ascending numbers from 0 to 5, found -1 at 0");
    forge_events(offsets, (const int32_t[]){0, 1, 3, 1, 0}, times);
    open_refuses("tensor 'item': expected numbers from 0 to 2, found 3 at 2");
    forge_events(offsets, (const int32_t[]){0, 1, 2, 1, -1}, times);
    open_refuses("tensor 'item': expected numbers from 0 to 2, found -1 at 4");
    forge_events(offsets, items, (const int64_t[]){9, 10, 3, 2, 3});
    open_refuses("tensor 'timestamp': expected ascending numbers for user 2, found 2 after 3");
}

static void change_json(const char *key, json_t *value)
{
    json_t *about;

    write_tiny();
    assert_int_equal(sg_json_read(&about, in_data(SG_DATASET_JSON), 1 << 20, NULL), SG_OK);
    json_object_set_new(about, key, value);
    assert_int_equal(sg_json_write(in_data(SG_DATASET_JSON), about, NULL), SG_OK);
    json_decref(about);
}

static void open_refuses_changed_descriptions(void **state)
{
    (void)state;
    change_json("format", json_string("sledge"));
    open_refuses("dataset.json: 'format': expected \"sedge-dataset\", found \"sledge\"");
    change_json("version", json_integer(2));
    open_refuses("dataset.json: 'version': expected an integer from 1 to 1, found 2");
    change_json("users", json_integer(4));
    open_refuses("events.safetensors: tensor 'user_offsets': expected I64 (5), found I64 (4)");
    change_json("items", json_integer(2));
    open_refuses("tensor 'item': expected numbers from 0 to 1, found 2 at 0");
    change_json("items", json_integer(4));
    open_refuses("items.safetensors: tensor 'id.offsets': expected I64 (5), found I64 (4)");
    change_json("events", json_integer(6));
    open_refuses("tensor 'item': expected I32 (6), found I32 (5)");
    change_json("events", json_integer(-6));
    open_refuses("dataset.json: 'events': expected an integer from 1 to");
    change_json("text", json_pack("[s, s]", "title", "title"));
    open_refuses("dataset.json: 'text': expected different names of columns");
    change_json("text", json_pack("[s]", "price"));
    open_refuses("tensor 'text.price.offsets': expected I64 (4), found none");
    change_json("sha256", json_string("0"));
    open_refuses("dataset.json: 'sha256': expected ");
    change_json("files", json_object());
    open_refuses("dataset.json: 'events.safetensors': expected an object, found nothing");
}

static void open_notices_other_sizes_and_verify_other_bytes(void **state)
{
    (void)state;
    sg_buf b = {0};
    sg_error err;

    write_tiny();
    assert_int_equal(sg_file_read(&b, in_data(SG_DATASET_ITEMS), SIZE_MAX, NULL), SG_OK);
    sg_buf_putc(&b, 'x');
    assert_int_equal(sg_file_write(in_data(SG_DATASET_ITEMS), b.data, b.size, NULL), SG_OK);
    open_refuses("items.safetensors: expected ");
    b.data[b.size - 2] ^= 1;
    assert_int_equal(sg_file_write(in_data(SG_DATASET_ITEMS), b.data, b.size - 1, NULL), SG_OK);
    assert_int_equal(sg_dataset_verify(data, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "items.safetensors: expected sha256 "));
    sg_buf_free(&b);
    assert_int_equal(sg_dataset_open(&(sg_dataset *){NULL}, folder, &err), SG_ERR_MISSING);
    assert_non_null(
        strstr(err.message, "no dataset here (no dataset.json): `sedge import` or `sedge synth` makes one"));
}

static void write_ids(const char *made_for, const int32_t *codes, int levels, const int32_t *sizes)
{
    const sg_tensor_desc list[] = {
        {.name = "codes", .dtype = SG_DT_I32, .rank = 2, .dim = {3, (uint64_t)levels}, .data = codes},
        {.name = "sizes", .dtype = SG_DT_I32, .rank = 1, .dim = {(uint64_t)levels}, .data = sizes},
    };
    const sg_meta meta = {"dataset", made_for};

    assert_int_equal(sg_tensors_write(in_data(SG_DATASET_IDS), list, 2, &meta, made_for ? 1 : 0, NULL),
                     SG_OK);
}

static void ids_refuse(const sg_dataset *d, const char *message)
{
    sg_ids i;
    sg_error err;

    assert_int_not_equal(sg_ids_open(&i, d, &err), SG_OK);
    if (!strstr(err.message, message))
        fail_msg("expected '%s', found '%s'", message, err.message);
}

static void opens_and_checks_semantic_ids(void **state)
{
    (void)state;
    sg_dataset *d;
    sg_ids i;

    write_tiny();
    assert_int_equal(sg_dataset_open(&d, data, NULL), SG_OK);
    ids_refuse(d, "no semantic IDs here: `sedge tokenize ");
    write_ids(d->sha256, (const int32_t[]){0, 1, 1, 0, 0, 0}, 2, (const int32_t[]){2, 2});
    assert_int_equal(sg_ids_open(&i, d, NULL), SG_OK);
    assert_int_equal(i.levels, 2);
    assert_int_equal(i.codes[1], 1);
    sg_ids_close(&i);
    write_ids(NULL, (const int32_t[]){0, 1, 1, 0, 0, 1}, 2, (const int32_t[]){2, 2});
    ids_refuse(d, "tensor 'codes': expected different rows, found items 0 and 2 alike");
    write_ids(NULL, (const int32_t[]){0, 2, 1, 0, 0, 0}, 2, (const int32_t[]){2, 2});
    ids_refuse(d, "tensor 'codes': expected 0 to 1 at level 1, found 2 for item 0");
    write_ids(NULL, (const int32_t[]){0, 1, 1, 0, 0, -1}, 2, (const int32_t[]){2, 2});
    ids_refuse(d, "found -1 for item 2");
    write_ids(NULL, (const int32_t[]){0, 1, 1, 0, 0, 0}, 2, (const int32_t[]){2, 65537});
    ids_refuse(d, "tensor 'sizes': expected 1 to 65536, found 65537");
    write_ids("0123456789abcdef", (const int32_t[]){0, 1, 1, 0, 0, 0}, 2, (const int32_t[]){2, 2});
    ids_refuse(d, "made for other data (0123456789ab...): `sedge tokenize ");
    write_ids(NULL, (const int32_t[51]){0}, 17, (const int32_t[17]){1});
    ids_refuse(d, "tensor 'codes': expected 1 to 16 levels, found 17");
    sg_dataset_close(d);
}

static void opens_and_checks_vectors(void **state)
{
    (void)state;
    float x[6] = {1, 2, 3, 4, 5, 6};
    sg_tensor_desc t = {.name = "vectors", .dtype = SG_DT_F32, .rank = 2, .dim = {3, 2}, .data = x};
    sg_dataset *d;
    sg_vectors v;
    sg_error err;

    write_tiny();
    assert_int_equal(sg_dataset_open(&d, data, NULL), SG_OK);
    assert_int_equal(sg_vectors_open(&v, d, &err), SG_ERR_MISSING);
    assert_non_null(strstr(err.message, "no item vectors here: `sedge embed "));
    assert_int_equal(sg_tensors_write(in_data(SG_DATASET_VECTORS), &t, 1, NULL, 0, NULL), SG_OK);
    assert_int_equal(sg_vectors_open(&v, d, &err), SG_OK);
    assert_int_equal(v.dim, 2);
    assert_true(v.data[5] == 6);
    sg_vectors_close(&v);
    x[3] = (float)atof("nan");
    assert_int_equal(sg_tensors_write(in_data(SG_DATASET_VECTORS), &t, 1, NULL, 0, NULL), SG_OK);
    assert_int_equal(sg_vectors_open(&v, d, &err), SG_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "tensor 'vectors': expected finite numbers, found nan in row 1"));
    t.dim[0] = 2;
    assert_int_equal(sg_tensors_write(in_data(SG_DATASET_VECTORS), &t, 1, NULL, 0, NULL), SG_OK);
    assert_int_equal(sg_vectors_open(&v, d, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "tensor 'vectors': expected F32 (3, any), found F32 (2, 2)"));
    sg_dataset_close(d);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_was_written),
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(numbers_stand_for_ids_that_are_not_given),
        cmocka_unit_test(writer_refuses_what_is_not_sorted_or_announced),
        cmocka_unit_test(writer_refuses_text_that_is_not_utf8),
        cmocka_unit_test(writer_replaces_only_datasets),
        cmocka_unit_test(open_refuses_broken_columns),
        cmocka_unit_test(open_refuses_changed_descriptions),
        cmocka_unit_test(open_notices_other_sizes_and_verify_other_bytes),
        cmocka_unit_test(opens_and_checks_semantic_ids),
        cmocka_unit_test(opens_and_checks_vectors),
    };

    return cmocka_run_group_tests(tests, make_dir, folder_drop);
}

/* import_kit.h - a folder for one test, files in it, imports of them, and datasets as text that can be
 * compared. */
#ifndef TEST_IMPORT_KIT_H
#define TEST_IMPORT_KIT_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/io.h"
#include "data/dataset.h"
#include "data/import.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char kit_dir[64];
static int64_t kit_live;

static int kit_begin(void **state)
{
    (void)state;
    /* in memory where that can be: imports sync what they write, and these are many */
    snprintf(kit_dir, sizeof kit_dir, "%s/sedge-import-XXXXXX",
             sg_dir_exists("/dev/shm") ? "/dev/shm" : "/tmp");
    kit_live = sg_alloc_live();
    return mkdtemp(kit_dir) ? 0 : -1;
}

/* Nothing may have leaked. */
static int kit_end(void **state)
{
    (void)state;
    return sg_dir_remove(kit_dir, NULL) || sg_alloc_live() != kit_live;
}

static inline const char *kit_path(const char *name)
{
    static char path[64][256];
    static int turn;

    turn = (turn + 1) % 64;
    snprintf(path[turn], sizeof path[turn], "%s/%s", kit_dir, name);
    return path[turn];
}

/* No temporary file or folder is left. */
static inline void kit_check_clean(void)
{
    DIR *d = opendir(kit_dir);
    const struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)))
        if (strstr(e->d_name, ".sedge-tmp-") || strstr(e->d_name, ".scratch"))
            fail_msg("%s is left", e->d_name);
    closedir(d);
}

static inline const char *kit_bytes(const char *name, const void *data, size_t size)
{
    const char *path = kit_path(name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline const char *kit_file(const char *name, const char *text)
{
    return kit_bytes(name, text, strlen(text));
}

static inline void kit_cells(sg_buf *b, const char *name, const sg_strings *s)
{
    sg_buf_printf(b, "%s:", name);
    for (size_t i = 0; i < s->n; i++) {
        const sg_bytes t = sg_strings_at(s, i);

        sg_buf_printf(b, " [%.*s]", (int)t.size, t.data);
    }
    sg_buf_putc(b, '\n');
}

/* One line a user: "user: item@time*rating!action ...", then the items and their texts. */
static inline char *kit_dump(const char *dir)
{
    sg_dataset *d = NULL;
    sg_buf b = {0};
    sg_error err;

    if (sg_dataset_open(&d, dir, &err)) {
        print_message("%s\n", err.message);
        return NULL;
    }
    for (int32_t u = 0; u < d->n_users; u++) {
        const sg_bytes id = sg_strings_at(&d->user_ids, (size_t)u);

        sg_buf_printf(&b, "%.*s:", (int)id.size, id.data);
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++) {
            const sg_bytes item = sg_strings_at(&d->item_ids, (size_t)d->item[e]);

            sg_buf_printf(&b, " %.*s", (int)item.size, item.data);
            if (d->timestamp)
                sg_buf_printf(&b, "@%lld", (long long)d->timestamp[e]);
            if (d->rating)
                sg_buf_printf(&b, "*%g", (double)d->rating[e]);
            if (d->action)
                sg_buf_printf(&b, "!%d", (int)d->action[e]);
        }
        sg_buf_putc(&b, '\n');
    }
    kit_cells(&b, "items", &d->item_ids);
    for (int i = 0; i < d->n_columns; i++)
        kit_cells(&b, d->columns[i].name, &d->columns[i].text);
    sg_dataset_close(d);
    return sg_buf_take(&b);
}

/* spec with one file of events and at most one of items (NULL: none); good until the next call */
static inline sg_import_spec kit_spec(const char *format, const char *events, const char *items)
{
    static char name[2][256];
    static const char *const path[] = {name[0]}, *const item_path[] = {name[1]};
    sg_import_spec s = sg_import_defaults();

    snprintf(name[0], sizeof name[0], "%s", events ? events : "");
    snprintf(name[1], sizeof name[1], "%s", items ? items : "");
    s.format = format;
    s.path = path;
    s.n_path = 1;
    s.item_text = item_path;
    s.n_item_text = items != NULL;
    return s;
}

static inline void kit_expect_spec(const sg_import_spec *s, const char *dump)
{
    json_t *report = NULL;
    sg_error err = {.message = ""};
    char *found;

    if (sg_import(kit_path("out"), s, NULL, &report, &err))
        fail_msg("%s", err.message);
    found = kit_dump(kit_path("out"));
    assert_non_null(found);
    assert_string_equal(found, dump);
    kit_check_clean();
    sg_free(found);
    json_decref(report);
}

static inline void kit_expect(const char *format, const char *text, const char *dump)
{
    const sg_import_spec s = kit_spec(format, kit_file("events", text), NULL);

    kit_expect_spec(&s, dump);
}

/* The import fails with this message, in which '~' stands for the test's folder, and leaves nothing behind.
 */
static inline void kit_refuse_spec(const sg_import_spec *s, sg_status status, const char *message)
{
    sg_error err = {.message = ""};
    sg_buf b = {0};

    assert_int_equal(sg_dir_remove(kit_path("out"), NULL), SG_OK);
    assert_int_equal(sg_import(kit_path("out"), s, NULL, NULL, &err), status);
    for (const char *p = message; *p; p++)
        if (*p == '~')
            sg_buf_puts(&b, kit_dir);
        else
            sg_buf_putc(&b, *p);
    assert_string_equal(err.message, b.data);
    assert_false(sg_dir_exists(kit_path("out")));
    kit_check_clean();
    sg_buf_free(&b);
}

static inline void kit_refuse(const char *format, const char *text, const char *message)
{
    const sg_import_spec s = kit_spec(format, kit_file("events", text), NULL);

    kit_refuse_spec(&s, SG_ERR_FORMAT, message);
}

#define KIT_TEST(f) cmocka_unit_test_setup_teardown(f, kit_begin, kit_end)

#endif

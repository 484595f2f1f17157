/* dataset.c - a dataset folder whose events and items files hold any bytes: what opens can be walked without a bound check.
 *
 * Input: two bytes (size of the events file), the events file, the items file. dataset.json is made to fit their sizes, so
 * that the bytes themselves are reached. */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/dataset.h"
#include "data/split.h"
#include "data/writer.h"

#include <string.h>

static char dir[] = "/tmp/sedge-fuzz-XXXXXX";
static bool made;

static void remove_dir(void)
{
    sg_dir_remove(dir, NULL);
}

static void in_dir(char path[64], const char *name)
{
    snprintf(path, 64, "%s/%s", dir, name);
}

static void put(const char *name, const void *data, size_t size)
{
    char path[64];

    in_dir(path, name);
    unlink(path); /* a new file: some file systems write a truncated one to disk at once */
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

static const sg_dataset_event events[] = {{.user = 0, .item = 2, .timestamp = 10},
                                          {.user = 0, .item = 0, .timestamp = 20},
                                          {.user = 1, .item = 1, .timestamp = 5},
                                          {.user = 1, .item = 2, .timestamp = 7}};
static const char *const columns[] = {"title"};

static void write_dataset(const char *path)
{
    static const int64_t offsets[] = {0, 3, 3, 9};
    static const sg_strings title = {3,
                                     "red"
                                     "t\xc3\xa9rra",
                                     offsets};
    const sg_dataset_spec spec = {.name = "fuzz",
                                  .n_users = 2,
                                  .n_items = 3,
                                  .n_events = 4,
                                  .timestamp = true,
                                  .column = columns,
                                  .n_columns = 1};

    FUZZ_CHECK(sg_dataset_write(path, &spec, events, NULL, NULL, &title, NULL) == SG_OK);
}

static void make_dir(void)
{
    char path[64];

    if (made)
        return;
    FUZZ_CHECK(mkdtemp(dir));
    atexit(remove_dir);
    in_dir(path, "d");
    write_dataset(path);
    made = true;
}

static void walk(const sg_dataset *d)
{
    const sg_split_spec spec = {0};
    sg_split *s;
    volatile int64_t sum = 0;

    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t i = d->user_offsets[u]; i < d->user_offsets[u + 1]; i++)
            sum += d->item_ids.offsets[d->item[i]] + (d->timestamp ? d->timestamp[i] % 2 : 0);
    for (int32_t i = 0; i < d->n_items; i++)
        for (int c = 0; c < d->n_columns; c++) {
            const sg_bytes text = sg_strings_at(&d->columns[c].text, (size_t)i);

            for (size_t k = 0; k < text.size; k++)
                sum += text.data[k];
        }
    (void)sum;
    FUZZ_CHECK(sg_split_new(&s, d, &spec, NULL) == SG_OK);
    sg_split_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    const size_t n_events = size < 2 ? 0 : (size_t)data[0] | (size_t)data[1] << 8;
    const size_t split = size < 2 ? 0 : n_events < size - 2 ? n_events : size - 2;
    sg_dataset *d;
    sg_error err = {0};
    char path[64], hex[65];
    json_t *files, *about;

    make_dir();
    in_dir(path, "d");
    put("d/" SG_DATASET_EVENTS, data + (size < 2 ? 0 : 2), split);
    put("d/" SG_DATASET_ITEMS, data + (size < 2 ? 0 : 2) + split, size < 2 ? 0 : size - 2 - split);
    files = json_pack("{s:{s:I, s:s}, s:{s:I, s:s}}", SG_DATASET_EVENTS, "bytes", (json_int_t)split, "sha256",
                      zeros, SG_DATASET_ITEMS, "bytes", (json_int_t)(size < 2 ? 0 : size - 2 - split),
                      "sha256", zeros);
    FUZZ_CHECK(sg_dataset_sha256(hex, files, "", NULL) == SG_OK);
    about = json_pack("{s:s, s:i, s:s, s:i, s:i, s:i, s:[s], s:s, s:o}", "format", SG_DATASET_FORMAT,
                      "version", SG_DATASET_VERSION, "name", "fuzz", "users", 2, "items", 3, "events", 4,
                      "text", "title", "sha256", hex, "files", files);
    char *text = json_dumps(about, 0);
    put("d/" SG_DATASET_JSON, text, strlen(text));
    free(text);
    json_decref(about);
    if (sg_dataset_open(&d, path, &err)) {
        FUZZ_CHECK(!d && strncmp(err.message, path, strlen(path)) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    walk(d);
    sg_dataset_close(d);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    sg_buf part[2] = {{0}, {0}};
    char path[64];

    if (i)
        return false;
    make_dir();
    in_dir(path, "seed");
    write_dataset(path);
    in_dir(path, "seed/" SG_DATASET_EVENTS);
    FUZZ_CHECK(sg_file_read(&part[0], path, SIZE_MAX, NULL) == SG_OK);
    in_dir(path, "seed/" SG_DATASET_ITEMS);
    FUZZ_CHECK(sg_file_read(&part[1], path, SIZE_MAX, NULL) == SG_OK);
    sg_buf_putc(out, (char)(part[0].size & 255));
    sg_buf_putc(out, (char)(part[0].size >> 8));
    for (int k = 0; k < 2; k++) {
        sg_buf_add(out, part[k].data, part[k].size);
        sg_buf_free(&part[k]);
    }
    return true;
}

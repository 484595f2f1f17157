/* collection.c - any bytes as documents, queries and judgements in BEIR's layout, and as a run about them: a clean error, or a
 * collection that can be walked and lists that can be measured.
 *
 * Input: corpus.jsonl, queries.jsonl, qrels/test.tsv and a TREC run, with a byte 30 between them. */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/import_beir.h"
#include "eval/retrieval.h"

#include <string.h>

enum { CUT = 30, PARTS = 4 };

static char dir[40];
static const char *const files[PARTS] = {"in/corpus.jsonl", "in/queries.jsonl", "in/qrels/test.tsv", "run"};

static void remove_dir(void)
{
    sg_dir_remove(dir, NULL);
}

static void in_dir(char path[80], const char *name)
{
    snprintf(path, 80, "%s/%s", dir, name);
}

static void make_dir(void)
{
    char path[80];

    if (dir[0])
        return;
    snprintf(dir, sizeof dir, "%s/sedge-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    FUZZ_CHECK(mkdtemp(dir));
    atexit(remove_dir);
    in_dir(path, "in/qrels");
    FUZZ_CHECK(sg_dir_make(path, NULL) == SG_OK);
}

static void put_parts(const uint8_t *data, size_t size)
{
    size_t at = 0;

    for (int i = 0; i < PARTS; i++) {
        const uint8_t *cut = i + 1 < PARTS && at < size ? memchr(data + at, CUT, size - at) : NULL;
        const size_t end = cut ? (size_t)(cut - data) : size;
        char path[80];

        in_dir(path, files[i]);
        FILE *f = fopen(path, "wb");
        FUZZ_CHECK(f && fwrite(data + at, 1, end - at, f) == end - at && fclose(f) == 0);
        at = end < size ? end + 1 : size;
    }
}

/* An error is one line that names what it is about. */
static void check_error(const sg_error *err)
{
    FUZZ_CHECK(strncmp(err->message, dir, strlen(dir)) == 0 && !strchr(err->message, '\n'));
}

static void measure(sg_dataset *d, const sg_collection *c)
{
    static const int k[] = {1, 10};
    char path[80];
    json_t *values;
    sg_error err = {0};
    sg_run run = {0};

    in_dir(path, "run");
    if (sg_run_read(&run, d, c, path, &err)) {
        check_error(&err);
        FUZZ_CHECK(!run.doc);
        return;
    }
    FUZZ_CHECK(run.n_queries == c->n_queries);
    for (int64_t i = 0; i < run.offsets[run.n_queries]; i++)
        FUZZ_CHECK(run.doc[i] >= 0 && run.doc[i] < d->n_items);
    FUZZ_CHECK(sg_run_measure(&values, &run, c, SG_COLLECTION_TEST, k, 2, &err) == SG_OK);
    json_decref(values);
    sg_run_free(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int64_t live = sg_alloc_live();
    char in[80], out[80];
    sg_dataset *d = NULL;
    sg_collection *c = NULL;
    json_t *report = NULL;
    sg_error err = {0};

    make_dir();
    put_parts(data, size);
    in_dir(in, "in");
    in_dir(out, "out");
    const sg_beir_spec spec = {.folder = in, .dev = 0.5, .bad_rows_max = size % 3 ? 0 : 1000};
    if (sg_import_beir(out, &spec, NULL, &report, &err)) {
        check_error(&err);
    } else {
        FUZZ_CHECK(sg_dataset_open(&d, out, &err) == SG_OK && sg_collection_open(&c, d, &err) == SG_OK && c);
        measure(d, c);
    }
    json_decref(report);
    sg_collection_close(c);
    sg_dataset_close(d);
    FUZZ_CHECK(sg_alloc_live() == live);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    if (i)
        return false;
    sg_buf_puts(
        out, "{\"_id\": \"d1\", \"title\": \"t\", \"text\": \"a\"}\n{\"_id\": \"d 2\", \"text\": \"b\"}\n\x1e"
             "{\"_id\": \"q1\", \"text\": \"x\"}\n{\"_id\": \"q2\", \"text\": \"y\"}\n\x1e"
             "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td 2\t-1\nq2\td1\t0\n\x1e"
             "q1 Q0 d1 1 0.5 x\nq1 Q0 d%202 2 0.25 x\nq2 Q0 d1 1 1e3 x\n");
    return true;
}

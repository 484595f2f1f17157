/* import_beir.c - three kinds of files, read in their order: documents, queries, judgements of both. All is held in memory. */
#include "data/import_beir.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "data/collection.h"
#include "data/json_scan.h"
#include "data/scan.h"
#include "data/vocab.h"
#include "data/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RNG_DEV = 0x646576 };

/* Texts one after the other, by number. */
typedef struct texts {
    sg_buf bytes;
    int64_t *offsets; /* owned (n + 1) */
    size_t n, cap;
} texts;

typedef struct judgement {
    int32_t query, doc, grade;
    uint64_t line;
} judgement;

typedef struct judged {
    judgement *row; /* owned */
    size_t n, cap;
    int64_t *offsets; /* owned: as columns */
    int32_t *doc, *grade;
} judged;

typedef struct reader {
    const sg_beir_spec *spec;
    const char *dir;          /* of the new dataset */
    sg_vocab *docs, *queries; /* owned */
    texts title, text, question;
    judged split[SG_COLLECTION_SPLITS];
    int64_t bad;
    json_t *sources; /* owned */
    sg_buf room[3];
} reader;

static void fini(reader *r)
{
    texts *const t[] = {&r->title, &r->text, &r->question};

    for (int i = 0; i < 3; i++) {
        sg_buf_free(&t[i]->bytes);
        sg_free(t[i]->offsets);
        sg_buf_free(&r->room[i]);
    }
    for (int s = 0; s < SG_COLLECTION_SPLITS; s++) {
        sg_free(r->split[s].row);
        sg_free(r->split[s].offsets);
        sg_free(r->split[s].doc);
        sg_free(r->split[s].grade);
    }
    sg_vocab_free(r->docs);
    sg_vocab_free(r->queries);
    json_decref(r->sources);
}

static sg_status put_text(texts *t, sg_bytes text, sg_error *err)
{
    if (!sg_grow(&t->offsets, &t->cap, t->n + 2, sizeof *t->offsets))
        return sg_fail_memory(err, "texts");
    if (t->n == 0)
        t->offsets[0] = 0;
    sg_buf_add(&t->bytes, text.data, text.size);
    t->offsets[++t->n] = (int64_t)t->bytes.size;
    return t->bytes.failed ? sg_fail_memory(err, "texts") : SG_OK;
}

static sg_strings strings_of(const texts *t)
{
    return (sg_strings){t->n, t->bytes.data ? t->bytes.data : "", t->offsets};
}

/* ---- the files ---- */

/* FOLDER/NAME, or packed. NULL when there is none, and `failed` when there is no memory. */
static char *find_file(const char *folder, const char *name, bool *failed)
{
    static const char *const ends[] = {"", ".zst", ".gz"};

    *failed = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *full = NULL;
        sg_buf path = {0};

        sg_buf_printf(&path, "%s/%s%s", folder, name, ends[i]);
        if (path.failed || !(full = sg_buf_take(&path))) {
            *failed = true;
            return NULL;
        }
        if (sg_file_exists(full))
            return full;
        sg_free(full);
    }
    return NULL;
}

static sg_status note_source(reader *r, const char *path, size_t rows, sg_error *err)
{
    return json_array_append_new(r->sources, json_pack("{s:s, s:I}", "path", path, "rows", (json_int_t)rows))
               ? sg_fail_memory(err, path)
               : SG_OK;
}

typedef struct field {
    const char *key;
    bool needed;
    sg_bytes text;
    bool found;
} field;

/* The named members of the object in this line, all of them text. */
static sg_status take_fields(reader *r, sg_input *in, sg_bytes line, field *f, int n, sg_error *err)
{
    sg_json_value key, value;
    sg_json_scan s;

    sg_json_begin(&s, line, false);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value);)
        for (int i = 0; i < n; i++) {
            if (!sg_bytes_equal(key.text, sg_bytes_of(f[i].key)))
                continue;
            if (f[i].found)
                return sg_input_fail(in, in->line, err, "expected one '%s', found two", f[i].key);
            if (value.kind != SG_JSON_STRING)
                return sg_input_fail(in, in->line, err, "'%s': expected text, found %.*s", f[i].key,
                                     (int)(value.text.size < 20 ? value.text.size : 20), value.text.data);
            if (!sg_json_string(&f[i].text, &value, &r->room[i]))
                return sg_fail_memory(err, in->path);
            if (!sg_utf8_valid(f[i].text.data, f[i].text.size))
                return sg_input_fail(in, in->line, err, "'%s': expected UTF-8", f[i].key);
            f[i].found = true;
        }
    if (s.problem || !sg_json_end(&s))
        return sg_json_fail(&s, in, line, in->line, err);
    for (int i = 0; i < n; i++)
        if (f[i].needed && !f[i].found)
            return sg_input_fail(in, in->line, err, "expected '%s', found none", f[i].key);
    return SG_OK;
}

/* A line of corpus.jsonl, or of queries.jsonl. */
static sg_status take_line(reader *r, sg_input *in, sg_bytes line, bool doc, sg_error *err)
{
    field f[] = {{.key = "_id", .needed = true}, {.key = "text", .needed = true}, {.key = "title"}};
    sg_vocab *v = doc ? r->docs : r->queries;
    const int32_t n = sg_vocab_count(v);
    int32_t number;
    char quote[SG_QUOTE_ROOM];
    sg_status st;

    if ((st = take_fields(r, in, line, f, doc ? 3 : 2, err)))
        return st;
    if (f[0].text.size == 0 || f[0].text.size > 1024)
        return sg_input_fail(in, in->line, err, "'_id': expected 1 to 1024 bytes, found %zu", f[0].text.size);
    if ((st = sg_vocab_add(v, f[0].text, &number, err)))
        return st;
    if (number != n)
        return sg_input_fail(in, in->line, err, "'_id': expected a new one, found %s again",
                             sg_quote(quote, f[0].text));
    if (!doc)
        return put_text(&r->question, f[1].text, err);
    if ((st = put_text(&r->title, f[2].text, err)))
        return st;
    return put_text(&r->text, f[1].text, err);
}

static sg_status read_lines(reader *r, const char *name, bool doc, const sg_progress *progress, sg_error *err)
{
    bool got, failed;
    char *path = find_file(r->spec->folder, name, &failed);
    sg_input in = {0};
    sg_bytes line;
    size_t rows = 0;
    sg_status st;

    if (!path)
        return failed ? sg_fail_memory(err, name)
                      : sg_fail(
                            err, SG_ERR_MISSING,
                            "%s: expected a folder in BEIR's layout with %s in it (or .zst, .gz), found none",
                            r->spec->folder, name);
    st = sg_input_open(&in, path, err);
    while (!st && !(st = sg_input_line(&in, &line, &got, err)) && got) {
        if (sg_trim(line).size == 0)
            continue;
        st = take_line(r, &in, line, doc, err);
        rows++;
    }
    if (!st && rows == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected %s, found none", path, doc ? "documents" : "queries");
    if (!st && !(st = note_source(r, path, rows, err)))
        st = sg_progress_say(progress, err, "import", "%s: %zu %s", sg_path_base(path), rows,
                             doc ? "documents" : "queries");
    sg_input_close(&in);
    sg_free(path);
    return st;
}

/* ---- judgements ---- */

static int cut_tabs(sg_bytes line, sg_bytes part[4])
{
    int n = 0;

    for (size_t begin = 0, i = 0; i <= line.size && n < 4; i++)
        if (i == line.size || line.data[i] == '\t') {
            part[n++] = sg_trim((sg_bytes){line.data + begin, i - begin});
            begin = i + 1;
        }
    return n;
}

static sg_status unknown(reader *r, const sg_input *in, const char *what, sg_bytes id, sg_error *err)
{
    char quote[SG_QUOTE_ROOM];

    if (r->bad < r->spec->bad_rows_max) {
        r->bad++;
        return SG_OK;
    }
    return sg_input_fail(in, in->line, err, "expected the id of a %s, found %s", what, sg_quote(quote, id));
}

static sg_status take_judgement(reader *r, sg_input *in, sg_bytes line, judged *to, sg_error *err)
{
    sg_bytes part[4];
    const int n = cut_tabs(line, part);
    char quote[SG_QUOTE_ROOM];
    int64_t grade;

    if (n != 3)
        return sg_input_fail(in, in->line, err, "expected 3 columns (query-id, corpus-id, score), found %s%d",
                             n == 4 ? "more than " : "", n == 4 ? 3 : n);
    if (!sg_scan_int(part[2], &grade) || grade < -SG_GRADE_MAX || grade > SG_GRADE_MAX) {
        if (in->line == 1) /* the header */
            return SG_OK;
        return sg_input_fail(in, in->line, err, "score: expected a whole number from -%d to %d, found %s",
                             SG_GRADE_MAX, SG_GRADE_MAX, sg_quote(quote, part[2]));
    }
    const int32_t query = sg_vocab_find(r->queries, part[0]), doc = sg_vocab_find(r->docs, part[1]);

    if (query < 0)
        return unknown(r, in, "query", part[0], err);
    if (doc < 0)
        return unknown(r, in, "document", part[1], err);
    if (!sg_grow(&to->row, &to->cap, to->n + 1, sizeof *to->row))
        return sg_fail_memory(err, in->path);
    to->row[to->n++] = (judgement){query, doc, (int32_t)grade, in->line};
    return SG_OK;
}

static int by_query(const void *a, const void *b)
{
    const judgement *x = a, *y = b;

    if (x->query != y->query)
        return (x->query > y->query) - (x->query < y->query);
    if (x->doc != y->doc)
        return (x->doc > y->doc) - (x->doc < y->doc);
    return (x->line > y->line) - (x->line < y->line);
}

/* Sorted; a pair that was judged twice is an error of the later line. */
static sg_status sort_judgements(const reader *r, judged *to, const char *path, sg_error *err)
{
    if (to->n)
        qsort(to->row, to->n, sizeof *to->row, by_query);
    for (size_t i = 1; i < to->n; i++) {
        const judgement *x = &to->row[i];
        char quote[2][SG_QUOTE_ROOM];

        if (x->query == x[-1].query && x->doc == x[-1].doc)
            return sg_fail(
                err, SG_ERR_FORMAT,
                "%s:%llu: expected one judgement of query %s and document %s, found another in line %llu",
                path, (unsigned long long)x->line, sg_quote(quote[0], sg_vocab_at(r->queries, x->query)),
                sg_quote(quote[1], sg_vocab_at(r->docs, x->doc)), (unsigned long long)x[-1].line);
    }
    return SG_OK;
}

static sg_status read_judgements(reader *r, int s, bool *there, sg_error *err)
{
    const char *name = sg_collection_split_names[s];
    char file[64];
    bool got, failed;
    char *path;
    sg_input in = {0};
    sg_bytes line;
    sg_status st;

    snprintf(file, sizeof file, "qrels/%s.tsv", name);
    if (!(path = find_file(r->spec->folder, file, &failed)) && !failed) {
        snprintf(file, sizeof file, "qrels_%s.tsv", name);
        path = find_file(r->spec->folder, file, &failed);
    }
    *there = path != NULL;
    if (!path)
        return failed ? sg_fail_memory(err, file) : SG_OK;
    st = sg_input_open(&in, path, err);
    while (!st && !(st = sg_input_line(&in, &line, &got, err)) && got)
        if (sg_trim(line).size)
            st = take_judgement(r, &in, line, &r->split[s], err);
    if (!st && !(st = sort_judgements(r, &r->split[s], path, err)))
        st = note_source(r, path, r->split[s].n, err);
    sg_input_close(&in);
    sg_free(path);
    return st;
}

/* Some of the training queries become the dev split of a collection that has none. */
static sg_status hold_out(reader *r, sg_error *err)
{
    judged *train = &r->split[SG_COLLECTION_TRAIN], *dev = &r->split[SG_COLLECTION_DEV];
    size_t kept = 0;

    for (size_t i = 0; i < train->n; i++) {
        const judgement x = train->row[i];

        if ((double)sg_rng_float(r->spec->dev_seed, RNG_DEV, 0, (uint64_t)x.query) >= r->spec->dev)
            train->row[kept++] = x;
        else if (!sg_grow(&dev->row, &dev->cap, dev->n + 1, sizeof *dev->row))
            return sg_fail_memory(err, "judgements");
        else
            dev->row[dev->n++] = x;
    }
    train->n = kept;
    return SG_OK;
}

/* Rows, sorted, as columns. */
static sg_status to_columns(judged *j, int32_t n_queries, sg_error *err)
{
    j->offsets = sg_alloc_zero((size_t)n_queries + 1, sizeof *j->offsets);
    j->doc = sg_alloc_array(j->n, sizeof *j->doc);
    j->grade = sg_alloc_array(j->n, sizeof *j->grade);
    if (!j->offsets || !j->doc || !j->grade)
        return sg_fail_memory(err, "judgements");
    for (size_t i = 0; i < j->n; i++) {
        j->doc[i] = j->row[i].doc;
        j->grade[i] = j->row[i].grade;
        j->offsets[j->row[i].query + 1]++;
    }
    for (int32_t q = 0; q < n_queries; q++)
        j->offsets[q + 1] += j->offsets[q];
    return SG_OK;
}

static sg_status read_all(reader *r, const sg_progress *progress, sg_error *err)
{
    bool there[SG_COLLECTION_SPLITS];
    sg_status st;

    if ((st = read_lines(r, "corpus.jsonl", true, progress, err)) ||
        (st = read_lines(r, "queries.jsonl", false, progress, err)))
        return st;
    for (int s = 0; s < SG_COLLECTION_SPLITS; s++)
        if ((st = read_judgements(r, s, &there[s], err)))
            return st;
    if (!there[0] && !there[1] && !there[2])
        return sg_fail(err, SG_ERR_MISSING,
                       "%s: expected qrels/train.tsv, qrels/dev.tsv or qrels/test.tsv, found none of them",
                       r->spec->folder);
    if (!there[SG_COLLECTION_DEV] && r->spec->dev > 0 && (st = hold_out(r, err)))
        return st;
    for (int s = 0; s < SG_COLLECTION_SPLITS; s++)
        if ((st = to_columns(&r->split[s], sg_vocab_count(r->queries), err)))
            return st;
    return SG_OK;
}

/* ---- the folder ---- */

static sg_collection collection_of(const reader *r)
{
    sg_collection c = {.n_queries = sg_vocab_count(r->queries),
                       .query_ids = sg_vocab_strings(r->queries),
                       .query_text = strings_of(&r->question)};

    for (int s = 0; s < SG_COLLECTION_SPLITS; s++) {
        const judged *j = &r->split[s];

        c.split[s] = (sg_judgements){(int64_t)j->n, j->offsets, j->doc, j->grade};
    }
    return c;
}

static json_t *describe(const reader *r, const char *name, const sg_collection *c)
{
    json_t *splits = json_object(), *report = NULL;
    int failed = !splits;

    for (int s = 0; s < SG_COLLECTION_SPLITS; s++) {
        int64_t relevant = 0;

        for (int64_t i = 0; i < c->split[s].n; i++)
            relevant += c->split[s].grade[i] > 0;
        failed |= json_object_set_new(splits, sg_collection_split_names[s],
                                      json_pack("{s:i, s:I, s:I}", "queries", (int)sg_collection_asked(c, s),
                                                "judgements", (json_int_t)c->split[s].n, "relevant",
                                                (json_int_t)relevant));
    }
    if (!failed)
        report = json_pack("{s:s, s:s, s:O, s:i, s:i, s:O, s:I}", "name", name, "format", "beir", "sources",
                           r->sources, "items", (int)sg_vocab_count(r->docs), "queries", (int)c->n_queries,
                           "splits", splits, "bad_rows", (json_int_t)r->bad);
    json_decref(splits);
    return report;
}

static sg_status write_folder(reader *r, json_t **report, sg_error *err)
{
    static const char *const column[] = {"title", "text"};
    const sg_collection c = collection_of(r);
    const sg_strings cell[] = {strings_of(&r->title), strings_of(&r->text)}, ids = sg_vocab_strings(r->docs);
    const int64_t bytes[] = {cell[0].offsets[cell[0].n], cell[1].offsets[cell[1].n]};
    char *name = r->spec->name ? sg_strdup(r->spec->name) : NULL;
    sg_dataset_writer *w = NULL;
    sg_status st = SG_OK;

    *report = NULL;
    if (!name) { /* "corpora/scifact/" is "scifact" */
        size_t n = strlen(r->spec->folder);

        while (n && r->spec->folder[n - 1] == '/')
            n--;
        char *folder = sg_strndup(r->spec->folder, n);
        name = folder ? sg_strdup(*sg_path_base(folder) ? sg_path_base(folder) : "collection") : NULL;
        sg_free(folder);
    }
    if (!name || !(*report = describe(r, name, &c))) {
        st = sg_fail_memory(err, r->dir);
        goto done;
    }
    const sg_dataset_spec spec = {.name = name,
                                  .n_items = sg_vocab_count(r->docs),
                                  .item_id_bytes = ids.offsets[ids.n],
                                  .column = column,
                                  .column_bytes = bytes,
                                  .n_columns = 2,
                                  .collection = true};

    if ((st = sg_dataset_writer_open(&w, r->dir, &spec, err)) ||
        (st = sg_collection_write(sg_dataset_writer_dir(w), &c, err)))
        goto done;
    for (size_t i = 0; !st && i < ids.n; i++)
        st =
            sg_dataset_writer_item(w, sg_strings_at(&ids, i),
                                   (sg_bytes[]){sg_strings_at(&cell[0], i), sg_strings_at(&cell[1], i)}, err);
    if (!st) {
        st = sg_dataset_writer_commit(w, *report, err);
        w = NULL;
    }
done:
    sg_dataset_writer_abort(w);
    sg_free(name);
    if (st) {
        json_decref(*report);
        *report = NULL;
    }
    return st;
}

sg_status sg_import_beir(const char *dir, const sg_beir_spec *spec, const sg_progress *progress,
                         json_t **report, sg_error *err)
{
    reader r = {.spec = spec, .dir = dir, .sources = json_array()};
    sg_folder probe;
    sg_status st;

    *report = NULL;
    if (!r.sources)
        return sg_fail_memory(err, dir);
    if (!(st = sg_folder_begin(&probe, dir, SG_DATASET_JSON, err))) { /* can it be made here? */
        sg_folder_abort(&probe);
        if (!(st = sg_vocab_new(&r.docs, err)) && !(st = sg_vocab_new(&r.queries, err)) &&
            !(st = read_all(&r, progress, err)))
            st = write_folder(&r, report, err);
    }
    fini(&r);
    return st;
}

/* collection.c - queries and judgements beside a dataset: opened with nothing believed, written in one go. */
#include "data/collection.h"

#include "base/alloc.h"
#include "base/io.h"

#include <stdio.h>

const char *const sg_collection_split_names[SG_COLLECTION_SPLITS] = {"train", "dev", "test"};

void sg_collection_close(sg_collection *c)
{
    if (!c)
        return;
    sg_tensors_close(c->file);
    sg_free(c);
}

static sg_status check_judgements(const sg_judgements *j, int32_t n_queries, int32_t n_docs, const char *file,
                                  const char *split, sg_error *err)
{
    if (j->offsets[0] != 0 || j->offsets[n_queries] != j->n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%s.offsets': expected numbers from 0 to %lld", file,
                       split, (long long)j->n);
    for (int32_t q = 0; q < n_queries; q++)
        if (j->offsets[q] > j->offsets[q + 1])
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%s.offsets': expected ascending numbers, found %lld before %lld",
                           file, split, (long long)j->offsets[q], (long long)j->offsets[q + 1]);
    for (int32_t q = 0; q < n_queries; q++)
        for (int64_t i = j->offsets[q], last = -1; i < j->offsets[q + 1]; last = j->doc[i++]) {
            if (j->doc[i] <= last || j->doc[i] >= n_docs)
                return sg_fail(
                    err, SG_ERR_FORMAT,
                    "%s: tensor '%s.doc': expected ascending numbers below %d for query %d, found %d", file,
                    split, (int)n_docs, (int)q, (int)j->doc[i]);
            if (j->grade[i] < -SG_GRADE_MAX || j->grade[i] > SG_GRADE_MAX)
                return sg_fail(err, SG_ERR_FORMAT,
                               "%s: tensor '%s.grade': expected numbers from -%d to %d, found %d", file,
                               split, SG_GRADE_MAX, SG_GRADE_MAX, (int)j->grade[i]);
        }
    return SG_OK;
}

static sg_status open_judgements(sg_judgements *j, const sg_tensors *t, const char *split, int32_t n_queries,
                                 int32_t n_docs, sg_error *err)
{
    const sg_file_tensor *offsets, *doc, *grade;
    char name[3][32];
    sg_status st;

    snprintf(name[0], sizeof name[0], "%s.offsets", split);
    snprintf(name[1], sizeof name[1], "%s.doc", split);
    snprintf(name[2], sizeof name[2], "%s.grade", split);
    if ((st = sg_tensors_need(&offsets, t, name[0], SG_DT_I64, 1, &(int64_t){(int64_t)n_queries + 1}, err)) ||
        (st = sg_tensors_need(&doc, t, name[1], SG_DT_I32, 1, &(int64_t){-1}, err)) ||
        (st = sg_tensors_need(&grade, t, name[2], SG_DT_I32, 1, &(int64_t){(int64_t)doc->count}, err)))
        return st;
    *j = (sg_judgements){(int64_t)doc->count, offsets->data, doc->data, grade->data};
    return check_judgements(j, n_queries, n_docs, sg_tensors_name(t), split, err);
}

sg_status sg_collection_open(sg_collection **out, const sg_dataset *d, sg_error *err)
{
    char *path = sg_path_join(d->dir, SG_DATASET_COLLECTION);
    sg_collection *c = sg_alloc_zero(1, sizeof *c);
    sg_status st = SG_OK;

    *out = NULL;
    if (!path || !c) {
        st = sg_fail_memory(err, d->dir);
        goto done;
    }
    if (!d->collection)
        goto done;
    if ((st = sg_tensors_open(&c->file, path, err)) ||
        (st = sg_strings_need(&c->query_ids, c->file, "query.id", -1, err)))
        goto done;
    if (c->query_ids.n >= INT32_MAX) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected less than 2^31 queries, found %zu", path,
                     c->query_ids.n);
        goto done;
    }
    c->n_queries = (int32_t)c->query_ids.n;
    st = sg_strings_need(&c->query_text, c->file, "query.text", c->n_queries, err);
    for (int s = 0; !st && s < SG_COLLECTION_SPLITS; s++)
        st = open_judgements(&c->split[s], c->file, sg_collection_split_names[s], c->n_queries, d->n_items,
                             err);
    if (!st) {
        *out = c;
        c = NULL;
    }
done:
    sg_collection_close(c);
    sg_free(path);
    return st;
}

static sg_tensor_desc column(const char *name, sg_dtype dtype, int64_t n, const void *data)
{
    return (sg_tensor_desc){.name = name, .dtype = dtype, .rank = 1, .dim = {(uint64_t)n}, .data = data};
}

sg_status sg_collection_write(const char *dir, const sg_collection *c, sg_error *err)
{
    const int64_t n = (int64_t)c->n_queries + 1;
    sg_tensor_desc list[4 + 3 * SG_COLLECTION_SPLITS];
    char name[3 * SG_COLLECTION_SPLITS][32];
    char *path = sg_path_join(dir, SG_DATASET_COLLECTION);
    sg_status st;
    size_t k = 0;

    if (!path)
        return sg_fail_memory(err, dir);
    list[k++] = column("query.id.offsets", SG_DT_I64, n, c->query_ids.offsets);
    list[k++] = column("query.id.bytes", SG_DT_U8, c->query_ids.offsets[n - 1], c->query_ids.bytes);
    list[k++] = column("query.text.offsets", SG_DT_I64, n, c->query_text.offsets);
    list[k++] = column("query.text.bytes", SG_DT_U8, c->query_text.offsets[n - 1], c->query_text.bytes);
    for (int s = 0; s < SG_COLLECTION_SPLITS; s++) {
        const sg_judgements *j = &c->split[s];
        static const char *const part[] = {"offsets", "doc", "grade"};

        for (int i = 0; i < 3; i++)
            snprintf(name[3 * s + i], sizeof name[0], "%s.%s", sg_collection_split_names[s], part[i]);
        list[k++] = column(name[3 * s], SG_DT_I64, n, j->offsets);
        list[k++] = column(name[3 * s + 1], SG_DT_I32, j->n, j->doc);
        list[k++] = column(name[3 * s + 2], SG_DT_I32, j->n, j->grade);
    }
    st = sg_tensors_write(path, list, k, &(sg_meta){"format", "sedge-collection"}, 1, err);
    sg_free(path);
    return st;
}

int32_t sg_collection_relevant(const sg_collection *c, sg_collection_split split, int32_t query)
{
    const sg_judgements *j = &c->split[split];
    int32_t n = 0;

    for (int64_t i = j->offsets[query]; i < j->offsets[query + 1]; i++)
        n += j->grade[i] > 0;
    return n;
}

int32_t sg_collection_asked(const sg_collection *c, sg_collection_split split)
{
    int32_t n = 0;

    for (int32_t q = 0; q < c->n_queries; q++)
        n += sg_collection_relevant(c, split, q) > 0;
    return n;
}

/* floors.c - what needs no learning stands beside every result: pop, markov1, itemknn on the same cases. */
#include "eval/ranks.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/receipt.h"

#include <stdio.h>

static const char *const floors[] = {"pop", "markov1", "itemknn"};
enum { N_FLOORS = sizeof floors / sizeof *floors, ENTRIES_MAX = 64 };

static sg_status one_floor(json_t *out, const char *name, const sg_train_data *t, const sg_ranks_spec *spec,
                           sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const sg_eval_spec *e = spec->eval;
    json_t *floor;
    sg_model *m = NULL;
    sg_ranks r = {0};
    sg_status st;

    if ((st = sg_receipt_object(&floor, out, name, err)) ||
        (st = sg_model_new(&m, sg_model_class_find(name, NULL), err)) ||
        (st = sg_model_build(m, t, 0, err)) || (st = sg_model_fit(m, t, pool, progress, err)) ||
        (st = sg_ranks_run(&r, m, t, spec, pool, progress, err)))
        goto done;
    for (int f = 0; !st && f < 2; f++) {
        json_t *metrics = NULL;

        if (!(st = sg_metrics_json(&metrics, &r, f, e->k, e->n_k, err)))
            st = sg_receipt_put(floor, sg_filter_names[f], metrics, err);
    }
done:
    sg_ranks_free(&r);
    sg_model_free(m);
    return st;
}

/* All that the numbers depend on. */
static void key_of(sg_buf *key, const sg_train_data *t, const sg_eval_spec *e)
{
    static const char *const ties[] = {"pessimistic", "optimistic", "random"};

    sg_buf_printf(key, "sedge %s, data %s, split %s, %s, ties %s", SEDGE_VERSION, t->data->sha256,
                  t->split->spec.text ? t->split->spec.text : "loo", e->test ? "test" : "valid",
                  ties[e->ties]);
    if (e->users_max > 0 || e->ties == SG_TIES_RANDOM)
        sg_buf_printf(key, ", users %lld, seed %llu", (long long)e->users_max, (unsigned long long)e->seed);
    sg_buf_printf(key, "%s%s", e->cold ? ", cold cases" : "", e->candidates_cold ? ", cold candidates" : "");
    for (int i = 0; i < e->n_k; i++)
        sg_buf_printf(key, i ? " %d" : ", k %d", e->k[i]);
}

/* The cache is a convenience: unreadable means empty. */
static json_t *read_cache(const char *path)
{
    json_t *all = NULL;

    if (!sg_file_exists(path) || sg_json_read(&all, path, (size_t)16 << 20, NULL) || !json_is_object(all) ||
        json_object_size(all) >= ENTRIES_MAX) {
        json_decref(all);
        all = json_object();
    }
    return all;
}

sg_status sg_floors(json_t **out, const sg_train_data *t, const sg_eval_spec *eval, sg_pool *pool,
                    const sg_progress *progress, sg_error *err)
{
    const sg_eval_spec e = {.test = eval->test,
                            .k = eval->k,
                            .n_k = eval->n_k,
                            .ties = eval->ties,
                            .seed = eval->seed,
                            .users_max = eval->users_max,
                            .cold = eval->cold,
                            .candidates_cold = eval->candidates_cold};
    const sg_ranks_spec spec = {.eval = &e, .want = {true, true}, .k = 1, .stage = "floors"};
    char *path = sg_path_join(t->data->dir, "floors.json");
    sg_buf key = {0};
    json_t *all = path ? read_cache(path) : NULL, *entry = NULL;
    sg_status st = SG_OK;

    *out = NULL;
    key_of(&key, t, &e);
    if (!path || !all || key.failed) {
        st = sg_fail_memory(err, "floors");
        goto done;
    }
    if (json_is_object(json_object_get(all, key.data))) {
        *out = json_incref(json_object_get(all, key.data));
        goto done;
    }
    if (!(entry = json_object())) {
        st = sg_fail_memory(err, "floors");
        goto done;
    }
    for (int i = 0; !st && i < N_FLOORS; i++)
        st = one_floor(entry, floors[i], t, &spec, pool, progress, err);
    if (st || (st = sg_receipt_put(all, key.data, json_incref(entry), err)))
        goto done;
    sg_json_write(path, all, NULL); /* a folder that cannot be written costs only the time to count again */
    *out = json_incref(entry);
done:
    json_decref(entry);
    json_decref(all);
    sg_buf_free(&key);
    sg_free(path);
    return st;
}

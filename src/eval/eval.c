/* eval.c - one evaluation from ranks to the result: metrics, intervals, the cold slice, floors, receipt. */
#include "eval/eval.h"

#include "base/alloc.h"
#include "eval/ranks.h"
#include "eval/retrieval.h"
#include "eval/trec.h"
#include "file/receipt.h"
#include "math/math.h"

#include <stdio.h>
#include <string.h>

static const int k_default[] = {1, 5, 10, 20, 50};
enum { N_K_DEFAULT = sizeof k_default / sizeof *k_default };

/* {"name@k": value} */
static sg_status put_metric(json_t *out, const char *name, int k, double value, sg_error *err)
{
    char key[48];

    snprintf(key, sizeof key, "%s@%d", name, k);
    return sg_receipt_put(out, key, json_real(value), err);
}

sg_status sg_metrics_json(json_t **out, const sg_ranks *r, int filter, const int *k, int n_k, sg_error *err)
{
    json_t *j = json_object();
    sg_status st = SG_OK;

    for (int i = 0; !st && i < n_k; i++) {
        const sg_metric_values v = sg_ranks_mean(r, filter, k[i]);

        if ((st = put_metric(j, "recall", k[i], v.recall, err)) ||
            (st = put_metric(j, "ndcg", k[i], v.ndcg, err)) ||
            (st = put_metric(j, "hit", k[i], v.hit, err)) || (st = put_metric(j, "mrr", k[i], v.mrr, err)) ||
            (st = put_metric(j, "map", k[i], v.map, err)) ||
            (st = put_metric(j, "precision", k[i], v.precision, err)))
            break;
    }
    if (st) {
        json_decref(j);
        j = NULL;
    }
    *out = j;
    return st;
}

/* ---- what training knew of each item ---- */

typedef struct item_counts {
    int64_t *events, *users; /* owned (n_items): training events, and training users, of each item */
    int64_t n_users;
} item_counts;

static sg_status count_items(item_counts *c, const sg_train_data *t, sg_error *err)
{
    const sg_dataset *d = t->data;
    int32_t *last;

    c->events = sg_alloc_zero((size_t)d->n_items, sizeof *c->events);
    c->users = sg_alloc_zero((size_t)d->n_items, sizeof *c->users);
    if (!c->events || !c->users || !(last = sg_alloc_zero((size_t)d->n_items, sizeof *last)))
        return sg_fail_memory(err, "item counts");
    for (int32_t u = 0; u < d->n_users; u++) {
        c->n_users += t->split->train_end[u] > d->user_offsets[u];
        for (int64_t e = d->user_offsets[u]; e < t->split->train_end[u]; e++) {
            const int32_t i = d->item[e];

            c->events[i]++;
            c->users[i] += last[i] != u + 1;
            last[i] = u + 1;
        }
    }
    sg_free(last);
    return SG_OK;
}

/* ---- parts of the result ---- */

typedef struct job {
    const sg_model *model;
    const sg_train_data *data;
    sg_eval_spec spec; /* with defaults filled in */
    bool want[2];
    sg_pool *pool;
    item_counts counts;
    sg_exposure exposure[2];
    sg_trec *trec; /* owned; NULL: no files */
    sg_ranks ranks;
} job;

static sg_status take_list(void *ctx, int filter, const sg_case *c, const int32_t *item, const float *score,
                           int n, sg_error *err)
{
    job *j = ctx;

    sg_exposure_add(&j->exposure[filter], item, n);
    return j->trec ? sg_trec_list(j->trec, filter, c, item, score, n, err) : SG_OK;
}

static sg_status put_metrics(json_t *out, const job *j, sg_error *err)
{
    const sg_eval_spec *e = &j->spec;
    json_t *all;
    sg_status st = sg_receipt_object(&all, out, "metrics", err);

    for (int f = 0; !st && f < 2; f++) {
        json_t *metrics = NULL;

        if (!j->want[f])
            continue;
        if ((st = sg_metrics_json(&metrics, &j->ranks, f, e->k, e->n_k, err)) ||
            (st = sg_receipt_put(all, sg_filter_names[f], metrics, err)))
            break;
        for (int i = 0; !st && i < e->n_k; i++) {
            sg_exposure_values v;

            if ((st = sg_exposure_at(&v, &j->exposure[f], i, err)) ||
                (st = put_metric(metrics, "coverage", e->k[i], v.coverage, err)) ||
                (st = put_metric(metrics, "gini", e->k[i], v.gini, err)) ||
                (st = put_metric(metrics, "popularity", e->k[i], v.popularity, err)))
                break;
            st = put_metric(metrics, "novelty", e->k[i], v.novelty, err);
        }
    }
    return st;
}

/* 95 % intervals of recall and NDCG at every k. */
static sg_status put_intervals(json_t *out, const job *j, sg_error *err)
{
    const sg_eval_spec *e = &j->spec;
    const sg_ranks *r = &j->ranks;
    const int m = 2 * e->n_k;
    float *value = sg_alloc_array(r->n, (size_t)m * sizeof *value);
    json_t *all = NULL;
    double *mean = NULL;
    sg_status st = value ? sg_receipt_object(&all, out, "intervals", err) : sg_fail_memory(err, "intervals");

    for (int f = 0; !st && f < 2; f++) {
        json_t *filter;

        if (!j->want[f])
            continue;
        for (size_t i = 0; i < r->n; i++)
            for (int k = 0; k < e->n_k; k++) {
                const sg_metric_values v = sg_metrics_ranks(
                    r->rank[f] + r->offsets[i], (int)(r->offsets[i + 1] - r->offsets[i]), e->k[k]);

                value[i * (size_t)m + 2 * (size_t)k] = (float)v.recall;
                value[i * (size_t)m + 2 * (size_t)k + 1] = (float)v.ndcg;
            }
        if ((st = sg_receipt_object(&filter, all, sg_filter_names[f], err)) ||
            (st = sg_bootstrap_means(&mean, value, r->n, m, e->bootstrap, e->seed, j->pool, err)))
            break;
        for (int c = 0; !st && c < m; c++) {
            double low, high;
            char key[32];

            snprintf(key, sizeof key, "%s@%d", c % 2 ? "ndcg" : "recall", e->k[c / 2]);
            if (!(st = sg_bootstrap_interval(&low, &high, mean, e->bootstrap, m, c, err)))
                st = sg_receipt_put(filter, key, json_pack("[f, f]", low, high), err);
        }
        sg_free(mean);
        mean = NULL;
    }
    sg_free(value);
    sg_free(mean);
    return st;
}

/* Targets that no training event shows: how many, and how many of them were found. */
static sg_status put_cold(json_t *out, const job *j, sg_error *err)
{
    const sg_eval_spec *e = &j->spec;
    const sg_ranks *r = &j->ranks;
    json_t *cold;
    int64_t n = 0;
    sg_status st;

    for (size_t t = 0; t < r->n_target; t++)
        n += j->counts.events[r->item[t]] == 0;
    if ((st = sg_receipt_object(&cold, out, "cold", err)) ||
        (st = sg_receipt_put(cold, "targets", json_integer((json_int_t)n), err)) ||
        (st = sg_receipt_put(cold, "share", json_real((double)n / (double)r->n_target), err)))
        return st;
    for (int f = 0; !st && f < 2 && n; f++) {
        json_t *filter;

        if (!j->want[f])
            continue;
        st = sg_receipt_object(&filter, cold, sg_filter_names[f], err);
        for (int k = 0; !st && k < e->n_k; k++) {
            int64_t found = 0;

            for (size_t t = 0; t < r->n_target; t++)
                found += j->counts.events[r->item[t]] == 0 && r->rank[f][t] >= 1 && r->rank[f][t] <= e->k[k];
            st = put_metric(filter, "recall", e->k[k], (double)found / (double)n, err);
        }
    }
    return st;
}

static sg_status put_receipt(json_t *out, const job *j, sg_error *err)
{
    static const char *const ties[] = {"pessimistic", "optimistic", "random"};
    const sg_model *m = j->model;
    const sg_dataset *d = j->data->data;
    const sg_eval_spec *e = &j->spec;
    json_t *r, *data, *model;
    sg_status st;

    if ((st = sg_receipt_object(&r, out, "receipt", err)) ||
        (st = sg_receipt_object(&data, r, "data", err)) || (st = sg_receipt_object(&model, r, "model", err)))
        return st;
    if ((st = sg_receipt_text(data, "name", d->name, err)) ||
        (st = sg_receipt_text(data, "sha256", d->sha256, err)) ||
        (st = sg_receipt_text(r, "split", j->data->split->spec.text ? j->data->split->spec.text : "loo",
                              err)) ||
        (st = sg_receipt_text(r, "asked", e->test ? "test" : "valid", err)) ||
        (st = sg_receipt_put(r, "cases", json_integer((json_int_t)j->ranks.n), err)) ||
        (st = sg_receipt_put(r, "targets", json_integer((json_int_t)j->ranks.n_target), err)) ||
        (e->cold && (st = sg_receipt_text(r, "cases_of", "targets without a training event", err))) ||
        (st = sg_receipt_text(r, "candidates",
                              e->candidates_cold ? "items without a training event" : "all items", err)) ||
        (st = sg_receipt_put(r, "items", json_integer(d->n_items), err)) ||
        (st = sg_receipt_text(r, "ranked_by", j->ranks.ranked_by, err)) ||
        (st = sg_receipt_put(r, "list_length", json_integer(e->k[e->n_k - 1]), err)) ||
        (st = sg_receipt_text(r, "ties", ties[e->ties], err)) ||
        (st = sg_receipt_put(r, "beam", json_integer(e->beam), err)) ||
        (st = sg_receipt_put(r, "plain", json_boolean(e->plain), err)) ||
        (st = sg_receipt_put(r, "seed", json_integer((json_int_t)e->seed), err)) ||
        (st = sg_receipt_put(r, "bootstrap", json_integer(e->bootstrap), err)) ||
        (st = sg_receipt_text(r, "precision", "f32", err)) ||
        (st = sg_receipt_text(r, "cpu", sg_cpu_name(), err)) ||
        (st = sg_receipt_text(r, "isa", sg_isa_name(sg_isa_best()), err)) ||
        (st = sg_receipt_put(r, "threads", json_integer(sg_pool_threads(j->pool)), err)) ||
        (st = sg_receipt_text(r, "sedge", SEDGE_VERSION, err)) ||
        (st = sg_receipt_text(model, "class", m->class->name, err)) ||
        (st = sg_receipt_text(model, "sha256", m->sha256[0] ? m->sha256 : NULL, err)) ||
        (st = sg_receipt_put(model, "options",
                             sg_receipt_options(m->config, m->class->options, m->class->n_options), err)))
        return st;
    return sg_receipt_put(model, "trained", json_incref(m->receipt), err);
}

static sg_status fill_defaults(job *j, const sg_eval_spec *spec, sg_error *err)
{
    j->spec = *spec;
    if (spec->free)
        return sg_fail(err, SG_ERR_USAGE, "free: expected queries for documents, found histories");
    if (spec->exact && !j->model->class->score)
        return sg_fail(err, SG_ERR_USAGE, "exact: %s searches, it has no scores of all items",
                       j->model->class->name);
    if (!spec->k || spec->n_k < 1) {
        j->spec.k = k_default;
        j->spec.n_k = N_K_DEFAULT;
    }
    for (int i = 0; i < j->spec.n_k; i++)
        if (j->spec.k[i] < 1 || (i && j->spec.k[i] <= j->spec.k[i - 1]))
            return sg_fail(err, SG_ERR_USAGE, "k: expected ascending cut-offs from 1, found %d",
                           j->spec.k[i]);
    j->want[SG_UNFILTERED] = spec->unfiltered || !spec->filtered;
    j->want[SG_FILTERED] = spec->filtered || !spec->unfiltered;
    return SG_OK;
}

static sg_status measure(job *j, const sg_progress *progress, sg_error *err)
{
    const sg_eval_spec *e = &j->spec;
    const sg_ranks_spec how = {.eval = e,
                               .want = {j->want[0], j->want[1]},
                               .k = e->k[e->n_k - 1],
                               .lists = true,
                               .sink = take_list,
                               .sink_ctx = j,
                               .stage = "evaluate"};
    sg_status st;

    if ((st = count_items(&j->counts, j->data, err)))
        return st;
    for (int f = 0; f < 2; f++) {
        if ((st = sg_exposure_init(&j->exposure[f], j->data->data->n_items, e->k, e->n_k, err)))
            return st;
        j->exposure[f].events = j->counts.events;
        j->exposure[f].users = j->counts.users;
        j->exposure[f].n_users = j->counts.n_users > 0 ? j->counts.n_users : 1;
    }
    if ((e->run_path || e->qrels_path) &&
        (st = sg_trec_open(&j->trec, j->data->data, e->run_path, e->qrels_path, j->model->class->name,
                           j->want[SG_FILTERED] ? SG_FILTERED : SG_UNFILTERED, err)))
        return st;
    if ((st = sg_ranks_run(&j->ranks, j->model, j->data, &how, j->pool, progress, err)))
        return st;
    if (j->trec) {
        sg_trec *t = j->trec;

        j->trec = NULL;
        if ((st = sg_trec_close(t, &j->ranks, err)))
            return st;
    }
    if (e->per_user_path)
        st = sg_ranks_save(&j->ranks, e->per_user_path, j->model->class->name, j->data->data->sha256,
                           j->data->split->spec.text ? j->data->split->spec.text : "loo",
                           strcmp(j->ranks.ranked_by, "list") == 0 ? how.k : 0, err);
    return st;
}

sg_status sg_eval(json_t **out, const sg_model *m, const sg_train_data *t, const sg_eval_spec *spec,
                  sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const double start = sg_now();
    job j = {.model = m, .data = t, .pool = pool};
    json_t *result = json_object(), *floors = NULL, *answers = NULL;
    double asked;
    sg_status st;

    *out = NULL;
    if (!result)
        return sg_fail_memory(err, "result");
    if ((st = fill_defaults(&j, spec, err)) || (st = measure(&j, progress, err)))
        goto done;
    asked = sg_now() - start;
    if ((st = put_metrics(result, &j, err)) ||
        (spec->bootstrap > 0 && (st = put_intervals(result, &j, err))) || (st = put_cold(result, &j, err)))
        goto done;
    if (m->class->rank && ((st = sg_answers_json(&answers, m, t, &j.spec, pool, progress, err)) ||
                           (st = sg_receipt_put(result, "ranking", json_incref(answers), err))))
        goto done;
    if (spec->floors && ((st = sg_floors(&floors, t, &j.spec, pool, progress, err)) ||
                         (st = sg_receipt_put(result, "floors", json_incref(floors), err))))
        goto done;
    if ((st = put_receipt(result, &j, err)) ||
        (st = sg_receipt_put(result, "seconds", json_real(sg_now() - start), err)) ||
        (st = sg_receipt_put(result, "seconds_ranking", json_real(asked), err)))
        goto done;
    *out = result;
    result = NULL;
done:
    json_decref(floors);
    json_decref(answers);
    json_decref(result);
    sg_trec_abort(j.trec);
    sg_ranks_free(&j.ranks);
    for (int f = 0; f < 2; f++)
        sg_exposure_fini(&j.exposure[f]);
    sg_free(j.counts.events);
    sg_free(j.counts.users);
    return st;
}

const char *const *sg_eval_select_names(const sg_model *m)
{
    static const char *const lists[] = {"ndcg@10", "recall@10"}, *const answers[] = {"auc", "ne"};

    return m->class->rank ? answers : lists;
}

sg_status sg_eval_select(double value[2], const sg_model *m, const sg_train_data *t, int64_t users_max,
                         sg_pool *pool, sg_error *err)
{
    const sg_eval_spec e = {.users_max = users_max, .unfiltered = true, .plain = true};
    sg_ranks r;
    sg_metric_values v;
    sg_status st;

    if (t->collection && m->class->retrieve)
        return sg_retrieval_select(value, m, t, users_max, pool, err);
    if (m->class->rank)
        return sg_answers_mean(&value[0], &value[1], m, t, &e, pool, err);
    if ((st = sg_ranks_run(&r, m, t,
                           &(sg_ranks_spec){.eval = &e, .want = {true, false}, .k = 10, .stage = "validate"},
                           pool, NULL, err)))
        return st;
    v = sg_ranks_mean(&r, SG_UNFILTERED, 10);
    value[0] = v.ndcg;
    value[1] = v.recall;
    sg_ranks_free(&r);
    return SG_OK;
}

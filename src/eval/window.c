/* window.c - the test cases in short: what a stream says of each of its windows. */
#include "eval/ranks.h"

#include "base/alloc.h"
#include "file/receipt.h"

#include <math.h>
#include <stdio.h>

enum { K_MAIN = 10, K_LONG = 50 };

/* {"recall@10", "ndcg@10", "recall@50", "ndcg@50"} with the history kept and taken out. */
static sg_status put_lists(json_t *out, const sg_model *m, const sg_train_data *t, const sg_eval_spec *e,
                           sg_pool *pool, double main[2], sg_error *err)
{
    static const int k[] = {K_MAIN, K_LONG};
    sg_ranks r = {0};
    sg_status st = sg_ranks_run(
        &r, m, t, &(sg_ranks_spec){.eval = e, .want = {true, true}, .k = K_LONG, .stage = "evaluate"}, pool,
        NULL, err);

    for (int f = 0; !st && f < 2; f++) {
        json_t *side;

        st = sg_receipt_object(&side, out, sg_filter_names[f], err);
        for (int i = 0; !st && i < 2; i++) {
            const sg_metric_values v = sg_ranks_mean(&r, f, k[i]);
            char recall[32], ndcg[32];

            snprintf(recall, sizeof recall, "recall@%d", k[i]);
            snprintf(ndcg, sizeof ndcg, "ndcg@%d", k[i]);
            if (!(st = sg_receipt_put(side, recall, json_real(v.recall), err)))
                st = sg_receipt_put(side, ndcg, json_real(v.ndcg), err);
            if (f == SG_UNFILTERED && i == 0) {
                main[0] = v.ndcg;
                main[1] = v.recall;
            }
        }
    }
    sg_ranks_free(&r);
    return st;
}

static sg_status put_floor(json_t *floors, const char *name, const sg_train_data *t, const sg_eval_spec *e,
                           sg_pool *pool, sg_error *err)
{
    sg_model *m = NULL;
    double unused[2];
    json_t *out;
    sg_status st;

    if ((st = sg_receipt_object(&out, floors, name, err)) ||
        (st = sg_model_new(&m, sg_model_class_find(name, NULL), err)) ||
        (st = sg_model_build(m, t, 0, err)) || (st = sg_model_fit(m, t, pool, NULL, err)))
        goto done;
    st = put_lists(out, m, t, e, pool, unused, err);
done:
    sg_model_free(m);
    return st;
}

static void main_answers(double main[2], const json_t *ranking)
{
    const char *name;
    json_t *task;
    int n = 0;

    main[0] = main[1] = 0;
    json_object_foreach((json_t *)(uintptr_t)ranking, name,
                        task) if (json_is_number(json_object_get(task, "auc")))
    {
        main[0] += json_number_value(json_object_get(task, "auc"));
        main[1] += json_number_value(json_object_get(task, "ne"));
        n++;
    }
    main[0] = n ? main[0] / n : (double)NAN;
    main[1] = n ? main[1] / n : (double)NAN;
}

sg_status sg_eval_window(json_t *out, double main[2], const sg_model *m, const sg_train_data *t,
                         int64_t users_max, uint64_t seed, sg_pool *pool, sg_error *err)
{
    static const char *const floors[] = {"pop", "markov1"};
    const sg_eval_spec e = {
        .test = true, .users_max = users_max, .seed = seed, .plain = true, .floors = true};
    json_t *part;
    sg_status st;

    if (m->class->rank) {
        if ((st = sg_answers_json(&part, m, t, &e, pool, NULL, err)))
            return st;
        main_answers(main, part);
        return sg_receipt_put(out, "ranking", part, err);
    }
    if ((st = sg_receipt_object(&part, out, "metrics", err)) ||
        (st = put_lists(part, m, t, &e, pool, main, err)) ||
        (st = sg_receipt_object(&part, out, "floors", err)))
        return st;
    for (size_t i = 0; !st && i < sizeof floors / sizeof *floors; i++)
        st = put_floor(part, floors[i], t, &e, pool, err);
    return st;
}

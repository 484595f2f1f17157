/* synth_oracle.c - how well anybody could do on a synthetic dataset.
 *
 * The oracle knows the generator (tree, popularity, partners, all shares) and, for each question, everything up to the event
 * before the target: the items, the user's interest after that event, and the time of the target (whether cold items are on sale). It
 * does not know the draws made for the target: whether the interest moves and where to, whether the event is noise, accessory or
 * interest, and which item. It ranks by the exact conditional probability of the target (synth_odds.c). No model can have a
 * higher expected Recall or NDCG at any k; models do not see the interest and must learn the rest. Of several targets the
 * oracle ranks each as if it came next. Ties count against it. Seen items never come again, so the history filter changes
 * nothing. */
#include "data/synth.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/dataset.h"
#include "data/split.h"
#include "data/synth_world.h"
#include "file/json.h"

#include <math.h>
#include <string.h>

enum { N_K = 5, GRAIN = 16 };
static const int cuts[N_K] = {1, 5, 10, 20, 50};
static const double WORK_MAX = 2e9; /* cases times items; more cases are thinned out evenly */

typedef struct sums {
    double recall[N_K], ndcg[N_K], mrr[N_K], hit[N_K];
    int64_t cases;
    int64_t wrong; /* a user whose events are not those of the generator, or -1 */
    bool no_memory;
} sums;

typedef struct oracle {
    const sg_dataset *d;
    const sg_world *w;
    const sg_odds *odds;
    const sg_case *cases;
    size_t step;     /* every step-th case */
    double *scratch; /* owned (threads, n) */
    sums *piece;     /* owned (pieces) */
} oracle;

static void count(sums *t, const double *p, const oracle *o, const sg_case *c)
{
    const uint32_t n = o->w->n, n_targets = (uint32_t)(c->target_end - c->target_begin);
    double recall[N_K] = {0}, dcg[N_K] = {0}, best = INFINITY;

    for (int64_t e = c->target_begin; e < c->target_end; e++) {
        const double x = p[o->w->place[o->d->item[e]]];
        double rank = 0;

        for (uint32_t i = 0; i < n; i++)
            rank += p[i] >= x; /* itself included */
        for (int k = 0; k < N_K; k++)
            if (rank <= cuts[k]) {
                recall[k] += 1.0 / n_targets;
                dcg[k] += 1 / log2(rank + 1);
            }
        best = rank < best ? rank : best;
    }
    for (int k = 0; k < N_K; k++) {
        double ideal = 0;

        for (uint32_t i = 0; i < n_targets && i < (uint32_t)cuts[k]; i++)
            ideal += 1 / log2(i + 2.0);
        t->recall[k] += recall[k];
        t->ndcg[k] += dcg[k] / ideal;
        t->hit[k] += best <= cuts[k];
        t->mrr[k] += best <= cuts[k] ? 1 / best : 0;
    }
    t->cases++;
}

static void ask_piece(void *ctx, size_t number, size_t begin, size_t end, int thread)
{
    const oracle *o = ctx;
    double *p = o->scratch + (size_t)thread * o->w->n;
    sums *t = &o->piece[number];
    sg_shopper s = {0};

    t->wrong = -1;
    for (size_t i = begin; i < end && t->wrong < 0; i++) {
        const sg_case *c = &o->cases[i * o->step];
        const int64_t first = o->d->user_offsets[c->user];

        if (!sg_shopper_start(&s, o->w, (uint64_t)c->user)) {
            t->no_memory = true;
            break;
        }
        if (s.n != o->d->user_offsets[c->user + 1] - first) {
            t->wrong = c->user;
            break;
        }
        for (int64_t e = first; e < c->target_begin; e++) {
            const sg_synth_event event = sg_shopper_next(&s);

            if ((int32_t)o->w->item[event.place] != o->d->item[e] ||
                (o->d->timestamp && o->d->timestamp[e] != event.timestamp))
                t->wrong = c->user;
        }
        sg_odds_next(p, o->odds, &s);
        count(t, p, o, c);
    }
    sg_shopper_fini(&s);
}

static int put_cut(json_t *o, const char *name, int k, double sum, int64_t n)
{
    char key[32];

    snprintf(key, sizeof key, "%s@%d", name, k);
    return json_object_set_new(o, key, json_real(n ? sum / (double)n : 0));
}

static json_t *report(const sums *t, size_t n_cases)
{
    json_t *m = json_object(), *out = NULL;
    int failed = !m;

    for (int k = 0; k < N_K; k++) {
        failed |= put_cut(m, "recall", cuts[k], t->recall[k], t->cases);
        failed |= put_cut(m, "ndcg", cuts[k], t->ndcg[k], t->cases);
        failed |= put_cut(m, "mrr", cuts[k], t->mrr[k], t->cases);
        failed |= put_cut(m, "hit", cuts[k], t->hit[k], t->cases);
    }
    if (!failed)
        out = json_pack("{s:O, s:O, s:I, s:I}", "unfiltered", m, "filtered", m, "cases", (json_int_t)t->cases,
                        "cases_all", (json_int_t)n_cases);
    json_decref(m);
    return out;
}

sg_status sg_synth_config_read(sg_synth_config *c, const sg_dataset *d, sg_error *err)
{
    char *path = sg_path_join(d->dir, "truth.json");
    json_t *truth = NULL, *options;
    int64_t version;
    sg_status st;

    if (!path)
        return sg_fail_memory(err, d->dir);
    if (!sg_file_exists(path)) {
        st = sg_fail(err, SG_ERR_MISSING,
                     "%s: no truth.json here: only data made by `sedge synth` has an oracle", d->dir);
        goto done;
    }
    if ((st = sg_json_read(&truth, path, SG_JSON_BYTES_MAX, err)) ||
        (st = sg_json_need_int(&version, truth, "version", SG_SYNTH_VERSION, SG_SYNTH_VERSION, path, err)) ||
        (st = sg_json_need_object(&options, truth, "options", path, err)))
        goto done;
    for (size_t i = 0; !st && i < sg_n_synth_options; i++) {
        const sg_option *row = &sg_synth_options[i];
        char *field = (char *)c + row->offset;
        double x = 0;

        if ((st = sg_json_need_real(&x, options, row->name, path, err)))
            break;
        if (!(x >= row->least && x <= row->most))
            st = sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected a number from %g to %g, found %g", path,
                         row->name, row->least, row->most, x);
        else if (row->type == SG_OPTION_int)
            *(sg_field_int *)(void *)field = (int)x;
        else
            *(sg_field_float *)(void *)field = x;
    }
    if (!st && (c->items != d->n_items || c->users != d->n_users))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected %d users and %d items, found %d and %d", path,
                     d->n_users, d->n_items, c->users, c->items);
done:
    json_decref(truth);
    sg_free(path);
    return st;
}

static void join(sums *total, const sums *piece)
{
    for (int k = 0; k < N_K; k++) {
        total->recall[k] += piece->recall[k];
        total->ndcg[k] += piece->ndcg[k];
        total->mrr[k] += piece->mrr[k];
        total->hit[k] += piece->hit[k];
    }
    total->cases += piece->cases;
    total->no_memory |= piece->no_memory;
    if (total->wrong < 0)
        total->wrong = piece->wrong;
}

sg_status sg_synth_oracle(json_t **out, const sg_dataset *d, const sg_split *split, bool test, sg_pool *pool,
                          sg_error *err)
{
    oracle o = {.d = d, .cases = test ? split->test : split->valid, .step = 1};
    const size_t all = test ? split->n_test : split->n_valid;
    sums total = {.wrong = -1};
    sg_synth_config config = {0};
    sg_world *w = NULL;
    sg_odds *odds = NULL;
    sg_status st;

    *out = NULL;
    if ((st = sg_synth_config_read(&config, d, err)) || (st = sg_world_new(&w, &config, err)) ||
        (st = sg_odds_new(&odds, w, err)))
        goto done;
    o.w = w;
    o.odds = odds;
    while ((double)(all / o.step) * w->n > WORK_MAX)
        o.step++;
    const size_t n = all / o.step + (all % o.step != 0);
    if (!(o.scratch = sg_alloc_array((size_t)w->n * (size_t)sg_pool_threads(pool), sizeof(double))) ||
        !(o.piece = sg_alloc_zero(sg_pieces(n, GRAIN), sizeof *o.piece))) {
        st = sg_fail_memory(err, "oracle");
        goto done;
    }
    sg_parallel_for(pool, n, GRAIN, ask_piece, &o);
    for (size_t k = 0; k < sg_pieces(n, GRAIN); k++)
        join(&total, &o.piece[k]);
    if (total.no_memory || (total.wrong < 0 && !(*out = report(&total, all))))
        st = sg_fail_memory(err, "oracle");
    else if (total.wrong >= 0)
        st =
            sg_fail(err, SG_ERR_FORMAT, "%s: the events of user %lld are not those that truth.json describes",
                    d->dir, (long long)total.wrong);
done:
    sg_odds_free(odds);
    sg_free(o.scratch);
    sg_free(o.piece);
    sg_world_free(w);
    return st;
}

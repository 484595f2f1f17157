/* hstu.c - what the model promises: the published formulas, prefix consistency with times, refusal to guess
 * times. */
#include "tiny.h"

#include <math.h>

#define SMALL "dim=10 blocks=2 heads=2 dqk=6 dv=7 length=8 dropout=0 dropout_input=0 "

/* Every weight becomes a number of the size that training would make of it. */
static void shake(sg_model *m)
{
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (size_t j = 0; j < p->count; j++)
            p->value[j] = 0.5f * (float)sg_rng_normal(3, SG_RNG_TEST, i, j);
        p->version++;
    }
}

static void give_times(tiny *t, int64_t *time)
{
    int64_t now = 978300000;

    for (int64_t e = 0; e < t->data.n_events; e++)
        time[e] = now += (int64_t)sg_rng_below(e % 3 ? 100 : 90000, 7, SG_RNG_TEST, 9, (uint64_t)e);
    t->data.timestamp = time;
}

/* ---- the formulas of the paper, number by number ----------------------------------------------------------
 */

enum { N = 4, DIM = 10, HEADS = 2, DQK = 6, DV = 7, LENGTH = 8, ITEMS = 12 };

static const float *weight(const sg_model *m, const char *name, int block)
{
    char text[64];

    snprintf(text, sizeof text, name, block);
    const sg_param *p = sg_params_find(&m->params, text);
    assert_non_null(p);
    return p->value;
}

static void normalise(double *x, int n)
{
    double mean = 0, var = 0;

    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / n;
    for (int i = 0; i < n; i++)
        x[i] = (x[i] - mean) / sqrt(var + 1e-6);
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static void refer_block(const sg_model *m, int block, double x[N][DIM], const int64_t *time,
                        const int64_t *next)
{
    enum { U = 0, V = HEADS * DV, Q = 2 * HEADS * DV, K = Q + HEADS * DQK, ALL = K + HEADS * DQK };
    const float *w = weight(m, "block.%d.uvqk.weight", block), *out = weight(m, "block.%d.out.weight", block);
    const float *bias = weight(m, "block.%d.out.bias", block),
                *position = weight(m, "block.%d.bias.position", block);
    const float *clock = weight(m, "block.%d.bias.time", block);
    double p[N][ALL], o[N][HEADS * DV];

    for (int t = 0; t < N; t++) {
        double z[DIM];

        memcpy(z, x[t], sizeof z);
        normalise(z, DIM);
        for (int c = 0; c < ALL; c++) {
            double sum = 0;

            for (int d = 0; d < DIM; d++)
                sum += w[c * DIM + d] * z[d];
            p[t][c] = silu(sum);
        }
    }
    memset(o, 0, sizeof o);
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j <= i; j++) {
                const double age = (double)(next[i] - time[j]);
                double l = position[j - i + LENGTH - 1] + clock[(int)(log(age > 1 ? age : 1) / 0.301)];

                for (int d = 0; d < DQK; d++)
                    l += p[i][Q + h * DQK + d] * p[j][K + h * DQK + d];
                for (int d = 0; d < DV; d++)
                    o[i][h * DV + d] += silu(l) / LENGTH * p[j][V + h * DV + d];
            }
    for (int t = 0; t < N; t++) {
        normalise(o[t], HEADS * DV);
        for (int d = 0; d < DIM; d++) {
            double sum = bias[d];

            for (int c = 0; c < HEADS * DV; c++)
                sum += out[d * HEADS * DV + c] * o[t][c] * p[t][U + c];
            x[t][d] += sum;
        }
    }
}

static void equals_the_formulas(void **state)
{
    (void)state;
    static const int64_t time[N] = {1000, 1000, 1060, 90000}, now = 90002;
    static const int32_t item[N] = {3, 7, 7, 1};
    const int64_t next[N] = {time[1], time[2], time[3], now}, offsets[] = {0, N};
    double x[N][DIM];
    float scores[ITEMS];
    tiny t;

    tiny_new(&t, 5, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "hstu", SMALL, 3);
    shake(m);
    const float *e = weight(m, "item.weight", 0), *position = weight(m, "position.weight", 0);
    for (int i = 0; i < N; i++)
        for (int d = 0; d < DIM; d++)
            x[i][d] = sqrt(DIM) * e[item[i] * DIM + d] + position[i * DIM + d];
    refer_block(m, 0, x, time, next);
    refer_block(m, 1, x, time, next);
    tiny_score(m, &(sg_histories){.n = 1, .offsets = offsets, .item = item, .timestamp = time, .now = &now},
               scores);
    for (int j = 0; j < ITEMS; j++) {
        double dot = 0, length = 0;

        for (int d = 0; d < DIM; d++) {
            dot += x[N - 1][d] * e[j * DIM + d];
            length += (double)e[j * DIM + d] * e[j * DIM + d];
        }
        assert_true(fabs(scores[j] - dot / sqrt(length)) < 1e-5 * fmax(1, fabs(scores[j])));
    }
    sg_model_free(m);
    tiny_free(&t);
}

/* ---- training and scoring agree ------------------------------------------------------------------------ */

/* Mean cross-entropy in training equals -log softmax of the scores asked prefix by prefix, each at the time
 * of its target. */
static void training_loss_equals_scores_of_prefixes(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL "loss=ce", SMALL "loss=ce softmax=true",
                                          SMALL "loss=ce bias=time", SMALL "loss=ce bias=none"};

    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        sg_error err = {0};
        int64_t time[16];
        tiny t;
        size_t n;
        double sum = 0;
        float scores[ITEMS];

        tiny_new(&t, 1, ITEMS, 9, 4);
        give_times(&t, time);
        t.split->train_end[0] = t.user_offsets[1] < 7 ? t.user_offsets[1] : 7;
        const int end = (int)t.split->train_end[0];
        sg_model *m = tiny_model(&t, "hstu", options[o], 3);
        shake(m);
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        assert_int_equal(n, 1);
        for (int e = 1; e < end; e++) {
            double most = -1e30, total = 0;

            tiny_score(
                m,
                &(sg_histories){
                    .n = 1, .offsets = (int64_t[]){0, e}, .item = t.item, .timestamp = time, .now = &time[e]},
                scores);
            for (int i = 0; i < ITEMS; i++)
                most = fmax(most, scores[i]);
            for (int i = 0; i < ITEMS; i++)
                total += exp(scores[i] - most);
            sum += most + log(total) - scores[t.item[e]];
        }
        assert_true(fabs(tiny_loss(m, 1) - sum / (end - 1)) < 1e-4);
        sg_model_free(m);
        tiny_free(&t);
    }
}

static void a_batch_scores_like_its_members_and_an_empty_history_is_fine(void **state)
{
    (void)state;
    tiny t;
    int64_t time[400];
    float all[3 * ITEMS], one[ITEMS];

    tiny_new(&t, 10, ITEMS, 30, 5);
    give_times(&t, time);
    sg_model *m = tiny_model(&t, "hstu", SMALL, 3);
    shake(m);
    const int64_t offsets[] = {0, 5, 5, 30}, now[] = {time[5], time[5], time[30]};
    tiny_score(m, &(sg_histories){.n = 3, .offsets = offsets, .item = t.item, .timestamp = time, .now = now},
               all);
    for (int i = 0; i < 3; i++) {
        tiny_score(m,
                   &(sg_histories){
                       .n = 1, .offsets = offsets + i, .item = t.item, .timestamp = time, .now = now + i},
                   one);
        for (int j = 0; j < ITEMS; j++)
            assert_true(fabsf(one[j] - all[i * ITEMS + j]) < 1e-5f);
    }
    tiny_score(m,
               &(sg_histories){.n = 1,
                               .offsets = (int64_t[]){0, 8},
                               .item = t.item + 22,
                               .timestamp = time + 22,
                               .now = now + 2},
               one); /* length=8: only the latest eight matter */
    for (int j = 0; j < ITEMS; j++)
        assert_true(fabsf(one[j] - all[2 * ITEMS + j]) < 1e-5f);
    sg_model_free(m);
    tiny_free(&t);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static void the_time_of_the_request_matters(void **state)
{
    (void)state;
    static const int64_t time[] = {500, 400, 900}, raised[] = {500, 500, 900}, offsets[] = {0, 3},
                         later = 90000;
    float a[ITEMS], b[ITEMS], c[ITEMS];
    tiny t;
    double far = 0;

    tiny_new(&t, 5, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "hstu", SMALL, 3);
    shake(m);
    tiny_score(m, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item, .timestamp = time}, a);
    tiny_score(
        m, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item, .timestamp = raised, .now = &time[2]},
        b);
    tiny_score(
        m, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item, .timestamp = time, .now = &later}, c);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(
            a[i] ==
            b[i]); /* without a request time: that of the last event; a clock that goes back stands still */
        far = fmax(far, fabs(a[i] - c[i]));
    }
    assert_true(far > 1e-3);
    sg_model_free(m);
    tiny_free(&t);
}

static void a_model_that_learned_from_times_wants_them(void **state)
{
    (void)state;
    sg_error err = {0};
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 3}, .item = (int32_t[]){1, 2, 3}};
    float scores[ITEMS];
    size_t n;
    tiny t;

    tiny_new(&t, 5, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "hstu", SMALL, 3);
    assert_int_equal(tiny_ask(m, &h, scores, &err), SG_OK); /* nothing learned yet */
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
    shake(m);
    assert_int_equal(tiny_ask(m, &h, scores, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "hstu: this model learned from times: expected histories with timestamps");
    sg_model_free(m);
    m = tiny_model(&t, "hstu", SMALL "bias=time", 3);
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "hstu: bias=time needs timestamps, tiny has none");
    sg_model_free(m);
    tiny_free(&t);
}

/* ---- options ------------------------------------------------------------------------------------------- */

static void every_option_gives_a_finite_loss(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL,
                                          SMALL "loss=ce",
                                          SMALL "bias=position negatives_shared=true",
                                          SMALL "bias=none negatives=5",
                                          SMALL "softmax=true",
                                          SMALL "latest=true"};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        sg_error err = {0};
        tiny t;
        size_t n;

        tiny_new(&t, 20, 15, 40, 5);
        sg_model *m = tiny_model(&t, "hstu", options[i], 3);
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        assert_true(strstr(options[i], "latest") ? n == 20
                                                 : n > 40); /* users of 22 events on average, runs of 8 */
        const double loss = tiny_loss(m, 20);
        assert_true(isfinite(loss) && loss > 0);
        sg_model_free(m);
        tiny_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_formulas),
        cmocka_unit_test(training_loss_equals_scores_of_prefixes),
        cmocka_unit_test(a_batch_scores_like_its_members_and_an_empty_history_is_fine),
        cmocka_unit_test(the_time_of_the_request_matters),
        cmocka_unit_test(a_model_that_learned_from_times_wants_them),
        cmocka_unit_test(every_option_gives_a_finite_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* cold.c - items that training has not seen: lifted to a share of the places, and not kept from those that their scores give them. */
#include "id_shop.h"

enum { K = 10 };

static int place_of(const int32_t *item, int n, int32_t wanted) /* -1: not there */
{
    for (int i = 0; i < n; i++)
        if (item[i] == wanted)
            return i;
    return -1;
}

static bool same_prefix(const sg_catalogue *c, int32_t a, int32_t b, int depth)
{
    int32_t x[LEVELS], y[LEVELS];

    sg_catalogue_codes(c, a, x);
    sg_catalogue_codes(c, b, y);
    return memcmp(x, y, (size_t)depth * sizeof *x) == 0;
}

/* A list of K beside all items by their scores, plain (n). */
static void check_list(const shop *s, const sg_beam_spec *spec, int user, const int32_t *item,
                       const float *score, const int32_t *plain, const float *plain_score, int n)
{
    const int levels = sg_catalogue_levels(s->c), depth = spec->cold_prefix ? spec->cold_prefix : levels - 1;
    const int quota = sg_cold_quota(spec->cold_share, K);
    int lifted = 0, at = 0, found = 0;

    while (found < n && plain[found] >= 0)
        found++;
    for (int i = 0; i < K; i++) {
        const int own = item[i] < 0 ? -1 : place_of(plain, found, item[i]);

        if (item[i] < 0) { /* as many as are allowed */
            assert_int_equal(i, found);
            break;
        }
        assert_true(own >= 0 && may_return(s, spec, user, item[i]) && place_of(item, i, item[i]) < 0);
        if (own >= at &&
            score[i] ==
                plain_score[own]) { /* where its score puts it; those left out stand further up already */
            for (; at < own; at++)
                assert_true(place_of(item, i, plain[at]) >= 0);
            at = own + 1;
            continue;
        }
        lifted++;
        assert_true(spec->cold[item[i]] && i > 0 && score[i] == score[i - 1] &&
                    same_prefix(s->c, item[i], item[i - 1], depth));
    }
    assert_true(lifted <= quota);
    for (int i = 0; i < K - quota && i < found; i++)
        assert_true(place_of(item, K, plain[i]) >= 0);
}

static void search_both(shop *s, sg_beam_spec *spec, const uint8_t *cold, int beam, int complete, float share)
{
    static int32_t item[USERS * K], plain[USERS * ITEMS];
    static float score[USERS * K], plain_score[USERS * ITEMS];
    sg_beam_spec all = *spec;

    all.beam = all.k = s->n;
    search(s, &all, USERS, NULL, plain, plain_score);
    spec->beam = beam;
    spec->k = K;
    spec->complete = complete;
    spec->cold = cold;
    spec->cold_share = share;
    spec->cold_prefix = sg_catalogue_levels(s->c) > 1 ? 1 : 0;
    search(s, spec, USERS, NULL, item, score);
    for (int u = 0; u < USERS; u++)
        check_list(s, spec, u, item + u * K, score + u * K, plain + u * s->n, plain_score + u * s->n, s->n);
    spec->cold = NULL;
}

/* One item in three, then nearly all, are new. */
static void unseen_items_are_lifted_to_their_share_and_no_more(void **state)
{
    static const float shares[] = {0, 0.25f, 0.7f, 1};

    (void)state;
    assert_int_equal(sg_cold_quota(0.7f, 10), 7);
    assert_int_equal(sg_cold_quota(0.1f, 9), 0);
    for (uint64_t id = 0; id < 80; id++) {
        uint8_t cold[ITEMS];
        shop s;

        open_shop(&s, id);
        for (int32_t i = 0; i < s.n; i++)
            cold[i] = (draw(3, id, 8000 + (uint64_t)i) == 0) == (id % 4 < 3);
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            sg_beam_spec spec = make_spec(&s, id, K, K);

            search_both(&s, &spec, cold, s.n, 0, shares[i]);
            search_both(&s, &spec, cold, K, s.n, shares[i]); /* a beam as narrow as the list, made exact */
        }
        close_shop(&s);
    }
}

/* A narrow beam that holds nothing but new items still fills the list. */
static void lists_are_full_whenever_there_are_items(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 80; id++) {
        int32_t item[USERS * K], plain[USERS * ITEMS];
        float score[USERS * K], plain_score[USERS * ITEMS];
        uint8_t cold[ITEMS];
        shop s;

        open_shop(&s, id);
        memset(cold, 1, sizeof cold);
        sg_beam_spec spec = make_spec(&s, id, s.n, s.n);
        search(&s, &spec, USERS, NULL, plain, plain_score);
        spec.beam = spec.k = K;
        spec.cold = cold;
        spec.cold_share = 0.25f;
        search(&s, &spec, USERS, NULL, item, score);
        for (int u = 0; u < USERS; u++)
            for (int i = 0; i < K; i++)
                assert_int_equal(item[u * K + i] >= 0, i < s.n && plain[u * s.n + i] >= 0);
        close_shop(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unseen_items_are_lifted_to_their_share_and_no_more),
        cmocka_unit_test(lists_are_full_whenever_there_are_items),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

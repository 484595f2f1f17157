/* serve.c - the n-th allocation or I/O operation fails, for every n, in what a server opens and runs: a clean
 * error, nothing left. */
#include "serve/key.h"
#include "serve/loaded.h"
#include "serve/query.h"
#include "serve/store.h"

#include "sedge/sedge.h"

#include "fault/faults.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[64], shop[96], run[96], keys[96];

static int make_model(void **state)
{
    static const char *const size[] = {"users=40", "items=24", "seed=5"}, *const lsa[] = {"dim=8"},
                             *const ids[] = {"codes=4", "levels=2"}, *const tiger[] = {"dim=8",
                                                                                       "layers=1",
                                                                                       "heads=1",
                                                                                       "head_dim=8",
                                                                                       "ffn=8",
                                                                                       "epochs=1"};
    const sedge_synth_params synth = {.size = sizeof synth, .out = shop, .set = size, .n_set = 3};
    const sedge_embed_params embed = {.size = sizeof embed, .data = shop, .set = lsa, .n_set = 1};
    const sedge_tokenize_params tokenize = {.size = sizeof tokenize, .data = shop, .set = ids, .n_set = 2};
    const sedge_train_params train = {
        .size = sizeof train, .model = "tiger", .data = shop, .out = run, .set = tiger, .n_set = 6};
    static const char key[] = "use 0123456789abcdef\nadmin fedcba9876543210\n";

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sedge-fault-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(shop, sizeof shop, "%s/shop", dir);
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(keys, sizeof keys, "%s/keys", dir);
    return sedge_synth(&synth, NULL, NULL) || sedge_embed(&embed, NULL, NULL) ||
           sedge_tokenize(&tokenize, NULL, NULL) || sedge_train(&train, NULL, NULL) ||
           sg_file_write(keys, key, strlen(key), NULL) || chmod(keys, 0600);
}

static int remove_model(void **state)
{
    (void)state;
    return (int)sg_dir_remove(dir, NULL);
}

static sg_status open_loaded(void *ctx, sg_error *err)
{
    sg_loaded *l = NULL;
    const sg_status st = sg_loaded_open(&l, run, NULL, NULL, true, err);

    (void)ctx;
    if (st)
        assert_null(l);
    sg_loaded_release(l);
    return st;
}

static void opening_a_model_survives(void **state)
{
    (void)state;
    assert_true(faults_walk(FAULTS_ALLOC, open_loaded, NULL, NULL) > 50);
    assert_true(faults_walk(FAULTS_IO, open_loaded, NULL, NULL) > 10);
}

static sg_status open_keys(void *ctx, sg_error *err)
{
    sg_keys *k = NULL;
    const sg_status st = sg_keys_open(&k, keys, err);

    (void)ctx;
    if (!st) {
        assert_int_equal(sg_keys_scope(k, "0123456789abcdef", 16), SG_SCOPE_USE);
        assert_int_equal(sg_keys_scope(k, "fedcba9876543210", 16), SG_SCOPE_ADMIN);
        assert_int_equal(sg_keys_scope(k, "fedcba987654321", 15), SG_SCOPE_OPEN);
    }
    sg_keys_free(k);
    return st;
}

static void reading_keys_survives(void **state)
{
    (void)state;
    assert_true(faults_walk(FAULTS_ALLOC, open_keys, NULL, NULL) > 1);
    assert_true(faults_walk(FAULTS_IO, open_keys, NULL, NULL) > 0);
}

static sg_status open_store(void *ctx, sg_error *err)
{
    sg_store *s = NULL;
    const sg_status st = sg_store_open(&s, ctx, 1000, err);

    sg_store_close(s);
    return st;
}

static void opening_a_store_survives(void **state)
{
    char path[96];

    (void)state;
    snprintf(path, sizeof path, "%s/users.db", dir);
    assert_int_equal(faults_walk(FAULTS_ALLOC, open_store, NULL, path), 3);
}

/* Nobody listens there: what is asked of memory before that is found out. */
static void taking_an_address_survives(void **state)
{
    int n = 0;

    (void)state;
    for (sg_status st = SG_ERR_MEMORY; st == SG_ERR_MEMORY; n++) {
        const int64_t live = sg_alloc_live();
        sg_store *s;
        sg_error err;

        sg_alloc_fail_at((uint64_t)n + 1);
        st = sg_store_open(&s, "postgresql://ann:hush@127.0.0.1:1/shop", 1000, &err);
        sg_alloc_fail_at(0);
        assert_true(st == SG_ERR_MEMORY || st == SG_ERR_AWAY ||
                    st == SG_ERR_USAGE); /* USAGE: a build without it */
        assert_null(s);
        assert_null(strstr(err.message, "hush"));
        assert_int_equal(sg_alloc_live(), live);
    }
    assert_true(n > 3 || n == 1);
}

/* Events from begin to commit and back again, with what was read compared. */
static sg_status compare_event(void *ctx, const sg_store_event *e, sg_error *err)
{
    int *n = ctx;

    (void)err;
    assert_int_equal(e->time, 7 + *n);
    (*n)++;
    return SG_OK;
}

static sg_status use_store(void *ctx, sg_error *err)
{
    const sg_store_event e[] = {{.user = {"u", 1}, .item = {"a", 1}, .time = 7},
                                {.user = {"u", 1}, .item = {"b", 1}, .time = 8}};
    int64_t n_erased = 0;
    bool fresh[2];
    sg_store *s = NULL;
    int n = 0;
    sg_status st = sg_store_open(&s, ctx, 1000, err);

    if (!st && !(st = sg_store_begin(s, err)) && !(st = sg_store_add(s, e, fresh, 2, err)) &&
        !(st = sg_store_commit(s, err)) &&
        !(st = sg_store_events(s, e[0].user, 10, compare_event, &n, err)) && !(st = sg_store_begin(s, err)) &&
        !(st = sg_store_erase(s, e[0].user, true, &n_erased, err)) && !(st = sg_store_commit(s, err)))
        assert_true(n == 2 && n_erased == 2);
    sg_store_close(s);
    return st;
}

static void using_a_store_survives(void **state)
{
    char path[96];

    (void)state;
    snprintf(path, sizeof path, "%s/used.db", dir);
    assert_int_equal(faults_walk(FAULTS_ALLOC, use_store, NULL, path), 3);
}

/* Two requests together, from ids to hits. */
static sg_status run_batch(void *ctx, sg_error *err)
{
    sg_loaded *l = ctx;
    const sg_strings *ids = &l->source.model->item_ids;
    sg_query query[2] = {0}, *q[2] = {&query[0], &query[1]};
    sg_session *session = NULL;
    sg_batch batch = {0};
    sg_status st = sg_session_new(&session, l->source.model, NULL, err);

    for (size_t i = 0; !st && i < 2; i++) {
        sg_query_start(q[i], 3, 0, false);
        for (size_t e = 0; !st && e < 4; e++)
            st = sg_query_add(q[i], &l->source, sg_strings_at(ids, 3 * i + e), 0, err);
    }
    if (!st && !(st = sg_query_run_batch(q, 2, &batch, session, err)))
        assert_true(query[0].n == 3 && query[1].n == 3);
    if (!st && !(st = sg_query_filter(q[0], &l->source, true, err)))
        st = sg_query_run(q[0], session, err);
    sg_batch_free(&batch);
    sg_query_free(&query[0]);
    sg_query_free(&query[1]);
    sg_session_free(session);
    return st;
}

static void running_a_batch_survives(void **state)
{
    sg_loaded *l;

    (void)state;
    assert_int_equal(sg_loaded_open(&l, run, NULL, NULL, false, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, run_batch, NULL, l) > 10);
    sg_loaded_release(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_a_model_survives), cmocka_unit_test(reading_keys_survives),
        cmocka_unit_test(opening_a_store_survives), cmocka_unit_test(taking_an_address_survives),
        cmocka_unit_test(using_a_store_survives),   cmocka_unit_test(running_a_batch_survives),
    };

    return cmocka_run_group_tests(tests, make_model, remove_model);
}

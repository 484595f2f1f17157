/* model.c - saving, opening and evaluating a model while the n-th allocation or the n-th file operation
 * fails, for every n: a clean error, the old folder whole, nothing left beside it, nothing leaked. */
#define _GNU_SOURCE
#include "shop.h"

#include "eval/eval.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { USERS = 30, ITEMS = 20, TRIES_MAX = 20000 };

typedef sg_status attempt(void *ctx, sg_error *err);

typedef struct work {
    shop s;
    sg_model *m, *other;
    char *dir;
    int left_beside; /* entries of the shop's folder when all is well */
} work;

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* The folder opens and holds one of the two models, whole. */
static void assert_whole(const work *w)
{
    sg_model *m;
    sg_error err;

    if (sg_model_open(&m, w->dir, &err))
        fail_msg("%s", err.message);
    assert_true(m->class == w->m->class || m->class == w->other->class);
    sg_model_free(m);
    assert_int_equal(entries(w->s.dir), w->left_beside);
}

/* Until an attempt makes fewer calls than it takes to fail. An attempt that goes well all the same is
 * fine: some things can be done without. */
static void every_fault(attempt *try, work *w, void (*fail_at)(uint64_t), uint64_t (*calls)(void),
                        const char *what)
{
    uint64_t n = 0, made;

    do {
        const int64_t live = sg_alloc_live();
        const uint64_t before = calls();
        sg_error err = {0};
        sg_status st;

        fail_at(++n);
        st = try(w, &err);
        fail_at(0);
        made = calls() - before;
        if (st && !*err.message)
            fail_msg("%s %d failed without a word", what, (int)n);
        if (sg_alloc_live() != live)
            fail_msg("%s %d: %d blocks leaked (%s)", what, (int)n, (int)(sg_alloc_live() - live),
                     err.message);
        assert_whole(w);
    } while (made >= n && n < TRIES_MAX);
    assert_in_range(n, 10, TRIES_MAX - 1);
    print_message("%d %ss\n", (int)n - 1, what);
}

static sg_status try_save(void *ctx, sg_error *err)
{
    const work *w = ctx;

    return sg_model_save(w->other, w->dir, err);
}

static sg_status try_open(void *ctx, sg_error *err)
{
    const work *w = ctx;
    sg_model *m;
    const sg_status st = sg_model_open(&m, w->dir, err);

    if (!st)
        sg_model_item(m, (sg_bytes){"item-3", 6}); /* builds its index, or does without */
    sg_model_free(m);
    return st;
}

static sg_status try_eval(void *ctx, sg_error *err)
{
    work *w = ctx;
    const sg_eval_spec spec = {.test = true, .bootstrap = 3};
    json_t *out;
    const sg_status st = sg_eval(&out, w->m, &w->s.train, &spec, NULL, NULL, err);

    json_decref(out);
    return st;
}

static sg_status try_fit(void *ctx, sg_error *err)
{
    work *w = ctx;
    sg_model *m;
    sg_status st;

    if ((st = sg_model_new(&m, w->m->class, err)) || (st = sg_model_build(m, &w->s.train, 1, err)) ||
        (st = sg_model_fit(m, &w->s.train, NULL, NULL, err)))
        goto done;
done:
    sg_model_free(m);
    return st;
}

static void work_init(work *w)
{
    char *path;
    sg_error err;

    shop_init(&w->s, USERS, ITEMS, 1);
    w->dir = sg_path_join(w->s.dir, "model");
    w->m = shop_model(&w->s, "star", NULL, NULL);
    w->other = shop_model(&w->s, "markov1", NULL, NULL);
    assert_int_equal(sg_model_save(w->m, w->dir, &err), SG_OK);
    path = sg_path_join(w->dir, "training.jsonl"); /* a file that has to stay */
    assert_int_equal(sg_file_write(path, "{}", 2, &err), SG_OK);
    sg_free(path);
    w->left_beside = entries(w->s.dir);
}

static void work_fini(work *w)
{
    sg_model_free(w->m);
    sg_model_free(w->other);
    sg_free(w->dir);
    shop_fini(&w->s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void fail_allocations(attempt *try)
{
    work w;

    work_init(&w);
    every_fault(try, &w, sg_alloc_fail_at, sg_alloc_calls, "allocation");
    work_fini(&w);
}

static void fail_files(attempt *try)
{
    work w;

    work_init(&w);
    every_fault(try, &w, sg_io_fail_at, sg_io_calls, "file operation");
    work_fini(&w);
}

static void saving_survives_every_allocation(void **state)
{
    (void)state;
    fail_allocations(try_save);
}

static void saving_survives_every_file_operation(void **state)
{
    (void)state;
    fail_files(try_save);
}

static void opening_survives_every_allocation(void **state)
{
    (void)state;
    fail_allocations(try_open);
}

static void opening_survives_every_file_operation(void **state)
{
    (void)state;
    fail_files(try_open);
}

static void evaluation_survives_every_allocation(void **state)
{
    (void)state;
    fail_allocations(try_eval);
}

static void fitting_survives_every_allocation(void **state)
{
    (void)state;
    fail_allocations(try_fit);
}

/* A process that saves one model after another is killed: what is in place is whole, and what was kept is still there. */
static void killing_a_save_loses_nothing(void **state)
{
    (void)state;
    enum { KILLS = 12 };
    work w;
    char *log;

    work_init(&w);
    log = sg_path_join(w.dir, "training.jsonl");
    for (uint64_t i = 0; i < KILLS; i++) {
        const pid_t child = fork();
        sg_model *m;
        sg_error err;
        int status;

        assert_true(child >= 0);
        if (child == 0)
            for (;;)
                if (sg_model_save(w.other, w.dir, &err) || sg_model_save(w.m, w.dir, &err))
                    _exit(1);
        usleep((useconds_t)(500 + sg_rng_below(20000, 1, SG_RNG_TEST, 7, i)));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        if (sg_model_open(&m, w.dir, &err))
            fail_msg("%s", err.message);
        sg_model_free(m);
        assert_true(sg_file_exists(log));
    }
    assert_int_equal(sg_model_save(w.m, w.dir, NULL), SG_OK); /* sweeps what the killed one left */
    assert_int_equal(entries(w.s.dir), w.left_beside);
    sg_free(log);
    work_fini(&w);
}

/* JSON values take their memory from malloc; each is counted as one of our allocations, so that it can
 * fail, too. */
static void *json_malloc(size_t bytes)
{
    void *token = sg_alloc(1);

    sg_free(token);
    return token ? malloc(bytes) : NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_survives_every_allocation),
        cmocka_unit_test(saving_survives_every_file_operation),
        cmocka_unit_test(opening_survives_every_allocation),
        cmocka_unit_test(opening_survives_every_file_operation),
        cmocka_unit_test(evaluation_survives_every_allocation),
        cmocka_unit_test(fitting_survives_every_allocation),
        cmocka_unit_test(killing_a_save_loses_nothing),
    };

    json_set_alloc_funcs(json_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

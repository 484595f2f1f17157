/* loaded.c - opening a model for serving, with a look at whether it works before anybody depends on it. */
#include "serve/loaded.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/manifest.h"
#include "serve/query.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { TRAINING_BYTES_MAX = 4 << 20 };

/* One request, so that a model that cannot answer never takes the place of one that can. */
static sg_status try_request(const sg_source *s, sg_error *err)
{
    sg_session *session = NULL;
    sg_query q = {0};
    sg_status st = sg_session_new(&session, s->model, NULL, err);

    sg_query_start(&q, 5, 0, true);
    if (!st && !(st = sg_query_add(&q, s, sg_strings_at(&s->model->item_ids, 0), 0, err)))
        st = sg_query_run(&q, session, err);
    for (size_t i = 0; !st && i < q.n; i++)
        if (!isfinite(q.score[i]))
            st = sg_fail(err, SG_ERR_NUMERIC, "%s: a trial request gave the score %g", s->model->dir,
                         (double)q.score[i]);
    sg_query_free(&q);
    sg_session_free(session);
    return st;
}

static void close_all(sg_loaded *l)
{
    sg_model *m = l->source.model;
    sg_dataset *d = l->source.data;

    sg_recall_free(l->recall);
    json_decref(l->training);
    sg_stock_free(l->stock);
    sg_tower_close(l->tower);
    sg_source_fini(&l->source);
    sg_dataset_close(d);
    sg_model_free(m);
    sg_free(l);
}

/* training.json and training.jsonl, which no model needs: what is not there, or cannot be read, is left out. */
static json_t *read_training(const char *dir)
{
    char *report = sg_path_join(dir, "training.json"), *rows = sg_path_join(dir, "training.jsonl");
    json_t *all = json_object(), *curve = json_array(), *value;
    sg_buf text = {0};

    if (report && !sg_json_read(&value, report, TRAINING_BYTES_MAX, NULL)) {
        json_object_set(all, "report", json_object_get(value, "report"));
        json_decref(value);
    }
    if (rows && !sg_file_read(&text, rows, TRAINING_BYTES_MAX, NULL))
        for (size_t at = 0, n; at < text.size; at += n + 1) {
            n = strcspn(text.data + at, "\n");
            if (n && !sg_json_parse(&value, (sg_bytes){text.data + at, n}, rows, NULL))
                json_array_append_new(curve, value);
        }
    json_object_set_new(all, "curve", curve);
    sg_buf_free(&text);
    sg_free(report);
    sg_free(rows);
    return all;
}

/* The dataset is checked to its last byte, which takes about as long as opening a model: a thread of its own does it. */
typedef struct opening {
    const char *dir;
    sg_dataset *data;
    sg_status st;
    sg_error err;
    pthread_t thread;
    bool running;
} opening;

static void *open_dataset(void *ctx)
{
    opening *o = ctx;

    if (!(o->st = sg_dataset_open(&o->data, o->dir, &o->err)))
        sg_dataset_user(o->data, (sg_bytes){"", 0}); /* builds the index of users */
    return NULL;
}

static void opening_begin(opening *o)
{
    sigset_t all, old;

    if (!o->dir)
        return;
    sigfillset(&all); /* signals are the program's main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    o->running = pthread_create(&o->thread, NULL, open_dataset, o) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!o->running)
        open_dataset(o);
}

static sg_status opening_end(sg_dataset **out, opening *o, sg_error *err)
{
    if (o->running)
        pthread_join(o->thread, NULL);
    o->running = false;
    *out = o->data;
    if (o->st && err)
        *err = o->err;
    return o->st;
}

sg_status sg_loaded_open(sg_loaded **out, const char *model_dir, const char *data_dir, const char *encoder,
                         bool verify, sg_error *err)
{
    sg_loaded *l = sg_alloc_zero(1, sizeof *l);
    sg_model *m = NULL;
    sg_dataset *d = NULL;
    opening data = {.st = SG_OK};
    char *found = NULL;
    sg_status st, st_data;

    *out = NULL;
    if (!l)
        return sg_fail_memory(err, "model");
    if ((verify && (st = sg_manifest_check(model_dir, true, err))) ||
        (!data_dir && (st = sg_source_data_dir(&found, model_dir, err))))
        goto done;
    data.dir = data_dir ? data_dir : found;
    opening_begin(&data);
    st = sg_model_open(&m, model_dir, err);
    st_data = opening_end(&d, &data, st ? NULL : err);
    if (st || (st = st_data))
        goto done;
    sg_source_init(&l->source, m, d);
    /* a missing index would be built by the first thread that needs it, beside others */
    if (!m->item_index || (d && (!d->user_index || (!l->source.same_items && !d->item_index))))
        st = sg_fail_memory(err, "index of ids");
    m = NULL;
    d = NULL;
    if (st)
        goto done;
    l->when = time(NULL);
    l->training = read_training(model_dir);
    atomic_init(&l->held, 1);
    atomic_init(&l->used, false);
    atomic_init(&l->verified, verify);
    if ((st = sg_source_meanings(&l->source, err)) ||
        (st = sg_tower_open(&l->tower, model_dir, encoder, err)) ||
        (st = sg_stock_new(&l->stock, l->source.model, l->tower, err)) ||
        (verify && (st = try_request(&l->source, err))))
        goto done;
    *out = l;
    l = NULL;
done:
    if (l)
        close_all(l);
    sg_dataset_close(d);
    sg_model_free(m);
    sg_free(found);
    return st;
}

void sg_loaded_hold(sg_loaded *l)
{
    atomic_fetch_add(&l->held, 1);
}

void sg_loaded_release(sg_loaded *l)
{
    if (l && atomic_fetch_sub(&l->held, 1) == 1)
        close_all(l);
}

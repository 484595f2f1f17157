/* handle_ops.c - what operators ask: is it alive, is it ready, what does it count, take the new model. */
#include "serve/server.h"

#include "file/manifest.h"
#include "math/gemm.h"
#include "serve/page.h"
#include "serve/reply.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

bool sg_handle_health(sg_server *s, sg_job *j)
{
    (void)s;
    sg_reply(j->x, 200, json_pack("{s:s}", "status", "alive"));
    return true;
}

bool sg_handle_ready(sg_server *s, sg_job *j)
{
    if (s->draining)
        sg_reply_error(j->x, 503, "draining", NULL, "the server is stopping");
    else if (!sg_store_refuse(s, j))
        sg_reply(j->x, 200, json_pack("{s:s}", "status", "ready"));
    return true;
}

bool sg_handle_page(sg_server *s, sg_job *j)
{
    (void)s;
    sg_buf_add(&j->x->answer, sg_page, sg_page_bytes);
    j->x->status = 200;
    j->x->type = "text/html; charset=utf-8";
    return true;
}

bool sg_handle_openapi(sg_server *s, sg_job *j)
{
    sg_reply(j->x, 200, sg_routes_openapi(s->config));
    return true;
}

static void gauge(sg_buf *b, const char *name, const char *help, double value)
{
    sg_metrics_family(b, name, "gauge", help);
    sg_buf_printf(b, "%s %.15g\n", name, value);
}

/* What the system says of this process, under the names that every Prometheus client has for it; nothing where /proc is not there. */
static void print_process(sg_buf *b)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages, files = -3; /* ".", "..", and the folder itself */
    DIR *d;

    if (f && fscanf(f, "%*d %ld", &pages) == 1)
        gauge(b, "process_resident_memory_bytes", "Memory of the process, mapped model files included.",
              (double)pages * (double)sysconf(_SC_PAGESIZE));
    if (f)
        fclose(f);
    if (!(d = opendir("/proc/self/fd")))
        return;
    while (readdir(d))
        files++;
    closedir(d);
    gauge(b, "process_open_fds", "Open files and connections of the process.", (double)files);
}

/* What is kept of histories, by model. */
static void print_recalls(sg_server *s, sg_buf *b)
{
    static const struct {
        const char *name, *type, *help;
    } family[] = {
        {"sedge_past_hits_total", "counter", "Requests of whose history a part had been read and kept."},
        {"sedge_past_misses_total", "counter", "Requests whose history was read from the beginning."},
        {"sedge_past_evictions_total", "counter", "Histories let go of for want of room."},
        {"sedge_past_forgotten_total", "counter",
         "Histories let go of because they were erased, too old, or an error befell them."},
        {"sedge_pasts", "gauge", "Histories that are kept."},
        {"sedge_past_bytes", "gauge", "Bytes of the histories that are kept."},
    };

    for (size_t f = 0; f < sizeof family / sizeof *family; f++) {
        sg_metrics_family(b, family[f].name, family[f].type, family[f].help);
        for (int i = 0; i < s->n_models; i++) {
            sg_loaded *l = sg_server_model(s, i);
            const sg_recall_counts c = sg_recall_count(l->recall);
            const uint64_t value[] = {c.hits, c.misses, c.evictions, c.forgotten, c.pasts, c.bytes};

            sg_buf_printf(b, "%s{model=", family[f].name);
            sg_metrics_label(b, sg_server_name(s, i, l));
            sg_buf_printf(b, "} %llu\n", (unsigned long long)value[f]);
            sg_loaded_release(l);
        }
    }
}

bool sg_handle_metrics(sg_server *s, sg_job *j)
{
    sg_route_name name[SG_ROUTES_MAX];
    sg_buf *b = &j->x->answer;
    sg_look look;

    sg_look_begin(&look, s);
    const sg_loaded *l = look.loaded;
    const sg_model *m = l->source.model;
    const sg_view *v = look.source.view;

    for (int i = 0; i < sg_n_routes; i++)
        name[i] = (sg_route_name){sg_routes[i].method, sg_routes[i].path};
    sg_metrics_print(b, &s->metrics, name);
    gauge(b, "sedge_requests_in_flight",
          "Requests that are being read, computed or answered, this one included.", s->active);
    gauge(b, "sedge_queue_length", "Requests that wait for a worker.",
          sg_lane_length(s->lane[SG_LANE_MODEL]));
    gauge(b, "sedge_connections", "Open connections.", sg_http_connections(s->http));
    if (s->store_write)
        gauge(b, "sedge_store_up", "Does the store of users answer?", !atomic_load(&s->store_away));
    gauge(b, "sedge_items", "Items on offer.", v ? v->n_items : m->n_items);
    gauge(b, "sedge_start_time_seconds", "When the server started, in seconds since 1970.",
          (double)s->started);
    sg_metrics_family(b, "sedge_model_info", "gauge", "The model that is served.");
    sg_buf_printf(b, "sedge_model_info{model=\"%s\",sha256=\"%s\",version=\"%s\"} 1\n", m->class->name,
                  m->sha256, SEDGE_VERSION);
    gauge(
        b, "sedge_model_verified",
        "1: every byte of the model folder was compared with its checksum, -1: and one is wrong; 0: not yet.",
        atomic_load(&l->verified));
    gauge(b, "sedge_model_load_time_seconds", "When the model was opened, in seconds since 1970.",
          (double)l->when);
    sg_look_end(&look);
    print_recalls(s, b);
    print_process(b);
    j->x->status = 200;
    j->x->type = "text/plain; version=0.0.4";
    return true;
}

bool sg_handle_reload(sg_server *s, sg_job *j)
{
    (void)s;
    (void)j;
    return false; /* opening takes as long as it takes: not here */
}

/* The checksums of large folders are not looked at when a server starts: that would take longer than all the rest. */
static void verify(sg_server *s, sg_loaded *l)
{
    sg_error e;
    const sg_status st = sg_manifest_check(l->source.model->dir, true, &e);

    atomic_store(&l->verified, st ? -1 : 1);
    if (st)
        sg_server_log(s, "error", "the model folder is not what was written",
                      json_pack("{s:s}", "error", e.message));
}

/* After the first answer of a model: what need not be waited for. */
void sg_admin_refresh(void *server, int thread)
{
    sg_server *s = server;

    (void)thread;
    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *l = sg_server_model(s, i);
        sg_params *ps = &l->source.model->params;

        for (size_t k = 0; atomic_load(&l->used) && k < ps->n; k++)
            sg_gemm_settle(ps->list[k]);
        if (atomic_load(&l->used) && !atomic_load(&l->verified))
            verify(s, l);
        sg_loaded_release(l);
    }
}

void sg_admin_run(void *server, int thread, void **job, int n)
{
    sg_server *s = server;

    (void)thread;
    for (int i = 0; i < n; i++) {
        sg_job *j = job[i];
        sg_error e;

        if (sg_server_reload(s, &e)) {
            atomic_fetch_add(&s->metrics.reloads_bad, 1);
            sg_server_log(s, "error", "reload failed", json_pack("{s:s}", "error", e.message));
            sg_reply_error(j->x, 500, "reload_failed", NULL, "the old model goes on: %s", e.message);
        } else {
            sg_loaded *l = sg_server_loaded(s);

            atomic_fetch_add(&s->metrics.reloads_good, 1);
            sg_server_log(s, "info", "reloaded",
                          json_pack("{s:s, s:s}", "model", l->source.model->class->name, "sha256",
                                    l->source.model->sha256));
            sg_reply(j->x, 200,
                     json_pack("{s:s, s:s, s:s}", "object", "reload", "model", l->source.model->class->name,
                               "sha256", l->source.model->sha256));
            sg_loaded_release(l);
        }
        sg_http_answer(j->x);
    }
}

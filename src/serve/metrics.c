/* metrics.c - fixed bounds, so that servers can be summed up. */
#include "serve/metrics.h"

#include "base/alloc.h"

static const double latency_bounds[SG_LATENCY_BOUNDS] = {
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
static const int batch_bounds[SG_BATCH_BOUNDS] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

sg_status sg_metrics_init(sg_metrics *m, int n_routes, sg_error *err)
{
    *m = (sg_metrics){.n_routes = n_routes};
    m->route = sg_alloc_zero((size_t)n_routes + 1, sizeof *m->route);
    return m->route ? SG_OK : sg_fail_memory(err, "metrics");
}

void sg_metrics_fini(sg_metrics *m)
{
    sg_free(m->route);
    m->route = NULL;
}

void sg_metrics_answer(sg_metrics *m, int route, int status, double seconds)
{
    sg_route_metrics *r = &m->route[route < 0 ? m->n_routes : route];
    int i = 0;

    for (; i < SG_STATUS_MAX - 1 && r->answers[i].n && r->answers[i].status != status; i++)
        ;
    r->answers[i].status = status;
    r->answers[i].n++;
    for (i = 0; i < SG_LATENCY_BOUNDS && seconds > latency_bounds[i]; i++)
        ;
    r->bucket[i]++;
    r->seconds += seconds;
    r->n++;
}

void sg_metrics_batch(sg_metrics *m, int n)
{
    int i = 0;

    while (i < SG_BATCH_BOUNDS && n > batch_bounds[i])
        i++;
    atomic_fetch_add(&m->batch[i], 1);
    atomic_fetch_add(&m->n_batched, (uint64_t)n);
}

void sg_metrics_family(sg_buf *out, const char *name, const char *type, const char *help)
{
    sg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void sg_metrics_label(sg_buf *out, const char *value)
{
    sg_buf_putc(out, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            sg_buf_putc(out, '\\');
        sg_buf_putc(out, *value == '\n' ? ' ' : *value);
    }
    sg_buf_putc(out, '"');
}

static void print_latency(sg_buf *out, const sg_route_metrics *r, const sg_route_name *name)
{
    uint64_t sum = 0;

    for (int i = 0; i < SG_LATENCY_BOUNDS; i++) {
        sum += r->bucket[i];
        sg_buf_printf(out, "sedge_request_seconds_bucket{method=\"%s\",route=\"%s\",le=\"%g\"} %llu\n",
                      name->method, name->path, latency_bounds[i], (unsigned long long)sum);
    }
    sg_buf_printf(out, "sedge_request_seconds_bucket{method=\"%s\",route=\"%s\",le=\"+Inf\"} %llu\n",
                  name->method, name->path, (unsigned long long)r->n);
    sg_buf_printf(out, "sedge_request_seconds_sum{method=\"%s\",route=\"%s\"} %.9g\n", name->method,
                  name->path, r->seconds);
    sg_buf_printf(out, "sedge_request_seconds_count{method=\"%s\",route=\"%s\"} %llu\n", name->method,
                  name->path, (unsigned long long)r->n);
}

void sg_metrics_print(sg_buf *out, const sg_metrics *m, const sg_route_name *name)
{
    static const sg_route_name none = {"", "none"};
    uint64_t sum = 0;

    sg_metrics_family(out, "sedge_requests_total", "counter", "Requests answered, by route and status.");
    for (int i = 0; i <= m->n_routes; i++) {
        const sg_route_name *n = i < m->n_routes ? &name[i] : &none;

        for (int j = 0; j < SG_STATUS_MAX && m->route[i].answers[j].n; j++)
            sg_buf_printf(out, "sedge_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %llu\n",
                          n->method, n->path, m->route[i].answers[j].status,
                          (unsigned long long)m->route[i].answers[j].n);
    }
    sg_metrics_family(out, "sedge_request_seconds", "histogram",
                      "Time from the headers of a request to its answer having been sent.");
    for (int i = 0; i < m->n_routes; i++)
        if (m->route[i].n)
            print_latency(out, &m->route[i], &name[i]);
    sg_metrics_family(out, "sedge_batch_size", "histogram", "Requests that were computed together.");
    for (int i = 0; i < SG_BATCH_BOUNDS; i++) {
        sum += atomic_load(&m->batch[i]);
        sg_buf_printf(out, "sedge_batch_size_bucket{le=\"%d\"} %llu\n", batch_bounds[i],
                      (unsigned long long)sum);
    }
    sum += atomic_load(&m->batch[SG_BATCH_BOUNDS]);
    sg_buf_printf(
        out,
        "sedge_batch_size_bucket{le=\"+Inf\"} %llu\nsedge_batch_size_sum %llu\nsedge_batch_size_count %llu\n",
        (unsigned long long)sum, (unsigned long long)atomic_load(&m->n_batched), (unsigned long long)sum);
    sg_metrics_family(out, "sedge_reloads_total", "counter", "Reloads of the model, by result.");
    sg_buf_printf(
        out, "sedge_reloads_total{result=\"good\"} %llu\nsedge_reloads_total{result=\"failed\"} %llu\n",
        (unsigned long long)atomic_load(&m->reloads_good), (unsigned long long)atomic_load(&m->reloads_bad));
    sg_metrics_family(out, "sedge_events_total", "counter", "Events stored.");
    sg_buf_printf(out, "sedge_events_total %llu\n", (unsigned long long)atomic_load(&m->events));
    sg_metrics_family(out, "sedge_item_changes_total", "counter",
                      "Items that came and went, by what happened.");
    sg_buf_printf(
        out,
        "sedge_item_changes_total{change=\"added\"} %llu\nsedge_item_changes_total{change=\"removed\"} %llu\n"
        "sedge_item_changes_total{change=\"expired\"} %llu\n",
        (unsigned long long)atomic_load(&m->items_added), (unsigned long long)atomic_load(&m->items_removed),
        (unsigned long long)atomic_load(&m->items_expired));
    sg_metrics_family(out, "sedge_embeddings_total", "counter", "Texts embedded.");
    sg_buf_printf(out, "sedge_embeddings_total %llu\n", (unsigned long long)atomic_load(&m->embeddings));
}

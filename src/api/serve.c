/* serve.c - the verb serve: a model folder behind HTTP. */
#include "api/api.h"

#include "serve/serve.h"

typedef struct sink {
    void (*log)(void *user, const char *line);
    void *user;
} sink;

static void forward_line(void *ctx, const char *line)
{
    const sink *s = ctx;

    s->log(s->user, line);
}

int sedge_serve(const sedge_serve_params *given, sedge_error *err)
{
    sedge_serve_params p;
    sg_serve_config o;
    const api_table tables[] = {{&o, sg_serve_options, sg_n_serve_options}};
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);
    sink to = {p.log, p.log_user};

    api_defaults(tables, 1);
    if (!st && !(st = api_need(p.model, "a model folder", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err))) {
        const sg_serve_spec spec = {.config = &o,
                                    .model = p.model,
                                    .also = p.also,
                                    .n_also = p.n_also,
                                    .data = p.data,
                                    .store = p.store,
                                    .key_file = p.key_file,
                                    .insecure = p.insecure,
                                    .threads = c.run.threads,
                                    .progress = &c.progress,
                                    .log = p.log ? forward_line : NULL,
                                    .log_ctx = &to};

        st = sg_serve(&spec, &c.err);
    }
    return api_end(&c, st, NULL, err);
}

/* bench.c - the verb bench: what a server bears, as numbers, as a table of the times and as a picture of them. */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "serve/load.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BODIES_BYTES_MAX = 1 << 30, KEY_FILE_MAX = 1 << 20, KEY_MAX = 512 };

/* ---- what is asked --------------------------------------------------------------------------------------- */
typedef struct bodies {
    sg_dataset *data; /* owned: its users are asked for; or NULL, and ... */
    sg_buf text;      /* owned: ... lines are sent as they are */
    sg_bytes *line;   /* owned (n): into text */
    size_t n, cap;
    int k;
} bodies;

static void put_body(void *ctx, size_t i, sg_buf *out)
{
    const bodies *b = ctx;

    if (!b->data) {
        sg_buf_add(out, b->line[i].data, b->line[i].size);
        return;
    }
    const sg_bytes user = sg_strings_at(&b->data->user_ids, i);
    json_t *o = json_pack("{s:s%, s:i}", "user", user.data, user.size, "k", b->k);

    if (o)
        sg_json_print_compact(out, o);
    json_decref(o);
}

static sg_status read_bodies(bodies *b, const sedge_bench_params *p, sg_error *err)
{
    sg_status st;

    if (!p->data == !p->bodies)
        return sg_fail(err, SG_ERR_USAGE,
                       "expected a dataset whose users are asked for, or a file of bodies, found %s",
                       p->data ? "both" : "neither");
    if (p->data) {
        if (!(st = sg_dataset_open(&b->data, p->data, err)))
            b->n = (size_t)b->data->n_users;
        return st;
    }
    if ((st = sg_file_read_any(&b->text, p->bodies, BODIES_BYTES_MAX, err)))
        return st;
    for (size_t at = 0, size; at < b->text.size; at += size + 1) {
        size = strcspn(b->text.data + at, "\n");
        if (size == 0)
            continue;
        if (!sg_grow(&b->line, &b->cap, b->n + 1, sizeof *b->line))
            return sg_fail_memory(err, "bodies");
        b->line[b->n++] = (sg_bytes){b->text.data + at, size};
    }
    return b->n ? SG_OK
                : sg_fail(err, SG_ERR_FORMAT, "%s: expected a body in each line, found nothing", p->bodies);
}

/* The first key of a server's key file: "use KEY". */
static sg_status read_key(char key[KEY_MAX], const char *path, sg_error *err)
{
    sg_buf text = {0};
    sg_status st = path ? sg_file_read(&text, path, KEY_FILE_MAX, err) : SG_OK;

    key[0] = 0;
    for (const char *line = text.data; !st && line && *line && !key[0];
         line += strcspn(line, "\n"), line += *line == '\n')
        if (*line != '#' && sscanf(line, "%*s %500[!-~]", key) != 1)
            key[0] = 0;
    sg_buf_free(&text);
    if (!st && path && !key[0])
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a line 'use KEY' or 'admin KEY'", path);
    return st;
}

/* ---- what came out --------------------------------------------------------------------------------------- */
static json_t *ms_json(double seconds)
{
    return json_real(round(seconds * 1e6) / 1e3);
}

static json_t *result_json(const sg_load_result *r, const sedge_bench_params *p, const sg_load_config *c)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50_ms", .5}, {"p90_ms", .9}, {"p95_ms", .95}, {"p99_ms", .99}, {"p99.9_ms", .999}};
    json_t *statuses = json_object();
    json_t *o = json_pack("{s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:f, s:o, s:I, s:I, s:I}", "url", p->url,
                          "path", c->path, "arrivals", c->arrivals, "rate", c->rate, "seconds",
                          round(r->seconds * 1e3) / 1e3, "requests", (json_int_t)r->due, "good",
                          (json_int_t)r->good.n, "goodput", round((double)r->good.n / r->seconds * 1e2) / 1e2,
                          "statuses", statuses, "timeouts", (json_int_t)r->timeouts, "broken",
                          (json_int_t)r->broken, "never_sent", (json_int_t)r->late);

    for (int i = 0; i < SG_LOAD_STATUSES && r->answers[i].n; i++) {
        char name[16];

        snprintf(name, sizeof name, "%d", r->answers[i].status);
        json_object_set_new(statuses, name, json_integer((json_int_t)r->answers[i].n));
    }
    if (r->good.n) {
        json_object_set_new(o, "mean_ms", ms_json(r->good.sum / (double)r->good.n));
        for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
            json_object_set_new(o, quantiles[i].name, ms_json(sg_spread_quantile(&r->good, quantiles[i].q)));
        json_object_set_new(o, "max_ms", ms_json(r->good.most));
    }
    if (r->other.n)
        json_object_set_new(o, "refused_p99_ms", ms_json(sg_spread_quantile(&r->other, .99)));
    json_object_set_new(o, "sent_late_p99_ms", ms_json(sg_spread_quantile(&r->delay, .99)));
    json_object_set_new(o, "sent_late_max_ms", ms_json(r->delay.most));
    json_object_set_new(o, "connections", json_integer(r->connections));
    json_object_set_new(o, "bytes", json_integer((json_int_t)r->bytes));
    if (r->trouble[0])
        json_object_set_new(o, "trouble", json_string(r->trouble));
    return o;
}

static sg_status write_csv(const sg_load_result *r, const char *path, sg_error *err)
{
    sg_buf b = {0};
    sg_status st;

    sg_buf_puts(&b, "from_ms,to_ms,good,other\n");
    for (int i = 0; i < SG_SPREAD_BUCKETS; i++)
        if (r->good.bucket[i] + r->other.bucket[i])
            sg_buf_printf(&b, "%.6g,%.6g,%llu,%llu\n", 1e3 * sg_spread_edge(i), 1e3 * sg_spread_edge(i + 1),
                          (unsigned long long)r->good.bucket[i], (unsigned long long)r->other.bucket[i]);
    st = b.failed ? sg_fail_memory(err, path) : sg_file_write(path, b.data, b.size, err);
    sg_buf_free(&b);
    return st;
}

/* ---- the picture ----------------------------------------------------------------------------------------- */
enum {
    WIDTH = 760,
    HEIGHT = 300,
    LEFT = 60,
    RIGHT = 20,
    TOP = 46,
    BOTTOM = 46,
    TOGETHER = 8 /* buckets of a bar */
};

typedef struct picture {
    sg_buf svg;
    int first, last; /* bars */
    uint64_t most;
} picture;

static uint64_t bar(const sg_spread *s, int i)
{
    uint64_t sum = 0;

    for (int b = i * TOGETHER; b < (i + 1) * TOGETHER; b++)
        sum += s->bucket[b];
    return sum;
}

/* The axis is as logarithmic as the buckets: even steps within each doubling. */
static double x_of_bucket(const picture *p, double bucket)
{
    return LEFT + (bucket / TOGETHER - p->first) / (p->last + 1 - p->first) * (WIDTH - LEFT - RIGHT);
}

static double x_of(const picture *p, double seconds)
{
    int exponent;
    const double mantissa = frexp(seconds * 1e6, &exponent);

    return x_of_bucket(p, (exponent - 1 + (mantissa - 0.5) * 2) * SG_SPREAD_STEPS);
}

static void put_bars(picture *p, const sg_spread *s, const sg_spread *below, const char *class)
{
    sg_buf_printf(&p->svg, "<g class=\"%s\">", class);
    for (int i = p->first; i <= p->last; i++) {
        const double unit = (double)(HEIGHT - TOP - BOTTOM) / (double)p->most,
                     under = below ? (double)bar(below, i) * unit : 0;
        const double high = (double)bar(s, i) * unit, x = x_of_bucket(p, i * TOGETHER);

        if (high > 0)
            sg_buf_printf(&p->svg,
                          "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>%.4g to %.4g "
                          "ms: %llu</title></rect>",
                          x, HEIGHT - BOTTOM - under - high,
                          fmax(x_of_bucket(p, (i + 1) * TOGETHER) - x - 0.5, 0.5), high,
                          1e3 * sg_spread_edge(i * TOGETHER), 1e3 * sg_spread_edge((i + 1) * TOGETHER),
                          (unsigned long long)bar(s, i));
    }
    sg_buf_puts(&p->svg, "</g>\n");
}

static void put_axis(picture *p)
{
    const double low = sg_spread_edge(p->first * TOGETHER), high = sg_spread_edge((p->last + 1) * TOGETHER);

    sg_buf_printf(&p->svg, "<path class=\"line\" d=\"M%d %dH%d\"/>\n", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (int power = -6; power <= 2; power++)
        for (int step = 1; step <= 5; step += step == 1 ? 1 : 3) {
            const double at = step * pow(10, power);

            if (at >= low && at <= high)
                sg_buf_printf(&p->svg,
                              "<path class=\"line\" d=\"M%.1f %dv5\"/><text x=\"%.1f\" y=\"%d\" "
                              "text-anchor=\"middle\">%g</text>\n",
                              x_of(p, at), HEIGHT - BOTTOM, x_of(p, at), HEIGHT - BOTTOM + 18, at * 1e3);
        }
    sg_buf_printf(&p->svg,
                  "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">milliseconds from being due to the end of "
                  "the answer</text>\n",
                  (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
    sg_buf_printf(&p->svg,
                  "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%llu</text><text x=\"%d\" y=\"%d\" "
                  "text-anchor=\"end\">0</text>\n",
                  LEFT - 6, TOP + 5, (unsigned long long)p->most, LEFT - 6, HEIGHT - BOTTOM);
}

/* up: how far above the bars its name stands, so that near ones do not lie on each other */
static void put_mark(picture *p, const sg_spread *s, double q, const char *name, int up)
{
    const double at = sg_spread_quantile(s, q), x = x_of(p, at);
    const bool right = x > WIDTH - 130;

    sg_buf_printf(&p->svg,
                  "<path class=\"mark\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\"%s>%s %.3g ms</text>\n",
                  x, HEIGHT - BOTTOM, TOP - up, right ? x - 4 : x + 4, TOP - up + 6,
                  right ? " text-anchor=\"end\"" : "", name, at * 1e3);
}

static sg_status write_svg(const sg_load_result *r, const sg_load_config *c, const char *path, sg_error *err)
{
    picture p = {.first = -1};
    sg_status st;

    for (int i = 0; i < SG_SPREAD_BUCKETS / TOGETHER; i++) {
        const uint64_t n = bar(&r->good, i) + bar(&r->other, i);

        p.most = n > p.most ? n : p.most;
        p.first = n && p.first < 0 ? i : p.first;
        p.last = n ? i : p.last;
    }
    sg_buf_printf(&p.svg,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">"
                  "<style>svg{background:#fff}text{font:13px "
                  "system-ui,sans-serif;fill:#333}.good{fill:#2463c9}.other{fill:#c2410c}"
                  ".line{stroke:#888;fill:none}.mark{stroke:#333;stroke-dasharray:4 3}"
                  "@media(prefers-color-scheme:dark){svg{background:#15171c}text{fill:#ddd}.good{fill:#"
                  "6ea0f5}.other{fill:#f08a54}"
                  ".mark{stroke:#ddd}}</style>\n<title>%llu requests at %g a second</title>\n",
                  WIDTH, HEIGHT, (unsigned long long)r->due, c->rate);
    if (p.first >= 0) {
        put_bars(&p, &r->good, NULL, "good");
        put_bars(&p, &r->other, &r->good, "other");
        put_axis(&p);
    }
    if (r->other.n)
        sg_buf_printf(&p.svg,
                      "<text x=\"%d\" y=\"18\">bars: <tspan class=\"good\">%llu good</tspan>, <tspan "
                      "class=\"other\">%llu others</tspan></text>\n",
                      LEFT, (unsigned long long)r->good.n, (unsigned long long)r->other.n);
    if (r->good.n) {
        put_mark(&p, &r->good, .5, "p50", 4);
        put_mark(&p, &r->good, .99, "p99", 18);
        put_mark(&p, &r->good, .999, "p99.9", 32);
    }
    sg_buf_puts(&p.svg, "</svg>\n");
    st = p.svg.failed ? sg_fail_memory(err, path) : sg_file_write(path, p.svg.data, p.svg.size, err);
    sg_buf_free(&p.svg);
    return st;
}

int sedge_bench(const sedge_bench_params *given, char **json, sedge_error *err)
{
    sedge_bench_params p;
    sg_load_config o;
    const api_table tables[] = {{&o, sg_load_options, sg_n_load_options}};
    api_call c;
    bodies b = {0};
    char key[KEY_MAX];
    sg_load_result *r = NULL;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st && !(st = api_need(p.url, "the address of a server", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)) && !(st = read_bodies(&b, &p, &c.err)) &&
        !(st = read_key(key, p.key_file, &c.err))) {
        const sg_load_spec spec = {.config = &o,
                                   .url = p.url,
                                   .key = key[0] ? key : NULL,
                                   .n_bodies = b.n,
                                   .body = put_body,
                                   .ctx = &b,
                                   .progress = &c.progress};

        b.k = o.k;
        if (!(r = sg_alloc_zero(1, sizeof *r)))
            st = sg_fail_memory(&c.err, "result");
        else
            st = sg_load_run(r, &spec, &c.err);
    }
    if (!st && p.csv)
        st = write_csv(r, p.csv, &c.err);
    if (!st && p.svg)
        st = write_svg(r, &o, p.svg, &c.err);
    if (!st && !(c.result = result_json(r, &p, &o)))
        st = sg_fail_memory(&c.err, "result");
    sg_dataset_close(b.data);
    sg_buf_free(&b.text);
    sg_free(b.line);
    sg_free(r);
    return api_end(&c, st, json, err);
}

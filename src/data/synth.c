/* synth.c - writes a synthetic shop as a dataset folder. Users are made in batches of pieces, in parallel, and written in order,
 * so memory does not grow with the events and the bytes do not depend on the threads. */
#include "data/synth.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/synth_world.h"
#include "data/writer.h"
#include "file/json.h"
#include "file/safetensors.h"

#include <stdio.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_synth_config
const sg_option sg_synth_options[] = {SG_SYNTH_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_synth_options = sizeof sg_synth_options / sizeof *sg_synth_options;

enum { PIECES = 64, PIECE_EVENTS = 4096 };
static const char *const actions[] = {"view", "cart", "buy"};

typedef struct piece {
    sg_dataset_event *events; /* owned */
    size_t n, cap;
    bool failed;
} piece;

typedef struct maker {
    const sg_world *w;
    uint64_t user; /* first of the batch */
    uint64_t each; /* users a piece */
    piece pieces[PIECES];
} maker;

/* Users begin .. end of the batch, which are one piece. */
static void make_piece(void *ctx, size_t number, size_t begin, size_t end, int thread)
{
    maker *m = ctx;
    piece *p = &m->pieces[number];
    sg_shopper s = {0};

    (void)thread;
    p->n = 0;
    for (uint64_t u = m->user + begin; u < m->user + end && !p->failed; u++) {
        if (!sg_shopper_start(&s, m->w, u) || !sg_grow(&p->events, &p->cap, p->n + s.n, sizeof *p->events)) {
            p->failed = true;
            break;
        }
        while (s.i < s.n) {
            const sg_synth_event e = sg_shopper_next(&s);

            p->events[p->n++] = (sg_dataset_event){.user = (int32_t)u,
                                                   .item = (int32_t)m->w->item[e.place],
                                                   .timestamp = e.timestamp,
                                                   .rating = e.rating,
                                                   .action = e.action};
        }
    }
    sg_shopper_fini(&s);
}

static sg_status write_events(sg_dataset_writer *out, const sg_world *w, sg_pool *pool,
                              const sg_progress *progress, double total, sg_error *err)
{
    maker *m = sg_alloc_zero(1, sizeof *m);
    const uint64_t users = (uint64_t)w->c.users;
    double done = 0;
    sg_status st = SG_OK;

    if (!m)
        return sg_fail_memory(err, "synthetic events");
    m->w = w;
    m->each = w->c.events_mean < PIECE_EVENTS ? (uint64_t)(PIECE_EVENTS / w->c.events_mean) : 1;
    for (m->user = 0; !st && m->user < users; m->user += m->each * PIECES) {
        const size_t n =
            users - m->user < m->each * PIECES ? (size_t)(users - m->user) : (size_t)(m->each * PIECES);

        sg_parallel_for(pool, n, (size_t)m->each, make_piece, m);
        for (size_t k = 0; !st && k < sg_pieces(n, (size_t)m->each); k++) {
            st = m->pieces[k].failed
                     ? sg_fail_memory(err, "synthetic events")
                     : sg_dataset_writer_events(out, m->pieces[k].events, m->pieces[k].n, err);
            done += (double)m->pieces[k].n;
        }
        if (!st)
            st = sg_progress_tick(
                progress,
                &(sg_progress_event){.stage = "synth", .unit = "events", .done = done, .total = total}, err);
    }
    for (int k = 0; k < PIECES; k++)
        sg_free(m->pieces[k].events);
    sg_free(m);
    return st;
}

static sg_bytes id_text(char text[16], char letter, uint64_t number)
{
    return (sg_bytes){text, (size_t)snprintf(text, 16, "%c%llu", letter, (unsigned long long)number + 1)};
}

/* Bytes of "u1" .. "uN". */
static int64_t id_bytes(uint64_t n)
{
    int64_t bytes = 0;

    for (uint64_t first = 1, digits = 1; first <= n; first *= 10, digits++) {
        const uint64_t last = n < first * 10 - 1 ? n : first * 10 - 1;

        bytes += (int64_t)((last - first + 1) * (digits + 1));
    }
    return bytes;
}

static sg_status text_bytes(int64_t bytes[SG_SYNTH_TEXTS], const sg_world *w, sg_error *err)
{
    sg_buf b = {0};

    for (int c = 0; c < SG_SYNTH_TEXTS; c++)
        bytes[c] = 0;
    for (uint32_t p = 0; p < w->n; p++)
        for (int c = 0; c < SG_SYNTH_TEXTS; c++) {
            b.size = 0;
            sg_synth_text(&b, w, p, c);
            bytes[c] += (int64_t)b.size;
        }
    const bool failed = b.failed;
    sg_buf_free(&b);
    return failed ? sg_fail_memory(err, "synthetic items") : SG_OK;
}

static sg_status write_items(sg_dataset_writer *out, const sg_world *w, const sg_progress *progress,
                             sg_error *err)
{
    sg_buf text[SG_SYNTH_TEXTS] = {{0}};
    sg_status st = SG_OK;

    for (uint32_t i = 0; !st && i < w->n; i++) {
        sg_bytes cell[SG_SYNTH_TEXTS];
        char id[16];

        for (int c = 0; c < SG_SYNTH_TEXTS; c++) {
            text[c].size = 0;
            sg_synth_text(&text[c], w, w->place[i], c);
            if (text[c].failed)
                st = sg_fail_memory(err, "synthetic items");
            cell[c] = (sg_bytes){text[c].data, text[c].size};
        }
        if (!st)
            st = sg_dataset_writer_item(out, id_text(id, 'i', i), cell, err);
        if (!st && i % 65536 == 65535)
            st = sg_progress_tick(
                progress,
                &(sg_progress_event){.stage = "synth", .unit = "items", .done = i + 1.0, .total = w->n}, err);
    }
    for (int c = 0; c < SG_SYNTH_TEXTS; c++)
        sg_buf_free(&text[c]);
    return st;
}

static sg_status write_users(sg_dataset_writer *out, const sg_world *w, sg_error *err)
{
    sg_status st = SG_OK;
    char id[16];

    for (uint64_t u = 0; !st && u < (uint64_t)w->c.users; u++)
        st = sg_dataset_writer_user(out, id_text(id, 'u', u), err);
    return st;
}

/* What an oracle knows of the items: line (leaf of the tree), partner, popularity weight, coldness. */
static sg_status write_truth_tensors(const char *path, const sg_world *w, sg_error *err)
{
    const uint64_t n = w->n;
    const sg_tensor_desc list[] = {
        {.name = "line", .dtype = SG_DT_I32, .rank = 1, .dim = {n}},
        {.name = "partner", .dtype = SG_DT_I32, .rank = 1, .dim = {n}},
        {.name = "weight", .dtype = SG_DT_F64, .rank = 1, .dim = {n}},
        {.name = "cold", .dtype = SG_DT_BOOL, .rank = 1, .dim = {n}},
        {.name = "line_next", .dtype = SG_DT_I32, .rank = 1, .dim = {w->n_lines}},
    };
    sg_tensors_stream *s = NULL;
    sg_status st = sg_tensors_stream_open(&s, path, list, 5, NULL, 0, err);

    for (uint32_t i = 0; !st && i < w->n; i++) {
        const uint32_t p = w->place[i];
        const int32_t line = (int32_t)sg_world_line_of(w, p),
                      partner = (int32_t)w->item[sg_world_partner(w, p)];
        const double weight = w->mass[1][p + 1] - w->mass[1][p];
        const uint8_t cold = sg_world_cold(w, p);

        if ((st = sg_tensors_stream_put(s, 0, &line, sizeof line, err)) ||
            (st = sg_tensors_stream_put(s, 1, &partner, sizeof partner, err)) ||
            (st = sg_tensors_stream_put(s, 2, &weight, sizeof weight, err)) ||
            (st = sg_tensors_stream_put(s, 3, &cold, 1, err)))
            break;
    }
    for (uint32_t l = 0; !st && l < w->n_lines; l++) {
        const int32_t next = (int32_t)sg_world_next_line(w, l);

        st = sg_tensors_stream_put(s, 4, &next, sizeof next, err);
    }
    if (!st)
        return sg_tensors_stream_commit(s, err);
    sg_tensors_stream_abort(s);
    return st;
}

static json_t *config_json(const sg_synth_config *c)
{
    json_t *o = json_object();
    int failed = !o;

    for (size_t i = 0; i < sg_n_synth_options; i++) {
        const sg_option *row = &sg_synth_options[i];
        const char *field = (const char *)c + row->offset;

        failed |= json_object_set_new(o, row->name,
                                      row->type == SG_OPTION_int
                                          ? json_integer(*(const sg_field_int *)(const void *)field)
                                          : json_real(*(const sg_field_float *)(const void *)field));
    }
    if (failed) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *line_names(const sg_world *w)
{
    json_t *names = json_array();
    sg_buf b = {0};
    int failed = !names;

    for (uint32_t l = 0; !failed && l < w->n_lines; l++) {
        b.size = 0;
        sg_synth_line_name(&b, w, l);
        failed = b.failed || json_array_append_new(names, json_stringn(b.data, b.size));
    }
    sg_buf_free(&b);
    if (failed) {
        json_decref(names);
        return NULL;
    }
    return names;
}

static sg_status write_truth(const char *dir, const sg_world *w, sg_error *err)
{
    char *tensors = sg_path_join(dir, "truth.safetensors"), *json = sg_path_join(dir, "truth.json");
    json_t *truth = NULL, *config = config_json(&w->c), *names = line_names(w);
    sg_status st;

    if (!tensors || !json || !config || !names) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    truth = json_pack("{s:s, s:i, s:O, s:{s:I, s:I, s:I, s:I}, s:O}", "generator", "sedge synth", "version",
                      SG_SYNTH_VERSION, "options", config, "tree", "categories", (json_int_t)w->n_category,
                      "subcategories_each", (json_int_t)w->n_sub, "lines_each", (json_int_t)w->n_line,
                      "lines", (json_int_t)w->n_lines, "line_names", names);
    if (!(st = write_truth_tensors(tensors, w, err)))
        st = sg_json_write(json, truth, err);
done:
    json_decref(truth);
    json_decref(config);
    json_decref(names);
    sg_free(tensors);
    sg_free(json);
    return st;
}

static sg_status check_config(const sg_synth_config *c, sg_error *err)
{
    for (size_t i = 0; i < sg_n_synth_options; i++) { /* a config filled in by hand obeys the table too */
        const sg_option *row = &sg_synth_options[i];
        const char *field = (const char *)c + row->offset;
        const double x = row->type == SG_OPTION_int ? *(const sg_field_int *)(const void *)field
                                                    : *(const sg_field_float *)(const void *)field;

        if (!(x >= row->least && x <= row->most))
            return sg_fail(err, SG_ERR_USAGE, "%s: expected a number from %g to %g, found %g", row->name,
                           row->least, row->most, x);
    }
    return SG_OK;
}

static sg_status write_all(sg_dataset_writer *out, const sg_world *w, int64_t n_events, sg_pool *pool,
                           const sg_progress *progress, sg_error *err)
{
    sg_status st;

    if ((st = write_items(out, w, progress, err)) || (st = write_users(out, w, err)) ||
        (st = write_events(out, w, pool, progress, (double)n_events, err)))
        return st;
    return write_truth(sg_dataset_writer_dir(out), w, err);
}

sg_status sg_synth(const char *dir, const sg_synth_config *c, sg_pool *pool, const sg_progress *progress,
                   json_t **report, sg_error *err)
{
    const double start = sg_now();
    int64_t bytes[SG_SYNTH_TEXTS];
    sg_dataset_writer *out = NULL;
    sg_world *w = NULL;
    json_t *provenance = NULL;
    sg_dataset_spec spec = {.name = "synth",
                            .n_users = c->users,
                            .n_items = c->items,
                            .timestamp = true,
                            .rating = true,
                            .action = true,
                            .user_id_bytes = id_bytes((uint64_t)c->users),
                            .item_id_bytes = id_bytes((uint64_t)c->items),
                            .column = sg_synth_text_names,
                            .column_bytes = bytes,
                            .n_columns = SG_SYNTH_TEXTS,
                            .action_name = actions,
                            .n_actions = 3};
    sg_status st;

    if (report)
        *report = NULL;
    if ((st = check_config(c, err)) || (st = sg_world_new(&w, c, err)) || (st = text_bytes(bytes, w, err)))
        goto done;
    for (int32_t u = 0; u < c->users; u++)
        spec.n_events += sg_shopper_count(w, (uint64_t)u);
    provenance = json_pack("{s:s, s:i, s:o}", "generator", "sedge synth", "version", SG_SYNTH_VERSION,
                           "options", config_json(c));
    if (!provenance) {
        st = sg_fail_memory(err, dir);
        goto done;
    }
    if ((st = sg_dataset_writer_open(&out, dir, &spec, err)) ||
        (st = write_all(out, w, spec.n_events, pool, progress, err)))
        goto done;
    st = sg_dataset_writer_commit(out, provenance, err);
    out = NULL;
    if (!st && report &&
        !(*report = json_pack("{s:i, s:i, s:I, s:I, s:I, s:f}", "users", c->users, "items", c->items,
                              "events", (json_int_t)spec.n_events, "lines", (json_int_t)w->n_lines,
                              "items_cold", (json_int_t)(w->n - w->n_warm), "seconds", sg_now() - start)))
        st = sg_fail_memory(err, "report");
done:
    sg_dataset_writer_abort(out);
    sg_world_free(w);
    json_decref(provenance);
    return st;
}

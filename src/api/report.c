/* report.c - a model folder as one page: metrics beside the floors, training curves, codebook, ID tree, examples, receipt. */
#include "api/html.h"
#include "api/session.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 3, HISTORY_SHOWN = 6, TREE_TOP = 64, TREE_INNER = 12, TREE_ITEMS = 8 };

typedef struct page {
    sg_buf html;
    const sg_model *model; /* borrowed from handle */
    sedge_model *handle;
    sedge_data *data; /* NULL: not there */
    json_t *eval, *training;
    sg_meaning *meaning; /* NULL: no texts, or other items */
    api_call *call;
} page;

/* ---- figures ------------------------------------------------------------------------------------------------------------ */
static const char *const sides[] = {"unfiltered", "filtered"}, *const side_names[] = {"history kept",
                                                                                      "history filtered out"};

static const json_t *side_of(const json_t *metrics, int s)
{
    const json_t *inner = json_object_get(metrics, "metrics");

    return json_object_get(inner ? inner : metrics, sides[s]);
}

static void card_metric(page *p, const char *key, int s)
{
    const json_t *value = json_object_get(side_of(json_object_get(p->eval, "metrics"), s), key);
    const json_t *range =
        json_object_get(json_object_get(json_object_get(p->eval, "intervals"), sides[s]), key);
    char number[32], note[96];

    if (!json_is_number(value))
        return;
    snprintf(number, sizeof number, "%.4f", json_number_value(value));
    if (json_is_array(range))
        snprintf(note, sizeof note, "%s, %.4f to %.4f", side_names[s],
                 json_number_value(json_array_get(range, 0)), json_number_value(json_array_get(range, 1)));
    else
        snprintf(note, sizeof note, "%s", side_names[s]);
    sg_html_card(&p->html, key, number, note);
}

static void put_cards(page *p)
{
    const json_t *report = json_object_get(p->training, "report");
    char text[64];

    sg_buf_puts(&p->html, "<div class=cards>");
    for (int s = 0; s < 2; s++) {
        card_metric(p, "recall@10", s);
        card_metric(p, "ndcg@10", s);
    }
    if (json_is_number(json_object_get(report, "weights"))) {
        const double n = json_number_value(json_object_get(report, "weights"));

        snprintf(text, sizeof text, n >= 1e6 ? "%.3gM" : "%.3gk", n >= 1e6 ? n / 1e6 : n / 1e3);
        sg_html_card(&p->html, "weights", text, "numbers that were trained");
    }
    if (json_is_number(json_object_get(report, "seconds"))) {
        snprintf(text, sizeof text, "%.4g s", json_number_value(json_object_get(report, "seconds")));
        sg_html_card(&p->html, "training", text, "of this model");
    }
    sg_buf_puts(&p->html, "</div>\n");
}

static void put_metric_row(page *p, const char *name, const json_t *metrics, bool own, const double *most)
{
    static const char *const keys[] = {"recall@5", "ndcg@5", "recall@10", "ndcg@10"};

    sg_buf_puts(&p->html, own ? "<tr class=own><td>" : "<tr><td>");
    sg_html_text(&p->html, name);
    sg_buf_puts(&p->html, "</td>");
    for (int c = 0; c < 8; c++) {
        const double x = json_number_value(json_object_get(side_of(metrics, c / 4), keys[c % 4]));

        sg_buf_printf(&p->html, "<td class=cell style=\"--w:%.0f%%\">%.4f</td>",
                      most[c] > 0 ? 100 * x / most[c] : 0, x);
    }
    sg_buf_puts(&p->html, "</tr>\n");
}

static void raise_most(double *most, const json_t *metrics)
{
    static const char *const keys[] = {"recall@5", "ndcg@5", "recall@10", "ndcg@10"};

    for (int c = 0; c < 8; c++)
        most[c] = fmax(most[c], json_number_value(json_object_get(side_of(metrics, c / 4), keys[c % 4])));
}

static void put_metrics(page *p)
{
    const json_t *own = json_object_get(p->eval, "metrics"), *oracle = json_object_get(p->eval, "oracle");
    const char *key;
    json_t *floor;
    double most[8] = {0};

    sg_html_section(&p->html, "Metrics",
                    "Every item of the catalogue is ranked for every case. The rows below the model are "
                    "floors, which only count, and, where the "
                    "data are synthetic, the oracle, which knows how they were made. Bars are relative to "
                    "the best of each column.");
    sg_buf_puts(&p->html, "<div class=scroll><table><tr><th></th><th class=group colspan=4>history "
                          "kept</th><th class=group colspan=4>history filtered out</th></tr>"
                          "<tr><th></th><th>recall@5</th><th>ndcg@5</th><th>recall@10</th><th>ndcg@10</th>"
                          "<th>recall@5</th><th>ndcg@5</th><th>recall@10</th><th>ndcg@10</th></tr>\n");
    raise_most(most, own);
    json_object_foreach(json_object_get(p->eval, "floors"), key, floor) raise_most(most, floor);
    if (oracle)
        raise_most(most, oracle);
    put_metric_row(p, p->model->class->name, own, true, most);
    json_object_foreach(json_object_get(p->eval, "floors"), key,
                        floor) if (strcmp(key, p->model->class->name) != 0)
        put_metric_row(p, key, floor, false, most);
    if (oracle)
        put_metric_row(p, "oracle", oracle, false, most);
    sg_buf_puts(&p->html, "</table></div>\n");
}

/* ---- training ------------------------------------------------------------------------------------------------------------ */
static bool varies(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return true;
    return false;
}

static sg_status put_training(page *p, const char *dir, sg_error *err)
{
    static const struct {
        const char *key, *title;
    } plots[] = {{"loss", "training loss"}, {"ndcg10", "validation NDCG@10"}, {"lr", "learning rate"}};
    char *path = sg_path_join(dir, "training.jsonl");
    double *x[4] = {0};
    sg_buf text = {0};
    size_t n = 0, cap[4] = {0};
    int best = -1;
    sg_status st = SG_OK;

    if (!path || !sg_file_exists(path)) {
        sg_free(path);
        return SG_OK;
    }
    if ((st = sg_file_read(&text, path, (size_t)64 << 20, err)))
        goto done;
    for (const char *line = text.data ? text.data : ""; *line;
         line += strcspn(line, "\n"), line += *line == '\n') {
        json_t *row = NULL;

        if (sg_json_parse(&row, (sg_bytes){line, strcspn(line, "\n")}, path, NULL))
            continue; /* a line cut short by a crash */
        for (int k = 0; k < 4; k++)
            if (!sg_grow(&x[k], &cap[k], n + 1, sizeof *x[k])) {
                json_decref(row);
                st = sg_fail_memory(err, "training curves");
                goto done;
            }
        x[3][n] = json_number_value(json_object_get(row, "step"));
        for (int k = 0; k < 3; k++)
            x[k][n] = json_number_value(json_object_get(row, plots[k].key));
        if (best < 0 || x[1][n] > x[1][best])
            best = (int)n;
        n++;
        json_decref(row);
    }
    if (n == 0)
        goto done;
    sg_html_section(&p->html, "Training",
                    "One point a validation; the marked one is the model that was kept.");
    sg_buf_puts(&p->html, "<div class=plots>");
    for (int k = 0; k < 3; k++)
        if (k < 2 || varies(x[k], n))
            sg_html_curve(&p->html, &(sg_curve){.title = plots[k].title,
                                                .x_label = "step",
                                                .x = x[3],
                                                .y = x[k],
                                                .n = n,
                                                .best = k == 1 ? best : -1});
    sg_buf_puts(&p->html, "</div>\n");
done:
    for (int k = 0; k < 4; k++)
        sg_free(x[k]);
    sg_buf_free(&text);
    sg_free(path);
    return st;
}

/* ---- codebook ------------------------------------------------------------------------------------------------------------ */
static int falling(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x < y) - (x > y);
}

static sg_status put_codebook(page *p, sg_error *err)
{
    const sg_catalogue *c = p->model->catalogue;
    const int levels = sg_catalogue_levels(c);

    sg_html_section(&p->html, "Codebook",
                    "Items per code of each level. Even use makes IDs that tell items apart; the dashed line "
                    "is the mean.");
    sg_buf_puts(&p->html, "<div class=plots>");
    for (int l = 0; l < levels; l++) {
        const size_t size = (size_t)sg_catalogue_size(c, l) -
                            (sg_catalogue_ends(c) && l > 0); /* the end is no code of an item */
        int64_t *count = sg_alloc_zero(size, sizeof *count);
        int32_t codes[SG_LEVELS_MAX];
        double entropy = 0;
        size_t used = 0, n = 0;
        char title[128];

        if (!count)
            return sg_fail_memory(err, "codebook");
        for (int32_t i = 0; i < p->model->n_items; i++) {
            sg_catalogue_codes(c, i, codes);
            if (l >= sg_catalogue_length(c, codes))
                continue;
            count[codes[l]]++;
            n++;
        }
        for (size_t k = 0; k < size; k++)
            if (count[k]) {
                const double share = (double)count[k] / (double)n;

                entropy -= share * log(share);
                used++;
            }
        qsort(count, size, sizeof *count, falling);
        snprintf(title, sizeof title, "level %d: %zu of %zu codes used, perplexity %.1f", l + 1, used, size,
                 exp(entropy));
        sg_html_usage(&p->html, title, count, size);
        sg_free(count);
    }
    sg_buf_puts(&p->html, "</div>\n");
    return SG_OK;
}

/* ---- ID tree ------------------------------------------------------------------------------------------------------------- */
static void put_words(page *p, int32_t first, int32_t last)
{
    json_t *words, *word;
    size_t i;

    if (!p->meaning || last - first < 2)
        return;
    words = sg_meaning_words(p->meaning, p->model->catalogue, first, last, 6);
    json_array_foreach(words, i, word)
    {
        sg_buf_puts(&p->html, i ? ", " : " ");
        sg_html_text(&p->html, json_string_value(word));
    }
    json_decref(words);
}

static void put_item(page *p, int32_t item)
{
    const sg_bytes id = sg_strings_at(&p->model->item_ids, (size_t)item);
    json_t *title = p->meaning ? sg_item_title(p->data->set, item) : NULL;

    sg_buf_puts(&p->html, "<span class=muted>");
    sg_html_bytes(&p->html, id);
    sg_buf_puts(&p->html, "</span> ");
    if (title)
        sg_html_text(&p->html, json_string_value(title));
    json_decref(title);
}

/* Children of a node by falling number of items. */
typedef struct branch {
    int32_t node, first, last;
    uint16_t code;
} branch;

static int by_items(const void *a, const void *b)
{
    const branch *x = a, *y = b;
    const int32_t nx = x->last - x->first, ny = y->last - y->first;

    return nx != ny ? (nx < ny) - (nx > ny) : (x->code > y->code) - (x->code < y->code);
}

static sg_status put_branches(page *p, int level, int32_t node, sg_error *err)
{
    const sg_catalogue *c = p->model->catalogue;
    const sg_children children = sg_catalogue_children(c, level, node);
    const int32_t most = level == 0 ? TREE_TOP : TREE_INNER;
    branch *list = sg_alloc_array((size_t)children.n + 1, sizeof *list);
    sg_status st = SG_OK;

    if (!list)
        return sg_fail_memory(err, "tree");
    for (int32_t i = 0; i < children.n; i++) {
        list[i] = (branch){.node = children.first + i, .code = (uint16_t)sg_child_code(&children, i)};
        sg_catalogue_span(c, level + 1, list[i].node, &list[i].first, &list[i].last);
    }
    qsort(list, (size_t)children.n, sizeof *list, by_items);
    for (int32_t i = 0; !st && i < children.n && i < most; i++) {
        const int32_t n = list[i].last - list[i].first;

        sg_buf_printf(&p->html, "<details%s><summary><code>%d:", level == 0 ? " class=top" : "", level + 1);
        if (sg_catalogue_ended(c, level + 1, list[i].code))
            sg_buf_puts(&p->html, "end");
        else
            sg_buf_printf(&p->html, "%d", (int)list[i].code);
        sg_buf_printf(&p->html, "</code> <span class=muted>%d %s</span>", (int)n, n == 1 ? "item" : "items");
        put_words(p, list[i].first, list[i].last);
        sg_buf_puts(&p->html, "</summary>\n");
        if (n > TREE_ITEMS &&
            level + 2 < sg_catalogue_levels(c)) /* the last level only tells items apart */ {
            st = put_branches(p, level + 1, list[i].node, err);
        } else {
            sg_buf_puts(&p->html, "<ul class=items>");
            for (int32_t leaf = list[i].first; leaf < list[i].last && leaf < list[i].first + TREE_ITEMS;
                 leaf++) {
                sg_buf_puts(&p->html, "<li>");
                put_item(p, sg_catalogue_item(c, leaf));
                sg_buf_puts(&p->html, "</li>");
            }
            if (n > TREE_ITEMS)
                sg_buf_printf(&p->html, "<li class=muted>and %d more</li>", (int)n - TREE_ITEMS);
            sg_buf_puts(&p->html, "</ul>\n");
        }
        sg_buf_puts(&p->html, "</details>\n");
    }
    if (children.n > most)
        sg_buf_printf(&p->html, "<p class=muted>and %d smaller ones</p>\n", (int)(children.n - most));
    sg_free(list);
    return st;
}

/* ---- examples ------------------------------------------------------------------------------------------------------------ */
static void put_hit(page *p, const json_t *hit, const char *truth)
{
    const char *item = json_string_value(json_object_get(hit, "item")),
               *title = json_string_value(json_object_get(hit, "title"));
    const bool right = item && truth && strcmp(item, truth) == 0;
    const json_t *step, *event;
    size_t i;

    sg_buf_puts(&p->html, right ? "<li class=hit>" : "<li>");
    sg_html_text(&p->html, title ? title : item);
    if (right)
        sg_buf_puts(&p->html, " \xe2\x9c\x93");
    sg_buf_puts(&p->html, "<div class=why>");
    json_array_foreach(json_object_get(hit, "path"), i, step)
    {
        const json_t *share = json_object_get(step, "probability");

        sg_buf_printf(&p->html, "<span class=path><code>%d:", (int)i + 1);
        if (json_object_get(step, "end"))
            sg_buf_puts(&p->html, "end</code></span>");
        else
            sg_buf_printf(&p->html, "%d</code></span>",
                          (int)json_integer_value(json_object_get(step, "code")));
        if (share)
            sg_buf_printf(&p->html, " %.1f&nbsp;%% ", 100 * json_number_value(share));
    }
    json_array_foreach(json_object_get(hit, "because"), i, event)
    {
        const char *name = json_string_value(json_object_get(event, "title"));
        const double effect = json_number_value(json_object_get(event, "effect"));

        if (i && effect < 0.005)
            break;
        sg_buf_puts(&p->html, i ? "; " : " because of ");
        sg_html_text(&p->html, name ? name : json_string_value(json_object_get(event, "item")));
        sg_buf_printf(&p->html, " (+%.2f)", effect);
    }
    sg_buf_puts(&p->html, "</div></li>\n");
}

/* The last event is held back and shown as what came next. */
static sg_status put_example(page *p, sedge_session *s, int32_t user, sg_error *err)
{
    const sg_dataset *d = p->data->set;
    const int64_t begin = d->user_offsets[user], end = d->user_offsets[user + 1] - 1;
    const size_t n = (size_t)(end - begin);
    char **id = sg_alloc_zero(n + 1, sizeof *id);
    json_t *why = NULL, *hit;
    size_t i;
    sg_status st = SG_OK;

    for (i = 0; id && i <= n && !st; i++) {
        const sg_bytes text = sg_strings_at(&d->item_ids, (size_t)d->item[begin + (int64_t)i]);

        if (!(id[i] = sg_strndup(text.data, text.size)))
            st = sg_fail_memory(err, "example");
    }
    if (!id)
        return sg_fail_memory(err, "example");
    const sedge_request r = {.size = sizeof r, .history = (const char *const *)id, .n_history = n, .k = 5};

    if (!st && !(st = api_session_explain(&why, s, &r, err))) {
        sg_buf_puts(&p->html, "<div class=rec><b>History</b><ul class=items>");
        for (int64_t e = end - HISTORY_SHOWN > begin ? end - HISTORY_SHOWN : begin; e < end; e++) {
            sg_buf_puts(&p->html, "<li>");
            put_item(p, d->item[e]);
            sg_buf_puts(&p->html, "</li>");
        }
        sg_buf_puts(&p->html, "</ul><b>Recommended</b><ol>");
        json_array_foreach(json_object_get(why, "items"), i, hit) put_hit(p, hit, id[n]);
        sg_buf_puts(&p->html, "</ol><p class=muted>What came next: ");
        put_item(p, d->item[end]);
        sg_buf_puts(&p->html, "</p></div>\n");
    }
    for (i = 0; i <= n; i++)
        sg_free(id[i]);
    sg_free(id);
    json_decref(why);
    return st;
}

static sg_status put_examples(page *p, sg_error *err)
{
    const sg_dataset *d = p->data->set;
    const sedge_session_params sp = {.size = sizeof sp, .data = p->data};
    sedge_session *s = NULL;
    sedge_error e;
    int shown = 0;
    sg_status st = SG_OK;

    if (sedge_session_new(&s, p->handle, &sp, &e))
        return sg_fail(err, (sg_status)e.status, "%s", e.message);
    sg_html_section(&p->html, "Examples",
                    "Users at even steps through the data; their last event is held back. A percentage is "
                    "the probability of the code after "
                    "the codes before it; a reason's number is how far the score falls without that event.");
    for (int32_t part = 0; !st && part < EXAMPLES; part++)
        for (int32_t u = (int32_t)((int64_t)d->n_users * part / EXAMPLES); u < d->n_users; u++)
            if (d->user_offsets[u + 1] - d->user_offsets[u] >= 5 &&
                d->user_offsets[u + 1] - d->user_offsets[u] <= 40) {
                st = put_example(p, s, u, err);
                shown++;
                break;
            }
    sedge_session_free(s);
    return st;
}

/* ---- receipt ------------------------------------------------------------------------------------------------------------- */
static void put_leaves(sg_buf *b, const json_t *value, const char *path)
{
    const char *key;
    json_t *child;

    if (!json_is_object(value)) {
        sg_buf text = {0};

        sg_buf_puts(b, "<dt>");
        sg_html_text(b, path);
        sg_buf_puts(b, "</dt><dd>");
        if (json_is_string(value))
            sg_html_text(b, json_string_value(value));
        else
            sg_json_print_compact(&text, value);
        sg_html_text(b, text.data ? text.data : "");
        sg_buf_free(&text);
        sg_buf_puts(b, "</dd>");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, child)
    {
        char full[256];

        snprintf(full, sizeof full, "%s%s%s", path, path[0] ? "." : "", key);
        put_leaves(b, child, full);
    }
}

/* ---- the page ------------------------------------------------------------------------------------------------------------ */
/* DIR/eval.json when it is about this very model, else a new evaluation that is left there. */
static sg_status find_metrics(page *p, const char *dir, const char *data, sg_error *err)
{
    char *path = sg_path_join(dir, "eval.json"), *json = NULL;
    sedge_error e;
    sg_status st = path ? SG_OK : sg_fail_memory(err, "path");

    if (!st && sg_file_exists(path) && !(st = sg_json_read(&p->eval, path, SG_JSON_BYTES_MAX, err))) {
        const char *sha = json_string_value(
            json_object_get(json_object_get(json_object_get(p->eval, "receipt"), "model"), "sha256"));

        if (!sha || strcmp(sha, p->model->sha256) != 0) {
            json_decref(p->eval);
            p->eval = NULL;
        }
    }
    if (!st && !p->eval && data) {
        const sedge_eval_params ep = {.size = sizeof ep, .run = &p->call->run, .model = dir, .data = data};

        if (sedge_eval(&ep, &json, &e))
            st = sg_fail(err, (sg_status)e.status, "%s", e.message);
        else if (!(st = sg_file_write(path, json, strlen(json), err)))
            st = sg_json_parse(&p->eval, (sg_bytes){json, strlen(json)}, path, err);
    }
    sedge_free(json);
    sg_free(path);
    return st;
}

/* "12,101 items, " */
static void put_count(sg_buf *b, int64_t n, const char *after)
{
    if (n >= 1000000)
        sg_buf_printf(b, "%lld,%03lld,%03lld", (long long)(n / 1000000), (long long)(n / 1000 % 1000),
                      (long long)(n % 1000));
    else if (n >= 1000)
        sg_buf_printf(b, "%lld,%03lld", (long long)(n / 1000), (long long)(n % 1000));
    else
        sg_buf_printf(b, "%lld", (long long)n);
    sg_buf_puts(b, after);
}

static sg_status write_page(page *p, const char *dir, sg_error *err)
{
    const sg_model *m = p->model;
    const json_t *data = json_object_get(m->receipt, "data");
    const char *name = json_string_value(json_object_get(data, "name"));
    char title[256];
    sg_status st;

    snprintf(title, sizeof title, "%s on %s", m->class->name, name ? name : "unknown data");
    sg_html_begin(&p->html, title);
    sg_buf_puts(&p->html, "<section><h1>");
    sg_html_text(&p->html, title);
    sg_buf_puts(&p->html, "</h1><p class=note>");
    sg_html_text(&p->html, m->class->summary);
    sg_buf_puts(&p->html, ". ");
    sg_html_text(&p->html, m->class->paper);
    sg_buf_puts(&p->html, ". ");
    put_count(&p->html, m->n_items, " items, ");
    put_count(&p->html, m->n_users, " users, ");
    put_count(&p->html, (int64_t)json_integer_value(json_object_get(data, "events")), " events.</p>\n");
    put_cards(p);
    if (p->eval)
        put_metrics(p);
    if ((st = put_training(p, dir, err)) || (p->meaning && (st = put_examples(p, err))))
        return st;
    if (m->catalogue) {
        if ((st = put_codebook(p, err)))
            return st;
        sg_html_section(&p->html, "ID tree",
                        "What each prefix of the semantic IDs holds, in words that are more frequent there "
                        "than elsewhere.");
        sg_buf_puts(&p->html, "<div class=tree>");
        if ((st = put_branches(p, 0, 0, err)))
            return st;
        sg_buf_puts(&p->html, "</div>\n");
    }
    sg_html_section(&p->html, "Receipt", "Everything the figures depend on.");
    sg_buf_puts(&p->html, "<details class=top><summary>show</summary><dl>");
    put_leaves(&p->html, p->eval ? json_object_get(p->eval, "receipt") : m->receipt, "");
    sg_buf_puts(&p->html, "</dl></details>\n");
    sg_html_end(&p->html);
    return p->html.failed ? sg_fail_memory(err, "report") : SG_OK;
}

int sedge_report(const sedge_report_params *given, char **json, sedge_error *err)
{
    sedge_report_params q;
    page p = {0};
    char *data = NULL, *training = NULL;
    sedge_error e;
    api_call c;
    sg_status st = api_begin(&c, &q, sizeof q, given);

    c.run.size = sizeof c.run;
    p.call = &c;
    if (st || (st = api_need(q.model, "a model folder", &c.err)) ||
        (st = api_need(q.out, "a file to write", &c.err)))
        goto done;
    if (!q.data && (st = sg_source_data_dir(&data, q.model, &c.err)))
        goto done;
    q.data = q.data ? q.data : data;
    if (sedge_model_open(&p.handle, q.model, &e) || (q.data && sedge_data_open(&p.data, q.data, &e))) {
        st = sg_fail(&c.err, (sg_status)e.status, "%s", e.message);
        goto done;
    }
    p.model = p.handle->model;
    if (!(training = sg_path_join(q.model, "training.json"))) {
        st = sg_fail_memory(&c.err, "path");
        goto done;
    }
    if ((sg_file_exists(training) && (st = sg_json_read(&p.training, training, SG_JSON_BYTES_MAX, &c.err))) ||
        (p.data && sg_same_items(p.model, p.data->set) &&
         (st = sg_meaning_new(&p.meaning, p.data->set, &c.err))) ||
        (st = find_metrics(&p, q.model, q.data, &c.err)) || (st = write_page(&p, q.model, &c.err)) ||
        (st = sg_file_write(q.out, p.html.data, p.html.size, &c.err)))
        goto done;
    if (!(c.result = json_pack("{s:s, s:I}", "path", q.out, "bytes", (json_int_t)p.html.size)))
        st = sg_fail_memory(&c.err, "result");
done:
    sg_buf_free(&p.html);
    sg_meaning_free(p.meaning);
    json_decref(p.eval);
    json_decref(p.training);
    sedge_data_free(p.data);
    sedge_model_free(p.handle);
    sg_free(training);
    sg_free(data);
    return api_end(&c, st, json, err);
}

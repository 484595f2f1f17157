/* trec.c - lists and targets in the formats of trec_eval.
 *
 *   run:   USER Q0 ITEM RANK SCORE TAG       qrels: USER 0 ITEM 1
 *
 * White space in ids becomes %20 and the like. trec_eval orders equal scores by id, we by item number. */
#include "eval/trec.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

struct sg_trec {
    const sg_dataset *data; /* borrowed */
    sg_writer *run, *qrels; /* owned; NULL: not wanted */
    int filter;
    char tag[80];
    sg_buf line;
};

sg_status sg_trec_open(sg_trec **out, const sg_dataset *d, const char *run_path, const char *qrels_path,
                       const char *model, int filter, sg_error *err)
{
    sg_trec *t = sg_alloc_zero(1, sizeof *t);
    sg_status st = SG_OK;

    *out = NULL;
    if (!t)
        return sg_fail_memory(err, "TREC export");
    t->data = d;
    t->filter = filter;
    snprintf(t->tag, sizeof t->tag, "%s.%s", model, sg_filter_names[filter]);
    if ((run_path && (st = sg_writer_open(&t->run, run_path, err))) ||
        (qrels_path && (st = sg_writer_open(&t->qrels, qrels_path, err)))) {
        sg_trec_abort(t);
        return st;
    }
    *out = t;
    return SG_OK;
}

void sg_trec_abort(sg_trec *t)
{
    if (!t)
        return;
    sg_writer_abort(t->run);
    sg_writer_abort(t->qrels);
    sg_buf_free(&t->line);
    sg_free(t);
}

void sg_trec_put_id(sg_buf *b, sg_bytes id)
{
    for (size_t i = 0; i < id.size; i++) {
        const unsigned char c = (unsigned char)id.data[i];

        if (c <= 0x20 || c == 0x7f || c == '%')
            sg_buf_printf(b, "%%%02X", c);
        else
            sg_buf_putc(b, (char)c);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

sg_bytes sg_trec_id(sg_bytes word, sg_buf *room)
{
    if (!memchr(word.data, '%', word.size))
        return word;
    room->size = 0;
    for (size_t i = 0; i < word.size; i++) {
        const int high = word.data[i] == '%' && i + 2 < word.size ? hex_digit(word.data[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(word.data[i + 2]) : -1;

        sg_buf_putc(room, low >= 0 ? (char)(high << 4 | low) : word.data[i]);
        i += low >= 0 ? 2 : 0;
    }
    return room->failed ? word : (sg_bytes){room->data, room->size};
}

static sg_status flush(sg_trec *t, sg_writer *w, sg_error *err)
{
    const sg_status st = t->line.failed ? sg_fail_memory(err, "TREC export")
                                        : sg_writer_put(w, t->line.data, t->line.size, err);

    t->line.size = 0;
    return st;
}

sg_status sg_trec_list(void *ctx, int filter, const sg_case *c, const int32_t *item, const float *score,
                       int n, sg_error *err)
{
    sg_trec *t = ctx;

    if (!t->run || filter != t->filter)
        return SG_OK;
    for (int i = 0; i < n && item[i] >= 0; i++) {
        sg_trec_put_id(&t->line, sg_strings_at(&t->data->user_ids, (size_t)c->user));
        sg_buf_puts(&t->line, " Q0 ");
        sg_trec_put_id(&t->line, sg_strings_at(&t->data->item_ids, (size_t)item[i]));
        sg_buf_printf(&t->line, " %d %.9g %s\n", i + 1, (double)score[i], t->tag);
    }
    return t->line.size || t->line.failed ? flush(t, t->run, err) : SG_OK;
}

sg_status sg_trec_close(sg_trec *t, const sg_ranks *r, sg_error *err)
{
    sg_writer *w;
    sg_status st = SG_OK;

    for (size_t i = 0; t->qrels && !st && i < r->n; i++) {
        for (int64_t k = r->offsets[i]; k < r->offsets[i + 1]; k++) {
            sg_trec_put_id(&t->line, sg_strings_at(&t->data->user_ids, (size_t)r->cases[i]->user));
            sg_buf_puts(&t->line, " 0 ");
            sg_trec_put_id(&t->line, sg_strings_at(&t->data->item_ids, (size_t)r->item[k]));
            sg_buf_puts(&t->line, " 1\n");
        }
        st = flush(t, t->qrels, err);
    }
    if (!st && (w = t->run)) {
        t->run = NULL;
        st = sg_writer_commit(w, err);
    }
    if (!st && (w = t->qrels)) {
        t->qrels = NULL;
        st = sg_writer_commit(w, err);
    }
    sg_trec_abort(t);
    return st;
}

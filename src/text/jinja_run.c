/* jinja_run.c - the statements of a template, and what they write. */
#include "text/jinja_parts.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <string.h>

static void put_bytes(sg_jinja *j, sg_bytes s, const uint8_t *said)
{
    static const uint8_t nobody[256];
    sg_jinja_out *o = j->out;

    sg_buf_add(&o->text, s.data, s.size);
    for (size_t i = 0; said == NULL && i < s.size; i += sizeof nobody)
        sg_buf_add(&o->said, nobody, s.size - i < sizeof nobody ? s.size - i : sizeof nobody);
    if (said)
        sg_buf_add(&o->said, said, s.size);
    if (!j->st && (o->text.failed || o->said.failed))
        j->st = sg_fail_memory(j->err, "chat template");
    if (o->text.size > SG_JINJA_BYTES)
        (void)sg_jinja_fail(j, "writes more than %zu MiB", SG_JINJA_BYTES >> 20);
}

/* What a body writes, as a string. */
sg_jinja_value sg_jinja_capture(sg_jinja *j, size_t body, size_t end)
{
    const size_t from = j->out->text.size;
    sg_jinja_value out = sg_jinja_text("");
    uint8_t *said;
    char *s;

    sg_jinja_run(j, body, end);
    const size_t size = j->out->text.size - from;
    if (size && (s = sg_jinja_take(j, size, 1)) && (said = sg_jinja_take(j, size, 1))) {
        memcpy(s, j->out->text.data + from, size);
        memcpy(said, j->out->said.data + from, size);
        out.s = (sg_bytes){s, size};
        out.said = said;
    }
    if (!j->st) {
        j->out->text.size -= size;
        j->out->said.size -= size;
    }
    return out;
}

static void write_value(sg_jinja *j)
{
    sg_jinja_value v;

    j->at++;
    v = sg_jinja_str(j, sg_jinja_expression(j));
    sg_jinja_need(j, SG_J_CLOSE_VAR, "}}");
    if (!j->st)
        put_bytes(j, v.s, v.said);
}

static void need_end(sg_jinja *j)
{
    sg_jinja_need(j, SG_J_CLOSE_BLOCK, "%}");
}

static void run_if(sg_jinja *j, size_t block)
{
    const size_t close = j->token[block].close;

    for (size_t at = block; at != close && !j->st; at = j->token[at].next) {
        const bool otherwise = sg_jinja_is(j->token[at + 1].s, "else");

        j->at = at + 2;
        const bool yes = otherwise || sg_jinja_truth(sg_jinja_expression(j));
        need_end(j);
        if (yes && !j->st) {
            sg_jinja_run(j, j->at, j->token[at].next);
            break;
        }
    }
    j->at = close + 3;
}

/* One name, or several for the items of a list. */
static void assign_each(sg_jinja *j, const sg_bytes *name, size_t n, sg_jinja_value item)
{
    if (n > 1 && (item.kind != SG_J_LIST || item.list->n != n))
        (void)sg_jinja_fail(j, "expected lists of %zu items to go over", n);
    for (size_t i = 0; i < n && !j->st; i++)
        sg_jinja_assign(j, name[i], n > 1 ? item.list->item[i] : item);
}

/* The items for which what stands behind `if` is true; j->at at the end of the tag. */
static sg_jinja_value chosen(sg_jinja *j, sg_jinja_value items, const sg_bytes *name, size_t n)
{
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_LIST);
    const size_t at = j->at, frame = j->frame, top = j->n_variables;

    j->frame = top;
    for (size_t i = 0; i < items.list->n && !j->st; i++) {
        j->at = at;
        assign_each(j, name, n, items.list->item[i]);
        if (sg_jinja_truth(sg_jinja_expression(j)))
            sg_jinja_append(j, out, items.list->item[i]);
        j->n_variables = top;
    }
    j->frame = frame;
    j->at = at;
    j->dead++;
    (void)sg_jinja_expression(j);
    j->dead--;
    return out;
}

static void run_for(sg_jinja *j, size_t block)
{
    const size_t next = j->token[block].next, close = j->token[block].close, frame = j->frame,
                 top = j->n_variables;
    sg_bytes name[SG_JINJA_ARGS];
    sg_jinja_value items;
    size_t n = 0, body;

    do {
        if (n == SG_JINJA_ARGS) {
            (void)sg_jinja_fail(j, "expected at most %d names in a loop", SG_JINJA_ARGS);
            return;
        }
        name[n++] = sg_jinja_need_name(j);
    } while (sg_jinja_take_op(j, ","));
    if (!sg_jinja_take_word(j, "in"))
        (void)sg_jinja_fail(j, "expected in");
    items = j->st ? (sg_jinja_value){0} : sg_jinja_items(j, sg_jinja_plain(j));
    if (sg_jinja_take_word(j, "if") && !j->st)
        items = chosen(j, items, name, n);
    need_end(j);
    body = j->at;
    for (size_t i = 0; !j->st && i < items.list->n && sg_jinja_step(j); i++) {
        j->frame = j->n_variables = top;
        assign_each(j, name, n, items.list->item[i]);
        sg_jinja_assign(j, (sg_bytes){"loop", 4},
                        (sg_jinja_value){.kind = SG_J_LOOP, .n = (int64_t)i, .list = items.list});
        sg_jinja_run(j, body, next);
        const bool leaves = j->flow == SG_J_BREAK;
        j->flow = SG_J_ON;
        if (leaves)
            break;
    }
    j->n_variables = top;
    j->frame = frame;
    if (!j->st && next != close && items.list->n == 0)
        sg_jinja_run(j, next + 3, close);
    j->at = close + 3;
}

/* set x = 1; set space.x = 1; set x ... endset. */
static void run_set(sg_jinja *j, size_t block)
{
    const sg_bytes name = sg_jinja_need_name(j);
    const size_t close = j->token[block].close;
    sg_jinja_value value, *space;

    if (close) {
        need_end(j);
        if (!j->st)
            sg_jinja_assign(j, name, sg_jinja_capture(j, j->at, close));
        j->at = close + 3;
        return;
    }
    if (sg_jinja_take_op(j, ".")) {
        const sg_bytes key = sg_jinja_need_name(j);

        sg_jinja_need(j, SG_J_OP, "=");
        value = sg_jinja_expression(j);
        space = sg_jinja_find(j, name);
        if (!space || space->kind != SG_J_DICT || !space->list->space)
            (void)sg_jinja_fail(j, "expected a namespace whose member is set");
        else
            sg_jinja_put(j, *space, (sg_jinja_value){.kind = SG_J_STR, .s = key}, value);
    } else {
        sg_jinja_need(j, SG_J_OP, "=");
        value = sg_jinja_expression(j);
        sg_jinja_assign(j, name, value);
    }
    need_end(j);
}

static void run_block(sg_jinja *j)
{
    const size_t block = j->at++;
    const sg_bytes name = sg_jinja_need_name(j);

    if (sg_jinja_is(name, "if")) {
        run_if(j, block);
    } else if (sg_jinja_is(name, "for")) {
        run_for(j, block);
    } else if (sg_jinja_is(name, "set")) {
        run_set(j, block);
    } else if (sg_jinja_is(name, "macro")) {
        sg_jinja_assign(j, sg_jinja_need_name(j), (sg_jinja_value){.kind = SG_J_MACRO, .n = (int64_t)block});
        j->at = j->token[block].close + 3;
    } else if (sg_jinja_is(name, "generation") || sg_jinja_is(name, "endgeneration")) {
        need_end(j); /* what stands between is what the model said: marked for others */
    } else if (sg_jinja_is(name, "break") || sg_jinja_is(name, "continue")) {
        need_end(j);
        j->flow = *name.data == 'b' ? SG_J_BREAK : SG_J_CONTINUE;
    } else {
        (void)sg_jinja_fail(j, "the tag %.*s is not known", (int)(name.size < 60 ? name.size : 60),
                            name.data);
    }
}

void sg_jinja_run(sg_jinja *j, size_t from, size_t to)
{
    if (++j->depth > SG_JINJA_DEPTH)
        (void)sg_jinja_fail(j, "too deep");
    for (j->at = from; j->at < to && !j->st && j->flow == SG_J_ON && sg_jinja_step(j);) {
        const sg_jinja_token *t = &j->token[j->at];

        if (t->type == SG_J_TEXT) {
            put_bytes(j, t->s, NULL);
            j->at++;
        } else if (t->type == SG_J_OPEN_VAR) {
            write_value(j);
        } else {
            run_block(j);
        }
    }
    j->depth--;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------------- */
static sg_jinja_value turns_of(sg_jinja *j, const sg_jinja_vars *v)
{
    const sg_jinja_value list = sg_jinja_new_list(j, SG_J_LIST);

    for (size_t i = 0; i < v->n && !j->st; i++) {
        const sg_bytes text = v->turn[i].text;
        const sg_jinja_value turn = sg_jinja_new_list(j, SG_J_DICT);
        uint8_t *said = sg_jinja_take(j, text.size, 1);

        if (!said)
            break;
        memset(said, (int)(1 + i % 255), text.size);
        sg_jinja_put(j, turn, sg_jinja_text("role"), sg_jinja_text(v->turn[i].role));
        sg_jinja_put(
            j, turn, sg_jinja_text("content"),
            (sg_jinja_value){.kind = SG_J_STR, .s = {text.size ? text.data : "", text.size}, .said = said});
        sg_jinja_append(j, list, turn);
    }
    return list;
}

static void define(sg_jinja *j, const char *name, sg_jinja_value value)
{
    sg_jinja_assign(j, (sg_bytes){name, strlen(name)}, value);
}

sg_status sg_jinja_render(sg_jinja_out *out, sg_bytes source, const sg_jinja_vars *vars, sg_error *err)
{
    sg_jinja j = {.arena = sg_arena_new(1 << 16), .out = out, .err = err};
    const sg_jinja_value none = {.kind = SG_J_NONE};

    if (!j.arena)
        return sg_fail_memory(err, "chat template");
    if (!sg_utf8_valid(source.data, source.size))
        (void)sg_jinja_fail(&j, "expected text in UTF-8");
    sg_jinja_cut(&j, source);
    define(&j, "messages", turns_of(&j, vars));
    define(&j, "add_generation_prompt", sg_jinja_bool(vars->answer));
    define(&j, "tools", none);
    define(&j, "documents", none);
    if (vars->no_thinking)
        define(&j, "enable_thinking", sg_jinja_bool(false));
    if (vars->bos)
        define(&j, "bos_token", sg_jinja_text(vars->bos));
    if (vars->eos)
        define(&j, "eos_token", sg_jinja_text(vars->eos));
    if (!j.st)
        sg_jinja_run(&j, 0, j.n_tokens - 1);
    sg_free(j.token);
    sg_free(j.variable);
    sg_arena_free(j.arena);
    return j.st;
}

void sg_jinja_out_free(sg_jinja_out *out)
{
    sg_buf_free(&out->text);
    sg_buf_free(&out->said);
}

/* jinja.c - names and expressions, worked out as they are read; what is not taken (a branch, the right of `and`) is passed over. */
#include "text/jinja_parts.h"

#include "base/alloc.h"

#include <string.h>

/* ---- tokens ----------------------------------------------------------------------------------------------------------------- */
static const sg_jinja_token *here(const sg_jinja *j)
{
    return &j->token[j->at < j->n_tokens ? j->at : j->n_tokens - 1];
}

static bool is_op(const sg_jinja *j, const char *op)
{
    return here(j)->type == SG_J_OP && sg_jinja_is(here(j)->s, op);
}

static bool is_word(const sg_jinja *j, const char *word)
{
    return here(j)->type == SG_J_NAME && sg_jinja_is(here(j)->s, word);
}

bool sg_jinja_take_op(sg_jinja *j, const char *op)
{
    const bool yes = !j->st && is_op(j, op);

    j->at += yes;
    return yes;
}

bool sg_jinja_take_word(sg_jinja *j, const char *word)
{
    const bool yes = !j->st && is_word(j, word);

    j->at += yes;
    return yes;
}

void sg_jinja_need(sg_jinja *j, sg_jinja_type type, const char *what)
{
    const sg_jinja_token *t = here(j);

    if (!j->st && (t->type != type || (type == SG_J_OP && !sg_jinja_is(t->s, what))))
        (void)sg_jinja_fail(j, "expected %s, found '%.*s'", what, (int)(t->s.size < 60 ? t->s.size : 60),
                            t->s.data);
    j->at += !j->st;
}

sg_bytes sg_jinja_need_name(sg_jinja *j)
{
    const sg_bytes s = here(j)->s;

    sg_jinja_need(j, SG_J_NAME, "a name");
    return s;
}

bool sg_jinja_step(sg_jinja *j)
{
    if (++j->steps > SG_JINJA_STEPS)
        (void)sg_jinja_fail(j, "takes more than %d steps", SG_JINJA_STEPS);
    return !j->st;
}

/* ---- names ------------------------------------------------------------------------------------------------------------------ */
enum { RAISE, NAMESPACE, RANGE, GLOBALS };
static const char *const globals[GLOBALS] = {"raise_exception", "namespace", "range"};

sg_jinja_value *sg_jinja_find(sg_jinja *j, sg_bytes name)
{
    for (size_t i = j->n_variables; i > 0; i--) {
        if (i - 1 >= j->root && i - 1 < j->floor)
            i = j->root + 1;
        else if (sg_jinja_same(j->variable[i - 1].name, name))
            return &j->variable[i - 1].value;
    }
    return NULL;
}

static sg_jinja_value look_up(sg_jinja *j, sg_bytes name)
{
    const sg_jinja_value *found = sg_jinja_find(j, name);

    if (found)
        return *found;
    for (int i = 0; i < GLOBALS; i++)
        if (sg_jinja_is(name, globals[i]))
            return (sg_jinja_value){.kind = SG_J_GLOBAL, .n = i};
    return (sg_jinja_value){.s = name};
}

/* In the innermost scope. */
void sg_jinja_assign(sg_jinja *j, sg_bytes name, sg_jinja_value value)
{
    for (size_t i = j->frame; i < j->n_variables; i++)
        if (sg_jinja_same(j->variable[i].name, name)) {
            j->variable[i].value = value;
            return;
        }
    if (j->st || !sg_grow(&j->variable, &j->cap_variables, j->n_variables + 1, sizeof *j->variable)) {
        j->st = j->st ? j->st : sg_fail_memory(j->err, "chat template");
        return;
    }
    j->variable[j->n_variables++] = (sg_jinja_variable){name, value};
    j->root = j->frame == 0 ? j->n_variables : j->root;
}

/* ---- calls ------------------------------------------------------------------------------------------------------------------ */
/* Behind "(". */
static void read_args(sg_jinja *j, sg_jinja_args *a)
{
    while (!j->st && !sg_jinja_take_op(j, ")")) {
        const bool named = here(j)->type == SG_J_NAME && j->at + 1 < j->n_tokens &&
                           j->token[j->at + 1].type == SG_J_OP && sg_jinja_is(j->token[j->at + 1].s, "=");

        if (a->n + a->n_named == SG_JINJA_ARGS) {
            (void)sg_jinja_fail(j, "expected at most %d arguments", SG_JINJA_ARGS);
            return;
        }
        if (named) {
            a->name[a->n_named] = here(j)->s;
            j->at += 2;
            a->named[a->n_named++] = sg_jinja_expression(j);
        } else {
            a->item[a->n++] = sg_jinja_expression(j);
        }
        if (!is_op(j, ")"))
            sg_jinja_need(j, SG_J_OP, ",");
    }
}

static sg_jinja_value range_of(sg_jinja *j, const sg_jinja_args *a)
{
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_LIST);
    const int64_t from = a->n > 1 ? a->item[0].n : 0, to = a->item[a->n > 1].n;

    if (a->n < 1 || a->n > 2 || a->item[0].kind != SG_J_NUMBER || a->item[a->n - 1].kind != SG_J_NUMBER)
        return sg_jinja_fail(j, "range: expected one or two whole numbers");
    for (int64_t i = from; i < to && sg_jinja_step(j); i++)
        sg_jinja_append(j, out, sg_jinja_number(i));
    return out;
}

static void bind(sg_jinja *j, const sg_jinja_args *a)
{
    sg_jinja_need(j, SG_J_OP, "(");
    for (size_t i = 0; !j->st && !sg_jinja_take_op(j, ")"); i++) {
        const sg_bytes name = sg_jinja_need_name(j);
        sg_jinja_value value = {.s = name};

        if (sg_jinja_take_op(j, "="))
            value = sg_jinja_expression(j);
        value = i < a->n ? a->item[i] : value;
        for (size_t k = 0; k < a->n_named; k++)
            value = sg_jinja_same(a->name[k], name) ? a->named[k] : value;
        sg_jinja_assign(j, name, value);
        if (!is_op(j, ")"))
            sg_jinja_need(j, SG_J_OP, ",");
    }
    sg_jinja_need(j, SG_J_CLOSE_BLOCK, "%}");
}

/* A macro sees its arguments and what is set outside of all loops. */
static sg_jinja_value call_macro(sg_jinja *j, sg_jinja_value macro, const sg_jinja_args *a)
{
    const size_t back = j->at, frame = j->frame, floor = j->floor, n = j->n_variables,
                 block = (size_t)macro.n;
    sg_jinja_value out = {0};

    j->at = block + 3;
    j->frame = j->floor = n;
    bind(j, a);
    if (!j->st)
        out = sg_jinja_capture(j, j->at, j->token[block].close);
    j->n_variables = n;
    j->frame = frame;
    j->floor = floor;
    j->flow = SG_J_ON;
    j->at = back;
    return out;
}

static sg_jinja_value call(sg_jinja *j, sg_jinja_value what, const sg_jinja_args *a)
{
    sg_jinja_value out;

    if (what.kind == SG_J_MACRO)
        return call_macro(j, what, a);
    if (what.kind != SG_J_GLOBAL)
        return sg_jinja_fail(j, "'%.*s' cannot be called", (int)(what.s.size < 60 ? what.s.size : 60),
                             what.s.size ? what.s.data : "");
    if (what.n == RAISE)
        return sg_jinja_fail(j, "the template refuses: %.*s",
                             a->n ? (int)(a->item[0].s.size < 200 ? a->item[0].s.size : 200) : 0,
                             a->n && a->item[0].s.size ? a->item[0].s.data : "");
    if (what.n == RANGE)
        return range_of(j, a);
    out = sg_jinja_new_list(j, SG_J_DICT);
    if (out.list)
        out.list->space = true;
    for (size_t i = 0; i < a->n_named; i++)
        sg_jinja_put(j, out, (sg_jinja_value){.kind = SG_J_STR, .s = a->name[i]}, a->named[i]);
    return out;
}

/* ---- expressions ------------------------------------------------------------------------------------------------------------ */
static sg_jinja_value read_list(sg_jinja *j, const char *end)
{
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_LIST);

    while (!j->st && !sg_jinja_take_op(j, end)) {
        sg_jinja_append(j, out, sg_jinja_expression(j));
        if (!is_op(j, end))
            sg_jinja_need(j, SG_J_OP, ",");
    }
    return out;
}

static sg_jinja_value read_dict(sg_jinja *j)
{
    const sg_jinja_value out = sg_jinja_new_list(j, SG_J_DICT);

    while (!j->st && !sg_jinja_take_op(j, "}")) {
        const sg_jinja_value key = sg_jinja_expression(j);

        sg_jinja_need(j, SG_J_OP, ":");
        if (!j->dead && !j->st && key.kind != SG_J_STR)
            return sg_jinja_fail(j, "expected strings as keys of a dict");
        const sg_jinja_value item = sg_jinja_expression(j);
        if (!j->dead)
            sg_jinja_put(j, out, key, item);
        if (!is_op(j, "}"))
            sg_jinja_need(j, SG_J_OP, ",");
    }
    return out;
}

/* (a), or (a, b): a list. */
static sg_jinja_value read_group(sg_jinja *j)
{
    sg_jinja_value first, out;

    if (sg_jinja_take_op(j, ")"))
        return sg_jinja_new_list(j, SG_J_LIST);
    first = sg_jinja_expression(j);
    if (sg_jinja_take_op(j, ")"))
        return first;
    sg_jinja_need(j, SG_J_OP, ",");
    out = sg_jinja_new_list(j, SG_J_LIST);
    sg_jinja_append(j, out, first);
    while (!j->st && !sg_jinja_take_op(j, ")")) {
        sg_jinja_append(j, out, sg_jinja_expression(j));
        if (!is_op(j, ")"))
            sg_jinja_need(j, SG_J_OP, ",");
    }
    return out;
}

static sg_jinja_value primary(sg_jinja *j)
{
    const sg_jinja_token *t = here(j);
    sg_jinja_value out;

    if (!sg_jinja_step(j))
        return (sg_jinja_value){0};
    j->at++;
    switch (t->type) {
    case SG_J_INT:
        return sg_jinja_number(t->n);
    case SG_J_STRING:
        out = (sg_jinja_value){.kind = SG_J_STR, .s = t->s};
        for (; here(j)->type == SG_J_STRING; j->at++)
            out = sg_jinja_cat(j, out, (sg_jinja_value){.kind = SG_J_STR, .s = here(j)->s});
        return out;
    case SG_J_NAME:
        if (sg_jinja_is(t->s, "true") || sg_jinja_is(t->s, "True") || sg_jinja_is(t->s, "false") ||
            sg_jinja_is(t->s, "False"))
            return sg_jinja_bool(t->s.size == 4);
        if (sg_jinja_is(t->s, "none") || sg_jinja_is(t->s, "None"))
            return (sg_jinja_value){.kind = SG_J_NONE};
        return j->dead ? (sg_jinja_value){0} : look_up(j, t->s);
    case SG_J_OP:
        if (*t->s.data == '(' || *t->s.data == '[')
            return *t->s.data == '(' ? read_group(j) : read_list(j, "]");
        if (*t->s.data == '{')
            return read_dict(j);
        break;
    default:
        break;
    }
    j->at--;
    return sg_jinja_fail(j, "expected a value, found '%.*s'", (int)(t->s.size < 60 ? t->s.size : 60),
                         t->s.data);
}

/* Behind "[": an index, or a slice. */
static sg_jinja_value subscript(sg_jinja *j, sg_jinja_value v)
{
    sg_jinja_value part[3] = {{0}};
    int64_t at[3] = {0};
    bool there[3] = {false};
    int n = 0;

    for (; n < 3 && !j->st; n++) {
        if (!is_op(j, ":") && !is_op(j, "]")) {
            part[n] = sg_jinja_expression(j);
            there[n] = part[n].kind != SG_J_NONE;
        }
        if (!sg_jinja_take_op(j, ":"))
            break;
    }
    sg_jinja_need(j, SG_J_OP, "]");
    if (j->st || j->dead)
        return (sg_jinja_value){0};
    if (n == 0)
        return sg_jinja_index(j, v, part[0]);
    for (int i = 0; i < 3; i++) {
        if (there[i] && part[i].kind != SG_J_NUMBER)
            return sg_jinja_fail(j, "expected whole numbers in a slice");
        at[i] = part[i].n;
    }
    return sg_jinja_slice(j, v, there[0] ? &at[0] : NULL, there[1] ? &at[1] : NULL, there[2] ? at[2] : 1);
}

/* Behind "is". An argument stands in parentheses, or is one value. */
static sg_jinja_value test(sg_jinja *j, sg_jinja_value v)
{
    const bool not = sg_jinja_take_word(j, "not");
    const sg_bytes name = sg_jinja_need_name(j);
    sg_jinja_args a = {0};
    sg_jinja_value out;

    if (sg_jinja_take_op(j, "("))
        read_args(j, &a);
    else if (here(j)->type == SG_J_STRING || here(j)->type == SG_J_INT || is_op(j, "["))
        a.item[a.n++] = primary(j);
    if (j->st || j->dead)
        return (sg_jinja_value){0};
    out = sg_jinja_test(j, name, v, &a);
    return not ? sg_jinja_bool(!out.n) : out;
}

static sg_jinja_value member(sg_jinja *j, sg_jinja_value v)
{
    const sg_bytes name = sg_jinja_need_name(j);
    sg_jinja_args a = {0};

    if (!sg_jinja_take_op(j, "("))
        return j->dead || j->st ? (sg_jinja_value){0}
                                : sg_jinja_index(j, v, (sg_jinja_value){.kind = SG_J_STR, .s = name});
    read_args(j, &a);
    return j->dead || j->st ? (sg_jinja_value){0} : sg_jinja_method(j, name, v, &a);
}

/* A value with what is asked of it. */
static sg_jinja_value postfix(sg_jinja *j)
{
    sg_jinja_value v = primary(j);

    while (!j->st) {
        sg_jinja_args a = {0};

        if (sg_jinja_take_op(j, ".")) {
            v = member(j, v);
        } else if (sg_jinja_take_op(j, "[")) {
            v = subscript(j, v);
        } else if (sg_jinja_take_op(j, "(")) {
            read_args(j, &a);
            v = j->dead || j->st ? (sg_jinja_value){0} : call(j, v, &a);
        } else if (sg_jinja_take_op(j, "|")) {
            const sg_bytes name = sg_jinja_need_name(j);

            if (sg_jinja_take_op(j, "("))
                read_args(j, &a);
            v = j->dead || j->st ? (sg_jinja_value){0} : sg_jinja_filter(j, name, v, &a);
        } else if (sg_jinja_take_word(j, "is")) {
            v = test(j, v);
        } else {
            break;
        }
    }
    return v;
}

static sg_jinja_value unary(sg_jinja *j)
{
    sg_jinja_value v;

    if (!sg_jinja_take_op(j, "-"))
        return postfix(j);
    v = postfix(j);
    if (!j->dead && !j->st && v.kind != SG_J_NUMBER)
        return sg_jinja_fail(j, "expected a number behind -");
    return sg_jinja_number(-v.n);
}

static sg_jinja_value arithmetic(sg_jinja *j, sg_bytes op, sg_jinja_value a, sg_jinja_value b)
{
    sg_jinja_value out;

    if (j->dead || j->st)
        return (sg_jinja_value){0};
    if (sg_jinja_is(op, "~"))
        return sg_jinja_cat(j, sg_jinja_str(j, a), sg_jinja_str(j, b));
    if (sg_jinja_is(op, "+") && a.kind == SG_J_STR && b.kind == SG_J_STR)
        return sg_jinja_cat(j, a, b);
    if (sg_jinja_is(op, "+") && a.kind == SG_J_LIST && b.kind == SG_J_LIST) {
        out = sg_jinja_new_list(j, SG_J_LIST);
        for (size_t i = 0; i < a.list->n + b.list->n && !j->st; i++)
            sg_jinja_append(j, out, i < a.list->n ? a.list->item[i] : b.list->item[i - a.list->n]);
        return out;
    }
    if (a.kind == SG_J_UNDEFINED || b.kind == SG_J_UNDEFINED)
        return sg_jinja_index(j, a.kind == SG_J_UNDEFINED ? a : b, sg_jinja_text(""));
    const int64_t most = (int64_t)1 << 31;
    if (a.kind != SG_J_NUMBER || b.kind != SG_J_NUMBER || a.n > most || a.n < -most || b.n > most ||
        b.n < -most)
        return sg_jinja_fail(j, "expected two strings or two numbers around %.*s", (int)op.size, op.data);
    if (sg_jinja_is(op, "+") || sg_jinja_is(op, "-"))
        return sg_jinja_number(*op.data == '+' ? a.n + b.n : a.n - b.n);
    if (sg_jinja_is(op, "*"))
        return sg_jinja_number(a.n * b.n);
    if ((!sg_jinja_is(op, "%") && !sg_jinja_is(op, "//")) || b.n == 0)
        return sg_jinja_fail(j, "expected +, -, *, // or %% of whole numbers, not by 0, found %.*s",
                             (int)op.size, op.data);
    const int64_t rest = (a.n % b.n + b.n) % b.n; /* as Python has it: of the divisor's sign */
    return sg_jinja_number(*op.data == '%' ? rest : (a.n - rest) / b.n);
}

/* Operators of the same rank, from the left; rank 0 binds least. */
static sg_jinja_value sums(sg_jinja *j, int rank)
{
    static const char *const ops[3][5] = {{"+", "-", NULL}, {"~", NULL}, {"*", "/", "//", "%", NULL}};
    sg_jinja_value v;

    if (rank == 3)
        return unary(j);
    v = sums(j, rank + 1);
    for (;;) {
        const sg_bytes op = here(j)->s;
        bool found = false;

        for (int i = 0; ops[rank][i]; i++)
            found = found || is_op(j, ops[rank][i]);
        if (!found || j->st)
            return v;
        j->at++;
        v = arithmetic(j, op, v, sums(j, rank + 1));
    }
}

static bool compared(sg_jinja *j, sg_bytes op, sg_jinja_value a, sg_jinja_value b)
{
    if (sg_jinja_is(op, "==") || sg_jinja_is(op, "!="))
        return sg_jinja_equal(a, b) == (*op.data == '=');
    if (a.kind != SG_J_NUMBER || b.kind != SG_J_NUMBER)
        (void)sg_jinja_fail(j, "expected two numbers around %.*s", (int)op.size, op.data);
    return sg_jinja_is(op, "<")    ? a.n < b.n
           : sg_jinja_is(op, "<=") ? a.n <= b.n
           : sg_jinja_is(op, ">")  ? a.n > b.n
                                   : a.n >= b.n;
}

static sg_jinja_value comparison(sg_jinja *j)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    sg_jinja_value a = sums(j, 0), b;
    bool any = false, all = true;

    while (!j->st) {
        const sg_bytes op = here(j)->s;
        const size_t begin = j->at;
        const bool not = sg_jinja_take_word(j, "not");
        bool found = false, yes;

        if (sg_jinja_take_word(j, "in")) {
            b = sums(j, 0);
            yes = !j->dead && !j->st && sg_jinja_in(j, a, b) != not ;
        } else {
            j->at = begin;
            for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
                found = found || is_op(j, ops[i]);
            if (!found)
                break;
            j->at++;
            b = sums(j, 0);
            yes = !j->dead && !j->st && compared(j, op, a, b);
        }
        any = true;
        all = all && yes;
        a = b;
    }
    return any ? sg_jinja_bool(all) : a;
}

static sg_jinja_value negation(sg_jinja *j)
{
    bool not = false, any = false;

    while (sg_jinja_take_word(j, "not")) {
        not = !not ;
        any = true;
    }
    const sg_jinja_value v = comparison(j);
    return any ? sg_jinja_bool(sg_jinja_truth(v) != not ) : v;
}

/* `and` of rank 1 in `or` of rank 0: the value that decides. */
static sg_jinja_value either(sg_jinja *j, int rank)
{
    sg_jinja_value v = rank ? negation(j) : either(j, 1), next;

    while (sg_jinja_take_word(j, rank ? "and" : "or")) {
        const bool decided = sg_jinja_truth(v) != (rank == 1);

        j->dead += decided;
        next = rank ? negation(j) : either(j, 1);
        j->dead -= decided;
        v = decided ? v : next;
    }
    return v;
}

sg_jinja_value sg_jinja_plain(sg_jinja *j)
{
    return either(j, 0);
}

/* a if condition else b: a comes first, and is worked out last. */
sg_jinja_value sg_jinja_expression(sg_jinja *j)
{
    const size_t begin = j->at;
    sg_jinja_value v = {0}, condition;
    size_t end;

    if (j->st)
        return v;
    if (++j->depth > SG_JINJA_DEPTH)
        return sg_jinja_fail(j, "too deep");
    j->dead++;
    (void)either(j, 0);
    j->dead--;
    if (sg_jinja_take_word(j, "if")) {
        condition = either(j, 0);
        const bool yes = sg_jinja_truth(condition);

        j->dead += yes;
        v = sg_jinja_take_word(j, "else") ? sg_jinja_expression(j)
                                          : (sg_jinja_value){.s = {"the condition", 13}};
        j->dead -= yes;
        end = j->at;
        if (yes && !j->dead && !j->st) {
            j->at = begin;
            v = either(j, 0);
        }
        j->at = j->st ? j->at : end;
    } else if (!j->dead && !j->st) {
        j->at = begin;
        v = either(j, 0);
    }
    j->depth--;
    return v;
}

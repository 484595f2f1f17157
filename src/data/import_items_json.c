/* import_items_json.c - items as JSON lines, {id: {...}}, {id: [...]}, or [{...}, ...]; and the Python
 * literals of Amazon's 2014 metadata. Values become text: arrays of categories "A > B", several of them
 * joined by " | ", other arrays by spaces. */
#include "data/item_text.h"

#include "base/alloc.h"
#include "data/json_scan.h"
#include "data/scan.h"

#include <string.h>

enum { NESTING_MAX = 4 };

typedef struct reader {
    sg_item_text *x;
    bool loose, known; /* known: the id key has been found */
    char *id_key;      /* owned; NULL: the id stands outside the object */
    bool amazon;       /* metadata of Amazon: only what describes the item is kept */
    sg_buf id, text, name, scratch;
} reader;

static void free_reader(reader *r)
{
    sg_free(r->id_key);
    sg_buf_free(&r->id);
    sg_buf_free(&r->text);
    sg_buf_free(&r->name);
    sg_buf_free(&r->scratch);
}

static bool is_category(sg_bytes key)
{
    return sg_bytes_equal(key, sg_bytes_of("categories")) || sg_bytes_equal(key, sg_bytes_of("category"));
}

static void add_value(reader *r, sg_bytes key, const sg_json_value *v, int depth);

static void add_array(reader *r, sg_bytes key, sg_bytes text, int depth)
{
    const char *joint = is_category(key) ? " > " : " ";
    sg_json_value value;
    sg_json_scan s;
    bool first = true;

    sg_json_begin(&s, text, r->loose);
    for (sg_json_enter(&s, '['); sg_json_element(&s, &value); first = false) {
        if (value.kind == SG_JSON_ARRAY && is_category(key))
            joint = " | ";
        if (!first)
            sg_buf_puts(&r->text, joint);
        add_value(r, key, &value, depth + 1);
    }
}

static void add_object(reader *r, sg_bytes text, int depth)
{
    sg_json_value key, value;
    sg_bytes plain;
    sg_json_scan s;
    bool first = true;

    sg_json_begin(&s, text, r->loose);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value); first = false) {
        if (!first)
            sg_buf_puts(&r->text, "; ");
        if (!sg_json_string(&plain, &key, &r->scratch))
            r->text.failed = true;
        else
            sg_buf_add(&r->text, plain.data, plain.size);
        sg_buf_puts(&r->text, ": ");
        add_value(r, key.text, &value, depth + 1);
    }
}

/* Appends a value to r->text as a reader would write it. */
static void add_value(reader *r, sg_bytes key, const sg_json_value *v, int depth)
{
    sg_bytes plain;

    if (v->kind == SG_JSON_STRING) {
        if (!sg_json_string(&plain, v, &r->scratch))
            r->text.failed = true;
        else
            sg_buf_add(&r->text, plain.data, plain.size);
    } else if (depth < NESTING_MAX && v->kind == SG_JSON_ARRAY) {
        add_array(r, key, v->text, depth);
    } else if (depth < NESTING_MAX && v->kind == SG_JSON_OBJECT) {
        add_object(r, v->text, depth);
    } else if (v->kind != SG_JSON_NULL) {
        sg_buf_add(&r->text, v->text.data, v->text.size);
    }
}

/* Amazon's metadata hold images, links and lists of other products beside what the item is. */
static bool describes(sg_bytes key)
{
    static const char *const kept[] = {"title",    "brand",         "store", "category", "categories",
                                       "main_cat", "main_category", "price", "feature",  "features",
                                       "author",   "description",   NULL};

    for (int i = 0; kept[i]; i++)
        if (sg_bytes_equal(key, sg_bytes_of(kept[i])))
            return true;
    return false;
}

/* The members of one object as cells; *id from the id key. */
static sg_status take_members(reader *r, uint64_t line, sg_bytes object, sg_bytes *id, sg_error *err)
{
    sg_json_value key, value;
    sg_json_scan s;
    sg_bytes name;
    int column;
    sg_status st;

    sg_json_begin(&s, object, r->loose);
    for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value);) {
        if (!sg_json_string(&name, &key, &r->name))
            return sg_fail_memory(err, "item text");
        if (r->id_key && sg_bytes_equal(name, sg_bytes_of(r->id_key))) {
            if (id->data)
                return sg_input_fail(r->x->k->in, line, err, "key '%s' stands twice", r->id_key);
            if (value.kind != SG_JSON_STRING && value.kind != SG_JSON_NUMBER)
                return sg_input_fail(r->x->k->in, line, err, "'%s': expected text or a number", r->id_key);
            *id = value.text;
            if (value.kind == SG_JSON_STRING && !sg_json_string(id, &value, &r->id))
                return sg_fail_memory(err, "item text");
            continue;
        }
        if (r->amazon && !r->x->k->spec->item_columns && !describes(name))
            continue;
        if ((st = sg_item_text_column(r->x, name, &column, err)))
            return st;
        if (column < 0)
            continue;
        if (r->x->cell[column].size)
            return sg_input_fail(r->x->k->in, line, err, "key '%s' stands twice", r->x->name[column]);
        r->text.size = 0;
        add_value(r, name, &value, 0);
        if (r->text.failed)
            return sg_fail_memory(err, "item text");
        sg_item_text_set(r->x, column, (sg_bytes){r->text.data, r->text.size});
    }
    return SG_OK;
}

/* Which key of the first object is the id. */
static sg_status find_id_key(reader *r, uint64_t line, sg_bytes object, sg_error *err)
{
    static const char *const plain[] = {"id", NULL};
    const char *wanted = r->x->k->spec->column_item_id, *where = r->x->k->in->path;
    sg_bytes *name = sg_alloc_array(SG_TEXT_COLUMNS_MAX, sizeof *name);
    sg_json_value key, value;
    sg_json_scan s;
    size_t n = 0;
    int index = -1;
    sg_status st = SG_OK;

    if (!name)
        return sg_fail_memory(err, "item text");
    sg_json_begin(&s, object, r->loose);
    for (sg_json_enter(&s, '{'); n < SG_TEXT_COLUMNS_MAX && sg_json_member(&s, &key, &value);)
        name[n++] = key.text;
    if (wanted)
        st = sg_column_named(&index, wanted, name, n, where, err);
    else if ((index = sg_column_usual(sg_usual_item, name, n)) < 0 &&
             (index = sg_column_usual(plain, name, n)) < 0)
        st = sg_input_fail(r->x->k->in, line, err, "cannot tell which key is the item's id: name it");
    if (!st && !(r->id_key = sg_strndup(name[index].data, name[index].size)))
        st = sg_fail_memory(err, "item text");
    if (!st) {
        r->known = true;
        r->amazon = strcmp(r->id_key, "asin") == 0 || strcmp(r->id_key, "parent_asin") == 0;
    }
    sg_free(name);
    return st;
}

/* Cells of a row that is given up must not stay for the next one. */
static void forget_row(sg_item_text *x)
{
    for (size_t i = 0; i < x->n_columns; i++)
        x->cell[i].size = 0;
}

static sg_status take_object(reader *r, uint64_t line, sg_bytes object, sg_error *err)
{
    sg_bytes id = {NULL, 0};
    sg_status st;

    forget_row(r->x);
    if (!r->known && (st = find_id_key(r, line, object, err)))
        return st;
    if ((st = take_members(r, line, object, &id, err)))
        return st;
    return sg_item_text_row(r->x, line, id, err);
}

sg_status sg_items_json_lines(sg_item_text *x, bool loose, sg_error *err)
{
    reader r = {.x = x, .loose = loose};
    sg_json_value value;
    sg_json_scan s;
    sg_bytes line;
    sg_status st;
    bool got;

    for (;;) {
        st = sg_input_line(x->k->in, &line, &got, err);
        if (!st && !got)
            break;
        if (!st && sg_trim(line).size == 0)
            continue;
        if (!st) {
            sg_json_begin(&s, line, loose);
            if (!sg_json_take(&s, &value) || !sg_json_end(&s))
                st = sg_json_fail(&s, x->k->in, line, x->k->in->line, err);
            else if (value.kind != SG_JSON_OBJECT)
                st = sg_input_fail(x->k->in, x->k->in->line, err, "expected an object");
            else
                st = take_object(&r, x->k->in->line, value.text, err);
        }
        if (st && (st = sg_intake_bad(x->k, st, err)))
            break;
    }
    free_reader(&r);
    return st;
}

/* {id: value}: an object's members are the columns; an array is "attributes", anything else "text". */
static sg_status take_keyed(reader *r, uint64_t line, const sg_json_value *key, const sg_json_value *value,
                            sg_error *err)
{
    sg_bytes id;
    int column;
    sg_status st;

    forget_row(r->x);
    if (!sg_json_string(&id, key, &r->id))
        return sg_fail_memory(err, "item text");
    if (value->kind == SG_JSON_OBJECT) {
        if ((st = take_members(r, line, value->text, &id, err)))
            return st;
    } else {
        const sg_bytes name = sg_bytes_of(value->kind == SG_JSON_ARRAY ? "attributes" : "text");

        if ((st = sg_item_text_column(r->x, name, &column, err)))
            return st;
        r->text.size = 0;
        add_value(r, name, value, 0);
        if (r->text.failed)
            return sg_fail_memory(err, "item text");
        sg_item_text_set(r->x, column, (sg_bytes){r->text.data, r->text.size});
    }
    return sg_item_text_row(r->x, line, id, err);
}

sg_status sg_items_json(sg_item_text *x, sg_error *err)
{
    reader r = {.x = x};
    sg_json_value key, value;
    sg_json_file f;
    sg_status st;
    bool got;

    if ((st = sg_json_file_begin(&f, x->k->in, err)))
        return st;
    for (;;) {
        st = sg_json_file_next(&f, &key, &value, &got, err);
        if (!st && !got)
            break;
        if (!st && f.kind == SG_JSON_OBJECT)
            st = take_keyed(&r, f.line, &key, &value, err);
        else if (!st && value.kind != SG_JSON_OBJECT)
            st = sg_input_fail(x->k->in, f.line, err, "expected an object in the array");
        else if (!st)
            st = take_object(&r, f.line, value.text, err);
        if (st && (st = sg_intake_bad(x->k, st, err)))
            break;
    }
    free_reader(&r);
    return st;
}

/* receipt.c - options to JSON and back, and a receipt as lines to read. */
#include "file/receipt.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sg_status sg_receipt_put(json_t *object, const char *key, json_t *value, sg_error *err)
{
    return json_object_set_new(object, key, value) ? sg_fail_memory(err, key) : SG_OK;
}

json_t *sg_receipt_number(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

sg_status sg_receipt_object(json_t **out, json_t *object, const char *key, sg_error *err)
{
    *out = json_object();
    return sg_receipt_put(object, key, *out, err);
}

sg_status sg_receipt_text(json_t *object, const char *key, const char *value, sg_error *err)
{
    return sg_receipt_put(object, key, value ? json_string(value) : json_null(), err);
}

static json_t *option_value(const void *config, const sg_option *o)
{
    sg_buf text = {0};
    json_t *v = NULL;

    sg_options_print(&text, config, o);
    if (!text.failed && text.data) {
        if (o->type == SG_OPTION_int)
            v = json_integer((json_int_t)strtoll(text.data, NULL, 10));
        else if (o->type == SG_OPTION_float)
            v = json_real(strtod(text.data, NULL));
        else if (o->type == SG_OPTION_bool)
            v = json_boolean(strcmp(text.data, "true") == 0);
        else
            v = json_string(text.data);
    } else if (!text.failed) {
        v = json_string("");
    }
    sg_buf_free(&text);
    return v;
}

json_t *sg_receipt_options(const void *config, const sg_option *table, size_t n)
{
    json_t *o = json_object();

    for (size_t i = 0; o && i < n; i++)
        if (json_object_set_new(o, table[i].name, option_value(config, &table[i]))) {
            json_decref(o);
            return NULL;
        }
    return o;
}

sg_status sg_receipt_read_options(void *config, const sg_option *table, size_t n, const json_t *options,
                                  const char *where, sg_error *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(options))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an object of options", where);
    json_object_foreach((json_t *)(uintptr_t)options, key, value)
    {
        char number[40] = "";
        const char *text = number;
        sg_status st;

        if (json_is_integer(value))
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            snprintf(number, sizeof number, "%.17g", json_real_value(value));
        else if (json_is_boolean(value))
            text = json_is_true(value) ? "true" : "false";
        else if (json_is_string(value))
            text = json_string_value(value);
        else
            return sg_fail(err, SG_ERR_FORMAT, "%s: option '%s': expected a number, a string or a boolean",
                           where, key);
        if ((st = sg_options_set(config, table, n, key, text, err))) {
            sg_error_prefix(err, where);
            return st;
        }
    }
    return SG_OK;
}

static void print_value(sg_buf *out, const json_t *v)
{
    if (json_is_string(v))
        sg_buf_puts(out, json_string_value(v));
    else if (json_is_integer(v))
        sg_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        sg_buf_printf(out, "%.6g", json_real_value(v));
    else
        sg_buf_puts(out, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "-");
}

static void print_tree(sg_buf *out, const json_t *v, const char *path)
{
    const char *key;
    json_t *child;
    size_t i;

    if (json_is_object(v)) {
        json_object_foreach((json_t *)(uintptr_t)v, key, child)
        {
            sg_buf name = {0};

            sg_buf_printf(&name, *path ? "%s.%s" : "%s%s", path, key);
            if (name.failed)
                out->failed = true;
            else
                print_tree(out, child, name.data);
            sg_buf_free(&name);
        }
        return;
    }
    sg_buf_printf(out, "%s: ", path);
    if (json_is_array(v))
        json_array_foreach(v, i, child)
        {
            if (i)
                sg_buf_putc(out, ' ');
            print_value(out, child);
        }
    else
        print_value(out, v);
    sg_buf_putc(out, '\n');
}

void sg_receipt_print(sg_buf *out, const json_t *receipt)
{
    print_tree(out, receipt, "");
}

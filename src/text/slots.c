/* slots.c - cells of items, and histories of users. */
#include "text/slots.h"

#include "base/alloc.h"
#include "text/columns.h"

#include <stdio.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_slots_config
const sg_option sg_slots_options[] = {SG_SLOTS_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_slots_options = sizeof sg_slots_options / sizeof *sg_slots_options;

enum { ID = 0, TEXT = 1, FIRST_COLUMN = 2, HISTORY = 1, EVENTS = 2, N_USER_NAMES = 3 };

struct sg_slots {
    const sg_dataset *d; /* borrowed */
    sg_slots_config config;
    bool users;
    const char **name; /* owned array, borrowed texts */
    size_t n_names;
    sg_text_plan plan;           /* of slot text, and of histories without a column */
    const sg_text_column *title; /* names items in histories; NULL: the plan does */
    size_t subject;              /* that the scratch below is of */
    sg_buf text;                 /* owned: of an item, or of the items of a history */
    sg_bytes *one;               /* owned: (n_names): values of one part */
    char count[24];
    sg_bytes *part; /* owned: a history */
    size_t n_part, cap_part;
    size_t *end; /* owned: of each part in `text` */
    size_t cap_end;
};

static sg_status choose_title(sg_slots *s, sg_error *err)
{
    const char *asked = s->config.history_column;

    if (!*asked) {
        s->title = sg_dataset_column(s->d, "title");
        return SG_OK;
    }
    if ((s->title = sg_dataset_column(s->d, asked)))
        return SG_OK;
    return sg_fail(err, SG_ERR_USAGE, "history_column: expected a text column of the dataset, found '%s'",
                   asked);
}

static sg_status list_names(sg_slots *s, sg_error *err)
{
    s->n_names = s->users ? N_USER_NAMES : FIRST_COLUMN + (size_t)s->d->n_columns;
    s->name = sg_alloc_array(s->n_names, sizeof *s->name);
    s->one = sg_alloc_zero(s->n_names, sizeof *s->one);
    if (!s->name || !s->one)
        return sg_fail_memory(err, "slots");
    s->name[ID] = "id";
    if (s->users) {
        s->name[HISTORY] = "history";
        s->name[EVENTS] = "events";
        return SG_OK;
    }
    s->name[TEXT] = "text";
    for (int i = 0; i < s->d->n_columns; i++)
        s->name[FIRST_COLUMN + i] = s->d->columns[i].name;
    return SG_OK;
}

sg_status sg_slots_open(sg_slots **out, const sg_dataset *d, const sg_slots_config *c, sg_error *err)
{
    sg_slots *s = sg_alloc_zero(1, sizeof *s);
    sg_status st;

    *out = NULL;
    if (!s)
        return sg_fail_memory(err, "slots");
    s->d = d;
    s->config = *c;
    s->users = strcmp(c->of, "user") == 0;
    s->subject = SIZE_MAX;
    if ((st = sg_text_plan_new(&s->plan, d, c->columns, err)) || (st = choose_title(s, err)) ||
        (st = list_names(s, err))) {
        sg_slots_close(s);
        return st;
    }
    *out = s;
    return SG_OK;
}

void sg_slots_close(sg_slots *s)
{
    if (!s)
        return;
    sg_text_plan_free(&s->plan);
    sg_buf_free(&s->text);
    sg_free(s->name);
    sg_free(s->one);
    sg_free(s->part);
    sg_free(s->end);
    sg_free(s);
}

const char *const *sg_slots_names(const sg_slots *s, size_t *n)
{
    *n = s->n_names;
    return s->name;
}

const char *sg_slots_kind(const sg_slots *s)
{
    return s->users ? "user" : "item";
}

size_t sg_slots_subjects(const sg_slots *s)
{
    return (size_t)(s->users ? s->d->n_users : s->d->n_items);
}

sg_bytes sg_slots_id(const sg_slots *s, size_t subject)
{
    return sg_strings_at(s->users ? &s->d->user_ids : &s->d->item_ids, subject);
}

int64_t sg_slots_told(const sg_slots *s, size_t subject)
{
    int64_t n;

    if (!s->users)
        return 0;
    n = s->d->user_offsets[subject + 1] - s->d->user_offsets[subject] - s->config.held;
    if (s->config.first && n > s->config.first)
        n = s->config.first;
    return n > 0 ? n : 0;
}

/* Names of the last `latest` events that are told. */
static sg_status tell_history(sg_slots *s, size_t user, sg_error *err)
{
    const int64_t told = sg_slots_told(s, user), latest = s->config.latest;
    const int64_t begin = s->d->user_offsets[user] + (told > latest ? told - latest : 0),
                  end = s->d->user_offsets[user] + told;

    s->n_part = (size_t)(end - begin);
    s->text.size = 0;
    if (!sg_grow(&s->part, &s->cap_part, s->n_part + 1, sizeof *s->part) ||
        !sg_grow(&s->end, &s->cap_end, s->n_part + 1, sizeof *s->end))
        return sg_fail_memory(err, "history");
    for (size_t k = 0; k < s->n_part; k++) {
        const size_t item = (size_t)s->d->item[begin + (int64_t)k];

        if (s->title)
            s->part[k] = sg_strings_at(&s->title->text, item);
        else
            sg_text_plan_join(&s->text, &s->plan, item);
        s->end[k] = s->text.size;
    }
    if (s->text.failed)
        return sg_fail_memory(err, "history");
    for (size_t k = 0; k < s->n_part && !s->title; k++) {
        const size_t from = k ? s->end[k - 1] : 0;

        s->part[k] = (sg_bytes){s->text.data ? s->text.data + from : "", s->end[k] - from};
    }
    return SG_OK;
}

static sg_status fill_scratch(sg_slots *s, size_t subject, sg_error *err)
{
    sg_status st = SG_OK;

    if (s->subject == subject)
        return SG_OK;
    s->subject = SIZE_MAX;
    if (s->users) {
        st = tell_history(s, subject, err);
    } else {
        s->text.size = 0;
        sg_text_plan_join(&s->text, &s->plan, subject);
        if (s->text.failed)
            st = sg_fail_memory(err, "item text");
    }
    if (!st)
        s->subject = subject;
    return st;
}

sg_status sg_slots_value(sg_slot_value *out, sg_slots *s, size_t subject, size_t which, sg_error *err)
{
    const sg_status st = fill_scratch(s, subject, err);

    if (st)
        return st;
    *out = (sg_slot_value){&s->one[which], 1};
    if (s->users && which == HISTORY) {
        *out = (sg_slot_value){s->part, s->n_part};
    } else if (s->users && which == EVENTS) {
        snprintf(s->count, sizeof s->count, "%lld", (long long)sg_slots_told(s, subject));
        s->one[which] = (sg_bytes){s->count, strlen(s->count)};
    } else if (which == ID) {
        s->one[which] = sg_slots_id(s, subject);
    } else if (which == TEXT) {
        s->one[which] = (sg_bytes){s->text.data ? s->text.data : "", s->text.size};
    } else {
        s->one[which] = sg_strings_at(&s->d->columns[which - FIRST_COLUMN].text, subject);
    }
    return SG_OK;
}

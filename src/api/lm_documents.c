/* lm_documents.c - opening a collection. */
#include "api/lm_documents.h"

#include "base/alloc.h"

#include <string.h>

static sg_status column(sg_strings *out, api_documents *d, const char *name, sg_error *err)
{
    const sg_text_column *c = sg_dataset_column(d->set, name);

    if (c) {
        *out = c->text;
        return SG_OK;
    }
    if (!d->none && !(d->none = sg_alloc_zero((size_t)d->set->n_items + 1, sizeof *d->none)))
        return sg_fail_memory(err, "documents");
    *out = (sg_strings){.n = (size_t)d->set->n_items, .bytes = "", .offsets = d->none};
    return SG_OK;
}

sg_status api_documents_open(api_documents *d, const char *dir, sg_error *err)
{
    sg_status st;

    if ((st = sg_dataset_open(&d->set, dir, err)) || (st = sg_collection_open(&d->collection, d->set, err)))
        return st;
    if (!d->collection)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected queries and judgements, as 'sedge import beir' makes them, found none",
                       dir);
    if ((st = column(&d->title, d, "title", err)))
        return st;
    return column(&d->text, d, "text", err);
}

void api_documents_close(api_documents *d)
{
    sg_collection_close(d->collection);
    sg_dataset_close(d->set);
    sg_free(d->none);
}

sg_status api_documents_split(sg_collection_split *out, const api_documents *d, const char *name,
                              sg_error *err)
{
    for (int i = 0; i < SG_COLLECTION_SPLITS; i++)
        if (strcmp(sg_collection_split_names[i], name) == 0) {
            *out = (sg_collection_split)i;
            return sg_collection_asked(d->collection, *out)
                       ? SG_OK
                       : sg_fail(err, SG_ERR_USAGE, "%s: expected judgements in split %s, found none",
                                 d->set->dir, name);
        }
    return sg_fail(err, SG_ERR_USAGE, "split: expected train, dev or test, found '%s'", name);
}

static void put_words(sg_buf *out, sg_bytes text, int words)
{
    size_t end = 0;

    for (; end < text.size && words > 0; end++)
        words -= text.data[end] == ' ';
    sg_retrieve_completion(out, (sg_bytes){text.data, end});
}

void api_document_prompt(sg_buf *out, sg_bytes title, sg_bytes text, int words)
{
    sg_buf_puts(out, "Document:");
    sg_retrieve_completion(out, title);
    sg_buf_putc(out, '\n');
    put_words(out, text, words);
    sg_buf_puts(out, "\nQuery:");
}

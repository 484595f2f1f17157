/* folders.c - a dataset with its split, vectors and IDs; the protocol of a model. */
#include "api/api.h"

static sg_status optional(sg_status st)
{
    return st == SG_ERR_MISSING ? SG_OK : st;
}

sg_status api_data_open(api_data *d, const char *dir, const char *protocol, sg_error *err)
{
    sg_split_spec spec;
    sg_status st;

    *d = (api_data){0};
    if ((st = sg_split_parse(&spec, protocol, err)) || (st = sg_dataset_open(&d->set, dir, err)) ||
        (st = sg_split_new(&d->split, d->set, &spec, err)))
        return st;
    if ((st = sg_collection_open(&d->collection, d->set, err)))
        return st;
    if ((st = optional(sg_vectors_open(&d->vectors, d->set, err))) ||
        (st = optional(sg_ids_open(&d->ids, d->set, err))))
        return st;
    d->train = (sg_train_data){.data = d->set,
                               .split = d->split,
                               .vectors = d->vectors.file ? &d->vectors : NULL,
                               .ids = d->ids.file ? &d->ids : NULL,
                               .collection = d->collection};
    return SG_OK;
}

void api_data_close(api_data *d)
{
    if (d->ids.file)
        sg_ids_close(&d->ids);
    if (d->vectors.file)
        sg_vectors_close(&d->vectors);
    sg_collection_close(d->collection);
    sg_split_free(d->split);
    sg_dataset_close(d->set);
    *d = (api_data){0};
}

const char *api_model_protocol(const sg_model *m)
{
    const char *split = json_string_value(json_object_get(m->receipt, "split"));

    return split ? split : "loo";
}

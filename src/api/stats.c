/* stats.c - the verb stats. */
#include "api/api.h"

#include "data/stats.h"

int sedge_stats(const sedge_stats_params *given, char **json, sedge_error *err)
{
    sedge_stats_params p;
    api_call c;
    sg_dataset *d = NULL;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    if (!st && !(st = api_need(p.data, "a dataset folder", &c.err)) &&
        !(st = sg_dataset_open(&d, p.data, &c.err)))
        st = d->n_events == 0 ? sg_fail(&c.err, SG_ERR_USAGE,
                                        "%s: expected events, found documents and queries alone", p.data)
                              : sg_dataset_stats(&c.result, d, &c.err);
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}

/* session.h - a request in the numbers of the model. */
#ifndef SG_API_SESSION_H
#define SG_API_SESSION_H

#include "api/api.h"

struct sedge_session {
    const sedge_model *model; /* borrowed */
    const sedge_data *data;   /* borrowed, or NULL */
    bool same_items;          /* item numbers of data and model are the same */
    bool same_data;           /* data is what the model was trained on: user numbers mean the same */
    sg_session *session;      /* owned */
    sg_pool *pool;            /* owned, or NULL: one thread */

    /* the request at hand; owned, kept from call to call */
    int32_t *history;
    int64_t *time;
    size_t n_history, cap_history, cap_time;
    bool has_time;
    int32_t user;       /* -1: unknown */
    size_t n_unknown;   /* history items that the model does not know */
    uint8_t *allow;     /* (n_items), valid when has_allow */
    bool has_allow;
    int32_t *item;      /* (k): what came back */
    float *score;
    size_t n, cap_item, cap_score;
    sg_buf text;        /* ids of the hits, each followed by a 0 byte */
};

/* Fills the request's fields and finds the hits: item, score, n. */
sg_status api_session_run(sedge_session *s, const sedge_request *r, sg_error *err);
sg_status api_session_explain(json_t **out, sedge_session *s, const sedge_request *r, sg_error *err);
/* {"rank", "item", "score", "title"}; NULL: out of memory. */
json_t *api_hit_json(const sedge_session *s, size_t i);
json_t *api_item_json(const sedge_session *s, int32_t item); /* {"item", "title"} */
/* Item of the dataset with the model's number, -1 when it has none. */
int32_t api_data_item(const sedge_session *s, int32_t item);

#endif

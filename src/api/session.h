/* session.h - the session of the public interface: one thread's view of a source. */
#ifndef SG_API_SESSION_H
#define SG_API_SESSION_H

#include "api/api.h"
#include "serve/query.h"

struct sedge_session {
    sg_source source;    /* borrows the caller's model and data */
    sg_session *session; /* owned */
    sg_pool *pool;       /* owned, or NULL: one thread */
    int beam;
    sg_query query; /* owned: the request at hand and its hits */
    sg_buf text;    /* owned: ids of the hits, each followed by a 0 byte */
};

/* Fills the query and finds its hits. */
sg_status api_session_run(sedge_session *s, const sedge_request *r, sg_error *err);
sg_status api_session_explain(json_t **out, sedge_session *s, const sedge_request *r, sg_error *err);

#endif

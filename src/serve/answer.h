/* answer.h - the hits of a query as JSON, with the reasons for them when asked. */
#ifndef SG_SERVE_ANSWER_H
#define SG_SERVE_ANSWER_H

#include "serve/query.h"

json_t *sg_score_json(float x); /* a score in the digits it has; one that is not finite: null */
/* Adds "items": [{"rank", "item", "title", "score"}] to an object. */
sg_status sg_answer_items(json_t *into, const sg_source *s, const sg_query *q, sg_error *err);
/* The same with "path", the way down the semantic ID with what each prefix means, and "because", the events
 * without which the score would fall most. s has its meanings; session is of the same model. Costs about 33
 * recommendations. */
sg_status sg_answer_explained(json_t *into, const sg_source *s, const sg_query *q, sg_session *session,
                              sg_error *err);
/* Adds "history_length", and "history": the latest items. */
sg_status sg_answer_history(json_t *into, const sg_source *s, const sg_query *q, sg_error *err);

#endif

/* show.h - the end of every verb: an error as one line, JSON as it is, or JSON as something to read. */
#ifndef SEDGE_CLI_SHOW_H
#define SEDGE_CLI_SHOW_H

#include "opt.h"

#include "sedge/sedge.h"

typedef void sg_print(const json_t *result);

/* Prints and frees what a function of the library gave back. Returns the exit code. */
int sg_show(const sg_args *args, int status, char *json, const sedge_error *err, sg_print *print);
int sg_exit_code(int status);
/* What a function of the library gave back, for callers that look into it, too. NULL: it cannot be read, and *why says it. */
json_t *sg_result(const char *json, json_error_t *why);

/* Members that may be absent: "" and 0. */
const char *sg_text(const json_t *object, const char *key);
double sg_number(const json_t *object, const char *key);
const json_t *sg_member(const json_t *object, const char *key);
/* Prints one line for each plain member: "users     2,000". */
void sg_show_members(const json_t *object, const char *indent);
/* Metric tables: a row a model, unfiltered beside filtered. rows: {name: {"unfiltered": {...}, "filtered": {...}}}. */
void sg_show_metrics(const char *name, const json_t *metrics, const json_t *floors, const json_t *oracle);
/* Models that rank candidates, after an empty line: a row a question, its floor below. Nothing when there are none. */
void sg_show_ranking(const json_t *ranking);

#endif

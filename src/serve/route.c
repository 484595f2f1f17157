/* route.c - the table, looking things up in it, and writing it out as OpenAPI 3.1. */
#include "serve/route.h"

#include "serve/server.h"

#include <stdio.h>
#include <string.h>

const sg_route sg_routes[] = {
    {"POST", "/v1/recommend", SG_SCOPE_USE, SG_LANE_MODEL, sg_handle_recommend, sg_recommend_fields,
     "application/json", "The items that come next, for a user or any history"},
    {"POST", "/v1/rank", SG_SCOPE_USE, SG_LANE_MODEL, sg_handle_rank, sg_rank_fields, "application/json",
     "What these items score, for a user or any history"},
    {"POST", "/v1/rerank", SG_SCOPE_USE, SG_LANE_MODEL, sg_handle_rerank, sg_rerank_fields,
     "application/json", "A list of items in a new order, best first"},
    {"POST", "/v1/retrieve", SG_SCOPE_USE, SG_LANE_MODEL, sg_handle_retrieve, sg_retrieve_fields,
     "application/json", "Documents for a query in words, by models that retrieve"},
    {"GET", "/v1/models", SG_SCOPE_USE, SG_LANE_HERE, sg_handle_models, NULL, "application/json",
     "The model: options, counts, receipt"},
    {"GET", "/v1/training", SG_SCOPE_USE, SG_LANE_HERE, sg_handle_training, NULL, "application/json",
     "How the model learned: its curve and report"},
    {"GET", "/v1/prefixes", SG_SCOPE_USE, SG_LANE_HERE, sg_handle_prefix, NULL, "application/json",
     "The first codes of semantic IDs, how many items each holds and what it means"},
    {"GET", "/v1/prefixes/{id}", SG_SCOPE_USE, SG_LANE_HERE, sg_handle_prefix, NULL, "application/json",
     "What is below a prefix of semantic IDs, '12,3': the next codes, and items when they are few"},
    {"GET", "/v1/items/{id}", SG_SCOPE_USE, SG_LANE_HERE, sg_handle_item, NULL, "application/json",
     "An item: its texts, its semantic ID and what the prefixes of it mean"},
    {"POST", "/v1/items", SG_SCOPE_USE, SG_LANE_MODEL, sg_handle_add_items, sg_items_fields,
     "application/json", "Add items: on the disk when answered, and from then on among the recommendations"},
    {"DELETE", "/v1/items/{id}", SG_SCOPE_USE, SG_LANE_STORE, sg_handle_remove_item, NULL, "application/json",
     "Remove an item: never recommended again once answered"},
    {"POST", "/v1/embeddings", SG_SCOPE_USE, SG_LANE_MODEL, sg_handle_embeddings, sg_embeddings_fields,
     "application/json", "Vectors of texts, as in OpenAI's API"},
    {"POST", "/v1/events", SG_SCOPE_USE, SG_LANE_STORE, sg_handle_events, sg_events_fields,
     "application/json",
     "Append what users did; on the disk when answered, and part of the next recommendation"},
    {"GET", "/v1/users/{id}", SG_SCOPE_USE, SG_LANE_USERS, sg_handle_user, NULL, "application/json",
     "A user: the latest events"},
    {"DELETE", "/v1/users/{id}", SG_SCOPE_USE, SG_LANE_STORE, sg_handle_erase, NULL, "application/json",
     "Erase a user: stored events are removed, the dataset's are not read any more"},
    {"POST", "/admin/reload", SG_SCOPE_ADMIN, SG_LANE_ADMIN, sg_handle_reload, NULL, "application/json",
     "Open the model folder and the keys again; the old ones stay when the new ones fail"},
    {"GET", "/", SG_SCOPE_OPEN, SG_LANE_HERE, sg_handle_page, NULL, "text/html",
     "The page: the model at a glance, a user or history to try"},
    {"GET", "/metrics", SG_SCOPE_USE, SG_LANE_HERE, sg_handle_metrics, NULL, "text/plain; version=0.0.4",
     "Counters for Prometheus"},
    {"GET", "/healthz", SG_SCOPE_OPEN, SG_LANE_HERE, sg_handle_health, NULL, "application/json",
     "Is the process alive?"},
    {"GET", "/readyz", SG_SCOPE_OPEN, SG_LANE_HERE, sg_handle_ready, NULL, "application/json",
     "Should requests be sent here?"},
    {"GET", "/openapi.json", SG_SCOPE_OPEN, SG_LANE_HERE, sg_handle_openapi, NULL, "application/json",
     "This list"},
};
_Static_assert(sizeof sg_routes / sizeof *sg_routes <= SG_ROUTES_MAX, "more routes than SG_ROUTES_MAX");
const int sg_n_routes = sizeof sg_routes / sizeof *sg_routes;

/* ---- looking up ------------------------------------------------------------------------------------- */
static bool matches(const char *pattern, const char *path, const char **id)
{
    const char *brace = strchr(pattern, '{');

    *id = NULL;
    if (!brace)
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, (size_t)(brace - pattern)) != 0)
        return false;
    *id = path + (brace - pattern);
    return **id && !strchr(*id, '/');
}

static void add_method(char allow[SG_ALLOW_MAX], const char *method)
{
    const size_t n = strlen(allow);

    snprintf(allow + n, SG_ALLOW_MAX - n, n ? ", %s" : "%s", method);
    if (strcmp(method, "GET") == 0)
        add_method(allow, "HEAD");
}

int sg_route_find(const char *method, const char *path, const char **id, char allow[SG_ALLOW_MAX])
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    allow[0] = 0;
    for (int i = 0; i < sg_n_routes; i++)
        if (matches(sg_routes[i].path, path, id)) {
            if (strcmp(sg_routes[i].method, wanted) == 0)
                return i;
            add_method(allow, sg_routes[i].method);
        }
    *id = NULL;
    return allow[0] ? -2 : -1;
}

/* ---- OpenAPI ---------------------------------------------------------------------------------------- */
static json_t *operation_of(const sg_route *r, const sg_serve_config *c)
{
    json_t *o =
        json_pack("{s:s, s:{s:{s:s, s:{s:{}}}, s:{s:s, s:{s:{s:{s:s}}}}}}", "summary", r->summary,
                  "responses", "200", "description", "Done", "content", r->type, "default", "description",
                  "An error", "content", "application/json", "schema", "$ref", "#/components/schemas/Error");

    if (strchr(r->path, '{'))
        json_object_set_new(o, "parameters",
                            json_pack("[{s:s, s:s, s:b, s:{s:s, s:i}}]", "name", "id", "in", "path",
                                      "required", 1, "schema", "type", "string", "maxLength", c->id_max));
    if (r->handle == sg_handle_events)
        json_object_set_new(o, "parameters",
                            json_pack("[{s:s, s:s, s:b, s:s, s:{s:s}}]", "name", "Idempotency-Key", "in",
                                      "header", "required", 0, "description",
                                      "names the request: sent again under it, its events are stored once",
                                      "schema", "type", "string"));
    if (r->fields)
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content", "application/json",
                                      "schema", sg_fields_schema(r->fields, c)));
    json_object_set_new(o, "security",
                        r->scope == SG_SCOPE_OPEN ? json_array() : json_pack("[{s:[]}]", "key"));
    return o;
}

json_t *sg_routes_openapi(const sg_serve_config *c)
{
    json_t *paths = json_object();
    json_t *all =
        json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:{s:{s:s, s:s}}, s:{s:o}}}", "openapi", "3.1.0", "info",
                  "title", "sedge", "version", SEDGE_VERSION, "paths", paths, "components", "securitySchemes",
                  "key", "type", "http", "scheme", "bearer", "schemas", "Error",
                  json_pack("{s:s, s:[s], s:{s:{s:s, s:{s:{s:s}, s:{s:s}, s:{s:[s, s]}, s:{s:s}}}}}", "type",
                            "object", "required", "error", "properties", "error", "type", "object",
                            "properties", "message", "type", "string", "type", "type", "string", "param",
                            "type", "string", "null", "code", "type", "string"));

    for (int i = 0; all && i < sg_n_routes; i++) {
        char method[16];
        size_t n = strlen(sg_routes[i].method);
        json_t *path = json_object_get(paths, sg_routes[i].path);

        for (size_t k = 0; k <= n; k++) /* OpenAPI writes them small */
            method[k] =
                (char)(sg_routes[i].method[k] >= 'A' ? sg_routes[i].method[k] + 32 : sg_routes[i].method[k]);
        if (!path) {
            json_object_set_new(paths, sg_routes[i].path, json_object());
            path = json_object_get(paths, sg_routes[i].path);
        }
        if (json_object_set_new(path, method, operation_of(&sg_routes[i], c))) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

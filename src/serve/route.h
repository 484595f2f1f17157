/* route.h - the one table of what can be asked; 404, 405 and /openapi.json come from it. */
#ifndef SG_SERVE_ROUTE_H
#define SG_SERVE_ROUTE_H

#include "serve/field.h"
#include "serve/key.h"

struct sg_server;
struct sg_job;

/* Who answers: the HTTP thread at once, or one of the lanes. */
typedef enum sg_route_lane {
    SG_LANE_HERE,
    SG_LANE_MODEL,
    SG_LANE_STORE,
    SG_LANE_USERS,
    SG_LANE_ADMIN,
    SG_N_LANES
} sg_route_lane;

typedef struct sg_route {
    const char *method, *path; /* "/v1/items/{id}": the id is one part of the path, escaped */
    sg_scope scope;
    sg_route_lane lane;
    /* On the HTTP thread. True: answered. False: checked, and the lane's. */
    bool (*handle)(struct sg_server *s, struct sg_job *j);
    const sg_field *fields; /* of the body; NULL: there is none */
    const char *type;       /* of the answer */
    const char *summary;
} sg_route;

enum { SG_ROUTES_MAX = 32 };
extern const sg_route sg_routes[];
extern const int sg_n_routes;

enum { SG_ALLOW_MAX = 64 };
/* Number of the route. -1: no such path. -2: the path has other methods, which are written to allow. *id:
 * where the id begins in path, NULL when the route has none. HEAD is GET without the body. */
int sg_route_find(const char *method, const char *path, const char **id, char allow[SG_ALLOW_MAX]);
json_t *sg_routes_openapi(const sg_serve_config *c); /* NULL: out of memory */

#endif

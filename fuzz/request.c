/* request.c - "METHOD PATH", a newline, and a body: a route or none, a checked body or an error that can be
 * read. */
#include "fuzz.h"

#include "base/alloc.h"
#include "file/json.h"
#include "serve/route.h"

#include <string.h>

static void check_error(const sg_exchange *x)
{
    json_t *answer = NULL;

    FUZZ_CHECK(x->status == 400);
    FUZZ_CHECK(sg_json_parse(&answer, (sg_bytes){x->answer.data, x->answer.size}, "answer", NULL) == SG_OK);
    FUZZ_CHECK(json_is_string(json_object_get(json_object_get(answer, "error"), "message")));
    json_decref(answer);
}

static void check_body(const sg_route *r, const char *body, size_t size)
{
    sg_exchange x = {0};
    sg_serve_config c;
    json_t *value;

    sg_options_init(&c, sg_serve_options, sg_n_serve_options);
    sg_buf_add(&x.body, body, size);
    if ((value = sg_fields_read(&x, r->fields, &c)))
        FUZZ_CHECK(json_is_object(value) && x.answer.size == 0);
    else
        check_error(&x);
    json_decref(value);
    sg_buf_free(&x.body);
    sg_buf_free(&x.answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *end = size ? memchr(data, '\n', size) : NULL, *id;
    char *line = sg_strndup(size ? (const char *)data : "", end ? (size_t)(end - (const char *)data) : size),
         *path;
    char allow[SG_ALLOW_MAX];
    int route;

    path = line ? strchr(line, ' ') : NULL;
    if (path) {
        *path++ = 0;
        route = sg_route_find(line, path, &id, allow);
        FUZZ_CHECK(route >= -2 && route < sg_n_routes && (route != -2 || allow[0]));
        if (id) {
            const size_t before = strlen(id);

            FUZZ_CHECK(before > 0 && !strchr(id, '/'));
            FUZZ_CHECK(!sg_http_unescape(path + (id - path)) || strlen(id) <= before);
        }
        if (route >= 0 && sg_routes[route].fields && end)
            check_body(&sg_routes[route], end + 1, size - (size_t)(end + 1 - (const char *)data));
    }
    sg_free(line);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "POST /v1/recommend\n{\"history\": [\"i3\", \"\\u00e9\"], \"k\": 5, \"beam\": 20, \"seen\": true, "
        "\"allow\": [\"a\"], \"deny\": [], "
        "\"explain\": false, \"deadline_ms\": 100}",
        "POST /v1/recommend\n{\"user\": \"u1\", \"history\": null}",
        ("POST /v1/events\n{\"events\": [{\"user\": \"u\", \"item\": \"i\", \"timestamp\": 1, \"action\": "
         "\"buy\", \"id\": \"e\"}]}"),
        /* an error text that the JSON parser cuts in the middle of a character */
        "POST /v1/recommend\n{\"history\": [\"i3\", \"\\u0\326\232\306\335\242\323\337\335\232\": -5, "
        "\"beam\": 20}",
        "POST /v1/rank\n{\"history\": [\"i3\"], \"items\": [\"i7\", \"i44\"], \"deadline_ms\": 7}",
        "POST /v1/rerank\n{\"user\": \"u1\", \"items\": [\"i7\"], \"top_n\": 3}",
        "POST /v1/items\n{\"items\": [{\"id\": \"x\", \"texts\": {\"title\": \"desk lamp\", \"brand\": "
        "\"Mifo\"}, \"expires_at\": 9}]}",
        ("POST /v1/embeddings\n{\"input\": [\"a\", \"b\"], \"model\": \"lsa\", \"encoding_format\": "
         "\"base64\", "
         "\"dimensions\": 3}"),
        "DELETE /v1/items/a%2Fb",
        "GET /v1/prefixes/12,3",
        "GET /v1/items/a%2Fb%00",
        "DELETE /v1/users/%c3%a9",
        "HEAD /healthz",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}

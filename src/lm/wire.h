/* wire.h - JSON posted over HTTP, many at once: libcurl behind our own words; no other file names it.
 *
 * One thread owns a wire. A slot carries one exchange at a time; sg_wire_wait does all the work. Redirects are not followed (a key
 * must not travel to another host), and only http and https are spoken. With a secret plain http goes to the host itself, past the proxies
 * of the environment, which would read it; https passes them sealed. What an error says never holds the secret. */
#ifndef SG_LM_WIRE_H
#define SG_LM_WIRE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct sg_wire_limits {
    double connect, first_byte, total; /* seconds */
    size_t bytes_max;                  /* of an answer */
} sg_wire_limits;

typedef enum sg_wire_end {
    SG_WIRE_ANSWER,    /* a status and a body came */
    SG_WIRE_BROKEN,    /* no connection, or it was cut */
    SG_WIRE_LATE,      /* one of the three limits */
    SG_WIRE_UNTRUSTED, /* its certificate: nothing was sent */
    SG_WIRE_LONG,      /* more than bytes_max */
} sg_wire_end;

typedef struct sg_wire_reply {
    size_t slot;
    sg_wire_end end;
    bool sent;          /* of the request's body at least a part */
    int status;         /* of HTTP */
    double retry_after; /* seconds; -1: not said */
    sg_bytes body;      /* valid until the slot's next post, or the cut */
    char why[256];      /* what went wrong, one line; "": an answer */
} sg_wire_reply;

typedef struct sg_wire sg_wire;
/* secret: sent as "Authorization: Bearer SECRET"; "": none. It is copied, and overwritten when the wire is freed. ca: PEM file of the
 * certificates that are trusted; "": the system's. */
sg_status sg_wire_new(sg_wire **out, size_t slots, const char *secret, const char *ca,
                      const sg_wire_limits *limits, sg_error *err);
void sg_wire_free(sg_wire *w); /* what is under way is cut */

/* The body is the caller's until the reply came. The slot must be free. */
sg_status sg_wire_post(sg_wire *w, size_t slot, const char *url, sg_bytes body, sg_error *err);
void sg_wire_cut(sg_wire *w); /* forgets all that is under way, and what was answered */
/* Waits for the next reply, `seconds` at most; *came false: none in that time. */
sg_status sg_wire_wait(sg_wire *w, double seconds, sg_wire_reply *reply, bool *came, sg_error *err);

enum { SG_WIRE_URL_MOST = 512 /* bytes of an address, so that errors have room behind it */ };
/* Is it http:// or https:// with a host, not too long, and without a user and password, a query and a fragment? */
sg_status sg_wire_check_url(const char *url, sg_error *err);

#endif

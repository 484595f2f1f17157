/* ends.h - the tokens that end a text: chat models have several, of a turn, of a message, of everything. */
#ifndef SG_LM_ENDS_H
#define SG_LM_ENDS_H

#include <stdbool.h>
#include <stdint.h>

enum { SG_ENDS_MOST = 16 };
typedef struct sg_ends {
    int32_t id[SG_ENDS_MOST]; /* each once */
    int n;
} sg_ends;

static inline bool sg_ends_has(const sg_ends *e, int32_t id)
{
    for (int i = 0; i < e->n; i++)
        if (e->id[i] == id)
            return true;
    return false;
}

/* One more of a vocabulary; what is no token of it is left out. false: there is no room. */
static inline bool sg_ends_add(sg_ends *e, int64_t id, int32_t vocab)
{
    if (id < 0 || id >= vocab || sg_ends_has(e, (int32_t)id))
        return true;
    if (e->n == SG_ENDS_MOST)
        return false;
    e->id[e->n++] = (int32_t)id;
    return true;
}

#endif

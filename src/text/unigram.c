/* unigram.c - best[i]: the best way to reach byte i. Later ways must be strictly better: of equal ones the first found wins. */
#include "text/unigram.h"

#include "base/utf8.h"

typedef struct sg_best {
    double sum;
    uint32_t from; /* NONE: not reached */
    int32_t id;
} best;

#define NONE UINT32_MAX

void sg_unigram_free(sg_unigram *u)
{
    sg_free(u->score);
    sg_free(u->fixed);
    u->score = NULL;
    u->fixed = NULL;
}

void sg_unigram_scratch_free(sg_unigram_scratch *s)
{
    sg_free(s->best);
    sg_free(s->back.id);
    *s = (sg_unigram_scratch){0};
}

static void reach(best *to, const sg_unigram *u, double sum, size_t from, int32_t id)
{
    sum = u->single ? (float)sum : sum;
    if (to->from == NONE || sum > to->sum)
        *to = (best){sum, (uint32_t)from, id};
}

static void forward(best *b, const sg_unigram *u, const char *s, size_t size, const uint8_t *kind)
{
    for (size_t at = 0, next; at < size; at = next) {
        const double here = b[at].sum;
        bool covered = false;
        uint32_t node = 0;

        next = at + sg_utf8_bytes(s[at]);
        for (size_t i = at; i < size && (node = sg_trie_step(u->token, node, (uint8_t)s[i]));) {
            const int32_t id = u->token->value[node];

            i++;
            if (!sg_token_may_be(kind, id))
                continue;
            const double score =
                u->fixed && u->fixed[id] ? (double)(i - at) * u->fixed_score - 0.1 : u->score[id];
            reach(&b[i], u, score + here, at, id);
            covered = covered || i == next;
        }
        if (!covered)
            reach(&b[next], u, u->unknown_score + here, at, u->unknown);
    }
}

static bool add_unknown(sg_token_ids *back, const sg_unigram *u, const char *s, size_t start, size_t end,
                        const uint8_t *kind)
{
    bool all = u->fall_back;
    const int32_t id = u->single ? -1 : sg_trie_find(u->token, s + start, end - start);

    if (sg_token_may_be(kind, id))
        return sg_token_ids_add(back, id);
    for (size_t i = start; i < end && all; i++)
        all = u->byte_id[(unsigned char)s[i]] >= 0;
    if (!all)
        return sg_token_ids_add(back, u->unknown);
    for (size_t i = end; i-- > start;)
        if (!sg_token_ids_add(back, u->byte_id[(unsigned char)s[i]]))
            return false;
    return true;
}

bool sg_unigram_encode(sg_token_ids *out, const sg_unigram *u, sg_unigram_scratch *scratch, const char *s,
                       size_t size, const uint8_t *kind)
{
    best *b;

    if (!sg_grow(&scratch->best, &scratch->cap, size + 1, sizeof *scratch->best))
        return false;
    b = scratch->best;
    b[0] = (best){0, 0, -1};
    for (size_t i = 1; i <= size; i++)
        b[i].from = NONE;
    forward(b, u, s, size, kind);
    scratch->back.n = 0;
    for (size_t at = size; at > 0;) {
        const size_t end = at;

        if (b[at].id != u->unknown) {
            if (!sg_token_ids_add(&scratch->back, b[at].id))
                return false;
            at = b[at].from;
            continue;
        }
        while (at > 0 && b[at].id == u->unknown)
            at = b[at].from;
        if (!add_unknown(&scratch->back, u, s, at, end, kind))
            return false;
    }
    for (size_t i = scratch->back.n; i-- > 0;)
        if (!sg_token_ids_add(out, scratch->back.id[i]))
            return false;
    return true;
}

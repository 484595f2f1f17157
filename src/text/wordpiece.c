/* wordpiece.c - one walk down the trie a token. */
#include "text/wordpiece.h"

static size_t characters(const char *s, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

bool sg_wordpiece_encode(sg_token_ids *out, const sg_wordpiece *w, const char *s, size_t size,
                         const uint8_t *kind)
{
    const size_t before = out->n;

    if (w->whole) {
        const int32_t found = sg_trie_find(w->token, s, size), id = sg_token_may_be(kind, found) ? found : -1;

        return id < 0 && w->unknown < 0 ? true : sg_token_ids_add(out, id < 0 ? w->unknown : id);
    }
    if (size > w->most && characters(s, size) > w->most)
        return sg_token_ids_add(out, w->unknown);
    for (size_t at = 0, end; at < size; at = end) {
        uint32_t node = at ? w->inside : 0;
        int32_t id = -1;

        end = at;
        if (at == 0 || w->goes_on)
            for (size_t i = at; i < size && (node = sg_trie_step(w->token, node, (uint8_t)s[i]));)
                if (i++, sg_token_may_be(kind, w->token->value[node])) {
                    id = w->token->value[node];
                    end = i;
                }
        if (id < 0) {
            out->n = before;
            return sg_token_ids_add(out, w->unknown);
        }
        if (!sg_token_ids_add(out, id))
            return false;
    }
    return true;
}

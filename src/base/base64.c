/* base64.c - three bytes to four letters, and back. */
#include "base/base64.h"

#include <stdint.h>

void sg_base64_encode(sg_buf *out, sg_bytes s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.size; i += 3) {
        uint32_t v = 0;

        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < s.size ? (unsigned char)s.data[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            sg_buf_putc(out, k > s.size - i ? '=' : letters[v >> (18 - 6 * k) & 63]);
    }
}

bool sg_base64_decode(sg_buf *out, sg_bytes s)
{
    uint32_t bits = 0;
    int n = 0;

    while (s.size && s.data[s.size - 1] == '=')
        s.size--;
    for (size_t i = 0; i < s.size; i++) {
        const char c = s.data[i];
        const int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;

        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        if ((n += 6) >= 8)
            sg_buf_putc(out, (char)(bits >> (n -= 8)));
    }
    return true;
}

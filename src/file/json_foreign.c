/* json_foreign.c - JSON that strangers' servers write: small sins are mended in a copy before jansson sees it. */
#include "file/json.h"

#include "base/utf8.h"

#include <string.h>

/* The code unit that \uXXXX spells at `at`; -1: there is none. */
static int code_unit(const char *text, size_t size, size_t at)
{
    int unit = 0;

    if (size < 6 || at > size - 6 || text[at] != '\\' || text[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Behind the escape at `at`; half of a surrogate pair becomes U+FFFD. */
static size_t mend_escape(char *text, size_t size, size_t at)
{
    const int unit = code_unit(text, size, at), next = code_unit(text, size, at + 6);

    if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000)
        return at + 12;
    if (unit >= 0xd800 && unit < 0xe000)
        memcpy(text + at + 2, "fffd", 4);
    return at + 2;
}

/* No text becomes longer or shorter, so that places in messages stay right. */
static void mend(char *text, size_t size)
{
    bool quoted = false;

    for (size_t at = 0; at < size;) {
        if (quoted && text[at] == '\\') {
            at = mend_escape(text, size, at);
        } else {
            quoted = quoted != (text[at] == '"');
            at++;
        }
    }
}

sg_status sg_json_parse_foreign(json_t **out, sg_bytes text, const char *name, sg_error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    const size_t skip = text.size >= 3 && memcmp(text.data, mark, 3) == 0 ? 3 : 0;
    sg_buf clean = {0};
    sg_status st;

    *out = NULL;
    sg_utf8_clean(&clean, text.data + skip, text.size - skip);
    if (clean.failed)
        return sg_fail_memory(err, name);
    mend(clean.data, clean.size);
    st = sg_json_parse_by(out, (sg_bytes){clean.data ? clean.data : "", clean.size}, JSON_ALLOW_NUL, name,
                          err);
    sg_buf_free(&clean);
    return st;
}

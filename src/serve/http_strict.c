/* http_strict.c - names are tokens, texts have no control characters, lines end with CR LF and begin where the one before ended.
 * [RFC 9110 5.1, 5.5, 5.6.2; RFC 9112 2.2, 3, 5.1, 5.2] */
#include "serve/http_strict.h"

#include <string.h>

static bool is_token(const char *s, size_t n)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c && strchr(others, c))))
            return false;
    }
    return true;
}

bool sg_strict_target(const char *target)
{
    for (; *target; target++)
        if ((unsigned char)*target <= ' ' || *target == 0x7f)
            return false;
    return true;
}

static bool has_control(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
            return true;
    return false;
}

void sg_strict_start(sg_strict *s, bool in_place, bool target_good, const char *method, const char *target,
                     size_t target_size, const char *version)
{
    const size_t method_size = strlen(method);

    *s = (sg_strict){.begin = method, .next = version + strlen(version) + 2, .in_place = in_place};
    s->good = target_good && is_token(method, method_size);
    if (in_place)
        s->good = s->good && target == method + method_size + 1 && version == target + target_size + 1;
}

void sg_strict_header(sg_strict *s, const char *name, size_t name_size, const char *value, size_t value_size)
{
    s->good = s->good && is_token(name, name_size) && !has_control(value, value_size);
    if (!s->good || !s->in_place)
        return;
    s->good = name == s->next;
    for (const char *blank = name + name_size + 1; s->good && blank != value; blank++)
        s->good = *blank == ' ' || *blank == '\t';
    s->next = value + value_size + 2;
}

bool sg_strict_end(const sg_strict *s, size_t size)
{
    return s->good && (!s->in_place || s->next + 2 == s->begin + size);
}

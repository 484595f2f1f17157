/* scan.c - numbers are read exactly: up to 19 digits and a power of ten up to 22 need one correctly rounded
 * operation on two exact doubles [Clinger, PLDI 1990]; the rare rest goes to strtod in the C locale. */
#include "data/scan.h"

#include "base/utf8.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT_MAX = 512 }; /* longer texts are not numbers anybody meant */

static bool is_digit(char c)
{
    return (unsigned)(c - '0') < 10;
}

sg_bytes sg_trim(sg_bytes t)
{
    while (t.size && (t.data[0] == ' ' || t.data[0] == '\t')) {
        t.data++;
        t.size--;
    }
    while (t.size && (t.data[t.size - 1] == ' ' || t.data[t.size - 1] == '\t'))
        t.size--;
    return t;
}

/* Digits from *p on: at most 18 enter *value, *n counts all of them. */
static uint64_t take_digits(const char **p, const char *end, uint64_t value, int *n_used, int *n_cut)
{
    for (; *p < end && is_digit(**p); ++*p) {
        if (*n_used < 19) {
            value = value * 10 + (uint64_t)(**p - '0');
            *n_used += value != 0; /* leading zeros take no room */
        } else {
            ++*n_cut;
        }
    }
    return value;
}

/* Eight digits at once: each step joins neighbours in all lanes. False: not eight digits. */
static bool take_8(const char *p, uint64_t *out)
{
    uint64_t x;

    memcpy(&x, p, 8);
    if (((x & 0xf0f0f0f0f0f0f0f0u) | ((x + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) >> 4) !=
        0x3333333333333333u)
        return false;
    x = (x & 0x0f0f0f0f0f0f0f0fu) * 2561 >> 8; /* 10 a + b */
    x = (x & 0x00ff00ff00ff00ffu) * 6553601 >> 16;
    *out = (x & 0x0000ffff0000ffffu) * 42949672960001u >> 32;
    return true;
}

/* Up to 18 digits and nothing else: most of what is ever read. */
static bool take_plain(sg_bytes t, uint64_t *out)
{
    const char *p = t.data, *end = p + t.size;
    uint64_t value = 0, eight;

    if (!t.size || t.size > 18)
        return false;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; end - p >= 8; p += 8) {
        if (!take_8(p, &eight))
            return false;
        value = value * 100000000 + eight;
    }
#endif
    for (; p < end; p++) {
        if (!is_digit(*p))
            return false;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *out = value;
    return true;
}

bool sg_scan_int(sg_bytes text, int64_t *out)
{
    uint64_t plain;

    if (take_plain(text, &plain)) {
        *out = (int64_t)plain;
        return true;
    }
    const sg_bytes t = sg_trim(text);
    if (!t.size)
        return false;
    const char *p = t.data, *end = t.data + t.size;
    const bool negative = *p == '-';
    int n_used = 0, n_cut = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end)
        return false;
    const uint64_t value = take_digits(&p, end, 0, &n_used, &n_cut);
    if (p != end || n_cut || value > (uint64_t)INT64_MAX)
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static bool by_strtod(sg_bytes t, double *out)
{
    char text[NUMBER_TEXT_MAX + 1], *end;
    locale_t c, old;

    if (t.size > NUMBER_TEXT_MAX || !(c = newlocale(LC_ALL_MASK, "C", (locale_t)0)))
        return false;
    memcpy(text, t.data, t.size);
    text[t.size] = 0;
    old = uselocale(c);
    *out = strtod(text, &end);
    uselocale(old);
    freelocale(c);
    return end == text + t.size && isfinite(*out);
}

bool sg_scan_number(sg_bytes text, double *out)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t value;

    if (text.size <= 3 && text.size && is_digit(text.data[0])) { /* "4", "4.5": ratings */
        if (text.size == 1) {
            *out = text.data[0] - '0';
            return true;
        }
        if (text.size == 3 && text.data[1] == '.' && is_digit(text.data[2])) {
            *out = ((text.data[0] - '0') * 10 + (text.data[2] - '0')) / 10.0;
            return true;
        }
    }
    const sg_bytes t = sg_trim(text);
    if (!t.size)
        return false;
    const char *p = t.data, *end = t.data + t.size, *digits;
    const bool negative = *p == '-';
    int n_used = 0, n_cut = 0, fraction = 0, exponent = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    digits = p;
    value = take_digits(&p, end, 0, &n_used, &n_cut);
    size_t n_digits = (size_t)(p - digits);
    if (p < end && *p == '.') {
        const char *first = ++p;

        value = take_digits(&p, end, value, &n_used, &n_cut);
        n_digits += (size_t)(p - first);
        fraction = p - first > NUMBER_TEXT_MAX ? NUMBER_TEXT_MAX : (int)(p - first);
    }
    if (!n_digits)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *first;
        bool down = false;

        p++;
        if (p < end && (*p == '-' || *p == '+'))
            down = *p++ == '-';
        for (first = p; p < end && is_digit(*p); p++)
            exponent = exponent < 10000 ? exponent * 10 + (*p - '0') : exponent;
        if (p == first)
            return false;
        exponent = down ? -exponent : exponent;
    }
    if (p != end)
        return false;
    exponent -= fraction;
    if (n_cut || value > (uint64_t)1 << 53 || exponent < -22 || exponent > 22)
        return by_strtod(t, out);
    const double d = exponent < 0 ? (double)value / power[-exponent] : (double)value * power[exponent];
    *out = negative ? -d : d;
    return true;
}

bool sg_scan_natural(sg_bytes t, uint64_t *out)
{
    uint64_t value = 0;

    if (!t.size || t.size > 19 || (t.data[0] == '0' && t.size > 1))
        return false;
    for (size_t i = 0; i < t.size; i++) {
        if (!is_digit(t.data[i]))
            return false;
        value = value * 10 + (uint64_t)(t.data[i] - '0');
    }
    *out = value;
    return value <= (uint64_t)INT64_MAX;
}

/* ---- time ---- */

/* seconds of 0001-01-01 and of 10000-01-01 */
static const int64_t second_first = -62135596800, second_end = 253402300800;

/* Days from 1970-01-01 to a date of the Gregorian calendar: years begin in March, so that the leap day comes
 * last. */
static int64_t days_from_civil(int year, int month, int day)
{
    const int y = month > 2 ? year : year - 1;
    const int era = y / 400, year_of_era = y % 400;
    const int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool take_fixed(const char **p, const char *end, int n, int *out)
{
    int value = 0;

    if (end - *p < n)
        return false;
    for (int i = 0; i < n; i++) {
        if (!is_digit((*p)[i]))
            return false;
        value = value * 10 + ((*p)[i] - '0');
    }
    *p += n;
    *out = value;
    return true;
}

static bool take_char(const char **p, const char *end, char c)
{
    if (*p == end || **p != c)
        return false;
    ++*p;
    return true;
}

static bool take_clock(const char **p, const char *end, int64_t *us)
{
    int hour, minute, second = 0, scale = 100000;

    if (!take_fixed(p, end, 2, &hour) || !take_char(p, end, ':') || !take_fixed(p, end, 2, &minute))
        return false;
    if (take_char(p, end, ':') && !take_fixed(p, end, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second, counted as the next one */
        return false;
    *us = (hour * INT64_C(3600) + minute * 60 + second) * 1000000;
    if (take_char(p, end, '.')) {
        const char *first = *p;

        for (; *p < end && is_digit(**p); ++*p, scale /= 10)
            *us += (**p - '0') * scale;
        return *p > first;
    }
    return true;
}

/* Z, UTC, +02:00, +0200, +02: microseconds east of Greenwich */
static bool take_zone(const char **p, const char *end, int64_t *us)
{
    int hour, minute = 0;

    *us = 0;
    take_char(p, end, ' ');
    if (end - *p == 3 && memcmp(*p, "UTC", 3) == 0) {
        *p += 3;
        return true;
    }
    if (*p == end || take_char(p, end, 'Z'))
        return true;
    const int sign = **p == '-' ? -1 : 1;
    if (!take_char(p, end, '+') && !take_char(p, end, '-'))
        return false;
    if (!take_fixed(p, end, 2, &hour))
        return false;
    if (*p < end && (take_char(p, end, ':'), !take_fixed(p, end, 2, &minute)))
        return false;
    *us = sign * (hour * INT64_C(3600) + minute * 60) * 1000000;
    return hour < 24 && minute < 60;
}

static bool scan_iso(sg_bytes t, int64_t *out)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *p = t.data, *end = t.data + t.size;
    int64_t clock = 0, zone = 0;
    int year, month, day;

    if (!take_fixed(&p, end, 4, &year) || !take_char(&p, end, '-') || !take_fixed(&p, end, 2, &month) ||
        !take_char(&p, end, '-') || !take_fixed(&p, end, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1)
        return false;
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > month_days[month - 1] + (month == 2 && leap))
        return false;
    if (p < end) {
        if (!take_char(&p, end, 'T') && !take_char(&p, end, ' '))
            return false;
        if (!take_clock(&p, end, &clock) || !take_zone(&p, end, &zone))
            return false;
    }
    *out = days_from_civil(year, month, day) * INT64_C(86400000000) + clock - zone;
    return p == end;
}

bool sg_time_of_number(double value, int64_t *out)
{
    const double size = fabs(value);
    const double us = size < 1e11   ? value * 1e6
                      : size < 1e14 ? value * 1e3
                      : size < 1e17 ? value
                                    : value / 1e3;

    if (!(us >= (double)second_first * 1e6 && us < (double)second_end * 1e6))
        return false;
    *out = (int64_t)floor(us);
    return true;
}

bool sg_scan_time(sg_bytes text, int64_t *out)
{
    const sg_bytes t = sg_trim(text);
    int64_t whole;
    double value;

    if (sg_scan_int(t,
                    &whole)) { /* exact where a double would round: microseconds and nanoseconds of today */
        const uint64_t size = whole < 0 ? 0 - (uint64_t)whole : (uint64_t)whole;

        if (size < UINT64_C(100000000000)) {
            *out = whole * 1000000;
        } else if (size < UINT64_C(100000000000000)) {
            *out = whole * 1000;
        } else if (size < UINT64_C(100000000000000000)) {
            *out = whole;
        } else {
            *out = whole / 1000 - (whole % 1000 < 0);
        }
        return *out >= second_first * 1000000 && *out < second_end * 1000000;
    }
    if (t.size > 4 && t.data[4] == '-' && is_digit(t.data[0]))
        return scan_iso(t, out);
    return sg_scan_number(t, &value) && sg_time_of_number(value, out);
}

/* ---- text ---- */

size_t sg_utf8_repair(sg_buf *out, sg_bytes t)
{
    size_t replaced = 0;

    while (t.size) {
        const size_t good = sg_utf8_valid_bytes(t.data, t.size);

        sg_buf_add(out, t.data, good);
        if (good == t.size)
            break;
        sg_buf_add(out, "\xef\xbf\xbd", 3);
        replaced++;
        t.data += good + 1;
        t.size -= good + 1;
    }
    return replaced;
}

void sg_latin1_to_utf8(sg_buf *out, sg_bytes t)
{
    for (size_t i = 0; i < t.size; i++) {
        const unsigned char c = (unsigned char)t.data[i];

        if (c >= 0x80)
            sg_buf_putc(out, (char)(0xc0 | c >> 6));
        sg_buf_putc(out, (char)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
    }
}

const char *sg_quote(char room[SG_QUOTE_ROOM], sg_bytes text)
{
    enum { SHOWN = 40 };
    size_t n = text.size < SHOWN ? text.size : SHOWN;

    /* Bytes that are not UTF-8 show as '?', and a character is never cut in two. */
    const size_t good = sg_utf8_valid_bytes(text.data, n);
    if (text.size > SHOWN && n - good < 4)
        n = good;
    room[0] = '\'';
    for (size_t i = 0; i < n; i++)
        room[i + 1] = i < good || (unsigned char)text.data[i] < 0x80 ? text.data[i] : '?';
    snprintf(room + n + 1, SG_QUOTE_ROOM - n - 1, "%s", text.size > n ? "...'" : "'");
    return room;
}

/* html.c - the pieces of a report page. */
#include "api/html.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char style[] =
    ":root{--bg:#fbfbfa;--fg:#1c1d1f;--muted:#6b6f76;--line:#e2e3e1;--card:#fff;--accent:#2f6f4f;--second:#"
    "c26b2d;--bar:#cfe3d6}"
    "@media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e7e8ea;--muted:#969ba3;--line:#2c3036;--card:"
    "#1c1f24;"
    "--accent:#7cc79b;--second:#e69a5f;--bar:#2c4a3a}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,'Segoe "
    "UI',sans-serif}"
    "main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}"
    "h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:18px;margin:40px 0 "
    "4px}h3{font-size:15px;margin:20px 0 6px}"
    "p.note{margin:0 0 14px;color:var(--muted);max-width:90ch}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:20px 0}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}"
    ".card "
    "b{display:block;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums;letter-spacing:-.02em}"
    ".card span{color:var(--muted);font-size:13px}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:12px}"
    "figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px "
    "14px}"
    "figcaption{font-size:13px;font-weight:600;margin-bottom:4px}"
    "svg{display:block;width:100%;height:auto}svg text{fill:var(--muted);font-size:14px;font-family:inherit}"
    ".scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:7px 12px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}"
    "tr:last-child td{border-bottom:0}th{font-weight:500;color:var(--muted);font-size:13px}"
    "th.group{text-align:center}th.group,td:nth-child(6){border-left:1px solid var(--line)}"
    "th:first-child,td:first-child{text-align:left}td.text,th.text{text-align:left;white-space:normal}"
    "td.cell{background:linear-gradient(var(--accent),var(--accent)) no-repeat 0 100%/var(--w) 3px}"
    "tr.own td{font-weight:600}"
    "details{margin:2px 0 2px 14px}details>summary{cursor:pointer;padding:2px 0}details.top{margin-left:0}"
    "summary code,.path code{background:var(--bar);border-radius:5px;padding:1px 6px;font-size:13px}"
    ".muted{color:var(--muted)}ul.items{margin:2px 0 6px 34px;padding:0}ul.items li{margin:1px 0}"
    ".tree,.rec{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px "
    "16px;margin-bottom:12px}"
    ".rec p{margin:10px 0 0}.rec ol{margin:6px 0 0;padding-left:22px}.rec li{margin:6px 0}.rec "
    ".why{color:var(--muted);font-size:13px;font-weight:400}"
    ".hit{color:var(--accent);font-weight:600}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px "
    "18px;font-size:13px;margin:0}dt{color:var(--muted)}"
    "dd{margin:0;overflow-wrap:anywhere}";

void sg_html_begin(sg_buf *b, const char *title)
{
    sg_buf_puts(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    sg_html_text(b, title);
    sg_buf_puts(b, "</title><style>");
    sg_buf_puts(b, style);
    sg_buf_puts(b, "</style></head><body><main>\n");
}

void sg_html_end(sg_buf *b)
{
    sg_buf_puts(b, "</section></main></body></html>\n");
}

/* Length of the UTF-8 character at s, 0 when it is none. */
static size_t character(const unsigned char *s, size_t n)
{
    const size_t len = s[0] < 0x80                   ? 1
                       : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                       : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                       : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                     : 0;

    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

void sg_html_bytes(sg_buf *b, sg_bytes text)
{
    for (size_t i = 0; i < text.size;) {
        const unsigned char *s = (const unsigned char *)text.data + i;
        const size_t len = character(s, text.size - i);

        if (len == 0)
            sg_buf_puts(b, "\xef\xbf\xbd");
        else if (s[0] == '<')
            sg_buf_puts(b, "&lt;");
        else if (s[0] == '>')
            sg_buf_puts(b, "&gt;");
        else if (s[0] == '&')
            sg_buf_puts(b, "&amp;");
        else if (s[0] == '"')
            sg_buf_puts(b, "&quot;");
        else if (s[0] < 0x20)
            sg_buf_putc(b, ' ');
        else
            sg_buf_add(b, s, len);
        i += len ? len : 1;
    }
}

void sg_html_text(sg_buf *b, const char *text)
{
    sg_html_bytes(b, (sg_bytes){text, strlen(text)});
}

void sg_html_section(sg_buf *b, const char *title, const char *note)
{
    sg_buf_puts(b, "</section>\n<section><h2>");
    sg_html_text(b, title);
    sg_buf_puts(b, "</h2>\n");
    if (note) {
        sg_buf_puts(b, "<p class=note>");
        sg_html_text(b, note);
        sg_buf_puts(b, "</p>\n");
    }
}

void sg_html_card(sg_buf *b, const char *label, const char *value, const char *note)
{
    sg_buf_puts(b, "<div class=card><span>");
    sg_html_text(b, label);
    sg_buf_puts(b, "</span><b>");
    sg_html_text(b, value);
    sg_buf_puts(b, "</b><span>");
    sg_html_text(b, note);
    sg_buf_puts(b, "</span></div>\n");
}

/* ---- plots -------------------------------------------------------------------------------------------------------------- */
enum { WIDTH = 380, HEIGHT = 210, LEFT = 54, RIGHT = 26, TOP = 10, BOTTOM = 38, TICKS = 5 };

typedef struct scale {
    double low, high, step;
} scale;

/* Round steps (1, 2, 5 times a power of ten) that cover low .. high in about TICKS steps. */
static scale nice_scale(double low, double high)
{
    double step, power;

    if (!(high > low)) {
        const double half = high != 0 ? fabs(high) * 0.1 : 1;

        low -= half;
        high += half;
    }
    step = (high - low) / TICKS;
    power = pow(10, floor(log10(step)));
    step = step / power <= 1   ? power
           : step / power <= 2 ? 2 * power
           : step / power <= 5 ? 5 * power
                               : 10 * power;
    return (scale){floor(low / step) * step, ceil(high / step) * step, step};
}

static double x_of(const scale *s, double x)
{
    return LEFT + (x - s->low) / (s->high - s->low) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const scale *s, double y)
{
    return TOP + (s->high - y) / (s->high - s->low) * (HEIGHT - TOP - BOTTOM);
}

static void put_number(sg_buf *b, double x)
{
    if (fabs(x) < 1e-12)
        sg_buf_puts(b, "0");
    else if (fabs(x) >= 1e6)
        sg_buf_printf(b, "%.3gM", x / 1e6);
    else if (fabs(x) >= 1e4)
        sg_buf_printf(b, "%.4gk", x / 1e3);
    else
        sg_buf_printf(b, "%.4g", x);
}

static void put_axes(sg_buf *b, const scale *sx, const scale *sy, const char *x_label)
{
    for (double y = sy->low; y <= sy->high + sy->step / 2; y += sy->step) {
        sg_buf_printf(b,
                      "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--line)\"/><text "
                      "x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
                      LEFT, WIDTH - RIGHT, y_of(sy, y), y_of(sy, y), LEFT - 6, y_of(sy, y) + 4);
        put_number(b, y);
        sg_buf_puts(b, "</text>");
    }
    for (double x = sx->low; x <= sx->high + sx->step / 2; x += sx->step) {
        sg_buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", x_of(sx, x),
                      HEIGHT - BOTTOM + 18);
        put_number(b, x);
        sg_buf_puts(b, "</text>");
    }
    sg_buf_printf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>", (LEFT + WIDTH - RIGHT) / 2,
                  HEIGHT - 4, x_label);
}

void sg_html_curve(sg_buf *b, const sg_curve *c)
{
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    bool pen = false;

    for (size_t i = 0; i < c->n; i++)
        if (isfinite(c->x[i]) && isfinite(c->y[i])) {
            low_x = fmin(low_x, c->x[i]);
            high_x = fmax(high_x, c->x[i]);
            low_y = fmin(low_y, c->y[i]);
            high_y = fmax(high_y, c->y[i]);
        }
    if (!isfinite(low_x))
        return;
    const scale sx = nice_scale(low_x < high_x ? low_x : low_x - 1, high_x), sy = nice_scale(low_y, high_y);

    sg_buf_puts(b, "<figure><figcaption>");
    sg_html_text(b, c->title);
    sg_buf_printf(b, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, HEIGHT);
    put_axes(b, &sx, &sy, c->x_label);
    sg_buf_puts(
        b, "<path fill=\"none\" stroke=\"var(--accent)\" stroke-width=\"2\" stroke-linejoin=\"round\" d=\"");
    for (size_t i = 0; i < c->n; i++)
        if (isfinite(c->x[i]) && isfinite(c->y[i])) {
            sg_buf_printf(b, "%c%.1f %.1f", pen ? 'L' : 'M', x_of(&sx, c->x[i]), y_of(&sy, c->y[i]));
            pen = true;
        }
    sg_buf_puts(b, "\"/>");
    for (size_t i = 0; i < c->n; i++)
        if (isfinite(c->x[i]) && isfinite(c->y[i]))
            sg_buf_printf(b,
                          "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"var(%s)\"><title>%.10g: "
                          "%.6g</title></circle>",
                          x_of(&sx, c->x[i]), y_of(&sy, c->y[i]),
                          (int)i == c->best ? "5"
                          : c->n > 60       ? "1.5"
                                            : "2.5",
                          (int)i == c->best ? "--second" : "--accent", c->x[i], c->y[i]);
    sg_buf_puts(b, "</svg></figure>\n");
}

void sg_html_usage(sg_buf *b, const char *title, const int64_t *count, size_t n)
{
    int64_t most = 0, sum = 0;

    for (size_t i = 0; i < n; i++) {
        most = count[i] > most ? count[i] : most;
        sum += count[i];
    }
    if (n == 0 || most == 0)
        return;
    const scale sy = nice_scale(0, (double)most);
    const double mean = (double)sum / (double)n, width = (double)(WIDTH - LEFT - RIGHT) / (double)n;

    sg_buf_puts(b, "<figure><figcaption>");
    sg_html_text(b, title);
    sg_buf_printf(b, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, HEIGHT);
    put_axes(b, &(scale){0, (double)n, (double)n}, &(scale){0, sy.high, sy.step}, "codes, most used first");
    sg_buf_printf(b, "<path fill=\"var(--accent)\" d=\"M%d %d", LEFT, HEIGHT - BOTTOM);
    for (size_t i = 0; i < n; i++) {
        const double y = y_of(&(scale){0, sy.high, sy.step}, (double)count[i]);

        sg_buf_printf(b, "V%.1fH%.2f", y, LEFT + (double)(i + 1) * width);
    }
    sg_buf_printf(b, "V%dZ\"/>", HEIGHT - BOTTOM);
    const double line = y_of(&(scale){0, sy.high, sy.step}, mean);

    sg_buf_printf(b,
                  "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"var(--second)\" "
                  "stroke-dasharray=\"4 3\"><title>mean %.1f</title></line>",
                  LEFT, WIDTH - RIGHT, line, line, mean);
    sg_buf_puts(b, "</svg></figure>\n");
}

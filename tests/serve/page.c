/* page.c - the page in a real browser: it loads, is typed into and clicked, compares two models, works by keyboard alone, on
 * narrow screens, in light and dark, and names what it shows to those who do not see it.
 *
 * Chromium is driven over a pipe (--remote-debugging-pipe: JSON between NULs on descriptors 3 and 4). Where there is none,
 * the test is skipped. SEDGE_SCREENSHOTS=DIR keeps what it saw. */
#include "client.h"

enum { BROWSER_MS = 120000 }; /* a browser takes its time where everything is slow; nothing waits for it */

static server s;
static struct browser {
    pid_t pid; /* 0: there is none here */
    int to, from;
    int number; /* of the latest command */
    char session[80];
    char *text; /* what was read and not used yet */
    size_t n, cap;
    int errors; /* of scripts, and what the console calls errors */
    char error[400];
} b;

static const char *find_browser(void)
{
    static const char *const names[] = {"chromium", "chromium-browser", "google-chrome", "headless_shell"};
    static char path[300];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char command[100];
        FILE *f;

        snprintf(command, sizeof command, "command -v %s", names[i]);
        f = popen(command, "r");
        path[0] = 0;
        if (f && !fgets(path, sizeof path, f))
            path[0] = 0;
        if (f)
            pclose(f);
        path[strcspn(path, "\n")] = 0;
        if (path[0])
            return path;
    }
    return NULL;
}

/* ---- commands and answers -------------------------------------------------------------------------------- */
static json_t *next_message(double until)
{
    for (;;) {
        char *end = b.n ? memchr(b.text, 0, b.n) : NULL;
        struct pollfd p = {.fd = b.from, .events = POLLIN};
        const int left = (int)((until - seconds_now()) * 1000);
        ssize_t got;

        if (end) {
            json_t *m = json_loads(b.text, 0, NULL);
            const size_t used = (size_t)(end - b.text) + 1;

            memmove(b.text, end + 1, b.n - used);
            b.n -= used;
            return m;
        }
        if (b.cap - b.n < 65536)
            b.text = realloc(b.text, b.cap = 2 * b.cap + 131072);
        if (left <= 0 || poll(&p, 1, left) <= 0 || (got = read(b.from, b.text + b.n, b.cap - b.n)) <= 0)
            return NULL;
        b.n += (size_t)got;
    }
}

static void note_trouble(const json_t *m)
{
    const char *method = json_string_value(json_object_get(m, "method"));
    const char *text = "";

    if (!method)
        return;
    if (strcmp(method, "Runtime.exceptionThrown") == 0) {
        text = json_string_value(
            member((json_t *)(uintptr_t)m, "params/exceptionDetails/exception/description"));
    } else if (strcmp(method, "Log.entryAdded") == 0 &&
               strcmp(json_string_value(member((json_t *)(uintptr_t)m, "params/entry/level")), "error") ==
                   0) {
        text = json_string_value(member((json_t *)(uintptr_t)m, "params/entry/text"));
    } else {
        return;
    }
    b.errors++;
    snprintf(b.error, sizeof b.error, "%s", text ? text : "?");
}

/* Sends a command; its result, owned. params is taken. */
static json_t *command(const char *method, json_t *params)
{
    const double until = seconds_now() + BROWSER_MS / 1e3;
    json_t *m = json_pack("{s:i, s:s, s:o}", "id", ++b.number, "method", method, "params",
                          params ? params : json_object());
    json_t *result = NULL;
    char *text;

    if (b.session[0])
        json_object_set_new(m, "sessionId", json_string(b.session));
    text = json_dumps(m, JSON_COMPACT);
    json_decref(m);
    for (size_t at = 0, n = strlen(text) + 1; at < n;) {
        const ssize_t sent = write(b.to, text + at, n - at);

        if (sent <= 0)
            fail_msg("the browser is gone");
        at += (size_t)sent;
    }
    free(text);
    while (!result) {
        if (!(m = next_message(until)))
            fail_msg("%s: no answer from the browser", method);
        if (json_integer_value(json_object_get(m, "id")) == b.number) {
            if (json_object_get(m, "error"))
                fail_msg("%s: %s", method, json_string_value(member(m, "error/message")));
            result = json_incref(json_object_get(m, "result"));
        } else {
            note_trouble(m);
        }
        json_decref(m);
    }
    return result;
}

static void tell(const char *method, json_t *params)
{
    json_decref(command(method, params));
}

/* The value of an expression, owned. */
static json_t *value_of(const char *expression)
{
    json_t *r = command("Runtime.evaluate", json_pack("{s:s, s:b, s:b}", "expression", expression,
                                                      "returnByValue", 1, "awaitPromise", 1));
    json_t *value = json_incref(member(r, "result/value"));

    if (member(r, "exceptionDetails"))
        fail_msg("%s: %s", expression,
                 json_string_value(member(r, "exceptionDetails/exception/description")));
    json_decref(r);
    return value;
}

static int int_of(const char *expression)
{
    json_t *v = value_of(expression);
    const int n = json_is_true(v) ? 1 : (int)json_number_value(v);

    json_decref(v);
    return n;
}

/* Static: until the next call. */
static const char *text_of(const char *expression)
{
    static char text[4000];
    json_t *v = value_of(expression);

    snprintf(text, sizeof text, "%s", json_string_value(v) ? json_string_value(v) : "(none)");
    json_decref(v);
    return text;
}

static void wait_until(const char *expression)
{
    for (int ms = 0; ms < BROWSER_MS; ms += 20) {
        if (int_of(expression))
            return;
        sleep_ms(20);
    }
    fail_msg("never: %s", expression);
}

static void press(const char *key, int code, const char *text)
{
    for (int up = 0; up < 2; up++) {
        json_t *p = json_pack("{s:s, s:s, s:s, s:i}", "type", up ? "keyUp" : "keyDown", "key", key, "code",
                              key, "windowsVirtualKeyCode", code);

        if (!up && text)
            json_object_set_new(p, "text", json_string(text));
        tell("Input.dispatchKeyEvent", p);
    }
}

static void type_text(const char *text)
{
    tell("Input.insertText", json_pack("{s:s}", "text", text));
}

/* With the mouse, in the middle of an element. */
static void click(const char *selector)
{
    static const char *const kinds[] = {"mousePressed", "mouseReleased"};
    char expression[500];

    snprintf(
        expression, sizeof expression,
        "(() => { const e = document.querySelector('%s'); e.scrollIntoView({block: 'center'}); const r = "
        "e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()",
        selector);
    json_t *at = value_of(expression);

    for (int i = 0; i < 2; i++)
        tell("Input.dispatchMouseEvent",
             json_pack("{s:s, s:O, s:O, s:s, s:i}", "type", kinds[i], "x", json_object_get(at, "x"), "y",
                       json_object_get(at, "y"), "button", "left", "clickCount", 1));
    json_decref(at);
}

static void look(int width, int height, const char *scheme)
{
    tell("Emulation.setDeviceMetricsOverride", json_pack("{s:i, s:i, s:f, s:b}", "width", width, "height",
                                                         height, "deviceScaleFactor", 1.0, "mobile", 0));
    tell("Emulation.setEmulatedMedia",
         json_pack("{s:[{s:s, s:s}]}", "features", "name", "prefers-color-scheme", "value", scheme));
}

static void screenshot(const char *name)
{
    const char *dir = getenv("SEDGE_SCREENSHOTS");
    char path[400];
    json_t *r;
    FILE *f;

    if (!dir)
        return;
    r = command("Page.captureScreenshot",
                json_pack("{s:s, s:b}", "format", "png", "captureBeyondViewport", 0));
    snprintf(path, sizeof path, "base64 -d >%s/%s.png", dir, name);
    if ((f = popen(path, "w"))) {
        fputs(json_string_value(json_object_get(r, "data")), f);
        pclose(f);
    }
    json_decref(r);
}

static void no_trouble(void)
{
    if (b.errors)
        fail_msg("%d errors in the browser, the last: %s", b.errors, b.error);
}

/* ---- starting and ending --------------------------------------------------------------------------------- */
static void start_browser(const char *path)
{
    int to[2], from[2];
    char profile[120];

    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    snprintf(profile, sizeof profile, "--user-data-dir=%s/profile", work);
    b.pid = fork();
    if (b.pid == 0) {
        char log[100];

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(log, sizeof log, "%s/browser.log", work);
        const int null = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        const int in3 = fcntl(to[0], F_DUPFD, 10), out4 = fcntl(from[1], F_DUPFD, 10);

        dup2(null, 0);
        dup2(out, 1);
        dup2(out, 2);
        dup2(in3, 3);
        dup2(out4, 4);
        execl(path, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
              "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe", profile, "about:blank",
              (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    b.to = to[1];
    b.from = from[0];
}

static void open_page(void)
{
    json_t *target = command("Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *r =
        command("Target.attachToTarget",
                json_pack("{s:O, s:b}", "targetId", json_object_get(target, "targetId"), "flatten", 1));
    char url[60];

    snprintf(b.session, sizeof b.session, "%s", json_string_value(json_object_get(r, "sessionId")));
    json_decref(r);
    json_decref(target);
    tell("Runtime.enable", NULL);
    tell("Log.enable", NULL);
    tell("Page.enable", NULL);
    tell("Accessibility.enable", NULL);
    look(1280, 1000, "light");
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    tell("Page.navigate", json_pack("{s:s}", "url", url));
}

static int start(void **state)
{
    static const char *const models[] = {"sasrec", "tiger", NULL};
    const char *path = find_browser();

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (!path) {
        print_message("skipped: no chromium here\n");
        return 0;
    }
    if (make_work(models))
        return -1;
    server_start(&s, "sasrec", "--threads 2 --also ids=tiger");
    start_browser(path);
    open_page();
    return 0;
}

static int stop(void **state)
{
    if (!b.pid)
        return 0;
    close(b.to);
    close(b.from);
    kill(b.pid, SIGKILL);
    waitpid(b.pid, NULL, 0);
    free(b.text);
    assert_int_equal(server_stop(&s), 0);
    return remove_work(state);
}

#define NEEDS_A_BROWSER()                                                                                    \
    do {                                                                                                     \
        (void)state;                                                                                         \
        if (!b.pid)                                                                                          \
            skip();                                                                                          \
    } while (0)

/* ---- what it does ---------------------------------------------------------------------------------------- */
static void it_shows_a_user_and_what_comes_next(void **state)
{
    NEEDS_A_BROWSER();
    wait_until(
        "document.readyState === 'complete' && document.querySelectorAll('#items > li').length === 10");
    assert_string_equal(text_of("document.title"), "sasrec \xc2\xb7 sedge");
    assert_true(int_of("document.querySelectorAll('#history > li').length") > 0);
    assert_int_equal(int_of("document.querySelectorAll('#cards .card').length"), 4);
    screenshot("wide-light");
    no_trouble();
}

static void typing_and_clicking_work(void **state)
{
    NEEDS_A_BROWSER();
    const int n = int_of("document.querySelectorAll('#history > li').length");

    click("#item");
    type_text("i7");
    press("Enter", 13, "\r");
    char more[100];
    snprintf(more, sizeof more, "document.querySelectorAll('#history > li').length === %d", n + 1);
    wait_until(more);
    assert_string_equal(text_of("document.querySelector('#history > li:last-child code').textContent"), "i7");
    wait_until("document.querySelectorAll('#items > li').length === 10");
    click("#clear");
    wait_until("document.querySelectorAll('#history > li').length === 0");
    assert_string_equal(text_of("document.querySelector('#status').textContent"),
                        "Load a user or add an item.");
    click("#item");
    type_text("nothing like it");
    press("Enter", 13, "\r");
    wait_until("document.querySelector('#status').className === 'bad'");
    assert_string_equal(text_of("document.querySelector('#status').textContent"),
                        "item 'nothing like it' is not in the catalogue");
    b.errors = 0; /* the console calls a 404 an error; it is what was asked for */
    tell("Runtime.evaluate", json_pack("{s:s}", "expression", "document.querySelector('#item').value = ''"));
    click("#item");
    type_text("i3");
    press("Enter", 13, "\r");
    wait_until("document.querySelectorAll('#items > li').length === 10");
    no_trouble();
}

static void two_models_stand_side_by_side(void **state)
{
    NEEDS_A_BROWSER();
    assert_int_equal(int_of("[...document.querySelectorAll('.pick')].every(e => !e.hidden)"), 1);
    assert_string_equal(text_of("[...document.querySelector('#beside').options].map(o => o.text).join()"),
                        "none,sasrec,ids");
    assert_int_equal(int_of("document.querySelector('#beside-box').hidden"), 1);
    tell("Runtime.evaluate", json_pack("{s:s}", "expression", "document.querySelector('#beside').focus()"));
    press("ArrowDown", 40, NULL);
    press("ArrowDown", 40, NULL);
    press("Enter", 13, "\r");
    wait_until("document.querySelector('#beside').value === 'ids' && "
               "document.querySelectorAll('#beside-items > li').length === 10");
    assert_string_equal(text_of("document.querySelector('#items-name').textContent"), "sasrec");
    assert_string_equal(text_of("document.querySelector('#beside-name').textContent"), "ids");
    /* each list says where the other has an item, and both agree on how many they share */
    const int shared =
        int_of("(() => { const of = l => new Set([...document.querySelectorAll(l + ' > li')].map(e => "
               "e.querySelector('code').textContent)), a = of('#items'), b = of('#beside-items'); "
               "return [...a].filter(x => b.has(x)).length; })()");
    char want[40];

    for (int i = 0; i < 2; i++) {
        char expression[200];

        snprintf(expression, sizeof expression, "document.querySelectorAll('%s > li .only').length",
                 i ? "#beside-items" : "#items");
        assert_int_equal(int_of(expression), 10 - shared);
    }
    snprintf(want, sizeof want, "%d in both lists", shared);
    assert_non_null(strstr(text_of("document.querySelector('#status').textContent"), want));
    assert_int_equal(int_of("document.querySelector('#items').getBoundingClientRect().right <= "
                            "document.querySelector('#beside-items').getBoundingClientRect().left"),
                     1);
    screenshot("beside-light");
    no_trouble();
}

/* ---- for whom -------------------------------------------------------------------------------------------- */
/* Whatever takes the focus is reached by Tab, in the order of reading, has a name, and shows that it has the focus. */
static void the_keyboard_reaches_everything(void **state)
{
    NEEDS_A_BROWSER();
    const int all = int_of(
        "window.order = [...document.querySelectorAll('a, button, input, select, summary')].filter(e => "
        "e.checkVisibility()), order.length");

    tell("Runtime.evaluate", json_pack("{s:s}", "expression", "order[0].focus()"));
    for (int i = 1; i < all; i++) {
        press("Tab", 9, NULL);
        const int at = int_of("order.indexOf(document.activeElement)");

        if (at != i)
            fail_msg("Tab %d reached element %d: %s", i, at,
                     text_of("document.activeElement.outerHTML.slice(0, 200)"));
        assert_int_equal(int_of("getComputedStyle(document.activeElement).outlineStyle !== 'none'"), 1);
    }
    /* a button that goes away hands the focus to its neighbour */
    tell("Runtime.evaluate",
         json_pack("{s:s}", "expression", "document.querySelector('#user').value = 'u5'"));
    tell("Runtime.evaluate", json_pack("{s:s}", "expression", "document.querySelector('#user').focus()"));
    press("Enter", 13, "\r");
    wait_until("document.querySelectorAll('#history > li').length > 2");
    tell("Runtime.evaluate",
         json_pack("{s:s}", "expression", "document.querySelector('#history button').focus()"));
    press(" ", 32, " ");
    assert_int_equal(int_of("document.activeElement === document.querySelector('#history button')"), 1);
    wait_until("document.querySelectorAll('#beside-items > li').length === 10");
    no_trouble();
}

/* The tree that screen readers see. */
static void everything_has_a_role_and_a_name(void **state)
{
    static const char *const named[] = {"button",     "textbox", "combobox", "checkbox",
                                        "spinbutton", "link",    "image",    "MenuListPopup",
                                        "region",     "list",    "heading"};
    int count[11] = {0}, live = 0;
    json_t *tree, *node;
    size_t i;

    NEEDS_A_BROWSER();
    tree = command("Accessibility.getFullAXTree", NULL);
    json_array_foreach(json_object_get(tree, "nodes"), i, node)
    {
        const char *role = json_string_value(member(node, "role/value")),
                   *name = json_string_value(member(node, "name/value"));

        if (json_is_true(json_object_get(node, "ignored")) || !role)
            continue;
        live += strcmp(role, "status") == 0;
        for (size_t k = 0; k < sizeof named / sizeof *named; k++) {
            if (strcmp(role, named[k]) != 0)
                continue;
            count[k]++;
            if (strcmp(role, "MenuListPopup") != 0 && !(strcmp(role, "list") == 0 && count[k] == 1) &&
                (!name || !name[0]))
                fail_msg("a %s without a name", role);
        }
    }
    json_decref(tree);
    assert_true(count[0] > 20 && count[2] >= 2 && count[3] == 1 && count[4] == 2 && live >= 1);
    assert_int_equal(
        int_of(
            "document.querySelectorAll('main').length === 1 && document.querySelectorAll('h1').length === 1"),
        1);
    assert_string_equal(text_of("document.documentElement.lang"), "en");
}

/* Contrast of every visible text with what lies behind it, as WCAG counts it: the least, times 100. */
static const char contrast[] =
    "(() => {"
    "const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});"
    "const rgb = (c, under) => { canvas.fillStyle = `rgb(${under})`; canvas.fillRect(0, 0, 1, 1); "
    "canvas.fillStyle = c; "
    "canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };"
    "const bar = getComputedStyle(document.documentElement).getPropertyValue('--bar');"
    "const behind = e => { const chain = []; for (; e; e = e.parentElement) "
    "chain.unshift(e.matches('.meter') ? bar : "
    "getComputedStyle(e).backgroundColor);"
    "  return chain.reduce((under, c) => rgb(c, under), [255, 255, 255]); };"
    "const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / "
    "1.055) ** 2.4); "
    "return .2126 * r + .7152 * g + .0722 * b; };"
    "let least = 100, where = '';"
    "const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
    "for (let t; t = walk.nextNode();) {"
    "  const e = t.parentElement;"
    "  if (!t.data.trim() || e.tagName === 'SCRIPT' || !e.checkVisibility({visibilityProperty: true})) "
    "continue;"
    "  const back = behind(e), a = light(rgb(getComputedStyle(e).color, back)), b = light(back);"
    "  const c = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);"
    "  if (c < least) { least = c; where = e.outerHTML.slice(0, 120); }"
    "}"
    "window.leastWhere = where;"
    "return Math.floor(100 * least);"
    "})()";

static void it_can_be_read_in_light_and_dark(void **state)
{
    static const char *const schemes[] = {"light", "dark"};

    NEEDS_A_BROWSER();
    for (int i = 0; i < 2; i++) {
        look(1280, 1000, schemes[i]);
        wait_until("document.querySelectorAll('#beside-items > li').length === 10");
        const int least = int_of(contrast);

        screenshot(i ? "beside-dark" : "beside-light-2");
        if (least < 450) /* WCAG 2.2, level AA */
            fail_msg("contrast %d.%02d in %s: %s", least / 100, least % 100, schemes[i],
                     text_of("window.leastWhere"));
    }
    assert_int_equal(int_of("getComputedStyle(document.body).backgroundColor !== 'rgb(251, 251, 250)'"), 1);
}

static void narrow_screens_need_no_scrolling_sideways(void **state)
{
    static const int widths[] = {320, 390, 768, 1024};

    NEEDS_A_BROWSER();
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        char name[40];

        look(widths[i], 800, i % 2 ? "light" : "dark");
        snprintf(name, sizeof name, "narrow-%d", widths[i]);
        const int wide = int_of("document.documentElement.scrollWidth");

        screenshot(name);
        if (wide > widths[i])
            fail_msg("%d pixels wide on a screen of %d: %s", wide, widths[i],
                     text_of("[...document.querySelectorAll('body *')].filter(e => "
                             "e.getBoundingClientRect().right > innerWidth + "
                             "1).map(e => e.outerHTML.slice(0, 100)).slice(-1)[0]"));
    }
    assert_int_equal(
        int_of("getComputedStyle(document.querySelector('#lists')).gridTemplateColumns.split(' ').length"),
        2);
    look(390, 800, "light");
    assert_int_equal(
        int_of("getComputedStyle(document.querySelector('#lists')).gridTemplateColumns.split(' ').length"),
        1);
    no_trouble();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_shows_a_user_and_what_comes_next),
        cmocka_unit_test(typing_and_clicking_work),
        cmocka_unit_test(two_models_stand_side_by_side),
        cmocka_unit_test(the_keyboard_reaches_everything),
        cmocka_unit_test(everything_has_a_role_and_a_name),
        cmocka_unit_test(it_can_be_read_in_light_and_dark),
        cmocka_unit_test(narrow_screens_need_no_scrolling_sideways),
    };

    return cmocka_run_group_tests(tests, start, stop);
}

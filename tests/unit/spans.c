/* spans.c - runs of words: where they lie, how many, and that those which share words come first. */
#include "text/spans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static sg_bytes bytes_of(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

static int draw(sg_span *out, int n, const char *text, const char *query, int words, double sharpness,
                uint64_t number)
{
    const sg_span_how how = {words, sharpness, 1, number};
    int found;
    sg_error err;

    assert_int_equal(sg_spans_draw(out, &found, n, bytes_of(text), bytes_of(query), &how, &err), SG_OK);
    return found;
}

static void spans_are_runs_of_words(void **state)
{
    (void)state;
    const char *text = " one\ttwo  three\nfour five ";
    sg_span s[10];

    assert_int_equal(draw(s, 10, text, "", 2, 0, 0), 4); /* each once */
    for (int i = 0; i < 4; i++) {
        assert_true(s[i].begin > 0 && strchr(" \t\n", text[s[i].begin - 1]) &&
                    !strchr(" \t\n", text[s[i].begin]));
        assert_true(strchr(" \t\n", text[s[i].end]) && !strchr(" \t\n", text[s[i].end - 1]));
        for (int k = 0; k < i; k++)
            assert_true(s[i].begin != s[k].begin);
    }
    assert_int_equal(draw(s, 3, text, "", 2, 0, 0), 3);
    assert_int_equal(draw(s, 10, text, "", 9, 0, 0), 1); /* fewer words than asked */
    assert_true(s[0].begin == 1 && s[0].end == strlen(text) - 1);
    assert_int_equal(draw(s, 10, "", "", 2, 0, 0), 0);
    assert_int_equal(draw(s, 10, " \n\t ", "", 2, 0, 0), 0);
    assert_int_equal(draw(s, 0, text, "", 2, 0, 0), 0);
}

/* Letters and digits count, not their case nor what stands around them; short words do not. */
static void shared_words_come_first(void **state)
{
    (void)state;
    const char *text = "nothing here is of any use but the (Heart-Rate) of old mice was low and nothing else";
    sg_span s[1];

    for (uint64_t number = 0; number < 200; number++) {
        assert_int_equal(draw(s, 1, text, "is the heartrate of use?", 1, 60, number), 1);
        assert_memory_equal(text + s[0].begin, "(Heart-Rate)", s[0].end - s[0].begin);
        assert_int_equal(draw(s, 1, text, "MICE: heartrate", 3, 60, number),
                         1); /* begins with one and has both, or begins with one */
        assert_int_equal(draw(s, 1, text, "mice heartrate", 4, 60, number), 1);
        assert_memory_equal(text + s[0].begin, "(Heart-Rate) of old mice", s[0].end - s[0].begin);
    }
}

/* e^sharpness more often: of two words one is shared, and it is what the span begins with, too. */
static void odds_are_those_asked_for(void **state)
{
    (void)state;
    int first = 0;
    sg_span s[1];

    for (uint64_t number = 0; number < 20000; number++) {
        assert_int_equal(draw(s, 1, "heart lungs", "heart", 1, 0.5, number), 1);
        first += s[0].begin == 0;
    }
    assert_in_range(first, 14321, 14921); /* 20,000 e / (1 + e) = 14,621; a deviation of 63 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_runs_of_words),
        cmocka_unit_test(shared_words_come_first),
        cmocka_unit_test(odds_are_those_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* lessons.c - what of a text counts in the loss: answers and their ends, never what was asked; cutting; lines that are wrong. */
#include "base/alloc.h"
#include "base/io.h"
#include "lm/lessons.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* tests/parity/llama: <|im_start|> 0, <|im_end|> 1 (ends a text), a .. z 2 .. 27, space 28, newline 29, "th" 39 */
enum { START, END, A, SPACE = 28, LINE = 29 };
static sg_llama *m;

static int setup(void **state)
{
    sg_error err;

    return folder_make(state) || sg_llama_open(&m, TEST_SOURCE_DIR "/tests/parity/llama", &err);
}

static int teardown(void **state)
{
    sg_error err;

    (void)state;
    sg_llama_close(m);
    return sg_dir_remove(folder, &err);
}

static sg_status read_text(sg_lessons *out, const char *name, const char *text, const sg_lessons_how *how,
                           sg_error *err)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(sg_file_write(path, text, strlen(text), err), SG_OK);
    return sg_lessons_read(out, (sg_lessons_for[]){sg_lessons_for_llama(m)}, path, how, NULL, err);
}

static void read_fine(sg_lessons *out, const char *name, const char *text, const sg_lessons_how *how)
{
    sg_error err;

    if (read_text(out, name, text, how, &err))
        fail_msg("%s", err.message);
}

static void check(const sg_lessons *l, size_t lesson, const int32_t *id, const char *counts)
{
    const size_t n = l->begin[lesson + 1] - l->begin[lesson];

    assert_int_equal(n, strlen(counts));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(l->id[l->begin[lesson] + i], id[i]);
        assert_int_equal(l->counts[l->begin[lesson] + i], counts[i] == 'x');
    }
}

static void completions_count_and_prompts_do_not(void **state)
{
    (void)state;
    static const char text[] = "{\"prompt\": \"ab\", \"completion\": \" c\"}\n\n{\"instruction\": \"a\", "
                               "\"input\": \"b\", \"output\": \"c\"}\n"
                               "{\"instruction\": \"a\", \"output\": \"c<|im_end|>\"}\n{\"text\": \"abc\"}\n";
    sg_lessons l;

    read_fine(&l, "a.jsonl", text, &(sg_lessons_how){.most = 60});
    assert_int_equal(l.n, 4);
    assert_int_equal(l.cut, 0);
    check(&l, 0, (int32_t[]){A, A + 1, SPACE, A + 2, END}, "--xxx");
    check(&l, 1, (int32_t[]){A, LINE, A + 1, LINE, A + 2, END}, "----xx");
    assert_int_equal(l.id[l.begin[2]], A); /* an end that a text spells is text: one END, the last token */
    for (size_t i = l.begin[2]; i + 1 < l.begin[3]; i++)
        assert_int_not_equal(l.id[i], END);
    check(&l, 3, (int32_t[]){A, A + 1, A + 2, END}, "-xxx");
    sg_lessons_free(&l);
    read_fine(&l, "a.jsonl", text, &(sg_lessons_how){.most = 60, .prompt_counts = true});
    check(&l, 0, (int32_t[]){A, A + 1, SPACE, A + 2, END}, "-xxxx");
    sg_lessons_free(&l);
}

static void turns_of_the_assistant_count(void **state)
{
    (void)state;
    sg_lessons l;
    size_t counted = 0;

    read_fine(&l, "b.jsonl",
              "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
              "\"content\": \"bc\"}, {\"role\": \"user\", "
              "\"content\": \"d\"}, {\"role\": \"assistant\", \"content\": \"e\"}, {\"role\": \"user\", "
              "\"content\": \"f\"}]}\n",
              &(sg_lessons_how){.most = 200});
    assert_int_equal(l.n, 1);
    assert_int_equal(l.counted, 5); /* b c END, e END: what comes after the last answer is left away */
    for (size_t i = 0; i < l.begin[1]; i++)
        if (l.counts[i]) {
            static const int32_t want[] = {A + 1, A + 2, END, A + 4, END};

            assert_int_equal(l.id[i], want[counted++]);
        }
    sg_lessons_free(&l);

    /* prompts as turns of a user: what `generate --chat` gives the model */
    const sg_turn turn = {"user", {"ab", 2}};
    sg_token_list prompt = {0};
    sg_error err;
    assert_int_equal(sg_chat_tokens(&prompt, m, &turn, 1, true, &err), SG_OK);
    read_fine(&l, "c.jsonl", "{\"prompt\": \"ab\", \"completion\": \"c\"}\n",
              &(sg_lessons_how){.most = 200, .chat = true});
    assert_int_equal(l.begin[1], prompt.n + 2);
    assert_memory_equal(l.id, prompt.id, prompt.n * sizeof *prompt.id);
    assert_int_equal(l.counted, 2);
    sg_free(prompt.id);
    sg_lessons_free(&l);
}

static void what_is_too_long_loses_its_front(void **state)
{
    (void)state;
    sg_lessons l;

    read_fine(
        &l, "d.jsonl",
        "{\"prompt\": \"abcdef\", \"completion\": \"g\"}\n{\"prompt\": \"a\", \"completion\": \"bcdefg\"}\n",
        &(sg_lessons_how){.most = 4});
    assert_int_equal(l.cut, 2);
    check(&l, 0, (int32_t[]){A + 4, A + 5, A + 6, END}, "--xx");
    check(&l, 1, (int32_t[]){A, A + 1, A + 2, A + 3}, "-xxx"); /* then its end */
    sg_lessons_free(&l);
}

static void plain_text_is_cut_into_pieces(void **state)
{
    (void)state;
    sg_lessons l;

    read_fine(&l, "e.txt", "abcdefg", &(sg_lessons_how){.most = 3});
    assert_int_equal(l.n, 2); /* the last letter alone has nothing before it */
    check(&l, 0, (int32_t[]){A, A + 1, A + 2}, "-xx");
    check(&l, 1, (int32_t[]){A + 3, A + 4, A + 5}, "-xx");
    sg_lessons_free(&l);
}

static void wrong_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"text\": \"a\"}\n{\"txt\": \"a\"}\n",
         "f.jsonl:2: expected 'messages', 'prompt' and 'completion', 'instruction' and 'output', or 'text'"},
        {"{\"prompt\": \"a\"}\n", "f.jsonl:1: 'completion': expected a text, found nothing"},
        {"{\"text\": 3}\n", "f.jsonl:1: 'text': expected a text, found 3"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n",
         "f.jsonl:1: 'messages': expected a turn of the assistant, found none"},
        {"{\"messages\": [{\"role\": \"robot\", \"content\": \"a\"}]}\n",
         "f.jsonl:1: message 1: expected a 'role' system, user or assistant and a 'content' of text"},
        {"", "f.jsonl: expected texts to learn from, found none"},
    };
    sg_lessons l;
    sg_error err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_text(&l, "f.jsonl", cases[i].text, &(sg_lessons_how){.most = 9}, &err),
                         SG_ERR_FORMAT);
        assert_string_equal(err.message + strlen(folder) + 1, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completions_count_and_prompts_do_not),
        cmocka_unit_test(turns_of_the_assistant_count),
        cmocka_unit_test(what_is_too_long_loses_its_front),
        cmocka_unit_test(plain_text_is_cut_into_pieces),
        cmocka_unit_test(wrong_lines_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* know.c - whichever allocation or read fails, in templates, keys, models behind one interface, caches and requests: a clear error, no
 * leak, and no request that hangs. */
#include "faults.h"

#include "lm/llm.h"
#include "text/template.h"

#include "sedge/sedge.h"

#include "folder.h"

#include <sys/stat.h>

#include "../mock.h"

#define FILES TEST_SOURCE_DIR "/tests/parity/"

static int make_scratch(void **state)
{
    unsetenv("http_proxy");
    return folder_make(state);
}

static void path_of(char path[SCRATCH_MAX + 40], const char *name)
{
    snprintf(path, SCRATCH_MAX + 40, "%s/%s", folder, name);
}

/* ---- templates -------------------------------------------------------------------------------------------------------------- */
/* without a pattern: where PCRE2 finds no memory for machine code it is interpreted, and the walk would end there */
#define TEMPLATE(answer)                                                                                     \
    "template t 1\nslot h list=\", \" keep=end number\nslot a tokens=3 else=\"none\" json\nguard "           \
    "<S>\nbudget 20\n"                                                                                       \
    "answer " answer "\nfallback x\n[system]\nYou.\n[user]\nfor {a} of {h} and {b}\n"

static sg_status fill_template(void *ctx, sg_error *err)
{
    const sg_bytes part[] = {{"one two three four", 18}, {"five <S> six", 12}, {"seven", 5}};
    const sg_slot_value value[] = {{part, 3}, {NULL, 0}, {part, 1}};
    static const char plain[] = TEMPLATE("line"), *const known[] = {"a", "b", "h"};
    sg_template *t = NULL;
    sg_prompt out = {0};
    sg_buf answer = {0};
    size_t to[3];
    sg_status st = ctx ? sg_template_open(&t, ctx, err)
                       : sg_template_parse(&t, (sg_bytes){plain, strlen(plain)}, "t", err);

    if (!st && !(st = sg_template_bind(to, t, known, 3, err)) &&
        !(st = sg_template_render(&out, t, value, NULL, "it", err)))
        st = sg_template_answer(&answer, t, (sg_bytes){"about 42", 8}, err);
    sg_prompt_free(&out);
    sg_buf_free(&answer);
    sg_template_close(t);
    return st;
}

static sg_status open_template(void *ctx, sg_error *err)
{
    sg_template *t;
    const sg_status st = sg_template_open(&t, ctx, err);

    sg_template_close(t);
    return st;
}

static void templates_survive_every_fault(void **state)
{
    (void)state;
    static const char matching[] = TEMPLATE("match [0-9]+");
    char path[SCRATCH_MAX + 40];

    path_of(path, "t.txt");
    assert_int_equal(sg_file_write(path, matching, strlen(matching), NULL), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, fill_template, NULL, NULL) >= 40);
    static const char keys[] = TEMPLATE("json a, b\nwhole");
    path_of(path, "k.txt");
    assert_int_equal(sg_file_write(path, keys, strlen(keys), NULL), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, open_template, NULL, path) >= 20);
    path_of(path, "t.txt");
    assert_true(faults_walk(FAULTS_IO, fill_template, NULL, path) >= 2);
}

/* ---- models and caches ------------------------------------------------------------------------------------------------------ */
static sg_llm_config usual(void)
{
    sg_llm_config c;

    sg_llm_config_init(&c);
    c.client.retry_seconds = 0.001;
    c.generate.length = 3;
    snprintf(c.sentence.precision, sizeof c.sentence.precision, "f32");
    return c;
}

static sg_status open_model(void *ctx, sg_error *err)
{
    const sg_llm_config c = usual();
    sg_llm *l;
    const sg_status st = sg_llm_open(&l, ctx, &c, err);

    sg_llm_close(l);
    return st;
}

static sg_status embed(void *ctx, sg_error *err)
{
    const sg_bytes text[3] = {{"a b c", 5}, {"d", 1}, {"d", 1}};
    char path[SCRATCH_MAX + 40];
    sg_cache *cache = NULL;
    json_t *report = NULL;
    float *x = NULL;
    int32_t dim;
    sg_status st;

    path_of(path, "v.db");
    remove(path);
    if (!(st = sg_cache_open(&cache, path, err)))
        st = sg_llm_embed(&x, &dim, ctx, text, 3, cache, NULL, NULL, &report, err);
    sg_free(x);
    json_decref(report);
    sg_cache_close(cache);
    return st;
}

/* A model that nobody has hashed yet. */
static sg_status open_and_embed(void *ctx, sg_error *err)
{
    const sg_llm_config c = usual();
    sg_llm *l;
    sg_status st = sg_llm_open(&l, ctx, &c, err);

    if (!st)
        st = embed(l, err);
    sg_llm_close(l);
    return st;
}

static void models_survive_every_fault(void **state)
{
    (void)state;
    const sg_llm_config c = usual();
    char model[] = FILES "bert", address[] = "http://127.0.0.1:1/v1";
    sg_error err;
    sg_llm *l;

    assert_true(faults_walk(FAULTS_ALLOC, open_and_embed, NULL, model) >= 70);
    assert_true(faults_walk(FAULTS_IO, open_and_embed, NULL, model) >= 25);
    assert_true(faults_walk(FAULTS_ALLOC, open_model, NULL, address) >= 8);
    assert_int_equal(sg_llm_open(&l, model, &c, &err), SG_OK);
    assert_int_equal(embed(l, &err), SG_OK); /* packs the weights once */
    assert_true(faults_walk(FAULTS_ALLOC, embed, NULL, l) >= 15);
    sg_llm_close(l);
}

/* ---- the key ---------------------------------------------------------------------------------------------------------------- */
static sg_status read_key(void *ctx, sg_error *err)
{
    sg_client_config c;
    sg_client *client;
    sg_status st;

    sg_options_init(&c, sg_client_options, sg_n_client_options);
    snprintf(c.key_file, sizeof c.key_file, "%s", (const char *)ctx);
    st = sg_client_new(&client, "http://127.0.0.1:1/v1", &c, err);
    sg_client_free(client);
    return st;
}

static void keys_survive_every_fault(void **state)
{
    (void)state;
    char path[SCRATCH_MAX + 40];

    path_of(path, "key");
    assert_int_equal(sg_file_write(path, "secret\n", 7, NULL), SG_OK);
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(faults_walk(FAULTS_ALLOC, read_key, NULL, path) >= 5);
    assert_int_equal(faults_walk(FAULTS_IO, read_key, NULL, path), 2);
}

/* ---- requests --------------------------------------------------------------------------------------------------------------- */
static sg_status make(void *ctx, size_t i, sg_turns *out, sg_error *err)
{
    static sg_turn turn;

    (void)ctx;
    (void)err;
    turn = (sg_turn){"user", {i % 2 ? "the" : "a", i % 2 ? 3 : 1}};
    *out = (sg_turns){&turn, 1};
    return SG_OK;
}

static sg_status take(void *ctx, size_t i, const sg_llm_answer *a, sg_error *err)
{
    (void)ctx;
    (void)i;
    (void)a;
    (void)err;
    return SG_OK;
}

static sg_status talk(void *ctx, sg_error *err)
{
    const sg_llm_work w = {.n = 4, .origin = {"t 1", 3}, .make = make, .take = take};
    char path[SCRATCH_MAX + 40];
    sg_cache *cache = NULL;
    sg_llm_count count;
    sg_status st;

    path_of(path, "a.db");
    remove(path);
    if (!(st = sg_cache_open(&cache, path, err)))
        st = sg_llm_chat(ctx, &w, cache, &count, NULL, NULL, err);
    sg_cache_close(cache);
    return st;
}

static sg_status score(void *ctx, sg_error *err)
{
    const sg_bytes text[3] = {{"cat", 3}, {"a", 1}, {"the", 3}};
    const sg_llm_scores w = {.prompt = {"a\xff", 2}, .text = text, .n = 3};
    char path[SCRATCH_MAX + 40];
    sg_cache *cache = NULL;
    double logp[3];
    int tokens[3];
    size_t cached;
    sg_status st;

    path_of(path, "s.db");
    remove(path);
    for (int round = 0; round < 2; round++) { /* the second one reads it */
        if ((st = sg_cache_open(&cache, path, err)))
            return st;
        st = sg_llm_score(logp, tokens, &cached, ctx, &w, cache, NULL, NULL, err);
        sg_cache_close(cache);
        if (st)
            return st;
    }
    assert_int_equal(cached, 3);
    return SG_OK;
}

static sg_status score_there(void *ctx, sg_error *err)
{
    sg_llm_config c = usual();
    sg_llm *l;
    sg_status st;

    snprintf(c.offers, sizeof c.offers, "chat,score");
    if (!(st = sg_llm_open(&l, ctx, &c, err)))
        st = score(l, err);
    sg_llm_close(l);
    return st;
}

/* A function of the library, with a file in which something is lost, twice, with a cache. */
static sg_status whole(void *ctx, sg_error *err)
{
    char path[2][SCRATCH_MAX + 40];
    const char *const set[] = {"length=3", "stop=q", "temperature=1"};
    const sedge_lm_params p = {.size = sizeof p,
                               .model = FILES "llama.gguf",
                               .prompt = ctx ? "a" : NULL,
                               .file = path[0],
                               .set = set,
                               .n_set = ctx ? 0 : 3,
                               .cache = path[1]};
    sedge_error why = {0};
    int st = 0;

    path_of(path[0], ctx ? "texts.txt" : "prompts.jsonl");
    path_of(path[1], "w.db");
    remove(path[1]);
    for (int round = 0; round < 2 && !st; round++) {
        char *json = NULL;

        st = ctx ? sedge_lm_score(&p, &json, &why) : sedge_lm_generate(&p, &json, &why);
        assert_true(st || strstr(json, "\"failures\": 1"));
        sedge_free(json);
    }
    return st ? sg_fail(err, (sg_status)why.status, "%s", why.message) : SG_OK;
}

static void whole_calls_survive_every_fault(void **state)
{
    (void)state;
    sg_buf text = {0};
    char path[SCRATCH_MAX + 40];

    for (int i = 0; i < 400; i++)
        sg_buf_puts(&text, "cat ");
    sg_buf_puts(&text, "\na\n");
    path_of(path, "texts.txt");
    assert_int_equal(sg_file_write(path, text.data, text.size, NULL), SG_OK);
    text.size = 0;
    sg_buf_puts(&text, "{\"prompt\": \"a\", \"id\": 1}\n{\"prompt\": \"\"}\n{\"prompt\": \"cat\"}\n");
    path_of(path, "prompts.jsonl");
    assert_int_equal(sg_file_write(path, text.data, text.size, NULL), SG_OK);
    sg_buf_free(&text);
    assert_true(faults_walk(FAULTS_ALLOC, whole, NULL, NULL) >= 60);
    assert_true(faults_walk(FAULTS_ALLOC, whole, NULL, path) >= 60);
}

static const char *tell_key(const char *prompt)
{
    (void)prompt;
    return "your key is sk-0123456789abcdefghij";
}

static void requests_survive_every_fault(void **state)
{
    (void)state;
    sg_llm_config c = usual();
    sg_error err;
    sg_llm *l;
    mock m;

    mock_start(&m, NULL, 0);
    m.say = tell_key;
    setenv("SEDGE_LLM_KEY", "sk-0123456789abcdefghij", 1);
    assert_int_equal(sg_llm_open(&l, m.url, &c, &err), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, talk, NULL, l) >= 15);
    sg_llm_close(l);
    assert_true(faults_walk(FAULTS_ALLOC, score_there, NULL, m.url) >= 15);
    mock_stop(&m);
    unsetenv("SEDGE_LLM_KEY");
    snprintf(c.stop, sizeof c.stop, "s");
    c.generate.temperature = 1;
    assert_int_equal(sg_llm_open(&l, FILES "llama.gguf", &c, &err), SG_OK);
    assert_int_equal(talk(l, &err), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, talk, NULL, l) >= 15);
    assert_true(faults_walk(FAULTS_ALLOC, score, NULL, l) >= 10);
    sg_llm_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_survive_every_fault),   cmocka_unit_test(models_survive_every_fault),
        cmocka_unit_test(keys_survive_every_fault),        cmocka_unit_test(requests_survive_every_fault),
        cmocka_unit_test(whole_calls_survive_every_fault),
    };
    return cmocka_run_group_tests(tests, make_scratch, folder_drop);
}

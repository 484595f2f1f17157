/* llm.c - one interface over models here and endpoints: what each can, what is asked only once, and equal results either way. */
#include "base/alloc.h"
#include "base/io.h"
#include "lm/endpoint.h"
#include "lm/llm.h"

#include "folder.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../mock.h"

#define N(list) (sizeof(list) / sizeof *(list))
#define FILES   TEST_SOURCE_DIR "/tests/parity/"

static int make_scratch(void **state)
{
    unsetenv("http_proxy");
    unsetenv("SEDGE_LLM_KEY");
    return folder_make(state);
}

static sg_llm_config usual(void)
{
    sg_llm_config c;

    sg_llm_config_init(&c);
    c.client.retry_seconds = 0.001;
    c.generate.length = 8;
    snprintf(c.sentence.precision, sizeof c.sentence.precision, "f32");
    return c;
}

static sg_llm *opened(const char *where, const sg_llm_config *c)
{
    sg_error err;
    sg_llm *l;

    if (sg_llm_open(&l, where, c, &err))
        fail_msg("%s", err.message);
    return l;
}

static sg_cache *cache_at(const char *name)
{
    char path[SCRATCH_MAX + 40];
    sg_error err;
    sg_cache *c;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (sg_cache_open(&c, path, &err))
        fail_msg("%s", err.message);
    return c;
}

/* ---- capabilities ---------------------------------------------------------------------------------------------------------- */
static void says_what_is_missing(void **state)
{
    (void)state;
    sg_llm_config o = usual();
    sg_llm *l = opened(FILES "bert", &o);
    sg_error err;

    assert_int_equal(sg_llm_offers(l), SG_LLM_EMBED | SG_LLM_HIDDEN | SG_LLM_TRAIN);
    assert_int_equal(sg_llm_need(l, SG_LLM_EMBED, "KAR", &err), SG_OK);
    assert_int_equal(sg_llm_need(l, SG_LLM_CHAT | SG_LLM_EMBED | SG_LLM_TRAIN, "KAR", &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "KAR needs chat: " FILES "bert offers embed, hidden, train");
    sg_llm_close(l);
    l = opened(FILES "llama.gguf", &o);
    assert_int_equal(sg_llm_offers(l), (1u << SG_N_LLM_CAN) - 1);
    assert_true(sg_llm_decoder(l) && !sg_llm_t5(l));
    sg_llm_close(l);
    l = opened(FILES "t5", &o);
    assert_int_equal(sg_llm_offers(l),
                     SG_LLM_EMBED | SG_LLM_HIDDEN | SG_LLM_SCORE | SG_LLM_CONSTRAIN | SG_LLM_TRAIN);
    assert_true(sg_llm_t5(l) && !sg_llm_decoder(l));
    assert_int_equal(sg_llm_need(l, SG_LLM_SOFT, "E4SRec", &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "E4SRec needs soft: " FILES "t5 offers embed, score, hidden, constrain, train");
    sg_llm_close(l);
    snprintf(o.client.model, sizeof o.client.model, "m");
    l = opened("http://127.0.0.1:1/v1/", &o);
    assert_true(!sg_llm_decoder(l) && !sg_llm_t5(l));
    assert_int_equal(sg_llm_adapt(l, FILES "lora", &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "adapter needs train: http://127.0.0.1:1/v1 m offers chat, embed");
    assert_int_equal(sg_llm_need(l, SG_LLM_SCORE | SG_LLM_HIDDEN | SG_LLM_SOFT, "TALLRec", &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "TALLRec needs score, hidden, soft: http://127.0.0.1:1/v1 m offers chat, embed");
    sg_llm_close(l);
    snprintf(o.offers, sizeof o.offers, "chat,hidden");
    assert_int_equal(sg_llm_open(&l, "http://127.0.0.1:1/v1", &o, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "offers: expected chat, embed or score, found 'hidden'");
    o = usual();
    memcpy(o.stop, "\xff", 2);
    assert_int_equal(sg_llm_open(&l, "http://127.0.0.1:1/v1", &o, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "stop: expected a text in UTF-8, found bytes that are none");
}

/* ---- chat ------------------------------------------------------------------------------------------------------------------- */
enum { MOST = 32 };
typedef struct talk {
    const char *prompt[MOST];
    char answer[MOST][64];
    bool cached[MOST], cut[MOST];
    size_t taken;
    sg_turn turn;
} talk;

static sg_status make(void *ctx, size_t i, sg_turns *out, sg_error *err)
{
    talk *t = ctx;

    (void)err;
    t->turn = (sg_turn){"user", {t->prompt[i], strlen(t->prompt[i])}};
    *out = (sg_turns){&t->turn, 1};
    return SG_OK;
}

static sg_status take(void *ctx, size_t i, const sg_llm_answer *a, sg_error *err)
{
    talk *t = ctx;

    (void)err;
    snprintf(t->answer[i], sizeof t->answer[i], "%.*s", (int)a->text.size, a->text.data);
    t->cached[i] = a->cached;
    t->cut[i] = a->cut;
    return SG_OK;
}

static sg_llm_count talk_to(sg_llm *l, talk *t, size_t n, const char *origin, sg_cache *cache, bool dry)
{
    const sg_llm_work w = {
        .n = n, .ctx = t, .origin = {origin, strlen(origin)}, .dry = dry, .make = make, .take = take};
    sg_llm_count count;
    sg_error err;

    if (sg_llm_chat(l, &w, cache, &count, NULL, NULL, &err))
        fail_msg("%s", err.message);
    return count;
}

static void asks_an_endpoint_once(void **state)
{
    (void)state;
    sg_llm_config o = usual();
    sg_cache *cache = cache_at("once.db");
    talk t = {.prompt = {"a", "b", "a", "c", "a"}}, again = t;
    sg_llm_count n;
    sg_llm *l;
    mock m;

    mock_start(&m, NULL, 0);
    l = opened(m.url, &o);
    n = talk_to(l, &t, 5, "t 1", cache, true); /* dry: nothing is asked */
    assert_int_equal(n.asked, 3);
    assert_int_equal(n.repeated, 2);
    assert_true(n.tokens_in == 3 * 5 && n.tokens_out == 3 * 8);
    assert_int_equal(m.requests, 0);
    n = talk_to(l, &t, 5, "t 1", cache, false);
    assert_int_equal(m.requests, 3);
    for (size_t i = 0; i < 5; i++) {
        char want[16];

        snprintf(want, sizeof want, "re: %s", t.prompt[i]);
        assert_string_equal(t.answer[i], want);
        assert_false(t.cached[i]);
    }
    n = talk_to(l, &again, 5, "t 1", cache, false); /* a rerun makes no call */
    assert_int_equal(m.requests, 3);
    assert_int_equal(n.cached, 5);
    assert_int_equal(n.asked, 0);
    assert_true(again.cached[4]);
    assert_string_equal(again.answer[3], "re: c");
    talk_to(l, &again, 5, "t 2", cache, false); /* another version of the template */
    assert_int_equal(m.requests, 6);
    sg_llm_close(l);
    o.generate.temperature = 0.5; /* other options of the answer */
    l = opened(m.url, &o);
    talk_to(l, &again, 5, "t 1", cache, false);
    assert_int_equal(m.requests, 9);
    assert_non_null(strstr(m.last.data, "\"temperature\": 0.5"));
    sg_llm_close(l);
    sg_cache_close(cache);
    mock_stop(&m);
}

/* What not every server knows is sent only when it was asked for. */
static void thoughts_are_left_out_on_request(void **state)
{
    (void)state;
    const sg_turn turn = {"user", {"a", 1}};
    sg_generate_config o;

    sg_options_init(&o, sg_generate_options, sg_n_generate_options);
    for (int think = 0; think < 2; think++) {
        o.think = think;
        json_t *body = sg_endpoint_chat("m", &turn, 1, &o, "", false);
        const json_t *extra = json_object_get(body, "chat_template_kwargs");

        assert_true(think ? !extra : json_is_false(json_object_get(extra, "enable_thinking")));
        json_decref(body);
    }
}

static void a_wrong_schema_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"{}", "answer: 'choices': expected an array, found nothing"},
        {"{\"choices\": []}", "answer: 'choices': expected an object in the list, found nothing"},
        {"{\"choices\": [{}]}", "answer: 'choices': 'message': expected an object, found nothing"},
        {"{\"choices\": [{\"message\": {\"content\": null}}]}",
         "answer: 'message': 'content': expected a string, found null"},
    };
    const sg_llm_config o = usual();

    for (size_t i = 0; i < N(wrong); i++) {
        const mock_step step = {.kind = MOCK_TEXT, .text = wrong[i].text};
        talk t = {.prompt = {"a"}};
        const sg_llm_work w = {.n = 1, .ctx = &t, .make = make, .take = take};
        sg_llm_count count;
        char want[300];
        sg_error err;
        sg_llm *l;
        mock m;

        mock_start(&m, &step, 1);
        l = opened(m.url, &o);
        assert_int_equal(sg_llm_chat(l, &w, NULL, &count, NULL, NULL, &err), SG_ERR_FORMAT);
        snprintf(want, sizeof want, "%s/chat/completions: %s", m.url, wrong[i].message);
        assert_string_equal(err.message, want);
        sg_llm_close(l);
        mock_stop(&m);
    }
}

/* Prompts that share a beginning are read from where they differ: the answers must be those of a fresh session. */
static void a_model_here_answers_the_same_in_any_order(void **state)
{
    (void)state;
    static const char *const prompts[] = {"the", "the cat", "the cat s", "a", "the cat"};
    const sg_llm_config o = usual();
    sg_cache *cache = cache_at("local.db");
    talk all = {.prompt = {0}}, kept;
    sg_llm *l;

    memcpy(all.prompt, prompts, sizeof prompts);
    kept = all;
    l = opened(FILES "llama.gguf", &o);
    talk_to(l, &all, N(prompts), "t 1", NULL, false);
    for (size_t i = 0; i < N(prompts); i++) {
        talk one = {.prompt = {prompts[i]}};
        sg_llm *fresh = opened(FILES "llama.gguf", &o);

        talk_to(fresh, &one, 1, "t 1", NULL, false);
        assert_string_equal(one.answer[0], all.answer[i]);
        sg_llm_close(fresh);
    }
    talk_to(l, &kept, N(prompts), "t 1", cache, false);
    sg_llm_close(l);
    l = opened(FILES "llama.gguf", &o); /* the key is of the model's bytes, not of this handle */
    assert_int_equal(talk_to(l, &kept, N(prompts), "t 1", cache, false).cached, N(prompts));
    for (size_t i = 0; i < N(prompts); i++)
        assert_string_equal(kept.answer[i], all.answer[i]);
    sg_llm_close(l);
    sg_cache_close(cache);
}

/* Draws and keys are of a request: others beside it, the batch, a cache and a run that was stopped change nothing. */
static void a_model_here_draws_by_the_prompt(void **state)
{
    (void)state;
    static const char *const prompts[] = {"the", "the cat", "the cat s", "a", "cat", "s", "t", "he"};
    sg_llm_config o = usual();
    talk all = {.prompt = {0}}, other;
    sg_cache *cache = cache_at("draws.db");
    int different = 0;
    sg_llm *l;

    memcpy(all.prompt, prompts, sizeof prompts);
    other = all;
    o.generate.temperature = 1;
    o.generate.batch = 5;
    l = opened(FILES "llama.gguf", &o);
    talk_to(l, &all, N(prompts), "t 1", NULL, false);
    for (size_t i = 1; i < N(prompts); i++)
        different += strcmp(all.answer[i], all.answer[0]) != 0;
    assert_true(different >= 4); /* one random number for all would draw about the same */
    sg_llm_close(l);
    o.generate.batch = 1;
    l = opened(FILES "llama.gguf", &o);
    assert_int_equal(talk_to(l, &other, 2, "t 1", cache, false).asked, 2); /* a beginning, then the rest */
    assert_int_equal(talk_to(l, &other, N(prompts), "t 1", cache, false).asked, N(prompts) - 2);
    for (size_t i = 0; i < N(prompts); i++)
        assert_string_equal(other.answer[i], all.answer[i]);
    sg_llm_close(l);
    o.generate.batch = 3; /* is no part of what an answer depends on */
    l = opened(FILES "llama.gguf", &o);
    assert_int_equal(talk_to(l, &other, N(prompts), "t 1", cache, false).cached, N(prompts));
    sg_llm_close(l);
    sg_cache_close(cache);
}

static sg_status take_and_count(void *ctx, size_t i, const sg_llm_answer *a, sg_error *err)
{
    talk *t = ctx;

    (void)i;
    (void)err;
    t->cached[0] = t->cached[0] || a->cached;
    t->taken++;
    return SG_OK;
}

static int after_a_few(void *user, const sg_progress_event *e)
{
    const talk *t = user;

    assert_true(e->total == MOST && e->done <= MOST);
    return t->taken >= 3;
}

/* A stopped run has kept all that it handed out, though most of its batch was under way. */
static void a_model_here_keeps_each_answer_at_once(void **state)
{
    (void)state;
    char prompt[MOST][16];
    sg_llm_config o = usual();
    talk t = {0};
    const sg_llm_work w = {.n = MOST, .ctx = &t, .make = make, .take = take_and_count};
    const sg_progress stop = {after_a_few, &t};
    sg_cache *cache = cache_at("once_each.db");
    sg_llm_count count;
    sg_error err;
    sg_llm *l;

    for (int i = 0; i < MOST; i++) {
        snprintf(prompt[i], sizeof prompt[i], "%.*s %d", 1 + i % 5, "abcde", i);
        t.prompt[i] = prompt[i];
    }
    o.generate.temperature = 1; /* so that they end at different lengths */
    o.generate.length = 200;
    l = opened(FILES "llama.gguf", &o);
    assert_int_equal(sg_llm_chat(l, &w, cache, &count, NULL, &stop, &err), SG_ERR_CANCEL);
    const size_t kept = t.taken;
    assert_true(kept >= 3 && kept < 16); /* of a batch of 16 */
    assert_int_equal(sg_llm_chat(l, &w, cache, &count, NULL, NULL, &err), SG_OK);
    assert_int_equal(count.cached, kept);
    assert_int_equal(count.asked, MOST - kept);
    sg_llm_close(l);
    sg_cache_close(cache);
}

/* Writing ends with the stop text, which is not of the answer; what is cut at its length says so, also from the cache. */
static void answers_end_or_are_cut(void **state)
{
    (void)state;
    sg_llm_config o = usual();
    sg_cache *cache = cache_at("cut.db");
    talk t = {.prompt = {"t"}}, with = t;
    char stop[4];
    sg_llm *l;
    mock m;

    o.generate.length = 40;
    l = opened(FILES "llama.gguf", &o);
    for (int round = 0; round < 2; round++) {
        talk_to(l, &t, 1, "t 1", cache, false);
        assert_true(t.cut[0] && t.cached[0] == (round == 1));
    }
    sg_llm_close(l);
    assert_true(strlen(t.answer[0]) > 20);
    snprintf(stop, sizeof stop, "%.3s", t.answer[0] + 6); /* three letters from the middle */
    snprintf(o.stop, sizeof o.stop, "%s", stop);
    l = opened(FILES "llama.gguf", &o);
    talk_to(l, &with, 1, "t 1", cache, false);
    assert_false(with.cut[0] || with.cached[0]);
    assert_memory_equal(with.answer[0], t.answer[0], strlen(with.answer[0]));
    assert_memory_equal(t.answer[0] + strlen(with.answer[0]), stop, 3);
    sg_llm_close(l);
    *o.stop = 0;
    mock_start(&m, NULL, 0);
    for (int i = 0; i < 3; i++) {
        static const char *const reason[] = {"stop", "length", "content_filter"};

        m.reason = reason[i];
        t.prompt[0] = reason[i];
        l = opened(m.url, &o);
        for (int round = 0; round < 2; round++) {
            talk_to(l, &t, 1, "t 1", cache, false);
            assert_true(t.cut[0] == (i > 0) && t.cached[0] == (round == 1));
        }
        sg_llm_close(l);
    }
    mock_stop(&m);
    sg_cache_close(cache);
}

/* A file as version 1 left it, with an answer under the key of that time: it is brought up to date, and answers. */
static void an_older_cache_still_serves(void **state)
{
    (void)state;
    static const char params[] =
        "{\"length\": 8, \"temperature\": 0.0, \"top_k\": 0, \"top_p\": 1.0, \"min_p\": 0.0, \"beam\": 1, "
        "\"length_penalty\": 0.0, \"batch\": 16, \"whole\": false, \"seed\": 1, \"stop\": \"\", "
        "\"json_object\": false}";
    char path[SCRATCH_MAX + 20], put_it[600];
    sg_llm_config o = usual();
    sg_cache_key key;
    talk t = {.prompt = {"a"}};
    sg_cache *cache;
    sqlite3 *db;
    sg_llm *l;

    sg_cache_key_of(key,
                    (sg_bytes[]){{"chat", 4},
                                 {"http://127.0.0.1:1/v1", 21},
                                 {params, sizeof params - 1},
                                 {"t 1", 3},
                                 {"user", 4},
                                 {"a", 1}},
                    6);
    snprintf(path, sizeof path, "%s/old.db", folder);
    snprintf(put_it, sizeof put_it,
             "CREATE TABLE answers (key TEXT PRIMARY KEY, prompt TEXT NOT NULL, text TEXT NOT NULL, model "
             "TEXT NOT NULL, origin TEXT NOT NULL, "
             "tokens_in REAL, tokens_out REAL, time INTEGER NOT NULL) WITHOUT ROWID;"
             "INSERT INTO answers VALUES ('%s', 'p', 'an old answer', 'm', 't 1', 1, 2, 3); PRAGMA "
             "user_version = 1;",
             key);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, put_it, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    cache = cache_at("old.db");
    o.generate.batch = 3;
    l = opened("http://127.0.0.1:1/v1", &o); /* nobody is there */
    assert_int_equal(talk_to(l, &t, 1, "t 1", cache, false).cached, 1);
    assert_string_equal(t.answer[0], "an old answer");
    assert_false(t.cut[0]);
    sg_llm_close(l);
    sg_cache_close(cache);
}

/* ---- vectors ---------------------------------------------------------------------------------------------------------------- */
static json_int_t number(const json_t *report, const char *key)
{
    return json_integer_value(json_object_get(report, key));
}

static void encodes_only_what_is_new(void **state)
{
    (void)state;
    const sg_bytes text[] = {{"a b c", 5}, {"d", 1}, {"a b c", 5}, {"", 0}},
                   other[] = {{"d", 1}, {"e f", 3}, {"a b c", 5}};
    sg_llm_config o = usual();
    sg_llm *l = opened(FILES "bert", &o);
    sg_cache *cache = cache_at("vectors.db");
    float *plain, *first, *second, *third;
    json_t *report;
    int32_t dim, same;
    sg_error err;

    assert_int_equal(sg_llm_embed(&plain, &dim, l, text, 4, NULL, NULL, NULL, &report, &err), SG_OK);
    json_decref(report);
    assert_int_equal(sg_llm_embed(&first, &same, l, text, 4, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(same, dim);
    assert_int_equal(number(report, "texts"), 3); /* equal texts once */
    assert_int_equal(number(report, "cached"), 0);
    json_decref(report);
    assert_memory_equal(first, plain, 4 * (size_t)dim * sizeof *first);
    assert_int_equal(sg_llm_embed(&second, &same, l, text, 4, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(number(report, "texts"), 0);
    assert_int_equal(number(report, "cached"), 4);
    json_decref(report);
    assert_memory_equal(second, plain, 4 * (size_t)dim * sizeof *second);
    assert_int_equal(sg_llm_embed(&third, &same, l, other, 3, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(number(report, "texts"), 1);
    assert_int_equal(number(report, "cached"), 2);
    json_decref(report);
    assert_memory_equal(third, plain + dim, (size_t)dim * sizeof *third);
    assert_memory_equal(third + 2 * dim, plain, (size_t)dim * sizeof *third);
    sg_free(third);
    sg_llm_close(l);
    snprintf(o.sentence.prefix, sizeof o.sentence.prefix, "q ");
    l = opened(FILES "bert", &o); /* another prefix: other vectors */
    assert_int_equal(sg_llm_embed(&third, &same, l, text, 4, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(number(report, "cached"), 0);
    json_decref(report);
    sg_free(plain);
    sg_free(first);
    sg_free(second);
    sg_free(third);
    sg_llm_close(l);
    sg_cache_close(cache);
}

static int after_a_stretch(void *user, const sg_progress_event *e)
{
    (void)user;
    assert_true(e->total == 5000 && e->done <= 5000);
    return e->done > 4500;
}

static void a_stopped_run_keeps_what_it_made(void **state)
{
    (void)state;
    enum { TEXTS = 5000 };
    const sg_progress stop = {after_a_stretch, NULL};
    const sg_llm_config o = usual();
    sg_llm *l = opened(FILES "bert", &o);
    sg_cache *cache = cache_at("stretch.db");
    sg_bytes *text = sg_alloc_array(TEXTS, sizeof *text);
    char(*bytes)[8] = sg_alloc_array(TEXTS, sizeof *bytes);
    float *plain, *x;
    json_t *report;
    int32_t dim;
    sg_error err;

    for (int i = 0; i < TEXTS; i++) {
        snprintf(bytes[i], sizeof bytes[i], "%d", i);
        text[i] = (sg_bytes){bytes[i], strlen(bytes[i])};
    }
    assert_int_equal(sg_llm_embed(&plain, &dim, l, text, TEXTS, NULL, NULL, NULL, &report, &err), SG_OK);
    json_decref(report);
    assert_int_equal(sg_llm_embed(&x, &dim, l, text, TEXTS, cache, NULL, &stop, &report, &err),
                     SG_ERR_CANCEL);
    assert_int_equal(sg_llm_embed(&x, &dim, l, text, TEXTS, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(number(report, "cached"), 4096);
    assert_int_equal(number(report, "texts"), TEXTS - 4096);
    assert_memory_equal(x, plain, TEXTS * (size_t)dim * sizeof *x);
    json_decref(report);
    sg_free(x);
    sg_cache_close(cache);
    cache = cache_at("whole.db");
    assert_int_equal(sg_llm_embed(&x, &dim, l, text, TEXTS, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(number(report, "texts"), TEXTS); /* of both stretches */
    assert_memory_equal(x, plain, TEXTS * (size_t)dim * sizeof *x);
    json_decref(report);
    sg_free(x);
    sg_free(plain);
    sg_free(text);
    sg_free(bytes);
    sg_cache_close(cache);
    sg_llm_close(l);
}

static void an_endpoint_embeds(void **state)
{
    (void)state;
    char text[200][8];
    sg_bytes view[200];
    sg_llm_config o = usual();
    sg_cache *cache = cache_at("remote.db");
    json_t *report;
    float *x;
    int32_t dim;
    sg_error err;
    sg_llm *l;
    mock m;

    for (int i = 0; i < 200; i++) {
        snprintf(text[i], sizeof text[i], "%c%d", 'a' + i % 26, i);
        view[i] = (sg_bytes){text[i], strlen(text[i])};
    }
    mock_start(&m, NULL, 0);
    l = opened(m.url, &o);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sg_llm_embed(&x, &dim, l, view, 200, cache, NULL, NULL, &report, &err), SG_OK);
        assert_int_equal(dim, 3);
        for (int i = 0; i < 200; i++)
            assert_true(x[3 * i] == (float)strlen(text[i]) && x[3 * i + 1] == (float)text[i][0] &&
                        x[3 * i + 2] == 1);
        assert_int_equal(m.requests, 4); /* 64 texts a request, and none the second time */
        json_decref(report);
        sg_free(x);
    }
    sg_llm_close(l);
    sg_cache_close(cache);
    mock_stop(&m);

    /* what an endpoint answered is kept, though a later request fails */
    const mock_step third_is_bad[] = {{0}, {0}, {.kind = MOCK_STATUS, .status = 400, .text = "{}"}};
    o.client.concurrency = 1;
    cache = cache_at("remote_part.db");
    mock_start(&m, third_is_bad, 3);
    l = opened(m.url, &o);
    assert_int_equal(sg_llm_embed(&x, &dim, l, view, 200, cache, NULL, NULL, &report, &err), SG_ERR_IO);
    assert_int_equal(m.requests, 3);
    assert_int_equal(sg_llm_embed(&x, &dim, l, view, 200, cache, NULL, NULL, &report, &err), SG_OK);
    assert_int_equal(m.requests, 5);
    assert_int_equal(number(report, "cached"), 128);
    for (int i = 0; i < 200; i++)
        assert_true(x[3 * i] == (float)strlen(text[i]) && x[3 * i + 1] == (float)text[i][0] &&
                    x[3 * i + 2] == 1);
    json_decref(report);
    sg_free(x);
    sg_llm_close(l);
    sg_cache_close(cache);
    mock_stop(&m);
    o = usual();

    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"{\"data\": [{\"embedding\": [1, 2]}]}", "answer: 'data': expected 2 vectors, found 1"},
        {"{\"data\": [{\"embedding\": [1, 2]}, {\"embedding\": [1]}]}",
         "answer: 'embedding': expected 2 numbers, found 1"},
        {"{\"data\": [{\"index\": 0, \"embedding\": [1]}, {\"index\": 0, \"embedding\": [1]}]}",
         "answer: 'data': expected a vector of text 1, found none"},
        {"{\"data\": [{\"index\": 7, \"embedding\": [1]}, {\"embedding\": [1]}]}",
         "answer: 'index': expected 0 to 1, found 7"},
        {"{\"data\": [{\"embedding\": [1]}, {\"embedding\": [\"x\"]}]}",
         "answer: 'embedding': expected a number, found \"x\""},
        {"{\"data\": [{\"embedding\": []}]}",
         "answer: 'embedding': expected a list of numbers, found an array"},
    };
    for (size_t i = 0; i < N(wrong); i++) {
        const mock_step step = {.kind = MOCK_TEXT, .text = wrong[i].text};
        char want[300];

        mock_start(&m, &step, 1);
        l = opened(m.url, &o);
        assert_int_equal(sg_llm_embed(&x, &dim, l, view, 2, NULL, NULL, NULL, &report, &err), SG_ERR_FORMAT);
        assert_null(x);
        snprintf(want, sizeof want, "%s/embeddings: %s", m.url, wrong[i].message);
        assert_string_equal(err.message, want);
        sg_llm_close(l);
        mock_stop(&m);
    }
}

/* ---- answers of a given form ------------------------------------------------------------------------------------------------- */
static void answers_are_held_to_a_form(void **state)
{
    (void)state;
    static const int32_t token[] = {5, 17, 3, 8}; /* two choices: 5 17 3, and 8 */
    static const int64_t offsets[] = {0, 3, 4};
    sg_llm_config o = usual();
    talk t = {.prompt = {"a", "cat", "the"}};
    sg_llm_work w = {.n = 3, .ctx = &t, .make = make, .take = take};
    sg_llm_count count;
    sg_buf one = {0}, two = {0};
    sg_llm *l = opened(FILES "llama.gguf", &o);
    sg_error err;
    mock m;

    assert_int_equal(sg_guide_choices(&w.guide, token, offsets, 2, &err), SG_OK);
    assert_int_equal(sg_llm_chat(l, &w, NULL, &count, NULL, NULL, &err), SG_OK);
    assert_int_equal(sg_tokenizer_decode(&one, sg_llama_tokenizer(sg_llm_decoder(l)), token, 3, true, &err),
                     SG_OK);
    assert_int_equal(
        sg_tokenizer_decode(&two, sg_llama_tokenizer(sg_llm_decoder(l)), token + 3, 1, true, &err), SG_OK);
    for (int i = 0; i < 3; i++)
        assert_true(strcmp(t.answer[i], one.data) == 0 || strcmp(t.answer[i], two.data) == 0);
    sg_llm_close(l);
    mock_start(&m, NULL, 0);
    l = opened(m.url, &o);
    assert_int_equal(sg_llm_chat(l, &w, NULL, &count, NULL, NULL, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "an answer of a given form needs constrain: http://127.0.0.1:"));
    assert_int_equal(m.requests, 0);
    sg_llm_close(l);
    mock_stop(&m);
    sg_guide_free(w.guide);
    sg_buf_free(&one);
    sg_buf_free(&two);
}

/* ---- scores ----------------------------------------------------------------------------------------------------------------- */
static sg_status scored(double *logp, int *tokens, sg_llm *l, sg_bytes prompt, const sg_bytes *text, size_t n,
                        sg_error *err)
{
    size_t cached;

    return sg_llm_score(logp, tokens, &cached, l, &(sg_llm_scores){.prompt = prompt, .text = text, .n = n},
                        NULL, NULL, NULL, err);
}

static void scores_texts(void **state)
{
    (void)state;
    const sg_bytes text[] = {{" cat", 4}, {" cat s", 6}, {"\xc3\xa4", 2}}, whole = {"the cat", 7};
    sg_llm_config o = usual();
    double logp[3], want[16], sum = 0;
    int tokens[3];
    sg_token_list ids = {0};
    sg_reading *r;
    sg_llama *model;
    sg_error err;
    sg_llm *l = opened(FILES "llama.gguf", &o);
    mock m;

    assert_int_equal(scored(logp, tokens, l, (sg_bytes){"the", 3}, text, 2, &err), SG_OK);
    sg_llm_close(l);
    assert_int_equal(sg_llama_open(&model, FILES "llama.gguf", &err), SG_OK);
    assert_int_equal(sg_text_tokens(&ids, sg_llama_tokenizer(model), whole, true, &err), SG_OK);
    assert_true(ids.n < N(want) && tokens[0] < (int)ids.n);
    assert_int_equal(sg_reading_new(&r, model, 64, NULL, &err), SG_OK);
    assert_int_equal(sg_reading_score(r, ids.id, (int)ids.n, want, &err), SG_OK);
    for (size_t i = ids.n - (size_t)tokens[0]; i < ids.n; i++)
        sum += want[i];
    assert_true(fabs(sum - logp[0]) < 1e-5); /* f32 logits, read in other pieces */
    assert_true(logp[1] < logp[0]);
    sg_reading_free(r);
    sg_llama_close(model);
    sg_free(ids.id);

    mock_start(&m, NULL, 0);
    l = opened(m.url, &o);
    assert_int_equal(scored(logp, tokens, l, (sg_bytes){"the", 3}, text, 3, &err), SG_ERR_USAGE);
    sg_llm_close(l);
    snprintf(o.offers, sizeof o.offers, "score");
    l = opened(m.url, &o);
    assert_int_equal(scored(logp, tokens, l, (sg_bytes){"the", 3}, text, 3, &err), SG_OK);
    assert_true(logp[0] == -2 && tokens[0] == 4 && logp[1] == -3 && tokens[1] == 6);
    sg_llm_close(l);
    mock_stop(&m);
    /* where a text begins is counted in characters of what is sent: a broken byte is one */
    const mock_step step = {.kind = MOCK_TEXT,
                            .text = "{\"choices\": [{\"logprobs\": {\"token_logprobs\": [null, -1, -2, -4], "
                                    "\"text_offset\": [0, 2, 4, 6]}}]}"};
    mock_start(&m, &step, 1);
    l = opened(m.url, &o);
    assert_int_equal(scored(logp, tokens, l,
                            (sg_bytes){"a\x80"
                                       "b",
                                       3},
                            &(sg_bytes){"cdef", 4}, 1, &err),
                     SG_OK);
    assert_true(logp[0] == -6 && tokens[0] == 2);
    sg_llm_close(l);
    mock_stop(&m);
}

/* Sums over the pieces of each text and its end, and an adapter beside it. Without a prompt a T5 has nothing to read. */
static void a_t5_scores_what_it_would_write(void **state)
{
    (void)state;
    const sg_bytes text[] = {{"the cat", 7}, {"", 0}, {"a", 1}}, prompt = {"in the", 6};
    sg_llm_config o = usual();
    double logp[3], with[3];
    int tokens[3];
    sg_error err;
    sg_llm *l = opened(FILES "t5", &o);
    const sg_t5 *m = sg_llm_t5(l);
    sg_desk *d;

    assert_int_equal(scored(logp, tokens, l, prompt, text, 3, &err), SG_OK);
    assert_int_equal(sg_t5_desk(&d, m, 12, NULL, &err), SG_OK);
    for (int i = 0; i < 3; i++) {
        sg_token_list read = {0}, write = {0};
        float logits[40];
        double sum = 0;
        int which, known;

        assert_int_equal(sg_text_tokens(&read, sg_t5_tokenizer(m), prompt, false, &err), SG_OK);
        assert_int_equal(sg_text_tokens(&write, sg_t5_tokenizer(m), text[i], true, &err), SG_OK);
        assert_true(write.n > 0 && write.id[write.n - 1] == sg_t5_config_of(m)->end);
        assert_int_equal(tokens[i], (int)write.n);
        assert_int_equal(sg_desk_begin(d, &which, &known, read.id, (int)read.n, &err), SG_OK);
        for (size_t k = 0; k < write.n; k++) {
            const int32_t before = k ? write.id[k - 1] : 0;

            assert_int_equal(
                sg_desk_read(d, &(sg_piece){.text = which, .id = &before, .n = 1, .logits = logits}, 1, &err),
                SG_OK);
            sum += sg_token_logp(logits, 40, write.id[k]);
        }
        assert_true(fabs(sum - logp[i]) < 1e-4); /* f32, read in other pieces */
        sg_desk_close(d, which);
        sg_free(read.id);
        sg_free(write.id);
    }
    sg_desk_free(d);
    assert_int_equal(sg_llm_adapt(l, FILES "t5lora", &err), SG_OK);
    assert_int_equal(scored(with, tokens, l, prompt, text, 3, &err), SG_OK);
    assert_true(fabs(with[0] - logp[0]) > 1e-2);
    assert_int_equal(scored(logp, tokens, l, (sg_bytes){"", 0}, text, 3, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "expected a prompt, which the encoder reads, found nothing");
    sg_llm_close(l);
}

/* ---- the cache -------------------------------------------------------------------------------------------------------------- */
static sg_bytes bytes_of(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

static void put(sg_cache *c, const char *key, const char *text, int64_t time)
{
    const sg_cache_answer a = {.prompt = bytes_of("p"),
                               .text = bytes_of(text),
                               .model = bytes_of("m"),
                               .origin = bytes_of("t 1"),
                               .time = time};
    sg_error err;

    if (sg_cache_put(c, key, &a, &err))
        fail_msg("%s", err.message);
}

static bool has(sg_cache *c, const char *key, int64_t since)
{
    sg_buf text = {0};
    bool found, cut;
    sg_error err;

    assert_int_equal(sg_cache_find(c, key, since, &text, &cut, &found, &err), SG_OK);
    sg_buf_free(&text);
    return found;
}

static sg_status collect(void *ctx, const sg_knowledge *k, sg_error *err)
{
    sg_buf *out = ctx;

    (void)err;
    sg_buf_printf(out, "%.*s=%.*s/%lld ", (int)k->id.size, k->id.data, (int)k->text.size, k->text.data,
                  (long long)k->events);
    return SG_OK;
}

static void know(sg_cache *c, const char *kind, const char *id, const char *key, int64_t events)
{
    const sg_knowledge k = {.kind = bytes_of(kind),
                            .id = bytes_of(id),
                            .origin = bytes_of("t 1"),
                            .events = events,
                            .key = bytes_of(key)};
    sg_error err;

    assert_int_equal(sg_cache_know(c, &k, &err), SG_OK);
}

static void keeps_and_forgets(void **state)
{
    (void)state;
    sg_cache *c = cache_at("keep.db");
    sg_cache_key a, b;
    char path[SCRATCH_MAX + 20];
    struct stat s;
    sg_buf all = {0};
    int64_t n;
    int32_t dim = 3;
    bool found;
    float x[2] = {1, 2};
    sg_error err;

    sg_cache_key_of(a, (sg_bytes[]){{"ab", 2}, {"c", 1}}, 2);
    sg_cache_key_of(b, (sg_bytes[]){{"a", 1}, {"bc", 2}}, 2);
    assert_string_not_equal(a, b);
    put(c, a, "one", 100);
    put(c, b, "two", 200);
    assert_true(has(c, a, 0) && has(c, a, 100) && !has(c, a, 101) && !has(c, "x", 0));
    know(c, "user", "u2", a, 3);
    know(c, "user", "u1", a, 5);
    know(c, "user", "u3", b, 7);
    know(c, "item", "u1", b, 0);
    assert_int_equal(sg_cache_each(c, bytes_of("user"), bytes_of("t 1"), collect, &all, &err), SG_OK);
    assert_string_equal(all.data, "u1=one/5 u2=one/3 u3=two/7 ");
    assert_int_equal(sg_cache_forget(c, bytes_of("user"), bytes_of("u1"), &n, &err), SG_OK);
    assert_true(n == 1 && has(c, a, 0)); /* another user's, too */
    assert_int_equal(sg_cache_forget(c, bytes_of("user"), bytes_of("u2"), &n, &err), SG_OK);
    assert_true(n == 1 && !has(c, a, 0) && has(c, b, 0));
    assert_int_equal(sg_cache_put_vector(c, a, bytes_of("e"), x, 2, &err), SG_OK);
    assert_int_equal(sg_cache_vector(c, a, NULL, &dim, &found, &err), SG_ERR_FORMAT);
    snprintf(path, sizeof path, "%s/keep.db", folder);
    char want[SCRATCH_MAX + 100];
    snprintf(want, sizeof want, "%s: expected a vector of 3 numbers, found 8 bytes", path);
    assert_string_equal(err.message, want);
    sg_buf_free(&all);
    sg_cache_close(c);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/not.db", folder);
    assert_int_equal(sg_file_write(path,
                                   "this is no database, but text that goes on and on and on and on and on",
                                   70, &err),
                     SG_OK);
    assert_int_equal(sg_cache_open(&c, path, &err), SG_ERR_FORMAT);
    snprintf(want, sizeof want, "%s: file is not a database", path);
    assert_string_equal(err.message, want);
}

static void a_text_may_not_know_what_is_asked(void **state)
{
    (void)state;
    const sg_knowledge k = {.kind = bytes_of("user"), .id = bytes_of("u1"), .events = 5};
    sg_error err;

    assert_int_equal(sg_knowledge_before(&k, 5, &err), SG_OK);
    assert_int_equal(sg_knowledge_before(&k, 3, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "user 'u1': expected a text that was made before event 3, found one that has seen 5 events");
}

/* A process that is killed between two answers has lost none of those that a put returned from. */
static void survives_a_kill(void **state)
{
    (void)state;
    int pipe_of[2], status, told = -1;
    char key[16], one;
    pid_t child;

    assert_int_equal(pipe(pipe_of), 0);
    if ((child = fork()) == 0) {
        sg_cache *c = cache_at("kill.db");

        for (int i = 0;; i++) {
            snprintf(key, sizeof key, "%d", i);
            put(c, key, "text", 1);
            if (write(pipe_of[1], "x", 1) != 1)
                _exit(1);
        }
    }
    close(pipe_of[1]);
    while (told < 40 && read(pipe_of[0], &one, 1) == 1)
        told++;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    while (read(pipe_of[0], &one, 1) == 1) /* told before the kill */
        told++;
    close(pipe_of[0]);
    assert_true(told >= 40);
    sg_cache *c = cache_at("kill.db");
    for (int i = 0; i <= told; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_true(has(c, key, 0));
    }
    sg_cache_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(asks_an_endpoint_once),
        cmocka_unit_test(a_wrong_schema_is_told),
        cmocka_unit_test(thoughts_are_left_out_on_request),
        cmocka_unit_test(a_model_here_answers_the_same_in_any_order),
        cmocka_unit_test(a_model_here_draws_by_the_prompt),
        cmocka_unit_test(a_model_here_keeps_each_answer_at_once),
        cmocka_unit_test(answers_end_or_are_cut),
        cmocka_unit_test(an_older_cache_still_serves),
        cmocka_unit_test(encodes_only_what_is_new),
        cmocka_unit_test(a_stopped_run_keeps_what_it_made),
        cmocka_unit_test(an_endpoint_embeds),
        cmocka_unit_test(answers_are_held_to_a_form),
        cmocka_unit_test(scores_texts),
        cmocka_unit_test(a_t5_scores_what_it_would_write),
        cmocka_unit_test(keeps_and_forgets),
        cmocka_unit_test(a_text_may_not_know_what_is_asked),
        cmocka_unit_test(survives_a_kill),
    };
    return cmocka_run_group_tests(tests, make_scratch, folder_drop);
}

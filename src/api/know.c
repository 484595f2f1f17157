/* know.c - what a language model says about the items or users of a dataset: rendered, asked, kept, handed out. */
#include "api/lm.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/llm.h"
#include "text/slots.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SG_OPTION_STRUCT api_know_config
const sg_option api_know_options[] = {API_KNOW_OPTIONS(SG_OPTION_ROW)};
const size_t api_n_know_options = sizeof api_know_options / sizeof *api_know_options;
#undef SG_OPTION_STRUCT

#define COMPLAINT "That is not what was asked for: "

typedef struct trial { /* a subject whose answers were not what the template says */
    size_t subject;
    sg_buf *said; /* owned: answer, complaint, answer, complaint, ... */
    size_t n, cap;
} trial;

typedef enum outcome { OPEN, KNOWN, FELL_BACK, GAVE_UP } outcome;

typedef struct know {
    api_call *call;
    const api_know_config *config;
    sg_template *template;
    sg_slots *slots;
    sg_llm *llm;
    sg_cache *cache;
    size_t n;                /* subjects */
    sg_cache_key *key;       /* owned: (n): of the good answer */
    unsigned char *end;      /* owned: (n): an outcome */
    unsigned char *short_of; /* owned: (n): the answer's length has cut it */
    trial *trial;            /* owned */
    size_t n_trials, cap_trials;
    bool again; /* this round asks trials, not subjects */
    size_t to[SG_TEMPLATE_SLOTS_MAX];
    sg_prompt prompt;
    sg_turn *turn; /* owned */
    size_t cap_turn;
    unsigned char *seen; /* owned: (n): its prompt is in the two counts below */
    size_t dropped, cut; /* entries of lists that did not fit, values that were shortened */
    size_t failures, repaired;
    sg_llm_count count; /* of all rounds */
} know;

/* ---- prompts ---------------------------------------------------------------------------------------------------------------- */
static sg_status count_tokens(void *ctx, sg_bytes text, size_t *n, sg_error *err)
{
    return sg_llm_tokens(ctx, text, n, err);
}

/* "item 'B004'", for errors. */
static void name_subject(char who[128], const know *k, size_t subject)
{
    const sg_bytes id = sg_slots_id(k->slots, subject);

    snprintf(who, 128, "%s '%.*s'", sg_slots_kind(k->slots), (int)(id.size < 80 ? id.size : 80), id.data);
}

static sg_status render(know *k, size_t subject, sg_error *err)
{
    const sg_token_counter counter = {count_tokens, k->llm};
    sg_slot_value value[SG_TEMPLATE_SLOTS_MAX];
    char who[128];
    sg_status st = SG_OK;

    for (size_t i = 0; i < sg_template_slots(k->template) && !st; i++)
        st = sg_slots_value(&value[i], k->slots, subject, k->to[i], err);
    if (st)
        return st;
    name_subject(who, k, subject);
    return sg_template_render(&k->prompt, k->template, value, &counter, who, err);
}

static sg_status make(void *ctx, size_t i, sg_turns *out, sg_error *err)
{
    know *k = ctx;
    const trial *t = k->again ? &k->trial[i] : NULL;
    const size_t said = t ? t->n : 0;
    const sg_status st = render(k, t ? t->subject : i, err);

    if (st)
        return st;
    if (!t && !k->seen[i]) {
        k->seen[i] = 1;
        k->dropped += k->prompt.dropped;
        k->cut += k->prompt.cut;
    }
    if (!sg_grow(&k->turn, &k->cap_turn, k->prompt.n + said, sizeof *k->turn))
        return sg_fail_memory(err, "prompt");
    for (size_t p = 0; p < k->prompt.n; p++)
        k->turn[p] = (sg_turn){k->prompt.role[p], {k->prompt.text[p].data, k->prompt.text[p].size}};
    for (size_t s = 0; s < said; s++)
        k->turn[k->prompt.n + s] =
            (sg_turn){s % 2 ? "user" : "assistant", {t->said[s].data, t->said[s].size}};
    *out = (sg_turns){k->turn, k->prompt.n + said};
    return SG_OK;
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */
static sg_status learn(know *k, size_t subject, const sg_llm_answer *a, sg_error *err)
{
    const sg_knowledge row = {
        .kind = {sg_slots_kind(k->slots), 4},
        .id = sg_slots_id(k->slots, subject),
        .origin = {sg_template_origin(k->template), strlen(sg_template_origin(k->template))},
        .events = sg_slots_told(k->slots, subject),
        .key = {a->key, strlen(a->key)}};

    k->end[subject] = KNOWN;
    k->short_of[subject] = a->cut;
    memcpy(k->key[subject], a->key, sizeof k->key[subject]);
    k->repaired += k->again;
    return sg_cache_know(k->cache, &row, err);
}

static sg_buf *add_said(trial *t)
{
    if (!sg_grow(&t->said, &t->cap, t->n + 1, sizeof *t->said))
        return NULL;
    t->said[t->n] = (sg_buf){0};
    return &t->said[t->n++];
}

static sg_status complain(know *k, size_t i, sg_bytes answer, const sg_error *why, sg_error *err)
{
    static const char words[] = "answer: "; /* how the complaint begins */
    sg_buf *said, *ask;
    trial *t;

    if (!k->again) {
        if (!sg_grow(&k->trial, &k->cap_trials, k->n_trials + 1, sizeof *k->trial))
            return sg_fail_memory(err, "answer");
        k->trial[k->n_trials++] = (trial){.subject = i};
    }
    t = k->again ? &k->trial[i] : &k->trial[k->n_trials - 1];
    if (!(said = add_said(t)))
        return sg_fail_memory(err, "answer");
    sg_buf_add(said, answer.data, answer.size);
    if (said->failed || !(ask = add_said(t)))
        return sg_fail_memory(err, "answer");
    sg_buf_printf(ask, COMPLAINT "%s. Please answer again.",
                  why->message + (strncmp(why->message, words, strlen(words)) == 0 ? strlen(words) : 0));
    return ask->failed ? sg_fail_memory(err, "answer") : SG_OK;
}

static sg_status take(void *ctx, size_t i, const sg_llm_answer *a, sg_error *err)
{
    know *k = ctx;
    sg_buf text = {0};
    sg_error why;
    sg_status st =
        a->cut && sg_template_whole(k->template)
            ? sg_fail(&why, SG_ERR_FORMAT,
                      "answer: expected one that comes to its end, found one that its length has cut")
            : sg_template_answer(&text, k->template, a->text, &why);

    sg_buf_free(&text);
    if (st == SG_ERR_FORMAT)
        return complain(k, i, a->text, &why, err);
    if (st)
        return sg_fail(err, st, "%s", why.message);
    return learn(k, k->again ? k->trial[i].subject : i, a, err);
}

/* One more subject without an answer: an error past as many as may be. */
static sg_status lose(know *k, size_t subject)
{
    k->end[subject] = GAVE_UP;
    return ++k->failures > (size_t)k->config->failures ? SG_ERR_IO : SG_OK;
}

static sg_status give_up(void *ctx, size_t i, const sg_error *why)
{
    know *k = ctx;
    const size_t subject = k->again ? k->trial[i].subject : i;
    char who[128];

    name_subject(who, k, subject);
    sg_progress_say(&k->call->progress, NULL, "ask", "%s: %s", who, why->message);
    return lose(k, subject);
}

/* Trials that got a good answer or none at all are done with. */
static void drop_done_trials(know *k)
{
    size_t left = 0;

    for (size_t i = 0; i < k->n_trials; i++) {
        trial t = k->trial[i];

        if (k->end[t.subject] == OPEN) {
            k->trial[left++] = t;
            continue;
        }
        for (size_t s = 0; s < t.n; s++)
            sg_buf_free(&t.said[s]);
        sg_free(t.said);
    }
    k->n_trials = left;
}

static sg_status ask_round(know *k, size_t n, bool dry)
{
    const char *origin = sg_template_origin(k->template);
    const double age = k->config->max_age * 86400;
    const sg_llm_work work = {.n = n,
                              .ctx = k,
                              .origin = {origin, strlen(origin)},
                              .since = age > 0 ? (int64_t)((double)time(NULL) - age) : 0,
                              .dry = dry,
                              .make = make,
                              .take = take,
                              .give_up = give_up};
    sg_llm_count c;
    sg_pool *pool;
    sg_status st = api_pool(k->call, &pool);

    if (st)
        return st;
    st = sg_llm_chat(k->llm, &work, k->cache, &c, pool, &k->call->progress, &k->call->err);
    k->count.cached += c.cached;
    k->count.asked += c.asked;
    k->count.repeated += c.repeated;
    k->count.tokens_in += c.tokens_in;
    k->count.tokens_out += c.tokens_out;
    return st;
}

/* Those whose answers stayed wrong. */
static sg_status settle(know *k)
{
    for (size_t i = 0; i < k->n_trials; i++) {
        const trial *t = &k->trial[i];
        char who[128];

        if (sg_template_fallback(k->template)) {
            k->end[t->subject] = FELL_BACK;
            continue;
        }
        name_subject(who, k, t->subject);
        if (lose(k, t->subject))
            return sg_fail(&k->call->err, SG_ERR_FORMAT, "%s: no good answer in %zu tries: %s", who, t->n / 2,
                           t->said[t->n - 1].data + strlen(COMPLAINT));
    }
    return SG_OK;
}

static sg_status ask(know *k, bool dry)
{
    sg_status st = ask_round(k, k->n, dry);

    for (int r = 0; r < sg_template_repairs(k->template) && k->n_trials && !st; r++) {
        k->again = true;
        st = ask_round(k, k->n_trials, dry);
        drop_done_trials(k);
    }
    return st ? st : settle(k);
}

/* ---- handing out ------------------------------------------------------------------------------------------------------------ */
static sg_status answer_of(sg_buf *out, const know *k, size_t subject, sg_error *err)
{
    sg_buf raw = {0};
    bool found = false, cut;
    sg_status st = SG_OK;

    if (k->end[subject] == FELL_BACK) {
        sg_buf_puts(out, sg_template_fallback(k->template));
        return out->failed ? sg_fail_memory(err, "answer") : SG_OK;
    }
    if (!(st = sg_cache_find(k->cache, k->key[subject], 0, &raw, &cut, &found, err)))
        st = found ? sg_template_answer(out, k->template, (sg_bytes){raw.data ? raw.data : "", raw.size}, err)
                   : sg_fail(err, SG_ERR_MISSING, "cache: an answer is gone that was there before");
    sg_buf_free(&raw);
    return st;
}

static sg_status write_line(sg_writer *w, know *k, size_t subject, sg_error *err)
{
    const sg_bytes id = sg_slots_id(k->slots, subject);
    sg_buf answer = {0}, line = {0};
    json_t *root = NULL;
    sg_status st;

    if (!(st = answer_of(&answer, k, subject, err)) && !(st = render(k, subject, err))) {
        const sg_buf *prompt = &k->prompt.text[k->prompt.n - 1];

        root = json_pack("{s:s%, s:s%, s:s%}", "id", id.data, id.size, "prompt", prompt->data, prompt->size,
                         "answer", answer.data ? answer.data : "", answer.size);
        if (root && strcmp(sg_slots_kind(k->slots), "user") == 0)
            json_object_set_new(root, "events", json_integer(sg_slots_told(k->slots, subject)));
        if (root && k->short_of[subject])
            json_object_set_new(root, "cut", json_true());
        if (root)
            sg_json_print_compact(&line, root);
        sg_buf_putc(&line, '\n');
        st = !root || line.failed ? sg_fail_memory(err, "line") : sg_writer_put(w, line.data, line.size, err);
    }
    json_decref(root);
    sg_buf_free(&answer);
    sg_buf_free(&line);
    return st;
}

static sg_status export(know *k, const char *path, sg_error *err)
{
    sg_writer *w;
    sg_status st = sg_writer_open(&w, path, err);

    for (size_t i = 0; i < k->n && !st; i++)
        if (k->end[i] == KNOWN || k->end[i] == FELL_BACK)
            st = write_line(w, k, i, err);
    if (!st)
        return sg_writer_commit(w, err);
    sg_writer_abort(w);
    return st;
}

static sg_status report(know *k, bool dry, double seconds)
{
    const sg_client_use *use = sg_llm_used(k->llm);
    size_t n[GAVE_UP + 1] = {0}, cut = 0;
    json_t *o;
    int bad;

    for (size_t i = 0; i < k->n; i++) {
        n[k->end[i]]++;
        cut += k->short_of[i];
    }
    o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "template", sg_template_origin(k->template), "llm",
                  sg_llm_name(k->llm), "of", sg_slots_kind(k->slots), "subjects", (json_int_t)k->n, "cached",
                  (json_int_t)k->count.cached, "asked", (json_int_t)k->count.asked, "repeated",
                  (json_int_t)k->count.repeated);
    bad = !o || json_object_set_new(o, "entries_dropped", json_integer((json_int_t)k->dropped)) ||
          json_object_set_new(o, "values_cut", json_integer((json_int_t)k->cut));
    if (dry) {
        bad |= json_object_set_new(o, "tokens_in_about", json_real(k->count.tokens_in));
        bad |= json_object_set_new(o, "tokens_out_most", json_real(k->count.tokens_out));
    } else {
        bad |= json_object_set_new(o, "known", json_integer((json_int_t)n[KNOWN]));
        bad |= json_object_set_new(o, "answers_cut", json_integer((json_int_t)cut));
        bad |= json_object_set_new(o, "repaired", json_integer((json_int_t)k->repaired));
        bad |= json_object_set_new(o, "fallbacks", json_integer((json_int_t)n[FELL_BACK]));
        bad |= json_object_set_new(o, "failures", json_integer((json_int_t)k->failures));
    }
    if (use && !dry) {
        bad |= json_object_set_new(o, "calls", json_integer((json_int_t)use->calls));
        bad |= json_object_set_new(o, "tokens_in", json_real(use->tokens_in));
        bad |= json_object_set_new(o, "tokens_out", json_real(use->tokens_out));
        bad |= json_object_set_new(o, "money", json_real(use->money));
    }
    bad |= json_object_set_new(o, "seconds", json_real(seconds));
    k->call->result = o;
    return bad ? sg_fail_memory(&k->call->err, "report") : SG_OK;
}

/* ---- all together ----------------------------------------------------------------------------------------------------------- */
static sg_status open_parts(know *k, const sedge_know_params *p, const sg_dataset *d,
                            const sg_slots_config *slots, const sg_llm_config *llm)
{
    sg_error *err = &k->call->err;
    const char *const *names;
    size_t n_names;
    sg_status st;

    if ((st = sg_slots_open(&k->slots, d, slots, err)) ||
        (st = sg_template_open(&k->template, p->prompt, err)))
        return st;
    names = sg_slots_names(k->slots, &n_names);
    if ((st = sg_template_bind(k->to, k->template, names, n_names, err)) ||
        (st = sg_llm_open(&k->llm, p->llm, llm, err)) ||
        (st = sg_llm_need(k->llm, SG_LLM_CHAT, p->prompt, err)) ||
        (st = sg_cache_open(&k->cache, p->cache, err)))
        return st;
    k->n = sg_slots_subjects(k->slots);
    if (k->config->most && k->n > (size_t)k->config->most)
        k->n = (size_t)k->config->most;
    k->key = sg_alloc_zero(k->n, sizeof *k->key);
    k->end = sg_alloc_zero(k->n, sizeof *k->end);
    k->seen = sg_alloc_zero(k->n, sizeof *k->seen);
    k->short_of = sg_alloc_zero(k->n, sizeof *k->short_of);
    return k->key && k->end && k->seen && k->short_of ? SG_OK : sg_fail_memory(err, "subjects");
}

static void close_parts(know *k)
{
    for (size_t i = 0; i < k->n_trials; i++) {
        for (size_t s = 0; s < k->trial[i].n; s++)
            sg_buf_free(&k->trial[i].said[s]);
        sg_free(k->trial[i].said);
    }
    sg_free(k->trial);
    sg_free(k->turn);
    sg_free(k->key);
    sg_free(k->end);
    sg_free(k->seen);
    sg_free(k->short_of);
    sg_prompt_free(&k->prompt);
    sg_cache_close(k->cache);
    sg_llm_close(k->llm);
    sg_template_close(k->template);
    sg_slots_close(k->slots);
}

int sedge_know(const sedge_know_params *given, char **json, sedge_error *err)
{
    const double start = sg_now();
    sedge_know_params p;
    api_know_config config;
    sg_slots_config slots;
    sg_llm_config llm;
    const api_table tables[] = {{&config, api_know_options, api_n_know_options},
                                {&slots, sg_slots_options, sg_n_slots_options},
                                {&llm, sg_llm_options, sg_n_llm_options},
                                {&llm.client, sg_client_options, sg_n_client_options},
                                {&llm.generate, sg_generate_options, sg_n_generate_options}};
    api_call c;
    know k = {.call = &c, .config = &config};
    sg_dataset *d = NULL;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    sg_llm_config_init(&llm);
    api_defaults(tables, 2);
    if (!st && !(st = api_need(p.data, "a dataset folder", &c.err)) &&
        !(st = api_need(p.prompt, "a template", &c.err)) &&
        !(st = api_need(p.llm, "a language model (llm)", &c.err)) &&
        !(st = api_need(p.cache, "a cache file", &c.err)) &&
        !(st = api_assign(tables, 5, p.set, p.n_set, &c.err)) &&
        !(st = api_lm_check_set(p.set, p.n_set, p.llm, &c.err)) &&
        !(st = sg_dataset_open(&d, p.data, &c.err)) && !(st = open_parts(&k, &p, d, &slots, &llm)) &&
        !(st = ask(&k, p.dry != 0)) && (p.dry || !p.out || !(st = export(&k, p.out, &c.err))))
        st = report(&k, p.dry != 0, sg_now() - start);
    close_parts(&k);
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}

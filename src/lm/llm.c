/* llm.c - one interface; what it opens says what it can. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "lm/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_llm_config
const sg_option sg_llm_options[] = {SG_LLM_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_llm_options = sizeof sg_llm_options / sizeof *sg_llm_options;

/* ---- capabilities ---------------------------------------------------------------------------------------------------------- */
static const char *const can_name[SG_N_LLM_CAN] = {"chat",      "embed", "score", "hidden",
                                                   "constrain", "soft",  "train"};

void sg_llm_can_names(sg_buf *out, unsigned can)
{
    bool first = true;

    for (int i = 0; i < SG_N_LLM_CAN; i++)
        if (can & 1u << i) {
            sg_buf_printf(out, first ? "%s" : ", %s", can_name[i]);
            first = false;
        }
    if (first)
        sg_buf_puts(out, "nothing");
}

sg_status sg_llm_need(const sg_llm *l, unsigned can, const char *who, sg_error *err)
{
    const unsigned missing = can & ~l->offers;
    sg_buf lacks = {0}, has = {0};
    sg_status st = SG_OK;

    if (!missing)
        return SG_OK;
    sg_llm_can_names(&lacks, missing);
    sg_llm_can_names(&has, l->offers);
    if (lacks.failed || has.failed)
        st = sg_fail_memory(err, "capabilities");
    else
        st = sg_fail(err, SG_ERR_USAGE, "%s needs %s: %s offers %s", who, lacks.data, l->name, has.data);
    sg_buf_free(&lacks);
    sg_buf_free(&has);
    return st;
}

static sg_status read_offers(unsigned *out, const char *list, sg_error *err)
{
    static const unsigned remote = SG_LLM_CHAT | SG_LLM_EMBED | SG_LLM_SCORE;

    *out = 0;
    for (const char *p = list; *p;) {
        const size_t size = strcspn(p, ",");
        unsigned bit = 0;

        for (int i = 0; i < SG_N_LLM_CAN; i++)
            if (strlen(can_name[i]) == size && strncmp(can_name[i], p, size) == 0)
                bit = 1u << i;
        if (!(bit & remote))
            return sg_fail(err, SG_ERR_USAGE, "offers: expected chat, embed or score, found '%.*s'",
                           (int)size, p);
        *out |= bit;
        p += size + (p[size] == ',');
    }
    return SG_OK;
}

/* ---- what a model is, for keys --------------------------------------------------------------------------------------------- */
sg_status sg_llm_identify(sg_llm *l, sg_error *err)
{
    char hex[65];
    sg_status st;

    if (l->id)
        return SG_OK;
    if ((st = sg_model_identify(hex, l->name, l->adapter, err)))
        return st;
    l->id = sg_strdup(hex);
    return l->id ? SG_OK : sg_fail_memory(err, "model");
}

/* ---- opening --------------------------------------------------------------------------------------------------------------- */
void sg_llm_config_init(sg_llm_config *c)
{
    sg_options_init(c, sg_llm_options, sg_n_llm_options);
    sg_options_init(&c->client, sg_client_options, sg_n_client_options);
    sg_options_init(&c->generate, sg_generate_options, sg_n_generate_options);
    sg_options_init(&c->sentence, sg_sentence_options, sg_n_sentence_options);
}

bool sg_llm_is_remote(const char *where)
{
    return strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
}

static sg_status open_remote(sg_llm *l, const char *url, sg_error *err)
{
    sg_buf name = {0};
    sg_status st;

    if ((st = read_offers(&l->offers, l->config.offers, err)) ||
        (st = sg_client_new(&l->client, url, &l->config.client, err)))
        return st;
    if (*l->config.tokenizer && ((st = sg_tokenizer_open(&l->tokenizer, l->config.tokenizer, err)) ||
                                 (st = sg_encoder_new(&l->counter, l->tokenizer, err))))
        return st;
    sg_buf_printf(&name, *l->config.client.model ? "%s %s" : "%s", sg_client_url(l->client),
                  l->config.client.model);
    l->name = sg_buf_take(&name);
    l->id = l->name ? sg_strdup(l->name) : NULL;
    return l->id ? SG_OK : sg_fail_memory(err, "model");
}

static sg_status open_local(sg_llm *l, const char *path, sg_error *err)
{
    sg_status st;

    if (!(l->name = sg_strdup(path)))
        return sg_fail_memory(err, "model");
    if ((st = sg_sentence_open(&l->sentence, path, err)))
        return st;
    l->decoder = sg_sentence_decoder(l->sentence);
    l->t5 = sg_sentence_t5(l->sentence);
    l->offers = SG_LLM_EMBED | SG_LLM_HIDDEN;
    if (l->t5 && !sg_t5_writes(l->t5)) /* nothing here learns an encoder of a T5 alone */
        return SG_OK;
    if (!l->decoder && !l->t5 && !sg_dir_exists(path)) /* nor one of a .gguf file */
        return SG_OK;
    l->offers |= SG_LLM_TRAIN;
    if (!l->decoder && !l->t5)
        return SG_OK;
    l->offers |= SG_LLM_SCORE | SG_LLM_CONSTRAIN;
    if (l->decoder)
        l->offers |= SG_LLM_SOFT;
    if (l->decoder && sg_chat_end(l->decoder) >= 0)
        l->offers |= SG_LLM_CHAT;
    return sg_encoder_new(&l->counter, l->decoder ? sg_llama_tokenizer(l->decoder) : sg_t5_tokenizer(l->t5),
                          err);
}

sg_status sg_llm_open(sg_llm **out, const char *where, const sg_llm_config *c, sg_error *err)
{
    sg_llm *l;
    sg_status st;

    *out = NULL;
    if (!sg_utf8_valid(c->stop, strlen(c->stop)))
        return sg_fail(err, SG_ERR_USAGE, "stop: expected a text in UTF-8, found bytes that are none");
    if (!(l = sg_alloc_zero(1, sizeof *l)))
        return sg_fail_memory(err, "model");
    l->config = *c;
    if ((st = sg_llm_is_remote(where) ? open_remote(l, where, err) : open_local(l, where, err))) {
        sg_llm_close(l);
        return st;
    }
    *out = l;
    return SG_OK;
}

sg_status sg_llm_adapt(sg_llm *l, const char *dir, sg_error *err)
{
    sg_status st = sg_llm_need(l, SG_LLM_TRAIN, "adapter", err);

    if (st || (st = sg_sentence_adapt(l->sentence, dir, err)))
        return st;
    sg_encoder_free(l->counter); /* its tokenizer may be another one now */
    l->counter = NULL;
    if ((l->decoder || l->t5) &&
        (st = sg_encoder_new(&l->counter,
                             l->decoder ? sg_llama_tokenizer(l->decoder) : sg_t5_tokenizer(l->t5), err)))
        return st;
    sg_free(l->adapter);
    return (l->adapter = sg_strdup(dir)) ? SG_OK : sg_fail_memory(err, "adapter");
}

void sg_llm_close(sg_llm *l)
{
    if (!l)
        return;
    sg_encoder_free(l->counter);
    sg_tokenizer_close(l->tokenizer);
    sg_sentence_close(l->sentence);
    sg_client_free(l->client);
    sg_free(l->adapter);
    sg_free(l->name);
    sg_free(l->id);
    sg_free(l);
}

const sg_llama *sg_llm_decoder(const sg_llm *l)
{
    return l->decoder;
}

const sg_t5 *sg_llm_t5(const sg_llm *l)
{
    return l->t5;
}

unsigned sg_llm_offers(const sg_llm *l)
{
    return l->offers;
}

const char *sg_llm_name(const sg_llm *l)
{
    return l->name;
}

const sg_client_use *sg_llm_used(const sg_llm *l)
{
    return l->client ? sg_client_used(l->client) : NULL;
}

sg_status sg_llm_tokens(sg_llm *l, sg_bytes text, size_t *n, sg_error *err)
{
    const sg_encode_how how = {.bare = true, .literal = true};
    const int32_t *id;

    if (l->counter)
        return sg_encoder_run(&id, n, l->counter, text, &how, err);
    *n = (size_t)sg_tokens_about(text);
    return SG_OK;
}

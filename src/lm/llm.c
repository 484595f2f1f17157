/* llm.c - one interface; what it opens says what it can. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/sha256.h"

#include <dirent.h>
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
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Files that decide what a model answers; notes and other formats of the weights do not. */
static bool counts(const char *name)
{
    static const char *const ends[] = {".json", ".safetensors", ".model", ".txt", ".gguf", ".zst", ".gz"};
    const size_t size = strlen(name);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (size > strlen(ends[i]) && strcmp(name + size - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static sg_status hash_path(sg_sha256 *h, const char *path, const char *shown, bool inside, sg_error *err);

/* Names in byte order: the modules of a sentence-transformers folder are folders inside it. */
static sg_status hash_folder(sg_sha256 *h, const char *dir, bool inside, sg_error *err)
{
    DIR *d = sg_io_fault() ? NULL : opendir(dir);
    const struct dirent *e;
    char **name = NULL;
    size_t n = 0, cap = 0;
    sg_status st = SG_OK;

    if (!d)
        return sg_fail_errno(err, dir, "open");
    while (!st && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        if (!sg_grow(&name, &cap, n + 1, sizeof *name) || !(name[n] = sg_strdup(e->d_name)))
            st = sg_fail_memory(err, dir);
        else
            n++;
    }
    closedir(d);
    if (n)
        qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++) {
        char *path = st ? NULL : sg_path_join(dir, name[i]);

        if (!st)
            st = path ? hash_path(h, path, name[i], inside, err) : sg_fail_memory(err, dir);
        sg_free(path);
        sg_free(name[i]);
    }
    sg_free(name);
    return st;
}

static sg_status hash_path(sg_sha256 *h, const char *path, const char *shown, bool inside, sg_error *err)
{
    char hex[65];
    sg_status st;

    if (sg_dir_exists(path))
        return inside ? SG_OK : hash_folder(h, path, true, err);
    if (!counts(shown))
        return SG_OK;
    if ((st = sg_sha256_file(hex, NULL, path, err)))
        return st;
    sg_sha256_add(h, shown, strlen(shown) + 1);
    sg_sha256_add(h, hex, 64);
    return SG_OK;
}

sg_status sg_llm_identify(sg_llm *l, sg_error *err)
{
    const char *where = l->name;
    sg_sha256 h;
    char hex[65];
    sg_status st;

    if (l->id)
        return SG_OK;
    sg_sha256_init(&h);
    if ((st = sg_dir_exists(where) ? hash_folder(&h, where, false, err)
                                   : hash_path(&h, where, ".gguf.gguf", false, err)) ||
        (l->adapter && (st = hash_folder(&h, l->adapter, false, err))))
        return st;
    sg_sha256_hex(&h, hex);
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
    return sg_encoder_new(&l->counter, l->decoder ? sg_llama_tokenizer(l->decoder) : sg_t5_tokenizer(l->t5), err);
}

sg_status sg_llm_open(sg_llm **out, const char *where, const sg_llm_config *c, sg_error *err)
{
    sg_llm *l = sg_alloc_zero(1, sizeof *l);
    sg_status st;

    *out = NULL;
    if (!l)
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

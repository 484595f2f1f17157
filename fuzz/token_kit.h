/* token_kit.h - a tokenizer that came out of hostile bytes is made to work: its numbers must be tokens, its text UTF-8 is not asked. */
#ifndef SG_FUZZ_TOKEN_KIT_H
#define SG_FUZZ_TOKEN_KIT_H

#include "fuzz.h"

#include "text/tokenizer.h"

#include <string.h>

static inline void token_kit_use(const sg_tokenizer *t, sg_bytes text)
{
    const sg_encode_how how = {.most = 9, .keep_end = true, .literal = true};
    const int32_t *id;
    const uint8_t *type;
    sg_encoder *e;
    sg_error err = {0};
    sg_buf back = {0};
    size_t n;

    if (sg_encoder_new(&e, t, &err))
        return;
    if (sg_encoder_run(&id, &n, e, text, NULL, &err) == SG_OK) {
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(id[i] >= 0 && id[i] < sg_tokenizer_size(t));
        if (sg_tokenizer_decode(&back, t, id, n, false, &err) == SG_OK && back.size)
            FUZZ_CHECK(back.data[back.size] == 0);
    } else {
        FUZZ_CHECK(err.message[0] && !strchr(err.message, '\n'));
    }
    if (sg_encoder_pair(&id, &type, &n, e, text, text, &how, &err) == SG_OK)
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(id[i] >= 0 && id[i] < sg_tokenizer_size(t));
    sg_buf_free(&back);
    sg_encoder_free(e);
}

/* Texts that reach most branches. */
static inline void token_kit_use_all(const sg_tokenizer *t)
{
    static const char *const texts[] = {
        "",
        "ab aab  ba\n\nab 12 it's <s> <|x|> abba.",
        "Caf\xc3\xa9 e\xcc\x81\xe2\x96\x81 \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x98\x80 \xff\xfe A\xcc\x8a",
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "a"
         "aaaaaaaaaaaaaaaaaaaaaaa"),
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        token_kit_use(t, (sg_bytes){texts[i], strlen(texts[i])});
}

#endif

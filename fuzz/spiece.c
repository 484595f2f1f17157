/* spiece.c - any bytes as a SentencePiece .model: a clean error, or a tokenizer that works. */
#include "token_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_tokenizer *t;
    sg_error err = {0};

    if (sg_tokenizer_from_spiece(&t, (sg_bytes){(const char *)data, size}, "fuzz", &err)) {
        FUZZ_CHECK(!t && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    token_kit_use_all(t);
    sg_tokenizer_close(t);
    return 0;
}

static void add_piece(sg_buf *out, const char *s, float score, int kind)
{
    const size_t n = strlen(s);
    unsigned char bits[4];

    memcpy(bits, &score, 4);
    sg_buf_putc(out, 0x0a);
    sg_buf_putc(out, (char)(n + 9));
    sg_buf_putc(out, 0x0a);
    sg_buf_putc(out, (char)n);
    sg_buf_puts(out, s);
    sg_buf_putc(out, 0x15);
    sg_buf_add(out, bits, 4);
    sg_buf_putc(out, 0x18);
    sg_buf_putc(out, (char)kind);
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char unigram[] =
        "\x12\x04\x18\x01\xd8\x02\x1a\x14\x12\x0c\x04\0\0\0\0\x04\0\0\x61\0\x61\0\x18\x01\x20\x01\x28\x01";
    static const char bpe[] = "\x12\x05\x18\x02\x98\x02\x01\x1a\x06\x18\x01\x20\0\x28\x01";

    if (i > 1)
        return false;
    add_piece(out, "<unk>", 0, 2);
    add_piece(out, "<s>", 0, 3);
    add_piece(out, "<0x41>", 0, 6);
    add_piece(out, "\xe2\x96\x81", -4, 1);
    add_piece(out, "a", -1, 1);
    add_piece(out, "b", -2, 1);
    add_piece(out, "ab", -0.5f, 1);
    add_piece(out, "ba", 0, 4);
    if (i)
        sg_buf_add(out, bpe, sizeof bpe - 1);
    else
        sg_buf_add(out, unigram, sizeof unigram - 1);
    return true;
}

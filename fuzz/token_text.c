/* token_text.c - any bytes as text, through a byte-level tokenizer and one with byte fallback: both give the text back. */
#include "token_kit.h"

#include "base/utf8.h"

static const char bytes_json[] =
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":"
    "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{%s},"
    "\"merges\":[\"a b\",\"ab a\",\"\\u0120 a\"]}}";
static const char fallback_json[] =
    "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\\u2581\"},\"content\":\" "
    "\"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},\"model\":{\"type\":"
    "\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[[\"<unk>\",0],[\"\\u2581\",-2],[\"ab\",-1.5]%"
    "s]}}";

static sg_tokenizer *make(const char *form, bool letters)
{
    sg_buf list = {0}, json = {0};
    sg_tokenizer *t = NULL;
    int next = 256; /* GPT-2's letters: printable bytes stand for themselves, the others for U+0100 on */

    for (int b = 0; b < 256; b++) {
        const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

        if (letters)
            sg_buf_printf(&list, "\"\\u%04x\":%d,", itself ? b : next++, b);
        else
            sg_buf_printf(&list, ",[\"<0x%02X>\",-9]", b);
    }
    if (letters)
        sg_buf_puts(&list, "\"ab\":256,\"aba\":257,\"\\u0120a\":258");
    sg_buf_printf(&json, form, list.data);
    FUZZ_CHECK(!sg_tokenizer_from_json(&t, (sg_bytes){json.data, json.size}, "fuzz", NULL));
    sg_buf_free(&list);
    sg_buf_free(&json);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sg_tokenizer *t[2];
    const sg_bytes text = {(const char *)data, size};

    for (int k = 0; k < 2; k++) {
        if (!t[k])
            t[k] = make(k ? fallback_json : bytes_json, !k);
        token_kit_use(t[k], text);
    }
    sg_encoder *e;
    const int32_t *id;
    size_t n;
    sg_buf back = {0}, clean = {0};
    if (sg_encoder_new(&e, t[0], NULL))
        return 0;
    FUZZ_CHECK(!sg_encoder_run(&id, &n, e, text, NULL, NULL) &&
               !sg_tokenizer_decode(&back, t[0], id, n, false, NULL));
    sg_utf8_clean(&clean, text.data, text.size);
    FUZZ_CHECK(back.size == clean.size && (!back.size || memcmp(back.data, clean.data, back.size) == 0));
    sg_encoder_free(e);
    sg_buf_free(&back);
    sg_buf_free(&clean);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "ab aba it's 12  \n\t x",
        ("caf\xc3\xa9 e\xcc\x81 \xef\xac\x81 \xe6\x9d\xb1\xe4\xba\xac "
         "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac"),
        "\xff\xfe \xed\xa0\x80 \xf0\x9f\x98",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabababababababababababababababababab",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}

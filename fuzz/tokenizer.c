/* tokenizer.c - any bytes as a tokenizer.json: a clean error, or a tokenizer that works. */
#include "token_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_tokenizer *t;
    sg_error err = {0};

    if (sg_tokenizer_from_json(&t, (sg_bytes){(const char *)data, size}, "fuzz", &err)) {
        FUZZ_CHECK(!t && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    token_kit_use_all(t);
    sg_tokenizer_close(t);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true,\"lstrip\":true,\"rstrip\":true},{"
        "\"id\":5,\"content\":\"ab\","
        "\"single_word\":true,\"normalized\":true}],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{"
        "\"type\":\"Sequence\","
        "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+(?!\\\\S)|\\\\p{L}+\"},"
        "\"behavior\":\"Isolated\",\"invert\":"
        "false},{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true}]},\"post_processor\":{"
        "\"type\":"
        "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{"
        "\"id\":\"A\",\"type_id\":0}}],"
        "\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
        "\"special_tokens\":{\"<s>\":"
        "{\"ids\":[4]}}},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,"
        "\"b\":1,\"ab\":2,\"\\u0120\":3},"
        "\"merges\":[\"a b\"]}}",
        "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},\"pre_tokenizer\":{\"type\":"
        "\"BertPreTokenizer\"},"
        "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\",1],\"cls\":[\"b\",2]},\"decoder\":{"
        "\"type\":\"WordPiece\",\"prefix\":"
        "\"##\",\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_"
        "subword_prefix\":\"##\","
        "\"max_input_chars_per_word\":9,\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":2,\"##b\":3,\"##a\":4}}}",
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":"
        "\"Precompiled\",\"precompiled_charsmap\":"
        "\"CAAAAAAEAABhAAAAYQA=\"},{\"type\":\"Strip\"},{\"type\":\"Prepend\",\"prepend\":\"a\"},{\"type\":"
        "\"Replace\",\"pattern\":{\"String\":"
        "\"b\"},\"content\":\"a\"},{\"type\":\"StripAccents\"},{\"type\":\"Lowercase\"}]},\"pre_tokenizer\":{"
        "\"type\":\"Metaspace\","
        "\"replacement\":\"\\u2581\",\"prepend_scheme\":\"first\",\"split\":true},\"decoder\":{\"type\":"
        "\"Metaspace\",\"replacement\":"
        "\"\\u2581\"},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[[\"<unk>"
        "\",0],[\"\\u2581a\",-1.5],"
        "[\"a\",-2],[\"<0x62>\",-3]]}}",
        "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"b*\"},\"content\":\"x\"},\"pre_"
        "tokenizer\":{\"type\":\"Sequence\","
        "\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":false},{\"type\":\"Whitespace\"},{"
        "\"type\":\"Punctuation\",\"behavior\":"
        "\"MergedWithPrevious\"},{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"x\"},{\"type\":"
        "\"Metaspace\",\"replacement\":\"x\",\"prepend_scheme\":"
        "\"always\"},{\"type\":\"WhitespaceSplit\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":true}]},"
        "\"decoder\":{\"type\":"
        "\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\" "
        "\"},{\"type\":\"ByteFallback\"},{\"type\":"
        "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
        "\",\"start\":1,\"stop\":2},{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}]},\"model\":{"
        "\"type\":\"BPE\",\"unk_token\":\"u\",\"fuse_unk\":true,\"byte_fallback\":true,\"continuing_subword_"
        "prefix\":\"#\","
        "\"end_of_word_suffix\":\"$\",\"vocab\":{\"u\":0,\"a\":1,\"#a\":2,\"aa\":3,\"<0x31>\":4,\"#b$\":5},"
        "\"merges\":[[\"a\",\"#a\"]]}}",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}

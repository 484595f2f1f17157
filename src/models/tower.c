/* tower.c - texts to vectors by whichever encoder is there, vectors to semantic IDs by frozen codebooks. */
#define _GNU_SOURCE /* link */
#include "models/tower.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/manifest.h"
#include "file/receipt.h"
#include "file/sha256.h"
#include "lm/sentence.h"
#include "math/math.h"
#include "quantize/encode.h"
#include "text/encoder_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENCODER            "encoder.safetensors"
#define CODEBOOKS          "codebooks.safetensors"
#define MANIFEST_BYTES_MAX ((size_t)64 << 20)

enum { LOOKED_AT = 64 };

struct sg_tower {
    sg_text_encoder *kept;  /* owned: of the folder's items, or NULL */
    sg_sentence *sentence;  /* owned: the language model, or NULL */
    sg_sentence_config how; /* of it */
    char *name;             /* owned: of the language model */
    sg_encoder *books;      /* owned, or NULL: why not says ... */
    sg_error no_books;
    char sha256[65];
};

/* ---- at training ------------------------------------------------------------------------------------------- */

/* The encoder lies beside the vectors; is it the one that made them? */
static bool made_vectors(const char *encoder_path, const sg_vectors *v)
{
    static const char *const keys[] = {"dataset", "encoder", "options"};
    sg_tensors *file = NULL;
    bool same = v && sg_file_exists(encoder_path) && !sg_tensors_open(&file, encoder_path, NULL);

    for (size_t i = 0; same && i < sizeof keys / sizeof *keys; i++) {
        const char *a = sg_tensors_meta(file, keys[i]), *b = sg_tensors_meta(v->file, keys[i]);

        same = a && b && strcmp(a, b) == 0;
    }
    sg_tensors_close(file);
    return same;
}

/* Do these vectors lead to the IDs? Vectors that were made anew after them give other codes: by chance one in `codes` agrees, and
 * of those that belong together the first one nearly always does. */
static sg_status lead_to_ids(bool *out, const char *path, const sg_vectors *v, const sg_ids *ids,
                             sg_error *err)
{
    const int32_t step = v->n / LOOKED_AT + 1;
    int32_t codes[SG_LEVELS_MAX];
    sg_encoder *books;
    int n = 0, good = 0;
    sg_status st = sg_encoder_open(&books, path, err);

    *out = false;
    if (st == SG_ERR_USAGE) /* the method keeps none: the file is kept and tells why there are no new items */
        *out = true;
    if (st)
        return st == SG_ERR_USAGE ? SG_OK : st;
    if (sg_encoder_dim(books) == v->dim)
        for (int32_t i = 0; !st && i < v->n; i += step, n++) {
            st = sg_encoder_codes(books, codes, v->data + (size_t)i * (size_t)v->dim, 1, NULL, err);
            good += !st && codes[0] == ids->codes[(size_t)i * (size_t)ids->levels];
        }
    *out = n && 2 * good > n;
    sg_encoder_close(books);
    return st;
}

/* A second link where the file system has such: files of a dataset are replaced, never written to. */
static sg_status put_file(const char *from, const char *to, sg_error *err)
{
    sg_map map;
    sg_status st;

    if (unlink(to) && errno != ENOENT)
        return sg_fail_errno(err, to, "cannot replace");
    if (link(from, to) == 0)
        return SG_OK;
    if ((st = sg_map_open(&map, from, err)))
        return st;
    st = sg_file_write(to, map.data, map.size, err);
    sg_map_close(&map);
    return st;
}

static sg_status put_or_drop(const char *model_dir, const char *name, const char *from, bool put,
                             sg_error *err)
{
    char *to = sg_path_join(model_dir, name);
    sg_status st = SG_OK;

    if (!to)
        st = sg_fail_memory(err, "path");
    else if (put)
        st = put_file(from, to, err);
    else if (unlink(to) && errno != ENOENT)
        st = sg_fail_errno(err, to, "cannot remove");
    sg_free(to);
    return st;
}

sg_status sg_tower_save(const char *model_dir, const sg_train_data *t, sg_error *err)
{
    char *encoder = sg_path_join(t->data->dir, SG_DATASET_ENCODER),
         *ids = sg_path_join(t->data->dir, SG_DATASET_IDS);
    bool has_encoder = false, has_books = false;
    sg_status st = SG_OK;

    if (!encoder || !ids) {
        st = sg_fail_memory(err, "path");
    } else {
        has_encoder = made_vectors(encoder, t->vectors);
        if (has_encoder && t->ids)
            st = lead_to_ids(&has_books, ids, t->vectors, t->ids, err);
    }
    if (!st && !(st = put_or_drop(model_dir, ENCODER, encoder, has_encoder, err)) &&
        !(st = put_or_drop(model_dir, CODEBOOKS, ids, has_books, err)))
        st = sg_manifest_add(model_dir, (const char *const[]){ENCODER, CODEBOOKS}, 2, err);
    sg_free(encoder);
    sg_free(ids);
    return st;
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

static const char *hash_in(const json_t *manifest, const char *name)
{
    const char *sha = json_string_value(
        json_object_get(json_object_get(json_object_get(manifest, "files"), name), "sha256"));

    return sha ? sha : "";
}

static sg_status read_name(sg_tower *t, const char *manifest, sg_error *err)
{
    json_t *all;
    sg_sha256 h;
    sg_status st = sg_json_read(&all, manifest, MANIFEST_BYTES_MAX, err);

    if (st)
        return st;
    sg_sha256_init(&h);
    sg_sha256_add(&h, hash_in(all, ENCODER), strlen(hash_in(all, ENCODER)));
    sg_sha256_add(&h, hash_in(all, CODEBOOKS), strlen(hash_in(all, CODEBOOKS)));
    sg_sha256_hex(&h, t->sha256);
    json_decref(all);
    return SG_OK;
}

static bool is_language_model(const sg_text_encoder *e)
{
    return e && sg_text_encoder_dim(e) == 0;
}

static sg_status open_language_model(sg_tower *t, const char *path, sg_error *err)
{
    sg_status st;

    sg_options_init(&t->how, sg_sentence_options, sg_n_sentence_options);
    if ((st = sg_sentence_open(&t->sentence, path, err)))
        return st;
    return (t->name = sg_strdup(sg_path_base(path))) ? SG_OK : sg_fail_memory(err, "encoder");
}

sg_status sg_tower_open(sg_tower **out, const char *model_dir, const char *language_model, sg_error *err)
{
    char *encoder = sg_path_join(model_dir, ENCODER), *books = sg_path_join(model_dir, CODEBOOKS);
    char *manifest = sg_path_join(model_dir, SG_MANIFEST_NAME);
    sg_tower *t = sg_alloc_zero(1, sizeof *t);
    sg_status st = SG_OK;

    *out = NULL;
    if (!encoder || !books || !manifest || !t)
        st = sg_fail_memory(err, "encoder");
    else if ((sg_file_exists(encoder) && (st = sg_text_encoder_open(&t->kept, encoder, err))) ||
             (language_model && (st = open_language_model(t, language_model, err))) ||
             (st = read_name(t, manifest, err)))
        ;
    else if (sg_file_exists(books) && (st = sg_encoder_open(&t->books, books, &t->no_books)) == SG_ERR_USAGE)
        st = SG_OK;
    else if (st && err)
        *err = t->no_books;
    sg_free(encoder);
    sg_free(books);
    sg_free(manifest);
    if (st)
        sg_tower_close(t);
    else
        *out = t;
    return st;
}

void sg_tower_close(sg_tower *t)
{
    if (!t)
        return;
    sg_text_encoder_close(t->kept);
    sg_sentence_close(t->sentence);
    sg_encoder_close(t->books);
    sg_free(t->name);
    sg_free(t);
}

const char *sg_tower_sha256(const sg_tower *t)
{
    return t->sha256;
}

/* ---- texts ------------------------------------------------------------------------------------------------- */

const char *sg_tower_name(const sg_tower *t)
{
    return t->sentence                              ? t->name
           : t->kept && !is_language_model(t->kept) ? sg_text_encoder_name(t->kept)
                                                    : NULL;
}

int sg_tower_dim(const sg_tower *t)
{
    return t->sentence || !t->kept ? 0 : sg_text_encoder_dim(t->kept);
}

static sg_status encode_sentences(float **x, int32_t *dim, size_t *tokens, const sg_tower *t,
                                  const sg_bytes *text, size_t n, const sg_sentence_config *how,
                                  sg_error *err)
{
    json_t *report = NULL;
    const sg_status st = sg_sentence_encode(x, dim, t->sentence, text, n, how, NULL, NULL, &report, err);

    *tokens = (size_t)json_integer_value(json_object_get(report, "tokens"));
    json_decref(report);
    return st;
}

sg_status sg_tower_texts(float **x, int32_t *dim, size_t *tokens, const sg_tower *t, const sg_bytes *text,
                         size_t n, sg_error *err)
{
    sg_status st = SG_OK;

    if (t->sentence)
        return encode_sentences(x, dim, tokens, t, text, n, &t->how, err);
    *dim = sg_tower_dim(t);
    *tokens = 0;
    if (!(*x = sg_alloc_array(n, (size_t)*dim * sizeof **x)))
        return sg_fail_memory(err, "vectors of texts");
    for (size_t i = 0; !st && i < n; i++) {
        size_t words;

        if (!(st = sg_text_encoder_text(*x + i * (size_t)*dim, &words, t->kept, text[i], err)))
            *tokens += words;
    }
    if (st) {
        sg_free(*x);
        *x = NULL;
    }
    return st;
}

/* ---- items ------------------------------------------------------------------------------------------------- */

sg_status sg_tower_takes_items(const sg_tower *t, sg_error *err)
{
    if (!t->kept)
        return sg_fail(
            err, SG_ERR_USAGE,
            "the model folder keeps no encoder of item texts: its dataset had none when it was trained");
    if (!t->books && t->no_books.message[0])
        return sg_fail(err, SG_ERR_USAGE, "%s", t->no_books.message);
    if (!t->books)
        return sg_fail(err, SG_ERR_USAGE,
                       "the model folder keeps no codebooks: its semantic IDs were not made from the vectors "
                       "beside them");
    if (is_language_model(t->kept) && !t->sentence)
        return sg_fail(
            err, SG_ERR_USAGE,
            "the items' vectors are those of '%.200s': start the server with --encoder and that folder",
            sg_path_base(sg_text_encoder_name(t->kept)));
    return SG_OK;
}

int sg_tower_columns(const sg_tower *t)
{
    return t->kept ? sg_text_encoder_columns(t->kept) : 0;
}

const char *sg_tower_column(const sg_tower *t, int i)
{
    return sg_text_encoder_column(t->kept, i);
}

int sg_tower_item_dim(const sg_tower *t)
{
    return t->books ? sg_encoder_dim(t->books) : 0;
}

/* As `embed` did it: with its prefix, width and pooling. */
static sg_status sentence_of_item(float *x, const sg_tower *t, const sg_bytes *text, sg_error *err)
{
    json_t *options = json_copy((json_t *)(uintptr_t)sg_text_encoder_options(t->kept));
    sg_sentence_config how;
    sg_buf joined = {0};
    float *found = NULL;
    int32_t dim = 0;
    size_t tokens;
    sg_status st;

    json_object_del(options, "columns"); /* the one option that is not the model's */
    sg_options_init(&how, sg_sentence_options, sg_n_sentence_options);
    st = sg_receipt_read_options(&how, sg_sentence_options, sg_n_sentence_options, options, ENCODER, err);
    json_decref(options);
    if (st)
        return st;
    if (!(st = sg_text_encoder_join(&joined, t->kept, text, err)) &&
        !(st = encode_sentences(&found, &dim, &tokens, t, &(sg_bytes){joined.data, joined.size}, 1, &how,
                                err))) {
        if (dim == sg_tower_item_dim(t))
            memcpy(x, found, (size_t)dim * sizeof *x);
        else
            st =
                sg_fail(err, SG_ERR_USAGE,
                        "%s gives %d numbers where the items have %d: expected the folder of '%.200s'",
                        t->name, (int)dim, sg_tower_item_dim(t), sg_path_base(sg_text_encoder_name(t->kept)));
    }
    sg_buf_free(&joined);
    sg_free(found);
    return st;
}

sg_status sg_tower_item(float *x, const sg_tower *t, const sg_bytes *text, sg_error *err)
{
    const int dim = sg_tower_item_dim(t);
    sg_status st;

    if ((st = sg_tower_takes_items(t, err)))
        return st;
    if (is_language_model(t->kept))
        return sentence_of_item(x, t, text, err);
    if (sg_text_encoder_dim(t->kept) != dim)
        return sg_fail(err, SG_ERR_FORMAT, "encoder and codebooks do not fit: %d numbers and %d",
                       sg_text_encoder_dim(t->kept), dim);
    if ((st = sg_text_encoder_item(x, t->kept, text, err)))
        return st;
    for (int k = 0; k < dim; k++)
        if (x[k] != 0)
            return SG_OK;
    return sg_fail(err, SG_ERR_USAGE, "its texts have no word that the encoder knows");
}

sg_status sg_tower_place(int32_t *codes, const sg_tower *t, const float *x, const sg_catalogue *c,
                         sg_error *err)
{
    const sg_status st = sg_tower_takes_items(t, err);

    return st ? st : sg_encoder_place(t->books, codes, x, c, err);
}

/* bm25.c - lists of documents against a plain computation in double, on a made collection: words by Zipf's law, documents of every
 * length, some empty, some alike. */
#include "scratch.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "models/postings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { DOCS = 6000, WORDS = 300, LONGEST = 60, QUERIES = 60, ASKED = 12 };

typedef struct strings {
    sg_buf bytes;
    int64_t offsets[DOCS + 1];
    size_t n;
} strings;

typedef struct shelf {
    sg_dataset data;
    sg_split split;
    sg_train_data train;
    strings id, title, text;
    sg_text_column column[2];
    int size[DOCS], word[DOCS][LONGEST];
    sg_buf query[QUERIES];
    int asked[QUERIES], query_word[QUERIES][ASKED]; /* number WORDS: in no document */
} shelf;

static void end_string(strings *s)
{
    s->offsets[++s->n] = (int64_t)s->bytes.size;
}

static sg_strings view(const strings *s)
{
    return (sg_strings){s->n, s->bytes.data, s->offsets};
}

static int zipf(int what, int a, int b)
{
    return (int)exp(sg_rng_double(7, SG_RNG_TEST, (uint64_t)(what * 100000 + a), (uint64_t)b) *
                    log(WORDS + 1.0)) -
           1;
}

static int below(int n, int what, int a)
{
    return (int)sg_rng_below((uint64_t)n, 7, SG_RNG_TEST, (uint64_t)what, (uint64_t)a);
}

/* The first words stand in the title. Every fifth document says what the one before says; every eleventh says nothing. */
static void write_document(shelf *s, int d)
{
    const int copy = d % 5 == 4;

    s->size[d] = copy ? s->size[d - 1] : d % 11 == 3 ? 0 : 1 + below(LONGEST, 2, d);
    for (int i = 0; i < s->size[d]; i++) {
        s->word[d][i] = copy ? s->word[d - 1][i] : zipf(1, d, i);
        sg_buf_printf(i < 3 ? &s->title.bytes : &s->text.bytes, "W%d%s", s->word[d][i], i % 7 ? " " : ", ");
    }
    sg_buf_printf(&s->id.bytes, "%d", d * 7 % DOCS); /* falling ids are another order than falling numbers */
    end_string(&s->id);
    end_string(&s->title);
    end_string(&s->text);
}

static shelf *shelf_new(void)
{
    shelf *s = sg_alloc_zero(1, sizeof *s);

    assert_non_null(s);
    for (int d = 0; d < DOCS; d++)
        write_document(s, d);
    for (int q = 0; q < QUERIES; q++) {
        s->asked[q] = 1 + q % ASKED;
        for (int i = 0; i < s->asked[q]; i++) {
            s->query_word[q][i] = i == 5   ? s->query_word[q][0]
                                  : i == 3 ? WORDS
                                  : q % 2  ? zipf(3, q, i)
                                           : below(WORDS, 4, q * 100 + i);
            sg_buf_printf(&s->query[q], "w%d? ", s->query_word[q][i]);
        }
    }
    s->column[0] = (sg_text_column){"title", view(&s->title)};
    s->column[1] = (sg_text_column){"text", view(&s->text)};
    s->data = (sg_dataset){.dir = (char *)"shelf",
                           .name = (char *)"shelf",
                           .sha256 = "0123456789012345678901234567890123456789012345678901234567890123",
                           .n_items = DOCS,
                           .item_ids = view(&s->id),
                           .columns = s->column,
                           .n_columns = 2,
                           .collection = true};
    s->train = (sg_train_data){.data = &s->data, .split = &s->split};
    return s;
}

static void shelf_free(shelf *s)
{
    sg_buf_free(&s->id.bytes);
    sg_buf_free(&s->title.bytes);
    sg_buf_free(&s->text.bytes);
    for (int q = 0; q < QUERIES; q++)
        sg_buf_free(&s->query[q]);
    sg_free(s);
}

/* A shelf of a few documents with other texts. */
static void put_texts(shelf *s, const char *const *text, int n)
{
    s->title.n = s->text.n = 0;
    s->title.bytes.size = s->text.bytes.size = 0;
    for (int d = 0; d < n; d++) {
        sg_buf_puts(&s->text.bytes, text[d]);
        end_string(&s->title);
        end_string(&s->text);
    }
    s->data.n_items = n;
    s->column[0].text = view(&s->title);
    s->column[1].text = view(&s->text);
    s->data.item_ids.n = (size_t)n;
}

static int nothing_leaked(void **state)
{
    (void)state;
    return sg_alloc_live() != 0;
}

static sg_status fit(sg_model **m, shelf *s, const char *options, sg_pool *pool, sg_error *err)
{
    const sg_model_class *class = sg_model_class_find("bm25", NULL);
    char text[256];
    sg_status st;

    assert_int_equal(sg_model_new(m, class, err), SG_OK);
    snprintf(text, sizeof text, "%s", options);
    for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
        assert_int_equal(sg_options_assign((*m)->config, class->options, class->n_options, p, err), SG_OK);
    if (!(st = sg_model_build(*m, &s->train, 1, err)))
        st = sg_model_fit(*m, &s->train, pool, NULL, err);
    return st;
}

static sg_model *model_new(shelf *s, const char *options)
{
    sg_error err = {0};
    sg_model *m;

    if (fit(&m, s, options, NULL, &err))
        fail_msg("%s", err.message);
    return m;
}

static void retrieve(const sg_model *m, sg_pool *pool, const sg_bytes *query, int n, int k, int32_t *item,
                     float *score)
{
    sg_session *session;
    sg_error err = {0};

    assert_int_equal(sg_session_new(&session, m, pool, &err), SG_OK);
    if (m->class->retrieve(session, query, n, k, item, score, &err))
        fail_msg("%s", err.message);
    sg_session_free(session);
}

static void ask(const sg_model *m, const char *query, int k, int32_t *item, float *score)
{
    retrieve(m, NULL, &(sg_bytes){query, strlen(query)}, 1, k, item, score);
}

static void all_queries(const shelf *s, sg_bytes *text)
{
    for (int q = 0; q < QUERIES; q++)
        text[q] = (sg_bytes){s->query[q].data, s->query[q].size};
}

/* ---- the plain computation ---- */

static int places(const shelf *s, int d, int word)
{
    int n = 0;

    for (int i = 0; i < s->size[d]; i++)
        n += s->word[d][i] == word;
    return n;
}

static void score_all(double *score, const shelf *s, int q, double k1, double b)
{
    double words = 0;

    for (int d = 0; d < DOCS; d++) {
        score[d] = 0;
        words += s->size[d];
    }
    for (int i = 0; i < s->asked[q]; i++) {
        int n = 0;

        for (int d = 0; d < DOCS; d++)
            n += places(s, d, s->query_word[q][i]) > 0;
        for (int d = 0; d < DOCS; d++) {
            const double c = places(s, d, s->query_word[q][i]);

            score[d] += log(1 + (DOCS - n + 0.5) / (n + 0.5)) *
                        (c ? c / (c + k1 * (1 - b + b * s->size[d] * DOCS / words)) : 0);
        }
    }
}

static int by_id(const sg_strings *ids, int32_t a, int32_t b)
{
    const sg_bytes x = sg_strings_at(ids, (size_t)a), y = sg_strings_at(ids, (size_t)b);
    const int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);

    return order ? order : (x.size > y.size) - (x.size < y.size);
}

/* All documents that share a word and no other, by falling score, then falling id; scores as computed plainly. */
static void scores_are_those_of_a_plain_computation(void **state)
{
    static const struct {
        const char *options;
        double k1, b;
    } with[] = {{"", 1.2, 0.75},
                {"k1=0.9 b=0.4", 0.9, 0.4},
                {"k1=0 b=1", 0, 1},
                {"k1=50 b=1", 50, 1},
                {"b=0", 1.2, 0}};
    static double want[DOCS];
    static int32_t item[DOCS + 5];
    static float score[DOCS + 5];
    shelf *s = shelf_new();
    const sg_strings ids = view(&s->id);
    int ties = 0;

    (void)state;
    for (size_t o = 0; o < sizeof with / sizeof *with; o++) {
        sg_model *m = model_new(s, with[o].options);

        for (int q = 0; q < QUERIES; q++) {
            int found = 0, n = 0;

            score_all(want, s, q, with[o].k1, with[o].b);
            for (int d = 0; d < DOCS; d++)
                found += want[d] > 0;
            ask(m, s->query[q].data, DOCS + 5, item, score);
            for (; n < DOCS + 5 && item[n] >= 0; n++) {
                /* f32: the norm, the share, and 12 sums, each 6e-8 */
                assert_true(fabs((double)score[n] - want[item[n]]) <= 2e-6 * want[item[n]]);
                if (n) {
                    const int order = by_id(&ids, item[n - 1], item[n]);

                    assert_true(score[n - 1] > score[n] || (score[n - 1] == score[n] && order > 0));
                    ties += score[n - 1] == score[n];
                }
            }
            assert_int_equal(n, found); /* each once, as the order is strict */
            for (; n < DOCS + 5; n++)
                assert_true(item[n] == -1 && isinf(score[n]) && score[n] < 0);
        }
        sg_model_free(m);
    }
    assert_true(ties > 1000);
    shelf_free(s);
}

/* Whatever is left out on the way, a short list is the beginning of the long one, to the last bit. */
static void short_lists_begin_long_ones(void **state)
{
    static const int k[] = {1, 2, 3, 10, 50, 300};
    static int32_t item[2][QUERIES * DOCS];
    static float score[2][QUERIES * DOCS];
    sg_bytes text[QUERIES];
    shelf *s = shelf_new();

    (void)state;
    all_queries(s, text);
    for (int o = 0; o < 2; o++) {
        sg_model *m = model_new(s, o ? "k1=0 b=0" : ""); /* k1=0: nearly all are ties */

        retrieve(m, NULL, text, QUERIES, DOCS, item[0], score[0]);
        for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
            retrieve(m, NULL, text, QUERIES, k[i], item[1], score[1]);
            for (int q = 0; q < QUERIES; q++) {
                assert_memory_equal(item[0] + q * DOCS, item[1] + q * k[i], (size_t)k[i] * sizeof **item);
                assert_memory_equal(score[0] + q * DOCS, score[1] + q * k[i], (size_t)k[i] * sizeof **score);
            }
        }
        sg_model_free(m);
    }
    shelf_free(s);
}

/* Many documents hold the word that can give most, and give 1.129; one gets 1.130 by the two others, just what these can give: it is
 * found though it comes last. With a few documents less for the first word it is not among the best. */
static void the_rest_may_still_win(void **state)
{
    enum { B = 1730, LAST = DOCS - 1 };
    static const char *texts[DOCS];
    shelf *s = shelf_new();
    int32_t item[2];
    float score[2];

    (void)state;
    for (int n = 500; n >= 490; n -= 10) {
        sg_model *m;

        for (int d = 0; d < DOCS; d++)
            texts[d] = d == 0  ? "x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x"
                       : d < n ? "x"
                       : d >= 1000 && d < 999 + B  ? "y"
                       : d >= 3000 && d < 2999 + B ? "z"
                       : d == LAST                 ? "y z"
                                                   : "no more";
        put_texts(s, texts, DOCS);
        m = model_new(s, "b=0");
        ask(m, "z x y", 2, item, score);
        assert_int_equal(item[0], 0);
        assert_true(n == 500 ? item[1] == LAST : item[1] > 0 && item[1] < n);
        sg_model_free(m);
    }
    shelf_free(s);
}

static void same_on_any_number_of_threads(void **state)
{
    static const char *const names[] = {"lexicon.bytes", "lexicon.offsets", "postings.offsets",
                                        "postings.doc",  "postings.count",  "lengths"};
    static int32_t item[2][QUERIES * 20];
    static float score[2][QUERIES * 20];
    sg_bytes text[QUERIES];
    shelf *s = shelf_new();
    sg_model *m[2];
    sg_pool *pool;
    sg_error err = {0};

    (void)state;
    all_queries(s, text);
    assert_int_equal(sg_pool_new(&pool, 4, &err), SG_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fit(&m[i], s, "", i ? pool : NULL, &err), SG_OK);
        retrieve(m[i], i ? pool : NULL, text, QUERIES, 20, item[i], score[i]);
    }
    assert_int_equal(m[0]->n_arrays, sizeof names / sizeof *names);
    for (size_t i = 0; i < m[0]->n_arrays; i++) {
        assert_string_equal(m[0]->arrays[i].name, names[i]);
        assert_int_equal(m[0]->arrays[i].count, m[1]->arrays[i].count);
        assert_memory_equal(m[0]->arrays[i].data, m[1]->arrays[i].data,
                            m[0]->arrays[i].count * sg_dtype_bytes(m[0]->arrays[i].dtype));
    }
    assert_memory_equal(item[0], item[1], sizeof *item);
    assert_memory_equal(score[0], score[1], sizeof *score);
    sg_model_free(m[0]);
    sg_model_free(m[1]);
    sg_pool_free(pool);
    shelf_free(s);
}

/* A folder answers as the model that was saved; k1 and b may be others when it is opened. */
static void saved_and_opened(void **state)
{
    static int32_t item[2][QUERIES * 20];
    static float score[2][QUERIES * 20];
    char dir[SCRATCH_MAX], path[SCRATCH_MAX + 16];
    sg_bytes text[QUERIES];
    shelf *s = shelf_new();
    sg_model *m = model_new(s, ""), *other = model_new(s, "k1=0.9 b=0.4");
    sg_error err = {0};

    (void)state;
    all_queries(s, text);
    assert_int_equal(scratch_make(dir, "bm25"), 0);
    snprintf(path, sizeof path, "%s/run", dir);
    assert_int_equal(sg_model_save(m, path, &err), SG_OK);
    for (int i = 0; i < 2; i++) {
        sg_model *opened;

        assert_int_equal(sg_model_open_with(&opened, path, i ? "k1=0.9,b=0.4" : "", &err), SG_OK);
        retrieve(i ? other : m, NULL, text, QUERIES, 20, item[0], score[0]);
        retrieve(opened, NULL, text, QUERIES, 20, item[1], score[1]);
        assert_memory_equal(item[0], item[1], sizeof *item);
        assert_memory_equal(score[0], score[1], sizeof *score);
        sg_model_free(opened);
    }
    sg_model_free(m);
    sg_model_free(other);
    assert_int_equal(sg_dir_remove(dir, &err), SG_OK);
    shelf_free(s);
}

static void nothing_to_find_is_no_error(void **state)
{
    static const char *const texts[] = {"red apples of the tree", "", "the of", "red", "Red red apples"};
    static const char *const empty[] = {"", "plum", "the of", " \n,. ", "\xff\xfe", "tre"};
    shelf *s = shelf_new();
    sg_model *m;
    int32_t item[8];
    float score[8];

    (void)state;
    put_texts(s, texts, 5);
    m = model_new(s, "");
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        ask(m, empty[i], 8, item, score);
        for (int k = 0; k < 8; k++)
            assert_true(item[k] == -1 && isinf(score[k]) && score[k] < 0);
    }
    ask(m, "RED plum", 8, item,
        score); /* the words of one text alone, the short one, then where it stands twice, then once */
    assert_memory_equal(item, ((int32_t[]){3, 4, 0, -1}), 4 * sizeof *item);
    ask(m, "of apples", 8, item, score);
    assert_memory_equal(item, ((int32_t[]){4, 0, -1, -1}), 4 * sizeof *item); /* equal: by id, 28 before 0 */
    sg_model_free(m);
    m = model_new(s, "stop_words=true");
    ask(m, "of apples", 8, item, score);
    assert_memory_equal(item, ((int32_t[]){0, 2, 4, -1}), 4 * sizeof *item);
    ask(m, "the of", 8, item, score);
    assert_memory_equal(item, ((int32_t[]){2, 0, -1}), 3 * sizeof *item);
    sg_model_free(m);
    shelf_free(s);
}

static void documents_without_words_are_refused(void **state)
{
    static const char *const texts[] = {"", " .. ", "the of"};
    shelf *s = shelf_new();
    sg_error err = {0};
    sg_model *m;

    (void)state;
    put_texts(s, texts, 3);
    assert_int_equal(fit(&m, s, "", NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "bm25: expected texts with words, found none");
    sg_model_free(m);
    s->data.n_columns = 0;
    assert_int_equal(fit(&m, s, "stop_words=true", NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "bm25: expected texts with words, found none");
    sg_model_free(m);
    shelf_free(s);
}

/* A word counts 65,535 times at most; the length of the document is what it is. */
static void many_places_of_a_word(void **state)
{
    enum { TIMES = 70000 };
    shelf *s = shelf_new();
    sg_buf long_text = {0};
    const char *texts[] = {"", "b"};
    int32_t item[2];
    float score[2];
    sg_model *m;

    (void)state;
    for (int i = 0; i < TIMES; i++)
        sg_buf_puts(&long_text, "a ");
    assert_false(long_text.failed);
    texts[0] = long_text.data;
    put_texts(s, texts, 2);
    m = model_new(s, "stop_words=true k1=1000 b=0.5");
    ask(m, "a", 2, item, score);
    const double norm = 1000 * (0.5 + 0.5 * TIMES * 2 / (TIMES + 1.0)),
                 want = log(1 + 1.5 / 1.5) * 65535 / (65535 + norm);

    assert_int_equal(item[0], 0);
    assert_int_equal(item[1], -1);
    assert_true(fabs((double)score[0] - want) < 1e-6);
    sg_model_free(m);
    sg_buf_free(&long_text);
    shelf_free(s);
}

/* With libstemmer words are found by their stem; without it the model says what is missing. */
static void stems(void **state)
{
    static const char *const texts[] = {"vitamins and bones", "apples", "a vitamin"};
    shelf *s = shelf_new();
    sg_error err = {0};
    int32_t item[3];
    float score[3];
    sg_model *m;

    (void)state;
    put_texts(s, texts, 3);
    const sg_status st = fit(&m, s, "stemmer=english", NULL, &err);

    if (st) {
        assert_int_equal(st, SG_ERR_MISSING);
        assert_string_equal(err.message, "stemmer english: this build has no libstemmer: expected one made "
                                         "with it (Debian: libstemmer-dev)");
    } else {
        ask(m, "the Vitamins", 3, item, score);
        assert_memory_equal(item, ((int32_t[]){2, 0, -1}), sizeof item);
        sg_model_free(m);
        assert_int_equal(fit(&m, s, "stemmer=elvish", NULL, &err), SG_ERR_USAGE);
        assert_non_null(strstr(err.message, "english, "));
        assert_non_null(strstr(err.message, "; found 'elvish'"));
    }
    sg_model_free(m);
    m = model_new(s, "");
    ask(m, "Vitamins", 3, item, score);
    assert_memory_equal(item, ((int32_t[]){0, -1, -1}), sizeof item);
    sg_model_free(m);
    shelf_free(s);
}

static const void *array_of(const sg_model *m, const char *name, size_t *count)
{
    for (size_t i = 0; i < m->n_arrays; i++)
        if (strcmp(m->arrays[i].name, name) == 0) {
            *count = m->arrays[i].count;
            return m->arrays[i].data;
        }
    fail_msg("no array %s", name);
    return NULL;
}

/* Arrays that a folder brings are not believed: number `at` of the array is set to another. */
static void refuses_broken_lists(void **state)
{
    static const struct {
        const char *name;
        sg_dtype dtype;
        int at; /* -1: the last; -2: one number less */
        int64_t value;
        const char *message;
    } broken[] = {
        {"lengths", SG_DT_I32, 1, -5, "array 'lengths': expected numbers from 0, found -5 at 1"},
        {"lengths", SG_DT_I32, -2, 0, "bm25: array 'lengths': expected I32 (3), found I32 (2)"},
        {"postings.offsets", SG_DT_I64, 0, 1, "array 'postings.offsets': expected 0 to 4, found 1 to 4"},
        {"postings.offsets", SG_DT_I64, -1, 5, "array 'postings.offsets': expected 0 to 4, found 0 to 5"},
        {"postings.offsets", SG_DT_I64, 1, 1 << 20,
         "array 'postings.offsets': expected ascending numbers, found a step back at 1"},
        {"postings.offsets", SG_DT_I64, -2, 0,
         "bm25: array 'postings.offsets': expected I64 (4), found I64 (3)"},
        {"postings.doc", SG_DT_I32, 1, 0,
         "array 'postings.doc': expected ascending numbers below 3 for word 0, found 0"},
        {"postings.doc", SG_DT_I32, 1, 3,
         "array 'postings.doc': expected ascending numbers below 3 for word 0, found 3"},
        {"postings.doc", SG_DT_I32, 0, -1,
         "array 'postings.doc': expected ascending numbers below 3 for word 0, found -1"},
        {"postings.count", SG_DT_U16, 2, 0, "array 'postings.count': expected numbers from 1, found 0 at 2"},
        {"postings.count", SG_DT_U16, -2, 0, "bm25: array 'postings.count': expected U16 (4), found U16 (3)"},
        {"lexicon.offsets", SG_DT_I64, 1, 1 << 20,
         "array 'lexicon.offsets': expected ascending numbers from 0 to 15, found"},
    };
    static const char *const texts[] = {"apple", "apple pears", "plums"};
    shelf *s = shelf_new();

    (void)state;
    put_texts(s, texts, 3);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        sg_model *m = model_new(s, "");
        const size_t size = sg_dtype_bytes(broken[i].dtype);
        sg_error err = {0};
        size_t n = 0;
        const void *old = array_of(m, broken[i].name, &n);
        char *data = sg_alloc_array(n, size);

        assert_non_null(data);
        memcpy(data, old, n * size);
        if (broken[i].at == -2)
            n--;
        else
            memcpy(data + (broken[i].at < 0 ? n - 1 : (size_t)broken[i].at) * size, &broken[i].value,
                   size); /* little-endian */
        assert_int_equal(
            sg_model_array_put(m, broken[i].name, broken[i].dtype, 1, &(uint64_t){n}, data, &err), SG_OK);
        assert_int_equal(m->class->ready(m, &err), SG_ERR_FORMAT);
        if (!strstr(err.message, broken[i].message))
            fail_msg("case %zu: %s", i, err.message);
        sg_model_free(m);
    }
    sg_model *m = model_new(s, "");
    sg_error err = {0};

    assert_int_equal(
        sg_model_array_put(m, "lengths", SG_DT_I32, 1, &(uint64_t){3}, sg_alloc_zero(3, 4), &err), SG_OK);
    assert_int_equal(m->class->ready(m, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, "array 'lengths': expected documents with words, found none");
    sg_model_free(m);
    shelf_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_a_plain_computation),
        cmocka_unit_test(short_lists_begin_long_ones),
        cmocka_unit_test(the_rest_may_still_win),
        cmocka_unit_test(same_on_any_number_of_threads),
        cmocka_unit_test(saved_and_opened),
        cmocka_unit_test(nothing_to_find_is_no_error),
        cmocka_unit_test(documents_without_words_are_refused),
        cmocka_unit_test(many_places_of_a_word),
        cmocka_unit_test(stems),
        cmocka_unit_test(refuses_broken_lists),
    };

    return cmocka_run_group_tests(tests, NULL, nothing_leaked);
}

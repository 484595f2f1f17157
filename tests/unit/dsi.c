/* dsi.c - what a differentiable search index promises, on a made collection: a tree of topics whose nodes have words of their own;
 * a document holds words of its path from the root, an unseen query other words of the same document. */
#include "scratch.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "decode/free.h"
#include "eval/retrieval.h"
#include "models/dsi_texts.h"
#include "nn/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { B1 = 4, B2 = 5, B3 = 10, DOCS = B1 * B2 * B3, OWN = 8 };

typedef enum kind { ATOMIC, NAIVE, SEMANTIC } kind;

/* Strings that are put one after the other. */
typedef struct strings {
    sg_buf bytes;
    int64_t offsets[4 * DOCS + 1];
    size_t n;
} strings;

typedef struct shelf {
    sg_dataset data;
    sg_split split;
    sg_collection collection;
    sg_ids ids;
    sg_train_data train;
    strings id, text, query_id, query;
    sg_text_column column;
    int64_t offsets[SG_COLLECTION_SPLITS][2 * DOCS + 1];
    int32_t doc[SG_COLLECTION_SPLITS][2 * DOCS], grade[2 * DOCS];
    int32_t codes[DOCS * 3];
} shelf;

static void end_string(strings *s)
{
    s->offsets[++s->n] = (int64_t)s->bytes.size;
}

static sg_strings view(const strings *s)
{
    return (sg_strings){s->n, s->bytes.data, s->offsets};
}

static uint64_t draw(uint64_t n, int what, int a, int b)
{
    return sg_rng_below(n, 11, SG_RNG_TEST, (uint64_t)(what * 100000 + a), (uint64_t)b);
}

/* 3 words of each topic above a document, and most of its own; words that say nothing stand between. */
static void write_document(sg_buf *out, int d)
{
    for (int i = 0; i < 3; i++)
        sg_buf_printf(out, "the a%dx%d of b%dx%d ", d / (B2 * B3), (int)draw(8, 1, d, i), d / B3,
                      (int)draw(8, 2, d, i));
    for (int i = 0; i < OWN; i++)
        sg_buf_printf(out, "c%dx%d ", d, i);
}

/* 4 words: of a topic, and own ones; `which` queries of a document have other words. */
static void write_query(sg_buf *out, int d, int which)
{
    sg_buf_printf(out, "what of b%dx%d", d / B3, (int)draw(8, 2, d, which));
    for (int i = 0; i < 3; i++)
        sg_buf_printf(out, " c%dx%d", d, (which * 3 + i) % OWN);
}

static void set_codes(shelf *s, kind k)
{
    static const int32_t base[3][3] = {{DOCS, 1, 1}, {10, 10, 10}, {B1, B2, B3}};

    s->ids = (sg_ids){.n = DOCS, .levels = k == ATOMIC ? 1 : 3, .codes = s->codes};
    for (int l = 0; l < s->ids.levels; l++)
        s->ids.size[l] = base[k][l];
    for (int d = 0; d < DOCS; d++) {
        /* naive: neighbours in number are not neighbours in topic */
        int rest = k == SEMANTIC ? d : (int)((unsigned)d * 77u % DOCS);

        for (int l = s->ids.levels - 1; l >= 0; l--) {
            s->codes[d * s->ids.levels + l] = rest % s->ids.size[l];
            rest /= s->ids.size[l];
        }
    }
}

/* Queries: one of each document in train, another in test and dev. */
static shelf *shelf_new(kind k)
{
    shelf *s = sg_alloc_zero(1, sizeof *s);
    int q = 0;

    assert_non_null(s);
    for (int d = 0; d < DOCS; d++) {
        sg_buf_printf(&s->id.bytes, "d%d", d);
        write_document(&s->text.bytes, d);
        end_string(&s->id);
        end_string(&s->text);
        s->grade[d] = s->grade[DOCS + d] = 1;
    }
    for (int which = 0; which < 2; which++)
        for (int d = 0; d < DOCS; d++, q++) {
            sg_buf_printf(&s->query_id.bytes, "q%d", q);
            write_query(&s->query.bytes, d, which);
            end_string(&s->query_id);
            end_string(&s->query);
        }
    for (int split = 0; split < SG_COLLECTION_SPLITS; split++) {
        const int from = split == SG_COLLECTION_TRAIN ? 0 : DOCS,
                  to = split == SG_COLLECTION_TRAIN ? DOCS : 2 * DOCS;
        int64_t n = 0;

        for (q = 0; q < 2 * DOCS; q++) {
            s->offsets[split][q] = n;
            if (q >= from && q < to)
                s->doc[split][n++] = q % DOCS;
        }
        s->offsets[split][q] = n;
        s->collection.split[split] = (sg_judgements){n, s->offsets[split], s->doc[split], s->grade};
    }
    s->collection.n_queries = 2 * DOCS;
    s->collection.query_ids = view(&s->query_id);
    s->collection.query_text = view(&s->query);
    s->column = (sg_text_column){"text", view(&s->text)};
    s->data = (sg_dataset){.dir = (char *)"shelf",
                           .name = (char *)"shelf",
                           .sha256 = "0123456789012345678901234567890123456789012345678901234567890123",
                           .n_items = DOCS,
                           .item_ids = view(&s->id),
                           .columns = &s->column,
                           .n_columns = 1,
                           .collection = true};
    set_codes(s, k);
    s->train =
        (sg_train_data){.data = &s->data, .split = &s->split, .ids = &s->ids, .collection = &s->collection};
    return s;
}

static void shelf_free(shelf *s)
{
    sg_buf_free(&s->id.bytes);
    sg_buf_free(&s->text.bytes);
    sg_buf_free(&s->query_id.bytes);
    sg_buf_free(&s->query.bytes);
    sg_vocab_free(s->data.item_index);
    sg_free(s);
}

static int nothing_leaked(void **state)
{
    (void)state;
    return sg_alloc_live() != 0;
}

static sg_model *model_new(shelf *s, const char *options)
{
    const sg_model_class *class = sg_model_class_find("dsi", NULL);
    char text[512];
    sg_error err = {0};
    sg_model *m;

    assert_int_equal(sg_model_new(&m, class, &err), SG_OK);
    snprintf(text, sizeof text,
             "dim=64 heads=4 head_dim=16 ffn=128 words=2500 hashed=16 init_sd=0.05 dropout=0 length=24 %s",
             options);
    for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
        if (sg_options_assign(m->config, class->options, class->n_options, p, &err))
            fail_msg("%s", err.message);
    if (sg_model_build(m, &s->train, 1, &err))
        fail_msg("%s", err.message);
    return m;
}

/* So many steps of 50 examples, in order. */
static void train(sg_model *m, const shelf *s, int steps)
{
    const sg_optim_spec spec = {.kind = SG_OPTIM_ADAMW,
                                .lr = 0.003,
                                .beta1 = 0.9,
                                .beta2 = 0.98,
                                .eps = 1e-8,
                                .clip = 1,
                                .warmup = 20};
    uint32_t example[50];
    sg_error err = {0};
    sg_optim *o;
    sg_graph *g;
    size_t n;

    if (m->class->examples(m, &s->train, &n, &err) || sg_optim_new(&o, &m->params, &spec, &err) ||
        sg_graph_new(&g, NULL, SG_F32, &err))
        fail_msg("%s", err.message);
    for (int step = 0; step < steps; step++) {
        for (size_t i = 0; i < 50; i++)
            example[i] = (uint32_t)(((size_t)step * 50 + i) * 7 % n);
        sg_graph_begin(g, SG_TRAIN, 1, (uint64_t)step);
        if (sg_backward(g, m->class->loss(m, g, example, 50, 1, (uint64_t)step), &err) ||
            sg_optim_step(o, NULL, NULL, &err))
            fail_msg("%s", err.message);
    }
    sg_graph_free(g);
    sg_optim_free(o);
}

/* Share of n texts (of the documents when NULL) whose first document is their own; *empty: places of the first ten without one. */
static double first_is_own(const sg_model *m, const shelf *s, bool documents, bool free_codes, int *empty)
{
    static int32_t item[DOCS * 10];
    static float score[DOCS * 10];
    sg_bytes text[DOCS];
    sg_error err = {0};
    sg_session *session;
    int own = 0;

    for (int d = 0; d < DOCS; d++)
        text[d] = documents ? sg_strings_at(&s->column.text, (size_t)d)
                            : sg_strings_at(&s->collection.query_text, (size_t)(DOCS + d));
    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    session->free = free_codes;
    session->beam = 20;
    if (m->class->retrieve(session, text, DOCS, 10, item, score, &err))
        fail_msg("%s", err.message);
    *empty = 0;
    for (int d = 0; d < DOCS; d++) {
        own += item[d * 10] == d;
        for (int i = 0; i < 10; i++) {
            *empty += item[d * 10 + i] < 0;
            assert_true(i == 0 || score[d * 10 + i] <= score[d * 10 + i - 1]);
        }
    }
    sg_session_free(session);
    return (double)own / DOCS;
}

/* Documents are learned by heart with IDs of every kind, and only IDs that exist are written. */
static void learns_documents(void **state)
{
    (void)state;
    for (kind k = ATOMIC; k <= SEMANTIC; k++) {
        shelf *s = shelf_new(k);
        sg_model *m = model_new(s, "ratio=0");
        int empty;

        train(m, s, 150);
        const double index = first_is_own(m, s, true, false, &empty);
        assert_int_equal(empty, 0);
        if (index < 0.99)
            fail_msg("kind %d: %.3f of the documents found by their text", k, index);
        sg_model_free(m);
        shelf_free(s);
    }
}

/* Unseen queries are found far better than by chance, and better when other queries were learned beside the documents. */
static void answers_unseen_queries(void **state)
{
    shelf *s = shelf_new(SEMANTIC);
    double found[2];
    int empty;

    (void)state;
    for (int multi = 0; multi < 2; multi++) {
        sg_model *m = model_new(s, multi ? "ratio=1 drop=0.3" : "ratio=0 drop=0.3");

        train(m, s, 300);
        found[multi] = first_is_own(m, s, false, false, &empty);
        assert_int_equal(empty, 0);
        sg_model_free(m);
    }
    print_message("unseen queries, first place: index only %.3f, with retrieval %.3f\n", found[0], found[1]);
    assert_true(found[1] >= 5.0 / DOCS);
    assert_true(found[1] > found[0]);
    shelf_free(s);
}

/* What the tree spares: of 1000 numbers of three digits 200 are documents. */
static void writes_numbers_of_nothing_without_the_tree(void **state)
{
    shelf *s = shelf_new(NAIVE);
    sg_model *m = model_new(s, "ratio=2");
    int empty;

    (void)state;
    train(m, s, 1);
    first_is_own(m, s, false, true, &empty);
    assert_true(empty > 0);
    first_is_own(m, s, false, false, &empty);
    assert_int_equal(empty, 0);
    sg_model_free(m);
    shelf_free(s);
}

/* Who only learned to write texts for IDs cannot write IDs for texts. */
static void writing_texts_is_no_retrieval(void **state)
{
    shelf *s = shelf_new(SEMANTIC);
    sg_model *m = model_new(s, "task=targets2inputs ratio=0");
    int empty;

    (void)state;
    train(m, s, 60);
    assert_true(first_is_own(m, s, false, false, &empty) <= 5.0 / DOCS);
    sg_model_free(m);
    shelf_free(s);
}

/* ratio counts examples of indexing, of which a document has two when both directions are learned. */
static void examples_keep_the_ratio(void **state)
{
    static const struct {
        const char *options;
        size_t indexing, retrieval;
    } each[] = {{"ratio=1", DOCS, DOCS},
                {"ratio=4", DOCS, (DOCS + 3) / 4},
                {"task=bidirectional ratio=1", 2 * DOCS, 2 * DOCS},
                {"task=bidirectional ratio=4", 2 * DOCS, (2 * DOCS + 3) / 4},
                {"task=bidirectional ratio=0", 2 * DOCS, 0}};
    shelf *s = shelf_new(SEMANTIC);

    (void)state;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        sg_model *m = model_new(s, each[i].options);
        sg_error err = {0};
        size_t n;

        assert_int_equal(m->class->examples(m, &s->train, &n, &err), SG_OK);
        assert_int_equal(n, each[i].indexing + each[i].retrieval);
        sg_model_free(m);
    }
    shelf_free(s);
}

/* The other tasks learn IDs, too. */
static void other_tasks_learn(void **state)
{
    static const char *const tasks[] = {"task=bidirectional ratio=1", "task=span ratio=1",
                                        "task=bidirectional ratio=1 prefix_vectors=true",
                                        "level_offset=false ratio=1 drop=0.2 document=set"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        shelf *s = shelf_new(SEMANTIC);
        sg_model *m = model_new(s, tasks[i]);
        int empty;

        train(m, s, 150);
        const double found = first_is_own(m, s, false, false, &empty);
        if (found < 20.0 / DOCS)
            fail_msg("%s: %.3f of the queries found", tasks[i], found);
        sg_model_free(m);
        shelf_free(s);
    }
}

/* Training and decoding are one network: the loss of an ID is minus the score that the search gives it. */
static void check_decoding(const char *options)
{
    shelf *s = shelf_new(SEMANTIC);
    sg_model *m = model_new(s, options);
    sg_param *prefix = sg_params_find(&m->params, "prefix.weight");
    sg_bytes text = sg_strings_at(&s->column.text, 17);
    const uint32_t example = 17;
    static int32_t item[DOCS];
    static float score[DOCS];
    sg_error err = {0};
    sg_session *session;
    sg_graph *g;
    size_t n;

    train(m, s, 5);
    for (size_t i = 0; prefix && i < prefix->count; i++)
        prefix->value[i] += 0.3f * (float)sg_rng_normal(1, SG_RNG_TEST, 1, i);
    assert_int_equal(m->class->examples(m, &s->train, &n, &err), SG_OK);
    assert_int_equal(n, DOCS);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_INFER, 1, 0);
    const sg_tensor *loss = m->class->loss(m, g, &example, 1, 1, 0);
    assert_int_equal(sg_graph_status(g, &err), SG_OK);
    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    for (int free_codes = 0; free_codes < (prefix ? 1 : 2);
         free_codes++) { /* with prefixes the tree is part of the model */
        int at = 0;

        session->free = free_codes;
        assert_int_equal(m->class->retrieve(session, &text, 1, DOCS, item, score, &err), SG_OK);
        while (at < DOCS && item[at] != 17)
            at++;
        assert_true(at < DOCS);
        assert_true(fabs(-score[at] / 3 - loss->data[0]) < 1e-4); /* mean of 3 codes; f32 */
    }
    sg_session_free(session);
    sg_graph_free(g);
    sg_model_free(m);
    shelf_free(s);
}

static void training_equals_decoding(void **state)
{
    (void)state;
    check_decoding("ratio=0");
    check_decoding("ratio=0 prefix_vectors=true");
}

/* ---- texts ---- */

/* A document whose first hundred words say nothing: a chunk from anywhere in it still holds one that does. */
static void chunks_say_something(void **state)
{
    shelf *s = shelf_new(SEMANTIC);
    sg_lexicon lexicon = {0};
    sg_dsi_texts t = {0};
    sg_error err = {0};
    sg_model *m;
    int32_t word[8];
    bool query;

    (void)state;
    s->text.bytes.size = 0;
    s->text.n = 0;
    for (int d = 0; d < DOCS; d++) {
        for (int i = 0; i < 100 && d < 5; i++)
            sg_buf_puts(&s->text.bytes, i % 2 ? "of " : "the ");
        write_document(&s->text.bytes, d);
        end_string(&s->text);
    }
    s->column.text = view(&s->text);
    m = model_new(s, "");
    assert_int_equal(sg_lexicon_need(&lexicon, m, 2500, 16, NULL, &err), SG_OK);
    assert_int_equal(sg_dsi_texts_new(&t, &s->train, &lexicon, 8, "", 0, &err), SG_OK);
    for (int d = 0; d < 6; d++)
        for (uint64_t i = 0; i < 500; i++) {
            bool says = false;
            const int n = sg_dsi_draw(word, &t, d, SG_DSI_INVERTED, 1, i, &query);

            assert_int_equal(n, 8);
            assert_false(query);
            for (int w = 0; w < n; w++)
                says |= !sg_lexicon_stop(&lexicon, word[w]);
            assert_true(says);
        }
    /* a set has no word twice and none that says nothing */
    const int n = sg_dsi_draw(word, &t, 0, SG_DSI_SET, 1, 0, &query);
    for (int a = 0; a < n; a++) {
        assert_false(sg_lexicon_stop(&lexicon, word[a]));
        for (int b = 0; b < a; b++)
            assert_int_not_equal(word[a], word[b]);
    }
    sg_dsi_texts_free(&t);
    sg_lexicon_free(&lexicon);
    sg_model_free(m);
    shelf_free(s);
}

/* Made queries: what is repeated, strange or contradicts itself is counted and left out. */
static void sifts_made_queries(void **state)
{
    static const char lines[] = "{\"id\": \"d7\", \"answer\": \"c7x0 c7x1\\n- c7x1, c7x0\\nwhat of "
                                "the\\nsomething else entirely\\n\\n\"}\n"
                                "{\"id\": \"d9\", \"answer\": \"c9x2 of c9x3\"}\n"
                                "{\"id\": \"d7\", \"answer\": \"the a0x0\\nc7x5\"}\n"
                                "{\"id\": \"d8\", \"answer\": \"The a0x0!\"}\n";
    shelf *s = shelf_new(SEMANTIC);
    char dir[SCRATCH_MAX], path[SCRATCH_MAX + 16];
    sg_lexicon lexicon = {0};
    sg_dsi_texts t = {0};
    sg_error err = {0};
    sg_model *m = model_new(s, "");
    int32_t word[8];
    bool query;

    (void)state;
    assert_int_equal(scratch_make(dir, "dsi"), 0);
    snprintf(path, sizeof path, "%s/made.jsonl", dir);
    assert_int_equal(sg_file_write(path, lines, sizeof lines - 1, &err), SG_OK);
    assert_int_equal(sg_lexicon_need(&lexicon, m, 2500, 16, NULL, &err), SG_OK);
    if (sg_dsi_texts_new(&t, &s->train, &lexicon, 8, path, 0, &err))
        fail_msg("%s", err.message);
    assert_int_equal(t.counts.read, 8);
    assert_int_equal(t.counts.repeated, 1);
    assert_int_equal(t.counts.strange, 1); /* "what of the" */
    assert_int_equal(t.counts.conflicting, 2);
    assert_int_equal(t.counts.kept, 4);
    for (uint64_t i = 0; i < 20; i++) {
        sg_dsi_draw(word, &t, 9, SG_DSI_NONE, 1, i, &query); /* its one query */
        assert_true(query);
        sg_dsi_draw(word, &t, 8, SG_DSI_NONE, 1, i, &query); /* it has none left: the document */
        assert_false(query);
    }
    sg_dsi_texts_free(&t);
    if (sg_dsi_texts_new(&t, &s->train, &lexicon, 8, path, 0.5,
                         &err)) /* half of the words must be the document's */
        fail_msg("%s", err.message);
    assert_int_equal(t.counts.strange, 4); /* a0x0 stands in neither of the two */
    sg_dsi_texts_free(&t);
    if (sg_dsi_texts_new(&t, &s->train, &lexicon, 8, SG_DSI_SENTENCES, 0, &err))
        fail_msg("%s", err.message);
    assert_int_equal(t.counts.kept + t.counts.conflicting,
                     DOCS); /* one sentence each; 8 words of it may be another's, too */
    assert_true(t.counts.kept > DOCS - 10);
    sg_dsi_texts_free(&t);
    sg_lexicon_free(&lexicon);
    sg_model_free(m);
    assert_int_equal(sg_dir_remove(dir, NULL), SG_OK);
    shelf_free(s);
}

/* Queries made from words all over the documents are worth more than the documents' first words alone. */
static void made_queries_help(void **state)
{
    shelf *s = shelf_new(SEMANTIC);
    char dir[SCRATCH_MAX], path[SCRATCH_MAX + 16], options[256];
    double found[2];
    sg_buf lines = {0};
    int empty;

    (void)state;
    assert_int_equal(scratch_make(dir, "dsi"), 0);
    snprintf(path, sizeof path, "%s/made.jsonl", dir);
    for (int d = 0; d < DOCS; d++) /* three templates over the words of the nodes */
        sg_buf_printf(&lines,
                      "{\"id\": \"d%d\", \"answer\": \"what of b%dx%d c%dx%d c%dx%d\\nabout c%dx%d "
                      "c%dx%d\\nc%dx%d with c%dx%d of a%dx%d\"}\n",
                      d, d / B3, (int)draw(8, 2, d, 0), d, (int)draw(OWN, 3, d, 0), d,
                      (int)draw(OWN, 3, d, 1), d, (int)draw(OWN, 3, d, 2), d, (int)draw(OWN, 3, d, 3), d,
                      (int)draw(OWN, 3, d, 4), d, (int)draw(OWN, 3, d, 5), d / (B2 * B3),
                      (int)draw(8, 1, d, 0));
    assert_int_equal(sg_file_write(path, lines.data, lines.size, NULL), SG_OK);
    for (int made = 0; made < 2; made++) {
        snprintf(options, sizeof options, "ratio=2 length=16%s%s", made ? " document=none queries=" : "",
                 made ? path : "");
        sg_model *m = model_new(s, options);

        train(m, s, 150);
        found[made] = first_is_own(m, s, false, false, &empty);
        sg_model_free(m);
    }
    print_message("unseen queries, first place: documents %.3f, made queries %.3f\n", found[0], found[1]);
    assert_true(found[1] >= 1.2 * found[0]);
    sg_buf_free(&lines);
    assert_int_equal(sg_dir_remove(dir, NULL), SG_OK);
    shelf_free(s);
}

/* Documents and queries without a word are read like any other; a batch in which nothing is asked has no loss. */
static void takes_empty_texts(void **state)
{
    static const char *const options[] = {"ratio=0", "task=targets2inputs ratio=0",
                                          "task=span ratio=0 prefix_vectors=true",
                                          "task=bidirectional ratio=0 prefix_vectors=true document=set"};
    shelf *s = shelf_new(SEMANTIC);
    const sg_bytes nothing = {"", 0};
    int32_t item[10];
    float score[10];
    sg_error err = {0};

    (void)state;
    s->text.bytes.size = 0;
    s->text.n = 0;
    for (int d = 0; d < DOCS; d++) {
        if (d >= 2)
            write_document(&s->text.bytes, d);
        end_string(&s->text);
    }
    s->column.text = view(&s->text);
    for (int i = 0; i < 4; i++) {
        sg_model *m = model_new(s, options[i]);
        sg_session *session;
        sg_graph *g;
        size_t n;

        assert_int_equal(m->class->examples(m, &s->train, &n, &err), SG_OK);
        assert_int_equal(sg_params_need_grads(&m->params, &err), SG_OK);
        assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
        for (uint64_t step = 0; step < 8; step++) {
            sg_graph_begin(g, SG_TRAIN, 1, step);
            sg_tensor *loss = m->class->loss(m, g, (const uint32_t[]){0, 1}, 1 + (int)(step & 1), 1, step);
            if (sg_backward(g, loss, &err))
                fail_msg("%s: %s", options[i], err.message);
            assert_true(isfinite(loss->data[0]));
        }
        assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
        if (m->class->retrieve(session, &nothing, 1, 10, item, score, &err))
            fail_msg("%s: %s", options[i], err.message);
        sg_session_free(session);
        sg_graph_free(g);
        sg_model_free(m);
    }
    shelf_free(s);
}

/* A lexicon that a folder brings is not believed. */
static void refuses_a_broken_lexicon(void **state)
{
    shelf *s = shelf_new(SEMANTIC);
    sg_model *m = model_new(s, "");
    sg_lexicon lexicon = {0};
    sg_error err = {0};
    int64_t *offsets = sg_alloc_array(3, sizeof *offsets);

    (void)state;
    memcpy(offsets, (int64_t[]){0, 5, 1 << 30}, 3 * sizeof *offsets);
    assert_int_equal(sg_model_array_put(m, "lexicon.offsets", SG_DT_I64, 1, (uint64_t[]){3}, offsets, &err),
                     SG_OK);
    assert_int_equal(m->class->ready(m, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "array 'lexicon.offsets': expected ascending numbers from 0 to"));
    assert_int_equal(sg_lexicon_need(&lexicon, m, 16, 16, NULL, &err), SG_ERR_FORMAT);
    sg_lexicon_free(&lexicon);
    sg_model_free(m);
    shelf_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_say_something),
        cmocka_unit_test(sifts_made_queries),
        cmocka_unit_test(refuses_a_broken_lexicon),
        cmocka_unit_test(takes_empty_texts),
        cmocka_unit_test(training_equals_decoding),
        cmocka_unit_test(writes_numbers_of_nothing_without_the_tree),
        cmocka_unit_test(examples_keep_the_ratio),
        cmocka_unit_test(learns_documents),
        cmocka_unit_test(answers_unseen_queries),
        cmocka_unit_test(writing_texts_is_no_retrieval),
        cmocka_unit_test(other_tasks_learn),
        cmocka_unit_test(made_queries_help),
    };

    return cmocka_run_group_tests(tests, NULL, nothing_leaked);
}

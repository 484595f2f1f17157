/* bm25.c - queries a second of a model that retrieves, on one thread, one query at a time.
 *
 * usage: bench_bm25 MODEL DATA [K]              all queries of the collection, K (10) documents each; bench/peer_bm25.py is the peer
 *        bench_bm25 --write FOLDER DOCUMENTS QUERIES
 *            a collection in BEIR's layout: 20 to 200 words a document by Zipf's law over a million; a query is 3 to 12 words of one */
#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "bench.h"
#include "models/model.h"

#include <math.h>

enum { VOCABULARY = 1000000, REPEATS = 5 };

static void die(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static uint64_t draw(uint64_t n, int what, int64_t a)
{
    return sg_rng_below(n, 1, SG_RNG_TEST, (uint64_t)what, (uint64_t)a);
}

static int word(int64_t doc, int i)
{
    return (int)exp(sg_rng_double(2, SG_RNG_TEST, (uint64_t)doc, (uint64_t)i) * log(VOCABULARY + 1.0)) - 1;
}

static int doc_size(int64_t doc)
{
    return 20 + (int)draw(181, 1, doc);
}

static FILE *create(const char *folder, const char *name)
{
    char *path = sg_path_join(folder, name);
    FILE *f = path ? fopen(path, "w") : NULL;

    if (!f)
        die("cannot write there");
    sg_free(path);
    return f;
}

static void write_collection(const char *folder, int64_t docs, int64_t queries)
{
    char *qrels = sg_path_join(folder, "qrels");
    FILE *corpus, *asked, *judged;

    if (!qrels || sg_dir_make(folder, NULL) || sg_dir_make(qrels, NULL))
        die("cannot make the folder");
    corpus = create(folder, "corpus.jsonl");
    asked = create(folder, "queries.jsonl");
    judged = create(qrels, "test.tsv");
    for (int64_t d = 0; d < docs; d++) {
        fprintf(corpus, "{\"_id\": \"d%lld\", \"text\": \"", (long long)d);
        for (int i = 0, n = doc_size(d); i < n; i++)
            fprintf(corpus, "w%d ", word(d, i));
        fprintf(corpus, "\"}\n");
    }
    for (int64_t q = 0; q < queries; q++) {
        const int64_t d = (int64_t)draw((uint64_t)docs, 2, q);

        fprintf(asked, "{\"_id\": \"q%lld\", \"text\": \"", (long long)q);
        for (int i = 0, n = 3 + (int)draw(10, 3, q); i < n; i++)
            fprintf(asked, "w%d ", word(d, (int)draw((uint64_t)doc_size(d), 4, q * 16 + i)));
        fprintf(asked, "\"}\n");
        fprintf(judged, "q%lld\td%lld\t1\n", (long long)q, (long long)d);
    }
    if (fclose(corpus) || fclose(asked) || fclose(judged))
        die("cannot write there");
    sg_free(qrels);
}

int main(int argc, char **argv)
{
    const bool writes = argc > 1 && !strcmp(argv[1], "--write");
    const int k = argc > 3 && !writes ? atoi(argv[3]) : 10;
    double rate[REPEATS], took;
    sg_dataset *d = NULL;
    sg_collection *c = NULL;
    sg_model *m = NULL;
    sg_session *s;
    int32_t *item;
    float *score;
    int64_t found = 0;
    sg_error err;

    if (writes && argc == 5) {
        write_collection(argv[2], atoll(argv[3]), atoll(argv[4]));
        return 0;
    }
    if (argc < 3 || writes || k < 1)
        die("usage: bench_bm25 MODEL DATA [K], or --write FOLDER DOCUMENTS QUERIES");
    took = sg_now();
    if (sg_model_open(&m, argv[1], &err))
        die(err.message);
    took = sg_now() - took;
    if (sg_dataset_open(&d, argv[2], &err) || sg_collection_open(&c, d, &err) ||
        sg_session_new(&s, m, NULL, &err))
        die(err.message);
    item = sg_alloc_array((size_t)k, sizeof *item);
    score = sg_alloc_array((size_t)k, sizeof *score);
    if (!c || !m->class->retrieve || !item || !score)
        die("expected a model that retrieves and a collection");
    bench_header();
    bench_value("open the folder", took, "s");
    for (int r = -1; r < REPEATS; r++) { /* the first round is not counted */
        const double start = sg_now();

        for (int32_t q = 0; q < c->n_queries; q++) {
            const sg_bytes text = sg_strings_at(&c->query_text, (size_t)q);

            if (m->class->retrieve(s, &text, 1, k, item, score, &err))
                die(err.message);
            for (int i = 0; r < 0 && i < k; i++)
                found += item[i] >= 0;
        }
        if (r >= 0)
            rate[r] = c->n_queries / (sg_now() - start);
    }
    bench_value("documents of a query", (double)found / c->n_queries, "");
    bench_row(1, "queries", rate, REPEATS, "queries/s");
    sg_free(item);
    sg_free(score);
    sg_session_free(s);
    sg_model_free(m);
    sg_collection_close(c);
    sg_dataset_close(d);
    return 0;
}

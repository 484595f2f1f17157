/* items.c - items come and go while the server serves: seen at once, on the disk when acknowledged, never recommended once gone;
 * and texts become vectors. */
#include "postgres.h"

#include <math.h>
#include <pthread.h>

#define LAMP "{\"title\": \"Mifo Wogur Wooden Building Blocks Age 10+\", \"brand\": \"Mifo\"}"

static server s;
static postgres pg;
static bool in_postgres; /* the kind of store of this round */

static void start_with(server *k, const char *model, const char *options, const char *store)
{
    char all[800], where[200];

    if (in_postgres)
        postgres_where(&pg, where, sizeof where, store);
    else
        snprintf(where, sizeof where, "%s.db", store);
    snprintf(all, sizeof all, "%s --store %s", options, where);
    server_start(k, model, all);
}

static int start(void **state)
{
    static const char *const models[] = {"tiger", "sasrec", "pop", NULL};

    (void)state;
    if (make_work(models) ||
        shell("sedge train hstu-rank shop -q -o rank --set dim=16 blocks=1 epochs=1 label=action actions=3 "
              "bias=position valid_users=50 --json >/dev/null"))
        return -1;
    if (in_postgres && !postgres_make(&pg))
        return -1;
    start_with(&s, "tiger", "--threads 2", "store");
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&s), 0);
    if (in_postgres)
        postgres_stop(&pg, SIGQUIT);
    return remove_work(state);
}

static int add(const server *to, const char *id, const char *texts)
{
    char body[600];

    snprintf(body, sizeof body, "{\"items\": [{\"id\": \"%s\", \"texts\": %s}]}", id, texts);
    return status_of(to, "POST", "/v1/items", body);
}

static int drop(const server *to, const char *id)
{
    char path[300];

    snprintf(path, sizeof path, "/v1/items/%s", id);
    return status_of(to, "DELETE", path, NULL);
}

static int look(const server *to, const char *id)
{
    char path[300];

    snprintf(path, sizeof path, "/v1/items/%s", id);
    return status_of(to, "GET", path, NULL);
}

static bool lists(const answer *a, const char *id)
{
    json_t *items = member(a->json, "items"), *one;
    size_t i;

    json_array_foreach(items, i,
                       one) if (strcmp(json_string_value(json_object_get(one, "item")), id) == 0) return true;
    return false;
}

/* ---- what is seen -------------------------------------------------------------------------------------------- */
static void an_added_item_is_there_at_once(void **state)
{
    answer a = ask(&s, "POST", "/v1/items", "{\"items\": [{\"id\": \"lamp\", \"texts\": " LAMP "}]}"), b;

    (void)state;
    assert_int_equal(a.status, 200);
    assert_true(number_at(&a, "added") == 1 && number_at(&a, "repeated") == 0);
    assert_string_equal(text_at(&a, "items/0/item"), "lamp");
    b = ask(&s, "GET", "/v1/items/lamp", NULL);
    assert_int_equal(b.status, 200);
    assert_string_equal(text_at(&b, "title"), "Mifo Wogur Wooden Building Blocks Age 10+");
    assert_string_equal(text_at(&b, "texts/brand"), "Mifo");
    assert_true(json_is_true(member(b.json, "added")));
    assert_true(json_equal(member(a.json, "items/0/semantic_id"), member(b.json, "semantic_id")));
    assert_int_equal(json_array_size(member(b.json, "path")), json_array_size(member(b.json, "semantic_id")));
    answer_free(&a);
    answer_free(&b);
    /* found, scored and read like any other */
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"k\": 90, \"beam\": 90, \"seen\": true}");
    assert_int_equal(json_array_size(member(a.json, "items")), 81);
    assert_true(lists(&a, "lamp"));
    answer_free(&a);
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"allow\": [\"lamp\"], \"explain\": true}");
    assert_string_equal(text_at(&a, "items/0/item"), "lamp");
    assert_int_equal(json_array_size(member(a.json, "items/0/path")), 3);
    b = ask(&s, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"i4\", \"lamp\"]}");
    assert_true(number_at(&b, "items/1/score") == number_at(&a, "items/0/score"));
    answer_free(&a);
    answer_free(&b);
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\", \"lamp\"], \"k\": 80, \"beam\": 90}");
    assert_true(number_at(&a, "history_length") == 2 && number_at(&a, "unknown") == 0);
    assert_false(lists(&a, "lamp")); /* seen */
    answer_free(&a);
    a = ask(&s, "POST", "/v1/events", "{\"events\": [{\"user\": \"zoe\", \"item\": \"lamp\"}]}");
    assert_true(number_at(&a, "unknown_items") == 0);
    answer_free(&a);
    a = ask(&s, "POST", "/v1/recommend", "{\"user\": \"zoe\"}");
    assert_true(number_at(&a, "history_length") == 1);
    answer_free(&a);
    a = ask(&s, "GET", "/v1/prefixes", NULL);
    assert_true(number_at(&a, "items") == 81);
    answer_free(&a);
    a = ask(&s, "GET", "/v1/models", NULL);
    assert_true(number_at(&a, "data/0/items_on_offer") == 81 && number_at(&a, "data/0/items") == 80);
    answer_free(&a);
}

static void sent_again_it_is_the_same_item(void **state)
{
    answer a = ask(&s, "POST", "/v1/items", "{\"items\": [{\"id\": \"lamp\", \"texts\": " LAMP "}]}");

    (void)state;
    assert_int_equal(a.status, 200);
    assert_true(number_at(&a, "added") == 0 && number_at(&a, "repeated") == 1);
    assert_true(json_is_false(member(a.json, "items/0/added")));
    assert_int_equal(json_array_size(member(a.json, "items/0/semantic_id")), 3);
    answer_free(&a);
    assert_error(&s, "POST", "/v1/items",
                 "{\"items\": [{\"id\": \"lamp\", \"texts\": {\"title\": \"Building Blocks\"}}]}", 409,
                 "exists");
    assert_error(&s, "POST", "/v1/items", "{\"items\": [{\"id\": \"i3\", \"texts\": " LAMP "}]}", 409,
                 "exists");
    /* all or none */
    assert_error(&s, "POST", "/v1/items",
                 "{\"items\": [{\"id\": \"desk\", \"texts\": " LAMP "}, {\"id\": \"i3\", \"texts\": " LAMP
                 "}]}",
                 409, "exists");
    assert_int_equal(look(&s, "desk"), 404);
}

static void a_removed_item_is_gone_and_known(void **state)
{
    answer a;

    (void)state;
    assert_int_equal(drop(&s, "lamp"), 200);
    assert_int_equal(drop(&s, "lamp"), 404);
    assert_error(&s, "GET", "/v1/items/lamp", NULL, 404, "removed");
    assert_int_equal(drop(&s, "i7"), 200);
    assert_int_equal(drop(&s, "nothing"), 404);
    a = ask(&s, "POST", "/v1/recommend",
            "{\"history\": [\"i7\", \"lamp\"], \"k\": 90, \"beam\": 90, \"seen\": true}");
    assert_true(number_at(&a, "history_length") == 2 &&
                number_at(&a, "unknown") == 0); /* a history may hold it */
    assert_int_equal(json_array_size(member(a.json, "items")), 79);
    assert_false(lists(&a, "i7") || lists(&a, "lamp"));
    answer_free(&a);
    a = ask(&s, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"i7\", \"i4\"]}");
    assert_true(json_is_null(member(a.json, "items/0/score")) &&
                json_is_number(member(a.json, "items/1/score")));
    answer_free(&a);
    assert_error(&s, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"i7\", \"lamp\"]}", 404,
                 "not_found");
    a = ask(&s, "POST", "/v1/rerank", "{\"history\": [\"i3\"], \"items\": [\"i7\", \"i4\"]}");
    assert_int_equal(json_array_size(member(a.json, "results")), 1);
    answer_free(&a);
    /* as it was */
    a = ask(&s, "POST", "/v1/items", "{\"items\": [{\"id\": \"i7\"}]}");
    assert_true(number_at(&a, "added") == 1);
    answer_free(&a);
    a = ask(&s, "GET", "/v1/items/i7", NULL);
    assert_int_equal(a.status, 200);
    assert_true(strlen(text_at(&a, "title")) > 9);
    answer_free(&a);
}

static void an_item_ends_when_it_expires(void **state)
{
    char body[300];

    (void)state;
    snprintf(body, sizeof body,
             "{\"items\": [{\"id\": \"milk\", \"texts\": " LAMP ", \"expires_at\": %lld}]}",
             (long long)time(NULL) + (SANITIZED ? 8 : 3));
    assert_int_equal(status_of(&s, "POST", "/v1/items", body), 200);
    answer a = ask(&s, "GET", "/v1/items/milk", NULL);
    assert_true(number_at(&a, "expires_at") > 1);
    answer_free(&a);
    for (int ms = 0; ms < WAIT_MS && look(&s, "milk") == 200; ms += 20)
        sleep_ms(20);
    assert_error(&s, "GET", "/v1/items/milk", NULL, 404, "removed");
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"k\": 90, \"beam\": 90}");
    assert_false(lists(&a, "milk"));
    answer_free(&a);
    assert_int_equal(add(&s, "milk", LAMP), 200); /* anew, without an end */
    assert_int_equal(look(&s, "milk"), 200);
}

/* ---- what is refused ----------------------------------------------------------------------------------------- */
static void assert_words(const server *to, const char *path, const char *body, int status,
                         const char *message)
{
    answer a = ask(to, "POST", path, body);

    assert_string_equal(text_at(&a, "error/message"), message);
    assert_int_equal(a.status, status);
    answer_free(&a);
}

static void bad_items_are_refused_word_by_word(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *message;
    } cases[] = {
        {"[]", 400, "'body': expected an object, found an array"},
        {"{}", 400, "'items': expected, found nothing"},
        {"{\"items\": []}", 400, "'items': expected at least one, found none"},
        {"{\"items\": {}}", 400, "'items': expected a list of objects, found an object"},
        {"{\"items\": [3]}", 400, "'items[0]': expected an object, found 3"},
        {"{\"items\": [{}]}", 400, "'items[0].id': expected, found nothing"},
        {"{\"items\": [{\"id\": \"\"}]}", 400, "'items[0].id': expected 1 to 255 bytes, found 0"},
        {"{\"items\": [{\"id\": \"x\"}]}", 400, "'items[0].texts': expected, found nothing"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": {}}]}", 400, "'items[0].texts': expected, found nothing"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": \"lamp\"}]}", 400,
         "'items[0].texts': expected an object of strings, found \"lamp\""},
        {"{\"items\": [{\"id\": \"x\", \"texts\": {\"title\": 3}}]}", 400,
         "'items[0].texts.title': expected a string, found 3"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": {\"title\": \"\"}}]}", 400,
         "'items[0].texts.title': expected 1 to 8192 bytes, found 0"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": {\"titel\": \"a\"}}]}", 400,
         "'items[0].texts': unknown column 'titel' (did you mean 'title'?)"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": {\"title\": \"qzx\"}}]}", 400,
         "'items[0].texts': its texts have no word that the encoder knows"},
        {"{\"items\": [{\"id\": \"x\", \"text\": {\"title\": \"a\"}}]}", 400,
         "unknown parameter 'items[0].text' (did you mean 'texts'?)"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": " LAMP ", \"expires_at\": 17}]}", 400,
         "'items[0].expires_at': expected a time to come, found 17"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": " LAMP ", \"expires_at\": 1.5}]}", 400,
         "'items[0].expires_at': expected an integer, found 1.5"},
        {"{\"items\": [{\"id\": \"x\", \"texts\": " LAMP "}, {\"id\": \"x\", \"texts\": " LAMP "}]}", 400,
         "'items[1].id': items[0] has the same id"},
        {"{\"items\": [{\"id\": \"i3\", \"texts\": " LAMP "}]}", 409,
         "item 'i3' is in the catalogue and is not the same: remove it first"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_words(&s, "/v1/items", cases[i].body, cases[i].status, cases[i].message);
    assert_int_equal(look(&s, "x"), 404);
}

/* A body of n items, the first with a title of `bytes` bytes. */
static char *body_of(int n, int bytes)
{
    char *body = malloc(200000), *at = body;

    at += sprintf(at, "{\"items\": [");
    for (int i = 0; i < n; i++) {
        at += sprintf(at, "%s{\"id\": \"many%d-%d\", \"texts\": {\"title\": \"Wooden Building Blocks",
                      i ? ", " : "", i, bytes);
        for (int b = 22; i == 0 && b < bytes; b++)
            *at++ = ' ';
        at += sprintf(at, "\"}}");
    }
    sprintf(at, "]}");
    return body;
}

static void limits_hold_to_the_last(void **state)
{
    server small;

    (void)state;
    start_with(&small, "tiger",
               "--items-max 3 --text-max 64 --inputs-max 4 --id-max 12 --batch 2 --threads 1", "small");
    for (int more = -1; more <= 1; more++) {
        char *many = body_of(3 + more, 22), *longer = body_of(1, 64 + more), inputs[200] = "{\"input\": [",
             body[200];

        assert_int_equal(status_of(&small, "POST", "/v1/items", many), more > 0 ? 400 : 200);
        assert_int_equal(status_of(&small, "POST", "/v1/items", longer), more > 0 ? 400 : 200);
        for (int i = 0; i < 4 + more; i++)
            strcat(inputs, i ? ", \"pan\"" : "\"pan\"");
        strcat(inputs, "]}");
        assert_int_equal(status_of(&small, "POST", "/v1/embeddings", inputs), more > 0 ? 400 : 200);
        snprintf(body, sizeof body, "{\"input\": \"pan%*s\"}", 61 + more, "");
        assert_int_equal(status_of(&small, "POST", "/v1/embeddings", body), more > 0 ? 400 : 200);
        snprintf(body, sizeof body, "{\"items\": [{\"id\": \"%.*s\", \"texts\": {\"title\": \"Building\"}}]}",
                 12 + more, "abcdefghijklmnop");
        assert_int_equal(status_of(&small, "POST", "/v1/items", body), more > 0 ? 400 : 200);
        for (int i = 0; i < 3 + more && more <= 0; i++) { /* their ids are free again */
            char id[30];

            snprintf(id, sizeof id, "many%d-22", i);
            assert_int_equal(drop(&small, id), 200);
        }
        free(many);
        free(longer);
    }
    assert_words(&small, "/v1/items", "{\"items\": [1, 2, 3, 4]}", 400,
                 "'items': expected at most 3, found 4");
    assert_words(&small, "/v1/embeddings", "{\"input\": [\"a\", \"a\", \"a\", \"a\", \"a\"]}", 400,
                 "'input': expected at most 4, found 5");
    assert_int_equal(server_stop(&small), 0);
}

static void the_last_item_stays(void **state)
{
    server t;
    int n = 0;

    (void)state;
    start_with(&t, "pop", "--threads 1", "last");
    for (int i = 1; i <= 80; i++) {
        char id[20];

        snprintf(id, sizeof id, "i%d", i);
        n += drop(&t, id) == 200;
    }
    assert_int_equal(n, 79);
    assert_error(&t, "DELETE", "/v1/items/i80", NULL, 409, "last_item");
    assert_int_equal(server_stop(&t), 0);
}

/* ---- what a list holds beside new items ---------------------------------------------------------------------- */
static void copy_items(const server *t, int n)
{
    for (int i = 1; i <= n; i++) {
        char path[40], body[2000], *texts;
        answer a;

        snprintf(path, sizeof path, "/v1/items/i%d", i);
        a = ask(t, "GET", path, NULL);
        texts = json_dumps(member(a.json, "texts"), JSON_COMPACT);
        snprintf(body, sizeof body, "{\"items\": [{\"id\": \"new%d\", \"texts\": %s}]}", i, texts);
        free(texts);
        answer_free(&a);
        assert_int_equal(status_of(t, "POST", "/v1/items", body), 200);
    }
}

static int count_new(const answer *a)
{
    int n = 0;

    for (size_t i = 0; i < json_array_size(member(a->json, "items")); i++)
        n += strncmp(json_string_value(json_object_get(json_array_get(member(a->json, "items"), i), "item")),
                     "new", 3) == 0;
    return n;
}

/* A model that writes new codes readily: lists are full, short ones are those of the scores, and what is asked for by name comes. */
static void lists_are_full_beside_new_items(void **state)
{
    static const int lengths[] = {3, 9, 10, 20, 50};
    int listed[2][5] = {{0}};

    (void)state;
    assert_int_equal(shell("sedge train tiger shop -q -o eager --set dim=16 layers=1 heads=2 head_dim=8 "
                           "ffn=32 epochs=1 valid_users=50 "
                           "softmax=legal leave_unseen=true prefix_vectors=true --json >/dev/null"),
                     0);
    for (int share = 0; share < 2; share++) {
        server t;
        answer a;

        start_with(&t, "eager", share ? "--threads 2" : "--threads 2 --new-share 0",
                   share ? "eager" : "scores");
        copy_items(&t, 30);
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int u = 1; u <= 40; u++) {
                char body[60];

                snprintf(body, sizeof body, "{\"user\": \"u%d\", \"k\": %d}", u, lengths[l]);
                a = ask(&t, "POST", "/v1/recommend", body);
                assert_int_equal(a.status, 200);
                assert_int_equal(json_array_size(member(a.json, "items")), lengths[l]);
                listed[share][l] += count_new(&a);
                answer_free(&a);
            }
        a = ask(&t, "POST", "/v1/recommend",
                "{\"user\": \"u1\", \"k\": 3, \"allow\": [\"new11\", \"new17\", \"new7\"]}");
        assert_int_equal(count_new(&a), 3);
        answer_free(&a);
        assert_int_equal(server_stop(&t), 0);
    }
    assert_true(listed[0][1] > 0);
    for (size_t l = 0; l < 5; l++)
        assert_true(lengths[l] < 10 ? listed[1][l] == listed[0][l] : listed[1][l] > listed[0][l]);
}

/* Models whose catalogue stays as it is show the tree of what is on offer, too. */
static void the_tree_has_what_is_on_offer(void **state)
{
    server t;
    answer a;
    char path[60];
    double items = 0;

    (void)state;
    assert_int_equal(shell("sedge train tiger shop -q -o star --set dim=16 layers=1 heads=2 head_dim=8 "
                           "ffn=32 epochs=1 valid_users=50 "
                           "star=5 --json >/dev/null"),
                     0);
    start_with(&t, "star", "--threads 1", "star");
    a = ask(&t, "GET", "/v1/items/i7", NULL);
    snprintf(path, sizeof path, "/v1/prefixes/%d", (int)number_at(&a, "semantic_id/0"));
    answer_free(&a);
    a = ask(&t, "GET", "/v1/prefixes", NULL);
    assert_true(number_at(&a, "items") == 80);
    const int children = (int)number_at(&a, "n_children");
    answer_free(&a);
    assert_int_equal(drop(&t, "i7"), 200);
    for (int i = 1; i <= 80; i++) { /* and all that begin as it does */
        char item[40];

        snprintf(item, sizeof item, "/v1/items/i%d", i);
        a = ask(&t, "GET", item, NULL);
        if (a.status == 200 && (int)number_at(&a, "semantic_id/0") == atoi(path + strlen("/v1/prefixes/")))
            assert_int_equal(status_of(&t, "DELETE", item, NULL), 200);
        answer_free(&a);
    }
    assert_int_equal(status_of(&t, "GET", path, NULL), 404);
    a = ask(&t, "GET", "/v1/prefixes", NULL);
    assert_int_equal(json_array_size(member(a.json, "children")), children - 1);
    assert_true(number_at(&a, "n_children") == children - 1 && number_at(&a, "items") < 80);
    for (int i = 0; i < children - 1; i++) {
        char at[40];

        snprintf(at, sizeof at, "children/%d/items", i);
        items += number_at(&a, at);
    }
    assert_true(items == number_at(&a, "items"));
    answer_free(&a);
    a = ask(&t, "GET", "/v1/models", NULL);
    assert_true(items == number_at(&a, "data/0/items_on_offer"));
    answer_free(&a);
    assert_int_equal(status_of(&t, "POST", "/v1/items", "{\"items\": [{\"id\": \"i7\"}]}"), 200);
    a = ask(&t, "GET", path, NULL);
    assert_true(number_at(&a, "items") == 1);
    assert_int_equal(json_array_size(member(a.json, "below")), 1);
    assert_string_equal(text_at(&a, "below/0/item"), "i7");
    answer_free(&a);
    assert_int_equal(server_stop(&t), 0);
}

/* ---- models without semantic IDs ----------------------------------------------------------------------------- */
static void every_model_forgets_and_takes_back(void **state)
{
    static const char *const models[] = {"sasrec", "pop", "rank"};

    (void)state;
    for (size_t m = 0; m < 3; m++) {
        char best[50], body[100];
        server t;
        answer a;

        start_with(&t, models[m], "--threads 1", models[m]);
        a = ask(&t, "POST", "/v1/recommend", "{\"history\": [\"i3\"]}");
        assert_int_equal(a.status, 200);
        snprintf(best, sizeof best, "%s", text_at(&a, "items/0/item"));
        answer_free(&a);
        assert_int_equal(drop(&t, best), 200);
        for (int k = 1; k <= 80; k += 79) {
            snprintf(body, sizeof body, "{\"history\": [\"i3\"], \"k\": %d, \"seen\": true}", k);
            a = ask(&t, "POST", "/v1/recommend", body);
            assert_int_equal(json_array_size(member(a.json, "items")), k == 1 ? 1 : 79);
            assert_false(lists(&a, best));
            answer_free(&a);
        }
        snprintf(body, sizeof body, "{\"history\": [\"i3\"], \"deny\": [\"i4\"], \"k\": 80}");
        a = ask(&t, "POST", "/v1/recommend", body);
        assert_false(lists(&a, best) || lists(&a, "i4"));
        answer_free(&a);
        snprintf(body, sizeof body, "{\"history\": [\"i3\"], \"allow\": [\"%s\"]}", best);
        a = ask(&t, "POST", "/v1/recommend", body);
        assert_int_equal(json_array_size(member(a.json, "items")), 0);
        answer_free(&a);
        a = ask(&t, "POST", "/v1/items", "{\"items\": [{\"id\": \"lamp\", \"texts\": " LAMP "}]}");
        assert_int_equal(a.status, 422);
        assert_string_equal(text_at(&a, "error/code"), "items_are_learned");
        assert_non_null(
            strstr(text_at(&a, "error/message"),
                   "scores items by what it learned of each in training: a new item needs a new training"));
        answer_free(&a);
        kill(t.pid, SIGKILL);
        server_wait(&t);
        start_with(&t, models[m], "--threads 1", models[m]);
        assert_int_equal(look(&t, best), 404);
        snprintf(body, sizeof body, "{\"items\": [{\"id\": \"%s\"}]}", best);
        assert_int_equal(status_of(&t, "POST", "/v1/items", body), 200);
        assert_int_equal(look(&t, best), 200);
        a = ask(&t, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"k\": 1}");
        assert_string_equal(text_at(&a, "items/0/item"), best);
        answer_free(&a);
        assert_int_equal(server_stop(&t), 0);
    }
}

/* cobra tells the items of an ID apart by their texts: one that comes is listed by what it says, above all behind one with the same text;
 * after a kill as before it; gone, it is read and never listed. */
/* Any items are ranked by the scores that a beam gives them that holds all, however few the model's own beam holds. */
static void ranks_as_listed(const server *to, const answer *list)
{
    json_t *items = member(list->json, "items"), *body = json_object(), *one;
    size_t i;

    json_object_set_new(body, "history", json_pack("[ss]", "i3", "lamp"));
    json_object_set_new(body, "items", json_array());
    json_array_foreach(items, i, one)
        json_array_append(json_object_get(body, "items"), json_object_get(one, "item"));
    char *text = json_dumps(body, JSON_COMPACT);
    answer a = ask(to, "POST", "/v1/rank", text);
    json_array_foreach(items, i, one)
    {
        const json_t *other = json_array_get(member(a.json, "items"), i);

        assert_true(json_equal(json_object_get(one, "item"), json_object_get(other, "item")));
        assert_true(fabs(json_number_value(json_object_get(one, "score")) -
                         json_number_value(json_object_get(other, "score"))) < 1e-4);
    }
    answer_free(&a);
    free(text);
    json_decref(body);
}

static void a_model_that_reads_texts_takes_items(void **state)
{
    static const char all[] = "{\"history\": [\"i3\", \"lamp\"], \"k\": 90, \"beam\": 90, \"seen\": true}";
    char body[700], twin[400];
    server t;
    answer a, b;

    (void)state;
    assert_int_equal(shell("sedge train cobra shop -q -o cobra --set dim=16 layers=1 text_dim=16 levels=2 "
                           "epochs=2 valid_users=50 beam=2 "
                           "--json >/dev/null"),
                     0);
    start_with(&t, "cobra", "--threads 2", "texts");
    assert_int_equal(add(&t, "lamp", LAMP), 200);
    a = ask(&t, "POST", "/v1/recommend", all);
    assert_int_equal(json_array_size(member(a.json, "items")), 81);
    assert_true(lists(&a, "lamp"));
    ranks_as_listed(&t, &a);
    answer_free(&a);
    a = ask(&t, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"allow\": [\"lamp\"], \"explain\": true}");
    assert_string_equal(text_at(&a, "items/0/item"), "lamp");
    assert_int_equal(json_array_size(member(a.json, "items/0/path")), 3);
    b = ask(&t, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"i4\", \"lamp\"]}");
    assert_true(number_at(&b, "items/1/score") == number_at(&a, "items/0/score"));
    answer_free(&a);
    answer_free(&b);
    /* in the place of an item another one with its texts: the same codes, the same vector, the same score */
    a = ask(&t, "GET", "/v1/items/i7", NULL);
    char *texts = json_dumps(member(a.json, "texts"), JSON_COMPACT);
    snprintf(twin, sizeof twin, "%s", texts);
    free(texts);
    b = ask(&t, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"i7\"]}");
    const double score = number_at(&b, "items/0/score");
    answer_free(&b);
    assert_int_equal(drop(&t, "i7"), 200);
    assert_int_equal(add(&t, "twin", twin), 200);
    b = ask(&t, "GET", "/v1/items/twin", NULL);
    assert_true(json_equal(member(a.json, "semantic_id"), member(b.json, "semantic_id")));
    answer_free(&a);
    answer_free(&b);
    a = ask(&t, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"twin\"]}");
    assert_true(fabs(number_at(&a, "items/0/score") - score) < 1e-4);
    answer_free(&a);
    /* killed, it knows what it knew; an item of its own with other texts, too */
    assert_int_equal(drop(&t, "i9"), 200);
    assert_int_equal(drop(&t, "i11"), 200);
    assert_int_equal(status_of(&t, "POST", "/v1/items", "{\"items\": [{\"id\": \"i9\"}]}"), 200);
    assert_int_equal(drop(&t, "i10"), 200);
    assert_int_equal(add(&t, "i10", "{\"title\": \"Stapeta Wehine Galvanized Watering Can Medium\"}"), 200);
    a = ask(&t, "POST", "/v1/recommend", all);
    for (int turn = 0; turn < 2; turn++) {
        if (turn) {
            assert_int_equal(status_of(&t, "POST", "/admin/reload", NULL), 200);
        } else {
            kill(t.pid, SIGKILL);
            server_wait(&t);
            start_with(&t, "cobra", "--threads 2", "texts");
        }
        b = ask(&t, "POST", "/v1/recommend", all);
        assert_int_equal(json_array_size(member(b.json, "items")), 80);
        assert_true(json_equal(member(a.json, "items"), member(b.json, "items")));
        assert_false(lists(&b, "i11") || lists(&b, "i7"));
        answer_free(&b);
    }
    answer_free(&a);
    assert_int_equal(drop(&t, "lamp"), 200);
    a = ask(&t, "POST", "/v1/recommend", all);
    assert_true(number_at(&a, "history_length") == 2 && number_at(&a, "unknown") == 0);
    assert_int_equal(json_array_size(member(a.json, "items")), 79);
    assert_false(lists(&a, "lamp"));
    answer_free(&a);
    snprintf(body, sizeof body, "{\"history\": [\"i3\"], \"items\": [\"lamp\", \"twin\"]}");
    a = ask(&t, "POST", "/v1/rank", body);
    assert_true(json_is_null(member(a.json, "items/0/score")) || a.status == 404);
    answer_free(&a);
    assert_int_equal(server_stop(&t), 0);
}

static void without_a_store_nothing_is_promised(void **state)
{
    server t;

    (void)state;
    server_start(&t, "tiger", "--threads 1");
    assert_error(&t, "POST", "/v1/items", "{\"items\": [{\"id\": \"x\", \"texts\": " LAMP "}]}", 501,
                 "no_store");
    assert_error(&t, "DELETE", "/v1/items/i3", NULL, 501, "no_store");
    assert_int_equal(server_stop(&t), 0);
}

/* Of several models the first decides; the others follow as far as they can. */
static void all_models_follow(void **state)
{
    server t;
    answer a;

    (void)state;
    start_with(&t, "tiger", "--threads 1 --also pop=pop", "several");
    for (int round = 0; round < 2; round++) {
        if (!round) {
            assert_int_equal(drop(&t, "i5"), 200);
            assert_int_equal(add(&t, "lamp", LAMP), 200);
        } else {
            assert_int_equal(status_of(&t, "POST", "/admin/reload", NULL), 200);
        }
        for (int m = 0; m < 2; m++) {
            a = ask(&t, "POST", "/v1/recommend",
                    m ? "{\"model\": \"pop\", \"history\": [\"i3\"], \"k\": 90, \"beam\": 90, \"seen\": true}"
                      : "{\"history\": [\"i3\"], \"k\": 90, \"beam\": 90, \"seen\": true}");
            assert_int_equal(json_array_size(member(a.json, "items")), m ? 79 : 80);
            assert_true(!lists(&a, "i5") && lists(&a, "lamp") == !m);
            answer_free(&a);
        }
    }
    assert_int_equal(status_of(&t, "POST", "/v1/items", "{\"items\": [{\"id\": \"i5\"}]}"), 200);
    a = ask(&t, "POST", "/v1/recommend", "{\"model\": \"pop\", \"history\": [\"i3\"], \"k\": 90}");
    assert_true(lists(&a, "i5"));
    answer_free(&a);
    assert_int_equal(server_stop(&t), 0);
}

/* What the server keeps of histories does not outlive the codes that it was read by. */
static void what_is_kept_of_histories_is_not_stale(void **state)
{
    static const char body[] = "{\"history\": [\"i3\", \"i9\", \"i14\"], \"k\": 20}";
    server t, plain;
    answer a, b;

    (void)state;
    start_with(&t, "tiger", "--threads 1", "stale");
    for (int i = 0; i < 3; i++)
        assert_int_equal(status_of(&t, "POST", "/v1/recommend", body), 200);
    assert_int_equal(drop(&t, "i9"), 200);
    assert_int_equal(add(&t, "i9", "{\"title\": \"Stapeta Wehine Galvanized Watering Can Medium\"}"), 200);
    start_with(&plain, "tiger", "--threads 1 --cache 0", "stale");
    for (int i = 0; i < 3; i++) {
        a = ask(&t, "POST", "/v1/recommend", body);
        b = ask(&plain, "POST", "/v1/recommend", body);
        assert_int_equal(a.status, 200);
        assert_true(json_equal(member(a.json, "items"), member(b.json, "items")));
        answer_free(&a);
        answer_free(&b);
    }
    assert_int_equal(server_stop(&t), 0);
    assert_int_equal(server_stop(&plain), 0);
}

/* ---- what lasts ---------------------------------------------------------------------------------------------- */

/* Killed right after an acknowledgement, the server knows it when it starts again; so does the next model. */
static void an_acknowledged_item_survives(void **state)
{
    const int times = rounds(6);
    server t;

    (void)state;
    start_with(&t, "tiger", "--threads 2", "kill");
    for (int i = 0; i < times; i++) {
        char id[30], path[60], gone[30];
        answer a, b;

        snprintf(id, sizeof id, "kept%d", i);
        snprintf(gone, sizeof gone, "i%d", i + 10);
        snprintf(path, sizeof path, "/v1/items/%s", id);
        assert_int_equal(add(&t, id, LAMP), 200);
        a = ask(&t, "GET", path, NULL);
        assert_int_equal(drop(&t, gone), 200);
        kill(t.pid, SIGKILL);
        server_wait(&t);
        start_with(&t, "tiger", "--threads 2", "kill");
        b = ask(&t, "GET", path, NULL);
        assert_true(json_equal(member(a.json, "texts"), member(b.json, "texts")));
        assert_true(json_is_array(member(a.json, "semantic_id")));
        assert_true(json_equal(member(a.json, "semantic_id"), member(b.json, "semantic_id")));
        assert_int_equal(look(&t, gone), 404);
        answer_free(&a);
        answer_free(&b);
    }
    assert_int_equal(status_of(&t, "POST", "/admin/reload", NULL), 200);
    for (int i = 0; i < times; i++) {
        char id[30];

        snprintf(id, sizeof id, "kept%d", i);
        assert_int_equal(look(&t, id), 200);
        snprintf(id, sizeof id, "i%d", i + 10);
        assert_int_equal(look(&t, id), 404);
    }
    assert_int_equal(server_stop(&t), 0);
    /* a model that learned from other codes gives them new ones */
    assert_int_equal(shell("sedge tokenize shop -q --codes 6 --levels 3 --json >/dev/null && sedge train "
                           "tiger shop -q -o other --set dim=16 "
                           "layers=1 heads=2 head_dim=8 ffn=32 epochs=1 valid_users=50 --json >/dev/null"),
                     0);
    start_with(&t, "other", "--threads 2", "kill");
    answer a = ask(&t, "GET", "/v1/items/kept0", NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(member(a.json, "semantic_id")), 4);
    answer_free(&a);
    assert_int_equal(look(&t, "i10"), 404);
    assert_int_equal(server_stop(&t), 0);
}

/* Readers ask while an editor adds and removes. An answer to a request that was sent after a removal was acknowledged must not have
 * the item, and every item of an answer must be one that was ever there. */
enum { GOING = 12, READERS = 4 };
static struct {
    _Atomic int gone[GOING]; /* how often its removal was acknowledged; 0: it may be there */
    _Atomic bool end;
    _Atomic int answers, wrong;
} moving;

static void *read_on(void *ctx)
{
    const server *t = ctx;

    while (!moving.end) {
        int gone[GOING];
        json_t *items, *one;
        size_t i;
        const bool all = moving.answers % 2;

        for (int g = 0; g < GOING; g++)
            gone[g] = moving.gone[g];
        answer a = ask(t, "POST", "/v1/recommend",
                       all ? "{\"history\": [\"i3\", \"i14\"], \"k\": 95, \"beam\": 95, \"seen\": true}"
                           : "{\"history\": [\"i3\", \"i14\"], \"k\": 20, \"seen\": true}");
        items = member(a.json, "items");
        if (a.status == 200 && (all ? json_array_size(items) < 80 : json_array_size(items) != 20))
            moving.wrong++;
        json_array_foreach(items, i, one)
        {
            const char *id = json_string_value(json_object_get(one, "item"));
            int g;

            if (sscanf(id, "going%d", &g) == 1 ? g < 0 || g >= GOING || (gone[g] && moving.gone[g] == gone[g])
                                               : id[0] != 'i' || atoi(id + 1) < 1 || atoi(id + 1) > 80)
                moving.wrong++;
        }
        moving.answers += a.status == 200;
        answer_free(&a);
    }
    return NULL;
}

static void readers_never_see_what_was_removed(void **state)
{
    pthread_t reader[READERS];
    server t;

    (void)state;
    start_with(&t, "tiger", "--threads 4 --queue-ms 100000", "moving");
    for (int g = 0; g < GOING; g++)
        moving.gone[g] = 1;
    for (int r = 0; r < READERS; r++)
        assert_int_equal(pthread_create(&reader[r], NULL, read_on, &t), 0);
    for (int round = 0; round < rounds(10); round++)
        for (int g = 0; g < GOING; g++) {
            char id[20];

            snprintf(id, sizeof id, "going%d", g);
            moving.gone[g] = 0; /* from now on it may be seen */
            assert_int_equal(add(&t, id, LAMP), 200);
            if (g % 3)
                sleep_ms(1);
            assert_int_equal(drop(&t, id), 200);
            moving.gone[g] = round + 2; /* and from now on not any more */
        }
    moving.end = true;
    for (int r = 0; r < READERS; r++)
        pthread_join(reader[r], NULL);
    assert_true(moving.answers > 0);
    assert_int_equal(moving.wrong, 0);
    answer a = ask(&t, "GET", "/v1/models", NULL);
    assert_true(number_at(&a, "data/0/items_on_offer") == 80);
    answer_free(&a);
    assert_int_equal(server_stop(&t), 0);
}

/* ---- texts ---------------------------------------------------------------------------------------------------- */
static double dot(json_t *x, json_t *y)
{
    double sum = 0;

    for (size_t i = 0; i < json_array_size(x); i++)
        sum += json_real_value(json_array_get(x, i)) * json_real_value(json_array_get(y, i));
    return sum;
}

static void texts_become_vectors(void **state)
{
    answer a = ask(&s, "POST", "/v1/embeddings",
                   "{\"input\": [\"Wooden Building Blocks\", \"wooden blocks\", \"Frying Pan\"], \"model\": "
                   "\"lsa\"}"),
           b;
    json_t *x = member(a.json, "data/0/embedding");

    (void)state;
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(&a, "object"), "list");
    assert_string_equal(text_at(&a, "model"), "lsa");
    assert_string_equal(text_at(&a, "data/2/object"), "embedding");
    assert_true(number_at(&a, "data/2/index") == 2);
    assert_true(number_at(&a, "usage/prompt_tokens") == 7 && number_at(&a, "usage/total_tokens") == 7);
    assert_int_equal(json_array_size(x), 16);
    assert_true(fabs(dot(x, x) - 1) < 1e-6);
    assert_true(dot(x, member(a.json, "data/1/embedding")) > 0.9);
    assert_true(dot(x, member(a.json, "data/2/embedding")) < 0.5);
    b = ask(&s, "POST", "/v1/embeddings", "{\"input\": \"Wooden Building Blocks\"}");
    assert_true(json_equal(x, member(b.json, "data/0/embedding")));
    answer_free(&b);
    b = ask(&s, "POST", "/v1/embeddings", "{\"input\": \"Wooden Building Blocks\", \"dimensions\": 5}");
    assert_int_equal(json_array_size(member(b.json, "data/0/embedding")), 5);
    assert_true(fabs(dot(member(b.json, "data/0/embedding"), member(b.json, "data/0/embedding")) - 1) < 1e-6);
    answer_free(&b);
    /* 16 floats are 64 bytes are 86 letters and "==" */
    b = ask(&s, "POST", "/v1/embeddings",
            "{\"input\": \"Wooden Building Blocks\", \"encoding_format\": \"base64\"}");
    assert_int_equal(strlen(text_at(&b, "data/0/embedding")), 88);
    assert_string_equal(text_at(&b, "data/0/embedding") + 86, "==");
    {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *text = text_at(&b, "data/0/embedding");
        unsigned char byte[66];

        for (int i = 0; i < 22; i++) {
            unsigned v = 0;

            for (int k = 0; k < 4; k++)
                v = v << 6 |
                    (text[4 * i + k] == '=' ? 0 : (unsigned)(strchr(letters, text[4 * i + k]) - letters));
            byte[3 * i] = (unsigned char)(v >> 16);
            byte[3 * i + 1] = (unsigned char)(v >> 8);
            byte[3 * i + 2] = (unsigned char)v;
        }
        for (int k = 0; k < 16; k++) {
            const uint32_t bits = (uint32_t)byte[4 * k] | (uint32_t)byte[4 * k + 1] << 8 |
                                  (uint32_t)byte[4 * k + 2] << 16 | (uint32_t)byte[4 * k + 3] << 24;
            float f;

            memcpy(&f, &bits, sizeof f);
            assert_true((double)f == (double)(float)json_real_value(json_array_get(x, (size_t)k)));
        }
    }
    answer_free(&b);
    answer_free(&a);
}

static void bad_texts_are_refused_word_by_word(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *message;
    } cases[] = {
        {"{}", 400, "'input': expected, found nothing"},
        {"{\"input\": []}", 400, "'input': expected at least one text, found none"},
        {"{\"input\": \"\"}", 400, "'input': expected 1 to 8192 bytes, found 0"},
        {"{\"input\": 7}", 400, "'input': expected a string or a list of strings, found 7"},
        {"{\"input\": [\"a\", [1, 2]]}", 400, "'input[1]': expected a string, found an array"},
        {"{\"input\": \"a\", \"model\": \"ada\"}", 404, "'model': expected 'lsa', found 'ada'"},
        {"{\"input\": \"a\", \"dimensions\": 0}", 400, "'dimensions': expected at least 1, found 0"},
        {"{\"input\": \"a\", \"dimensions\": 17}", 400, "'dimensions': expected at most 16, found 17"},
        {"{\"input\": \"a\", \"encoding_format\": \"hex\"}", 400,
         "'encoding_format': expected float|base64, found 'hex'"},
        {"{\"input\": \"a\", \"encoding_format\": \"fl\"}", 400,
         "'encoding_format': expected float|base64, found 'fl'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_words(&s, "/v1/embeddings", cases[i].body, cases[i].status, cases[i].message);
}

/* Items whose vectors a language model made need it again; it embeds other texts, too. */
static void a_language_model_takes_items(void **state)
{
    static const char bert[] = SEDGE_SOURCE "/tests/parity/bert";
    server t;
    answer a;

    (void)state;
    assert_int_equal(shell("sedge synth -q -o shelf --users 100 --items 60 --seed 3 --json >/dev/null && "
                           "sedge embed shelf -q --encoder %s "
                           "--json >/dev/null && sedge tokenize shelf -q --codes 8 --levels 2 --json "
                           ">/dev/null && sedge train tiger "
                           "shelf -q -o bert --set dim=8 layers=1 heads=1 head_dim=8 ffn=8 epochs=1 "
                           "valid_users=50 --json >/dev/null",
                           bert),
                     0);
    start_with(&t, "bert", "--threads 1", "bert");
    a = ask(&t, "POST", "/v1/items", "{\"items\": [{\"id\": \"lamp\", \"texts\": " LAMP "}]}");
    assert_int_equal(a.status, 422);
    assert_string_equal(text_at(&a, "error/message"),
                        "item 'lamp' cannot be added: the items' vectors are those of 'bert': start the "
                        "server with --encoder and that folder");
    answer_free(&a);
    assert_error(&t, "POST", "/v1/embeddings", "{\"input\": \"lamp\"}", 501, "no_encoder");
    assert_int_equal(drop(&t, "i3"), 200);
    assert_int_equal(server_stop(&t), 0);
    char options[300];

    snprintf(options, sizeof options, "--threads 1 --encoder %s", bert);
    start_with(&t, "bert", options, "bert");
    assert_int_equal(look(&t, "i3"), 404);
    assert_int_equal(add(&t, "lamp", LAMP), 200);
    a = ask(&t, "POST", "/v1/recommend", "{\"history\": [\"i4\"], \"allow\": [\"lamp\"]}");
    assert_string_equal(text_at(&a, "items/0/item"), "lamp");
    answer_free(&a);
    a = ask(&t, "POST", "/v1/embeddings",
            "{\"input\": [\"lamp\", \"lamp\"], \"model\": \"bert\", \"dimensions\": 24}");
    assert_int_equal(json_array_size(member(a.json, "data/0/embedding")), 24);
    assert_true(json_equal(member(a.json, "data/0/embedding"), member(a.json, "data/1/embedding")));
    assert_true(number_at(&a, "usage/total_tokens") > 1);
    answer_free(&a);
    assert_int_equal(server_stop(&t), 0);
}

/* ---- the role rank ------------------------------------------------------------------------------------------- */
static void ranking_models_say_probabilities(void **state)
{
    server t;
    answer a, b;

    (void)state;
    server_start(&t, "rank", "--threads 1");
    a = ask(&t, "GET", "/v1/models", NULL);
    assert_string_equal(text_at(&a, "data/0/roles/1"), "rank");
    answer_free(&a);
    a = ask(&t, "POST", "/v1/rank",
            "{\"user\": \"u7\", \"items\": [\"i3\", \"i9\", \"what\", \"i9\", \"i70\"]}");
    assert_int_equal(a.status, 200);
    for (int i = 0; i < 5; i++) {
        static const char *const tasks[] = {"view", "cart", "buy"};
        char path[60];

        for (int k = 0; k < 3 && i != 2; k++) {
            snprintf(path, sizeof path, "items/%d/probabilities/%s", i, tasks[k]);
            assert_true(number_at(&a, path) > 0 && number_at(&a, path) < 1);
        }
        snprintf(path, sizeof path, "items/%d/probabilities", i);
        assert_int_equal(json_object_size(member(a.json, path)), i == 2 ? 0 : 3);
    }
    assert_true(number_at(&a, "items/0/score") == number_at(&a, "items/0/probabilities/view")); /* goal=0 */
    assert_true(json_equal(member(a.json, "items/1"), member(a.json, "items/3")));
    assert_true(json_is_null(member(a.json, "items/2/score")));
    b = ask(&t, "POST", "/v1/rerank", "{\"user\": \"u7\", \"items\": [\"i70\", \"i9\", \"i3\"]}");
    for (int r = 0; r + 1 < 3; r++) {
        char path[60], next[60];

        snprintf(path, sizeof path, "results/%d/relevance_score", r);
        snprintf(next, sizeof next, "results/%d/relevance_score", r + 1);
        assert_true(number_at(&b, path) >= number_at(&b, next));
    }
    for (int r = 0; r < 3; r++) { /* the same numbers, whatever stands beside an item */
        char path[60];
        const char *id;

        snprintf(path, sizeof path, "results/%d/item", r);
        id = text_at(&b, path);
        snprintf(path, sizeof path, "results/%d/probabilities", r);
        assert_true(
            json_equal(member(b.json, path), member(a.json, !strcmp(id, "i3")   ? "items/0/probabilities"
                                                            : !strcmp(id, "i9") ? "items/1/probabilities"
                                                                                : "items/4/probabilities")));
    }
    answer_free(&a);
    answer_free(&b);
    /* a history with times is as good as a user's */
    assert_words(&t, "/v1/rank", "{\"history\": [\"i3\"], \"times\": [1, 2], \"items\": [\"i9\"]}", 400,
                 "'times': expected one for each of 1 items of the history, found 2");
    assert_words(&t, "/v1/rank", "{\"history\": [\"i3\"], \"times\": [1.5], \"items\": [\"i9\"]}", 400,
                 "'times[0]': expected an integer, found 1.5");
    assert_int_equal(status_of(&t, "POST", "/v1/rank",
                               "{\"history\": [\"i3\", \"i4\"], \"times\": [100, 90], \"items\": [\"i9\"]}"),
                     200);
    assert_int_equal(server_stop(&t), 0);
    assert_int_equal(
        shell("sedge train hstu-rank shop -q -o timed --set dim=16 blocks=1 epochs=1 label=action actions=3 "
              "valid_users=50 --json >/dev/null"),
        0);
    server_start(&t, "timed", "--threads 1");
    assert_error(&t, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"i9\"]}", 400,
                 "invalid_request");
    a = ask(&t, "POST", "/v1/rank",
            "{\"history\": [\"i3\", \"i4\"], \"times\": [100, 9000], \"items\": [\"i9\"]}");
    b = ask(&t, "POST", "/v1/rank",
            "{\"history\": [\"i3\", \"i4\"], \"times\": [100, 900000000], \"items\": [\"i9\"]}");
    assert_true(number_at(&a, "items/0/score") > 0 &&
                number_at(&a, "items/0/score") != number_at(&b, "items/0/score"));
    answer_free(&a);
    answer_free(&b);
    assert_int_equal(server_stop(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_added_item_is_there_at_once),
        cmocka_unit_test(sent_again_it_is_the_same_item),
        cmocka_unit_test(a_removed_item_is_gone_and_known),
        cmocka_unit_test(an_item_ends_when_it_expires),
        cmocka_unit_test(bad_items_are_refused_word_by_word),
        cmocka_unit_test(limits_hold_to_the_last),
        cmocka_unit_test(the_last_item_stays),
        cmocka_unit_test(lists_are_full_beside_new_items),
        cmocka_unit_test(the_tree_has_what_is_on_offer),
        cmocka_unit_test(every_model_forgets_and_takes_back),
        cmocka_unit_test(a_model_that_reads_texts_takes_items),
        cmocka_unit_test(without_a_store_nothing_is_promised),
        cmocka_unit_test(texts_become_vectors),
        cmocka_unit_test(bad_texts_are_refused_word_by_word),
        cmocka_unit_test(all_models_follow),
        cmocka_unit_test(what_is_kept_of_histories_is_not_stale),
        cmocka_unit_test(a_language_model_takes_items),
        cmocka_unit_test(ranking_models_say_probabilities),
        cmocka_unit_test(readers_never_see_what_was_removed),
        cmocka_unit_test(an_acknowledged_item_survives),
    };

    const int failed = cmocka_run_group_tests_name("sqlite", tests, start, stop);
    const char *missing = postgres_missing(&pg);

    if (missing) {
        print_message("postgres: skipped: %s\n", missing);
        return failed;
    }
    in_postgres = true;
    return failed + cmocka_run_group_tests_name("postgres", tests, start, stop);
}

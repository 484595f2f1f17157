/* remote.c - sedge lm's functions against an endpoint, plainly and over TLS with a certificate made here: the same results as from models
 * here in form; certificates that are not trusted get nothing, and one clear line says so. */
#include "base/alloc.h"
#include "base/io.h"
#include "file/safetensors.h"
#include "folder.h"

#include <sedge/sedge.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../mock.h"

#define SECRET "sk-very/secret+0123456789"
static sg_buf certificate, key, other, other_key; /* PEM; other: for another host */

static char *in_dir(const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", folder, name);
    return path;
}

static bool make_certificate(sg_buf *cert, sg_buf *private, const char *name, const char *host)
{
    char command[1500], file[32], path[300];
    sg_error err;

    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=sedge -addext subjectAltName=%s "
             "-keyout %s/%s.key -out %s/%s.pem "
             ">%s/log 2>&1",
             host, folder, name, folder, name, folder);
    if (system(command) != 0)
        return false;
    snprintf(file, sizeof file, "%s.pem", name);
    if (sg_file_read(cert, in_dir(file, path), 1 << 20, &err))
        return false;
    snprintf(file, sizeof file, "%s.key", name);
    return !sg_file_read(private, in_dir(file, path), 1 << 20, &err);
}

/* Calls one of the three functions with settings; the member `path` of its result, or the error's text, owned by the caller. */
typedef int lm_call(const sedge_lm_params *, char **, sedge_error *);

static sedge_lm_params params(const mock *m, const char *const *set, size_t n)
{
    return (sedge_lm_params){.size = sizeof(sedge_lm_params), .model = m->url, .set = set, .n_set = n};
}

static json_t *call(lm_call *f, const sedge_lm_params *p)
{
    char *json = NULL;
    sedge_error err;
    json_t *root;

    if (f(p, &json, &err))
        fail_msg("%s", err.message);
    root = json_loads(json, 0, NULL);
    assert_non_null(root);
    sedge_free(json);
    return root;
}

static void fails(lm_call *f, const sedge_lm_params *p, int status, const char *want)
{
    char *json = NULL;
    sedge_error err;

    assert_int_equal(f(p, &json, &err), status);
    assert_null(json);
    if (!strstr(err.message, want) || strchr(err.message, '\n') || strstr(err.message, "secret"))
        fail_msg("expected %s, found %s", want, err.message);
}

static void answers_scores_and_vectors(void **state)
{
    (void)state;
    static const char *const set[] = {"model=m", "offers=chat,embed,score", "retries=0"};
    char file[300], out[300];
    const char lines[] = "{\"prompt\": \"a\", \"id\": 7}\n{\"prompt\": \"b\", \"system\": \"s\"}\n";
    sedge_lm_params p;
    sg_tensors *t;
    json_t *root;
    sg_error err;
    mock m;

    mock_start(&m, NULL, 0);
    p = params(&m, set, 3);
    p.chat = 1;
    p.prompt = "hello";
    root = call(sedge_lm_generate, &p);
    assert_string_equal(json_string_value(json_object_get(root, "text")), "re: hello");
    json_decref(root);

    p.prompt = NULL;
    p.file = in_dir("prompts.jsonl", file);
    assert_int_equal(sg_file_write(file, lines, sizeof lines - 1, &err), SG_OK);
    root = call(sedge_lm_generate, &p);
    const json_t *list = json_object_get(root, "list");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "text")), "re: a");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "id")), 7);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "text")), "re: b");
    assert_int_equal(json_integer_value(json_object_get(root, "calls")), 2);
    json_decref(root);

    p = params(&m, set, 3);
    p.prompt = "the";
    p.text = " cat";
    root = call(sedge_lm_score, &p);
    assert_true(json_number_value(json_object_get(root, "logp")) == -2);
    assert_int_equal(json_integer_value(json_object_get(root, "tokens")), 4);
    json_decref(root);
    p.chat = 1;
    fails(sedge_lm_score, &p, SEDGE_ERR_USAGE,
          "scoring behind a conversation needs a model here: how http://127.0.0.1:");

    p = params(&m, set, 3);
    p.text = "abc";
    p.out = in_dir("vectors.safetensors", out);
    json_decref(call(sedge_lm_embed, &p));
    assert_int_equal(sg_tensors_open(&t, out, &err), SG_OK);
    const float *v = sg_tensors_find(t, "vectors")->data;
    assert_true(v[0] > 0 && v[1] > 0);
    sg_tensors_close(t);
    p.adapter = TEST_SOURCE_DIR "/tests/parity/lora";
    fails(sedge_lm_embed, &p, SEDGE_ERR_USAGE, "adapter needs train: http://127.0.0.1:");

    /* what it cannot do is said before anything is sent */
    static const char *const little[] = {"retries=0"};
    const size_t asked = m.requests;
    p = params(&m, little, 1);
    p.prompt = "a";
    fails(sedge_lm_generate, &p, SEDGE_ERR_USAGE,
          "chat: expected with an endpoint, which answers conversations");
    p.chat = 1;
    p.schema = "x";
    fails(sedge_lm_generate, &p, SEDGE_ERR_USAGE, "schema needs constrain: http://127.0.0.1:");
    p.schema = NULL;
    p.text = "a";
    fails(sedge_lm_score, &p, SEDGE_ERR_USAGE, "scoring needs score: ");
    assert_int_equal(m.requests, asked);
    mock_stop(&m);
}

static void a_certificate_that_is_trusted(void **state)
{
    (void)state;
    char file[300], ca[320];
    const char *set[] = {"model=m", "retries=0", ca, "key_env=REMOTE_KEY"};
    sedge_lm_params p;
    json_t *root;
    mock m;

    if (!certificate.size)
        skip();
    mock_start_with(&m, NULL, 0, certificate.data, key.data);
    assert_memory_equal(m.url, "https://", 8);
    setenv("REMOTE_KEY", SECRET, 1);
    snprintf(ca, sizeof ca, "ca=%s", in_dir("one.pem", file));
    p = params(&m, set, 4);
    p.chat = 1;
    p.prompt = "hello";
    root = call(sedge_lm_generate, &p);
    assert_string_equal(json_string_value(json_object_get(root, "text")), "re: hello");
    assert_string_equal(m.authorization, "Bearer " SECRET);
    json_decref(root);
    setenv("CURL_CA_BUNDLE", file, 1); /* as curl itself has it */
    p.n_set = 2;
    json_decref(call(sedge_lm_generate, &p));
    unsetenv("CURL_CA_BUNDLE");
    unsetenv("REMOTE_KEY");
    mock_stop(&m);
}

static void certificates_that_are_not(void **state)
{
    (void)state;
    char file[300], ca[320], junk[300];
    const char *set[] = {"model=m", "key_env=REMOTE_KEY", "retries=5", "retry_seconds=60", ca};
    sedge_lm_params p;
    sg_error err;
    mock m;

    if (!certificate.size)
        skip();
    setenv("REMOTE_KEY", SECRET, 1);
    for (int i = 0; i < 2; i++) { /* nobody vouches for it; it is for another host */
        mock_start_with(&m, NULL, 0, i ? other.data : certificate.data, i ? other_key.data : key.data);
        snprintf(ca, sizeof ca, "ca=%s", in_dir("two.pem", file));
        p = params(&m, set, i ? 5 : 4);
        p.chat = 1;
        p.prompt = "hello";
        const double start = mock_now();
        fails(sedge_lm_generate, &p, SEDGE_ERR_IO,
              "/v1/chat/completions: its certificate is not trusted (ca names others to trust): SSL");
        assert_true(mock_now() - start < 30); /* it is not tried again */
        assert_int_equal(m.requests, 0);
        assert_string_equal(m.authorization, "");
        if (i) {
            mock_stop(&m);
            continue;
        }
        assert_int_equal(sg_file_write(in_dir("junk.pem", junk), "no certificate\n", 15, &err), SG_OK);
        snprintf(ca, sizeof ca, "ca=%s", junk);
        p.n_set = 5;
        fails(sedge_lm_generate, &p, SEDGE_ERR_IO, "/v1/chat/completions: expected PEM certificates in ca: ");
        snprintf(ca, sizeof ca, "ca=%s/absent.pem", folder);
        fails(sedge_lm_generate, &p, SEDGE_ERR_MISSING,
              "/absent.pem: expected a file of certificates, found none");
        mock_stop(&m);
    }
    unsetenv("REMOTE_KEY");
}

static int setup(void **state)
{
    if (folder_make(state))
        return -1;
    if (!make_certificate(&certificate, &key, "one", "IP:127.0.0.1") ||
        !make_certificate(&other, &other_key, "two", "DNS:example.invalid"))
        sg_buf_free(&certificate); /* no openssl here: those tests are skipped */
    return 0;
}

static int teardown(void **state)
{
    sg_error err;

    (void)state;
    sg_buf_free(&certificate);
    sg_buf_free(&key);
    sg_buf_free(&other);
    sg_buf_free(&other_key);
    return sg_dir_remove(folder, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_scores_and_vectors),
        cmocka_unit_test(a_certificate_that_is_trusted),
        cmocka_unit_test(certificates_that_are_not),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

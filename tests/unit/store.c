/* store.c - addresses of stores: which kind they mean, and that what is secret in them is in no message. */
#include "serve/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void secrets_are_in_no_message(void **state)
{
    static const struct {
        const char *where;
        sg_status status;
        const char *message; /* holds */
    } cases[] = {
        /* nobody listens at port 1 */
        {"postgresql://ann:hush@127.0.0.1:1/shop", SG_ERR_AWAY,
         "postgresql://ann@127.0.0.1:1/shop: connection to server at \"127.0.0.1\", port 1 failed: "
         "Connection refused"},
        {"POSTGRES://ann:hush@127.0.0.1:1/shop", SG_ERR_USAGE, NULL}, /* libpq's names are small */
        {"postgres://ann:hush@127.0.0.1:1/shop", SG_ERR_AWAY, "postgresql://ann@127.0.0.1:1/shop: "},
        {"postgresql://127.0.0.1:1/shop?user=ann&password=hush", SG_ERR_AWAY,
         "postgresql://ann@127.0.0.1:1/shop: "},
        {"postgresql://ann:h%40h%2Fhush@127.0.0.1:1,127.0.0.1:2/shop?connect_timeout=3", SG_ERR_AWAY,
         "postgresql://ann@127.0.0.1,127.0.0.1:1,2/shop: "},
        {"postgresql://ann:hush@/shop?host=/nowhere", SG_ERR_AWAY, "postgresql://ann@/nowhere/shop: "},
        /* not escaped: the secret would stand as host, port or database */
        {"postgresql://ann:h@hush@127.0.0.1:1/shop", SG_ERR_USAGE, NULL},
        {"postgresql://ann:h/hush@127.0.0.1:1/shop", SG_ERR_USAGE, NULL},
        {"postgresql://ann:h/hush", SG_ERR_USAGE, NULL},
        {"postgresql://ann:hush@127.0.0.1:1/shop?nonsense=1", SG_ERR_USAGE, NULL},
        {"postgresql://ann:hush@127.0.0.1:1/shop?password=%zz", SG_ERR_USAGE, NULL},
        {"postgresql://ann:hush@[::1/shop", SG_ERR_USAGE, NULL},
        {"postgresql://ann:hush%", SG_ERR_USAGE, NULL},
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        sg_store *s;
        sg_error err = {0};
        const sg_status st = sg_store_open(&s, cases[c].where, 2000, &err);
        const char *holds = cases[c].message
                                ? cases[c].message
                                : "store: expected postgresql://USER@HOST:PORT/DATABASE?SETTING=VALUE, "
                                  "with %XX for special characters (%40 for @, %2F for /)";

        assert_null(s);
        if (strstr(err.message, "this build knows no PostgreSQL")) {
            assert_int_equal(st, SG_ERR_USAGE);
            continue;
        }
        if (st != cases[c].status || strncmp(err.message, holds, strlen(holds)) != 0 ||
            strstr(err.message, "hush"))
            fail_msg("'%s': status %d, '%s'", cases[c].where, (int)st, err.message);
    }
}

static void ids_are_as_long_as_an_index_takes(void **state)
{
    (void)state;
    assert_int_equal(sg_store_id_max("users.db"), 0);
    assert_int_equal(sg_store_id_max("postgresqlite.db"), 0);
    assert_true(sg_store_id_max("postgresql://h/d") == 2000 || sg_store_id_max("postgresql://h/d") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_in_no_message),
        cmocka_unit_test(ids_are_as_long_as_an_index_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* storage_config as people write it: refused, sealed, kept sealed, opened for the checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "storage/config.h"
#include "store/catalog_config.h"

#define KEY "0000000000000000000000000000000000000000000000000000000000000001"

static struct keyring *ring;

static int make_ring(void **state)
{
    (void)state;
    ring = keyring_new();
    return ring == NULL || keyring_add(ring, KEY, "the test's", NULL);
}

static int free_ring(void **state)
{
    (void)state;
    keyring_free(ring);
    return 0;
}

/* The changes; NULL: refused, and err says why. */
static json_t *settle(const char *text, bool encrypt, const char *kept, struct error *err)
{
    json_t *changes = json_object();
    *err = (struct error){0};
    if (catalog_config_settle(changes, text, encrypt, kept, ring, err) == 0)
        return changes;
    assert_null(json_object_get(changes, "storage_config"));
    assert_null(strstr(err->message, "hunter2"));
    secret_json_free(changes);
    return NULL;
}

static const char *stored(const json_t *changes)
{
    return json_string_value(json_object_get(changes, "storage_config"));
}

static const char *opened(const json_t *changes, const char *member)
{
    return json_string_value(json_object_get(json_object_get(changes, "opened_config"), member));
}

static void test_in_clear(void **state)
{
    struct error err;
    (void)state;
    json_t *changes = settle("{ \"bucket\": \"b\" }", false, NULL, &err);
    assert_string_equal(stored(changes), "{ \"bucket\": \"b\" }"); /* as it was written */
    assert_null(json_object_get(changes, "opened_config"));
    secret_json_free(changes);
    assert_null(settle("{\"password\": \"hunter2\"}", false, NULL, &err));
    assert_int_equal(err.code, ERROR_INPUT);
    assert_non_null(strstr(err.message, "encrypt_config"));
    assert_null(settle("{\"password\": \"hunter2\"", true, NULL, &err));
    assert_null(settle("{\"sealed\": \"***\"}", false, NULL, &err));
    assert_null(settle("{\"sealed\": \"***\"}", false, "", &err));
    assert_null(settle("{\"sealed\": \"***\"}", true, "{\"bucket\": \"b\"}", &err));
    assert_non_null(strstr(err.message, "nothing is sealed"));
}

static void test_sealed(void **state)
{
    struct error err;
    (void)state;
    json_t *first = settle("{\"bucket\": \"b\", \"password\": \"hunter2\"}", true, "", &err);
    assert_non_null(first);
    assert_null(strstr(stored(first), "hunter2"));
    assert_non_null(strstr(stored(first), "\"sealed\""));
    assert_string_equal(opened(first, "password"), "hunter2");
    assert_string_equal(opened(first, "bucket"), "b");

    /* given back as it is shown, with another member */
    json_t *kept = settle("{\"bucket\": \"c\", \"sealed\": \"***\"}", false, stored(first), &err);
    assert_non_null(kept);
    assert_string_equal(opened(kept, "password"), "hunter2");
    json_t *a = json_loads(stored(first), 0, NULL), *b = json_loads(stored(kept), 0, NULL);
    assert_true(json_equal(json_object_get(a, "sealed"), json_object_get(b, "sealed")));
    assert_string_equal(json_string_value(json_object_get(b, "bucket")), "c");
    json_decref(a);
    json_decref(b);

    /* and with a further secret */
    json_t *more = settle("{\"sealed\": \"***\", \"token\": \"hunter2-2\"}", true, stored(kept), &err);
    assert_non_null(more);
    assert_null(strstr(stored(more), "hunter2"));
    assert_string_equal(opened(more, "password"), "hunter2");
    assert_string_equal(opened(more, "token"), "hunter2-2");

    /* one of them anew */
    json_t *anew = settle("{\"sealed\": \"***\", \"token\": \"hunter2-3\"}", true, stored(more), &err);
    assert_non_null(anew);
    assert_string_equal(opened(anew, "password"), "hunter2");
    assert_string_equal(opened(anew, "token"), "hunter2-3");
    assert_null(settle("{\"sealed\": \"***\", \"token\": \"hunter2\"}", false, stored(more), &err));
    secret_json_free(anew);
    secret_json_free(more);
    secret_json_free(kept);
    secret_json_free(first);
}

static void test_who_needs_keys(void **state)
{
    (void)state;
    assert_false(catalog_config_needs_keys(NULL, true));
    assert_false(catalog_config_needs_keys("{\"bucket\": \"b\"}", false));
    assert_false(catalog_config_needs_keys("{", true));
    assert_true(catalog_config_needs_keys("{\"bucket\": \"b\"}", true));
    assert_true(catalog_config_needs_keys("{\"sealed\": \"***\"}", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_clear), cmocka_unit_test(test_sealed),
                                       cmocka_unit_test(test_who_needs_keys)};
    return cmocka_run_group_tests(tests, make_ring, free_ring);
}

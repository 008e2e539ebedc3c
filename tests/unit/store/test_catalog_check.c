#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/catalog.h"

static struct settings settings = {.credentials_default = ""};

/* 2025-11-02 08:00:00 UTC */
static const int64_t now_ms = 1762070400000;

/* json: the changes, over current (JSON or NULL). */
static int apply(enum catalog_kind kind, const char *current, const char *json, json_t **ret,
                 struct error *err)
{
    json_t *changes = json_loads(json, 0, NULL);
    json_t *before = current ? json_loads(current, 0, NULL) : NULL;
    assert_non_null(changes);
    *err = (struct error){0};
    int rc = catalog_apply(kind, before, changes, &settings, now_ms, ret, NULL, err);
    json_decref(changes);
    json_decref(before);
    return rc;
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rc;
    } cases[] = {{"ok", 0},           {"データ 1", 0},    {"", ERROR_INPUT},   {"17", ERROR_INPUT},
                 {"-x", ERROR_INPUT}, {".", ERROR_INPUT}, {"..", ERROR_INPUT}, {"a\tb", ERROR_INPUT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        json_t *row = NULL;
        json_t *changes = json_pack("{s:s, s:s, s:s}", "name", cases[i].name, "db_type", "command",
                                    "source_argv", "[\"true\"]");
        assert_int_equal(catalog_apply(CATALOG_DATABASE, NULL, changes, &settings, now_ms, &row, NULL, &err),
                         cases[i].rc);
        json_decref(changes);
        json_decref(row);
    }
}

static void test_path_templates(void **state)
{
    (void)state;
    char dir[] = "/tmp/bm-catalog-XXXXXX";
    assert_non_null(mkdtemp(dir));
    static const struct {
        const char *template;
        int rc;
    } cases[] = {{"{database}/{yyyy}/{mm}/{dd}/{name}.{ext}", 0},
                 {"{name}", 0},
                 {"x-{HH}{MM}{SS}/{name}.{ext}", 0},
                 {"fixed", ERROR_INPUT},
                 {"/{name}", ERROR_INPUT},
                 {"{name}/{nope}", ERROR_INPUT},
                 {"{name", ERROR_INPUT},
                 {"name}/{name}", ERROR_INPUT},
                 {"../{name}", ERROR_UNSAFE_PATH},
                 {"a/../{name}", ERROR_UNSAFE_PATH},
                 {"a//{name}", ERROR_UNSAFE_PATH},
                 {"./{name}", ERROR_UNSAFE_PATH},
                 {"{name}/", ERROR_UNSAFE_PATH}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        json_t *row = NULL;
        json_t *changes = json_pack("{s:s, s:s, s:s, s:s}", "name", "d", "storage_type", "local", "base_path",
                                    dir, "path_template", cases[i].template);
        int rc = catalog_apply(CATALOG_DESTINATION, NULL, changes, &settings, now_ms, &row, NULL, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %d, %s", cases[i].template, rc, err.message);
        json_decref(changes);
        json_decref(row);
    }
    rmdir(dir);
}

static void test_next_run(void **state)
{
    (void)state;
    struct error err;
    json_t *row;
    assert_int_equal(
        apply(CATALOG_SCHEDULE, NULL, "{\"name\": \"s\", \"cron_expression\": \"30 8 * * *\"}", &row, &err),
        0);
    assert_string_equal(json_string_value(json_object_get(row, "next_run_at")), "2025-11-02T08:30:00Z");
    assert_string_equal(json_string_value(json_object_get(row, "misfire_policy")), "once");
    json_decref(row);

    static const char current[] =
        "{\"id\": 3, \"name\": \"s\", \"schedule_type\": \"cron\", \"cron_expression\":"
        " \"30 8 * * *\", \"timezone\": \"UTC\", \"misfire_policy\": \"once\", \"ordering\":"
        " \"parallel\", \"is_active\": true, \"database_id\": 1, \"next_run_at\":"
        " \"2025-11-02T07:30:00Z\"}";
    assert_int_equal(apply(CATALOG_SCHEDULE, current, "{\"ordering\": \"sequential\"}", &row, &err), 0);
    assert_null(json_object_get(row, "next_run_at")); /* the scheduler's progress stays */
    assert_null(json_object_get(row, "timezone"));    /* what is as it was isn't written */
    assert_string_equal(json_string_value(json_object_get(row, "ordering")), "sequential");
    json_decref(row);

    assert_int_equal(apply(CATALOG_SCHEDULE, current, "{\"is_active\": false}", &row, &err), 0);
    assert_true(json_is_null(json_object_get(row, "next_run_at")));
    json_decref(row);

    assert_int_equal(apply(CATALOG_SCHEDULE, current, "{\"cron_expression\": \"61 * * * *\"}", &row, &err),
                     ERROR_INPUT);
    assert_non_null(strstr(err.message, "61"));
    assert_int_equal(apply(CATALOG_SCHEDULE, current, "{\"misfire_policy\": \"never\"}", &row, &err),
                     ERROR_INPUT);
    assert_non_null(strstr(err.message, "skip, once, all"));
}

static void test_redaction(void **state)
{
    (void)state;
    json_t *row =
        json_pack("{s:s}", "storage_config",
                  "{\"bucket\": \"b\", \"secret_access_key\": \"hunter2\", \"credentials_ref\": \"env:X\"}");
    catalog_redact(row);
    assert_string_equal(json_string_value(json_object_get(row, "storage_config")),
                        "{\"bucket\":\"b\",\"secret_access_key\":\"***\",\"credentials_ref\":\"env:X\"}");
    json_object_set_new(
        row, "storage_config",
        json_string("{\"bucket\":\"b\",\"sealed\":{\"key_id\":\"0123456789abcdef\",\"data\":\"QUJD\"}}"));
    catalog_redact(row);
    assert_string_equal(json_string_value(json_object_get(row, "storage_config")),
                        "{\"bucket\":\"b\",\"sealed\":\"***\"}");
    json_object_set_new(row, "storage_config", json_string("password=hunter2"));
    catalog_redact(row);
    assert_string_equal(json_string_value(json_object_get(row, "storage_config")), "***");
    json_decref(row);
}

/* "***" stands for what is sealed: it stays as it is while something else is changed, and is never written.
 */
static void test_sealed_stays(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *row = NULL;
    static const char current[] =
        "{\"id\": 1, \"name\": \"n\", \"storage_type\": \"local\", \"base_path\": \"/tmp\","
        " \"storage_config\": \"{\\\"sealed\\\":\\\"***\\\"}\", \"priority\": 0, \"queue\": \"default\","
        " \"path_template\": \"{name}\", \"enabled\": true}";
    if (apply(CATALOG_DESTINATION, current, "{\"priority\": 3}", &row, &err))
        fail_msg("%s", err.message);
    assert_null(json_object_get(row, "storage_config"));
    json_decref(row);
    row = NULL;
    assert_int_equal(apply(CATALOG_DESTINATION, current,
                           "{\"storage_config\": \"{\\\"sealed\\\": \\\"***\\\", \\\"read_back\\\": true}\"}",
                           &row, &err),
                     ERROR_INPUT);
    assert_non_null(strstr(err.message, "--encrypt-config"));
    assert_null(row);
}

/* The field of the first thing that is wrong, for a form to show the message beside it. */
static void test_fields(void **state)
{
    static const struct {
        enum catalog_kind kind;
        const char *changes, *field;
    } cases[] = {
        {CATALOG_GROUP, "{\"name\": \"7\"}", "name"},
        {CATALOG_DATABASE, "{\"name\": \"a\", \"db_type\": \"mysql\"}", "db_type"},
        {CATALOG_DATABASE, "{\"name\": \"a\"}", "db_type"},
        {CATALOG_DATABASE, "{\"name\": \"a\", \"db_type\": \"PostgreSQL\"}", "database_name"},
        {CATALOG_DATABASE, "{\"name\": \"a\", \"db_type\": \"file\"}", "source_path"},
        {CATALOG_DATABASE, "{\"name\": \"a\", \"db_type\": \"file\", \"source_path\": \"/no/such\"}",
         "source_path"},
        {CATALOG_DATABASE, "{\"name\": \"a\", \"db_type\": \"command\", \"source_argv\": \"[]\"}",
         "source_argv"},
        {CATALOG_DATABASE, "{\"name\": \"a\", \"db_type\": \"file\", \"port\": 0}", "port"},
        {CATALOG_DATABASE,
         "{\"name\": \"a\", \"db_type\": \"postgresql\", \"database_name\": \"d\", \"password_ref\": \"x y\"}",
         "password_ref"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"ftp\"}", "storage_type"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"local\"}", "base_path"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"s3\", \"base_path\": \"/tmp\"}",
         "base_path"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"s3\"}", "storage_config"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"s3\", \"queue\": \"a b\"}", "queue"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"s3\", \"path_template\": \"x\"}",
         "path_template"},
        {CATALOG_DESTINATION, "{\"name\": \"a\", \"storage_type\": \"s3\", \"credentials_ref\": \"x y\"}",
         "credentials_ref"},
        {CATALOG_SCHEDULE, "{\"name\": \"a\"}", "cron_expression"},
        {CATALOG_SCHEDULE, "{\"name\": \"a\", \"schedule_type\": \"interval\"}", "interval_value"},
        {CATALOG_SCHEDULE, "{\"name\": \"a\", \"cron_expression\": \"@daily\", \"timezone\": \"Mars\"}",
         "timezone"},
        {CATALOG_ASSIGNMENT, "{\"priority\": -1}", "priority"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        const char *field = NULL;
        json_t *row = NULL, *changes = json_loads(cases[i].changes, 0, NULL);
        assert_non_null(changes);
        assert_int_not_equal(
            catalog_apply(cases[i].kind, NULL, changes, &settings, now_ms, &row, &field, &err), 0);
        if (field == NULL || strcmp(field, cases[i].field) != 0)
            fail_msg("%s: %s: %s", cases[i].changes, field ? field : "-", err.message);
        json_decref(changes);
    }
}

static void test_what_blocks(void **state)
{
    static const struct {
        enum catalog_kind kind;
        const char *current, *changes;
        bool blocks;
    } cases[] = {
        {CATALOG_GROUP, NULL, "{}", false},
        {CATALOG_SCHEDULE, NULL, "{}", false},
        {CATALOG_ASSIGNMENT, NULL, "{\"enabled\": true}", false},
        {CATALOG_DATABASE, NULL, "{\"db_type\": \"File\"}", true},
        {CATALOG_DATABASE, NULL, "{\"db_type\": \"directory\"}", true},
        {CATALOG_DATABASE, NULL, "{\"db_type\": \"command\"}", false},
        {CATALOG_DATABASE, "{\"db_type\": \"file\"}", "{\"source_path\": \"/x\"}", true},
        {CATALOG_DATABASE, "{\"db_type\": \"file\"}", "{\"name\": \"x\", \"group_id\": null}", false},
        {CATALOG_DATABASE, "{\"db_type\": \"file\"}", "{\"is_active\": false}", false},
        {CATALOG_DATABASE, "{\"db_type\": \"file\"}", "{\"is_active\": true}", true},
        {CATALOG_DATABASE, "{\"db_type\": \"file\"}", "{\"db_type\": \"command\"}", false},
        {CATALOG_DESTINATION, NULL, "{\"storage_type\": \"local\"}", true},
        {CATALOG_DESTINATION, NULL, "{\"storage_type\": \"local_external\"}", true},
        {CATALOG_DESTINATION, NULL, "{\"storage_type\": \"s3\"}", false},
        {CATALOG_DESTINATION, "{\"storage_type\": \"local\"}", "{\"priority\": 1}", true},
        {CATALOG_DESTINATION, "{\"storage_type\": \"local\"}", "{\"enabled\": false}", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *current = cases[i].current ? json_loads(cases[i].current, 0, NULL) : NULL;
        json_t *changes = json_loads(cases[i].changes, 0, NULL);
        assert_int_equal(catalog_apply_blocks(cases[i].kind, current, changes), cases[i].blocks);
        json_decref(current);
        json_decref(changes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_path_templates),
        cmocka_unit_test(test_next_run),     cmocka_unit_test(test_redaction),
        cmocka_unit_test(test_sealed_stays), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_what_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bodies and queries against tables of fields; the problem documents that come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "input.h"

enum { NAME, COUNT, ON, KIND, AT, TAGS, CONFIG, PASSWORD, NOTE, SETTINGS, FIELDS };
static const char *const kinds[] = {"local", "s3", NULL};
static const struct input_field fields[FIELDS] = {
    [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 8},
    [COUNT] = {"count", INPUT_INTEGER, .min = -3, .max = 9},
    [ON] = {"on", INPUT_BOOLEAN},
    [KIND] = {"kind", INPUT_CHOICE, INPUT_NULLABLE, .choices = kinds},
    [AT] = {"at", INPUT_TIME},
    [TAGS] = {"tags", INPUT_TEXTS, .max = 4},
    [CONFIG] = {"config", INPUT_OBJECT, .max = 20},
    [PASSWORD] = {"password", INPUT_TEXT, INPUT_SECRET, .min = 12, .hint = "at least 12 characters"},
    [NOTE] = {"note", INPUT_TEXT, INPUT_LINES},
    [SETTINGS] = {"settings", INPUT_OBJECT, INPUT_OR_TEXT | INPUT_SECRET, .max = 20},
};

static struct input *body(const char *text, struct problem *problem)
{
    return input_parse_body(text, strlen(text), fields, FIELDS, problem);
}

static void test_values(void **state)
{
    struct problem problem;
    (void)state;
    struct input *in = body(
        "{\"name\":\"n\\u00e8\",\"count\":-3,\"on\":true,\"kind\":\"s3\",\"at\":\"1970-01-01T00:00:01.5Z\","
        "\"tags\":[\"a\",\"b\"],\"config\":{\"x\":[1,2]},\"password\":\"123456789012\",\"note\":\"a\\n\\tb\"}",
        &problem);
    assert_non_null(in);
    assert_int_equal(in->n_given, FIELDS - 1);
    assert_string_equal(in->values[NAME].text, "n\xc3\xa8");
    assert_int_equal(in->values[COUNT].integer, -3);
    assert_string_equal(in->values[COUNT].text, "-3");
    assert_true(in->values[ON].boolean);
    assert_int_equal(in->values[KIND].integer, 1);
    assert_string_equal(in->values[KIND].text, "s3");
    assert_int_equal(in->values[AT].integer, 1500);
    assert_int_equal(json_array_size(in->values[TAGS].json), 2);
    assert_true(json_is_object(in->values[CONFIG].json));
    input_free(in);

    in = body("{\"name\":\"n\",\"kind\":null}", &problem);
    assert_non_null(in);
    assert_true(in->values[KIND].given && in->values[KIND].is_null && in->values[KIND].text == NULL);
    assert_false(in->values[COUNT].given);
    input_free(in);
}

/* The messages of all errors, "field: message; ..." */
static void refused(const char *text, unsigned status, const char *errors)
{
    struct problem problem;
    char told[2000] = "";
    size_t i;
    json_t *error;
    assert_null(body(text, &problem));
    assert_int_equal(problem.status, status);
    json_t *document = problem_document(&problem);
    assert_string_equal(json_string_value(json_object_get(document, "type")), "about:blank");
    assert_string_equal(json_string_value(json_object_get(document, "title")), problem_title(status));
    assert_int_equal(json_integer_value(json_object_get(document, "status")), status);
    json_array_foreach(json_object_get(document, "errors"), i, error)
    {
        size_t n = strlen(told);
        snprintf(told + n, sizeof told - n, "%s%s: %s", i ? "; " : "",
                 json_string_value(json_object_get(error, "field")),
                 json_string_value(json_object_get(error, "message")));
    }
    assert_string_equal(told, errors);
    json_decref(document);
    problem_deinit(&problem);
}

static void test_errors(void **state)
{
    (void)state;
    refused("{}", 422, "name: is missing: write a text of 1 to 8 bytes without control characters");
    refused("", 422, "name: is missing: write a text of 1 to 8 bytes without control characters");
    refused(
        "{\"name\":\"123456789\",\"count\":10,\"on\":1,\"kind\":\"gcs\",\"at\":\"now\",\"who\":1}", 422,
        "who: is not known here; known: name, count, on, kind, at, tags, config, password, note, settings; "
        "name: write a text of 1 to 8 bytes without control characters, not '123456789'; "
        "count: write a whole number from -3 to 9, not 10; on: write true or false, not 1; "
        "kind: write one of local, s3, not 'gcs'; "
        "at: write a time with its zone, such as 2025-11-02T08:00:00Z, not 'now'");
    refused("{\"name\":\"n\",\"password\":\"hunter2\"}", 422, "password: write at least 12 characters");
    refused("{\"name\":\"n\",\"tags\":[\"12345\"]}", 422,
            "tags: write a list of at most 200 texts of 1 to 4 bytes");
    refused("{\"name\":\"n\",\"config\":{\"x\":\"0123456789abc\"}}", 422,
            "config: write an object of at most 20 bytes");
    refused("{\"name\":null}", 422, "name: write a text of 1 to 8 bytes without control characters");
    refused("{\"name\":\"a\\nb\"}", 422,
            "name: write a text of 1 to 8 bytes without control characters, not 'a?b'");
    refused("{\"name\":\"n\",\"note\":\"\\u0001\"}", 422, "note: write a text of 0 to 10000 bytes, not '?'");
    for (const char *const *p =
             (const char *const[]){"[]", "nonsense", "{\"name\":\"a\"", "{\"name\":\"a\",\"name\":\"b\"}",
                                   "{\"name\":\"\xff\"}", "{\"name\":\"\\u0000\"}", "{} {}",
                                   "{\"count\":1e999}", NULL};
         *p; p++)
        refused(*p, 400, "");
}

static void test_object_or_text(void **state)
{
    struct problem problem;
    (void)state;
    struct input *in = body("{\"name\":\"n\",\"settings\":{\"x\":1}}", &problem);
    assert_non_null(in);
    assert_true(json_is_object(in->values[SETTINGS].json) && in->values[SETTINGS].text == NULL);
    input_free(in);
    in = body("{\"name\":\"n\",\"settings\":\"{ not parsed\"}", &problem);
    assert_non_null(in);
    assert_null(in->values[SETTINGS].json);
    assert_string_equal(in->values[SETTINGS].text, "{ not parsed");
    input_free(in);
    for (const char *const *p = (const char *const[]){"[]", "1", "null", "\"a\\u0001\\n\\u0000\"",
                                                      "\"123456789012345678901\"", NULL};
         *p; p++) {
        char text[100];
        snprintf(text, sizeof text, "{\"name\":\"n\",\"settings\":%s}", *p);
        assert_null(body(text, &problem));
        problem_deinit(&problem);
    }
    refused("{\"name\":\"n\",\"settings\":7}", 422,
            "settings: write an object, or its JSON as a text, of at most 20 bytes, not 7");
    refused("{\"name\":\"n\",\"config\":\"{}\"}", 422,
            "config: write an object of at most 20 bytes, not '{}'");
}

static void test_depth(void **state)
{
    struct problem problem;
    char text[200] = "";
    (void)state;
    for (int depth = INPUT_DEPTH_MAX - 1; depth <= INPUT_DEPTH_MAX; depth++) {
        size_t n = (size_t)snprintf(text, sizeof text, "{\"[{[\\\"{\":");
        memset(text + n, '[', (size_t)depth);
        memset(text + n + depth, ']', (size_t)depth);
        snprintf(text + n + 2 * depth, 2, "}");
        assert_null(body(text, &problem));
        assert_int_equal(problem.status, depth < INPUT_DEPTH_MAX ? 422 : 400);
        problem_deinit(&problem);
    }
}

static void test_query(void **state)
{
    static const struct {
        const char *query, *field; /* field: of the only error; NULL: none */
    } cases[] = {
        {"name=n", NULL},
        {"name=n&count=-3&on=false&kind=s3", NULL},
        {"&&name=n&", NULL},
        {"n%61me=%6e", NULL},
        {"name=n&tags=a,b", NULL},
        {"name=n&tags=", NULL},
        {"", "name"},
        {"name", "name"},
        {"name=", "name"},
        {"name=n&name=n", "name"},
        {"name=n&count=", "count"},
        {"name=n&count=1.0", "count"},
        {"name=n&count=+1", "count"},
        {"name=n&count=99999999999999999999", "count"},
        {"name=n&on=1", "on"},
        {"name=n&kind=", "kind"},
        {"name=n&config={}", "config"},
        {"name=n&x=1", "x"},
        {"name=%", "name"},
        {"name=%00", "name"},
        {"name=%ff", "name"},
        {"%ff=1&name=n", "?"},
        {"name=n&tags=a,,b", "tags"},
        {"%00&name=n", "?"},
    };
    struct problem problem;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct input *in = input_parse_query(cases[i].query, fields, FIELDS, &problem);
        if (cases[i].field == NULL) {
            assert_non_null(in);
            assert_string_equal(in->values[NAME].text, "n");
            input_free(in);
            continue;
        }
        assert_null(in);
        assert_int_equal(problem.status, 400);
        assert_int_equal(json_array_size(problem.errors), 1);
        json_t *error = json_array_get(problem.errors, 0);
        assert_string_equal(json_string_value(json_object_get(error, "field")), cases[i].field);
        problem_deinit(&problem);
    }
}

static void test_problem(void **state)
{
    struct problem problem;
    (void)state;
    problem_init(&problem, 409, "there is %s \xff\n already", "one");
    for (int i = 0; i < 60; i++)
        problem_add(&problem, "f", "m%d", i);
    problem_set(&problem, "status", json_string("not this"));
    problem_set(&problem, "more", json_integer(5));
    json_t *document = problem_document(&problem);
    assert_string_equal(json_string_value(json_object_get(document, "detail")), "there is one ?? already");
    assert_int_equal(json_integer_value(json_object_get(document, "status")), 409);
    assert_int_equal(json_integer_value(json_object_get(document, "more")), 5);
    assert_int_equal(json_array_size(json_object_get(document, "errors")), 50);
    json_decref(document);
    problem_deinit(&problem);
    assert_string_equal(problem_title(404), "Not Found");
    assert_string_equal(problem_title(999), "Error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_errors), cmocka_unit_test(test_object_or_text),
        cmocka_unit_test(test_depth),  cmocka_unit_test(test_query),  cmocka_unit_test(test_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

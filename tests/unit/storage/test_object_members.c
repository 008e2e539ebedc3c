#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/object/members.h"

struct said {
    const char *name, *colour, *prefix, *secret;
    enum object_said on;
    int64_t count, size;
    const json_t *tags;
};

static const struct object_member members[] = {
    {.name = "name",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = offsetof(struct said, name),
     .may_be = "a name",
     .is_valid = object_is_printable_ascii},
    {.name = "colour",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = offsetof(struct said, colour),
     .may_be = "red or blue",
     .choices = "red blue"},
    {.name = "prefix",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = offsetof(struct said, prefix),
     .may_be = "a prefix",
     .is_valid = object_is_prefix,
     .may_be_empty = true},
    {.name = "secret",
     .kind = OBJECT_MEMBER_TEXT,
     .offset = offsetof(struct said, secret),
     .may_be = "text",
     .sealed = true},
    {.name = "on",
     .kind = OBJECT_MEMBER_SWITCH,
     .offset = offsetof(struct said, on),
     .may_be = "true or false"},
    {.name = "count",
     .kind = OBJECT_MEMBER_NUMBER,
     .offset = offsetof(struct said, count),
     .may_be = "1 to 9",
     .min = 1,
     .max = 9},
    {.name = "size",
     .kind = OBJECT_MEMBER_SIZE,
     .offset = offsetof(struct said, size),
     .may_be = "a size",
     .min = 1,
     .max = INT64_MAX},
    {.name = "tags",
     .kind = OBJECT_MEMBER_MAP,
     .offset = offsetof(struct said, tags),
     .may_be = "2 strings",
     .max = 2},
};

static int read(const char *text, json_t **ret_config, struct said *ret, struct error *err)
{
    *ret_config = json_loads(text, JSON_ALLOW_NUL, NULL);
    if (*ret_config == NULL)
        fail_msg("not JSON: %s", text);
    *ret = (struct said){0};
    return object_members_read(members, sizeof members / sizeof *members, *ret_config, ret, err);
}

static void each_kind(void **state)
{
    (void)state;
    struct said said;
    struct error err;
    json_t *config;
    assert_int_equal(read("{\"name\": \"n\", \"colour\": \"blue\", \"prefix\": \"/a/b/\", \"secret\": \"s\", "
                          "\"on\": false, \"count\": 9, \"size\": \"64MiB\", \"tags\": {\"a\": \"b\"}}",
                          &config, &said, &err),
                     0);
    assert_string_equal(said.name, "n");
    assert_string_equal(said.colour, "blue");
    assert_string_equal(said.prefix, "/a/b/");
    assert_string_equal(said.secret, "s");
    assert_int_equal(said.on, SAID_FALSE);
    assert_int_equal(said.count, 9);
    assert_int_equal(said.size, 64 << 20);
    assert_int_equal(json_object_size(said.tags), 1);
    json_decref(config);

    assert_int_equal(read("{\"name\": null, \"prefix\": \"\", \"on\": null}", &config, &said, &err), 0);
    assert_null(said.name);
    assert_null(said.prefix);
    assert_int_equal(said.on, SAID_NOT);
    json_decref(config);
    assert_int_equal(object_members_read(members, 1, NULL, &said, &err), 0);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{\"name\": \"hunter2 x\"}", "\"name\" must be a name"},
        {"{\"name\": \"\"}", "\"name\" must be a name"},
        {"{\"name\": \"a\\u0000hunter2\"}", "\"name\" must be a name"},
        {"{\"secret\": \"hunter2\\n\"}", "\"secret\" must be text"},
        {"{\"name\": 5}", "\"name\" must be a name"},
        {"{\"colour\": \"re\"}", "\"colour\" must be red or blue"},
        {"{\"colour\": \"red blue\"}", "\"colour\" must be red or blue"},
        {"{\"prefix\": \"a/../b\"}", "\"prefix\" must be a prefix"},
        {"{\"on\": \"true\"}", "\"on\" must be true or false"},
        {"{\"count\": 0}", "\"count\" must be 1 to 9"},
        {"{\"count\": 10}", "\"count\" must be 1 to 9"},
        {"{\"count\": \"5\"}", "\"count\" must be 1 to 9"},
        {"{\"count\": 1.5}", "\"count\" must be 1 to 9"},
        {"{\"size\": \"64 MiB\"}", "\"size\" must be a size"},
        {"{\"size\": \"64MB\"}", "\"size\" must be a size"},
        {"{\"size\": \"9999999999TiB\"}", "\"size\" must be a size"},
        {"{\"tags\": {}}", "\"tags\" must be 2 strings"},
        {"{\"tags\": {\"a\": \"\", \"b\": \"\", \"c\": \"\"}}", "\"tags\" must be 2 strings"},
        {"{\"tags\": {\"\": \"a\"}}", "\"tags\" must be 2 strings"},
        {"{\"hunter\": \"hunter2\"}",
         "\"hunter\" is unknown here; known: name, colour, prefix, on, count, size, tags"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct said said;
        struct error err = {0};
        json_t *config;
        if (read(cases[i].text, &config, &said, &err) != ERROR_INPUT)
            fail_msg("accepted: %s", cases[i].text);
        if (strstr(err.message, cases[i].says) == NULL || strstr(err.message, "hunter2") || err.retryable)
            fail_msg("%s: %s", cases[i].text, err.message);
        json_decref(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_kind), cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "queue/job.h"

#define LINE(text) text, sizeof(text) - 1

struct good_case {
    const char *line;
    size_t size;
    struct job job;
};

static void good(void **state)
{
    (void)state;
    static const struct good_case cases[] = {
        {LINE("{\"id\":301,\"op\":\"upload\",\"backup_id\":150,\"backup\":\"production_20251102_080000\","
              "\"storage_type\":\"s3\",\"storage_name\":\"AWS S3 Backup\",\"priority\":2,\"attempt\":1,"
              "\"enqueued_at\":\"2025-11-02T08:00:00Z\"}"),
         {301, JOB_UPLOAD, 150, 2, 1}},
        {LINE("{\"op\":\"verify\",\"id\":1}"), {1, JOB_VERIFY, 0, 0, 0}},
        {LINE(" {\t\"id\" : 2 ,\r\n\"op\" : \"repair\" } \n"), {2, JOB_REPAIR, 0, 0, 0}},
        {LINE("{\"id\":2147483647,\"op\":\"delete\",\"priority\":2147483647}"),
         {INT32_MAX, JOB_DELETE, 0, INT32_MAX, 0}},
        {LINE("{\"id\":1e3,\"op\":\"upload\",\"attempt\":7.0}"), {1000, JOB_UPLOAD, 0, 0, 7}},
        {LINE("{\"id\":9,\"op\":\"upload\",\"priority\":0,\"unknown\":{\"a\":[1,null]}}"),
         {9, JOB_UPLOAD, 0, 0, 0}},
        {LINE("{\"id\":9,\"op\":\"\\u0075pload\",\"backup\":\"gr\xc3\xb6\xc3\x9f"
              "e\"}"),
         {9, JOB_UPLOAD, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job job;
        struct error err;
        if (job_parse(cases[i].line, cases[i].size, &job, &err))
            fail_msg("%s: %s", cases[i].line, err.message);
        assert_int_equal(job.id, cases[i].job.id);
        assert_int_equal(job.op, cases[i].job.op);
        assert_int_equal(job.backup_id, cases[i].job.backup_id);
        assert_int_equal(job.priority, cases[i].job.priority);
        assert_int_equal(job.attempt, cases[i].job.attempt);
    }
}

struct bad_case {
    const char *line;
    size_t size;
    const char *says; /* part of the message */
};

static void must_fail(const char *line, size_t size, const char *says)
{
    struct job job = {.id = -77};
    struct error err = {0};
    int rc = job_parse(line, size, &job, &err);
    if (rc != ERROR_PROTOCOL || err.code != rc || err.retryable)
        fail_msg("%.60s: gave %d, code %d", line, rc, err.code);
    assert_int_equal(job.id, -77); /* untouched */
    if (strncmp(err.message, "malformed job: ", 15) != 0 || strstr(err.message, says) == NULL)
        fail_msg("%.60s: says '%s', not '%s'", line, err.message, says);
    for (const char *p = err.message; *p; p++)
        if ((unsigned char)*p < ' ')
            fail_msg("%.60s: control character in '%s'", line, err.message);
}

static void malformed(void **state)
{
    (void)state;
    static const struct bad_case cases[] = {
        {LINE(""), ""},
        {LINE("   "), ""},
        {LINE("upload:1"), ""},
        {LINE("null"), ""},
        {LINE("17"), ""},
        {LINE("\"upload\""), ""},
        {LINE("[]"), "not a JSON object"},
        {LINE("[{\"id\":1,\"op\":\"upload\"}]"), "not a JSON object"},
        {LINE("{}"), "op '' is not"},
        {LINE("{\"id\":1}"), "op '' is not"},
        {LINE("{\"id\":1,\"op\":1}"), "op '' is not"},
        {LINE("{\"id\":1,\"op\":[\"upload\"]}"), "op '' is not"},
        {LINE("{\"id\":1,\"op\":\"UPLOAD\"}"), "op 'UPLOAD' is not upload, verify, repair or delete"},
        {LINE("{\"id\":1,\"op\":\"uploads\"}"), "'uploads'"},
        {LINE("{\"id\":1,\"op\":\"a\\nb\\u0001c\\u001b[0m\"}"), "op 'a?b?c?[0m' is not"},
        {LINE("{\"op\":\"upload\"}"), "no id"},
        {LINE("{\"op\":\"upload\",\"id\":null}"), "id is not a whole number from 1 to 2147483647"},
        {LINE("{\"op\":\"upload\",\"id\":\"1\"}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":true}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":[1]}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":{\"id\":1}}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":0}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":-1}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":1.5}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":0.9}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":2147483648}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":2147483647.5}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":9223372036854775807}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":-9223372036854775808}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":9223372036854775808}"), "too big integer"},
        {LINE("{\"op\":\"upload\",\"id\":99999999999999999999999999999999}"), "too big integer"},
        {LINE("{\"op\":\"upload\",\"id\":1e18}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":1e308}"), "id is not"},
        {LINE("{\"op\":\"upload\",\"id\":1e309}"), "real number overflow"},
        {LINE("{\"op\":\"upload\",\"id\":NaN}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":0x10}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":01}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup_id\":-1}"), "backup_id is not"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup_id\":\"x\"}"), "backup_id is not"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"priority\":2.5}"), "priority is not"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"priority\":null}"), "priority is not"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"attempt\":4294967297}"), "attempt is not"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"id\":2}"), "duplicate"},
        {LINE("{\"op\":\"upload\",\"op\":\"upload\",\"id\":1}"), "duplicate"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"x\":{\"y\":1,\"y\":1}}"), "duplicate"},
        {LINE("{\"op\":\"upload\",\"id\":1,}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1}}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1}{\"op\":\"upload\",\"id\":2}"), ""},
        {LINE("{op:\"upload\",id:1}"), ""},
        {LINE("{'op':'upload','id':1}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"\xff\xfe\"}"), "unable to decode byte"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"\xc0\x80\"}"), "unable to decode byte"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"\xed\xa0\x80\"}"), "unable to decode byte"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"\\ud800\"}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"a\nb\"}"), "newline"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"a\x01\"}"), "control character"},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"a\0b\"}"), ""},
        {LINE("{\"op\":\"upload\",\"id\":1,\"backup\":\"a\\u0000b\"}"), "\\u0000"},
        {LINE("{\"op\":\"upload\",\"id\":1}\0"), ""},
        {LINE("\0{\"op\":\"upload\",\"id\":1}"), ""},
        {LINE("\xef\xbb\xbf{\"op\":\"upload\",\"id\":1}"), ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        must_fail(cases[i].line, cases[i].size, cases[i].says);
}

static void deeply_nested(void **state)
{
    (void)state;
    static char line[200000];
    for (size_t depth = 10; depth <= 90000; depth *= 3) {
        size_t n = (size_t)snprintf(line, sizeof line, "{\"op\":\"upload\",\"x\":");
        memset(line + n, '[', depth);
        memset(line + n + depth, ']', depth);
        n += 2 * depth;
        n += (size_t)snprintf(line + n, sizeof line - n, "}");
        must_fail(line, n, depth < 2000 ? "no id" : "");
    }
}

static void every_prefix(void **state)
{
    (void)state;
    static const char line[] = "{\"id\":301,\"op\":\"upload\",\"backup\":\"gr\xc3\xb6\",\"priority\":2}";
    for (size_t n = 0; n < sizeof line - 1; n++) {
        char *copy = malloc(n ? n : 1); /* not terminated: a read past the end is seen by ASan */
        memcpy(copy, line, n);
        struct job job;
        assert_int_equal(job_parse(copy, n, &job, NULL), ERROR_PROTOCOL);
        free(copy);
    }
}

static struct job_text plain(void)
{
    return (struct job_text){.id = 301,
                             .op = JOB_UPLOAD,
                             .backup_id = 150,
                             .backup = "production_postgresql_20251102_080000",
                             .storage_type = "s3",
                             .storage_name = "AWS S3 Backup",
                             .priority = 2,
                             .attempt = 1,
                             .enqueued_at = "2025-11-02T08:00:00Z"};
}

static void the_line_of_the_design(void **state)
{
    (void)state;
    struct job_text text = plain();
    char *line = job_format(&text);
    assert_string_equal(line, "{\"id\":301,\"op\":\"upload\",\"backup_id\":150,"
                              "\"backup\":\"production_postgresql_20251102_080000\",\"storage_type\":\"s3\","
                              "\"storage_name\":\"AWS S3 Backup\",\"priority\":2,\"attempt\":1,"
                              "\"enqueued_at\":\"2025-11-02T08:00:00Z\"}");
    free(line);
}

static void round_trip(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, 9, 1000, 65536, INT32_MAX - 1, INT32_MAX};
    static const char *const names[] = {"plain",
                                        "",
                                        NULL,
                                        "quote \" backslash \\ slash /",
                                        "line\nfeed\ttab\x01\x1f\x7f",
                                        "gr\xc3\xb6\xc3\x9f"
                                        "e \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
                                        "not UTF-8 \xff\xfe",
                                        "cut \xe6\x97"};
    for (int op = JOB_UPLOAD; op <= JOB_DELETE; op++) {
        for (size_t i = 1; i < sizeof numbers / sizeof *numbers; i++) {
            for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
                struct job_text text = plain();
                text.id = numbers[i];
                text.op = (enum job_op)op;
                text.backup_id = numbers[i - 1];
                text.priority = numbers[sizeof numbers / sizeof *numbers - i];
                text.attempt = numbers[i];
                text.backup = names[k];
                text.storage_name = names[sizeof names / sizeof *names - 1 - k];
                char *line = job_format(&text);
                assert_non_null(line);
                for (const char *p = line; *p; p++)
                    assert_true((unsigned char)*p >= ' '); /* one line, whatever the names hold */
                struct job job;
                struct error err;
                if (job_parse(line, strlen(line), &job, &err))
                    fail_msg("%s: %s", line, err.message);
                assert_int_equal(job.id, text.id);
                assert_int_equal(job.op, text.op);
                assert_int_equal(job.backup_id, text.backup_id);
                assert_int_equal(job.priority, text.priority);
                assert_int_equal(job.attempt, text.attempt);
                json_t *root = json_loads(line, 0, NULL);
                const char *backup = json_string_value(json_object_get(root, "backup"));
                assert_string_equal(backup, k >= 6 ? "?" : names[k] ? names[k] : "");
                json_decref(root);
                free(line);
            }
        }
    }
}

static void another_attempt(void **state)
{
    (void)state;
    char *line = job_with_attempt("{\"id\":7,\"op\":\"upload\",\"attempt\":1,\"mine\":\"kept\"}", 2);
    assert_string_equal(line, "{\"id\":7,\"op\":\"upload\",\"attempt\":2,\"mine\":\"kept\"}");
    free(line);
    line = job_with_attempt("{}", 3);
    assert_string_equal(line, "{\"attempt\":3}");
    free(line);
    assert_null(job_with_attempt("[1]", 2));
    assert_null(job_with_attempt("no JSON", 2));
}

static void keys(void **state)
{
    (void)state;
    char key[JOB_KEY_SIZE];
    job_key(JOB_UPLOAD, 301, key);
    assert_string_equal(key, "upload:301");
    job_key(JOB_VERIFY, 1, key);
    assert_string_equal(key, "verify:1");
    job_key(JOB_REPAIR, INT32_MAX, key);
    assert_string_equal(key, "repair:2147483647");
    job_key(JOB_DELETE, INT64_MIN, key);
    assert_string_equal(key, "delete:-9223372036854775808");
    assert_string_equal(job_op_name(JOB_DELETE), "delete");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(malformed),
        cmocka_unit_test(deeply_nested),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(the_line_of_the_design),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(another_attempt),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "artifact/source.h"

static void descriptions_are_checked(void **state)
{
    (void)state;
    static const struct {
        struct source source;
        int code;
        const char *says;
    } cases[] = {
        {{.db_type = "postgresql", .database_name = "shop"}, 0, ""},
        {{.db_type = "POSTGRESQL", .database_name = "shop", .port = 5432}, 0, ""},
        {{.db_type = "postgresql"}, ERROR_INPUT, "--database-name"},
        {{.db_type = "postgresql", .database_name = ""}, ERROR_INPUT, "--database-name"},
        {{.db_type = "postgresql", .database_name = "shop", .port = 65536}, ERROR_INPUT, "65536"},
        {{.db_type = "file", .source_path = "/srv/x"}, 0, ""},
        {{.db_type = "file", .source_path = "srv/x"}, ERROR_INPUT, "not absolute"},
        {{.db_type = "directory"}, ERROR_INPUT, "--path"},
        {{.db_type = "directory", .source_path = "/srv"}, 0, ""},
        {{.db_type = "command", .source_argv = "[\"/bin/true\"]"}, 0, ""},
        {{.db_type = "command", .source_argv = "[\"a\",\"\",\"c\"]"}, 0, ""},
        {{.db_type = "command"}, ERROR_INPUT, "JSON array"},
        {{.db_type = "command", .source_argv = "ls -l"}, ERROR_INPUT, "not JSON"},
        {{.db_type = "command", .source_argv = "[]"}, ERROR_INPUT, "program"},
        {{.db_type = "command", .source_argv = "\"ls\""}, ERROR_INPUT, "array"},
        {{.db_type = "command", .source_argv = "[\"ls\", 1]"}, ERROR_INPUT, "not a string"},
        {{.db_type = "command", .source_argv = "[\"\"]"}, ERROR_INPUT, "empty"},
        {{.db_type = "command", .source_argv = "[\"a\\u0000b\"]"}, ERROR_INPUT, "JSON"},
        {{.db_type = "mysql"}, ERROR_UNSUPPORTED, "type command"},
        {{.db_type = "mongodb"}, ERROR_UNSUPPORTED, "mongodb"},
        {{.db_type = "Redis"}, ERROR_UNSUPPORTED, "redis"},
        {{.db_type = "oracle"}, ERROR_INPUT, "oracle"},
        {{.db_type = NULL}, ERROR_INPUT, "postgresql, file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        int rc = source_check(&cases[i].source, &err);
        if (rc != cases[i].code || strstr(err.message, cases[i].says) == NULL)
            fail_msg("case %zu: %d %s", i, rc, err.message);
        assert_false(err.retryable);
    }
}

static void extensions(void **state)
{
    (void)state;
    assert_string_equal(source_extension("postgresql"), "sql.gz");
    assert_string_equal(source_extension("PostgreSQL"), "sql.gz");
    assert_string_equal(source_extension("directory"), "tar.gz");
    assert_string_equal(source_extension("file"), "bin.gz");
    assert_string_equal(source_extension("command"), "bin.gz");
    assert_string_equal(source_extension("mysql"), "bin.gz");
    assert_string_equal(source_extension(NULL), "bin.gz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptions_are_checked),
        cmocka_unit_test(extensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

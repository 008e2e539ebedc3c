#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/child_command.h"

static void assert_argv(const struct source *source, const char *const *want)
{
    struct child_command command;
    struct error err;
    assert_int_equal(child_command_init(&command, source, "/opt/pg_dump", "tar", NULL, &err), 0);
    size_t i = 0;
    for (; want[i]; i++) {
        assert_non_null(command.argv[i]);
        assert_string_equal(command.argv[i], want[i]);
    }
    assert_null(command.argv[i]);
    child_command_deinit(&command);
}

static void argument_vectors(void **state)
{
    (void)state;
    assert_argv(
        &(struct source){
            .db_type = "postgresql", .host = "db1", .port = 5433, .username = "u", .database_name = "shop"},
        (const char *const[]){"/opt/pg_dump", "--format=plain", "--no-password", "-h", "db1", "-p", "5433",
                              "-U", "u", "-d", "shop", NULL});
    assert_argv(&(struct source){.db_type = "postgresql", .host = "", .database_name = "-x"},
                (const char *const[]){"/opt/pg_dump", "--format=plain", "--no-password", "-d", "-x", NULL});
    /* a name is a name, whatever libpq would make of it */
    assert_argv(&(struct source){.db_type = "postgresql", .database_name = "host=evil 'x\\"},
                (const char *const[]){"/opt/pg_dump", "--format=plain", "--no-password", "-d",
                                      "dbname='host=evil \\'x\\\\'", NULL});
    assert_argv(&(struct source){.db_type = "postgresql", .database_name = "postgres://evil/"},
                (const char *const[]){"/opt/pg_dump", "--format=plain", "--no-password", "-d",
                                      "dbname='postgres://evil/'", NULL});
    assert_argv(&(struct source){.db_type = "directory", .source_path = "/srv/data"},
                (const char *const[]){"tar", "-C", "/srv/data", "-cf", "-", ".", NULL});
    assert_argv(
        &(struct source){.db_type = "command", .source_argv = "[\"/bin/x\", \"a b\", \"\", \"$HOME\"]"},
        (const char *const[]){"/bin/x", "a b", "", "$HOME", NULL});
}

static const char *in_env(const struct child_command *command, const char *name)
{
    size_t n = strlen(name);
    for (char **p = command->env; *p; p++)
        if (strncmp(*p, name, n) == 0 && (*p)[n] == '=')
            return *p + n + 1;
    return NULL;
}

static void environments_hold_no_secret(void **state)
{
    (void)state;
    setenv("BM_DATABASE_URL", "postgresql://u:hunter2@h/d", 1);
    setenv("PGPASSWORD", "hunter2", 1);
    setenv("SHOP_PASSWORD", "hunter2", 1);
    setenv("PGPASSFILE", "/root/pgpass", 1);
    setenv("LC_ALL", "it_IT.UTF-8", 1);
    setenv("LANGUAGE", "it", 1);
    setenv("VAULT_TOKEN", "hunter2", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
    setenv("OTHER_PASSWORD", "hunter2", 1); /* another row's env: secret */
    setenv("PGUSER", "me", 1);
    setenv("PGPHRASE", "hunter2", 1);
    setenv("TAR_OPTIONS", "--one-file-system", 1);
    unsetenv("PGCONNECT_TIMEOUT");
    struct child_command command;
    struct error err;
    struct source source = {
        .db_type = "postgresql", .database_name = "shop", .password_ref = "env:SHOP_PASSWORD"};
    assert_int_equal(child_command_init(&command, &source, "pg_dump", "tar", NULL, &err), 0);
    for (char **p = command.env; *p; p++)
        assert_null(strstr(*p, "hunter2"));
    assert_string_equal(in_env(&command, "PGPASSFILE"), "/proc/self/fd/3");
    assert_string_equal(in_env(&command, "LC_MESSAGES"), "C");
    assert_null(in_env(&command, "LC_ALL"));
    assert_null(in_env(&command, "LANGUAGE"));
    assert_string_equal(in_env(&command, "PGUSER"), "me");
    assert_string_equal(in_env(&command, "PATH"), getenv("PATH"));
    assert_null(in_env(&command, "TAR_OPTIONS"));
    assert_non_null(in_env(&command, "PGCONNECT_TIMEOUT"));
    child_command_deinit(&command);

    /* without a reference of its own, the operator's password file is used */
    source.password_ref = "";
    setenv("PGCONNECT_TIMEOUT", "3", 1);
    assert_int_equal(child_command_init(&command, &source, "pg_dump", "tar", NULL, &err), 0);
    assert_string_equal(in_env(&command, "PGPASSFILE"), "/root/pgpass");
    assert_string_equal(in_env(&command, "PGCONNECT_TIMEOUT"), "3");
    child_command_deinit(&command);

    source = (struct source){.db_type = "command", .source_argv = "[\"/bin/x\"]"};
    assert_int_equal(child_command_init(&command, &source, "pg_dump", "tar", NULL, &err), 0);
    assert_string_equal(in_env(&command, "LC_ALL"), "it_IT.UTF-8");
    assert_null(in_env(&command, "BM_DATABASE_URL"));
    assert_null(in_env(&command, "PGPASSWORD"));
    for (char **p = command.env; *p; p++)
        assert_null(strstr(*p, "hunter2"));
    assert_string_equal(command.name, "x");
    child_command_deinit(&command);
}

static void commands_get_what_they_are_promised(void **state)
{
    (void)state;
    struct child_command command;
    struct error err;
    struct source source = {.db_type = "command", .source_argv = "[\"/bin/x\"]"};
    setenv("WANTED", "1", 1);
    setenv("WANTED_TOO", "2", 1);
    setenv("WANT", "3", 1);
    setenv("BM_DATABASE_URL", "postgresql://u:hunter2@h/d", 1);
    assert_int_equal(
        child_command_init(&command, &source, "pg_dump", "tar", "WANTED, WANTED_TOO,BM_DATABASE_URL", &err),
        0);
    assert_string_equal(in_env(&command, "WANTED"), "1");
    assert_string_equal(in_env(&command, "WANTED_TOO"), "2");
    assert_null(in_env(&command, "WANT"));
    assert_null(in_env(&command, "BM_DATABASE_URL"));
    child_command_deinit(&command);

    source = (struct source){.db_type = "directory", .source_path = "/tmp"};
    assert_int_equal(child_command_init(&command, &source, "pg_dump", "tar", "WANTED", &err), 0);
    assert_null(in_env(&command, "WANTED"));
    assert_string_equal(in_env(&command, "TAR_OPTIONS"), "--one-file-system");
    child_command_deinit(&command);
}

static void password_files(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    assert_int_equal(child_passfile_open("a:b\\c d", &fd, &err), 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char text[64] = "";
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "*:*:*:*:a\\:b\\\\c d\n");
    close(fd);
    fd = -1;
    assert_int_equal(child_passfile_open("two\nlines", &fd, &err), ERROR_INPUT);
    assert_null(strstr(err.message, "two"));
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argument_vectors),
        cmocka_unit_test(environments_hold_no_secret),
        cmocka_unit_test(commands_get_what_they_are_promised),
        cmocka_unit_test(password_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

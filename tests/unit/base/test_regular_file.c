#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/regular_file.h"

static char root[] = "/tmp/test_regular_file.XXXXXX";
static char path[64];

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void read_to_the_end_or_the_size(void **state)
{
    (void)state;
    char bytes[16] = "";
    struct stat st;
    int fd = -1;
    write_file("hello");
    assert_int_equal(regular_file_open(path, "it", &fd, &st, NULL), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(regular_file_read(fd, bytes, 3), 3);
    assert_int_equal(regular_file_read(fd, bytes + 3, sizeof bytes - 3), 2);
    assert_string_equal(bytes, "hello");
    assert_int_equal(regular_file_read(fd, bytes, sizeof bytes), 0);
    close(fd);
    errno = 0;
    assert_int_equal(regular_file_read(fd, bytes, sizeof bytes), -1);
    assert_int_equal(errno, EBADF);
}

static void assert_refused(const char *name, int code)
{
    struct error err = {0};
    struct stat st;
    int fd = 77;
    assert_int_equal(regular_file_open(name, "file:what", &fd, &st, &err), code);
    assert_int_equal(fd, 77);
    assert_true(err.retryable);
    assert_non_null(strstr(err.message, "file:what: "));
}

/* A FIFO without a writer must not hold us either. */
static void other_things_are_refused(void **state)
{
    (void)state;
    char fifo[64];
    snprintf(fifo, sizeof fifo, "%s/fifo", root);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused(fifo, ERROR_INPUT);
    assert_refused(root, ERROR_INPUT);
    assert_refused("/dev/null", ERROR_INPUT);
    assert_refused("/nowhere/at/all", ERROR_NOT_FOUND);
    unlink(fifo);
}

int main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/file", root);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_to_the_end_or_the_size),
        cmocka_unit_test(other_things_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(root);
    return failed;
}

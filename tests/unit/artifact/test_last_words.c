#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "artifact/last_words.h"

static const char *said(const char *data, size_t n, size_t piece)
{
    static char text[LAST_WORDS_SIZE];
    struct last_words words;
    last_words_init(&words);
    for (size_t i = 0; i < n; i += piece)
        last_words_add(&words, data + i, n - i < piece ? n - i : piece);
    last_words_text(&words, text);
    return text;
}

static void short_words_come_whole_on_one_line(void **state)
{
    (void)state;
    assert_string_equal(said("", 0, 1), "");
    assert_string_equal(said("no newline", 10, 3), "no newline");
    assert_string_equal(said("first\nsecond\n\n", 14, 1), "first second");
    assert_string_equal(said("a\tb\033[1mc\0d", 10, 10), "a b [1mc d");
}

static void bytes_that_are_no_utf8_become_question_marks(void **state)
{
    (void)state;
    assert_string_equal(said("caf\xc3\xa9", 5, 1), "caf\xc3\xa9");
    assert_string_equal(said("caf\xe9!", 5, 1), "caf?!");
    assert_string_equal(said("\xc0\xaf", 2, 1), "??");      /* overlong */
    assert_string_equal(said("\xed\xa0\x80", 3, 1), "???"); /* surrogate */
    assert_string_equal(said("\xf0\x9f\x92\xbe", 4, 1), "\xf0\x9f\x92\xbe");
    assert_string_equal(said("\xf0\x9f\x92", 3, 1), "???");
    assert_string_equal(said("\xff\xfe", 2, 1), "??");
}

static void long_words_keep_the_last_whole_lines(void **state)
{
    (void)state;
    size_t n = 20000;
    char *data = malloc(n + 1);
    assert_non_null(data);
    for (size_t i = 0; i < n; i += 20)
        memcpy(data + i, "tar: ./x: vanished.\n", 20);
    memcpy(data + n - 20, "tar: the end of it.\n", 20);
    for (size_t piece = 1; piece <= 5000; piece = piece * 7 + 1) {
        const char *text = said(data, n, piece);
        assert_true(strlen(text) < LAST_WORDS_SIZE);
        assert_true(strlen(text) > LAST_WORDS_SIZE - 40);
        assert_memory_equal(text, "tar: ./x: vanished. ", 20);
        assert_string_equal(text + strlen(text) - 19, "tar: the end of it.");
    }
    free(data);
}

static void the_error_survives_a_long_detail(void **state)
{
    (void)state;
    static const char error[] = "pg_dump: error: query failed: ERROR:  permission denied for table t\n";
    size_t n = sizeof error - 1 + 6000;
    char *data = malloc(n);
    assert_non_null(data);
    memcpy(data, error, sizeof error - 1);
    memset(data + sizeof error - 1, 'q', 6000);
    const char *text = said(data, n, 100);
    assert_memory_equal(text, error, sizeof error - 2);
    assert_non_null(strstr(text, " ... qqq"));
    assert_true(strlen(text) < LAST_WORDS_SIZE);
    free(data);
}

static void what_was_said_can_be_asked(void **state)
{
    (void)state;
    struct last_words words;
    last_words_init(&words);
    assert_false(last_words_say(&words, "x"));
    last_words_add(&words, "connection to server failed", 27);
    assert_true(last_words_say(&words, "connection to server"));
    assert_false(last_words_say(&words, "connection to database"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_words_come_whole_on_one_line),
        cmocka_unit_test(bytes_that_are_no_utf8_become_question_marks),
        cmocka_unit_test(long_words_keep_the_last_whole_lines),
        cmocka_unit_test(the_error_survives_a_long_detail),
        cmocka_unit_test(what_was_said_can_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <uv.h>

#include "auth/password.h"

#define WORD "correct horse battery"

static void hashes_match_their_password_alone(void **state)
{
    char hash[PASSWORD_HASH_SIZE], other[PASSWORD_HASH_SIZE];
    struct error err = {0};
    (void)state;
    assert_int_equal(password_hash(WORD, hash, &err), 0);
    assert_int_equal(password_hash(WORD, other, &err), 0);
    assert_memory_equal(hash, "$7$", 3);
    assert_string_not_equal(hash, other); /* salted */
    assert_true(password_matches(hash, WORD));
    assert_false(password_matches(hash, "Correct horse battery"));
    assert_false(password_matches(hash, ""));
    hash[strlen(hash) - 1] ^= 1;
    assert_false(password_matches(hash, WORD));
    hash[strlen(hash) - 1] = '\0';
    assert_false(password_matches(hash, WORD));
    assert_false(password_hash_is_old(other));
}

/* Published vectors of bcrypt: password "U*U" and others, John the Ripper's and crypt_blowfish's. */
static void bcrypt_of_the_older_system(void **state)
{
    static const struct {
        const char *hash, *password;
    } known[] = {
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
        {"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
        {"$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3"},
        {"$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_true(password_matches(known[i].hash, known[i].password));
        assert_false(password_matches(known[i].hash, "U*V"));
        assert_true(password_hash_is_old(known[i].hash));
    }
}

static void what_is_no_hash_matches_nothing(void **state)
{
    static const char *const odd[] = {NULL,    "",           "!",           "*",   "*0",
                                      "plain", "$1$abc$def", "$2x$05$CCCC", "$7$", "$y$j9T$x$y"};
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_false(password_matches(odd[i], WORD));
        assert_false(password_matches(odd[i], odd[i] ? odd[i] : ""));
    }
    assert_true(password_hash_is_old("$7$AU..../....salt$x")); /* another cost */
}

static void acceptable_passwords(void **state)
{
    char text[PASSWORD_MAX_BYTES + 2];
    struct error err = {0};
    (void)state;
    assert_int_equal(password_acceptable("ten bytes!", &err), 0);
    assert_int_equal(password_acceptable("nine byte", &err), ERROR_INPUT);
    assert_null(strstr(err.message, "nine"));
    assert_int_equal(password_acceptable("tab\tin the middle", &err), ERROR_INPUT);
    assert_int_equal(password_acceptable("p\xc3\xa0ssw\xc3\xb2rd lunga", &err), 0);
    memset(text, 'x', sizeof text);
    text[PASSWORD_MAX_BYTES + 1] = '\0';
    assert_int_equal(password_acceptable(text, &err), ERROR_INPUT);
    text[PASSWORD_MAX_BYTES] = '\0';
    assert_int_equal(password_acceptable(text, &err), 0);
}

static void generated_passwords(void **state)
{
    char one[PASSWORD_GENERATED_SIZE], two[PASSWORD_GENERATED_SIZE];
    struct error err = {0};
    (void)state;
    assert_int_equal(password_generate(one, &err), 0);
    assert_int_equal(password_generate(two, &err), 0);
    assert_int_equal(strlen(one), PASSWORD_GENERATED_SIZE - 1);
    assert_string_not_equal(one, two);
    assert_int_equal(password_acceptable(one, &err), 0);
}

/* --- on a loop --- */

struct asked {
    int n, cancelled, matches, renewed;
    struct password_checks *to_free; /* by the first answer */
};

static void on_answer(void *data, const struct password_answer *answer, const struct error *err)
{
    struct asked *asked = data;
    asked->n++;
    if (err) {
        assert_int_equal(err->code, ERROR_CANCELLED);
        asked->cancelled++;
    } else {
        asked->matches += answer->matches;
        asked->renewed += answer->new_hash != NULL;
        if (answer->new_hash)
            assert_true(password_matches(answer->new_hash, "U*U"));
    }
    if (asked->to_free) {
        struct password_checks *checks = asked->to_free;
        asked->to_free = NULL;
        password_checks_free(checks);
    }
}

static const char bcrypt[] = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

static void checks_are_answered_and_bounded(void **state)
{
    uv_loop_t loop;
    struct password_checks *checks;
    struct asked asked = {0};
    struct error err = {0};
    (void)state;
    uv_loop_init(&loop);
    assert_int_equal(password_checks_new(&loop, &checks, &err), 0);
    assert_int_equal(password_checks_verify(checks, bcrypt, "U*U", on_answer, &asked, &err), 0);
    assert_int_equal(password_checks_verify(checks, bcrypt, "U*V", on_answer, &asked, &err), 0);
    assert_int_equal(password_checks_hash(checks, "U*U", on_answer, &asked, &err), 0);
    assert_int_equal(asked.n, 0); /* never before return */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(asked.n, 3);
    assert_int_equal(asked.matches, 2);
    assert_int_equal(asked.renewed, 2);

    int taken = 0;
    while (password_checks_verify(checks, bcrypt, "U*V", on_answer, &asked, &err) == 0)
        taken++;
    assert_int_equal(err.code, ERROR_LIMIT);
    assert_true(err.retryable);
    assert_int_equal(taken, PASSWORD_AT_ONCE + PASSWORD_MAX_WAITING);
    asked.n = 0;
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(asked.n, taken);

    char text[PASSWORD_MAX_BYTES + 2];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(password_checks_verify(checks, bcrypt, text, on_answer, &asked, &err), ERROR_INPUT);
    password_checks_free(checks);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void freeing_answers_all(void **state)
{
    (void)state;
    for (int in_callback = 0; in_callback < 2; in_callback++) {
        uv_loop_t loop;
        struct password_checks *checks;
        struct asked asked = {0};
        struct error err = {0};
        uv_loop_init(&loop);
        assert_int_equal(password_checks_new(&loop, &checks, &err), 0);
        for (int i = 0; i < 12; i++)
            assert_int_equal(password_checks_verify(checks, bcrypt, "U*V", on_answer, &asked, &err), 0);
        if (in_callback) {
            asked.to_free = checks;
        } else {
            password_checks_free(checks);
            assert_int_equal(asked.cancelled, 12);
        }
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(asked.n, 12);
        assert_int_equal(asked.cancelled, in_callback ? 11 : 12);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
    password_checks_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_match_their_password_alone),
        cmocka_unit_test(bcrypt_of_the_older_system),
        cmocka_unit_test(what_is_no_hash_matches_nothing),
        cmocka_unit_test(acceptable_passwords),
        cmocka_unit_test(generated_passwords),
        cmocka_unit_test(checks_are_answered_and_bounded),
        cmocka_unit_test(freeing_answers_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/keyring.h"

/* 32 bytes: 00 01 .. 1f, and 32 of 0xff; the first one's id by sha256sum. */
#define KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_1_HEX "000102030405060708090A0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_1_ID "50d453bead39dcda"
#define KEY_2 "//////////////////////////////////////////8="
#define KEY_2_URLSAFE "__________________________________________8="

static struct keyring *ring_of(const char *first, const char *second)
{
    struct keyring *ring = keyring_new();
    struct error err = {0};
    assert_non_null(ring);
    if (first && keyring_add(ring, first, "env:FIRST", &err))
        fail_msg("%s", err.message);
    if (second && keyring_add(ring, second, "env:SECOND", &err))
        fail_msg("%s", err.message);
    return ring;
}

static void assert_opens(const struct keyring *ring, const char *id, const char *context, const char *sealed,
                         int code)
{
    char *text = NULL;
    size_t size = 0;
    struct error err = {0};
    int rc = keyring_open(ring, id, context, sealed, &text, &size, &err);
    if (rc != code)
        fail_msg("wanted %d, got %d %s", code, rc, err.message);
    if (rc == 0) {
        assert_string_equal(text, "a secret");
        assert_int_equal(size, 8);
    } else {
        assert_null(text);
        assert_null(strstr(err.message, "a secret"));
    }
    free(text);
}

static void keys_are_base64_or_hex(void **state)
{
    (void)state;
    static const char *const refused[] = {"",
                                          "hunter2",
                                          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", /* 31 bytes */
                                          KEY_1 "A",
                                          KEY_1 "\n",
                                          " " KEY_1,
                                          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                                          KEY_1_HEX "0",
                                          "zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
    struct keyring *ring = keyring_new();
    struct error err;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(keyring_add(ring, refused[i], "file:/run/key", &err), ERROR_INPUT);
        assert_non_null(strstr(err.message, "file:/run/key"));
        assert_null(strstr(err.message, "hunter2"));
    }
    assert_string_equal(keyring_current_id(ring), "");
    assert_int_equal(keyring_add(ring, KEY_1, "a", &err), 0);
    assert_string_equal(keyring_current_id(ring), KEY_1_ID);
    assert_int_equal(keyring_add(ring, KEY_1_HEX, "b", &err), 0); /* the same */
    assert_int_equal(keyring_add(ring, KEY_2, "c", &err), 0);
    assert_int_equal(keyring_add(ring, KEY_2_URLSAFE, "d", &err), 0);
    assert_string_equal(keyring_current_id(ring), KEY_1_ID);
    keyring_free(ring);
    keyring_free(NULL);
}

static void a_ring_has_a_bound(void **state)
{
    (void)state;
    struct keyring *ring = keyring_new();
    struct error err;
    char key[65];
    memset(key, '0', 64);
    key[64] = '\0';
    for (int i = 0; i < KEYRING_MAX_KEYS; i++) {
        key[0] = (char)('1' + i);
        assert_int_equal(keyring_add(ring, key, "k", &err), 0);
    }
    key[0] = 'f';
    assert_int_equal(keyring_add(ring, key, "k", &err), ERROR_LIMIT);
    keyring_free(ring);
}

static void what_is_sealed_opens_with_its_key_only(void **state)
{
    (void)state;
    struct keyring *one = ring_of(KEY_1, NULL), *two = ring_of(KEY_2, NULL), *both = ring_of(KEY_2, KEY_1);
    char id[KEYRING_ID_SIZE];
    char *sealed, *again;
    struct error err;
    assert_int_equal(keyring_seal(one, "storage_config", "a secret", 8, id, &sealed, &err), 0);
    assert_string_equal(id, KEY_1_ID);
    assert_null(strstr(sealed, "secret"));
    assert_opens(one, id, "storage_config", sealed, 0);
    assert_opens(both, id, "storage_config", sealed, 0);
    assert_opens(two, id, "storage_config", sealed, ERROR_NOT_FOUND);
    assert_opens(one, id, "something else", sealed, ERROR_CORRUPT);
    assert_opens(one, "0000000000000000", "storage_config", sealed, ERROR_NOT_FOUND);
    /* the wrong key under a right id */
    assert_opens(both, keyring_current_id(both), "storage_config", sealed, ERROR_CORRUPT);
    /* never the same text twice */
    assert_int_equal(keyring_seal(one, "storage_config", "a secret", 8, id, &again, &err), 0);
    assert_string_not_equal(sealed, again);
    free(sealed);
    free(again);
    keyring_free(one);
    keyring_free(two);
    keyring_free(both);
}

static void every_changed_character_is_noticed(void **state)
{
    (void)state;
    struct keyring *ring = ring_of(KEY_1, NULL);
    char id[KEYRING_ID_SIZE];
    char *sealed;
    struct error err;
    assert_int_equal(keyring_seal(ring, "c", "a secret", 8, id, &sealed, &err), 0);
    assert_int_equal(strlen(sealed), 48);
    for (size_t i = 0; sealed[i]; i++) {
        char was = sealed[i];
        sealed[i] = was == 'A' ? 'B' : 'A';
        assert_opens(ring, id, "c", sealed, ERROR_CORRUPT);
        sealed[i] = was;
    }
    for (size_t n = strlen(sealed); n > 0; n--) {
        sealed[n - 1] = '\0';
        assert_opens(ring, id, "c", sealed, ERROR_CORRUPT);
    }
    free(sealed);
    keyring_free(ring);
}

/* Made by Python's cryptography, AESGCM(key).encrypt(nonce, text, aad). */
static void others_agree_on_the_form(void **state)
{
    (void)state;
    struct keyring *ring = ring_of(KEY_1, NULL);
    assert_opens(ring, KEY_1_ID, "storage_config", "ZGVmZ2hpamtsbW5vKTutAxqbM+pr3xz5LZt0Q5pvVuMxCrie", 0);
    keyring_free(ring);
}

static void without_a_key(void **state)
{
    (void)state;
    struct keyring *ring = keyring_new();
    char id[KEYRING_ID_SIZE] = "x";
    char *sealed = NULL;
    struct error err;
    assert_int_equal(keyring_seal(ring, "c", "a secret", 8, id, &sealed, &err), ERROR_INPUT);
    assert_non_null(strstr(err.message, "BM_ENCRYPTION_KEY_REF"));
    assert_non_null(strstr(err.message, "openssl rand -base64 32"));
    assert_null(sealed);
    struct keyring *from = ring_of(KEY_1, NULL);
    keyring_move(ring, from);
    assert_string_equal(keyring_current_id(ring), KEY_1_ID);
    assert_true(keyring_has(ring, KEY_1_ID));
    assert_string_equal(keyring_current_id(from), "");
    keyring_free(ring);
    keyring_free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_base64_or_hex),
        cmocka_unit_test(a_ring_has_a_bound),
        cmocka_unit_test(what_is_sealed_opens_with_its_key_only),
        cmocka_unit_test(every_changed_character_is_noticed),
        cmocka_unit_test(others_agree_on_the_form),
        cmocka_unit_test(without_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/digest.h"

/* FIPS 180-4 examples */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sha256;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[DIGEST_SHA256_SIZE];
        struct digest *digest = digest_new();
        assert_non_null(digest);
        size_t half = strlen(cases[i].text) / 2;
        digest_update(digest, cases[i].text, half);
        digest_update(digest, cases[i].text + half, strlen(cases[i].text) - half);
        digest_final(digest, out);
        assert_string_equal(out, cases[i].sha256);

        digest_reset(digest);
        digest_update(digest, cases[i].text, strlen(cases[i].text));
        digest_final(digest, out);
        assert_string_equal(out, cases[i].sha256);
        digest_free(digest);
    }
    digest_free(NULL);
}

static void a_copy_goes_on_alone(void **state)
{
    (void)state;
    char out[DIGEST_SHA256_SIZE];
    struct digest *digest = digest_new(), *copy = digest_new();
    digest_update(copy, "thrown away", 11);
    digest_update(digest, "ab", 2);
    digest_copy(copy, digest);
    digest_update(digest, "c", 1);
    digest_update(copy, "cdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 54);
    digest_final(digest, out);
    assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_final(copy, out);
    assert_string_equal(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    digest_free(digest);
    digest_free(copy);
}

static void bytes_and_hex(void **state)
{
    (void)state;
    static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    unsigned char bytes[DIGEST_SHA256_BYTES], same[DIGEST_SHA256_BYTES];
    char out[DIGEST_SHA256_SIZE];
    struct digest *digest = digest_new();
    digest_update(digest, "abc", 3);
    digest_final_bytes(digest, bytes);
    digest_to_hex(bytes, out);
    assert_string_equal(out, hex);
    assert_true(digest_from_hex(hex, same));
    assert_memory_equal(same, bytes, sizeof bytes);
    digest_free(digest);

    static const char *const wrong[] = {"",
                                        "ba",
                                        "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
                                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
                                        "ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(digest_from_hex(wrong[i], same));
    assert_memory_equal(same, bytes, sizeof bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers),
                                       cmocka_unit_test(a_copy_goes_on_alone),
                                       cmocka_unit_test(bytes_and_hex)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

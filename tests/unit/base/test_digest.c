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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

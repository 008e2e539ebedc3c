#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "auth/fernet.h"
#include "auth/secret.h"

/* verify.json and invalid.json of github.com/fernet/spec; its cases about time are not ours: tokens don't
 * expire. */
#define KEY "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
#define TOKEN                                                                                                \
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="

static const struct {
    const char *description, *token, *key;
    int code;
} refused[] = {
    {"incorrect mac",
     "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
     KEY, ERROR_DENIED},
    {"too short", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==", KEY, ERROR_INPUT},
    {"invalid base64",
     "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
     KEY, ERROR_INPUT},
    {"payload size not multiple of block size",
     "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm", KEY,
     ERROR_INPUT},
    {"payload padding error",
     "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
     KEY, ERROR_INPUT},
    {"incorrect IV (causes padding error)",
     "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
     KEY, ERROR_INPUT},
    {"trailing characters after b64 padding", TOKEN "trailingdata", KEY, ERROR_INPUT},
    {"invalid characters in b64",
     "*gAAAAAAdwJ6wAAECAwQFBgcI!CQoLDA0ODy021?cpGVWKZ_eEwC@GM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
     KEY, ERROR_INPUT},
    {"invalid non-urlsafe characters in b64",
     "gAAAAAAdwJ6wAAEC/AwQFBgcICQoLDA0ODy+021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
     KEY, ERROR_INPUT},
    /* ours */
    {"empty", "", KEY, ERROR_INPUT},
    {"another key", TOKEN, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ERROR_DENIED},
    {"another version",
     "gQAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
     KEY, ERROR_INPUT},
    {"short key", TOKEN, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4Q==", ERROR_INPUT},
    {"key that is no base64", TOKEN, "hunter2", ERROR_INPUT},
    {"empty key", TOKEN, "", ERROR_INPUT},
};

static void what_the_specification_accepts(void **state)
{
    (void)state;
    char *text = NULL;
    struct error err = {0};
    assert_int_equal(fernet_decrypt(TOKEN, KEY, &text, &err), 0);
    assert_string_equal(text, "hello");
    secret_free(text);
    /* its expired one, of an empty text: passwords don't expire */
    text = NULL;
    assert_int_equal(
        fernet_decrypt(
            "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
            KEY, &text, &err),
        0);
    assert_string_equal(text, "");
    secret_free(text);
}

static void what_it_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char *text = NULL;
        struct error err = {0};
        int rc = fernet_decrypt(refused[i].token, refused[i].key, &text, &err);
        if (rc != refused[i].code)
            fail_msg("%s: %d %s", refused[i].description, rc, err.message);
        assert_null(text);
        assert_null(strstr(err.message, "hunter2"));
        assert_null(strstr(err.message, "gAAAA"));
    }
}

/* The signature is looked at before anything is decrypted: whatever is changed, it is the signature that is
 * wrong. */
static void changes_are_told_by_the_signature(void **state)
{
    (void)state;
    char token[] = TOKEN;
    for (size_t i = 2; i < sizeof TOKEN - 5; i++) {
        char was = token[i];
        char *text = NULL;
        struct error err = {0};
        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(fernet_decrypt(token, KEY, &text, &err), ERROR_DENIED);
        token[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_specification_accepts),
        cmocka_unit_test(what_it_refuses),
        cmocka_unit_test(changes_are_told_by_the_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "auth/aws_credentials.h"

static void forms_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id, *secret, *token;
    } cases[] = {
        {"{\"access_key_id\":\"I\",\"secret_access_key\":\"S\"}", "I", "S", NULL},
        {" \n{\"access_key_id\":\"I\",\"secret_access_key\":\"S\",\"session_token\":\"T\"}\n", "I", "S", "T"},
        {"{\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\",\"SessionToken\":\"T\"}", "I", "S", "T"},
        {"{\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Code\":1}", "I", "S", "T"},
        {"{\"aws_access_key_id\":\"I\",\"aws_secret_access_key\":\"S\",\"aws_session_token\":\"\"}", "I", "S",
         NULL},
        {"{\"keyId\":\"I\",\"applicationKey\":\"S\",\"keyName\":\"backup\"}", "I", "S", NULL},
        {"{\"applicationKeyId\":\"I\",\"applicationKey\":\"S\"}", "I", "S", NULL},
        {"{\"AWS_ACCESS_KEY_ID\":\"I\",\"AWS_SECRET_ACCESS_KEY\":\"S\",\"AWS_SESSION_TOKEN\":null}", "I", "S",
         NULL},
        {"[default]\naws_access_key_id = I\naws_secret_access_key = S\n", "I", "S", NULL},
        {"\xef\xbb\xbf# key of 2026\n[backup]\nAWS_ACCESS_KEY_ID=I\r\naws_secret_access_key=S\naws_session_token=T",
         "I", "S", "T"},
        {"[a]\naws_access_key_id=X\n[default]\naws_access_key_id=I\naws_secret_access_key=S\n[b]\n", "I", "S",
         NULL},
        {"[a]\naws_access_key_id=X\naws_access_key_id=I\n[a]\naws_secret_access_key=S\n", "I", "S", NULL},
        {"I:S", "I", "S", NULL},
        {"I:S:T=/+\n", "I", "S", "T=/+"},
        {"I:S:T:U\r\n", "I", "S", "T:U"},
        {"I:S:", "I", "S", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_credentials c;
        char *memory;
        struct error err = {0};
        if (aws_credentials_parse(cases[i].text, "file:/run/secrets/s3", &c, &memory, &err))
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_string_equal(c.access_key_id, cases[i].id);
        assert_string_equal(c.secret_access_key, cases[i].secret);
        if (cases[i].token)
            assert_string_equal(c.session_token, cases[i].token);
        else
            assert_null(c.session_token);
        assert_string_equal(c.source, "file:/run/secrets/s3");
        assert_int_equal(c.expires_at_ms, 0);
        aws_credentials_memory_free(memory);
    }
    aws_credentials_memory_free(NULL);
}

static void other_texts_are_refused_without_being_repeated(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " \n",
        "HIDDEN",
        "HIDDEN:",
        ":HIDDEN",
        "HIDDEN HIDDEN:S",
        "HIDDEN:S HIDDEN",
        "HIDDEN:S:T HIDDEN",
        "HIDDEN,:S",
        "HIDDEN:S\nHIDDEN:S",
        "aws_access_key_id=HIDDEN:\naws_secret_access_key=HIDDEN",
        "{",
        "{\"HIDDEN\"",
        "{}",
        "{\"access_key_id\":\"HIDDEN\"}",
        "{\"secret_access_key\":\"HIDDEN\"}",
        "{\"access_key_id\":\"\",\"secret_access_key\":\"HIDDEN\"}",
        "{\"access_key_id\":\"HIDDEN\",\"secret_access_key\":17}",
        "{\"access_key_id\":\"HIDDEN\",\"secret_access_key\":[\"HIDDEN\"]}",
        "{\"access_key_id\":\"I\",\"secret_access_key\":\"HIDDEN\\n\"}",
        "{\"access_key_id\":\"I\",\"secret_access_key\":\"S\",\"Token\":\"HIDDEN\\r\\nx: y\"}",
        "{\"access_key_id\":\"I\",\"access_key_id\":\"HIDDEN\",\"secret_access_key\":\"S\"}",
        "[\"HIDDEN\"]",
        "[default]\naws_access_key_id=HIDDEN\n",
        "[default]\nHIDDEN\n",
        "[default]\n[a]\naws_access_key_id=HIDDEN\naws_secret_access_key=HIDDEN\n",
        "[a]\naws_access_key_id=HIDDEN\naws_secret_access_key=HIDDEN\n[b]\n",
        "# only",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_credentials c = {.source = "untouched"};
        char *memory = NULL;
        struct error err = {0};
        if (aws_credentials_parse(cases[i], "env:S3_KEYS", &c, &memory, &err) != ERROR_INPUT)
            fail_msg("%s: accepted, or another error: %s", cases[i], err.message);
        assert_null(strstr(err.message, "HIDDEN"));
        assert_non_null(strstr(err.message, "env:S3_KEYS"));
        assert_false(err.retryable);
        assert_null(memory);
        assert_string_equal(c.source, "untouched");
    }
}

static void long_texts_are_refused(void **state)
{
    (void)state;
    enum { SIZE = 70000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    struct aws_credentials c;
    char *memory;
    memset(text, 'x', SIZE);
    text[1] = ':';
    text[SIZE - 1] = '\0';
    assert_int_equal(aws_credentials_parse(text, "env:X", &c, &memory, NULL), ERROR_LIMIT);
    text[60000] = '\0';
    assert_int_equal(aws_credentials_parse(text, "env:X", &c, &memory, NULL), ERROR_LIMIT);
    text[1000] = '\0';
    assert_int_equal(aws_credentials_parse(text, "env:X", &c, &memory, NULL), 0);
    aws_credentials_memory_free(memory);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_read),
        cmocka_unit_test(other_texts_are_refused_without_being_repeated),
        cmocka_unit_test(long_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

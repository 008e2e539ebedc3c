/* resume.c: what is kept of a multipart upload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "storage/part_plan.h"
#include "storage/s3/resume.h"

static const struct s3_resume sample = {
    .upload_id = "2~abc/\"\\",
    .endpoint = "https://s3.example.com",
    .bucket = "b",
    .key = "shop/\xc3\xa0 \"x\".gz",
    .sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    .checksum = "crc32c",
    .size = 99,
    .part_size = 5,
};

static void written_and_read(void **state)
{
    (void)state;
    const char *etags[] = {"\"e1\"", NULL, "\"e3\"", NULL, "e5"};
    struct s3_resume found;
    struct error err = {0};
    char *text = s3_resume_text(&sample, etags, 5);
    assert_non_null(text);
    assert_int_equal(s3_resume_parse(text, &found, &err), 0);
    assert_true(s3_resume_same(&sample, &found));
    assert_string_equal(found.upload_id, sample.upload_id);
    for (uint32_t i = 0; i < 7; i++) {
        const char *etag = s3_resume_etag(&found, i + 1);
        const char *expected = i < 5 ? etags[i] : NULL;
        assert_int_equal(etag == NULL, expected == NULL);
        if (expected)
            assert_string_equal(etag, expected);
    }
    assert_null(s3_resume_etag(&found, 0));
    s3_resume_deinit(&found);
    s3_resume_deinit(&found);
    free(text);

    struct s3_resume intent = sample;
    intent.upload_id = NULL;
    text = s3_resume_text(&intent, NULL, 0);
    assert_int_equal(s3_resume_parse(text, &found, &err), 0);
    assert_null(found.upload_id);
    s3_resume_deinit(&found);
    free(text);
}

/* As many parts as there can be, with ETags as stores make them: below the bound, and found again. */
static void the_largest(void **state)
{
    (void)state;
    static const char *etags[PART_PLAN_MAX_PARTS];
    for (size_t i = 0; i < PART_PLAN_MAX_PARTS; i++)
        etags[i] = "\"0123456789abcdef0123456789abcdef\"";
    char *text = s3_resume_text(&sample, etags, PART_PLAN_MAX_PARTS);
    struct s3_resume found;
    struct error err = {0};
    assert_in_range(strlen(text), 1, S3_RESUME_MAX / 4);
    assert_int_equal(s3_resume_parse(text, &found, &err), 0);
    assert_string_equal(s3_resume_etag(&found, PART_PLAN_MAX_PARTS), etags[0]);
    s3_resume_deinit(&found);
    free(text);
}

static void what_makes_another_upload(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        struct s3_resume other = sample;
        const char **const strings[] = {&other.endpoint, &other.bucket, &other.key, &other.sha256,
                                        &other.checksum};
        if (i < 5)
            *strings[i] = "other";
        other.size += i == 5;
        other.part_size = i == 6 ? 0 : other.part_size;
        assert_false(s3_resume_same(&sample, &other));
        assert_int_equal(s3_resume_same_bucket(&sample, &other), i > 1);
    }
    struct s3_resume other = sample;
    other.upload_id = NULL;
    assert_true(s3_resume_same(&sample, &other));
}

static void what_is_no_state(void **state)
{
    (void)state;
#define HEAD                                                                                                 \
    "\"endpoint\":\"e\",\"bucket\":\"b\",\"key\":\"k\",\"sha256\":\"s\",\"checksum\":\"none\","              \
    "\"part_size\":0,"
    static const char *const texts[] = {
        "",
        "{",
        "null",
        "[]",
        "{}",
        "{" HEAD "\"size\":1,\"parts\":[]}",
        "{" HEAD "\"size\":1,\"upload_id\":5,\"parts\":[]}",
        "{" HEAD "\"size\":-1,\"upload_id\":null,\"parts\":[]}",
        "{" HEAD "\"size\":\"1\",\"upload_id\":null,\"parts\":[]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":{}}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[5]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[0,\"e\"]]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[10001,\"e\"]]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[2,\"e\"],[1,\"e\"]]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[1,\"e\"],[1,\"e\"]]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[1,\"\"]]}",
        "{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[1,7]]}",
    };
    struct s3_resume found = {.size = 77};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err = {0};
        assert_int_equal(s3_resume_parse(texts[i], &found, &err), ERROR_INPUT);
        assert_null(found.json);
        assert_int_equal(found.size, 77);
    }
    struct error err = {0};
    assert_int_equal(
        s3_resume_parse("{" HEAD "\"size\":1,\"upload_id\":null,\"parts\":[[1,\"e\"]]}", &found, &err), 0);
    s3_resume_deinit(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read),
        cmocka_unit_test(the_largest),
        cmocka_unit_test(what_makes_another_upload),
        cmocka_unit_test(what_is_no_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

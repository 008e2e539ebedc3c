#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/sigv4.h"
#include "base/digest.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { VECTORS = 38, TIME = 1440938160 /* 2015-08-30T12:36:00Z */ };

/* ---- the published suite: in BM_TEST_VECTORS, or beside the checkout; it isn't part of the project ---- */

static const char *vectors_dir(void)
{
    const char *dir = getenv("BM_TEST_VECTORS");
    return dir ? dir : BM_SOURCE_DIR "/../shared/vectors";
}

struct vector {
    char *text; /* of request.txt, cut into pieces in place */
    json_t *context;
    struct sigv4_header headers[16];
    struct sigv4_query query[16];
    struct sigv4_request request;
    char body_sha256[DIGEST_SHA256_SIZE];
};

static char *read_vector(const char *name, const char *file)
{
    char path[512];
    snprintf(path, sizeof path, "%s/sigv4/%s/%s", vectors_dir(), name, file);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s: can't be opened", path);
    char *text = calloc(1, 64 * 1024);
    assert_non_null(text);
    size_t n = fread(text, 1, 64 * 1024 - 1, f);
    assert_true(n < 64 * 1024 - 1);
    fclose(f);
    return text;
}

static void assert_vector(const char *name, const char *file, const char *have)
{
    char *want = read_vector(name, file);
    if (strcmp(want, have) != 0)
        fail_msg("%s/%s:\n--- wanted\n%s\n--- got\n%s", name, file, want, have);
    free(want);
}

static void percent_decode(char *text)
{
    char *out = text;
    for (; *text; text++) {
        if (*text == '%') {
            *out++ = (char)strtol((char[]){text[1], text[2], '\0'}, NULL, 16);
            text += 2;
        } else
            *out++ = *text;
    }
    *out = '\0';
}

static void read_query(struct vector *v, char *query)
{
    for (char *pair; (pair = strsep(&query, "&")) != NULL;) {
        char *value = strchr(pair, '=');
        if (value)
            *value++ = '\0';
        percent_decode(pair);
        if (value)
            percent_decode(value);
        v->query[v->request.n_query++] = (struct sigv4_query){pair, value};
    }
}

/* The line "METHOD path?query HTTP/1.1"; the path may hold blanks. */
static void read_request_line(struct vector *v, char *line)
{
    char *path = strchr(line, ' '), *end = strstr(line, " HTTP/1.1");
    assert_non_null(path);
    assert_non_null(end);
    *path++ = *end = '\0';
    char *query = strchr(path, '?');
    if (query) {
        *query++ = '\0';
        read_query(v, query);
    }
    v->request.method = line;
    v->request.path = path;
}

/* A line that begins with a blank continues the value before it, as HTTP once had it. */
static const char *read_headers(struct vector *v, char *rest)
{
    char *line;
    while ((line = rest) != NULL && *line != '\0' && *line != '\n') {
        char *end = strchr(line, '\n');
        while (end && (end[1] == ' ' || end[1] == '\t')) {
            *end = ' ';
            end = strchr(end, '\n');
        }
        if (end)
            *end = '\0';
        rest = end ? end + 1 : NULL;
        char *value = strchr(line, ':');
        assert_non_null(value);
        *value++ = '\0';
        v->headers[v->request.n_headers++] = (struct sigv4_header){line, value};
    }
    return rest && *rest == '\n' ? rest + 1 : "";
}

static void hash_body(struct vector *v, const char *body)
{
    struct digest *digest = digest_new();
    assert_non_null(digest);
    digest_update(digest, body, strlen(body));
    digest_final(digest, v->body_sha256);
    digest_free(digest);
}

static const char *context_text(const struct vector *v, const char *key)
{
    return json_string_value(json_object_get(v->context, key));
}

static void vector_init(struct vector *v, const char *name)
{
    *v = (struct vector){.text = read_vector(name, "request.txt")};
    char *context = read_vector(name, "context.json");
    v->context = json_loads(context, 0, NULL);
    assert_non_null(v->context);
    free(context);
    char *rest = v->text, *line = strsep(&rest, "\n");
    read_request_line(v, line);
    hash_body(v, read_headers(v, rest));

    json_t *credentials = json_object_get(v->context, "credentials");
    v->request.headers = v->headers;
    v->request.query = v->query;
    v->request.payload_hash = v->body_sha256;
    v->request.region = context_text(v, "region");
    v->request.service = context_text(v, "service");
    v->request.access_key_id = json_string_value(json_object_get(credentials, "access_key_id"));
    v->request.secret_access_key = json_string_value(json_object_get(credentials, "secret_access_key"));
    v->request.session_token = json_string_value(json_object_get(credentials, "token"));
    v->request.token_unsigned = json_is_true(json_object_get(v->context, "omit_session_token"));
    v->request.path_rule =
        json_is_false(json_object_get(v->context, "normalize")) ? SIGV4_PATH_ONCE : SIGV4_PATH_NORMALISE;
    v->request.time_s = TIME;
    assert_string_equal(context_text(v, "timestamp"), "2015-08-30T12:36:00Z");
}

static void vector_deinit(struct vector *v)
{
    json_decref(v->context);
    free(v->text);
}

static void check_header_signature(const char *name)
{
    struct vector v;
    struct sigv4_signature signature;
    struct strbuf canonical, to_sign;
    struct error err = {0};
    vector_init(&v, name);
    strbuf_init(&canonical, 64 * 1024);
    strbuf_init(&to_sign, 64 * 1024);
    if (json_is_true(json_object_get(v.context, "sign_body")))
        v.headers[v.request.n_headers++] = (struct sigv4_header){"X-Amz-Content-SHA256", v.body_sha256};
    if (sigv4_sign(&v.request, &signature, &canonical, &to_sign, &err))
        fail_msg("%s: %s", name, err.message);
    assert_vector(name, "header-canonical-request.txt", strbuf_cstr(&canonical));
    assert_vector(name, "header-string-to-sign.txt", strbuf_cstr(&to_sign));
    assert_string_equal(signature.date, "20150830T123600Z");
    char *hex = strstr(signature.authorization, "Signature=");
    assert_non_null(hex);
    assert_vector(name, "header-signature.txt", hex + strlen("Signature="));
    char *sent = read_vector(name, "header-signed-request.txt");
    if (strstr(sent, signature.authorization) == NULL)
        fail_msg("%s: %s is not in the signed request", name, signature.authorization);
    free(sent);
    sigv4_signature_deinit(&signature);
    strbuf_deinit(&canonical);
    strbuf_deinit(&to_sign);
    vector_deinit(&v);
}

/* Each parameter of query is one of the signed request's, and their number is the same: only the order
 * differs. */
static void assert_same_parameters(const char *name, const char *query)
{
    char *sent = read_vector(name, "query-signed-request.txt"), *copy = strdup(query), *rest = copy;
    char *line = strtok(sent, "\n"), *end = strstr(line, " HTTP/1.1");
    assert_non_null(end);
    *end = '\0';
    char *theirs = strchr(line, '?');
    assert_non_null(theirs);
    if (strstr(theirs, "\xe1\x88\xb4") == NULL) /* one case sends a parameter's name unencoded */
        assert_int_equal(strlen(theirs + 1), strlen(query));
    *theirs = '&';
    for (char *pair; (pair = strsep(&rest, "&")) != NULL;) {
        char *found = NULL;
        for (char *at = theirs; !found && (at = strstr(at, pair)) != NULL; at++)
            found = at[-1] == '&' && (at[strlen(pair)] == '&' || at[strlen(pair)] == '\0') ? at : NULL;
        if (!found && strcmp(pair, "%E1%88%B4=bar") != 0)
            fail_msg("%s: %s is not in the signed request", name, pair);
    }
    free(copy);
    free(sent);
}

static void check_query_signature(const char *name)
{
    struct vector v;
    struct strbuf query, canonical, to_sign;
    struct error err = {0};
    vector_init(&v, name);
    strbuf_init(&query, 64 * 1024);
    strbuf_init(&canonical, 64 * 1024);
    strbuf_init(&to_sign, 64 * 1024);
    int64_t expires_s = json_integer_value(json_object_get(v.context, "expiration_in_seconds"));
    if (sigv4_presign(&v.request, expires_s, &query, &canonical, &to_sign, &err))
        fail_msg("%s: %s", name, err.message);
    assert_vector(name, "query-canonical-request.txt", strbuf_cstr(&canonical));
    assert_vector(name, "query-string-to-sign.txt", strbuf_cstr(&to_sign));
    char *hex = strstr(query.data, "&X-Amz-Signature=");
    assert_non_null(hex);
    assert_vector(name, "query-signature.txt", hex + strlen("&X-Amz-Signature="));
    assert_same_parameters(name, query.data);
    strbuf_deinit(&query);
    strbuf_deinit(&canonical);
    strbuf_deinit(&to_sign);
    vector_deinit(&v);
}

static int is_case(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && entry->d_type == DT_DIR;
}

static void all_published_cases(void **state)
{
    (void)state;
    struct dirent **names;
    char dir[512];
    snprintf(dir, sizeof dir, "%s/sigv4", vectors_dir());
    if (access(dir, F_OK)) {
        print_message("skipped: %s isn't there; BM_TEST_VECTORS names the folder of published test vectors\n",
                      dir);
        skip();
    }
    int n = scandir(dir, &names, is_case, alphasort);
    assert_int_equal(n, VECTORS);
    for (int i = 0; i < n; i++) {
        check_header_signature(names[i]->d_name);
        check_query_signature(names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

/* ---- S3 ---- */

/* AWS's own example of 2013-05-24, as its documentation of S3 prints it. */
static struct sigv4_request s3_example(const struct sigv4_header *headers, int n_headers)
{
    return (struct sigv4_request){.method = "GET",
                                  .path = "/test.txt",
                                  .headers = headers,
                                  .n_headers = n_headers,
                                  .payload_hash = EMPTY_SHA256,
                                  .region = "us-east-1",
                                  .service = "s3",
                                  .access_key_id = "AKIAIOSFODNN7EXAMPLE",
                                  .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                  .time_s = 1369353600,
                                  .path_rule = SIGV4_PATH_ONCE};
}

static const struct sigv4_header host_only[] = {{"Host", "examplebucket.s3.amazonaws.com"}};

static void s3_get_object(void **state)
{
    (void)state;
    static const struct sigv4_header headers[] = {{"Host", "examplebucket.s3.amazonaws.com"},
                                                  {"Range", "bytes=0-9"},
                                                  {"x-amz-content-sha256", EMPTY_SHA256}};
    struct sigv4_request request = s3_example(headers, 3);
    struct sigv4_signature signature;
    assert_int_equal(sigv4_sign(&request, &signature, NULL, NULL, NULL), 0);
    assert_string_equal(signature.date, "20130524T000000Z");
    assert_string_equal(
        signature.authorization,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    sigv4_signature_deinit(&signature);
    assert_null(signature.authorization);
    sigv4_signature_deinit(&signature);
}

static void s3_presigned_url(void **state)
{
    (void)state;
    struct sigv4_request request = s3_example(host_only, 1);
    request.payload_hash = "UNSIGNED-PAYLOAD";
    struct strbuf query;
    strbuf_init(&query, 4096);
    assert_int_equal(sigv4_presign(&request, 86400, &query, NULL, NULL, NULL), 0);
    assert_string_equal(
        query.data,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
        "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&"
        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    strbuf_deinit(&query);
}

/* One line of the canonical request, counted from 0. */
static void assert_line(const struct sigv4_request *request, int line, const char *want)
{
    struct strbuf canonical;
    struct sigv4_signature signature;
    struct error err = {0};
    strbuf_init(&canonical, 64 * 1024);
    if (sigv4_sign(request, &signature, &canonical, NULL, &err))
        fail_msg("%s: %s", request->path, err.message);
    char *at = canonical.data;
    for (; line > 0 && at; line--)
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    assert_non_null(at);
    at[strcspn(at, "\n")] = '\0';
    assert_string_equal(at, want);
    sigv4_signature_deinit(&signature);
    strbuf_deinit(&canonical);
}

static void s3_paths_are_encoded_once_and_kept(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "/"},
        {"/", "/"},
        {"/a b/c+d", "/a%20b/c%2Bd"},
        {"/a//b/./../c/", "/a//b/./../c/"},
        {"/100%/x%20y", "/100%25/x%2520y"},
        {"/\xe1\x88\xb4", "/%E1%88%B4"},
        {"/a\n\x7f\xff!*'()&=:;@,$#[]?\"\\",
         "/a%0A%7F%FF%21%2A%27%28%29%26%3D%3A%3B%40%2C%24%23%5B%5D%3F%22%5C"},
        {"/A-Z_a.z~0", "/A-Z_a.z~0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_request request = s3_example(host_only, 1);
        request.path = cases[i][0];
        assert_line(&request, 1, cases[i][1]);
    }
}

static void other_paths_are_normalised(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "/"},
        {"/", "/"},
        {"//", "/"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/a/..", "/"},
        {"/a/./b", "/a/b"},
        {"/a/b/../c/", "/a/c/"},
        {"/a%20b", "/a%2520b"},
        {"/.a/..b", "/.a/..b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_request request = s3_example(host_only, 1);
        request.path = cases[i][0];
        request.path_rule = SIGV4_PATH_NORMALISE;
        assert_line(&request, 1, cases[i][1]);
    }
}

static void parameters_are_sorted_by_encoded_name_then_value(void **state)
{
    (void)state;
    static const struct sigv4_query query[] = {
        {"uploadId", "a/b=c"}, {"partNumber", "10"}, {"uploads", NULL}, {"x", "2"},
        {"x", "10"},           {"x-y", ""},          {"\xc3\xa9", "1"}, {"Z", "1"}};
    struct sigv4_request request = s3_example(host_only, 1);
    request.query = query;
    request.n_query = 8;
    assert_line(&request, 2, "%C3%A9=1&Z=1&partNumber=10&uploadId=a%2Fb%3Dc&uploads=&x=10&x=2&x-y=");
}

/* Sorting whole "name:value" lines would put the longer name first. */
static void headers_are_sorted_by_name_alone(void **state)
{
    (void)state;
    static const struct sigv4_header headers[] = {{"x-amz-server-side-encryption-aws-kms-key-id", "k"},
                                                  {"X-Amz-Server-Side-Encryption", "aws:kms"},
                                                  {"Host", "h:9000"}};
    struct sigv4_request request = s3_example(headers, 3);
    assert_line(&request, 3, "host:h:9000");
    assert_line(&request, 5, "x-amz-server-side-encryption:aws:kms");
    assert_line(&request, 6, "x-amz-server-side-encryption-aws-kms-key-id:k");
    assert_line(&request, 8,
                "host;x-amz-date;x-amz-server-side-encryption;x-amz-server-side-encryption-aws-kms-key-id");
}

static void values_are_trimmed_squeezed_and_joined(void **state)
{
    (void)state;
    static const struct sigv4_header headers[] = {{"Host", "h"},
                                                  {"My-Header", " \t b   \t c "},
                                                  {"a", ""},
                                                  {"MY-HEADER", "a"},
                                                  {"my-header", "\xc3\xa9  x"}};
    struct sigv4_request request = s3_example(headers, 5);
    assert_line(&request, 3, "a:");
    assert_line(&request, 5, "my-header:b c,a,\xc3\xa9 x");
    assert_line(&request, 8, "a;host;my-header;x-amz-date");
}

static void tokens_are_signed(void **state)
{
    (void)state;
    struct sigv4_request request = s3_example(host_only, 1);
    request.session_token = "to/ken==";
    assert_line(&request, 5, "x-amz-security-token:to/ken==");
    request.session_token = "";
    assert_line(&request, 6, "host;x-amz-date");
    request.payload_hash = "UNSIGNED-PAYLOAD";
    request.session_token = "to/ken==";
    struct strbuf query;
    strbuf_init(&query, 4096);
    assert_int_equal(sigv4_presign(&request, 1, &query, NULL, NULL, NULL), 0);
    assert_non_null(strstr(query.data, "&X-Amz-Security-Token=to%2Fken%3D%3D&X-Amz-SignedHeaders=host&"));
    strbuf_deinit(&query);
}

/* ---- what can't be signed ---- */

static void assert_refused(const struct sigv4_request *request, int code)
{
    struct sigv4_signature signature = {.authorization = NULL};
    struct strbuf canonical;
    struct error err = {0};
    strbuf_init(&canonical, 1 << 20);
    assert_int_equal(sigv4_sign(request, &signature, &canonical, NULL, &err), code);
    assert_int_equal(err.code, code);
    assert_false(err.retryable);
    assert_null(strstr(err.message, "wJalr"));
    assert_null(strstr(err.message, "HIDDEN"));
    assert_null(signature.authorization);
    assert_int_equal(canonical.size, 0);
    strbuf_deinit(&canonical);
}

static void headers_that_cannot_be_signed(void **state)
{
    (void)state;
    static const struct sigv4_header cases[][2] = {
        {{"x", "1"}, {"y", "2"}}, /* no host */
        {{"Host", "h"}, {"x", "HIDDEN\r\ny: 1"}},
        {{"Host", "h"}, {"x", "a\nHIDDEN"}},
        {{"Host", "h"}, {"x", "a\x01HIDDEN"}},
        {{"Host", "h"}, {"x", NULL}},
        {{"Host", "h"}, {"x y", "HIDDEN"}},
        {{"Host", "h"}, {"x:HIDDEN", "1"}},
        {{"Host", "h"}, {"", "HIDDEN"}},
        {{"Host", "h"}, {NULL, "HIDDEN"}},
        {{"Host", "h"}, {"X-Amz-Date", "HIDDEN"}},
        {{"Host", "h"}, {"x-amz-security-token", "HIDDEN"}},
        {{"Host", "h"}, {"Authorization", "HIDDEN"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_request request = s3_example(cases[i], 2);
        assert_refused(&request, ERROR_INPUT);
    }
}

static void requests_that_cannot_be_signed(void **state)
{
    (void)state;
    struct sigv4_request good = s3_example(host_only, 1), r;
#define REFUSED(field, value)                                                                                \
    r = good;                                                                                                \
    r.field = value;                                                                                         \
    assert_refused(&r, ERROR_INPUT)
    REFUSED(method, "");
    REFUSED(method, "GET /x");
    REFUSED(path, "relative");
    REFUSED(payload_hash, NULL);
    REFUSED(payload_hash, "a\nb");
    REFUSED(region, "");
    REFUSED(region, NULL);
    REFUSED(region, "eu/HIDDEN");
    REFUSED(service, "s3\n");
    REFUSED(access_key_id, NULL);
    REFUSED(access_key_id, "HIDDEN\r\nx: y");
    REFUSED(access_key_id, "HIDDEN, x");
    REFUSED(secret_access_key, "");
    REFUSED(session_token, "HIDDEN\ntoken");
    REFUSED(time_s, -1);
    REFUSED(time_s, INT64_MAX);
#undef REFUSED
}

static void bounds_hold(void **state)
{
    (void)state;
    struct sigv4_header headers[SIGV4_MAX_HEADERS + 1];
    struct sigv4_query query[SIGV4_MAX_QUERY + 1];
    for (int i = 0; i <= SIGV4_MAX_HEADERS; i++)
        headers[i] = (struct sigv4_header){"host", "h"};
    for (int i = 0; i <= SIGV4_MAX_QUERY; i++)
        query[i] = (struct sigv4_query){"q", "1"};
    struct sigv4_request request = s3_example(headers, SIGV4_MAX_HEADERS);
    request.query = query;
    request.n_query = SIGV4_MAX_QUERY;
    request.session_token = "t";
    assert_line(&request, 0, "GET");
    request.n_query++;
    assert_refused(&request, ERROR_LIMIT);
    request.n_query = 0;
    request.n_headers++;
    assert_refused(&request, ERROR_LIMIT);

    char *large = malloc(SIGV4_MAX_REQUEST + 2);
    assert_non_null(large);
    memset(large, '/', SIGV4_MAX_REQUEST + 1);
    large[SIGV4_MAX_REQUEST + 1] = '\0';
    request = s3_example(host_only, 1);
    request.path = large;
    assert_refused(&request, ERROR_LIMIT);
    request.path = "/";
    request.query = &(struct sigv4_query){"q", large};
    request.n_query = 1;
    assert_refused(&request, ERROR_LIMIT);
    request.n_query = 0;
    request.headers = (struct sigv4_header[]){{"Host", large}};
    assert_refused(&request, ERROR_LIMIT);
    request.headers = host_only;
    request.secret_access_key = large;
    assert_refused(&request, ERROR_LIMIT);
    free(large);
}

static void presigned_urls_expire_within_a_week(void **state)
{
    (void)state;
    static const struct {
        int64_t expires_s;
        int code;
    } cases[] = {{0, ERROR_INPUT}, {-1, ERROR_INPUT}, {1, 0}, {604800, 0}, {604801, ERROR_INPUT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_request request = s3_example(host_only, 1);
        struct strbuf query;
        strbuf_init(&query, 4096);
        assert_int_equal(sigv4_presign(&request, cases[i].expires_s, &query, NULL, NULL, NULL),
                         cases[i].code);
        assert_int_equal(query.size > 0, cases[i].code == 0);
        strbuf_deinit(&query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_published_cases),
        cmocka_unit_test(s3_get_object),
        cmocka_unit_test(s3_presigned_url),
        cmocka_unit_test(s3_paths_are_encoded_once_and_kept),
        cmocka_unit_test(other_paths_are_normalised),
        cmocka_unit_test(parameters_are_sorted_by_encoded_name_then_value),
        cmocka_unit_test(headers_are_sorted_by_name_alone),
        cmocka_unit_test(values_are_trimmed_squeezed_and_joined),
        cmocka_unit_test(tokens_are_signed),
        cmocka_unit_test(headers_that_cannot_be_signed),
        cmocka_unit_test(requests_that_cannot_be_signed),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(presigned_urls_expire_within_a_week),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

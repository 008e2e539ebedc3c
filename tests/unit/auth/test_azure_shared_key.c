/*
 * Strings to sign: the first three are the examples of Microsoft's "Authorize with Shared Key", the others
 * were written by hand from its rules. Signatures: Python's standard library over these strings and the
 * emulator's published key,
 *
 *   base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest())
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/azure_shared_key.h"
#include "auth/base64.h"

static const char emulator_key[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#define DATE                                                                                                 \
    {                                                                                                        \
        "x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"                                                         \
    }
#define SIGNED_DATE "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
#define NOTHING_11 "\n\n\n\n\n\n\n\n\n\n\n"

struct vector {
    const char *method, *account, *path;
    struct azure_shared_key_pair query[6], headers[8];
    uint64_t content_length;
    const char *text, *signature;
};

static const struct vector vectors[] = {
    {"GET",
     "myaccount",
     "/mycontainer",
     {{"restype", "container"}, {"comp", "metadata"}, {"timeout", "20"}},
     {DATE, {"x-ms-version", "2015-02-21"}},
     0,
     "GET\n" NOTHING_11 SIGNED_DATE "x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\n"
     "restype:container\ntimeout:20",
     "1u9lui2jDxj0+fpbHjQ5m5NnastJRSYM+PSmfi8TXx4="},
    {"PUT", /* an empty body isn't 0 */
     "myaccount",
     "/mycontainer",
     {{"restype", "container"}, {"timeout", "30"}},
     {{"x-ms-version", "2015-02-21"}, DATE, {"Content-Length", "0"}},
     0,
     "PUT\n" NOTHING_11 SIGNED_DATE "x-ms-version:2015-02-21\n/myaccount/mycontainer\nrestype:container\n"
     "timeout:30",
     "xGXG0xDZ4LffNUrgvdRqISw8BZe4MJz8EbGZmcCE038="},
    {"GET", /* one name several times, in any case */
     "myaccount",
     "/mycontainer",
     {{"restype", "container"},
      {"comp", "list"},
      {"include", "snapshots"},
      {"Include", "metadata"},
      {"include", "uncommittedblobs"}},
     {DATE, {"x-ms-version", "2021-12-02"}},
     0,
     "GET\n" NOTHING_11 SIGNED_DATE "x-ms-version:2021-12-02\n/myaccount/mycontainer\ncomp:list\n"
     "include:metadata,snapshots,uncommittedblobs\nrestype:container",
     "hebXu4YDWhlfsrpUII8SjMZQDBxokuD9GtGEDKVNmKk="},
    {"PUT", /* an emulator: the account twice; the path as on the wire; headers trimmed, and empty ones */
     "devstoreaccount1",
     "/devstoreaccount1/backups/a%20b/%C3%A4.dump",
     {{0}},
     {{"X-MS-Version", "2021-12-02"},
      {"x-ms-meta-sha256", " \tabc  d "},
      {"x-ms-meta-empty", NULL},
      {"If-None-Match", "*"},
      DATE,
      {"x-ms-blob-type", "BlockBlob"},
      {"content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="},
      {"Content-Type", "application/octet-stream"}},
     11,
     "PUT\n\n\n11\nXrY7u+Ae7tCTyyK7j1rNww==\napplication/octet-stream\n\n\n\n*\n\n\n"
     "x-ms-blob-type:BlockBlob\n" SIGNED_DATE "x-ms-meta-empty:\nx-ms-meta-sha256:abc  d\n"
     "x-ms-version:2021-12-02\n/devstoreaccount1/devstoreaccount1/backups/a%20b/%C3%A4.dump",
     "J1angpGX5MgK48wfNQm7vF+pKunpxHq9oLOYdcKKpLY="},
    {"GET", /* Date doesn't count beside x-ms-date, nor do headers of no name in the list */
     "myaccount",
     "/backups/x",
     {{0}},
     {{"Range", "bytes=0-99"},
      {"If-Match", "\"0x8D1\""},
      {"Date", "Mon, 01 Jan 2024 00:00:00 GMT"},
      {"Accept", "*/*"},
      DATE,
      {"x-ms-version", "2021-12-02"}},
     0,
     "GET\n\n\n\n\n\n\n\n\"0x8D1\"\n\n\nbytes=0-99\n" SIGNED_DATE
     "x-ms-version:2021-12-02\n/myaccount/backups/x",
     "kEyUhKxEESfJ6Oss4eKUHDVN70pqP4Bfa4nHTG9NytA="},
    {"PUT", /* a block: values of the query decoded */
     "myaccount",
     "/backups/x",
     {{"comp", "block"}, {"blockid", "MDA+/w=="}},
     {DATE, {"x-ms-version", "2021-12-02"}},
     UINT64_C(1) << 30,
     "PUT\n\n\n1073741824\n\n\n\n\n\n\n\n\n" SIGNED_DATE
     "x-ms-version:2021-12-02\n/myaccount/backups/x\nblockid:MDA+/w==\ncomp:block",
     "wTorCxidVCU5Dh/lBJOjlGl9SVQiiO+Mz+ju7M5CG5g="},
    {"GET",
     "myaccount",
     "/backups/x",
     {{0}},
     {DATE,
      {"x-ms-version", "2021-12-02"},
      {"Content-Encoding", "gzip"},
      {"Content-Language", "de"},
      {"If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT"},
      {"If-Unmodified-Since", "Tue, 02 Jan 2024 00:00:00 GMT"}},
     0,
     "GET\ngzip\nde\n\n\n\n\nMon, 01 Jan 2024 00:00:00 GMT\n\n\nTue, 02 Jan 2024 00:00:00 GMT\n\n" SIGNED_DATE
     "x-ms-version:2021-12-02\n/myaccount/backups/x",
     "h1brirUOXPLkOMVwF6JRb3AowL1X/mO+3BtpnfbE0J0="},
};

static int count(const struct azure_shared_key_pair *pairs, int max)
{
    int n = 0;
    while (n < max && pairs[n].name)
        n++;
    return n;
}

static void signs_as_published(void **state)
{
    (void)state;
    unsigned char *key;
    size_t key_size;
    assert_int_equal(base64_decode(emulator_key, BASE64_STANDARD, &key, &key_size), 0);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const struct vector *v = &vectors[i];
        struct azure_shared_key_request r = {.method = v->method,
                                             .path = v->path,
                                             .query = v->query,
                                             .n_query = count(v->query, 6),
                                             .headers = v->headers,
                                             .n_headers = count(v->headers, 8),
                                             .content_length = v->content_length,
                                             .account = v->account,
                                             .key = key,
                                             .key_size = key_size};
        struct strbuf text, authorization;
        char wanted[160];
        strbuf_init(&text, AZURE_SHARED_KEY_MAX_TEXT);
        strbuf_init(&authorization, 256);
        assert_int_equal(azure_shared_key_sign(&r, &authorization, &text, NULL), 0);
        assert_string_equal(strbuf_cstr(&text), v->text);
        snprintf(wanted, sizeof wanted, "SharedKey %s:%s", v->account, v->signature);
        assert_string_equal(strbuf_cstr(&authorization), wanted);
        strbuf_deinit(&text);
        strbuf_deinit(&authorization);
    }
    free(key);
}

static void refuses_what_cannot_be_signed(void **state)
{
    (void)state;
    static const struct {
        struct azure_shared_key_pair headers[3], query[2];
        int code;
    } cases[] = {
        {{{"x-ms-version", "1"}}, {{0}}, ERROR_INPUT},
        {{{"Date", "x"}}, {{0}}, ERROR_INPUT},
        {{DATE, {"x-ms-meta-a", "1\nx-ms-meta-b:2"}}, {{0}}, ERROR_INPUT},
        {{DATE, {"If-Match", "1\r"}}, {{0}}, ERROR_INPUT},
        {{DATE, {"x-ms-meta-a\n", "1"}}, {{0}}, ERROR_INPUT},
        {{DATE, {"Range", "bytes=0-1"}, {"range", "bytes=0-2"}}, {{0}}, ERROR_INPUT},
        {{DATE}, {{"comp", "a\nb"}}, ERROR_INPUT},
        {{DATE}, {{"comp", "a"}}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct azure_shared_key_request r = {.method = "GET",
                                             .path = "/c",
                                             .query = cases[i].query,
                                             .n_query = count(cases[i].query, 2),
                                             .headers = cases[i].headers,
                                             .n_headers = count(cases[i].headers, 3),
                                             .account = "a",
                                             .key = (const unsigned char *)"k",
                                             .key_size = 1};
        struct strbuf authorization;
        struct error err = {0};
        strbuf_init(&authorization, 256);
        assert_int_equal(azure_shared_key_sign(&r, &authorization, NULL, &err), cases[i].code);
        assert_int_equal(authorization.size > 0, cases[i].code == 0);
        strbuf_deinit(&authorization);
    }
}

static void bounds_hold(void **state)
{
    (void)state;
    static struct azure_shared_key_pair headers[AZURE_SHARED_KEY_MAX_HEADERS + 1] = {DATE};
    static char names[AZURE_SHARED_KEY_MAX_HEADERS + 1][16], value[2048];
    memset(value, 'v', sizeof value - 1);
    for (int i = 1; i <= AZURE_SHARED_KEY_MAX_HEADERS; i++) {
        snprintf(names[i], sizeof names[i], "x-ms-meta-%d", i);
        headers[i] = (struct azure_shared_key_pair){names[i], value};
    }
    struct azure_shared_key_request r = {
        .method = "GET", .path = "/c", .headers = headers, .account = "a", .key = (const unsigned char *)""};
    static const struct {
        int n_headers, n_query, code;
    } cases[] = {{10, 0, 0}, {40, 0, ERROR_LIMIT}, {65, 0, ERROR_LIMIT}, {1, 33, ERROR_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf authorization;
        strbuf_init(&authorization, 256);
        r.n_headers = cases[i].n_headers;
        r.n_query = cases[i].n_query;
        r.query = headers;
        assert_int_equal(azure_shared_key_sign(&r, &authorization, NULL, NULL), cases[i].code);
        strbuf_deinit(&authorization);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_published),
        cmocka_unit_test(refuses_what_cannot_be_signed),
        cmocka_unit_test(bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* protocol.c against the scripted Azure: who asks, and each answer, good or bad, ends in the right class. */
#include "fake_azure.h"

#include <openssl/hmac.h>

#include "base/percent.h"

#define KEY "shop/a b+c/\xc3\xa0~(1)=*.gz"

static const struct object_header block_blob = {"x-ms-blob-type", "BlockBlob"};
static const struct object_ask put_small = {.operation = "Put Blob",
                                            .method = "PUT",
                                            .key = KEY,
                                            .headers = &block_blob,
                                            .n_headers = 1,
                                            .body = "hello",
                                            .body_fd = -1,
                                            .body_size = 5,
                                            .flags = AZURE_ASK_ABOUT_BLOB};
static const struct object_ask get_blob = {
    .operation = "Get Blob", .method = "GET", .key = KEY, .body_fd = -1, .flags = AZURE_ASK_ABOUT_BLOB};
static const struct object_ask head_blob = {.operation = "Get Blob Properties",
                                            .method = "HEAD",
                                            .key = KEY,
                                            .body_fd = -1,
                                            .flags = AZURE_ASK_ABOUT_BLOB};
static const struct object_query list_query[] = {
    {"restype", "container"}, {"comp", "list"}, {"prefix", "sh&op"}};
static const struct object_ask list_blobs = {.operation = "List Blobs",
                                             .method = "GET",
                                             .query = list_query,
                                             .n_query = 3,
                                             .body_fd = -1,
                                             .expect_root = "EnumerationResults"};

static void expect_call(const struct call_outcome *o, int code, bool retryable, const char *text)
{
    if (o->err.code != code || (code && o->err.retryable != retryable) ||
        (text && strstr(o->err.message, text) == NULL))
        fail_msg("expected %d (%s), got %d, retryable %d: %s", code, text ? text : "", o->err.code,
                 o->err.retryable, o->err.message);
}

/* What people read never shows what is secret, nor where a URL leads in full. */
static void expect_no_secret(const struct call_outcome *o)
{
    static const char *const secrets[] = {AZURE_KEY, "SharedKey", "fake-token", "Bearer", "sig=", "?"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        if (strstr(o->err.message, secrets[i]))
            fail_msg("'%s' in: %s", secrets[i], o->err.message);
}

/* An account SAS of the fake's account, as Microsoft's "Create an account SAS" makes it. */
static void sas(char *out, size_t size, const char *permissions, const char *expiry)
{
    unsigned char key[64], mac[32];
    char text[512], base64[48];
    unsigned n = 0;
    struct strbuf encoded;
    int key_size = EVP_DecodeBlock(key, (const unsigned char *)AZURE_KEY, (int)strlen(AZURE_KEY));
    for (const char *end = &AZURE_KEY[strlen(AZURE_KEY)]; end[-1] == '='; end--)
        key_size--;
    snprintf(text, sizeof text, "fakeaccount\n%s\nb\nsco\n\n%s\n\nhttps,http\n2021-12-02\n\n", permissions,
             expiry);
    HMAC(EVP_sha256(), key, key_size, (const unsigned char *)text, strlen(text), mac, &n);
    EVP_EncodeBlock((unsigned char *)base64, mac, (int)n);
    strbuf_init(&encoded, 256);
    percent_encode(&encoded, base64, strlen(base64), false);
    snprintf(out, size, "sv=2021-12-02&ss=b&srt=sco&sp=%s&se=%s&spr=https,http&sig=%s", permissions, expiry,
             strbuf_cstr(&encoded));
    strbuf_deinit(&encoded);
}

static void who_asks(void **state)
{
    (void)state;
    char signature[512];
    static const struct {
        const char *name, *members;
        bool https;
    } cases[] = {
        {"sealed key", AZURE_CONTAINER, false},
        {"sealed key, TLS", AZURE_CONTAINER, true},
        {"key by reference", "\"container\": \"container\", \"credentials_ref\": \"env:BM_TEST_AZURE_KEY\"",
         false},
        {"SAS by reference", "\"container\": \"container\", \"credentials_ref\": \"env:BM_TEST_AZURE_SAS\"",
         false},
        {"token by reference",
         "\"container\": \"container\", \"credentials_ref\": \"env:BM_TEST_AZURE_TOKEN\"", true},
    };
    sas(signature, sizeof signature, "rwdlacti", "2099-01-01T00:00:00Z");
    setenv("BM_TEST_AZURE_KEY", AZURE_KEY, 1);
    setenv("BM_TEST_AZURE_SAS", signature, 1);
    setenv("BM_TEST_AZURE_TOKEN", "{\"access_token\": \"fake-token\"}", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_reset();
        struct world *world = azure_world_open(cases[i].members, cases[i].https);
        static const struct object_ask *const asks[] = {&put_small, &get_blob, &head_blob, &list_blobs};
        for (size_t k = 0; k < sizeof asks / sizeof *asks; k++) {
            struct call_outcome o = azure_call(world, asks[k]);
            if (o.err.code)
                fail_msg("%s: %s", cases[i].name, o.err.message);
            if (asks[k] == &get_blob)
                assert_string_equal(o.body, "hello");
            free(o.body);
        }
        assert_int_equal(fake_count(NULL), 4);
        world_close(world);
    }
}

static void a_connection_string_says_where(void **state)
{
    (void)state;
    char text[1024];
    fake_reset();
    snprintf(text, sizeof text,
             "DefaultEndpointsProtocol=http;AccountName=fakeaccount;AccountKey=%s;"
             "BlobEndpoint=http://127.0.0.1:%d/fakeaccount;",
             AZURE_KEY, fake.http);
    setenv("BM_TEST_AZURE_STRING", text, 1);
    char sealed[1200];
    snprintf(sealed, sizeof sealed, "{\"container\": \"container\", \"connection_string\": \"%s\"}", text);
    const char *const configs[] = {
        "{\"container\": \"container\", \"credentials_ref\": \"env:BM_TEST_AZURE_STRING\"}", sealed};
    for (int i = 0; i < 2; i++) {
        struct world *world = world_open_as("azure_blob", configs[i]);
        struct call_outcome o = azure_call(world, &put_small);
        expect_call(&o, 0, false, NULL);
        free(o.body);
        world_close(world);
    }
}

/* One rule, one call; what it ends in, and how many requests it took. */
static const struct {
    const char *name;
    const char *members; /* NULL = the usual */
    const char *rule;
    const struct object_ask *ask;
    int code;
    bool retryable;
    const char *says, *native;
    int requests;
    int64_t retry_after_ms;
} endings[] = {
    {"wrong key", "\"container\": \"container\", \"account\": \"fakeaccount\", \"account_key\": \"d3Jvbmc=\"",
     NULL, &put_small, ERROR_DENIED, false, "Put Blob in container 'container': 403 AuthenticationFailed",
     "AuthenticationFailed", 1, 0},
    {"missing container", "\"container\": \"nowhere\", " AZURE_WITH_KEY, NULL, &put_small, ERROR_NOT_FOUND,
     false, "404 ContainerNotFound", "ContainerNotFound", 1, 0},
    {"missing container, HEAD", "\"container\": \"nowhere\", " AZURE_WITH_KEY, NULL, &head_blob,
     ERROR_NOT_FOUND, false, "404 ContainerNotFound", NULL, 1, 0},
    {"missing blob", NULL, NULL, &get_blob, ERROR_NOT_FOUND, false, "404 BlobNotFound", "BlobNotFound", 1, 0},
    {"throttled once", NULL,
     "{\"match\": {\"operation\": \"PutBlob\"}, \"action\": {\"type\": \"respond\", \"code\": \"ServerBusy\"}}",
     &put_small, 0, false, NULL, NULL, 2, 0},
    {"throttled", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"code\": "
     "\"ServerBusy\"}}",
     &put_small, ERROR_LIMIT, true, "503 ServerBusy", "ServerBusy", 3, 0},
    {"throttled for long", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"code\": "
     "\"ServerBusy\", \"headers\": {\"Retry-After\": \"90\"}}}",
     &put_small, ERROR_LIMIT, true, "503 ServerBusy", "ServerBusy", 1, 90000},
    {"throttled for long, in ms", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"code\": "
     "\"ServerBusy\", \"headers\": {\"x-ms-retry-after-ms\": \"70500\", \"Retry-After\": \"1\"}}}",
     &put_small, ERROR_LIMIT, true, "503 ServerBusy", "ServerBusy", 1, 70500},
    {"timed out", NULL,
     "{\"match\": {\"operation\": \"GetBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
     "500, \"code\": \"OperationTimedOut\"}}",
     &get_blob, ERROR_TIMEOUT, true, "500 OperationTimedOut", "OperationTimedOut", 3, 0},
    {"container is going", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
     "409, \"code\": \"ContainerBeingDeleted\"}}",
     &put_small, ERROR_UNREACHABLE, true, "409 ContainerBeingDeleted", "ContainerBeingDeleted", 3, 0},
    {"firewall", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
     "403, \"code\": \"AuthorizationFailure\"}}",
     &put_small, ERROR_DENIED, false, "firewall", "AuthorizationFailure", 1, 0},
    {"a body hurt on the way", NULL,
     "{\"match\": {\"operation\": \"PutBlob\"}, \"action\": {\"type\": \"respond\", \"status\": 400, \"code\": "
     "\"Md5Mismatch\"}}",
     &put_small, 0, false, NULL, NULL, 2, 0},
    {"a proxy's success", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"x-ms-request-id\": null, \"x-ms-version\": null}}}",
     &put_small, ERROR_PROTOCOL, true, "as if a proxy", "201", 3, 0},
    {"a success without an ETag", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"ETag\": null}}}",
     &put_small, ERROR_PROTOCOL, true, "no ETag", "201", 3, 0},
    {"a proxy's 404", NULL,
     "{\"match\": {\"operation\": \"GetBlob\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"x-ms-request-id\": null, \"x-ms-error-code\": null}, \"body\": \"<html>no</html>\"}}",
     &get_blob, ERROR_PROTOCOL, true, "404 without a code", "404", 3, 0},
    {"a page of something else", NULL,
     "{\"match\": {\"operation\": \"ListBlobs\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"body\": "
     "\"<html/>\"}}",
     &list_blobs, ERROR_PROTOCOL, true, "no EnumerationResults", "200", 3, 0},
    {"a page that is cut", NULL,
     "{\"match\": {\"operation\": \"ListBlobs\"}, \"action\": {\"type\": \"truncate\"}}", &list_blobs, 0,
     false, NULL, NULL, 2, 0},
    {"broken off", NULL,
     "{\"match\": {\"operation\": \"PutBlob\", \"count\": 0}, \"action\": {\"type\": \"drop_answer\", "
     "\"reset\": true}}",
     &put_small, ERROR_UNREACHABLE, true, NULL, NULL, 3, 0},
};

static void each_answer_ends_in_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        fake_reset();
        fake_rule(endings[i].rule);
        struct world *world = azure_world_open(endings[i].members, false);
        struct call_outcome o = azure_call(world, endings[i].ask);
        if (o.err.code != endings[i].code || (o.err.code && o.err.retryable != endings[i].retryable) ||
            (endings[i].says && strstr(o.err.message, endings[i].says) == NULL) ||
            (endings[i].native && strcmp(o.err.native, endings[i].native) != 0) ||
            o.err.retry_after_ms != endings[i].retry_after_ms || fake_count(NULL) != endings[i].requests)
            fail_msg("%s: %d, retryable %d, native %s, after %lld, %d requests: %s", endings[i].name,
                     o.err.code, o.err.retryable, o.err.native, (long long)o.err.retry_after_ms,
                     fake_count(NULL), o.err.message);
        if (o.err.code && *o.code) /* what the service itself says */
            assert_non_null(strstr(o.err.message, "(request "));
        expect_no_secret(&o);
        free(o.body);
        world_close(world);
    }
}

/* AuthenticationFailed doesn't say why: the clock is looked at before the key is doubted. */
static void a_clock_that_is_wrong_is_repaired_once(void **state)
{
    (void)state;
    static const int offsets[] = {3600, -3600};
    for (size_t i = 0; i < 2; i++) {
        char settings[64];
        fake_reset();
        snprintf(settings, sizeof settings, "{\"clock_offset\": %d}", offsets[i]);
        fake_tell("POST", "/settings", settings);
        struct world *world = azure_world_open(NULL, false);
        struct call_outcome o = azure_call(world, &put_small);
        expect_call(&o, 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), 2);
        o = azure_call(world, &put_small); /* learned */
        expect_call(&o, 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), 3);
        world_close(world);

        fake_reset();
        fake_tell("POST", "/settings", settings);
        world = azure_world_open(
            "\"container\": \"container\", \"account\": \"fakeaccount\", \"account_key\": \"d3Jvbmc=\"",
            false);
        o = azure_call(world, &put_small);
        expect_call(&o, ERROR_DENIED, false, "AuthenticationFailed");
        assert_int_equal(fake_count(NULL), 2); /* a wrong key stays wrong */
        world_close(world);
    }
}

/* Kept for a while, and rotated meanwhile: asked anew once, and sent again only if there is another now. */
static void a_secret_that_was_rotated(void **state)
{
    (void)state;
    static const char members[] = "\"container\": \"container\", \"credentials_ref\": \"file:%s\"";
    char path[300], text[400];
    fake_reset();
    snprintf(path, sizeof path, "%s/key", harness_root);
    snprintf(text, sizeof text, members, path);
    harness_write_file(path, AZURE_KEY);
    struct world *world = azure_world_open(text, false);
    struct call_outcome o = azure_call(world, &put_small);
    expect_call(&o, 0, false, NULL);
    free(o.body);

    fake_tell("POST", "/settings",
              "{\"accounts\": [{\"name\": \"fakeaccount\", \"keys\": [\"YW5vdGhlciBrZXk=\"]}]}");
    o = azure_call(world, &put_small); /* the file hasn't changed */
    expect_call(&o, ERROR_DENIED, false, "AuthenticationFailed");
    expect_no_secret(&o);
    assert_int_equal(fake_count(NULL), 2);

    o = (struct call_outcome){0};
    harness_write_file(path, "YW5vdGhlciBrZXk=");
    o = azure_call(world, &put_small);
    expect_call(&o, 0, false, NULL);
    free(o.body);
    world_close(world);
}

static void a_token_that_is_refused(void **state)
{
    (void)state;
    static const char members[] = "\"container\": \"container\", \"credentials_ref\": \"file:%s\"";
    char path[300], text[400];
    fake_reset();
    snprintf(path, sizeof path, "%s/token", harness_root);
    snprintf(text, sizeof text, members, path);
    harness_write_file(path, "{\"access_token\": \"stale-token\"}");
    struct world *world = azure_world_open(text, true);
    struct call_outcome o = azure_call(world, &put_small);
    expect_call(&o, ERROR_DENIED, true, "401");
    assert_null(strstr(o.err.message, "stale-token"));
    assert_int_equal(fake_count(NULL), 1);
    harness_write_file(path, "{\"access_token\": \"fake-token\"}");
    o = azure_call(world, &put_small); /* fetched anew, as it was refused */
    expect_call(&o, 0, false, NULL);
    free(o.body);
    world_close(world);
}

static void on_open(void *data, const struct error *err)
{
    struct call_outcome *o = data;
    o->done++;
    if (err)
        o->err = *err;
}

static struct call_outcome open_session(struct world *world, struct azure_session *session)
{
    struct call_outcome o = {0};
    assert_int_equal(
        object_session_init(&session->base, &azure_protocol, &world->loop, &world->location, &o.err), 0);
    assert_int_equal(object_session_open(&session->base, on_open, &o, &o.err), 0);
    world_run(world, &o.done);
    return o;
}

static void keys_of_customers(void **state)
{
    (void)state;
    fake_reset();
    struct azure_session session;
    struct world *world =
        azure_world_open(AZURE_CONTAINER ", \"customer_key_ref\": \"env:BM_TEST_BLOB_KEY\"", true);
    setenv("BM_TEST_BLOB_KEY", "too short", 1);
    struct call_outcome o = open_session(world, &session);
    expect_call(&o, ERROR_INPUT, false, "customer_key_ref");
    object_session_deinit(&session.base);
    world_close(world);

    setenv("BM_TEST_BLOB_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    world = azure_world_open(AZURE_CONTAINER ", \"customer_key_ref\": \"env:BM_TEST_BLOB_KEY\"", true);
    o = open_session(world, &session);
    expect_call(&o, 0, false, NULL);
    assert_string_equal(session.customer_key.base64, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    assert_string_equal(session.customer_key.digest, "PrG9Q5lH63YpmOVmzMLgmceREYsvQFecxPfaK1Bht/k=");
    object_session_deinit(&session.base);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks),
        cmocka_unit_test(a_connection_string_says_where),
        cmocka_unit_test(each_answer_ends_in_its_class),
        cmocka_unit_test(a_clock_that_is_wrong_is_repaired_once),
        cmocka_unit_test(a_secret_that_was_rotated),
        cmocka_unit_test(a_token_that_is_refused),
        cmocka_unit_test(keys_of_customers),
    };
    return cmocka_run_group_tests(tests, azure_group_setup, azure_group_teardown);
}

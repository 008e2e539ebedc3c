/* call.c against the scripted server: each answer, good or bad, ends in the right class. */
#include "fake_s3.h"

#include <dlfcn.h>

#define KEY "shop/a b+c/\xc3\xa0~(1)=*.gz"
#define BUCKET_MEMBERS "\"bucket\": \"bucket\", " FAKE_KEYS

static const struct object_ask put_small = {
    .operation = "PutObject", .method = "PUT", .key = KEY, .body = "hello", .body_fd = -1, .body_size = 5};
static const struct object_ask get_object = {
    .operation = "GetObject", .method = "GET", .key = KEY, .body_fd = -1};
static const struct object_ask head_object = {
    .operation = "HeadObject", .method = "HEAD", .key = KEY, .body_fd = -1, .flags = S3_EXPECT_ETAG};
static const struct object_query list_query[] = {{"list-type", "2"}, {"prefix", ""}};
static const struct object_ask list_objects = {.operation = "ListObjectsV2",
                                               .method = "GET",
                                               .query = list_query,
                                               .n_query = 2,
                                               .body_fd = -1,
                                               .expect_root = "ListBucketResult"};

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
    static const char *const secrets[] = {"fake-secret", "AKIAFAKE",  "Signature=", "X-Amz",
                                          "x-amz",       "AWS4-HMAC", "?",          "uploadId"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        if (strstr(o->err.message, secrets[i]))
            fail_msg("'%s' in: %s", secrets[i], o->err.message);
}

static void signatures_are_accepted(void **state)
{
    (void)state;
    static const char *const members[] = {BUCKET_MEMBERS, "\"addressing\": \"virtual\", " BUCKET_MEMBERS};
    for (int i = 0; i < 4; i++) {
        fake_reset();
        struct world *world = world_open(members[i / 2], i % 2);
        if (i / 2) { /* the fake's names for virtual hosts */
            char endpoint[64];
            snprintf(endpoint, sizeof endpoint, "%s://s3.localhost:%d", i % 2 ? "https" : "http",
                     i % 2 ? fake.https : fake.http);
            json_object_set_new(world->config, "endpoint", json_string(endpoint));
        }
        fake_put(world, KEY, "hello", 5);
        struct call_outcome o = run_call(world, &get_object);
        expect_call(&o, 0, false, NULL);
        assert_string_equal(o.body, "hello");
        free(o.body);
        o = run_call(world, &list_objects);
        expect_call(&o, 0, false, NULL);
        assert_non_null(strstr(o.body, "ListBucketResult"));
        free(o.body);
        o = run_call(world, &head_object);
        expect_call(&o, 0, false, NULL);
        assert_int_equal(o.status, 200);
        free(o.body);
        assert_int_equal(fake_count(NULL), 4);
        world_close(world);
    }
}

static void bodies_from_a_file(void **state)
{
    (void)state;
    fake_reset();
    struct world *world = world_open(NULL, true);
    struct artifact a = artifact_make((3 << 20) + 11, 4);
    char hash[STORAGE_SHA256_SIZE];
    harness_sha256(a.data + 7, a.size - 7, hash);
    _Atomic uint64_t sent = 0;
    for (int i = 0; i < 2; i++) {
        const struct object_ask ask = {.operation = "PutObject",
                                       .method = "PUT",
                                       .key = KEY,
                                       .payload_hash = i ? S3_UNSIGNED : hash,
                                       .body_fd = a.fd,
                                       .body_offset = 7,
                                       .body_size = a.size - 7,
                                       .bytes_sent = &sent};
        struct call_outcome o = run_call(world, &ask);
        expect_call(&o, 0, false, NULL);
        free(o.body);
        assert_int_equal(sent, a.size - 7);
        struct object_ask get = get_object;
        get.response_max = 8 << 20;
        o = run_call(world, &get);
        expect_call(&o, 0, false, NULL);
        assert_int_equal(o.size, a.size - 7);
        assert_memory_equal(o.body, a.data + 7, o.size);
        free(o.body);
    }
    artifact_free(&a);
    world_close(world);
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
    {"wrong secret",
     "\"bucket\": \"bucket\", \"access_key_id\": \"AKIAFAKE\", \"secret_access_key\": \"wrong\"", NULL,
     &put_small, ERROR_DENIED, false, "PutObject in bucket 'bucket': 403 SignatureDoesNotMatch",
     "SignatureDoesNotMatch", 1, 0},
    {"unknown key",
     "\"bucket\": \"bucket\", \"access_key_id\": \"AKIAOTHER\", \"secret_access_key\": \"wrong\"", NULL,
     &put_small, ERROR_DENIED, false, "403 InvalidAccessKeyId", "InvalidAccessKeyId", 1, 0},
    {"no bucket", "\"bucket\": \"nowhere\", " FAKE_KEYS, NULL, &put_small, ERROR_NOT_FOUND, false,
     "bucket 'nowhere': 404 NoSuchBucket", "NoSuchBucket", 1, 0},
    {"no key", NULL, NULL, &get_object, ERROR_NOT_FOUND, false, "404 NoSuchKey", "NoSuchKey", 1, 0},
    {"no key, HEAD", NULL, NULL, &head_object, ERROR_NOT_FOUND, false, "404", "404", 1, 0},
    {"denied", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 403, \"code\": \"AccessDenied\", \"message\": \"No.\"}}",
     &put_small, ERROR_DENIED, false, "403 AccessDenied: No.", "AccessDenied", 1, 0},
    {"a key's id in the message", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 403, \"code\": \"InvalidAccessKeyId\", \"message\": "
     "\"The key 'AKIAFAKE' is not valid\"}}",
     &put_small, ERROR_DENIED, false, "The key '********' is not valid", "InvalidAccessKeyId", 1, 0},
    {"disk full", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 507, \"code\": \"XMinioStorageFull\"}}", &put_small,
     ERROR_NO_SPACE, false, "507 XMinioStorageFull", "XMinioStorageFull", 1, 0},
    {"disk full, no code", NULL, "{\"action\": {\"type\": \"respond\", \"status\": 507}}", &put_small,
     ERROR_NO_SPACE, false, "507", "507", 1, 0},
    {"quota", NULL, "{\"action\": {\"type\": \"respond\", \"status\": 403, \"code\": \"QuotaExceeded\"}}",
     &put_small, ERROR_NO_SPACE, false, "403 QuotaExceeded", "QuotaExceeded", 1, 0},
    {"not implemented", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 501, \"code\": \"NotImplemented\"}}", &put_small,
     ERROR_UNSUPPORTED, false, "501", "NotImplemented", 1, 0},
    {"precondition", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 412, \"code\": \"PreconditionFailed\"}}", &put_small,
     ERROR_CONFLICT, false, "412", "PreconditionFailed", 1, 0},
    {"one hiccup", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 500, \"code\": \"InternalError\"}}", &put_small, 0,
     false, NULL, "", 2, 0},
    {"one hiccup without a body", NULL, "{\"action\": {\"type\": \"respond\", \"status\": 502}}",
     &head_object, ERROR_NOT_FOUND, false, NULL, NULL, 2, 0},
    {"hiccups without end", NULL,
     "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": 503}}", &put_small,
     ERROR_UNREACHABLE, true, "503", "503", 3, 0},
    {"a code beats its status", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 400, \"code\": \"RequestTimeout\"}}", &put_small, 0,
     false, NULL, NULL, 2, 0},
    {"slow down, soon", NULL,
     "{\"action\": {\"type\": \"respond\", \"code\": \"SlowDown\", \"headers\": {\"Retry-After\": \"0\"}}}",
     &put_small, 0, false, NULL, NULL, 2, 0},
    {"slow down, for long", NULL,
     "{\"action\": {\"type\": \"respond\", \"code\": \"SlowDown\", \"headers\": {\"Retry-After\": \"120\"}}}",
     &put_small, ERROR_LIMIT, true, "503 SlowDown", "SlowDown", 1, 120000},
    {"connection reset", NULL, "{\"action\": {\"type\": \"drop_answer\", \"reset\": true}}", &put_small, 0,
     false, NULL, NULL, 2, 0},
    {"connection reset for ever", NULL,
     "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"drop_answer\", \"reset\": true}}", &put_small,
     ERROR_UNREACHABLE, true, "PutObject in bucket 'bucket'", NULL, 3, 0},
    {"answer cut short", NULL, "{\"action\": {\"type\": \"close_response\", \"bytes\": 10}}", &list_objects,
     0, false, NULL, NULL, 2, 0},
    {"answer's head cut short", NULL,
     "{\"action\": {\"type\": \"close_response\", \"bytes\": 10, \"of\": \"head\"}}", &list_objects, 0, false,
     NULL, NULL, 2, 0},
    {"a byte at a time", NULL, "{\"action\": {\"type\": \"slow\", \"ms\": 0, \"bytes\": 1}}", &list_objects,
     0, false, NULL, NULL, 1, 0},
    {"error in a 200", NULL, "{\"action\": {\"type\": \"error_in_200\"}}", &list_objects, 0, false, NULL,
     NULL, 2, 0},
    {"error in a 200 for ever", NULL, "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"error_in_200\"}}",
     &list_objects, ERROR_UNREACHABLE, true, "status 200, then an error", "InternalError", 3, 0},
    {"final error in a 200", NULL, "{\"action\": {\"type\": \"error_in_200\", \"code\": \"AccessDenied\"}}",
     &list_objects, ERROR_DENIED, false, "AccessDenied", "AccessDenied", 1, 0},
    {"truncated XML", NULL, "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"truncate\"}}",
     &list_objects, ERROR_PROTOCOL, true, "200, but no whole ListBucketResult", "200", 3, 0},
    {"empty XML", NULL, "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"truncate\", \"bytes\": 0}}",
     &list_objects, ERROR_PROTOCOL, true, "200, but no whole ListBucketResult", "200", 3, 0},
    {"truncated XML once", NULL, "{\"action\": {\"type\": \"truncate\"}}", &list_objects, 0, false, NULL,
     NULL, 2, 0},
    {"garbage", NULL, "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"garbage\"}}", &list_objects,
     ERROR_PROTOCOL, true, "200, but no whole ListBucketResult", "200", 3, 0},
    {"garbage in an error", NULL,
     "{\"action\": {\"type\": \"respond\", \"status\": 403, \"body\": \"<html>\\u0001 no & entry\"}}",
     &list_objects, ERROR_DENIED, false, "403", "403", 1, 0},
    {"another root", NULL,
     "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"garbage\", \"body\": \"<Other/>\"}}",
     &list_objects, ERROR_PROTOCOL, true, "200, but no whole ListBucketResult", "200", 3, 0},
    {"a page in the store's place", NULL,
     "{\"match\": {\"count\": 0}, \"before_auth\": true, \"action\": {\"type\": \"garbage\", \"body\": "
     "\"<html>Log in\"}}",
     &head_object, ERROR_PROTOCOL, true, "200, but no ETag came with it", "200", 3, 0},
    {"a page in the store's place, once", NULL, "{\"action\": {\"type\": \"garbage\"}}", &head_object,
     ERROR_NOT_FOUND, false, NULL, NULL, 2, 0},
    {"endless body", NULL, "{\"action\": {\"type\": \"endless\"}}", &list_objects, ERROR_LIMIT, true,
     "ListObjectsV2 in bucket 'bucket'", NULL, 1, 0},
    {"endless body of an error", NULL, "{\"action\": {\"type\": \"endless\", \"status\": 500}}", &put_small,
     ERROR_LIMIT, true, "PutObject in bucket 'bucket'", NULL, 1, 0},
    {"a proxy that finds no store", NULL,
     "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": 404, \"body\": \"404 page "
     "not found\"}}",
     &put_small, ERROR_PROTOCOL, true, "404 without a code", "404", 3, 0},
    {"endless headers", NULL,
     "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"endless\", \"of\": \"headers\"}}", &list_objects,
     ERROR_PROTOCOL, true, NULL, NULL, 3, 0},
    {"region that isn't told", "\"bucket\": \"elsewhere\", " FAKE_KEYS,
     "{\"match\": {\"count\": 0}, \"before_auth\": true, \"action\": {\"type\": \"respond\", \"status\": 301, "
     "\"code\": \"PermanentRedirect\"}}",
     &put_small, ERROR_INPUT, false, "set \"region\"", "PermanentRedirect", 2, 0},
    {"skew that is not repaired", NULL,
     "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": 403, \"code\": "
     "\"RequestTimeTooSkewed\"}}",
     &put_small, ERROR_DENIED, true, "set the clock", "RequestTimeTooSkewed", 2, 0},
    {"expired keys that nobody renews", NULL, "{\"action\": {\"type\": \"expire_credentials\"}}", &put_small,
     ERROR_DENIED, true, "renew the session credentials", NULL, 1, 0},
};

static void each_answer_ends_in_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        print_message("           %s\n", endings[i].name);
        fake_reset();
        fake_rule(endings[i].rule);
        struct world *world = world_open(endings[i].members, false);
        struct call_outcome o = run_call(world, endings[i].ask);
        expect_call(&o, endings[i].code, endings[i].retryable, endings[i].says);
        expect_no_secret(&o);
        free(o.body);
        if (endings[i].native)
            assert_string_equal(o.err.native, endings[i].native);
        assert_int_equal(o.err.retry_after_ms, endings[i].retry_after_ms);
        assert_int_equal(fake_count(NULL), endings[i].requests);
        world_close(world);
    }
}

/* Waits of seven seconds pass at once here, and are counted. */
static int waits_of_seven;

int uv_timer_start(uv_timer_t *timer, uv_timer_cb on_timer, uint64_t timeout_ms, uint64_t repeat_ms)
{
    static int (*real)(uv_timer_t *, uv_timer_cb, uint64_t, uint64_t);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_timer_start");
    waits_of_seven += timeout_ms == 7000;
    return real(timer, on_timer, timeout_ms == 7000 ? 0 : timeout_ms, repeat_ms);
}

static void retry_after_is_waited_for(void **state)
{
    (void)state;
    fake_reset();
    fake_rule("{\"match\": {\"count\": 2}, \"action\": {\"type\": \"respond\", \"code\": \"SlowDown\", "
              "\"headers\": {\"Retry-After\": \"7\"}}}");
    struct world *world = world_open(NULL, false);
    waits_of_seven = 0;
    struct call_outcome o = run_call(world, &put_small);
    expect_call(&o, 0, false, NULL);
    assert_int_equal(waits_of_seven, 2);
    free(o.body);
    world_close(world);
}

static void request_ids_are_told(void **state)
{
    (void)state;
    fake_reset();
    struct world *world = world_open(NULL, false);
    struct call_outcome o = run_call(world, &get_object);
    assert_true(o.request_id[0] != '\0');
    expect_call(&o, ERROR_NOT_FOUND, false, o.request_id);
    expect_call(&o, ERROR_NOT_FOUND, false, "(request ");
    world_close(world);
}

/* Wrong regions, in each way that servers tell: learned once, then right at once. */
static void regions_are_learned(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        const struct object_ask *ask;
        int requests;
    } cases[] = {
        {"{\"wrong_region\": 400, \"wrong_region_tells\": [\"header\"]}", &put_small, 2},
        {"{\"wrong_region\": 400, \"wrong_region_tells\": [\"body\"]}", &put_small, 2},
        {"{\"wrong_region\": 301, \"wrong_region_tells\": [\"header\"]}", &put_small, 2},
        {"{\"wrong_region\": 301, \"wrong_region_tells\": [\"body\"]}", &put_small, 2},
        {"{\"wrong_region\": 307, \"wrong_region_tells\": [\"header\", \"body\"]}", &put_small, 2},
        {"{\"wrong_region\": 400, \"wrong_region_tells\": [\"header\"]}", &head_object, 2},
        {"{\"wrong_region\": 301, \"wrong_region_tells\": [\"header\"]}", &head_object, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_reset();
        fake_tell("POST", "/settings", cases[i].settings);
        struct world *world = world_open("\"bucket\": \"elsewhere\", " FAKE_KEYS, false);
        struct call_outcome o = run_call(world, cases[i].ask);
        bool head = cases[i].ask == &head_object;
        expect_call(&o, head ? ERROR_NOT_FOUND : 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), cases[i].requests);
        o = run_call(world, &put_small); /* another session: what was learned is the process's */
        expect_call(&o, 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), cases[i].requests + 1);
        world_close(world);
    }
}

/* The answer says nothing, a HEAD of the bucket does. */
static void a_region_is_asked_for(void **state)
{
    (void)state;
    fake_reset();
    fake_rule(
        "{\"match\": {\"operation\": \"PutObject\"}, \"before_auth\": true, \"action\": {\"type\": \"respond\", "
        "\"status\": 301, \"code\": \"PermanentRedirect\"}}");
    struct world *world = world_open("\"bucket\": \"elsewhere\", " FAKE_KEYS, false);
    struct call_outcome o = run_call(world, &put_small);
    expect_call(&o, 0, false, NULL);
    free(o.body);
    assert_int_equal(fake_count("PutObject"), 2);
    assert_int_equal(fake_count("HeadBucket"), 1);
    world_close(world);
}

static void clocks_are_learned(void **state)
{
    (void)state;
    static const struct object_ask *const asks[] = {&put_small, &head_object};
    for (int i = 0; i < 4; i++) {
        fake_reset();
        fake_tell("POST", "/settings", i % 2 ? "{\"clock_offset\": 7200}" : "{\"clock_offset\": -7200}");
        struct world *world = world_open(NULL, false);
        struct call_outcome o = run_call(world, asks[i / 2]);
        expect_call(&o, i / 2 ? ERROR_NOT_FOUND : 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), 2);
        o = run_call(world, &put_small);
        expect_call(&o, 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), 3);
        world_close(world);
    }
}

/* storage_config says no region: AWS's environment does, or a wrong one is put right. */
static void regions_of_the_environment(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fake_reset();
        setenv("AWS_REGION", i ? "us-west-2" : "eu-central-1", 1);
        struct world *world = world_open("\"bucket\": \"elsewhere\", " FAKE_KEYS, false);
        world->location.storage_type = "s3";
        struct call_outcome o = run_call(world, &put_small);
        expect_call(&o, 0, false, NULL);
        free(o.body);
        assert_int_equal(fake_count(NULL), 1 + i);
        world_close(world);
    }
    unsetenv("AWS_REGION");
}

/* Session credentials by reference that expire: fetched anew, once. */
static void expired_credentials_are_fetched_anew(void **state)
{
    (void)state;
    static const char old[] = "{\"access_key_id\": \"AKIAOLD\", \"secret_access_key\": \"old\", "
                              "\"session_token\": \"old-token\"}";
    static const char new[] = "{\"access_key_id\": \"AKIANEW\", \"secret_access_key\": \"new\", "
                              "\"session_token\": \"new-token\"}";
    static const char expire[] = "{\"action\": {\"type\": \"expire_credentials\"}}";
    char members[256];
    snprintf(members, sizeof members, "\"bucket\": \"bucket\", \"credentials_ref\": \"file:%s\"",
             harness_path("keys"));
    static const struct object_ask *const asks[] = {&put_small, &head_object};
    for (int i = 0; i < 4; i++) {
        bool renewed = i % 2;
        fake_reset();
        fake_tell("POST", "/credentials",
                  "{\"add\": [{\"access_key\": \"AKIAOLD\", \"secret_key\": \"old\", \"session_token\": "
                  "\"old-token\"}, {\"access_key\": \"AKIANEW\", \"secret_key\": \"new\", \"session_token\": "
                  "\"new-token\"}]}");
        harness_write_file(harness_path("keys"), old);
        struct world *world = world_open(members, false);
        struct call_outcome o = run_call(world, &put_small);
        expect_call(&o, 0, false, NULL);
        free(o.body);
        fake_rule(expire);
        if (renewed)
            harness_write_file(harness_path("keys"), new);
        o = run_call(world, asks[i / 2]);
        if (renewed)
            expect_call(&o, 0, false, NULL);
        else
            expect_call(&o, i / 2 ? ERROR_INPUT : ERROR_DENIED, true, i / 2 ? "400" : "ExpiredToken");
        free(o.body);
        assert_int_equal(fake_count(NULL), 3);
        world_close(world);
    }
}

/* Keys by reference that are refused: read again, and sent again only if they are others. */
static void refused_credentials_are_not_sent_twice(void **state)
{
    (void)state;
    char members[256];
    snprintf(members, sizeof members, "\"bucket\": \"bucket\", \"credentials_ref\": \"file:%s\"",
             harness_path("keys"));
    harness_write_file(harness_path("keys"), "AKIAFAKE:fake-secret");
    fake_reset();
    struct world *world = world_open(members, false);
    fake_rule("{\"action\": {\"type\": \"respond\", \"status\": 403, \"code\": \"InvalidAccessKeyId\"}}");
    struct call_outcome o = run_call(world, &put_small);
    expect_call(&o, ERROR_DENIED, false, "PutObject in bucket 'bucket': 403 InvalidAccessKeyId");
    expect_no_secret(&o);
    assert_int_equal(fake_count(NULL), 1);
    world_close(world);
}

/* Cancelled in every state: at once, while it waits, while the server is silent. */

struct canceller {
    uv_timer_t timer; /* of no duration: looks again in each turn */
    struct object_call *call;
    const int *done;
    int turns;
    bool waits_for_request;
};

static void on_turn(uv_timer_t *timer)
{
    struct canceller *c = timer->data;
    bool there = !c->waits_for_request || fake_count(NULL) > 0;
    if (*c->done || there) {
        if (!*c->done)
            object_call_cancel(c->call);
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void cancelled(void **state)
{
    (void)state;
    static const char *const rules[] = {
        NULL, "{\"action\": {\"type\": \"stall\"}}",
        "{\"action\": {\"type\": \"respond\", \"code\": \"SlowDown\", \"headers\": {\"Retry-After\": \"20\"}}}"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        fake_reset();
        fake_rule(rules[i]);
        struct world *world = world_open(NULL, false);
        struct call_outcome o = {0};
        struct s3_session session;
        struct object_ask ask = put_small;
        ask.done = on_call;
        ask.data = &o;
        assert_int_equal(
            object_session_init(&session.base, &s3_protocol, &world->loop, &world->location, &o.err), 0);
        struct canceller c = {.done = &o.done, .waits_for_request = i > 0};
        assert_int_equal(object_call_start(&session.base, &ask, &c.call, &o.err), 0);
        uv_timer_init(&world->loop, &c.timer);
        c.timer.data = &c;
        uv_timer_start(&c.timer, on_turn, 0, 1);
        if (i == 0)
            object_call_cancel(c.call);
        world_run(world, &o.done);
        expect_call(&o, ERROR_CANCELLED, true, "cancelled");
        object_session_deinit(&session.base);
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_accepted),
        cmocka_unit_test(bodies_from_a_file),
        cmocka_unit_test(each_answer_ends_in_its_class),
        cmocka_unit_test(retry_after_is_waited_for),
        cmocka_unit_test(request_ids_are_told),
        cmocka_unit_test(regions_are_learned),
        cmocka_unit_test(a_region_is_asked_for),
        cmocka_unit_test(clocks_are_learned),
        cmocka_unit_test(regions_of_the_environment),
        cmocka_unit_test(expired_credentials_are_fetched_anew),
        cmocka_unit_test(refused_credentials_are_not_sent_twice),
        cmocka_unit_test(cancelled),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}

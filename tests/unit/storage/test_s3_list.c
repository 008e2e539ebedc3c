/* stat, delete and list against the scripted server. */
#include "fake_s3.h"

#define KEY "shop/2025/11/02/shop a+b_20251102.sql.gz"

static struct outcome run_s3_delete(struct world *world, struct storage_delete what)
{
    struct outcome o = {.running = true};
    struct storage_op *op;
    what.loop = &world->loop;
    what.location = world->location;
    what.done = on_delete;
    what.data = &o;
    int rc = harness_driver(&world->location)->delete_start(&what, &op, &o.err);
    o.running = false;
    if (rc == 0)
        world_run(world, &o.done);
    return o;
}

static void stats(void **state)
{
    (void)state;
    fake_reset();
    struct world *world = world_open(NULL, false);
    struct outcome o = run_stat_in(world, KEY);
    expect_success(&o);
    assert_false(o.exists);
    fake_put(world, KEY, "hello", 5);
    o = run_stat_in(world, KEY);
    expect_success(&o);
    assert_true(o.exists);
    assert_int_equal(o.size, 5);
    assert_string_equal(o.absolute_path, "");

    fake_rule(
        "{\"match\": {\"operation\": \"HeadObject\"}, \"action\": {\"type\": \"respond\", \"status\": 403}}");
    o = run_stat_in(world, KEY);
    expect_error(&o, ERROR_DENIED, false, KEY);
    fake_rule(
        "{\"match\": {\"operation\": \"HeadObject\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
        "\"status\": 503}}");
    o = run_stat_in(world, KEY);
    expect_error(&o, ERROR_UNREACHABLE, true, "503");
    world_close(world);

    world = world_open("\"bucket\": \"nowhere\", " FAKE_KEYS, false);
    o = run_stat_in(world, KEY);
    expect_error(&o, ERROR_NOT_FOUND, false, "bucket 'nowhere' isn't there");
    world_close(world);
}

static void deletes(void **state)
{
    (void)state;
    fake_reset();
    struct world *world = world_open(NULL, false);
    fake_put(world, KEY, "hello", 5);
    struct outcome o = run_s3_delete(world, (struct storage_delete){.key = KEY});
    expect_success(&o);
    assert_true(o.existed);
    assert_false(run_stat_in(world, KEY).exists);
    o = run_s3_delete(world, (struct storage_delete){.key = KEY});
    expect_success(&o);
    assert_false(o.existed);

    /* a key that may delete, but not read */
    fake_put(world, KEY, "hello", 5);
    fake_rule(
        "{\"match\": {\"operation\": \"HeadObject\"}, \"action\": {\"type\": \"respond\", \"status\": 403}}");
    o = run_s3_delete(world, (struct storage_delete){.key = KEY});
    expect_success(&o);
    assert_true(o.existed);
    fake_rule(
        "{\"match\": {\"operation\": \"DeleteObject\"}, \"action\": {\"type\": \"respond\", \"status\": 403, "
        "\"code\": \"AccessDenied\"}}");
    o = run_s3_delete(world, (struct storage_delete){.key = KEY});
    expect_error(&o, ERROR_DENIED, false, KEY);

    o = run_s3_delete(world, (struct storage_delete){.key = "a/../b"});
    assert_int_equal(o.done, 0);
    expect_error(&o, ERROR_UNSAFE_PATH, false, "..");
    world_close(world);

    world = world_open("\"bucket\": \"nowhere\", " FAKE_KEYS, false);
    o = run_s3_delete(world, (struct storage_delete){.key = KEY});
    expect_error(&o, ERROR_NOT_FOUND, false, "NoSuchBucket");
    world_close(world);
}

/* Begins an upload under key: its id. */
static void begin_upload(struct world *world, const char *key, char id[128])
{
    static const struct object_query query[] = {{"uploads", NULL}};
    const struct object_ask ask = {.operation = "CreateMultipartUpload",
                                   .method = "POST",
                                   .key = key,
                                   .query = query,
                                   .n_query = 1,
                                   .body_fd = -1,
                                   .expect_root = "InitiateMultipartUploadResult"};
    struct call_outcome o = run_call(world, &ask);
    if (o.err.code)
        fail_msg("%s", o.err.message);
    const char *at = strstr(o.body, "<UploadId>");
    assert_int_equal(sscanf(at, "<UploadId>%127[^<]", id), 1);
    free(o.body);
}

static int open_uploads(void)
{
    json_t *answer = fake_ask("GET", "/state", NULL);
    int n = (int)json_array_size(json_object_get(answer, "uploads"));
    json_decref(answer);
    return n;
}

static void aborts(void **state)
{
    (void)state;
    char id[128], text[256];
    fake_reset();
    struct world *world = world_open(NULL, false);
    begin_upload(world, KEY, id);
    fake_put(world, KEY, "hello", 5);
    struct outcome o = run_s3_delete(world, (struct storage_delete){.key = KEY, .upload_id = id});
    expect_success(&o);
    assert_true(o.existed);
    assert_int_equal(open_uploads(), 0);
    assert_true(run_stat_in(world, KEY).exists); /* what stands at the name stays */
    o = run_s3_delete(world, (struct storage_delete){.key = KEY, .upload_id = id});
    expect_success(&o);
    assert_false(o.existed);

    begin_upload(world, KEY, id);
    snprintf(text, sizeof text, "{\"upload_id\": \"%s\", \"parts\": 3}", id);
    o = run_s3_delete(
        world, (struct storage_delete){.near_key = KEY, .resume_state = text, .row_id = 1, .fence = 2});
    expect_success(&o);
    assert_true(o.existed);
    assert_int_equal(open_uploads(), 0);

    static const char *const nothing[] = {NULL, "", "{}", "{\"upload_id\": \"\"}", "{\"upload_id\": 5}"};
    int before = fake_count(NULL);
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        o = run_s3_delete(world, (struct storage_delete){.near_key = KEY, .resume_state = nothing[i]});
        expect_success(&o);
        assert_false(o.existed);
    }
    assert_int_equal(fake_count(NULL), before);
    o = run_s3_delete(world, (struct storage_delete){.near_key = KEY, .resume_state = "{\"upload_id\""});
    expect_error(&o, ERROR_CORRUPT, false, "resume state");
    world_close(world);

    world = world_open("\"bucket\": \"nowhere\", " FAKE_KEYS, false);
    o = run_s3_delete(world, (struct storage_delete){.key = KEY, .upload_id = "x"});
    expect_error(&o, ERROR_NOT_FOUND, false, "NoSuchBucket");
    world_close(world);
}

#define STILL_THERE                                                                                          \
    "{\"match\": {\"operation\": \"ListParts\", \"count\": %d}, \"action\": {\"type\": \"respond\", "        \
    "\"status\": 200, \"body\": \"<ListPartsResult/>\"}}"
#define ABORTED                                                                                                  \
    "{\"match\": {\"operation\": \"AbortMultipartUpload\", \"count\": %d}, \"action\": {\"type\": \"respond\", " \
    "\"status\": 204}}"

static void uploads_that_linger(void **state)
{
    (void)state;
    static const struct {
        int still_there, aborted; /* so many answers; 0 = for ever, -1 = none */
        const char *rule;
        int code, aborts;
    } cases[] = {
        {2, 2, NULL, 0, 3}, /* the third is real */
        {0, 0, NULL, ERROR_CONFLICT, 5},
        {-1, 0,
         "{\"match\": {\"operation\": \"ListParts\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
         "403, \"code\": \"AccessDenied\"}}",
         0, 2},
        {-1, 0,
         "{\"match\": {\"operation\": \"ListParts\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
         "503}}",
         ERROR_UNREACHABLE, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[128], rule[512];
        fake_reset();
        struct world *world = world_open(NULL, false);
        begin_upload(world, KEY, id);
        fake_rule(cases[i].rule);
        snprintf(rule, sizeof rule, STILL_THERE, cases[i].still_there);
        fake_rule(cases[i].still_there < 0 ? NULL : rule);
        snprintf(rule, sizeof rule, ABORTED, cases[i].aborted);
        fake_rule(rule);
        struct outcome o = run_s3_delete(world, (struct storage_delete){.key = KEY, .upload_id = id});
        if (cases[i].code)
            expect_error(&o, cases[i].code, true, KEY);
        else
            expect_success(&o);
        assert_int_equal(fake_count("AbortMultipartUpload"), cases[i].aborts);
        world_close(world);
    }
}

/* list */

static struct listing run_list(struct world *world, enum storage_list_kind kind, const char *prefix,
                               int stop_after)
{
    struct listing l = {.stop_after = stop_after};
    struct storage_op *op;
    struct storage_list list = {.loop = &world->loop,
                                .location = world->location,
                                .prefix = prefix,
                                .kind = kind,
                                .on_entry = on_list_entry,
                                .done = on_list_done,
                                .data = &l};
    int rc = harness_driver(&world->location)->list_start(&list, &op, &l.err);
    if (rc == 0)
        world_run(world, &l.done);
    return l;
}

static void expect_listing(const struct listing *l, const char *names)
{
    if (l->err.code)
        fail_msg("%s", l->err.message);
    assert_string_equal(l->names, names);
}

static void listings(void **state)
{
    (void)state;
    static const char *const keys[] = {"a b/1", "a b/2+3", "a b/4&<5>", "a b/\xc3\xa0", "a b/%41", "c", "a"};
    fake_reset();
    fake_tell("POST", "/settings", "{\"page\": 2}");
    struct world *world = world_open(NULL, false);
    struct listing l = run_list(world, STORAGE_LIST_OBJECTS, "", 0);
    expect_listing(&l, "");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        fake_put(world, keys[i], "xy", 2);
    int before = fake_count("ListObjectsV2");
    l = run_list(world, STORAGE_LIST_OBJECTS, "", 0);
    expect_listing(&l, "a|a b/%41|a b/1|a b/2+3|a b/4&<5>|a b/\xc3\xa0|c|");
    assert_int_equal(l.size, 14);
    assert_true(l.time_ms > INT64_C(1700000000000));
    assert_int_equal(fake_count("ListObjectsV2") - before, 4);
    l = run_list(world, STORAGE_LIST_OBJECTS, "a b/", 0);
    expect_listing(&l, "a b/%41|a b/1|a b/2+3|a b/4&<5>|a b/\xc3\xa0|");
    l = run_list(world, STORAGE_LIST_OBJECTS, "a b/2+", 0);
    expect_listing(&l, "a b/2+3|");
    l = run_list(world, STORAGE_LIST_OBJECTS, NULL, 3);
    expect_listing(&l, "a|a b/%41|a b/1|");
    l = run_list(world, STORAGE_LIST_OBJECTS, "nothing", 0);
    expect_listing(&l, "");
    l = run_list(world, STORAGE_LIST_OBJECTS, "a/../", 0);
    assert_int_equal(l.err.code, ERROR_UNSAFE_PATH);

    char id[128];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        begin_upload(world, keys[i], id);
    begin_upload(world, "c", id);
    l = run_list(world, STORAGE_LIST_UPLOADS, "", 0);
    expect_listing(&l, "a|a b/%41|a b/1|a b/2+3|a b/4&<5>|a b/\xc3\xa0|c|c|");
    assert_true(l.upload_id[0] != '\0');
    assert_true(l.time_ms > INT64_C(1700000000000));
    l = run_list(world, STORAGE_LIST_UPLOADS, "a b/", 0);
    expect_listing(&l, "a b/%41|a b/1|a b/2+3|a b/4&<5>|a b/\xc3\xa0|");
    world_close(world);
}

static void listings_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *body; /* of every page */
        int code;
        bool retryable;
        const char *says;
        int requests;
    } cases[] = {
        {"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
         "</ListBucketResult>",
         ERROR_PROTOCOL, true, "goes round in a circle", 2},
        {"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", ERROR_PROTOCOL, true,
         "but not where", 1},
        {"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%zz</Key></Contents></ListBucketResult>",
         ERROR_PROTOCOL, true, "percent-encoded", 1},
        {"<ListBucketResult><Contents><Key>a</Key><Size>much</Size></Contents></ListBucketResult>",
         ERROR_PROTOCOL, true, "isn't a number", 1},
        {"<ListBucketResult><Contents><Key>a</Key>", ERROR_PROTOCOL, true, "no whole ListBucketResult", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char rule[1024];
        fake_reset();
        snprintf(rule, sizeof rule,
                 "{\"match\": {\"count\": 0}, \"action\": {\"type\": \"garbage\", \"body\": \"%s\"}}",
                 cases[i].body);
        fake_rule(rule);
        struct world *world = world_open(NULL, false);
        struct listing l = run_list(world, STORAGE_LIST_OBJECTS, "", 0);
        if (l.err.code != cases[i].code || l.err.retryable != cases[i].retryable ||
            strstr(l.err.message, cases[i].says) == NULL)
            fail_msg("%d: %s", l.err.code, l.err.message);
        assert_int_equal(fake_count(NULL), cases[i].requests);
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats),    cmocka_unit_test(deletes),
        cmocka_unit_test(aborts),   cmocka_unit_test(uploads_that_linger),
        cmocka_unit_test(listings), cmocka_unit_test(listings_that_fail),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}

/* Reading, looking, listing and deleting at Cloud Storage: answers good and bad. */
#include "fake_gcs.h"

#define KEY "shop/a b+c/\xc3\xa0~(1)=*#?.gz"

static struct world *place(const char *members, bool https)
{
    return gcs_world_open(members, https);
}

static void put_here(const char *key, const struct artifact *a)
{
    struct world *world = place(NULL, false);
    gcs_fake_put(world, key, a->data, a->size);
    world_close(world);
    fake_tell("DELETE", "/log", NULL);
}

static struct outcome get_into(const char *key, int fd, uint64_t offset, uint64_t length)
{
    struct outcome o = {.running = true};
    struct world *world = place(NULL, false);
    struct storage_op *op;
    struct storage_get get = {.loop = &world->loop,
                              .location = world->location,
                              .key = key,
                              .target_fd = fd,
                              .offset = offset,
                              .length = length,
                              .done = on_get,
                              .data = &o};
    int rc = storage_gcs.get_start(&get, &op, &o.err);
    o.running = false;
    if (rc == 0)
        world_run(world, &o.done);
    world_close(world);
    return o;
}

static struct outcome stat_at(const char *members, const char *key)
{
    struct world *world = place(members, false);
    struct outcome o = run_stat_in(world, key);
    world_close(world);
    return o;
}

static struct outcome delete_at(const char *members, const char *key)
{
    struct outcome o = {.running = true};
    struct world *world = place(members, false);
    struct storage_op *op;
    struct storage_delete del = {
        .loop = &world->loop, .location = world->location, .key = key, .done = on_delete, .data = &o};
    int rc = storage_gcs.delete_start(&del, &op, &o.err);
    o.running = false;
    if (rc == 0)
        world_run(world, &o.done);
    world_close(world);
    return o;
}

#define AT(bucket) "\"bucket\": \"" bucket "\", \"credentials_ref\": \"env:" GCS_SECRET "\""

/* --- reading --- */

static void one_generation_is_read(void **state)
{
    (void)state;
    struct artifact a = artifact_make((3 << 20) + 11, 4);
    put_here(KEY, &a);
    struct outcome o = get_into(KEY, -1, 0, 0);
    expect_success(&o);
    assert_string_equal(o.sha256, a.sha256);
    assert_int_equal(fake_count("ReadObject"), 2);
    json_t *first = gcs_logged("ReadObject", 1), *second = gcs_logged("ReadObject", 2);
    assert_null(json_object_get(json_object_get(first, "query"), "ifGenerationMatch"));
    assert_non_null(json_object_get(json_object_get(second, "query"), "ifGenerationMatch"));
    json_decref(first);
    json_decref(second);
    o = get_into(KEY, -1, 5, 7);
    expect_success(&o);
    assert_int_equal(o.size, 7);
    o = get_into(KEY, -1, a.size, 7);
    expect_success(&o);
    assert_int_equal(o.size, 0);
    artifact_free(&a);
}

static void another_object_in_the_middle_is_told(void **state)
{
    (void)state;
    struct artifact a = artifact_make((3 << 20) + 11, 4);
    put_here(KEY, &a);
    fake_rule(
        "{\"match\": {\"operation\": \"ReadObject\", \"nth\": 2}, \"action\": {\"type\": \"respond\", \"status\": "
        "412, \"code\": \"conditionNotMet\"}}");
    struct outcome o = get_into(KEY, -1, 0, 0);
    expect_error(&o, ERROR_CONFLICT, false, "changed while it was read");
    fake_rule(
        "{\"match\": {\"operation\": \"ReadObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", \"headers\": "
        "{\"X-Goog-Generation\": \"7\"}}}");
    o = get_into(KEY, -1, 0, 0);
    expect_error(&o, ERROR_CONFLICT, false, "changed while it was read");
    artifact_free(&a);
}

static void reading_goes_on_where_it_broke(void **state)
{
    (void)state;
    struct artifact a = artifact_make((3 << 20) + 11, 4);
    static const char *const rules[] = {
        "{\"match\": {\"operation\": \"ReadObject\", \"nth\": 2, \"count\": 3}, \"action\": {\"type\": "
        "\"close_response\", \"bytes\": 500000}}",
        "{\"match\": {\"operation\": \"ReadObject\", \"count\": 2}, \"action\": {\"type\": \"respond\", \"status\": "
        "503}}",
        "{\"match\": {\"operation\": \"ReadObject\"}, \"action\": {\"type\": \"close_response\", \"bytes\": 500000, "
        "\"reset\": true}}",
        "{\"match\": {\"operation\": \"ReadObject\"}, \"action\": {\"type\": \"respond\", \"status\": 429, \"code\": "
        "\"rateLimitExceeded\"}}",
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        fake_reset();
        put_here(KEY, &a);
        fake_rule(rules[i]);
        struct outcome o = get_into(KEY, -1, 0, 0);
        expect_success(&o);
        assert_string_equal(o.sha256, a.sha256);
    }
    artifact_free(&a);
}

static void pages_of_proxies_are_not_objects(void **state)
{
    (void)state;
    struct artifact a = artifact_make(1000, 4);
    put_here(KEY, &a);
    fake_rule(
        "{\"match\": {\"operation\": [\"ReadObject\", \"GetObject\"], \"count\": 0}, \"action\": {\"type\": "
        "\"alter\", \"status\": 200, \"body\": \"<html>log in first</html>\", \"headers\": "
        "{\"X-Goog-Generation\": null, \"X-GUploader-UploadID\": null}}}");
    struct outcome o = get_into(KEY, -1, 0, 0);
    expect_error(&o, ERROR_PROTOCOL, true, "x-goog-generation");
    o = stat_at(NULL, KEY);
    expect_error(&o, ERROR_PROTOCOL, true, "as if a proxy answered");
    fake_reset();
    fake_rule(
        "{\"match\": {\"operation\": [\"ReadObject\", \"GetObject\"], \"count\": 0}, \"action\": {\"type\": "
        "\"alter\", \"status\": 404, \"body\": \"<html>who?</html>\", \"headers\": "
        "{\"X-GUploader-UploadID\": null}}}");
    o = get_into(KEY, -1, 0, 0);
    expect_error(&o, ERROR_PROTOCOL, true, "no word of Google's");
    o = stat_at(NULL, KEY);
    expect_error(&o, ERROR_PROTOCOL, true, "no word of Google's");
    assert_int_equal(fake_count("GetObject"), 3);
    artifact_free(&a);
}

/* --- looking --- */

static void a_missing_bucket_is_no_missing_object(void **state)
{
    (void)state;
    struct outcome o = stat_at(NULL, KEY);
    expect_success(&o);
    assert_false(o.exists);
    o = stat_at(AT("nowhere"), KEY);
    expect_error(&o, ERROR_NOT_FOUND, false, "make it, or correct \"bucket\"");
    o = delete_at(AT("nowhere"), KEY);
    expect_error(&o, ERROR_NOT_FOUND, false, "bucket");
    o = get_into(KEY, -1, 0, 0);
    expect_error(&o, ERROR_NOT_FOUND, false, KEY);
    /* who may not ask for the bucket */
    fake_rule(
        "{\"match\": {\"operation\": \"GetBucket\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
        "403, \"code\": \"forbidden\"}}");
    o = stat_at(NULL, KEY);
    expect_success(&o);
    assert_false(o.exists);
    /* a 404 that doesn't say which */
    fake_reset();
    fake_rule(
        "{\"match\": {\"operation\": [\"GetObject\", \"GetBucket\"], \"count\": 0}, \"action\": {\"type\": "
        "\"respond\", \"status\": 404, \"code\": \"notFound\", \"message\": \"Not Found\"}}");
    o = stat_at(NULL, KEY);
    expect_error(&o, ERROR_NOT_FOUND, false, "make it, or correct \"bucket\"");
}

static void credentials_that_are_none(void **state)
{
    (void)state;
    gcs_use_token("wrong-token");
    struct outcome o = stat_at(NULL, KEY);
    expect_error(&o, ERROR_DENIED, false, "401 authError: Invalid Credentials; check the credentials");
    assert_null(strstr(o.err.message, "wrong-token"));
    unsetenv(GCS_SECRET);
    o = stat_at(NULL, KEY);
    assert_int_not_equal(o.err.code, 0);
    assert_non_null(strstr(o.err.message, GCS_SECRET));
}

/* --- listing --- */

static void pages_follow_each_other(void **state)
{
    (void)state;
    struct artifact a = artifact_make(10, 1);
    static const char *const keys[] = {"db/1", "db/2", "db/3 \xc3\xa0", "db/4", "db/5", "other"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put_here(keys[i], &a);
    fake_tell("POST", "/settings", "{\"page\": 2}");
    harness_open_access = NULL;
    struct world *world = place(NULL, false);
    struct listing l = {0};
    struct storage_op *op;
    struct storage_list list = {.loop = &world->loop,
                                .location = world->location,
                                .prefix = "db/",
                                .on_entry = on_list_entry,
                                .done = on_list_done,
                                .data = &l};
    assert_int_equal(storage_gcs.list_start(&list, &op, &l.err), 0);
    world_run(world, &l.done);
    assert_int_equal(l.err.code, 0);
    assert_string_equal(l.names, "db/1|db/2|db/3 \xc3\xa0|db/4|db/5|");
    assert_int_equal(l.size, 50);
    assert_int_equal(fake_count("ListObjects"), 3);

    fake_rule("{\"match\": {\"operation\": \"ListObjects\"}, \"action\": {\"type\": \"truncate\"}}");
    l = (struct listing){0};
    assert_int_equal(storage_gcs.list_start(&list, &op, &l.err), 0);
    world_run(world, &l.done);
    assert_int_not_equal(l.err.code, 0);
    assert_true(l.err.retryable);

    list.kind = STORAGE_LIST_UPLOADS;
    assert_int_equal(storage_gcs.list_start(&list, &op, &l.err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(l.err.message, "doesn't tell which uploads are open"));
    world_close(world);
    artifact_free(&a);
}

/* --- deleting --- */

static void what_is_held_stays(void **state)
{
    (void)state;
    struct artifact a = artifact_make(10, 1);
    static const struct {
        const char *members, *says;
    } cases[] = {
        {AT("held"), "release the hold on the object first"},
        {AT("retained"), "it is under retention until then"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *world = place(cases[i].members, false);
        gcs_fake_put(world, KEY, a.data, a.size);
        world_close(world);
        struct outcome o = delete_at(cases[i].members, KEY);
        expect_error(&o, ERROR_DENIED, false, cases[i].says);
        expect_error(&o, ERROR_DENIED, false, KEY);
        o = stat_at(cases[i].members, KEY);
        assert_true(o.exists);
    }
    artifact_free(&a);
}

static void only_what_was_looked_at_is_deleted(void **state)
{
    (void)state;
    struct artifact a = artifact_make(10, 1);
    put_here(KEY, &a);
    fake_rule("{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"alter\", \"replace\": "
              "{\"\\\"generation\\\": \\\"1\": \"\\\"generation\\\": \\\"2\"}}}");
    struct outcome o = delete_at(NULL, KEY);
    expect_error(&o, ERROR_CONFLICT, true, "another object was written there");
    o = stat_at(NULL, KEY);
    assert_true(o.exists);
    /* the first answer got lost */
    fake_rule("{\"match\": {\"operation\": \"DeleteObject\"}, \"action\": {\"type\": \"drop_answer\"}}");
    o = delete_at(NULL, KEY);
    expect_success(&o);
    o = stat_at(NULL, KEY);
    assert_false(o.exists);
    /* who may delete, but not read */
    put_here(KEY, &a);
    fake_rule(
        "{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"respond\", \"status\": 403, "
        "\"code\": \"forbidden\"}}");
    o = delete_at(NULL, KEY);
    expect_success(&o);
    assert_true(o.existed);
    artifact_free(&a);
}

static void uploads_have_no_names(void **state)
{
    (void)state;
    struct world *world = place(NULL, false);
    struct storage_op *op;
    struct error err = {0};
    struct storage_delete del = {
        .loop = &world->loop, .location = world->location, .key = KEY, .upload_id = "x", .done = on_delete};
    assert_int_equal(storage_gcs.delete_start(&del, &op, &err), ERROR_UNSUPPORTED);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_generation_is_read, gcs_setup),
        cmocka_unit_test_setup(another_object_in_the_middle_is_told, gcs_setup),
        cmocka_unit_test_setup(reading_goes_on_where_it_broke, gcs_setup),
        cmocka_unit_test_setup(pages_of_proxies_are_not_objects, gcs_setup),
        cmocka_unit_test_setup(a_missing_bucket_is_no_missing_object, gcs_setup),
        cmocka_unit_test_setup(credentials_that_are_none, gcs_setup),
        cmocka_unit_test_setup(pages_follow_each_other, gcs_setup),
        cmocka_unit_test_setup(what_is_held_stays, gcs_setup),
        cmocka_unit_test_setup(only_what_was_looked_at_is_deleted, gcs_setup),
        cmocka_unit_test_setup(uploads_have_no_names, gcs_setup),
    };
    return cmocka_run_group_tests(tests, gcs_group_setup, gcs_group_teardown);
}

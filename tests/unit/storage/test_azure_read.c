/* Looking, listing, deleting and reading, against the scripted Azure. */
#include "fake_azure.h"

#define KEY "shop/2025/a b+c.gz"

static void expect_outcome(const struct outcome *o, int code, bool retryable, const char *text)
{
    if (o->err.code != code || (code && o->err.retryable != retryable) ||
        (text && strstr(o->err.message, text) == NULL))
        fail_msg("expected %d (%s), got %d, retryable %d: %s", code, text ? text : "", o->err.code,
                 o->err.retryable, o->err.message);
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    return 0;
}

/* --- Get Blob Properties --- */

static void what_is_there(void **state)
{
    (void)state;
    struct world *world = azure_world_open(NULL, false);
    azure_fake_put(world, KEY, "hello", 5);
    struct outcome o = run_stat_in(world, KEY);
    expect_outcome(&o, 0, false, NULL);
    assert_true(o.exists);
    assert_int_equal(o.size, 5);
    o = run_stat_in(world, "nothing");
    expect_outcome(&o, 0, false, NULL);
    assert_false(o.exists);
    world_close(world);

    world = azure_world_open("\"container\": \"nowhere\", " AZURE_WITH_KEY, false);
    o = run_stat_in(world, KEY);
    expect_outcome(&o, ERROR_NOT_FOUND, false, "\"container\"");
    world_close(world);
}

/* A 404 that doesn't say of what: the container is asked for. */
static void a_404_without_a_code(void **state)
{
    (void)state;
    struct world *world = azure_world_open(NULL, false);
    fake_rule(
        "{\"match\": {\"operation\": \"GetBlobProperties\", \"count\": 0}, \"action\": {\"type\": \"alter\", "
        "\"headers\": {\"x-ms-error-code\": null}}}");
    struct outcome o = run_stat_in(world, KEY);
    expect_outcome(&o, 0, false, NULL);
    assert_false(o.exists);
    assert_int_equal(fake_count("GetContainerProperties"), 1);
    world_close(world);
    fake_reset();
    world = azure_world_open(NULL, false);
    fake_rule(
        "{\"match\": {\"operation\": \"GetBlobProperties\", \"count\": 0}, \"action\": {\"type\": \"alter\", "
        "\"headers\": {\"x-ms-error-code\": null, \"x-ms-request-id\": null}}}");
    o = run_stat_in(world, KEY);
    expect_outcome(&o, ERROR_PROTOCOL, true, "as if a proxy");
    world_close(world);
}

/* --- List Blobs --- */

struct listed {
    int done, n;
    char names[512];
    struct error err;
};

static bool on_entry(struct storage_list *list, const struct storage_entry *entry)
{
    struct listed *l = list->data;
    size_t n = strlen(l->names);
    snprintf(l->names + n, sizeof l->names - n, "%s%s%s|", entry->key, entry->upload_id ? "=" : "",
             entry->upload_id ? entry->upload_id : "");
    assert_true(entry->upload_id || entry->time_ms > INT64_C(1700000000000));
    l->n++;
    return true;
}

static void on_listed(struct storage_list *list, const struct error *err)
{
    struct listed *l = list->data;
    l->done++;
    if (err)
        l->err = *err;
}

static struct listed list_in(struct world *world, enum storage_list_kind kind, const char *prefix)
{
    struct listed l = {0};
    struct storage_op *op;
    struct storage_list list = {.loop = &world->loop,
                                .location = world->location,
                                .prefix = prefix,
                                .kind = kind,
                                .on_entry = on_entry,
                                .done = on_listed,
                                .data = &l};
    assert_int_equal(storage_azure.list_start(&list, &op, &l.err), 0);
    world_run(world, &l.done);
    return l;
}

static void put_block(struct world *world, const char *key)
{
    const struct object_query query[] = {{"comp", "block"}, {"blockid", "AAAA"}};
    const struct object_ask ask = {.operation = "Put Block",
                                   .method = "PUT",
                                   .key = key,
                                   .query = query,
                                   .n_query = 2,
                                   .body = "x",
                                   .body_fd = -1,
                                   .body_size = 1};
    struct call_outcome o = azure_call(world, &ask);
    assert_int_equal(o.err.code, 0);
    free(o.body);
}

static void pages(void **state)
{
    (void)state;
    static const char *const keys[] = {"shop/1", "shop/2 & <3>", "shop/3", "shop/4", "stop/5"};
    struct world *world = azure_world_open(NULL, false);
    fake_tell("POST", "/settings", "{\"page\": 2}");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        azure_fake_put(world, keys[i], "x", 1);
    struct listed l = list_in(world, STORAGE_LIST_OBJECTS, "shop/");
    assert_int_equal(l.err.code, 0);
    assert_string_equal(l.names, "shop/1|shop/2 & <3>|shop/3|shop/4|");
    assert_int_equal(fake_count("ListBlobs"), 2);
    world_close(world);
}

static void names_that_have_blocks_only(void **state)
{
    (void)state;
    struct world *world = azure_world_open(NULL, false);
    azure_fake_put(world, "ours/whole", "x", 1);
    azure_fake_put(world, "ours/empty", "", 0);
    put_block(world, "ours/begun");
    put_block(world, "ours/whole"); /* a blob stands there: not an upload that never ended */
    put_block(world, "theirs/begun");
    struct listed l = list_in(world, STORAGE_LIST_UPLOADS, "ours/");
    assert_int_equal(l.err.code, 0);
    assert_string_equal(l.names, "ours/begun=uncommitted|");
    l = list_in(world, STORAGE_LIST_OBJECTS, "ours/");
    assert_string_equal(l.names, "ours/empty|ours/whole|");
    world_close(world);
}

/* --- Delete Blob --- */

static void on_deleted(struct storage_delete *del, bool existed, const struct error *err)
{
    struct outcome *o = del->data;
    o->done++;
    o->existed = existed;
    if (err)
        o->err = *err;
}

static struct outcome delete_in(struct world *world, struct storage_delete del)
{
    struct outcome o = {0};
    struct storage_op *op;
    del.loop = &world->loop;
    del.location = world->location;
    del.done = on_deleted;
    del.data = &o;
    if (storage_azure.delete_start(&del, &op, &o.err) == 0)
        world_run(world, &o.done);
    return o;
}

static void deletions(void **state)
{
    (void)state;
    struct world *world = azure_world_open(NULL, false);
    azure_fake_put(world, KEY, "hello", 5);
    put_block(world, "begun");
    struct outcome o = delete_in(world, (struct storage_delete){.key = KEY});
    expect_outcome(&o, 0, false, NULL);
    assert_true(o.existed);
    o = delete_in(world, (struct storage_delete){.key = KEY});
    expect_outcome(&o, 0, false, NULL);
    assert_false(o.existed);

    /* nothing is there that could be removed */
    int before = fake_count(NULL);
    o = delete_in(world, (struct storage_delete){.near_key = "begun", .row_id = 1, .fence = 2});
    expect_outcome(&o, 0, false, NULL);
    assert_false(o.existed);
    o = delete_in(world, (struct storage_delete){.key = "begun", .upload_id = "uncommitted"});
    expect_outcome(&o, 0, false, NULL);
    assert_false(o.existed);
    assert_int_equal(fake_count(NULL), before);
    world_close(world);

    world = azure_world_open("\"container\": \"nowhere\", " AZURE_WITH_KEY, false);
    o = delete_in(world, (struct storage_delete){.key = KEY});
    expect_outcome(&o, ERROR_NOT_FOUND, false, "ContainerNotFound");
    world_close(world);
}

static void what_may_not_go(void **state)
{
    (void)state;
    static const struct {
        const char *code, *says;
    } cases[] = {{"BlobImmutableDueToPolicy", "immutability policy"}, {"SnapshotsPresent", "snapshots"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char rule[256];
        fake_reset();
        snprintf(
            rule, sizeof rule,
            "{\"match\": {\"operation\": \"DeleteBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
            "\"status\": 409, \"code\": \"%s\"}}",
            cases[i].code);
        fake_rule(rule);
        struct world *world = azure_world_open(NULL, false);
        azure_fake_put(world, KEY, "hello", 5);
        struct outcome o = delete_in(world, (struct storage_delete){.key = KEY});
        assert_true(o.err.code < 0 && !o.err.retryable);
        assert_non_null(strstr(o.err.message, cases[i].says));
        assert_non_null(strstr(o.err.message, cases[i].code));
        assert_int_equal(fake_count("DeleteBlob"), 1);
        world_close(world);
    }
}

/* --- Get Blob --- */

static void on_got(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct outcome *o = get->data;
    o->done++;
    o->size = size;
    if (err)
        o->err = *err;
    else
        memcpy(o->sha256, sha256, sizeof o->sha256);
}

static struct outcome get_in(struct world *world, const char *key)
{
    struct outcome o = {0};
    struct storage_op *op;
    struct storage_get get = {.loop = &world->loop,
                              .location = world->location,
                              .key = key,
                              .target_fd = -1,
                              .done = on_got,
                              .data = &o};
    assert_int_equal(storage_azure.get_start(&get, &op, &o.err), 0);
    world_run(world, &o.done);
    return o;
}

/* Broken off in the middle: goes on from the byte reached, of the same version of the blob. */
static void a_reading_that_is_cut(void **state)
{
    (void)state;
    struct artifact a = artifact_make((5 << 20) + 3, 4);
    struct world *world = azure_world_open(NULL, false);
    azure_fake_put(world, KEY, a.data, a.size);
    fake_rule(
        "{\"match\": {\"operation\": \"GetBlob\", \"nth\": 2}, \"action\": {\"type\": \"close_response\", "
        "\"bytes\": 1000000}}");
    struct outcome o = get_in(world, KEY);
    expect_outcome(&o, 0, false, NULL);
    assert_string_equal(o.sha256, a.sha256);
    assert_int_equal(fake_count("GetBlob"), 3);

    fake_rule(
        "{\"match\": {\"operation\": \"GetBlob\", \"nth\": 2}, \"action\": {\"type\": \"respond\", \"status\": "
        "412, \"code\": \"ConditionNotMet\"}}");
    o = get_in(world, KEY);
    expect_outcome(&o, ERROR_CONFLICT, false, "changed while it was read");

    fake_rule(
        "{\"match\": {\"operation\": \"GetBlob\", \"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": "
        "409, \"code\": \"BlobArchived\"}}");
    o = get_in(world, KEY);
    expect_outcome(&o, ERROR_CONFLICT, false, "rehydrate");
    world_close(world);
    artifact_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_there, setup),
        cmocka_unit_test_setup(a_404_without_a_code, setup),
        cmocka_unit_test_setup(pages, setup),
        cmocka_unit_test_setup(names_that_have_blocks_only, setup),
        cmocka_unit_test_setup(deletions, setup),
        cmocka_unit_test_setup(what_may_not_go, setup),
        cmocka_unit_test_setup(a_reading_that_is_cut, setup),
    };
    return cmocka_run_group_tests(tests, azure_group_setup, azure_group_teardown);
}

/* get against the scripted server; what every read needs: the customer's key, certificates. */
#include "fake_s3.h"

#define KEY "shop/2025/11/02/shop a+b_20251102.sql.gz"
#define MIB ((size_t)1 << 20)

static int s3_get(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    return harness_driver(&get->location)->get_start(get, ret_op, err);
}

struct range {
    uint64_t offset, length;
};

static struct outcome run_range(struct world *world, const char *key, int fd, bool stream, struct range range)
{
    struct outcome o = {.running = true};
    struct storage_op *op;
    struct storage_get get = {.loop = &world->loop,
                              .location = world->location,
                              .key = key,
                              .target_fd = fd,
                              .target_is_stream = stream,
                              .offset = range.offset,
                              .length = range.length,
                              .done = on_get,
                              .data = &o};
    int rc = s3_get(&get, &op, &o.err);
    o.running = false;
    if (rc == 0)
        world_run(world, &o.done);
    if (o.done && !o.err.code)
        assert_int_equal(get.bytes_done, o.size);
    return o;
}

static struct outcome run_whole(struct world *world, const char *key, int fd)
{
    return run_range(world, key, fd, false, (struct range){0, 0});
}

static int open_target(void)
{
    int fd = open(harness_root, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void expect_bytes(int fd, const void *data, size_t size)
{
    char *found = malloc(size + 1);
    assert_int_equal(pread(fd, found, size + 1, 0), size);
    assert_memory_equal(found, data, size);
    free(found);
}

static void expect_whole(struct world *world, const struct artifact *a)
{
    int fd = open_target();
    struct outcome o = run_whole(world, KEY, fd);
    expect_success(&o);
    assert_int_equal(o.size, a->size);
    assert_string_equal(o.sha256, a->sha256);
    expect_bytes(fd, a->data, a->size);
    close(fd);
}

static void whole_objects(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 65536, MIB - 1, MIB, MIB + 1, 9 * MIB + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fake_reset();
        struct artifact a = artifact_make(sizes[i], (unsigned)i);
        struct world *world = world_open(NULL, i % 2);
        fake_put(world, KEY, a.data, a.size);
        expect_whole(world, &a);
        /* what fits into the first request takes one; an empty object has no range */
        assert_int_equal(fake_count("GetObject"), a.size == 0 || a.size > MIB ? 2 : 1);
        struct outcome o = run_whole(world, KEY, -1);
        expect_success(&o);
        assert_string_equal(o.sha256, a.sha256);
        world_close(world);
        artifact_free(&a);
    }
}

static void ranges(void **state)
{
    (void)state;
    const size_t size = 3 * MIB + 7;
    const struct {
        struct range range;
        size_t expected;
    } cases[] = {
        {{0, 10}, 10},
        {{5, 0}, size - 5},
        {{MIB - 3, 10}, 10},
        {{1, 2 * MIB}, 2 * MIB},
        {{size - 1, 1}, 1},
        {{size - 1, 100}, 1},
        {{0, size + 100}, size},
        {{size, 1}, 0},
        {{size + 9, 0}, 0},
        {{2 * MIB, 0}, MIB + 7},
        {{0, MIB}, MIB},
        {{0, MIB + 1}, MIB + 1},
        {{7, INT64_MAX - 7}, size - 7},
    };
    fake_reset();
    struct artifact a = artifact_make(size, 3);
    struct world *world = world_open(NULL, false);
    fake_put(world, KEY, a.data, a.size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = open_target();
        char sha256[STORAGE_SHA256_SIZE];
        struct outcome o = run_range(world, KEY, fd, false, cases[i].range);
        expect_success(&o);
        assert_int_equal(o.size, cases[i].expected);
        const unsigned char *from = a.data + (cases[i].expected ? cases[i].range.offset : 0);
        harness_sha256(from, cases[i].expected, sha256);
        assert_string_equal(o.sha256, sha256);
        expect_bytes(fd, from, cases[i].expected);
        close(fd);
    }
    struct outcome o = run_range(world, KEY, -1, false, (struct range){1, INT64_MAX});
    assert_int_equal(o.done, 0);
    expect_error(&o, ERROR_INPUT, false, "2^63");
    world_close(world);
    artifact_free(&a);
}

/* What goes wrong once or often on the way of an object of 3 MiB, that arrives whole all the same. */
static void broken_and_taken_up(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int requests;
    } cases[] = {
        {"{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"close_response\", \"bytes\": 100000}}",
         3},
        {"{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"close_response\", \"bytes\": 0}}",
         3},
        {"{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"close_response\", "
         "\"bytes\": 1000001, \"reset\": true}}",
         3},
        {"{\"match\": {\"operation\": \"GetObject\", \"nth\": 2, \"count\": 6}, \"action\": {\"type\": "
         "\"close_response\", \"bytes\": 300000}}",
         8},
        {"{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"truncate\", \"bytes\": "
         "500000}}",
         3},
        {"{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"truncate\", \"bytes\": 5}}",
         2},
        {"{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"respond\", \"code\": "
         "\"SlowDown\"}}",
         3},
        {"{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"drop_answer\", \"reset\": true}}",
         3},
    };
    struct artifact a = artifact_make(3 * MIB + 7, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_reset();
        struct world *world = world_open(NULL, false);
        fake_put(world, KEY, a.data, a.size);
        fake_rule(cases[i].rule);
        expect_whole(world, &a);
        if (fake_count("GetObject") != cases[i].requests)
            fail_msg("%d requests: %s", fake_count("GetObject"), cases[i].rule);
        world_close(world);
    }
    artifact_free(&a);
}

static const struct {
    const char *name, *rule;
    int code;
    bool retryable;
    const char *says;
    int requests;
} failures[] = {
    {"changed in the middle",
     "{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"alter\", \"headers\": {\"ETag\": "
     "\"\\\"other\\\"\"}}}",
     ERROR_CONFLICT, false, "changed while it was read", 2},
    {"changed in the middle, as If-Match tells",
     "{\"match\": {\"operation\": \"GetObject\", \"header\": {\"if-match\": \"^\\\"[0-9a-f]\"}}, \"action\": "
     "{\"type\": \"respond\", \"status\": 412, \"code\": \"PreconditionFailed\"}}",
     ERROR_CONFLICT, false, "changed while it was read", 2},
    {"another size in the middle",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"Content-Range\": \"bytes 1048576-3145734/9999999\"}}}",
     ERROR_CONFLICT, false, "changed while it was read", 2},
    {"another ETag, and If-Match ignored",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"ETag\": \"\\\"other\\\"\"}}}",
     ERROR_CONFLICT, false, "changed while it was read", 2},
    {"another range",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"Content-Range\": \"bytes 5-3145734/3145735\"}}}",
     ERROR_PROTOCOL, true, "another range came", 2},
    {"no range said",
     "{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"alter\", \"headers\": "
     "{\"Content-Range\": null}}}",
     ERROR_PROTOCOL, true, "doesn't say which", 1},
    {"ranges ignored",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", \"status\": 200}}",
     ERROR_PROTOCOL, true, "not a range", 2},
    {"no bytes",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"truncate\", \"bytes\": 0}}",
     ERROR_PROTOCOL, true, "without any bytes", 2},
    {"endless", "{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"endless\"}}",
     ERROR_PROTOCOL, false, "more bytes came", 1},
    {"never the first byte",
     "{\"match\": {\"operation\": \"GetObject\", \"count\": 0}, \"action\": {\"type\": \"close_response\"}}",
     ERROR_UNREACHABLE, true, KEY, 3},
    {"broken before anything is known",
     "{\"match\": {\"operation\": \"GetObject\", \"count\": 0}, \"action\": {\"type\": \"close_response\", "
     "\"bytes\": 10}}",
     ERROR_UNREACHABLE, true, KEY, 4},
    {"a byte per connection",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2, \"count\": 0}, \"action\": {\"type\": "
     "\"close_response\", \"bytes\": 1}}",
     ERROR_UNREACHABLE, true, KEY, 66},
    {"gone in the middle",
     "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"respond\", \"status\": 404, "
     "\"code\": \"NoSuchKey\"}}",
     ERROR_NOT_FOUND, false, "NoSuchKey", 2},
    {"denied",
     "{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"respond\", \"status\": 403, \"code\": "
     "\"AccessDenied\"}}",
     ERROR_DENIED, false, "AccessDenied", 1},
};

static void gets_that_fail(void **state)
{
    (void)state;
    struct artifact a = artifact_make(3 * MIB + 7, 4);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        print_message("           %s\n", failures[i].name);
        fake_reset();
        struct world *world = world_open(NULL, false);
        fake_put(world, KEY, a.data, a.size);
        fake_rule(failures[i].rule);
        int fd = open_target();
        struct outcome o = run_whole(world, KEY, fd);
        expect_error(&o, failures[i].code, failures[i].retryable, failures[i].says);
        assert_int_equal(fake_count("GetObject"), failures[i].requests);
        close(fd);
        world_close(world);
    }
    artifact_free(&a);
}

static void nothing_there(void **state)
{
    (void)state;
    fake_reset();
    struct world *world = world_open(NULL, false);
    struct outcome o = run_whole(world, KEY, -1);
    expect_error(&o, ERROR_NOT_FOUND, false, KEY);
    world_close(world);
}

static void targets_that_fail(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        bool stream;
    } cases[] = {{100, false}, {3 * MIB, false}, {100, true}, {3 * MIB, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_reset();
        struct artifact a = artifact_make(cases[i].size, 4);
        struct world *world = world_open(NULL, false);
        fake_put(world, KEY, a.data, a.size);
        int fds[2] = {-1, open("/dev/full", O_WRONLY | O_CLOEXEC)};
        if (cases[i].stream) {
            close(fds[1]);
            assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
            close(fds[0]);
        }
        struct outcome o = run_range(world, KEY, fds[1], cases[i].stream, (struct range){0, 0});
        expect_error(&o, cases[i].stream ? ERROR_UNREACHABLE : ERROR_NO_SPACE, true, KEY);
        assert_int_equal(fake_count("GetObject"), 1);
        close(fds[1]);
        world_close(world);
        artifact_free(&a);
    }
}

struct stream_reader {
    int fd;
    struct artifact found;
};

static void read_stream(void *data)
{
    struct stream_reader *r = data;
    ssize_t n;
    while ((n = read(r->fd, r->found.data + r->found.size, 65536)) > 0)
        r->found.size += (size_t)n;
}

/* 8 MiB at a time, and taken up where it broke. */
static void into_a_pipe(void **state)
{
    (void)state;
    static const char *const rules[] = {
        NULL,
        "{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"close_response\", \"bytes\": "
        "1000003}}",
        "{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"close_response\", \"bytes\": 1000003}}",
    };
    struct artifact a = artifact_make(19 * MIB + 17, 5);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        fake_reset();
        struct world *world = world_open(NULL, false);
        fake_put(world, KEY, a.data, a.size);
        fake_rule(rules[i]);
        int fds[2];
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        struct stream_reader reader = {.fd = fds[0], .found.data = malloc(a.size + 65536)};
        uv_thread_t thread;
        assert_int_equal(uv_thread_create(&thread, read_stream, &reader), 0);
        struct outcome o = run_range(world, KEY, fds[1], true, (struct range){0, 0});
        close(fds[1]);
        uv_thread_join(&thread);
        close(fds[0]);
        expect_success(&o);
        assert_string_equal(o.sha256, a.sha256);
        assert_int_equal(reader.found.size, a.size);
        assert_memory_equal(reader.found.data, a.data, a.size);
        assert_int_equal(fake_count("GetObject"), i ? 4 : 3);
        free(reader.found.data);
        world_close(world);
    }
    artifact_free(&a);
}

/* Ends an operation once the server is at work on it, or has been. */
struct canceller {
    uv_timer_t timer;
    struct storage_op *op;
    const int *done;
    const char *operation;
    int requests;
};

static void on_turn(uv_timer_t *timer)
{
    struct canceller *c = timer->data;
    bool due = fake_count(c->operation) >= c->requests;
    if (!*c->done && due)
        storage_op_cancel(c->op);
    if (*c->done || due)
        uv_close((uv_handle_t *)timer, NULL);
}

static void cancelled_gets(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int requests;
        bool stream; /* whose reader never reads */
    } cases[] = {
        {NULL, 0, false},
        {"{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"stall\"}}", 1, false},
        {"{\"match\": {\"operation\": \"GetObject\", \"nth\": 2}, \"action\": {\"type\": \"stall\", \"at\": \"body\", "
         "\"bytes\": 5000}}",
         2, false},
        {NULL, 1, true},
    };
    struct artifact a = artifact_make(3 * MIB, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_reset();
        struct world *world = world_open(NULL, false);
        fake_put(world, KEY, a.data, a.size);
        fake_rule(cases[i].rule);
        int fds[2] = {-1, -1};
        if (cases[i].stream)
            assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        struct outcome o = {0};
        struct storage_get get = {.loop = &world->loop,
                                  .location = world->location,
                                  .key = KEY,
                                  .target_fd = fds[1],
                                  .target_is_stream = cases[i].stream,
                                  .done = on_get,
                                  .data = &o};
        struct canceller c = {.done = &o.done, .operation = "GetObject", .requests = cases[i].requests};
        assert_int_equal(s3_get(&get, &c.op, &o.err), 0);
        uv_timer_init(&world->loop, &c.timer);
        c.timer.data = &c;
        uv_timer_start(&c.timer, on_turn, 0, 1);
        if (cases[i].requests == 0)
            storage_op_cancel(c.op);
        world_run(world, &o.done);
        expect_error(&o, ERROR_CANCELLED, true, "cancelled");
        if (cases[i].stream) {
            close(fds[0]);
            close(fds[1]);
        }
        world_close(world);
    }
    artifact_free(&a);
}

/* The customer's key goes with each read, and is needed. */

static void on_open(void *data, const struct error *err)
{
    struct call_outcome *o = data;
    o->done++;
    if (err)
        o->err = *err;
}

#define SSE_C                                                                                                \
    "\"bucket\": \"bucket\", " FAKE_KEYS ", \"sse\": \"customer\", \"sse_customer_key_ref\": \"env:SSE_KEY\""

static void customer_keys(void **state)
{
    (void)state;
    fake_reset();
    setenv("SSE_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", 1);
    struct world *world = world_open(SSE_C, true);
    struct s3_session session;
    struct object_call *call;
    struct call_outcome o = {0};
    assert_int_equal(object_session_init(&session.base, &s3_protocol, &world->loop, &world->location, &o.err),
                     0);
    assert_int_equal(object_session_open(&session.base, on_open, &o, &o.err), 0);
    assert_int_equal(o.done, 0);
    world_run(world, &o.done);
    assert_int_equal(o.err.code, 0);
    const struct object_ask ask = {.operation = "PutObject",
                                   .method = "PUT",
                                   .key = KEY,
                                   .body = "hello",
                                   .body_fd = -1,
                                   .body_size = 5,
                                   .customer_key = true,
                                   .done = on_call,
                                   .data = &o};
    o = (struct call_outcome){0};
    assert_int_equal(object_call_start(&session.base, &ask, &call, &o.err), 0);
    world_run(world, &o.done);
    assert_int_equal(o.err.code, 0);
    free(o.body);
    object_session_deinit(&session.base);

    struct outcome read = run_whole(world, KEY, -1);
    expect_success(&read);
    assert_int_equal(read.size, 5);
    read = run_stat_in(world, KEY);
    expect_success(&read);
    assert_int_equal(read.size, 5);
    world_close(world);

    world = world_open(NULL, true); /* without the key */
    read = run_whole(world, KEY, -1);
    expect_error(&read, ERROR_INPUT, false, "400");
    world_close(world);

    static const char *const wrong[] = {"short", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MD!=",
                                        "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("SSE_KEY", wrong[i], 1);
        world = world_open(SSE_C, true);
        read = run_stat_in(world, KEY);
        expect_error(&read, ERROR_INPUT, false, "openssl rand -base64 32");
        assert_null(strstr(read.err.message, wrong[i]));
        world_close(world);
    }
    unsetenv("SSE_KEY");
    world = world_open(SSE_C, true);
    read = run_stat_in(world, KEY);
    expect_error(&read, ERROR_NOT_FOUND, true, "SSE_KEY");
    world_close(world);
}

/* A CA file is asked for when it is used. */
static void certificates(void **state)
{
    (void)state;
    static const struct {
        const char *ca_file;
        int code;
        const char *says;
    } cases[] = {{"/nowhere/ca.pem", ERROR_INPUT, "ca_file"}, {NULL, ERROR_DENIED, "ca_file"}};
    for (size_t i = 0; i < 2; i++) {
        fake_reset();
        struct world *world = world_open(NULL, true);
        json_object_set_new(world->config, "ca_file",
                            cases[i].ca_file ? json_string(cases[i].ca_file) : json_null());
        struct error err = {0};
        assert_int_equal(harness_driver(&world->location)->check(&world->location, KEY, &err), 0);
        struct outcome o = run_stat_in(world, KEY);
        expect_error(&o, cases[i].code, false, cases[i].says);
        assert_int_equal(fake_count(NULL), 0);
        world_close(world);
    }
}

/* 200 without an ETag: a proxy's own word, which tells nothing of the object. */
static void a_page_in_the_stores_place(void **state)
{
    (void)state;
    static const char page[] = "{\"match\": {\"count\": 0}, \"before_auth\": true, \"action\": {\"type\": "
                               "\"garbage\", \"body\": \"<html>Log in\"}}";
    fake_reset();
    struct world *world = world_open(NULL, true);
    fake_put(world, KEY, "hello", 5);
    fake_rule(page);
    struct outcome o = run_stat_in(world, KEY);
    expect_error(&o, ERROR_PROTOCOL, true, "no ETag came with it");
    o = run_whole(world, KEY, -1);
    expect_error(&o, ERROR_PROTOCOL, true, "no ETag came with it");
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_objects),
        cmocka_unit_test(ranges),
        cmocka_unit_test(broken_and_taken_up),
        cmocka_unit_test(gets_that_fail),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(targets_that_fail),
        cmocka_unit_test(into_a_pipe),
        cmocka_unit_test(cancelled_gets),
        cmocka_unit_test(customer_keys),
        cmocka_unit_test(certificates),
        cmocka_unit_test(a_page_in_the_stores_place),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}

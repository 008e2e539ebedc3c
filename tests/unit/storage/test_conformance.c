/*
 * What every driver must do, whatever it talks to: one suite, run over a table of places
 * (conformance_place.h). Behaviour of one driver only goes into a test of its own.
 *
 * Arguments: `disks`, `s3`, `azure` or `gcs`, the part to run; none: all of them.
 */
#include "conformance_place.h"

static void round_trip(void)
{
    static const size_t sizes[] = {
        0, 1, 4095, 4096, 65536, 1 << 20, (1 << 20) + 1, 4 << 20, (4 << 20) + 4096, (5 << 20) + 123};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], (unsigned)i);
        struct outcome o = run_put(&location, KEY, &a, 301, 1);
        expect_success(&o);
        assert_int_equal(o.size, a.size);
        assert_string_equal(o.sha256, a.sha256);
        assert_false(o.existed);
        assert_int_equal(count_objects(), 1);
        expect_same(KEY, &a);

        o = run_get(&location, KEY, -1);
        expect_success(&o);
        assert_string_equal(o.sha256, a.sha256);

        o = run_stat(&location, KEY);
        expect_success(&o);
        assert_true(o.exists);
        assert_int_equal(o.size, a.size);

        o = run_delete(&location, KEY, NULL, 301, 1);
        expect_success(&o);
        assert_true(o.existed);
        assert_int_equal(count_objects(), 0);
        artifact_free(&a);
    }
}

static void missing_objects(void)
{
    struct outcome o = run_stat(&location, KEY);
    expect_success(&o);
    assert_false(o.exists);
    o = run_delete(&location, KEY, NULL, 1, 1);
    expect_success(&o);
    assert_false(o.existed);
    o = run_delete(&location, NULL, KEY, 1, 9);
    expect_success(&o);
    assert_false(o.existed);
    o = run_get(&location, KEY, -1);
    expect_error(&o, ERROR_NOT_FOUND, false, KEY);
}

static void equal_object_stands(void)
{
    static const size_t sizes[] = {0, 100, (3 << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], 7);
        struct outcome o = run_put(&location, KEY, &a, 301, 1);
        expect_success(&o);
        o = run_put(&location, KEY, &a, 301, 2);
        expect_success(&o);
        assert_true(o.existed);
        assert_int_equal(o.size, a.size);
        assert_string_equal(o.sha256, a.sha256);
        assert_int_equal(count_objects(), 1);
        run_delete(&location, KEY, NULL, 301, 2);
        artifact_free(&a);
    }
}

static void other_object_stands(void)
{
    static const size_t sizes[][2] = {{100, 100},         {100, 0},     {0, 100},
                                      {2 << 20, 2 << 20}, {2 << 20, 5}, {5, 2 << 20}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i][0], 1);
        struct artifact b = artifact_make(sizes[i][1], 2);
        struct outcome o = run_put(&location, KEY, &a, 301, 1);
        expect_success(&o);
        o = run_put(&location, KEY, &b, 302, 1);
        expect_error(&o, ERROR_CONFLICT, false, a.sha256);
        expect_error(&o, ERROR_CONFLICT, false, b.sha256);
        expect_error(&o, ERROR_CONFLICT, false, KEY);
        assert_int_equal(count_objects(), 1);
        expect_same(KEY, &a);
        run_delete(&location, KEY, NULL, 301, 1);
        artifact_free(&a);
        artifact_free(&b);
    }
}

static void wrong_digest_publishes_nothing(void)
{
    static const size_t sizes[] = {0, 100, (3 << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], 7);
        a.sha256[0] = a.sha256[0] == '0' ? '1' : '0';
        struct outcome o = run_put(&location, KEY, &a, 301, 1);
        expect_error(&o, ERROR_CORRUPT, true, a.sha256);
        assert_int_equal(count_objects(), 0);
        artifact_free(&a);
    }
}

static void short_source_publishes_nothing(void)
{
    static const size_t sizes[] = {100, (3 << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], 7);
        a.size += 3;
        struct outcome o = run_put(&location, KEY, &a, 301, 1);
        expect_error(&o, ERROR_CORRUPT, true, "shorter");
        assert_int_equal(count_objects(), 0);
        artifact_free(&a);
    }
}

static void unsafe_keys_are_refused_before_anything_runs(void)
{
    static const char *const keys[] = {"",     "/etc/passwd", "..",          "../x",    "a/../x",
                                       "a/..", "./a",         "a/./b",       "a//b",    "a/",
                                       "a\nb", "a\x7f",       ".bm-1-1.tmp", "a/.bm-x", ".backupmanager-disk",
                                       "a\tb"};
    struct artifact a = artifact_make(10, 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct error err;
        if (here->store != DISK && harness_driver(&location)->check(&location, keys[i], &err) == 0)
            continue; /* a legal name there: test_s3_config, test_azure_config, test_gcs_config */
        struct outcome o = run_put(&location, keys[i], &a, 1, 1);
        assert_int_equal(o.done, 0);
        expect_error(&o, ERROR_UNSAFE_PATH, false, "path");
        if (here->store == AZURE && object_key_check(keys[i], NULL) == 0)
            continue; /* what others have written so can be read */
        o = run_get(&location, keys[i], -1);
        expect_error(&o, ERROR_UNSAFE_PATH, false, "path");
        o = run_stat(&location, keys[i]);
        expect_error(&o, ERROR_UNSAFE_PATH, false, "path");
        o = run_delete(&location, keys[i], NULL, 1, 1);
        expect_error(&o, ERROR_UNSAFE_PATH, false, "path");
    }
    artifact_free(&a);
    assert_int_equal(count_objects(), 0);
}

static void strange_but_legal_keys(void)
{
    char component[256];
    memset(component, 'x', 255);
    component[255] = '\0';
    const char *const keys[] = {
        "...", "..a/b..", " a/ b", "\xc3\xa0/\xf0\x9f\x92\xbe.gz", "a*?[b]'\"$(x);", component};
    struct artifact a = artifact_make(10, 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct error err;
        if (here->store == AZURE && harness_driver(&location)->check(&location, keys[i], &err) < 0)
            continue; /* a '.' at the end of a component */
        struct outcome o = run_put(&location, keys[i], &a, 1, 1);
        expect_success(&o);
        expect_same(keys[i], &a);
    }
    artifact_free(&a);
}

/* Cancels once the copy has begun to move; no clock involved. */
struct canceller {
    uv_idle_t idle;
    struct storage_op *op;
    _Atomic uint64_t *bytes_done;
    const struct outcome *outcome;
};

static void on_idle(uv_idle_t *idle)
{
    struct canceller *c = idle->data;
    bool begun = atomic_load(c->bytes_done) > 0;
    if (begun && !c->outcome->done)
        storage_op_cancel(c->op);
    if (begun || c->outcome->done)
        uv_close((uv_handle_t *)idle, NULL);
}

static void cancelled_in_the_middle_leaves_nothing(void)
{
    struct artifact a = {.size = (size_t)256 << 20, .fd = open(harness_root, O_RDWR | O_TMPFILE, 0600)};
    assert_int_equal(ftruncate(a.fd, (off_t)a.size), 0);
    /* of 256 MiB of zeros: some drivers look at it before they send anything */
    strcpy(a.sha256, "a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484");
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome o = {0};
    struct storage_put put = {.loop = &loop,
                              .location = harness_at(&location),
                              .key = KEY,
                              .source_fd = a.fd,
                              .size = a.size,
                              .sha256 = a.sha256,
                              .row_id = 301,
                              .fence = 1,
                              .done = on_put,
                              .data = &o};
    struct canceller c = {.bytes_done = &put.bytes_done, .outcome = &o};
    assert_int_equal(harness_driver(&location)->put_start(&put, &c.op, &o.err), 0);
    uv_idle_init(&loop, &c.idle);
    c.idle.data = &c;
    uv_idle_start(&c.idle, on_idle);
    harness_run(&loop, &o, 0);
    expect_error(&o, ERROR_CANCELLED, true, "cancelled");
    assert_true(put.bytes_done < a.size);
    assert_int_equal(count_objects(), 0);
    close(a.fd);
}

static void cancelled_at_once_leaves_nothing(void)
{
    struct artifact a = artifact_make(1000, 1);
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome put_outcome = {0};
    struct storage_put put = {.loop = &loop,
                              .location = harness_at(&location),
                              .key = KEY,
                              .source_fd = a.fd,
                              .size = a.size,
                              .sha256 = a.sha256,
                              .row_id = 301,
                              .fence = 1,
                              .done = on_put,
                              .data = &put_outcome};
    struct storage_op *op;
    assert_int_equal(harness_driver(&location)->put_start(&put, &op, &put_outcome.err), 0);
    storage_op_cancel(op);
    harness_run(&loop, &put_outcome, 0);
    /* It may have been quicker: then it is whole. */
    if (put_outcome.err.code)
        expect_error(&put_outcome, ERROR_CANCELLED, true, "cancelled");
    assert_int_equal(count_objects(), put_outcome.err.code ? 0 : 1);
    artifact_free(&a);
}

static void many_at_once(void)
{
    enum { N = 120 };
    static struct storage_put puts[N];
    static struct outcome outcomes[N];
    static char keys[N][64];
    struct artifact small = artifact_make(2000, 1);
    struct artifact large = artifact_make((1 << 20) + 777, 2);
    uv_loop_t loop;
    harness_loop_open(&loop);
    for (int i = 0; i < N; i++) {
        struct artifact *a = i % 10 ? &small : &large;
        snprintf(keys[i], sizeof keys[i], "many/%d/%d/%d", i % 3, i % 7, i);
        outcomes[i] = (struct outcome){0};
        puts[i] = (struct storage_put){.loop = &loop,
                                       .location = harness_at(&location),
                                       .key = keys[i],
                                       .source_fd = a->fd,
                                       .size = a->size,
                                       .sha256 = a->sha256,
                                       .row_id = i + 1,
                                       .fence = 1,
                                       .done = on_put,
                                       .data = &outcomes[i]};
        struct storage_op *op;
        assert_int_equal(harness_driver(&location)->put_start(&puts[i], &op, &outcomes[i].err), 0);
    }
    harness_loop_end(&loop, N);
    for (int i = 0; i < N; i++)
        expect_success(&outcomes[i]);
    assert_int_equal(count_objects(), N);
    expect_same("many/1/4/109", &small);
    expect_same("many/0/4/60", &large);
    artifact_free(&small);
    artifact_free(&large);
}

/* Pairs that want the same name: of different bytes one wins, of equal bytes both are content. In between,
 * uploads that fail alone. */
static void many_fates_at_once(void)
{
    enum { N = 120 };
    static struct storage_put puts[N];
    static struct outcome outcomes[N];
    static char keys[N][64];
    struct artifact a = artifact_make(3000, 1);
    struct artifact b = artifact_make(3000, 2);
    char wrong[STORAGE_SHA256_SIZE];
    memset(wrong, '0', 64);
    wrong[64] = '\0';
    uv_loop_t loop;
    harness_loop_open(&loop);
    for (int i = 0; i < N; i++) {
        int fate = i % 6; /* 0, 1: equal pair; 2, 3: different pair; 4: wrong digest; 5: cancelled */
        const struct artifact *chosen = fate == 3 ? &b : &a;
        snprintf(keys[i], sizeof keys[i], "fates/%d/%d", i / 6, fate < 4 ? fate / 2 : fate);
        outcomes[i] = (struct outcome){0};
        puts[i] = (struct storage_put){.loop = &loop,
                                       .location = harness_at(&location),
                                       .key = keys[i],
                                       .source_fd = chosen->fd,
                                       .size = chosen->size,
                                       .sha256 = fate == 4 ? wrong : chosen->sha256,
                                       .row_id = i + 1,
                                       .fence = 1,
                                       .done = on_put,
                                       .data = &outcomes[i]};
        struct storage_op *op;
        assert_int_equal(harness_driver(&location)->put_start(&puts[i], &op, &outcomes[i].err), 0);
        if (fate == 5)
            storage_op_cancel(op);
    }
    harness_loop_end(&loop, N);
    int objects = 0;
    for (int i = 0; i < N; i += 6) {
        struct outcome *o = &outcomes[i];
        expect_success(&o[0]);
        expect_success(&o[1]);
        assert_int_equal(o[0].existed + o[1].existed, 1);
        assert_true(!o[2].err.code != !o[3].err.code);
        expect_error(o[2].err.code ? &o[2] : &o[3], ERROR_CONFLICT, false, a.sha256);
        expect_same(keys[i + 2], o[2].err.code ? &b : &a);
        expect_error(&o[4], ERROR_CORRUPT, true, wrong);
        if (o[5].err.code)
            expect_error(&o[5], ERROR_CANCELLED, true, "cancelled");
        objects += o[5].err.code ? 2 : 3;
    }
    assert_int_equal(count_objects(), objects);
    artifact_free(&a);
    artifact_free(&b);
}

/* The same row's two attempts at once, as when a lease was lost: one object, whole, and nothing else. */
static void two_attempts_at_once(void)
{
    struct artifact a = artifact_make((5 << 20) + 3, 9);
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome outcomes[2] = {{0}, {0}};
    struct storage_put puts[2];
    for (int i = 0; i < 2; i++) {
        puts[i] = (struct storage_put){.loop = &loop,
                                       .location = harness_at(&location),
                                       .key = KEY,
                                       .source_fd = a.fd,
                                       .size = a.size,
                                       .sha256 = a.sha256,
                                       .row_id = 301,
                                       .fence = i + 1,
                                       .done = on_put,
                                       .data = &outcomes[i]};
        struct storage_op *op;
        assert_int_equal(harness_driver(&location)->put_start(&puts[i], &op, &outcomes[i].err), 0);
    }
    harness_loop_end(&loop, 2);
    expect_success(&outcomes[1]);
    if (outcomes[0].err.code) /* its temporary file was taken away by the later one */
        expect_error(&outcomes[0], ERROR_CANCELLED, true, "later attempt");
    assert_int_equal(count_objects(), 1);
    expect_same(KEY, &a);
    artifact_free(&a);
}

static void ranges(void)
{
    const size_t size = (1 << 20) + 77;
    const struct {
        uint64_t offset, length;
        size_t expected;
    } cases[] = {
        {0, 10, 10},
        {5, 0, size - 5},
        {size - 1, 1, 1},
        {size - 1, 100, 1},
        {0, size + 100, size},
        {size, 1, 0},
        {size + 9, 0, 0},
        {300000, 300000, 300000},
        {262144, 262144, 262144},
        {0, size, size},
        {7, INT64_MAX - 7, size - 7},
    };
    struct artifact a = artifact_make(size, 3);
    struct outcome o = run_put(&location, KEY, &a, 301, 1);
    expect_success(&o);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = open(harness_root, O_RDWR | O_TMPFILE, 0600);
        char sha256[STORAGE_SHA256_SIZE], *found = malloc(size + 1);
        o = run_get_range(&location, KEY, fd, cases[i].offset, cases[i].length);
        expect_success(&o);
        assert_int_equal(o.size, cases[i].expected);
        const unsigned char *from = a.data + (cases[i].expected ? cases[i].offset : 0);
        harness_sha256(from, cases[i].expected, sha256);
        assert_string_equal(o.sha256, sha256);
        assert_int_equal(pread(fd, found, size + 1, 0), cases[i].expected);
        assert_memory_equal(found, from, cases[i].expected);
        free(found);
        close(fd);
    }
    o = run_get_range(&location, KEY, -1, 1, INT64_MAX);
    assert_int_equal(o.done, 0);
    expect_error(&o, ERROR_INPUT, false, "2^63");
    artifact_free(&a);
}

/* The caller's digest goes on from range to range; one that fails leaves it to its owner. */
static void ranges_with_one_digest(void)
{
    static const uint64_t lengths[] = {300000, 1, 700000, 48653};
    struct artifact a = artifact_make((1 << 20) + 77 + 1, 3);
    struct outcome o = run_put(&location, KEY, &a, 301, 1);
    expect_success(&o);
    struct digest *digest = digest_new();
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        o = run_get_digesting(&location, KEY, -1, at, i < 3 ? lengths[i] : 0, digest);
        expect_success(&o);
        assert_int_equal(o.size, lengths[i]);
        at += lengths[i];
    }
    assert_int_equal(at, a.size);
    char sha256[DIGEST_SHA256_SIZE];
    digest_final(digest, sha256);
    assert_string_equal(sha256, a.sha256);
    digest_reset(digest);
    o = run_get_digesting(&location, "not/there", -1, 0, 0, digest);
    expect_error(&o, ERROR_NOT_FOUND, false, "not/there");
    digest_free(digest);
    artifact_free(&a);
}

/* In whatever order. */
static void expect_listed(const char *prefix, const char *const *keys, int n)
{
    struct listing l = run_listing(&location, STORAGE_LIST_OBJECTS, prefix, 0);
    if (l.err.code)
        fail_msg("%s", l.err.message);
    assert_int_equal(l.n, n);
    for (int i = 0; i < n; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s|", keys[i]);
        if (strstr(l.names, name) == NULL)
            fail_msg("beneath '%s' no %s: %s", prefix, keys[i], l.names);
    }
}

static void listings(void)
{
    static const char *const keys[] = {"shop/2025/a.gz", "shop/2025/b c+d.gz", "shop/2026/a.gz", "shop2/x",
                                       "top"};
    struct artifact a = artifact_make(10, 1);
    expect_listed("", keys, 0);
    for (int i = 0; i < 5; i++) {
        struct outcome o = run_put(&location, keys[i], &a, i + 1, 1);
        expect_success(&o);
    }
    artifact_free(&a);
    expect_listed("", keys, 5);
    expect_listed(NULL, keys, 5);
    expect_listed("shop", keys, 4);
    expect_listed("shop/", keys, 3);
    expect_listed("shop/2025", keys, 2);
    expect_listed("shop/2025/b c", &keys[1], 1);
    expect_listed("shop/2025/b c+d.gz", &keys[1], 1);
    expect_listed("shop/2025/b c+d.gz/", keys, 0);
    expect_listed("shop/2027/", keys, 0);
    expect_listed("nothing/at/all", keys, 0);
    expect_listed("o", keys, 0);

    struct listing l = run_listing(&location, STORAGE_LIST_OBJECTS, "", 2);
    assert_int_equal(l.err.code, 0);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.size, 20);
    assert_true(l.time_ms > INT64_C(1700000000000));
    l = run_listing(&location, STORAGE_LIST_UPLOADS, "", 0);
    assert_int_equal(l.err.code, here->store == GCS ? ERROR_UNSUPPORTED : 0); /* Google tells nobody */
    assert_int_equal(l.n, 0);
    l = run_listing(&location, STORAGE_LIST_OBJECTS, "../", 0);
    assert_int_equal(l.err.code, ERROR_UNSAFE_PATH);
    assert_int_equal(l.done, 0);
}

struct stream_reader {
    int fd;
    struct artifact found;
};

static void read_stream(void *data)
{
    struct stream_reader *r = data;
    for (;;) {
        r->found.data = realloc(r->found.data, r->found.size + 65536);
        ssize_t n = read(r->fd, r->found.data + r->found.size, 65536);
        if (n <= 0)
            return;
        r->found.size += (size_t)n;
    }
}

static void get_into_a_pipe(void)
{
    struct artifact a = artifact_make((2 << 20) + 17, 5);
    struct outcome o = run_put(&location, KEY, &a, 301, 1);
    expect_success(&o);

    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    struct stream_reader reader = {.fd = pipe_fds[0]};
    uv_thread_t thread;
    assert_int_equal(uv_thread_create(&thread, read_stream, &reader), 0);
    uv_loop_t loop;
    harness_loop_open(&loop);
    o = (struct outcome){0};
    struct storage_get get = {.loop = &loop,
                              .location = harness_at(&location),
                              .key = KEY,
                              .target_fd = pipe_fds[1],
                              .target_is_stream = true,
                              .done = on_get,
                              .data = &o};
    struct storage_op *op;
    assert_int_equal(harness_driver(&location)->get_start(&get, &op, &o.err), 0);
    harness_run(&loop, &o, 0);
    close(pipe_fds[1]);
    uv_thread_join(&thread);
    close(pipe_fds[0]);

    expect_success(&o);
    assert_int_equal(reader.found.size, a.size);
    assert_memory_equal(reader.found.data, a.data, a.size);
    assert_string_equal(o.sha256, a.sha256);
    free(reader.found.data);
    artifact_free(&a);
}

/* A reader that never reads: cancel still ends it. */
static void cancelled_while_the_reader_stalls(void)
{
    struct artifact a = artifact_make(1 << 20, 5);
    struct outcome o = run_put(&location, KEY, &a, 301, 1);
    expect_success(&o);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    uv_loop_t loop;
    harness_loop_open(&loop);
    o = (struct outcome){0};
    struct storage_get get = {.loop = &loop,
                              .location = harness_at(&location),
                              .key = KEY,
                              .target_fd = pipe_fds[1],
                              .target_is_stream = true,
                              .done = on_get,
                              .data = &o};
    struct storage_op *op;
    assert_int_equal(harness_driver(&location)->get_start(&get, &op, &o.err), 0);
    storage_op_cancel(op);
    harness_run(&loop, &o, 0);
    expect_error(&o, ERROR_CANCELLED, true, "cancelled");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    artifact_free(&a);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"round_trip", round_trip},
    {"missing_objects", missing_objects},
    {"equal_object_stands", equal_object_stands},
    {"other_object_stands", other_object_stands},
    {"wrong_digest_publishes_nothing", wrong_digest_publishes_nothing},
    {"short_source_publishes_nothing", short_source_publishes_nothing},
    {"unsafe_keys_are_refused_before_anything_runs", unsafe_keys_are_refused_before_anything_runs},
    {"strange_but_legal_keys", strange_but_legal_keys},
    {"cancelled_in_the_middle_leaves_nothing", cancelled_in_the_middle_leaves_nothing},
    {"cancelled_at_once_leaves_nothing", cancelled_at_once_leaves_nothing},
    {"many_at_once", many_at_once},
    {"many_fates_at_once", many_fates_at_once},
    {"two_attempts_at_once", two_attempts_at_once},
    {"ranges", ranges},
    {"ranges_with_one_digest", ranges_with_one_digest},
    {"listings", listings},
    {"get_into_a_pipe", get_into_a_pipe},
    {"cancelled_while_the_reader_stalls", cancelled_while_the_reader_stalls},
};

#define N_CASES (sizeof cases / sizeof *cases)

static void run_case(void **state)
{
    size_t index = (size_t)(uintptr_t)*state;
    place_open(&places[index / N_CASES]);
    cases[index % N_CASES].run();
    place_close();
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[N_PLACES * N_CASES];
    static char names[N_PLACES * N_CASES][128];
    size_t n = 0;
    for (int i = 0; i < N_STORES; i++)
        wanted[i] = argc < 2 || strcmp(argv[1], stores[i].part) == 0;
    for (size_t i = 0; i < N_PLACES * N_CASES; i++) {
        const struct place *place = &places[i / N_CASES];
        if (!wanted[place->store])
            continue;
        snprintf(names[n], sizeof names[n], "%s: %s", place->name, cases[i % N_CASES].name);
        tests[n] = (struct CMUnitTest){
            .name = names[n], .test_func = run_case, .initial_state = (void *)(uintptr_t)i};
        n++;
    }
    if (n == 0) {
        fprintf(stderr, "usage: %s [disks|s3|azure|gcs]\n", argv[0]);
        return 2;
    }
    return _cmocka_run_group_tests("storage conformance", tests, n, places_start, places_stop);
}

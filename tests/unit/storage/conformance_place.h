/*
 * The places that the conformance suite runs at, disks and scripted stores: how each is made, looked at and
 * thrown away. A new driver adds its rows to places[]. Between place_open() and place_close() `location` is
 * it.
 */
#pragma once

#include "fake_azure.h"
#include "fake_gcs.h"
#include "fake_s3.h"

#include "storage/object/key.h"
#include "storage/posix/path.h"
#include "storage/s3/put.h"

#define KEY "shop/2025/11/02/shop_20251102_080000.sql.gz"

/* Scripted servers; config: further members. */
enum store { DISK, S3, AZURE, GCS, N_STORES };

struct place {
    const char *name;
    const char *storage_type;
    const char *config;
    bool identify;
    bool without_openat2;
    enum store store;
    bool https;
};

/* Several parts from 1 MiB on; create-only writes, or of two different objects at once the later would win.
 */
#define S3_SMALL "\"bucket\": \"bucket\", " FAKE_KEYS ", \"multipart_threshold\": 1048576"
#define S3_CREATE_ONLY S3_SMALL ", \"checksum\": \"md5\", \"conditional_write\": true"
#define SMALL_PART ((uint64_t)300 << 10)
#define AZURE_SMALL AZURE_CONTAINER ", \"multipart_threshold\": 1048576"
#define GCS_SMALL GCS_BUCKET ", \"multipart_threshold\": 1048576"

static const struct place places[] = {
    {.name = "local", .storage_type = "local"},
    {.name = "local_external", .storage_type = "local_external", .identify = true},
    {.name = "read_back", .storage_type = "local", .config = "{\"read_back\": true}"},
    {.name = "without_openat2", .storage_type = "local", .without_openat2 = true},
    {.name = "s3", .storage_type = "s3", .store = S3, .https = true, .config = S3_CREATE_ONLY},
    {.name = "minio", .storage_type = "minio", .store = S3, .config = S3_SMALL},
    {.name = "minio_read_back",
     .storage_type = "minio",
     .store = S3,
     .config = S3_SMALL ", \"read_back\": true"},
    {.name = "azure", .storage_type = "azure_blob", .store = AZURE, .config = AZURE_SMALL},
    {.name = "azure_md5",
     .storage_type = "azure_blob",
     .store = AZURE,
     .https = true,
     .config = AZURE_SMALL ", \"checksum\": \"md5\""},
    {.name = "azure_read_back",
     .storage_type = "azure_blob",
     .store = AZURE,
     .config = AZURE_SMALL ", \"checksum\": \"none\", \"read_back\": true"},
    {.name = "gcs", .storage_type = "gcs", .store = GCS, .config = GCS_SMALL},
    {.name = "gcs_chunks",
     .storage_type = "gcs",
     .store = GCS,
     .https = true,
     .config = GCS_SMALL ", \"chunk_size\": \"512KiB\""},
    {.name = "gcs_read_back",
     .storage_type = "gcs",
     .store = GCS,
     .config = GCS_SMALL ", \"read_back\": true"},
};

#define N_PLACES (sizeof places / sizeof *places)

static struct storage_location location;
static int own_files; /* what the driver itself keeps at the place: a marker */
static const struct place *here;

static inline struct access *open_access(uv_loop_t *loop)
{
    struct settings settings = {.credentials_default = (char *)"",
                                .encryption_key_ref = (char *)"",
                                .legacy_encryption_key_ref = (char *)""};
    struct access *access;
    struct error err;
    assert_int_equal(access_new(loop, &settings, &access, &err), 0);
    return access;
}

static inline void close_access(struct access *access)
{
    access_close(access, NULL, NULL);
}

static const struct {
    const char *part;          /* argument */
    const char *script, *path; /* behind the endpoint's host */
    const char *settings;
} stores[N_STORES] = {
    [DISK] = {"disks", NULL, NULL, NULL},
    [S3] = {"s3", "s3_server.py", "", "{\"min_part_size\": 1}"},
    [AZURE] = {"azure", "azure_server.py", "/fakeaccount", "{}"},
    [GCS] = {"gcs", "gcs_server.py", "", "{}"},
};

static bool wanted[N_STORES];
static struct fake_server servers[N_STORES];

static inline void setup_store(const struct place *place)
{
    json_error_t at;
    fake = servers[place->store];
    fake_reset();
    fake_tell("POST", "/settings", stores[place->store].settings);
    object_put_set_part_size(SMALL_PART);
    location.config =
        json_pack_ex(&at, 0, "{s:o, s:s}", "endpoint",
                     json_sprintf("%s://localhost:%d%s", place->https ? "https" : "http",
                                  place->https ? fake.https : fake.http, stores[place->store].path),
                     "ca_file", fake.ca_file);
    char text[1024];
    snprintf(text, sizeof text, "{%s}", place->config);
    json_t *more = json_loads(text, 0, &at);
    assert_non_null(more);
    json_object_update((json_t *)(uintptr_t)location.config, more);
    json_decref(more);
    harness_open_access = open_access;
    harness_close_access = close_access;
}

static inline void setup_disk(const struct place *place)
{
    struct error err = {0};
    json_t *config;
    location.base_path = strdup(harness_make_dir("base"));
    assert_int_equal(storage_config_parse(place->config, &config, &err), 0);
    location.config = config;
    char *identity = NULL;
    if (place->identify)
        assert_int_equal(harness_driver(&location)->identify(&location, &identity, &err), 0);
    location.disk_identity = identity;
    own_files = harness_count_files(location.base_path);
    path_without_openat2(place->without_openat2);
}

static inline void place_open(const struct place *place)
{
    here = place;
    location = (struct storage_location){.storage_type = place->storage_type};
    if (place->store != DISK)
        setup_store(place);
    else
        setup_disk(place);
}

static inline void place_close(void)
{
    path_without_openat2(false);
    harness_open_access = NULL;
    if (location.base_path)
        harness_remove_tree(location.base_path);
    json_decref((json_t *)(uintptr_t)location.config);
    free((char *)(uintptr_t)location.base_path);
    free((char *)(uintptr_t)location.disk_identity);
}

/* What is left at the place, uploads that were begun and not ended included; but for blocks that Azure drops
 * by itself, and that nobody else can. */
static inline int count_objects(void)
{
    if (here->store == DISK)
        return harness_count_files(location.base_path) - own_files;
    json_t *state = fake_ask("GET", "/state", NULL);
    int n = (int)json_array_size(json_object_get(state, "objects"));
    if (here->store != AZURE)
        n += (int)json_array_size(json_object_get(state, "uploads"));
    json_decref(state);
    return n;
}

static inline void expect_same(const char *key, const struct artifact *a)
{
    int fd = open(harness_root, O_RDWR | O_TMPFILE, 0600);
    assert_true(fd >= 0);
    struct outcome o = run_get(&location, key, fd);
    expect_success(&o);
    assert_int_equal(o.size, a->size);
    assert_string_equal(o.sha256, a->sha256);
    char *found = malloc(a->size + 1);
    assert_int_equal(pread(fd, found, a->size + 1, 0), a->size);
    assert_memory_equal(found, a->data, a->size);
    free(found);
    close(fd);
}

static inline int places_start(void **state)
{
    (void)state;
    harness_make_root();
    gcs_use_token("fake-token");
    for (int i = 0; i < N_STORES; i++)
        if (wanted[i] && stores[i].script) {
            fake_start(stores[i].script);
            servers[i] = fake;
        }
    return 0;
}

static inline int places_stop(void **state)
{
    (void)state;
    for (int i = 0; i < N_STORES; i++)
        if (wanted[i] && stores[i].script) {
            fake = servers[i];
            fake_stop();
        }
    harness_remove_tree(harness_root);
    return 0;
}

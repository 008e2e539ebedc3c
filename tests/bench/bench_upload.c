/*
 * bench_upload digest DIR [--md5] FILE...
 * bench_upload put DIR [--type TYPE] [--config JSON] [--at-once N] [--no-part-digests] PREFIX FILE...
 *
 * Uploads by the driver of a storage type, N at once on one loop, as a worker does them: what a worker knows
 * of a staged artifact (its SHA-256, and the digests of its parts in a file beside it) is there before.
 * `digest` makes it in DIR and prints what that cost (--md5: with the MD5 of the whole, as where one of the
 * destinations keeps it); `put` only loads it. Resume state is taken and
 * acknowledged from the loop, not written anywhere. Keys are PREFIX and the file's name; credentials by
 * reference, env:BENCH_CREDENTIALS.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/access.h"
#include "base/digest.h"
#include "base/settings.h"
#include "storage/driver.h"
#include "storage/part_digests.h"

enum { PIECE = 1 << 18, AT_ONCE_MAX = 1024 };

static void die(const char *what, const struct error *err)
{
    if (err)
        fprintf(stderr, "bench_upload: %s: %s\n", what, err->message);
    else
        perror(what);
    exit(1);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int open_source(const char *path, uint64_t *ret_size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        die(path, NULL);
    *ret_size = (uint64_t)st.st_size;
    return fd;
}

/* ---- digest */

static void write_sha256(int dir, const char *name, const char *sha256)
{
    char file[300];
    snprintf(file, sizeof file, "%s.sha256", name);
    int fd = openat(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, sha256, DIGEST_SHA256_SIZE - 1) != DIGEST_SHA256_SIZE - 1)
        die(file, NULL);
    close(fd);
}

/* Adds to *cpu what reading and digesting took; the files beside are small, but many. */
static uint64_t digest_file(int dir, const char *path, bool md5, double *cpu)
{
    static char piece[PIECE];
    uint64_t size;
    int fd = open_source(path, &size);
    double start = cpu_seconds();
    struct part_digester *digester = part_digester_new();
    if (digester == NULL || (md5 && !part_digester_want_md5(digester)))
        die("part_digester_new", NULL);
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        part_digester_update(digester, piece, (size_t)n);
    if (n < 0)
        die(path, NULL);
    close(fd);
    struct part_digests *digests = part_digester_finish(digester);
    char sha256[DIGEST_SHA256_SIZE], file[300];
    struct error err = {0};
    part_digester_sha256(digester, sha256);
    part_digester_free(digester);
    *cpu += cpu_seconds() - start;
    write_sha256(dir, name_of(path), sha256);
    snprintf(file, sizeof file, "%s.parts", name_of(path));
    if (digests == NULL || part_digests_write(dir, file, digests, sha256, &err) < 0)
        die(file, &err);
    part_digests_free(digests);
    return size;
}

static void digest_files(int dir, char **files)
{
    uint64_t bytes = 0;
    double cpu = 0;
    bool md5 = strcmp(*files, "--md5") == 0;
    for (files += md5; *files; files++)
        bytes += digest_file(dir, *files, md5, &cpu);
    printf("{\"cpu\": %.4f, \"bytes\": %" PRIu64 "}\n", cpu, bytes);
}

/* ---- put */

struct batch {
    uv_loop_t loop;
    struct access *access;
    const struct storage_driver *driver;
    struct storage_location location;
    const char *prefix;
    int dir; /* of digests */
    bool with_part_digests;
    char **files; /* the next one; NULL-terminated */
    int64_t begun;
    int at_once, under_way;
};

/* One upload; taken again for the next file when it has ended. */
struct slot {
    struct storage_put put; /* first */
    struct part_digests *digests;
    char sha256[DIGEST_SHA256_SIZE];
    char key[1025];
};

struct acknowledgement {
    uv_idle_t idle; /* first */
    void (*saved)(void *arg, bool ours);
    void *arg;
};

static void put_next(struct batch *batch, struct slot *slot);

static void on_idle_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_idle(uv_idle_t *idle)
{
    struct acknowledgement *a = (struct acknowledgement *)idle;
    uv_close((uv_handle_t *)idle, on_idle_closed);
    a->saved(a->arg, true);
}

static void on_save(struct storage_put *put, const char *state, void (*saved)(void *arg, bool ours),
                    void *arg)
{
    (void)state;
    struct acknowledgement *a = malloc(sizeof *a);
    if (a == NULL)
        die("malloc", NULL);
    a->saved = saved;
    a->arg = arg;
    uv_idle_init(put->loop, &a->idle);
    uv_idle_start(&a->idle, on_idle);
}

static void on_put(struct storage_put *put, const struct storage_put_result *result, const struct error *err)
{
    struct batch *batch = put->data;
    struct slot *slot = (struct slot *)put;
    if (err)
        die(put->key, err);
    if (result->existed || result->size != put->size) {
        fprintf(stderr, "bench_upload: %s: stood there already, or with another size\n", put->key);
        exit(1);
    }
    close(put->source_fd);
    part_digests_free(slot->digests);
    batch->under_way--;
    put_next(batch, slot);
}

/* What a worker has beside the staged file. */
static void load_digests(struct batch *batch, struct slot *slot, const char *name)
{
    char file[300];
    struct error err = {0};
    snprintf(file, sizeof file, "%s.sha256", name);
    int fd = openat(batch->dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, slot->sha256, DIGEST_SHA256_SIZE - 1) != DIGEST_SHA256_SIZE - 1)
        die(file, NULL);
    slot->sha256[DIGEST_SHA256_SIZE - 1] = '\0';
    close(fd);
    slot->digests = NULL;
    snprintf(file, sizeof file, "%s.parts", name);
    if (batch->with_part_digests &&
        part_digests_read(batch->dir, file, slot->put.size, slot->sha256, &slot->digests, &err) < 0)
        die(file, &err);
}

static void put_next(struct batch *batch, struct slot *slot)
{
    const char *path = *batch->files;
    if (path == NULL) {
        if (batch->under_way == 0)
            access_close(batch->access, NULL, NULL);
        return;
    }
    batch->files++;
    batch->under_way++;
    batch->begun++;
    snprintf(slot->key, sizeof slot->key, "%s%s", batch->prefix, name_of(path));
    uint64_t size;
    int fd = open_source(path, &size);
    slot->put = (struct storage_put){.loop = &batch->loop,
                                     .location = batch->location,
                                     .key = slot->key,
                                     .source_fd = fd,
                                     .size = size,
                                     .sha256 = slot->sha256,
                                     .row_id = batch->begun,
                                     .fence = 1,
                                     .backup_id = batch->begun,
                                     .save = on_save,
                                     .done = on_put,
                                     .data = batch};
    load_digests(batch, slot, name_of(path));
    slot->put.part_digests = slot->digests;
    struct storage_op *op;
    struct error err = {0};
    if (batch->driver->put_start(&slot->put, &op, &err) < 0)
        die(slot->key, &err);
}

static void put_files(struct batch *batch, char **argv)
{
    struct settings settings = {0};
    struct error err = {0};
    int next;
    struct slot *slots = calloc((size_t)batch->at_once, sizeof *slots);
    if (slots == NULL)
        die("calloc", NULL);
    uv_loop_init(&batch->loop);
    if (settings_load(&settings, SETTINGS_WORKER, 1, argv, &next, &err) < 0 ||
        storage_driver_find(batch->location.storage_type, &batch->driver, &err) < 0 ||
        access_new(&batch->loop, &settings, &batch->access, &err) < 0)
        die("setting up", &err);
    batch->location.access = batch->access;
    for (int i = 0; i < batch->at_once && *batch->files; i++)
        put_next(batch, &slots[i]);
    uv_run(&batch->loop, UV_RUN_DEFAULT);
    uv_loop_close(&batch->loop);
    settings_deinit(&settings);
    free(slots);
}

/* Options into batch; gives the index of the first argument after them. */
static int read_options(int argc, char **argv, int i, struct batch *batch, json_t **ret_config)
{
    json_error_t json_error;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--no-part-digests") == 0) {
            batch->with_part_digests = false;
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--type") == 0)
            batch->location.storage_type = value;
        else if (strcmp(argv[i - 1], "--at-once") == 0)
            batch->at_once = atoi(value);
        else if (strcmp(argv[i - 1], "--config") == 0)
            *ret_config = json_loads(value, 0, &json_error);
        else
            return argc;
    }
    return i;
}

int main(int argc, char **argv)
{
    int dir = argc > 3 ? open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0) {
        fprintf(stderr,
                "usage: bench_upload digest DIR [--md5] FILE... | put DIR [OPTIONS] PREFIX FILE...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(argv[1], "digest") == 0) {
        digest_files(dir, argv + 3);
        close(dir);
        return 0;
    }
    json_t *config = NULL;
    struct batch batch = {.dir = dir,
                          .with_part_digests = true,
                          .at_once = 1,
                          .location = {.storage_type = "s3",
                                       .credentials_ref = "env:BENCH_CREDENTIALS",
                                       .destination = "bench"}};
    int i = read_options(argc, argv, 3, &batch, &config);
    if (i + 1 >= argc || config == NULL || batch.at_once < 1 || batch.at_once > AT_ONCE_MAX) {
        fprintf(stderr, "bench_upload: put needs --config, --at-once within 1..%d, a prefix and files\n",
                AT_ONCE_MAX);
        return 2;
    }
    batch.location.config = config;
    batch.prefix = argv[i];
    batch.files = argv + i + 1;
    put_files(&batch, argv);
    json_decref(config);
    close(dir);
    return 0;
}

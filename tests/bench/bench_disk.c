/*
 * bench_disk DIR [--size MiB] [--copies N] [--small N] [--rounds N]: copies to a disk by the posix driver,
 * beside `cp` and fsync of the same file in the same run, rounds interleaved after one of each that isn't
 * counted. Prints medians. The source is in the page cache, the target on a disk (not tmpfs). cp computes no
 * digest.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "storage/driver.h"

#define ROUNDS_MAX 15
#define WINDOW_MAX 1024

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_of(int who)
{
    struct rusage r;
    getrusage(who, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

/* n objects of one source, `window` under way at a time. */
struct batch {
    uv_loop_t loop;
    const struct storage_driver *driver;
    const char *dir, *sha256, *prefix;
    int fd;
    uint64_t size;
    int n, next;
    struct slot {
        struct storage_put put;
        char key[64];
    } slots[WINDOW_MAX];
};

static void put_next(struct batch *batch, struct slot *slot);

static void on_put(struct storage_put *put, const struct storage_put_result *result, const struct error *err)
{
    (void)result;
    if (err) {
        fprintf(stderr, "put: %s\n", err->message);
        exit(1);
    }
    put_next(put->data, (struct slot *)put);
}

static void put_next(struct batch *batch, struct slot *slot)
{
    if (batch->next >= batch->n)
        return;
    int i = batch->next++;
    snprintf(slot->key, sizeof slot->key, "%s/%d/%d", batch->prefix, i % 16, i);
    slot->put = (struct storage_put){.loop = &batch->loop,
                                     .location = {.storage_type = "local", .base_path = batch->dir},
                                     .key = slot->key,
                                     .source_fd = batch->fd,
                                     .size = batch->size,
                                     .sha256 = batch->sha256,
                                     .row_id = i + 1,
                                     .fence = 1,
                                     .done = on_put,
                                     .data = batch};
    struct storage_op *op;
    struct error err = {0};
    if (batch->driver->put_start(&slot->put, &op, &err) < 0) {
        fprintf(stderr, "put: %s\n", err.message);
        exit(1);
    }
}

static void put_many(const char *dir, int fd, uint64_t size, const char *sha256, int n, int window,
                     const char *prefix)
{
    static struct batch batch;
    batch = (struct batch){.dir = dir, .fd = fd, .size = size, .sha256 = sha256, .n = n, .prefix = prefix};
    struct error err;
    if (storage_driver_find("local", &batch.driver, &err) < 0)
        die("local");
    uv_loop_init(&batch.loop);
    for (int i = 0; i < window && i < WINDOW_MAX; i++)
        put_next(&batch, &batch.slots[i]);
    uv_run(&batch.loop, UV_RUN_DEFAULT);
    uv_loop_close(&batch.loop);
}

static void run_command(char *const *argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    int status;
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        die(argv[0]);
}

static void cp_many(const char *dir, const char *source, int n)
{
    for (int i = 0; i < n; i++) {
        char target[4200];
        snprintf(target, sizeof target, "%s/cp-%d", dir, i);
        run_command((char *[]){"cp", (char *)source, target, NULL});
        int fd = open(target, O_RDONLY);
        if (fd < 0 || fsync(fd) < 0)
            die("fsync");
        close(fd);
    }
}

static void clean(const char *dir)
{
    char command[4300];
    snprintf(command, sizeof command, "rm -rf '%s'/cp-* '%s'/put '%s'/small && sync", dir, dir, dir);
    if (system(command) != 0)
        die("clean");
}

static long peak_kib(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_maxrss;
}

int main(int argc, char **argv)
{
    long size_mib = 1024;
    int copies = 1;
    int small = 5000;
    int rounds = 5;
    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: bench_disk DIR [--size MiB] [--copies N] [--small N] [--rounds N]\n");
        return 2;
    }
    const char *dir = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        long value = atol(argv[i + 1]);
        if (strcmp(argv[i], "--size") == 0)
            size_mib = value;
        else if (strcmp(argv[i], "--copies") == 0)
            copies = (int)value;
        else if (strcmp(argv[i], "--small") == 0)
            small = (int)value;
        else if (strcmp(argv[i], "--rounds") == 0 && value <= ROUNDS_MAX)
            rounds = (int)value;
    }

    char source[4200];
    snprintf(source, sizeof source, "%s/source", dir);
    int fd = open(source, O_RDWR | O_CREAT | O_TRUNC, 0600);
    size_t piece = 1 << 20;
    char *data = malloc(piece);
    int random_fd = open("/dev/urandom", O_RDONLY);
    struct digest *digest = digest_new();
    if (fd < 0 || data == NULL || random_fd < 0 || digest == NULL)
        die("source");
    for (long i = 0; i < size_mib; i++) {
        if (read(random_fd, data, piece) != (ssize_t)piece || write(fd, data, piece) != (ssize_t)piece)
            die("source");
        digest_update(digest, data, piece);
    }
    char sha256[DIGEST_SHA256_SIZE];
    digest_final(digest, sha256);
    fsync(fd);

    double put_time[ROUNDS_MAX], cp_time[ROUNDS_MAX], put_cpu[ROUNDS_MAX], cp_cpu[ROUNDS_MAX];
    clean(dir);
    cp_many(dir, source,
            copies); /* makes the page cache's memory warm: a virtual machine pays for its first touch */
    clean(dir);
    put_many(dir, fd, (uint64_t)size_mib << 20, sha256, copies, copies, "put");
    for (int r = 0; r < rounds; r++) {
        clean(dir);
        double t = seconds(CLOCK_MONOTONIC);
        double c = cpu_of(RUSAGE_SELF);
        put_many(dir, fd, (uint64_t)size_mib << 20, sha256, copies, copies, "put");
        put_time[r] = seconds(CLOCK_MONOTONIC) - t;
        put_cpu[r] = cpu_of(RUSAGE_SELF) - c;
        clean(dir);
        t = seconds(CLOCK_MONOTONIC);
        c = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
        cp_many(dir, source, copies);
        cp_time[r] = seconds(CLOCK_MONOTONIC) - t;
        cp_cpu[r] = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) - c;
    }
    clean(dir);
    double mb = (double)size_mib * 1.048576 * copies;
    double put_median = median(put_time, rounds);
    double cp_median = median(cp_time, rounds);
    printf("%d copies of %ld MiB, median of %d interleaved rounds, source in the page cache:\n", copies,
           size_mib, rounds);
    printf("  driver (SHA-256, fsync)  %6.2f s  %6.0f MB/s  CPU %5.2f s\n", put_median, mb / put_median,
           median(put_cpu, rounds));
    printf("  cp, fsync (no digest)    %6.2f s  %6.0f MB/s  CPU %5.2f s\n", cp_median, mb / cp_median,
           median(cp_cpu, rounds));
    printf("  ratio %.2f   peak memory %ld MiB\n", cp_median / put_median, peak_kib() / 1024);

    if (small > 0) {
        if (ftruncate(fd, 65536) < 0 || pread(fd, data, 65536, 0) != 65536)
            die("source");
        digest_reset(digest);
        digest_update(digest, data, 65536);
        digest_final(digest, sha256);
    }
    static const int windows[] = {1, 16, 64};
    for (size_t w = 0; small > 0 && w < sizeof windows / sizeof *windows; w++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "small/%d", windows[w]);
        int n = windows[w] == 1 ? small / 10 : small;
        double t = seconds(CLOCK_MONOTONIC);
        double c = cpu_of(RUSAGE_SELF);
        put_many(dir, fd, 65536, sha256, n, windows[w], prefix);
        double took = seconds(CLOCK_MONOTONIC) - t;
        printf("%d files of 64 KiB, %d at a time: %.2f s, %.0f files/s, CPU %.2f s\n", n, windows[w], took,
               n / took, cpu_of(RUSAGE_SELF) - c);
    }
    clean(dir);
    unlink(source);
    digest_free(digest);
    free(data);
    return 0;
}

/*
 * What sending costs: a file put by common/loop/http.h beside `curl -T` of the same file to the same sink,
 * plain and over TLS; memory of many uploads at once; how well a group's bandwidth limit is kept.
 *
 *   bench_http [--mib N | --kib N] [--count N] [--tls] [--parallel N] [--limit BYTES_PER_SECOND] [--get]
 * [--no-curl] [--repeat N]
 * [--dir DIR]
 *
 * --count requests (default: --parallel) run --parallel at a time. The sink is a process of its own that
 * reads and forgets; CPU is user and system time of the sending process only.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "../unit/loop/http_peer.h"
#include "loop/http.h"

extern char **environ;

struct options {
    uint64_t size;
    bool tls, get, no_curl;
    int parallel, count, repeat;
    int64_t limit;
    const char *dir;
};

static struct options options = {.size = 1 << 30, .parallel = 1, .repeat = 1, .dir = "/dev/shm"};
static char file_path[128], ca_path[128];
static struct peer sink;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_of(const struct rusage *usage)
{
    return (double)usage->ru_utime.tv_sec + (double)usage->ru_stime.tv_sec +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

/* -- the sink -- */

static void serve_sink(struct peer_conn *c)
{
    size_t size = 256 * 1024;
    char *bytes = calloc(1, size);
    while (bytes && peer_read_head(c)) {
        char length[32];
        peer_header(c, "Content-Length", length, sizeof length);
        for (uint64_t left = strtoull(length, NULL, 10); left > 0;) {
            size_t got = peer_read_some(c, bytes, left < size ? left : size);
            if (got == 0)
                goto out;
            left -= got;
        }
        uint64_t answer = strcmp(c->method, "GET") == 0 ? strtoull(c->target + 1, NULL, 10) : 0;
        peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", (unsigned long long)answer);
        for (; answer > 0; answer -= answer < size ? answer : size)
            if (!peer_send(c, bytes, answer < size ? answer : size))
                goto out;
    }
out:
    free(bytes);
}

/* Returns the child's pid; its port is in sink.port. */
static pid_t start_sink(void)
{
    int *port = mmap(NULL, sizeof *port, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        SSL_CTX *tls = NULL;
        if (options.tls) {
            struct authority authority;
            authority_init(&authority, ca_path);
            tls = authority_server(&authority, "IP:127.0.0.1", 3600);
        }
        signal(SIGPIPE, SIG_IGN);
        peer_start(&sink, serve_sink, tls);
        __atomic_store_n(port, sink.port, __ATOMIC_SEQ_CST);
        for (;;)
            pause();
    }
    while (__atomic_load_n(port, __ATOMIC_SEQ_CST) == 0)
        usleep(1000);
    sink.port = *port;
    snprintf(sink.url, sizeof sink.url, "http%s://127.0.0.1:%d", options.tls ? "s" : "", sink.port);
    return pid;
}

/* -- ours -- */

static int n_open;

static int on_body(void *data, const void *bytes, size_t size, struct error *err)
{
    (void)data;
    (void)bytes;
    (void)size;
    (void)err;
    return 0;
}

static void on_done(void *data, const struct http_response *response, const struct error *err)
{
    (void)data;
    n_open--;
    if (response == NULL || response->status != 200) {
        fprintf(stderr, "bench_http: %s\n", err ? err->message : "not 200");
        exit(1);
    }
}

static long peak_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %ld", &kib);
    if (f)
        fclose(f);
    return kib;
}

static void run_ours(int fd, uint64_t size)
{
    uv_loop_t loop;
    struct http_client *client;
    struct error err;
    uv_loop_init(&loop);
    if (http_client_new(&loop, NULL, &client, &err) != 0)
        exit(1);
    struct http_group *group = http_client_group(client, "sink", options.parallel, options.limit);
    char url[128];
    snprintf(url, sizeof url, "%s/%llu", sink.url, (unsigned long long)size);
    struct rusage before, after;
    long memory = peak_kib();
    getrusage(RUSAGE_SELF, &before);
    double start = seconds();
    for (int i = 0; i < options.count; i++) {
        struct http_request *request;
        struct http_ask ask = {.method = options.get ? "GET" : "PUT",
                               .url = url,
                               .group = group,
                               .body_fd = options.get ? -1 : fd,
                               .body_size = options.get ? 0 : size,
                               .on_body = options.get ? on_body : NULL,
                               .ca_file = options.tls ? ca_path : NULL,
                               .done = on_done};
        if (http_start(client, &ask, &request, &err) != 0) {
            fprintf(stderr, "bench_http: %s\n", err.message);
            exit(1);
        }
        n_open++;
    }
    while (n_open > 0)
        uv_run(&loop, UV_RUN_ONCE);
    double wall = seconds() - start;
    getrusage(RUSAGE_SELF, &after);
    double gib = (double)size * options.count / (double)(1 << 30);
    printf("ours  %7.3f CPU s/GiB  %8.0f MB/s  %6.0f/s  peak %ld KiB (%+ld)",
           (cpu_of(&after) - cpu_of(&before)) / gib, (double)size * options.count / wall / 1e6,
           options.count / wall, peak_kib(), peak_kib() - memory);
    if (options.limit > 0)
        printf("  %.1f %% of the limit", 100.0 * (double)size * options.count / wall / (double)options.limit);
    printf("\n");
    http_client_close(client, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

/* -- curl -- */

static void run_curl(uint64_t size)
{
    char url[128];
    snprintf(url, sizeof url, "%s/%llu", sink.url, (unsigned long long)size);
    char *put[] = {"curl",     "-sS",   "-H", "Expect:",   "-T", file_path,
                   "--cacert", ca_path, "-o", "/dev/null", url,  NULL};
    char *get[] = {"curl", "-sS", "--cacert", ca_path, "-o", "/dev/null", url, NULL};
    struct rusage usage;
    double cpu = 0, start = seconds();
    for (int i = 0; i < options.count; i++) {
        pid_t pid;
        int status;
        if (posix_spawnp(&pid, "curl", NULL, NULL, options.get ? get : put, environ) != 0 ||
            wait4(pid, &status, 0, &usage) != pid || status != 0) {
            fprintf(stderr, "bench_http: curl failed\n");
            exit(1);
        }
        cpu += cpu_of(&usage);
    }
    printf("curl  %7.3f CPU s/GiB  %8.0f MB/s\n", cpu / ((double)size * options.count / (double)(1 << 30)),
           (double)size * options.count / (seconds() - start) / 1e6);
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"mib", 1, NULL, 'm'},
        {"kib", 1, NULL, 'k'},
        {"count", 1, NULL, 'c'},
        {"tls", 0, NULL, 't'},
        {"parallel", 1, NULL, 'p'},
        {"limit", 1, NULL, 'l'},
        {"get", 0, NULL, 'g'},
        {"no-curl", 0, NULL, 'n'},
        {"dir", 1, NULL, 'd'},
        {"repeat", 1, NULL, 'r'},
        {0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 'm')
            options.size = strtoull(optarg, NULL, 10) << 20;
        else if (c == 'k')
            options.size = strtoull(optarg, NULL, 10) << 10;
        else if (c == 'c')
            options.count = (int)strtol(optarg, NULL, 10);
        else if (c == 'p')
            options.parallel = (int)strtol(optarg, NULL, 10);
        else if (c == 'r')
            options.repeat = (int)strtol(optarg, NULL, 10);
        else if (c == 'l')
            options.limit = strtoll(optarg, NULL, 10);
        else if (c == 'd')
            options.dir = optarg;
        else if (c == '?')
            exit(2);
        options.tls |= c == 't';
        options.get |= c == 'g';
        options.no_curl |= c == 'n';
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    snprintf(file_path, sizeof file_path, "%.90s/bench_http.%d", options.dir, (int)getpid());
    snprintf(ca_path, sizeof ca_path, "%.90s/bench_http.%d.pem", options.dir, (int)getpid());
    uint64_t size = options.size;
    options.count = options.count > 0 ? options.count : options.parallel;
    int fd = open(file_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *block = malloc(1 << 20);
    for (int i = 0; i < 1 << 20; i++)
        block[i] = (char)(i * 31);
    for (uint64_t left = size; left > 0;) {
        ssize_t n = write(fd, block, left < 1 << 20 ? left : 1 << 20);
        if (n <= 0)
            return 1;
        left -= (uint64_t)n;
    }
    free(block);
    pid_t pid = start_sink();
    for (int i = 0; i < options.repeat; i++) {
        run_ours(fd, size);
        if (!options.no_curl && options.limit == 0)
            run_curl(size);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    unlink(file_path);
    unlink(ca_path);
    return 0;
}

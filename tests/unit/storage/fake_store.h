/*
 * The scripted stores of tests/fakes as seen from C: started once per test program, scripted and questioned
 * over their control ports, and operations of a driver run against them to their end.
 */
#pragma once

#include "harness.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "auth/access.h"
#include "base/settings.h"
#include "storage/object/call.h"
#include "storage/object/learned.h"
#include "storage/object/protocol.h"

/* The one that is talked to: a program that has several keeps the others aside. */
static struct fake_server {
    pid_t pid;
    int stdin_fd; /* it ends when this is closed */
    int http, https, control;
    char ca_file[256];
} fake;

/* script: of tests/fakes. */
static inline void fake_start(const char *script)
{
    uv_loop_t first; /* the first loop of a process opens a pipe for signals that stays */
    uv_loop_init(&first);
    uv_loop_close(&first);
    char path[256];
    int in[2], out[2];
    snprintf(path, sizeof path, "%s/tests/fakes/%s", BM_SOURCE_DIR, script);
    char *const argv[] = {(char *)"/usr/bin/python3", path, NULL};
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    fake.pid = fork();
    if (fake.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    fake.stdin_fd = in[1];
    FILE *lines = fdopen(out[0], "r");
    char line[1024] = "";
    if (lines == NULL || fgets(line, sizeof line, lines) == NULL)
        fail_msg("%s did not start", script);
    fclose(lines);
    json_t *ready = json_loads(line, 0, NULL);
    assert_non_null(ready);
    fake.http = (int)json_integer_value(json_object_get(ready, "http"));
    fake.https = (int)json_integer_value(json_object_get(ready, "https"));
    fake.control = (int)json_integer_value(json_object_get(ready, "control"));
    snprintf(fake.ca_file, sizeof fake.ca_file, "%s", json_string_value(json_object_get(ready, "ca_file")));
    json_decref(ready);
}

static inline void fake_stop(void)
{
    close(fake.stdin_fd);
    waitpid(fake.pid, NULL, 0);
}

/* The answer's JSON, or NULL when it isn't any. */
static inline json_t *fake_ask(const char *method, const char *path, const char *body)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)fake.control),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    dprintf(fd, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
            method, path, body ? strlen(body) : 0, body ? body : "");
    size_t size = 0;
    char *text = malloc(4 << 20);
    for (ssize_t n; (n = read(fd, text + size, (4 << 20) - 1 - size)) > 0;)
        size += (size_t)n;
    close(fd);
    text[size] = '\0';
    if (strncmp(text + 9, "20", 2) != 0)
        fail_msg("%s %s %s: %.500s", method, path, body ? body : "", text);
    const char *content = strstr(text, "\r\n\r\n");
    json_t *answer = content ? json_loads(content, JSON_DECODE_ANY, NULL) : NULL;
    free(text);
    return answer;
}

static inline void fake_tell(const char *method, const char *path, const char *body)
{
    json_decref(fake_ask(method, path, body));
}

static inline void fake_rule(const char *rule)
{
    if (rule)
        fake_tell("POST", "/rules", rule);
}

/* As at the start, and this process has learned nothing. */
static inline void fake_reset(void)
{
    fake_tell("POST", "/reset", NULL);
    object_learned_forget();
    object_call_set_backoff(1, 4);
}

/* Requests of this operation so far; NULL = all. */
static inline int fake_count(const char *operation)
{
    json_t *log = fake_ask("GET", "/log", NULL), *entry;
    json_t *list = json_is_object(log) ? json_object_get(log, "log") : log;
    size_t i;
    int n = 0;
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "operation"));
        n += operation == NULL || (name && strcmp(name, operation) == 0);
    }
    json_decref(log);
    return n;
}

static inline int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/*
 * A place: what the driver is told of the fake, and a loop for one operation. Between world_open and
 * world_close run what is to be run, then world_run(&outcome.done).
 */
struct world {
    uv_loop_t loop;
    struct access *access;
    struct storage_location location;
    json_t *config;
    int descriptors;
};

/* text: storage_config. */
static inline struct world *world_open_as(const char *storage_type, const char *text)
{
    struct world *world = calloc(1, sizeof *world);
    struct error err = {0};
    json_error_t at;
    world->descriptors = count_descriptors();
    world->config = json_loads(text, 0, &at);
    if (world->config == NULL)
        fail_msg("%s: %s", at.text, text);
    uv_loop_init(&world->loop);
    struct settings settings = {.credentials_default = (char *)"",
                                .encryption_key_ref = (char *)"",
                                .legacy_encryption_key_ref = (char *)""};
    if (access_new(&world->loop, &settings, &world->access, &err) < 0)
        fail_msg("%s", err.message);
    world->location = (struct storage_location){
        .storage_type = storage_type, .config = world->config, .access = world->access};
    return world;
}

static inline void world_run(struct world *world, const int *done)
{
    while (*done == 0 && uv_run(&world->loop, UV_RUN_ONCE))
        ;
    assert_int_equal(*done, 1);
}

static inline void world_close(struct world *world)
{
    access_close(world->access, NULL, NULL);
    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    json_decref(world->config);
    assert_int_equal(count_descriptors(), world->descriptors);
    free(world);
}

/* One call run to its end. */
struct call_outcome {
    int done;
    int status;
    char code[64], request_id[128];
    char *body; /* of a success */
    size_t size;
    struct error err;
};

static inline void on_call(void *data, const struct object_answer *answer, const struct error *err)
{
    struct call_outcome *o = data;
    o->done++;
    if (err)
        o->err = *err;
    if (answer) {
        o->status = answer->status;
        snprintf(o->code, sizeof o->code, "%s", answer->code);
        snprintf(o->request_id, sizeof o->request_id, "%s", answer->request_id);
    }
    if (err == NULL) {
        o->size = answer->response->body_size;
        o->body = malloc(o->size + 1);
        memcpy(o->body, answer->response->body, o->size + 1);
    }
}

/* session: zeroed, of protocol->session_size bytes. The body is to be freed. */
static inline struct call_outcome run_call_in(struct world *world, const struct object_protocol *protocol,
                                              struct object_session *session, const struct object_ask *ask)
{
    struct call_outcome o = {0};
    struct object_call *call;
    struct object_ask own = *ask;
    own.done = on_call;
    own.data = &o;
    if (object_session_init(session, protocol, &world->loop, &world->location, &o.err) < 0)
        fail_msg("%s", o.err.message);
    int rc = object_call_start(session, &own, &call, &o.err);
    assert_int_equal(o.done, 0);
    if (rc == 0)
        world_run(world, &o.done);
    object_session_deinit(session);
    return o;
}

static inline struct outcome run_stat_in(struct world *world, const char *key)
{
    struct outcome o = {.running = true};
    struct storage_op *op;
    struct storage_stat stat = {
        .loop = &world->loop, .location = world->location, .key = key, .done = on_stat, .data = &o};
    int rc = harness_driver(&world->location)->stat_start(&stat, &op, &o.err);
    o.running = false;
    if (rc == 0)
        world_run(world, &o.done);
    return o;
}

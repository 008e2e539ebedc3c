/*
 * A scripted server for AWS's services, a clear environment, a home directory, and what stands on them: each
 * request must be the next one of the script. Secrets in these tests hold the word HIDDEN, which no message
 * may.
 */
#pragma once

#include "../loop/http_peer.h"
#include "auth/aws_credentials_internal.h"
#include "auth/aws_environment.h"
#include "auth/secrets.h"

enum { MAX_STEPS = 40 };

enum step_how {
    ANSWER,
    HANG,   /* takes the request and says nothing */
    HOLD,   /* answers after script_release */
    REWRITE /* writes `text` into the file `path` of the home directory, then answers */
};

struct step {
    const char *expect; /* "PUT /latest/api/token" */
    int status;
    const char *body;
    enum step_how how;
    const char *path, *text;
};

static struct script {
    struct peer peer;
    struct step steps[MAX_STEPS];
    int n, next;
    char unexpected[512];
    char *heads[MAX_STEPS], *bodies[MAX_STEPS];
    bool released;
    char home[64];
} script;

static inline void home_write(const char *path, const char *text)
{
    char file[256];
    snprintf(file, sizeof file, "%s/%s", script.home, path);
    FILE *f = fopen(file, "w");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

static inline struct step *script_take(struct peer_conn *c)
{
    char got[sizeof c->method + sizeof c->target + 1];
    snprintf(got, sizeof got, "%s %s", c->method, c->target);
    if (script.next == script.n || strcmp(script.steps[script.next].expect, got) != 0) {
        snprintf(script.unexpected, sizeof script.unexpected, "request %d: %.300s", script.next, got);
        return NULL;
    }
    script.heads[script.next] = strdup(c->head);
    script.bodies[script.next] = strdup(c->body);
    return &script.steps[script.next++];
}

static inline void script_serve(struct peer_conn *c)
{
    while (peer_read(c)) {
        pthread_mutex_lock(&c->peer->mutex);
        struct step *step = script_take(c);
        pthread_cond_broadcast(&c->peer->changed);
        while (step && step->how == HOLD && !script.released)
            pthread_cond_wait(&c->peer->changed, &c->peer->mutex);
        if (step && step->how == REWRITE)
            home_write(step->path, step->text);
        pthread_mutex_unlock(&c->peer->mutex);
        if (step && step->how == HANG) {
            peer_wait_gone(c);
            return;
        }
        if (!peer_answer(c, step ? step->status : 599, step ? step->body : ""))
            return;
    }
}

static inline void script_release(void)
{
    pthread_mutex_lock(&script.peer.mutex);
    script.released = true;
    pthread_cond_broadcast(&script.peer.changed);
    pthread_mutex_unlock(&script.peer.mutex);
}

static inline int script_taken(void)
{
    pthread_mutex_lock(&script.peer.mutex);
    int next = script.next;
    pthread_mutex_unlock(&script.peer.mutex);
    return next;
}

static inline void script_add(struct step step)
{
    pthread_mutex_lock(&script.peer.mutex);
    assert_true(script.n < MAX_STEPS);
    script.steps[script.n++] = step;
    pthread_mutex_unlock(&script.peer.mutex);
}

/* All steps were taken, nothing else was asked. */
static inline void script_assert_done(void)
{
    pthread_mutex_lock(&script.peer.mutex);
    if (script.unexpected[0] != '\0' || script.next != script.n)
        fail_msg("%d of %d steps taken, unexpected: %s", script.next, script.n, script.unexpected);
    pthread_mutex_unlock(&script.peer.mutex);
}

static inline void script_assert_head(int step, const char *line)
{
    if (strcasestr(script.heads[step], line) == NULL)
        fail_msg("step %d: no \"%s\" in %s", step, line, script.heads[step]);
}

static inline void script_start(void)
{
    memset(&script, 0, sizeof script);
    peer_start(&script.peer, script_serve, NULL);
    for (int v = 0; v <= AWS_HOME; v++)
        unsetenv(aws_environment_name((enum aws_variable)v));
    snprintf(script.home, sizeof script.home, "/tmp/test_aws.XXXXXX");
    assert_non_null(mkdtemp(script.home));
    char path[128];
    snprintf(path, sizeof path, "%s/.aws", script.home);
    assert_int_equal(mkdir(path, 0700), 0);
    setenv("HOME", script.home, 1);
}

static inline void script_stop(void)
{
    script_release();
    peer_stop(&script.peer);
    for (int i = 0; i < MAX_STEPS; i++) {
        free(script.heads[i]);
        free(script.bodies[i]);
    }
    static const char *const files[] = {".aws/credentials", ".aws/config", ".aws", "token", "keys", ""};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", script.home, files[i]);
        remove(path);
    }
}

/* ---- what is tested stands on a loop ---- */

static struct world {
    uv_loop_t loop;
    struct http_client *http;
    struct secrets *secrets;
    struct aws_credentials_cache *cache;
    int closed;
} world;

static int64_t fake_now_ms;

static inline int64_t fake_wall_ms(void)
{
    return fake_now_ms;
}

static const struct aws_timing quick = {.metadata_timeout_ms = 150,
                                        .container_timeout_ms = 5000,
                                        .service_timeout_ms = 5000,
                                        .retry_delay_ms = 1};

static inline void on_world_closed(void *data)
{
    (void)data;
    world.closed++;
    uv_stop(&world.loop);
}

static inline void world_close_cache(void)
{
    world.closed = 0;
    aws_credentials_cache_close(world.cache, on_world_closed, NULL);
    world.cache = NULL;
    assert_int_equal(world.closed, 0);
    while (world.closed == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
}

static inline void world_close_clients(void)
{
    secrets_close(world.secrets, NULL, NULL);
    http_client_close(world.http, NULL, NULL);
    world.secrets = NULL;
    world.http = NULL;
    uv_run(&world.loop, UV_RUN_DEFAULT);
}

static inline int world_setup(void **state)
{
    (void)state;
    script_start();
    memset(&world, 0, sizeof world);
    fake_now_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(http_client_new(&world.loop, &(struct http_options){0}, &world.http, NULL), 0);
    struct secrets_options options = {.http = world.http};
    assert_int_equal(secrets_new(&world.loop, &options, &world.secrets, NULL), 0);
    assert_int_equal(aws_credentials_cache_new(&world.loop, world.http, world.secrets, &world.cache, NULL),
                     0);
    aws_credentials_cache_use(world.cache, &quick, fake_wall_ms);
    return 0;
}

static inline int world_teardown(void **state)
{
    (void)state;
    if (world.cache)
        world_close_cache();
    world_close_clients();
    assert_int_equal(uv_loop_close(&world.loop), 0);
    script_stop();
    return 0;
}

static inline void set_url(enum aws_variable variable, const char *path)
{
    char url[160];
    snprintf(url, sizeof url, "%s%s", script.peer.url, path);
    setenv(aws_environment_name(variable), url, 1);
}

static inline void set(enum aws_variable variable, const char *value)
{
    setenv(aws_environment_name(variable), value, 1);
}

static inline void set_home_path(enum aws_variable variable, const char *path)
{
    char file[256];
    snprintf(file, sizeof file, "%s/%s", script.home, path);
    set(variable, file);
}

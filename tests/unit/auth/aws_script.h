/* AWS's credentials on service_script.h: a clear environment, and what stands on it. */
#pragma once

#include "auth/aws_credentials_internal.h"
#include "auth/aws_environment.h"
#include "auth/secrets.h"
#include "service_script.h"

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

/* patient: a busy machine may be slow to answer. impatient: for services that don't. */
static const struct aws_timing patient = {.metadata_timeout_ms = 20000,
                                          .container_timeout_ms = 20000,
                                          .service_timeout_ms = 20000,
                                          .retry_delay_ms = 1},
                               impatient = {.metadata_timeout_ms = 1000,
                                            .container_timeout_ms = 1000,
                                            .service_timeout_ms = 1000,
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
    for (int v = 0; v <= AWS_HOME; v++)
        unsetenv(aws_environment_name((enum aws_variable)v));
    script_start();
    home_mkdir(".aws");
    memset(&world, 0, sizeof world);
    fake_now_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(http_client_new(&world.loop, &(struct http_options){0}, &world.http, NULL), 0);
    struct secrets_options options = {.http = world.http};
    assert_int_equal(secrets_new(&world.loop, &options, &world.secrets, NULL), 0);
    assert_int_equal(aws_credentials_cache_new(&world.loop, world.http, world.secrets, &world.cache, NULL),
                     0);
    aws_credentials_cache_use(world.cache, &patient, fake_wall_ms);
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

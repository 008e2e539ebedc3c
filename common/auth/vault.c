/*
 * The token:
 *
 *   NONE --> LOGGING_IN --> HELD --> (renewed at 2/3 of its lease, again and again)
 *    ^           |           |
 *    +-- failed -+           +-- 403, or can't be renewed: NONE
 *
 * A fetch WAITS for a token, then READS. A 403 sends it back once: the token it used is dropped, unless
 * another fetch has seen to that already (generation), and what the next login brings is tried. A token that
 * was given as such can't be replaced: its 403 is final.
 */
#include "auth/vault.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "auth/secret_local.h"
#include "auth/vault_call.h"
#include "base/clock.h"
#include "base/log.h"

enum { PATH_SIZE = 600, SHORTEST_LEASE_S = 5, RENEW_AGAIN_MS = 2000 };

enum token_state { NONE, LOGGING_IN, HELD };
enum fetch_state { WAITS, READS, ENDS };

struct vault_fetch {
    struct vault *vault;
    struct vault_fetch *next, *previous;
    enum fetch_state state;
    char *place;
    int64_t generation; /* of the token it reads with */
    bool again;         /* had its 403 */
    struct vault_call *call;
    void (*done)(void *data, const char *text, const struct error *err); /* NULL: forgotten while it reads */
    void *data;
};

struct vault {
    uv_loop_t *loop;
    struct http_client *http;
    struct vault_settings settings;
    enum token_state state;
    char *token;
    int64_t generation;
    bool renewable;
    int64_t lease_until_ms;
    uv_timer_t due; /* 2/3 of the lease */
    struct vault_call *login;
    struct vault_call *upkeep; /* lookup-self or renew-self */
    struct vault_fetch *fetches;
    int open; /* calls under way, and the timer */
    bool closing;
    void (*on_closed)(void *data);
    void *data;
};

static int begin_login(struct vault *v, struct error *err);

static void on_part_closed(struct vault *v)
{
    if (--v->open > 0)
        return;
    void (*on_closed)(void *data) = v->on_closed;
    void *data = v->data;
    secret_free(v->token);
    vault_settings_deinit(&v->settings);
    free(v);
    on_closed(data);
}

static int call_start(struct vault *v, const char *method, const char *path, json_t *body,
                      void (*done)(void *data, const json_t *answer, const struct error *err), void *data,
                      struct vault_call **ret, struct error *err)
{
    struct vault_ask ask = {
        .loop = v->loop,
        .http = v->http,
        .settings = &v->settings,
        .method = method,
        .path = path,
        .token = v->token,
        .body = body,
        .done = done,
        .data = data,
    };
    int rc = vault_call_start(&ask, ret, err);
    if (rc == 0)
        v->open++;
    return rc;
}

/* --- fetches --- */

static void fetch_free(struct vault_fetch *f)
{
    struct vault *v = f->vault;
    if (f->next)
        f->next->previous = f->previous;
    if (f->previous)
        f->previous->next = f->next;
    else
        v->fetches = f->next;
    free(f->place);
    free(f);
}

/* Its end: text, or err. */
static void fetch_end(struct vault_fetch *f, const char *text, const struct error *err)
{
    void (*done)(void *data, const char *text, const struct error *err) = f->done;
    void *data = f->data;
    fetch_free(f);
    if (done)
        done(data, text, err);
}

static struct vault_fetch *find_ending(struct vault *v)
{
    struct vault_fetch *f = v->fetches;
    while (f && f->state != ENDS)
        f = f->next;
    return f;
}

/* Those that wait now; what a callback asks for anew has its own chance. */
static void end_waiting(struct vault *v, const struct error *err)
{
    struct vault_fetch *f;
    for (f = v->fetches; f; f = f->next)
        if (f->state == WAITS)
            f->state = ENDS;
    while ((f = find_ending(v)) != NULL)
        fetch_end(f, NULL, err);
}

static void drop_token(struct vault *v)
{
    v->state = NONE;
    secret_free(v->token);
    v->token = NULL;
    uv_timer_stop(&v->due);
    if (v->upkeep)
        vault_call_cancel(v->upkeep);
    v->upkeep = NULL;
}

static void fetch_answer(struct vault_fetch *f, const json_t *answer)
{
    const json_t *secret = json_object_get(json_object_get(answer, "data"), "data");
    char *text = json_is_object(secret) ? json_dumps(secret, JSON_COMPACT) : NULL;
    struct error err;
    if (text == NULL)
        error_set(&err, ERROR_PROTOCOL, true,
                  "Vault answers without a secret; its mount must be a KV engine of version 2");
    fetch_end(f, text, text ? NULL : &err);
    secret_free(text);
}

static void fetch_refused(struct vault_fetch *f, const struct error *err)
{
    struct error full = *err;
    if (err->code == ERROR_NOT_FOUND)
        error_set(
            &full, ERROR_NOT_FOUND, true,
            "Vault has no secret there, or its latest version is deleted (mount/path, without the data/ of the "
            "API; KV version 2)");
    snprintf(full.native, sizeof full.native, "%s", err->native);
    fetch_end(f, NULL, &full);
}

static int start_reading(struct vault_fetch *f, struct error *err);

/* Back to the door, once. False: its 403 is final. */
static bool fetch_again(struct vault_fetch *f)
{
    struct vault *v = f->vault;
    if (f->again || v->settings.login == VAULT_LOGIN_TOKEN || f->done == NULL)
        return false;
    f->again = true;
    f->state = WAITS;
    if (v->state == HELD && v->generation == f->generation)
        drop_token(v);
    struct error err;
    int rc = 0;
    if (v->state == HELD)
        rc = start_reading(f, &err);
    else if (v->state == NONE)
        rc = begin_login(v, &err);
    if (rc)
        end_waiting(v, &err);
    return true;
}

static void on_read(void *data, const json_t *answer, const struct error *err)
{
    struct vault_fetch *f = data;
    struct vault *v = f->vault;
    f->call = NULL;
    if (answer)
        fetch_answer(f, answer);
    else if (strcmp(err->native, "403") != 0 || v->closing || !fetch_again(f))
        fetch_refused(f, err);
    on_part_closed(v);
}

static int start_reading(struct vault_fetch *f, struct error *err)
{
    struct vault *v = f->vault;
    char path[PATH_SIZE];
    size_t mount = strcspn(f->place, "/");
    snprintf(path, sizeof path, "/v1/%.*s/data%s", (int)mount, f->place, f->place + mount);
    int rc = call_start(v, "GET", path, NULL, on_read, f, &f->call, err);
    if (rc == 0) {
        f->state = READS;
        f->generation = v->generation;
    }
    return rc;
}

/* --- the token's lease --- */

static void on_due(uv_timer_t *timer);

static void keep_alive(struct vault *v, int64_t lease_s, bool renewable)
{
    v->renewable = renewable;
    if (lease_s <= 0) /* it never ends */
        return;
    if (lease_s > INT32_MAX)
        lease_s = INT32_MAX;
    v->lease_until_ms = clock_monotonic_ms() + lease_s * 1000;
    uv_timer_start(&v->due, on_due, (uint64_t)lease_s * 1000 * 2 / 3, 0);
}

static void renewal_failed(struct vault *v, const struct error *err)
{
    int64_t left_ms = v->lease_until_ms - clock_monotonic_ms();
    if (err->code == ERROR_UNREACHABLE && left_ms > RENEW_AGAIN_MS) {
        log_warn("Vault: the token can't be renewed, again in %lld s: %s", (long long)left_ms / 2000,
                 err->message);
        uv_timer_start(&v->due, on_due, (uint64_t)left_ms / 2, 0);
        return;
    }
    log_warn("Vault: the token can't be renewed, logging in anew when a secret is asked for: %s",
             err->message);
    drop_token(v);
}

static void on_renewed(void *data, const json_t *answer, const struct error *err)
{
    struct vault *v = data;
    const json_t *auth = json_object_get(answer, "auth");
    int64_t lease_s = json_integer_value(json_object_get(auth, "lease_duration"));
    if (err == NULL || err->code != ERROR_CANCELLED) { /* cancelled: of a token that is no more */
        v->upkeep = NULL;
        if (err)
            renewal_failed(v, err);
        else if (lease_s < SHORTEST_LEASE_S) /* near the longest life it may have */
            drop_token(v);
        else
            keep_alive(v, lease_s, json_is_true(json_object_get(auth, "renewable")));
    }
    on_part_closed(v);
}

static void on_due(uv_timer_t *timer)
{
    struct vault *v = timer->data;
    struct error err;
    if (v->upkeep)
        return;
    if (!v->renewable)
        drop_token(v);
    else if (call_start(v, "POST", "/v1/auth/token/renew-self", NULL, on_renewed, v, &v->upkeep, &err))
        renewal_failed(v, &err);
}

/* A token from elsewhere: what it may not be asked for is as well. */
static void on_looked_up(void *data, const json_t *answer, const struct error *err)
{
    struct vault *v = data;
    const json_t *facts = json_object_get(answer, "data");
    if (err == NULL || err->code != ERROR_CANCELLED)
        v->upkeep = NULL;
    if (err == NULL && json_is_true(json_object_get(facts, "renewable")))
        keep_alive(v, json_integer_value(json_object_get(facts, "ttl")), true);
    on_part_closed(v);
}

/* --- login --- */

static void hold_token(struct vault *v)
{
    v->state = HELD;
    v->generation++;
    struct error err = {0};
    for (struct vault_fetch *f = v->fetches; f && err.code == 0; f = f->next)
        if (f->state == WAITS)
            (void)start_reading(f, &err);
    if (err.code)
        end_waiting(v, &err);
}

static void on_logged_in(void *data, const json_t *answer, const struct error *err)
{
    struct vault *v = data;
    const json_t *auth = json_object_get(answer, "auth");
    const char *token = json_string_value(json_object_get(auth, "client_token"));
    struct error failed = {0};
    v->login = NULL;
    v->state = NONE;
    if (err)
        failed = *err;
    else if (token == NULL || (v->token = strdup(token)) == NULL)
        error_set(&failed, ERROR_PROTOCOL, true, "Vault answers without a token");
    if (failed.code)
        error_context(&failed, "login to Vault by %s",
                      v->settings.login == VAULT_LOGIN_APPROLE ? "AppRole" : "Kubernetes");
    if (failed.code || v->closing) {
        end_waiting(v, &failed);
    } else {
        hold_token(v);
        keep_alive(v, json_integer_value(json_object_get(auth, "lease_duration")),
                   json_is_true(json_object_get(auth, "renewable")));
    }
    on_part_closed(v);
}

static int take_token(struct vault *v, struct error *err)
{
    const struct vault_settings *s = &v->settings;
    int rc = 0;
    if (s->login == VAULT_LOGIN_TOKEN_FILE)
        rc = secret_read_file(s->token_file, s->token_file, &v->token, err);
    else if ((v->token = strdup(s->token)) == NULL)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (rc) {
        error_context(err, "Vault's token");
        return rc;
    }
    hold_token(v);
    if (v->upkeep == NULL)
        (void)call_start(v, "GET", "/v1/auth/token/lookup-self", NULL, on_looked_up, v, &v->upkeep, NULL);
    return 0;
}

/* The secret part of a login: the value, or what the file holds now. Small files of this machine: read here.
 */
static int login_body(const char *first, const char *first_value, const char *second, const char *value,
                      const char *file, json_t **ret, struct error *err)
{
    char *read = NULL;
    int rc = value ? 0 : secret_read_file(file, file, &read, err);
    if (rc) {
        error_context(err, "login to Vault: %s", second);
        return rc;
    }
    *ret = json_pack("{s:s, s:s}", first, first_value, second, value ? value : read);
    secret_free(read);
    return *ret ? 0 : error_set(err, ERROR_INPUT, true, "login to Vault: %s is not UTF-8", second);
}

/* NONE -> LOGGING_IN or, with a token from elsewhere, HELD. On an error nothing has happened. */
static int begin_login(struct vault *v, struct error *err)
{
    const struct vault_settings *s = &v->settings;
    json_t *body;
    char path[PATH_SIZE];
    int rc;
    switch (s->login) {
    case VAULT_LOGIN_APPROLE:
        snprintf(path, sizeof path, "/v1/auth/approle/login");
        rc = login_body("role_id", s->role, "secret_id", s->secret_id, s->secret_id_file, &body, err);
        break;
    case VAULT_LOGIN_KUBERNETES:
        snprintf(path, sizeof path, "/v1/auth/%.500s/login", s->mount);
        rc = login_body("role", s->role, "jwt", NULL, s->token_file, &body, err);
        break;
    case VAULT_LOGIN_TOKEN:
    case VAULT_LOGIN_TOKEN_FILE:
    default:
        return take_token(v, err);
    }
    if (rc == 0)
        rc = call_start(v, "POST", path, body, on_logged_in, v, &v->login, err);
    if (rc == 0)
        v->state = LOGGING_IN;
    return rc;
}

/* --- all --- */

int vault_get(struct vault *v, const char *place,
              void (*done)(void *data, const char *text, const struct error *err), void *data,
              struct vault_fetch **ret, struct error *err)
{
    struct vault_fetch *f = calloc(1, sizeof *f);
    char *copy = strdup(place);
    if (f == NULL || copy == NULL) {
        free(f);
        free(copy);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = v->state == NONE ? begin_login(v, err) : 0;
    if (rc) {
        free(f);
        free(copy);
        return rc;
    }
    *f = (struct vault_fetch){.vault = v, .next = v->fetches, .place = copy, .done = done, .data = data};
    if (v->fetches)
        v->fetches->previous = f;
    v->fetches = f;
    rc = v->state == HELD ? start_reading(f, err) : 0;
    if (rc)
        fetch_free(f);
    else
        *ret = f;
    return rc;
}

void vault_forget(struct vault_fetch *f)
{
    f->done = NULL;
    if (f->call)
        vault_call_cancel(f->call); /* on_read frees it */
    else
        fetch_free(f);
}

int vault_new(uv_loop_t *loop, struct http_client *http, struct vault_settings *settings, struct vault **ret,
              struct error *err)
{
    struct vault *v = calloc(1, sizeof *v);
    if (v == NULL) {
        vault_settings_deinit(settings);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    *v = (struct vault){.loop = loop, .http = http, .settings = *settings, .open = 1};
    *settings = (struct vault_settings){0};
    uv_timer_init(loop, &v->due);
    uv_unref((uv_handle_t *)&v->due);
    v->due.data = v;
    *ret = v;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

void vault_close(struct vault *v, void (*on_closed)(void *data), void *data)
{
    v->closing = true;
    v->on_closed = on_closed;
    v->data = data;
    if (v->login)
        vault_call_cancel(v->login);
    if (v->upkeep)
        vault_call_cancel(v->upkeep);
    uv_close((uv_handle_t *)&v->due, on_timer_closed);
}

/* vault: references through the store, against a scripted Vault: which path is answered how, and what was
 * asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../loop/http_peer.h"
#include "auth/secrets.h"

enum { MAX_REPLIES = 8 };

/* The replies to one path are used one after the other; the last one again and again. */
struct reply {
    const char *target;
    int status; /* 0 = none: the connection stays open */
    const char *body;
};

static struct {
    uv_loop_t loop;
    struct http_client *http;
    struct secrets *secrets;
    uv_timer_t alive; /* where the token's timer, which doesn't keep the loop, is waited for */
    struct peer peer;
    const struct reply *replies;
    bool used[MAX_REPLIES];
    const char *after[MAX_REPLIES]; /* the reply is held back until the log has this */
    bool closed;
} t;

static char token_path[] = "/tmp/test_vault.XXXXXX";

#define SECRET                                                                                               \
    "{\"data\":{\"data\":{\"password\":\"hunter2\",\"port\":5432,\"a\":{\"b\":\"c\"},\"empty\":\"\"}}}"
#define AUTH(token, lease)                                                                                   \
    "{\"auth\":{\"client_token\":\"" token "\",\"lease_duration\":" #lease ",\"renewable\":true}}"
#define DENIED "{\"errors\":[\"permission denied\"]}"
#define READ "/v1/kv/data/shop"
#define LOGIN "/v1/auth/approle/login"
#define RENEW "/v1/auth/token/renew-self"

static const struct reply *find_reply(const char *target)
{
    const struct reply *last = NULL;
    for (int i = 0; t.replies[i].target; i++) {
        if (strcmp(t.replies[i].target, target) != 0)
            continue;
        last = &t.replies[i];
        if (!t.used[i]) {
            t.used[i] = true;
            break;
        }
    }
    return last;
}

/* Each question becomes a line of the log: METHOD target token body. */
static void serve(struct peer_conn *c)
{
    while (peer_read(c)) {
        char token[64], namespace[64];
        if (!peer_header(c, "X-Vault-Token", token, sizeof token))
            strcpy(token, "-");
        (void)peer_header(c, "X-Vault-Namespace", namespace, sizeof namespace);
        pthread_mutex_lock(&c->peer->mutex);
        size_t n = strlen(c->peer->log);
        snprintf(c->peer->log + n, sizeof c->peer->log - n, "%s %s %s%s%s%s%s\n", c->method, c->target, token,
                 namespace[0] ? " in " : "", namespace, c->body_size ? " " : "", c->body_size ? c->body : "");
        pthread_cond_broadcast(&c->peer->changed);
        const struct reply *reply = find_reply(c->target);
        while (reply && t.after[reply - t.replies] &&
               strstr(c->peer->log, t.after[reply - t.replies]) == NULL)
            pthread_cond_wait(&c->peer->changed, &c->peer->mutex);
        pthread_mutex_unlock(&c->peer->mutex);
        if (reply && reply->status == 0) {
            peer_wait_gone(c);
            return;
        }
        peer_answer(c, reply ? reply->status : 404, reply ? reply->body : "{\"errors\":[]}");
    }
}

static bool was_asked(const char *line)
{
    pthread_mutex_lock(&t.peer.mutex);
    bool found = strstr(t.peer.log, line) != NULL;
    pthread_mutex_unlock(&t.peer.mutex);
    return found;
}

static int times_asked(const char *text)
{
    int n = 0;
    pthread_mutex_lock(&t.peer.mutex);
    for (const char *at = t.peer.log; (at = strstr(at, text)) != NULL; at++)
        n++;
    pthread_mutex_unlock(&t.peer.mutex);
    return n;
}

struct answer {
    int n;
    char secret[256];
    struct error err;
    struct secrets_wait *wait;
};

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct answer *a = data;
    a->n++;
    if (secret)
        snprintf(a->secret, sizeof a->secret, "%s", secret);
    if (err) {
        a->err = *err;
        assert_null(strstr(err->message, "hunter2"));
        assert_null(strstr(err->message, "t0ken"));
        assert_null(strstr(err->message, "s3cret"));
    }
}

static void ask(struct answer *a, const char *reference)
{
    struct error err = {0};
    *a = (struct answer){0};
    assert_int_equal(secrets_get(t.secrets, reference, on_secret, a, &a->wait, &err), 0);
    assert_int_equal(a->n, 0);
}

static void get(struct answer *a, const char *reference)
{
    ask(a, reference);
    while (a->n == 0)
        uv_run(&t.loop, UV_RUN_ONCE);
}

static void assert_secret(const char *reference, const char *wanted)
{
    struct answer a;
    get(&a, reference);
    if (a.err.code)
        fail_msg("%s: %s", reference, a.err.message);
    assert_string_equal(a.secret, wanted);
}

static void assert_refused(const char *reference, int code, const char *says)
{
    struct answer a;
    get(&a, reference);
    if (a.err.code != code || strstr(a.err.message, says) == NULL)
        fail_msg("wanted %s '%s', got %s '%s' %s", error_code_name(code), says, error_code_name(a.err.code),
                 a.err.message, a.secret);
    assert_true(a.err.retryable);
    assert_non_null(strstr(a.err.message, reference));
}

static void script(const struct reply *replies)
{
    pthread_mutex_lock(&t.peer.mutex);
    t.replies = replies;
    memset(t.used, 0, sizeof t.used);
    t.peer.log[0] = '\0';
    pthread_mutex_unlock(&t.peer.mutex);
}

static void log_in_by_approle(void)
{
    unsetenv("VAULT_TOKEN");
    setenv("VAULT_ROLE_ID", "role", 1);
    setenv("VAULT_SECRET_ID", "s3cret-id", 1);
}

static int setup(void **state)
{
    (void)state;
    static const char *const names[] = {"VAULT_TOKEN_FILE", "VAULT_ROLE_ID",  "VAULT_SECRET_ID",
                                        "VAULT_NAMESPACE",  "VAULT_K8S_ROLE", "VAULT_K8S_TOKEN_FILE",
                                        "VAULT_K8S_MOUNT",  "VAULT_CACERT",   "VAULT_SECRET_ID_FILE"};
    static const struct reply nothing[] = {{0}};
    struct error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    memset(&t, 0, sizeof t);
    peer_start(&t.peer, serve, NULL);
    script(nothing);
    setenv("VAULT_ADDR", t.peer.url, 1);
    setenv("VAULT_TOKEN", "t0ken", 1);
    if (uv_loop_init(&t.loop) || http_client_new(&t.loop, &(struct http_options){0}, &t.http, &err))
        return -1;
    struct secrets_options options = {.http = t.http};
    return secrets_new(&t.loop, &options, &t.secrets, &err);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static int teardown(void **state)
{
    (void)state;
    if (!t.closed)
        secrets_close(t.secrets, on_closed, &t.closed);
    while (!t.closed)
        uv_run(&t.loop, UV_RUN_ONCE);
    http_client_close(t.http, NULL, NULL);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    peer_stop(&t.peer);
    return uv_loop_close(&t.loop);
}

static void fields_of_a_secret(void **state)
{
    (void)state;
    static const struct reply replies[] = {{READ, 200, SECRET}, {0}};
    script(replies);
    setenv("VAULT_NAMESPACE", "team", 1);
    assert_secret("vault:kv/shop#password", "hunter2");
    assert_secret("vault:kv/shop#port", "5432");
    assert_secret("vault:kv/shop#a", "{\"b\":\"c\"}");
    assert_secret("vault:kv/shop",
                  "{\"password\":\"hunter2\",\"port\":5432,\"a\":{\"b\":\"c\"},\"empty\":\"\"}");
    assert_refused("vault:kv/shop#missing", ERROR_NOT_FOUND, "no field 'missing'");
    assert_refused("vault:kv/shop#empty", ERROR_NOT_FOUND, "empty field");
    assert_true(was_asked("GET " READ " t0ken in team\n"));
    assert_int_equal(times_asked(READ), 1); /* kept */
    secrets_invalidate(t.secrets, "vault:kv/shop#password");
    assert_secret("vault:kv/shop#password", "hunter2");
    assert_int_equal(times_asked(READ), 2);
}

static void those_who_ask_at_once_share_a_fetch(void **state)
{
    (void)state;
    static const struct reply replies[] = {{READ, 200, SECRET}, {0}};
    struct answer a, b, c, forgotten;
    script(replies);
    ask(&a, "vault:kv/shop#password");
    ask(&forgotten, "vault:kv/shop#password");
    ask(&b, "vault:kv/shop#port");
    secrets_forget(forgotten.wait);
    while (a.n == 0 || b.n == 0)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(times_asked(READ), 1);
    assert_int_equal(forgotten.n, 0);

    /* one that was complained of while it was fetched serves nobody who asks later */
    secrets_invalidate(t.secrets, "vault:kv/shop");
    ask(&a, "vault:kv/shop#password");
    secrets_invalidate(t.secrets, "vault:kv/shop");
    ask(&c, "vault:kv/shop#password");
    while (a.n == 0 || c.n == 0)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(times_asked(READ), 3);
}

static void approle_logs_in_and_again_after_a_refusal(void **state)
{
    (void)state;
    static const struct reply replies[] = {{LOGIN, 200, AUTH("t0ken-1", 3600)},
                                           {LOGIN, 200, AUTH("t0ken-2", 3600)},
                                           {READ, 403, DENIED},
                                           {READ, 200, SECRET},
                                           {"/v1/kv/data/other", 403, DENIED},
                                           {0}};
    log_in_by_approle();
    script(replies);
    assert_secret("vault:kv/shop#password", "hunter2");
    assert_true(was_asked("POST " LOGIN " - {\"role_id\":\"role\",\"secret_id\":\"s3cret-id\"}\n"));
    assert_true(was_asked("GET " READ " t0ken-1\n"));
    assert_true(was_asked("GET " READ " t0ken-2\n"));
    assert_int_equal(times_asked(LOGIN), 2);

    /* a policy that doesn't let us: one new login, then it is said */
    assert_refused("vault:kv/other#x", ERROR_DENIED, "permission denied");
    assert_int_equal(times_asked(LOGIN), 3);
    assert_int_equal(times_asked("/v1/kv/data/other"), 2);
}

/* Two reads refused with one token: one login for both. */
static void one_login_for_all(void **state)
{
    (void)state;
    static const struct reply replies[] = {{LOGIN, 200, AUTH("t0ken-1", 3600)},
                                           {LOGIN, 200, AUTH("t0ken-2", 3600)},
                                           {READ, 403, DENIED},
                                           {READ, 200, SECRET},
                                           {"/v1/kv/data/other", 403, DENIED},
                                           {"/v1/kv/data/other", 200, SECRET},
                                           {0}};
    struct answer a, b;
    log_in_by_approle();
    script(replies);
    ask(&a, "vault:kv/shop#password");
    ask(&b, "vault:kv/other#password");
    while (a.n == 0 || b.n == 0)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_string_equal(a.secret, "hunter2");
    assert_string_equal(b.secret, "hunter2");
    assert_int_equal(times_asked(LOGIN), 2);
}

/* A refusal of the first token that comes when the second is there already: no third. */
static void a_late_refusal_is_not_of_the_new_token(void **state)
{
    (void)state;
    static const struct reply replies[] = {{LOGIN, 200, AUTH("t0ken-1", 3600)},
                                           {LOGIN, 200, AUTH("t0ken-2", 3600)},
                                           {READ, 403, DENIED},
                                           {READ, 200, SECRET},
                                           {"/v1/kv/data/other", 403, DENIED},
                                           {"/v1/kv/data/other", 200, SECRET},
                                           {0}};
    struct answer a, b;
    log_in_by_approle();
    script(replies);
    t.after[2] = "other t0ken-1";
    t.after[4] = READ " t0ken-2";
    ask(&a, "vault:kv/shop#password");
    ask(&b, "vault:kv/other#password");
    while (a.n == 0 || b.n == 0)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_string_equal(b.secret, "hunter2");
    assert_int_equal(times_asked(LOGIN), 2);
    assert_int_equal(times_asked("/v1/kv/data/other"), 2);
}

static void write_token(const char *text)
{
    FILE *f = fopen(token_path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void kubernetes_and_token_files(void **state)
{
    (void)state;
    static const struct reply replies[] = {
        {"/v1/auth/k8s/login", 200, AUTH("t0ken-k", 3600)}, {READ, 403, DENIED}, {READ, 200, SECRET}, {0}};
    unsetenv("VAULT_TOKEN");
    setenv("VAULT_K8S_ROLE", "backup", 1);
    setenv("VAULT_K8S_MOUNT", "k8s", 1);
    setenv("VAULT_K8S_TOKEN_FILE", token_path, 1);
    write_token("s3cret-jwt\n");
    script(replies);
    assert_secret("vault:kv/shop#password", "hunter2");
    assert_true(was_asked("POST /v1/auth/k8s/login - {\"role\":\"backup\",\"jwt\":\"s3cret-jwt\"}\n"));
}

static void a_token_file_is_read_again_after_a_refusal(void **state)
{
    (void)state;
    static const struct reply replies[] = {
        {READ, 200, SECRET}, {READ, 403, DENIED}, {READ, 200, SECRET}, {0}};
    unsetenv("VAULT_TOKEN");
    setenv("VAULT_TOKEN_FILE", token_path, 1);
    write_token("t0ken-old\n");
    script(replies);
    assert_secret("vault:kv/shop#password", "hunter2");
    write_token("t0ken-new");
    secrets_invalidate(t.secrets, "vault:kv/shop");
    assert_secret("vault:kv/shop#password", "hunter2");
    assert_int_equal(times_asked("GET " READ " t0ken-old\n"), 2);
    assert_int_equal(times_asked("GET " READ " t0ken-new\n"), 1);

    unlink(token_path);
    secrets_invalidate(t.secrets, "vault:kv/shop");
    static const struct reply refused[] = {{READ, 403, DENIED}, {0}};
    script(refused);
    assert_refused("vault:kv/shop#password", ERROR_NOT_FOUND, token_path);
}

static void a_given_token_is_final(void **state)
{
    (void)state;
    static const struct reply replies[] = {{READ, 403, DENIED}, {0}};
    script(replies);
    assert_refused("vault:kv/shop#password", ERROR_DENIED, "403");
    assert_int_equal(times_asked("GET " READ), 1);
}

static void a_refused_login_is_told(void **state)
{
    (void)state;
    static const struct reply replies[] = {{LOGIN, 400, "{\"errors\":[\"invalid role or secret ID\"]}"},
                                           {LOGIN, 200, AUTH("t0ken-1", 0)},
                                           {READ, 200, SECRET},
                                           {0}};
    log_in_by_approle();
    script(replies);
    assert_refused("vault:kv/shop#password", ERROR_INPUT, "login to Vault by AppRole");
    assert_secret("vault:kv/shop#password", "hunter2"); /* errors aren't kept */
}

static void trouble_is_tried_three_times(void **state)
{
    (void)state;
    static const struct reply sealed[] = {{READ, 503, "{\"errors\":[\"Vault is sealed\"]}"}, {0}};
    static const struct reply passing[] = {
        {READ, 412, "{\"errors\":[]}"}, {READ, 429, ""}, {READ, 200, SECRET}, {0}};
    script(sealed);
    assert_refused("vault:kv/shop#password", ERROR_UNREACHABLE, "Vault is sealed");
    assert_int_equal(times_asked("GET " READ), 3);
    script(passing);
    assert_secret("vault:kv/shop#password", "hunter2");
    assert_int_equal(times_asked("GET " READ), 3);
}

static void what_is_no_secret(void **state)
{
    (void)state;
    static const struct reply replies[] = {
        {READ, 404, "{\"data\":{\"data\":null,\"metadata\":{\"deletion_time\":\"2026-01-02T00:00:00Z\"}}}"},
        {"/v1/kv/data/v1", 200, "{\"data\":{\"password\":\"hunter2\"}}"},
        {"/v1/kv/data/html", 200, "<html>hunter2</html>"},
        {"/v1/kv/data/moved", 307, ""},
        {0}};
    script(replies);
    assert_refused("vault:kv/shop#password", ERROR_NOT_FOUND, "deleted");
    assert_refused("vault:kv/v1#password", ERROR_PROTOCOL, "version 2");
    assert_refused("vault:kv/html#password", ERROR_PROTOCOL, "VAULT_ADDR");
    assert_refused("vault:kv/moved#password", ERROR_PROTOCOL, "307");
}

static void settings_that_are_missing(void **state)
{
    (void)state;
    setenv("VAULT_ADDR", "vault.example:8200", 1);
    assert_refused("vault:kv/shop#password", ERROR_INPUT, "https://");
    setenv("VAULT_ADDR", "https://user:s3cret@vault.example", 1);
    assert_refused("vault:kv/shop#password", ERROR_INPUT, "VAULT_ADDR");
    unsetenv("VAULT_ADDR");
    assert_refused("vault:kv/shop#password", ERROR_NOT_FOUND, "VAULT_ADDR");
    setenv("VAULT_ADDR", t.peer.url, 1);
    unsetenv("VAULT_TOKEN");
    setenv("VAULT_ROLE_ID", "role", 1);
    assert_refused("vault:kv/shop#password", ERROR_NOT_FOUND, "VAULT_SECRET_ID");
    setenv("VAULT_SECRET_ID_FILE", "/nowhere/at/all", 1);
    assert_refused("vault:kv/shop#password", ERROR_NOT_FOUND, "/nowhere/at/all");
}

static void wait_until_asked(const char *line)
{
    while (!was_asked(line))
        uv_run(&t.loop, UV_RUN_ONCE);
}

static void on_never(uv_timer_t *timer)
{
    (void)timer;
}

/* At 2/3 of its lease; what can't be made longer is dropped, and the next who asks logs in. */
static void tokens_are_renewed(void **state)
{
    (void)state;
    static const struct reply replies[] = {{LOGIN, 200, AUTH("t0ken-1", 3)},
                                           {LOGIN, 200, AUTH("t0ken-2", 3600)},
                                           {RENEW, 200, AUTH("t0ken-1", 3)},
                                           {READ, 200, SECRET},
                                           {0}};
    log_in_by_approle();
    script(replies);
    uv_timer_init(&t.loop, &t.alive);
    uv_timer_start(&t.alive, on_never, 1000000, 0);
    assert_secret("vault:kv/shop#password", "hunter2");
    wait_until_asked("POST " RENEW " t0ken-1 {}\n");
    while (!was_asked("t0ken-2")) { /* until the answer has been seen, the old one is used */
        secrets_invalidate(t.secrets, "vault:kv/shop");
        assert_secret("vault:kv/shop#password", "hunter2");
    }
    uv_close((uv_handle_t *)&t.alive, NULL);
}

static void a_given_token_is_renewed_when_it_can_be(void **state)
{
    (void)state;
    static const struct reply replies[] = {
        {"/v1/auth/token/lookup-self", 200, "{\"data\":{\"ttl\":3,\"renewable\":true}}"},
        {RENEW, 200, AUTH("t0ken", 3600)},
        {READ, 200, SECRET},
        {0}};
    script(replies);
    uv_timer_init(&t.loop, &t.alive);
    uv_timer_start(&t.alive, on_never, 1000000, 0);
    assert_secret("vault:kv/shop#password", "hunter2");
    wait_until_asked("POST " RENEW " t0ken {}\n");
    uv_close((uv_handle_t *)&t.alive, NULL);
}

static void closing_at_any_moment(void **state)
{
    (void)state;
    static const struct reply logging_in[] = {{LOGIN, 0, NULL}, {0}};
    struct answer a, b;
    log_in_by_approle();
    script(logging_in);
    ask(&a, "vault:kv/shop#password");
    ask(&b, "vault:kv/other");
    wait_until_asked("POST " LOGIN);
    secrets_close(t.secrets, on_closed, &t.closed);
    while (!t.closed)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(a.n, 1);
    assert_int_equal(b.n, 1);
    assert_int_equal(a.err.code, ERROR_CANCELLED);
}

static void closing_while_it_reads(void **state)
{
    (void)state;
    static const struct reply reading[] = {{READ, 0, NULL}, {0}};
    struct answer a;
    script(reading);
    ask(&a, "vault:kv/shop#password");
    wait_until_asked("GET " READ);
    secrets_close(t.secrets, on_closed, &t.closed);
    while (!t.closed)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.err.code, ERROR_CANCELLED);
}

int main(void)
{
    int fd = mkstemp(token_path);
    if (fd < 0)
        return 1;
    close(fd);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fields_of_a_secret),
        TEST(those_who_ask_at_once_share_a_fetch),
        TEST(approle_logs_in_and_again_after_a_refusal),
        TEST(one_login_for_all),
        TEST(a_late_refusal_is_not_of_the_new_token),
        TEST(kubernetes_and_token_files),
        TEST(a_token_file_is_read_again_after_a_refusal),
        TEST(a_given_token_is_final),
        TEST(a_refused_login_is_told),
        TEST(trouble_is_tried_three_times),
        TEST(what_is_no_secret),
        TEST(settings_that_are_missing),
        TEST(tokens_are_renewed),
        TEST(a_given_token_is_renewed_when_it_can_be),
        TEST(closing_at_any_moment),
        TEST(closing_while_it_reads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(token_path);
    return failed;
}

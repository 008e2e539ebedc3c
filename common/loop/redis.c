/*
 * The client: one connection, the commands that wait for it, the commands under way.
 *
 *   DOWN -> RESOLVING -> CONNECTING -> HELLO -> READY -> (lost, timed out) -> DOWN, again after backoff
 *
 * HELLO sends AUTH, SELECT and CLIENT SETNAME as the URL and the options ask for, and a PING: its answer
 * tells that the server is ready (not loading its data) and lets us in. Then the waiting commands go out.
 *
 * Commands go out, and failures are told, from an idle callback (on_turn), outside of hiredis's callbacks,
 * where contexts must not be freed. Only answers are told from within hiredis, because the reply is gone
 * afterwards; a close in there makes hiredis free the context behind the callback.
 *
 * A command that hiredis holds is freed when hiredis has called back and the user was told, whichever is
 * later.
 */
#include "loop/redis.h"

#include <hiredis/async.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/backoff.h"
#include "base/random.h"
#include "loop/redis_adapter.h"
#include "loop/redis_command.h"
#include "loop/redis_reply.h"
#include "loop/redis_url.h"
#include "loop/resolve.h"

enum redis_state { DOWN, RESOLVING, CONNECTING, HELLO, READY };

struct redis_client {
    uv_loop_t *loop;
    struct redis_options options;
    struct redis_url url;
    char *name;
    enum redis_state state;
    redisAsyncContext *ac;
    struct redis_adapter *adapter;
    struct resolve *resolve;
    struct resolve_address addresses[RESOLVE_MAX]; /* still to be tried: from next_address on */
    int n_addresses;
    int next_address;
    int64_t deadline; /* of resolving, connecting and hello */
    int attempt;      /* connects since the last one that worked */
    int64_t retry_at;
    bool drop; /* the next turn closes the connection for drop_err */
    struct error drop_err;
    struct error last_error;
    bool news; /* to be told to on_state */
    struct redis_list waiting;
    struct redis_list in_flight;
    struct redis_list failed; /* to be told so in the next turn */
    int64_t command_due;      /* no command is due before */
    uv_timer_t timer;
    int64_t timer_due;
    uv_idle_t turn;
    int n_handles;
    bool closing;
    void (*on_closed)(void *data);
    void *closed_data;
};

static void on_turn(uv_idle_t *handle);
static void on_timer(uv_timer_t *handle);
static void on_reply(redisAsyncContext *ac, void *reply, void *data);
static void connect_next(struct redis_client *client);
static void arm(struct redis_client *client);

static int64_t now_ms(const struct redis_client *client)
{
    return (int64_t)uv_now(client->loop);
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

static void free_client(struct redis_client *client)
{
    redis_url_deinit(&client->url);
    free(client->name);
    free(client);
}

/* hiredis writes with write(): a peer that is gone must be an error, not the end of the program. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static void kick(struct redis_client *client)
{
    if (!client->closing)
        uv_idle_start(&client->turn, on_turn);
}

int redis_client_new(uv_loop_t *loop, const struct redis_options *options, struct redis_client **ret_client,
                     struct error *err)
{
    struct redis_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    client->loop = loop;
    client->options = *options;
    client->options.max_pending = (int)or_default(options->max_pending, 1024);
    client->options.connect_timeout_ms = or_default(options->connect_timeout_ms, 5000);
    client->options.command_timeout_ms = or_default(options->command_timeout_ms, 15000);
    client->options.backoff_base_ms = or_default(options->backoff_base_ms, 100);
    client->options.backoff_cap_ms = or_default(options->backoff_cap_ms, 5000);
    client->command_due = INT64_MAX;
    int rc = redis_url_parse(&client->url, options->url ? options->url : "", err);
    if (rc == 0 && options->name && (client->name = strdup(options->name)) == NULL)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    if (rc != 0) {
        free_client(client);
        return rc;
    }
    ignore_sigpipe();
    uv_timer_init(loop, &client->timer);
    uv_idle_init(loop, &client->turn);
    client->timer.data = client->turn.data = client;
    client->n_handles = 2;
    kick(client);
    *ret_client = client;
    return 0;
}

bool redis_client_connected(const struct redis_client *client)
{
    return client->state == READY && !client->drop;
}

/* -- failing and losing -- */

static void fail(struct redis_client *client, struct redis_command *command)
{
    redis_list_push(&client->failed, command);
    kick(client);
}

static void mark_maybe(struct error *err)
{
    snprintf(err->native, sizeof err->native, "maybe");
}

/* The connection is gone, or none came about. Tries the next address at once, else again after backoff. */
static void down(struct redis_client *client, const struct error *why)
{
    client->state = DOWN;
    client->last_error = *why;
    client->drop = false;
    if (client->next_address < client->n_addresses) {
        client->retry_at = now_ms(client);
    } else {
        client->attempt++;
        client->retry_at = now_ms(client) + backoff_ms(client->attempt, client->options.backoff_base_ms,
                                                       client->options.backoff_cap_ms, random_u64());
        client->news = true;
    }
    kick(client);
}

/* Outside of hiredis's callbacks only. */
static void drop_connection(struct redis_client *client, const struct error *why)
{
    redisAsyncContext *ac = client->ac;
    struct redis_command *command;
    client->ac = NULL;
    client->adapter = NULL;
    resolve_cancel(client->resolve);
    client->resolve = NULL;
    while ((command = redis_list_pop(&client->in_flight))) {
        if (command->err.code == 0) {
            command->err = *why;
            mark_maybe(&command->err);
        }
        fail(client, command);
    }
    if (ac)
        redisAsyncFree(ac); /* calls on_reply for each of them */
    down(client, why);
}

static int unreachable(struct redis_client *client, struct error *err, const char *why)
{
    return error_set(err, ERROR_UNREACHABLE, true, "Redis at %s: %s", client->url.where, why);
}

/* -- hello -- */

enum hello { HELLO_AUTH = 1, HELLO_SELECT, HELLO_NAME, HELLO_PING };

/* An error reply to AUTH is about the password whatever its first word; a server that forbids PING or naming
 * is fine otherwise. */
static bool hello_failed(enum hello what, const redisReply *reply, struct error *err)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    redis_error_from_text(err, reply->str, (size_t)reply->len);
    if (what == HELLO_AUTH)
        err->code = ERROR_DENIED;
    else if (what == HELLO_SELECT && !err->retryable && err->code != ERROR_DENIED)
        err->code = ERROR_INPUT;
    bool optional = what == HELLO_NAME || what == HELLO_PING;
    return !optional || err->retryable || strcmp(err->native, "NOAUTH") == 0;
}

static void on_hello(redisAsyncContext *ac, void *data, void *what)
{
    struct redis_client *client = ac->data;
    const redisReply *reply = data;
    if (reply == NULL || client->closing || client->ac != ac || client->drop)
        return;
    struct error err;
    if (hello_failed((enum hello)(intptr_t)what, reply, &err)) {
        error_context(&err, "Redis at %s", client->url.where);
        client->drop_err = err;
        client->drop = true;
    } else if ((enum hello)(intptr_t)what == HELLO_PING) {
        client->state = READY;
        client->attempt = 0;
        client->n_addresses = client->next_address = 0;
        client->news = true;
    }
    kick(client);
}

static void hello(struct redis_client *client, enum hello what, int argc, const char **argv)
{
    redisAsyncCommandArgv(client->ac, on_hello, (void *)(intptr_t)what, argc, argv, NULL);
}

static void say_hello(struct redis_client *client)
{
    const struct redis_url *url = &client->url;
    char db[16];
    snprintf(db, sizeof db, "%d", url->db);
    client->state = HELLO;
    if (url->password && url->user)
        hello(client, HELLO_AUTH, 3, (const char *[]){"AUTH", url->user, url->password});
    else if (url->password)
        hello(client, HELLO_AUTH, 2, (const char *[]){"AUTH", url->password});
    if (url->db != 0)
        hello(client, HELLO_SELECT, 2, (const char *[]){"SELECT", db});
    if (client->name)
        hello(client, HELLO_NAME, 3, (const char *[]){"CLIENT", "SETNAME", client->name});
    hello(client, HELLO_PING, 1, (const char *[]){"PING"});
}

/* -- connecting -- */

/* A peer that vanished is noticed within a minute, also while idle. Not redisEnableKeepAlive: that one breaks
 * the context for good where the socket is a unix one. */
static void keep_alive(int fd)
{
    const int on = 1, idle_s = 30, interval_s = 10, probes = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* hiredis frees the context behind these two. */
static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_client *client = ac->data;
    if (client->ac != ac)
        return;
    if (status == REDIS_OK) {
        keep_alive(ac->c.fd);
        say_hello(client);
        return;
    }
    struct error err;
    unreachable(client, &err, ac->errstr);
    client->ac = NULL;
    client->adapter = NULL;
    down(client, &err);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis_client *client = ac->data;
    (void)status;
    if (client->ac != ac)
        return;
    struct error err;
    unreachable(client, &err, ac->err ? ac->errstr : "connection closed");
    client->ac = NULL;
    client->adapter = NULL;
    down(client, &err);
}

static void on_activity(void *data, bool broken)
{
    struct redis_client *client = data;
    if (client->closing)
        return;
    if (broken && client->ac && !client->drop) {
        unreachable(client, &client->drop_err, "the connection broke");
        client->drop = true;
    }
    if (client->drop || client->state != READY || client->waiting.head || client->failed.head)
        kick(client);
    else
        arm(client);
}

static void release_handle(struct redis_client *client);

static void on_adapter_closed(void *data)
{
    release_handle(data);
}

static void connect_to(struct redis_client *client, const char *address)
{
    struct error err;
    redisAsyncContext *ac =
        address ? redisAsyncConnect(address, client->url.port) : redisAsyncConnectUnix(client->url.path);
    if (ac == NULL || ac->err) {
        unreachable(client, &err, ac ? ac->errstr : "out of memory");
        if (ac)
            redisAsyncFree(ac);
        down(client, &err);
        return;
    }
    const struct redis_adapter_events events = {
        .on_activity = on_activity, .on_closed = on_adapter_closed, .data = client};
    int rc = redis_adapter_attach(client->loop, ac, &events, &client->adapter);
    if (rc != 0) {
        redisAsyncFree(ac);
        unreachable(client, &err, uv_strerror(rc));
        down(client, &err);
        return;
    }
    client->n_handles++;
    client->ac = ac;
    client->state = CONNECTING;
    ac->data = client;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    redis_adapter_apply(client->adapter);
}

static void on_resolved(void *data, int status, const struct resolve_address *addresses, int n)
{
    struct redis_client *client = data;
    struct error err;
    client->resolve = NULL;
    if (status != 0) {
        unreachable(client, &err, uv_strerror(status));
        down(client, &err);
        return;
    }
    memcpy(client->addresses, addresses, (size_t)n * sizeof *addresses);
    client->n_addresses = n;
    connect_next(client);
}

static bool is_numeric(const char *host)
{
    unsigned char bytes[16];
    return uv_inet_pton(AF_INET, host, bytes) == 0 || uv_inet_pton(AF_INET6, host, bytes) == 0;
}

static void connect_next(struct redis_client *client)
{
    struct error err;
    client->deadline = now_ms(client) + client->options.connect_timeout_ms;
    if (client->url.path || is_numeric(client->url.host)) {
        connect_to(client, client->url.host);
        return;
    }
    if (client->next_address < client->n_addresses) {
        connect_to(client, client->addresses[client->next_address++].text);
        return;
    }
    client->n_addresses = client->next_address = 0;
    client->state = RESOLVING;
    client->resolve = resolve_start(client->loop, client->url.host, on_resolved, client);
    if (client->resolve == NULL) {
        unreachable(client, &err, "looking up the name: out of memory");
        down(client, &err);
    }
}

/* -- time -- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A timer that is due too early is left alone: it fires once, finds nothing and is set anew. */
static void arm(struct redis_client *client)
{
    if (client->waiting.n + client->in_flight.n == 0)
        client->command_due = INT64_MAX;
    int64_t due = client->command_due;
    if (client->state == DOWN && client->retry_at > now_ms(client))
        due = earlier(due, client->retry_at);
    else if (client->state != DOWN && client->state != READY)
        due = earlier(due, client->deadline);
    if (due == INT64_MAX) {
        uv_timer_stop(&client->timer);
        return;
    }
    if (uv_is_active((uv_handle_t *)&client->timer) && client->timer_due <= due)
        return;
    client->timer_due = due;
    int64_t wait = due - now_ms(client);
    uv_timer_start(&client->timer, on_timer, wait > 0 ? (uint64_t)wait : 1, 0); /* 0 would fire without end */
}

static void expire_waiting(struct redis_client *client)
{
    struct redis_list list = client->waiting;
    struct redis_command *command;
    client->waiting = (struct redis_list){0};
    while ((command = redis_list_pop(&list))) {
        if (command->deadline > now_ms(client)) {
            client->command_due = earlier(client->command_due, command->deadline);
            redis_list_push(&client->waiting, command);
            continue;
        }
        unreachable(client, &command->err,
                    client->last_error.code ? client->last_error.message : "no connection in time");
        if (client->last_error.code)
            command->err = client->last_error;
        fail(client, command);
    }
}

/* Marks what is due; the connection can't be used any more then, since answers come in order. */
static bool expire_in_flight(struct redis_client *client)
{
    bool any = false;
    for (struct redis_command *c = client->in_flight.head; c; c = c->next) {
        if (c->deadline > now_ms(client)) {
            client->command_due = earlier(client->command_due, c->deadline);
            continue;
        }
        error_set(&c->err, ERROR_TIMEOUT, true, "Redis at %s: no answer within %lld ms", client->url.where,
                  (long long)c->timeout_ms);
        mark_maybe(&c->err);
        any = true;
    }
    return any;
}

static bool any_due(const struct redis_client *client)
{
    for (const struct redis_command *c = client->in_flight.head; c; c = c->next)
        if (c->deadline <= now_ms(client))
            return true;
    return false;
}

static void on_timer(uv_timer_t *handle)
{
    struct redis_client *client = handle->data;
    struct error err;
    /* the loop itself may have been late: an answer that is here counts */
    if (client->state == READY && !client->drop && any_due(client)) {
        redisAsyncHandleRead(client->ac);
        if (client->closing)
            return;
        if (client->adapter)
            redis_adapter_apply(client->adapter);
    }
    client->command_due = INT64_MAX;
    if (expire_in_flight(client)) {
        unreachable(client, &err, "the connection was closed, another command got no answer in time");
        drop_connection(client, &err);
    } else if (client->state != READY && client->state != DOWN && client->deadline <= now_ms(client)) {
        error_set(&err, ERROR_UNREACHABLE, true, "Redis at %s: %s within %lld ms", client->url.where,
                  client->state == RESOLVING ? "the name was not resolved" : "connecting did not end",
                  (long long)client->options.connect_timeout_ms);
        drop_connection(client, &err);
    }
    expire_waiting(client);
    if (client->state == DOWN && client->retry_at <= now_ms(client))
        kick(client);
    arm(client);
}

/* -- commands -- */

static void free_or_leave(struct redis_command *command)
{
    command->told = true;
    if (!command->in_hiredis)
        redis_command_free(command);
}

static void tell_failed(struct redis_client *client)
{
    struct redis_command *command;
    while ((command = redis_list_pop(&client->failed))) {
        command->cb(command->data, NULL, &command->err);
        free_or_leave(command);
    }
}

static void answer(struct redis_command *command, const redisReply *reply)
{
    struct redis_client *client = command->client;
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_error_from_text(&command->err, reply->str, (size_t)reply->len);
        if (command->script && strcmp(command->err.native, "NOSCRIPT") == 0) {
            if (redis_command_spell_out(command)) {
                command->err = (struct error){0};
                redis_list_push_front(&client->waiting, command);
                kick(client);
                return;
            }
            error_set(&command->err, ERROR_SYSTEM, true, "Redis: out of memory");
        }
        command->cb(command->data, NULL, &command->err);
    } else {
        command->cb(command->data, reply, NULL);
    }
    redis_command_free(command);
}

/* From hiredis. reply NULL: the context is being freed, by itself or by us. */
static void on_reply(redisAsyncContext *ac, void *reply, void *data)
{
    struct redis_command *command = data;
    struct redis_client *client = command->client;
    command->in_hiredis = false;
    if (command->told) {
        redis_command_free(command);
        return;
    }
    if (command != client->in_flight.head)
        return; /* told in the next turn */
    redis_list_pop(&client->in_flight);
    if (reply) {
        answer(command, reply);
        return;
    }
    unreachable(client, &command->err, ac->err ? ac->errstr : "connection closed");
    mark_maybe(&command->err);
    fail(client, command);
}

static void send_waiting(struct redis_client *client)
{
    struct redis_command *command;
    while (client->ac && (command = redis_list_pop(&client->waiting))) {
        command->deadline = now_ms(client) + command->timeout_ms;
        client->command_due = earlier(client->command_due, command->deadline);
        if (redisAsyncFormattedCommand(client->ac, on_reply, command, command->bytes, command->size) !=
            REDIS_OK) {
            unreachable(client, &command->err, "the connection is being closed");
            fail(client, command);
            continue;
        }
        command->in_hiredis = true;
        redis_command_forget(command);
        redis_list_push(&client->in_flight, command);
    }
}

/* Writes at once: the socket is mostly writable, and waiting for it costs two system calls more. */
static void flush(struct redis_client *client)
{
    send_waiting(client);
    if (client->ac)
        redisAsyncHandleWrite(client->ac);
    if (client->adapter && redis_adapter_apply(client->adapter) != 0 && !client->drop) {
        unreachable(client, &client->drop_err, "the socket can't be watched");
        client->drop = true;
        kick(client);
    }
}

/* Refused for good (password, database number): waiting would not help. */
static void fail_waiting(struct redis_client *client, const struct error *err)
{
    struct redis_command *command;
    while ((command = redis_list_pop(&client->waiting))) {
        command->err = *err;
        fail(client, command);
    }
}

static void tell_news(struct redis_client *client)
{
    if (!client->news)
        return;
    client->news = false;
    bool connected = client->state == READY;
    if (client->options.on_state)
        client->options.on_state(client->options.data, connected, connected ? NULL : &client->last_error);
}

static void on_turn(uv_idle_t *handle)
{
    struct redis_client *client = handle->data;
    if (client->drop) {
        struct error err = client->drop_err;
        drop_connection(client, &err);
        if (!err.retryable)
            fail_waiting(client, &err);
    }
    tell_news(client);
    if (!client->closing)
        tell_failed(client);
    if (client->closing)
        return;
    uv_idle_stop(&client->turn);
    if (client->state == DOWN && client->retry_at <= now_ms(client))
        connect_next(client);
    if (client->state == READY && client->waiting.head && !client->drop)
        flush(client);
    if (client->failed.head || client->drop || client->news ||
        (client->state == DOWN && client->retry_at <= now_ms(client)))
        kick(client);
    arm(client);
}

static bool is_refused_command(const char *word, size_t length)
{
    static const char *const words[] = {"SUBSCRIBE",  "PSUBSCRIBE",   "UNSUBSCRIBE", "PUNSUBSCRIBE",
                                        "SSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (length == strlen(words[i]) && strncasecmp(word, words[i], length) == 0)
            return true;
    return false;
}

/* Takes command (NULL = memory is out). The one error that can't be told by the command itself is told by a
 * smaller one. */
static void submit(struct redis_client *client, struct redis_command *command, int64_t timeout_ms,
                   redis_done_fn cb, void *data)
{
    bool out_of_memory = command == NULL;
    if (out_of_memory && (command = calloc(1, sizeof *command)) == NULL)
        abort();
    command->client = client;
    command->cb = cb;
    command->data = data;
    if (out_of_memory)
        error_set(&command->err, ERROR_SYSTEM, true, "Redis: out of memory");
    else if (client->closing)
        error_set(&command->err, ERROR_CANCELLED, true, "Redis: the client is being closed");
    else if (client->waiting.n + client->in_flight.n >= client->options.max_pending)
        error_set(&command->err, ERROR_LIMIT, true, "Redis: %d commands are without an answer already",
                  client->waiting.n + client->in_flight.n);
    if (command->err.code != 0) {
        fail(client, command);
        return;
    }
    uv_update_time(client->loop); /* a program that was busy for long must not time out at once */
    int64_t limit = client->options.command_timeout_ms;
    command->timeout_ms = timeout_ms > 0 ? timeout_ms : limit;
    command->deadline = now_ms(client) + earlier(command->timeout_ms, limit);
    client->command_due = earlier(client->command_due, command->deadline);
    redis_list_push(&client->waiting, command);
    kick(client);
}

void redis_command(struct redis_client *client, int argc, const char *const *argv, const size_t *lengths,
                   int64_t timeout_ms, redis_done_fn cb, void *data)
{
    struct redis_command *command = redis_command_new(argc, argv, lengths);
    if (command && (argc < 1 || is_refused_command(argv[0], lengths ? lengths[0] : strlen(argv[0]))))
        error_set(&command->err, ERROR_UNSUPPORTED, false, "Redis: %.40s can't be used over this client",
                  argc < 1 ? "an empty command" : argv[0]);
    submit(client, command, timeout_ms, cb, data);
}

void redis_eval(struct redis_client *client, struct redis_script *script, const char *key, int argc,
                const char *const *argv, const size_t *lengths, redis_done_fn cb, void *data)
{
    submit(client, redis_command_new_script(script, key, argc, argv, lengths), 0, cb, data);
}

/* -- closing -- */

static void release_handle(struct redis_client *client)
{
    if (--client->n_handles > 0)
        return;
    tell_failed(client);
    void (*on_closed)(void *) = client->on_closed;
    void *data = client->closed_data;
    free_client(client);
    if (on_closed)
        on_closed(data);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    release_handle(handle->data);
}

static void cancel_all(struct redis_client *client, struct redis_list *list, bool sent)
{
    struct redis_command *command;
    while ((command = redis_list_pop(list))) {
        error_set(&command->err, ERROR_CANCELLED, true, "Redis: the client was closed");
        if (sent)
            mark_maybe(&command->err);
        redis_list_push(&client->failed, command);
    }
}

void redis_client_close(struct redis_client *client, void (*on_closed)(void *data), void *data)
{
    if (client == NULL || client->closing)
        return;
    client->closing = true;
    client->on_closed = on_closed;
    client->closed_data = data;
    cancel_all(client, &client->in_flight, true);
    cancel_all(client, &client->waiting, false);
    resolve_cancel(client->resolve);
    uv_close((uv_handle_t *)&client->timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&client->turn, on_own_handle_closed);
    tell_failed(client);
    redisAsyncContext *ac = client->ac;
    client->ac = NULL;
    client->adapter = NULL;
    client->state = DOWN;
    if (ac)
        redisAsyncFree(ac); /* within one of its callbacks: freed behind it */
}

/* -- for command-line programs -- */

struct run {
    uv_loop_t *loop;
    bool done;
    redisReply *reply;
    struct error err;
};

static void on_run_done(void *data, const redisReply *reply, const struct error *err)
{
    struct run *run = data;
    run->done = true;
    uv_stop(run->loop); /* it may come from a timer: don't wait for other events */
    if (reply == NULL)
        run->err = *err;
    else if ((run->reply = redis_reply_copy(reply)) == NULL)
        error_set(&run->err, ERROR_SYSTEM, true, "Redis: out of memory");
}

static redisReply *wait_for(struct run *run, struct error *err)
{
    while (!run->done)
        uv_run(run->loop, UV_RUN_ONCE);
    if (run->reply == NULL && err)
        *err = run->err;
    return run->reply;
}

redisReply *redis_run(struct redis_client *client, int argc, const char *const *argv, const size_t *lengths,
                      struct error *err)
{
    struct run run = {.loop = client->loop};
    redis_command(client, argc, argv, lengths, 0, on_run_done, &run);
    return wait_for(&run, err);
}

redisReply *redis_eval_run(struct redis_client *client, struct redis_script *script, const char *key,
                           int argc, const char *const *argv, const size_t *lengths, struct error *err)
{
    struct run run = {.loop = client->loop};
    redis_eval(client, script, key, argc, argv, lengths, on_run_done, &run);
    return wait_for(&run, err);
}

/*
 * A scripted server for what gives credentials, and a home directory: each request must be the next one of
 * the script. Secrets in these tests hold the word HIDDEN, which no message may.
 */
#pragma once

#include <ftw.h>
#include <sys/stat.h>

#include "../loop/http_peer.h"

enum { MAX_STEPS = 40 };

enum step_how {
    ANSWER,
    HANG,    /* takes the request and says nothing */
    HOLD,    /* answers after script_release */
    REWRITE, /* writes `text` into the file `path` of the home directory, then answers */
    BREAK,   /* closes the connection within the body */
    FLOOD,   /* answers with a body of 512 KiB */
};

struct step {
    const char *expect; /* "PUT /latest/api/token" */
    int status;
    const char *body;
    enum step_how how;
    const char *path, *text;
    const char *headers; /* whole lines, "Name: value\r\n"; NULL = none */
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

static inline bool script_answer(struct peer_conn *c, const struct step *step)
{
    const char *body = step ? step->body : "", *headers = step && step->headers ? step->headers : "";
    size_t size = strlen(body), flood = step && step->how == FLOOD ? 512 * 1024 : 0;
    bool breaks = step && step->how == BREAK;
    if (!peer_say(c, "HTTP/1.1 %d Word\r\nContent-Length: %zu\r\n%s\r\n%s", step ? step->status : 599,
                  size + flood + breaks, headers, body))
        return false;
    char blanks[1024];
    memset(blanks, ' ', sizeof blanks);
    for (; flood > 0; flood -= sizeof blanks) {
        if (!peer_send(c, blanks, sizeof blanks))
            return false;
    }
    return !breaks;
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
        if (!script_answer(c, step))
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

/* How many steps were taken; fails when something else was asked, for then nobody need wait for more. (No
 * failure while the mutex is held: what cleans up takes it too.) */
static inline int script_taken(void)
{
    char unexpected[sizeof script.unexpected];
    pthread_mutex_lock(&script.peer.mutex);
    int next = script.next;
    memcpy(unexpected, script.unexpected, sizeof unexpected);
    pthread_mutex_unlock(&script.peer.mutex);
    if (unexpected[0] != '\0')
        fail_msg("unexpected: %s", unexpected);
    return next;
}

static inline void script_add(struct step step)
{
    assert_true(script.n < MAX_STEPS);
    pthread_mutex_lock(&script.peer.mutex);
    script.steps[script.n++] = step;
    pthread_mutex_unlock(&script.peer.mutex);
}

/* All steps were taken, nothing else was asked. */
static inline void script_assert_done(void)
{
    int taken = script_taken();
    if (taken != script.n)
        fail_msg("only %d of %d steps were taken", taken, script.n);
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
    snprintf(script.home, sizeof script.home, "/tmp/test_script.XXXXXX");
    assert_non_null(mkdtemp(script.home));
    setenv("HOME", script.home, 1);
}

static inline void home_mkdir(const char *path)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s/%s", script.home, path);
    assert_int_equal(mkdir(folder, 0700), 0);
}

static inline int home_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void script_stop(void)
{
    script_release();
    peer_stop(&script.peer);
    for (int i = 0; i < MAX_STEPS; i++) {
        free(script.heads[i]);
        free(script.bodies[i]);
    }
    nftw(script.home, home_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/*
 * Hashing in the thread pool. A check waits in a list until fewer than PASSWORD_AT_ONCE are running, runs,
 * and is answered on the loop:
 *
 *   WAITING --> RUNNING --> answered
 *      +-----------+------> cancelled (password_checks_free): answered at once; a running one is only
 * forgotten, its memory goes when its thread is back
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "auth/password.h"

struct password_check {
    struct password_checks *checks;
    struct password_check *next;
    uv_work_t work;
    password_fn done; /* NULL: cancelled */
    void *data;
    char password[PASSWORD_MAX_BYTES + 1];
    char hash[PASSWORD_HASH_SIZE];
    char new_hash[PASSWORD_HASH_SIZE];
    bool only_hash;
    bool matches;
    struct error err;
};

struct password_checks {
    uv_loop_t *loop;
    struct password_check *first, *last; /* waiting */
    struct password_check *running[PASSWORD_AT_ONCE];
    int n_waiting, n_running;
    bool ending;
};

static void check_free(struct password_check *check)
{
    explicit_bzero(check, sizeof *check);
    free(check);
}

static void answer(struct password_check *check, const struct error *err)
{
    password_fn done = check->done;
    struct password_answer made = {check->matches, check->new_hash[0] ? check->new_hash : NULL};
    check->done = NULL;
    if (done)
        done(check->data, err ? NULL : &made, err);
}

static void on_thread(uv_work_t *work)
{
    struct password_check *check = work->data;
    check->matches = check->only_hash || password_matches(check->hash, check->password);
    if (check->matches && (check->only_hash || password_hash_is_old(check->hash)))
        password_hash(check->password, check->new_hash, &check->err);
}

static void run_more(struct password_checks *checks);

static void on_back(uv_work_t *work, int status)
{
    struct password_check *check = work->data;
    struct password_checks *checks = check->checks;
    (void)status; /* nothing cancels it while it waits for a thread */
    for (int i = 0; i < PASSWORD_AT_ONCE; i++)
        if (checks->running[i] == check)
            checks->running[i] = NULL;
    checks->n_running--;
    /* An old hash that can't be replaced now is still the right password. */
    bool failed = check->err.code && check->only_hash;
    answer(check, failed ? &check->err : NULL);
    check_free(check);
    if (!checks->ending)
        run_more(checks);
    else if (checks->n_running == 0)
        free(checks);
}

static void run_more(struct password_checks *checks)
{
    while (checks->first && checks->n_running < PASSWORD_AT_ONCE) {
        struct password_check *check = checks->first;
        checks->first = check->next;
        checks->n_waiting--;
        int slot = 0;
        while (checks->running[slot])
            slot++;
        checks->running[slot] = check;
        checks->n_running++;
        check->work.data = check;
        int rc = uv_queue_work(checks->loop, &check->work, on_thread, on_back);
        assert(rc == 0);
        (void)rc;
    }
}

static int submit(struct password_checks *checks, struct password_check *check, const char *password,
                  struct error *err)
{
    if (strlen(password) > PASSWORD_MAX_BYTES) {
        check_free(check);
        return error_set(err, ERROR_INPUT, false, "the password is too long: at most %d bytes",
                         PASSWORD_MAX_BYTES);
    }
    if (checks->n_waiting >= PASSWORD_MAX_WAITING) {
        check_free(check);
        return error_set(err, ERROR_LIMIT, true,
                         "too many passwords are being checked; try again in some seconds");
    }
    strcpy(check->password, password);
    if (checks->first)
        checks->last->next = check;
    else
        checks->first = check;
    checks->last = check;
    checks->n_waiting++;
    run_more(checks);
    return 0;
}

static struct password_check *check_new(struct password_checks *checks, password_fn done, void *data,
                                        struct error *err)
{
    struct password_check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        error_set(err, ERROR_SYSTEM, true, "out of memory");
        return NULL;
    }
    check->checks = checks;
    check->done = done;
    check->data = data;
    return check;
}

int password_checks_verify(struct password_checks *checks, const char *hash, const char *password,
                           password_fn done, void *data, struct error *err)
{
    struct password_check *check = check_new(checks, done, data, err);
    if (check == NULL)
        return ERROR_SYSTEM;
    if (hash && strlen(hash) < sizeof check->hash)
        strcpy(check->hash, hash);
    return submit(checks, check, password, err);
}

int password_checks_hash(struct password_checks *checks, const char *password, password_fn done, void *data,
                         struct error *err)
{
    struct password_check *check = check_new(checks, done, data, err);
    if (check == NULL)
        return ERROR_SYSTEM;
    check->only_hash = true;
    return submit(checks, check, password, err);
}

int password_checks_new(uv_loop_t *loop, struct password_checks **ret_checks, struct error *err)
{
    struct password_checks *checks = calloc(1, sizeof *checks);
    if (checks == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    checks->loop = loop;
    *ret_checks = checks;
    return 0;
}

void password_checks_free(struct password_checks *checks)
{
    struct error cancelled;
    if (checks == NULL)
        return;
    error_set(&cancelled, ERROR_CANCELLED, true, "the program is ending");
    checks->ending = true;
    for (int i = 0; i < PASSWORD_AT_ONCE; i++)
        if (checks->running[i])
            answer(checks->running[i], &cancelled);
    while (checks->first) {
        struct password_check *check = checks->first;
        checks->first = check->next;
        checks->n_waiting--;
        answer(check, &cancelled);
        check_free(check);
    }
    if (checks->n_running == 0)
        free(checks);
}

/*
 *   ASKING       the source's password (or the key that decrypts it), where it has one
 *      |
 *   PREPARING    thread: password file, source file, staging file
 *      |
 *   RUNNING      child (not for a file) and, in a thread, its drain into the staging file
 *      |
 *   CLOSING      the loop's handles
 *      |
 *   ENDING       thread: publish the staging file, or remove it
 *      |
 *   (done)
 *
 * Callbacks store what happened and call step(). A failure or a cancel only sets `err`, stops drain and
 * child, and lets the same states run through:
 *   - the child fails: its group is killed at its end, so that nobody keeps the pipe
 *   - the staging disk fails: the drain ends, the child gets SIGTERM, then SIGKILL
 *   - the child closes its output but stays: exit timer, then as above
 *   - a grandchild holds the pipe: the drain's own bound
 */
#include "artifact/producer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/child_command.h"
#include "artifact/drain.h"
#include "artifact/last_words.h"
#include "artifact/staging.h"
#include "auth/fernet.h"
#include "auth/secret.h"
#include "auth/secrets.h"
#include "base/clock.h"

enum { KILL_GRACE_MS = 2000, PIPE_GRACE_MS = 5000, EXIT_GRACE_MS = 300000, PIPE_SIZE = 1024 * 1024 };

enum state { ASKING, PREPARING, RUNNING, CLOSING, ENDING };

struct producer {
    struct producer_request *request;
    enum source_kind kind;
    enum state state;
    int64_t started_ms;
    struct error err; /* the first failure */

    struct secrets_wait *wait; /* ASKING */
    char *password;            /* until PREPARING has put it into the password file */

    uv_work_t work;
    bool working;          /* a job of ours is in the thread pool: its fields are the thread's */
    struct error work_err; /* of that job */
    bool published;

    struct child_command command;
    uv_process_t process;
    uv_timer_t timer; /* to SIGKILL, or for a child that does not end */
    uv_pipe_t words_pipe;
    int words_fd;
    int open_handles;
    bool has_process; /* the handle, to be closed */
    bool has_words;
    bool child_running;
    bool child_told; /* SIGTERM is sent */
    int64_t exit_status;
    int term_signal;
    struct last_words words;
    char words_buffer[4096];

    int passfile_fd;
    struct drain drain;
};

static void step(struct producer *p);

static int64_t bound(int64_t wanted_ms, int64_t default_ms)
{
    return wanted_ms > 0 ? wanted_ms : default_ms;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void fail(struct producer *p, const struct error *err)
{
    if (p->err.code == 0)
        p->err = *err;
}

/* --- jobs of the thread pool --- */

static void on_work_done(uv_work_t *work, int status)
{
    struct producer *p = work->data;
    p->working = false;
    if (status != UV_ECANCELED && p->work_err.code)
        fail(p, &p->work_err);
    step(p);
}

static void submit(struct producer *p, uv_work_cb job)
{
    p->work.data = p;
    p->working = true;
    p->work_err = (struct error){0};
    int rc = uv_queue_work(p->request->loop, &p->work, job, on_work_done);
    assert(rc == 0);
    (void)rc;
}

/* A tar of the directory that its own output grows in never ends well. */
static int check_not_around_staging(const struct producer_request *r, struct error *err)
{
    char source[PATH_MAX], staging[PATH_MAX];
    if (realpath(r->source.source_path, source) == NULL || realpath(r->staging_dir, staging) == NULL)
        return 0;
    size_t n = strcmp(source, "/") == 0 ? 0 : strlen(source);
    if (strncmp(source, staging, n) != 0 || (staging[n] != '/' && staging[n] != '\0'))
        return 0;
    return error_set(err, ERROR_INPUT, false,
                     "%.400s holds the staging directory %.400s: move BM_STAGING_DIR elsewhere", source,
                     staging);
}

static int prepare_path(struct producer *p, struct error *err)
{
    const char *path = p->request->source.source_path;
    bool is_file = p->kind == SOURCE_FILE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = error_errno(err, errno, "source %.600s", path);
        close_fd(&fd);
        return rc;
    }
    if (is_file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode)) {
        close_fd(&fd);
        return error_set(err, ERROR_INPUT, false, "source %.600s is not a %s", path,
                         is_file ? "regular file (for a directory, use type directory)" : "directory");
    }
    if (is_file) {
        p->drain.in_fd = fd;
        p->drain.in_is_file = true;
        return 0;
    }
    close_fd(&fd);
    return check_not_around_staging(p->request, err);
}

static int prepare_password(struct producer *p, struct error *err)
{
    if (p->password == NULL)
        return 0;
    int rc = child_passfile_open(p->password, &p->passfile_fd, err);
    secret_free(p->password);
    p->password = NULL;
    return rc;
}

static void prepare(uv_work_t *work)
{
    struct producer *p = work->data;
    const struct producer_request *r = p->request;
    int rc = 0;
    if (p->kind == SOURCE_FILE || p->kind == SOURCE_DIRECTORY)
        rc = prepare_path(p, &p->work_err);
    if (rc == 0)
        rc = prepare_password(p, &p->work_err);
    if (rc == 0)
        (void)staging_create(r->staging_dir, r->backup_id, r->fence, &p->drain.out_fd, &p->work_err);
}

static void run_drain(uv_work_t *work)
{
    struct producer *p = work->data;
    drain_run(&p->drain);
    p->work_err = p->drain.err;
}

static void publish(uv_work_t *work)
{
    struct producer *p = work->data;
    const struct producer_request *r = p->request;
    int fd = p->drain.out_fd;
    p->drain.out_fd = -1;
    if (p->drain.parts) /* without them uploads read the artifact once more, that's all */
        (void)staging_write_parts(r->staging_dir, r->backup_id, r->fence, p->drain.parts, p->drain.sha256,
                                  NULL);
    p->published = staging_publish(r->staging_dir, r->backup_id, r->fence, fd, &p->work_err) == 0;
}

static void discard(uv_work_t *work)
{
    struct producer *p = work->data;
    const struct producer_request *r = p->request;
    if (p->published)
        staging_remove(r->staging_dir, r->backup_id, r->fence);
    p->published = false;
    if (p->drain.out_fd >= 0)
        staging_discard(r->staging_dir, r->backup_id, r->fence, p->drain.out_fd);
    p->drain.out_fd = -1;
}

/* --- the password --- */

static void password_failed(struct producer *p, const struct error *err)
{
    struct error full = *err;
    error_context(&full, "password of database %.200s", p->request->source.database_name);
    fail(p, &full);
}

static void on_password(void *data, const char *secret, const struct error *err)
{
    struct producer *p = data;
    struct error memory;
    p->wait = NULL;
    if (secret && (p->password = strdup(secret)) == NULL) {
        error_set(&memory, ERROR_SYSTEM, true, "out of memory");
        err = &memory;
    }
    if (err)
        password_failed(p, err);
    step(p);
}

static void on_legacy_key(void *data, const char *key, const struct error *err)
{
    struct producer *p = data;
    const struct producer_request *r = p->request;
    struct error wrong;
    p->wait = NULL;
    if (key && fernet_decrypt(r->source.password_encrypted, key, &p->password, &wrong)) {
        wrong.retryable = true; /* people correct the key while the backup waits */
        err = &wrong;
    }
    if (err) {
        struct error full = *err;
        error_context(&full, "decrypting it with BM_LEGACY_ENCRYPTION_KEY_REF (%.200s)", r->legacy_key_ref);
        password_failed(p, &full);
    }
    step(p);
}

static bool is_set(const char *text)
{
    return text && text[0];
}

static int ask(struct producer *p, struct error *err)
{
    const struct producer_request *r = p->request;
    if (!source_has_password(&r->source))
        return 0;
    if (is_set(r->source.password_ref))
        return secrets_get(r->secrets, r->source.password_ref, on_password, p, &p->wait, err);
    return secrets_get(r->secrets, r->legacy_key_ref, on_legacy_key, p, &p->wait, err);
}

static int check_password(const struct producer_request *r, struct error *err)
{
    if (!source_has_password(&r->source))
        return 0;
    if (is_set(r->source.password_ref))
        return secrets_check(r->secrets, r->source.password_ref, err);
    if (is_set(r->legacy_key_ref))
        return secrets_check(r->secrets, r->legacy_key_ref, err);
    return error_set(err, ERROR_NOT_FOUND, true,
                     "the password of database %.200s is one that the older system encrypted: set "
                     "BM_LEGACY_ENCRYPTION_KEY_REF to where its ENCRYPTION_KEY lives, or give the database a "
                     "--password-ref",
                     r->source.database_name);
}

/* --- the child --- */

static void kill_group(struct producer *p, int signum)
{
    if (p->has_process && p->process.pid > 1)
        (void)kill(-p->process.pid, signum); /* ESRCH: all gone already */
}

static void on_kill_due(uv_timer_t *timer)
{
    struct producer *p = timer->data;
    kill_group(p, SIGKILL);
}

static void stop_child(struct producer *p)
{
    if (!p->child_running || p->child_told)
        return;
    p->child_told = true;
    kill_group(p, SIGTERM);
    uv_timer_start(&p->timer, on_kill_due, (uint64_t)bound(p->request->kill_grace_ms, KILL_GRACE_MS), 0);
}

static void on_exit_due(uv_timer_t *timer)
{
    struct producer *p = timer->data;
    struct error err;
    error_set(&err, ERROR_SOURCE, false, "%s closed its output but did not end within %lld s; killed",
              p->command.name, (long long)(bound(p->request->exit_grace_ms, EXIT_GRACE_MS) + 999) / 1000);
    fail(p, &err);
    stop_child(p);
}

static void on_child_exit(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct producer *p = process->data;
    p->child_running = false;
    p->exit_status = exit_status;
    p->term_signal = term_signal;
    uv_timer_stop(&p->timer);
    if (exit_status != 0 || term_signal != 0 || p->err.code)
        kill_group(p, SIGKILL); /* nobody needs the rest of its family */
    drain_child_ended(&p->drain);
    step(p);
}

static void on_words_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct producer *p = handle->data;
    *buf = uv_buf_init(p->words_buffer, sizeof p->words_buffer);
}

static void on_words(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct producer *p = stream->data;
    if (n > 0)
        last_words_add(&p->words, buf->base, (size_t)n);
    else if (n < 0)
        uv_read_stop(stream);
}

/* What the child said before its end is in the pipe already; whoever else holds it is not waited for. */
static void read_last_words(struct producer *p)
{
    if (!p->has_words)
        return;
    uv_read_stop((uv_stream_t *)&p->words_pipe);
    for (int i = 0; i < 64; i++) {
        ssize_t n = read(p->words_fd, p->words_buffer, sizeof p->words_buffer);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            break;
        if (n > 0)
            last_words_add(&p->words, p->words_buffer, (size_t)n);
    }
}

static void spawn_failed(struct producer *p, int rc)
{
    static const char *const hints[] = {
        [SOURCE_POSTGRESQL] = "install PostgreSQL's client programs or set BM_PG_DUMP",
        [SOURCE_FILE] = "",
        [SOURCE_DIRECTORY] = "install tar or set BM_TAR",
        [SOURCE_COMMAND] = "correct the command of this database (PATH is the worker's)",
    };
    struct error err;
    const char *program = p->command.argv[0];
    if (rc == UV_ENOENT || rc == UV_EACCES || rc == UV_ENOTDIR || rc == -ENOEXEC)
        error_set(&err, ERROR_SOURCE, false, "can't run the program '%.300s' (%s): %s", program,
                  uv_strerror(rc), hints[p->kind]);
    else
        error_errno(&err, -rc, "can't run the program '%.300s'", program);
    fail(p, &err);
}

/* What execvp would find, so that a missing program is told here and in our words. 0 or a negative errno. */
static int find_program(const char *program)
{
    if (strchr(program, '/'))
        return access(program, X_OK) == 0 ? 0 : -errno;
    const char *path = getenv("PATH"); /* the child inherits it */
    char *list = strdup(path ? path : "/usr/bin:/bin"), *rest = list, *dir, full[4200];
    int rc = -ENOENT;
    while (rc != 0 && list && (dir = strsep(&rest, ":")) != NULL) {
        snprintf(full, sizeof full, "%s/%s", *dir ? dir : ".", program);
        if (access(full, X_OK) == 0)
            rc = 0;
        else if (errno == EACCES)
            rc = -EACCES;
    }
    free(list);
    return rc;
}

/* A worker that is killed must not leave its dump running: util-linux's setpriv asks the kernel for that,
 * uv_spawn can't. Where it is missing the child ends when it next writes. */
static const char *const die_with_parent[] = {"/usr/bin/setpriv", "--pdeathsig", "KILL", "--"};

static int spawn(struct producer *p, int out_fd, int words_fd)
{
    enum { PREFIX = sizeof die_with_parent / sizeof *die_with_parent };
    int rc = find_program(p->command.argv[0]);
    if (rc != 0)
        return rc;
    int n = 0;
    while (p->command.argv[n])
        n++;
    char **argv = calloc((size_t)n + PREFIX + 1, sizeof *argv);
    if (argv == NULL)
        return UV_ENOMEM;
    int skip = access(die_with_parent[0], X_OK) == 0 ? PREFIX : 0;
    for (int i = 0; i < skip; i++)
        argv[i] = (char *)(uintptr_t)die_with_parent[i];
    memcpy(argv + skip, p->command.argv, sizeof *argv * (size_t)n);
    uv_stdio_container_t stdio[CHILD_PASSFILE_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = out_fd},
        {.flags = UV_INHERIT_FD, .data.fd = words_fd},
        {.flags = UV_INHERIT_FD, .data.fd = p->passfile_fd},
    };
    uv_process_options_t options = {
        .exit_cb = on_child_exit,
        .file = argv[0],
        .args = argv,
        .env = p->command.env,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = p->passfile_fd >= 0 ? CHILD_PASSFILE_FD + 1 : CHILD_PASSFILE_FD,
    };
    p->process.data = p;
    p->has_process = true; /* to be closed even when uv_spawn fails */
    p->open_handles++;
    rc = uv_spawn(p->request->loop, &p->process, &options);
    free(argv);
    return rc;
}

/* The read ends of both pipes are in drain and words_pipe; the child has the other ones alone. */
static int start_child(struct producer *p)
{
    int out[2] = {-1, -1}, words[2] = {-1, -1};
    p->drain.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->drain.wake_fd < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(words, O_CLOEXEC) < 0) {
        struct error err;
        error_errno(&err, errno, "can't make pipes for %s", p->command.name);
        fail(p, &err);
        close_fd(&out[0]);
        close_fd(&out[1]);
        return -1;
    }
    (void)fcntl(out[0], F_SETPIPE_SZ, PIPE_SIZE); /* refused above a user's share: smaller is fine */
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    p->drain.in_fd = out[0];
    uv_pipe_init(p->request->loop, &p->words_pipe, 0);
    p->words_pipe.data = p;
    p->words_fd = words[0];
    p->has_words = true;
    p->open_handles++;
    uv_pipe_open(&p->words_pipe, words[0]);
    int rc = spawn(p, out[1], words[1]);
    close(out[1]);
    close(words[1]);
    close_fd(&p->passfile_fd);
    if (rc) {
        spawn_failed(p, rc);
        return -1;
    }
    p->child_running = true;
    uv_read_start((uv_stream_t *)&p->words_pipe, on_words_buffer, on_words);
    return 0;
}

/* --- how it ended --- */

static void append_words(struct producer *p, struct error *err)
{
    char text[LAST_WORDS_SIZE];
    last_words_text(&p->words, text);
    if (text[0] == '\0')
        return;
    struct error full = *err;
    error_set(&full, err->code, err->retryable, "%.180s: %s", err->message, text);
    *err = full;
}

static bool connection_failed(const struct producer *p)
{
    static const char *const signs[] = {"connection to server", "connection to database",
                                        "could not translate host name", "could not connect to"};
    if (p->kind != SOURCE_POSTGRESQL || p->exit_status == 0 || p->drain.in_bytes > 0)
        return false;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (last_words_say(&p->words, signs[i]))
            return true;
    return false;
}

static bool dump_is_whole(const struct producer *p)
{
    static const char trailer[] = "PostgreSQL database dump complete";
    return p->kind != SOURCE_POSTGRESQL ||
           memmem(p->drain.tail, p->drain.tail_n, trailer, sizeof trailer - 1) != NULL;
}

static void judge_child(struct producer *p)
{
    const char *name = p->command.name;
    const char *signal_name = sigabbrev_np(p->term_signal);
    struct error err = {0};
    if (p->term_signal)
        error_set(&err, ERROR_SOURCE, false, "%s was killed by signal %d (SIG%s)", name, p->term_signal,
                  signal_name ? signal_name : "?");
    else if (connection_failed(p))
        error_set(&err, ERROR_UNREACHABLE, true, "%s exited with status %d", name, (int)p->exit_status);
    else if (p->exit_status)
        error_set(&err, ERROR_SOURCE, false, "%s exited with status %d", name, (int)p->exit_status);
    else if (p->drain.held)
        error_set(&err, ERROR_SOURCE, false,
                  "%s ended, but a process that it had started kept its output open", name);
    else if (!dump_is_whole(p))
        error_set(&err, ERROR_SOURCE, false,
                  "%s exited with status 0, but its output is cut off: the dump's last line is missing",
                  name);
    if (err.code) {
        append_words(p, &err);
        fail(p, &err);
    }
}

/* --- the flow --- */

static void on_closed(uv_handle_t *handle)
{
    struct producer *p = handle->data;
    p->open_handles--;
    step(p);
}

static void close_handles(struct producer *p)
{
    close_fd(&p->passfile_fd);
    close_fd(&p->drain.in_fd);
    close_fd(&p->drain.wake_fd);
    uv_close((uv_handle_t *)&p->timer, on_closed);
    if (p->has_process)
        uv_close((uv_handle_t *)&p->process, on_closed);
    if (p->has_words)
        uv_close((uv_handle_t *)&p->words_pipe, on_closed);
}

static void start_running(struct producer *p)
{
    p->state = RUNNING;
    if (p->err.code == 0 && (p->kind == SOURCE_FILE || start_child(p) == 0))
        submit(p, run_drain);
}

static void producer_free(struct producer *p)
{
    secret_free(p->password);
    part_digester_free(p->drain.digester);
    part_digests_free(p->drain.parts);
    child_command_deinit(&p->command);
    free(p);
}

static void finish(struct producer *p)
{
    struct producer_request *r = p->request;
    struct error err = p->err;
    struct producer_result result = {
        .size = p->drain.out_bytes,
        .source_bytes = p->drain.in_bytes,
        .seconds = (double)(clock_monotonic_ms() - p->started_ms) / 1000,
    };
    memcpy(result.sha256, p->drain.sha256, sizeof result.sha256);
    producer_free(p);
    r->done(r->data, err.code ? NULL : &result, err.code ? &err : NULL);
}

static void step(struct producer *p)
{
    if (p->working || p->wait)
        return;
    if (p->state == ASKING && p->err.code == 0) {
        p->state = PREPARING;
        submit(p, prepare);
        return;
    }
    if (p->state == ASKING || p->state == PREPARING)
        start_running(p);
    if (p->state == RUNNING) {
        if (p->working)
            return;
        if (p->child_running) { /* the drain has ended before it */
            if (p->err.code)
                stop_child(p);
            else if (!p->child_told)
                uv_timer_start(&p->timer, on_exit_due,
                               (uint64_t)bound(p->request->exit_grace_ms, EXIT_GRACE_MS), 0);
            return;
        }
        read_last_words(p);
        if (p->drain.held)
            kill_group(p, SIGKILL);
        if (p->has_process && p->err.code == 0)
            judge_child(p);
        p->state = CLOSING;
        close_handles(p);
    }
    if (p->state == CLOSING) {
        if (p->open_handles > 0)
            return;
        p->state = ENDING;
        if (p->err.code == 0) {
            submit(p, publish);
            return;
        }
    }
    if (p->err.code && (p->published || p->drain.out_fd >= 0))
        submit(p, discard);
    else
        finish(p);
}

int producer_start(struct producer_request *request, struct producer **ret_producer, struct error *err)
{
    const struct source *source = &request->source;
    int rc = source_check(source, err);
    if (rc)
        return rc;
    rc = check_password(request, err);
    if (rc)
        return rc;
    enum source_kind kind = source_kind(source);
    struct producer *p = calloc(1, sizeof *p);
    struct part_digester *digester = part_digester_new();
    if (p == NULL || digester == NULL) {
        part_digester_free(digester);
        free(p);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    if (request->md5)
        (void)part_digester_want_md5(digester); /* without it, it is made while a copy is sent */
    p->drain.digester = digester;
    if (kind != SOURCE_FILE) {
        rc = child_command_init(&p->command, source, request->pg_dump, request->tar,
                                request->command_environment, err);
        if (rc) {
            producer_free(p);
            return rc;
        }
    }
    p->request = request;
    p->kind = kind;
    p->started_ms = clock_monotonic_ms();
    p->passfile_fd = -1;
    p->drain = (struct drain){
        .in_fd = -1,
        .in_name = kind == SOURCE_FILE ? source->source_path : p->command.name,
        .out_fd = -1,
        .digester = digester,
        .staging_dir = request->staging_dir,
        .grace_ms = bound(request->pipe_grace_ms, PIPE_GRACE_MS),
        .source_bytes = &request->source_bytes,
        .staged_bytes = &request->staged_bytes,
        .wake_fd = -1,
    };
    atomic_store(&request->source_bytes, 0);
    atomic_store(&request->staged_bytes, 0);
    rc = ask(p, err);
    if (rc) {
        producer_free(p);
        return rc;
    }
    uv_timer_init(request->loop, &p->timer);
    p->timer.data = p;
    p->open_handles = 1;
    step(p);
    *ret_producer = p;
    return 0;
}

void producer_cancel(struct producer *p)
{
    struct error err;
    error_set(&err, ERROR_CANCELLED, true, "production of the artifact was cancelled");
    fail(p, &err);
    if (p->wait) {
        secrets_forget(p->wait);
        p->wait = NULL;
        step(p); /* closes the handles: the end comes from the loop */
        return;
    }
    if (p->working && p->state != ENDING)
        (void)uv_cancel((uv_req_t *)&p->work);
    if (p->state == PREPARING || p->state == RUNNING)
        drain_stop(&p->drain);
    if (p->child_running)
        stop_child(p);
    else if (p->state == RUNNING && p->working)
        kill_group(p, SIGKILL); /* the child has ended, others hold its output */
}

/*
 *   a request --> files there? --yes--> reply
 *                    | no
 *                    +--> waits --> (all files, in the thread pool) --> replies to all who wait
 */
#include "docs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "api.h"
#include "base/log.h"
#include "base/regular_file.h"
#include "problem.h"

#define FILE_MAX_BYTES ((off_t)8 << 20)
#define POLICY                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "    \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#define MISSING                                                                                              \
    "the page's files are not there: run api/docs/install (it needs npm), or set BM_DOCS_DIR to a folder "   \
    "with the files of npm's swagger-ui-dist; /openapi.json is the description itself"

extern const char bm_docs_page[], bm_docs_init[];

enum { STYLE, PROGRAM, ICON, FILES };
static const struct {
    const char *name, *type;
} files[FILES] = {
    [STYLE] = {"swagger-ui.css", "text/css; charset=utf-8"},
    [PROGRAM] = {"swagger-ui-bundle.js", "text/javascript; charset=utf-8"},
    [ICON] = {"favicon-32x32.png", "image/png"},
};

struct waiter {
    struct http_request *request;
    int file; /* FILES: the page */
    LIST_ENTRY(waiter) link;
};

enum { FOLDERS = 2 };

struct docs {
    uv_loop_t *loop;
    char folders[FOLDERS][PATH_MAX]; /* "": none */
    struct http_fixed *page, *init;
    struct http_fixed *files[FILES]; /* all or none */
    uv_work_t work;
    struct http_fixed *found[FILES]; /* the thread's, while loading */
    char why_not[300], told[300];    /* told: in the log */
    bool loading, closed, freed;
    LIST_HEAD(, waiter) waiters;
};

/* --- beginning and end --- */

static void find_folders(struct docs *docs, const char *folder)
{
    char path[PATH_MAX / 2];
    size_t size = sizeof path;
    if (folder[0]) {
        snprintf(docs->folders[0], PATH_MAX, "%s", folder);
        return;
    }
    char *slash = uv_exepath(path, &size) == 0 ? strrchr(path, '/') : NULL;
    if (slash == NULL)
        return;
    *slash = '\0';
    snprintf(docs->folders[0], PATH_MAX, "%s/docs", path);
    snprintf(docs->folders[1], PATH_MAX, "%s/../share/backupmanager/docs", path);
}

static void destroy(struct docs *docs)
{
    http_fixed_free(docs->page);
    http_fixed_free(docs->init);
    for (int i = 0; i < FILES; i++) {
        http_fixed_free(docs->files[i]);
        http_fixed_free(docs->found[i]);
    }
    free(docs);
}

static struct http_fixed *own(const char *type, const char *text)
{
    return http_fixed_new(type, strdup(text), strlen(text));
}

int docs_new(uv_loop_t *loop, const char *folder, struct docs **ret_docs, struct error *err)
{
    struct docs *docs = calloc(1, sizeof *docs);
    if (docs == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    docs->loop = loop;
    docs->work.data = docs;
    find_folders(docs, folder);
    docs->page = own("text/html; charset=utf-8", bm_docs_page);
    docs->init = own("text/javascript; charset=utf-8", bm_docs_init);
    if (docs->page == NULL || docs->init == NULL) {
        destroy(docs);
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    *ret_docs = docs;
    return 0;
}

void docs_free(struct docs *docs)
{
    if (docs == NULL)
        return;
    docs->freed = true;
    if (!docs->loading)
        destroy(docs);
}

/* --- replies --- */

static void reply(struct docs *docs, struct http_request *request, int file)
{
    if (docs->files[STYLE] == NULL) {
        problem_reply(request, 404, "%s", MISSING); /* the folder is for the log: anybody may ask */
        return;
    }
    http_set_header(request, "Cache-Control", "no-cache"); /* asked again, answered with 304 */
    if (file == FILES)
        http_set_header(request, "Content-Security-Policy", POLICY);
    http_reply_fixed(request, file == FILES ? docs->page : docs->files[file]);
}

static void reply_to_waiters(struct docs *docs)
{
    struct waiter *waiter;
    while ((waiter = LIST_FIRST(&docs->waiters))) {
        LIST_REMOVE(waiter, link);
        if (docs->closed)
            problem_reply(waiter->request, 503, "the server ends");
        else
            reply(docs, waiter->request, waiter->file);
        free(waiter);
    }
}

void docs_close(struct docs *docs)
{
    if (docs == NULL)
        return;
    docs->closed = true;
    reply_to_waiters(docs);
}

/* --- the files --- */

/* In the thread pool. */
static struct http_fixed *read_file(const char *folder, int file, struct error *err)
{
    char path[PATH_MAX + 40];
    struct stat st;
    int fd;
    snprintf(path, sizeof path, "%s/%s", folder, files[file].name);
    if (regular_file_open(path, path, &fd, &st, err))
        return NULL;
    bool fits = st.st_size > 0 && st.st_size <= FILE_MAX_BYTES;
    char *bytes = fits ? malloc((size_t)st.st_size) : NULL;
    ssize_t n = bytes ? regular_file_read(fd, bytes, (size_t)st.st_size) : -1;
    close(fd);
    if (n > 0)
        return http_fixed_new(files[file].type, bytes, (size_t)n);
    free(bytes);
    error_set(err, ERROR_INPUT, false, "%s can't be read, or is no file of Swagger UI", path);
    return NULL;
}

static void on_work(uv_work_t *work)
{
    struct docs *docs = work->data;
    struct error err = {0};
    for (int i = 0; i < FOLDERS && docs->found[FILES - 1] == NULL; i++) {
        if (docs->folders[i][0] == '\0')
            continue;
        for (int k = 0; k < FILES; k++) {
            http_fixed_free(docs->found[k]);
            docs->found[k] = NULL;
        }
        for (int k = 0; k < FILES && (k == 0 || docs->found[k - 1]); k++)
            docs->found[k] = read_file(docs->folders[i], k, &err);
    }
    if (docs->found[FILES - 1] == NULL)
        snprintf(docs->why_not, sizeof docs->why_not, "%.290s", err.message);
}

static void on_loaded(uv_work_t *work, int status)
{
    struct docs *docs = work->data;
    bool whole = status == 0 && docs->found[FILES - 1];
    docs->loading = false;
    if (!whole && strcmp(docs->told, docs->why_not) != 0) {
        memcpy(docs->told, docs->why_not, sizeof docs->told);
        log_warn("/docs can't be shown: %s", docs->told);
    }
    for (int i = 0; i < FILES; i++) {
        if (whole)
            docs->files[i] = docs->found[i];
        else
            http_fixed_free(docs->found[i]);
        docs->found[i] = NULL;
    }
    if (docs->freed)
        destroy(docs);
    else
        reply_to_waiters(docs);
}

static void reply_when_loaded(struct docs *docs, struct http_request *request, int file)
{
    if (docs->files[STYLE]) {
        reply(docs, request, file);
        return;
    }
    struct waiter *waiter = malloc(sizeof *waiter);
    if (waiter == NULL || docs->closed) {
        free(waiter);
        problem_reply(request, 503, docs->closed ? "the server ends" : "out of memory");
        return;
    }
    *waiter = (struct waiter){.request = request, .file = file};
    LIST_INSERT_HEAD(&docs->waiters, waiter, link);
    if (docs->loading)
        return;
    docs->loading = true;
    uv_queue_work(docs->loop, &docs->work, on_work, on_loaded);
}

/* --- requests --- */

void docs_redirect(struct api *api, struct http_request *request)
{
    (void)api;
    http_set_header(request, "Location", "docs");
    http_reply_empty(request, 303);
}

void docs_page(struct api *api, struct http_request *request)
{
    reply_when_loaded(api->docs, request, FILES);
}

void docs_file(struct api *api, struct http_request *request)
{
    const char *name = http_request_parameter(request, 0);
    if (strcmp(name, "init.js") == 0) {
        http_set_header(request, "Cache-Control", "no-cache");
        http_reply_fixed(request, api->docs->init);
        return;
    }
    for (int i = 0; i < FILES; i++)
        if (strcmp(name, files[i].name) == 0) {
            reply_when_loaded(api->docs, request, i);
            return;
        }
    problem_reply(request, 404, "the page at /docs has no file of that name");
}

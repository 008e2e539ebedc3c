/*
 * Everything below a prefix, page by page: objects by ListObjectsV2, open uploads by ListMultipartUploads. A
 * page is given on once it has come whole.
 */
#include <stdlib.h>
#include <string.h>

#include "storage/s3/list_page.h"
#include "storage/s3/task.h"

#define PAGES_MAX 100000 /* of 1000 entries each */
#define PAGE_BYTES_MAX ((size_t)8 << 20)

struct s3_list {
    struct s3_task task; /* first */
    struct storage_list *request;
    bool opened;
    int pages;
    struct s3_list_page page; /* the last one: where the next begins */
};

static void finish(struct s3_list *self, const struct error *err)
{
    struct storage_list *request = self->request;
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "listing '%.300s'", request->prefix ? request->prefix : "");
    }
    s3_task_deinit(&self->task);
    s3_list_page_deinit(&self->page);
    free(self);
    request->done(request, err ? &own : NULL);
}

static void ask_page(struct s3_list *self)
{
    bool uploads = self->request->kind == STORAGE_LIST_UPLOADS;
    struct sigv4_query query[8] = {
        {uploads ? "uploads" : "list-type", uploads ? NULL : "2"},
        {"encoding-type", "url"},
        {uploads ? "max-uploads" : "max-keys", "1000"},
        {"prefix", self->request->prefix ? self->request->prefix : ""},
    };
    int n = 4;
    if (self->page.next)
        query[n++] = (struct sigv4_query){uploads ? "key-marker" : "continuation-token", self->page.next};
    if (self->page.next_upload)
        query[n++] = (struct sigv4_query){"upload-id-marker", self->page.next_upload};
    struct s3_ask ask = {.operation = uploads ? "ListMultipartUploads" : "ListObjectsV2",
                         .method = "GET",
                         .query = query,
                         .n_query = n,
                         .body_fd = -1,
                         .expect_root = uploads ? "ListMultipartUploadsResult" : "ListBucketResult",
                         .response_max = PAGE_BYTES_MAX};
    s3_task_ask(&self->task, &ask);
}

static bool on_entry(void *data, const struct storage_entry *entry)
{
    struct s3_list *self = data;
    return self->request->on_entry(self->request, entry) && !self->task.cancelled;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether there is a next page, and that it is a next one. */
static int check_next(const struct s3_list *self, const struct s3_list_page *page, struct error *err)
{
    if (page->next == NULL)
        return error_set(err, ERROR_PROTOCOL, true,
                         "bucket '%s': a page of the listing says that there is more, but not where",
                         self->task.session.config.bucket);
    if (same(page->next, self->page.next) && same(page->next_upload, self->page.next_upload))
        return error_set(err, ERROR_PROTOCOL, true,
                         "bucket '%s': the listing goes round in a circle: its marker is repeated",
                         self->task.session.config.bucket);
    if (self->pages >= PAGES_MAX)
        return error_set(err, ERROR_LIMIT, false, "bucket '%s': the listing has more than %d pages",
                         self->task.session.config.bucket, PAGES_MAX);
    return 0;
}

static void take_page(struct s3_list *self, const struct s3_answer *answer)
{
    struct error err = {0};
    struct s3_list_page page = {0};
    const struct http_response *response = answer->response;
    self->pages++;
    int rc =
        s3_list_page_read(response->body, response->body_size, self->request->kind,
                          self->request->prefix ? self->request->prefix : "", on_entry, self, &page, &err);
    if (rc < 0) {
        error_context(&err, "bucket '%s'", self->task.session.config.bucket);
        finish(self, &err);
    } else if (page.truncated && !page.stopped && check_next(self, &page, &err) == 0) {
        s3_list_page_deinit(&self->page);
        self->page = page;
        ask_page(self);
    } else {
        s3_list_page_deinit(&page);
        if (self->task.cancelled)
            error_set(&err, ERROR_CANCELLED, true, "cancelled");
        finish(self, err.code ? &err : NULL);
    }
}

static void step(struct s3_task *task, const struct s3_answer *answer, const struct error *err)
{
    struct s3_list *self = (struct s3_list *)task;
    if (err) {
        finish(self, err);
    } else if (!self->opened) {
        self->opened = true;
        ask_page(self);
    } else {
        take_page(self, answer);
    }
}

int s3_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err)
{
    const char *prefix = list->prefix && *list->prefix ? list->prefix : NULL;
    struct s3_list *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = list;
    int rc = s3_task_start(&self->task, list->loop, &list->location, prefix, step, err);
    if (rc < 0) {
        free(self);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}

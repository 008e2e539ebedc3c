#include "storage/object/list.h"

#include <stdlib.h>
#include <string.h>

#include "storage/object/task.h"

#define PAGES_MAX 100000 /* of 1000 entries each, or more */

struct list {
    struct object_task task; /* first */
    const struct object_list_protocol *protocol;
    struct storage_list *request;
    bool opened;
    int pages;
    struct object_list_page page; /* the last one: where the next begins */
};

void object_list_page_deinit(struct object_list_page *page)
{
    free(page->next);
    free(page->next_upload);
    *page = (struct object_list_page){0};
}

static const char *prefix_of(const struct list *self)
{
    return self->request->prefix ? self->request->prefix : "";
}

static void finish(struct list *self, const struct error *err)
{
    struct storage_list *request = self->request;
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "listing '%.300s'", request->prefix ? request->prefix : "");
    }
    object_list_page_deinit(&self->page);
    object_task_free(&self->task);
    request->done(request, err ? &own : NULL);
}

static void ask_page(struct list *self)
{
    struct object_draft draft;
    self->protocol->ask(self->task.session, prefix_of(self), self->request->kind, &self->page, &draft);
    draft.ask.response_max = OBJECT_LIST_PAGE_MAX;
    object_task_ask(&self->task, &draft.ask);
}

static bool on_entry(void *data, const struct storage_entry *entry)
{
    struct list *self = data;
    return self->request->on_entry(self->request, entry) && !self->task.cancelled;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether there is a next page, and that it is a next one. */
static int check_next(const struct list *self, const struct object_list_page *page, struct error *err)
{
    if (page->next == NULL)
        return error_set(err, ERROR_PROTOCOL, true,
                         "a page of the listing says that there is more, but not where");
    if (same(page->next, self->page.next) && same(page->next_upload, self->page.next_upload))
        return error_set(err, ERROR_PROTOCOL, true,
                         "the listing goes round in a circle: its marker is repeated");
    if (self->pages >= PAGES_MAX)
        return error_set(err, ERROR_LIMIT, false, "the listing has more than %d pages", PAGES_MAX);
    return 0;
}

/* 0: ret holds where the next page begins, or nothing when this was the last one. */
static int read_page(struct list *self, const struct object_answer *answer, struct object_list_page *ret,
                     struct error *err)
{
    const struct object_session *session = self->task.session;
    struct object_list_page page = {0};
    self->pages++;
    int rc = self->protocol->read(answer, self->request->kind, prefix_of(self), on_entry, self, &page, err);
    bool more = rc == 0 && page.truncated && !page.stopped;
    if (more)
        rc = check_next(self, &page, err);
    if (rc < 0)
        error_context(err, "%s '%s'", session->protocol->container_word, session->container);
    if (more && rc == 0)
        *ret = page;
    else
        object_list_page_deinit(&page);
    return rc;
}

static void take_page(struct list *self, const struct object_answer *answer)
{
    struct error err = {0};
    struct object_list_page next = {0};
    read_page(self, answer, &next, &err);
    if (next.next) {
        object_list_page_deinit(&self->page);
        self->page = next;
        ask_page(self);
        return;
    }
    if (err.code == 0 && self->task.cancelled)
        error_set(&err, ERROR_CANCELLED, true, "cancelled");
    finish(self, err.code ? &err : NULL);
}

static void step(struct object_task *task, const struct object_answer *answer, const struct error *err)
{
    struct list *self = (struct list *)task;
    if (err) {
        finish(self, err);
    } else if (!self->opened) {
        self->opened = true;
        ask_page(self);
    } else {
        take_page(self, answer);
    }
}

int object_list_start(const struct object_protocol *protocol, const struct object_list_protocol *of_list,
                      struct storage_list *list, struct storage_op **ret_op, struct error *err)
{
    const char *prefix = list->prefix && *list->prefix ? list->prefix : NULL;
    struct list *self = object_task_new(protocol, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->protocol = of_list;
    self->request = list;
    int rc = object_task_start(&self->task, protocol, list->loop, &list->location, prefix, step, err);
    if (rc < 0) {
        object_task_free(&self->task);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}

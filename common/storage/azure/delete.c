/*
 * Delete Blob, with its snapshots.
 *
 * There is nothing else to remove: blocks that were never committed can't be deleted, but by writing a blob
 * to their name. Azure drops them itself, a week after the last one came. So temporary objects and open
 * uploads are gone as far as anyone can see to it.
 */
#include <string.h>

#include "storage/azure/azure.h"
#include "storage/object/task.h"

enum delete_state { DELETE_OPENING, DELETE_BLOB };

struct azure_delete {
    struct object_task task; /* first */
    struct storage_delete *request;
    enum delete_state state;
};

static void finish(struct azure_delete *self, bool existed, const struct error *err)
{
    struct storage_delete *request = self->request;
    struct error own;
    if (err) {
        own = *err;
        error_context(&own, "removing '%.300s'", request->key ? request->key : "");
    }
    object_task_free(&self->task);
    request->done(request, err ? false : existed, err ? &own : NULL);
}

static void ask_delete(struct azure_delete *self)
{
    struct object_draft draft;
    object_draft_init(&draft, "Delete Blob", "DELETE", self->request->key);
    object_draft_header(&draft, "x-ms-delete-snapshots", "include");
    self->state = DELETE_BLOB;
    object_task_ask(&self->task, &draft.ask);
}

static bool is_absent(const struct object_answer *answer)
{
    return answer && answer->status == 404 && strcmp(answer->code, "BlobNotFound") == 0;
}

static void step(struct object_task *task, const struct object_answer *answer, const struct error *err)
{
    struct azure_delete *self = (struct azure_delete *)task;
    bool object = self->request->key && self->request->upload_id == NULL;
    if (self->state == DELETE_OPENING && err == NULL && object)
        ask_delete(self);
    else if (is_absent(answer))
        finish(self, false, NULL);
    else
        finish(self, self->state == DELETE_BLOB, err);
}

int azure_delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err)
{
    struct azure_delete *self = object_task_new(&azure_protocol, sizeof *self);
    if (self == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    self->request = del;
    int rc = object_task_start(&self->task, &azure_protocol, del->loop, &del->location, del->key, step, err);
    if (rc < 0) {
        object_task_free(&self->task);
        return rc;
    }
    *ret_op = &self->task.op.base;
    return 0;
}

/* What stands at the key: judged by what the store tells of it, and where that isn't enough, by its bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/object/protocol.h"
#include "storage/object/put_flow.h"

static bool is_number(const char *text, int64_t number)
{
    char ours[24];
    snprintf(ours, sizeof ours, "%" PRId64, number);
    return text && strcmp(text, ours) == 0;
}

static enum object_standing_kind judge(const struct object_put *self, const struct object_put_seen *seen)
{
    const struct object_standing *standing = &self->standing;
    bool same_size = standing->size == self->request->size;
    if (*standing->sha256 == '\0')
        return same_size ? OBJECT_STANDING_UNKNOWN : OBJECT_STANDING_DIFFERENT;
    if (strcmp(standing->sha256, self->request->sha256) != 0)
        return OBJECT_STANDING_DIFFERENT;
    return same_size && !seen->checksum_differs ? OBJECT_STANDING_EQUAL : OBJECT_STANDING_DAMAGED;
}

void object_put_looked(struct object_put *self, const struct object_put_seen *seen)
{
    unsigned char bytes[DIGEST_SHA256_BYTES];
    self->standing = (struct object_standing){.kind = OBJECT_STANDING_NONE};
    if (seen) {
        self->standing.size = seen->size;
        if (seen->sha256 && digest_from_hex(seen->sha256, bytes))
            memcpy(self->standing.sha256, seen->sha256, sizeof self->standing.sha256);
        bool row = is_number(seen->row_id, self->request->row_id);
        self->standing.ours = row && is_number(seen->fence, self->request->fence);
        self->standing.taken_up = row && is_number(seen->fence, self->begun_fence);
        self->standing.kind = judge(self, seen);
    }
    object_put_answered(self, OBJECT_PUT_OK, NULL);
}

static void on_read(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct object_put *self = get->data;
    self->sub = NULL;
    self->waiting = false;
    if (err) {
        object_put_fail(self, err);
    } else {
        self->standing.size = size;
        memcpy(self->read_sha256, sha256, sizeof self->read_sha256);
    }
    object_put_step(self);
}

int object_put_read_start(struct object_put *self, struct error *err)
{
    self->get = (struct storage_get){.loop = self->request->loop,
                                     .location = self->request->location,
                                     .key = self->request->key,
                                     .target_fd = -1,
                                     .done = on_read,
                                     .data = self};
    return self->op.base.driver->get_start(&self->get, &self->sub, err);
}

void object_put_conflict(const struct object_put *self, struct error *err)
{
    const struct object_standing *standing = &self->standing;
    error_set(err, ERROR_CONFLICT, false,
              "'%.300s' in %s '%.100s' holds another object already and was left alone: it has %" PRIu64
              " bytes with %s%s, this one %" PRIu64 " bytes with SHA-256 %s",
              self->request->key, self->protocol->store->container_word, self->session->container,
              standing->size, *standing->sha256 ? "SHA-256 " : "no SHA-256 of ours",
              *standing->sha256 ? standing->sha256 : "", self->request->size, self->request->sha256);
}

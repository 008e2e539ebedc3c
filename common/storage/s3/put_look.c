/* What stands at the key: HEAD, and where that isn't enough, its bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/s3/put.h"

static const char *header(const struct object_answer *answer, const char *name)
{
    const char *value = answer->response->header(answer->response, name);
    return value ? value : "";
}

static bool header_is(const struct object_answer *answer, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    return strcmp(header(answer, name), text) == 0;
}

bool s3_put_crc32c(const struct s3_put *self, uint32_t *ret)
{
    const struct part_digests *digests = self->request->part_digests;
    uint32_t crc = 0;
    if (digests && digests->total == self->request->size) { /* whatever the plan */
        for (uint32_t i = 0; i < digests->count; i++)
            crc = part_crc32c_combine(crc, digests->parts[i].crc32c, digests->parts[i].size);
    } else if (self->single) {
        crc = self->ready.crc32c;
        if (!self->has_sums || !(self->sums.wanted & RANGE_CRC32C))
            return false;
    } else {
        if (!s3_put_wants_crc32c(self) || self->n_done < self->plan.count)
            return false;
        for (uint32_t i = 0; i < self->plan.count; i++)
            crc = part_crc32c_combine(crc, self->parts[i].crc32c, part_plan_size(&self->plan, i + 1));
    }
    *ret = crc;
    return true;
}

/* Of the parts' own, as S3 writes it: "BASE64-N". */
static void composite_crc32c(const struct s3_put *self, char *out, size_t size)
{
    uint32_t crc = 0;
    char base64[S3_PUT_BASE64_SIZE];
    for (uint32_t i = 0; i < self->plan.count; i++) {
        uint32_t part = self->parts[i].crc32c;
        unsigned char bytes[] = {(unsigned char)(part >> 24), (unsigned char)(part >> 16),
                                 (unsigned char)(part >> 8), (unsigned char)part};
        crc = part_crc32c(crc, bytes, sizeof bytes);
    }
    s3_put_base64_crc32c(crc, base64);
    snprintf(out, size, "%s-%" PRIu32, base64, self->plan.count);
}

/* false: the store's checksum is another than ours. What it doesn't tell, or we don't know, is not compared:
 * a composite one of an object that was cut otherwise, for example. */
static bool checksum_fits(const struct s3_put *self, const char *told)
{
    char ours[S3_PUT_BASE64_SIZE + 16];
    uint32_t crc;
    if (*told == '\0' || !s3_put_crc32c(self, &crc))
        return true;
    if (strchr(told, '-')) {
        if (self->reason != S3_PUT_COMPLETED || self->single)
            return true;
        composite_crc32c(self, ours, sizeof ours);
    } else {
        s3_put_base64_crc32c(crc, ours);
    }
    return strcmp(told, ours) == 0;
}

static enum s3_standing_kind judge(const struct s3_put *self, const struct object_answer *answer)
{
    const struct s3_standing *standing = &self->standing;
    bool same_size = standing->size == self->request->size;
    if (*standing->sha256 == '\0')
        return same_size ? S3_STANDING_UNKNOWN : S3_STANDING_DIFFERENT;
    if (strcmp(standing->sha256, self->request->sha256) != 0)
        return S3_STANDING_DIFFERENT;
    return same_size && checksum_fits(self, header(answer, "x-amz-checksum-crc32c")) ? S3_STANDING_EQUAL
                                                                                     : S3_STANDING_DAMAGED;
}

/* Without the right to list a bucket S3 answers 403 for keys that aren't there. A conditional write needs not
 * know. */
static bool may_go_on(const struct s3_put *self, const struct object_answer *answer)
{
    return self->reason == S3_PUT_FIRST && self->session.config.conditional_write &&
           s3_put_was(answer, 403, NULL);
}

static void on_looked(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    self->call = NULL;
    self->waiting = false;
    self->standing = (struct s3_standing){.kind = S3_STANDING_NONE};
    if (err && !s3_put_was(answer, 404, NULL) && !may_go_on(self, answer)) {
        s3_put_fail(self, err);
    } else if (err == NULL) {
        unsigned char bytes[DIGEST_SHA256_BYTES];
        const char *sha256 = header(answer, "x-amz-meta-sha256");
        self->standing.size = strtoull(header(answer, "Content-Length"), NULL, 10);
        if (digest_from_hex(sha256, bytes))
            memcpy(self->standing.sha256, sha256, sizeof self->standing.sha256);
        self->standing.ours = header_is(answer, "x-amz-meta-row-id", self->request->row_id) &&
                              header_is(answer, "x-amz-meta-fence", self->request->fence);
        self->standing.taken_up = header_is(answer, "x-amz-meta-row-id", self->request->row_id) &&
                                  header_is(answer, "x-amz-meta-fence", self->now.fence);
        self->standing.kind = judge(self, answer);
    }
    s3_put_step(self);
}

void s3_put_look_start(struct s3_put *self)
{
    static const struct object_header mode = {"x-amz-checksum-mode", "ENABLED"};
    struct object_ask ask = {.operation = "HeadObject",
                             .method = "HEAD",
                             .key = self->request->key,
                             .headers = &mode,
                             .n_headers = s3_put_wants_crc32c(self) ? 1 : 0,
                             .body_fd = -1,
                             .customer_key = self->session.customer_key.base64 != NULL,
                             .flags = S3_EXPECT_ETAG,
                             .done = on_looked};
    s3_put_call(self, &ask);
}

static void on_read(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct s3_put *self = get->data;
    self->sub = NULL;
    self->waiting = false;
    if (err) {
        s3_put_fail(self, err);
    } else {
        self->standing.size = size;
        memcpy(self->read_sha256, sha256, sizeof self->read_sha256);
    }
    s3_put_step(self);
}

void s3_put_read_start(struct s3_put *self)
{
    struct error err = {0};
    self->get = (struct storage_get){.loop = self->request->loop,
                                     .location = self->request->location,
                                     .key = self->request->key,
                                     .target_fd = -1,
                                     .done = on_read,
                                     .data = self};
    if (s3_get_start(&self->get, &self->sub, &err))
        s3_put_fail(self, &err);
    else
        self->waiting = true;
}

static void on_removed(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_put *self = data;
    (void)answer, (void)err; /* it stands as it was: the next attempt meets it, and says so */
    self->call = NULL;
    self->waiting = false;
    s3_put_step(self);
}

void s3_put_remove_start(struct s3_put *self)
{
    struct object_ask ask = {.operation = "DeleteObject",
                             .method = "DELETE",
                             .key = self->request->key,
                             .body_fd = -1,
                             .done = on_removed};
    self->remove_wanted = false;
    s3_put_call(self, &ask);
}

void s3_put_conflict(const struct s3_put *self, struct error *err)
{
    const struct s3_standing *standing = &self->standing;
    error_set(err, ERROR_CONFLICT, false,
              "'%.300s' in bucket '%.100s' holds another object already and was left alone: it has %" PRIu64
              " bytes with %s%s, this one %" PRIu64 " bytes with SHA-256 %s",
              self->request->key, self->session.config.bucket, standing->size,
              *standing->sha256 ? "SHA-256 " : "no SHA-256 of ours",
              *standing->sha256 ? standing->sha256 : "", self->request->size, self->request->sha256);
}

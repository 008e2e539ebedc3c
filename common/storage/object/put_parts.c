/*
 * The parts of a multipart upload, several at once.
 *
 * `next` walks over the parts in their order. A part goes to a free sender as soon as what must be known of
 * it before is known: from the digests of the staging pass, or computed in the thread pool, one part ahead of
 * the senders. Parts that an earlier attempt left are passed over; those that can be told by their MD5 only
 * are hashed first. Without digests of the staging pass every part is hashed, sent or not: only so the
 * whole's SHA-256 is known to be what the object's metadata will say.
 *
 * A failure that may pass lets the other parts run to their end, so that they need not be sent again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/s3/put.h"

#define SAVES_MAX 64 /* a long list of parts isn't written again for each of them */

void s3_put_parts_progress(struct s3_put *self)
{
    uint64_t bytes = self->done_bytes;
    for (int i = 0; i < S3_PUT_MAX_PARALLEL; i++)
        if (self->senders[i].call)
            bytes += atomic_load_explicit(&self->senders[i].sent, memory_order_relaxed);
    atomic_store_explicit(&self->request->bytes_done, bytes, memory_order_relaxed);
}

void s3_put_part_done(struct s3_put *self, uint32_t number, const char *etag)
{
    struct s3_part *part = &self->parts[number - 1];
    char *copy = strdup(etag);
    if (copy == NULL)
        abort();
    free(self->etags[number - 1]);
    self->etags[number - 1] = copy;
    part->state = S3_PART_DONE;
    self->n_done++;
    self->done_bytes += part_plan_size(&self->plan, number);
}

static void record(struct s3_put *self)
{
    uint32_t enough = self->plan.count / SAVES_MAX;
    if (!self->err.code && self->n_done - self->n_saved > enough && self->n_done < self->plan.count)
        s3_put_save(self, false);
}

/* --- digests --- */

static void done_by_md5(struct s3_put *self, uint32_t number)
{
    const unsigned char *md5 = self->parts[number - 1].md5;
    char etag[2 * RANGE_MD5_BYTES + 3] = "\"";
    for (size_t i = 0; i < RANGE_MD5_BYTES; i++)
        snprintf(etag + 1 + 2 * i, 3, "%02x", md5[i]);
    s3_put_part_done(self, number, strcat(etag, "\""));
}

static void on_hashed(void *data, const struct range_sums *sums, const struct error *err)
{
    struct s3_put *self = data;
    struct s3_part *part = &self->parts[self->next - 1];
    self->hashing = false;
    if (err) {
        if (!self->lost)
            s3_put_fail(self, err);
        s3_put_step(self);
        return;
    }
    if (part->state == S3_PART_LISTED) {
        part->state = S3_PART_MISSING;
        if (memcmp(part->md5, sums->md5, sizeof part->md5) == 0)
            done_by_md5(self, self->next);
    }
    if (part->state == S3_PART_MISSING) {
        self->ready = *sums;
        self->ready_number = self->next;
        self->has_sums = true;
    }
    if (self->part_sums & RANGE_CRC32C)
        part->crc32c = sums->crc32c;
    self->next++;
    s3_put_step(self);
}

static void hash_next(struct s3_put *self)
{
    const struct s3_part *part = &self->parts[self->next - 1];
    struct error err = {0};
    self->sums = (struct range_digest){.loop = self->request->loop,
                                       .fd = self->request->source_fd,
                                       .offset = part_plan_offset(&self->plan, self->next),
                                       .size = part_plan_size(&self->plan, self->next),
                                       .wanted = self->part_sums,
                                       .whole = self->whole,
                                       .done = on_hashed,
                                       .data = self};
    if (part->state == S3_PART_LISTED)
        self->sums.wanted |= RANGE_MD5;
    if (part->state == S3_PART_DONE)
        self->sums.wanted &= RANGE_CRC32C;
    if (range_digest_start(&self->sums, &err))
        s3_put_fail(self, &err);
    else
        self->hashing = true;
}

/* --- sending --- */

static bool check_etag(const struct object_answer *answer, const char **ret_etag, struct error *err)
{
    const char *etag = answer->response->header(answer->response, "ETag");
    if (etag && *etag && strlen(etag) <= S3_ETAG_MAX) {
        *ret_etag = etag;
        return true;
    }
    error_set(err, ERROR_PROTOCOL, true, "UploadPart: the answer holds no ETag");
    return false;
}

static void on_sent(void *data, const struct object_answer *answer, const struct error *err)
{
    struct s3_sender *sender = data;
    struct s3_put *self = sender->put;
    struct error own = err ? *err : (struct error){0};
    const char *etag = NULL;
    sender->call = NULL;
    self->n_sending--;
    if (err == NULL && check_etag(answer, &etag, &own)) {
        s3_put_part_done(self, sender->number, etag);
        s3_put_parts_progress(self);
        record(self);
    } else if (s3_put_was(answer, 404, "NoSuchUpload")) {
        self->lost = true;
        self->parts[sender->number - 1].state = S3_PART_MISSING;
    } else {
        self->parts[sender->number - 1].state = S3_PART_MISSING;
        if (own.code != ERROR_CANCELLED)
            error_context(&own, "'%.300s', part %" PRIu32 " of %" PRIu32, self->request->key, sender->number,
                          self->plan.count);
        if (own.code == ERROR_CORRUPT) /* these bytes are not those of the staging pass */
            self->spoiled = true;
        if (!self->lost) /* else it is this that ends the others */
            s3_put_fail(self, &own);
    }
    s3_put_step(self);
}

static struct s3_sender *free_sender(struct s3_put *self)
{
    for (int i = 0; i < self->session.config.parallel_parts && i < S3_PUT_MAX_PARALLEL; i++)
        if (self->senders[i].call == NULL)
            return &self->senders[i];
    return NULL;
}

/* sums: NULL = those of the staging pass are enough */
static void send_part(struct s3_put *self, struct s3_sender *sender, uint32_t number,
                      const struct range_sums *sums)
{
    struct s3_part *part = &self->parts[number - 1];
    const struct part_digest *digest =
        self->digests_fit ? &self->request->part_digests->parts[number - 1] : NULL;
    char number_text[16], sha256[DIGEST_SHA256_SIZE];
    struct s3_put_headers headers = {0};
    struct error err = {0};
    if (digest)
        part->crc32c = digest->crc32c;
    if (self->payload_signed)
        digest_to_hex(digest ? digest->sha256 : sums->sha256, sha256);
    snprintf(number_text, sizeof number_text, "%" PRIu32, number);
    const struct object_query query[] = {{"partNumber", number_text}, {"uploadId", self->upload_id}};
    s3_put_headers_add_sum(&headers, self, part->crc32c, sums ? sums->md5 : NULL);
    struct object_ask ask = {.operation = "UploadPart",
                             .method = "PUT",
                             .key = self->request->key,
                             .query = query,
                             .n_query = 2,
                             .headers = headers.items,
                             .n_headers = headers.n,
                             .payload_hash = self->payload_signed ? sha256 : S3_UNSIGNED,
                             .body_fd = self->request->source_fd,
                             .body_offset = part_plan_offset(&self->plan, number),
                             .body_size = part_plan_size(&self->plan, number),
                             .customer_key = self->session.customer_key.base64 != NULL,
                             .bytes_sent = &sender->sent,
                             .done = on_sent,
                             .data = sender};
    sender->put = self;
    sender->number = number;
    atomic_store(&sender->sent, 0);
    if (object_call_start(&self->session.base, &ask, &sender->call, &err)) {
        sender->call = NULL;
        s3_put_fail(self, &err);
        return;
    }
    part->state = S3_PART_SENDING;
    self->n_sending++;
}

/* Looks at one part; false: nothing can be done now. */
static bool advance(struct s3_put *self)
{
    struct s3_sender *sender = free_sender(self);
    if (self->has_sums) {
        if (sender == NULL)
            return false;
        self->has_sums = false;
        send_part(self, sender, self->ready_number, &self->ready);
        return true;
    }
    if (self->next > self->plan.count || self->hashing)
        return false;
    const struct s3_part *part = &self->parts[self->next - 1];
    bool send = part->state == S3_PART_MISSING;
    if (self->whole || part->state == S3_PART_LISTED || (send && self->part_sums)) {
        hash_next(self);
        return false;
    }
    if (send && sender == NULL)
        return false;
    if (send)
        send_part(self, sender, self->next, NULL);
    self->next++;
    return true;
}

/* The source's bytes as they were sent, against what was promised. */
static void check_whole(struct s3_put *self)
{
    char found[DIGEST_SHA256_SIZE];
    struct error err;
    if (self->whole == NULL)
        return;
    digest_final(self->whole, found);
    digest_reset(self->whole);
    if (strcmp(found, self->request->sha256) == 0)
        return;
    error_set(&err, ERROR_CORRUPT, true, "the artifact of '%.300s' has SHA-256 %s instead of %s",
              self->request->key, found, self->request->sha256);
    self->spoiled = true;
    s3_put_fail(self, &err);
}

void s3_put_parts_cancel(struct s3_put *self)
{
    if (self->hashing)
        range_digest_cancel(&self->sums);
    for (int i = 0; i < S3_PUT_MAX_PARALLEL; i++)
        if (self->senders[i].call)
            object_call_cancel(self->senders[i].call);
}

bool s3_put_parts_step(struct s3_put *self)
{
    bool over = self->err.code || self->lost;
    while (!over && advance(self))
        over = self->err.code || self->lost;
    if (over && (self->lost || !self->err.retryable || self->spoiled))
        s3_put_parts_cancel(self);
    if (self->n_sending > 0 || self->hashing)
        return false;
    bool complete = !over && self->next > self->plan.count && self->n_done == self->plan.count;
    if (complete)
        check_whole(self);
    return over || complete;
}

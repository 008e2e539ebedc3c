/*
 * The parts of a large upload, several at once.
 *
 * `next` walks over the parts in their order. A part goes to a free sender as soon as what must be known of
 * it before is known: from the digests of the staging pass, or computed in the thread pool, one part ahead of
 * the senders. Parts that an earlier attempt left are passed over; those that can be told by a digest of
 * their bytes only are hashed first. Without digests of the staging pass every part is hashed, sent or not:
 * only so the whole's SHA-256 is known to be what the object's metadata will say.
 *
 * A failure that may pass lets the other parts run to their end, so that they need not be sent again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "storage/object/put_flow.h"

#define SAVES_MAX 64 /* a long list of parts isn't written again for each of them */

void object_put_parts_progress(struct object_put *self)
{
    uint64_t bytes = self->done_bytes;
    for (int i = 0; i < OBJECT_PUT_MAX_PARALLEL; i++)
        if (self->senders[i].call)
            bytes += atomic_load_explicit(&self->senders[i].sent, memory_order_relaxed);
    atomic_store_explicit(&self->request->bytes_done, bytes, memory_order_relaxed);
}

/* The staging pass's digests of a part; NULL = not known. */
static const struct part_digest *staged(const struct object_put *self, uint32_t number)
{
    return self->digests_fit ? &self->request->part_digests->parts[number - 1] : NULL;
}

/* --- what is there --- */

static bool keep_tag(struct object_put *self, struct object_part *part, const char *tag)
{
    struct error err;
    char *copy = strdup(tag);
    if (copy == NULL) {
        error_set(&err, ERROR_SYSTEM, true, "out of memory");
        object_put_fail(self, &err);
        return false;
    }
    free(part->tag);
    part->tag = copy;
    return true;
}

static void part_done(struct object_put *self, uint32_t number)
{
    self->parts[number - 1].state = OBJECT_PART_DONE;
    self->n_done++;
    self->done_bytes += part_plan_size(&self->plan, number);
}

/* Its size, and a tag that the store gave us for these very bytes, or a CRC32C that is ours: done. A digest
 * that we don't know: hashed before it is believed. Anything else is sent again. */
void object_put_part_listed(struct object_put *self, const struct object_part_listed *listed)
{
    if (listed->number < 1 || listed->number > self->plan.count)
        return;
    uint32_t number = (uint32_t)listed->number;
    struct object_part *part = &self->parts[number - 1];
    if (part->state != OBJECT_PART_MISSING || listed->size != part_plan_size(&self->plan, number))
        return;
    const struct part_digest *digest = staged(self, number);
    bool compared = digest && (listed->told & RANGE_CRC32C);
    bool known = compared ? digest->crc32c == listed->crc32c : listed->recorded;
    if ((!known && (compared || listed->told == 0)) || !keep_tag(self, part, listed->tag))
        return;
    part->crc32c = digest ? digest->crc32c : listed->crc32c;
    if (known) {
        part_done(self, number);
        return;
    }
    part->state = OBJECT_PART_LISTED;
    part->told = listed->told;
    memcpy(part->md5, listed->md5, sizeof part->md5);
}

static void record(struct object_put *self)
{
    uint32_t enough = self->plan.count / SAVES_MAX;
    if (self->protocol->records_parts && !self->err.code && self->n_done - self->n_saved > enough &&
        self->n_done < self->plan.count)
        object_put_save(self, false);
}

/* --- digests --- */

/* What was hashed against the staging pass; false: the source has changed. */
static bool check_part(struct object_put *self, uint32_t number, unsigned wanted,
                       const struct range_sums *sums)
{
    const struct part_digest *digest = staged(self, number);
    struct error err;
    bool differs =
        digest &&
        (((wanted & RANGE_CRC32C) && sums->crc32c != digest->crc32c) ||
         ((wanted & RANGE_SHA256) && memcmp(sums->sha256, digest->sha256, sizeof digest->sha256) != 0));
    if (!differs)
        return true;
    error_set(&err, ERROR_CORRUPT, true,
              "part %" PRIu32 " of %" PRIu32 " of the artifact of '%.300s' is not what was staged", number,
              self->plan.count, self->request->key);
    self->spoiled = true;
    object_put_fail(self, &err);
    return false;
}

static bool is_as_told(const struct object_part *part, const struct range_sums *sums)
{
    return (!(part->told & RANGE_MD5) || memcmp(part->md5, sums->md5, sizeof part->md5) == 0) &&
           (!(part->told & RANGE_CRC32C) || part->crc32c == sums->crc32c);
}

static void take_sums(struct object_put *self, const struct range_sums *sums)
{
    struct object_part *part = &self->parts[self->next - 1];
    if (part->state == OBJECT_PART_LISTED) {
        part->state = OBJECT_PART_MISSING;
        if (is_as_told(part, sums)) {
            part_done(self, self->next);
        } else {
            free(part->tag);
            part->tag = NULL;
        }
    }
    if (part->state == OBJECT_PART_MISSING) {
        self->ready = *sums;
        self->ready_number = self->next;
        self->has_ready = true;
    }
    if (self->part_sums & RANGE_CRC32C)
        part->crc32c = sums->crc32c;
    self->next++;
}

static void on_hashed(void *data, const struct range_sums *sums, const struct error *err)
{
    struct object_put *self = data;
    self->hashing = false;
    if (err && !self->lost)
        object_put_fail(self, err);
    else if (err == NULL && check_part(self, self->next, self->sums.wanted, sums))
        take_sums(self, sums);
    object_put_step(self);
}

static void hash_next(struct object_put *self)
{
    const struct object_part *part = &self->parts[self->next - 1];
    struct error err = {0};
    self->sums = (struct range_digest){.loop = self->request->loop,
                                       .fd = self->request->source_fd,
                                       .offset = part_plan_offset(&self->plan, self->next),
                                       .size = part_plan_size(&self->plan, self->next),
                                       .wanted = self->part_sums,
                                       .whole = self->whole,
                                       .whole_md5 = self->md5,
                                       .done = on_hashed,
                                       .data = self};
    if (part->state == OBJECT_PART_LISTED)
        self->sums.wanted |= part->told;
    if (part->state == OBJECT_PART_DONE)
        self->sums.wanted &= RANGE_CRC32C | RANGE_CRC64;
    if (range_digest_start(&self->sums, &err))
        object_put_fail(self, &err);
    else
        self->hashing = true;
}

/* --- sending --- */

void object_put_part_answered(struct object_put_sender *sender, enum object_put_outcome outcome,
                              const char *tag, const struct error *err)
{
    struct object_put *self = sender->put;
    struct object_part *part = &self->parts[sender->number - 1];
    sender->call = NULL;
    self->n_sending--;
    part->state = OBJECT_PART_MISSING;
    if (outcome == OBJECT_PUT_OK && keep_tag(self, part, tag)) {
        part_done(self, sender->number);
        object_put_parts_progress(self);
        record(self);
    } else if (outcome == OBJECT_PUT_LOST) {
        self->lost = true;
    } else if (outcome != OBJECT_PUT_OK) {
        struct error own = *err;
        if (own.code != ERROR_CANCELLED)
            error_context(&own, "'%.300s', part %" PRIu32 " of %" PRIu32, self->request->key, sender->number,
                          self->plan.count);
        if (own.code == ERROR_CORRUPT || outcome == OBJECT_PUT_SPOILED)
            self->spoiled = true;
        if (!self->lost) /* else it is this that ends the others */
            object_put_fail(self, &own);
    }
    object_put_step(self);
}

static struct object_put_sender *free_sender(struct object_put *self)
{
    for (int i = 0; i < self->parallel && i < OBJECT_PUT_MAX_PARALLEL; i++)
        if (self->senders[i].call == NULL)
            return &self->senders[i];
    return NULL;
}

/* sums: NULL = those of the staging pass are enough */
static void send_part(struct object_put *self, struct object_put_sender *sender, uint32_t number,
                      const struct range_sums *sums)
{
    struct object_part *part = &self->parts[number - 1];
    const struct part_digest *digest = staged(self, number);
    struct object_put_part_sums known = {0};
    struct error err = {0};
    if (sums) {
        known.known = self->part_sums;
        known.sums = *sums;
    }
    if (digest) {
        known.known |= RANGE_SHA256 | RANGE_CRC32C | RANGE_CRC64;
        known.sums.crc64 = digest->crc64;
        memcpy(known.sums.sha256, digest->sha256, sizeof known.sums.sha256);
        known.sums.crc32c = part->crc32c = digest->crc32c;
    }
    sender->put = self;
    sender->number = number;
    sender->offset = part_plan_offset(&self->plan, number);
    sender->size = part_plan_size(&self->plan, number);
    atomic_store(&sender->sent, 0);
    if (self->protocol->part(sender, &known, &err)) {
        sender->call = NULL;
        object_put_fail(self, &err);
        return;
    }
    part->state = OBJECT_PART_SENDING;
    self->n_sending++;
}

int object_put_call_part(struct object_put_sender *sender, struct object_ask *ask, struct error *err)
{
    ask->data = sender;
    ask->bytes_sent = &sender->sent;
    ask->body_fd = sender->put->request->source_fd;
    ask->body_offset = sender->offset;
    ask->body_size = sender->size;
    return object_call_start(sender->put->session, ask, &sender->call, err);
}

/* Looks at one part; false: nothing can be done now. */
static bool advance(struct object_put *self)
{
    struct object_put_sender *sender = free_sender(self);
    if (self->has_ready) {
        if (sender == NULL)
            return false;
        self->has_ready = false;
        send_part(self, sender, self->ready_number, &self->ready);
        return true;
    }
    if (self->next > self->plan.count || self->hashing)
        return false;
    const struct object_part *part = &self->parts[self->next - 1];
    bool send = part->state == OBJECT_PART_MISSING;
    if (self->whole || self->md5 || part->state == OBJECT_PART_LISTED || (send && self->part_sums)) {
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

void object_put_parts_cancel(struct object_put *self)
{
    if (self->hashing)
        range_digest_cancel(&self->sums);
    for (int i = 0; i < OBJECT_PUT_MAX_PARALLEL; i++)
        if (self->senders[i].call)
            object_call_cancel(self->senders[i].call);
}

bool object_put_parts_step(struct object_put *self)
{
    bool over = self->err.code || self->lost;
    while (!over && advance(self))
        over = self->err.code || self->lost;
    if (over && (self->lost || !self->err.retryable || self->spoiled))
        object_put_parts_cancel(self);
    if (self->n_sending > 0 || self->hashing)
        return false;
    bool complete = !over && self->next > self->plan.count && self->n_done == self->plan.count;
    if (complete)
        object_put_sums_check(self);
    return over || complete;
}

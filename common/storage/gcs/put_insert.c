/*
 * objects.insert: what is said of the object to be, and the whole in one request, as multipart/related: the
 * metadata, then the bytes. Its answer is the object's resource; where that says size, CRC32C and our
 * SHA-256, nothing needs to be asked again.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "storage/gcs/put.h"

#define HEAD_MAX ((size_t)64 << 10)
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define CONTENT_TYPE "application/octet-stream"

static json_t *number_text(int64_t number)
{
    return json_sprintf("%" PRId64, number);
}

/* The owner's, and ours, by which a later attempt, a repair or a person knows what it is. */
static json_t *own_metadata(const struct object_put *put)
{
    const struct storage_put *request = put->request;
    json_t *metadata = json_object();
    if (gcs_put_config(put)->metadata)
        json_object_update(metadata, (json_t *)(uintptr_t)gcs_put_config(put)->metadata);
    json_object_set_new(metadata, "sha256", json_string(request->sha256));
    json_object_set_new(metadata, "row-id", number_text(request->row_id));
    json_object_set_new(metadata, "fence", number_text(request->fence));
    if (request->backup_id)
        json_object_set_new(metadata, "backup-id", number_text(request->backup_id));
    return metadata;
}

static json_t *time_text(int64_t time_ms)
{
    char text[CLOCK_ISO8601_SIZE];
    clock_iso8601(time_ms, text);
    return json_string(text);
}

static json_t *resource(const struct object_put *put)
{
    const struct gcs_config *config = gcs_put_config(put);
    int64_t now_ms = clock_wall_ms();
    uint32_t crc32c;
    json_t *json = json_pack("{s:s, s:o}", "contentType", CONTENT_TYPE, "metadata", own_metadata(put));
    if (object_put_crc32c(put, &crc32c)) {
        char text[GCS_CRC32C_SIZE];
        gcs_crc32c_write(crc32c, text);
        json_object_set_new(json, "crc32c", json_string(text));
    }
    if (config->storage_class)
        json_object_set_new(json, "storageClass", json_string(config->storage_class));
    if (config->custom_time)
        json_object_set_new(json, "customTime", time_text(now_ms));
    if (config->temporary_hold)
        json_object_set_new(json, "temporaryHold", json_true());
    if (config->event_based_hold)
        json_object_set_new(json, "eventBasedHold", json_true());
    if (config->retention_mode)
        json_object_set_new(json, "retention",
                            json_pack("{s:s, s:o}", "mode", config->retention_mode, "retainUntilTime",
                                      time_text(now_ms + config->retention_days * DAY_MS)));
    return json;
}

void gcs_put_write_metadata(const struct object_put *put, struct strbuf *out)
{
    json_t *json = resource(put);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text)
        strbuf_puts(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(json);
}

void gcs_put_draft_insert(const struct object_put *put, const char *upload_type, struct object_draft *draft)
{
    const struct gcs_config *config = gcs_put_config(put);
    object_draft_init(draft, "objects.insert", "POST", NULL);
    object_draft_query(draft, "uploadType", upload_type);
    object_draft_query(draft, "name", put->request->key);
    object_draft_query(draft, "ifGenerationMatch", "0");
    object_draft_query(draft, "fields", GCS_RESOURCE_FIELDS);
    if (config->kms_key_name)
        object_draft_query(draft, "kmsKeyName", config->kms_key_name);
    if (config->predefined_acl)
        object_draft_query(draft, "predefinedAcl", config->predefined_acl);
    draft->ask.customer_key = true;
    draft->ask.flags = GCS_ASK_UPLOAD;
}

static void on_inserted(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    struct gcs_resource resource = {0};
    struct error own = err ? *err : (struct error){0};
    if (gcs_put_was_refused(answer, err)) {
        object_put_answered(put, OBJECT_PUT_REFUSED, NULL);
    } else if (err) {
        if (own.code == ERROR_CORRUPT)
            error_context(&own, "'%.300s', SHA-256 %s", put->request->key, put->request->sha256);
        object_put_answered(put, OBJECT_PUT_FAILED, &own);
    } else {
        gcs_resource_read(answer->response->body, answer->response->body_size, &resource);
        object_put_answered(put, gcs_put_proves(put, &resource) ? OBJECT_PUT_PROVEN : OBJECT_PUT_OK, NULL);
    }
}

int gcs_put_single(struct object_put *put, struct error *err)
{
    struct gcs_put *self = (struct gcs_put *)put;
    const struct storage_put *request = put->request;
    char boundary[40], content_type[80];
    struct object_draft draft;
    snprintf(boundary, sizeof boundary, "bm%016" PRIx64 "%016" PRIx64, random_u64(), random_u64());
    snprintf(content_type, sizeof content_type, "multipart/related; boundary=%s", boundary);
    snprintf(self->tail, sizeof self->tail, "\r\n--%s--\r\n", boundary);
    strbuf_deinit(&self->head);
    strbuf_init(&self->head, HEAD_MAX);
    strbuf_printf(&self->head, "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n", boundary);
    gcs_put_write_metadata(put, &self->head);
    strbuf_printf(&self->head, "\r\n--%s\r\nContent-Type: " CONTENT_TYPE "\r\n\r\n", boundary);
    if (self->head.failed)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    gcs_put_draft_insert(put, "multipart", &draft);
    object_draft_header(&draft, "Content-Type", content_type);
    draft.ask.flags |= GCS_WANT_OBJECT;
    draft.ask.body_fd = request->source_fd;
    draft.ask.body_size = request->size;
    draft.ask.body_head = self->head.data;
    draft.ask.body_head_size = self->head.size;
    draft.ask.body_tail = self->tail;
    draft.ask.body_tail_size = strlen(self->tail);
    draft.ask.bytes_sent = &put->request->bytes_done;
    draft.ask.done = on_inserted;
    return object_put_call(put, &draft.ask, err);
}

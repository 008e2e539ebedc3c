#include "storage/s3/resume.h"

#include <stdlib.h>
#include <string.h>

#include "storage/part_plan.h"

static int check_parts(const json_t *parts, struct error *err)
{
    if (!json_is_array(parts) || json_array_size(parts) > PART_PLAN_MAX_PARTS)
        return error_set(err, ERROR_INPUT, false, "resume state: \"parts\" is no list of parts");
    json_int_t last = 0;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        json_int_t number = json_integer_value(json_array_get(part, 0));
        const char *etag = json_string_value(json_array_get(part, 1));
        if (number <= last || number > PART_PLAN_MAX_PARTS || etag == NULL || *etag == '\0' ||
            strlen(etag) > S3_ETAG_MAX)
            return error_set(err, ERROR_INPUT, false, "resume state: a wrong entry in \"parts\"");
        last = number;
    }
    return 0;
}

int s3_resume_parse(const char *text, struct s3_resume *ret, struct error *err)
{
    struct s3_resume resume = {0};
    json_error_t why;
    json_int_t size = -1, part_size = -1, fence = 0;
    const json_t *upload_id = NULL, *parts = NULL;
    resume.json = strlen(text) <= S3_RESUME_MAX ? json_loads(text, JSON_REJECT_DUPLICATES, &why) : NULL;
    int rc = 0;
    if (resume.json == NULL ||
        json_unpack_ex(resume.json, &why, 0, "{s:o, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s?I, s:o}",
                       "upload_id", &upload_id, "endpoint", &resume.endpoint, "bucket", &resume.bucket, "key",
                       &resume.key, "sha256", &resume.sha256, "checksum", &resume.checksum, "size", &size,
                       "part_size", &part_size, "fence", &fence, "parts", &parts) < 0 ||
        size < 0 || part_size < 0 || !(json_is_null(upload_id) || json_is_string(upload_id)))
        rc = error_set(err, ERROR_INPUT, false, "resume state of an upload to S3 can't be read");
    else
        rc = check_parts(parts, err);
    if (rc) {
        json_decref(resume.json);
        return rc;
    }
    resume.upload_id = json_string_value(upload_id);
    resume.size = (uint64_t)size;
    resume.part_size = (uint64_t)part_size;
    resume.fence = fence;
    *ret = resume;
    return 0;
}

void s3_resume_deinit(struct s3_resume *resume)
{
    json_decref(resume->json);
    *resume = (struct s3_resume){0};
}

bool s3_resume_same_bucket(const struct s3_resume *a, const struct s3_resume *b)
{
    return strcmp(a->endpoint, b->endpoint) == 0 && strcmp(a->bucket, b->bucket) == 0;
}

bool s3_resume_same(const struct s3_resume *a, const struct s3_resume *b)
{
    return s3_resume_same_bucket(a, b) && strcmp(a->key, b->key) == 0 && strcmp(a->sha256, b->sha256) == 0 &&
           strcmp(a->checksum, b->checksum) == 0 && a->size == b->size && a->part_size == b->part_size;
}

const char *s3_resume_etag(const struct s3_resume *resume, uint32_t number)
{
    const json_t *parts = json_object_get(resume->json, "parts");
    size_t low = 0, high = json_array_size(parts);
    while (low < high) { /* check_parts saw that they ascend */
        size_t middle = low + (high - low) / 2;
        const json_t *part = json_array_get(parts, middle);
        json_int_t found = json_integer_value(json_array_get(part, 0));
        if (found == (json_int_t)number)
            return json_string_value(json_array_get(part, 1));
        if (found < (json_int_t)number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

char *s3_resume_text(const struct s3_resume *resume, const char *const *etags, uint32_t count)
{
    json_t *parts = json_array();
    for (uint32_t i = 0; etags && i < count; i++)
        if (etags[i])
            json_array_append_new(parts, json_pack("[i, s]", (int)i + 1, etags[i]));
    json_t *json =
        json_pack("{s:s?, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "upload_id", resume->upload_id,
                  "endpoint", resume->endpoint, "bucket", resume->bucket, "key", resume->key, "sha256",
                  resume->sha256, "checksum", resume->checksum, "size", (json_int_t)resume->size, "part_size",
                  (json_int_t)resume->part_size, "fence", (json_int_t)resume->fence, "parts", parts);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

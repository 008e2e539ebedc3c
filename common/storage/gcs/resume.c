#include "storage/gcs/resume.h"

#include <stdlib.h>
#include <string.h>

#define RESUME_MAX ((size_t)64 << 10)

int gcs_resume_parse(const char *text, struct gcs_resume *ret, struct error *err)
{
    struct gcs_resume resume = {0};
    json_error_t why;
    json_int_t size = -1, fence = 0;
    const json_t *session = NULL;
    size_t n = strnlen(text, RESUME_MAX + 1);
    json_t *json = n > RESUME_MAX ? NULL : json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    int rc = json_unpack_ex(json, &why, 0, "{s:o, s:s, s:s, s:s, s:s, s:I, s:I}", "session", &session,
                            "endpoint", &resume.endpoint, "bucket", &resume.bucket, "key", &resume.key,
                            "sha256", &resume.sha256, "size", &size, "fence", &fence);
    bool known = json_is_string(session) && json_string_length(session) > 0;
    if (json == NULL || rc || size < 0 || !(known || json_is_null(session))) {
        json_decref(json);
        return error_set(err, ERROR_INPUT, false, "the resume state of the upload can't be read");
    }
    resume.session = known ? json_string_value(session) : NULL;
    resume.size = (uint64_t)size;
    resume.fence = fence;
    resume.json = json;
    *ret = resume;
    return 0;
}

void gcs_resume_deinit(struct gcs_resume *resume)
{
    json_decref(resume->json);
    *resume = (struct gcs_resume){0};
}

bool gcs_resume_same_bucket(const struct gcs_resume *a, const struct gcs_resume *b)
{
    return strcmp(a->endpoint, b->endpoint) == 0 && strcmp(a->bucket, b->bucket) == 0;
}

bool gcs_resume_same(const struct gcs_resume *a, const struct gcs_resume *b)
{
    return gcs_resume_same_bucket(a, b) && strcmp(a->key, b->key) == 0 && strcmp(a->sha256, b->sha256) == 0 &&
           a->size == b->size;
}

char *gcs_resume_text(const struct gcs_resume *resume)
{
    json_t *json =
        json_pack("{s:s?, s:s, s:s, s:s, s:s, s:I, s:I}", "session", resume->session, "endpoint",
                  resume->endpoint, "bucket", resume->bucket, "key", resume->key, "sha256", resume->sha256,
                  "size", (json_int_t)resume->size, "fence", (json_int_t)resume->fence);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

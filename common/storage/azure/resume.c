#include "storage/azure/resume.h"

#include <string.h>

#include "storage/azure/block_id.h"

int azure_resume_parse(const char *text, struct azure_resume *ret, struct error *err)
{
    struct azure_resume resume = {0};
    json_int_t size = -1, part_size = -1;
    const json_t *session = NULL;
    resume.json = strnlen(text, AZURE_RESUME_MAX + 1) <= AZURE_RESUME_MAX
                      ? json_loads(text, JSON_REJECT_DUPLICATES, NULL)
                      : NULL;
    int rc = resume.json == NULL
                 ? -1
                 : json_unpack(resume.json, "{s:o, s:s, s:s, s:s, s:s, s:I, s:I}", "uncommitted", &session,
                               "endpoint", &resume.endpoint, "container", &resume.container, "key",
                               &resume.key, "sha256", &resume.sha256, "size", &size, "part_size", &part_size);
    resume.session = json_string_value(session);
    if (rc < 0 || size < 0 || part_size < 0 || !(json_is_null(session) || json_is_string(session)) ||
        (resume.session && !azure_session_is_valid(resume.session))) {
        json_decref(resume.json);
        return error_set(err, ERROR_INPUT, false, "resume state of an upload to Azure can't be read");
    }
    resume.size = (uint64_t)size;
    resume.part_size = (uint64_t)part_size;
    *ret = resume;
    return 0;
}

void azure_resume_deinit(struct azure_resume *resume)
{
    json_decref(resume->json);
    *resume = (struct azure_resume){0};
}

bool azure_resume_same(const struct azure_resume *a, const struct azure_resume *b)
{
    return strcmp(a->endpoint, b->endpoint) == 0 && strcmp(a->container, b->container) == 0 &&
           strcmp(a->key, b->key) == 0 && strcmp(a->sha256, b->sha256) == 0 && a->size == b->size &&
           a->part_size == b->part_size;
}

char *azure_resume_text(const struct azure_resume *resume)
{
    json_t *json = json_pack("{s:s?, s:s, s:s, s:s, s:s, s:I, s:I}", "uncommitted", resume->session,
                             "endpoint", resume->endpoint, "container", resume->container, "key", resume->key,
                             "sha256", resume->sha256, "size", (json_int_t)resume->size, "part_size",
                             (json_int_t)resume->part_size);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* Answers of Cloud Storage: errors, resources, pages of listings; its sessions, and what is recorded of them.
 * Whatever comes, what is taken from it has its shape. */
#include <string.h>

#include "auth/secret.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "storage/gcs/document.h"
#include "storage/gcs/errors.h"
#include "storage/gcs/list_page.h"
#include "storage/gcs/resource.h"
#include "storage/gcs/resume.h"
#include "storage/gcs/upload_url.h"

static void must_be_clean(const char *text)
{
    char copy[512];
    MUST(strlen(text) < sizeof copy);
    memcpy(copy, text, strlen(text) + 1);
    utf8_clean(copy);
    MUST(strcmp(copy, text) == 0);
}

static void read_document(const char *data, size_t size)
{
    struct gcs_document document;
    gcs_document_read(data, size, &document);
    if (!document.found)
        MUST(!*document.code && !*document.message);
    must_be_clean(document.code);
    must_be_clean(document.message);

    static const int statuses[] = {200, 308, 400, 401, 403, 404, 410, 412, 429, 500, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct error err = {0};
        int rc = gcs_error_classify(statuses[i], document.code, document.message, &err);
        MUST(rc < 0 && err.code == rc && err.message[0] != '\0' && err.native[0] != '\0');
        enum object_error_class class = gcs_error_class(statuses[i], document.code, document.message);
        MUST(err.retryable == (class == OBJECT_ERROR_TRANSIENT));
    }
}

static void read_resource(const char *data, size_t size)
{
    struct gcs_resource resource = {0};
    if (!gcs_resource_read(data, size, &resource))
        return;
    unsigned char digest[DIGEST_SHA256_BYTES];
    MUST(resource.size <= INT64_MAX);
    MUST(resource.generation[strspn(resource.generation, "0123456789")] == '\0');
    MUST(*resource.sha256 == '\0' || digest_from_hex(resource.sha256, digest));
}

static bool on_entry(void *data, const struct storage_entry *entry)
{
    int *entries = data;
    MUST(entry->key && strncmp(entry->key, "db/", 3) == 0);
    MUST(entry->time_ms >= 0 && *entries < 3);
    return ++*entries < 3;
}

static void read_page(const char *data, size_t size)
{
    struct error err = {0};
    struct object_list_page page = {0};
    int entries = 0;
    int rc = gcs_list_page_read(data, size, "db/", on_entry, &entries, &page, &err);
    if (rc == 0) {
        MUST(page.stopped == (entries == 3));
        MUST(page.truncated == (page.next != NULL));
        object_list_page_deinit(&page);
    } else {
        MUST(err.code == rc && err.message[0] != '\0');
        MUST(page.next == NULL && page.next_upload == NULL);
    }
}

/* As Location, and as Range. */
static void read_header(const char *text)
{
    static const struct gcs_config configs[] = {
        {.endpoint = "https://storage.googleapis.com", .https = true, .google = true},
        {.endpoint = "http://127.0.0.1:9023"},
    };
    for (size_t i = 0; i < 2; i++) {
        char *url = NULL;
        if (gcs_session_url(&configs[i], text, &url, NULL) == 0) {
            const char *host = strstr(url, "://") + 3, *end = host + strcspn(host, "/");
            const char *domain = GCS_DOMAIN;
            size_t n = (size_t)(end - host);
            if (!configs[i].google)
                MUST(strncmp(url, configs[i].endpoint, strlen(configs[i].endpoint)) == 0);
            else
                MUST(strncasecmp(url, "https://", 8) == 0 && n >= strlen(domain) &&
                     (strncasecmp(end - strlen(domain), domain, strlen(domain)) == 0 ||
                      memchr(host, ':', n) != NULL) &&
                     memchr(host, '@', n) == NULL);
        }
        secret_free(url);
    }
    uint64_t kept = 0;
    if (gcs_kept_bytes(text, &kept))
        MUST(kept > 0 && kept <= INT64_MAX);
}

static void read_resume(const char *text)
{
    struct gcs_resume resume = {0}, again = {0};
    if (gcs_resume_parse(text, &resume, NULL))
        return;
    char *copy = gcs_resume_text(&resume);
    MUST(copy && gcs_resume_parse(copy, &again, NULL) == 0);
    MUST(gcs_resume_same(&resume, &again) && resume.fence == again.fence);
    MUST((resume.session == NULL) == (again.session == NULL));
    free(copy);
    gcs_resume_deinit(&again);
    gcs_resume_deinit(&resume);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = '\0';
    read_document(text, size);
    read_resource(text, size);
    read_page(text, size);
    read_header(text);
    read_resume(text);
    free(text);
    return 0;
}

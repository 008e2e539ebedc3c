/* Answers of S3: errors, and pages of listings. Whatever comes, what is taken from it has its shape. */
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "storage/s3/document.h"
#include "storage/s3/errors.h"
#include "storage/s3/list_page.h"

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
    struct s3_document document;
    s3_document_read(data, size, &document);
    if (strcmp(document.root, "Error") != 0)
        MUST(!*document.code && !*document.message && !*document.request_id && !*document.region);
    must_be_clean(document.code);
    must_be_clean(document.message);
    must_be_clean(document.request_id);
    must_be_clean(document.region);

    static const int statuses[] = {200, 301, 400, 403, 404, 409, 412, 500, 503, 507};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct error err = {0};
        int rc = s3_error_classify(statuses[i], document.code, document.message, &err);
        MUST(rc < 0 && err.code == rc && err.message[0] != '\0' && err.native[0] != '\0');
        MUST(strcmp(error_code_name(rc), "none") != 0);
        if (s3_error_class(statuses[i], document.code) == OBJECT_ERROR_TRANSIENT && statuses[i] != 403)
            MUST(err.retryable);
    }
}

struct listing {
    enum storage_list_kind kind;
    int entries;
};

static bool on_entry(void *data, const struct storage_entry *entry)
{
    struct listing *listing = data;
    MUST(entry->key && strncmp(entry->key, "db/", 3) == 0);
    MUST(listing->kind == STORAGE_LIST_OBJECTS || (entry->upload_id && *entry->upload_id));
    MUST(entry->time_ms >= 0);
    MUST(listing->entries < 3);
    return ++listing->entries < 3;
}

static void read_page(const char *data, size_t size, enum storage_list_kind kind)
{
    struct error err = {0};
    struct object_list_page page = {0};
    struct listing listing = {.kind = kind};
    int rc = s3_list_page_read(data, size, kind, "db/", on_entry, &listing, &page, &err);
    if (rc == 0) {
        MUST(page.stopped == (listing.entries == 3));
        object_list_page_deinit(&page);
    } else {
        MUST(err.code == rc && err.message[0] != '\0');
        MUST(page.next == NULL && page.next_upload == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    read_document(text, size);
    read_page(text, size, STORAGE_LIST_OBJECTS);
    read_page(text, size, STORAGE_LIST_UPLOADS);
    return 0;
}

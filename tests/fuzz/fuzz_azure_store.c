/* Answers of Azure Blob Storage: errors, pages of listings, lists of blocks; names of blocks and resume
 * states, which come back from elsewhere too. Whatever comes, what is taken from it has its shape. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "storage/azure/block_id.h"
#include "storage/azure/block_list.h"
#include "storage/azure/document.h"
#include "storage/azure/errors.h"
#include "storage/azure/list_page.h"
#include "storage/azure/resume.h"

#define SESSION "00112233445566778899aabbccddeeff"

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
    struct azure_document document;
    azure_document_read(data, size, &document);
    if (strcmp(document.root, "Error") != 0)
        MUST(!*document.code && !*document.message);
    must_be_clean(document.code);
    must_be_clean(document.message);
    static const int statuses[] = {200, 307, 400, 403, 404, 409, 412, 500, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct error err = {0};
        struct object_error_row row = object_error_find(&azure_errors, statuses[i], document.code);
        int rc = object_error_fill(&row, statuses[i], document.code, document.message, &err);
        MUST(rc < 0 && err.code == rc && err.message[0] != '\0' && err.native[0] != '\0');
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
    MUST((listing->kind == STORAGE_LIST_UPLOADS) == (entry->upload_id != NULL));
    MUST(entry->time_ms >= 0);
    MUST(listing->entries < 3);
    return ++listing->entries < 3;
}

static void read_page(const char *data, size_t size, enum storage_list_kind kind)
{
    struct error err = {0};
    struct object_list_page page = {0};
    struct listing listing = {.kind = kind};
    int rc = azure_list_page_read(data, size, kind, "db/", on_entry, &listing, &page, &err);
    if (rc == 0) {
        MUST(page.stopped == (listing.entries == 3));
        MUST(page.truncated == (page.next != NULL));
        object_list_page_deinit(&page);
    } else {
        MUST(err.code == rc && err.message[0] != '\0');
        MUST(page.next == NULL);
    }
}

static void on_block(void *data, const struct azure_block *block)
{
    uint32_t number, crc32c;
    (void)data;
    MUST(block->id && *block->id && strlen(block->id) <= 88);
    if (azure_block_id_parse(block->id, SESSION, &number, &crc32c)) {
        char again[AZURE_BLOCK_ID_SIZE];
        azure_block_id(SESSION, number, crc32c, again);
        MUST(strcmp(again, block->id) == 0);
    }
}

static void read_state(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    struct azure_resume resume = {0}, again = {0};
    if (azure_resume_parse(text, &resume, NULL) == 0) {
        MUST(resume.session == NULL || azure_session_is_valid(resume.session));
        char *written = azure_resume_text(&resume);
        MUST(written && azure_resume_parse(written, &again, NULL) == 0);
        MUST(azure_resume_same(&resume, &again));
        free(written);
        azure_resume_deinit(&again);
        azure_resume_deinit(&resume);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct error err;
    read_document(text, size);
    read_page(text, size, STORAGE_LIST_OBJECTS);
    read_page(text, size, STORAGE_LIST_UPLOADS);
    (void)azure_block_list_read(text, size, on_block, NULL, &err);
    read_state(data, size);
    return 0;
}

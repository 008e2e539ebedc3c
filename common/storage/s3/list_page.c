#include "storage/s3/list_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/civil.h"
#include "base/xml.h"

/* Where things stand in the two kinds of page. */
struct layout {
    const char *entry, *key, *size, *time, *upload_id;
    const char *encoding, *truncated, *next, *next_upload;
    bool next_is_key; /* encoded as keys are */
};

static const struct layout layouts[] = {
    [STORAGE_LIST_OBJECTS] =
        {
            .entry = "ListBucketResult/Contents",
            .key = "ListBucketResult/Contents/Key",
            .size = "ListBucketResult/Contents/Size",
            .time = "ListBucketResult/Contents/LastModified",
            .upload_id = "",
            .encoding = "ListBucketResult/EncodingType",
            .truncated = "ListBucketResult/IsTruncated",
            .next = "ListBucketResult/NextContinuationToken",
            .next_upload = "",
            .next_is_key = false,
        },
    [STORAGE_LIST_UPLOADS] =
        {
            .entry = "ListMultipartUploadsResult/Upload",
            .key = "ListMultipartUploadsResult/Upload/Key",
            .size = "",
            .time = "ListMultipartUploadsResult/Upload/Initiated",
            .upload_id = "ListMultipartUploadsResult/Upload/UploadId",
            .encoding = "ListMultipartUploadsResult/EncodingType",
            .truncated = "ListMultipartUploadsResult/IsTruncated",
            .next = "ListMultipartUploadsResult/NextKeyMarker",
            .next_upload = "ListMultipartUploadsResult/NextUploadIdMarker",
            .next_is_key = true,
        },
};

struct reading {
    const struct layout *layout;
    const char *prefix;
    bool (*on_entry)(void *data, const struct storage_entry *entry);
    void *data;
    struct object_list_page page;
    bool encoded; /* keys are percent-encoded */
    /* the entry that is being read */
    char *key, *upload_id;
    bool unnameable;
    uint64_t size;
    int64_t time_ms;
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; false for what isn't percent-encoding. ret_size: a decoded NUL is a byte like others. */
static bool url_decode(char *text, size_t *ret_size)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in == '%') {
            int high = hex(in[1]);
            int low = high < 0 ? -1 : hex(in[2]);
            if (low < 0)
                return false;
            *out++ = (char)(high * 16 + low);
            in += 2;
        } else {
            *out++ = *in == '+' ? ' ' : *in; /* as forms are encoded */
        }
    }
    *out = '\0';
    *ret_size = (size_t)(out - text);
    return true;
}

/* "2025-11-02T08:00:00.000Z"; 0 for anything else. */
static int64_t parse_time(const char *text)
{
    struct civil c = {0};
    int end = 0, ms = 0;
    if (sscanf(text, "%4" SCNd64 "-%2d-%2dT%2d:%2d:%2d%n", &c.year, &c.month, &c.day, &c.hour, &c.minute,
               &c.second, &end) != 6)
        return 0;
    if (text[end] == '.' && sscanf(text + end, ".%3d", &ms) != 1)
        return 0;
    if (c.year < 1970 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > 31 || c.hour < 0 ||
        c.hour > 23 || c.minute < 0 || c.minute > 59 || c.second < 0 || c.second > 60 || ms < 0)
        return 0;
    return civil_to_seconds(&c) * 1000 + ms;
}

static int keep(char **out, const char *text, struct error *err)
{
    free(*out);
    *out = strdup(text);
    return *out ? 0 : error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int not_encoded(struct error *err)
{
    return error_set(err, ERROR_PROTOCOL, true, "a listing has a name that isn't percent-encoded as it says");
}

/* First pass: what is said of the page. EncodingType may stand behind the entries. */
static int on_page_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct reading *r = data;
    (void)size;
    if (strcmp(path, r->layout->encoding) == 0)
        r->encoded = strcasecmp(text, "url") == 0;
    else if (strcmp(path, r->layout->truncated) == 0)
        r->page.truncated = strcmp(text, "true") == 0;
    else if (strcmp(path, r->layout->next) == 0 && *text)
        return keep(&r->page.next, text, err);
    else if (strcmp(path, r->layout->next_upload) == 0 && *text)
        return keep(&r->page.next_upload, text, err);
    return 0;
}

/* Second pass: the entries. */

static int on_entry_start(void *data, const char *path, struct error *err)
{
    struct reading *r = data;
    (void)err;
    if (strcmp(path, r->layout->entry) != 0)
        return 0;
    free(r->key);
    free(r->upload_id);
    r->key = r->upload_id = NULL;
    r->unnameable = false;
    r->size = 0;
    r->time_ms = 0;
    return 0;
}

static int on_entry_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    struct reading *r = data;
    if (strcmp(path, r->layout->key) == 0) {
        int rc = keep(&r->key, text, err);
        if (rc == 0 && r->encoded && !url_decode(r->key, &size))
            rc = not_encoded(err);
        r->unnameable = rc == 0 && strlen(r->key) != size;
        return rc;
    }
    if (strcmp(path, r->layout->size) == 0 && sscanf(text, "%" SCNu64, &r->size) != 1)
        return error_set(err, ERROR_PROTOCOL, true, "a listing has a size that isn't a number");
    if (strcmp(path, r->layout->time) == 0)
        r->time_ms = parse_time(text);
    if (strcmp(path, r->layout->upload_id) == 0)
        return keep(&r->upload_id, text, err);
    return 0;
}

static int on_entry_end(void *data, const char *path, struct error *err)
{
    struct reading *r = data;
    (void)err;
    if (strcmp(path, r->layout->entry) != 0 || r->page.stopped || r->key == NULL || r->unnameable ||
        strncmp(r->key, r->prefix, strlen(r->prefix)) != 0)
        return 0;
    if (*r->layout->upload_id && (r->upload_id == NULL || *r->upload_id == '\0'))
        return 0;
    const struct storage_entry entry = {
        .key = r->key, .size = r->size, .time_ms = r->time_ms, .upload_id = r->upload_id};
    r->page.stopped = !r->on_entry(r->data, &entry);
    return 0;
}

static int read_page(struct reading *r, const char *body, size_t size, struct error *err)
{
    static const struct xml_events of_page = {.on_text = on_page_text};
    static const struct xml_events of_entries = {
        .on_start = on_entry_start, .on_text = on_entry_text, .on_end = on_entry_end};
    int rc = xml_parse(body, size, size, &of_page, r, err);
    size_t ignored;
    if (rc == 0 && r->page.next && r->encoded && r->layout->next_is_key &&
        !url_decode(r->page.next, &ignored))
        rc = not_encoded(err);
    if (rc == 0)
        rc = xml_parse(body, size, size, &of_entries, r, err);
    return rc;
}

int s3_list_page_read(const char *body, size_t size, enum storage_list_kind kind, const char *prefix,
                      bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                      struct object_list_page *ret, struct error *err)
{
    struct reading r = {.layout = &layouts[kind], .prefix = prefix, .on_entry = on_entry, .data = data};
    int rc = read_page(&r, body, size, err);
    free(r.key);
    free(r.upload_id);
    if (rc < 0)
        object_list_page_deinit(&r.page);
    else
        *ret = r.page;
    return rc;
}

/*
 * What a sink remembers: of objects the size, the ETag and the headers that HEAD gives back (of GCS: the
 * resource); of uploads the sizes of their parts. One mutex; all functions may be called from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { OBJECTS_HEADERS_MAX = 4096, OBJECTS_ETAG_MAX = 64 };

struct object {
    uint64_t size;
    char etag[OBJECTS_ETAG_MAX];       /* without quotes */
    char headers[OBJECTS_HEADERS_MAX]; /* lines that end in CR LF */
};

void objects_put(const char *path, const struct object *object);
bool objects_get(const char *path, struct object *ret); /* false = there is none */
void objects_delete(const char *path);

/* The id of a new upload of that path, from 1. headers: what the request that begins it brought. */
uint64_t uploads_begin(const char *path, const char *headers);
/* The id of the path's open upload, begun if there is none. */
uint64_t uploads_of(const char *path);
/* number 0 = the one behind the last. false = no such upload, or a number outside 1..10000. */
bool uploads_part(uint64_t id, uint32_t number, uint64_t size);
bool uploads_size(uint64_t id, uint64_t *ret); /* of its parts; false = no such upload */
/* The object is there from now on. headers: what the request that completes it brought besides. */
bool uploads_complete(uint64_t id, const char *headers, struct object *ret);
bool uploads_abort(uint64_t id);
int uploads_open(void); /* begun, neither completed nor aborted */

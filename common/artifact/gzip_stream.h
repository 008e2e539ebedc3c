/*
 * gzip of a stream, about zlib's level 1 in ratio, four times its speed (ISA-L). The header carries no time
 * and no name: equal input gives equal output.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define GZIP_STREAM_BLOCK ((size_t)512 * 1024)

struct gzip_stream;

/* Takes the next compressed block: GZIP_STREAM_BLOCK bytes, the last one maybe fewer. Not 0 ends the stream
 * with that value. */
typedef int gzip_stream_sink(void *data, const void *block, size_t n);

struct gzip_stream *gzip_stream_new(gzip_stream_sink *sink, void *data); /* NULL when memory is out */
void gzip_stream_free(struct gzip_stream *gzip);

/* last: the input ends with this piece (which may be empty). 0, or what sink returned. */
int gzip_stream_write(struct gzip_stream *gzip, const void *data, size_t n, bool last);

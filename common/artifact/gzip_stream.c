#include "artifact/gzip_stream.h"

#include <assert.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

struct gzip_stream {
    gzip_stream_sink *sink;
    void *sink_data;
    struct isal_zstream z;
    uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
    uint8_t block[GZIP_STREAM_BLOCK];
};

static void use_block(struct gzip_stream *gzip)
{
    gzip->z.next_out = gzip->block;
    gzip->z.avail_out = (uint32_t)sizeof gzip->block;
}

struct gzip_stream *gzip_stream_new(gzip_stream_sink *sink, void *data)
{
    struct gzip_stream *gzip = malloc(sizeof *gzip);
    if (gzip == NULL)
        return NULL;
    gzip->sink = sink;
    gzip->sink_data = data;
    isal_deflate_init(&gzip->z);
    gzip->z.gzip_flag = IGZIP_GZIP;
    gzip->z.flush = NO_FLUSH;
    gzip->z.level = 1;
    gzip->z.level_buf = gzip->level_buf;
    gzip->z.level_buf_size = (uint32_t)sizeof gzip->level_buf;
    use_block(gzip);
    return gzip;
}

void gzip_stream_free(struct gzip_stream *gzip)
{
    free(gzip);
}

static int empty_block(struct gzip_stream *gzip)
{
    size_t n = sizeof gzip->block - gzip->z.avail_out;
    int rc = n > 0 ? gzip->sink(gzip->sink_data, gzip->block, n) : 0;
    use_block(gzip);
    return rc;
}

int gzip_stream_write(struct gzip_stream *gzip, const void *data, size_t n, bool last)
{
    assert(n <= UINT32_MAX);
    gzip->z.next_in = (uint8_t *)data;
    gzip->z.avail_in = (uint32_t)n;
    gzip->z.end_of_stream = last;
    for (;;) {
        int ok = isal_deflate(&gzip->z);
        assert(ok == COMP_OK);
        (void)ok;
        bool ended = gzip->z.internal_state.state == ZSTATE_END;
        if (gzip->z.avail_out == 0 || ended) {
            int rc = empty_block(gzip);
            if (rc || ended)
                return rc;
        } else if (gzip->z.avail_in == 0 && !last) {
            return 0;
        }
    }
}

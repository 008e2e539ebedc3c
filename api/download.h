/*
 * GET /api/backups/{id}/download, /api/backups/{id}/copies/{id}/download: a copy's bytes, from whatever store
 * it is at, as fast as the client takes them. Read in windows through the storage driver, at most two of them
 * in memory for each download.
 */
#pragma once

#include <sys/queue.h>

#include "hung_disks.h"
#include "route.h"
#include "store/copies.h"

enum {
    DOWNLOADS_AT_ONCE = 32,
    DOWNLOADS_PER_USER = 8,
    DOWNLOAD_WINDOW = 4 << 20,
    DOWNLOAD_ROW_SECONDS = 600, /* for so long a row of the audit log stands for further parts of its copy */
};

struct download;
LIST_HEAD(downloads, download);

void download_backup(struct api *api, struct http_request *request);
void download_copy(struct api *api, struct http_request *request);

/* The server ends: those that have not begun to answer are refused. */
void downloads_end(struct api *api);

/* -- download.c, download_body.c and download_audit.c */

/*
 *   ASKS -> LOOKS -> READS (the first window) -> RECORDS -> ANSWERS -> gone
 *             ^________| the next copy, when one can't be read
 *
 * From ASKS to RECORDS the request is held. `request` is NULL once it has been answered otherwise or is over:
 * the download goes when its driver's operation has ended.
 */
enum download_state { DOWNLOAD_ASKS, DOWNLOAD_LOOKS, DOWNLOAD_READS, DOWNLOAD_RECORDS, DOWNLOAD_ANSWERS };

struct download_window {
    int fd;        /* in memory; -1 */
    uint64_t size; /* 0: nothing in it */
    uint64_t taken;
};

struct download {
    struct api *api;
    struct http_request *request;
    struct identity identity; /* whose it is, to its end */
    enum download_state state;
    bool any_copy; /* the next one will do when one can't be read */
    bool answered; /* the body's `closed` will run */
    char backup_name[256];
    struct copies copies;
    int at; /* in copies.all */
    char problems[900];
    int last_code;

    uint64_t size;          /* of the whole copy */
    uint64_t first, length; /* what is sent of it */
    uint64_t fetched;       /* of length: in windows, or taken from them */
    uint64_t sent;          /* of length */
    unsigned range_status;  /* 200, 206 */
    struct digest *digest;  /* of the whole; NULL: a range, or nothing to compare with */
    struct download_window windows[2];
    int current; /* the one that is read from */
    int filling; /* -1: none */
    bool waits;  /* the client waits for a window */
    bool failed;

    struct storage_op *op; /* under way; NULL: none */
    struct storage_stat stat;
    struct storage_get get;
    uint64_t seen_bytes; /* of get, when the timer last looked */
    uv_timer_t limit;
    bool closing;
    struct hung_disk hung;
    LIST_ENTRY(download) link;
};

const struct copy *download_source(const struct download *d);
/* An operation begins, has ended. */
void download_watch(struct download *d, struct storage_op *op);
void download_unwatch(struct download *d);
/* What goes on after READS: the first window is there, or err says why not. */
void download_on_first_window(struct download *d, const struct error *err);
/* Nobody wants it any more. */
void download_leave(struct download *d);

/* Begins to fill a window, if there is one to fill and something to fill it with. */
int download_fill(struct download *d, struct error *err);
/* Who takes what is to be sent; after audit_add_actor. 0 or -1. */
int download_add_taken(struct download *d, struct pg_request *question, int64_t backup_id);
/* Of a copy that is not what it should be: as a check would record it, and in the audit log. */
void download_record_damage(struct download *d, const struct error *found);
/* http_reply_stream. */
void download_send(struct download *d, const char *content_type);
/* What has been read can't be sent on: the connection is cut. */
void download_cut(struct download *d, const struct error *err);

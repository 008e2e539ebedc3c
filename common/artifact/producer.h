/*
 * Produces one artifact: source -> gzip -> staging file, digests of the compressed bytes in the same pass:
 * SHA-256 of the whole, SHA-256, CRC32C and CRC-64 of each part (staging.h), MD5 of the whole where one of
 * the copies wants it.
 *
 * The staged file appears under its name only when the source ended well (child exit status 0; for pg_dump
 * the trailer is there too), everything is written and fsynced; otherwise nothing is left. The child runs in
 * its own process group, which is killed on cancel; it gets no secret in argv or environment (pg_dump:
 * PGPASSFILE on an anonymous memory file), its standard input is empty.
 *
 * Each production holds one thread of libuv's pool from beginning to end: give the pool more threads
 * (UV_THREADPOOL_SIZE) than productions may run at once.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "artifact/source.h"
#include "base/digest.h"
#include "base/error.h"

struct producer;
struct secrets;

struct producer_result {
    uint64_t size;         /* of the staged file */
    uint64_t source_bytes; /* before compression */
    char sha256[DIGEST_SHA256_SIZE];
    double seconds;
};

struct producer_request {
    uv_loop_t *loop;
    struct source source;
    const char *pg_dump; /* programs to run: name or path */
    const char *tar;
    const char *command_environment; /* see child_environment.h; NULL = none */
    struct secrets *secrets;         /* where its password is asked for */
    const char
        *legacy_key_ref; /* BM_LEGACY_ENCRYPTION_KEY_REF, for source.password_encrypted; NULL or "" = none */
    const char *staging_dir;
    int64_t backup_id;
    int64_t fence;
    bool md5; /* of the whole is made too (part_digests.h) */
    /* bounds, 0 = default */
    int64_t kill_grace_ms; /* from SIGTERM to SIGKILL: 2 s */
    int64_t pipe_grace_ms; /* for others that hold the output open after the child's end: 5 s */
    int64_t exit_grace_ms; /* for the child to end after it closed its output: 5 min */

    _Atomic uint64_t source_bytes; /* progress, written by the producer */
    _Atomic uint64_t staged_bytes;
    /*
     * Once, from the loop, never before producer_start returns; the producer is gone afterwards, its child
     * has ended, every descriptor is closed. result is NULL on error:
     *   ERROR_UNREACHABLE / ERROR_NOT_FOUND / ERROR_DENIED, retryable: the source could not be reached,
     *     nothing was dumped (pg_dump's connection failed; source path missing or not readable; secret
     *     missing; the older system's key missing or another one)
     *   ERROR_SOURCE, final: the dump could not be started or began and failed; the message has the exit
     *     status or signal and the child's own last words
     *   ERROR_INPUT, final: source path of the wrong kind, password that can't be passed on
     *   ERROR_NO_SPACE, ERROR_IO, ... retryable: the staging directory's trouble
     *   ERROR_CANCELLED after producer_cancel, unless something else had failed before
     */
    void (*done)(void *data, const struct producer_result *result, const struct error *err);
    void *data;
};

/* request and all it points to stay unchanged until done. Errors of source_check and secret_reference_check
 * are returned here; ERROR_NOT_FOUND (retryable) for an encrypted password without legacy_key_ref. */
int producer_start(struct producer_request *request, struct producer **ret_producer, struct error *err);

/* Asks for an early end with ERROR_CANCELLED; done still runs, and nothing is left in the staging directory.
 * Harmless when repeated. */
void producer_cancel(struct producer *producer);

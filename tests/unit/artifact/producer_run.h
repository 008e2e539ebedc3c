/* One production run to its end, what it staged looked at whole. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <ftw.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "artifact/producer.h"
#include "artifact/staging.h"
#include "auth/secrets.h"

static char root[64];
static char staging[80];

struct run {
    struct producer_request request;
    struct producer *producer;
    struct secrets *secrets;
    uv_timer_t watch;
    uint64_t cancel_at; /* source bytes; 0 = never */
    int done;
    bool ok;
    struct producer_result result;
    struct error err;
};

static inline void on_done(void *data, const struct producer_result *result, const struct error *err)
{
    struct run *run = data;
    run->done++;
    run->ok = result != NULL;
    assert_true((result == NULL) == (err != NULL));
    if (result)
        run->result = *result;
    else
        run->err = *err;
    run->producer = NULL;
    secrets_close(run->secrets, NULL, NULL);
    uv_close((uv_handle_t *)&run->watch, NULL);
}

static inline void on_watch(uv_timer_t *timer)
{
    struct run *run = timer->data;
    if (run->producer && run->request.source_bytes >= run->cancel_at)
        producer_cancel(run->producer);
}

static inline void produce(struct run *run)
{
    uv_loop_t loop;
    struct error err = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(secrets_new(&loop, &(struct secrets_options){0}, &run->secrets, &err), 0);
    run->request.loop = &loop;
    run->request.secrets = run->secrets;
    if (run->request.pg_dump == NULL)
        run->request.pg_dump = "pg_dump";
    run->request.tar = "tar";
    run->request.staging_dir = staging;
    run->request.backup_id = 12;
    run->request.fence = 3;
    run->request.done = on_done;
    run->request.data = run;
    uv_timer_init(&loop, &run->watch);
    run->watch.data = run;
    if (producer_start(&run->request, &run->producer, &err))
        fail_msg("producer_start: %s", err.message);
    assert_int_equal(run->done, 0);
    if (run->cancel_at)
        uv_timer_start(&run->watch, on_watch, 1, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(run->done, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* Runs a shell script as a command source. */
static inline void produce_script(struct run *run, const char *script)
{
    json_t *argv = json_pack("[s,s,s]", "/bin/sh", "-c", script);
    char *text = json_dumps(argv, 0);
    run->request.source = (struct source){.db_type = "command", .source_argv = text};
    produce(run);
    free(text);
    json_decref(argv);
}

/* Writes an executable script and returns its path (static). */
static inline const char *script_file(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s", text);
    fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
    return path;
}

#define TRAILER                                                                                              \
    "echo '--'; echo '-- PostgreSQL database dump complete'; echo '--'; echo; echo '\\unrestrict xyz';"

static inline void produce_pg_dump(struct run *run, const char *script, const char *password_ref)
{
    run->request.pg_dump = script_file("pg_dump", script);
    run->request.source = (struct source){.db_type = "postgresql",
                                          .host = "db.example",
                                          .port = 5433,
                                          .username = "shop_owner",
                                          .database_name = "shop",
                                          .password_ref = password_ref};
    produce(run);
}

static inline int count_files(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = 0;
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static inline void assert_failed(const struct run *run, int code, bool retryable, const char *says)
{
    if (run->ok || run->err.code != code || run->err.retryable != retryable ||
        strstr(run->err.message, says) == NULL)
        fail_msg("wanted %s%s '%s', got %s%s '%s'", error_code_name(code), retryable ? " (retryable)" : "",
                 says, run->ok ? "success" : error_code_name(run->err.code),
                 run->err.retryable ? " (retryable)" : "", run->err.message);
    assert_int_equal(count_files(staging), 0);
}

/* The artifact unzipped; its digest and sizes are checked on the way. */
static char *unzipped(const struct run *run, size_t *ret_n)
{
    if (!run->ok)
        fail_msg("%s: %s", error_code_name(run->err.code), run->err.message);
    assert_int_equal(count_files(staging), 2);
    struct error err;
    int fd = -1;
    struct part_digests *parts = staging_open_parts(staging, 12, 3, run->result.size, run->result.sha256);
    assert_non_null(parts);
    assert_int_equal(parts->total, run->result.size);
    assert_int_equal(parts->has_md5, run->request.md5);
    part_digests_free(parts);
    assert_int_equal(staging_open(staging, 12, 3, run->result.size, &fd, &err), 0);
    unsigned char *zipped = malloc(run->result.size);
    assert_non_null(zipped);
    size_t n = 0;
    for (ssize_t got; (got = read(fd, zipped + n, run->result.size - n)) > 0;)
        n += (size_t)got;
    assert_int_equal(n, run->result.size);
    close(fd);
    unsigned char digest[32];
    char hex[65];
    unsigned digest_n = 0;
    EVP_Digest(zipped, n, digest, &digest_n, EVP_sha256(), NULL);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, run->result.sha256);
    char *out = malloc(run->result.source_bytes + 1);
    assert_non_null(out);
    z_stream z = {.next_in = zipped,
                  .avail_in = (uInt)n,
                  .next_out = (unsigned char *)out,
                  .avail_out = (uInt)run->result.source_bytes + 1};
    assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, run->result.source_bytes);
    inflateEnd(&z);
    out[run->result.source_bytes] = '\0';
    free(zipped);
    *ret_n = run->result.source_bytes;
    assert_true(run->request.source_bytes == run->result.source_bytes);
    assert_true(run->request.staged_bytes == run->result.size);
    return out;
}

static inline void assert_unzips_to(const struct run *run, const char *text)
{
    size_t n;
    char *out = unzipped(run, &n);
    assert_int_equal(n, strlen(text));
    assert_string_equal(out, text);
    free(out);
}

static inline int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static inline int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/test_producer.XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(staging, sizeof staging, "%s/staging", root);
    struct error err;
    return staging_prepare(staging, &err);
}

static inline int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/*
 * How often somebody may try to log in: per user name and per address (IPv6: per /64), LOGIN_TRIES in
 * LOGIN_WINDOW_MS. A try counts from its beginning, so that many at once are not free; one that succeeds, or
 * comes to no end, is taken back. Of bounded size: when the table is full, the entry whose last try is the
 * longest ago makes room. Time is the caller's (ms, monotonic).
 */
#pragma once

#include <stdint.h>

enum {
    LOGIN_TRIES_PER_NAME = 5,
    LOGIN_TRIES_PER_ADDRESS = 20,
    LOGIN_WINDOW_MS = 5 * 60 * 1000,
    LOGIN_LIMIT_ENTRIES = 4096,
};

struct login_limit;

struct login_limit *login_limit_new(void); /* NULL when memory is out */
void login_limit_free(struct login_limit *limit);

/* 0: counted, go on. Otherwise not counted: the ms (> 0) until another try may be made. address may be NULL.
 */
int64_t login_limit_try(struct login_limit *limit, const char *name, const char *address, int64_t now_ms);

/* The try came to no end: nobody knows whether the password was right. It does not count. */
void login_limit_take_back(struct login_limit *limit, const char *name, const char *address);

/* The try succeeded: the name starts anew, the address gets its try back. */
void login_limit_succeeded(struct login_limit *limit, const char *name, const char *address);

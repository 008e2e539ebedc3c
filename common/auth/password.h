/*
 * Passwords of people: hashed by scrypt through crypt(3) ("$7$"), 64 MiB and about an eighth of a second of a
 * core each. The older system's bcrypt hashes are verified too, to be replaced when their owner logs in.
 *
 * The functions without a loop block for as long as the hash takes. On a loop use password_checks: the thread
 * pool, PASSWORD_AT_ONCE of them at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/error.h"

enum {
    PASSWORD_MIN_BYTES = 10,
    PASSWORD_MAX_BYTES = 256,
    PASSWORD_HASH_SIZE = 384, /* what crypt(3) may make, and a NUL */
    PASSWORD_AT_ONCE = 4,
    PASSWORD_MAX_WAITING = 64,
};

/* Whether it may become somebody's password: its length, no control characters. ERROR_INPUT says what to
 * choose instead, never the password. */
int password_acceptable(const char *password, struct error *err);

/* ERROR_SYSTEM: no memory or no randomness. */
int password_hash(const char *password, char ret_hash[PASSWORD_HASH_SIZE], struct error *err);

/* hash NULL or of no known kind ('!' of built-in users): false, after as much work as a real one costs. */
bool password_matches(const char *hash, const char *password);

/* True for what password_hash would not make today: another scheme or another cost. */
bool password_hash_is_old(const char *hash);

/* A password that a person can copy: 20 letters and digits, 117 bits of the kernel's randomness. */
enum { PASSWORD_GENERATED_SIZE = 21 };
int password_generate(char ret_password[PASSWORD_GENERATED_SIZE], struct error *err);

/* --- on a loop --- */

struct password_checks;

struct password_answer {
    bool matches;
    const char *new_hash; /* of the same password, when a new one was asked for or the old one is to be
                             replaced; else NULL; valid during the callback */
};

/* err NULL, or ERROR_CANCELLED (the checks are being freed), ERROR_SYSTEM. From the loop, or from
 * password_checks_free. */
typedef void (*password_fn)(void *data, const struct password_answer *answer, const struct error *err);

int password_checks_new(uv_loop_t *loop, struct password_checks **ret_checks, struct error *err);

/* Those under way and those that wait get ERROR_CANCELLED before this returns; the memory goes when the last
 * thread has come back. NULL does nothing. */
void password_checks_free(struct password_checks *checks);

/* Compares; a match with an old kind of hash brings a new hash. hash may be NULL. Both are copied and
 * overwritten at the end. ERROR_LIMIT (retryable): PASSWORD_MAX_WAITING are waiting already. */
int password_checks_verify(struct password_checks *checks, const char *hash, const char *password,
                           password_fn done, void *data, struct error *err);

/* Makes a hash; matches is true. */
int password_checks_hash(struct password_checks *checks, const char *password, password_fn done, void *data,
                         struct error *err);

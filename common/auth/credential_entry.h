/*
 * Private to the credential cache: one credential that is kept, and until when. All times are Unix time in
 * ms, given by the caller. The kind's margins say when one is due (fetched anew in the background) and too
 * old (fetched before it is given out).
 */
#pragma once

#include "auth/credential_cache.h"

enum { CREDENTIAL_KEEP_STATIC_MS = 5000 }; /* without an expiry: read again after this time */

struct credential_entry {
    struct credential kept; /* value NULL = none */
    bool refused;           /* a service called it expired */
    int64_t due_ms, too_old_ms;
};

void credential_entry_deinit(struct credential_entry *entry, const struct credential_kind *kind);
/* Can be given out now. */
bool credential_entry_is_fresh(const struct credential_entry *entry, int64_t now_ms);
/* Has an expiry and should be fetched anew by now, or at entry->due_ms. */
bool credential_entry_expires(const struct credential_entry *entry);

/* Replaces what was kept; got->value belongs to the entry, or is freed on an error. What has expired already
 * is kept only when it outlives its expiry: then it is given out for 5 to 10 minutes before the next fetch.
 * Else ERROR_DENIED, retryable. */
int credential_entry_keep(struct credential_entry *entry, const struct credential_kind *kind,
                          const struct credential *got, int64_t now_ms, struct error *err);
/* A fetch failed with err. True, and logged: what was kept can still be given out (until it expires; what
 * outlives its expiry for 5 to 10 minutes more), and the next fetch is put off. False: it's gone. */
bool credential_entry_survives(struct credential_entry *entry, const struct credential_kind *kind,
                               const struct error *err, int64_t now_ms);

/*
 * Private to the AWS credentials: one set of credentials that is kept, and until when. All times are Unix
 * time in ms, given by the caller.
 *
 *   fetched ......... due ................ too old ........ expires
 *            fresh          fresh, fetch          fetch first
 *
 * due: 15 minutes before expiry, at most a quarter of the lifetime; too old: 5 minutes, at most a tenth.
 */
#pragma once

#include "auth/aws_credentials.h"

enum { AWS_KEEP_STATIC_MS = 5000 }; /* keys without an expiry are read again after this time */

struct aws_entry {
    struct aws_credentials keys; /* valid while memory isn't NULL */
    char *memory;
    bool from_metadata;
    bool refused; /* a service called them expired */
    int64_t due_ms, too_old_ms;
};

void aws_entry_deinit(struct aws_entry *entry);
/* Can be given out now. */
bool aws_entry_is_fresh(const struct aws_entry *entry, int64_t now_ms);
/* Has an expiry and should be fetched anew by now, or at entry->due_ms. */
bool aws_entry_expires(const struct aws_entry *entry);

/* Replaces what was kept by a copy. Credentials that have expired already are kept only when they are the
 * instance's own: then they are given out for 5 to 10 minutes before the next fetch. Else ERROR_DENIED,
 * retryable. */
int aws_entry_keep(struct aws_entry *entry, const struct aws_credentials *credentials, bool from_metadata,
                   int64_t now_ms, struct error *err);
/* A fetch failed with err. True, and logged: what was kept can still be given out (until it expires; the
 * instance's own for 5 to 10 minutes more), and the next fetch is put off. False: it's gone. */
bool aws_entry_survives(struct aws_entry *entry, const struct error *err, int64_t now_ms);

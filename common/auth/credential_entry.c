#include "auth/credential_entry.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

void credential_entry_deinit(struct credential_entry *entry, const struct credential_kind *kind)
{
    if (entry->kept.value)
        kind->free(entry->kept.value);
    *entry = (struct credential_entry){0};
}

bool credential_entry_is_fresh(const struct credential_entry *entry, int64_t now_ms)
{
    return entry->kept.value && !entry->refused && now_ms < entry->too_old_ms;
}

bool credential_entry_expires(const struct credential_entry *entry)
{
    return entry->kept.value && entry->kept.expires_at_ms > 0;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* 5 to 10 minutes, so that a fleet doesn't ask all at once. */
static int64_t extension_ms(void)
{
    return 5 * MINUTE + (int64_t)(random_u64() % (5 * MINUTE));
}

static int64_t margin_ms(const struct credential_margin *margin, int64_t lifetime_ms)
{
    return least(margin->ms, lifetime_ms / margin->part);
}

static void set_times(struct credential_entry *entry, const struct credential_kind *kind, int64_t now_ms)
{
    int64_t expires_ms = entry->kept.expires_at_ms, lifetime_ms = expires_ms - now_ms;
    if (expires_ms == 0)
        entry->due_ms = entry->too_old_ms = now_ms + CREDENTIAL_KEEP_STATIC_MS;
    else if (lifetime_ms <= 0)
        entry->due_ms = entry->too_old_ms = now_ms + extension_ms();
    else {
        entry->due_ms = expires_ms - margin_ms(&kind->due, lifetime_ms);
        entry->too_old_ms = expires_ms - margin_ms(&kind->too_old, lifetime_ms);
    }
}

int credential_entry_keep(struct credential_entry *entry, const struct credential_kind *kind,
                          const struct credential *got, int64_t now_ms, struct error *err)
{
    bool expired = got->expires_at_ms > 0 && got->expires_at_ms <= now_ms;
    char when[CLOCK_ISO8601_SIZE];
    clock_iso8601(got->expires_at_ms, when);
    if (expired && !got->outlives_expiry) {
        int rc =
            error_set(err, ERROR_DENIED, true,
                      "%.100s: gave credentials that expired at %s already: is this machine's clock right?",
                      got->source, when);
        kind->free(got->value);
        return rc;
    }
    credential_entry_deinit(entry, kind);
    entry->kept = *got;
    set_times(entry, kind, now_ms);
    if (expired)
        log_warn("%s: %.100s gave some that expired at %s; using them, asking again in %d s", kind->name,
                 got->source, when, (int)((entry->due_ms - now_ms) / SECOND));
    return 0;
}

bool credential_entry_survives(struct credential_entry *entry, const struct credential_kind *kind,
                               const struct error *err, int64_t now_ms)
{
    int64_t left_ms = entry->kept.expires_at_ms - now_ms;
    if (!credential_entry_expires(entry) || entry->refused ||
        (left_ms <= 0 && !entry->kept.outlives_expiry)) {
        credential_entry_deinit(entry, kind);
        return false;
    }
    if (left_ms > 0) {
        int64_t pause_ms = least(left_ms / 4, MINUTE);
        entry->due_ms = now_ms + (pause_ms > SECOND ? pause_ms : SECOND);
        entry->too_old_ms = entry->kept.expires_at_ms;
    } else
        entry->due_ms = entry->too_old_ms = now_ms + extension_ms();
    log_warn("%s can't be fetched anew: %s; using those at hand (%.100s), asking again in %d s", kind->name,
             err->message, entry->kept.source, (int)((entry->due_ms - now_ms) / SECOND));
    return true;
}

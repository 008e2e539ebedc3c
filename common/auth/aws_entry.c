#include "auth/aws_entry.h"

#include "auth/aws_keys.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

void aws_entry_deinit(struct aws_entry *entry)
{
    aws_credentials_memory_free(entry->memory);
    *entry = (struct aws_entry){0};
}

bool aws_entry_is_fresh(const struct aws_entry *entry, int64_t now_ms)
{
    return entry->memory && !entry->refused && now_ms < entry->too_old_ms;
}

bool aws_entry_expires(const struct aws_entry *entry)
{
    return entry->memory && entry->keys.expires_at_ms > 0;
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

static void set_times(struct aws_entry *entry, int64_t now_ms)
{
    int64_t expires_ms = entry->keys.expires_at_ms, lifetime_ms = expires_ms - now_ms;
    if (expires_ms == 0)
        entry->due_ms = entry->too_old_ms = now_ms + AWS_KEEP_STATIC_MS;
    else if (lifetime_ms <= 0)
        entry->due_ms = entry->too_old_ms = now_ms + extension_ms();
    else {
        entry->due_ms = expires_ms - least(15 * MINUTE, lifetime_ms / 4);
        entry->too_old_ms = expires_ms - least(5 * MINUTE, lifetime_ms / 10);
    }
}

int aws_entry_keep(struct aws_entry *entry, const struct aws_credentials *credentials, bool from_metadata,
                   int64_t now_ms, struct error *err)
{
    bool expired = credentials->expires_at_ms > 0 && credentials->expires_at_ms <= now_ms;
    char when[CLOCK_ISO8601_SIZE];
    clock_iso8601(credentials->expires_at_ms, when);
    if (expired && !from_metadata)
        return error_set(
            err, ERROR_DENIED, true,
            "%.100s: gave credentials that expired at %s already: is this machine's clock right?",
            credentials->source, when);
    struct aws_entry fetched = {.from_metadata = from_metadata};
    int rc = aws_keys_copy(credentials->source, credentials, &fetched.keys, &fetched.memory, err);
    if (rc)
        return rc;
    set_times(&fetched, now_ms);
    if (expired)
        log_warn("AWS credentials: %.100s gave some that expired at %s; using them, asking again in %d s",
                 credentials->source, when, (int)((fetched.due_ms - now_ms) / SECOND));
    aws_entry_deinit(entry);
    *entry = fetched;
    return 0;
}

bool aws_entry_survives(struct aws_entry *entry, const struct error *err, int64_t now_ms)
{
    int64_t left_ms = entry->keys.expires_at_ms - now_ms;
    if (!aws_entry_expires(entry) || entry->refused || (left_ms <= 0 && !entry->from_metadata)) {
        aws_entry_deinit(entry);
        return false;
    }
    if (left_ms > 0) {
        int64_t pause_ms = least(left_ms / 4, MINUTE);
        entry->due_ms = now_ms + (pause_ms > SECOND ? pause_ms : SECOND);
        entry->too_old_ms = entry->keys.expires_at_ms;
    } else
        entry->due_ms = entry->too_old_ms = now_ms + extension_ms();
    log_warn("AWS credentials can't be fetched anew: %s; using those at hand (%.100s), asking again in %d s",
             err->message, entry->keys.source, (int)((entry->due_ms - now_ms) / SECOND));
    return true;
}

#include "base/cron.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/civil.h"

enum { N_FIELDS = 5, TEXT_MAX = 512, MINUTE = 60 };

struct field {
    const char *name;
    int min, max;
    const char *const *names; /* of min, min + 1, ... */
    int n_names;
    const char *allowed;
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

enum { FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY };

static const struct field fields[N_FIELDS] = {
    {"minute", 0, 59, NULL, 0, "0-59"},
    {"hour", 0, 23, NULL, 0, "0-23"},
    {"day of month", 1, 31, NULL, 0, "1-31"},
    {"month", 1, 12, month_names, 12, "1-12 or jan-dec"},
    {"day of week", 0, 7, weekday_names, 7, "0-7 or sun-sat (0 and 7 are Sunday)"},
};

static const struct {
    const char *name;
    const char *expression;
} macros[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

static bool has(uint64_t set, int value)
{
    return set >> value & 1;
}

/* ---- parsing ---- */

static int field_error(struct error *err, const struct field *f, const char *item, const char *why)
{
    return error_set(err, ERROR_INPUT, false, "cron expression: %s '%.60s': %s", f->name, item, why);
}

/* A number or a name of this field at *p. */
static int parse_value(const struct field *f, const char *item, const char **p, int *ret, struct error *err)
{
    char why[120];
    size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    snprintf(why, sizeof why, "allowed is %s", f->allowed);
    if (n == 0 || n > 3)
        return field_error(err, f, item, why);
    if (strspn(*p, "0123456789") >= n) {
        int value = 0;
        for (size_t i = 0; i < n; i++)
            value = value * 10 + ((*p)[i] - '0');
        if (value < f->min || value > f->max)
            return field_error(err, f, item, why);
        *p += n;
        *ret = value;
        return 0;
    }
    for (int i = 0; i < f->n_names; i++) {
        if (n == 3 && strncasecmp(*p, f->names[i], 3) == 0) {
            *p += n;
            *ret = f->min + i;
            return 0;
        }
    }
    return field_error(err, f, item, why);
}

/* "*", "5", "1-5", each of the ranges with "/step" behind */
static int parse_item(const struct field *f, const char *item, uint64_t *set, struct error *err)
{
    const char *p = item;
    int first = f->min, last = f->max, step = 1, rc;
    bool range = true;
    if (*p == '*') {
        p++;
        if (f == &fields[FIELD_WEEKDAY])
            last = 6; /* 7 would let steps count Sunday twice */
    } else {
        if ((rc = parse_value(f, item, &p, &first, err)))
            return rc;
        last = first;
        range = *p == '-';
        if (range) {
            p++;
            if ((rc = parse_value(f, item, &p, &last, err)))
                return rc;
            if (f == &fields[FIELD_WEEKDAY] && last == 0)
                last = 7; /* fri-sun */
            if (last < first)
                return field_error(err, f, item,
                                   "the range runs backwards; write two ranges, as in 22-23,0-2");
        }
    }
    if (*p == '/') {
        if (!range)
            return field_error(err, f, item, "a step needs '*' or a range before it, as in 10-59/15");
        size_t digits = strspn(++p, "0123456789");
        if (digits == 0 || digits > 3 || p[digits] != '\0')
            return field_error(err, f, item, "the step is not a whole number");
        step = 0;
        for (; *p; p++)
            step = step * 10 + (*p - '0');
        if (step == 0)
            return field_error(err, f, item, "a step of 0 never gets anywhere");
        if (step > f->max)
            return field_error(err, f, item, "the step is larger than the whole field");
    }
    if (*p != '\0')
        return field_error(err, f, item,
                           "allowed are *, numbers, names, lists (1,2), ranges (1-5) and steps (*/2)");
    for (int value = first; value <= last; value += step)
        *set |= UINT64_C(1) << value;
    return 0;
}

static int parse_field(const struct field *f, char *text, uint64_t *ret_set, struct error *err)
{
    uint64_t set = 0;
    char *rest = text;
    char *item;
    while ((item = strsep(&rest, ",")) != NULL) {
        if (*item == '\0')
            return field_error(err, f, item, "an item of the list is empty");
        int rc = parse_item(f, item, &set, err);
        if (rc)
            return rc;
    }
    *ret_set = set;
    return 0;
}

static bool ever_matches(const struct cron *c)
{
    if (c->either_day)
        return true;
    for (int month = 1; month <= 12; month++)
        for (int day = 1; has(c->months, month) && day <= civil_month_days(2000, month); day++)
            if (has(c->days, day))
                return true; /* and each date falls on every day of the week within 400 years */
    return false;
}

static const char *expand_macro(const char *text)
{
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (strcasecmp(text, macros[i].name) == 0)
            return macros[i].expression;
    return NULL;
}

/* Cuts text into its words; returns how many there are, counting those beyond max too. */
static int split(char *text, char **words, int max)
{
    int n = 0;
    char *save = NULL;
    for (char *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save), n++)
        if (n < max)
            words[n] = word;
    return n;
}

int cron_parse(const char *text, struct cron *ret_cron, struct error *err)
{
    char copy[TEXT_MAX];
    char *words[N_FIELDS];
    if (strlen(text) >= sizeof copy)
        return error_set(err, ERROR_INPUT, false, "cron expression is longer than %d characters",
                         TEXT_MAX - 1);
    strcpy(copy, text);
    int n = split(copy, words, N_FIELDS);
    if (n == 1 && words[0][0] == '@') {
        const char *expression = expand_macro(words[0]);
        if (expression == NULL)
            return error_set(err, ERROR_INPUT, false,
                             "cron expression '%.60s' is not known; use @yearly, @monthly, @weekly, @daily, "
                             "@hourly or five fields",
                             words[0]);
        strcpy(copy, expression);
        n = split(copy, words, N_FIELDS);
    }
    if (n != N_FIELDS)
        return error_set(err, ERROR_INPUT, false,
                         "cron expression '%.100s' has %d field%s; needed are 5: minute, hour, day of month, "
                         "month, day of week (or @daily and the like)",
                         text, n, n == 1 ? "" : "s");

    bool star[N_FIELDS];
    uint64_t sets[N_FIELDS];
    for (int i = 0; i < N_FIELDS; i++) {
        star[i] = words[i][0] == '*';
        int rc = parse_field(&fields[i], words[i], &sets[i], err);
        if (rc)
            return rc;
    }
    if (has(sets[FIELD_WEEKDAY], 7))
        sets[FIELD_WEEKDAY] |= 1;
    struct cron cron = {
        .minutes = sets[FIELD_MINUTE],
        .hours = sets[FIELD_HOUR],
        .days = sets[FIELD_DAY],
        .months = sets[FIELD_MONTH],
        .weekdays = sets[FIELD_WEEKDAY] & 0x7f,
        .either_day = !star[FIELD_DAY] && !star[FIELD_WEEKDAY],
        .wildcard = star[FIELD_MINUTE] || star[FIELD_HOUR],
    };
    if (!ever_matches(&cron))
        return error_set(err, ERROR_INPUT, false,
                         "cron expression '%.100s' never matches: no month it names has that day", text);
    *ret_cron = cron;
    return 0;
}

/* ---- next ---- */

static bool day_matches(const struct cron *c, const struct civil *at)
{
    bool day = has(c->days, at->day), weekday = has(c->weekdays, at->weekday);
    return c->either_day ? day || weekday : day && weekday;
}

/* The first matching local minute >= local. Ends: ever_matches was true. */
static int64_t next_local(const struct cron *c, int64_t local)
{
    int64_t rest = ((local % MINUTE) + MINUTE) % MINUTE;
    struct civil at = civil_from_seconds(rest ? local + MINUTE - rest : local);
    for (;;) {
        if (!has(c->months, at.month)) {
            at = (struct civil){.year = at.year + (at.month == 12), .month = at.month % 12 + 1, .day = 1};
            at = civil_from_seconds(civil_to_seconds(&at));
            continue;
        }
        for (int hour = at.hour; day_matches(c, &at) && hour < 24; hour++) {
            if (!has(c->hours, hour))
                continue;
            for (int minute = hour == at.hour ? at.minute : 0; minute < 60; minute++) {
                if (!has(c->minutes, minute))
                    continue;
                at.hour = hour;
                at.minute = minute;
                return civil_to_seconds(&at);
            }
        }
        at.hour = at.minute = 0;
        at = civil_from_seconds(civil_to_seconds(&at) + 86400);
    }
}

static int64_t next_real_time(const struct cron *c, const struct time_zone *zone, int64_t after)
{
    int64_t from = after + 1;
    for (;;) {
        struct timezone_span span = timezone_span(zone, from);
        int64_t utc = next_local(c, from + span.offset) - span.offset;
        if (utc < span.end)
            return utc;
        from = span.end;
    }
}

/* A repeated local time counts on its first pass, a skipped one at the gap's end; both keep the order of
 * local times. */
static int64_t next_fixed_time(const struct cron *c, const struct time_zone *zone, int64_t after)
{
    int64_t local = timezone_local(zone, after);
    for (;;) {
        local = next_local(c, local + 1);
        int64_t utc = timezone_utc(zone, local).first;
        if (utc > after)
            return utc;
    }
}

int64_t cron_next(const struct cron *cron, const struct time_zone *zone, int64_t after)
{
    return cron->wildcard ? next_real_time(cron, zone, after) : next_fixed_time(cron, zone, after);
}

/*
 * A zone is a sorted table of transitions and, for what comes after the last one, a rule: standard offset and
 * perhaps daylight saving time with the two days of the year on which it begins and ends. Everything else
 * here is asked through timezone_span.
 */
#include "base/timezone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/civil.h"
#include "base/regular_file.h"

#define ZONEINFO "/usr/share/zoneinfo"

enum {
    FILE_MAX = 64 * 1024, /* the largest real one has 4 KiB */
    NAME_MAX_LENGTH = 128,
    HEADER_SIZE = 44,
    OFFSET_MAX = 26 * 3600, /* RFC 8536: -25:59:59 .. 26 h */
};

enum day_form { MONTH_WEEK_DAY, JULIAN_NO_LEAP, JULIAN_FROM_ZERO };

/* When in a year the clock is changed; POSIX TZ "date/time". */
struct change {
    enum day_form form;
    int month, week, day;
    int64_t seconds; /* after local midnight, may be negative or more than a day */
};

struct rule {
    bool dst;
    int64_t standard_offset;
    int64_t dst_offset;
    struct change start;
    struct change end;
};

struct transition {
    int64_t at;
    int64_t offset; /* from then on */
};

struct time_zone {
    char name[NAME_MAX_LENGTH + 1];
    int64_t first_offset; /* before the first transition */
    size_t n_transitions;
    struct transition *transitions;
    bool has_rule;
    struct rule rule;
};

/* ---- the POSIX rule ---- */

static bool parse_number(const char **p, int min, int max, int *ret)
{
    if (**p < '0' || **p > '9')
        return false;
    int value = 0;
    while (**p >= '0' && **p <= '9') {
        value = value * 10 + (*(*p)++ - '0');
        if (value > max)
            return false;
    }
    if (value < min)
        return false;
    *ret = value;
    return true;
}

static bool parse_abbreviation(const char **p)
{
    const char *start = *p;
    if (**p == '<') {
        const char *close = strchr(*p, '>');
        if (close == NULL)
            return false;
        *p = close + 1;
        return close - start >= 4;
    }
    while ((**p >= 'a' && **p <= 'z') || (**p >= 'A' && **p <= 'Z'))
        (*p)++;
    return *p - start >= 3;
}

/* [+-]hh[:mm[:ss]] in seconds */
static bool parse_time(const char **p, int max_hours, int64_t *ret)
{
    int hours, minutes = 0, seconds = 0;
    bool negative = **p == '-';
    if (**p == '-' || **p == '+')
        (*p)++;
    if (!parse_number(p, 0, max_hours, &hours))
        return false;
    if (**p == ':') {
        (*p)++;
        if (!parse_number(p, 0, 59, &minutes))
            return false;
        if (**p == ':') {
            (*p)++;
            if (!parse_number(p, 0, 59, &seconds))
                return false;
        }
    }
    int64_t value = (int64_t)hours * 3600 + minutes * 60 + seconds;
    *ret = negative ? -value : value;
    return true;
}

static bool parse_change(const char **p, struct change *c)
{
    if (*(*p)++ != ',')
        return false;
    *c = (struct change){.seconds = 2 * 3600};
    if (**p == 'M') {
        c->form = MONTH_WEEK_DAY;
        (*p)++;
        if (!parse_number(p, 1, 12, &c->month) || *(*p)++ != '.' || !parse_number(p, 1, 5, &c->week) ||
            *(*p)++ != '.' || !parse_number(p, 0, 6, &c->day))
            return false;
    } else if (**p == 'J') {
        c->form = JULIAN_NO_LEAP;
        (*p)++;
        if (!parse_number(p, 1, 365, &c->day))
            return false;
    } else {
        c->form = JULIAN_FROM_ZERO;
        if (!parse_number(p, 0, 365, &c->day))
            return false;
    }
    if (**p == '/') {
        (*p)++;
        return parse_time(p, 167, &c->seconds);
    }
    return true;
}

static bool parse_rule(const char *text, struct rule *rule)
{
    const char *p = text;
    *rule = (struct rule){0};
    int64_t west;
    if (!parse_abbreviation(&p) || !parse_time(&p, 24, &west))
        return false;
    rule->standard_offset = -west;
    if (*p == '\0')
        return true;
    if (!parse_abbreviation(&p))
        return false;
    rule->dst = true;
    rule->dst_offset = rule->standard_offset + 3600;
    if (*p != ',') {
        if (!parse_time(&p, 24, &west))
            return false;
        rule->dst_offset = -west;
    }
    return parse_change(&p, &rule->start) && parse_change(&p, &rule->end) && *p == '\0';
}

static int64_t change_local(const struct change *c, int64_t year)
{
    int64_t day = civil_days(year, 1, 1);
    switch (c->form) {
    case JULIAN_NO_LEAP:
        day += c->day - 1 + (c->day >= 60 && civil_month_days(year, 2) == 29);
        break;
    case JULIAN_FROM_ZERO:
        day += c->day;
        break;
    case MONTH_WEEK_DAY: {
        int64_t first = civil_days(year, c->month, 1);
        int weekday = civil_from_seconds(first * 86400).weekday;
        int in_month = 1 + (c->day - weekday + 7) % 7 + (c->week - 1) * 7;
        if (in_month > civil_month_days(year, c->month))
            in_month -= 7;
        day = first + in_month - 1;
        break;
    }
    }
    return day * 86400 + c->seconds;
}

static struct timezone_span rule_span(const struct rule *rule, int64_t utc)
{
    struct timezone_span span = {INT64_MIN, INT64_MAX, rule->standard_offset};
    if (!rule->dst)
        return span;
    /* The changes of three years, in order: a rule may place them days away from their date. */
    struct transition changes[6];
    int64_t year = civil_from_seconds(utc + rule->standard_offset).year;
    int n = 0;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        struct transition start = {change_local(&rule->start, y) - rule->standard_offset, rule->dst_offset};
        struct transition end = {change_local(&rule->end, y) - rule->dst_offset, rule->standard_offset};
        bool start_first = start.at <= end.at;
        changes[n++] = start_first ? start : end;
        changes[n++] = start_first ? end : start;
    }
    for (int i = 0; i < n; i++) {
        if (changes[i].at > utc) {
            span.end = changes[i].at;
            break;
        }
        span.start = changes[i].at;
        span.offset = changes[i].offset;
    }
    return span;
}

/* ---- the file ---- */

static int64_t read_be(const unsigned char *p, int n)
{
    uint64_t value = (p[0] & 0x80) ? UINT64_MAX : 0;
    for (int i = 0; i < n; i++)
        value = value << 8 | p[i];
    return (int64_t)value;
}

struct header {
    uint64_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static bool read_header(const unsigned char *p, size_t n, struct header *h)
{
    if (n < HEADER_SIZE || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
        return false;
    uint64_t *fields[] = {&h->isutcnt, &h->isstdcnt, &h->leapcnt, &h->timecnt, &h->typecnt, &h->charcnt};
    for (int i = 0; i < 6; i++) {
        *fields[i] = (uint64_t)read_be(p + 20 + 4 * i, 4);
        if (*fields[i] > FILE_MAX)
            return false;
    }
    return true;
}

static uint64_t body_size(const struct header *h, uint64_t time_size)
{
    return h->timecnt * time_size + h->timecnt + h->typecnt * 6 + h->charcnt + h->leapcnt * (time_size + 4) +
           h->isstdcnt + h->isutcnt;
}

static bool read_transitions(const unsigned char *body, const struct header *h, struct time_zone *zone)
{
    const unsigned char *indices = body + h->timecnt * 8;
    const unsigned char *types = indices + h->timecnt;
    zone->first_offset = read_be(types, 4);
    zone->transitions = calloc(h->timecnt + 1, sizeof *zone->transitions);
    if (zone->transitions == NULL)
        return false;
    for (size_t i = 0; i < h->timecnt; i++) {
        if (indices[i] >= h->typecnt)
            return false;
        struct transition t = {read_be(body + 8 * i, 8), read_be(types + 6 * indices[i], 4)};
        if (t.offset < -OFFSET_MAX || t.offset > OFFSET_MAX)
            return false;
        if (i > 0 && t.at <= zone->transitions[i - 1].at)
            return false;
        zone->transitions[zone->n_transitions++] = t;
    }
    return zone->first_offset >= -OFFSET_MAX && zone->first_offset <= OFFSET_MAX;
}

static bool read_footer(const unsigned char *p, size_t n, struct time_zone *zone)
{
    const unsigned char *end;
    char text[128];
    if (n < 2 || p[0] != '\n' || (end = memchr(p + 1, '\n', n - 1)) == NULL)
        return false;
    size_t length = (size_t)(end - p - 1);
    if (length == 0)
        return true; /* no rule: the last offset stays */
    if (length >= sizeof text || memchr(p + 1, '\0', length))
        return false;
    memcpy(text, p + 1, length);
    text[length] = '\0';
    zone->has_rule = true;
    return parse_rule(text, &zone->rule);
}

/* Version 1's 32-bit block comes first and is passed over. */
static bool read_file(const unsigned char *p, size_t n, struct time_zone *zone)
{
    struct header h;
    if (!read_header(p, n, &h) || body_size(&h, 4) > n - HEADER_SIZE)
        return false;
    uint64_t skip = HEADER_SIZE + body_size(&h, 4);
    p += skip;
    n -= skip;
    if (!read_header(p, n, &h) || body_size(&h, 8) > n - HEADER_SIZE || h.typecnt == 0 || h.leapcnt > 0)
        return false;
    skip = HEADER_SIZE + body_size(&h, 8);
    return read_transitions(p + HEADER_SIZE, &h, zone) && read_footer(p + skip, n - skip, zone);
}

int timezone_parse(const char *name, const void *data, size_t n, struct time_zone **ret_zone,
                   struct error *err)
{
    struct time_zone *zone = calloc(1, sizeof *zone);
    if (zone == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    snprintf(zone->name, sizeof zone->name, "%s", name);
    if (!read_file(data, n, zone)) {
        timezone_free(zone);
        return error_set(err, ERROR_INPUT, false,
                         "time zone '%s': its file is not a time zone table (TZif version 2 or later)", name);
    }
    *ret_zone = zone;
    return 0;
}

/* Letters, digits, and _ + - as the database's names have them; '/' between words only: nothing that could
 * leave the directory. */
static bool name_is_safe(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_LENGTH || name[0] == '/' || name[n - 1] == '/' || strstr(name, "//"))
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == n;
}

static int unknown_zone(const char *name, struct error *err)
{
    if (access(ZONEINFO, F_OK) != 0)
        return error_set(err, ERROR_INPUT, false,
                         "time zone '%.140s' can't be looked up: " ZONEINFO
                         " is missing; install the package "
                         "tzdata, or use UTC",
                         name);
    return error_set(
        err, ERROR_INPUT, false,
        "unknown time zone '%.140s'; use an IANA name such as Europe/Rome, America/New_York or UTC "
        "(timedatectl list-timezones prints them)",
        name);
}

static int read_zone_file(const char *name, unsigned char *data, size_t *ret_n, struct error *err)
{
    char path[sizeof ZONEINFO + NAME_MAX_LENGTH + 2];
    snprintf(path, sizeof path, ZONEINFO "/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)
            return unknown_zone(name, err);
        return error_errno(err, errno, "time zone '%s': can't open %s", name, path);
    }
    int rc = 0;
    ssize_t n = 0;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = error_errno(err, errno, "time zone '%s': can't read %s", name, path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = unknown_zone(name, err); /* "Europe" is a directory */
    } else {
        n = regular_file_read(fd, data, FILE_MAX);
        if (n < 0)
            rc = error_errno(err, errno, "time zone '%s': can't read %s", name, path);
    }
    close(fd);
    if (rc == 0)
        *ret_n = (size_t)n;
    return rc;
}

static int load_utc(struct time_zone **ret_zone, struct error *err)
{
    struct time_zone *zone = calloc(1, sizeof *zone);
    if (zone == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    strcpy(zone->name, "UTC");
    *ret_zone = zone;
    return 0;
}

int timezone_load(const char *name, struct time_zone **ret_zone, struct error *err)
{
    if (strcmp(name, "UTC") == 0)
        return load_utc(ret_zone, err);
    if (!name_is_safe(name))
        return unknown_zone(name, err);
    unsigned char *data = malloc(FILE_MAX);
    if (data == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    size_t n;
    int rc = read_zone_file(name, data, &n, err);
    if (rc == 0)
        rc = timezone_parse(name, data, n, ret_zone, err);
    free(data);
    return rc;
}

void timezone_free(struct time_zone *zone)
{
    if (zone == NULL)
        return;
    free(zone->transitions);
    free(zone);
}

const char *timezone_name(const struct time_zone *zone)
{
    return zone->name;
}

/* ---- conversions ---- */

struct timezone_span timezone_span(const struct time_zone *zone, int64_t utc)
{
    size_t low = 0, high = zone->n_transitions; /* transitions[low - 1].at <= utc < transitions[low].at */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->transitions[middle].at <= utc)
            low = middle + 1;
        else
            high = middle;
    }
    struct timezone_span span = {
        .start = low > 0 ? zone->transitions[low - 1].at : INT64_MIN,
        .end = low < zone->n_transitions ? zone->transitions[low].at : INT64_MAX,
        .offset = low > 0 ? zone->transitions[low - 1].offset : zone->first_offset,
    };
    if (low < zone->n_transitions || !zone->has_rule)
        return span;
    struct timezone_span by_rule = rule_span(&zone->rule, utc);
    if (by_rule.start > span.start)
        span.start = by_rule.start;
    span.end = by_rule.end;
    span.offset = by_rule.offset;
    return span;
}

int64_t timezone_local(const struct time_zone *zone, int64_t utc)
{
    return utc + timezone_span(zone, utc).offset;
}

/* Every span that could show this local time, in order: at most OFFSET_MAX away. */
struct timezone_instant timezone_utc(const struct time_zone *zone, int64_t local)
{
    struct timezone_instant found = {TIMEZONE_SKIPPED, 0, 0};
    bool past = false;
    int64_t at = local - OFFSET_MAX;
    for (;;) {
        struct timezone_span span = timezone_span(zone, at);
        int64_t utc = local - span.offset;
        if (utc >= span.start && utc < span.end) {
            if (found.kind == TIMEZONE_SKIPPED)
                found = (struct timezone_instant){TIMEZONE_ONCE, utc, utc};
            else
                found = (struct timezone_instant){TIMEZONE_REPEATED, found.first, utc};
        } else if (found.kind == TIMEZONE_SKIPPED && !past && utc < span.start) {
            /* the first span that begins after it: right after the gap */
            past = true;
            found.first = found.last = span.start;
        }
        if (span.end > local + OFFSET_MAX)
            return found;
        at = span.end;
    }
}

#include "base/timestamp.h"

#include <stdbool.h>
#include <string.h>

#include "base/civil.h"

/* Exactly count digits; -1 for anything else. */
static int digits(const char **at, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++, ++*at) {
        if (**at < '0' || **at > '9')
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool is_in(int value, int low, int high)
{
    return value >= low && value <= high;
}

/* One of the separators, which is passed. */
static bool passes(const char **at, const char *separators)
{
    if (**at == '\0' || strchr(separators, **at) == NULL)
        return false;
    ++*at;
    return true;
}

static int read_fraction_ms(const char **at)
{
    int ms = 0;
    if (**at != '.')
        return 0;
    ++*at;
    for (int scale = 100; **at >= '0' && **at <= '9'; ++*at, scale /= 10)
        ms += (**at - '0') * scale;
    return ms;
}

/* "Z", "+01:00", "-0330"; false for anything else. */
static bool read_offset_s(const char **at, int *ret_s)
{
    *ret_s = 0;
    if (passes(at, "Zz"))
        return true;
    int sign = **at == '-' ? -1 : 1;
    if (!passes(at, "+-"))
        return false;
    int hours = digits(at, 2);
    passes(at, ":");
    int minutes = hours < 0 ? -1 : digits(at, 2);
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return is_in(hours, 0, 23) && is_in(minutes, 0, 59);
}

int64_t timestamp_parse(const char *text)
{
    struct civil t = {0};
    int offset_s;
    t.year = digits(&text, 4);
    t.month = passes(&text, "-") ? digits(&text, 2) : -1;
    t.day = passes(&text, "-") ? digits(&text, 2) : -1;
    t.hour = passes(&text, "Tt ") ? digits(&text, 2) : -1;
    t.minute = passes(&text, ":") ? digits(&text, 2) : -1;
    t.second = passes(&text, ":") ? digits(&text, 2) : -1;
    if (t.year < 1970 || !is_in(t.month, 1, 12) || !is_in(t.day, 1, civil_month_days(t.year, t.month)) ||
        !is_in(t.hour, 0, 23) || !is_in(t.minute, 0, 59) || !is_in(t.second, 0, 60))
        return -1;
    int ms = read_fraction_ms(&text);
    if (!read_offset_s(&text, &offset_s) || *text != '\0')
        return -1;
    int64_t at_ms = (civil_to_seconds(&t) - offset_s) * 1000 + ms;
    return at_ms >= 0 ? at_ms : -1;
}

#include "base/civil.h"

#include <stdbool.h>

enum { DAY = 86400, ERA_DAYS = 146097 };

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Years begin in March here, so that a leap day is a year's last: eras of 400 years, all alike. */
int64_t civil_days(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * ERA_DAYS + day_of_era - 719468;
}

static void from_days(int64_t days, struct civil *civil)
{
    int64_t z = days + 719468;
    int64_t era = floor_div(z, ERA_DAYS);
    int64_t day_of_era = z - era * ERA_DAYS;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (ERA_DAYS - 1)) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;
    civil->day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    civil->month = (int)(m < 10 ? m + 3 : m - 9);
    civil->year = year_of_era + era * 400 + (civil->month <= 2);
    civil->weekday = (int)(((days + 4) % 7 + 7) % 7);
}

struct civil civil_from_seconds(int64_t seconds)
{
    int64_t days = floor_div(seconds, DAY);
    int rest = (int)(seconds - days * DAY);
    struct civil civil = {.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60};
    from_days(days, &civil);
    return civil;
}

int64_t civil_to_seconds(const struct civil *c)
{
    return civil_days(c->year, c->month, c->day) * DAY + c->hour * 3600 + c->minute * 60 + c->second;
}

int civil_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/*
 * Calendar arithmetic, proleptic Gregorian, no time zone: "civil seconds" count from 1970-01-01 00:00:00 as
 * a clock on the wall would, every day 86,400 of them. Seen as UTC they are Unix time.
 */
#pragma once

#include <stdint.h>

struct civil {
    int64_t year;
    int month; /* 1..12 */
    int day;   /* 1..31 */
    int hour;
    int minute;
    int second;
    int weekday; /* 0 = Sunday; ignored on the way back */
};

struct civil civil_from_seconds(int64_t seconds);
int64_t civil_to_seconds(const struct civil *civil);

/* Days since 1970-01-01. */
int64_t civil_days(int64_t year, int month, int day);
int civil_month_days(int64_t year, int month);

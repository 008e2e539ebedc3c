/* backupctl doctor: servers, settings, programs, directories and clocks, and what to do about each finding.
 */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include "output.h"

static const char *const levels[] = {"OK", "WARN", "FAIL"};

void doctor_find(struct doctor *d, enum doctor_level level, const char *check, const char *advice,
                 const char *format, ...)
{
    char message[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    d->counts[level]++;
    json_array_append_new(d->findings, json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "level",
                                                 levels[level], "message", message, "advice", advice));
    if (d->json)
        return;
    printf("%-4s  %s: %s\n", levels[level], check, message);
    if (advice)
        printf("      -> %s\n", advice);
    fflush(stdout);
}

static int run_doctor(struct cli *cli, const struct arguments *args, struct error *err)
{
    (void)err;
    struct doctor d = {.cli = cli, .json = args->json, .findings = json_array()};
    doctor_check_postgresql(&d);
    doctor_check_schema(&d);
    doctor_check_redis(&d);
    doctor_check_workers(&d);
    doctor_check_programs(&d);
    doctor_check_staging(&d);
    doctor_check_destinations(&d);
    doctor_check_sources(&d);
    if (args->json)
        output_json(d.findings);
    else
        printf("\n%d OK, %d WARN, %d FAIL\n", d.counts[DOCTOR_OK], d.counts[DOCTOR_WARN],
               d.counts[DOCTOR_FAIL]);
    json_decref(d.findings);
    return d.counts[DOCTOR_FAIL] > 0;
}

static const struct command commands[] = {
    {.operands = "",
     .summary = "Check servers, settings, programs, directories and clocks",
     .details = "Changes nothing. Run it on a worker's machine, as the worker's user and with its settings.\n"
                "Exit status 1 when anything fails.",
     .prints_data = true,
     .run = run_doctor},
    {0}};

const struct group group_doctor = {"doctor", "What is wrong, and what to do", commands};

/* Findings of backupctl doctor; the checks are in doctor_servers.c and doctor_places.c. */
#pragma once

#include <jansson.h>

#include "cli.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
    struct cli *cli;
    bool json;
    json_t *findings; /* objects of check, level, message, advice */
    int counts[3];

    bool has_postgresql; /* reachable, and the schema is there */
    bool has_redis;
    int server_major;
    int pg_dump_major; /* 0 = not found */
};

/* advice NULL: nothing to do. Prints at once unless --json. */
void doctor_find(struct doctor *d, enum doctor_level level, const char *check, const char *advice,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_check_postgresql(struct doctor *d);
void doctor_check_schema(struct doctor *d);
void doctor_check_redis(struct doctor *d);
void doctor_check_workers(struct doctor *d);

void doctor_check_programs(struct doctor *d);
void doctor_check_staging(struct doctor *d);
void doctor_check_destinations(struct doctor *d);
void doctor_check_sources(struct doctor *d);

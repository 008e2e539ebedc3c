/*
 * backupctl destination test: what a worker would meet, tried with a probe of a few bytes through the driver.
 * Steps: settings, disk, write, read, compare, delete. The first failure ends the test; the probe is deleted
 * in every case.
 */
#include "destination_test.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"
#include "catalog_commands.h"
#include "copies.h"
#include "destination_place.h"

/* printf 'backupmanager probe\n' | sha256sum */
static const char probe[] = "backupmanager probe\n";
static const char probe_sha256[] = "3d5fcd861e143549557fe83808ccb5d8214e8a877bb6905dfff6a53566ec6cd7";

struct test {
    struct cli *cli;
    const struct arguments *args;
    json_t *steps;
    const struct storage_driver *driver; /* NULL: the settings couldn't be read */
    bool disk;
    bool failed;
};

enum step { SETTINGS, PLACE, WRITE, SEE, READ, DELETE };

/* What must be allowed for a step at an object store, by the driver's name. */
enum cloud { S3, AZURE, GCS, CLOUDS };
static const char *const drivers[CLOUDS] = {"s3", "azure", "gcs"};
static const struct {
    const char *name;
    const char *permission[CLOUDS];
} steps[] = {
    [SETTINGS] = {"settings", {NULL}},
    [PLACE] = {"the place is there",
               {"s3:ListBucket", "Storage Blob Data Contributor, or r of a SAS", "storage.objects.get"}},
    [WRITE] = {"write a probe",
               {"s3:PutObject and s3:AbortMultipartUpload",
                "Storage Blob Data Contributor, or c and w of a SAS", "storage.objects.create"}},
    [SEE] = {"see it and its size",
             {"s3:GetObject", "Storage Blob Data Contributor, or r of a SAS", "storage.objects.get"}},
    [READ] = {"read it back and compare",
              {"s3:GetObject", "Storage Blob Data Contributor, or r of a SAS", "storage.objects.get"}},
    [DELETE] = {"delete it",
                {"s3:DeleteObject", "Storage Blob Data Contributor, or d of a SAS",
                 "storage.objects.delete"}},
};

static const char *disk_advice(int code)
{
    switch (code) {
    case ERROR_UNREACHABLE:
    case ERROR_NOT_FOUND:
        return "mount the disk or make the directory; a disk replaced on purpose: backupctl destination update "
               "NAME --accept-disk";
    case ERROR_DENIED:
        return "give the worker's user the right to write there, or mount it read-write";
    case ERROR_NO_SPACE:
        return "free some space there";
    case ERROR_CONFLICT:
        return "see what stands at that name";
    case ERROR_INPUT:
    case ERROR_UNSAFE_PATH:
    case ERROR_UNSUPPORTED:
        return "correct it with backupctl destination update NAME";
    default:
        return "see the message";
    }
}

static const char *permission_for(enum step step, const struct storage_driver *driver)
{
    for (int i = 0; driver && i < CLOUDS; i++)
        if (strcmp(driver->name, drivers[i]) == 0 && steps[step].permission[i])
            return steps[step].permission[i];
    return "a secret that can be read";
}

static void store_advice(enum step step, int code, const struct storage_driver *driver, char *out,
                         size_t size)
{
    switch (code) {
    case ERROR_UNREACHABLE:
    case ERROR_TIMEOUT:
        snprintf(out, size,
                 "check endpoint and region, the name's DNS, firewalls, and proxies in the environment");
        return;
    case ERROR_DENIED:
        snprintf(
            out, size,
            "check the credentials (credentials_ref) and their rights: this step needs %s; for TLS, ca_file",
            permission_for(step, driver));
        return;
    case ERROR_NOT_FOUND:
        snprintf(
            out, size,
            "make the bucket (container) or correct its name; a secret: see that it is where it is said to be");
        return;
    case ERROR_NO_SPACE:
        snprintf(out, size, "free space there or raise the quota");
        return;
    default:
        snprintf(out, size, "%s", disk_advice(code));
    }
}

static bool take_step(struct test *t, enum step step, const struct error *err)
{
    bool ok = err->code == 0;
    char advice[256] = "";
    if (!ok && t->disk)
        snprintf(advice, sizeof advice, "%s", disk_advice(err->code));
    else if (!ok)
        store_advice(step, err->code, t->driver, advice, sizeof advice);
    t->failed |= !ok;
    json_array_append_new(t->steps,
                          json_pack("{s:s, s:b, s:s?, s:s?}", "step", steps[step].name, "ok", (int)ok,
                                    "error", ok ? NULL : err->message, "advice", ok ? NULL : advice));
    if (!t->args->json) {
        printf("%-4s  %s%s%s\n", ok ? "OK" : "FAIL", steps[step].name, ok ? "" : ": ",
               ok ? "" : err->message);
        if (!ok)
            printf("      %s\n", advice);
    }
    return ok;
}

static bool write_probe(struct test *t, const struct storage_place *place, const char *key)
{
    struct error err = {0};
    int fd = memfd_create("probe", MFD_CLOEXEC);
    if (fd < 0 || write(fd, probe, sizeof probe - 1) != sizeof probe - 1)
        error_set(&err, ERROR_SYSTEM, true, "cannot make a probe in memory");
    else
        copies_put(t->cli, place, key, fd, sizeof probe - 1, probe_sha256, &err);
    if (fd >= 0)
        close(fd);
    return take_step(t, WRITE, &err);
}

static bool read_probe(struct test *t, const struct storage_place *place, const char *key)
{
    struct error err = {0};
    uint64_t size = 0;
    char sha256[STORAGE_SHA256_SIZE] = "";
    int fd = memfd_create("probe", MFD_CLOEXEC);
    if (fd < 0)
        error_set(&err, ERROR_SYSTEM, true, "cannot make a file in memory");
    else if (copies_get(t->cli, place, key, fd, false, &size, sha256, &err) == 0 &&
             (size != sizeof probe - 1 || strcmp(sha256, probe_sha256) != 0))
        error_set(&err, ERROR_CORRUPT, false, "what was read back is not what was written (%llu bytes)",
                  (unsigned long long)size);
    if (fd >= 0)
        close(fd);
    return take_step(t, READ, &err);
}

static void run_steps(struct test *t, const struct storage_place *place)
{
    char key[1100];
    char name[64];
    char random[17];
    random_hex(random, 8);
    snprintf(name, sizeof name, "backupmanager-probe-%s", random);
    destination_place_key(place, name, key, sizeof key); /* a prefix has at most 900 bytes */

    struct error err = {0};
    struct storage_stat_result stat;
    place->driver->check(&place->location, key, &err);
    if (!take_step(t, SETTINGS, &err))
        return;
    copies_stat(t->cli, place, key, &stat, &err);
    if (!take_step(t, PLACE, &err))
        return;
    if (!write_probe(t, place, key))
        return;
    if (copies_stat(t->cli, place, key, &stat, &err) == 0 && (!stat.exists || stat.size != sizeof probe - 1))
        error_set(&err, ERROR_CORRUPT, false, "the probe is not seen, or has another size");
    if (take_step(t, SEE, &err))
        read_probe(t, place, key);
    err = (struct error){0};
    bool existed = false;
    if (copies_delete(t->cli, place, key, &existed, &err) == 0 && !existed)
        error_set(&err, ERROR_NOT_FOUND, false, "the probe was gone before it could be deleted");
    take_step(t, DELETE, &err);
}

/* A probe under retention would stand there for as long as copies do, and one in Azure's archive couldn't be
 * read back. The settings have been checked. */
static void unlock_probe(const struct test *t, struct storage_place *place)
{
    static const char *const members[] = {
        "object_lock_mode",  "object_lock_days", "object_lock_legal_hold",                     /* s3 */
        "immutability_days", "legal_hold",       "immutability_mode",                          /* azure */
        "retention_mode",    "retention_days",   "temporary_hold",         "event_based_hold", /* gcs */
    };
    const char *tier = json_string_value(json_object_get(place->config, "tier"));
    bool locked = false;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        locked |= json_object_del(place->config, members[i]) == 0;
    if (locked && !t->args->json)
        puts("      the probe is written without the Object Lock, holds and policies that copies get");
    if (tier == NULL || strcmp(tier, "Archive") != 0)
        return;
    json_object_del(place->config, "tier");
    if (!t->args->json)
        puts("      the probe is written to the default tier: what is in the Archive can't be read back");
}

int run_destination_test(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *row;
    struct destination_place destination;
    int rc = catalog_find(cli, CATALOG_DESTINATION, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    struct test t = {.cli = cli, .args = args, .steps = json_array()};
    if (destination_place_open(cli, catalog_row_id(row), &destination, err) == 0) {
        t.driver = destination.place.driver;
        t.disk = t.driver->capabilities & STORAGE_CAP_LOCAL_PATH;
        unlock_probe(&t, &destination.place);
        run_steps(&t, &destination.place);
        destination_place_close(&destination);
    } else
        take_step(&t, SETTINGS, err);
    if (args->json)
        output_json(t.steps);
    json_decref(t.steps);
    json_decref(row);
    return t.failed;
}

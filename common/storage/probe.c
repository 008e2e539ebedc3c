/*
 *   SETTINGS -> PLACE -> WRITE -> SEE -> READ -> DELETE -> done
 *
 * A failure before WRITE has ended well goes to done; later ones go to DELETE, and from there to done.
 */
#include "storage/probe.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"

/* printf 'backupmanager probe\n' | sha256sum */
static const char bytes[] = "backupmanager probe\n";
static const char sum[] = "3d5fcd861e143549557fe83808ccb5d8214e8a877bb6905dfff6a53566ec6cd7";

/* What must be allowed for a step at an object store, by the driver's name. */
enum cloud { S3, AZURE, GCS, CLOUDS };
static const char *const clouds[CLOUDS] = {"s3", "azure", "gcs"};
static const struct {
    const char *name;
    const char *permission[CLOUDS];
} steps[PROBE_STEPS] = {
    [PROBE_SETTINGS] = {"settings", {NULL}},
    [PROBE_PLACE] = {"the place is there",
                     {"s3:ListBucket", "Storage Blob Data Contributor, or r of a SAS",
                      "storage.objects.get"}},
    [PROBE_WRITE] = {"write a probe",
                     {"s3:PutObject and s3:AbortMultipartUpload",
                      "Storage Blob Data Contributor, or c and w of a SAS", "storage.objects.create"}},
    [PROBE_SEE] = {"see it and its size",
                   {"s3:GetObject", "Storage Blob Data Contributor, or r of a SAS", "storage.objects.get"}},
    [PROBE_READ] = {"read it back and compare",
                    {"s3:GetObject", "Storage Blob Data Contributor, or r of a SAS", "storage.objects.get"}},
    [PROBE_DELETE] = {"delete it",
                      {"s3:DeleteObject", "Storage Blob Data Contributor, or d of a SAS",
                       "storage.objects.delete"}},
};

const char *probe_step_name(enum probe_step step)
{
    return steps[step].name;
}

/* --- advice --- */

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

static const char *permission_for(enum probe_step step, const struct storage_driver *driver)
{
    for (int i = 0; driver && i < CLOUDS; i++)
        if (strcmp(driver->name, clouds[i]) == 0 && steps[step].permission[i])
            return steps[step].permission[i];
    return "a secret that can be read";
}

static void store_advice(enum probe_step step, int code, const struct storage_driver *driver,
                         char out[PROBE_ADVICE_SIZE])
{
    const char *text = NULL;
    switch (code) {
    case ERROR_UNREACHABLE:
    case ERROR_TIMEOUT:
        text = "check endpoint and region, the name's DNS, firewalls, and proxies in the environment";
        break;
    case ERROR_DENIED:
        snprintf(
            out, PROBE_ADVICE_SIZE,
            "check the credentials (credentials_ref) and their rights: this step needs %s; for TLS, ca_file",
            permission_for(step, driver));
        return;
    case ERROR_NOT_FOUND:
        text =
            "make the bucket (container) or correct its name; a secret: see that it is where it is said to be";
        break;
    case ERROR_NO_SPACE:
        text = "free space there or raise the quota";
        break;
    default:
        text = disk_advice(code);
    }
    snprintf(out, PROBE_ADVICE_SIZE, "%s", text);
}

void probe_advice(enum probe_step step, const struct error *err, const struct storage_driver *driver,
                  char ret_advice[PROBE_ADVICE_SIZE])
{
    if (driver && (driver->capabilities & STORAGE_CAP_LOCAL_PATH))
        snprintf(ret_advice, PROBE_ADVICE_SIZE, "%s", disk_advice(err->code));
    else
        store_advice(step, err->code, driver, ret_advice);
}

void probe_unlock(struct storage_place *place, const char *ret_notes[2])
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
    ret_notes[0] =
        locked ? "the probe is written without the Object Lock, holds and policies that copies get" : NULL;
    ret_notes[1] = NULL;
    if (tier == NULL || strcmp(tier, "Archive") != 0)
        return;
    json_object_del(place->config, "tier");
    ret_notes[1] = "the probe is written to the default tier: what is in the Archive can't be read back";
}

/* --- the steps --- */

static void next(struct probe *probe);

static void end_step(struct probe *probe, const struct error *err)
{
    probe->op = NULL;
    if (err && err->code == 0)
        err = NULL;
    probe->failed |= err != NULL;
    probe->on_step(probe, probe->step, err);
    if (err && probe->step != PROBE_DELETE)
        probe->step = probe->written ? PROBE_DELETE : PROBE_STEPS;
    else
        probe->step++;
    next(probe);
}

static void on_put(struct storage_put *put, const struct storage_put_result *result, const struct error *err)
{
    struct probe *probe = put->data;
    probe->written = result != NULL;
    end_step(probe, err);
}

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct probe *probe = stat->data;
    struct error found = {0};
    if (err == NULL && probe->step == PROBE_SEE && (!result->exists || result->size != sizeof bytes - 1))
        error_set(&found, ERROR_CORRUPT, false, "the probe is not seen, or has another size");
    end_step(probe, err ? err : &found);
}

static void on_get(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct error found = {0};
    if (err == NULL && (size != sizeof bytes - 1 || strcmp(sha256, sum) != 0))
        error_set(&found, ERROR_CORRUPT, false, "what was read back is not what was written (%llu bytes)",
                  (unsigned long long)size);
    end_step(get->data, err ? err : &found);
}

static void on_delete(struct storage_delete *del, bool existed, const struct error *err)
{
    struct error found = {0};
    if (err == NULL && !existed)
        error_set(&found, ERROR_NOT_FOUND, false, "the probe was gone before it could be deleted");
    end_step(del->data, err ? err : &found);
}

static int open_file(struct probe *probe, struct error *err)
{
    probe->fd = memfd_create("probe", MFD_CLOEXEC);
    if (probe->fd >= 0 && write(probe->fd, bytes, sizeof bytes - 1) == sizeof bytes - 1)
        return 0;
    return error_set(err, ERROR_SYSTEM, true, "cannot make a probe in memory");
}

static int start_step(struct probe *probe, struct error *err)
{
    const struct storage_driver *driver = probe->place->driver;
    const struct storage_location location = probe->place->location;
    switch (probe->step) {
    case PROBE_PLACE:
    case PROBE_SEE:
        probe->stat = (struct storage_stat){
            .loop = probe->loop, .location = location, .key = probe->key, .done = on_stat, .data = probe};
        return driver->stat_start(&probe->stat, &probe->op, err);
    case PROBE_WRITE:
        if (open_file(probe, err))
            return err->code;
        probe->put = (struct storage_put){.loop = probe->loop,
                                          .location = location,
                                          .key = probe->key,
                                          .source_fd = probe->fd,
                                          .size = sizeof bytes - 1,
                                          .sha256 = sum,
                                          .done = on_put,
                                          .data = probe};
        return driver->put_start(&probe->put, &probe->op, err);
    case PROBE_READ:
        probe->get = (struct storage_get){.loop = probe->loop,
                                          .location = location,
                                          .key = probe->key,
                                          .target_fd = -1,
                                          .done = on_get,
                                          .data = probe};
        return driver->get_start(&probe->get, &probe->op, err);
    case PROBE_DELETE:
        probe->del = (struct storage_delete){
            .loop = probe->loop, .location = location, .key = probe->key, .done = on_delete, .data = probe};
        return driver->delete_start(&probe->del, &probe->op, err);
    case PROBE_SETTINGS:
    case PROBE_STEPS:
        break;
    }
    return error_set(err, ERROR_SYSTEM, false, "there is no such step");
}

static void on_ended(uv_handle_t *handle)
{
    struct probe *probe = handle->data;
    if (probe->fd >= 0)
        close(probe->fd);
    probe->done(probe, !probe->failed);
}

static void next(struct probe *probe)
{
    struct error err = {0};
    if (probe->step == PROBE_STEPS) {
        uv_close((uv_handle_t *)&probe->begin, on_ended);
        return;
    }
    if (probe->cancelled && probe->step != PROBE_DELETE)
        error_set(&err, ERROR_CANCELLED, true, "the test was ended");
    if (err.code || start_step(probe, &err))
        end_step(probe, &err);
}

static void on_begin(uv_timer_t *timer)
{
    struct probe *probe = timer->data;
    char name[64], random[17];
    struct error err = {0};
    random_hex(random, 8);
    snprintf(name, sizeof name, "backupmanager-probe-%s", random);
    if (!storage_place_key(probe->place, name, probe->key, sizeof probe->key))
        error_set(&err, ERROR_INPUT, false, "prefix: too long");
    else
        probe->place->driver->check(&probe->place->location, probe->key, &err);
    end_step(probe, &err);
}

void probe_start(struct probe *probe)
{
    probe->step = PROBE_SETTINGS;
    probe->failed = probe->written = probe->cancelled = false;
    probe->fd = -1;
    probe->op = NULL;
    uv_timer_init(probe->loop, &probe->begin);
    probe->begin.data = probe;
    uv_timer_start(&probe->begin, on_begin, 0, 0);
}

void probe_cancel(struct probe *probe)
{
    probe->cancelled = true;
    if (probe->op && probe->step != PROBE_DELETE)
        storage_op_cancel(probe->op);
}

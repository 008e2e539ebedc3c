/* backupctl destination test: what a worker would meet (storage/probe.h), step by step. */
#include "destination_test.h"

#include <stdio.h>

#include "catalog_commands.h"
#include "destination_place.h"
#include "output.h"
#include "storage/probe.h"

struct test {
    const struct arguments *args;
    const struct storage_driver *driver; /* NULL: the settings couldn't be read */
    json_t *steps;
    bool failed;
    bool ended;
};

static void tell(struct test *t, enum probe_step step, const struct error *err)
{
    char advice[PROBE_ADVICE_SIZE] = "";
    if (err)
        probe_advice(step, err, t->driver, advice);
    json_array_append_new(t->steps, json_pack("{s:s, s:b, s:s?, s:s?}", "step", probe_step_name(step), "ok",
                                              err == NULL, "error", err ? err->message : NULL, "advice",
                                              err ? advice : NULL));
    if (t->args->json)
        return;
    printf("%-4s  %s%s%s\n", err ? "FAIL" : "OK", probe_step_name(step), err ? ": " : "",
           err ? err->message : "");
    if (err)
        printf("      %s\n", advice);
}

static void on_step(struct probe *probe, enum probe_step step, const struct error *err)
{
    tell(probe->data, step, err);
}

static void on_done(struct probe *probe, bool ok)
{
    struct test *t = probe->data;
    t->failed = !ok;
    t->ended = true;
    uv_stop(probe->loop);
}

static void try_place(struct cli *cli, struct test *t, struct storage_place *place)
{
    const char *notes[2];
    probe_unlock(place, notes);
    for (int i = 0; i < 2 && !t->args->json; i++)
        if (notes[i])
            printf("      %s\n", notes[i]);
    struct probe probe = {.loop = &cli->loop, .place = place, .on_step = on_step, .done = on_done, .data = t};
    probe_start(&probe);
    while (!t->ended)
        uv_run(&cli->loop, UV_RUN_ONCE);
}

int run_destination_test(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *row;
    struct destination_place destination;
    int rc = catalog_find(cli, CATALOG_DESTINATION, args->operands[0], 0, &row, err);
    if (rc)
        return rc;
    struct test t = {.args = args, .steps = json_array()};
    if (destination_place_open(cli, catalog_row_id(row), &destination, err) == 0) {
        t.driver = destination.place.driver;
        try_place(cli, &t, &destination.place);
        destination_place_close(&destination);
    } else {
        tell(&t, PROBE_SETTINGS, err);
        t.failed = true;
    }
    if (args->json)
        output_json(t.steps);
    json_decref(t.steps);
    json_decref(row);
    return t.failed;
}

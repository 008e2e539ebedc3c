#include "relay.h"

#include <stdio.h>

int cli_maintenance(struct cli *cli, unsigned flags, struct maintenance_report *ret, struct error *err)
{
    struct pg_client *pg = cli_pg(cli, err);
    struct redis_client *redis = pg ? cli_redis(cli, err) : NULL;
    if (redis == NULL)
        return err->code;
    struct maintenance_options options = {.database_url = cli->settings.database_url,
                                          .pg = pg,
                                          .redis = redis,
                                          .lease_seconds = cli->settings.lease_seconds,
                                          .reconcile_seconds = cli->settings.reconcile_seconds,
                                          .handover_seconds = cli->settings.handover_seconds};
    struct maintenance *maintenance;
    int rc = maintenance_new(&cli->loop, &options, &maintenance, err);
    if (rc)
        return rc;
    rc = maintenance_run_wait(maintenance, flags, ret, err);
    maintenance_close(maintenance, NULL, NULL);
    return rc;
}

void cli_relay(struct cli *cli)
{
    struct error err = {0};
    struct maintenance_report report;
    if (cli_maintenance(cli, MAINTENANCE_RELAY | MAINTENANCE_NO_LOCK, &report, &err))
        fprintf(stderr,
                "backupctl: recorded, but not yet queued: %s; a worker or the scheduler queues it as soon as "
                "it reaches Redis\n",
                err.message);
}

#include "keys.h"

#include <stdio.h>
#include <string.h>

#include "api.h"
#include "auth/access.h"
#include "base/log.h"

enum { AGAIN_MS = 60000 };

static void on_keys(void *data, const struct error *err)
{
    struct api *api = data;
    if (err == NULL)
        api->keys_complaint[0] = '\0';
    if (err == NULL || err->code == ERROR_CANCELLED || strcmp(api->keys_complaint, err->message) == 0)
        return;
    snprintf(api->keys_complaint, sizeof api->keys_complaint, "%s", err->message);
    log_warn("BM_ENCRYPTION_KEY_REF: %s; encrypted settings can't be read with it; trying again every minute",
             err->message);
}

static void load(uv_timer_t *timer)
{
    struct api *api = timer->data;
    struct error err = {0};
    if (api->access && access_load_keys(api->access, on_keys, api, &err))
        on_keys(api, &err);
}

void keys_start(struct api *api)
{
    uv_timer_init(api->loop, &api->keys_due);
    api->keys_due.data = api;
    uv_timer_start(&api->keys_due, load, AGAIN_MS, AGAIN_MS);
    uv_unref((uv_handle_t *)&api->keys_due);
    load(&api->keys_due);
}

void keys_stop(struct api *api)
{
    uv_close((uv_handle_t *)&api->keys_due, NULL);
}

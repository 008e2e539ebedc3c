/* One secrets_get after the other, in the order of the references. */
#include "auth/keyring_load.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"

struct load {
    struct secrets *secrets;
    struct keyring *keyring;
    struct keyring *keys; /* those that have come */
    const char *next;     /* the rest of the references */
    char reference[SECRET_REFERENCE_SIZE];
    uv_timer_t handle; /* never started: its close callback is how a load ends on the loop */
    struct error err;
    void (*done)(void *data, const struct error *err);
    void *data;
};

static void on_load_closed(uv_handle_t *handle)
{
    struct load *load = handle->data;
    void (*done)(void *data, const struct error *err) = load->done;
    void *data = load->data;
    struct error err = load->err;
    if (err.code == 0)
        keyring_move(load->keyring, load->keys);
    keyring_free(load->keys);
    free(load);
    done(data, err.code ? &err : NULL);
}

/* The next of the comma-separated references. False: there is none. */
static bool take_reference(struct load *load)
{
    load->next += strspn(load->next, ", ");
    size_t n = strcspn(load->next, ",");
    const char *begin = load->next;
    load->next += n;
    while (n > 0 && begin[n - 1] == ' ')
        n--;
    if (n >= sizeof load->reference)
        n = sizeof load->reference - 1; /* too long for a reference: refused as one */
    memcpy(load->reference, begin, n);
    load->reference[n] = '\0';
    return n > 0;
}

static void load_step(struct load *load);

static void on_key(void *data, const char *secret, const struct error *err)
{
    struct load *load = data;
    if (err)
        load->err = *err;
    else
        (void)keyring_add(load->keys, secret, load->reference, &load->err);
    load_step(load);
}

static void load_step(struct load *load)
{
    struct secrets_wait *wait;
    if (load->err.code == 0 && take_reference(load) &&
        secrets_get(load->secrets, load->reference, on_key, load, &wait, &load->err) == 0)
        return;
    uv_close((uv_handle_t *)&load->handle, on_load_closed);
}

int keyring_load(uv_loop_t *loop, struct secrets *secrets, const char *references, struct keyring *keyring,
                 void (*done)(void *data, const struct error *err), void *data, struct error *err)
{
    struct load *load = calloc(1, sizeof *load);
    struct keyring *keys = keyring_new();
    if (load == NULL || keys == NULL) {
        free(load);
        keyring_free(keys);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    *load = (struct load){
        .secrets = secrets, .keyring = keyring, .keys = keys, .next = references, .done = done, .data = data};
    uv_timer_init(loop, &load->handle);
    load->handle.data = load;
    load_step(load);
    return 0;
}

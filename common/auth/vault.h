/* HashiCorp Vault, KV version 2: secrets by mount and path. Logs in when first asked, keeps its token alive.
 */
#pragma once

#include <uv.h>

#include "auth/vault_settings.h"
#include "base/error.h"
#include "loop/http.h"

struct vault;
struct vault_fetch;

/* settings: taken over and zeroed, on an error too. http outlives it. Only requests under way keep the loop
 * alive. */
int vault_new(uv_loop_t *loop, struct http_client *http, struct vault_settings *settings, struct vault **ret,
              struct error *err);
/* Its fetches have been forgotten, or had their answer. on_closed (not NULL) runs from the loop, when the
 * memory is gone. */
void vault_close(struct vault *vault, void (*on_closed)(void *data), void *data);

/*
 * place: "mount/path", without anything that a URL's path would have to encode. done runs once, from the
 * loop, never before return, unless the fetch was forgotten: text is the secret's JSON object, valid during
 * the callback and overwritten afterwards; NULL with err on an error. Those of vault_call.h; a 403 is
 * answered by one new login. Returned directly: a token file that can't be read (as secret_read_file says),
 * ERROR_SYSTEM.
 */
int vault_get(struct vault *vault, const char *place,
              void (*done)(void *data, const char *text, const struct error *err), void *data,
              struct vault_fetch **ret, struct error *err);
void vault_forget(struct vault_fetch *fetch);

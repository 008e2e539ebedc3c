/*
 * The keys of what is encrypted at rest (BM_ENCRYPTION_KEY_REF), kept in api->access: read at the start and
 * once a minute from then on, so that rotated ones are seen. When they can't be read that is logged, once per
 * cause, and the keys of before stay.
 */
#pragma once

struct api;

/* From api_init's end to before the loop's last turn. Keeps the loop alive only while keys are being read. */
void keys_start(struct api *api);
void keys_stop(struct api *api);

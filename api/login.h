/* POST /api/login, POST /api/logout, GET /api/me, PATCH /api/me. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/settings.h"
#include "route.h"

void login_post(struct api *api, struct http_request *request);
void logout_post(struct api *api, struct http_request *request);
void me_get(struct api *api, struct http_request *request);
/* {current_password, new_password}: one's own, from a session */
void me_change(struct api *api, struct http_request *request);

/* Sets the session's cookie in the answer to come; false as http_set_header. */
bool login_set_cookie(struct api *api, struct http_request *request, const char *value, long max_age_s);

/* Who somebody is, as login and me answer it. user_id 0 and NULL become null. */
json_t *login_facts(int64_t user_id, const char *username, enum role role, const char *token_name,
                    const char *csrf_token);

/* False: too many tries for this name or address, and replied to with 429. Otherwise the try is counted. */
bool login_may_try(struct api *api, struct http_request *request, const char *username, const char *address);

/* BM_COOKIE_SECURE: "auto" (when a trusted proxy says that the client came by https), "always", "never".
 * ERROR_INPUT. */
int login_check_settings(const struct settings *settings, struct error *err);

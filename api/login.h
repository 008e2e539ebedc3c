/* POST /api/login, POST /api/logout, GET /api/me. */
#pragma once

#include "base/settings.h"
#include "route.h"

void login_post(struct api *api, struct http_request *request);
void logout_post(struct api *api, struct http_request *request);
void me_get(struct api *api, struct http_request *request);

/* BM_COOKIE_SECURE: "auto" (when a trusted proxy says that the client came by https), "always", "never".
 * ERROR_INPUT. */
int login_check_settings(const struct settings *settings, struct error *err);

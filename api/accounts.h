/* Users, tokens and the audit log: rows of the table in routes.c. */
#pragma once

#include "route.h"

/* admin */
void users_list(struct api *api, struct http_request *request);
void users_show(struct api *api, struct http_request *request);
void users_create(struct api *api, struct http_request *request);
void users_change(struct api *api, struct http_request *request);
void users_remove(struct api *api, struct http_request *request);

/* Admins see and end all, everybody else their own. */
void tokens_list(struct api *api, struct http_request *request);
void tokens_show(struct api *api, struct http_request *request);
void tokens_create(struct api *api, struct http_request *request);
void tokens_revoke(struct api *api, struct http_request *request);

void audit_list(struct api *api, struct http_request *request);

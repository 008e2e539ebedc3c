/* object_protocol's functions for a session, and what answers tell of the server. */
#pragma once

#include "storage/azure/azure.h"

int azure_session_init(struct object_session *session, const struct storage_location *location,
                       struct error *err);
int azure_session_take_secret(struct object_session *session, const char *secret, struct error *err);
void azure_session_deinit(struct object_session *session);

/* From any answer. */
void azure_session_learn(const struct azure_session *session, const struct http_response *response);

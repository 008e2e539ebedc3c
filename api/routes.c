/* Every path the server knows. */
#include "accounts.h"
#include "api.h"
#include "events.h"
#include "login.h"
#include "queues.h"
#include "route.h"

const struct route api_routes[] = {
    {HTTP_GET, "/healthz", ROLE_NONE, ROUTE_BODY_NONE, 0, health_live},
    {HTTP_GET, "/readyz", ROLE_NONE, ROUTE_BODY_NONE, 0, health_ready},
    {HTTP_GET, "/api/databases", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, databases_list},
    {HTTP_GET, "/api/databases/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, databases_show},
    {HTTP_GET, "/api/databases/{id}/details", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, details_get},

    {HTTP_POST, "/api/login", ROLE_NONE, ROUTE_BODY_JSON, 0, login_post},
    {HTTP_POST, "/api/logout", ROLE_VIEWER, ROUTE_BODY_NONE, 0, logout_post},
    {HTTP_GET, "/api/me", ROLE_VIEWER, ROUTE_BODY_NONE, 0, me_get},
    {HTTP_GET, "/api/users", ROLE_ADMIN, ROUTE_BODY_NONE, ROUTE_ETAG, users_list},
    {HTTP_POST, "/api/users", ROLE_ADMIN, ROUTE_BODY_JSON, 0, users_create},
    {HTTP_GET, "/api/users/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, ROUTE_ETAG, users_show},
    {HTTP_PATCH, "/api/users/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, users_change},
    {HTTP_DELETE, "/api/users/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, users_remove},
    {HTTP_GET, "/api/tokens", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, tokens_list},
    {HTTP_POST, "/api/tokens", ROLE_OPERATOR, ROUTE_BODY_JSON, 0, tokens_create},
    {HTTP_GET, "/api/tokens/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, tokens_show},
    {HTTP_DELETE, "/api/tokens/{id}", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, tokens_revoke},
    {HTTP_GET, "/api/groups", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, groups_list},
    {HTTP_POST, "/api/groups", ROLE_ADMIN, ROUTE_BODY_JSON, 0, groups_create},
    {HTTP_GET, "/api/groups/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, groups_show},
    {HTTP_PATCH, "/api/groups/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, groups_change},
    {HTTP_DELETE, "/api/groups/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, groups_remove},
    {HTTP_GET, "/api/queues", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, queues_list},
    {HTTP_GET, "/api/queues/{name}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, queues_show},
    {HTTP_GET, "/api/queues/{name}/jobs", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, queues_jobs},
    {HTTP_POST, "/api/queues/{name}/pause", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, queues_pause},
    {HTTP_POST, "/api/queues/{name}/resume", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, queues_resume},
    {HTTP_POST, "/api/queues/{name}/requeue-dead", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, queues_requeue_dead},
    {HTTP_GET, "/api/workers", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, workers_list},
    {HTTP_GET, "/api/events", ROLE_VIEWER, ROUTE_BODY_NONE, 0, events_get},
    {HTTP_GET, "/api/audit", ROLE_ADMIN, ROUTE_BODY_NONE, 0, audit_list},
};
const size_t api_n_routes = sizeof api_routes / sizeof *api_routes;

/* Every path the server knows. */
#include "accounts.h"
#include "api.h"
#include "backups.h"
#include "configuration.h"
#include "copies.h"
#include "docs.h"
#include "events.h"
#include "login.h"
#include "openapi.h"
#include "queues.h"
#include "route.h"

const struct route api_routes[] = {
    {HTTP_GET, "/healthz", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_AT_ONCE, health_live},
    {HTTP_GET, "/readyz", ROLE_NONE, ROUTE_BODY_NONE, 0, health_ready},
    {HTTP_GET, "/", ROLE_NONE, ROUTE_BODY_NONE, 0, docs_redirect},
    {HTTP_GET, "/docs", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, docs_page},
    {HTTP_GET, "/docs/{name}", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, docs_file},
    {HTTP_GET, "/openapi.json", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, openapi_get},
    {HTTP_GET, "/api/status", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, status_get},
    {HTTP_GET, "/api/databases", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, databases_list},
    {HTTP_POST, "/api/databases", ROLE_ADMIN, ROUTE_BODY_JSON, 0, databases_create},
    {HTTP_GET, "/api/databases/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, databases_show},
    {HTTP_PATCH, "/api/databases/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, databases_change},
    {HTTP_DELETE, "/api/databases/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, databases_remove},
    {HTTP_GET, "/api/databases/{id}/details", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, details_get},
    {HTTP_GET, "/api/backups", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, backups_list},
    {HTTP_POST, "/api/backups", ROLE_OPERATOR, ROUTE_BODY_JSON, 0, backup_run},
    {HTTP_GET, "/api/backups/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, backups_show},
    {HTTP_POST, "/api/backups/{id}/retry", ROLE_OPERATOR, ROUTE_BODY_OPTIONAL, 0, backup_retry},
    {HTTP_POST, "/api/backups/{id}/cancel", ROLE_OPERATOR, ROUTE_BODY_OPTIONAL, 0, backup_cancel},
    {HTTP_DELETE, "/api/backups/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, operation_delete},
    {HTTP_POST, "/api/backups/{id}/verify", ROLE_OPERATOR, ROUTE_BODY_OPTIONAL, 0, operation_verify},
    {HTTP_GET, "/api/backups/{id}/copies", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, copies_list},
    {HTTP_GET, "/api/backups/{id}/copies/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, copies_show},
    {HTTP_GET, "/api/backups/{id}/download", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, download_backup},
    {HTTP_GET, "/api/backups/{id}/copies/{id}/download", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, download_copy},
    {HTTP_GET, "/api/destinations", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, destinations_list},
    {HTTP_POST, "/api/destinations", ROLE_ADMIN, ROUTE_BODY_JSON, 0, destinations_create},
    {HTTP_GET, "/api/destinations/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, destinations_show},
    {HTTP_PATCH, "/api/destinations/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, destinations_change},
    {HTTP_DELETE, "/api/destinations/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, destinations_remove},
    {HTTP_POST, "/api/destinations/{id}/test", ROLE_OPERATOR, ROUTE_BODY_OPTIONAL, 0, operation_test},
    {HTTP_GET, "/api/assignments", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, assignments_list},
    {HTTP_POST, "/api/assignments", ROLE_ADMIN, ROUTE_BODY_JSON, 0, assignments_create},
    {HTTP_GET, "/api/assignments/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, assignments_show},
    {HTTP_PATCH, "/api/assignments/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, assignments_change},
    {HTTP_DELETE, "/api/assignments/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, assignments_remove},
    {HTTP_GET, "/api/schedules", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, schedules_list},
    {HTTP_POST, "/api/schedules", ROLE_ADMIN, ROUTE_BODY_JSON, 0, schedules_create},
    {HTTP_GET, "/api/schedules/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, schedules_show},
    {HTTP_PATCH, "/api/schedules/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, schedules_change},
    {HTTP_DELETE, "/api/schedules/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, schedules_remove},
    {HTTP_GET, "/api/schedules/{id}/preview", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, schedules_preview},
    {HTTP_POST, "/api/schedules/preview", ROLE_OPERATOR, ROUTE_BODY_JSON, 0, schedules_preview_unsaved},
    {HTTP_GET, "/api/groups", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, groups_list},
    {HTTP_POST, "/api/groups", ROLE_ADMIN, ROUTE_BODY_JSON, 0, groups_create},
    {HTTP_GET, "/api/groups/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, groups_show},
    {HTTP_PATCH, "/api/groups/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, groups_change},
    {HTTP_DELETE, "/api/groups/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, groups_remove},

    {HTTP_POST, "/api/login", ROLE_NONE, ROUTE_BODY_JSON, 0, login_post},
    {HTTP_POST, "/api/logout", ROLE_VIEWER, ROUTE_BODY_NONE, 0, logout_post},
    {HTTP_GET, "/api/me", ROLE_VIEWER, ROUTE_BODY_NONE, 0, me_get},
    {HTTP_PATCH, "/api/me", ROLE_VIEWER, ROUTE_BODY_JSON, 0, me_change},
    {HTTP_GET, "/api/users", ROLE_ADMIN, ROUTE_BODY_NONE, ROUTE_ETAG, users_list},
    {HTTP_POST, "/api/users", ROLE_ADMIN, ROUTE_BODY_JSON, 0, users_create},
    {HTTP_GET, "/api/users/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, ROUTE_ETAG, users_show},
    {HTTP_PATCH, "/api/users/{id}", ROLE_ADMIN, ROUTE_BODY_JSON, 0, users_change},
    {HTTP_DELETE, "/api/users/{id}", ROLE_ADMIN, ROUTE_BODY_NONE, 0, users_remove},
    {HTTP_GET, "/api/tokens", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, tokens_list},
    {HTTP_POST, "/api/tokens", ROLE_OPERATOR, ROUTE_BODY_JSON, 0, tokens_create},
    {HTTP_GET, "/api/tokens/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, tokens_show},
    {HTTP_DELETE, "/api/tokens/{id}", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, tokens_revoke},

    {HTTP_GET, "/api/queues", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, queues_list},
    {HTTP_GET, "/api/queues/{name}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, queues_show},
    {HTTP_GET, "/api/queues/{name}/jobs", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, queues_jobs},
    {HTTP_POST, "/api/queues/{name}/pause", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, queues_pause},
    {HTTP_POST, "/api/queues/{name}/resume", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, queues_resume},
    {HTTP_POST, "/api/queues/{name}/requeue-dead", ROLE_OPERATOR, ROUTE_BODY_NONE, 0, queues_requeue_dead},
    {HTTP_GET, "/api/workers", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, workers_list},
    {HTTP_GET, "/api/operations", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, operations_list},
    {HTTP_GET, "/api/operations/{id}", ROLE_VIEWER, ROUTE_BODY_NONE, ROUTE_ETAG, operations_show},
    {HTTP_GET, "/api/events", ROLE_VIEWER, ROUTE_BODY_NONE, 0, events_get},
    {HTTP_GET, "/api/audit", ROLE_ADMIN, ROUTE_BODY_NONE, 0, audit_list},
};
const size_t api_n_routes = sizeof api_routes / sizeof *api_routes;

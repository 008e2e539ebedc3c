/* Every path the server knows. */
#include "api.h"
#include "route.h"

const struct route api_routes[] = {
    {HTTP_GET, "/healthz", ROLE_NONE, ROUTE_BODY_NONE, 0, health_live},
    {HTTP_GET, "/readyz", ROLE_NONE, ROUTE_BODY_NONE, 0, health_ready},
    {HTTP_GET, "/api/databases", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, databases_list},
    {HTTP_GET, "/api/databases/{id}", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, databases_show},
    {HTTP_GET, "/api/databases/{id}/details", ROLE_NONE, ROUTE_BODY_NONE, ROUTE_ETAG, details_get},
};
const size_t api_n_routes = sizeof api_routes / sizeof *api_routes;

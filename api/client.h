/*
 * Who is at the other end, as far as the network tells: behind a reverse proxy of BM_TRUSTED_PROXIES what
 * that proxy says of its client, otherwise the peer itself. Anybody else's X-Forwarded-... headers mean
 * nothing.
 */
#pragma once

#include <stdbool.h>

#include "http.h"

enum { CLIENT_ADDRESS_SIZE = 64 };

/* trusted: addresses and "unix", comma-separated. */
void client_address(const struct http_request *request, const char *trusted,
                    char ret_address[CLIENT_ADDRESS_SIZE]);

/* The client came to the proxy by https. */
bool client_is_https(const struct http_request *request, const char *trusted);

/* -- the same without a request, for tests */

/* forwarded_for: the header's value, NULL = absent. The last address in it that is no trusted proxy's,
 * without a port; what is no address ends the search at the proxy that said so. */
void client_address_of(const char *peer, const char *forwarded_for, const char *trusted,
                       char ret_address[CLIENT_ADDRESS_SIZE]);

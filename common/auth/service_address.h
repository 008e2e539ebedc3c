/* Addresses that secrets are sent to: who else can read them on the way. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum service_address {
    SERVICE_ADDRESS_WRONG, /* not http:// or https:// with a host; or a user's name, a query, a fragment, a
                              blank or a control character in it */
    SERVICE_ADDRESS_HTTPS,
    SERVICE_ADDRESS_HERE,  /* http on this machine: 127.0.0.0/8, ::1, localhost */
    SERVICE_ADDRESS_PLAIN, /* http elsewhere */
};

enum service_address service_address_of(const char *url);

enum { SERVICE_HOST_SIZE = 256 };
/* The host of "host", "host:port", "[ipv6]:port" of size bytes, without brackets; false: none of these. */
bool service_address_host(const char *authority, size_t size, char ret[SERVICE_HOST_SIZE]);
bool service_address_is_loopback(const char *host);

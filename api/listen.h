/* The listening socket that BM_LISTEN names. */
#pragma once

#include <stdbool.h>
#include <sys/un.h>

#include "base/error.h"

struct listen_socket {
    int fd;
    bool exposed;      /* other machines can reach it */
    char address[300]; /* as it is: with the port that the kernel chose for port 0 */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of a unix socket; "" otherwise */
};

/*
 * Blocking (looks names up). text is HOST:PORT, [IPV6]:PORT or unix:/PATH; port 0 takes a free one. A unix
 * socket that nobody listens on any more is replaced. ERROR_INPUT: not of that form, or no such host.
 * ERROR_EXISTS: somebody else listens there. Others by errno.
 */
int listen_open(const char *text, struct listen_socket *ret_socket, struct error *err);

/* Closes fd unless it is -1, and removes a unix socket's file. */
void listen_close(struct listen_socket *listening);

#include "loop/resolve.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

struct resolve {
    uv_getaddrinfo_t request;
    resolve_fn fn; /* NULL once cancelled */
    void *data;
};

static int collect(const struct addrinfo *list, struct resolve_address *out)
{
    int n = 0;
    for (const struct addrinfo *a = list; a && n < RESOLVE_MAX; a = a->ai_next) {
        int rc = UV_EINVAL;
        if (a->ai_family == AF_INET)
            rc = uv_ip4_name((const struct sockaddr_in *)(const void *)a->ai_addr, out[n].text,
                             sizeof out[n].text);
        else if (a->ai_family == AF_INET6)
            rc = uv_ip6_name((const struct sockaddr_in6 *)(const void *)a->ai_addr, out[n].text,
                             sizeof out[n].text);
        if (rc == 0)
            n++;
    }
    return n;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolve *resolve = request->data;
    struct resolve_address addresses[RESOLVE_MAX];
    int n = status == 0 ? collect(list, addresses) : 0;
    if (status == 0 && n == 0)
        status = UV_EAI_ADDRFAMILY;
    uv_freeaddrinfo(list);
    resolve_fn fn = resolve->fn;
    void *data = resolve->data;
    free(resolve);
    if (fn)
        fn(data, status, addresses, n);
}

struct resolve *resolve_start(uv_loop_t *loop, const char *host, resolve_fn fn, void *data)
{
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL)
        return NULL;
    resolve->request.data = resolve;
    resolve->fn = fn;
    resolve->data = data;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (uv_getaddrinfo(loop, &resolve->request, on_resolved, host, NULL, &hints) != 0) {
        free(resolve);
        return NULL;
    }
    return resolve;
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve == NULL)
        return;
    resolve->fn = NULL;
    uv_cancel((uv_req_t *)&resolve->request);
}

#include <stdlib.h>
#include <string.h>

#include "loop/pg_internal.h"

/* libpq's own words may quote the URL, and with it a password: keep only what stands before the quotation. */
static int refuse(struct error *err, char *words)
{
    if (words)
        words[strcspn(words, ":\"\n")] = '\0';
    return error_set(err, ERROR_INPUT, false,
                     "the database URL is neither a libpq connection string nor a postgresql:// URI%s%s%s",
                     words ? " (" : "", words ? words : "", words ? ")" : "");
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    return NULL;
}

static int count(const char *list)
{
    int n = 1;
    for (const char *p = list; *p; p++)
        n += *p == ',';
    return n;
}

/* The i-th of a comma-separated list; of a list with one element always that one. */
static char *element(const char *list, int i)
{
    if (count(list) == 1)
        i = 0;
    for (; i > 0; i--)
        list = strchr(list, ',') + 1;
    return strndup(list, strcspn(list, ","));
}

int pg_hosts_parse(struct pg_hosts *hosts, const char *url, struct error *err)
{
    char *words = NULL;
    PQconninfoOption *given = PQconninfoParse(url, &words);
    if (given == NULL) {
        int rc = refuse(err, words);
        PQfreemem(words);
        return rc;
    }
    PQconninfoOption *defaults = PQconndefaults();
    const char *values[3]; /* hostaddr, host, port */
    const char *const keywords[3] = {"hostaddr", "host", "port"};
    for (int i = 0; i < 3; i++) {
        values[i] = option(given, keywords[i]);
        if (values[i] == NULL)
            values[i] = option(defaults, keywords[i]);
        if (values[i] == NULL)
            values[i] = "";
    }
    const char *addr = values[0], *host = values[1], *port = values[2];
    int n = count(*addr ? addr : host);
    int rc = 0;
    struct pg_hosts parsed = {.n = n};
    if (n > PG_HOSTS_MAX)
        rc = error_set(err, ERROR_INPUT, false, "the database URL names more than %d hosts", PG_HOSTS_MAX);
    else if ((*addr && *host && count(host) != n) || (count(port) != 1 && count(port) != n))
        rc = error_set(err, ERROR_INPUT, false,
                       "the database URL's lists of hosts, addresses and ports differ in length");
    for (int i = 0; rc == 0 && i < n; i++) {
        struct pg_host *h = &parsed.list[i];
        h->addr = element(addr, i);
        h->host = element(host, i);
        h->port = element(port, i);
        if (h->addr == NULL || h->host == NULL || h->port == NULL)
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    PQconninfoFree(given);
    PQconninfoFree(defaults);
    if (rc != 0) {
        parsed.n = n > PG_HOSTS_MAX ? 0 : n;
        pg_hosts_deinit(&parsed);
        return rc;
    }
    *hosts = parsed;
    return 0;
}

void pg_hosts_deinit(struct pg_hosts *hosts)
{
    for (int i = 0; i < hosts->n; i++) {
        free(hosts->list[i].addr);
        free(hosts->list[i].host);
        free(hosts->list[i].port);
    }
    hosts->n = 0;
}

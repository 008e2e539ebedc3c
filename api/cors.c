#include "cors.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ORIGINS_MAX 64

/* Host and port as browsers write them: no path, no user, no '*'. */
static bool is_origin(const char *text)
{
    size_t scheme = strncmp(text, "http://", 7) == 0 ? 7 : strncmp(text, "https://", 8) == 0 ? 8 : 0;
    const char *host = text + scheme;
    if (scheme == 0 || strlen(host) > 253 + 6)
        return false;
    size_t n = *host == '[' ? 1 + strspn(host + 1, "0123456789abcdef:.")
                            : strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_");
    if (n == (*host == '['))
        return false;
    if (*host == '[' && host[n++] != ']')
        return false;
    const char *port = host + n;
    if (*port == ':') {
        size_t digits = strspn(port + 1, "0123456789");
        return digits >= 1 && digits <= 5 && port[1 + digits] == '\0';
    }
    return *port == '\0';
}

int cors_init(const char *text, struct cors *ret_cors, struct error *err)
{
    struct cors cors = {.text = strdup(text), .origins = calloc(ORIGINS_MAX, sizeof *cors.origins)};
    char *rest = cors.text, *word;
    if (cors.text == NULL || cors.origins == NULL) {
        cors_deinit(&cors);
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    while ((word = strsep(&rest, ", \t"))) {
        if (*word == '\0')
            continue;
        if (!is_origin(word)) {
            error_set(err, ERROR_INPUT, false,
                      "BM_CORS_ORIGINS: '%.200s' is not an origin: write SCHEME://HOST or SCHEME://HOST:PORT "
                      "in lower case, such as https://backups.example.org; '*' is not possible, because "
                      "cookies are allowed for every origin listed",
                      word);
            cors_deinit(&cors);
            return ERROR_INPUT;
        }
        if (cors.n_origins == ORIGINS_MAX) {
            cors_deinit(&cors);
            return error_set(err, ERROR_INPUT, false, "BM_CORS_ORIGINS: at most %d origins", ORIGINS_MAX);
        }
        cors.origins[cors.n_origins++] = word;
    }
    *ret_cors = cors;
    return 0;
}

void cors_deinit(struct cors *cors)
{
    free(cors->text);
    free(cors->origins);
    *cors = (struct cors){0};
}

bool cors_allows(const struct cors *cors, const char *origin)
{
    for (size_t i = 0; origin && i < cors->n_origins; i++)
        if (strcmp(cors->origins[i], origin) == 0)
            return true;
    return false;
}

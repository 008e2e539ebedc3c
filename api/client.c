#include "client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_trusted(const char *trusted, const char *address, size_t size)
{
    while (*trusted) {
        size_t n = strcspn(trusted, ",");
        const char *word = trusted + strspn(trusted, " ");
        size_t length = n - (size_t)(word < trusted + n ? word - trusted : (long)n);
        while (length && word[length - 1] == ' ')
            length--;
        if (size && length == size && strncasecmp(word, address, size) == 0)
            return true;
        trusted += n + (trusted[n] == ',');
    }
    return false;
}

void client_address_of(const char *peer, const char *forwarded_for, const char *trusted,
                       char ret_address[CLIENT_ADDRESS_SIZE])
{
    const char *from = peer;
    size_t size = strlen(peer);
    const char *end = forwarded_for ? forwarded_for + strlen(forwarded_for) : NULL;
    /* from the right: what the nearest proxy added comes last */
    while (end && end > forwarded_for && is_trusted(trusted, from, size)) {
        const char *begin = end;
        while (begin > forwarded_for && begin[-1] != ',')
            begin--;
        const char *word = begin + strspn(begin, " \t");
        const char *word_end = end;
        while (word_end > word && (word_end[-1] == ' ' || word_end[-1] == '\t'))
            word_end--;
        if (word_end <= word || (size_t)(word_end - word) >= CLIENT_ADDRESS_SIZE)
            break; /* nonsense: the proxy itself answers for it */
        from = word;
        size = (size_t)(word_end - word);
        end = begin > forwarded_for ? begin - 1 : begin;
    }
    snprintf(ret_address, CLIENT_ADDRESS_SIZE, "%.*s",
             (int)(size < CLIENT_ADDRESS_SIZE ? size : CLIENT_ADDRESS_SIZE - 1), from);
}

void client_address(const struct http_request *request, const char *trusted,
                    char ret_address[CLIENT_ADDRESS_SIZE])
{
    client_address_of(http_remote_address(request), http_header_last(request, "X-Forwarded-For"), trusted,
                      ret_address);
}

bool client_is_https(const struct http_request *request, const char *trusted)
{
    const char *peer = http_remote_address(request), *scheme = http_header_last(request, "X-Forwarded-Proto");
    return scheme && strcasecmp(scheme, "https") == 0 && is_trusted(trusted, peer, strlen(peer));
}

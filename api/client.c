#include "client.h"

#include <arpa/inet.h>
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

static bool is_address(const char *text)
{
    struct in6_addr bytes;
    return inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1;
}

/* Some proxies add the client's port: 1.2.3.4:567, [2001:db8::1]:567. It is another one for each connection.
 * False: no address. */
static bool read_address(const char *word, size_t size, char ret_address[CLIENT_ADDRESS_SIZE])
{
    char text[CLIENT_ADDRESS_SIZE];
    if (size >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)size, word);
    const char *address = text;
    char *end = is_address(text) ? NULL : strchr(text, *text == '[' ? ']' : ':');
    if (end) {
        *end = '\0';
        address += *text == '[';
    }
    if (!is_address(address))
        return false;
    strcpy(ret_address, address);
    return true;
}

void client_address_of(const char *peer, const char *forwarded_for, const char *trusted,
                       char ret_address[CLIENT_ADDRESS_SIZE])
{
    const char *end = forwarded_for ? forwarded_for + strlen(forwarded_for) : NULL;
    snprintf(ret_address, CLIENT_ADDRESS_SIZE, "%s", peer);
    /* from the right: what the nearest proxy added comes last */
    while (end && end > forwarded_for && is_trusted(trusted, ret_address, strlen(ret_address))) {
        const char *begin = end;
        while (begin > forwarded_for && begin[-1] != ',')
            begin--;
        const char *word = begin + strspn(begin, " \t");
        const char *word_end = end;
        while (word_end > word && (word_end[-1] == ' ' || word_end[-1] == '\t'))
            word_end--;
        if (word_end <= word || !read_address(word, (size_t)(word_end - word), ret_address))
            break; /* nonsense: the proxy itself answers for it */
        end = begin > forwarded_for ? begin - 1 : begin;
    }
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

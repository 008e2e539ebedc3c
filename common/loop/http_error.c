/*
 * libcurl's codes in our words. Its own text is used where it can only hold host, port and what the system or
 * OpenSSL said; never where it may quote a URL, a proxy's password among them.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "loop/http_internal.h"

enum words { OURS, THEIRS };

static const struct {
    CURLcode curl;
    int code;
    bool retryable;
    enum words words;
    const char *text;
} table[] = {
    {CURLE_COULDNT_RESOLVE_HOST, ERROR_UNREACHABLE, true, THEIRS, "the host name can't be resolved"},
    {CURLE_COULDNT_RESOLVE_PROXY, ERROR_UNREACHABLE, true, OURS,
     "the proxy's name can't be resolved: look at http_proxy, https_proxy, no_proxy"},
    {CURLE_COULDNT_CONNECT, ERROR_UNREACHABLE, true, THEIRS, "no connection"},
    {CURLE_PROXY, ERROR_UNREACHABLE, true, OURS,
     "the proxy refuses: look at http_proxy, https_proxy, no_proxy"},
    {CURLE_OPERATION_TIMEDOUT, ERROR_TIMEOUT, true, THEIRS, "no connection in time"},
    {CURLE_SSL_CONNECT_ERROR, ERROR_UNREACHABLE, true, THEIRS, "the TLS handshake failed"},
    {CURLE_GOT_NOTHING, ERROR_UNREACHABLE, true, OURS, "the connection was closed without an answer"},
    {CURLE_PARTIAL_FILE, ERROR_UNREACHABLE, true, OURS, "the answer was cut short"},
    {CURLE_SEND_ERROR, ERROR_UNREACHABLE, true, THEIRS, "the connection broke while sending"},
    {CURLE_SEND_FAIL_REWIND, ERROR_UNREACHABLE, true, OURS, "the connection broke while sending"},
    {CURLE_RECV_ERROR, ERROR_UNREACHABLE, true, THEIRS, "the connection broke while receiving"},
    {CURLE_UNSUPPORTED_PROTOCOL, ERROR_PROTOCOL, true, OURS, "the answer isn't HTTP/1"},
    {CURLE_WEIRD_SERVER_REPLY, ERROR_PROTOCOL, true, OURS, "the answer isn't proper HTTP"},
    {CURLE_HTTP2, ERROR_PROTOCOL, true, OURS, "the answer isn't HTTP/1.1"},
    {CURLE_BAD_CONTENT_ENCODING, ERROR_PROTOCOL, true, OURS, "the answer's encoding can't be read"},
    {CURLE_SSL_CACERT_BADFILE, ERROR_INPUT, false, OURS,
     "the file of trusted certificates can't be used: ca_file must be a readable PEM file"},
    {CURLE_URL_MALFORMAT, ERROR_INPUT, false, OURS, "the URL can't be used"},
    {CURLE_OUT_OF_MEMORY, ERROR_SYSTEM, true, OURS, "out of memory"},
};

/* Printable and without anything that looks like a URL. */
static const char *their_words(const struct http_request *request, char *text, size_t size)
{
    snprintf(text, size, "%.200s", request->curl_error);
    for (char *p = text; *p; p++)
        if (!isprint((unsigned char)*p))
            *p = '?';
    return strstr(text, "://") || strstr(text, "Unsupported proxy") ? "" : text;
}

static void certificate_refused(struct error *err, const struct http_request *request)
{
    char text[256];
    const char *why = their_words(request, text, sizeof text);
    const char *way_out = "if the server is yours, name its authority's PEM file as ca_file";
    if (strstr(why, "host name") || strstr(why, "subject name") || strstr(why, "does not match"))
        way_out = "use a name that stands in the certificate, or have one made for this name";
    else if (strstr(why, "expired") || strstr(why, "not yet valid"))
        way_out = "renew it, or set this machine's clock right";
    error_set(err, ERROR_DENIED, false, "%s: the server's certificate is refused (%s): %s", request->origin,
              why[0] ? why : "it isn't trusted", way_out);
}

void http_error_from_curl(struct error *err, const struct http_request *request, CURLcode code)
{
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        certificate_refused(err, request);
        return;
    }
    if (code == CURLE_RECV_ERROR && strstr(request->curl_error, "chunked-encoding"))
        code = CURLE_WEIRD_SERVER_REPLY;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].curl != code)
            continue;
        char text[256];
        const char *theirs = table[i].words == THEIRS ? their_words(request, text, sizeof text) : "";
        error_set(err, table[i].code, table[i].retryable, "%s: %s%s%s%s", request->origin, table[i].text,
                  theirs[0] ? " (" : "", theirs, theirs[0] ? ")" : "");
        return;
    }
    error_set(err, ERROR_UNREACHABLE, true, "%s: %s", request->origin, curl_easy_strerror(code));
}

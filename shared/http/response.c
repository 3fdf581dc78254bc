/* Answers, once they are here: nothing of the library behind the client is needed. */
#include "shared/http/client.h"
#include "shared/http/url.h"

#include <string.h>
#include <strings.h>

enum { URL_MAX = 64 * 1024 };

void http_response_release(struct http_response *response)
{
    bytes_release(&response->headers);
    bytes_release(&response->body);
    *response = (struct http_response){ .status = 0 };
}

struct span http_response_header(const struct http_response *response, const char *name)
{
    struct span rest = bytes_span(&response->headers);
    while (rest.data) {
        struct span value = span_cut(&rest, '\n');
        struct span key = span_cut(&value, ':');
        if (value.data && key.len == strlen(name) && strncasecmp(key.data, name, key.len) == 0)
            return span_trim(value);
    }
    return (struct span){ NULL, 0 };
}

static enum error_kind kind_of_status(int status)
{
    static const struct {
        int first, last;
        enum error_kind kind;
    } rows[] = {
        { 401, 401, ERROR_DENIED },      { 403, 403, ERROR_DENIED },      { 404, 404, ERROR_NOT_FOUND },
        { 410, 410, ERROR_NOT_FOUND },   { 408, 408, ERROR_UNAVAILABLE }, { 409, 409, ERROR_CONFLICT },
        { 413, 413, ERROR_TOO_LARGE },   { 415, 415, ERROR_UNSUPPORTED }, { 429, 429, ERROR_BUSY },
        { 500, 599, ERROR_UNAVAILABLE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (status >= rows[i].first && status <= rows[i].last)
            return rows[i].kind;
    return ERROR_INVALID;
}

/* RFC 9110 section 15: the sentences of the statuses one meets. */
static const char *phrase_of_status(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        { 301, "moved permanently" },
        { 302, "found elsewhere" },
        { 303, "see other" },
        { 307, "temporary redirect" },
        { 308, "permanent redirect" },
        { 400, "bad request" },
        { 401, "unauthorized" },
        { 403, "forbidden" },
        { 404, "not found" },
        { 405, "method not allowed" },
        { 406, "not acceptable" },
        { 408, "request timeout" },
        { 409, "conflict" },
        { 410, "gone" },
        { 413, "content too large" },
        { 415, "unsupported media type" },
        { 416, "range not satisfiable" },
        { 422, "unprocessable content" },
        { 429, "too many requests" },
        { 500, "internal server error" },
        { 501, "not implemented" },
        { 502, "bad gateway" },
        { 503, "service unavailable" },
        { 504, "gateway timeout" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "unexpected status";
}

bool http_status_error(const struct http_request *request, const struct http_response *response, struct error *err)
{
    AUTO(bytes_release) struct bytes where = BYTES(URL_MAX);
    struct error ignored;
    struct span place = SPAN("?");
    if (url_redacted(&where, span_of(request->url), &ignored)) {
        place = bytes_span(&where);
        (void)span_cut(&place, '/'); /* "https:", then "//host/path" */
        place = (struct span){ place.data + 1, place.len - 1 };
    }
    error_set(err, kind_of_status(response->status), "%s %.*s: %d %s", request->method, SPAN_ARGS(place),
              response->status, phrase_of_status(response->status));
    err->retry_after_s = response->retry_after_s;
    return false;
}

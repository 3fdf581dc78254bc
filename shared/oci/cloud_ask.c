#include "shared/oci/cloud_ask.h"

#include "shared/http/address.h"
#include "shared/http/url.h"

#include <string.h>

enum {
    ANSWER_MAX = 1024 * 1024,
    SERVICE_MS = 30 * 1000,
    METADATA_MS = 3 * 1000, /* it is on this machine: silence means that there is none */
    DETAIL_MAX = 240,
};

/* "error_description" of OAuth2, "message" of AWS and Google; only printable characters pass. */
static void service_detail(struct cloud_asking *asking, struct span body, char out[static DETAIL_MAX])
{
    static const char *const members[] = { "error_description", "message", "Message", "error" };
    struct error ignored;
    const struct json *json = body.len > 0 && body.data[0] == '{' ? json_parse(asking->arena, body, &ignored) : NULL;
    const char *text = NULL;
    for (size_t i = 0; !text && i < sizeof members / sizeof members[0]; i++)
        text = json_get_string(json, members[i]);
    if (!text)
        text = json_get_string(json_get(json, "error"), "message");
    out[0] = '\0';
    if (text)
        snprintf(out, DETAIL_MAX, " (%s)", text);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
            *p = '?';
}

static bool check_address(const struct cloud_request *request, struct error *err)
{
    struct url url;
    if (!url_parse(span_of(request->url), &url, err))
        return false;
    return request->metadata || span_is(url.scheme, "https") || host_is_loopback(url.host) ||
           error_set(err, ERROR_DENIED, "'%.*s' is not asked for credentials: it is not https", SPAN_ARGS(url.host));
}

const char *cloud_ask_text(struct cloud_asking *asking, const struct cloud_request *request, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    const struct http_request http = {
        .method = request->method,
        .url = request->url,
        .headers = request->headers,
        .header_count = request->header_count,
        .body = request->body,
        .body_max = ANSWER_MAX,
        .timeout_ms = request->metadata ? METADATA_MS : SERVICE_MS,
        .direct = request->metadata,
    };
    char detail[DETAIL_MAX];
    if (!check_address(request, err) || !http_call(asking->client, &http, &response, err))
        return NULL;
    if (response.status < 200 || response.status > 299) {
        service_detail(asking, bytes_span(&response.body), detail);
        http_status_error(&http, &response, err);
        size_t len = strlen(err->message);
        snprintf(err->message + len, sizeof err->message - len, "%s", detail);
        return NULL;
    }
    const char *text = arena_dup(asking->arena, bytes_span(&response.body));
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.capacity);
    if (!text)
        error_set(err, ERROR_UNAVAILABLE, "%s: an answer that is no text", request->url);
    return text;
}

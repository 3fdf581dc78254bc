/* A large blob is uploaded in parts (OCI distribution-spec 1.1, "Pushing a blob in chunks"), so that a connection that
 * breaks costs one part and not all. */
#include "shared/oci/registry.h"

#include <string.h>

struct parts {
    const struct descriptor *blob;
    const struct blob_source *source;
    int64_t part_size;
    struct bytes url; /* where the next part goes */
    bool foreign;
    int64_t taken; /* bytes that the registry has */
    bool lost;     /* how many that are is not known */
    bool refused;  /* it takes no parts */
    bool gone;     /* it does not know this upload any more */
};

/* "Range: 0-99", with or without "bytes=" in front: a hundred bytes. -1: malformed or missing. */
static int64_t taken_by(const struct http_response *response)
{
    struct span range = http_response_header(response, "Range");
    int64_t last = 0;
    (void)span_cut(&range, '-');
    if (!range.data || range.len == 0 || range.len > 18)
        return -1;
    for (size_t i = 0; i < range.len; i++) {
        if (range.data[i] < '0' || range.data[i] > '9')
            return -1;
        last = last * 10 + (range.data[i] - '0');
    }
    return last + 1;
}

/* The place for the next part; an answer without a Location leaves it where it was, and a path belongs to the host that
 * said it. */
static bool move_on(struct registry *registry, struct parts *parts, const struct http_response *response,
                    struct error *err)
{
    AUTO(bytes_release) struct bytes absolute = BYTES(WIRE_URL_MAX);
    struct span location = http_response_header(response, "Location");
    if (location.len == 0)
        return true;
    const char *host = strstr(bytes_text(&parts->url), "://") + strlen("://");
    size_t origin = (size_t)(host - parts->url.data) + strcspn(host, "/?#");
    bool is_path = location.data[0] == '/' && !span_starts(location, "//");
    return (!is_path || bytes_append(&absolute, parts->url.data, origin, err)) &&
           bytes_append_span(&absolute, location, err) &&
           wire_resolve(registry, bytes_span(&absolute), &parts->url, &parts->foreign, err);
}

/* Registries say "0-0" when they have nothing as well as when they have one byte: the one byte is sent again then. */
static bool set_taken(struct parts *parts, int64_t taken, struct error *err)
{
    if (taken > parts->blob->size)
        return error_set(err, ERROR_UNAVAILABLE, "the registry has more bytes than were sent");
    parts->taken = taken <= 1 ? 0 : taken;
    parts->lost = false;
    return true;
}

/* After a break: what has arrived? A session that is gone is one to begin anew, which is for the caller to do. */
static bool ask_state(struct registry *registry, struct parts *parts, bool *final, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    const struct http_request request = {
        .method = "GET",
        .url = bytes_text(&parts->url),
        .timeout_ms = wire_short_ms(registry),
    };
    if (!wire_send_to(registry, &request, parts->foreign, &response, err))
        return false;
    int64_t taken = taken_by(&response);
    if ((response.status == 204 || response.status == 202) && taken >= 0)
        return move_on(registry, parts, &response, err) && set_taken(parts, taken, err);
    if (response.status == 429 || response.status >= 500)
        return wire_status_error(&request, &response, err);
    *final = parts->gone = true;
    return error_set(err, ERROR_UNAVAILABLE, "the upload is not known any more (%d)", response.status);
}

static bool means_unsupported(int status)
{
    return status == 400 || status == 404 || status == 405 || status == 411 || status == 501;
}

static bool judge_part(struct registry *registry, struct parts *parts, int64_t end, const struct http_request *request,
                       const struct http_response *response, struct error *err)
{
    int64_t taken = taken_by(response);
    if (response->status == 202 || response->status == 201 || response->status == 204)
        return move_on(registry, parts, response, err) && set_taken(parts, taken < 0 ? end : taken, err);
    parts->refused = parts->taken == 0 && means_unsupported(response->status);
    parts->lost = true;
    wire_status_error(request, response, err);
    if (response->status == 416)
        err->kind = ERROR_UNAVAILABLE; /* it has another number of bytes than we think: that can be asked */
    return parts->refused;
}

static bool try_part(struct registry *registry, void *context, bool *final, struct error *err)
{
    struct parts *parts = context;
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    if (parts->lost && !ask_state(registry, parts, final, err))
        return false;
    int64_t left = parts->blob->size - parts->taken, size = left < parts->part_size ? left : parts->part_size;
    int64_t end = parts->taken + size;
    char range[64];
    snprintf(range, sizeof range, "%lld-%lld", (long long)parts->taken, (long long)end - 1);
    const struct http_header headers[] = { { "Content-Type", "application/octet-stream" }, { "Content-Range", range } };
    struct wire_source source = {
        .blob = parts->source, .options = registry->options, .start = parts->taken, .end = end
    };
    const struct http_request request = {
        .method = "PATCH",
        .url = bytes_text(&parts->url),
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .source = wire_read_source,
        .source_context = &source,
        .source_length = size,
        .timeout_ms = wire_long_ms(registry),
    };
    if (size == 0)
        return true;
    if (wire_send_to(registry, &request, parts->foreign, &response, err))
        return judge_part(registry, parts, end, &request, &response, err);
    parts->lost = true;
    return false;
}

/* A registry may want larger parts (spec: "OCI-Chunk-Min-Length"). */
static int64_t least_size(const struct http_response *begun)
{
    struct span text = http_response_header(begun, "OCI-Chunk-Min-Length");
    int64_t size = 0;
    for (size_t i = 0; i < text.len && i < 15 && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        size = size * 10 + (text.data[i] - '0');
    return size;
}

bool registry_put_parts(struct registry *registry, const struct descriptor *blob, const struct blob_source *source,
                        const struct http_response *begun, struct parts_end *end, struct error *err)
{
    struct parts parts = {
        .blob = blob, .source = source, .part_size = registry_part_size(registry), .url = BYTES(WIRE_URL_MAX)
    };
    int64_t least = least_size(begun);
    parts.part_size = least > parts.part_size ? least : parts.part_size;
    bool good = wire_location(registry, begun, &parts.url, &parts.foreign, err);
    while (good && !parts.refused && parts.taken < blob->size)
        good = wire_retry(registry, try_part, &parts, err);
    registry->chunks_refused = parts.refused;
    *end = (struct parts_end){ parts.url, parts.foreign, !good && !parts.gone };
    return good;
}

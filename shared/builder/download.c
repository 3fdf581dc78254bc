#include "shared/builder/download.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/http/url.h"

#include <string.h>
#include <strings.h>
#include <time.h>

enum { HEADERS_MAX = 2, URL_MAX = 8192, TIMEOUT_MS = 10 * 60 * 1000 };

struct receiving {
    const struct download_options *options;
    struct spool *spool;
    struct sha256 sha;
    int64_t size;
};

bool download_is_git(const char *source)
{
    static const char *const prefixes[] = { "git@", "git://", "ssh://" };
    size_t path = strcspn(source, "?#");

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(source, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return (strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0) && path > 4 &&
           strncmp(source + path - 4, ".git", 4) == 0;
}

bool download_is_url(const char *source)
{
    return (strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0) &&
           !download_is_git(source);
}

static bool receive(void *context, const void *data, size_t len, struct error *err)
{
    struct receiving *receiving = context;
    const struct download_options *options = receiving->options;

    if (options->cancelled && options->cancelled(options->cancelled_context))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    receiving->size += (int64_t)len;
    if (receiving->size > download_max)
        return error_set(err, ERROR_TOO_LARGE, "more than the %lld bytes that are allowed", (long long)download_max);
    sha256_update(&receiving->sha, data, len);
    return spool_append(receiving->spool, data, len, err);
}

/* The Location of a redirect, against the URL it was the answer to. */
static bool redirected(const struct http_response *response, struct bytes *url, struct error *err)
{
    AUTO(bytes_release) struct bytes next = BYTES(URL_MAX);
    struct span location = http_response_header(response, "Location");
    struct url parts;

    if (location.len == 0)
        return error_set(err, ERROR_INVALID, "a redirect that leads nowhere");
    if (location.data[0] == '/' && !span_starts(location, "//")) {
        if (!url_parse(bytes_span(url), &parts, err))
            return false;
        size_t origin = (size_t)(parts.host.data + strcspn(parts.host.data, "/?#") - url->data);
        if (!bytes_append(&next, url->data, origin, err))
            return false;
    }
    if (!bytes_append_span(&next, location, err))
        return false;
    if (!download_is_url(next.data))
        return error_set(err, ERROR_INVALID, "a redirect to what is no http or https URL");
    bytes_clear(url);
    return bytes_append_span(url, bytes_span(&next), err);
}

static bool same_origin(const char *a, const char *b)
{
    struct url left, right;
    struct error ignored;

    return url_parse(span_of(a), &left, &ignored) && url_parse(span_of(b), &right, &ignored) &&
           span_equal(left.scheme, right.scheme) && span_equal(left.host, right.host) && left.port == right.port;
}

/* What is asked for, of the URL that was said (first) or of one that it led to. */
static size_t headers_for(const struct receiving *receiving, const char *first, const char *url,
                          const struct secret *authorization, struct http_header out[static HEADERS_MAX])
{
    size_t count = 0;

    if (receiving->options->etag)
        out[count++] = (struct http_header){ "If-None-Match", receiving->options->etag };
    if (authorization && same_origin(first, url))
        out[count++] = (struct http_header){ "Authorization", secret_reveal(authorization).data };
    return count;
}

static bool get(struct http_client *client, const char *first, struct bytes *url, struct receiving *receiving,
                struct http_response *response, struct error *err)
{
    struct error failed = { 0 };
    const struct sourceauth *auth = &receiving->options->auth;
    AUTO(secret_free) struct secret *authorization = auth->http ? auth->http(auth, first, &failed) : NULL;

    if (failed.kind) {
        *err = failed;
        return false;
    }
    for (unsigned i = 0; i <= DOWNLOAD_REDIRECTS_MAX; i++) {
        struct http_header headers[HEADERS_MAX];
        struct http_request request = { .method = "GET",
                                        .url = url->data,
                                        .headers = headers,
                                        .header_count =
                                            headers_for(receiving, first, url->data, authorization, headers),
                                        .on_body = receive,
                                        .body_context = receiving,
                                        .body_max = (size_t)download_max,
                                        .timeout_ms = TIMEOUT_MS,
                                        .cancelled = receiving->options->cancelled,
                                        .cancelled_context = receiving->options->cancelled_context };

        http_response_release(response);
        if (!http_call(client, &request, response, err))
            return false;
        if (response->status == 200 || (response->status == 304 && receiving->options->etag))
            return true;
        if (response->status < 300 || response->status > 399)
            return http_status_error(&request, response, err);
        if (!redirected(response, url, err))
            return false;
    }
    return error_set(err, ERROR_INVALID, "more than %d redirects", DOWNLOAD_REDIRECTS_MAX);
}

static bool is_plain_name(struct span name)
{
    return name.len > 0 && name.len <= DOWNLOAD_NAME_MAX && !span_is(name, ".") && !span_is(name, "..") &&
           span_find(name, '/') < 0 && span_find(name, '\0') < 0;
}

void download_name(const char *url, char name[static DOWNLOAD_NAME_MAX + 1])
{
    AUTO(bytes_release) struct bytes decoded = BYTES(URL_MAX);
    struct error err = { 0 };
    struct url parts;

    strcpy(name, "__unnamed__");
    if (!url_parse(span_of(url), &parts, &err) || parts.path.len == 0)
        return;
    struct span path = parts.path;
    while (path.len > 0 && path.data[path.len - 1] == '/')
        path.len--;
    long slash = span_find_last(path, '/');
    struct span last = { path.data + slash + 1, path.len - (size_t)(slash + 1) };
    if (!percent_decode(&decoded, last, false, &err) || !is_plain_name(bytes_span(&decoded)))
        return;
    memcpy(name, decoded.data, decoded.len + 1);
}

/* RFC 9110, section 5.6.7: IMF-fixdate. */
static int64_t modified(const struct http_response *response)
{
    struct span value = http_response_header(response, "Last-Modified");
    char text[64];
    struct tm tm = { 0 };

    if (value.len == 0 || value.len >= sizeof(text))
        return 0;
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return end && !*end ? (int64_t)timegm(&tm) : 0;
}

bool download_check(const char *digest, const char *checksum, struct error *err)
{
    return !checksum || strcmp(checksum, digest) == 0 ||
           error_set(err, ERROR_INVALID, "digest mismatch %s: %s", digest, checksum);
}

static void read_etag(const struct http_response *response, char out[static DOWNLOAD_ETAG_MAX + 1])
{
    struct span value = http_response_header(response, "ETag");
    bool strong = value.len >= 2 && value.len <= DOWNLOAD_ETAG_MAX && value.data[0] == '"';

    for (size_t i = 0; strong && i < value.len; i++)
        strong = value.data[i] > ' ' && value.data[i] < 0x7f;
    snprintf(out, DOWNLOAD_ETAG_MAX + 1, "%.*s", strong ? (int)value.len : 0, value.data ? value.data : "");
}

static void describe(struct receiving *receiving, int64_t offset, struct download *out)
{
    uint8_t digest[SHA256_SIZE];

    sha256_final(&receiving->sha, digest);
    memcpy(out->digest, "sha256:", 7);
    hex_encode(out->digest + 7, digest, sizeof(digest));
    out->content =
        (struct content){ .kind = receiving->size > 0 ? CONTENT_SPOOL : CONTENT_EMPTY, .size = receiving->size };
    out->content.spool.spool = receiving->spool;
    out->content.spool.offset = offset;
}

bool download(const char *url, const struct download_options *options, struct spool *spool, struct download *out,
              struct error *err)
{
    AUTO(http_client_free)
    struct http_client *client =
        http_client_new(&(struct http_client_options){ .refuse_private = !options->allow_private }, err);
    AUTO(http_response_release) struct http_response response = { 0 };
    AUTO(bytes_release) struct bytes place = BYTES(URL_MAX);
    struct receiving receiving = { .options = options, .spool = spool };
    int64_t offset = spool_size(spool);

    sha256_init(&receiving.sha);
    if (!client || !bytes_append_text(&place, url, err) || !get(client, url, &place, &receiving, &response, err))
        return error_wrap(err, "download");
    download_name(url, out->name);
    out->unchanged = response.status == 304;
    if (out->unchanged)
        return true;
    out->modified_s = modified(&response);
    read_etag(&response, out->etag);
    describe(&receiving, offset, out);
    return download_check(out->digest, options->checksum, err) || error_wrap(err, "download");
}

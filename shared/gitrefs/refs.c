#include "shared/gitrefs/refs.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/gitrefs/local.h"
#include "shared/gitrefs/pktline.h"
#include "shared/http/client.h"
#include "shared/http/url.h"

#include <string.h>

enum { TIMEOUT_MS = 10 * 1000, URL_MAX = 8192, ASK_MAX = 4096, REDIRECTS_MAX = 3 };

#define ADVERTISEMENT "/info/refs?service=git-upload-pack"
#define ADVERTISEMENT_TYPE "application/x-git-upload-pack-advertisement"
#define COMMAND "/git-upload-pack"

struct session {
    const struct refs_options *options;
    struct http_client *client;
    struct secret *authorization; /* NULL: anonymous */
    struct bytes base;            /* the repository's URL, without a slash at its end */
    int64_t deadline_ms;
};

static void session_release(struct session *session)
{
    http_client_free(session->client);
    secret_free(session->authorization);
    bytes_release(&session->base);
}
AUTO_RELEASE(struct session, session_release)

/* ---- asking ---- */

static bool authorize(struct session *session, struct error *err)
{
    const struct refs_options *options = session->options;
    AUTO(bytes_wipe) struct bytes pair = BYTES(2 * SECRET_MAX);
    AUTO(bytes_wipe) struct bytes value = BYTES(4 * SECRET_MAX);

    if (!options->token)
        return true;
    if (!bytes_printf(&pair, err, "%s:", options->username ? options->username : "x-access-token") ||
        !bytes_append_span(&pair, secret_reveal(options->token), err) || !bytes_append_text(&value, "Basic ", err) ||
        !base64_encode(&value, bytes_span(&pair), err))
        return error_wrap(err, "the token");
    session->authorization = secret_new(bytes_span(&value), err);
    return session->authorization != NULL;
}

static bool ask(struct session *session, const char *method, const char *path, struct span body,
                struct http_response *response, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(URL_MAX);
    struct http_header headers[3];
    size_t count = 0;
    int64_t left_ms = session->deadline_ms - clock_monotonic_ms();

    if (!bytes_printf(&url, err, "%s%s", bytes_text(&session->base), path))
        return false;
    headers[count++] = (struct http_header){ "Git-Protocol", "version=2" };
    if (body.data)
        headers[count++] = (struct http_header){ "Content-Type", "application/x-git-upload-pack-request" };
    if (session->authorization)
        headers[count++] = (struct http_header){ "Authorization", secret_reveal(session->authorization).data };
    const struct http_request request = {
        .method = method,
        .url = bytes_text(&url),
        .headers = headers,
        .header_count = count,
        .body = body,
        .body_max = LISTING_BYTES_MAX,
        .timeout_ms = left_ms > 1 ? (long)left_ms : 1,
    };
    if (!http_call(session->client, &request, response, err))
        return false;
    return response->status == 200 || (response->status >= 300 && response->status < 400) ||
           http_status_error(&request, response, err);
}

/* ---- redirects: a repository that was renamed, on the host that has the token ---- */

static bool is_same_host(struct span a, struct span b)
{
    struct error malformed = { 0 };
    struct url left, right;

    return url_parse(a, &left, &malformed) && url_parse(b, &right, &malformed) &&
           span_equal(left.scheme, right.scheme) && span_equal(left.host, right.host) && left.port == right.port &&
           !right.userinfo.data;
}

static bool follow(struct session *session, const struct http_response *response, struct error *err)
{
    AUTO(bytes_release) struct bytes base = BYTES(URL_MAX);
    struct span location = http_response_header(response, "Location"), own = bytes_span(&session->base);
    struct url url;

    if (!url_parse(own, &url, err))
        return false;
    if (span_starts(location, "/") && !span_starts(location, "//")) {
        struct span origin = { own.data, own.len - url.path.len };
        if (!bytes_append_span(&base, origin, err))
            return false;
    }
    if (!bytes_append_span(&base, location, err))
        return false;
    if (!is_same_host(own, bytes_span(&base)))
        return error_set(err, ERROR_DENIED, "it sends us to another host, where the token must not go");
    if (!span_ends(bytes_span(&base), ADVERTISEMENT))
        return error_set(err, ERROR_INVALID, "it sends us to what is no repository");
    bytes_truncate(&base, base.len - (sizeof(ADVERTISEMENT) - 1));
    bytes_clear(&session->base);
    return bytes_append_span(&session->base, bytes_span(&base), err);
}

static bool ask_advertisement(struct session *session, struct http_response *response, struct error *err)
{
    for (int redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
        if (!ask(session, "GET", ADVERTISEMENT, (struct span){ NULL, 0 }, response, err))
            return false;
        if (response->status == 200)
            return true;
        if (!follow(session, response, err))
            return false;
    }
    return error_set(err, ERROR_UNAVAILABLE, "it sends us on and on");
}

/* ---- the protocol ---- */

static bool write_command(struct bytes *out, struct error *err)
{
    static const char *const arguments[] = {
        "peel", "symrefs", "ref-prefix HEAD", "ref-prefix refs/heads/", "ref-prefix refs/tags/",
    };

    if (!packet_write(out, "command=ls-refs", err) || !packet_write_mark(out, PACKET_DELIMITER, err))
        return false;
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
        if (!packet_write(out, arguments[i], err))
            return false;
    }
    return packet_write_mark(out, PACKET_FLUSH, err);
}

static bool ask_refs(struct session *session, struct listing *listing, struct error *err)
{
    AUTO(bytes_release) struct bytes command = BYTES(ASK_MAX);
    AUTO(http_response_release) struct http_response response = { 0 };

    if (!write_command(&command, err) || !ask(session, "POST", COMMAND, bytes_span(&command), &response, err))
        return false;
    if (response.status != 200)
        return error_set(err, ERROR_INVALID, "it sends a question elsewhere (%d)", response.status);
    return listing_read_answer(listing, bytes_span(&response.body), err);
}

static bool remote_list(struct session *session, struct listing *listing, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { 0 };
    bool commands;

    if (!ask_advertisement(session, &response, err))
        return false;
    if (!span_is(http_response_header(&response, "Content-Type"), ADVERTISEMENT_TYPE))
        return error_set(err, ERROR_INVALID, "it does not speak git's smart protocol");
    return listing_read_advertisement(listing, bytes_span(&response.body), &commands, err) &&
           (!commands || ask_refs(session, listing, err));
}

static bool list_remote(const struct refs_options *options, struct listing *listing, struct error *err)
{
    const struct http_client_options client = { .ca_file = options->ca_file, .user_agent = "git/pushwright" };
    AUTO(session_release)
    struct session session = { .options = options,
                               .base = BYTES(URL_MAX),
                               .deadline_ms =
                                   clock_monotonic_ms() + (options->timeout_ms ? options->timeout_ms : TIMEOUT_MS) };
    struct span url = span_of(options->url);

    while (span_ends(url, "/"))
        url.len--;
    session.client = http_client_new(&client, err);
    return session.client && bytes_append_span(&session.base, url, err) && authorize(&session, err) &&
           remote_list(&session, listing, err);
}

static bool list_local(const char *path, struct listing *listing, struct error *err)
{
    AUTO(bytes_release) struct bytes plain = BYTES(URL_MAX);
    struct url url;

    if (*path == '/')
        return local_list(listing, path, err);
    return url_parse(span_of(path), &url, err) && percent_decode(&plain, url.path, false, err) &&
           local_list(listing, bytes_text(&plain), err);
}

struct refs *refs_list(const struct refs_options *options, struct error *err)
{
    AUTO(listing_free) struct listing *listing = listing_new(err);
    bool is_local = *options->url == '/' || strncmp(options->url, "file:", 5) == 0;

    if (!listing)
        return NULL;
    if (!(is_local ? list_local(options->url, listing, err) : list_remote(options, listing, err))) {
        error_wrap(err, "list the refs of '%s'", options->url);
        return NULL;
    }
    listing_settle(listing);
    return &TAKE(listing)->refs;
}

#include "runtime/cli/post.h"

#include "runtime/cli/story.h"
#include "runtime/local/carrier.h"
#include "runtime/signature.h"
#include "shared/http/client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 64, POST_TIMEOUT_MS = 60000 };

static bool call(const struct http_request *wanted, const char *to, bool show, struct error *err)
{
    struct http_request request = *wanted;
    AUTO(http_response_release) struct http_response response = { 0 };
    AUTO(http_client_free) struct http_client *client = http_client_new(NULL, err);
    if (strncmp(to, "unix:", 5) == 0) {
        request.unix_socket = to + 5;
        request.url = "http://localhost/";
    }
    request.timeout_ms = POST_TIMEOUT_MS;
    if (!client)
        return false;
    if (!http_call(client, &request, &response, err))
        return err->kind == ERROR_UNAVAILABLE
                   ? error_wrap(err, "nobody takes it at '%s' (is 'pushwright up' running?)", to)
                   : false;
    if (show && response.body.len > 0)
        printf("%s\n", bytes_text(&response.body));
    if (response.status < 300)
        return true;
    http_status_error(&request, &response, err);
    return response.body.len == 0
               ? false
               : error_set(err, err->kind, "%d: %.800s", response.status, bytes_text(&response.body));
}

bool post_event(const char *to, const struct event *event, bool again, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(2 * EVENT_MAX);
    if (!event_encode_structured(&text, event, err))
        return false;
    const struct http_header headers[] = {
        { "Content-Type", "application/cloudevents+json; charset=UTF-8" },
        { CARRIER_AGAIN, "true" },
    };
    const struct http_request request = {
        .method = "POST",
        .url = to,
        .headers = headers,
        .header_count = again ? 2 : 1,
        .body = bytes_span(&text),
    };
    return call(&request, to, false, err);
}

/* The client sets these itself. */
static bool is_ours(struct span name)
{
    static const char *const names[] = { "host",       "content-length", "transfer-encoding",
                                         "connection", "expect",         "accept-encoding" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name.len == strlen(names[i]) && strncasecmp(name.data, names[i], name.len) == 0)
            return true;
    return false;
}

bool post_delivery(const char *url, const char *method, struct span header_lines, struct span body, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    struct http_header headers[HEADERS_MAX];
    size_t count = 0;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    while (header_lines.data) {
        struct span value = span_cut(&header_lines, '\n');
        struct span name = span_trim(span_cut(&value, ':'));
        if (!value.data || is_ours(name))
            continue;
        if (count == HEADERS_MAX)
            return error_set(err, ERROR_INVALID, "more than %d headers", HEADERS_MAX);
        headers[count].name = arena_dup(arena, name);
        headers[count++].value = arena_dup(arena, span_trim(value));
    }
    const struct http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .header_count = count,
        .body = body,
    };
    return call(&request, url, true, err);
}

const char *post_default_sink(struct arena *arena, const char *state_dir)
{
    return arena_printf(arena, "unix:%s/run/sink.sock", state_dir ? state_dir : STATE_DEFAULT);
}

bool post_sign(struct arena *arena, const char *state_dir, const char *key_file, struct event *event, struct error *err)
{
    const char *path = key_file ? key_file : arena_printf(arena, "%s/chain.key", state_dir ? state_dir : STATE_DEFAULT);
    AUTO(keyring_free) struct keyring *ring = keyring_new();
    struct attribute *extensions = arena_take(arena, (event->extension_count + 1) * sizeof *extensions);
    if (!path || !ring || !extensions)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    AUTO(secret_free) struct secret *key = secret_from_file(path, err);
    if (!key || !keyring_add(ring, TAKE(key), err))
        return error_wrap(err, "the chain's key (--key FILE names another)");
    const char *value = signature_make(ring, arena, event, err);
    if (!value)
        return false;
    if (event->extension_count > 0)
        memcpy(extensions, event->extensions, event->extension_count * sizeof *extensions);
    extensions[event->extension_count] = (struct attribute){ .name = SIGNATURE_ATTRIBUTE, .value = value };
    event->extensions = extensions;
    event->extension_count++;
    return true;
}

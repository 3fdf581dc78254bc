#include "runtime/envelope.h"

#include "runtime/server_message.h"

#include <string.h>
#include <strings.h>

/* --- Fn ------------------------------------------------------------------------------------------------------------------ */

#define FN_HEADER "Fn-Http-H-"
#define FN_DEADLINE "Fn-Deadline"

static bool is_from_trigger(const struct request *in)
{
    return request_header(in, "Fn-Http-Method", NULL).len > 0;
}

/* The caller's headers, behind the deadline that Fn itself tells. */
static bool open_headers(struct arena *arena, const struct request *in, struct request *out, struct error *err)
{
    const size_t prefix = strlen(FN_HEADER);
    struct request_header *headers = arena_take(arena, (in->header_count + 1) * sizeof *headers);
    if (!headers)
        return arena_no_room(arena, "the request", err);
    headers[0] = (struct request_header){ SPAN(FN_DEADLINE), request_header(in, FN_DEADLINE, NULL) };
    size_t count = 1;
    for (size_t i = 0; i < in->header_count; i++) {
        struct span name = in->headers[i].name;
        if (name.len > prefix && strncasecmp(name.data, FN_HEADER, prefix) == 0)
            headers[count++] =
                (struct request_header){ { name.data + prefix, name.len - prefix }, in->headers[i].value };
    }
    out->headers = headers;
    out->header_count = count;
    return true;
}

/* "/t/APP/hooks/github" of a trigger is "/hooks/github" of the function. */
static struct span without_application(struct span path)
{
    if (!span_starts(path, "/t/"))
        return path;
    struct span rest = { path.data + 3, path.len - 3 };
    span_cut(&rest, '/');
    return rest.data ? (struct span){ rest.data - 1, rest.len + 1 } : SPAN("/");
}

static bool fn_open(struct arena *arena, const struct request *in, struct request *out, struct error *err)
{
    *out = *in;
    out->path = SPAN("/");
    if (!is_from_trigger(in))
        return true;
    out->method = request_header(in, "Fn-Http-Method", NULL);
    struct span url = request_header(in, "Fn-Http-Request-Url", NULL);
    if (!message_target_split(out->method, url, &out->path, &out->query))
        return error_set(err, ERROR_INVALID, "Fn-Http-Request-Url is not the URL of a request");
    out->path = without_application(out->path);
    return open_headers(arena, in, out, err);
}

/* Each line with the prefix in front. */
static bool add_lines(struct bytes *out, const char *prefix, struct span lines, struct error *err)
{
    while (lines.len > 0) {
        struct span line = span_cut(&lines, '\n');
        if (!bytes_append_text(out, prefix, err) || !bytes_append_span(out, line, err) ||
            !bytes_append_char(out, '\n', err))
            return false;
    }
    return true;
}

/* What the server writes itself has its own place in the caller's answer, too. */
static bool add_own(struct bytes *out, const struct reply *reply, struct error *err)
{
    return (!reply->allow || bytes_printf(out, err, FN_HEADER "Allow: %s\r\n", reply->allow)) &&
           (!reply->retry_after_s || bytes_printf(out, err, FN_HEADER "Retry-After: %u\r\n", reply->retry_after_s));
}

static bool close_headers(struct reply *reply, struct error *err)
{
    AUTO(bytes_release) struct bytes lines = BYTES(SERVER_HEADERS_MAX);
    if (!add_lines(&lines, FN_HEADER, bytes_span(&reply->headers), err) || !add_own(&lines, reply, err))
        return false;
    bytes_clear(&reply->headers);
    reply->allow = NULL;
    reply->retry_after_s = 0;
    return bytes_append_span(&reply->headers, bytes_span(&lines), err);
}

static void fn_close(const struct request *in, struct reply *reply)
{
    struct error ignored = { 0 };
    bool triggered = is_from_trigger(in), good = triggered ? close_headers(reply, &ignored) : reply->status < 300;
    bytes_printf(&reply->headers, &ignored, "Fn-Http-Status: %d\r\n", reply->status ? reply->status : 200);
    reply->status = good ? 200 : 502;
}

const struct envelope envelope_fn = { fn_open, fn_close };

/* --- Alibaba Function Compute -------------------------------------------------------------------------------------------- */

static void fc_close(const struct request *in, struct reply *reply)
{
    struct error ignored = { 0 };
    (void)in;
    bytes_append_text(&reply->headers, reply->status < 300 ? "x-fc-status: 200\r\n" : "x-fc-status: 404\r\n", &ignored);
}

const struct envelope envelope_fc = { NULL, fc_close };

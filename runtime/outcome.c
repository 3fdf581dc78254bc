#include "runtime/outcome.h"

#include "shared/base/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Never 404: Knative would send the event again, ten times. */
static const struct outcome {
    int status;
    const char *title;
    unsigned retry_after_s;
} outcomes[] = {
    [ERROR_NONE] = { 500, "internal error", 0 },
    [ERROR_INVALID] = { 400, "bad request", 0 },
    [ERROR_DENIED] = { 403, "forbidden", 0 },
    [ERROR_NOT_FOUND] = { 400, "no such thing", 0 },
    [ERROR_TOO_LARGE] = { 413, "too large", 0 },
    [ERROR_UNSUPPORTED] = { 415, "not supported", 0 },
    [ERROR_CONFLICT] = { 409, "in progress or not yet possible", 5 },
    [ERROR_BUSY] = { 429, "busy", 5 },
    [ERROR_UNAVAILABLE] = { 503, "a peer is unavailable", 5 },
    [ERROR_UNCERTAIN] = { 503, "a peer did not answer", 5 },
    [ERROR_INTERNAL] = { 500, "internal error", 0 },
};
static_assert(sizeof outcomes / sizeof outcomes[0] == ERROR_KINDS, "a row for every kind");

static bool write_problem(struct bytes *out, const struct outcome *outcome, const struct error *err, size_t detail_len)
{
    struct error ignored = { 0 };
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "title", outcome->title);
    json_add_integer(&w, "status", outcome->status);
    json_add_string(&w, "kind", error_kind_name(err->kind));
    json_add_span(&w, "detail", (struct span){ err->message, detail_len });
    json_close_object(&w);
    return json_writer_end(&w, &ignored);
}

/* Not in the middle of a character. */
static size_t cut_text(const char *text, size_t len)
{
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

void outcome_reply(struct reply *reply, const struct error *err)
{
    const struct outcome *outcome = &outcomes[err->kind];
    reply->status = outcome->status;
    reply->retry_after_s = 0;
    if (outcome->retry_after_s)
        reply->retry_after_s = err->retry_after_s ? err->retry_after_s : outcome->retry_after_s;
    reply->content_type = "application/problem+json";
    /* Escapes may make it longer than it looks: less and less until it fits. */
    bytes_release(&reply->body);
    bytes_init(&reply->body, PROBLEM_MAX);
    size_t len = strnlen(err->message, sizeof err->message);
    while (!write_problem(&reply->body, outcome, err, len) && len > 0) {
        bytes_clear(&reply->body);
        len = cut_text(err->message, len - (len > 32 ? 32 : len));
    }
}

void outcome_wrong_method(struct reply *reply, const char *allow)
{
    static const char problem[] = "{\"title\":\"method not allowed\",\"status\":405,\"kind\":\"invalid\","
                                  "\"detail\":\"events are sent with POST\"}";
    struct error ignored = { 0 };
    reply->status = 405;
    reply->allow = allow;
    reply->content_type = "application/problem+json";
    bytes_append(&reply->body, problem, sizeof problem - 1, &ignored);
}

int outcome_exit_code(const struct error *err)
{
    return error_is_temporary(err) ? EXIT_FAILURE : EXIT_PERMANENT;
}

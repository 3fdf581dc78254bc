#include "shared/kube/status.h"

#include <stdio.h>
#include <string.h>

enum { STATUS_ARENA_MAX = 1024 * 1024, STATUS_TEXT_MAX = 64 * 1024, CAUSES_TOLD = 3 };

/* What the API conventions say of codes, and what somebody who reads it can do. */
static const struct {
    int first, last;
    enum error_kind kind;
    const char *name, *advice; /* NULL: the server's words are enough */
} rows[] = {
    { 400, 400, ERROR_INVALID, "Bad Request", NULL },
    { 401, 401, ERROR_DENIED, "Unauthorized",
      "the cluster does not know this token or certificate: has it expired, or is it another cluster's?" },
    { 403, 403, ERROR_DENIED, "Forbidden", NULL },
    { 404, 404, ERROR_NOT_FOUND, "Not Found", NULL },
    { 405, 405, ERROR_UNSUPPORTED, "Method Not Allowed", NULL },
    { 409, 409, ERROR_CONFLICT, "Conflict", NULL },
    { 410, 410, ERROR_NOT_FOUND, "Gone", NULL },
    { 413, 413, ERROR_TOO_LARGE, "Too Large", NULL },
    { 415, 415, ERROR_UNSUPPORTED, "Unsupported Media Type", "this kind of object does not take this kind of patch" },
    { 422, 422, ERROR_INVALID, "Invalid", NULL },
    { 429, 429, ERROR_BUSY, "Too Many Requests", NULL },
    { 500, 599, ERROR_UNAVAILABLE, "Server Error", NULL },
};

/* What a server means that has no name for it, by how it says it. */
static const struct {
    int code;
    const char *words, *advice;
} meanings[] = {
    { 403, " cannot ", "a Role or ClusterRole must allow it: 'pushwright rbac' prints what is needed" },
    { 404, "the server could not find the requested resource", "is this kind of object installed in the cluster?" },
    { 404, "page not found", "is this kind of object installed in the cluster, and 'server' a Kubernetes API server?" },
    { 404, " not found", "do cluster, namespace and name stand for what is meant?" },
};

static const char *advice_for(int code, const char *message, size_t row)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].code == code && strstr(message, meanings[i].words))
            return meanings[i].advice;
    return rows[row].advice;
}

static size_t row_of(int code)
{
    size_t last = sizeof rows / sizeof rows[0] - 1;
    for (size_t i = 0; i < last; i++)
        if (code >= rows[i].first && code <= rows[i].last)
            return i;
    return last;
}

void kube_copy_line(char *out, size_t size, struct span text)
{
    size_t len = 0;
    text = span_trim(text);
    for (size_t i = 0; i < text.len && len + 1 < size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool blank = c <= 0x20 || c == 0x7f;
        if (!blank || (len > 0 && out[len - 1] != ' '))
            out[len++] = blank ? ' ' : (char)c;
    }
    out[len] = '\0';
    while (len > 0 && span_utf8_sequence((struct span){ out, len }) == 0 && !span_is_utf8((struct span){ out, len }))
        out[--len] = '\0'; /* a character that was cut */
}

/* What does not fit loses its middle: a server that repeats an object says behind it what is wrong with it. */
static void copy_message(struct kube_refusal *refusal, struct span text)
{
    enum { SIZE = sizeof refusal->message, HEAD = SIZE / 3, TAIL = SIZE - HEAD - sizeof " ... " };
    char head[HEAD], tail[TAIL];
    text = span_trim(text);
    if (text.len < SIZE) {
        kube_copy_line(refusal->message, SIZE, text);
        return;
    }
    size_t from = text.len - (TAIL - 1);
    while (from < text.len && ((unsigned char)text.data[from] & 0xc0) == 0x80)
        from++;
    kube_copy_line(head, sizeof head, text);
    kube_copy_line(tail, sizeof tail, (struct span){ text.data + from, text.len - from });
    snprintf(refusal->message, SIZE, "%s ... %s", head, tail);
}

/* A JSON patch could not be applied, which the API server does not say otherwise: its tests, or what it changes, were written for an object
 * that is no longer so. What it makes of an object is judged in other words. */
static bool is_outdated_patch(int code, const char *message)
{
    return code == 422 && strcmp(message, "the server rejected our request due to an error in our request") == 0;
}

static bool fill(int code, unsigned retry_after_s, const struct kube_refusal *refusal, struct error *err)
{
    size_t row = row_of(code);
    const char *reason = refusal->reason[0] ? refusal->reason : rows[row].name;
    const char *advice = advice_for(code, refusal->message, row);
    enum error_kind kind = is_outdated_patch(code, refusal->message) ? ERROR_CONFLICT : rows[row].kind;
    error_set(err, code < 400 ? ERROR_UNAVAILABLE : kind, "%d %s%s%s%s%s%s", code, reason,
              refusal->message[0] ? ": " : "", refusal->message, advice ? " (" : "", advice ? advice : "",
              advice ? ")" : "");
    err->retry_after_s = retry_after_s;
    return false;
}

/* The message of an Invalid names its causes already; others keep them in details. */
static void add_causes(struct kube_refusal *refusal, const struct json *details)
{
    int told = 0;
    for (const struct json *one = json_first(json_get(details, "causes")); one && told < CAUSES_TOLD;
         one = json_next(one)) {
        const char *words = json_get_string(one, "message"), *field = json_get_string(one, "field");
        size_t len = strlen(refusal->message);
        if (!words || strstr(refusal->message, words))
            continue;
        char more[256];
        snprintf(more, sizeof more, "; %s%s%s", field ? field : "", field ? ": " : "", words);
        kube_copy_line(refusal->message + len, sizeof refusal->message - len, span_of(more));
        told++;
    }
}

bool kube_status_tree_error(int code, const struct json *status, unsigned retry_after_s, struct kube_refusal *refusal,
                            struct error *err)
{
    const struct json *details = json_get(status, "details");
    const char *reason = json_get_string(status, "reason"), *message = json_get_string(status, "message");
    int64_t its_code = 0, wait = 0;
    if (json_integer(json_get(status, "code"), &its_code) && its_code >= 400 && its_code <= 599)
        code = (int)its_code;
    if (retry_after_s == 0 && json_integer(json_get(details, "retryAfterSeconds"), &wait) && wait > 0 &&
        wait < 24 * 3600)
        retry_after_s = (unsigned)wait;
    *refusal = (struct kube_refusal){ .code = code };
    kube_copy_line(refusal->reason, sizeof refusal->reason, span_of(reason ? reason : ""));
    copy_message(refusal, span_of(message ? message : ""));
    add_causes(refusal, details);
    return fill(code, retry_after_s, refusal, err);
}

bool kube_status_error(int code, struct span body, unsigned retry_after_s, struct kube_refusal *refusal,
                       struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(STATUS_ARENA_MAX);
    struct error ignored = { 0 };
    char *text = arena && body.len <= STATUS_TEXT_MAX ? arena_dup(arena, body) : NULL;
    const struct json *status = text ? json_parse(arena, span_of(text), &ignored) : NULL;
    const char *kind = json_get_string(status, "kind");
    if (kind && strcmp(kind, "Status") == 0)
        return kube_status_tree_error(code, status, retry_after_s, refusal, err);
    *refusal = (struct kube_refusal){ .code = code }; /* a proxy's or gateway's words */
    kube_copy_line(refusal->message, 200, body);
    return fill(code, retry_after_s, refusal, err);
}

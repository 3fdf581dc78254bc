/* An answer as bytes: one head, one system call. */
#include "runtime/server_internal.h"

#include "shared/base/encode.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

static const struct {
    int status;
    const char *text;
} statuses[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
};

static const char *status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].status == status)
            return statuses[i].text;
    return "Unknown";
}

/* RFC 9457. The reason is static text of ours or of the parser; quotes in it must not end the JSON string. */
static void write_problem(struct reply *reply, int status, const char *reason)
{
    struct error err = { 0 };
    bytes_clear(&reply->body);
    bool ok =
        bytes_printf(&reply->body, &err, "{\"title\":\"%s\",\"status\":%d,\"detail\":\"", status_text(status), status);
    for (const char *c = reason; ok && *c; c++)
        ok = bytes_append_char(&reply->body, *c == '"' || *c == '\\' || *c < ' ' ? '\'' : *c, &err);
    if (!ok || !bytes_append_text(&reply->body, "\"}", &err))
        bytes_clear(&reply->body); /* memory is out: the status alone has to do */
    reply->content_type = reply->body.len > 0 ? "application/problem+json" : NULL;
}

void exchange_refuse(struct exchange *exchange, int status, const char *reason)
{
    struct reply *reply = &exchange->reply;
    reply->status = status;
    reply->retry_after_s = status == 503 ? 1 : 0;
    reply->allow = NULL;
    bytes_clear(&reply->headers);
    write_problem(reply, status, reason);
}

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* "Name: value", and no name that decides about framing or that the server writes itself. */
static bool is_safe_line(struct span line)
{
    static const char *const reserved[] = { "Content-Length", "Transfer-Encoding",
                                            "Connection",     "Content-Type",
                                            "Retry-After",    "Allow",
                                            "Trailer",        "Upgrade" };
    long colon = span_find(line, ':');
    if (colon <= 0)
        return false;
    struct span name = { line.data, (size_t)colon };
    for (size_t i = 0; i < name.len; i++)
        if (!is_token(name.data[i]))
            return false;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (message_name_is(name, reserved[i]))
            return false;
    return message_value_is_clean((struct span){ line.data + colon + 1, line.len - (size_t)colon - 1 });
}

bool reply_headers_are_safe(struct span lines)
{
    while (lines.len > 0) {
        long end = span_find(lines, '\n');
        if (end < 1 || lines.data[end - 1] != '\r' || !is_safe_line((struct span){ lines.data, (size_t)end - 1 }))
            return false;
        lines.data += end + 1;
        lines.len -= (size_t)end + 1;
    }
    return true;
}

/* A writer of lines into the fixed room; once it does not fit, it stays so. */
struct head_writer {
    char *at;
    size_t left;
    bool ok;
};

static void head_add(struct head_writer *w, const char *text)
{
    size_t len = strlen(text);
    w->ok = w->ok && len <= w->left;
    if (!w->ok)
        return;
    memcpy(w->at, text, len);
    w->at += len;
    w->left -= len;
}

static void head_text(struct head_writer *w, const char *name, const char *value)
{
    head_add(w, name);
    head_add(w, ": ");
    head_add(w, value);
    head_add(w, "\r\n");
}

static void head_number(struct head_writer *w, const char *name, size_t number)
{
    char text[DECIMAL_SIZE];
    decimal_encode(text, number);
    head_text(w, name, text);
}

static void head_status(struct head_writer *w, int status)
{
    char text[DECIMAL_SIZE];
    decimal_encode(text, (uint64_t)status);
    head_add(w, "HTTP/1.1 ");
    head_add(w, text);
    head_add(w, " ");
    head_add(w, status_text(status));
    head_add(w, "\r\n");
}

static bool has_no_body(int status)
{
    return status == 204 || status == 304;
}

static bool write_head(struct exchange *exchange)
{
    const struct reply *reply = &exchange->reply;
    struct head_writer w = { exchange->head, sizeof exchange->head, true };
    head_status(&w, reply->status);
    if (reply->content_type && !has_no_body(reply->status))
        head_text(&w, "Content-Type", reply->content_type);
    if (!has_no_body(reply->status))
        head_number(&w, "Content-Length", reply->body.len);
    if (reply->retry_after_s > 0)
        head_number(&w, "Retry-After", reply->retry_after_s);
    if (reply->allow)
        head_text(&w, "Allow", reply->allow);
    if (exchange->close_after)
        head_text(&w, "Connection", "close");
    else if (exchange->message.http10)
        head_text(&w, "Connection", "keep-alive");
    exchange->head_len = w.ok ? (size_t)(w.at - exchange->head) : 0;
    return w.ok;
}

static bool is_answerable(const struct reply *reply)
{
    return reply->status >= 200 && reply->status <= 599 &&
           (!reply->content_type || message_value_is_clean(span_of(reply->content_type))) &&
           (!reply->allow || message_value_is_clean(span_of(reply->allow))) &&
           reply_headers_are_safe(bytes_span(&reply->headers));
}

void exchange_render(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    if (reply->status == 0)
        reply->status = 200;
    if (is_answerable(reply) && write_head(exchange))
        return;
    exchange_refuse(exchange, 500, "the answer could not be written");
    write_head(exchange);
}

/* The parts of the answer behind the first `sent` bytes. */
static size_t parts_left(struct exchange *exchange, struct iovec out[static 4])
{
    const struct reply *reply = &exchange->reply;
    static const char blank_line[] = "\r\n";
    bool body = !has_no_body(reply->status) && !span_is(exchange->message.request.method, "HEAD");
    const struct span parts[] = { { exchange->head, exchange->head_len },
                                  { reply->headers.data, reply->headers.len },
                                  { blank_line, 2 },
                                  { reply->body.data, body ? reply->body.len : 0 } };
    size_t skip = exchange->sent, count = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t cut = skip < parts[i].len ? skip : parts[i].len;
        skip -= cut;
        if (parts[i].len > cut)
            out[count++] = (struct iovec){ (void *)(uintptr_t)(parts[i].data + cut), parts[i].len - cut };
    }
    return count;
}

enum sent exchange_send(struct exchange *exchange, int fd)
{
    for (;;) {
        struct iovec parts[4];
        struct msghdr message = { .msg_iov = parts,
                                  .msg_iovlen = (__typeof__(message.msg_iovlen))parts_left(exchange, parts) };
        if (message.msg_iovlen == 0)
            return SENT_ALL;
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? SENT_PART : SENT_FAILED;
        exchange->sent += (size_t)n;
    }
}

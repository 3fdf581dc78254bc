/* A connection's bytes as requests, one after the other. The same bytes are fed whole and in pieces (the first byte of
 * the input says how large): both must give the same requests and the same end. Spans must stay inside what was sent. */
#include "runtime/server_message.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 4096, REQUESTS_MAX = 64 };

struct outcome {
    size_t requests;
    int status; /* of the refusal; 0: none */
    size_t body, fields;
    uint32_t sum; /* of everything a handler would see */
};

static void require(bool truth)
{
    if (!truth)
        __builtin_trap();
}

static void add(struct outcome *outcome, struct span span)
{
    for (size_t i = 0; i < span.len; i++)
        outcome->sum = outcome->sum * 31 + (unsigned char)span.data[i];
    outcome->sum = outcome->sum * 31 + (span.data ? 7 : 3);
}

static void look_at(struct outcome *outcome, const struct message *message)
{
    const struct request *request = &message->request;
    require(request->path.len > 0 && (request->path.data[0] == '/' || span_is(request->path, "*")));
    require(request->header_count <= SERVER_FIELDS_MAX && request->body.len <= BODY_MAX);
    size_t hosts = 0;
    request_header(request, "host", &hosts);
    require(hosts == 1 || (message->http10 && hosts == 0));
    add(outcome, request->method);
    add(outcome, request->path);
    add(outcome, request->query);
    for (size_t i = 0; i < request->header_count; i++) {
        require(message_value_is_clean(request->headers[i].value));
        add(outcome, request->headers[i].name);
        add(outcome, request->headers[i].value);
    }
    add(outcome, request->body);
    outcome->requests++;
    outcome->fields += request->header_count;
    outcome->body += request->body.len;
}

/* Feeds one message in pieces; returns how much of the bytes it took. */
static size_t feed(struct message *message, const char *data, size_t len, size_t piece)
{
    size_t at = 0;
    while (at < len && (message->state == MESSAGE_HEAD || message->state == MESSAGE_BODY)) {
        size_t n = len - at < piece ? len - at : piece;
        size_t used = message_feed(message, data + at, n);
        require(used <= n);
        require(used == n || message->state == MESSAGE_COMPLETE || message->state == MESSAGE_REFUSED);
        at += used;
    }
    return at;
}

static struct outcome run(const char *data, size_t len, size_t piece)
{
    struct outcome outcome = { 0 };
    while (len > 0 && outcome.requests < REQUESTS_MAX) {
        AUTO(message_release) struct message message;
        message_init(&message, BODY_MAX);
        size_t used = feed(&message, data, len, piece);
        data += used;
        len -= used;
        if (message.state == MESSAGE_REFUSED) {
            require(message.status >= 400 && message.status <= 599 && message.reason);
            outcome.status = message.status;
            break;
        }
        if (message.state != MESSAGE_COMPLETE)
            break;
        look_at(&outcome, &message);
        if (!message.keep_alive)
            break;
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    struct outcome whole = run(text, size - 1, size), parts = run(text, size - 1, (size_t)data[0] % 64 + 1);
    require(whole.requests == parts.requests && whole.sum == parts.sum && whole.body == parts.body &&
            whole.fields == parts.fields);
    /* How far a refused message was read, and so which of its mistakes came first, may depend on the pieces; that it
     * is refused, not. */
    require((whole.status == 0) == (parts.status == 0));
    return 0;
}

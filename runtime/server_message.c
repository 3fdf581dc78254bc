#include "runtime/server_message.h"

#include <assert.h>
#include <llhttp.h>
#include <string.h>
#include <strings.h>

static_assert(sizeof(llhttp_t) <= sizeof((struct message *)0)->parser, "the library's state fits");

/* What framing may cost: chunk sizes, extensions and trailers beyond this share of the body are an attack, not a
 * message. One byte a chunk, the worst that an honest sender does, costs six. */
enum { FRAMING_FREE = 16 * 1024, FRAMING_FACTOR = 8 };

static struct message *message_of(llhttp_t *parser)
{
    return parser->data;
}

static int refuse(struct message *message, int status, const char *reason)
{
    message_refuse(message, status, reason);
    return HPE_USER;
}

void message_refuse(struct message *message, int status, const char *reason)
{
    message->state = MESSAGE_REFUSED;
    message->status = status;
    message->reason = reason;
}

static int keep(struct message *message, const char *at, size_t len)
{
    struct error err = { 0 };
    if (message->head.capacity == 0 && !bytes_reserve(&message->head, 1023, &err))
        return refuse(message, 503, "out of memory");
    if (bytes_append(&message->head, at, len, &err))
        return 0;
    return err.kind == ERROR_TOO_LARGE ? refuse(message, 431, "the header fields are too large")
                                       : refuse(message, 503, "out of memory");
}

/* The words of the request line stand one blank apart; the library lets more pass (RFC 9112 section 3). */
static int follow_word(struct message *message, const char *at, size_t gap, size_t len)
{
    size_t start = message->head_wire + (size_t)(at - message->piece);
    if (start != message->line_end + gap)
        return refuse(message, 400, "more than one blank in the request line");
    message->line_end = start + len;
    return 0;
}

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
    struct message *message = message_of(parser);
    message->line_end = message->head_wire + (size_t)(at - message->piece) + len;
    return 0;
}

static int on_version(llhttp_t *parser, const char *at, size_t len)
{
    struct message *message = message_of(parser);
    bool again =
        message->head_wire + (size_t)(at - message->piece) == message->line_end; /* the next part of the same word */
    return follow_word(message, at, again ? 0 : strlen(" HTTP/"), len);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct message *message = message_of(parser);
    const size_t around = strlen(llhttp_method_name(llhttp_get_method(parser))) + strlen("  HTTP/1.1\r\n");
    message->target_len += len;
    if (message->target_len + around > SERVER_LINE_MAX)
        return refuse(message, 414, "the request line is too long");
    if (follow_word(message, at, message->target_len == len ? strlen(" ") : 0, len) != 0)
        return HPE_USER;
    return keep(message, at, len);
}

static bool field_room(struct message *message)
{
    if (message->field_count < message->field_capacity)
        return true;
    size_t capacity = message->field_capacity ? message->field_capacity * 2 : 16;
    struct request_header *fields = realloc(message->fields, capacity * sizeof *fields);
    if (!fields)
        return false;
    memset(fields + message->field_capacity, 0, (capacity - message->field_capacity) * sizeof *fields);
    message->fields = fields;
    message->field_capacity = capacity;
    return true;
}

/* Trailers come through the same callbacks; they are checked by the library, counted as framing, and dropped. */
static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct message *message = message_of(parser);
    if (message->state != MESSAGE_HEAD)
        return 0;
    if (message->field_count == SERVER_FIELDS_MAX)
        return refuse(message, 431, "too many header fields");
    if (!field_room(message))
        return refuse(message, 503, "out of memory");
    message->fields[message->field_count].name.len += len;
    return keep(message, at, len);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct message *message = message_of(parser);
    if (message->state != MESSAGE_HEAD)
        return message_value_is_clean((struct span){ at, len })
                   ? 0
                   : refuse(message, 400, "control character in a trailer");
    message->fields[message->field_count].value.len += len;
    return keep(message, at, len);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct message *message = message_of(parser);
    if (message->state == MESSAGE_HEAD)
        message->field_count++;
    return 0;
}

/* The head is complete and moves no more: let the spans point into it. */
static void point_into_head(struct message *message)
{
    const char *at = message->head.data + message->target_len;
    for (size_t i = 0; i < message->field_count; i++) {
        struct request_header *field = &message->fields[i];
        field->name.data = at;
        at += field->name.len;
        field->value.data = at;
        at += field->value.len;
        field->value = span_trim(field->value);
    }
    message->request.headers = message->fields;
    message->request.header_count = message->field_count;
}

static bool take_content_length(struct message *message, struct span value)
{
    if (value.len == 0 || value.len > 19)
        return refuse(message, 400, "Content-Length is not a number"), false;
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return refuse(message, 400, "Content-Length is not a number"), false;
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    message->content_length = length;
    return true;
}

static bool take_transfer_encoding(struct message *message, struct span value)
{
    if (message->http10)
        return refuse(message, 400, "Transfer-Encoding in HTTP/1.0"), false;
    if (message->chunked || !message_name_is(value, "chunked"))
        return refuse(message, 501, "a transfer coding other than chunked"), false;
    message->chunked = true;
    return true;
}

static bool take_host(struct message *message, struct span value)
{
    return message_host_is_valid(value) ? true : (refuse(message, 400, "invalid Host"), false);
}

/* Source: RFC 9110 section 10.1.1; an expectation in HTTP/1.0 is ignored. */
static bool take_expect(struct message *message, struct span value)
{
    if (message->http10)
        return true;
    if (!message_name_is(value, "100-continue"))
        return refuse(message, 417, "an expectation other than 100-continue"), false;
    message->expects_continue = true;
    return true;
}

/* The fields that decide about framing and routing. */
static const struct {
    const char *name;
    bool (*take)(struct message *message, struct span value);
    bool once;
} known_fields[] = {
    { "Host", take_host, true },
    { "Content-Length", take_content_length, true },
    { "Transfer-Encoding", take_transfer_encoding, true },
    { "Expect", take_expect, false },
};
enum { KNOWN_HOST, KNOWN_FIELDS = sizeof known_fields / sizeof known_fields[0] };

static bool take_fields(struct message *message)
{
    unsigned seen[KNOWN_FIELDS] = { 0 };
    for (size_t i = 0; i < message->field_count; i++) {
        const struct request_header *field = &message->fields[i];
        if (!message_value_is_clean(field->value))
            return refuse(message, 400, "control character in a header field"), false;
        for (size_t k = 0; k < KNOWN_FIELDS; k++) {
            if (!message_name_is(field->name, known_fields[k].name))
                continue;
            if (seen[k]++ > 0 && known_fields[k].once)
                return refuse(message, 400, "a header field that may stand once stands twice"), false;
            if (!known_fields[k].take(message, field->value))
                return false;
        }
    }
    if (seen[KNOWN_HOST] == 0 && !message->http10)
        return refuse(message, 400, "no Host"), false;
    return true;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct message *message = message_of(parser);
    int major = llhttp_get_http_major(parser), minor = llhttp_get_http_minor(parser);
    if (major != 1 || minor > 1)
        return refuse(message, 505, "a version other than HTTP/1.0 and HTTP/1.1");
    message->http10 = minor == 0;
    if (llhttp_get_method(parser) == HTTP_CONNECT)
        return refuse(message, 501, "this is not a proxy");
    point_into_head(message);
    struct request *request = &message->request;
    request->method = span_of(llhttp_method_name(llhttp_get_method(parser)));
    if (!message_target_split(request->method, (struct span){ message->head.data, message->target_len }, &request->path,
                              &request->query))
        return refuse(message, 400, "invalid request target");
    if (!take_fields(message))
        return HPE_USER;
    if (message->content_length > message->body.max)
        return refuse(message, 413, "the body is too large");
    /* An offer to change the protocol is declined by going on with HTTP/1.1 (RFC 9110 section 7.8). */
    parser->upgrade = 0;
    message->state = MESSAGE_BODY;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct message *message = message_of(parser);
    struct bytes *body = &message->body;
    if (len > body->max - body->len)
        return refuse(message, 413, "the body is too large");
    /* Read in place, as message_plain_remaining allows: the bytes stand where they belong. */
    if (body->data && at == body->data + body->len) {
        body->len += len;
        body->data[body->len] = '\0';
        return 0;
    }
    size_t room =
        message->content_length > len && message->content_length <= 4 * FRAMING_FREE ? message->content_length : len;
    struct error err = { 0 };
    if ((body->capacity == 0 && !bytes_reserve(body, room, &err)) || !bytes_append(body, at, len, &err))
        return refuse(message, 503, "out of memory");
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct message *message = message_of(parser);
    message->keep_alive = llhttp_should_keep_alive(parser) == 1;
    message->request.body = bytes_span(&message->body);
    message->state = MESSAGE_COMPLETE;
    return HPE_PAUSED; /* what follows is another request */
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_version = on_version,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void message_init(struct message *message, size_t body_max)
{
    *message = (struct message){ .head = BYTES(SERVER_LINE_MAX + SERVER_HEADERS_MAX), .body = BYTES(body_max) };
    llhttp_t *parser = (llhttp_t *)message->parser;
    llhttp_init(parser, HTTP_REQUEST, &settings);
    parser->data = message;
}

void message_reset(struct message *message, size_t body_max)
{
    struct message old = *message;
    message_init(message, body_max);
    message->head = old.head;
    message->body = old.body;
    message->body.max = body_max;
    bytes_clear(&message->head);
    bytes_clear(&message->body);
    message->fields = old.fields;
    message->field_capacity = old.field_capacity;
    if (message->fields)
        memset(message->fields, 0, old.field_capacity * sizeof *old.fields);
}

void message_release(struct message *message)
{
    bytes_release(&message->head);
    bytes_release(&message->body);
    free(message->fields);
    message->fields = NULL;
}

/* A method that is a word, but not one of ours, is told apart from bytes that are no HTTP at all (a TLS hello, say). */
static bool begins_with_word(const char *data, size_t len)
{
    size_t n = 0;
    while (n < len && ((data[n] >= 'A' && data[n] <= 'Z') || data[n] == '-'))
        n++;
    return n > 0 && n < len && data[n] == ' ';
}

static void refuse_by_parser(struct message *message, llhttp_t *parser, bool first, const char *data, size_t len)
{
    llhttp_errno_t code = llhttp_get_errno(parser);
    if (code == HPE_INVALID_METHOD && first && begins_with_word(data, len))
        message_refuse(message, 501, "unknown method");
    else if (code == HPE_PAUSED_H2_UPGRADE)
        message_refuse(message, 505, "HTTP/2 is not spoken here");
    else
        message_refuse(message, 400,
                       llhttp_get_error_reason(parser) ? llhttp_get_error_reason(parser) : "malformed request");
}

/* Blanks before a value and bytes between chunks reach no callback: they are bounded here. */
static void bound_framing(struct message *message)
{
    if (message->state == MESSAGE_HEAD && message->head_wire > SERVER_LINE_MAX + SERVER_HEADERS_MAX)
        message_refuse(message, 431, "the request's head is too large");
    else if (message->state == MESSAGE_BODY && message->chunked &&
             message->body_wire > FRAMING_FREE + FRAMING_FACTOR * (message->body.len + 1))
        message_refuse(message, 400, "more chunk framing than body");
}

size_t message_feed(struct message *message, const char *data, size_t len)
{
    assert(message->state == MESSAGE_HEAD || message->state == MESSAGE_BODY);
    llhttp_t *parser = (llhttp_t *)message->parser;
    const bool first = message->head_wire == 0, in_head = message->state == MESSAGE_HEAD;
    message->piece = data;
    llhttp_errno_t code = llhttp_execute(parser, data, len);
    size_t used = len;
    if (code != HPE_OK) {
        const char *stopped = llhttp_get_error_pos(parser);
        used = stopped >= data && stopped <= data + len ? (size_t)(stopped - data) : len;
        if (message->state != MESSAGE_COMPLETE && message->state != MESSAGE_REFUSED)
            refuse_by_parser(message, parser, first, data, len);
    }
    *(in_head ? &message->head_wire : &message->body_wire) += used;
    bound_framing(message);
    return used;
}

size_t message_plain_remaining(const struct message *message)
{
    return message->state == MESSAGE_BODY && !message->chunked ? (size_t)message->content_length - message->body.len
                                                               : 0;
}

struct span request_header(const struct request *request, const char *name, size_t *count)
{
    struct span first = { NULL, 0 };
    size_t found = 0;
    for (size_t i = 0; i < request->header_count; i++)
        if (message_name_is(request->headers[i].name, name) && found++ == 0)
            first = request->headers[i].value;
    if (count)
        *count = found;
    return first;
}

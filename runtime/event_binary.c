/* Binary mode: attributes as ce- headers, data as the body. CloudEvents HTTP binding section 3.1. */
#include "runtime/event.h"

#include "runtime/event_build.h"
#include "shared/base/encode.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Printable ASCII but '"' and '%', as far as percent_encode() does not keep it anyway; what is frequent first. */
static const char KEPT[] = "/:,=+!#$&'()*;<>?@[\\]^`{|}";

/* Old senders quote; newer ones never do. RFC 9110 section 5.6.4. */
static bool unquote(char *value, struct error *err)
{
    size_t len = strlen(value);
    if (value[0] != '"')
        return true;
    char *to = value;
    const char *from = value + 1;
    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1])
            from++;
        *to++ = *from;
    }
    if (from != value + len - 1)
        return error_set(err, ERROR_INVALID, "unbalanced quotes");
    *to = '\0';
    return true;
}

/* Exactly one round. */
static bool decode_percent(char *value, struct error *err)
{
    char *to = value;
    for (const char *from = value; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        uint8_t byte;
        if (strlen(from) < 3 || !hex_decode(&byte, 1, (struct span){ from + 1, 2 }))
            return error_set(err, ERROR_INVALID, "'%%' without two hexadecimal digits");
        if (byte == 0)
            return error_set(err, ERROR_INVALID, "a NUL character");
        *to++ = (char)byte;
        from += 2;
    }
    *to = '\0';
    return true;
}

static const char *decode_value(struct arena *arena, const char *name, struct span raw, struct error *err)
{
    raw = span_trim(raw);
    if (raw.len > 0 && memchr(raw.data, '\0', raw.len)) {
        error_set(err, ERROR_INVALID, "header 'ce-%s': a NUL character", name);
        return NULL;
    }
    char *value = arena_dup(arena, raw);
    if (!value) {
        event_no_room(arena, err);
        return NULL;
    }
    if (!unquote(value, err) || !decode_percent(value, err)) {
        error_wrap(err, "header 'ce-%s'", name);
        return NULL;
    }
    return value;
}

/* "ce-Foo" becomes "foo"; NULL when memory is out. */
static const char *attribute_name(struct arena *arena, struct span header)
{
    char *name = arena_dup(arena, (struct span){ header.data + 3, header.len - 3 });
    for (char *c = name; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

static bool decode_attribute(struct event_builder *builder, const struct event_header *header, struct error *err)
{
    const char *name = attribute_name(builder->arena, header->name);
    if (!name)
        return event_no_room(builder->arena, err);
    if (!event_name_check(name, err))
        return false;
    if (strcmp(name, "datacontenttype") == 0)
        return error_set(err, ERROR_INVALID, "header 'ce-datacontenttype' is not allowed: Content-Type says it");
    const char *value = decode_value(builder->arena, name, header->value, err);
    return value && event_builder_set(builder, name, value, ATTRIBUTE_STRING, err);
}

static bool decode_content_type(struct event_builder *builder, struct span raw, struct error *err)
{
    const char *value = arena_dup(builder->arena, span_trim(raw));
    if (!value)
        return event_no_room(builder->arena, err);
    return event_builder_set(builder, "datacontenttype", value, ATTRIBUTE_STRING, err);
}

bool event_decode_binary(struct arena *arena, const struct event_header *headers, size_t count, struct span body,
                         struct event *out, struct error *err)
{
    struct event_builder builder = { .arena = arena };
    for (size_t i = 0; i < count; i++) {
        struct span name = headers[i].name;
        if (name.len >= 3 && strncasecmp(name.data, "ce-", 3) == 0) {
            if (!decode_attribute(&builder, &headers[i], err))
                return false;
        } else if (name.len == 12 && strncasecmp(name.data, "content-type", 12) == 0) {
            if (!decode_content_type(&builder, headers[i].value, err))
                return false;
        }
    }
    /* An empty body and no body look alike here. */
    if (body.len > 0)
        builder.event.data = body;
    return event_builder_finish(&builder, out, err);
}

static bool encode_header(struct bytes *out, const char *name, const char *value, struct error *err)
{
    if (!value)
        return true;
    return bytes_append_text(out, "ce-", err) && bytes_append_text(out, name, err) &&
           bytes_append_text(out, ": ", err) && percent_encode(out, span_of(value), KEPT, err) &&
           bytes_append_text(out, "\r\n", err);
}

bool event_encode_headers(struct bytes *out, const struct event *event, struct error *err)
{
    if (!event_check(event, err))
        return false;
    bool good = encode_header(out, "specversion", "1.0", err) && encode_header(out, "id", event->id, err) &&
                encode_header(out, "source", event->source, err) && encode_header(out, "type", event->type, err) &&
                encode_header(out, "subject", event->subject, err) && encode_header(out, "time", event->time, err) &&
                encode_header(out, "dataschema", event->dataschema, err);
    for (size_t i = 0; good && i < event->extension_count; i++)
        good = encode_header(out, event->extensions[i].name, event->extensions[i].value, err);
    if (good && event->datacontenttype)
        good = bytes_append_text(out, "Content-Type: ", err) && bytes_append_text(out, event->datacontenttype, err) &&
               bytes_append_text(out, "\r\n", err);
    return good;
}

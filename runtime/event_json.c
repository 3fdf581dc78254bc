/* Structured and batched mode: the JSON format. Data are cut out of the text as they stand, never parsed and written again. */
#include "runtime/event.h"

#include "runtime/event_build.h"
#include "shared/base/encode.h"
#include "shared/base/json_scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- walking a text that json_scan() has accepted ------------------------------------------------------------------------- */

struct walk {
    const char *at, *end;
};

static void skip_blanks(struct walk *walk)
{
    while (walk->at < walk->end && strchr(" \t\r\n", *walk->at))
        walk->at++;
}

static const char *string_end(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

static const char *container_end(const char *at)
{
    size_t depth = 0;
    do {
        if (*at == '"') {
            at = string_end(at);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (depth > 0);
    return at;
}

/* The next value with the blanks before it skipped. */
static struct span walk_value(struct walk *walk)
{
    skip_blanks(walk);
    const char *start = walk->at;
    if (*start == '"') {
        walk->at = string_end(start);
    } else if (*start == '{' || *start == '[') {
        walk->at = container_end(start);
    } else {
        while (walk->at < walk->end && !strchr(" \t\r\n,]}", *walk->at))
            walk->at++;
    }
    return (struct span){ start, (size_t)(walk->at - start) };
}

/* Step over the opening bracket, a comma or a colon; false at the closing bracket. */
static bool walk_on(struct walk *walk)
{
    skip_blanks(walk);
    if (*walk->at == '}' || *walk->at == ']')
        return false;
    if (*walk->at == ',' || *walk->at == ':')
        walk->at++;
    return true;
}

static bool walk_into(struct walk *walk, char bracket)
{
    skip_blanks(walk);
    if (walk->at == walk->end || *walk->at != bracket)
        return false;
    walk->at++;
    return true;
}

static bool is_json(struct span text, struct error *err)
{
    return json_scan(text, NULL, 0, NULL, NULL, err);
}

/* --- decoding ------------------------------------------------------------------------------------------------------------ */

struct members {
    struct event_builder builder;
    struct span data, data_base64; /* raw JSON values */
};

static const char *text_of(struct arena *arena, struct span raw, struct span *text, struct error *err)
{
    AUTO(bytes_release) struct bytes buffer = BYTES(raw.len);
    if (!json_unquote(&buffer, raw, err))
        return NULL;
    char *copy = arena_dup(arena, bytes_span(&buffer));
    if (!copy) {
        event_no_room(arena, err);
        return NULL;
    }
    if (text)
        *text = (struct span){ copy, buffer.len };
    return copy;
}

/* A signed 32-bit whole number without fraction and exponent, in its canonical form. */
static const char *integer_of(struct arena *arena, const char *name, struct span raw, struct error *err)
{
    char digits[16] = "";
    long long value = INT64_MAX;
    if (raw.len < sizeof digits) {
        memcpy(digits, raw.data, raw.len);
        char *end;
        value = strtoll(digits, &end, 10);
        if (*end)
            value = INT64_MAX;
    }
    if (value < INT32_MIN || value > INT32_MAX) {
        error_set(err, ERROR_INVALID, "attribute '%s' is not a 32-bit whole number", name);
        return NULL;
    }
    const char *text = arena_printf(arena, "%lld", value);
    if (!text)
        event_no_room(arena, err);
    return text;
}

static bool set_attribute(struct event_builder *builder, const char *name, struct span raw, struct error *err)
{
    enum attribute_type type = ATTRIBUTE_STRING;
    const char *value = NULL;
    if (raw.data[0] == '"') {
        value = text_of(builder->arena, raw, NULL, err);
        if (!value)
            return error_wrap(err, "attribute '%s'", name);
    } else if (span_is(raw, "true") || span_is(raw, "false")) {
        type = ATTRIBUTE_BOOLEAN;
        value = span_is(raw, "true") ? "true" : "false";
    } else if (raw.data[0] == '{' || raw.data[0] == '[') {
        return error_set(err, ERROR_INVALID, "attribute '%s' is not a string, number or boolean", name);
    } else {
        type = ATTRIBUTE_INTEGER;
        value = integer_of(builder->arena, name, raw, err);
        if (!value)
            return false;
    }
    return event_builder_set(builder, name, value, type, err);
}

static bool set_member(struct members *members, const char *name, struct span raw, struct error *err)
{
    struct span *data = strcmp(name, "data") == 0          ? &members->data
                        : strcmp(name, "data_base64") == 0 ? &members->data_base64
                                                           : NULL;
    if (data) {
        if (data->data)
            return error_set(err, ERROR_INVALID, "'%s' stands twice", name);
        *data = raw;
        return true;
    }
    if (!event_name_check(name, err))
        return false;
    /* null is "absent", which a second, real value does not contradict. */
    return span_is(raw, "null") || set_attribute(&members->builder, name, raw, err);
}

static bool decode_base64(struct members *members, struct error *err)
{
    struct span text;
    if (!text_of(members->builder.arena, members->data_base64, &text, err))
        return error_wrap(err, "'data_base64'");
    AUTO(bytes_release) struct bytes decoded = BYTES(text.len);
    if (!base64_decode(&decoded, text, err))
        return error_wrap(err, "'data_base64'");
    const char *copy = arena_dup(members->builder.arena, bytes_span(&decoded));
    if (!copy)
        return event_no_room(members->builder.arena, err);
    members->builder.event.data = (struct span){ copy, decoded.len };
    return true;
}

static bool decode_data(struct members *members, struct error *err)
{
    struct event *event = &members->builder.event;
    if (members->data.data && members->data_base64.data && !span_is(members->data_base64, "null"))
        return error_set(err, ERROR_INVALID, "'data' and 'data_base64' exclude each other");
    if (members->data_base64.data && !span_is(members->data_base64, "null"))
        return decode_base64(members, err);
    if (!members->data.data)
        return true;
    /* JSON format section 3.1: data without a type are JSON; said aloud, so that it holds in binary mode too. */
    if (!event->datacontenttype)
        event->datacontenttype = "application/json";
    if (event_type_is_json(event->datacontenttype)) {
        event->data = members->data;
        return true;
    }
    if (!text_of(members->builder.arena, members->data, &event->data, err))
        return error_wrap(err, "'data' of type '%.100s'", event->datacontenttype);
    return true;
}

/* `object` was accepted by json_scan(). */
static bool decode_object(struct arena *arena, struct span object, struct event *out, struct error *err)
{
    struct members members = { .builder.arena = arena };
    struct walk walk = { object.data, object.data + object.len };
    if (!walk_into(&walk, '{'))
        return error_set(err, ERROR_INVALID, "the event is not a JSON object");
    while (walk_on(&walk)) {
        const char *name = text_of(arena, walk_value(&walk), NULL, err);
        if (!name)
            return error_wrap(err, "name of an attribute");
        walk_on(&walk);
        if (!set_member(&members, name, walk_value(&walk), err))
            return false;
    }
    return decode_data(&members, err) && event_builder_finish(&members.builder, out, err);
}

bool event_decode_structured(struct arena *arena, struct span body, struct event *out, struct error *err)
{
    return is_json(body, err) && decode_object(arena, body, out, err);
}

static size_t count_elements(struct walk walk)
{
    size_t count = 0;
    while (walk_on(&walk)) {
        walk_value(&walk);
        count++;
    }
    return count;
}

bool event_decode_batch(struct arena *arena, struct span body, struct event **out, size_t *count, struct error *err)
{
    if (!is_json(body, err))
        return false;
    struct walk walk = { body.data, body.data + body.len };
    if (!walk_into(&walk, '['))
        return error_set(err, ERROR_INVALID, "the batch is not a JSON array");
    size_t total = count_elements(walk);
    if (total > EVENT_BATCH_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d events in a batch", EVENT_BATCH_MAX);
    struct event *events = arena_take(arena, total * sizeof *events + 1);
    if (!events)
        return event_no_room(arena, err);
    for (size_t i = 0; i < total; i++) {
        walk_on(&walk);
        if (!decode_object(arena, walk_value(&walk), &events[i], err))
            return error_wrap(err, "event %zu of the batch", i + 1);
    }
    *out = events;
    *count = total;
    return true;
}

/* --- encoding ------------------------------------------------------------------------------------------------------------ */

static void write_extension(struct json_writer *w, const struct attribute *extension)
{
    if (extension->type == ATTRIBUTE_STRING)
        json_add_string(w, extension->name, extension->value);
    else
        json_add_raw(w, extension->name, span_of(extension->value));
}

/* The bytes under a JSON type may be no JSON at all; base64 carries them unharmed. */
static bool write_data(struct json_writer *w, const struct event *event, struct error *err)
{
    struct error ignored = { 0 };
    if (!event->data.data)
        return true;
    bool typed = event->datacontenttype != NULL;
    if (typed && event_type_is_json(event->datacontenttype) && is_json(event->data, &ignored)) {
        json_add_raw(w, "data", event->data);
        return true;
    }
    if (typed && !event_type_is_json(event->datacontenttype) && span_is_utf8(event->data) &&
        (event->data.len == 0 || !memchr(event->data.data, '\0', event->data.len))) {
        json_add_span(w, "data", event->data);
        return true;
    }
    AUTO(bytes_release) struct bytes text = BYTES(event->data.len / 3 * 4 + 4);
    if (!base64_encode(&text, event->data, err))
        return false;
    json_add_span(w, "data_base64", bytes_span(&text));
    return true;
}

static bool check_typed_extension(const struct attribute *extension, struct error *err)
{
    char *end;
    bool good = true;
    if (extension->type == ATTRIBUTE_BOOLEAN)
        good = strcmp(extension->value, "true") == 0 || strcmp(extension->value, "false") == 0;
    if (extension->type == ATTRIBUTE_INTEGER) {
        strtol(extension->value, &end, 10);
        good = end != extension->value && *end == '\0' && !strchr(" +", extension->value[0]);
    }
    return good || error_set(err, ERROR_INVALID, "attribute '%s' is not of its type", extension->name);
}

bool event_encode_structured(struct bytes *out, const struct event *event, struct error *err)
{
    if (!event_check(event, err))
        return false;
    for (size_t i = 0; i < event->extension_count; i++)
        if (!check_typed_extension(&event->extensions[i], err))
            return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "specversion", "1.0");
    json_add_string(&w, "id", event->id);
    json_add_string(&w, "source", event->source);
    json_add_string(&w, "type", event->type);
    json_add_string(&w, "subject", event->subject);
    json_add_string(&w, "time", event->time);
    json_add_string(&w, "datacontenttype", event->datacontenttype);
    json_add_string(&w, "dataschema", event->dataschema);
    for (size_t i = 0; i < event->extension_count; i++)
        write_extension(&w, &event->extensions[i]);
    if (!write_data(&w, event, err))
        return false;
    json_close_object(&w);
    return json_writer_end(&w, err);
}

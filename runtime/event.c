#include "runtime/event.h"

#include "runtime/event_build.h"
#include "shared/base/clock.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Fixed by the specification; longer names are only discouraged there, and this is far from any honest one. */
enum { NAME_MAX_LENGTH = 100 };

/* --- values -------------------------------------------------------------------------------------------------------------- */

/* One code point of well-formed UTF-8. */
static uint32_t next_code_point(const unsigned char **at)
{
    const unsigned char *p = *at;
    unsigned more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
    uint32_t code = more == 0 ? *p : *p & (0x3fU >> more);
    for (unsigned i = 1; i <= more; i++)
        code = code << 6 | (p[i] & 0x3fU);
    *at = p + more + 1;
    return code;
}

static bool is_noncharacter(uint32_t code)
{
    return (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

/* CloudEvents "String": no control characters, no noncharacters; surrogates are no UTF-8 to begin with. */
static bool check_string(const char *name, const char *value, struct error *err)
{
    const unsigned char *plain = (const unsigned char *)value;
    while (*plain >= 0x20 && *plain < 0x7f)
        plain++;
    if (*plain == '\0') /* as nearly every value is */
        return true;
    if (!span_is_utf8(span_of(value)))
        return error_set(err, ERROR_INVALID, "attribute '%s' is not valid UTF-8", name);
    for (const unsigned char *at = (const unsigned char *)value; *at;) {
        uint32_t code = next_code_point(&at);
        if (code < 0x20 || (code >= 0x7f && code <= 0x9f) || is_noncharacter(code))
            return error_set(err, ERROR_INVALID, "attribute '%s' holds the forbidden character U+%04X", name,
                             (unsigned)code);
    }
    return true;
}

static bool check_reference(const char *name, const char *value, struct error *err)
{
    static const bool excluded[UCHAR_MAX + 1] = {
        [' '] = true, ['<'] = true, ['>'] = true, ['"'] = true, ['\\'] = true,
        ['^'] = true, ['`'] = true, ['{'] = true, ['|'] = true, ['}'] = true
    };
    for (; *value; value++)
        if (excluded[(unsigned char)*value])
            return error_set(err, ERROR_INVALID, "attribute '%s' is not a URI reference", name);
    return true;
}

static bool check_uri(const char *name, const char *value, struct error *err)
{
    size_t scheme = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    if (!isalpha((unsigned char)value[0]) || value[scheme] != ':' || value[scheme + 1] == '\0')
        return error_set(err, ERROR_INVALID, "attribute '%s' is not an absolute URI", name);
    return check_reference(name, value, err);
}

static bool check_time(const char *name, const char *value, struct error *err)
{
    int64_t ignored;
    if (!rfc3339_parse(span_of(value), &ignored))
        return error_set(err, ERROR_INVALID, "attribute '%s' is not an RFC 3339 time", name);
    return true;
}

/* RFC 9110 section 5.6.2. */
static size_t token_length(const char *text)
{
    size_t len = 0;
    while (isalnum((unsigned char)text[len]) || (text[len] && strchr("!#$%&'*+-.^_`|~", text[len])))
        len++;
    return len;
}

/* RFC 2046: type "/" subtype, then perhaps parameters. It is sent as a header as it is: printable ASCII only. */
static bool check_media_type(const char *name, const char *value, struct error *err)
{
    size_t type = token_length(value);
    size_t subtype = value[type] == '/' ? token_length(value + type + 1) : 0;
    const char *rest = value + type + 1 + subtype;
    bool good = type > 0 && subtype > 0;
    if (good)
        rest += strspn(rest, " ");
    good = good && (*rest == '\0' || *rest == ';');
    for (; good && *rest; rest++)
        good = *rest >= 0x20 && *rest < 0x7f;
    if (!good)
        return error_set(err, ERROR_INVALID, "attribute '%s' is not a media type", name);
    return true;
}

/* --- attributes ---------------------------------------------------------------------------------------------------------- */

static const struct core_attribute {
    const char *name;
    size_t offset;
    bool required;
    bool (*check)(const char *name, const char *value,
                  struct error *err); /* besides check_string; NULL: nothing more */
} core_attributes[] = {
    { "id", offsetof(struct event, id), true, NULL },
    { "source", offsetof(struct event, source), true, check_reference },
    { "type", offsetof(struct event, type), true, NULL },
    { "subject", offsetof(struct event, subject), false, NULL },
    { "time", offsetof(struct event, time), false, check_time },
    { "datacontenttype", offsetof(struct event, datacontenttype), false, check_media_type },
    { "dataschema", offsetof(struct event, dataschema), false, check_uri },
};
enum { CORE_COUNT = sizeof core_attributes / sizeof core_attributes[0] };

static const char *core_value(const struct event *event, const struct core_attribute *row)
{
    return *(const char *const *)(const void *)((const char *)event + row->offset);
}

/* Most names differ in their first letter. */
static inline bool is_same(const char *a, const char *b)
{
    return *a == *b && strcmp(a, b) == 0;
}

static const struct core_attribute *core_find(const char *name)
{
    for (size_t i = 0; i < CORE_COUNT; i++)
        if (is_same(core_attributes[i].name, name))
            return &core_attributes[i];
    return NULL;
}

static bool check_core(const struct event *event, const struct core_attribute *row, struct error *err)
{
    const char *value = core_value(event, row);
    if (!value)
        return !row->required || error_set(err, ERROR_INVALID, "attribute '%s' is missing", row->name);
    if (!*value)
        return error_set(err, ERROR_INVALID, "attribute '%s' is empty", row->name);
    return check_string(row->name, value, err) && (!row->check || row->check(row->name, value, err));
}

bool event_name_check(const char *name, struct error *err)
{
    size_t good = 0;
    while ((name[good] >= 'a' && name[good] <= 'z') || (name[good] >= '0' && name[good] <= '9'))
        good++;
    if (good == 0 || name[good] != '\0' || good > NAME_MAX_LENGTH)
        return error_set(err, ERROR_INVALID, "attribute name '%.*s' must be lower-case letters and digits",
                         NAME_MAX_LENGTH, name);
    if (strcmp(name, "data") == 0)
        return error_set(err, ERROR_INVALID, "'data' cannot be the name of an attribute");
    return true;
}

static bool check_extension(const struct event *event, size_t index, struct error *err)
{
    const struct attribute *extension = &event->extensions[index];
    if (!event_name_check(extension->name, err))
        return false;
    if (core_find(extension->name) || strcmp(extension->name, "specversion") == 0)
        return error_set(err, ERROR_INVALID, "'%s' cannot be an extension", extension->name);
    for (size_t i = 0; i < index; i++)
        if (is_same(event->extensions[i].name, extension->name))
            return error_set(err, ERROR_INVALID, "attribute '%s' stands twice", extension->name);
    return check_string(extension->name, extension->value, err);
}

bool event_check(const struct event *event, struct error *err)
{
    for (size_t i = 0; i < CORE_COUNT; i++)
        if (!check_core(event, &core_attributes[i], err))
            return false;
    if (event->extension_count > EVENT_ATTRIBUTES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d extension attributes", EVENT_ATTRIBUTES_MAX);
    for (size_t i = 0; i < event->extension_count; i++)
        if (!check_extension(event, i, err))
            return false;
    return true;
}

const char *event_extension(const struct event *event, const char *name)
{
    for (size_t i = 0; i < event->extension_count; i++)
        if (is_same(event->extensions[i].name, name))
            return event->extensions[i].value;
    return NULL;
}

/* --- building ------------------------------------------------------------------------------------------------------------ */

bool event_no_room(const struct arena *arena, struct error *err)
{
    return arena_no_room(arena, "the event", err);
}

static bool stands_already(const struct event_builder *builder, const char *name)
{
    const struct core_attribute *row = core_find(name);
    if (row)
        return core_value(&builder->event, row) != NULL;
    if (strcmp(name, "specversion") == 0)
        return builder->has_specversion;
    return event_extension(&builder->event, name) != NULL;
}

static bool add_extension(struct event_builder *builder, struct attribute extension, struct error *err)
{
    size_t count = builder->event.extension_count;
    if (count == EVENT_ATTRIBUTES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d extension attributes", EVENT_ATTRIBUTES_MAX);
    if (count == builder->extension_room) {
        size_t room = count ? 2 * count : 8;
        struct attribute *grown = arena_take(builder->arena, room * sizeof *grown);
        if (!grown)
            return event_no_room(builder->arena, err);
        if (count > 0)
            memcpy(grown, builder->extensions, count * sizeof *grown);
        builder->extensions = grown;
        builder->extension_room = room;
        builder->event.extensions = grown;
    }
    builder->extensions[count] = extension;
    builder->event.extension_count++;
    return true;
}

bool event_builder_set(struct event_builder *builder, const char *name, const char *value, enum attribute_type type,
                       struct error *err)
{
    if (!event_name_check(name, err))
        return false;
    if (stands_already(builder, name))
        return error_set(err, ERROR_INVALID, "attribute '%s' stands twice", name);
    const struct core_attribute *row = core_find(name);
    bool is_version = strcmp(name, "specversion") == 0;
    if ((row || is_version) && type != ATTRIBUTE_STRING)
        return error_set(err, ERROR_INVALID, "attribute '%s' is not a string", name);
    if (is_version) {
        if (strcmp(value, "1.0") != 0)
            return error_set(err, ERROR_INVALID, "specversion '%.20s' is not 1.0", value);
        builder->has_specversion = true;
        return true;
    }
    if (!row)
        return add_extension(builder, (struct attribute){ name, value, type }, err);
    *(const char **)(void *)((char *)&builder->event + row->offset) = value;
    return true;
}

bool event_builder_finish(const struct event_builder *builder, struct event *out, struct error *err)
{
    if (!builder->has_specversion)
        return error_set(err, ERROR_INVALID, "attribute 'specversion' is missing");
    if (!event_check(&builder->event, err))
        return false;
    *out = builder->event;
    return true;
}

/* --- media types --------------------------------------------------------------------------------------------------------- */

static bool span_is_nocase(struct span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

static struct span media_type_of(struct span content_type)
{
    return span_trim(span_cut(&content_type, ';'));
}

static bool ends_nocase(struct span s, const char *suffix)
{
    size_t len = strlen(suffix);
    return s.len > len && strncasecmp(s.data + s.len - len, suffix, len) == 0;
}

bool event_type_is_json(const char *datacontenttype)
{
    struct span media_type = media_type_of(span_of(datacontenttype));
    return ends_nocase(media_type, "/json") || ends_nocase(media_type, "+json");
}

/* Any of the four makes it an event that may then turn out to lack one of the others: the sender is told which. */
static bool is_event_header(struct span name)
{
    static const char *const required[] = { "ce-id", "ce-source", "ce-type", "ce-specversion" };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (span_is_nocase(name, required[i]))
            return true;
    return false;
}

/* Batched first: the structured type is a prefix of it. */
enum event_mode event_mode_of(struct span content_type, const struct event_header *headers, size_t count)
{
    static const struct {
        const char *prefix;
        enum event_mode mode;
    } types[] = {
        { "application/cloudevents-batch", EVENT_BATCHED },
        { "application/cloudevents", EVENT_STRUCTURED },
    };
    struct span media_type = media_type_of(content_type);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t len = strlen(types[i].prefix);
        if (media_type.len >= len && strncasecmp(media_type.data, types[i].prefix, len) == 0)
            return types[i].mode;
    }
    for (size_t i = 0; i < count; i++)
        if (is_event_header(headers[i].name))
            return EVENT_BINARY;
    return EVENT_NONE;
}

static struct event *one_event(struct arena *arena, size_t *count, struct error *err)
{
    struct event *event = arena_take(arena, sizeof *event);
    if (!event)
        event_no_room(arena, err);
    *count = 1;
    return event;
}

static struct span content_type_of(const struct event_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_is_nocase(headers[i].name, "content-type"))
            return span_trim(headers[i].value);
    return (struct span){ 0 };
}

bool event_decode(struct arena *arena, const struct event_header *headers, size_t header_count, struct span body,
                  struct event **out, size_t *count, struct error *err)
{
    struct span content_type = content_type_of(headers, header_count);
    struct span media_type = media_type_of(content_type);
    enum event_mode mode = event_mode_of(content_type, headers, header_count);
    if (mode == EVENT_NONE)
        return error_set(err, ERROR_UNSUPPORTED, "the message holds no CloudEvent");
    if ((mode == EVENT_BATCHED && !span_is_nocase(media_type, "application/cloudevents-batch+json")) ||
        (mode == EVENT_STRUCTURED && !span_is_nocase(media_type, "application/cloudevents+json")))
        return error_set(err, ERROR_UNSUPPORTED, "CloudEvents format '%.*s' is not supported, JSON is",
                         media_type.len > 100 ? 100 : (int)media_type.len, media_type.data);
    if (mode == EVENT_BATCHED)
        return event_decode_batch(arena, body, out, count, err);
    size_t one = 0;
    struct event *event = one_event(arena, &one, err);
    if (!event || !(mode == EVENT_BINARY ? event_decode_binary(arena, headers, header_count, body, event, err)
                                         : event_decode_structured(arena, body, event, err)))
        return false;
    *out = event;
    *count = one;
    return true;
}

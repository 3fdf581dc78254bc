/* CloudEvents 1.0: the event and its forms on the wire (binary, structured, batched). Data are relayed byte for byte.
 * Source: CloudEvents 1.0.3-wip core, HTTP binding and JSON format. */
#ifndef PUSHWRIGHT_RUNTIME_EVENT_H
#define PUSHWRIGHT_RUNTIME_EVENT_H

#include "shared/base/arena.h"
#include "shared/base/bytes.h"
#include "shared/base/error.h"

enum { EVENT_MAX = 1024 * 1024, EVENT_ATTRIBUTES_MAX = 64, EVENT_BATCH_MAX = 256 };

enum attribute_type { ATTRIBUTE_STRING, ATTRIBUTE_INTEGER, ATTRIBUTE_BOOLEAN };

struct attribute {
    const char *name;
    const char *value;        /* canonical string */
    enum attribute_type type; /* STRING unless a structured event said otherwise: kept for relaying */
};

struct event {
    const char *id, *source, *type;                            /* required, never empty; specversion is always 1.0 */
    const char *subject, *time, *datacontenttype, *dataschema; /* NULL: absent */
    const struct attribute *extensions;
    size_t extension_count;
    struct span data; /* absent: no data; the exact bytes */
};

const char *event_extension(const struct event *event, const char *name); /* NULL: absent */

/* One header as the binary mode sees it. */
struct event_header {
    struct span name, value;
};

/* What a message holds, by its content type and headers. */
enum event_mode { EVENT_NONE, EVENT_BINARY, EVENT_STRUCTURED, EVENT_BATCHED };
enum event_mode event_mode_of(struct span content_type, const struct event_header *headers, size_t count);

/* Strings are made in the arena; data point into the body (or the arena when they had to be decoded). ERROR_INVALID names the attribute and
 * what is wrong; ERROR_UNSUPPORTED for an unknown CloudEvents format or a message that holds no event. */
bool event_decode_binary(struct arena *arena, const struct event_header *headers, size_t count, struct span body,
                         struct event *out, struct error *err);
bool event_decode_structured(struct arena *arena, struct span body, struct event *out, struct error *err);
bool event_decode_batch(struct arena *arena, struct span body, struct event **out, size_t *count, struct error *err);

/* Any mode, by the message's own headers: a single event counts as a batch of one. */
bool event_decode(struct arena *arena, const struct event_header *headers, size_t header_count, struct span body,
                  struct event **out, size_t *count, struct error *err);

/* Append "ce-id: ...\r\n" lines and Content-Type for binary mode; the body is event->data. */
bool event_encode_headers(struct bytes *out, const struct event *event, struct error *err);
/* Append application/cloudevents+json: JSON data keep their bytes, other data become text or base64. */
bool event_encode_structured(struct bytes *out, const struct event *event, struct error *err);

/* Checks of the specification on an event made by hand. */
bool event_check(const struct event *event, struct error *err);

#endif

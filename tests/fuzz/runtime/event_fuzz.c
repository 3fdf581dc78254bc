/* CloudEvents from strangers. The first line of the input names the mode ('s', 'b' for a batch, 'h' for headers); in mode 'h' header
 * lines up to an empty one come before the body. What decodes must encode again and come back the same. */
#include "runtime/event.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS_MAX = 100 };

static void require(bool fact)
{
    if (!fact)
        abort();
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void compare(const struct event *a, const struct event *b)
{
    require(same_text(a->id, b->id) && same_text(a->source, b->source) && same_text(a->type, b->type));
    require(same_text(a->subject, b->subject) && same_text(a->time, b->time) &&
            same_text(a->dataschema, b->dataschema));
    require(a->extension_count == b->extension_count);
    for (size_t i = 0; i < a->extension_count; i++)
        require(same_text(a->extensions[i].value, event_extension(b, a->extensions[i].name)));
}

static void round_trip(struct arena *arena, const struct event *event)
{
    AUTO(bytes_release) struct bytes out = BYTES(64 * 1024 * 1024);
    struct event again;
    struct error err = { 0 };
    require(event_encode_structured(&out, event, &err));
    require(event_decode_structured(arena, bytes_span(&out), &again, &err) || err.kind == ERROR_TOO_LARGE);
    if (err.kind == ERROR_NONE)
        compare(event, &again);
    bytes_clear(&out);
    require(event_encode_headers(&out, event, &err) || err.kind == ERROR_TOO_LARGE);
}

static size_t read_headers(struct span *input, struct event_header headers[static HEADERS_MAX])
{
    size_t count = 0;
    while (input->data && count < HEADERS_MAX) {
        struct span line = span_cut(input, '\n');
        if (line.len == 0)
            break;
        struct span name = span_cut(&line, ':');
        headers[count++] = (struct event_header){ name, line.data ? line : SPAN("") };
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = { size ? (const char *)data : "", size };
    struct span mode = span_cut(&input, '\n');
    AUTO(arena_free) struct arena *arena = arena_new(16 * 1024 * 1024);
    struct event_header headers[HEADERS_MAX];
    struct event single, *events = &single;
    struct error err = { 0 };
    size_t count = 1;
    bool good;
    if (span_is(mode, "h")) {
        size_t header_count = read_headers(&input, headers);
        good = event_decode(arena, headers, header_count, input, &events, &count, &err);
    } else if (span_is(mode, "b")) {
        good = event_decode_batch(arena, input, &events, &count, &err);
    } else {
        good = event_decode_structured(arena, input, &single, &err);
    }
    require(good || err.kind != ERROR_NONE);
    for (size_t i = 0; good && i < count; i++)
        round_trip(arena, &events[i]);
    return 0;
}

/* Private to the codec: an event put together attribute by attribute, each checked as it comes. */
#ifndef PUSHWRIGHT_RUNTIME_EVENT_BUILD_H
#define PUSHWRIGHT_RUNTIME_EVENT_BUILD_H

#include "runtime/event.h"

struct event_builder {
    struct arena *arena;
    struct event event;
    struct attribute *extensions; /* the same array as event.extensions, while it grows */
    size_t extension_room;
    bool has_specversion;
};

/* Both borrow: name and value must live as long as the arena. Refused as ERROR_INVALID: a bad name, a second attribute of that
 * name, a core attribute that is not a string, a specversion other than 1.0. */
bool event_builder_set(struct event_builder *builder, const char *name, const char *value, enum attribute_type type,
                       struct error *err);

/* Every required attribute is there and every value is what its type wants. */
bool event_builder_finish(const struct event_builder *builder, struct event *out, struct error *err);

/* [a-z0-9]+, not "data". */
bool event_name_check(const char *name, struct error *err);

/* Is it a JSON media type: ".../json" or "...+json", parameters aside? */
bool event_type_is_json(const char *datacontenttype);

/* arena_no_room, about the event. */
bool event_no_room(const struct arena *arena, struct error *err);

#endif

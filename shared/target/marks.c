#include "shared/target/marks.h"

#include "shared/base/clock.h"

#include <string.h>

/* Whoever may write to the workload may write there: events hold what is told of it. */
enum { REASON_MAX = 4000 };

#define MARK(name, member) { name, offsetof(struct marks, member) }

const struct mark mark_table[] = {
    MARK("pushwright.dev/event", event),
    MARK("pushwright.dev/source", source),
    MARK("pushwright.dev/chain", chain),
    MARK("pushwright.dev/rule", rule),
    MARK("pushwright.dev/sequence", sequence),
    MARK("pushwright.dev/commit", commit),
    MARK("pushwright.dev/person", person),
    MARK("pushwright.dev/image", image),
    MARK("pushwright.dev/time", time),
    MARK("pushwright.dev/previous", previous),
    MARK("pushwright.dev/previous-image", previous_image),
    MARK("pushwright.dev/good", good),
    MARK("pushwright.dev/reason", reason),
    MARK("pushwright.dev/bad", bad),
    MARK("pushwright.dev/parked", parked),
    MARK("pushwright.dev/told", told),
    MARK("kubernetes.io/change-cause", cause),
};
const size_t mark_count = sizeof mark_table / sizeof mark_table[0];

const char **mark_in(struct marks *marks, const struct mark *mark)
{
    return (const char **)(void *)((char *)marks + mark->offset);
}

const char *mark_of(const struct marks *marks, const struct mark *mark)
{
    return *(const char *const *)(const void *)((const char *)marks + mark->offset);
}

bool marks_read(struct arena *arena, const struct json *annotations, struct marks *out, struct error *err)
{
    *out = (struct marks){ 0 };
    for (const struct mark *mark = mark_table; mark < mark_table + mark_count; mark++) {
        const char *value = json_get_string(annotations, mark->annotation);
        if (value && *value && !(*mark_in(out, mark) = arena_dup(arena, span_of(value))))
            return arena_no_room(arena, "what is noted on a workload", err);
    }
    if (out->reason && strlen(out->reason) > REASON_MAX)
        out->reason = arena_dup(arena, (struct span){ out->reason, REASON_MAX });
    return true;
}

int64_t mark_age_ms(const char *time)
{
    char *end = NULL;
    size_t len = time ? strlen(time) : 0;
    if (len == 0 || len > 15 || time[0] < '0' || time[0] > '9')
        return -1;
    int64_t age = clock_wall_ms() - strtoll(time, &end, 10);
    return *end ? -1 : age > 0 ? age : 0;
}

bool bad_has(const char *bad, const char *digest)
{
    struct span rest = span_of(bad);
    for (struct span one = span_cut(&rest, ' '); one.data; one = span_cut(&rest, ' '))
        if (span_is(one, digest))
            return true;
    return false;
}

static const char *list_bad(struct arena *arena, const char *first, const char *bad, const char *without)
{
    struct span rest = span_of(bad);
    const char *list = first;
    size_t count = first ? 1 : 0;
    for (struct span one = span_cut(&rest, ' '); one.data && count < MARKS_BAD_MAX; one = span_cut(&rest, ' ')) {
        if (one.len == 0 || span_is(one, without))
            continue;
        list = list ? arena_printf(arena, "%s %.*s", list, SPAN_ARGS(one)) : arena_dup(arena, one);
        count++;
        if (!list)
            return NULL;
    }
    return list;
}

const char *bad_with(struct arena *arena, const char *bad, const char *digest)
{
    return list_bad(arena, digest, bad, digest);
}

const char *bad_without(struct arena *arena, const char *bad, const char *digest)
{
    return list_bad(arena, NULL, bad, digest);
}

#include "functions/trigger/decisions.h"

#include <string.h>

enum { FIRST_CAPACITY = 16, SENTENCE_MAX = 6 * 1024, REASONS_MAX = 200, NAMES_MAX = 20 };

struct decision {
    const char *rule, *about, *reason;
};

static bool grow(struct call *call, struct decisions *decisions, struct error *err)
{
    size_t capacity = decisions->capacity ? 2 * decisions->capacity : FIRST_CAPACITY;
    struct decision *items = arena_take(call_arena(call), capacity * sizeof *items);
    if (!items)
        return arena_no_room(call_arena(call), "what triggers decided", err);
    if (decisions->count > 0)
        memcpy(items, decisions->items, decisions->count * sizeof *items);
    decisions->items = items;
    decisions->capacity = capacity;
    return true;
}

bool decisions_add(struct call *call, struct decisions *decisions, const char *rule, const char *about,
                   struct span reason, struct error *err)
{
    /* The triggers of one image often say the same. */
    const struct decision *last = decisions->count > 0 ? &decisions->items[decisions->count - 1] : NULL;
    const char *text = last && span_is(reason, last->reason) ? last->reason : arena_dup(call_arena(call), reason);
    if (!text)
        return arena_no_room(call_arena(call), "what triggers decided", err);
    if (decisions->count == decisions->capacity && !grow(call, decisions, err))
        return false;
    decisions->items[decisions->count++] = (struct decision){ rule, about, text };
    return true;
}

/* Those that gave one reason. */
struct group {
    const char *reason;
    size_t count;
    const char *names[NAMES_MAX];
};

static size_t gather(const struct decisions *decisions, struct group groups[REASONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < decisions->count; i++) {
        const struct decision *decision = &decisions->items[i];
        size_t g = count; /* the newest first: like stands beside like */
        while (g > 0 && strcmp(groups[g - 1].reason, decision->reason) != 0)
            g--;
        struct group *group = g > 0 ? &groups[g - 1] : count < REASONS_MAX ? &groups[count++] : NULL;
        if (!group)
            continue;
        if (group->count < NAMES_MAX)
            group->names[group->count] = decision->rule;
        group->reason = decision->reason;
        group->count++;
    }
    return count;
}

static bool append_group(struct bytes *out, const struct group *group, struct error *err)
{
    if (!bytes_printf(out, err, "; %s (", group->reason))
        return false;
    for (size_t i = 0; i < group->count && i < NAMES_MAX; i++)
        if (!bytes_printf(out, err, "%s%s", i > 0 ? ", " : "", group->names[i]))
            return false;
    return group->count <= NAMES_MAX || bytes_printf(out, err, " and %zu more", group->count - NAMES_MAX)
               ? bytes_append_char(out, ')', err)
               : false;
}

static bool tell_together(struct call *call, const struct decisions *decisions, struct error *err)
{
    struct group *groups = arena_take(call_arena(call), REASONS_MAX * sizeof *groups);
    struct bytes text = ARENA_BYTES(call_arena(call), SENTENCE_MAX);
    struct error full = { 0 };
    size_t told = 0;
    if (!groups)
        return arena_no_room(call_arena(call), "what triggers decided", err);
    size_t count = gather(decisions, groups);
    for (size_t i = 0, kept = 0; i < count; i++) {
        if (!append_group(&text, &groups[i], &full)) {
            bytes_truncate(&text, kept);
            break;
        }
        kept = text.len;
        told += groups[i].count;
    }
    const char *rest = told < decisions->count ? "; and further reasons" : "";
    return call_skip(call, NULL, "triggers", err, "%zu triggers do not ask for it%s%s", decisions->count,
                     bytes_text(&text), rest);
}

bool decisions_tell(struct call *call, const struct decisions *decisions, struct error *err)
{
    if (decisions->count > DECISIONS_APART_MAX)
        return tell_together(call, decisions, err);
    for (size_t i = 0; i < decisions->count; i++)
        if (!call_skip(call, decisions->items[i].rule, decisions->items[i].about, err, "%s",
                       decisions->items[i].reason))
            return false;
    return true;
}

#include "functions/trigger/decisions.h"

#include <stdint.h>
#include <string.h>

enum { SENTENCE_MAX = 6 * 1024, REASONS_MAX = 200, NAMES_MAX = 20, SLOTS = 512 };

struct decision {
    const char *rule, *about, *reason;
};

/* Those that gave one reason. */
struct group {
    const char *reason;
    size_t count;
    const char *names[NAMES_MAX];
};

/* Found by a hash of the text: thousands of triggers are a question of milliseconds. */
struct reasons {
    size_t count;
    struct group groups[REASONS_MAX];
    uint16_t slots[SLOTS]; /* number of the group, from 1 */
    struct decision apart[DECISIONS_APART_MAX];
};

static size_t hash(struct span text)
{
    uint64_t value = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < text.len; i++)
        value = (value ^ (unsigned char)text.data[i]) * 1099511628211u;
    return (size_t)(value ^ value >> 32);
}

/* *out NULL: the reason is one more than there is room for. */
static bool group_of(struct call *call, struct reasons *reasons, struct span reason, struct group **out,
                     struct error *err)
{
    size_t slot = hash(reason) % SLOTS;
    while (reasons->slots[slot] > 0 && !span_is(reason, reasons->groups[reasons->slots[slot] - 1].reason))
        slot = (slot + 1) % SLOTS;
    bool known = reasons->slots[slot] > 0;
    *out = known                          ? &reasons->groups[reasons->slots[slot] - 1]
           : reasons->count < REASONS_MAX ? &reasons->groups[reasons->count]
                                          : NULL;
    if (known || !*out)
        return true;
    (*out)->reason = arena_dup(call_arena(call), reason);
    if (!(*out)->reason)
        return arena_no_room(call_arena(call), "what triggers decided", err);
    reasons->slots[slot] = (uint16_t)++reasons->count;
    return true;
}

static struct reasons *reasons_new(struct call *call, struct error *err)
{
    struct reasons *reasons = arena_take(call_arena(call), sizeof *reasons);
    if (reasons)
        memset(reasons, 0, sizeof *reasons);
    else
        arena_no_room(call_arena(call), "what triggers decided", err);
    return reasons;
}

bool decisions_add(struct call *call, struct decisions *decisions, const char *rule, const char *about,
                   struct span reason, struct error *err)
{
    struct group *group;
    if (!decisions->reasons && !(decisions->reasons = reasons_new(call, err)))
        return false;
    if (!group_of(call, decisions->reasons, reason, &group, err))
        return false;
    if (group && group->count < NAMES_MAX)
        group->names[group->count] = rule;
    if (group)
        group->count++;
    if (group &&
        decisions->count < DECISIONS_APART_MAX) /* there is one: as few have no more reasons than there is room for */
        decisions->reasons->apart[decisions->count] = (struct decision){ rule, about, group->reason };
    decisions->count++;
    return true;
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
    const struct reasons *reasons = decisions->reasons;
    struct bytes text = ARENA_BYTES(call_arena(call), SENTENCE_MAX);
    struct error full = { 0 };
    size_t told = 0;
    for (size_t i = 0, kept = 0; i < reasons->count; i++) {
        if (!append_group(&text, &reasons->groups[i], &full)) {
            bytes_truncate(&text, kept);
            break;
        }
        kept = text.len;
        told += reasons->groups[i].count;
    }
    const char *rest = told < decisions->count ? "; and further reasons" : "";
    return call_skip(call, NULL, "triggers", err, "%zu triggers do not ask for it%s%s", decisions->count,
                     bytes_text(&text), rest);
}

bool decisions_tell(struct call *call, const struct decisions *decisions, struct error *err)
{
    if (decisions->count > DECISIONS_APART_MAX)
        return tell_together(call, decisions, err);
    for (size_t i = 0; i < decisions->count; i++) {
        const struct decision *decision = &decisions->reasons->apart[i];
        if (!call_skip(call, decision->rule, decision->about, err, "%s", decision->reason))
            return false;
    }
    return true;
}

#include "functions/deploy/freeze.h"

#include "shared/base/clock.h"

bool freeze_check(const struct config *config, struct error *err)
{
    for (size_t i = 0; i < config->trigger_count; i++) {
        const struct config_trigger *trigger = &config->triggers[i];
        bool known = calendar_check(trigger->freezes, trigger->freeze_count, err);
        for (size_t k = 0; known && k < trigger->target_count; k++)
            known = calendar_check(trigger->targets[k].freezes, trigger->targets[k].freeze_count, err);
        if (!known)
            return error_wrap(err, "trigger '%s'", trigger->name);
    }
    return true;
}

bool freeze_until(const struct request_facts *request, const struct workload *now, int64_t *until_ms, struct error *err)
{
    const struct config_trigger *trigger = request->trigger;
    const struct config_target *where = request->where;
    int64_t others_ms, now_ms = clock_wall_ms();
    *until_ms = FROZEN_NOT;
    if (request->person || now->rollout == ROLLOUT_NONE)
        return true;
    if (!calendar_frozen(trigger->freezes, trigger->freeze_count, now_ms, until_ms, err) ||
        !calendar_frozen(where->freezes, where->freeze_count, now_ms, &others_ms, err))
        return error_wrap(err, "trigger '%s'", trigger->name);
    *until_ms = others_ms > *until_ms ? others_ms : *until_ms;
    return true;
}

bool freeze_waiting(struct call *call, const struct workload *now, struct workload *out)
{
    struct error unreadable = { 0 };
    const char *parked = now->marks.parked;
    const struct json *waits = parked ? json_parse(call_arena(call), span_of(parked), &unreadable) : NULL;
    *out = (struct workload){ .rollout = ROLLOUT_RUNNING,
                              .image = json_get_string(waits, "image"),
                              .marks = { .event = json_get_string(waits, "event"),
                                         .sequence = json_get_string(waits, "sequence"),
                                         .commit = json_get_string(waits, "commit") } };
    return out->image != NULL;
}

bool freeze_park(struct call *call, struct target *target, const struct request_facts *request, struct workload *now,
                 int64_t until_ms, struct error *err)
{
    char until[RFC3339_SIZE];
    struct wish wish = { .marks = now->marks };
    wish.marks.parked = request_park(call, request, err);
    rfc3339_format(until, until_ms);
    if (!wish.marks.parked || !target_apply(target, call_arena(call), &wish, now, err))
        return false;
    const char *about = arena_printf(call_arena(call), "%zu %s frozen", request->index, request->digest);
    return call_skip(call, request->trigger->name, about, err, "%s: frozen until %s, '%s' goes into service then",
                     request->subject, until, request->image);
}

bool freeze_forget(struct call *call, struct target *target, const struct workload *now, struct error *err)
{
    const struct marks more = { .parked = "" };
    return target_note(target, call_arena(call), now, &more, err);
}

#include "functions/deploy/resume.h"

#include "functions/deploy/follow.h"
#include "functions/deploy/freeze.h"

#include "shared/base/gate.h"

#include <string.h>

/* An outcome that nobody noted; what was changed by hand, or by an older version, has none. */
static bool is_untold(const struct workload *now, const char *rule)
{
    const struct marks *marks = &now->marks;
    return now->rollout != ROLLOUT_NONE && !now->foreign && now->image && marks->event && marks->source &&
           marks->chain && marks->rule && strcmp(marks->rule, rule) == 0 &&
           (!marks->told || strcmp(marks->told, marks->event) != 0);
}

/* What waits here for another rule is that one's. */
static bool resume_parked(struct call *call, struct target *target, const struct request_facts *rule,
                          const struct workload *now, resume_put *put, struct error *err)
{
    AUTO(request_release)
    struct request_facts waits = { .trigger = rule->trigger, .where = rule->where, .index = rule->index };
    int64_t until_ms;
    if (!request_read_parked(call, now->marks.parked, &waits, err))
        return err->kind == ERROR_NOT_FOUND;
    return freeze_until(&waits, now, &until_ms, err) &&
           (until_ms != FROZEN_NOT ||
            (call_go_on_with(call, waits.source, waits.event_id, waits.chain, err) &&
             (put(call, target, &waits, RESUME_WAIT_MS, err) || err->kind == ERROR_CONFLICT)));
}

static bool resume_one(struct call *call, const struct config_trigger *trigger, size_t index, resume_put *put,
                       struct error *err)
{
    struct workload now;
    AUTO(request_release) struct request_facts request = { .trigger = trigger, .index = index };
    request.where = &trigger->targets[index];
    AUTO(target_close) struct target *target = follow_open(call, &request, err);
    if (!target || !target_read(target, call_arena(call), &now, err))
        return false;
    const char *rule = request_rule(call, &request);
    if (now.marks.parked && !resume_parked(call, target, &request, &now, put, err))
        return false;
    if (!rule || !is_untold(&now, rule))
        return true;
    return request_of_workload(call, &now, &request, err) &&
           call_go_on_with(call, now.marks.source, now.marks.event, now.marks.chain, err) &&
           (follow(call, target, &request, &now, 0, err) || err->kind == ERROR_CONFLICT);
}

void resume_all(struct call *call, const struct config *config, resume_put *put)
{
    static struct gate gate = GATE; /* of the process */
    if (!gate_enter(&gate, RESUME_PAUSE_MS))
        return;
    for (size_t i = 0; i < config->trigger_count && !call_cancelled(call); i++) {
        const struct config_trigger *trigger = &config->triggers[i];
        for (size_t k = 0; trigger->enabled && k < trigger->target_count; k++) {
            struct error failed = { 0 };
            if (!resume_one(call, trigger, k, put, &failed))
                call_log(call, "trigger '%s': %s", trigger->name, failed.message);
        }
    }
    gate_leave(&gate);
}

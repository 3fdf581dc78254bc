#include "functions/deploy/strategy.h"

#include "functions/deploy/follow.h"
#include "runtime/deployment.h"
#include "shared/target/wish.h"

#include <string.h>

enum { REASON_MAX = 1000 };

static bool ask(struct call *call, const struct request_facts *request, size_t index, const char *reason,
                const char *undo, struct error *err)
{
    struct bytes artifact = ARENA_BYTES(call_arena(call), TEXT_MAX);
    if (!reason)
        return arena_no_room(call_arena(call), "a request", err);
    if (!reference_purl(&artifact, &request->reference, request->digest, request->tag, err))
        return false;
    const struct deployment deployment = {
        .trigger = request->trigger,
        .artifact = bytes_text(&artifact),
        .image = request->image,
        .digest = request->digest,
        .tag = request->tag,
        .sequence = request->sequence,
        .commit = request->commit,
        .ref = request->ref,
        .build = request->build,
        .reason = reason,
        .person = request->person,
        .undo = undo,
    };
    return deployment_ask(call, &deployment, index, err);
}

bool strategy_go_on(struct call *call, const struct request_facts *request, struct error *err)
{
    const struct config_trigger *trigger = request->trigger;
    if (trigger->strategy != STRATEGY_ORDERED || request->index + 1 >= trigger->target_count)
        return true;
    return ask(call, request, request->index + 1, arena_printf(call_arena(call), "%s runs it", request->subject), NULL,
               err);
}

bool strategy_take_back(struct call *call, const struct request_facts *request, const char *reason, struct error *err)
{
    const struct config_trigger *trigger = request->trigger;
    const char *why = arena_printf(call_arena(call), "%s: %.*s", request->subject, REASON_MAX, reason);
    for (size_t i = 0; trigger->strategy == STRATEGY_ALL_OR_NOTHING && i < trigger->target_count; i++)
        if (i != request->index && !ask(call, request, i, why, why, err))
            return false;
    return true;
}

static bool pass_over(struct call *call, const struct request_facts *request, const char *why, struct error *err)
{
    const char *about = arena_printf(call_arena(call), "%zu %s undo", request->index, request->digest);
    return call_skip(call, request->trigger->name, about, err, "%s: %s", request->subject, why);
}

/* It is not there: it will not come either. */
static bool remember(struct call *call, struct target *target, const struct request_facts *request,
                     const struct workload *now, struct error *err)
{
    struct marks more = { .bad = bad_with(call_arena(call), now->marks.bad, request->digest) };
    if (now->marks.sequence && sequence_compare(request->sequence, now->marks.sequence) > 0) {
        more.sequence = request->sequence; /* so that it is none that came after this */
        more.commit = request->commit;
    }
    return pass_over(call, request, "nothing is taken back, it does not run the image, and will not", err) &&
           (now->rollout == ROLLOUT_NONE || bad_has(now->marks.bad, request->digest) ||
            target_note(target, call_arena(call), now, &more, err));
}

bool strategy_undo(struct call *call, struct target *target, const struct request_facts *request, int64_t wait_ms,
                   struct error *err)
{
    struct workload now;
    const char *reason =
        arena_printf(call_arena(call), REASON_TAKEN_BACK "as all or none shall run it: %s", request->undo);
    if (!reason)
        return arena_no_room(call_arena(call), "a reason", err);
    if (!target_read(target, call_arena(call), &now, err))
        return false;
    for (int attempt = 1;; attempt++) {
        bool ours = now.marks.event && strcmp(now.marks.event, request->event_id) == 0;
        bool there =
            now.rollout != ROLLOUT_NONE && !now.foreign && now.digest && strcmp(now.digest, request->digest) == 0;
        if (!ours && (!there || now.marks.reason))
            return remember(call, target, request, &now, err);
        if (!ours && !now.marks.good)
            return pass_over(call, request, "nothing ran before this image that it could go back to", err);
        now.marks.event = request->event_id;
        now.marks.source = request->source;
        now.marks.chain = request->chain;
        if (ours || target_give_up(target, call_arena(call), &now, reason, err))
            return follow(call, target, request, &now, wait_ms, err);
        if (!follow_again(call, target, attempt, &now, err))
            return false;
    }
}

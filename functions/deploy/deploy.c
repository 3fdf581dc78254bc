/* deploy: an image is to go into service at one target of a trigger.
 *
 * The event names the rule and carries no power: what may be done is read from the configuration, that the digest stands behind the
 * tag is checked at the registry, and what runs is asked of the target. The change is guarded by the generation that was
 * read, so that of two racing deliveries the older cannot win. */
#include "functions/deploy/request.h"
#include "functions/deploy/resume.h"

#include "shared/base/clock.h"
#include "shared/config/configured.h"
#include "shared/target/target.h"

#include <string.h>

enum { ATTEMPTS_MAX = 5, ANSWER_RESERVE_MS = 2000, WATCH_SLICE_MS = 2000 };

static bool skip(struct call *call, const struct request_facts *request, const char *why, struct error *err)
{
    const char *about = arena_printf(call_arena(call), "%zu %s", request->index, request->digest);
    return call_skip(call, request->trigger->name, about, err, "%s: %s", request->subject, why);
}

/* NULL in *why: the digest is what the tag says. */
static bool check_registry(struct call *call, const struct request_facts *request, const char **why, struct error *err)
{
    const struct configured *state = call_state(call);
    struct registry_options options = registry_logins_options(state->logins);
    struct descriptor now;
    AUTO(store_free) struct store *store = store_open(&request->reference, &options, err);
    *why = NULL;
    if (!store)
        return false;
    if (!store_resolve(store, request->tag, &now, err)) {
        if (err->kind != ERROR_NOT_FOUND)
            return error_wrap(err, "check '%s'", request->image);
        *why = "the registry no longer has the tag";
        return true;
    }
    if (strcmp(now.digest, request->digest) != 0)
        *why = arena_printf(call_arena(call), "the tag '%s' has moved on to %s", request->tag, now.digest);
    return true;
}

/* A redelivery of the event that brought the workload to where it is. */
static bool is_ours(const struct request_facts *request, const struct workload *now)
{
    return now->rollout != ROLLOUT_NONE && now->marks.event && strcmp(now->marks.event, request->event_id) == 0;
}

/* What the tags of the two images tell, where the rule goes by them: of pushes the commits' own order counts unless the condition
 * names one. */
static bool compare_tags(const struct request_facts *request, const struct workload *now, const char *in_service,
                         enum precedence *precedence, struct error *err)
{
    AUTO(reference_release) struct reference current = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(TEXT_MAX);
    struct error ignored = { 0 };
    const struct config_trigger *trigger = request->trigger;
    *precedence = PRECEDENCE_UNKNOWN;
    if (request->commit && now->marks.commit && !condition_orders_pushes(trigger->when))
        return true;
    if (!in_service || !reference_parse(span_of(in_service), &current, &ignored) || !current.tag ||
        !reference_name(&name, &current, &ignored) || strcmp(bytes_text(&name), trigger->image) != 0)
        return true;
    return condition_compare(trigger->when, span_of(current.tag), span_of(request->tag), precedence, err) ||
           error_wrap(err, "trigger '%s'", trigger->name);
}

/* NULL in *why: go on. */
static bool check_order(struct call *call, const struct request_facts *request, const struct workload *now,
                        const char **why, struct error *err)
{
    const char *in_service = now->rollout == ROLLOUT_FAILED ? now->running_image : now->image;
    enum precedence precedence;
    *why = NULL;
    if (!compare_tags(request, now, in_service, &precedence, err))
        return false;
    if (precedence == PRECEDENCE_NEWER)
        return true;
    if (precedence == PRECEDENCE_OLDER && !request->trigger->downgrade)
        *why = arena_printf(
            call_arena(call),
            "tag '%s' is older than what is in service, '%s', by its %s (\"downgrade\": true would allow it)",
            request->tag, in_service, condition_order_name(request->trigger->when));
    else if (now->marks.sequence && sequence_compare(request->sequence, now->marks.sequence) < 0)
        *why = arena_printf(call_arena(call), "a newer push (%s) is there already", now->marks.sequence);
    return true;
}

/* NULL in *why: go on. */
static bool why_not(struct call *call, const struct request_facts *request, const struct workload *now,
                    const char **why, struct error *err)
{
    bool same = now->digest && strcmp(now->digest, request->digest) == 0;
    *why = !same || now->rollout == ROLLOUT_NONE ? NULL
           : now->rollout == ROLLOUT_RUNNING     ? "this digest runs already"
           : now->rollout == ROLLOUT_STARTING    ? "this digest is coming up already"
                                                 : NULL;
    return *why || now->rollout == ROLLOUT_NONE || check_order(call, request, now, why, err);
}

/* In slices: a process that is told to stop gives up watching, and the next delivery finds the rollout where it is. */
static bool watch(struct call *call, struct target *target, const struct request_facts *request, int64_t generation,
                  int64_t began_ms, struct error *err)
{
    struct workload now;
    int64_t left_ms;
    do {
        left_ms = call_remaining_ms(call) - ANSWER_RESERVE_MS;
        int64_t slice_ms = left_ms < WATCH_SLICE_MS ? left_ms : WATCH_SLICE_MS;
        if (!target_wait(target, call_arena(call), generation, slice_ms > 0 ? slice_ms : 0, &now, err))
            return false;
    } while (now.rollout == ROLLOUT_STARTING && now.generation == generation && left_ms > 0 && !call_cancelled(call));
    if (now.generation != generation)
        return skip(call, request, "superseded by a newer request while it came up", err);
    return resume_tell(call, target, request, &now, clock_monotonic_ms() - began_ms, err);
}

/* Guarded by what was read: when somebody else was faster, everything is decided anew. */
static bool put_into_service(struct call *call, struct target *target, const struct request_facts *request,
                             struct error *err)
{
    int64_t began_ms = clock_monotonic_ms(), generation = 0;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        struct workload now;
        if (!target_read(target, call_arena(call), &now, err))
            return false;
        if (is_ours(request, &now))
            return watch(call, target, request, now.generation, began_ms, err);
        const char *why;
        if (!why_not(call, request, &now, &why, err))
            return false;
        if (why)
            return skip(call, request, why, err);
        const struct wish wish = {
            .image = request->image,
            .marks = { .event = request->event_id,
                       .source = call_event(call)->source,
                       .chain = call_chain_id(call),
                       .rule = request_rule(call, request),
                       .sequence = request->sequence,
                       .commit = request->commit,
                       .previous = now.running_digest,
                       .previous_image = now.running_image },
        };
        if (target_apply(target, &wish, now.generation, &generation, err))
            return watch(call, target, request, generation, began_ms, err);
        if (err->kind != ERROR_CONFLICT)
            return false;
    }
    return error_wrap(err, "%s keeps changing", request->subject);
}

static bool handle(struct call *call, struct error *err)
{
    const struct configured *state = call_state(call);
    AUTO(request_release) struct request_facts request = { 0 };
    const char *why;
    if (strcmp(call_event(call)->type, TIMER_EVENT) == 0) {
        resume_all(call, state->config);
        return true;
    }
    if (!request_read(call, state->config, &request, err))
        return false;
    if (!request.trigger->enabled)
        return skip(call, &request, "the trigger is switched off", err);
    if (!check_registry(call, &request, &why, err))
        return false;
    if (why)
        return skip(call, &request, why, err);
    AUTO(target_close) struct target *target = target_open(request.where, err);
    return target && (put_into_service(call, target, &request, err) || error_wrap(err, "deploy '%s'", request.subject));
}

FUNCTION(.start = configured_start, .stop = configured_stop, .handle = handle)

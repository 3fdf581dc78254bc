/* deploy: an image is to go into service at one target of a trigger.
 *
 * The event names the rule and carries no power: what may be done is read from the configuration, that the digest stands behind the
 * tag is checked at the registry, and what runs is asked of the target. The change is guarded by the generation that was
 * read, so that of two racing deliveries the older cannot win. */
#include "functions/deploy/follow.h"
#include "functions/deploy/freeze.h"
#include "functions/deploy/resume.h"
#include "functions/deploy/strategy.h"

#include "shared/base/clock.h"
#include "shared/config/configured.h"
#include "shared/target/wish.h"

#include <pthread.h>
#include <string.h>

enum { ANSWER_RESERVE_MS = 2000 };

static bool skip(struct call *call, const struct request_facts *request, const char *why, struct error *err)
{
    const char *about = arena_printf(call_arena(call), "%zu %s", request->index, request->digest);
    return call_skip(call, request->trigger->name, about, err, "%s: %s", request->subject, why);
}

/* What stands behind the tag. A registry and a cluster are asked at the same time: neither waits for the other. */
struct question {
    const struct request_facts *request;
    struct registry_options options;
    bool answered;
    struct descriptor now;
    struct error err;
};

static void *ask_registry(void *context)
{
    struct question *question = context;
    AUTO(store_free)
    struct store *store = store_open(&question->request->reference, &question->options, &question->err);
    question->answered = store && store_resolve(store, question->request->tag, &question->now, &question->err);
    return NULL;
}

/* NULL in *moved: the digest is what the tag says. */
static bool read_answer(struct call *call, const struct question *question, const char **moved, struct error *err)
{
    const struct request_facts *request = question->request;
    *moved = NULL;
    if (!question->answered && question->err.kind != ERROR_NOT_FOUND) {
        *err = question->err;
        return error_wrap(err, "check '%s'", request->image);
    }
    if (!question->answered)
        *moved = "the registry no longer has the tag";
    else if (strcmp(question->now.digest, request->digest) != 0)
        *moved = arena_printf(call_arena(call), "the tag '%s' has moved on to %s", request->tag, question->now.digest);
    return true;
}

static bool look(struct call *call, struct target *target, const struct request_facts *request, const char **moved,
                 struct workload *now, struct error *err)
{
    const struct configured *state = call_state(call);
    struct question question = { .request = request, .options = registry_logins_options(state->logins) };
    struct error refused;
    pthread_t thread;
    bool apart = pthread_create(&thread, NULL, ask_registry, &question) == 0;
    if (!apart)
        ask_registry(&question);
    bool seen = target_read(target, call_arena(call), now, err);
    if (apart)
        pthread_join(thread, NULL);
    if (read_answer(call, &question, moved, &refused))
        return seen;
    *err = refused;
    return false;
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
    bool newer_push = !now->marks.sequence || sequence_compare(request->sequence, now->marks.sequence) >= 0;
    *why = NULL;
    if (!compare_tags(request, now, in_service, &precedence, err))
        return false;
    if (now->marks.person && !newer_push)
        *why = arena_printf(call_arena(call), "since then %s has decided by hand", now->marks.person);
    if (*why || precedence == PRECEDENCE_NEWER)
        return true;
    if (precedence == PRECEDENCE_OLDER && !request->trigger->downgrade)
        *why = arena_printf(
            call_arena(call),
            "tag '%s' is older than what is in service, '%s', by its %s (\"downgrade\": true would allow it)",
            request->tag, in_service, condition_order_name(request->trigger->when));
    else if (!newer_push)
        *why = arena_printf(call_arena(call), "a newer push (%s) is there already", now->marks.sequence);
    return true;
}

/* Digests that were given up here stay so until a newer commit, or a person, brings them again. */
static bool was_given_up(struct call *call, const struct request_facts *request, const struct workload *now,
                         const char **why, struct error *err)
{
    const struct marks *marks = &now->marks;
    bool newer = request->commit && marks->commit && strcmp(request->commit, marks->commit) != 0 && marks->sequence &&
                 sequence_compare(request->sequence, marks->sequence) > 0;
    if (!bad_has(marks->bad, request->digest) || newer)
        return true;
    *why = arena_printf(call_arena(call), "%s failed here before%s%s: a newer commit or a person brings it back",
                        request->digest, marks->reason ? ": " : "", marks->reason ? marks->reason : "");
    return *why || arena_no_room(call_arena(call), "a reason", err);
}

static bool is_same(const struct request_facts *request, const struct workload *now)
{
    return now->digest && strcmp(now->digest, request->digest) == 0 && !now->foreign;
}

static bool runs_already(const struct request_facts *request, const struct workload *now)
{
    return is_same(request, now) && now->rollout == ROLLOUT_RUNNING;
}

/* NULL in *why: go on. */
static bool why_not(struct call *call, const struct request_facts *request, const struct workload *now,
                    const char **why, struct error *err)
{
    *why = !is_same(request, now)                                   ? NULL
           : now->rollout == ROLLOUT_RUNNING                        ? "this digest runs already"
           : now->rollout == ROLLOUT_STARTING && !now->marks.reason ? "this digest is coming up already"
                                                                    : NULL;
    if (now->owner && !request->where->force)
        *why = arena_printf(call_arena(call),
                            "%s looks after it and would undo the change (\"force\": true would make it)", now->owner);
    if (*why || now->rollout == ROLLOUT_NONE || request->person)
        return true;
    return was_given_up(call, request, now, why, err) && (*why || check_order(call, request, now, why, err));
}

/* NULL in *why: go on, what waits is not newer. */
static bool check_waiting(struct call *call, const struct request_facts *request, const struct workload *now,
                          const char **why, struct error *err)
{
    struct workload waiting;
    *why = NULL;
    if (request->person || !freeze_waiting(call, now, &waiting) || is_ours(request, &waiting))
        return true;
    if (!check_order(call, request, &waiting, why, err))
        return false;
    if (*why)
        *why = arena_printf(call_arena(call), "'%s' waits for the end of a freeze: %s", waiting.image, *why);
    return true;
}

static bool wish_of(struct call *call, const struct request_facts *request, const struct workload *now,
                    struct wish *out, struct error *err)
{
    const struct asked asked = {
        .image = request->image,
        .event = request->event_id,
        .source = request->source,
        .chain = request->chain,
        .rule = request_rule(call, request),
        .sequence = request->sequence,
        .commit = request->commit,
        .person = request->person,
        .by = arena_printf(call_arena(call), "trigger %s", request->trigger->name),
    };
    return wish_for(call_arena(call), &asked, now, out, err);
}

/* The cluster does not take it, however often it is asked; what ran goes on. */
static bool tell_refusal(struct call *call, const struct request_facts *request, const struct error *refusal,
                         struct error *err)
{
    const struct workload nothing = { .reason = arena_dup(call_arena(call), span_of(refusal->message)) };
    return tell_failure(call, request, &nothing, err);
}

/* Where it is this request that waits, it has had its turn. */
static bool forget_own(struct call *call, struct target *target, const struct request_facts *request,
                       const struct workload *now, struct error *err)
{
    struct workload waiting;
    return !freeze_waiting(call, now, &waiting) || !is_ours(request, &waiting) || freeze_forget(call, target, now, err);
}

/* Why nothing is to be done stays; what waited is over with it where it is this request, or came before it. */
static bool settle(struct call *call, struct target *target, const struct request_facts *request,
                   const struct workload *now, const char *why, struct error *err)
{
    struct workload waiting;
    const char *rule = request_rule(call, request);
    bool runs = runs_already(request, now), comes = is_same(request, now) && now->rollout == ROLLOUT_STARTING;
    if (comes && request->trigger->strategy == STRATEGY_ORDERED && rule && now->marks.rule &&
        strcmp(rule, now->marks.rule) != 0)
        return error_set(err, ERROR_CONFLICT, "%s, and the next target's turn is when it has come up", why);
    if (!(runs && freeze_waiting(call, now, &waiting) ? freeze_forget(call, target, now, err)
                                                      : forget_own(call, target, request, now, err)))
        return false;
    return (!runs || strategy_go_on(call, request, err)) && skip(call, request, why, err);
}

/* *why is filled where there is nothing to do, *until_ms where it is not to be done yet. */
static bool weigh(struct call *call, const struct request_facts *request, const struct workload *now, const char *moved,
                  const char **why, int64_t *until_ms, struct error *err)
{
    *why = moved;
    *until_ms = FROZEN_NOT;
    return moved || (why_not(call, request, now, why, err) && (*why || freeze_until(request, now, until_ms, err)));
}

/* Guarded by what was read: when somebody else was faster, everything is decided anew. */
static bool put_into_service(struct call *call, struct target *target, const struct request_facts *request,
                             int64_t wait_ms, struct error *err)
{
    struct workload now;
    const char *why, *moved;
    int64_t until_ms = FROZEN_NOT;
    if (!look(call, target, request, &moved, &now, err))
        return false;
    for (int attempt = 1;; attempt++) {
        bool ours = is_ours(request, &now);
        if (ours && now.foreign)
            return skip(call, request, "somebody else has set another image since", err);
        why = NULL;
        if (!ours && !check_waiting(call, request, &now, &why, err))
            return false;
        if (why)
            return skip(call, request, why, err);
        if (!ours && !weigh(call, request, &now, moved, &why, &until_ms, err))
            return false;
        if (why)
            return settle(call, target, request, &now, why, err);
        struct wish wish;
        if (!wish_of(call, request, &now, &wish, err))
            return false;
        if (until_ms != FROZEN_NOT && freeze_park(call, target, request, &now, until_ms, err))
            return true;
        if (until_ms == FROZEN_NOT && (ours || target_apply(target, call_arena(call), &wish, &now, err)))
            return follow(call, target, request, &now, wait_ms, err);
        if (err->kind == ERROR_INVALID) {
            const struct error refusal = *err;
            return forget_own(call, target, request, &now, err) && tell_refusal(call, request, &refusal, err);
        }
        if (!follow_again(call, target, attempt, &now, err))
            return error_wrap(err, "%s", request->subject);
    }
}

/* What the cluster does not allow, or does not have, may be on its way. */
static bool not_yet(const struct request_facts *request, struct error *err)
{
    if (err->kind == ERROR_NOT_FOUND || err->kind == ERROR_DENIED)
        err->kind = ERROR_CONFLICT;
    return error_wrap(err, "deploy '%s'", request->subject);
}

static bool start(void **state, struct error *err)
{
    const struct configured *configured;
    if (!configured_start(state, err))
        return false;
    configured = *state;
    return freeze_check(configured->config, err);
}

static bool handle(struct call *call, struct error *err)
{
    const struct configured *state = call_state(call);
    AUTO(request_release) struct request_facts request = { 0 };
    if (strcmp(call_event(call)->type, TIMER_EVENT) == 0) {
        resume_all(call, state->config, put_into_service);
        return true;
    }
    if (!request_read(call, state->config, &request, err))
        return false;
    if (!request.trigger->enabled)
        return skip(call, &request, "the trigger is switched off", err);
    AUTO(target_close) struct target *target = follow_open(call, &request, err);
    int64_t wait_ms = call_remaining_ms(call) - ANSWER_RESERVE_MS;
    return (target && (request.undo ? strategy_undo(call, target, &request, wait_ms, err)
                                    : put_into_service(call, target, &request, wait_ms, err))) ||
           not_yet(&request, err);
}

FUNCTION(.start = start, .stop = configured_stop, .handle = handle)

#include "functions/deploy/follow.h"

#include "functions/deploy/strategy.h"

#include "shared/base/clock.h"
#include "shared/target/wish.h"

#include <string.h>
#include <time.h>

enum { PAUSE_MS = 20 };

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

struct target *follow_open(struct call *call, const struct request_facts *request, struct error *err)
{
    const struct target_options options = { .cancelled = call_cancelled, .context = call };
    struct target_options *kept = arena_take(call_arena(call), sizeof options);
    if (!kept) {
        arena_no_room(call_arena(call), "a target", err);
        return NULL;
    }
    *kept = options;
    return target_open(request->where, kept, err);
}

bool follow_again(struct call *call, struct target *target, int attempt, struct workload *now, struct error *err)
{
    struct timespec pause = { 0, 1000000L * PAUSE_MS * attempt };
    if ((err->kind != ERROR_CONFLICT && err->kind != ERROR_UNCERTAIN) || attempt >= ATTEMPTS_MAX)
        return false;
    nanosleep(&pause, NULL);
    return target_read(target, call_arena(call), now, err);
}

/* ---- telling ---- */

static void record(struct call *call, struct target *target, const struct request_facts *request,
                   const struct workload *now)
{
    bool runs = now->rollout == ROLLOUT_RUNNING;
    struct error failed = { 0 };
    const char *reason = now->reason ? now->reason : "";
    const struct target_record record = {
        .reason = runs                 ? "Deployed"
                  : now->running_image ? "RolledBack"
                                       : "DeployFailed",
        .warning = !runs,
        .text = arena_printf(call_arena(call), "%s by trigger '%s'%s%s", request->image, request->trigger->name,
                             *reason ? ": " : "", reason),
    };
    if (!record.text || !target_record(target, now, &record, &failed))
        call_log(call, "%s: no event about it is in the cluster: %s", request->subject, failed.message);
}

/* The list of given up digests has this one where the target kept it from running, and no longer when it runs. */
static const char *judge(struct call *call, const struct workload *now)
{
    struct arena *arena = call_arena(call);
    if (bad_has(now->marks.bad, now->digest) == (now->rollout == ROLLOUT_FAILED))
        return NULL;
    const char *bad = now->rollout == ROLLOUT_FAILED ? bad_with(arena, now->marks.bad, now->digest)
                                                     : bad_without(arena, now->marks.bad, now->digest);
    return bad ? bad : "";
}

static bool tell(struct call *call, struct target *target, const struct request_facts *request,
                 const struct workload *now, struct error *err)
{
    bool runs = now->rollout == ROLLOUT_RUNNING, again = same_text(now->marks.told, request->event_id);
    struct marks more = { .told = request->event_id, .bad = judge(call, now) };
    struct error failed = { 0 };
    bool told = runs ? strategy_go_on(call, request, err) &&
                           tell_success(call, request, now, again ? -1 : mark_age_ms(now->marks.time), err)
                     : tell_failure(call, request, now, err);
    if (!told || !call_flush(call, err))
        return false;
    if (again && !more.bad)
        return true;
    record(call, target, request, now);
    if (!target_note(target, call_arena(call), now, &more, &failed))
        call_log(call, "%s: it is not noted that its outcome was told: %s", request->subject, failed.message);
    return true;
}

/* ---- waiting ---- */

static bool overtaken(struct call *call, const struct request_facts *request, const struct workload *now,
                      struct error *err)
{
    const char *about = arena_printf(call_arena(call), "%zu %s", request->index, request->digest);
    return call_skip(call, request->trigger->name, about, err, "%s: superseded while it came up by %s",
                     request->subject, now->image ? now->image : "nothing");
}

/* A server that has just started does not know its roles yet. */
static bool denied_for_a_moment(const struct error *err, int attempt, int64_t left_ms)
{
    static const struct timespec pause = { 0, 500 * 1000000L };
    if (err->kind != ERROR_DENIED || attempt >= ATTEMPTS_MAX || left_ms <= 0)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

bool follow(struct call *call, struct target *target, const struct request_facts *request, struct workload *now,
            int64_t wait_ms, struct error *err)
{
    int64_t until_ms = clock_monotonic_ms() + wait_ms;
    for (int attempt = 1;; attempt++) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (!target_wait(target, call_arena(call), now, left_ms > 0 ? left_ms : 0, err)) {
            if (!denied_for_a_moment(err, attempt, left_ms))
                return false;
            continue;
        }
        if (!same_text(now->marks.event, request->event_id) || now->foreign)
            return overtaken(call, request, now, err);
        if (now->rollout != ROLLOUT_RUNNING && now->rollout != ROLLOUT_FAILED)
            return error_set(err, ERROR_CONFLICT, "%s is still coming up%s%s", request->subject,
                             now->reason ? ": " : "", now->reason ? now->reason : "");
        if (now->rollout == ROLLOUT_RUNNING || now->kept || now->marks.reason)
            return tell(call, target, request, now, err);
        const char *reason = now->reason ? now->reason : "it did not come up";
        if (!target_give_up(target, call_arena(call), now, reason, err) &&
            !follow_again(call, target, attempt, now, err))
            return false;
    }
}

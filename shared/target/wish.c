#include "shared/target/wish.h"

#include "shared/base/clock.h"
#include "shared/target/image.h"

#include <string.h>

static bool ran_well(const struct workload *now)
{
    const struct marks *marks = &now->marks;
    bool told = marks->event && marks->told && strcmp(marks->event, marks->told) == 0;
    return now->rollout == ROLLOUT_RUNNING ||
           (told && !marks->reason && !now->foreign && now->rollout != ROLLOUT_FAILED);
}

static const char *now_text(struct arena *arena)
{
    return arena_printf(arena, "%lld", (long long)clock_wall_ms());
}

bool wish_for(struct arena *arena, const struct asked *asked, const struct workload *now, struct wish *out,
              struct error *err)
{
    const char *cause = arena_printf(arena, "pushwright: %s: %s%s%s", asked->by, asked->image,
                                     asked->commit ? " of commit " : "", asked->commit ? asked->commit : "");
    *out = (struct wish){
        .image = asked->image,
        .marks = { .event = asked->event,
                   .source = asked->source,
                   .chain = asked->chain,
                   .rule = asked->rule,
                   .sequence = asked->sequence,
                   .commit = asked->commit,
                   .person = asked->person,
                   .image = asked->image,
                   .time = now_text(arena),
                   .previous = now->running_digest,
                   .previous_image = now->running_image,
                   .good = ran_well(now) ? now->image : now->running_image,
                   .bad = now->marks.bad,
                   .cause = cause },
    };
    return (cause && out->marks.time && out->marks.rule) || arena_no_room(arena, "what is noted on a workload", err);
}

bool reason_is_decided(const char *reason)
{
    return strncmp(reason, REASON_TAKEN_BACK, sizeof REASON_TAKEN_BACK - 1) == 0 ||
           strncmp(reason, REASON_ROLLED_BACK, sizeof REASON_ROLLED_BACK - 1) == 0;
}

bool target_give_up(struct target *target, struct arena *arena, struct workload *now, const char *reason,
                    struct error *err)
{
    struct wish wish = { .image = now->marks.good, .marks = now->marks };
    if (wish.image && image_same(wish.image, now->marks.image))
        wish.image = wish.marks.good = NULL; /* it is what fails now */
    wish.marks.reason = reason;
    wish.marks.told = NULL;
    wish.marks.bad = bad_with(arena, now->marks.bad, now->digest);
    wish.marks.time = now_text(arena);
    wish.marks.cause =
        arena_printf(arena, "pushwright: %s %s: %s", wish.image ? "back to" : "nothing to go back to from",
                     wish.image ? wish.image : now->marks.image, reason);
    if (!wish.marks.time || !wish.marks.cause)
        return arena_no_room(arena, "what is noted on a workload", err);
    if (target_apply(target, arena, &wish, now, err))
        return true;
    if (err->kind != ERROR_INVALID || !wish.image)
        return false;
    wish.image = wish.marks.good = NULL;
    wish.marks.reason =
        arena_printf(arena, "%s; and the cluster does not take back what ran before: %s", reason, err->message);
    return wish.marks.reason ? target_apply(target, arena, &wish, now, err)
                             : arena_no_room(arena, "what is noted on a workload", err);
}

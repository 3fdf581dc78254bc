#include "shared/target/workload.h"

#include "shared/target/image.h"

static bool still_fails(struct workload *w, struct arena *arena, struct error *err)
{
    w->reason = arena_printf(arena, "%s; and what was there before does not come up either: %s", w->marks.reason,
                             w->reason ? w->reason : "it failed");
    return w->reason || arena_no_room(arena, "the reason of a failure", err);
}

/* Of the image that was given up: it is over when its predecessor is back. */
static bool view_given_up(struct workload *w, struct arena *arena, struct error *err)
{
    w->image = w->marks.image;
    w->running_image = w->marks.good;
    if (w->rollout == ROLLOUT_FAILED && !still_fails(w, arena, err))
        return false;
    if (w->rollout == ROLLOUT_RUNNING) {
        w->rollout = ROLLOUT_FAILED;
        w->reason = w->marks.reason;
    }
    return true;
}

bool workload_view(struct workload *w, struct arena *arena, struct error *err)
{
    const char *stands = w->image;
    const struct marks *marks = &w->marks;
    bool wanted = image_same(stands, marks->image);
    bool back = marks->reason && marks->image && !wanted && image_same(stands, marks->good);
    w->foreign = marks->image && !wanted && !back;
    if (back && !view_given_up(w, arena, err))
        return false;
    if (wanted) {
        w->image = marks->image;
        if (marks->reason && !w->kept) {
            w->rollout = ROLLOUT_FAILED;
            w->reason = marks->reason;
        }
    }
    if (!back && !w->kept)
        w->running_image = w->rollout == ROLLOUT_RUNNING || (!wanted && w->serves) ? w->image : marks->good;
    w->digest = image_digest(w->image);
    w->running_digest = image_digest(w->running_image);
    return true;
}

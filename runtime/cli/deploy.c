/* A person puts an image into service: at once, whatever is newer, failed before, or is frozen. */
#include "runtime/cli/aim.h"
#include "runtime/cli/story.h"

#include "shared/base/clock.h"
#include "shared/policy/calendar.h"

#include <stdarg.h>
#include <string.h>

struct deploy {
    struct aim aim;
    struct arena *arena;
    const struct config_trigger *trigger;
    struct aim_image image;
};

__attribute__((format(printf, 2, 3))) static void say(const struct deploy *d, const char *format, ...)
{
    char line[4096];
    va_list args;
    (void)d;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    story_print(stdout, line);
    putchar('\n');
    fflush(stdout);
}

static void say_frozen(const struct deploy *d, const struct config_target *where, const char *subject)
{
    char until[RFC3339_SIZE];
    int64_t ms = FROZEN_NOT, others_ms = FROZEN_NOT, now_ms = clock_wall_ms();
    struct error ignored = { 0 };
    (void)calendar_frozen(d->trigger->freezes, d->trigger->freeze_count, now_ms, &ms, &ignored);
    (void)calendar_frozen(where->freezes, where->freeze_count, now_ms, &others_ms, &ignored);
    if (ms == FROZEN_NOT && others_ms == FROZEN_NOT)
        return;
    rfc3339_format(until, others_ms > ms ? others_ms : ms);
    say(d, "%s is frozen until %s: who asks by hand does not wait", subject, until);
}

static bool ask(struct deploy *d, struct target *target, size_t index, struct workload *now, struct error *err)
{
    const struct asked asked = aim_asked(&d->aim, d->arena, d->trigger, index, d->image.image);
    for (int attempt = 1;; attempt++) {
        struct wish wish;
        if (!wish_for(d->arena, &asked, now, &wish, err))
            return false;
        if (target_apply(target, d->arena, &wish, now, err))
            return true;
        if (!aim_again(target, d->arena, attempt, now, err))
            return false;
    }
}

static bool deploy_one(struct deploy *d, size_t index, bool wait, struct error *err)
{
    const struct config_target *where = &d->trigger->targets[index];
    const char *subject = aim_subject(d->arena, where);
    struct workload now;
    AUTO(target_close) struct target *target = aim_open(&d->aim, where, err);
    if (!subject || !target || !target_read(target, d->arena, &now, err))
        return error_wrap(err, "%s", subject ? subject : "a target");
    if (now.owner && !where->force)
        return error_set(err, ERROR_INVALID,
                         "%s: %s looks after it and would undo the change (\"force\": true in the configuration would "
                         "make it)",
                         subject, now.owner);
    if (aim_is_there(&d->image, &now)) {
        say(d, "%s %s it already", subject, now.rollout == ROLLOUT_RUNNING ? "runs" : "brings up");
        return !wait || aim_wait(target, d->arena, subject, false, &now, err);
    }
    say_frozen(d, where, subject);
    if (!ask(d, target, index, &now, err))
        return error_wrap(err, "%s", subject);
    say(d, "%s shall run %s", subject, d->image.image);
    bool runs = !wait || aim_wait(target, d->arena, subject, false, &now, err);
    if (runs && wait)
        say(d, "%s runs it%s%s", subject, now.url ? ", it answers at " : "", now.url ? now.url : "");
    aim_tell_chain(&d->aim, where, target, d->arena, &now);
    return runs;
}

/* In an order, the next one's turn is when the one before runs: deploy goes on with it, unless somebody waits here. */
static bool deploy_all(struct deploy *d, struct error *err)
{
    bool in_order = d->trigger->strategy == STRATEGY_ORDERED && !d->aim.target;
    size_t done = 0;
    for (size_t i = 0; i < d->trigger->target_count; i++) {
        if (!aim_wants(&d->aim, d->trigger, i))
            continue;
        if (in_order && done > 0 && !d->aim.wait) {
            say(d, "the next one's turn is when it runs there");
            return true;
        }
        if (!deploy_one(d, i, d->aim.wait, err))
            return false;
        done++;
    }
    return done > 0 ||
           error_set(err, ERROR_INVALID, "trigger '%s' has no target '%s'", d->trigger->name, d->aim.target);
}

static bool deploy(void *context, const struct aimed *at, struct error *err)
{
    struct deploy *d = context;
    d->trigger = at->trigger;
    d->arena = at->arena;
    return aim_resolve(d->arena, at->config, d->trigger->image, d->aim.image, &d->image, err) &&
           aim_examine(at->config, d->trigger, &d->image, err) && deploy_all(d, err);
}

static int run(int argc, char **argv)
{
    struct deploy d = { 0 };
    const struct option options[] = { AIM_OPTIONS(&d.aim), OPTION("--as", &d.aim.person), FLAG("--wait", &d.aim.wait),
                                      END };
    const struct argument names[] = { ARGUMENT("CONFIG", &d.aim.config), ARGUMENT("TRIGGER", &d.aim.trigger),
                                      ARGUMENT("IMAGE", &d.aim.image), END };
    return options_read(&command_deploy, argc, argv, options, names) ? aim_act(&command_deploy, &d.aim, deploy, &d)
                                                                     : EXIT_USAGE;
}

const struct command command_deploy = {
    .name = "deploy",
    .summary = "put an image into service by hand",
    .help =
        "Usage: pushwright deploy [OPTIONS] CONFIG TRIGGER IMAGE:TAG\n"
        "       pushwright deploy [OPTIONS] CONFIG TRIGGER @DIGEST\n\n"
        "Puts an image into service at the targets of a trigger. Who asks by hand is obeyed: what is newer, what "
        "failed\n"
        "before, the trigger's condition and freezes do not count; its platform and its signature do. Until somebody "
        "asks\n"
        "again, what was pushed before is passed over. 'history' shows it, and who asked.\n\n" AIM_HELP
        "  --wait           until it runs; what does not come up goes back to what ran before\n"
        "  --as NAME        who asks (default: who runs this)\n\n"
        "Exit codes: 0 done, 1 it did not come up, or try again, 3 refused.\n",
    .run = run,
};

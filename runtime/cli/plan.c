/* What an image would change at the targets of the triggers that watch it: the patch, and the object after it, as the API server itself tells
 * (dryRun=All). Nothing is changed. */
#include "runtime/cli/aim.h"
#include "runtime/cli/difference.h"
#include "runtime/cli/story.h"

#include "shared/base/clock.h"

#include <stdarg.h>
#include <string.h>

enum { TEXT_MAX = 16 * 1024 };

struct plan {
    struct aim aim;
    struct arena *arena;
    struct aim_image image;
    size_t targets, failed;
};

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[16 * 1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    story_print(stdout, line);
    putchar('\n');
}

static void say_frozen(const char *who, const struct freeze *freezes, size_t count)
{
    char until[RFC3339_SIZE];
    struct error unknown = { 0 };
    int64_t until_ms;
    if (!calendar_frozen(freezes, count, clock_wall_ms(), &until_ms, &unknown)) {
        say("  note: freezes of the %s: %s", who, unknown.message);
        return;
    }
    rfc3339_format(until, until_ms);
    if (until_ms != FROZEN_NOT)
        say("  note: frozen by the %s until %s", who, until);
}

/* What deploy would have to say, as far as the workload tells. */
static void say_notes(const struct plan *p, const struct config_trigger *trigger, const struct config_target *where,
                      const struct workload *now)
{
    if (now->owner)
        say("  note: %s looks after it%s", now->owner, where->force ? "" : ": deploy would leave it alone");
    if (bad_has(now->marks.bad, p->image.digest))
        say("  note: this digest was given up here before: deploy would leave it to a newer commit, or a person");
    if (now->foreign)
        say("  note: somebody else has set '%s' since '%s' was asked for", now->image ? now->image : "?",
            now->marks.image ? now->marks.image : "?");
    if (now->marks.parked)
        say("  note: another image waits for the end of a freeze");
    say_frozen("trigger", trigger->freezes, trigger->freeze_count);
    say_frozen("target", where->freezes, where->freeze_count);
}

static bool show_change(const struct plan *p, struct target *target, const struct asked *asked,
                        const struct workload *now, struct error *err)
{
    static const char *const noise[] = { "/metadata/managedFields", "/metadata/resourceVersion", NULL };
    struct wish wish;
    struct target_trial trial;
    struct error refused = { 0 };
    if (!wish_for(p->arena, asked, now, &wish, err))
        return false;
    if (!target_try(target, p->arena, &wish, &trial, &refused)) {
        if (refused.kind != ERROR_UNSUPPORTED)
            return error_set(err, refused.kind, "%s", refused.message);
        say("  then: %s", p->image.image);
        return true;
    }
    say("  %s: %s", trial.kind, trial.patch);
    puts("  the object after it:");
    if (difference_print(stdout, trial.before, trial.after, noise) == 0)
        puts("    as it is");
    return true;
}

static bool plan_target(struct plan *p, const struct config_trigger *trigger, size_t index, struct error *err)
{
    static const char *const states[] = { [ROLLOUT_NONE] = "nothing",
                                          [ROLLOUT_RUNNING] = "runs",
                                          [ROLLOUT_STARTING] = "comes up",
                                          [ROLLOUT_FAILED] = "failed" };
    const struct config_target *where = &trigger->targets[index];
    const char *subject = aim_subject(p->arena, where);
    const struct asked asked = aim_asked(&p->aim, p->arena, trigger, index, p->image.image);
    struct workload now;
    if (!subject)
        return arena_no_room(p->arena, "a target's name", err);
    say("%s %zu: %s", trigger->name, index, subject);
    AUTO(target_close) struct target *target = aim_open(&p->aim, where, err);
    if (!target || !target_read(target, p->arena, &now, err))
        return false;
    say("  now:  %s%s%s", states[now.rollout], now.image ? ", " : "", now.image ? now.image : "");
    say_notes(p, trigger, where, &now);
    if (aim_is_there(&p->image, &now)) {
        say("  then: the same");
        return true;
    }
    return show_change(p, target, &asked, &now, err);
}

static bool plan_trigger(struct plan *p, const struct config *config, const struct config_trigger *trigger,
                         struct error *err)
{
    AUTO(bytes_release) struct bytes reason = BYTES(TEXT_MAX);
    struct error unfit = { 0 };
    bool accepts = trigger->enabled;
    if (!accepts)
        say("trigger '%s' is switched off", trigger->name);
    else if (p->image.tag) {
        if (!condition_accepts(trigger->when, span_of(p->image.tag), &accepts, &reason, err))
            return error_wrap(err, "trigger '%s'", trigger->name);
        say("trigger '%s' %s it: %s", trigger->name, accepts ? "asks for" : "passes over", bytes_text(&reason));
    }
    if (!aim_examine(config, trigger, &p->image, &unfit))
        say("%s", unfit.message);
    for (size_t i = 0; i < trigger->target_count; i++) {
        struct error failed = { 0 };
        if (!aim_wants(&p->aim, trigger, i))
            continue;
        p->targets++;
        if (!plan_target(p, trigger, i, &failed)) {
            say("  cannot be: %s", failed.message);
            p->failed++;
            *err = failed;
        }
    }
    return true;
}

static bool plan(void *context, const struct aimed *at, struct error *err)
{
    struct plan *p = context;
    const struct config *config = at->config;
    p->arena = at->arena;
    if (!aim_resolve(p->arena, config, NULL, p->aim.image, &p->image, err))
        return false;
    for (size_t i = 0; i < config->trigger_count; i++) {
        const struct config_trigger *trigger = &config->triggers[i];
        if (strcmp(trigger->image, p->image.name) == 0 && (!at->trigger || at->trigger == trigger) &&
            !plan_trigger(p, config, trigger, err))
            return false;
    }
    if (p->targets == 0)
        return error_set(err, ERROR_INVALID, "no trigger of '%s' puts '%s' into service%s", p->aim.config,
                         p->image.name, p->aim.trigger || p->aim.target ? " there" : "");
    return p->failed == 0 || error_wrap(err, "%zu of %zu targets, the last", p->failed, p->targets);
}

static int run(int argc, char **argv)
{
    struct plan p = { 0 };
    const struct option options[] = { AIM_OPTIONS(&p.aim), OPTION("--trigger", &p.aim.trigger), END };
    const struct argument names[] = { ARGUMENT("CONFIG", &p.aim.config), ARGUMENT("IMAGE", &p.aim.image), END };
    return options_read(&command_plan, argc, argv, options, names) ? aim_act(&command_plan, &p.aim, plan, &p)
                                                                   : EXIT_USAGE;
}

const struct command command_plan = {
    .name = "plan",
    .summary = "what an image would change, changing nothing",
    .help = "Usage: pushwright plan [OPTIONS] CONFIG IMAGE:TAG\n"
            "       pushwright plan [OPTIONS] CONFIG IMAGE@DIGEST\n\n"
            "For each target of each trigger that watches the image: what runs there now, what speaks against it, the "
            "patch "
            "that\n"
            "deploy would send, and what the object would be after it, as the API server itself tells (dryRun=All).\n\n"
            "  --trigger NAME   one trigger alone\n" AIM_HELP "\n"
            "Exit codes: 0 shown, 1 try again, 3 wrong input, or refused.\n",
    .run = run,
};

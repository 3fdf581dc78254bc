/* A person takes back what runs. What is taken back is remembered on the workload: nobody brings it again but a newer commit or a person. */
#include "runtime/cli/aim.h"
#include "runtime/cli/story.h"

#include "shared/target/image.h"

#include <string.h>

struct rollback {
    struct aim aim;
    struct arena *arena;
    const struct config *config;
    const struct config_trigger *trigger;
};

static void say(const char *subject, const char *what, const char *image)
{
    story_print(stdout, subject);
    fputs(what, stdout);
    story_print(stdout, image);
    putchar('\n');
    fflush(stdout);
}

/* The digest's name, as it stood there before where it did. NULL: *err is filled. */
static const char *name_of(const struct rollback *r, const struct workload *now, struct error *err)
{
    const char *const known[] = { now->marks.good, now->marks.previous_image, now->running_image };
    struct aim_image image;
    if (!r->aim.to) {
        if (!now->marks.good)
            error_set(err, ERROR_INVALID, "nothing is known to have run well before (--to DIGEST says what shall)");
        return now->marks.good;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i] && image_digest(known[i]) && strcmp(image_digest(known[i]), r->aim.to) == 0)
            return known[i];
    const char *text = arena_printf(r->arena, "@%s", r->aim.to);
    if (!text)
        arena_no_room(r->arena, "an image's name", err);
    return text && aim_resolve(r->arena, r->config, r->trigger->image, text, &image, err) ? image.image : NULL;
}

/* Is there something to take back? */
static bool check(const struct rollback *r, const struct config_target *where, const struct workload *now,
                  struct error *err)
{
    if (now->rollout == ROLLOUT_NONE)
        return error_set(err, ERROR_INVALID, "nothing runs there");
    if (now->owner && !where->force)
        return error_set(err, ERROR_INVALID, "%s looks after it and would undo the change", now->owner);
    if (now->foreign || !now->marks.event || !now->digest)
        return error_set(err, ERROR_INVALID, "'%s' is none that Pushwright put there: 'deploy' says what shall run",
                         now->image ? now->image : "what runs");
    return !r->aim.to || strcmp(now->digest, r->aim.to) != 0 ||
           error_set(err, ERROR_INVALID, "that digest is what shall be taken back");
}

/* As if the image that it goes back to were the last good one, asked for by this person. */
static bool take_back(const struct rollback *r, struct target *target, size_t index, struct workload *now,
                      struct error *err)
{
    const struct config_target *where = &r->trigger->targets[index];
    const struct asked asked = aim_asked(&r->aim, r->arena, r->trigger, index, NULL);
    const char *reason = arena_printf(r->arena, REASON_ROLLED_BACK "%s", asked.person);
    for (int attempt = 1;; attempt++) {
        if (!check(r, where, now, err))
            return false;
        const char *image = name_of(r, now, err);
        if (!image)
            return false;
        struct marks *marks = &now->marks;
        marks->good = image;
        marks->event = asked.event;
        marks->source = asked.source;
        marks->chain = asked.chain;
        marks->rule = asked.rule;
        marks->sequence = asked.sequence;
        marks->person = asked.person;
        marks->parked = NULL;
        if (image_digest(image))
            marks->bad = bad_without(r->arena, marks->bad, image_digest(image));
        if (!reason || !asked.rule || !asked.event)
            return arena_no_room(r->arena, "a rollback", err);
        if (target_give_up(target, r->arena, now, reason, err))
            return true;
        if (!aim_again(target, r->arena, attempt, now, err))
            return false;
    }
}

static bool rollback_one(const struct rollback *r, size_t index, struct error *err)
{
    const struct config_target *where = &r->trigger->targets[index];
    const char *subject = aim_subject(r->arena, where);
    struct workload now;
    AUTO(target_close) struct target *target = aim_open(&r->aim, where, err);
    if (!subject || !target || !target_read(target, r->arena, &now, err))
        return error_wrap(err, "%s", subject ? subject : "a target");
    if (now.marks.reason && !r->aim.to && now.running_image) {
        say(subject, " is back already, at ", now.running_image);
        return true;
    }
    const char *from = now.image;
    if (!take_back(r, target, index, &now, err))
        return error_wrap(err, "%s", subject);
    say(subject, " shall not run ", from);
    bool back = !r->aim.wait || aim_wait(target, r->arena, subject, true, &now, err);
    if (back)
        say(subject, r->aim.wait ? " is back at " : " goes back to ", now.marks.good ? now.marks.good : "?");
    aim_tell_chain(&r->aim, where, target, r->arena, &now);
    return back;
}

static bool rollback(void *context, const struct aimed *at, struct error *err)
{
    struct rollback *r = context;
    size_t done = 0;
    struct error first = { 0 };
    r->config = at->config;
    r->trigger = at->trigger;
    r->arena = at->arena;
    for (size_t i = 0; i < r->trigger->target_count; i++) {
        struct error failed = { 0 };
        if (!aim_wants(&r->aim, r->trigger, i))
            continue;
        done++;
        if (rollback_one(r, i, &failed))
            continue;
        if (first.kind != ERROR_NONE)
            command_fail("rollback", &failed); /* the others are taken back all the same */
        else
            first = failed;
    }
    if (first.kind != ERROR_NONE)
        *err = first;
    return first.kind == ERROR_NONE && (done > 0 || error_set(err, ERROR_INVALID, "trigger '%s' has no target '%s'",
                                                              r->trigger->name, r->aim.target));
}

static int run(int argc, char **argv)
{
    struct rollback r = { 0 };
    const struct option options[] = { AIM_OPTIONS(&r.aim), OPTION("--as", &r.aim.person), OPTION("--to", &r.aim.to),
                                      FLAG("--wait", &r.aim.wait), END };
    const struct argument names[] = { ARGUMENT("CONFIG", &r.aim.config), ARGUMENT("TRIGGER", &r.aim.trigger), END };
    if (!options_read(&command_rollback, argc, argv, options, names))
        return EXIT_USAGE;
    if (r.aim.to && !digest_is_legal(span_of(r.aim.to)))
        return command_usage(&command_rollback, "--to wants a digest, sha256:...");
    return aim_act(&command_rollback, &r.aim, rollback, &r);
}

const struct command command_rollback = {
    .name = "rollback",
    .summary = "take back what runs, for good",
    .help =
        "Usage: pushwright rollback [OPTIONS] CONFIG TRIGGER\n\n"
        "Puts back what ran well before at the targets of a trigger. The image that is taken back is remembered there: "
        "no\n"
        "redelivery brings it again, only a newer commit or a person does. 'history' shows it, and who asked.\n\n"
        "  --to DIGEST      not to what ran before, but to this one\n" AIM_HELP "  --wait           until it is back\n"
        "  --as NAME        who asks (default: who runs this)\n\n"
        "Exit codes: 0 done, 1 try again, 3 refused.\n",
    .run = run,
};

#include "functions/webhook/builds.h"

#include "functions/webhook/push.h"
#include "shared/base/clock.h"

#include <string.h>
#include <strings.h>

enum { TEXT_MAX = 128 * 1024 };

/* --- what happened ------------------------------------------------------------------------------------------------ */

static bool write_change(struct bytes *out, const struct change *change, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "kind", "push");
    json_add_string(&w, "change", change_kind(change));
    json_add_string(&w, "repository", change->repository);
    json_add_string(&w, "ref", change->ref);
    json_add_string(&w, "before", change->before);
    json_add_string(&w, "after", change->after);
    json_add_string(&w, "commit", change->commit);
    json_add_boolean(&w, "created", change->created);
    json_add_boolean(&w, "deleted", change->deleted);
    json_add_boolean(&w, "forced", change->forced);
    json_add_integer(&w, "commits", change->commits);
    json_add_string(&w, "message", change->message);
    json_add_string(&w, "pusher", change->sender);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_repository(struct bytes *out, const struct change *change, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_open_object(&w, "repository");
    json_add_string(&w, "id", change->repository);
    json_add_string(&w, "source", change->url);
    json_close_object(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool emit_change(struct call *call, const struct change *change, const char *type, const char *subject,
                        bool standard, struct error *err)
{
    AUTO(bytes_release) struct bytes content = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes custom = BYTES(TEXT_MAX);
    if (!write_change(&custom, change, err) || !write_repository(&content, change, err))
        return false;
    const struct attribute attributes[] = {
        { .name = "vcsrepo", .value = change->repository },
        { .name = "vcsref", .value = change->ref },
        { .name = "vcssha", .value = change->commit ? change->commit : "none" },
    };
    const struct draft draft = {
        .type = type,
        .subject = subject,
        .subject_source = standard ? change->url : NULL,
        .content = bytes_span(&content),
        .custom = bytes_span(&custom),
        .target = change->ref,
        .attributes = attributes,
        .attribute_count = sizeof attributes / sizeof attributes[0],
    };
    return call_emit(call, &draft, err);
}

static bool emit_what_happened(struct call *call, const struct change *change, struct error *err)
{
    if (change->is_tag)
        return emit_change(call, change,
                           change->deleted ? "dev.cdeventsx.pushwright-tag.deleted.0.1.0"
                                           : "dev.cdeventsx.pushwright-tag.created.0.1.0",
                           change->name, false, err);
    if (change->deleted)
        return emit_change(call, change, "dev.cdevents.branch.deleted.0.3.0", change->name, true, err);
    if (change->created && !emit_change(call, change, "dev.cdevents.branch.created.0.3.0", change->name, true, err))
        return false;
    return emit_change(call, change, "dev.cdevents.change.merged.0.3.0", change->commit, true, err);
}

/* --- the rules ---------------------------------------------------------------------------------------------------- */

/* GitHub's five words; GitLab writes its two in any capitalisation, which harms nobody elsewhere. */
static bool asks_to_skip(const char *message)
{
    static const char *const words[] = { "[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]" };
    for (size_t i = 0; message && i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(message, words[i]))
            return true;
    return false;
}

static bool ref_is_wanted(const struct config_build *build, const struct change *change, bool *wanted, struct error *err)
{
    const struct patterns *patterns = change->is_tag ? build->tags : build->branches;
    *wanted = false;
    return !patterns || patterns_match(patterns, span_of(change->name), wanted, err);
}

/* NULL: build it; else why not. False on an error only. */
static bool why_not(struct call *call, const struct config_build *build, const struct change *change, struct span json,
                    const char **reason, struct error *err)
{
    bool wanted = false, touches = true;
    *reason = NULL;
    if (change->deleted)
        *reason = arena_printf(call_arena(call), "%s was deleted", change->ref);
    else if (!build->enabled)
        *reason = arena_printf(call_arena(call), "build '%s' is switched off", build->name);
    else if (!ref_is_wanted(build, change, &wanted, err))
        return error_wrap(err, "build '%s'", build->name);
    else if (!wanted)
        *reason = arena_printf(call_arena(call), "build '%s' does not build the %s '%s'", build->name,
                               change->is_tag ? "tag" : "branch", change->name);
    else if (build->honour_skip && asks_to_skip(change->message))
        *reason = arena_printf(call_arena(call), "the head commit's message asks to skip builds");
    else if (build->paths && !push_touches(json, change, build->paths, &touches, err))
        return error_wrap(err, "build '%s'", build->name);
    else if (!touches)
        *reason = arena_printf(call_arena(call), "no changed path is one of build '%s'", build->name);
    else
        return true;
    return *reason != NULL || error_set(err, ERROR_INTERNAL, "out of memory");
}

struct wish {
    const char *ref, *commit, *message, *asked;
    int64_t sequence_ms, time_ms;
    const char *repository;
};

static bool write_queued(struct bytes *out, const struct config_build *build, const struct wish *wish, const char *sequence,
                         struct error *err)
{
    char time[RFC3339_SIZE];
    rfc3339_format(time, wish->time_ms);
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "build", build->name);
    json_open_object(&w, "repository");
    json_add_string(&w, "id", wish->repository);
    json_add_string(&w, "source", build->clone);
    json_close_object(&w);
    json_add_string(&w, "ref", wish->ref);
    json_add_string(&w, "commit", wish->commit);
    json_add_string(&w, "sequence", sequence);
    json_add_string(&w, "time", time);
    json_add_string(&w, "message", wish->message);
    json_add_string(&w, "asked", wish->asked);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool emit_queued(struct call *call, const struct config_build *build, const struct wish *wish, struct error *err)
{
    char sequence[24];
    AUTO(bytes_release) struct bytes custom = BYTES(TEXT_MAX);
    snprintf(sequence, sizeof sequence, "%015lld", (long long)wish->sequence_ms);
    if (!write_queued(&custom, build, wish, sequence, err))
        return false;
    const struct attribute attributes[] = {
        { .name = "vcsrepo", .value = wish->repository },
        { .name = "vcsref", .value = wish->ref },
        { .name = "buildname", .value = build->name },
    };
    const char *subject =
        arena_printf(call_arena(call), "%s/%.7s-%s", build->name, wish->commit ? wish->commit : "tip", sequence);
    const struct draft draft = {
        .type = "dev.cdevents.build.queued.0.3.0",
        .subject = subject,
        .content = SPAN("{}"),
        .custom = bytes_span(&custom),
        .rule = build->name,
        .target = wish->ref,
        .attributes = attributes,
        .attribute_count = sizeof attributes / sizeof attributes[0],
    };
    return call_emit(call, &draft, err);
}

/* {time} must be the same when the host delivers again, the order of pushes must be right when a branch is moved back: where the
 * host tells no time of the push, the commit's time serves the first, and for branches (whose tip `build` checks) the
 * time of arrival the second. */
static struct wish wish_of(const struct change *change)
{
    int64_t now = clock_wall_ms();
    int64_t told = change->pushed_ms ? change->pushed_ms : change->commit_ms;
    return (struct wish){
        .ref = change->ref,
        .commit = change->commit,
        .message = change->message,
        .asked = "push",
        .repository = change->repository,
        .time_ms = told ? told : now,
        .sequence_ms = change->pushed_ms ? change->pushed_ms : change->is_tag && told ? told : now,
    };
}

bool builds_for_push(struct call *call, const struct config_source *source, const struct change *change, struct span json,
                     struct verdict *verdict, struct error *err)
{
    const struct webhook_state *state = call_state(call);
    const struct wish wish = wish_of(change);
    size_t rules = 0;
    if (!emit_what_happened(call, change, err))
        return false;
    for (size_t i = 0; i < state->config->build_count; i++) {
        const struct config_build *build = &state->config->builds[i];
        const char *reason;
        if (build->source != source || strcasecmp(build->repository, change->repository) != 0)
            continue;
        rules++;
        if (!why_not(call, build, change, json, &reason, err))
            return false;
        if (reason ? !call_skip(call, build->name, change->ref, err, "%s", reason) : !emit_queued(call, build, &wish, err))
            return false;
        verdict->queued += !reason;
        verdict->reason = reason ? reason : verdict->reason;
    }
    if (rules == 0)
        verdict->reason = arena_printf(call_arena(call), "no build rule is about '%s'", change->repository);
    return true;
}

static bool is_commit(const char *text)
{
    size_t n = strlen(text);
    return (n == 40 || n == 64) && strspn(text, "0123456789abcdef") == n;
}

bool builds_on_request(struct call *call, const struct config_build *build, struct span body, struct verdict *verdict,
                       struct error *err)
{
    const struct json *doc = json_parse(call_arena(call), body, err);
    if (!doc)
        return error_wrap(err, "the body must be JSON such as {\"ref\": \"main\"}");
    const char *ref = json_get_string(doc, "ref");
    const char *commit = json_get_string(doc, "commit");
    if (!ref || !*ref)
        return error_set(err, ERROR_INVALID, "the body names no ref: {\"ref\": \"main\"} builds the branch's tip");
    if (commit && !is_commit(commit))
        return error_set(err, ERROR_INVALID, "\"commit\" must be a full commit id, not '%.80s'", commit);
    if (!build->enabled)
        return error_set(err, ERROR_INVALID, "build '%s' is switched off in the configuration", build->name);
    int64_t now = clock_wall_ms();
    const struct wish wish = {
        .ref = strncmp(ref, "refs/", 5) == 0 ? ref : arena_printf(call_arena(call), "refs/heads/%s", ref),
        .commit = commit,
        .asked = "person",
        .repository = build->repository,
        .time_ms = now,
        .sequence_ms = now,
    };
    if (!wish.ref)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    verdict->queued = 1;
    return emit_queued(call, build, &wish, err);
}

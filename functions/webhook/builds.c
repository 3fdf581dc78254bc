#include "functions/webhook/builds.h"

#include "functions/webhook/push.h"
#include "shared/base/clock.h"
#include "shared/policy/skip.h"

#include <string.h>
#include <strings.h>

/* Largest text of an event, and how much of a commit's message goes into it: in JSON a byte may take six. */
enum { TEXT_MAX = 64 * 1024, MESSAGE_TOLD_MAX = 4 * 1024 };

/* --- what happened ------------------------------------------------------------------------------------------------ */

/* Not in the middle of a character. */
static struct span message_told(const char *message)
{
    struct span told = span_of(message);
    if (told.len <= MESSAGE_TOLD_MAX)
        return told;
    for (told.len = MESSAGE_TOLD_MAX; told.len > 0 && ((unsigned char)told.data[told.len] & 0xc0) == 0x80;)
        told.len--;
    return told;
}

static void json_add_message(struct json_writer *w, const char *message)
{
    if (message)
        json_add_span(w, "message", message_told(message));
}

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
    json_add_message(&w, change->message);
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
    struct bytes content = ARENA_BYTES(call_arena(call), TEXT_MAX), custom = content;
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

bool builds_want(const struct config_build *build, bool is_tag, const char *name, bool *wanted, struct error *err)
{
    const struct patterns *patterns = is_tag ? build->tags : build->branches;
    *wanted = false;
    return !patterns || patterns_match(patterns, span_of(name), wanted, err);
}

/* A pattern that takes too long is its rule's fault alone: the others are asked, the sender is not refused. */
static const char *why_undecided(struct arena *arena, const struct config_build *build, const struct error *err)
{
    return arena_printf(arena, "build '%s': %s", build->name, err->message);
}

/* NULL: build it; else why not. */
static const char *why_not(struct arena *arena, const struct config_build *build, const struct change *change)
{
    struct error failed = { 0 };
    bool wanted = false, touches = true;
    if (change->deleted)
        return arena_printf(arena, "%s was deleted", change->ref);
    if (!build->enabled)
        return arena_printf(arena, "build '%s' is switched off", build->name);
    if (!builds_want(build, change->is_tag, change->name, &wanted, &failed))
        return why_undecided(arena, build, &failed);
    if (!wanted)
        return arena_printf(arena, "build '%s' does not build the %s '%s'", build->name,
                            change->is_tag ? "tag" : "branch", change->name);
    if (build->honour_skip && skip_is_asked(change->message))
        return "the head commit's message asks to skip builds";
    if (build->paths && !push_touches(change, build->paths, &touches, &failed))
        return why_undecided(arena, build, &failed);
    return touches ? NULL : arena_printf(arena, "no changed path is one of build '%s'", build->name);
}

struct wish {
    const char *ref, *commit, *message, *asked;
    const char *named;  /* by a person, not in full: a branch, else a tag ... ; `ref` is the branch */
    const char *reason; /* NULL: it needs none */
    const char *base, *base_digest;
    int64_t sequence_ms, time_ms;
    const char *repository;
};

static bool write_queued(struct bytes *out, const struct config_build *build, const struct wish *wish,
                         const char *sequence, struct error *err)
{
    char time[RFC3339_SIZE];
    rfc3339_format(time, wish->time_ms);
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "build", build->name);
    if (build->clone) {
        json_open_object(&w, "repository");
        json_add_string(&w, "id", wish->repository);
        json_add_string(&w, "source", build->clone);
        json_close_object(&w);
    }
    json_add_string(&w, "ref", wish->ref);
    json_add_string(&w, "named", wish->named);
    json_add_string(&w, "commit", wish->commit);
    json_add_string(&w, "sequence", sequence);
    json_add_string(&w, "time", time);
    json_add_message(&w, wish->message);
    json_add_string(&w, "asked", wish->asked);
    json_add_string(&w, "reason", wish->reason);
    if (wish->base) {
        json_open_object(&w, "base");
        json_add_string(&w, "image", wish->base);
        json_add_string(&w, "digest", wish->base_digest);
        json_close_object(&w);
    }
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool emit_queued(struct call *call, const struct config_build *build, const struct wish *wish, struct error *err)
{
    char sequence[24];
    struct bytes custom = ARENA_BYTES(call_arena(call), TEXT_MAX);
    snprintf(sequence, sizeof sequence, "%015lld", (long long)wish->sequence_ms);
    if (!write_queued(&custom, build, wish, sequence, err))
        return false;
    const struct attribute attributes[] = {
        { .name = "vcsref", .value = wish->ref },
        { .name = "buildname", .value = build->name },
        { .name = "vcsrepo", .value = wish->repository }, /* which an inline Dockerfile has not */
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
        .attribute_count = sizeof attributes / sizeof attributes[0] - !wish->repository,
    };
    return call_emit(call, &draft, err);
}

/* {time} must be the same when the host delivers again, the order of pushes must be right when a branch is moved back: where the
 * host tells no time of the push, the commit's time serves the first, and for branches (whose tip `build` checks) the
 * time of arrival the second. */
static struct wish wish_of(const struct change *change)
{
    int64_t now = clock_wall_ms();
    int64_t told = change->pushed_ms > 0 ? change->pushed_ms : change->commit_ms;
    if (told < 0) /* a commit that claims to be from before 1970 */
        told = 0;
    return (struct wish){
        .ref = change->ref,
        .commit = change->commit,
        .message = change->message,
        .asked = "push",
        .repository = change->repository,
        .time_ms = told ? told : now,
        .sequence_ms = change->pushed_ms        ? change->pushed_ms
                       : change->is_tag && told ? told
                                                : now,
    };
}

static bool note_skip(struct call *call, const struct config_build *build, const struct change *change,
                      const char *reason, struct verdict *verdict, struct error *err)
{
    struct decision *decision = arena_take(call_arena(call), sizeof *decision);
    if (!decision)
        return arena_no_room(call_arena(call), "the push", err);
    *decision = (struct decision){ .build = build->name, .reason = reason };
    if (verdict->last_skipped)
        verdict->last_skipped->next = decision;
    else
        verdict->skipped = decision;
    verdict->last_skipped = decision;
    verdict->reason = verdict->reason ? verdict->reason : reason;
    return call_skip(call, build->name, change->ref, err, "%s", reason);
}

static bool is_about(const struct config_build *build, const struct config_source *source, const struct change *change)
{
    return build->source == source && strcasecmp(build->repository, change->repository) == 0;
}

bool builds_for_push(struct call *call, const struct config_source *source, const struct change *change,
                     struct verdict *verdict, struct error *err)
{
    const struct webhook_state *state = call_state(call);
    const struct wish wish = wish_of(change);
    if (!emit_what_happened(call, change, err))
        return false;
    for (size_t i = 0; i < state->config->build_count; i++) {
        const struct config_build *build = &state->config->builds[i];
        if (!is_about(build, source, change))
            continue;
        const char *reason = why_not(call_arena(call), build, change);
        if (reason ? !note_skip(call, build, change, reason, verdict, err) : !emit_queued(call, build, &wish, err))
            return false;
        verdict->queued += !reason;
    }
    if (verdict->queued == 0 && !verdict->reason)
        verdict->reason = arena_printf(call_arena(call), "no build rule is about '%s'", change->repository);
    return true;
}

/* A member that is not known is a wish that would not be met. */
static bool check_wish(const struct json *doc, struct error *err)
{
    static const char *const known[] = { "ref", "commit" };
    if (json_type(doc) != JSON_OBJECT)
        return error_set(err, ERROR_INVALID, "the body is not an object such as {\"ref\": \"main\"}");
    for (const struct json *member = json_first(doc); member; member = json_next(member)) {
        bool is_known = strcmp(json_key(member), known[0]) == 0 || strcmp(json_key(member), known[1]) == 0;
        if (!is_known)
            return error_set(err, ERROR_INVALID, "the body may say \"ref\" and \"commit\", not \"%.80s\"",
                             json_key(member));
        if (json_type(member) != JSON_STRING)
            return error_set(err, ERROR_INVALID, "\"%s\" must be a string, not %s", json_key(member),
                             json_type_name(json_type(member)));
    }
    return true;
}

/* Git takes the digits in either case, and tells them in the lower one. */
static const char *read_oid(struct arena *arena, const char *said)
{
    char *oid = arena_dup(arena, span_of(said));
    for (char *c = oid; c && *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    return oid && oid_is_legal(oid) && !oid_is_zero(oid) ? oid : NULL;
}

static bool read_commit(struct arena *arena, const char *said, struct wish *wish, struct error *err)
{
    wish->commit = said ? read_oid(arena, said) : NULL;
    return !said || wish->commit ||
           error_set(err, ERROR_INVALID, "\"commit\" must be a full commit id, not '%.80s'", said);
}

/* A full name, or "HEAD", as it is; a commit's id; else whatever the repository has by that name, which `build` asks. */
static bool read_ref(struct arena *arena, const char *said, struct wish *wish, struct error *err)
{
    const char *oid = read_oid(arena, said);
    if (oid && wish->commit && strcmp(oid, wish->commit) != 0)
        return error_set(err, ERROR_INVALID, "\"ref\" and \"commit\" name two commits");
    wish->ref = said;
    if (oid)
        wish->ref = wish->commit = oid;
    if (oid || strcmp(said, "HEAD") == 0)
        return true;
    if (strncmp(said, "refs/", 5) == 0)
        return ref_check(said, err);
    wish->named = said;
    wish->ref = arena_printf(arena, "refs/heads/%s", said);
    return wish->ref ? ref_check(wish->ref, err) : arena_no_room(arena, "the ref", err);
}

/* {"ref": ..., "commit": optional} of a repository; {} or nothing of an inline Dockerfile. */
static bool read_wish(struct call *call, const struct config_build *build, struct span body, struct wish *wish,
                      struct error *err)
{
    if (build->inline_text && body.len == 0)
        return true;
    const struct json *doc = json_parse(call_arena(call), body, err);
    if (!doc)
        return error_wrap(err, "the body must be JSON such as {\"ref\": \"main\"}");
    if (!check_wish(doc, err))
        return false;
    if (build->inline_text)
        return json_count(doc) == 0 ||
               error_set(err, ERROR_INVALID, "build '%s' is of an inline Dockerfile: it has no refs and commits",
                         build->name);
    const char *ref = json_get_string(doc, "ref");
    if (!ref || !*ref)
        return error_set(err, ERROR_INVALID, "the body names no ref: {\"ref\": \"main\"} builds the branch's tip");
    return read_commit(call_arena(call), json_get_string(doc, "commit"), wish, err) &&
           read_ref(call_arena(call), ref, wish, err);
}

bool builds_on_request(struct call *call, const struct config_build *build, struct span body, struct verdict *verdict,
                       struct error *err)
{
    int64_t now = clock_wall_ms();
    struct wish wish = {
        .ref = CONFIG_INLINE_REF, .asked = "person", .repository = build->repository, .time_ms = now, .sequence_ms = now
    };
    if (!read_wish(call, build, body, &wish, err))
        return false;
    if (!build->enabled)
        return error_set(err, ERROR_INVALID, "build '%s' is switched off in the configuration", build->name);
    verdict->queued = 1;
    return emit_queued(call, build, &wish, err);
}

bool builds_missing(struct call *call, const struct config_build *build, const struct wanted_build *wanted,
                    struct error *err)
{
    int64_t now = clock_wall_ms();
    const struct wish wish = { .ref = wanted->ref,
                               .commit = wanted->commit,
                               .asked = "reconcile",
                               .reason = wanted->reason,
                               .base = wanted->base,
                               .base_digest = wanted->base_digest,
                               .repository = build->repository,
                               .time_ms = now,
                               .sequence_ms = now };
    return emit_queued(call, build, &wish, err);
}

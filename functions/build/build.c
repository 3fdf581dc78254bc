/* build: a push asks for an image.
 *
 * The event names a rule of the configuration, a ref and a commit. The git host is asked what the ref points to now, before the build
 * begins and again before the image is published: a branch that has moved on has a build of its own. What goes wrong for good (a
 * Dockerfile that cannot be built, a token that is refused) is the build's result and told by its events; what may go better next time
 * is an error, and the sender tries again. */
#include "functions/build/attest.h"
#include "functions/build/events.h"
#include "functions/build/logbook.h"
#include "functions/build/order.h"
#include "functions/build/recall.h"
#include "functions/build/running.h"
#include "runtime/function.h"
#include "runtime/log.h"
#include "shared/base/clock.h"
#include "shared/builder/baseindex.h"
#include "shared/builder/hide.h"
#include "shared/builder/keepgit.h"
#include "shared/builder/publish.h"
#include "shared/config/config.h"
#include "shared/git/git.h"
#include "shared/policy/skip.h"
#include "shared/sandbox/sandbox.h"

#include <errno.h>
#include <string.h>

struct build_state {
    struct config *config;
    struct registry_logins *logins;
    struct running *running;
    struct arena *arena;
    const char *cache_directory;
    int64_t cache_bytes;
    bool allow_private;
    bool registry_indexes; /* of base layers are kept beside the image */
};

/* One event on its way. */
struct job {
    struct call *call;
    const struct build_state *state;
    struct order order;
    const struct config_build *rule;
    struct secret *token;
    struct ecdsa_key *key; /* NULL: nothing is signed */
    struct git_remote_options remote;
    struct running_job *running;
    struct logbook *logbook;
    const char *log; /* where it is kept; NULL: not yet, or nowhere */
    struct recall recall;
    struct registry_options registries; /* as they are */
    struct registry_options bases;      /* with their mirrors: a base image is the same there */
    struct tags tags;
    char commit[GIT_OID_TEXT_SIZE]; /* "" until it is known */
    int64_t started_ms, deadline_ms;
    bool started;           /* told */
    bool timed_out;         /* over the rule's limit */
    const char *superseded; /* the reason; NULL: it is not */
    bool unwanted;          /* the reason is the commit's own */
};

static void job_release(struct job *job)
{
    running_end(job->running);
    recall_release(&job->recall);
    secret_free(job->token);
    ecdsa_key_free(job->key);
    logbook_free(job->logbook);
}
AUTO_RELEASE(struct job, job_release)

static void stop(void *opaque)
{
    struct build_state *state = opaque;

    if (!state)
        return;
    running_free(state->running);
    registry_logins_free(state->logins);
    config_free(state->config);
    arena_free(state->arena);
    free(state);
}
AUTO_FREE(void, stop)

/* How much the build cache may hold; nothing said: the builder decides. */
static bool read_cache_bytes(int64_t *out, struct error *err)
{
    const char *text = getenv("PUSHWRIGHT_CACHE_BYTES");
    char *end;

    if (!text || !*text)
        return true;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return (!*end && errno == 0 && *out > 0) ||
           error_set(err, ERROR_INVALID, "PUSHWRIGHT_CACHE_BYTES is '%s', not a number of bytes", text);
}

/* The users of images, for RUN; without them the one that we are stands for all. */
static void take_users(void)
{
    struct error err = { 0 };

    if (!sandbox_take_subordinate_ids(&err))
        log_event(SEVERITY_WARNING, &(struct log_fields){ .logger = "build" }, "RUN has one user only: %s",
                  err.message);
}

static bool start(void **out, struct error *err)
{
    AUTO(stop) void *owned = calloc(1, sizeof(struct build_state));
    struct build_state *state = owned;
    const char *private = getenv("PUSHWRIGHT_ADD_PRIVATE"), *indexes = getenv("PUSHWRIGHT_REGISTRY_INDEX");

    if (state)
        state->arena = arena_new(64 * 1024);
    if (!state || !state->arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    state->config = config_load(NULL, err);
    if (!state->config)
        return false;
    state->logins = config_registry_logins(state->config, err);
    if (!state->logins)
        return false;
    state->running = running_new(err);
    if (!state->running)
        return false;
    state->cache_directory = baseindex_default_directory(state->arena, err);
    if (!state->cache_directory || !read_cache_bytes(&state->cache_bytes, err))
        return false;
    state->allow_private = private && strcmp(private, "1") == 0;
    state->registry_indexes = indexes && strcmp(indexes, "1") == 0;
    take_users();
    *out = TAKE(owned);
    return true;
}

/* ---- is it still wanted? ---- */

static bool cancelled(void *context)
{
    struct job *job = context;

    if (clock_monotonic_ms() > job->deadline_ms)
        job->timed_out = true;
    return job->timed_out || call_cancelled(job->call) || (job->running && running_superseded(job->running)) ||
           recall_gives_way(&job->recall);
}

static bool superseded(struct job *job, const char *reason)
{
    job->superseded = reason ? reason : "a newer push supersedes this one";
    return true;
}

/* A person need not know the full name. */
static bool resolve(struct job *job, struct error *err)
{
    AUTO(bytes_release) struct bytes ref = BYTES(GIT_PATH_MAX);
    char tip[GIT_OID_TEXT_SIZE];

    if (!job->order.named)
        return true;
    if (!git_resolve(&job->remote, job->order.named, &ref, tip, err))
        return false;
    if (ref.len == 0)
        return error_set(err, ERROR_NOT_FOUND, "'%s' has neither a branch nor a tag '%s', nor any other ref 'refs/%s'",
                         job->rule->clone, job->order.named, job->order.named);
    const char *full = arena_dup(call_arena(job->call), bytes_span(&ref));
    if (!full)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    order_set_ref(&job->order, full);
    return true;
}

/* What the ref points to now; false without a reason in job->superseded is an error. A branch that has moved on has a build of its
 * own; a tag, and what a person asks for, is built as it was asked for. */
static bool check_tip(struct job *job, struct error *err)
{
    char tip[GIT_OID_TEXT_SIZE];
    const char *named = job->order.is_inline ? job->rule->inline_id : job->order.commit;
    const char *wanted = job->commit[0] ? job->commit : named;

    if (wanted && (job->order.is_tag || job->order.by_person || job->order.is_inline)) {
        if (wanted == named)
            snprintf(job->commit, sizeof(job->commit), "%s", wanted);
        return true;
    }
    if (!git_tip(&job->remote, job->order.ref, tip, err))
        return false;
    if (!tip[0] && job->order.by_person)
        return error_set(err, ERROR_NOT_FOUND, "'%s' has no ref '%s'", job->rule->clone, job->order.ref);
    if (!tip[0])
        return superseded(job, arena_printf(call_arena(job->call), "'%s' is gone from the repository", job->order.ref));
    if (!wanted || strcmp(wanted, tip) == 0) {
        memcpy(job->commit, tip, sizeof(tip));
        return true;
    }
    return superseded(job, arena_printf(call_arena(job->call), "superseded: '%s' has moved on from %.7s to %.7s",
                                        job->order.ref, wanted, tip));
}

/* ---- the steps ---- */

static bool connect_source(struct job *job, struct error *err)
{
    const struct config_source *source = job->rule->source;

    if (job->order.is_inline)
        return true;
    if (source && secret_reference_is_set(&source->token)) {
        job->token = secret_reference_load(&source->token, err);
        if (!job->token)
            return false;
    }
    job->remote = (struct git_remote_options){ .url = job->rule->clone,
                                               .username = source ? source->username : NULL,
                                               .token = job->token,
                                               .ca_file = source ? source->ca_file : NULL,
                                               .cancelled = cancelled,
                                               .cancelled_context = job };
    return true;
}

static struct build_told told(const struct job *job)
{
    return (struct build_told){ .order = &job->order,
                                .commit = job->commit[0] ? job->commit : job->order.commit,
                                .duration_ms = clock_monotonic_ms() - job->started_ms,
                                .log = job->log };
}

static bool tell_started(struct job *job, struct error *err)
{
    struct build_told build = told(job);

    if (job->started)
        return true;
    job->started = true;
    return events_started(job->call, &build, err);
}

/* image NULL: the build failed. */
static void keep_log(struct job *job, const struct descriptor *image)
{
    const struct logbook_place place = { .rule = job->rule,
                                         .order = &job->order,
                                         .commit = job->commit[0] ? job->commit : job->order.commit,
                                         .registries = &job->registries,
                                         .image = image };

    job->log = logbook_keep(job->logbook, &place);
}

static bool attest(struct job *job, struct built *built, struct publication *publication, struct error *err)
{
    const struct attest_facts facts = { .call = job->call,
                                        .rule = job->rule,
                                        .order = &job->order,
                                        .commit = job->commit,
                                        .key = job->key,
                                        .built = built,
                                        .started_ms = clock_wall_ms() - (clock_monotonic_ms() - job->started_ms) };

    return attest_publication(&facts, publication, err);
}

static bool publish(struct job *job, struct ahead *ahead, struct built *built, struct error *err)
{
    const char *clone = job->rule->clone;
    struct publish_options options = { .image = job->rule->image,
                                       .registries = &job->registries,
                                       .built = built,
                                       .platforms = job->rule->platforms,
                                       .count = job->rule->platform_count,
                                       .tags = job->tags.items,
                                       .tag_count = job->tags.count,
                                       .commit = clone ? job->commit : NULL,
                                       .source = clone && strncmp(clone, "http", 4) == 0 ? clone : NULL,
                                       .time_s = built[0].time_s,
                                       .ahead = ahead,
                                       .docker_types = job->rule->docker_types };
    AUTO(publication_free) struct publication *publication = publication_new(&options, err);

    for (size_t i = 0; !job->rule->sbom && !job->rule->cache.mounts && i < job->rule->platform_count; i++)
        built_forget_files(&built[i]);
    if (!publication || !publication_upload(publication, err))
        return error_wrap(err, "publish '%s'", job->rule->image);
    if (!check_tip(job, err))
        return false;
    if (job->superseded)
        return true;
    if (!attest(job, built, publication, err) || !publication_tag(publication, err))
        return error_wrap(err, "publish '%s'", job->rule->image);
    call_log(job->call, "%s:%s is %s", job->rule->image, job->tags.items[0],
             publication_descriptor(publication)->digest);
    keep_log(job, publication_descriptor(publication));
    struct build_told build = told(job);
    return events_published(job->call, &build, publication, &job->tags, err);
}

static void release_all(struct built *built, size_t count)
{
    for (size_t i = 0; built && i < count; i++)
        built_release(&built[i]);
    free(built);
}

/* The image stands; what is wrong with the cache is told and no more. */
static void export_cache(struct job *job, struct engine *engine, const struct built *built)
{
    struct error failed = { 0 };

    if (!job->superseded && !engine_export_cache(engine, built, job->rule->platform_count, job->rule->image, &failed))
        call_log(job->call, "the build cache at '%s' is left as it was: %s", job->rule->cache.repository,
                 failed.message);
}

enum { WARNING_MAX = 64 * 1024 };

static void tell_warnings(const struct engine *engine, struct progress *progress)
{
    const struct dockerfile_warnings *warnings = engine_warnings(engine);
    AUTO(bytes_release) struct bytes line = BYTES(WARNING_MAX);
    struct progress_step step;
    struct error ignored;

    if (warnings->count == 0)
        return;
    progress_begin(progress, &step, "warnings of the Dockerfile");
    for (size_t i = 0; i < warnings->count; i++) {
        bytes_clear(&line);
        if (bytes_printf(&line, &ignored, "%s: %s (line %u)", warnings->items[i].rule, warnings->items[i].message,
                         warnings->items[i].line))
            progress_say(&step, line.data);
    }
    progress_end(&step, NULL);
}

static bool build_platforms(struct job *job, struct engine *engine, struct progress *progress, struct ahead *ahead,
                            struct error *err)
{
    size_t count = job->rule->platform_count;
    struct built *built = calloc(count, sizeof(built[0]));

    if (!built)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    bool good = engine_build(engine, job->rule->platforms, count, built, err);
    tell_warnings(engine, progress);
    good = good && recall_bases(&job->recall, &built[0], err) && publish(job, ahead, built, err);
    if (good)
        export_cache(job, engine, built);
    release_all(built, count);
    return good;
}

/* Everything that the build knows and nobody else should. */
static bool hide_secrets(const struct job *job, struct progress *progress, struct error *err)
{
    return (!job->token || progress_hide(progress, secret_reveal(job->token), err)) &&
           hide_logins(progress, &job->registries, err);
}

static bool fetch(struct job *job, struct git_snapshot **out, struct error *err)
{
    if (job->order.is_inline)
        return true;
    *out = git_fetch(&job->remote, job->order.is_commit ? NULL : job->order.ref, job->commit, err);
    if (!*out)
        return false;
    snprintf(job->commit, sizeof(job->commit), "%s", git_snapshot_commit(*out));
    if (!order_date_tag(job->call, &job->order, git_snapshot_time_s(*out), err))
        return false;
    job->unwanted = job->order.by_reconcile && job->rule->honour_skip && skip_is_asked(git_snapshot_message(*out));
    return !job->unwanted || superseded(job, "the head commit's message asks to skip builds");
}

static bool open_context(const struct job *job, struct git_snapshot *snapshot, const struct dockerfile_pairs *arguments,
                         struct context *out, struct error *err)
{
    const struct config_build *rule = job->rule;
    const struct submodules_options submodules = { &job->remote, job->state->allow_private, false };
    const struct context_commit commit = { .snapshot = snapshot,
                                           .submodules = rule->submodules ? &submodules : NULL,
                                           .dockerfile = rule->dockerfile,
                                           .directory = rule->context,
                                           .keep_git_dir = keepgit_asked(arguments) ? rule->clone : NULL };

    return snapshot ? context_of_commit(&commit, out, err) : context_of_text(span_of(rule->inline_text), out, err);
}

static bool build(struct job *job, struct error *err)
{
    AUTO(git_snapshot_free) struct git_snapshot *snapshot = NULL;

    if (!fetch(job, &snapshot, err) || job->superseded)
        return job->superseded != NULL;
    AUTO(context_release) struct context context = { 0 };
    AUTO(progress_free) struct progress *progress = progress_new(logbook_event, job->logbook, err);
    struct engine_options options = { .context = &context,
                                      .target = job->rule->target,
                                      .implicit_platform = job->rule->implicit_platform,
                                      .registries = &job->bases,
                                      .cache_directory = job->state->cache_directory,
                                      .cache_bytes = job->state->cache_bytes,
                                      .cache = { .repository = job->rule->cache.repository,
                                                 .all_stages = job->rule->cache.all_stages,
                                                 .mounts = job->rule->cache.mounts,
                                                 .trusted = job->rule->cache.trusted,
                                                 .seal = { call_seal, call_sealed, job->call },
                                                 .registries = &job->registries },
                                      .compression = job->rule->compression,
                                      .indexes = { job->state->registry_indexes ? job->rule->image : NULL,
                                                   { call_seal, call_sealed, job->call } },
                                      .allow_private = job->state->allow_private,
                                      .cancelled = cancelled,
                                      .cancelled_context = job,
                                      .progress = progress,
                                      .run = { .cache_scope = job->rule->name,
                                               .chroot = job->rule->chroot,
                                               .limits = { job->rule->limits.memory, job->rule->limits.pids } } };

    if (!progress || !hide_secrets(job, progress, err) ||
        !order_tags(job->call, &job->order, job->rule, job->commit, &job->tags, err) ||
        !order_arguments(job->call, &job->order, job->rule, job->commit, &options.args, err) ||
        !open_context(job, snapshot, &options.args, &context, err))
        return false;
    AUTO(ahead_free) struct ahead *ahead = ahead_new(job->rule->image, &job->registries, err);
    if (!ahead)
        return error_wrap(err, "publish '%s'", job->rule->image);
    options.watch = ahead_watch(ahead);
    AUTO(engine_free) struct engine *engine = engine_new(&options, err);
    if (!engine)
        return false;
    if (context.files->submodules)
        call_log(job->call, "%zu submodules of '%s' are left empty", context.files->submodule_count,
                 job->rule->repository);
    return attest_key(job->rule, &job->key, err) && build_platforms(job, engine, progress, ahead, err);
}

static bool attempt(struct job *job, struct error *err)
{
    const char *why;
    bool newer;

    if (!connect_source(job, err) || !resolve(job, err) ||
        !recall_open(&job->recall, job->call, job->rule, &job->order, &job->registries, err) || !check_tip(job, err))
        return false;
    if (job->superseded)
        return true;
    if (!recall_look(&job->recall, job->commit, &why, err))
        return false;
    if (why)
        return superseded(job, why);
    job->running =
        running_begin(job->state->running, job->order.build, job->order.ref, job->order.sequence, &newer, err);
    if (!job->running)
        return newer && superseded(job, NULL);
    if (!recall_begin(&job->recall, job->commit, &job->remote, err) || !tell_started(job, err) ||
        !call_flush(job->call, err))
        return false;
    return build(job, err);
}

/* ---- how it ended ---- */

static bool end_superseded(struct job *job, struct error *err)
{
    struct build_told build = told(job);

    if (job->started && !events_not_published(job->call, &build, "cancel", job->superseded, err))
        return false;
    if (job->unwanted && !recall_end(&job->recall, job->commit, RECORD_SKIPPED, err))
        return false;
    return call_skip(job->call, job->order.build, job->order.ref, err, "%s", job->superseded);
}

/* Not before the next hop has everything: what is remembered as built is not looked for again. */
static bool remember(struct job *job, enum record_outcome outcome, struct error *err)
{
    const char *commit = job->commit[0] ? job->commit : job->order.commit;

    return call_flush(job->call, err) && (!commit || recall_end(&job->recall, commit, outcome, err));
}

static bool end_failed(struct job *job, const struct error *reason, struct error *err)
{
    const char *line = arena_printf(call_arena(job->call), "build '%s' of '%s' failed: %s", job->order.build,
                                    job->order.ref, reason->message);

    logbook_say(job->logbook, line ? line : reason->message);
    keep_log(job, NULL);
    struct build_told build = told(job);
    return tell_started(job, err) && events_not_published(job->call, &build, "failure", reason->message, err) &&
           remember(job, RECORD_FAILED, err);
}

/* The sender will try again: another event's build of the commit need not wait for this one. */
static bool end_later(struct job *job, const struct error *reason, struct error *err)
{
    struct error ignored = { 0 };

    (void)recall_end(&job->recall, job->commit, RECORD_WAITING, &ignored);
    *err = *reason;
    return error_wrap(err, "build '%s'", job->order.build);
}

static bool run(struct job *job, struct error *err)
{
    struct error failed = { 0 };
    bool good = attempt(job, &failed);

    if (!good && job->running && running_superseded(job->running))
        good = superseded(job, NULL);
    if (job->superseded)
        return end_superseded(job, err);
    if (good)
        return remember(job, RECORD_BUILT, err);
    if (recall_gives_way(&job->recall))
        error_set(&failed, ERROR_CONFLICT, "%.7s of '%s' is being built", job->commit, job->order.ref);
    if (job->timed_out)
        error_set(&failed, ERROR_INVALID, "the build took longer than the %ld s that its rule allows",
                  job->rule->timeout_s);
    return error_is_temporary(&failed) ? end_later(job, &failed, err) : end_failed(job, &failed, err);
}

static bool handle(struct call *call, struct error *err)
{
    AUTO(job_release) struct job job = { .call = call, .state = call_state(call), .started_ms = clock_monotonic_ms() };

    job.logbook = logbook_new(call, err);
    if (!job.logbook || !order_read(call, &job.order, err))
        return false;
    job.rule = config_find_build(job.state->config, job.order.build);
    if (!job.rule)
        return error_set(err, ERROR_CONFLICT, "build '%s' is not in the configuration of this function",
                         job.order.build);
    if (job.order.is_inline != (job.rule->inline_text != NULL))
        return error_set(err, ERROR_CONFLICT, "build '%s' is %s in the configuration of this function", job.order.build,
                         job.order.is_inline ? "of a repository" : "of an inline Dockerfile");
    if (!job.rule->enabled)
        return call_skip(call, job.order.build, job.order.ref, err, "build '%s' is switched off", job.order.build);
    job.deadline_ms = job.started_ms + job.rule->timeout_s * 1000;
    job.registries = registry_logins_options(job.state->logins);
    job.registries.cache_directory = job.state->cache_directory;
    job.bases = job.registries;
    job.bases.use_mirrors = true;
    return run(&job, err);
}

FUNCTION(.start = start, .stop = stop, .handle = handle)

/* pushwright build: a Dockerfile becomes an image, for people. */
#include "runtime/cli/build_display.h"
#include "runtime/cli/build_logins.h"
#include "runtime/cli/build_output.h"
#include "runtime/cli/build_report.h"
#include "runtime/cli/command.h"
#include "runtime/cli/story.h"
#include "shared/base/clock.h"
#include "shared/builder/baseindex.h"
#include "shared/builder/named_download.h"
#include "shared/dockerfile/platform.h"
#include "shared/sandbox/sandbox.h"

#include <signal.h>
#include <string.h>
#include <sys/utsname.h>

enum { EXIT_INTERRUPTED = 128 + SIGINT };

static volatile sig_atomic_t interrupted;

/* Once to end in order, twice to end at once. */
static void on_signal(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
}

static bool cancelled(void *context)
{
    (void)context;
    return interrupted;
}

/* ---- what is built ---- */

static const char *machine_platform(struct arena *arena, struct error *err)
{
    struct utsname name;
    const char *machine = uname(&name) == 0 ? name.machine : "x86_64";

    return platform_parse(arena, machine, machine, err);
}

/* The person's own, never one that everybody may write to. */
static const char *cache_directory(struct arena *arena, struct error *err)
{
    const char *home = getenv("HOME");

    if (getenv("PUSHWRIGHT_CACHE_DIR") || getenv("XDG_CACHE_HOME") || !home || home[0] != '/')
        return baseindex_default_directory(arena, err);
    return arena_printf(arena, "%s/.cache/pushwright", home);
}

static bool choose_platforms(struct build_request *request, struct error *err)
{
    if (request->platforms.count > 0)
        return true;
    const char *own = machine_platform(request->arena, err);
    request->implicit_platform = true;
    if (own)
        request->platforms.items[request->platforms.count++] = own;
    return own != NULL;
}

static bool hide_secrets(const struct build_request *request, struct progress *progress, struct error *err)
{
    for (size_t i = 0; i < request->secret_count; i++) {
        if (!progress_hide(progress, request->secrets[i].value, err))
            return false;
    }
    return true;
}

static void warn_of_nothing_kept(const struct build_request *request)
{
    if (!build_request_kept(request) && request->output_count == 0 && !request->quiet)
        fprintf(stderr,
                "WARNING: the image is kept nowhere: --push sends it to its registry, --output type=oci,dest=FILE or "
                "--tag oci:DIRECTORY:TAG keep it here\n");
}

/* ---- a build ---- */

struct session {
    struct build_request *request;
    struct display *display;
    struct progress *progress;
    struct build_logins *logins;
    struct build_source source;
    bool opened;
};

static void session_release(struct session *session)
{
    if (session->opened)
        build_source_release(&session->source);
    build_logins_free(session->logins);
    progress_free(session->progress);
    display_free(session->display);
}
AUTO_RELEASE(struct session, session_release)

static bool export_cache(const struct session *session, struct engine *engine, const struct build_result *result,
                         struct error *err)
{
    const struct build_request *request = session->request;
    const struct cache_place *to = &request->caches.to;
    struct progress_step step;

    if (!to->repository)
        return true;
    const char *title = arena_printf(request->arena, "exporting cache to %s:%s", to->repository, to->tag);
    const char *image = build_output_repository(request, err);
    if (!image)
        return false;
    progress_begin(session->progress, &step, title ? title : "exporting cache");
    bool good = engine_export_cache(engine, result->built, result->count, image, err) || error_wrap(err, "--cache-to");
    progress_end(&step, good ? NULL : err);
    return good || request->caches.ignore_error;
}

static bool build_all(struct session *session, struct engine *engine, const struct registry_options *registries,
                      struct ahead *ahead, struct error *err)
{
    struct build_request *request = session->request;
    struct build_result result = { .request = request,
                                   .source = &session->source,
                                   .registries = registries,
                                   .progress = session->progress,
                                   .ahead = ahead,
                                   .started_ms = clock_wall_ms(),
                                   .platforms = request->platforms.items,
                                   .count = request->platforms.count };

    result.built = arena_take(request->arena, result.count * sizeof(result.built[0]));
    if (!result.built)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    bool good = engine_build(engine, result.platforms, result.count, result.built, err) &&
                build_output_all(&result, err) && export_cache(session, engine, &result, err);
    for (size_t i = 0; i < result.count; i++)
        built_release(&result.built[i]);
    display_finish(session->display);
    if (!request->quiet && request->progress < BUILD_PROGRESS_QUIET)
        report_warnings(engine_warnings(engine), stderr);
    if (good)
        puts(request->quiet ? result.id : result.top.digest);
    return good;
}

static bool build(struct session *session, struct error *err)
{
    struct build_request *request = session->request;
    struct registry_options registries = build_logins_options(session->logins);
    const char *cache = cache_directory(request->arena, err);
    struct engine_options options = {
        .context = &session->source.context,
        .target = request->target,
        .args = { request->args.items, request->args.count },
        .contexts = { request->contexts.items, request->contexts.count },
        .download = named_download,
        .labels = { request->labels.items, request->labels.count },
        .progress = session->progress,
        .name_platform = request->platforms.count > 1,
        .implicit_platform = request->implicit_platform,
        .registries = &registries,
        .cache_directory = cache,
        .no_cache = request->no_cache,
        .fresh = { request->fresh_stages.items, request->fresh_stages.count },
        .cache = { .repository = request->caches.to.repository,
                   .tag = request->caches.to.tag,
                   .others = request->caches.from,
                   .other_count = request->caches.from_count,
                   .all_stages = request->caches.all_stages,
                   .trusted = true, /* the person has named them */
                   .registries = &registries },
        .allow_private = true, /* what the person could do with curl */
        .auth = sourceauth_by(request->secrets, request->secret_count),
        .cancelled = cancelled,
        .run = { .secrets = request->secrets,
                 .secret_count = request->secret_count,
                 .agents = request->agents,
                 .agent_count = request->agent_count,
                 .no_network = request->no_network,
                 .hosts = request->hosts.len > 0 ? request->hosts.data : NULL,
                 .shm_bytes = request->shm_bytes,
                 .chroot = request->chroot },
    };

    if (!cache)
        return false;
    registries.cache_directory = cache;
    AUTO(ahead_free) struct ahead *ahead = NULL;
    if (!build_output_ahead(request, &registries, &ahead, err))
        return false;
    if (ahead)
        options.watch = ahead_watch(ahead);
    AUTO(engine_free) struct engine *engine = engine_new(&options, err);
    return engine && build_all(session, engine, &registries, ahead, err);
}

static bool open_session(struct session *session, struct error *err)
{
    struct build_request *request = session->request;
    bool only_look = request->call != BUILD_CALL_BUILD;
    enum build_progress how = request->quiet || only_look ? BUILD_PROGRESS_QUIET : request->progress;

    session->display = display_new(stderr, how, err);
    session->progress = session->display ? progress_new(display_event, session->display, err) : NULL;
    if (!session->progress || !hide_secrets(request, session->progress, err))
        return false;
    session->logins = build_logins_load(session->progress, err);
    session->opened =
        session->logins && build_source_open(request, session->progress, cancelled, &session->source, err);
    return session->opened;
}

static int fail(struct session *session, const struct error *err)
{
    display_finish(session->display);
    if (interrupted) {
        fputs("ERROR: failed to build: interrupted\n", stderr);
        return EXIT_INTERRUPTED;
    }
    display_tell_failed(session->display, stderr);
    if (session->opened)
        report_place(&session->source, err, stderr);
    char text[sizeof(err->message)];
    size_t len = strlen(err->message);
    memcpy(text, err->message, len);
    progress_mask(session->progress, text, &len);
    text[len] = '\0';
    fputs("ERROR: failed to build: ", stderr);
    story_print(stderr, text);
    putc('\n', stderr);
    return EXIT_FAILED;
}

static int carry_out(struct build_request *request)
{
    AUTO(session_release) struct session session = { .request = request };
    struct error err = { 0 };

    if (!open_session(&session, &err)) {
        if (session.progress)
            return fail(&session, &err);
        command_fail("build", &err);
        return EXIT_FAILED;
    }
    if (request->call == BUILD_CALL_CHECK)
        return report_check(request, &session.source, stdout);
    if (request->call == BUILD_CALL_TARGETS)
        return report_targets(&session.source, stdout);
    if (!choose_platforms(request, &err) || !build(&session, &err))
        return fail(&session, &err);
    warn_of_nothing_kept(request);
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct error err = { 0 };
    AUTO(build_request_free) struct build_request *request = build_request_parse(argc, argv, &err);

    if (!request)
        return command_usage(&command_build, err.message);
    struct error ignored = { 0 }; /* RUN says which users it has */
    if (request->call == BUILD_CALL_BUILD)
        sandbox_take_subordinate_ids(&ignored);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    return carry_out(request);
}

const struct command command_build = {
    .name = "build",
    .summary = "build an image from a Dockerfile, without a daemon",
    .help = build_help,
    .run = run,
};

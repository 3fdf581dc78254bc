#include "runtime/cli/options.h"

#include "runtime/cli/story.h"
#include "runtime/local/chain.h"
#include "shared/base/clock.h"
#include "shared/config/config.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { CHAINS_REMEMBERED = 64, RECONCILE_MAX_S = 24 * 3600 };

#define RECONCILE_DEFAULT "300"

/* When the last step of each run of the chain was, to say how long the next one took. */
struct watcher {
    struct arena *arena;
    pthread_mutex_t lock;
    struct {
        char chain[64];
        int64_t began_ms, last_ms;
    } runs[CHAINS_REMEMBERED];
    size_t next;
};

static size_t run_of(struct watcher *w, const char *chain, int64_t now)
{
    for (size_t i = 0; i < CHAINS_REMEMBERED; i++)
        if (strcmp(w->runs[i].chain, chain) == 0)
            return i;
    size_t i = w->next++ % CHAINS_REMEMBERED;
    snprintf(w->runs[i].chain, sizeof w->runs[i].chain, "%s", chain);
    w->runs[i].began_ms = w->runs[i].last_ms = now;
    return i;
}

static void say_step(struct watcher *w, const struct event *event)
{
    struct story story;
    arena_reset(w->arena);
    story_of(w->arena, event, &story);
    if (!story.text)
        return;
    int64_t now = clock_monotonic_ms();
    const char *chain = event_extension(event, "correlationid");
    size_t i = run_of(w, chain ? chain : event->id, now);
    printf("%6lld ms  +%-5lld %-8s %s", (long long)(now - w->runs[i].began_ms), (long long)(now - w->runs[i].last_ms),
           story.actor, story.bad ? "! " : "");
    story_print(stdout, story.text);
    putchar('\n');
    w->runs[i].last_ms = now;
}

static void say_failure(const struct carrier_notice *n)
{
    printf("%19s%-8s ! ", "", n->by);
    if (n->dead)
        printf("refuses %s, attempt %u, a dead letter now ('pushwright history' tells the file): ", n->event->type,
               n->attempts);
    else
        printf("attempt %u, again in %lld ms: ", n->attempts, (long long)n->retry_in_ms);
    story_print(stdout, n->reason);
    putchar('\n');
}

/* The first failure of a delivery is often a race that 50 ms settle; history has it. */
static void notice(void *context, const struct carrier_notice *n)
{
    struct watcher *w = context;
    pthread_mutex_lock(&w->lock);
    if (!n->by)
        say_step(w, n->event);
    else if (n->dead || (n->retry_in_ms > 0 && n->attempts > 1))
        say_failure(n);
    fflush(stdout);
    pthread_mutex_unlock(&w->lock);
}

static void say(void *context, const char *text)
{
    struct watcher *w = context;
    pthread_mutex_lock(&w->lock);
    printf("%19s", "");
    story_print(stdout, text);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&w->lock);
}

/* The directory that holds this very program: the functions lie beside it. */
static bool own_directory(char *out, size_t size, struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n < 0)
        return error_set_errno(err, errno, "cannot tell where this program is");
    out[n] = '\0';
    *strrchr(out, '/') = '\0';
    return true;
}

/* The functions are told absolute paths: relative ones would be theirs to resolve. */
static const char *absolute(struct arena *arena, const char *path, struct error *err)
{
    char here[PATH_MAX];
    if (path[0] == '/')
        return path;
    if (!getcwd(here, sizeof here)) {
        error_set_errno(err, errno, "cannot tell the current directory");
        return NULL;
    }
    const char *whole = arena_printf(arena, "%s/%s", here, path);
    if (!whole)
        error_set(err, ERROR_INTERNAL, "out of memory");
    return whole;
}

/* Blocked before any thread starts, so that only the wait for them sees them. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/* A second Ctrl-C ends this process at once, and everything with it; what is on disk is enough to go on from. */
static void wait_for_end(const sigset_t *signals)
{
    int signal;
    sigset_t interrupt;
    sigwait(signals, &signal);
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
}

static bool prepare(struct chain_options *options, struct arena *arena, char *directory, size_t size, struct error *err)
{
    options->state_dir = absolute(arena, options->state_dir, err);
    options->config_path = options->state_dir ? absolute(arena, options->config_path, err) : NULL;
    if (!options->config_path || !own_directory(directory, size, err))
        return false;
    options->program_dir = absolute(arena, options->program_dir ? options->program_dir : directory, err);
    return options->program_dir != NULL;
}

static int up(struct chain_options *options)
{
    struct error err = { 0 };
    char directory[PATH_MAX];
    sigset_t signals;
    AUTO(arena_free) struct arena *arena = arena_new(16 * EVENT_MAX);
    AUTO(arena_free) struct arena *paths = arena_new(64 * 1024);
    AUTO(config_free) struct config *config = NULL;
    struct watcher watcher = { .arena = arena, .lock = PTHREAD_MUTEX_INITIALIZER };
    block_signals(&signals);
    if (!arena || !paths)
        error_set(&err, ERROR_INTERNAL, "out of memory");
    if (err.kind || !prepare(options, paths, directory, sizeof directory, &err))
        return command_fail("up", &err);
    int code = command_check_config("up", options->config_path, stderr, &config);
    if (code != EXIT_DONE)
        return code;
    options->notice = notice;
    options->say = say;
    options->context = &watcher;
    AUTO(chain_free) struct chain *chain = chain_new(options, &err);
    if (!chain)
        return command_fail("up", &err);
    printf("the chain is up: webhook listens on %s%s, state in %s; Ctrl-C ends it\n",
           strchr(options->listen, ':') ? "http://" : "port ", options->listen, options->state_dir);
    fflush(stdout);
    wait_for_end(&signals);
    printf("\nstopping\n");
    fflush(stdout);
    return EXIT_DONE;
}

static bool read_seconds(const char *text, long *seconds)
{
    char *end;
    *seconds = strtol(text, &end, 10);
    return *text && !*end && *seconds >= 0 && *seconds <= RECONCILE_MAX_S;
}

static int run(int argc, char **argv)
{
    const char *reconcile = RECONCILE_DEFAULT;
    struct chain_options options = { .config_path = "pushwright.json",
                                     .state_dir = STATE_DEFAULT,
                                     .listen = LISTEN_DEFAULT };
    const struct option rows[] = {
        OPTION("--config", &options.config_path), OPTION("--state", &options.state_dir),
        OPTION("--listen", &options.listen),      OPTION("--functions", &options.program_dir),
        OPTION("--reconcile", &reconcile),        END,
    };
    if (!options_read(&command_up, argc, argv, rows, &(struct argument)END))
        return EXIT_USAGE;
    if (!read_seconds(reconcile, &options.reconcile_s))
        return command_usage(&command_up, "--reconcile wants seconds, at most a day, or 0");
    return up(&options);
}

const struct command command_up = {
    .name = "up",
    .summary = "run the chain on this machine",
    .help =
        "Usage: pushwright up [--config FILE] [--state DIR] [--listen ADDRESS] [--functions DIR]\n"
        "                     [--reconcile SECONDS]\n\n"
        "Starts webhook, build, trigger and deploy, carries events between them, runs the services that they deploy, "
        "and\n"
        "prints what happens: milliseconds since the push, since the step before, who, what. Ctrl-C stops everything.\n"
        "  --config FILE     the configuration (default: pushwright.json)\n"
        "  --state DIR       what survives a restart (default: " STATE_DEFAULT ")\n"
        "  --listen ADDRESS  where git hosts and people reach `webhook` (default: " LISTEN_DEFAULT ")\n"
        "  --functions DIR   where the function binaries are (default: beside this program)\n"
        "  --reconcile SECONDS\n"
        "                    how often to look for pushes that nobody told of (default: " RECONCILE_DEFAULT
        "; 0: never)\n",
    .run = run,
};

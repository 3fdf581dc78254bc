#include "runtime/cli/command.h"

#include "runtime/cli/story.h"
#include "runtime/local/chain.h"
#include "shared/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { CHAINS_REMEMBERED = 64 };

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
    printf("%6lld ms  +%-5lld %-8s %s%s\n", (long long)(now - w->runs[i].began_ms),
           (long long)(now - w->runs[i].last_ms), story.actor, story.bad ? "! " : "", story.text);
    w->runs[i].last_ms = now;
    fflush(stdout);
}

static void notice(void *context, const struct carrier_notice *n)
{
    struct watcher *w = context;
    pthread_mutex_lock(&w->lock);
    if (!n->by)
        say_step(w, n->event);
    else if (n->dead)
        printf("           %-8s ! gave up on %s after %u attempts: %s\n", n->by, n->event->type, n->attempts, n->reason);
    else if (n->retry_in_ms > 0 && n->attempts > 1)
        printf("           %-8s ! attempt %u failed, again in %lld ms: %s\n", n->by, n->attempts,
               (long long)n->retry_in_ms, n->reason);
    fflush(stdout);
    pthread_mutex_unlock(&w->lock);
}

static void say(void *context, const char *text)
{
    struct watcher *w = context;
    pthread_mutex_lock(&w->lock);
    printf("           %s\n", text);
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

/* Blocked before any thread starts, so that only this wait sees them. */
static void wait_for_end(const sigset_t *signals)
{
    int signal;
    sigwait(signals, &signal);
}

static int up(struct chain_options *options)
{
    struct error err = { 0 };
    char directory[PATH_MAX], state[PATH_MAX];
    sigset_t signals;
    AUTO(arena_free) struct arena *arena = arena_new(16 * EVENT_MAX);
    struct watcher watcher = { .arena = arena, .lock = PTHREAD_MUTEX_INITIALIZER };
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (!arena || !own_directory(directory, sizeof directory, &err))
        return command_fail("up", &err);
    if (options->state_dir[0] != '/') {
        char *here = getcwd(state, sizeof state / 2);
        if (!here || snprintf(state + strlen(state), sizeof state / 2, "/%s", options->state_dir) < 0)
            return EXIT_FAILED;
        options->state_dir = state;
    }
    if (!options->program_dir)
        options->program_dir = directory;
    options->notice = notice;
    options->say = say;
    options->context = &watcher;
    AUTO(chain_free) struct chain *chain = chain_new(options, &err);
    if (!chain)
        return command_fail("up", &err);
    printf("the chain is up: webhook listens on http://%s, state in %s; Ctrl-C ends it\n", options->listen, options->state_dir);
    fflush(stdout);
    wait_for_end(&signals);
    printf("\nstopping\n");
    fflush(stdout);
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct chain_options options = { .config_path = "pushwright.json", .state_dir = STATE_DEFAULT, .listen = LISTEN_DEFAULT };
    for (int i = 1; i < argc; i++) {
        const struct {
            const char *name;
            const char **target;
        } rows[] = {
            { "--config", &options.config_path },
            { "--state", &options.state_dir },
            { "--listen", &options.listen },
            { "--functions", &options.program_dir },
        };
        size_t k = 0;
        while (k < sizeof rows / sizeof rows[0] && strcmp(argv[i], rows[k].name) != 0)
            k++;
        if (k == sizeof rows / sizeof rows[0] || i + 1 == argc)
            return command_usage(&command_up, "unknown option, or one without a value");
        *rows[k].target = argv[++i];
    }
    return up(&options);
}

const struct command command_up = {
    .name = "up",
    .summary = "run the chain on this machine",
    .help = "Usage: pushwright up [--config FILE] [--state DIR] [--listen ADDRESS] [--functions DIR]\n\n"
            "Starts webhook, build, trigger and deploy, carries events between them, runs the services that they deploy, and\n"
            "prints what happens: milliseconds since the push, since the step before, who, what. Ctrl-C stops everything.\n"
            "  --config FILE     the configuration (default: pushwright.json)\n"
            "  --state DIR       what survives a restart (default: " STATE_DEFAULT ")\n"
            "  --listen ADDRESS  where git hosts and people reach `webhook` (default: " LISTEN_DEFAULT ")\n"
            "  --functions DIR   where the function binaries are (default: beside this program)\n",
    .run = run,
};

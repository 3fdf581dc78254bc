#include "runtime/cli/options.h"
#include "runtime/cli/story.h"
#include "runtime/local/journal.h"

#include <stdio.h>
#include <string.h>

/* What a line about a delivery needs to know of its event. */
struct told_event {
    char key[SHA256_HEX_SIZE];
    bool wanted;
    char type[96];
};

struct history {
    struct arena *arena;
    bool json, deliveries;
    const char *about; /* a build's, trigger's or workload's name; NULL: everything */
    struct told_event *events;
    size_t count, capacity;
};

static bool remember(struct history *h, const struct journal_entry *entry, const struct event *event, bool wanted,
                     struct error *err)
{
    if (h->count == h->capacity) {
        size_t capacity = h->capacity ? 2 * h->capacity : 1024;
        struct told_event *more = reallocarray(h->events, capacity, sizeof *more);
        if (!more)
            return error_set(err, ERROR_INTERNAL, "out of memory");
        h->events = more;
        h->capacity = capacity;
    }
    struct told_event *told = &h->events[h->count++];
    memcpy(told->key, entry->key, sizeof told->key);
    told->wanted = wanted;
    snprintf(told->type, sizeof told->type, "%s", event->type);
    return true;
}

/* Deliveries follow their events closely: the newest first. NULL: the event was forgotten. */
static const struct told_event *recall(const struct history *h, const char *key)
{
    for (size_t i = h->count; i-- > 0;)
        if (strcmp(h->events[i].key, key) == 0)
            return &h->events[i];
    return NULL;
}

static void print_line(const char *at, const char *actor, const char *mark, const char *text)
{
    printf("%-24s  %-8s %s", at, actor, mark);
    story_print(stdout, text);
    putchar('\n');
}

static bool show_event(struct history *h, const struct journal_entry *entry, struct error *err)
{
    struct event event;
    struct story story;
    arena_reset(h->arena);
    if (!event_decode_structured(h->arena, entry->event, &event, err))
        return false;
    story_of(h->arena, &event, &story);
    bool wanted = !h->about || story_is_about(story.about, h->about);
    if (wanted && h->json)
        printf("%.*s\n", SPAN_ARGS(entry->event));
    else if (wanted && story.text)
        print_line(entry->at, story.actor, story.bad ? "! " : "", story.text);
    return remember(h, entry, &event, wanted, err);
}

static void show_taken(const struct journal_entry *entry, const char *type)
{
    printf("%-24s  %-8s took %s in %lld ms, attempt %lld\n", entry->at, entry->by, type, (long long)entry->duration_ms,
           (long long)entry->attempts);
}

static void show_trouble(const struct journal_entry *entry, const char *type)
{
    printf("%-24s  %-8s ! attempt %lld at %s, status %lld, %s: ", entry->at, entry->by, (long long)entry->attempts,
           type, (long long)entry->status, entry->kind == JOURNAL_DEAD ? "given up" : "to be tried again");
    story_print(stdout, entry->reason ? entry->reason : "no reason known");
    putchar('\n');
    if (entry->kind != JOURNAL_DEAD || !entry->file)
        return;
    printf("%-35s 'pushwright replay %s' tries it once more\n", "", entry->file);
}

static bool show(void *context, const struct journal_entry *entry, struct error *err)
{
    struct history *h = context;
    if (entry->kind == JOURNAL_ACCEPTED)
        return show_event(h, entry, err);
    if (h->json || entry->kind == JOURNAL_KNOWN)
        return true;
    const struct told_event *told = recall(h, entry->key);
    if (told ? !told->wanted : h->about != NULL)
        return true;
    const char *type = told ? told->type : "an older event";
    if (entry->kind != JOURNAL_TAKEN)
        show_trouble(entry, type);
    else if (h->deliveries)
        show_taken(entry, type);
    return true;
}

static int tell(struct history *h, const char *state)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes path = BYTES(4096);
    if (!bytes_printf(&path, &err, "%s/journal.jsonl", state))
        return command_fail("history", &err);
    if (access(bytes_text(&path), F_OK) != 0) {
        error_set(&err, ERROR_NOT_FOUND, "'%s' is not the state of a chain (--state DIR names it)", state);
        return command_fail("history", &err);
    }
    return journal_read(bytes_text(&path), show, h, &err) ? EXIT_DONE : command_fail("history", &err);
}

static int run(int argc, char **argv)
{
    struct history history = { 0 };
    const char *state = STATE_DEFAULT;
    const struct option options[] = { OPTION("--state", &state), FLAG("--json", &history.json),
                                      FLAG("--deliveries", &history.deliveries), END };
    const struct argument names[] = { OPTIONAL("NAME", &history.about), END };
    if (!options_read(&command_history, argc, argv, options, names))
        return EXIT_USAGE;
    AUTO(arena_free) struct arena *arena = arena_new(16 * EVENT_MAX);
    if (!arena)
        return EXIT_FAILED;
    history.arena = arena;
    int code = tell(&history, state);
    free(history.events);
    return code;
}

const struct command command_history = {
    .name = "history",
    .summary = "what was built, decided and deployed, with reasons and times",
    .help = "Usage: pushwright history [--state DIR] [--deliveries] [--json] [NAME]\n\n"
            "Prints builds, trigger decisions and deployments of the local chain, oldest first: when, by whom, what "
            "and why;\n"
            "and deliveries that failed, with the command that tries a dead letter once more.\n"
            "  --state DIR   the chain's state directory (default: " STATE_DEFAULT ")\n"
            "  --deliveries  also those that went well: who took what, in how many milliseconds\n"
            "  --json        the events themselves, one CloudEvent a line\n"
            "  NAME          only what is about this build, trigger or workload\n",
    .run = run,
};

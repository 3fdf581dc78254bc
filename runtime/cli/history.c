#include "runtime/cli/command.h"

#include "runtime/cli/story.h"
#include "runtime/local/journal.h"
#include "shared/base/file.h"

#include <stdio.h>
#include <string.h>

struct filter {
    struct arena *arena;
    bool json;
    const char *about; /* a build's, trigger's or workload's name; NULL: everything */
};

static bool show_delivery(const struct journal_entry *entry)
{
    if (!entry->dead)
        return true;
    printf("%s  %-8s given up (status %lld): %s\n%*s'pushwright replay %s' tries it again\n", entry->at, entry->by,
           (long long)entry->status, entry->reason ? entry->reason : "", 30, "", entry->file ? entry->file : "");
    return true;
}

static bool show(void *context, const struct journal_entry *entry, struct error *err)
{
    struct filter *filter = context;
    if (entry->by)
        return filter->json || filter->about ? true : show_delivery(entry);
    struct event event;
    struct story story;
    arena_reset(filter->arena);
    if (!event_decode_structured(filter->arena, entry->event, &event, err))
        return false;
    story_of(filter->arena, &event, &story);
    if (filter->about && (!story.about || strcmp(story.about, filter->about) != 0))
        return true;
    if (filter->json)
        printf("%.*s\n", SPAN_ARGS(entry->event));
    else if (story.text)
        printf("%s  %-8s %s\n", entry->at, story.actor, story.text);
    return true;
}

static int run(int argc, char **argv)
{
    struct filter filter = { 0 };
    const char *state = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
            state = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            filter.json = true;
        else if (argv[i][0] != '-' && !filter.about)
            filter.about = argv[i];
        else
            return command_usage(&command_history, "unknown option");
    }
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes path = BYTES(4096);
    AUTO(arena_free) struct arena *arena = arena_new(16 * EVENT_MAX);
    filter.arena = arena;
    if (!bytes_printf(&path, &err, "%s/journal.jsonl", state ? state : STATE_DEFAULT) ||
        !journal_read(bytes_text(&path), show, &filter, &err))
        return command_fail("history", &err);
    return EXIT_DONE;
}

const struct command command_history = {
    .name = "history",
    .summary = "what was built, decided and deployed, with reasons and times",
    .help = "Usage: pushwright history [--state DIR] [--json] [NAME]\n\n"
            "Prints builds, trigger decisions and deployments of the local chain, oldest first: when, by whom, what and why.\n"
            "  --state DIR  the chain's state directory (default: " STATE_DEFAULT ")\n"
            "  --json       the events themselves, one CloudEvent a line\n"
            "  NAME         only what is about this build, trigger or workload\n",
    .run = run,
};

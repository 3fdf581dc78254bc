#include "runtime/cli/command.h"

#include "runtime/cli/post.h"
#include "runtime/cli/story.h"
#include "shared/base/file.h"

#include <string.h>

enum { DELIVERY_MAX = 80 * 1024 * 1024 }; /* 25 MB of a git host may triple as a form */

/* A saved delivery is the HTTP request as it went over the wire: request line, headers, blank line, body. */
static bool replay_delivery(const char *base, struct span text, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    const char *blank = memmem(text.data, text.len, "\r\n\r\n", 4);
    size_t width = 4;
    if (!blank) {
        blank = memmem(text.data, text.len, "\n\n", 2);
        width = 2;
    }
    if (!blank)
        return error_set(err, ERROR_INVALID, "no blank line after the headers");
    struct span head = { text.data, (size_t)(blank - text.data) };
    struct span body = { blank + width, text.len - head.len - width };
    struct span line = span_cut(&head, '\n');
    char *method = arena ? arena_dup(arena, span_cut(&line, ' ')) : NULL;
    struct span target = span_trim(span_cut(&line, ' '));
    char *url = arena ? arena_printf(arena, "%s%.*s", base, SPAN_ARGS(target)) : NULL;
    if (!method || !url)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!span_starts(target, "/"))
        return error_set(err, ERROR_INVALID, "the request line names no path");
    return post_delivery(url, method, head, body, err);
}

static bool replay_event(const char *to, const char *state, struct span text, struct error *err)
{
    struct event event;
    AUTO(arena_free) struct arena *arena = arena_new(16 * EVENT_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return event_decode_structured(arena, text, &event, err) &&
           post_event(to ? to : post_default_sink(arena, state), &event, true, err);
}

static int run(int argc, char **argv)
{
    const char *to = NULL, *state = NULL, *file = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--to") == 0 && i + 1 < argc)
            to = argv[++i];
        else if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
            state = argv[++i];
        else if (argv[i][0] == '-' && argv[i][1])
            return command_usage(&command_replay, "unknown option");
        else
            file = argv[i];
    }
    if (!file)
        return command_usage(&command_replay, "no FILE was named");
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(DELIVERY_MAX);
    if (!file_read(&text, file, &err))
        return command_fail("replay", &err);
    struct span content = span_trim(bytes_span(&text));
    bool ok = span_starts(content, "{") ? replay_event(to, state, content, &err)
                                        : replay_delivery(to ? to : LISTEN_DEFAULT_URL, bytes_span(&text), &err);
    return ok ? EXIT_DONE : command_fail("replay", &err);
}

const struct command command_replay = {
    .name = "replay",
    .summary = "send a saved delivery or a dead letter through the chain again",
    .help = "Usage: pushwright replay [--state DIR] [--to URL] FILE\n\n"
            "FILE is an event (structured CloudEvent, such as a file of the dead-letter folder), which goes to the local chain\n"
            "as it is; or a saved webhook delivery (request line, headers, blank line, body), which goes to `webhook`.\n"
            "  --state DIR  the chain's state directory (default: " STATE_DEFAULT ")\n"
            "  --to URL     another receiver; for deliveries the address of `webhook` (default: " LISTEN_DEFAULT_URL ")\n"
            "Exit codes: 0 accepted, 1 not accepted, try again, 3 refused.\n",
    .run = run,
};

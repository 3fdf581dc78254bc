#include "runtime/cli/options.h"
#include "runtime/cli/post.h"
#include "runtime/cli/push.h"
#include "runtime/cli/story.h"
#include "runtime/signature.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/random.h"

#include <stdio.h>
#include <string.h>

struct send_options {
    const char *to, *state, *key, *file;
    const char *type, *source, *id, *subject, *data;
    bool push, is_unsigned;
    struct push_options push_options;
};

/* NULL, or what is wrong. */
static const char *check(const struct send_options *o)
{
    if (o->push)
        return o->to && o->push_options.repository && o->push_options.secret_file && o->push_options.clone
                   ? NULL
                   : "--push needs --to, --repository, --clone and --secret-file";
    return (o->file != NULL) != (o->type != NULL) ? NULL : "name either a FILE or a --type";
}

static bool read_data(struct arena *arena, const char *path, struct bytes *data, struct error *err)
{
    if (!file_read(data, path, err))
        return false;
    return json_parse(arena, bytes_span(data), err) || error_wrap(err, "'%s' is not JSON", path);
}

/* The event of the command line. Its id is random unless given: what a person sends again is a new event. */
static bool make_event(struct arena *arena, const struct send_options *o, struct bytes *data, struct event *out,
                       struct error *err)
{
    char now[RFC3339_SIZE], id[UUID_SIZE];
    uint8_t raw[16];
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    rfc3339_format(now, clock_wall_ms());
    if (o->data && !read_data(arena, o->data, data, err))
        return false;
    *out = (struct event){
        .id = o->id ? o->id : arena_dup(arena, span_of(id)),
        .source = o->source ? o->source : "/pushwright/cli",
        .type = o->type,
        .subject = o->subject,
        .time = arena_dup(arena, span_of(now)),
        .datacontenttype = o->data ? "application/json" : NULL,
        .data = o->data ? bytes_span(data) : (struct span){ NULL, 0 },
    };
    return event_check(out, err);
}

static bool read_event(struct arena *arena, const char *path, struct bytes *text, struct event *out, struct error *err)
{
    if (!file_read(text, path, err))
        return false;
    return event_decode_structured(arena, bytes_span(text), out, err) || error_wrap(err, "event '%s'", path);
}

static int send_event(const struct send_options *o)
{
    struct error err = { 0 };
    struct event event;
    AUTO(arena_free) struct arena *arena = arena_new(32 * EVENT_MAX);
    AUTO(bytes_release) struct bytes data = BYTES(EVENT_MAX);
    if (!arena)
        error_set(&err, ERROR_INTERNAL, "out of memory");
    bool made = arena &&
                (o->file ? read_event(arena, o->file, &data, &event, &err) : make_event(arena, o, &data, &event, &err));
    bool signs = made && !o->is_unsigned && !event_extension(&event, SIGNATURE_ATTRIBUTE);
    if (!made || (signs && !post_sign(arena, o->state, o->key, &event, &err)) ||
        !post_event(o->to ? o->to : post_default_sink(arena, o->state), &event, false, &err))
        return command_fail("send", &err);
    fputs("accepted: ", stdout);
    story_print(stdout, event.type);
    putchar(' ');
    story_print(stdout, event.id);
    putchar('\n');
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct send_options options = { 0 };
    const struct option rows[] = {
        OPTION("--to", &options.to),
        OPTION("--state", &options.state),
        OPTION("--key", &options.key),
        OPTION("--type", &options.type),
        OPTION("--source", &options.source),
        OPTION("--id", &options.id),
        OPTION("--subject", &options.subject),
        OPTION("--data", &options.data),
        FLAG("--unsigned", &options.is_unsigned),
        FLAG("--push", &options.push),
        OPTION("--repository", &options.push_options.repository),
        OPTION("--clone", &options.push_options.clone),
        OPTION("--secret-file", &options.push_options.secret_file),
        END,
    };
    const struct argument names[] = { OPTIONAL("FILE", &options.file), END };
    if (!options_read(&command_send, argc, argv, rows, names))
        return EXIT_USAGE;
    const char *mistake = check(&options);
    if (mistake)
        return command_usage(&command_send, mistake);
    if (!options.push)
        return send_event(&options);
    struct error err = { 0 };
    options.push_options.to = options.to;
    if (push_send(&options.push_options, stdin, &err))
        return EXIT_DONE;
    return command_fail("send", &err);
}

const struct command command_send = {
    .name = "send",
    .summary = "post an event, or tell the chain of a push to a plain git repository",
    .help =
        "Usage: pushwright send [OPTIONS] FILE\n"
        "       pushwright send [OPTIONS] --type TYPE [--source S] [--id ID] [--subject S] [--data FILE]\n"
        "       pushwright send --push --to URL --repository NAME --clone URL --secret-file FILE\n\n"
        "Posts a CloudEvent (FILE: structured JSON, '-' reads standard input) to the local chain, signed under its "
        "key\n"
        "unless it is signed already. The chain takes an event of the same source and id only once; 'replay' takes it "
        "again.\n"
        "  --state DIR  the chain's state directory (default: .pushwright)\n"
        "  --to URL     another receiver: http(s)://... or unix:/path\n"
        "  --key FILE   another key\n"
        "  --unsigned   do not sign: for receivers that need no signature\n\n"
        "With --push it reads the lines of git's post-receive hook (OLD NEW REF) and delivers each as Gitea would, "
        "signed\n"
        "with the secret: a bare repository needs no git host. What could not be told is said, with the command that\n"
        "tells it again. Exit codes: 0 accepted, 1 not accepted, try again, 3 refused.\n",
    .run = run,
};

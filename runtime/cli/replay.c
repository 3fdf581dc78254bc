#include "runtime/cli/options.h"
#include "runtime/cli/post.h"
#include "runtime/cli/story.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/base/random.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum {
    DELIVERY_MAX = 80 * 1024 * 1024, /* 25 MB of a git host may triple as a form */
    HEAD_MAX = 64 * 1024,
};

struct replay_options {
    const char *to, *state, *file;
    bool again;
};

/* --- a saved delivery: request line, headers, blank line, body ---------------------------------------------------- */

struct delivery {
    char *method, *target;
    struct span headers, body;
};

/* Editors and browsers save either kind of line end; the first blank line ends the headers. */
static bool split_at_blank_line(struct span text, struct span *head, struct span *body)
{
    const char *lf = memmem(text.data, text.len, "\n\n", 2);
    const char *crlf = memmem(text.data, text.len, "\n\r\n", 3);
    const char *end = !crlf || (lf && lf < crlf) ? lf : crlf;
    if (!end)
        return false;
    *head = (struct span){ text.data, (size_t)(end - text.data) };
    const char *rest = end + (end == crlf ? 3 : 2);
    *body = (struct span){ rest, text.len - (size_t)(rest - text.data) };
    return true;
}

static bool name_is(struct span name, const char *wanted)
{
    return name.len == strlen(wanted) && strncasecmp(name.data, wanted, name.len) == 0;
}

/* What is signed is the body to the byte: a line end that an editor added is not part of it. */
static bool fit_body(struct delivery *delivery, struct error *err)
{
    struct span lines = delivery->headers;
    while (lines.data) {
        struct span value = span_cut(&lines, '\n');
        struct span name = span_trim(span_cut(&value, ':'));
        value = span_trim(value);
        if (name_is(name, "transfer-encoding") && value.len > 0)
            return error_set(err, ERROR_INVALID, "the body is chunked: save it without its chunks' sizes");
        if (!name_is(name, "content-length") || value.len == 0 || value.len > 10)
            continue;
        size_t length = strtoul(value.data, NULL, 10);
        if (length > delivery->body.len)
            return error_set(err, ERROR_INVALID, "the body has %zu bytes, Content-Length says %zu", delivery->body.len,
                             length);
        delivery->body.len = length;
    }
    return true;
}

static bool parse_delivery(struct arena *arena, struct span text, struct delivery *out, struct error *err)
{
    struct span head;
    if (!split_at_blank_line(text, &head, &out->body))
        return error_set(err, ERROR_INVALID, "neither an event (JSON) nor a request: no blank line ends its headers");
    struct span line = span_trim(span_cut(&head, '\n'));
    struct span method = span_cut(&line, ' '), target = span_cut(&line, ' ');
    if (!span_starts(target, "/") || method.len == 0)
        return error_set(err, ERROR_INVALID, "the first line is not a request such as 'POST /hooks/NAME HTTP/1.1'");
    out->method = arena_dup(arena, method);
    out->target = arena_dup(arena, target);
    out->headers = head;
    if (!out->method || !out->target)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return fit_body(out, err);
}

/* A git host's delivery keeps its id when it is sent again, and then makes the same events again, which the chain knows. */
static bool renew_ids(struct bytes *out, struct span lines, struct error *err)
{
    static const char *const ids[] = { "X-GitHub-Delivery",  "X-Gitea-Delivery", "X-Gogs-Delivery",
                                       "X-Forgejo-Delivery", "Idempotency-Key",  "X-Gitlab-Event-UUID" };
    char id[UUID_SIZE];
    uint8_t raw[16];
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    while (lines.data) {
        struct span line = span_cut(&lines, '\n'), rest = line;
        struct span name = span_trim(span_cut(&rest, ':'));
        bool is_id = false;
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
            is_id = is_id || name_is(name, ids[i]);
        if (is_id ? !bytes_printf(out, err, "%.*s: %s\n", SPAN_ARGS(name), id)
                  : !bytes_append_span(out, line, err) || !bytes_append_char(out, '\n', err))
            return false;
    }
    return true;
}

static bool replay_delivery(const struct replay_options *o, struct span text, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(4 * HEAD_MAX);
    AUTO(bytes_release) struct bytes renewed = BYTES(HEAD_MAX);
    struct delivery delivery = { 0 };
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!parse_delivery(arena, text, &delivery, err) || (o->again && !renew_ids(&renewed, delivery.headers, err)))
        return false;
    const char *url = arena_printf(arena, "%s%s", o->to ? o->to : LISTEN_DEFAULT_URL, delivery.target);
    if (!url)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return post_delivery(url, delivery.method, o->again ? bytes_span(&renewed) : delivery.headers, delivery.body, err);
}

/* --- an event ----------------------------------------------------------------------------------------------------- */

/* A dead letter that the chain has taken again is none any more; should it be refused again, it is back. */
static void remove_dead_letter(const struct replay_options *o)
{
    char folder[PATH_MAX], file[PATH_MAX], wanted[PATH_MAX];
    snprintf(wanted, sizeof wanted, "%s/dead", o->state ? o->state : STATE_DEFAULT);
    if (!realpath(wanted, folder) || !realpath(o->file, file))
        return;
    size_t length = strlen(folder);
    if (strncmp(file, folder, length) == 0 && file[length] == '/' && !strchr(file + length + 1, '/'))
        (void)unlink(file);
}

static bool replay_event(const struct replay_options *o, struct span text, struct error *err)
{
    struct event event;
    AUTO(arena_free) struct arena *arena = arena_new(16 * EVENT_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!event_decode_structured(arena, text, &event, err) ||
        !post_event(o->to ? o->to : post_default_sink(arena, o->state), &event, true, err))
        return false;
    if (!o->to)
        remove_dead_letter(o);
    return true;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
    struct replay_options options = { 0 };
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(DELIVERY_MAX);
    const struct option rows[] = { OPTION("--to", &options.to), OPTION("--state", &options.state),
                                   FLAG("--again", &options.again), END };
    const struct argument names[] = { ARGUMENT("FILE", &options.file), END };
    if (!options_read(&command_replay, argc, argv, rows, names))
        return EXIT_USAGE;
    if (!file_read(&text, options.file, &err))
        return command_fail("replay", &err);
    struct span content = span_trim(bytes_span(&text));
    bool is_event = span_starts(content, "{");
    if (!(is_event ? replay_event(&options, content, &err) : replay_delivery(&options, bytes_span(&text), &err)))
        return command_fail("replay", &err);
    if (is_event)
        puts("accepted");
    return EXIT_DONE;
}

const struct command command_replay = {
    .name = "replay",
    .summary = "send a saved delivery or a dead letter through the chain again",
    .help =
        "Usage: pushwright replay [--state DIR] [--to URL] [--again] FILE\n\n"
        "FILE ('-': standard input) is an event (structured CloudEvent, such as a file of the dead-letter folder), "
        "which goes\n"
        "to the local chain as it is, whether it went there before or not; a dead letter is removed once it is "
        "accepted.\n"
        "Or it is a saved webhook delivery (request line, headers, blank line, body), which goes to `webhook`, whose "
        "answer\n"
        "is printed. A delivery that was taken before makes the same events, which the chain knows and does not "
        "repeat.\n"
        "  --state DIR  the chain's state directory (default: " STATE_DEFAULT ")\n"
        "  --to URL     another receiver; for deliveries the address of `webhook` (default: " LISTEN_DEFAULT_URL ")\n"
        "  --again      give the delivery a new id: it counts as another one\n"
        "Exit codes: 0 accepted, 1 not accepted, try again, 3 refused.\n",
    .run = run,
};

#include "runtime/oneshot.h"

#include "runtime/outcome.h"
#include "runtime/report.h"
#include "shared/base/file.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

static bool print_line(int fd, const struct event *event, const char *end, struct error *err)
{
    AUTO(bytes_release) struct bytes line = BYTES(8 * EVENT_MAX);
    return event_encode_structured(&line, event, err) && bytes_append_text(&line, end, err) &&
           file_write_all(fd, line.data, line.len, err);
}

static bool print_event(void *context, const struct event *event, const struct sink_failure *first, int64_t budget_ms,
                        int *status, struct error *err)
{
    (void)first, (void)budget_ms, (void)status;
    return print_line((int)(intptr_t)context, event, "\n", err);
}

struct outlet oneshot_printer(void)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd >= 0)
        dup2(STDERR_FILENO, STDOUT_FILENO);
    return (struct outlet){ print_event, (void *)(intptr_t)(fd >= 0 ? fd : STDOUT_FILENO) };
}

static bool run(struct call *call, struct shim *shim, struct arena *arena, struct span text, struct error *err)
{
    struct event *event = arena_take(arena, sizeof *event);
    if (!event)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!event_decode_structured(arena, text, event, err))
        return false;
    call_begin(call, shim, arena, event, span_of(getenv("TRACEPARENT")), span_of(getenv("TRACESTATE")));
    return call_handle(call, err) && call_deliver(call, err);
}

int oneshot_run(struct shim *shim, struct span text)
{
    struct error err = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(CALL_MEMORY_MAX);
    if (!arena)
        error_set(&err, ERROR_INTERNAL, "out of memory");
    struct call call = { 0 };
    bool good = arena && run(&call, shim, arena, text, &err);
    if (call.shim)
        report_outcome(&call, 0, good ? NULL : &err);
    else
        report_refusal(shim, 0, &err);
    return good ? EXIT_SUCCESS : outcome_exit_code(&err);
}

static bool check(const char *path, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(16 * EVENT_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(64 * EVENT_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!file_read(&text, path, err))
        return false;
    struct event single, *events = &single;
    size_t count = 1;
    bool is_batch = span_starts(span_trim(bytes_span(&text)), "[");
    if (is_batch ? !event_decode_batch(arena, bytes_span(&text), &events, &count, err)
                 : !event_decode_structured(arena, bytes_span(&text), &single, err))
        return false;
    if (is_batch && !file_write_all(STDOUT_FILENO, "[", 1, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!print_line(STDOUT_FILENO, &events[i], is_batch && i + 1 < count ? "," : "", err))
            return false;
    return file_write_all(STDOUT_FILENO, is_batch ? "]\n" : "\n", is_batch ? 2 : 1, err);
}

int oneshot_check(const char *name, const char *path)
{
    struct error err = { 0 };
    if (check(path, &err))
        return EXIT_SUCCESS;
    fprintf(stderr, "%s: %s: %s\n", name, path, err.message);
    return outcome_exit_code(&err);
}

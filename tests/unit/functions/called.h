/* A handler's call without a process around it: what a function's parts read of an event, and the events that they emit. */
#ifndef PUSHWRIGHT_TESTS_FUNCTIONS_CALLED_H
#define PUSHWRIGHT_TESTS_FUNCTIONS_CALLED_H

#include "runtime/call.h"
#include "shared/config/config.h"
#include "tests/unit/functions/test.h"

struct called {
    struct shim shim;
    struct event event;
    struct call call;
    struct arena *arena;
    struct platform platform;
    struct config *config;
};

/* `data` is the CDEvent; the configuration may be NULL. */
static inline void called_begin(struct called *called, const char *manifest, const char *data, const char *config)
{
    struct error err = { 0 };
    *called = (struct called){ .arena = arena_new(CALL_MEMORY_MAX), .platform = { .name = "test" } };
    called->event = (struct event){ .id = "event-1",
                                    .source = "/test",
                                    .type = "test.in",
                                    .time = "2026-09-01T12:00:00Z",
                                    .datacontenttype = "application/json",
                                    .data = span_of(data) };
    called->shim = (struct shim){ .manifest = manifest_parse(manifest, &err),
                                  .source = "/pushwright/test",
                                  .platform = &called->platform,
                                  .metrics = metrics_new() };
    if (!called->shim.manifest)
        fail_msg("%s", err.message);
    if (config) {
        AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
        called->config = config_parse(span_of(config), &mistakes, &err);
        if (!called->config)
            fail_msg("%s", err.message);
    }
    call_begin(&called->call, &called->shim, called->arena, &called->event, SPAN(""), SPAN(""));
}

static inline void called_end(struct called *called)
{
    config_free(called->config);
    metrics_free(called->shim.metrics);
    manifest_free(called->shim.manifest);
    arena_free(called->arena);
}

/* The event that was emitted as the n-th, its data parsed; NULL: there are fewer. */
static inline const struct json *called_emitted(struct called *called, size_t n, const struct event **event)
{
    struct error err = { 0 };
    const struct queued *queued = called->call.first;
    for (; queued && n > 0; n--)
        queued = queued->next;
    if (!queued)
        return NULL;
    *event = &queued->event;
    return json_parse(called->arena, queued->event.data, &err);
}

/* A text in what was emitted: "subject", "content", "artifactId" ... up to three keys. */
static inline const char *called_text(const struct json *data, const char *first, const char *second, const char *third)
{
    const struct json *inside = json_get(data, first);
    return third ? json_get_string(json_get(inside, second), third) : json_get_string(inside, second);
}

#endif

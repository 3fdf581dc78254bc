/* Notifications of registries and wishes of people, up to the events that they become: no body is our own fault, and every event counted is one queued.
 * The first byte chooses: 'w' a wish, 'n' a registry whose name is configured, else one whose is not. */
#include "functions/webhook/builds.h"
#include "functions/webhook/images.h"
#include "runtime/call.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

static const char manifest_text[] = "{\"name\":\"webhook\",\"summary\":\"s\",\"serves\":\"http\",\"in\":[],\"out\":["
                                    "\"dev.cdevents.artifact.published.0.3.0\","
                                    "\"dev.cdevents.artifact.deleted.0.2.0\",\"dev.cdevents.build.queued.0.3.0\"]}";

static struct manifest *some_manifest(void)
{
    static struct manifest *manifest;
    struct error err = { 0 };
    if (!manifest)
        must((manifest = manifest_parse(manifest_text, &err)) != NULL);
    return manifest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const struct config_source named = { .name = "r", .kind = SOURCE_REGISTRY, .host = "registry.example.com" };
    static const struct config_source unnamed = { .name = "r", .kind = SOURCE_REGISTRY };
    static const struct config_build build = {
        .name = "b", .source = &named, .repository = "a/b", .clone = "https://x/y", .enabled = true
    };
    const struct span body = { (const char *)data + 1, size - 1 };
    AUTO(arena_free) struct arena *arena = arena_new(CALL_MEMORY_MAX);
    struct shim shim = { .manifest = some_manifest(), .source = "/pushwright/webhook" };
    struct verdict verdict = { 0 };
    struct error err = { 0 };
    struct call call;
    call_begin(&call, &shim, arena, NULL, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
    must(call_set_parent(&call, "/hooks/r", "1", &err));
    bool taken = data[0] == 'w' ? builds_on_request(&call, &build, body, &verdict, &err)
                                : images_notified(&call, data[0] == 'n' ? &named : &unnamed, body, &verdict, &err);
    if (taken)
        must(call.queued == verdict.published + verdict.queued && (call.queued > 0) == !verdict.reason);
    else
        must(err.kind == ERROR_INVALID || err.kind == ERROR_TOO_LARGE);
    return 0;
}

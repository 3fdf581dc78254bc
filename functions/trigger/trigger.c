/* trigger: an image was published; which deployments does that ask for?
 *
 * The event names an image and its tags. What stands behind each tag is asked of the registry, never taken from the event; every
 * trigger of the configuration that watches the image is evaluated for every tag, and each evaluation leaves its reason. */
#include "functions/trigger/request.h"
#include "runtime/function.h"
#include "shared/config/config.h"

#include <string.h>

struct trigger_state {
    struct config *config;
    struct registry_logins *logins;
};

static void stop(void *opaque)
{
    struct trigger_state *state = opaque;
    if (!state)
        return;
    registry_logins_free(state->logins);
    config_free(state->config);
    free(state);
}
AUTO_FREE(void, stop)

static bool start(void **out, struct error *err)
{
    AUTO(stop) void *owned = calloc(1, sizeof(struct trigger_state));
    struct trigger_state *state = owned;
    if (!state)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    state->config = config_load(NULL, err);
    if (!state->config)
        return false;
    state->logins = config_registry_logins(state->config, err);
    if (!state->logins)
        return false;
    *out = TAKE(owned);
    return true;
}

/* What stands behind the tag now. *found false, with the reason told, when that is not what was published: then there is
 * nothing to ask for, or a later event does. */
static bool ask_registry(struct call *call, const struct publication *image, const char *tag, struct descriptor *now,
                         bool *found, struct error *err)
{
    const struct trigger_state *state = call_state(call);
    struct registry_options options = registry_logins_options(state->logins, false);
    AUTO(store_free) struct store *store = store_open(&image->reference, &options, err);
    if (!store)
        return false;
    *found = false;
    if (!store_resolve(store, tag, now, err)) {
        if (err->kind != ERROR_NOT_FOUND)
            return error_wrap(err, "check '%s:%s'", image->name, tag);
        return call_skip(call, NULL, tag, err, "the registry holds no '%s:%s' any more", image->name, tag);
    }
    if (image->digest && strcmp(now->digest, image->digest) != 0)
        return call_skip(call, NULL, tag, err, "'%s:%s' has moved on from %s to %s, which has an event of its own",
                         image->name, tag, image->digest, now->digest);
    *found = true;
    return true;
}

/* Every trigger's word on one tag. */
static bool evaluate(struct call *call, const struct publication *image, const char *tag, const struct descriptor *now,
                     bool *matched_any, struct error *err)
{
    const struct trigger_state *state = call_state(call);
    for (size_t i = 0; i < state->config->trigger_count; i++) {
        const struct config_trigger *trigger = &state->config->triggers[i];
        if (strcmp(trigger->image, image->name) != 0)
            continue;
        *matched_any = true;
        if (!trigger->enabled) {
            if (!call_skip(call, trigger->name, tag, err, "trigger '%s' is switched off", trigger->name))
                return false;
            continue;
        }
        AUTO(bytes_release) struct bytes reason = BYTES(REASON_MAX);
        bool accepted = false;
        if (!condition_accepts(trigger->when, span_of(tag), &accepted, &reason, err))
            return error_wrap(err, "trigger '%s'", trigger->name);
        if (!accepted) {
            if (!call_skip(call, trigger->name, tag, err, "%s", bytes_text(&reason)))
                return false;
            continue;
        }
        if (!request_deployments(call, trigger, image, tag, now, bytes_text(&reason), err))
            return false;
    }
    return true;
}

static bool handle(struct call *call, struct error *err)
{
    AUTO(publication_release) struct publication image = { 0 };
    if (!publication_read(call, &image, err))
        return false;
    if (image.tag_count == 0)
        return call_skip(call, NULL, NULL, err, "'%s' was published without a tag", image.name);
    bool watched = false;
    for (size_t i = 0; i < image.tag_count; i++) {
        struct descriptor now = { 0 };
        bool found = false;
        if (!ask_registry(call, &image, image.tags[i], &now, &found, err))
            return false;
        if (found && !evaluate(call, &image, image.tags[i], &now, &watched, err))
            return false;
        if (found && !watched)
            return call_skip(call, NULL, NULL, err, "no trigger watches '%s'", image.name);
    }
    return true;
}

FUNCTION(.start = start, .stop = stop, .handle = handle)

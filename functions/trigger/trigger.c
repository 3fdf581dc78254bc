/* trigger: an image was published; which deployments does that ask for?
 *
 * The event names an image and its tags. What stands behind each tag is asked of the registry, never taken from the event; every
 * trigger of the configuration that watches the image is evaluated for every tag, and each evaluation leaves its reason. */
#include "functions/trigger/request.h"
#include "runtime/function.h"
#include "shared/base/clock.h"
#include "shared/config/configured.h"

#include <string.h>

/* A tag that stands for what was published, and the image behind it. */
struct candidate {
    const char *tag;
    struct descriptor now;
};

struct candidates {
    struct candidate items[TAGS_MAX];
    size_t count;
};

/* Registries tell of a push before they show it: docker-registry sends its notification, then writes the tag. For so long after it
 * was told, that a tag is missing or stands for another image is not the last word. */
enum { SETTLE_MS = 5000 };

static bool is_settled(const struct publication *image, const char *time)
{
    int64_t told_ms;
    if (image->build || !time || !rfc3339_parse(span_of(time), &told_ms))
        return true;
    int64_t age_ms = clock_wall_ms() - told_ms;
    return age_ms < 0 || age_ms >= SETTLE_MS;
}

/* A tag that is gone, or has moved on since, is told and left out: there is nothing to ask for, or a later event does. */
static bool check_tag(struct call *call, struct store *store, const struct publication *image, const char *tag,
                      struct candidates *out, struct error *err)
{
    struct descriptor now = { 0 };
    if (!store_resolve(store, tag, &now, err)) {
        if (err->kind != ERROR_NOT_FOUND)
            return error_wrap(err, "check '%s:%s'", image->name, tag);
        if (!is_settled(image, call_event(call)->time))
            return error_set(err, ERROR_UNAVAILABLE, "the registry does not show '%s:%s' yet", image->name, tag);
        return call_skip(call, NULL, tag, err, "the registry holds no '%s:%s' any more", image->name, tag);
    }
    if (image->digest && strcmp(now.digest, image->digest) != 0) {
        if (!is_settled(image, call_event(call)->time))
            return error_set(err, ERROR_UNAVAILABLE, "the registry still shows another image as '%s:%s'", image->name,
                             tag);
        return call_skip(call, NULL, tag, err, "'%s:%s' has moved on from %s to %s, which has an event of its own",
                         image->name, tag, image->digest, now.digest);
    }
    out->items[out->count++] = (struct candidate){ tag, now };
    return true;
}

static bool ask_registry(struct call *call, const struct publication *image, struct candidates *out, struct error *err)
{
    const struct configured *state = call_state(call);
    struct registry_options options = registry_logins_options(state->logins);
    AUTO(store_free) struct store *store = store_open(&image->reference, &options, err);
    if (!store)
        return error_wrap(err, "check '%s'", image->name);
    for (size_t i = 0; i < image->tag_count; i++)
        if (!check_tag(call, store, image, image->tags[i], out, err))
            return false;
    return true;
}

/* The first of the accepted tags that stands for this digest: the others would ask for the same once more. */
static const char *asked_before(const struct candidates *candidates, const bool *accepted, size_t until)
{
    for (size_t i = 0; i < until; i++)
        if (accepted[i] && strcmp(candidates->items[i].now.digest, candidates->items[until].now.digest) == 0)
            return candidates->items[i].tag;
    return NULL;
}

/* One trigger's word on every tag. */
static bool evaluate(struct call *call, const struct config_trigger *trigger, const struct publication *image,
                     const struct candidates *candidates, struct error *err)
{
    bool accepted[TAGS_MAX] = { false };
    if (!trigger->enabled)
        return call_skip(call, trigger->name, NULL, err, "trigger '%s' is switched off", trigger->name);
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->items[i];
        AUTO(bytes_release) struct bytes reason = BYTES(REASON_MAX);
        if (!condition_accepts(trigger->when, span_of(candidate->tag), &accepted[i], &reason, err))
            return error_wrap(err, "trigger '%s'", trigger->name);
        const char *before = accepted[i] ? asked_before(candidates, accepted, i) : NULL;
        bool told =
            !accepted[i] ? call_skip(call, trigger->name, candidate->tag, err, "%s", bytes_text(&reason))
            : before
                ? call_skip(call, trigger->name, candidate->tag, err,
                            "tag '%s' is the same image as '%s', which is asked for already", candidate->tag, before)
                : request_deployments(call, trigger, image, candidate->tag, &candidate->now, bytes_text(&reason), err);
        if (!told)
            return false;
    }
    return true;
}

/* By the names that both sides normalise: docker.io/library/nginx is nginx. */
static bool watches(const struct config_trigger *trigger, const struct publication *image)
{
    return strcmp(trigger->image, image->name) == 0;
}

static bool is_watched(const struct config *config, const struct publication *image)
{
    for (size_t i = 0; i < config->trigger_count; i++)
        if (watches(&config->triggers[i], image))
            return true;
    return false;
}

static bool handle(struct call *call, struct error *err)
{
    const struct config *config = ((const struct configured *)call_state(call))->config;
    AUTO(publication_release) struct publication image = { 0 };
    struct candidates candidates = { 0 };
    if (!publication_read(call, &image, err))
        return false;
    if (!is_watched(config, &image))
        return call_skip(call, NULL, NULL, err, "no trigger watches '%s'", image.name);
    if (image.tag_count == 0)
        return call_skip(call, NULL, NULL, err, "'%s' was published without a tag", image.name);
    if (!ask_registry(call, &image, &candidates, err))
        return false;
    for (size_t i = 0; i < config->trigger_count; i++)
        if (watches(&config->triggers[i], &image) && !evaluate(call, &config->triggers[i], &image, &candidates, err))
            return false;
    return true;
}

FUNCTION(.start = configured_start, .stop = configured_stop, .handle = handle)

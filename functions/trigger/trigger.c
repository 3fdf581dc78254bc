/* trigger: an image was published; which deployments does that ask for?
 *
 * The event names an image and its tags. What stands behind each tag is asked of the registry, never taken from the event; every
 * trigger of the configuration that watches the image is evaluated for every tag, and each evaluation leaves its reason. */
#include "functions/trigger/decisions.h"
#include "functions/trigger/request.h"
#include "runtime/function.h"
#include "shared/base/clock.h"
#include "shared/config/configured.h"
#include "shared/examine/examine.h"

#include <string.h>

/* A tag that stands for what was published, and the image behind it. */
struct candidate {
    const char *tag;
    struct descriptor now;
};

/* One event's work. */
struct evaluation {
    struct call *call;
    const struct publication *image;
    struct store *store;
    struct candidate candidates[TAGS_MAX];
    size_t candidate_count;
    struct decisions decisions;
    struct bytes reason; /* of the trigger that is asked */
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
static bool check_tag(struct evaluation *e, const char *tag, struct error *err)
{
    const struct publication *image = e->image;
    struct descriptor now = { 0 };
    if (examine_is_attached(tag))
        return call_skip(e->call, NULL, tag, err, "'%s:%s' is what is said about an image, not an image", image->name,
                         tag);
    if (!store_resolve(e->store, tag, &now, err)) {
        if (err->kind != ERROR_NOT_FOUND)
            return error_wrap(err, "check '%s:%s'", image->name, tag);
        if (!is_settled(image, call_event(e->call)->time))
            return error_set(err, ERROR_UNAVAILABLE, "the registry does not show '%s:%s' yet", image->name, tag);
        return call_skip(e->call, NULL, tag, err, "the registry holds no '%s:%s' any more", image->name, tag);
    }
    if (image->digest && strcmp(now.digest, image->digest) != 0) {
        if (!is_settled(image, call_event(e->call)->time))
            return error_set(err, ERROR_UNAVAILABLE, "the registry still shows another image as '%s:%s'", image->name,
                             tag);
        return call_skip(e->call, NULL, tag, err, "'%s:%s' has moved on from %s to %s, which has an event of its own",
                         image->name, tag, image->digest, now.digest);
    }
    e->candidates[e->candidate_count++] = (struct candidate){ tag, now };
    return true;
}

/* The first of the accepted tags that stands for this digest: the others would ask for the same once more. */
static const char *asked_before(const struct evaluation *e, const bool *accepted, size_t until)
{
    for (size_t i = 0; i < until; i++)
        if (accepted[i] && strcmp(e->candidates[i].now.digest, e->candidates[until].now.digest) == 0)
            return e->candidates[i].tag;
    return NULL;
}

/* The tag is accepted: is the image one that may run there? Else *reason says why not. */
static bool check_image(struct evaluation *e, const struct config_trigger *trigger, const struct candidate *candidate,
                        bool *fit, struct bytes *reason, struct error *err)
{
    struct bytes why = ARENA_BYTES(call_arena(e->call), REASON_MAX);
    if (!examine_image(e->store, trigger, &candidate->now, fit, &why, err))
        return error_wrap(err, "check '%s:%s'", e->image->name, candidate->tag);
    if (*fit)
        return true;
    bytes_clear(reason);
    return bytes_printf(reason, err, "tag '%s' is accepted, but %s", candidate->tag, bytes_text(&why));
}

/* One trigger's word on one tag: ask for its deployments, or say why not. */
static bool judge(struct evaluation *e, const struct config_trigger *trigger, bool *accepted, size_t index,
                  struct error *err)
{
    const struct candidate *candidate = &e->candidates[index];
    struct bytes *reason = &e->reason;
    bool fit = true;
    bytes_clear(reason);
    if (!condition_accepts(trigger->when, span_of(candidate->tag), &accepted[index], reason, err))
        return error_wrap(err, "trigger '%s'", trigger->name);
    const char *before = accepted[index] ? asked_before(e, accepted, index) : NULL;
    if (before) {
        bytes_clear(reason);
        if (!bytes_printf(reason, err, "tag '%s' is the same image as '%s', which is asked for already", candidate->tag,
                          before))
            return false;
    }
    if (accepted[index] && !before && !check_image(e, trigger, candidate, &fit, reason, err))
        return false;
    if (!accepted[index] || before || !fit)
        return decisions_add(e->call, &e->decisions, trigger->name, candidate->tag, bytes_span(reason), err);
    return request_deployments(e->call, trigger, e->image, candidate->tag, &candidate->now, bytes_text(reason), err);
}

static bool evaluate(struct evaluation *e, const struct config_trigger *trigger, struct error *err)
{
    bool accepted[TAGS_MAX] = { false };
    if (!trigger->enabled) {
        const char *off = arena_printf(call_arena(e->call), "trigger '%s' is switched off", trigger->name);
        return decisions_add(e->call, &e->decisions, trigger->name, NULL, span_of(off), err);
    }
    for (size_t i = 0; i < e->candidate_count; i++)
        if (!judge(e, trigger, accepted, i, err))
            return false;
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

static bool evaluate_all(struct evaluation *e, const struct config *config, struct error *err)
{
    for (size_t i = 0; i < e->image->tag_count; i++)
        if (!check_tag(e, e->image->tags[i], err))
            return false;
    for (size_t i = 0; i < config->trigger_count; i++)
        if (watches(&config->triggers[i], e->image) && !evaluate(e, &config->triggers[i], err))
            return false;
    return decisions_tell(e->call, &e->decisions, err);
}

static bool handle(struct call *call, struct error *err)
{
    const struct configured *state = call_state(call);
    AUTO(publication_release) struct publication image = { 0 };
    if (!publication_read(call, &image, err))
        return false;
    if (!is_watched(state->config, &image))
        return call_skip(call, NULL, NULL, err, "no trigger watches '%s'", image.name);
    if (image.tag_count == 0)
        return call_skip(call, NULL, NULL, err, "'%s' was published without a tag", image.name);
    struct registry_options options = registry_logins_options(state->logins);
    AUTO(store_free) struct store *store = store_open(&image.reference, &options, err);
    struct evaluation evaluation = {
        .call = call, .image = &image, .store = store, .reason = ARENA_BYTES(call_arena(call), REASON_MAX)
    };
    return store ? evaluate_all(&evaluation, state->config, err) : error_wrap(err, "check '%s'", image.name);
}

FUNCTION(.start = configured_start, .stop = configured_stop, .handle = handle)

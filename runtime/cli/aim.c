#include "runtime/cli/aim.h"

#include "runtime/cli/post.h"
#include "runtime/cli/story.h"
#include "runtime/function.h"
#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "shared/examine/examine.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY_MAX = 64 << 20, TEXT_MAX = 16 * 1024, WAIT_MS = 600 * 1000, SLICE_MS = 2000, ATTEMPTS_MAX = 10 };

int aim_act(const struct command *command, const struct aim *aim, aim_act_fn *act, void *context)
{
    AUTO(config_free) struct config *config = NULL;
    AUTO(arena_free) struct arena *arena = arena_new(MEMORY_MAX);
    struct error err = { 0 };
    int code = command_check_config(command->name, aim->config, stderr, &config);
    if (!config)
        return code;
    const struct config_trigger *trigger = aim->trigger ? config_find_trigger(config, aim->trigger) : NULL;
    if (!arena)
        error_set(&err, ERROR_INTERNAL, "out of memory");
    else if (aim->trigger && !trigger)
        error_set(&err, ERROR_INVALID, "'%s' has no trigger '%s'", aim->config, aim->trigger);
    bool done = err.kind == ERROR_NONE && act(context, &(struct aimed){ config, trigger, arena }, &err);
    return done ? EXIT_DONE : command_fail(command->name, &err);
}

/* ---- images ---- */

static struct store *open_store(const struct config *config, const struct reference *reference,
                                struct registry_logins **logins, struct error *err)
{
    *logins = config_registry_logins(config, err);
    if (!*logins)
        return NULL;
    struct registry_options options = registry_logins_options(*logins);
    return store_open(reference, &options, err);
}

bool aim_resolve(struct arena *arena, const struct config *config, const char *own_name, const char *text,
                 struct aim_image *out, struct error *err)
{
    if (own_name && (text[0] == '@' || text[0] == ':') && !(text = arena_printf(arena, "%s%s", own_name, text)))
        return arena_no_room(arena, "an image's name", err);
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(registry_logins_free) struct registry_logins *logins = NULL;
    struct bytes name = ARENA_BYTES(arena, TEXT_MAX);
    struct descriptor now;
    if (!reference_parse(span_of(text), &reference, err) || !reference_name(&name, &reference, err))
        return error_wrap(err, "'%s'", text);
    if (!reference.tag && !reference.digest)
        return error_set(err, ERROR_INVALID, "'%s' has neither tag nor digest: write IMAGE:TAG or IMAGE@DIGEST", text);
    AUTO(store_free) struct store *store = open_store(config, &reference, &logins, err);
    if (!store || !store_resolve(store, reference.digest ? reference.digest : reference.tag, &now, err))
        return error_wrap(err, "'%s'", text);
    *out = (struct aim_image){ .name = bytes_text(&name) };
    snprintf(out->digest, sizeof out->digest, "%s", now.digest);
    out->tag = reference.tag ? arena_dup(arena, span_of(reference.tag)) : NULL;
    out->image = arena_printf(arena, "%s%s%s@%s", out->name, out->tag ? ":" : "", out->tag ? out->tag : "", now.digest);
    return out->image || arena_no_room(arena, "an image's name", err);
}

bool aim_examine(const struct config *config, const struct config_trigger *trigger, const struct aim_image *image,
                 struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(registry_logins_free) struct registry_logins *logins = NULL;
    AUTO(bytes_release) struct bytes reason = BYTES(TEXT_MAX);
    struct descriptor now;
    bool fit;
    if (strcmp(image->name, trigger->image) != 0)
        return error_set(err, ERROR_INVALID, "trigger '%s' is about '%s', not about '%s'", trigger->name,
                         trigger->image, image->name);
    if (!reference_parse(span_of(image->image), &reference, err))
        return false;
    AUTO(store_free) struct store *store = open_store(config, &reference, &logins, err);
    if (!store || !store_resolve(store, image->digest, &now, err) ||
        !examine_image(store, trigger, &now, &fit, &reason, err))
        return error_wrap(err, "check '%s'", image->image);
    return fit ||
           error_set(err, ERROR_INVALID, "trigger '%s' does not take it: %s", trigger->name, bytes_text(&reason));
}

bool aim_is_there(const struct aim_image *image, const struct workload *now)
{
    bool comes = now->rollout == ROLLOUT_STARTING && !now->marks.reason;
    return (now->rollout == ROLLOUT_RUNNING || comes) && !now->foreign && now->digest &&
           strcmp(now->digest, image->digest) == 0;
}

/* ---- targets ---- */

bool aim_wants(const struct aim *aim, const struct config_trigger *trigger, size_t index)
{
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    return !aim->target || strcmp(aim->target, number) == 0 ||
           strcmp(aim->target, trigger->targets[index].workload) == 0;
}

const char *aim_subject(struct arena *arena, const struct config_target *where)
{
    return arena_printf(arena, "%s/%s/%s", where->cluster, where->namespace, where->workload);
}

/* The first file of $KUBECONFIG, as kubectl has it, or the usual one. */
static const char *own_kubeconfig(char path[static 4096])
{
    const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
    if (list && *list)
        snprintf(path, 4096, "%.*s", (int)strcspn(list, ":"), list);
    else
        snprintf(path, 4096, "%s/.kube/config", home ? home : "");
    return path;
}

struct target *aim_open(const struct aim *aim, const struct config_target *where, struct error *err)
{
    static char kubeconfig[4096], platform[4096]; /* the target borrows the first */
    static struct target_options options;
    bool inside = getenv("KUBERNETES_SERVICE_HOST") && !aim->context;
    options = (struct target_options){ 0 };
    if (strcmp(where->cluster, CLUSTER_IN_CLUSTER) == 0 && !inside) {
        options.kubeconfig = own_kubeconfig(kubeconfig);
        options.kubeconfig_context = aim->context;
    }
    snprintf(platform, sizeof platform, "unix:%s/run/platform.sock", aim->state ? aim->state : STATE_DEFAULT);
    setenv("PUSHWRIGHT_LOCAL_PLATFORM", platform, 1);
    return target_open(where, &options, err);
}

static const char *who(const struct aim *aim)
{
    const char *name = aim->person ? aim->person : getenv("SUDO_USER");
    const struct passwd *entry = name ? NULL : getpwuid(getuid());
    return name ? name : entry ? entry->pw_name : "somebody";
}

struct asked aim_asked(const struct aim *aim, struct arena *arena, const struct config_trigger *trigger, size_t index,
                       const char *image)
{
    char id[UUID_SIZE], chain[UUID_SIZE];
    uint8_t raw[2][16];
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw[0]);
    uuid_format(chain, raw[1]);
    return (struct asked){
        .image = image,
        .event = arena_dup(arena, span_of(id)),
        .source = "/pushwright/person",
        .chain = arena_dup(arena, span_of(chain)),
        .rule = arena_printf(arena, "%s %zu", trigger->name, index),
        .sequence = arena_printf(arena, "%015lld", (long long)clock_wall_ms()),
        .person = who(aim),
        .by = who(aim),
    };
}

/* ---- afterwards ---- */

static bool did_not_come_up(const struct workload *now, const char *subject, struct error *err)
{
    return error_set(err, ERROR_UNAVAILABLE, "%s does not run '%s': %s%s%s", subject, now->image ? now->image : "?",
                     now->reason ? now->reason : "it did not come up", now->running_image ? "; it is at " : "",
                     now->running_image ? now->running_image : "");
}

bool aim_again(struct target *target, struct arena *arena, int attempt, struct workload *now, struct error *err)
{
    return (err->kind == ERROR_CONFLICT || err->kind == ERROR_UNCERTAIN) && attempt < ATTEMPTS_MAX &&
           target_read(target, arena, now, err);
}

/* Given up, and what ran before does not come up either: that says another reason. */
static bool is_back(const struct workload *now)
{
    return now->marks.reason && now->reason && strcmp(now->reason, now->marks.reason) == 0;
}

bool aim_wait(struct target *target, struct arena *arena, const char *subject, bool back, struct workload *now,
              struct error *err)
{
    const char *event = now->marks.event;
    int64_t until_ms = clock_monotonic_ms() + WAIT_MS;
    for (int attempt = 1; clock_monotonic_ms() < until_ms;) {
        if (!target_wait(target, arena, now, SLICE_MS, err))
            return false;
        if (!now->marks.event || strcmp(now->marks.event, event) != 0 || now->foreign)
            return error_set(err, ERROR_CONFLICT, "%s: somebody asks for another image meanwhile", subject);
        if (now->rollout == ROLLOUT_RUNNING || (now->rollout == ROLLOUT_FAILED && back && is_back(now)))
            return true;
        if (now->rollout == ROLLOUT_FAILED && (now->kept || now->marks.reason))
            return did_not_come_up(now, subject, err);
        if (now->rollout == ROLLOUT_FAILED &&
            !target_give_up(target, arena, now, now->reason ? now->reason : "it did not come up", err) &&
            !aim_again(target, arena, attempt++, now, err))
            return false;
    }
    return error_set(err, ERROR_UNAVAILABLE, "%s is still coming up%s%s", subject, now->reason ? ": " : "",
                     now->reason ? now->reason : "");
}

void aim_tell_chain(const struct aim *aim, const struct config_target *where, struct target *target,
                    struct arena *arena, struct workload *now)
{
    struct error ignored = { 0 };
    char id[UUID_SIZE];
    uint8_t raw[16];
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    const struct event tick = { .id = id, .source = "/pushwright/person", .type = TIMER_EVENT };
    const char *to = arena_printf(arena, "unix:%s/run/deploy.sock", aim->state ? aim->state : STATE_DEFAULT);
    if (strcmp(where->cluster, CLUSTER_LOCAL) == 0 && to && target_wait(target, arena, now, SLICE_MS, &ignored))
        (void)post_event(to, &tick, false, &ignored);
}

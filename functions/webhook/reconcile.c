#include "functions/webhook/reconcile.h"

#include "functions/webhook/bases.h"
#include "functions/webhook/builds.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/gate.h"
#include "shared/base/random.h"
#include "shared/record/record.h"

#include <poll.h>
#include <string.h>
#include <strings.h>

enum {
    REMEMBERED = 256,
    PEER_TIMEOUT_MS = 3000,
    RESERVE_MS = RECONCILE_AGAIN_MS + 1500, /* for the second look, and for telling */
    SCRATCH_MAX = 1024 * 1024,
    BEGAN_SLACK_MS = 60 * 1000,
    HOUR_MS = 3600 * 1000,
};

struct reconciler {
    const struct config *config;
    struct gate gate, bases_gate;
    uint64_t asked[REMEMBERED]; /* what this process asked for, where nothing behind it drops what comes twice */
    size_t asked_next;
};

struct reconciler *reconciler_new(const struct config *config, struct error *err)
{
    struct reconciler *reconciler = calloc(1, sizeof *reconciler);
    if (!reconciler) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *reconciler = (struct reconciler){ .config = config, .gate = GATE, .bases_gate = GATE };
    return reconciler;
}

void reconciler_free(struct reconciler *reconciler)
{
    free(reconciler);
}

static enum reconcile_asked asked_by(struct span type)
{
    return span_is(type, TIMER_EVENT)       ? RECONCILE_ALL
           : span_is(type, PUBLISHED_EVENT) ? RECONCILE_BASES
                                            : RECONCILE_NOTHING;
}

enum reconcile_asked reconcile_asked(struct call *call, const struct request *request)
{
    static const char structured[] = "application/cloudevents+json";
    struct span kind = request_header(request, "Content-Type", NULL);
    struct error ignored = { 0 };
    struct event event;
    enum reconcile_asked asked = asked_by(request_header(request, "ce-type", NULL));
    if (asked != RECONCILE_NOTHING || kind.len < sizeof structured - 1 ||
        strncasecmp(kind.data, structured, sizeof structured - 1) != 0 || request->body.len > EVENT_MAX ||
        !event_decode_structured(call_arena(call), request->body, &event, &ignored))
        return asked;
    return asked_by(span_of(event.type));
}

/* --- what is missing ------------------------------------------------------------------------------------------------- */

/* Strings belong to the call. */
struct missing {
    const struct config_build *build;
    const char *ref, *commit, *reason;
    const char *found; /* the record, as state_of() tells it */
    struct moved_base moved;
    struct missing *next;
};

struct comparison {
    struct reconciler *reconciler;
    struct call *call;
    struct registry_options registries;
    struct arena *scratch; /* of one record */
    bool bases_only;
    struct bases *bases;
    struct missing *first, *last;
    size_t count;
    bool cut_short;
};

/* A rule against the refs of its repository. */
struct look {
    struct comparison *comparison;
    const struct config_build *build;
    const struct refs *refs;
    struct store *store;
    const struct ref **wanted;
    size_t wanted_count;
    struct refs *beginning; /* NULL: the rule never built, or that was not asked yet */
    bool beginning_asked;
};

static void look_release(struct look *look)
{
    store_free(look->store);
    refs_free(look->beginning);
    free(look->wanted);
}
AUTO_RELEASE(struct look, look_release)

static const char *short_name(const char *ref)
{
    if (strcmp(ref, CONFIG_INLINE_REF) == 0)
        return ref;
    return ref + (strncmp(ref, "refs/tags/", 10) == 0 ? 10 : 11);
}

static bool is_branch(const char *ref)
{
    return strncmp(ref, "refs/heads/", 11) == 0;
}

static const char *state_of(struct arena *arena, const struct record *record)
{
    return record->outcome == RECORD_NONE
               ? "nothing"
               : arena_printf(arena, "%s %d %lld", record->event, (int)record->outcome, (long long)record->at_ms);
}

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "what is missing takes too much memory");
}

static bool add(struct look *look, const struct ref *ref, const struct record *record, const char *why,
                const struct moved_base *moved, struct error *err)
{
    struct comparison *c = look->comparison;
    struct arena *arena = call_arena(c->call);
    struct missing *missing = arena_take(arena, sizeof *missing);
    if (!missing)
        return out_of_memory(err);
    *missing = (struct missing){
        .build = look->build,
        .ref = arena_dup(arena, span_of(ref->name)),
        .commit = arena_dup(arena, span_of(ref->commit)),
        .found = state_of(arena, record),
        .moved = *moved,
        .reason = arena_printf(arena, "found by reconcile: '%s' %s %.7s, %s", short_name(ref->name),
                               look->build->inline_id ? "is" : "points to", ref->commit, why),
    };
    if (!missing->ref || !missing->commit || !missing->found || !missing->reason)
        return out_of_memory(err);
    if (c->last)
        c->last->next = missing;
    else
        c->first = missing;
    c->last = missing;
    c->count++;
    return true;
}

/* NULL in *why: nothing is missing. */
static const char *why_of_known(struct look *look, const struct ref *ref, const struct record *record)
{
    struct arena *arena = look->comparison->scratch;
    char began[RFC3339_SIZE];
    if (!record_is_about(record, ref->commit) && !record_is_about(record, ref->direct))
        return arena_printf(arena, "the newest build of '%s' is of %.7s", look->build->name, record->commit);
    int64_t age_ms = clock_wall_ms() - record->at_ms;
    bool goes_on = record->outcome == RECORD_RUNNING || record->outcome == RECORD_WAITING;
    if (!goes_on || age_ms < look->build->timeout_s * 1000 + BEGAN_SLACK_MS)
        return NULL;
    rfc3339_format(began, record->at_ms);
    return arena_printf(arena, "and its build began at %s and did not end", began);
}

/* The branch that a rule begins with. */
static bool is_beginning(const struct look *look, const struct ref *ref)
{
    size_t branches = 0;
    bool has_head = false;
    for (size_t i = 0; i < look->wanted_count; i++) {
        const char *name = look->wanted[i]->name;
        branches += is_branch(name);
        has_head = has_head || (look->refs->head && strcmp(name, look->refs->head) == 0);
    }
    return is_branch(ref->name) && (has_head ? strcmp(ref->name, look->refs->head) == 0 : branches == 1);
}

static bool why_of_unknown(struct look *look, const struct ref *ref, const char **why, struct error *err)
{
    struct arena *arena = look->comparison->scratch;
    const char *name = look->build->name;
    *why = look->build->inline_id ? arena_printf(arena, "and build '%s' has built nothing yet", name) : NULL;
    if (*why)
        return true;
    if (!look->beginning_asked && !record_read_first(look->store, name, &look->beginning, err))
        return false;
    look->beginning_asked = true;
    if (!look->beginning) {
        if (is_beginning(look, ref))
            *why = arena_printf(arena, "and build '%s' has built nothing yet", name);
        return true;
    }
    const struct ref *then = refs_find(look->beginning, ref->name);
    if (!then || strcmp(then->direct, ref->direct) != 0)
        *why = arena_printf(arena, "of which build '%s' knows nothing", name);
    return true;
}

static bool look_at(struct look *look, const struct ref *ref, struct error *err)
{
    struct comparison *c = look->comparison;
    struct record record;
    struct moved_base moved = { 0 };
    const char *why = NULL;
    arena_reset(c->scratch);
    if (!record_read(look->store, look->build->name, ref->name, c->scratch, &record, err))
        return false;
    if (look->build->reconcile && !c->bases_only) {
        if (record.outcome != RECORD_NONE)
            why = why_of_known(look, ref, &record);
        else if (!why_of_unknown(look, ref, &why, err))
            return false;
    }
    bool stands = look->build->on_base && (is_branch(ref->name) || look->build->inline_id) &&
                  record_is_about(&record, ref->commit) &&
                  (record.outcome == RECORD_BUILT || record.outcome == RECORD_FAILED);
    if (!why && stands && !bases_compare(c->bases, c->call, look->build, &record, &moved, err))
        return false;
    if (moved.image)
        why = arena_printf(c->scratch, "and its base '%s' is %.19s now", moved.image, moved.digest);
    return !why || add(look, ref, &record, why, &moved, err);
}

/* --- a rule ---------------------------------------------------------------------------------------------------------- */

static bool choose_refs(struct look *look, struct error *err)
{
    struct error failed = { 0 };
    look->wanted = calloc(look->refs->count + 1, sizeof *look->wanted);
    if (!look->wanted)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < look->refs->count; i++) {
        const struct ref *ref = &look->refs->items[i];
        bool wanted = false;
        if (!ref_check(ref->name, &failed))
            continue; /* no ref of git's */
        if (!builds_want(look->build, !is_branch(ref->name), short_name(ref->name), &wanted, err))
            return false;
        if (wanted)
            look->wanted[look->wanted_count++] = ref;
    }
    return true;
}

static size_t random_below(size_t count)
{
    uint32_t number;
    random_bytes((uint8_t *)&number, sizeof number);
    return number % count;
}

static bool has_time(struct comparison *c)
{
    bool has = call_remaining_ms(c->call) > RESERVE_MS && !call_cancelled(c->call) && c->count < RECONCILE_BUILDS_MAX;
    c->cut_short = c->cut_short || !has;
    return has;
}

/* The text of the configuration against what was built of it. */
static bool compare_inline(struct comparison *c, const struct config_build *build, struct error *err)
{
    const struct ref ref = { CONFIG_INLINE_REF, build->inline_id, build->inline_id };
    AUTO(look_release) struct look look = { .comparison = c, .build = build };
    look.store = record_store(build->image, &c->registries, err);
    return look.store && look_at(&look, &ref, err);
}

static bool compare_rule(struct comparison *c, const struct config_build *build, const struct refs *refs,
                         struct error *err)
{
    AUTO(look_release) struct look look = { .comparison = c, .build = build, .refs = refs };
    look.store = record_store(build->image, &c->registries, err);
    if (!look.store || !choose_refs(&look, err))
        return false;
    size_t n = look.wanted_count, most = n < RECONCILE_REFS_MAX ? n : RECONCILE_REFS_MAX;
    size_t from = n > RECONCILE_REFS_MAX ? random_below(n) : 0;
    for (size_t i = 0; i < most && has_time(c); i++)
        if (!look_at(&look, look.wanted[(from + i) % n], err))
            return false;
    return true;
}

/* --- a repository ---------------------------------------------------------------------------------------------------- */

static bool is_compared(const struct comparison *c, const struct config_build *build)
{
    return build->enabled && (build->on_base || (build->reconcile && !c->bases_only));
}

static bool shares_repository(const struct config_build *a, const struct config_build *b)
{
    return a->clone && b->clone && a->source == b->source && strcmp(a->clone, b->clone) == 0;
}

static struct refs *ask_refs(struct comparison *c, const struct config_build *build, struct error *err)
{
    const struct config_source *source = build->source;
    AUTO(secret_free) struct secret *token = NULL;
    if (secret_reference_is_set(&source->token) && !(token = secret_reference_load(&source->token, err)))
        return NULL;
    int64_t left_ms = call_remaining_ms(c->call) - RESERVE_MS;
    const struct refs_options options = {
        .url = build->clone,
        .username = source->username,
        .token = token,
        .ca_file = source->ca_file,
        .timeout_ms = left_ms < PEER_TIMEOUT_MS ? (long)left_ms + 1 : PEER_TIMEOUT_MS,
    };
    return refs_list(&options, err);
}

/* Every rule about the repository of builds[first], which is the first one of them in this order, or the one inline Dockerfile. */
static void compare_repository(struct comparison *c, size_t from, size_t first)
{
    const struct config *config = c->reconciler->config;
    const size_t n = config->build_count;
    const struct config_build *leader = &config->builds[(from + first) % n];
    struct error failed = { 0 };
    AUTO(refs_free) struct refs *refs = leader->clone ? ask_refs(c, leader, &failed) : NULL;
    if (!refs && (leader->clone || !compare_inline(c, leader, &failed)))
        call_log(c->call, "reconcile: build '%s': %s", leader->name, failed.message);
    if (!refs)
        return;
    for (size_t i = first; i < n && has_time(c); i++) {
        const struct config_build *build = &config->builds[(from + i) % n];
        if (!is_compared(c, build) || !shares_repository(build, leader))
            continue;
        if (!compare_rule(c, build, refs, &failed))
            call_log(c->call, "reconcile: build '%s': %s", build->name, failed.message);
    }
}

static bool was_compared(const struct comparison *c, size_t from, size_t at)
{
    const struct config *config = c->reconciler->config;
    const size_t n = config->build_count;
    const struct config_build *build = &config->builds[(from + at) % n];
    for (size_t i = 0; i < at; i++) {
        const struct config_build *before = &config->builds[(from + i) % n];
        if (is_compared(c, before) && shares_repository(before, build))
            return true;
    }
    return false;
}

static void compare_all(struct comparison *c)
{
    const struct config *config = c->reconciler->config;
    const size_t n = config->build_count;
    const size_t from = n > 0 ? random_below(n) : 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_compared(c, &config->builds[(from + i) % n]) || was_compared(c, from, i))
            continue;
        if (!has_time(c))
            return;
        compare_repository(c, from, i);
    }
}

/* --- asking for it --------------------------------------------------------------------------------------------------- */

static bool still_missing(struct comparison *c, const struct missing *missing)
{
    struct error failed = { 0 };
    struct record record;
    AUTO(store_free) struct store *store = record_store(missing->build->image, &c->registries, &failed);
    arena_reset(c->scratch);
    if (!store || !record_read(store, missing->build->name, missing->ref, c->scratch, &record, &failed)) {
        call_log(c->call, "reconcile: build '%s': %s", missing->build->name, failed.message);
        return false;
    }
    const char *now = state_of(c->scratch, &record);
    return now && strcmp(now, missing->found) == 0;
}

static uint64_t hash_of(const struct missing *missing, const char *id)
{
    struct sha256 sha;
    uint8_t hash[SHA256_SIZE];
    uint64_t out;
    sha256_init(&sha);
    sha256_update(&sha, missing->build->name, strlen(missing->build->name) + 1);
    sha256_update(&sha, id, strlen(id));
    sha256_final(&sha, hash);
    memcpy(&out, hash, sizeof out);
    return out;
}

static bool was_asked(const struct reconciler *reconciler, uint64_t hash)
{
    for (size_t i = 0; i < REMEMBERED; i++)
        if (reconciler->asked[i] == hash)
            return true;
    return false;
}

/* Remembered only once it is accepted: what the next hop did not take is asked for the next time. */
static bool ask_for(struct comparison *c, const struct missing *missing, struct error *err)
{
    struct reconciler *reconciler = c->reconciler;
    const struct wanted_build wanted = { missing->ref, missing->commit, missing->reason, missing->moved.image,
                                         missing->moved.digest };
    const char *id =
        arena_printf(call_arena(c->call), "%s %s, found %s, base %s, hour %lld", missing->ref, missing->commit,
                     missing->found, wanted.base ? wanted.base_digest : "", (long long)(clock_wall_ms() / HOUR_MS));
    if (!id)
        return out_of_memory(err);
    uint64_t hash = hash_of(missing, id);
    if (was_asked(reconciler, hash))
        return true;
    call_log(c->call, "build '%s': %s", missing->build->name, missing->reason);
    if (!call_set_parent(c->call, "/pushwright/reconcile", id, err) ||
        !builds_missing(c->call, missing->build, &wanted, err) || !call_flush(c->call, err))
        return false;
    reconciler->asked[reconciler->asked_next++ % REMEMBERED] = hash;
    return true;
}

static bool ask_for_all(struct comparison *c, struct error *err)
{
    if (c->count > 0)
        poll(NULL, 0, RECONCILE_AGAIN_MS);
    for (const struct missing *missing = c->first; missing; missing = missing->next)
        if (!bases_circle(c->bases, c->call, missing->build, &missing->moved) && still_missing(c, missing) &&
            !ask_for(c, missing, err))
            return false;
    return true;
}

static bool compare(struct reconciler *reconciler, struct call *call, bool bases_only, struct error *err)
{
    struct error failed = { 0 };
    AUTO(registry_logins_free) struct registry_logins *logins = config_registry_logins(reconciler->config, &failed);
    AUTO(arena_free) struct arena *scratch = arena_new(SCRATCH_MAX);
    if (!logins || !scratch) {
        call_log(call, "reconcile: %s", logins ? "out of memory" : failed.message);
        return true;
    }
    struct comparison comparison = {
        .reconciler = reconciler, .call = call, .registries = registry_logins_options(logins), .scratch = scratch
    };
    comparison.bases_only = bases_only;
    comparison.registries.timeout_ms = PEER_TIMEOUT_MS;
    AUTO(bases_free) struct bases *bases = comparison.bases = bases_new(&comparison.registries, err);
    if (!bases)
        return false;
    compare_all(&comparison);
    if (comparison.cut_short)
        call_log(call, "reconcile: not everything was compared this time");
    return ask_for_all(&comparison, err);
}

bool reconcile_run(struct reconciler *reconciler, struct call *call, struct error *err)
{
    if (!gate_enter(&reconciler->gate, RECONCILE_PAUSE_MS))
        return true;
    bool good = compare(reconciler, call, false, err);
    gate_leave(&reconciler->gate);
    return good;
}

bool reconcile_bases(struct reconciler *reconciler, struct call *call, struct error *err)
{
    bool any = false;
    for (size_t i = 0; i < reconciler->config->build_count; i++)
        any = any || (reconciler->config->builds[i].enabled && reconciler->config->builds[i].on_base);
    if (!any)
        return true;
    if (!gate_enter(&reconciler->bases_gate, 0))
        return error_set(err, ERROR_BUSY, "bases are being compared already");
    bool good = compare(reconciler, call, true, err);
    gate_leave(&reconciler->bases_gate);
    return good;
}

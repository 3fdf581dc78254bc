#include "functions/build/recall.h"

#include "shared/base/clock.h"

#include <string.h>

enum { RUNNING_SLACK_MS = 60 * 1000, NOTE_MEMORY_MAX = 256 * 1024 };

static bool is_compared(const struct order *order)
{
    return order->is_inline || ((order->is_branch || order->is_tag) && !(order->by_person && order->commit));
}

bool recall_open(struct recall *recall, struct call *call, const struct config_build *rule, const struct order *order,
                 const struct registry_options *registries, struct error *err)
{
    *recall = (struct recall){ .call = call, .rule = rule, .order = order };
    if ((!rule->reconcile && !rule->on_base) || !is_compared(order))
        return true;
    recall->store = record_store(rule->image, registries, err);
    return recall->store != NULL;
}

static void end_noting(struct recall *recall)
{
    if (!recall->noting)
        return;
    pthread_mutex_lock(&recall->lock);
    recall->over = true;
    pthread_cond_signal(&recall->changed);
    pthread_mutex_unlock(&recall->lock);
    pthread_join(recall->noter, NULL);
    pthread_cond_destroy(&recall->changed);
    pthread_mutex_destroy(&recall->lock);
    recall->noting = false;
}

void recall_release(struct recall *recall)
{
    end_noting(recall);
    store_free(recall->store);
}

/* What may go better the next time is an error; else the build is worth more than its record. */
static bool settle(struct recall *recall, bool good, const struct error *failed, struct error *err)
{
    if (good)
        return true;
    if (error_is_temporary(failed)) {
        *err = *failed;
        return false;
    }
    call_log(recall->call, "build '%s' is not remembered: %s", recall->rule->name, failed->message);
    store_free(TAKE(recall->store));
    return true;
}

static const char *why_known(struct recall *recall, const struct record *record)
{
    static const struct {
        enum record_outcome outcome;
        bool of_pushes; /* or only of what reconcile asks for */
        const char *sentence;
    } rows[] = {
        { RECORD_BUILT, true, "is built already" },
        { RECORD_FAILED, false, "could not be built; a new push, or POST /builds/NAME, tries again" },
        { RECORD_SKIPPED, false, "asks for no build" },
    };
    const struct order *order = recall->order;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].outcome == record->outcome && (rows[i].of_pushes || order->by_reconcile))
            return arena_printf(call_arena(recall->call), "%.7s of '%s' %s", record->commit, order->ref,
                                rows[i].sentence);
    }
    return NULL;
}

/* Asked for by another event, and not by a person. */
static bool is_of_another(const struct recall *recall, const struct record *record, const char *commit)
{
    return !recall->order->by_person && record_is_about(record, commit) &&
           strcmp(record->event, call_event(recall->call)->id) != 0;
}

static bool is_running(const struct recall *recall, const struct record *record)
{
    return record->outcome == RECORD_RUNNING &&
           clock_wall_ms() - record->at_ms < recall->rule->timeout_s * 1000 + RUNNING_SLACK_MS;
}

bool recall_look(struct recall *recall, const char *commit, const char **why, struct error *err)
{
    struct error failed = { 0 };
    struct record record;

    *why = NULL;
    if (!recall->store)
        return true;
    if (!record_read(recall->store, recall->rule->name, recall->order->ref, call_arena(recall->call), &record, &failed))
        return settle(recall, false, &failed, err);
    recall->found = record;
    recall->bases = record.bases;
    if (!is_of_another(recall, &record, commit))
        return true;
    if (is_running(recall, &record))
        return error_set(err, ERROR_CONFLICT, "%.7s of '%s' is being built", commit, recall->order->ref);
    if (!recall->order->base || record_stands_on(&record, recall->order->base, recall->order->base_digest))
        *why = why_known(recall, &record);
    return true;
}

/* ---- what it stands on ---- */

static bool add_base(struct bytes *bases, const struct base *base, struct error *err)
{
    const struct reference *reference = &base->reference;
    AUTO(bytes_release) struct bytes name = BYTES(RECORD_BASES_MAX);

    return reference_is_layout(reference) || reference->digest || /* which never move */
           (reference_name(&name, reference, err) &&
            bytes_printf(&name, err, ":%s", reference->tag ? reference->tag : "latest") &&
            record_add_base(bases, name.data, base->image.named, err));
}

static bool keep_bases(struct recall *recall, const struct bytes *bases, struct error *err)
{
    recall->bases = arena_dup(call_arena(recall->call), bytes_span(bases));
    return recall->bases || error_set(err, ERROR_TOO_LARGE, "the bases of the image take too much memory");
}

bool recall_bases(struct recall *recall, const struct built *built, struct error *err)
{
    AUTO(bytes_release) struct bytes bases = BYTES(2 * RECORD_BASES_MAX);
    size_t count;
    struct base *const *items = built_bases(built, &count);

    if (!recall->store || !recall->rule->on_base)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (!add_base(&bases, items[i], err))
            return false;
    }
    return keep_bases(recall, &bases, err);
}

/* A build on the moved base was tried, and failed: the same move does not ask for it again. */
static bool note_tried(struct recall *recall, struct error *err)
{
    AUTO(bytes_release) struct bytes bases = BYTES(2 * RECORD_BASES_MAX);
    struct span rest = span_of(recall->bases), image, digest;

    if (!recall->order->base || !record_add_base(&bases, recall->order->base, recall->order->base_digest, err))
        return !recall->order->base;
    while (recall->bases && record_next_base(&rest, &image, &digest)) {
        if (!span_is(image, recall->order->base) &&
            !bytes_printf(&bases, err, "\n%.*s %.*s", SPAN_ARGS(image), SPAN_ARGS(digest)))
            return false;
    }
    return keep_bases(recall, &bases, err);
}

static bool write_record(struct recall *recall, const char *commit, enum record_outcome outcome, struct error *err)
{
    const struct order *order = recall->order;
    const struct record record = {
        .outcome = outcome,
        .commit = commit,
        .asked = order->commit && strcmp(order->commit, commit) != 0 ? order->commit : NULL,
        .event = call_event(recall->call)->id,
        .sequence = order->sequence,
        .at_ms = clock_wall_ms(),
        .bases = recall->bases,
    };

    return record_write(recall->store, recall->rule->name, order->ref, &record,
                        recall->found.outcome != RECORD_NONE || recall->noted, err);
}

static bool note_first(struct recall *recall, const struct git_remote_options *remote, struct error *err)
{
    const struct refs_options options = {
        .url = remote->url, .username = remote->username, .token = remote->token, .ca_file = remote->ca_file
    };
    bool has;

    if (recall->order->is_inline)
        return true;
    if (!record_has_first(recall->store, recall->rule->name, &has, err))
        return false;
    if (has)
        return true;
    AUTO(refs_free) struct refs *refs = refs_list(&options, err);
    return refs && record_write_first(recall->store, recall->rule->name, refs, err);
}

/* ---- that it runs ---- */

/* False: the build has ended before. */
static bool wait_to_note(struct recall *recall)
{
    struct timespec until;
    int waited = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RECALL_NOTE_MS / 1000;
    pthread_mutex_lock(&recall->lock);
    while (!recall->over && waited == 0)
        waited = pthread_cond_timedwait(&recall->changed, &recall->lock, &until);
    bool goes_on = !recall->over;
    pthread_mutex_unlock(&recall->lock);
    return goes_on;
}

static bool is_as_found(const struct recall *recall, const struct record *record)
{
    return record->outcome == recall->found.outcome && record->at_ms == recall->found.at_ms;
}

/* What somebody else has written since is not written over: it is of a newer push, or of a build of this commit that came first. That this
 * one cannot be noted does not matter: how it ends will be, or tell why not. */
static void *note_running(void *opaque)
{
    struct recall *recall = opaque;
    AUTO(arena_free) struct arena *arena = wait_to_note(recall) ? arena_new(NOTE_MEMORY_MAX) : NULL;
    struct error ignored;
    struct record now;

    if (!arena || !record_read(recall->store, recall->rule->name, recall->order->ref, arena, &now, &ignored))
        return NULL;
    if (is_as_found(recall, &now))
        recall->noted = write_record(recall, recall->commit, RECORD_RUNNING, &ignored);
    else
        atomic_store(&recall->gives_way, is_of_another(recall, &now, recall->commit) && is_running(recall, &now));
    return NULL;
}

static void begin_noting(struct recall *recall)
{
    pthread_condattr_t clock;

    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&recall->lock, NULL);
    pthread_cond_init(&recall->changed, &clock);
    pthread_condattr_destroy(&clock);
    recall->noting = pthread_create(&recall->noter, NULL, note_running, recall) == 0;
}

bool recall_gives_way(const struct recall *recall)
{
    return atomic_load(&recall->gives_way);
}

bool recall_begin(struct recall *recall, const char *commit, const struct git_remote_options *remote, struct error *err)
{
    struct error failed = { 0 };

    if (!recall->store)
        return true;
    snprintf(recall->commit, sizeof(recall->commit), "%s", commit);
    recall->begun = recall->found.outcome != RECORD_NONE || note_first(recall, remote, &failed);
    if (!recall->begun)
        return settle(recall, false, &failed, err);
    begin_noting(recall);
    return true;
}

bool recall_end(struct recall *recall, const char *commit, enum record_outcome outcome, struct error *err)
{
    struct error failed = { 0 };

    end_noting(recall);
    if (!recall->store || !*commit || (!recall->begun && outcome != RECORD_FAILED) ||
        (recall_gives_way(recall) && outcome != RECORD_BUILT))
        return true;
    bool good = outcome != RECORD_FAILED || note_tried(recall, &failed);
    return settle(recall, good && write_record(recall, commit, outcome, &failed), &failed, err);
}

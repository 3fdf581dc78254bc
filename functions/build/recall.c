#include "functions/build/recall.h"

#include "shared/base/clock.h"

#include <string.h>

enum { RUNNING_SLACK_MS = 60 * 1000 };

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

void recall_release(struct recall *recall)
{
    if (recall->writing)
        pthread_join(recall->writer, NULL);
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

bool recall_look(struct recall *recall, const char *commit, const char **why, struct error *err)
{
    struct error failed = { 0 };
    struct record record;

    *why = NULL;
    if (!recall->store)
        return true;
    if (!record_read(recall->store, recall->rule->name, recall->order->ref, call_arena(recall->call), &record, &failed))
        return settle(recall, false, &failed, err);
    recall->known = record.outcome != RECORD_NONE;
    recall->bases = record.bases;
    if (recall->order->by_person || !record_is_about(&record, commit) ||
        strcmp(record.event, call_event(recall->call)->id) == 0)
        return true;
    int64_t age_ms = clock_wall_ms() - record.at_ms;
    if (record.outcome == RECORD_RUNNING && age_ms < recall->rule->timeout_s * 1000 + RUNNING_SLACK_MS)
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

    return record_write(recall->store, recall->rule->name, order->ref, &record, recall->known || recall->begun, err);
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

static void *write_running(void *opaque)
{
    struct recall *recall = opaque;

    recall->begun = write_record(recall, recall->commit, RECORD_RUNNING, &recall->failed);
    return NULL;
}

static bool wait_for_writer(struct recall *recall, struct error *err)
{
    if (!recall->writing)
        return true;
    pthread_join(recall->writer, NULL);
    recall->writing = false;
    return settle(recall, recall->begun, &recall->failed, err);
}

bool recall_begin(struct recall *recall, const char *commit, const struct git_remote_options *remote, struct error *err)
{
    struct error failed = { 0 };

    if (!recall->store)
        return true;
    snprintf(recall->commit, sizeof(recall->commit), "%s", commit);
    recall->writing = recall->known && pthread_create(&recall->writer, NULL, write_running, recall) == 0;
    if (recall->writing)
        return true;
    bool good =
        (recall->known || note_first(recall, remote, &failed)) && write_record(recall, commit, RECORD_RUNNING, &failed);
    recall->begun = good;
    return settle(recall, good, &failed, err);
}

bool recall_end(struct recall *recall, const char *commit, enum record_outcome outcome, struct error *err)
{
    struct error failed = { 0 };

    if (!wait_for_writer(recall, err))
        return false;
    if (!recall->store || !*commit || (!recall->begun && outcome != RECORD_FAILED))
        return true;
    bool good = outcome != RECORD_FAILED || note_tried(recall, &failed);
    return settle(recall, good && write_record(recall, commit, outcome, &failed), &failed, err);
}

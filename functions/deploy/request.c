#include "functions/deploy/request.h"

#include "functions/deploy/strategy.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/target/wish.h"

#include <string.h>

void request_release(struct request_facts *request)
{
    reference_release(&request->reference);
}

/* The event names a trigger and a target of it; what may be done is read from our own configuration. */
static bool find_rule(const struct config *config, const struct json *custom, struct request_facts *out,
                      struct error *err)
{
    const char *name = json_get_string(custom, "trigger");
    int64_t index = -1;
    if (!name || !json_integer(json_get(custom, "target"), &index) || index < 0)
        return error_set(err, ERROR_INVALID, "the event names no trigger and target");
    out->trigger = config_find_trigger(config, name);
    if (!out->trigger || (size_t)index >= out->trigger->target_count)
        return error_set(err, ERROR_CONFLICT, "the configuration has no trigger '%s' with a target %lld (now)", name,
                         (long long)index);
    out->index = (size_t)index;
    out->where = &out->trigger->targets[index];
    return true;
}

static bool check_image(const struct json *custom, struct request_facts *out, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes reason = BYTES(TEXT_MAX);
    bool accepted = false;
    out->image = json_get_string(custom, "image");
    if (!out->image || !reference_parse(span_of(out->image), &out->reference, err) ||
        !reference_name(&name, &out->reference, err))
        return out->image ? error_wrap(err, "image") : error_set(err, ERROR_INVALID, "the event names no image");
    out->digest = out->reference.digest;
    out->tag = out->reference.tag;
    if (!out->digest || !out->tag)
        return error_set(err, ERROR_INVALID, "image '%s' needs a tag and a digest", out->image);
    if (strcmp(bytes_text(&name), out->trigger->image) != 0)
        return error_set(err, ERROR_INVALID, "trigger '%s' is about '%s', not about '%s'", out->trigger->name,
                         out->trigger->image, bytes_text(&name));
    if (!condition_accepts(out->trigger->when, span_of(out->tag), &accepted, &reason, err))
        return error_wrap(err, "trigger '%s'", out->trigger->name);
    return accepted || error_set(err, ERROR_INVALID, "trigger '%s' does not want this: %s", out->trigger->name,
                                 bytes_text(&reason));
}

/* The digits that count: none for what is no number. */
static struct span digits_of(const char *text)
{
    struct span digits = span_of(text);
    for (size_t i = 0; i < digits.len; i++)
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return (struct span){ NULL, 0 };
    while (digits.len > 1 && digits.data[0] == '0') {
        digits.data++;
        digits.len--;
    }
    return digits;
}

int sequence_compare(const char *a, const char *b)
{
    struct span left = digits_of(a), right = digits_of(b);
    if (left.len != right.len)
        return left.len < right.len ? -1 : 1;
    return left.len == 0 ? 0 : memcmp(left.data, right.data, left.len);
}

/* Without a push, the event's time orders it, in the same unit: else a late redelivery would bring an old image back. */
static bool read_sequence(struct call *call, const struct json *custom, struct request_facts *out, struct error *err)
{
    int64_t time_ms = 0;
    out->sequence = json_get_string(custom, "sequence");
    if (out->sequence)
        return digits_of(out->sequence).len > 0 || error_set(err, ERROR_INVALID, "sequence: want a decimal number");
    (void)rfc3339_parse(span_of(call_event(call)->time), &time_ms); /* without a time: the oldest */
    out->sequence = arena_printf(call_arena(call), "%015lld", (long long)time_ms);
    return out->sequence || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool name_subject(struct call *call, struct request_facts *out, struct error *err)
{
    out->subject =
        arena_printf(call_arena(call), "%s/%s/%s", out->where->cluster, out->where->namespace, out->where->workload);
    return out->subject || error_set(err, ERROR_INTERNAL, "out of memory");
}

/* Who, or only that somebody did. */
static const char *read_person(const struct json *value)
{
    const char *name = json_string(value);
    return name && *name ? name : json_boolean(value, false) ? "somebody" : NULL;
}

bool request_read(struct call *call, const struct config *config, struct request_facts *out, struct error *err)
{
    const struct json *data = call_data(call, err);
    const struct json *custom = json_get(data, "customData");
    if (!data || !find_rule(config, custom, out, err) || !check_image(custom, out, err) ||
        !read_sequence(call, custom, out, err))
        return false;
    out->commit = json_get_string(custom, "commit");
    out->person = read_person(json_get(custom, "person"));
    out->ref = json_get_string(custom, "ref");
    out->build = json_get_string(custom, "build");
    out->undo = json_get_string(custom, "undo");
    out->event_id = call_event(call)->id;
    out->source = call_event(call)->source;
    out->chain = call_chain_id(call);
    return name_subject(call, out, err);
}

bool request_of_workload(struct call *call, const struct workload *now, struct request_facts *out, struct error *err)
{
    if (!reference_parse(span_of(now->image), &out->reference, err))
        return false;
    out->image = now->image;
    out->digest = out->reference.digest;
    out->tag = out->reference.tag;
    out->sequence = now->marks.sequence;
    out->commit = now->marks.commit;
    out->person = now->marks.person;
    out->event_id = now->marks.event;
    out->source = now->marks.source;
    out->chain = now->marks.chain;
    if (!out->digest)
        return error_set(err, ERROR_INVALID, "'%s' has no digest", now->image);
    return name_subject(call, out, err);
}

const char *request_park(struct call *call, const struct request_facts *request, struct error *err)
{
    struct bytes text = ARENA_BYTES(call_arena(call), TEXT_MAX);
    const struct {
        const char *name, *value;
    } rows[] = {
        { "rule", request_rule(call, request) }, { "image", request->image },   { "sequence", request->sequence },
        { "commit", request->commit },           { "ref", request->ref },       { "build", request->build },
        { "event", request->event_id },          { "source", request->source }, { "chain", request->chain },
    };
    struct json_writer w = json_writer_on(&text);
    json_open_object(&w, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_add_string(&w, rows[i].name, rows[i].value);
    json_close_object(&w);
    return json_writer_end(&w, err) ? bytes_text(&text) : NULL;
}

bool request_read_parked(struct call *call, const char *text, struct request_facts *out, struct error *err)
{
    const struct json *parked = json_parse(call_arena(call), span_of(text), err);
    const char *rule = json_get_string(parked, "rule"), *ours = request_rule(call, out);
    if (!parked || !rule || !ours || strcmp(rule, ours) != 0)
        return parked ? error_set(err, ERROR_NOT_FOUND, "another rule's image waits") : false;
    if (!check_image(parked, out, err))
        return false;
    out->sequence = json_get_string(parked, "sequence");
    out->commit = json_get_string(parked, "commit");
    out->ref = json_get_string(parked, "ref");
    out->build = json_get_string(parked, "build");
    out->event_id = json_get_string(parked, "event");
    out->source = json_get_string(parked, "source");
    out->chain = json_get_string(parked, "chain");
    if (!out->sequence || !out->event_id || !out->source || !out->chain)
        return error_set(err, ERROR_INVALID, "what waits for the end of a freeze is not complete");
    return name_subject(call, out, err);
}

const char *request_rule(struct call *call, const struct request_facts *request)
{
    return arena_printf(call_arena(call), "%s %zu", request->trigger->name, request->index);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Whatever stands in an object that somebody else wrote has a name, too. */
static bool purl_of(const char *image, struct bytes *out, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    struct error unnamed = { 0 };
    if (reference_parse(span_of(image), &reference, &unnamed))
        return reference_purl(out, &reference, reference.digest, reference.tag, err);
    return bytes_append_text(out, "pkg:generic/", err) && percent_encode(out, span_of(image), "", err);
}

static void add_place(struct json_writer *w, const struct request_facts *request)
{
    json_open_object(w, "environment");
    json_add_string(w, "id", request->where->cluster);
    json_close_object(w);
}

static bool emit(struct call *call, const struct request_facts *request, const char *type, const struct bytes *content,
                 const struct bytes *custom, struct error *err)
{
    const struct attribute attributes[] = {
        { .name = "envname", .value = request->where->cluster },
        { .name = "svcname", .value = request->where->workload },
        { .name = "imagedigest", .value = request->digest },
    };
    const struct draft draft = {
        .type = type,
        .subject = request->subject,
        .content = bytes_span(content),
        .custom = bytes_span(custom),
        .rule = request->trigger->name,
        .target = arena_printf(call_arena(call), "%zu %s", request->index, request->digest),
        .attributes = attributes,
        .attribute_count = sizeof attributes / sizeof attributes[0],
    };
    return call_emit(call, &draft, err);
}

/* {"environment": {...}, "artifactId": purl of `image`} */
static bool write_content(struct bytes *out, const struct request_facts *request, const char *image, struct error *err)
{
    AUTO(bytes_release) struct bytes purl = BYTES(TEXT_MAX);
    if (!purl_of(image, &purl, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    add_place(&w, request);
    json_add_string(&w, "artifactId", bytes_text(&purl));
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_success(struct bytes *out, const struct request_facts *request, const struct workload *now,
                          int64_t duration_ms, struct error *err)
{
    AUTO(bytes_release) struct bytes previous = BYTES(TEXT_MAX);
    if (now->marks.previous_image && !purl_of(now->marks.previous_image, &previous, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "trigger", request->trigger->name);
    json_add_string(&w, "image", request->image);
    json_add_string(&w, "previousArtifactId", previous.len > 0 ? bytes_text(&previous) : NULL);
    json_add_integer(&w, "generation", now->generation);
    json_add_string(&w, "commit", request->commit);
    json_add_string(&w, "sequence", request->sequence);
    json_add_string(&w, "person", request->person);
    json_add_string(&w, "url", now->url);
    json_add_string(&w, "note", now->reason);
    if (duration_ms >= 0)
        json_add_integer(&w, "durationMs", duration_ms);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

bool tell_success(struct call *call, const struct request_facts *request, const struct workload *now,
                  int64_t duration_ms, struct error *err)
{
    AUTO(bytes_release) struct bytes content = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes custom = BYTES(TEXT_MAX);
    return write_content(&content, request, request->image, err) &&
           write_success(&custom, request, now, duration_ms, err) &&
           emit(call, request,
                now->marks.previous_image ? "dev.cdevents.service.upgraded.0.3.0"
                                          : "dev.cdevents.service.deployed.0.3.0",
                &content, &custom, err);
}

static bool write_incident(struct bytes *out, const struct request_facts *request, const char *reason,
                           struct error *err)
{
    AUTO(bytes_release) struct bytes purl = BYTES(TEXT_MAX);
    if (!purl_of(request->image, &purl, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    add_place(&w, request);
    json_add_string(&w, "description", reason);
    json_open_object(&w, "service");
    json_add_string(&w, "id", request->subject);
    json_close_object(&w);
    json_add_string(&w, "artifactId", bytes_text(&purl));
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_failed(struct bytes *out, const struct request_facts *request, const char *reason, struct error *err)
{
    AUTO(bytes_release) struct bytes purl = BYTES(TEXT_MAX);
    if (!purl_of(request->image, &purl, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "trigger", request->trigger->name);
    json_add_string(&w, "image", request->image);
    json_add_string(&w, "failedArtifactId", bytes_text(&purl));
    json_add_string(&w, "reason", reason);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

bool tell_failure(struct call *call, const struct request_facts *request, const struct workload *now, struct error *err)
{
    AUTO(bytes_release) struct bytes incident = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes stays = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes custom = BYTES(TEXT_MAX);
    const char *reason = now->reason ? now->reason : "it did not come up";
    bool decided = reason_is_decided(reason);
    if ((!decided && !strategy_take_back(call, request, reason, err)) ||
        !write_incident(&incident, request, reason, err) || !write_failed(&custom, request, reason, err) ||
        (!decided && !emit(call, request, "dev.cdevents.incident.detected.0.3.0", &incident, &custom, err)))
        return false;
    call_log(call, "%s %s: %s", request->image, decided ? "is not to run" : "did not come up", reason);
    if (!now->running_image)
        return true;
    return write_content(&stays, request, now->running_image, err) &&
           emit(call, request, "dev.cdevents.service.rolledback.0.3.0", &stays, &custom, err);
}

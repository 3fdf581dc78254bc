#include "functions/build/logbook.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"
#include "shared/config/template.h"
#include "shared/http/client.h"
#include "shared/oci/descriptor.h"
#include "shared/oci/referrers.h"
#include "shared/record/record.h"

#include <pthread.h>
#include <string.h>

enum {
    LINE_BYTES = 64 * 1024,
    BURST_LINES = 4000, /* logged at once; and from then on: */
    LINES_A_SECOND = 500,
    URL_BYTES = 8192,
    PUT_TIMEOUT_MS = 60 * 1000,
    GAP_BYTES = 128
};

struct logbook {
    struct call *call;
    pthread_mutex_t lock; /* of what follows */
    struct bytes head;
    char *tail; /* a ring of LOGBOOK_TAIL bytes */
    uint64_t tail_written;
    int64_t allowed, at_ms; /* lines that may be logged, as of then */
    uint64_t left_out;
};

struct logbook *logbook_new(struct call *call, struct error *err)
{
    AUTO(logbook_free) struct logbook *logbook = calloc(1, sizeof(*logbook));

    if (logbook && pthread_mutex_init(&logbook->lock, NULL) == 0) {
        logbook->call = call;
        logbook->head = BYTES(LOGBOOK_HEAD);
        logbook->allowed = BURST_LINES;
        logbook->at_ms = clock_monotonic_ms();
        return TAKE(logbook);
    }
    error_set(err, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void logbook_free(struct logbook *logbook)
{
    if (!logbook)
        return;
    bytes_release(&logbook->head);
    free(logbook->tail);
    pthread_mutex_destroy(&logbook->lock);
    free(logbook);
}

/* ---- lines ---- */

/* What does not fit into the head any more goes to the ring. */
static void keep(struct logbook *logbook, const char *text, size_t len)
{
    struct error ignored;
    size_t room = LOGBOOK_HEAD - logbook->head.len, first = len < room ? len : room;

    if (!bytes_append(&logbook->head, text, first, &ignored))
        return;
    if (first < len && !logbook->tail)
        logbook->tail = malloc(LOGBOOK_TAIL);
    for (size_t i = first; logbook->tail && i < len; i++)
        logbook->tail[logbook->tail_written++ % LOGBOOK_TAIL] = text[i];
}

static bool may_log(struct logbook *logbook)
{
    int64_t now = clock_monotonic_ms();
    int64_t more = (now - logbook->at_ms) * LINES_A_SECOND / 1000;

    if (more > 0) {
        logbook->at_ms = now;
        logbook->allowed = logbook->allowed + more > BURST_LINES ? BURST_LINES : logbook->allowed + more;
    }
    return logbook->allowed-- > 0 || (logbook->allowed = 0);
}

static void tell_left_out(struct logbook *logbook)
{
    if (logbook->left_out > 0)
        call_log(logbook->call, "%llu lines of the build are not logged: they came too fast",
                 (unsigned long long)logbook->left_out);
    logbook->left_out = 0;
}

void logbook_say(struct logbook *logbook, const char *line)
{
    pthread_mutex_lock(&logbook->lock);
    keep(logbook, line, strlen(line));
    keep(logbook, "\n", 1);
    if (may_log(logbook)) {
        tell_left_out(logbook);
        call_log(logbook->call, "%s", line);
    } else {
        logbook->left_out++;
    }
    pthread_mutex_unlock(&logbook->lock);
}

void logbook_event(void *context, const struct progress_event *event)
{
    AUTO(bytes_release) struct bytes line = BYTES(LINE_BYTES);
    struct error ignored;

    if (progress_line(event, &line, &ignored))
        logbook_say(context, line.data);
}

static bool text_of(const struct logbook *logbook, struct bytes *out, struct error *err)
{
    uint64_t written = logbook->tail_written, at = written % LOGBOOK_TAIL;

    if (!bytes_append_span(out, bytes_span(&logbook->head), err))
        return false;
    if (written <= LOGBOOK_TAIL)
        return written == 0 || bytes_append(out, logbook->tail, written, err);
    return bytes_printf(out, err, "\n[%llu bytes are left out]\n", (unsigned long long)(written - LOGBOOK_TAIL)) &&
           bytes_append(out, logbook->tail + at, LOGBOOK_TAIL - at, err) && bytes_append(out, logbook->tail, at, err);
}

/* ---- in the registry ---- */

static bool address_of(const struct logbook *logbook, const struct logbook_place *place, const char *digest,
                       const char **address, struct error *err)
{
    *address = arena_printf(call_arena(logbook->call), "%s@%s", place->rule->image, digest);
    return *address || error_set(err, ERROR_INTERNAL, "out of memory");
}

/* The tag of a rule and ref, as shared/record makes those of its own. */
static void failed_tag(const struct logbook_place *place, char out[static 128])
{
    char hash[SHA256_HEX_SIZE];
    struct sha256 sha;
    uint8_t digest[SHA256_SIZE];

    sha256_init(&sha);
    sha256_update(&sha, place->rule->name, strlen(place->rule->name) + 1);
    sha256_update(&sha, place->order->ref, strlen(place->order->ref));
    sha256_final(&sha, digest);
    hex_encode(hash, digest, sizeof(digest));
    snprintf(out, 128, RECORD_TAG_PREFIX "log-%.32s", hash);
}

static bool put_failed(struct store *store, const struct logbook_place *place, struct span text,
                       const struct referrer_annotation *annotations, size_t count, struct descriptor *out,
                       struct error *err)
{
    const struct descriptor empty = descriptor_of(MEDIA_OCI_EMPTY, SPAN("{}")),
                            blob = descriptor_of("text/plain", text);
    AUTO(bytes_release) struct bytes manifest = BYTES(STORE_MANIFEST_MAX);
    struct json_writer w = json_writer_on(&manifest);
    char tag[128];

    failed_tag(place, tag);
    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_MANIFEST);
    json_add_string(&w, "artifactType", LOGBOOK_TYPE);
    descriptor_write(&w, "config", &empty);
    json_open_array(&w, "layers");
    descriptor_write(&w, NULL, &blob);
    json_close_array(&w);
    json_open_object(&w, "annotations");
    for (size_t i = 0; i < count; i++)
        json_add_string(&w, annotations[i].key, annotations[i].value);
    json_close_object(&w);
    json_close_object(&w);
    return json_writer_end(&w, err) && store_put_blob(store, &empty, SPAN("{}"), err) &&
           store_put_blob(store, &blob, text, err) &&
           store_put_manifest(store, tag, MEDIA_OCI_MANIFEST, bytes_span(&manifest), out, err);
}

static bool keep_in_registry(struct logbook *logbook, const struct logbook_place *place, struct span text,
                             const char **address, struct error *err)
{
    AUTO(store_free) struct store *store = record_store(place->rule->image, place->registries, err);
    char created[RFC3339_SIZE];
    const struct referrer_annotation annotations[] = {
        { "dev.pushwright.build", place->rule->name },
        { "dev.pushwright.ref", place->order->ref },
        { "org.opencontainers.image.created", created },
        { "org.opencontainers.image.revision", place->commit ? place->commit : "" },
    };
    const size_t count = sizeof(annotations) / sizeof(annotations[0]);
    const struct referrer_blob blob = { "text/plain", text };
    const struct referrer_new referrer = { LOGBOOK_TYPE, &blob, 1, annotations, count };
    struct descriptor kept;

    rfc3339_format(created, clock_wall_ms());
    if (!store)
        return false;
    bool good = place->image ? oci_referrers_push(store, place->image, &referrer, &kept, err)
                             : put_failed(store, place, text, annotations, count, &kept, err);
    return good && address_of(logbook, place, kept.digest, address, err);
}

/* ---- at a URL ---- */

/* Names that somebody else chose become one part of the path, whatever they hold. */
static bool expand_url(const struct logbook_place *place, struct bytes *out, struct error *err)
{
    struct template_values values = order_values(place->order, place->commit ? place->commit : "");
    struct span *const named[] = { &values.branch, &values.tag, &values.other, &values.build };
    AUTO(bytes_release) struct bytes branch = BYTES(URL_BYTES), tag = BYTES(URL_BYTES), other = BYTES(URL_BYTES);
    AUTO(bytes_release) struct bytes build = BYTES(URL_BYTES);
    struct bytes *const encoded[] = { &branch, &tag, &other, &build };

    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (!named[i]->data)
            continue;
        if (!percent_encode(encoded[i], *named[i], "", err))
            return false;
        *named[i] = bytes_span(encoded[i]);
    }
    return template_expand(out, span_of(place->rule->log.url), &values, err);
}

static bool authorize(const struct logbook_place *place, struct bytes *out, struct error *err)
{
    if (!secret_reference_is_set(&place->rule->log.token))
        return true;
    AUTO(secret_free) struct secret *token = secret_reference_load(&place->rule->log.token, err);
    return token && bytes_append_text(out, "Bearer ", err) && bytes_append_span(out, secret_reveal(token), err);
}

static bool keep_at_url(struct logbook *logbook, const struct logbook_place *place, struct span text,
                        const char **address, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(URL_BYTES);
    AUTO(bytes_wipe) struct bytes authorization = BYTES(2 * SECRET_MAX);
    AUTO(http_client_free) struct http_client *client = http_client_new(NULL, err);
    AUTO(http_response_release) struct http_response response = { 0 };

    if (!client || !expand_url(place, &url, err) || !authorize(place, &authorization, err))
        return false;
    const struct http_header headers[] = { { "Content-Type", "text/plain; charset=utf-8" },
                                           { "Authorization", bytes_text(&authorization) } };
    const struct http_request request = { .method = "PUT",
                                          .url = url.data,
                                          .headers = headers,
                                          .header_count = authorization.len > 0 ? 2 : 1,
                                          .body = text,
                                          .timeout_ms = PUT_TIMEOUT_MS };
    if (!http_call(client, &request, &response, err))
        return false;
    if (response.status >= 300)
        return http_status_error(&request, &response, err);
    *address = arena_dup(call_arena(logbook->call), bytes_span(&url));
    return *address || error_set(err, ERROR_INTERNAL, "out of memory");
}

const char *logbook_keep(struct logbook *logbook, const struct logbook_place *place)
{
    const struct config_log *how = &place->rule->log;
    AUTO(bytes_release) struct bytes text = BYTES(LOGBOOK_HEAD + LOGBOOK_TAIL + GAP_BYTES);
    struct error failed = { 0 };
    const char *address = NULL;

    pthread_mutex_lock(&logbook->lock);
    tell_left_out(logbook);
    bool good = !(how->registry || how->url) || text_of(logbook, &text, &failed);
    pthread_mutex_unlock(&logbook->lock);
    if (good && how->registry)
        good = keep_in_registry(logbook, place, bytes_span(&text), &address, &failed);
    if (good && how->url)
        good = keep_at_url(logbook, place, bytes_span(&text), &address, &failed);
    if (!good)
        call_log(logbook->call, "the log of build '%s' is not kept: %s", place->rule->name, failed.message);
    return address;
}

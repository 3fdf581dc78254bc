/* Writing to a registry: OCI distribution-spec 1.1, "Push". A blob is one POST, which says where to, and one PUT
 * with all of it; a large one goes there in parts before (registry_parts.c). */
#include "shared/oci/registry.h"
#include "shared/oci/registry_token.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A blob up to this size is not asked for before it is uploaded: the POST that begins the upload asks in passing, by
 * mounting it from its own repository. A larger one is worth a request of its own, since not every registry answers
 * that. */
enum { ASK_BY_MOUNT_MAX = 1024 * 1024 };

/* A blob up to this size is not asked for at all when it is said to be new: sending it costs as much as asking. */
enum { SEND_UNASKED_MAX = 64 * 1024 };

/* So many blobs are not sent again by the same store: what several statements have in common, say. */
enum { SENT_MAX = 16 };

/* A blob up to this size goes in one request. */
enum { PART_SIZE = 32 * 1024 * 1024 };

/* How long a registry may be silent over a whole blob: it may be copying it to where it stays. */
enum { SETTLE_MS = 3 * 60 * 1000 };

static bool post_upload(struct registry *registry, const char *query, struct http_response *response, struct error *err)
{
    AUTO(bytes_release) struct bytes rest = BYTES(WIRE_URL_MAX);
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    if (!bytes_printf(&rest, err, "uploads/%s", query) || !wire_url(registry, &url, err, "blobs", bytes_text(&rest)))
        return false;
    const struct http_request request = {
        .method = "POST",
        .url = bytes_text(&url),
        .timeout_ms = wire_short_ms(registry),
    };
    if (!wire_send(registry, &request, response, err))
        return false;
    return response->status == 201 || response->status == 202 || wire_status_error(&request, response, err);
}

static bool post_mount(struct registry *registry, const char *digest, const char *from, struct http_response *response,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes query = BYTES(WIRE_URL_MAX);
    return bytes_printf(&query, err, "?mount=%s&from=%s", digest, from) &&
           post_upload(registry, bytes_text(&query), response, err);
}

/* An upload that was begun and will not be finished is taken back, so that nothing waits at the registry for its
 * cleaning. */
static void cancel_upload(struct registry *registry, const struct http_response *begun)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    struct error ignored;
    bool foreign;
    if (!wire_location(registry, begun, &url, &foreign, &ignored) || foreign)
        return;
    const struct http_request request = {
        .method = "DELETE",
        .url = bytes_text(&url),
        .timeout_ms = wire_short_ms(registry),
    };
    (void)wire_send(registry, &request, &response, &ignored);
}

/* ---- mounting ---- */

struct mount_attempt {
    const struct descriptor *blob;
    const char *from;
    bool done;
};

/* Registries answer a mount that they don't do in many ways; only a busy or broken one is worth another try. */
static bool try_mount(struct registry *registry, void *context, bool *final, struct error *err)
{
    (void) final;
    struct mount_attempt *a = context;
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    struct error why = { .kind = ERROR_NONE };
    bool answered = token_want_mount(registry, a->from, &why) && !registry->mounts_refused &&
                    post_mount(registry, a->blob->digest, a->from, &response, &why);
    if (!answered && error_is_temporary(&why)) {
        *err = why;
        return false;
    }
    a->done = answered && response.status == 201;
    if (answered && !a->done)
        cancel_upload(registry, &response);
    return true;
}

static bool will_mount(void *self, const struct reference *from, struct error *err)
{
    const struct registry *registry = self;
    bool same = !reference_is_layout(from) && strcmp(from->registry, registry->host) == 0;
    return !same || token_want_mount(self, from->repository, err);
}

static bool mount_blob(void *self, const struct descriptor *blob, const struct reference *from, bool *done,
                       struct error *err)
{
    struct registry *registry = self;
    if (reference_is_layout(from) || strcmp(from->registry, registry->host) != 0) {
        *done = false;
        return registry_backend.has_blob(self, blob->digest, done, err);
    }
    token_want_push(registry);
    struct mount_attempt attempt = { .blob = blob, .from = from->repository };
    if (!wire_retry(registry, try_mount, &attempt, err))
        return false;
    *done = attempt.done;
    return true;
}

/* ---- uploading ---- */

struct upload_attempt {
    const struct descriptor *blob;
    const struct blob_source *source;
    int tries;
    bool exhausted; /* enough was tried inside */
};

static void take_back(struct registry *registry)
{
    if (registry->begun.status != 0)
        cancel_upload(registry, &registry->begun);
    http_response_release(&registry->begun);
}

static bool begin_ahead(void *self, struct error *err)
{
    struct registry *registry = self;
    if (registry->begun.status != 0)
        return true;
    token_want_push(registry);
    registry->take_back = take_back;
    bool begun = post_upload(registry, "", &registry->begun, err);
    if (!begun)
        http_response_release(&registry->begun);
    return begun;
}

/* What was begun before, for a blob that is worth no question. */
static bool take_begun(struct registry *registry, const struct descriptor *blob, struct http_response *out)
{
    if (registry->begun.status == 0 || blob->size > SEND_UNASKED_MAX)
        return false;
    *out = registry->begun;
    registry->begun = (struct http_response){ .status = 0 };
    return true;
}

/* POST; *done when the registry says that it has the blob. */
static bool begin_upload(struct registry *registry, const struct descriptor *blob, struct http_response *response,
                         bool *done, struct error *err)
{
    struct error why = { .kind = ERROR_NONE };
    bool begun =
        blob->size <= ASK_BY_MOUNT_MAX && post_mount(registry, blob->digest, registry->repository, response, &why);
    if (!begun && error_is_temporary(&why)) {
        *err = why;
        return false;
    }
    if (!begun && !post_upload(registry, "", response, err))
        return false;
    *done = response->status == 201;
    return true;
}

int64_t registry_part_size(const struct registry *registry)
{
    int64_t asked = registry->options ? registry->options->part_size : 0;
    return asked > 0 ? asked : PART_SIZE;
}

/* The last request of an upload, with the bytes from `taken` on. */
static bool put_rest(struct registry *registry, const struct upload_attempt *a, struct bytes *url, bool foreign,
                     int64_t taken, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    if (!bytes_printf(url, err, "%cdigest=%s", span_find(bytes_span(url), '?') < 0 ? '?' : '&', a->blob->digest))
        return false;
    static const struct http_header type = { "Content-Type", "application/octet-stream" };
    struct wire_source source = {
        .blob = a->source, .options = registry->options, .start = taken, .end = a->blob->size
    };
    const struct http_request request = {
        .method = "PUT",
        .url = bytes_text(url),
        .headers = &type,
        .header_count = 1,
        .source = wire_read_source,
        .source_context = &source,
        .source_length = a->blob->size - taken,
        .timeout_ms = wire_long_ms(registry),
        .stall_timeout_ms = SETTLE_MS,
    };
    if (!wire_send_to(registry, &request, foreign, &response, err))
        return false;
    return response.status == 201 || response.status == 204 || wire_status_error(&request, &response, err);
}

static bool put_whole(struct registry *registry, const struct upload_attempt *a, const struct http_response *begun,
                      struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    bool foreign;
    return wire_location(registry, begun, &url, &foreign, err) && put_rest(registry, a, &url, foreign, 0, err);
}

/* A registry that takes no parts is known by its answer to the first one, and gets all at once then. */
static bool put_content(struct registry *registry, struct upload_attempt *a, struct http_response *begun,
                        struct error *err)
{
    if (registry->chunks_refused || a->blob->size <= registry_part_size(registry))
        return put_whole(registry, a, begun, err);
    struct parts_end end;
    bool sent = registry_put_parts(registry, a->blob, a->source, begun, &end, err);
    bool done = sent && !registry->chunks_refused && put_rest(registry, a, &end.url, end.foreign, a->blob->size, err);
    a->exhausted = end.exhausted;
    bytes_release(&end.url);
    if (!sent || !registry->chunks_refused)
        return done;
    cancel_upload(registry, begun);
    return post_upload(registry, "", begun, err) && put_whole(registry, a, begun, err);
}

/* An upload session that is gone (404) after a broken try is one to begin anew, not a missing repository. */
static bool settle_upload_error(const struct upload_attempt *a, struct error *err)
{
    if (a->tries > 1 && err->kind == ERROR_NOT_FOUND)
        err->kind = ERROR_UNAVAILABLE;
    return false;
}

static bool try_upload(struct registry *registry, void *context, bool *final, struct error *err)
{
    struct upload_attempt *a = context;
    AUTO(http_response_release) struct http_response begun = { .status = 0 };
    struct error ignored;
    bool done = false;
    if (a->tries == 0 && take_begun(registry, a->blob, &begun)) {
        a->tries = 2; /* that it is not known any more comes from its age */
        return put_content(registry, a, &begun, err) || settle_upload_error(a, err);
    }
    /* A credential that may push but not look is no reason to stop: then the upload itself decides. */
    if ((a->tries++ > 0 || a->blob->size > ASK_BY_MOUNT_MAX) &&
        registry_has_blob(registry, a->blob->digest, &done, &ignored) && done)
        return true;
    if (!begin_upload(registry, a->blob, &begun, &done, err))
        return false;
    done = done || put_content(registry, a, &begun, err);
    *final = a->exhausted;
    return done || settle_upload_error(a, err);
}

static bool check_file(const struct descriptor *blob, const struct blob_source *source, struct error *err)
{
    struct stat st;
    if (source->fd < 0)
        return true;
    if (fstat(source->fd, &st) != 0)
        return error_set_errno(err, errno, "cannot read the file to be uploaded");
    return st.st_size == blob->size ||
           error_set(err, ERROR_INVALID, "the file has %lld bytes, its descriptor says %lld", (long long)st.st_size,
                     (long long)blob->size);
}

static bool was_sent(const struct registry *registry, const char *digest)
{
    for (size_t i = 0; i < SENT_MAX && i < registry->sent_count; i++)
        if (strcmp(registry->sent[i], digest) == 0)
            return true;
    return false;
}

static void note_sent(struct registry *registry, const char *digest)
{
    if (!registry->sent)
        registry->sent = calloc(SENT_MAX, sizeof registry->sent[0]);
    if (registry->sent)
        memcpy(registry->sent[registry->sent_count++ % SENT_MAX], digest, strlen(digest) + 1);
}

static bool put_blob(void *self, const struct descriptor *blob, const struct blob_source *source, struct error *err)
{
    struct registry *registry = self;
    struct upload_attempt attempt = { .blob = blob, .source = source };
    if (!check_file(blob, source, err))
        return false;
    if (was_sent(registry, blob->digest))
        return true;
    token_want_push(registry);
    if (!wire_retry(registry, try_upload, &attempt, err))
        return false;
    note_sent(registry, blob->digest);
    return true;
}

/* ---- manifests ---- */

struct put_attempt {
    const char *name;
    struct span body;
    const struct descriptor *out;
    bool *listed; /* NULL: nobody asks */
};

/* The digest is right, it is made of what was sent. Docker's registry says so of a blob whose link another push is writing at that moment. */
static bool put_refused(const struct http_request *request, const struct http_response *response, struct error *err)
{
    wire_status_error(request, response, err);
    if (strstr(err->message, "(DIGEST_INVALID"))
        err->kind = ERROR_UNAVAILABLE;
    return false;
}

static bool try_put(struct registry *registry, void *context, bool *final, struct error *err)
{
    struct put_attempt *a = context;
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    if (!wire_url(registry, &url, err, "manifests", a->name))
        return false;
    const struct http_header type = { "Content-Type", a->out->media_type };
    const struct http_request request = {
        .method = "PUT",
        .url = bytes_text(&url),
        .headers = &type,
        .header_count = 1,
        .body = a->body,
        .timeout_ms = wire_short_ms(registry),
    };
    if (!wire_send(registry, &request, &response, err))
        return false;
    if (response.status != 201)
        return put_refused(&request, &response, err);
    if (a->listed)
        *a->listed = http_response_header(&response, "OCI-Subject").len > 0;
    struct span digest = http_response_header(&response, "Docker-Content-Digest");
    *final = digest.len > 0 && !span_is(digest, a->out->digest);
    if (digest.len >= DIGEST_TEXT_SIZE)
        digest.len = DIGEST_TEXT_SIZE - 1;
    return !*final || error_set(err, ERROR_UNAVAILABLE, "registry '%s' lies: took manifest '%s' for '%.*s'",
                                registry->host, a->out->digest, SPAN_ARGS(digest));
}

static bool put_manifest(void *self, const char *tag, struct span body, const struct descriptor *out, bool *listed,
                         struct error *err)
{
    struct put_attempt attempt = { tag ? tag : out->digest, body, out, listed };
    token_want_push(self);
    return wire_retry(self, try_put, &attempt, err);
}

const struct store_writer registry_writer = {
    .will_mount = will_mount,
    .mount_blob = mount_blob,
    .begin_upload = begin_ahead,
    .put_blob = put_blob,
    .put_manifest = put_manifest,
};

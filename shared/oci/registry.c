/* Reading from a registry: OCI distribution-spec 1.1, "Pull". */
#include "shared/oci/registry.h"

#include <string.h>

static const struct http_header manifest_headers[] = {
    { "Accept", MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_INDEX ", " MEDIA_DOCKER_MANIFEST },
};

static void registry_free(void *self)
{
    if (!self)
        return;
    struct registry *registry = self;
    if (registry->take_back)
        registry->take_back(registry);
    wire_release(registry);
    free(self);
}
AUTO_FREE(void, registry_free)

void *registry_new(const struct reference *reference, const struct registry_options *options, struct error *err)
{
    AUTO(registry_free) void *self = calloc(1, sizeof(struct registry));
    if (!self) {
        error_set(err, ERROR_INTERNAL, "out of memory for a registry");
        return NULL;
    }
    if (!wire_init(self, reference, options, err)) {
        error_wrap(err, "registry '%s'", reference->registry);
        return NULL;
    }
    return TAKE(self);
}

/* ---- manifests ---- */

struct manifest_attempt {
    const char *name;
    const char *method;
    struct bytes *body; /* NULL: HEAD */
    struct descriptor *out;
};

/* The parameters of a Content-Type go. */
static void copy_media_type(char out[static MEDIA_TYPE_SIZE], struct span value)
{
    struct span type = span_trim(span_cut(&value, ';'));
    if (type.len >= MEDIA_TYPE_SIZE)
        type.len = 0;
    if (type.len > 0)
        memcpy(out, type.data, type.len);
    out[type.len] = '\0';
}

static void copy_digest(char out[static DIGEST_TEXT_SIZE], struct span value)
{
    out[0] = '\0';
    if (!digest_is_legal(value))
        return;
    memcpy(out, value.data, value.len);
    out[value.len] = '\0';
}

bool registry_content_length(const struct http_response *response, int64_t *out)
{
    struct span text = http_response_header(response, "Content-Length");
    int64_t n = 0;
    if (text.len == 0 || text.len > 15)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (text.data[i] - '0');
    }
    *out = n;
    return true;
}

static bool try_manifest(struct registry *registry, void *context, bool *final, struct error *err)
{
    (void) final;
    struct manifest_attempt *a = context;
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    if (!wire_url(registry, &url, err, "manifests", a->name))
        return false;
    const struct http_request request = {
        .method = a->method,
        .url = bytes_text(&url),
        .headers = manifest_headers,
        .header_count = 1,
        .body_max = STORE_MANIFEST_MAX,
        .timeout_ms = wire_short_ms(registry),
    };
    if (!wire_fetch(registry, &request, &response, err))
        return false;
    if (response.status != 200)
        return wire_status_error(&request, &response, err);
    copy_media_type(a->out->media_type, http_response_header(&response, "Content-Type"));
    copy_digest(a->out->digest, http_response_header(&response, "Docker-Content-Digest"));
    if (!registry_content_length(&response, &a->out->size))
        a->out->size = -1;
    return !a->body || bytes_append_span(a->body, bytes_span(&response.body), err);
}

static bool get_manifest(void *self, const char *name, struct bytes *body, struct descriptor *out, struct error *err)
{
    struct manifest_attempt attempt = { name, "GET", body, out };
    return wire_retry(self, try_manifest, &attempt, err);
}

bool registry_head_manifest(struct registry *registry, const char *name, struct descriptor *out, struct error *err)
{
    struct manifest_attempt attempt = { name, "HEAD", NULL, out };
    return wire_retry(registry, try_manifest, &attempt, err);
}

static void digest_of(char out[static DIGEST_TEXT_SIZE], struct span data)
{
    memcpy(out, "sha256:", 7);
    sha256_hex_of(data, out + 7);
}

/* The digest header is a SHOULD, so without a whole answer to HEAD the manifest itself tells. */
static bool resolve(void *self, const char *name, struct descriptor *out, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    bool told;
    if (!registry_head_manifest(self, name, out, err))
        return false;
    if (out->digest[0] && out->media_type[0] && out->size >= 0)
        return true;
    if (!get_manifest(self, name, &body, out, err))
        return false;
    digest_of(out->digest, bytes_span(&body));
    out->size = (int64_t)body.len;
    return out->media_type[0] || manifest_media_type(bytes_span(&body), out->media_type, &told, err);
}

/* ---- blobs ---- */

bool registry_has_blob(struct registry *registry, const char *digest, bool *has, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    if (!wire_url(registry, &url, err, "blobs", digest))
        return false;
    const struct http_request request = {
        .method = "HEAD",
        .url = bytes_text(&url),
        .timeout_ms = wire_short_ms(registry),
    };
    if (!wire_fetch(registry, &request, &response, err))
        return false;
    if (response.status != 200 && response.status != 404)
        return wire_status_error(&request, &response, err);
    *has = response.status == 200;
    return true;
}

struct has_attempt {
    const char *digest;
    bool *has;
};

static bool try_has(struct registry *registry, void *context, bool *final, struct error *err)
{
    (void) final;
    struct has_attempt *a = context;
    return registry_has_blob(registry, a->digest, a->has, err);
}

static bool has_blob(void *self, const char *digest, bool *has, struct error *err)
{
    struct has_attempt attempt = { digest, has };
    return wire_retry(self, try_has, &attempt, err);
}

/* A transfer that broke goes on where it broke (RFC 9110, section 14); where the registry begins anew all the same, what
 * the reader has had already is passed over. */
struct blob_attempt {
    const struct descriptor *blob;
    http_body_fn *on_data;
    void *context;
    int64_t delivered; /* by all attempts */
    int64_t position;  /* of this one */
    bool refused;      /* the reader does not want more: trying again would not help */
    bool begun;        /* this attempt's first byte has come */
    struct http_response response;
};

/* "Content-Range: bytes 100-199/200" says that the answer begins with byte 100; without one it begins with the first. */
static bool find_position(struct blob_attempt *a, struct error *err)
{
    struct span range = http_response_header(&a->response, "Content-Range"), unit = span_cut(&range, ' ');
    struct span first = span_cut(&range, '-');
    int64_t start = 0;
    if (span_is(unit, "bytes"))
        for (size_t i = 0; i < first.len && first.data[i] >= '0' && first.data[i] <= '9' && start < a->blob->size; i++)
            start = start * 10 + (first.data[i] - '0');
    a->position = start;
    a->begun = true;
    return start <= a->delivered ||
           error_set(err, ERROR_UNAVAILABLE, "the answer begins at byte %lld, asked for was %lld", (long long)start,
                     (long long)a->delivered);
}

static bool pass_on(void *context, const void *data, size_t len, struct error *err)
{
    struct blob_attempt *a = context;
    if (!a->begun && !find_position(a, err))
        return false;
    int64_t skip = a->delivered - a->position;
    a->position += (int64_t)len;
    if (skip >= (int64_t)len)
        return true;
    const char *fresh = (const char *)data + skip;
    size_t n = len - (size_t)skip;
    a->refused = !a->on_data(a->context, fresh, n, err);
    a->delivered += (int64_t)n;
    return !a->refused;
}

static bool try_blob(struct registry *registry, void *context, bool *final, struct error *err)
{
    struct blob_attempt *a = context;
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    char rest[48];
    if (!wire_url(registry, &url, err, "blobs", a->blob->digest))
        return false;
    a->position = 0;
    a->begun = false;
    snprintf(rest, sizeof rest, "bytes=%lld-", (long long)a->delivered);
    const struct http_header range = { "Range", rest };
    const struct http_request request = {
        .method = "GET",
        .url = bytes_text(&url),
        .headers = &range,
        .header_count = a->delivered > 0 ? 1 : 0,
        .on_body = pass_on,
        .body_context = a,
        .body_max = SIZE_MAX / 2, /* the reader in front knows the size and says so in better words */
        .timeout_ms = wire_long_ms(registry),
    };
    bool answered = wire_fetch(registry, &request, &a->response, err);
    *final = a->refused;
    if (!answered)
        return false;
    if (a->response.status == 416 && a->delivered == a->blob->size)
        return true; /* it broke behind the last byte */
    return a->response.status == 200 || a->response.status == 206 || wire_status_error(&request, &a->response, err);
}

static bool get_blob(void *self, const struct descriptor *blob, http_body_fn *on_data, void *context, struct error *err)
{
    struct blob_attempt attempt = { .blob = blob, .on_data = on_data, .context = context };
    bool got = wire_retry(self, try_blob, &attempt, err);
    http_response_release(&attempt.response);
    return got;
}

const struct store_backend registry_backend = {
    .free = registry_free,
    .resolve = resolve,
    .get_manifest = get_manifest,
    .get_blob = get_blob,
    .has_blob = has_blob,
    .list_referrers = registry_list_referrers,
    .list_tags = registry_list_tags,
};

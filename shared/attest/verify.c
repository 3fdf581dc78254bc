#include "shared/attest/verify.h"

#include "shared/attest/sign.h"
#include "shared/attest/signature.h"
#include "shared/base/json.h"
#include "shared/oci/referrers.h"

#include <stdio.h>
#include <string.h>

enum { TREE_MAX = 16 * STORE_MANIFEST_MAX };

struct search {
    struct store *store;
    const char *digest;
    const struct ecdsa_key *key;
    size_t seen; /* signatures that were looked at */
    bool found;
};

static bool is_text(const char *text, const char *wanted)
{
    return text && strcmp(text, wanted) == 0;
}

/* False: it is no descriptor of something that may be a signature. */
static bool read_layer(const struct json *layer, struct descriptor *out)
{
    const char *type = json_get_string(layer, "mediaType"), *digest = json_get_string(layer, "digest");
    *out = (struct descriptor){ 0 };
    bool fits = type && digest && json_integer(json_get(layer, "size"), &out->size) && out->size >= 0 &&
                out->size <= SIGNED_TEXT_MAX && strlen(type) < sizeof out->media_type &&
                strlen(digest) < sizeof out->digest &&
                (strcmp(type, MEDIA_SIMPLE_SIGNING) == 0 || strcmp(type, MEDIA_SIGSTORE_BUNDLE) == 0);
    if (fits)
        snprintf(out->media_type, sizeof out->media_type, "%s", type);
    if (fits)
        snprintf(out->digest, sizeof out->digest, "%s", digest);
    return fits;
}

static bool fail_as(const struct error *failed, struct error *err)
{
    *err = *failed;
    return false;
}

static bool check_layer(struct search *search, const struct json *layer, struct error *err)
{
    struct descriptor blob;
    AUTO(bytes_release) struct bytes content = BYTES(SIGNED_TEXT_MAX);
    if (!read_layer(layer, &blob) || search->seen >= SIGNATURES_MAX)
        return true;
    search->seen++;
    struct error failed = { 0 };
    if (!store_read_blob(search->store, &blob, &content, &failed))
        return failed.kind == ERROR_NOT_FOUND || failed.kind == ERROR_TOO_LARGE || fail_as(&failed, err);
    const char *signature = json_get_string(json_get(layer, "annotations"), "dev.cosignproject.cosign/signature");
    search->found = strcmp(blob.media_type, MEDIA_SIMPLE_SIGNING) == 0
                        ? simple_signature_holds(search->key, bytes_span(&content), signature, search->digest)
                        : bundle_holds(search->key, bytes_span(&content), search->digest);
    return true;
}

/* subject: what the manifest must be about; NULL: nothing, its tag says so. */
static bool check_manifest(struct search *search, const char *tag_or_digest, const char *subject, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(STORE_MANIFEST_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    struct descriptor ignored;
    struct error malformed = { 0 }, failed = { 0 };
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!store_get_manifest(search->store, tag_or_digest, &body, &ignored, &failed))
        return failed.kind == ERROR_NOT_FOUND || fail_as(&failed, err);
    const struct json *manifest = json_parse(arena, bytes_span(&body), &malformed);
    if (subject && !is_text(json_get_string(json_get(manifest, "subject"), "digest"), subject))
        return true;
    const struct json *layers = json_get(manifest, "layers");
    for (const struct json *layer = json_first(layers); layer && !search->found; layer = json_next(layer))
        if (!check_layer(search, layer, err))
            return false;
    return true;
}

static bool may_be_signature(const char *artifact_type)
{
    static const char *const types[] = { MEDIA_SIGSTORE_BUNDLE, MEDIA_SIMPLE_SIGNING,
                                         "application/vnd.dev.cosign.artifact.sig.v1+json" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (is_text(artifact_type, types[i]))
            return true;
    return false;
}

static bool on_referrer(void *context, const struct descriptor *manifest, const char *artifact_type,
                        const struct json *annotations, struct error *err)
{
    (void)annotations;
    struct search *search = context;
    return search->found || search->seen >= SIGNATURES_MAX || !may_be_signature(artifact_type) ||
           check_manifest(search, manifest->digest, search->digest, err);
}

bool verify_image(struct store *store, const char *digest, const struct ecdsa_key *key, bool *signed_by_key,
                  struct bytes *reason, struct error *err)
{
    struct search search = { .store = store, .digest = digest, .key = key };
    char tag[DIGEST_TEXT_SIZE + sizeof ".sig"];
    snprintf(tag, sizeof tag, "%s.sig", digest);
    char *colon = strchr(tag, ':');
    if (colon)
        *colon = '-';
    *signed_by_key = false;
    if (!check_manifest(&search, tag, NULL, err) ||
        (!search.found && !oci_referrers_list(store, digest, NULL, on_referrer, &search, err)))
        return error_wrap(err, "signatures of %s", digest);
    *signed_by_key = search.found;
    return search.found ||
           (search.seen == 0
                ? bytes_printf(reason, err, "%s is not signed", digest)
                : bytes_printf(reason, err, "%s has %zu signature%s, none of which is by the key that 'verify' names",
                               digest, search.seen, search.seen == 1 ? "" : "s"));
}

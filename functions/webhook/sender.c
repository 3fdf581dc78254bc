#include "functions/webhook/sender.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"

#include <string.h>
#include <strings.h>

enum { TIMESTAMP_TOLERANCE_S = 300 }; /* Standard Webhooks: five minutes either way */

/* A header that must stand there exactly once: two of them are two opinions. */
static bool only_header(const struct request *request, const char *name, struct span *out, struct error *err)
{
    size_t count = 0;
    *out = request_header(request, name, &count);
    if (count == 0 || out->len == 0)
        return error_set(err, ERROR_DENIED, "the header %s is missing: set the hook's secret", name);
    return count == 1 || error_set(err, ERROR_DENIED, "the header %s stands there %zu times", name, count);
}

static bool mac_fits(const struct secret *secret, struct span signed_text, const uint8_t claimed[static SHA256_SIZE])
{
    uint8_t mac[SHA256_SIZE];
    struct hmac_sha256 hmac;
    hmac_sha256_init(&hmac, secret_reveal(secret));
    hmac_sha256_update(&hmac, signed_text.data, signed_text.len);
    hmac_sha256_final(&hmac, mac);
    return constant_time_equal(mac, claimed, sizeof mac);
}

static bool verify_hex(const struct sender *sender, const char *header, const char *prefix,
                       const struct request *request, struct span signed_text, struct error *err)
{
    struct span value;
    uint8_t claimed[SHA256_SIZE];
    if (!only_header(request, header, &value, err))
        return false;
    size_t skip = strlen(prefix);
    if (!span_starts(value, prefix) || value.len != skip + 2 * SHA256_SIZE ||
        !hex_decode(claimed, SHA256_SIZE, (struct span){ value.data + skip, 2 * SHA256_SIZE }))
        return error_set(err, ERROR_DENIED, "%s is not '%s' and 64 hexadecimal digits", header, prefix);
    return mac_fits(sender->secret, signed_text, claimed) ||
           error_set(err, ERROR_DENIED, "%s does not fit the body: is the secret the same on both sides?", header);
}

/* GitHub signs what it sends, a form too. */
static bool verify_github(const struct sender *sender, const struct request *request, struct span json,
                          struct error *err)
{
    (void)json;
    return verify_hex(sender, "X-Hub-Signature-256", "sha256=", request, request->body, err);
}

/* Gitea and Forgejo sign the JSON text even when it travels in a form. */
static bool verify_gitea(const struct sender *sender, const struct request *request, struct span json,
                         struct error *err)
{
    return verify_hex(sender, "X-Gitea-Signature", "", request, json, err);
}

static bool verify_forgejo(const struct sender *sender, const struct request *request, struct span json,
                           struct error *err)
{
    bool own = request_header(request, "X-Forgejo-Signature", NULL).data != NULL;
    return verify_hex(sender, own ? "X-Forgejo-Signature" : "X-Gitea-Signature", "", request, json, err);
}

static bool timestamp_is_fresh(struct span text, struct error *err)
{
    int64_t at = 0;
    if (text.len == 0 || text.len > 15)
        return error_set(err, ERROR_DENIED, "webhook-timestamp is not a number of seconds");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return error_set(err, ERROR_DENIED, "webhook-timestamp is not a number of seconds");
        at = at * 10 + (text.data[i] - '0');
    }
    int64_t off = clock_wall_ms() / 1000 - at;
    return (off <= TIMESTAMP_TOLERANCE_S && off >= -TIMESTAMP_TOLERANCE_S) ||
           error_set(err, ERROR_DENIED,
                     "webhook-timestamp is %lld seconds off: is the clock right, or is this a replay?", (long long)off);
}

/* Standard Webhooks: several signatures, blanks between, while a secret is rotated; one must fit. */
static bool any_signature_fits(struct span list, const uint8_t mac[static SHA256_SIZE])
{
    bool fits = false;
    while (list.data) {
        struct error ignored = { 0 };
        struct span one = span_cut(&list, ' ');
        AUTO(bytes_release) struct bytes claimed = BYTES(SHA256_SIZE);
        if (!span_starts(one, "v1,"))
            continue;
        one.data += 3;
        one.len -= 3;
        if (base64_decode(&claimed, one, &ignored) && claimed.len == SHA256_SIZE)
            fits |= constant_time_equal(mac, claimed.data, SHA256_SIZE);
    }
    return fits;
}

static bool verify_signing_token(const struct sender *sender, const struct request *request, struct error *err)
{
    struct span id, timestamp, signatures;
    uint8_t mac[SHA256_SIZE];
    struct hmac_sha256 hmac;
    if (!only_header(request, "webhook-id", &id, err) || !only_header(request, "webhook-timestamp", &timestamp, err) ||
        !only_header(request, "webhook-signature", &signatures, err) || !timestamp_is_fresh(timestamp, err))
        return false;
    const struct span signed_text[] = { id, SPAN("."), timestamp, SPAN("."), request->body };
    hmac_sha256_init(&hmac, secret_reveal(sender->signing));
    for (size_t i = 0; i < sizeof signed_text / sizeof signed_text[0]; i++)
        hmac_sha256_update(&hmac, signed_text[i].data, signed_text[i].len);
    hmac_sha256_final(&hmac, mac);
    return any_signature_fits(signatures, mac) ||
           error_set(err, ERROR_DENIED,
                     "webhook-signature does not fit the body: is the signing token the same on both sides?");
}

/* Once a signing token is configured the plain token, which travels with every delivery, no longer counts. */
static bool verify_gitlab(const struct sender *sender, const struct request *request, struct span json,
                          struct error *err)
{
    struct span token;
    (void)json;
    if (sender->signing)
        return verify_signing_token(sender, request, err);
    if (!only_header(request, "X-Gitlab-Token", &token, err))
        return false;
    return secret_equal(sender->secret, token) ||
           error_set(err, ERROR_DENIED, "X-Gitlab-Token is not the hook's secret");
}

/* A registry sends a static header that its operator configures. */
static bool verify_registry(const struct sender *sender, const struct request *request, struct span json,
                            struct error *err)
{
    struct span value;
    (void)json;
    if (!only_header(request, "Authorization", &value, err))
        return false;
    struct span bare = value;
    if (bare.len > 7 && strncasecmp(bare.data, "Bearer ", 7) == 0) {
        bare.data += 7;
        bare.len -= 7;
    }
    bool fits = secret_equal(sender->secret, value);
    fits |= secret_equal(sender->secret, bare);
    return fits || error_set(err, ERROR_DENIED, "Authorization is not the secret that the configuration names");
}

static const struct {
    const char *detect; /* a header that only this kind, or one further down, sends */
    const char *event, *delivery, *delivery_fallback;
    bool (*verify)(const struct sender *, const struct request *, struct span json, struct error *);
} kinds[SOURCE_KINDS] = {
    [SOURCE_FORGEJO] = { "X-Forgejo-Event", "X-Forgejo-Event", "X-Forgejo-Delivery", "X-Gitea-Delivery",
                         verify_forgejo },
    [SOURCE_GITEA] = { "X-Gitea-Event", "X-Gitea-Event", "X-Gitea-Delivery", NULL, verify_gitea },
    [SOURCE_GITLAB] = { "X-Gitlab-Event", "X-Gitlab-Event", "Idempotency-Key", "webhook-id", verify_gitlab },
    [SOURCE_GITHUB] = { "X-GitHub-Event", "X-GitHub-Event", "X-GitHub-Delivery", NULL, verify_github },
    [SOURCE_REGISTRY] = { NULL, NULL, NULL, NULL, verify_registry },
};

enum source_kind sender_detect(const struct request *request)
{
    static const enum source_kind order[] = { SOURCE_FORGEJO, SOURCE_GITEA, SOURCE_GITLAB, SOURCE_GITHUB };
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (request_header(request, kinds[order[i]].detect, NULL).data)
            return order[i];
    static const char registry_type[] = "application/vnd.docker.distribution.events.";
    struct span type = request_header(request, "Content-Type", NULL);
    bool fits =
        type.len >= sizeof registry_type && strncasecmp(type.data, registry_type, sizeof registry_type - 1) == 0;
    return fits ? SOURCE_REGISTRY : SOURCE_KINDS;
}

bool sender_verify(const struct sender *sender, const struct request *request, struct span json, struct error *err)
{
    if (!sender->secret && !(sender->source->kind == SOURCE_GITLAB && sender->signing))
        return error_set(err, ERROR_DENIED,
                         "source '%s' has no secret in the configuration: nothing can be verified, so nothing is taken",
                         sender->source->name);
    return kinds[sender->source->kind].verify(sender, request, json, err) ||
           error_wrap(err, "source '%s'", sender->source->name);
}

struct span sender_event(const struct sender *sender, const struct request *request)
{
    enum source_kind kind = sender->source->kind;
    struct span absent = { NULL, 0 };
    if (!kinds[kind].event)
        return absent;
    struct span event = request_header(request, kinds[kind].event, NULL);
    /* A Forgejo that was told to speak as Gitea. */
    return event.data || kind != SOURCE_FORGEJO ? event : request_header(request, kinds[SOURCE_GITEA].event, NULL);
}

struct span sender_delivery(const struct sender *sender, const struct request *request)
{
    enum source_kind kind = sender->source->kind;
    struct span id = { NULL, 0 };
    if (sender->signing) /* the id that is signed */
        return request_header(request, "webhook-id", NULL);
    if (kinds[kind].delivery)
        id = request_header(request, kinds[kind].delivery, NULL);
    if (id.len == 0 && kinds[kind].delivery_fallback)
        id = request_header(request, kinds[kind].delivery_fallback, NULL);
    return id;
}

/* "whsec_" and base64: the key is what that says (Standard Webhooks). */
static struct secret *decode_signing(struct secret *text, struct error *err)
{
    AUTO(secret_free) struct secret *owned = text;
    if (!owned)
        return NULL;
    struct span value = secret_reveal(owned);
    AUTO(bytes_release) struct bytes key = BYTES(1024);
    if (!span_starts(value, "whsec_")) {
        error_set(err, ERROR_INVALID, "a signing token starts with 'whsec_'");
        return NULL;
    }
    if (!base64_decode(&key, (struct span){ value.data + 6, value.len - 6 }, err)) {
        error_set(err, ERROR_INVALID, "a signing token is 'whsec_' and base64");
        return NULL;
    }
    return secret_new(bytes_span(&key), err);
}

bool sender_load(struct sender *sender, const struct config_source *source, struct error *err)
{
    *sender = (struct sender){ .source = source };
    if (secret_reference_is_set(&source->secret) && !(sender->secret = secret_reference_load(&source->secret, err)))
        return error_wrap(err, "secret of source '%s'", source->name);
    if (secret_reference_is_set(&source->signing_secret) &&
        !(sender->signing = decode_signing(secret_reference_load(&source->signing_secret, err), err)))
        return error_wrap(err, "signing secret of source '%s'", source->name);
    return true;
}

void sender_release(struct sender *sender)
{
    secret_free(sender->secret);
    secret_free(sender->signing);
}

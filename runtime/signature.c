#include "runtime/signature.h"

#include "runtime/event_build.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"

#include <string.h>

enum {
    KEY_MIN = 16,
    KEYS_MAX = 16,       /* a rotation needs two */
    SIGNATURES_MAX = 16, /* in one attribute */
    CORE_ATTRIBUTES = 8,
    MAC_TEXT_SIZE = 45, /* 32 bytes in base64, terminated */
};
static const char SCHEME[] = "v1";

struct keyring {
    struct secret *keys[KEYS_MAX];
    size_t count;
};

struct keyring *keyring_new(void)
{
    return calloc(1, sizeof(struct keyring));
}

void keyring_free(struct keyring *keyring)
{
    if (!keyring)
        return;
    for (size_t i = 0; i < keyring->count; i++)
        secret_free(keyring->keys[i]);
    free(keyring);
}

bool keyring_add(struct keyring *keyring, struct secret *key, struct error *err)
{
    AUTO(secret_free) struct secret *owned = key;
    if (secret_reveal(owned).len < KEY_MIN)
        return error_set(err, ERROR_INVALID, "a chain key needs at least %d bytes", KEY_MIN);
    if (keyring->count == KEYS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d chain keys", KEYS_MAX);
    keyring->keys[keyring->count++] = TAKE(owned);
    return true;
}

size_t keyring_count(const struct keyring *keyring)
{
    return keyring->count;
}

/* --- what is covered ------------------------------------------------------------------------------------------------------ */

struct covered {
    const char *name, *value;
};

static bool is_covered(const char *name)
{
    return strcmp(name, SIGNATURE_ATTRIBUTE) != 0 && strcmp(name, "traceparent") != 0 &&
           strcmp(name, "tracestate") != 0 && strncmp(name, "knative", 7) != 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct covered *)a)->name, ((const struct covered *)b)->name);
}

/* The covered attributes, sorted; `time` is room for the canonical time. */
static size_t collect(const struct event *event, char time[static RFC3339_SIZE],
                      struct covered list[static CORE_ATTRIBUTES + EVENT_ATTRIBUTES_MAX])
{
    const char *when = event->time;
    int64_t instant;
    if (when && rfc3339_parse(span_of(when), &instant)) {
        rfc3339_format(time, instant);
        when = time;
    }
    const struct covered core[] = {
        { "specversion", "1.0" },
        { "id", event->id },
        { "source", event->source },
        { "type", event->type },
        { "subject", event->subject },
        { "time", when },
        { "datacontenttype", event->datacontenttype },
        { "dataschema", event->dataschema },
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof core / sizeof core[0]; i++)
        if (core[i].value)
            list[count++] = core[i];
    for (size_t i = 0; i < event->extension_count; i++)
        if (is_covered(event->extensions[i].name))
            list[count++] = (struct covered){ event->extensions[i].name, event->extensions[i].value };
    qsort(list, count, sizeof *list, compare_names);
    return count;
}

/* What is signed, gathered so that the digest sees pieces of some size. */
struct cover {
    struct hmac_sha256 hmac;
    size_t len;
    char gathered[1024];
};

static void cover_gathered(struct cover *cover)
{
    hmac_sha256_update(&cover->hmac, cover->gathered, cover->len);
    cover->len = 0;
}

static void cover_text(struct cover *cover, const char *text, size_t len)
{
    if (len > sizeof cover->gathered - cover->len)
        cover_gathered(cover);
    if (len > sizeof cover->gathered) {
        hmac_sha256_update(&cover->hmac, text, len);
        return;
    }
    memcpy(cover->gathered + cover->len, text, len);
    cover->len += len;
}

static void cover_length(struct cover *cover, size_t length)
{
    char text[DECIMAL_SIZE + 1];
    size_t digits = decimal_encode(text, length);
    text[digits] = ':';
    cover_text(cover, text, digits + 1);
}

static void cover_attribute(struct cover *cover, const struct covered *attribute)
{
    size_t length = strlen(attribute->value);
    cover_text(cover, attribute->name, strlen(attribute->name));
    cover_text(cover, "=", 1);
    cover_length(cover, length);
    cover_text(cover, attribute->value, length);
    cover_text(cover, "\n", 1);
}

static void make_mac(const struct secret *key, const struct event *event, const struct covered *list, size_t count,
                     uint8_t mac[static SHA256_SIZE])
{
    struct cover cover;
    cover.len = 0;
    hmac_sha256_init(&cover.hmac, secret_reveal(key));
    cover_text(&cover, SCHEME, strlen(SCHEME));
    for (size_t i = 0; i < count; i++)
        cover_attribute(&cover, &list[i]);
    cover_length(&cover, event->data.len);
    if (event->data.len > 0)
        cover_text(&cover, event->data.data, event->data.len);
    cover_gathered(&cover);
    hmac_sha256_final(&cover.hmac, mac);
}

static bool check_attribute_count(const struct event *event, struct error *err)
{
    if (event->extension_count > EVENT_ATTRIBUTES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d extension attributes", EVENT_ATTRIBUTES_MAX);
    return true;
}

/* --- making and verifying ------------------------------------------------------------------------------------------------- */

const char *signature_make(const struct keyring *keyring, struct arena *arena, const struct event *event,
                           struct error *err)
{
    if (keyring->count == 0) {
        error_set(err, ERROR_INTERNAL, "no chain key to sign with");
        return NULL;
    }
    if (!check_attribute_count(event, err))
        return NULL;
    char time[RFC3339_SIZE];
    struct covered list[CORE_ATTRIBUTES + EVENT_ATTRIBUTES_MAX];
    size_t count = collect(event, time, list);
    uint8_t mac[SHA256_SIZE];
    make_mac(keyring->keys[0], event, list, count, mac);
    AUTO(bytes_release) struct bytes text = BYTES(MAC_TEXT_SIZE);
    if (!base64_encode(&text, (struct span){ (const char *)mac, sizeof mac }, err))
        return NULL;
    const char *value = arena_printf(arena, "%s,%s", SCHEME, bytes_text(&text));
    if (!value)
        event_no_room(arena, err);
    return value;
}

/* The MACs of an attribute's value that are of our scheme; others are of a scheme to come. */
static bool read_macs(struct span value, uint8_t macs[static SIGNATURES_MAX][SHA256_SIZE], size_t *count,
                      struct error *err)
{
    while (value.data && *count < SIGNATURES_MAX) {
        struct span text = span_cut(&value, ' ');
        struct span scheme = span_cut(&text, ',');
        AUTO(bytes_release) struct bytes mac = BYTES(SHA256_SIZE);
        struct error bad = { 0 };
        bool is_mac = span_is(scheme, SCHEME) && text.data && base64_decode(&mac, text, &bad) && mac.len == SHA256_SIZE;
        if (is_mac)
            memcpy(macs[(*count)++], mac.data, SHA256_SIZE);
        else if (bad.kind == ERROR_INTERNAL)
            return error_set(err, bad.kind, "%s", bad.message); /* not the sender's fault: it may try again */
    }
    return *count > 0 || error_set(err, ERROR_DENIED, "attribute '%s' holds no signature of the form v1,<base64>",
                                   SIGNATURE_ATTRIBUTE);
}

bool signature_verify(const struct keyring *keyring, const struct event *event, struct error *err)
{
    const char *value = event_extension(event, SIGNATURE_ATTRIBUTE);
    if (!value)
        return error_set(err, ERROR_DENIED, "the event is not signed: attribute '%s' is missing", SIGNATURE_ATTRIBUTE);
    if (!check_attribute_count(event, err))
        return false;
    uint8_t macs[SIGNATURES_MAX][SHA256_SIZE];
    size_t mac_count = 0;
    if (!read_macs(span_of(value), macs, &mac_count, err))
        return false;
    char time[RFC3339_SIZE];
    struct covered list[CORE_ATTRIBUTES + EVENT_ATTRIBUTES_MAX];
    size_t count = collect(event, time, list);
    for (size_t k = 0; k < keyring->count; k++) {
        uint8_t expected[SHA256_SIZE];
        make_mac(keyring->keys[k], event, list, count, expected);
        for (size_t m = 0; m < mac_count; m++)
            if (constant_time_equal(expected, macs[m], SHA256_SIZE))
                return true;
    }
    return error_set(err, ERROR_DENIED, "the event's signature was made under none of the chain's keys");
}

static void mac_of(const struct secret *key, struct span data, uint8_t mac[static SHA256_SIZE])
{
    struct hmac_sha256 hmac;

    hmac_sha256_init(&hmac, secret_reveal(key));
    hmac_sha256_update(&hmac, data.data, data.len);
    hmac_sha256_final(&hmac, mac);
}

bool keyring_seal(const struct keyring *keyring, struct span data, uint8_t mac[static SHA256_SIZE])
{
    if (!keyring || keyring->count == 0)
        return false;
    mac_of(keyring->keys[0], data, mac);
    return true;
}

bool keyring_sealed(const struct keyring *keyring, struct span data, const uint8_t mac[static SHA256_SIZE])
{
    for (size_t i = 0; keyring && i < keyring->count; i++) {
        uint8_t expected[SHA256_SIZE];

        mac_of(keyring->keys[i], data, expected);
        if (constant_time_equal(expected, mac, SHA256_SIZE))
            return true;
    }
    return false;
}

#include "shared/oci/sigv4.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"

#include <string.h>

enum { TEXT_MAX = 64 * 1024, DATE_LENGTH = 8 };

void sigv4_time(int64_t wall_ms, char out[static SIGV4_TIME_SIZE])
{
    char text[RFC3339_SIZE];
    size_t n = 0;
    rfc3339_format(text, wall_ms / 1000 * 1000);
    for (const char *p = text; *p && n + 1 < SIGV4_TIME_SIZE; p++)
        if (*p != '-' && *p != ':')
            out[n++] = *p;
    out[n] = '\0';
}

static bool signed_headers(const struct sigv4_request *request, struct bytes *out, struct error *err)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (!bytes_printf(out, err, "%s%s", i > 0 ? ";" : "", request->headers[i].name))
            return false;
    return true;
}

/* Hash of the request in its canonical form. */
static bool canonical_hash(const struct sigv4_request *request, char hex[static SHA256_HEX_SIZE], struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(TEXT_MAX);
    char body[SHA256_HEX_SIZE];
    sha256_hex_of(request->body, body);
    if (!bytes_printf(&text, err, "%s\n%s\n%s\n", request->method, request->path, request->query))
        return false;
    for (size_t i = 0; i < request->header_count; i++)
        if (!bytes_printf(&text, err, "%s:%s\n", request->headers[i].name, request->headers[i].value))
            return false;
    if (!bytes_append_char(&text, '\n', err) || !signed_headers(request, &text, err) ||
        !bytes_printf(&text, err, "\n%s", body))
        return false;
    sha256_hex_of(bytes_span(&text), hex);
    return true;
}

static void hmac(struct span key, const char *text, size_t len, uint8_t out[static SHA256_SIZE])
{
    struct hmac_sha256 h;
    hmac_sha256_init(&h, key);
    hmac_sha256_update(&h, text, len);
    hmac_sha256_final(&h, out);
}

/* The key for one day, region and service. */
static bool derive_key(const struct sigv4_request *request, uint8_t key[static SHA256_SIZE], struct error *err)
{
    AUTO(bytes_release) struct bytes first = BYTES(TEXT_MAX);
    const struct span parts[] = {
        { request->time, DATE_LENGTH },
        span_of(request->region),
        span_of(request->service),
        SPAN("aws4_request"),
    };
    if (!bytes_printf(&first, err, "AWS4%s", request->secret_key))
        return false;
    struct span with = bytes_span(&first);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        hmac(with, parts[i].data, parts[i].len, key);
        with = (struct span){ (const char *)key, SHA256_SIZE };
    }
    explicit_bzero(first.data, first.capacity);
    return true;
}

bool sigv4_authorization(const struct sigv4_request *request, struct bytes *out, struct error *err)
{
    AUTO(bytes_release) struct bytes scope = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes text = BYTES(TEXT_MAX);
    char canonical[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE];
    uint8_t key[SHA256_SIZE], raw[SHA256_SIZE];
    if (!canonical_hash(request, canonical, err) ||
        !bytes_printf(&scope, err, "%.*s/%s/%s/aws4_request", DATE_LENGTH, request->time, request->region,
                      request->service) ||
        !bytes_printf(&text, err, "AWS4-HMAC-SHA256\n%s\n%s\n%s", request->time, bytes_text(&scope), canonical) ||
        !derive_key(request, key, err))
        return false;
    hmac((struct span){ (const char *)key, sizeof key }, text.data, text.len, raw);
    explicit_bzero(key, sizeof key);
    hex_encode(signature, raw, sizeof raw);
    return bytes_printf(out, err, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", request->key_id,
                        bytes_text(&scope)) &&
           signed_headers(request, out, err) && bytes_printf(out, err, ", Signature=%s", signature);
}

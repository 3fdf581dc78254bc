/* Any bytes as what a registry and its token service say: a challenge's header, and a token's answer. */
#include "shared/oci/registry_auth.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 256 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    const struct span text = { (const char *)data, size };
    AUTO(challenge_release) struct challenge challenge = { .basic = false };
    AUTO(http_response_release) struct http_response response = { .headers = BYTES(OUT_MAX) };
    AUTO(bytes_release) struct bytes query = BYTES(OUT_MAX);
    if (!bytes_append_text(&response.headers, "WWW-Authenticate: ", &err) ||
        !bytes_append_span(&response.headers, text, &err))
        return 0;
    if (challenge_parse(&response, &challenge, &err)) {
        assert(token_query(&query, &challenge, "acme/web", true, SPAN("acme/base\n"), false, &err));
        assert(span_find(bytes_span(&query), '\n') < 0 && span_find(bytes_span(&query), ' ') < 0);
    }
    int64_t lifetime_s = 0;
    AUTO(secret_free) struct secret *token = bearer_authorization(text, &lifetime_s, &err);
    assert(!token || span_starts(secret_reveal(token), "Bearer "));
    assert(!token || lifetime_s > 0);
    return 0;
}

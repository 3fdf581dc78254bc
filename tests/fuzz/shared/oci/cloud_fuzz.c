/* Any bytes as what the clouds' services answer, one after the other: the first byte chooses the cloud, the rest is cut at
 * every NUL. The network is replaced, so cloud_ask.c is not part of this program. */
#include "shared/oci/cloud_ask.h"
#include "shared/oci/registry_auth.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span answers;

const char *cloud_ask_text(struct cloud_asking *asking, const struct cloud_request *request, struct error *err)
{
    assert(request->url && request->method);
    struct span answer = span_cut(&answers, '\0');
    const char *text = answer.data ? arena_dup(asking->arena, answer) : NULL;
    if (!text)
        error_set(err, ERROR_UNAVAILABLE, "no more answers");
    return text;
}

static void set(const char *const (*variables)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        setenv(variables[i][0], variables[i][1], 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const variables[][2] = { { "AZURE_CLIENT_SECRET", "s" },
                                                { "AZURE_CLIENT_ID", "i" },
                                                { "AZURE_TENANT_ID", "t" } };
    static struct secret *(*const logins[])(
        struct cloud_asking *, struct error *) = { cloud_login_ecr, cloud_login_gar, cloud_login_acr, cloud_login_ecr };
    struct error err = { 0 };
    if (size == 0)
        return 0;
    set(variables, sizeof variables / sizeof variables[0]);
    if (data[0] % 4 == 3) { /* a web identity: XML */
        setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/proc/self/comm", 1);
        setenv("AWS_ROLE_ARN", "arn", 1);
    } else {
        unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
    }
    answers = (struct span){ (const char *)data + 1, size - 1 };
    AUTO(arena_free) struct arena *arena = arena_new(CLOUD_ARENA_MAX);
    struct cloud_asking asking = { .registry = "1.dkr.ecr.eu-west-1.amazonaws.com", .arena = arena };
    AUTO(secret_free) struct secret *secret = logins[data[0] % 4](&asking, &err);
    assert(secret ? asking.lifetime_s > 0 : err.kind != ERROR_NONE);
    return 0;
}

/* Azure Container Registry: a token of Microsoft Entra ID, exchanged at the registry for a refresh token of its own. */
#include "shared/oci/cloud_ask.h"

#include "shared/base/encode.h"
#include "shared/oci/registry_auth.h"

#include <string.h>

/* The registry's refresh token is good for three hours. */
enum { REFRESH_TOKEN_S = 3 * 60 * 60 };

#define RESOURCE "https://management.azure.com/"
#define METADATA "http://169.254.169.254/metadata/identity/oauth2/token"

static const char *entra_token(struct cloud_asking *asking, const char *text, struct error *err)
{
    const struct json *answer = text ? json_parse(asking->arena, span_of(text), err) : NULL;
    if (text && !answer)
        error_set(err, ERROR_UNAVAILABLE, "Microsoft Entra ID answered what is no JSON");
    return answer ? cloud_member(answer, "access_token", "Microsoft Entra ID", err) : NULL;
}

/* An application's secret, or the token of a Kubernetes service account that stands for it (Workload Identity). */
static const char *from_application(struct cloud_asking *asking, struct error *err)
{
    const char *file = cloud_variable("AZURE_FEDERATED_TOKEN_FILE"), *host = cloud_variable("AZURE_AUTHORITY_HOST");
    const char *tenant = cloud_variable("AZURE_TENANT_ID"), *id = cloud_variable("AZURE_CLIENT_ID");
    const char *assertion = file ? cloud_read_file(asking, file, err) : NULL;
    if (!host)
        host = "https://login.microsoftonline.com/";
    if (file && !assertion)
        return NULL;
    if (!tenant || !id) {
        error_set(err, ERROR_INVALID, "AZURE_TENANT_ID or AZURE_CLIENT_ID is not set");
        return NULL;
    }
    const struct cloud_field fields[] = {
        { "grant_type", "client_credentials" },
        { "client_id", id },
        { "scope", RESOURCE ".default" },
        { "client_assertion_type", file ? "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" : NULL },
        { "client_assertion", assertion },
        { "client_secret", file ? NULL : cloud_variable("AZURE_CLIENT_SECRET") },
    };
    const char *url =
        arena_printf(asking->arena, "%s%s%s/oauth2/v2.0/token", host, span_ends(span_of(host), "/") ? "" : "/", tenant);
    return entra_token(asking, url ? cloud_ask_form(asking, url, fields, sizeof fields / sizeof fields[0], err) : NULL,
                       err);
}

/* A managed identity: of the app (App Service, Functions, Container Apps tell an endpoint), else of the machine. */
static const char *from_managed_identity(struct cloud_asking *asking, struct error *err)
{
    const char *endpoint = cloud_variable("IDENTITY_ENDPOINT"), *proof = cloud_variable("IDENTITY_HEADER");
    const char *id = cloud_variable("AZURE_CLIENT_ID");
    AUTO(bytes_release) struct bytes url = BYTES(CLOUD_URL_MAX);
    bool app = endpoint && proof;
    if (!bytes_printf(&url, err, "%s?api-version=%s&resource=", app ? endpoint : METADATA,
                      app ? "2019-08-01" : "2018-02-01") ||
        !percent_encode(&url, SPAN(RESOURCE), "", err) ||
        (id && (!bytes_append_text(&url, "&client_id=", err) || !percent_encode(&url, span_of(id), "", err))))
        return NULL;
    const struct http_header header = { app ? "X-IDENTITY-HEADER" : "Metadata", app ? proof : "true" };
    const struct cloud_request request = {
        .method = "GET", .url = bytes_text(&url), .headers = &header, .header_count = 1, .metadata = true
    };
    return entra_token(asking, cloud_ask_text(asking, &request, err), err);
}

struct secret *cloud_login_acr(struct cloud_asking *asking, struct error *err)
{
    bool application = cloud_variable("AZURE_FEDERATED_TOKEN_FILE") || cloud_variable("AZURE_CLIENT_SECRET");
    const char *scheme = asking->plain_http ? "http" : "https";
    const char *token = application ? from_application(asking, err) : from_managed_identity(asking, err);
    if (!token) {
        error_wrap(err, application
                            ? "an application of Microsoft Entra ID"
                            : "a managed identity (neither AZURE_FEDERATED_TOKEN_FILE nor AZURE_CLIENT_SECRET is set)");
        return NULL;
    }
    const struct cloud_field fields[] = {
        { "grant_type", "access_token" },
        { "service", asking->registry },
        { "tenant", cloud_variable("AZURE_TENANT_ID") },
        { "access_token", token },
    };
    const char *url = arena_printf(asking->arena, "%s://%s/oauth2/exchange", scheme, asking->registry);
    const char *text = url ? cloud_ask_form(asking, url, fields, sizeof fields / sizeof fields[0], err) : NULL;
    const struct json *answer = text ? json_parse(asking->arena, span_of(text), err) : NULL;
    const char *refresh = text ? cloud_member(answer, "refresh_token", "the registry", err) : NULL;
    asking->lifetime_s = REFRESH_TOKEN_S;
    return refresh ? secret_new(span_of(refresh), err) : NULL;
}

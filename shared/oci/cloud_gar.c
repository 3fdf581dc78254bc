/* Google Artifact Registry: an OAuth2 access token as password, or a service account's key file as it is. Found as
 * Google's libraries do (Application Default Credentials): a credential file, else the metadata service. */
#include "shared/oci/cloud_ask.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/oci/registry_auth.h"

#include <string.h>

enum { KEY_FILE_S = 60 * 60 };

#define SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define TOKEN_USER "oauth2accesstoken"

static struct secret *password_of(struct cloud_asking *asking, const struct json *answer, const char *what,
                                  struct error *err)
{
    const char *token = answer ? cloud_member(answer, "access_token", what, err) : NULL;
    asking->lifetime_s = cloud_expires_in(answer);
    return token ? cloud_basic(TOKEN_USER, token, err) : NULL;
}

/* The machine's or the pod's own account (GCE, GKE with and without Workload Identity, Cloud Run). */
static struct secret *from_metadata(struct cloud_asking *asking, struct error *err)
{
    static const struct http_header flavor = { "Metadata-Flavor", "Google" };
    const char *host = cloud_variable("GCE_METADATA_HOST");
    const struct cloud_request request = {
        .method = "GET",
        .url = arena_printf(asking->arena, "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
                            host ? host : "metadata.google.internal"),
        .headers = &flavor,
        .header_count = 1,
        .metadata = true,
    };
    const struct json *answer = request.url ? cloud_ask(asking, &request, err) : NULL;
    struct secret *secret = answer ? password_of(asking, answer, "Google's metadata service", err) : NULL;
    if (!secret)
        error_wrap(err, "the account of this machine (GOOGLE_APPLICATION_CREDENTIALS names no file)");
    return secret;
}

/* ---- workload identity federation ---- */

/* The token that somebody else vouches for us with: the file itself, or a member of its JSON. */
static const char *subject_token(struct cloud_asking *asking, const struct json *source, struct error *err)
{
    const char *path = json_get_string(source, "file");
    const struct json *format = json_get(source, "format");
    const char *type = json_get_string(format, "type"), *field = json_get_string(format, "subject_token_field_name");
    if (!path) {
        error_set(err, ERROR_UNSUPPORTED, "'credential_source' names no 'file': tokens from elsewhere are not read");
        return NULL;
    }
    const char *text = cloud_read_file(asking, path, err);
    if (!text || !type || strcmp(type, "json") != 0)
        return text;
    const struct json *json = json_parse(asking->arena, span_of(text), err);
    if (json && field)
        return cloud_member(json, field, path, err);
    error_set(err, ERROR_INVALID, "token file '%s' is not the JSON that 'format' promises", path);
    return NULL;
}

/* RFC 8693: their token for one of Google's. */
static const struct json *exchange(struct cloud_asking *asking, const struct json *file, struct error *err)
{
    const char *token = subject_token(asking, json_get(file, "credential_source"), err);
    const char *url = token ? cloud_member(file, "token_url", "the credential file", err) : NULL;
    const struct cloud_field fields[] = {
        { "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange" },
        { "requested_token_type", "urn:ietf:params:oauth:token-type:access_token" },
        { "audience", json_get_string(file, "audience") },
        { "scope", SCOPE },
        { "subject_token_type", json_get_string(file, "subject_token_type") },
        { "subject_token", token },
    };
    const char *text = url ? cloud_ask_form(asking, url, fields, sizeof fields / sizeof fields[0], err) : NULL;
    const struct json *answer = text ? json_parse(asking->arena, span_of(text), err) : NULL;
    if (text && !answer)
        error_set(err, ERROR_UNAVAILABLE, "Google's token service answered what is no JSON");
    return answer;
}

static int64_t seconds_until(const char *time)
{
    int64_t then = 0;
    if (!time || !rfc3339_parse(span_of(time), &then))
        return cloud_expires_in(NULL);
    int64_t left = (then - clock_wall_ms()) / 1000;
    return left > 0 && left < KEY_FILE_S ? left : KEY_FILE_S;
}

/* As a service account that the federated identity may act for. */
static struct secret *impersonate(struct cloud_asking *asking, const char *url, const char *token, struct error *err)
{
    AUTO(bytes_wipe) struct bytes bearer = BYTES(SECRET_MAX);
    if (!bytes_printf(&bearer, err, "Bearer %s", token))
        return NULL;
    const struct http_header headers[] = { { "Authorization", bytes_text(&bearer) },
                                           { "Content-Type", "application/json" } };
    const struct cloud_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = SPAN("{\"scope\":[\"" SCOPE "\"],\"lifetime\":\"3600s\"}"),
    };
    const struct json *answer = cloud_ask(asking, &request, err);
    const char *theirs = answer ? cloud_member(answer, "accessToken", "Google's IAM", err) : NULL;
    asking->lifetime_s = seconds_until(json_get_string(answer, "expireTime"));
    return theirs ? cloud_basic(TOKEN_USER, theirs, err) : NULL;
}

static struct secret *from_external_account(struct cloud_asking *asking, const struct json *file, struct error *err)
{
    static const char service[] = "Google's token service";
    const char *act_as = json_get_string(file, "service_account_impersonation_url");
    const struct json *answer = exchange(asking, file, err);
    if (!answer || !act_as)
        return answer ? password_of(asking, answer, service, err) : NULL;
    const char *token = cloud_member(answer, "access_token", service, err);
    return token ? impersonate(asking, act_as, token, err) : NULL;
}

/* ---- the credential file ---- */

/* Artifact Registry takes the key itself as a password; no token has to be signed for. */
static struct secret *from_key(struct cloud_asking *asking, const char *text, struct error *err)
{
    asking->lifetime_s = KEY_FILE_S;
    return cloud_basic("_json_key", text, err);
}

struct secret *cloud_login_gar(struct cloud_asking *asking, struct error *err)
{
    const char *path = cloud_variable("GOOGLE_APPLICATION_CREDENTIALS");
    if (!path)
        return from_metadata(asking, err);
    const char *text = cloud_read_file(asking, path, err);
    if (!text)
        return NULL;
    const struct json *file = json_parse(asking->arena, span_of(text), err);
    const char *type = json_get_string(file, "type");
    if (type && strcmp(type, "service_account") == 0)
        return from_key(asking, text, err);
    if (type && strcmp(type, "external_account") == 0)
        return from_external_account(asking, file, err);
    error_set(err, ERROR_UNSUPPORTED, "'%s' is neither a 'service_account' nor an 'external_account'", path);
    return NULL;
}

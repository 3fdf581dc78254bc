/* Amazon ECR: GetAuthorizationToken, signed with keys from where AWS' own libraries look for them, in their order. */
#include "shared/oci/cloud_ask.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/http/address.h"
#include "shared/http/url.h"
#include "shared/oci/registry_auth.h"
#include "shared/oci/sigv4.h"

#include <string.h>

struct keys {
    const char *id, *secret, *session; /* session NULL: long-lived ones */
};

enum { TOKEN_S = 12 * 60 * 60, REGION_MAX = 40 };

#define METADATA "http://169.254.169.254"

/* ---- which region ---- */

static bool is_region(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!((text.data[i] >= 'a' && text.data[i] <= 'z') || (text.data[i] >= '0' && text.data[i] <= '9') ||
              text.data[i] == '-'))
            return false;
    return text.len > 0 && text.len <= REGION_MAX;
}

/* ACCOUNT.dkr.ecr.REGION.amazonaws.com, ...ecr-fips..., ACCOUNT.dkr-ecr.REGION.on.aws; for other names (an alias, an
 * endpoint of the network) the environment tells. */
static const char *find_region(struct cloud_asking *asking, struct error *err)
{
    struct span rest = span_of(asking->registry), region = { NULL, 0 };
    const char *named = cloud_variable("AWS_REGION");
    while (rest.data && !region.data) {
        struct span label = span_cut(&rest, '.');
        if (span_is(label, "ecr") || span_is(label, "ecr-fips") || span_starts(label, "dkr-ecr"))
            region = span_cut(&rest, '.');
    }
    if (!region.data)
        region = span_of(named ? named : cloud_variable("AWS_DEFAULT_REGION"));
    if (region.data && is_region(region))
        return arena_dup(asking->arena, region);
    error_set(err, ERROR_INVALID, "the registry's name tells no region: set AWS_REGION");
    return NULL;
}

static const char *endpoint(struct cloud_asking *asking, const char *variable, const char *service, const char *region)
{
    const char *named = cloud_variable(variable);
    if (!named)
        named = cloud_variable("AWS_ENDPOINT_URL");
    return named ? named
                 : arena_printf(asking->arena, "https://%s.%s.amazonaws.com%s", service, region,
                                strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

/* ---- keys ---- */

static bool keys_of_json(const struct json *answer, struct keys *out, struct error *err)
{
    static const char what[] = "the service that gives AWS keys";
    out->id = cloud_member(answer, "AccessKeyId", what, err);
    out->secret = out->id ? cloud_member(answer, "SecretAccessKey", what, err) : NULL;
    out->session = out->secret ? cloud_member(answer, "Token", what, err) : NULL;
    return out->session != NULL;
}

static bool from_environment(struct cloud_asking *asking, struct keys *out, struct error *err)
{
    (void)asking;
    *out = (struct keys){ cloud_variable("AWS_ACCESS_KEY_ID"), cloud_variable("AWS_SECRET_ACCESS_KEY"),
                          cloud_variable("AWS_SESSION_TOKEN") };
    return out->secret || error_set(err, ERROR_INVALID, "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY");
}

/* The text of an XML element that holds neither markup nor entities: what keys are made of never does. */
static const char *element(struct cloud_asking *asking, const char *xml, const char *name, struct error *err)
{
    const char *open = arena_printf(asking->arena, "<%s>", name);
    const char *found = open ? strstr(xml, open) : NULL, *text = found ? found + strlen(open) : "";
    size_t len = strcspn(text, "<&\r\n\t ");
    if (len > 0 && text[len] == '<')
        return arena_dup(asking->arena, (struct span){ text, len });
    error_set(err, ERROR_UNAVAILABLE, "the answer of AWS STS holds no '%s'", name);
    return NULL;
}

/* A role for the identity of a Kubernetes service account (IRSA). */
static bool from_web_identity(struct cloud_asking *asking, struct keys *out, struct error *err)
{
    const char *token = cloud_read_file(asking, cloud_variable("AWS_WEB_IDENTITY_TOKEN_FILE"), err);
    const char *region = token ? find_region(asking, err) : NULL, *session = cloud_variable("AWS_ROLE_SESSION_NAME");
    const struct cloud_field fields[] = {
        { "Action", "AssumeRoleWithWebIdentity" },
        { "Version", "2011-06-15" },
        { "RoleArn", cloud_variable("AWS_ROLE_ARN") },
        { "RoleSessionName", session ? session : "pushwright" },
        { "WebIdentityToken", token },
    };
    const char *url = region ? endpoint(asking, "AWS_ENDPOINT_URL_STS", "sts", region) : NULL;
    const char *xml = url ? cloud_ask_form(asking, url, fields, sizeof fields / sizeof fields[0], err) : NULL;
    out->id = xml ? element(asking, xml, "AccessKeyId", err) : NULL;
    out->secret = out->id ? element(asking, xml, "SecretAccessKey", err) : NULL;
    out->session = out->secret ? element(asking, xml, "SessionToken", err) : NULL;
    return out->session != NULL;
}

/* The addresses that AWS' libraries take by http, too: ECS, EKS Pod Identity by IPv4 and IPv6. */
static bool is_container_service(const char *url)
{
    static const char *const hosts[] = { "169.254.170.2", "169.254.170.23", "fd00:ec2::23" };
    struct error ignored;
    struct url parsed;
    if (!url_parse(span_of(url), &parsed, &ignored))
        return false;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (span_is(parsed.host, hosts[i]))
            return true;
    return host_is_loopback(parsed.host);
}

static bool from_container(struct cloud_asking *asking, struct keys *out, struct error *err)
{
    const char *relative = cloud_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *file = cloud_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *url = relative ? arena_printf(asking->arena, "http://169.254.170.2%s", relative)
                               : cloud_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *token = file ? cloud_read_file(asking, file, err) : cloud_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (!url || (file && !token))
        return false;
    const struct http_header authorization = { "Authorization", token ? token : "" };
    const struct cloud_request request = {
        .method = "GET",
        .url = url,
        .headers = &authorization,
        .header_count = token ? 1 : 0,
        .metadata = is_container_service(url),
    };
    const struct json *answer = cloud_ask(asking, &request, err);
    return answer && keys_of_json(answer, out, err);
}

/* The role of the machine, by version 2 of the metadata service: the token keeps what only forwards requests out. */
static bool from_machine(struct cloud_asking *asking, struct keys *out, struct error *err)
{
    static const struct http_header lifetime = { "X-aws-ec2-metadata-token-ttl-seconds", "60" };
    const char *named = cloud_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *base = arena_printf(asking->arena, "%s/latest", named ? named : METADATA);
    const char *roles = arena_printf(asking->arena, "%s/meta-data/iam/security-credentials/", base ? base : "");
    struct cloud_request request = { .method = "PUT",
                                     .url = arena_printf(asking->arena, "%s/api/token", base ? base : ""),
                                     .headers = &lifetime,
                                     .header_count = 1,
                                     .metadata = true };
    const char *token = roles && request.url ? cloud_ask_text(asking, &request, err) : NULL;
    if (!token)
        return false;
    const struct http_header with_token = { "X-aws-ec2-metadata-token", token };
    request = (struct cloud_request){
        .method = "GET", .url = roles, .headers = &with_token, .header_count = 1, .metadata = true
    };
    const char *role = cloud_ask_text(asking, &request, err);
    if (!role)
        return false;
    request.url = arena_printf(asking->arena, "%s%.*s", roles, (int)strcspn(role, "\r\n/?# "), role);
    const struct json *answer = request.url ? cloud_ask(asking, &request, err) : NULL;
    return answer && keys_of_json(answer, out, err);
}

/* The first whose variables are all set; what it gives counts, even a failure: other keys would be other rights. */
static const struct {
    const char *variable, *second;
    bool (*find)(struct cloud_asking *asking, struct keys *out, struct error *err);
    const char *name;
} places[] = {
    { "AWS_ACCESS_KEY_ID", NULL, from_environment, "the environment" },
    { "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", from_web_identity, "a web identity" },
    { "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL, from_container, "the container's role" },
    { "AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL, from_container, "the container's role" },
};

static bool find_keys(struct cloud_asking *asking, struct keys *out, struct error *err)
{
    const char *disabled = cloud_variable("AWS_EC2_METADATA_DISABLED");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (cloud_variable(places[i].variable) && (!places[i].second || cloud_variable(places[i].second)))
            return places[i].find(asking, out, err) || error_wrap(err, "AWS keys of %s", places[i].name);
    if (disabled && strcmp(disabled, "true") == 0)
        return error_set(err, ERROR_NOT_FOUND,
                         "no AWS keys: neither AWS_ACCESS_KEY_ID nor AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN nor "
                         "AWS_CONTAINER_CREDENTIALS_* is set, and AWS_EC2_METADATA_DISABLED is");
    return from_machine(asking, out, err) ||
           error_wrap(err, "AWS keys of the machine's role (no variable names others)");
}

/* ---- the token ---- */

/* Host and port as the request's Host header has them. */
static const char *host_of(struct cloud_asking *asking, const char *url)
{
    const char *host = strstr(url, "://");
    return host ? arena_dup(asking->arena, (struct span){ host + 3, strcspn(host + 3, "/?#") }) : NULL;
}

static const struct json *get_token(struct cloud_asking *asking, const struct keys *keys, const char *region,
                                    const char *url, struct error *err)
{
    char time[SIGV4_TIME_SIZE];
    AUTO(bytes_release) struct bytes authorization = BYTES(CLOUD_URL_MAX);
    const char *host = host_of(asking, url);
    sigv4_time(clock_wall_ms(), time);
    struct http_header headers[6] = { { "content-type", "application/x-amz-json-1.1" },
                                      { "host", host ? host : "" },
                                      { "x-amz-date", time } };
    size_t count = 3;
    if (keys->session)
        headers[count++] = (struct http_header){ "x-amz-security-token", keys->session };
    headers[count++] =
        (struct http_header){ "x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" };
    const struct sigv4_request sign = {
        .method = "POST",
        .path = "/",
        .query = "",
        .headers = headers,
        .header_count = count,
        .body = SPAN("{}"),
        .time = time,
        .region = region,
        .service = "ecr",
        .key_id = keys->id,
        .secret_key = keys->secret,
    };
    if (!sigv4_authorization(&sign, &authorization, err))
        return NULL;
    headers[count++] = (struct http_header){ "authorization", bytes_text(&authorization) };
    const struct cloud_request request = {
        .method = "POST", .url = url, .headers = headers, .header_count = count, .body = sign.body
    };
    return cloud_ask(asking, &request, err);
}

/* {"authorizationData":[{"authorizationToken":BASE64 OF "AWS:...","expiresAt":1.7e9,...}]} */
static struct secret *read_token(const struct json *answer, struct error *err)
{
    const struct json *first = json_first(json_get(answer, "authorizationData"));
    const char *packed = cloud_member(first, "authorizationToken", "Amazon ECR", err);
    AUTO(bytes_wipe) struct bytes plain = BYTES(SECRET_MAX);
    if (!packed)
        return NULL;
    if (!base64_decode(&plain, span_of(packed), err) || !span_starts(bytes_span(&plain), "AWS:")) {
        error_set(err, ERROR_UNAVAILABLE, "the answer of Amazon ECR holds a token that is no user and password");
        return NULL;
    }
    return secret_new(bytes_span(&plain), err);
}

struct secret *cloud_login_ecr(struct cloud_asking *asking, struct error *err)
{
    struct keys keys = { .id = NULL };
    const char *region = find_region(asking, err);
    const char *url = region ? endpoint(asking, "AWS_ENDPOINT_URL_ECR", "api.ecr", region) : NULL;
    const struct json *answer =
        url && find_keys(asking, &keys, err) ? get_token(asking, &keys, region, url, err) : NULL;
    asking->lifetime_s = TOKEN_S;
    return answer ? read_token(answer, err) : NULL;
}

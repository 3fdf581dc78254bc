#include "shared/kube/kubeconfig.h"

#include "shared/base/bytes.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/http/address.h"
#include "shared/http/url.h"
#include "shared/kube/yaml.h"

#include <string.h>

enum { ARENA_MAX = 32 * 1024 * 1024, FILE_MAX = 1024 * 1024 };

/* One context while it is read. */
struct reading {
    struct kube_access *out;
    struct arena *tree; /* of the file, with everybody's secrets: gone when the one context is read */
    const char *folder;
    bool insecure;
    const struct json *cluster, *user;
};

static bool no_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

/* ---- members ---- */

/* NULL: absent or empty, which clientcmd takes for the same. */
static bool text_member(const struct json *object, const char *key, const char **out, struct error *err)
{
    const struct json *value = yaml_member(object, key);
    *out = NULL;
    if (!value || json_type(value) == JSON_NULL)
        return true;
    if (json_type(value) != JSON_STRING)
        return error_set(err, ERROR_INVALID, "'%s' must be a text, not %s", key, json_type_name(json_type(value)));
    if (*json_string(value))
        *out = json_string(value);
    return true;
}

/* The same, for as long as the access lives. */
static bool kept_member(struct reading *r, const struct json *object, const char *key, const char **out,
                        struct error *err)
{
    if (!text_member(object, key, out, err))
        return false;
    return !*out || (*out = arena_dup(r->out->arena, span_of(*out))) || no_memory(err);
}

/* The element {"name": NAME, KEY: {...}} of a list of the file. */
static const struct json *named(const struct json *root, const char *list, const char *key, const char *name)
{
    for (const struct json *one = json_first(yaml_member(root, list)); one; one = json_next(one)) {
        const char *its = json_string(yaml_member(one, "name"));
        if (its && strcmp(its, name) == 0)
            return yaml_member(one, key);
    }
    return NULL;
}

static const char *place_of_file(struct reading *r, const char *path, struct error *err)
{
    if (path[0] != '/' && !r->folder) {
        error_set(err, ERROR_INVALID, "file '%s' must be named from the root", path);
        return NULL;
    }
    const char *place = path[0] == '/' ? arena_dup(r->out->arena, span_of(path))
                                       : arena_printf(r->out->arena, "%s/%s", r->folder, path);
    if (!place)
        no_memory(err);
    return place;
}

/* Go's decoder, which wrote them, passes over line breaks. */
static bool decode(struct bytes *out, struct span text, struct error *err)
{
    AUTO(bytes_wipe) struct bytes joined = BYTES(KUBECONFIG_MAX);
    while (text.data)
        if (!bytes_append_span(&joined, span_trim(span_cut(&text, '\n')), err))
            return false;
    return base64_decode(out, bytes_span(&joined), err);
}

/* NAME-data, in base64, or else the file that NAME names; absent: neither. */
static bool data_or_file(struct reading *r, const struct json *object, const char *name, struct bytes *out, bool *there,
                         struct error *err)
{
    char data_name[64];
    const char *data, *path;
    snprintf(data_name, sizeof data_name, "%s-data", name);
    if (!text_member(object, data_name, &data, err) || !text_member(object, name, &path, err))
        return false;
    *there = data || path;
    if (data)
        return decode(out, span_of(data), err) || error_wrap(err, "'%s'", data_name);
    const char *place = path ? place_of_file(r, path, err) : NULL;
    if (path && (!place || !file_read(out, place, err)))
        return error_wrap(err, "'%s'", name);
    return true;
}

static bool pem_member(struct reading *r, const struct json *object, const char *name, const char **out,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(FILE_MAX);
    bool there;
    *out = NULL;
    if (!data_or_file(r, object, name, &text, &there, err))
        return false;
    if (there && !(*out = arena_dup(r->out->arena, bytes_span(&text))))
        return no_memory(err);
    return true;
}

static bool keep_secret(struct span text, struct secret **out, struct error *err)
{
    *out = secret_new(text, err);
    return *out != NULL;
}

/* ---- the cluster ---- */

static bool read_server(struct reading *r, struct error *err)
{
    const char *text;
    struct url url;
    if (!text_member(r->cluster, "server", &text, err))
        return false;
    if (!text)
        return error_set(err, ERROR_INVALID, "the cluster has no 'server'");
    if (!url_parse(span_of(text), &url, err))
        return error_wrap(err, "'server'");
    if ((!span_is(url.scheme, "https") && !span_is(url.scheme, "http")) || url.userinfo.data || url.query.data ||
        url.fragment.data)
        return error_set(err, ERROR_INVALID, "'server' must be an https URL, such as \"https://10.0.0.1:6443\"");
    if (span_is(url.scheme, "http") && !r->insecure && !host_is_loopback(url.host))
        return error_set(
            err, ERROR_DENIED,
            "'server' is reached over plain http, where everybody on the way can read and change what is said: "
            "use https, or say \"insecure\": true for this cluster");
    struct span kept = span_of(text);
    while (span_ends(kept, "/"))
        kept.len--;
    r->out->server = arena_dup(r->out->arena, kept);
    return r->out->server || no_memory(err);
}

static bool read_trust(struct reading *r, struct error *err)
{
    const struct json *skip = yaml_member(r->cluster, "insecure-skip-tls-verify");
    if (!pem_member(r, r->cluster, "certificate-authority", &r->out->ca_pem, err) ||
        !kept_member(r, r->cluster, "tls-server-name", &r->out->tls_server_name, err))
        return false;
    if (json_boolean(skip, false) && !r->insecure)
        return error_set(err, ERROR_DENIED,
                         "'insecure-skip-tls-verify' would trust whoever answers: give the cluster's certificate as "
                         "'certificate-authority', or say \"insecure\": true for this cluster");
    r->out->insecure = json_boolean(skip, false);
    return true;
}

static bool read_proxy(struct reading *r, struct error *err)
{
    static const char *const schemes[] = { "http", "https", "socks5" };
    struct url url;
    if (!kept_member(r, r->cluster, "proxy-url", &r->out->proxy, err))
        return false;
    if (!r->out->proxy)
        return true;
    if (!url_parse(span_of(r->out->proxy), &url, err)) /* it may hold a password and is not repeated */
        return error_set(err, ERROR_INVALID, "'proxy-url' is no URL");
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (span_is(url.scheme, schemes[i]))
            return true;
    return error_set(err, ERROR_INVALID, "'proxy-url' must start with http://, https:// or socks5://");
}

/* ---- the user ---- */

static const struct {
    const char *member, *why;
} refused[] = {
    { "exec", "a program gives the credentials ('exec'), and the function has none to run: use a service account's "
              "token or a client "
              "certificate" },
    { "auth-provider",
      "a plugin gives the credentials ('auth-provider'), which Kubernetes itself has given up: use a service "
      "account's token or a client certificate" },
    { "as", "impersonation ('as') is not supported: use the credentials of whom is to act" },
    { "as-uid", "impersonation ('as-uid') is not supported: use the credentials of whom is to act" },
    { "as-groups", "impersonation ('as-groups') is not supported: use the credentials of whom is to act" },
    { "as-user-extra", "impersonation ('as-user-extra') is not supported: use the credentials of whom is to act" },
};

static bool refuse_plugins(const struct json *user, struct error *err)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const struct json *value = yaml_member(user, refused[i].member);
        bool empty = !value || json_type(value) == JSON_NULL || (json_string(value) && !*json_string(value));
        if (!empty)
            return error_set(err, ERROR_UNSUPPORTED, "%s", refused[i].why);
    }
    return true;
}

static bool read_certificate(struct reading *r, struct error *err)
{
    AUTO(bytes_wipe) struct bytes key = BYTES(SECRET_MAX);
    bool there;
    if (!pem_member(r, r->user, "client-certificate", &r->out->certificate_pem, err) ||
        !data_or_file(r, r->user, "client-key", &key, &there, err))
        return false;
    if (there != (r->out->certificate_pem != NULL))
        return error_set(err, ERROR_INVALID, "'client-certificate' and 'client-key' belong together");
    return !there || keep_secret(bytes_span(&key), &r->out->key_pem, err) || error_wrap(err, "'client-key'");
}

/* A file counts more than a token, as it does for client-go: it is the newer one. */
static bool read_token(struct reading *r, struct error *err)
{
    const char *token, *path;
    if (!text_member(r->user, "token", &token, err) || !text_member(r->user, "tokenFile", &path, err))
        return false;
    if (path) {
        r->out->token_file = place_of_file(r, path, err);
        return r->out->token_file || error_wrap(err, "'tokenFile'");
    }
    return !token || keep_secret(span_of(token), &r->out->token, err);
}

static bool read_password(struct reading *r, struct error *err)
{
    const char *password;
    if (!text_member(r->user, "password", &password, err) ||
        !kept_member(r, r->user, "username", &r->out->username, err))
        return false;
    return !password || !r->out->username || keep_secret(span_of(password), &r->out->password, err);
}

/* ---- the file ---- */

static bool find_context(struct reading *r, const struct json *root, const char *wanted, struct error *err)
{
    const char *name = wanted, *cluster, *user;
    if (!name && !text_member(root, "current-context", &name, err))
        return false;
    if (!name)
        return error_set(err, ERROR_NOT_FOUND, "it has no 'current-context': name one of its contexts as \"context\"");
    const struct json *context = named(root, "contexts", "context", name);
    if (!context)
        return error_set(err, ERROR_NOT_FOUND, "it has no context '%.200s'", name);
    if (!text_member(context, "cluster", &cluster, err) || !text_member(context, "user", &user, err) ||
        !kept_member(r, context, "namespace", &r->out->namespace, err))
        return error_wrap(err, "context '%.200s'", name);
    r->cluster = cluster ? named(root, "clusters", "cluster", cluster) : NULL;
    r->user = user ? named(root, "users", "user", user) : NULL;
    if (!r->cluster)
        return error_set(err, ERROR_NOT_FOUND, "context '%.200s' names cluster '%.200s', which it has not", name,
                         cluster ? cluster : "");
    if (user && !r->user)
        return error_set(err, ERROR_NOT_FOUND, "context '%.200s' names user '%.200s', whom it has not", name, user);
    return true;
}

static bool read_all(struct reading *r, struct span text, const char *context, struct error *err)
{
    if (text.len > KUBECONFIG_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d bytes", KUBECONFIG_MAX);
    const struct json *root = yaml_parse(r->tree, text, err);
    if (!root)
        return false;
    if (json_type(root) != JSON_OBJECT || !yaml_member(root, "clusters"))
        return error_set(err, ERROR_INVALID, "it has no 'clusters', 'users' and 'contexts' as a kubeconfig has");
    return find_context(r, root, context, err) && refuse_plugins(r->user, err) && read_server(r, err) &&
           read_trust(r, err) && read_proxy(r, err) && read_certificate(r, err) && read_token(r, err) &&
           read_password(r, err);
}

bool kubeconfig_read(struct kube_access *out, struct span text, const char *folder, const char *context, bool insecure,
                     struct error *err)
{
    AUTO(kube_access_release) struct kube_access access = { .arena = arena_new_small(ARENA_MAX) };
    AUTO(arena_free) struct arena *tree = arena_new(ARENA_MAX);
    struct reading r = { .out = &access, .tree = tree, .folder = folder, .insecure = insecure };
    if (!access.arena || !tree)
        return no_memory(err);
    if (!read_all(&r, text, context, err))
        return error_wrap(err, "kubeconfig");
    *out = access;
    access = (struct kube_access){ 0 };
    return true;
}

bool kubeconfig_load(struct kube_access *out, const char *path, const char *context, bool insecure, struct error *err)
{
    AUTO(bytes_wipe) struct bytes text = BYTES(KUBECONFIG_MAX);
    if (!file_read(&text, path, err))
        return error_wrap(err, "kubeconfig");
    long slash = span_find_last(span_of(path), '/');
    AUTO(free) char *folder = slash < 0 ? strdup(".") : strndup(path, slash > 0 ? (size_t)slash : 1);
    if (!folder)
        return no_memory(err);
    return kubeconfig_read(out, bytes_span(&text), folder, context, insecure, err) || error_wrap(err, "'%s'", path);
}

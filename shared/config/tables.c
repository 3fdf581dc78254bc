#include "shared/config/settings.h"

#include "shared/base/digest.h"
#include "shared/base/machine.h"
#include "shared/kube/resource.h"

#include <string.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
/* How many it may be is known when it is compiled, and decided there. */
#define FITS(rows)                                                                                                     \
    sizeof(struct {                                                                                                    \
        _Static_assert(COUNT(rows) <= SETTINGS_MAX, "settings.h: SETTINGS_MAX");                                       \
        char nothing;                                                                                                  \
    })
#define SHAPE(rows) .settings = (rows), .count = COUNT(rows) + 0 * FITS(rows)
#define AT(item, member) .offset = offsetof(struct item, member)
#define LIST(item, member, length) AT(item, member), .count_offset = offsetof(struct item, length)

/* Secrets. */
static void check_secret(struct reading *r, const struct json *object, void *item)
{
    (void)item;
    if ((json_get(object, "file") != NULL) == (json_get(object, "env") != NULL))
        mistake(r, NULL, "names either a 'file' or a variable, 'env'");
}

static const struct setting secret_settings[] = {
    { "file", JSON_STRING, 0, read_text, AT(secret_reference, file), .check = check_any },
    { "env", JSON_STRING, 0, read_text, AT(secret_reference, env), .check = check_variable },
};

static const struct shape secret_shape = {
    .what = "the place of a secret",
    SHAPE(secret_settings),
    .size = sizeof(struct secret_reference),
    .if_a_string = "secrets are never in this file: name a file or a variable, as {\"file\": \"/secrets/name\"} or "
                   "{\"env\": \"NAME\"}",
    .check = check_secret,
};

/* Sources. */
static const struct config_source source_defaults = { .kind = SOURCE_KINDS };

static void check_source(struct reading *r, const struct json *object, void *item)
{
    const struct config_source *source = item;
    bool gitlab = source->kind == SOURCE_GITLAB, registry = source->kind == SOURCE_REGISTRY;
    bool has_secret = json_get(object, "secret") || (gitlab && json_get(object, "signingSecret"));
    if (source->kind == SOURCE_KINDS)
        return;
    if (!registry && !has_secret)
        mistake(r, NULL, "source '%s' has no secret: deliveries could not be verified",
                source->name ? source->name : "?");
    if (!gitlab && json_get(object, "signingSecret"))
        mistake(r, "signingSecret", "only sources of kind 'gitlab' have one; use 'secret'");
    if (!registry && json_get(object, "host"))
        mistake(r, "host", "only sources of kind 'registry' have one");
    if (json_get(object, "username") && !json_get(object, "token"))
        mistake(r, "username", "is of no use without a 'token'");
}

static const struct setting source_settings[] = {
    { "name", JSON_STRING, REQUIRED, read_text, AT(config_source, name), .check = check_name },
    { "kind", JSON_STRING, REQUIRED, read_source_kind, AT(config_source, kind) },
    { "secret", JSON_OBJECT, 0, read_object, AT(config_source, secret), .shape = &secret_shape },
    { "signingSecret", JSON_OBJECT, 0, read_object, AT(config_source, signing_secret), .shape = &secret_shape },
    { "token", JSON_OBJECT, 0, read_object, AT(config_source, token), .shape = &secret_shape },
    { "username", JSON_STRING, 0, read_text, AT(config_source, username), .check = check_any },
    { "caFile", JSON_STRING, 0, read_text, AT(config_source, ca_file), .check = check_any },
    { "host", JSON_STRING, 0, read_text, AT(config_source, host), .check = check_host },
};

static const struct shape source_shape = {
    .what = "a source",
    SHAPE(source_settings),
    .size = sizeof(struct config_source),
    .defaults = &source_defaults,
    .check = check_source,
};

/* Build rules. */
static const struct setting on_settings[] = {
    { "branches", JSON_ARRAY, 0, read_patterns, AT(config_build, branches) },
    { "tags", JSON_ARRAY, 0, read_patterns, AT(config_build, tags) },
    { "paths", JSON_ARRAY, 0, read_patterns, AT(config_build, paths) },
    { "base", JSON_BOOLEAN, 0, read_boolean, AT(config_build, on_base) },
};

static const struct shape on_shape = { .what = "'on'", SHAPE(on_settings) };

/* What an image is for when nobody says. */
static const char *own_platform[] = { MACHINE_PLATFORM };

static const struct config_build build_defaults = {
    .enabled = true,
    .reconcile = true,
    .honour_skip = true,
    .dockerfile = "Dockerfile",
    .context = ".",
    .submodules = true,
    .tag = "{ref}-{time}-{sha:7}",
    .platforms = own_platform,
    .platform_count = 1,
    .timeout_s = 1800,
};

/* Where neither branches nor tags are told apart, every branch builds, and no tag. */
static void default_to_every_branch(struct reading *r, struct config_build *build)
{
    struct patterns *everything = keep_patterns(r);
    struct error err = { 0 };
    if (everything && !patterns_add_glob(everything, SPAN("**"), &err))
        r->out_of_memory = err;
    build->branches = everything;
}

static void check_repository_of(struct reading *r, const struct json *object)
{
    static const char *const needed[] = { "source", "repository", "clone" };
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!json_get(object, needed[i]))
            mistake(r, NULL, "'%s' is missing: a build rule needs it, unless it has an 'inline' Dockerfile", needed[i]);
}

static void check_inline(struct reading *r, const struct json *object, struct config_build *build)
{
    static const char *const senseless[] = { "source", "repository", "clone", "dockerfile", "context", "skipCi" };
    char id[SHA256_HEX_SIZE];
    for (size_t i = 0; i < sizeof senseless / sizeof senseless[0]; i++)
        if (json_get(object, senseless[i]))
            mistake(r, senseless[i],
                    "an 'inline' Dockerfile is built without a repository: leave out '%s', or 'inline'", senseless[i]);
    if (build->branches || build->tags || build->paths)
        mistake(r, "on", "an 'inline' Dockerfile is built without a repository, so that nobody pushes to it");
    if (!json_get(object, "tag"))
        build->tag = "{time}-{sha:7}";
    sha256_hex_of(span_of(build->inline_text), id);
    build->inline_id = keep_text(r, span_of(id));
}

static void check_build(struct reading *r, const struct json *object, void *item)
{
    struct config_build *build = item;
    if (build->inline_text)
        check_inline(r, object, build);
    else if (!json_get(object, "inline"))
        check_repository_of(r, object);
    if (build->source && build->source->kind == SOURCE_REGISTRY)
        mistake(r, "source", "source '%s' is a registry: builds come from git hosts", build->source->name);
    if (!build->inline_text && !build->branches && !build->tags)
        default_to_every_branch(r, build);
    build->implicit_platform = !json_get(object, "platforms");
    bool in_directory = build->image && strncmp(build->image, "oci:", 4) == 0;
    if (build->on_base && in_directory)
        mistake(r, "on", "'base' needs an image at a registry, where it is remembered on what the image stands");
    /* Refs do not tell paths; and an image's own directory is not for our records. */
    if ((build->paths || in_directory) && !json_get(object, "reconcile"))
        build->reconcile = false;
}

static const struct setting signing_settings[] = {
    { "key", JSON_OBJECT, REQUIRED, read_object, AT(config_signing, key), .shape = &secret_shape },
    { "password", JSON_OBJECT, 0, read_object, AT(config_signing, password), .shape = &secret_shape },
};

static const struct shape signing_shape = { .what = "'sign'", SHAPE(signing_settings) };

static const struct setting cache_settings[] = {
    { "repository", JSON_STRING, REQUIRED, read_image, AT(config_cache, repository) },
    { "mode", JSON_STRING, 0, read_cache_mode, AT(config_cache, all_stages) },
    { "mounts", JSON_BOOLEAN, 0, read_boolean, AT(config_cache, mounts) },
    { "trust", JSON_BOOLEAN, 0, read_boolean, AT(config_cache, trusted) },
};

static const struct shape cache_shape = { .what = "'cache'", SHAPE(cache_settings) };

static const struct setting log_settings[] = {
    { "registry", JSON_BOOLEAN, 0, read_boolean, AT(config_log, registry) },
    { "url", JSON_STRING, 0, read_text, AT(config_log, url), .check = check_log_url },
    { "token", JSON_OBJECT, 0, read_object, AT(config_log, token), .shape = &secret_shape },
};

static const struct shape log_shape = { .what = "'log'", SHAPE(log_settings) };

static const struct setting limits_settings[] = {
    { "memory", JSON_NUMBER, 0, read_long, AT(config_limits, memory), .min = 6 << 20, .max = INT64_C(1) << 50 },
    { "pids", JSON_NUMBER, 0, read_unsigned, AT(config_limits, pids), .min = 10, .max = 1 << 22 },
};

static const struct shape limits_shape = { .what = "'limits'", SHAPE(limits_settings) };

static const struct setting build_settings[] = {
    { "name", JSON_STRING, REQUIRED, read_text, AT(config_build, name), .check = check_name },
    { "source", JSON_STRING, 0, read_source_name, AT(config_build, source) },
    { "repository", JSON_STRING, 0, read_text, AT(config_build, repository), .check = check_repository },
    { "clone", JSON_STRING, 0, read_text, AT(config_build, clone), .check = check_clone },
    { "inline", JSON_STRING, 0, read_text, AT(config_build, inline_text), .check = check_dockerfile },
    { "enabled", JSON_BOOLEAN, 0, read_boolean, AT(config_build, enabled) },
    { "on", JSON_OBJECT, 0, read_object, .shape = &on_shape },
    { "reconcile", JSON_BOOLEAN, 0, read_boolean, AT(config_build, reconcile) },
    { "skipCi", JSON_BOOLEAN, 0, read_boolean, AT(config_build, honour_skip) },
    { "dockerfile", JSON_STRING, 0, read_text, AT(config_build, dockerfile), .check = check_relative_path },
    { "context", JSON_STRING, 0, read_text, AT(config_build, context), .check = check_relative_path },
    { "submodules", JSON_BOOLEAN, 0, read_boolean, AT(config_build, submodules) },
    { "target", JSON_STRING, 0, read_text, AT(config_build, target), .check = check_any },
    { "args", JSON_OBJECT, 0, read_arguments, LIST(config_build, args, arg_count) },
    { "compression", JSON_STRING, 0, read_compression, AT(config_build, compression) },
    { "mediaTypes", JSON_STRING, 0, read_media_types, AT(config_build, docker_types) },
    { "provenance", JSON_BOOLEAN, 0, read_boolean, AT(config_build, provenance) },
    { "sbom", JSON_BOOLEAN, 0, read_boolean, AT(config_build, sbom) },
    { "isolation", JSON_STRING, 0, read_isolation, AT(config_build, chroot) },
    { "limits", JSON_OBJECT, 0, read_object, AT(config_build, limits), .shape = &limits_shape },
    { "sign", JSON_OBJECT, 0, read_object, AT(config_build, sign), .shape = &signing_shape },
    { "cache", JSON_OBJECT, 0, read_object, AT(config_build, cache), .shape = &cache_shape },
    { "log", JSON_OBJECT, 0, read_object, AT(config_build, log), .shape = &log_shape },
    { "platforms", JSON_ARRAY, 0, read_texts, LIST(config_build, platforms, platform_count), .check = check_platform },
    { "image", JSON_STRING, REQUIRED, read_image, AT(config_build, image) },
    { "tag", JSON_STRING, 0, read_text, AT(config_build, tag), .check = check_tag_template },
    { "also", JSON_ARRAY, 0, read_texts, LIST(config_build, also, also_count), .check = check_tag_template },
    { "timeoutSeconds", JSON_NUMBER, 0, read_long, AT(config_build, timeout_s), .min = 1, .max = 24 * 3600 },
};

static const struct shape build_shape = {
    .what = "a build rule",
    SHAPE(build_settings),
    .size = sizeof(struct config_build),
    .defaults = &build_defaults,
    .check = check_build,
};

/* Clusters. */
static const struct setting kubeconfig_settings[] = {
    { "file", JSON_STRING, REQUIRED, read_text, AT(config_cluster, kubeconfig), .check = check_any },
};

static const struct shape kubeconfig_shape = {
    .what = "the place of a kubeconfig",
    SHAPE(kubeconfig_settings),
    .if_a_string = "credentials are never in this file: name a file, as {\"file\": \"/secrets/kubeconfig\"}",
};

static const struct setting cluster_settings[] = {
    { "name", JSON_STRING, REQUIRED, read_text, AT(config_cluster, name), .check = check_cluster_name },
    { "kubeconfig", JSON_OBJECT, REQUIRED, read_object, .shape = &kubeconfig_shape },
    { "context", JSON_STRING, 0, read_text, AT(config_cluster, context), .check = check_any },
    { "insecure", JSON_BOOLEAN, 0, read_boolean, AT(config_cluster, insecure) },
};

static const struct shape cluster_shape = {
    .what = "a cluster",
    SHAPE(cluster_settings),
    .size = sizeof(struct config_cluster),
};

/* Windows in which what runs is left alone. */
static const struct setting freeze_settings[] = {
    { "from", JSON_STRING, REQUIRED, read_cron, AT(freeze, from) },
    { "to", JSON_STRING, REQUIRED, read_cron, AT(freeze, to) },
    { "timeZone", JSON_STRING, 0, read_text, AT(freeze, zone), .check = zone_check },
};

static const struct shape freeze_shape = { .what = "a freeze", SHAPE(freeze_settings), .size = sizeof(struct freeze) };

/* Triggers. */
static const struct config_target target_defaults = {
    .namespace = "default",
    .ready_timeout_s = 60,
};

static void refuse_members(struct reading *r, const struct json *object, const char *const *names, const char *why)
{
    for (; *names; names++)
        if (json_get(object, *names))
            mistake(r, *names, "%s", why);
}

static void check_local(struct reading *r, const struct json *object, struct config_target *target)
{
    static const char *const senseless[] = { "apiVersion", "plural", "path", "write", "timeoutSeconds", "force", NULL };
    refuse_members(r, object, senseless, "is of no use with cluster 'local'");
    if (!target->kind)
        target->kind = "Service";
}

static void check_kubernetes(struct reading *r, const struct json *object, struct config_target *target)
{
    static const char *const senseless[] = { "servicePort", "containerPort", "readyTimeoutSeconds", NULL };
    refuse_members(r, object, senseless, "is for cluster 'local' alone");
    if (!target->kind)
        target->kind = "Deployment";
    if (!target->api_version && !json_get(object, "apiVersion") && !kube_resource_find(NULL, target->kind))
        mistake(r, "kind", "kind '%.60s' is none that every cluster has: say its 'apiVersion' too", target->kind);
    if (target->container && target->path)
        mistake(r, "path", "takes the place of 'container': name one of them");
}

static void check_target(struct reading *r, const struct json *object, void *item)
{
    struct config_target *target = item;
    if (target->cluster)
        (strcmp(target->cluster, CLUSTER_LOCAL) == 0 ? check_local : check_kubernetes)(r, object, target);
}

static const struct setting target_settings[] = {
    { "cluster", JSON_STRING, REQUIRED, read_cluster_name, AT(config_target, cluster) },
    { "namespace", JSON_STRING, 0, read_text, AT(config_target, namespace), .check = check_name },
    { "kind", JSON_STRING, 0, read_text, AT(config_target, kind), .check = check_name },
    { "apiVersion", JSON_STRING, 0, read_text, AT(config_target, api_version), .check = check_api_version },
    { "plural", JSON_STRING, 0, read_text, AT(config_target, plural), .check = check_name },
    { "workload", JSON_STRING, REQUIRED, read_text, AT(config_target, workload), .check = check_name },
    { "container", JSON_STRING, 0, read_text, AT(config_target, container), .check = check_name },
    { "platform", JSON_STRING, 0, read_text, AT(config_target, platform), .check = check_platform },
    { "path", JSON_STRING, 0, read_text, AT(config_target, path), .check = check_any },
    { "write", JSON_STRING, 0, read_image_form, AT(config_target, write) },
    { "timeoutSeconds", JSON_NUMBER, 0, read_long, AT(config_target, timeout_s), .min = 1, .max = 24 * 3600 },
    { "force", JSON_BOOLEAN, 0, read_boolean, AT(config_target, force) },
    { "servicePort", JSON_STRING, OR_NUMBER, read_port, AT(config_target, service_port) },
    { "containerPort", JSON_NUMBER, 0, read_unsigned, AT(config_target, container_port), .min = 1, .max = 65535 },
    { "readyTimeoutSeconds", JSON_NUMBER, 0, read_long, AT(config_target, ready_timeout_s), .min = 1, .max = 3600 },
    { "freeze", JSON_ARRAY, 0, read_objects, LIST(config_target, freezes, freeze_count), .shape = &freeze_shape },
};

static const struct shape target_shape = {
    .what = "a target",
    SHAPE(target_settings),
    .size = sizeof(struct config_target),
    .defaults = &target_defaults,
    .check = check_target,
};

static const struct setting verification_settings[] = {
    { "key", JSON_OBJECT, REQUIRED, read_object, AT(config_verification, key), .shape = &secret_shape },
};

static const struct shape verification_shape = { .what = "'verify'", SHAPE(verification_settings) };

static const struct config_trigger trigger_defaults = { .enabled = true };

static const struct setting trigger_settings[] = {
    { "name", JSON_STRING, REQUIRED, read_text, AT(config_trigger, name), .check = check_name },
    { "image", JSON_STRING, REQUIRED, read_image, AT(config_trigger, image) },
    { "enabled", JSON_BOOLEAN, 0, read_boolean, AT(config_trigger, enabled) },
    { "when", JSON_OBJECT, REQUIRED, read_condition, AT(config_trigger, when) },
    { "downgrade", JSON_BOOLEAN, 0, read_boolean, AT(config_trigger, downgrade) },
    { "verify", JSON_OBJECT, 0, read_object, AT(config_trigger, verify), .shape = &verification_shape },
    { "strategy", JSON_STRING, 0, read_strategy, AT(config_trigger, strategy) },
    { "freeze", JSON_ARRAY, 0, read_objects, LIST(config_trigger, freezes, freeze_count), .shape = &freeze_shape },
    { "deploy", JSON_ARRAY, REQUIRED, read_objects, LIST(config_trigger, targets, target_count),
      .shape = &target_shape },
};

static const struct shape trigger_shape = {
    .what = "a trigger",
    SHAPE(trigger_settings),
    .size = sizeof(struct config_trigger),
    .defaults = &trigger_defaults,
};

/* Registries. */
static void check_registry(struct reading *r, const struct json *object, void *item)
{
    static const char *const logins[] = { "username",  "password", "dockerConfig", "credentials",
                                          "plainHttp", "caFile",   "mirrors" };
    const struct config_registry *registry = item;
    if ((json_get(object, "username") != NULL) != (json_get(object, "password") != NULL))
        mistake(r, NULL, "'username' and 'password' belong together");
    if (json_get(object, "dockerConfig") && json_get(object, "username"))
        mistake(r, "dockerConfig", "takes the place of 'username' and 'password': name one of them");
    if (json_get(object, "credentials") && (json_get(object, "dockerConfig") || json_get(object, "username")))
        mistake(r, "credentials",
                "takes the place of 'username' and 'password' and of 'dockerConfig': name one of them");
    if (registry->mirror_count > STORE_MIRRORS_MAX)
        mistake(r, "mirrors", "are more than %d", STORE_MIRRORS_MAX);
    for (size_t i = 0; json_get(object, "layout") && i < sizeof logins / sizeof *logins; i++)
        if (json_get(object, logins[i]))
            mistake(r, logins[i], "is of no use with 'layout': a directory asks for no login");
}

static const struct setting registry_settings[] = {
    { "host", JSON_STRING, REQUIRED, read_text, AT(config_registry, host), .check = check_host },
    { "username", JSON_STRING, 0, read_text, AT(config_registry, username), .check = check_any },
    { "password", JSON_OBJECT, 0, read_object, AT(config_registry, password), .shape = &secret_shape },
    { "dockerConfig", JSON_OBJECT, 0, read_object, AT(config_registry, docker_config), .shape = &secret_shape },
    { "credentials", JSON_STRING, 0, read_cloud, AT(config_registry, credentials) },
    { "plainHttp", JSON_BOOLEAN, 0, read_boolean, AT(config_registry, plain_http) },
    { "caFile", JSON_STRING, 0, read_text, AT(config_registry, ca_file), .check = check_any },
    { "mirrors", JSON_ARRAY, 0, read_texts, LIST(config_registry, mirrors, mirror_count), .check = check_mirror },
    { "layout", JSON_STRING, 0, read_text, AT(config_registry, layout), .check = check_any },
};

static const struct shape registry_shape = {
    .what = "a registry",
    SHAPE(registry_settings),
    .size = sizeof(struct config_registry),
    .check = check_registry,
};

/* The chain and the interface for people. */
static const struct setting chain_settings[] = {
    { "keys", JSON_ARRAY, REQUIRED, read_objects, LIST(config, chain_keys, chain_key_count), .shape = &secret_shape },
};

static const struct shape chain_shape = { .what = "'chain'", SHAPE(chain_settings) };

static const struct setting api_settings[] = {
    { "token", JSON_OBJECT, 0, read_object, AT(config, api_token), .shape = &secret_shape },
};

static const struct shape api_shape = { .what = "'api'", SHAPE(api_settings) };

/* The file. Sources come before builds and clusters before triggers, which name them. */
static const struct setting root_settings[] = {
    { "$schema", JSON_STRING, 0, .read = read_nothing },
    { "sources", JSON_ARRAY, 0, read_objects, LIST(config, sources, source_count), .shape = &source_shape },
    { "builds", JSON_ARRAY, 0, read_objects, LIST(config, builds, build_count), .shape = &build_shape },
    { "clusters", JSON_ARRAY, 0, read_objects, LIST(config, clusters, cluster_count), .shape = &cluster_shape },
    { "triggers", JSON_ARRAY, 0, read_objects, LIST(config, triggers, trigger_count), .shape = &trigger_shape },
    { "registries", JSON_ARRAY, 0, read_objects, LIST(config, registries, registry_count), .shape = &registry_shape },
    { "chain", JSON_OBJECT, 0, read_object, .shape = &chain_shape },
    { "api", JSON_OBJECT, 0, read_object, .shape = &api_shape },
};

/* Names by which other parts of the file or events find a thing stand once. */
static void check_unique(struct reading *r, const struct json *root, const char *list, const char *member)
{
    size_t mark = path_enter(r, list), index = 0;
    const struct json *first = json_count(json_get(root, list)) <= ITEMS_MAX ? json_first(json_get(root, list)) : NULL;
    for (const struct json *later = first; later; later = json_next(later), index++) {
        const char *name = json_get_string(later, member);
        const struct json *earlier = first;
        size_t where = 0;
        for (; name && earlier != later; earlier = json_next(earlier), where++) {
            const char *other = json_get_string(earlier, member);
            if (other && strcmp(other, name) == 0)
                break;
        }
        if (!name || earlier == later)
            continue;
        size_t element = path_enter_element(r, index);
        (void)path_enter(r, member);
        mistake(r, NULL, "'%.60s' is taken by %s[%zu]", name, list, where);
        path_leave(r, element);
    }
    path_leave(r, mark);
}

static void check_root(struct reading *r, const struct json *object, void *item)
{
    static const struct {
        const char *list, *member;
    } rows[] = { { "sources", "name" },
                 { "builds", "name" },
                 { "clusters", "name" },
                 { "triggers", "name" },
                 { "registries", "host" } };
    (void)item;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_unique(r, object, rows[i].list, rows[i].member);
}

const struct shape root_shape = { .what = "the configuration", SHAPE(root_settings), .check = check_root };

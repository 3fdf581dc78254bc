/* What deploy may do on a cluster, as objects of Kubernetes' RBAC: what its targets need, and nothing else. */
#include "runtime/cli/options.h"

#include "shared/config/config.h"
#include "shared/kube/resource.h"

#include <stdlib.h>
#include <string.h>

#define ACCOUNT_DEFAULT "default/pushwright-deploy"

struct arguments {
    const char *config, *cluster, *account;
};

/* One workload that images are put into. */
struct grant {
    const char *namespace;
    struct span group;
    const char *plural, *workload;
};

struct grants {
    struct grant *items;
    size_t count;
};

static void grants_release(struct grants *grants)
{
    free(grants->items);
}
AUTO_RELEASE(struct grants, grants_release)

static int compare_spans(struct span a, struct span b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Those of one role beside each other, in it those of one rule. */
static int compare_grants(const void *left, const void *right)
{
    const struct grant *a = left, *b = right;
    int order = strcmp(a->namespace, b->namespace);
    if (order == 0)
        order = compare_spans(a->group, b->group);
    if (order == 0)
        order = strcmp(a->plural, b->plural);
    return order != 0 ? order : strcmp(a->workload, b->workload);
}

static bool of_one_role(const struct grant *a, const struct grant *b)
{
    return strcmp(a->namespace, b->namespace) == 0;
}

static bool of_one_rule(const struct grant *a, const struct grant *b)
{
    return of_one_role(a, b) && span_equal(a->group, b->group) && strcmp(a->plural, b->plural) == 0;
}

/* What the API server would tell deploy, nobody tells here: kinds that not every cluster has are named in the configuration. */
static bool grant_of(const struct config_trigger *trigger, const struct config_target *target, struct grant *out,
                     struct error *err)
{
    const struct kube_resource *known = kube_resource_find(target->api_version, target->kind);
    const struct kube_resource resource = { .api_version = known ? known->api_version : target->api_version };
    const char *plural = target->plural ? target->plural : known ? known->plural : NULL;
    if (!plural)
        return error_set(err, ERROR_INVALID,
                         "trigger '%s', workload '%s': rules go by the plural of a kind, as paths of the API have it: "
                         "give the target the 'plural' of '%s'",
                         trigger->name, target->workload, target->kind);
    *out = (struct grant){ target->namespace, kube_resource_group(&resource), plural, target->workload };
    return true;
}

static bool gather(const struct config *config, const char *cluster, struct grants *out, struct error *err)
{
    size_t room = 0;
    for (size_t i = 0; i < config->trigger_count; i++)
        room += config->triggers[i].target_count;
    out->items = calloc(room + 1, sizeof *out->items);
    if (!out->items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < config->trigger_count; i++) {
        const struct config_trigger *trigger = &config->triggers[i];
        for (size_t k = 0; trigger->enabled && k < trigger->target_count; k++)
            if (strcmp(trigger->targets[k].cluster, cluster) == 0 &&
                !grant_of(trigger, &trigger->targets[k], &out->items[out->count++], err))
                return false;
    }
    qsort(out->items, out->count, sizeof *out->items, compare_grants);
    return true;
}

/* Names of the configuration hold letters, digits, '.', '_' and '-': in quotes they are texts, whatever they look like. */
static void print_head(const char *api_version, const char *kind, struct span namespace, struct span name)
{
    printf("---\napiVersion: %s\nkind: %s\nmetadata: {namespace: \"%.*s\", name: \"%.*s\"}\n", api_version, kind,
           SPAN_ARGS(namespace), SPAN_ARGS(name));
}

/* One rule for workloads of a kind, by their names: read, watched and patched. What was printed is skipped. */
static const struct grant *print_rule(const struct grant *from, const struct grant *end)
{
    const struct grant *last = NULL, *next = from;
    printf("- apiGroups: [\"%.*s\"]\n  resources: [\"%s\"]\n  resourceNames: [", SPAN_ARGS(from->group), from->plural);
    for (; next < end && of_one_rule(next, from); last = next++)
        if (!last || strcmp(last->workload, next->workload) != 0)
            printf("%s\"%s\"", last ? ", " : "", next->workload);
    puts("]\n  verbs: [get, list, watch, patch]");
    return next;
}

/* Pods and their logs tell why an image does not come up: their names are not known before. */
static const char *const around = "- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [list, watch]\n"
                                  "- apiGroups: [\"\"]\n  resources: [pods/log]\n  verbs: [get]\n"
                                  "- apiGroups: [events.k8s.io]\n  resources: [events]\n  verbs: [create]\n";

static const struct grant *print_role(const struct grant *from, const struct grant *end, struct span account_namespace,
                                      struct span account)
{
    const struct grant *next = from;
    struct span namespace = span_of(from->namespace);
    print_head("rbac.authorization.k8s.io/v1", "Role", namespace, account);
    puts("rules:");
    while (next < end && of_one_role(next, from))
        next = print_rule(next, end);
    fputs(around, stdout);
    print_head("rbac.authorization.k8s.io/v1", "RoleBinding", namespace, account);
    printf("roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: \"%.*s\"}\n"
           "subjects:\n- {kind: ServiceAccount, namespace: \"%.*s\", name: \"%.*s\"}\n",
           SPAN_ARGS(account), SPAN_ARGS(account_namespace), SPAN_ARGS(account));
    return next;
}

static bool is_known(const struct config *config, const char *cluster)
{
    bool known = strcmp(cluster, CLUSTER_IN_CLUSTER) == 0;
    for (size_t i = 0; i < config->cluster_count; i++)
        known = known || strcmp(cluster, config->clusters[i].name) == 0;
    return known;
}

static bool is_name(struct span text)
{
    bool fine = text.len > 0 && text.len <= 63;
    for (size_t i = 0; i < text.len; i++)
        fine = fine && strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", text.data[i]);
    return fine;
}

static bool print_all(const struct config *config, const struct arguments *arguments, struct error *err)
{
    AUTO(grants_release) struct grants grants = { 0 };
    struct span account = span_of(arguments->account), namespace = span_cut(&account, '/');
    if (!is_name(namespace) || !is_name(account))
        return error_set(err, ERROR_INVALID, "'%s' is no account: write NAMESPACE/NAME", arguments->account);
    if (!is_known(config, arguments->cluster))
        return error_set(err, ERROR_INVALID, "'%s' has no cluster '%s'", arguments->config, arguments->cluster);
    if (!gather(config, arguments->cluster, &grants, err))
        return false;
    if (grants.count == 0)
        return error_set(err, ERROR_INVALID, "no trigger of '%s' deploys to cluster '%s' (--cluster names another)",
                         arguments->config, arguments->cluster);
    printf("# What the function deploy needs in cluster '%s', and nothing else.\n", arguments->cluster);
    print_head("v1", "ServiceAccount", namespace, account);
    for (const struct grant *next = grants.items, *end = next + grants.count; next < end;)
        next = print_role(next, end, namespace, account);
    return true;
}

static int run(int argc, char **argv)
{
    struct arguments arguments = { .cluster = CLUSTER_IN_CLUSTER, .account = ACCOUNT_DEFAULT };
    const struct option options[] = { OPTION("--cluster", &arguments.cluster), OPTION("--account", &arguments.account),
                                      END };
    const struct argument names[] = { ARGUMENT("CONFIG", &arguments.config), END };
    if (!options_read(&command_rbac, argc, argv, options, names))
        return EXIT_USAGE;
    AUTO(config_free) struct config *config = NULL;
    struct error err = { 0 };
    int code = command_check_config("rbac", arguments.config, stderr, &config);
    return !config ? code : print_all(config, &arguments, &err) ? EXIT_DONE : command_fail("rbac", &err);
}

const struct command command_rbac = {
    .name = "rbac",
    .summary = "the permissions that deploy needs on a cluster",
    .help =
        "Usage: pushwright rbac [--cluster NAME] [--account NAMESPACE/NAME] CONFIG\n\n"
        "Prints a service account for the function deploy, and for each namespace that triggers deploy to a Role with\n"
        "its binding: get, list, watch and patch of the named workloads; list and watch of pods, and their logs, "
        "which\n"
        "tell why an image does not come up; create of events. Nothing else. For kubectl apply -f -\n\n"
        "  --cluster NAME            of the configuration (default: in-cluster)\n"
        "  --account NAMESPACE/NAME  of the service account (default: " ACCOUNT_DEFAULT ")\n\n"
        "Triggers that are switched off count for nothing. Exit codes: 0 printed, 3 wrong input.\n",
    .run = run,
};

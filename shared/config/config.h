/* pushwright.json, checked and taken apart. Secrets are not in it: it names files and environment variables, which are read
 * when a function asks for them (each function mounts only what it needs).
 *
 * The schema for editors is templates/config/pushwright.schema.json; this module is the judge: every mistake of a file is
 * found at once, each with line and column. */
#ifndef PUSHWRIGHT_CONFIG_CONFIG_H
#define PUSHWRIGHT_CONFIG_CONFIG_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"
#include "shared/oci/compress.h"
#include "shared/oci/store.h"
#include "shared/policy/calendar.h"
#include "shared/policy/condition.h"
#include "shared/policy/pattern.h"
#include "shared/secrets/secret.h"

enum { CONFIG_MAX = 4 * 1024 * 1024 };

/* {"file": "..."} or {"env": "..."}; both NULL: not configured. */
struct secret_reference {
    const char *file;
    const char *env;
};
bool secret_reference_is_set(const struct secret_reference *reference);
struct secret *secret_reference_load(const struct secret_reference *reference, struct error *err);

enum source_kind { SOURCE_GITHUB, SOURCE_GITLAB, SOURCE_GITEA, SOURCE_FORGEJO, SOURCE_REGISTRY, SOURCE_KINDS };
const char *source_kind_name(enum source_kind kind); /* "github", ... as in the file */

struct config_source {
    const char *name;
    enum source_kind kind;
    struct secret_reference secret; /* HMAC secret, GitLab's plain token, a registry's static Authorization value */
    struct secret_reference
        signing_secret;            /* GitLab's signing token (whsec_...); once set, the plain token no longer counts */
    struct secret_reference token; /* for fetching */
    const char *username;          /* with token; NULL: the git module's default */
    const char *ca_file;
    const char *host; /* registry sources: the registry's name in image references; NULL: as told */
};

struct config_argument {
    const char *name;
    const char *value; /* a template, as `tag` */
};

struct config_signing {
    struct secret_reference key;      /* ECDSA on P-256, in PEM; not set: nothing is signed */
    struct secret_reference password; /* of a key that cosign has locked; not set: an empty one */
};

struct config_cache {
    const char *repository; /* reference without tag; NULL: the build cache is on disk only */
    bool all_stages;        /* "mode": "max" */
    bool mounts;            /* what RUN --mount=type=cache holds, too */
    bool trusted;           /* what is not sealed under the chain's key counts too */
};

/* What stands in for the ref of a build that has no repository. */
#define CONFIG_INLINE_REF "inline"

struct config_log {
    bool registry;                 /* kept beside the image */
    const char *url;               /* a template, as `tag`: PUT there; NULL: not */
    struct secret_reference token; /* for the URL */
};

struct config_limits { /* of each RUN; 0: none */
    long memory;       /* bytes */
    unsigned pids;     /* processes and threads */
};

struct config_build {
    const char *name;
    const struct config_source *source;
    const char *repository; /* full name as the git host says it: "acme/helloworld", compared without case */
    const char *clone;
    const char *inline_text; /* a Dockerfile, instead of a repository: then source, repository and clone are NULL */
    const char *inline_id;   /* SHA-256 of it in hexadecimal: what stands in for the commit */
    bool enabled;            /* "enabled": false switches it off */
    const struct patterns *branches,
        *tags;                    /* NULL: none of that kind builds; both absent in the file: every branch, no tag */
    const struct patterns *paths; /* NULL: any */
    bool on_base; /* branches, and inline Dockerfiles, are built anew when an image moves that they stand on */
    bool
        reconcile; /* lost pushes are found on the timer; default true, but false with `paths`, and for an image in a directory ("oci:...") */
    bool honour_skip;       /* "[skip ci]" in the head commit's message; default true */
    const char *dockerfile; /* "Dockerfile", relative to context's repository root */
    const char *context;    /* "." */
    bool submodules;        /* of the commit are fetched, too; default true */
    const char *target;     /* NULL: the last stage */
    const struct config_argument *args;
    size_t arg_count;
    const char *image; /* reference without tag */
    const char *
        tag; /* template: {branch} {tag} {ref} {sha} {sha:7} {time} {build}; default "{ref}-{time}-{sha:7}", "{time}-{sha:7}" without a repository */
    const char **also; /* further tags, templates */
    size_t also_count;
    struct compression compression; /* of layers: "gzip", "zstd:19" */
    bool docker_types;              /* "mediaTypes": "docker" instead of "oci" */
    bool provenance, sbom;          /* told beside the image; default false: each takes requests of its own */
    struct config_signing sign;
    struct config_cache cache;
    bool chroot; /* "isolation": "chroot": RUN may do with that little; default false */
    struct config_limits limits;
    struct config_log log;  /* where builds' logs are kept; default nowhere */
    const char **platforms; /* default: this machine's, which is */
    bool implicit_platform; /* one that nobody asked for */
    size_t platform_count;
    long timeout_s; /* default 1800 */
};

/* A cluster beside the one that this runs in, as a context of a kubeconfig file has it. */
struct config_cluster {
    const char *name;
    const char *kubeconfig; /* the file */
    const char *context;    /* NULL: the file's current one */
    bool insecure;          /* what the file says of skipping verification, and plain http, counts */
};

#define CLUSTER_LOCAL "local"           /* the embedded target */
#define CLUSTER_IN_CLUSTER "in-cluster" /* the one that this runs in, as the pod's service account */

/* What is written of an image: name:tag@digest, name:tag, name@digest. */
enum image_form { IMAGE_TAG_DIGEST, IMAGE_TAG, IMAGE_DIGEST };

struct config_target {
    const char *cluster;                  /* CLUSTER_LOCAL, CLUSTER_IN_CLUSTER, or a name: */
    const struct config_cluster *outside; /* of the last; else NULL */
    const char *namespace;                /* "default" */
    const char *kind;                     /* "Service" for local, "Deployment" elsewhere */
    const char *api_version;              /* NULL: the usual one of the kind */
    const char *plural;                   /* of the kind, as in paths of the API; NULL: the API server is asked */
    const char *workload;
    const char *container; /* or init container; NULL: the only container */
    const char *
        path; /* to the image's name in the object, instead (shared/kube/patch.h); NULL: the pod template's container */
    enum image_form write;
    long timeout_s;       /* of a rollout; 0: the workload's own */
    bool force;           /* also where Flux, Argo CD or Helm look after the object */
    const char *platform; /* that an image must have; NULL: any */
    const char *
        service_port; /* local: where the service listens, "127.0.0.1:8080" or "8080"; NULL: the kernel chooses once, then kept */
    unsigned container_port;      /* local: port inside the container; 0: the image's first EXPOSE, else 80 */
    long ready_timeout_s;         /* default 60 */
    const struct freeze *freezes; /* when it is left alone; those of its trigger count too */
    size_t freeze_count;
};

/* How the targets of a trigger go: all at once; each when the one before is healthy; all at once, and when one fails all go back. */
enum strategy { STRATEGY_PARALLEL, STRATEGY_ORDERED, STRATEGY_ALL_OR_NOTHING };

struct config_verification {
    struct secret_reference key; /* public, ECDSA on P-256, in PEM; not set: images need no signature */
};

struct config_trigger {
    const char *name;
    const char *image; /* reference without tag, normalised by reference_name() */
    bool enabled;
    const struct condition *when;
    bool downgrade; /* what `when` tells to be older may replace what runs; default false */
    struct config_verification verify;
    enum strategy strategy;
    const struct freeze *freezes;
    size_t freeze_count;
    const struct config_target *targets;
    size_t target_count;
};

struct config {
    const struct config_source *sources;
    size_t source_count;
    const struct config_build *builds;
    size_t build_count;
    const struct config_cluster *clusters;
    size_t cluster_count;
    const struct config_trigger *triggers;
    size_t trigger_count;
    const struct config_registry *registries;
    size_t registry_count;
    const struct secret_reference *chain_keys; /* "chain": {"keys": [...]}: the first signs, all verify */
    size_t chain_key_count;
    struct secret_reference api_token; /* "api": {"token": ...}: who may POST /builds/NAME */
};

struct config_registry {
    const char *host;
    const char *username;
    struct secret_reference password, docker_config;
    enum cloud credentials; /* "ecr", "gar", "acr" */
    bool plain_http;
    const char *ca_file;
    const char **mirrors; /* for base images: host[:port][/prefix] */
    size_t mirror_count;
    const char *layout; /* "layout": a directory that stands for the registry (registry_login) */
};

/* All that is wrong with a file, in order: line, column (from 1) and a sentence that says what, where and what to do. */
struct config_mistake {
    size_t line, column;
    const char *text;
};
struct config_mistakes {
    struct config_mistake *items;
    size_t count;
    struct arena *arena;
};
void config_mistakes_release(struct config_mistakes *mistakes);
AUTO_RELEASE(struct config_mistakes, config_mistakes_release)

/* NULL with every mistake in *mistakes (at most 100) and the first in *err. */
struct config *config_parse(struct span text, struct config_mistakes *mistakes, struct error *err);
/* Read and parse; the error names the file and the first mistake, and how many there are. */
struct config *config_read(const char *path, struct config_mistakes *mistakes, struct error *err);
/* The same for who needs only that. path NULL: config_path(). */
struct config *config_load(const char *path, struct error *err);
const char *config_path(void); /* $PUSHWRIGHT_CONFIG, else /etc/pushwright/pushwright.json */
void config_free(struct config *config);
AUTO_FREE(struct config, config_free)

const struct config_build *config_find_build(const struct config *config, const char *name);
const struct config_trigger *config_find_trigger(const struct config *config, const char *name);
const struct config_source *config_find_source(const struct config *config, const char *name);

/* Login of a registry with its secrets loaded, for store_open(); lives until freed. */
struct registry_logins;
struct registry_logins *config_registry_logins(const struct config *config, struct error *err);
void registry_logins_free(struct registry_logins *logins);
AUTO_FREE(struct registry_logins, registry_logins_free)
struct registry_options registry_logins_options(const struct registry_logins *logins);

#endif

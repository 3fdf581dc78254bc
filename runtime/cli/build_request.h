/* What the command line of `pushwright build` asks for. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_REQUEST_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_REQUEST_H

#include "runtime/cli/build_attest.h"
#include "runtime/cli/build_cache.h"
#include "shared/builder/engine.h"

enum {
    BUILD_WORDS_MAX = 1000,
    BUILD_OUTPUTS_MAX = 8,
    BUILD_SECRET_MAX = 500 * 1024, /* BuildKit's limit */
    BUILD_HOSTS_MAX = 256 * 1024,
    BUILD_MEMORY_MAX = 64 * 1024 * 1024
};

struct build_words {
    const char *items[BUILD_WORDS_MAX];
    size_t count;
};

struct build_pairs {
    struct dockerfile_pair items[BUILD_WORDS_MAX];
    size_t count;
};

enum build_output_kind { BUILD_TO_REGISTRY, BUILD_TO_OCI, BUILD_TO_DOCKER, BUILD_TO_LOCAL, BUILD_TO_TAR };

struct build_output {
    enum build_output_kind kind;
    const char *dest; /* "-": standard output; NULL for the registry */
    bool unpacked;    /* BUILD_TO_OCI: a layout directory, no archive */
};

enum build_call { BUILD_CALL_BUILD, BUILD_CALL_CHECK, BUILD_CALL_TARGETS };
enum build_progress {
    BUILD_PROGRESS_AUTO,
    BUILD_PROGRESS_PLAIN,
    BUILD_PROGRESS_TTY,
    BUILD_PROGRESS_QUIET,
    BUILD_PROGRESS_RAWJSON
};

struct build_request {
    struct arena *arena;
    const char *context, *file, *target;
    const char *id_file, *metadata_file;
    struct build_words tags, platforms, fresh_stages;
    bool implicit_platform; /* nobody asked for one */
    struct build_pairs args, contexts, labels, annotations;
    struct engine_secret secrets[BUILD_WORDS_MAX];
    struct engine_agent agents[BUILD_WORDS_MAX];
    size_t secret_count, agent_count;
    struct build_output outputs[BUILD_OUTPUTS_MAX];
    size_t output_count;
    struct build_caches caches;
    struct build_attest attest;
    struct bytes hosts; /* lines of /etc/hosts */
    int64_t shm_bytes;
    bool push, no_cache, no_network, quiet, chroot;
    bool as_root; /* not only in a namespace of its own */
    enum build_call call;
    enum build_progress progress;
};

/* NULL: the command line is wrong, *err says how. Freed by build_request_free(), secrets wiped. */
struct build_request *build_request_parse(int argc, char **argv, struct error *err);
void build_request_free(struct build_request *request);
AUTO_FREE(struct build_request, build_request_free)

/* The first name under which the image will be kept, at a registry or in a layout; NULL: there is none. */
const char *build_request_kept(const struct build_request *request);

extern const char build_help[];

#endif

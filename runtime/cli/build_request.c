#include "runtime/cli/build_request.h"

#include "runtime/cli/build_fields.h"
#include "shared/base/file.h"
#include "shared/dockerfile/platform.h"
#include "shared/oci/reference.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char build_help[] =
    "Usage: pushwright build [OPTIONS] CONTEXT\n\n"
    "Builds the image that a Dockerfile describes, without a daemon. CONTEXT is a directory, a git repository\n"
    "(https://host/repo.git#REF:SUBDIR), an archive (https://host/context.tar.gz), or - for an archive or a Dockerfile "
    "on\n"
    "standard input. The options are those of 'docker build'.\n\n"
    "What is built:\n"
    "  -f, --file FILE            the Dockerfile, also a URL or -; default CONTEXT/Dockerfile\n"
    "      --target STAGE         build this stage; default: the last\n"
    "      --build-arg NAME=VALUE an ARG's value; NAME alone takes it from the environment\n"
    "      --build-context NAME=V what FROM and COPY --from mean by NAME\n"
    "      --platform OS/ARCH,... for which machines; default: this one\n"
    "      --label KEY=VALUE      of the image\n"
    "      --annotation KEY=VALUE of its manifest\n"
    "      --secret id=ID,src=FILE, or id=ID,env=NAME: for RUN --mount=type=secret; of\n"
    "                               known names for sources: GIT_AUTH_TOKEN[.HOST], GIT_AUTH_HEADER[.HOST],\n"
    "                               HTTP_AUTH_TOKEN_HOST, HTTP_AUTH_HEADER_HOST\n"
    "      --ssh ID[=SOCKET]      for RUN --mount=type=ssh; default: $SSH_AUTH_SOCK\n"
    "      --network MODE         default or host; none: no RUN has a network\n"
    "      --isolation chroot     where no namespaces can be had RUN does without: it can then reach all that you can\n"
    "      --add-host NAME:IP     a line of /etc/hosts for RUN; --shm-size SIZE: of its /dev/shm\n"
    "      --no-cache             every step is made anew; --no-cache-filter STAGE,...: those of these stages\n"
    "      --cache-from type=registry,ref=NAME:TAG (or NAME:TAG alone, also an image's), or type=local,src=DIRECTORY: "
    "where\n"
    "                             steps are looked for that this machine does not have\n"
    "      --cache-to type=registry,ref=NAME:TAG, type=local,dest=DIRECTORY, or type=inline (with the image): where "
    "they\n"
    "                             are kept beside; mode=max with those of every stage\n"
    "      --pull                 bases are always asked for at their registry, so this changes nothing\n\n"
    "Where it goes:\n"
    "  -t, --tag IMAGE            its name, with --push or --output; oci:DIRECTORY:TAG is a layout on this machine\n"
    "      --push                 to the registry that the tags name\n"
    "  -o, --output type=oci,dest=FILE (tar=false: a layout directory), type=docker,dest=FILE (for 'docker load' and\n"
    "                             'podman load'), type=local,dest=DIRECTORY or type=tar,dest=FILE (its files),\n"
    "                             type=registry; DIRECTORY alone is type=local, - is type=tar on standard output\n"
    "      --provenance true      beside the image, with --push or --tag oci:...: what it was made of and how; --sbom "
    "true:\n"
    "                             its packages; --attest type=provenance or type=sbom is the same\n"
    "      --sign KEY             signs the image and all of this with an ECDSA key on P-256, openssl's or cosign's, "
    "the\n"
    "                             latter's password in $COSIGN_PASSWORD\n"
    "      --iidfile FILE         receives the image's ID, --metadata-file FILE what was made, as JSON\n"
    "Without any of these the image is built, its digest printed, and nothing kept.\n\n"
    "What is shown:\n"
    "      --progress MODE        auto, plain, tty, quiet or rawjson, on standard error; NO_COLOR is honoured\n"
    "  -q, --quiet                only the image's ID\n"
    "      --check                lint the Dockerfile, build nothing; exit code 1 when there are warnings\n"
    "      --call METHOD          build, check, or targets: the stages and what they stand on\n\n"
    "Passwords of registries are read from $DOCKER_CONFIG or ~/.docker/config.json, and from $REGISTRY_AUTH_FILE,\n"
    "$XDG_RUNTIME_DIR/containers/auth.json or ~/.config/containers/auth.json. What is kept between builds lies in\n"
    "$PUSHWRIGHT_CACHE_DIR, or ~/.cache/pushwright. Exit codes: 0 done, 1 the build failed, 2 wrong usage, 130 "
    "interrupted.\n";

/* ---- values ---- */

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool too_many(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "more than %d times", BUILD_WORDS_MAX);
}

static bool add_word(struct build_words *words, const char *word, struct error *err)
{
    if (words->count == BUILD_WORDS_MAX)
        return too_many(err);
    words->items[words->count++] = word;
    return true;
}

static bool add_pair(struct build_request *request, struct build_pairs *pairs, const char *text, struct error *err)
{
    struct span rest = span_of(text), key = span_cut(&rest, '=');

    if (pairs->count == BUILD_WORDS_MAX)
        return too_many(err);
    const char *name = arena_dup(request->arena, key);
    if (!name)
        return out_of_memory(err);
    if (!*name)
        return error_set(err, ERROR_INVALID, "'%s' has no name", text);
    pairs->items[pairs->count++] = (struct dockerfile_pair){ name, rest.data };
    return true;
}

/* ---- the options ---- */

static bool on_file(struct build_request *request, const char *value, struct error *err)
{
    (void)err;
    request->file = value;
    return true;
}

static bool on_tag(struct build_request *request, const char *value, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };

    if (!reference_parse(span_of(value), &reference, err))
        return false;
    if (reference.digest)
        return error_set(err, ERROR_INVALID, "'%s' has a digest, which only the build will tell", value);
    return add_word(&request->tags, value, err);
}

static bool on_target(struct build_request *request, const char *value, struct error *err)
{
    (void)err;
    request->target = value;
    return true;
}

static bool on_build_arg(struct build_request *request, const char *value, struct error *err)
{
    const char *environment = strchr(value, '=') ? NULL : getenv(value);

    if (!strchr(value, '=') && !environment)
        return true; /* as docker: not set, the Dockerfile's own default stands */
    if (environment)
        value = arena_printf(request->arena, "%s=%s", value, environment);
    return value ? add_pair(request, &request->args, value, err) : out_of_memory(err);
}

static bool with_value(struct build_request *request, struct build_pairs *pairs, const char *value, struct error *err)
{
    if (!strchr(value, '='))
        return error_set(err, ERROR_INVALID, "'%s': KEY=VALUE is needed", value);
    return add_pair(request, pairs, value, err);
}

static bool on_build_context(struct build_request *request, const char *value, struct error *err)
{
    return with_value(request, &request->contexts, value, err);
}

static bool on_label(struct build_request *request, const char *value, struct error *err)
{
    const char *whole = strchr(value, '=') ? value : arena_printf(request->arena, "%s=", value);

    return whole ? add_pair(request, &request->labels, whole, err) : out_of_memory(err);
}

static bool on_annotation(struct build_request *request, const char *value, struct error *err)
{
    static const char manifest[] = "manifest:";
    const char *equals = strchr(value, '='), *colon = memchr(value, ':', equals ? (size_t)(equals - value) : 0);

    if (colon && strncmp(value, manifest, strlen(manifest)) != 0)
        return error_set(err, ERROR_UNSUPPORTED, "'%s': only manifests are annotated", value);
    return with_value(request, &request->annotations, colon ? colon + 1 : value, err);
}

static bool on_platform(struct build_request *request, const char *value, struct error *err)
{
    struct span rest = span_of(value);

    while (rest.data) {
        const char *written = arena_dup(request->arena, span_trim(span_cut(&rest, ',')));
        const char *platform = written ? platform_parse(request->arena, written, written, err) : NULL;

        if (!written)
            return out_of_memory(err);
        if (!platform || !add_word(&request->platforms, platform, err))
            return false;
    }
    return true;
}

struct secret_fields {
    const char *id, *file, *environment, *type;
};

/* As docker: neither file nor variable said, the id names a variable, or else a file. */
static void complete(struct secret_fields *fields)
{
    if (fields->type && strcmp(fields->type, "env") == 0 && !fields->environment) {
        fields->environment = fields->file;
        fields->file = NULL;
    }
    if (fields->file || fields->environment)
        return;
    if (getenv(fields->id))
        fields->environment = fields->id;
    else
        fields->file = fields->id;
}

static bool on_secret(struct build_request *request, const char *value, struct error *err)
{
    struct secret_fields fields = { 0 };
    const struct field known[] = { { "id", &fields.id },
                                   { "src", &fields.file },
                                   { "source", &fields.file },
                                   { "env", &fields.environment },
                                   { "type", &fields.type } };
    struct engine_secret *secret = &request->secrets[request->secret_count];

    if (request->secret_count == BUILD_WORDS_MAX)
        return too_many(err);
    if (!fields_read(request->arena, value, known, sizeof(known) / sizeof(known[0]), err))
        return false;
    if (!fields.id)
        return error_set(err, ERROR_INVALID, "id=NAME is needed");
    complete(&fields);
    secret->id = fields.id;
    if (fields.environment) {
        const char *text = getenv(fields.environment);
        if (!text)
            return error_set(err, ERROR_INVALID, "the environment has no '%s'", fields.environment);
        secret->value = span_of(arena_dup(request->arena, span_of(text)));
        if (!secret->value.data)
            return out_of_memory(err);
    } else {
        struct bytes content = ARENA_BYTES(request->arena, BUILD_SECRET_MAX);
        if (!file_read(&content, fields.file, err))
            return false;
        secret->value = bytes_span(&content);
    }
    request->secret_count++;
    return true;
}

static bool on_ssh(struct build_request *request, const char *value, struct error *err)
{
    struct span rest = span_of(value), id = span_cut(&rest, '=');
    struct stat is;
    const char *socket = rest.data ? rest.data : getenv("SSH_AUTH_SOCK");
    const char *name = arena_dup(request->arena, id);

    if (!name)
        return out_of_memory(err);
    if (request->agent_count == BUILD_WORDS_MAX)
        return too_many(err);
    if (!socket || !*socket)
        return error_set(err, ERROR_INVALID, "no agent: start ssh-agent, or name its socket: --ssh %s=SOCKET", name);
    if (stat(socket, &is) < 0 || !S_ISSOCK(is.st_mode))
        return error_set(err, ERROR_UNSUPPORTED,
                         "'%s' is no agent's socket (keys are not served: ssh-add them to an agent)", socket);
    request->agents[request->agent_count++] = (struct engine_agent){ name, socket };
    return true;
}

struct output_fields {
    const char *type, *dest, *name, *push, *tar;
};

static const struct output_type {
    const char *name;
    enum build_output_kind kind;
    bool wants_dest;
} output_types[] = {
    { "registry", BUILD_TO_REGISTRY, false }, { "image", BUILD_TO_REGISTRY, false }, { "oci", BUILD_TO_OCI, true },
    { "docker", BUILD_TO_DOCKER, true },      { "local", BUILD_TO_LOCAL, true },     { "tar", BUILD_TO_TAR, true },
};

static const struct output_type *output_type(const char *name, struct error *err)
{
    for (size_t i = 0; i < sizeof(output_types) / sizeof(output_types[0]); i++) {
        if (name && strcmp(output_types[i].name, name) == 0)
            return &output_types[i];
    }
    error_set(err, ERROR_UNSUPPORTED, "type=%s is none of registry, oci, docker, local, tar", name ? name : "");
    return NULL;
}

static bool add_output(struct build_request *request, const struct output_type *type,
                       const struct output_fields *fields, struct error *err)
{
    bool archive = true, push = strcmp(type->name, "image") != 0;

    if ((fields->tar && !field_bool(fields->tar, &archive)) || (fields->push && !field_bool(fields->push, &push)))
        return error_set(err, ERROR_INVALID, "true or false is needed");
    if (type->wants_dest && !fields->dest && type->kind == BUILD_TO_DOCKER)
        return error_set(err, ERROR_UNSUPPORTED,
                         "there is no daemon to load it into: type=docker,dest=FILE, then 'docker load -i FILE'");
    if (type->wants_dest && !fields->dest)
        return error_set(err, ERROR_INVALID, "type=%s needs dest=", type->name);
    if (type->kind == BUILD_TO_REGISTRY && !push)
        return error_set(err, ERROR_UNSUPPORTED,
                         "there is no daemon to keep it: type=image,push=true, or type=oci,dest=FILE");
    if (fields->name && !on_tag(request, fields->name, err))
        return false;
    if (type->kind == BUILD_TO_REGISTRY) {
        request->push = true;
        return true;
    }
    request->outputs[request->output_count++] = (struct build_output){ type->kind, fields->dest, !archive };
    return true;
}

static bool on_output(struct build_request *request, const char *value, struct error *err)
{
    struct output_fields fields = { 0 };
    const struct field known[] = { { "type", &fields.type },
                                   { "dest", &fields.dest },
                                   { "name", &fields.name },
                                   { "push", &fields.push },
                                   { "tar", &fields.tar } };

    if (request->output_count == BUILD_OUTPUTS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d of them", BUILD_OUTPUTS_MAX);
    if (!strchr(value, '=') && !strchr(value, ',')) {
        fields = (struct output_fields){ .type = strcmp(value, "-") == 0 ? "tar" : "local", .dest = value };
    } else if (!fields_read(request->arena, value, known, sizeof(known) / sizeof(known[0]), err)) {
        return false;
    }
    const struct output_type *type = output_type(fields.type, err);
    return type && add_output(request, type, &fields, err);
}

static bool on_iidfile(struct build_request *request, const char *value, struct error *err)
{
    (void)err;
    request->id_file = value;
    return true;
}

static bool on_metadata_file(struct build_request *request, const char *value, struct error *err)
{
    (void)err;
    request->metadata_file = value;
    return true;
}

static bool on_progress(struct build_request *request, const char *value, struct error *err)
{
    static const char *const names[] = {
        [BUILD_PROGRESS_AUTO] = "auto",   [BUILD_PROGRESS_PLAIN] = "plain",     [BUILD_PROGRESS_TTY] = "tty",
        [BUILD_PROGRESS_QUIET] = "quiet", [BUILD_PROGRESS_RAWJSON] = "rawjson",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], value) == 0) {
            request->progress = (enum build_progress)i;
            return true;
        }
    }
    return error_set(err, ERROR_INVALID, "'%s' is none of auto, plain, tty, quiet, rawjson", value);
}

static bool on_call(struct build_request *request, const char *value, struct error *err)
{
    static const struct {
        const char *name;
        enum build_call call;
    } rows[] = { { "build", BUILD_CALL_BUILD },
                 { "check", BUILD_CALL_CHECK },
                 { "lint", BUILD_CALL_CHECK },
                 { "targets", BUILD_CALL_TARGETS } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, value) == 0) {
            request->call = rows[i].call;
            return true;
        }
    }
    return error_set(err, ERROR_UNSUPPORTED, "'%s' is none of build, check, targets", value);
}

static bool on_network(struct build_request *request, const char *value, struct error *err)
{
    request->no_network = strcmp(value, "none") == 0;
    if (request->no_network || strcmp(value, "default") == 0 || strcmp(value, "host") == 0)
        return true;
    return error_set(err, ERROR_UNSUPPORTED, "'%s' is none of default, host, none", value);
}

/* "NAME:ADDRESS" or "NAME=ADDRESS"; an address of IPv6 may stand in brackets. */
static bool on_add_host(struct build_request *request, const char *value, struct error *err)
{
    size_t name = strcspn(value, ":=");
    struct span address = span_of(value + name);
    char text[INET6_ADDRSTRLEN];
    struct in6_addr parsed;

    if (address.len > 0)
        address = (struct span){ address.data + 1, address.len - 1 };
    if (address.len > 1 && address.data[0] == '[' && address.data[address.len - 1] == ']')
        address = (struct span){ address.data + 1, address.len - 2 };
    if (span_is(address, "host-gateway"))
        return error_set(err, ERROR_UNSUPPORTED, "RUN has this machine's network: 127.0.0.1 is this machine");
    if (address.len < sizeof(text))
        snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(address));
    if (name == 0 || address.len >= sizeof(text) || strcspn(value, " \t\n#") < name ||
        (inet_pton(AF_INET, text, &parsed) != 1 && inet_pton(AF_INET6, text, &parsed) != 1))
        return error_set(err, ERROR_INVALID, "'%s' is no NAME:ADDRESS", value);
    if (!request->hosts.max)
        request->hosts = (struct bytes)ARENA_BYTES(request->arena, BUILD_HOSTS_MAX);
    return bytes_printf(&request->hosts, err, "%s\t%.*s\n", text, (int)name, value);
}

static bool on_no_cache_filter(struct build_request *request, const char *value, struct error *err)
{
    struct span rest = span_of(value);

    while (rest.data) {
        const char *name = arena_dup(request->arena, span_trim(span_cut(&rest, ',')));
        if (!name)
            return out_of_memory(err);
        if (!add_word(&request->fresh_stages, name, err))
            return false;
    }
    return true;
}

/* Bytes, or with k, m or g, and b behind it, as docker reads them. */
static bool on_shm_size(struct build_request *request, const char *value, struct error *err)
{
    static const char units[] = "bkmg";
    char *end;
    long long number = strtoll(value, &end, 10);
    const char *unit = *end ? strchr(units, *end | 0x20) : units;
    int shift = unit ? 10 * (int)(unit - units) : 0;

    if (unit && *end && (end[1] == 'b' || end[1] == 'B') && unit != units)
        end++;
    if (!unit || (*end && end[1]) || end == value || number <= 0 || number > INT64_MAX >> shift)
        return error_set(err, ERROR_INVALID, "'%s' is no size: 64m, say", value);
    request->shm_bytes = (int64_t)number << shift;
    return true;
}

/* buildah's word for what its users run in containers. */
static bool on_isolation(struct build_request *request, const char *value, struct error *err)
{
    request->chroot = strcmp(value, "chroot") == 0;
    return request->chroot || strcmp(value, "default") == 0 ||
           error_set(err, ERROR_UNSUPPORTED, "'%s' is neither default nor chroot", value);
}

static bool on_cache_from(struct build_request *request, const char *value, struct error *err)
{
    return build_cache_from(&request->caches, request->arena, value, err);
}

static bool on_cache_to(struct build_request *request, const char *value, struct error *err)
{
    return build_cache_to(&request->caches, request->arena, value, err);
}

static bool on_attest(struct build_request *request, const char *value, struct error *err)
{
    return build_attest_any(&request->attest, request->arena, value, err);
}

static bool on_provenance(struct build_request *request, const char *value, struct error *err)
{
    return build_attest_provenance(&request->attest, request->arena, value, err);
}

static bool on_sbom(struct build_request *request, const char *value, struct error *err)
{
    return build_attest_sbom(&request->attest, request->arena, value, err);
}

static bool on_sign(struct build_request *request, const char *value, struct error *err)
{
    return build_attest_sign(&request->attest, value, err);
}

static bool on_check(struct build_request *request, bool value)
{
    if (value)
        request->call = BUILD_CALL_CHECK;
    return true;
}

static bool on_push(struct build_request *request, bool value)
{
    request->push = value;
    return true;
}

static bool on_no_cache(struct build_request *request, bool value)
{
    request->no_cache = value;
    return true;
}

static bool on_quiet(struct build_request *request, bool value)
{
    request->quiet = value;
    return true;
}

static bool on_always(struct build_request *request, bool value)
{
    (void)request;
    return value;
}

static bool on_never(struct build_request *request, bool value)
{
    (void)request;
    return !value;
}

/* What docker build knows and this cannot do is told by name, with what to do instead. */
static const struct option {
    const char *name;
    char letter;
    bool (*value)(struct build_request *request, const char *value, struct error *err);
    bool (*flag)(struct build_request *request, bool value); /* false: refused */
    const char *refusal;                                     /* without value and flag: always */
} options[] = {
    { .name = "file", .letter = 'f', .value = on_file },
    { .name = "tag", .letter = 't', .value = on_tag },
    { .name = "target", .value = on_target },
    { .name = "build-arg", .value = on_build_arg },
    { .name = "build-context", .value = on_build_context },
    { .name = "platform", .value = on_platform },
    { .name = "label", .value = on_label },
    { .name = "annotation", .value = on_annotation },
    { .name = "secret", .value = on_secret },
    { .name = "ssh", .value = on_ssh },
    { .name = "output", .letter = 'o', .value = on_output },
    { .name = "iidfile", .value = on_iidfile },
    { .name = "metadata-file", .value = on_metadata_file },
    { .name = "progress", .value = on_progress },
    { .name = "call", .value = on_call },
    { .name = "network", .value = on_network },
    { .name = "isolation", .value = on_isolation },
    { .name = "add-host", .value = on_add_host },
    { .name = "no-cache-filter", .value = on_no_cache_filter },
    { .name = "shm-size", .value = on_shm_size },
    { .name = "cache-from", .value = on_cache_from },
    { .name = "cache-to", .value = on_cache_to },
    { .name = "attest", .value = on_attest },
    { .name = "provenance", .value = on_provenance },
    { .name = "sbom", .value = on_sbom },
    { .name = "sign", .value = on_sign },
    { .name = "check", .flag = on_check },
    { .name = "push", .flag = on_push },
    { .name = "no-cache", .flag = on_no_cache },
    { .name = "quiet", .letter = 'q', .flag = on_quiet },
    { .name = "pull", .flag = on_always, .refusal = "bases are always asked for at their registry" },
    { .name = "rm", .flag = on_always, .refusal = "nothing of a RUN is ever left" },
    { .name = "force-rm", .flag = on_always, .refusal = "nothing of a RUN is ever left" },
    { .name = "load",
      .flag = on_never,
      .refusal =
          "there is no daemon: --output type=docker,dest=FILE, then 'docker load -i FILE' or 'podman load -i FILE'; or "
          "--output type=oci,dest=FILE, then 'skopeo copy oci-archive:FILE containers-storage:NAME'" },
    { .name = "squash", .flag = on_never, .refusal = "layers are kept as the instructions make them" },
    { .name = "compress", .flag = on_never, .refusal = "no context is sent anywhere" },
    { .name = "allow", .refusal = "nothing is allowed to a RUN beyond its sandbox" },
    { .name = "builder", .refusal = "there is one builder, this program" },
    { .name = "cgroup-parent", .refusal = "no control groups are made" },
    { .name = "cpu-period", .refusal = "no control groups are made" },
    { .name = "cpu-quota", .refusal = "no control groups are made" },
    { .name = "cpu-shares", .letter = 'c', .refusal = "no control groups are made" },
    { .name = "cpuset-cpus", .refusal = "no control groups are made" },
    { .name = "cpuset-mems", .refusal = "no control groups are made" },
    { .name = "memory", .letter = 'm', .refusal = "no control groups are made" },
    { .name = "memory-swap", .refusal = "no control groups are made" },
    { .name = "security-opt", .refusal = "every RUN has the default seccomp filter and capabilities" },
    { .name = "ulimit", .refusal = "RUN has the limits of this process: ulimit in the shell before" },
    { .name = "policy", .refusal = "no policies are evaluated" },
};

/* ---- the command line ---- */

struct arguments {
    int count;
    char **items;
    int at;
};

static const struct option *find(struct span name)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (span_is(name, options[i].name))
            return &options[i];
    }
    return NULL;
}

static const struct option *find_letter(char letter)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (letter && options[i].letter == letter)
            return &options[i];
    }
    return NULL;
}

static bool refuse(const struct option *option, struct error *err)
{
    return error_set(err, ERROR_UNSUPPORTED, "--%s: %s", option->name, option->refusal);
}

static bool apply_flag(struct build_request *request, const struct option *option, const char *value, struct error *err)
{
    bool wanted = true;

    if (value && !field_bool(value, &wanted))
        return error_set(err, ERROR_INVALID, "--%s: '%s' is neither true nor false", option->name, value);
    return option->flag(request, wanted) || refuse(option, err);
}

static bool apply(struct build_request *request, const struct option *option, const char *value,
                  struct arguments *arguments, struct error *err)
{
    if (option->flag)
        return apply_flag(request, option, value, err);
    if (!option->value)
        return refuse(option, err);
    if (!value && arguments->at + 1 < arguments->count)
        value = arguments->items[++arguments->at];
    if (!value)
        return error_set(err, ERROR_INVALID, "--%s needs a value", option->name);
    return option->value(request, value, err) || error_wrap(err, "--%s", option->name);
}

static bool parse_long(struct build_request *request, const char *text, struct arguments *arguments, struct error *err)
{
    struct span value = span_of(text + 2), name = span_cut(&value, '=');
    const struct option *option = find(name);

    if (!option)
        return error_set(err, ERROR_INVALID, "unknown option --%.*s", SPAN_ARGS(name));
    return apply(request, option, value.data, arguments, err);
}

/* "-qf FILE", "-fFILE", "-f=FILE". */
static bool parse_short(struct build_request *request, const char *text, struct arguments *arguments, struct error *err)
{
    for (const char *at = text + 1; *at; at++) {
        const struct option *option = find_letter(*at);

        if (!option)
            return error_set(err, ERROR_INVALID, "unknown option -%c", *at);
        if (option->flag && at[1] != '=') {
            if (!apply(request, option, NULL, arguments, err))
                return false;
            continue;
        }
        return apply(request, option, at[1] ? at + 1 + (at[1] == '=') : NULL, arguments, err);
    }
    return true;
}

static bool take_context(struct build_request *request, const char *text, struct error *err)
{
    if (request->context)
        return error_set(err, ERROR_INVALID, "one CONTEXT at a time");
    request->context = text;
    return true;
}

static bool parse_all(struct build_request *request, struct arguments *arguments, struct error *err)
{
    bool only_context = false;

    for (; arguments->at < arguments->count; arguments->at++) {
        const char *text = arguments->items[arguments->at];
        bool good;

        if (!only_context && strcmp(text, "--") == 0) {
            only_context = true;
            continue;
        }
        if (only_context || text[0] != '-' || !text[1])
            good = take_context(request, text, err);
        else if (text[1] == '-')
            good = parse_long(request, text, arguments, err);
        else
            good = parse_short(request, text, arguments, err);
        if (!good)
            return false;
    }
    return true;
}

const char *build_request_kept(const struct build_request *request)
{
    for (size_t i = 0; i < request->tags.count; i++) {
        if (request->push || strncmp(request->tags.items[i], "oci:", 4) == 0)
            return request->tags.items[i];
    }
    return NULL;
}

static bool says_something(const struct build_attest *attest)
{
    return attest->provenance || attest->sbom || attest->key;
}

/* What does not go together, said before anything is built. */
static bool check(const struct build_request *request, struct error *err)
{
    if (!request->context)
        return error_set(err, ERROR_INVALID, "no CONTEXT was named");
    if (strcmp(request->context, "-") == 0 && request->file && strcmp(request->file, "-") == 0)
        return error_set(err, ERROR_INVALID, "invalid argument: can't use stdin for both build context and dockerfile");
    if (request->push && request->tags.count == 0)
        return error_set(err, ERROR_INVALID, "--push needs to know where to: --tag REGISTRY/NAME:TAG");
    if (says_something(&request->attest) && !build_request_kept(request))
        return error_set(
            err, ERROR_INVALID,
            "--provenance, --sbom and --sign say it beside the image, at a registry (--push) or in a layout "
            "(--tag oci:DIRECTORY:TAG)");
    for (size_t i = 0; i < request->output_count; i++) {
        if (request->platforms.count > 1 && request->outputs[i].kind >= BUILD_TO_DOCKER)
            return error_set(err, ERROR_UNSUPPORTED, "--output: this type holds the image of one platform");
    }
    return true;
}

void build_request_free(struct build_request *request)
{
    if (!request)
        return;
    for (size_t i = 0; i < request->secret_count; i++) {
        struct span value = request->secrets[i].value;
        if (value.len > 0)
            explicit_bzero((void *)(uintptr_t)value.data, value.len);
    }
    ecdsa_key_free(request->attest.key);
    arena_free(request->arena);
}

struct build_request *build_request_parse(int argc, char **argv, struct error *err)
{
    struct arguments arguments = { argc, argv, 1 };
    struct arena *arena = arena_new(BUILD_MEMORY_MAX);
    struct build_request *request = arena ? arena_take(arena, sizeof(*request)) : NULL;

    if (!request) {
        arena_free(arena);
        out_of_memory(err);
        return NULL;
    }
    request->arena = arena;
    request->as_root = geteuid() == 0;
    if (parse_all(request, &arguments, err) && check(request, err) &&
        build_cache_settle(&request->caches, arena, build_request_kept(request), err))
        return request;
    build_request_free(request);
    return NULL;
}

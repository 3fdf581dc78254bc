#include "shared/builder/cache_key.h"

#include "shared/base/encode.h"
#include "shared/builder/copy.h"
#include "shared/builder/download.h"
#include "shared/builder/named.h"

#include <string.h>

/* Another number whenever something else takes part: no key of before is met again. */
#define VERSION "pushwright-step-2"

struct key {
    struct sha256 sha;
    struct stage *stage;
    enum cache_view view;
    const struct copy *copy; /* of the sources at hand */
    struct numbering links;  /* names of one file, by the order in which they are met */
    uint64_t last_link;
    struct bytes path;         /* of what is looked at, from the source on */
    bool gathering;            /* only the contents that are still in base layers, so that each layer is read once: */
    struct content **contents; /* in the build's arena */
    size_t content_count, content_room;
};

/* ---- parts ---- */

static void put_bytes(struct key *key, const void *data, size_t len)
{
    uint8_t length[8];

    for (size_t i = 0; i < sizeof(length); i++)
        length[i] = (uint8_t)((uint64_t)len >> 8 * i);
    sha256_update(&key->sha, length, sizeof(length));
    sha256_update(&key->sha, data, len);
}

static void put_text(struct key *key, const char *text)
{
    uint8_t present = text != NULL;

    put_bytes(key, &present, 1);
    if (text)
        put_bytes(key, text, strlen(text));
}

static void put_number(struct key *key, uint64_t number)
{
    char text[DECIMAL_SIZE];

    put_bytes(key, text, decimal_encode(text, number));
}

static void put_words(struct key *key, struct dockerfile_words words)
{
    put_number(key, words.count);
    for (size_t i = 0; i < words.count; i++)
        put_text(key, words.items[i]);
}

static void put_layers(struct key *key, const struct stage *stage)
{
    put_number(key, stage->layer_count);
    for (size_t i = 0; i < stage->layer_count; i++)
        put_text(key, stage->layers[i].origin);
}

static void put_base(struct key *key, const struct base *base)
{
    put_number(key, base->image.layer_count);
    for (size_t i = 0; i < base->image.layer_count; i++)
        put_text(key, base->image.layers[i].diff_id);
}

static void put_common(struct key *key, enum dockerfile_op op, bool with_layers)
{
    const struct build *build = key->stage->build;
    const struct compression *compression = &build->options->compression;

    put_text(key, VERSION);
    put_text(key, build->options->run.cache_scope);
    put_text(key, stage_platform(key->stage));
    put_number(key, (uint64_t)compression->kind);
    put_number(key, (uint64_t)compression->level);
    put_number(key, build->timed);
    put_number(key, build->newest_s != INT64_MAX);
    put_number(key, build->time_s > 0);
    put_text(key, dockerfile_op_name(op));
    if (with_layers)
        put_layers(key, key->stage);
}

/* ---- files ---- */

static bool gather(struct key *key, struct content *content, struct error *err)
{
    if (content->kind != CONTENT_BASE)
        return true;
    if (key->content_count == key->content_room) {
        size_t room = key->content_room ? 2 * key->content_room : 64, size = sizeof(struct content *);
        key->contents = arena_grow(key->stage->build->arena, key->contents, key->content_room * size, room * size);
        key->content_room = room;
    }
    if (!key->contents)
        return error_set(err, ERROR_TOO_LARGE, "more files than fit into memory");
    key->contents[key->content_count++] = content;
    return true;
}

static bool put_content(struct key *key, struct content *content, struct error *err)
{
    uint8_t digest[SHA256_SIZE];

    if (key->gathering)
        return gather(key, content, err);
    if (content->kind == CONTENT_GIT) { /* its name is a hash of it */
        put_text(key, content->git.oid);
        return true;
    }
    if (!content_size(content, err) || !content_digest(content, digest, err))
        return false;
    put_number(key, (uint64_t)content->size);
    put_bytes(key, digest, sizeof(digest));
    return true;
}

static bool put_attributes(struct key *key, const struct attributes *is, bool owners, struct error *err)
{
    uint64_t link = 0;

    if (is->file && !numbering_get(&key->links, is->file, 0, &link, err))
        return false;
    put_number(key, (uint64_t)is->type);
    put_number(key, is->mode);
    put_number(key, owners ? is->uid : 0);
    put_number(key, owners ? is->gid : 0);
    put_number(key, is->device_major);
    put_number(key, is->device_minor);
    put_text(key, is->target);
    put_bytes(key, is->capability.len > 0 ? is->capability.data : "", is->capability.len);
    put_number(key, link);
    return is->type != TAR_FILE || put_content(key, is->content, err);
}

static bool is_left_out(const struct key *key, const struct tree_node *node)
{
    const struct ignore *excludes = key->copy ? key->copy->excludes : NULL;

    if (!excludes || !ignore_excludes(excludes, bytes_span(&key->path)))
        return false;
    return !tree_is_directory(node) || !ignore_may_include_below(excludes, bytes_span(&key->path));
}

static bool put_below(struct key *key, const struct tree_node *directory, bool owners, struct error *err)
{
    size_t count, len = key->path.len;
    AUTO(free) struct tree_node **children = tree_sorted(directory, &count, err);

    if (!children && err->kind != ERROR_NONE)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct tree_node *child = children[i];

        if ((len > 0 && !bytes_append_char(&key->path, '/', err)) || !bytes_append_text(&key->path, child->name, err))
            return false;
        if (!is_left_out(key, child)) {
            put_text(key, child->name);
            if (!put_attributes(key, &child->is, owners, err) || !put_below(key, child, owners, err))
                return false;
        }
        bytes_truncate(&key->path, len);
    }
    put_text(key, NULL); /* the end of the directory */
    return true;
}

/* What COPY would copy, and by which name. */
static bool on_source(void *context, const struct tree_node *node, const char *name, const char *path, bool deep,
                      struct error *err)
{
    struct key *key = context;
    bool owners = key->copy->keep_owner && !key->copy->has_owner;

    bytes_clear(&key->path);
    if (!bytes_append_text(&key->path, path, err))
        return false;
    if (deep && *path && is_left_out(key, node))
        return true;
    put_text(key, name);
    return put_attributes(key, &node->is, owners, err) && (!deep || put_below(key, node, owners, err));
}

/* ---- COPY and ADD ---- */

/* The tree's content does not matter where its layers are known. */
static bool put_origin(struct key *key, struct dockerfile_source *source, struct error *err)
{
    struct build *build = key->stage->build;

    if (!named_settle(build, source, err))
        return false;
    put_number(key, (uint64_t)source->kind);
    if (source->kind == DOCKERFILE_STAGE)
        put_layers(key, &build->stages[source->stage]);
    if (source->kind == DOCKERFILE_IMAGE) {
        const struct base *base = build_base(build, source->image, NULL, err);
        if (!base)
            return false;
        put_base(key, base);
    }
    return source->kind != DOCKERFILE_NAMED;
}

static bool put_download(struct key *key, const struct dockerfile_copy *in, const char *url, struct error *err)
{
    struct download *got = stage_download(key->stage, in, url, err);

    if (!got)
        return false;
    put_text(key, got->name);
    put_number(key, (uint64_t)got->modified_s);
    return put_content(key, &got->content, err);
}

static bool put_source(struct key *key, const struct dockerfile_instruction *in, const char *source, struct error *err)
{
    if (in->op == DOCKERFILE_ADD && download_is_git(source))
        return false;
    if (in->op == DOCKERFILE_ADD && download_is_url(source))
        return put_download(key, &in->copy, source, err);
    return copy_source(key->copy, source, err);
}

static bool put_sources(struct key *key, const struct dockerfile_instruction *in, struct error *err)
{
    for (size_t i = 0; i < in->copy.sources.count; i++) {
        if (!put_source(key, in, in->copy.sources.items[i], err))
            return false;
    }
    return true;
}

static void put_copy_flags(struct key *key, const struct dockerfile_copy *in)
{
    const bool flags[] = { in->link, in->parents, in->unpack_set, in->unpack };

    put_words(key, in->sources);
    put_text(key, in->dest);
    put_text(key, dockerfile_scope_workdir(key->stage->scope));
    put_text(key, in->chown);
    put_text(key, in->chmod);
    put_words(key, in->excludes);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        put_number(key, flags[i]);
    put_number(key, in->heredocs.count);
    for (size_t i = 0; i < in->heredocs.count; i++) {
        put_text(key, in->heredocs.items[i].name);
        put_text(key, in->heredocs.items[i].body);
    }
}

static bool put_contents(struct key *key, const struct dockerfile_instruction *instruction, bool of_context,
                         struct error *err)
{
    AUTO(stage_copying_release) struct stage_copying copying = { 0 };

    if (!stage_copying_begin(key->stage, instruction, &copying, err))
        return false;
    copying.copy.has_owner = instruction->copy.chown && *instruction->copy.chown;
    copying.copy.seen = on_source;
    copying.copy.seen_context = key;
    key->copy = &copying.copy;
    if (!of_context) {
        struct sha256 before = key->sha;

        key->gathering = true;
        bool gathered = put_sources(key, instruction, err) && base_extract(key->contents, key->content_count, err);
        key->gathering = false;
        key->sha = before;
        if (!gathered)
            return false;
    }
    bool good = put_sources(key, instruction, err);
    key->copy = NULL;
    return good;
}

static bool put_copy(struct key *key, const struct dockerfile_instruction *instruction, struct error *err)
{
    const struct dockerfile_copy *in = &instruction->copy;
    struct dockerfile_source source;

    if (!dockerfile_plan_source(key->stage->build->plan, key->stage->index, in->from, &source, err))
        return false;
    bool of_context = source.kind == DOCKERFILE_CONTEXT, by_content = key->view == CACHE_BY_CONTENT;
    if (of_context && !by_content)
        return false; /* it has no layers */
    put_copy_flags(key, in);
    put_number(key, key->view);
    return by_content ? put_contents(key, instruction, of_context, err) : put_origin(key, &source, err);
}

/* ---- RUN ---- */

static bool put_mount_source(struct key *key, const struct dockerfile_mount *mount, struct error *err)
{
    const struct context *context = key->stage->build->context;
    struct dockerfile_source source = { .kind = DOCKERFILE_CONTEXT };
    struct tree_place place;

    if (mount->from)
        dockerfile_plan_mount_source(key->stage->build->plan, mount->from, &source);
    if (source.kind != DOCKERFILE_CONTEXT)
        return put_origin(key, &source, err);
    put_number(key, (uint64_t)source.kind);
    if (!tree_resolve(context->files->tree, context->root, mount->source, true, &place, err) || place.missing[0])
        return false;
    bytes_clear(&key->path);
    return put_attributes(key, &place.node->is, false, err) && put_below(key, place.node, false, err);
}

static bool put_mount(struct key *key, const struct dockerfile_mount *mount, struct error *err)
{
    const uint64_t numbers[] = { mount->type, mount->sharing,   (uint64_t)mount->size, mount->uid,     mount->gid,
                                 mount->mode, mount->owner_set, mount->readonly,       mount->required };
    const char *const texts[] = { mount->target, mount->source, mount->id, mount->env };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        put_number(key, numbers[i]);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        put_text(key, texts[i]);
    bool shows = mount->type == DOCKERFILE_MOUNT_BIND || (mount->type == DOCKERFILE_MOUNT_CACHE && mount->from);
    return !shows || put_mount_source(key, mount, err);
}

static bool put_run(struct key *key, const struct dockerfile_instruction *instruction, struct error *err)
{
    const struct dockerfile_run *in = &instruction->run;
    struct dockerfile_words words;

    if (key->view == CACHE_BY_CONTENT || !stage_run_words(key->stage, instruction, &words, err))
        return false;
    put_words(key, words);
    put_words(key, dockerfile_scope_env(key->stage->scope));
    put_text(key, dockerfile_scope_workdir(key->stage->scope));
    put_text(key, imageconfig_text(key->stage->config, "User"));
    put_text(key, build_argument(key->stage->build, "BUILDKIT_SANDBOX_HOSTNAME"));
    put_text(key, in->network);
    put_text(key, in->security);
    put_text(key, in->script);
    if (key->stage->build->options->run.hosts)
        put_text(key, key->stage->build->options->run.hosts);
    put_number(key, in->mounts.count);
    for (size_t i = 0; i < in->mounts.count; i++) {
        if (!put_mount(key, &in->mounts.items[i], err))
            return false;
    }
    return true;
}

/* ---- WORKDIR ---- */

static bool put_workdir(struct key *key, const struct dockerfile_instruction *instruction, struct error *err)
{
    (void)err;
    put_text(key, instruction->value);
    put_text(key, imageconfig_text(key->stage->config, "User"));
    return key->view == CACHE_BY_ORIGIN;
}

/* ---- the whole ---- */

static bool (*const put[DOCKERFILE_OPS])(struct key *, const struct dockerfile_instruction *, struct error *) = {
    [DOCKERFILE_ADD] = put_copy,
    [DOCKERFILE_COPY] = put_copy,
    [DOCKERFILE_RUN] = put_run,
    [DOCKERFILE_WORKDIR] = put_workdir,
};

bool cache_key(struct stage *stage, const struct dockerfile_instruction *instruction, enum cache_view view,
               char out[static SHA256_HEX_SIZE])
{
    struct key key = { .stage = stage, .view = view, .path = BYTES(2 * TAR_PATH_MAX) };
    enum dockerfile_op op = instruction->op;
    bool copies = op == DOCKERFILE_COPY || op == DOCKERFILE_ADD;
    struct error left_for_its_turn = { 0 };
    uint8_t digest[SHA256_SIZE];

    if (!put[op])
        return false;
    key.links.last = &key.last_link;
    sha256_init(&key.sha);
    put_common(&key, op, !(copies && stage_copy_is_linked(&instruction->copy)));
    bool good = put[op](&key, instruction, &left_for_its_turn);
    numbering_release(&key.links);
    bytes_release(&key.path);
    if (!good)
        return false;
    sha256_final(&key.sha, digest);
    hex_encode(out, digest, sizeof(digest));
    return true;
}

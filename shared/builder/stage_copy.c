#include "shared/builder/addgit.h"
#include "shared/builder/stage.h"

#include "shared/builder/accounts.h"
#include "shared/builder/archive.h"
#include "shared/builder/cache_download.h"
#include "shared/builder/copy.h"
#include "shared/builder/download.h"
#include "shared/builder/named.h"
#include "shared/builder/turns.h"

#include <string.h>
#include <unistd.h>

/* ADD's own, beside what it shares with COPY. */
struct adding {
    struct stage *stage;
    const struct dockerfile_instruction *instruction;
};

static bool source_of(struct stage *stage, const struct dockerfile_copy *in, struct copy *copy, struct error *err)
{
    struct build *build = stage->build;
    struct dockerfile_source source;

    if (!dockerfile_plan_source(build->plan, stage->index, in->from, &source, err) ||
        !named_settle(build, &source, err))
        return false;
    copy->keep_owner = source.kind != DOCKERFILE_CONTEXT;
    copy->from_name = source.kind == DOCKERFILE_CONTEXT ? "the context" : in->from;
    switch (source.kind) {
    case DOCKERFILE_CONTEXT:
        copy->from = build->context->files->tree;
        copy->from_root = build->context->root;
        return true;
    case DOCKERFILE_STAGE:
        copy->from = stage_tree(&build->stages[source.stage], err);
        break;
    case DOCKERFILE_IMAGE: {
        struct base *base = build_base(build, source.image, NULL, err);
        copy->from = base ? base_tree(base, build->options->cache_directory, err) : NULL;
        break;
    }
    case DOCKERFILE_SCRATCH:
        if (!build->nothing)
            build->nothing = tree_new(err);
        copy->from = build->nothing;
        break;
    case DOCKERFILE_NAMED:
        return named_files(build, source.context, &copy->from, &copy->from_root, err);
    }
    if (copy->from)
        copy->from_root = tree_root(copy->from);
    return copy->from != NULL;
}

static bool owner_of(struct stage *stage, const struct dockerfile_copy *in, bool linked, struct copy *copy,
                     struct error *err)
{
    const struct tree *tree = NULL;

    if (!in->chown || !*in->chown)
        return true;
    copy->has_owner = true;
    if (!linked && !stage_is_empty(stage) && accounts_needed(in->chown)) {
        tree = stage_tree(stage, err);
        if (!tree)
            return false;
    }
    return accounts_owner(tree, in->chown, &copy->uid, &copy->gid, err);
}

void downloaded_release(struct downloaded *list)
{
    for (struct downloaded *item = list; item; item = item->next) {
        spool_free(item->spool);
        if (item->hold >= 0)
            close(item->hold);
    }
}

/* As it lies in the cache. */
static bool take_kept(struct build *build, const struct download *kept, struct downloaded *out, struct error *err)
{
    const char *root = arena_printf(build->arena, "%s/blobs/sha256", cache_directory(build->cache)),
               *path = arena_dup(build->arena, span_of(strchr(kept->digest, ':') + 1));

    if (!root || !path)
        return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    out->got.modified_s = kept->modified_s;
    out->got.content = kept->content;
    return content_on_disk(&out->got.content, root, path) ||
           error_set(err, ERROR_UNAVAILABLE, "what the cache held of a download is gone");
}

/* By what its server says of it; of what the checksum names nobody needs to be asked. */
static bool fetch_download(struct build *build, const char *url, struct download_options *how, struct downloaded *out,
                           struct error *err)
{
    struct download kept;
    bool has = build->cache && cache_download_find(build->cache, url, &kept, &out->hold);

    if (has && how->checksum && strcmp(how->checksum, kept.digest) == 0) {
        download_name(url, out->got.name);
        return take_kept(build, &kept, out, err);
    }
    how->etag = has ? kept.etag : NULL;
    out->spool = spool_new(download_max, err);
    if (!out->spool)
        return false;
    turns_give(build->turns);
    bool got = download(url, how, out->spool, &out->got, err);
    turns_take(build->turns);
    if (!got)
        return false;
    if (out->got.unchanged)
        return take_kept(build, &kept, out, err) &&
               (download_check(kept.digest, how->checksum, err) || error_wrap(err, "download"));
    if (build->cache)
        cache_download_keep(build->cache, url, &out->got, spool_fd(out->spool));
    return true;
}

/* The cache has looked at it already, perhaps. */
struct download *stage_download(struct stage *stage, const struct dockerfile_copy *in, const char *url,
                                struct error *err)
{
    struct build *build = stage->build;
    const struct engine_options *engine = build->options;
    struct download_options how = { .checksum = in->checksum,
                                    .allow_private = engine->allow_private,
                                    .auth = engine->auth,
                                    .cancelled = engine->cancelled,
                                    .cancelled_context = engine->cancelled_context };
    struct downloaded *known = build->downloaded;

    while (known && (known->in != in || known->url != url))
        known = known->next;
    if (known)
        return &known->got;
    struct downloaded *made = arena_take(build->arena, sizeof(*made));
    if (!made) {
        error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
        return NULL;
    }
    *made = (struct downloaded){ .in = in, .url = url, .hold = -1 };
    if (!fetch_download(build, url, &how, made, err)) {
        downloaded_release(made);
        return NULL;
    }
    made->next = build->downloaded;
    build->downloaded = made;
    return &made->got;
}

static bool add_url(struct adding *adding, const struct copy *copy, const char *url, struct error *err)
{
    struct build *build = adding->stage->build;
    const struct dockerfile_copy *in = &adding->instruction->copy;
    struct download *got = stage_download(adding->stage, in, url, err);

    if (!got)
        return false;
    struct attributes is = { .type = TAR_FILE, .mode = 0600, .mtime_s = got->modified_s, .content = &got->content };
    if (in->unpack_set && in->unpack) {
        struct spool *spool = stage_spool(adding->stage, err);
        if (!spool)
            return false;
        struct archive_options options = { spool, &build->file_number, layer_plain_max };
        bool unpacked;

        if (!archive_unpack(copy, &got->content, &options, &unpacked, err) || unpacked)
            return unpacked;
    }
    return copy_file(copy, got->name, &is, err);
}

/* A file of the context that is an archive is unpacked instead of being copied. */
static bool unpack_source(void *context, const struct copy *copy, const struct tree_node *source, bool *done,
                          struct error *err)
{
    struct adding *adding = context;
    struct build *build = adding->stage->build;
    struct spool *spool = stage_spool(adding->stage, err);
    struct archive_options options = { spool, &build->file_number, layer_plain_max };

    return spool && (archive_unpack(copy, source->is.content, &options, done, err) ||
                     error_wrap(err, "archive '%s'", source->name));
}

static bool add_git(struct adding *adding, const struct copy *copy, const char *source, struct error *err)
{
    struct build *build = adding->stage->build;
    const struct dockerfile_copy *in = &adding->instruction->copy;
    const struct engine_options *engine = build->options;
    struct addgit_options how = { .checksum = in->checksum,
                                  .keep_git_dir = in->keep_git_dir,
                                  .allow_private = engine->allow_private,
                                  .auth = engine->auth,
                                  .cancelled = engine->cancelled,
                                  .cancelled_context = engine->cancelled_context,
                                  .turns = build->turns };

    return addgit(copy, source, &how, &build->fetched, err);
}

static bool add_source(struct adding *adding, const struct copy *copy, const char *source, struct error *err)
{
    if (adding->instruction->op == DOCKERFILE_ADD) {
        if (download_is_git(source))
            return add_git(adding, copy, source, err);
        if (download_is_url(source))
            return add_url(adding, copy, source, err);
    }
    return copy_source(copy, source, err);
}

static bool add_heredoc(struct stage *stage, const struct copy *copy, const struct dockerfile_heredoc *heredoc,
                        struct error *err)
{
    struct content *content = arena_take(stage->build->arena, sizeof(*content));
    struct attributes is = { .type = TAR_FILE, .mode = 0644, .mtime_s = copy->time_s, .content = content };

    if (!content)
        return error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
    content->size = (int64_t)strlen(heredoc->body);
    content->kind = content->size > 0 ? CONTENT_MEMORY : CONTENT_EMPTY;
    content->memory = heredoc->body;
    return copy_file(copy, heredoc->name, &is, err);
}

static bool copy_all(struct stage *stage, const struct dockerfile_instruction *in, const struct copy *copy,
                     struct error *err)
{
    struct adding adding = { stage, in };

    for (size_t i = 0; i < in->copy.sources.count; i++) {
        if (!add_source(&adding, copy, in->copy.sources.items[i], err))
            return false;
    }
    for (size_t i = 0; i < in->copy.heredocs.count; i++) {
        if (!add_heredoc(stage, copy, &in->copy.heredocs.items[i], err))
            return false;
    }
    return true;
}

static bool copy_linked(struct stage *stage, const struct dockerfile_instruction *in, struct copy *copy,
                        struct error *err)
{
    AUTO(tree_free) struct tree *tree = tree_new(err);

    if (!tree)
        return false;
    copy->to = tree;
    return copy_all(stage, in, copy, err) && stage_link_layer(stage, TAKE(tree), copy->layer, err);
}

bool stage_copy_is_linked(const struct dockerfile_copy *in)
{
    return in->link && !in->chmod; /* as BuildKit: with --chmod it is an ordinary copy */
}

void stage_copying_release(struct stage_copying *copying)
{
    ignore_free(copying->excludes);
}

bool stage_copying_begin(struct stage *stage, const struct dockerfile_instruction *instruction,
                         struct stage_copying *out, struct error *err)
{
    const struct dockerfile_copy *in = &instruction->copy;

    out->copy = (struct copy){ .workdir = dockerfile_scope_workdir(stage->scope),
                               .dest = in->dest,
                               .chmod = in->chmod,
                               .parents = in->parents,
                               .time_s = stage->build->time_s,
                               .newest_s = stage->build->newest_s,
                               .file_number = &stage->build->file_number };
    if (in->excludes.count > 0) {
        out->excludes = ignore_new(in->excludes.items, in->excludes.count, err);
        if (!out->excludes)
            return false;
        out->copy.excludes = out->excludes;
    }
    return source_of(stage, in, &out->copy, err);
}

bool stage_copy(struct stage *stage, const struct dockerfile_instruction *instruction, struct error *err)
{
    const struct dockerfile_copy *in = &instruction->copy;
    bool linked = stage_copy_is_linked(in);
    struct adding adding = { stage, instruction };
    AUTO(stage_copying_release) struct stage_copying copying = { 0 };
    struct copy *copy = &copying.copy;

    if (!stage_copying_begin(stage, instruction, &copying, err) || !owner_of(stage, in, linked, copy, err))
        return false;
    copy->layer = ++stage->build->layer_number;
    if (instruction->op == DOCKERFILE_ADD && !(in->unpack_set && !in->unpack)) {
        copy->unpack = unpack_source;
        copy->unpack_context = &adding;
    }
    if (linked)
        return copy_linked(stage, instruction, copy, err);
    copy->to = stage_tree(stage, err);
    return copy->to && copy_all(stage, instruction, copy, err) && stage_add_layer(stage, copy->to, copy->layer, err);
}

#include "shared/builder/named.h"

#include "shared/builder/addgit.h"
#include "shared/builder/context.h"

bool named_settle(struct build *build, struct dockerfile_source *source, struct error *err)
{
    if (source->kind != DOCKERFILE_NAMED)
        return true;
    const struct named_context *context = source->context;
    if (context->kind == NAMED_CONTEXT_TARGET || (context->kind == NAMED_CONTEXT_DOWNLOAD && !build->options->download))
        return error_set(err, ERROR_UNSUPPORTED, "context '%s' is a %s, which this builder does not take",
                         context->name, context->kind == NAMED_CONTEXT_TARGET ? "target" : "download");
    if (context->kind != NAMED_CONTEXT_IMAGE && context->kind != NAMED_CONTEXT_LAYOUT)
        return true;
    source->kind = DOCKERFILE_IMAGE;
    source->image =
        arena_printf(build->arena, "%s%s", context->kind == NAMED_CONTEXT_LAYOUT ? "oci:" : "", context->value);
    return source->image || error_set(err, ERROR_TOO_LARGE, "the Dockerfile is too large");
}

static struct files *read_directory(const char *path, struct error *err)
{
    AUTO(context_release) struct context context = { 0 };

    return context_of_folder(path, &context, err) ? TAKE(context.files) : NULL;
}

static struct fetched *read_files(const struct engine_options *engine, const struct named_context *context,
                                  struct error *err)
{
    AUTO(files_free)
    struct files *files = context->kind == NAMED_CONTEXT_DOWNLOAD ? engine->download(engine, context->value, err)
                                                                  : read_directory(context->value, err);
    struct fetched *fetched = files ? calloc(1, sizeof(*fetched)) : NULL;

    if (!files)
        return NULL;
    if (!fetched) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    fetched->root = tree_root(files->tree);
    fetched->files = TAKE(files);
    return fetched;
}

static struct fetched *read_named(const struct build *build, const struct named_context *context, struct error *err)
{
    const struct engine_options *engine = build->options;
    const struct addgit_options how = { .allow_private = engine->allow_private,
                                        .auth = engine->auth,
                                        .cancelled = engine->cancelled,
                                        .cancelled_context = engine->cancelled_context };

    return context->kind == NAMED_CONTEXT_GIT ? addgit_fetch(&context->git, &how, err)
                                              : read_files(engine, context, err);
}

bool named_files(struct build *build, const struct named_context *context, const struct tree **tree,
                 struct tree_node **root, struct error *err)
{
    struct fetched *fetched = build->fetched;

    while (fetched && fetched->context != context)
        fetched = fetched->next;
    if (!fetched) {
        fetched = read_named(build, context, err);
        if (!fetched)
            return error_wrap(err, "context '%s'", context->name);
        fetched->context = context;
        fetched->next = build->fetched;
        build->fetched = fetched;
    }
    *tree = fetched->files->tree;
    *root = fetched->root;
    return true;
}

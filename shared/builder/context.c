#include "shared/builder/context.h"

#include "shared/base/file.h"
#include "shared/builder/keepgit.h"
#include "shared/dockerfile/dockerfile.h"
#include "shared/dockerfile/ignore.h"

#include <string.h>

void context_release(struct context *context)
{
    files_free(context->files);
    bytes_release(&context->dockerfile);
    ignore_free(context->ignore);
    *context = (struct context){ 0 };
}

/* ---- a commit ---- */

static struct tree_node *find(const struct tree *tree, struct tree_node *root, const char *path, enum tar_type type,
                              struct error *err)
{
    struct tree_place place;

    if (!tree_resolve(tree, root, path, true, &place, err))
        return NULL;
    return !place.missing[0] && place.node->is.type == type ? place.node : NULL;
}

static bool append(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

/* The file of that name; NULL with *err filled when there is none. */
static const struct tree_node *find_dockerfile(const struct context *context, const char *path, struct error *err)
{
    struct tree_node *root = tree_root(context->files->tree);
    const struct tree_node *file = find(context->files->tree, root, path, TAR_FILE, err);

    if (!file && err->kind == ERROR_NONE && strcmp(path, "Dockerfile") == 0)
        file = find(context->files->tree, root, "dockerfile", TAR_FILE, err);
    if (!file && err->kind == ERROR_NONE)
        error_set(err, ERROR_INVALID, "the context holds no file '%s'", path);
    else if (!file)
        error_wrap(err, "'%s'", path);
    return file;
}

static struct ignore *read_ignore(const struct tree_node *file, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(IGNORE_FILE_MAX);

    if (!content_read(file->is.content, append, &text, err)) {
        error_wrap(err, "'%s'", file->name);
        return NULL;
    }
    struct ignore *ignore = ignore_parse(bytes_span(&text), err);
    if (!ignore)
        error_wrap(err, "'%s'", file->name);
    return ignore;
}

/* The rules of NAME.dockerignore beside the Dockerfile, else of .dockerignore in the context directory. */
static bool find_ignore(const struct context *context, const struct tree_node *dockerfile, struct ignore **ignore,
                        struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(TAR_PATH_MAX);
    const struct tree_node *file = NULL;

    *ignore = NULL;
    if (!bytes_printf(&name, err, "%s.dockerignore", dockerfile->name))
        return false;
    file = find(context->files->tree, dockerfile->parent, name.data, TAR_FILE, err);
    if (!file && err->kind == ERROR_NONE)
        file = find(context->files->tree, context->root, ".dockerignore", TAR_FILE, err);
    if (err->kind != ERROR_NONE)
        return false;
    if (!file)
        return true;
    *ignore = read_ignore(file, err);
    return *ignore != NULL;
}

static bool hand_over(struct context *context, struct context *out)
{
    *out = *context;
    *context = (struct context){ 0 };
    return true;
}

/* The Dockerfile and what .dockerignore leaves out stand among the files themselves. */
static bool find_all(struct context *context, const char *dockerfile, const char *directory, struct error *err)
{
    const struct tree_node *file = find_dockerfile(context, dockerfile, err);

    if (!file)
        return false;
    if (!content_read(file->is.content, append, &context->dockerfile, err))
        return error_wrap(err, "'%s'", dockerfile);
    context->root = find(context->files->tree, tree_root(context->files->tree), directory, TAR_DIRECTORY, err);
    if (!context->root)
        return err->kind != ERROR_NONE
                   ? error_wrap(err, "context '%s'", directory)
                   : error_set(err, ERROR_INVALID, "the context holds no directory '%s'", directory);
    return find_ignore(context, file, &context->ignore, err) &&
           (!context->ignore || files_prune(context->files, context->root, context->ignore, err));
}

static bool is_whole(const struct tree *tree, const char *directory)
{
    return find(tree, tree_root(tree), directory, TAR_DIRECTORY, &(struct error){ 0 }) == tree_root(tree);
}

bool context_of_commit(const struct context_commit *commit, struct context *out, struct error *err)
{
    AUTO(context_release) struct context context = { .dockerfile = BYTES(DOCKERFILE_SIZE_MAX) };
    struct submodules_options submodules = { 0 };

    context.files = files_of_commit(commit->snapshot, err);
    if (!context.files)
        return false;
    bool keep = commit->keep_git_dir && is_whole(context.files->tree, commit->directory);
    if (commit->submodules) {
        submodules = *commit->submodules;
        submodules.keep_git_dirs = keep;
    }
    return (!commit->submodules || submodules_fetch(context.files, &submodules, err)) &&
           find_all(&context, commit->dockerfile, commit->directory, err) &&
           (!keep || keepgit(context.files, commit->snapshot, context.root, commit->keep_git_dir, err)) &&
           hand_over(&context, out);
}

/* ---- an archive ---- */

bool context_of_archive(const struct content *archive, const char *dockerfile, struct context *out, bool *is_archive,
                        struct error *err)
{
    AUTO(context_release) struct context context = { .dockerfile = BYTES(DOCKERFILE_SIZE_MAX) };

    context.files = files_of_archive(archive, is_archive, err);
    if (!context.files || !*is_archive)
        return context.files != NULL;
    return find_all(&context, dockerfile ? dockerfile : "Dockerfile", ".", err) && hand_over(&context, out);
}

/* ---- a directory ---- */

/* The file's text; *found false: there is none. */
static bool read_beside(const char *directory, const char *name, struct bytes *out, bool *found, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);
    struct error failed = { 0 };

    if (!bytes_printf(&path, err, directory ? "%s/%s" : "%s%s", directory ? directory : "", name))
        return false;
    *found = file_read(out, path.data, &failed);
    if (*found || failed.kind == ERROR_NOT_FOUND)
        return true;
    *err = failed;
    return false;
}

static bool read_dockerfile(const char *directory, const char *dockerfile, struct bytes *out, struct error *err)
{
    bool found = false;

    if (dockerfile)
        return file_read(out, dockerfile, err);
    if (!read_beside(directory, "Dockerfile", out, &found, err) ||
        (!found && !read_beside(directory, "dockerfile", out, &found, err)))
        return false;
    return found || error_set(err, ERROR_INVALID, "'%s' holds no file 'Dockerfile'", directory);
}

static bool read_ignore_beside(const char *directory, const char *dockerfile, struct ignore **ignore, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(IGNORE_FILE_MAX), name = BYTES(TAR_PATH_MAX);
    bool found = false;

    *ignore = NULL;
    if (!bytes_printf(&name, err, "%s.dockerignore", dockerfile ? dockerfile : "Dockerfile"))
        return false;
    if ((!dockerfile || strcmp(dockerfile, "-") != 0) &&
        !read_beside(dockerfile ? NULL : directory, name.data, &text, &found, err))
        return false;
    if (!found && !read_beside(directory, ".dockerignore", &text, &found, err))
        return false;
    if (!found)
        return true;
    *ignore = ignore_parse(bytes_span(&text), err);
    return *ignore || error_wrap(err, ".dockerignore");
}

static bool load_directory(const char *directory, const char *dockerfile, struct context *context, struct error *err)
{
    if (!read_ignore_beside(directory, dockerfile, &context->ignore, err))
        return false;
    context->files = files_of_directory(directory, context->ignore, err);
    if (!context->files)
        return false;
    context->root = tree_root(context->files->tree);
    return !context->ignore || files_prune(context->files, context->root, context->ignore, err);
}

bool context_of_directory(const char *directory, const char *dockerfile, struct context *out, struct error *err)
{
    AUTO(context_release) struct context context = { .dockerfile = BYTES(DOCKERFILE_SIZE_MAX) };

    return read_dockerfile(directory, dockerfile, &context.dockerfile, err) &&
           load_directory(directory, dockerfile, &context, err) && hand_over(&context, out);
}

bool context_of_folder(const char *directory, struct context *out, struct error *err)
{
    AUTO(context_release) struct context context = { 0 };

    return load_directory(directory, "-", &context, err) && hand_over(&context, out);
}

/* ---- a text ---- */

bool context_of_text(struct span dockerfile, struct context *out, struct error *err)
{
    AUTO(context_release) struct context context = { .dockerfile = BYTES(DOCKERFILE_SIZE_MAX) };

    context.files = files_of_nothing(err);
    if (!context.files || !bytes_append_span(&context.dockerfile, dockerfile, err))
        return false;
    context.root = tree_root(context.files->tree);
    return hand_over(&context, out);
}

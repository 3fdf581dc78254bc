#include "shared/builder/context.h"

#include "shared/dockerfile/dockerfile.h"
#include "shared/dockerfile/ignore.h"

#include <string.h>

struct loading {
    struct git_snapshot *snapshot;
    struct tree *tree;
    size_t submodules;
    int64_t time_s;
};

void context_release(struct context *context)
{
    tree_free(context->tree);
    bytes_release(&context->dockerfile);
    *context = (struct context){ 0 };
}

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the commit holds more files than fit into memory");
}

static bool read_link(struct loading *loading, const struct git_entry *entry, struct attributes *is, struct error *err)
{
    AUTO(bytes_release) struct bytes target = BYTES(TAR_PATH_MAX);

    if (!git_snapshot_blob_read(loading->snapshot, entry->oid, &target, err))
        return error_wrap(err, "symbolic link '%s'", entry->path);
    if (target.len == 0 || memchr(target.data, '\0', target.len))
        return error_set(err, ERROR_INVALID, "the target of the symbolic link '%s' is no path", entry->path);
    is->target = arena_dup(tree_arena(loading->tree), bytes_span(&target));
    return is->target || out_of_memory(err);
}

static bool read_file(struct loading *loading, const struct git_entry *entry, struct attributes *is, struct error *err)
{
    struct arena *arena = tree_arena(loading->tree);
    struct content *content = arena_take(arena, sizeof(*content));
    const char *oid = arena_dup(arena, span_of(entry->oid));

    if (!content || !oid)
        return out_of_memory(err);
    content->kind = CONTENT_GIT;
    content->size = -1;
    content->git.snapshot = loading->snapshot;
    content->git.oid = oid;
    is->content = content;
    return true;
}

static const struct mode {
    enum git_mode mode;
    enum tar_type type;
    uint32_t permissions;
    bool (*read)(struct loading *loading, const struct git_entry *entry, struct attributes *is, struct error *err);
} modes[] = {
    { GIT_MODE_FILE, TAR_FILE, 0644, read_file },       { GIT_MODE_EXECUTABLE, TAR_FILE, 0755, read_file },
    { GIT_MODE_SYMLINK, TAR_SYMLINK, 0777, read_link }, { GIT_MODE_DIRECTORY, TAR_DIRECTORY, 0755, NULL },
    { GIT_MODE_SUBMODULE, TAR_DIRECTORY, 0755, NULL },
};

static const struct mode *mode_of(enum git_mode mode)
{
    const struct mode *row = modes;

    while (row->mode != mode)
        row++;
    return row;
}

static bool on_entry(void *context, const struct git_entry *entry, struct error *err)
{
    struct loading *loading = context;
    const struct mode *mode = mode_of(entry->mode);
    struct attributes is = { .type = mode->type, .mode = mode->permissions, .mtime_s = loading->time_s };
    struct span rest = span_of(entry->path), part = span_cut(&rest, '/');
    struct tree_node *node = tree_root(loading->tree);

    for (; rest.data; part = span_cut(&rest, '/')) {
        node = tree_child(loading->tree, node, part);
        if (!node || !tree_is_directory(node))
            return error_set(err, ERROR_INVALID, "'%s' stands below what is no directory", entry->path);
    }
    if (tree_child(loading->tree, node, part))
        return error_set(err, ERROR_INVALID, "'%s' stands twice in the commit", entry->path);
    if (mode->read && !mode->read(loading, entry, &is, err))
        return false;
    node = tree_add(loading->tree, node, part, err);
    if (!node)
        return false;
    node->is = is;
    loading->submodules += entry->mode == GIT_MODE_SUBMODULE;
    return true;
}

static struct tree *load_tree(struct git_snapshot *snapshot, size_t *submodules, struct error *err)
{
    AUTO(tree_free) struct tree *tree = tree_new(err);
    struct loading loading = { .snapshot = snapshot, .tree = tree, .time_s = git_snapshot_time_s(snapshot) };

    if (!tree || !git_snapshot_walk(snapshot, CONTEXT_ENTRIES_MAX, on_entry, &loading, err))
        return NULL;
    tree_root(tree)->is.mtime_s = loading.time_s;
    *submodules = loading.submodules;
    return TAKE(tree);
}

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
    struct tree_node *root = tree_root(context->tree);
    const struct tree_node *file = find(context->tree, root, path, TAR_FILE, err);

    if (!file && err->kind == ERROR_NONE && strcmp(path, "Dockerfile") == 0)
        file = find(context->tree, root, "dockerfile", TAR_FILE, err);
    if (!file && err->kind == ERROR_NONE)
        error_set(err, ERROR_INVALID, "the commit holds no file '%s'", path);
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
    file = find(context->tree, dockerfile->parent, name.data, TAR_FILE, err);
    if (!file && err->kind == ERROR_NONE)
        file = find(context->tree, context->root, ".dockerignore", TAR_FILE, err);
    if (err->kind != ERROR_NONE)
        return false;
    if (!file)
        return true;
    *ignore = read_ignore(file, err);
    return *ignore != NULL;
}

/* Take out of the directory what is left out; a directory that is left out stays when something below it is let in again. */
static bool prune(struct tree *tree, struct tree_node *directory, const struct ignore *ignore, struct bytes *path,
                  struct error *err)
{
    size_t len = path->len;

    for (struct tree_node *node = directory->first, *next; node; node = next) {
        next = node->next;
        if ((len > 0 && !bytes_append_char(path, '/', err)) || !bytes_append_text(path, node->name, err))
            return false;
        bool excluded = ignore_excludes(ignore, bytes_span(path));
        bool descend = tree_is_directory(node) && (!excluded || ignore_may_include_below(ignore, bytes_span(path)));
        if (descend && !prune(tree, node, ignore, path, err))
            return false;
        if (excluded && !(descend && node->first))
            tree_remove(tree, node);
        path->len = len;
    }
    return true;
}

bool context_load(struct git_snapshot *snapshot, const char *dockerfile, const char *directory, struct context *out,
                  struct error *err)
{
    AUTO(context_release) struct context context = { .dockerfile = BYTES(DOCKERFILE_SIZE_MAX) };
    AUTO(ignore_free) struct ignore *ignore = NULL;
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);
    const struct tree_node *file;

    context.tree = load_tree(snapshot, &context.submodules, err);
    if (!context.tree)
        return false;
    file = find_dockerfile(&context, dockerfile, err);
    if (!file)
        return false;
    if (!content_read(file->is.content, append, &context.dockerfile, err))
        return error_wrap(err, "'%s'", dockerfile);
    context.root = find(context.tree, tree_root(context.tree), directory, TAR_DIRECTORY, err);
    if (!context.root)
        return err->kind != ERROR_NONE ? error_wrap(err, "context '%s'", directory)
                                       : error_set(err, ERROR_INVALID, "the commit holds no directory '%s'", directory);
    if (!find_ignore(&context, file, &ignore, err))
        return false;
    if (ignore && !prune(context.tree, context.root, ignore, &path, err))
        return false;
    *out = context;
    context = (struct context){ 0 };
    return true;
}

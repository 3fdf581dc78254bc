#include "shared/builder/files.h"

#include "shared/builder/archive.h"
#include "shared/builder/folder.h"

#include <string.h>

void files_free(struct files *files)
{
    if (!files)
        return;
    tree_free(files->tree);
    folder_free(files->folder);
    spool_free(files->spool);
    for (size_t i = 0; i < files->added_count; i++)
        git_snapshot_free(files->added[i]);
    free(files->added);
    free(files);
}

struct files *files_of_nothing(struct error *err)
{
    AUTO(files_free) struct files *files = calloc(1, sizeof(*files));

    if (!files) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    files->timed = true;
    files->tree = tree_new(err);
    return files->tree ? TAKE(files) : NULL;
}

struct files *files_of_directory(const char *path, const struct ignore *ignore, struct error *err)
{
    AUTO(files_free) struct files *files = files_of_nothing(err);

    if (!files)
        return NULL;
    files->timed = false;
    files->folder = folder_open(path, err);
    if (!files->folder || !folder_load(files->folder, files->tree, ignore, &files->time_s, err))
        return NULL;
    return TAKE(files);
}

/* ---- an archive ---- */

static const int64_t archive_bytes_max = INT64_C(16) << 30;

static int64_t newest_of(const struct tree_node *node)
{
    int64_t newest = node->is.type == TAR_FILE ? node->is.mtime_s : 0;

    for (const struct tree_node *child = node->first; child; child = child->next) {
        int64_t time = newest_of(child);
        newest = time > newest ? time : newest;
    }
    return newest;
}

struct files *files_of_archive(const struct content *archive, bool *is_archive, struct error *err)
{
    AUTO(files_free) struct files *files = files_of_nothing(err);
    uint64_t file_number = 0;

    if (!files)
        return NULL;
    files->timed = false;
    files->spool = spool_new(archive_bytes_max, err);
    if (!files->spool)
        return NULL;
    const struct copy copy = { .to = files->tree,
                               .workdir = "/",
                               .dest = "/",
                               .from_name = "the context",
                               .has_owner = true,
                               .newest_s = INT64_MAX,
                               .file_number = &file_number };
    const struct archive_options options = { files->spool, &file_number, archive_bytes_max };
    if (!archive_unpack(&copy, archive, &options, is_archive, err))
        return NULL;
    files->time_s = newest_of(tree_root(files->tree));
    return TAKE(files);
}

/* ---- a commit ---- */

struct loading {
    struct git_snapshot *snapshot;
    struct files *files;
    struct tree_node *root;
    struct submodule **next; /* where the next one of the commit goes */
};

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
    is->target = arena_dup(tree_arena(loading->files->tree), bytes_span(&target));
    return is->target || out_of_memory(err);
}

static bool read_file(struct loading *loading, const struct git_entry *entry, struct attributes *is, struct error *err)
{
    struct arena *arena = tree_arena(loading->files->tree);
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

static bool note_submodule(struct loading *loading, const struct git_entry *entry, struct tree_node *node,
                           struct error *err)
{
    struct arena *arena = tree_arena(loading->files->tree);
    struct submodule *module = arena_take(arena, sizeof(*module));

    if (!module || !(module->path = arena_dup(arena, span_of(entry->path))) ||
        !(module->commit = arena_dup(arena, span_of(entry->oid))))
        return out_of_memory(err);
    module->node = node;
    module->next = NULL;
    *loading->next = module;
    loading->next = &module->next;
    loading->files->submodule_count++;
    return true;
}

static bool on_entry(void *context, const struct git_entry *entry, struct error *err)
{
    struct loading *loading = context;
    struct tree *tree = loading->files->tree;
    const struct mode *mode = mode_of(entry->mode);
    struct attributes is = { .type = mode->type, .mode = mode->permissions, .mtime_s = loading->files->time_s };
    struct span rest = span_of(entry->path), part = span_cut(&rest, '/');
    struct tree_node *node = loading->root;

    for (; rest.data; part = span_cut(&rest, '/')) {
        node = tree_child(tree, node, part);
        if (!node || !tree_is_directory(node))
            return error_set(err, ERROR_INVALID, "'%s' stands below what is no directory", entry->path);
    }
    if (tree_child(tree, node, part))
        return error_set(err, ERROR_INVALID, "'%s' stands twice in the commit", entry->path);
    if (mode->read && !mode->read(loading, entry, &is, err))
        return false;
    node = tree_add(tree, node, part, err);
    if (!node)
        return false;
    node->is = is;
    return entry->mode != GIT_MODE_SUBMODULE || note_submodule(loading, entry, node, err);
}

struct files *files_of_commit(struct git_snapshot *snapshot, struct error *err)
{
    AUTO(files_free) struct files *files = files_of_nothing(err);

    if (!files)
        return NULL;
    struct loading loading = { snapshot, files, tree_root(files->tree), &files->submodules };
    files->time_s = git_snapshot_time_s(snapshot);
    tree_root(files->tree)->is.mtime_s = files->time_s;
    return git_snapshot_walk(snapshot, FILES_ENTRIES_MAX, on_entry, &loading, err) ? TAKE(files) : NULL;
}

bool files_add_commit(struct files *files, struct git_snapshot *snapshot, struct tree_node *directory,
                      struct error *err)
{
    struct git_snapshot **added = realloc(files->added, (files->added_count + 1) * sizeof(struct git_snapshot *));
    struct loading loading = { snapshot, files, directory, &files->submodules };

    if (!added) {
        git_snapshot_free(snapshot);
        return error_set(err, ERROR_INTERNAL, "out of memory");
    }
    files->added = added;
    added[files->added_count++] = snapshot;
    files->submodules = NULL;
    return git_snapshot_walk(snapshot, FILES_ENTRIES_MAX, on_entry, &loading, err);
}

/* ---- what is left out ---- */

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
        bytes_truncate(path, len);
    }
    return true;
}

bool files_prune(struct files *files, struct tree_node *directory, const struct ignore *ignore, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);

    return prune(files->tree, directory, ignore, &path, err);
}

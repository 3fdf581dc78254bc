#include "shared/git/snapshot.h"

#include "shared/base/file.h"
#include "shared/git/pack.h"

#include <string.h>
#include <strings.h>

struct git_snapshot {
    git_repository *repository;
    git_commit *commit;
    git_tree *tree;
    char *directory;
    char *ref;
    char id[GIT_OID_TEXT_SIZE], pointed[GIT_OID_TEXT_SIZE];
};

void git_snapshot_free(struct git_snapshot *snapshot)
{
    if (!snapshot)
        return;
    git_tree_free(snapshot->tree);
    git_commit_free(snapshot->commit);
    git_repository_free(snapshot->repository);
    if (snapshot->directory)
        directory_remove(snapshot->directory, &(struct error){ 0 });
    free(snapshot->directory);
    free(snapshot->ref);
    free(snapshot);
}

struct git_snapshot *snapshot_new(git_repository *repository, char *directory, const git_oid *commit, struct error *err)
{
    AUTO(git_snapshot_free) struct git_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot) {
        git_repository_free(repository);
        if (directory)
            directory_remove(directory, &(struct error){ 0 });
        free(directory);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    snapshot->repository = repository;
    snapshot->directory = directory;
    git_oid_tostr(snapshot->id, sizeof(snapshot->id), commit);
    memcpy(snapshot->pointed, snapshot->id, sizeof(snapshot->id));

    int code = git_commit_lookup(&snapshot->commit, repository, commit);
    if (code == 0)
        code = git_commit_tree(&snapshot->tree, snapshot->commit);
    if (code < 0) {
        library_failed(err, code, "commit %s", snapshot->id);
        return NULL;
    }
    return TAKE(snapshot);
}

struct git_snapshot *snapshot_named(struct git_snapshot *taken, const char *ref, const git_oid *pointed,
                                    struct error *err)
{
    AUTO(git_snapshot_free) struct git_snapshot *snapshot = taken;

    if (!snapshot)
        return NULL;
    git_oid_tostr(snapshot->pointed, sizeof(snapshot->pointed), pointed);
    snapshot->ref = strdup(ref);
    if (!snapshot->ref)
        error_set(err, ERROR_INTERNAL, "out of memory");
    return snapshot->ref ? TAKE(snapshot) : NULL;
}

const char *git_snapshot_ref(const struct git_snapshot *snapshot)
{
    return snapshot->ref;
}

const char *git_snapshot_pointed(const struct git_snapshot *snapshot)
{
    return snapshot->pointed;
}

const char *git_snapshot_commit(const struct git_snapshot *snapshot)
{
    return snapshot->id;
}

int64_t git_snapshot_time_s(const struct git_snapshot *snapshot)
{
    return git_commit_time(snapshot->commit);
}

const char *git_snapshot_message(const struct git_snapshot *snapshot)
{
    const char *message = git_commit_message(snapshot->commit);

    return message ? message : "";
}

struct walk {
    struct git_snapshot *snapshot;
    git_entry_fn *on_entry;
    void *context;
    size_t count, max;
    size_t len;
    char path[GIT_PATH_MAX + 1];
};

static bool walk_tree(struct walk *walk, const git_tree *tree, struct error *err);

static bool name_is_hostile(const char *name)
{
    return !*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           strcasecmp(name, ".git") == 0;
}

/* git sorts a tree by bytes, a directory as if its name ended in '/'. */
static int entry_order(const char *a, bool a_is_directory, const char *b, bool b_is_directory)
{
    size_t a_len = strlen(a), b_len = strlen(b), len = a_len < b_len ? a_len : b_len;
    int order = memcmp(a, b, len);

    if (order != 0)
        return order;
    unsigned char a_next = a_len > len ? (unsigned char)a[len] : a_is_directory ? '/' : 0;
    unsigned char b_next = b_len > len ? (unsigned char)b[len] : b_is_directory ? '/' : 0;
    return (int)a_next - (int)b_next;
}

static bool push_name(struct walk *walk, const char *name, struct error *err)
{
    size_t len = strlen(name), slash = walk->len > 0;

    if (walk->len + slash + len > GIT_PATH_MAX)
        return error_set(err, ERROR_INVALID, "a path of the tree is longer than %d bytes: '%.80s...'", GIT_PATH_MAX,
                         walk->path);
    if (slash)
        walk->path[walk->len++] = '/';
    memcpy(walk->path + walk->len, name, len + 1);
    walk->len += len;
    return true;
}

static bool walk_below(struct walk *walk, const git_oid *oid, struct error *err)
{
    AUTO(git_tree_free) git_tree *tree = NULL;
    int code = git_tree_lookup(&tree, walk->snapshot->repository, oid);

    if (code < 0)
        return library_failed(err, code, "tree '%s'", walk->path);
    return walk_tree(walk, tree, err);
}

static bool walk_entry(struct walk *walk, const git_tree_entry *item, struct error *err)
{
    git_filemode_t mode = git_tree_entry_filemode(item);
    char oid[GIT_OID_TEXT_SIZE];
    struct git_entry entry = { walk->path, (enum git_mode)mode, oid };

    if (mode == GIT_FILEMODE_UNREADABLE)
        return error_set(err, ERROR_INVALID, "'%s' has a mode that git does not know", walk->path);
    if (++walk->count > walk->max)
        return error_set(err, ERROR_TOO_LARGE, "the tree has more than %zu entries", walk->max);
    git_oid_tostr(oid, sizeof(oid), git_tree_entry_id(item));
    if (!walk->on_entry(walk->context, &entry, err))
        return false;
    return mode != GIT_FILEMODE_TREE || walk_below(walk, git_tree_entry_id(item), err);
}

static bool walk_tree(struct walk *walk, const git_tree *tree, struct error *err)
{
    const git_tree_entry *last = NULL;
    size_t len = walk->len;

    for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
        const git_tree_entry *item = git_tree_entry_byindex(tree, i);
        const char *name = git_tree_entry_name(item);

        if (name_is_hostile(name))
            return error_set(err, ERROR_INVALID, "the tree holds the hostile name '%.200s' in '%s'", name,
                             len ? walk->path : ".");
        if (last && entry_order(git_tree_entry_name(last), git_tree_entry_type(last) == GIT_OBJECT_TREE, name,
                                git_tree_entry_type(item) == GIT_OBJECT_TREE) >= 0)
            return error_set(err, ERROR_INVALID, "'%.200s' stands twice or out of order in '%s'", name,
                             len ? walk->path : ".");
        last = item;
        if (!push_name(walk, name, err) || !walk_entry(walk, item, err))
            return false;
        walk->len = len;
        walk->path[len] = '\0';
    }
    return true;
}

bool git_snapshot_walk(struct git_snapshot *snapshot, size_t entries_max, git_entry_fn *on_entry, void *context,
                       struct error *err)
{
    struct walk walk = { .snapshot = snapshot, .on_entry = on_entry, .context = context, .max = entries_max };

    return walk_tree(&walk, snapshot->tree, err);
}

static bool object_header(struct git_snapshot *snapshot, const char *oid_text, git_oid *oid, git_object_t *type,
                          size_t *size, struct error *err)
{
    AUTO(git_odb_free) git_odb *odb = NULL;
    int code = git_oid_fromstr(oid, oid_text);

    if (code == 0)
        code = git_repository_odb(&odb, snapshot->repository);
    if (code == 0)
        code = git_odb_read_header(size, type, odb, oid);
    return code == 0 || library_failed(err, code, "object %s", oid_text);
}

static bool header_of(struct git_snapshot *snapshot, const char *oid_text, git_oid *oid, size_t *size,
                      struct error *err)
{
    git_object_t type;

    return object_header(snapshot, oid_text, oid, &type, size, err) &&
           (type == GIT_OBJECT_BLOB || error_set(err, ERROR_INVALID, "object %s is not a file", oid_text));
}

bool git_snapshot_object_header(struct git_snapshot *snapshot, const char *oid_text, enum git_kind *kind, int64_t *size,
                                struct error *err)
{
    git_object_t type;
    size_t bytes;
    git_oid oid;

    if (!object_header(snapshot, oid_text, &oid, &type, &bytes, err))
        return false;
    *kind = (enum git_kind)type;
    *size = (int64_t)bytes;
    return true;
}

static git_odb_object *object_open(struct git_snapshot *snapshot, const git_oid *oid, struct error *err)
{
    AUTO(git_odb_free) git_odb *odb = NULL;
    git_odb_object *object = NULL;
    int code = git_repository_odb(&odb, snapshot->repository);

    if (code == 0)
        code = git_odb_read(&object, odb, oid);
    if (code < 0)
        library_failed(err, code, "read an object");
    return code < 0 ? NULL : object;
}

bool git_snapshot_object_read(struct git_snapshot *snapshot, const char *oid_text, struct bytes *out, struct error *err)
{
    git_object_t type;
    size_t size;
    git_oid oid;

    if (!object_header(snapshot, oid_text, &oid, &type, &size, err))
        return false;
    if (size > out->max - out->len)
        return error_set(err, ERROR_TOO_LARGE, "%zu bytes, more than the %zu that are allowed", size,
                         out->max - out->len);
    AUTO(git_odb_object_free) git_odb_object *object = object_open(snapshot, &oid, err);
    return object && bytes_append(out, git_odb_object_data(object), git_odb_object_size(object), err);
}

bool git_snapshot_blob_size(struct git_snapshot *snapshot, const char *oid_text, int64_t *size, struct error *err)
{
    git_oid oid;
    size_t bytes;

    if (!header_of(snapshot, oid_text, &oid, &bytes, err))
        return false;
    *size = (int64_t)bytes;
    return true;
}

bool git_snapshot_blob_read(struct git_snapshot *snapshot, const char *oid_text, struct bytes *out, struct error *err)
{
    git_oid oid;
    size_t size;

    return header_of(snapshot, oid_text, &oid, &size, err) && git_snapshot_object_read(snapshot, oid_text, out, err);
}

enum { STREAM_FROM = 1024 * 1024, STREAM_PIECE = 32 * 1024, WHOLE_MAX = 256 * 1024 * 1024 };

static inline void auto_stream(git_odb_stream **stream)
{
    git_odb_stream_free(*stream);
}

/* A loose object need not be in memory as a whole. *streamed false: it is in a pack. */
static bool stream_loose(struct git_snapshot *snapshot, const git_oid *oid, git_data_fn *on_data, void *context,
                         bool *streamed, struct error *err)
{
    AUTO(git_odb_free) git_odb *odb = NULL;
    AUTO(stream) git_odb_stream *stream = NULL;
    AUTO(free) char *piece = malloc(STREAM_PIECE);
    git_object_t type;
    size_t size;

    *streamed = false;
    if (!piece)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (git_repository_odb(&odb, snapshot->repository) < 0 || git_odb_open_rstream(&stream, &size, &type, odb, oid) < 0)
        return true;
    *streamed = true;
    for (size_t done = 0; done < size;) {
        int n = git_odb_stream_read(stream, piece, STREAM_PIECE);

        if (n <= 0)
            return library_failed(err, n, "read an object");
        if (!on_data(context, piece, (size_t)n, err))
            return false;
        done += (size_t)n;
    }
    return true;
}

bool git_snapshot_blob_packed(struct git_snapshot *snapshot, const char *oid_text, git_packed_fn *on_packed,
                              void *context, bool *found, struct error *err)
{
    AUTO(bytes_release) struct bytes objects = BYTES(GIT_PATH_MAX);
    struct error failed = { 0 };
    struct pack_place place;
    git_oid oid;
    size_t size;

    *found = false;
    if (!header_of(snapshot, oid_text, &oid, &size, err))
        return false;
    if (size < STREAM_FROM)
        return true;
    if (!bytes_printf(&objects, err, "%sobjects", git_repository_commondir(snapshot->repository)))
        return false;
    if (!pack_find(objects.data, oid.id, &place, &failed)) {
        *err = failed;
        return failed.kind == ERROR_NONE;
    }
    *found = true;
    bool good = pack_read(&place, on_packed, context, err);
    close(place.fd);
    return good;
}

bool git_snapshot_blob_each(struct git_snapshot *snapshot, const char *oid_text, git_data_fn *on_data, void *context,
                            struct error *err)
{
    git_oid oid;
    size_t size;
    bool streamed = false;

    if (!header_of(snapshot, oid_text, &oid, &size, err) ||
        (size >= STREAM_FROM && !stream_loose(snapshot, &oid, on_data, context, &streamed, err)))
        return false;
    if (streamed)
        return true;
    if (size > WHOLE_MAX)
        return error_set(err, ERROR_TOO_LARGE,
                         "%zu bytes that the git host sent as a difference to another file, which takes memory for all "
                         "of them; up to %d are allowed",
                         size, WHOLE_MAX);
    AUTO(git_odb_object_free) git_odb_object *object = object_open(snapshot, &oid, err);
    return object && (size == 0 || on_data(context, git_odb_object_data(object), git_odb_object_size(object), err));
}

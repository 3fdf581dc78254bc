#include "shared/builder/baseindex.h"

#include "shared/attest/inventory.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/builder/base.h"
#include "shared/oci/compress.h"
#include "shared/oci/layer_read.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of the cache: the magic, a checksum of what follows, the layer's digest and diff id, then the entries. Written and read on
 * the same machine, so numbers stand as they lie in memory. */
static const char magic[8] = "pwindex4";
enum { HEAD = sizeof(magic) + sizeof(uint32_t), NAMES = 2 * DIGEST_TEXT_SIZE, BODY_MAX = 1024 * 1024, USUAL_PATH = 32 };

struct record {
    int64_t mtime_s, size;
    uint32_t mode, uid, gid, device_major, device_minor;
    uint32_t path_len, link_len, capability_len,
        body_len; /* what stands behind, in this order; the first two terminated */
    uint32_t type;
};

const char *baseindex_default_directory(struct arena *arena, struct error *err)
{
    const char *directory = getenv("PUSHWRIGHT_CACHE_DIR"), *cache = getenv("XDG_CACHE_HOME");

    if (directory && *directory)
        return directory;
    if (cache && *cache)
        return arena_printf(arena, "%s/pushwright", cache);
    directory = arena_printf(arena, "/tmp/pushwright-cache-%u", (unsigned)geteuid());
    if (directory && directory_make_own(directory, err))
        return directory;
    error_wrap(err, "set PUSHWRIGHT_CACHE_DIR");
    return NULL;
}

/* ---- making an index ---- */

struct making {
    struct bytes *out;
    struct tar_reader *tar;
    struct record record;
    size_t record_at;
    bool keep_body;
};

/* Names are looked up for --chown and WORKDIR: these two are so small and so often needed that they come along. So do what tells the
 * packages, for which a layer would have to be fetched again. */
static bool comes_along(const char *path)
{
    path += strspn(path, "./");
    return strcmp(path, "etc/passwd") == 0 || strcmp(path, "etc/group") == 0 || inventory_wants(path);
}

static size_t without_slashes_behind(const char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    return len;
}

static bool on_entry(void *context, const struct tar_entry *entry, struct error *err)
{
    struct making *making = context;
    struct record record = {
        .mtime_s = entry->mtime_s,
        .size = entry->type == TAR_FILE ? entry->size : 0,
        .mode = entry->mode,
        .uid = entry->uid,
        .gid = entry->gid,
        .device_major = entry->device_major,
        .device_minor = entry->device_minor,
        .path_len = (uint32_t)without_slashes_behind(entry->path),
        .link_len = (uint32_t)strlen(entry->link),
        .capability_len = (uint32_t)entry->capability.len,
        .type = entry->type,
    };

    making->keep_body = entry->type == TAR_FILE && entry->size <= BODY_MAX && comes_along(entry->path);
    making->record_at = making->out->len;
    making->record = record;
    return bytes_append(making->out, &record, sizeof(record), err) &&
           bytes_append(making->out, entry->path, record.path_len, err) && bytes_append_char(making->out, '\0', err) &&
           bytes_append(making->out, entry->link, record.link_len + 1, err) &&
           bytes_append(making->out, entry->capability.data, record.capability_len, err);
}

static bool on_content(void *context, const void *data, size_t len, struct error *err)
{
    struct making *making = context;

    if (!making->keep_body)
        return true;
    making->record.body_len += (uint32_t)len;
    return bytes_append(making->out, data, len, err);
}

static bool on_entry_end(void *context, struct error *err)
{
    struct making *making = context;

    (void)err;
    if (making->keep_body)
        memcpy(making->out->data + making->record_at, &making->record, sizeof(making->record));
    return true;
}

static bool on_plain(void *context, const void *data, size_t len, struct error *err)
{
    return tar_reader_feed(((struct making *)context)->tar, data, len, err);
}

static bool make(struct store *store, const struct image_layer *layer, struct bytes *out, struct error *err)
{
    struct making making = { .out = out };
    struct tar_events events = { on_entry, on_content, on_entry_end, &making };
    AUTO(tar_reader_free) struct tar_reader *tar = making.tar = tar_reader_new(&events, err);

    return tar && layer_read(store, layer, baseindex_plain_max, on_plain, &making, err) && tar_reader_end(tar, err);
}

/* ---- the cache ---- */

static bool cache_path(struct bytes *out, const char *directory, const char *digest)
{
    struct error err = { 0 };
    const char *hex = strchr(digest, ':');

    return bytes_printf(out, &err, "%s/index/%s", directory, hex ? hex + 1 : digest);
}

static void names_of(const struct image_layer *layer, char names[static NAMES])
{
    memset(names, 0, NAMES);
    memcpy(names, layer->blob.digest, strlen(layer->blob.digest));
    memcpy(names + DIGEST_TEXT_SIZE, layer->diff_id, strlen(layer->diff_id));
}

void baseindex_release(struct baseindex *index)
{
    bytes_release(&index->made);
    if (index->mapped)
        munmap(index->mapped, index->mapped_size);
    *index = (struct baseindex){ 0 };
}

/* Files of the cache are renamed into their place and never written again, so that one can be used as it lies in the kernel's memory. */
static bool map_file(const char *path, struct baseindex *out)
{
    AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;

    if (fd < 0 || fstat(fd, &about) < 0 || about.st_size < HEAD + NAMES || about.st_size > BASEINDEX_MAX)
        return false;
    void *mapped = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (mapped == MAP_FAILED)
        return false;
    out->mapped = mapped;
    out->mapped_size = (size_t)about.st_size;
    return true;
}

/* Anything wrong with the file makes it a miss. */
static bool cache_read(const char *path, const struct image_layer *layer, struct baseindex *out)
{
    AUTO(baseindex_release) struct baseindex index = { 0 };
    uint32_t checksum;
    char names[NAMES];

    if (!map_file(path, &index) || memcmp(index.mapped, magic, sizeof(magic)) != 0)
        return false;
    const char *file = index.mapped;
    memcpy(&checksum, file + sizeof(magic), sizeof(checksum));
    names_of(layer, names);
    if (checksum != checksum_of((struct span){ file + HEAD, index.mapped_size - HEAD }) ||
        memcmp(names, file + HEAD, NAMES) != 0)
        return false;
    utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    *out = index;
    out->entries = (struct span){ file + HEAD + NAMES, index.mapped_size - HEAD - NAMES };
    index = (struct baseindex){ 0 };
    return true;
}

struct aged {
    struct timespec used;
    char name[SHA256_HEX_SIZE];
};

static int by_age(const void *a, const void *b)
{
    const struct timespec *left = &((const struct aged *)a)->used, *right = &((const struct aged *)b)->used;

    if (left->tv_sec != right->tv_sec)
        return left->tv_sec < right->tv_sec ? -1 : 1;
    return (left->tv_nsec > right->tv_nsec) - (left->tv_nsec < right->tv_nsec);
}

/* Room for one more. Another process may do the same at the same time: what is gone already is no error. */
static void cache_trim(const char *folder)
{
    AUTO(closedir) DIR *directory = opendir(folder);
    AUTO(free) struct aged *files = calloc(2 * BASEINDEX_KEPT, sizeof(files[0]));
    size_t count = 0;
    struct stat about;

    if (!directory || !files)
        return;
    for (const struct dirent *entry; count < 2 * BASEINDEX_KEPT && (entry = readdir(directory));) {
        if (strlen(entry->d_name) != SHA256_HEX_SIZE - 1 || fstatat(dirfd(directory), entry->d_name, &about, 0) < 0)
            continue;
        files[count].used = about.st_mtim;
        memcpy(files[count++].name, entry->d_name, SHA256_HEX_SIZE);
    }
    qsort(files, count, sizeof(files[0]), by_age);
    for (size_t i = 0; i + BASEINDEX_KEPT <= count; i++)
        unlinkat(dirfd(directory), files[i].name, 0);
}

static void cache_write(const char *directory, const char *path, const struct image_layer *layer, struct span entries)
{
    AUTO(bytes_release) struct bytes file = BYTES((size_t)BASEINDEX_MAX + HEAD + NAMES);
    AUTO(bytes_release) struct bytes folder = BYTES(TAR_PATH_MAX);
    struct error err = { 0 };
    uint32_t checksum = 0;
    char names[NAMES];

    names_of(layer, names);
    if (!bytes_append(&file, magic, sizeof(magic), &err) || !bytes_append(&file, &checksum, sizeof(checksum), &err) ||
        !bytes_append(&file, names, NAMES, &err) || !bytes_append_span(&file, entries, &err))
        return;
    checksum = checksum_of((struct span){ file.data + HEAD, file.len - HEAD });
    memcpy(file.data + sizeof(magic), &checksum, sizeof(checksum));
    if (bytes_printf(&folder, &err, "%s/index", directory) && directory_make(folder.data, 0700, &err)) {
        cache_trim(folder.data);
        (void)file_write_cached(path, bytes_span(&file),
                                &err); /* forced to the disk it would take all of an unpacked layer along */
    }
}

bool baseindex_look(const struct image_layer *layer, const char *cache_directory, struct baseindex *out)
{
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);

    return cache_directory && cache_path(&path, cache_directory, layer->blob.digest) &&
           cache_read(path.data, layer, out);
}

bool baseindex_is_kept(const struct image_layer *layer, const char *cache_directory)
{
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);

    return cache_directory && cache_path(&path, cache_directory, layer->blob.digest) && access(path.data, F_OK) == 0;
}

bool baseindex_get(struct store *store, const struct image_layer *layer, const char *cache_directory,
                   struct baseindex *out, struct error *err)
{
    if (baseindex_look(layer, cache_directory, out))
        return true;
    AUTO(baseindex_release) struct baseindex index = { .made = BYTES(BASEINDEX_MAX) };
    if (!make(store, layer, &index.made, err))
        return error_wrap(err, "layer %s", layer->blob.digest);
    index.entries = bytes_span(&index.made);
    baseindex_keep(layer, cache_directory, index.entries);
    *out = index;
    index = (struct baseindex){ 0 };
    return true;
}

void baseindex_keep(const struct image_layer *layer, const char *cache_directory, struct span entries)
{
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);

    if (cache_directory && cache_path(&path, cache_directory, layer->blob.digest))
        cache_write(cache_directory, path.data, layer, entries);
}

/* ---- making one beside an unpacking ---- */

struct watching {
    struct making making; /* first: the events' context is one */
    struct bytes entries;
    struct image_layer layer;
    const char *directory;
};

static void watching_done(void *context, bool whole)
{
    struct watching *watching = context;
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);

    if (whole && cache_path(&path, watching->directory, watching->layer.blob.digest))
        cache_write(watching->directory, path.data, &watching->layer, bytes_span(&watching->entries));
    bytes_release(&watching->entries);
    free(watching);
}

bool baseindex_watch(void *cache_directory, const struct image_layer *layer, struct unpack_watch *out)
{
    if (baseindex_is_kept(layer, cache_directory))
        return false;
    struct watching *watching = calloc(1, sizeof(*watching));
    if (!watching)
        return false;
    *watching = (struct watching){ .entries = BYTES(BASEINDEX_MAX), .layer = *layer, .directory = cache_directory };
    watching->making.out = &watching->entries;
    *out = (struct unpack_watch){ { on_entry, on_content, on_entry_end, &watching->making }, watching_done };
    return true;
}

/* ---- laying a layer over a tree ---- */

struct entry {
    struct record is;
    struct span path, link, capability, body; /* in the index, as is what the tree gets of them */
};

static bool take(struct span *rest, size_t len, struct span *out)
{
    if (len > rest->len)
        return false;
    *out = (struct span){ rest->data, len };
    *rest = (struct span){ rest->data + len, rest->len - len };
    return true;
}

static bool take_text(struct span *rest, size_t len, struct span *out)
{
    if (!take(rest, len + 1, out) || out->data[len] != '\0')
        return false;
    out->len = len;
    return true;
}

static bool next_entry(struct span *rest, struct entry *entry)
{
    struct span head;

    if (!take(rest, sizeof(entry->is), &head))
        return false;
    memcpy(&entry->is, head.data, sizeof(entry->is));
    return take_text(rest, entry->is.path_len, &entry->path) && take_text(rest, entry->is.link_len, &entry->link) &&
           take(rest, entry->is.capability_len, &entry->capability) && take(rest, entry->is.body_len, &entry->body);
}

struct laying {
    struct tree *tree;
    struct base *base;
    uint32_t layer, ordinal;
    uint64_t next_file;
    struct span directory; /* of the last entry, as it was written, */
    struct tree_node *at;  /* and where that is; NULL: not known */
};

/* Directory and name of a path as it is written; false for names that begin with a dot, which may mean something. */
static bool split_path(struct span path, struct span *directory, struct span *name)
{
    size_t end = path.len;

    while (end > 0 && path.data[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path.data[start - 1] != '/')
        start--;
    *directory = (struct span){ path.data, start };
    *name = (struct span){ path.data + start, end - start };
    return end > start && path.data[start] != '.';
}

/* The next part of a path that is neither "" nor "."; absent at the end. */
static struct span next_part(struct span *rest)
{
    struct span part = span_cut(rest, '/');

    while (part.data && (part.len == 0 || span_is(part, ".")))
        part = span_cut(rest, '/');
    return part;
}

/* The directory that an entry stands in and its own name (absent: the root itself). Parents that are missing or no directories become
 * plain ones, as when the layer is unpacked; with make false they make *parent NULL. */
static bool find_parent(struct laying *laying, struct span path, bool make_parents, struct tree_node **parent,
                        struct span *name, struct error *err)
{
    struct tree_node *node = tree_root(laying->tree);
    struct span rest = path, part = next_part(&rest);

    for (struct span next; part.data; part = next) {
        if (span_is(part, ".."))
            return error_set(err, ERROR_INVALID, "the path '%.*s' leads out of the image", SPAN_ARGS(path));
        next = next_part(&rest);
        if (!next.data)
            break;
        struct tree_node *child = tree_child(laying->tree, node, part);
        if ((!child || !tree_is_directory(child)) && make_parents) {
            child = tree_add(laying->tree, node, part, err);
            if (!child)
                return false;
            child->is = (struct attributes){ .type = TAR_DIRECTORY, .mode = 0755 };
        }
        node = child;
        if (!node)
            break;
    }
    *parent = node;
    *name = part;
    return true;
}

/* Most entries of a tar stand where the one before did. */
static bool find_place(struct laying *laying, struct span path, struct tree_node **parent, struct span *name,
                       struct error *err)
{
    struct span directory, last;

    if (!split_path(path, &directory, &last))
        return find_parent(laying, path, true, parent, name, err);
    if (!laying->at || !span_equal(directory, laying->directory)) {
        if (!find_parent(laying, path, true, parent, name, err))
            return false;
        laying->directory = directory;
        laying->at = *parent;
    }
    *parent = laying->at;
    *name = last;
    return true;
}

static bool lay_whiteout(struct laying *laying, const struct entry *entry, struct error *err)
{
    struct tree_node *parent;
    struct span directory, name;

    if (split_path(entry->path, &directory, &name))
        return true;
    if (!find_parent(laying, entry->path, false, &parent, &name, err))
        return false;
    if (!parent || !name.data || !span_starts(name, ".wh."))
        return true;
    if (span_is(name, ".wh..wh..opq")) {
        if (tree_is_directory(parent))
            tree_clear(laying->tree, parent);
        return true;
    }
    struct tree_node *hidden = tree_child(laying->tree, parent, (struct span){ name.data + 4, name.len - 4 });
    if (hidden)
        tree_remove(laying->tree, hidden);
    return true;
}

static bool hard_link(struct laying *laying, const struct entry *entry, struct attributes *is, struct error *err)
{
    struct tree_node *parent, *target = NULL;
    struct span name;

    if (!find_parent(laying, entry->link, false, &parent, &name, err))
        return false;
    if (parent && name.data)
        target = tree_child(laying->tree, parent, name);
    if (!target || tree_is_directory(target))
        return error_set(err, ERROR_INVALID, "'%.*s' is a hard link to '%.*s', which is not there",
                         SPAN_ARGS(entry->path), SPAN_ARGS(entry->link));
    if (target->is.file == 0)
        target->is.file = ++laying->next_file;
    *is = target->is;
    return true;
}

static struct content *content_of(struct laying *laying, const struct entry *entry)
{
    struct arena *arena = tree_arena(laying->tree);
    struct content *content = arena_take(arena, sizeof(*content));

    if (!content)
        return NULL;
    content->size = entry->is.size;
    content->kind = entry->is.size == 0 ? CONTENT_EMPTY : CONTENT_BASE;
    content->base.base = laying->base;
    content->base.layer = laying->layer;
    content->base.ordinal = laying->ordinal;
    content->base.path = entry->path.data;
    if (entry->is.size > 0 && entry->body.len == (size_t)entry->is.size) {
        content->kind = CONTENT_MEMORY;
        content->memory = entry->body.data;
    }
    return content;
}

static bool attributes_of(struct laying *laying, const struct entry *entry, struct attributes *is, struct error *err)
{
    if (entry->is.type == TAR_HARDLINK)
        return hard_link(laying, entry, is, err);
    *is = (struct attributes){ .type = (enum tar_type)entry->is.type,
                               .mode = entry->is.mode,
                               .uid = entry->is.uid,
                               .gid = entry->is.gid,
                               .device_major = entry->is.device_major,
                               .device_minor = entry->is.device_minor,
                               .mtime_s =
                                   laying->base ? retimed(laying->base->times, entry->is.mtime_s) : entry->is.mtime_s };
    if (is->type == TAR_SYMLINK)
        is->target = entry->link.data;
    if (is->type == TAR_FILE)
        is->content = content_of(laying, entry);
    if (entry->capability.len > 0)
        is->capability = entry->capability;
    if (is->type == TAR_FILE && !is->content)
        return error_set(err, ERROR_TOO_LARGE, "the base image holds more files than fit into memory");
    return true;
}

static struct tree_node *add_entry(struct laying *laying, struct tree_node *parent, struct span name, struct error *err)
{
    return name.data[name.len] == '\0' ? tree_add_borrowed(laying->tree, parent, name, err)
                                       : tree_add(laying->tree, parent, name, err);
}

static bool lay_entry(struct laying *laying, const struct entry *entry, struct error *err)
{
    struct tree_node *parent, *node;
    struct attributes is;
    struct span name;

    if (!find_place(laying, entry->path, &parent, &name, err))
        return false;
    if (name.data && span_starts(name, ".wh."))
        return true;
    if (!attributes_of(laying, entry, &is, err))
        return false;
    node = name.data ? add_entry(laying, parent, name, err) : tree_root(laying->tree);
    if (!node)
        return false;
    if (node->parent && is.type != TAR_DIRECTORY && node->first) {
        tree_clear(laying->tree, node);
        laying->at = NULL; /* it may have been in there */
    }
    if (node->parent || is.type == TAR_DIRECTORY)
        node->is = is;
    return true;
}

bool baseindex_apply(struct span index, struct tree *tree, struct base *base, uint32_t layer, struct error *err)
{
    struct laying laying = { .tree = tree,
                             .base = base,
                             .layer = layer,
                             .next_file = (base ? base->first_file : 0) + ((uint64_t)(layer + 1) << 32) };
    struct span rest = index;
    struct entry entry;

    tree_expect(tree, index.len / (sizeof(struct record) + USUAL_PATH));
    /* Whiteouts speak of the layers below only, wherever they stand. */
    while (tree_root(tree)->first && next_entry(&rest, &entry)) {
        if (!lay_whiteout(&laying, &entry, err))
            return false;
    }
    for (rest = index; next_entry(&rest, &entry); laying.ordinal++) {
        if (!lay_entry(&laying, &entry, err))
            return false;
    }
    return true;
}

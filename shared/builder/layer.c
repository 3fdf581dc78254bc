#include "shared/builder/layer.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/builder/base.h"
#include "shared/oci/compress.h"

#include <stdlib.h>
#include <string.h>

/* The tar is compressed in members of this size: memory stays bounded, and readers take members and frames as one stream. */
enum { MEMBER = 1024 * 1024, PATH_MAX_BYTES = 2 * TAR_PATH_MAX };

void layer_free(struct layer *layer)
{
    if (!layer)
        return;
    spool_free(layer->spool);
    free(layer);
}

/* First name in the layer of each file with several names: open addressing, a power of two of slots. */
struct first_name {
    uint64_t file; /* 0: free */
    const char *path;
};

struct writing {
    struct layer *layer;
    const struct compression *compression;
    struct bytes plain, packed, path;
    struct sha256 diff, blob;
    int64_t plain_size;
    uint32_t number;
    struct first_name *names;
    size_t name_count, name_slots;
    struct arena *arena;       /* of their paths */
    struct content **contents; /* of the layer, when they are gathered */
    size_t content_count, content_capacity;
    bool (*cancelled)(void *);
    void *cancelled_context;
};

static void writing_release(struct writing *writing)
{
    layer_free(writing->layer);
    bytes_release(&writing->plain);
    bytes_release(&writing->packed);
    bytes_release(&writing->path);
    arena_free(writing->arena);
    free(writing->names);
    free(writing->contents);
}
AUTO_RELEASE(struct writing, writing_release)

static bool pack(struct writing *writing, struct error *err)
{
    struct span plain = bytes_span(&writing->plain);

    if (plain.len == 0)
        return true;
    bytes_clear(&writing->packed);
    if (!compress_append(&writing->packed, plain, writing->compression, err))
        return false;
    sha256_update(&writing->diff, plain.data, plain.len);
    sha256_update(&writing->blob, writing->packed.data, writing->packed.len);
    bytes_clear(&writing->plain);
    return spool_append(writing->layer->spool, writing->packed.data, writing->packed.len, err);
}

static bool write_plain(void *context, const void *data, size_t len, struct error *err)
{
    struct writing *writing = context;
    const char *from = data;

    writing->plain_size += (int64_t)len;
    if (writing->plain_size > layer_plain_max)
        return error_set(err, ERROR_TOO_LARGE, "a layer of more than %lld bytes", (long long)layer_plain_max);
    while (len > 0) {
        size_t room = MEMBER - writing->plain.len, n = len < room ? len : room;

        if (!bytes_append(&writing->plain, from, n, err) || (writing->plain.len == MEMBER && !pack(writing, err)))
            return false;
        from += n;
        len -= n;
    }
    return true;
}

static bool write_header(struct writing *writing, const struct tar_entry *entry, struct error *err)
{
    AUTO(bytes_release) struct bytes header = BYTES(64 * 1024);

    return tar_write_header(&header, entry, err) && write_plain(writing, header.data, header.len, err);
}

static bool write_content(struct writing *writing, const struct content *content, struct error *err)
{
    int64_t before = writing->plain_size;

    if (!content_read(content, write_plain, writing, err))
        return false;
    if (writing->plain_size - before != content->size)
        return error_set(err, ERROR_INTERNAL, "its size changed while it was read");
    return write_plain(writing, tar_zeros, tar_padding(content->size), err);
}

static struct first_name *name_slot(struct first_name *names, size_t slots, uint64_t file)
{
    size_t at = (size_t)((file * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (slots - 1);

    while (names[at].file != 0 && names[at].file != file)
        at = (at + 1) & (slots - 1);
    return &names[at];
}

static const char *first_name_of(const struct writing *writing, uint64_t file)
{
    return file && writing->name_slots ? name_slot(writing->names, writing->name_slots, file)->path : NULL;
}

static bool grow_names(struct writing *writing, struct error *err)
{
    size_t slots = writing->name_slots ? writing->name_slots * 2 : 64;
    struct first_name *names = calloc(slots, sizeof(names[0]));

    if (!names)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < writing->name_slots; i++) {
        if (writing->names[i].file)
            *name_slot(names, slots, writing->names[i].file) = writing->names[i];
    }
    free(writing->names);
    writing->names = names;
    writing->name_slots = slots;
    return true;
}

static bool remember_name(struct writing *writing, uint64_t file, const char *path, struct error *err)
{
    if (2 * writing->name_count >= writing->name_slots && !grow_names(writing, err))
        return false;
    struct first_name *slot = name_slot(writing->names, writing->name_slots, file);
    slot->path = arena_dup(writing->arena, span_of(path));
    if (!slot->path)
        return error_set(err, ERROR_TOO_LARGE, "more hard links than fit into memory");
    slot->file = file;
    writing->name_count++;
    return true;
}

static bool write_node(struct writing *writing, const struct tree_node *node, struct error *err)
{
    const struct attributes *is = &node->is;
    const char *path = writing->path.data, *first = first_name_of(writing, is->file);
    struct tar_entry entry = { .type = first ? TAR_HARDLINK : is->type,
                               .path = path,
                               .link = first        ? first
                                       : is->target ? is->target
                                                    : "",
                               .mode = is->type == TAR_SYMLINK ? 0777 : is->mode,
                               .uid = is->uid,
                               .gid = is->gid,
                               .device_major = is->device_major,
                               .device_minor = is->device_minor,
                               .mtime_s = is->mtime_s,
                               .capability = is->capability };

    if (writing->cancelled && writing->cancelled(writing->cancelled_context))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    if (!first && is->file && !remember_name(writing, is->file, path, err))
        return false;
    bool has_content = entry.type == TAR_FILE;
    if (has_content && !content_size(is->content, err))
        return false;
    entry.size = has_content ? is->content->size : 0;
    return write_header(writing, &entry, err) && (!has_content || write_content(writing, is->content, err));
}

static bool gather_content(struct writing *writing, const struct tree_node *node, struct error *err)
{
    if (node->is.type != TAR_FILE || node->is.content->kind != CONTENT_BASE)
        return node->is.type != TAR_FILE || content_size(node->is.content, err);
    if (writing->content_count == writing->content_capacity) {
        size_t capacity = writing->content_capacity ? writing->content_capacity * 2 : 64;
        struct content **contents = realloc(writing->contents, capacity * sizeof(struct content *));

        if (!contents)
            return error_set(err, ERROR_INTERNAL, "out of memory");
        writing->contents = contents;
        writing->content_capacity = capacity;
    }
    writing->contents[writing->content_count++] = node->is.content;
    return true;
}

/* Call `visit` for each node of the layer below the directory, writing->path being its path. */
static bool walk(struct writing *writing, const struct tree_node *directory,
                 bool (*visit)(struct writing *, const struct tree_node *, struct error *), struct error *err)
{
    size_t count, len = writing->path.len;
    AUTO(free) struct tree_node **nodes = tree_sorted(directory, &count, err);

    if (!nodes)
        return err->kind == ERROR_NONE;
    for (size_t i = 0; i < count; i++) {
        const struct tree_node *node = nodes[i];

        if (node->layer != writing->number)
            continue;
        if (!bytes_append_text(&writing->path, node->name, err) ||
            (tree_is_directory(node) && !bytes_append_char(&writing->path, '/', err)))
            return false;
        if (!visit(writing, node, err))
            return error_wrap(err, "/%s", bytes_text(&writing->path));
        if (!walk(writing, node, visit, err))
            return false;
        writing->path.len = len;
        writing->path.data[len] = '\0';
    }
    return true;
}

static void digest_text(struct sha256 *sha, char out[static DIGEST_TEXT_SIZE])
{
    uint8_t digest[SHA256_SIZE];

    sha256_final(sha, digest);
    memcpy(out, "sha256:", 7);
    hex_encode(out + 7, digest, sizeof(digest));
}

static bool gather(struct writing *writing, const struct tree *tree, struct error *err)
{
    return walk(writing, tree_root(tree), gather_content, err) &&
           base_extract(writing->contents, writing->content_count, err);
}

bool layer_gather(const struct tree *tree, uint32_t number, struct error *err)
{
    AUTO(writing_release) struct writing writing = { .path = BYTES(PATH_MAX_BYTES), .number = number };

    return gather(&writing, tree, err);
}

static bool write_end(struct writing *writing, struct error *err)
{
    AUTO(bytes_release) struct bytes end = BYTES(4096);
    struct layer *layer = writing->layer;

    if (!tar_write_end(&end, err) || !write_plain(writing, end.data, end.len, err) || !pack(writing, err))
        return false;
    digest_text(&writing->diff, layer->diff_id);
    digest_text(&writing->blob, layer->blob.digest);
    snprintf(layer->blob.media_type, sizeof(layer->blob.media_type), "%s",
             compression_media_type(writing->compression));
    layer->blob.size = spool_size(layer->spool);
    return true;
}

static bool write_tree(struct writing *writing, const struct tree *tree, struct error *err)
{
    return gather(writing, tree, err) && walk(writing, tree_root(tree), write_node, err) && write_end(writing, err);
}

static bool start(struct writing *writing, const struct compression *compression, struct error *err)
{
    writing->layer = calloc(1, sizeof(*writing->layer));
    writing->arena = arena_new(TREE_MEMORY_MAX);
    if (!writing->layer || !writing->arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    writing->compression = compression;
    writing->plain = BYTES(MEMBER);
    writing->packed = BYTES(2 * MEMBER);
    writing->path = BYTES(PATH_MAX_BYTES);
    sha256_init(&writing->diff);
    sha256_init(&writing->blob);
    writing->layer->spool = spool_new(layer_plain_max + layer_plain_max / 8, err);
    return writing->layer->spool != NULL;
}

struct layer *layer_write(const struct tree *tree, uint32_t number, const struct compression *compression,
                          bool (*cancelled)(void *), void *cancelled_context, struct error *err)
{
    AUTO(writing_release)
    struct writing writing = { .number = number, .cancelled = cancelled, .cancelled_context = cancelled_context };

    return start(&writing, compression, err) && write_tree(&writing, tree, err) ? TAKE(writing.layer) : NULL;
}

/* ---- other times ---- */

struct rewriting {
    struct writing *writing;
    struct retiming times;
    int64_t content; /* bytes of the entry at hand */
    struct tar_reader *tar;
    struct inflater *inflater;
};

static void note_shortened(struct rewriting *rewriting, int64_t time_s)
{
    struct layer *layer = rewriting->writing->layer;

    if (time_s > rewriting->times.is_s && time_s != rewriting->times.was_s &&
        (layer->shortened_s == 0 || time_s < layer->shortened_s))
        layer->shortened_s = time_s;
}

static bool rewrite_entry(void *context, const struct tar_entry *entry, struct error *err)
{
    struct rewriting *rewriting = context;
    struct tar_entry other = *entry;

    if (rewriting->writing->cancelled && rewriting->writing->cancelled(rewriting->writing->cancelled_context))
        return error_set(err, ERROR_UNAVAILABLE, "cancelled");
    other.mtime_s = retimed(rewriting->times, entry->mtime_s);
    note_shortened(rewriting, entry->mtime_s);
    rewriting->content = entry->type == TAR_FILE ? entry->size : 0;
    return write_header(rewriting->writing, &other, err);
}

static bool rewrite_content(void *context, const void *data, size_t len, struct error *err)
{
    return write_plain(((struct rewriting *)context)->writing, data, len, err);
}

static bool rewrite_padding(void *context, struct error *err)
{
    struct rewriting *rewriting = context;

    return write_plain(rewriting->writing, tar_zeros, tar_padding(rewriting->content), err);
}

static bool rewrite_plain(void *context, const void *data, size_t len, struct error *err)
{
    return tar_reader_feed(((struct rewriting *)context)->tar, data, len, err);
}

static bool rewrite_blob(void *context, const void *data, size_t len, struct error *err)
{
    return inflater_feed(((struct rewriting *)context)->inflater, data, len, err);
}

static bool rewrite(struct rewriting *rewriting, struct store *store, const struct image_layer *from, struct error *err)
{
    const struct tar_events events = { rewrite_entry, rewrite_content, rewrite_padding, rewriting };
    AUTO(tar_reader_free) struct tar_reader *tar = rewriting->tar = tar_reader_new(&events, err);
    AUTO(inflater_free)
    struct inflater *inflater = rewriting->inflater =
        tar ? inflater_new(rewrite_plain, rewriting, layer_plain_max, err) : NULL;

    return inflater && store_get_blob(store, &from->blob, rewrite_blob, rewriting, err) &&
           inflater_end(inflater, err) && tar_reader_end(tar, err) && write_end(rewriting->writing, err);
}

struct layer *layer_retime(struct store *store, const struct image_layer *from, struct retiming times,
                           const struct compression *compression, bool (*cancelled)(void *), void *cancelled_context,
                           struct error *err)
{
    AUTO(writing_release)
    struct writing writing = { .cancelled = cancelled, .cancelled_context = cancelled_context };
    struct rewriting rewriting = { .writing = &writing, .times = times };

    return start(&writing, compression, err) && rewrite(&rewriting, store, from, err) ? TAKE(writing.layer) : NULL;
}

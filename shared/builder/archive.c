#include "shared/builder/archive.h"

#include "shared/builder/expander.h"

#include <string.h>

enum { PEEK = 512 };

struct unpacking {
    const struct copy *copy;
    const struct archive_options *options;
    struct tree_node *root; /* the destination, once there was an entry */
    bool is_archive;
    struct content *content; /* of the file at hand */
    struct tar_reader *tar;
    struct expander *expander;
};

static bool resolve_parent(struct unpacking *unpacking, const char *path, struct tree_node **parent, char *name,
                           struct error *err)
{
    const struct attributes made = { .type = TAR_DIRECTORY, .mode = 0755, .mtime_s = unpacking->copy->time_s };
    char folder[TAR_PATH_MAX + 1];
    struct tree_place place;
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    memcpy(folder, path, len);
    folder[len] = '\0';
    char *slash = strrchr(folder, '/');
    strcpy(name, slash ? slash + 1 : folder);
    *(slash ? slash : folder) = '\0';
    if (!tree_resolve(unpacking->copy->to, unpacking->root, folder, true, &place, err))
        return false;
    *parent = tree_make_directories(unpacking->copy->to, &place, &made, true, unpacking->copy->layer, err);
    return *parent != NULL;
}

static bool fill_file(struct unpacking *unpacking, const struct tar_entry *entry, struct attributes *is,
                      struct error *err)
{
    struct content *content = arena_take(tree_arena(unpacking->copy->to), sizeof(*content));

    if (!content)
        return error_set(err, ERROR_TOO_LARGE, "the archive holds more files than fit into memory");
    content->kind = entry->size > 0 ? CONTENT_SPOOL : CONTENT_EMPTY;
    content->size = entry->size;
    content->spool.spool = unpacking->options->spool;
    content->spool.offset = spool_size(unpacking->options->spool);
    is->content = content;
    unpacking->content = content;
    return true;
}

static void fill_plain(const struct unpacking *unpacking, const struct tar_entry *entry, struct attributes *is)
{
    const struct copy *copy = unpacking->copy;

    is->mode = entry->mode;
    is->uid = copy->has_owner ? copy->uid : entry->uid;
    is->gid = copy->has_owner ? copy->gid : entry->gid;
    is->mtime_s = entry->mtime_s < copy->newest_s ? entry->mtime_s : copy->newest_s;
}

static bool fill_link(struct unpacking *unpacking, const struct tar_entry *entry, struct attributes *is,
                      struct error *err)
{
    AUTO(bytes_release) struct bytes target = BYTES(2 * TAR_PATH_MAX);
    struct tree_place place;

    if (!copy_clean(entry->link, &target, err) ||
        !tree_resolve(unpacking->copy->to, unpacking->root, entry->link, false, &place, err))
        return false;
    if (place.missing[0] || tree_is_directory(place.node))
        return error_set(err, ERROR_INVALID, "link /%s /%s: no such file or directory", bytes_text(&target),
                         entry->path + strspn(entry->path, "/"));
    /* One file: what the entry says about it goes for all its names. */
    struct attributes *file = &place.node->is;
    if (file->file == 0)
        file->file = ++*unpacking->options->file_number;
    fill_plain(unpacking, entry, file);
    tree_touch(place.node, unpacking->copy->layer);
    *is = *file;
    return true;
}

static bool fill(struct unpacking *unpacking, const struct tar_entry *entry, struct attributes *is, struct error *err)
{
    struct arena *arena = tree_arena(unpacking->copy->to);

    if (entry->type == TAR_HARDLINK)
        return fill_link(unpacking, entry, is, err);
    *is = (struct attributes){ .type = entry->type,
                               .device_major = entry->device_major,
                               .device_minor = entry->device_minor };
    fill_plain(unpacking, entry, is);
    if (entry->capability.len > 0)
        is->capability = (struct span){ arena_dup(arena, entry->capability), entry->capability.len };
    if (entry->type == TAR_SYMLINK)
        is->target = arena_dup(arena, span_of(entry->link));
    if ((entry->type == TAR_SYMLINK && !is->target) || (entry->capability.len > 0 && !is->capability.data))
        return error_set(err, ERROR_TOO_LARGE, "the archive holds more files than fit into memory");
    return entry->type != TAR_FILE || fill_file(unpacking, entry, is, err);
}

static bool put_entry(struct unpacking *unpacking, const struct tar_entry *entry, struct error *err)
{
    struct tree *tree = unpacking->copy->to;
    struct tree_node *parent, *node;
    struct attributes is;
    char name[TAR_PATH_MAX + 1];

    if (!resolve_parent(unpacking, entry->path, &parent, name, err))
        return false;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true; /* the destination keeps its own attributes */
    if (!fill(unpacking, entry, &is, err))
        return false;
    node = tree_add(tree, parent, span_of(name), err);
    if (!node)
        return false;
    if (is.type != TAR_DIRECTORY)
        tree_clear(tree, node);
    node->is = is;
    tree_touch(node, unpacking->copy->layer);
    return true;
}

static bool on_entry(void *context, const struct tar_entry *entry, struct error *err)
{
    struct unpacking *unpacking = context;

    unpacking->content = NULL;
    unpacking->is_archive = true;
    struct copy place = *unpacking->copy;
    place.chmod = NULL; /* which is for what is not unpacked, as BuildKit has it */
    if (!unpacking->root)
        unpacking->root = copy_directory(&place, err);
    if (!unpacking->root)
        return false;
    return put_entry(unpacking, entry, err) || error_wrap(err, "'%s' of the archive", entry->path);
}

static bool on_content(void *context, const void *data, size_t len, struct error *err)
{
    struct unpacking *unpacking = context;

    return !unpacking->content || spool_append(unpacking->options->spool, data, len, err);
}

static bool on_plain(void *context, const void *data, size_t len, struct error *err)
{
    return tar_reader_feed(((struct unpacking *)context)->tar, data, len, err);
}

static bool on_packed(void *context, const void *data, size_t len, struct error *err)
{
    return expander_feed(((struct unpacking *)context)->expander, data, len, err);
}

static bool read_archive(struct unpacking *unpacking, const struct content *content, struct error *err)
{
    struct tar_events events = { on_entry, on_content, NULL, unpacking };
    AUTO(tar_reader_free) struct tar_reader *tar = tar_reader_new(&events, err);
    if (!tar)
        return false;
    AUTO(expander_free)
    struct expander *expander = expander_new(on_plain, unpacking, unpacking->options->plain_max, err);
    if (!expander)
        return false;

    unpacking->tar = tar;
    unpacking->expander = expander;
    if (!content_read(content, on_packed, unpacking, err))
        return false;
    return (expander_end(expander, err) && tar_reader_end(tar, err)) || error_wrap(err, "unexpected EOF");
}

/* ---- what is it? ---- */

struct peek {
    char data[PEEK];
    size_t len;
};

static bool on_peek(void *context, const void *data, size_t len, struct error *err)
{
    struct peek *peek = context;
    size_t room = sizeof(peek->data) - peek->len, n = len < room ? len : room;

    (void)err;
    memcpy(peek->data + peek->len, data, n);
    peek->len += n;
    return peek->len < sizeof(peek->data); /* enough is no error: the caller looks at what there is */
}

/* Unix V7's archives have no signature, only the sum over their first block, taken with blanks in its own place. */
static bool is_old_tar(const struct peek *peek)
{
    enum { SUM_AT = 148, SUM_LEN = 8 };
    unsigned long sum = 0;
    char said[SUM_LEN + 1] = "";

    if (peek->len < PEEK || !peek->data[0])
        return false;
    for (size_t i = 0; i < PEEK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_LEN ? ' ' : (unsigned char)peek->data[i];
    memcpy(said, peek->data + SUM_AT, SUM_LEN);
    return strtoul(said, NULL, 8) == sum;
}

static const struct {
    size_t offset;
    struct span bytes;
} signatures[] = {
    { 257, { "ustar", 5 } },
    { 0, { "\x1f\x8b", 2 } },
    { 0, { "\x28\xb5\x2f\xfd", 4 } },
    { 0, { "BZh", 3 } },
    { 0,
      { "\xfd"
        "7zXZ\0",
        6 } },
};

static bool may_be_archive(const struct peek *peek)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        size_t offset = signatures[i].offset, len = signatures[i].bytes.len;

        if (offset + len <= peek->len && memcmp(peek->data + offset, signatures[i].bytes.data, len) == 0)
            return true;
    }
    return is_old_tar(peek);
}

bool archive_unpack(const struct copy *copy, const struct content *content, const struct archive_options *options,
                    bool *unpacked, struct error *err)
{
    struct unpacking unpacking = { .copy = copy, .options = options };
    struct peek peek = { .len = 0 };
    struct error failed = { 0 };

    *unpacked = false;
    if (!content_read(content, on_peek, &peek, &failed) && failed.kind != ERROR_NONE) {
        *err = failed;
        return false;
    }
    if (!may_be_archive(&peek))
        return true;
    if (!read_archive(&unpacking, content, &failed)) {
        /* Compressed, but no archive: a file like others. */
        if (!unpacking.is_archive && failed.kind == ERROR_INVALID)
            return true;
        *err = failed;
        return false;
    }
    *unpacked = unpacking.is_archive;
    return true;
}

#include "shared/builder/keepgit.h"

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/dockerfile/text.h"
#include "shared/oci/compress.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    OID = SHA1_SIZE,
    PENDING = 64 * 1024,
    OBJECT_MAX = 256 * 1024 * 1024, /* in memory at once: of what is no large file */
    STORED_FROM = 1024 * 1024,      /* files of this size are not compressed: their layer will be */
    STORED_BLOCK = 32 * 1024,
    TAGS_MAX = 16, /* of tags */
};

struct object {
    uint8_t id[OID];
    uint32_t checksum;
    int64_t offset;
};

struct keeping {
    struct git_snapshot *snapshot;
    struct files *files;
    struct tree_node *git;
    const char *remote;
    struct bytes objects; /* struct object, in the order of their ids */
    bool has_parents;
    uint32_t entries; /* of the index */
    bool has_submodules;
    struct error failed; /* what went wrong while a file was written */
    /* The file at hand: */
    struct bytes pending;
    struct sha1 sha;
    int64_t size;
    uint32_t checksum; /* of the object at hand */
};

static void keeping_release(struct keeping *keeping)
{
    bytes_release(&keeping->objects);
    bytes_release(&keeping->pending);
}
AUTO_RELEASE(struct keeping, keeping_release)

static struct object *objects_of(const struct keeping *keeping, size_t *count)
{
    *count = keeping->objects.len / sizeof(struct object);
    return (struct object *)(void *)keeping->objects.data;
}

/* ---- files ---- */

static void begin(struct keeping *keeping)
{
    bytes_clear(&keeping->pending);
    sha1_init(&keeping->sha);
    keeping->size = 0;
}

static void flush(struct keeping *keeping)
{
    struct span pending = bytes_span(&keeping->pending);

    sha1_update(&keeping->sha, pending.data, pending.len);
    if (keeping->failed.kind == ERROR_NONE)
        spool_append(keeping->files->spool, pending.data, pending.len, &keeping->failed);
    bytes_clear(&keeping->pending);
}

static void put(struct keeping *keeping, const void *data, size_t len)
{
    if (len == 0 || keeping->failed.kind != ERROR_NONE)
        return;
    if (keeping->pending.len + len > PENDING)
        flush(keeping);
    keeping->checksum = checksum_add(keeping->checksum, (struct span){ data, len });
    keeping->size += (int64_t)len;
    bytes_append(&keeping->pending, data, len, &keeping->failed);
}

static void put_text(struct keeping *keeping, const char *text)
{
    put(keeping, text, strlen(text));
}

static void put_number(struct keeping *keeping, uint32_t number)
{
    number = htobe32(number);
    put(keeping, &number, sizeof(number));
}

/* What packs and indexes end in: the digest of what stands before. */
static void put_digest(struct keeping *keeping, uint8_t digest[static SHA1_SIZE])
{
    flush(keeping);
    sha1_final(&keeping->sha, digest);
    put(keeping, digest, SHA1_SIZE);
}

static struct tree_node *directory(struct keeping *keeping, struct tree_node *parent, const char *name,
                                   struct error *err)
{
    struct tree_node *node = tree_add(keeping->files->tree, parent, span_of(name), err);

    if (node)
        node->is = (struct attributes){ .type = TAR_DIRECTORY, .mode = 0755, .mtime_s = keeping->files->time_s };
    return node;
}

/* What was put since begin() is the file of that name, unless something went wrong since. */
static bool end(struct keeping *keeping, struct tree_node *parent, const char *name, struct error *err)
{
    struct content *content = arena_take(tree_arena(keeping->files->tree), sizeof(*content));

    flush(keeping);
    if (!content)
        return error_set(err, ERROR_TOO_LARGE, "the commit holds more files than fit into memory");
    if (keeping->failed.kind != ERROR_NONE) {
        *err = keeping->failed;
        return false;
    }
    struct tree_node *node = directory(keeping, parent, name, err);
    if (!node)
        return false;
    *content = (struct content){ .kind = CONTENT_SPOOL, .size = keeping->size };
    content->spool.spool = keeping->files->spool;
    content->spool.offset = spool_size(keeping->files->spool) - keeping->size;
    node->is.type = TAR_FILE;
    node->is.mode = 0644;
    node->is.content = content;
    return true;
}

/* ---- which objects ---- */

static bool decode_id(uint8_t out[static OID], struct span id, struct error *err)
{
    return hex_decode(out, OID, id) || error_set(err, ERROR_INVALID, "an object of the commit has no id");
}

static bool add_object(struct keeping *keeping, struct span id, struct error *err)
{
    struct object object = { .offset = 0 };

    return decode_id(object.id, id, err) && bytes_append(&keeping->objects, &object, sizeof(object), err);
}

static bool on_object(void *context, const struct git_entry *entry, struct error *err)
{
    struct keeping *keeping = context;

    keeping->entries += entry->mode != GIT_MODE_DIRECTORY;
    keeping->has_submodules = keeping->has_submodules || entry->mode == GIT_MODE_SUBMODULE;
    return entry->mode == GIT_MODE_SUBMODULE || add_object(keeping, span_of(entry->oid), err);
}

/* The lines in front of a commit's or tag's text: "tree ID", "parent ID", ..., or "object ID". */
static struct span line_of(struct span text, const char *key)
{
    for (struct span line = span_cut(&text, '\n'); line.len > 0; line = span_cut(&text, '\n')) {
        struct span name = span_cut(&line, ' ');
        if (span_is(name, key))
            return line;
    }
    return (struct span){ 0 };
}

/* The tag, what it is a tag of, and so on; what is found in the end is the commit, and stands among the objects already. */
static bool add_tags(struct keeping *keeping, struct error *err)
{
    const char *commit = git_snapshot_commit(keeping->snapshot);
    char id[GIT_OID_TEXT_SIZE];

    snprintf(id, sizeof(id), "%s", git_snapshot_pointed(keeping->snapshot));
    for (unsigned i = 0; strcmp(id, commit) != 0; i++) {
        AUTO(bytes_release) struct bytes text = BYTES(OBJECT_MAX);

        if (i == TAGS_MAX)
            return error_set(err, ERROR_TOO_LARGE, "a tag of more than %d tags", TAGS_MAX);
        if (!add_object(keeping, span_of(id), err) || !git_snapshot_object_read(keeping->snapshot, id, &text, err))
            return false;
        struct span object = line_of(bytes_span(&text), "object");
        snprintf(id, sizeof(id), "%.*s", (int)object.len, object.data ? object.data : "");
    }
    return true;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct object *)a)->id, ((const struct object *)b)->id, OID);
}

static void sort_objects(struct keeping *keeping)
{
    size_t count, kept = 0;
    struct object *objects = objects_of(keeping, &count);

    qsort(objects, count, sizeof(*objects), by_id);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || by_id(&objects[kept - 1], &objects[i]) != 0)
            objects[kept++] = objects[i];
    }
    bytes_truncate(&keeping->objects, kept * sizeof(*objects));
}

static bool find_objects(struct keeping *keeping, struct error *err)
{
    const char *commit = git_snapshot_commit(keeping->snapshot);
    AUTO(bytes_release) struct bytes text = BYTES(OBJECT_MAX);

    if (!git_snapshot_object_read(keeping->snapshot, commit, &text, err) ||
        !add_object(keeping, span_of(commit), err) || !add_object(keeping, line_of(bytes_span(&text), "tree"), err) ||
        !add_tags(keeping, err) || !git_snapshot_walk(keeping->snapshot, FILES_ENTRIES_MAX, on_object, keeping, err))
        return false;
    keeping->has_parents = line_of(bytes_span(&text), "parent").len > 0;
    sort_objects(keeping);
    return true;
}

/* ---- the pack ---- */

/* A zlib stream (RFC 1950) of stored blocks (RFC 1951, 3.2.4), each but the last as large as any other: however a large file comes in, it
 * goes out the same. */
struct storing {
    struct keeping *keeping;
    uint32_t checksum;
    size_t len;
    uint8_t block[STORED_BLOCK];
};

static void store_block(struct storing *storing, bool is_last)
{
    uint16_t len = htole16((uint16_t)storing->len), inverse = (uint16_t)~len;

    storing->checksum = adler32_add(storing->checksum, (struct span){ (char *)storing->block, storing->len });
    put(storing->keeping, &is_last, 1);
    put(storing->keeping, &len, sizeof(len));
    put(storing->keeping, &inverse, sizeof(inverse));
    put(storing->keeping, storing->block, storing->len);
    storing->len = 0;
}

static bool on_stored(void *context, const void *data, size_t len, struct error *err)
{
    struct storing *storing = context;

    for (const char *from = data; len > 0;) {
        size_t room = STORED_BLOCK - storing->len, n = len < room ? len : room;

        memcpy(storing->block + storing->len, from, n);
        storing->len += n;
        from += n;
        len -= n;
        if (len > 0)
            store_block(storing, false);
    }
    *err = storing->keeping->failed;
    return err->kind == ERROR_NONE;
}

static bool put_stored(struct keeping *keeping, const char *id, int64_t size, struct error *err)
{
    AUTO(free) struct storing *storing = calloc(1, sizeof(*storing));
    struct content content = { .kind = CONTENT_GIT, .size = size };

    if (!storing)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    content.git.snapshot = keeping->snapshot;
    content.git.oid = id;
    storing->keeping = keeping;
    storing->checksum = 1;
    put_text(keeping, "\x78\x01");
    if (!content_read(&content, on_stored, storing, err))
        return false;
    store_block(storing, true);
    put_number(keeping, storing->checksum);
    return true;
}

static bool put_deflated(struct keeping *keeping, const char *id, struct error *err)
{
    AUTO(bytes_release) struct bytes plain = BYTES(OBJECT_MAX), deflated = BYTES(2 * (size_t)OBJECT_MAX);

    if (!git_snapshot_object_read(keeping->snapshot, id, &plain, err) ||
        !zlib_append(&deflated, bytes_span(&plain), err))
        return false;
    put(keeping, deflated.data, deflated.len);
    return true;
}

/* Kind and size: four bits of the size in the first byte, then seven in each. */
static void put_head(struct keeping *keeping, enum git_kind kind, int64_t size)
{
    uint8_t head[16];
    size_t len = 1;

    head[0] = (uint8_t)((unsigned)kind << 4 | (size & 15));
    for (size >>= 4; size > 0; size >>= 7) {
        head[len - 1] |= 0x80;
        head[len++] = (uint8_t)(size & 0x7f);
    }
    put(keeping, head, len);
}

static bool put_object(struct keeping *keeping, struct object *object, struct error *err)
{
    char id[2 * OID + 1];
    enum git_kind kind;
    int64_t size;

    hex_encode(id, object->id, OID);
    if (!git_snapshot_object_header(keeping->snapshot, id, &kind, &size, err))
        return false;
    object->offset = keeping->size;
    keeping->checksum = 0;
    put_head(keeping, kind, size);
    if (!(kind == GIT_KIND_BLOB && size >= STORED_FROM ? put_stored(keeping, id, size, err)
                                                       : put_deflated(keeping, id, err)))
        return false;
    object->checksum = keeping->checksum;
    return true;
}

/* "pack-DIGEST.EXTENSION" */
static bool end_pack(struct keeping *keeping, struct tree_node *place, const uint8_t pack[static SHA1_SIZE],
                     const char *extension, struct error *err)
{
    char id[2 * SHA1_SIZE + 1], name[64];

    hex_encode(id, pack, SHA1_SIZE);
    snprintf(name, sizeof(name), "pack-%s.%s", id, extension);
    return end(keeping, place, name, err);
}

static bool write_pack(struct keeping *keeping, struct tree_node *place, uint8_t digest[static SHA1_SIZE],
                       struct error *err)
{
    size_t count;
    struct object *objects = objects_of(keeping, &count);

    begin(keeping);
    put_text(keeping, "PACK");
    put_number(keeping, 2);
    put_number(keeping, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        if (!put_object(keeping, &objects[i], err))
            return false;
    }
    put_digest(keeping, digest);
    return end_pack(keeping, place, digest, "pack", err);
}

/* How many ids begin with a byte up to each. */
static void put_fanout(struct keeping *keeping, const struct object *objects, size_t count)
{
    size_t upto = 0;

    for (unsigned first = 0; first < 256; first++) {
        while (upto < count && objects[upto].id[0] <= first)
            upto++;
        put_number(keeping, (uint32_t)upto);
    }
}

/* Those that do not fit into 31 bits stand in a table of their own. */
static void put_offsets(struct keeping *keeping, const struct object *objects, size_t count)
{
    uint32_t large = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t offset = objects[i].offset;
        put_number(keeping, offset > INT32_MAX ? UINT32_C(1) << 31 | large++ : (uint32_t)offset);
    }
    for (size_t i = 0; i < count; i++) {
        if (objects[i].offset > INT32_MAX) {
            put_number(keeping, (uint32_t)(objects[i].offset >> 32));
            put_number(keeping, (uint32_t)objects[i].offset);
        }
    }
}

static bool write_pack_index(struct keeping *keeping, struct tree_node *place, const uint8_t pack[static SHA1_SIZE],
                             struct error *err)
{
    uint8_t digest[SHA1_SIZE];
    size_t count;
    const struct object *objects = objects_of(keeping, &count);

    begin(keeping);
    put_text(keeping, "\xfftOc");
    put_number(keeping, 2);
    put_fanout(keeping, objects, count);
    for (size_t i = 0; i < count; i++)
        put(keeping, objects[i].id, OID);
    for (size_t i = 0; i < count; i++)
        put_number(keeping, objects[i].checksum);
    put_offsets(keeping, objects, count);
    put(keeping, pack, SHA1_SIZE);
    put_digest(keeping, digest);
    return end_pack(keeping, place, pack, "idx", err);
}

/* ---- the index ---- */

/* Nothing of stat() but the mode: git then looks at the content. A walk has git's order, which is the index's too. */
static bool on_entry(void *context, const struct git_entry *entry, struct error *err)
{
    enum { FIXED = 62, NAME_BITS = 0xfff };
    static const uint8_t zeroes[24];
    struct keeping *keeping = context;
    size_t len = strlen(entry->path);
    uint16_t flags = htobe16(len < NAME_BITS ? (uint16_t)len : NAME_BITS);
    uint8_t id[OID];

    if (entry->mode == GIT_MODE_DIRECTORY)
        return true;
    if (!decode_id(id, span_of(entry->oid), err))
        return false;
    put(keeping, zeroes, 24);
    put_number(keeping, (uint32_t)entry->mode);
    put(keeping, zeroes, 12);
    put(keeping, id, OID);
    put(keeping, &flags, sizeof(flags));
    put(keeping, entry->path, len);
    put(keeping, zeroes, 8 - (FIXED + len) % 8);
    return true;
}

static bool write_index(struct keeping *keeping, struct error *err)
{
    uint8_t digest[SHA1_SIZE];

    begin(keeping);
    put_text(keeping, "DIRC");
    put_number(keeping, 2);
    put_number(keeping, keeping->entries);
    if (!git_snapshot_walk(keeping->snapshot, FILES_ENTRIES_MAX, on_entry, keeping, err))
        return false;
    put_digest(keeping, digest);
    return end(keeping, keeping->git, "index", err);
}

/* ---- what people could write ---- */

static void put_origin(struct keeping *keeping)
{
    put_text(keeping, "[remote \"origin\"]\n\turl = \"");
    for (const char *c = keeping->remote; *c; c++) {
        if (*c == '"' || *c == '\\')
            put_text(keeping, "\\");
        put(keeping, c, 1);
    }
    put_text(keeping, "\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
}

static bool write_config(struct keeping *keeping, struct error *err)
{
    begin(keeping);
    put_text(keeping, "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
                      "\tlogallrefupdates = true\n");
    if (strncasecmp(keeping->remote, "http", 4) == 0)
        put_origin(keeping);
    if (keeping->has_submodules)
        put_text(keeping, "[submodule]\n\tactive = .\n");
    return end(keeping, keeping->git, "config", err);
}

/* A ref has a line in one file: no part of its name becomes a name of ours. An annotated tag is told a second time, as its commit. */
static bool write_ref(struct keeping *keeping, struct error *err)
{
    const char *ref = git_snapshot_ref(keeping->snapshot), *commit = git_snapshot_commit(keeping->snapshot),
               *pointed = git_snapshot_pointed(keeping->snapshot);
    bool is_tag = strcmp(pointed, commit) != 0;
    const char *const parts[] = { "# pack-refs with: peeled fully-peeled sorted \n",
                                  pointed,
                                  " ",
                                  ref,
                                  "\n",
                                  is_tag ? "^" : "",
                                  is_tag ? commit : "",
                                  is_tag ? "\n" : "" };

    if (!ref || strcmp(ref, "HEAD") == 0)
        return true;
    begin(keeping);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        put_text(keeping, parts[i]);
    return end(keeping, keeping->git, "packed-refs", err);
}

static bool write_commit(struct keeping *keeping, const char *name, struct error *err)
{
    begin(keeping);
    put_text(keeping, git_snapshot_commit(keeping->snapshot));
    put_text(keeping, "\n");
    return end(keeping, keeping->git, name, err);
}

static bool write_all(struct keeping *keeping, struct error *err)
{
    struct tree_node *objects = directory(keeping, keeping->git, "objects", err),
                     *packs = objects ? directory(keeping, objects, "pack", err) : NULL,
                     *refs = packs ? directory(keeping, keeping->git, "refs", err) : NULL;
    uint8_t pack[SHA1_SIZE];

    return refs && directory(keeping, refs, "heads", err) && directory(keeping, refs, "tags", err) &&
           write_pack(keeping, packs, pack, err) && write_pack_index(keeping, packs, pack, err) &&
           write_index(keeping, err) && write_config(keeping, err) && write_ref(keeping, err) &&
           write_commit(keeping, "HEAD", err) && (!keeping->has_parents || write_commit(keeping, "shallow", err));
}

bool keepgit(struct files *files, struct git_snapshot *snapshot, struct tree_node *directory_of, const char *remote,
             struct error *err)
{
    AUTO(keeping_release)
    struct keeping keeping = { .snapshot = snapshot,
                               .files = files,
                               .remote = remote,
                               .objects = BYTES((FILES_ENTRIES_MAX + TAGS_MAX + 2) * sizeof(struct object)),
                               .pending = BYTES(2 * (size_t)OBJECT_MAX) };

    if (tree_child(files->tree, directory_of, SPAN(".git")))
        return error_set(err, ERROR_INVALID, "the commit itself holds a '.git'");
    if (!files->spool && !(files->spool = spool_new(keepgit_max, err)))
        return false;
    keeping.git = directory(&keeping, directory_of, ".git", err);
    return keeping.git && find_objects(&keeping, err) && write_all(&keeping, err);
}

bool keepgit_asked(const struct dockerfile_pairs *arguments)
{
    bool asked = false;

    for (size_t i = 0; i < arguments->count; i++) {
        const struct dockerfile_pair *pair = &arguments->items[i];
        bool yes;

        if (strcmp(pair->key, "BUILDKIT_CONTEXT_KEEP_GIT_DIR") == 0)
            asked = pair->value && bool_parse(span_of(pair->value), &yes) && yes;
    }
    return asked;
}

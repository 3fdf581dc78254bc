#include "shared/builder/tree.h"

#include <stdlib.h>
#include <string.h>

struct tree {
    struct arena *arena;
    struct tree_node *root;
    struct tree_node **buckets; /* by parent and name; a power of two of them */
    size_t bucket_count, node_count;
};

enum { SETGID = 02000 };

static uint32_t hash_of(const struct tree_node *parent, struct span name)
{
    uint64_t hash = 14695981039346656037U ^ (uintptr_t)parent; /* FNV-1a */

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * 1099511628211U;
    return (uint32_t)(hash ^ hash >> 32);
}

struct tree *tree_new(struct error *err)
{
    AUTO(tree_free) struct tree *tree = calloc(1, sizeof(*tree));

    if (tree) {
        tree->bucket_count = 256;
        tree->buckets = calloc(tree->bucket_count, sizeof(tree->buckets[0]));
        tree->arena = arena_new(TREE_MEMORY_MAX);
    }
    if (tree && tree->buckets && tree->arena)
        tree->root = arena_take(tree->arena, sizeof(*tree->root));
    if (!tree || !tree->root) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    tree->root->name = "";
    tree->root->is = (struct attributes){ .type = TAR_DIRECTORY, .mode = 0755 };
    return TAKE(tree);
}

void tree_free(struct tree *tree)
{
    if (!tree)
        return;
    arena_free(tree->arena);
    free(tree->buckets);
    free(tree);
}

struct tree_node *tree_root(const struct tree *tree)
{
    return tree->root;
}

struct arena *tree_arena(struct tree *tree)
{
    return tree->arena;
}

static struct tree_node **bucket_of(const struct tree *tree, uint32_t hash)
{
    return &tree->buckets[hash & (tree->bucket_count - 1)];
}

static struct tree_node *lookup(const struct tree *tree, const struct tree_node *parent, struct span name,
                                uint32_t hash)
{
    for (struct tree_node *node = *bucket_of(tree, hash); node; node = node->same_hash) {
        if (node->hash == hash && node->parent == parent && span_is(name, node->name))
            return node;
    }
    return NULL;
}

struct tree_node *tree_child(const struct tree *tree, const struct tree_node *directory, struct span name)
{
    return lookup(tree, directory, name, hash_of(directory, name));
}

static void grow(struct tree *tree, size_t count)
{
    struct tree_node **buckets = calloc(count, sizeof(buckets[0]));

    if (!buckets)
        return; /* slower, but right */
    for (size_t i = 0; i < tree->bucket_count; i++) {
        for (struct tree_node *node = tree->buckets[i], *next; node; node = next) {
            next = node->same_hash;
            node->same_hash = buckets[node->hash & (count - 1)];
            buckets[node->hash & (count - 1)] = node;
        }
    }
    free(tree->buckets);
    tree->buckets = buckets;
    tree->bucket_count = count;
}

void tree_expect(struct tree *tree, size_t more)
{
    size_t count = tree->bucket_count;

    if (more > TREE_MEMORY_MAX / sizeof(struct tree_node))
        return;
    while (count < tree->node_count + more)
        count *= 2;
    if (count > tree->bucket_count)
        grow(tree, count);
}

static struct tree_node *no_room(struct error *err)
{
    error_set(err, ERROR_TOO_LARGE, "more files than fit into %d MB of memory", TREE_MEMORY_MAX >> 20);
    return NULL;
}

static struct tree_node *add(struct tree *tree, struct tree_node *directory, const char *name, uint32_t hash,
                             struct error *err)
{
    struct tree_node *node = name ? arena_take(tree->arena, sizeof(*node)) : NULL;

    if (!node)
        return no_room(err);
    node->name = name;
    node->parent = directory;
    node->hash = hash;
    node->next = directory->first;
    if (node->next)
        node->next->previous = node;
    directory->first = node;
    if (tree->node_count++ > tree->bucket_count)
        grow(tree, tree->bucket_count * 2);
    node->same_hash = *bucket_of(tree, hash);
    *bucket_of(tree, hash) = node;
    return node;
}

struct tree_node *tree_add(struct tree *tree, struct tree_node *directory, struct span name, struct error *err)
{
    uint32_t hash = hash_of(directory, name);
    struct tree_node *node = lookup(tree, directory, name, hash);

    return node ? node : add(tree, directory, arena_dup(tree->arena, name), hash, err);
}

struct tree_node *tree_add_borrowed(struct tree *tree, struct tree_node *directory, struct span name, struct error *err)
{
    uint32_t hash = hash_of(directory, name);
    struct tree_node *node = lookup(tree, directory, name, hash);

    return node ? node : add(tree, directory, name.data, hash, err);
}

static void forget(struct tree *tree, const struct tree_node *node)
{
    struct tree_node **link = bucket_of(tree, node->hash);

    while (*link != node)
        link = &(*link)->same_hash;
    *link = node->same_hash;
    tree->node_count--;
}

void tree_clear(struct tree *tree, struct tree_node *directory)
{
    /* Depth first without recursion: a hostile layer may nest as deep as a path is long. */
    for (struct tree_node *node = directory->first; node;) {
        if (node->first) {
            node = node->first;
            continue;
        }
        struct tree_node *parent = node->parent;
        forget(tree, node);
        parent->first = node->next;
        node = parent->first ? parent->first : parent == directory ? NULL : parent;
    }
}

void tree_remove(struct tree *tree, struct tree_node *node)
{
    tree_clear(tree, node);
    forget(tree, node);
    if (node->previous)
        node->previous->next = node->next;
    else
        node->parent->first = node->next;
    if (node->next)
        node->next->previous = node->previous;
}

void tree_touch(struct tree_node *node, uint32_t layer)
{
    for (; node && node->layer != layer; node = node->parent)
        node->layer = layer;
}

static int by_name(const void *a, const void *b)
{
    const struct tree_node *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

struct tree_node **tree_sorted(const struct tree_node *directory, size_t *count, struct error *err)
{
    size_t n = 0;

    *count = 0;
    for (struct tree_node *node = directory->first; node; node = node->next)
        n++;
    if (n == 0)
        return NULL;
    struct tree_node **nodes = calloc(n, sizeof(struct tree_node *));
    if (!nodes) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    for (struct tree_node *node = directory->first; node; node = node->next)
        nodes[(*count)++] = node;
    qsort(nodes, n, sizeof(struct tree_node *), by_name);
    return nodes;
}

static bool clone_below(struct tree *to, struct tree_node *into, const struct tree_node *from, struct error *err)
{
    for (const struct tree_node *child = from->first; child; child = child->next) {
        struct tree_node *copy = tree_add(to, into, span_of(child->name), err);

        if (!copy)
            return false;
        copy->is = child->is;
        copy->layer = child->layer;
        if (child->first && !clone_below(to, copy, child, err))
            return false;
    }
    return true;
}

/* What attributes point to stays in the arena it was made in. */
struct tree *tree_clone(const struct tree *tree, struct error *err)
{
    AUTO(tree_free) struct tree *clone = tree_new(err);

    if (!clone)
        return NULL;
    clone->root->is = tree->root->is;
    return clone_below(clone, clone->root, tree->root, err) ? TAKE(clone) : NULL;
}

bool tree_path(const struct tree_node *node, struct bytes *out, struct error *err)
{
    const struct tree_node *chain[TAR_PATH_MAX / 2 + 1];
    size_t depth = 0;

    for (; node->parent; node = node->parent) {
        if (depth == sizeof(chain) / sizeof(chain[0]))
            return error_set(err, ERROR_INVALID, "a path is longer than %d bytes", TAR_PATH_MAX);
        chain[depth++] = node;
    }
    if (depth == 0)
        return bytes_append_char(out, '/', err);
    while (depth > 0) {
        if (!bytes_append_char(out, '/', err) || !bytes_append_text(out, chain[--depth]->name, err))
            return false;
    }
    return true;
}

/* One path on its way: what is left of it, with the targets of links put in front. */
struct way {
    struct tree_node *root;
    unsigned links;
    char pending[2 * TAR_PATH_MAX];
    char next[2 * TAR_PATH_MAX];
};

static bool too_long(struct error *err)
{
    return error_set(err, ERROR_INVALID, "a path is longer than %d bytes", TAR_PATH_MAX);
}

static void step_up(const struct way *way, struct tree_place *place)
{
    char *slash = strrchr(place->missing, '/');

    if (slash)
        *slash = '\0';
    else if (place->missing[0])
        place->missing[0] = '\0';
    else if (place->node != way->root)
        place->node = place->node->parent;
}

static bool step_into_nothing(struct tree_place *place, struct span part, struct error *err)
{
    size_t len = strlen(place->missing);

    if (len + part.len + 2 > sizeof(place->missing))
        return too_long(err);
    if (len > 0)
        place->missing[len++] = '/';
    memcpy(place->missing + len, part.data, part.len);
    place->missing[len + part.len] = '\0';
    return true;
}

static bool follow(struct way *way, struct tree_place *place, const struct tree_node *link, const char *rest,
                   struct error *err)
{
    if (++way->links > TREE_LINKS_MAX)
        return error_set(err, ERROR_INVALID, "'%s': too many links", link->name);
    if (snprintf(way->next, sizeof(way->next), "%s/%s", link->is.target, rest) >= (int)sizeof(way->next))
        return too_long(err);
    if (link->is.target[0] == '/')
        place->node = way->root;
    memcpy(way->pending, way->next, sizeof(way->pending));
    return true;
}

bool tree_resolve(const struct tree *tree, struct tree_node *root, const char *path, bool follow_last,
                  struct tree_place *place, struct error *err)
{
    struct way way = { .root = root };
    size_t len = strlen(path);

    if (len >= TAR_PATH_MAX)
        return too_long(err);
    memcpy(way.pending, path, len + 1);
    *place = (struct tree_place){ .node = root };
    for (const char *at = way.pending; *(at += strspn(at, "/"));) {
        struct span part = { at, strcspn(at, "/") };
        at += part.len;
        if (span_is(part, "."))
            continue;
        if (span_is(part, "..")) {
            step_up(&way, place);
            continue;
        }
        struct tree_node *child =
            place->missing[0] || !tree_is_directory(place->node) ? NULL : tree_child(tree, place->node, part);
        if (!child) {
            if (!step_into_nothing(place, part, err))
                return false;
        } else if (child->is.type != TAR_SYMLINK || (!follow_last && !at[strspn(at, "/")])) {
            place->node = child;
        } else {
            if (!follow(&way, place, child, at, err))
                return false;
            at = way.pending;
        }
    }
    return true;
}

static bool not_a_directory(const struct tree_node *node, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);

    return tree_path(node, &path, err) && error_set(err, ERROR_INVALID, "mkdir %s: not a directory", bytes_text(&path));
}

struct tree_node *tree_make_directories(struct tree *tree, const struct tree_place *place,
                                        const struct attributes *made, bool owner_said, uint32_t layer,
                                        struct error *err)
{
    struct tree_node *node = place->node;
    struct span rest = place->missing[0] ? span_of(place->missing) : (struct span){ 0 };

    if (!tree_is_directory(node)) {
        not_a_directory(node, err);
        return NULL;
    }
    for (struct span part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/')) {
        const struct attributes *parent = &node->is;

        node = tree_add(tree, node, part, err);
        if (!node)
            return NULL;
        node->is = *made;
        node->is.type = TAR_DIRECTORY;
        node->is.mode |= parent->mode & SETGID;
        if (parent->mode & SETGID && !owner_said)
            node->is.gid = parent->gid;
        tree_touch(node, layer);
    }
    return node;
}

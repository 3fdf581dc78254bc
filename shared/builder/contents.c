#include "shared/builder/contents.h"

#include "shared/builder/contents_kept.h"
#include "shared/builder/stage.h"

#include <stdlib.h>

enum { FILES_MAX = 10 * 1000 };

/* ---- finding ---- */

struct found {
    const struct inventory_place *place;
    struct content *content; /* NULL: what it says was kept */
    struct image_layer kept; /* by which it is kept from now on; without a digest: it is not */
};

struct finding {
    struct found *items;
    size_t count;
};

/* Where rpm's database has moved to, a link stands in its old place. */
static bool is_found(const struct finding *finding, const struct content *content)
{
    for (size_t i = 0; i < finding->count; i++) {
        if (finding->items[i].content == content)
            return true;
    }
    return false;
}

static bool add_file(struct finding *finding, const struct inventory_place *place, const struct tree_node *node,
                     struct error *err)
{
    if (node->is.type != TAR_FILE || node->whiteout || !node->is.content)
        return true;
    if (!content_size(node->is.content, err))
        return false;
    int max = place->read ? PACKAGES_DATABASE_MAX : RPM_DATABASE_MAX;
    if (node->is.content->size > max)
        return error_set(err, ERROR_TOO_LARGE, "more than %d bytes", max);
    if (node->is.content->size == 0 || (!place->read && is_found(finding, node->is.content)))
        return true;
    if (finding->count == FILES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d files", FILES_MAX);
    finding->items[finding->count++] = (struct found){ .place = place, .content = node->is.content };
    return true;
}

static bool add_files(struct finding *finding, const struct inventory_place *place, const struct tree_node *directory,
                      struct error *err)
{
    size_t count;
    struct error failed = { 0 };
    AUTO(free) struct tree_node **children = tree_sorted(directory, &count, &failed);

    if (!children && failed.kind) {
        *err = failed;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (inventory_is_database(children[i]->name) && !add_file(finding, place, children[i], err))
            return false;
    }
    return true;
}

/* Links are followed inside the image; one that leads around in circles is no file. */
static bool find_place(struct finding *finding, const struct tree *tree, const struct inventory_place *place,
                       struct error *err)
{
    struct tree_place at;
    struct error ignored = { 0 };

    if (!tree_resolve(tree, tree_root(tree), place->path, true, &at, &ignored) || at.missing[0])
        return true;
    bool good = place->directory && tree_is_directory(at.node) ? add_files(finding, place, at.node, err)
                                                               : add_file(finding, place, at.node, err);
    return good || error_wrap(err, "'/%s'", place->path);
}

/* ---- reading ---- */

static bool to_bytes(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool to_spool(void *context, const void *data, size_t len, struct error *err)
{
    return spool_append(context, data, len, err);
}

static bool read_whole(struct inventory *inventory, const struct found *found, struct error *err)
{
    AUTO(bytes_release) struct bytes content = BYTES(PACKAGES_DATABASE_MAX);

    return content_read(found->content, to_bytes, &content, err) &&
           found->place->read(inventory, bytes_span(&content), err);
}

/* Where it lies, when that is a file of ours already: it may be larger than all memory that a build has. */
static bool read_in_place(struct inventory *inventory, const struct found *found, struct error *err)
{
    const struct inventory_place *place = found->place;
    const struct content *content = found->content;

    if (content->kind == CONTENT_SPOOL) {
        struct rpm_database lies = { spool_fd(content->spool.spool), content->spool.offset, content->size };

        return place->look(inventory, place->path, &lies, err);
    }
    AUTO(spool_free) struct spool *spool = spool_new(RPM_DATABASE_MAX, err);
    if (!spool || !content_read(content, to_spool, spool, err))
        return false;
    return place->look(inventory, place->path, &(struct rpm_database){ spool_fd(spool), 0, spool_size(spool) }, err);
}

/* What is broken is not kept: why is to be said again. */
static bool read_and_keep(struct inventory *inventory, const struct found *found, const char *cache, struct error *err)
{
    size_t before = inventory->packages.count;

    if (!read_in_place(inventory, found, err))
        return false;
    if (found->kept.blob.digest[0] && !inventory->unlisted)
        contents_kept_keep(&found->kept, cache, &inventory->packages, before);
    return true;
}

static bool read_found(struct inventory *inventory, const struct found *found, const char *cache, struct error *err)
{
    const struct inventory_place *place = found->place;

    if (!found->content)
        return true;
    if (!place->read && !place->look)
        return inventory_unread(inventory, place->path, "it holds what is not in the database yet", err);
    return (place->read ? read_whole(inventory, found, err) : read_and_keep(inventory, found, cache, err)) ||
           error_wrap(err, "'/%s'", place->path);
}

static bool recall(const struct finding *finding, struct inventory *inventory, const char *cache, struct error *err)
{
    for (size_t i = 0; i < finding->count; i++) {
        struct found *found = &finding->items[i];
        bool kept = false;

        if (!found->place->look || !contents_kept_name(found->content, &found->kept))
            continue;
        if (!contents_kept_look(&found->kept, cache, &inventory->packages, &kept, err))
            return false;
        if (kept)
            found->content = NULL;
    }
    return true;
}

static bool fetch(const struct finding *finding, struct error *err)
{
    AUTO(free) struct content **contents = calloc(finding->count + 1, sizeof(contents[0]));
    size_t count = 0;

    if (!contents)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < finding->count; i++) {
        if (finding->items[i].place->read || finding->items[i].place->look)
            contents[count++] = finding->items[i].content;
    }
    return base_extract(contents, count, err);
}

static bool take(const struct tree *tree, const char *cache, struct inventory *out, struct error *err)
{
    AUTO(free) struct found *items = calloc(FILES_MAX, sizeof(items[0]));
    struct finding finding = { items, 0 };

    if (!items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < INVENTORY_PLACES; i++) {
        if (!find_place(&finding, tree, &inventory_places[i], err))
            return false;
    }
    if (!recall(&finding, out, cache, err) || !fetch(&finding, err))
        return false;
    for (size_t i = 0; i < finding.count; i++) {
        if (!read_found(out, &finding.items[i], cache, err))
            return false;
    }
    packages_sort(&out->packages);
    return true;
}

bool contents_list(struct built *built, struct inventory *out, struct error *err)
{
    struct build *build = built->owner;
    const struct tree *tree = stage_tree(&build->stages[dockerfile_plan_target(build->plan)], err);

    return (tree && inventory_init(out, err) && take(tree, build->options->cache_directory, out, err)) ||
           error_wrap(err, "packages");
}

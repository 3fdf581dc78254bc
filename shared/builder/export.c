#include "shared/builder/export.h"

#include "shared/base/file.h"
#include "shared/builder/run_place.h"
#include "shared/builder/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct tree *tree_of(const struct built *built, struct error *err)
{
    struct build *build = built->owner;

    return stage_tree(&build->stages[dockerfile_plan_target(build->plan)], err);
}

static bool is_empty(const char *path, struct error *err)
{
    AUTO(closedir) DIR *directory = opendir(path);
    const struct dirent *entry;

    if (!directory)
        return error_set_errno(err, errno, "'%s'", path);
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return error_set(err, ERROR_INVALID, "'%s' is not empty: files there are not mixed with the image's", path);
    }
    return true;
}

bool export_directory(const struct built *built, const char *directory, bool owners, struct error *err)
{
    const struct engine_options *options = built->owner->options;
    const struct place_how how = {
        .owners = owners, .all = true, .cancelled = options->cancelled, .context = options->cancelled_context
    };
    const struct tree *tree = tree_of(built, err);

    return tree && directory_make(directory, 0755, err) && is_empty(directory, err) &&
           place_below(tree_root(tree), directory, &how, err);
}

/* As if one layer had made all of it. */
static void touch_all(struct tree_node *node, uint32_t layer)
{
    node->layer = layer;
    for (struct tree_node *child = node->first; child; child = child->next)
        touch_all(child, layer);
}

struct copying {
    struct inflater *inflater;
    int fd;
};

static bool to_inflater(void *context, const void *data, size_t len, struct error *err)
{
    const struct copying *copying = context;

    return inflater_feed(copying->inflater, data, len, err);
}

static bool to_file(void *context, const void *data, size_t len, struct error *err)
{
    const struct copying *copying = context;

    return file_write_all(copying->fd, data, len, err);
}

bool export_tar(const struct built *built, int fd, struct error *err)
{
    const struct engine_options *options = built->owner->options;
    const struct compression fast = { .kind = COMPRESSION_GZIP, .level = 1 };
    const uint32_t number = UINT32_MAX;
    const struct tree *from = tree_of(built, err);
    AUTO(tree_free) struct tree *tree = from ? tree_clone(from, err) : NULL;

    if (!tree)
        return false;
    touch_all(tree_root(tree), number);
    AUTO(layer_free)
    struct layer *layer = layer_write(tree, number, &fast, options->cancelled, options->cancelled_context, err);
    if (!layer)
        return false;
    struct copying copying = { .fd = fd };
    AUTO(inflater_free)
    struct inflater *inflater = copying.inflater = inflater_new(to_file, &copying, layer_plain_max, err);
    return inflater && spool_read(layer->spool, 0, layer->blob.size, to_inflater, &copying, err) &&
           inflater_end(inflater, err);
}

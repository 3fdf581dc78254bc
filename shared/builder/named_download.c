#include "shared/builder/named_download.h"

#include "shared/builder/download.h"

/* Takes the spool that the content lies in. */
static struct files *files_of_download(const struct download *got, struct spool *spool, struct error *err)
{
    AUTO(files_free) struct files *files = files_of_nothing(err);

    if (!files) {
        spool_free(spool);
        return NULL;
    }
    files->spool = spool;
    struct content *content = arena_take(tree_arena(files->tree), sizeof(*content));
    struct tree_node *node = content ? tree_add(files->tree, tree_root(files->tree), SPAN("context"), err) : NULL;
    if (!node) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *content = got->content;
    node->is = (struct attributes){ .type = TAR_FILE, .mode = 0600, .mtime_s = got->modified_s, .content = content };
    return TAKE(files);
}

struct files *named_download(const struct engine_options *engine, const char *url, struct error *err)
{
    const struct download_options how = { .allow_private = engine->allow_private,
                                          .auth = engine->auth,
                                          .cancelled = engine->cancelled,
                                          .cancelled_context = engine->cancelled_context };
    AUTO(spool_free) struct spool *spool = spool_new(download_max, err);
    struct download got;
    bool is_archive = false;

    if (!spool || !download(url, &how, spool, &got, err))
        return NULL;
    struct files *files = files_of_archive(&got.content, &is_archive, err);
    if (!files || is_archive)
        return files;
    files_free(files);
    return files_of_download(&got, TAKE(spool), err);
}

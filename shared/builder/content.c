#include "shared/builder/content.h"

#include <assert.h>

bool content_size(struct content *content, struct error *err)
{
    if (content->size < 0) {
        assert(content->kind == CONTENT_GIT);
        if (!git_snapshot_blob_size(content->git.snapshot, content->git.oid, &content->size, err))
            return false;
    }
    if (content->size > CONTENT_MAX && content->kind == CONTENT_GIT)
        return error_set(err, ERROR_TOO_LARGE, "%lld bytes, more than the %d of a file of the context that are allowed",
                         (long long)content->size, CONTENT_MAX);
    return true;
}

bool content_read(const struct content *content, http_body_fn *on_data, void *context, struct error *err)
{
    switch (content->kind) {
    case CONTENT_EMPTY:
        return true;
    case CONTENT_MEMORY:
        return on_data(context, content->memory, (size_t)content->size, err);
    case CONTENT_GIT:
        return git_snapshot_blob_each(content->git.snapshot, content->git.oid, on_data, context, err);
    case CONTENT_SPOOL:
        return spool_read(content->spool.spool, content->spool.offset, content->size, on_data, context, err);
    case CONTENT_BASE:
        break;
    }
    assert(false && "content of a base is extracted before it is read");
    return false;
}

/* What ADD has downloaded, kept beside the layers with the name that its server gave to its bytes, so that the server is only asked whether it
 * is still that: a line of text for each URL, and the content among the blobs of cache_disk.h. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_DOWNLOAD_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_DOWNLOAD_H

#include "shared/builder/cache.h"
#include "shared/builder/download.h"

enum { CACHE_DOWNLOAD_MAX = 1024 };

/* "pushwright-download 1 DIGEST SIZE MODIFIED ETAG SUM\n" */
bool cache_download_write(const struct download *download, struct bytes *out, struct error *err);
/* Exactly such a line; fills digest, content.size, modified_s and etag. */
bool cache_download_parse(struct span text, struct download *out);

/* What the cache has of the URL, in the file *hold, which is the caller's and stays there as long as it is open. */
bool cache_download_find(struct cache *cache, const char *url, struct download *out, int *hold);
/* Its bytes are the file's from offset 0 on. Nothing that goes wrong with the cache is told. */
void cache_download_keep(struct cache *cache, const char *url, const struct download *download, int fd);

#endif

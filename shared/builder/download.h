/* ADD of a URL. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_DOWNLOAD_H
#define PUSHWRIGHT_SHARED_BUILDER_DOWNLOAD_H

#include "shared/builder/content.h"

static const int64_t download_max = INT64_C(1) << 30;
enum { DOWNLOAD_REDIRECTS_MAX = 5, DOWNLOAD_NAME_MAX = 255 };

struct download {
    char name[DOWNLOAD_NAME_MAX + 1]; /* last part of the URL's path; "__unnamed__" when it has none */
    int64_t modified_s;               /* Last-Modified; 0: not told */
    struct content content;           /* in the spool */
};

bool download_is_url(const char *source); /* http or https, and no git repository */
bool download_is_git(const char *source);

struct download_options {
    const char *checksum; /* "sha256:..."; NULL: not checked */
    bool allow_private;   /* else no address of the own network is connected to: a Dockerfile is not trusted that far */
    bool (*cancelled)(void *context); /* NULL: never; ERROR_UNAVAILABLE "cancelled" */
    void *cancelled_context;
};

/* GET, through redirects, appended to the spool. ERROR_INVALID when the checksum differs. */
bool download(const char *url, const struct download_options *options, struct spool *spool, struct download *out,
              struct error *err);

#endif

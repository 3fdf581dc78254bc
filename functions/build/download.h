/* ADD of a URL. */
#ifndef PUSHWRIGHT_FUNCTIONS_BUILD_DOWNLOAD_H
#define PUSHWRIGHT_FUNCTIONS_BUILD_DOWNLOAD_H

#include "functions/build/content.h"

static const int64_t download_max = INT64_C(1) << 30;
enum { DOWNLOAD_REDIRECTS_MAX = 5, DOWNLOAD_NAME_MAX = 255 };

struct download {
    char name[DOWNLOAD_NAME_MAX + 1]; /* last part of the URL's path; "__unnamed__" when it has none */
    int64_t modified_s;               /* Last-Modified; 0: not told */
    struct content content;           /* in the spool */
};

bool download_is_url(const char *source); /* http or https, and no git repository */
bool download_is_git(const char *source);

/* GET, through redirects, appended to the spool. checksum ("sha256:...") NULL: not checked. Without allow_private no address of the own
 * network is connected to: a Dockerfile is not trusted that far. ERROR_INVALID when the checksum differs. */
bool download(const char *url, const char *checksum, bool allow_private, struct spool *spool, struct download *out,
              struct error *err);

#endif

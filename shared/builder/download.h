/* ADD of a URL. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_DOWNLOAD_H
#define PUSHWRIGHT_SHARED_BUILDER_DOWNLOAD_H

#include "shared/builder/content.h"
#include "shared/builder/sourceauth.h"
#include "shared/oci/reference.h"

static const int64_t download_max = INT64_C(1) << 30;
enum { DOWNLOAD_REDIRECTS_MAX = 5, DOWNLOAD_NAME_MAX = 255, DOWNLOAD_ETAG_MAX = 255 };

struct download {
    char name[DOWNLOAD_NAME_MAX + 1]; /* last part of the URL's path; "__unnamed__" when it has none */
    int64_t modified_s;               /* Last-Modified; 0: not told */
    char etag[DOWNLOAD_ETAG_MAX + 1]; /* a strong one, which stands for these very bytes (RFC 9110, 8.8.1); "": none */
    bool unchanged;                   /* it is what the etag of the options stands for; the following were not had */
    char digest[DIGEST_TEXT_SIZE];
    struct content content; /* in the spool */
};

bool download_is_url(const char *source); /* http or https, and no git repository */
bool download_is_git(const char *source);

struct download_options {
    const char *checksum; /* "sha256:..."; NULL: not checked */
    const char *etag;     /* of what is there already; NULL: nothing is */
    bool allow_private;   /* else no address of the own network is connected to: a Dockerfile is not trusted that far */
    struct sourceauth auth; /* told to the URL's own host, port and scheme, and to none that it is redirected to */
    bool (*cancelled)(void *context); /* NULL: never; ERROR_UNAVAILABLE "cancelled" */
    void *cancelled_context;
};

/* What the file is called. */
void download_name(const char *url, char name[static DOWNLOAD_NAME_MAX + 1]);

/* ERROR_INVALID "digest mismatch ..." unless the checksum is NULL or this digest. */
bool download_check(const char *digest, const char *checksum, struct error *err);

/* GET, through redirects, appended to the spool. ERROR_INVALID when the checksum differs. */
bool download(const char *url, const struct download_options *options, struct spool *spool, struct download *out,
              struct error *err);

#endif

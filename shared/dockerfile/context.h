/* Named contexts: NAME=VALUE of --build-context, which stands for an image, a stage or what COPY --from names.
 *
 *   tools=../tools                       a directory
 *   src=https://h/a.git#v1               a git source (gitref.h)
 *   data=https://h/data.tar.gz           a download
 *   alpine=docker-image://alpine:3.20    an image
 *   base=oci-layout:///srv/base:1.0      an image in a layout directory
 *   base=target:deps                     what another build of the same run makes
 *   alpine::linux/arm64=...              for one platform only; goes before the one for all */
#ifndef PUSHWRIGHT_DOCKERFILE_CONTEXT_H
#define PUSHWRIGHT_DOCKERFILE_CONTEXT_H

#include "shared/dockerfile/dockerfile.h"
#include "shared/dockerfile/gitref.h"

enum named_context_kind {
    NAMED_CONTEXT_DIRECTORY,
    NAMED_CONTEXT_GIT,
    NAMED_CONTEXT_DOWNLOAD,
    NAMED_CONTEXT_IMAGE,
    NAMED_CONTEXT_LAYOUT,
    NAMED_CONTEXT_TARGET
};

struct named_context {
    const char *name;     /* as an image is called in short: "alpine", never "docker.io/library/alpine:latest" */
    const char *platform; /* "linux/arm64"; NULL: for every one */
    enum named_context_kind kind;
    const char *value;  /* without the words that tell the kind */
    struct git_ref git; /* NAMED_CONTEXT_GIT */
};

enum { NAMED_CONTEXTS_MAX = 1000 };

/* ERROR_INVALID "invalid context value: x, expected key=value" and "invalid context name x: ...". */
bool named_context_parse(struct arena *arena, struct dockerfile_pair pair, struct named_context *out,
                         struct error *err);

#endif

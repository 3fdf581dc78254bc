/* What a delivery says happened, in one form for every git host. Strings belong to the call's arena. */
#ifndef PUSHWRIGHT_FUNCTIONS_WEBHOOK_CHANGE_H
#define PUSHWRIGHT_FUNCTIONS_WEBHOOK_CHANGE_H

#include "shared/base/arena.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

#include <stdint.h>

enum { REF_MAX = 1024, URL_MAX = 4096, MESSAGE_MAX = 64 * 1024 };

struct change {
    const char
        *ignored; /* why nothing happened that is of interest to us; NULL: something did, and the rest is filled */
    const char *repository; /* full name */
    const char *url;        /* page of the repository; NULL: not told */
    const char *ref;        /* full: refs/heads/..., refs/tags/... */
    const char *name;       /* ref without the prefix */
    bool is_tag, created, deleted, forced;
    const char *before, *after; /* NULL where there is none (all zeros) */
    const char *commit;         /* what to build: the commit behind an annotated tag too; NULL when deleted */
    const char *message;        /* of the head commit, its first MESSAGE_MAX bytes at most; NULL: not told */
    const char *sender;
    int64_t commits;      /* in the push, as told */
    struct span list;     /* the array of commits as it stands in the body; absent: none */
    bool list_complete;   /* it holds all of them */
    int64_t pushed_ms;    /* when, if the host says it; 0: not */
    int64_t commit_ms;    /* the head commit's time; 0: not told */
    const char *delivery; /* overrides the delivery's id where a host tells one thing twice; NULL: not */
};

/* What a push does, for replies and events: "branch-push", "branch-create", "tag-delete", ... */
const char *change_kind(const struct change *change);

/* A full ref as git takes it (git check-ref-format), at most REF_MAX bytes. ERROR_INVALID. */
bool ref_check(const char *ref, struct error *err);

/* 40 or 64 lower-case hexadecimal digits: SHA-1 and SHA-256 repositories. */
bool oid_is_legal(const char *oid);

/* No object: as many zeros. */
bool oid_is_zero(const char *oid);

#endif

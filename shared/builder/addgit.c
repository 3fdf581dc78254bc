#include "shared/builder/addgit.h"

#include "shared/builder/keepgit.h"
#include "shared/builder/submodules.h"
#include "shared/builder/turns.h"
#include "shared/http/address.h"

#include <strings.h>

enum { COMMIT_HEX = 40 };

void fetched_free(struct fetched *list)
{
    while (list) {
        struct fetched *next = list->next;

        files_free(list->files);
        git_snapshot_free(list->snapshot);
        free(list);
        list = next;
    }
}

static bool is_commit(const char *ref)
{
    return strspn(ref, "0123456789abcdef") == COMMIT_HEX && !ref[COMMIT_HEX];
}

/* The ref's full name and where it points to; nothing said: what HEAD stands for. */
static bool find_ref(const struct git_remote_options *remote, const char *said, struct bytes *ref,
                     char commit[static GIT_OID_TEXT_SIZE], struct error *err)
{
    const char *name = *said ? said : "HEAD";

    return git_resolve(remote, name, ref, commit, err) &&
           (commit[0] || error_set(err, ERROR_NOT_FOUND, "repository does not contain ref %s", name));
}

static bool begins_with(const char *id, const char *checksum)
{
    return !checksum || strncmp(id, checksum, strlen(checksum)) == 0;
}

static bool check_commit(const char *commit, const char *checksum, struct error *err)
{
    return begins_with(commit, checksum) ||
           error_set(err, ERROR_INVALID, "expected checksum to match %s, got %s", checksum, commit);
}

static struct git_remote_options remote_of(const struct git_ref *source, const struct addgit_options *options,
                                           const struct secret *authorization)
{
    return (struct git_remote_options){ .url = source->remote,
                                        .authorization = authorization,
                                        .connectable = options->allow_private ? NULL : address_is_public,
                                        .cancelled = options->cancelled,
                                        .cancelled_context = options->cancelled_context };
}

static struct git_snapshot *fetch(const struct git_ref *source, const struct addgit_options *options,
                                  const struct git_remote_options *remote, struct error *err)
{
    AUTO(bytes_release) struct bytes ref = BYTES(GIT_REF_MAX + 16);
    const char *checksum = options->checksum ? options->checksum : *source->checksum ? source->checksum : NULL;
    char commit[GIT_OID_TEXT_SIZE];

    if (is_commit(source->ref))
        return check_commit(source->ref, checksum, err) ? git_fetch(remote, NULL, source->ref, err) : NULL;
    if (!find_ref(remote, source->ref, &ref, commit, err))
        return NULL;
    bool tag =
        span_starts(bytes_span(&ref), "refs/tags/"); /* an annotated one has an id of its own, which will do too */
    if (!tag && !check_commit(commit, checksum, err))
        return NULL;
    AUTO(git_snapshot_free) struct git_snapshot *snapshot = git_fetch(remote, ref.data, commit, err);
    bool good =
        snapshot && (begins_with(git_snapshot_pointed(snapshot), checksum) || check_commit(commit, checksum, err));
    return good ? TAKE(snapshot) : NULL;
}

/* ssh needs keys that a build has none of; files of this machine are not the Dockerfile's to read. */
static bool check_source(const struct git_ref *source, struct error *err)
{
    if (strncasecmp(source->remote, "http://", 7) != 0 && strncasecmp(source->remote, "https://", 8) != 0)
        return error_set(err, ERROR_UNSUPPORTED, "of a git repository is possible by https and http only");
    return true;
}

/* The subdirectory. */
static bool find_root(const struct git_ref *source, struct fetched *fetched, struct error *err)
{
    const struct tree *tree = fetched->files->tree;
    struct tree_place place;

    if (!tree_resolve(tree, tree_root(tree), source->directory, true, &place, err))
        return false;
    if (place.missing[0] || !tree_is_directory(place.node))
        return error_set(err, ERROR_INVALID, "\"/%s\": not found in the repository", source->directory);
    fetched->root = place.node;
    return true;
}

/* The commit's files and those of its submodules. */
static bool fill(const struct git_ref *source, const struct addgit_options *options,
                 const struct git_remote_options *remote, struct fetched *fetched, struct error *err)
{
    bool keep = (options->keep_git_dir || source->keep_git_dir == GIT_REF_YES) && !*source->directory;
    const struct submodules_options submodules = { remote, options->allow_private, keep };

    fetched->snapshot = fetch(source, options, remote, err);
    if (fetched->snapshot)
        fetched->files = files_of_commit(fetched->snapshot, err);
    return fetched->files && (source->submodules == GIT_REF_NO || submodules_fetch(fetched->files, &submodules, err)) &&
           (!keep || keepgit(fetched->files, fetched->snapshot, tree_root(fetched->files->tree), remote->url, err));
}

struct fetched *addgit_fetch(const struct git_ref *source, const struct addgit_options *options, struct error *err)
{
    if (!check_source(source, err))
        return NULL;
    struct error failed = { 0 };
    const struct sourceauth *auth = &options->auth;
    AUTO(secret_free) struct secret *authorization = auth->git ? auth->git(auth, source->remote, &failed) : NULL;
    if (failed.kind) {
        *err = failed;
        return NULL;
    }
    struct fetched *fetched = calloc(1, sizeof(*fetched));
    if (!fetched) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    const struct git_remote_options remote = remote_of(source, options, authorization);
    if (fill(source, options, &remote, fetched, err) && find_root(source, fetched, err))
        return fetched;
    fetched_free(fetched);
    return NULL;
}

bool addgit(const struct copy *copy, const char *source, const struct addgit_options *options, struct fetched **list,
            struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(16 * GIT_REF_MAX);
    struct copy from = *copy;
    struct git_ref ref;
    bool is_git;

    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!git_ref_parse(arena, source, &ref, &is_git, err))
        return false;
    turns_give(options->turns);
    struct fetched *fetched = addgit_fetch(&ref, options, err);
    turns_take(options->turns);
    if (!fetched)
        return false;
    fetched->next = *list;
    *list = fetched;
    from.from = fetched->files->tree;
    from.from_name = "the repository";
    from.unpack = NULL;
    from.from_root = fetched->root;
    return copy_source(&from, ".", err);
}

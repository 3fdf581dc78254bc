#include "runtime/cli/build_source.h"

#include "shared/base/file.h"
#include "shared/builder/download.h"
#include "shared/builder/keepgit.h"
#include "shared/dockerfile/gitref.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { PIECE = 64 * 1024 };
static const int64_t context_bytes_max = INT64_C(16) << 30;

struct opening {
    struct build_request *request;
    struct build_source *source;
    struct progress_step *step;
    bool (*cancelled)(void *context);
};

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

void build_source_release(struct build_source *source)
{
    context_release(&source->context);
    git_snapshot_free(source->snapshot);
    spool_free(source->spool);
}

/* ---- downloads ---- */

static bool append(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

/* What the person names may lie in the own network. */
static struct download_options download_options_of(const struct opening *opening)
{
    return (struct download_options){ .allow_private = true,
                                      .auth = sourceauth_by(opening->request->secrets, opening->request->secret_count),
                                      .cancelled = opening->cancelled };
}

static bool fetch_text(const struct opening *opening, const char *url, struct bytes *out, struct error *err)
{
    const struct download_options options = download_options_of(opening);
    AUTO(spool_free) struct spool *spool = spool_new(DOCKERFILE_SIZE_MAX, err);
    struct download got;

    return spool && download(url, &options, spool, &got, err) && content_read(&got.content, append, out, err);
}

/* A Dockerfile from elsewhere is read by a path like any other; nothing of it is left. */
static const char *path_of_text(struct build_request *request, struct span text, struct error *err)
{
    int fd = memfd_create("Dockerfile", 0); /* closed with the process */
    const char *path = fd < 0 ? NULL : arena_printf(request->arena, "/proc/self/fd/%d", fd);

    if (!path) {
        error_set_errno(err, errno, "keep the Dockerfile");
        return NULL;
    }
    return file_write_all(fd, text.data, text.len, err) ? path : NULL;
}

static bool fetch_dockerfile(const struct opening *opening, const char **path, struct error *err)
{
    struct bytes text = ARENA_BYTES(opening->request->arena, DOCKERFILE_SIZE_MAX);

    if (!fetch_text(opening, *path, &text, err))
        return false;
    *path = path_of_text(opening->request, bytes_span(&text), err);
    return *path != NULL;
}

/* ---- git ---- */

static bool is_commit(const char *text)
{
    return strlen(text) == GIT_OID_TEXT_SIZE - 1 - 24 && strspn(text, "0123456789abcdef") == strlen(text);
}

/* The full name of a ref, whichever there is; nothing written: what HEAD stands for. */
static bool resolve(struct build_request *request, const struct git_remote_options *remote, const char *written,
                    const char **ref, char commit[static GIT_OID_TEXT_SIZE], struct error *err)
{
    AUTO(bytes_release) struct bytes full = BYTES(GIT_PATH_MAX);
    const char *name = *written ? written : "HEAD";

    if (!git_resolve(remote, name, &full, commit, err))
        return false;
    if (!*commit)
        return error_set(err, ERROR_NOT_FOUND,
                         "the repository has neither a branch nor a tag '%s', nor another ref of that name", name);
    *ref = arena_dup(request->arena, bytes_span(&full));
    return *ref || out_of_memory(err);
}

static bool open_git(const struct opening *opening, const struct git_ref *git, struct error *err)
{
    struct build_request *request = opening->request;
    struct build_source *source = opening->source;
    const struct sourceauth auth = sourceauth_by(request->secrets, request->secret_count);
    struct error failed = { 0 };
    AUTO(secret_free) struct secret *authorization = auth.git(&auth, git->remote, &failed);
    const struct git_remote_options remote = { .url = git->remote,
                                               .authorization = authorization,
                                               .cancelled = opening->cancelled };
    const char *ref = NULL, *directory = *git->directory ? git->directory : ".";
    char commit[GIT_OID_TEXT_SIZE] = "";

    if (failed.kind) {
        *err = failed;
        return false;
    }
    if (is_commit(git->ref))
        memcpy(commit, git->ref, strlen(git->ref) + 1);
    else if (!resolve(request, &remote, git->ref, &ref, commit, err))
        return false;
    if (strncmp(commit, git->checksum, strlen(git->checksum)) != 0)
        return error_set(err, ERROR_INVALID, "'%s' stands at %s, not at %s", git->ref, commit, git->checksum);
    source->snapshot = git_fetch(&remote, ref, commit, err);
    if (!source->snapshot)
        return false;
    source->commit = git_snapshot_commit(source->snapshot);
    source->remote = strncmp(git->remote, "http", 4) == 0 ? git->remote : NULL;
    progress_say(opening->step, source->commit);
    const char *file = arena_printf(request->arena, "%s/%s", directory, source->name);
    const struct submodules_options submodules = { &remote, true, false };
    const struct dockerfile_pairs arguments = { request->args.items, request->args.count };
    bool keep = git->keep_git_dir == GIT_REF_YES || keepgit_asked(&arguments);
    const struct context_commit what = { .snapshot = source->snapshot,
                                         .submodules = git->submodules == GIT_REF_NO ? NULL : &submodules,
                                         .dockerfile = file,
                                         .directory = directory,
                                         .keep_git_dir = keep ? git->remote : NULL };
    return file ? context_of_commit(&what, &source->context, err) : out_of_memory(err);
}

/* ---- each kind ---- */

static bool open_directory(const struct opening *opening, struct error *err)
{
    const char *file = opening->request->file;

    if (file && download_is_url(file) && !fetch_dockerfile(opening, &file, err))
        return false;
    return context_of_directory(opening->request->context, file, &opening->source->context, err);
}

static bool read_input(struct spool *spool, struct content *out, struct error *err)
{
    char piece[PIECE];
    ssize_t n;

    while ((n = read(STDIN_FILENO, piece, sizeof(piece))) != 0) {
        if (n < 0 && errno != EINTR)
            return error_set_errno(err, errno, "read standard input");
        if (n > 0 && !spool_append(spool, piece, (size_t)n, err))
            return false;
    }
    *out = (struct content){ .kind = CONTENT_SPOOL, .size = spool_size(spool), .spool = { spool, 0 } };
    return true;
}

/* An archive, or else a Dockerfile by itself. */
static bool open_stream(const struct opening *opening, struct error *err)
{
    const struct build_request *request = opening->request;
    struct context *context = &opening->source->context;
    struct bytes text = ARENA_BYTES(request->arena, DOCKERFILE_SIZE_MAX);
    struct spool *spool = opening->source->spool = spool_new(context_bytes_max, err);
    const struct download_options options = download_options_of(opening);
    struct download got;
    bool is_archive = false;

    if (!spool || !(strcmp(request->context, "-") == 0 ? read_input(spool, &got.content, err)
                                                       : download(request->context, &options, spool, &got, err)))
        return false;
    if (!context_of_archive(&got.content, request->file, context, &is_archive, err))
        return false;
    return is_archive ||
           (content_read(&got.content, append, &text, err) && context_of_text(bytes_span(&text), context, err));
}

static bool open_any(const struct opening *opening, struct error *err)
{
    const char *context = opening->request->context;
    struct error no_git = { 0 };
    struct git_ref git;
    struct stat is;
    bool is_git;

    if (stat(context, &is) == 0 && S_ISDIR(is.st_mode))
        return open_directory(opening, err);
    if (strcmp(context, "-") == 0)
        return open_stream(opening, err);
    if (git_ref_parse(opening->request->arena, context, &git, &is_git, &no_git))
        return open_git(opening, &git, err);
    if (is_git) {
        *err = no_git;
        return false;
    }
    if (download_is_url(context))
        return open_stream(opening, err);
    return error_set(err, ERROR_INVALID, "'%s' is neither a directory nor a git repository, a URL or -", context);
}

bool build_source_open(struct build_request *request, struct progress *progress, bool (*cancelled)(void *context),
                       struct build_source *out, struct error *err)
{
    struct build_source source = { .name = request->file ? request->file : "Dockerfile" };
    struct progress_step step;
    const struct opening opening = { request, &source, &step, cancelled };

    progress_begin(progress, &step, "[internal] load build definition and context");
    bool good = open_any(&opening, err);
    progress_end(&step, good ? NULL : err);
    if (good)
        *out = source;
    else
        build_source_release(&source);
    return good;
}

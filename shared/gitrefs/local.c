#include "shared/gitrefs/local.h"

#include "shared/base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 32, REF_FILE_MAX = 4096 };

/* A file below the directory; one that is not there reads as empty. */
static bool read_below(int directory, const char *name, size_t max, struct bytes *out, struct error *err)
{
    AUTO(close) int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;

    bytes_init(out, max);
    if (fd < 0)
        return errno == ENOENT || error_set_errno(err, errno, "cannot open '%s'", name);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "'%s' is not a file", name);
    size_t size = (size_t)status.st_size;
    if (size == 0 || !bytes_reserve(out, size, err))
        return size == 0 || error_wrap(err, "'%s'", name);
    for (ssize_t n = 1; n != 0 && out->len < size; out->len += (size_t)n) {
        n = read(fd, out->data + out->len, size - out->len);
        if (n < 0)
            return error_set_errno(err, errno, "cannot read '%s'", name);
    }
    return true;
}

static bool read_ref(struct listing *listing, int directory, const char *file, const char *name, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(0);

    if (!read_below(directory, file, REF_FILE_MAX, &text, err))
        return false;
    struct span oid = span_trim(bytes_span(&text));
    /* Empty: it went meanwhile. "ref: ": an alias, whose target is told itself. */
    return oid.len == 0 || span_starts(oid, "ref: ") || span_ends(span_of(name), ".lock") ||
           listing_add(listing, oid, span_of(name), (struct span){ NULL, 0 }, err);
}

static bool read_directory(struct listing *listing, int parent, const char *name, const char *prefix, int depth,
                           struct error *err);

static bool read_entry(struct listing *listing, int directory, const char *file, const char *prefix, int depth,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(REF_NAME_MAX);
    struct error too_long = { 0 };
    struct stat status;

    if (!bytes_printf(&name, &too_long, "%s%s", prefix, file))
        return true; /* no name that git takes */
    if (fstatat(directory, file, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || error_set_errno(err, errno, "cannot look at '%s'", file);
    if (S_ISDIR(status.st_mode))
        return bytes_append_char(&name, '/', err) &&
               read_directory(listing, directory, file, name.data, depth + 1, err);
    return !S_ISREG(status.st_mode) || read_ref(listing, directory, file, name.data, err);
}

static bool read_directory(struct listing *listing, int parent, const char *name, const char *prefix, int depth,
                           struct error *err)
{
    int fd = openat(parent, name, O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);

    if (fd < 0)
        return errno == ENOENT || error_set_errno(err, errno, "cannot open '%s'", prefix);
    AUTO(closedir) DIR *directory = fdopendir(fd);
    if (!directory) {
        close(fd);
        return error_set(err, ERROR_INTERNAL, "out of memory");
    }
    if (depth > DEPTH_MAX)
        return error_set(err, ERROR_INVALID, "'%s' is nested too deep", prefix);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] != '.' && !read_entry(listing, fd, entry->d_name, prefix, depth, err))
            return false;
    }
    return true;
}

/* A ref's own file is newer than its line in packed-refs. */
static bool add_packed(struct listing *listing, int repository, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(0);
    AUTO(listing_free) struct listing *packed = listing_new(err);

    if (!packed || !read_below(repository, "packed-refs", LISTING_BYTES_MAX, &text, err) ||
        !listing_read_packed(packed, bytes_span(&text), err))
        return false;
    listing_settle(listing);
    size_t own = listing->refs.count;
    for (size_t i = 0; i < packed->refs.count; i++) {
        const struct ref *ref = &packed->refs.items[i];
        const struct refs loose = { .items = listing->refs.items, .count = own };
        if (!refs_find(&loose, ref->name) &&
            !listing_add(listing, span_of(ref->direct), span_of(ref->name), span_of(ref->commit), err))
            return false;
    }
    return true;
}

static bool read_head(struct listing *listing, int repository, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(0);

    if (!read_below(repository, "HEAD", REF_FILE_MAX, &text, err))
        return false;
    struct span head = span_trim(bytes_span(&text));
    if (head.len == 0)
        return error_set(err, ERROR_NOT_FOUND, "it is not a git repository");
    return !span_starts(head, "ref: ") || listing_set_head(listing, (struct span){ head.data + 5, head.len - 5 }, err);
}

/* extensions.refStorage: git 2.45 and later. */
static bool check_format(int repository, struct error *err)
{
    struct stat status;

    return fstatat(repository, "reftable", &status, AT_SYMLINK_NOFOLLOW) != 0 ||
           error_set(err, ERROR_UNSUPPORTED, "the repository keeps its refs as a reftable: serve it over HTTP");
}

bool local_list(struct listing *listing, const char *path, struct error *err)
{
    AUTO(close) int tree = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (tree < 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set(err, ERROR_NOT_FOUND, "'%s' is not there", path);
    if (tree < 0)
        return error_set_errno(err, errno, "cannot open '%s'", path);
    AUTO(close) int below = openat(tree, ".git", O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
    int repository = below >= 0 ? below : tree;

    return (check_format(repository, err) && read_head(listing, repository, err) &&
            read_directory(listing, repository, "refs/heads", "refs/heads/", 0, err) &&
            read_directory(listing, repository, "refs/tags", "refs/tags/", 0, err) &&
            add_packed(listing, repository, err)) ||
           error_wrap(err, "'%s'", path);
}

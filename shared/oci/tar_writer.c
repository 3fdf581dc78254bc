#include "shared/oci/tar.h"
#include "shared/oci/tar_format.h"

#include <string.h>

/* Largest value of an octal field of that width, whose last byte stays NUL. */
enum { OCTAL_7_MAX = 07777777 };
static const int64_t octal_11_max = 077777777777;

static const char flags[] = {
    [TAR_FILE] = '0',  [TAR_HARDLINK] = '1',  [TAR_SYMLINK] = '2', [TAR_CHARACTER] = '3',
    [TAR_BLOCK] = '4', [TAR_DIRECTORY] = '5', [TAR_FIFO] = '6',
};

const char tar_zeros[2 * TAR_BLOCK_SIZE];

size_t tar_padding(int64_t size)
{
    return (size_t)((TAR_BLOCK_SIZE - size % TAR_BLOCK_SIZE) % TAR_BLOCK_SIZE);
}

static void put_octal(char *field, size_t width, int64_t value)
{
    field[width - 1] = '\0';
    for (size_t i = width - 1; i > 0; i--) {
        field[i - 1] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

/* Where a path may be cut so that both halves fit; 0: nowhere. The first slash that leaves a short enough name. */
static size_t split_at(const char *path, size_t len)
{
    const struct tar_header *h = NULL;
    size_t first = len > sizeof h->name ? len - sizeof h->name - 1 : 0;
    for (size_t i = first; i + 1 < len && i <= sizeof h->prefix; i++)
        if (path[i] == '/' && i > 0)
            return i;
    return 0;
}

static bool put_path(struct tar_header *header, const char *path)
{
    size_t len = strlen(path);
    if (len <= sizeof header->name) {
        memcpy(header->name, path, len);
        return true;
    }
    size_t at = split_at(path, len);
    if (at == 0) {
        memcpy(header->name, path, sizeof header->name);
        return false;
    }
    memcpy(header->prefix, path, at);
    memcpy(header->name, path + at + 1, len - at - 1);
    return true;
}

/* "LENGTH KEY=VALUE\n" whose length counts itself. */
static bool put_record(struct bytes *out, const char *key, struct span value, struct error *err)
{
    size_t rest = strlen(key) + value.len + 3; /* blank, equals sign, newline */
    size_t total = rest + 1;
    for (size_t digits = 1, limit = 10; total >= limit; limit *= 10)
        total = rest + ++digits;
    return bytes_printf(out, err, "%zu %s=", total, key) && bytes_append_span(out, value, err) &&
           bytes_append_char(out, '\n', err);
}

static bool put_number_record(struct bytes *out, const char *key, int64_t value, struct error *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return put_record(out, key, span_of(text), err);
}

static void close_header(struct tar_header *header)
{
    memcpy(header->magic, "ustar", sizeof header->magic);
    memcpy(header->version, "00", sizeof header->version);
    put_octal(header->checksum, sizeof header->checksum - 1, tar_checksum(header));
    header->checksum[sizeof header->checksum - 1] = ' ';
}

static bool put_pax(struct bytes *out, const struct bytes *records, struct error *err)
{
    struct tar_header header = { .name = "././@PaxHeader", .typeflag = 'x' };
    put_octal(header.mode, sizeof header.mode, 0644);
    put_octal(header.uid, sizeof header.uid, 0);
    put_octal(header.gid, sizeof header.gid, 0);
    put_octal(header.size, sizeof header.size, (int64_t)records->len);
    put_octal(header.mtime, sizeof header.mtime, 0);
    close_header(&header);
    return bytes_append(out, &header, sizeof header, err) && bytes_append_span(out, bytes_span(records), err) &&
           bytes_append(out, tar_zeros, tar_padding((int64_t)records->len), err);
}

/* A number into its field, or zero there and the value into a pax record. */
static bool put_number(char *field, size_t width, int64_t max, const char *key, int64_t value, struct bytes *records,
                       struct error *err)
{
    bool fits = value >= 0 && value <= max;
    put_octal(field, width, fits ? value : 0);
    return fits || put_number_record(records, key, value, err);
}

static bool check_entry(const struct tar_entry *entry, struct error *err)
{
    size_t path = strlen(entry->path), link = entry->link ? strlen(entry->link) : 0;
    if (path == 0 || path > TAR_PATH_MAX || link > TAR_PATH_MAX)
        return error_set(err, ERROR_INVALID, "tar: path of %zu or link of %zu bytes cannot be written", path, link);
    if (entry->size < 0 || (entry->size > 0 && entry->type != TAR_FILE))
        return error_set(err, ERROR_INVALID, "tar: size of '%s' cannot be written", entry->path);
    if (entry->device_major > OCTAL_7_MAX || entry->device_minor > OCTAL_7_MAX)
        return error_set(err, ERROR_INVALID, "tar: device number of '%s' cannot be written", entry->path);
    return true;
}

static bool fill(struct tar_header *h, const struct tar_entry *entry, struct bytes *records, struct error *err)
{
    const char *link = entry->link ? entry->link : "";
    size_t link_length = strlen(link);
    bool link_fits = link_length <= sizeof h->linkname;
    memcpy(h->linkname, link, link_fits ? link_length : sizeof h->linkname);
    put_octal(h->mode, sizeof h->mode, entry->mode & 07777);
    put_octal(h->devmajor, sizeof h->devmajor, entry->device_major);
    put_octal(h->devminor, sizeof h->devminor, entry->device_minor);
    h->typeflag = flags[entry->type];
    return (put_path(h, entry->path) || put_record(records, "path", span_of(entry->path), err)) &&
           (link_fits || put_record(records, "linkpath", span_of(link), err)) &&
           put_number(h->size, sizeof h->size, octal_11_max, "size", entry->size, records, err) &&
           put_number(h->uid, sizeof h->uid, OCTAL_7_MAX, "uid", entry->uid, records, err) &&
           put_number(h->gid, sizeof h->gid, OCTAL_7_MAX, "gid", entry->gid, records, err) &&
           put_number(h->mtime, sizeof h->mtime, octal_11_max, "mtime", entry->mtime_s, records, err) &&
           (entry->capability.len == 0 ||
            put_record(records, "SCHILY.xattr.security.capability", entry->capability, err));
}

bool tar_write_header(struct bytes *out, const struct tar_entry *entry, struct error *err)
{
    AUTO(bytes_release) struct bytes records = BYTES(4 * TAR_PATH_MAX);
    AUTO(bytes_release) struct bytes whole = BYTES(8 * TAR_PATH_MAX);
    struct tar_header header = { .name = "" };
    if (!check_entry(entry, err) || !fill(&header, entry, &records, err))
        return false;
    close_header(&header);
    return (records.len == 0 || put_pax(&whole, &records, err)) && bytes_append(&whole, &header, sizeof header, err) &&
           bytes_append_span(out, bytes_span(&whole), err);
}

bool tar_write_end(struct bytes *out, struct error *err)
{
    return bytes_append(out, tar_zeros, 2 * TAR_BLOCK_SIZE, err);
}

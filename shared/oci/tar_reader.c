/* A state machine over blocks: header, then content and padding, then the next header, until two zero blocks. What
 * GNU and pax headers say is kept aside until the entry they speak about. */
#include "shared/oci/tar.h"
#include "shared/oci/tar_format.h"

#include <limits.h>
#include <string.h>

enum { CAPABILITY_MAX = 64, NUMBER_DIGITS_MAX = 20 };

enum state { STATE_HEADER, STATE_CONTENT, STATE_EXTENSION, STATE_PADDING, STATE_END };

/* What extension headers said about the next entry. */
struct override {
    struct bytes path, link, capability;
    bool has_path, has_link, has_capability, has_size, has_uid, has_gid, has_mtime;
    int64_t size, uid, gid, mtime_s;
};

struct tar_reader {
    struct tar_events events;
    enum state state;
    struct tar_header header; /* being filled */
    size_t filled;
    int64_t left; /* of the content or extension */
    size_t padding;
    int zero_blocks;
    char extension_type; /* 'x', 'L', 'K' or 'g'; kept until the entry it speaks about has ended, else 0 */
    struct bytes extension;
    struct override over;
    char path[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1];
};

static void override_clear(struct override *over)
{
    bytes_clear(&over->path);
    bytes_clear(&over->link);
    bytes_clear(&over->capability);
    *over = (struct override){ .path = over->path, .link = over->link, .capability = over->capability };
}

struct tar_reader *tar_reader_new(const struct tar_events *events, struct error *err)
{
    struct tar_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        error_set(err, ERROR_INTERNAL, "out of memory for a tar reader");
        return NULL;
    }
    reader->events = *events;
    bytes_init(&reader->extension, TAR_PAX_MAX);
    bytes_init(&reader->over.path, TAR_PATH_MAX);
    bytes_init(&reader->over.link, TAR_PATH_MAX);
    bytes_init(&reader->over.capability, CAPABILITY_MAX);
    return reader;
}

void tar_reader_free(struct tar_reader *reader)
{
    if (!reader)
        return;
    bytes_release(&reader->extension);
    bytes_release(&reader->over.path);
    bytes_release(&reader->over.link);
    bytes_release(&reader->over.capability);
    free(reader);
}

/* ---- numbers ---- */

/* GNU's base-256: first bit set, then a big-endian two's complement number. */
static bool read_binary(const unsigned char *field, size_t width, int64_t *out)
{
    bool negative = field[0] & 0x40;
    uint64_t n = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < width; i++) {
        unsigned char byte = i > 0 ? field[i] : negative ? field[i] | 0x80 : field[i] & 0x7f;
        if (n >> 55 != (negative ? UINT64_MAX >> 55 : 0))
            return false; /* does not fit 63 bits and a sign */
        n = n << 8 | byte;
    }
    memcpy(out, &n, sizeof n);
    return (*out < 0) == negative;
}

/* Octal digits between blanks, ended by a blank or NUL or the field; an empty field is zero. */
static bool read_octal(const unsigned char *field, size_t width, int64_t *out)
{
    size_t i = 0;
    uint64_t n = 0;
    while (i < width && field[i] == ' ')
        i++;
    for (; i < width && field[i] >= '0' && field[i] <= '7'; i++)
        n = n << 3 | (uint64_t)(field[i] - '0');
    for (; i < width; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return false;
    *out = (int64_t)n;
    return n <= INT64_MAX;
}

static bool read_number(const char *field, size_t width, int64_t *out)
{
    const unsigned char *bytes = (const unsigned char *)field;
    return bytes[0] & 0x80 ? read_binary(bytes, width, out) : read_octal(bytes, width, out);
}

static bool read_decimal(struct span text, int64_t *out)
{
    bool negative = span_starts(text, "-");
    size_t i = negative ? 1 : 0;
    int64_t n = 0;
    if (text.len == i || text.len > NUMBER_DIGITS_MAX)
        return false;
    for (; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (text.data[i] - '0');
    }
    *out = negative ? -n : n;
    return true;
}

/* Seconds with a fraction that is dropped: images keep whole seconds. Times before 1970 round down. */
static bool read_time(struct span text, int64_t *out)
{
    struct span fraction = text;
    struct span whole = span_cut(&fraction, '.');
    if (!read_decimal(whole, out))
        return false;
    bool rest = false;
    for (size_t i = 0; i < fraction.len; i++) {
        if (fraction.data[i] < '0' || fraction.data[i] > '9')
            return false;
        rest = rest || fraction.data[i] != '0';
    }
    *out -= rest && span_starts(whole, "-") ? 1 : 0;
    return true;
}

/* ---- pax records ---- */

static bool set_path(struct bytes *into, bool *has, struct span value, const char *what, struct error *err)
{
    if (value.len > TAR_PATH_MAX)
        return error_set(err, ERROR_INVALID, "tar: %s is longer than %d bytes", what, TAR_PATH_MAX);
    if (span_find(value, '\0') >= 0)
        return error_set(err, ERROR_INVALID, "tar: %s holds a NUL", what);
    bytes_clear(into);
    *has = value.len > 0; /* POSIX: an empty value takes an earlier record back */
    return bytes_append_span(into, value, err);
}

static bool set_number(int64_t *into, bool *has, struct span value, const char *what, struct error *err)
{
    *has = value.len > 0;
    if (value.len == 0 || read_decimal(value, into))
        return true;
    return error_set(err, ERROR_INVALID, "tar: pax record '%s' is not a number", what);
}

static bool apply_record(struct override *over, struct span key, struct span value, struct error *err)
{
    if (span_is(key, "path"))
        return set_path(&over->path, &over->has_path, value, "path", err);
    if (span_is(key, "linkpath"))
        return set_path(&over->link, &over->has_link, value, "link target", err);
    if (span_is(key, "size"))
        return set_number(&over->size, &over->has_size, value, "size", err);
    if (span_is(key, "uid"))
        return set_number(&over->uid, &over->has_uid, value, "uid", err);
    if (span_is(key, "gid"))
        return set_number(&over->gid, &over->has_gid, value, "gid", err);
    if (span_is(key, "mtime")) {
        over->has_mtime = value.len > 0;
        return value.len == 0 || read_time(value, &over->mtime_s) ||
               error_set(err, ERROR_INVALID, "tar: pax record 'mtime' is not a time");
    }
    if (span_is(key, "SCHILY.xattr.security.capability")) {
        over->has_capability = value.len > 0;
        bytes_clear(&over->capability);
        return value.len <= CAPABILITY_MAX
                   ? bytes_append_span(&over->capability, value, err)
                   : error_set(err, ERROR_INVALID, "tar: capability is longer than %d bytes", CAPABILITY_MAX);
    }
    if (span_starts(key, "GNU.sparse."))
        return error_set(err, ERROR_UNSUPPORTED, "tar: sparse files are not supported");
    return true; /* POSIX: unknown records are ignored, as are times and names that images do not keep */
}

/* One "LENGTH KEY=VALUE\n", the length counting the whole record. */
static bool cut_record(struct span *rest, struct span *key, struct span *value)
{
    struct span after = *rest;
    int64_t len = 0;
    struct span digits = span_cut(&after, ' ');
    if (!after.data || !read_decimal(digits, &len) || len <= (int64_t)digits.len + 1 || len > (int64_t)rest->len)
        return false;
    struct span record = { after.data, (size_t)len - digits.len - 1 };
    if (record.data[record.len - 1] != '\n')
        return false;
    record.len--;
    *value = record;
    *key = span_cut(value, '=');
    *rest = (struct span){ rest->data + len, rest->len - (size_t)len };
    return value->data && key->len > 0;
}

static bool apply_pax(struct override *over, struct span records, struct error *err)
{
    while (records.len > 0) {
        struct span key, value;
        if (!cut_record(&records, &key, &value))
            return error_set(err, ERROR_INVALID, "tar: malformed pax record");
        if (!apply_record(over, key, value, err))
            return false;
    }
    return true;
}

static bool apply_extension(struct tar_reader *reader, struct error *err)
{
    struct span text = bytes_span(&reader->extension);
    if (reader->extension_type == 'x')
        return apply_pax(&reader->over, text, err);
    while (text.len > 0 && text.data[text.len - 1] == '\0')
        text.len--; /* GNU counts the NUL behind the name */
    if (reader->extension_type == 'L')
        return set_path(&reader->over.path, &reader->over.has_path, text, "path", err);
    return set_path(&reader->over.link, &reader->over.has_link, text, "link target", err);
}

/* A global pax header ('g') speaks about the whole archive; nothing in images depends on one (git archives carry a
 * commit id). */
static bool extension_ends(struct tar_reader *reader, struct error *err)
{
    reader->state = reader->padding > 0 ? STATE_PADDING : STATE_HEADER;
    if (reader->extension_type != 'g')
        return apply_extension(reader, err);
    reader->extension_type = 0;
    return true;
}

/* ---- headers ---- */

static const struct {
    char flag;
    enum tar_type type;
} types[] = {
    { '0', TAR_FILE },      { '\0', TAR_FILE }, { '7', TAR_FILE },      { '1', TAR_HARDLINK }, { '2', TAR_SYMLINK },
    { '3', TAR_CHARACTER }, { '4', TAR_BLOCK }, { '5', TAR_DIRECTORY }, { '6', TAR_FIFO },
};

static bool type_of(char flag, enum tar_type *type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].flag != flag)
            continue;
        *type = types[i].type;
        return true;
    }
    return false;
}

static bool is_zero(const struct tar_header *header)
{
    return memcmp(header, tar_zeros, sizeof *header) == 0;
}

/* Some old writers summed signed bytes. */
static int signed_checksum(const struct tar_header *header)
{
    const signed char *p = (const signed char *)header;
    const signed char *field = (const signed char *)header->checksum;
    int sum = 0;
    for (int i = 0; i < TAR_BLOCK_SIZE; i++)
        sum += p + i >= field && p + i < field + sizeof header->checksum ? ' ' : p[i];
    return sum;
}

static bool checksum_fits(const struct tar_header *header)
{
    int64_t want;
    return read_number(header->checksum, sizeof header->checksum, &want) &&
           (want == (int64_t)tar_checksum(header) || want == signed_checksum(header));
}

static void copy_name(char *out, const struct tar_header *header)
{
    bool ustar = memcmp(header->magic, "ustar\0", 6) == 0;
    size_t prefix = ustar ? strnlen(header->prefix, sizeof header->prefix) : 0;
    size_t name = strnlen(header->name, sizeof header->name);
    memcpy(out, header->prefix, prefix);
    if (prefix > 0)
        out[prefix++] = '/';
    memcpy(out + prefix, header->name, name);
    out[prefix + name] = '\0';
}

static void fill_names(struct tar_reader *reader)
{
    const struct override *over = &reader->over;
    copy_name(reader->path, &reader->header);
    if (over->has_path)
        memcpy(reader->path, over->path.data, over->path.len + 1);
    size_t n = strnlen(reader->header.linkname, sizeof reader->header.linkname);
    memcpy(reader->link, reader->header.linkname, n);
    reader->link[n] = '\0';
    if (over->has_link)
        memcpy(reader->link, over->link.data, over->link.len + 1);
}

struct numbers {
    int64_t mode, uid, gid, size, mtime_s, device_major, device_minor;
};

static bool fill_numbers(const struct tar_reader *reader, struct numbers *n, struct error *err)
{
    const struct tar_header *h = &reader->header;
    const struct override *over = &reader->over;
    bool device = h->typeflag == '3' || h->typeflag == '4';
    *n = (struct numbers){ .device_major = 0 };
    if (!read_number(h->mode, sizeof h->mode, &n->mode) || !read_number(h->uid, sizeof h->uid, &n->uid) ||
        !read_number(h->gid, sizeof h->gid, &n->gid) || !read_number(h->size, sizeof h->size, &n->size) ||
        !read_number(h->mtime, sizeof h->mtime, &n->mtime_s) ||
        (device && (!read_number(h->devmajor, sizeof h->devmajor, &n->device_major) ||
                    !read_number(h->devminor, sizeof h->devminor, &n->device_minor))))
        return error_set(err, ERROR_INVALID, "tar: malformed number in a header");
    n->size = over->has_size ? over->size : n->size;
    n->uid = over->has_uid ? over->uid : n->uid;
    n->gid = over->has_gid ? over->gid : n->gid;
    n->mtime_s = over->has_mtime ? over->mtime_s : n->mtime_s;
    if (n->size < 0 || n->size > INT64_MAX - TAR_BLOCK_SIZE)
        return error_set(err, ERROR_INVALID, "tar: negative or absurd size");
    if (n->uid < 0 || n->uid > UINT32_MAX || n->gid < 0 || n->gid > UINT32_MAX)
        return error_set(err, ERROR_INVALID, "tar: owner out of range");
    if (n->device_major < 0 || n->device_major > UINT32_MAX || n->device_minor < 0 || n->device_minor > UINT32_MAX)
        return error_set(err, ERROR_INVALID, "tar: device number out of range");
    return true;
}

static void expect_content(struct tar_reader *reader, int64_t size, enum state state)
{
    reader->left = size;
    reader->padding = tar_padding(size);
    reader->state = state;
}

static bool entry_ends(struct tar_reader *reader, struct error *err)
{
    override_clear(&reader->over);
    reader->extension_type = 0;
    reader->state = reader->padding > 0 ? STATE_PADDING : STATE_HEADER;
    return !reader->events.entry_end || reader->events.entry_end(reader->events.context, err);
}

/* Old writers (v7) mark directories by a slash only. Links carry no content, whatever their size field says. */
static void settle_type(const struct tar_reader *reader, struct tar_entry *entry)
{
    size_t n = strlen(entry->path);
    if (reader->header.typeflag == '\0' && n > 0 && entry->path[n - 1] == '/')
        entry->type = TAR_DIRECTORY;
    if (entry->type != TAR_FILE)
        entry->size = 0;
}

static bool start_entry(struct tar_reader *reader, enum tar_type type, struct error *err)
{
    struct numbers n;
    if (!fill_numbers(reader, &n, err))
        return false;
    fill_names(reader);
    struct tar_entry entry = {
        .type = type,
        .path = reader->path,
        .link = type == TAR_HARDLINK || type == TAR_SYMLINK ? reader->link : "",
        .mode = (uint32_t)(n.mode & 07777),
        .uid = (uint32_t)n.uid,
        .gid = (uint32_t)n.gid,
        .device_major = (uint32_t)n.device_major,
        .device_minor = (uint32_t)n.device_minor,
        .size = n.size,
        .mtime_s = n.mtime_s,
        .capability = reader->over.has_capability ? bytes_span(&reader->over.capability) : (struct span){ NULL, 0 },
    };
    settle_type(reader, &entry);
    if (entry.path[0] == '\0')
        entry.path = "."; /* some writers call the root so */
    expect_content(reader, entry.size, STATE_CONTENT);
    if (!reader->events.entry(reader->events.context, &entry, err))
        return false;
    return entry.size > 0 || entry_ends(reader, err);
}

static bool start_extension(struct tar_reader *reader, char flag, struct error *err)
{
    int64_t size;
    if (!read_number(reader->header.size, sizeof reader->header.size, &size) || size < 0)
        return error_set(err, ERROR_INVALID, "tar: malformed number in a header");
    if (size > TAR_PAX_MAX)
        return error_set(err, ERROR_INVALID, "tar: extended header is longer than %d bytes", TAR_PAX_MAX);
    bytes_clear(&reader->extension);
    reader->extension_type = flag;
    expect_content(reader, size, STATE_EXTENSION);
    return size > 0 || extension_ends(reader, err);
}

static bool header_is_complete(struct tar_reader *reader, struct error *err)
{
    const struct tar_header *header = &reader->header;
    enum tar_type type;
    reader->filled = 0;
    if (is_zero(header)) {
        reader->zero_blocks++;
        reader->state = reader->zero_blocks == 2 ? STATE_END : STATE_HEADER;
        return true;
    }
    if (!checksum_fits(header))
        return error_set(err, ERROR_INVALID, "tar: bad checksum of a header");
    reader->zero_blocks = 0;
    if (type_of(header->typeflag, &type))
        return start_entry(reader, type, err);
    if (header->typeflag && strchr("xLKg", header->typeflag))
        return start_extension(reader, header->typeflag, err);
    if (header->typeflag == 'S')
        return error_set(err, ERROR_UNSUPPORTED, "tar: sparse files are not supported");
    return error_set(err, ERROR_UNSUPPORTED, "tar: entry of unknown type 0x%02x", (unsigned char)header->typeflag);
}

/* ---- feeding ---- */

static bool take_header(struct tar_reader *reader, struct span *data, struct error *err)
{
    size_t n = TAR_BLOCK_SIZE - reader->filled;
    n = n < data->len ? n : data->len;
    memcpy((char *)&reader->header + reader->filled, data->data, n);
    reader->filled += n;
    *data = (struct span){ data->data + n, data->len - n };
    return reader->filled < TAR_BLOCK_SIZE || header_is_complete(reader, err);
}

static struct span take_left(struct tar_reader *reader, struct span *data)
{
    size_t n = (uint64_t)reader->left < data->len ? (size_t)reader->left : data->len;
    struct span piece = { data->data, n };
    reader->left -= (int64_t)n;
    *data = (struct span){ data->data + n, data->len - n };
    return piece;
}

static bool take_content(struct tar_reader *reader, struct span *data, struct error *err)
{
    struct span piece = take_left(reader, data);
    if (reader->events.content && !reader->events.content(reader->events.context, piece.data, piece.len, err))
        return false;
    return reader->left > 0 || entry_ends(reader, err);
}

static bool take_extension(struct tar_reader *reader, struct span *data, struct error *err)
{
    struct span piece = take_left(reader, data);
    if (!bytes_append_span(&reader->extension, piece, err))
        return false;
    return reader->left > 0 || extension_ends(reader, err);
}

static bool take_padding(struct tar_reader *reader, struct span *data)
{
    size_t n = reader->padding < data->len ? reader->padding : data->len;
    reader->padding -= n;
    *data = (struct span){ data->data + n, data->len - n };
    if (reader->padding == 0)
        reader->state = STATE_HEADER;
    return true;
}

bool tar_reader_feed(struct tar_reader *reader, const void *bytes, size_t len, struct error *err)
{
    struct span data = { bytes, len };
    bool going = true;
    while (going && data.len > 0 && reader->state != STATE_END) {
        if (reader->state == STATE_HEADER)
            going = take_header(reader, &data, err);
        else if (reader->state == STATE_CONTENT)
            going = take_content(reader, &data, err);
        else if (reader->state == STATE_EXTENSION)
            going = take_extension(reader, &data, err);
        else
            going = take_padding(reader, &data);
    }
    return going; /* what follows the end is the writer's filling up of its last record */
}

bool tar_reader_end(struct tar_reader *reader, struct error *err)
{
    bool between = reader->state == STATE_HEADER && reader->filled == 0 && reader->extension_type == 0;
    if (reader->state == STATE_END || between)
        return true;
    return error_set(err, ERROR_INVALID, "tar: truncated");
}

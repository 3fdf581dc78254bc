#include "shared/builder/cache_record.h"

#include "shared/base/encode.h"

#include <string.h>

#define MARK "pushwright-step"
#define VERSION "2"

enum { NUMBER_DIGITS = 18 };

bool cache_record_write(const struct cache_record *record, struct bytes *out, struct error *err)
{
    return bytes_printf(out, err, MARK " " VERSION " %s %s %s %lld %s %s %lld %lld", record->key,
                        record->layer.blob.media_type, record->layer.blob.digest, (long long)record->layer.blob.size,
                        record->layer.diff_id, record->origin, (long long)record->time_s, (long long)record->until_s);
}

static bool is_key(struct span word)
{
    uint8_t raw[SHA256_SIZE];
    char again[SHA256_HEX_SIZE];

    if (!hex_decode(raw, sizeof(raw), word))
        return false;
    hex_encode(again, raw, sizeof(raw));
    return span_is(word, again); /* lower case only: a key has one name */
}

static bool copy_word(char *out, size_t size, struct span word)
{
    if (!word.data || word.len == 0 || word.len >= size)
        return false;
    memcpy(out, word.data, word.len);
    out[word.len] = '\0';
    return true;
}

static bool is_layer_type(struct span type)
{
    static const char *const types[] = { MEDIA_OCI_LAYER_GZIP, MEDIA_OCI_LAYER_ZSTD,
                                         "application/vnd.oci.image.layer.v1.tar" };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (span_is(type, types[i]))
            return true;
    }
    return false;
}

static bool read_number(struct span word, int64_t *out)
{
    *out = 0;
    if (!word.data || word.len == 0 || word.len > NUMBER_DIGITS || (word.data[0] == '0' && word.len > 1))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        *out = *out * 10 + (word.data[i] - '0');
    }
    return true;
}

static bool read_digest(char out[static DIGEST_TEXT_SIZE], struct span word)
{
    return word.data && digest_is_legal(word) && copy_word(out, DIGEST_TEXT_SIZE, word);
}

bool cache_record_parse(struct span line, struct cache_record *out)
{
    struct span rest = line, mark = span_cut(&rest, ' '), version = span_cut(&rest, ' '), key = span_cut(&rest, ' '),
                type = span_cut(&rest, ' '), digest = span_cut(&rest, ' '), size = span_cut(&rest, ' '),
                diff_id = span_cut(&rest, ' '), origin = span_cut(&rest, ' '), time = span_cut(&rest, ' '),
                until = span_cut(&rest, ' ');
    struct cache_record record = { 0 };

    if (rest.data || !mark.data || !span_is(mark, MARK) || !version.data || !span_is(version, VERSION) || !key.data ||
        !is_key(key) || !type.data || !is_layer_type(type))
        return false;
    if (!copy_word(record.key, sizeof(record.key), key) ||
        !copy_word(record.layer.blob.media_type, sizeof(record.layer.blob.media_type), type) ||
        !read_digest(record.layer.blob.digest, digest) || !read_number(size, &record.layer.blob.size) ||
        record.layer.blob.size == 0 || !read_digest(record.layer.diff_id, diff_id) ||
        !read_digest(record.origin, origin) || !read_number(time, &record.time_s) ||
        !read_number(until, &record.until_s))
        return false;
    *out = record;
    return true;
}

bool cache_record_seal(const struct cache_record *record, struct bytes *out, struct error *err)
{
    char sum[SHA256_HEX_SIZE];
    size_t start = out->len;

    if (!cache_record_write(record, out, err))
        return false;
    sha256_hex_of((struct span){ out->data + start, out->len - start }, sum);
    return bytes_printf(out, err, " %s\n", sum);
}

bool cache_record_unseal(struct span text, struct cache_record *out)
{
    char sum[SHA256_HEX_SIZE];

    if (text.len < SHA256_HEX_SIZE + 1 || text.data[text.len - 1] != '\n')
        return false;
    size_t len = text.len - SHA256_HEX_SIZE - 1; /* a blank, the checksum, the end of the line */
    sha256_hex_of((struct span){ text.data, len }, sum);
    return text.data[len] == ' ' && memcmp(text.data + len + 1, sum, SHA256_HEX_SIZE - 1) == 0 &&
           cache_record_parse((struct span){ text.data, len }, out);
}

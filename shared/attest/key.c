#include "shared/attest/key.h"

#include "shared/base/encode.h"
#include "shared/base/json.h"
#include "shared/base/secretbox.h"

#include <string.h>

enum { SALT_MAX = 256 };

/* ---- PEM ---- */

/* What stands behind the label's line, up to the next line of hyphens; absent when there is no such label. */
static struct span armored(struct span text, const char *label)
{
    const char *begin = memmem(text.data, text.len, label, strlen(label));

    if (!begin)
        return (struct span){ 0 };
    struct span rest = { begin, text.len - (size_t)(begin - text.data) };
    (void)span_cut(&rest, '\n');
    return span_cut(&rest, '-');
}

static bool decode_armor(struct span armor, struct bytes *out, struct error *err)
{
    AUTO(bytes_wipe) struct bytes text = BYTES(ECDSA_KEY_TEXT_MAX);

    for (struct span line = span_cut(&armor, '\n'); line.data; line = span_cut(&armor, '\n')) {
        if (!bytes_append_span(&text, span_trim(line), err))
            return false;
    }
    return base64_decode(out, bytes_span(&text), err);
}

/* ---- what cosign locks: github.com/secure-systems-lab/go-securesystemslib, encrypted ---- */

struct locked {
    struct scrypt_cost cost;
    struct bytes salt, nonce, box;
};

static void locked_release(struct locked *locked)
{
    bytes_release(&locked->salt);
    bytes_release(&locked->nonce);
    bytes_release(&locked->box);
}
AUTO_RELEASE(struct locked, locked_release)

static bool is(const struct json *object, const char *key, const char *expected)
{
    const char *text = json_get_string(object, key);

    return text && strcmp(text, expected) == 0;
}

static bool read_number(const struct json *params, const char *key, uint64_t *out)
{
    int64_t number;

    *out = json_integer(json_get(params, key), &number) && number > 0 && number <= UINT32_MAX ? (uint64_t)number : 0;
    return *out != 0;
}

static bool read_cost(const struct json *params, struct scrypt_cost *out)
{
    uint64_t r, p;
    bool good = read_number(params, "N", &out->n) && read_number(params, "r", &r) && read_number(params, "p", &p);

    if (good) {
        out->r = (uint32_t)r;
        out->p = (uint32_t)p;
    }
    return good;
}

static bool read_locked(const struct json *json, struct locked *out, struct error *err)
{
    const struct json *kdf = json_get(json, "kdf"), *cipher = json_get(json, "cipher");

    if (!is(kdf, "name", "scrypt") || !is(cipher, "name", "nacl/secretbox") ||
        !read_cost(json_get(kdf, "params"), &out->cost))
        return error_set(err, ERROR_UNSUPPORTED, "it is locked with something other than scrypt and nacl/secretbox");
    return base64_decode(&out->salt, span_of(json_get_string(kdf, "salt")), err) &&
           base64_decode(&out->nonce, span_of(json_get_string(cipher, "nonce")), err) &&
           base64_decode(&out->box, span_of(json_get_string(json, "ciphertext")), err) &&
           (out->nonce.len == SECRETBOX_NONCE_SIZE || error_set(err, ERROR_INVALID, "its nonce is cut short"));
}

static bool unlock(const struct locked *locked, struct span password, struct bytes *out, struct error *err)
{
    uint8_t key[SECRETBOX_KEY_SIZE];
    bool good = scrypt(password, bytes_span(&locked->salt), &locked->cost, key, sizeof(key), err) &&
                secretbox_open(key, (const uint8_t *)locked->nonce.data, bytes_span(&locked->box), out, err);

    explicit_bzero(key, sizeof(key));
    return good;
}

static bool unlock_armor(struct span armor, struct span password, struct bytes *out, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(ECDSA_KEY_TEXT_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(16 * ECDSA_KEY_TEXT_MAX);
    AUTO(locked_release)
    struct locked locked = { .salt = BYTES(SALT_MAX), .nonce = BYTES(SALT_MAX), .box = BYTES(ECDSA_KEY_TEXT_MAX) };

    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!decode_armor(armor, &text, err))
        return false;
    const struct json *json = json_parse(arena, bytes_span(&text), err);
    return json && read_locked(json, &locked, err) && unlock(&locked, password, out, err);
}

/* ---- keys ---- */

static struct span find_locked(struct span text)
{
    static const char *const labels[] = { "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----",
                                          "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----" };
    struct span armor = { 0 };

    for (size_t i = 0; !armor.data && i < sizeof(labels) / sizeof(labels[0]); i++)
        armor = armored(text, labels[i]);
    return armor;
}

static bool is_locked_otherwise(struct span text)
{
    return armored(text, "-----BEGIN ENCRYPTED PRIVATE KEY-----").data || memmem(text.data, text.len, "Proc-Type:", 10);
}

struct ecdsa_key *signing_key(struct span text, struct span password, struct error *err)
{
    AUTO(bytes_wipe) struct bytes unlocked = BYTES(ECDSA_KEY_TEXT_MAX);
    struct span armor = find_locked(text);

    if (!armor.data && is_locked_otherwise(text)) {
        error_set(
            err, ERROR_UNSUPPORTED,
            "the private key is locked in a way that is not known: `openssl pkcs8 -topk8 -nocrypt -in KEY` writes it "
            "without a password, `cosign import-key-pair --key KEY` as cosign has it");
        return NULL;
    }
    if (!armor.data)
        return ecdsa_private_key(text, err);
    if (!unlock_armor(armor, password, &unlocked, err)) {
        error_wrap(err, "the private key");
        return NULL;
    }
    return ecdsa_private_key(bytes_span(&unlocked), err);
}

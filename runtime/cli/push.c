#include "runtime/cli/push.h"

#include "runtime/cli/post.h"
#include "shared/base/bytes.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/secrets/secret.h"

#include <string.h>

enum { PAYLOAD_MAX = 256 * 1024, MESSAGE_MAX = 64 * 1024 };

struct update {
    char old[65], new[65], ref[1024];
};

static bool is_zero(const char *oid)
{
    return strspn(oid, "0") == strlen(oid);
}

/* The message decides about "[skip ci]". git runs in the hook's repository; the object's name is hexadecimal, checked by the caller. */
static bool read_message(const char *commit, struct bytes *out, struct error *err)
{
    char command[128];
    snprintf(command, sizeof command, "git log -1 --format=%%B %s", commit);
    FILE *git = popen(command, "re");
    if (!git)
        return error_set(err, ERROR_INTERNAL, "cannot run git");
    char piece[4096];
    size_t n;
    bool ok = true;
    while (ok && (n = fread(piece, 1, sizeof piece, git)) > 0)
        ok = out->len + n > out->max || bytes_append(out, piece, n, err);
    return (pclose(git) == 0 && ok) || error_set(err, ERROR_INTERNAL, "git does not know commit %s", commit);
}

static bool write_payload(struct bytes *out, const struct push_options *options, const struct update *u, struct error *err)
{
    AUTO(bytes_release) struct bytes message = BYTES(MESSAGE_MAX);
    if (!read_message(u->new, &message, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "ref", u->ref);
    json_add_string(&w, "before", u->old);
    json_add_string(&w, "after", u->new);
    json_open_object(&w, "head_commit");
    json_add_string(&w, "id", u->new);
    json_add_span(&w, "message", bytes_span(&message));
    json_close_object(&w);
    json_open_object(&w, "repository");
    json_add_string(&w, "full_name", options->repository);
    json_add_string(&w, "clone_url", options->clone);
    json_close_object(&w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool deliver(const struct push_options *options, const struct secret *secret, const struct update *u, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(PAYLOAD_MAX);
    AUTO(bytes_release) struct bytes headers = BYTES(4096);
    struct hmac_sha256 hmac;
    uint8_t mac[SHA256_SIZE], raw[16];
    char hex[SHA256_HEX_SIZE], id[UUID_SIZE];
    if (!write_payload(&body, options, u, err))
        return false;
    hmac_sha256_init(&hmac, secret_reveal(secret));
    hmac_sha256_update(&hmac, body.data, body.len);
    hmac_sha256_final(&hmac, mac);
    hex_encode(hex, mac, sizeof mac);
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    return bytes_printf(&headers, err,
                        "Content-Type: application/json\nX-Gitea-Event: push\nX-Gitea-Delivery: %s\nX-Gitea-Signature: %s\n",
                        id, hex) &&
           post_delivery(options->to, "POST", bytes_span(&headers), bytes_span(&body), err);
}

static bool parse_line(const char *line, struct update *u, struct error *err)
{
    if (sscanf(line, "%64[0-9a-f] %64[0-9a-f] %1023s", u->old, u->new, u->ref) != 3)
        return error_set(err, ERROR_INVALID, "expected 'OLD NEW REF' as git's post-receive hook gets it");
    return true;
}

bool push_send(const struct push_options *options, FILE *lines, struct error *err)
{
    AUTO(secret_free) struct secret *secret = secret_from_file(options->secret_file, err);
    AUTO(free) char *line = NULL;
    size_t capacity = 0;
    if (!secret)
        return false;
    while (getline(&line, &capacity, lines) > 0) {
        struct update update;
        if (!parse_line(line, &update, err))
            return false;
        if (!is_zero(update.new) && !deliver(options, secret, &update, err))
            return error_wrap(err, "push of '%s'", update.ref);
    }
    return true;
}

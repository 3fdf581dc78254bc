#include "runtime/cli/push.h"

#include "runtime/cli/post.h"
#include "shared/base/bytes.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"
#include "shared/base/random.h"
#include "shared/secrets/secret.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum {
    PAYLOAD_MAX = 8 * 1024 * 1024,
    COMMIT_TEXT_MAX = 64 * 1024,
    PATHS_TEXT_MAX = 4 * 1024 * 1024,
    PATHS_MAX = 2999, /* a longer list is taken for a cut one (functions/webhook/push_touches.c) */
    REF_TEXT_MAX = 1024,
};

struct update {
    char old[65], new[65], ref[REF_TEXT_MAX + 1];
};

static bool is_zero(const char *oid)
{
    return strspn(oid, "0") == strlen(oid);
}

/* --- what git knows ----------------------------------------------------------------------------------------------- */

/* git runs in the hook's repository. The command holds nothing from outside but names of objects, which are hexadecimal. */
__attribute__((format(printf, 3, 4))) static bool ask_git(struct bytes *out, struct error *err, const char *format, ...)
{
    char command[512], piece[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    FILE *git = popen(command, "re");
    if (!git)
        return error_set(err, ERROR_INTERNAL, "cannot run git");
    size_t n;
    bool fits = true;
    while ((n = fread(piece, 1, sizeof piece, git)) > 0)
        fits =
            fits && out->len + n <= out->max && bytes_append(out, piece, n, err); /* to the end, or git is broken off */
    if (pclose(git) != 0)
        return error_set(err, ERROR_INVALID, "git could not say: %.200s", command);
    return fits || error_set(err, ERROR_TOO_LARGE, "git says too much: %.200s", command);
}

/* The commit behind the ref, also behind an annotated tag: name, time and message. */
struct head {
    struct bytes text;
    struct span id, time, message;
};

static void release_head(struct head *head)
{
    bytes_release(&head->text);
}
AUTO_RELEASE(struct head, release_head)

static bool read_head(const char *object, struct head *head, struct error *err)
{
    struct error too_long = { 0 };
    if (!ask_git(&head->text, &too_long, "git log -1 --format=%%H%%n%%cI%%n%%B '%s^{commit}'", object) &&
        too_long.kind != ERROR_TOO_LARGE) {
        *err = too_long;
        return false;
    }
    head->message = bytes_span(&head->text);
    head->id = span_cut(&head->message, '\n');
    head->time = span_cut(&head->message, '\n');
    return head->message.data || error_set(err, ERROR_INVALID, "git does not know the commit of %s", object);
}

/* What a branch's move changes: build rules may ask for paths. Without the list they build. */
static bool add_changed_paths(struct json_writer *w, const struct update *u, const struct head *head)
{
    AUTO(bytes_release) struct bytes names = BYTES(PATHS_TEXT_MAX);
    struct error unknown = { 0 };
    size_t count = 0;
    if (is_zero(u->old) || !ask_git(&names, &unknown, "git diff --name-only -z %s %s", u->old, u->new))
        return false;
    for (size_t i = 0; i < names.len; i++)
        count += names.data[i] == '\0';
    if (count > PATHS_MAX)
        return false;
    json_open_array(w, "commits");
    json_open_object(w, NULL);
    json_add_span(w, "id", head->id);
    json_open_array(w, "added");
    json_close_array(w);
    json_open_array(w, "removed");
    json_close_array(w);
    json_open_array(w, "modified");
    struct span rest = bytes_span(&names);
    while (rest.len > 0)
        json_add_span(w, NULL, span_cut(&rest, '\0'));
    json_close_array(w);
    json_close_object(w);
    json_close_array(w);
    json_add_integer(w, "total_commits", 1);
    return true;
}

/* --- what Gitea would send ---------------------------------------------------------------------------------------- */

static void add_repository(struct json_writer *w, const struct push_options *options)
{
    json_open_object(w, "repository");
    json_add_string(w, "full_name", options->repository);
    json_add_string(w, "clone_url", options->clone);
    json_close_object(w);
}

static bool write_push(struct bytes *out, const struct push_options *options, const struct update *u, struct error *err)
{
    AUTO(release_head) struct head head = { .text = BYTES(COMMIT_TEXT_MAX) };
    if (!read_head(u->new, &head, err))
        return false;
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "ref", u->ref);
    json_add_string(&w, "before", u->old);
    json_add_string(&w, "after", u->new);
    json_open_object(&w, "head_commit");
    json_add_span(&w, "id", head.id);
    json_add_span(&w, "message", head.message);
    json_add_span(&w, "timestamp", head.time);
    json_close_object(&w);
    (void)add_changed_paths(&w, u, &head);
    add_repository(&w, options);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* Kinds of refs that a deletion is told of, by the names that Gitea gives them. */
static const struct {
    const char *prefix, *type;
} ref_types[] = { { "refs/heads/", "branch" }, { "refs/tags/", "tag" } };

static const char *ref_type(const char *ref, const char **name)
{
    for (size_t i = 0; i < sizeof ref_types / sizeof ref_types[0]; i++)
        if (strncmp(ref, ref_types[i].prefix, strlen(ref_types[i].prefix)) == 0) {
            *name = ref + strlen(ref_types[i].prefix);
            return ref_types[i].type;
        }
    return NULL;
}

static bool write_deletion(struct bytes *out, const struct push_options *options, const struct update *u,
                           struct error *err)
{
    const char *name = u->ref, *type = ref_type(u->ref, &name);
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "ref", name);
    json_add_string(&w, "ref_type", type);
    json_add_string(&w, "pusher_type", "user");
    add_repository(&w, options);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* --- delivering --------------------------------------------------------------------------------------------------- */

static bool write_headers(struct bytes *out, const char *event, const struct secret *secret, const struct bytes *body,
                          struct error *err)
{
    struct hmac_sha256 hmac;
    uint8_t mac[SHA256_SIZE], raw[16];
    char hex[SHA256_HEX_SIZE], id[UUID_SIZE];
    hmac_sha256_init(&hmac, secret_reveal(secret));
    hmac_sha256_update(&hmac, body->data, body->len);
    hmac_sha256_final(&hmac, mac);
    hex_encode(hex, mac, sizeof mac);
    random_bytes(raw, sizeof raw);
    uuid_format(id, raw);
    return bytes_printf(out, err,
                        "Content-Type: application/json\nX-Gitea-Event: %s\nX-Gitea-Delivery: %s\n"
                        "X-Gitea-Signature: %s\n",
                        event, id, hex);
}

/* The same delivery again, which makes nothing twice: `webhook` may just be starting. */
static bool post_patiently(const struct push_options *options, const struct bytes *headers, const struct bytes *body,
                           struct error *err)
{
    static const int pauses_ms[] = { 100, 400, 1500 };
    for (size_t i = 0;; i++) {
        if (post_delivery(options->to, "POST", bytes_span(headers), bytes_span(body), err))
            return true;
        if (!error_is_temporary(err) || i == sizeof pauses_ms / sizeof pauses_ms[0])
            return false;
        poll(NULL, 0, pauses_ms[i]);
    }
}

static bool deliver(const struct push_options *options, const struct secret *secret, const struct update *u,
                    struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(PAYLOAD_MAX);
    AUTO(bytes_release) struct bytes headers = BYTES(4096);
    const char *name;
    bool deleted = is_zero(u->new);
    if (!ref_type(u->ref, &name))
        return true; /* notes and the like: nobody builds them */
    return (deleted ? write_deletion : write_push)(&body, options, u, err) &&
           write_headers(&headers, deleted ? "delete" : "push", secret, &body, err) &&
           post_patiently(options, &headers, &body, err);
}

/* --- the hook's lines --------------------------------------------------------------------------------------------- */

static bool parse_line(const char *line, struct update *u, struct error *err)
{
    int end = 0;
    if (sscanf(line, "%64[0-9a-f] %64[0-9a-f] %1024[^\n]%n", u->old, u->new, u->ref, &end) == 3 &&
        strlen(u->old) == strlen(u->new) && (line[end] == '\n' || line[end] == '\0'))
        return true;
    return error_set(err, ERROR_INVALID, "expected 'OLD NEW REF' as git's post-receive hook gets it");
}

/* Any text as one word of a shell. */
static void print_quoted(FILE *out, const char *text)
{
    putc('\'', out);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            putc(*text, out);
    putc('\'', out);
}

/* Read by the person who pushed: git shows it as "remote: ...". The hook's directory is the repository. */
static void say_how_to_tell_again(const struct update *u, const struct error *err)
{
    char line[sizeof *u + 2], here[PATH_MAX];
    snprintf(line, sizeof line, "%s %s %s", u->old, u->new, u->ref);
    fprintf(stderr, "pushwright send: the push of '%s' is stored, but nobody was told: %s\n", u->ref, err->message);
    fputs("  to tell it again: cd ", stderr);
    print_quoted(stderr, getcwd(here, sizeof here) ? here : "REPOSITORY");
    fputs(" && echo ", stderr);
    print_quoted(stderr, line);
    fputs(" | hooks/post-receive\n", stderr);
}

bool push_send(const struct push_options *options, FILE *lines, struct error *err)
{
    AUTO(secret_free) struct secret *secret = secret_from_file(options->secret_file, err);
    AUTO(free) char *line = NULL;
    size_t capacity = 0;
    bool ok = secret != NULL;
    while (secret && getline(&line, &capacity, lines) > 0) {
        struct update update;
        struct error failed = { 0 };
        if (!parse_line(line, &update, err))
            return false;
        if (deliver(options, secret, &update, &failed))
            continue;
        say_how_to_tell_again(&update, &failed);
        if (ok || error_is_temporary(&failed))
            *err = failed;
        ok = false;
    }
    return ok;
}

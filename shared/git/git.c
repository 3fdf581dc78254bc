#include "shared/git/git.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/git/library.h"
#include "shared/git/snapshot.h"
#include "shared/git/stream.h"

#include <string.h>
#include <strings.h>

#define FETCHED_REF "refs/pushwright/fetched"

enum { OID_HEX = 40, OID_SHA256_HEX = 64, TIMEOUT_MS = 10 * 60 * 1000 };
static const int64_t received_max = INT64_C(4) << 30;

/* Commits of history that are fetched, one try after the other, until the one that is looked for is among them. */
static const int depths[] = { 50, 1000, GIT_FETCH_DEPTH_UNSHALLOW };

/* Why one of our callbacks ended a transfer. */
enum stop { STOP_NONE, STOP_ANONYMOUS, STOP_REFUSED, STOP_TOO_LARGE, STOP_CANCELLED, STOP_TIMEOUT, STOP_ADDRESS };

static const struct {
    enum error_kind kind;
    const char *sentence;
} stops[] = {
    [STOP_ANONYMOUS] = { ERROR_DENIED, "the server asks for authentication and no token is configured" },
    [STOP_REFUSED] = { ERROR_DENIED, "the server refuses the configured token" },
    [STOP_TOO_LARGE] = { ERROR_TOO_LARGE, "the repository sends more bytes than are allowed" },
    [STOP_CANCELLED] = { ERROR_UNAVAILABLE, "cancelled" },
    [STOP_TIMEOUT] = { ERROR_UNAVAILABLE, "took too long" },
    [STOP_ADDRESS] = { ERROR_DENIED, "the host has an address of the own network, which is not allowed here" },
};

struct session {
    const struct git_remote_options *options;
    git_remote *remote;
    int64_t deadline_ms;
    enum stop stop;
    bool token_given, certificates;
    struct bytes header; /* "Authorization: ..." */
};

static void session_release(struct session *session)
{
    git_remote_free(session->remote);
    stream_guard(NULL);
    bytes_wipe(&session->header);
    if (session->certificates)
        library_certificates_end();
}
AUTO_RELEASE(struct session, session_release)

static int stop_because(struct session *session, enum stop stop)
{
    session->stop = stop;
    return stop == STOP_ANONYMOUS || stop == STOP_REFUSED ? GIT_EAUTH : GIT_EUSER;
}

static int give_token(git_credential **out, const char *url, const char *user, unsigned allowed, void *payload)
{
    struct session *session = payload;
    const struct git_remote_options *options = session->options;

    (void)url;
    (void)user;
    if (!options->token)
        return stop_because(session, STOP_ANONYMOUS);
    if (session->token_given || !(allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
        return stop_because(session, STOP_REFUSED);
    session->token_given = true;
    return git_credential_userpass_plaintext_new(out, options->username ? options->username : "x-access-token",
                                                 secret_reveal(options->token).data);
}

static int still_wanted(struct session *session)
{
    const struct git_remote_options *options = session->options;

    if (options->cancelled && options->cancelled(options->cancelled_context))
        return stop_because(session, STOP_CANCELLED);
    if (clock_monotonic_ms() > session->deadline_ms)
        return stop_because(session, STOP_TIMEOUT);
    return 0;
}

static int on_progress(const git_indexer_progress *progress, void *payload)
{
    struct session *session = payload;
    int64_t max = session->options->bytes_max ? session->options->bytes_max : received_max;

    if (progress->received_bytes > (uint64_t)max)
        return stop_because(session, STOP_TOO_LARGE);
    return still_wanted(session);
}

static int on_sideband(const char *text, int len, void *payload)
{
    (void)text;
    (void)len;
    return still_wanted(payload);
}

static bool session_failed(struct session *session, int code, const char *what, struct error *err)
{
    if (session->stop == STOP_NONE && stream_refused())
        session->stop = STOP_ADDRESS;
    if (session->stop != STOP_NONE)
        return error_set(err, stops[session->stop].kind, "%s '%s': %s", what, session->options->url,
                         stops[session->stop].sentence);
    return library_failed(err, code, "%s '%s'", what, session->options->url);
}

static git_remote_callbacks callbacks_of(struct session *session)
{
    git_remote_callbacks callbacks;

    git_remote_init_callbacks(&callbacks, GIT_REMOTE_CALLBACKS_VERSION);
    callbacks.credentials = give_token;
    callbacks.transfer_progress = on_progress;
    callbacks.sideband_progress = on_sideband;
    callbacks.payload = session;
    return callbacks;
}

/* Of which it keeps its own copy. */
static git_strarray headers_of(struct session *session)
{
    return (git_strarray){ &session->header.data, session->header.len > 0 };
}

static bool write_header(struct session *session, struct error *err)
{
    const struct secret *authorization = session->options->authorization;

    session->header = BYTES(SECRET_MAX + 64);
    return !authorization || (bytes_append_text(&session->header, "Authorization: ", err) &&
                              bytes_append_span(&session->header, secret_reveal(authorization), err));
}

/* Connected, the refs told. repository NULL: only to ask. */
static bool session_open(struct session *session, git_repository *repository, struct error *err)
{
    const struct git_remote_options *options = session->options;
    git_remote_connect_options connect;

    session->deadline_ms = clock_monotonic_ms() + (options->timeout_ms ? options->timeout_ms : TIMEOUT_MS);
    stream_guard(options->connectable);
    if (!write_header(session, err))
        return false;
    if (strncasecmp(options->url, "https:", 6) == 0) {
        if (!library_certificates_begin(options->ca_file, err))
            return false;
        session->certificates = true;
    }
    int code = repository ? git_remote_create_anonymous(&session->remote, repository, options->url)
                          : git_remote_create_detached(&session->remote, options->url);
    if (code < 0)
        return session_failed(session, code, "connect to", err);

    git_remote_connect_options_init(&connect, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
    connect.callbacks = callbacks_of(session);
    connect.proxy_opts.type = GIT_PROXY_AUTO;
    connect.custom_headers = headers_of(session);
    connect.follow_redirects = GIT_REMOTE_REDIRECT_NONE; /* libgit2 still follows those that stay on the host */
    code = git_remote_connect_ext(session->remote, GIT_DIRECTION_FETCH, &connect);
    return code == 0 || session_failed(session, code, "connect to", err);
}

/* What a ref points to: directly, which may be an annotated tag, and in the end. */
struct pointed {
    git_oid direct, commit;
};

/* What the server told about one ref; an annotated tag is told a second time, peeled, as "NAME^{}". */
static bool session_tip(struct session *session, const char *ref, struct pointed *tip, struct error *err)
{
    const git_remote_head **heads = NULL;
    size_t count = 0, len = strlen(ref);
    bool found = false;
    int code = git_remote_ls(&heads, &count, session->remote);

    if (code < 0)
        return session_failed(session, code, "list the refs of", err);
    for (size_t i = 0; i < count; i++) {
        const char *name = heads[i]->name;

        if (strncmp(name, ref, len) != 0 || (name[len] && strcmp(name + len, "^{}") != 0))
            continue;
        tip->commit = heads[i]->oid;
        if (!name[len])
            tip->direct = heads[i]->oid;
        found = true;
    }
    return found || error_set(err, ERROR_NOT_FOUND, "'%s' has no ref '%s'", session->options->url, ref);
}

/* Hosts tell a push of an annotated tag by the commit or by the tag object: both mean the commit. */
static const git_oid *meant(const git_oid *wanted, const struct pointed *tip)
{
    return !wanted || git_oid_equal(wanted, &tip->direct) ? &tip->commit : wanted;
}

/* Some ref that points to the commit: every server gives that one out. */
static const char *session_ref_of(struct session *session, const git_oid *commit)
{
    const git_remote_head **heads = NULL;
    size_t count = 0;

    if (git_remote_ls(&heads, &count, session->remote) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (git_oid_equal(&heads[i]->oid, commit) && !strchr(heads[i]->name, '^') &&
            strncmp(heads[i]->name, "refs/", 5) == 0)
            return heads[i]->name;
    }
    return NULL;
}

static bool session_fetch(struct session *session, const char *what, int depth, struct error *err)
{
    AUTO(bytes_release) struct bytes refspec = BYTES(GIT_PATH_MAX);
    git_fetch_options options;

    if (!bytes_printf(&refspec, err, "+%s:" FETCHED_REF, what))
        return false;
    git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
    options.callbacks = callbacks_of(session);
    options.proxy_opts.type = GIT_PROXY_AUTO;
    options.custom_headers = headers_of(session);
    options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
    options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    options.update_fetchhead = 0;
    options.depth = depth;

    session->token_given = false; /* a further try may be a further connection */
    int code = git_remote_fetch(session->remote, &(git_strarray){ &refspec.data, 1 }, &options, NULL);
    return code == 0 || session_failed(session, code, "fetch from", err);
}

static bool is_ancestor(git_repository *repository, const git_oid *tip, const git_oid *commit)
{
    AUTO(git_commit_free) git_commit *object = NULL;

    return git_oid_equal(tip, commit) || (git_commit_lookup(&object, repository, commit) == 0 &&
                                          git_graph_descendant_of(repository, tip, commit) == 1);
}

static bool not_reachable(const struct git_remote_options *options, const char *ref, const git_oid *commit,
                          struct error *err)
{
    char id[GIT_OID_TEXT_SIZE];

    git_oid_tostr(id, sizeof(id), commit);
    return error_set(err, ERROR_NOT_FOUND, "commit %s is not reachable from '%s' of '%s'", id, ref, options->url);
}

/* The ref has moved on: its history, until the commit is in it. */
static bool fetch_history(struct session *session, git_repository *repository, const char *ref, const git_oid *tip,
                          const git_oid *commit, struct error *err)
{
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        if (!session_fetch(session, ref, depths[i], err))
            return false;
        if (is_ancestor(repository, tip, commit))
            return true;
        if (!git_repository_is_shallow(repository))
            break;
    }
    return not_reachable(session->options, ref, commit, err);
}

static bool fetch_by_id(struct session *session, const git_oid *commit, struct error *err)
{
    const char *ref = session_ref_of(session, commit);
    char id[GIT_OID_TEXT_SIZE];

    if (ref)
        return session_fetch(session, ref, 1, err);
    git_oid_tostr(id, sizeof(id), commit);
    if (session_fetch(session, id, 1, err))
        return true;
    if (err->kind == ERROR_INVALID)
        return error_set(err, ERROR_UNSUPPORTED,
                         "'%s' does not give out commits by id: name a ref from which %s is reachable",
                         session->options->url, id);
    /* "not our ref" reaches libgit2 where it waits for the list of shallow commits. */
    if (strstr(err->message, "not our ref") || strstr(err->message, "unexpected packet type"))
        return error_set(err, ERROR_NOT_FOUND, "'%s' does not give out commit %s", session->options->url, id);
    return false;
}

/* What is fetched, and by which name: none when it is NULL. */
struct fetching {
    git_oid commit, pointed;
    char *ref;
};

static void fetching_release(struct fetching *fetching)
{
    free(fetching->ref);
}
AUTO_RELEASE(struct fetching, fetching_release)

static bool ref_is_full(const char *ref)
{
    int valid = 0;

    return strcmp(ref, "HEAD") == 0 ||
           (strncmp(ref, "refs/", 5) == 0 && git_reference_name_is_valid(&valid, ref) == 0 && valid);
}

/* A ref that has moved on since stands for the commit that it pointed to. */
static bool fetching_name(struct fetching *fetching, const char *ref, const struct pointed *tip, struct error *err)
{
    fetching->pointed = git_oid_equal(&fetching->commit, &tip->commit) ? tip->direct : fetching->commit;
    fetching->ref = strdup(ref_is_full(ref) ? ref : "HEAD"); /* what HEAD stands for is the server's word */
    return fetching->ref || error_set(err, ERROR_INTERNAL, "out of memory");
}

/* The branch that HEAD stands for, when the server tells it. */
static const char *session_branch(struct session *session, const char *ref)
{
    const git_remote_head **heads = NULL;
    size_t count = 0;

    if (strcmp(ref, "HEAD") != 0 || git_remote_ls(&heads, &count, session->remote) < 0)
        return ref;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(heads[i]->name, ref) == 0 && heads[i]->symref_target)
            return heads[i]->symref_target;
    }
    return ref;
}

static bool fetch_into(git_repository *repository, const struct git_remote_options *options, const char *ref,
                       const git_oid *wanted, struct fetching *fetching, struct error *err)
{
    AUTO(session_release) struct session session = { .options = options };
    struct pointed tip;

    if (!session_open(&session, repository, err))
        return false;
    if (!ref) {
        fetching->commit = *wanted;
        return fetch_by_id(&session, wanted, err);
    }
    if (!session_tip(&session, ref, &tip, err))
        return false;
    fetching->commit = *meant(wanted, &tip);
    if (!fetching_name(fetching, session_branch(&session, ref), &tip, err))
        return false;
    if (git_oid_equal(&fetching->commit, &tip.commit))
        return session_fetch(&session, ref, 1, err);
    return fetch_history(&session, repository, ref, &tip.commit, &fetching->commit, err);
}

static struct git_snapshot *snapshot_of(git_repository *repository, char *directory, const struct fetching *fetching,
                                        struct error *err)
{
    struct git_snapshot *snapshot = snapshot_new(repository, directory, &fetching->commit, err);

    return fetching->ref ? snapshot_named(snapshot, fetching->ref, &fetching->pointed, err) : snapshot;
}

/* No build takes longer than a day. */
static const char temporary_name[] = "pushwright-git";
static const int64_t abandoned_after_s = 25 * 3600;

static struct git_snapshot *fetch_remote(const struct git_remote_options *options, const char *ref,
                                         const git_oid *wanted, struct error *err)
{
    directory_clear_temporary(temporary_name, abandoned_after_s);
    AUTO(free) char *directory = directory_make_temporary(temporary_name, err);
    AUTO(git_repository_free) git_repository *repository = NULL;
    AUTO(fetching_release) struct fetching fetching = { .ref = NULL };

    if (!directory)
        return NULL;
    int code = git_repository_init(&repository, directory, 1);
    if (code < 0)
        library_failed(err, code, "make a repository in '%s'", directory);
    if (code < 0 || !fetch_into(repository, options, ref, wanted, &fetching, err)) {
        directory_remove(directory, &(struct error){ 0 });
        return NULL;
    }
    return snapshot_of(TAKE(repository), TAKE(directory), &fetching, err);
}

/* The directory of a file URL or plain path; NULL in *path for other schemes. */
static bool local_path(const char *url, struct bytes *path, bool *is_local, struct error *err)
{
    static const char *const prefixes[] = { "file:///", "file://localhost/", "/" };

    *is_local = false;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t len = strlen(prefixes[i]);

        if (strncmp(url, prefixes[i], len) != 0)
            continue;
        *is_local = true;
        if (len == 1)
            return bytes_append_text(path, url, err);
        return percent_decode(path, span_of(url + len - 1), false, err);
    }
    return true;
}

static git_repository *local_open(const char *path, struct error *err)
{
    AUTO(git_repository_free) git_repository *repository = NULL;
    int code = git_repository_open_ext(&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);

    if (code < 0) {
        library_failed(err, code, "open the repository '%s'", path);
        return NULL;
    }
    return TAKE(repository);
}

static bool local_tip(git_repository *repository, const char *url, const char *ref, struct pointed *tip,
                      struct error *err)
{
    AUTO(git_reference_free) git_reference *reference = NULL;
    AUTO(git_object_free) git_object *commit = NULL;
    int code = git_reference_lookup(&reference, repository, ref);

    if (code == GIT_ENOTFOUND)
        return error_set(err, ERROR_NOT_FOUND, "'%s' has no ref '%s'", url, ref);
    if (code == 0)
        code = git_reference_peel(&commit, reference, GIT_OBJECT_COMMIT);
    if (code < 0)
        return library_failed(err, code, "ref '%s' of '%s'", ref, url);
    tip->commit = *git_object_id(commit);
    tip->direct = git_reference_target(reference) ? *git_reference_target(reference) : tip->commit;
    return true;
}

static bool local_name(git_repository *repository, const char *ref, const struct pointed *tip,
                       struct fetching *fetching, struct error *err)
{
    AUTO(git_reference_free) git_reference *head = NULL;
    bool is_branch = strcmp(ref, "HEAD") == 0 && git_reference_lookup(&head, repository, ref) == 0 &&
                     git_reference_symbolic_target(head);

    return fetching_name(fetching, is_branch ? git_reference_symbolic_target(head) : ref, tip, err);
}

static struct git_snapshot *fetch_local(const struct git_remote_options *options, const char *path, const char *ref,
                                        const git_oid *wanted, struct error *err)
{
    AUTO(git_repository_free) git_repository *repository = local_open(path, err);
    AUTO(fetching_release) struct fetching fetching = { .ref = NULL };
    struct pointed tip;

    if (!repository)
        return NULL;
    if (!ref)
        return snapshot_new(TAKE(repository), NULL, wanted, err);
    if (!local_tip(repository, options->url, ref, &tip, err))
        return NULL;
    fetching.commit = *meant(wanted, &tip);
    if (!is_ancestor(repository, &tip.commit, &fetching.commit)) {
        not_reachable(options, ref, &fetching.commit, err);
        return NULL;
    }
    return local_name(repository, ref, &tip, &fetching, err) ? snapshot_of(TAKE(repository), NULL, &fetching, err)
                                                             : NULL;
}

bool git_url_check(const char *url, struct error *err)
{
    const char *authority = NULL;

    if (strncasecmp(url, "https://", 8) == 0)
        authority = url + 8;
    else if (strncasecmp(url, "http://", 7) == 0)
        authority = url + 7;
    else if (strncmp(url, "file:///", 8) != 0 && strncmp(url, "file://localhost/", 17) != 0 && url[0] != '/')
        return error_set(err, ERROR_INVALID, "a repository's URL must begin with https://, http:// or file:///");
    for (const char *c = url; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return error_set(err, ERROR_INVALID, "a repository's URL holds a blank or control character");
    }
    if (!authority)
        return true;
    size_t len = strcspn(authority, "/?#");
    if (len == 0)
        return error_set(err, ERROR_INVALID, "a repository's URL names no host");
    if (memchr(authority, '@', len))
        return error_set(err, ERROR_INVALID, "a repository's URL must not hold a user or password: configure a token");
    return true;
}

static bool ref_check(const char *ref, struct error *err)
{
    return ref_is_full(ref) || error_set(err, ERROR_INVALID, "'%.200s' is not the full name of a ref", ref);
}

static bool commit_parse(const char *text, git_oid *oid, struct error *err)
{
    size_t digits = strspn(text, "0123456789abcdef");

    if (digits == OID_HEX && !text[digits] && git_oid_fromstr(oid, text) == 0)
        return true;
    if (digits == OID_SHA256_HEX && !text[digits])
        return error_set(err, ERROR_UNSUPPORTED,
                         "commit '%s' is of a repository with SHA-256 names, from which nothing can be fetched yet",
                         text);
    return error_set(err, ERROR_INVALID, "'%.80s' is not a commit id of 40 hexadecimal digits", text);
}

/* The first that the repository has of the names "PREFIX NAME"; it has none: *ref is empty. */
static bool find_tip(const struct git_remote_options *options, const char *const *prefixes, size_t count,
                     const char *name, struct bytes *ref, char commit[static GIT_OID_TEXT_SIZE], struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(GIT_PATH_MAX);
    AUTO(git_repository_free) git_repository *repository = NULL;
    AUTO(session_release) struct session session = { .options = options };
    struct pointed tip;
    bool is_local;

    commit[0] = '\0';
    bytes_clear(ref);
    if (!library_start(err) || !git_url_check(options->url, err) ||
        !bytes_printf(ref, err, "%s%s", prefixes[0], name) || !ref_check(ref->data, err) ||
        !local_path(options->url, &path, &is_local, err))
        return false;
    if (is_local ? !(repository = local_open(path.data, err)) : !session_open(&session, NULL, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct error missing = { 0 };

        bytes_clear(ref);
        if (!bytes_printf(ref, err, "%s%s", prefixes[i], name))
            return false;
        if (is_local ? local_tip(repository, options->url, ref->data, &tip, &missing)
                     : session_tip(&session, ref->data, &tip, &missing)) {
            git_oid_tostr(commit, GIT_OID_TEXT_SIZE, &tip.commit);
            return true;
        }
        if (missing.kind != ERROR_NOT_FOUND) {
            *err = missing;
            return false;
        }
    }
    bytes_clear(ref);
    return true;
}

static const char *const as_it_is[] = { "" }, *const short_forms[] = { "refs/heads/", "refs/tags/", "refs/" };

bool git_tip(const struct git_remote_options *options, const char *ref, char commit[static GIT_OID_TEXT_SIZE],
             struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(GIT_PATH_MAX);

    return find_tip(options, as_it_is, 1, ref, &name, commit, err);
}

bool git_resolve(const struct git_remote_options *options, const char *name, struct bytes *ref,
                 char commit[static GIT_OID_TEXT_SIZE], struct error *err)
{
    bool is_full = strcmp(name, "HEAD") == 0 || strncmp(name, "refs/", 5) == 0;

    return find_tip(options, is_full ? as_it_is : short_forms,
                    is_full ? 1 : sizeof(short_forms) / sizeof(short_forms[0]), name, ref, commit, err);
}

struct git_snapshot *git_fetch(const struct git_remote_options *options, const char *ref, const char *commit,
                               struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(GIT_PATH_MAX);
    git_oid wanted;
    bool is_local;

    if (!library_start(err) || !git_url_check(options->url, err) || (ref && !ref_check(ref, err)) ||
        (commit && !commit_parse(commit, &wanted, err)) || !local_path(options->url, &path, &is_local, err))
        return NULL;
    if (!ref && !commit) {
        error_set(err, ERROR_INVALID, "neither a ref nor a commit was named");
        return NULL;
    }
    return is_local ? fetch_local(options, path.data, ref, commit ? &wanted : NULL, err)
                    : fetch_remote(options, ref, commit ? &wanted : NULL, err);
}

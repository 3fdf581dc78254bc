#include "shared/git/library.h"

#include "shared/git/stream.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>

enum {
    CACHE_MAX = 4 * 1024 * 1024,
    WINDOW = 1024 * 1024,
    WINDOWS_MAX = 4 * WINDOW /* of packs that are mapped */
};

static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static bool started;

static void start(void)
{
    static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
                                  GIT_CONFIG_LEVEL_GLOBAL };

    if (git_libgit2_init() < 0)
        return;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)CACHE_MAX);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, (size_t)WINDOW);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)WINDOWS_MAX);
    git_libgit2_opts(GIT_OPT_SET_USER_AGENT, "pushwright");
    /* A mounted repository often belongs to another user. It is only read: no hook, filter or command of its configuration runs. */
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
    started = stream_register();
}

bool library_start(struct error *err)
{
    pthread_once(&start_once, start);
    return started || error_set(err, ERROR_INTERNAL, "cannot start libgit2");
}

/* Replacing the certificates while another thread shakes hands would free them under it. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned users;
    char *file;
} certificates = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL };

static const char *system_bundle(void)
{
    static const char *const places[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem" };
    const char *named = getenv("SSL_CERT_FILE");

    if (named && *named)
        return named;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    return places[0];
}

static bool certificates_load(const char *file, struct error *err)
{
    if (certificates.file && strcmp(certificates.file, file) == 0)
        return true;

    char *copy = strdup(file);
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    free(certificates.file);
    certificates.file = NULL;
    int code = git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, (const char *)NULL);
    if (code < 0) {
        free(copy);
        library_failed(err, code, "certificates '%s'", file);
        err->kind = ERROR_INTERNAL;
        return false;
    }
    certificates.file = copy;
    return true;
}

bool library_certificates_begin(const char *ca_file, struct error *err)
{
    const char *file = ca_file ? ca_file : system_bundle();

    pthread_mutex_lock(&certificates.lock);
    while (certificates.users > 0 && certificates.file && strcmp(certificates.file, file) != 0)
        pthread_cond_wait(&certificates.idle, &certificates.lock);
    bool loaded = certificates_load(file, err);
    if (loaded)
        certificates.users++;
    pthread_mutex_unlock(&certificates.lock);
    return loaded;
}

void library_certificates_end(void)
{
    pthread_mutex_lock(&certificates.lock);
    if (--certificates.users == 0)
        pthread_cond_broadcast(&certificates.idle);
    pthread_mutex_unlock(&certificates.lock);
}

/* libgit2 tells the status of an HTTP answer only in its sentence. */
static enum error_kind kind_of_status(const char *sentence)
{
    static const char prefix[] = "unexpected http status code: ";

    if (strncmp(sentence, prefix, sizeof(prefix) - 1) != 0)
        return ERROR_UNAVAILABLE;
    switch (atoi(sentence + sizeof(prefix) - 1)) {
    case 401:
    case 403:
        return ERROR_DENIED;
    case 404:
    case 410:
        return ERROR_NOT_FOUND;
    case 429:
        return ERROR_BUSY;
    default:
        return ERROR_UNAVAILABLE;
    }
}

static enum error_kind kind_of(int code, const git_error *last)
{
    if (code == GIT_EAUTH || code == GIT_ECERTIFICATE)
        return ERROR_DENIED;
    if (code == GIT_ENOTFOUND)
        return ERROR_NOT_FOUND;
    if (!last)
        return ERROR_INTERNAL;
    switch (last->klass) {
    case GIT_ERROR_HTTP:
        return kind_of_status(last->message);
    case GIT_ERROR_NET:
    case GIT_ERROR_SSL:
    case GIT_ERROR_FETCHHEAD:
    case GIT_ERROR_INDEXER:
        return ERROR_UNAVAILABLE;
    case GIT_ERROR_OS: /* also a connection that was refused */
        return strncmp(last->message, "failed to connect", 17) == 0 ? ERROR_UNAVAILABLE : ERROR_INTERNAL;
    case GIT_ERROR_NOMEMORY:
        return ERROR_INTERNAL;
    default:
        return ERROR_INVALID;
    }
}

bool library_failed(struct error *err, int code, const char *format, ...)
{
    const git_error *last = git_error_last();
    char what[512];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return error_set(err, kind_of(code, last), "%s: %s", what, last ? last->message : "unknown failure of libgit2");
}

#include "shared/builder/submodules.h"

#include "shared/builder/keepgit.h"
#include "shared/http/address.h"
#include "shared/http/url.h"

#include <string.h>
#include <strings.h>

enum { SUBMODULE_URL_MAX = 4096 };

/* ---- .gitmodules (git-config "CONFIGURATION FILE", as far as git writes it there) ---- */

/* The value behind "key =", without quotes and comments; absent: the line is about something else. */
static struct span value_of(struct span line, const char *key)
{
    struct span value = line, name = span_trim(span_cut(&value, '='));

    if (!value.data || name.len != strlen(key) || strncasecmp(name.data, key, name.len) != 0)
        return (struct span){ 0 };
    value = span_trim(value);
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
        return (struct span){ value.data + 1, value.len - 2 };
    for (size_t i = 1; i < value.len; i++) {
        if ((value.data[i] == '#' || value.data[i] == ';') && (value.data[i - 1] == ' ' || value.data[i - 1] == '\t'))
            value.len = i;
    }
    return span_trim(value);
}

bool submodules_url(struct span gitmodules, const char *path, struct bytes *out, struct error *err)
{
    struct span url = { 0 };
    bool here = false;

    for (struct span line = span_cut(&gitmodules, '\n'); line.data; line = span_cut(&gitmodules, '\n')) {
        line = span_trim(line);
        if (span_starts(line, "[")) {
            if (here && url.data)
                break;
            here = false;
            url = (struct span){ 0 };
            continue;
        }
        struct span said = value_of(line, "path"), from = value_of(line, "url");
        here = here || (said.data && span_is(said, path));
        url = from.data ? from : url;
    }
    return here && url.len > 0 ? bytes_append_span(out, url, err)
                               : error_set(err, ERROR_INVALID, ".gitmodules names no URL for '%s'", path);
}

/* ---- where it is ---- */

/* "../" goes up a part of the parent's path, never above its host. */
static bool resolve_relative(const char *parent, struct span url, struct bytes *out, struct error *err)
{
    const char *scheme = strstr(parent, "://");
    size_t root = scheme ? (size_t)(scheme - parent) + 3 : 0, len = strlen(parent);

    root += strcspn(parent + root, "/");
    while (len > root && parent[len - 1] == '/')
        len--;
    for (;;) {
        bool up = span_starts(url, "../");
        size_t skip = up ? 3 : span_starts(url, "./") ? 2 : 0;
        if (skip == 0)
            break;
        while (up && len > root && parent[len - 1] != '/')
            len--;
        if (up && len <= root)
            return error_set(err, ERROR_INVALID, "the URL of the submodule leads above the host of its parent");
        len -= up;
        url = (struct span){ url.data + skip, url.len - skip };
    }
    return bytes_append(out, parent, len, err) && bytes_append_char(out, '/', err) && bytes_append_span(out, url, err);
}

bool submodules_resolve(const char *parent, struct span url, struct bytes *out, struct error *err)
{
    bool relative = span_starts(url, "./") || span_starts(url, "../"), parent_is_file = strncmp(parent, "http", 4) != 0;
    struct url parsed;

    if (!(relative ? resolve_relative(parent, url, out, err) : bytes_append_span(out, url, err)))
        return false;
    bool by_http = strncmp(out->data, "http://", 7) == 0 || strncmp(out->data, "https://", 8) == 0;
    if (!by_http && !(parent_is_file && (relative || strncmp(out->data, "file://", 7) == 0)))
        return error_set(err, ERROR_UNSUPPORTED, "submodules are fetched by https and http only, not from '%.80s'",
                         out->data);
    return git_url_check(out->data, err) && (!by_http || url_parse(bytes_span(out), &parsed, err));
}

static bool same(struct span a, struct span b)
{
    return a.len == b.len && strncasecmp(a.data ? a.data : "", b.data ? b.data : "", a.len) == 0;
}

/* May it have the parent's token? Else its host must not be of the own network. */
static bool choose_token(const char *url, const struct submodules_options *options, struct git_remote_options *remote,
                         struct error *err)
{
    struct url parent, own;

    if (strncmp(url, "http", 4) != 0)
        return true;
    if (!url_parse(span_of(url), &own, err))
        return false;
    if (url_parse(span_of(options->remote->url), &parent, &(struct error){ 0 }) && same(parent.scheme, own.scheme) &&
        same(parent.host, own.host) && parent.port == own.port)
        return true;
    remote->token = NULL;
    remote->username = NULL;
    remote->authorization = NULL;
    if (!options->allow_private)
        remote->connectable = address_is_public;
    return true;
}

/* ---- all of them ---- */

static bool append(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

static bool read_gitmodules(const struct files *files, const struct tree_node *root, struct bytes *out,
                            struct error *err)
{
    const struct tree_node *node = tree_child(files->tree, root, SPAN(".gitmodules"));

    if (!node || node->is.type != TAR_FILE)
        return error_set(err, ERROR_INVALID,
                         "the commit has submodules, and no file '.gitmodules' that tells where they are");
    return content_read(node->is.content, append, out, err);
}

/* Old servers give no commit by its id: then from the history of what HEAD stands for. */
static struct git_snapshot *fetch(const struct git_remote_options *remote, const char *commit, struct error *err)
{
    struct error refused = { 0 };
    struct git_snapshot *snapshot = git_fetch(remote, NULL, commit, &refused);

    if (!snapshot && refused.kind == ERROR_UNSUPPORTED)
        return git_fetch(remote, "HEAD", commit, err);
    if (!snapshot)
        *err = refused;
    return snapshot;
}

static bool fill_all(struct files *files, struct tree_node *root, const struct submodules_options *options,
                     unsigned nested, struct error *err);

static bool fill(struct files *files, const struct submodule *module, const char *url,
                 const struct submodules_options *options, unsigned nested, struct error *err)
{
    struct git_remote_options remote = *options->remote;

    remote.url = url;
    if (!choose_token(url, options, &remote, err))
        return false;
    struct git_snapshot *snapshot = fetch(&remote, module->commit, err);
    const struct submodules_options below = { &remote, options->allow_private, options->keep_git_dirs };
    return snapshot && files_add_commit(files, snapshot, module->node, err) &&
           (!options->keep_git_dirs || keepgit(files, snapshot, module->node, url, err)) &&
           fill_all(files, module->node, &below, nested + 1, err);
}

static bool fill_all(struct files *files, struct tree_node *root, const struct submodules_options *options,
                     unsigned nested, struct error *err)
{
    AUTO(bytes_release) struct bytes gitmodules = BYTES(GITMODULES_MAX);
    struct submodule *modules = TAKE(files->submodules);

    if (!modules)
        return true;
    if (nested > SUBMODULES_NESTED_MAX || files->submodule_count > SUBMODULES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d submodules, or more than %d within each other",
                         SUBMODULES_MAX, SUBMODULES_NESTED_MAX);
    if (!read_gitmodules(files, root, &gitmodules, err))
        return false;
    for (const struct submodule *module = modules; module; module = module->next) {
        AUTO(bytes_release) struct bytes said = BYTES(SUBMODULE_URL_MAX), url = BYTES(2 * SUBMODULE_URL_MAX);

        if (!submodules_url(bytes_span(&gitmodules), module->path, &said, err) ||
            !submodules_resolve(options->remote->url, bytes_span(&said), &url, err) ||
            !fill(files, module, url.data, options, nested, err))
            return error_wrap(err, "submodule '%s'", module->path);
    }
    return true;
}

bool submodules_fetch(struct files *files, const struct submodules_options *options, struct error *err)
{
    return fill_all(files, tree_root(files->tree), options, 1, err);
}

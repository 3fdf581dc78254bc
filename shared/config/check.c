#include "shared/config/settings.h"

#include <string.h>

#include "shared/config/template.h"
#include "shared/http/url.h"

enum { TEXT_MAX = 4096, DOCKERFILE_MAX = 512 * 1024, NAME_MAX_LENGTH = 63 };

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Are all characters letters, digits or one of `more`? */
static bool holds_only(struct span text, const char *more)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_letter(text.data[i]) && !is_digit(text.data[i]) && !strchr(more, text.data[i]))
            return false;
    return true;
}

bool check_any(struct span text, struct error *err)
{
    if (text.len == 0)
        return error_set(err, ERROR_INVALID, "must not be empty");
    if (text.len > TEXT_MAX)
        return error_set(err, ERROR_INVALID, "must not be longer than %d bytes", TEXT_MAX);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return error_set(err, ERROR_INVALID, "must not hold control characters");
    return true;
}

/* Names stand in URLs, labels, file names and events. */
bool check_name(struct span text, struct error *err)
{
    if (text.len > 0 && text.len <= NAME_MAX_LENGTH && holds_only(text, "._-") &&
        holds_only((struct span){ text.data, 1 }, ""))
        return true;
    return error_set(err, ERROR_INVALID,
                     "must be a name: 1 to %d letters, digits, '.', '_' or '-', the first a letter or digit",
                     NAME_MAX_LENGTH);
}

bool check_repository(struct span text, struct error *err)
{
    if (!check_any(text, err))
        return false;
    if (span_find(text, ' ') >= 0 || span_find(text, ':') >= 0 || span_starts(text, "/") || span_ends(text, "/") ||
        span_find(text, '/') < 0)
        return error_set(err, ERROR_INVALID, "must be the repository's full name at its host, such as \"acme/web\"");
    return true;
}

bool check_clone(struct span text, struct error *err)
{
    static const char *const schemes[] = { "https", "http", "file" };
    struct url url;
    if (!check_any(text, err))
        return false;
    if (!url_parse(text, &url, err)) /* the text itself may hold a password and is not repeated */
        return error_set(err, ERROR_INVALID, "must be a URL such as \"https://git.example.com/acme/web.git\"");
    if (url.userinfo.data)
        return error_set(err, ERROR_INVALID, "must not hold a user or password: give the source a 'token' instead");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (span_is(url.scheme, schemes[i]))
            return true;
    return error_set(err, ERROR_INVALID, "must start with https://, http:// or file://, not %.*s://",
                     SPAN_ARGS(url.scheme));
}

/* Of a file or directory of the repository: nothing may lead out of it. */
bool check_relative_path(struct span text, struct error *err)
{
    if (!check_any(text, err))
        return false;
    if (span_starts(text, "/"))
        return error_set(err, ERROR_INVALID, "must be relative to the repository's root, without a '/' in front");
    for (struct span rest = text, part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/'))
        if (span_is(part, ".."))
            return error_set(err, ERROR_INVALID, "must not lead out of the repository by '..'");
    return true;
}

bool check_dockerfile(struct span text, struct error *err)
{
    if (text.len > DOCKERFILE_MAX)
        return error_set(err, ERROR_INVALID, "must not be longer than %d bytes", DOCKERFILE_MAX);
    return span_trim(text).len > 0 ||
           error_set(err, ERROR_INVALID, "must be the text of a Dockerfile, such as \"FROM nginx:1.27\"");
}

bool check_template(struct span text, struct error *err)
{
    return text.len == 0 || (check_any(text, err) && template_check(text, err));
}

bool check_log_url(struct span text, struct error *err)
{
    if (!span_starts(text, "https://") && !span_starts(text, "http://"))
        return error_set(err, ERROR_INVALID, "a URL is needed, https://…");
    return check_template(text, err);
}

static bool gives_tag(struct span text, const struct template_values *sample)
{
    AUTO(bytes_release) struct bytes tag = BYTES(TEXT_MAX * 2);
    struct error err = { 0 };
    return template_expand(&tag, text, sample, &err) && reference_tag_is_legal(bytes_span(&tag));
}

/* Refs of any name are made legal when they are pushed; what is wrong whatever is pushed is a mistake of the file. */
bool check_tag_template(struct span text, struct error *err)
{
    static const struct template_values branch = { .branch = { "x", 1 },
                                                   .sha = { "0123456789abcdef", 16 },
                                                   .build = { "x", 1 } };
    struct template_values tag = branch;
    tag.tag = branch.branch;
    tag.branch = (struct span){ NULL, 0 };
    if (!check_any(text, err) || !template_check(text, err))
        return false;
    return gives_tag(text, &branch) || gives_tag(text, &tag) ||
           error_set(
               err, ERROR_INVALID,
               "gives no legal tag: letters, digits, '_', '.' and '-', neither '.' nor '-' in front, at most 128");
}

/* os/architecture[/variant], as "docker build --platform" takes it. */
bool check_platform(struct span text, struct error *err)
{
    size_t parts = 0;
    bool fine = text.len < 64;
    for (struct span rest = text, part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/'), parts++)
        fine = fine && part.len > 0 && holds_only(part, "._-");
    return (fine && (parts == 2 || parts == 3)) ||
           error_set(err, ERROR_INVALID, "must be a platform such as \"linux/amd64\" or \"linux/arm/v7\"");
}

bool check_host(struct span text, struct error *err)
{
    bool fine = text.len > 0 && text.len < 256 && holds_only(text, ".-:[]_");
    return fine || error_set(err, ERROR_INVALID,
                             "must be a host as image names write it, such as \"registry.example.com:5000\"");
}

/* Parts of a repository's name: what is wrong in finer ways is found when an image's name is put behind it. */
static bool is_prefix(struct span path)
{
    while (path.data) {
        struct span part = span_cut(&path, '/');
        for (size_t i = 0; i < part.len; i++)
            if (part.data[i] >= 'A' && part.data[i] <= 'Z')
                return false;
        if (part.len == 0 || !holds_only(part, "._-"))
            return false;
    }
    return true;
}

bool check_mirror(struct span text, struct error *err)
{
    struct span path = text, host = span_cut(&path, '/');
    return (check_host(host, err) && is_prefix(path)) ||
           error_set(err, ERROR_INVALID,
                     "must be a host with or without a path, such as \"mirror.example.com:5000\" or "
                     "\"cache.example.com/dockerhub\"");
}

/* Of the environment, and of a build argument. */
bool check_variable(struct span text, struct error *err)
{
    bool fine = text.len > 0 && text.len < 256 && holds_only(text, "_") && !is_digit(text.data[0]);
    return fine || error_set(err, ERROR_INVALID, "must be a variable's name: letters, digits and '_'");
}

bool check_cluster_name(struct span text, struct error *err)
{
    if (span_is(text, CLUSTER_LOCAL) || span_is(text, CLUSTER_IN_CLUSTER))
        return error_set(err, ERROR_INVALID, "'%.*s' is a cluster that needs no kubeconfig: give this one another name",
                         SPAN_ARGS(text));
    return check_name(text, err);
}

/* "apps/v1" or "v1". */
bool check_api_version(struct span text, struct error *err)
{
    struct span version = text, group = span_cut(&version, '/');
    return (check_name(group, err) && (!version.data || check_name(version, err))) ||
           error_set(err, ERROR_INVALID, "must be a group and version such as \"argoproj.io/v1alpha1\"");
}

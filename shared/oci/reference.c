#include "shared/oci/reference.h"

#include "shared/base/encode.h"

#include <string.h>
#include <strings.h>

/* distribution/reference: the path without the registry; a layout's directory may be as long as a path. */
enum { REPOSITORY_MAX = 255, DIRECTORY_MAX = 4096, TEXT_MAX = 8192, TAG_MAX = 128, HEX_DIGITS = 64 };

static const char docker_hub[] = "docker.io";
static const char layout_prefix[] = "oci:";
static const char digest_prefix[] = "sha256:";

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static struct span from(struct span s, size_t at)
{
    return (struct span){ s.data + at, s.len - at };
}

static struct span first(struct span s, size_t len)
{
    return (struct span){ s.data, len };
}

/* ---- grammar of the parts ---- */

bool reference_tag_is_legal(struct span tag)
{
    if (tag.len == 0 || tag.len > TAG_MAX)
        return false;
    for (size_t i = 0; i < tag.len; i++) {
        char c = tag.data[i];
        bool word = is_lower(c) || is_upper(c) || is_digit(c) || c == '_';
        if (!word && (i == 0 || (c != '.' && c != '-')))
            return false;
    }
    return true;
}

bool digest_is_legal(struct span digest)
{
    if (digest.len != strlen(digest_prefix) + HEX_DIGITS || !span_starts(digest, digest_prefix))
        return false;
    for (size_t i = strlen(digest_prefix); i < digest.len; i++)
        if (!is_lower_hex(digest.data[i]))
            return false;
    return true;
}

static bool label_is_legal(struct span label)
{
    for (size_t i = 0; i < label.len; i++) {
        char c = label.data[i];
        bool inner = c == '-' && i > 0 && i + 1 < label.len;
        if (!is_lower(c) && !is_upper(c) && !is_digit(c) && !inner)
            return false;
    }
    return label.len > 0;
}

static bool port_is_legal(struct span port)
{
    for (size_t i = 0; i < port.len; i++)
        if (!is_digit(port.data[i]))
            return false;
    return port.len > 0 && port.len <= 5;
}

static bool bracketed_is_legal(struct span host)
{
    long end = span_find(host, ']');
    if (end < 3)
        return false;
    for (long i = 1; i < end; i++)
        if (!strchr("0123456789abcdefABCDEF:", host.data[i]) || host.data[i] == '\0')
            return false;
    struct span tail = from(host, (size_t)end + 1);
    return tail.len == 0 || (tail.data[0] == ':' && port_is_legal(from(tail, 1)));
}

static bool registry_is_legal(struct span host)
{
    if (span_starts(host, "["))
        return bracketed_is_legal(host);
    long colon = span_find(host, ':');
    if (colon >= 0 && !port_is_legal(from(host, (size_t)colon + 1)))
        return false;
    struct span rest = colon < 0 ? host : first(host, (size_t)colon);
    if (rest.len > REPOSITORY_MAX)
        return false;
    while (rest.data)
        if (!label_is_legal(span_cut(&rest, '.')))
            return false;
    return true;
}

/* Between runs of letters and digits stand one dot, one or two underscores, or any number of hyphens. */
static size_t separator_length(struct span s)
{
    size_t n = 0;
    if (s.data[0] == '.')
        return 1;
    while (n < s.len && s.data[n] == s.data[0])
        n++;
    return s.data[0] == '-' || n <= 2 ? n : 0;
}

static bool component_is_legal(struct span part)
{
    size_t i = 0;
    while (i < part.len) {
        if (is_lower(part.data[i]) || is_digit(part.data[i])) {
            i++;
            continue;
        }
        bool separator = i > 0 && strchr("._-", part.data[i]) && part.data[i] != '\0';
        size_t n = separator ? separator_length(from(part, i)) : 0;
        i += n;
        if (n == 0 || i == part.len || !(is_lower(part.data[i]) || is_digit(part.data[i])))
            return false;
    }
    return part.len > 0;
}

static bool check_repository(struct span path, struct error *err)
{
    if (path.len > REPOSITORY_MAX)
        return error_set(err, ERROR_INVALID, "repository name is longer than %d characters", REPOSITORY_MAX);
    for (size_t i = 0; i < path.len; i++)
        if (is_upper(path.data[i]))
            return error_set(err, ERROR_INVALID, "repository name must be lower case");
    struct span rest = path;
    while (rest.data)
        if (!component_is_legal(span_cut(&rest, '/')))
            return error_set(err, ERROR_INVALID, "repository name is malformed");
    return true;
}

/* ---- cutting a text into its parts ---- */

struct parts {
    struct span registry, repository, tag, digest;
};

static bool cut_digest(struct span *rest, struct parts *parts, struct error *err)
{
    long at = span_find(*rest, '@');
    if (at < 0)
        return true;
    parts->digest = from(*rest, (size_t)at + 1);
    *rest = first(*rest, (size_t)at);
    if (digest_is_legal(parts->digest))
        return true;
    return error_set(err, span_starts(parts->digest, "sha512:") ? ERROR_UNSUPPORTED : ERROR_INVALID,
                     "digest must be sha256: and %d lower-case hexadecimal digits", HEX_DIGITS);
}

static bool cut_tag(struct span *rest, struct parts *parts, struct error *err)
{
    long colon = span_find_last(*rest, ':');
    if (colon < 0 || span_find(from(*rest, (size_t)colon), '/') >= 0)
        return true; /* none, or the port of a registry */
    parts->tag = from(*rest, (size_t)colon + 1);
    *rest = first(*rest, (size_t)colon);
    if (reference_tag_is_legal(parts->tag))
        return true;
    return error_set(err, ERROR_INVALID,
                     "tag must be 1 to %d letters, digits, '_', '.' or '-', and start with neither '.' nor '-'",
                     TAG_MAX);
}

/* A first part without dot, port or capitals is the first part of a repository at Docker Hub, unless it is
 * "localhost". */
static bool names_registry(struct span part)
{
    for (size_t i = 0; i < part.len; i++)
        if (is_upper(part.data[i]) || part.data[i] == '.' || part.data[i] == ':')
            return true;
    return span_is(part, "localhost");
}

static void cut_registry(struct span *rest, struct parts *parts)
{
    struct span path = *rest;
    struct span part = span_cut(&path, '/');
    parts->registry = span_of(docker_hub);
    if (!path.data || !names_registry(part))
        return;
    bool hub = span_is(part, docker_hub) || span_is(part, "index.docker.io");
    parts->registry = hub ? span_of(docker_hub) : part;
    *rest = path;
}

static bool is_bare_hex(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_lower_hex(text.data[i]))
            return false;
    return text.len == HEX_DIGITS;
}

static bool split(struct span text, struct parts *parts, struct error *err)
{
    struct span rest = text;
    if (is_bare_hex(text))
        return error_set(err, ERROR_INVALID, "a bare image id names no repository");
    if (!cut_digest(&rest, parts, err) || !cut_tag(&rest, parts, err))
        return false;
    cut_registry(&rest, parts);
    parts->repository = rest;
    if (!registry_is_legal(parts->registry))
        return error_set(err, ERROR_INVALID, "registry host is malformed");
    return check_repository(rest, err);
}

static bool split_layout(struct span text, struct parts *parts, struct error *err)
{
    struct span rest = from(text, strlen(layout_prefix));
    if (!cut_digest(&rest, parts, err) || !cut_tag(&rest, parts, err))
        return false;
    while (rest.len > 1 && rest.data[rest.len - 1] == '/')
        rest.len--;
    parts->repository = rest;
    for (size_t i = 0; i < rest.len; i++)
        if ((unsigned char)rest.data[i] < ' ' || rest.data[i] == 0x7f)
            return error_set(err, ERROR_INVALID, "layout directory holds a control character");
    if (rest.len == 0 || rest.len >= DIRECTORY_MAX)
        return error_set(err, ERROR_INVALID, "layout directory is %s", rest.len == 0 ? "missing" : "too long");
    return true;
}

/* ---- the reference ---- */

static bool dup_part(char **out, struct span part)
{
    *out = part.data ? span_dup(part) : NULL;
    return !part.data || *out;
}

static bool needs_library(const struct parts *parts)
{
    return parts->registry.data && span_is(parts->registry, docker_hub) && span_find(parts->repository, '/') < 0;
}

static bool keep(const struct parts *parts, struct reference *reference, struct error *err)
{
    AUTO(bytes_release) struct bytes repository = BYTES(TEXT_MAX);
    AUTO(reference_release) struct reference made = { .registry = NULL };
    if (!bytes_append_text(&repository, needs_library(parts) ? "library/" : "", err) ||
        !bytes_append_span(&repository, parts->repository, err))
        return false;
    if (needs_library(parts) && repository.len > REPOSITORY_MAX)
        return error_set(err, ERROR_INVALID, "repository name is longer than %d characters", REPOSITORY_MAX);
    if (!dup_part(&made.registry, parts->registry) || !dup_part(&made.repository, bytes_span(&repository)) ||
        !dup_part(&made.tag, parts->tag) || !dup_part(&made.digest, parts->digest))
        return error_set(err, ERROR_INTERNAL, "out of memory for an image name");
    *reference = made;
    made = (struct reference){ .registry = NULL };
    return true;
}

bool reference_parse(struct span text, struct reference *reference, struct error *err)
{
    struct parts parts = { .registry = { NULL, 0 } };
    if (text.len == 0)
        return error_set(err, ERROR_INVALID, "image name is empty");
    if (text.len > TEXT_MAX || span_find(text, '\0') >= 0)
        return error_set(err, ERROR_INVALID, "image name is %s", text.len > TEXT_MAX ? "too long" : "malformed");
    bool layout = span_starts(text, layout_prefix);
    if (layout ? !split_layout(text, &parts, err) : !split(text, &parts, err))
        return false;
    return keep(&parts, reference, err);
}

void reference_release(struct reference *reference)
{
    free(reference->registry);
    free(reference->repository);
    free(reference->tag);
    free(reference->digest);
    *reference = (struct reference){ .registry = NULL };
}

bool reference_copy_place(const struct reference *reference, struct reference *out)
{
    *out = (struct reference){ .registry = reference->registry ? strdup(reference->registry) : NULL,
                               .repository = strdup(reference->repository) };
    if (out->repository && (out->registry || !reference->registry))
        return true;
    reference_release(out);
    return false;
}

bool reference_is_layout(const struct reference *reference)
{
    return !reference->registry;
}

bool reference_name(struct bytes *out, const struct reference *reference, struct error *err)
{
    if (reference_is_layout(reference))
        return bytes_printf(out, err, "%s%s", layout_prefix, reference->repository);
    return bytes_printf(out, err, "%s/%s", reference->registry, reference->repository);
}

/* ---- package URLs (purl-spec, type oci) ---- */

static bool lower_last_part(struct bytes *out, const char *repository, struct error *err)
{
    const char *slash = strrchr(repository, '/');
    for (const char *p = slash ? slash + 1 : repository; *p; p++)
        if (!bytes_append_char(out, is_upper(*p) ? (char)(*p - 'A' + 'a') : *p, err))
            return false;
    return true;
}

static bool write_purl(struct bytes *out, const struct reference *reference, const char *digest, const char *tag,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes last = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes name = BYTES(TEXT_MAX);
    if (!lower_last_part(&last, reference->repository, err) || !reference_name(&name, reference, err))
        return false;
    return bytes_append_text(out, "pkg:oci/", err) && percent_encode(out, bytes_span(&last), "", err) &&
           (!digest || (bytes_append_char(out, '@', err) && percent_encode(out, span_of(digest), "", err))) &&
           bytes_append_text(out, "?repository_url=", err) && percent_encode(out, bytes_span(&name), "", err) &&
           (!tag || (bytes_append_text(out, "&tag=", err) && percent_encode(out, span_of(tag), "", err)));
}

bool reference_purl(struct bytes *out, const struct reference *reference, const char *digest, const char *tag,
                    struct error *err)
{
    AUTO(bytes_release) struct bytes purl = BYTES(4 * TEXT_MAX);
    if (digest && !digest_is_legal(span_of(digest)))
        return error_set(err, ERROR_INVALID, "digest is malformed");
    return write_purl(&purl, reference, digest, tag, err) && bytes_append_span(out, bytes_span(&purl), err);
}

struct purl_parts {
    struct bytes name, tag, digest;
    bool has_tag;
};

static void purl_parts_release(struct purl_parts *parts)
{
    bytes_release(&parts->name);
    bytes_release(&parts->tag);
    bytes_release(&parts->digest);
}
AUTO_RELEASE(struct purl_parts, purl_parts_release)

static bool read_qualifier(struct span pair, struct purl_parts *parts, struct error *err)
{
    struct span value = pair;
    struct span key = span_cut(&value, '=');
    bool is_tag = span_is(key, "tag");
    if (!value.data || (!is_tag && !span_is(key, "repository_url")))
        return true;
    struct bytes *into = is_tag ? &parts->tag : &parts->name;
    if (into->len > 0)
        return error_set(err, ERROR_INVALID, "qualifier '%.*s' stands twice", SPAN_ARGS(key));
    parts->has_tag = parts->has_tag || is_tag;
    return percent_decode(into, value, false, err);
}

static bool read_purl(struct span purl, struct purl_parts *parts, struct error *err)
{
    static const char prefix[] = "pkg:oci/";
    struct span head = purl;
    if (!span_starts(purl, prefix))
        return error_set(err, ERROR_INVALID, "not a package URL of type oci");
    head = span_cut(&head, '#');
    struct span query = head;
    head = span_cut(&query, '?');
    long at = span_find_last(head, '@');
    if (at >= 0 && !percent_decode(&parts->digest, from(head, (size_t)at + 1), false, err))
        return false;
    while (query.data)
        if (!read_qualifier(span_cut(&query, '&'), parts, err))
            return false;
    if (parts->name.len == 0)
        return error_set(err, ERROR_INVALID, "package URL names no repository_url");
    if (parts->digest.len > 0 && !digest_is_legal(bytes_span(&parts->digest)))
        return error_set(err, ERROR_INVALID, "package URL's version is not a sha256 digest");
    if (parts->has_tag && !reference_tag_is_legal(bytes_span(&parts->tag)))
        return error_set(err, ERROR_INVALID, "package URL's tag is malformed");
    return true;
}

bool reference_from_purl(struct span purl, struct reference *reference, struct error *err)
{
    AUTO(purl_parts_release) struct purl_parts parts = { BYTES(TEXT_MAX), BYTES(TEXT_MAX), BYTES(TEXT_MAX), false };
    AUTO(reference_release) struct reference made = { .registry = NULL };
    if (!read_purl(purl, &parts, err))
        return false;
    if (!reference_parse(bytes_span(&parts.name), &made, err))
        return error_wrap(err, "repository_url");
    if (made.tag || made.digest)
        return error_set(err, ERROR_INVALID, "repository_url holds a tag or digest");
    if ((parts.has_tag && !(made.tag = bytes_take(&parts.tag))) ||
        (parts.digest.len > 0 && !(made.digest = bytes_take(&parts.digest))))
        return error_set(err, ERROR_INTERNAL, "out of memory for an image name");
    *reference = made;
    made = (struct reference){ .registry = NULL };
    return true;
}

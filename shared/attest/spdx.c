#include "shared/attest/spdx.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"

#include <string.h>

enum { TEXT_MAX = 8 * PACKAGE_FIELD_MAX, ID_MAX = 48 };

#define IMAGE_ID "SPDXRef-Image"

static void id_of(char out[static ID_MAX], size_t number)
{
    snprintf(out, ID_MAX, "SPDXRef-Package-%zu", number + 1);
}

/* ---- package URLs: github.com/package-url/purl-spec, types deb, apk and rpm ---- */

static const struct {
    const char *type, *vendor; /* where os-release says none; NULL: then it has none */
} kinds[PACKAGE_KINDS] = {
    [PACKAGE_DEB] = { "deb", "debian" },
    [PACKAGE_APK] = { "apk", "alpine" },
    [PACKAGE_RPM] = { "rpm", NULL },
};

/* "?arch=amd64", "&distro=debian-12"; absent is left out. */
static bool qualify(struct bytes *out, char *separator, const char *key, struct span value, struct error *err)
{
    if (!value.data)
        return true;
    bool good = bytes_printf(out, err, "%c%s=", *separator, key) && percent_encode(out, value, "", err);

    *separator = '&';
    return good;
}

static bool write_distro(const struct spdx *spdx, struct bytes *out, struct error *err)
{
    const struct distribution *distribution = &spdx->distribution;

    return !distribution->id || (bytes_append_text(out, distribution->id, err) &&
                                 (!distribution->version || bytes_printf(out, err, "-%s", distribution->version)));
}

/* Who makes the distribution: mostly what its os-release calls itself, but for two of which scanners know the packages by their maker. */
static const char *vendor_of(const struct spdx *spdx, enum package_kind kind)
{
    const char *id = spdx->distribution.id;

    if (!id)
        return kinds[kind].vendor;
    if (kind == PACKAGE_RPM && strcmp(id, "rhel") == 0)
        return "redhat";
    return kind == PACKAGE_RPM && span_starts(span_of(id), "opensuse") ? "opensuse" : id;
}

static bool write_vendor(const struct spdx *spdx, enum package_kind kind, struct bytes *out, struct error *err)
{
    const char *vendor = vendor_of(spdx, kind);

    return !vendor || (percent_encode(out, span_of(vendor), "", err) && bytes_append_char(out, '/', err));
}

static bool write_purl(const struct spdx *spdx, const struct package *package, struct bytes *out, struct error *err)
{
    bool other = package->source && strcmp(package->source, package->name) != 0;
    AUTO(bytes_release) struct bytes distro = BYTES(TEXT_MAX);
    struct span version = span_of(package->version), epoch = { 0 };
    char separator = '?';

    if (package->kind == PACKAGE_RPM && span_find(version, ':') >= 0)
        epoch = span_cut(&version, ':');
    return write_distro(spdx, &distro, err) && bytes_printf(out, err, "pkg:%s/", kinds[package->kind].type) &&
           write_vendor(spdx, package->kind, out, err) && percent_encode(out, span_of(package->name), "", err) &&
           bytes_append_char(out, '@', err) && percent_encode(out, version, ":", err) &&
           qualify(out, &separator, "arch", span_of(package->architecture), err) &&
           qualify(out, &separator, "distro", span_of(distro.data), err) &&
           qualify(out, &separator, "epoch", epoch, err) &&
           qualify(out, &separator, "upstream", span_of(other ? package->source : NULL), err);
}

/* ---- packages ---- */

/* "Organization: Name (mail)" of "Name <mail>"; nothing of what does not look so. Of rpm's vendors, who have no mail, the name: what stands
 * behind that of some is an address on the web. */
static bool supplier_of(const struct package *package, struct bytes *out, struct error *err)
{
    struct span mail = span_of(package->maintainer), name = span_trim(span_cut(&mail, '<'));

    if (package->kind == PACKAGE_RPM) {
        name = span_trim(span_cut(&name, '('));
        return name.len == 0 || bytes_printf(out, err, "Organization: %.*s", SPAN_ARGS(name));
    }
    if (!mail.data || !span_ends(mail, ">") || name.len == 0)
        return true;
    mail.len--;
    return bytes_printf(out, err, "Organization: %.*s (%.*s)", SPAN_ARGS(name), SPAN_ARGS(mail));
}

static bool write_supplier(struct json_writer *w, const struct package *package, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(TEXT_MAX);

    if (package->maintainer && !supplier_of(package, &text, err))
        return false;
    if (text.len > 0)
        json_add_span(w, "supplier", bytes_span(&text));
    return true;
}

/* What every package must say, and we do not know. */
static void write_unknown(struct json_writer *w)
{
    json_add_string(w, "downloadLocation", "NOASSERTION");
    json_add_boolean(w, "filesAnalyzed", false);
    json_add_string(w, "licenseConcluded", "NOASSERTION");
    json_add_string(w, "licenseDeclared", "NOASSERTION");
    json_add_string(w, "copyrightText", "NOASSERTION");
}

static bool write_package(struct json_writer *w, const struct spdx *spdx, size_t number, struct error *err)
{
    const struct package *package = &spdx->packages->items[number];
    AUTO(bytes_release) struct bytes purl = BYTES(3 * TEXT_MAX);
    char id[ID_MAX];

    id_of(id, number);
    if (!write_purl(spdx, package, &purl, err))
        return false;
    json_open_object(w, NULL);
    json_add_string(w, "SPDXID", id);
    json_add_span(w, "name", span_of(package->name));
    json_add_span(w, "versionInfo", span_of(package->version));
    if (!write_supplier(w, package, err))
        return false;
    write_unknown(w);
    if (package->license)
        json_add_span(w, "licenseComments", span_of(package->license));
    json_open_array(w, "externalRefs");
    json_open_object(w, NULL);
    json_add_string(w, "referenceCategory", "PACKAGE-MANAGER");
    json_add_string(w, "referenceType", "purl");
    json_add_span(w, "referenceLocator", bytes_span(&purl));
    json_close_object(w);
    json_close_array(w);
    json_close_object(w);
    return true;
}

static void write_image(struct json_writer *w, const struct spdx *spdx)
{
    json_open_object(w, NULL);
    json_add_string(w, "SPDXID", IMAGE_ID);
    json_add_string(w, "name", *spdx->name ? spdx->name : "image");
    json_add_string(w, "versionInfo", spdx->digest);
    json_add_string(w, "primaryPackagePurpose", "CONTAINER");
    write_unknown(w);
    json_open_array(w, "checksums");
    json_open_object(w, NULL);
    json_add_string(w, "algorithm", "SHA256");
    json_add_string(w, "checksumValue", spdx->digest + strlen("sha256:"));
    json_close_object(w);
    json_close_array(w);
    json_close_object(w);
}

/* ---- the document ---- */

static void write_relationship(struct json_writer *w, const char *from, const char *type, const char *to)
{
    json_open_object(w, NULL);
    json_add_string(w, "spdxElementId", from);
    json_add_string(w, "relationshipType", type);
    json_add_string(w, "relatedSpdxElement", to);
    json_close_object(w);
}

static void write_relationships(struct json_writer *w, const struct spdx *spdx)
{
    json_open_array(w, "relationships");
    write_relationship(w, "SPDXRef-DOCUMENT", "DESCRIBES", IMAGE_ID);
    for (size_t i = 0; i < spdx->packages->count; i++) {
        char id[ID_MAX];

        id_of(id, i);
        write_relationship(w, IMAGE_ID, "CONTAINS", id);
    }
    json_close_array(w);
}

static bool write_head(struct json_writer *w, const struct spdx *spdx, struct error *err)
{
    AUTO(bytes_release) struct bytes namespace = BYTES(TEXT_MAX);
    char created[RFC3339_SIZE];

    rfc3339_format(created, spdx->time_s * 1000);
    if (!bytes_printf(&namespace, err, "https://pushwright.dev/spdx/%s", spdx->digest))
        return false;
    json_add_string(w, "spdxVersion", "SPDX-2.3");
    json_add_string(w, "dataLicense", "CC0-1.0");
    json_add_string(w, "SPDXID", "SPDXRef-DOCUMENT");
    json_add_string(w, "name", *spdx->name ? spdx->name : "image");
    json_add_string(w, "documentNamespace", namespace.data);
    json_add_string(w, "comment", spdx->comment);
    json_open_object(w, "creationInfo");
    json_add_string(w, "created", created);
    json_open_array(w, "creators");
    json_add_string(w, NULL, "Tool: pushwright");
    json_close_array(w);
    json_close_object(w);
    return true;
}

bool spdx_write(struct bytes *out, const struct spdx *spdx, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    if (!write_head(&w, spdx, err))
        return false;
    json_open_array(&w, "packages");
    write_image(&w, spdx);
    for (size_t i = 0; i < spdx->packages->count; i++) {
        if (!write_package(&w, spdx, i, err))
            return false;
    }
    json_close_array(&w);
    write_relationships(&w, spdx);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* What a registry lists page by page: referrers and tags. OCI distribution-spec 1.1, "Listing Referrers" and "Listing Tags". */
#include "shared/base/encode.h"
#include "shared/base/json.h"
#include "shared/oci/registry.h"

#include <string.h>

enum { PAGES_MAX = 1000, TREE_MAX = 16 * STORE_MANIFEST_MAX };

struct page {
    const char *url;
    const char *media_type; /* that the list has */
    bool optional;          /* not every registry has such a list */
    struct http_response *response;
    bool unknown;
};

/* What has no such list answers 404, or what it answers to any path that it does not know. */
static bool means_unknown(const struct http_response *response)
{
    static const int statuses[] = { 400, 404, 405, 501 };
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (response->status == statuses[i])
            return true;
    struct span type = http_response_header(response, "Content-Type");
    return response->status == 200 && !span_is(span_trim(span_cut(&type, ';')), MEDIA_OCI_INDEX);
}

static bool try_page(struct registry *registry, void *context, bool *final, struct error *err)
{
    (void) final;
    struct page *page = context;
    const struct http_header accept = { "Accept", page->media_type };
    const struct http_request request = {
        .method = "GET",
        .url = page->url,
        .headers = &accept,
        .header_count = 1,
        .body_max = STORE_MANIFEST_MAX,
        .timeout_ms = wire_short_ms(registry),
    };
    if (!wire_send(registry, &request, page->response, err))
        return false;
    page->unknown = page->optional && means_unknown(page->response);
    return page->unknown || page->response->status == 200 || wire_status_error(&request, page->response, err);
}

/* RFC 8288: Link: </v2/...?n=1>; rel="next". *url empty: the last page. */
static bool next_page(const struct registry *registry, const struct http_response *response, struct bytes *url,
                      struct error *err)
{
    struct span link = http_response_header(response, "Link"), rest = link;
    bool foreign;
    bytes_clear(url);
    (void)span_cut(&rest, '<');
    struct span target = span_cut(&rest, '>');
    if (!link.data || !target.data || !rest.data || !memmem(rest.data, rest.len, "next", 4))
        return true;
    if (!wire_resolve(registry, target, url, &foreign, err))
        return false;
    return !foreign || error_set(err, ERROR_DENIED, "the next page of the list is on another host");
}

struct tag_list {
    store_tag_fn *on_tag;
    void *context;
};

static bool tell_tags(void *context, struct span page, struct error *err)
{
    const struct tag_list *list = context;
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    const struct json *answer = json_parse(arena, page, err);
    if (!answer)
        return error_wrap(err, "the list of tags");
    for (const struct json *tag = json_first(json_get(answer, "tags")); tag; tag = json_next(tag))
        if (reference_tag_is_legal(span_of(json_string(tag))) && !list->on_tag(list->context, json_string(tag), err))
            return false;
    return true;
}

/* From the URL on, which is used up. */
static bool walk(struct registry *registry, struct bytes *url, struct page *page, referrers_page_fn *on_page,
                 void *context, bool *known, struct error *err)
{
    for (int i = 0; url->len > 0; i++) {
        page->url = bytes_text(url);
        if (i == PAGES_MAX)
            return error_set(err, ERROR_TOO_LARGE, "more than %d pages", PAGES_MAX);
        if (!wire_retry(registry, try_page, page, err))
            return false;
        *known = !page->unknown;
        if (page->unknown)
            return i == 0 || error_set(err, ERROR_UNAVAILABLE, "page %d of the list is missing", i + 1);
        if (!on_page(context, bytes_span(&page->response->body), err) || !next_page(registry, page->response, url, err))
            return false;
    }
    return true;
}

bool registry_list_referrers(void *self, const char *subject, const char *artifact_type, referrers_page_fn *on_page,
                             void *context, bool *known, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    struct page page = { .media_type = MEDIA_OCI_INDEX, .optional = true, .response = &response };
    return wire_url(self, &url, err, "referrers", subject) &&
           (!artifact_type || (bytes_append_text(&url, "?artifactType=", err) &&
                               percent_encode(&url, span_of(artifact_type), "", err))) &&
           walk(self, &url, &page, on_page, context, known, err);
}

bool registry_list_tags(void *self, store_tag_fn *on_tag, void *context, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    struct page page = { .media_type = "application/json", .response = &response };
    struct tag_list list = { on_tag, context };
    bool known;
    return wire_url(self, &url, err, "tags", "list") && walk(self, &url, &page, tell_tags, &list, &known, err);
}

/* What the clouds' login flows have in common: a request to one of their services, and its answer. Private to
 * shared/oci/cloud*.c. */
#ifndef PUSHWRIGHT_OCI_CLOUD_ASK_H
#define PUSHWRIGHT_OCI_CLOUD_ASK_H

#include "shared/base/json.h"
#include "shared/oci/cloud.h"

enum { CLOUD_URL_MAX = 8192, CLOUD_BODY_MAX = 3 * SECRET_MAX, CLOUD_ARENA_MAX = 4 * 1024 * 1024 };

/* One login on its way; what it reads lives in the arena. */
struct cloud_asking {
    const char *registry; /* host[:port] */
    bool plain_http;      /* it is spoken to by http */
    struct arena *arena;
    struct http_client *client;
    int64_t lifetime_s; /* of what comes out */
};

struct cloud_request {
    const char *method, *url;
    const struct http_header *headers;
    size_t header_count;
    struct span body;
    bool metadata; /* the metadata service of this machine: by http, past every proxy, and quick or not at all */
};

/* The answer's text, in the arena. Anything but 2xx is an error with what the service says about it; addresses that are
 * neither https nor loopback are refused unless it is a metadata service. */
const char *cloud_ask_text(struct cloud_asking *asking, const struct cloud_request *request, struct error *err);
const struct json *cloud_ask(struct cloud_asking *asking, const struct cloud_request *request, struct error *err);

/* The same for a form (application/x-www-form-urlencoded) by POST. */
struct cloud_field {
    const char *name, *value; /* value NULL: left out */
};
const char *cloud_ask_form(struct cloud_asking *asking, const char *url, const struct cloud_field *fields, size_t count,
                           struct error *err);

/* A member that must be there: ERROR_UNAVAILABLE "the answer of WHAT holds no NAME". */
const char *cloud_member(const struct json *answer, const char *name, const char *what, struct error *err);

/* "expires_in", a number or a text of one; an hour at most, a minute when it is missing. */
int64_t cloud_expires_in(const struct json *answer);

/* Content of a token file, trimmed, in the arena. */
const char *cloud_read_file(struct cloud_asking *asking, const char *path, struct error *err);

/* Of the environment; NULL when it is not set or empty. */
const char *cloud_variable(const char *name);

/* "USER:PASSWORD" */
struct secret *cloud_basic(const char *user, const char *password, struct error *err);

/* The flows; each gives what cloud_login gives. */
struct secret *cloud_login_ecr(struct cloud_asking *asking, struct error *err);
struct secret *cloud_login_gar(struct cloud_asking *asking, struct error *err);
struct secret *cloud_login_acr(struct cloud_asking *asking, struct error *err);

#endif

/* AWS Signature Version 4 ("Signing AWS API requests"): the Authorization header of one request. */
#ifndef PUSHWRIGHT_OCI_SIGV4_H
#define PUSHWRIGHT_OCI_SIGV4_H

#include "shared/http/client.h"

struct sigv4_request {
    const char *method, *path, *query; /* path and query already in canonical form; query "" when there is none */
    const struct http_header *headers; /* all that are signed, names in lower case and sorted; "host" among them */
    size_t header_count;
    struct span body;
    const char *time; /* as x-amz-date has it: "20150830T123600Z" */
    const char *region, *service;
    const char *key_id, *secret_key;
};

enum { SIGV4_TIME_SIZE = 17 };

void sigv4_time(int64_t wall_ms, char out[static SIGV4_TIME_SIZE]);

/* "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=..." */
bool sigv4_authorization(const struct sigv4_request *request, struct bytes *out, struct error *err);

#endif

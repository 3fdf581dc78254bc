/* Private to the service agent: what is remembered of a service, as a file and as the API tells it. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_RECORD_H
#define PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_RECORD_H

#include "shared/base/bytes.h"
#include "shared/oci/reference.h"

#include <stdint.h>

enum { RECORD_MAX = 128 * 1024, RECORD_NAME_MAX = 63, ANNOTATIONS_MAX = 32 * 1024, REASON_SIZE = 1000 };

/* What somebody asked to run. Strings are owned; image NULL: nothing. */
struct service_spec {
    char *image; /* as given, digest included */
    char *digest;
    char *service_port;      /* NULL: the kernel chooses once */
    char *annotations;       /* JSON object */
    unsigned container_port; /* 0: the image's first EXPOSE, else 80 */
    long ready_timeout_s;
};

void service_spec_release(struct service_spec *spec);
AUTO_RELEASE(struct service_spec, service_spec_release)
bool service_spec_copy(struct service_spec *out, const struct service_spec *spec, struct error *err);

/* The body of a PUT. ERROR_INVALID names the member. */
bool service_spec_parse(struct span body, struct service_spec *out, struct error *err);

/* The body of a PATCH: its annotations are added to those of the spec, or replace the ones of their names. */
bool service_spec_annotate(struct service_spec *spec, struct span body, struct error *err);

/* "127.0.0.1:8080" or "8080" or NULL: an IPv4 address and a port, 0: any. */
bool service_port_parse(const char *text, char address[static 16], unsigned *port, struct error *err);

enum service_state { SERVICE_STARTING, SERVICE_RUNNING, SERVICE_FAILED };

struct service_record {
    char namespace[RECORD_NAME_MAX + 1], name[RECORD_NAME_MAX + 1]; /* DNS labels: they are parts of paths as well */
    int64_t generation;
    enum service_state state;
    char reason[REASON_SIZE];
    char previous_digest[DIGEST_TEXT_SIZE]; /* of what ran before the generation came up */
    char address[16];                       /* of the front; port 0: it was never ready */
    unsigned port;
    struct service_spec wanted, running;
};

void service_record_release(struct service_record *record);
AUTO_RELEASE(struct service_record, service_record_release)

bool service_name_is_legal(struct span name);

/* For the API (everything of STATE), and for the file (running in full besides). */
bool service_record_tell(const struct service_record *record, struct bytes *out, struct error *err);
bool service_record_write(const struct service_record *record, const char *directory, struct error *err);
bool service_record_read(const char *path, struct service_record *out, struct error *err);
bool service_record_remove(const struct service_record *record, const char *directory, struct error *err);

#endif

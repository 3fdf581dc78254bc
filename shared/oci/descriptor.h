/* Descriptors of content at hand. Source: OCI image specification, descriptor.md. */
#ifndef PUSHWRIGHT_SHARED_OCI_DESCRIPTOR_H
#define PUSHWRIGHT_SHARED_OCI_DESCRIPTOR_H

#include "shared/base/json.h"
#include "shared/oci/store.h"

struct descriptor descriptor_of(const char *media_type, struct span content);

/* As a member; key NULL: as an element of an array. */
void descriptor_write(struct json_writer *w, const char *key, const struct descriptor *descriptor);

#endif

/* Ways into an object: JSON pointers (RFC 6901), and JSONPath as kubectl writes it, as far as it names one value. Private to shared/kube and
 * its tests. */
#ifndef PUSHWRIGHT_KUBE_PATH_H
#define PUSHWRIGHT_KUBE_PATH_H

#include "shared/base/bytes.h"
#include "shared/base/json.h"

enum { PATH_TEXT_MAX = 1024, PATH_DEPTH_MAX = 32 };

/* Follow the path; append the pointer of where it leads to. *value is NULL where only the last member is absent; *parent is what holds it.
 * ERROR_NOT_FOUND names the step that is not there, ERROR_INVALID what is wrong with the path. object NULL: only how it is written. */
bool path_follow(struct bytes *pointer, const struct json *object, struct span path, const struct json **parent,
                 const struct json **value, struct error *err);

/* "/a~1b" behind it. */
bool pointer_add(struct bytes *pointer, struct span member, struct error *err);

/* What the pointer leads to; NULL: nothing. */
const struct json *pointer_get(const struct json *object, const char *pointer);

#endif

/* YAML 1.1 documents as JSON trees (libyaml behind it): as much of it as configuration files of Kubernetes use. */
#ifndef PUSHWRIGHT_KUBE_YAML_H
#define PUSHWRIGHT_KUBE_YAML_H

#include "shared/base/json.h"

enum { YAML_TEXT_MAX = 4 * 1024 * 1024, YAML_DEPTH_MAX = 32, YAML_ANCHORS_MAX = 64 };

/* The first document of the text. Plain true, false, null, ~ and nothing are what they are in JSON; every other scalar, a number
 * too, is a string. Aliases stand for a copy of what they name, as long as all of it, written as JSON, stays below YAML_TEXT_MAX.
 * ERROR_INVALID with "line 3 column 7: ..." for what is malformed, nested deeper, a key twice, a key that is no scalar, a tag of its
 * own; ERROR_TOO_LARGE over a ceiling, the arena's too. Merge keys (<<) are members of that name, for yaml_member(). */
const struct json *yaml_parse(struct arena *arena, struct span text, struct error *err);

/* A member, or that of what is merged into the mapping; NULL: absent. */
const struct json *yaml_member(const struct json *mapping, const char *key);

#endif

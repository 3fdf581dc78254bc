/* The configuration as tables: every object of the file is a shape, every member of it a row. Private to shared/config and
 * its tests (which hold the tables against the schema). */
#ifndef PUSHWRIGHT_CONFIG_SETTINGS_H
#define PUSHWRIGHT_CONFIG_SETTINGS_H

#include "shared/base/arena.h"
#include "shared/base/json.h"
#include "shared/config/config.h"

/* What the configuration owns beside its arena. */
struct kept {
    struct kept *next;
    struct patterns *patterns;
    struct condition *condition;
};

/* A configuration as it is handed out, with what stands behind it. */
struct loaded {
    struct config config; /* first: config_free() finds the rest by it */
    struct arena *arena;
    struct kept *kept;
};

/* A member, or an element where that is NULL. */
struct path_step {
    const char *member;
    size_t index;
};
enum { PATH_STEPS_MAX = 16 }; /* more than the tables are deep */

/* One run over a file. */
struct reading {
    struct span text;
    struct loaded *into;
    struct config_mistakes *mistakes;
    struct path_step steps[PATH_STEPS_MAX]; /* to the present value */
    size_t depth;
    struct error out_of_memory; /* or another end of it all; kind NONE while all is well */
};

struct setting;
struct shape;

/* Take the value, which has the setting's type, into the item; what is wrong with it is noted. */
typedef void read_fn(struct reading *r, const struct setting *setting, const struct json *value, void *item);

/* Is the text fit for the setting? The error says what is wrong, without repeating what could be a secret. */
typedef bool check_fn(struct span text, struct error *err);

enum { REQUIRED = 1, OR_NUMBER = 2 };

enum { SETTINGS_MAX = 64 }; /* of one shape: tables.c is not compiled with more */
enum { ITEMS_MAX = 10000 }; /* of a list of objects: their names are compared each with each */

struct setting {
    const char *name;
    enum json_type type;
    unsigned flags;
    read_fn *read;
    size_t offset;             /* in the item, of where the value goes      */
    size_t count_offset;       /* of where a list's length goes             */
    check_fn *check;           /* of a text, or of each text of a list      */
    const struct shape *shape; /* of an object, or of each object of a list */
    int64_t min, max;          /* of a number                               */
};

struct shape {
    const char *what; /* "a build rule" */
    const struct setting *settings;
    size_t count;
    size_t size;             /* of an item where it stands in a list             */
    const void *defaults;    /* of an item; NULL: zeroes                         */
    const char *if_a_string; /* what to say where a string stands for the object */
    void (*check)(struct reading *r, const struct json *object, void *item); /* members against each other; or NULL */
};

extern const struct shape root_shape;

/* The engine (read.c). */
void read_members(struct reading *r, const struct shape *shape, const struct json *object, void *item);
read_fn read_text, read_boolean, read_long, read_unsigned, read_object, read_objects, read_texts, read_nothing;

/* Readers and checks of the parts of the file that have a form of their own (special.c, check.c). */
read_fn read_cache_mode, read_cloud, read_compression, read_isolation, read_media_types, read_source_kind,
    read_source_name, read_patterns, read_arguments, read_image, read_condition, read_port, read_cluster_name,
    read_image_form, read_strategy, read_cron;
check_fn check_any, check_name, check_repository, check_clone, check_relative_path, check_dockerfile, check_template,
    check_log_url, check_tag_template, check_platform, check_host, check_mirror, check_variable, check_cluster_name,
    check_api_version;

/* Note a mistake at the present path, or at the key of a member of it (NULL: the value itself). */
__attribute__((format(printf, 3, 4))) void mistake(struct reading *r, const char *member, const char *format, ...);
/* The same with what another module says; that memory is out is nobody's mistake. */
void mistake_of(struct reading *r, const char *member, const struct error *err);

/* Step into a member or element, and back out with what was returned. */
size_t path_enter(struct reading *r, const char *member);
size_t path_enter_element(struct reading *r, size_t index);
void path_leave(struct reading *r, size_t mark);

/* Memory that lives as long as the configuration; NULL when it is out, which is noted. */
void *keep_memory(struct reading *r, size_t size);
const char *keep_text(struct reading *r, struct span text);
struct patterns *keep_patterns(struct reading *r); /* an empty list */

#endif

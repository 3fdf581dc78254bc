#include "shared/config/config.h"

#include <fcntl.h>

#include "shared/base/file.h"
#include "tests/unit/shared/base/test.h"

static struct config *parse(const char *text)
{
    struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    struct config *config = config_parse(span_of(text), &mistakes, &err);
    if (!config)
        fail_msg("%s", err.message);
    assert_int_equal(mistakes.count, 0);
    return config;
}

/* One mistake a row: the piece of the file that is wrong, what is said about it, and where (line 1 but where it says so). */
#define SOURCE "{\"name\":\"s\",\"kind\":\"github\",\"secret\":{\"file\":\"/s\"}}"
#define BUILD_START                                                                                                    \
    "{\"sources\":[" SOURCE                                                                                            \
    "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/b\",\"clone\":\"https://h/a/b\","               \
    "\"image\":\"r.example/a/b\",\n"
#define BUILD(rest) BUILD_START rest "}]}"
#define TRIGGER_START "{\"triggers\":[{\"name\":\"t\",\"image\":\"r.example/a/b\",\n"
#define TRIGGER(rest) TRIGGER_START rest "}]}"
#define WHOLE_TRIGGER(rest)                                                                                            \
    TRIGGER_START "\"when\":{\"tags\":\"all\"},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}],\n" rest "}]}"
#define TARGET(rest) TRIGGER_START "\"when\":{\"tags\":\"all\"},\"deploy\":[{\n" rest "}]}]}"

static const struct {
    const char *text;
    size_t line, column;
    const char *says;
} mistakes_rows[] = {
    /* not JSON, or not an object */
    { "", 1, 1, "the text ends where a value is expected" },
    { "{\"sources\": [}", 1, 14, "a value is missing here" },
    { "{\n  \"a\": 1,\n  \"a\": 2\n}", 3, 3, "the key 'a' stands twice" },
    { " []", 1, 2, "the configuration must be an object, not a list" },
    /* members */
    { "{\"source\":[]}", 1, 2, "source: unknown member, did you mean 'sources'?" },
    { "{\n \"pipelines\":[]}", 2, 2,
      "pipelines: unknown member, the configuration has '$schema', 'sources', 'builds'" },
    { "{\"a.b[c\\\\\":1}", 1, 2, "a\\.b\\[c\\\\: unknown member" },
    { "{\"sources\":{}}", 1, 12, "sources: must be a list, not an object" },
    { "{\"sources\":[7]}", 1, 13, "sources[0]: must be an object (a source), not a number" },
    { "{\"chain\":[]}", 1, 10, "chain: must be an object, not a list" },
    { "{\"chain\":{}}", 1, 10, "chain: 'keys' is missing: 'chain' needs it" },
    { "{\"chain\":{\"keys\":[]}}", 1, 18, "chain.keys: must not be empty" },
    { "{\"api\":{\"token\":null}}", 1, 17, "api.token: must be an object, not null" },
    /* secrets */
    { "{\"api\":{\"token\":\"hunter2\"}}", 1, 17,
      "api.token: secrets are never in this file: name a file or a variable" },
    { "{\"chain\":{\"keys\":[\"hunter2\"]}}", 1, 19, "chain.keys[0]: secrets are never in this file" },
    { "{\"api\":{\"token\":{}}}", 1, 17, "api.token: names either a 'file' or a variable, 'env'" },
    { "{\"api\":{\"token\":{\"file\":\"/x\",\"env\":\"X\"}}}", 1, 17, "names either a 'file' or a variable" },
    { "{\"api\":{\"token\":{\"env\":\"MY-TOKEN\"}}}", 1, 24, "api.token.env: must be a variable's name" },
    { "{\"api\":{\"token\":{\"file\":\"\"}}}", 1, 25, "api.token.file: must not be empty" },
    { "{\"api\":{\"token\":{\"value\":\"hunter2\",\"env\":\"X\"}}}", 1, 18,
      "api.token.value: unknown member, the place of a secret has 'file' and 'env'" },
    /* sources */
    { "{\"sources\":[{\"name\":\"s\"}]}", 1, 13, "sources[0]: 'kind' is missing: a source needs it" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"githup\"}]}", 1, 32, "unknown kind 'githup': did you mean 'github'?" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"subversion\"}]}", 1, 32,
      "there are github, gitlab, gitea, forgejo and registry" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"gitea\"}]}", 1, 13,
      "source 's' has no secret: deliveries could not be verified" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"gitlab\"}]}", 1, 13, "has no secret" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"github\",\"secret\":{\"env\":\"A\"},\"signingSecret\":{\"env\":\"B\"}}]"
      "}",
      1, 62, "sources[0].signingSecret: only sources of kind 'gitlab'" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"github\",\"secret\":{\"env\":\"A\"},\"host\":\"h\"}]}", 1, 62,
      "only sources of kind 'registry'" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"github\",\"secret\":{\"env\":\"A\"},\"username\":\"u\"}]}", 1, 62,
      "sources[0].username: is of no use without a 'token'" },
    { "{\"sources\":[{\"name\":\"a b\",\"kind\":\"registry\"}]}", 1, 21,
      "sources[0].name: must be a name: 1 to 63 letters" },
    { "{\"sources\":[" SOURCE ",\n" SOURCE "]}", 2, 9, "sources[1].name: 's' is taken by sources[0]" },
    /* builds */
    { "{\"builds\":[{}]}", 1, 12, "builds[0]: 'name' is missing: a build rule needs it" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\n\"other\",\"repository\":\"a/"
      "b\",\"clone\":\"https://h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "there is no source 'other' in 'sources'" },
    { "{\"sources\":[{\"name\":\"gitserver\",\"kind\":\"github\",\"secret\":{\"file\":\"/"
      "s\"}}],\"builds\":[{\"name\":\"b\",\"source\":\n"
      "\"gitsrever\",\"repository\":\"a/b\",\"clone\":\"https://h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "did you mean 'gitserver'?" },
    { "{\"sources\":[{\"name\":\"s\",\"kind\":\"registry\"}],\"builds\":[{\"name\":\"b\",\n\"source\":\"s\","
      "\"repository\":\"a/b\",\"clone\":\"https://h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "source 's' is a registry: builds come from git hosts" },
    { "{\"sources\":[" SOURCE
      "],\"builds\":[\n{\"name\":\"b\",\"image\":\"r.io/x\",\"source\":\"s\",\"repository\":\"a/b\"}]}",
      2, 1, "builds[0]: 'clone' is missing: a build rule needs it, unless it has an 'inline' Dockerfile" },
    { "{\"sources\":[" SOURCE
      "],\"builds\":[{\"name\":\"b\",\"image\":\"r.io/x\",\"inline\":\"FROM x\",\n\"source\":\"s\"}]}",
      2, 1, "builds[0].source: an 'inline' Dockerfile is built without a repository" },
    { "{\"builds\":[{\"name\":\"b\",\"image\":\"r.io/x\",\n\"inline\":\" \"}]}", 2, 10,
      "builds[0].inline: must be the text of a Dockerfile" },
    { "{\"builds\":[{\"name\":\"b\",\"image\":\"r.io/x\",\"inline\":\"FROM x\",\n\"on\":{\"tags\":[\"v*\"]}}]}", 2, 1,
      "builds[0].on: an 'inline' Dockerfile is built without a repository, so that nobody pushes to it" },
    { "{\"builds\":[{\"name\":\"b\",\"image\":\"r.io/x\",\"inline\":\"FROM x\",\n\"context\":\".\"}]}", 2, 1,
      "builds[0].context: an 'inline' Dockerfile" },
    { BUILD("\"enabled\":\"no\""), 2, 11, "builds[0].enabled: must be true or false, not a string" },
    { BUILD("\"on\":{\"branches\":\"main\"}"), 2, 18, "builds[0].on.branches: must be a list, not a string" },
    { BUILD("\"on\":{\"branches\":[]}"), 2, 18, "an empty list would match nothing: leave 'branches' out" },
    { BUILD("\"on\":{\"tags\":[\"v*\",\"[\"]}"), 2, 20, "builds[0].on.tags[1]: glob '[' at offset 0: a class without" },
    { BUILD("\"on\":{\"tags\":[{\"regex\":\"(\"}]}"), 2, 15, "regular expression '(' at offset 1" },
    { BUILD("\"on\":{\"tags\":[{\"regexp\":\"x\"}]}"), 2, 15, "must be a glob in quotes, or {\"regex\"" },
    { BUILD("\"on\":{\"tags\":[1]}"), 2, 15, "must be a glob in quotes" },
    { BUILD("\"on\":{\"branch\":[\"main\"]}"), 2, 7, "builds[0].on.branch: unknown member, did you mean 'branches'?" },
    { BUILD("\"on\":{\"base\":\"yes\"}"), 2, 14, "builds[0].on.base: must be true or false" },
    { "{\"builds\":[{\"name\":\"b\",\"image\":\"oci:/x\",\"inline\":\"FROM x\",\n\"on\":{\"base\":true}}]}", 2, 1,
      "builds[0].on: 'base' needs an image at a registry" },
    { BUILD("\"dockerfile\":\"/Dockerfile\""), 2, 14, "must be relative to the repository's root" },
    { BUILD("\"context\":\"a/../..\""), 2, 11, "must not lead out of the repository" },
    { BUILD("\"args\":{\"1X\":\"y\"}"), 2, 9, "builds[0].args.1X: must be a variable's name" },
    { BUILD("\"args\":{\"X\":1}"), 2, 13, "builds[0].args.X: must be a string, not a number" },
    { BUILD("\"args\":{\"X\":\"{version}\"}"), 2, 13, "unknown placeholder '{version}': there are {branch}, {tag}" },
    { BUILD("\"tag\":\"{brnach}\""), 2, 7, "unknown placeholder '{brnach}': did you mean '{branch}'?" },
    { BUILD("\"tag\":\"{branch\""), 2, 7, "a '{' without its other half" },
    { BUILD("\"tag\":\"release {sha}\""), 2, 7, "gives no legal tag" },
    { BUILD("\"tag\":\"\""), 2, 7, "must not be empty" },
    { BUILD("\"also\":[\"latest\",\":x\"]"), 2, 18, "builds[0].also[1]: gives no legal tag" },
    { BUILD("\"also\":[null]"), 2, 9, "builds[0].also[0]: must be a string, not null" },
    { BUILD("\"platforms\":[\"amd64\"]"), 2, 14, "must be a platform such as \"linux/amd64\"" },
    { BUILD("\"timeoutSeconds\":0"), 2, 18, "must be a whole number from 1 to 86400" },
    { BUILD("\"timeoutSeconds\":1.5"), 2, 18, "must be a whole number" },
    { BUILD("\"target\":\"a\\nb\""), 2, 10, "must not hold control characters" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\n\"web\",\"clone\":"
      "\"https://h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "must be the repository's full name" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/"
      "b\",\"clone\":\n\"ssh://git@h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "must not hold a user or password" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/"
      "b\",\"clone\":\n\"ssh://h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "must start with https://, http:// or file://, not ssh://" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/"
      "b\",\"clone\":\n\"https://user:hunter2@h/x\",\"image\":\"r.io/x\"}]}",
      2, 1, "give the source a 'token' instead" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/"
      "b\",\"clone\":\n\"user:hunter2@h:x\",\"image\":\"r.io/x\"}]}",
      2, 1, "must be a URL such as" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/"
      "b\",\"clone\":\"https://h/x\",\"image\":\n\"r.io/x:1.0\"}]}",
      2, 1, "must be an image's name without the tag '1.0'" },
    { "{\"sources\":[" SOURCE "],\"builds\":[{\"name\":\"b\",\"source\":\"s\",\"repository\":\"a/"
      "b\",\"clone\":\"https://h/x\",\"image\":\n\"r.io/Upper\"}]}",
      2, 1, "repository name must be lower case" },
    /* triggers */
    { TRIGGER("\"when\":{\"tags\":\"all\"},\"deploy\":[]"), 2, 32, "triggers[0].deploy: must not be empty" },
    { TRIGGER("\"when\":{},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]"), 2, 8,
      "triggers[0].when: a condition is exactly one of" },
    { TRIGGER("\"when\":{\"tags\":[\"1.0\",\"a b\"]},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]"), 2, 23,
      "triggers[0].when.tags[1]: no image can have the tag 'a b'" },
    { TRIGGER("\"when\":{\"glob\":\"v*\",\"tags\":\"all\"},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]"), 2,
      21, "triggers[0].when.tags: one too many: a condition is exactly one of" },
    { TRIGGER("\"when\":{\"semvar\":\"1.x\"},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]"), 2, 9,
      "triggers[0].when.semvar: unknown condition: it is one of" },
    { TRIGGER(
          "\"when\":{\"tags\":\"all\",\"order\":\"numeric\"},\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]"),
      2, 22, "triggers[0].when.order: goes with a regular expression" },
    { TRIGGER("\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]"), 1, 14, "triggers[0]: 'when' is missing" },
    { TARGET("\"workload\":\"w\""), 2, 33, "'cluster' is missing: a target needs it" },
    { TARGET("\"cluster\":\"prod\",\"workload\":\"w\""), 3, 11,
      "there is no cluster 'prod': want \"in-cluster\", \"local\", or a name in 'clusters'" },
    { TARGET("\"cluster\":\"in_cluster\",\"workload\":\"w\""), 3, 11, "did you mean 'in-cluster'?" },
    { "{\"clusters\":[{\"name\":\"paris\",\"kubeconfig\":{\"file\":\"/"
      "k\"}}],\"triggers\":[{\"name\":\"t\",\"image\":\"i\","
      "\"when\":{\"tags\":\"all\"},\"deploy\":[\n{\"cluster\":\"pariss\",\"workload\":\"w\"}]}]}",
      2, 12, "did you mean 'paris'?" },
    { TARGET("\"cluster\":\"local\""), 2, 33, "'workload' is missing: a target needs it" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\"force\":true"), 3, 34, "is of no use with cluster 'local'" },
    { TARGET("\"cluster\":\"in-cluster\",\"workload\":\"w\",\"servicePort\":80"), 3, 39,
      "is for cluster 'local' alone" },
    { TARGET("\"cluster\":\"in-cluster\",\"workload\":\"w\",\"kind\":\"Rollout\""), 3, 39,
      "kind 'Rollout' is none that every cluster has: say its 'apiVersion' too" },
    { TARGET("\"cluster\":\"in-cluster\",\"workload\":\"w\",\"apiVersion\":\"a/b/c\""), 3, 52,
      "must be a group and version" },
    { TARGET("\"cluster\":\"in-cluster\",\"workload\":\"w\",\"write\":\"sha\""), 3, 47, "must be \"tag@digest\"" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\n\"freeze\":[{\"from\":\"0 25 * * *\",\"to\":\"0 8 * * 1\"}]"),
      4, 19, "freeze[0].from: '25' is no hour: want 0 to 23" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\n\"freeze\":[{\"from\":\"0 5 * * *\"}]"), 4, 11,
      "freeze[0]: 'to' is missing: a freeze needs it" },
    { WHOLE_TRIGGER("\"freeze\":[{\"from\":\"0 5 * * *\",\"to\":\"0 6 * * *\",\n\"timeZone\":\"Europe/Berln\"}]"), 4,
      12, "'/usr/share/zoneinfo/Europe/Berln'" },
    { WHOLE_TRIGGER("\"freeze\":[{\"from\":\"0 5 * * *\",\"to\":\"0 6 * * *\",\n\"timeZone\":\"Berlin time\"}]"), 4, 12,
      "'Berlin time' is no time zone: want a name" },
    { WHOLE_TRIGGER("\"strategy\":\"canary\""), 3, 12, "must be \"parallel\", \"ordered\" or \"all-or-nothing\"" },
    { TARGET("\"cluster\":\"in-cluster\",\"workload\":\"w\",\"container\":\"c\",\"path\":\"/spec/image\""), 3, 55,
      "takes the place of 'container'" },
    { "{\"clusters\":[{\"name\":\"local\",\"kubeconfig\":{\"file\":\"/k\"}}]}", 1, 22,
      "'local' is a cluster that needs no kubeconfig" },
    { "{\"clusters\":[{\"name\":\"c\",\"kubeconfig\":\"/k\"}]}", 1, 39, "name a file, as {\"file\"" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\"servicePort\":\"http\""), 3, 48,
      "must be a port, or an address and a port" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\"servicePort\":70000"), 3, 48, "must be a port" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\"servicePort\":\"a b:80\""), 3, 48, "must be a port" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\"servicePort\":\":80\""), 3, 48, "must be a port" },
    { TARGET("\"cluster\":\"local\",\"workload\":\"w\",\"containerPort\":65536"), 3, 50, "from 1 to 65535" },
    { BUILD("\"compression\":\"xz\""), 2, 15, "must be \"gzip\" or \"zstd\"" },
    /* registries */
    { "{\"registries\":[{\"host\":\"https://r\"}]}", 1, 24, "must be a host as image names write it" },
    { "{\"registries\":[{\"host\":\"r\",\"username\":\"u\"}]}", 1, 16, "'username' and 'password' belong together" },
    { "{\"registries\":[{\"host\":\"r\",\"username\":\"u\",\"password\":\"hunter2\"}]}", 1, 54,
      "secrets are never in this file" },
    { "{\"registries\":[{\"host\":\"r\",\"username\":\"u\",\"password\":{\"env\":\"P\"},\"dockerConfig\":{\"env\":"
      "\"P\"}}]}",
      1, 66, "takes the place of" },
    { "{\"registries\":[{\"host\":\"r\",\"credentials\":\"aws\"}]}", 1, 42,
      "unknown credentials 'aws': there are ecr (Amazon), gar (Google) and acr (Azure)" },
    { "{\"registries\":[{\"host\":\"r\",\"credentials\":\"acr\",\"dockerConfig\":{\"env\":\"P\"}}]}", 1, 28,
      "registries[0].credentials: takes the place of" },
    { "{\"registries\":[{\"host\":\"r\",\"mirrors\":[\"m:5000/hub\",\"https://m\"]}]}", 1, 52,
      "registries[0].mirrors[1]: must be a host with or without a path" },
    { "{\"registries\":[{\"host\":\"r\",\"mirrors\":[\"m:5000/Hub\"]}]}", 1, 39,
      "must be a host with or without a path" },
    { "{\"registries\":[{\"host\":\"r\"},{\"host\":\"r\"}]}", 1, 37,
      "registries[1].host: 'r' is taken by registries[0]" },
    { "{\"registries\":[{\"host\":\"r\",\"layout\":\"/x\",\"plainHttp\":true}]}", 1, 42,
      "registries[0].plainHttp: is of no use with 'layout'" },
};

static void every_mistake_is_told_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes_rows); i++) {
        AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
        struct error err = { 0 };
        AUTO(config_free) struct config *config = config_parse(span_of(mistakes_rows[i].text), &mistakes, &err);
        bool found = false;
        for (size_t k = 0; k < mistakes.count && !found; k++)
            found = strstr(mistakes.items[k].text, mistakes_rows[i].says) &&
                    mistakes.items[k].line == mistakes_rows[i].line &&
                    mistakes.items[k].column == mistakes_rows[i].column;
        if (config || !found)
            fail_msg("%s\nwanted %zu:%zu %s\ngot %zu mistakes, first %s", mistakes_rows[i].text, mistakes_rows[i].line,
                     mistakes_rows[i].column, mistakes_rows[i].says, mistakes.count, err.message);
        assert_int_equal(err.kind, ERROR_INVALID);
        for (size_t k = 0; k < mistakes.count; k++)
            if (strstr(mistakes.items[k].text, "hunter2"))
                fail_msg("a secret is told: %s", mistakes.items[k].text);
    }
}

static void one_mistake_is_told_once(void **state)
{
    (void)state;
    static const char *const several[] = { "{\"builds\":[{}]}" }; /* five members are missing */
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    assert_null(config_parse(span_of(several[0]), &mistakes, &err));
    assert_int_equal(mistakes.count, 5);
    for (size_t i = 0; i < COUNT(mistakes_rows); i++) {
        config_mistakes_release(&mistakes);
        if (strcmp(mistakes_rows[i].text, several[0]) == 0)
            continue;
        assert_null(config_parse(span_of(mistakes_rows[i].text), &mistakes, &err));
        if (mistakes.count != 1)
            fail_msg("%s: %zu mistakes, also %s", mistakes_rows[i].text, mistakes.count, mistakes.items[1].text);
    }
}

static void all_mistakes_come_at_once_in_the_order_of_the_file(void **state)
{
    (void)state;
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    assert_null(
        config_parse(SPAN("{\"triggers\": 1,\n\"sources\": [{\"name\": \"s\", \"kind\": \"x\"}],\n\n\"bulids\": []}"),
                     &mistakes, &err));
    assert_int_equal(mistakes.count, 3);
    assert_int_equal(mistakes.items[0].line, 1);
    assert_int_equal(mistakes.items[1].line, 2);
    assert_int_equal(mistakes.items[2].line, 4);
    assert_error(err, ERROR_INVALID, "line 1 column 14: triggers: must be a list, not a number");
}

static void every_mistake_of_one_condition_has_its_own_place(void **state)
{
    (void)state;
    static const struct {
        size_t line, column;
        const char *says;
    } rows[] = {
        { 3, 9, "when.tags[0]: must be a tag in quotes, not a number" },
        { 3, 15, "when.tags[2]: must be a tag in quotes, not an empty string" },
        { 3, 18, "when.tags[3]: no image can have the tag '-x'" },
        { 4, 1, "when.semvar: unknown condition" },
        { 5, 9, "when.deny[0]: glob '['" },
        { 5, 13, "when.deny[1]: must be a glob in quotes, not null" },
        { 6, 9, "when.order: must be \"numeric\" or \"calendar\"" },
    };
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    assert_null(config_parse(SPAN(TRIGGER("\"when\":{\n\"tags\":[1,\"a\",\"\",\"-x\"],\n\"semvar\":\"1.x\",\n"
                                          "\"deny\":[\"[\",null],\n\"order\":\"size\"},"
                                          "\"deploy\":[{\"cluster\":\"local\",\"workload\":\"w\"}]")),
                             &mistakes, &err));
    assert_int_equal(mistakes.count, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(mistakes.items[i].line, rows[i].line);
        assert_int_equal(mistakes.items[i].column, rows[i].column);
        assert_non_null(strstr(mistakes.items[i].text, rows[i].says));
    }
}

static void at_most_a_hundred_mistakes(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(100000);
    struct error err = { 0 };
    assert_true(bytes_append_text(&text, "{\"sources\":[0", &err));
    for (int i = 0; i < 500; i++)
        assert_true(bytes_append_text(&text, ",0", &err));
    assert_true(bytes_append_text(&text, "]}", &err));
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    assert_null(config_parse(bytes_span(&text), &mistakes, &err));
    assert_int_equal(mistakes.count, 100);
}

static void a_list_has_a_ceiling(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes text = BYTES(1 << 20);
    struct error err = { 0 };
    assert_true(bytes_append_text(&text, "{\"registries\":[{\"host\":\"r\"}", &err));
    for (int i = 0; i < 10000; i++)
        assert_true(bytes_append_text(&text, ",{\"host\":\"r\"}", &err));
    assert_true(bytes_append_text(&text, "]}", &err));
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    assert_null(config_parse(bytes_span(&text), &mistakes, &err));
    assert_error(err, ERROR_INVALID, "registries: must not hold more than 10000 items");
}

static void a_file_has_a_ceiling(void **state)
{
    (void)state;
    static char large[CONFIG_MAX + 1];
    memset(large, ' ', sizeof large);
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    assert_null(config_parse((struct span){ large, sizeof large }, &mistakes, &err));
    assert_error(err, ERROR_TOO_LARGE, "4194304");
}

static void defaults_are_what_the_header_says(void **state)
{
    (void)state;
    AUTO(config_free) struct config *config = parse(BUILD("\"on\":{}"));
    const struct config_build *build = config_find_build(config, "b");
    struct error err = { 0 };
    bool matched = false;
    assert_ptr_equal(build->source, config_find_source(config, "s"));
    assert_true(build->enabled);
    assert_true(build->honour_skip);
    assert_string_equal(build->dockerfile, "Dockerfile");
    assert_string_equal(build->context, ".");
    assert_string_equal(build->tag, "{ref}-{time}-{sha:7}");
    assert_int_equal(build->timeout_s, 1800);
    assert_null(build->target);
    assert_int_equal(build->arg_count + build->also_count, 0);
    assert_int_equal(build->platform_count, 1);
    assert_memory_equal(build->platforms[0], "linux/", 6);
    assert_true(patterns_match(build->branches, SPAN("any/branch"), &matched, &err));
    assert_true(matched);
    assert_null(build->tags);
    assert_null(build->paths);

    AUTO(config_free) struct config *triggers = parse(TARGET("\"cluster\":\"local\",\"workload\":\"w\""));
    const struct config_trigger *trigger = config_find_trigger(triggers, "t");
    assert_true(trigger->enabled);
    assert_int_equal(trigger->targets[0].ready_timeout_s, 60);
    assert_int_equal(trigger->targets[0].container_port, 0);
    assert_null(trigger->targets[0].service_port);
}

static void only_tags_means_no_branch(void **state)
{
    (void)state;
    AUTO(config_free) struct config *config = parse(BUILD("\"on\":{\"tags\":[\"v*\"]}"));
    assert_null(config->builds[0].branches);
    assert_int_equal(patterns_count(config->builds[0].tags), 1);
}

static void an_empty_configuration_is_one(void **state)
{
    (void)state;
    AUTO(config_free) struct config *config = parse("{}");
    assert_int_equal(config->source_count + config->build_count + config->trigger_count + config->registry_count, 0);
    assert_null(config_find_build(config, "x"));
    assert_null(config_find_trigger(config, "x"));
    assert_null(config_find_source(config, "x"));
    assert_false(secret_reference_is_set(&config->api_token));
}

static void images_are_normalised(void **state)
{
    (void)state;
    AUTO(config_free)
    struct config *config = parse("{\"triggers\":[{\"name\":\"t\",\"image\":\"nginx\",\"when\":{\"tags\":\"all\"},"
                                  "\"deploy\":[{\"cluster\":\"local\","
                                  "\"workload\":\"w\",\"servicePort\":8080}]}]}");
    assert_string_equal(config->triggers[0].image, "docker.io/library/nginx");
    assert_string_equal(config->triggers[0].targets[0].service_port, "8080");
}

static void the_example_is_read_whole(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(config_free) struct config *config = config_load("templates/config/example.json", &err);
    if (!config)
        fail_msg("%s", err.message);
    assert_int_equal(config->source_count, 3);
    assert_int_equal(config->sources[0].kind, SOURCE_GITHUB);
    assert_string_equal(config->sources[0].secret.file, "/secrets/github");
    assert_string_equal(config->sources[0].token.env, "GITHUB_TOKEN");
    assert_string_equal(config->sources[1].signing_secret.file, "/secrets/gitlab");
    assert_string_equal(config->sources[1].username, "deploy");
    assert_string_equal(config->sources[1].ca_file, "/etc/pushwright/company-ca.pem");
    assert_string_equal(config->sources[2].host, "registry.example.com");
    const struct config_build *build = config_find_build(config, "helloworld");
    assert_string_equal(build->repository, "acme/helloworld");
    assert_string_equal(build->clone, "https://github.com/acme/helloworld.git");
    assert_int_equal(patterns_count(build->branches), 3);
    assert_int_equal(patterns_count(build->paths), 3);
    assert_int_equal(build->arg_count, 2);
    assert_string_equal(build->args[1].name, "COMMIT");
    assert_string_equal(build->args[1].value, "{sha}");
    assert_string_equal(build->platforms[0], "linux/amd64");
    assert_string_equal(build->also[0], "latest");
    assert_int_equal(build->timeout_s, 900);
    assert_false(config_find_build(config, "docs")->enabled);
    assert_false(config_find_build(config, "docs")->honour_skip);
    assert_string_equal(config_find_build(config, "docs")->target, "web");
    const struct config_trigger *trigger = config_find_trigger(config, "helloworld-web");
    assert_string_equal(trigger->image, build->image);
    assert_string_equal(trigger->targets[0].service_port, "127.0.0.1:8080");
    assert_int_equal(trigger->targets[0].container_port, 80);
    assert_int_equal(trigger->targets[0].ready_timeout_s, 30);
    assert_int_equal(config->registry_count, 5);
    assert_int_equal(config->registries[2].credentials, CLOUD_ECR);
    assert_true(config->registries[3].plain_http);
    assert_string_equal(config->registries[4].layout, "/var/lib/pushwright/images");
    assert_int_equal(config->chain_key_count, 2);
    assert_string_equal(config->chain_keys[1].env, "PREVIOUS_CHAIN_KEY");
    assert_string_equal(config->api_token.env, "PUSHWRIGHT_TOKEN");
}

static void loading_names_the_file_and_its_mistakes(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("pushwright-config-test", &err);
    char path[512], expected[1200];
    snprintf(path, sizeof path, "%s/pushwright.json", directory);
    assert_null(config_load(path, &err));
    assert_error(err, ERROR_NOT_FOUND, path);
    assert_true(file_write_atomic(path, SPAN("{\"x\":1,\n\"sources\":2}"), 0600, &err));
    setenv("PUSHWRIGHT_CONFIG", path, 1);
    assert_null(config_load(NULL, &err));
    snprintf(expected, sizeof expected,
             "configuration '%s' has 2 mistakes, the first: line 1 column 2: x: unknown member, ", path);
    assert_error(err, ERROR_INVALID, expected);
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    assert_null(config_read(config_path(), &mistakes, &err));
    assert_int_equal(mistakes.count, 2);
    assert_int_equal(mistakes.items[1].line, 2);
    assert_string_equal(mistakes.items[1].text, "sources: must be a list, not a number");
    assert_true(file_write_atomic(path, SPAN("{}"), 0600, &err));
    AUTO(config_free) struct config *config = config_load(NULL, &err);
    assert_non_null(config);
    unsetenv("PUSHWRIGHT_CONFIG");
    assert_null(config_load(NULL, &err));
    assert_error(err, ERROR_NOT_FOUND, "/etc/pushwright/pushwright.json");
    assert_true(directory_remove(directory, &err));
}

static void logins_bring_their_secrets(void **state)
{
    (void)state;
    AUTO(config_free)
    struct config *config = parse(
        "{\"registries\":[{\"host\":\"r:5000\",\"username\":\"u\",\"password\":{\"env\":\"PUSHWRIGHT_TEST_PASSWORD\"},"
        "\"caFile\":\"/ca\"},{\"host\":\"q\",\"plainHttp\":true},{\"host\":\"l\",\"layout\":\"/d\"}]}");
    struct error err = { 0 };
    unsetenv("PUSHWRIGHT_TEST_PASSWORD");
    assert_null(config_registry_logins(config, &err));
    assert_error(err, ERROR_NOT_FOUND,
                 "login of registry 'r:5000': secret variable 'PUSHWRIGHT_TEST_PASSWORD' is not set");
    setenv("PUSHWRIGHT_TEST_PASSWORD", "hunter2", 1);
    AUTO(registry_logins_free) struct registry_logins *logins = config_registry_logins(config, &err);
    assert_non_null(logins);
    struct registry_options options = registry_logins_options(logins);
    assert_false(options.push);
    assert_non_null(options.session);
    assert_int_equal(options.login_count, 3);
    assert_string_equal(options.logins[0].host, "r:5000");
    assert_string_equal(options.logins[0].username, "u");
    assert_string_equal(options.logins[0].ca_file, "/ca");
    assert_true(secret_equal(options.logins[0].password, SPAN("hunter2")));
    assert_null(options.logins[0].docker_config);
    assert_true(options.logins[1].plain_http);
    assert_null(options.logins[1].password);
    assert_string_equal(options.logins[2].layout, "/d");
}

static void an_unset_secret_is_not_loaded(void **state)
{
    (void)state;
    struct error err = { 0 };
    const struct secret_reference none = { NULL, NULL };
    assert_null(secret_reference_load(&none, &err));
    assert_error(err, ERROR_NOT_FOUND, "no secret is configured");
}

static void kinds_have_their_names(void **state)
{
    (void)state;
    assert_string_equal(source_kind_name(SOURCE_GITHUB), "github");
    assert_string_equal(source_kind_name(SOURCE_REGISTRY), "registry");
}

static void targets_on_kubernetes_say_where_and_how(void **state)
{
    (void)state;
    AUTO(config_free)
    struct config *config =
        parse("{\"clusters\":[{\"name\":\"paris\",\"kubeconfig\":{\"file\":\"/secrets/paris\"},\"context\":\"admin\"},"
              "{\"name\":\"lab\",\"kubeconfig\":{\"file\":\"lab\"},\"insecure\":true}],"
              "\"triggers\":[{\"name\":\"t\",\"image\":\"r.io/b\",\"when\":{\"tags\":\"all\"},\"deploy\":["
              "{\"cluster\":\"in-cluster\",\"workload\":\"web\",\"container\":\"nginx\"},"
              "{\"cluster\":\"paris\",\"namespace\":\"shop\",\"kind\":\"Rollout\",\"apiVersion\":\"argoproj.io/"
              "v1alpha1\",\"plural\":"
              "\"rollouts\",\"workload\":\"web\",\"path\":\"/spec/"
              "image\",\"write\":\"digest\",\"timeoutSeconds\":90,\"force\":true},"
              "{\"cluster\":\"local\",\"workload\":\"w\"}]}]}");
    const struct config_target *targets = config->triggers[0].targets;
    assert_string_equal(targets[0].cluster, CLUSTER_IN_CLUSTER);
    assert_null(targets[0].outside);
    assert_string_equal(targets[0].kind, "Deployment");
    assert_null(targets[0].api_version);
    assert_int_equal(targets[0].write, IMAGE_TAG_DIGEST);
    assert_int_equal(targets[0].timeout_s, 0);
    assert_ptr_equal(targets[1].outside, &config->clusters[0]);
    assert_string_equal(targets[1].outside->kubeconfig, "/secrets/paris");
    assert_string_equal(targets[1].outside->context, "admin");
    assert_false(targets[1].outside->insecure);
    assert_string_equal(targets[1].api_version, "argoproj.io/v1alpha1");
    assert_string_equal(targets[1].plural, "rollouts");
    assert_string_equal(targets[1].path, "/spec/image");
    assert_int_equal(targets[1].write, IMAGE_DIGEST);
    assert_int_equal(targets[1].timeout_s, 90);
    assert_true(targets[1].force);
    assert_string_equal(targets[2].kind, "Service");
    assert_true(config->clusters[1].insecure);
    assert_null(config->clusters[1].context);
}

static void strategies_and_freezes_are_read(void **state)
{
    (void)state;
    AUTO(config_free)
    struct config *config = parse(
        "{\"triggers\":[{\"name\":\"t\",\"image\":\"r.io/b\",\"when\":{\"tags\":\"all\"},\"strategy\":\"ordered\","
        "\"freeze\":[{\"from\":\"0 18 * * fri\",\"to\":\"0 8 * * 1\",\"timeZone\":\"CET-1CEST,M3.5.0,M10.5.0/3\"}],"
        "\"deploy\":[{\"cluster\":\"local\",\"workload\":\"a\"},{\"cluster\":\"local\",\"workload\":\"b\","
        "\"freeze\":[{\"from\":\"0 0 20 12 *\",\"to\":\"0 0 2 1 *\"}]}]},"
        "{\"name\":\"u\",\"image\":\"r.io/b\",\"when\":{\"tags\":\"all\"},\"strategy\":\"all-or-nothing\","
        "\"deploy\":[{\"cluster\":\"local\",\"workload\":\"a\"}]}]}");
    const struct config_trigger *trigger = &config->triggers[0];
    assert_int_equal(trigger->strategy, STRATEGY_ORDERED);
    assert_int_equal(config->triggers[1].strategy, STRATEGY_ALL_OR_NOTHING);
    assert_int_equal(trigger->freeze_count, 1);
    assert_string_equal(trigger->freezes[0].zone, "CET-1CEST,M3.5.0,M10.5.0/3");
    assert_int_equal(trigger->freezes[0].from.fields[CRON_WEEKDAY], 1 << 5);
    assert_int_equal(trigger->targets[0].freeze_count, 0);
    assert_int_equal(trigger->targets[1].freeze_count, 1);
    assert_null(trigger->targets[1].freezes[0].zone);
    assert_int_equal(trigger->targets[1].freezes[0].to.fields[CRON_DAY], 1 << 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_on_kubernetes_say_where_and_how),
        cmocka_unit_test(strategies_and_freezes_are_read),
        cmocka_unit_test(every_mistake_is_told_with_its_place),
        cmocka_unit_test(one_mistake_is_told_once),
        cmocka_unit_test(all_mistakes_come_at_once_in_the_order_of_the_file),
        cmocka_unit_test(every_mistake_of_one_condition_has_its_own_place),
        cmocka_unit_test(at_most_a_hundred_mistakes),
        cmocka_unit_test(a_list_has_a_ceiling),
        cmocka_unit_test(a_file_has_a_ceiling),
        cmocka_unit_test(defaults_are_what_the_header_says),
        cmocka_unit_test(only_tags_means_no_branch),
        cmocka_unit_test(an_empty_configuration_is_one),
        cmocka_unit_test(images_are_normalised),
        cmocka_unit_test(the_example_is_read_whole),
        cmocka_unit_test(loading_names_the_file_and_its_mistakes),
        cmocka_unit_test(logins_bring_their_secrets),
        cmocka_unit_test(an_unset_secret_is_not_loaded),
        cmocka_unit_test(kinds_have_their_names),
    };
    return cmocka_run_group_tests_name("config/config", tests, NULL, NULL);
}

/*
 * What libyaml's scanner does at each character, as functions instead of macros: expanded at every use it is 15 KB of each function
 * that reads a kubeconfig. The build includes this in scanner.c behind the macros; each function is what its macro was until there.
 */
#define CALL static __attribute__((noinline)) int

CALL is_break(const yaml_char_t *at)
{
    const struct {
        const yaml_char_t *pointer;
    } string = { at };
    return IS_BREAK(string);
}
#undef IS_BREAK_AT
#define IS_BREAK_AT(string, offset) is_break((string).pointer + (offset))

CALL is_breakz(const yaml_char_t *at)
{
    return is_break(at) || *at == '\0';
}
#undef IS_BREAKZ_AT
#define IS_BREAKZ_AT(string, offset) is_breakz((string).pointer + (offset))

CALL is_blankz(const yaml_char_t *at)
{
    return *at == ' ' || *at == '\t' || is_breakz(at);
}
#undef IS_BLANKZ_AT
#define IS_BLANKZ_AT(string, offset) is_blankz((string).pointer + (offset))

CALL cache(yaml_parser_t *parser, size_t length)
{
    return CACHE(parser, length);
}
#undef CACHE
#define CACHE(parser, length) cache(parser, length)

CALL skip(yaml_parser_t *parser)
{
    SKIP(parser);
    return 1;
}
#undef SKIP
#define SKIP(parser) skip(parser)

CALL skip_line(yaml_parser_t *parser)
{
    SKIP_LINE(parser);
    return 1;
}
#undef SKIP_LINE
#define SKIP_LINE(parser) skip_line(parser)

CALL string_init(yaml_parser_t *parser, yaml_string_t *string)
{
    return STRING_INIT(parser, *string, INITIAL_STRING_SIZE);
}
#undef STRING_INIT
#define STRING_INIT(parser, string, size) string_init(parser, &(string))

CALL string_extend(yaml_parser_t *parser, yaml_string_t *string)
{
    return STRING_EXTEND(parser, *string);
}
#undef STRING_EXTEND
#define STRING_EXTEND(parser, string) string_extend(parser, &(string))

CALL clear(yaml_string_t *string)
{
    CLEAR(parser, *string);
    return 1;
}
#undef CLEAR
#define CLEAR(parser, string) clear(&(string))

CALL join(yaml_parser_t *parser, yaml_string_t *a, yaml_string_t *b)
{
    return JOIN(parser, *a, *b);
}
#undef JOIN
#define JOIN(parser, a, b) join(parser, &(a), &(b))

CALL copy(yaml_string_t *to, yaml_parser_t *from)
{
    return COPY(*to, from->buffer);
}
#undef COPY
#define COPY(to, from) copy(&(to), parser)

CALL read_one(yaml_parser_t *parser, yaml_string_t *string)
{
    return READ(parser, *string);
}
#undef READ
#define READ(parser, string) read_one(parser, &(string))

CALL read_line(yaml_parser_t *parser, yaml_string_t *string)
{
    return READ_LINE(parser, *string);
}
#undef READ_LINE
#define READ_LINE(parser, string) read_line(parser, &(string))

CALL token_init(yaml_token_t *token, yaml_token_type_t type, const yaml_mark_t *start, const yaml_mark_t *end)
{
    TOKEN_INIT(*token, type, *start, *end);
    return 1;
}
#undef TOKEN_INIT
#define TOKEN_INIT(token, type, start, end) token_init(&(token), type, &(start), &(end))

CALL enqueue(yaml_parser_t *parser, const yaml_token_t *token)
{
    return ENQUEUE(parser, parser->tokens, *token);
}
#undef ENQUEUE
#define ENQUEUE(parser, tokens, token) enqueue(parser, &(token))

/* The JSON parser: one pass over the text, a fixed stack of open containers, nodes appended to an
 * array. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_node.h"
#include "base/utf8.h"

struct level {
	uint32_t container; /* its node */
	uint32_t last;	    /* its newest child, 0 before the first */
};

struct parser {
	struct qc_json *json;
	const char *text;
	size_t size, pos;
	int flags;
	uint32_t cap;		 /* nodes allocated */
	struct qc_json_node due; /* the key, if any, of the value that comes next */
	unsigned depth;
	struct level levels[QC_JSON_MAX_DEPTH];
	struct qc_err *err;
};

/* Fail at byte `at`; columns count characters. */
static enum qc_status parse_fail(const struct parser *p, size_t at, const char *what)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		if (p->text[i] == '\n')
			line++, column = 1;
		else if (((uint8_t)p->text[i] & 0xc0) != 0x80)
			column++;
	}
	return qc_fail(p->err, QC_BAD_INPUT, "line %zu, column %zu: %s", line, column, what);
}

static enum qc_status parse_unexpected(const struct parser *p, const char *expected)
{
	const char *like =
		p->json->n_nodes == 1 && p->size ? qc_file_looks_like(p->text, p->size) : NULL;
	char found[16] = "the end", what[256];
	uint8_t c = p->pos < p->size ? (uint8_t)p->text[p->pos] : 0;

	if (p->pos < p->size)
		snprintf(found, sizeof(found), c > 0x20 && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
	snprintf(what, sizeof(what), "expected %s, found %s%s%s", expected, found,
		 like ? ": this looks like " : "", like ? like : "");
	return parse_fail(p, p->pos, what);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The byte at pos; NUL, which no token begins with, at the end. */
static char parse_peek(const struct parser *p)
{
	return p->pos < p->size ? p->text[p->pos] : 0;
}

static char parse_peek_token(struct parser *p)
{
	while (p->pos < p->size) {
		char c = p->text[p->pos];

		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return c;
		p->pos++;
	}
	return 0;
}

/* Forget the children of the innermost container where it is an array that is left as text. */
static void parse_leave(struct parser *p)
{
	struct level *level = &p->levels[p->depth - 1];
	struct qc_json_node *node = &p->json->nodes[level->container];

	if (!(p->flags & QC_JSON_LEAVE_LONG) || node->type != QC_JSON_ARRAY ||
	    node->extent <= QC_JSON_LONG)
		return;
	node->has_escape = 1;
	p->json->n_nodes = level->container + 1;
	level->last = level->container; /* there was a child, but no node has it for its sibling */
}

/* Append a node of `type` for the value at `at`, as the newest child of the innermost container. */
static enum qc_status parse_add(struct parser *p, enum qc_json_type type, size_t at, size_t extent,
				bool has_escape)
{
	struct qc_json *json = p->json;
	uint32_t index;

	if (p->depth)
		parse_leave(p);
	index = json->n_nodes;
	if (index == p->cap) {
		uint32_t cap = p->cap ? p->cap * 2 : 16;
		struct qc_json_node *nodes = realloc(json->nodes, cap * sizeof(*nodes));

		if (!nodes)
			return qc_no_memory(p->err);
		json->nodes = nodes;
		p->cap = cap;
	}
	json->nodes[index] = (struct qc_json_node){
		.at = (uint32_t)at & 0xfffffff,
		.type = type & 7u,
		.has_escape = has_escape,
		.key = p->due.key,
		.key_escape = p->due.key_escape,
		.extent = (uint32_t)extent,
	};
	json->n_nodes++;
	if (p->depth) {
		struct level *level = &p->levels[p->depth - 1];

		if (level->last && level->last != level->container)
			json->nodes[level->last].next = index;
		json->nodes[level->container].extent++;
		level->last = index;
	}
	return QC_OK;
}

/* Four hex digits at `at`, or -1. */
static int hex4(const struct parser *p, size_t at)
{
	int value = 0;

	if (p->size - at < 4)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		char c = p->text[i], lower = (char)(c | 32);

		if (is_digit(c))
			value = value * 16 + (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			value = value * 16 + (lower - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* Check the escape sequence at pos, a backslash, and go behind it. */
static enum qc_status parse_escape(struct parser *p)
{
	size_t at = p->pos;
	int code, low;

	if (p->size - at < 2 || !p->text[at + 1] || !strchr("\"\\/bfnrtu", p->text[at + 1]))
		return parse_fail(p, at, "bad escape sequence in a string");
	p->pos += 2;
	if (p->text[at + 1] != 'u')
		return QC_OK;
	code = hex4(p, p->pos);
	if (code < 0)
		return parse_fail(p, at, "\\u without four hexadecimal digits");
	p->pos += 4;
	if (code < 0xd800 || code > 0xdfff)
		return QC_OK;
	low = p->size - p->pos >= 6 && !memcmp(p->text + p->pos, "\\u", 2) ? hex4(p, p->pos + 2)
									   : -1;
	if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return parse_fail(p, at, "half of a surrogate pair");
	p->pos += 6;
	return QC_OK;
}

/* Check the string at pos, a quote, and go behind it. */
static enum qc_status parse_string(struct parser *p, bool *has_escape)
{
	size_t start = p->pos++;

	*has_escape = false;
	while (p->pos < p->size) {
		uint8_t c = (uint8_t)p->text[p->pos];
		size_t n = 1;

		if (c == '"') {
			p->pos++;
			return QC_OK;
		}
		if (c == '\\') {
			enum qc_status s = parse_escape(p);

			if (s)
				return s;
			*has_escape = true;
			continue;
		}
		if (c < 0x20)
			return parse_fail(p, p->pos, "a control character in a string");
		if (c >= 0x80)
			n = qc_utf8_length(p->text + p->pos, p->size - p->pos);
		if (!n)
			return parse_fail(p, p->pos, "a string is not UTF-8");
		p->pos += n;
	}
	return parse_fail(p, start, "a string without its closing quote");
}

static enum qc_status parse_digits(struct parser *p)
{
	if (!is_digit(parse_peek(p)))
		return parse_unexpected(p, "a digit");
	while (is_digit(parse_peek(p)))
		p->pos++;
	return QC_OK;
}

/* Check the number at pos, a digit or a minus, and add it. */
static enum qc_status parse_number(struct parser *p)
{
	size_t start = p->pos;
	enum qc_status s = QC_OK;

	if (parse_peek(p) == '-')
		p->pos++;
	if (parse_peek(p) == '0')
		p->pos++;
	else
		s = parse_digits(p);
	if (!s && parse_peek(p) == '.') {
		p->pos++;
		s = parse_digits(p);
	}
	if (!s && (parse_peek(p) | 32) == 'e') {
		p->pos++;
		if (parse_peek(p) == '+' || parse_peek(p) == '-')
			p->pos++;
		s = parse_digits(p);
	}
	return s ? s : parse_add(p, QC_JSON_NUMBER, start, p->pos - start, false);
}

/* Add the fixed word at pos. */
static enum qc_status parse_word(struct parser *p)
{
	static const struct word {
		const char *text;
		enum qc_json_type type;
		int flag; /* which must be set */
	} words[] = {
		{"null", QC_JSON_NULL, 0},
		{"false", QC_JSON_FALSE, 0},
		{"true", QC_JSON_TRUE, 0},
		{"NaN", QC_JSON_NUMBER, QC_JSON_ALLOW_NAN},
		{"Infinity", QC_JSON_NUMBER, QC_JSON_ALLOW_NAN},
		{"-Infinity", QC_JSON_NUMBER, QC_JSON_ALLOW_NAN},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i].text), at = p->pos;

		if (p->size - at < n || memcmp(p->text + at, words[i].text, n) ||
		    (words[i].flag & p->flags) != words[i].flag)
			continue;
		p->pos += n;
		return parse_add(p, words[i].type, at, n, false);
	}
	return parse_unexpected(p, "a value");
}

static enum qc_status parse_open(struct parser *p, enum qc_json_type type)
{
	enum qc_status s;

	if (p->depth == QC_JSON_MAX_DEPTH)
		return parse_fail(p, p->pos, "nested deeper than 128 levels");
	s = parse_add(p, type, p->pos, 0, false);
	if (s)
		return s;
	p->levels[p->depth++] = (struct level){.container = p->json->n_nodes - 1};
	p->pos++;
	return QC_OK;
}

/* A scalar is read and added; a container is only opened. */
static enum qc_status parse_value(struct parser *p)
{
	char c = parse_peek_token(p);
	size_t start = p->pos;
	enum qc_status s;
	bool has_escape;

	if (c == '{')
		return parse_open(p, QC_JSON_OBJECT);
	if (c == '[')
		return parse_open(p, QC_JSON_ARRAY);
	if (c == '"') {
		s = parse_string(p, &has_escape);
		return s ? s : parse_add(p, QC_JSON_STRING, start, p->pos - start, has_escape);
	}
	if (is_digit(c) || (c == '-' && !(p->size - start > 1 && p->text[start + 1] == 'I')))
		return parse_number(p);
	return parse_word(p);
}

/* A member's key and colon. */
static enum qc_status parse_key(struct parser *p)
{
	enum qc_status s;
	bool has_escape;
	size_t start;

	if (parse_peek_token(p) != '"')
		return parse_unexpected(p, "a key in quotes");
	start = p->pos;
	s = parse_string(p, &has_escape);
	if (s)
		return s;
	if (parse_peek_token(p) != ':')
		return parse_unexpected(p, "':'");
	p->pos++;
	p->due.key = (uint32_t)start & 0xfffffff;
	p->due.key_escape = has_escape;
	return QC_OK;
}

/* Leave the innermost container; its closing bracket is at pos. */
static enum qc_status parse_close(struct parser *p)
{
	uint32_t container = p->levels[p->depth - 1].container;
	struct qc_arena arena = {0};
	qc_json_value twin = 0;
	enum qc_status s;
	char what[200];
	char *key;

	parse_leave(p);
	p->depth--;
	p->pos++;
	if (p->json->nodes[container].type != QC_JSON_OBJECT)
		return QC_OK;
	s = qc_json_find_twin(p->json, container, &twin, p->err);
	if (s || !twin)
		return s;
	key = qc_json_key(p->json, twin, &arena, NULL);
	snprintf(what, sizeof(what), "the key '%.150s' is there twice", key ? key : "");
	qc_arena_clear(&arena);
	return parse_fail(p, p->json->nodes[twin].key, what);
}

/* Inside the innermost container: its end, or one more child. */
static enum qc_status parse_step(struct parser *p)
{
	const struct level *level = &p->levels[p->depth - 1];
	bool is_object = p->json->nodes[level->container].type == QC_JSON_OBJECT;
	char c = parse_peek_token(p);
	enum qc_status s = QC_OK;

	if (c == (is_object ? '}' : ']'))
		return parse_close(p);
	if (level->last) {
		if (c != ',')
			return parse_unexpected(p, is_object ? "',' or '}'" : "',' or ']'");
		p->pos++;
	}
	p->due = (struct qc_json_node){0};
	if (is_object)
		s = parse_key(p);
	return s ? s : parse_value(p);
}

static enum qc_status parse_text(struct parser *p)
{
	enum qc_status s;

	if (p->size > QC_JSON_MAX_BYTES)
		return qc_fail(p->err, QC_BAD_INPUT, "%zu bytes of JSON, at most %u are allowed",
			       p->size, QC_JSON_MAX_BYTES);
	if (p->size >= 3 && !memcmp(p->text, "\xef\xbb\xbf", 3))
		return parse_fail(
			p, 0,
			"a byte order mark, which JSON does not allow: save the file without it");
	s = parse_add(p, QC_JSON_ABSENT, 0, 0, false);
	if (!s)
		s = parse_value(p);
	while (!s && p->depth)
		s = parse_step(p);
	if (s)
		return s;
	parse_peek_token(p);
	return p->pos == p->size ? QC_OK : parse_unexpected(p, "the end");
}

enum qc_status qc_json_parse(struct qc_json *json, const char *text, size_t size, int flags,
			     struct qc_err *err)
{
	struct parser p = {.json = json, .text = text, .size = size, .flags = flags, .err = err};
	struct qc_json_node *fitted;
	enum qc_status s;

	*json = (struct qc_json){.text = text, .size = size};
	s = parse_text(&p);
	if (s) {
		qc_json_clear(json);
		return s;
	}
	fitted = realloc(json->nodes, json->n_nodes * sizeof(*fitted));
	if (fitted)
		json->nodes = fitted;
	return QC_OK;
}

void qc_json_clear(struct qc_json *json)
{
	free(json->nodes);
	*json = (struct qc_json){0};
}

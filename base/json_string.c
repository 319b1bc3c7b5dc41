/* JSON strings: decoding, comparing without decoding, printing. */
#include "base/json_node.h"

#include <string.h>

#include "base/utf8.h"

static uint32_t hex4(const char *at)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 |
			(uint32_t)(at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10);
	return value;
}

/* Decode the escape sequence at `at`, a backslash in a checked text, into `out` as `*n` bytes of
 * UTF-8. Returns how many bytes of text it took. */
static size_t unescape(const char *at, char out[4], size_t *n)
{
	static const char letters[] = "bfnrt", controls[] = "\b\f\n\r\t";
	const char *letter;
	uint32_t code;

	if (at[1] != 'u') {
		letter = strchr(letters, at[1]);
		out[0] = letter ? controls[letter - letters] : at[1];
		*n = 1;
		return 2;
	}
	code = hex4(at + 2);
	if (code < 0xd800 || code > 0xdfff) {
		*n = qc_utf8_put(code, out);
		return 6;
	}
	code = 0x10000 + ((code - 0xd800) << 10) + (hex4(at + 8) - 0xdc00);
	*n = qc_utf8_put(code, out);
	return 12;
}

const char *qc_json_closing(const char *inside, bool has_escape)
{
	if (!has_escape)
		return strchr(inside, '"');
	while (*inside != '"')
		inside += *inside == '\\' ? 2 : 1;
	return inside;
}

/* The inside of a string, decoded. */
static char *decode(const char *inside, size_t len, bool has_escape, struct qc_arena *arena,
		    size_t *decoded_len)
{
	const char *end = inside + len;
	char *text, *to;

	if (decoded_len)
		*decoded_len = len;
	if (!has_escape)
		return qc_arena_copy(arena, inside, len);
	text = to =
		qc_arena_alloc(arena, len + 1); /* no escape is shorter than what it stands for */
	if (!text)
		return NULL;
	while (inside < end) {
		char utf8[4];
		size_t n;

		if (*inside != '\\') {
			*to++ = *inside++;
			continue;
		}
		inside += unescape(inside, utf8, &n);
		memcpy(to, utf8, n);
		to += n;
	}
	if (decoded_len)
		*decoded_len = (size_t)(to - text);
	return text;
}

/* Whether the inside of a string, which ends at its quote, decodes to the `len` bytes of `text`. */
static bool inside_equals(const char *inside, bool has_escape, const char *text, size_t len)
{
	const char *end = text + len;

	if (!has_escape) {
		while (text < end && *inside != '"')
			if (*inside++ != *text++)
				return false;
		return text == end && *inside == '"';
	}
	while (*inside != '"') {
		char utf8[4] = {*inside};
		size_t n = 1;

		inside += *inside == '\\' ? unescape(inside, utf8, &n) : 1;
		if ((size_t)(end - text) < n || memcmp(text, utf8, n))
			return false;
		text += n;
	}
	return text == end;
}

static const struct qc_json_node *string_node(const struct qc_json *json, qc_json_value value)
{
	return qc_json_type_of(json, value) == QC_JSON_STRING ? &json->nodes[value] : NULL;
}

static const struct qc_json_node *member_node(const struct qc_json *json, qc_json_value value)
{
	return value < json->n_nodes && json->nodes[value].key ? &json->nodes[value] : NULL;
}

char *qc_json_string(const struct qc_json *json, qc_json_value value, struct qc_arena *arena,
		     size_t *len)
{
	const struct qc_json_node *node = string_node(json, value);

	return node ? decode(json->text + node->at + 1, node->extent - 2, node->has_escape, arena,
			     len)
		    : NULL;
}

char *qc_json_key(const struct qc_json *json, qc_json_value value, struct qc_arena *arena,
		  size_t *len)
{
	const struct qc_json_node *node = member_node(json, value);
	const char *inside;

	if (!node)
		return NULL;
	inside = json->text + node->key + 1;
	return decode(inside, (size_t)(qc_json_closing(inside, node->key_escape) - inside),
		      node->key_escape, arena, len);
}

bool qc_json_equals(const struct qc_json *json, qc_json_value value, const char *text)
{
	const struct qc_json_node *node = string_node(json, value);

	return node &&
	       inside_equals(json->text + node->at + 1, node->has_escape, text, strlen(text));
}

bool qc_json_key_equals(const struct qc_json *json, qc_json_value value, const char *text)
{
	const struct qc_json_node *node = member_node(json, value);

	return node &&
	       inside_equals(json->text + node->key + 1, node->key_escape, text, strlen(text));
}

/* The child whose key is the `len` bytes of `name`. */
static qc_json_value get(const struct qc_json *json, qc_json_value object, const char *name,
			 size_t len)
{
	if (qc_json_type_of(json, object) != QC_JSON_OBJECT)
		return 0;
	for (qc_json_value v = qc_json_first(json, object); v; v = json->nodes[v].next)
		if (inside_equals(json->text + json->nodes[v].key + 1, json->nodes[v].key_escape,
				  name, len))
			return v;
	return 0;
}

qc_json_value qc_json_get(const struct qc_json *json, qc_json_value object, const char *name)
{
	return get(json, object, name, strlen(name));
}

qc_json_value qc_json_path(const struct qc_json *json, qc_json_value object, const char *path)
{
	for (;;) {
		const char *dot = strchr(path, '.');

		object = get(json, object, path, dot ? (size_t)(dot - path) : strlen(path));
		if (!dot || !object)
			return object;
		path = dot + 1;
	}
}

void qc_json_print_string(FILE *out, const char *text, size_t len)
{
	fputc('"', out);
	while (len) {
		uint8_t c = (uint8_t)*text;
		size_t n = qc_utf8_length(text, len);

		if (!n)
			fputs("\\ufffd", out), n = 1;
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else if (c == 0xc2 && (uint8_t)text[1] < 0xa0)
			fprintf(out, "\\u%04x", (uint8_t)text[1]);
		else
			fwrite(text, 1, n, out);
		text += n;
		len -= n;
	}
	fputc('"', out);
}

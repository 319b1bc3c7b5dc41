#include "formats/meta_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/utf8.h"

/* A value that is being read. */
struct value {
	const char *key, *text;
	size_t len;
	enum qc_kv_type type; /* of it, or of the array's elements */
	bool is_array;
};

static enum qc_status bad(const struct value *v, const char *what, struct qc_err *err)
{
	return qc_fail(err, QC_USAGE, "key '%.64s': '%.*s' is no %s%s", v->key,
		       (int)(v->len < 64 ? v->len : 64), v->text, what,
		       v->is_array ? " in a JSON array" : "");
}

static bool is_signed(enum qc_kv_type type)
{
	return type == QC_KV_I8 || type == QC_KV_I16 || type == QC_KV_I32 || type == QC_KV_I64;
}

static void put_bits(uint8_t *out, size_t bytes, uint64_t bits)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(bits >> 8 * i);
}

/* A whole number of the type's range; the text is JSON's or a plain one. */
static bool parse_integer(enum qc_kv_type type, const char *text, uint8_t *out)
{
	const size_t bytes = qc_kv_type_bytes(type);
	const unsigned unused = 64 - 8 * (unsigned)bytes;
	char *end;

	errno = 0;
	if (is_signed(type)) {
		long long n = strtoll(text, &end, 10);

		if (end == text || *end || errno || n > INT64_MAX >> unused ||
		    n < INT64_MIN >> unused)
			return false;
		put_bits(out, bytes, (uint64_t)n);
	} else {
		unsigned long long n = strtoull(text, &end, 10);

		if (end == text || *end || errno || strchr(text, '-') || n > UINT64_MAX >> unused)
			return false;
		put_bits(out, bytes, n);
	}
	return true;
}

static bool parse_number(enum qc_kv_type type, const char *text, uint8_t *out)
{
	double n;
	char *end;

	if (type == QC_KV_BOOL) {
		*out = !strcmp(text, "true");
		return *out || !strcmp(text, "false");
	}
	if (type != QC_KV_F32 && type != QC_KV_F64)
		return parse_integer(type, text, out);
	n = strtod(text, &end);
	if (end == text || *end || !isfinite(n) || (type == QC_KV_F32 && !isfinite((float)n)))
		return false;
	if (type == QC_KV_F32) /* strtof: rounded once */
		qc_put_le32(out, qc_f32_bits(strtof(text, NULL)));
	else
		qc_put_le64(out, qc_f64_bits(n));
	return true;
}

static enum qc_status push_number(struct qc_kv_builder *build, const struct value *v,
				  const char *text, size_t len, struct qc_err *err)
{
	char copy[64];
	uint8_t bytes[8];

	if (!len || len >= sizeof(copy))
		return bad(v, qc_kv_type_name(v->type), err);
	memcpy(copy, text, len);
	copy[len] = 0;
	if (strlen(copy) != len || !parse_number(v->type, copy, bytes))
		return bad(v, qc_kv_type_name(v->type), err);
	return qc_kv_push(build, bytes, qc_kv_type_bytes(v->type), err);
}

static enum qc_status push_element(struct qc_kv_builder *build, const struct value *v,
				   const struct qc_json *json, qc_json_value element,
				   struct qc_err *err)
{
	const char *text;
	size_t len;

	if (v->type == QC_KV_STRING) {
		struct qc_arena arena = {0};
		enum qc_status s;

		if (qc_json_type_of(json, element) != QC_JSON_STRING)
			return bad(v, "string", err);
		text = qc_json_string(json, element, &arena, &len);
		s = text ? qc_kv_push_string(build, text, len, err) : qc_no_memory(err);
		qc_arena_clear(&arena);
		return s;
	}
	text = qc_json_raw(json, element, &len);
	return push_number(build, v, text, len, err);
}

static enum qc_status push_array(struct qc_kv_builder *build, const struct value *v,
				 struct qc_err *err)
{
	struct qc_json json = {0};
	enum qc_status s = qc_json_parse(&json, v->text, v->len, 0, err);

	if (s == QC_BAD_INPUT)
		s = qc_fail(err, QC_USAGE, "key '%.64s': the value is no JSON array", v->key);
	else if (!s && qc_json_type_of(&json, QC_JSON_ROOT) != QC_JSON_ARRAY)
		s = bad(v, "JSON array", err);
	if (!s)
		for (qc_json_value e = qc_json_first(&json, QC_JSON_ROOT); e && !s;
		     e = qc_json_next(&json, e))
			s = push_element(build, v, &json, e, err);
	qc_json_clear(&json);
	return s;
}

/* The type named in `len` bytes; false when none is. */
static bool find_type(const char *name, struct value *v)
{
	size_t len = strlen(name);

	v->is_array = len > 2 && !strcmp(name + len - 2, "[]");
	len -= v->is_array ? 2 : 0;
	for (uint32_t t = 0; t < QC_KV_TYPES; t++) {
		const char *known = qc_kv_type_name(t);

		if (t != QC_KV_ARRAY && strlen(known) == len && !memcmp(known, name, len)) {
			v->type = (enum qc_kv_type)t;
			return true;
		}
	}
	return false;
}

/* The type that the text ends in, cut off, else the existing key's. */
static enum qc_status choose_type(const struct qc_meta *meta, struct value *v, struct qc_err *err)
{
	const struct qc_kv *old = qc_meta_find(meta, v->key);
	const char *colon = strrchr(v->text, ':');

	if (colon && find_type(colon + 1, v)) {
		v->len = (size_t)(colon - v->text);
		return QC_OK;
	}
	if (!old)
		return qc_fail(
			err, QC_USAGE,
			"key '%.64s' is new: give its type, as in '%.64s=VALUE:u32' (types: "
			"u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool string, with [] an array)",
			v->key, v->key);
	v->type = old->elem;
	v->is_array = old->type == QC_KV_ARRAY;
	v->len = strlen(v->text);
	return QC_OK;
}

static enum qc_status set_value(struct qc_meta *meta, struct value *v, struct qc_err *err)
{
	struct qc_kv_builder build = {0};
	enum qc_status s = choose_type(meta, v, err);

	if (s)
		return s;
	if (!qc_utf8_valid(v->text, v->len))
		return qc_fail(err, QC_USAGE, "key '%.64s': the value is not UTF-8", v->key);
	if (!v->is_array && v->type == QC_KV_STRING)
		return qc_meta_set_string(meta, v->key, v->text, v->len, err);
	s = v->is_array ? push_array(&build, v, err) : push_number(&build, v, v->text, v->len, err);
	if (!s)
		s = qc_meta_set(meta, v->key, v->is_array ? QC_KV_ARRAY : v->type, v->type,
				v->is_array ? build.n : 1, build.data ? build.data : (uint8_t *)"",
				build.bytes, err);
	free(build.data);
	return s;
}

enum qc_status qc_meta_set_text(struct qc_meta *meta, const char *assignment, struct qc_err *err)
{
	const char *equals = strchr(assignment, '=');
	struct value v = {0};
	enum qc_status s;
	char *key;

	if (!equals || equals == assignment)
		return qc_fail(err, QC_USAGE, "'%.64s': KEY=VALUE is needed", assignment);
	key = strndup(assignment, (size_t)(equals - assignment));
	if (!key)
		return qc_no_memory(err);
	v.key = key;
	v.text = equals + 1;
	s = qc_utf8_valid(key, strlen(key))
		    ? set_value(meta, &v, err)
		    : qc_fail(err, QC_USAGE, "'%.64s': the key is not UTF-8", assignment);
	free(key);
	return s;
}

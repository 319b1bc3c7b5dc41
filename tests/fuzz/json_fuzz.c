/* The JSON parser and every accessor over any bytes; what was accepted must also agree with itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* Printing a decoded string and reading it again gives the same string. */
static void check_print(const char *text, size_t len)
{
	struct qc_json json = {0};
	struct qc_arena arena = {0};
	struct qc_err err;
	char *printed = NULL, *again;
	size_t size, again_len;
	FILE *out = open_memstream(&printed, &size);

	if (!out)
		return;
	qc_json_print_string(out, text, len);
	must(!fclose(out));
	must(!qc_json_parse(&json, printed, size, 0, &err));
	again = qc_json_string(&json, QC_JSON_ROOT, &arena, &again_len);
	must(again && again_len == len && !memcmp(again, text, len));
	qc_arena_clear(&arena);
	qc_json_clear(&json);
	free(printed);
}

static void check_text(const struct qc_json *json, qc_json_value v, struct qc_arena *arena,
		       qc_json_value parent)
{
	size_t len;
	char *text = qc_json_string(json, v, arena, &len);

	must(!text == (qc_json_type_of(json, v) != QC_JSON_STRING));
	if (text) {
		must(qc_utf8_valid(text, len) && !text[len]);
		must(qc_json_equals(json, v, text) == (strlen(text) == len));
		if (v < 16)
			check_print(text, len);
	}
	text = qc_json_key(json, v, arena, &len);
	must(!text == (qc_json_type_of(json, parent) != QC_JSON_OBJECT));
	if (text && strlen(text) == len) {
		must(qc_json_key_equals(json, v, text));
		if (qc_json_count(json, parent) <= 64)
			must(qc_json_get(json, parent, text) == v);
	}
}

static void check_number(const struct qc_json *json, qc_json_value v)
{
	uint64_t u;
	int64_t i;
	double f;
	bool is_u = qc_json_u64(json, v, &u), is_i = qc_json_i64(json, v, &i),
	     is_f = qc_json_f64(json, v, &f);

	must(!(is_u || is_i) || is_f);
	must(!(is_u && is_i) || (i >= 0 && u == (uint64_t)i));
	must(!is_u || f == (double)u);
	must(!is_i || f == (double)i);
}

/* Every value once, without recursion: nodes are numbered in order. */
static void check_document(const struct qc_json *json)
{
	struct qc_arena arena = {0};
	struct qc_err err;
	struct qc_json part;
	const char *raw;
	size_t len;
	bool b;

	for (qc_json_value v = 1; v < json->n_nodes; v++) {
		uint32_t n = 0;

		for (qc_json_value c = qc_json_first(json, v); c; c = qc_json_next(json, c), n++)
			check_text(json, c, &arena, v);
		must(n == qc_json_count(json, v));
		check_number(json, v);
		must(!qc_json_bool(json, v, &b) || !qc_json_count(json, v));
		raw = qc_json_raw(json, v, &len);
		must(raw >= json->text && len && len <= json->size - (size_t)(raw - json->text));
		if (v < 16) {
			must(!qc_json_parse(&part, raw, len, QC_JSON_ALLOW_NAN, &err));
			must(qc_json_type_of(&part, 1) == qc_json_type_of(json, v));
			qc_json_clear(&part);
		}
	}
	qc_json_path(json, QC_JSON_ROOT, "a.b.c");
	qc_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_json strict, loose;
	struct qc_err err = {0};
	enum qc_status s = qc_json_parse(&strict, (const char *)data, size, 0, &err);

	must(!s == !err.text[0] && qc_utf8_valid(err.text, strlen(err.text)));
	if (!s) {
		must(!qc_json_parse(&loose, (const char *)data, size, QC_JSON_ALLOW_NAN, &err));
		must(loose.n_nodes == strict.n_nodes);
	} else {
		s = qc_json_parse(&loose, (const char *)data, size, QC_JSON_ALLOW_NAN, &err);
	}
	if (!s)
		check_document(&loose);
	qc_json_clear(&strict);
	qc_json_clear(&loose);
	return 0;
}

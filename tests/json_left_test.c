/* base/json: long arrays whose children stay text. */
#include "tests/json_texts.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* {"a": [[0], [1], ...], "b": 7} with `n` children, written as the files do. */
static char *long_array(uint32_t n, size_t *size)
{
	char *text = malloc((size_t)n * 16 + 64), *at = text;

	NEED(text, "no memory");
	at += sprintf(at, "{\"a\": [");
	for (uint32_t i = 0; i < n; i++)
		at += sprintf(at,
			      i % 3 == 0   ? "%s[%u]"
			      : i % 3 == 1 ? "%s\n \"],%u\\\"\""
					   : "%s %u",
			      i ? "," : "", i);
	at += sprintf(at, " ], \"b\": 7}");
	*size = (size_t)(at - text);
	return text;
}

/* The child's number, from its text alone. */
static uint32_t left_number(const char *text, size_t len)
{
	struct qc_arena arena = {0};
	struct qc_json json;
	struct qc_err err = {0};
	uint64_t number = UINT64_MAX;
	qc_json_value value = QC_JSON_ROOT;

	NEED(!qc_json_parse(&json, text, len, 0, &err), "'%.*s': %s", (int)len, text, err.text);
	if (qc_json_type_of(&json, value) == QC_JSON_STRING)
		number = strtoull(qc_json_string(&json, value, &arena, NULL) + 2, NULL, 10);
	else if (qc_json_type_of(&json, value) == QC_JSON_ARRAY)
		NEED(qc_json_u64(&json, qc_json_first(&json, value), &number), "no number");
	else
		NEED(qc_json_u64(&json, value, &number), "no number");
	qc_json_clear(&json);
	qc_arena_clear(&arena);
	return (uint32_t)number;
}

static void check_left(uint32_t n, int flags, bool is_left)
{
	struct qc_json json;
	struct qc_err err = {0};
	size_t size, len, at = 0;
	const char *text;
	char *all = long_array(n, &size), *copy;
	uint64_t seven = 0;
	uint32_t seen = 0, wrong = 0;
	qc_json_value array;

	NEED(!parse_copy(&json, &copy, all, size, flags, &err), "%s", err.text);
	array = qc_json_get(&json, QC_JSON_ROOT, "a");
	CHECK(qc_json_count(&json, array) == n, "%u children of %u", qc_json_count(&json, array),
	      n);
	CHECK(!qc_json_first(&json, array) == (is_left || !n), "%u children, flags %d", n, flags);
	CHECK(json.n_nodes < 20 || !is_left, "%u nodes", json.n_nodes);
	CHECK(qc_json_u64(&json, qc_json_get(&json, QC_JSON_ROOT, "b"), &seven) && seven == 7,
	      "what follows the array is %llu", (unsigned long long)seven);
	for (; qc_json_left(&json, array, &at, &text, &len); seen++)
		wrong += left_number(text, len) != seen;
	CHECK(seen == n && !wrong, "%u children of %u, %u wrong", seen, n, wrong);
	at = 0;
	CHECK(!qc_json_left(&json, QC_JSON_ROOT, &at, &text, &len), "an object has children left");
	qc_json_clear(&json);
	free(copy);
	free(all);
}

static void long_arrays_can_be_left_as_text(void)
{
	const uint32_t sizes[] = {0, 1, 7, QC_JSON_LONG, QC_JSON_LONG + 1, QC_JSON_LONG + 5};
	size_t size;
	char *text;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		check_left(sizes[i], 0, false);
		check_left(sizes[i], QC_JSON_LEAVE_LONG, sizes[i] > QC_JSON_LONG);
	}
	/* what is left is checked all the same */
	text = long_array(QC_JSON_LONG + 9, &size);
	*strstr(text, ",[65538]") = ' ';
	refuse(text, size, QC_JSON_LEAVE_LONG, "expected ',' or ']'");
	free(text);
	text = long_array(QC_JSON_LONG + 9, &size);
	strstr(text, "[65541]")[6] = ' ';
	refuse(text, size, QC_JSON_LEAVE_LONG, "expected ',' or ']'");
	free(text);
}

int main(void)
{
	long_arrays_can_be_left_as_text();
	return test_end();
}

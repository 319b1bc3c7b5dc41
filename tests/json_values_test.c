/* base/json's accessors: values come out exactly. */
#include <inttypes.h>
#include <locale.h>
#include <math.h>

#include "tests/test.h"

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The document of a string literal; the caller clears it. */
static struct qc_json document(const char *text)
{
	struct qc_json json = {0};
	struct qc_err err = {0};

	NEED(!qc_json_parse(&json, text, strlen(text), 0, &err), "'%s': %s", text, err.text);
	return json;
}

static void integers_are_exact(void)
{
	static const struct {
		const char *text;
		bool is_u64, is_i64;
		uint64_t u64;
		int64_t i64;
	} cases[] = {
		{"0", true, true, 0, 0},
		{"-0", true, true, 0, 0},
		{"-0.0e7", true, true, 0, 0},
		{"0e999999999999999999", true, true, 0, 0},
		{"1", true, true, 1, 1},
		{"-1", false, true, 0, -1},
		{"64.0", true, true, 64, 64},
		{"64.000", true, true, 64, 64},
		{"1e3", true, true, 1000, 1000},
		{"1E+2", true, true, 100, 100},
		{"1200e-2", true, true, 12, 12},
		{"1.5e1", true, true, 15, 15},
		{"0.00012e5", true, true, 12, 12},
		{"64.5", false, false, 0, 0},
		{"1e-1", false, false, 0, 0},
		{"1250e-2", false, false, 0, 0},
		{"9007199254740993", true, true, 9007199254740993u, 9007199254740993},
		{"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
		{"9223372036854775808", true, false, 9223372036854775808u, 0},
		{"-9223372036854775808", false, true, 0, INT64_MIN},
		{"-9223372036854775809", false, false, 0, 0},
		{"18446744073709551615", true, false, UINT64_MAX, 0},
		{"18446744073709551616", false, false, 0, 0},
		{"1844674407370955161.5e1", true, false, UINT64_MAX, 0},
		{"18446744073709551620", false, false, 0, 0},
		{"99999999999999999999", false, false, 0, 0},
		{"100000000000000000000", false, false, 0, 0},
		{"1e19", true, false, 10000000000000000000u, 0},
		{"1e20", false, false, 0, 0},
		{"1e400", false, false, 0, 0},
		{"1e18446744073709551617", false, false, 0, 0},
		{"1e-18446744073709551617", false, false, 0, 0},
		{"12.00000000000000000000000000000000000000000000000000", true, true, 12, 12},
		{"12.00000000000000000000000000000000000000000000000001", false, false, 0, 0},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct qc_json json = document(cases[i].text);
		uint64_t u64 = 0;
		int64_t i64 = 0;

		CHECK(qc_json_u64(&json, 1, &u64) == cases[i].is_u64 && u64 == cases[i].u64,
		      "%s: %" PRIu64, cases[i].text, u64);
		CHECK(qc_json_i64(&json, 1, &i64) == cases[i].is_i64 && i64 == cases[i].i64,
		      "%s: %" PRId64, cases[i].text, i64);
		qc_json_clear(&json);
	}
}

static void check_double(const char *text, double expect)
{
	struct qc_json json = document(text);
	double f = 0;

	CHECK(qc_json_f64(&json, 1, &f) && !memcmp(&f, &expect, sizeof(f)), "%.40s: %a, not %a",
	      text, f, expect);
	qc_json_clear(&json);
}

static void check_all_doubles(void)
{
	char text[2000];

	check_double("0", 0.0);
	check_double("-0.0", -0.0);
	check_double("1e6", 1e6);
	check_double("1e-05", 1e-05);
	check_double("-2.5E-3", -2.5e-3);
	check_double("5e-324", 0x1p-1074);
	check_double("2e-324", 0.0);
	check_double("1e-99999999999", 0.0);
	check_double("1.7976931348623157e308", 0x1.fffffffffffffp1023);
	check_double("9007199254740993", 9007199254740992.0);
	check_double("123456789012345678901234567890", 123456789012345678901234567890.0);
	check_double("0.1000000000000000055511151231257827021181583404541015625", 0.1);
	/* half way between 1 and the next double: to even, unless something follows, however far */
	check_double("1.00000000000000011102230246251565404236316680908203125", 1.0);
	strcpy(text, "1.00000000000000011102230246251565404236316680908203125");
	memset(text + strlen(text), '0', 1500);
	strcpy(text + 1560, "1");
	for (char *at = text; at < text + 1560; at++)
		if (!*at)
			*at = '0';
	check_double(text, 0x1.0000000000001p0);
	/* a long run of zeros before the digits, taken back by the exponent */
	memset(text, '0', 1000);
	memcpy(text, "0.", 2);
	strcpy(text + 1000, "25e998");
	check_double(text, 0.25);
	memset(text, '0', 1000);
	text[0] = '7';
	strcpy(text + 1000, "e-999");
	check_double(text, 7.0);
}

static void doubles_are_correctly_rounded_in_any_locale(void)
{
	struct qc_json json = document("[1e309,-1e999999999999,\"1\"]");
	double f = 3;

	check_all_doubles();
	/* where the decimal point is a comma, if this machine has such a locale */
	if (setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "fr_FR.UTF-8"))
		check_all_doubles();
	setlocale(LC_ALL, "C");
	for (qc_json_value v = qc_json_first(&json, QC_JSON_ROOT); v; v = qc_json_next(&json, v))
		CHECK(!qc_json_f64(&json, v, &f) && f == 3, "beyond the range gave %g", f);
	qc_json_clear(&json);
}

static void strings_are_decoded(void)
{
	struct qc_json json = document(
		"{\"plain\":\"abc\",\"e\\u0073c\":"
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u5C42\\ud83d\\ude00\\u0000x\",\"\":\"\"}");
	const char *decoded = "\"\\/\b\f\n\r\t\xc3\xa9\xe5\xb1\x82\xf0\x9f\x98\x80\0x";
	struct qc_arena arena = {0};
	qc_json_value v = qc_json_first(&json, QC_JSON_ROOT);
	size_t len;
	char *text = qc_json_string(&json, v, &arena, &len);

	NEED(text, "no memory");
	CHECK(len == 3 && !strcmp(text, "abc"), "%zu '%s'", len, text);
	CHECK(qc_json_equals(&json, v, "abc") && !qc_json_equals(&json, v, "ab"), "abc");
	CHECK(!qc_json_equals(&json, v, "abcd") && !qc_json_equals(&json, v, "abc\""),
	      "abc and more");
	v = qc_json_next(&json, v);
	text = qc_json_string(&json, v, &arena, &len);
	NEED(text, "no memory");
	CHECK(len == 19 && !memcmp(text, decoded, 20), "%zu '%s'", len, text);
	CHECK(!qc_json_equals(&json, v, decoded), "equal up to a NUL is not equal");
	text = qc_json_key(&json, v, &arena, &len);
	NEED(text, "no memory");
	CHECK(len == 3 && !strcmp(text, "esc"), "%zu '%s'", len, text);
	CHECK(qc_json_key_equals(&json, v, "esc") && !qc_json_key_equals(&json, v, "es"), "esc");
	CHECK(!qc_json_key_equals(&json, v, "escx") && !qc_json_key_equals(&json, v, ""),
	      "esc and more");
	v = qc_json_next(&json, v);
	text = qc_json_string(&json, v, &arena, NULL);
	CHECK(text && !*text && qc_json_equals(&json, v, "") && qc_json_key_equals(&json, v, ""),
	      "empty");
	CHECK(!qc_json_next(&json, v), "more than three members");
	qc_json_clear(&json);
	qc_arena_clear(&arena);
}

static void members_are_found_by_decoded_name_and_path(void)
{
	struct qc_json json =
		document("{\"text_config\":{\"rope\":{\"th\\u0065ta\":7},\"a\":[1]},\"x\":null,"
			 "\"a.b\":1,\"q\\\"\":2}");
	uint64_t u = 0;

	CHECK(qc_json_u64(&json, qc_json_path(&json, 1, "text_config.rope.theta"), &u) && u == 7,
	      "%" PRIu64, u);
	CHECK(qc_json_path(&json, 1, "x") == qc_json_get(&json, 1, "x"), "a path of one");
	CHECK(qc_json_type_of(&json, qc_json_get(&json, 1, "x")) == QC_JSON_NULL, "null");
	CHECK(qc_json_u64(&json, qc_json_get(&json, 1, "a.b"), &u) && u == 1, "a name with a dot");
	CHECK(qc_json_u64(&json, qc_json_get(&json, 1, "q\""), &u) && u == 2,
	      "a name with a quote");
	CHECK(!qc_json_get(&json, 1, "a\":1") && !qc_json_get(&json, 1, "x\":null,"),
	      "text that is no name");
	CHECK(!qc_json_path(&json, 1, "text_config.rope.none"), "absent");
	CHECK(!qc_json_path(&json, 1, "text_config.none.theta"), "absent half way");
	CHECK(!qc_json_path(&json, 1, "text_config.a.theta"), "through an array");
	CHECK(!qc_json_path(&json, 1, "text_config."), "an empty name");
	CHECK(!qc_json_get(&json, 0, "x") && !qc_json_get(&json, 99, "x"), "in an absent object");
	qc_json_clear(&json);
}

static void every_accessor_takes_the_absent_value(void)
{
	struct qc_json json = document("[true,false]"), none = {0};
	struct qc_arena arena = {0};
	qc_json_value absent[] = {0, 4, 1000, UINT32_MAX};
	uint64_t u = 5;
	int64_t i = 5;
	double f = 5;
	bool b = true;
	size_t len = 5;

	for (size_t k = 0; k < COUNT(absent); k++) {
		qc_json_value v = absent[k];

		CHECK(qc_json_type_of(&json, v) == QC_JSON_ABSENT, "type %d",
		      qc_json_type_of(&json, v));
		CHECK(!qc_json_first(&json, v) && !qc_json_next(&json, v) &&
			      !qc_json_count(&json, v),
		      "children");
		CHECK(!qc_json_equals(&json, v, "") && !qc_json_key_equals(&json, v, ""), "equals");
		CHECK(!qc_json_u64(&json, v, &u) && !qc_json_i64(&json, v, &i) &&
			      !qc_json_f64(&json, v, &f) && !qc_json_bool(&json, v, &b),
		      "a number");
		CHECK(!qc_json_raw(&json, v, &len) && !len, "raw");
		CHECK(!qc_json_string(&json, v, &arena, NULL) &&
			      !qc_json_key(&json, v, &arena, NULL),
		      "text");
	}
	CHECK(u == 5 && i == 5 && f == 5 && b, "a result was touched");
	CHECK(qc_json_type_of(&none, QC_JSON_ROOT) == QC_JSON_ABSENT,
	      "an empty document has a root");
	CHECK(qc_json_bool(&json, 2, &b) && b && qc_json_bool(&json, 3, &b) && !b, "booleans");
	CHECK(!qc_json_key_equals(&json, 2, "") && !qc_json_u64(&json, 1, &u), "of the wrong kind");
	for (int type = QC_JSON_ABSENT; type <= QC_JSON_OBJECT; type++)
		CHECK(*qc_json_type_name((enum qc_json_type)type), "type %d has no name", type);
	qc_json_clear(&json);
	qc_arena_clear(&arena);
}

static void raw_text_is_what_stood_there(void)
{
	struct qc_json json = document(
		" { \"a\" : [ 1 , \"]\\\"}\" , {} ] , \"b\":1.50e0 , \"c\":\"\\u0041\" } ");
	static const struct {
		const char *name, *raw;
	} cases[] = {{"a", "[ 1 , \"]\\\"}\" , {} ]"}, {"b", "1.50e0"}, {"c", "\"\\u0041\""}};
	size_t len;
	const char *raw = qc_json_raw(&json, QC_JSON_ROOT, &len);

	CHECK(raw == json.text + 1 && len == json.size - 2, "the root: %.*s", (int)len, raw);
	for (size_t i = 0; i < COUNT(cases); i++) {
		raw = qc_json_raw(&json, qc_json_get(&json, 1, cases[i].name), &len);
		CHECK(len == strlen(cases[i].raw) && !memcmp(raw, cases[i].raw, len), "%s: %.*s",
		      cases[i].name, (int)len, raw);
	}
	CHECK(qc_json_count(&json, qc_json_get(&json, 1, "a")) == 3, "children of a");
	qc_json_clear(&json);
}

static void printed_strings_read_back_and_are_safe_to_show(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *printed;
	} cases[] = {
		{"plain", 5, "\"plain\""},
		{"\"\\/\n\x1b\x7f\0z", 8, "\"\\\"\\\\/\\u000a\\u001b\\u007f\\u0000z\""},
		{"\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
		{"\xc2\x9b", 2, "\"\\u009b\""},
		{"a\xff\xe5\xb1", 4, "\"a\\ufffd\\ufffd\\ufffd\""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct qc_json json;
		char *printed = NULL;
		size_t size;
		FILE *out = open_memstream(&printed, &size);

		NEED(out, "no memory");
		qc_json_print_string(out, cases[i].text, cases[i].len);
		NEED(!fclose(out), "no memory");
		CHECK(!strcmp(printed, cases[i].printed), "%s, not %s", printed, cases[i].printed);
		json = document(printed);
		CHECK(qc_json_type_of(&json, QC_JSON_ROOT) == QC_JSON_STRING, "%s is no string",
		      printed);
		qc_json_clear(&json);
		free(printed);
	}
}

static void values_of_good_files_are_exact(void)
{
	char *text = test_load("tests/data/badfiles/config-ok-bigint.json", NULL);
	struct qc_json json = document(text);
	uint64_t u = 0;
	int64_t i = 0;
	double f = 0;

	CHECK(qc_json_u64(&json, qc_json_get(&json, 1, "n"), &u) && u == 9007199254740993u,
	      "%" PRIu64, u);
	CHECK(qc_json_u64(&json, qc_json_get(&json, 1, "m"), &u) && u == UINT64_MAX, "%" PRIu64, u);
	CHECK(qc_json_i64(&json, qc_json_get(&json, 1, "k"), &i) && i == INT64_MIN, "%" PRId64, i);
	qc_json_clear(&json);
	free(text);

	text = test_load("tests/data/badfiles/config-ok-float-int.json", NULL);
	json = document(text);
	CHECK(qc_json_u64(&json, qc_json_get(&json, 1, "rope_theta"), &u) && u == 1000000,
	      "%" PRIu64, u);
	CHECK(qc_json_u64(&json, qc_json_get(&json, 1, "a"), &u) && u == 100, "%" PRIu64, u);
	CHECK(qc_json_f64(&json, qc_json_get(&json, 1, "b"), &f) && f == 0 && signbit(f), "%g", f);
	CHECK(qc_json_f64(&json, qc_json_get(&json, 1, "c"), &f) && f == 0x1p-1074, "%g", f);
	qc_json_clear(&json);
	free(text);

	text = test_load("tests/data/badfiles/config-ok-unicode.json", NULL);
	json = document(text);
	CHECK(qc_json_equals(&json, qc_json_get(&json, 1, "n"),
			     "\xc3\xa9\xf0\x9f\x98\x80\xe5\xb1\x82"),
	      "unicode");
	qc_json_clear(&json);
	free(text);

	/* well-formed, and not a configuration: readers ask for an object */
	text = test_load("tests/data/badfiles/json-bad-array.json", NULL);
	json = document(text);
	CHECK(qc_json_type_of(&json, QC_JSON_ROOT) == QC_JSON_ARRAY, "not an array");
	CHECK(!qc_json_get(&json, QC_JSON_ROOT, "model_type"), "a member of an array");
	qc_json_clear(&json);
	free(text);
}

int main(void)
{
	integers_are_exact();
	doubles_are_correctly_rounded_in_any_locale();
	strings_are_decoded();
	members_are_found_by_decoded_name_and_path();
	every_accessor_takes_the_absent_value();
	raw_text_is_what_stood_there();
	printed_strings_read_back_and_are_safe_to_show();
	values_of_good_files_are_exact();
	return test_end();
}

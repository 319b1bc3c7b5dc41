/* base/json's parser: what is accepted, what is refused and where. */
#include <inttypes.h>
#include <math.h>

#include "tests/json_texts.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void accept(const char *text, size_t size, int flags)
{
	struct qc_json json = {0};
	struct qc_err err = {0};
	char *copy;
	enum qc_status s = parse_copy(&json, &copy, text, size, flags, &err);

	CHECK(!s && !err.status, "refused '%.60s': %s", text, err.text);
	qc_json_clear(&json);
	free(copy);
}

/* `says` must be in the message. */
static void accept_text(const char *text)
{
	accept(text, strlen(text), 0);
}

static void refuse_text(const char *text, const char *says)
{
	refuse(text, strlen(text), 0, says);
}

static void what_the_grammar_allows_is_accepted(void)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"null",
		"true",
		"false",
		"0",
		"-0",
		"1e5",
		"-1.5E-7",
		"\"\"",
		" \t\r\n[ ] \n",
		"[1,2,[3,{\"a\":[]}],\"x\"]",
		"{\"a\":1,\"b\":{\"a\":1},\"A\":2,\"\":3}",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\uDE00\\u0000\"",
		"\"\x7f\xc3\xa9\xf0\x9f\x98\x80\"",
		"123456789012345678901234567890",
		"1e999999999999999999999",
		"[\"\\uFFFF\",\"\\uffff\"]"};

	for (size_t i = 0; i < COUNT(texts); i++)
		accept_text(texts[i]);
}

static void what_the_grammar_forbids_is_refused_where_it_stands(void)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "line 1, column 1: expected a value, found the end"},
		{"  \n ", "line 2, column 2: expected a value"},
		{"[1,]", "column 4: expected a value, found ']'"},
		{"[,1]", "column 2: expected a value, found ','"},
		{"[1 2]", "column 4: expected ',' or ']', found '2'"},
		{"[1", "column 3: expected ',' or ']', found the end"},
		{"[1}", "column 3: expected ',' or ']'"},
		{"{\"a\":1,}", "column 8: expected a key in quotes, found '}'"},
		{"{,}", "expected a key"},
		{"{\"a\"}", "expected ':'"},
		{"{\"a\" 1}", "expected ':'"},
		{"{\"a\":}", "expected a value"},
		{"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
		{"{a:1}", "expected a key in quotes, found 'a'"},
		{"{'a':1}", "expected a key in quotes"},
		{"{1:2}", "expected a key in quotes, found '1'"},
		{"{}{}", "column 3: expected the end"},
		{"{}x", "expected the end, found 'x'"},
		{"{}\v", "expected the end, found byte 0x0b"},
		{"{}\xc2\xa0", "expected the end, found byte 0xc2"},
		{"{}/**/", "expected the end"},
		{"[1]//", "expected the end"},
		{"]", "expected a value"},
		{"nul", "expected a value"},
		{"nulll", "expected the end"},
		{"True", "expected a value"},
		{"NaN", "expected a value"},
		{"[-Infinity]", "expected a value"},
		{"Infinity", "expected a value"},
		{"01", "expected the end, found '1'"},
		{"-01", "expected the end"},
		{"1.", "expected a digit, found the end"},
		{".5", "expected a value"},
		{"+1", "expected a value, found '+'"},
		{"-", "expected a digit"},
		{"1e", "expected a digit"},
		{"1e+", "expected a digit"},
		{"1.e5", "expected a digit"},
		{"0x10", "expected the end"},
		{"[1e5.5]", "expected ','"},
		{"\"", "column 1: a string without its closing quote"},
		{"[\"abc", "column 2: a string without"},
		{"\"\\", "bad escape"},
		{"\"\\\"", "without its closing quote"},
		{"\"\\x41\"", "column 2: bad escape"},
		{"\"\\'\"", "bad escape"},
		{"\"\\u12\"", "four hexadecimal digits"},
		{"\"\\u12", "four hexadecimal digits"},
		{"\"\\u12g4\"", "four hexadecimal digits"},
		{"\"\\U0041\"", "bad escape"},
		{"\"\\ud800\"", "surrogate"},
		{"\"\\ud800\\ud800\"", "surrogate"},
		{"\"\\udc00\\ud800\"", "surrogate"},
		{"\"\\udc00\"", "surrogate"},
		{"\"\\ud83d\\n\"", "surrogate"},
		{"\"\\ud83d\\u00\"", "surrogate"},
		{"\"a\nb\"", "control character"},
		{"\"\t\"", "control character"},
		{"\"\x1f\"", "control character"},
		{"\"\xff\"", "not UTF-8"},
		{"\"\xc0\x80\"", "not UTF-8"},
		{"\"\xed\xa0\x80\"", "not UTF-8"},
		{"\"\xf4\x90\x80\x80\"", "not UTF-8"},
		{"\"\xe5\xb1\"", "not UTF-8"},
		{"{\"\xff\":1}", "not UTF-8"},
		{"\"\xc3\xa9\xc3\xa9\" x", "line 1, column 6: expected the end"},
		{"[1,\r\n2,\n  x]", "line 3, column 3: expected a value, found 'x'"},
		{"\xef\xbb\xbf{}", "byte order mark"},
		{"<!doctype html>", "looks like an HTML page"},
		{"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		refuse_text(cases[i].text, cases[i].says);
	refuse("{\"a\":\"b\0\"}", 10, 0, "control character");
	refuse("{}\0\0", 4, 0, "expected the end, found byte 0x00");
	refuse("\0\0\0\0", 4, 0, "zero bytes");
	refuse("\"\\\0\"", 4, 0, "bad escape");
}

/* Every beginning of a document is no document. */
static void truncated_documents_are_refused(void)
{
	const char *text = "{\"a\":[1.5e+7,true,null,\"\\u00e9\\ud83d\\ude00\xe5\xb1\x82\"],\"b\":{"
			   "\"c\":false}}";

	accept_text(text);
	for (size_t n = 0; n < strlen(text); n++)
		refuse(text, n, 0, "line 1");
}

static void keys_are_unique_after_unescaping(void)
{
	char big[4000] = "{";
	size_t n = 1;

	refuse_text("{\"a\":1,\"b\":2,\"a\":3}", "column 14: the key 'a' is there twice");
	refuse_text("{\"a\":1,\"\\u0061\":2}", "the key 'a' is there twice");
	refuse_text("{\"\\u0061\":1,\"a\":2}", "the key 'a' is there twice");
	refuse_text("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", "is there twice");
	refuse_text("{\"\\/\":1,\"/\":2}", "the key '/' is there twice");
	refuse_text("{\"\":1,\"\":2}", "the key '' is there twice");
	refuse_text("[{},{\"x\":{\"k\":1,\"k\":1}}]", "column 17: the key 'k' is there twice");
	refuse_text("{\"\\u001b[31m\":1,\"\\u001b[31m\":2}", "the key '?[31m' is there twice");
	accept_text("{\"a\":1,\"a\\u0000\":2,\"a\\u0000b\":3,\"ab\":4,\"A\":5}");
	/* the way of comparing changes with the number of members */
	for (int i = 0; i < 300; i++) {
		n += (size_t)snprintf(big + n, sizeof(big) - n, "%s\"k%d\":%d", i ? "," : "", i, i);
		strcpy(big + n, "}");
		accept_text(big);
		strcpy(big + n, ",\"k0\":0}");
		refuse_text(big, "the key 'k0' is there twice");
		strcpy(big + n, ",\"\\u006b0\":0}");
		refuse_text(big, "the key 'k0' is there twice");
	}
}

static char *nested(const char *open, const char *close, size_t depth, size_t *size)
{
	size_t n_open = strlen(open), n_close = strlen(close);
	char *text = malloc(depth * (n_open + n_close) + 2), *to = text;

	NEED(text, "no memory");
	for (size_t i = 0; i < depth; i++, to += n_open)
		memcpy(to, open, n_open);
	*to++ = '1';
	for (size_t i = 0; i < depth; i++, to += n_close)
		memcpy(to, close, n_close);
	*size = (size_t)(to - text);
	return text;
}

static void documents_nest_128_deep_and_no_deeper(void)
{
	static const size_t too_deep[] = {129, 130, 100000, 1000000};
	size_t size;
	char *text = nested("[", "]", 128, &size);

	accept(text, size, 0);
	free(text);
	text = nested("{\"a\":", "}", 128, &size);
	accept(text, size, 0);
	free(text);
	for (size_t i = 0; i < COUNT(too_deep); i++) {
		text = nested("[", "]", too_deep[i], &size);
		refuse(text, size, 0, "column 129: nested deeper than 128");
		refuse(text, too_deep[i], 0, "nested deeper than 128");
		free(text);
		text = nested("{\"a\":", "}", too_deep[i], &size);
		refuse(text, size, 0, "nested deeper than 128");
		free(text);
	}
}

static void a_text_beyond_the_limit_is_refused_unread(void)
{
	struct qc_json json = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_json_parse(&json, "", (size_t)QC_JSON_MAX_BYTES + 1, 0, &err);

	CHECK(s == QC_BAD_INPUT && strstr(err.text, "at most 268435456"), "%d '%s'", s, err.text);
}

static void nan_and_infinities_are_numbers_only_with_the_flag(void)
{
	const char *text = "[NaN,Infinity,-Infinity,-1]";
	struct qc_json json = {0};
	struct qc_err err = {0};
	double f = 0;
	int64_t i = 0;
	uint64_t u = 0;
	qc_json_value v;

	refuse(text, strlen(text), 0, "column 2: expected a value, found 'N'");
	refuse("{\"a\":infinity}", 14, QC_JSON_ALLOW_NAN, "found 'i'");
	refuse("nan", 3, QC_JSON_ALLOW_NAN, "expected a value");
	refuse("-NaN", 4, QC_JSON_ALLOW_NAN, "expected a digit");
	refuse("-Inf", 4, QC_JSON_ALLOW_NAN, "expected a value");
	refuse("NaNN", 4, QC_JSON_ALLOW_NAN, "expected the end");
	NEED(!qc_json_parse(&json, text, strlen(text), QC_JSON_ALLOW_NAN, &err), "%s", err.text);
	v = qc_json_first(&json, QC_JSON_ROOT);
	CHECK(qc_json_type_of(&json, v) == QC_JSON_NUMBER, "NaN is no number");
	CHECK(qc_json_f64(&json, v, &f) && isnan(f), "NaN became %g", f);
	CHECK(!qc_json_u64(&json, v, &u) && !qc_json_i64(&json, v, &i), "NaN is an integer");
	v = qc_json_next(&json, v);
	CHECK(qc_json_f64(&json, v, &f) && isinf(f) && f > 0, "Infinity became %g", f);
	CHECK(!qc_json_u64(&json, v, &u), "Infinity is an integer");
	v = qc_json_next(&json, v);
	CHECK(qc_json_f64(&json, v, &f) && isinf(f) && f < 0, "-Infinity became %g", f);
	CHECK(!qc_json_i64(&json, v, &i), "-Infinity is an integer");
	v = qc_json_next(&json, v);
	CHECK(qc_json_i64(&json, v, &i) && i == -1, "-1 became %" PRId64, i);
	qc_json_clear(&json);
}

#define VOCABULARY 262144

/* The sizes of real files; quadratic work would take minutes. */
static void a_vocabulary_reads_in_linear_time(void)
{
	char *text = malloc((size_t)VOCABULARY * 32), *to = text;
	struct qc_json json = {0};
	struct qc_err err = {0};
	uint64_t expect = 0, wrong = 0;

	NEED(text, "no memory");
	*to++ = '{';
	for (int i = 0; i < VOCABULARY; i++)
		to += sprintf(to, "%s\"%s%d\":%d", i ? "," : "", i % 5 ? "\xe2\x96\x81" : "\\u2581",
			      i, i);
	strcpy(to, ",\"\xe2\x96\x81\x37\":0}");
	refuse_text(text, "is there twice");
	strcpy(to, "}");
	NEED(!qc_json_parse(&json, text, strlen(text), 0, &err), "%s", err.text);
	CHECK(qc_json_count(&json, 1) == VOCABULARY, "%u members", qc_json_count(&json, 1));
	for (qc_json_value v = qc_json_first(&json, 1); v; v = qc_json_next(&json, v)) {
		uint64_t id = 0;

		wrong += !qc_json_u64(&json, v, &id) || id != expect++;
	}
	CHECK(!wrong && expect == VOCABULARY, "%" PRIu64 " wrong of %" PRIu64, wrong, expect);
	qc_json_clear(&json);
	free(text);
}

static void bad_files_get_their_verdict(void)
{
	static const struct {
		const char *name, *says; /* NULL: accepted */
	} cases[] = {
		{"json-bad-badnum", "expected a digit"},
		{"json-bad-badnum2", "expected a value"},
		{"json-bad-badnum3", "expected a digit"},
		{"json-bad-badutf8", "not UTF-8"},
		{"json-bad-bom", "byte order mark"},
		{"json-bad-ctrl", "control character"},
		{"json-bad-dup", "'hidden_size' is there twice"},
		{"json-bad-empty", "expected a value, found the end"},
		{"json-bad-html", "HTML"},
		{"json-bad-infcase", "expected a value"},
		{"json-bad-key-num", "expected a key"},
		{"json-bad-nul", "expected the end"},
		{"json-bad-trail", "expected the end"},
		{"json-bad-trunc", "expected a value"},
		{"json-bad-utf16", "UTF-16"},
		{"json-bad-ws", "expected a value"},
		{"config-ok-basic", NULL},
		{"config-ok-bigint", NULL},
		{"config-ok-eos-int", NULL},
		{"config-ok-float-int", NULL},
		{"config-ok-null", NULL},
		{"config-ok-unicode", NULL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char path[128], *text;
		size_t size;

		snprintf(path, sizeof(path), "tests/data/badfiles/%s.json", cases[i].name);
		text = test_load(path, &size);
		/* config.json is where Python's NaN is let in: nothing else may be */
		for (int flags = 0; flags <= QC_JSON_ALLOW_NAN; flags++) {
			if (cases[i].says)
				refuse(text, size, flags, cases[i].says);
			else
				accept(text, size, flags);
		}
		free(text);
	}
}

int main(void)
{
	what_the_grammar_allows_is_accepted();
	what_the_grammar_forbids_is_refused_where_it_stands();
	truncated_documents_are_refused();
	keys_are_unique_after_unescaping();
	documents_nest_128_deep_and_no_deeper();
	a_text_beyond_the_limit_is_refused_unread();
	nan_and_infinities_are_numbers_only_with_the_flag();
	a_vocabulary_reads_in_linear_time();
	bad_files_get_their_verdict();
	return test_end();
}

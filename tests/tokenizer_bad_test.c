/* Tokenizer files that are damaged, hostile or large. */
#include <time.h>

#include "formats/tokenizer.h"
#include "tests/test.h"
#include "tests/tokenizer_files.h"

static struct qc_err err;

static void what_cannot_be_converted_is_refused_with_the_reason(void)
{
	static const struct {
		const char *file, *text, *reason;
	} cases[] = {
		{"tokenizer.json",
		 "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []},"
		 "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
		 "\"Split\"},"
		 "{\"type\": \"ByteLevel\"}]}}",
		 "pre-tokenizer"},
		{"tokenizer.json",
		 "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
		 "byte_fallback"},
		{"tokenizer.json", "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]]}}",
		 "Unigram"},
		{"tokenizer.json", "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}}}",
		 "WordPiece"},
		{"tokenizer.json", "[]", "an object is needed"},
		{"tokenizer.json", JSON("", "\"a\": 0", "\"a c\""),
		 "not all of it is in the vocabulary"},
		{"tokenizer.json", JSON("\"added_tokens\": [{\"id\": 1}],", "\"a\": 0", ""),
		 "'content' is"},
		{"tokenizer.json", JSON("", "\"a\": 5000", ""), "cannot have so many"},
		{"tokenizer.model", "<!DOCTYPE html>", "tokenizer.model"},
		{"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}",
		 "tokenizer_config.json"},
		{"tokenizer_config.json", "{\"added_tokens_decoder\": {\"7\": {\"content\": 1}}}",
		 "token 7"},
		{"added_tokens.json", "{\"a\": -1}", "added_tokens.json"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_model model;
		struct place place;

		place_open(&place);
		if (strcmp(cases[i].file, "tokenizer.json"))
			copy(&place, LLAMA, "tokenizer.model");
		put_text(&place, cases[i].file, cases[i].text);
		err = (struct qc_err){0};
		CHECK(load(&model, place.dir, "{\"model_type\": \"llama\"}", &err) &&
			      strstr(err.text, cases[i].reason),
		      "%s %s: '%s'", cases[i].file, cases[i].text, err.text);
		CHECK(strstr(err.text, cases[i].file), "'%s' does not name %s", err.text,
		      cases[i].file);
		qc_model_close(&model);
		place_close(&place);
	}
}

/* Verdict of one file; *n_tokens as read. */
static enum qc_status parse(const char *data, size_t size, bool is_json, uint32_t *n_tokens)
{
	struct qc_arena arena = {0};
	struct qc_vocab vocab = {.arena = &arena};
	struct qc_json json = {0};
	enum qc_status s;

	if (is_json) {
		s = qc_json_parse(&json, data, size, 0, &err);
		if (!s)
			s = qc_tokenizer_json_parse(&vocab, &json, &err);
	} else {
		s = qc_sentencepiece_parse(&vocab, data, size, &err);
	}
	*n_tokens = vocab.n_tokens;
	free(vocab.merges.data);
	qc_json_clear(&json);
	qc_arena_clear(&arena);
	return s;
}

static void bad_files_get_their_verdicts(void)
{
	char *list = test_load("tests/data/badfiles/manifest.tsv", NULL), *save = NULL;
	int n = 0;

	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char file[128], format[32], expect[16], path[192];
		uint32_t n_tokens;
		size_t size;
		char *data;
		enum qc_status s;

		if (sscanf(line, "%127s %31s %15s", file, format, expect) != 3 ||
		    (strcmp(format, "tokenizer") && strcmp(format, "sentencepiece")))
			continue;
		snprintf(path, sizeof(path), "tests/data/badfiles/%s", file);
		data = test_load(path, &size);
		s = parse(data, size, !strcmp(format, "tokenizer"), &n_tokens);
		CHECK(!s == !strcmp(expect, "accept"), "%s: %d '%s', not %s", file, s,
		      s ? err.text : "", expect);
		free(data);
		n++;
	}
	CHECK(n >= 38, "only %d cases", n);
	free(list);
}

static void a_piece_of_a_mebibyte_is_refused(void)
{
	const uint32_t len = 1 << 20;
	uint8_t *data = calloc(1, len + 8);
	uint32_t n_tokens;

	NEED(data, "no memory");
	memcpy(data, "\x0a\x84\x80\x40\x0a\x80\x80\x40", 8); /* piece { text of 2^20 bytes } */
	CHECK(parse((char *)data, len + 8, false, &n_tokens) && strstr(err.text, "1048576 bytes"),
	      "'%s'", err.text);
	free(data);
}

static void a_tokenizer_cut_anywhere_never_has_more_pieces(void)
{
	size_t size;
	char *data = test_load(LLAMA "/tokenizer.model", &size);
	uint32_t n, accepted = 0;

	for (size_t i = 0; i < size; i++) {
		char *cut = malloc(i + 1); /* an exact copy, for sanitizers */

		NEED(cut, "no memory");
		memcpy(cut, data, i);
		if (!parse(cut, i, false, &n)) {
			CHECK(n && n <= 1024, "%u pieces", n);
			accepted++;
		}
		free(cut);
	}
	CHECK(accepted >= 1023 && accepted < size / 4, "%u cuts are whole files", accepted);
	free(data);
}

/* A vocabulary of 2^18 tokens with as many merges, in the time that its size takes. */
static void a_large_vocabulary_is_read_in_linear_time(void)
{
	enum { N = 1 << 18 };
	char *text = malloc(N * 48), *at = text;
	const clock_t start = clock();
	uint32_t n_tokens;

	NEED(text, "no memory");
	at += sprintf(
		at,
		"{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": {\"a\": 0");
	for (int i = 0; i < 10; i++)
		at += sprintf(at, ",\"%d\": %d", i, i + 1);
	for (int i = 10; i < N; i++)
		at += sprintf(at, ",\"%d\": %d", i, i + 1);
	at += sprintf(at, "}, \"merges\": [\"1 0\"");
	for (int i = 11; i < N; i++)
		at += sprintf(at, ",[\"%d\",\"%d\"]", i / 10, i % 10);
	at += sprintf(at, "]}}");
	CHECK(!parse(text, (size_t)(at - text), true, &n_tokens), "%s", err.text);
	CHECK(n_tokens == N + 1, "%u tokens", n_tokens);
	CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5, "took %g s",
	      (double)(clock() - start) / CLOCKS_PER_SEC);
	free(text);
}

int main(void)
{
	what_cannot_be_converted_is_refused_with_the_reason();
	bad_files_get_their_verdicts();
	a_piece_of_a_mebibyte_is_refused();
	a_tokenizer_cut_anywhere_never_has_more_pieces();
	a_large_vocabulary_is_read_in_linear_time();
	return test_end();
}

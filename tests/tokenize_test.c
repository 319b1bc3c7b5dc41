/* Text to ids: those of the models' own tokenizers. */
#include <limits.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/json.h"
#include "calib/tokenize.h"
#include "formats/arch/arch.h"
#include "formats/model.h"
#include "formats/tokenizer.h"
#include "tests/test.h"
#include "tests/tokenize_models.h"

static struct qc_err err;

/* The ids of a text are those of a JSON array. */
static void check_ids(const struct qc_tokenizer *tok, const char *what, const char *text,
		      size_t len, unsigned flags, const struct qc_json *json, qc_json_value want)
{
	struct qc_ids ids = {0};
	size_t i = 0;

	encode(tok, text, len, flags, &ids);
	CHECK(ids.n == qc_json_count(json, want), "%s: '%s' gives %zu ids, not %u", what, text,
	      ids.n, qc_json_count(json, want));
	for (qc_json_value v = qc_json_first(json, want); v && i < ids.n;
	     v = qc_json_next(json, v), i++) {
		uint64_t id = UINT64_MAX;

		CHECK(qc_json_u64(json, v, &id) && id == ids.ids[i],
		      "%s: '%s' id %zu is %u, not %llu", what, text, i, ids.ids[i],
		      (unsigned long long)id);
	}
	qc_ids_clear(&ids);
}

/* `key` of every case of a model; returns how many there are. */
static size_t check_cases(const struct qc_tokenizer *tok, const char *goldens, const char *key,
			  unsigned flags)
{
	char path[128], *data;
	struct qc_json json = {0};
	struct qc_arena arena = {0};
	size_t n = 0, size;

	snprintf(path, sizeof(path), "%s.json", goldens);
	data = test_load(path, &size);
	NEED(!qc_json_parse(&json, data, size, 0, &err), "%s: %s", path, err.text);
	for (qc_json_value c =
		     qc_json_first(&json, qc_json_path(&json, QC_JSON_ROOT, "tokenizer.cases"));
	     c; c = qc_json_next(&json, c)) {
		const qc_json_value want = qc_json_get(&json, c, key);
		size_t len;
		const char *text =
			qc_json_string(&json, qc_json_get(&json, c, "text"), &arena, &len);

		if (!want)
			continue;
		check_ids(tok, key, text, len, flags, &json, want);
		n++;
	}
	qc_json_clear(&json);
	qc_arena_clear(&arena);
	free(data);
	return n;
}

static void golden_strings_have_their_golden_ids(void)
{
	for (size_t i = 0; i < N_MODELS; i++) {
		struct opened o;
		size_t n;

		open_model(&o, i);
		n = check_cases(o.tok, models[i].goldens, "ids", QC_ENCODE_PARSE_SPECIAL);
		n += check_cases(o.tok, models[i].goldens, "ids_add_special_tokens",
				 QC_ENCODE_PARSE_SPECIAL | QC_ENCODE_ADD_SPECIAL);
		CHECK(n == 24, "%s: %zu golden lists", models[i].dir, n);
		close_model(&o);
	}
}

/* A tokenizer.model without any other tokenizer file, under a configuration of its kind. */
static void tokenizer_model_alone_has_the_ids_of_sentencepiece(void)
{
	static const struct {
		size_t model;
		const char *config;
	} cases[] = {
		{0, "{\"model_type\": \"gemma3_text\", \"bos_token_id\": 2}"},
		{1, "{\"model_type\": \"llama\", \"bos_token_id\": 1}"},
		{2, "{\"model_type\": \"gemma3_text\", \"bos_token_id\": 2}"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char dir[] = "/tmp/qconv-tokenize-XXXXXX", from[128], from_real[PATH_MAX], to[64];
		struct qc_model model = {.path = dir, .dir = dir};
		struct qc_tokenizer *tok;
		size_t n;

		NEED(mkdtemp(dir), "cannot make a directory");
		snprintf(to, sizeof(to), "%s/tokenizer.model", dir);
		snprintf(from, sizeof(from), "%s/tokenizer.model", models[cases[i].model].dir);
		NEED(realpath(from, from_real) && !symlink(from_real, to), "cannot link %s", from);
		model.meta.arena = &model.arena;
		NEED(!qc_arch_from_config(&model, strdup(cases[i].config), strlen(cases[i].config),
					  &err) &&
			     !qc_tokenizer_load(&model, &err) &&
			     !qc_tokenizer_open(&tok, &model, &err),
		     "%s", err.text);
		n = check_cases(tok, models[cases[i].model].goldens, "ids_sentencepiece", 0);
		CHECK(n == 12, "%zu lists", n);
		qc_tokenizer_close(tok);
		qc_model_close(&model);
		unlink(to);
		rmdir(dir);
	}
}

/* The windows of the golden loss are cut from the ids of the whole held-out text. */
static void the_heldout_text_has_the_ids_of_the_golden_windows(void)
{
	size_t len, size;
	char *text = test_load("samples/generated-heldout.txt", &len), path[128];

	for (size_t i = 0; i < N_MODELS; i++) {
		struct qc_ids ids = {0};
		struct opened o;
		uint8_t *want;
		size_t bos;

		open_model(&o, i);
		encode(o.tok, text, len, 0, &ids);
		snprintf(path, sizeof(path), "%s.windows.i32", models[i].goldens);
		want = (uint8_t *)test_load(path, &size);
		NEED(size == 8 * 256 * 4, "%s has %zu bytes", path, size);
		bos = qc_tokenizer_adds_bos(o.tok);
		NEED(ids.n >= 8 * (256 - bos), "%zu ids", ids.n);
		for (size_t w = 0; w < 8; w++)
			for (size_t k = bos; k < 256; k++) {
				const uint32_t id = qc_le32(want + 4 * (256 * w + k));
				const size_t at = (256 - bos) * w + k - bos;

				CHECK(ids.ids[at] == id, "%s: id %zu is %u, not %u", path, at,
				      ids.ids[at], id);
			}
		free(want);
		qc_ids_clear(&ids);
		close_model(&o);
	}
	free(text);
}

static void empty_text_has_only_the_bos(void)
{
	for (size_t i = 0; i < N_MODELS; i++) {
		struct qc_ids ids = {0};
		struct opened o;
		uint32_t bos = 0;

		open_model(&o, i);
		encode(o.tok, "", 0, QC_ENCODE_PARSE_SPECIAL, &ids);
		CHECK(ids.n == 0, "%zu ids", ids.n);
		encode(o.tok, NULL, 0, QC_ENCODE_ADD_SPECIAL, &ids);
		CHECK(ids.n == qc_tokenizer_adds_bos(o.tok), "%zu ids", ids.n);
		CHECK(!ids.n || (qc_tokenizer_bos(o.tok, &bos) && ids.ids[0] == bos),
		      "%u is not the BOS", bos);
		qc_ids_clear(&ids);
		close_model(&o);
	}
}

static void control_tokens_in_text_are_text_unless_parsed(void)
{
	static const char *const controls[N_MODELS] = {"<eos>", "</s>", "<eos>", "<|return|>"};

	for (size_t i = 0; i < N_MODELS; i++) {
		const size_t len = strlen(controls[i]);
		struct qc_ids ids = {0};
		struct opened o;
		char *text;
		size_t n;

		open_model(&o, i);
		encode(o.tok, controls[i], len, 0, &ids);
		CHECK(ids.n > 1, "%s is %zu ids", controls[i], ids.n);
		check_round_trip(o.tok, controls[i], len, 0, models[i].dir);
		encode(o.tok, controls[i], len, QC_ENCODE_PARSE_SPECIAL, &ids);
		CHECK(ids.n == 1 && qc_tokenizer_is_end(o.tok, ids.ids[0]), "%s is %zu ids",
		      controls[i], ids.n);
		NEED(!qc_tokenizer_decode(o.tok, ids.ids, 1, 0, &text, &n, &err), "%s", err.text);
		CHECK(n == 0, "'%s' is shown", text);
		free(text);
		NEED(!qc_tokenizer_decode(o.tok, ids.ids, 1, QC_DECODE_SPECIAL, &text, &n, &err),
		     "%s", err.text);
		CHECK(n == len && !strcmp(text, controls[i]), "'%s', not '%s'", text, controls[i]);
		free(text);
		qc_ids_clear(&ids);
		close_model(&o);
	}
}

static void harmony_ends_with_return_and_not_with_end(void)
{
	static const struct {
		const char *text;
		bool parsed_always, ends;
	} cases[] = {
		{"<|end|>", true, false},     {"<|start|>", true, false},
		{"<|channel|>", true, false}, {"<|return|>", false, true},
		{"<|call|>", false, true},    {"<|endoftext|>", false, true},
	};
	struct qc_ids ids = {0};
	struct opened o;

	open_model(&o, 3);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		encode(o.tok, cases[i].text, strlen(cases[i].text), 0, &ids);
		CHECK((ids.n == 1) == cases[i].parsed_always, "%s is %zu ids", cases[i].text,
		      ids.n);
		encode(o.tok, cases[i].text, strlen(cases[i].text), QC_ENCODE_PARSE_SPECIAL, &ids);
		CHECK(ids.n == 1 && qc_tokenizer_is_end(o.tok, ids.ids[0]) == cases[i].ends,
		      "%s is an end or is not", cases[i].text);
	}
	qc_ids_clear(&ids);
	close_model(&o);
}

/* One word of a mebibyte; time that grew with the square would be hours. */
static void long_words_take_their_time_and_no_more(void)
{
	const size_t len = 1 << 20;
	char *text = malloc(len);

	NEED(text, "no memory");
	for (size_t i = 0; i < N_MODELS; i++)
		for (int kind = 0; kind < 5; kind++) {
			struct qc_ids ids = {0};
			struct opened o;
			uint64_t state = 1;
			const clock_t start = clock();
			double seconds;

			for (size_t k = 0; k < len; k++)
				text[k] = kind == 0   ? 'a'
					  : kind == 1 ? (char)('a' + next_random(&state) % 26)
					  : kind == 2 ? ' '
					  : kind == 3 ? '\n'
						      : (char)('A' + k % 2 * 32);
			open_model(&o, i);
			encode(o.tok, text, len, QC_ENCODE_PARSE_SPECIAL, &ids);
			seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
			CHECK(seconds < 60, "%s, text %d: %.1f s", models[i].dir, kind, seconds);
			CHECK(ids.n > 100, "%zu ids", ids.n);
			check_round_trip(o.tok, text, len, 0, models[i].dir);
			qc_ids_clear(&ids);
			close_model(&o);
		}
	free(text);
}

int main(void)
{
	golden_strings_have_their_golden_ids();
	tokenizer_model_alone_has_the_ids_of_sentencepiece();
	the_heldout_text_has_the_ids_of_the_golden_windows();
	empty_text_has_only_the_bos();
	control_tokens_in_text_are_text_unless_parsed();
	harmony_ends_with_return_and_not_with_end();
	long_words_take_their_time_and_no_more();
	return test_end();
}

/* Tokenizer files: tokenizer.model and tokenizer.json give one result, odd files their verdicts. */
#include "formats/tokenizer.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "formats/arch/arch.h"
#include "tests/test.h"

#define LLAMA "tests/data/models/tiny-llama"
#define GEMMA "samples/tiny-gemma3"

static struct qc_err err;

/* A directory of its own for a test's files. */
struct place {
	char dir[64];
};

static void place_open(struct place *place)
{
	snprintf(place->dir, sizeof(place->dir), "/tmp/qconv-tokenizer-XXXXXX");
	NEED(mkdtemp(place->dir), "cannot make a directory");
}

static void place_close(struct place *place)
{
	DIR *stream = opendir(place->dir);
	char path[512];

	for (struct dirent *entry; stream && (entry = readdir(stream));) {
		snprintf(path, sizeof(path), "%s/%s", place->dir, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (stream)
		closedir(stream);
	rmdir(place->dir);
}

static void put(const struct place *place, const char *name, const char *text, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", place->dir, name);
	f = fopen(path, "wb");
	NEED(f && fwrite(text, 1, size, f) == size && !fclose(f), "cannot write %s", path);
}

static void put_text(const struct place *place, const char *name, const char *text)
{
	put(place, name, text, strlen(text));
}

static void copy(const struct place *place, const char *from, const char *name)
{
	char path[128];
	size_t size;
	char *data;

	snprintf(path, sizeof(path), "%s/%s", from, name);
	data = test_load(path, &size);
	put(place, name, data, size);
	free(data);
}

/* A model without tensors in `dir`, with the configuration `config`. */
static enum qc_status load(struct qc_model *model, const char *dir, const char *config)
{
	*model = (struct qc_model){.path = dir, .dir = dir};
	model->meta.arena = &model->arena;
	NEED(!qc_arch_from_config(model, strdup(config), strlen(config), &err), "%s", err.text);
	return qc_tokenizer_load(model, &err);
}

/* The configuration of the model in `from`. */
static enum qc_status load_like(struct qc_model *model, const char *dir, const char *from)
{
	char path[128], *config;
	enum qc_status s;

	snprintf(path, sizeof(path), "%s/config.json", from);
	config = test_load(path, NULL);
	s = load(model, dir, config);
	free(config);
	return s;
}

static const struct qc_kv *need_kv(const struct qc_model *model, const char *key)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);

	NEED(kv, "%s is missing", key);
	return kv;
}

static void check_token(const struct qc_model *model, uint32_t id, const char *text, float score,
			uint32_t type)
{
	const struct qc_kv *kv = need_kv(model, "tokenizer.ggml.tokens");
	const uint8_t *scores = need_kv(model, "tokenizer.ggml.scores")->data;
	const uint8_t *types = need_kv(model, "tokenizer.ggml.token_type")->data;
	const char *have = NULL;
	size_t at = 0, len = 0;

	for (uint32_t i = 0; i <= id; i++)
		NEED(qc_kv_next_string(kv, &at, &have, &len), "token %u is missing", id);
	CHECK(len == strlen(text) && !memcmp(have, text, len), "token %u is '%.*s', not '%s'", id,
	      (int)len, have, text);
	CHECK(qc_bits_f32(qc_le32(scores + 4 * id)) == score, "token %u has the score %g, not %g",
	      id, qc_bits_f32(qc_le32(scores + 4 * id)), score);
	CHECK(qc_le32(types + 4 * id) == type, "token %u has type %u, not %u", id,
	      qc_le32(types + 4 * id), type);
}

static void check_id(const struct qc_model *model, const char *key, uint32_t want)
{
	uint32_t have = UINT32_MAX;

	CHECK(qc_meta_u32(&model->meta, key, &have) && have == want, "%s is %u, not %u", key, have,
	      want);
}

static void check_bool(const struct qc_model *model, const char *key, bool want)
{
	bool have = !want;

	CHECK(qc_meta_bool(&model->meta, key, &have) && have == want, "%s is not %d", key, want);
}

static void check_text(const struct qc_model *model, const char *key, const char *want)
{
	const char *have = "(absent)";
	size_t len = 8;

	(void)!qc_meta_string(&model->meta, key, &have, &len);
	CHECK(len == strlen(want) && !memcmp(have, want, len), "%s is '%.*s', not '%s'", key,
	      (int)len, have, want);
}

/* All tokenizer.* keys of `a` are in `b` with the same bytes. */
static void check_same_tokenizer(const struct qc_model *a, const struct qc_model *b,
				 const char *what)
{
	size_t n = 0;

	for (size_t i = 0; i < a->meta.n; i++) {
		const struct qc_kv *x = &a->meta.kvs[i], *y = qc_meta_find(&b->meta, x->key);

		if (strncmp(x->key, "tokenizer.", 10))
			continue;
		n++;
		NEED(y, "%s: %s is missing", what, x->key);
		CHECK(x->type == y->type && x->elem == y->elem && x->n == y->n &&
			      x->bytes == y->bytes && !memcmp(x->data, y->data, x->bytes),
		      "%s: %s differs", what, x->key);
	}
	CHECK(n >= 8, "%s: %zu keys", what, n);
}

static void tokenizer_model_and_tokenizer_json_give_the_same(void)
{
	static const char *const models[] = {LLAMA, GEMMA};

	for (size_t i = 0; i < 2; i++) {
		struct qc_model both, pieces, json;
		struct place a, b;

		place_open(&a);
		copy(&a, models[i], "tokenizer.model");
		copy(&a, models[i], "tokenizer_config.json");
		place_open(&b);
		copy(&b, models[i], "tokenizer.json");
		copy(&b, models[i], "tokenizer_config.json");
		NEED(!load_like(&both, models[i], models[i]) &&
			     !load_like(&pieces, a.dir, models[i]) &&
			     !load_like(&json, b.dir, models[i]),
		     "%s: %s", models[i], err.text);
		check_same_tokenizer(&both, &pieces, "tokenizer.model alone");
		check_same_tokenizer(&pieces, &both, "tokenizer.model alone");
		check_same_tokenizer(&both, &json, "tokenizer.json alone");
		check_same_tokenizer(&json, &both, "tokenizer.json alone");
		CHECK(strstr(json.tokenizer_note, "tokenizer.json, 1024 tokens"), "'%s'",
		      json.tokenizer_note);
		qc_model_close(&both);
		qc_model_close(&pieces);
		qc_model_close(&json);
		place_close(&a);
		place_close(&b);
	}
}

static void gemma_has_its_types_ids_and_flags(void)
{
	struct qc_model model;

	NEED(!load_like(&model, GEMMA, GEMMA), "%s", err.text);
	check_token(&model, 0, "<pad>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 3, "<unk>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 4, "<mask>", -1000, QC_TOKEN_CONTROL); /* not special, but looks so */
	check_token(&model, 8, "\n\n", -1000, QC_TOKEN_USER_DEFINED);
	check_token(&model, 12, "    ", -1000, QC_TOKEN_USER_DEFINED); /* four U+2581 */
	check_token(&model, 13, "<0x00>", 0, QC_TOKEN_BYTE);
	check_token(&model, 270, "he", -1, QC_TOKEN_NORMAL);
	check_id(&model, "tokenizer.ggml.bos_token_id", 2);
	check_id(&model, "tokenizer.ggml.eos_token_id", 1);
	check_id(&model, "tokenizer.ggml.unknown_token_id", 3);
	check_id(&model, "tokenizer.ggml.padding_token_id", 0);
	check_bool(&model, "tokenizer.ggml.add_bos_token", true);
	check_bool(&model, "tokenizer.ggml.add_eos_token", false);
	check_bool(&model, "tokenizer.ggml.add_space_prefix", false);
	check_text(&model, "tokenizer.ggml.model", "llama");
	check_text(&model, "tokenizer.ggml.pre", "default");
	qc_model_close(&model);
}

/* BPE with byte fallback; `more` continues the root object, `vocab` and `merges` fill the model. */
#define JSON(more, vocab, merges)                                                                  \
	"{" more "\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": {" vocab      \
	"}, \"merges\": [" merges "]}}"

static void holes_and_the_tail_are_padded(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	put_text(&place, "tokenizer.json",
		 JSON("\"added_tokens\": [{\"id\": 3, \"content\": \"<x>\", \"special\": true}],",
		      "\"a\": 0, \"b\": 4, \"ab\": 5, \"<0x0A>\": 1", "\"a b\""));
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 8}"), "%s",
	     err.text);
	check_token(&model, 0, "a", -1, QC_TOKEN_NORMAL);
	check_token(&model, 1, "<0x0A>", 0, QC_TOKEN_BYTE);
	check_token(&model, 2, "[PAD2]", -10000, QC_TOKEN_UNUSED);
	check_token(&model, 3, "<x>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 4, "b", -2, QC_TOKEN_NORMAL);
	check_token(&model, 5, "ab", 0, QC_TOKEN_NORMAL);
	check_token(&model, 7, "[PAD7]", -10000, QC_TOKEN_UNUSED);
	CHECK(need_kv(&model, "tokenizer.ggml.tokens")->n == 8, "%llu tokens",
	      (unsigned long long)need_kv(&model, "tokenizer.ggml.tokens")->n);
	check_bool(&model, "tokenizer.ggml.add_space_prefix", false); /* nothing prepends one */
	qc_model_close(&model);
	/* the other way: a vocabulary that the model has no rows for is cut */
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 3}"), "%s",
	     err.text);
	CHECK(need_kv(&model, "tokenizer.ggml.scores")->n == 3, "not cut");
	CHECK(strstr(model.tokenizer_note, "left out"), "'%s'", model.tokenizer_note);
	qc_model_close(&model);
	place_close(&place);
}

static void added_tokens_come_from_every_file(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	copy(&place, LLAMA, "tokenizer.model");
	put_text(&place, "added_tokens.json", "{\"<added>\": 1024, \"<far>\": 99999}");
	put_text(&place, "tokenizer_config.json",
		 "{\"added_tokens_decoder\": {\"1025\": {\"content\": \"\\u2581x\", \"special\": "
		 "false},"
		 "\"1026\": {\"content\": \"<|im_end|>\"}, \"1027\": {\"content\": \"<unused7>\"},"
		 "\"1028\": {\"content\": \"<\\uff5cend\\uff5c>\"}, \"4000\": {\"content\": "
		 "\"far\"}},"
		 "\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"<|im_end|>\", "
		 "\"pad_token\": null,"
		 "\"add_prefix_space\": false}");
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 1030}"), "%s",
	     err.text);
	check_token(&model, 0, "<unk>", 0, QC_TOKEN_UNKNOWN);
	check_token(&model, 1, "<s>", 0, QC_TOKEN_CONTROL);
	check_token(&model, 1024, "<added>", -1000, QC_TOKEN_USER_DEFINED);
	check_token(&model, 1025, " x", -1000, QC_TOKEN_USER_DEFINED);
	check_token(&model, 1026, "<|im_end|>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 1027, "<unused7>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 1028, "<\uff5cend\uff5c>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 1029, "[PAD1029]", -10000, QC_TOKEN_UNUSED);
	check_id(&model, "tokenizer.ggml.bos_token_id", 1);
	check_id(&model, "tokenizer.ggml.eos_token_id", 1026);
	CHECK(!qc_meta_find(&model.meta, "tokenizer.ggml.padding_token_id"), "a padding id");
	CHECK(!qc_meta_find(&model.meta, "tokenizer.ggml.add_bos_token"), "add_bos is there");
	check_bool(&model, "tokenizer.ggml.add_space_prefix", false);
	qc_model_close(&model);
	place_close(&place);
}

static void special_ids_fall_back_to_the_configuration(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	copy(&place, LLAMA, "tokenizer.model");
	NEED(!load(&model, place.dir,
		   "{\"model_type\": \"llama\", \"vocab_size\": 1024, \"bos_token_id\": 1, "
		   "\"eos_token_id\": [2, 7],"
		   "\"pad_token_id\": 32000}"),
	     "%s", err.text);
	check_id(&model, "tokenizer.ggml.bos_token_id", 1);
	check_id(&model, "tokenizer.ggml.eos_token_id", 2);
	CHECK(!qc_meta_find(&model.meta, "tokenizer.ggml.padding_token_id"),
	      "a padding id out of range");
	qc_model_close(&model);
	/* without a tokenizer_config.json the post-processor tells whether a first token is put
	 * there */
	copy(&place, LLAMA, "tokenizer.json");
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 1024}"), "%s",
	     err.text);
	check_bool(&model, "tokenizer.ggml.add_bos_token", true);
	qc_model_close(&model);
	place_close(&place);
}

static void chat_templates_come_in_four_forms(void)
{
	static const char config[] = "{\"model_type\": \"llama\", \"vocab_size\": 1024}";
	struct qc_model model;
	struct place place;

	place_open(&place);
	copy(&place, LLAMA, "tokenizer.model");
	put_text(&place, "chat_template.json", "{\"chat_template\": \"from json\"}");
	NEED(!load(&model, place.dir, config), "%s", err.text);
	check_text(&model, "tokenizer.chat_template", "from json");
	qc_model_close(&model);
	put_text(&place, "chat_template.jinja", "from jinja\n");
	NEED(!load(&model, place.dir, config), "%s", err.text);
	check_text(&model, "tokenizer.chat_template", "from jinja\n");
	qc_model_close(&model);
	put_text(&place, "tokenizer_config.json",
		 "{\"chat_template\": [{\"name\": \"default\", \"template\": \"main\"}, {\"name\": "
		 "\"tool use\","
		 "\"template\": \"tools\"}, {\"name\": 3}]}");
	NEED(!load(&model, place.dir, config), "%s", err.text);
	check_text(&model, "tokenizer.chat_template", "main");
	check_text(&model, "tokenizer.chat_template.tool_use", "tools");
	CHECK(need_kv(&model, "tokenizer.chat_templates")->n == 1, "names are missing");
	qc_model_close(&model);
	put_text(&place, "tokenizer_config.json", "{\"chat_template\": \"own\"}");
	NEED(!load(&model, place.dir, config), "%s", err.text);
	check_text(&model, "tokenizer.chat_template", "own");
	qc_model_close(&model);
	place_close(&place);
}

static void no_tokenizer_is_a_note_and_not_an_error(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\"}"), "%s", err.text);
	CHECK(model.tokenizer_note && strstr(model.tokenizer_note, "none"), "'%s'",
	      model.tokenizer_note);
	CHECK(!qc_meta_find(&model.meta, "tokenizer.ggml.model"), "a tokenizer from nowhere");
	qc_model_close(&model);
	place_close(&place);
}

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
		CHECK(load(&model, place.dir, "{\"model_type\": \"llama\"}") &&
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
	tokenizer_model_and_tokenizer_json_give_the_same();
	gemma_has_its_types_ids_and_flags();
	holes_and_the_tail_are_padded();
	added_tokens_come_from_every_file();
	special_ids_fall_back_to_the_configuration();
	chat_templates_come_in_four_forms();
	no_tokenizer_is_a_note_and_not_an_error();
	what_cannot_be_converted_is_refused_with_the_reason();
	bad_files_get_their_verdicts();
	a_piece_of_a_mebibyte_is_refused();
	a_tokenizer_cut_anywhere_never_has_more_pieces();
	a_large_vocabulary_is_read_in_linear_time();
	return test_end();
}

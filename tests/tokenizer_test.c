/* Tokenizers: SentencePiece models and tokenizer.json to tokenizer.ggml.*, every key that llama.cpp
 * reads. */
#include "base/bytes.h"
#include "formats/tokenizer.h"
#include "tests/arch_model.h"
#include "tests/test.h"
#include "tests/tokenizer_files.h"

static struct qc_err err;

/* The configuration of the model in `from`. */
static enum qc_status load_like(struct qc_model *model, const char *dir, const char *from)
{
	char path[128], *config;
	enum qc_status s;

	snprintf(path, sizeof(path), "%s/config.json", from);
	config = test_load(path, NULL);
	s = load(model, dir, config, &err);
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

static void check_bool(const struct qc_model *model, const char *key, bool want)
{
	bool have = !want;

	CHECK(qc_meta_bool(&model->meta, key, &have) && have == want, "%s is not %d", key, want);
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
	am_check_u32(&model, "tokenizer.ggml.bos_token_id", 2);
	am_check_u32(&model, "tokenizer.ggml.eos_token_id", 1);
	am_check_u32(&model, "tokenizer.ggml.unknown_token_id", 3);
	am_check_u32(&model, "tokenizer.ggml.padding_token_id", 0);
	check_bool(&model, "tokenizer.ggml.add_bos_token", true);
	check_bool(&model, "tokenizer.ggml.add_eos_token", false);
	check_bool(&model, "tokenizer.ggml.add_space_prefix", false);
	am_check_string(&model, "tokenizer.ggml.model", "llama");
	am_check_string(&model, "tokenizer.ggml.pre", "default");
	qc_model_close(&model);
}

static void holes_and_the_tail_are_padded(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	put_text(&place, "tokenizer.json",
		 JSON("\"added_tokens\": [{\"id\": 3, \"content\": \"<x>\", \"special\": true}],",
		      "\"a\": 0, \"b\": 4, \"ab\": 5, \"<0x0A>\": 1", "\"a b\""));
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 8}", &err), "%s",
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
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 3}", &err), "%s",
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
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 1030}", &err),
	     "%s", err.text);
	check_token(&model, 0, "<unk>", 0, QC_TOKEN_UNKNOWN);
	check_token(&model, 1, "<s>", 0, QC_TOKEN_CONTROL);
	check_token(&model, 1024, "<added>", -1000, QC_TOKEN_USER_DEFINED);
	check_token(&model, 1025, " x", -1000, QC_TOKEN_USER_DEFINED);
	check_token(&model, 1026, "<|im_end|>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 1027, "<unused7>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 1028, "<\uff5cend\uff5c>", -1000, QC_TOKEN_CONTROL);
	check_token(&model, 1029, "[PAD1029]", -10000, QC_TOKEN_UNUSED);
	am_check_u32(&model, "tokenizer.ggml.bos_token_id", 1);
	am_check_u32(&model, "tokenizer.ggml.eos_token_id", 1026);
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
		   "\"pad_token_id\": 32000}",
		   &err),
	     "%s", err.text);
	am_check_u32(&model, "tokenizer.ggml.bos_token_id", 1);
	am_check_u32(&model, "tokenizer.ggml.eos_token_id", 2);
	CHECK(!qc_meta_find(&model.meta, "tokenizer.ggml.padding_token_id"),
	      "a padding id out of range");
	qc_model_close(&model);
	/* without a tokenizer_config.json the post-processor tells whether a first token is put
	 * there */
	copy(&place, LLAMA, "tokenizer.json");
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\", \"vocab_size\": 1024}", &err),
	     "%s", err.text);
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
	NEED(!load(&model, place.dir, config, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.chat_template", "from json");
	qc_model_close(&model);
	put_text(&place, "chat_template.jinja", "from jinja\n");
	NEED(!load(&model, place.dir, config, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.chat_template", "from jinja\n");
	qc_model_close(&model);
	put_text(&place, "tokenizer_config.json",
		 "{\"chat_template\": [{\"name\": \"default\", \"template\": \"main\"}, {\"name\": "
		 "\"tool use\","
		 "\"template\": \"tools\"}, {\"name\": 3}]}");
	NEED(!load(&model, place.dir, config, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.chat_template", "main");
	am_check_string(&model, "tokenizer.chat_template.tool_use", "tools");
	CHECK(need_kv(&model, "tokenizer.chat_templates")->n == 1, "names are missing");
	qc_model_close(&model);
	put_text(&place, "tokenizer_config.json", "{\"chat_template\": \"own\"}");
	NEED(!load(&model, place.dir, config, &err), "%s", err.text);
	am_check_string(&model, "tokenizer.chat_template", "own");
	qc_model_close(&model);
	place_close(&place);
}

static void no_tokenizer_is_a_note_and_not_an_error(void)
{
	struct qc_model model;
	struct place place;

	place_open(&place);
	NEED(!load(&model, place.dir, "{\"model_type\": \"llama\"}", &err), "%s", err.text);
	CHECK(model.tokenizer_note && strstr(model.tokenizer_note, "none"), "'%s'",
	      model.tokenizer_note);
	CHECK(!qc_meta_find(&model.meta, "tokenizer.ggml.model"), "a tokenizer from nowhere");
	qc_model_close(&model);
	place_close(&place);
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
	return test_end();
}

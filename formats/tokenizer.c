/*
 * A Hugging Face directory's tokenizer as metadata: the vocabulary of tokenizer.model (else
 * tokenizer.json), added tokens put over it, holes and the tail up to vocab_size filled with
 * [PAD{id}], as llama.cpp's converter does.
 */
#include "formats/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "formats/arch/arch.h"
#include "formats/hf.h"

#define MAX_SMALL_BYTES	 (32u << 20)
#define MAX_PIECES_BYTES (64u << 20)

#define PADDING_SCORE -10000.0f

static enum qc_status load_json(struct qc_model *model, const char *name, uint64_t max, char **text,
				struct qc_json *json, struct qc_err *err)
{
	size_t size;
	enum qc_status s = qc_hf_load_text(model, name, max, text, &size, err);

	if (s || !*text)
		return s;
	s = qc_json_parse(json, *text, size, QC_JSON_ALLOW_NAN | QC_JSON_LEAVE_LONG, err);
	if (!s && qc_json_type_of(json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		s = qc_fail(err, QC_BAD_INPUT, "the file is %s, an object is needed",
			    qc_json_type_name(qc_json_type_of(json, QC_JSON_ROOT)));
	return s ? qc_fail_in(err, "reading '%s/%s'", model->dir, name) : QC_OK;
}

static enum qc_status load_files(struct qc_model *model, struct qc_tokenizer_files *files,
				 struct qc_err *err)
{
	enum qc_status s = qc_hf_load_text(model, "tokenizer.model", MAX_PIECES_BYTES,
					   &files->pieces, &files->pieces_size, err);

	if (!s)
		s = load_json(model, "tokenizer.json", QC_JSON_MAX_BYTES, &files->texts[0],
			      &files->tokenizer, err);
	if (!s)
		s = load_json(model, "tokenizer_config.json", MAX_SMALL_BYTES, &files->texts[1],
			      &files->config, err);
	if (!s)
		s = load_json(model, "added_tokens.json", MAX_SMALL_BYTES, &files->texts[2],
			      &files->added, err);
	if (!s)
		s = load_json(model, "chat_template.json", MAX_SMALL_BYTES, &files->texts[3],
			      &files->template, err);
	if (!s)
		s = qc_hf_load_text(model, "chat_template.jinja", MAX_SMALL_BYTES, &files->jinja,
				    &files->jinja_size, err);
	return s;
}

static void clear_files(struct qc_tokenizer_files *files)
{
	qc_json_clear(&files->tokenizer);
	qc_json_clear(&files->config);
	qc_json_clear(&files->added);
	qc_json_clear(&files->template);
	for (size_t i = 0; i < sizeof(files->texts) / sizeof(files->texts[0]); i++)
		free(files->texts[i]);
	free(files->pieces);
	free(files->jinja);
}

/* A tokenizer.model has the scores that a tokenizer.json lacks. It is no source for a tokenizer of
 * merges; beside a byte-level one it is not SentencePiece's at all. */
static bool takes_pieces(const struct qc_tokenizer_files *files, const struct qc_vocab *vocab)
{
	if (!files->pieces || vocab->own_merges)
		return false;
	return !files->tokenizer.n_nodes ||
	       qc_tokenizer_json_kind(&files->tokenizer) != QC_VOCAB_BYTE_LEVEL;
}

static enum qc_status read_base(struct qc_model *model, const struct qc_tokenizer_files *files,
				struct qc_vocab *vocab, struct qc_err *err)
{
	enum qc_status s;

	if (takes_pieces(files, vocab)) {
		s = qc_sentencepiece_parse(vocab, files->pieces, files->pieces_size, err);
		if (!s)
			s = qc_vocab_settle_user_defined(
				vocab,
				!qc_json_get(&files->config, QC_JSON_ROOT, "added_tokens_decoder"),
				err);
		return s ? qc_fail_in(err, "reading '%s/tokenizer.model'", model->dir) : QC_OK;
	}
	if (!files->tokenizer.n_nodes)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%s' has no tokenizer.json, from which the merges of a %s "
			       "tokenizer come",
			       model->dir, model->arch->tokenizer_model);
	s = qc_tokenizer_json_parse(vocab, &files->tokenizer, err);
	if (!s &&
	    (vocab->own_merges ? vocab->kind != QC_VOCAB_SPM : vocab->kind == QC_VOCAB_CHARACTERS))
		s = qc_fail(err, QC_UNSUPPORTED, "a %s tokenizer cannot be converted for %s",
			    vocab->kind == QC_VOCAB_BYTE_LEVEL ? "byte-level BPE"
							       : "BPE without byte_fallback",
			    model->arch ? model->arch->name : "GGUF");
	return s ? qc_fail_in(err, "reading '%s/tokenizer.json'", model->dir) : QC_OK;
}

/* Cut or lengthen the vocabulary to `n` tokens. The embedding has a row for each, so the files have
 * a byte at least. */
static enum qc_status resize(const struct qc_model *model, struct qc_vocab *vocab, uint32_t n,
			     struct qc_err *err)
{
	const uint32_t kept = n < vocab->n_tokens ? n : vocab->n_tokens;
	struct qc_token *tokens;
	uint64_t bytes = 0;

	for (size_t i = 0; i < model->n_files; i++)
		bytes += model->files[i]->size;
	if (n > QC_MAX_TOKENS || (model->n_files && n > bytes))
		return qc_fail(
			err, QC_BAD_INPUT,
			"config.json: 'vocab_size' is %u, more than the weights have room for", n);
	tokens = qc_arena_array(vocab->arena, n, sizeof(*tokens));
	if (!tokens)
		return qc_no_memory(err);
	memcpy(tokens, vocab->tokens, kept * sizeof(*tokens));
	vocab->tokens = tokens;
	vocab->n_tokens = n;
	return QC_OK;
}

/* added_tokens.json: {text: id}. */
static enum qc_status put_added(const struct qc_json *json, struct qc_vocab *vocab,
				struct qc_err *err)
{
	for (qc_json_value v = qc_json_first(json, QC_JSON_ROOT); v; v = qc_json_next(json, v)) {
		struct qc_token token = {.score = QC_ADDED_SCORE, .type = QC_TOKEN_USER_DEFINED};
		uint64_t id;

		token.text = qc_json_key(json, v, vocab->arena, &token.len);
		if (!token.text)
			return qc_no_memory(err);
		if (!qc_json_u64(json, v, &id))
			return qc_fail(err, QC_BAD_INPUT,
				       "token '%.40s' has no whole number for an id", token.text);
		if (id < vocab->n_tokens)
			vocab->tokens[id] = token;
	}
	return QC_OK;
}

bool qc_tokenizer_key_id(const struct qc_json *json, qc_json_value member, uint64_t *id)
{
	struct qc_arena scratch = {0};
	const char *key = qc_json_key(json, member, &scratch, NULL);
	const size_t digits = key ? strspn(key, "0123456789") : 0;
	const bool is_number = digits && digits < 19 && !key[digits];

	if (is_number)
		*id = strtoull(key, NULL, 10);
	qc_arena_clear(&scratch);
	return is_number;
}

/* tokenizer_config.json's added_tokens_decoder: {"id": {"content", "special"}}. */
static enum qc_status put_decoder(const struct qc_json *json, struct qc_vocab *vocab,
				  struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (qc_json_value v =
		     qc_json_first(json, qc_json_get(json, QC_JSON_ROOT, "added_tokens_decoder"));
	     !s && v; v = qc_json_next(json, v)) {
		const qc_json_value content = qc_json_get(json, v, "content");
		bool special = false;
		uint64_t id;
		size_t len;
		char *text;

		if (!qc_tokenizer_key_id(json, v, &id))
			return qc_fail(err, QC_BAD_INPUT,
				       "added_tokens_decoder: a name is not a token id");
		if (qc_json_type_of(json, content) != QC_JSON_STRING)
			return qc_fail(
				err, QC_BAD_INPUT,
				"added_tokens_decoder: token %llu has no string for its content",
				(unsigned long long)id);
		text = qc_json_string(json, content, vocab->arena, &len);
		if (!text)
			return qc_no_memory(err);
		(void)!qc_json_bool(json, qc_json_get(json, v, "special"), &special);
		s = qc_vocab_add_token(vocab, id, text, len, special, err);
	}
	return s;
}

static enum qc_status pad(struct qc_vocab *vocab, struct qc_err *err)
{
	for (uint32_t id = 0; id < vocab->n_tokens; id++) {
		struct qc_token *token = &vocab->tokens[id];

		if (token->text)
			continue;
		token->text = qc_arena_printf(vocab->arena, "[PAD%u]", id);
		if (!token->text)
			return qc_no_memory(err);
		token->len = strlen(token->text);
		token->score = PADDING_SCORE;
		token->type = QC_TOKEN_UNUSED;
	}
	return QC_OK;
}

/* Words of four bytes, one a token. */
static enum qc_status set_words(struct qc_meta *meta, const struct qc_vocab *vocab, const char *key,
				enum qc_kv_type type, struct qc_err *err)
{
	const uint32_t n = vocab->n_tokens;
	uint8_t *words = malloc((size_t)n * 4 + 1);
	enum qc_status s;

	if (!words)
		return qc_no_memory(err);
	for (uint32_t id = 0; id < n; id++) {
		const struct qc_token *token = &vocab->tokens[id];

		qc_put_le32(words + 4 * (size_t)id,
			    type == QC_KV_F32 ? qc_f32_bits(token->score) : (uint32_t)token->type);
	}
	s = qc_meta_set(meta, key, QC_KV_ARRAY, type, n, words, (size_t)n * 4, err);
	free(words);
	return s;
}

static enum qc_status set_arrays(struct qc_meta *meta, const struct qc_vocab *vocab,
				 struct qc_err *err)
{
	struct qc_kv_builder texts = {0};
	enum qc_status s = QC_OK;

	for (uint32_t id = 0; !s && id < vocab->n_tokens; id++)
		s = qc_kv_push_string(&texts, vocab->tokens[id].text, vocab->tokens[id].len, err);
	if (!s)
		s = qc_meta_set(meta, "tokenizer.ggml.tokens", QC_KV_ARRAY, QC_KV_STRING,
				vocab->n_tokens, texts.data, texts.bytes, err);
	free(texts.data);
	if (!s && vocab->kind == QC_VOCAB_SPM)
		s = set_words(meta, vocab, "tokenizer.ggml.scores", QC_KV_F32, err);
	if (!s)
		s = set_words(meta, vocab, "tokenizer.ggml.token_type", QC_KV_I32, err);
	if (!s && (vocab->own_merges || vocab->kind == QC_VOCAB_BYTE_LEVEL))
		s = qc_meta_set(meta, "tokenizer.ggml.merges", QC_KV_ARRAY, QC_KV_STRING,
				vocab->merges.n, vocab->merges.data, vocab->merges.bytes, err);
	return s;
}

/* tokenizer_config.json decides, else what the vocabulary's own file does; llama.cpp's default is
 * true, but for a byte-level BPE. */
static enum qc_status set_space_prefix(struct qc_model *model,
				       const struct qc_tokenizer_files *files,
				       const struct qc_vocab *vocab, struct qc_err *err)
{
	const qc_json_value value = qc_json_get(&files->config, QC_JSON_ROOT, "add_prefix_space");
	bool flag = false;

	if (model->arch && model->arch->no_space_prefix)
		return qc_meta_set_bool(&model->meta, "tokenizer.ggml.add_space_prefix", false,
					err);
	if (!qc_json_bool(&files->config, value, &flag) &&
	    (!vocab->no_space_prefix || vocab->kind == QC_VOCAB_BYTE_LEVEL))
		return QC_OK;
	return qc_meta_set_bool(&model->meta, "tokenizer.ggml.add_space_prefix", flag, err);
}

/* Which of llama.cpp's tokenizers it is. */
static enum qc_status set_names(struct qc_model *model, const struct qc_tokenizer_files *files,
				const struct qc_vocab *vocab, struct qc_err *err)
{
	const char *name = "llama", *pre = "default";
	enum qc_status s = QC_OK;

	if (vocab->own_merges) {
		name = model->arch->tokenizer_model;
		pre = NULL;
	} else if (vocab->kind == QC_VOCAB_BYTE_LEVEL) {
		name = "gpt2";
		s = qc_bpe_pre(&files->tokenizer, &pre, err);
		if (s)
			return qc_fail_in(err, "reading '%s/tokenizer.json'", model->dir);
	}
	s = qc_meta_set_string(&model->meta, "tokenizer.ggml.model", name, strlen(name), err);
	if (!s && pre)
		s = qc_meta_set_string(&model->meta, "tokenizer.ggml.pre", pre, strlen(pre), err);
	return s;
}

/* Everything but the special tokens and the template, from files that are there. */
static enum qc_status build(struct qc_model *model, const struct qc_tokenizer_files *files,
			    struct qc_vocab *vocab, struct qc_err *err)
{
	const uint32_t n_model = qc_arch_vocab_size(model);
	const bool pieces = takes_pieces(files, vocab);
	const char *file = pieces ? "tokenizer.model" : "tokenizer.json";
	uint32_t n_own;
	enum qc_status s = read_base(model, files, vocab, err);

	if (s)
		return s;
	n_own = vocab->n_tokens;
	s = resize(model, vocab, n_model ? n_model : n_own, err);
	if (!s && pieces && put_added(&files->added, vocab, err))
		s = qc_fail_in(err, "reading '%s/added_tokens.json'", model->dir);
	if (!s && put_decoder(&files->config, vocab, err))
		s = qc_fail_in(err, "reading '%s/tokenizer_config.json'", model->dir);
	if (!s)
		s = pad(vocab, err);
	for (uint32_t id = 0; vocab->own_merges && id < vocab->n_tokens; id++)
		vocab->tokens[id].score = QC_ADDED_SCORE; /* nobody reads them */
	if (!s)
		s = set_names(model, files, vocab, err);
	if (!s)
		s = set_arrays(&model->meta, vocab, err);
	if (s)
		return s;
	model->tokenizer_note = qc_arena_printf(
		&model->arena, "%s, %u tokens%s%s", file, n_own,
		n_own > vocab->n_tokens ? ", those beyond vocab_size left out" : "",
		vocab->unigram ? "; a unigram model, which llama.cpp tokenizes by merging" : "");
	return model->tokenizer_note ? QC_OK : qc_no_memory(err);
}

/* Texts, nodes (16 bytes), and the table that finds a key of the vocabulary twice (24 bytes a slot,
 * less than three slots a token while it grows). */
static uint64_t memory_of(const struct qc_tokenizer_files *files, const struct qc_vocab *vocab)
{
	const struct qc_json *const jsons[] = {&files->tokenizer, &files->config, &files->added,
					       &files->template};
	uint64_t bytes = files->pieces_size + files->jinja_size + 72 * (uint64_t)vocab->n_tokens +
			 vocab->merges.cap;

	for (size_t i = 0; i < sizeof(jsons) / sizeof(jsons[0]); i++)
		bytes += jsons[i]->size + 16 * (uint64_t)jsons[i]->n_nodes;
	return bytes;
}

enum qc_status qc_tokenizer_load(struct qc_model *model, struct qc_err *err)
{
	struct qc_tokenizer_files files = {0};
	struct qc_arena arena = {0};
	struct qc_vocab vocab = {
		.arena = &arena,
		.own_merges = model->arch && model->arch->tokenizer_model,
	};
	enum qc_status s = load_files(model, &files, err);

	if (!s && !files.pieces && !files.tokenizer.n_nodes) {
		model->tokenizer_note = "none: neither tokenizer.model nor tokenizer.json is there";
	} else if (!s) {
		s = build(model, &files, &vocab, err);
		if (!s)
			s = qc_tokenizer_special(model, &files, &vocab, err);
		if (!s)
			s = set_space_prefix(model, &files, &vocab, err);
		if (!s && vocab.own_merges) /* llama.cpp adds it whatever the files say */
			s = qc_meta_set_bool(&model->meta, "tokenizer.ggml.add_bos_token", true,
					     err);
		if (!s)
			s = qc_tokenizer_template(model, &files, err);
	}
	qc_model_note_reading(model, memory_of(&files, &vocab) + arena.bytes);
	clear_files(&files);
	free(vocab.merges.data);
	qc_arena_clear(&arena);
	return s;
}

#include "formats/tokenizer_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "formats/arch/arch.h"

enum qc_status qc_model_add_side(struct qc_model *model, const char *name, const char *text,
				 size_t size, struct qc_err *err)
{
	struct qc_side_text *sides =
		qc_arena_array(&model->arena, model->n_sides + 1, sizeof(*sides));
	const char *own_name = qc_arena_copy(&model->arena, name, strlen(name));
	const char *own = qc_arena_copy(&model->arena, text, size);

	if (!sides || !own_name || !own)
		return qc_no_memory(err);
	if (model->n_sides)
		memcpy(sides, model->sides, model->n_sides * sizeof(*sides));
	sides[model->n_sides] = (struct qc_side_text){own_name, own, size};
	model->sides = sides;
	model->n_sides++;
	return QC_OK;
}

bool qc_vocab_back_is_added(const struct qc_vocab_back *vocab, uint32_t id)
{
	const enum qc_token_type type = vocab->tokens[id].type;

	return type == QC_TOKEN_CONTROL || type == QC_TOKEN_USER_DEFINED;
}

bool qc_vocab_back_is_special(const struct qc_vocab_back *vocab, uint32_t id)
{
	const struct qc_token *token = &vocab->tokens[id];

	if (token->type == QC_TOKEN_USER_DEFINED)
		return vocab->own_merges && qc_token_is_visible(token->text, token->len);
	return true;
}

/* Spaces as U+2581: what tokenizer.model and its export have. */
static const char *with_marks(struct qc_arena *arena, const char *text, size_t *len)
{
	char *out = qc_arena_alloc(arena, 3 * *len + 1);
	size_t n = 0;

	for (size_t i = 0; out && i < *len; i++) {
		if (text[i] == ' ') {
			memcpy(out + n, "\u2581", 3);
			n += 3;
		} else {
			out[n++] = text[i];
		}
	}
	*len = n;
	return out;
}

/* [PAD7], as formats/tokenizer.c names what no file does. */
static bool is_padding(const struct qc_token *token, uint32_t id)
{
	char text[24];
	const int n = snprintf(text, sizeof(text), "[PAD%u]", id);

	return token->type == QC_TOKEN_UNUSED && token->len == (size_t)n &&
	       !memcmp(token->text, text, (size_t)n);
}

/* An array of n elements of 4 bytes; NULL when it is not there. Their types have been checked on
 * reading where they matter. */
static const struct qc_kv *words(const struct qc_model *model, const char *key, uint64_t n)
{
	const struct qc_kv *kv = qc_meta_find(&model->meta, key);

	return kv && kv->type == QC_KV_ARRAY && kv->n == n && kv->bytes == 4 * n ? kv : NULL;
}

static enum qc_status read_token(struct qc_vocab_back *vocab, uint32_t id, struct qc_token *token,
				 struct qc_err *err)
{
	bool was_there;
	enum qc_status s;

	if (vocab->kind == QC_VOCAB_SPM && !vocab->own_merges &&
	    token->type == QC_TOKEN_USER_DEFINED) {
		token->text = with_marks(&vocab->arena, token->text, &token->len);
		if (!token->text)
			return qc_no_memory(err);
	}
	if (!token->len || !qc_utf8_valid(token->text, token->len) ||
	    memchr(token->text, 0, token->len))
		return qc_fail(err, QC_UNSUPPORTED, "token %u is %s", id,
			       token->len ? "no text" : "empty");
	if (token->type < QC_TOKEN_NORMAL || token->type > QC_TOKEN_BYTE)
		return qc_fail(err, QC_UNSUPPORTED, "token %u has the type %d, known are 1 to 6",
			       id, (int)token->type);
	s = qc_strmap_add(&vocab->ids, token->text, token->len, id, &was_there, err);
	if (!s && was_there)
		s = qc_fail(err, QC_UNSUPPORTED, "token %u '%.*s' is there twice", id,
			    token->len > 40 ? 40 : (int)token->len, token->text);
	return s;
}

static enum qc_status read_tokens(struct qc_vocab_back *vocab, const struct qc_kv *kv,
				  struct qc_err *err)
{
	const struct qc_kv *scores = words(vocab->model, "tokenizer.ggml.scores", kv->n);
	const struct qc_kv *types = words(vocab->model, "tokenizer.ggml.token_type", kv->n);
	size_t at = 0;
	uint32_t n = 0;
	enum qc_status s = QC_OK;

	if (kv->n > QC_MAX_TOKENS || kv->elem != QC_KV_STRING)
		return qc_fail(err, QC_UNSUPPORTED, "its tokens are no list of texts");
	vocab->tokens = qc_arena_array(&vocab->arena, kv->n, sizeof(*vocab->tokens));
	if (!vocab->tokens)
		return qc_no_memory(err);
	for (; n < kv->n; n++) {
		struct qc_token *token = &vocab->tokens[n];

		if (!qc_kv_next_string(kv, &at, &token->text, &token->len))
			break;
		token->type = types ? (enum qc_token_type)qc_le32(types->data + 4 * (size_t)n)
				    : QC_TOKEN_NORMAL;
		token->score = scores ? qc_bits_f32(qc_le32(scores->data + 4 * (size_t)n)) : 0;
	}
	while (n && is_padding(&vocab->tokens[n - 1], n - 1))
		n--;
	vocab->n = n;
	for (uint32_t id = 0; !s && id < n; id++)
		s = read_token(vocab, id, &vocab->tokens[id], err);
	for (uint32_t id = 0; id < n; id++)
		vocab->has_decoder = vocab->has_decoder ||
				     (qc_vocab_back_is_added(vocab, id) &&
				      (!scores || vocab->tokens[id].score == QC_ADDED_SCORE));
	if (!s && vocab->kind == QC_VOCAB_SPM && !vocab->merges && !scores)
		s = qc_fail(err, QC_UNSUPPORTED, "it has neither scores nor merges");
	return s;
}

static bool is_text(const struct qc_meta *meta, const char *key, const char *wanted)
{
	const char *text;
	size_t len;

	return qc_meta_string(meta, key, &text, &len) && len == strlen(wanted) &&
	       !memcmp(text, wanted, len);
}

/* Which of llama.cpp's tokenizers it is. */
static enum qc_status read_kind(struct qc_vocab_back *vocab, struct qc_err *err)
{
	const struct qc_model *model = vocab->model;
	const struct qc_meta *meta = &model->meta;
	const struct qc_kv *merges = qc_meta_find(meta, "tokenizer.ggml.merges");
	const char *name = "none", *pre = "default";
	size_t len = 4, pre_len = 7;

	if (is_text(meta, "tokenizer.ggml.model", "llama"))
		return QC_OK;
	(void)!qc_meta_string(meta, "tokenizer.ggml.model", &name, &len);
	vocab->own_merges = model->arch->tokenizer_model &&
			    is_text(meta, "tokenizer.ggml.model", model->arch->tokenizer_model);
	if (!vocab->own_merges && !is_text(meta, "tokenizer.ggml.model", "gpt2"))
		return qc_fail(err, QC_UNSUPPORTED, "it is a '%.*s' tokenizer",
			       len > 40 ? 40 : (int)len, name);
	if (!merges || merges->type != QC_KV_ARRAY || merges->elem != QC_KV_STRING)
		return qc_fail(err, QC_UNSUPPORTED, "it has no merges");
	vocab->merges = merges;
	if (vocab->own_merges)
		return QC_OK;
	vocab->kind = QC_VOCAB_BYTE_LEVEL;
	(void)!qc_meta_string(meta, "tokenizer.ggml.pre", &pre, &pre_len);
	vocab->pre = qc_arena_copy(&vocab->arena, pre, pre_len);
	if (!vocab->pre)
		return qc_no_memory(err);
	if (!qc_bpe_knows_pre(vocab->pre))
		return qc_fail(err, QC_UNSUPPORTED,
			       "the steps of its pre-tokenizer '%.40s' are not known", vocab->pre);
	return QC_OK;
}

static uint32_t token_of(const struct qc_vocab_back *vocab, const char *key)
{
	uint32_t id;

	return qc_meta_u32(&vocab->model->meta, key, &id) && id < vocab->n ? id : QC_NO_TOKEN;
}

/* What llama.cpp does where no key says: it begins with BOS but for most byte-level vocabularies,
 * and puts a space first. */
static void read_flags(struct qc_vocab_back *vocab)
{
	const struct qc_meta *meta = &vocab->model->meta;

	vocab->bos = token_of(vocab, "tokenizer.ggml.bos_token_id");
	vocab->eos = token_of(vocab, "tokenizer.ggml.eos_token_id");
	vocab->unknown = token_of(vocab, "tokenizer.ggml.unknown_token_id");
	vocab->pad = token_of(vocab, "tokenizer.ggml.padding_token_id");
	vocab->add_bos = vocab->kind == QC_VOCAB_SPM || !strcmp(vocab->pre, "llama-bpe") ||
			 !strcmp(vocab->pre, "tekken");
	qc_meta_bool(meta, "tokenizer.ggml.add_bos_token", &vocab->add_bos);
	qc_meta_bool(meta, "tokenizer.ggml.add_eos_token", &vocab->add_eos);
	vocab->add_bos = vocab->add_bos && vocab->bos != QC_NO_TOKEN;
	vocab->add_eos = vocab->add_eos && vocab->eos != QC_NO_TOKEN;
	vocab->space_prefix = vocab->kind == QC_VOCAB_SPM && !vocab->own_merges;
	qc_meta_bool(meta, "tokenizer.ggml.add_space_prefix", &vocab->space_prefix);
}

static void put_decoder(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	qc_json_out_begin(out, "added_tokens_decoder", '{');
	for (uint32_t id = 0; id < vocab->n; id++) {
		const struct qc_token *token = &vocab->tokens[id];
		char key[16];

		if (!qc_vocab_back_is_added(vocab, id) ||
		    (vocab->kind == QC_VOCAB_SPM && !vocab->own_merges &&
		     token->score != QC_ADDED_SCORE))
			continue;
		snprintf(key, sizeof(key), "%u", id);
		qc_json_out_begin(out, key, '{');
		qc_json_out_string(out, "content", token->text, token->len);
		qc_json_out_bool(out, "lstrip", false);
		qc_json_out_bool(out, "normalized", false);
		qc_json_out_bool(out, "rstrip", false);
		qc_json_out_bool(out, "single_word", false);
		qc_json_out_bool(out, "special", qc_vocab_back_is_special(vocab, id));
		qc_json_out_end(out, '}');
	}
	qc_json_out_end(out, '}');
}

/* tokenizer.chat_template and those of tokenizer.chat_templates, when there are named ones. */
static void put_templates(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	const struct qc_meta *meta = &vocab->model->meta;
	const struct qc_kv *names = qc_meta_find(meta, "tokenizer.chat_templates");
	const char *name, *text;
	size_t at = 0, len, text_len;

	if (!names || names->type != QC_KV_ARRAY || names->elem != QC_KV_STRING)
		return;
	qc_json_out_begin(out, "chat_template", '[');
	if (qc_meta_string(meta, "tokenizer.chat_template", &text, &text_len)) {
		qc_json_out_begin(out, NULL, '{');
		qc_json_out_text(out, "name", "default");
		qc_json_out_string(out, "template", text, text_len);
		qc_json_out_end(out, '}');
	}
	while (qc_kv_next_string(names, &at, &name, &len)) {
		char key[160];

		snprintf(key, sizeof(key), "tokenizer.chat_template.%.*s",
			 len > 100 ? 100 : (int)len, name);
		if (!qc_meta_string(meta, key, &text, &text_len))
			continue;
		qc_json_out_begin(out, NULL, '{');
		qc_json_out_string(out, "name", name, len);
		qc_json_out_string(out, "template", text, text_len);
		qc_json_out_end(out, '}');
	}
	qc_json_out_end(out, ']');
}

static void put_flag(const struct qc_vocab_back *vocab, struct qc_json_out *out, const char *name,
		     const char *key)
{
	bool flag;

	if (qc_meta_bool(&vocab->model->meta, key, &flag))
		qc_json_out_bool(out, name, flag);
}

static void put_special(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	static const char *const rows[][2] = {
		{"bos_token", "tokenizer.ggml.bos_token_id"},
		{"cls_token", "tokenizer.ggml.cls_token_id"},
		{"eos_token", "tokenizer.ggml.eos_token_id"},
		{"mask_token", "tokenizer.ggml.mask_token_id"},
		{"pad_token", "tokenizer.ggml.padding_token_id"},
		{"sep_token", "tokenizer.ggml.seperator_token_id"},
		{"unk_token", "tokenizer.ggml.unknown_token_id"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint32_t id = token_of(vocab, rows[i][1]);

		if (id != QC_NO_TOKEN)
			qc_json_out_string(out, rows[i][0], vocab->tokens[id].text,
					   vocab->tokens[id].len);
	}
}

static enum qc_status write_config(const struct qc_vocab_back *vocab, FILE *file,
				   struct qc_err *err)
{
	const struct qc_model *model = vocab->model;
	const uint32_t context = qc_arch_u32(model, "{a}.context_length", 0);
	struct qc_json_out out = {.file = file};

	(void)err;
	qc_json_out_begin(&out, NULL, '{');
	put_flag(vocab, &out, "add_bos_token", "tokenizer.ggml.add_bos_token");
	put_flag(vocab, &out, "add_eos_token", "tokenizer.ggml.add_eos_token");
	if (!model->arch->no_space_prefix)
		put_flag(vocab, &out, "add_prefix_space", "tokenizer.ggml.add_space_prefix");
	put_flag(vocab, &out, "add_sep_token", "tokenizer.ggml.add_sep_token");
	if (vocab->has_decoder)
		put_decoder(vocab, &out);
	put_templates(vocab, &out);
	qc_json_out_bool(&out, "clean_up_tokenization_spaces", false);
	if (context)
		qc_json_out_u64(&out, "model_max_length", context);
	put_special(vocab, &out);
	qc_json_out_text(&out, "tokenizer_class", "PreTrainedTokenizerFast");
	qc_json_out_end(&out, '}');
	return QC_OK;
}

static enum qc_status write_pieces(const struct qc_vocab_back *vocab, FILE *file,
				   struct qc_err *err)
{
	(void)err;
	qc_sentencepiece_write(vocab, file);
	return QC_OK;
}

/* One file, made by `write`. */
static enum qc_status
add_file(struct qc_model *model, const struct qc_vocab_back *vocab, const char *name,
	 enum qc_status (*write)(const struct qc_vocab_back *vocab, FILE *file, struct qc_err *err),
	 struct qc_err *err)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	bool failed;
	enum qc_status s;

	if (!file)
		return qc_no_memory(err);
	s = write(vocab, file, err);
	failed = ferror(file);
	failed = fclose(file) || failed;
	if (!s)
		s = failed ? qc_no_memory(err) : qc_model_add_side(model, name, text, size, err);
	free(text);
	return s;
}

static enum qc_status write_files(struct qc_model *model, struct qc_vocab_back *vocab,
				  struct qc_err *err)
{
	const char *text;
	size_t len;
	enum qc_status s = add_file(model, vocab, "tokenizer.json", qc_tokenizer_write_json, err);

	if (!s)
		s = add_file(model, vocab, "tokenizer_config.json", write_config, err);
	if (!s && vocab->kind == QC_VOCAB_SPM && !vocab->own_merges)
		s = add_file(model, vocab, "tokenizer.model", write_pieces, err);
	if (!s && !qc_meta_find(&model->meta, "tokenizer.chat_templates") &&
	    qc_meta_string(&model->meta, "tokenizer.chat_template", &text, &len))
		s = qc_model_add_side(model, "chat_template.jinja", text, len, err);
	return s;
}

enum qc_status qc_tokenizer_write(struct qc_model *model, struct qc_err *err)
{
	const struct qc_kv *tokens = qc_meta_find(&model->meta, "tokenizer.ggml.tokens");
	const size_t n_sides = model->n_sides;
	struct qc_vocab_back vocab = {.model = model};
	enum qc_status s;

	if (!tokens || tokens->type != QC_KV_ARRAY)
		return QC_OK;
	s = read_kind(&vocab, err);
	if (!s)
		s = read_tokens(&vocab, tokens, err);
	if (!s) {
		read_flags(&vocab);
		s = write_files(model, &vocab, err);
	}
	if (s)
		model->n_sides = n_sides;
	qc_model_note_reading(model, vocab.arena.bytes + 72 * (uint64_t)tokens->n);
	qc_strmap_clear(&vocab.ids);
	qc_arena_clear(&vocab.arena);
	return s;
}

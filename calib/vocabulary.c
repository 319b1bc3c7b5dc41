/*
 * The vocabulary in a model's metadata, checked, and the tokens that play a special part.
 *
 * Types decide who may be made of text: control, unknown and byte tokens never are, whatever their
 * spelling (SentencePiece's rule).
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "calib/tokenizer_parts.h"

#define MAX_TOKEN_BYTES (1u << 16)

static const struct qc_tokenizer_kind *const kinds[] = {
	&qc_tokenizer_spm,
	&qc_tokenizer_bpe,
	&qc_tokenizer_gemma4,
	NULL,
};

uint8_t qc_vocabulary_byte(const char *text)
{
	const char hex[3] = {text[3], text[4], 0};

	return (uint8_t)strtoul(hex, NULL, 16);
}

static enum qc_status find_kind(struct qc_tokenizer *tok, const struct qc_meta *meta,
				struct qc_err *err)
{
	const char *name;
	size_t len;

	if (!qc_meta_string(meta, "tokenizer.ggml.model", &name, &len))
		return qc_fail(err, QC_UNSUPPORTED,
			       "the model has no tokenizer (tokenizer.ggml.model is missing)");
	for (const struct qc_tokenizer_kind *const *kind = kinds; *kind; kind++)
		if (strlen((*kind)->model) == len && !memcmp((*kind)->model, name, len)) {
			tok->kind = *kind;
			return QC_OK;
		}
	return qc_fail(err, QC_UNSUPPORTED,
		       "tokenizer.ggml.model is '%.*s'; llama, gpt2 and gemma4 are supported",
		       len > 60 ? 60 : (int)len, name);
}

static enum qc_status read_texts(struct qc_tokenizer *tok, const struct qc_meta *meta,
				 struct qc_err *err)
{
	const struct qc_kv *kv = qc_meta_find(meta, "tokenizer.ggml.tokens");
	size_t at = 0, len;
	const char *text;

	if (!kv || kv->type != QC_KV_ARRAY || kv->elem != QC_KV_STRING || !kv->n)
		return qc_fail(err, kv ? QC_BAD_INPUT : QC_UNSUPPORTED,
			       "tokenizer.ggml.tokens is %s, an array of strings is needed",
			       kv ? "of another type or empty" : "missing");
	if (kv->n > QC_MAX_TOKENS)
		return qc_fail(err, QC_BAD_INPUT, "tokenizer.ggml.tokens has %llu, at most %u",
			       (unsigned long long)kv->n, QC_MAX_TOKENS);
	tok->n_tokens = (uint32_t)kv->n;
	tok->tokens = qc_arena_array(&tok->arena, kv->n, sizeof(*tok->tokens));
	if (!tok->tokens)
		return qc_no_memory(err);
	for (uint32_t id = 0; id < tok->n_tokens; id++) {
		if (!qc_kv_next_string(kv, &at, &text, &len))
			return qc_fail(err, QC_BAD_INPUT,
				       "tokenizer.ggml.tokens ends at token %u of %u", id,
				       tok->n_tokens);
		if (len > MAX_TOKEN_BYTES)
			return qc_fail(err, QC_BAD_INPUT,
				       "token %u has %zu bytes, at most %u are supported", id, len,
				       MAX_TOKEN_BYTES);
		tok->tokens[id] = (struct qc_vocab_token){
			.text = text, .len = (uint32_t)len, .type = QC_TOKEN_NORMAL};
	}
	return QC_OK;
}

static enum qc_status read_types(struct qc_tokenizer *tok, const struct qc_meta *meta,
				 struct qc_err *err)
{
	const struct qc_kv *kv = qc_meta_find(meta, "tokenizer.ggml.token_type");

	if (!kv)
		return QC_OK;
	if (kv->type != QC_KV_ARRAY || (kv->elem != QC_KV_I32 && kv->elem != QC_KV_U32) ||
	    kv->n < tok->n_tokens)
		return qc_fail(err, QC_BAD_INPUT,
			       "tokenizer.ggml.token_type: %u 32-bit integers are needed",
			       tok->n_tokens);
	for (uint32_t id = 0; id < tok->n_tokens; id++) {
		struct qc_vocab_token *token = &tok->tokens[id];
		const uint32_t type = qc_le32(kv->data + 4 * (size_t)id);

		if (type >= QC_TOKEN_NORMAL && type <= QC_TOKEN_BYTE)
			token->type = (uint8_t)type;
		if (token->type == QC_TOKEN_BYTE && !qc_token_is_byte(token->text, token->len))
			return qc_fail(err, QC_BAD_INPUT,
				       "token %u '%.*s' is of type byte, but is none from <0x00> "
				       "to <0xFF>",
				       id, token->len > 40 ? 40 : (int)token->len, token->text);
	}
	return QC_OK;
}

static bool is_text(const struct qc_vocab_token *token, const char *text)
{
	return strlen(text) == token->len && !memcmp(token->text, text, token->len);
}

/* Tokens that are found as they are spelled, and those that end a text. In OpenAI's harmony format
 * (known by two of its tokens) <|end|> ends a message, not the answer. */
static enum qc_status read_specials(struct qc_tokenizer *tok, struct qc_err *err)
{
	bool has_return = false, has_call = false;
	enum qc_status s = QC_OK;

	for (uint32_t id = 0; id < tok->n_tokens; id++) {
		has_return |= is_text(&tok->tokens[id], "<|return|>");
		has_call |= is_text(&tok->tokens[id], "<|call|>");
	}
	for (uint32_t id = 0; !s && id < tok->n_tokens; id++) {
		struct qc_vocab_token *token = &tok->tokens[id];
		const bool harmony = has_return && has_call && is_text(token, "<|end|>");
		const bool user = token->type == QC_TOKEN_USER_DEFINED;

		if (!user && token->type != QC_TOKEN_CONTROL && token->type != QC_TOKEN_UNKNOWN)
			continue;
		if (token->len > QC_MAX_SPECIAL_BYTES)
			return qc_fail(err, QC_UNSUPPORTED,
				       "special token %u has %u bytes, at most %d are supported",
				       id, token->len, QC_MAX_SPECIAL_BYTES);
		token->ends_text =
			!harmony && qc_special_has_role(QC_ENDS_TEXT, token->text, token->len);
		s = qc_specials_add(
			&tok->specials, token->text, token->len, id,
			user || harmony ||
				qc_special_has_role(QC_ALWAYS_FOUND, token->text, token->len),
			err);
	}
	return s;
}

/* A special token's id; `fallback` when the metadata names none and the vocabulary has that one. */
static enum qc_status read_id(const struct qc_tokenizer *tok, const struct qc_meta *meta,
			      const char *key, uint32_t fallback, uint32_t *id, struct qc_err *err)
{
	*id = fallback < tok->n_tokens ? fallback : QC_NO_TOKEN;
	if (!qc_meta_find(meta, key))
		return QC_OK;
	if (!qc_meta_u32(meta, key, id))
		return qc_fail(err, QC_BAD_INPUT, "%s is not a token id", key);
	if (*id >= tok->n_tokens)
		return qc_fail(err, QC_BAD_INPUT, "%s is %u, the vocabulary has %u tokens", key,
			       *id, tok->n_tokens);
	return QC_OK;
}

static enum qc_status read_ids(struct qc_tokenizer *tok, const struct qc_meta *meta,
			       struct qc_err *err)
{
	static const char *const ends[] = {"tokenizer.ggml.eot_token_id",
					   "tokenizer.ggml.eom_token_id"};
	enum qc_status s =
		read_id(tok, meta, "tokenizer.ggml.bos_token_id", tok->kind->bos, &tok->bos, err);

	if (!s)
		s = read_id(tok, meta, "tokenizer.ggml.eos_token_id", tok->kind->eos, &tok->eos,
			    err);
	if (!s)
		s = read_id(tok, meta, "tokenizer.ggml.unknown_token_id", tok->kind->unk, &tok->unk,
			    err);
	for (size_t i = 0; !s && i < 2; i++) {
		uint32_t id;

		s = read_id(tok, meta, ends[i], QC_NO_TOKEN, &id, err);
		if (!s && id != QC_NO_TOKEN)
			tok->tokens[id].ends_text = true;
	}
	if (!s && tok->eos != QC_NO_TOKEN)
		tok->tokens[tok->eos].ends_text = true;
	return s;
}

static enum qc_status read_flag(const struct qc_meta *meta, const char *key, bool *flag,
				struct qc_err *err)
{
	if (qc_meta_find(meta, key) && !qc_meta_bool(meta, key, flag))
		return qc_fail(err, QC_BAD_INPUT, "%s is not a bool", key);
	return QC_OK;
}

static enum qc_status read_flags(struct qc_tokenizer *tok, const struct qc_meta *meta,
				 struct qc_err *err)
{
	enum qc_status s = read_flag(meta, "tokenizer.ggml.add_bos_token", &tok->add_bos, err);

	if (!s)
		s = read_flag(meta, "tokenizer.ggml.add_eos_token", &tok->add_eos, err);
	if (!s && tok->kind->space_prefix) /* as libllama: the other kinds have none */
		s = read_flag(meta, "tokenizer.ggml.add_space_prefix", &tok->space_prefix, err);
	if (s)
		return s;
	tok->add_bos |= tok->kind->always_add_bos;
	if ((tok->add_bos && tok->bos == QC_NO_TOKEN) || (tok->add_eos && tok->eos == QC_NO_TOKEN))
		return qc_fail(err, QC_BAD_INPUT,
			       "the tokenizer adds %s to every text, but "
			       "tokenizer.ggml.%s_token_id is missing",
			       tok->add_bos && tok->bos == QC_NO_TOKEN ? "BOS" : "EOS",
			       tok->add_bos && tok->bos == QC_NO_TOKEN ? "bos" : "eos");
	return QC_OK;
}

enum qc_status qc_vocabulary_put(struct qc_tokenizer *tok, const char *text, size_t len,
				 uint32_t id, struct qc_err *err)
{
	bool was_there;
	enum qc_status s = qc_strmap_add(&tok->ids, text, len, id, &was_there, err);

	if (!s && was_there)
		*qc_strmap_find(&tok->ids, text, len) = id;
	if (len > tok->longest)
		tok->longest = len;
	return s;
}

enum qc_status qc_vocabulary_index(struct qc_tokenizer *tok, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (uint32_t id = 0; !s && id < tok->n_tokens; id++) {
		const struct qc_vocab_token *token = &tok->tokens[id];

		/* files without types have their byte tokens as normal ones */
		if (qc_token_is_byte(token->text, token->len)) {
			uint32_t *slot = &tok->bytes[qc_vocabulary_byte(token->text)];

			if (*slot == QC_NO_TOKEN || token->type == QC_TOKEN_BYTE)
				*slot = id;
		}
		if (token->len && token->type != QC_TOKEN_CONTROL &&
		    token->type != QC_TOKEN_UNKNOWN && token->type != QC_TOKEN_BYTE)
			s = qc_vocabulary_put(tok, token->text, token->len, id, err);
	}
	return s;
}

enum qc_status qc_vocabulary_read(struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct qc_err *err)
{
	enum qc_status s = find_kind(tok, meta, err);

	if (s)
		return s;
	tok->add_bos = tok->kind->add_bos;
	tok->space_prefix = tok->kind->space_prefix;
	memset(tok->bytes, 0xff, sizeof(tok->bytes));
	s = read_texts(tok, meta, err);
	if (!s)
		s = read_types(tok, meta, err);
	if (!s)
		s = read_specials(tok, err);
	if (!s)
		s = read_ids(tok, meta, err);
	if (!s)
		s = tok->kind->prepare(tok, meta, err);
	/* last: a pre-tokenizer may have a say in add_bos */
	return s ? s : read_flags(tok, meta, err);
}

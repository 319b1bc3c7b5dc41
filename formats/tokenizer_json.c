/*
 * tokenizer.json: the `tokenizers` library's file, of which the model must be BPE.
 *
 *   {"added_tokens": [{"id", "content", "special"}], "normalizer", "pre_tokenizer", "decoder",
 *    "model": {"type": "BPE", "byte_fallback", "vocab": {text: id}, "merges": ["a b" or ["a",
 * "b"]]}}
 *
 * The kind is told by structure: byte_fallback makes it an exported SentencePiece model; a
 * ByteLevel step makes it GPT-2's.
 *
 * An export has merges where SentencePiece has scores. SentencePiece's trainer gives the k-th piece
 * that is neither special nor a byte the score -k: first the merged ones in the order of merging,
 * then the characters. The merges list is sorted by those scores, so the first appearance of a
 * merge's result tells its k, and pieces that no merge makes follow in the order of their ids.
 * (llama.cpp merges the pair with the highest score first: equal scores would break it.)
 */
#include "formats/tokenizer.h"

#include <string.h>

#include "base/strmap.h"

#define NO_RANK UINT32_MAX

/* Model types of the library that are not BPE. */
static const char *const other_models[] = {"WordPiece", "WordLevel", "Unigram", NULL};

struct reading {
	struct qc_vocab *vocab;
	const struct qc_json *json;
	qc_json_value model;
	struct qc_strmap ids; /* text -> id */
	uint32_t *ranks;      /* of every id */
	uint8_t *is_added;
	uint32_t next_rank;
	char *pair; /* room for two merged texts */
	size_t pair_size;
};

static bool is_string(const struct qc_json *json, qc_json_value value)
{
	return qc_json_type_of(json, value) == QC_JSON_STRING;
}

/* Whether a step of `type` is at `value`, or in its list of steps (one level of "Sequence"). */
static bool has_step(const struct qc_json *json, qc_json_value value, const char *type)
{
	static const char *const lists[] = {"pretokenizers", "decoders", "normalizers"};

	if (qc_json_equals(json, qc_json_get(json, value, "type"), type))
		return true;
	for (size_t i = 0; i < 3; i++)
		for (qc_json_value v = qc_json_first(json, qc_json_get(json, value, lists[i])); v;
		     v = qc_json_next(json, v))
			if (qc_json_equals(json, qc_json_get(json, v, "type"), type))
				return true;
	return false;
}

/* Whether a space is put before the text: by a Prepend normalizer, or by a Metaspace step. */
static bool prepends_space(const struct qc_json *json)
{
	const qc_json_value steps = qc_json_get(json, QC_JSON_ROOT, "pre_tokenizer");
	bool flag = true;

	if (has_step(json, qc_json_get(json, QC_JSON_ROOT, "normalizer"), "Prepend"))
		return true;
	if (!has_step(json, steps, "Metaspace"))
		return false;
	if (qc_json_equals(json, qc_json_get(json, steps, "prepend_scheme"), "never"))
		return false;
	return !qc_json_bool(json, qc_json_get(json, steps, "add_prefix_space"), &flag) || flag;
}

static enum qc_status check_model(const struct reading *reading, struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	const qc_json_value type = qc_json_get(json, reading->model, "type");

	if (qc_json_type_of(json, reading->model) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "'model' is %s, an object is needed",
			       qc_json_type_name(qc_json_type_of(json, reading->model)));
	for (const char *const *other = other_models; *other; other++)
		if (qc_json_equals(json, type, *other))
			return qc_fail(err, QC_UNSUPPORTED,
				       "a tokenizer of type %s is not supported, BPE is", *other);
	/* files of before 2021 do not say */
	if (type ? !qc_json_equals(json, type, "BPE")
		 : !qc_json_get(json, reading->model, "merges"))
		return qc_fail(err, QC_BAD_INPUT,
			       "unknown type of tokenizer model, BPE is supported");
	return QC_OK;
}

enum qc_vocab_kind qc_tokenizer_json_kind(const struct qc_json *json)
{
	bool fallback = false;

	(void)!qc_json_bool(json, qc_json_path(json, QC_JSON_ROOT, "model.byte_fallback"),
			    &fallback);
	if (has_step(json, qc_json_get(json, QC_JSON_ROOT, "pre_tokenizer"), "ByteLevel") ||
	    has_step(json, qc_json_get(json, QC_JSON_ROOT, "decoder"), "ByteLevel"))
		return QC_VOCAB_BYTE_LEVEL;
	return fallback ? QC_VOCAB_SPM : QC_VOCAB_CHARACTERS;
}

/* An id, with the file's size as the bound: every token takes more bytes than one. */
static enum qc_status read_id(const struct reading *reading, qc_json_value value, uint32_t *id,
			      struct qc_err *err)
{
	uint64_t number;
	size_t len;
	const char *raw = qc_json_raw(reading->json, value, &len);

	if (!value || !qc_json_u64(reading->json, value, &number))
		return qc_fail(err, QC_BAD_INPUT, "token id '%.*s' is not a whole number",
			       len > 40 ? 40 : (int)len, value ? raw : "");
	if (number >= QC_MAX_TOKENS || number >= reading->json->size)
		return qc_fail(err, QC_BAD_INPUT,
			       "token id %llu: a file of %zu bytes cannot have so many tokens",
			       (unsigned long long)number, reading->json->size);
	*id = (uint32_t)number;
	return QC_OK;
}

/* Size the vocabulary by its largest id and allocate. */
static enum qc_status size_vocab(struct reading *reading, qc_json_value texts, qc_json_value added,
				 struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	struct qc_vocab *vocab = reading->vocab;
	uint32_t id, n = 0;
	enum qc_status s;

	for (qc_json_value v = qc_json_first(json, texts); v; v = qc_json_next(json, v)) {
		s = read_id(reading, v, &id, err);
		if (s)
			return s;
		n = id >= n ? id + 1 : n;
	}
	for (qc_json_value v = qc_json_first(json, added); v; v = qc_json_next(json, v)) {
		s = read_id(reading, qc_json_get(json, v, "id"), &id, err);
		if (s)
			return qc_fail_in(err, "added_tokens");
		n = id >= n ? id + 1 : n;
	}
	vocab->n_tokens = n;
	vocab->tokens = qc_arena_array(vocab->arena, n, sizeof(*vocab->tokens));
	reading->ranks = qc_arena_array(vocab->arena, n, sizeof(*reading->ranks));
	reading->is_added = qc_arena_array(vocab->arena, n, 1);
	if (!vocab->tokens || !reading->ranks || !reading->is_added)
		return qc_no_memory(err);
	memset(reading->ranks, 0xff, n * sizeof(*reading->ranks));
	return QC_OK;
}

/* "<0x100>", "<0xGG>": begins and ends like a byte's text. */
static bool is_like_byte(const char *text, size_t len)
{
	return len > 3 && !memcmp(text, "<0x", 3) && text[len - 1] == '>';
}

static enum qc_status read_vocab(struct reading *reading, qc_json_value texts, struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	struct qc_vocab *vocab = reading->vocab;

	for (qc_json_value v = qc_json_first(json, texts); v; v = qc_json_next(json, v)) {
		struct qc_token token = {.type = QC_TOKEN_NORMAL};
		bool was_there;
		uint32_t id;
		enum qc_status s = read_id(reading, v, &id, err);

		if (s)
			return s;
		token.text = qc_json_key(json, v, vocab->arena, &token.len);
		if (!token.text)
			return qc_no_memory(err);
		if (vocab->tokens[id].text)
			return qc_fail(err, QC_BAD_INPUT,
				       "tokens '%.40s' and '%.40s' have the same id %u",
				       vocab->tokens[id].text, token.text, id);
		if (vocab->kind == QC_VOCAB_SPM && qc_token_is_byte(token.text, token.len))
			token.type = QC_TOKEN_BYTE;
		else if (vocab->kind == QC_VOCAB_SPM && is_like_byte(token.text, token.len))
			return qc_fail(err, QC_BAD_INPUT,
				       "token %u '%.40s' is no byte from <0x00> to <0xFF>", id,
				       token.text);
		vocab->tokens[id] = token;
		s = qc_strmap_add(&reading->ids, token.text, token.len, id, &was_there, err);
		if (s)
			return s;
	}
	return QC_OK;
}

/* Texts of added tokens where the vocabulary has none; a different text for an id in use is an
 * error. */
static enum qc_status read_added(struct reading *reading, qc_json_value added, struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	struct qc_vocab *vocab = reading->vocab;

	for (qc_json_value v = qc_json_first(json, added); v; v = qc_json_next(json, v)) {
		const qc_json_value content = qc_json_get(json, v, "content");
		struct qc_token *token;
		char *text;
		size_t len;
		uint32_t id;
		enum qc_status s = read_id(reading, qc_json_get(json, v, "id"), &id, err);

		if (s)
			return s;
		if (!is_string(json, content))
			return qc_fail(err, QC_BAD_INPUT,
				       "added token %u: 'content' is %s, a string is needed", id,
				       qc_json_type_name(qc_json_type_of(json, content)));
		text = qc_json_string(json, content, vocab->arena, &len);
		if (!text)
			return qc_no_memory(err);
		token = &vocab->tokens[id];
		if (token->text && (token->len != len || memcmp(token->text, text, len)))
			return qc_fail(err, QC_BAD_INPUT,
				       "added token '%.40s' has the id %u of '%.40s'", text, id,
				       token->text);
		*token = (struct qc_token){.text = text,
					   .len = len,
					   .type = token->text ? token->type : QC_TOKEN_NORMAL};
		reading->is_added[id] = 1;
	}
	return QC_OK;
}

/* The two texts of a merge, in either form. */
static enum qc_status read_pair(const struct qc_json *json, const char *part[2], size_t len[2],
				struct qc_arena *scratch, struct qc_err *err)
{
	qc_json_value merge = QC_JSON_ROOT;
	const char *space;

	if (is_string(json, merge)) {
		part[0] = qc_json_string(json, merge, scratch, &len[1]);
		if (!part[0])
			return qc_no_memory(err);
		space = memchr(part[0], ' ', len[1]);
		len[0] = space ? (size_t)(space - part[0]) : 0;
		part[1] = space ? space + 1 : NULL;
		len[1] -= len[0] + 1;
		if (space && !memchr(part[1], ' ', len[1]))
			return QC_OK;
		return qc_fail(err, QC_BAD_INPUT,
			       "merge '%.60s' is not two texts with a space between", part[0]);
	}
	merge = qc_json_count(json, merge) == 2 ? qc_json_first(json, merge) : 0;
	for (int i = 0; i < 2; i++, merge = qc_json_next(json, merge)) {
		if (!is_string(json, merge))
			return qc_fail(err, QC_BAD_INPUT,
				       "a merge is neither a string nor an array of two");
		part[i] = qc_json_string(json, merge, scratch, &len[i]);
		if (!part[i])
			return qc_no_memory(err);
	}
	return QC_OK;
}

/* Both parts and what they make must be tokens; the result gets the next rank when it has none. */
static enum qc_status rank_merge(struct reading *reading, const char *part[2], const size_t len[2],
				 struct qc_err *err)
{
	const size_t whole = len[0] + len[1];
	uint64_t *id;

	if (whole >= reading->pair_size) {
		reading->pair_size = 2 * whole + 16;
		reading->pair = qc_arena_alloc(reading->vocab->arena, reading->pair_size);
		if (!reading->pair)
			return qc_no_memory(err);
	}
	memcpy(reading->pair, part[0], len[0]);
	memcpy(reading->pair + len[0], part[1], len[1]);
	id = qc_strmap_find(&reading->ids, reading->pair, whole);
	if (!id || !qc_strmap_find(&reading->ids, part[0], len[0]) ||
	    !qc_strmap_find(&reading->ids, part[1], len[1]))
		return qc_fail(err, QC_BAD_INPUT,
			       "merge '%.40s' + '%.40s': not all of it is in the vocabulary",
			       part[0], part[1]);
	if (reading->ranks[*id] == NO_RANK && !reading->is_added[*id] &&
	    reading->vocab->tokens[*id].type == QC_TOKEN_NORMAL)
		reading->ranks[*id] = reading->next_rank++;
	return QC_OK;
}

static enum qc_status read_merges(struct reading *reading, struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	const qc_json_value merges = qc_json_get(json, reading->model, "merges");
	struct qc_arena scratch = {0};
	const char *text;
	size_t at = 0, size;
	enum qc_status s = QC_OK;

	if (qc_json_type_of(json, merges) != QC_JSON_ARRAY)
		return qc_fail(err, QC_BAD_INPUT, "'merges' is %s, an array is needed",
			       qc_json_type_name(qc_json_type_of(json, merges)));
	while (!s && qc_json_left(json, merges, &at, &text, &size)) {
		struct qc_json merge;
		const char *part[2];
		size_t len[2];

		s = qc_json_parse(&merge, text, size, QC_JSON_ALLOW_NAN, err);
		if (!s)
			s = read_pair(&merge, part, len, &scratch, err);
		qc_json_clear(&merge);
		if (!s)
			s = rank_merge(reading, part, len, err);
		if (!s &&
		    (reading->vocab->own_merges || reading->vocab->kind == QC_VOCAB_BYTE_LEVEL))
			s = qc_bpe_push_merge(reading->vocab, part, len, err);
		if (scratch.bytes > 1 << 16)
			qc_arena_clear(&scratch);
	}
	qc_arena_clear(&scratch);
	return s;
}

static void score_tokens(struct reading *reading)
{
	struct qc_vocab *vocab = reading->vocab;

	for (uint32_t id = 0; id < vocab->n_tokens; id++) {
		struct qc_token *token = &vocab->tokens[id];

		if (!token->text || reading->is_added[id] || token->type != QC_TOKEN_NORMAL)
			continue;
		if (reading->ranks[id] == NO_RANK)
			reading->ranks[id] = reading->next_rank++;
		token->score = -(float)reading->ranks[id];
	}
}

/* Added tokens get their types and scores last. */
static enum qc_status type_added(struct reading *reading, qc_json_value added, struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	enum qc_status s = QC_OK;

	for (qc_json_value v = qc_json_first(json, added); !s && v; v = qc_json_next(json, v)) {
		const struct qc_token *token;
		bool special = false;
		uint32_t id;

		s = read_id(reading, qc_json_get(json, v, "id"), &id, err);
		if (s)
			return s;
		(void)!qc_json_bool(json, qc_json_get(json, v, "special"), &special);
		token = &reading->vocab->tokens[id];
		s = qc_vocab_add_token(reading->vocab, id, token->text, token->len, special, err);
	}
	return s;
}

static enum qc_status read_all(struct reading *reading, struct qc_err *err)
{
	const struct qc_json *json = reading->json;
	const qc_json_value texts = qc_json_get(json, reading->model, "vocab");
	const qc_json_value added = qc_json_get(json, QC_JSON_ROOT, "added_tokens");
	enum qc_status s = check_model(reading, err);

	if (s)
		return s;
	if (qc_json_type_of(json, texts) != QC_JSON_OBJECT || !qc_json_count(json, texts))
		return qc_fail(err, QC_BAD_INPUT, "'vocab' is %s, an object with tokens is needed",
			       qc_json_count(json, texts)
				       ? qc_json_type_name(qc_json_type_of(json, texts))
				       : "empty or missing");
	reading->vocab->kind = qc_tokenizer_json_kind(json);
	reading->vocab->no_space_prefix = !prepends_space(json);
	s = size_vocab(reading, texts, added, err);
	if (!s)
		s = read_vocab(reading, texts, err);
	if (!s)
		s = read_added(reading, added, err);
	if (!s)
		s = read_merges(reading, err);
	if (s)
		return s;
	if (reading->vocab->kind == QC_VOCAB_SPM)
		score_tokens(reading);
	return type_added(reading, added, err);
}

enum qc_status qc_tokenizer_json_parse(struct qc_vocab *vocab, const struct qc_json *json,
				       struct qc_err *err)
{
	struct reading reading = {
		.vocab = vocab,
		.json = json,
		.model = qc_json_get(json, QC_JSON_ROOT, "model"),
	};
	enum qc_status s = read_all(&reading, err);

	qc_strmap_clear(&reading.ids);
	return s;
}

/*
 * tokenizer.json of a vocabulary.
 *
 * Ids of added tokens are not taken from the file by the library that reads it: a text that the
 * model's vocabulary has keeps its id there, others get the next free ones. So only the run of
 * added tokens directly behind the vocabulary stays out of it, and none of an SPM vocabulary.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer_write.h"

#define MARK "\u2581"

/* The first id behind the tokens that are no added ones. */
static uint32_t end_of_model(const struct qc_vocab_back *vocab)
{
	uint32_t n = vocab->n;

	if (vocab->kind != QC_VOCAB_BYTE_LEVEL)
		return n;
	while (n && (qc_vocab_back_is_added(vocab, n - 1) ||
		     vocab->tokens[n - 1].type == QC_TOKEN_UNUSED))
		n--;
	return n;
}

/* The first hole in the run of added tokens behind the model's. */
static uint32_t end_of_run(const struct qc_vocab_back *vocab, uint32_t from)
{
	while (from < vocab->n && qc_vocab_back_is_added(vocab, from))
		from++;
	return from;
}

static void put_added(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	qc_json_out_begin(out, "added_tokens", '[');
	for (uint32_t id = 0; id < vocab->n; id++) {
		const struct qc_token *token = &vocab->tokens[id];

		if (!qc_vocab_back_is_added(vocab, id) && token->type != QC_TOKEN_UNKNOWN)
			continue;
		qc_json_out_begin(out, NULL, '{');
		qc_json_out_u64(out, "id", id);
		qc_json_out_string(out, "content", token->text, token->len);
		qc_json_out_bool(out, "single_word", false);
		qc_json_out_bool(out, "lstrip", false);
		qc_json_out_bool(out, "rstrip", false);
		qc_json_out_bool(out, "normalized", false);
		qc_json_out_bool(out, "special", qc_vocab_back_is_special(vocab, id));
		qc_json_out_end(out, '}');
	}
	qc_json_out_end(out, ']');
}

static void begin_step(struct qc_json_out *out, const char *key, const char *type)
{
	qc_json_out_begin(out, key, '{');
	qc_json_out_text(out, "type", type);
}

static void put_replace(struct qc_json_out *out, const char *key, const char *from, const char *to)
{
	begin_step(out, key, "Replace");
	qc_json_out_begin(out, "pattern", '{');
	qc_json_out_text(out, "String", from);
	qc_json_out_end(out, '}');
	qc_json_out_text(out, "content", to);
	qc_json_out_end(out, '}');
}

static void put_normalizer(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	if (vocab->kind == QC_VOCAB_BYTE_LEVEL) {
		if (qc_bpe_composes(vocab->pre)) {
			begin_step(out, "normalizer", "NFC");
			qc_json_out_end(out, '}');
		} else {
			qc_json_out_raw(out, "normalizer", "null");
		}
		return;
	}
	if (!vocab->space_prefix) {
		put_replace(out, "normalizer", " ", MARK);
		return;
	}
	begin_step(out, "normalizer", "Sequence");
	qc_json_out_begin(out, "normalizers", '[');
	begin_step(out, NULL, "Prepend");
	qc_json_out_text(out, "prepend", MARK);
	qc_json_out_end(out, '}');
	put_replace(out, NULL, " ", MARK);
	qc_json_out_end(out, ']');
	qc_json_out_end(out, '}');
}

static void put_pre_tokenizer(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	if (vocab->kind == QC_VOCAB_BYTE_LEVEL) {
		qc_bpe_put_pre(vocab->pre, out);
		return;
	}
	if (vocab->space_prefix) {
		qc_json_out_raw(out, "pre_tokenizer", "null");
		return;
	}
	/* as Gemma's files have it; there is no space left that it could find */
	begin_step(out, "pre_tokenizer", "Split");
	qc_json_out_begin(out, "pattern", '{');
	qc_json_out_text(out, "String", " ");
	qc_json_out_end(out, '}');
	qc_json_out_text(out, "behavior", "MergedWithPrevious");
	qc_json_out_bool(out, "invert", false);
	qc_json_out_end(out, '}');
}

static void put_text_entry(struct qc_json_out *out, const char *id, unsigned type)
{
	qc_json_out_begin(out, NULL, '{');
	qc_json_out_begin(out, "Sequence", '{');
	qc_json_out_text(out, "id", id);
	qc_json_out_u64(out, "type_id", type);
	qc_json_out_end(out, '}');
	qc_json_out_end(out, '}');
}

static void put_token_entry(const struct qc_vocab_back *vocab, struct qc_json_out *out, uint32_t id,
			    unsigned type)
{
	qc_json_out_begin(out, NULL, '{');
	qc_json_out_begin(out, "SpecialToken", '{');
	qc_json_out_string(out, "id", vocab->tokens[id].text, vocab->tokens[id].len);
	qc_json_out_u64(out, "type_id", type);
	qc_json_out_end(out, '}');
	qc_json_out_end(out, '}');
}

static void put_template(const struct qc_vocab_back *vocab, struct qc_json_out *out,
			 const char *key, unsigned n_texts)
{
	static const char *const texts[] = {"A", "B"};

	qc_json_out_begin(out, key, '[');
	for (unsigned i = 0; i < n_texts; i++) {
		if (vocab->add_bos)
			put_token_entry(vocab, out, vocab->bos, i);
		put_text_entry(out, texts[i], i);
		if (vocab->add_eos)
			put_token_entry(vocab, out, vocab->eos, i);
	}
	qc_json_out_end(out, ']');
}

static void put_special(const struct qc_vocab_back *vocab, struct qc_json_out *out, uint32_t id)
{
	const struct qc_token *token = &vocab->tokens[id];
	char *key = strndup(token->text, token->len);

	if (!key) /* told by what is missing */
		return;
	qc_json_out_begin(out, key, '{');
	qc_json_out_string(out, "id", token->text, token->len);
	qc_json_out_begin(out, "ids", '[');
	qc_json_out_u64(out, NULL, id);
	qc_json_out_end(out, ']');
	qc_json_out_begin(out, "tokens", '[');
	qc_json_out_string(out, NULL, token->text, token->len);
	qc_json_out_end(out, ']');
	qc_json_out_end(out, '}');
	free(key);
}

static void put_post_processor(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	if (!vocab->add_bos && !vocab->add_eos) {
		if (vocab->kind != QC_VOCAB_BYTE_LEVEL) {
			qc_json_out_raw(out, "post_processor", "null");
			return;
		}
		begin_step(out, "post_processor", "ByteLevel");
		qc_json_out_bool(out, "add_prefix_space", true);
		qc_json_out_bool(out, "trim_offsets", false);
		qc_json_out_bool(out, "use_regex", true);
		qc_json_out_end(out, '}');
		return;
	}
	begin_step(out, "post_processor", "TemplateProcessing");
	put_template(vocab, out, "single", 1);
	put_template(vocab, out, "pair", 2);
	qc_json_out_begin(out, "special_tokens", '{');
	if (vocab->add_bos)
		put_special(vocab, out, vocab->bos);
	if (vocab->add_eos && !(vocab->add_bos && vocab->bos == vocab->eos))
		put_special(vocab, out, vocab->eos);
	qc_json_out_end(out, '}');
	qc_json_out_end(out, '}');
}

static void put_decoder(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	if (vocab->kind == QC_VOCAB_BYTE_LEVEL) {
		begin_step(out, "decoder", "ByteLevel");
		qc_json_out_bool(out, "add_prefix_space", true);
		qc_json_out_bool(out, "trim_offsets", true);
		qc_json_out_bool(out, "use_regex", true);
		qc_json_out_end(out, '}');
		return;
	}
	begin_step(out, "decoder", "Sequence");
	qc_json_out_begin(out, "decoders", '[');
	put_replace(out, NULL, MARK, " ");
	begin_step(out, NULL, "ByteFallback");
	qc_json_out_end(out, '}');
	begin_step(out, NULL, "Fuse");
	qc_json_out_end(out, '}');
	if (vocab->space_prefix) {
		begin_step(out, NULL, "Strip");
		qc_json_out_text(out, "content", " ");
		qc_json_out_u64(out, "start", 1);
		qc_json_out_u64(out, "stop", 0);
		qc_json_out_end(out, '}');
	}
	qc_json_out_end(out, ']');
	qc_json_out_end(out, '}');
}

static void put_vocab(const struct qc_vocab_back *vocab, struct qc_json_out *out)
{
	const uint32_t end = end_of_model(vocab), run = end_of_run(vocab, end);

	qc_json_out_begin(out, "vocab", '{');
	for (uint32_t id = 0; id < vocab->n; id++) {
		const struct qc_token *token = &vocab->tokens[id];
		const bool hole =
			token->type == QC_TOKEN_UNUSED && vocab->kind == QC_VOCAB_BYTE_LEVEL;

		if (!hole && (id < end || id >= run))
			qc_json_out_keyed_u64(out, token->text, token->len, id);
	}
	qc_json_out_end(out, '}');
}

/* The two parts of "a b". */
static enum qc_status put_given_merges(const struct qc_vocab_back *vocab, struct qc_json_out *out,
				       struct qc_err *err)
{
	const char *text;
	size_t at = 0, len;

	while (qc_kv_next_string(vocab->merges, &at, &text, &len)) {
		const char *space = len ? memchr(text + 1, ' ', len - 1) : NULL;
		const char *const parts[2] = {text, space ? space + 1 : NULL};
		const size_t first = space ? (size_t)(space - text) : 0;
		const size_t lens[2] = {first, len - first - 1};

		if (!space)
			return qc_fail(err, QC_UNSUPPORTED,
				       "merge '%.*s' is not two texts with a space between",
				       len > 60 ? 60 : (int)len, text);
		qc_json_out_pair(out, parts, lens);
	}
	return QC_OK;
}

static enum qc_status put_model(const struct qc_vocab_back *vocab, struct qc_json_out *out,
				struct qc_err *err)
{
	const bool bytes = vocab->kind == QC_VOCAB_BYTE_LEVEL;
	enum qc_status s;

	begin_step(out, "model", "BPE");
	qc_json_out_raw(out, "dropout", "null");
	if (!bytes && vocab->unknown < vocab->n)
		qc_json_out_string(out, "unk_token", vocab->tokens[vocab->unknown].text,
				   vocab->tokens[vocab->unknown].len);
	else
		qc_json_out_raw(out, "unk_token", "null");
	qc_json_out_raw(out, "continuing_subword_prefix", "null");
	qc_json_out_raw(out, "end_of_word_suffix", "null");
	qc_json_out_bool(out, "fuse_unk", !bytes);
	qc_json_out_bool(out, "byte_fallback", !bytes);
	qc_json_out_bool(out, "ignore_merges", bytes && qc_bpe_ignores_merges(vocab->pre));
	put_vocab(vocab, out);
	qc_json_out_begin(out, "merges", '[');
	s = vocab->merges ? put_given_merges(vocab, out, err)
			  : qc_merges_from_scores(vocab, out, err);
	qc_json_out_end(out, ']');
	qc_json_out_end(out, '}');
	return s;
}

enum qc_status qc_tokenizer_write_json(const struct qc_vocab_back *vocab, FILE *out,
				       struct qc_err *err)
{
	struct qc_json_out json = {.file = out};
	enum qc_status s;

	qc_json_out_begin(&json, NULL, '{');
	qc_json_out_text(&json, "version", "1.0");
	qc_json_out_raw(&json, "truncation", "null");
	qc_json_out_raw(&json, "padding", "null");
	put_added(vocab, &json);
	put_normalizer(vocab, &json);
	put_pre_tokenizer(vocab, &json);
	put_post_processor(vocab, &json);
	put_decoder(vocab, &json);
	s = put_model(vocab, &json, err);
	qc_json_out_end(&json, '}');
	return s;
}

/*
 * Byte-level BPE (tokenizer.ggml.model "gpt2").
 *
 * Text is cut into words by the pre-tokenizer; each word's bytes are the first symbols, and pairs
 * merge by rank. The vocabulary writes bytes as printable characters, GPT-2's alphabet:
 *
 *   bytes 33..126, 161..172, 174..255   the code point of the same number
 *   the other 68, in order              U+0100, U+0101, ... (a space is U+0120)
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "calib/byte_alphabet.h"
#include "calib/normalize.h"
#include "calib/tokenizer_parts.h"

#define MAX_WORD_BYTES (UINT32_MAX / 4)

/* The tokens of the 256 bytes, by their characters. */
static void find_bytes(struct qc_tokenizer *tok)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		char text[4];
		const uint64_t *id =
			qc_strmap_find(&tok->ids, text, qc_byte_character((uint8_t)byte, text));

		tok->bytes[byte] = id ? (uint32_t)*id : QC_NO_TOKEN;
	}
}

/* For whole words: tokens by the bytes that they stand for. */
static enum qc_status index_words(struct qc_tokenizer *tok, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	qc_strmap_clear(&tok->ids);
	for (uint32_t id = 0; !s && id < tok->n_tokens; id++) {
		const struct qc_vocab_token *token = &tok->tokens[id];
		char *bytes;
		size_t len;

		if (!token->len || token->type == QC_TOKEN_CONTROL ||
		    token->type == QC_TOKEN_UNKNOWN || token->type == QC_TOKEN_BYTE)
			continue;
		bytes = qc_arena_alloc(&tok->arena, token->len);
		if (!bytes)
			return qc_no_memory(err);
		if (qc_bytes_of_characters(token->text, token->len, bytes, &len))
			s = qc_vocabulary_put(tok, bytes, len, id, err);
	}
	return s;
}

static enum qc_status bpe_prepare(struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct qc_err *err)
{
	const char *pre = "default";
	size_t len = strlen(pre);
	enum qc_status s;

	if (qc_meta_find(meta, "tokenizer.ggml.pre") &&
	    !qc_meta_string(meta, "tokenizer.ggml.pre", &pre, &len))
		return qc_fail(err, QC_BAD_INPUT, "tokenizer.ggml.pre is not a string");
	s = qc_pretokenizer_open(&tok->pre, pre, len, err);
	if (s)
		return s;
	tok->add_bos = qc_pretokenizer_traits(tok->pre)->add_bos;
	s = qc_vocabulary_index(tok, err);
	if (!s)
		s = qc_merges_read(tok, meta, NULL, err);
	if (s)
		return s;
	find_bytes(tok);
	if (qc_pretokenizer_traits(tok->pre)->ignore_merges)
		return index_words(tok, err);
	qc_strmap_clear(&tok->ids);
	return QC_OK;
}

static enum qc_status merge_word(struct qc_encoding_run *run, const char *text, size_t len)
{
	const struct qc_tokenizer *tok = run->tok;
	const struct qc_merge_rule rule = qc_merges_rule(tok);
	const uint64_t *whole = qc_strmap_find(&tok->ids, text, len);
	enum qc_status s = QC_OK;

	if (whole)
		return qc_run_put(run, (uint32_t)*whole);
	if (len > MAX_WORD_BYTES)
		return qc_fail(run->err, QC_UNSUPPORTED,
			       "a word of %zu bytes cannot be tokenized, at most %u", len,
			       MAX_WORD_BYTES);
	qc_merger_start(&run->merger);
	for (size_t i = 0; !s && i < len; i++)
		s = qc_merger_push(&run->merger, tok->bytes[(uint8_t)text[i]], (uint32_t)i,
				   (uint32_t)i + 1, run->err);
	return s ? s : qc_run_merge(run, text, &rule);
}

static enum qc_status take_word(void *context, const char *word, size_t len, struct qc_err *err)
{
	(void)err; /* the run has it too */
	return qc_run_word(context, word, len, merge_word);
}

static enum qc_status encode_well_formed(struct qc_encoding_run *run, const char *text, size_t len)
{
	const struct qc_pretokenizer *pre = run->tok->pre;
	enum qc_status s = QC_OK;

	if (!run->matcher)
		s = qc_pre_matcher_open(&run->matcher, pre, run->err);
	if (!s && qc_pretokenizer_traits(pre)->nfc) {
		char *nfc = NULL;

		s = qc_normalize_nfc(text, len, &nfc, &len, run->err);
		if (!s && nfc) {
			text = qc_arena_copy(&run->texts, nfc, len);
			if (!text)
				s = qc_no_memory(run->err);
		}
		free(nfc);
	}
	return s ? s : qc_pretokenize(pre, run->matcher, text, len, take_word, run, run->err);
}

static enum qc_status bpe_encode(struct qc_encoding_run *run, const char *text, size_t len,
				 bool prefix)
{
	enum qc_status s = QC_OK;
	size_t at = 0;

	(void)prefix; /* this kind has none */
	while (!s && at < len) {
		size_t end = at, n;

		while (end < len && (n = qc_utf8_length(text + end, len - end)))
			end += n;
		if (end > at)
			s = encode_well_formed(run, text + at, end - at);
		if (!s && end < len)
			s = qc_run_put_bytes(run, text + end++, 1);
		at = end;
	}
	return s;
}

const struct qc_tokenizer_kind qc_tokenizer_bpe = {
	.model = "gpt2",
	.bos = QC_NO_TOKEN,
	.eos = QC_NO_TOKEN,
	.unk = QC_NO_TOKEN,
	.prepare = bpe_prepare,
	.encode = bpe_encode,
};

/*
 * Words of characters, for the kinds that merge over a whole text.
 *
 * Their vocabularies write a space as U+2581. The text itself is left as it is, so that words can
 * be remembered where they lie; only a word that has to be merged is copied, with its spaces
 * replaced.
 */
#include <stdlib.h>
#include <string.h>

#include "calib/tokenizer_parts.h"

#define MAX_WORD_BYTES (UINT32_MAX / 4)

/* Length of the text up to the first cut; `after_space`: a space stands before it. */
static size_t word_length(const struct qc_cuts *cuts, const char *text, size_t len,
			  bool after_space)
{
	uint32_t left = QC_SPACE_CODE;
	size_t at = 0, n;

	if (!after_space)
		left = qc_next_character(text, len, &at);
	for (; at < len; at += n) {
		const uint32_t code = qc_next_character(text + at, len - at, &n);

		if (qc_cuts_between(cuts, left, code))
			return at;
		left = code;
	}
	return len;
}

/* The first word of a text that a space is put before. */
static enum qc_status encode_first(struct qc_encoding_run *run, const char *text, size_t len,
				   enum qc_status (*encode)(struct qc_encoding_run *run,
							    const char *text, size_t len))
{
	char *copy = malloc(len + 1);
	enum qc_status s;

	if (!copy)
		return qc_no_memory(run->err);
	copy[0] = ' ';
	memcpy(copy + 1, text, len);
	s = encode(run, copy, len + 1);
	free(copy);
	return s;
}

enum qc_status qc_characters_encode(struct qc_encoding_run *run, const char *text, size_t len,
				    bool prefix,
				    enum qc_status (*encode)(struct qc_encoding_run *run,
							     const char *text, size_t len))
{
	const struct qc_cuts *cuts = &run->tok->cuts;
	enum qc_status s = QC_OK;
	size_t at = 0;

	if (prefix) {
		at = word_length(cuts, text, len, true);
		s = encode_first(run, text, at, encode);
	}
	while (!s && at < len) {
		const size_t n = word_length(cuts, text + at, len - at, false);

		s = qc_run_word(run, text + at, n, encode);
		at += n;
	}
	return s;
}

/* run->word is the word with every space as U+2581. */
static enum qc_status copy_word(struct qc_encoding_run *run, const char *text, size_t len,
				size_t *word_len)
{
	size_t n = 0;

	if (len > MAX_WORD_BYTES)
		return qc_fail(run->err, QC_UNSUPPORTED,
			       "a word of %zu bytes cannot be tokenized, at most %u", len,
			       MAX_WORD_BYTES);
	if (3 * len > run->word_cap) {
		free(run->word);
		run->word_cap = 3 * len + 256;
		run->word = malloc(run->word_cap);
		if (!run->word) {
			run->word_cap = 0;
			return qc_no_memory(run->err);
		}
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ' ') {
			memcpy(run->word + n, QC_SPACE_MARK, 3);
			n += 3;
		} else {
			run->word[n++] = text[i];
		}
	}
	*word_len = n;
	return QC_OK;
}

enum qc_status qc_characters_start(struct qc_encoding_run *run, const char *text, size_t len)
{
	size_t word_len = 0;
	enum qc_status s = copy_word(run, text, len, &word_len);

	qc_merger_start(&run->merger);
	for (size_t at = 0, n; !s && at < word_len; at += n) {
		const uint64_t *id;

		(void)qc_next_character(run->word + at, word_len - at, &n);
		id = qc_strmap_find(&run->tok->ids, run->word + at, n);
		s = qc_merger_push(&run->merger, id ? (uint32_t)*id : QC_NO_TOKEN, (uint32_t)at,
				   (uint32_t)(at + n), run->err);
	}
	return s;
}

/*
 * Gemma 4's tokenizer (tokenizer.ggml.model "gemma4"): a SentencePiece vocabulary with a list of
 * merges that alone decides; scores say nothing. Spaces are U+2581, characters that are no token
 * become their bytes, and nothing is put before the text.
 *
 * Newlines merge with nothing else. A run of them is the token for that many, or the longest there
 * is and then the rest (in tokenizer.json these tokens are added ones, found before any merging).
 */
#include <string.h>

#include "calib/tokenizer_parts.h"

static void join_merged(struct qc_tokenizer *tok, const char *text, size_t len)
{
	qc_cuts_join_text(&tok->cuts, text, len);
}

static enum qc_status gemma4_prepare(struct qc_tokenizer *tok, const struct qc_meta *meta,
				     struct qc_err *err)
{
	const struct qc_kv *merges = qc_meta_find(meta, "tokenizer.ggml.merges");
	char run[QC_MAX_NEWLINE_RUN];
	enum qc_status s = qc_vocabulary_index(tok, err);

	memset(run, '\n', sizeof(run));
	for (size_t n = 1; n <= QC_MAX_NEWLINE_RUN; n++) {
		const uint64_t *id = qc_strmap_find(&tok->ids, run, n);

		tok->newlines[n] = id ? (uint32_t)*id : QC_NO_TOKEN;
	}
	if (!s)
		s = qc_cuts_init(&tok->cuts, merges ? merges->bytes / 2 : 0, err);
	if (s)
		return s;
	/* a run of newlines is one word */
	qc_cuts_join(&tok->cuts, '\n', '\n');
	return qc_merges_read(tok, meta, join_merged, err);
}

static enum qc_status encode_newlines(struct qc_encoding_run *run, size_t n)
{
	enum qc_status s = QC_OK;
	size_t most = QC_MAX_NEWLINE_RUN;

	while (!s && n) {
		most = n < most ? n : most;
		while (most && run->tok->newlines[most] == QC_NO_TOKEN)
			most--;
		s = most ? qc_run_put(run, run->tok->newlines[most])
			 : qc_run_put_bytes(run, "\n", 1);
		n -= most ? most : 1;
	}
	return s;
}

static size_t newline_run(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] == '\n')
		n++;
	return n;
}

static enum qc_status encode_word(struct qc_encoding_run *run, const char *text, size_t len)
{
	const struct qc_merge_rule rule = qc_merges_rule(run->tok);
	enum qc_status s = QC_OK;

	for (size_t at = 0; !s && at < len;) {
		const size_t newlines = newline_run(text + at, len - at);
		const char *end;

		s = encode_newlines(run, newlines);
		at += newlines;
		if (s || at == len)
			break;
		end = memchr(text + at, '\n', len - at);
		end = end ? end : text + len;
		s = qc_characters_start(run, text + at, (size_t)(end - text) - at);
		if (!s)
			s = qc_run_merge(run, run->word, &rule);
		at = (size_t)(end - text);
	}
	return s;
}

static enum qc_status gemma4_encode(struct qc_encoding_run *run, const char *text, size_t len,
				    bool prefix)
{
	return qc_characters_encode(run, text, len, prefix, encode_word);
}

const struct qc_tokenizer_kind qc_tokenizer_gemma4 = {
	.model = "gemma4",
	.bos = QC_NO_TOKEN,
	.eos = QC_NO_TOKEN,
	.unk = QC_NO_TOKEN,
	.always_add_bos = true,
	.marks = true,
	.prepare = gemma4_prepare,
	.encode = gemma4_encode,
};

/* Text to ids: special tokens first, what lies between them by the tokenizer's kind. */
#include <stdlib.h>

#include "calib/tokenizer_parts.h"

void qc_ids_clear(struct qc_ids *ids)
{
	free(ids->ids);
	*ids = (struct qc_ids){0};
}

static enum qc_status encode_text(struct qc_encoding_run *run, const char *text, size_t len,
				  bool control)
{
	const struct qc_tokenizer *tok = run->tok;
	enum qc_status s = QC_OK;

	while (!s && len) {
		uint32_t id = QC_NO_TOKEN;
		size_t n = 0;
		const size_t at = qc_specials_find(&tok->specials, text, len, control, &n, &id);

		/* whatever stands before a text is a special token or nothing */
		if (at)
			s = tok->kind->encode(run, text, at, tok->space_prefix);
		if (!s && n)
			s = qc_run_put(run, id);
		text += at + n;
		len -= at + n;
	}
	return s;
}

enum qc_status qc_tokenizer_encode(const struct qc_tokenizer *tok, const char *text, size_t len,
				   unsigned flags, struct qc_ids *ids, struct qc_err *err)
{
	struct qc_encoding_run run = {.tok = tok, .out = ids, .err = err};
	const bool add = flags & QC_ENCODE_ADD_SPECIAL;
	const size_t n = ids->n;
	enum qc_status s = QC_OK;

	qc_word_cache_init(&run.cache, len);
	if (add && tok->add_bos)
		s = qc_run_put(&run, tok->bos);
	if (!s)
		s = encode_text(&run, text, len, flags & QC_ENCODE_PARSE_SPECIAL);
	if (!s && add && tok->add_eos)
		s = qc_run_put(&run, tok->eos);
	qc_merger_clear(&run.merger);
	qc_word_cache_clear(&run.cache);
	qc_pre_matcher_close(run.matcher);
	qc_arena_clear(&run.texts);
	free(run.word);
	if (s)
		ids->n = n;
	return s;
}

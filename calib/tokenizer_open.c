/* Building and dropping a tokenizer. */
#include <stdlib.h>

#include "calib/tokenizer_parts.h"

enum qc_status qc_tokenizer_open_meta(struct qc_tokenizer **out, const struct qc_meta *meta,
				      struct qc_err *err)
{
	struct qc_tokenizer *tok = calloc(1, sizeof(*tok));
	enum qc_status s = tok ? qc_vocabulary_read(tok, meta, err) : qc_no_memory(err);

	if (s) {
		qc_tokenizer_close(tok);
		return s;
	}
	*out = tok;
	return QC_OK;
}

enum qc_status qc_tokenizer_open(struct qc_tokenizer **out, const struct qc_model *model,
				 struct qc_err *err)
{
	if (qc_tokenizer_open_meta(out, &model->meta, err))
		return qc_fail_in(err, "the tokenizer of '%s'", model->path ? model->path : "");
	return QC_OK;
}

void qc_tokenizer_close(struct qc_tokenizer *tok)
{
	if (!tok)
		return;
	qc_specials_clear(&tok->specials);
	qc_strmap_clear(&tok->ids);
	qc_pairs_clear(&tok->merges);
	qc_cuts_clear(&tok->cuts);
	qc_pretokenizer_close(tok->pre);
	qc_arena_clear(&tok->arena);
	free(tok);
}

uint32_t qc_tokenizer_size(const struct qc_tokenizer *tok)
{
	return tok->n_tokens;
}

bool qc_tokenizer_bos(const struct qc_tokenizer *tok, uint32_t *id)
{
	*id = tok->bos;
	return tok->bos != QC_NO_TOKEN;
}

bool qc_tokenizer_eos(const struct qc_tokenizer *tok, uint32_t *id)
{
	*id = tok->eos;
	return tok->eos != QC_NO_TOKEN;
}

bool qc_tokenizer_adds_bos(const struct qc_tokenizer *tok)
{
	return tok->add_bos;
}

bool qc_tokenizer_adds_eos(const struct qc_tokenizer *tok)
{
	return tok->add_eos;
}

bool qc_tokenizer_is_end(const struct qc_tokenizer *tok, uint32_t id)
{
	return id < tok->n_tokens && tok->tokens[id].ends_text;
}

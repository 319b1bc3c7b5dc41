/*
 * SentencePiece's BPE with byte fallback (tokenizer.ggml.model "llama").
 *
 * Two neighbours merge when their text is a token; of all that may, the one with the highest score
 * goes first, the leftmost of equals. Characters that are no token become their bytes. A space is
 * put before the text, and before what follows a special token, unless the model says no.
 *
 * Scores are only compared, so each token has the rank of its score instead. An unused token counts
 * as any other, as in libllama.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "calib/tokenizer_parts.h"

struct scored {
	float score;
	uint32_t id;
};

static int by_score(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static enum qc_status read_scores(const struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct scored *list, struct qc_err *err)
{
	const struct qc_kv *kv = qc_meta_find(meta, "tokenizer.ggml.scores");
	const bool whole = kv && kv->elem == QC_KV_I32;

	if (!kv || kv->type != QC_KV_ARRAY || (kv->elem != QC_KV_F32 && !whole) ||
	    kv->n < tok->n_tokens)
		return qc_fail(err, QC_BAD_INPUT,
			       "tokenizer.ggml.scores: %u numbers (f32) are needed", tok->n_tokens);
	for (uint32_t id = 0; id < tok->n_tokens; id++) {
		const uint32_t bits = qc_le32(kv->data + 4 * (size_t)id);
		const float score = whole ? (float)(int32_t)bits : qc_bits_f32(bits);

		if (isnan(score))
			return qc_fail(err, QC_BAD_INPUT, "the score of token %u is not a number",
				       id);
		list[id] = (struct scored){.score = score, .id = id};
	}
	return QC_OK;
}

static enum qc_status rank_tokens(struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct qc_err *err)
{
	struct scored *list = calloc(tok->n_tokens, sizeof(*list));
	uint32_t rank = 0;
	enum qc_status s = QC_OK;

	tok->ranks = qc_arena_array(&tok->arena, tok->n_tokens, sizeof(*tok->ranks));
	if (!list || !tok->ranks)
		s = qc_no_memory(err);
	if (!s)
		s = read_scores(tok, meta, list, err);
	if (!s) {
		qsort(list, tok->n_tokens, sizeof(*list), by_score);
		for (uint32_t i = 0; i < tok->n_tokens; i++) {
			rank += i && list[i].score < list[i - 1].score;
			tok->ranks[list[i].id] = rank;
		}
	}
	free(list);
	return s;
}

static enum qc_status spm_prepare(struct qc_tokenizer *tok, const struct qc_meta *meta,
				  struct qc_err *err)
{
	uint64_t pairs = 0;
	enum qc_status s = rank_tokens(tok, meta, err);

	if (!s)
		s = qc_vocabulary_index(tok, err);
	if (s)
		return s;
	for (size_t i = 0; i < tok->ids.n_slots; i++)
		pairs += tok->ids.slots[i].key ? tok->ids.slots[i].len - 1 : 0;
	s = qc_cuts_init(&tok->cuts, pairs, err);
	for (size_t i = 0; !s && i < tok->ids.n_slots; i++)
		if (tok->ids.slots[i].key)
			qc_cuts_join_text(&tok->cuts, tok->ids.slots[i].key, tok->ids.slots[i].len);
	return s;
}

static bool find_piece(const void *rules, const char *word, const struct qc_symbol *left,
		       const struct qc_symbol *right, uint32_t *rank, uint32_t *id)
{
	const struct qc_tokenizer *tok = rules;
	const size_t len = right->end - left->start;
	const uint64_t *found =
		len > tok->longest ? NULL : qc_strmap_find(&tok->ids, word + left->start, len);

	if (!found)
		return false;
	*id = (uint32_t)*found;
	*rank = tok->ranks[*id];
	return true;
}

static enum qc_status encode_word(struct qc_encoding_run *run, const char *text, size_t len)
{
	const struct qc_merge_rule rule = {.find = find_piece, .rules = run->tok};
	enum qc_status s = qc_characters_start(run, text, len);

	return s ? s : qc_run_merge(run, run->word, &rule);
}

static enum qc_status spm_encode(struct qc_encoding_run *run, const char *text, size_t len,
				 bool prefix)
{
	return qc_characters_encode(run, text, len, prefix, encode_word);
}

const struct qc_tokenizer_kind qc_tokenizer_spm = {
	.model = "llama",
	.bos = 1,
	.eos = 2,
	.unk = 0,
	.add_bos = true,
	.space_prefix = true,
	.marks = true,
	.prepare = spm_prepare,
	.encode = spm_encode,
};

/*
 * The merges of a SentencePiece BPE vocabulary, which has scores instead.
 *
 * SentencePiece merges the neighbours that make the piece with the highest score. So every pair of
 * tokens that makes a token is a merge, in the order of the scores of what they make (the exporters
 * of transformers and tokenizers do the same). Tokens that users have defined come first: they are
 * found before any merging.
 */
#include "formats/tokenizer_write.h"

#include <stdlib.h>
#include <string.h>

/* A token that merges make, with its place in their order. */
struct made {
	uint32_t id;
	float score;
};

/* Two tokens that make one. */
struct split {
	uint64_t ids[2];
};

static bool is_merged(const struct qc_token *token)
{
	return token->type == QC_TOKEN_NORMAL || token->type == QC_TOKEN_USER_DEFINED;
}

/* Runs of spaces and line ends are such tokens: who looks for them takes the longest first, from
 * the left. So do merges that double runs before they make the others, longest first. */
static float user_defined_score(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((uint8_t)text[i] & 0xc0) != 0x80;
	return n & (n - 1) ? (float)n : 2e6f - (float)n;
}

static int by_score(const void *a, const void *b)
{
	const struct made *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static bool find_part(const struct qc_vocab_back *vocab, const char *text, size_t len,
		      uint64_t *out)
{
	const uint64_t *id = qc_strmap_find(&vocab->ids, text, len);

	if (!id || !is_merged(&vocab->tokens[*id]))
		return false;
	*out = *id;
	return true;
}

static int by_ids(const void *a, const void *b)
{
	const struct split *x = a, *y = b;

	if (x->ids[0] != y->ids[0])
		return x->ids[0] < y->ids[0] ? -1 : 1;
	return x->ids[1] < y->ids[1] ? -1 : x->ids[1] > y->ids[1];
}

/* All ways to make one token of two, by the ids of these. */
static enum qc_status put_splits(const struct qc_vocab_back *vocab, const struct qc_token *token,
				 struct qc_json_out *out, struct qc_err *err)
{
	struct split *splits = malloc((token->len + 1) * sizeof(*splits));
	size_t n = 0;

	if (!splits)
		return qc_no_memory(err);
	for (size_t cut = 1; cut < token->len; cut++) {
		const char *second = token->text + cut;

		if (((uint8_t)*second & 0xc0) != 0x80 && /* not inside a character */
		    find_part(vocab, token->text, cut, &splits[n].ids[0]) &&
		    find_part(vocab, second, token->len - cut, &splits[n].ids[1]))
			n++;
	}
	qsort(splits, n, sizeof(*splits), by_ids);
	for (size_t i = 0; i < n; i++) {
		const struct qc_token *a = &vocab->tokens[splits[i].ids[0]];
		const struct qc_token *b = &vocab->tokens[splits[i].ids[1]];

		qc_json_out_pair(out, (const char *const[2]){a->text, b->text},
				 (const size_t[2]){a->len, b->len});
	}
	free(splits);
	return QC_OK;
}

enum qc_status qc_merges_from_scores(const struct qc_vocab_back *vocab, struct qc_json_out *out,
				     struct qc_err *err)
{
	struct made *made = malloc((vocab->n + (size_t)1) * sizeof(*made));
	size_t n = 0;
	enum qc_status s = QC_OK;

	if (!made)
		return qc_no_memory(err);
	for (uint32_t id = 0; id < vocab->n; id++) {
		const struct qc_token *token = &vocab->tokens[id];

		if (!is_merged(token))
			continue;
		made[n].id = id;
		made[n++].score = token->type == QC_TOKEN_USER_DEFINED
					  ? 1 + user_defined_score(token->text, token->len)
					  : token->score;
	}
	qsort(made, n, sizeof(*made), by_score);
	for (size_t i = 0; !s && i < n; i++)
		s = put_splits(vocab, &vocab->tokens[made[i].id], out, err);
	free(made);
	return s;
}

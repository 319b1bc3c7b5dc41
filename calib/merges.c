/* tokenizer.ggml.merges: "left right" texts in order of rank, as pairs of token ids. */
#include <stdlib.h>
#include <string.h>

#include "calib/tokenizer_parts.h"

/* Left and right part of "left right"; a space at the very beginning belongs to the left one. */
static bool split_merge(const char *text, size_t len, size_t *left)
{
	const char *space = len > 1 ? memchr(text + 1, ' ', len - 1) : NULL;

	*left = space ? (size_t)(space - text) : 0;
	return space && *left + 1 < len;
}

enum qc_status qc_merges_read(struct qc_tokenizer *tok, const struct qc_meta *meta,
			      void (*joined)(struct qc_tokenizer *tok, const char *text,
					     size_t len),
			      struct qc_err *err)
{
	const struct qc_kv *kv = qc_meta_find(meta, "tokenizer.ggml.merges");
	char *whole = malloc(tok->longest + 1);
	size_t at = 0, len, left;
	const char *text;
	enum qc_status s = whole ? QC_OK : qc_no_memory(err);

	if (!s &&
	    (!kv || kv->type != QC_KV_ARRAY || kv->elem != QC_KV_STRING || kv->n > UINT32_MAX))
		s = qc_fail(err, QC_BAD_INPUT,
			    "tokenizer.ggml.merges is %s, an array of strings is needed",
			    kv ? "of another type or too long" : "missing");
	if (!s)
		s = qc_pairs_reserve(&tok->merges, kv->n, err);
	for (uint32_t rank = 0; !s && qc_kv_next_string(kv, &at, &text, &len); rank++) {
		const uint64_t *a, *b, *made;

		/* the whole is a byte shorter, for the space */
		if (len - 1 > tok->longest || !split_merge(text, len, &left))
			continue;
		memcpy(whole, text, left);
		memcpy(whole + left, text + left + 1, len - left - 1);
		a = qc_strmap_find(&tok->ids, text, left);
		b = qc_strmap_find(&tok->ids, text + left + 1, len - left - 1);
		made = qc_strmap_find(&tok->ids, whole, len - 1);
		if (!a || !b || !made)
			continue;
		qc_pairs_add(&tok->merges, (uint32_t)*a, (uint32_t)*b, rank, (uint32_t)*made);
		if (joined)
			joined(tok, whole, len - 1);
	}
	free(whole);
	return s;
}

static bool find_merge(const void *rules, const char *word, const struct qc_symbol *left,
		       const struct qc_symbol *right, uint32_t *rank, uint32_t *id)
{
	const struct qc_pair_slot *merge = qc_pairs_find(rules, left->id, right->id);

	(void)word;
	if (!merge)
		return false;
	*rank = merge->rank;
	*id = merge->id;
	return true;
}

struct qc_merge_rule qc_merges_rule(const struct qc_tokenizer *tok)
{
	return (struct qc_merge_rule){.find = find_merge, .rules = &tok->merges};
}

/*
 * Merging neighbours: what every kind of BPE does once a word is cut into symbols.
 *
 *   symbols   h e l l o        of all pairs of neighbours that may merge, the one of the lowest
 *             h e ll o         rank does, the leftmost of equals; then again, until none may
 *             he ll o
 *             hell o
 *
 * A heap of candidates makes it n log n for words of any length.
 */
#ifndef QC_CALIB_MERGE_H
#define QC_CALIB_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

#define QC_NO_SYMBOL UINT32_MAX
#define QC_NO_TOKEN  UINT32_MAX

/* Bytes start..end of the word. A symbol that went into its left neighbour is empty. */
struct qc_symbol {
	uint32_t id; /* QC_NO_TOKEN: a character that is none */
	uint32_t start, end;
	uint32_t prev, next; /* QC_NO_SYMBOL at the ends */
};

struct qc_candidate {
	uint64_t key; /* rank << 32 | index of the left symbol: smallest first */
	uint32_t end; /* of the right symbol; tells whether the candidate still holds */
	uint32_t id;  /* what it makes */
};

/* Zeroed is ready to use; keeps its memory from word to word. */
struct qc_merger {
	struct qc_symbol *symbols; /* symbol 0 is always the first one left */
	size_t n, cap;
	struct qc_candidate *heap;
	size_t n_heap, cap_heap;
};

/* What two neighbours make: false when they do not merge. `word` is the text that symbols count
 * in. */
struct qc_merge_rule {
	bool (*find)(const void *rules, const char *word, const struct qc_symbol *left,
		     const struct qc_symbol *right, uint32_t *rank, uint32_t *id);
	const void *rules;
};

/* Start a word; then its symbols from left to right. QC_NO_MEMORY. */
void qc_merger_start(struct qc_merger *merger);
QC_MUST_CHECK
enum qc_status qc_merger_push(struct qc_merger *merger, uint32_t id, uint32_t start, uint32_t end,
			      struct qc_err *err);

/* Merge until nothing does. The result is the chain of `next` from symbol 0. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_merger_run(struct qc_merger *merger, const char *word,
			     const struct qc_merge_rule *rule, struct qc_err *err);

void qc_merger_clear(struct qc_merger *merger);

#endif

/* A hash map from pairs of token ids to a merge: its rank and the token that it makes. */
#ifndef QC_CALIB_PAIRS_H
#define QC_CALIB_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

struct qc_pair_slot {
	uint32_t left, right;
	uint32_t rank, id; /* id UINT32_MAX: free */
};

/* Zeroed is an empty map. */
struct qc_pairs {
	struct qc_pair_slot *slots; /* a power of two of them, at most three quarters used */
	size_t n_slots, n_used;
};

/* Make room for `n` pairs. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_pairs_reserve(struct qc_pairs *pairs, uint64_t n, struct qc_err *err);

/* Add a pair for which there is room; one that is there already stays as it is. */
void qc_pairs_add(struct qc_pairs *pairs, uint32_t left, uint32_t right, uint32_t rank,
		  uint32_t id);

/* NULL when the pair does not merge. */
const struct qc_pair_slot *qc_pairs_find(const struct qc_pairs *pairs, uint32_t left,
					 uint32_t right);

void qc_pairs_clear(struct qc_pairs *pairs);

#endif

/*
 * One of several types for every tensor, so that their sizes together stay below a limit and their
 * costs together are least: the multiple-choice knapsack problem.
 */
#ifndef QC_CONVERT_KNAPSACK_H
#define QC_CONVERT_KNAPSACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* What one item can be; cost and size of every way, at least one, in any order. */
struct qc_knapsack_item {
	const double *costs; /* finite, >= 0 */
	const uint64_t *sizes;
	size_t n;
};

/* chosen[i]: the way of item i. Sizes are exact; the sum of costs is the least there is, but for
 * what rounding sizes up to 1/32768 of the room loses, most of which is won back afterwards. The
 * same input gives the same answer everywhere. QC_REFUSED: the smallest ways take *smallest, more
 * than `capacity`; QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_knapsack(const struct qc_knapsack_item *items, size_t n, uint64_t capacity,
			   size_t *chosen, uint64_t *smallest, struct qc_err *err);

#endif

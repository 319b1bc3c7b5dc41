/*
 * Where text can be cut without changing its tokens.
 *
 * Merging over a whole text makes a token only of characters that stand side by side in some token.
 * Two neighbours that no token has side by side can therefore be told apart beforehand: for usual
 * vocabularies that is nearly every place before a space, so that words can be merged one by one,
 * and remembered.
 */
#ifndef QC_CALIB_CUTS_H
#define QC_CALIB_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* Stands for a space in vocabularies of characters. */
#define QC_SPACE_MARK "\u2581"
#define QC_SPACE_CODE 0x2581u

/* The code point that `text` begins with, a space being QC_SPACE_CODE, and its length in *n. A byte
 * that is not part of well-formed UTF-8 counts as a character of its own above U+10FFFF. len > 0.
 */
uint32_t qc_next_character(const char *text, size_t len, size_t *n);

/* A set of pairs of characters as a bitmap of their hashes: it may hold more than was added (that
 * costs cuts, not correctness). Zeroed is empty. */
struct qc_cuts {
	uint64_t *bits;
	unsigned shift; /* 64 - log2 of the number of bits */
};

/* Start with room for about `n` pairs. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_cuts_init(struct qc_cuts *cuts, uint64_t n, struct qc_err *err);

static inline uint64_t qc_cuts_bit(const struct qc_cuts *cuts, uint32_t left, uint32_t right)
{
	return (((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u) >> cuts->shift;
}

static inline void qc_cuts_join(struct qc_cuts *cuts, uint32_t left, uint32_t right)
{
	const uint64_t bit = qc_cuts_bit(cuts, left, right);

	cuts->bits[bit / 64] |= (uint64_t)1 << bit % 64;
}

static inline bool qc_cuts_between(const struct qc_cuts *cuts, uint32_t left, uint32_t right)
{
	const uint64_t bit = qc_cuts_bit(cuts, left, right);

	return !(cuts->bits[bit / 64] >> bit % 64 & 1);
}

/* Add all pairs of neighbours in a token's text. */
void qc_cuts_join_text(struct qc_cuts *cuts, const char *text, size_t len);

void qc_cuts_clear(struct qc_cuts *cuts);

#endif

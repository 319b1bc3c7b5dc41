/*
 * Integers in groups, each group with a scale and, unless it is symmetric, a zero point: what GPTQ,
 * AWQ and compressed-tensors store, each packed in its own way.
 *
 *   w[r][c] = scale[r][g] * (code[r][c] - zero[r][g])        g = c / group, or g_idx[c]
 *
 * Codes are 0 .. 2^bits - 1; in a symmetric weight every zero is 2^(bits - 1). Such a weight of 4
 * or 8 bits whose groups are whole blocks of 32 and whose scales are f16 numbers has raw rows too,
 * of type q4_0 or q8_0: the codes are moved, not computed. (A group of more than 32 repeats its
 * scale in every block.)
 */
#ifndef QC_FORMATS_INT_GROUPS_H
#define QC_FORMATS_INT_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/parts.h"
#include "formats/source.h"

struct qc_int_groups;

/* How an encoding packs: unpack the codes of rows [row, row + n) into n * cols bytes, the zero
 * points into n * n_groups numbers (NULL: symmetric). */
typedef enum qc_status qc_load_codes_fn(const struct qc_int_groups *groups, uint64_t row,
					uint64_t n, uint8_t *codes, struct qc_scratch *scratch,
					struct qc_err *err);
typedef enum qc_status qc_load_zeros_fn(const struct qc_int_groups *groups, uint64_t row,
					uint64_t n, int16_t *zeros, struct qc_scratch *scratch,
					struct qc_err *err);

enum qc_scale_order {
	QC_SCALES_BY_ROW = 0, /* [rows, n_groups] */
	QC_SCALES_BY_GROUP,   /* [n_groups, rows] */
	QC_SCALES_ONE,	      /* one for the weight; n_groups is 1 */
};

/* The caller fills everything but `base` (of which rows, cols and row_group). */
struct qc_int_groups {
	struct qc_source base;
	unsigned bits; /* 2, 4, 8 */
	uint64_t group,
		n_groups; /* columns to a group (the last may be shorter), groups to a row */
	struct qc_part codes, scales;
	struct qc_part zeros; /* may be absent */
	struct qc_part g_idx; /* i32 [cols]; absent: c / group */
	qc_load_codes_fn *load_codes;
	qc_load_zeros_fn *load_zeros;
	enum qc_scale_order scale_order;
	uint64_t scale_width; /* by row: that are stored, at least n_groups; 0: n_groups */
	/* scratch that either load takes for `n` rows */
	size_t (*load_scratch)(const struct qc_int_groups *groups, uint64_t n);
};

/* What is in the zero points and scales. */
struct qc_int_survey {
	bool symmetric;	       /* every zero is the middle code */
	bool f16_scales;       /* every scale is an f16 number */
	uint64_t n_zeros_at_0; /* zero points that are 0 */
};

/* Choose type and operations for a filled struct; reads zero points, and scales where they matter
 * for that. QC_BAD_INPUT for a scale that is not finite. */
QC_MUST_CHECK
enum qc_status qc_int_groups_finish(struct qc_int_groups *groups, struct qc_int_survey *survey,
				    struct qc_err *err);

/* The finished weight takes the place of its `codes` under the name base.weight; its other tensors
 * (NULL: not there) are used up. `text`: for the plan, in the model's arena; NULL, as of a text
 * that could not be made: QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_int_groups_replace(struct qc_fold *fold, const struct qc_int_groups *groups,
				     const char *base, struct qc_tensor *codes,
				     struct qc_tensor *const *others, size_t n_others,
				     const char *text, struct qc_err *err);

/* Check the g_idx tensor (i32, one for each column, each below n_groups): *regular = it says
 * c / group for a constant group, which then is *group; false: a part of the source. A tensor full
 * of -1 means none: *regular, *group as it was. */
QC_MUST_CHECK
enum qc_status qc_int_groups_read_order(const struct qc_tensor *g_idx, uint64_t cols,
					uint64_t n_groups, bool *regular, uint64_t *group,
					struct qc_err *err);

/* Unpack `n` codes of 2, 4 or 8 bits, the first in the lowest bits. (Little-endian words of whole
 * codes are such bytes.) */
void qc_unpack_codes(const uint8_t *packed, unsigned bits, uint64_t n, uint8_t *codes);

/* Code `index` of such bytes. */
static inline uint8_t qc_unpack_code(const uint8_t *packed, unsigned bits, uint64_t index)
{
	const uint64_t bit = index * bits;

	return (uint8_t)(packed[bit / 8] >> bit % 8 & ((1u << bits) - 1));
}

#endif

/*
 * The stored tensors of one folded weight, read a few rows at a time.
 *
 * Encodings keep codes, scales and zero points apart, some of them transposed. A part is one such
 * tensor seen as its bytes, from which windows of a matrix are read, so that any range of the
 * weight's rows costs memory for that range alone.
 */
#ifndef QC_FORMATS_PARTS_H
#define QC_FORMATS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/fold.h"
#include "formats/model.h"
#include "formats/source.h"

struct qc_part {
	const struct qc_source *bytes; /* NULL: there is no such part */
	const struct qc_qtype *type;   /* of its elements; whole bytes each */
	const char *name;	       /* of the stored tensor, for messages; lives as the model */
};

/* Make `tensor` a part, its elements read as `type` (as wide as the stored ones). */
QC_MUST_CHECK
enum qc_status qc_part_init(struct qc_part *part, struct qc_fold *fold,
			    const struct qc_tensor *tensor, const struct qc_qtype *type,
			    struct qc_err *err);

/* Columns [col, col + cols) of the rows [row, row + rows) of a matrix that is `width` wide. */
struct qc_window {
	uint64_t width, row, rows, col, cols;
};

/* The window's bytes, row after row. One read when it is as wide as the matrix, else one a row. */
QC_MUST_CHECK
enum qc_status qc_part_read(const struct qc_part *part, const struct qc_window *window, void *dst,
			    struct qc_scratch *scratch, struct qc_err *err);

/* The window's elements as floats; the scratch it takes at most. */
QC_MUST_CHECK
enum qc_status qc_part_read_f32(const struct qc_part *part, const struct qc_window *window,
				float *dst, struct qc_scratch *scratch, struct qc_err *err);
size_t qc_part_scratch(const struct qc_part *part, uint64_t elems);

/* dst[c][r] = src[r][c] for `rows` x `cols` bytes or floats. */
void qc_transpose_bytes(const uint8_t *src, size_t rows, size_t cols, uint8_t *dst);
void qc_transpose_f32(const float *src, size_t rows, size_t cols, float *dst);

/* Rows of a transposed weight that are read together: as many as make about a million elements, so
 * that the runs of bytes that belong to them are long; a power of two, at least 8. */
uint64_t qc_transposed_row_group(uint64_t cols);

/* The length of the groups in which `len` columns have `n` scales: 1 and `len` for as many scales
 * and for one, else the power of two that gives just so many (the last one may be shorter), else
 * the exact quotient. False when there is none. */
bool qc_group_size(uint64_t len, uint64_t n, uint64_t *size);

/* QC_BAD_INPUT unless every dimension of a stored tensor is at least 1. */
QC_MUST_CHECK
enum qc_status qc_part_check_not_empty(const struct qc_tensor *tensor, struct qc_err *err);

/* When there is a stored tensor base + suffix: it will not be in the output, for this reason (a
 * literal). */
QC_MUST_CHECK
enum qc_status qc_fold_drop(struct qc_fold *fold, const char *base, const char *suffix,
			    const char *reason, struct qc_err *err);

/* QC_UNSUPPORTED when there is a stored tensor base + suffix: `why` without it the weight would be
 * wrong. */
QC_MUST_CHECK
enum qc_status qc_fold_refuse(const struct qc_fold *fold, const char *base, const char *suffix,
			      const char *why, struct qc_err *err);

/* base + suffix in the model's arena; NULL when memory is out. */
QC_MUST_CHECK
const char *qc_fold_name(struct qc_fold *fold, const char *base, const char *suffix);

/*
 * Nibbles. Checkpoints put neighbours in a byte, ggml's blocks the two halves of a group:
 *
 *   neighbours   e[0]|e[1]<<4  e[2]|e[3]<<4 ...
 *   halves       e[0]|e[n/2]<<4  e[1]|e[n/2+1]<<4 ...
 */

/* From neighbours to halves; a group of n = 4 * quarter elements is 2 * quarter bytes. */
static inline void qc_nibbles_to_halves(const uint8_t *src, uint8_t *dst, int quarter)
{
	for (int i = 0; i < quarter; i++) {
		dst[2 * i] = (uint8_t)((src[i] & 15) | (src[i + quarter] & 15) << 4);
		dst[2 * i + 1] = (uint8_t)(src[i] >> 4 | (src[i + quarter] & 0xf0));
	}
}

/* The inverse. */
static inline void qc_nibbles_to_neighbours(const uint8_t *src, uint8_t *dst, int quarter)
{
	for (int i = 0; i < quarter; i++) {
		dst[i] = (uint8_t)((src[2 * i] & 15) | (src[2 * i + 1] & 15) << 4);
		dst[i + quarter] = (uint8_t)(src[2 * i] >> 4 | (src[2 * i + 1] & 0xf0));
	}
}

#endif

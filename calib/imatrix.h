/*
 * Importance matrices: for every weight the sum of squares of what is multiplied with it, input
 * channel by input channel, and for experts one such row each.
 *
 * Two forms on disk. llama.cpp's GGUF (general.type "imatrix"):
 *
 *   imatrix.datasets str[]  imatrix.chunk_count u32  imatrix.chunk_size u32 (tokens)
 *   NAME.in_sum2   f32 [n, cols]   the sum over tokens of x^2
 *   NAME.counts    f32 [n, 1]      the tokens that went in
 *   NAME.in_amax   f32 [n, 1]      the largest |x| (ours; others ignore it)
 *
 * NAME is the GGUF name of the weight ("blk.0.attn_q.weight"). And the legacy form, all words
 * little-endian:
 *
 *   i32 n_entries
 *   n_entries x { i32 len; name; i32 n_calls; i32 n_values; n_values x f32 mean of x^2 * n_calls }
 *   [ i32 last_chunk; i32 len; dataset ]
 */
#ifndef QC_CALIB_IMATRIX_H
#define QC_CALIB_IMATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/strmap.h"

struct qc_imatrix_entry {
	const char *name;
	/* n matrices: experts; 1. The legacy form does not say: n is 1, and cols the product of
	 * both, until qc_imatrix_fit(). */
	uint64_t cols, n;
	float *sums;   /* [n, cols] sum of squares; finite, >= 0 */
	float *counts; /* [n] tokens that went in, chunks where chunk_size is 0 */
	float *amax;   /* [n] the largest magnitude; NULL: not known */
};

/* Zeroed is empty. */
struct qc_imatrix {
	struct qc_arena arena; /* owns all below */
	struct qc_imatrix_entry *entries;
	size_t n_entries, cap_entries;
	const char **datasets;
	size_t n_datasets;
	uint32_t n_chunks, chunk_size; /* chunk_size 0: not known (legacy) */
	struct qc_strmap index;	       /* name -> entry; its keys are the names */
};

/* Read either form into `im` (zeroed). QC_BAD_INPUT, naming the file and the entry: broken, empty,
 * an entry twice, sums without counts, a value that is negative, NaN or infinite; QC_IO;
 * QC_NO_MEMORY. On failure `im` is cleared. */
QC_MUST_CHECK
enum qc_status qc_imatrix_read(struct qc_imatrix *im, const char *path, struct qc_err *err);
void qc_imatrix_clear(struct qc_imatrix *im);

/* The bytes of a file (malloc): of the GGUF form with entries sorted by name, or of the legacy
 * form, which has neither counts nor maxima. They depend on `im` alone. QC_NO_MEMORY;
 * QC_UNSUPPORTED: a name too long, more than the legacy form can count. */
enum qc_imatrix_form { QC_IMATRIX_GGUF, QC_IMATRIX_DAT };
QC_MUST_CHECK
enum qc_status qc_imatrix_bytes(const struct qc_imatrix *im, enum qc_imatrix_form form,
				uint8_t **bytes, size_t *size, struct qc_err *err);

/* By the name of the weight; NULL when there is none. */
struct qc_imatrix_entry *qc_imatrix_find(const struct qc_imatrix *im, const char *name);

/* Add an entry with zeroed sums, counts and, if wanted, amax. The name is copied. *entry is valid
 * until the next. QC_BAD_INPUT when the name is there already or the size overflows;
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_imatrix_add(struct qc_imatrix *im, const char *name, uint64_t cols, uint64_t n,
			      bool amax, struct qc_imatrix_entry **entry, struct qc_err *err);

/* The name of a text that went in, unless it is there already; copied. */
QC_MUST_CHECK
enum qc_status qc_imatrix_add_dataset(struct qc_imatrix *im, const char *name, size_t len,
				      struct qc_err *err);

/* See that the entry is of `n` matrices of `cols` columns; a single row of all values becomes so.
 * QC_BAD_INPUT names what was found and what is needed. */
QC_MUST_CHECK
enum qc_status qc_imatrix_fit(struct qc_imatrix *im, struct qc_imatrix_entry *entry, uint64_t cols,
			      uint64_t n, struct qc_err *err);

/* What the importance of a channel without data becomes, and of how many this was done. */
struct qc_imatrix_gaps {
	uint64_t channels; /* in matrices with data */
	uint64_t matrices; /* without any data */
};

/*
 * The cols importance weights of matrix `index`, always positive and finite: sums / counts, what
 * llama-quantize uses. A matrix without tokens (an expert that was never chosen) gets 1 everywhere,
 * as there. A channel that was 0 for every token gets the smallest weight above 0 that another
 * channel of the matrix has, 1 when there is none; llama-quantize leaves it 0, and K- and IQ-types
 * then have blocks without any error to minimise. `gaps` is added to; NULL.
 */
void qc_imatrix_weights(const struct qc_imatrix_entry *entry, uint64_t index, float *weights,
			struct qc_imatrix_gaps *gaps);

#endif

/*
 * What the searches for better codes share.
 *
 * A search proposes blocks; the proposal replaces the reference's block when its error is smaller,
 * both measured the same way: in f64, on what the decoder gives. So no block gets worse, whatever
 * the search does, and equal blocks keep the reference's bytes.
 */
#ifndef QC_QUANT_SEARCH_H
#define QC_QUANT_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/qtype.h"

enum { QC_SEARCH_MAX = 64 }; /* elements in the largest block of these types */

/* Importance of 1 for every element, where none is given. */
extern const float qc_ones[QC_SEARCH_MAX];

/* The sum of weight[i] * (x[i] - y[i])^2 in f64: element i goes to sum i % 8, and the eight sums
 * are added in order. */
double qc_squared_error(const float *x, const float *y, const float *weight, size_t n);

/* Whether an error is smaller than another, NaN being the largest. */
static inline bool qc_error_below(double error, double other)
{
	return error < other || (other != other && error == error);
}

/* Fill `block`, an encoding of x that may be better than the reference's; false when there is none
 * to propose. x and weight have the type's block_elems values. */
typedef bool qc_propose_fn(const float *x, const float *weight, uint8_t *block);

/* qc_quantize_fn for a type with a proposal. A block that the type's check refuses counts as
 * infinitely bad. */
void qc_search_blocks(const struct qc_qtype *type, qc_propose_fn *propose, const float *x,
		      void *dst, size_t rows, size_t cols, const float *weight);

/*
 * What search_symmetric.c and search_affine.c try (there is what for), shared with the SIMD
 * variants.
 */
/* Without importance q4_1 and q5_1 are tried with fewer stretches, and shifts of the best alone. */
enum { QC_MAX_TOPS = 18, QC_STRETCHES = 7, QC_FEW_STRETCHES = 5, QC_SHIFTS = 5, QC_REFITS = 2 };

struct qc_symmetric_range {
	int low, high; /* codes */
	int lattice;   /* the largest code that a lattice may have; 0: not looked for */
	int n_tops;
	float tops[QC_MAX_TOPS];
};
extern const struct qc_symmetric_range qc_q4_0_range, qc_q5_0_range, qc_q8_0_range;

extern const float qc_stretches[QC_STRETCHES], qc_shifts[QC_SHIFTS];

/* Blocks whose largest magnitude (range, when there is a minimum) is outside of this are left
 * alone: they have no f16 scale anyway; inside, no f32 sum of the searches overflows or vanishes.
 */
#define QC_SEARCH_SMALLEST 0x1p-40f
#define QC_SEARCH_LARGEST  0x1p40f

/* The types' qc_quantize_fn `search`: search_symmetric.c, search_affine.c. */
qc_quantize_fn qc_search_q8_0, qc_search_q4_0, qc_search_q5_0;
qc_quantize_fn qc_search_q4_1, qc_search_q5_1;

/* search_super.c */
qc_quantize_fn qc_search_q2_K, qc_search_q3_K, qc_search_q4_K, qc_search_q5_K, qc_search_q6_K;
qc_quantize_fn qc_search_iq4_xs, qc_search_iq4_nl;
qc_quantize_fn qc_search_iq2_xxs, qc_search_iq2_xs, qc_search_iq2_s;
qc_quantize_fn qc_search_iq3_xxs, qc_search_iq3_s, qc_search_iq1_s, qc_search_iq1_m;
qc_quantize_fn qc_search_tq1_0, qc_search_tq2_0, qc_search_q2_0;

#endif

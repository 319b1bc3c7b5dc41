/*
 * The searches of the types whose codes are points of a grid.
 *
 * Formulas: ggml's quantize_row_iq2_*_impl and quantize_row_iq3_*_impl (ggml-quants.c). All sums
 * are sequential f32.
 */
#ifndef QC_QUANT_IQ_SEARCH_H
#define QC_QUANT_IQ_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/iq_grids.h"

/*
 * The grid point for 8 values x of which `point` is the rounding, coordinate c standing for
 * levels[c]: itself when it is on the grid, else the one of its neighbour list with the smallest
 * sum of weight * (scale * level - x)^2. The first of equals; the first of all when no sum is a
 * finite number. Returns whether `*point` was on the grid.
 */
bool qc_iq_nearest8(const struct qc_iq_near *near, const float levels[4], const float *x,
		    const float *weight, float scale, uint16_t *point);

/*
 * How a type of iq2 or iq3 fits groups: the magnitudes of 16 or 32 values ~ scale * (2 l + 1) with
 * the coordinates l of grid points. Inverse scales (2 * levels - 1 + step * k) / range are tried
 * for k = -last..last; then the points are chosen again with the best scale.
 */
enum qc_iq_again {
	QC_IQ_AGAIN_OFF_GRID, /* where rounding missed the grid */
	QC_IQ_AGAIN_IF_OFF,   /* everywhere, if rounding missed the grid anywhere */
	QC_IQ_AGAIN_ALL,      /* everywhere */
};
struct qc_iq_search {
	const struct qc_iq_grid *grid;
	const struct qc_iq_near *near;
	int group;	 /* values of a group */
	bool even_signs; /* every 8 values have an even number of minus signs */
	bool fit_range;	 /* the range comes from a fit of codes 0..levels, not from the largest */
	float epsilon;	 /* groups whose largest magnitude is below it are zero */
	float step;
	int last;
	enum qc_iq_again again;
};

/* A group of values as codes; all 0 when there is nothing to code. */
struct qc_iq_group {
	bool coded;	  /* false: the group counts as zero */
	float scale;	  /* not negative */
	uint16_t code[8]; /* of each `dims` values */
	uint8_t signs[4]; /* bit i of byte k: value 8 k + i is negative */
};

/* Fit the 256 / group groups of a block. Returns the largest scale; 0 leaves nothing to code. */
float qc_iq_fit(const struct qc_iq_search *search, const float *x, const float *weight,
		struct qc_iq_group *out);

/* The code 0..top of a group's scale for scale ~ (2 * code + 1) * d. */
int qc_iq_scale_code(float scale, float d, int top);

/* The signs of 8 values from seven: the eighth makes the number of minus signs even. */
static inline uint8_t qc_iq_even_signs(unsigned seven)
{
	unsigned parity = seven ^ seven >> 4;

	parity ^= parity >> 2;
	parity ^= parity >> 1;
	return (uint8_t)((seven & 127) | (parity & 1) << 7);
}

/* Decode `dims` values: d * level, negative where the bit of `signs` is set. */
static inline void qc_iq_decode(const struct qc_iq_grid *grid, unsigned code, const float *levels,
				float d, unsigned signs, float *x)
{
	uint16_t point = grid->points[code];

	for (int i = 0; i < grid->dims; i++) {
		float v = d * levels[qc_iq_level(point, i, grid->bits)];

		x[i] = signs >> i & 1 ? -v : v;
	}
}

/* What the coordinates of an iq2 point decode to, times 8. */
extern const float qc_iq2_levels[4];

#endif

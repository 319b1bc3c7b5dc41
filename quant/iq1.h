/*
 * What iq1_s and iq1_m share: ternary values, moved by an eighth of the scale up or down, eight of
 * them a point of a grid of 2048.
 *
 * Formulas: ggml's quantize_row_iq1_s_impl and quantize_row_iq1_m_impl (ggml-quants.c). All sums
 * are sequential f32.
 */
#ifndef QC_QUANT_IQ1_H
#define QC_QUANT_IQ1_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/iq_grids.h"

/* What the coordinates 0, 1, 2 of a point mean, moved up (0) or down (1). */
extern const float qc_iq1_levels[2][4];

/* order[] = the indices of n <= 32 values from the smallest to the largest, equal ones in their
 * own order. */
void qc_iq1_sort(const float *x, int n, uint8_t *order);

/* The coordinates of n values: those of order[0 .. first-1] become 0, up to order[second-1] 1, the
 * rest 2. Mirrored exchanges 0 and 2. points[k] packs those of values 8 k .. 8 k + 7. */
void qc_iq1_split(const uint8_t *order, int n, int first, int second, bool mirrored,
		  uint16_t *points);

/* Least-squares sums: the scale is xq / q2. */
struct qc_iq1_fit {
	float xq, q2;
};

/* Add 8 values and the levels of their point, times `factor`. */
void qc_iq1_fit_point(struct qc_iq1_fit *fit, const float *x, const float *weight, uint16_t point,
		      const float *levels, float factor);

/*
 * Move the points of n_points * 8 values to the grid; levels[k] are those of point k. When any
 * was not on it, the scale is fitted again. Returns the scale.
 */
float qc_iq1_to_grid(const float *x, const float *weight, int n_points, const float *const *levels,
		     float scale, uint16_t *points);

/* Decode 8 values: d * (coordinate - 1 +- 1/8). */
void qc_iq1_decode(unsigned code, float d, bool down, float x[8]);

#endif

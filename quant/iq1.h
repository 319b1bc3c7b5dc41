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

#include "quant/iq_search.h"

/* What the coordinates 0, 1, 2 of a point mean, moved up (0) or down (1). */
extern const float qc_iq1_levels[2][4];

/* The ways to move the points of a group of iq1_m, two of them: bit 1 moves the first down, bit 0
 * the second. */
enum { QC_IQ1_MOVES = 4 };

/* How the sorted values of a group are cut in three. */
struct qc_iq1_cut {
	int first, second; /* where the middle begins and ends; -1: no cut has a merit */
	int move;	   /* iq1_s: 1 moves the whole group down */
	float scale, merit;
};

/* Least-squares sums of a group of iq1_m for each move. */
struct qc_iq1_sums {
	float xq[QC_IQ1_MOVES], q2[QC_IQ1_MOVES];
};

/* Take the cut when its merit is larger than the best so far, move by move. */
static inline void qc_iq1_try(const struct qc_iq1_sums *sums, int n_moves, int first, int second,
			      struct qc_iq1_cut *best)
{
	for (int move = 0; move < n_moves; move++) {
		float xq = sums->xq[move], q2 = sums->q2[move];

		if (q2 > 0 && xq * xq > best->merit * q2) {
			best->scale = xq / q2;
			best->merit = best->scale * xq;
			best->first = first;
			best->second = second;
			best->move = move;
		}
	}
}

/* The best of all cuts of 32 (16) sorted values: the searches of iq1_s (iq1_m). order[] = the
 * indices from the smallest value to the largest, equal ones in their own order. */
struct qc_iq1_cut qc_iq1_s_cut(const float *x, const float *weight, const uint8_t order[32]);
struct qc_iq1_cut qc_iq1_m_cut(const float *x, const float *weight, const uint8_t order[16]);

/* order[] of n <= 32 values. */
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
float qc_iq1_to_grid(const struct qc_iq_kernel *kernel, const float *x, const float *weight,
		     int n_points, const float *const *levels, float scale, uint16_t *points);

/* Decode 8 values: d * (coordinate - 1 +- 1/8). */
void qc_iq1_decode(unsigned code, float d, bool down, float x[8]);

#endif

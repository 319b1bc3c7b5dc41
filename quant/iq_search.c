/* Fitting groups with points of a grid: see iq_search.h. */
#include "quant/iq_search.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/block256.h"
#include "quant/kscale.h"
#include "quant/round.h"

const float qc_iq2_levels[4] = {8, 25, 43, 0};

/* What the coordinates of a point stand for while searching. */
static const float odd_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/* The neighbours of a point. */
struct list {
	const uint16_t *begin, *end;
};

static inline struct list find_list(const struct qc_iq_near *near, uint16_t point)
{
	const uint32_t *first = near->first + near->high[point >> 8] + near->low[point & 255];

	return (struct list){near->points + first[0], near->points + first[1]};
}

/* Sums of terms that are not negative only grow: half of them may settle it. */
bool qc_iq_nearest8(const struct qc_iq_near *near, const float levels[4], const float *x,
		    const float *weight, float scale, uint16_t *point)
{
	struct list list = find_list(near, *point);
	float term[8][4], best = FLT_MAX;
	uint16_t winner = *list.begin;

	if (winner == *point)
		return true;
	for (int i = 0; i < 8; i++) {
		for (int c = 0; c < 3; c++) {
			float diff = scale * levels[c] - x[i];

			term[i][c] = weight[i] * diff * diff;
		}
	}
	for (const uint16_t *p = list.begin; p < list.end; p++) {
		float sum = term[0][*p & 3] + term[1][*p >> 2 & 3] + term[2][*p >> 4 & 3] +
			    term[3][*p >> 6 & 3];

		if (!(sum < best))
			continue;
		sum = sum + term[4][*p >> 8 & 3] + term[5][*p >> 10 & 3] + term[6][*p >> 12 & 3] +
		      term[7][*p >> 14];
		if (sum < best) {
			best = sum;
			winner = *p;
		}
	}
	*point = winner;
	return false;
}

/* The same for 4 values; the lists are too short for a table of terms to pay. */
static bool nearest4(const struct qc_iq_near *near, const float levels[8], const float *x,
		     const float *weight, float scale, uint16_t *point)
{
	struct list list = find_list(near, *point);
	uint16_t winner = *list.begin;
	float best = FLT_MAX;

	if (winner == *point)
		return true;
	for (const uint16_t *p = list.begin; p < list.end; p++) {
		float sum = 0;

		for (int i = 0; i < 4; i++) {
			float diff = scale * levels[*p >> (3 * i) & 7] - x[i];

			sum += weight[i] * diff * diff;
		}
		if (sum < best) {
			best = sum;
			winner = *p;
		}
	}
	*point = winner;
	return false;
}

/* A group while it is being fitted. */
struct work {
	const struct qc_iq_search *search;
	const float *weight;
	float x[32];	/* magnitudes; negative where the sign had to be wrong */
	float root[32]; /* square roots of the weights, which choose among neighbours */
	int n_points;
};

/* A choice of points. */
struct choice {
	uint16_t point[8];
	uint8_t off; /* bit k: rounding had missed the grid at point k */
};

/* Magnitudes and signs of 8 values. With even signs, the value that matters least takes the wrong
 * one. */
static uint8_t split_signs(const float *x, const float *weight, bool even, float *magnitude)
{
	unsigned signs = 0, least = 0;

	for (unsigned i = 0; i < 8; i++) {
		bool negative = !(x[i] >= 0);

		magnitude[i] = negative ? -x[i] : x[i];
		signs |= (unsigned)negative << i;
	}
	if (!even)
		return (uint8_t)signs;
	if (qc_iq_even_signs(signs & 127) != signs) {
		float min = weight[0] * x[0] * x[0];

		for (unsigned i = 1; i < 8; i++) {
			float loss = weight[i] * x[i] * x[i];

			if (loss < min) {
				min = loss;
				least = i;
			}
		}
		magnitude[least] = -magnitude[least];
		signs ^= 1u << least;
	}
	return (uint8_t)signs;
}

static inline uint16_t round_point(const float *x, float inverse, int dims, int bits, int levels)
{
	unsigned point = 0;

	for (int i = 0; i < dims; i++) {
		int c = qc_clamp(qc_nearest(0.5f * (inverse * x[i] - 1)), 0, levels - 1);

		point |= (unsigned)c << (bits * i);
	}
	return (uint16_t)point;
}

/* Choose point k for a scale and its inverse; returns whether rounding met the grid. */
static bool choose_point(const struct work *work, int k, float inverse, float scale,
			 uint16_t *point)
{
	const struct qc_iq_near *near = work->search->near;
	const float *x, *root;

	if (work->search->grid->dims == 8) {
		x = work->x + 8 * k;
		root = work->root + 8 * k;
		*point = round_point(x, inverse, 8, 2, 3);
		return qc_iq_nearest8(near, odd_levels, x, root, scale, point);
	}
	x = work->x + 4 * k;
	root = work->root + 4 * k;
	*point = round_point(x, inverse, 4, 3, 8);
	return nearest4(near, odd_levels, x, root, scale, point);
}

/* Least-squares sums of the magnitudes against the levels of a choice. */
struct fit {
	float xq, q2;
};

static struct fit fit_choice(const struct work *work, const struct choice *choice)
{
	const struct qc_iq_grid *grid = work->search->grid;
	struct fit fit = {0, 0};
	int i = 0;

	for (int k = 0; k < work->n_points; k++) {
		for (int j = 0; j < grid->dims; j++, i++) {
			float q = odd_levels[qc_iq_level(choice->point[k], j, grid->bits)];

			fit.xq += work->weight[i] * work->x[i] * q;
			fit.q2 += work->weight[i] * q * q;
		}
	}
	return fit;
}

/* Try the inverse scales around range / top; the best choice, or `*best` as it was when none has a
 * merit. Returns its scale, or `scale`. */
static float try_scales(const struct work *work, float range, float scale, struct choice *best)
{
	const struct qc_iq_search *search = work->search;
	float merit = 0;

	for (int step = -search->last; step <= search->last; step++) {
		float inverse =
			((float)(2 * search->grid->levels - 1) + (float)step * search->step) /
			range;
		struct choice choice = {.off = 0};
		struct fit fit;

		for (int k = 0; k < work->n_points; k++)
			if (!choose_point(work, k, inverse, 1 / inverse, &choice.point[k]))
				choice.off |= (uint8_t)(1u << k);
		fit = fit_choice(work, &choice);
		if (fit.q2 > 0 && fit.xq * fit.xq > merit * fit.q2) {
			scale = fit.xq / fit.q2;
			merit = scale * fit.xq;
			*best = choice;
		}
	}
	return scale;
}

/* Choose the points again with the best scale, then fit the scale to them. */
static float choose_again(const struct work *work, float scale, struct choice *choice)
{
	uint8_t off = work->search->again == QC_IQ_AGAIN_OFF_GRID ? choice->off : 255;
	struct fit fit;

	for (int k = 0; k < work->n_points; k++)
		if (off >> k & 1)
			choose_point(work, k, 1 / scale, scale, &choice->point[k]);
	fit = fit_choice(work, choice);
	return fit.q2 > 0 ? fit.xq / fit.q2 : scale;
}

/* The range that the trial scales divide, and the scale when none of them has a merit; 0 when there
 * is nothing to fit. */
static float find_range(const struct work *work, float *scale)
{
	const struct qc_iq_search *search = work->search;
	int levels = search->grid->levels;
	float max = work->x[0], range;
	uint8_t codes[32];

	for (int i = 1; i < search->group; i++)
		max = max > work->x[i] ? max : work->x[i];
	if (max < search->epsilon)
		return 0;
	if (!search->fit_range) {
		*scale = max / (float)(2 * levels - 1);
		return max;
	}
	*scale = qc_search_scales(work->x, work->weight, search->group, levels + 1, codes);
	range = *scale * (float)levels;
	return range <= 0 ? 0 : range;
}

static struct qc_iq_group fit_group(const struct qc_iq_search *search, const float *x,
				    const float *weight)
{
	struct work work = {
		.search = search, .weight = weight, .n_points = search->group / search->grid->dims};
	struct choice choice = {.off = search->again == QC_IQ_AGAIN_OFF_GRID ? 0 : 255};
	struct qc_iq_group out = {.coded = true};
	float scale, range;

	for (int i = 0; i < search->group; i++)
		work.root[i] = sqrtf(weight[i]);
	for (int k = 0; k < search->group / 8; k++)
		out.signs[k] =
			split_signs(x + 8 * k, weight + 8 * k, search->even_signs, work.x + 8 * k);
	range = find_range(&work, &scale);
	if (range == 0)
		return (struct qc_iq_group){.coded = false};
	scale = try_scales(&work, range, scale, &choice);
	if (scale > 0 && (choice.off || search->again == QC_IQ_AGAIN_ALL))
		scale = choose_again(&work, scale, &choice);
	if (scale < 0) {
		scale = -scale;
		for (int k = 0; k < search->group / 8; k++)
			out.signs[k] = (uint8_t)~out.signs[k];
	}
	out.scale = scale;
	for (int k = 0; k < work.n_points; k++)
		out.code[k] = qc_iq_code(search->grid, choice.point[k]);
	return out;
}

float qc_iq_fit(const struct qc_iq_search *search, const float *x, const float *weight,
		struct qc_iq_group *out)
{
	float max = 0;

	for (int i = 0; i < 256; i += search->group, out++) {
		*out = fit_group(search, x + i, weight + i);
		max = max > out->scale ? max : out->scale;
	}
	return max;
}

int qc_iq_scale_code(float scale, float d, int top)
{
	return qc_clamp(qc_nearest(0.5f * (1 / d * scale - 1)), 0, top);
}

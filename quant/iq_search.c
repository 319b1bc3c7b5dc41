/* Fitting groups with points of a grid: see iq_search.h. */
#include "quant/iq_search.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "quant/block256.h"
#include "quant/iq1.h"
#include "quant/kscale.h"
#include "quant/round.h"

const float qc_iq2_levels[4] = {8, 25, 43, 0};

const float qc_iq_odd_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/* Sums of terms that are not negative only grow: half of them may settle it. */
bool qc_iq_nearest8(const struct qc_iq_near *near, const float levels[4], const float *x,
		    const float *weight, float scale, uint16_t *point)
{
	struct qc_iq_list list = qc_iq_list_of(near, *point);
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
	struct qc_iq_list list = qc_iq_list_of(near, *point);
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

/* Magnitudes and signs of 8 values. With even signs, the value that matters least takes the wrong
 * one. */
static uint8_t split_signs(const float *x, const float *weight, bool even, float *magnitude)
{
	unsigned signs = 0, least = 0;

	for (unsigned i = 0; i < 8; i++) {
		unsigned negative = x[i] < 0;

		magnitude[i] = qc_bits_f32(qc_f32_bits(x[i]) ^ negative << 31);
		signs |= negative << i;
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
static bool choose_point(const struct qc_iq_kernel *kernel, const struct qc_iq_work *work, int k,
			 float inverse, float scale, uint16_t *point)
{
	const struct qc_iq_near *near = work->search->near;
	const float *x, *root;

	if (work->search->grid->dims == 8) {
		x = work->x + 8 * k;
		root = work->root + 8 * k;
		*point = round_point(x, inverse, 8, 2, 3);
		return kernel->nearest8(near, qc_iq_odd_levels, x, root, scale, point);
	}
	x = work->x + 4 * k;
	root = work->root + 4 * k;
	*point = round_point(x, inverse, 4, 3, 8);
	return kernel->nearest4(near, qc_iq_odd_levels, x, root, scale, point);
}

static struct qc_iq_fit fit_choice(const struct qc_iq_work *work, const struct qc_iq_choice *choice)
{
	const struct qc_iq_grid *grid = work->search->grid;
	struct qc_iq_fit fit = {0, 0};
	int i = 0;

	for (int k = 0; k < work->n_points; k++) {
		for (int j = 0; j < grid->dims; j++, i++) {
			float q = qc_iq_odd_levels[qc_iq_level(choice->point[k], j, grid->bits)];

			fit.xq += work->weight[i] * work->x[i] * q;
			fit.q2 += work->weight[i] * q * q;
		}
	}
	return fit;
}

static void scalar_roots(const float *weight, float *root)
{
	for (int i = 0; i < 256; i++)
		root[i] = sqrtf(weight[i]);
}

static void scalar_fit_ranges(const float *x, const float *weight, int nmax, float scale[8])
{
	uint8_t codes[32];

	for (int g = 0; g < 8; g++)
		scale[g] = qc_search_scales(x + 32 * g, weight + 32 * g, 32, nmax, codes);
}

static float scalar_try_scales(const struct qc_iq_work *work, float range, float scale,
			       struct qc_iq_choice *best)
{
	const struct qc_iq_search *search = work->search;
	float merit = 0;

	for (int step = -search->last; step <= search->last; step++) {
		float inverse =
			((float)(2 * search->grid->levels - 1) + (float)step * search->step) /
			range;
		struct qc_iq_choice choice = {.off = 0};
		struct qc_iq_fit fit;

		for (int k = 0; k < work->n_points; k++)
			if (!choose_point(&qc_iq_scalar, work, k, inverse, 1 / inverse,
					  &choice.point[k]))
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

const struct qc_iq_kernel qc_iq_scalar = {
	.roots = scalar_roots,
	.fit_ranges = scalar_fit_ranges,
	.try_scales = scalar_try_scales,
	.nearest8 = qc_iq_nearest8,
	.nearest4 = nearest4,
	.sort = qc_iq1_sort,
	.cut32 = qc_iq1_s_cut,
	.cut16 = qc_iq1_m_cut,
};

/* Choose the points again with the best scale, then fit the scale to them. */
static float choose_again(const struct qc_iq_kernel *kernel, const struct qc_iq_work *work,
			  float scale, struct qc_iq_choice *choice)
{
	uint8_t off = work->search->again == QC_IQ_AGAIN_OFF_GRID ? choice->off : 255;
	struct qc_iq_fit fit;

	for (int k = 0; k < work->n_points; k++)
		if (off >> k & 1)
			choose_point(kernel, work, k, 1 / scale, scale, &choice->point[k]);
	fit = fit_choice(work, choice);
	return fit.q2 > 0 ? fit.xq / fit.q2 : scale;
}

/* The range that the trial scales divide, 0 when there is nothing to fit, and the scale when none
 * of them has a merit; `fitted` is that of kernel->fit_ranges(), if it was asked. */
static float find_range(const struct qc_iq_work *work, float fitted, float *scale)
{
	const struct qc_iq_search *search = work->search;
	int levels = search->grid->levels;
	float max = work->x[0], range;

	for (int i = 1; i < search->group; i++)
		max = max > work->x[i] ? max : work->x[i];
	if (max < search->epsilon)
		return 0;
	if (!search->fit_range) {
		*scale = max / (float)(2 * levels - 1);
		return max;
	}
	*scale = fitted;
	range = *scale * (float)levels;
	return range <= 0 ? 0 : range;
}

/* out->signs are set. */
static void fit_group(const struct qc_iq_kernel *kernel, const struct qc_iq_work *work,
		      float fitted, struct qc_iq_group *out)
{
	const struct qc_iq_search *search = work->search;
	struct qc_iq_choice choice = {.off = search->again == QC_IQ_AGAIN_OFF_GRID ? 0 : 255};
	float scale, range = find_range(work, fitted, &scale);

	if (range == 0) {
		*out = (struct qc_iq_group){.coded = false};
		return;
	}
	scale = kernel->try_scales(work, range, scale, &choice);
	if (scale > 0 && (choice.off || search->again == QC_IQ_AGAIN_ALL))
		scale = choose_again(kernel, work, scale, &choice);
	if (scale < 0) {
		scale = -scale;
		for (int k = 0; k < search->group / 8; k++)
			out->signs[k] = (uint8_t)~out->signs[k];
	}
	out->coded = true;
	out->scale = scale;
	for (int k = 0; k < work->n_points; k++)
		out->code[k] = qc_iq_code(search->grid, choice.point[k]);
}

float qc_iq_fit(const struct qc_iq_kernel *kernel, const struct qc_iq_search *search,
		const float *x, const float *weight, struct qc_iq_group *out)
{
	float magnitude[256], root[256], fitted[8] = {0}, max = 0;
	int n_groups = 256 / search->group, octets = search->group / 8;

	for (int k = 0; k < 32; k++)
		out[k / octets].signs[k % octets] = split_signs(
			x + 8 * k, weight + 8 * k, search->even_signs, magnitude + 8 * k);
	kernel->roots(weight, root);
	if (search->fit_range) /* by types with groups of 32 */
		kernel->fit_ranges(magnitude, weight, search->grid->levels + 1, fitted);
	for (int g = 0; g < n_groups; g++, out++) {
		int at = g * search->group;
		struct qc_iq_work work = {search, magnitude + at, weight + at, root + at,
					  search->group / search->grid->dims};

		fit_group(kernel, &work, fitted[g % 8], out);
		max = max > out->scale ? max : out->scale;
	}
	return max;
}

void qc_iq_quantize(const struct qc_qtype *type, qc_iq_encode_fn *encode,
		    const struct qc_iq_kernel *kernel, const float *x, void *dst, size_t rows,
		    size_t cols, const float *weight)
{
	uint8_t *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += 256, x += 256, block += type->block_bytes)
			encode(kernel, x, weight ? weight + col : NULL, block);
}

int qc_iq_scale_code(float scale, float d, int top)
{
	return qc_clamp(qc_nearest(0.5f * (1 / d * scale - 1)), 0, top);
}

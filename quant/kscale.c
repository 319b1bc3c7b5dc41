/* Scale searches: see kscale.h for what each minimises. Loops stay in the reference's order because
 * f32 sums do not commute. */
#include "quant/kscale.h"

#include <math.h>
#include <string.h>

#include "quant/block32.h"
#include "quant/round.h"

const struct qc_affine_grid qc_grid_weighted = {.first = -0.9f, .step = 0.05f, .last = 36};

/* Least-squares sums of x against codes: the scale is xl / l2, its merit xl^2 / l2. */
struct fit {
	float xl, l2;
};

static struct fit symmetric_fit(const float *x, const float *weight, int n, int nmax, float inverse)
{
	struct fit fit = {0, 0};

	for (int i = 0; i < n; i++) {
		float l = (float)qc_clamp(qc_nearest(inverse * x[i]), -nmax, nmax - 1);

		fit.xl += weight[i] * x[i] * l;
		fit.l2 += weight[i] * l * l;
	}
	return fit;
}

float qc_search_symmetric(const float *x, const float *weight, int n, int nmax, uint8_t *codes)
{
	float max = qc_signed_max(x, n), best_inverse, scale, best;
	struct fit fit;

	if (fabsf(max) < QC_GROUP_EPS) {
		memset(codes, 0, (size_t)n);
		return 0;
	}
	best_inverse = (float)-nmax / max;
	fit = symmetric_fit(x, weight, n, nmax, best_inverse);
	scale = fit.l2 != 0 ? fit.xl / fit.l2 : 0;
	best = scale * fit.xl;
	for (int step = -9; step <= 9; step++) {
		float inverse = -((float)nmax + 0.1f * (float)step) / max;

		if (step == 0)
			continue;
		fit = symmetric_fit(x, weight, n, nmax, inverse);
		if (fit.l2 > 0 && fit.xl * fit.xl > best * fit.l2) {
			best_inverse = inverse;
			scale = fit.xl / fit.l2;
			best = scale * fit.xl;
		}
	}
	for (int i = 0; i < n; i++)
		codes[i] = (uint8_t)(nmax +
				     qc_clamp(qc_nearest(best_inverse * x[i]), -nmax, nmax - 1));
	return scale;
}

static void affine_encode(const float *x, int n, int nmax, float inverse, float min, uint8_t *codes)
{
	for (int i = 0; i < n; i++)
		codes[i] = (uint8_t)qc_clamp(qc_nearest(inverse * (x[i] - min)), 0, nmax);
}

static float affine_error(const float *x, const float *weight, int n, const uint8_t *codes,
			  float scale, float min, bool absolute)
{
	float error = 0;

	for (int i = 0; i < n; i++) {
		float diff = scale * (float)codes[i] + min - x[i];

		error += weight[i] * (absolute ? fabsf(diff) : diff * diff);
	}
	return error;
}

/* The best scale and min <= 0 for given codes; sum_w and sum_x are the weighted sums of 1 and x.
 * False when the codes do not determine them. */
static bool affine_solve(const float *x, const float *weight, int n, const uint8_t *codes,
			 float sum_w, float sum_x, float *scale, float *min)
{
	float sum_l = 0, sum_l2 = 0, sum_xl = 0, det;

	for (int i = 0; i < n; i++) {
		float l = (float)codes[i], wl = weight[i] * l;

		sum_l += wl;
		sum_l2 += wl * l;
		sum_xl += wl * x[i];
	}
	det = sum_w * sum_l2 - sum_l * sum_l;
	if (!(det > 0))
		return false;
	*scale = (sum_w * sum_xl - sum_x * sum_l) / det;
	*min = (sum_l2 * sum_x - sum_l * sum_xl) / det;
	if (*min > 0) {
		*min = 0;
		*scale = sum_xl / sum_l2;
	}
	return true;
}

float qc_search_affine(const float *x, const float *weight, int n, int nmax,
		       const struct qc_affine_grid *grid, uint8_t *codes, float *min)
{
	struct qc_range range = qc_range_of(x, n);
	float low = range.min > 0 ? 0 : range.min;
	float sum_w = weight[0], sum_x = weight[0] * x[0], inverse, scale, best;
	uint8_t trial[32];

	*min = -low;
	if (range.max <= low) {
		memset(codes, 0, (size_t)n);
		return 0;
	}
	for (int i = 1; i < n; i++) {
		sum_w += weight[i];
		sum_x += weight[i] * x[i];
	}
	inverse = (float)nmax / (range.max - low);
	scale = 1 / inverse;
	affine_encode(x, n, nmax, inverse, low, codes);
	best = affine_error(x, weight, n, codes, scale, low, grid->absolute);
	for (int step = 0; step <= grid->last; step++) {
		float try_scale, try_min, error;

		/* An accepted minimum moves the later steps too. */
		inverse =
			(grid->first + grid->step * (float)step + (float)nmax) / (range.max - low);
		affine_encode(x, n, nmax, inverse, low, trial);
		if (!affine_solve(x, weight, n, trial, sum_w, sum_x, &try_scale, &try_min))
			continue;
		error = affine_error(x, weight, n, trial, try_scale, try_min, grid->absolute);
		if (error < best) {
			memcpy(codes, trial, (size_t)n);
			best = error;
			scale = try_scale;
			low = try_min;
		}
	}
	*min = -low;
	return scale;
}

/* Weighted squared error of x against codes rounded with `inverse` and decoded with 1 / inverse.
 * The reference keeps the codes of its first try in 8 bits, where a negative one wraps (`bytes`),
 * and bounds those of the others. */
static float scales_error(const float *x, const float *weight, int n, int nmax, float inverse,
			  bool bytes)
{
	float error = 0, scale = 1 / inverse;

	for (int i = 0; i < n; i++) {
		int l = qc_nearest(inverse * x[i]);
		float diff = x[i] - scale * (float)(bytes ? (uint8_t)l : l < nmax ? l : nmax);

		error += weight[i] * diff * diff;
	}
	return error;
}

/* Move code i to where the others' scale wants it, when the merit xl^2 / l2 grows. */
static bool scales_improve(float x, float weight, int nmax, uint8_t *code, struct fit *fit)
{
	float l = (float)*code;
	struct fit rest = {fit->xl - weight * x * l, fit->l2 - weight * l * l};
	int moved;

	if (!(rest.xl > 0 && rest.l2 > 0))
		return false;
	moved = qc_nearest(x * rest.l2 / rest.xl);
	if (moved > nmax)
		moved = nmax;
	if (moved == *code)
		return false;
	rest.xl += weight * x * (float)moved;
	rest.l2 += weight * (float)moved * (float)moved;
	if (!(rest.xl * rest.xl * fit->l2 > fit->xl * fit->xl * rest.l2))
		return false;
	*code = (uint8_t)moved;
	*fit = rest;
	return true;
}

float qc_search_scales(const float *x, const float *weight, int n, int nmax, uint8_t *codes)
{
	float max = 0, inverse, best;
	struct fit fit = {0, 0};
	bool changed = true;

	for (int i = 0; i < n; i++)
		max = max > x[i] ? max : x[i];
	if (max < QC_GROUP_EPS) {
		memset(codes, 0, (size_t)n);
		return 0;
	}
	inverse = (float)nmax / max;
	best = scales_error(x, weight, n, nmax, inverse, true);
	for (int step = -4; step <= 4; step++) {
		float trial = (0.1f * (float)step + (float)nmax) / max, error;

		if (step == 0)
			continue;
		error = scales_error(x, weight, n, nmax, trial, false);
		if (error < best) {
			best = error;
			inverse = trial;
		}
	}
	for (int i = 0; i < n; i++) {
		int l = qc_nearest(inverse * x[i]);

		if (l > nmax)
			l = nmax;
		codes[i] = (uint8_t)l;
		fit.xl += weight[i] * x[i] * (float)l;
		fit.l2 += weight[i] * (float)l * (float)l;
	}
	for (int pass = 0; pass < 5 && changed; pass++) {
		changed = false;
		for (int i = 0; i < n; i++)
			changed |= scales_improve(x[i], weight[i], nmax, &codes[i], &fit);
	}
	return fit.l2 > 0 ? fit.xl / fit.l2 : 0;
}

void qc_kscales_pack(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12])
{
	for (int j = 0; j < 4; j++) {
		packed[j] = (uint8_t)(scales[j] | scales[j + 4] >> 4 << 6);
		packed[j + 4] = (uint8_t)(mins[j] | mins[j + 4] >> 4 << 6);
		packed[j + 8] = (uint8_t)((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
	}
}

void qc_kscales_decode(const struct qc_kscales *scales, float scale[8], float min[8])
{
	float d = qc_get_f16(scales->d), dmin = qc_get_f16(scales->dmin);

	for (int j = 0; j < 8; j++) {
		uint8_t sc, m;

		qc_kscales_get(scales->packed, j, &sc, &m);
		scale[j] = d * (float)sc;
		min[j] = dmin * (float)m;
	}
}

float qc_code_scales(const float *x, int n, int top, int limit, uint8_t *codes)
{
	float max = 0, inverse;

	for (int j = 0; j < n; j++)
		if (x[j] > max)
			max = x[j];
	inverse = max > 0 ? (float)top / max : 0;
	for (int j = 0; j < n; j++) {
		uint8_t code = (uint8_t)qc_nearest(inverse * x[j]);

		codes[j] = code < limit ? code : (uint8_t)limit;
	}
	return max / (float)top;
}

/* Fit each group by itself, without importance: |x| plus the group's RMS weighs an error. */
static void fit_groups_plain(const float *x, const struct qc_kparams *params, uint8_t codes[256],
			     float scales[8], float mins[8])
{
	float weight[32];

	for (int j = 0; j < 8; j++, x += 32, codes += 32) {
		float rms = sqrtf(qc_mean_square(x, 32));

		for (int i = 0; i < 32; i++)
			weight[i] = rms + fabsf(x[i]);
		scales[j] = qc_search_affine(x, weight, 32, params->nmax, &params->plain, codes,
					     &mins[j]);
	}
}

/* The same with importance; totals[j] is the weight of group j as a whole. */
static void fit_groups_weighted(const float *x, const float *importance, int nmax,
				uint8_t codes[256], float scales[8], float mins[8], float totals[8])
{
	float weight[32], sum = 0, sigma2;

	for (int i = 0; i < 256; i++)
		sum += x[i] * x[i];
	sigma2 = 2 * sum / 256;
	for (int j = 0; j < 8; j++, x += 32, importance += 32, codes += 32) {
		qc_importance(x, importance, sigma2, 32, weight);
		totals[j] = 0;
		for (int i = 0; i < 32; i++)
			totals[j] += weight[i];
		scales[j] =
			qc_search_affine(x, weight, 32, nmax, &qc_grid_weighted, codes, &mins[j]);
	}
}

void qc_fit_affine256(const float *x, const float *importance, const struct qc_kparams *params,
		      struct qc_kscales *out, uint8_t codes[256])
{
	float scale[8], min[8], totals[8], d, dmin;
	uint8_t sc[8], m[8];

	if (importance) {
		fit_groups_weighted(x, importance, params->nmax, codes, scale, min, totals);
		d = qc_search_scales(scale, totals, 8, 63, sc);
		dmin = qc_search_scales(min, totals, 8, 63, m);
		for (int j = 0; j < 8; j++) {
			sc[j] = sc[j] < params->limit ? sc[j] : (uint8_t)params->limit;
			m[j] = m[j] < params->limit ? m[j] : (uint8_t)params->limit;
		}
	} else {
		fit_groups_plain(x, params, codes, scale, min);
		d = qc_code_scales(scale, 8, 63, 63, sc);
		dmin = qc_code_scales(min, 8, 63, 63, m);
	}
	qc_kscales_pack(sc, m, out->packed);
	qc_put_f16(out->d, d);
	qc_put_f16(out->dmin, dmin);

	/* Round again with the scales as they will be decoded. */
	qc_kscales_decode(out, scale, min);
	for (int i = 0; i < 256; i++) {
		int j = i / 32;

		if (scale[j] != 0)
			codes[i] = (uint8_t)qc_clamp(qc_nearest((x[i] + min[j]) / scale[j]), 0,
						     params->nmax);
	}
}

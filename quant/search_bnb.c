/*
 * Better absmax and codes for bitsandbytes' 4-bit blocks.
 *
 * The largest value of a block need not be the table's 1: on each of a few scales around absmax all
 * values are rounded, least squares moves the scale to where these codes want it, and the best of
 * them rounds the codes anew. Sums are f32 and sequential; the result replaces the reference's
 * block when its error in f64 is smaller.
 */
#include <math.h>
#include <stdbool.h>

#include "quant/bnb.h"
#include "quant/bnb_rank.h"
#include "quant/search.h"

const float qc_bnb_factors[QC_BNB_FACTORS] = {
	1,     0.96f, 1.04f, 0.92f, 1.08f, 0.88f, 1.12f, 0.84f, 1.16f, 0.8f,  1.2f,
	0.76f, 1.24f, 0.72f, 1.28f, 0.68f, 1.32f, 1.36f, 1.4f,	1.44f, 1.48f, 1.52f};

struct block {
	const struct qc_bnb4_kind *kind;
	const struct qc_bnb4_ranks *ranks;
	const float *x, *weight; /* weight may be NULL */
	size_t n;
};

static float weight_at(const struct block *b, size_t i)
{
	return b->weight ? b->weight[i] : 1;
}

/* The least-squares scale of the codes on `scale`, and how good it is. */
static float fit(const struct block *b, float scale, float *merit)
{
	float inverse = 1 / scale, xl = 0, l2 = 0;

	for (size_t i = 0; i < b->n; i++) {
		float l = b->ranks->value[qc_bnb4_rank(b->ranks, b->x[i] * inverse)];

		xl += weight_at(b, i) * b->x[i] * l;
		l2 += weight_at(b, i) * l * l;
	}
	*merit = xl * xl / l2;
	return xl / l2;
}

/* The best scale; 0 when there is none to propose. */
static float search_scale(const struct block *b)
{
	float max = 0, best = 0, scale = 0;

	for (size_t i = 0; i < b->n; i++)
		max = fabsf(b->x[i]) > max ? fabsf(b->x[i]) : max;
	if (!(max > QC_SEARCH_SMALLEST && max < QC_SEARCH_LARGEST))
		return 0;
	for (int f = 0; f < QC_BNB_FACTORS; f++) {
		float merit, fitted = fit(b, max * qc_bnb_factors[f], &merit);

		if (merit > best) { /* false for 0 / 0 */
			best = merit;
			scale = fitted;
		}
	}
	return isfinite(scale) ? scale : 0;
}

/* Errors are summed as qc_squared_error() does. */
struct error_sums {
	double sums[8];
};

static void error_add(struct error_sums *e, const struct block *b, size_t i, float y)
{
	double error = (double)b->x[i] - y;

	e->sums[i % 8] += weight_at(b, i) * (error * error);
}

static double error_total(const struct error_sums *e)
{
	double sum = 0;

	for (int i = 0; i < 8; i++)
		sum += e->sums[i];
	return sum;
}

/* The error of packed codes. */
static double packed_error(const struct block *b, const uint8_t *packed, float absmax)
{
	struct error_sums e = {{0}};

	for (size_t i = 0; i < b->n; i++) {
		unsigned code = i % 2 ? packed[i / 2] & 15u : packed[i / 2] >> 4;

		error_add(&e, b, i, b->kind->map[code] * absmax);
	}
	return error_total(&e);
}

/* The error of the nearest codes. */
static double nearest_error(const struct block *b, float absmax)
{
	struct error_sums e = {{0}};
	float inverse = 1 / absmax;

	for (size_t i = 0; i < b->n; i++) {
		unsigned rank = qc_bnb4_rank(b->ranks, b->x[i] * inverse);

		error_add(&e, b, i, b->ranks->value[rank] * absmax);
	}
	return error_total(&e);
}

static void pack_nearest(const struct block *b, float absmax, uint8_t *packed)
{
	float inverse = 1 / absmax;

	for (size_t i = 0; i < b->n; i += 2) {
		float second = i + 1 < b->n ? b->x[i + 1] * inverse : 0;

		packed[i / 2] =
			(uint8_t)(b->kind->order[qc_bnb4_rank(b->ranks, b->x[i] * inverse)] << 4 |
				  b->kind->order[qc_bnb4_rank(b->ranks, second)]);
	}
}

void qc_bnb4_search(const struct qc_bnb4_kind *kind, const float *x, size_t n, size_t block_elems,
		    const float *weight, uint8_t *packed, float *absmax)
{
	struct qc_bnb4_ranks ranks;

	qc_bnb4_ranks_init(&ranks, kind);
	qc_bnb4_encode(kind, x, n, block_elems, packed, absmax);
	for (size_t at = 0; at < n; at += block_elems, absmax++, packed += block_elems / 2) {
		struct block b = {kind, &ranks, x + at, weight ? weight + at : NULL,
				  n - at < block_elems ? n - at : block_elems};
		float scale = search_scale(&b);

		if (scale == 0)
			continue;
		if (qc_error_below(nearest_error(&b, scale), packed_error(&b, packed, *absmax))) {
			*absmax = scale;
			pack_nearest(&b, scale, packed);
		}
	}
}

/* The best of the 8-bit codes at and beside that of `wanted`, and of the reference's, for a block:
 * its error; *code is replaced. */
static double search_code(const struct block *b, float wanted, float nested_absmax, float offset,
			  uint8_t *code)
{
	int tries[QC_BNB_TRIES];
	double best = NAN;

	qc_bnb_tries(wanted, nested_absmax, offset, *code, tries);
	for (int t = 0; t < QC_BNB_TRIES; t++) {
		float absmax = qc_bnb_absmax((uint8_t)tries[t], nested_absmax, offset);
		double error = absmax != 0 ? nearest_error(b, absmax) : NAN;

		if (qc_error_below(error, best)) {
			best = error;
			*code = (uint8_t)tries[t];
		}
	}
	return best;
}

void qc_bnb4_search_nested(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			   size_t block_elems, const float *weight, float offset,
			   const float *nested_absmax, uint8_t *packed, uint8_t *codes)
{
	struct qc_bnb4_ranks ranks;
	size_t k = 0;

	qc_bnb4_ranks_init(&ranks, kind);
	for (size_t at = 0; at < n; at += block_elems, k++, packed += block_elems / 2) {
		struct block b = {kind, &ranks, x + at, weight ? weight + at : NULL,
				  n - at < block_elems ? n - at : block_elems};
		float nested = nested_absmax[k / QC_BNB_NESTED], scale = search_scale(&b);
		float absmax = qc_bnb_absmax(codes[k], nested, offset);
		uint8_t code = codes[k];

		if (scale == 0)
			continue;
		if (qc_error_below(search_code(&b, scale, nested, offset, &code),
				   packed_error(&b, packed, absmax))) {
			codes[k] = code;
			pack_nearest(&b, qc_bnb_absmax(code, nested, offset), packed);
		}
	}
}

/*
 * Batches of q2_K, q4_K or q5_K super-blocks with one group per lane: the searches run on
 * transposed groups (affine_search.h), the final codes in storage order.
 */
#ifndef QC_QUANT_X86_AFFINE_BATCH_H
#define QC_QUANT_X86_AFFINE_BATCH_H

#include "quant/x86/affine_search.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/qtype.h"

enum { AFFINE_BATCH = LANES / 2 }; /* super-blocks whose scales and mins fill a set of lanes */

/* What the types differ in. */
struct affine_type {
	const struct qc_qtype *type;
	int group;	/* 16 or 32 values; a super-block has 256 / group groups */
	int nmax;	/* codes are 0..nmax */
	int top, limit; /* scales and mins are coded 0..top; codes above `limit` are cut */
	int variances;	/* this many times the mean square goes into the weights */
	const struct qc_affine_grid *plain;
	/* Stores the codes of the scales and mins, and tells what they decode to. */
	void (*put_scales)(const uint8_t *scales, const uint8_t *mins, float d, float dmin,
			   void *block, float *scale, float *min);
	/* Stores the 256 codes. */
	void (*put)(const __m256i code[8], void *block);
};

/* Consecutive super-blocks, and what was found for each group. */
struct affine_batch {
	const struct affine_type *of;
	size_t n;	/* behind the last of the n super-blocks come zeros */
	size_t groups;	/* of a super-block */
	const float *x; /* AFFINE_BATCH * 256 */
	const float *importance[AFFINE_BATCH]; /* 256 each, n of them; or all NULL */
	float sigma2[AFFINE_BATCH];
	/* x ~ scale * code - min; inverse and low: see affine_search.h */
	float scale[AFFINE_BATCH * 16], min[AFFINE_BATCH * 16];
	float inverse[AFFINE_BATCH * 16], low[AFFINE_BATCH * 16];
	float total[AFFINE_BATCH * 16]; /* sum of the group's weights */
	/* the scales' and mins' codes, and what multiplies them */
	uint8_t scale_code[AFFINE_BATCH * 16], min_code[AFFINE_BATCH * 16];
	float d[AFFINE_BATCH], dmin[AFFINE_BATCH];
};

/* Without importance: |x|, in groups of 32 plus the group's RMS. */
LANES_INLINE void affine_weigh_plain(struct affine_groups *g, int n)
{
	lanes sum = lanes_set(0), rms = lanes_set(0);

	for (int i = 0; n == 32 && i < n; i++)
		sum += g->x[i] * g->x[i];
	if (n == 32)
		rms = lanes_sqrt(sum / lanes_set(32));
	for (int i = 0; i < n; i++)
		g->weight[i] = rms + lanes_abs(g->x[i]);
}

/* importance * sqrt(sigma2 + x^2) for the super-blocks from `first` on that fill two sets of lanes.
 */
LANES_INLINE void affine_weigh(const struct affine_batch *b, size_t first, size_t n,
			       struct affine_groups g[2])
{
	float weight[2 * LANES * 32];

	for (size_t k = 0; k < 2 * LANES * n / 256; k++) {
		const float *x = b->x + (first + k) * 256, *importance = b->importance[first + k];
		lanes sigma2 = lanes_set(b->sigma2[first + k]);

		for (size_t i = 0; i < 256; i += LANES) {
			lanes v = lanes_load(x + i), w = lanes_set(0);

			if (first + k < b->n)
				w = lanes_load(importance + i) * lanes_sqrt(sigma2 + v * v);
			lanes_store(weight + k * 256 + i, w);
		}
	}
	lanes_columns(weight, n, g[0].weight);
	lanes_columns(weight + LANES * n, n, g[1].weight);
}

/* The variances of four super-blocks, as the type takes them. */
static inline void affine_sigma2(const float *x, int variances, float sigma2[4])
{
	__m128 sum = _mm_set1_ps((float)variances) * lanes_square_sums(x);

	_mm_storeu_ps(sigma2, sum / _mm_set1_ps(256));
}

/* Scale and min of the groups from super-block `first` on that fill two sets of lanes. */
LANES_INLINE bool affine_fit_pair(struct affine_batch *b, size_t first, int n, bool absolute,
				  const struct qc_affine_grid *grid)
{
	struct affine_groups g[2];
	struct affine_best s[2];

	for (size_t k = 0; k < 2; k++)
		lanes_columns(b->x + first * 256 + k * LANES * (size_t)n, (size_t)n, g[k].x);
	if (b->importance[0]) {
		affine_weigh(b, first, (size_t)n, g);
	} else {
		affine_weigh_plain(&g[0], n);
		affine_weigh_plain(&g[1], n);
	}
	if (!affine_search(g, n, b->of->nmax, grid, absolute, s))
		return false;
	for (size_t k = 0; k < 2; k++) {
		size_t at = first * b->groups + k * LANES;

		lanes_store(b->scale + at, s[k].scale);
		lanes_store(b->min + at, lanes_negate(s[k].min));
		lanes_store(b->inverse + at, s[k].inverse);
		lanes_store(b->low + at, s[k].low);
		lanes_store(b->total + at, s[k].sum_w);
	}
	return true;
}

/* Scale and min of every group; false when the batch needs the scalar search. */
static inline bool affine_fit(struct affine_batch *b)
{
	const struct qc_affine_grid *grid = b->importance[0] ? &qc_grid_weighted : b->of->plain;
	size_t pair = 2 * LANES / b->groups;
	bool fits = true;

	if (b->importance[0])
		for (size_t k = 0; k < AFFINE_BATCH; k += 4)
			affine_sigma2(b->x + k * 256, b->of->variances, b->sigma2 + k);
	for (size_t first = 0; fits && first < b->n; first += pair) {
		/* constants make a search of each */
		if (b->of->group == 32)
			fits = affine_fit_pair(b, first, 32, false, grid);
		else if (grid->absolute)
			fits = affine_fit_pair(b, first, 16, true, grid);
		else
			fits = affine_fit_pair(b, first, 16, false, grid);
	}
	return fits;
}

static inline void affine_scales_plain(struct affine_batch *b)
{
	int n = (int)b->groups, top = b->of->top, limit = b->of->limit;

	for (size_t k = 0; k < b->n; k++) {
		size_t at = k * b->groups;

		b->d[k] = qc_code_scales(b->scale + at, n, top, limit, b->scale_code + at);
		b->dmin[k] = qc_code_scales(b->min + at, n, top, limit, b->min_code + at);
	}
}

/* Scales of all super-blocks in the lower half of the lanes, mins in the upper. */
static inline void affine_scales_weighted(struct affine_batch *b)
{
	float x[16][LANES] = {{0}}, weight[16][LANES] = {{0}}, step[LANES];
	struct scales_groups g = {.n = (int)b->groups};

	for (size_t k = 0; k < b->n; k++)
		for (size_t j = 0; j < b->groups; j++) {
			x[j][k] = b->scale[k * b->groups + j];
			x[j][k + AFFINE_BATCH] = b->min[k * b->groups + j];
			weight[j][k] = weight[j][k + AFFINE_BATCH] = b->total[k * b->groups + j];
		}
	for (size_t j = 0; j < b->groups; j++) {
		g.x[j] = lanes_load(x[j]);
		g.weight[j] = lanes_load(weight[j]);
	}
	lanes_store(step, scales_search(&g, b->of->top));
	for (size_t j = 0; j < b->groups; j++) {
		float code[LANES];

		lanes_store(code, lanes_min(g.code[j], lanes_set((float)b->of->limit)));
		for (size_t k = 0; k < b->n; k++) {
			b->scale_code[k * b->groups + j] = (uint8_t)code[k];
			b->min_code[k * b->groups + j] = (uint8_t)code[k + AFFINE_BATCH];
		}
	}
	for (size_t k = 0; k < b->n; k++) {
		b->d[k] = step[k];
		b->dmin[k] = step[k + AFFINE_BATCH];
	}
}

/* Codes of super-block k against the scales as decoded; where one is 0, the search's codes. */
static inline void affine_encode(const struct affine_batch *b, size_t k, const float *scale,
				 const float *min, __m256i code[8])
{
	for (size_t j = 0; j < 8; j++) {
		lanes_int v[32 / LANES];

		for (size_t i = 0; i < 32 / LANES; i++) {
			size_t at = 32 * j + i * LANES, group = at / (size_t)b->of->group;
			float inverse = b->inverse[k * b->groups + group];
			float low = b->low[k * b->groups + group];
			lanes in = lanes_load(b->x + k * 256 + at);

			if (scale[group] != 0)
				in = (in + lanes_set(min[group])) / lanes_set(scale[group]);
			else
				in = lanes_set(inverse) * (in - lanes_set(low));
			v[i] = lanes_int_clamp(lanes_nearest(in), 0, b->of->nmax);
		}
		code[j] = lanes_pack_bytes(v);
	}
}

/* The batch that starts at super-block `at` of n_blocks. */
static inline void affine_batch_init(struct affine_batch *b, const float *x, size_t at,
				     size_t n_blocks, size_t cols, const float *weight,
				     float padded[AFFINE_BATCH * 256])
{
	b->n = n_blocks - at < AFFINE_BATCH ? n_blocks - at : AFFINE_BATCH;
	b->groups = 256 / (size_t)b->of->group;
	b->x = x + at * 256;
	for (size_t k = 0; k < AFFINE_BATCH; k++)
		b->importance[k] = weight && k < b->n ? weight + (at + k) * 256 % cols : NULL;
	if (b->n < AFFINE_BATCH) {
		memcpy(padded, b->x, b->n * 256 * sizeof(*x));
		memset(padded + b->n * 256, 0, (AFFINE_BATCH - b->n) * 256 * sizeof(*x));
		b->x = padded;
	}
}

/* qc_quantize_fn for such a type. */
static inline void affine_quantize(const float *x, void *dst, size_t rows, size_t cols,
				   const float *weight, const struct affine_type *of)
{
	size_t n_blocks = rows * (cols / 256);
	float padded[AFFINE_BATCH * 256];
	uint8_t *block = dst;

	for (size_t at = 0; at < n_blocks; at += AFFINE_BATCH) {
		struct affine_batch b = {.of = of};
		bool fits;

		affine_batch_init(&b, x, at, n_blocks, cols, weight, padded);
		fits = affine_fit(&b);
		if (fits && weight)
			affine_scales_weighted(&b);
		else if (fits)
			affine_scales_plain(&b);
		for (size_t k = 0; k < b.n; k++, block += of->type->block_bytes) {
			const uint8_t *scale_code = b.scale_code + k * b.groups;
			float scale[16], min[16];
			__m256i code[8];

			if (!fits) {
				of->type->quantize(b.x + k * 256, block, 1, 256, b.importance[k]);
				continue;
			}
			of->put_scales(scale_code, b.min_code + k * b.groups, b.d[k], b.dmin[k],
				       block, scale, min);
			affine_encode(&b, k, scale, min, code);
			of->put(code, block);
		}
	}
}

#endif
#endif

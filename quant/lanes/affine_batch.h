/*
 * Batches of q2_K, q4_K or q5_K super-blocks with one group per lane: the searches run on
 * transposed groups (affine_search.h), the final codes in storage order.
 */
#ifndef QC_QUANT_LANES_AFFINE_BATCH_H
#define QC_QUANT_LANES_AFFINE_BATCH_H

#include "quant/lanes/affine_search.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/qtype.h"

/* Super-blocks: their scales and mins fill whole sets of lanes, and variances come in fours. */
enum { AFFINE_BATCH = LANES < 8 ? 4 : LANES / 2 };

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
	void (*put)(const bytes32 code[8], void *block);
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

/* importance * sqrt(sigma2 + x^2) for two sets of lanes: groups of n from value `first` on. */
LANES_INLINE void affine_weigh(const struct affine_batch *b, size_t first, size_t n,
			       struct affine_groups g[2])
{
	float weight[2 * LANES * 32];
	/* either some super-blocks or a part of one */
	const size_t end = 2 * LANES * n, step = end < 256 ? end : 256;

	for (size_t at = 0; at < end; at += step) {
		size_t k = (first + at) / 256;
		const float *x = b->x + first + at;
		lanes sigma2 = lanes_set(b->sigma2[k]);

		for (size_t i = 0; i < step; i += LANES) {
			lanes v = lanes_load(x + i), w = lanes_set(0);

			if (k < b->n)
				w = lanes_load(b->importance[k] + (first + at) % 256 + i) *
				    lanes_sqrt(sigma2 + v * v);
			lanes_store(weight + at + i, w);
		}
	}
	lanes_columns(weight, n, g[0].weight);
	lanes_columns(weight + LANES * n, n, g[1].weight);
}

/* The variances of four super-blocks, as the type takes them. */
static inline void affine_sigma2(const float *x, int variances, float sigma2[4])
{
	quad sum = quad_set((float)variances) * lanes_square_sums(x);

	quad_store(sigma2, sum / quad_set(256));
}

/* Scale and min of the groups from `first` on that fill two sets of lanes. */
LANES_INLINE bool affine_fit_pair(struct affine_batch *b, size_t first, int n, bool absolute,
				  const struct qc_affine_grid *grid)
{
	struct affine_groups g[2];
	struct affine_best s[2];

	for (size_t k = 0; k < 2; k++)
		lanes_columns(b->x + (first + k * LANES) * (size_t)n, (size_t)n, g[k].x);
	if (b->importance[0]) {
		affine_weigh(b, first * (size_t)n, (size_t)n, g);
	} else {
		affine_weigh_plain(&g[0], n);
		affine_weigh_plain(&g[1], n);
	}
	if (!affine_search(g, n, b->of->nmax, grid, absolute, s))
		return false;
	for (size_t k = 0; k < 2; k++) {
		size_t at = first + k * LANES;

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
	bool fits = true;

	if (b->importance[0])
		for (size_t k = 0; k < AFFINE_BATCH; k += 4)
			affine_sigma2(b->x + k * 256, b->of->variances, b->sigma2 + k);
	for (size_t first = 0; fits && first < b->n * b->groups; first += 2 * LANES) {
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

/* What multiplies the codes that become element `first` and the LANES - 1 after it of code[j]. */
static inline void affine_code_scales(const struct affine_batch *b, size_t first,
				      float x[16][2 * AFFINE_BATCH],
				      float weight[16][2 * AFFINE_BATCH],
				      float code[16][2 * AFFINE_BATCH], float *step)
{
	struct scales_groups g = {.n = (int)b->groups};

	for (size_t j = 0; j < b->groups; j++) {
		g.x[j] = lanes_load(x[j] + first);
		g.weight[j] = lanes_load(weight[j] + first);
	}
	lanes_store(step + first, scales_search(&g, b->of->top));
	for (size_t j = 0; j < b->groups; j++)
		lanes_store(code[j] + first, lanes_min(g.code[j], lanes_set((float)b->of->limit)));
}

/* Scales of all super-blocks, then their mins. */
static inline void affine_scales_weighted(struct affine_batch *b)
{
	float x[16][2 * AFFINE_BATCH] = {{0}}, weight[16][2 * AFFINE_BATCH] = {{0}};
	float code[16][2 * AFFINE_BATCH], step[2 * AFFINE_BATCH];

	for (size_t k = 0; k < b->n; k++)
		for (size_t j = 0; j < b->groups; j++) {
			x[j][k] = b->scale[k * b->groups + j];
			x[j][k + AFFINE_BATCH] = b->min[k * b->groups + j];
			weight[j][k] = weight[j][k + AFFINE_BATCH] = b->total[k * b->groups + j];
		}
	for (size_t first = 0; first < 2 * AFFINE_BATCH; first += LANES)
		affine_code_scales(b, first, x, weight, code, step);
	for (size_t k = 0; k < b->n; k++) {
		for (size_t j = 0; j < b->groups; j++) {
			b->scale_code[k * b->groups + j] = (uint8_t)code[j][k];
			b->min_code[k * b->groups + j] = (uint8_t)code[j][k + AFFINE_BATCH];
		}
		b->d[k] = step[k];
		b->dmin[k] = step[k + AFFINE_BATCH];
	}
}

/* Codes of super-block k against the scales as decoded; where one is 0, the search's codes. */
static inline void affine_encode(const struct affine_batch *b, size_t k, const float *scale,
				 const float *min, bytes32 code[8])
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
			bytes32 code[8];

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

/*
 * The loop around the searches of types with large blocks: LANES blocks at a time, one in each
 * lane, so that one text is the definition (one lane, quant/lanes/lanes_one.h) and, compiled again,
 * its SIMD variants (quant/x86/ and quant/arm/). All sums are vertical: a block's result does not
 * depend on how many lanes there are.
 *
 * As everywhere (quant/search.h), a block that is found replaces the reference's when its error is
 * smaller.
 */
#ifndef QC_QUANT_SUPER_H
#define QC_QUANT_SUPER_H

#ifndef LANES_ONE
#include "quant/lanes/lanes.h"
#endif
#ifndef LANES_INLINE
#include "quant/lanes/lanes_one.h"
#endif

#include <math.h>
#include <string.h>

#include "quant/fast.h"
#include "quant/search.h"

enum { SUPER_ELEMS = 256, SUPER_BYTES = 256 /* at least those of any block */ };

/* LANES blocks: the values as they lie, with their importance (1 where there is none); then element
 * i of every block in lane order, with the weights of a proposal. Lanes without a block hold zeros.
 */
struct super {
	const float *rows, *row_weights;
	lanes x[SUPER_ELEMS], weight[SUPER_ELEMS];
	lanes extreme; /* the largest magnitude */
	float flatness;
};

/*
 * A proposal weighs x with importance * sqrt(flatness * mean of x^2 + x^2). Least squares makes
 * values smaller on average, the more the coarser the codes are, and what a layer computes shrinks
 * with them; large values that weigh more hold against that. Chosen by the KL divergence of
 * tiny-llama and tiny-gemma3 with importance. Scalar codes of 3 bits and more, and iq3_s, do about
 * the same with 1 to 16 and worse without such a weight; q2_K gains with 1 in both models.
 *
 * For points of a grid that is not enough: what is coded has the part 1 - E of the energy of x, E
 * the relative squared error, and the scale that gives its share of x back is 1 / (1 - E) of least
 * squares'. About half of that is the `gain` of the iq1 and iq2 types: it costs less error than
 * steeper weights do, for the same divergence.
 */
#define SUPER_FLAT  4.0f
#define SUPER_EVEN  1.0f
#define SUPER_STEEP 0.25f

/* Blocks for the first `count` lanes, which may be better than the reference's. */
typedef void super_propose_fn(const struct super *s, size_t count, uint8_t *trials);

/* Nearest integer of a value below 2^22, ties to even, still a float. */
LANES_INLINE lanes super_whole(lanes v)
{
	return v + lanes_set(0x1.8p23f) - lanes_set(0x1.8p23f);
}

/* NaN becomes `low`. */
LANES_INLINE lanes super_clamp(lanes v, lanes low, lanes high)
{
	return lanes_min(lanes_max(v, low), high);
}

/* a / b; 0 where b is 0. */
LANES_INLINE lanes super_ratio(lanes a, lanes b)
{
	return lanes_select(lanes_eq(b, lanes_set(0)), lanes_set(0), a / b);
}

LANES_INLINE void super_load(struct super *s, size_t elems)
{
	lanes sum = lanes_set(0), flat;

	s->extreme = lanes_set(0);
	lanes_columns(s->rows, elems, s->x);
	lanes_columns(s->row_weights, elems, s->weight);
	for (size_t i = 0; i < elems; i++) {
		s->extreme = lanes_max(s->extreme, lanes_abs(s->x[i]));
		sum += s->x[i] * s->x[i];
	}
	flat = sum * lanes_set(s->flatness / (float)elems);
	for (size_t i = 0; i < elems; i++)
		s->weight[i] *= lanes_sqrt(flat + s->x[i] * s->x[i]);
}

/* qc_squared_error(), infinite for a block that must not be written. */
static inline double super_error(const struct qc_qtype *type, const float *x, const float *weight,
				 const float *y, const uint8_t *block)
{
	double sums[8], sum = 0;

	if (type->check && type->check(block, 1) == 0)
		return NAN;
	lanes_error_sums(x, y, weight, type->block_elems, sums);
	for (int i = 0; i < 8; i++)
		sum += sums[i];
	return sum;
}

static inline void super_keep_better(const struct qc_qtype *type, qc_dequantize_fn *dequantize,
				     const struct super *s, size_t count, const uint8_t *trials,
				     uint8_t *blocks)
{
	float y[SUPER_ELEMS], extreme[LANES];
	size_t bytes = type->block_bytes, elems = type->block_elems;

	lanes_store(extreme, s->extreme);
	for (size_t k = 0; k < count; k++, blocks += bytes, trials += bytes) {
		const float *x = s->rows + k * elems, *weight = s->row_weights + k * elems;
		double was, is;

		/* a block that must not be written is refused, not clipped into one that may */
		if (type->check && type->check(blocks, 1) == 0)
			continue;
		if (!(extreme[k] > QC_SEARCH_SMALLEST && extreme[k] < QC_SEARCH_LARGEST) ||
		    !memcmp(blocks, trials, bytes))
			continue;
		dequantize(blocks, y, 1);
		was = super_error(type, x, weight, y, blocks);
		dequantize(trials, y, 1);
		is = super_error(type, x, weight, y, trials);
		if (qc_error_below(is, was))
			memcpy(blocks, trials, bytes);
	}
}

/* qc_quantize_fn for a type of up to 256 elements with a proposal. */
static inline void super_run(const struct qc_qtype *type, super_propose_fn *propose, float flatness,
			     const float *x, void *dst, size_t rows, size_t cols,
			     const float *weight)
{
	qc_dequantize_fn *dequantize = qc_fast_dequantize(type, lanes_isa);
	size_t elems = type->block_elems, n_blocks = rows * cols / elems;
	float part[LANES * SUPER_ELEMS] = {0}, weights[LANES * SUPER_ELEMS];
	uint8_t trials[LANES * SUPER_BYTES], *blocks = dst;
	struct super s;

	qc_fast_quantize(type, lanes_isa)(x, dst, rows, cols, weight);
	s.row_weights = weights;
	s.flatness = flatness;
	for (size_t i = 0; i < LANES * elems; i++)
		weights[i] = 1;
	for (size_t first = 0; first < n_blocks; first += LANES) {
		size_t count = n_blocks - first < LANES ? n_blocks - first : LANES;

		s.rows = x + first * elems;
		if (count < LANES)
			s.rows = memcpy(part, s.rows, count * elems * sizeof(float));
		for (size_t k = 0; k < count && weight; k++)
			memcpy(weights + k * elems, weight + (first + k) * elems % cols,
			       elems * sizeof(float));
		super_load(&s, elems);
		propose(&s, count, trials);
		super_keep_better(type, dequantize, &s, count, trials,
				  blocks + first * type->block_bytes);
	}
}

#endif

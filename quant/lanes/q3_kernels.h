/*
 * q3_K with one group of 16 per lane: the searches run on transposed super-blocks, every sum,
 * product, division and comparison in the scalar order; the final codes and the packing in storage
 * order.
 */
#ifndef QC_QUANT_LANES_Q3_KERNELS_H
#define QC_QUANT_LANES_Q3_KERNELS_H

#include "quant/lanes/symmetric_kernels.h"

#ifdef LANES_INLINE

#include "quant/q3_k.h"

enum {
	Q3_BATCH = LANES, /* super-blocks whose scales, one super-block per lane, fill all lanes */
	Q3_SETS = 4,	  /* of groups that are searched together: their chains of dependent
			     operations fill each other's gaps */
};

/* Consecutive super-blocks, and what was found for each group. */
struct q3_batch {
	size_t n;			   /* behind the last of the n super-blocks come zeros */
	const float *x;			   /* Q3_BATCH * 256 */
	const float *importance[Q3_BATCH]; /* 256 each, n of them; or all NULL */
	struct symmetric_found found[Q3_BATCH];
	float total[Q3_BATCH][16];  /* sum of the group's weights */
	uint8_t code[Q3_BATCH][16]; /* of the scales */
	float d[Q3_BATCH];
	float padded[Q3_BATCH * 256];
};

/* Groups and their codes while they move one at a time. */
struct q3_moving {
	lanes x[16], weight[16], wx[16], code[16];
	lanes xl, l2; /* least-squares sums */
	lanes magnitude;
};

static inline void q3_moving_start(const float *x, struct q3_moving *m)
{
	struct symmetric_groups g;
	lanes inverse;

	lanes_columns(x, 16, g.x);
	inverse = lanes_set(-4) / symmetric_extreme(&g, 16, &m->magnitude);
	m->xl = m->l2 = lanes_set(0);
	for (int i = 0; i < 16; i++) {
		lanes_int l = lanes_int_clamp(lanes_nearest(inverse * g.x[i]), -4, 3);

		m->x[i] = g.x[i];
		m->weight[i] = g.x[i] * g.x[i];
		m->wx[i] = m->weight[i] * g.x[i];
		m->code[i] = lanes_from_int(l);
		m->xl += m->wx[i] * m->code[i];
		m->l2 += m->weight[i] * m->code[i] * m->code[i];
	}
}

/* Move code i to where the others want it, in the lanes where that helps: those are returned. */
LANES_INLINE lanes_mask q3_move(struct q3_moving *m, int i)
{
	lanes zero = lanes_set(0), x = m->x[i], weight = m->weight[i], code = m->code[i];
	lanes xl = m->xl - m->wx[i] * code, l2 = m->l2 - weight * code * code;
	lanes_mask better = lanes_lt(zero, xl);
	lanes moved = lanes_from_int(lanes_int_clamp(lanes_nearest(x * l2 / xl), -4, 3));

	better = lanes_and(better, lanes_not(lanes_eq(moved, code)));
	xl += m->wx[i] * moved;
	l2 += weight * moved * moved;
	better = lanes_and(better, lanes_lt(zero, l2));
	better = lanes_and(better, lanes_lt(m->xl * m->xl * l2, xl * xl * m->l2));
	m->code[i] = lanes_select(better, moved, code);
	m->xl = lanes_select(better, xl, m->xl);
	m->l2 = lanes_select(better, l2, m->l2);
	return better;
}

/* The scales of Q3_SETS sets of groups without importance. */
static inline void q3_fit_plain(const float *x, float *scale)
{
	lanes zero = lanes_set(0);
	struct q3_moving m[Q3_SETS];

	for (int s = 0; s < Q3_SETS; s++)
		q3_moving_start(x + s * LANES * 16, &m[s]);
	/* A lane in which a pass changes nothing does not change in a further one either. */
	for (int pass = 0; pass < 5; pass++) {
		lanes_mask changed = lanes_none();

		for (int i = 0; i < 16; i++)
			for (int s = 0; s < Q3_SETS; s++)
				changed = lanes_or(changed, q3_move(&m[s], i));
		if (!lanes_any(changed))
			break;
	}
	for (int s = 0; s < Q3_SETS; s++) {
		lanes_mask zeros = lanes_lt(m[s].magnitude, lanes_set(QC_GROUP_EPS));
		lanes_mask fits = lanes_and(lanes_lt(zero, m[s].l2), lanes_not(zeros));

		lanes_store(scale + s * LANES, lanes_select(fits, m[s].xl / m[s].l2, zero));
	}
}

static inline void q3_batch_plain(struct q3_batch *b)
{
	enum { AT_ONCE = Q3_SETS * LANES / 16 };

	memset(b->found, 0, sizeof(b->found));
	for (size_t k = 0; k < b->n; k += AT_ONCE) {
		float scale[Q3_SETS * LANES];

		q3_fit_plain(b->x + k * 256, scale);
		for (size_t i = 0; i < AT_ONCE; i++)
			b->d[k + i] = qc_q3_K_code_scales(scale + i * 16, b->code[k + i]);
	}
}

/* Searches the 16 groups of super-block k with importance. */
static inline void q3_fit_weighted(struct q3_batch *b, size_t k, float variance)
{
	const float *x = b->x + k * 256, *importance = b->importance[k];
	lanes sigma2 = lanes_set(variance);

	for (size_t at = 0; at < 16; at += LANES) {
		struct symmetric_groups g;
		struct symmetric_best s;
		lanes total = lanes_set(0);

		lanes_columns(x + at * 16, 16, g.x);
		lanes_columns(importance + at * 16, 16, g.weight);
		for (int i = 0; i < 16; i++) {
			g.weight[i] *= lanes_sqrt(sigma2 + g.x[i] * g.x[i]);
			g.wx[i] = g.weight[i] * g.x[i];
			total += g.weight[i];
		}
		s = symmetric_search(&g, 16, 4);
		lanes_store(b->found[k].scale + at, s.scale);
		lanes_store(b->found[k].inverse + at, s.inverse);
		lanes_store(b->total[k] + at, total);
	}
}

/* Codes the scales of all super-blocks, one in each lane; false when one of them is not finite. */
static inline bool q3_code_scales(struct q3_batch *b)
{
	float scale[Q3_BATCH * 16] = {0}, total[Q3_BATCH * 16] = {0}, code[16][LANES];
	struct symmetric_groups g;
	struct symmetric_best s;

	for (size_t k = 0; k < b->n; k++) {
		memcpy(scale + k * 16, b->found[k].scale, sizeof(b->found[k].scale));
		memcpy(total + k * 16, b->total[k], sizeof(b->total[k]));
	}
	for (size_t i = 0; i < Q3_BATCH * 16; i++)
		if (!isfinite(scale[i]))
			return false;
	lanes_columns(scale, 16, g.x);
	lanes_columns(total, 16, g.weight);
	for (int i = 0; i < 16; i++)
		g.wx[i] = g.weight[i] * g.x[i];
	s = symmetric_search(&g, 16, 32);
	lanes_store(b->d, s.scale);
	for (int j = 0; j < 16; j++) {
		lanes_int l = lanes_int_clamp(lanes_nearest(s.inverse * g.x[j]), -32, 31);
		lanes_mask zeros = lanes_eq(s.inverse, lanes_set(0));

		lanes_store(code[j], lanes_select(zeros, lanes_set(0),
						  lanes_from_int(lanes_int_add(l, 32))));
	}
	for (size_t k = 0; k < b->n; k++)
		for (int j = 0; j < 16; j++)
			b->code[k][j] = (uint8_t)code[j][k];
	return true;
}

/* False when the batch needs the scalar search. */
static inline bool q3_batch_weighted(struct q3_batch *b)
{
	for (size_t k = 0; k < b->n; k += 4) {
		float sum[4];

		quad_store(sum, lanes_square_sums(b->x + k * 256));
		for (size_t i = 0; i < 4 && k + i < b->n; i++)
			q3_fit_weighted(b, k + i, 2 * sum[i] / 256);
	}
	return q3_code_scales(b);
}

/* The batch that starts at super-block `at` of n_blocks. */
static inline void q3_batch_init(struct q3_batch *b, const float *x, size_t at, size_t n_blocks,
				 size_t cols, const float *weight)
{
	b->n = n_blocks - at < Q3_BATCH ? n_blocks - at : Q3_BATCH;
	b->x = x + at * 256;
	for (size_t k = 0; k < b->n; k++)
		b->importance[k] = weight ? weight + (at + k) * 256 % cols : NULL;
	if (b->n < Q3_BATCH) {
		memset(b->padded, 0, sizeof(b->padded));
		memcpy(b->padded, b->x, b->n * 256 * sizeof(*x));
		b->x = b->padded;
	}
}

static inline void q3_K_put(const bytes32 code[8], struct qc_block_q3_K *b)
{
	bytes32 high = bytes32_set(0);

	for (int j = 0; j < 8; j++)
		high = bytes32_or(high, bytes32_if_above(code[j], 3, 1 << j));
	bytes32_store(b->high, high);
	bytes32_store(b->q, bytes32_four_twos(code));
	bytes32_store(b->q + 32, bytes32_four_twos(code + 4));
}

/* Stores super-block k. False, without importance, when a group decodes to zeros: its codes are
 * then the search's, which are not kept. */
static inline bool q3_K_encode(const struct q3_batch *b, size_t k, struct qc_block_q3_K *block)
{
	int8_t scales[16];
	bytes32 code[8];
	float d;

	qc_q3_K_pack_scales(b->code[k], block->scales);
	qc_put_f16(block->d, b->d[k]);
	qc_q3_K_scales(block, scales);
	d = qc_get_f16(block->d);
	for (int g = 0; g < 16 && !b->importance[k]; g++)
		if (d * (float)scales[g] == 0)
			return false;
	for (size_t j = 0; j < 8; j++)
		code[j] = symmetric_encode(b->x + k * 256, &b->found[k], 2 * j, d, scales, 4);
	q3_K_put(code, block);
	return true;
}

static void q3_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q3_K *block = dst;
	size_t n_blocks = rows * (cols / 256);

	for (size_t at = 0; at < n_blocks; at += Q3_BATCH) {
		struct q3_batch b;
		bool fits = true;

		q3_batch_init(&b, x, at, n_blocks, cols, weight);
		if (weight)
			fits = q3_batch_weighted(&b);
		else
			q3_batch_plain(&b);
		for (size_t k = 0; k < b.n; k++, block++)
			if (!fits || !q3_K_encode(&b, k, block))
				qc_q3_K.quantize(b.x + k * 256, block, 1, 256, b.importance[k]);
	}
}

static void q3_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q3_K *b = src;

	for (size_t n = 0; n < n_blocks; n++, b++) {
		float d = qc_get_f16(b->d);
		int8_t scales[16];

		qc_q3_K_scales(b, scales);
		for (int j = 0; j < 8; j++) {
			bytes32 code = bytes32_two(bytes32_load(b->q + j / 4 * 32), j % 4);
			lanes v[32 / LANES];

			code = bytes32_or(code, bytes32_if_bit(bytes32_load(b->high), j, 4));
			lanes_from_bytes(code, v);
#pragma GCC unroll 8
			for (int i = 0; i < 32 / LANES; i++, x += LANES) {
				lanes scale = lanes_set(d * (float)scales[2 * j + i * LANES / 16]);

				lanes_store(x, scale * (v[i] - lanes_set(4)));
			}
		}
	}
}

#endif
#endif

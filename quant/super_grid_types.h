/* The iq1, iq2 and iq3 types: their shapes, and their blocks from what was found. As super_types.h.
 */
#ifndef QC_QUANT_SUPER_GRID_TYPES_H
#define QC_QUANT_SUPER_GRID_TYPES_H

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq_search.h"
#include "quant/round.h"
#include "quant/super_grid.h"
#include "quant/super_ternary.h"
#include "quant/types.h"

static const struct grid_shape iq2_xxs_shape = {
	.grid = &qc_grid_iq2_xxs,
	.levels = qc_iq2_levels,
	.unit = 0.125f,
	.group = 32,
	.top = 15,
	.even_signs = true,
	.first = 0.5f,
	.step = 0.05f,
	.gain = 1.06f,
};
static const struct grid_shape iq2_xs_shape = {
	.grid = &qc_grid_iq2_xs,
	.levels = qc_iq2_levels,
	.unit = 0.125f,
	.group = 16,
	.top = 15,
	.even_signs = true,
	.first = 0.6f,
	.step = 0.05f,
	.gain = 1.06f,
};
static const struct grid_shape iq2_s_shape = {
	.grid = &qc_grid_iq2_s,
	.levels = qc_iq2_levels,
	.unit = 0.125f,
	.group = 16,
	.top = 15,
	.first = 0.6f,
	.step = 0.05f,
	.gain = 1.04f,
};
static const struct grid_shape iq3_xxs_shape = {
	.grid = &qc_grid_iq3_xxs,
	.levels = qc_iq3_xxs_levels,
	.unit = 0.25f,
	.group = 32,
	.top = 15,
	.even_signs = true,
	.first = 0.7f,
	.step = 0.04f,
	.gain = 1,
};
static const struct grid_shape iq3_s_shape = {
	.grid = &qc_grid_iq3_s,
	.levels = qc_iq3_s_levels,
	.unit = 1,
	.group = 32,
	.top = 15,
	.first = 0.7f,
	.step = 0.04f,
	.gain = 1,
};

static const struct grid_shape iq1_s_shape = {
	.grid = &qc_grid_iq1,
	.unit = 1,
	.group = 32,
	.top = 7,
	.first = 0.3f,
	.step = 0.05f,
	.gain = 1.06f,
};
static const struct grid_shape iq1_m_shape = {
	.grid = &qc_grid_iq1,
	.unit = 1,
	.group = 16,
	.top = 7,
	.first = 0.35f,
	.step = 0.05f,
	.gain = 1.06f,
};

/* Writes a block; its scale d is written already. */
typedef void grid_pack_fn(const struct grid_found *found, uint8_t *block);

/* The weights of a proposal for block k, as they lie. */
static inline void grid_weights(const struct super *s, size_t k, float weight[256])
{
	const float *x = s->rows + k * 256, *importance = s->row_weights + k * 256;
	float flat = s->flatness / 256 * qc_square_sum(x, 256);

	qc_importance(x, importance, flat, 256, weight);
}

/* super_propose_fn for a shape. */
static inline void grid_propose(const struct super *s, size_t count, const struct grid_shape *shape,
				grid_pack_fn *pack, size_t block_bytes, uint8_t *trials)
{
	struct grid_work work;
	struct grid_found found;
	float weight[256];

	grid_init(&work, shape);
	memset(trials, 0, count * block_bytes);
	for (size_t k = 0; k < count; k++, trials += block_bytes) {
		grid_weights(s, k, weight);
		if (!grid_search(&work, s->rows + k * 256, weight, &found))
			continue;
		qc_put_f16(trials, found.d);
		pack(&found, trials);
	}
}

static void iq2_xxs_pack(const struct grid_found *found, uint8_t *dst)
{
	struct qc_block_iq2_xxs *block = (struct qc_block_iq2_xxs *)dst;

	for (int g = 0; g < 8; g++) {
		uint32_t word = (uint32_t)found->s[g] << 28;

		for (int k = 0; k < 4; k++) {
			block->groups[g][k] = (uint8_t)found->code[4 * g + k];
			word |= (uint32_t)(found->signs[4 * g + k] & 127) << (7 * k);
		}
		qc_put_le32(block->groups[g] + 4, word);
	}
}

static void grid_pack_nibbles(const uint8_t *s, int n, uint8_t *scales)
{
	for (int g = 0; g < n; g += 2)
		scales[g / 2] = (uint8_t)(s[g] | s[g + 1] << 4);
}

static void iq2_xs_pack(const struct grid_found *found, uint8_t *dst)
{
	struct qc_block_iq2_xs *block = (struct qc_block_iq2_xs *)dst;

	grid_pack_nibbles(found->s, 16, block->scales);
	for (int j = 0; j < 32; j++)
		qc_put_le16(block->q[j], (uint16_t)(found->code[j] | (found->signs[j] & 127) << 9));
}

static void iq2_s_pack(const struct grid_found *found, uint8_t *dst)
{
	struct qc_block_iq2_s *block = (struct qc_block_iq2_s *)dst;

	grid_pack_nibbles(found->s, 16, block->scales);
	for (int j = 0; j < 32; j++) {
		block->q[j] = (uint8_t)found->code[j];
		block->signs[j] = found->signs[j];
		block->high[j / 4] |= (uint8_t)(found->code[j] >> 8 << (j % 4 * 2));
	}
}

static void iq3_xxs_pack(const struct grid_found *found, uint8_t *dst)
{
	struct qc_block_iq3_xxs *block = (struct qc_block_iq3_xxs *)dst;

	for (int g = 0; g < 8; g++) {
		uint32_t word = (uint32_t)found->s[g] << 28;

		for (int k = 0; k < 4; k++)
			word |= (uint32_t)(found->signs[4 * g + k] & 127) << (7 * k);
		qc_put_le32(block->words[g], word);
	}
	for (int j = 0; j < 64; j++)
		block->q[j] = (uint8_t)found->code[j];
}

static void iq3_s_pack(const struct grid_found *found, uint8_t *dst)
{
	struct qc_block_iq3_s *block = (struct qc_block_iq3_s *)dst;

	grid_pack_nibbles(found->s, 8, block->scales);
	memcpy(block->signs, found->signs, sizeof(block->signs));
	for (int j = 0; j < 64; j++) {
		block->q[j] = (uint8_t)found->code[j];
		block->high[j / 8] |= (uint8_t)(found->code[j] >> 8 << (j % 8));
	}
}

static void iq2_xxs_propose(const struct super *s, size_t count, uint8_t *trials)
{
	grid_propose(s, count, &iq2_xxs_shape, iq2_xxs_pack, sizeof(struct qc_block_iq2_xxs),
		     trials);
}

static void iq2_xxs_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq2_xxs, iq2_xxs_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void iq2_xs_propose(const struct super *s, size_t count, uint8_t *trials)
{
	grid_propose(s, count, &iq2_xs_shape, iq2_xs_pack, sizeof(struct qc_block_iq2_xs), trials);
}

static void iq2_xs_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq2_xs, iq2_xs_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void iq2_s_propose(const struct super *s, size_t count, uint8_t *trials)
{
	grid_propose(s, count, &iq2_s_shape, iq2_s_pack, sizeof(struct qc_block_iq2_s), trials);
}

static void iq2_s_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq2_s, iq2_s_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void iq3_xxs_propose(const struct super *s, size_t count, uint8_t *trials)
{
	grid_propose(s, count, &iq3_xxs_shape, iq3_xxs_pack, sizeof(struct qc_block_iq3_xxs),
		     trials);
}

static void iq3_xxs_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq3_xxs, iq3_xxs_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void iq3_s_propose(const struct super *s, size_t count, uint8_t *trials)
{
	grid_propose(s, count, &iq3_s_shape, iq3_s_pack, sizeof(struct qc_block_iq3_s), trials);
}

static void iq3_s_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq3_s, iq3_s_propose, SUPER_FLAT, x, dst, rows, cols, weight);
}

static void iq1_s_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_iq1_s *block = (struct qc_block_iq1_s *)trials;
	struct ternary_work work;
	struct ternary_start start;
	struct ternary_found found;
	float weight[256];

	work.shape = &iq1_s_shape;
	work.moved_alone = false;
	work.weight = weight;
	ternary_begin(s, work.shape, work.moved_alone, &start);
	memset(trials, 0, count * sizeof(*block));
	for (size_t k = 0; k < count; k++, block++) {
		grid_weights(s, k, weight);
		work.x = s->rows + k * 256;
		if (!ternary_search(&work, &start, k, &found))
			continue;
		qc_put_f16(block->d, found.d);
		for (int g = 0; g < 8; g++) {
			unsigned down = found.point[4 * g] / TERNARY_GRID;
			unsigned word = (unsigned)found.s[g] << 12 | down << 15;

			for (int i = 0; i < 4; i++) {
				unsigned code = found.point[4 * g + i] % TERNARY_GRID;

				block->q[4 * g + i] = (uint8_t)code;
				word |= code >> 8 << (3 * i);
			}
			qc_put_le16(block->words[g], (uint16_t)word);
		}
	}
}

static void iq1_m_propose(const struct super *s, size_t count, uint8_t *trials)
{
	struct qc_block_iq1_m *block = (struct qc_block_iq1_m *)trials;
	struct ternary_work work;
	struct ternary_start start;
	struct ternary_found found;
	float weight[256];

	work.shape = &iq1_m_shape;
	work.moved_alone = true;
	work.weight = weight;
	ternary_begin(s, work.shape, work.moved_alone, &start);
	memset(trials, 0, count * sizeof(*block));
	for (size_t k = 0; k < count; k++, block++) {
		unsigned d;

		grid_weights(s, k, weight);
		work.x = s->rows + k * 256;
		if (!ternary_search(&work, &start, k, &found))
			continue;
		d = qc_f32_to_f16(found.d);
		for (int i = 0; i < 4; i++) {
			const uint8_t *scale = found.s + 4 * i;

			qc_put_le16(block->scales[i],
				    (uint16_t)(scale[0] | scale[1] << 3 | scale[2] << 6 |
					       scale[3] << 9 | (d >> (4 * i) & 15) << 12));
		}
		for (int j = 0; j < 32; j++) {
			/* the bit above the code's says that the point is moved down */
			unsigned point = found.point[j];

			block->q[j] = (uint8_t)point;
			block->high[j / 2] |= (uint8_t)(point >> 8 << (j % 2 * 4));
		}
	}
}

static void iq1_s_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq1_s, iq1_s_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

static void iq1_m_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	super_run(&qc_iq1_m, iq1_m_propose, SUPER_STEEP, x, dst, rows, cols, weight);
}

#endif

/* Points of the iq types, and where their codes stand in a block. */
#include "quant/points.h"

#include <string.h>

#include "base/bytes.h"
#include "quant/blocks.h"
#include "quant/grid.h"
#include "quant/iq_search.h"
#include "quant/types.h"

static const float ternary_levels[4] = {-1, 0, 1, 0};

static void iq1_s_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq1_s *block = (struct qc_block_iq1_s *)dst;

	(void)signs;
	for (int g = 0; g < 8; g++) {
		unsigned word = qc_le16(block->words[g]) & 0xf000;

		for (int k = 0; k < 4; k++) {
			block->q[4 * g + k] = (uint8_t)codes[4 * g + k];
			word |= (unsigned)codes[4 * g + k] >> 8 << (3 * k);
		}
		qc_put_le16(block->words[g], (uint16_t)word);
	}
}

static void iq1_m_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq1_m *block = (struct qc_block_iq1_m *)dst;

	(void)signs;
	for (int j = 0; j < 32; j += 2) {
		block->q[j] = (uint8_t)codes[j];
		block->q[j + 1] = (uint8_t)codes[j + 1];
		block->high[j / 2] = (uint8_t)((block->high[j / 2] & 0x88) | codes[j] >> 8 |
					       codes[j + 1] >> 8 << 4);
	}
}

/* The signs of 32 elements behind the scale in the upper four bits. */
static uint32_t signs_word(uint32_t old, const uint8_t *signs)
{
	uint32_t word = old & 0xf0000000;

	for (int k = 0; k < 4; k++)
		word |= (uint32_t)(signs[k] & 127) << (7 * k);
	return word;
}

static void iq2_xxs_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq2_xxs *block = (struct qc_block_iq2_xxs *)dst;

	for (int g = 0; g < 8; g++) {
		uint8_t *word = block->groups[g] + 4;

		for (int k = 0; k < 4; k++)
			block->groups[g][k] = (uint8_t)codes[4 * g + k];
		qc_put_le32(word, signs_word(qc_le32(word), signs + 4 * g));
	}
}

static void iq2_xs_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq2_xs *block = (struct qc_block_iq2_xs *)dst;

	for (int j = 0; j < 32; j++)
		qc_put_le16(block->q[j], (uint16_t)(codes[j] | (signs[j] & 127) << 9));
}

static void iq2_s_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq2_s *block = (struct qc_block_iq2_s *)dst;

	memset(block->high, 0, sizeof(block->high));
	for (int j = 0; j < 32; j++) {
		block->q[j] = (uint8_t)codes[j];
		block->signs[j] = signs[j];
		block->high[j / 4] |= (uint8_t)(codes[j] >> 8 << (j % 4 * 2));
	}
}

static void iq3_xxs_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq3_xxs *block = (struct qc_block_iq3_xxs *)dst;

	for (int g = 0; g < 8; g++)
		qc_put_le32(block->words[g], signs_word(qc_le32(block->words[g]), signs + 4 * g));
	for (int j = 0; j < 64; j++)
		block->q[j] = (uint8_t)codes[j];
}

static void iq3_s_put(uint8_t *dst, const uint16_t *codes, const uint8_t *signs)
{
	struct qc_block_iq3_s *block = (struct qc_block_iq3_s *)dst;

	memcpy(block->signs, signs, sizeof(block->signs));
	memset(block->high, 0, sizeof(block->high));
	for (int j = 0; j < 64; j++) {
		block->q[j] = (uint8_t)codes[j];
		block->high[j / 8] |= (uint8_t)(codes[j] >> 8 << (j % 8));
	}
}

void qc_points_scales(const struct qc_points *points, const struct qc_qtype *type,
		      const uint8_t *block, float scale[QC_OCTETS], float offset[QC_OCTETS])
{
	const struct qc_iq_grid *grid = points->grid;
	const int last = grid->dims - 1;
	/* codes ascend with the last coordinate */
	const uint16_t top = (uint16_t)(grid->size - 1);
	const float low = points->levels[qc_iq_level(grid->points[0], last, grid->bits)];
	const float high = points->levels[qc_iq_level(grid->points[top], last, grid->bits)];
	uint8_t trial[QC_GRID_BYTES], signs[QC_OCTETS] = {0};
	uint16_t codes[2 * QC_OCTETS] = {0};
	float at_low[256], at_high[256];

	/* decoding is the only definition of what a block means */
	memcpy(trial, block, type->block_bytes);
	points->put(trial, codes, signs);
	type->dequantize(trial, at_low, 1);
	for (int i = 0; i < 2 * QC_OCTETS; i++)
		codes[i] = top;
	points->put(trial, codes, signs);
	type->dequantize(trial, at_high, 1);
	for (int k = 0; k < QC_OCTETS; k++) {
		const float a = at_low[8 * k + last], b = at_high[8 * k + last];

		scale[k] = (b - a) / (high - low);
		offset[k] = points->signs == QC_SIGNS_NONE ? a - scale[k] * low : 0;
	}
}

const struct qc_points qc_points_iq1_s = {&qc_grid_iq1, ternary_levels, QC_SIGNS_NONE, iq1_s_put};
const struct qc_points qc_points_iq1_m = {&qc_grid_iq1, ternary_levels, QC_SIGNS_NONE, iq1_m_put};
const struct qc_points qc_points_iq2_xxs = {&qc_grid_iq2_xxs, qc_iq2_levels, QC_SIGNS_EVEN,
					    iq2_xxs_put};
const struct qc_points qc_points_iq2_xs = {&qc_grid_iq2_xs, qc_iq2_levels, QC_SIGNS_EVEN,
					   iq2_xs_put};
const struct qc_points qc_points_iq2_s = {&qc_grid_iq2_s, qc_iq2_levels, QC_SIGNS_FREE, iq2_s_put};
const struct qc_points qc_points_iq3_xxs = {&qc_grid_iq3_xxs, qc_iq3_xxs_levels, QC_SIGNS_EVEN,
					    iq3_xxs_put};
const struct qc_points qc_points_iq3_s = {&qc_grid_iq3_s, qc_iq3_s_levels, QC_SIGNS_FREE,
					  iq3_s_put};

/* Grids of the ternary types and of those whose codes are points. */
#include "quant/grid_types.h"

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/types.h"

static const float from_minus_1[4] = {-1, 0, 1, 2};

static void tq1_0_put(uint8_t *block, const uint8_t *numbers)
{
	qc_tq1_0_pack(numbers, (struct qc_block_tq1_0 *)block);
}

static void tq1_0_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	(void)group;
	(void)offset;
	qc_grid_set_f16(((struct qc_block_tq1_0 *)block)->d, scale);
}

static void tq2_0_put(uint8_t *block, const uint8_t *numbers)
{
	qc_pack_pairs256(numbers, ((struct qc_block_tq2_0 *)block)->q);
}

static void tq2_0_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	(void)group;
	(void)offset;
	qc_grid_set_f16(((struct qc_block_tq2_0 *)block)->d, scale);
}

static void q2_0_put(uint8_t *block, const uint8_t *numbers)
{
	qc_q2_0_pack(numbers, (struct qc_block_q2_0 *)block);
}

static void q2_0_set(uint8_t *block, uint32_t group, float scale, float offset)
{
	(void)group;
	(void)offset;
	qc_grid_set_f16(((struct qc_block_q2_0 *)block)->d, scale);
}

const struct qc_grid qc_grid_tq1_0 = {
	.type = &qc_tq1_0,
	.group = 256,
	.n_levels = 3,
	.levels = from_minus_1,
	.put = tq1_0_put,
	.set = tq1_0_set,
};

const struct qc_grid qc_grid_tq2_0 = {
	.type = &qc_tq2_0,
	.group = 256,
	.n_levels = 3,
	.levels = from_minus_1,
	.put = tq2_0_put,
	.set = tq2_0_set,
};

const struct qc_grid qc_grid_q2_0 = {
	.type = &qc_q2_0,
	.group = 64,
	.n_levels = 4,
	.levels = from_minus_1,
	.put = q2_0_put,
	.set = q2_0_set,
};

const struct qc_grid qc_points_of_iq1_s = {.type = &qc_iq1_s, .points = &qc_points_iq1_s};
const struct qc_grid qc_points_of_iq1_m = {.type = &qc_iq1_m, .points = &qc_points_iq1_m};
const struct qc_grid qc_points_of_iq2_xxs = {.type = &qc_iq2_xxs, .points = &qc_points_iq2_xxs};
const struct qc_grid qc_points_of_iq2_xs = {.type = &qc_iq2_xs, .points = &qc_points_iq2_xs};
const struct qc_grid qc_points_of_iq2_s = {.type = &qc_iq2_s, .points = &qc_points_iq2_s};
const struct qc_grid qc_points_of_iq3_xxs = {.type = &qc_iq3_xxs, .points = &qc_points_iq3_xxs};
const struct qc_grid qc_points_of_iq3_s = {.type = &qc_iq3_s, .points = &qc_points_iq3_s};

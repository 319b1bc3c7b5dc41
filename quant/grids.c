#include "quant/grid.h"

#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/grid_types.h"
#include "quant/round.h"

const struct qc_grid *const qc_grids[] = {
	&qc_grid_q4_0,
	&qc_grid_q4_1,
	&qc_grid_q5_0,
	&qc_grid_q5_1,
	&qc_grid_q8_0,
	&qc_grid_iq4_nl,
	&qc_grid_mxfp4,
	&qc_grid_nvfp4,
	&qc_grid_q2_K,
	&qc_grid_q3_K,
	&qc_grid_q4_K,
	&qc_grid_q5_K,
	&qc_grid_q6_K,
	&qc_grid_iq4_xs,
	&qc_grid_tq1_0,
	&qc_grid_tq2_0,
	&qc_grid_q2_0,
	&qc_points_of_iq1_s,
	&qc_points_of_iq1_m,
	&qc_points_of_iq2_xxs,
	&qc_points_of_iq2_xs,
	&qc_points_of_iq2_s,
	&qc_points_of_iq3_xxs,
	&qc_points_of_iq3_s,
	NULL,
};

const struct qc_grid *qc_grid_of(const struct qc_qtype *type)
{
	for (const struct qc_grid *const *g = qc_grids; *g; g++)
		if ((*g)->type == type)
			return *g;
	return NULL;
}

void qc_grid_scales(const struct qc_grid *grid, const uint8_t *block, float *scale, float *offset)
{
	const uint32_t n = grid->type->block_elems, top = grid->n_levels - 1;
	uint8_t trial[QC_GRID_BYTES], numbers[QC_GRID_ELEMS];
	float low[QC_GRID_ELEMS], high[QC_GRID_ELEMS];

	/* decoding is the only definition of what a block means */
	memcpy(trial, block, grid->type->block_bytes);
	memset(numbers, 0, n);
	grid->put(trial, numbers);
	grid->type->dequantize(trial, low, 1);
	memset(numbers, (int)top, n);
	grid->put(trial, numbers);
	grid->type->dequantize(trial, high, 1);
	for (uint32_t g = 0; g < n / grid->group; g++) {
		const float a = low[g * grid->group], b = high[g * grid->group];

		scale[g] = (b - a) / (grid->levels[top] - grid->levels[0]);
		offset[g] = grid->has_offset ? a - scale[g] * grid->levels[0] : 0;
	}
}

void qc_grid_set_f16(uint8_t field[2], float x)
{
	uint8_t trial[2];

	qc_put_f16(trial, x);
	if (isfinite(qc_get_f16(trial)))
		memcpy(field, trial, sizeof(trial));
}

uint8_t qc_grid_nearest(const struct qc_grid *grid, float x)
{
	uint32_t low = 0, high = grid->n_levels - 1;

	while (low < high) { /* the first level with x below the middle between it and the next */
		const uint32_t middle = (low + high) / 2;

		if (x <= 0.5f * (grid->levels[middle] + grid->levels[middle + 1]))
			high = middle;
		else
			low = middle + 1;
	}
	return (uint8_t)low;
}

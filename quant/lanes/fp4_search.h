/* The searches of mxfp4 and nvfp4: the reference's blocks, improved row by row. */
#ifndef QC_QUANT_LANES_FP4_SEARCH_H
#define QC_QUANT_LANES_FP4_SEARCH_H

#include "quant/lanes/fp4_kernels.h"
#include "quant/lanes/mxfp4_encode.h"
#include "quant/lanes/nvfp4_encode.h"
#include "quant/lanes/search_e2m1.h"

#ifdef LANES_INLINE

static void mxfp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *row = dst;

	mxfp4_quantize(x, dst, rows, cols, weight);
	if (!weight) { /* rows do not matter */
		cols *= rows;
		rows = 1;
	}
	for (; rows > 0; rows--, x += cols, row += cols / 32 * sizeof(struct qc_block_mxfp4))
		improve_blocks(x, cols, weight, true, row, row);
}

static void nvfp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_e4m3_scales scales;
	uint8_t *row = dst;

	qc_e4m3_scales_init(&scales, 1);
	nvfp4_quantize(x, dst, rows, cols, weight);
	if (!weight) {
		cols *= rows;
		rows = 1;
	}
	for (; rows > 0; rows--, x += cols, row += cols / 64 * sizeof(struct qc_block_nvfp4))
		improve_groups(x, cols, weight, &scales, true, row, row);
}

#endif
#endif

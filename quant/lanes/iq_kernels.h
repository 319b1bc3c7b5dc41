/* The types whose codes are points of a grid: their searches with the parts of iq_search.h in
 * lanes. */
#ifndef QC_QUANT_LANES_IQ_KERNELS_H
#define QC_QUANT_LANES_IQ_KERNELS_H

#include "quant/lanes/affine_search.h"
#include "quant/lanes/iq1_cuts.h"
#include "quant/lanes/iq_nearest.h"
#include "quant/lanes/iq_steps.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/types.h"

static void iq_roots(const float *weight, float *root)
{
	for (int i = 0; i < 256; i += LANES)
		lanes_store(root + i, lanes_sqrt(lanes_load(weight + i)));
}

/* A group in each lane; zeros in those behind the last. */
static void iq_fit_ranges(const float *x, const float *weight, int nmax, float scale[8])
{
	enum { GROUPS = LANES < 8 ? 8 : LANES };
	float values[GROUPS * 32] = {0}, weights[GROUPS * 32] = {0}, out[GROUPS];

	memcpy(values, x, 256 * sizeof(*x));
	memcpy(weights, weight, 256 * sizeof(*weight));
	for (int k = 0; k < GROUPS; k += LANES) {
		struct scales_groups g = {.n = 32};

		lanes_columns(values + 32 * k, 32, g.x);
		lanes_columns(weights + 32 * k, 32, g.weight);
		lanes_store(out + k, scales_search(&g, nmax));
	}
	memcpy(scale, out, 8 * sizeof(*scale));
}

static const struct qc_iq_kernel iq_kernel = {
	.roots = iq_roots,
	.fit_ranges = iq_fit_ranges,
	.try_scales = iq_try_scales,
	.nearest8 = iq_nearest8,
	.nearest4 = iq_nearest4,
	.sort = iq1_sort,
	.cut32 = iq1_cut32,
	.cut16 = iq1_cut16,
};

static void iq2_xxs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			     const float *weight)
{
	qc_iq_quantize(&qc_iq2_xxs, qc_iq2_xxs_encode, &iq_kernel, x, dst, rows, cols, weight);
}

static void iq2_xs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight)
{
	qc_iq_quantize(&qc_iq2_xs, qc_iq2_xs_encode, &iq_kernel, x, dst, rows, cols, weight);
}

static void iq2_s_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq2_s, qc_iq2_s_encode, &iq_kernel, x, dst, rows, cols, weight);
}

static void iq3_xxs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			     const float *weight)
{
	qc_iq_quantize(&qc_iq3_xxs, qc_iq3_xxs_encode, &iq_kernel, x, dst, rows, cols, weight);
}

static void iq3_s_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq3_s, qc_iq3_s_encode, &iq_kernel, x, dst, rows, cols, weight);
}

static void iq1_s_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq1_s, qc_iq1_s_encode, &iq_kernel, x, dst, rows, cols, weight);
}

static void iq1_m_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq1_m, qc_iq1_m_encode, &iq_kernel, x, dst, rows, cols, weight);
}

#endif
#endif

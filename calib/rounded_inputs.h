/*
 * What a kernel with quantized activations sees of the input of a matrix product.
 *
 *   nvfp4   groups of 16 of a row:  s = E4M3(amax / 6 / g),  x' = E2M1(x / (s g)) s g
 *           (vLLM's scaled_fp4_quant; g is the weight's input_scale)
 *   fp8     x' = E4M3(x / g) g
 *
 * E4M3 and E2M1 round to the nearest, ties to even, and saturate. An input_scale is ModelOpt's for
 * NVFP4, the largest magnitude of a calibration / (6 * 448); fp8 takes 6 times that. Without one g
 * is each row's (token's) own, by its largest magnitude, which is what vLLM does for FP8 that is
 * not calibrated: per token, so that a result does not depend on what else is computed with it.
 */
#ifndef QC_CALIB_ROUNDED_INPUTS_H
#define QC_CALIB_ROUNDED_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

enum qc_inputs {
	QC_INPUTS_F32 = 0, /* as they are */
	QC_INPUTS_NVFP4,
	QC_INPUTS_FP8,
};

/* "nvfp4" or "fp8"; false when it is neither. */
bool qc_inputs_find(const char *name, enum qc_inputs *inputs);

/* y[rows, cols] = what is seen of x; `scale` 0: of each row's own. Values that are not finite stay
 * so. The last group of nvfp4 may be shorter. */
void qc_round_inputs(enum qc_inputs inputs, const float *x, size_t rows, size_t cols, float scale,
		     float *y, int threads);

#endif

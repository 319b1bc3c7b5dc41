/*
 * NVFP4 as Hugging Face checkpoints store it: packed codes, a scale a group of 16, a tensor scale.
 *
 *   codes    [rows, cols / 2]   two E2M1 codes a byte, the even element in the low nibble
 *   scales   [rows, cols / 16]  E4M3
 *   value = E2M1(code) * what the group's scale means under the tensor scale
 *
 * Two producers with their own roundings: NVIDIA's ModelOpt (a multiplier, weight_scale_2) and
 * compressed-tensors (a divisor, weight_global_scale).
 */
#ifndef QC_QUANT_NVFP4_PACK_H
#define QC_QUANT_NVFP4_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"
#include "quant/search_fp4.h"

enum { QC_NVFP4_GROUP = 16 };

/*
 * Largest group scale that the tensor scale leaves room for: the producers', and that of
 * "four over six", where the group with the tensor's largest value may still map it to 4. With the
 * first a search is never worse than the producer's bytes on any group; with the second its grid of
 * scales is another one.
 */
#define QC_NVFP4_RANGE		448.0f
#define QC_NVFP4_RANGE_4_OVER_6 256.0f

struct qc_nvfp4_producer {
	const char *name;
	/*
	 * The tensor scale, as stored, for the largest magnitude of the tensor (or of all that must
	 * share it). `bf16`: the weights are bf16, in which compressed-tensors then computes; f16
	 * weights count as f32 (in f16 its divisor would be infinite for most tensors). Where
	 * ModelOpt would store 0, and NaN scales below it (a tensor of zeros), it is 1.
	 */
	float (*tensor_scale)(float amax, float range, bool bf16);
	/* n values (a multiple of 16) to n / 2 code bytes and n / 16 scales: the producer's bytes.
	 */
	void (*encode)(const float *x, size_t n, float tensor_scale, bool bf16, uint8_t *codes,
		       uint8_t *scales);
	/* What the scale codes mean. */
	void (*meaning)(float tensor_scale, struct qc_e4m3_scales *scales);
	bool divides; /* by the tensor scale: compressed-tensors; false: ModelOpt */
};

extern const struct qc_nvfp4_producer qc_nvfp4_modelopt, qc_nvfp4_compressed_tensors;

/*
 * The multiplier that a divisor stands for, and the reverse. Neighbouring floats may share a
 * reciprocal, so that rounding alone would not lead back: of the floats within two steps of the
 * reciprocal one is taken that a producer writes for 16-bit weights (amax / 2688, its reciprocal in
 * two roundings, or that in bf16: few floats are any of these), else for a divisor one that leads
 * back, else the nearest. Positive finite numbers with finite reciprocals.
 */
float qc_nvfp4_multiplier(float divisor);
float qc_nvfp4_divisor(float multiplier);

/*
 * encode(), or in ggml's blocks of 64 (`in_blocks`; n is a multiple of 64, `scales` and `codes`
 * both name the first block's first byte: see qc_group_scale()). `tensor_scale` is finite and above
 * zero. The bytes do not depend on `isa`, the speed does.
 */
void qc_nvfp4_encode(const struct qc_nvfp4_producer *producer, const float *x, size_t n,
		     float tensor_scale, bool bf16, bool in_blocks, uint8_t *scales, uint8_t *codes,
		     enum qc_isa isa);

/* A variant: of the producer that multiplies or divides. */
typedef void qc_nvfp4_encode_fn(bool divides, const float *x, size_t n, float tensor_scale,
				bool bf16, bool in_blocks, uint8_t *scales, uint8_t *codes);

/* encode(), then better scales and codes where a group's squared error (weighted by n importance
 * values, or NULL) gets smaller. The bytes do not depend on `isa`, the speed does. */
void qc_nvfp4_search(const struct qc_nvfp4_producer *producer, const float *x, size_t n,
		     const float *weight, float tensor_scale, bool bf16, uint8_t *codes,
		     uint8_t *scales, enum qc_isa isa);

#endif

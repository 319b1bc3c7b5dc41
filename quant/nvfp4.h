/*
 * nvfp4 blocks under a tensor scale: what a GGUF file with a `.scale` tensor beside the weight
 * holds. Values are the type's decoded ones times the scale; the scale comes from
 * qc_nvfp4_modelopt.tensor_scale() (quant/nvfp4_pack.h).
 */
#ifndef QC_QUANT_NVFP4_H
#define QC_QUANT_NVFP4_H

#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"

/* ModelOpt's block scales and codes in the blocks of qc_nvfp4; rows, cols (a multiple of 64) and
 * dst as qc_quantize_fn has them. */
void qc_nvfp4_quantize_scaled(const float *x, void *dst, size_t rows, size_t cols,
			      float tensor_scale);

/* The same; the bytes do not depend on `isa`, the speed does. */
void qc_nvfp4_encode_scaled(const float *x, void *dst, size_t rows, size_t cols, float tensor_scale,
			    enum qc_isa isa);

/* The same with a smaller squared error; `weight` is cols importance weights or NULL. The bytes do
 * not depend on `isa`, the speed does. */
void qc_nvfp4_search_scaled(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight, float tensor_scale, enum qc_isa isa);

/* One block of 64 from and to a row's codes (32 bytes, the even element in the low nibble, as
 * Hugging Face layouts have them) and 4 scales; nothing is rounded. Bit 7 of a scale, which ggml
 * ignores, is cleared on packing. */
void qc_nvfp4_from_pairs(const uint8_t codes[32], const uint8_t scales[4], void *block);
void qc_nvfp4_to_pairs(const void *block, uint8_t codes[32], uint8_t scales[4]);

#endif

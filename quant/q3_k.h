/* The 6-bit scales of q3_K, for the scalar codec and its SIMD variants. */
#ifndef QC_QUANT_Q3_K_H
#define QC_QUANT_Q3_K_H

#include <stdint.h>

#include "quant/blocks.h"

/* Code 16 scales as 32 + scale / d in 0..63, d from the one of largest magnitude; returns d. All 0
 * when they are. Beyond the range codes wrap, as ggml's. */
float qc_q3_K_code_scales(const float scale[16], uint8_t codes[16]);

/* Pack 16 codes as the block holds them. */
void qc_q3_K_pack_scales(const uint8_t codes[16], uint8_t packed[12]);

/* The codes less 32, which multiply d. */
void qc_q3_K_scales(const struct qc_block_q3_K *block, int8_t scales[16]);

#endif

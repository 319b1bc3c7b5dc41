/*
 * mxfp4 blocks as nvfp4 blocks: the same codes, for the same values.
 *
 * An exponent becomes the group scale of two groups. E4M3 has the powers of two from 2^-9 to 2^8:
 * under a tensor scale of 2^(largest - 127 - 8), largest being the largest exponent code that any
 * of the blocks has, eighteen exponents can be kept.
 */
#ifndef QC_QUANT_MXFP4_TO_NVFP4_H
#define QC_QUANT_MXFP4_TO_NVFP4_H

#include <stddef.h>
#include <stdint.h>

enum {
	QC_MX_NO_EXPONENT = 255, /* of a block of zeros: any scale will do */
	QC_MX_KEPT = 18,	 /* exponents largest - 17 .. largest are kept */
	QC_MX_UNSCALED = 127 + 8,
};

/* The exponent codes of n consecutive mxfp4 blocks. */
void qc_mxfp4_exponents(const void *blocks, size_t n, uint8_t *exponents);

/* The tensor scale when `largest` (at most 254) is the largest exponent code. */
float qc_mxfp4_tensor_scale(uint8_t largest);

/* n nvfp4 blocks of 2 n mxfp4 blocks. Blocks with exponents that cannot be kept are rounded to the
 * smallest scale, ties to even, or cut off at the largest. */
void qc_nvfp4_from_mxfp4(const void *mxfp4, size_t n, uint8_t largest, void *nvfp4);

#endif

/*
 * bitsandbytes' blocks of 64 as blocks of our own: the form in which calibrated rows wait for being
 * packed (convert/tune_plan.c). Little-endian; never in an output.
 *
 *   absmax f32 | nested f32 | code u8 | 32 bytes of codes, the even element in the high nibble
 *
 *   value = map[code] * absmax
 *
 * `nested` and `code` are what double quantization made of absmax: see qc_bnb4_nest().
 */
#ifndef QC_QUANT_BNB_BLOCK_H
#define QC_QUANT_BNB_BLOCK_H

#include "quant/bnb.h"
#include "quant/grid.h"

struct qc_block_bnb4 {
	uint8_t absmax[4], nested[4];
	uint8_t code;
	uint8_t q[32];
};

extern const struct qc_qtype qc_nf4_block, qc_fp4_block;
extern const struct qc_grid qc_grid_nf4, qc_grid_fp4;

/* Double quantization of the absmax of all `n` blocks of a weight: absmax becomes what it decodes
 * to. Returns the offset. */
float qc_bnb4_nest(struct qc_block_bnb4 *blocks, size_t n);

#endif

/*
 * bitsandbytes weights to floats: the arithmetic of bitsandbytes' own dequantization, every
 * operation rounded to f32 (csrc/cpu_ops.cpp: dequantizeBlockwise4bitCpu and
 * dequantizeBlockwise8bitCpu; functional.py: dequantize_4bit; _ops.py: int8_vectorwise_dequant).
 */
#ifndef QC_QUANT_BNB_DECODE_H
#define QC_QUANT_BNB_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"

/* dst[2i] = map[codes[i] >> 4] * scale, dst[2i + 1] = map[codes[i] & 15] * scale for i < n_bytes.
 */
typedef void qc_bnb4_pairs_fn(const uint8_t *codes, size_t n_bytes, float scale,
			      const float map[16], float *dst);

/* The definition, and the fastest equal one at a level up to `isa` (fast_search.c). */
void qc_bnb4_pairs(const uint8_t *codes, size_t n_bytes, float scale, const float map[16],
		   float *dst);
qc_bnb4_pairs_fn *qc_bnb4_pairs_for(enum qc_isa isa);

/* Elements [first, first + n) of a 4-bit weight whose blocks have `block_elems` (even) elements:
 * element e is map[its code] * absmax[its block]. `codes` begins with the byte that holds element
 * `first`, `absmax` with the block that it lies in. */
void qc_bnb4_decode(const uint8_t *codes, const float *absmax, uint64_t first, size_t n,
		    uint32_t block_elems, const float map[16], qc_bnb4_pairs_fn *pairs, float *dst);

/* Double quantization: absmax [first, first + n) is map[code] * nested_absmax[its group] + offset,
 * groups of `group` of them. `nested_absmax` begins with the group of absmax `first`. */
void qc_bnb_decode_absmax(const uint8_t *codes, const float *nested_absmax, uint64_t first,
			  size_t n, uint32_t group, const float map[256], float offset, float *dst);

/* LLM.int8: dst[i] = q[i] * row_absmax * (1/127), two rounded products; q is two's complement. */
void qc_bnb8_decode(const uint8_t *q, size_t n, float row_absmax, float *dst);

#endif

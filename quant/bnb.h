/*
 * bitsandbytes' 4-bit encodings (nf4, fp4) and the 8-bit one of their block scales, encoded with
 * the arithmetic of bitsandbytes' CPU paths. Decoding is in quant/bnb_decode.h.
 *
 * A weight is a flat run of values, row after row; blocks run across the ends of rows, and the last
 * one may be short. 16-bit weights are widened to f32 first.
 */
#ifndef QC_QUANT_BNB_H
#define QC_QUANT_BNB_H

#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"

struct qc_bnb4_kind {
	const char *name;	 /* "nf4", "fp4" */
	const float map[16];	 /* what each code means, times the block's absmax: quant_map */
	const uint8_t order[16]; /* the codes by ascending value */
};

extern const struct qc_bnb4_kind qc_bnb_nf4, qc_bnb_fp4;

/* The dynamic 8-bit map (nested_quant_map): ascending, -0.99296874 .. 1, zero at 127. */
extern const float qc_bnb_dynamic_map[256];

/* A group of absmax under double quantization. */
enum { QC_BNB_NESTED = 256 };

/*
 * `n` values that begin a block, in blocks of `block_elems` (even). packed gets (n + 1) / 2 bytes,
 * the even element in the high nibble, an odd end filled with the code of 0; absmax one value per
 * block. A short block (only the weight's last may be one) is divided by its absmax, full ones are
 * multiplied by its reciprocal, and a short block of zeros has absmax 1e-38: as bitsandbytes has
 * it.
 */
typedef void qc_bnb4_encode_fn(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			       size_t block_elems, uint8_t *packed, float *absmax);
qc_bnb4_encode_fn qc_bnb4_encode;

/*
 * Double quantization. offset = qc_bnb_mean(all absmax of the weight); then nested_absmax, one
 * value for each group of 256, and 8-bit codes of (absmax - offset) / nested_absmax. The python
 * rule finds the nearest entry of the map (what PyTorch and, but for groups of zeros, CUDA give),
 * the C++ one looks up 65536 bins (what bitsandbytes' CPU library gives). n absmax that begin a
 * group; only the weight's last group may be short.
 */
typedef void qc_bnb8_encode_fn(const float *absmax, size_t n, float offset, uint8_t *codes,
			       float *nested_absmax);
qc_bnb8_encode_fn qc_bnb8_encode_python, qc_bnb8_encode_cpp;

/*
 * The mean of n floats in the order in which PyTorch's x86 CPU kernel (AVX2) adds them: eight lanes
 * of four interleaved accumulators, each a cascade of four levels. Values are given in any
 * portions, n in all. PyTorch with more than one thread splits runs of 32768 and more differently;
 * the last bit of the mean may then differ.
 */
struct qc_bnb_mean {
	size_t n, given, in_vectors; /* all; so far; those that are added in vectors, 32 a step */
	unsigned level_bits;
	float level[4][4][8]; /* [level][accumulator][lane] */
	float rest[8 * 4];    /* what is left of whole steps */
};
void qc_bnb_mean_init(struct qc_bnb_mean *mean, size_t n);
void qc_bnb_mean_add(struct qc_bnb_mean *mean, const float *x, size_t n);
float qc_bnb_mean_value(struct qc_bnb_mean *mean);

/*
 * Searches (quant/search_bnb.c), of the error of value = map[code] * absmax in f32; `weight` is n
 * importance values or NULL.
 */

/* qc_bnb4_encode(), then another absmax and codes where a block's squared error gets smaller. */
typedef void qc_bnb4_search_fn(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			       size_t block_elems, const float *weight, uint8_t *packed,
			       float *absmax);

/*
 * The same under double quantization: `packed`, `codes` (8 bits a block) and `nested_absmax` are
 * the reference's for these blocks, the first of which begins a group; offset and nested_absmax
 * stay. Another 8-bit code and other 4-bit codes replace the reference's where the block's error,
 * with absmax as it decodes, gets smaller.
 */
typedef void qc_bnb4_search_nested_fn(const struct qc_bnb4_kind *kind, const float *x, size_t n,
				      size_t block_elems, const float *weight, float offset,
				      const float *nested_absmax, uint8_t *packed, uint8_t *codes);

/* The definitions, and the fastest equal ones at a level up to `isa` (fast_search.c). */
qc_bnb4_search_fn qc_bnb4_search;
qc_bnb4_search_nested_fn qc_bnb4_search_nested;
qc_bnb4_encode_fn *qc_bnb4_encode_for(enum qc_isa isa);
qc_bnb4_search_fn *qc_bnb4_search_for(enum qc_isa isa);
qc_bnb4_search_nested_fn *qc_bnb4_search_nested_for(enum qc_isa isa);

#endif

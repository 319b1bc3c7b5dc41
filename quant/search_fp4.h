/* Searches of the scales of E2M1 codes, shared by the blocks of ggml and the in_blockss of Hugging
 * Face.
 */
#ifndef QC_QUANT_SEARCH_FP4_H
#define QC_QUANT_SEARCH_FP4_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/e2m1.h"
#include "quant/fast.h"

/*
 * The scales that a group of 16 E2M1 codes may have: scale[c] is what 1.0 means under E4M3 code
 * c = 0..127 (0x7f is not used), inverse[c] its reciprocal or 0 when that is no number, square[c]
 * the square of the E4M3 value, `unit` what it means under a scale of 1.
 */
struct qc_e4m3_scales {
	float unit, scale[128], inverse[128], square[128];
};

static inline float qc_finite_inverse(float x)
{
	return x != 0 && isfinite(1 / x) ? 1 / x : 0;
}

/* scale[c] = E4M3(c) * unit, or E4M3(c) / divisor. */
void qc_e4m3_scales_init(struct qc_e4m3_scales *scales, float unit);
void qc_e4m3_scales_init_divided(struct qc_e4m3_scales *scales, float divisor);

/* Codes tried beside the one that maps the largest value to 6. */
enum { QC_E4M3_BELOW = 2, QC_E4M3_ABOVE = 6 };

/*
 * Where scales and codes lie: apart, codes in pairs (the even element in the low nibble), or
 * `in_blocks` of ggml (quant/nvfp4.c, quant/mxfp4.c), whose first byte both pointers name then.
 */
static inline uint8_t *qc_group_scale(bool in_blocks, uint8_t *scales, size_t i)
{
	return in_blocks ? scales + i / 4 * 36 + i % 4 : scales + i;
}

static inline uint8_t *qc_group_codes(bool in_blocks, uint8_t *codes, size_t i)
{
	return in_blocks ? codes + i / 4 * 36 + 4 + i % 4 * 8 : codes + 8 * i;
}

/* n = 16 or 32 codes; in blocks element j and j + n / 2 share a byte. */
static inline void qc_group_pack(bool in_blocks, const uint8_t *codes, size_t n, uint8_t *packed)
{
	if (!in_blocks) {
		qc_e2m1_pack(codes, n, packed);
		return;
	}
	for (size_t j = 0; j < n / 2; j++)
		packed[j] = (uint8_t)(codes[j] | codes[j + n / 2] << 4);
}

static inline void qc_group_unpack(bool in_blocks, const uint8_t *packed, size_t n, uint8_t *codes)
{
	if (!in_blocks) {
		qc_e2m1_unpack(packed, n, codes);
		return;
	}
	for (size_t j = 0; j < n / 2; j++) {
		codes[j] = packed[j] & 15;
		codes[j + n / 2] = packed[j] >> 4;
	}
}

/* The same for blocks of 32 under an E8M0 exponent. */
static inline uint8_t *qc_mx_scale(bool in_blocks, uint8_t *scales, size_t i)
{
	return scales + (in_blocks ? 17 * i : i);
}

static inline uint8_t *qc_mx_codes(bool in_blocks, uint8_t *codes, size_t i)
{
	return codes + (in_blocks ? 17 * i + 1 : 16 * i);
}

/*
 * Give n values (a multiple of 16) better E4M3 scales and codes than those in dst, group by group,
 * where there are any: the scales from two codes below to six above the one that maps the group's
 * largest value to 6 (that value may become 4, and the step between 4 and 6 disappear, or be cut
 * off). Values are E2M1 code * scale. `weight` is n importance values or NULL.
 */
typedef void qc_improve_groups_fn(const float *x, size_t n, const float *weight,
				  const struct qc_e4m3_scales *scales, bool in_blocks,
				  uint8_t *dst_scales, uint8_t *dst_codes);

/* Give n values (a multiple of 32) better exponents and codes likewise: the best of three, from one
 * below to one above floor(log2(largest)) - 2. */
typedef void qc_improve_blocks_fn(const float *x, size_t n, const float *weight, bool in_blocks,
				  uint8_t *dst_scales, uint8_t *dst_codes);

/* The definitions, and the fastest equal ones at a level up to `isa` (fast_search.c). */
qc_improve_groups_fn qc_improve_groups;
qc_improve_blocks_fn qc_improve_blocks;
qc_improve_groups_fn *qc_improve_groups_for(enum qc_isa isa);
qc_improve_blocks_fn *qc_improve_blocks_for(enum qc_isa isa);

#endif

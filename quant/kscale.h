/*
 * The scale searches of ggml's quantizers, and the packed 6-bit scales of q4_K and q5_K.
 *
 * Formulas: ggml's make_qx_quants, make_qkx2_quants / make_qkx3_quants and make_qp_quants
 * (ggml-quants.c). All sums are sequential f32, every product and sum rounded by itself: their
 * order decides bytes.
 */
#ifndef QC_QUANT_KSCALE_H
#define QC_QUANT_KSCALE_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/blocks.h"

/* Below this magnitude a group counts as all zero. */
#define QC_GROUP_EPS 1e-15f

/*
 * x ~ scale * l with l in -nmax .. nmax-1, least squares under `weight`: the scale that maps the
 * largest value to -nmax, then eighteen near it. codes[i] = l + nmax; an all-zero group has scale 0
 * and every code 0. Returns the scale (negative when the largest value is positive).
 */
float qc_search_symmetric(const float *x, const float *weight, int n, int nmax, uint8_t *codes);

/* Step k = 0..last of the affine search tries the inverse scale (nmax + first + step * k) / range.
 */
struct qc_affine_grid {
	float first, step;
	int last;
	bool absolute; /* minimise |error|, not its square */
};

/* With importance, for every type: -0.9 and 36 steps of 0.05. */
extern const struct qc_affine_grid qc_grid_weighted;

/* Without, for q2_K (q2_k.c). */
extern const struct qc_affine_grid qc_q2_K_grid;

/* x ~ scale * code - *min for n <= 32 values with codes 0..nmax and *min >= 0, weighted error
 * minimal over the grid. Returns the scale. */
float qc_search_affine(const float *x, const float *weight, int n, int nmax,
		       const struct qc_affine_grid *grid, uint8_t *codes, float *min);

/* x ~ scale * code with codes 0..nmax, for scales of scales (x >= 0 but for rounding); then codes
 * are moved one at a time while that helps. Returns the scale. A negative x may leave a code above
 * nmax (it wraps in 8 bits, as ggml's). */
float qc_search_scales(const float *x, const float *weight, int n, int nmax, uint8_t *codes);

/*
 * A q4_K or q5_K super-block: eight groups of 32, x ~ d * sc * code - dmin * m. `importance` is 256
 * values or NULL; `plain` is the grid used without it. Weighted scales above `limit` are cut (ggml
 * does it for q5_K only, and only wrapped ones are above 63). Fills *out and the 256 codes 0..nmax.
 */
struct qc_kparams {
	int nmax, limit;
	struct qc_affine_grid plain;
};
void qc_fit_affine256(const float *x, const float *importance, const struct qc_kparams *params,
		      struct qc_kscales *out, uint8_t codes[256]);

extern const struct qc_kparams qc_q4_K_params, qc_q5_K_params; /* q4_k.c, q5_k.c */

/* Code n scales (or mins) 0..top linearly from their maximum: x ~ codes * what is returned. A
 * negative x wraps in 8 bits, as ggml's; codes above `limit` are then cut. */
float qc_code_scales(const float *x, int n, int top, int limit, uint8_t *codes);

/*
 * Pack eight scales and eight mins of 6 bits in 12 bytes; byte j, j+4, j+8 for j = 0..3:
 *
 *   bit    7 6   5 4 3 2 1 0
 *   j      s[j+4]>>4 | s[j]
 *   j+4    m[j+4]>>4 | m[j]
 *   j+8    m[j+4]&15 << 4 | s[j+4]&15
 */
void qc_kscales_pack(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]);

/* One scale and its min, j = 0..7. */
static inline void qc_kscales_get(const uint8_t packed[12], int j, uint8_t *scale, uint8_t *min)
{
	if (j < 4) {
		*scale = packed[j] & 63;
		*min = packed[j + 4] & 63;
	} else {
		*scale = (uint8_t)((packed[j + 4] & 15) | packed[j - 4] >> 6 << 4);
		*min = (uint8_t)(packed[j + 4] >> 4 | packed[j] >> 6 << 4);
	}
}

/* What decoding multiplies by and subtracts in each group: d * sc and dmin * m. */
void qc_kscales_decode(const struct qc_kscales *scales, float scale[8], float min[8]);

/* Low nibbles of 256 codes as q4_K and q5_K store them: groups 2p, 2p+1 share bytes 32p..32p+31. */
static inline void qc_pack_nibbles256(const uint8_t codes[256], uint8_t out[128])
{
	for (int j = 0; j < 128; j++) {
		const uint8_t *q = codes + j / 32 * 64 + j % 32;

		out[j] = (uint8_t)((q[0] & 15) | (q[32] & 15) << 4);
	}
}

#endif

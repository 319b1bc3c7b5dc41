/*
 * The searches of quant/search_fp4.c with one group of 16, or block of 32, per lane; codes are made
 * and compared in storage order.
 */
#ifndef QC_QUANT_LANES_SEARCH_E2M1_H
#define QC_QUANT_LANES_SEARCH_E2M1_H

#include "quant/lanes/search_run.h"

#ifdef LANES_INLINE

#include "quant/e4m3.h"
#include "quant/e8m0.h"
#include "quant/search_fp4.h"
#include "quant/lanes/e2m1_lanes.h"

/* The sum of weight * (|x| / scale - its rounding)^2 over n elements. */
LANES_INLINE lanes unit_error(const lanes *magnitude, const lanes *weight, bool weighted, int n,
			      lanes inverse)
{
	lanes sum = lanes_set(0);

	for (int i = 0; i < n; i++) {
		lanes v = magnitude[i] * inverse, rest = v - e2m1_round(v);

		rest *= rest;
		if (weighted)
			rest *= weight[i];
		sum += rest;
	}
	return sum;
}

/* LANES groups of n = 16 or 32 values: magnitudes and weights transposed, and the largest. */
struct e2m1_groups {
	lanes magnitude[32], weight[32];
	float largest[LANES];
	bool weighted;
};

/* `count` groups at x; lanes without one hold zeros. */
static inline void groups_load(struct e2m1_groups *g, const float *x, const float *weight, size_t n,
			       size_t count)
{
	float part[LANES * 32] = {0};
	lanes max = lanes_set(0);

	g->weighted = weight != NULL;
	if (count < LANES)
		x = memcpy(part, x, count * n * sizeof(float));
	for (size_t i = 0; i < n; i += LANES)
		lanes_transpose(x + i, n, g->magnitude + i);
	for (size_t i = 0; i < n; i++) {
		g->magnitude[i] = lanes_abs(g->magnitude[i]);
		max = lanes_max(g->magnitude[i], max);
	}
	lanes_store(g->largest, max);
	if (!weight)
		return;
	if (count < LANES)
		weight = memcpy(part, weight, count * n * sizeof(float));
	for (size_t i = 0; i < n; i += LANES)
		lanes_transpose(weight + i, n, g->weight + i);
}

/* The best E4M3 code of each lane's group; 0 where there is none. */
static inline void groups_search(const struct e2m1_groups *g, const struct qc_e4m3_scales *scales,
				 float best_code[LANES])
{
	float first[LANES];
	lanes best = lanes_set(0), code = lanes_set(0), base;
	lanes_mask none = lanes_eq(best, best);

	for (int k = 0; k < LANES; k++) {
		uint8_t c = qc_f32_to_e4m3_saturated(g->largest[k] / (6 * scales->unit));

		/* far below: no candidate */
		first[k] = g->largest[k] == 0 || c == 0x7f ? -100.0f : (float)c;
	}
	base = lanes_load(first);
	for (int step = -QC_E4M3_BELOW; step <= QC_E4M3_ABOVE; step++) {
		lanes c = base + lanes_set((float)step);
		lanes_int index = lanes_int_clamp(lanes_nearest(c), 0, 127);
		lanes inverse = lanes_gather(scales->inverse, index);
		lanes_mask better = lanes_lt(lanes_set(0), inverse);
		lanes error;

		if (!lanes_any(better))
			continue;
		error = unit_error(g->magnitude, g->weight, g->weighted, 16, inverse) *
			lanes_gather(scales->square, index);
		better = lanes_and(better, lanes_or(none, lanes_lt(error, best)));
		none = lanes_and(none, lanes_not(better));
		best = lanes_select(better, error, best);
		code = lanes_select(better, c, code);
	}
	lanes_store(best_code, code);
}

/* The reference's error and the trial's for one group; trial codes in *codes. */
LANES_INLINE bool group_is_better(const float *x, const float *weight, bytes16 reference,
				  float scale, float trial_scale, float trial_inverse,
				  bytes16 *codes)
{
	float was[16], is[16];
	lanes trial[16 / LANES];

	for (size_t i = 0; i < 16; i += LANES) {
		lanes value, v = lanes_load(x + i);

		value = e2m1_round(lanes_abs(v) * lanes_set(trial_inverse));
		trial[i / LANES] = e2m1_code(value, v);
		lanes_store(is + i, e2m1_signed(value, v) * lanes_set(trial_scale));
	}
	*codes = e2m1_bytes16(trial);
	e2m1_decode16(reference, scale, was);
	return qc_error_below(search_error(x, is, weight, 16), search_error(x, was, weight, 16));
}

static inline void improve_groups(const float *x, size_t n, const float *weight,
				  const struct qc_e4m3_scales *scales, bool in_blocks,
				  uint8_t *dst_scales, uint8_t *dst_codes)
{
	struct e2m1_groups g;
	float best[LANES];

	for (size_t first = 0; first < n / 16; first += LANES) {
		size_t count = n / 16 - first < LANES ? n / 16 - first : LANES;

		groups_load(&g, x + 16 * first, weight ? weight + 16 * first : NULL, 16, count);
		groups_search(&g, scales, best);
		for (size_t k = 0; k < count; k++) {
			size_t i = first + k;
			uint8_t *scale = qc_group_scale(in_blocks, dst_scales, i);
			uint8_t *packed = qc_group_codes(in_blocks, dst_codes, i);
			unsigned c = (unsigned)best[k];
			bytes16 codes;

			if (c && group_is_better(x + 16 * i, weight ? weight + 16 * i : NULL,
						 e2m1_unpack16(packed, in_blocks),
						 scales->scale[*scale & 127], scales->scale[c],
						 scales->inverse[c], &codes)) {
				*scale = (uint8_t)c;
				e2m1_pack16(codes, in_blocks, packed);
			}
		}
	}
}

/* 1 / 2^(e - 127) for e = 0..254 */
static inline float exponent_inverse(int e)
{
	return qc_bits_f32(e == 254 ? 0x00400000 : (uint32_t)(254 - e) << 23);
}

/* The best exponent of each lane's block; -1 for zeros. */
static inline void blocks_search(const struct e2m1_groups *g, float best_exponent[LANES])
{
	float inverse[3][LANES], first[LANES];
	lanes best = lanes_set(0), exponent = lanes_set(-1), base;
	lanes_mask none = lanes_eq(best, best);

	for (int k = 0; k < LANES; k++) {
		int e = -100; /* no candidate */

		if (g->largest[k] > 0)
			e = qc_floor_log2(g->largest[k]) + 125;
		if (g->largest[k] > 0 && e < 0)
			e = 0;
		first[k] = (float)e;
		for (int t = 0; t < 3; t++) {
			int c = e + t - 1;

			inverse[t][k] = c < 0 || c > 254 ? 0 : exponent_inverse(c);
		}
	}
	base = lanes_load(first);
	for (int t = 0; t < 3; t++) {
		lanes scale = lanes_load(inverse[t]), error;
		lanes_mask better = lanes_lt(lanes_set(0), scale);

		error = unit_error(g->magnitude, g->weight, g->weighted, 32, scale) *
			lanes_set(t == 0   ? 0.25f
				  : t == 1 ? 1.0f
					   : 4.0f);
		better = lanes_and(better, lanes_or(none, lanes_lt(error, best)));
		none = lanes_and(none, lanes_not(better));
		best = lanes_select(better, error, best);
		exponent = lanes_select(better, base + lanes_set((float)(t - 1)), exponent);
	}
	lanes_store(best_exponent, exponent);
}

/* As group_is_better(), for a block of 32. */
LANES_INLINE bool block_is_better(const float *x, const float *weight, bytes32 reference,
				  float unit, int e, bytes32 *codes)
{
	float was[32], is[32], trial_unit = qc_e8m0_to_f32((uint8_t)e), inverse = 1 / trial_unit;
	lanes_int trial[32 / LANES];

	for (size_t i = 0; i < 32; i += LANES) {
		lanes v = lanes_load(x + i), value = e2m1_round(lanes_abs(v) * lanes_set(inverse));

		trial[i / LANES] = lanes_nearest(e2m1_code(value, v));
		lanes_store(is + i, e2m1_signed(value, v) * lanes_set(trial_unit));
	}
	*codes = lanes_pack_bytes(trial);
	e2m1_decode16(bytes32_first(reference), unit, was);
	e2m1_decode16(bytes32_last(reference), unit, was + 16);
	return qc_error_below(search_error(x, is, weight, 32), search_error(x, was, weight, 32));
}

static inline void improve_blocks(const float *x, size_t n, const float *weight, bool in_blocks,
				  uint8_t *dst_scales, uint8_t *dst_codes)
{
	struct e2m1_groups g;
	float best[LANES];

	for (size_t first = 0; first < n / 32; first += LANES) {
		size_t count = n / 32 - first < LANES ? n / 32 - first : LANES;

		groups_load(&g, x + 32 * first, weight ? weight + 32 * first : NULL, 32, count);
		blocks_search(&g, best);
		for (size_t k = 0; k < count; k++) {
			size_t i = first + k;
			uint8_t *scale = qc_mx_scale(in_blocks, dst_scales, i);
			uint8_t *packed = qc_mx_codes(in_blocks, dst_codes, i);
			bytes32 codes;

			if (best[k] >= 0 &&
			    block_is_better(x + 32 * i, weight ? weight + 32 * i : NULL,
					    e2m1_unpack32(packed, in_blocks),
					    qc_e8m0_to_f32(*scale), (int)best[k], &codes)) {
				*scale = (uint8_t)best[k];
				e2m1_pack32(codes, in_blocks, packed);
			}
		}
	}
}

#endif
#endif

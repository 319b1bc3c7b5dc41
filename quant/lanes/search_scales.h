/*
 * The search of quant/search_symmetric.c with one block per lane: every sum, product, division and
 * comparison in the definition's order. In blocks of ordinary magnitude (the others propose
 * nothing) what is rounded to a code stays so small that plain rounding is qc_nearest().
 */
#ifndef QC_QUANT_LANES_SEARCH_SCALES_H
#define QC_QUANT_LANES_SEARCH_SCALES_H

#include "quant/lanes/search_run.h"

#ifdef LANES_INLINE

#include "base/bytes.h"
#include "quant/block32.h"
#include "quant/blocks.h"

/* v * weight of element i, in the definition's order when `v` is the other factor of a product that
 * begins with the weight. */
LANES_INLINE lanes search_weigh(const struct search_group *g, int i, lanes v)
{
	if (g->weighted)
		v *= g->weight[i];
	return v;
}

/* A float that is rounded and clamped to a code. */
LANES_INLINE lanes search_code(lanes v, float low, float high)
{
	return lanes_min(lanes_max(lanes_round(v), lanes_set(low)), lanes_set(high));
}

LANES_INLINE lanes_mask search_ordinary(lanes magnitude)
{
	return lanes_and(lanes_lt(lanes_set(QC_SEARCH_SMALLEST), magnitude),
			 lanes_lt(magnitude, lanes_set(QC_SEARCH_LARGEST)));
}

/* The value of largest magnitude, the first of equals. */
LANES_INLINE lanes search_signed_max(const struct search_group *g, lanes *magnitude)
{
	lanes value = lanes_set(0);

	*magnitude = lanes_set(0);
	for (int i = 0; i < SEARCH_BLOCK; i++) {
		lanes m = lanes_abs(g->x[i]);
		lanes_mask larger = lanes_lt(*magnitude, m);

		value = lanes_select(larger, g->x[i], value);
		*magnitude = lanes_select(larger, m, *magnitude);
	}
	return value;
}

/* Lanes of `m` whose block is `scale` times codes. */
LANES_INLINE lanes_mask search_exact(const struct search_group *g,
				     const struct qc_symmetric_range *r, lanes scale, lanes_mask m)
{
	lanes inverse = lanes_set(1) / scale;

	for (int i = 0; i < SEARCH_BLOCK && lanes_any(m); i++) {
		lanes code = search_code(g->x[i] * inverse, (float)r->low, (float)r->high);

		m = lanes_and(m, lanes_eq(code * scale, g->x[i]));
	}
	return m;
}

/* Scales of lanes on a lattice; `found` gets those lanes, of `wanted`. */
LANES_INLINE lanes search_lattice(const struct search_group *g, const struct qc_symmetric_range *r,
				  lanes max, lanes_mask wanted, lanes_mask *found)
{
	lanes result = lanes_set(0);

	*found = lanes_none();
	for (int k = r->lattice; k > 0; k--) {
		lanes scale = max / lanes_set((float)-k);
		lanes_mask m = lanes_and(wanted, lanes_eq(lanes_half(scale), scale));

		m = lanes_and(m, lanes_not(*found));
		if (!lanes_any(m))
			continue;
		m = search_exact(g, r, scale, m);
		result = lanes_select(m, scale, result);
		*found = lanes_or(*found, m);
	}
	return result;
}

struct search_fit {
	lanes inverse, xl, l2;
};

LANES_INLINE void search_fit_add(struct search_fit *f, const struct search_group *g, int i,
				 float low, float high)
{
	lanes l = search_code(f->inverse * g->x[i], low, high);

	f->xl += g->wx[i] * l;
	f->l2 += search_weigh(g, i, l) * l;
}

LANES_INLINE void search_fit_accept(const struct search_fit *f, lanes *best, lanes *scale)
{
	lanes merit = f->xl * f->xl / f->l2;
	lanes_mask better = lanes_lt(*best, merit);

	*best = lanes_select(better, merit, *best);
	*scale = lanes_select(better, f->xl / f->l2, *scale);
}

/* The best scale of each lane as an f16 value; 0 where there is none. */
LANES_INLINE lanes search_symmetric(const struct search_group *g,
				    const struct qc_symmetric_range *r)
{
	lanes magnitude, max = search_signed_max(g, &magnitude), best = lanes_set(0), exact;
	lanes_mask wanted = search_ordinary(magnitude), on_lattice;
	lanes scale = lanes_set(0);

	if (!lanes_any(wanted))
		return scale;
	exact = search_lattice(g, r, max, wanted, &on_lattice);
	/* Two at a time: their chains of additions fill each other's gaps. */
	for (int t = 0; t < r->n_tops; t += 2) {
		struct search_fit a = {lanes_set(r->tops[t]) / max, lanes_set(0), lanes_set(0)};
		struct search_fit b = {lanes_set(r->tops[t + 1]) / max, lanes_set(0), lanes_set(0)};

		for (int i = 0; i < SEARCH_BLOCK; i++) {
			search_fit_add(&a, g, i, (float)r->low, (float)r->high);
			search_fit_add(&b, g, i, (float)r->low, (float)r->high);
		}
		search_fit_accept(&a, &best, &scale);
		search_fit_accept(&b, &best, &scale);
	}
	scale = lanes_select(on_lattice, exact, lanes_half(scale));
	return lanes_select(lanes_and(wanted, search_usable(scale)), scale, lanes_set(0));
}

/* 32 codes (x - m) / d, rounded and clamped, plus `add`. */
LANES_INLINE bytes32 search_round(const float *x, float d, float m, bool has_min, int low, int high,
				  int add)
{
	lanes inverse = lanes_set(1 / d);
	lanes_int code[32 / LANES];

	for (size_t i = 0; i < 32 / LANES; i++) {
		lanes v = lanes_load(x + i * LANES);

		v = has_min ? (v - lanes_set(m)) * inverse : v * inverse;
		code[i] = lanes_int_clamp(lanes_nearest(v), low, high);
		code[i] = lanes_int_add(code[i], add);
	}
	return lanes_pack_bytes(code);
}

/* Code j and j + 16 in byte j. */
LANES_INLINE void search_put_nibbles(bytes32 codes, uint8_t q[16])
{
	codes = bytes32_low4(codes);
	bytes16_store(q, bytes16_nibbles(bytes32_first(codes), bytes32_last(codes)));
}

/* Bit 4 of code j at bit j. */
LANES_INLINE void search_put_fifth(bytes32 codes, uint8_t out[4])
{
	qc_put_le32(out, bytes32_fifth_bits(codes));
}

static unsigned search_q4_0(const struct search_group *g, size_t count, uint8_t *trials)
{
	struct qc_block_q4_0 *block = (struct qc_block_q4_0 *)trials;
	lanes scale = search_symmetric(g, &qc_q4_0_range);
	float d[LANES];

	lanes_store(d, scale);
	for (size_t k = 0; k < count; k++, block++) {
		qc_put_f16(block->d, d[k]);
		search_put_nibbles(search_round(g->rows + 32 * k, d[k], 0, false, -8, 7, 8),
				   block->q);
	}
	return lanes_mask_bits(search_usable(scale));
}

static unsigned search_q5_0(const struct search_group *g, size_t count, uint8_t *trials)
{
	struct qc_block_q5_0 *block = (struct qc_block_q5_0 *)trials;
	lanes scale = search_symmetric(g, &qc_q5_0_range);
	float d[LANES];

	lanes_store(d, scale);
	for (size_t k = 0; k < count; k++, block++) {
		bytes32 codes = search_round(g->rows + 32 * k, d[k], 0, false, -16, 15, 16);

		qc_put_f16(block->d, d[k]);
		search_put_nibbles(codes, block->q);
		search_put_fifth(codes, block->high);
	}
	return lanes_mask_bits(search_usable(scale));
}

static unsigned search_q8_0(const struct search_group *g, size_t count, uint8_t *trials)
{
	struct qc_block_q8_0 *block = (struct qc_block_q8_0 *)trials;
	lanes scale = search_symmetric(g, &qc_q8_0_range);
	float d[LANES];

	lanes_store(d, scale);
	for (size_t k = 0; k < count; k++, block++) {
		/* codes are packed as 0..255: signs come back with the top bit turned */
		bytes32 codes = search_round(g->rows + 32 * k, d[k], 0, false, -127, 127, 128);

		qc_put_f16(block->d, d[k]);
		bytes32_store(block->q, bytes32_flip(codes, 0x80));
	}
	return lanes_mask_bits(search_usable(scale));
}

#endif
#endif

/*
 * qc_bnb4_encode(), and the searches of quant/search_bnb.c: scales with one block per lane, every
 * sum in the definition's order; codes made and compared in storage order.
 */
#ifndef QC_QUANT_LANES_SEARCH_BNB_LANES_H
#define QC_QUANT_LANES_SEARCH_BNB_LANES_H

#include "quant/lanes/search_run.h"

#ifdef LANES_INLINE

#include "quant/bnb.h"
#include "quant/bnb_rank.h"

/* Larger blocks are left to the definition. */
enum { BNB_MAX = 256, BNB_STEP = 16 };

struct bnb_tables {
	const struct qc_bnb4_kind *kind;
	struct qc_bnb4_ranks ranks;
	struct lanes_table bound, value, map;
	bytes16 order;
};

static inline void tables_init(struct bnb_tables *t, const struct qc_bnb4_kind *kind)
{
	float bound[16] = {0};

	t->kind = kind;
	qc_bnb4_ranks_init(&t->ranks, kind);
	memcpy(bound, t->ranks.bound, sizeof(t->ranks.bound));
	t->bound = lanes_table_load(bound);
	t->value = lanes_table_load(t->ranks.value);
	t->map = lanes_table_load(kind->map);
	t->order = bytes16_load(kind->order);
}

/* `rank` + `add` where the bound `ahead` of the rank is below s. */
LANES_INLINE lanes_int rank_step(const struct bnb_tables *t, lanes_int rank, lanes s, int ahead,
				 int add)
{
	lanes bound = lanes_look_up(&t->bound, lanes_int_add(rank, ahead));

	return lanes_int_add_unless(lanes_not(lanes_lt(bound, s)), rank, add);
}

/* qc_bnb4_rank() */
LANES_INLINE lanes_int bnb_rank(const struct bnb_tables *t, lanes s)
{
	lanes_mask upper = lanes_lt(lanes_set(t->ranks.bound[7]), s);
	lanes_int rank = lanes_int_add_unless(lanes_not(upper), lanes_int_set(0), 8);

	rank = rank_step(t, rank, s, 3, 4);
	rank = rank_step(t, rank, s, 1, 2);
	return rank_step(t, rank, s, 0, 1);
}

/* LANES blocks of n values, transposed. */
struct bnb_group {
	size_t n;
	bool weighted;
	lanes x[BNB_MAX], weight[BNB_MAX], wx[BNB_MAX];
};

static void group_load(struct bnb_group *g, const float *x, const float *weight, size_t count)
{
	/* lanes without a block repeat the last one's */
	float part[LANES][BNB_MAX];

	for (size_t at = 0; at < g->n; at += LANES) {
		const float *from = x + at;
		size_t stride = g->n;

		if (count < LANES) {
			for (size_t k = 0; k < LANES; k++)
				memcpy(part[k], x + (k < count ? k : count - 1) * g->n + at,
				       LANES * sizeof(float));
			from = part[0];
			stride = BNB_MAX;
		}
		lanes_transpose(from, stride, g->x + at);
		if (!weight)
			continue;
		from = weight + at;
		if (count < LANES) {
			for (size_t k = 0; k < LANES; k++)
				memcpy(part[k], weight + (k < count ? k : count - 1) * g->n + at,
				       LANES * sizeof(float));
			from = part[0];
		}
		lanes_transpose(from, stride, g->weight + at);
	}
	g->weighted = weight != NULL;
	for (size_t i = 0; i < g->n; i++) {
		g->wx[i] = g->x[i];
		if (weight)
			g->wx[i] *= g->weight[i];
	}
}

/* The best scale of each lane's block; 0 where there is none to propose. */
static void group_scales(const struct bnb_tables *t, const struct bnb_group *g, float out[LANES])
{
	lanes max = lanes_set(0), best = lanes_set(0), scale = lanes_set(0);
	lanes_mask ordinary;

	for (size_t i = 0; i < g->n; i++)
		max = lanes_max(lanes_abs(g->x[i]), max);
	for (int f = 0; f < QC_BNB_FACTORS; f++) {
		lanes inverse = lanes_set(1) / (max * lanes_set(qc_bnb_factors[f]));
		lanes xl = lanes_set(0), l2 = lanes_set(0), merit;
		lanes_mask better;

		for (size_t i = 0; i < g->n; i++) {
			lanes l = lanes_look_up(&t->value, bnb_rank(t, g->x[i] * inverse)), wl = l;

			if (g->weighted)
				wl *= g->weight[i];
			xl += g->wx[i] * l;
			l2 += wl * l;
		}
		merit = xl * xl / l2;
		better = lanes_lt(best, merit);
		best = lanes_select(better, merit, best);
		scale = lanes_select(better, xl / l2, scale);
	}
	ordinary = lanes_and(lanes_lt(lanes_set(QC_SEARCH_SMALLEST), max),
			     lanes_lt(max, lanes_set(QC_SEARCH_LARGEST)));
	ordinary = lanes_and(ordinary, search_usable(scale));
	lanes_store(out, lanes_select(ordinary, scale, lanes_set(0)));
}

/* One block in storage order. */
struct bnb_block {
	const float *x, *weight;
	size_t n;
};

static double nearest_error(const struct bnb_tables *t, const struct bnb_block *b, float absmax)
{
	lanes inverse = lanes_set(1 / absmax);
	float y[BNB_MAX];

	for (size_t i = 0; i < b->n; i += LANES) {
		lanes_int rank = bnb_rank(t, lanes_load(b->x + i) * inverse);

		lanes_store(y + i, lanes_look_up(&t->value, rank) * lanes_set(absmax));
	}
	return search_error(b->x, y, b->weight, b->n);
}

/* Sixteen codes of 8 bytes, the earlier in the high nibble: map[code] * scale. */
LANES_INLINE void bnb_decode16(const struct lanes_table *map, const uint8_t *packed, float scale,
			       float out[16])
{
	bytes16 bytes = bytes16_load8(packed);
	lanes_int index[16 / LANES];

	lanes_widen(bytes16_zip_low(bytes16_high4(bytes), bytes16_low4(bytes)), index);
	for (int i = 0; i < 16 / LANES; i++)
		lanes_store(out + i * LANES, lanes_look_up(map, index[i]) * lanes_set(scale));
}

static double packed_error(const struct bnb_tables *t, const struct bnb_block *b,
			   const uint8_t *packed, float absmax)
{
	float y[BNB_MAX];

	for (size_t i = 0; i < b->n; i += BNB_STEP)
		bnb_decode16(&t->map, packed + i / 2, absmax, y + i);
	return search_error(b->x, y, b->weight, b->n);
}

/* Beyond the table's ends lie ranks as at them: x needs no clamp. */
static void pack_nearest(const struct bnb_tables *t, const struct bnb_block *b, float absmax,
			 uint8_t *packed)
{
	lanes inverse = lanes_set(1 / absmax);

	for (size_t i = 0; i < b->n; i += BNB_STEP) {
		lanes_int rank[BNB_STEP / LANES];
		bytes16 codes;

		for (size_t k = 0; k < BNB_STEP / LANES; k++)
			rank[k] = bnb_rank(t, lanes_load(b->x + i + k * LANES) * inverse);
		codes = bytes16_look_up(t->order, lanes_pack16(rank));
		bytes16_store8(packed + i / 2, bytes16_pair_down(codes, codes));
	}
}

/* The number of blocks at the beginning of n values that are searched here. */
static size_t vector_blocks(size_t n, size_t block_elems)
{
	return block_elems <= BNB_MAX && block_elems % BNB_STEP == 0 ? n / block_elems : 0;
}

static float block_largest(const struct bnb_block *b)
{
	lanes max = lanes_set(0);
	float lane[LANES], largest = 0;

	for (size_t i = 0; i < b->n; i += LANES)
		max = lanes_max(lanes_abs(lanes_load(b->x + i)), max);
	lanes_store(lane, max);
	for (int i = 0; i < LANES; i++)
		largest = lane[i] > largest ? lane[i] : largest;
	return largest;
}

static inline void bnb4_encode(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			       size_t block_elems, uint8_t *packed, float *absmax)
{
	size_t blocks = block_elems % BNB_STEP == 0 ? n / block_elems : 0;
	size_t done = blocks * block_elems;
	struct bnb_tables t;

	tables_init(&t, kind);
	for (size_t k = 0; k < blocks; k++) {
		struct bnb_block b = {x + k * block_elems, NULL, block_elems};
		float max = block_largest(&b);

		absmax[k] = max;
		pack_nearest(&t, &b, max > QC_BNB_SMALLEST ? max : QC_BNB_SMALLEST,
			     packed + k * block_elems / 2);
	}
	qc_bnb4_encode(kind, x + done, n - done, block_elems, packed + done / 2, absmax + blocks);
}

static inline void bnb4_search(const struct qc_bnb4_kind *kind, const float *x, size_t n,
			       size_t block_elems, const float *weight, uint8_t *packed,
			       float *absmax)
{
	size_t blocks = vector_blocks(n, block_elems), done = blocks * block_elems;
	struct bnb_tables t;
	struct bnb_group g;
	float scales[LANES];

	tables_init(&t, kind);
	g.n = block_elems;
	bnb4_encode(kind, x, done, block_elems, packed, absmax);
	for (size_t k = 0; k < blocks; k++) {
		struct bnb_block b = {x + k * block_elems, weight ? weight + k * block_elems : NULL,
				      block_elems};
		uint8_t *codes = packed + k * block_elems / 2;
		float scale;

		if (k % LANES == 0) {
			group_load(&g, b.x, b.weight, blocks - k < LANES ? blocks - k : LANES);
			group_scales(&t, &g, scales);
		}
		scale = scales[k % LANES];
		if (scale != 0 && qc_error_below(nearest_error(&t, &b, scale),
						 packed_error(&t, &b, codes, absmax[k]))) {
			absmax[k] = scale;
			pack_nearest(&t, &b, scale, codes);
		}
	}
	qc_bnb4_search(kind, x + done, n - done, block_elems, weight ? weight + done : NULL,
		       packed + done / 2, absmax + blocks);
}

static double search_code(const struct bnb_tables *t, const struct bnb_block *b, float wanted,
			  float nested_absmax, float offset, uint8_t *code)
{
	int tries[QC_BNB_TRIES];
	double best = NAN;

	qc_bnb_tries(wanted, nested_absmax, offset, *code, tries);
	for (int i = 0; i < QC_BNB_TRIES; i++) {
		float absmax = qc_bnb_absmax((uint8_t)tries[i], nested_absmax, offset);
		double error = absmax != 0 ? nearest_error(t, b, absmax) : NAN;

		if (qc_error_below(error, best)) {
			best = error;
			*code = (uint8_t)tries[i];
		}
	}
	return best;
}

static inline void bnb4_search_nested(const struct qc_bnb4_kind *kind, const float *x, size_t n,
				      size_t block_elems, const float *weight, float offset,
				      const float *nested_absmax, uint8_t *packed, uint8_t *codes)
{
	size_t blocks = vector_blocks(n, block_elems), done = blocks * block_elems;
	struct bnb_tables t;
	struct bnb_group g;
	float scales[LANES];

	tables_init(&t, kind);
	g.n = block_elems;
	for (size_t k = 0; k < blocks; k++) {
		struct bnb_block b = {x + k * block_elems, weight ? weight + k * block_elems : NULL,
				      block_elems};
		float nested = nested_absmax[k / QC_BNB_NESTED], scale;
		float absmax = qc_bnb_absmax(codes[k], nested, offset);
		uint8_t *nibbles = packed + k * block_elems / 2, code = codes[k];

		if (k % LANES == 0) {
			group_load(&g, b.x, b.weight, blocks - k < LANES ? blocks - k : LANES);
			group_scales(&t, &g, scales);
		}
		scale = scales[k % LANES];
		if (scale != 0 && qc_error_below(search_code(&t, &b, scale, nested, offset, &code),
						 packed_error(&t, &b, nibbles, absmax))) {
			codes[k] = code;
			pack_nearest(&t, &b, qc_bnb_absmax(code, nested, offset), nibbles);
		}
	}
	/* a short block, or all of them: in both cases what is left has its own group first */
	qc_bnb4_search_nested(kind, x + done, n - done, block_elems, weight ? weight + done : NULL,
			      offset, nested_absmax + blocks / QC_BNB_NESTED, packed + done / 2,
			      codes + blocks);
}

#endif
#endif

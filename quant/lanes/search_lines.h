/*
 * The search of quant/search_affine.c with one block per lane, as search_scales.h has the other:
 * every sum, product, division and comparison in the definition's order.
 */
#ifndef QC_QUANT_LANES_SEARCH_LINES_H
#define QC_QUANT_LANES_SEARCH_LINES_H

#include "quant/lanes/search_scales.h"

#ifdef LANES_INLINE

/* Weighted sums of 1, y, l, l^2 and l * y, as in search_affine.c. */
struct search_sums {
	lanes w, y, l, l2, ly;
};

struct search_line {
	lanes d, m;
};

LANES_INLINE lanes search_determinant(const struct search_sums *s)
{
	return s->w * s->l2 - s->l * s->l;
}

LANES_INLINE struct search_line search_solve(const struct search_sums *s, lanes base)
{
	struct search_line line;

	line.d = (s->w * s->ly - s->y * s->l) / search_determinant(s);
	line.m = base + (s->y - line.d * s->l) / s->w;
	return line;
}

/* Where x ~ d * code + m has its codes: element i of the block less `base`, and its weighted form.
 */
struct search_shifted {
	lanes y[SEARCH_BLOCK], wy[SEARCH_BLOCK];
};

/* Also sums the weights and y. */
LANES_INLINE void search_shift(const struct search_group *g, lanes base, struct search_shifted *s,
			       struct search_sums *sums)
{
	sums->w = sums->y = lanes_set(0);
	for (int i = 0; i < SEARCH_BLOCK; i++) {
		s->y[i] = g->x[i] - base;
		s->wy[i] = search_weigh(g, i, s->y[i]);
		sums->w += search_weigh(g, i, lanes_set(1));
		sums->y += s->wy[i];
	}
}

/* What a search knows of its blocks. */
struct search_lines {
	const struct search_group *g;
	struct search_shifted s;
	struct search_sums sums;
	lanes min, span;
	int top;
	lanes best, stretch; /* of the best candidate so far */
	struct search_line line;
};

LANES_INLINE void search_consider(struct search_lines *a, lanes stretch, float shift)
{
	struct search_sums *sums = &a->sums;
	lanes inverse = (lanes_set((float)a->top) + stretch) / a->span, det, gain;
	lanes from = lanes_set(shift) - stretch / lanes_set(2);
	struct search_line trial;
	lanes_mask better;

	sums->l = sums->l2 = sums->ly = lanes_set(0);
	for (int i = 0; i < SEARCH_BLOCK; i++) {
		lanes l = search_code(a->s.y[i] * inverse + from, 0, (float)a->top);
		lanes wl = search_weigh(a->g, i, l);

		sums->l += wl;
		sums->l2 += wl * l;
		sums->ly += a->s.wy[i] * l;
	}
	det = search_determinant(sums);
	gain = sums->w * sums->ly - sums->y * sums->l;
	gain = gain * gain / det;
	better = lanes_and(lanes_lt(lanes_set(0), det), lanes_lt(a->best, gain));
	trial = search_solve(sums, a->min);
	a->best = lanes_select(better, gain, a->best);
	a->stretch = lanes_select(better, stretch, a->stretch);
	a->line.d = lanes_select(better, trial.d, a->line.d);
	a->line.m = lanes_select(better, trial.m, a->line.m);
}

/* The line of the best candidate; d = 0 where there is none. */
LANES_INLINE struct search_line search_affine_line(const struct search_group *g, lanes min,
						   lanes span, int top)
{
	const lanes zero = lanes_set(0);
	const int n = g->weighted ? QC_STRETCHES : QC_FEW_STRETCHES;
	struct search_lines a = {.g = g, .min = min, .span = span, .top = top};
	lanes stretch;

	a.best = a.stretch = a.line.d = a.line.m = zero;
	search_shift(g, min, &a.s, &a.sums);
	for (int c = 0; c < n; c++)
		search_consider(&a, lanes_set(qc_stretches[c]), qc_shifts[0]);
	stretch = a.stretch;
	for (int shift = 1; shift < QC_SHIFTS; shift++)
		for (int c = 0; c < (g->weighted ? n : 1); c++)
			search_consider(&a, g->weighted ? lanes_set(qc_stretches[c]) : stretch,
					qc_shifts[shift]);
	return a.line;
}

/* The least-squares line of the codes that `line` rounds to. */
LANES_INLINE struct search_line search_refit(const struct search_group *g, struct search_line line,
					     int top)
{
	lanes inverse = lanes_set(1) / line.d;
	struct search_sums sums = {lanes_set(0), lanes_set(0), lanes_set(0), lanes_set(0),
				   lanes_set(0)};
	struct search_line fitted;
	lanes_mask solvable;

	for (int i = 0; i < SEARCH_BLOCK; i++) {
		lanes_int code = lanes_nearest((g->x[i] - line.m) * inverse);
		lanes l = lanes_from_int(lanes_int_clamp(code, 0, top));
		lanes wl = search_weigh(g, i, l), y = g->x[i] - g->x[0];

		sums.w += search_weigh(g, i, lanes_set(1));
		sums.y += search_weigh(g, i, y);
		sums.l += wl;
		sums.l2 += wl * l;
		sums.ly += wl * y;
	}
	solvable = lanes_lt(lanes_set(0), search_determinant(&sums));
	fitted = search_solve(&sums, g->x[0]);
	fitted.d = lanes_select(solvable, fitted.d, lanes_set(0));
	fitted.m = lanes_select(solvable, fitted.m, lanes_set(0));
	return fitted;
}

/* Round the line to f16; lanes of `valid` where it is one. */
LANES_INLINE lanes_mask search_line_round(struct search_line *line, lanes_mask valid)
{
	line->d = lanes_half(line->d);
	line->m = lanes_half(line->m);
	valid = lanes_and(valid, search_usable(line->d));
	return lanes_and(valid, lanes_lt(lanes_abs(line->m), lanes_set(INFINITY)));
}

/* The proposal's line; lanes of *valid have one. */
LANES_INLINE struct search_line search_affine(const struct search_group *g, int top,
					      lanes_mask *valid)
{
	struct search_line line = {lanes_set(0), lanes_set(0)};
	lanes min = g->x[0], max = g->x[0];

	for (int i = 1; i < SEARCH_BLOCK; i++) {
		min = lanes_min(g->x[i], min);
		max = lanes_max(g->x[i], max);
	}
	*valid = search_ordinary(max - min);
	if (!lanes_any(*valid))
		return line;
	line = search_affine_line(g, min, max - min, top);
	*valid = search_line_round(&line, *valid);
	for (int round = 0; round < QC_REFITS; round++) {
		line = search_refit(g, line, top);
		*valid = search_line_round(&line, *valid);
	}
	return line;
}

static unsigned search_q4_1(const struct search_group *g, size_t count, uint8_t *trials)
{
	struct qc_block_q4_1 *block = (struct qc_block_q4_1 *)trials;
	lanes_mask valid;
	struct search_line line = search_affine(g, 15, &valid);
	float d[LANES], m[LANES];

	lanes_store(d, line.d);
	lanes_store(m, line.m);
	for (size_t k = 0; k < count; k++, block++) {
		qc_put_f16(block->d, d[k]);
		qc_put_f16(block->m, m[k]);
		search_put_nibbles(search_round(g->rows + 32 * k, d[k], m[k], true, 0, 15, 0),
				   block->q);
	}
	return lanes_mask_bits(valid);
}

static unsigned search_q5_1(const struct search_group *g, size_t count, uint8_t *trials)
{
	struct qc_block_q5_1 *block = (struct qc_block_q5_1 *)trials;
	lanes_mask valid;
	struct search_line line = search_affine(g, 31, &valid);
	float d[LANES], m[LANES];

	lanes_store(d, line.d);
	lanes_store(m, line.m);
	for (size_t k = 0; k < count; k++, block++) {
		bytes32 codes = search_round(g->rows + 32 * k, d[k], m[k], true, 0, 31, 0);

		qc_put_f16(block->d, d[k]);
		qc_put_f16(block->m, m[k]);
		search_put_nibbles(codes, block->q);
		search_put_fifth(codes, block->high);
	}
	return lanes_mask_bits(valid);
}

#endif
#endif

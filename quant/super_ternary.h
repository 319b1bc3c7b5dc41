/*
 * Better blocks for iq1_s and iq1_m: x ~ d * (2 s[g] + 1) * (c - 1 +- 1/8) in each group g, the c -
 * 1 being the coordinates of points of a grid.
 *
 * As super_grid.h, with two differences. There are no signs, but moves: (c + m)^2 = c^2 + 2 m c +
 * m^2, so that beside a scale S a point leaves S^2 A - 2 S B (and what no point changes), where A =
 * sum of w (c^2 + 2 m c) depends on the move and B = sum of w x c does not. And a group's first
 * scale is that of ternary values off the grid, blocks in lanes: the integers of step 3, and d, are
 * chosen by what points of the grid leave.
 */
#ifndef QC_QUANT_SUPER_TERNARY_H
#define QC_QUANT_SUPER_TERNARY_H

#include "quant/block256.h"
#include "quant/iq1.h"
#include "quant/super_grid.h"

enum { TERNARY_GRID = 2048 };

#define TERNARY_MOVE 0.125f

/* 8 values against all points of the grid. */
struct ternary_sums {
	float a[2][TERNARY_GRID], b[TERNARY_GRID]; /* A moved up, moved down; 2 B */
	float w, wx;				   /* sums of w and of w x */
};

struct ternary_work {
	const struct grid_shape *shape;
	bool moved_alone; /* each point by itself; else a group as a whole */
	const float *x, *weight;
	struct ternary_sums sums[4]; /* of the current group */
};

/* Step 1, for LANES blocks. */
struct ternary_start {
	float scale[GRID_GROUPS][LANES], a[GRID_GROUPS][LANES]; /* and the A of its values */
};

struct ternary_found {
	float d;
	uint8_t s[GRID_GROUPS];
	uint16_t point[32]; /* of each 8 values: the code, and TERNARY_GRID when moved down */
};

/* The level nearest to x, both divided by the scale. */
LANES_INLINE lanes ternary_level(lanes x, lanes move)
{
	return super_clamp(super_whole(x - move), lanes_set(-1), lanes_set(1)) + move;
}

/* Sums of n values beside a scale: what they leave, and least squares. */
struct ternary_fit {
	lanes error, a, b;
};

LANES_INLINE struct ternary_fit ternary_round(const lanes *x, const lanes *weight, int n,
					      lanes scale, lanes inverse, float move)
{
	struct ternary_fit fit = {lanes_set(0), lanes_set(0), lanes_set(0)};

	for (int i = 0; i < n; i++) {
		lanes l = ternary_level(x[i] * inverse, lanes_set(move)), wl = weight[i] * l;
		lanes off = x[i] - scale * l;

		fit.error += weight[i] * off * off;
		fit.a += wl * l;
		fit.b += wl * x[i];
	}
	return fit;
}

LANES_INLINE struct ternary_fit ternary_select(lanes_mask m, const struct ternary_fit *a,
					       const struct ternary_fit *b)
{
	return (struct ternary_fit){lanes_select(m, a->error, b->error),
				    lanes_select(m, a->a, b->a), lanes_select(m, a->b, b->b)};
}

/* A group beside a scale, each `n` of its values moved as is better. */
LANES_INLINE struct ternary_fit ternary_fit(const lanes *x, const lanes *weight, int group, int n,
					    lanes scale)
{
	struct ternary_fit fit = {lanes_set(0), lanes_set(0), lanes_set(0)};
	lanes inverse = super_ratio(lanes_set(1), scale);

	for (int v = 0; v < group; v += n) {
		struct ternary_fit up =
			ternary_round(x + v, weight + v, n, scale, inverse, TERNARY_MOVE);
		struct ternary_fit down =
			ternary_round(x + v, weight + v, n, scale, inverse, -TERNARY_MOVE);

		up = ternary_select(lanes_lt(down.error, up.error), &down, &up);
		fit.error += up.error;
		fit.a += up.a;
		fit.b += up.b;
	}
	return fit;
}

/* Step 1. */
static inline void ternary_begin(const struct super *s, const struct grid_shape *shape,
				 bool moved_alone, struct ternary_start *start)
{
	int group = shape->group, n = moved_alone ? 8 : group;

	for (int g = 0; g < 256 / group; g++) {
		const lanes *x = s->x + g * group, *weight = s->weight + g * group;
		lanes full = lanes_set(0), zero = lanes_set(0);
		struct ternary_fit best = {lanes_set(INFINITY), zero, zero};

		for (int i = 0; i < group; i++)
			full = lanes_max(full, lanes_abs(x[i]));
		for (int k = 0; k < GRID_STEPS; k++) {
			lanes scale = full * lanes_set(shape->first + shape->step * (float)k);
			struct ternary_fit fit = ternary_fit(x, weight, group, n, scale);

			best = ternary_select(lanes_lt(fit.error, best.error), &fit, &best);
		}
		lanes_store(start->scale[g], lanes_max(super_ratio(best.b, best.a), zero));
		lanes_store(start->a[g], best.a);
	}
}

/* The sums of 8 values. */
static inline void ternary_add_up(const struct grid_shape *shape, const float *x,
				  const float *weight, struct ternary_sums *sums)
{
	struct grid_tables up, down, b;

	sums->w = sums->wx = 0;
	for (int i = 0; i < 8; i++) {
		sums->w += weight[i];
		sums->wx += weight[i] * x[i];
	}
	for (int k = 0; k < 4; k++) {
		float entry[3][16];

		for (int j = 0; j < 16; j++) {
			int first = (j & 3) - 1, second = (j >> 2) - 1;
			float w0 = weight[2 * k], w1 = weight[2 * k + 1];
			float c0 = (float)(first * first), c1 = (float)(second * second);
			float m0 = 2 * TERNARY_MOVE * (float)first;
			float m1 = 2 * TERNARY_MOVE * (float)second;

			entry[0][j] = w0 * (c0 + m0) + w1 * (c1 + m1);
			entry[1][j] = w0 * (c0 - m0) + w1 * (c1 - m1);
			entry[2][j] = 2 * (w0 * x[2 * k] * (float)first +
					   w1 * x[2 * k + 1] * (float)second);
		}
		up.part[k] = lanes_table_load(entry[0]);
		down.part[k] = lanes_table_load(entry[1]);
		b.part[k] = lanes_table_load(entry[2]);
	}
	for (int p = 0; p < TERNARY_GRID; p += LANES) {
		struct grid_index index = grid_index(shape->grid->points + p, 4);

		lanes_store(sums->a[0] + p, grid_look_up(&up, &index));
		lanes_store(sums->a[1] + p, grid_look_up(&down, &index));
		lanes_store(sums->b + p, grid_look_up(&b, &index));
	}
}

/* What all points of a move leave beside a scale, less S A - 2 B. */
static inline float ternary_constant(const struct ternary_sums *sums, int down, float scale)
{
	float move = down ? -TERNARY_MOVE : TERNARY_MOVE;

	return scale * (move * move) * sums->w - 2 * move * sums->wx;
}

/* What the current group leaves at GRID_AT_ONCE scales, as grid_cost8(). Bit i of the result: all
 * points move down at scale i. */
static inline unsigned ternary_cost(const struct ternary_work *work,
				    const float scale[GRID_AT_ONCE], float cost[GRID_AT_ONCE])
{
	float up[GRID_AT_ONCE] = {0}, down[GRID_AT_ONCE] = {0}, least[2][GRID_AT_ONCE];
	unsigned moved = 0;

	for (int v = 0; v < work->shape->group / 8; v++) {
		const struct ternary_sums *sums = &work->sums[v];

		grid_minima(sums->a[0], sums->b, TERNARY_GRID, scale, least[0]);
		grid_minima(sums->a[1], sums->b, TERNARY_GRID, scale, least[1]);
		for (int i = 0; i < GRID_AT_ONCE; i++) {
			float a = least[0][i] + ternary_constant(sums, 0, scale[i]);
			float b = least[1][i] + ternary_constant(sums, 1, scale[i]);

			up[i] += work->moved_alone && b < a ? b : a;
			down[i] += b;
		}
	}
	for (int i = 0; i < GRID_AT_ONCE; i++) {
		bool better = !work->moved_alone && down[i] < up[i];

		cost[i] = better ? down[i] : up[i];
		moved |= (unsigned)better << i;
	}
	return moved;
}

/* The best points of the current group beside a scale. */
static inline struct grid_choice ternary_choose(const struct ternary_work *work, float scale,
						bool down)
{
	struct grid_choice choice = {.a = 0};

	for (int v = 0; v < work->shape->group / 8; v++) {
		const struct ternary_sums *sums = &work->sums[v];
		int move = down;
		uint16_t point = grid_argmin(sums->a[move], sums->b, TERNARY_GRID, scale);
		float shift;

		if (work->moved_alone) {
			uint16_t other = grid_argmin(sums->a[1], sums->b, TERNARY_GRID, scale);

			if (scale * sums->a[1][other] - sums->b[other] +
				    ternary_constant(sums, 1, scale) <
			    scale * sums->a[0][point] - sums->b[point] +
				    ternary_constant(sums, 0, scale)) {
				move = 1;
				point = other;
			}
		}
		shift = move ? -TERNARY_MOVE : TERNARY_MOVE;
		choice.point[v] = (uint16_t)(move * TERNARY_GRID + point);
		choice.a += sums->a[move][point] + shift * shift * sums->w;
		choice.b += sums->b[point] / 2 + shift * sums->wx;
	}
	return choice;
}

/* Step 3 for group g: s and points. */
static inline struct grid_choice ternary_settle(struct ternary_work *work, int g, float first,
						float d, uint8_t *s)
{
	const struct grid_shape *shape = work->shape;
	float best = INFINITY, scale[GRID_AT_ONCE], cost[GRID_AT_ONCE];
	int least =
		qc_clamp(grid_code(first / d, shape->top) - 1, 0, shape->top + 1 - GRID_AT_ONCE);
	int n = 0;
	unsigned down;

	for (int i = 0; i < GRID_AT_ONCE; i++)
		scale[i] = d * (float)(2 * (least + i) + 1);
	for (int v = 0; v < shape->group; v += 8)
		ternary_add_up(shape, work->x + g * shape->group + v,
			       work->weight + g * shape->group + v, &work->sums[v / 8]);
	down = ternary_cost(work, scale, cost);
	for (int i = 0; i < GRID_AT_ONCE; i++) {
		if (!(cost[i] * scale[i] < best))
			continue;
		best = cost[i] * scale[i];
		n = i;
	}
	*s = (uint8_t)(least + n);
	return ternary_choose(work, scale[n], down >> n & 1);
}

/* What may be a better block for 256 values x, block k of those that were begun; false when there
 * is none to propose. */
static inline bool ternary_search(struct ternary_work *work, const struct ternary_start *start,
				  size_t k, struct ternary_found *found)
{
	const struct grid_shape *shape = work->shape;
	int n_groups = 256 / shape->group;
	struct grid_choice choices[GRID_GROUPS] = {{.a = 0}};
	float a = 0, b = 0, d;

	for (int g = 0; g < n_groups; g++) {
		choices[g].a = start->a[g][k];
		choices[g].b = start->scale[g][k] * start->a[g][k];
	}
	d = grid_divide(shape, choices);
	if (d == 0)
		return false;
	for (int g = 0; g < n_groups; g++) {
		struct grid_choice choice =
			ternary_settle(work, g, start->scale[g][k], d, &found->s[g]);
		float factor = (float)(2 * found->s[g] + 1);

		memcpy(found->point + g * shape->group / 8, choice.point,
		       (size_t)shape->group / 8 * sizeof(uint16_t));
		a += factor * factor * choice.a;
		b += factor * choice.b;
	}
	found->d = qc_f16_to_f32(qc_f32_to_f16(b / a * shape->gain));
	return found->d > 0 && found->d < INFINITY;
}

#endif

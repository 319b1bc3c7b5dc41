/*
 * Better blocks for iq1_s and iq1_m: x ~ d * (2 s[g] + 1) * (c - 1 +- 1/8) in each group g, c being
 * the coordinates of points of a grid. A point that is moved up and the same one moved down are
 * two points here; otherwise this is super_grid.h without signs.
 *
 * The sums are too many to keep for a block: those of one group are, and made twice.
 */
#ifndef QC_QUANT_SUPER_TERNARY_H
#define QC_QUANT_SUPER_TERNARY_H

#include "quant/block256.h"
#include "quant/iq1.h"
#include "quant/super_grid.h"

enum {
	TERNARY_GRID = 2048,
	TERNARY_POINTS = 2 * TERNARY_GRID, /* the second half is moved down */
	TERNARY_SUMS = 2 * TERNARY_POINTS, /* of 8 values: A, then 2 B */
};

struct ternary_work {
	const struct grid_shape *shape;
	bool moved_alone; /* each point by itself; else a group as a whole */
	const float *x, *weight;
	float level[8 * TERNARY_POINTS];
	float sums[4 * TERNARY_SUMS]; /* of the current group */
};

struct ternary_found {
	float d;
	uint8_t s[GRID_GROUPS];
	uint16_t point[32]; /* of each 8 values: the code, and TERNARY_GRID when moved down */
};

static inline void ternary_init(struct ternary_work *work, const struct grid_shape *shape,
				bool moved_alone)
{
	work->shape = shape;
	work->moved_alone = moved_alone;
	for (int i = 0; i < 8; i++)
		for (int p = 0; p < TERNARY_POINTS; p++)
			work->level[i * TERNARY_POINTS + p] =
				qc_iq1_levels[p / TERNARY_GRID][qc_iq_level(
					shape->grid->points[p % TERNARY_GRID], i, 2)];
}

static inline void ternary_add_up(struct ternary_work *work, int g)
{
	int first = g * work->shape->group;

	for (int v = 0; v < work->shape->group; v += 8)
		grid_add_up(work->level, TERNARY_POINTS, work->x + first + v,
			    work->weight + first + v, 8, false, work->sums + v / 8 * TERNARY_SUMS);
}

/* What the current group leaves at GRID_AT_ONCE scales, as grid_cost8(). Bit i of the result: all
 * points move down at scale i. */
static inline unsigned ternary_cost(const struct ternary_work *work,
				    const float scale[GRID_AT_ONCE], float cost[GRID_AT_ONCE])
{
	float up[GRID_AT_ONCE] = {0}, down[GRID_AT_ONCE] = {0}, least[2][GRID_AT_ONCE];
	unsigned moved = 0;

	for (int v = 0; v < work->shape->group / 8; v++) {
		const float *a = work->sums + v * TERNARY_SUMS, *b = a + TERNARY_POINTS;

		grid_minima(a, b, TERNARY_GRID, scale, least[0]);
		grid_minima(a + TERNARY_GRID, b + TERNARY_GRID, TERNARY_GRID, scale, least[1]);
		for (int i = 0; i < GRID_AT_ONCE; i++) {
			bool better = least[1][i] < least[0][i];

			up[i] += work->moved_alone ? least[better][i] : least[0][i];
			down[i] += least[1][i];
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
	int first = !work->moved_alone && down ? TERNARY_GRID : 0;
	int size = work->moved_alone ? TERNARY_POINTS : TERNARY_GRID;
	struct grid_choice choice = {.a = 0};

	for (int v = 0; v < work->shape->group / 8; v++) {
		const float *a = work->sums + v * TERNARY_SUMS + first, *b = a + TERNARY_POINTS;
		uint16_t point = grid_argmin(a, b, size, scale);

		choice.point[v] = (uint16_t)(first + point);
		choice.a += a[point];
		choice.b += b[point] / 2;
	}
	return choice;
}

/* The best of `n` scales for the current group, and its points. */
static inline struct grid_choice ternary_best(const struct ternary_work *work, const float *scale,
					      int n, int *best_n)
{
	float best = INFINITY, cost[GRID_AT_ONCE];
	bool best_down = false;

	*best_n = 0;
	for (int first = 0; first < n; first += GRID_AT_ONCE) {
		unsigned down = ternary_cost(work, scale + first, cost);

		for (int i = 0; i < GRID_AT_ONCE; i++) {
			if (!(cost[i] * scale[first + i] < best))
				continue;
			best = cost[i] * scale[first + i];
			best_down = down >> i & 1;
			*best_n = first + i;
		}
	}
	return ternary_choose(work, scale[*best_n], best_down);
}

/* What may be a better block for 256 values x; false when there is none to propose. */
static inline bool ternary_search(struct ternary_work *work, const float *x, const float *weight,
				  struct ternary_found *found)
{
	const struct grid_shape *shape = work->shape;
	int n_groups = 256 / shape->group, n;
	struct grid_choice choices[GRID_GROUPS] = {{.a = 0}};
	float scale[GRID_STEPS], a = 0, b = 0, d;

	work->x = x;
	work->weight = weight;
	for (int g = 0; g < n_groups; g++) {
		float full = qc_abs_max(x + g * shape->group, (size_t)shape->group);

		for (int i = 0; i < GRID_STEPS; i++)
			scale[i] = full * (shape->first + shape->step * (float)i);
		ternary_add_up(work, g);
		choices[g] = ternary_best(work, scale, GRID_STEPS, &n);
	}
	d = grid_divide(shape, choices);
	if (d == 0)
		return false;
	for (int g = 0; g < n_groups; g++) {
		int least = grid_code(grid_scale(&choices[g]) / d, shape->top) - 1;
		float factor;

		least = qc_clamp(least, 0, shape->top + 1 - GRID_AT_ONCE);
		for (int i = 0; i < GRID_AT_ONCE; i++)
			scale[i] = d * (float)(2 * (least + i) + 1);
		ternary_add_up(work, g);
		choices[g] = ternary_best(work, scale, GRID_AT_ONCE, &n);
		memcpy(found->point + g * shape->group / 8, choices[g].point,
		       (size_t)shape->group / 8 * sizeof(uint16_t));
		found->s[g] = (uint8_t)(least + n);
		factor = (float)(2 * found->s[g] + 1);
		a += factor * factor * choices[g].a;
		b += factor * choices[g].b;
	}
	found->d = qc_f16_to_f32(qc_f32_to_f16(b / a));
	return found->d > 0 && found->d < INFINITY;
}

#endif

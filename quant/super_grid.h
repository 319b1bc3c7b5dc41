/*
 * Better blocks for the iq2 and iq3 types: x ~ +- D * (2 s[g] + 1) * level in each group g, the
 * levels being those of points of a grid.
 *
 * Beside a scale S a point leaves the error S^2 A - 2 S B + sum of w x^2, where A = sum of w
 * level^2 and B = sum of w |x| level over its coordinates. A and B do not depend on S: once they
 * are known for all points of the grid, the best of all points is found for any S by looking at
 * each. Where the number of minus signs must be even and is not, one value takes the wrong sign:
 * the one that loses the least, the smallest w |x| level of the point.
 *
 * 1. Each group by itself: scales for which its largest value has about the largest level, with
 *    the best points; least squares moves the best one.
 * 2. D: the largest scale divided by about the largest integer, by the quadratic form in which the
 *    error grows while no point changes.
 * 3. s of each group: those next to its scale, with the best points; then D by least squares for
 *    all points.
 *
 * Points lie in lanes here.
 */
#ifndef QC_QUANT_SUPER_GRID_H
#define QC_QUANT_SUPER_GRID_H

#include "quant/iq_grids.h"
#include "quant/round.h"
#include "quant/super.h"

enum {
	GRID_POINTS = 1024, /* of the largest grid */
	GRID_SUMS = 65536,  /* of a block, with the largest grid */
	GRID_GROUPS = 16,
	GRID_AT_ONCE = 4, /* scales */
	GRID_STEPS = 12,  /* of step 1 */
};

struct grid_shape {
	const struct qc_iq_grid *grid;
	const float *levels; /* of the coordinates */
	float unit;	     /* D = d * unit */
	int group, top;	     /* values of a group; largest s */
	bool even_signs;     /* every 8 values have an even number of minus signs */
	float first, step;   /* parts of the full scale that step 1 tries */
	float gain;	     /* of the block's scale over least squares: quant/super.h */
};

/* A block while it is searched. */
struct grid_work {
	const struct grid_shape *shape;
	const float *x, *weight;
	float level[8 * GRID_POINTS]; /* of coordinate i of point p: element i * size + p */
	/* of each `dims` values, for all points: A, then 2 B, then, where the number of signs must
	 * change, 2 B with one wrong sign */
	float sums[GRID_SUMS];
	bool odd[32]; /* for each 8 values: one must take the wrong sign */
};

/* The points of a group and least squares for them: the scale is b / a. */
struct grid_choice {
	float a, b;
	uint16_t point[8];
	uint8_t wrong; /* bit k: one value of point k takes the wrong sign */
};

/* What is written: s of each group, and of each `dims` values the code of the point and signs. */
struct grid_found {
	float d;
	uint8_t s[GRID_GROUPS];
	uint16_t code[64];
	uint8_t signs[32]; /* of each 8 values */
};

static inline void grid_init(struct grid_work *work, const struct grid_shape *shape)
{
	const struct qc_iq_grid *grid = shape->grid;

	work->shape = shape;
	for (int i = 0; i < grid->dims; i++)
		for (int p = 0; p < grid->size; p++)
			work->level[i * grid->size + p] =
				shape->levels[qc_iq_level(grid->points[p], i, grid->bits)];
}

/* Sums over coordinates, by what stands in each quarter of a packed point. */
struct grid_tables {
	struct lanes_table part[4];
};

/* The quarters of LANES points of `bits` each, in the low four bits (above a quarter of less than
 * four bits stands part of the next). */
struct grid_index {
	lanes_int part[4];
};

LANES_INLINE struct grid_index grid_index(const uint16_t *points, int bits)
{
	lanes_int all = lanes_from_u16(points);

	return (struct grid_index){{all, lanes_int_right(all, bits), lanes_int_right(all, 2 * bits),
				    lanes_int_right(all, 3 * bits)}};
}

LANES_INLINE lanes grid_look_up(const struct grid_tables *t, const struct grid_index *index)
{
	return (lanes_look_up(&t->part[0], index->part[0]) +
		lanes_look_up(&t->part[1], index->part[1])) +
	       (lanes_look_up(&t->part[2], index->part[2]) +
		lanes_look_up(&t->part[3], index->part[3]));
}

/* The sums of point k of the block. */
static inline float *grid_sums(struct grid_work *work, int k)
{
	return work->sums + k * work->shape->grid->size * (work->shape->even_signs ? 3 : 2);
}

/* The sums of `dims` values x for all points; level[i * size + p] is that of coordinate i of point
 * p. */
LANES_INLINE void grid_add_up(const float *level, int size, const float *x, const float *weight,
			      int dims, bool even_signs, float *sums)
{
	lanes w[8], wx[8];

	for (int i = 0; i < dims; i++) {
		w[i] = lanes_set(weight[i]);
		wx[i] = lanes_set(weight[i] * x[i]);
	}
	for (int p = 0; p < size; p += LANES) {
		lanes a = lanes_set(0), b = a, least = lanes_set(INFINITY);

#pragma GCC unroll 8
		for (int i = 0; i < dims; i++) {
			lanes l = lanes_load(level + i * size + p), term = wx[i] * l;

			a += w[i] * l * l;
			b += term;
			if (even_signs)
				least = lanes_min(least, term);
		}
		lanes_store(sums + p, a);
		lanes_store(sums + size + p, b + b);
		if (even_signs)
			lanes_store(sums + 2 * size + p, b + b - lanes_set(4) * least);
	}
}

/* The same for the 8 values from point k on. */
static inline void grid_add_up8(struct grid_work *work, int k)
{
	int dims = work->shape->grid->dims, size = work->shape->grid->size;
	bool odd = work->odd[k * dims / 8];

	for (int end = k + 8 / dims; k < end; k++) {
		const float *weight = work->weight + k * dims, *level = work->level;
		float *sums = grid_sums(work, k), x[8];

		for (int i = 0; i < dims; i++)
			x[i] = fabsf(work->x[k * dims + i]);
		if (dims == 8 && odd)
			grid_add_up(level, size, x, weight, 8, true, sums);
		else if (dims == 8)
			grid_add_up(level, size, x, weight, 8, false, sums);
		else if (odd)
			grid_add_up(level, size, x, weight, 4, true, sums);
		else
			grid_add_up(level, size, x, weight, 4, false, sums);
	}
}

/* The least S A - 2 B of all points, for GRID_AT_ONCE scales S. */
static inline void grid_minima(const float *a, const float *b, int size,
			       const float scale[GRID_AT_ONCE], float least[GRID_AT_ONCE])
{
	lanes s0 = lanes_set(scale[0]), s1 = lanes_set(scale[1]);
	lanes s2 = lanes_set(scale[2]), s3 = lanes_set(scale[3]);
	lanes best0 = lanes_set(INFINITY), best1 = best0, best2 = best0, best3 = best0;

	for (int p = 0; p < size; p += LANES) {
		lanes ap = lanes_load(a + p), bp = lanes_load(b + p);

		best0 = lanes_min(s0 * ap - bp, best0);
		best1 = lanes_min(s1 * ap - bp, best1);
		best2 = lanes_min(s2 * ap - bp, best2);
		best3 = lanes_min(s3 * ap - bp, best3);
	}
	least[0] = lanes_least(best0);
	least[1] = lanes_least(best1);
	least[2] = lanes_least(best2);
	least[3] = lanes_least(best3);
}

/* Add what 8 values from point k on leave at each scale (less the sum of w x^2, and divided by the
 * scale). Which of two points of four values takes a wrong sign is kept in bit i of *second. */
static inline void grid_cost8(struct grid_work *work, int k, const float scale[GRID_AT_ONCE],
			      float cost[GRID_AT_ONCE], unsigned *second)
{
	int size = work->shape->grid->size, dims = work->shape->grid->dims;
	bool odd = work->odd[k * dims / 8];
	float least[2][2][GRID_AT_ONCE];

	for (int point = 0; point < 8 / dims; point++) {
		const float *sums = grid_sums(work, k + point);

		if (!odd || dims == 4)
			grid_minima(sums, sums + size, size, scale, least[point][0]);
		if (odd)
			grid_minima(sums, sums + 2 * size, size, scale, least[point][1]);
	}
	*second = 0;
	for (int i = 0; i < GRID_AT_ONCE; i++) {
		float first = least[0][odd][i], other;

		if (dims == 4) {
			first += least[1][0][i];
			other = odd ? least[0][0][i] + least[1][1][i] : first;
			*second |= (unsigned)(other < first) << i;
			first = other < first ? other : first;
		}
		cost[i] += first;
	}
}

/* The first point that leaves the least. */
static inline uint16_t grid_argmin(const float *a, const float *b, int size, float scale)
{
	lanes best = lanes_set(INFINITY), s = lanes_set(scale);
	float least;

	for (int p = 0; p < size; p += LANES)
		best = lanes_min(s * lanes_load(a + p) - lanes_load(b + p), best);
	least = lanes_least(best);
	for (int p = 0; p < size; p += LANES) {
		lanes v = s * lanes_load(a + p) - lanes_load(b + p);

		if (!lanes_any(lanes_eq(v, lanes_set(least))))
			continue;
		while (!(scale * a[p] - b[p] == least))
			p++;
		return (uint16_t)p;
	}
	return 0;
}

/* The best points of group g beside a scale. */
static inline struct grid_choice grid_choose(struct grid_work *work, int g, float scale)
{
	const struct grid_shape *shape = work->shape;
	int dims = shape->grid->dims, size = shape->grid->size, n = 0;
	const float scales[GRID_AT_ONCE] = {scale, scale, scale, scale};
	struct grid_choice choice = {.a = 0};

	for (int v = 0; v < shape->group; v += 8) {
		int k = (g * shape->group + v) / dims;
		float cost[GRID_AT_ONCE] = {0};
		unsigned second = 0;

		if (dims == 4 && work->odd[k / 2])
			grid_cost8(work, k, scales, cost, &second);
		for (int point = 0; point < 8 / dims; point++, n++) {
			const float *sums = grid_sums(work, k + point), *b = sums + size;

			if (work->odd[k * dims / 8] && point == (int)(second & 1)) {
				choice.wrong |= (uint8_t)(1u << n);
				b += size;
			}
			choice.point[n] = grid_argmin(sums, b, size, scale);
			choice.a += sums[choice.point[n]];
			choice.b += b[choice.point[n]] / 2;
		}
	}
	return choice;
}

/* Step 1. */
static inline struct grid_choice grid_fit(struct grid_work *work, int g)
{
	const struct grid_shape *shape = work->shape;
	float full = 0, best = INFINITY, best_scale = 0, scale[GRID_STEPS], cost[GRID_STEPS];

	for (int i = 0; i < shape->group; i++) {
		float magnitude = fabsf(work->x[g * shape->group + i]);

		full = full > magnitude ? full : magnitude;
	}
	full /= shape->levels[shape->grid->levels - 1];
	for (int n = 0; n < GRID_STEPS; n++) {
		scale[n] = full * (shape->first + shape->step * (float)n);
		cost[n] = 0;
	}
	/* while a point's sums are at hand, all scales */
	for (int v = 0; v < shape->group; v += 8) {
		int k = (g * shape->group + v) / shape->grid->dims;
		unsigned second;

		grid_add_up8(work, k);
		for (int n = 0; n < GRID_STEPS; n += GRID_AT_ONCE)
			grid_cost8(work, k, scale + n, cost + n, &second);
	}
	for (int n = 0; n < GRID_STEPS; n++) {
		if (!(cost[n] * scale[n] < best))
			continue;
		best = cost[n] * scale[n];
		best_scale = scale[n];
	}
	return grid_choose(work, g, best_scale);
}

static inline float grid_scale(const struct grid_choice *choice)
{
	return choice->a > 0 && choice->b > 0 ? choice->b / choice->a : 0;
}

/* s for the scale 2 s + 1 nearest to v. */
static inline int grid_code(float v, int top)
{
	float s = 0.5f * (v - 1);

	s = s > 0 ? s : 0;
	return qc_nearest(s < (float)top ? s : (float)top);
}

/* Step 2: d. */
static inline float grid_divide(const struct grid_shape *shape, const struct grid_choice *choices)
{
	float largest = 0, best = INFINITY, best_d = 0;

	for (int g = 0; g < 256 / shape->group; g++) {
		float scale = grid_scale(&choices[g]);

		largest = largest > scale ? largest : scale;
	}
	for (int k = 0; k < 28; k++) {
		float divisor = (float)(2 * shape->top + 1) * (1.1f - 0.0125f * (float)k);
		float d = qc_f16_to_f32(qc_f32_to_f16(largest / divisor / shape->unit)), cost = 0;

		if (d == 0 || !isfinite(d))
			continue;
		for (int g = 0; g < 256 / shape->group; g++) {
			float scale = grid_scale(&choices[g]), unit = d * shape->unit;
			float off =
				(float)(2 * grid_code(scale / unit, shape->top) + 1) * unit - scale;

			cost += off * off * choices[g].a;
		}
		if (cost < best) {
			best = cost;
			best_d = d;
		}
	}
	return best_d;
}

/* Step 3: s of group g. */
static inline uint8_t grid_settle(struct grid_work *work, int g, const struct grid_choice *choice,
				  float d)
{
	int top = work->shape->top,
	    least = grid_code(grid_scale(choice) / (d * work->shape->unit), top) - 1,
	    best_s = least + 1;
	float best = INFINITY, scale[GRID_AT_ONCE], cost[GRID_AT_ONCE] = {0};
	unsigned second;

	least = qc_clamp(least, 0, top + 1 - GRID_AT_ONCE);
	for (int i = 0; i < GRID_AT_ONCE; i++)
		scale[i] = d * work->shape->unit * (float)(2 * (least + i) + 1);
	for (int v = 0; v < work->shape->group; v += 8)
		grid_cost8(work, (g * work->shape->group + v) / work->shape->grid->dims, scale,
			   cost, &second);
	for (int i = 0; i < GRID_AT_ONCE; i++) {
		if (!(cost[i] * scale[i] < best))
			continue;
		best = cost[i] * scale[i];
		best_s = least + i;
	}
	return (uint8_t)best_s;
}

/* The codes and signs of group g. */
static inline void grid_write(struct grid_work *work, int g, const struct grid_choice *choice,
			      struct grid_found *found)
{
	const struct grid_shape *shape = work->shape;
	int dims = shape->grid->dims, first = g * shape->group;

	for (int i = first; i < first + shape->group; i++)
		if (work->x[i] < 0)
			found->signs[i / 8] |= (uint8_t)(1u << (i % 8));
	for (int n = 0; n < shape->group / dims; n++) {
		int k = first / dims + n, least = 0;
		const float *x = work->x + k * dims, *weight = work->weight + k * dims;
		float loss = INFINITY;

		found->code[k] = choice->point[n];
		for (int i = 0; i < dims; i++) {
			float term = weight[i] * fabsf(x[i]) *
				     work->level[i * shape->grid->size + choice->point[n]];

			if (!(term < loss))
				continue;
			loss = term;
			least = i;
		}
		if (choice->wrong >> n & 1)
			found->signs[k * dims / 8] ^= (uint8_t)(1u << (k * dims % 8 + least));
	}
}

/* What may be a better block for 256 values x; false when there is none to propose. */
static inline bool grid_search(struct grid_work *work, const float *x, const float *weight,
			       struct grid_found *found)
{
	const struct grid_shape *shape = work->shape;
	int n_groups = 256 / shape->group;
	struct grid_choice choices[GRID_GROUPS] = {{.a = 0}};
	float a = 0, b = 0, d;

	work->x = x;
	work->weight = weight;
	memset(found, 0, sizeof(*found));
	for (int i = 0; i < 32; i++) {
		work->odd[i] = false;
		for (int j = 8 * i; j < 8 * i + 8 && shape->even_signs; j++)
			work->odd[i] ^= x[j] < 0;
	}
	for (int g = 0; g < n_groups; g++)
		choices[g] = grid_fit(work, g);
	d = grid_divide(shape, choices);
	if (d == 0)
		return false;
	for (int g = 0; g < n_groups; g++) {
		float factor;

		found->s[g] = grid_settle(work, g, &choices[g], d);
		factor = (float)(2 * found->s[g] + 1);
		choices[g] = grid_choose(work, g, d * shape->unit * factor);
		grid_write(work, g, &choices[g], found);
		a += factor * factor * choices[g].a;
		b += factor * choices[g].b;
	}
	found->d = qc_f16_to_f32(qc_f32_to_f16(b / a / shape->unit * shape->gain));
	return found->d > 0 && found->d < INFINITY;
}

#endif

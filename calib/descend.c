/*
 * Coordinate descent over the scales and levels of some rows: every step is kept only if the row's
 * error e H e' falls by it, all other elements staying as they are.
 *
 * g = e H follows every step, but outside of the panel of columns at work only when all rows are
 * through with the panel: then it is a matrix product.
 */
#include <math.h>
#include <string.h>

#include "calib/gptq_parts.h"
#include "calib/linalg.h"

/* What a step must take off a group's share of the error: less is not worth its time. */
#define WORTH_IT 1e-3

/* One row at work; scales and offsets of all its groups as they decode. */
struct row {
	const struct qc_curvature *c;
	const struct qc_grid *grid;
	uint8_t *blocks, *numbers;
	float *e, *g, *scale, *offset;
	size_t panel, columns; /* where g follows */
};

/* A group on trial: what its elements would decode to. */
struct trial {
	uint8_t block[QC_GRID_BYTES];
	uint8_t numbers[QC_GRID_ELEMS];
	float scale, offset;
	float *q;     /* decoded values */
	float *moved; /* q less what they are now */
	float *g;     /* e H within the group */
};

/* y -= by * h, n elements */
static void subtract(float *y, float by, const float *h, size_t n)
{
#pragma omp simd
	for (size_t j = 0; j < n; j++)
		y[j] -= by * h[j];
}

static double dot(const float *x, const float *y, size_t n)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t j = 0; j < n; j++)
		sum += x[j] * y[j];
	return (double)sum;
}

/* The level nearest to x, which is most often the one that it has. */
static uint8_t nearest(const struct qc_grid *grid, float x, uint8_t now)
{
	const float *l = grid->levels;

	if ((now == 0 || x > 0.5f * (l[now - 1] + l[now])) &&
	    (now + 1u == grid->n_levels || x <= 0.5f * (l[now] + l[now + 1])))
		return now;
	return qc_grid_nearest(grid, x);
}

/* Levels of the group on trial; the errors outside stay. */
static bool sweep(const struct row *row, struct trial *t, size_t first)
{
	const struct qc_grid *grid = row->grid;
	const size_t n = row->c->n;
	const float inverse = 1 / t->scale;
	bool moved = false;

	if (!isfinite(inverse))
		return false;
	for (size_t k = 0; k < grid->group; k++) {
		const float *h = row->c->h + (first + k) * n + first;
		const float wanted = t->q[k] + t->g[k] / h[k];
		const uint8_t number = nearest(grid, (wanted - t->offset) * inverse, t->numbers[k]);
		float by;

		if (number == t->numbers[k])
			continue;
		by = t->scale * grid->levels[number] + t->offset - t->q[k];
		t->numbers[k] = number;
		t->q[k] += by;
		t->moved[k] += by;
		subtract(t->g, by, h, grid->group);
		moved = true;
	}
	return moved;
}

/* The scale and offset for the levels that a group has, by least squares under H. */
static void refit(const struct row *row, size_t first, float *scale, float *offset)
{
	const struct qc_grid *grid = row->grid;
	const size_t n = row->c->n;
	const uint8_t *numbers = row->numbers + first;
	double a = 0, b = 0, c = 0, x = 0, y = 0, det;
	float levels[QC_GRID_ELEMS], ones[QC_GRID_ELEMS];

	for (size_t k = 0; k < grid->group; k++) {
		levels[k] = grid->levels[numbers[k]];
		ones[k] = 1;
	}
	for (size_t k = 0; k < grid->group; k++) {
		const float *h = row->c->h + (first + k) * n + first;
		const double hm = dot(h, levels, grid->group), g = (double)row->g[first + k];

		a += (double)levels[k] * hm;
		x += (double)levels[k] * g;
		if (!grid->has_offset)
			continue;
		b += hm;
		c += dot(h, ones, grid->group);
		y += g;
	}
	if (!grid->has_offset) {
		*scale += a > 0 ? (float)(x / a) : 0;
		return;
	}
	det = a * c - b * b;
	if (!(det > 1e-6 * a * c))
		return;
	*scale += (float)((x * c - y * b) / det);
	*offset += (float)((y * a - x * b) / det);
}

/* A group of the block that begins at column `at`. */
struct place {
	size_t at, first; /* of the group */
	uint32_t index;	  /* in the block */
	uint8_t *block;
};

/* Move the group as the trial has it, if that takes enough off the error. */
static bool accept(struct row *row, const struct place *p, const struct trial *t)
{
	const size_t n = row->c->n, group = row->grid->group;
	float *g = row->g + p->first, *e = row->e + p->first;
	double change = 0, share = 0;

	/* -2 d g + d H d with g before, and t->g = g - d H */
	for (size_t k = 0; k < group; k++) {
		change -= (double)t->moved[k] * ((double)g[k] + (double)t->g[k]);
		share += (double)e[k] * (double)g[k];
	}
	if (!(change < -WORTH_IT * fabs(share)))
		return false;
	memcpy(p->block, t->block, row->grid->type->block_bytes);
	memcpy(row->numbers + p->first, t->numbers, group);
	row->scale[p->first / group] = t->scale;
	row->offset[p->first / group] = t->offset;
	for (size_t k = 0; k < group; k++)
		e[k] -= t->moved[k];
	qc_subtract_rows(row->columns, group, t->moved, row->c->h + p->first * n + row->panel, n,
			 row->g + row->panel);
	return true;
}

static bool try_scale(struct row *row, const struct place *p, float scale, float offset,
		      struct trial *t)
{
	const struct qc_grid *grid = row->grid;
	const struct qc_qtype *type = grid->type;
	const size_t n = row->c->n, g = p->first / grid->group;
	float scales[QC_GRID_GROUPS], offsets[QC_GRID_GROUPS];

	memcpy(t->block, p->block, type->block_bytes);
	grid->set(t->block, p->index, scale, offset);
	if (!memcmp(t->block, p->block, type->block_bytes) ||
	    (type->check && !type->check(t->block, 1)))
		return false;
	qc_grid_scales(grid, t->block, scales, offsets);
	t->scale = scales[p->index];
	t->offset = offsets[p->index];
	memcpy(t->numbers, row->numbers + p->first, grid->group);
	memcpy(t->g, row->g + p->first, grid->group * sizeof(float));
	for (size_t k = 0; k < grid->group; k++) {
		const float level = grid->levels[t->numbers[k]];

		t->q[k] = t->scale * level + t->offset;
		t->moved[k] = t->q[k] - (row->scale[g] * level + row->offset[g]);
		subtract(t->g, t->moved[k], row->c->h + (p->first + k) * n + p->first, grid->group);
	}
	for (int pass = 0; pass < 2 && sweep(row, t, p->first); pass++)
		;
	return accept(row, p, t);
}

/* The levels of a group one by one, everything else following. */
static bool move_levels(struct row *row, size_t first)
{
	const struct qc_grid *grid = row->grid;
	const size_t n = row->c->n;
	const float scale = row->scale[first / grid->group];
	const float offset = row->offset[first / grid->group], inverse = 1 / scale;
	bool moved = false;

	if (!isfinite(inverse))
		return false;
	for (size_t j = first; j < first + grid->group; j++) {
		const float *h = row->c->h + j * n;
		const uint8_t now = row->numbers[j];
		const float q = scale * grid->levels[now] + offset;
		const uint8_t number =
			nearest(grid, (q + row->g[j] / h[j] - offset) * inverse, now);
		float by;

		if (number == now)
			continue;
		by = scale * grid->levels[number] + offset - q;
		row->numbers[j] = number;
		row->e[j] -= by;
		subtract(row->g + row->panel, by, h + row->panel, row->columns);
		moved = true;
	}
	return moved;
}

/* The first pass looks further; later ones refine. */
static bool descend_block(struct row *row, size_t at, bool further, bool fixed, struct trial *t)
{
	static const float factors[] = {1, 0.96f, 1.04f, 0.91f, 1.09f};
	const struct qc_grid *grid = row->grid;
	const struct qc_qtype *type = grid->type;
	const size_t tries = fixed ? 0 : further ? sizeof(factors) / sizeof(*factors) : 1;
	struct place p = {at, at, 0, row->blocks + at / type->block_elems * type->block_bytes};
	bool moved = false;

	for (; p.index < type->block_elems / grid->group; p.index++, p.first += grid->group) {
		for (size_t f = 0; f < tries; f++) {
			float scale = row->scale[p.first / grid->group];
			float offset = row->offset[p.first / grid->group];

			refit(row, p.first, &scale, &offset);
			moved |= try_scale(row, &p, scale * factors[f], offset * factors[f], t);
		}
		moved |= move_levels(row, p.first);
	}
	return moved;
}

void qc_gptq_follow(const struct qc_curvature *c, size_t rows, size_t panel, size_t columns,
		    const float *e, float *before, float *g)
{
	const size_t n = c->n, end = panel + columns;

	for (size_t l = 0; l < rows; l++)
		for (size_t k = 0; k < columns; k++)
			before[l * columns + k] -= e[l * n + panel + k];
	qc_gemm_nn(rows, panel, columns, -1, before, columns, c->h + panel * n, n, 1, g, n);
	qc_gemm_nn(rows, n - end, columns, -1, before, columns, c->h + panel * n + end, n, 1,
		   g + end, n);
}

static bool descend_panel(struct row *row, bool further, bool fixed, struct trial *t)
{
	const size_t block = row->grid->type->block_elems;
	bool moved = false;

	for (size_t at = row->panel; at < row->panel + row->columns; at += block)
		moved |= descend_block(row, at, further, fixed, t);
	return moved;
}

void qc_descend_rows(const struct qc_curvature *c, const struct qc_gptq_options *options,
		     size_t rows, uint8_t *blocks, uint8_t *numbers, float *e, float *g,
		     float *work)
{
	const struct qc_grid *grid = options->grid;
	const struct qc_qtype *type = grid->type;
	const size_t n = c->n, groups = n / grid->group;
	const size_t row_bytes = n / type->block_elems * type->block_bytes;
	float *scale = work, *offset = scale + rows * groups, *before = offset + rows * groups;
	struct trial t = {.q = before + rows * QC_GPTQ_PANEL};
	bool moved = true;

	t.moved = t.q + QC_GRID_ELEMS;
	t.g = t.moved + QC_GRID_ELEMS;
	for (size_t l = 0; l < rows; l++)
		for (size_t at = 0; at < n; at += type->block_elems)
			qc_grid_scales(grid,
				       blocks + l * row_bytes +
					       at / type->block_elems * type->block_bytes,
				       scale + l * groups + at / grid->group,
				       offset + l * groups + at / grid->group);
	for (unsigned pass = 0; pass < options->passes && moved; pass++) {
		moved = false;
		for (size_t at = 0; at < n; at += QC_GPTQ_PANEL) {
			const size_t columns = n - at < QC_GPTQ_PANEL ? n - at : QC_GPTQ_PANEL;
			bool here = false;

			for (size_t l = 0; l < rows; l++) {
				struct row row = {c,
						  grid,
						  blocks + l * row_bytes,
						  numbers + l * n,
						  e + l * n,
						  g + l * n,
						  scale + l * groups,
						  offset + l * groups,
						  at,
						  columns};

				memcpy(before + l * columns, row.e + at, columns * sizeof(*e));
				here |= descend_panel(&row, pass == 0, options->fixed, &t);
			}
			if (here)
				qc_gptq_follow(c, rows, at, columns, e, before, g);
			moved |= here;
		}
	}
	for (size_t l = 0; l < rows; l++)
		for (size_t at = 0; at < n; at += type->block_elems)
			grid->put(blocks + l * row_bytes +
					  at / type->block_elems * type->block_bytes,
				  numbers + l * n + at);
}

/*
 * Coordinate descent over the scales and levels of some rows: every step is kept only if the row's
 * error e H e' falls by it, all other elements staying as they are.
 *
 * The columns are worked on a panel at a time: its g = e H is a matrix product when its turn comes,
 * and follows every step from there on, as far as it is still needed: to the end of the panel.
 */
#include <math.h>
#include <string.h>

#include "calib/gptq_parts.h"
#include "calib/linalg.h"

/* What a step must take off a group's share of the error: less is not worth its time. */
#define WORTH_IT 1e-3
/* What a pass must take off the error of its rows for another one to follow. */
#define GO_ON 1e-2

/* One row at work; scales and offsets of all its groups as they decode. */
struct row {
	const struct qc_curvature *c;
	const struct qc_grid *grid;
	uint8_t *blocks, *numbers;
	float *e, *scale, *offset;
	float *g;	       /* of the panel */
	const float *inverse;  /* 1 / diagonal of H in the panel */
	size_t panel, columns; /* where it is */
	double gain;	       /* what the steps took off the error */
};

/* A group. */
struct place {
	size_t first, in_panel; /* its first column */
	uint32_t index;		/* in the block */
	uint8_t *block;
};

/* A group as it is: its levels, these times H, and H's row sums. */
struct fit {
	bool valid;
	float level[QC_GRID_ELEMS], level_h[QC_GRID_ELEMS], one_h[QC_GRID_ELEMS];
};

/* A group on trial: what its elements would decode to. */
struct trial {
	uint8_t block[QC_GRID_BYTES];
	uint8_t numbers[QC_GRID_ELEMS];
	float scale, offset;
	float q[QC_GRID_ELEMS];	    /* decoded values */
	float moved[QC_GRID_ELEMS]; /* q less what they are now */
	float g[QC_GRID_ELEMS];	    /* e H within the group */
	struct fit fit;		    /* of the group as it is */
};

/* y -= by * h, n elements */
static void subtract(float *y, float by, const float *h, size_t n)
{
#pragma omp simd
	for (size_t j = 0; j < n; j++)
		y[j] -= by * h[j];
}

static float dot(const float *x, const float *y, size_t n)
{
	float sum = 0;

#pragma omp simd reduction(+ : sum)
	for (size_t j = 0; j < n; j++)
		sum += x[j] * y[j];
	return sum;
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
static bool sweep(const struct row *row, const struct place *p, struct trial *t)
{
	const struct qc_grid *grid = row->grid;
	const float inverse = 1 / t->scale;
	bool moved = false;

	if (!isfinite(inverse))
		return false;
	for (size_t k = 0; k < grid->group; k++) {
		const float wanted = t->q[k] + t->g[k] * row->inverse[p->in_panel + k];
		const uint8_t number = nearest(grid, (wanted - t->offset) * inverse, t->numbers[k]);
		float by;

		if (number == t->numbers[k])
			continue;
		by = t->scale * grid->levels[number] + t->offset - t->q[k];
		t->numbers[k] = number;
		t->q[k] += by;
		t->moved[k] += by;
		subtract(t->g, by, row->c->h + (p->first + k) * row->c->n + p->first, grid->group);
		moved = true;
	}
	return moved;
}

static void look(const struct row *row, const struct place *p, struct fit *fit)
{
	const struct qc_grid *grid = row->grid;
	const uint8_t *numbers = row->numbers + p->first;
	float ones[QC_GRID_ELEMS];

	for (size_t k = 0; k < grid->group; k++) {
		fit->level[k] = grid->levels[numbers[k]];
		ones[k] = 1;
	}
	for (size_t k = 0; k < grid->group; k++) {
		const float *h = row->c->h + (p->first + k) * row->c->n + p->first;

		fit->level_h[k] = dot(h, fit->level, grid->group);
		fit->one_h[k] = grid->has_offset ? dot(h, ones, grid->group) : 0;
	}
	fit->valid = true;
}

/* The scale and offset for the levels that a group has, by least squares under H. */
static void refit(const struct row *row, const struct place *p, const struct fit *fit, float *scale,
		  float *offset)
{
	const struct qc_grid *grid = row->grid;
	const float *g = row->g + p->in_panel;
	double a = 0, b = 0, c = 0, x = 0, y = 0, det;

	for (size_t k = 0; k < grid->group; k++) {
		a += (double)fit->level[k] * (double)fit->level_h[k];
		x += (double)fit->level[k] * (double)g[k];
	}
	if (!grid->has_offset) {
		*scale += a > 0 ? (float)(x / a) : 0;
		return;
	}
	for (size_t k = 0; k < grid->group; k++) {
		b += (double)fit->level_h[k];
		c += (double)fit->one_h[k];
		y += (double)g[k];
	}
	det = a * c - b * b;
	if (!(det > 1e-6 * a * c))
		return;
	*scale += (float)((x * c - y * b) / det);
	*offset += (float)((y * a - x * b) / det);
}

/* Move the group as the trial has it, if that takes enough off the error. */
static void accept(struct row *row, const struct place *p, struct trial *t)
{
	const size_t n = row->c->n, group = row->grid->group;
	float *g = row->g + p->in_panel, *e = row->e + p->first;
	double change = 0, share = 0;

	/* -2 d g + d H d with g before, and t->g = g - d H */
	for (size_t k = 0; k < group; k++) {
		change -= (double)t->moved[k] * ((double)g[k] + (double)t->g[k]);
		share += (double)e[k] * (double)g[k];
	}
	if (!(change < -WORTH_IT * fabs(share)))
		return;
	memcpy(p->block, t->block, row->grid->type->block_bytes);
	memcpy(row->numbers + p->first, t->numbers, group);
	row->scale[p->first / group] = t->scale;
	row->offset[p->first / group] = t->offset;
	for (size_t k = 0; k < group; k++)
		e[k] -= t->moved[k];
	qc_subtract_rows(row->columns - p->in_panel, group, t->moved,
			 row->c->h + p->first * n + p->first, n, g);
	row->gain -= change;
	t->fit.valid = false;
}

static void try_scale(struct row *row, const struct place *p, float factor, struct trial *t)
{
	const struct qc_grid *grid = row->grid;
	const struct qc_qtype *type = grid->type;
	const size_t at = p->first / grid->group;
	const float old_scale = row->scale[at], old_offset = row->offset[at];
	float scale = old_scale, offset = old_offset;
	float scales[QC_GRID_GROUPS], offsets[QC_GRID_GROUPS], by, up;

	if (!t->fit.valid)
		look(row, p, &t->fit);
	refit(row, p, &t->fit, &scale, &offset);
	memcpy(t->block, p->block, type->block_bytes);
	grid->set(t->block, p->index, scale * factor, offset * factor);
	if (!memcmp(t->block, p->block, type->block_bytes) ||
	    (type->check && !type->check(t->block, 1)))
		return;
	qc_grid_scales(grid, t->block, scales, offsets);
	t->scale = scales[p->index];
	t->offset = offsets[p->index];
	by = t->scale - old_scale;
	up = t->offset - old_offset;
	memcpy(t->numbers, row->numbers + p->first, grid->group);
	for (size_t k = 0; k < grid->group; k++) {
		const float level = t->fit.level[k];

		t->q[k] = t->scale * level + t->offset;
		t->moved[k] = t->q[k] - (old_scale * level + old_offset);
		t->g[k] = row->g[p->in_panel + k] - by * t->fit.level_h[k] - up * t->fit.one_h[k];
	}
	for (int pass = 0; pass < 2 && sweep(row, p, t); pass++)
		;
	accept(row, p, t);
}

/* The levels of a group one by one, everything else following. */
static void move_levels(struct row *row, const struct place *p)
{
	const struct qc_grid *grid = row->grid;
	const float scale = row->scale[p->first / grid->group];
	const float offset = row->offset[p->first / grid->group], inverse = 1 / scale;
	float *g = row->g + p->in_panel;

	if (!isfinite(inverse))
		return;
	for (size_t k = 0; k < grid->group; k++) {
		const size_t j = p->first + k;
		const float *h = row->c->h + j * row->c->n;
		const uint8_t now = row->numbers[j];
		const float q = scale * grid->levels[now] + offset;
		const float wanted = g[k] * row->inverse[p->in_panel + k];
		const uint8_t number = nearest(grid, (q + wanted - offset) * inverse, now);
		float by;

		if (number == now)
			continue;
		by = scale * grid->levels[number] + offset - q;
		row->gain += (double)by * (2 * (double)g[k] - (double)by * (double)h[j]);
		row->numbers[j] = number;
		row->e[j] -= by;
		subtract(g, by, h + p->first, row->columns - p->in_panel);
	}
}

/* The first pass looks further; later ones refine. */
static void descend_block(struct row *row, size_t at, bool further, bool fixed, struct trial *t)
{
	static const float factors[] = {1, 0.96f, 1.04f, 0.91f, 1.09f};
	const struct qc_grid *grid = row->grid;
	const struct qc_qtype *type = grid->type;
	const size_t tries = fixed ? 0 : further ? sizeof(factors) / sizeof(*factors) : 1;
	struct place p = {.first = at,
			  .in_panel = at - row->panel,
			  .block = row->blocks + at / type->block_elems * type->block_bytes};

	for (; p.index < type->block_elems / grid->group; p.index++) {
		t->fit.valid = false;
		for (size_t f = 0; f < tries; f++)
			try_scale(row, &p, factors[f], t);
		move_levels(row, &p);
		p.first += grid->group;
		p.in_panel += grid->group;
	}
}

void qc_gptq_gradient(const struct qc_curvature *c, size_t rows, size_t panel, size_t columns,
		      const float *e, float *g)
{
	qc_gemm_nn(rows, columns, c->n, 1, e, c->n, c->h + panel, c->n, 0, g, QC_GPTQ_PANEL);
}

/* e g of a panel: its share of the error. */
static double share_of(const float *e, const float *g, size_t columns)
{
	double sum = 0;

	for (size_t k = 0; k < columns; k++)
		sum += (double)e[k] * (double)g[k];
	return sum;
}

static void descend_panel(struct row *row, bool further, bool fixed, struct trial *t)
{
	const size_t block = row->grid->type->block_elems;

	for (size_t at = row->panel; at < row->panel + row->columns; at += block)
		descend_block(row, at, further, fixed, t);
}

void qc_descend_rows(const struct qc_curvature *c, const struct qc_gptq_options *options,
		     size_t rows, uint8_t *blocks, uint8_t *numbers, float *e, float *work)
{
	const struct qc_grid *grid = options->grid;
	const struct qc_qtype *type = grid->type;
	const size_t n = c->n, groups = n / grid->group;
	const size_t row_bytes = n / type->block_elems * type->block_bytes;
	float *scale = work, *offset = scale + rows * groups, *g = offset + rows * groups;
	struct trial t;
	bool goes_on = true;

	for (size_t l = 0; l < rows; l++)
		for (size_t at = 0; at < n; at += type->block_elems)
			qc_grid_scales(grid,
				       blocks + l * row_bytes +
					       at / type->block_elems * type->block_bytes,
				       scale + l * groups + at / grid->group,
				       offset + l * groups + at / grid->group);
	for (unsigned pass = 0; pass < options->passes && goes_on; pass++) {
		double gain = 0, error = 0;

		for (size_t at = 0; at < n; at += QC_GPTQ_PANEL) {
			const size_t columns = n - at < QC_GPTQ_PANEL ? n - at : QC_GPTQ_PANEL;
			float inverse[QC_GPTQ_PANEL];

			for (size_t k = 0; k < columns; k++)
				inverse[k] = 1 / c->h[(at + k) * n + at + k];
			qc_gptq_gradient(c, rows, at, columns, e, g);
			for (size_t l = 0; l < rows; l++) {
				struct row row = {
					.c = c,
					.grid = grid,
					.blocks = blocks + l * row_bytes,
					.numbers = numbers + l * n,
					.e = e + l * n,
					.scale = scale + l * groups,
					.offset = offset + l * groups,
					.g = g + l * QC_GPTQ_PANEL,
					.inverse = inverse,
					.panel = at,
					.columns = columns,
				};

				error += share_of(row.e + at, row.g, columns);
				descend_panel(&row, pass == 0, options->fixed, &t);
				gain += row.gain;
			}
		}
		goes_on = gain > GO_ON * error;
	}
	for (size_t l = 0; l < rows; l++)
		for (size_t at = 0; at < n; at += type->block_elems)
			grid->put(blocks + l * row_bytes +
					  at / type->block_elems * type->block_bytes,
				  numbers + l * n + at);
}

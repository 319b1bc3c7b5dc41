/*
 * GPTQ for types whose codes are points of a grid (quant/points.h): the errors of every 8 elements
 * are fed into those behind them, which are rounded at once, each element's error counting by
 * R_kk^2. A descent follows that chooses 8 elements anew under all of H, as long as that lowers the
 * error; scales stay as the type's search chose them.
 */
#include "calib/gptq_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/linalg.h"
#include "quant/points.h"

enum { BLOCK = 256, MOST_POINTS = 2048 };

/* What an octet may become. */
struct octet {
	uint16_t codes[2];
	uint8_t signs;
	float q[8];
};

/* What one thread needs for QC_GPTQ_ROWS rows. */
struct points_work {
	float *e;	       /* [QC_GPTQ_ROWS, n] target - decoded */
	float *panel, *g;      /* [QC_GPTQ_ROWS, QC_GPTQ_PANEL] values; e H */
	float *scale, *offset; /* [QC_GPTQ_ROWS, n / 8] */
	float *cost, *loss;    /* [MOST_POINTS] of the points of a run; of a wrong sign */
	struct octet *octets;  /* [QC_GPTQ_ROWS, n / 8] as they are */
	uint8_t *blocks;       /* QC_GPTQ_ROWS blocks */
	float decoded[BLOCK];
};

static bool work_init(struct points_work *w, size_t n, size_t block_bytes)
{
	const size_t rows = QC_GPTQ_ROWS;

	*w = (struct points_work){.e = NULL};
	w->e = malloc(rows * n * sizeof(float));
	w->panel = malloc(rows * QC_GPTQ_PANEL * sizeof(float));
	w->g = malloc(rows * QC_GPTQ_PANEL * sizeof(float));
	w->scale = malloc(rows * n / 8 * sizeof(float));
	w->offset = malloc(rows * n / 8 * sizeof(float));
	w->cost = malloc(MOST_POINTS * sizeof(float));
	w->loss = malloc(MOST_POINTS * sizeof(float));
	w->octets = malloc(rows * n / 8 * sizeof(*w->octets));
	w->blocks = malloc(rows * block_bytes);
	return w->e && w->g && w->panel && w->scale && w->offset && w->cost && w->loss &&
	       w->octets && w->blocks;
}

static void work_clear(struct points_work *w)
{
	free(w->e);
	free(w->g);
	free(w->panel);
	free(w->scale);
	free(w->offset);
	free(w->cost);
	free(w->loss);
	free(w->octets);
	free(w->blocks);
}

/* The type's points as floats. */
struct lattice {
	const struct qc_points *points;
	const struct qc_qtype *type;
	size_t size, dims;
	float *level; /* [dims, size] */
};

static bool lattice_init(struct lattice *t, const struct qc_grid *grid)
{
	const struct qc_iq_grid *g = grid->points->grid;

	*t = (struct lattice){grid->points, grid->type, g->size, g->dims, NULL};
	t->level = malloc(t->size * t->dims * sizeof(float));
	for (size_t i = 0; t->level && i < t->dims; i++)
		for (size_t p = 0; p < t->size; p++)
			t->level[i * t->size + p] =
				grid->points->levels[qc_iq_level(g->points[p], (int)i, g->bits)];
	return t->level;
}

static uint16_t least(const float *cost, size_t n)
{
	size_t best = 0;

	for (size_t p = 1; p < n; p++)
		if (cost[p] < cost[best])
			best = p;
	return (uint16_t)best;
}

/* A run's best point with all signs right, or one wrong. */
struct best {
	uint16_t code[2];
	float cost[2];
};

/* cost[p] = the weighted squared error of each point beside x[dims], without what they have in
 * common; loss[p]: what one wrong sign adds. */
static struct best nearest_points(const struct lattice *t, struct points_work *w, const float *x,
				  const float *weight)
{
	float *cost = w->cost, *loss = w->loss;
	struct best best;

	for (size_t p = 0; p < t->size; p++) {
		cost[p] = 0;
		loss[p] = INFINITY;
	}
	for (size_t i = 0; i < t->dims; i++) {
		const float *level = t->level + i * t->size, a = weight[i];
		const float b = 2 * weight[i] * x[i];

#pragma omp simd
		for (size_t p = 0; p < t->size; p++)
			cost[p] += level[p] * (a * level[p] - b);
		if (t->points->signs != QC_SIGNS_EVEN)
			continue;
#pragma omp simd
		for (size_t p = 0; p < t->size; p++) {
			const float wrong = 2 * b * level[p];

			loss[p] = wrong < loss[p] ? wrong : loss[p];
		}
	}
	best.code[0] = best.code[1] = least(cost, t->size);
	best.cost[0] = cost[best.code[0]];
	best.cost[1] = INFINITY;
	if (t->points->signs != QC_SIGNS_EVEN)
		return best;
	for (size_t p = 0; p < t->size; p++)
		cost[p] += loss[p];
	best.code[1] = least(cost, t->size);
	best.cost[1] = cost[best.code[1]];
	return best;
}

/* The sign that costs least when it is wrong. */
static unsigned weakest(const struct lattice *t, uint16_t code, const float *x, const float *weight)
{
	float low = INFINITY;
	unsigned at = 0;

	for (size_t i = 0; i < t->dims; i++) {
		const float loss = weight[i] * x[i] * t->level[i * t->size + code];

		if (!(loss < low))
			continue;
		low = loss;
		at = (unsigned)i;
	}
	return at;
}

/* Round 8 values. */
static void round_octet(const struct lattice *t, struct points_work *w, const float *x,
			const float *weight, float scale, float offset, struct octet *to)
{
	const float inverse = 1 / scale;
	const size_t runs = 8 / t->dims;
	struct best best[2];
	size_t wrong = runs; /* the run with a wrong sign */
	unsigned minus = 0;
	float v[8];

	*to = (struct octet){.signs = 0};
	for (size_t i = 0; i < 8; i++) {
		v[i] = isfinite(inverse) ? (x[i] - offset) * inverse : 0;
		if (t->points->signs == QC_SIGNS_NONE || !(v[i] < 0))
			continue;
		v[i] = -v[i];
		to->signs |= (uint8_t)(1u << i);
		minus++;
	}
	for (size_t k = 0; k < runs; k++)
		best[k] = nearest_points(t, w, v + k * t->dims, weight + k * t->dims);
	if (t->points->signs == QC_SIGNS_EVEN && minus % 2)
		wrong = runs == 2 &&
			best[1].cost[1] - best[1].cost[0] < best[0].cost[1] - best[0].cost[0];
	for (size_t k = 0; k < runs; k++) {
		to->codes[k] = best[k].code[k == wrong];
		if (k == wrong)
			to->signs ^= (uint8_t)(1u << (k * t->dims + weakest(t, to->codes[k],
									    v + k * t->dims,
									    weight + k * t->dims)));
	}
	for (size_t i = 0; i < 8; i++) {
		const float q =
			scale * t->level[i % t->dims * t->size + to->codes[i / t->dims]] + offset;

		to->q[i] = to->signs >> i & 1 ? -q : q;
	}
}

static void put_block(const struct lattice *t, const struct octet *octets, uint8_t *block)
{
	uint16_t codes[2 * QC_OCTETS];
	uint8_t signs[QC_OCTETS];
	const size_t runs = 8 / t->dims;

	for (size_t k = 0; k < QC_OCTETS; k++) {
		for (size_t r = 0; r < runs; r++)
			codes[k * runs + r] = octets[k].codes[r];
		signs[k] = octets[k].signs;
	}
	t->points->put(block, codes, signs);
}

/* Block [at, at + 256) of a row: its values with the errors before it fed back are x. */
static void encode_block(const struct qc_curvature *c, const struct lattice *t,
			 struct points_work *w, const float *target, float *x, size_t at, float *e,
			 float *scale, float *offset, struct octet *octets, uint8_t *block)
{
	const size_t n = c->n;

	qc_points_scales(t->points, t->type, block, scale, offset);
	for (size_t k = 0; k < QC_OCTETS; k++) {
		struct octet *o = &octets[k];

		round_octet(t, w, x + 8 * k, c->diagonal + at + 8 * k, scale[k], offset[k], o);
		for (size_t i = 8 * k; i < 8 * k + 8; i++) {
			const float *u = c->u + (at + i) * n + at, by = target[i] - o->q[i % 8];

			for (size_t j = 8 * k + 8; j < BLOCK; j++)
				x[j] += by * u[j];
		}
	}
	put_block(t, octets, block);
	t->type->dequantize(block, w->decoded, 1);
	for (size_t i = 0; i < BLOCK; i++) {
		octets[i / 8].q[i % 8] = w->decoded[i];
		e[i] = target[i] - w->decoded[i];
	}
}

/* Choose 8 elements of a row anew, in the panel of `columns` columns from `panel` on; whether that
 * lowered the error. g follows as far as it is still needed. */
static bool move_octet(const struct qc_curvature *c, const struct lattice *t, struct points_work *w,
		       size_t row, size_t first, size_t panel, size_t columns)
{
	const size_t n = c->n, at = row * (n / 8) + first / 8;
	float *e = w->e + row * n + first, *g = w->g + row * QC_GPTQ_PANEL + first - panel;
	struct octet *now = &w->octets[at], other;
	float x[8], weight[8], moved[8];
	double change = 0, share = 0;

	for (size_t i = 0; i < 8; i++) {
		weight[i] = c->h[(first + i) * n + first + i];
		x[i] = now->q[i] + g[i] / weight[i];
	}
	round_octet(t, w, x, weight, w->scale[at], w->offset[at], &other);
	if (!memcmp(other.codes, now->codes, sizeof(now->codes)) && other.signs == now->signs)
		return false;
	for (size_t i = 0; i < 8; i++)
		moved[i] = other.q[i] - now->q[i];
	for (size_t i = 0; i < 8; i++) { /* -2 d g + d H d */
		double hd = 0;

		for (size_t j = 0; j < 8; j++)
			hd += (double)c->h[(first + i) * n + first + j] * (double)moved[j];
		change += (double)moved[i] * (hd - 2 * (double)g[i]);
		share += (double)e[i] * (double)g[i];
	}
	if (!(change < -1e-3 * fabs(share)))
		return false;
	*now = other;
	for (size_t i = 0; i < 8; i++)
		e[i] -= moved[i];
	qc_subtract_rows(columns - (first - panel), 8, moved, c->h + first * n + first, n, g);
	return true;
}

static void descend(const struct qc_curvature *c, const struct lattice *t, unsigned passes,
		    size_t rows, struct points_work *w)
{
	const size_t n = c->n;
	bool moved = true;

	for (unsigned pass = 0; pass < passes && moved; pass++) {
		moved = false;
		for (size_t at = 0; at < n; at += QC_GPTQ_PANEL) {
			const size_t columns = n - at < QC_GPTQ_PANEL ? n - at : QC_GPTQ_PANEL;

			qc_gptq_gradient(c, rows, at, columns, w->e, w->g);
			for (size_t l = 0; l < rows; l++)
				for (size_t k = 0; k < columns; k += 8)
					moved |= move_octet(c, t, w, l, at + k, at, columns);
		}
	}
}

static void encode_rows(const struct qc_curvature *c, const struct qc_gptq_options *o,
			const struct lattice *t, const float *target, size_t rows, uint8_t *blocks,
			struct points_work *w)
{
	const size_t n = c->n, bytes = t->type->block_bytes, row_bytes = n / BLOCK * bytes;

	for (size_t at = 0; at < n; at += BLOCK) {
		qc_gptq_begin_panel(c, target, rows, at, w->e, w->panel);
		qc_fast_search(t->type, o->isa)(w->panel, w->blocks, rows, BLOCK, c->diagonal + at);
		for (size_t l = 0; l < rows; l++) {
			const size_t octet = l * (n / 8) + at / 8;

			encode_block(c, t, w, target + l * n + at, w->panel + l * BLOCK, at,
				     w->e + l * n + at, w->scale + octet, w->offset + octet,
				     w->octets + octet, w->blocks + l * bytes);
			memcpy(blocks + l * row_bytes + at / BLOCK * bytes, w->blocks + l * bytes,
			       bytes);
		}
	}
	if (!o->passes)
		return;
	descend(c, t, o->passes, rows, w);
	for (size_t l = 0; l < rows; l++)
		for (size_t at = 0; at < n; at += BLOCK)
			put_block(t, w->octets + l * (n / 8) + at / 8,
				  blocks + l * row_bytes + at / BLOCK * bytes);
}

enum qc_status qc_gptq_points(const struct qc_curvature *c, const struct qc_gptq_options *o,
			      const float *target, size_t rows, uint8_t *blocks, struct qc_err *err)
{
	const size_t row_bytes = c->n / BLOCK * o->grid->type->block_bytes;
	struct lattice t;
	bool failed = !lattice_init(&t, o->grid);

#pragma omp parallel num_threads(o->threads) if (!failed)
	{
		struct points_work w;
		const bool good = work_init(&w, c->n, t.type->block_bytes);

		if (!good) {
#pragma omp atomic write
			failed = true;
		}
#pragma omp for schedule(dynamic)
		for (size_t row = 0; row < rows; row += QC_GPTQ_ROWS)
			if (good && t.level)
				encode_rows(c, o, &t, target + row * c->n,
					    rows - row < QC_GPTQ_ROWS ? rows - row : QC_GPTQ_ROWS,
					    blocks + row * row_bytes, &w);
		work_clear(&w);
	}
	free(t.level);
	return failed ? qc_no_memory(err) : QC_OK;
}

#include "calib/gptq_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "calib/linalg.h"

enum { ROWS = QC_GPTQ_ROWS };

void qc_curvature_clear(struct qc_curvature *c)
{
	free(c->h);
	free(c->u);
	free(c->diagonal);
	memset(c, 0, sizeof(*c));
}

enum qc_status qc_curvature_refuse(struct qc_err *err)
{
	return qc_fail(err, QC_BAD_INPUT,
		       "the second moments of its input are not positive definite");
}

enum qc_status qc_curvature_init(struct qc_curvature *c, size_t n, float *h, struct qc_err *err)
{
	const size_t bytes = n * n * sizeof(float);

	*c = (struct qc_curvature){.n = n, .h = h};
	c->u = malloc(bytes);
	c->diagonal = malloc(n * sizeof(float));
	if (!c->u || !c->diagonal) {
		qc_curvature_clear(c);
		return qc_no_memory(err);
	}
	memcpy(c->u, h, bytes);
	if (!qc_factor(n, c->u, c->diagonal)) {
		qc_curvature_clear(c);
		return qc_curvature_refuse(err);
	}
	return QC_OK;
}

/* What one thread needs for ROWS rows. */
struct work {
	float *e;	/* [ROWS, n] target - decoded */
	float *panel;	/* [ROWS, QC_GPTQ_PANEL] target with the errors before the panel fed back */
	float *x;	/* [ROWS, block] values with all errors fed back */
	float *lanes;	/* [block, ROWS] the same, columns first */
	float *decoded; /* [ROWS, block] */
	float *scratch; /* of qc_descend_rows() */
	uint8_t *blocks;  /* ROWS blocks */
	uint8_t *numbers; /* [ROWS, n] */
	qc_quantize_fn *search;
};

static void work_clear(struct work *w)
{
	free(w->e);
	free(w->panel);
	free(w->x);
	free(w->lanes);
	free(w->decoded);
	free(w->scratch);
	free(w->blocks);
	free(w->numbers);
}

static bool work_init(struct work *w, size_t n, const struct qc_qtype *type)
{
	const size_t block = ROWS * type->block_elems * sizeof(float);

	*w = (struct work){0};
	w->e = malloc(ROWS * n * sizeof(float));
	w->panel = malloc(ROWS * QC_GPTQ_PANEL * sizeof(float));
	w->x = malloc(block);
	w->lanes = malloc(block);
	w->decoded = malloc(block);
	w->scratch = malloc(QC_DESCEND_WORK(ROWS, n) * sizeof(float));
	w->blocks = malloc(ROWS * type->block_bytes);
	w->numbers = malloc(ROWS * n);
	return w->e && w->panel && w->x && w->lanes && w->decoded && w->scratch && w->blocks &&
	       w->numbers;
}

/* The scales of one group in all rows. */
struct lane_scales {
	float scale[ROWS], inverse[ROWS], offset[ROWS];
};

/* Round column k of all rows: numbers and decoded values. */
static void round_lanes(const struct qc_grid *grid, const struct lane_scales *s, const float *x,
			uint8_t numbers[ROWS], float q[ROWS])
{
	const float *levels = grid->levels, step = levels[1] - levels[0];
	const bool even =
		levels[grid->n_levels - 1] - levels[0] == step * (float)(grid->n_levels - 1);
	float number[ROWS] = {0}, v[ROWS];

	for (int l = 0; l < ROWS; l++)
		v[l] = (x[l] - s->offset[l]) * s->inverse[l];
	if (even) {
		const float top = (float)(grid->n_levels - 1);

		for (int l = 0; l < ROWS; l++) {
			const float at = v[l] - levels[0];

			number[l] = at < 0 ? 0 : at > top ? top : floorf(at + 0.5f);
		}
	} else {
		for (uint32_t t = 0; t + 1 < grid->n_levels; t++) {
			const float middle = 0.5f * (levels[t] + levels[t + 1]);

			for (int l = 0; l < ROWS; l++)
				number[l] += v[l] > middle ? 1.0f : 0.0f;
		}
	}
	for (int l = 0; l < ROWS; l++) {
		numbers[l] = (uint8_t)number[l];
		q[l] = s->scale[l] * levels[numbers[l]] + s->offset[l];
	}
}

/* Round a block of columns [at, at + block) of all rows, each column's errors fed into the next. */
static void round_block(const struct qc_curvature *c, const struct qc_grid *grid, size_t at,
			struct work *w, const struct lane_scales *scales)
{
	const size_t n = c->n, block = grid->type->block_elems;

	for (size_t k = 0; k < block; k++) {
		const float *u = c->u + (at + k) * n + at;
		const float *x = w->lanes + k * ROWS;
		uint8_t numbers[ROWS];
		float e[ROWS], q[ROWS];

		round_lanes(grid, &scales[k / grid->group], x, numbers, q);
		/* what is fed on is the error against the target: x without what was fed to it */
		for (int l = 0; l < ROWS; l++) {
			w->numbers[(size_t)l * n + at + k] = numbers[l];
			e[l] = w->decoded[k * ROWS + (size_t)l] - q[l];
		}
		for (size_t j = k + 1; j < block; j++) {
			const float f = u[j];
			float *to = w->lanes + j * ROWS;

			for (int l = 0; l < ROWS; l++)
				to[l] += f * e[l];
		}
	}
}

static void lane_scales(const struct qc_grid *grid, const uint8_t *blocks, size_t rows,
			struct lane_scales *scales)
{
	const size_t n_groups = grid->type->block_elems / grid->group;

	for (size_t l = 0; l < ROWS; l++) {
		float scale[QC_GRID_GROUPS] = {0}, offset[QC_GRID_GROUPS] = {0};

		if (l < rows)
			qc_grid_scales(grid, blocks + l * grid->type->block_bytes, scale, offset);
		for (size_t g = 0; g < n_groups; g++) {
			const float inverse = 1 / scale[g];

			scales[g].scale[l] = scale[g];
			scales[g].offset[l] = offset[g];
			scales[g].inverse[l] = isfinite(inverse) ? inverse : 0;
		}
	}
}

/* Choose scales and codes of columns [at, at + block) of `rows` rows, in the panel from column
 * `first` on. */
static void encode_block(const struct qc_curvature *c, const struct qc_gptq_options *o,
			 const float *target, size_t rows, size_t first, size_t at, struct work *w)
{
	const struct qc_grid *grid = o->grid;
	const size_t n = c->n, block = grid->type->block_elems, bytes = grid->type->block_bytes;
	struct lane_scales scales[QC_GRID_GROUPS];

	for (size_t l = 0; l < rows; l++)
		memcpy(w->x + l * block, w->panel + l * QC_GPTQ_PANEL + at - first,
		       block * sizeof(float));
	if (at > first)
		qc_gemm_nn(rows, block, at - first, 1, w->e + first, n, c->u + first * n + at, n, 1,
			   w->x, block);
	if (!o->fixed)
		w->search(w->x, w->blocks, rows, block, c->diagonal + at);
	lane_scales(grid, w->blocks, rows, scales);
	memset(w->lanes, 0, ROWS * block * sizeof(float));
	for (size_t k = 0; k < block; k++)
		for (size_t l = 0; l < rows; l++) {
			w->lanes[k * ROWS + l] = w->x[l * block + k];
			w->decoded[k * ROWS + l] = target[l * n + at + k];
		}
	round_block(c, grid, at, w, scales);
	for (size_t l = 0; l < rows; l++) {
		uint8_t *dst = w->blocks + l * bytes;

		grid->put(dst, w->numbers + l * n + at);
		grid->type->dequantize(dst, w->decoded, 1);
		for (size_t k = 0; k < block; k++)
			w->e[l * n + at + k] = target[l * n + at + k] - w->decoded[k];
	}
}

void qc_gptq_begin_panel(const struct qc_curvature *c, const float *target, size_t rows,
			 size_t first, const float *e, float *panel)
{
	const size_t n = c->n, columns = n - first < QC_GPTQ_PANEL ? n - first : QC_GPTQ_PANEL;

	for (size_t l = 0; l < rows; l++)
		memcpy(panel + l * QC_GPTQ_PANEL, target + l * n + first, columns * sizeof(float));
	if (first)
		qc_gemm_nn(rows, columns, first, 1, e, n, c->u + first, n, 1, panel, QC_GPTQ_PANEL);
}

static void encode_rows(const struct qc_curvature *c, const struct qc_gptq_options *o,
			const float *target, size_t rows, uint8_t *blocks, struct work *w)
{
	const struct qc_qtype *type = o->grid->type;
	const size_t n = c->n, row_bytes = n / type->block_elems * type->block_bytes;

	for (size_t at = 0; at < n; at += type->block_elems) {
		for (size_t l = 0; o->fixed && l < rows; l++)
			memcpy(w->blocks + l * type->block_bytes,
			       blocks + l * row_bytes + at / type->block_elems * type->block_bytes,
			       type->block_bytes);
		if (at % QC_GPTQ_PANEL == 0)
			qc_gptq_begin_panel(c, target, rows, at, w->e, w->panel);
		encode_block(c, o, target, rows, at / QC_GPTQ_PANEL * QC_GPTQ_PANEL, at, w);
		for (size_t l = 0; l < rows; l++)
			memcpy(blocks + l * row_bytes + at / type->block_elems * type->block_bytes,
			       w->blocks + l * type->block_bytes, type->block_bytes);
	}
	if (!o->passes)
		return;
	qc_descend_rows(c, o, rows, blocks, w->numbers, w->e, w->scratch);
}

enum qc_status qc_gptq(const struct qc_curvature *c, const struct qc_gptq_options *o,
		       const float *target, size_t rows, uint8_t *blocks, struct qc_err *err)
{
	const struct qc_qtype *type = o->grid->type;
	const size_t row_bytes = c->n / type->block_elems * type->block_bytes;
	bool failed = false;

	if (o->grid->points)
		return qc_gptq_points(c, o, target, rows, blocks, err);
#pragma omp parallel num_threads(o->threads)
	{
		struct work w;
		const bool good = work_init(&w, c->n, type);

		w.search = qc_fast_search(type, o->isa);

		if (!good) {
#pragma omp atomic write
			failed = true;
		}
#pragma omp for schedule(dynamic)
		for (size_t row = 0; row < rows; row += ROWS)
			if (good)
				encode_rows(c, o, target + row * c->n,
					    rows - row < ROWS ? rows - row : ROWS,
					    blocks + row * row_bytes, &w);
		work_clear(&w);
	}
	return failed ? qc_no_memory(err) : QC_OK;
}

/* GPTQ on synthetic weights with correlated inputs: grids, the factorization, and that no matrix
 * comes out worse than by search. */
#include <math.h>

#include "calib/gptq.h"
#include "calib/linalg.h"
#include "calib/moments.h"
#include "quant/bnb_block.h"
#include "quant/iq_search.h"
#include "quant/types.h"
#include "tests/test.h"

enum { N = 256, ROWS = 70, TOKENS = 1024 };

static uint32_t state = 1;

/* About normal, variance 1. */
static float noise(void)
{
	float sum = 0;

	for (int i = 0; i < 12; i++) {
		state = state * 1664525u + 1013904223u;
		sum += (float)(state >> 8) * 0x1p-24f;
	}
	return sum - 6;
}

static float *floats(size_t n)
{
	float *x = calloc(n, sizeof(*x));

	NEED(x, "no memory");
	return x;
}

/* Inputs whose channels go together, some much larger than others. */
static void make_inputs(float *x)
{
	for (size_t t = 0; t < TOKENS; t++) {
		const float common = noise(), other = noise();

		for (size_t i = 0; i < N; i++)
			x[t * N + i] =
				(noise() + common * sinf((float)i) + other * cosf(3 * (float)i)) *
				(i % 37 == 0 ? 8.0f : 1.0f);
	}
}

static void make_curvature(struct qc_curvature *c)
{
	float *x = floats(TOKENS * N);
	struct qc_moments m;
	struct qc_err err;

	make_inputs(x);
	NEED(!qc_moments_init(&m, N, 0, &err), "%s", err.text);
	qc_moments_add(&m, x, NULL, TOKENS, 2);
	NEED(!qc_moments_complete(&m, &err), "%s", err.text);
	NEED(!qc_moments_curvature(&m, 0.01f, 2, c, &err), "%s", err.text);
	qc_moments_clear(&m);
	free(x);
}

static double error_of(const struct qc_curvature *c, const float *w, const float *q)
{
	double sum = 0;

	for (size_t r = 0; r < ROWS; r++)
		for (size_t i = 0; i < N; i++) {
			double s = 0;

			for (size_t j = 0; j < N; j++)
				s += (double)c->h[i * N + j] *
				     ((double)w[r * N + j] - (double)q[r * N + j]);
			sum += s * ((double)w[r * N + i] - (double)q[r * N + i]);
		}
	return sum;
}

/* All grids: those of the list, and the packings' own. */
static const struct qc_grid *grid_at(size_t i)
{
	static const struct qc_grid *const own[] = {&qc_grid_nf4, &qc_grid_fp4, NULL};
	size_t n = 0;

	while (qc_grids[n])
		n++;
	return i < n ? qc_grids[i] : own[i - n];
}

static void the_factor_gives_the_matrix_back(const struct qc_curvature *c)
{
	double worst = 0;

	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < N; j++) {
			double s = 0, scale = sqrt((double)c->h[i * N + i] * c->h[j * N + j]);

			for (size_t k = 0; k < N; k++)
				s += (double)c->u[i * N + k] * c->diagonal[k] * c->u[j * N + k];
			worst = fmax(worst, fabs(s - c->h[i * N + j]) / scale);
		}
	CHECK(worst < 1e-5, "u diagonal u' is off by %g", worst);
}

static void a_block_is_its_scales_and_levels(const struct qc_grid *grid)
{
	const struct qc_qtype *type = grid->type;
	const size_t n = type->block_elems;
	float x[QC_GRID_ELEMS], y[QC_GRID_ELEMS], z[QC_GRID_ELEMS];
	float scale[QC_GRID_GROUPS], offset[QC_GRID_GROUPS];
	uint8_t block[QC_GRID_BYTES], numbers[QC_GRID_ELEMS];

	for (int turn = 0; turn < 20; turn++) {
		for (size_t i = 0; i < n; i++)
			x[i] = noise();
		qc_fast_search(type, QC_ISA_SCALAR)(x, block, 1, n, NULL);
		type->dequantize(block, y, 1);
		qc_grid_scales(grid, block, scale, offset);
		for (size_t i = 0; i < n; i++) {
			const size_t g = i / grid->group;

			numbers[i] = qc_grid_nearest(
				grid, scale[g] != 0 ? (y[i] - offset[g]) / scale[g] : 0);
		}
		grid->put(block, numbers);
		type->dequantize(block, z, 1);
		for (size_t i = 0; i < n; i++)
			CHECK(z[i] == y[i], "%s[%zu]: %g became %g", type->name, i, (double)y[i],
			      (double)z[i]);
		/* what is set is what is there, to the storage's precision */
		grid->set(block, 0, scale[0], offset[0]);
		type->dequantize(block, z, 1);
		for (size_t i = 0; i < n; i++)
			CHECK(fabsf(z[i] - y[i]) <= 1e-3f * (1 + fabsf(y[i])),
			      "%s[%zu]: %g became %g when its own scale was set", type->name, i,
			      (double)y[i], (double)z[i]);
	}
}

/* Codes and signs, put into a block, are what it decodes to. */
static void a_block_is_its_scales_and_points(const struct qc_grid *grid)
{
	const struct qc_points *p = grid->points;
	const size_t dims = p->grid->dims;
	float x[256], y[256], scale[QC_OCTETS], offset[QC_OCTETS];
	uint8_t block[QC_GRID_BYTES], signs[QC_OCTETS];
	uint16_t codes[2 * QC_OCTETS];

	for (int turn = 0; turn < 20; turn++) {
		for (size_t i = 0; i < 256; i++)
			x[i] = noise();
		qc_fast_search(grid->type, QC_ISA_SCALAR)(x, block, 1, 256, NULL);
		qc_points_scales(p, grid->type, block, scale, offset);
		for (size_t i = 0; i < 256 / dims; i++)
			codes[i] = (uint16_t)((uint32_t)(noise() * 1e6f + 1e8f) % p->grid->size);
		for (size_t i = 0; i < QC_OCTETS; i++) {
			const unsigned seven = (uint32_t)(noise() * 1e6f + 1e8f) & 127;

			signs[i] = p->signs == QC_SIGNS_NONE ? 0 : qc_iq_even_signs(seven);
		}
		p->put(block, codes, signs);
		grid->type->dequantize(block, y, 1);
		for (size_t i = 0; i < 256; i++) {
			const uint16_t point = p->grid->points[codes[i / dims]];
			const float level =
				p->levels[qc_iq_level(point, (int)(i % dims), p->grid->bits)];
			const float q = scale[i / 8] * level + offset[i / 8];
			const float want = signs[i / 8] >> (i % 8) & 1 ? -q : q;

			CHECK(fabsf(want - y[i]) <= 1e-5f * fabsf(y[i]), "%s[%zu]: %g, not %g",
			      grid->type->name, i, (double)y[i], (double)want);
		}
	}
}

static void no_matrix_is_worse_than_by_search(const struct qc_curvature *c,
					      const struct qc_grid *grid)
{
	const struct qc_qtype *type = grid->type;
	const size_t bytes = ROWS * N / type->block_elems * type->block_bytes;
	float *w = floats(ROWS * N), *q = floats(ROWS * N);
	uint8_t *blocks = calloc(3, bytes);
	double search, plain, descended;
	struct qc_err err;

	NEED(blocks, "no memory");
	for (size_t i = 0; i < ROWS * N; i++)
		w[i] = 0.05f * noise();
	qc_fast_search(type, QC_ISA_SCALAR)(w, blocks, ROWS, N, NULL);
	type->dequantize(blocks, q, ROWS * N / type->block_elems);
	search = error_of(c, w, q);
	for (int threads = 1; threads <= 3; threads++) {
		const struct qc_gptq_options o = {grid, threads, QC_ISA_SCALAR, 6, false};

		NEED(!qc_gptq(c, &o, w, ROWS, blocks + (size_t)(threads > 1) * bytes, &err), "%s",
		     err.text);
		CHECK(threads == 1 || !memcmp(blocks, blocks + bytes, bytes),
		      "%s: another result with %d threads", type->name, threads);
	}
	type->dequantize(blocks, q, ROWS * N / type->block_elems);
	descended = error_of(c, w, q);
	NEED(!qc_gptq(c, &(struct qc_gptq_options){grid, 2, QC_ISA_SCALAR, 0, false}, w, ROWS,
		      blocks, &err),
	     "%s", err.text);
	type->dequantize(blocks, q, ROWS * N / type->block_elems);
	plain = error_of(c, w, q);
	CHECK(descended <= plain * 1.0001, "%s: descent raised the error from %g to %g", type->name,
	      plain, descended);
	CHECK(descended < 0.9 * search, "%s: error %g, %g by search", type->name, descended,
	      search);
	printf("%-8s search 1, gptq %.3f, with descent %.3f\n", type->name, plain / search,
	       descended / search);
	free(w);
	free(q);
	free(blocks);
}

static void fixed_scales_stay(const struct qc_curvature *c)
{
	const struct qc_grid *grid = &qc_grid_nf4;
	const size_t n_blocks = ROWS * N / 64;
	struct qc_block_bnb4 *blocks = calloc(n_blocks, 2 * sizeof(*blocks)), *copy;
	float *w = floats(ROWS * N);
	struct qc_err err;

	NEED(blocks, "no memory");
	copy = blocks + n_blocks;
	for (size_t i = 0; i < ROWS * N; i++)
		w[i] = 0.05f * noise();
	grid->type->search(w, blocks, ROWS, N, NULL);
	qc_bnb4_nest(blocks, n_blocks);
	memcpy(copy, blocks, n_blocks * sizeof(*blocks));
	NEED(!qc_gptq(c, &(struct qc_gptq_options){grid, 2, QC_ISA_SCALAR, 4, true}, w, ROWS,
		      (uint8_t *)blocks, &err),
	     "%s", err.text);
	for (size_t i = 0; i < n_blocks; i++)
		CHECK(!memcmp(&blocks[i], &copy[i], offsetof(struct qc_block_bnb4, q)),
		      "block %zu has another scale", i);
	free(blocks);
	free(w);
}

static void the_target_fits_the_original_outputs(void)
{
	float *x = floats(TOKENS * N), *y = floats(TOKENS * N), *w = floats(ROWS * N);
	float *target = floats(ROWS * N), *copy = floats(TOKENS * N);
	const struct qc_weight_rows rows = {w, 1, 0, ROWS};
	struct qc_moments m[2]; /* as they are; used up */
	struct qc_curvature c;
	struct qc_two_rows two;
	double gain, expected = 0;
	struct qc_err err;

	make_inputs(x);
	for (size_t i = 0; i < TOKENS * N; i++)
		y[i] = x[i] * 1.02f + 0.05f * x[i / N * N + (i + 1) % N];
	for (size_t i = 0; i < ROWS * N; i++)
		w[i] = noise();
	for (int i = 0; i < 2; i++) {
		memcpy(copy, y, TOKENS * N * sizeof(float));
		NEED(!qc_moments_init(&m[i], N, 0, &err), "%s", err.text);
		qc_moments_add(&m[i], x, copy, TOKENS, 2);
		NEED(!qc_moments_complete(&m[i], &err), "%s", err.text);
	}
	NEED(!qc_moments_curvature(&m[1], 1e-4f, 2, &c, &err), "%s", err.text);
	qc_moments_target(&m[1], &c, &rows, target, 2);
	two = (struct qc_two_rows){&qc_f32, qc_f32.dequantize, (const uint8_t *)target,
				   (const uint8_t *)w};
	NEED(!qc_moments_gain(&m[0], &rows, &two, 2, &gain, &err), "%s", err.text);
	for (size_t t = 0; t < TOKENS; t++)
		for (size_t r = 0; r < ROWS; r++) {
			double want = 0, a = 0, b = 0;

			for (size_t i = 0; i < N; i++) {
				want += (double)w[r * N + i] * (double)y[t * N + i];
				a += (double)target[r * N + i] * (double)x[t * N + i];
				b += (double)w[r * N + i] * (double)x[t * N + i];
			}
			expected += (want - b) * (want - b) - (want - a) * (want - a);
		}
	CHECK(expected > 0 && fabs(gain / expected - 1) < 1e-3, "a gain of %g, not %g", gain,
	      expected);
	/* y is a linear function of x: the target gives its outputs */
	for (size_t i = 0; i < 3; i++) {
		const float want = 1.02f * w[i] + 0.05f * w[(i + N - 1) % N];

		CHECK(fabsf(target[i] - want) < 0.01f, "target %zu is %g, not %g", i,
		      (double)target[i], (double)want);
	}
	qc_curvature_clear(&c);
	for (int i = 0; i < 2; i++)
		qc_moments_clear(&m[i]);
	free(x);
	free(y);
	free(w);
	free(copy);
	free(target);
}

/* What the outputs should be is known of half of the tokens. */
static void the_target_fits_outputs_known_of_some_tokens(bool has_t)
{
	float *x = floats(TOKENS * N), *y = floats(TOKENS * N), *w = floats(ROWS * N);
	float *target = floats(ROWS * N), *wanted = floats(TOKENS * ROWS);
	const struct qc_weight_rows rows = {w, 1, 0, ROWS};
	struct qc_moments m;
	struct qc_curvature c;
	struct qc_err err;

	make_inputs(x);
	for (size_t i = 0; i < TOKENS * N; i++)
		y[i] = x[i] * 1.02f + 0.05f * x[i / N * N + (i + 1) % N];
	for (size_t i = 0; i < ROWS * N; i++)
		w[i] = noise();
	qc_gemm_nt(TOKENS, ROWS, N, 1, y, N, w, N, 0, wanted, ROWS);
	NEED(!qc_moments_init(&m, N, has_t ? ROWS : 0, &err), "%s", err.text);
	if (has_t)
		qc_moments_add_wanted(&m, x, wanted, TOKENS / 2, 2);
	else
		qc_moments_add(&m, x, y, TOKENS / 2, 2);
	NEED(!qc_moments_settle(&m, 1e-4f, w, 2, &err), "%s", err.text);
	qc_moments_add(&m, x + TOKENS / 2 * N, NULL, TOKENS / 2, 2);
	NEED(!qc_moments_complete(&m, &err), "%s", err.text);
	NEED(!qc_moments_curvature(&m, 1e-4f, 2, &c, &err), "%s", err.text);
	qc_moments_target(&m, &c, &rows, target, 2);
	for (size_t i = 0; i < N; i++) {
		const float want = 1.02f * w[i] + 0.05f * w[(i + N - 1) % N];

		CHECK(fabsf(target[i] - want) < 0.01f, "%s: target %zu is %g, not %g",
		      has_t ? "T" : "D", i, (double)target[i], (double)want);
	}
	qc_curvature_clear(&c);
	qc_moments_clear(&m);
	free(x);
	free(y);
	free(w);
	free(wanted);
	free(target);
}

static void what_is_not_positive_definite_is_refused(void)
{
	struct qc_curvature c;
	struct qc_err err = {0};
	float *h = floats(4);

	h[0] = 1;
	h[1] = h[2] = 2;
	h[3] = 1;
	CHECK(qc_curvature_init(&c, 2, h, &err) == QC_BAD_INPUT && !c.h, "accepted");
}

int main(void)
{
	struct qc_curvature c;

	qc_linalg_start();
	make_curvature(&c);
	the_factor_gives_the_matrix_back(&c);
	for (size_t i = 0; grid_at(i); i++) {
		if (grid_at(i)->points)
			a_block_is_its_scales_and_points(grid_at(i));
		else
			a_block_is_its_scales_and_levels(grid_at(i));
		no_matrix_is_worse_than_by_search(&c, grid_at(i));
	}
	fixed_scales_stay(&c);
	the_target_fits_the_original_outputs();
	the_target_fits_outputs_known_of_some_tokens(false);
	the_target_fits_outputs_known_of_some_tokens(true);
	what_is_not_positive_definite_is_refused();
	qc_curvature_clear(&c);
	return test_end();
}

/*
 * The matrix whose output joins the residual stream, at the end of a half of a block: here what is
 * missing in the stream of the quantized model can be made up for.
 *
 * The original's stream being ahead by r, the outputs z' = W y' + r' are wanted. With a norm
 * between, x += g * z / rms(z), a token's error counts by 1 / rms(z), and what is missing in z is
 * r * rms(z) / g: inputs and z are divided by rms(z), and r by g. rms(z) is the original model's.
 * What a channel with a small g would need changes rms(z) for all: r g / (g^2 + 0.5 mean g^2) is
 * asked for.
 *
 * Each model computes what leads to the inputs once: the quantized model's are kept until the
 * matrix is quantized, in a temporary file where they are many.
 */
#include "calib/tune_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_GAIN 0.5f
struct joining {
	struct qc_tuning_state *t;
	const struct qc_half *a, *b;
	const struct qc_joint *joint;
	const struct qc_matrix *matrix, *norm; /* of the original model */
	float *x, *z, *wanted;		       /* of one chunk */
	float *inverse;			       /* of g, by channel */
	struct qc_rows inputs;
	struct qc_spill file;
};

static void invert_gains(struct joining *j, size_t width)
{
	const float *g = j->norm->w;
	float mean = 0;

	for (size_t i = 0; j->norm->weight && i < width; i++)
		mean += g[i] * g[i] / (float)width;
	for (size_t i = 0; i < width; i++) {
		const float below = j->norm->weight ? g[i] * g[i] + SMALL_GAIN * mean : 1;

		j->inverse[i] = !j->norm->weight ? 1 : below > 0 ? g[i] / below : 0;
	}
}

static enum qc_status open_joining(struct joining *j, struct qc_err *err)
{
	const struct qc_forward *f = j->t->b;
	const size_t rows = f->chunk * f->length, width = f->graph.width;
	const uint64_t in = j->matrix->weight->in, bytes = f->rows * in * sizeof(float);
	const bool spills = f->options.mem_limit || bytes > QC_TUNE_KEPT_BYTES;
	uint64_t offset = 0;
	enum qc_status s = QC_OK;

	j->x = qc_floats(rows, in, 1);
	j->z = qc_floats(rows, width, 1);
	j->wanted = qc_floats(rows, width, 1);
	j->inverse = qc_floats(width, 1, 1);
	if (!j->x || !j->z || !j->wanted || !j->inverse)
		return qc_no_memory(err);
	invert_gains(j, width);
	if (spills)
		s = qc_spill_open(&j->file, f->options.spill_dir, bytes, err);
	return s ? s
		 : qc_rows_make(&j->inputs, f->rows, in, spills ? &j->file : NULL, &offset, err);
}

static void close_joining(struct joining *j)
{
	qc_rows_clear(&j->inputs);
	qc_spill_close(&j->file);
	free(j->x);
	free(j->z);
	free(j->wanted);
	free(j->inverse);
}

/* Of `rows` rows, the first of which is row `at` of the chunk: wanted = z without bias and factor,
 * and x, both by 1 / rms(z) where a norm follows; then what is missing in the stream. */
static void want(struct joining *j, size_t at, const float *stream_a, const float *stream_b,
		 size_t rows)
{
	const size_t n = j->matrix->weight->in, width = j->t->b->graph.width;
	const float eps = j->t->b->graph.eps, factor = 1 / j->matrix->scale;
	const float *bias = j->matrix->bias;

#pragma omp parallel for schedule(static) num_threads(j->t->b->threads)
	for (size_t r = 0; r < rows; r++) {
		const float *z = j->z + r * width, *a = stream_a + r * width;
		const float *b = stream_b + r * width;
		float *to = j->wanted + r * width, inverse = 1;
		double sum = 0;

		for (size_t i = 0; j->norm->weight && i < width; i++)
			sum += (double)z[i] * (double)z[i];
		if (j->norm->weight)
			inverse = 1 / sqrtf((float)(sum / (double)width) + eps);
		for (size_t i = 0; i < width; i++)
			to[i] = ((z[i] - (bias ? bias[i] : 0)) * inverse +
				 (a[i] - b[i]) * j->inverse[i]) *
				factor;
		for (size_t i = 0; j->norm->weight && i < n; i++)
			j->x[(at + r) * n + i] *= inverse;
	}
}

/* The output z joins the stream x of `rows` rows. */
static enum qc_status join(struct qc_forward *f, const struct qc_matrix *slots,
			   const struct qc_joint *joint, float *z, size_t row, float *x,
			   size_t rows, struct qc_err *err)
{
	const size_t width = f->graph.width;

	qc_matrix_norm(f, &slots[joint->slots[1]], z, rows, width, z);
	for (size_t i = 0; i < rows * width; i++)
		x[i] += z[i];
	if (joint->slots[2] != QC_SLOTS && slots[joint->slots[2]].weight)
		for (size_t i = 0; i < rows * width; i++)
			x[i] *= *slots[joint->slots[2]].w;
	return qc_rows_write(&f->x, row, rows, x, err);
}

/* The original's outputs of some windows, in j->z, and the stream that they will join. */
static enum qc_status original_outputs(struct joining *j, const struct qc_shared_windows *shared,
				       float **stream, struct qc_err *err)
{
	struct qc_forward *a = j->t->a;
	const size_t rows = shared->n * a->length;
	struct qc_catch c;
	enum qc_status s = qc_tune_catch(j->a, shared->first, &c, j->matrix->weight, err);

	if (!s)
		s = qc_matrix_apply(a, j->matrix, c.x, rows, j->z, err);
	return s ? s
		 : qc_rows_read(&a->x, shared->first * a->length, rows, a->x_buffer, stream, err);
}

/* Moments of one chunk; the original model goes on. */
static enum qc_status learn_chunk(struct joining *j, size_t window, struct qc_err *err)
{
	struct qc_forward *a = j->t->a, *b = j->t->b;
	const struct qc_shared_windows shared = qc_tune_shared_of(j->t, window);
	const enum qc_slot slot = j->joint->slots[0];
	const size_t row = window * b->length, at = shared.at * b->length;
	const size_t rows = shared.n * b->length;
	struct qc_catch c;
	float *stream_a = NULL, *stream_b;
	enum qc_status s = rows ? original_outputs(j, &shared, &stream_a, err) : QC_OK;

	if (!s)
		s = qc_tune_catch(j->b, window, &c, j->b->loaded.slots[slot].weight, err);
	if (!s)
		s = qc_rows_write(&j->inputs, row, c.rows, c.x, err);
	if (!s && j->inputs.data)
		memcpy(qc_rows_place(&j->inputs, row, NULL), c.x,
		       c.rows * j->inputs.cols * sizeof(float));
	if (!s)
		s = qc_rows_read(&b->x, row, c.rows, b->x_buffer, &stream_b, err);
	if (s)
		return s;
	memcpy(j->x, c.x, c.rows * j->inputs.cols * sizeof(float));
	want(j, at, stream_a, stream_b + at * b->graph.width, rows);
	qc_tune_add(j->t, row, j->x, c.rows, &(struct qc_originals){.at = at, .wanted = j->wanted});
	return !rows ? QC_OK
		     : join(a, j->a->loaded.slots, j->joint, j->z, shared.first * a->length,
			    stream_a, rows, err);
}

/* The quantized model goes on, with the matrix as it is now. */
static enum qc_status go_on(struct joining *j, struct qc_err *err)
{
	struct qc_forward *f = j->t->b;
	const size_t step = f->chunk * f->length;
	struct qc_loaded loaded = {0};
	enum qc_status s =
		qc_loaded_read(f, &f->graph.blocks[j->t->block], j->joint->slots, &loaded, err);

	for (size_t row = 0; !s && row < f->rows; row += step) {
		const size_t rows = f->rows - row < step ? f->rows - row : step;
		float *x, *inputs;

		s = qc_rows_read(&j->inputs, row, rows, j->x, &inputs, err);
		if (!s)
			s = qc_matrix_apply(f, &loaded.slots[j->joint->slots[0]], inputs, rows,
					    j->z, err);
		if (!s)
			s = qc_rows_read(&f->x, row, rows, f->x_buffer, &x, err);
		if (!s)
			s = join(f, loaded.slots, j->joint, j->z, row, x, rows, err);
	}
	qc_loaded_clear(&loaded);
	return s;
}

enum qc_status qc_tune_joint(struct qc_tuning_state *t, const struct qc_half *a,
			     const struct qc_half *b, const struct qc_joint *joint,
			     struct qc_err *err)
{
	struct joining j = {
		.t = t,
		.a = a,
		.b = b,
		.joint = joint,
		.matrix = &a->loaded.slots[joint->slots[0]],
		.norm = &a->loaded.slots[joint->slots[1]],
	};
	const struct qc_weight *weight = b->loaded.slots[joint->slots[0]].weight;
	enum qc_status s = open_joining(&j, err);

	for (size_t w = 0; !s && w < t->b->n_windows; w += t->b->chunk) {
		s = qc_tune_settle(t, w, weight, j.matrix->w, err);
		if (!s)
			s = learn_chunk(&j, w, err);
	}
	if (!s)
		s = qc_tune_solve(t, &weight, 1, 0, err);
	if (!s)
		s = go_on(&j, err);
	close_joining(&j);
	return s;
}

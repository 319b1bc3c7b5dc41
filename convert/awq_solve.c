/*
 * The scales of one input: s_j = |x|_j^a, or |x|_j^a / |w|_j^(1 - a), |x| and |w| being mean
 * magnitudes of the channel in the text and in the weights, a of a grid. What counts is the error
 * of the outputs under the held-out second moments, sum over rows of (w - q / s) H (w - q / s)', of
 * rows spread over the matrices; each matrix' relative to its outputs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/linalg.h"
#include "convert/awq_items.h"
#include "convert/importance.h"

enum { STEPS = 20, AT_A_TIME = 64, SAMPLE = 1 << 15, FEWEST_ROWS = 64 };
/* A gain that is not noise. */
#define WORTH 0.99
/* Scales beyond would leave f16's or a quant type's range of scales sooner than help. */
#define LARGEST 64.f

/* Blocks that are moved as they are would not be any more. */
static bool moves_blocks(const struct qc_step *step)
{
	return step->copy && step->from->block_elems > 1;
}

/* A weight that may be scaled: *rounding is how its rows come out. */
static bool may_scale(const struct qc_awq *a, const struct qc_weight *weight,
		      struct qc_step_rounding *rounding)
{
	const struct qc_step *step = qc_awq_step(a, weight->tensor->name);

	return step && !moves_blocks(step) && !step->tensor->input_scale &&
	       !step->tensor->transposed && qc_step_rounding_of(a->plan, step, rounding);
}

bool qc_awq_wants(void *user, const struct qc_awq_group *group)
{
	const struct qc_awq *a = user;
	struct qc_step_rounding r;
	bool any = false;

	if (!may_scale(a, group->producer, &r))
		return false;
	for (size_t i = 0; i < group->n_consumers; i++) {
		if (!may_scale(a, group->consumers[i], &r))
			return false;
		any = any || (r.type && r.type->block_elems > 1);
	}
	return any;
}

/* Rows of one consumer. */
struct sample {
	struct qc_step_rounding how;
	size_t rows;
	float *w;	  /* [rows, n] */
	uint64_t *matrix; /* that each is of */
	double energy;	  /* of the outputs, without any error */
};

struct trial {
	const struct qc_awq *a;
	const struct qc_awq_group *group;
	const struct qc_awq_input *input;
	struct sample samples[QC_AWQ_CONSUMERS];
	int threads;
	size_t n;
	float *x, *w;	  /* [n] mean magnitudes, those of a shared scale the same */
	float *s, *best;  /* [n] */
	bool powers_of_2; /* something of 16 bits is scaled that is not quantized */
};

/* sum over rows of d H d' */
static double outputs_of(const struct trial *t, const float *d, size_t rows, const float *h)
{
	const size_t n = t->n, parts = (rows + AT_A_TIME - 1) / AT_A_TIME;
	double *sums = calloc(parts + 1, sizeof(*sums)), sum = 0;
	bool failed = !sums;

#pragma omp parallel for schedule(dynamic) num_threads(t->threads)
	for (size_t p = 0; p < parts; p++) {
		const float *rows_d = d + p * AT_A_TIME * n;
		const size_t part =
			rows - p * AT_A_TIME < AT_A_TIME ? rows - p * AT_A_TIME : AT_A_TIME;
		float *product = malloc(part * n * sizeof(float));

		if (product && sums) {
			qc_gemm_nn(part, n, n, 1, rows_d, n, h, n, 0, product, n);
			for (size_t i = 0; i < part * n; i++)
				sums[p] += (double)rows_d[i] * (double)product[i];
		} else {
#pragma omp atomic write
			failed = true;
		}
		free(product);
	}
	for (size_t p = 0; !failed && p < parts; p++)
		sum += sums[p];
	free(sums);
	return failed ? NAN : sum;
}

static enum qc_status read_sample(struct trial *t, size_t i, struct qc_err *err)
{
	const struct qc_weight *weight = t->group->consumers[i];
	struct sample *m = &t->samples[i];
	const uint64_t first = t->group->all_matrices ? 0 : t->group->index * weight->out;
	const uint64_t all = t->group->all_matrices ? weight->count * weight->out : weight->out;
	const size_t most = SAMPLE / t->n > FEWEST_ROWS ? SAMPLE / t->n : FEWEST_ROWS;
	enum qc_status s = QC_OK;

	(void)may_scale(t->a, weight, &m->how);
	m->rows = all < most ? (size_t)all : most;
	m->w = malloc(m->rows * t->n * sizeof(float));
	m->matrix = malloc(m->rows * sizeof(*m->matrix));
	if (!m->w || !m->matrix)
		return qc_no_memory(err);
	for (size_t r = 0; !s && r < m->rows; r++) {
		const uint64_t row = first + r * all / m->rows;

		m->matrix[r] = row / weight->out;
		s = qc_tensor_read(weight->tensor, row, 1, m->w + r * t->n, 1, err);
	}
	if (s)
		return s;
	m->energy = outputs_of(t, m->w, m->rows, t->input->held);
	return isnan(m->energy) ? qc_no_memory(err) : QC_OK;
}

/* Channels that share a scale share their mean. */
static void share(const struct trial *t, float *x)
{
	const uint64_t run = t->group->run, repeat = t->group->repeat;

	for (uint64_t base = 0; repeat > 1 && base < t->n; base += run * repeat)
		for (uint64_t i = 0; i < run; i++) {
			float sum = 0;

			for (uint64_t k = 0; k < repeat; k++)
				sum += x[base + k * run + i];
			for (uint64_t k = 0; k < repeat; k++)
				x[base + k * run + i] = sum / (float)repeat;
		}
}

static void mean_magnitudes(struct trial *t)
{
	float least;
	double sum = 0;

	for (size_t j = 0; j < t->n; j++) {
		t->x[j] = (float)(t->input->magnitude[j] / (double)t->input->n_learn);
		sum += (double)t->x[j];
		t->w[j] = 0;
	}
	share(t, t->x);
	least = (float)(sum / (double)t->n) * 1e-3f;
	for (size_t j = 0; j < t->n; j++)
		t->x[j] = t->x[j] > least ? t->x[j] : least;
	for (size_t i = 0; i < t->group->n_consumers; i++)
		for (size_t r = 0; r < t->samples[i].rows; r++) {
			const float *row = t->samples[i].w + r * t->n;
			float top = 0;

			for (size_t j = 0; j < t->n; j++)
				top = fabsf(row[j]) > top ? fabsf(row[j]) : top;
			for (size_t j = 0; top > 0 && j < t->n; j++)
				t->w[j] += fabsf(row[j]) / top;
		}
	share(t, t->w);
	for (size_t j = 0; j < t->n; j++)
		t->w[j] = t->w[j] > 1e-6f ? t->w[j] : 1e-6f;
}

/* t->s for a = k / STEPS, with the weights' magnitudes or without; false when it cannot be. */
static bool make_scales(struct trial *t, unsigned k, bool weights)
{
	const float a = (float)k / STEPS;
	float low = INFINITY, high = 0, middle;

	for (size_t j = 0; j < t->n; j++) {
		t->s[j] = powf(t->x[j], a) / (weights ? powf(t->w[j], 1 - a) : 1);
		low = t->s[j] < low ? t->s[j] : low;
		high = t->s[j] > high ? t->s[j] : high;
	}
	middle = sqrtf(low) * sqrtf(high);
	if (!(middle > 0) || !isfinite(middle))
		return false;
	for (size_t j = 0; j < t->n; j++) {
		float *s = &t->s[j];

		*s /= middle;
		*s = *s > LARGEST ? LARGEST : *s < 1 / LARGEST ? 1 / LARGEST : *s;
		if (t->powers_of_2)
			*s = exp2f(rintf(log2f(*s)));
	}
	return true;
}

/* One row with the scales on it, quantized, and the scales off again: what is missing in it. */
static void round_row(const struct trial *t, const struct sample *m, size_t r, float *weight,
		      uint8_t *blocks, float *d)
{
	const struct qc_step *step = m->how.step;
	const struct qc_qtype *type = m->how.type;
	const float *w = m->w + r * t->n;
	const float *importance = qc_importance_row(step, m->matrix[r] * step->importance_rows);
	const float factor = step->packing && step->packing->factor
				     ? step->packing->factor(step, m->matrix[r])
				     : 1;

	for (size_t j = 0; j < t->n; j++) {
		d[j] = w[j] * t->s[j] / factor;
		weight[j] = importance ? importance[j] / (t->s[j] * t->s[j]) : 1;
	}
	m->how.quantize(d, blocks, 1, t->n, importance ? weight : NULL);
	m->how.dequantize(blocks, d, t->n / type->block_elems);
	for (size_t j = 0; j < t->n; j++)
		d[j] = w[j] - d[j] * factor / t->s[j];
}

static enum qc_status error_of_sample(const struct trial *t, const struct sample *m, double *error,
				      struct qc_err *err)
{
	const size_t n = t->n;
	float *d = malloc(m->rows * n * sizeof(float));
	double e;
	bool failed = !d;

#pragma omp parallel num_threads(t->threads)
	{
		float *weight = malloc(n * sizeof(float));
		/* no type has more bytes than floats have */
		uint8_t *blocks = malloc(n * sizeof(float));

#pragma omp for schedule(static)
		for (size_t r = 0; r < m->rows; r++) {
			if (weight && blocks && d) {
				round_row(t, m, r, weight, blocks, d + r * n);
			} else {
#pragma omp atomic write
				failed = true;
			}
		}
		free(weight);
		free(blocks);
	}
	e = failed ? NAN : outputs_of(t, d, m->rows, t->input->held);
	free(d);
	*error += m->energy > 0 ? e / m->energy : 0;
	return isnan(e) ? qc_no_memory(err) : QC_OK;
}

static enum qc_status error_of(const struct trial *t, double *error, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	*error = 0;
	for (size_t i = 0; !s && i < t->group->n_consumers; i++)
		if (t->samples[i].how.type && t->samples[i].how.type->block_elems > 1)
			s = error_of_sample(t, &t->samples[i], error, err);
	return s;
}

/* *gain: the error of the best scales over that without any. */
static enum qc_status search(struct trial *t, double *gain, struct qc_err *err)
{
	double least = INFINITY, none, error;
	enum qc_status s;

	for (size_t j = 0; j < t->n; j++)
		t->s[j] = 1;
	s = error_of(t, &none, err);
	for (unsigned k = 0; !s && k < 2 * STEPS; k++) {
		if (k == 0 || !make_scales(t, k % STEPS, k >= STEPS))
			continue;
		s = error_of(t, &error, err);
		if (!s && error < least) {
			least = error;
			memcpy(t->best, t->s, t->n * sizeof(*t->s));
		}
	}
	*gain = none > 0 ? least / none : 1;
	return s;
}

/* Numbers of 16 bits that are scaled but not quantized: only powers of two leave them as exact as
 * they are. */
static bool has_halves(const struct trial *t)
{
	const struct qc_step *producer = qc_awq_step(t->a, t->group->producer->tensor->name);
	bool halves = t->group->producer->out > 1 && producer->to && !producer->packing &&
		      producer->to->block_bytes < 4 && producer->to->block_elems == 1;

	for (size_t i = 0; i < t->group->n_consumers; i++) {
		const struct qc_step_rounding *how = &t->samples[i].how;

		halves = halves ||
			 (how->step->to && !how->step->packing && how->step->to->block_elems == 1 &&
			  how->step->to->block_bytes < 4);
	}
	return halves;
}

static enum qc_status keep(struct qc_awq *a, const struct qc_awq_group *group, const float *best,
			   struct qc_err *err)
{
	float *s = qc_arena_array(&a->arena, group->n, sizeof(*s));
	struct qc_awq_result *results = a->results;

	if (a->n_results == a->cap_results) {
		results = realloc(results, (2 * a->cap_results + 16) * sizeof(*results));
		if (results) {
			a->results = results;
			a->cap_results = 2 * a->cap_results + 16;
		}
	}
	if (!s || !results)
		return qc_no_memory(err);
	memcpy(s, best, group->n * sizeof(*s));
	a->results[a->n_results++] = (struct qc_awq_result){*group, s};
	return QC_OK;
}

enum qc_status qc_awq_solve(void *user, const struct qc_awq_group *group,
			    const struct qc_awq_input *input, struct qc_err *err)
{
	struct qc_awq *a = user;
	struct trial t = {.a = a, .group = group, .input = input, .n = group->n};
	double gain = 1;
	enum qc_status s = QC_OK;

	t.threads = qc_forward_threads(a->forward);
	t.x = malloc(t.n * sizeof(float));
	t.w = malloc(t.n * sizeof(float));
	t.s = malloc(t.n * sizeof(float));
	t.best = malloc(t.n * sizeof(float));
	if (!t.x || !t.w || !t.s || !t.best)
		s = qc_no_memory(err);
	for (size_t i = 0; !s && i < group->n_consumers; i++)
		s = read_sample(&t, i, err);
	if (!s) {
		t.powers_of_2 = has_halves(&t);
		mean_magnitudes(&t);
		s = search(&t, &gain, err);
	}
	a->n_groups++;
	if (!s && gain < WORTH)
		s = keep(a, group, t.best, err);
	for (size_t i = 0; i < group->n_consumers; i++) {
		free(t.samples[i].w);
		free(t.samples[i].matrix);
	}
	free(t.x);
	free(t.w);
	free(t.s);
	free(t.best);
	return s;
}

/*
 * Causal attention, a block of queries of one head and one window at a time:
 *
 *   keys:      first                              last
 *                | . . . x x x x x x x               |   scores = scale q k'   (one product)
 *   queries      | . . . . x x x x x x x             |   softmax over the x of each row, . = 0
 *                | . . . . . x x x x x x x           |   out = scores v        (one product)
 *
 * so that the work is in matrix products and only those keys are touched that some query sees.
 */
#include "calib/ops.h"

#include <math.h>

#include "calib/exp.h"
#include "calib/linalg.h"

#ifdef __clang__ /* warns where a simd loop does not become one */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#ifdef _OPENMP
#include <omp.h>
#endif

enum { QUERIES = 64 };

/* Of one thread. */
static size_t score_floats(size_t past, size_t length)
{
	return (length < QUERIES ? length : QUERIES) * (past + length);
}

size_t qc_attention_work(size_t past, size_t length, int threads)
{
	return score_floats(past, length) * (size_t)threads;
}

static int this_thread(void)
{
#ifdef _OPENMP
	return omp_get_thread_num();
#else
	return 0;
#endif
}

/* In LANES partial sums, as a vector has them: the order is the same on every machine. */
static float sum_of(const float *x, size_t n)
{
	enum { LANES = 16 };
	float parts[LANES] = {0}, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
#pragma omp simd
		for (size_t k = 0; k < LANES; k++)
			parts[k] += x[i + k];
	for (; i < n; i++)
		sum += x[i];
	for (size_t k = 0; k < LANES; k++)
		sum += parts[k];
	return sum;
}

/* Scores of one query, s[0 .. n): weights over [from, to), zero elsewhere. */
static void softmax(float *s, size_t n, size_t from, size_t to, const float *sink)
{
	float max = sink ? *sink : -INFINITY, factor;

#pragma omp simd reduction(max : max)
	for (size_t j = from; j < to; j++)
		max = s[j] > max ? s[j] : max;
	for (size_t j = 0; j < from; j++)
		s[j] = 0;
#pragma omp simd
	for (size_t j = from; j < to; j++)
		s[j] = qc_exp_range(s[j] - max);
	qc_exp_all(s + from, to - from);
	for (size_t j = to; j < n; j++)
		s[j] = 0;
	factor = 1 / (sum_of(s + from, to - from) + (sink ? expf(*sink - max) : 0));
#pragma omp simd
	for (size_t j = from; j < to; j++)
		s[j] *= factor;
}

/* The first position that a query sees. */
static size_t first_seen(const struct qc_attention *a, size_t position)
{
	return a->window && position + 1 > a->window ? position + 1 - a->window : 0;
}

/* Queries [first, first + n) of head `head` of a window. */
static void attend(const struct qc_attention *a, size_t window, size_t head, size_t first, size_t n,
		   float *scores)
{
	const size_t size = a->head_size, q_row = a->heads * size, k_row = a->heads_kv * size;
	const size_t head_kv = head / (a->heads / a->heads_kv);
	const size_t low = first_seen(a, a->past + first), n_keys = a->past + first + n - low;
	const size_t at_q = (window * a->length + first) * q_row + head * size;
	const size_t at_k = (window * (a->past + a->length) + low) * k_row + head_kv * size;

	qc_gemm_nt(n, n_keys, size, a->scale, a->q + at_q, q_row, a->k + at_k, k_row, 0, scores,
		   n_keys);
	for (size_t i = 0; i < n; i++) {
		const size_t at = a->past + first + i;

		softmax(scores + i * n_keys, n_keys, first_seen(a, at) - low, at + 1 - low,
			a->sinks ? a->sinks + head : NULL);
	}
	qc_gemm_nn(n, size, n_keys, 1, scores, n_keys, a->v + at_k, k_row, 0, a->out + at_q, q_row);
}

void qc_attention(const struct qc_attention *a, float *work, int threads)
{
	const size_t n_blocks = (a->length + QUERIES - 1) / QUERIES;
	const size_t n_items = a->n_windows * a->heads * n_blocks;

#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t item = 0; item < n_items; item++) {
		const size_t first = item % n_blocks * QUERIES;
		const size_t head = item / n_blocks % a->heads;
		const size_t window = item / n_blocks / a->heads;
		const size_t n = a->length - first < QUERIES ? a->length - first : QUERIES;

		attend(a, window, head, first, n,
		       work + (size_t)this_thread() * score_floats(a->past, a->length));
	}
}

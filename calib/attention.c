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

#include "calib/linalg.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { QUERIES = 64 };

size_t qc_attention_work(size_t length, int threads)
{
	return QUERIES * length * (size_t)threads;
}

static int this_thread(void)
{
#ifdef _OPENMP
	return omp_get_thread_num();
#else
	return 0;
#endif
}

/* Scores of one query, s[0 .. n): weights over [from, to), zero elsewhere. */
static void softmax(float *s, size_t n, size_t from, size_t to, const float *sink)
{
	float max = sink ? *sink : -INFINITY, sum = 0, factor;

	for (size_t j = from; j < to; j++)
		max = s[j] > max ? s[j] : max;
	for (size_t j = 0; j < from; j++)
		s[j] = 0;
	for (size_t j = from; j < to; j++) {
		s[j] = expf(s[j] - max);
		sum += s[j];
	}
	for (size_t j = to; j < n; j++)
		s[j] = 0;
	if (sink)
		sum += expf(*sink - max);
	factor = 1 / sum;
	for (size_t j = from; j < to; j++)
		s[j] *= factor;
}

/* Queries [first, first + n) of head `head`, rows `base` .. of the window. */
static void attend(const struct qc_attention *a, size_t base, size_t head, size_t first, size_t n,
		   float *scores)
{
	const size_t size = a->head_size, q_row = a->heads * size, k_row = a->heads_kv * size;
	const size_t head_kv = head / (a->heads / a->heads_kv);
	const size_t low = a->window && first + 1 > a->window ? first + 1 - a->window : 0;
	const size_t n_keys = first + n - low;
	const float *q = a->q + (base + first) * q_row + head * size;
	const float *k = a->k + (base + low) * k_row + head_kv * size;
	const float *v = a->v + (base + low) * k_row + head_kv * size;

	qc_gemm_nt(n, n_keys, size, a->scale, q, q_row, k, k_row, 0, scores, n_keys);
	for (size_t i = 0; i < n; i++) {
		const size_t at = first + i;
		const size_t from = a->window && at + 1 > a->window ? at + 1 - a->window : 0;

		softmax(scores + i * n_keys, n_keys, from - low, at + 1 - low,
			a->sinks ? a->sinks + head : NULL);
	}
	qc_gemm_nn(n, size, n_keys, 1, scores, n_keys, v, k_row, 0,
		   a->out + (base + first) * q_row + head * size, q_row);
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

		attend(a, window * a->length, head, first, n,
		       work + (size_t)this_thread() * QUERIES * a->length);
	}
}

/* The way back through attention: scores are made once more, a head of a window at a time. */
#include "calib/backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/linalg.h"

/* Of one thread: all queries and keys of a head. */
struct head_work {
	float *p, *dp;	      /* [length, length] weights, and gradients at them */
	float *q, *k, *v, *d; /* [length, head_size] */
	float *dk, *dv;
};

enum { SQUARES = 2, SLICES = 6 };

uint64_t qc_attend_back_bytes(size_t length, size_t head_size)
{
	return (SQUARES * (uint64_t)length + SLICES * (uint64_t)head_size) * length * sizeof(float);
}

static bool head_work_init(struct head_work *w, size_t length, size_t size)
{
	const size_t slice = length * size;
	float *all = malloc(qc_attend_back_bytes(length, size));

	if (!all)
		return false;
	w->p = all;
	w->dp = w->p + length * length;
	w->q = w->dp + length * length;
	w->k = w->q + slice;
	w->v = w->k + slice;
	w->d = w->v + slice;
	w->dk = w->d + slice;
	w->dv = w->dk + slice;
	return true;
}

/* A head's columns of x[length, stride], without gaps. */
static void take_head(const float *x, size_t length, size_t stride, size_t size, float *to)
{
	for (size_t i = 0; i < length; i++)
		memcpy(to + i * size, x + i * stride, size * sizeof(*to));
}

static void put_head(const float *from, size_t length, size_t stride, size_t size, float *x)
{
	for (size_t i = 0; i < length; i++)
		memcpy(x + i * stride, from + i * size, size * sizeof(*x));
}

/* p: scores, then weights; dp: gradients at weights, then at scores. */
static void softmax_back(const struct qc_attention *a, float *p, float *dp)
{
	const size_t length = a->length;

	for (size_t i = 0; i < length; i++, p += length, dp += length) {
		const size_t from = a->window && i + 1 > a->window ? i + 1 - a->window : 0;
		float max = -INFINITY;
		double sum = 0, dot = 0;

		for (size_t j = from; j <= i; j++)
			max = p[j] > max ? p[j] : max;
		for (size_t j = 0; j < length; j++) {
			p[j] = j < from || j > i ? 0 : expf(p[j] - max);
			sum += (double)p[j];
		}
		for (size_t j = 0; j < length; j++) {
			p[j] = (float)((double)p[j] / sum);
			dot += (double)p[j] * (double)dp[j];
		}
		for (size_t j = 0; j < length; j++)
			dp[j] = p[j] * (dp[j] - (float)dot);
	}
}

/* One head of keys and values in a window, and the heads of queries that see it. */
static void head_back(const struct qc_attention *a, size_t window, size_t head_kv, const float *d,
		      float *dq, float *dk, float *dv, struct head_work *w)
{
	const size_t size = a->head_size, n = a->length, group = a->heads / a->heads_kv;
	const size_t q_row = a->heads * size, k_row = a->heads_kv * size;
	const size_t at_k = window * n * k_row + head_kv * size;

	take_head(a->k + at_k, n, k_row, size, w->k);
	take_head(a->v + at_k, n, k_row, size, w->v);
	memset(w->dk, 0, n * size * sizeof(float));
	memset(w->dv, 0, n * size * sizeof(float));
	for (size_t head = head_kv * group; head < (head_kv + 1) * group; head++) {
		const size_t at_q = window * n * q_row + head * size;

		take_head(a->q + at_q, n, q_row, size, w->q);
		take_head(d + at_q, n, q_row, size, w->d);
		qc_gemm_nt(n, n, size, a->scale, w->q, size, w->k, size, 0, w->p, n);
		qc_gemm_nt(n, n, size, 1, w->d, size, w->v, size, 0, w->dp, n);
		softmax_back(a, w->p, w->dp);
		qc_scale(w->dp, n * n, a->scale, 1);
		qc_add_cross_products(n, n, size, w->p, w->d, w->dv, 1);
		qc_add_cross_products(n, n, size, w->dp, w->q, w->dk, 1);
		qc_gemm_nn(n, size, n, 1, w->dp, n, w->k, size, 0, dq + at_q, q_row);
	}
	put_head(w->dk, n, k_row, size, dk + at_k);
	put_head(w->dv, n, k_row, size, dv + at_k);
}

enum qc_status qc_attend_back(const struct qc_attention *a, const float *d, float *dq, float *dk,
			      float *dv, int threads, struct qc_err *err)
{
	bool failed = false;

#pragma omp parallel num_threads(threads)
	{
		struct head_work w = {0};
		const bool good = head_work_init(&w, a->length, a->head_size);

		if (!good) {
#pragma omp atomic write
			failed = true;
		}
#pragma omp for schedule(dynamic)
		for (size_t item = 0; item < a->n_windows * a->heads_kv; item++)
			if (good)
				head_back(a, item / a->heads_kv, item % a->heads_kv, d, dq, dk, dv,
					  &w);
		free(w.p);
	}
	return failed ? qc_no_memory(err) : QC_OK;
}

/* Norms, activations and other loops over single elements. */
#include "calib/ops.h"

#include <math.h>

#include "calib/exp.h"

#ifdef __clang__ /* warns where sanitizers keep a simd loop from being one */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

/* Elements below which starting threads takes longer than the loop. */
enum { WORTH_THREADS = 1 << 14 };

void qc_rms_norm(const float *x, size_t rows, size_t n, const float *weight, float eps, float *y,
		 int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * n > WORTH_THREADS)
	for (size_t r = 0; r < rows; r++) {
		const float *in = x + r * n;
		float *out = y + r * n, factor;
		double sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += (double)in[i] * in[i];
		factor = 1 / sqrtf((float)(sum / (double)n) + eps);
		if (weight)
			for (size_t i = 0; i < n; i++)
				out[i] = in[i] * factor * weight[i];
		else
			for (size_t i = 0; i < n; i++)
				out[i] = in[i] * factor;
	}
}

void qc_add_bias(float *x, size_t rows, size_t n, const float *bias, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * n > WORTH_THREADS)
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < n; i++)
			x[r * n + i] += bias[i];
}

void qc_accumulate(float *x, const float *y, size_t n, int threads)
{
#pragma omp parallel for simd schedule(static) num_threads(threads) if (parallel                   \
									: n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

void qc_scale(float *x, size_t n, float factor, int threads)
{
#pragma omp parallel for simd schedule(static) num_threads(threads) if (parallel                   \
									: n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++)
		x[i] *= factor;
}

void qc_softcap(float *x, size_t n, float cap, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++)
		x[i] = cap * tanhf(x[i] / cap);
}

/* The kinds, in three loops each: what goes into e^x, that, and what is made of it. The compiler
 * makes vectors of each of them, but not of one that has it all. */
enum { AT_A_TIME = 256 };

/* 0.5 (1 + tanh u) = 1 / (1 + e^-2u), u = sqrt(2/pi) (g + 0.044715 g^3): one exp instead of a tanh
 */
static void exponents(enum qc_activation kind, const float *gate, float *x, size_t n)
{
	switch (kind) {
	case QC_ACT_SILU:
#pragma omp simd
		for (size_t i = 0; i < n; i++)
			x[i] = qc_exp_range(-gate[i]);
		break;
	case QC_ACT_GELU_TANH:
#pragma omp simd
		for (size_t i = 0; i < n; i++)
			x[i] = qc_exp_range(-2 * 0.797884560802865f *
					    (gate[i] + 0.044715f * gate[i] * gate[i] * gate[i]));
		break;
	case QC_ACT_SWIGLU_CLAMPED:
#pragma omp simd
		for (size_t i = 0; i < n; i++)
			x[i] = qc_exp_range(-1.702f * (gate[i] > 7 ? 7 : gate[i]));
		break;
	}
}

static void activate(enum qc_activation kind, float *gate, const float *up, size_t n)
{
	float e[AT_A_TIME];

	exponents(kind, gate, e, n);
	qc_exp_all(e, n);
	if (kind == QC_ACT_SWIGLU_CLAMPED) {
		for (size_t i = 0; i < n; i++) {
			const float g = gate[i] > 7 ? 7 : gate[i];
			const float u = up[i] > 7 ? 7 : up[i] < -7 ? -7 : up[i];

			gate[i] = g / (1 + e[i]) * (u + 1);
		}
		return;
	}
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		gate[i] = gate[i] / (1 + e[i]) * up[i];
}

void qc_activate(enum qc_activation kind, float *gate, const float *up, size_t n, int threads)
{
	const size_t parts = (n + AT_A_TIME - 1) / AT_A_TIME;

#pragma omp parallel for schedule(static) num_threads(threads) if (n > WORTH_THREADS)
	for (size_t i = 0; i < parts; i++) {
		const size_t first = i * AT_A_TIME, left = n - first;

		activate(kind, gate + first, up + first, left < AT_A_TIME ? left : AT_A_TIME);
	}
}

/* Norms, activations and other loops over single elements. */
#include "calib/ops.h"

#include <math.h>

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
#pragma omp parallel for simd schedule(static) num_threads(threads) if (parallel : n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

void qc_scale(float *x, size_t n, float factor, int threads)
{
#pragma omp parallel for simd schedule(static) num_threads(threads) if (parallel : n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++)
		x[i] *= factor;
}

void qc_softcap(float *x, size_t n, float cap, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++)
		x[i] = cap * tanhf(x[i] / cap);
}

static float silu(float g)
{
	return g / (1 + expf(-g));
}

/* 0.5 (1 + tanh u) = 1 / (1 + e^-2u), u = sqrt(2/pi) (g + 0.044715 g^3): one exp instead of a tanh
 */
static float gelu_tanh(float g)
{
	const float u = 0.797884560802865f * (g + 0.044715f * g * g * g);

	return g / (1 + expf(-2 * u));
}

static float swiglu_clamped(float g, float u)
{
	g = g > 7 ? 7 : g;
	u = u > 7 ? 7 : u < -7 ? -7 : u;
	return g / (1 + expf(-1.702f * g)) * (u + 1);
}

void qc_activate(enum qc_activation kind, float *gate, const float *up, size_t n, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > WORTH_THREADS)
	for (size_t i = 0; i < n; i++) {
		const float g = gate[i];

		gate[i] = kind == QC_ACT_SILU	     ? silu(g) * up[i]
			  : kind == QC_ACT_GELU_TANH ? gelu_tanh(g) * up[i]
						     : swiglu_clamped(g, up[i]);
	}
}

/* Rotary position embedding: tables of cosines and sines, and turning by them. */
#include "calib/ops.h"

#include <math.h>

void qc_rotary_tables(const struct qc_rotary *rotary, size_t first, size_t length, float *cosines,
		      float *sines)
{
	const size_t n = rotary->n_pairs;

	for (size_t t = 0; t < length; t++)
		for (size_t i = 0; i < n; i++) {
			/* the angle in f32, as the models were trained with */
			const float angle = (float)(first + t) * rotary->frequencies[i];

			cosines[t * n + i] = (float)cos(angle) * rotary->magnitude;
			sines[t * n + i] = (float)sin(angle) * rotary->magnitude;
		}
}

/* One head: element i of a pair and the one `apart` behind it, pairs `step` from each other. */
static void turn(float *x, size_t n, size_t step, size_t apart, const float *cosines,
		 const float *sines)
{
	for (size_t i = 0; i < n; i++) {
		float *a = x + i * step, *b = a + apart;
		const float a0 = *a, b0 = *b;

		*a = a0 * cosines[i] - b0 * sines[i];
		*b = a0 * sines[i] + b0 * cosines[i];
	}
}

void qc_rotary_apply(const struct qc_rotary *rotary, const float *cosines, const float *sines,
		     float *x, size_t rows, size_t length, size_t heads, size_t head_size,
		     int threads)
{
	const size_t n = rotary->n_pairs;
	const size_t step = rotary->interleaved ? 2 : 1, apart = rotary->interleaved ? 1 : n;

#pragma omp parallel for schedule(static) num_threads(threads)
	for (size_t r = 0; r < rows; r++)
		for (size_t h = 0; h < heads; h++)
			turn(x + (r * heads + h) * head_size, n, step, apart,
			     cosines + r % length * n, sines + r % length * n);
}

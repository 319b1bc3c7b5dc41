/* Matrix products: right, and the same bits for any number of threads. */
#include <math.h>

#include "calib/exp.h"
#include "calib/linalg.h"
#include "tests/test.h"

static float *numbers(size_t n, uint32_t seed)
{
	float *x = malloc((n + 1) * sizeof(*x));

	NEED(x, "no memory");
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
	}
	return x;
}

/* From a row to more than the largest tile, whole tiles and not. */
static const struct {
	size_t rows, in, out;
} shapes[] = {{1, 40, 300},    {2, 96, 1000},	 {4, 64, 513},	   {5, 64, 513},   {8, 64, 1000},
	      {8, 64, 5000},   {40, 20, 9000},	 {600, 64, 600},   {257, 33, 259}, {512, 64, 256},
	      {1024, 48, 700}, {1300, 24, 1100}, {700, 130, 2050}, {64, 700, 3000}};
enum { N_SHAPES = sizeof(shapes) / sizeof(*shapes) };

static void products_are_right_for_any_number_of_threads(void)
{
	static const int threads[] = {2, 3, 5, 8, 64};

	for (size_t s = 0; s < N_SHAPES; s++) {
		const size_t rows = shapes[s].rows, in = shapes[s].in, out = shapes[s].out;
		float *x = numbers(rows * in, 1), *w = numbers(out * in, 2);
		float *one = numbers(rows * out, 3), *many = numbers(rows * out, 4);

		qc_matmul(rows, in, out, x, w, one, out, 1);
		for (size_t i = 0; i < rows * out; i += 1 + i % 97) {
			double sum = 0;

			for (size_t k = 0; k < in; k++)
				sum += (double)x[i / out * in + k] * w[i % out * in + k];
			if (!(fabs(sum - one[i]) < 1e-5 * (double)in))
				FAIL_AT("%zu x %zu x %zu, element %zu: %g, not %g", rows, in, out,
					i, one[i], sum);
		}
		for (size_t t = 0; t < sizeof(threads) / sizeof(*threads); t++) {
			qc_matmul(rows, in, out, x, w, many, out, threads[t]);
			CHECK(!memcmp(one, many, rows * out * sizeof(float)),
			      "%zu x %zu x %zu: other bits with %d threads", rows, in, out,
			      threads[t]);
		}
		free(x);
		free(w);
		free(one);
		free(many);
	}
}

static void e_to_the_x_is_right(void)
{
	double worst = 0;
	float ends[3] = {qc_exp_range(-1e30f), qc_exp_range(INFINITY), qc_exp_range(NAN)};

	for (float x = -87; x <= 88; x += 0.003f) {
		float y = x;

		qc_exp_all(&y, 1);
		worst = fmax(worst, fabs(y / exp((double)x) - 1));
	}
	CHECK(worst < 1e-7, "off by %g", worst);
	qc_exp_all(ends, 3);
	CHECK(ends[0] > 0 && ends[0] < 1e-37f, "%g", (double)ends[0]);
	CHECK(ends[1] > 1e38f && isfinite(ends[1]), "%g", (double)ends[1]);
	CHECK(isnan(ends[2]), "%g", (double)ends[2]);
}

int main(void)
{
	qc_linalg_start();
	products_are_right_for_any_number_of_threads();
	e_to_the_x_is_right();
	return test_end();
}

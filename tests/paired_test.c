/* Which of two divergences is smaller, by windows. */
#include <math.h>

#include "calib/paired.h"
#include "tests/test.h"

enum { LENGTH = 4 };

/* Windows whose means differ by these. */
static bool below(const double *differences, size_t n)
{
	double a[8 * LENGTH], b[8 * LENGTH];

	for (size_t i = 0; i < n * LENGTH; i++) {
		b[i] = 1 + (double)(i % 3);
		/* within a window tokens may differ as they like */
		a[i] = b[i] + differences[i / LENGTH] + (i % 2 ? 5 : -5);
	}
	return qc_paired_below(a, b, n, LENGTH);
}

int main(void)
{
	CHECK(below((const double[]){-1, -1, -1, -1}, 4), "four of four are below");
	CHECK(!below((const double[]){1, 1, 1, 1}, 4), "four of four are above");
	CHECK(!below((const double[]){0, 0}, 2), "equal ones");
	/* mean -0.25, standard error sqrt(0.9167 / 4) = 0.48 */
	CHECK(!below((const double[]){-1, 1, -1, 0}, 4), "within the error");
	/* mean -1, standard error sqrt(0.6667 / 4) = 0.41 */
	CHECK(below((const double[]){-2, 0, -1, -1}, 4), "beyond the error");
	CHECK(below((const double[]){-1}, 1), "one window: its mean");
	CHECK(!below((const double[]){NAN, -1, -1}, 3), "NaN");
	return test_end();
}

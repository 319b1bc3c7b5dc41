#include "calib/paired.h"

bool qc_paired_below(const double *a, const double *b, size_t n, size_t length)
{
	double sum = 0, squares = 0, mean, variance;

	for (size_t w = 0; w < n; w++) {
		double difference = 0;

		for (size_t i = w * length; i < (w + 1) * length; i++)
			difference += (a[i] - b[i]) / (double)length;
		sum += difference;
		squares += difference * difference;
	}
	mean = sum / (double)n;
	if (!(mean < 0) || n < 2)
		return mean < 0;
	/* of the mean */
	variance = (squares - sum * mean) / (double)(n - 1) / (double)n;
	return mean * mean > variance;
}

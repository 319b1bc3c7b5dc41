/* Expert routing. */
#include "calib/ops.h"

#include <math.h>

/* Insert logit `i` into the list of the n_chosen largest so far, at most `used`. */
static size_t insert(const float *logits, uint32_t i, size_t used, uint32_t *chosen,
		     size_t n_chosen)
{
	size_t at = n_chosen < used ? n_chosen : used;

	while (at && logits[i] > logits[chosen[at - 1]]) {
		if (at < used)
			chosen[at] = chosen[at - 1];
		at--;
	}
	if (at < used)
		chosen[at] = i;
	return n_chosen < used ? n_chosen + 1 : used;
}

void qc_route(const float *logits, size_t rows, size_t n, size_t used, uint32_t *experts,
	      float *weights, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads)
	for (size_t r = 0; r < rows; r++) {
		const float *row = logits + r * n;
		uint32_t *chosen = experts + r * used;
		float *w = weights + r * used, sum = 0;
		size_t n_chosen = 0;

		for (size_t i = 0; i < n; i++)
			n_chosen = insert(row, (uint32_t)i, used, chosen, n_chosen);
		for (size_t i = 0; i < used; i++) {
			w[i] = expf(row[chosen[i]] - row[chosen[0]]);
			sum += w[i];
		}
		for (size_t i = 0; i < used; i++)
			w[i] /= sum;
	}
}

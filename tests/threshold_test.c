/* The ternary types' search for a scale: beside all thresholds there are, which lie between one
 * magnitude and the next, what it finds is nearly the best. */
#include "quant/lanes/lanes_one.h" /* before what would take the vectors that CFLAGS allow */

#include "quant/super_threshold.h"
#include "tests/random.h"
#include "tests/test.h"

static float random_part(void)
{
	return (float)random_below(1 << 24) * 0x1p-24f;
}

/* 0: normal; 1: with outliers; 2: heavy tails; 3: three levels and noise; 4: nearly all zeros. */
enum { N_KINDS = 5, N_BLOCKS = 400 };

static float random_value(int kind)
{
	float v = random_normal();

	if (kind == 1 && random_part() < 0.01f)
		return 9 * v;
	if (kind == 2)
		return v * v * v;
	if (kind == 3)
		return (float)((int)(random_part() * 3) - 1) + 0.1f * v;
	if (kind == 4 && random_part() < 0.95f)
		return 0;
	return v;
}

static int by_magnitude(const void *a, const void *b)
{
	float x = fabsf(((const float *)a)[0]), y = fabsf(((const float *)b)[0]);

	return x < y ? 1 : x > y ? -1 : 0;
}

/* By how much the best of all thresholds lowers the squared error. */
static double best_merit(const struct super *s)
{
	float pairs[SUPER_ELEMS][2];
	double xl = 0, l2 = 0, best = 0;

	for (int i = 0; i < SUPER_ELEMS; i++) {
		pairs[i][0] = s->x[i];
		pairs[i][1] = s->weight[i];
	}
	qsort(pairs, SUPER_ELEMS, sizeof(pairs[0]), by_magnitude);
	for (int i = 0; i < SUPER_ELEMS; i++) {
		xl += (double)pairs[i][1] * fabsf(pairs[i][0]);
		l2 += pairs[i][1];
		best = l2 > 0 && xl * xl / l2 > best ? xl * xl / l2 : best;
	}
	return best;
}

/* The same of a scale, whatever the codes' sums say. */
static double merit_of(const struct super *s, float d)
{
	uint8_t codes[SUPER_ELEMS];
	double merit = 0;

	threshold_codes(s->x, d, codes);
	for (int i = 0; i < SUPER_ELEMS; i++) {
		double was = s->x[i], is = was - (double)d * (codes[i] - 1);

		merit += s->weight[i] * (was * was - is * is);
	}
	return merit;
}

static void a_scale_is_nearly_the_best(int kind)
{
	double found = 0, possible = 0;

	for (int n = 0; n < N_BLOCKS; n++) {
		struct super s = {.extreme = 0};
		double best, merit;

		for (int i = 0; i < SUPER_ELEMS; i++) {
			s.x[i] = random_value(kind);
			s.weight[i] = random_part() < 0.1f ? 0 : random_part();
			s.extreme = lanes_max(s.extreme, fabsf(s.x[i]));
		}
		best = best_merit(&s);
		merit = merit_of(&s, threshold_search(&s));
		CHECK(merit > 0.98 * best, "kind %d, block %d: the error falls by %g, not %g", kind,
		      n, merit, best);
		found += merit;
		possible += best;
	}
	CHECK(found > 0.999 * possible && found <= possible, "kind %d: %.6f of what is possible",
	      kind, found / possible);
}

static void codes_are_the_nearest(void)
{
	static const float x[6] = {-3, -0.5f, -0.25f, 0.5f, 0.51f, 1};
	static const uint8_t expected[6] = {0, 1, 1, 1, 2, 2};
	float block[SUPER_ELEMS] = {0};
	uint8_t codes[SUPER_ELEMS];

	memcpy(block, x, sizeof(x));
	threshold_codes(block, 1, codes);
	for (int i = 0; i < SUPER_ELEMS; i++)
		CHECK(codes[i] == (i < 6 ? expected[i] : 1), "element %d gets code %d", i,
		      codes[i]);
	threshold_codes(block, 0, codes);
	CHECK(codes[0] == 1 && codes[5] == 1, "a scale of 0 gives codes %d and %d", codes[0],
	      codes[5]);
}

int main(void)
{
	for (int kind = 0; kind < N_KINDS; kind++)
		a_scale_is_nearly_the_best(kind);
	codes_are_the_nearest();
	return test_end();
}

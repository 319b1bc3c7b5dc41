/* The multiple-choice knapsack against trying everything. */
#include "convert/knapsack.h"

#include <math.h>

#include "tests/test.h"

enum { ITEMS = 6, WAYS = 4 };

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(seed >> 8) * n) >> 24);
}

struct instance {
	double costs[ITEMS][WAYS];
	uint64_t sizes[ITEMS][WAYS];
	struct qc_knapsack_item items[ITEMS];
};

static void make_instance(struct instance *in, uint64_t scale)
{
	for (size_t i = 0; i < ITEMS; i++) {
		for (size_t k = 0; k < WAYS; k++) {
			in->costs[i][k] = 1 + random_below(1000);
			in->sizes[i][k] = (1 + random_below(1000)) * scale;
		}
		in->items[i] = (struct qc_knapsack_item){in->costs[i], in->sizes[i], WAYS};
	}
}

/* The least cost there is within the capacity, and its size; infinite when nothing fits. */
static double least_cost(const struct instance *in, uint64_t capacity, uint64_t *taken)
{
	double best = INFINITY;

	for (size_t code = 0; code < (size_t)pow(WAYS, ITEMS); code++) {
		double cost = 0;
		uint64_t size = 0;
		size_t rest = code;

		for (size_t i = 0; i < ITEMS; i++, rest /= WAYS) {
			cost += in->costs[i][rest % WAYS];
			size += in->sizes[i][rest % WAYS];
		}
		if (size <= capacity && cost < best) {
			best = cost;
			*taken = size;
		}
	}
	return best;
}

/* `slack`: how far above the least cost the answer may be. */
static void finds_least_cost(uint64_t scale, double slack)
{
	for (int round = 0; round < 60; round++) {
		struct instance in;
		size_t chosen[ITEMS];
		uint64_t capacity, smallest = 0, size = 0, taken;
		struct qc_err err = {0};
		double best, cost = 0;
		enum qc_status s;

		make_instance(&in, scale);
		capacity = (uint64_t)random_below(4000) * scale;
		best = least_cost(&in, capacity, &taken);
		s = qc_knapsack(in.items, ITEMS, capacity, chosen, &smallest, &err);
		if (best == INFINITY) {
			CHECK(s == QC_REFUSED && smallest > capacity, "status %d, smallest %llu", s,
			      (unsigned long long)smallest);
			continue;
		}
		CHECK(!s, "status %d: %s", s, err.text);
		for (size_t i = 0; !s && i < ITEMS; i++) {
			cost += in.costs[i][chosen[i]];
			size += in.sizes[i][chosen[i]];
		}
		CHECK(size <= capacity, "size %llu above %llu", (unsigned long long)size,
		      (unsigned long long)capacity);
		CHECK(cost <= best * (1 + slack), "cost %g, least %g", cost, best);
	}
}

/* One byte less than the best choice takes, which counted in units still fits. */
static void a_byte_too_many_is_too_many(void)
{
	int tried = 0;

	for (int round = 0; round < 60; round++) {
		struct instance in;
		size_t chosen[ITEMS];
		uint64_t smallest, size = 0, taken = 0;
		struct qc_err err = {0};

		make_instance(&in, 1);
		for (size_t i = 0; i < ITEMS * WAYS; i++)
			in.sizes[i / WAYS][i % WAYS] =
				(uint64_t)random_below(1 << 24) << 8 | random_below(256);
		if (least_cost(&in, (uint64_t)random_below(1 << 24) << 10, &taken) == INFINITY ||
		    qc_knapsack(in.items, ITEMS, taken - 1, chosen, &smallest, &err))
			continue;
		for (size_t i = 0; i < ITEMS; i++)
			size += in.sizes[i][chosen[i]];
		CHECK(size < taken, "size %llu, %llu were allowed", (unsigned long long)size,
		      (unsigned long long)taken - 1);
		tried++;
	}
	CHECK(tried > 30, "only %d instances", tried);
}

static void empty_problem(void)
{
	uint64_t smallest = 1;
	struct qc_err err = {0};

	CHECK(!qc_knapsack(NULL, 0, 0, NULL, &smallest, &err) && smallest == 0, "smallest %llu",
	      (unsigned long long)smallest);
}

int main(void)
{
	finds_least_cost(1, 0); /* fewer bytes than units: exact */
	finds_least_cost(123457, 0.02);
	a_byte_too_many_is_too_many();
	empty_problem();
	return test_end();
}

/* The grids of the iq types and the neighbour tables that the build computes from them. */
#include <stdlib.h>

#include "quant/iq_grids.h"
#include "tests/test.h"

static const struct {
	const struct qc_iq_grid *grid;
	const struct qc_iq_near *near;
} grids[] = {
	{&qc_grid_iq1, &qc_near_iq1},	      {&qc_grid_iq2_xxs, &qc_near_iq2_xxs},
	{&qc_grid_iq2_xs, &qc_near_iq2_xs},   {&qc_grid_iq2_s, &qc_near_iq2_s},
	{&qc_grid_iq3_xxs, &qc_near_iq3_xxs}, {&qc_grid_iq3_s, &qc_near_iq3_s},
};

enum { N_GRIDS = sizeof(grids) / sizeof(grids[0]) };

static int distance(const struct qc_iq_grid *grid, uint16_t a, uint16_t b)
{
	int sum = 0;

	for (int i = 0; i < grid->dims; i++) {
		int diff = qc_iq_level(a, i, grid->bits) - qc_iq_level(b, i, grid->bits);

		sum += diff * diff;
	}
	return sum;
}

static void points_ascend_and_have_their_index_as_code(void)
{
	for (int g = 0; g < N_GRIDS; g++) {
		const struct qc_iq_grid *grid = grids[g].grid;

		for (int i = 0; i < grid->size; i++) {
			uint16_t point = grid->points[i];

			CHECK(i == 0 || point > grid->points[i - 1], "%s[%d]: %u after %u",
			      grid->name, i, point, grid->points[i - 1]);
			CHECK(qc_iq_code(grid, point) == i, "%s: code %u for point %d", grid->name,
			      qc_iq_code(grid, point), i);
			CHECK(point >> (grid->dims * grid->bits) == 0, "%s[%d]: %u is too wide",
			      grid->name, i, point);
			for (int k = 0; k < grid->dims; k++)
				CHECK(qc_iq_level(point, k, grid->bits) < grid->levels,
				      "%s[%d]: coordinate %d is %d", grid->name, i, k,
				      qc_iq_level(point, k, grid->bits));
		}
	}
}

/* One list against all points of the grid. */
static void check_list(const struct qc_iq_grid *grid, uint16_t point, const uint16_t *list,
		       uint32_t n)
{
	int last = -1, shells = 0, inside = 0, reach;

	NEED(n > 0 && n <= grid->size, "%s: %u neighbours of %u", grid->name, n, point);
	reach = distance(grid, point, list[n - 1]);
	for (uint32_t i = 0; i < n; i++) {
		int d = distance(grid, point, list[i]);

		CHECK(grid->points[qc_iq_code(grid, list[i])] == list[i],
		      "%s: neighbour %u of %u is not of the grid", grid->name, list[i], point);
		CHECK(d > last || (d == last && list[i] > list[i - 1]),
		      "%s: neighbour %u of %u is out of order", grid->name, list[i], point);
		shells += d != last;
		last = d;
	}
	CHECK(shells == (reach == 0 ? 1 : grid->shells), "%s: %d distances from %u", grid->name,
	      shells, point);
	for (int i = 0; i < grid->size; i++)
		inside += distance(grid, point, grid->points[i]) <= reach;
	CHECK(inside == (int)n, "%s: %d points within %d of %u, the list has %u", grid->name,
	      inside, reach, point, n);
}

/* The lattice point whose digits, in base `levels`, are the key's. */
static uint16_t point_of(const struct qc_iq_grid *grid, unsigned key)
{
	unsigned point = 0;

	for (int i = 0; i < grid->dims; i++, key /= grid->levels)
		point |= key % grid->levels << (grid->bits * i);
	return (uint16_t)point;
}

static void lists_hold_the_nearest_points_in_order(void)
{
	for (int g = 0; g < N_GRIDS; g++) {
		const struct qc_iq_grid *grid = grids[g].grid;
		const struct qc_iq_near *near = grids[g].near;
		unsigned n = grid->bits == 2 ? 6561 : 4096;

		for (unsigned key = 0; key < n; key++) {
			uint16_t point = point_of(grid, key);

			CHECK(near->high[point >> 8] + near->low[point & 255] == (int)key,
			      "%s: key %d for point %u, not %u", grid->name,
			      near->high[point >> 8] + near->low[point & 255], point, key);
			check_list(grid, point, near->points + near->first[key],
				   near->first[key + 1] - near->first[key]);
		}
	}
}

int main(void)
{
	points_ascend_and_have_their_index_as_code();
	lists_hold_the_nearest_points_in_order();
	return test_end();
}

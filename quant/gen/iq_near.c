/*
 * Writes the neighbour tables of quant/iq_grids.h as C: a program of the build machine.
 *
 *   iq_near OUTPUT.c
 *
 * Distances are integers and points are taken in ascending order, so the tables do not depend on
 * any sorting function.
 */
#include <stdbool.h>
#include <stdio.h>

#include "quant/iq_grids.h"

enum { MAX_DISTANCE = 4 * 7 * 7 }; /* iq3; iq1 and iq2 reach 8 * 2 * 2 */

static unsigned distance(const struct qc_iq_grid *grid, uint16_t a, uint16_t b)
{
	unsigned sum = 0;

	for (int i = 0; i < grid->dims; i++) {
		int diff = qc_iq_level(a, i, grid->bits) - qc_iq_level(b, i, grid->bits);

		sum += (unsigned)(diff * diff);
	}
	return sum;
}

static unsigned lattice_size(const struct qc_iq_grid *grid)
{
	unsigned size = 1;

	for (int i = 0; i < grid->dims; i++)
		size *= grid->levels;
	return size;
}

/* The lattice point of a key: its digits in base `levels`, the first lowest. */
static uint16_t point_of_key(const struct qc_iq_grid *grid, unsigned key)
{
	unsigned point = 0;

	for (int i = 0; i < grid->dims; i++, key /= grid->levels)
		point |= key % grid->levels << (grid->bits * i);
	return (uint16_t)point;
}

/* How far the list of `point` reaches: 0 for a point of the grid, else the last distance taken. */
static unsigned reach(const struct qc_iq_grid *grid, uint16_t point, unsigned count[])
{
	unsigned have = 0, d = 0;

	for (d = 0; d <= MAX_DISTANCE; d++)
		count[d] = 0;
	for (int i = 0; i < grid->size; i++)
		count[distance(grid, point, grid->points[i])]++;
	if (count[0])
		return 0;
	for (d = 0; d < MAX_DISTANCE; d++) {
		have += count[d] > 0;
		if (have == grid->shells)
			break;
	}
	return d;
}

static void write_number(FILE *out, unsigned number, unsigned *column)
{
	fprintf(out, "%s%u,", *column % 16 ? " " : "\n\t", number);
	++*column;
}

/* The points of all lists, and in first[] where each begins. */
static void write_points(FILE *out, const struct qc_iq_grid *grid, unsigned first[])
{
	unsigned column = 0, n = lattice_size(grid), count[MAX_DISTANCE + 1];

	fprintf(out, "static const uint16_t %s_points[] = {", grid->name);
	for (unsigned key = 0; key < n; key++) {
		uint16_t point = point_of_key(grid, key);
		unsigned last = reach(grid, point, count);

		first[key] = column;
		for (unsigned d = 0; d <= last; d++)
			for (int i = 0; count[d] && i < grid->size; i++)
				if (distance(grid, point, grid->points[i]) == d)
					write_number(out, grid->points[i], &column);
	}
	first[n] = column;
	for (int i = 0; i < QC_IQ_NEAR_PADDING; i++)
		write_number(out, 0, &column);
	fprintf(out, "\n};\n\n");
}

/* What a byte of a point, 8 / bits coordinates or part of them, adds to the key. For 3-bit
 * coordinates the key is the point itself. */
static void write_byte_keys(FILE *out, const struct qc_iq_grid *grid, bool high)
{
	unsigned column = 0;

	fprintf(out, "static const uint16_t %s_%s[256] = {", grid->name, high ? "high" : "low");
	for (unsigned byte = 0; byte < 256; byte++) {
		unsigned key = 0, point = byte << (high ? 8 : 0), weight = 1;

		for (int i = 0; i < 16 / grid->bits; i++, weight *= grid->levels)
			key += weight *
			       (unsigned)(point >> (grid->bits * i) & ((1u << grid->bits) - 1));
		write_number(out, key & 0xffff, &column);
	}
	fprintf(out, "\n};\n\n");
}

static void write_grid(FILE *out, const struct qc_iq_grid *grid)
{
	static unsigned first[6561 + 1];
	unsigned column = 0, n = lattice_size(grid);

	write_points(out, grid, first);
	fprintf(out, "static const uint32_t %s_first[] = {", grid->name);
	for (unsigned key = 0; key <= n; key++)
		write_number(out, first[key], &column);
	fprintf(out, "\n};\n\n");
	write_byte_keys(out, grid, true);
	write_byte_keys(out, grid, false);
	fprintf(out,
		"const struct qc_iq_near qc_near_%s = {%s_high, %s_low, %s_first, %s_points};\n\n",
		grid->name, grid->name, grid->name, grid->name, grid->name);
}

int main(int argc, char **argv)
{
	static const struct qc_iq_grid *const grids[] = {&qc_grid_iq1,	   &qc_grid_iq2_xxs,
							 &qc_grid_iq2_xs,  &qc_grid_iq2_s,
							 &qc_grid_iq3_xxs, &qc_grid_iq3_s};
	FILE *out = argc == 2 ? fopen(argv[1], "w") : NULL;
	bool bad;

	if (!out)
		return 1;
	fprintf(out, "#include \"quant/iq_grids.h\"\n\n");
	for (unsigned i = 0; i < sizeof(grids) / sizeof(grids[0]); i++)
		write_grid(out, grids[i]);
	bad = ferror(out) != 0;
	return fclose(out) || bad;
}

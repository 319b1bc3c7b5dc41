/*
 * The grids of the iq1, iq2 and iq3 types: lists of 8- or 4-dimensional points, one code each.
 *
 * iq_grids.c holds the points, all that decoding needs. Encoding also needs to know which points
 * are near a given one: those tables are computed from the grids by quant/gen/iq_near.c when
 * qconv is built.
 */
#ifndef QC_QUANT_IQ_GRIDS_H
#define QC_QUANT_IQ_GRIDS_H

#include <stdint.h>

/* A point packs its coordinates, `bits` each, the first lowest. */
struct qc_iq_grid {
	const char *name;
	const uint16_t *points; /* ascending; a point's index is its code */
	uint16_t size;
	uint8_t dims, bits;
	uint8_t levels; /* coordinates are 0 .. levels-1 */
	uint8_t shells; /* neighbour lists hold the points at this many smallest distances */
};

extern const struct qc_iq_grid qc_grid_iq1; /* iq1_s and iq1_m */
extern const struct qc_iq_grid qc_grid_iq2_xxs, qc_grid_iq2_xs, qc_grid_iq2_s;
extern const struct qc_iq_grid qc_grid_iq3_xxs, qc_grid_iq3_s;

/*
 * The neighbours of every point of the whole lattice (levels ^ dims of them), from its key:
 * key = high[point >> 8] + low[point & 255]. List `key` is points[first[key]] up to, not including,
 * points[first[key + 1]]: the point itself alone when it is on the grid, else the grid points at
 * the `shells` smallest distances, nearest first, those at the same distance in ascending order.
 * Distances are Euclidean between coordinates. No list is empty. Behind the last list come
 * QC_IQ_NEAR_PADDING points that belong to none, for loads of whole vectors.
 */
enum { QC_IQ_NEAR_PADDING = 16 };
struct qc_iq_near {
	const uint16_t *high, *low;
	const uint32_t *first;
	const uint16_t *points;
};

extern const struct qc_iq_near qc_near_iq1;
extern const struct qc_iq_near qc_near_iq2_xxs, qc_near_iq2_xs, qc_near_iq2_s;
extern const struct qc_iq_near qc_near_iq3_xxs, qc_near_iq3_s;

/* Coordinate `i` of a point. */
static inline int qc_iq_level(uint16_t point, int i, int bits)
{
	return point >> (bits * i) & ((1 << bits) - 1);
}

/* The code of a point of the grid; 0 for others. */
static inline uint16_t qc_iq_code(const struct qc_iq_grid *grid, uint16_t point)
{
	unsigned low = 0, high = grid->size;

	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (grid->points[middle] <= point)
			low = middle;
		else
			high = middle;
	}
	return grid->points[low] == point ? (uint16_t)low : 0;
}

#endif

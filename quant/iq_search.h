/*
 * The searches of the types whose codes are points of a grid.
 *
 * Formulas: ggml's quantize_row_iq2_*_impl and quantize_row_iq3_*_impl (ggml-quants.c). All sums
 * are sequential f32.
 */
#ifndef QC_QUANT_IQ_SEARCH_H
#define QC_QUANT_IQ_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/iq_grids.h"
#include "quant/qtype.h"

/*
 * The grid point for 8 values x of which `point` is the rounding, coordinate c standing for
 * levels[c]: itself when it is on the grid, else the one of its neighbour list with the smallest
 * sum of weight * (scale * level - x)^2. The first of equals; the first of all when no sum is a
 * finite number. Returns whether `*point` was on the grid.
 */
bool qc_iq_nearest8(const struct qc_iq_near *near, const float levels[4], const float *x,
		    const float *weight, float scale, uint16_t *point);

/*
 * How a type of iq2 or iq3 fits groups: the magnitudes of 16 or 32 values ~ scale * (2 l + 1) with
 * the coordinates l of grid points. Inverse scales (2 * levels - 1 + step * k) / range are tried
 * for k = -last..last; then the points are chosen again with the best scale.
 */
enum qc_iq_again {
	QC_IQ_AGAIN_OFF_GRID, /* where rounding missed the grid */
	QC_IQ_AGAIN_IF_OFF,   /* everywhere, if rounding missed the grid anywhere */
	QC_IQ_AGAIN_ALL,      /* everywhere */
};
struct qc_iq_search {
	const struct qc_iq_grid *grid;
	const struct qc_iq_near *near;
	int group;	 /* values of a group */
	bool even_signs; /* every 8 values have an even number of minus signs */
	bool fit_range;	 /* the range comes from a fit of codes 0..levels, not from the largest */
	float epsilon;	 /* groups whose largest magnitude is below it are zero */
	float step;
	int last;
	enum qc_iq_again again;
};

/* A group of values as codes; all 0 when there is nothing to code. */
struct qc_iq_group {
	bool coded;	  /* false: the group counts as zero */
	float scale;	  /* not negative */
	uint16_t code[8]; /* of each `dims` values */
	uint8_t signs[4]; /* bit i of byte k: value 8 k + i is negative */
};

/* A group while it is being fitted. */
struct qc_iq_work {
	const struct qc_iq_search *search;
	const float *x; /* magnitudes; negative where the sign had to be wrong */
	const float *weight;
	const float *root; /* square roots of the weights, which choose among neighbours */
	int n_points;
};

/* A choice of points. */
struct qc_iq_choice {
	uint16_t point[8];
	uint8_t off; /* bit k: rounding had missed the grid at point k */
};

/* Least-squares sums of a group's magnitudes against the levels of a choice. */
struct qc_iq_fit {
	float xq, q2;
};

struct qc_iq1_cut;

/* What takes the time of a fit. Every kernel gives the bits of qc_iq_scalar. */
struct qc_iq_kernel {
	/* root[i] = the square root of weight[i], i < 256 */
	void (*roots)(const float *weight, float *root);
	/* scale[g] = that of qc_search_scales() for values 32 g .. 32 g + 31, g < 8 */
	void (*fit_ranges)(const float *x, const float *weight, int nmax, float scale[8]);
	/* Try the inverse scales around range / top: the best choice, or `*best` as it was when
	 * none has a merit. Returns its scale, or `scale`. */
	float (*try_scales)(const struct qc_iq_work *work, float range, float scale,
			    struct qc_iq_choice *best);
	/* qc_iq_nearest8() and its like for 4 values, of 8 levels */
	bool (*nearest8)(const struct qc_iq_near *near, const float levels[4], const float *x,
			 const float *weight, float scale, uint16_t *point);
	bool (*nearest4)(const struct qc_iq_near *near, const float levels[8], const float *x,
			 const float *weight, float scale, uint16_t *point);
	/* of iq1.h: qc_iq1_sort(), qc_iq1_s_cut(), qc_iq1_m_cut() */
	void (*sort)(const float *x, int n, uint8_t *order);
	struct qc_iq1_cut (*cut32)(const float *x, const float *weight, const uint8_t order[32]);
	struct qc_iq1_cut (*cut16)(const float *x, const float *weight, const uint8_t order[16]);
};
extern const struct qc_iq_kernel qc_iq_scalar;

/* Fit the 256 / group groups of a block. Returns the largest scale; 0 leaves nothing to code. */
float qc_iq_fit(const struct qc_iq_kernel *kernel, const struct qc_iq_search *search,
		const float *x, const float *weight, struct qc_iq_group *out);

/* Encode 256 values; `importance` holds 256 values, or is NULL. */
typedef void qc_iq_encode_fn(const struct qc_iq_kernel *kernel, const float *x,
			     const float *importance, void *block);
qc_iq_encode_fn qc_iq2_xxs_encode, qc_iq2_xs_encode, qc_iq2_s_encode;
qc_iq_encode_fn qc_iq3_xxs_encode, qc_iq3_s_encode, qc_iq1_s_encode, qc_iq1_m_encode;

/* qc_quantize_fn with a kernel. */
void qc_iq_quantize(const struct qc_qtype *type, qc_iq_encode_fn *encode,
		    const struct qc_iq_kernel *kernel, const float *x, void *dst, size_t rows,
		    size_t cols, const float *weight);

/* The neighbours of a point. */
struct qc_iq_list {
	const uint16_t *begin, *end;
};

static inline struct qc_iq_list qc_iq_list_of(const struct qc_iq_near *near, uint16_t point)
{
	const uint32_t *first = near->first + near->high[point >> 8] + near->low[point & 255];

	return (struct qc_iq_list){near->points + first[0], near->points + first[1]};
}

/* What the coordinates of a point stand for while searching. */
extern const float qc_iq_odd_levels[8];

/* The code 0..top of a group's scale for scale ~ (2 * code + 1) * d. */
int qc_iq_scale_code(float scale, float d, int top);

/* The signs of 8 values from seven: the eighth makes the number of minus signs even. */
static inline uint8_t qc_iq_even_signs(unsigned seven)
{
	unsigned parity = seven ^ seven >> 4;

	parity ^= parity >> 2;
	parity ^= parity >> 1;
	return (uint8_t)((seven & 127) | (parity & 1) << 7);
}

/* Decode `dims` values: d * level, negative where the bit of `signs` is set. */
static inline void qc_iq_decode(const struct qc_iq_grid *grid, unsigned code, const float *levels,
				float d, unsigned signs, float *x)
{
	uint16_t point = grid->points[code];

	for (int i = 0; i < grid->dims; i++) {
		float v = d * levels[qc_iq_level(point, i, grid->bits)];

		x[i] = signs >> i & 1 ? -v : v;
	}
}

/* What the coordinates of an iq2 point decode to, times 8. */
extern const float qc_iq2_levels[4];

/* What the coordinates of a point stand for: iq3_xxs.c, iq3_s.c. */
extern const float qc_iq3_xxs_levels[8], qc_iq3_s_levels[8];

#endif

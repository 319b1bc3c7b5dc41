/* Rounding to a sorted table by its midpoints, shared by the encoders and searches of quant/bnb.h.
 */
#ifndef QC_QUANT_BNB_RANK_H
#define QC_QUANT_BNB_RANK_H

#include <stdint.h>

#include "quant/bnb.h"

/* What a smaller absmax is divided as. */
#define QC_BNB_SMALLEST 1e-38f

/* The sixteen values of a kind in ascending order, and the midpoints between them, each rounded. */
struct qc_bnb4_ranks {
	float value[16], bound[15];
};

static inline void qc_bnb4_ranks_init(struct qc_bnb4_ranks *ranks, const struct qc_bnb4_kind *kind)
{
	for (int i = 0; i < 16; i++)
		ranks->value[i] = kind->map[kind->order[i]];
	for (int i = 0; i < 15; i++)
		ranks->bound[i] = (ranks->value[i] + ranks->value[i + 1]) / 2;
}

/* The rank of the value nearest to s: how many midpoints are below s, so that ties go down and
 * everything outside the table to its ends. */
static inline unsigned qc_bnb4_rank(const struct qc_bnb4_ranks *ranks, float s)
{
	const float *bound = ranks->bound;
	unsigned rank = bound[7] < s ? 8 : 0;

	rank += bound[rank + 3] < s ? 4 : 0;
	rank += bound[rank + 1] < s ? 2 : 0;
	return rank + (bound[rank] < s);
}

/* The entry of the dynamic map nearest to s, by the same rule. */
static inline unsigned qc_bnb8_rank(float s)
{
	unsigned rank = 0;

	for (unsigned step = 128; step > 0; step /= 2) {
		unsigned i = rank + step - 1;

		if ((qc_bnb_dynamic_map[i] + qc_bnb_dynamic_map[i + 1]) / 2 < s)
			rank += step;
	}
	return rank;
}

/* What absmax decodes to under double quantization. */
static inline float qc_bnb_absmax(uint8_t code, float nested_absmax, float offset)
{
	return qc_bnb_dynamic_map[code] * nested_absmax + offset;
}

/* Scales that the search of a block tries: its largest magnitude times these (search_bnb.c). */
enum { QC_BNB_FACTORS = 22 };
extern const float qc_bnb_factors[QC_BNB_FACTORS];

/* The 8-bit codes that it tries for an absmax `wanted`: the reference's and the three nearest. */
enum { QC_BNB_TRIES = 4 };

static inline void qc_bnb_tries(float wanted, float nested_absmax, float offset, uint8_t reference,
				int tries[QC_BNB_TRIES])
{
	int nearest = (int)qc_bnb8_rank((wanted - offset) / nested_absmax);

	tries[0] = reference;
	tries[1] = nearest;
	tries[2] = nearest > 0 ? nearest - 1 : 0;
	tries[3] = nearest < 255 ? nearest + 1 : 255;
}

#endif

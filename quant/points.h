/*
 * The values that blocks of the iq1, iq2 and iq3 types can take, for whoever chooses codes by more
 * than each block's own error (calib/gptq_points.c).
 *
 * A code stands for a run of 4 or 8 elements, a point of a grid. Element i of it is
 *
 *   +- scale * level of coordinate i of the point + offset
 *
 * with one scale and offset for every 8 elements at least. Who has the scales in a block (from the
 * type's own search, say) chooses codes and signs and puts them into it.
 */
#ifndef QC_QUANT_POINTS_H
#define QC_QUANT_POINTS_H

#include <stdint.h>

#include "quant/iq_grids.h"
#include "quant/qtype.h"

/* All types have blocks of 256: so many times 8 elements. */
enum { QC_OCTETS = 32 };

enum qc_point_signs {
	QC_SIGNS_NONE, /* levels have signs */
	QC_SIGNS_FREE,
	QC_SIGNS_EVEN, /* 8 elements have an even number of minus signs */
};

struct qc_points {
	const struct qc_iq_grid *grid;
	const float *levels; /* that coordinates stand for, in units of the scale */
	enum qc_point_signs signs;
	/* Fill `block`, whose scales and offsets stay: the code of each run, and the signs of every
	 * 8 elements, bit i set when element i is negative. */
	void (*put)(uint8_t *block, const uint16_t *codes, const uint8_t *signs);
};

extern const struct qc_points qc_points_iq1_s, qc_points_iq1_m;
extern const struct qc_points qc_points_iq2_xxs, qc_points_iq2_xs, qc_points_iq2_s;
extern const struct qc_points qc_points_iq3_xxs, qc_points_iq3_s;

/* The scale and offset of every 8 elements, as decoding the block of `type` shows them. */
void qc_points_scales(const struct qc_points *points, const struct qc_qtype *type,
		      const uint8_t *block, float scale[QC_OCTETS], float offset[QC_OCTETS]);

#endif

/*
 * The values that a quantized block can take, for whoever chooses codes by more than each value's
 * own error (calib/gptq.c).
 *
 * A block is groups of elements with one scale and offset each; an element is scale * level +
 * offset of its group, and `levels` are the same in all groups. Who has the scales in a block
 * (from the type's own search, say) chooses a level for each element and puts them into it.
 *
 * Types whose codes stand for several elements at once (the IQ types of 3 bits and less) have
 * points (quant/points.h) instead of groups and levels.
 */
#ifndef QC_QUANT_GRID_H
#define QC_QUANT_GRID_H

#include <stddef.h>
#include <stdint.h>

#include "quant/fast.h"
#include "quant/points.h"
#include "quant/qtype.h"

/* At most. */
enum { QC_GRID_LEVELS = 255, QC_GRID_GROUPS = 16, QC_GRID_ELEMS = 256, QC_GRID_BYTES = 256 };

struct qc_grid {
	const struct qc_qtype *type;
	uint32_t group;	     /* elements of one scale */
	uint32_t n_levels;   /* at most QC_GRID_LEVELS */
	const float *levels; /* ascending */
	/* Fill `block`, whose scales stay, with one level an element, by number. */
	void (*put)(uint8_t *block, const uint8_t *numbers);
	/* Give a group the storable scale and offset nearest to these; the other groups and all
	 * levels keep theirs. The offset is ignored where the type has none. */
	void (*set)(uint8_t *block, uint32_t group, float scale, float offset);
	bool has_offset;
	const struct qc_points *points; /* not NULL: there is nothing else but the type */
};

/* NULL-terminated (grids.c). */
extern const struct qc_grid *const qc_grids[];

/* NULL when the type has none. */
const struct qc_grid *qc_grid_of(const struct qc_qtype *type);

/* The scale and offset of every group, as decoding the block shows them. */
void qc_grid_scales(const struct qc_grid *grid, const uint8_t *block, float *scale, float *offset);

/* The number of the level nearest to x, which is in units of the scale. */
uint8_t qc_grid_nearest(const struct qc_grid *grid, float x);

#endif

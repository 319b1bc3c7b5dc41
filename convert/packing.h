/*
 * Packings: ways to store one weight in several tensors (codes, scales, tables), as bitsandbytes,
 * ModelOpt, compressed-tensors and gpt-oss do. The inverse of formats/enc_*.c; one file per family
 * (convert/target_*.c), one const struct per packing, one line in convert/packings.c.
 *
 * A step that is packed is cut into units: rows, or runs of elements where blocks cross the ends of
 * rows. Every unit makes a fixed number of bytes of every piece that is not constant.
 */
#ifndef QC_CONVERT_PACKING_H
#define QC_CONVERT_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "formats/model.h"
#include "quant/fast.h"
#include "quant/grid.h"
#include "quant/qtype.h"

/* Pieces of one step at most. */
enum { QC_MAX_PIECES = 8 };

struct qc_plan;
struct qc_step;

/* One stored tensor of a step. */
struct qc_piece {
	const char *name;
	const struct qc_qtype *type;
	uint32_t n_dims;
	const uint64_t *dims; /* GGUF order */
	uint64_t bytes;
	uint64_t unit_bytes; /* that one unit makes (the last one may make fewer); 0: constant */
	const uint8_t *constant; /* all of it, known before the step is encoded; NULL */
	size_t number;		 /* among all pieces of the plan */
	uint32_t file;		 /* of the output, and where in it */
	uint64_t offset;
};

/* Some units on their way into the pieces. */
struct qc_pack_range {
	const struct qc_step *step;
	const float *x;	     /* their values, all finite; NULL for repack() */
	const float *weight; /* their importance, one by one as x; NULL: none, or the tensor is
				transposed: see qc_step.importance */
	const uint8_t
		*raw; /* their blocks of step->from, when units are rows and step->raw; NULL */
	uint64_t unit, n_units, n_elems;
	enum qc_isa isa;
	uint8_t *const *out; /* for each piece where these units' bytes go */
};

struct qc_packing {
	const char *name;   /* "nf4": what --q takes */
	const char *layout; /* what --layout takes; NULL: there is only one */
	/* A step whose source rows are blocks of this type may be moved (step->copy), not encoded;
	 * NULL. */
	const struct qc_qtype *type;
	const struct qc_packing *experts; /* packs experts that are one tensor; NULL: this does */
	bool experts_only;		  /* only experts that are one tensor are packed */
	bool splits_experts; /* which are one tensor into one each (formats/experts_split.h) */
	bool splits_turned;  /* and so those of gpt-oss */
	bool has_blocksize;  /* --blocksize and --double-quant are its */
	bool fused_alike;    /* loaders want all or none of fused layers packed (hf_fused.h) */
	const char *about;   /* one line for help */
	/* Why the tensor cannot be packed ("90 columns are not whole groups of 16", in the model's
	 * arena or a literal); NULL when it can. */
	const char *(*unfit)(struct qc_model *model, const struct qc_tensor *tensor);
	/* Whether the source is stored so already, and the options want nothing else: moving it
	 * loses nothing, even where its like is better left alone. NULL: it is never told. */
	bool (*stored_so)(const struct qc_source *source, const struct qconv_options *options);
	/* Fill the step's pieces, units and state (step->packed). */
	enum qc_status (*plan)(struct qc_plan *plan, struct qc_step *step,
			       const struct qconv_options *options, struct qc_err *err);
	/* Called for every step when all are planned: what they must agree on (step->copy, the
	 * number of pieces). NULL: nothing. */
	enum qc_status (*agree)(struct qc_plan *plan, struct qc_step *step, struct qc_err *err);
	/* What must be known of all values before the first is encoded: measure() makes
	 * step->measured_bytes per unit, take() gets them in order (one thread at a time), settle()
	 * completes the pieces after the last. NULL: nothing. */
	void (*measure)(const struct qc_pack_range *range, uint8_t *measured);
	void (*take)(const struct qc_step *step, const uint8_t *measured, uint64_t n_units);
	enum qc_status (*settle)(struct qc_plan *plan, struct qc_step *step, struct qc_err *err);
	/* Cannot fail. */
	void (*encode)(const struct qc_pack_range *range);
	void (*repack)(const struct qc_pack_range *range);
	/* Of a step that is moved although its source has no raw rows: reads range->step->source by
	 * itself, with no more scratch than the rows of these units take. QC_IO, QC_BAD_INPUT. */
	enum qc_status (*move)(const struct qc_pack_range *range, struct qc_scratch *scratch,
			       struct qc_err *err);
	/* Called for every step that is not moved when the jobs are done: what they have shown
	 * (step->finding, step->exact). NULL: nothing. */
	enum qc_status (*conclude)(struct qc_plan *plan, struct qc_step *step, struct qc_err *err);
	/*
	 * Calibration (convert/tune_plan.c): the values that blocks can take, in which rows are
	 * made that repack() then takes; NULL: the step is not calibrated. What its blocks mean is
	 * multiplied by factor() of their matrix, whose rows are one after the other (NULL: by 1).
	 * round() is given all blocks of the step, whose scales it may round; their codes are then
	 * chosen anew. What it returns goes to rounded() if the step takes these blocks (NULL:
	 * nothing is rounded).
	 */
	const struct qc_grid *(*grid)(const struct qc_step *step);
	float (*factor)(const struct qc_step *step, uint64_t matrix);
	float (*round)(const struct qc_step *step, uint8_t *blocks, size_t n_blocks);
	enum qc_status (*rounded)(struct qc_plan *plan, struct qc_step *step, float value,
				  struct qc_err *err);
	/* Where the step's matrices are [in, out], encode() is what gives blocks back: from now on
	 * its values are such as blocks have. */
	void (*keep)(const struct qc_step *step);
	/* quantization_config, JSON with two spaces an indent, as it stands in config.json. */
	void (*config)(FILE *out, const struct qc_plan *plan);
	/* What is known of the loaders of such a file, for people; it returns NULL where there is
	 * nothing to say. NULL: never is. */
	const char *(*loaders)(const struct qc_plan *plan);
	/* A further file in the directory; NULL name: none. */
	const char *extra_name;
	void (*extra)(FILE *out, const struct qc_plan *plan);
};

/* NULL-terminated (packings.c). */
extern const struct qc_packing *const qc_packings[];

/* By name and layout, case-insensitive; a NULL layout means the first of the name. NULL when there
 * is none. */
const struct qc_packing *qc_packing_find(const char *name, const char *layout);

#endif

/* The plan: everything a conversion will do, known before any tensor data is read or any file is
 * made. */
#ifndef QC_CONVERT_PLAN_H
#define QC_CONVERT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/strmap.h"
#include "calib/imatrix.h"
#include "convert/packing.h"
#include "convert/qconv.h"
#include "formats/channel_scales.h"
#include "formats/format.h"
#include "formats/model.h"
#include "quant/fast.h"
#include "quant/lattice.h"

/* One tensor of the model, on its way into the output. */
struct qc_step {
	const struct qc_tensor *tensor;
	const char *name; /* in the output */
	const struct qc_source *source;
	const struct qc_qtype *from;
	const struct qc_qtype *to;	  /* NULL where no quant type stands for the packing */
	const struct qc_packing *packing; /* NULL: one piece, rows of `to` */
	const char *to_name;		  /* for people */
	void *packed;			  /* the packing's own; in the plan's arena */
	uint64_t rows, cols;		  /* of the source; rows * cols elements */
	uint64_t bytes;			  /* of the result, all pieces */
	struct qc_piece *pieces;
	size_t n_pieces;
	bool copy;   /* blocks are moved as they are: the source has raw rows of the type */
	bool exact;  /* no value changes; where that is measured it is known from
			qc_plan_settle() on */
	bool raw;    /* the source is read as raw rows */
	bool search; /* the method is search */
	bool fallback;
	bool starved; /* useless without weights of importance */
	const char *why;
	struct qc_lattice_count *lattice; /* blocks on a lattice (quant/lattice.h), which are
					     looked for; counted while jobs run. NULL */
	const char *finding; /* what reading the tensor has shown, for people; NULL: nothing yet */
	/* Weights of importance: a row for each of the tensor's matrices, of as many values as
	 * these have inputs (cols, or where the tensor is transposed importance_rows); NULL: none.
	 */
	const float *importance;
	uint64_t importance_rows; /* of a matrix */
	/* What ranges are cut into: rows, or with some packings runs of elements. */
	uint64_t n_units, unit_elems;
	size_t measured_bytes; /* per unit, of the packing's measure(); 0: there is none */
	uint64_t range_units;  /* that one job takes; rows: a multiple of the source's row_group
				  where that is small enough */
	uint64_t chunk_units;  /* of a range that are floats at one time (they stay in the cache) */
	uint64_t n_ranges;
};

/* What learning weights from a text (convert/learn.h) takes. */
struct qc_learning {
	uint64_t peak, sums; /* bytes of memory, and those of them for sums; 0: nothing is learnt */
	size_t n_windows, length;
};

/* What calibration (convert/tune_plan.h) has come to. */
struct qc_calibrated {
	uint64_t
		bytes; /* of memory that it takes, part of the plan's peak; 0: there will be none */
	uint64_t share;	 /* of them for the passes of each model; 0: no limit */
	bool done, kept; /* kept: the whole is better with it */
	size_t n_windows, n_held, length;
	size_t n_tensors, n_better; /* that took part; that are better with it */
	double kld, searched_kld;   /* of the held-out windows, with it and without */
	uint64_t n_gradients;	    /* tokens that gradients were taken of; 0: none were */
	size_t n_biases;	    /* matrices that gain by another bias */
	bool biases_kept;	    /* the whole gains by them */
	double biased_kld, unbiased_kld;
};

/* What scaling channels (convert/awq_plan.h) has come to. */
struct qc_scaling {
	bool done, kept;	   /* kept: the plan has the scales */
	size_t n_groups, n_scaled; /* inputs that could be scaled; that gain by it */
	double kld, plain_kld;	   /* of the held-out windows, with the scales and without */
};

struct qc_plan {
	struct qc_arena arena;
	struct qc_model *model;
	const struct qc_format *target;
	const struct qc_packing *packing; /* that --q asks for; NULL */
	const char *recipe;		  /* as asked: "q4_k_m", "source precision" */
	const char *method;
	bool search; /* the method is search */
	enum qc_isa isa;
	unsigned threads;
	struct qc_step *steps; /* GGUF: in the order of their offsets; Hugging Face: of modules */
	size_t n_steps;
	size_t *order; /* the steps' numbers in the order of their tensors in the input files */
	struct qc_piece **placed;    /* all pieces, by file and offset */
	size_t n_pieces, max_pieces; /* of one step */
	struct qc_out out;
	uint64_t shard_bytes;
	struct qc_split split;
	bool verbatim;		    /* of qc_plan_move() */
	struct qc_file *side_files; /* that are copied into a directory, open (malloc) */
	size_t n_side_files;
	const char **skipped; /* modules that could be packed, but are not */
	size_t n_skipped;
	struct qc_imatrix
		imatrix;	  /* sums until qc_importance_attach(), then weights; empty: none */
	const char *imatrix_path; /* NULL: none */
	struct qc_imatrix_gaps imatrix_gaps;
	size_t n_weightable, n_weighted; /* steps that weights can help, that have some */
	struct qc_strmap groups;	 /* of qc_plan_group() -> index into group_data */
	void **group_data;
	size_t n_groups;
	bool measure;	    /* some values must be known before the sizes are: qc_plan_settle() */
	uint64_t n_weights; /* elements of all tensors */
	uint64_t tensor_bytes; /* without header and padding */
	uint64_t source_bytes; /* that will be read */
	uint64_t peak_bytes; /* of memory: buffers of all threads + model + header + a constant for
				the program itself */
	size_t n_fallbacks;
	const int32_t *block_moves;  /* --prune-layers: each block's new number or -1; NULL */
	uint32_t n_blocks;	     /* then: before */
	bool learnt;		     /* the weights of importance, or they will be */
	struct qc_learning learning; /* that is still to be done */
	struct qc_calibrated calibration;
	struct qc_scaling awq;
	struct qc_channel_scales *scales; /* that are on the model's tensors; NULL */
	struct qc_model *own_model; /* `model`, when it and `scales` belong to the plan; NULL */
	bool predicted;		    /* types were chosen for a size, on a text */
	double predicted_kld;	    /* then: of the result from the model as it is */
	/* what one range needs at most, over all steps; f32: one chunk; raw: source rows that are
	 * not simply copied */
	size_t range_f32_bytes, range_raw_bytes, range_out_bytes, range_scratch_bytes;
	unsigned n_slots; /* ranges in flight (jobs.c): finished ones wait in a slot to be hashed
			     in order */
};

/* Bring `model` into the target's layout and plan the conversion. Pure: reads no tensor data, makes
 * no file. Tensors that the target cannot hold join model->drops; a GGUF's general.* keys in
 * model->meta are brought up to date (architecture "unknown" where there is none, file_type,
 * quantization_version; split.* goes). QC_USAGE, QC_UNSUPPORTED, QC_REFUSED (drops under --strict,
 * --mem-limit), QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_plan_build(struct qc_plan *plan, struct qc_model *model,
			     const struct qc_format *target, const struct qconv_options *options,
			     struct qc_err *err);

/* What is known of a conversion before its plan. */
struct qc_plan_given {
	struct qc_imatrix *weights; /* of importance, learnt from options->calib; taken over. NULL:
				       they are read or learnt as usual */
	struct qc_channel_scales *scales; /* on the model's channels, and on the weights of
					     importance; must outlive the plan. NULL: none */
};

/* The same with what is given. */
QC_MUST_CHECK
enum qc_status qc_plan_build_given(struct qc_plan *plan, struct qc_model *model,
				   const struct qc_format *target,
				   const struct qconv_options *options,
				   const struct qc_plan_given *given, struct qc_err *err);

/* The model as the target has it: its layout, its experts in one tensor or in one each. */
QC_MUST_CHECK
enum qc_status qc_plan_bring_to_layout(struct qc_model *model, const struct qc_format *target,
				       const struct qconv_options *options, struct qc_err *err);
/* The same without what a directory has beside the text's part (vision, a head that is the
 * embedding): the tensors that the engine computes with. */
QC_MUST_CHECK
enum qc_status qc_plan_bring_text_to_layout(struct qc_model *model, const struct qc_format *target,
					    const struct qconv_options *options,
					    struct qc_err *err);

/* The plan to write the tensors and the metadata of `model`, opened by qc_gguf_open_stored(), into
 * GGUF as they are: one file or, with options->split_..., a set. */
QC_MUST_CHECK
enum qc_status qc_plan_move(struct qc_plan *plan, struct qc_model *model,
			    const struct qconv_options *options, struct qc_err *err);

/* After qc_jobs_measure(): what the packings have learnt becomes pieces, and the sizes are final.
 * Nothing without plan->measure. */
QC_MUST_CHECK
enum qc_status qc_plan_settle(struct qc_plan *plan, struct qc_err *err);

/* For packings: the state that all steps with this key share (in the plan's arena, zeroed when
 * new), or NULL when memory is out. */
QC_MUST_CHECK
void *qc_plan_group(struct qc_plan *plan, const char *key, size_t size);

void qc_plan_clear(struct qc_plan *plan);

/* Bits per weight of the planned tensors. */
double qc_plan_bpw(const struct qc_plan *plan);

#endif

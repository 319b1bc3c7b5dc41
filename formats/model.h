/*
 * The model IR: what a reader finds, before any tensor data is read.
 *
 * Tensors are views (formats/source.h) under canonical names (the GGUF names,
 * "blk.3.ffn_down.weight") with the name that the file uses kept beside it. A tensor's rows are as
 * the file has them; qc_model_set_layout() adds the row operations that another layout needs (q/k
 * permutation, norm + 1, ...), so that a Hugging Face checkpoint written back as one passes none.
 */
#ifndef QC_FORMATS_MODEL_H
#define QC_FORMATS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/strmap.h"
#include "formats/meta.h"
#include "formats/source.h"

struct qc_arch;
struct qc_arch_tensor;
struct qc_format;

/* Whose row order, norms and stacking the tensors follow. */
enum qc_layout {
	QC_LAYOUT_PLAIN = 0, /* a bag of tensors: no known architecture, nothing to transform */
	QC_LAYOUT_HF,	     /* Hugging Face transformers */
	QC_LAYOUT_GGUF,	     /* llama.cpp */
};

struct qc_tensor {
	const char
		*name; /* canonical; equal to stored_name when the architecture does not know it */
	const char *stored_name; /* in the file */
	uint32_t n_dims;	 /* 0 for a scalar */
	const uint64_t
		*dims; /* GGUF order: dims[0] is contiguous; the reverse of a safetensors shape */
	const struct qc_source *source;
	const struct qc_arch_tensor *row; /* the architecture's row that matched; NULL */
	int32_t layer;			  /* block number, -1 outside blocks */
	int32_t expert;	 /* which expert's it is, for rows of the architecture that have one tensor
			    an expert */
	bool transposed; /* stored with inputs and outputs exchanged: its last two dimensions */
	uint32_t file;	 /* index of the model's file that it (first) lies in */
	bool generated;	 /* made by us from the configuration (rope_freqs) */
	const char *encoding; /* what was folded, for the plan: "bitsandbytes nf4"; NULL: stored
				 plainly */
	/* What was folded took folded_bytes for folded_elems elements; 0: as the type says. */
	uint64_t folded_bytes, folded_elems;
	/* NVFP4's per-tensor factors, 1 or one per expert, f32: values are rows times scale. The
	 * raw rows of `source` are without it, its f32 rows include it. NULL when there is none. */
	const struct qc_source *scale, *input_scale;
};

/* A stored tensor that will not be in the output, and why. */
struct qc_drop {
	const char *name;
	uint64_t bytes;
	const char *reason;
};

/* An adapter that has been merged into the tensors (formats/lora.h), for the plan and the manifest.
 */
struct qc_adapter {
	const char *path; /* of its directory, as the user gave it */
	double scale;
	const char *what; /* "42 matrices of rank 16, 2 biases" */
	struct qc_adapter *next;
};

/* A file of text that belongs beside the weights: made of a GGUF's metadata when its tensors are
 * brought to Hugging Face's layout (formats/hf_back.h). */
struct qc_side_text {
	const char *name; /* "config.json" */
	const char *text; /* NUL behind it */
	size_t size;
};

/* A metadata key that these files cannot say as it stands. */
struct qc_unsaid {
	const char *key, *why;
	struct qc_unsaid *next;
};

struct qc_model {
	const char *path; /* as the user gave it */
	const char *dir; /* directory that holds it and its side files (config.json, tokenizer.*) */
	const struct qc_format *format;
	const char *format_detail;  /* "safetensors, 2 shards", "GGUF v3 big-endian" */
	const struct qc_arch *arch; /* NULL: a bag of tensors */
	const char *arch_note;	    /* why there is no architecture, for the user; NULL */
	const char *tokenizer_note; /* where the tokenizer came from, or why there is none */
	enum qc_layout layout;
	struct qc_meta meta; /* GGUF terms; without general.file_type/quantization_version when read
				from elsewhere */
	uint64_t alignment;  /* of a GGUF input; 0 */
	struct qc_tensor *tensors;
	size_t n_tensors, cap_tensors;
	/* of a GGUF some of whose tensors have been folded into others: all as they are stored (in
	 * the arena); else NULL */
	struct qc_tensor *stored;
	size_t n_stored;
	struct qc_drop *drops;
	size_t n_drops, cap_drops;
	/* of a Hugging Face checkpoint: those of `drops` that GGUF has no use for, in the same
	 * order (in the arena) */
	struct qc_tensor *dropped;
	size_t n_dropped;
	struct qc_file **files; /* every input file with tensor data, opened */
	size_t n_files, cap_files;
	struct qc_json config;	     /* config.json; empty when there is none */
	char *config_text;	     /* the bytes behind `config` (malloc) */
	struct qc_arena arena;	     /* owns every string, dims array and source above */
	uint64_t reading_bytes;	     /* memory that reading took for a while: texts, parsed JSON */
	struct qc_adapter *adapters; /* in the order in which they were merged */
	/* of a GGUF brought to Hugging Face's layout (in the arena); NULL */
	struct qc_side_text *sides;
	size_t n_sides;
	struct qc_unsaid *unsaid;
	/* An adapter gave a model whose configuration ties the output head to the embedding a head
	 * of its own: whoever writes config.json sets tie_word_embeddings to false. */
	bool untied;
	/* Wanted of a GGUF that is brought to Hugging Face's layout: experts in one tensor each,
	 * where the architecture has names for that. */
	bool single_experts;
};

/* Open `path` with whatever format recognises it (formats/registry.c), and give the tensors their
 * canonical names. QC_IO, QC_BAD_INPUT, QC_UNSUPPORTED, QC_NO_MEMORY; on failure the model is
 * cleared. */
QC_MUST_CHECK
enum qc_status qc_model_open(struct qc_model *model, const char *path, struct qc_err *err);

/* The same with a given format, whatever the file looks like. */
QC_MUST_CHECK
enum qc_status qc_model_open_as(struct qc_model *model, const struct qc_format *format,
				const char *path, struct qc_err *err);

/* Accepts a zeroed or already cleared model. */
void qc_model_close(struct qc_model *model);

/* For readers. Add a tensor (all fields of *tensor are taken as they are), a drop, a file (opened
 * by `path`, or by name in dir_fd when dir_fd >= 0; *index gets its number). */
QC_MUST_CHECK
enum qc_status qc_model_add_tensor(struct qc_model *model, const struct qc_tensor *tensor,
				   struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_model_add_drop(struct qc_model *model, const char *name, uint64_t bytes,
				 const char *reason, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_model_add_file(struct qc_model *model, int dir_fd, const char *name,
				 const char *path, uint32_t *index, struct qc_err *err);

/* For readers: `bytes` of memory were in use at one time beside what the model keeps. The plan's
 * peak counts the largest of them. */
void qc_model_note_reading(struct qc_model *model, uint64_t bytes);

/* By canonical name; NULL. Linear: for occasional use. */
const struct qc_tensor *qc_model_find(const struct qc_model *model, const char *name);

/* Add to every tensor the row operations that bring it into `layout`, from Hugging Face's to GGUF's
 * with generated tensors first; the other way is qc_hf_back() (formats/hf_back.h). Nothing to do
 * when the model is in it already or is a bag. QC_UNSUPPORTED names the tensor that cannot be
 * brought there. */
QC_MUST_CHECK
enum qc_status qc_model_set_layout(struct qc_model *model, enum qc_layout layout,
				   struct qc_err *err);

/* QC_IO naming the first input file that changed since it was opened. */
QC_MUST_CHECK
enum qc_status qc_model_unchanged(const struct qc_model *model, struct qc_err *err);

/* Elements and bytes as stored; sizes were checked on reading, so these cannot overflow. */
uint64_t qc_tensor_elems(const struct qc_tensor *tensor);
uint64_t qc_tensor_stored_bytes(const struct qc_tensor *tensor);

/* Whether there are raw rows that, decoded as their type, are the values: no scale beside them. */
bool qc_tensor_has_raw(const struct qc_tensor *tensor);

/* What it is stored as, for people: the encoding, else the element type. */
const char *qc_tensor_stored_as(const struct qc_tensor *tensor);

/* "4096x14336" (dims[0] last: rows x cols as transformers prints), "scalar" for none. */
void qc_tensor_shape_text(const struct qc_tensor *tensor, char *buf, size_t size);

#endif

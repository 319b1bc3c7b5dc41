/*
 * Inside lint: a checkpoint sorted into modules, and the tables of rules. One file per family of
 * rules (lint_nvfp4.c, lint_bnb.c, lint_config.c, ...), each with one table; lint.c has the list.
 */
#ifndef QC_CONVERT_LINT_RULES_H
#define QC_CONVERT_LINT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strmap.h"
#include "convert/lint.h"
#include "convert/lint_shapes.h"
#include "formats/lora.h"
#include "formats/model.h"

/* What a stored tensor is to its module, by the end of its name (lint_modules.c has the table). */
enum lint_part {
	PART_BARE, /* the whole name is the module's */
	PART_WEIGHT,
	PART_WEIGHT_PACKED,
	PART_WEIGHT_SCALE,
	PART_WEIGHT_SCALE_2,
	PART_WEIGHT_SCALE_INV,
	PART_WEIGHT_GLOBAL_SCALE,
	PART_WEIGHT_SHAPE,
	PART_WEIGHT_ZERO_POINT,
	PART_INPUT_SCALE,
	PART_INPUT_GLOBAL_SCALE,
	PART_PRE_QUANT_SCALE,
	PART_K_SCALE,
	PART_V_SCALE,
	PART_QWEIGHT,
	PART_QZEROS,
	PART_SCALES,
	PART_G_IDX,
	PART_SCB,
	PART_WEIGHT_FORMAT,
	PART_ABSMAX,
	PART_QUANT_MAP,
	PART_NESTED_ABSMAX,
	PART_NESTED_QUANT_MAP,
	PART_STATE_NF4,
	PART_STATE_FP4,
	PART_BLOCKS,
	PART_BLOCK_SCALES,
	PART_SCALE,
	LINT_PARTS,
};

struct lint;
struct lint_module;

/* One companion that a way of storing weights has. */
struct lint_need {
	enum lint_part part;
	const struct qc_qtype *const *types; /* NULL-terminated; NULL: any */
	bool optional;
};

enum lint_zero {
	ZERO_FINE,  /* producers write it for a block of zeros */
	ZERO_WARNS, /* a group of weights is zero, whatever its codes */
	ZERO_FAILS, /* a whole tensor is */
};

/* Scales whose values are examined. */
struct lint_scale {
	enum lint_part part;
	const struct qc_qtype *as; /* how to read the elements; NULL: as their type */
	enum lint_zero zero;
	bool may_be_negative;
};

/* A way of storing weights; lint_schemes.c has them all. */
struct lint_scheme {
	const char *name; /* "NVFP4 (ModelOpt)" */
	/* Values of quantization_config.quant_method by which loaders read it; NULL-terminated. */
	const char *const *methods;
	const char *const *algos;	 /* ModelOpt's quant_algo; NULL: not ModelOpt's */
	const char *const *formats;	 /* compressed-tensors' format; NULL: not theirs */
	const char *loader;		 /* who reads it, and what comes of a wrong companion */
	const struct lint_need *needs;	 /* up to LINT_PARTS */
	const struct lint_scale *scales; /* up to LINT_PARTS; NULL: none are examined */
	enum lint_part codes;		 /* the part that holds them */
	enum lint_part global;		 /* NVFP4's factor; LINT_PARTS: none */
	enum lint_part input;		 /* activations' scale; LINT_PARTS: none */
	uint32_t group;			 /* elements of a row that share a scale; 0: it varies */
	uint32_t num_bits;		 /* of a code, as compressed-tensors counts; 0: it varies */
	bool divides;			 /* the global scale is a divisor */
	bool transposed;		 /* packed along axis 1: all experts in one tensor */
	/* What the companions' shapes must be, for weights that have all they need. */
	lint_shapes_fn *check_shapes; /* NULL: reading them tells */
};

extern const struct lint_scheme lint_nvfp4_modelopt, lint_nvfp4_experts, lint_nvfp4_ct,
	lint_mxfp4_gpt_oss, lint_mxfp4_ct, lint_mxfp4_modelopt, lint_fp8, lint_bnb4, lint_bnb8,
	lint_gptq, lint_awq, lint_awq_gemv, lint_ct_packed, lint_ct_int8;

/* A layer: one weight and what is stored with it. */
struct lint_module {
	const char *name;		  /* "model.layers.0.mlp.down_proj" */
	const struct lint_scheme *scheme; /* NULL: stored plainly */
	uint32_t part[LINT_PARTS];	  /* index of the tensor + 1; 0: there is none */
	bool complete; /* all that the scheme needs is there, of the right type */
};

/* Modules that loaders run as one: their inputs are the same. */
#define LINT_GROUP_MEMBERS 3
struct lint_group {
	const char *what; /* "q_proj, k_proj and v_proj" */
	const struct lint_module *members[LINT_GROUP_MEMBERS];
	size_t n;
};

/* A list of module names that stay as they are, in the terms of the method that reads it. */
struct lint_exclude {
	const char *where; /* "config.json: quantization_config.ignore"; NULL: there is no list */
	struct qc_strmap exact; /* names of modules, without prefixes that vary */
	const char **parts;	/* entries that name no module */
	size_t n_parts;
	struct qc_lora_patterns patterns; /* "re:..." */
	bool unknown;			  /* an entry could not be understood */
};

struct lint_config {
	struct qc_json json, hf; /* config.json, hf_quant_config.json; empty when there is none */
	char *text, *hf_text;
	bool readable;		/* config.json is there and is an object */
	qc_json_value quant;	/* quantization_config in json; 0 */
	qc_json_value hf_quant; /* "quantization" in hf; 0 */
	const char *method;	/* quant_method, lower case; NULL */
	const char *algo;	/* the quant_algo that vLLM reads, upper case; NULL */
	const char *algo_where; /* the file and key that it stands in */
};

struct lint_rule {
	const char *name;
	const char *loader; /* NULL: the module's scheme's */
	/* One of these. */
	enum qc_status (*check)(struct lint *lint);
	enum qc_status (*check_module)(struct lint *lint, const struct lint_module *module);
	enum qc_status (*check_group)(struct lint *lint, const struct lint_group *group);
	/* Whether a module or a group of its kind is concerned; NULL: all that are quantized. */
	bool (*applies)(const struct lint *lint, const struct lint_module *module);
};

struct lint {
	struct qc_findings *out;
	const struct qconv_options *options;
	struct qc_err *err;
	const struct lint_rule *rule; /* the one at work */
	const char *loader;	      /* and what it says of loaders */
	struct qc_model model;	      /* stored tensors, or a GGUF model */
	bool is_dir;		      /* the path means a directory, not a single file */
	struct lint_module *modules;  /* malloc; in order of first appearance */
	size_t n_modules, cap_modules, n_quantized;
	struct qc_strmap by_name;  /* module name -> index */
	struct lint_group *groups; /* malloc */
	size_t n_groups;
	struct lint_config config;
	struct lint_exclude exclude;
	uint8_t *buffer; /* LINT_BUFFER bytes */
	float *floats;	 /* LINT_FLOATS of them */
};

#define LINT_BUFFER (1u << 20)
#define LINT_FLOATS (LINT_BUFFER / 2) /* elements of one byte are not widened */

/* Tables of rules; each ends with a NULL name. */
extern const struct lint_rule lint_rules_files[], lint_rules_config[], lint_rules_modelopt[],
	lint_rules_ct[], lint_rules_exclude[], lint_rules_common[], lint_rules_nvfp4[],
	lint_rules_fp8[], lint_rules_bnb[], lint_rules_int[], lint_rules_plain[], lint_rules_gguf[],
	lint_rules_gguf_scales[], lint_rules_tokenizer[];

/*
 * Reporting (lint.c).
 */

/* A finding of the rule at work. `subject` is copied; `found` and `expected` live as long as the
 * findings (text made by lint_text, or literals); NULL means that memory was out when they were
 * made. */
QC_MUST_CHECK
enum qc_status lint_report(struct lint *lint, enum qc_severity severity, const char *subject,
			   const char *found, const char *expected);

QC_MUST_CHECK QC_PRINTF(2, 3) const char *lint_text(struct lint *lint, const char *format, ...);

/* "u8 [5632, 1024]": a tensor's type and shape as transformers prints them. */
QC_MUST_CHECK
const char *lint_shape_text(struct lint *lint, const struct qc_tensor *tensor);

/* Report unless `tensor` has these dimensions, contiguous one first; n_dims of them.
 * Leading dimensions of 1 do not count. */
QC_MUST_CHECK
enum qc_status lint_expect_shape(struct lint *lint, const struct qc_tensor *tensor, uint32_t n_dims,
				 const uint64_t *dims);

/*
 * Modules (lint_modules.c).
 */

/* Sort the model's tensors into modules, modules into groups. */
QC_MUST_CHECK
enum qc_status lint_modules_build(struct lint *lint);
void lint_modules_clear(struct lint *lint);

/* NULL when the module has no such part. */
const struct qc_tensor *lint_part(const struct lint *lint, const struct lint_module *module,
				  enum lint_part part);
const char *lint_part_suffix(enum lint_part part);
/* The last component of a dotted name. */
const char *lint_leaf(const char *name);
/* The tensor that stands for the module in messages: its codes, else any part of it. */
const char *lint_module_subject(const struct lint *lint, const struct lint_module *module);

/* lint_recognize.c: how the module is stored, by its parts; NULL: plainly. */
const struct lint_scheme *lint_scheme_of(const struct lint *lint, const struct lint_module *module);

/*
 * Configuration (lint_config.c, lint_exclude.c).
 */

QC_MUST_CHECK
enum qc_status lint_config_load(struct lint *lint);
void lint_config_clear(struct lint *lint);
/* In config.json: in text_config or at the top; 0. */
qc_json_value lint_config_get(const struct lint *lint, const char *path);
/* A text of either file, decoded, in the model's arena, in lower or upper case; *out is NULL when
 * the value is no text. */
QC_MUST_CHECK
enum qc_status lint_config_text(struct lint *lint, const struct qc_json *json, qc_json_value value,
				bool upper, const char **out);
bool lint_config_method_is(const struct lint *lint, const char *method);
QC_MUST_CHECK
enum qc_status lint_exclude_load(struct lint *lint);
void lint_exclude_clear(struct lint *lint);
bool lint_in_list(const char *const *list, const char *text);

/* lint_gguf.c: whether a GGUF file is meant to be loaded as a model: no adapter, projector or
 * imatrix, and no bag of tensors without an architecture. */
bool lint_is_gguf_model(const struct lint *lint);
/* N of "blk.N."; -1. */
long lint_gguf_block(const char *name);

/*
 * Values (lint_scan.c).
 */

struct lint_counts {
	uint64_t n, zero, negative, nan, infinite;
	uint64_t first; /* index of the first that is one of these; n when there is none */
	float first_value, min, max; /* of the finite ones */
};

/* Count over all elements of a tensor, read as type `as` (as wide as its own; NULL: its own). */
QC_MUST_CHECK
enum qc_status lint_scan(struct lint *lint, const struct qc_tensor *tensor,
			 const struct qc_qtype *as, struct lint_counts *counts);

/* Call `use` with every stored byte of a tensor, in order, little-endian, a part of whole elements
 * at a time. */
QC_MUST_CHECK
enum qc_status lint_each_part(struct lint *lint, const struct qc_tensor *tensor,
			      void (*use)(void *user, const uint8_t *bytes, size_t n), void *user);

/* The first element; false (and no value) for an empty tensor. */
QC_MUST_CHECK
enum qc_status lint_first(struct lint *lint, const struct qc_tensor *tensor, bool *has,
			  float *value);

#endif

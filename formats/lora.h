/*
 * LoRA adapters in PEFT's layout: a directory with adapter_config.json and
 * adapter_model.safetensors, merged into a model's tensors while their rows are read, or written as
 * a GGUF adapter of its own.
 *
 *   linear      W' = W + s B A                    A [r, in], B [out, r]
 *   DoRA        W' = m / ||W + s B A|| (W + s B A), row by row
 *   embedding   W' = W + s (B A)^T                A [r, vocabulary], B [width, r]
 *   experts     W'[e] = W[e] + s B[:, :, e] A[e]  A [experts * r, in], B [out, r * experts], the
 *               expert changing fastest in B; transposed where experts are stored [experts, in,
 * out] bias        b' = b + s b_B s = alpha / r, with use_rslora alpha / sqrt(r); times the scale
 * that the user gives
 *
 * Formulas and names are those of PEFT (tuners/lora/layer.py, dora.py, utils/save_and_load.py).
 */
#ifndef QC_FORMATS_LORA_H
#define QC_FORMATS_LORA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/strmap.h"
#include "formats/model.h"

/* Merge the adapter in `dir` into `model`: its tensors get other sources (formats/lora_source.h),
 * and the adapter's file joins the model's. To be called on an opened model in Hugging Face's
 * layout (or a plain bag of tensors), before qc_model_set_layout(); once per adapter, in the order
 * in which they are to be added. Every tensor of the adapter must have its place: QC_BAD_INPUT
 * names the one that has none, is of the wrong shape or lacks its partner. QC_UNSUPPORTED: a model
 * from a GGUF, or an adapter whose mathematics is not that above. A model whose output head is tied
 * to its embedding gets one of its own where the adapter makes the two different. */
QC_MUST_CHECK
enum qc_status qc_model_apply_lora(struct qc_model *model, const char *dir, double scale,
				   struct qc_err *err);

/* Make `model` (as above) the adapter itself, as llama.cpp reads it: GGUF's layout, tensors
 * NAME.lora_a and NAME.lora_b, metadata of an adapter. Values are such that alpha / r is right for
 * each pair: where it would not be (rank-stabilised scaling, alpha patterns, `scale`), lora_b is
 * multiplied by what is missing. QC_UNSUPPORTED: what a GGUF adapter cannot say (DoRA, replaced
 * tensors, biases, experts, a head tied to the embedding). */
QC_MUST_CHECK
enum qc_status qc_model_only_lora(struct qc_model *model, const char *dir, double scale,
				  struct qc_err *err);

/* "DIR[:SCALE]" as the user gives it: the directory (in `arena`) and the scale, 1 when there is
 * none. What follows the last colon is a scale when it is a number. QC_USAGE for one that is not
 * finite, or an empty directory. */
QC_MUST_CHECK
enum qc_status qc_lora_parse_spec(const char *spec, struct qc_arena *arena, const char **dir,
				  double *scale, struct qc_err *err);

/*
 * adapter_config.json (lora_config.c).
 */

/* rank_pattern or alpha_pattern: the first key K, in the file's order, for which
 * "(.*\.)?(K)$" matches the module's path decides. */
struct qc_lora_regex;
struct qc_lora_patterns {
	double *values;
	size_t n;
	struct qc_strmap suffixes; /* keys without regular expression's signs -> index */
	struct qc_strmap wholes;   /* the same behind a "^" */
	struct qc_lora_regex *regexes;
	size_t n_regexes;
	uint64_t squares; /* of their lengths, which memory is bounded by */
};

struct qc_lora_config {
	struct qc_arena arena;
	double r, alpha;
	bool use_rslora, use_dora, fan_in_fan_out, lora_bias, ensure_weight_tying;
	struct qc_lora_patterns rank, alphas;
	/* target_parameters, as given: "mlp.experts.gate_up_proj" */
	const char **parameters;
	size_t n_parameters;
};

/* Parse the file's text. QC_BAD_INPUT for what PEFT could not have written; QC_UNSUPPORTED, naming
 * the field, for another method than LoRA, a variant that is not merged like one, initial weights
 * that changed the base model, and fields that qconv does not know and that are set. */
QC_MUST_CHECK
enum qc_status qc_lora_config_parse(struct qc_lora_config *config, const char *text, size_t size,
				    struct qc_err *err);
void qc_lora_config_clear(struct qc_lora_config *config);

/* Of the module with this path ("model.layers.0.self_attn.q_proj", at most QC_LORA_MAX_PATH long).
 */
#define QC_LORA_MAX_PATH 1024
double qc_lora_config_rank(const struct qc_lora_config *config, const char *path);
double qc_lora_config_alpha(const struct qc_lora_config *config, const char *path);

/* lora_pattern.c: one key of a pattern; keys come in the file's order. */
QC_MUST_CHECK
enum qc_status qc_lora_patterns_add(struct qc_lora_patterns *patterns, struct qc_arena *arena,
				    const char *key, double value, struct qc_err *err);
void qc_lora_patterns_clear(struct qc_lora_patterns *patterns);
/* NULL when no key matches. Linear in the length of `path` and the number of regular expressions.
 */
const double *qc_lora_patterns_match(const struct qc_lora_patterns *patterns, const char *path);

/*
 * The adapter's tensors (lora_adapter.c).
 */

enum qc_lora_part {
	QC_LORA_A,
	QC_LORA_B,
	QC_LORA_BIAS, /* of B */
	QC_LORA_EMBEDDING_A,
	QC_LORA_EMBEDDING_B,
	QC_LORA_MAGNITUDE,
	QC_LORA_WHOLE, /* replaces a tensor of the model */
	QC_LORA_PARTS
};

/* One adapted module, or one replaced tensor. */
struct qc_lora_module {
	const char *path; /* PEFT's; of a replaced tensor the whole name */
	const char *key;  /* by which it is looked up in the model, see qc_lora_key() */
	const struct qc_tensor *parts[QC_LORA_PARTS];
};

struct qc_lora_adapter {
	const char *dir;
	struct qc_lora_config config;
	struct qc_tensor *tensors; /* of adapter_model.safetensors; in the model's arena */
	size_t n_tensors;
	struct qc_lora_module *modules; /* in the file's order; in the model's arena */
	size_t n_modules;
};

/* Read the configuration and the tensor names of `dir`; the weights' file joins model->files.
 * QC_BAD_INPUT and QC_UNSUPPORTED name the file, or the tensor that is no part of an adapter. */
QC_MUST_CHECK
enum qc_status qc_lora_open(struct qc_lora_adapter *adapter, struct qc_model *model,
			    const char *dir, struct qc_err *err);
void qc_lora_close(struct qc_lora_adapter *adapter);

/* The part of a tensor's or module's name that all spellings have in common: without
 * "language_model.", "base_layer." and "modules_to_save.", and without "model." in front. NULL when
 * memory is out. */
QC_MUST_CHECK
const char *qc_lora_key(struct qc_arena *arena, const char *name);

/*
 * Where they belong (lora_target.c).
 */

/* The tensors of the model, by key. */
struct qc_lora_names {
	struct qc_strmap keys; /* -> index of the tensor, or n_tensors + index of the drop */
	size_t n_tensors;
};
QC_MUST_CHECK
enum qc_status qc_lora_names_init(struct qc_lora_names *names, struct qc_model *model,
				  struct qc_err *err);
void qc_lora_names_clear(struct qc_lora_names *names);

/* What an adapted module stands for. */
struct qc_lora_target {
	size_t tensor;		    /* index in the model; SIZE_MAX: it has been dropped */
	const struct qc_drop *drop; /* the tensor is not in the output, and so is its adapter */
	const struct qc_tensor *a, *b;
	uint64_t rank, n_experts;
	bool transposed; /* the model stores [in, out] */
	double scaling;	 /* alpha / r or alpha / sqrt(r), without the user's factor */
	double alpha;
};

/* The matrix that `module` (which has an A or a B) adapts, everything checked: both parts there,
 * shapes, rank as the configuration has it. */
QC_MUST_CHECK
enum qc_status qc_lora_find_target(struct qc_lora_target *target, struct qc_model *model,
				   const struct qc_lora_names *names,
				   const struct qc_lora_adapter *adapter,
				   const struct qc_lora_module *module, struct qc_err *err);

/* The tensor that has this key: index or drop as above. QC_BAD_INPUT, naming `part`, when there is
 * none, or two. */
QC_MUST_CHECK
enum qc_status qc_lora_find_tensor(struct qc_lora_target *target, const struct qc_model *model,
				   const struct qc_lora_names *names, const char *key,
				   const struct qc_tensor *part, struct qc_err *err);

/* Index of the token embedding when the model has no output head of its own because it is tied to
 * it; SIZE_MAX otherwise. */
size_t qc_lora_tied_embedding(const struct qc_model *model);

/* Whether the adapter changes the output head, and the embedding with this index that it is tied
 * to. */
QC_MUST_CHECK
enum qc_status qc_lora_touches_ends(const struct qc_lora_adapter *adapter, struct qc_model *model,
				    size_t embedding_index, bool *head, bool *embedding,
				    struct qc_err *err);

/* What a tensor of the adapter is dropped for, with its base tensor. */
QC_MUST_CHECK
enum qc_status qc_lora_drop_module(struct qc_model *model, const struct qc_lora_module *module,
				   const struct qc_drop *drop, struct qc_err *err);

/* QC_BAD_INPUT unless the part has this shape (GGUF order). */
QC_MUST_CHECK
enum qc_status qc_lora_check_shape(const struct qc_tensor *part, uint32_t n_dims,
				   const uint64_t *dims, const char *of, struct qc_err *err);

#endif

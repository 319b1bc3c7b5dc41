/*
 * An architecture is tables: which names tensors have on either side and what happens to their rows
 * between, and how config.json becomes metadata. One file per architecture, one line in
 * arch/list.c.
 */
#ifndef QC_FORMATS_ARCH_ARCH_H
#define QC_FORMATS_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/json.h"
#include "formats/meta.h"
#include "formats/model.h"

/* More blocks than any model has; bounds what is kept per block. */
#define QC_MAX_LAYERS 1024

struct qc_config_out;

/* What happens to a tensor's rows between Hugging Face and GGUF; each has an inverse. */
enum qc_row_op {
	QC_ROWS_SAME = 0,
	QC_ROWS_PERMUTE_Q, /* halves to interleaved within each of head_count heads */
	QC_ROWS_PERMUTE_K, /* the same with head_count_kv */
	QC_ROWS_ADD_ONE,   /* RMS norm weights stored as w - 1 */
	QC_ROWS_VOCAB, /* one row per token: cut to the number of tokens that the tokenizer has */
	/* Hugging Face has the last two dimensions the other way round: [experts, in, out]. Not so
	 * when the weight is quantized: rows of inputs are what encodings have. */
	QC_ROWS_TRANSPOSE,
	/* Parts (QC_PART): rows or, of a bias, columns 0, 2, 4, ... and 1, 3, 5, ... */
	QC_ROWS_EVEN,
	QC_ROWS_ODD,
	QC_COLS_EVEN,
	QC_COLS_ODD,
};

/* As `hf` of a row: in GGUF the tensor of the last row above that has a name is split, and this is
 * a part of it; that row's `gguf` is what it is called while it is whole. */
#define QC_PART ""

/*
 * One tensor, or one per block, or one per expert. {i} stands for the block number and {e}, in `hf`
 * only, for the expert's: those of all experts are stacked into one.
 *
 * `shape` has one letter a dimension, in Hugging Face's order (rows first), that of one expert
 * where there is an {e}:
 *   D  embedding_length                  Q  head_count * head size
 *   F  feed_forward_length               K  head_count_kv * head size
 *   N  vocabulary size                   H  head size
 *   E  expert_count                      A  attention.head_count
 *   X  expert_feed_forward_length        G  2 * X: gate and up in one
 *   P  embedding_length_per_layer_input  L  P times the number of blocks
 *   S  1
 * Sizes that differ from block to block are those of the tensor's block.
 *
 * Several rows may have the same `gguf`: other names for it; one of them must be there.
 */
struct qc_arch_tensor {
	const char *hf;	  /* "model.layers.{i}.self_attn.q_proj.weight" */
	const char *gguf; /* "blk.{i}.attn_q.weight" */
	const char *shape;
	enum qc_row_op op;
	/* Whether the model must have it (in this block); NULL: yes. */
	bool (*needed)(const struct qc_model *model, uint32_t layer);
};

/* For `needed`: the model may lack it (lm_head when tied). */
bool qc_row_optional(const struct qc_model *model, uint32_t layer);

/* For `check_tensors`: every block has the experts' gate and up projections, in one tensor or in
 * two; `end` of their names: ".weight", ".bias". QC_BAD_INPUT names the block. */
QC_MUST_CHECK
enum qc_status qc_arch_check_gate_up(const struct qc_model *model, const char *end,
				     struct qc_err *err);

/* Stored tensors that are not part of the text model: names that begin so, with or without "model."
 * before it. */
struct qc_arch_drop {
	const char *prefix;
	const char *reason;
};

/* A metadata key that holds a number, and what it may be (arch/hparam_list.c). */
struct qc_hparam {
	const char *key;      /* "{a}.attention.head_count": {a} is the architecture's GGUF name */
	enum qc_kv_type type; /* QC_KV_U32 or QC_KV_F32 */
	double min, max;      /* both ends included */
};
extern const struct qc_hparam qc_block_count, qc_context_length, qc_vocab_size, qc_embedding_length,
	qc_embedding_length_per_layer, qc_feed_forward_length, qc_head_count, qc_head_count_kv,
	qc_key_length, qc_value_length, qc_key_length_swa, qc_value_length_swa, qc_rms_epsilon,
	qc_sliding_window, qc_shared_kv_layers, qc_logit_softcap, qc_expert_count,
	qc_expert_used_count, qc_expert_feed_forward_length;

/* Where config.json has it. */
struct qc_arch_key {
	const struct qc_hparam *hparam;
	const char *paths; /* "num_attention_heads|n_head": first present wins; dots walk objects */
	double fallback;   /* what transformers fills in when there is none; NAN: write no key */
};

struct qc_arch {
	const char *name; /* GGUF's general.architecture */
	const char *const
		*hf_classes; /* config.json architectures[0] that mean it; NULL-terminated */
	const char *const
		*model_types; /* model_type that means it when there is no `architectures` */
	const struct qc_arch_drop *drops;     /* ends with prefix == NULL; may be NULL */
	const struct qc_arch_key *keys;	      /* ends with hparam == NULL */
	const struct qc_arch_tensor *tensors; /* ends with hf == NULL */
	uint32_t vocab_size;		      /* when config.json does not say */
	double rope_theta, rope_theta_swa;    /* the same; 0: the architecture has no such thing */
	bool tied;	      /* tie_word_embeddings when config.json does not say */
	bool no_space_prefix; /* tokenizer.ggml.add_space_prefix is false whatever the files say */
	bool proportional_rope; /* `generate` makes rope_freqs for the rope type "proportional" */
	bool yarn_untruncated; /* its yarn has truncate false in config.json; GGUF has no key for it
				*/
	/* tokenizer.ggml.model for a BPE with byte_fallback, its merges kept; NULL: "llama" */
	const char *tokenizer_model;
	/* Checks and keys that no table row can express (may be NULL): called after `keys`. */
	enum qc_status (*finish)(struct qc_model *model, struct qc_err *err);
	/* Checks across tensors, once all are named (may be NULL). */
	enum qc_status (*check_tensors)(const struct qc_model *model, struct qc_err *err);
	/* Tensors computed from the configuration, added when going to GGUF (may be NULL). */
	enum qc_status (*generate)(struct qc_model *model, struct qc_err *err);
	/* The way back (arch/config_back.h): members of config.json that no row of `keys` gives, or
	 * that come out otherwise (may be NULL). */
	enum qc_status (*config)(struct qc_config_out *out, struct qc_err *err);
};

/* NULL-terminated (arch/list.c). */
extern const struct qc_arch *const qc_archs[];

const struct qc_arch *qc_arch_by_gguf_name(const char *name, size_t len);

/* Parse and check config.json's text (malloc; the model owns it from here on, also when this
 * fails), choose the architecture, fill model->config, arch, layout and meta (general.name and
 * everything of the architecture; not the tokenizer). An unknown architecture is no error:
 * model->arch stays NULL and arch_note says so. QC_BAD_INPUT for a value out of range,
 * QC_UNSUPPORTED for one that GGUF cannot express. */
QC_MUST_CHECK
enum qc_status qc_arch_from_config(struct qc_model *model, char *text, size_t size,
				   struct qc_err *err);

/* For a GGUF input: the architecture by general.architecture, and rows and blocks for the tensors
 * that it knows. */
QC_MUST_CHECK
enum qc_status qc_arch_from_meta(struct qc_model *model, struct qc_err *err);

/* Give a Hugging Face model's tensors their canonical names, rows and blocks, drop what is not
 * text, check shapes; every table row that is not optional must be there in every block, no two
 * tensors may get one name. Sets general.size_label. Nothing to do for a model of no known
 * architecture or of another layout. */
QC_MUST_CHECK
enum qc_status qc_arch_name_tensors(struct qc_model *model, struct qc_err *err);

/* hparams.c: rows of the token embedding as config.json (or the architecture's default) has them; 0
 * when there is neither. */
uint32_t qc_arch_vocab_size(const struct qc_model *model);

/*
 * For architecture files and their helpers.
 */

/* The member of config.json at a dotted path, members of text_config hiding those of the root; null
 * counts as absent. */
qc_json_value qc_config_get(const struct qc_model *model, const char *path);

/* The number at the first of `paths` ("a|b.c") that is present, else `fallback` (NAN is a fine
 * one). QC_BAD_INPUT when it is no number, outside [min, max], or `integer` and it is none. */
QC_MUST_CHECK
enum qc_status qc_config_number(const struct qc_model *model, const char *paths, bool integer,
				double fallback, double min, double max, double *out,
				struct qc_err *err);

/* QC_UNSUPPORTED when the string at `path` is present and none of `allowed` ("silu|swish"): GGUF
 * has no key for it. */
QC_MUST_CHECK
enum qc_status qc_config_expect(const struct qc_model *model, const char *path, const char *allowed,
				struct qc_err *err);

/* hparams.c: "{a}.rest" with the architecture's name, in `buf`. */
const char *qc_arch_key_name(const struct qc_model *model, const char *key, char buf[96]);

/* The model's hyper-parameter "{a}.KEY"; `fallback` when it is absent. */
uint32_t qc_arch_u32(const struct qc_model *model, const char *key, uint32_t fallback);

/* The same for one block: an element when the key holds an array. */
uint32_t qc_arch_u32_at(const struct qc_model *model, const char *key, uint32_t layer,
			uint32_t fallback);

/* Whether the block's attention has a sliding window, by attention.sliding_window_pattern; false
 * without one. */
bool qc_arch_is_sliding(const struct qc_model *model, uint32_t layer);

/* Columns that one attention head takes: attention.key_length, else embedding_length / head_count;
 * 0 when unknown. */
uint32_t qc_arch_head_size(const struct qc_model *model);

/* The same for one block: attention.key_length_swa when it has a sliding window. */
uint32_t qc_arch_head_size_at(const struct qc_model *model, uint32_t layer);

/* Elements that a letter of qc_arch_tensor.shape stands for in a block (0 outside of blocks). */
uint64_t qc_arch_shape_letter(const struct qc_model *model, char letter, uint32_t layer);

/* {a}.KEY = array of one i32 or bool a block. */
QC_MUST_CHECK
enum qc_status qc_arch_set_i32s(struct qc_model *model, const char *key, const uint32_t *values,
				struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_arch_set_bools(struct qc_model *model, const char *key, const bool *values,
				 struct qc_err *err);

/* patterns.c: whether `name` is `pattern`; *layer and *expert get the numbers that stand for {i}
 * and {e}, -1 and 0 without them. */
bool qc_arch_match(const char *pattern, const char *name, size_t len, int32_t *layer,
		   int32_t *expert);

/* patterns.c: "blk.3.attn_q.weight" from "blk.{i}.attn_q.weight"; one expert's matrix before it is
 * stacked: "blk.3.ffn_up_exps.7.weight". NULL when memory is out. */
char *qc_arch_block_name(struct qc_arena *arena, const char *pattern, int32_t layer);
char *qc_arch_expert_name(struct qc_arena *arena, const char *pattern, int32_t layer,
			  int32_t expert);

/* arch/rope.c: rope_parameters (or rope_scaling, rope_theta, ...) as {a}.rope.* keys. */
QC_MUST_CHECK
enum qc_status qc_arch_rope_keys(struct qc_model *model, struct qc_err *err);

/* arch/rope.c: the tensor rope_freqs.weight when the rope type is llama3; nothing otherwise. */
QC_MUST_CHECK
enum qc_status qc_arch_rope_freqs(struct qc_model *model, struct qc_err *err);

/* arch/rope.c: the tensor rope_freqs.weight: what llama.cpp divides the `n` frequencies by, in the
 * model's arena. */
QC_MUST_CHECK
enum qc_status qc_arch_add_rope_freqs(struct qc_model *model, const float *factors, uint32_t n,
				      struct qc_err *err);

/* The llama3 divisors of the n_dims / 2 rotation frequencies (Llama 3.1's rope scaling):
 *   lambda = 2 pi theta^(2i/n_dims);  lambda < context/high: 1;  lambda > context/low: factor;
 *   else 1 / ((1 - s) / factor + s) with s = (context/lambda - low) / (high - low). */
struct qc_rope_llama3 {
	double theta, factor, low, high, context;
};
void qc_rope_llama3_factors(const struct qc_rope_llama3 *rope, uint32_t n_dims, float *factors);

/* arch/general.c: general.type, general.name. */
QC_MUST_CHECK
enum qc_status qc_arch_general(struct qc_model *model, struct qc_err *err);

/* arch/general.c: general.size_label from the number of weights ("3.7M"). */
QC_MUST_CHECK
enum qc_status qc_arch_size_label(struct qc_model *model, struct qc_err *err);

#endif

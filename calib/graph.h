/*
 * What an architecture computes, as data. One const table per architecture (graph_NAME.c) says
 * which weights a block has and how the steps between them differ; the engine (block.c) has one
 * loop that goes through the steps and leaves out those whose weights are not there:
 *
 *   a = ATTN_NORM(x);  q, k, v = Q a, K a, V a (+ bias);  Q_NORM, K_NORM per head;  rotate q, k
 *   x += POST_ATTN_NORM( O attention(q, k, v) )
 *   dense:    m = POST_FFW_NORM_1( DOWN( act(GATE f) * UP f ) ),  f = FFN_NORM(x)
 *   experts:  m += POST_FFW_NORM_2( sum of weight_e DOWN_EXPS_e( act(GATE_EXPS_e g) * UP_EXPS_e g )
 * ), g = PRE_FFW_NORM_2(x), without that norm f x += POST_FFW_NORM(m) x += PLE_NORM( PLE_PROJ(
 * act(PLE_GATE x) * own embedding of the block ) ) x *= OUT_SCALE
 *
 * qc_graph_bind() joins a table with a model: sizes from the metadata, weights by name, every shape
 * checked, so that the engine need not check any more.
 */
#ifndef QC_CALIB_GRAPH_H
#define QC_CALIB_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/ops.h"
#include "formats/model.h"

enum qc_slot {
	QC_SLOT_ATTN_NORM,
	QC_SLOT_Q,
	QC_SLOT_K,
	QC_SLOT_V,
	QC_SLOT_Q_NORM,
	QC_SLOT_K_NORM,
	QC_SLOT_SINKS,
	QC_SLOT_O,
	QC_SLOT_POST_ATTN_NORM,
	QC_SLOT_FFN_NORM,
	QC_SLOT_GATE,
	QC_SLOT_UP,
	QC_SLOT_DOWN,
	QC_SLOT_POST_FFW_NORM_1,
	QC_SLOT_ROUTER,
	QC_SLOT_ROUTER_SCALE,
	QC_SLOT_PRE_FFW_NORM_2,
	QC_SLOT_GATE_UP_EXPS, /* gate, then up, instead of the next two */
	QC_SLOT_GATE_EXPS,
	QC_SLOT_UP_EXPS,
	QC_SLOT_DOWN_EXPS,
	QC_SLOT_POST_FFW_NORM_2,
	QC_SLOT_POST_FFW_NORM,
	QC_SLOT_PLE_GATE,
	QC_SLOT_PLE_PROJ,
	QC_SLOT_PLE_NORM,
	QC_SLOT_OUT_SCALE,
	QC_SLOTS,
};

/* When the model must have a slot's weight. */
enum qc_need {
	QC_NEED_ALWAYS = 0,
	QC_NEED_OPTIONAL,
	QC_NEED_OWN_KV,	 /* in blocks that compute keys and values themselves */
	QC_NEED_DENSE,	 /* when the block has any weight of the dense network */
	QC_NEED_EXPERTS, /* when the model has experts */
	QC_NEED_PLE,	 /* when blocks have embeddings of their own */
};

struct qc_graph_slot {
	const char *name; /* the tensor is "blk.{i}.NAME.weight"; NULL: the architecture has none */
	enum qc_need need;
};

struct qc_graph_arch {
	const char *name; /* general.architecture */
	struct qc_graph_slot slots[QC_SLOTS];
	enum qc_activation activation;
	bool rope_interleaved;	  /* pairs (2i, 2i + 1); else (i, i + n/2) */
	bool rope_window_scaled;  /* rope scaling (linear, YaRN) holds with a sliding window too */
	bool rope_window_factors; /* the tensor rope_freqs too */
	bool embedding_scaled;	  /* by sqrt(embedding_length) */
	bool value_norm;	  /* v / rms(v) per head */
	bool value_from_key;	  /* blocks without V take the raw product of K */
	/* The router sees x / rms(x) / sqrt(embedding_length) * ROUTER_SCALE; else what the experts
	 * see. */
	bool router_normed;
	float attention_scale; /* of scores; 0: 1 / sqrt(head size) ... */
	/* ... but in models with so many blocks 1 / sqrt(embedding_length / head_count) */
	uint32_t scale_by_width_blocks;
	/* Without attention.sliding_window_pattern: block i has full attention where i + 1 is a
	 * multiple, the others have the window; 0: no block has one. */
	uint32_t window_period;
	float window_rope_base; /* rope.freq_base_swa when that is absent; 0: rope.freq_base */
};

/* NULL-terminated (graph.c). */
extern const struct qc_graph_arch *const qc_graph_archs[];

/* A weight of the model: y = (matrix x) * scale + bias, or the vector of a norm. */
struct qc_weight {
	const struct qc_tensor *tensor;	      /* NULL: not there */
	const struct qc_tensor *bias, *scale; /* "NAME.bias", "NAME.scale"; NULL */
	bool may_be_quantized;	 /* what quantizers take: no norm, no router, no scalar */
	uint64_t in, out, count; /* `count` matrices of `out` rows of `in`; a vector has out 1 */
};

struct qc_graph_block {
	struct qc_weight slots[QC_SLOTS];
	uint32_t heads, heads_kv, head_size;
	uint32_t window;   /* 0: full attention */
	uint32_t rope;	   /* index into qc_graph.ropes */
	uint32_t kv_block; /* whose keys and values it uses; itself or an earlier one */
	bool kv_kept;	   /* later blocks use its keys and values */
	float scale;	   /* of attention scores */
};

enum { QC_ROPE_FULL, QC_ROPE_WINDOW, QC_ROPES };

struct qc_graph {
	const struct qc_model *model;
	const struct qc_graph_arch *arch;
	uint32_t n_blocks, width, vocab;
	uint32_t n_experts, n_used; /* 0: none */
	uint32_t ple_width;	    /* of the embedding that each block has of its own; 0: none */
	float eps, embedding_scale, softcap; /* softcap 0: none */
	struct qc_weight embedding, output_norm, head;
	struct qc_weight ple_embedding, ple_model_proj, ple_proj_norm;
	struct qc_rotary ropes[QC_ROPES];
	struct qc_graph_block *blocks; /* n_blocks; malloc */
};

/* How YaRN's correction range is rounded. llama.cpp always rounds; transformers does unless
 * config.json has rope_scaling.truncate = false (gpt-oss), which a GGUF cannot say. */
enum qc_yarn_range {
	QC_YARN_BY_MODEL = 0, /* as config.json says; rounded for a GGUF */
	QC_YARN_ROUNDED,
	QC_YARN_EXACT,
};

/* Bind `model`, which is brought into GGUF's layout and must outlive the graph. QC_UNSUPPORTED: no
 * graph for its architecture, a step or a tensor that is not known, named; QC_BAD_INPUT: a weight
 * or a key is missing or its shape or value wrong. On failure the graph is cleared. */
QC_MUST_CHECK
enum qc_status qc_graph_bind(struct qc_graph *graph, struct qc_model *model,
			     enum qc_yarn_range yarn, struct qc_err *err);
void qc_graph_clear(struct qc_graph *graph);

/* graph_sizes.c: all sizes, and blocks (without weights), of a graph with model and arch; used by
 * qc_graph_bind(). */
QC_MUST_CHECK
enum qc_status qc_graph_sizes(struct qc_graph *graph, struct qc_err *err);

/* graph_rope.c: the frequencies of both kinds of blocks from the metadata; used by qc_graph_bind().
 */
QC_MUST_CHECK
enum qc_status qc_graph_ropes(struct qc_graph *graph, enum qc_yarn_range yarn, struct qc_err *err);

/* weights.c: matrix `index` of a weight as floats, out rows of in, on `threads` threads. The values
 * must be finite; QC_BAD_INPUT names the tensor. */
QC_MUST_CHECK
enum qc_status qc_weight_read(const struct qc_weight *weight, uint64_t index, float *dst,
			      int threads, struct qc_err *err);
/* Rows [row, row + n) of a tensor in the same way. */
QC_MUST_CHECK
enum qc_status qc_tensor_read(const struct qc_tensor *tensor, uint64_t row, uint64_t n, float *dst,
			      int threads, struct qc_err *err);

#endif

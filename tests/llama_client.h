/*
 * The real client: libllama from the npm package @node-llama-cpp/linux-x64, loaded at run time.
 *
 * Only what the tests need is declared here, for the package version that tests/package.json pins.
 * The parameter structs are returned and passed by value, so their layouts are checked against the
 * library's own defaults on loading.
 */
#ifndef QC_TESTS_LLAMA_CLIENT_H
#define QC_TESTS_LLAMA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct llama_model;
struct llama_context;
struct llama_vocab;
struct llama_adapter_lora;

struct llama_model_params {
	void *devices;
	const void *tensor_buft_overrides;
	int32_t n_gpu_layers, split_mode, load_mode, lazy_mode, main_gpu;
	const float *tensor_split;
	void *progress_callback, *progress_callback_user_data;
	const void *kv_overrides;
	bool vocab_only, check_tensors, use_extra_bufts, no_host, no_alloc, load_mtp;
};

struct llama_context_params {
	uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max,
		n_outputs_max_per_seq;
	int32_t n_threads, n_threads_batch;
	int32_t ctx_type, rope_scaling_type, pooling_type, attention_type, flash_attn_type;
	float rope_freq_base, rope_freq_scale, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast,
		yarn_beta_slow;
	uint32_t yarn_orig_ctx;
	float defrag_thold;
	void *cb_eval, *cb_eval_user_data;
	int32_t type_k, type_v;
	void *abort_callback, *abort_callback_data;
	bool embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified;
	void *samplers;
	size_t n_samplers;
	struct llama_context *ctx_other;
};

struct llama_model_imatrix_data {
	const char *name; /* NULL ends the list */
	const float *data;
	size_t size;
};

struct llama_model_quantize_params {
	int32_t nthread, ftype, output_tensor_type, token_embedding_type;
	bool allow_requantize, quantize_output_tensor, only_copy, pure, keep_split, dry_run;
	const struct llama_model_imatrix_data *imatrix;
	const void *kv_overrides, *tt_overrides;
	const int32_t *prune_layers;
	int32_t reserved[2]; /* of this version; left at the library's defaults */
};

struct llama_batch {
	int32_t n_tokens;
	int32_t *token;
	float *embd;
	int32_t *pos, *n_seq_id, **seq_id;
	int8_t *logits;
};

struct llama_client {
	void *handle;
	struct llama_model_params (*model_default_params)(void);
	struct llama_context_params (*context_default_params)(void);
	struct llama_model_quantize_params (*quantize_default_params)(void);
	struct llama_model *(*model_load)(const char *path, struct llama_model_params params);
	void (*model_free)(struct llama_model *model);
	struct llama_context *(*context_new)(struct llama_model *model,
					     struct llama_context_params params);
	void (*context_free)(struct llama_context *context);
	const struct llama_vocab *(*model_vocab)(const struct llama_model *model);
	int32_t (*vocab_size)(const struct llama_vocab *vocab);
	int32_t (*tokenize)(const struct llama_vocab *vocab, const char *text, int32_t len,
			    int32_t *tokens, int32_t max, bool add_special, bool parse_special);
	struct llama_batch (*batch_init)(int32_t n_tokens, int32_t embd, int32_t n_seq_max);
	void (*batch_free)(struct llama_batch batch);
	int32_t (*decode)(struct llama_context *context, struct llama_batch batch);
	float *(*logits_at)(struct llama_context *context, int32_t i);
	uint32_t (*quantize)(const char *in, const char *out,
			     const struct llama_model_quantize_params *params);
	struct llama_adapter_lora *(*adapter_load)(struct llama_model *model, const char *path);
	void (*adapter_free)(struct llama_adapter_lora *adapter);
	int32_t (*set_adapters)(struct llama_context *context, struct llama_adapter_lora **adapters,
				size_t n, float *scales);
	struct llama_adapter_lora *adapter; /* applied by llama_client_nll(); NULL */
	char log[4096];			    /* the last error lines of the library */
	char *transcript; /* all that the library says, when not NULL; room for it */
	size_t transcript_size, transcript_used;
};

/* Load from the package's folder of libraries; false with a reason in `why`. */
bool llama_client_open(struct llama_client *client, const char *dir, char *why, size_t why_size);

/* Quantize like `llama-quantize IN OUT ftype`; true on success. */
bool llama_client_quantize(struct llama_client *client, const char *in, const char *out, int ftype,
			   bool pure, int threads);

/* A model on the CPU, its tensors checked as they are loaded; NULL with client->log filled. */
struct llama_model *llama_client_load(struct llama_client *client, const char *path);

/* Mean of -ln p(next token) over windows of `n` ids each, every one run on its own from position 0,
 * flash attention off, f32 KV cache; NaN with client->log filled when the model does not load or
 * run. */
double llama_client_nll(struct llama_client *client, struct llama_model *model, const int32_t *ids,
			int n_windows, int n);

#endif

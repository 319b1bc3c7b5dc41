#include "tests/llama_client.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GGML_LOG_LEVEL_ERROR = 4, GGML_TYPE_F32 = 0 };

static void keep_errors(int level, const char *text, void *user)
{
	struct llama_client *client = user;
	size_t used = strlen(client->log);

	if (client->transcript &&
	    client->transcript_used + strlen(text) < client->transcript_size) {
		strcpy(client->transcript + client->transcript_used, text);
		client->transcript_used += strlen(text);
	}
	if (level == GGML_LOG_LEVEL_ERROR && used + strlen(text) + 1 < sizeof(client->log))
		strcpy(client->log + used, text);
}

static bool load_symbol(struct llama_client *client, const char *name, void *slot, char *why,
			size_t why_size)
{
	void *symbol = dlsym(client->handle, name);

	if (!symbol) {
		snprintf(why, why_size, "libllama has no %s", name);
		return false;
	}
	memcpy(slot, &symbol,
	       sizeof(symbol)); /* ISO C has no cast from object to function pointer */
	return true;
}

static bool load_symbols(struct llama_client *client, char *why, size_t why_size)
{
	const struct {
		const char *name;
		void *slot;
	} symbols[] = {
		{"llama_model_default_params", &client->model_default_params},
		{"llama_context_default_params", &client->context_default_params},
		{"llama_model_quantize_default_params", &client->quantize_default_params},
		{"llama_model_load_from_file", &client->model_load},
		{"llama_model_free", &client->model_free},
		{"llama_init_from_model", &client->context_new},
		{"llama_free", &client->context_free},
		{"llama_model_get_vocab", &client->model_vocab},
		{"llama_vocab_n_tokens", &client->vocab_size},
		{"llama_tokenize", &client->tokenize},
		{"llama_batch_init", &client->batch_init},
		{"llama_batch_free", &client->batch_free},
		{"llama_decode", &client->decode},
		{"llama_get_logits_ith", &client->logits_at},
		{"llama_model_quantize", &client->quantize},
		{"llama_adapter_lora_init", &client->adapter_load},
		{"llama_adapter_lora_free", &client->adapter_free},
		{"llama_set_adapters_lora", &client->set_adapters},
	};

	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++)
		if (!load_symbol(client, symbols[i].name, symbols[i].slot, why, why_size))
			return false;
	return true;
}

/* The defaults that llama.h documents must be where our declarations have them. */
static bool layouts_match(const struct llama_client *client)
{
	struct llama_model_params m = client->model_default_params();
	struct llama_context_params c = client->context_default_params();
	struct llama_model_quantize_params q = client->quantize_default_params();

	return m.split_mode == 1 && m.use_extra_bufts && !m.vocab_only && !m.no_alloc &&
	       c.n_ctx == 512 && c.n_batch == 2048 && c.n_ubatch == 512 && c.n_seq_max == 1 &&
	       c.flash_attn_type == -1 && c.type_k == 1 && c.type_v == 1 && c.offload_kqv &&
	       !c.embeddings && q.ftype == 7 && q.quantize_output_tensor && !q.allow_requantize &&
	       !q.pure && !q.imatrix && !q.prune_layers;
}

bool llama_client_open(struct llama_client *client, const char *dir, char *why, size_t why_size)
{
	/* each library needs the one before it */
	static const char *const names[] = {"libggml-base.so", "libggml.v0.5.0.so",
					    "libllama.v0.5.0.so"};
	void (*log_set)(void (*)(int, const char *, void *), void *), (*backend_init)(void);
	void (*load_all)(const char *);
	char path[4096];

	memset(client, 0, sizeof(*client));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		client->handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
		if (!client->handle) {
			snprintf(why, why_size, "%s", dlerror());
			return false;
		}
	}
	if (!load_symbols(client, why, why_size) ||
	    !load_symbol(client, "llama_log_set", &log_set, why, why_size) ||
	    !load_symbol(client, "llama_backend_init", &backend_init, why, why_size) ||
	    !load_symbol(client, "ggml_backend_load_all_from_path", &load_all, why, why_size))
		return false;
	if (!layouts_match(client)) {
		snprintf(why, why_size,
			 "the parameter structs of this libllama are not those declared in the "
			 "tests");
		return false;
	}
	log_set(keep_errors, client);
	load_all(dir); /* the CPU backends are plug-ins beside the library */
	backend_init();
	return true;
}

bool llama_client_quantize(struct llama_client *client, const char *in, const char *out, int ftype,
			   bool pure, int threads)
{
	struct llama_model_quantize_params params = client->quantize_default_params();

	params.ftype = ftype;
	params.pure = pure;
	params.nthread = threads;
	client->log[0] = 0;
	return client->quantize(in, out, &params) == 0;
}

static double window_nll(struct llama_client *client, struct llama_context *context,
			 const int32_t *ids, int n, int n_vocab)
{
	struct llama_batch batch = client->batch_init(n, 0, 1);
	double sum = 0;

	for (int i = 0; i < n; i++) {
		batch.token[i] = ids[i];
		batch.pos[i] = i;
		batch.n_seq_id[i] = 1;
		batch.seq_id[i][0] = 0;
		batch.logits[i] = 1;
	}
	batch.n_tokens = n;
	if (client->decode(context, batch))
		sum = NAN;
	for (int i = 0; i + 1 < n && !isnan(sum); i++) {
		const float *logits = client->logits_at(context, i);
		double max = -INFINITY, total = 0;

		for (int v = 0; v < n_vocab; v++)
			max = logits[v] > max ? logits[v] : max;
		for (int v = 0; v < n_vocab; v++)
			total += exp(logits[v] - max);
		sum += log(total) + max - logits[ids[i + 1]];
	}
	client->batch_free(batch);
	return sum;
}

struct llama_model *llama_client_load(struct llama_client *client, const char *path)
{
	struct llama_model_params params = client->model_default_params();

	params.n_gpu_layers = 0;
	params.check_tensors = true;
	client->log[0] = 0;
	return client->model_load(path, params);
}

double llama_client_nll(struct llama_client *client, struct llama_model *model, const int32_t *ids,
			int n_windows, int n)
{
	int n_vocab = client->vocab_size(client->model_vocab(model));
	double sum = 0;

	for (int w = 0; w < n_windows; w++) {
		struct llama_context_params params = client->context_default_params();
		struct llama_context *context;

		params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)n;
		params.n_outputs_max = params.n_outputs_max_per_seq = (uint32_t)n;
		params.n_threads = params.n_threads_batch = 2;
		params.flash_attn_type = 0;
		params.type_k = params.type_v = GGML_TYPE_F32;
		context = client->context_new(model, params);
		if (!context || (client->adapter &&
				 client->set_adapters(context, &client->adapter, 1, (float[]){1})))
			return NAN;
		sum += window_nll(client, context, ids + (size_t)w * (size_t)n, n, n_vocab);
		client->context_free(context);
	}
	return sum / ((double)n_windows * (n - 1));
}

/*
 * How far one GGUF's predictions are from another's: llama_kl LIBDIR REFERENCE.gguf TEST.gguf TEXT
 * WINDOWS
 *
 * Both are run by libllama on windows of 256 tokens (beginning with BOS) of the text; prints the
 * mean Kullback-Leibler divergence of TEST from REFERENCE over all predicted positions, in nats,
 * and both mean losses.
 */
#include <math.h>

#include "tests/llama_client.h"
#include "tests/test.h"

enum { WINDOW = 256 };

static struct llama_client client;

static struct llama_model *load(const char *path)
{
	struct llama_model *model = llama_client_load(&client, path);

	NEED(model, "libllama does not load %s: %s", path, client.log);
	return model;
}

/* Log probabilities of every position of a window, n_vocab each. */
static void log_probs(struct llama_model *model, const int32_t *ids, int n_vocab, double *out)
{
	struct llama_context_params params = client.context_default_params();
	struct llama_batch batch = client.batch_init(WINDOW, 0, 1);
	struct llama_context *context;

	params.n_ctx = params.n_batch = params.n_ubatch = WINDOW;
	params.n_outputs_max = params.n_outputs_max_per_seq = WINDOW;
	params.n_threads = params.n_threads_batch = 2;
	params.flash_attn_type = 0;
	params.type_k = params.type_v = 0;
	context = client.context_new(model, params);
	NEED(context, "no context: %s", client.log);
	for (int i = 0; i < WINDOW; i++) {
		batch.token[i] = ids[i];
		batch.pos[i] = i;
		batch.n_seq_id[i] = 1;
		batch.seq_id[i][0] = 0;
		batch.logits[i] = 1;
	}
	batch.n_tokens = WINDOW;
	NEED(!client.decode(context, batch), "cannot decode");
	for (int i = 0; i < WINDOW; i++, out += n_vocab) {
		const float *logits = client.logits_at(context, i);
		double max = -INFINITY, sum = 0;

		for (int v = 0; v < n_vocab; v++)
			max = logits[v] > max ? logits[v] : max;
		for (int v = 0; v < n_vocab; v++)
			sum += exp(logits[v] - max);
		for (int v = 0; v < n_vocab; v++)
			out[v] = logits[v] - max - log(sum);
	}
	client.batch_free(batch);
	client.context_free(context);
}

int main(int argc, char **argv)
{
	struct llama_model *reference, *test;
	char why[512], *text;
	size_t size;
	int32_t *tokens, n, window[WINDOW];
	int n_windows, n_vocab;
	double *p, *q, kl = 0, loss_p = 0, loss_q = 0;

	NEED(argc == 6, "usage: llama_kl LIBDIR REFERENCE TEST TEXT WINDOWS");
	NEED(llama_client_open(&client, argv[1], why, sizeof(why)), "%s", why);
	reference = load(argv[2]);
	test = load(argv[3]);
	n_vocab = client.vocab_size(client.model_vocab(reference));
	text = test_load(argv[4], &size);
	tokens = malloc((size + 16) * sizeof(*tokens));
	p = malloc(sizeof(*p) * WINDOW * (size_t)n_vocab);
	q = malloc(sizeof(*q) * WINDOW * (size_t)n_vocab);
	NEED(tokens && p && q, "no memory");
	n = client.tokenize(client.model_vocab(reference), text, (int32_t)size, tokens,
			    (int32_t)size + 16, true, false);
	n_windows = atoi(argv[5]);
	NEED(n > 1 + n_windows * (WINDOW - 1), "the text has %d tokens", n);
	for (int w = 0; w < n_windows; w++) {
		window[0] = tokens[0];
		memcpy(window + 1, tokens + 1 + w * (WINDOW - 1), sizeof(*window) * (WINDOW - 1));
		log_probs(reference, window, n_vocab, p);
		log_probs(test, window, n_vocab, q);
		for (int i = 0; i + 1 < WINDOW; i++) {
			const double *pi = p + (size_t)i * (size_t)n_vocab,
				     *qi = q + (size_t)i * (size_t)n_vocab;

			for (int v = 0; v < n_vocab; v++)
				kl += exp(pi[v]) * (pi[v] - qi[v]);
			loss_p -= pi[window[i + 1]];
			loss_q -= qi[window[i + 1]];
		}
	}
	n = n_windows * (WINDOW - 1);
	printf("KL %.6f  loss %.6f  reference %.6f  positions %d\n", kl / n, loss_q / n, loss_p / n,
	       n);
	return 0;
}

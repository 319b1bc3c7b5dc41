/* The peer that bench measures: bench_peer LIBDIR IN.gguf OUT.gguf FTYPE THREADS
 * [--imatrix FILE] [--pure], what llama-quantize does. */
#include "calib/imatrix.h"
#include "tests/llama_client.h"
#include "tests/test.h"

/* The file as libllama takes it; never freed. */
static struct llama_model_imatrix_data *load_imatrix(const char *path)
{
	static struct qc_imatrix im;
	struct llama_model_imatrix_data *list;
	struct qc_err err;

	NEED(!qc_imatrix_read(&im, path, &err), "%s", err.text);
	list = calloc(im.n_entries + 1, sizeof(*list));
	NEED(list, "no memory");
	for (size_t i = 0; i < im.n_entries; i++) {
		const struct qc_imatrix_entry *e = &im.entries[i];
		float *weights = malloc(e->cols * sizeof(*weights));

		NEED(weights && e->n == 1, "%s: no memory, or experts", e->name);
		qc_imatrix_weights(e, 0, weights, NULL);
		list[i] = (struct llama_model_imatrix_data){e->name, weights, e->cols};
	}
	return list;
}

int main(int argc, char **argv)
{
	static struct llama_client client;
	struct llama_model_quantize_params params;
	char why[512];

	NEED(argc >= 6, "usage: bench_peer LIBDIR IN OUT FTYPE THREADS [--imatrix FILE] [--pure]");
	NEED(llama_client_open(&client, argv[1], why, sizeof(why)), "%s", why);
	params = client.quantize_default_params();
	params.ftype = atoi(argv[4]);
	params.nthread = atoi(argv[5]);
	for (int i = 6; i < argc; i++) {
		if (!strcmp(argv[i], "--imatrix") && i + 1 < argc)
			params.imatrix = load_imatrix(argv[++i]);
		else
			params.pure = true;
	}
	NEED(!client.quantize(argv[2], argv[3], &params), "%s", client.log);
	return 0;
}

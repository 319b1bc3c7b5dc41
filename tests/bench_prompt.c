/*
 * Prompt processing beside libllama's: bench_prompt LIBDIR MODEL.gguf WINDOWS THREADS RUNS
 *
 * Windows of 512 tokens, every one on its own from position 0. "prompt" asks for the logits of
 * each window's last token, as llama-bench does; "scored" for those of its second half, as
 * llama-perplexity does. Each run is a process of its own, ours and the peer's in turn; loading the
 * peer's model and making its context are not counted, decoding our weights is.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calib/forward.h"
#include "formats/model.h"
#include "tests/llama_client.h"
#include "tests/test.h"

enum { WINDOW = 512, MAX_RUNS = 25 };

struct work {
	const char *dir, *path;
	int n_windows, threads;
	bool scored; /* logits of the second half; else of the last token */
};

struct usage {
	double cpu, wall, rss;
};

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t token(size_t i)
{
	return 259 + (uint32_t)((i * 2654435761u) >> 7) % 31000;
}

static bool wants_logits(const struct work *w, int position)
{
	return position == WINDOW - 1 || (w->scored && position >= WINDOW / 2);
}

static struct usage run_peer(const struct work *w)
{
	static struct llama_client client;
	void *(*get_memory)(const struct llama_context *);
	void (*memory_clear)(void *, bool);
	struct llama_context_params params;
	struct llama_model_params model_params;
	struct llama_context *context;
	struct llama_model *model;
	struct llama_batch batch;
	struct usage usage;
	char why[512];
	void *symbols[2];

	NEED(llama_client_open(&client, w->dir, why, sizeof(why)), "%s", why);
	symbols[0] = dlsym(client.handle, "llama_get_memory");
	symbols[1] = dlsym(client.handle, "llama_memory_clear");
	NEED(symbols[0] && symbols[1], "libllama lacks llama_memory_clear");
	memcpy(&get_memory, &symbols[0], sizeof(get_memory));
	memcpy(&memory_clear, &symbols[1], sizeof(memory_clear));
	model_params = client.model_default_params();
	model_params.n_gpu_layers = 0;
	model = client.model_load(w->path, model_params);
	NEED(model, "libllama does not load %s: %s", w->path, client.log);
	params = client.context_default_params();
	params.n_ctx = params.n_batch = params.n_ubatch = WINDOW;
	params.n_outputs_max = params.n_outputs_max_per_seq = WINDOW;
	params.n_threads = params.n_threads_batch = w->threads;
	context = client.context_new(model, params);
	NEED(context, "no context: %s", client.log);
	batch = client.batch_init(WINDOW, 0, 1);
	batch.n_tokens = WINDOW;
	for (int i = 0; i < WINDOW; i++) {
		batch.pos[i] = i;
		batch.n_seq_id[i] = 1;
		batch.seq_id[i][0] = 0;
		batch.logits[i] = wants_logits(w, i);
	}
	usage = (struct usage){-now(CLOCK_PROCESS_CPUTIME_ID), -now(CLOCK_MONOTONIC), 0};
	for (int n = 0; n < w->n_windows; n++) {
		for (int i = 0; i < WINDOW; i++)
			batch.token[i] = (int32_t)token((size_t)(n * WINDOW + i));
		memory_clear(get_memory(context), true);
		NEED(!client.decode(context, batch), "cannot decode");
		NEED(client.logits_at(context, WINDOW - 1)[0] > -1e30f, "no logits");
	}
	usage.cpu += now(CLOCK_PROCESS_CPUTIME_ID);
	usage.wall += now(CLOCK_MONOTONIC);
	return usage;
}

static struct usage run_ours(const struct work *w)
{
	const struct qc_forward_options options = {.threads = w->threads};
	const size_t n = (size_t)w->n_windows * WINDOW;
	struct qc_model model = {0};
	struct qc_forward *forward = NULL;
	struct qc_err err = {0};
	struct usage usage;
	uint32_t *ids = malloc(n * sizeof(*ids));
	const size_t step = w->scored ? WINDOW / 2 : 1;
	float *logits;

	NEED(ids, "no memory");
	for (size_t i = 0; i < n; i++)
		ids[i] = token(i);
	usage = (struct usage){-now(CLOCK_PROCESS_CPUTIME_ID), -now(CLOCK_MONOTONIC), 0};
	NEED(!qc_model_open(&model, w->path, &err) &&
		     !qc_forward_open(&forward, &model, &options, &err) &&
		     !qc_forward_windows(forward, ids, (size_t)w->n_windows, WINDOW, &err),
	     "%s", err.text);
	logits = malloc(step * qc_forward_graph(forward)->vocab * sizeof(*logits));
	NEED(logits, "no memory");
	for (size_t i = WINDOW; i <= n; i += WINDOW)
		NEED(!qc_forward_logits(forward, i - step, step, logits, &err) &&
			     logits[0] > -1e30f,
		     "%s", err.text);
	usage.cpu += now(CLOCK_PROCESS_CPUTIME_ID);
	usage.wall += now(CLOCK_MONOTONIC);
	free(logits);
	free(ids);
	qc_forward_close(forward);
	qc_model_close(&model);
	return usage;
}

static struct usage in_process(struct usage (*run)(const struct work *), const struct work *w)
{
	struct usage usage;
	struct rusage r;
	int fds[2], status;
	pid_t pid;

	NEED(!pipe(fds), "no pipe");
	pid = fork();
	NEED(pid >= 0, "cannot fork");
	if (!pid) {
		usage = run(w);
		_exit(write(fds[1], &usage, sizeof(usage)) != sizeof(usage));
	}
	NEED(wait4(pid, &status, 0, &r) == pid && WIFEXITED(status) && !WEXITSTATUS(status),
	     "a run failed");
	NEED(read(fds[0], &usage, sizeof(usage)) == sizeof(usage), "nothing measured");
	close(fds[0]);
	close(fds[1]);
	usage.rss = (double)r.ru_maxrss / 1024;
	return usage;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const struct usage *runs, int n, size_t field)
{
	double values[MAX_RUNS];

	for (int i = 0; i < n; i++)
		memcpy(&values[i], (const char *)&runs[i] + field, sizeof(double));
	qsort(values, (size_t)n, sizeof(double), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void measure(const struct work *w, int n, const char *what)
{
	struct usage ours[MAX_RUNS], theirs[MAX_RUNS];
	const double tokens = (double)w->n_windows * WINDOW;
	double cpu, wall, peer_cpu, peer_wall;

	for (int i = 0; i < n; i++) {
		theirs[i] = in_process(run_peer, w);
		ours[i] = in_process(run_ours, w);
	}
	cpu = median(ours, n, offsetof(struct usage, cpu));
	wall = median(ours, n, offsetof(struct usage, wall));
	peer_cpu = median(theirs, n, offsetof(struct usage, cpu));
	peer_wall = median(theirs, n, offsetof(struct usage, wall));
	printf("  %-34s %8.0f %10.0f %9.0f\n", "libllama", tokens / peer_wall, tokens / peer_cpu,
	       median(theirs, n, offsetof(struct usage, rss)));
	printf("  %-34s %8.0f %10.0f %9.0f   %.2f x (wall), %.2f x (CPU)\n", what, tokens / wall,
	       tokens / cpu, median(ours, n, offsetof(struct usage, rss)), peer_wall / wall,
	       peer_cpu / cpu);
}

int main(int argc, char **argv)
{
	struct work w;
	int n;

	NEED(argc == 6, "usage: bench_prompt LIBDIR MODEL.gguf WINDOWS THREADS RUNS");
	w = (struct work){argv[1], argv[2], atoi(argv[3]), atoi(argv[4]), false};
	n = atoi(argv[5]);
	NEED(w.n_windows > 0 && w.threads > 0 && n > 0 && n <= MAX_RUNS,
	     "numbers above 0, at most %d runs", MAX_RUNS);
	printf("  %-34s %8s %10s %9s\n", "", "tokens/s", "per CPU s", "MiB");
	measure(&w, n, "qconv, prompt");
	fflush(stdout);
	w.scored = true;
	measure(&w, n, "qconv, second half scored");
	return 0;
}

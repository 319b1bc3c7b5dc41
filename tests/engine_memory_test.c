/*
 * Memory of the forward pass: activations in a temporary file give the same logits, the plan is
 * what a process really takes, and real models fit where they should.
 */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calib/collect.h"
#include "calib/forward.h"
#include "calib/rows.h"
#include "tests/arch_model.h"

#define GEMMA3	    "samples/tiny-gemma3"
#define MODEL(name) "tests/data/models/" name
#define GiB	    ((uint64_t)1 << 30)

enum { LENGTH = 64 };

static struct qc_err err;

struct engine {
	struct qc_model model;
	struct qc_forward *forward;
};

static void open_engine(struct engine *e, const char *path, uint64_t mem_limit, const char *dir)
{
	const struct qc_forward_options options = {
		.threads = 2, .mem_limit = mem_limit, .spill_dir = dir};

	memset(e, 0, sizeof(*e));
	NEED(!qc_model_open(&e->model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&e->forward, &e->model, &options, &err), "%s", err.text);
}

static void close_engine(struct engine *e)
{
	qc_forward_close(e->forward);
	qc_model_close(&e->model);
}

static uint32_t *some_ids(size_t n)
{
	uint32_t *ids = malloc(n * sizeof(*ids));

	NEED(ids, "no memory");
	for (size_t i = 0; i < n; i++)
		ids[i] = (uint32_t)(i * 7919 % 1000);
	return ids;
}

/* Logits of `n` windows, all rows (malloc). */
static float *logits_of(const char *path, size_t n, uint64_t mem_limit, bool *spilled)
{
	struct qc_forward_plan plan;
	struct engine e;
	uint32_t *ids = some_ids(n * LENGTH);
	float *logits;

	open_engine(&e, path, mem_limit, NULL);
	qc_forward_plan(e.forward, n, LENGTH, &plan);
	*spilled = plan.spilled > 0;
	logits = malloc(n * LENGTH * qc_forward_graph(e.forward)->vocab * sizeof(*logits));
	NEED(logits, "no memory");
	NEED(!qc_forward_windows(e.forward, ids, n, LENGTH, &err), "%s", err.text);
	NEED(!qc_forward_logits(e.forward, 0, n * LENGTH, logits, &err), "%s", err.text);
	/* a second call begins anew */
	NEED(!qc_forward_windows(e.forward, ids, n, LENGTH, &err), "%s", err.text);
	close_engine(&e);
	free(ids);
	return logits;
}

/* 33 windows are more than go through a block at a time, and the last chunk is short. */
static void activations_in_a_file_give_the_same_logits(void)
{
	static const char *const paths[] = {GEMMA3, MODEL("tiny-llama"), MODEL("tiny-gemma4"),
					    MODEL("tiny-gpt-oss")};
	enum { N = 33 };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		bool spilled;
		float *memory = logits_of(paths[i], N, 0, &spilled), *file;
		struct engine e;
		size_t bytes;

		CHECK(!spilled, "%s: a file without a limit", paths[i]);
		file = logits_of(paths[i], N, 1, &spilled);
		CHECK(spilled, "%s: no file with a limit of one byte", paths[i]);
		open_engine(&e, paths[i], 0, NULL);
		bytes = N * LENGTH * qc_forward_graph(e.forward)->vocab * sizeof(float);
		CHECK(!memcmp(memory, file, bytes), "%s: other logits", paths[i]);
		close_engine(&e);
		free(memory);
		free(file);
	}
}

static void a_file_that_cannot_be_made_is_an_error(void)
{
	uint32_t *ids = some_ids(LENGTH);
	struct qc_spill spill;
	struct engine e;

	open_engine(&e, GEMMA3, 1, "/nonexistent");
	CHECK(qc_forward_windows(e.forward, ids, 1, LENGTH, &err) == QC_IO &&
		      strstr(err.text, "'/nonexistent'"),
	      "'%s'", err.text);
	close_engine(&e);
	free(ids);
	CHECK(qc_spill_open(&spill, ".", (uint64_t)1 << 62, &err) == QC_IO &&
		      strstr(err.text, "--mem-limit") && !spill.is_open,
	      "'%s'", err.text);
}

/* Rows that are written past the end of what was reserved, or cannot be read, are told. */
static void a_file_that_is_too_short_is_an_error(void)
{
	struct qc_spill spill;
	struct qc_rows rows;
	uint64_t offset = 0;
	float four[4] = {1, 2, 3, 4}, *at;

	NEED(!qc_spill_open(&spill, ".", 16, &err), "%s", err.text);
	NEED(!qc_rows_make(&rows, 4, 2, &spill, &offset, &err), "%s", err.text);
	CHECK(offset == 32, "%llu", (unsigned long long)offset);
	CHECK(!qc_rows_write(&rows, 0, 2, four, &err), "'%s'", err.text);
	memset(four, 0, sizeof(four));
	CHECK(!qc_rows_read(&rows, 0, 2, four, &at, &err) && at == four && four[3] == 4, "%g",
	      (double)four[3]);
	CHECK(qc_rows_read(&rows, 2, 2, four, &at, &err) == QC_IO, "read behind the end");
	qc_rows_clear(&rows);
	qc_spill_close(&spill);
}

static double peak_bytes(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)r.ru_maxrss * 1024;
}

/* How much a forward pass adds to the largest resident set, in a process of its own. */
static double measured_bytes(const char *path, size_t n, size_t length, uint64_t mem_limit,
			     struct qc_forward_plan *plan)
{
	double grown;
	int fds[2], status;
	pid_t pid;

	NEED(!pipe(fds), "no pipe");
	pid = fork();
	NEED(pid >= 0, "cannot fork");
	if (!pid) {
		struct engine e;
		uint32_t *ids = some_ids(n * length);
		double before;
		float *logits;
		size_t step;

		open_engine(&e, path, mem_limit, NULL);
		qc_forward_plan(e.forward, n, length, plan);
		before = peak_bytes();
		step = qc_forward_logit_rows(e.forward, n * length);
		NEED(!qc_forward_windows(e.forward, ids, n, length, &err), "%s", err.text);
		logits = malloc(step * qc_forward_graph(e.forward)->vocab * sizeof(*logits));
		NEED(logits && !qc_forward_logits(e.forward, 0, step, logits, &err), "%s",
		     err.text);
		grown = peak_bytes() - before;
		_exit(write(fds[1], &grown, sizeof(grown)) != sizeof(grown) ||
		      write(fds[1], plan, sizeof(*plan)) != sizeof(*plan));
	}
	NEED(read(fds[0], &grown, sizeof(grown)) == sizeof(grown) &&
		     read(fds[0], plan, sizeof(*plan)) == sizeof(*plan),
	     "nothing measured");
	NEED(waitpid(pid, &status, 0) == pid && !status, "the process failed");
	close(fds[0]);
	close(fds[1]);
	return grown;
}

static void a_process_takes_what_the_plan_says(void)
{
	/* scratch of decoding threads, OpenBLAS' packing buffers, the heap's rounding */
	const double slack = 24 << 20;
	struct qc_forward_plan plan;
	double memory, file;

	if (strstr(getenv("BUILD") ? getenv("BUILD") : "", "asan")) {
		printf("not measured: a sanitizer has memory of its own\n");
		return;
	}
	memory = measured_bytes(MODEL("tiny-gpt-oss"), 48, 512, 0, &plan);
	CHECK(!plan.spilled && plan.states > 60e6, "%llu", (unsigned long long)plan.states);
	CHECK(memory < (double)plan.peak + slack && memory > 0.8 * (double)plan.peak,
	      "in memory: %.0f bytes, planned %llu", memory, (unsigned long long)plan.peak);
	file = measured_bytes(MODEL("tiny-gpt-oss"), 48, 512, 32 << 20, &plan);
	CHECK(plan.spilled > 60e6 && plan.peak < 32 << 20, "%llu in a file, peak %llu",
	      (unsigned long long)plan.spilled, (unsigned long long)plan.peak);
	CHECK(file < (double)plan.peak + slack && file < memory / 2,
	      "in a file: %.0f bytes, planned %llu", file, (unsigned long long)plan.peak);
	printf("tiny-gpt-oss, 48 windows of 512: %.1f MB in memory, %.1f MB with a file\n",
	       memory * 1e-6, file * 1e-6);
}

/* google/gemma-3-4b's text model and openai/gpt-oss-20b, as their config.json has them. */
static const char gemma_4b[] =
	"{\"architectures\": [\"Gemma3ForCausalLM\"], \"model_type\": \"gemma3_text\", "
	"\"hidden_size\": 2560, \"intermediate_size\": 10240, \"num_hidden_layers\": 34, "
	"\"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 256, "
	"\"sliding_window\": 1024, \"vocab_size\": 262208, \"rope_theta\": 1000000.0}";
static const char gpt_oss_20b[] =
	"{\"architectures\": [\"GptOssForCausalLM\"], \"head_dim\": 64, \"hidden_size\": 2880, "
	"\"intermediate_size\": 2880, \"num_attention_heads\": 64, \"num_experts_per_tok\": 4, "
	"\"num_hidden_layers\": 24, \"num_key_value_heads\": 8, \"num_local_experts\": 32, "
	"\"rope_theta\": 150000, \"sliding_window\": 128, \"vocab_size\": 201088}";

/* Windows of 512 over a text of a million tokens, the default limit and one that is just the
 * memory. */
static void real_models_fit(void)
{
	static const struct {
		const char *config;
		uint64_t memory;
	} models[] = {{gemma_4b, 6 * GiB}, {gpt_oss_20b, 12 * GiB}};
	const uint64_t limits[] = {GiB, 0};

	for (size_t i = 0; i < 4; i++) {
		const uint64_t memory = models[i / 2].memory;
		const struct qc_forward_options options = {
			.threads = 2, .mem_limit = limits[i % 2] ? limits[i % 2] : memory};
		struct qc_forward *forward;
		struct qc_collect_plan collect;
		struct qc_forward_plan plan;
		struct qc_model model;

		NEED(!am_config(&model, models[i / 2].config, &err), "%s", err.text);
		am_fill(&model, "model.", false, NULL);
		NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
		NEED(!qc_forward_open(&forward, &model, &options, &err), "%s", err.text);
		qc_forward_plan(forward, 2000, 512, &plan);
		CHECK(plan.peak < (limits[i % 2] ? 3 * GiB / 2 : memory),
		      "%s: %llu bytes with a limit of %llu", model.arch->name,
		      (unsigned long long)plan.peak, (unsigned long long)options.mem_limit);
		CHECK(plan.peak == plan.weights + plan.states + plan.work + plan.head + plan.logits,
		      "%llu is not the sum", (unsigned long long)plan.peak);
		printf("%s, 2000 windows of 512, limit %.1f GiB: weights %.0f, states %.0f, work "
		       "%.0f, head %.0f, logits %.0f, sum %.0f, in a file %.0f MB\n",
		       model.arch->name, (double)options.mem_limit / (double)GiB,
		       (double)plan.weights * 1e-6, (double)plan.states * 1e-6,
		       (double)plan.work * 1e-6, (double)plan.head * 1e-6,
		       (double)plan.logits * 1e-6, (double)plan.peak * 1e-6,
		       (double)plan.spilled * 1e-6);
		qc_collect_plan(forward, 64, 512, &collect);
		CHECK(collect.peak < memory, "%s: calibration takes %llu bytes", model.arch->name,
		      (unsigned long long)collect.peak);
		printf("%s, importance by groups of 64 windows: passes %.0f, sums %.0f MB\n",
		       model.arch->name, (double)collect.forward.peak * 1e-6,
		       (double)collect.stats * 1e-6);
		qc_forward_close(forward);
		qc_model_close(&model);
	}
}

static void a_plan_beyond_all_memory_says_so(void)
{
	struct qc_forward_plan plan;
	struct engine e;

	open_engine(&e, GEMMA3, 0, NULL);
	qc_forward_plan(e.forward, SIZE_MAX / 2, SIZE_MAX / 2, &plan);
	CHECK(plan.peak == UINT64_MAX &&
		      qc_forward_bytes(e.forward, SIZE_MAX / 2, 512) == UINT64_MAX,
	      "%llu", (unsigned long long)plan.peak);
	close_engine(&e);
}

int main(void)
{
	/* first: after a fork the threads of the parent are not there */
	a_process_takes_what_the_plan_says();
	activations_in_a_file_give_the_same_logits();
	a_file_that_cannot_be_made_is_an_error();
	a_file_that_is_too_short_is_an_error();
	real_models_fit();
	a_plan_beyond_all_memory_says_so();
	return test_end();
}

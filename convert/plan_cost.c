#include "convert/plan_cost.h"

#include <omp.h>

#include "convert/source_hash.h"

#define MAX_THREADS 256
/* The program, its libraries, their heap, the stacks; measured with some room. */
#define PROGRAM_BYTES (12u << 20)
#define THREAD_BYTES  (256u << 10)
#define PEAK_STEP     ((uint64_t)1 << 20)

static enum qc_status choose_threads(struct qc_plan *plan, const struct qconv_options *options,
				     struct qc_err *err)
{
	uint64_t n_ranges = 0;
	int n = options->threads ? options->threads : omp_get_num_procs();

	if (options->threads < 0)
		return qc_fail(err, QC_USAGE, "%d threads: at least 1 is needed", options->threads);
	for (size_t i = 0; i < plan->n_steps; i++)
		n_ranges += plan->steps[i].n_ranges;
	n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
	plan->threads = (uint64_t)n <= n_ranges ? (unsigned)n : n_ranges ? (unsigned)n_ranges : 1;
	plan->n_slots = 2 * plan->threads;
	return QC_OK;
}

/* What is in memory at the same time, while the input is read or while jobs run; whole MiB, so
 * that the length of a path does not show. */
static uint64_t peak_memory(const struct qc_plan *plan)
{
	const struct qc_model *model = plan->model;
	uint64_t floats = plan->n_weighted ? 2 * plan->range_f32_bytes : plan->range_f32_bytes;
	uint64_t thread = floats + plan->range_scratch_bytes;
	uint64_t slot = plan->range_raw_bytes + plan->range_out_bytes;
	uint64_t tables = model->cap_tensors * sizeof(*model->tensors) +
			  model->cap_drops * sizeof(*model->drops) +
			  model->meta.cap * sizeof(*model->meta.kvs) + model->config.size +
			  model->config.n_nodes * (uint64_t)16;

	uint64_t headers = 0, running, learning, larger;

	for (size_t i = 0; i < plan->out.n_files; i++)
		headers += plan->out.files[i].header_bytes;
	running = plan->arena.bytes + plan->imatrix.arena.bytes + headers +
		  plan->threads * (thread + THREAD_BYTES) + plan->n_slots * slot +
		  QC_SOURCE_HASH_BYTES;
	/* what reading and learning took is given back before jobs run */
	larger = model->reading_bytes > running ? model->reading_bytes : running;
	learning = plan->learning.peak ? plan->learning.peak + model->arena.bytes + tables : 0;
	larger = learning > larger ? learning : larger;

	return (PROGRAM_BYTES + model->arena.bytes + tables + larger + PEAK_STEP - 1) / PEAK_STEP *
	       PEAK_STEP;
}

enum qc_status qc_plan_count_cost(struct qc_plan *plan, const struct qconv_options *options,
				  struct qc_err *err)
{
	enum qc_status s = choose_threads(plan, options, err);

	if (!s)
		plan->peak_bytes = peak_memory(plan);
	return s;
}

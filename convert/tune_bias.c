#include "convert/tune_bias.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "convert/step.h"
#include "quant/types.h"

/* Tokens that an expert must have seen; weights that are decoded at a time. */
enum { LEARNT = 64, HELD = 8, AT_A_TIME = 1 << 20 };
/* Of the squared error of the mean, on the held-out windows, what may be left of it. */
#define WORTH 0.5

/*
 * The engine has biases in GGUF's layout, where one of the target's may be two, or have another
 * order. Where an element comes from is found by having the elements' numbers, and those of their
 * tensors, go the same way.
 */
enum showing { CORRECTED, ORIGINAL, ELEMENTS, TENSORS };

struct bias {
	struct qc_source base;
	struct qc_tune_biases *all;
	struct qc_step *step;
	float *original, *corrected; /* malloc */
	size_t number, n_kept;
};

struct qc_tune_biases {
	struct qc_plan *plan;
	struct bias *list; /* malloc; never moves */
	size_t n;
	enum showing showing;
	size_t n_kept;
};

static enum qc_status bias_read(const struct qc_source *source, uint64_t row, uint64_t n,
				float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct bias *b = (const struct bias *)source;
	const size_t first = (size_t)(row * source->cols), count = (size_t)(n * source->cols);

	(void)scratch;
	(void)err;
	for (size_t i = 0; i < count; i++)
		dst[i] = b->all->showing == CORRECTED  ? b->corrected[first + i]
			 : b->all->showing == ORIGINAL ? b->original[first + i]
			 : b->all->showing == ELEMENTS ? (float)(first + i)
						       : (float)b->number;
	return QC_OK;
}

static size_t bias_scratch(const struct qc_source *source, uint64_t n)
{
	(void)source;
	(void)n;
	return 0;
}

static const struct qc_source_ops bias_ops = {
	.name = "bias",
	.read_f32 = bias_read,
	.scratch_bytes = bias_scratch,
};

static bool is_bias(const struct qc_step *step)
{
	const char *end = strrchr(step->tensor->name, '.');

	/* numbers of elements must be exact as floats */
	return end && !strcmp(end, ".bias") && step->tensor->layer >= 0 && !step->packing &&
	       step->to->is_float && step->rows * step->cols < 1u << 24;
}

static enum qc_status open_one(struct bias *b, struct qc_tensor *tensor, struct qc_err *err)
{
	const struct qc_source *inner = tensor->source;
	const size_t n = (size_t)(inner->rows * inner->cols);
	enum qc_status s;

	b->original = malloc((n + 1) * sizeof(float));
	b->corrected = malloc((n + 1) * sizeof(float));
	if (!b->original || !b->corrected)
		return qc_no_memory(err);
	s = qc_tensor_read(tensor, 0, inner->rows, b->original, 1, err);
	if (s)
		return s;
	memcpy(b->corrected, b->original, n * sizeof(float));
	b->base = (struct qc_source){&bias_ops, inner->rows, inner->cols, &qc_f32, 1};
	tensor->source = &b->base;
	return QC_OK;
}

enum qc_status qc_tune_biases_open(struct qc_tune_biases **biases, struct qc_plan *plan,
				   struct qc_model *model, struct qc_err *err)
{
	struct qc_tune_biases *all = calloc(1, sizeof(*all));
	enum qc_status s = QC_OK;

	*biases = NULL;
	if (all)
		all->list = calloc(plan->n_steps + 1, sizeof(*all->list));
	if (!all || !all->list) {
		free(all);
		return qc_no_memory(err);
	}
	all->plan = plan;
	for (size_t i = 0; !s && i < plan->n_steps; i++) {
		struct qc_step *step = &plan->steps[i];
		const struct qc_tensor *found =
			is_bias(step) ? qc_model_find(model, step->tensor->name) : NULL;

		if (!found)
			continue;
		all->list[all->n] = (struct bias){.all = all, .step = step, .number = all->n};
		s = open_one(&all->list[all->n++], &model->tensors[found - model->tensors], err);
	}
	if (s || !all->n)
		qc_tune_biases_free(all);
	else
		*biases = all;
	return s;
}

void qc_tune_biases_free(struct qc_tune_biases *biases)
{
	for (size_t i = 0; biases && i < biases->n; i++) {
		free(biases->list[i].original);
		free(biases->list[i].corrected);
	}
	if (biases)
		free(biases->list);
	free(biases);
}

void qc_tune_biases_show(struct qc_tune_biases *biases, bool corrected)
{
	biases->showing = corrected ? CORRECTED : ORIGINAL;
}

size_t qc_tune_biases_count(const struct qc_tune_biases *biases)
{
	return biases->n_kept;
}

/* Part `index` of a weight's bias, as the engine has it, of what is shown. */
static enum qc_status read_part(struct qc_tune_biases *biases, enum showing what,
				const struct qc_tune_job *job, float *dst, struct qc_err *err)
{
	const struct qc_tensor *bias = job->weight->bias;
	const uint64_t rows = bias->source->rows / job->weight->count;
	enum qc_status s;

	biases->showing = what;
	s = qc_tensor_read(bias, job->index * rows, rows, dst, 1, err);
	biases->showing = CORRECTED;
	return s;
}

/* What the outputs lack in the mean, to learn from and held out. */
static enum qc_status find_lack(const struct qc_tune_job *job, const struct qc_tensor *original,
				int threads, double *learnt, double *held, struct qc_err *err)
{
	const size_t in = job->weight->in, out = job->weight->out;
	const size_t most = AT_A_TIME / in ? AT_A_TIME / in : 1;
	float *w = malloc(most * in * sizeof(float)), *q = malloc(most * in * sizeof(float));
	enum qc_status s = w && q ? QC_OK : qc_no_memory(err);

	for (size_t row = 0; !s && row < out; row += most) {
		const size_t rows = out - row < most ? out - row : most;
		const uint64_t first = job->index * out + row;

		s = qc_tensor_read(original, first, rows, w, threads, err);
		if (!s)
			s = qc_tensor_read(job->weight->tensor, first, rows, q, threads, err);
		if (s)
			break;
		qc_means_lack(&job->moments->means, row, rows, w, q, learnt + row);
		qc_means_lack(&job->held->means, row, rows, w, q, held + row);
	}
	free(w);
	free(q);
	return s;
}

/* As the bias' own type holds it. */
static float as_stored(const struct bias *b, float value)
{
	uint8_t bytes[sizeof(double)];

	b->step->to->quantize(&value, bytes, 1, 1, NULL);
	b->step->to->dequantize(bytes, &value, 1);
	return value;
}

/* The new values if they lower the error of the mean. places, tensors: where elements stand. */
static void correct(struct qc_tune_biases *biases, const float *places, const float *tensors,
		    size_t n, const double *learnt, const double *held)
{
	double before = 0, after = 0;

	for (size_t i = 0; i < n; i++) {
		const struct bias *b = &biases->list[(size_t)tensors[i]];
		const float old = b->corrected[(size_t)places[i]];
		const float new = as_stored(b, old + (float)learnt[i]);

		before += held[i] * held[i];
		after += pow(held[i] - ((double)new - (double)old), 2);
	}
	if (!(after < WORTH * before))
		return;
	for (size_t i = 0; i < n; i++) {
		struct bias *b = &biases->list[(size_t)tensors[i]];
		float *value = &b->corrected[(size_t)places[i]];

		*value = as_stored(b, *value + (float)learnt[i]);
		b->n_kept++;
	}
	biases->n_kept++;
}

/* The means are of inputs and outputs without the weight's own factor. */
static bool can_correct(const struct qc_tune_job *job)
{
	return job->weight->bias && !job->weight->scale && job->moments->means.tokens >= LEARNT &&
	       job->held->means.tokens >= HELD;
}

enum qc_status qc_tune_bias(struct qc_tune_biases *biases, const struct qc_tune_job *job,
			    const struct qc_tensor *w, int threads, struct qc_err *err)
{
	const size_t n = job->weight->out;
	float *places, *tensors;
	double *learnt, *held;
	enum qc_status s;

	if (!biases || !w || !can_correct(job))
		return QC_OK;
	places = malloc(n * sizeof(*places));
	tensors = malloc(n * sizeof(*tensors));
	learnt = malloc(n * sizeof(*learnt));
	held = malloc(n * sizeof(*held));
	s = places && tensors && learnt && held ? QC_OK : qc_no_memory(err);
	if (!s)
		s = read_part(biases, ELEMENTS, job, places, err);
	if (!s)
		s = read_part(biases, TENSORS, job, tensors, err);
	if (!s)
		s = find_lack(job, w, threads, learnt, held, err);
	if (!s)
		correct(biases, places, tensors, n, learnt, held);
	free(places);
	free(tensors);
	free(learnt);
	free(held);
	return s;
}

void qc_tune_biases_finish(struct qc_tune_biases *biases)
{
	biases->showing = CORRECTED;
	for (size_t i = 0; i < biases->n; i++) {
		struct bias *b = &biases->list[i];

		if (!b->n_kept)
			continue;
		b->step->source = &b->base;
		b->step->from = &qc_f32;
		b->step->copy = b->step->raw = b->step->exact = false;
		qc_step_cut(b->step);
		qc_step_keep_sizes(biases->plan, b->step);
	}
}

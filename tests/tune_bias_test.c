/* Biases that take the mean error of their matrices: the means, and where the values go. */
#include "convert/tune_bias.h"
#include "calib/means.h"
#include "tests/test.h"

#include <math.h>

#define MODEL "tests/data/models/tiny-gpt-oss-bf16"

enum { N = 5, OUT = 3, TOKENS = 7 };

static uint32_t state = 7;

static float number(void)
{
	state = state * 1664525u + 1013904223u;
	return (float)(state >> 8) / (float)(1 << 23) - 1;
}

/* Weighted tokens: what is lacking is the least of the weighted squares. */
static void means_meet_the_outputs(void)
{
	struct qc_means m;
	float x[TOKENS][N], d[TOKENS][N], c[TOKENS], w[OUT * N], q[OUT * N];
	double e[OUT];
	struct qc_err err;

	NEED(!qc_means_init(&m, N, 0, &err), "%s", err.text);
	for (int i = 0; i < OUT * N; i++) {
		w[i] = number();
		q[i] = number();
	}
	for (int t = 0; t < TOKENS; t++) {
		c[t] = 1 + number();
		for (int i = 0; i < N; i++) {
			x[t][i] = number() * c[t];
			d[t][i] = number() * c[t];
		}
	}
	qc_means_add(&m, *x, *d, NULL, 4, c);
	qc_means_add(&m, x[4], d[4], NULL, TOKENS - 4, c + 4);
	qc_means_lack(&m, 0, OUT, w, q, e);
	for (int o = 0; o < OUT; o++) {
		double slope = 0; /* of sum of (c (W y - Q x - e))^2, by e */

		for (int t = 0; t < TOKENS; t++)
			for (int i = 0; i < N; i++)
				slope += (double)c[t] *
					 ((double)w[o * N + i] * (double)(x[t][i] + d[t][i]) -
					  (double)q[o * N + i] * (double)x[t][i]);
		for (int t = 0; t < TOKENS; t++)
			slope -= (double)c[t] * (double)c[t] * e[o];
		CHECK(fabs(slope) < 1e-5, "output %d: the slope is %g", o, slope);
	}
	qc_means_clear(&m);
}

static float *read_bias(const struct qc_weight *weight)
{
	float *values = malloc((weight->count * weight->out + 1) * sizeof(*values));
	struct qc_err err;

	NEED(values &&
		     !qc_tensor_read(weight->bias, 0, weight->bias->source->rows, values, 1, &err),
	     "%s", err.text);
	return values;
}

/* The matrix is its own quantized one, the original's input has 1 more in a channel: so its column
 * is what is lacking. */
static void one_bias_takes_it(struct qc_tune_biases *biases, const struct qc_graph *graph,
			      enum qc_slot slot, uint64_t index)
{
	const struct qc_weight *weight = &graph->blocks[1].slots[slot];
	struct qc_moments learn = {0};
	const struct qc_tune_job job = {
		.weight = weight, .index = index, .moments = &learn, .held = &learn};
	float *before = read_bias(weight), *after, *column = malloc(weight->in * sizeof(*column));
	struct qc_err err;
	size_t wrong = 0, kept = qc_tune_biases_count(biases);

	NEED(!qc_means_init(&learn.means, weight->in, 0, &err), "%s", err.text);
	learn.means.d[3] = 640;
	learn.means.weight = 640;
	learn.means.tokens = 640;
	NEED(!qc_tune_bias(biases, &job, weight->tensor, 1, &err), "%s", err.text);
	CHECK(qc_tune_biases_count(biases) == kept + 1, "slot %d: %zu, then %zu", slot, kept,
	      qc_tune_biases_count(biases));
	after = read_bias(weight);
	for (uint64_t i = 0; i < weight->count * weight->out; i++) {
		float lack = 0;

		if (i / weight->out == index) {
			NEED(column && !qc_tensor_read(weight->tensor, i, 1, column, 1, &err), "%s",
			     err.text);
			lack = column[3];
		}
		/* bf16 has 8 bits */
		wrong += !(fabsf(after[i] - before[i] - lack) <= fabsf(after[i]) / 250);
	}
	CHECK(!wrong, "slot %d: %zu values are wrong", slot, wrong);
	qc_means_clear(&learn.means);
	free(before);
	free(after);
	free(column);
}

/* Values go back through what brings biases into GGUF's layout: here gate and up from one. */
static void values_find_their_places(const char *out)
{
	static const struct qconv_options options = {.quant = "nvfp4", .threads = 1};
	static const enum qc_slot slots[] = {QC_SLOT_Q, QC_SLOT_O, QC_SLOT_GATE_EXPS,
					     QC_SLOT_UP_EXPS, QC_SLOT_DOWN_EXPS};
	const struct qc_forward_options engine = {.threads = 1};
	const struct qc_format *format = qc_format_for_output(out);
	struct qc_model models[2] = {{0}};
	struct qc_plan plan;
	struct qc_forward *forward;
	struct qc_tune_biases *biases;
	struct qc_err err;

	for (int i = 0; i < 2; i++)
		NEED(!qc_model_open(&models[i], MODEL, &err), "%s", err.text);
	NEED(!qc_plan_build(&plan, &models[0], format, &options, &err), "%s", err.text);
	NEED(!qc_plan_bring_to_layout(&models[1], format, &options, &err), "%s", err.text);
	NEED(!qc_tune_biases_open(&biases, &plan, &models[1], &err), "%s", err.text);
	NEED(biases, "%s has biases", MODEL);
	NEED(!qc_forward_open(&forward, &models[1], &engine, &err), "%s", err.text);
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		one_bias_takes_it(biases, qc_forward_graph(forward), slots[i],
				  slots[i] >= QC_SLOT_GATE_EXPS ? 2 : 0);
	qc_forward_close(forward);
	qc_tune_biases_free(biases);
	qc_plan_clear(&plan);
	for (int i = 0; i < 2; i++)
		qc_model_close(&models[i]);
}

int main(void)
{
	means_meet_the_outputs();
	values_find_their_places("directory");
	values_find_their_places("file.gguf");
	return test_end();
}

/* Scaled channels: folded into whatever makes them they change nothing, and chosen by a text they
 * make a file that is no worse. */
#include "calib/awq_groups.h"
#include "convert/awq_items.h"
#include "convert/convert.h"
#include "tests/test.h"

#include <math.h>
#include <unistd.h>

#define LEARN "samples/generated-train.txt"

enum { LENGTH = 48 };

static uint32_t state = 1;

static float number(void)
{
	state = state * 1664525u + 1013904223u;
	return (float)(state >> 8) / (float)(1 << 24);
}

/* Logits of the last position of a window of tokens. */
static float *logits_of(const char *path, size_t *vocab)
{
	/* what a GGUF cannot say would make a difference */
	const struct qc_forward_options options = {.threads = 2, .yarn = QC_YARN_ROUNDED};
	struct qc_model model = {0};
	struct qc_forward *forward;
	uint32_t ids[LENGTH];
	struct qc_err err;
	float *logits;

	NEED(!qc_model_open(&model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&forward, &model, &options, &err), "%s", err.text);
	*vocab = qc_forward_graph(forward)->vocab;
	for (uint32_t i = 0; i < LENGTH; i++)
		ids[i] = (i * 37 + 11) % (uint32_t)*vocab;
	logits = malloc(*vocab * sizeof(*logits));
	NEED(logits && !qc_forward_windows(forward, ids, 1, LENGTH, &err) &&
		     !qc_forward_logits(forward, LENGTH - 1, 1, logits, &err),
	     "%s", err.text);
	qc_forward_close(forward);
	qc_model_close(&model);
	return logits;
}

/* Scales at random for every input that the table has. */
static void scale_everything(struct qc_awq *a, const struct qc_graph *graph)
{
	a->results = calloc(4096, sizeof(*a->results));
	NEED(a->results, "no memory");
	for (uint32_t block = 0; block < graph->n_blocks; block++)
		for (unsigned kind = 0; kind < QC_AWQ_KINDS; kind++) {
			struct qc_awq_group g;

			if (!qc_awq_group_of(graph, block, kind, &g))
				continue;
			for (g.index = 0; g.index < (g.all_matrices ? 1 : g.consumers[0]->count);
			     g.index++) {
				float *s = qc_arena_array(&a->arena, g.n, sizeof(*s));

				NEED(s && a->n_results < 4096, "too many inputs");
				for (size_t i = 0; i < g.n; i++) {
					const size_t same =
						i / (g.run * g.repeat) * g.run + i % g.run;

					state = (uint32_t)(same * 7919 + block * 31 + kind);
					s[i] = exp2f(4 * (number() + number()) - 4);
				}
				a->results[a->n_results++] = (struct qc_awq_result){g, s};
			}
		}
}

static void convert_scaled(const char *path, const char *out)
{
	static const struct qconv_options options = {
		.quant = "f32", .force = true, .no_manifest = true, .threads = 2};
	const struct qc_forward_options engine = {.threads = 2};
	struct qc_model models[3] = {{0}};
	struct qc_plan plan, scaled;
	struct qc_channel_scales scales = {0};
	const struct qc_plan_given given = {.scales = &scales};
	const struct qc_format *format;
	struct qc_awq a = {.plan = &plan, .options = &options};
	struct qc_err err;

	NEED(!qc_convert_target(out, &format, &err), "%s", err.text);
	for (int i = 0; i < 3; i++)
		NEED(!qc_model_open(&models[i], path, &err), "%s", err.text);
	NEED(!qc_plan_build(&plan, &models[0], format, &options, &err), "%s", err.text);
	NEED(!qc_forward_open(&a.forward, &models[1], &engine, &err), "%s", err.text);
	NEED(!qc_awq_name_steps(&a, &err), "%s", err.text);
	scale_everything(&a, qc_forward_graph(a.forward));
	CHECK(a.n_results >= qc_forward_graph(a.forward)->n_blocks, "%s: %zu inputs", path,
	      a.n_results);
	NEED(!qc_awq_fold(&a, ~0u, &scales, &err), "%s", err.text);
	NEED(!qc_plan_build_given(&scaled, &models[2], format, &options, &given, &err), "%s",
	     err.text);
	NEED(!qc_convert_plan(&scaled, out, &options, NULL, &err), "%s", err.text);
	qc_plan_clear(&scaled);
	qc_plan_clear(&plan);
	qc_channel_scales_clear(&scales);
	qc_forward_close(a.forward);
	qc_strmap_clear(&a.steps);
	qc_arena_clear(&a.arena);
	free(a.results);
	for (int i = 0; i < 3; i++)
		qc_model_close(&models[i]);
}

static void remove_output(const char *path)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	NEED(!system(command), "cannot remove '%s'", path);
}

static void scales_change_nothing(const char *name, const char *out)
{
	size_t vocab, same;
	float *plain, *scaled, top = 0;

	plain = logits_of(name, &vocab);
	convert_scaled(name, out);
	scaled = logits_of(out, &same);
	NEED(vocab == same, "%zu tokens, then %zu", vocab, same);
	for (size_t i = 0; i < vocab; i++)
		top = fabsf(plain[i]) > top ? fabsf(plain[i]) : top;
	for (size_t i = 0; i < vocab; i++)
		CHECK(fabsf(plain[i] - scaled[i]) <= 1e-4f * top,
		      "%s: logit %zu is %g with scales, %g without", name, i, scaled[i], plain[i]);
	free(plain);
	free(scaled);
	remove_output(out);
}

/* A conversion of the sample with scales chosen by its text. */
static struct qc_scaling convert_by_text(const char *out, bool awq, const char *method, int threads,
					 struct qconv_summary *summary)
{
	const struct qconv_options options = {
		.quant = "q4_0",
		.calib = LEARN,
		.calib_windows = 8,
		.calib_ctx = 64,
		.method = method,
		.awq = awq,
		.threads = threads,
		.force = true,
		.no_manifest = true,
	};
	struct qc_model model = {0};
	struct qc_plan plan;
	struct qc_scaling result;
	const struct qc_format *format;
	struct qc_err err;

	NEED(!qc_convert_target(out, &format, &err), "%s", err.text);
	NEED(!qc_model_open(&model, "samples/tiny-gemma3", &err), "%s", err.text);
	NEED(!qc_plan_build(&plan, &model, format, &options, &err), "%s", err.text);
	NEED(!qc_convert_plan(&plan, out, &options, summary, &err), "%s", err.text);
	result = plan.awq;
	qc_plan_clear(&plan);
	qc_model_close(&model);
	return result;
}

static void the_better_file_is_written(const char *out, const char *method, bool threads)
{
	struct qconv_summary plain, scaled, again;
	struct qc_scaling result;

	result = convert_by_text(out, false, method, 2, &plain);
	CHECK(!result.done, "%s: scales that nobody asked for", method);
	result = convert_by_text(out, true, method, 1, &scaled);
	/* 6 blocks of gemma3: q k v, o, gate up, down */
	CHECK(result.done && result.n_groups == 24, "%s: %zu inputs", method, result.n_groups);
	CHECK(result.kept == (result.n_scaled && result.kld < result.plain_kld),
	      "%s: kept is %d: %zu scaled, %g, %g without", method, result.kept, result.n_scaled,
	      result.kld, result.plain_kld);
	CHECK(result.kept == (strcmp(plain.xxh3_128, scaled.xxh3_128) != 0),
	      "%s: kept is %d: %s, %s without", method, result.kept, scaled.xxh3_128,
	      plain.xxh3_128);
	printf("%s: %zu of %zu inputs, %.6f, %.6f without\n", method, result.n_scaled,
	       result.n_groups, result.kld, result.plain_kld);
	if (threads) {
		convert_by_text(out, true, method, 3, &again);
		CHECK(!strcmp(again.xxh3_128, scaled.xxh3_128), "%s: %s with 1 thread, %s with 3",
		      method, scaled.xxh3_128, again.xxh3_128);
	}
	remove_output(out);
}

int main(int argc, char **argv)
{
	static const char *const models[] = {
		"tests/data/models/tiny-llama",	       "samples/tiny-gemma3",
		"tests/data/models/tiny-gemma4",       "tests/data/models/tiny-gpt-oss",
		"tests/data/models/tiny-gpt-oss-bf16",
	};
	char dir[] = "/tmp/qconv-awq-XXXXXX", path[64];

	if (argc == 3) { /* for tests/interop.sh: MODEL with scales at random into OUT, in f32 */
		convert_scaled(argv[1], argv[2]);
		return test_end();
	}
	NEED(mkdtemp(dir), "no temporary folder");
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		snprintf(path, sizeof(path), "%s/out.gguf", dir);
		scales_change_nothing(models[i], path);
		snprintf(path, sizeof(path), "%s/out", dir);
		scales_change_nothing(models[i], path);
	}
	snprintf(path, sizeof(path), "%s/out.gguf", dir);
	the_better_file_is_written(path, "search", true);
	the_better_file_is_written(path, "gptq", false);
	rmdir(dir);
	return test_end();
}

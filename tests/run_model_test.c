/* The engine through qconv.h: the logits are the engine's own, and misuse is refused. */
#include "convert/qconv.h"

#include <math.h>

#include "tests/test.h"

#define GEMMA3 "samples/tiny-gemma3"

static struct qconv_error error;

static struct qconv_model *open_model(const char *path, const struct qconv_run_options *options)
{
	struct qconv_model *model;

	NEED(!qconv_open(&model, path, options, &error), "%s", error.text);
	return model;
}

static void a_text_becomes_ids_and_ids_the_text(void)
{
	static const char text[] = "To be, or not to be";
	struct qconv_model *model = open_model(GEMMA3, NULL);
	uint32_t *ids;
	size_t n, len;
	char *back;

	NEED(!qconv_tokenize(model, text, strlen(text), &ids, &n, &error), "%s", error.text);
	CHECK(n > 2 && ids[0] == 2, "%zu ids, the first is %u and not BOS", n, n ? ids[0] : 0);
	NEED(!qconv_detokenize(model, ids, n, &back, &len, &error), "%s", error.text);
	CHECK(len == strlen(text) && !strcmp(back, text), "'%s', not '%s'", back, text);
	CHECK(qconv_is_end(model, 1) && !qconv_is_end(model, ids[1]), "ends");
	free(back);
	free(ids);
	/* an end that is spelled is part of the text */
	NEED(!qconv_tokenize(model, "To be<eos>", 10, &ids, &n, &error), "%s", error.text);
	CHECK(n > 2 && ids[n - 1] == 1, "the last of %zu is %u and not EOS", n, n ? ids[n - 1] : 0);
	free(ids);
	qconv_close(model);
}

/* Causal: what follows a position does not change its logits; nor does a limit of memory. */
static void logits_are_those_of_a_longer_text(void)
{
	static const struct qconv_run_options limited = {.threads = 2, .mem_limit = 1};
	static const uint32_t ids[] = {2, 300, 400, 500, 600, 700};
	struct qconv_model *model = open_model(GEMMA3, NULL);
	struct qconv_model *other = open_model(GEMMA3, &limited);
	const size_t vocab = qconv_vocab_size(model);
	float *all = malloc(6 * vocab * sizeof(*all)), *one = malloc(vocab * sizeof(*one));
	double most = 0, sum = 0;

	NEED(all && one, "no memory");
	NEED(!qconv_forward(model, ids, 6, 0, all, &error), "%s", error.text);
	NEED(!qconv_forward(other, ids, 4, 3, one, &error), "%s", error.text);
	for (size_t i = 0; i < vocab; i++) {
		const double difference = fabs((double)one[i] - all[3 * vocab + i]);

		most = difference <= most ? most : difference;
		sum += fabs(one[i]);
	}
	CHECK(sum > 0 && most <= 1e-4, "they differ by %g", most);
	CHECK(qconv_run_bytes(model, 4000) > qconv_run_bytes(model, 40) &&
		      qconv_run_bytes(model, 40) > 1 << 20,
	      "%llu bytes", (unsigned long long)qconv_run_bytes(model, 40));
	CHECK(!qconv_run_bytes(model, 0) && qconv_run_bytes(model, SIZE_MAX) == UINT64_MAX,
	      "%llu bytes of none, %llu of all", (unsigned long long)qconv_run_bytes(model, 0),
	      (unsigned long long)qconv_run_bytes(model, SIZE_MAX));
	free(all);
	free(one);
	qconv_close(model);
	qconv_close(other);
}

static void misuse_is_refused(void)
{
	static const struct qconv_run_options act = {.act = "int3"}, fp8 = {.act = "fp8"};
	static const uint32_t ids[] = {2, 4000000};
	struct qconv_model *model;
	uint32_t one = 4000000;
	float logits[1];
	char *text;
	size_t len;

	CHECK(qconv_open(&model, "no-such-model", NULL, &error) == QCONV_FAILED && !model &&
		      strstr(error.text, "no-such-model"),
	      "'%s'", error.text);
	CHECK(qconv_open(&model, GEMMA3, &act, &error) == QCONV_USAGE && !model &&
		      strstr(error.text, "int3"),
	      "'%s'", error.text);
	CHECK(qconv_open(&model, GEMMA3, &fp8, &error) == QCONV_USAGE && !model, "'%s'",
	      error.text);
	model = open_model(GEMMA3, NULL);
	CHECK(qconv_forward(model, ids, 2, 2, logits, &error) == QCONV_USAGE, "'%s'", error.text);
	CHECK(qconv_forward(model, ids, 0, 0, logits, &error) == QCONV_USAGE, "'%s'", error.text);
	CHECK(qconv_forward(model, ids, 2, 1, logits, &error) == QCONV_FAILED &&
		      strstr(error.text, "4000000"),
	      "'%s'", error.text);
	CHECK(qconv_detokenize(model, &one, 1, &text, &len, &error) == QCONV_FAILED && !text,
	      "'%s'", error.text);
	qconv_close(model);
	qconv_close(NULL);
}

static void a_signal_stops_it(void)
{
	static volatile sig_atomic_t stop = 1;
	const struct qconv_run_options options = {.stop = &stop};
	static const uint32_t ids[] = {2, 300};
	struct qconv_model *model = open_model(GEMMA3, &options);
	float logits[1];

	CHECK(qconv_forward(model, ids, 2, 1, logits, &error) == QCONV_INTERRUPTED, "'%s'",
	      error.text);
	qconv_close(model);
}

int main(void)
{
	a_text_becomes_ids_and_ids_the_text();
	logits_are_those_of_a_longer_text();
	misuse_is_refused();
	a_signal_stops_it();
	return test_end();
}

/*
 * Calibrations from a text: one that was interrupted ends like one that was not, what cannot be
 * calibrated on is refused, and nothing half-written is left.
 */
#include "convert/calibrate.h"

#include "tests/st_files.h"

#define LLAMA	"tests/data/models/tiny-llama"
#define GPT_OSS "tests/data/models/tiny-gpt-oss-bf16"
#define TEXT	"samples/generated-heldout.txt"

/* Stops a calibration when so many windows are done. */
struct stopper {
	volatile sig_atomic_t stop;
	size_t at;
	double last;
};

static void watch(void *user, double part, size_t done, size_t n)
{
	struct stopper *s = user;

	CHECK(part >= s->last && part <= 1 && done <= n, "%g after %g, %zu of %zu", part, s->last,
	      done, n);
	s->last = part;
	if (s->at && done >= s->at)
		s->stop = 1;
}

static enum qc_status calibrate(const struct qc_calibrate_options *options, size_t *resumed,
				struct qc_err *err)
{
	struct qc_calibration c;
	enum qc_status s = qc_calibrate_open(&c, options, err);

	if (!s)
		s = qc_calibrate_run(&c, err);
	if (resumed)
		*resumed = c.resumed;
	qc_calibrate_close(&c);
	return s;
}

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

static void an_interrupted_calibration_goes_on(void)
{
	static const char *const models[] = {LLAMA, GPT_OSS};

	for (int i = 0; i < 2; i++) {
		struct stopper stopper = {.at = 64};
		struct qc_calibrate_options options = {.model = models[i],
						       .text = TEXT,
						       .output = st_path("whole.gguf"),
						       .length = 24,
						       .most = 96,
						       .force = true,
						       .progress = watch,
						       .user = &(struct stopper){.at = 0}};
		char output[4700], state[4710];
		struct qc_err err = {0};
		size_t resumed;

		snprintf(output, sizeof(output), "%s", st_path("resumed.gguf"));
		snprintf(state, sizeof(state), "%s.state", output);
		unlink(output);
		NEED(!calibrate(&options, NULL, &err), "%s", err.text);
		CHECK(!is_there(st_path("whole.gguf.state")), "a state is left");

		options.output = output;
		options.force = false;
		options.stop = &stopper.stop;
		options.user = &stopper;
		CHECK(calibrate(&options, NULL, &err) == QC_INTERRUPTED &&
			      strstr(err.text, "64 of 96 windows") && strstr(err.text, "--resume"),
		      "%s", err.text);
		CHECK(!is_there(output) && is_there(state), "output %d, state %d", is_there(output),
		      is_there(state));

		/* of another text, and on other threads */
		stopper = (struct stopper){.at = 0};
		options.resume = true;
		options.most = 95;
		CHECK(calibrate(&options, NULL, &err) == QC_REFUSED && strstr(err.text, "state"),
		      "%s", err.text);
		options.most = 96;
		options.threads = 3;
		NEED(!calibrate(&options, &resumed, &err), "%s", err.text);
		CHECK(resumed == 64, "%zu windows were there", resumed);
		CHECK(!is_there(state), "a state is left");
		st_same_files(output, st_path("whole.gguf"));
	}
}

static void an_early_interrupt_leaves_nothing(void)
{
	struct stopper stopper = {.stop = 1};
	const struct qc_calibrate_options options = {.model = LLAMA,
						     .text = TEXT,
						     .output = st_path("early.gguf"),
						     .length = 32,
						     .stop = &stopper.stop};
	struct qc_err err = {0};

	CHECK(calibrate(&options, NULL, &err) == QC_INTERRUPTED, "%s", err.text);
	CHECK(!is_there(st_path("early.gguf")) && !is_there(st_path("early.gguf.state")),
	      "something is left");
}

static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(st_path(name), "w");

	NEED(f && fputs(text, f) >= 0 && !fclose(f), "cannot write %s", name);
}

static void bad_calls_are_refused(void)
{
	static const struct {
		const char *text, *words;
		struct qc_calibrate_options options;
		enum qc_status status;
	} cases[] = {
		{"", "is empty", {.model = LLAMA, .output = "x"}, QC_BAD_INPUT},
		{"\xff\xfe",
		 "not UTF-8: byte 0 is 0xff",
		 {.model = LLAMA, .output = "x"},
		 QC_BAD_INPUT},
		{"ab\xc3(", "byte 2 is 0xc3", {.model = LLAMA, .output = "x"}, QC_BAD_INPUT},
		{"To be", "one window needs 512", {.model = LLAMA, .output = "x"}, QC_BAD_INPUT},
		{"To be", "at least 4", {.model = LLAMA, .output = "x", .length = 3}, QC_USAGE},
		{"To be", "above", {.model = LLAMA, .output = "x", .length = 1 << 21}, QC_USAGE},
		{"To be", "-o FILE", {.model = LLAMA}, QC_USAGE},
		{NULL, "--text", {.model = LLAMA, .output = "x"}, QC_USAGE},
		{"To be", "a model and a text", {.output = "x"}, QC_USAGE},
		{NULL, "a model and a text", {.output = "x"}, QC_USAGE},
		{"To be or not to be",
		 "bytes of memory are needed",
		 {.model = LLAMA, .output = "x", .length = 4, .mem_limit = 1000},
		 QC_UNSUPPORTED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct qc_calibrate_options options = cases[i].options;
		char text[4700];
		struct qc_err err = {0};

		if (cases[i].text) {
			write_text("text", cases[i].text);
			snprintf(text, sizeof(text), "%s", st_path("text"));
			options.text = text;
		}
		if (options.output)
			options.output = st_path("refused.gguf");
		CHECK(calibrate(&options, NULL, &err) == cases[i].status &&
			      strstr(err.text, cases[i].words),
		      "case %zu: %d, %s", i, (int)err.status, err.text);
		CHECK(!is_there(st_path("refused.gguf")), "case %zu: an output", i);
	}
}

static void existing_files_stay(void)
{
	struct qc_calibrate_options options = {.model = LLAMA,
					       .text = TEXT,
					       .output = st_path("there.gguf"),
					       .length = 32,
					       .most = 2};
	struct qc_err err = {0};

	write_text("there.gguf", "mine");
	CHECK(calibrate(&options, NULL, &err) == QC_REFUSED, "%s", err.text);
	options.force = true;
	write_text("there.gguf.state", "not a state");
	CHECK(calibrate(&options, NULL, &err) == QC_REFUSED && strstr(err.text, "in the way"), "%s",
	      err.text);
	options.output = LLAMA "/model-00001-of-00002.safetensors";
	CHECK(calibrate(&options, NULL, &err) == QC_REFUSED, "%s", err.text);
}

/* The sums of two halves of the windows are those of all. */
static void files_are_put_together(void)
{
	struct qc_calibrate_options options = {.model = GPT_OSS,
					       .text = TEXT,
					       .output = st_path("first.gguf"),
					       .length = 32,
					       .most = 8};
	const char *inputs[] = {st_path("first.gguf"), st_path("legacy.dat")};
	struct qc_imatrix one = {0}, sum = {0};
	struct qc_err err = {0};

	NEED(!calibrate(&options, NULL, &err), "%s", err.text);
	options.output = inputs[1];
	NEED(!calibrate(&options, NULL, &err), "%s", err.text);
	options = (struct qc_calibrate_options){
		.output = st_path("sum.gguf"), .inputs = inputs, .n_inputs = 2, .length = 32};
	NEED(!calibrate(&options, NULL, &err), "%s", err.text);
	NEED(!qc_imatrix_read(&one, inputs[0], &err), "%s", err.text);
	NEED(!qc_imatrix_read(&sum, options.output, &err), "%s", err.text);
	CHECK(sum.n_entries == one.n_entries && sum.n_chunks == 16 && sum.n_datasets == 1,
	      "%zu entries, %u chunks, %zu datasets", sum.n_entries, sum.n_chunks, sum.n_datasets);
	for (size_t i = 0; i < one.n_entries; i++) {
		const struct qc_imatrix_entry *e = &one.entries[i];
		const struct qc_imatrix_entry *s = qc_imatrix_find(&sum, e->name);

		NEED(s && s->n == e->n && s->cols == e->cols, "%s", e->name);
		for (uint64_t k = 0; e->n == 1 && k < e->cols; k++)
			CHECK(s->sums[k] > 1.9999f * e->sums[k] &&
				      s->sums[k] < 2.0001f * e->sums[k],
			      "%s: %g, %g", e->name, (double)s->sums[k], (double)e->sums[k]);
	}
	qc_imatrix_clear(&one);
	qc_imatrix_clear(&sum);
}

int main(void)
{
	st_begin();
	an_interrupted_calibration_goes_on();
	an_early_interrupt_leaves_nothing();
	bad_calls_are_refused();
	existing_files_stay();
	files_are_put_together();
	st_end();
	return test_end();
}

/* Conversions that something comes in the way of: nothing half done is left. */
#include <signal.h>
#include <sys/resource.h>

#include "tests/convert_cases.h"
#include "tests/convert_run.h"
#include "tests/st_files.h"
#include "tests/sync_watch.h"

/* Interrupts from inside: called in output order, by one thread at a time. */
struct trigger {
	void (*act)(struct trigger *trigger);
	const char *path;
	volatile sig_atomic_t stop;
	uint64_t last;
	int calls;
};

static void on_progress(const struct qconv_progress *progress, void *user)
{
	struct trigger *trigger = user;

	if (strcmp(progress->phase, "convert"))
		return;
	CHECK(progress->bytes_done >= trigger->last &&
		      progress->bytes_done <= progress->bytes_total,
	      "%llu bytes after %llu", (unsigned long long)progress->bytes_done,
	      (unsigned long long)trigger->last);
	trigger->last = progress->bytes_done;
	if (!trigger->calls++)
		trigger->act(trigger);
}

static void act_stop(struct trigger *trigger)
{
	trigger->stop = 1;
}

static void act_truncate(struct trigger *trigger)
{
	NEED(!truncate(trigger->path, 4000), "cannot truncate");
}

/* One byte more: no read fails, only the last look at the input can tell. */
static void act_append(struct trigger *trigger)
{
	FILE *f = fopen(trigger->path, "ab");

	NEED(f && fputc('x', f) != EOF && !fclose(f), "cannot append");
}

static void a_run_that_is_disturbed_leaves_nothing(void)
{
	static const struct {
		void (*act)(struct trigger *trigger);
		int code;
		const char *says;
	} rows[] = {
		{act_stop, QCONV_INTERRUPTED, "interrupted"},
		{act_truncate, QCONV_FAILED, "changed while it was read"},
		{act_append, QCONV_FAILED, "changed while it was read"},
	};

	st_begin();
	for (size_t i = 0; i < 3; i++) {
		for (int threads = 1; threads <= 2; threads++) {
			struct trigger trigger = {.act = rows[i].act};
			struct qconv_options options = {.quant = "q4_0",
							.threads = threads,
							.progress = on_progress,
							.user = &trigger,
							.stop = &trigger.stop};

			trigger.path = matrix("in.safetensors", 4096, 1024, NULL, NULL, 0);
			fails(trigger.path, &options, rows[i].code, rows[i].says);
			CHECK(trigger.calls >= 1, "row %zu: not called", i);
		}
	}
	st_end();
}

static void a_stale_manifest_goes_a_foreign_file_does_not(void)
{
	struct qconv_options options = {.quant = "q8_0"};

	st_begin();
	converts(GEMMA, "out.gguf", &options);
	NEED(!unlink(st_path("out.gguf")), "cannot remove");
	converts(GEMMA, "out.gguf", &options);
	CHECK(qconv_verify(st_path("out.gguf"), NULL, NULL) == QCONV_DONE,
	      "the new manifest does not fit");
	st_text("refused.gguf.qconv.json", "my notes");
	{
		struct qconv_error error;

		CHECK(qconv_convert(GEMMA, st_path("refused.gguf"), &options, NULL, &error) ==
				      QCONV_REFUSED &&
			      strstr(error.text, "qconv.json"),
		      "'%s'", error.text);
		CHECK(access(st_path("refused.gguf"), F_OK), "the output is there all the same");
	}
	st_end();
}

static void a_limit_on_file_sizes_is_an_error_and_leaves_nothing(void)
{
	struct qconv_options options = {.quant = "q8_0"};
	struct rlimit limit;

	st_begin();
	NEED(!getrlimit(RLIMIT_FSIZE, &limit), "no limits here");
	limit.rlim_cur = 1 << 20;
	NEED(!setrlimit(RLIMIT_FSIZE, &limit), "cannot set a limit");
	fails(GEMMA, &options, QCONV_FAILED, "bytes are missing");
	limit.rlim_cur = limit.rlim_max;
	NEED(!setrlimit(RLIMIT_FSIZE, &limit), "cannot set a limit");
	st_end();
}

/* Of a directory: every file and itself under the hidden name, then what it lies in. */
static void a_directory_is_synced_before_and_after_it_has_its_name(void)
{
	static const struct qconv_options options = {.quant = "bf16", .no_manifest = true};
	struct qconv_error error;

	st_begin();
	watch_syncs(st_path("dir"), 0);
	converts(GEMMA, "dir", &options);
	CHECK(synced.files[0] >= 2 && !synced.files[1], "%d files before, %d after",
	      synced.files[0], synced.files[1]);
	CHECK(synced.folders[0] >= 1 && synced.folders[1] >= 1, "%d folders before, %d after",
	      synced.folders[0], synced.folders[1]);
	watch_syncs(NULL, S_IFDIR);
	CHECK(qconv_convert(GEMMA, st_path("other"), &options, NULL, &error) == QCONV_FAILED &&
		      strstr(error.text, "be synced"),
	      "'%s'", error.text);
	watch_syncs(NULL, 0);
	CHECK(st_count() == 1, "%d files and folders", st_count());
	st_end();
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
	a_run_that_is_disturbed_leaves_nothing();
	a_stale_manifest_goes_a_foreign_file_does_not();
	a_limit_on_file_sizes_is_an_error_and_leaves_nothing();
	a_directory_is_synced_before_and_after_it_has_its_name();
	return test_end();
}

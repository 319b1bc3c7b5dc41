/* The promise of the writer: a whole file under the final name, or what was there before. */
#include "convert/read_back.h"
#include "convert/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/st_files.h"
#include "tests/sync_watch.h"

static const struct qconv_options no_options;

static bool holds(const char *path, const char *text)
{
	size_t size;
	char *data = test_load(path, &size);
	bool same = size == strlen(text) && !memcmp(data, text, size);

	free(data);
	return same;
}

/* `path` must be refused with `status`, `part` in the message, and nothing new in the folder. */
static void refused(const char *path, const struct qc_model *model, uint64_t bytes, bool force,
		    enum qc_status status, const char *part)
{
	struct qc_writer writer;
	struct qc_err err = {0};
	int before = st_count();
	enum qc_status s = qc_writer_precheck(path, model, bytes, force, &err);

	CHECK(s == status && strstr(err.text, part), "%s: precheck %d '%s', expected '%s'", path, s,
	      err.text, part);
	err = (struct qc_err){0};
	s = qc_writer_create(&writer, path, model, bytes, force, &err);
	CHECK(s == status && strstr(err.text, part), "%s: create %d '%s', expected '%s'", path, s,
	      err.text, part);
	qc_writer_close(&writer);
	CHECK(st_count() == before, "%s: %d files, %d before", path, st_count(), before);
}

/* Write `text` to `path` and commit. */
static enum qc_status put(const char *path, const char *text, bool force, struct qc_err *err)
{
	struct qc_writer writer;
	enum qc_status s = qc_writer_create(&writer, path, NULL, strlen(text), force, err);

	if (!s)
		s = qc_writer_write(&writer, 0, text, strlen(text), err);
	if (!s)
		s = qc_writer_commit(&writer, err);
	qc_writer_close(&writer);
	return s;
}

static struct qc_digest128 digest_of(const void *data, size_t size)
{
	struct qc_hasher *hasher = qc_hasher_new();
	struct qc_digest128 digest;

	NEED(hasher, "no memory");
	qc_hasher_add(hasher, data, size);
	digest = qc_hasher_digest(hasher);
	qc_hasher_free(hasher);
	return digest;
}

/* A plan for "abc", three zeros, and a tensor of three bytes: what the file holds is read back
 * against it. */
static enum qc_status read_back(struct qc_writer *writer, const char *tensor,
				const struct qconv_options *options, struct qc_err *err)
{
	uint8_t header[] = "abc";
	struct qc_piece piece = {.name = "t", .offset = 6, .bytes = 3}, *placed = &piece;
	struct qc_out_file file = {.header = header, .header_bytes = 3, .total_bytes = 9};
	struct qc_plan plan = {
		.target = qc_format_find("gguf"),
		.placed = &placed,
		.n_pieces = 1,
		.out = {.files = &file, .n_files = 1, .total_bytes = 9},
	};
	struct qc_output output = {.is_open = true, .writers = writer, .n = 1};
	struct qc_digest128 digest = digest_of(tensor, 3);
	struct qc_job_results results = {.tensors = &digest};
	enum qc_status s = qc_read_back(&output, &plan, options, &results, err);

	if (!s)
		CHECK(results.file.low == digest_of("abc\0\0\0xyz", 9).low,
		      "another digest of the file");
	free(results.files);
	return s;
}

static void a_committed_file_is_whole_and_alone(void)
{
	struct qc_writer writer;
	struct qc_err err = {0};
	const char expected[] = "abc\0\0\0xyz";

	st_begin();
	NEED(!qc_writer_create(&writer, st_path("out"), NULL, 9, false, &err), "%s", err.text);
	CHECK(access(st_path("out"), F_OK) && errno == ENOENT, "the final name is taken early");
	CHECK(!qc_writer_write(&writer, 6, "xyz", 3, &err), "%s", err.text);
	CHECK(!qc_writer_write(&writer, 0, "abc", 3, &err), "%s", err.text);
	CHECK(!read_back(&writer, "xyz", &no_options, &err), "%s", err.text);
	CHECK(!qc_writer_commit(&writer, &err), "%s", err.text);
	CHECK(!writer.is_open, "open after the commit");
	qc_writer_close(&writer);
	CHECK(st_count() == 1, "%d files", st_count());
	{
		size_t size;
		char *data = test_load(st_path("out"), &size);

		CHECK(size == 9 && !memcmp(data, expected, 9), "%zu other bytes", size);
		free(data);
	}
	st_end();
}

static void a_file_is_synced_then_named_then_its_folder_synced(void)
{
	struct qc_err err = {0};

	st_begin();
	watch_syncs(st_path("out"), 0);
	CHECK(!put(st_path("out"), "abc", false, &err), "%s", err.text);
	CHECK(synced.files[0] == 1 && !synced.files[1], "%d syncs before the name, %d after it",
	      synced.files[0], synced.files[1]);
	CHECK(synced.folders[1] == 1, "%d syncs of the folder", synced.folders[1]);
	watch_syncs(NULL, S_IFREG);
	CHECK(put(st_path("other"), "abc", false, &err) == QC_IO && strstr(err.text, "cannot sync"),
	      "%s", err.text);
	CHECK(st_count() == 1, "%d files", st_count());
	watch_syncs(NULL, S_IFDIR);
	CHECK(put(st_path("third"), "abc", false, &err) == QC_IO &&
		      strstr(err.text, "its folder cannot be synced"),
	      "%s", err.text);
	watch_syncs(NULL, 0);
	st_end();
}

static void without_a_commit_nothing_is_left(void)
{
	struct qc_writer writer;
	struct qc_err err = {0};

	st_begin();
	NEED(!qc_writer_create(&writer, st_path("out"), NULL, 100, false, &err), "%s", err.text);
	CHECK(st_count() == 1, "%d files while writing", st_count());
	qc_writer_close(&writer);
	qc_writer_close(&writer);
	CHECK(st_count() == 0, "%d files", st_count());
	st_end();
}

static void an_existing_output_needs_force(void)
{
	struct qc_err err = {0};

	st_begin();
	st_text("out", "old");
	refused(st_path("out"), NULL, 10, false, QC_REFUSED, "--force");
	CHECK(holds(st_path("out"), "old"), "the old file has changed");
	CHECK(!put(st_path("out"), "new text", true, &err), "%s", err.text);
	CHECK(holds(st_path("out"), "new text"), "not replaced");
	CHECK(st_count() == 1, "%d files", st_count());
	st_end();
}

static void an_output_that_comes_into_being_meanwhile_is_kept(void)
{
	struct qc_writer writer;
	struct qc_err err = {0};
	enum qc_status s;

	st_begin();
	NEED(!qc_writer_create(&writer, st_path("out"), NULL, 4, false, &err), "%s", err.text);
	st_text("out", "theirs");
	s = qc_writer_commit(&writer, &err);
	CHECK(s == QC_REFUSED && strstr(err.text, "--force"), "%d '%s'", s, err.text);
	qc_writer_close(&writer);
	CHECK(holds(st_path("out"), "theirs"), "the other's file has changed");
	CHECK(st_count() == 1, "%d files", st_count());
	st_end();
}

/* The input's bytes must be there afterwards, by whatever name it was about to be overwritten. */
static void an_input_is_never_the_output(void)
{
	struct qc_model model = {0};
	struct qc_err err = {0};
	uint32_t index;
	char dotted[5000];

	st_begin();
	st_text("in", "weights");
	st_text("config.json", "{}");
	model.dir = st_dir;
	NEED(!qc_model_add_file(&model, -1, NULL, st_path("in"), &index, &err), "%s", err.text);
	NEED(!link(st_path("in"), st_path("hard")), "no hard links here");
	NEED(!symlink("in", st_path("soft")), "no symbolic links here");
	NEED(!link(st_path("config.json"), st_path("side")), "no hard links here");
	snprintf(dotted, sizeof(dotted), "%s/../%s/./in", st_dir, strrchr(st_dir, '/') + 1);
	for (int force = 0; force < 2; force++) {
		refused(st_path("in"), &model, 10, force, QC_REFUSED, "input");
		refused(dotted, &model, 10, force, QC_REFUSED, "input");
		refused(st_path("hard"), &model, 10, force, QC_REFUSED, "input");
		refused(st_path("soft"), &model, 10, force, QC_REFUSED, "input");
		refused(st_path("config.json"), &model, 10, force, QC_REFUSED, "config.json");
		refused(st_path("side"), &model, 10, force, QC_REFUSED, "config.json");
	}
	CHECK(holds(st_path("in"), "weights"), "the input has changed");
	qc_model_close(&model);
	st_end();
}

static void only_regular_files_are_replaced(void)
{
	st_begin();
	NEED(!mkdir(st_path("dir"), 0777) && !mkfifo(st_path("fifo"), 0666), "no FIFO here");
	NEED(!symlink("nowhere", st_path("dangling")) && !symlink("/dev/null", st_path("null")),
	     "no links");
	for (int force = 0; force < 2; force++) {
		refused(st_path("dir"), NULL, 10, force, QC_REFUSED, "regular");
		refused(st_path("fifo"), NULL, 10, force, QC_REFUSED, "regular");
		refused(st_path("dangling"), NULL, 10, force, QC_REFUSED, "symbolic link");
		refused(st_path("null"), NULL, 10, force, QC_REFUSED, "symbolic link");
		refused("/dev/null", NULL, 10, force, QC_REFUSED, "regular");
		refused(st_path("dir/"), NULL, 10, force, QC_REFUSED, "folder");
		refused(st_path("dir/."), NULL, 10, force, QC_REFUSED, "folder");
		refused("", NULL, 10, force, QC_REFUSED, "folder");
	}
	rmdir(st_path("dir"));
	st_end();
}

static void a_folder_that_is_not_there_is_named(void)
{
	st_begin();
	st_text("file", "x");
	refused(st_path("no/out"), NULL, 10, false, QC_IO, "/no'");
	refused(st_path("file/out"), NULL, 10, false, QC_IO, "/file'");
	st_end();
}

static void a_disk_without_room_is_refused_before_any_work(void)
{
	uint64_t room = 0;

	st_begin();
	CHECK(qc_disk_free(st_path("out"), &room) && room, "no free space known");
	refused(st_path("out"), NULL, 1ull << 62, false, QC_IO,
		"4611686018427387904 bytes are needed");
	refused(st_path("out"), NULL, 1ull << 62, false, QC_IO, "are missing");
	refused(st_path("out"), NULL, UINT64_MAX, false, QC_IO, "are missing");
	st_end();
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	NEED(!getrlimit(RLIMIT_FSIZE, &limit), "no limits here");
	limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
	NEED(!setrlimit(RLIMIT_FSIZE, &limit), "cannot set a limit");
}

/* A file size limit is the error of a full disk that every user can have. */
static void a_failing_write_says_what_is_missing_and_leaves_nothing(void)
{
	struct qc_writer writer;
	struct qc_err err = {0};
	char block[4096] = {1};
	enum qc_status s;

	st_begin();
	limit_file_size(10000);
	s = qc_writer_create(&writer, st_path("out"), NULL, 20000, false, &err);
	CHECK(s == QC_IO && strstr(err.text, "20000 of 20000 bytes are missing") &&
		      strstr(err.text, strerror(EFBIG)),
	      "%d '%s'", s, err.text);
	qc_writer_close(&writer);
	limit_file_size(RLIM_INFINITY);
	CHECK(st_count() == 0, "%d files", st_count());

	NEED(!qc_writer_create(&writer, st_path("out"), NULL, 20000, false, &err), "%s", err.text);
	limit_file_size(10000);
	s = qc_writer_write(&writer, 8192, block, sizeof(block), &err);
	limit_file_size(RLIM_INFINITY);
	CHECK(s == QC_IO && strstr(err.text, "10000 of 20000 bytes are missing") &&
		      strstr(err.text, "/out'"),
	      "%d '%s'", s, err.text);
	qc_writer_close(&writer);
	CHECK(st_count() == 0, "%d files", st_count());
	st_end();
}

static void what_reads_back_otherwise_is_not_committed(void)
{
	static const struct {
		const char *file, *tensor, *why;
	} cases[] = {
		{"abc\0\0\0xyz", "xyy", "(t)"},
		{"abd\0\0\0xyz", "xyz", "(header)"},
		{"abc\0\1\0xyz", "xyz", "(padding)"},
	};
	struct qc_writer writer;
	struct qc_err err = {0};
	enum qc_status s;

	st_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		NEED(!qc_writer_create(&writer, st_path("out"), NULL, 9, false, &err), "%s",
		     err.text);
		CHECK(!qc_writer_write(&writer, 0, cases[i].file, 9, &err), "%s", err.text);
		s = read_back(&writer, cases[i].tensor, &no_options, &err);
		CHECK(s == QC_IO && strstr(err.text, cases[i].why), "%d '%s'", s, err.text);
		qc_writer_close(&writer);
	}
	NEED(!qc_writer_create(&writer, st_path("out"), NULL, 4, false, &err), "%s", err.text);
	NEED(!ftruncate(writer.fd, 3), "cannot truncate");
	s = qc_writer_commit(&writer, &err);
	CHECK(s == QC_IO && strstr(err.text, "3 bytes"), "%d '%s'", s, err.text);
	qc_writer_close(&writer);
	CHECK(st_count() == 0, "%d files", st_count());
	st_end();
}

static void reading_back_can_be_interrupted(void)
{
	volatile sig_atomic_t stop = 1;
	struct qconv_options options = {.stop = &stop};
	struct qc_writer writer;
	struct qc_err err = {0};
	enum qc_status s;

	st_begin();
	NEED(!qc_writer_create(&writer, st_path("out"), NULL, 9, false, &err), "%s", err.text);
	s = read_back(&writer, "xyz", &options, &err);
	CHECK(s == QC_INTERRUPTED, "%d '%s'", s, err.text);
	qc_writer_close(&writer);
	CHECK(st_count() == 0, "%d files", st_count());
	st_end();
}

/* What a killed run has left has the same name when the process number comes round again. */
static void another_runs_temporary_file_is_left_alone(void)
{
	struct qc_err err = {0};
	char name[128];

	st_begin();
	snprintf(name, sizeof(name), ".out.qconv-%ld-0.tmp", (long)getpid());
	st_text(name, "left behind");
	CHECK(!put(st_path("out"), "new", false, &err), "%s", err.text);
	CHECK(holds(st_path("out"), "new"), "wrong bytes");
	CHECK(holds(st_path(name), "left behind"), "the other's file has changed");
	CHECK(st_count() == 2, "%d files", st_count());
	st_end();
}

static void names_may_be_as_long_as_the_file_system_allows(void)
{
	struct qc_err err = {0};
	char name[300];

	st_begin();
	memset(name, 'n', sizeof(name));
	name[255] = 0;
	CHECK(!put(st_path(name), "new", false, &err), "%s", err.text);
	CHECK(holds(st_path(name), "new"), "wrong bytes");
	name[255] = 'n';
	name[256] = 0;
	refused(st_path(name), NULL, 3, false, QC_IO, strerror(ENAMETOOLONG));
	st_end();
}

static void an_empty_file_can_be_written(void)
{
	struct qc_err err = {0};

	st_begin();
	CHECK(!put(st_path("out"), "", false, &err), "%s", err.text);
	CHECK(holds(st_path("out"), ""), "not empty");
	st_end();
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
	a_committed_file_is_whole_and_alone();
	a_file_is_synced_then_named_then_its_folder_synced();
	without_a_commit_nothing_is_left();
	an_existing_output_needs_force();
	an_output_that_comes_into_being_meanwhile_is_kept();
	an_input_is_never_the_output();
	only_regular_files_are_replaced();
	a_folder_that_is_not_there_is_named();
	a_disk_without_room_is_refused_before_any_work();
	a_failing_write_says_what_is_missing_and_leaves_nothing();
	what_reads_back_otherwise_is_not_committed();
	reading_back_can_be_interrupted();
	another_runs_temporary_file_is_left_alone();
	names_may_be_as_long_as_the_file_system_allows();
	an_empty_file_can_be_written();
	return test_end();
}

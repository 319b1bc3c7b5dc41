#include "convert/read_back.h"

#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20 };

/* One walk over the files. */
struct reading {
	const struct qc_plan *plan;
	const struct qconv_options *options;
	struct qc_hasher *file; /* NULL: another walk finds the files' digests */
	struct qc_hasher *tensor;
	uint8_t *buffer, *other;
	bool reports;
	struct qconv_progress progress;
	/* the file that is read, and how far */
	const struct qc_writer *writer;
	const struct qc_out_file *out;
	uint64_t at;
	size_t next_piece; /* of plan->placed */
};

/* The next `n` bytes of the file (at most READ_BYTES) into the buffer and the file's hash. */
static enum qc_status read_next(struct reading *r, size_t n, struct qc_err *err)
{
	enum qc_status s;

	if (r->options->stop && *r->options->stop)
		return qc_fail(err, QC_INTERRUPTED, "interrupted");
	s = qc_writer_read(r->writer, r->at, r->buffer, n, err);
	if (s)
		return s;
	if (r->file)
		qc_hasher_add(r->file, r->buffer, n);
	r->at += n;
	r->progress.bytes_done += n;
	if (r->reports && r->options->progress)
		r->options->progress(&r->progress, r->options->user);
	return QC_OK;
}

static size_t at_once(const struct reading *r, uint64_t end)
{
	uint64_t left = end - r->at;

	return left < READ_BYTES ? (size_t)left : READ_BYTES;
}

static enum qc_status differs(const struct reading *r, const char *what, struct qc_err *err)
{
	return qc_fail(
		err, QC_IO,
		"'%s' reads back other bytes than were written (%s): disk or memory is faulty",
		r->writer->path, what);
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
	return !n || (!bytes[0] && !memcmp(bytes, bytes + 1, n - 1));
}

/* Everything before `end` that belongs to no tensor. */
static enum qc_status read_between(struct reading *r, uint64_t end, struct qc_err *err)
{
	const struct qc_out_file *out = r->out;

	while (r->at < end) {
		uint64_t start = r->at;
		bool in_header = start < out->header_bytes;
		size_t n =
			at_once(r, in_header && end > out->header_bytes ? out->header_bytes : end);
		enum qc_status s = read_next(r, n, err);

		if (s)
			return s;
		if (in_header ? memcmp(r->buffer, out->header + start, n) != 0
			      : !all_zero(r->buffer, n))
			return differs(r, in_header ? "header" : "padding", err);
	}
	return QC_OK;
}

static enum qc_status read_piece(struct reading *r, const struct qc_piece *piece,
				 struct qc_digest128 expected, struct qc_err *err)
{
	uint64_t end = piece->offset + piece->bytes;
	struct qc_digest128 found;

	qc_hasher_reset(r->tensor);
	while (r->at < end) {
		size_t n = at_once(r, end);
		enum qc_status s = read_next(r, n, err);

		if (s)
			return s;
		qc_hasher_add(r->tensor, r->buffer, n);
	}
	found = qc_hasher_digest(r->tensor);
	if (found.low != expected.low || found.high != expected.high)
		return differs(r, piece->name, err);
	return QC_OK;
}

static enum qc_status read_copy(struct reading *r, struct qc_err *err)
{
	while (r->at < r->out->total_bytes) {
		uint64_t start = r->at;
		size_t n = at_once(r, r->out->total_bytes);
		enum qc_status s = read_next(r, n, err);

		if (!s)
			s = qc_file_read(r->out->copy_of, start, r->other, n, err);
		if (s)
			return s;
		if (memcmp(r->buffer, r->other, n))
			return differs(r, "copy", err);
	}
	return QC_OK;
}

static void begin_file(struct reading *r, const struct qc_output *output, size_t file)
{
	r->writer = &output->writers[file];
	r->out = &r->plan->out.files[file];
	r->at = 0;
	if (r->file)
		qc_hasher_reset(r->file);
}

static enum qc_status check_file(struct reading *r, const struct qc_output *output, size_t file,
				 struct qc_job_results *results, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	begin_file(r, output, file);
	if (r->out->copy_of)
		s = read_copy(r, err);
	while (!s && r->next_piece < r->plan->n_pieces &&
	       r->plan->placed[r->next_piece]->file == file) {
		const struct qc_piece *piece = r->plan->placed[r->next_piece++];

		if (!piece->bytes)
			continue;
		s = read_between(r, piece->offset, err);
		if (!s)
			s = read_piece(r, piece, results->tensors[piece->number], err);
	}
	if (!s)
		s = read_between(r, r->out->total_bytes, err);
	if (r->file)
		results->files[file] = qc_hasher_digest(r->file);
	return s;
}

static enum qc_status check_files(struct reading *r, const struct qc_output *output,
				  struct qc_job_results *results, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < r->plan->out.n_files; i++)
		s = check_file(r, output, i, results, err);
	return s;
}

/* The files' digests and nothing else. */
static enum qc_status sum_files(struct reading *r, const struct qc_output *output,
				struct qc_job_results *results, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < r->plan->out.n_files; i++) {
		begin_file(r, output, i);
		while (!s && r->at < r->out->total_bytes)
			s = read_next(r, at_once(r, r->out->total_bytes), err);
		results->files[i] = qc_hasher_digest(r->file);
	}
	return s;
}

/* A digest takes a file's bytes in their order, and so does each piece's: two walks, on a thread
 * each, are all that can be had. */
static enum qc_status walk(struct reading *check, struct reading *sum,
			   const struct qc_output *output, struct qc_job_results *results,
			   struct qc_err *err)
{
	enum qc_status checked = QC_OK, summed = QC_OK;
	struct qc_err sum_err = {0};

	if (check->file)
		return check_files(check, output, results, err);
#pragma omp parallel sections num_threads(2)
	{
#pragma omp section
		checked = check_files(check, output, results, err);
#pragma omp section
		summed = sum_files(sum, output, results, &sum_err);
	}
	if (!checked && summed)
		*err = sum_err;
	return checked ? checked : summed;
}

static void sum_up(const struct qc_plan *plan, struct qc_hasher *hasher,
		   struct qc_job_results *results)
{
	const struct qc_out *out = &plan->out;
	char hex[33];

	results->file = results->files[0];
	if (!plan->target->is_dir && !out->is_set)
		return;
	qc_hasher_reset(hasher);
	for (size_t i = 0; i < out->n_files; i++) {
		qc_digest128_hex(results->files[i], hex);
		qc_hasher_add(hasher, hex, 32);
		qc_hasher_add(hasher, "  ", 2);
		qc_hasher_add(hasher, out->files[i].name, strlen(out->files[i].name));
		qc_hasher_add(hasher, "\n", 1);
	}
	results->file = qc_hasher_digest(hasher);
}

static enum qc_status reading_init(struct reading *r, const struct qc_plan *plan,
				   const struct qconv_options *options, struct qc_err *err)
{
	r->plan = plan;
	r->options = options;
	r->progress.phase = "read back";
	r->progress.bytes_total = plan->out.total_bytes;
	r->buffer = malloc(READ_BYTES);
	return r->buffer ? QC_OK : qc_no_memory(err);
}

static void reading_clear(struct reading *r)
{
	free(r->buffer);
	free(r->other);
	qc_hasher_free(r->tensor);
}

enum qc_status qc_read_back(struct qc_output *output, const struct qc_plan *plan,
			    const struct qconv_options *options, struct qc_job_results *results,
			    struct qc_err *err)
{
	struct qc_hasher *file = qc_hasher_new();
	struct reading check = {.file = plan->threads > 1 ? NULL : file,
				.tensor = qc_hasher_new(),
				.other = malloc(READ_BYTES),
				.reports = true};
	struct reading sum = {.file = file};
	enum qc_status s = reading_init(&check, plan, options, err);

	if (!s)
		s = reading_init(&sum, plan, options, err);
	results->files = calloc(plan->out.n_files + 1, sizeof(*results->files));
	if (!s && (!file || !check.tensor || !check.other || !results->files))
		s = qc_no_memory(err);
	for (size_t i = 0; !s && i < plan->out.n_files; i++)
		s = qc_writer_sync(&output->writers[i], err);
	if (!s)
		s = walk(&check, &sum, output, results, err);
	if (!s)
		sum_up(plan, file, results);
	reading_clear(&check);
	reading_clear(&sum);
	qc_hasher_free(file);
	return s;
}

#include "convert/read_back.h"

#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20 };

struct reading {
	const struct qc_plan *plan;
	const struct qconv_options *options;
	struct qc_hasher *file, *tensor;
	uint8_t *buffer, *other;
	struct qconv_progress progress;
	/* the file that is read, and how far */
	const struct qc_writer *writer;
	const struct qc_out_file *out;
	uint64_t at;
	size_t next_piece; /* of plan->placed */
};

/* The next `n` bytes of the file (at most READ_BYTES) are in the buffer and in the file's hash. */
static enum qc_status read_next(struct reading *r, size_t n, struct qc_err *err)
{
	enum qc_status s;

	if (r->options->stop && *r->options->stop)
		return qc_fail(err, QC_INTERRUPTED, "interrupted");
	s = qc_writer_read(r->writer, r->at, r->buffer, n, err);
	if (s)
		return s;
	qc_hasher_add(r->file, r->buffer, n);
	r->at += n;
	r->progress.bytes_done += n;
	if (r->options->progress)
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

static enum qc_status read_file(struct reading *r, const struct qc_output *output, size_t file,
				struct qc_job_results *results, struct qc_err *err)
{
	enum qc_status s;

	r->writer = &output->writers[file];
	r->out = &r->plan->out.files[file];
	r->at = 0;
	qc_hasher_reset(r->file);
	s = qc_writer_sync(r->writer, err);
	if (!s && r->out->copy_of)
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
	results->files[file] = qc_hasher_digest(r->file);
	return s;
}

static void sum_up(struct reading *r, struct qc_job_results *results)
{
	const struct qc_out *out = &r->plan->out;
	char hex[33];

	results->file = results->files[0];
	if (!r->plan->target->is_dir && !out->is_set)
		return;
	qc_hasher_reset(r->file);
	for (size_t i = 0; i < out->n_files; i++) {
		qc_digest128_hex(results->files[i], hex);
		qc_hasher_add(r->file, hex, 32);
		qc_hasher_add(r->file, "  ", 2);
		qc_hasher_add(r->file, out->files[i].name, strlen(out->files[i].name));
		qc_hasher_add(r->file, "\n", 1);
	}
	results->file = qc_hasher_digest(r->file);
}

enum qc_status qc_read_back(struct qc_output *output, const struct qc_plan *plan,
			    const struct qconv_options *options, struct qc_job_results *results,
			    struct qc_err *err)
{
	struct reading r = {
		.plan = plan,
		.options = options,
		.file = qc_hasher_new(),
		.tensor = qc_hasher_new(),
		.buffer = malloc(READ_BYTES),
		.other = malloc(READ_BYTES),
		.progress = {.phase = "read back", .bytes_total = plan->out.total_bytes},
	};
	enum qc_status s = QC_OK;

	results->files = calloc(plan->out.n_files + 1, sizeof(*results->files));
	if (!r.file || !r.tensor || !r.buffer || !r.other || !results->files)
		s = qc_no_memory(err);
	for (size_t i = 0; !s && i < plan->out.n_files; i++)
		s = read_file(&r, output, i, results, err);
	if (!s)
		sum_up(&r, results);
	free(r.buffer);
	free(r.other);
	qc_hasher_free(r.tensor);
	qc_hasher_free(r.file);
	return s;
}

#include "convert/calibrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"
#include "convert/importance.h"
#include "convert/output_checks.h"
#include "convert/writer.h"

static size_t window_length(const struct qc_calibrate_options *options)
{
	return options->length ? options->length : QC_WINDOW_LENGTH;
}

static enum qc_status check_options(const struct qc_calibrate_options *o, struct qc_err *err)
{
	if (!o->output)
		return qc_fail(err, QC_USAGE, "calibrate needs a name for its result: -o FILE");
	if (o->model && !o->text)
		return qc_fail(err, QC_USAGE, "calibrate needs a text: --text FILE");
	if (!o->model && (o->text || !o->n_inputs))
		return qc_fail(err, QC_USAGE,
			       "calibrate needs a model and a text, or --in to put files together");
	if (!o->model && o->resume)
		return qc_fail(err, QC_USAGE,
			       "--resume: without a model there is nothing to go on "
			       "with");
	if (window_length(o) > QC_WINDOW_LONGEST)
		return qc_fail(err, QC_USAGE, "--ctx %zu is above %d", o->length,
			       QC_WINDOW_LONGEST);
	return QC_OK;
}

static enum qc_status read_text(struct qc_calibration *c, struct qc_err *err)
{
	const struct qc_calibrate_options *o = c->options;
	const struct qc_window_options options = {
		.length = window_length(o),
		.most = o->most,
		.full = o->full,
	};
	enum qc_status s = qc_windows_of_text(&c->windows, &c->model, o->text, &options, err);

	if (!s && c->windows.n > UINT32_MAX)
		s = qc_fail(err, QC_UNSUPPORTED, "%zu windows", c->windows.n);
	return s;
}

/* The forward pass calls it after each block. */
static void after_block(void *user, uint32_t done, uint32_t n)
{
	const struct qc_calibration *c = user;
	const double part = (double)c->group_first + (double)c->group * done / n;

	if (c->options->progress)
		c->options->progress(c->options->user, part / (double)c->windows.n, c->group_first,
				     c->windows.n);
}

static enum qc_status open_forward(struct qc_calibration *c, struct qc_err *err)
{
	struct qc_forward_options options = {
		.threads = c->options->threads,
		.stop = c->options->stop,
		.progress = after_block,
		.progress_user = c,
		.input = qc_stats_input,
		.user = &c->stats,
	};
	uint64_t stats;
	enum qc_status s = qc_forward_open(&c->forward, &c->model, &options, err);

	if (s)
		return s;
	/* once more, now that it is known what the sums leave of the memory */
	stats = qc_stats_bytes(qc_forward_graph(c->forward));
	qc_forward_close(c->forward);
	c->forward = NULL;
	c->memory = c->options->mem_limit ? c->options->mem_limit : QC_COLLECT_MEMORY + stats;
	options.mem_limit = c->memory > stats ? c->memory - stats : 1;
	return qc_forward_open(&c->forward, &c->model, &options, err);
}

static enum qc_status check_memory(struct qc_calibration *c, struct qc_err *err)
{
	const size_t most = c->windows.n < QC_COLLECT_MOST ? c->windows.n : QC_COLLECT_MOST;
	struct qc_collect_plan plan;

	if (!c->resumed)
		c->state.group =
			(uint32_t)qc_collect_group(c->forward, most, c->windows.length, c->memory);
	qc_calibrate_memory(c, &plan);
	if (c->options->mem_limit && plan.peak > c->options->mem_limit)
		return qc_fail(err, QC_UNSUPPORTED,
			       "--mem-limit: %llu bytes of memory are needed for one window, %llu "
			       "are allowed; a smaller --ctx needs less",
			       (unsigned long long)plan.peak,
			       (unsigned long long)c->options->mem_limit);
	return QC_OK;
}

void qc_calibrate_memory(const struct qc_calibration *c, struct qc_collect_plan *plan)
{
	qc_collect_plan(c->forward, c->state.group, c->windows.length, plan);
}

/* Of what the sums depend on: the files, as far as can be seen without reading them, and the
 * tokens, so text, tokenizer and cutting. */
static enum qc_status identify(struct qc_calibration *c, struct qc_err *err)
{
	const uint64_t sizes[] = {c->windows.n, c->windows.length, c->options->head,
				  c->model.n_tensors};
	struct qc_hasher *hasher = qc_hasher_new();

	if (!hasher)
		return qc_no_memory(err);
	qc_hasher_add(hasher, sizes, sizeof(sizes));
	for (size_t i = 0; i < c->model.n_files; i++) {
		const struct qc_file *f = c->model.files[i];
		const uint64_t file[] = {f->size, (uint64_t)f->mtime_sec, (uint64_t)f->mtime_nsec};

		qc_hasher_add(hasher, file, sizeof(file));
	}
	for (size_t i = 0; i < c->model.n_tensors; i++)
		qc_hasher_add(hasher, c->model.tensors[i].name,
			      strlen(c->model.tensors[i].name) + 1);
	qc_hasher_add(hasher, c->windows.ids,
		      c->windows.n * c->windows.length * sizeof(*c->windows.ids));
	qc_digest128_hex(qc_hasher_digest(hasher), c->state.identity);
	qc_hasher_free(hasher);
	return QC_OK;
}

/* A state that is there: taken up, or known to be one that may be replaced. */
static enum qc_status find_state(struct qc_calibration *c, struct qc_err *err)
{
	struct qc_stats_state found = {0};
	struct qc_stats stats = {.threads = c->options->threads};
	enum qc_status s;

	if (access(c->state_path, F_OK))
		return QC_OK;
	s = qc_stats_load(&stats, &found, c->state_path, err);
	if (s == QC_BAD_INPUT && !c->options->resume)
		s = qc_fail(err, QC_REFUSED, "'%s' is in the way: not the state of a calibration",
			    c->state_path);
	if (!s && c->options->resume &&
	    (strcmp(found.identity, c->state.identity) || found.n_windows > c->windows.n))
		s = qc_fail(err, QC_REFUSED,
			    "--resume: '%s' is of another model, text, --ctx or --windows; without "
			    "--resume the calibration begins anew",
			    c->state_path);
	if (!s && c->options->resume) {
		c->stats = stats;
		c->state = found;
		c->resumed = found.n_windows;
	} else {
		qc_stats_clear(&stats);
	}
	return s;
}

static enum qc_status open_model(struct qc_calibration *c, struct qc_err *err)
{
	enum qc_status s = qc_model_open(&c->model, c->options->model, err);

	if (!s)
		s = open_forward(c, err);
	if (!s)
		s = read_text(c, err);
	if (!s)
		s = qc_writer_precheck(c->options->output, &c->model, 0, c->options->force, err);
	if (!s)
		s = identify(c, err);
	if (!s)
		s = find_state(c, err);
	return s ? s : check_memory(c, err);
}

/* The output is none of the files that are read beside the model. */
static enum qc_status check_output(const struct qc_calibrate_options *o, struct qc_err *err)
{
	enum qc_status s = qc_output_is_not(o->output, o->text, err);

	for (size_t i = 0; !s && i < o->n_inputs; i++)
		s = qc_output_is_not(o->output, o->inputs[i], err);
	return s;
}

/* Whether it is of the model that is calibrated, where there is one. */
static enum qc_status of_model(const struct qc_calibration *c, struct qc_imatrix *im,
			       struct qc_err *err)
{
	enum qc_status s = c->forward ? qc_importance_check(im, &c->model, err) : QC_OK;

	return s || !c->forward ? s : qc_importance_fit(im, &c->model, err);
}

static enum qc_status add_inputs(struct qc_calibration *c, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < c->options->n_inputs; i++) {
		struct qc_imatrix im = {0};

		s = qc_imatrix_read(&im, c->options->inputs[i], err);
		if (!s) {
			s = of_model(c, &im, err);
			if (!s)
				s = qc_imatrix_merge(&c->im, &im,
						     (uint32_t)window_length(c->options), err);
			if (s == QC_BAD_INPUT || s == QC_UNSUPPORTED)
				s = qc_fail_in(err, "--in '%s'", c->options->inputs[i]);
		}
		qc_imatrix_clear(&im);
	}
	return s;
}

/* What is wrong with them is said before hours of calibrating. */
static enum qc_status try_inputs(struct qc_calibration *c, struct qc_err *err)
{
	enum qc_status s = add_inputs(c, err);

	qc_imatrix_clear(&c->im);
	return s;
}

enum qc_status qc_calibrate_open(struct qc_calibration *c,
				 const struct qc_calibrate_options *options, struct qc_err *err)
{
	enum qc_status s = check_options(options, err);
	size_t size;

	memset(c, 0, sizeof(*c));
	c->options = options;
	c->stats.threads = options->threads;
	if (!s)
		s = check_output(options, err);
	if (s)
		return s;
	size = strlen(options->output) + sizeof(".state");
	c->state_path = malloc(size);
	if (!c->state_path)
		return qc_no_memory(err);
	snprintf(c->state_path, size, "%s.state", options->output);
	s = options->model ? open_model(c, err)
			   : qc_writer_precheck(options->output, NULL, 0, options->force, err);
	return s ? s : try_inputs(c, err);
}

void qc_calibrate_close(struct qc_calibration *c)
{
	free(c->state_path);
	qc_windows_clear(&c->windows);
	qc_forward_close(c->forward);
	qc_model_close(&c->model);
	qc_stats_clear(&c->stats);
	qc_imatrix_clear(&c->im);
	memset(c, 0, sizeof(*c));
}

static enum qc_status write_file(const char *path, const struct qc_model *model, bool force,
				 const uint8_t *bytes, size_t size, struct qc_err *err)
{
	struct qc_writer writer = {0};
	enum qc_status s = qc_writer_create(&writer, path, model, size, force, err);

	if (!s)
		s = qc_writer_write(&writer, 0, bytes, size, err);
	if (!s)
		s = qc_writer_commit(&writer, err);
	qc_writer_close(&writer);
	return s;
}

static enum qc_status keep_state(void *user, size_t done, struct qc_err *err)
{
	struct qc_calibration *c = user;
	uint8_t *bytes = NULL;
	size_t size;
	enum qc_status s;

	c->state.n_windows = (uint32_t)done;
	if (done == c->windows.n)
		return QC_OK;
	s = qc_stats_save(&c->stats, &c->state, &bytes, &size, err);
	if (!s)
		s = write_file(c->state_path, &c->model, true, bytes, size, err);
	free(bytes);
	return s;
}

static void enter_group(void *user, size_t done, size_t group)
{
	struct qc_calibration *c = user;

	c->group_first = done;
	c->group = group;
	after_block(c, 0, 1);
}

static enum qc_status collect(struct qc_calibration *c, struct qc_err *err)
{
	const struct qc_collect_options options = {
		.first = c->state.n_windows,
		.group = c->state.group,
		.head = c->options->head,
		.progress = enter_group,
		.keep = keep_state,
		.user = c,
	};
	enum qc_status s = qc_collect(c->forward, &c->stats, &c->windows, &options, err);

	if (s == QC_INTERRUPTED && c->state.n_windows)
		return qc_fail(err, s,
			       "interrupted; %u of %zu windows are kept in '%s': --resume goes on "
			       "from there",
			       c->state.n_windows, c->windows.n, c->state_path);
	return s ? s : qc_model_unchanged(&c->model, err);
}

static enum qc_status from_text(struct qc_calibration *c, struct qc_err *err)
{
	const char *text = qc_text_base_name(c->options->text);
	enum qc_status s = collect(c, err);

	if (!s)
		s = qc_stats_imatrix(&c->stats, &c->im, err);
	c->im.n_chunks = (uint32_t)c->windows.n;
	c->im.chunk_size = (uint32_t)c->windows.length;
	return s ? s : qc_imatrix_add_dataset(&c->im, text, strlen(text), err);
}

static bool is_legacy(const struct qc_calibrate_options *options)
{
	const char *dot = strrchr(qc_text_base_name(options->output), '.');

	return options->legacy || (dot && !strcasecmp(dot, ".dat"));
}

enum qc_status qc_calibrate_run(struct qc_calibration *c, struct qc_err *err)
{
	enum qc_status s = c->forward ? from_text(c, err) : QC_OK;
	uint8_t *bytes = NULL;
	size_t size;

	if (!s)
		s = add_inputs(c, err);
	if (!s)
		s = qc_imatrix_bytes(&c->im,
				     is_legacy(c->options) ? QC_IMATRIX_DAT : QC_IMATRIX_GGUF,
				     &bytes, &size, err);
	if (!s)
		s = write_file(c->options->output, &c->model, c->options->force, bytes, size, err);
	free(bytes);
	/* what it would go on from is of no use any more */
	if (!s && c->state.n_windows)
		(void)unlink(c->state_path);
	return s;
}

const struct qc_tensor *qc_calibrate_unseen(const struct qc_calibration *c, size_t *at)
{
	while (*at < c->model.n_tensors) {
		const struct qc_tensor *tensor = &c->model.tensors[(*at)++];
		const char *end = strrchr(tensor->name, '.');

		if (tensor->layer >= 0 && tensor->n_dims >= 2 && end && !strcmp(end, ".weight") &&
		    !qc_imatrix_find(&c->im, tensor->name))
			return tensor;
	}
	return NULL;
}

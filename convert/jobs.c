#include "convert/jobs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "convert/encode.h"
#include "convert/source_hash.h"
#include "convert/step.h"

/* A range of a step, plan->order[step]. Numbers count all ranges of the plan in that order. */
struct job {
	uint64_t number;
	size_t step;
	uint64_t unit, n;
};

/* A finished range, or one being made. */
struct slot {
	struct job job;
	uint8_t *raw, *out;
	bool done;
};

/* What the threads share. The mutex guards everything in the second group; a slot's bytes belong to
 * the thread that made them until `done`, then to the one that is `committing`. */
struct queue {
	const struct qc_plan *plan;
	const struct qc_output *output; /* NULL: measuring */
	const struct qconv_options *options;
	struct qc_job_results *results;
	struct slot *slots;
	struct qc_encoder *encoders;

	pthread_mutex_t mutex;
	pthread_cond_t room; /* a slot became free, or the end is near */
	struct job next;
	uint64_t n_committed;
	bool committing, failed;
	uint64_t failed_at;
	struct qc_err err;

	/* of the thread that commits */
	struct qc_hasher **hashers; /* one per piece of the step, plan->max_pieces of them */
	struct qc_source_hash source_hash;
	uint64_t source_done, source_total;
};

static const struct qc_step *step_of(const struct queue *q, const struct job *job)
{
	return &q->plan->steps[q->plan->order[job->step]];
}

/* Nothing to be done with a step: no ranges, or it need not be measured. */
static bool skips(const struct queue *q, const struct qc_step *step)
{
	return !step->n_ranges || (!q->output && (!step->measured_bytes || step->copy));
}

static uint64_t source_bytes(const struct qc_step *step, uint64_t elems)
{
	return elems / step->from->block_elems * step->from->block_bytes;
}

static void report(struct queue *q, const struct job *job)
{
	const struct qc_step *step = step_of(q, job);
	struct qconv_progress progress = {
		.phase = q->output ? "convert" : "measure",
		.tensor = step->name,
		.from = qc_tensor_stored_as(step->tensor),
		.to = step->to_name,
		.tensor_index = job->step,
		.n_tensors = q->plan->n_steps,
		.bytes_done = q->source_done,
		.bytes_total = q->source_total,
	};

	if (q->options->progress)
		q->options->progress(&progress, q->options->user);
}

static void hash_pieces(struct queue *q, const struct slot *slot)
{
	const struct qc_step *step = step_of(q, &slot->job);

	for (size_t i = 0; i < step->n_pieces; i++) {
		const struct qc_piece *piece = &step->pieces[i];
		uint64_t begin, bytes = qc_piece_range(piece, slot->job.unit, slot->job.n, &begin);

		if (piece->constant)
			continue;
		if (!slot->job.unit)
			qc_hasher_reset(q->hashers[i]);
		qc_hasher_add(q->hashers[i], slot->out + qc_step_buffer(step, i, slot->job.n),
			      (size_t)bytes);
		if (slot->job.unit + slot->job.n == step->n_units)
			q->results->tensors[piece->number] = qc_hasher_digest(q->hashers[i]);
	}
}

static enum qc_status commit_slot(struct queue *q, const struct slot *slot, struct qc_err *err)
{
	const struct qc_step *step = step_of(q, &slot->job);
	struct qc_row_range rows = qc_step_rows(step, slot->job.unit, slot->job.n);
	struct qc_extent extent;
	enum qc_status s = QC_OK;

	if (!q->output)
		step->packing->take(step, slot->out, slot->job.n);
	else
		hash_pieces(q, slot);
	if (q->output && step->raw && qc_source_extent(step->source, rows.first, rows.n, &extent) &&
	    extent.in_order)
		s = qc_source_hash_add(&q->source_hash, &extent,
				       step->copy && !step->packing ? slot->out : slot->raw, err);
	q->source_done += source_bytes(step, qc_step_elems(step, slot->job.unit, slot->job.n));
	report(q, &slot->job);
	return s;
}

/* With the mutex held. Ranges are claimed in order, so all below a failed one are finished or being
 * made: the lowest error is the same whatever the timing. */
static void fail(struct queue *q, uint64_t number, const struct qc_err *err)
{
	if (!q->failed || number < q->failed_at) {
		q->failed_at = number;
		q->err = *err;
	}
	q->failed = true;
	pthread_cond_broadcast(&q->room);
}

/* With the mutex held: take all that is ready in order. One thread at a time does. */
static void commit_ready(struct queue *q)
{
	struct qc_err err = {0};
	enum qc_status s;

	if (q->committing)
		return;
	q->committing = true;
	for (;;) {
		struct slot *slot = &q->slots[q->n_committed % q->plan->n_slots];

		if (!slot->done || slot->job.number != q->n_committed)
			break;
		pthread_mutex_unlock(&q->mutex);
		s = commit_slot(q, slot, &err);
		pthread_mutex_lock(&q->mutex);
		if (s)
			fail(q, slot->job.number, &err);
		slot->done = false;
		q->n_committed++;
		pthread_cond_broadcast(&q->room);
	}
	q->committing = false;
}

/* With the mutex held: the cursor moves to the next range that has rows. */
static void skip_empty(struct queue *q)
{
	const struct qc_plan *plan = q->plan;

	while (q->next.step < plan->n_steps &&
	       (skips(q, step_of(q, &q->next)) || q->next.unit >= step_of(q, &q->next)->n_units)) {
		q->next.step++;
		q->next.unit = 0;
	}
}

/* With the mutex held: wait for room and take the next range; false when there is none left, or
 * after an error. */
static bool claim(struct queue *q, struct job *job)
{
	const struct qc_step *step;
	uint64_t left;

	skip_empty(q);
	while (!q->failed && q->next.step < q->plan->n_steps &&
	       q->next.number - q->n_committed >= q->plan->n_slots) {
		pthread_cond_wait(&q->room, &q->mutex);
		skip_empty(q);
	}
	if (q->options->stop && *q->options->stop && !q->failed) {
		struct qc_err err;

		(void)!qc_fail(&err, QC_INTERRUPTED, "interrupted");
		fail(q, q->next.number, &err);
	}
	if (q->failed || q->next.step >= q->plan->n_steps)
		return false;
	step = step_of(q, &q->next);
	left = step->n_units - q->next.unit;
	q->next.n = left < step->range_units ? left : step->range_units;
	*job = q->next;
	q->next.number++;
	q->next.unit += q->next.n;
	return true;
}

static enum qc_status make(struct queue *q, struct qc_encoder *encoder, struct slot *slot,
			   struct qc_err *err)
{
	const struct qc_step *step = step_of(q, &slot->job);
	const uint64_t unit = slot->job.unit, n = slot->job.n;
	enum qc_status s;

	if (!q->output)
		return qc_measure_units(encoder, step, unit, n, slot->raw, slot->out, err);
	s = qc_encode_units(encoder, step, unit, n, slot->raw, slot->out, err);
	for (size_t i = 0; !s && i < step->n_pieces; i++) {
		const struct qc_piece *piece = &step->pieces[i];
		uint64_t begin, bytes = qc_piece_range(piece, unit, n, &begin);

		if (!piece->constant)
			s = qc_output_write(q->output, piece->file, piece->offset + begin,
					    slot->out + qc_step_buffer(step, i, n), (size_t)bytes,
					    err);
	}
	return s;
}

/* One thread's life. */
static void work(struct queue *q, struct qc_encoder *encoder)
{
	struct qc_err err = {0};
	struct job job;

	pthread_mutex_lock(&q->mutex);
	while (claim(q, &job)) {
		struct slot *slot = &q->slots[job.number % q->plan->n_slots];
		enum qc_status s;

		pthread_mutex_unlock(&q->mutex);
		slot->job = job;
		s = make(q, encoder, slot, &err);
		pthread_mutex_lock(&q->mutex);
		if (s) {
			fail(q, job.number, &err);
		} else {
			slot->done = true;
			commit_ready(q);
		}
	}
	pthread_mutex_unlock(&q->mutex);
}

static enum qc_status slots_init(struct queue *q, struct qc_err *err)
{
	const struct qc_plan *plan = q->plan;
	enum qc_status s = QC_OK;

	q->slots = calloc(plan->n_slots, sizeof(*q->slots));
	q->encoders = calloc(plan->threads, sizeof(*q->encoders));
	if (!q->slots || !q->encoders)
		return qc_no_memory(err);
	for (unsigned i = 0; i < plan->n_slots; i++) {
		q->slots[i].out = qc_aligned_buffer(plan->range_out_bytes);
		q->slots[i].raw = qc_aligned_buffer(plan->range_raw_bytes);
		if (!q->slots[i].out || !q->slots[i].raw)
			return qc_no_memory(err);
	}
	for (unsigned i = 0; !s && i < plan->threads; i++)
		s = qc_encoder_init(&q->encoders[i], plan, err);
	return s;
}

static enum qc_status hashers_init(struct queue *q, struct qc_err *err)
{
	const struct qc_plan *plan = q->plan;
	struct qc_digest128 empty;
	enum qc_status s = QC_OK;

	q->results->tensors = calloc(plan->n_pieces + 1, sizeof(*q->results->tensors));
	q->hashers = calloc(plan->max_pieces + 1, sizeof(struct qc_hasher *));
	if (!q->results->tensors || !q->hashers)
		return qc_no_memory(err);
	for (size_t i = 0; i <= plan->max_pieces; i++) {
		q->hashers[i] = qc_hasher_new();
		if (!q->hashers[i])
			return qc_no_memory(err);
	}
	empty = qc_hasher_digest(q->hashers[0]);
	for (size_t i = 0; i < plan->n_pieces; i++) /* of no bytes, until there are some */
		q->results->tensors[i] = empty;
	if (!q->options->no_manifest) {
		q->results->sources =
			calloc(plan->model->n_files + 1, sizeof(*q->results->sources));
		s = q->results->sources ? qc_source_hash_init(&q->source_hash, plan->model, err)
					: qc_no_memory(err);
	}
	return s;
}

static void queue_clear(struct queue *q)
{
	for (unsigned i = 0; q->slots && i < q->plan->n_slots; i++) {
		free(q->slots[i].raw);
		free(q->slots[i].out);
	}
	for (unsigned i = 0; q->encoders && i < q->plan->threads; i++)
		qc_encoder_clear(&q->encoders[i]);
	for (size_t i = 0; q->hashers && i <= q->plan->max_pieces; i++)
		qc_hasher_free(q->hashers[i]);
	free(q->slots);
	free(q->encoders);
	free(q->hashers);
	qc_source_hash_clear(&q->source_hash);
	pthread_cond_destroy(&q->room);
	pthread_mutex_destroy(&q->mutex);
}

/* What needs no job: headers, copied files, pieces that are known. */
static enum qc_status write_known(struct queue *q, struct qc_err *err)
{
	const struct qc_plan *plan = q->plan;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < plan->out.n_files; i++) {
		const struct qc_out_file *file = &plan->out.files[i];

		s = file->copy_of ? qc_output_copy(q->output, i, file->copy_of, err)
				  : qc_output_write(q->output, i, 0, file->header,
						    file->header_bytes, err);
	}
	for (size_t i = 0; !s && i < plan->n_pieces; i++) {
		const struct qc_piece *piece = plan->placed[i];

		if (!piece->constant)
			continue;
		s = qc_output_write(q->output, piece->file, piece->offset, piece->constant,
				    (size_t)piece->bytes, err);
		qc_hasher_reset(q->hashers[0]);
		qc_hasher_add(q->hashers[0], piece->constant, (size_t)piece->bytes);
		q->results->tensors[piece->number] = qc_hasher_digest(q->hashers[0]);
	}
	return s;
}

static enum qc_status work_through(struct queue *q, struct qc_err *err)
{
	unsigned next_encoder = 0;

	for (size_t i = 0; i < q->plan->n_steps; i++) {
		const struct qc_step *step = &q->plan->steps[i];

		if (!skips(q, step))
			q->source_total += source_bytes(step, step->rows * step->cols);
	}
#pragma omp parallel num_threads((int)q->plan->threads)
	{
		unsigned mine;

#pragma omp atomic capture
		mine = next_encoder++;
		work(q, &q->encoders[mine]);
	}
	if (!q->failed)
		return QC_OK;
	*err = q->err;
	return err->status;
}

enum qc_status qc_jobs_measure(struct qc_plan *plan, const struct qconv_options *options,
			       struct qc_err *err)
{
	struct queue q = {
		.plan = plan,
		.options = options,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.room = PTHREAD_COND_INITIALIZER,
	};
	enum qc_status s;

	if (!plan->measure)
		return QC_OK;
	s = slots_init(&q, err);
	if (!s)
		s = work_through(&q, err);
	queue_clear(&q);
	return s ? s : qc_plan_settle(plan, err);
}

enum qc_status qc_jobs_run(const struct qc_plan *plan, struct qc_output *output,
			   const struct qconv_options *options, struct qc_job_results *results,
			   struct qc_err *err)
{
	struct queue q = {
		.plan = plan,
		.output = output,
		.options = options,
		.results = results,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.room = PTHREAD_COND_INITIALIZER,
	};
	enum qc_status s;

	memset(results, 0, sizeof(*results));
	s = slots_init(&q, err);
	if (!s)
		s = hashers_init(&q, err);
	if (!s)
		s = write_known(&q, err);
	if (!s)
		s = work_through(&q, err);
	if (!s && results->sources)
		s = qc_source_hash_finish(&q.source_hash, results->sources, err);
	queue_clear(&q);
	if (s)
		qc_job_results_clear(results);
	return s;
}

void qc_job_results_clear(struct qc_job_results *results)
{
	free(results->tensors);
	free(results->sources);
	free(results->files);
	memset(results, 0, sizeof(*results));
}

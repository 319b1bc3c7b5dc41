#include "convert/compare.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "convert/encode.h"
#include "convert/equal_scales.h"
#include "quant/fast.h"

#define RANGE_ELEMS (64u << 10)
#define BATCH	    256 /* ranges in one parallel loop */

/* A stretch of elements that is whole rows of both tensors. */
struct part {
	struct qc_compare_pair *pair;
	uint64_t first, n;
	struct qc_compare_sums sums;
};

/* A thread's buffers: one side each. */
struct side {
	uint8_t *raw;
	float *f32;
	struct qc_scratch scratch;
};

struct compare {
	struct qc_compare_pair *pairs;
	struct qc_equal_scales *factors; /* of each pair */
	size_t n;
	const struct qconv_options *options;
	enum qc_isa isa;
	int threads;
	struct side (*sides)[2];
	/* the walk */
	size_t at;
	uint64_t first;
	struct qconv_progress progress;
	/* the lowest failing part of a batch */
	int failed_part;
	struct qc_err err;
};

static bool decodes(const struct qc_tensor *tensor)
{
	return !qc_tensor_has_raw(tensor) || tensor->source->type->dequantize;
}

static bool both_raw(const struct qc_tensor *a, const struct qc_tensor *b)
{
	return qc_tensor_has_raw(a) && qc_tensor_has_raw(b) && a->source->type == b->source->type;
}

bool qc_compare_possible(const struct qc_tensor *file, const struct qc_tensor *source)
{
	return (decodes(file) && decodes(source)) || both_raw(file, source);
}

static bool by_bytes(const struct qc_compare_pair *pair)
{
	return pair->source && !(decodes(pair->file) && decodes(pair->source));
}

/* Elements that are whole rows on both sides: the rows of a flat tensor of blocks are one block. */
static uint64_t unit_of(const struct qc_compare_pair *pair)
{
	uint64_t a = pair->file->source->cols, b, unit;

	if (!pair->source)
		return a;
	b = pair->source->source->cols;
	return qc_mul(a / qc_gcd(a, b), b, &unit) ? unit : UINT64_MAX;
}

static uint64_t elems_of(const struct qc_source *source)
{
	return source->rows * source->cols;
}

/* The next stretch of about RANGE_ELEMS elements, in order; false at the end. */
static bool next_part(struct compare *c, struct part *part)
{
	while (c->at < c->n) {
		struct qc_compare_pair *pair = &c->pairs[c->at];
		uint64_t total = elems_of(pair->file->source), unit = unit_of(pair), n = unit;

		if (c->first >= total) {
			c->at++;
			c->first = 0;
			continue;
		}
		if (unit < RANGE_ELEMS)
			n = RANGE_ELEMS / unit * unit;
		if (n > total - c->first)
			n = total - c->first;
		*part = (struct part){.pair = pair, .first = c->first, .n = n};
		c->first += n;
		return true;
	}
	return false;
}

static size_t blocks_of(const struct qc_source *source, uint64_t elems)
{
	return (size_t)(elems / source->type->block_elems);
}

/* Elements [first, first + n) of a source: raw blocks where it has them, values where they can be
 * had. */
static enum qc_status side_read(struct side *side, const struct qc_tensor *tensor,
				const struct qc_equal_scales *factors, const struct part *part,
				enum qc_isa isa, struct qc_err *err)
{
	const struct qc_source *source = tensor->source;
	uint64_t row = part->first / source->cols, n = part->n / source->cols;
	enum qc_status s;

	if (!qc_tensor_has_raw(tensor) && !factors->values)
		return qc_source_read_f32(source, row, n, side->f32, &side->scratch, err);
	s = qc_source_read_raw(source, row, n, side->raw, &side->scratch, err);
	if (s || !source->type->dequantize)
		return s;
	qc_fast_dequantize(source->type, isa)(side->raw, side->f32, blocks_of(source, part->n));
	for (uint64_t r = 0; factors->values && r < n; r++) {
		const float factor = factors->values[(row + r) / (source->rows / factors->n)];

		for (uint64_t i = 0; i < source->cols; i++)
			side->f32[r * source->cols + i] *= factor;
	}
	return QC_OK;
}

static enum qc_status check_blocks(const struct part *part, const uint8_t *raw, struct qc_err *err)
{
	const struct qc_source *source = part->pair->file->source;
	const struct qc_tensor *tensor = part->pair->file;
	uint64_t cols = tensor->n_dims ? tensor->dims[0] : 1, element;
	size_t n = blocks_of(source, part->n), bad;

	if (!qc_tensor_has_raw(tensor) || !source->type->check)
		return QC_OK;
	bad = source->type->check(raw, n);
	if (bad == n)
		return QC_OK;
	element = part->first + (uint64_t)bad * source->type->block_elems;
	return qc_fail(err, QC_BAD_INPUT, "row %llu, column %llu: %s that is not a finite number",
		       (unsigned long long)(element / cols), (unsigned long long)(element % cols),
		       source->type->is_float ? "a value" : "a block with a scale");
}

/* Sequential sums: the order, and so every bit, is that of the elements. */
static void sum_up(struct qc_compare_sums *sums, const float *x, const float *y, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		double a = x[i], b = y[i], d = a - b;

		sums->err2 += d * d;
		sums->x2 += a * a;
		sums->y2 += b * b;
		sums->xy += a * b;
		d = fabs(d);
		if (!(d <= sums->max_abs))
			sums->max_abs = d;
	}
	sums->differs = !(sums->max_abs == 0);
}

static enum qc_status part_run(const struct compare *c, struct part *part, struct side sides[2],
			       struct qc_err *err)
{
	const struct qc_compare_pair *pair = part->pair;
	const struct qc_equal_scales *factors = &c->factors[pair - c->pairs];
	enum qc_status s = side_read(&sides[0], pair->file, factors, part, c->isa, err);

	if (!s)
		s = check_blocks(part, sides[0].raw, err);
	if (!s && pair->source)
		s = side_read(&sides[1], pair->source, factors, part, c->isa, err);
	if (s)
		return qc_fail_in(err, "tensor '%s'", pair->file->name);
	if (!pair->source)
		return QC_OK;
	if (by_bytes(pair))
		part->sums.differs = memcmp(sides[0].raw, sides[1].raw,
					    blocks_of(pair->file->source, part->n) *
						    pair->file->source->type->block_bytes) != 0;
	else
		sum_up(&part->sums, sides[1].f32, sides[0].f32, part->n);
	return QC_OK;
}

static void add_sums(struct qc_compare_sums *to, const struct qc_compare_sums *part)
{
	to->err2 += part->err2;
	to->x2 += part->x2;
	to->y2 += part->y2;
	to->xy += part->xy;
	if (!(part->max_abs <= to->max_abs))
		to->max_abs = part->max_abs;
	to->differs = to->differs || part->differs;
}

static void batch_run(struct compare *c, struct part *parts, int n)
{
	c->failed_part = n;
#pragma omp parallel for schedule(dynamic) num_threads(c->threads)
	for (int i = 0; i < n; i++) {
		struct qc_err err;

		if (!part_run(c, &parts[i], c->sides[omp_get_thread_num()], &err))
			continue;
#pragma omp critical(qc_compare_failed)
		if (i < c->failed_part) {
			c->failed_part = i;
			c->err = err;
		}
	}
}

static enum qc_status walk(struct compare *c, struct part *parts, struct qc_err *err)
{
	for (;;) {
		int n = 0;

		if (c->options->stop && *c->options->stop)
			return qc_fail(err, QC_INTERRUPTED, "interrupted");
		while (n < BATCH && next_part(c, &parts[n]))
			n++;
		if (!n)
			return QC_OK;
		batch_run(c, parts, n);
		if (c->failed_part < n) {
			*err = c->err;
			return err->status;
		}
		for (int i = 0; i < n; i++) {
			add_sums(&parts[i].pair->sums, &parts[i].sums);
			c->progress.bytes_done +=
				blocks_of(parts[i].pair->file->source, parts[i].n) *
				parts[i].pair->file->source->type->block_bytes;
		}
		if (c->options->progress)
			c->options->progress(&c->progress, c->options->user);
	}
}

static void keep_max(uint64_t *max, uint64_t value)
{
	if (value > *max)
		*max = value;
}

/* The largest buffers that any part needs on one side: raw, f32, scratch. */
static void side_needs(uint64_t needs[3], const struct qc_tensor *tensor, uint64_t elems)
{
	const struct qc_source *source = tensor->source;
	uint64_t bytes;

	if (!qc_qtype_bytes(source->type, elems, &bytes))
		bytes = 0;
	if (source->ops->read_raw)
		keep_max(&needs[0], bytes);
	keep_max(&needs[1], elems * sizeof(float));
	keep_max(&needs[2], qc_source_scratch(source, elems / source->cols));
}

static enum qc_status sides_init(struct compare *c, struct qc_err *err)
{
	uint64_t needs[2][3] = {{0}};
	struct part part;
	struct compare scan = *c;

	while (next_part(&scan, &part)) {
		if (part.n == UINT64_MAX)
			return qc_fail(err, QC_UNSUPPORTED, "tensor '%s': rows too long to compare",
				       part.pair->file->name);
		side_needs(needs[0], part.pair->file, part.n);
		if (part.pair->source)
			side_needs(needs[1], part.pair->source, part.n);
	}
	c->sides = calloc((size_t)c->threads, sizeof(*c->sides));
	if (!c->sides)
		return qc_no_memory(err);
	for (int i = 0; i < 2 * c->threads; i++) {
		struct side *side = &c->sides[i / 2][i % 2];

		side->raw = qc_aligned_buffer(needs[i % 2][0]);
		side->f32 = qc_aligned_buffer(needs[i % 2][1]);
		side->scratch.base = qc_aligned_buffer(needs[i % 2][2]);
		side->scratch.size = needs[i % 2][2];
		if (!side->raw || !side->f32 || !side->scratch.base)
			return qc_no_memory(err);
	}
	return QC_OK;
}

static void sides_clear(struct compare *c)
{
	for (int i = 0; c->sides && i < 2 * c->threads; i++) {
		struct side *side = &c->sides[i / 2][i % 2];

		free(side->raw);
		free(side->f32);
		free(side->scratch.base);
	}
	free(c->sides);
}

enum qc_status qc_compare(struct qc_compare_pair *pairs, size_t n,
			  const struct qconv_options *options, struct qc_err *err)
{
	struct compare c = {.pairs = pairs, .n = n, .options = options};
	struct part *parts = malloc(BATCH * sizeof(*parts));
	enum qc_status s;

	c.factors = calloc(n + 1, sizeof(*c.factors));
	c.threads = options->threads > 0 ? options->threads : omp_get_num_procs();
	c.threads = c.threads > BATCH ? BATCH : c.threads;
	c.progress.phase = "verify";
	for (size_t i = 0; i < n; i++)
		c.progress.bytes_total += qc_tensor_stored_bytes(pairs[i].file);
	if (!qc_isa_detect(&c.isa))
		s = qc_fail(err, QC_USAGE, "QCONV_CPU: not a level that this CPU has (it has %s)",
			    qc_isa_name(c.isa));
	else
		s = parts && c.factors ? sides_init(&c, err) : qc_no_memory(err);
	for (size_t i = 0; !s && i < n; i++)
		s = qc_equal_scales_read(&c.factors[i], pairs[i].file, pairs[i].source, err);
	if (!s)
		s = walk(&c, parts, err);
	for (size_t i = 0; c.factors && i < n; i++)
		qc_equal_scales_clear(&c.factors[i]);
	free(c.factors);
	sides_clear(&c);
	free(parts);
	return s;
}

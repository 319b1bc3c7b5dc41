#include "calib/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "calib/forward_parts.h"
#include "calib/kept.h"

/* Tokens that go through the model together: enough for matrix products at full speed. */
enum { PART = 1024 };

struct qc_session {
	struct qc_forward *forward;
	size_t most, length;
	float **keys, **values; /* of each block with its own: [most, kv width] */
};

float *qc_session_keys(const struct qc_session *s, uint32_t block)
{
	return s->keys[block];
}

float *qc_session_values(const struct qc_session *s, uint32_t block)
{
	return s->values[block];
}

static uint64_t kv_width(const struct qc_graph *g, uint32_t block)
{
	return (uint64_t)g->blocks[block].heads_kv * g->blocks[block].head_size;
}

static uint64_t cache_bytes(const struct qc_graph *g, size_t most)
{
	uint64_t n = 0, bytes;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].kv_block == i)
			n += 2 * kv_width(g, i);
	return qc_mul(n * sizeof(float), most, &bytes) ? bytes : UINT64_MAX;
}

static uint64_t half_of_memory(void)
{
	const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages / 2 * (uint64_t)size : (uint64_t)1 << 30;
}

/* Of the longest part, at the end of the session. */
static uint64_t work_bytes(const struct qc_forward *f, size_t most)
{
	const size_t part = most < PART ? most : PART;
	struct qc_forward_plan plan;
	uint64_t scores;

	qc_forward_plan(f, 1, part, &plan);
	scores = (qc_attention_work(most - part, part, f->threads) -
		  qc_attention_work(0, part, f->threads)) *
		 sizeof(float);
	return qc_add(plan.peak, scores, &scores) ? scores : UINT64_MAX;
}

void qc_session_plan(const struct qc_forward *f, size_t most, uint64_t memory,
		     struct qc_session_plan *plan)
{
	const uint64_t limit = memory ? memory : half_of_memory();
	uint64_t blocks, head;

	qc_kept_bytes(f, &blocks, &head);
	*plan = (struct qc_session_plan){
		.cache = cache_bytes(&f->graph, most),
		.weights = blocks + head,
		.work = work_bytes(f, most),
	};
	if (!qc_add(plan->cache, plan->work, &plan->peak)) {
		plan->peak = UINT64_MAX;
		return;
	}
	if (plan->peak < limit)
		plan->kept =
			limit - plan->peak < plan->weights ? limit - plan->peak : plan->weights;
	plan->peak += plan->kept;
}

static enum qc_status make_cache(struct qc_session *s, struct qc_err *err)
{
	const struct qc_graph *g = &s->forward->graph;

	s->keys = calloc(g->n_blocks, sizeof(*s->keys));
	s->values = calloc(g->n_blocks, sizeof(*s->values));
	if (!s->keys || !s->values)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < g->n_blocks; i++) {
		if (g->blocks[i].kv_block != i)
			continue;
		s->keys[i] = qc_floats(s->most, kv_width(g, i), 1);
		s->values[i] = qc_floats(s->most, kv_width(g, i), 1);
		if (!s->keys[i] || !s->values[i])
			return qc_no_memory(err);
	}
	return QC_OK;
}

enum qc_status qc_session_open(struct qc_session **out, struct qc_forward *f, size_t most,
			       uint64_t memory, struct qc_err *err)
{
	struct qc_session_plan plan;
	struct qc_session *session;
	enum qc_status s;

	*out = NULL;
	if (!most || most > UINT32_MAX)
		return qc_fail(err, QC_USAGE, "a session of %zu tokens is too short or too long",
			       most);
	qc_session_plan(f, most, memory, &plan);
	if (memory && plan.peak > memory)
		return qc_fail(err, QC_UNSUPPORTED,
			       "--mem-limit: %" PRIu64 " bytes of memory are needed for %zu "
			       "tokens, %" PRIu64 " are allowed",
			       plan.peak, most, memory);
	session = calloc(1, sizeof(*session));
	if (!session)
		return qc_no_memory(err);
	session->forward = f;
	session->most = most;
	s = make_cache(session, err);
	if (!s)
		s = qc_keep_weights(f, plan.kept, err);
	if (s) {
		qc_session_close(session);
		return s;
	}
	*out = session;
	return QC_OK;
}

void qc_session_close(struct qc_session *session)
{
	if (!session)
		return;
	for (uint32_t i = 0; i < session->forward->graph.n_blocks; i++) {
		if (session->keys)
			free(session->keys[i]);
		if (session->values)
			free(session->values[i]);
	}
	free(session->keys);
	free(session->values);
	free(session);
}

size_t qc_session_length(const struct qc_session *session)
{
	return session->length;
}

/* Ids at [at, at + n) of those that are appended, and the logits of those from `first` on. */
static enum qc_status append_part(struct qc_session *session, const uint32_t *ids, size_t at,
				  size_t n, size_t first, float *logits, struct qc_err *err)
{
	struct qc_forward *f = session->forward;
	const size_t step = qc_forward_logit_rows(f, n);
	enum qc_status s;

	f->session = session;
	f->past = session->length + at;
	s = qc_forward_windows(f, ids + at, 1, n, err);
	f->session = NULL;
	f->past = 0;
	for (size_t row = first > at ? first - at : 0, m; !s && row < n; row += m) {
		m = n - row < step ? n - row : step;
		s = qc_forward_logits(f, row, m, logits + (at + row - first) * f->graph.vocab, err);
	}
	return s;
}

enum qc_status qc_session_append(struct qc_session *session, const uint32_t *ids, size_t n,
				 size_t first, float *logits, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	if (!n || first > n)
		return qc_fail(err, QC_USAGE, "logits from id %zu of %zu on", first, n);
	if (n > session->most - session->length)
		return qc_fail(err, QC_USAGE,
			       "%zu tokens do not fit behind %zu: it was opened for %zu", n,
			       session->length, session->most);
	for (size_t at = 0; !s && at < n; at += PART)
		s = append_part(session, ids, at, n - at < PART ? n - at : PART, first, logits,
				err);
	if (!s)
		session->length += n;
	return s;
}

/*
 * Sessions: a text that is appended piece by piece gives the logits and the greedy tokens of the
 * same text computed as a whole, for every architecture, whatever the pieces and however much of
 * the weights stays decoded.
 */
#include <math.h>

#include "calib/forward.h"
#include "calib/kept.h"
#include "calib/session.h"
#include "formats/model.h"
#include "tests/test.h"

#define MODEL(name) "tests/data/models/" name

static const char *const paths[] = {"samples/tiny-gemma3", MODEL("tiny-llama"),
				    MODEL("tiny-gemma4"), MODEL("tiny-gpt-oss")};
enum { N_PATHS = sizeof(paths) / sizeof(*paths), PROMPT = 150, MORE = 24, ALL = PROMPT + MORE };

static struct qc_err err;

struct engine {
	struct qc_model model;
	struct qc_forward *forward;
	size_t vocab;
};

static void open_engine(struct engine *e, const char *path, int threads, uint64_t mem_limit)
{
	const struct qc_forward_options options = {.threads = threads, .mem_limit = mem_limit};

	memset(e, 0, sizeof(*e));
	NEED(!qc_model_open(&e->model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&e->forward, &e->model, &options, &err), "%s", err.text);
	e->vocab = qc_forward_graph(e->forward)->vocab;
}

static void close_engine(struct engine *e)
{
	qc_forward_close(e->forward);
	qc_model_close(&e->model);
}

static void *room(size_t n, size_t size)
{
	void *p = calloc(n, size);

	NEED(p, "no memory");
	return p;
}

static void prompt_ids(uint32_t *ids)
{
	for (size_t i = 0; i < PROMPT; i++)
		ids[i] = (uint32_t)(2 + i * 7919 % 1000);
}

static uint32_t most_probable(const float *logits, size_t n)
{
	uint32_t top = 0;

	for (size_t i = 1; i < n; i++)
		top = logits[i] > logits[top] ? (uint32_t)i : top;
	return top;
}

/* The greedy text, with all logits, every time computed from its beginning. */
static float *recompute(struct engine *e, uint32_t *ids)
{
	float *logits = room(ALL * e->vocab, sizeof(*logits));

	prompt_ids(ids);
	for (size_t n = PROMPT; n <= ALL; n++) {
		NEED(!qc_forward_windows(e->forward, ids, 1, n, &err), "%s", err.text);
		NEED(!qc_forward_logits(e->forward, 0, n, logits, &err), "%s", err.text);
		if (n < ALL)
			ids[n] = most_probable(logits + (n - 1) * e->vocab, e->vocab);
	}
	return logits;
}

/* The largest difference, as a part of the largest logit. */
static double difference(const float *a, const float *b, size_t n)
{
	double most = 0, largest = 0;

	for (size_t i = 0; i < n; i++) {
		most = fabs((double)a[i] - b[i]) > most ? fabs((double)a[i] - b[i]) : most;
		largest = fabs(a[i]) > largest ? fabs(a[i]) : largest;
		if (!(isfinite(a[i]) && isfinite(b[i])))
			return INFINITY;
	}
	return most / largest;
}

static void appending_gives_what_recomputing_gives(void)
{
	for (size_t p = 0; p < N_PATHS; p++) {
		uint32_t whole_ids[ALL], ids[ALL];
		struct qc_session *session;
		struct engine e;
		float *whole, *logits;
		double off;

		open_engine(&e, paths[p], 2, 0);
		whole = recompute(&e, whole_ids);
		logits = room(ALL * e.vocab, sizeof(*logits));
		prompt_ids(ids);
		NEED(!qc_session_open(&session, e.forward, ALL, 0, &err), "%s", err.text);
		NEED(!qc_session_append(session, ids, PROMPT, 0, logits, &err), "%s", err.text);
		for (size_t n = PROMPT; n < ALL; n++) {
			float *at = logits + (n - 1) * e.vocab;

			ids[n] = most_probable(at, e.vocab);
			NEED(!qc_session_append(session, ids + n, 1, 0, at + e.vocab, &err), "%s",
			     err.text);
		}
		CHECK(qc_session_length(session) == ALL, "%zu", qc_session_length(session));
		CHECK(!memcmp(ids, whole_ids, sizeof(ids)), "%s: other tokens", paths[p]);
		off = difference(whole, logits, ALL * e.vocab);
		CHECK(off < 1e-5, "%s: logits off by %g", paths[p], off);
		printf("%s: %d tokens, logits within %.1e\n", paths[p], ALL, off);
		qc_session_close(session);
		close_engine(&e);
		free(logits);
		free(whole);
	}
}

/* Logits of the last token, appended in pieces of these lengths, round and round. */
static float *in_pieces(struct engine *e, uint64_t memory, const size_t *pieces, size_t n_pieces)
{
	float *logits = room(e->vocab, sizeof(*logits));
	struct qc_session *session;
	uint32_t ids[PROMPT];
	size_t at = 0;

	prompt_ids(ids);
	NEED(!qc_session_open(&session, e->forward, PROMPT, memory, &err), "%s", err.text);
	for (size_t i = 0; at < PROMPT; i++) {
		const size_t left = PROMPT - at, want = pieces[i % n_pieces];
		const size_t n = want < left ? want : left;

		NEED(!qc_session_append(session, ids + at, n, at + n < PROMPT ? n : n - 1, logits,
					&err),
		     "%s", err.text);
		at += n;
	}
	qc_session_close(session);
	return logits;
}

static void pieces_do_not_matter(void)
{
	static const size_t whole[] = {PROMPT}, odd[] = {1, 7, 64, 2}, ones[] = {1};

	for (size_t p = 0; p < N_PATHS; p++) {
		struct engine e;
		float *a, *b, *c;

		open_engine(&e, paths[p], 1, 0);
		a = in_pieces(&e, 0, whole, 1);
		b = in_pieces(&e, 0, odd, 4);
		c = in_pieces(&e, 0, ones, 1);
		CHECK(difference(a, b, e.vocab) < 1e-5, "%s: %g", paths[p],
		      difference(a, b, e.vocab));
		CHECK(difference(a, c, e.vocab) < 1e-5, "%s: %g", paths[p],
		      difference(a, c, e.vocab));
		close_engine(&e);
		free(a);
		free(b);
		free(c);
	}
}

/* All weights, some or none of them; one thread or three. */
static void kept_weights_and_threads_change_no_bit(void)
{
	static const size_t odd[] = {40, 1};

	for (size_t p = 0; p < N_PATHS; p++) {
		struct qc_session_plan plan;
		float *logits[4];
		struct engine e;
		uint64_t least;

		open_engine(&e, paths[p], 1, 0);
		qc_session_plan(e.forward, PROMPT, 0, &plan);
		CHECK(plan.kept == plan.weights && plan.kept > 1 << 20, "%llu of %llu",
		      (unsigned long long)plan.kept, (unsigned long long)plan.weights);
		CHECK(plan.peak == plan.cache + plan.kept + plan.work, "%llu is not the sum",
		      (unsigned long long)plan.peak);
		least = plan.cache + plan.work;
		close_engine(&e);
		for (int i = 0; i < 4; i++) {
			const uint64_t memory[4] = {0, least, least + plan.weights / 3, 0};

			open_engine(&e, paths[p], i == 3 ? 3 : 1, 0);
			qc_session_plan(e.forward, PROMPT, memory[i], &plan);
			CHECK(!memory[i] || plan.kept == memory[i] - least, "%llu are kept",
			      (unsigned long long)plan.kept);
			logits[i] = in_pieces(&e, memory[i], odd, 2);
			CHECK(!memcmp(logits[0], logits[i], e.vocab * sizeof(float)),
			      "%s, way %d: other bits", paths[p], i);
			close_engine(&e);
		}
		for (int i = 0; i < 4; i++)
			free(logits[i]);
	}
}

/* Two texts in turn, and windows between, on the same weights. */
static void sessions_take_turns(void)
{
	struct qc_session *a, *b;
	uint32_t ids[PROMPT];
	struct engine e;
	float *one, *other, *window, *again;

	open_engine(&e, paths[1], 2, 0);
	prompt_ids(ids);
	one = room(e.vocab, sizeof(float));
	other = room(e.vocab, sizeof(float));
	window = room(e.vocab, sizeof(float));
	again = room(e.vocab, sizeof(float));
	NEED(!qc_forward_windows(e.forward, ids, 2, 8, &err) &&
		     !qc_forward_logits(e.forward, 15, 1, window, &err),
	     "%s", err.text);
	NEED(!qc_session_open(&a, e.forward, 20, 0, &err), "%s", err.text);
	NEED(!qc_session_open(&b, e.forward, 30, 0, &err), "%s", err.text);
	NEED(!qc_session_append(a, ids, 10, 10, NULL, &err), "%s", err.text);
	NEED(!qc_session_append(b, ids + 50, 30, 30, NULL, &err), "%s", err.text);
	NEED(!qc_forward_windows(e.forward, ids, 2, 8, &err) &&
		     !qc_forward_logits(e.forward, 15, 1, again, &err),
	     "%s", err.text);
	CHECK(!memcmp(window, again, e.vocab * sizeof(float)), "a session changes windows");
	NEED(!qc_session_append(a, ids + 10, 10, 9, one, &err), "%s", err.text);
	NEED(!qc_forward_windows(e.forward, ids, 1, 20, &err) &&
		     !qc_forward_logits(e.forward, 19, 1, other, &err),
	     "%s", err.text);
	CHECK(difference(other, one, e.vocab) < 1e-5, "%g", difference(other, one, e.vocab));
	CHECK(qc_session_append(a, ids, 1, 0, one, &err) == QC_USAGE && strstr(err.text, "20"),
	      "'%s'", err.text);
	CHECK(qc_session_length(a) == 20 && qc_session_length(b) == 30, "%zu",
	      qc_session_length(a));
	qc_session_close(a);
	qc_session_close(b);
	close_engine(&e);
	free(one);
	free(other);
	free(window);
	free(again);
}

static void what_cannot_be_is_refused(void)
{
	struct qc_session *session;
	uint32_t ids[2] = {2, 0};
	struct engine e;

	open_engine(&e, paths[0], 1, 0);
	CHECK(qc_session_open(&session, e.forward, 0, 0, &err) == QC_USAGE && !session, "'%s'",
	      err.text);
	CHECK(qc_session_open(&session, e.forward, 1000, 1 << 20, &err) == QC_UNSUPPORTED &&
		      strstr(err.text, "--mem-limit"),
	      "'%s'", err.text);
	NEED(!qc_session_open(&session, e.forward, 10, 0, &err), "%s", err.text);
	ids[1] = (uint32_t)e.vocab;
	CHECK(qc_session_append(session, ids, 2, 2, NULL, &err) == QC_BAD_INPUT &&
		      !qc_session_length(session),
	      "'%s'", err.text);
	CHECK(qc_session_append(session, ids, 0, 0, NULL, &err) == QC_USAGE, "'%s'", err.text);
	qc_session_close(session);
	close_engine(&e);
}

int main(void)
{
	appending_gives_what_recomputing_gives();
	pieces_do_not_matter();
	kept_weights_and_threads_change_no_bit();
	sessions_take_turns();
	what_cannot_be_is_refused();
	return test_end();
}

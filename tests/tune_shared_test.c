/* Calibration's windows that only the quantized model goes through: both models have the rest in
 * the same order, and every token is added once, to what it belongs to. */
#include "calib/tune_parts.h"
#include "tests/test.h"

enum { LENGTH = 64, CHANNELS = 4, MOST = 400 };

/* A model of one matrix with so many input channels; chunks of 2048 rows. */
struct models {
	struct qc_graph_block block;
	struct qc_forward a, b;
	struct qc_tuning_state t;
};

static void make(struct models *m, uint64_t channels, size_t n_learn, size_t n_held)
{
	memset(m, 0, sizeof(*m));
	m->block.slots[QC_SLOT_DOWN].in = channels;
	m->b.graph.blocks = &m->block;
	m->b.graph.n_blocks = 1;
	m->b.length = LENGTH;
	m->b.n_windows = n_learn + n_held;
	m->b.chunk = qc_chunk_windows(m->b.n_windows, LENGTH);
	m->b.threads = 1;
	m->t = (struct qc_tuning_state){
		.a = &m->a,
		.b = &m->b,
		.n_shared = qc_tune_shared(&m->b.graph, n_learn, LENGTH),
		.first_held = n_learn * LENGTH,
	};
}

static void half_is_enough_where_there_is_much(void)
{
	static const struct {
		uint64_t channels;
		size_t n_learn, n_shared;
	} cases[] = {
		{4, 320, 160}, {4, 300, 160}, {1024, 320, 256}, {4096, 320, 320}, {4, 8, 8},
	};
	struct models m;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		make(&m, cases[i].channels, cases[i].n_learn, 16);
		CHECK(m.t.n_shared == cases[i].n_shared, "case %zu: %zu windows, not %zu", i,
		      m.t.n_shared, cases[i].n_shared);
	}
	make(&m, 4, 320, 16);
	m.block.slots[QC_SLOT_POST_FFW_NORM].tensor = (const struct qc_tensor *)&m;
	CHECK(qc_tune_shared(&m.b.graph, 320, LENGTH) == 320, "a norm needs all windows");
}

static void both_models_have_the_same_windows(size_t n_learn, size_t n_held)
{
	const size_t n = n_learn + n_held;
	uint32_t *ids = calloc(n * LENGTH, sizeof(*ids)),
		 *ordered = calloc(n * LENGTH, sizeof(*ids));
	unsigned seen[MOST] = {0};
	size_t next = 0;
	struct models m;

	NEED(ids && ordered && n <= MOST, "no memory");
	make(&m, CHANNELS, n_learn, n_held);
	for (size_t i = 0; i < n * LENGTH; i++)
		ids[i] = (uint32_t)(i / LENGTH);
	qc_tune_order(&m.t, ids, n, LENGTH, ordered);
	for (size_t w = 0; w < n; w++) {
		seen[ordered[w * LENGTH]]++;
		CHECK(w < n_learn || ordered[w * LENGTH] == w, "window %zu is not held out", w);
	}
	for (size_t w = 0; w < n; w++)
		CHECK(seen[w] == 1, "window %zu is there %u times", w, seen[w]);
	/* as spread as the whole: no two neighbours but where the halves are uneven */
	for (size_t w = 1; w < m.t.n_shared; w++)
		CHECK(ordered[w * LENGTH] - ordered[(w - 1) * LENGTH] <= 2, "a gap at %zu", w);
	for (size_t w = 0; w < n; w += m.b.chunk) {
		const struct qc_shared_windows s = qc_tune_shared_of(&m.t, w);

		for (size_t i = 0; i < s.n; i++, next++) {
			const size_t at = w + s.at + i;

			CHECK(s.first + i == next, "window %zu comes as %zu", next, s.first + i);
			CHECK(at < m.t.n_shared ? at == next : at == next + n_learn - m.t.n_shared,
			      "window %zu of the original is window %zu", next, at);
		}
	}
	CHECK(next == m.t.n_shared + n_held, "the original has %zu windows", next);
	free(ids);
	free(ordered);
}

static void every_token_is_added_once(size_t n_learn, size_t n_held)
{
	struct models m;
	struct qc_err err;
	float *x, *y;
	double both = 0;

	make(&m, CHANNELS, n_learn, n_held);
	x = calloc(m.b.chunk * LENGTH, CHANNELS * sizeof(*x));
	y = calloc(m.b.chunk * LENGTH, CHANNELS * sizeof(*y));
	NEED(x && y, "no memory");
	NEED(!qc_tune_begin(&m.t, CHANNELS, 0, &err), "%s", err.text);
	for (size_t w = 0; w < m.b.n_windows; w += m.b.chunk) {
		const struct qc_shared_windows s = qc_tune_shared_of(&m.t, w);
		const size_t left = m.b.n_windows - w, n = left < m.b.chunk ? left : m.b.chunk;

		for (size_t i = 0; i < n * LENGTH * CHANNELS; i++) {
			x[i] = 1;
			y[i] = 3;
		}
		qc_tune_add(&m.t, w * LENGTH, x, n * LENGTH,
			    &(struct qc_originals){.at = s.at * LENGTH, .y = y});
	}
	CHECK(m.t.learn.tokens == n_learn * LENGTH && m.t.held.tokens == n_held * LENGTH,
	      "%llu and %llu tokens", (unsigned long long)m.t.learn.tokens,
	      (unsigned long long)m.t.held.tokens);
	both = 2.0 * (double)(m.t.n_shared * LENGTH);
	CHECK((double)m.t.learn.h[1] == (double)(n_learn * LENGTH), "H is %g",
	      (double)m.t.learn.h[1]);
	CHECK((double)m.t.learn.d[1] == both, "D is %g, not %g", (double)m.t.learn.d[1], both);
	CHECK((double)m.t.held.d[1] == 2.0 * (double)(n_held * LENGTH), "D held out is %g",
	      (double)m.t.held.d[1]);
	qc_tune_end(&m.t);
	free(x);
	free(y);
}

int main(void)
{
	half_is_enough_where_there_is_much();
	both_models_have_the_same_windows(320, 16);
	both_models_have_the_same_windows(301, 43);
	both_models_have_the_same_windows(8, 1);
	every_token_is_added_once(320, 16);
	every_token_is_added_once(301, 43);
	every_token_is_added_once(8, 1);
	return test_end();
}

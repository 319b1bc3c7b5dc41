/* The way back through the engine against differences of the way forth, and rows that make up for
 * each other. */
#include <math.h>

#include "calib/backward.h"
#include "calib/coupled.h"
#include "calib/linalg.h"
#include "formats/model.h"
#include "quant/fast.h"
#include "quant/types.h"
#include "tests/test.h"

static uint32_t state = 1;

/* In [-1, 1). */
static float noise(void)
{
	state = state * 1664525u + 1013904223u;
	return (float)(state >> 8) * 0x1p-23f - 1;
}

static float *noises(size_t n)
{
	float *x = malloc(n * sizeof(*x));

	NEED(x, "no memory");
	for (size_t i = 0; i < n; i++)
		x[i] = noise();
	return x;
}

static double product(const float *x, const float *y, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)y[i];
	return sum;
}

/* `gradient` is what a difference says, but for what f32 and the step leave. */
static void check_gradient(const char *what, size_t i, double gradient, double difference,
			   double scale)
{
	CHECK(fabs(gradient - difference) < 0.01 * fabs(difference) + 0.0003 * scale,
	      "%s, element %zu: %g, by a difference %g", what, i, gradient, difference);
}

static void a_norm_goes_back(void)
{
	enum { N = 24, ROWS = 3 };
	float *x = noises(ROWS * N), *w = noises(N), *d = noises(ROWS * N), y[ROWS * N];
	float dx[ROWS * N], twice[ROWS * N];

	qc_norm_back(x, ROWS, N, w, 1e-6f, d, dx, false, 2);
	memcpy(twice, dx, sizeof(dx));
	qc_norm_back(x, ROWS, N, w, 1e-6f, d, twice, true, 2);
	for (size_t i = 0; i < ROWS * N; i++) {
		const float was = x[i];
		double up, down;

		CHECK(fabsf(twice[i] - 2 * dx[i]) < 1e-5f, "added: %g, once %g", (double)twice[i],
		      (double)dx[i]);
		x[i] = was + 0.01f;
		qc_rms_norm(x, ROWS, N, w, 1e-6f, y, 1);
		up = product(y, d, ROWS * N);
		x[i] = was - 0.01f;
		qc_rms_norm(x, ROWS, N, w, 1e-6f, y, 1);
		down = product(y, d, ROWS * N);
		x[i] = was;
		check_gradient("norm", i, (double)dx[i], (up - down) / 0.02, 1);
	}
	free(x);
	free(w);
	free(d);
}

static void attention_goes_back(void)
{
	enum { SIZE = 8, HEADS = 4, KV = 2, LENGTH = 7, WINDOWS = 2 };
	enum { NQ = WINDOWS * LENGTH * HEADS * SIZE, NK = WINDOWS * LENGTH * KV * SIZE };
	float *q = noises(NQ), *k = noises(NK), *v = noises(NK), *d = noises(NQ), out[NQ];
	float dq[NQ], dk[NK], dv[NK], *work = noises(qc_attention_work(0, LENGTH, 1));
	const struct qc_attention a = {.q = q,
				       .k = k,
				       .v = v,
				       .out = out,
				       .n_windows = WINDOWS,
				       .length = LENGTH,
				       .heads = HEADS,
				       .heads_kv = KV,
				       .head_size = SIZE,
				       .window = 3,
				       .scale = 0.7f};
	const struct {
		const char *name;
		float *x, *gradient;
		size_t n;
	} parts[] = {{"queries", q, dq, NQ}, {"keys", k, dk, NK}, {"values", v, dv, NK}};
	struct qc_err err;

	NEED(!qc_attend_back(&a, d, dq, dk, dv, 2, &err), "%s", err.text);
	for (size_t p = 0; p < 3; p++)
		for (size_t i = 0; i < parts[p].n; i++) {
			float *x = &parts[p].x[i], was = *x;
			double up, down;

			*x = was + 0.01f;
			qc_attention(&a, work, 1);
			up = product(out, d, NQ);
			*x = was - 0.01f;
			qc_attention(&a, work, 1);
			down = product(out, d, NQ);
			*x = was;
			check_gradient(parts[p].name, i, (double)parts[p].gradient[i],
				       (up - down) / 0.02, 0.5);
		}
	free(q);
	free(k);
	free(v);
	free(d);
	free(work);
}

static enum qc_status count_gradients(void *user, const struct qc_weight *weight, float *d,
				      size_t rows, struct qc_err *err)
{
	(void)d;
	(void)err;
	*(size_t *)user += weight->out * rows;
	return QC_OK;
}

/* What a half makes of x. */
static void half_of(struct qc_forward *f, const struct qc_half *half, const float *x, float *y)
{
	const size_t n = f->rows * f->graph.width;
	struct qc_err err;

	memcpy(f->x.data, x, n * sizeof(*x));
	NEED(!qc_half_run(half, 0, &err), "%s", err.text);
	memcpy(y, f->x.data, n * sizeof(*x));
}

/* Along some directions, through everything that is in the half. */
static void a_half_goes_back(struct qc_forward *f, uint32_t block, const struct qc_half_kind *kind,
			     qc_half_back_fn *back, const char *what)
{
	const size_t width = f->graph.width, n = f->rows * width;
	float *x = malloc(n * sizeof(*x)), *y = malloc(n * sizeof(*y)),
	      *dx = malloc(n * sizeof(*dx));
	float *d = noises(n), *moved = malloc(n * sizeof(*moved));
	size_t told = 0;
	const struct qc_gradients_to to = {count_gradients, &told};
	struct qc_half half = {0};
	struct qc_err err;

	NEED(x && y && dx && moved, "no memory");
	memcpy(x, f->x.data, n * sizeof(*x));
	memcpy(dx, d, n * sizeof(*d));
	NEED(!back(f, block, x, dx, f->rows, &to, &err), "%s", err.text);
	CHECK(told >= 3 * f->rows * width / 2, "%s: gradients at %zu outputs", what, told);
	NEED(!qc_half_open(f, block, kind, &half, &err), "%s", err.text);
	for (size_t k = 0; k < 8; k++) {
		const float step = 1e-2f;
		float *along = noises(n);
		double up, down;

		/* a position at a time, in the size of what is there */
		for (size_t i = 0; i < n; i++)
			along[i] = i / width % 8 == k ? along[i] * fabsf(x[i]) : 0;
		for (size_t i = 0; i < n; i++)
			moved[i] = x[i] + step * along[i];
		half_of(f, &half, moved, y);
		up = product(y, d, n);
		for (size_t i = 0; i < n; i++)
			moved[i] = x[i] - step * along[i];
		half_of(f, &half, moved, y);
		down = product(y, d, n);
		check_gradient(what, k, product(dx, along, n), (up - down) / (2 * (double)step),
			       sqrt(product(along, along, n)));
		free(along);
	}
	half_of(f, &half, x, y); /* the next one goes on from here */
	qc_half_close(&half);
	free(x);
	free(y);
	free(dx);
	free(d);
	free(moved);
}

static void halves_go_back(const char *path)
{
	const struct qc_forward_options options = {.threads = 2};
	uint32_t ids[2 * 8];
	struct qc_model model;
	struct qc_forward *f;
	struct qc_err err;

	for (size_t i = 0; i < 16; i++)
		ids[i] = (uint32_t)(300 + 17 * i);
	NEED(!qc_model_open(&model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&f, &model, &options, &err), "%s", err.text);
	NEED(!qc_fisher_supports(&f->graph, &err), "%s", err.text);
	NEED(!qc_forward_start(f, ids, 2, 8, &err), "%s", err.text);
	for (uint32_t i = 0; i < 2; i++) {
		a_half_goes_back(f, i, &qc_half_attention, qc_attention_back, "attention");
		a_half_goes_back(f, i, &qc_half_feed_forward, qc_feed_forward_back, "feed forward");
	}
	qc_forward_close(f);
	qc_model_close(&model);
}

/* What is learnt are second moments, the same ones by any number of threads. */
static void gradients_are_learnt(const char *path)
{
	uint32_t ids[4 * 32];
	struct qc_fisher one = {0}, three = {0}, *const both[] = {&one, &three};
	struct qc_model model;
	struct qc_forward *f;
	struct qc_err err;
	size_t n_known = 0;

	for (size_t i = 0; i < 128; i++)
		ids[i] = (uint32_t)(300 + 5 * i);
	for (int i = 0; i < 2; i++) {
		const struct qc_forward_options options = {.threads = i ? 3 : 1};

		NEED(!qc_model_open(&model, path, &err), "%s", err.text);
		NEED(!qc_forward_open(&f, &model, &options, &err), "%s", err.text);
		NEED(!qc_fisher_learn(both[i], f, ids, 4, 32, &err), "%s", err.text);
		for (uint32_t b = 0; i && b < f->graph.n_blocks; b++)
			for (int slot = 0; slot < QC_SLOTS; slot++) {
				const size_t out = f->graph.blocks[b].slots[slot].out;
				const size_t n = out < QC_FISHER_ROWS ? out : QC_FISHER_ROWS;
				const float *m = qc_fisher_block(&one, b, (enum qc_slot)slot, 0);
				const float *o = qc_fisher_block(&three, b, (enum qc_slot)slot, 0);
				bool good = true;

				if (!m)
					continue;
				n_known++;
				for (size_t r = 0; r < n; r++)
					for (size_t c = 0; c < n; c++)
						good = good && isfinite(m[r * n + c]) &&
						       m[r * n + c] == m[c * n + r] &&
						       m[r * n + r] > 0;
				CHECK(good, "block %u, slot %d: no second moments", b, slot);
				CHECK(!memcmp(m, o, n * n * sizeof(*m)),
				      "block %u, slot %d: other threads, other sums", b, slot);
			}
		qc_forward_close(f);
		qc_model_close(&model);
	}
	CHECK(n_known >= 4 * 7, "%zu matrices", n_known);
	qc_fisher_clear(&one);
	qc_fisher_clear(&three);
}

/* Of the last matrix of a model whose outputs join the stream as they are, the sum of the squares
 * of the gradients, y drawn once for each token, is near what all y together give: with g_y the
 * gradient of the logit of y, the sum of p_y |g_y|^2 less |sum of p_y g_y|^2. */
static void draws_are_those_of_the_model(const char *path)
{
	const struct qc_forward_options options = {.threads = 2};
	uint32_t ids[8 * 32];
	struct qc_matrix norm = {0};
	struct qc_fisher fisher = {0};
	struct qc_model model;
	struct qc_forward *f;
	struct qc_err err;
	double drawn = 0, expected = 0;
	const float *m;
	size_t n, vocab;
	float *x, *logits, *each, *head;

	for (size_t i = 0; i < 256; i++)
		ids[i] = (uint32_t)(300 + 2 * i);
	NEED(!qc_model_open(&model, path, &err), "%s", err.text);
	NEED(!qc_forward_open(&f, &model, &options, &err), "%s", err.text);
	NEED(!qc_fisher_learn(&fisher, f, ids, 8, 32, &err), "%s", err.text);
	n = f->graph.width;
	vocab = f->graph.vocab;
	m = qc_fisher_block(&fisher, f->graph.n_blocks - 1, QC_SLOT_DOWN, 0);
	NEED(m && n == QC_FISHER_ROWS, "%zu outputs", n);
	for (size_t i = 0; i < n; i++)
		drawn += (double)m[i * n + i];
	NEED(!qc_forward_start(f, ids, 8, 32, &err), "%s", err.text);
	for (uint32_t i = 0; i < f->graph.n_blocks; i++)
		NEED(!qc_block_run(f, i, &err), "%s", err.text);
	x = malloc(f->rows * n * sizeof(*x));
	logits = malloc(f->rows * vocab * sizeof(*logits));
	each = malloc(vocab * n * sizeof(*each));
	head = malloc(vocab * n * sizeof(*head));
	NEED(x && logits && each && head, "no memory");
	memcpy(x, f->x.data, f->rows * n * sizeof(*x));
	NEED(!qc_forward_finish(f, &err), "%s", err.text);
	NEED(!qc_forward_logits(f, 0, f->rows, logits, &err), "%s", err.text);
	NEED(!qc_matrix_load(f, &f->graph.output_norm, 0, &norm, &err), "%s", err.text);
	NEED(!qc_weight_read(&f->graph.head, 0, head, 1, &err), "%s", err.text);
	for (size_t r = 0; r < f->rows; r++) {
		const float *l = logits + r * vocab;
		double sum = 0, mean[QC_FISHER_ROWS] = {0};

		for (size_t y = 0; y < vocab; y++)
			sum += exp((double)l[y]);
		for (size_t y = 0; y < vocab; y++) {
			const double p = exp((double)l[y]) / sum;
			float *g = each + y * n;

			qc_norm_back(x + r * n, 1, n, norm.w, f->graph.eps, head + y * n, g, false,
				     1);
			expected += p * product(g, g, n);
			for (size_t i = 0; i < n; i++)
				mean[i] += p * (double)g[i];
		}
		for (size_t i = 0; i < n; i++)
			expected -= mean[i] * mean[i];
	}
	CHECK(fabs(drawn - expected) < 0.2 * expected, "squares of gradients %g, expected %g",
	      drawn, expected);
	qc_matrix_clear(&norm);
	qc_fisher_clear(&fisher);
	qc_forward_close(f);
	qc_model_close(&model);
	free(x);
	free(logits);
	free(each);
	free(head);
}

enum { COLS = 64, ROWS = 300, FIRST = QC_FISHER_ROWS, REST = ROWS - FIRST };

/* Of each block of M, [n, n], the trace of M e H e'. */
static double cost(const struct qc_curvature *c, const float *m, const float *target,
		   const uint8_t *blocks)
{
	float *e = malloc(ROWS * COLS * sizeof(*e)), *eh = malloc(ROWS * COLS * sizeof(*e));
	double sum = 0;

	NEED(e && eh, "no memory");
	qc_q4_0.dequantize(blocks, e, ROWS * COLS / qc_q4_0.block_elems);
	for (size_t i = 0; i < ROWS * COLS; i++)
		e[i] = target[i] - e[i];
	qc_gemm_nn(ROWS, COLS, COLS, 1, e, COLS, c->h, COLS, 0, eh, COLS);
	for (size_t i = 0; i < ROWS; i++)
		for (size_t j = 0; j < ROWS; j++)
			if (i / FIRST == j / FIRST) {
				const size_t at = i / FIRST * FIRST, n = at ? REST : FIRST;

				sum += (double)m[at * FIRST + (i - at) * n + j - at] *
				       product(e + i * COLS, eh + j * COLS, COLS);
			}
	free(e);
	free(eh);
	return sum;
}

static void rows_make_up_for_each_other(void)
{
	const struct qc_gptq_options one = {qc_grid_of(&qc_q4_0), 1, QC_ISA_SCALAR, 3, false};
	struct qc_gptq_options three = one;
	const size_t bytes = ROWS * COLS / 32 * 18;
	float *h = noises(COLS * COLS), *m = malloc((FIRST * FIRST + REST * REST) * sizeof(*m));
	float *target = noises(ROWS * COLS), *common = noises(ROWS * 8);
	uint8_t *alone = malloc(bytes), *together = malloc(bytes), *again = malloc(bytes);
	struct qc_curvature c = {0};
	struct qc_err err;
	double before, after;

	NEED(m && alone && together && again, "no memory");
	for (size_t i = 0; i < COLS; i++)
		for (size_t j = 0; j < COLS; j++)
			h[i * COLS + j] = i == j ? 1.5f : 0.3f;
	NEED(!qc_curvature_init(&c, COLS, h, &err), "%s", err.text);
	/* a few directions that count, and little else */
	for (size_t i = 0; i < ROWS; i++)
		for (size_t j = 0; j < ROWS; j++)
			if (i / FIRST == j / FIRST) {
				const size_t at = i / FIRST * FIRST, n = at ? REST : FIRST;

				m[at * FIRST + (i - at) * n + j - at] =
					(float)product(common + i * 8, common + j * 8, 8) +
					(i == j ? 0.1f : 0);
			}
	three.threads = 3;
	NEED(!qc_gptq(&c, &one, target, ROWS, alone, &err), "%s", err.text);
	NEED(!qc_gptq_coupled(&c, &one, m, target, ROWS, together, &err), "%s", err.text);
	NEED(!qc_gptq_coupled(&c, &three, m, target, ROWS, again, &err), "%s", err.text);
	before = cost(&c, m, target, alone);
	after = cost(&c, m, target, together);
	CHECK(after < 0.6 * before, "together %g, alone %g", after, before);
	CHECK(!memcmp(together, again, bytes), "other threads, other bytes");
	m[3] = NAN;
	CHECK(qc_gptq_coupled(&c, &one, m, target, ROWS, again, &err) == QC_BAD_INPUT,
	      "NaN is taken");
	qc_curvature_clear(&c);
	free(m);
	free(target);
	free(common);
	free(alone);
	free(together);
	free(again);
}

int main(void)
{
	qc_linalg_start();
	a_norm_goes_back();
	attention_goes_back();
	halves_go_back("samples/tiny-gemma3");
	halves_go_back("tests/data/models/tiny-llama");
	gradients_are_learnt("samples/tiny-gemma3");
	draws_are_those_of_the_model("tests/data/models/tiny-llama");
	rows_make_up_for_each_other();
	return test_end();
}

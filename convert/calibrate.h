/* qconv calibrate: a text through a model into an importance matrix, with a state on disk to go on
 * from; and importance matrices put together. */
#ifndef QC_CONVERT_CALIBRATE_H
#define QC_CONVERT_CALIBRATE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/collect.h"
#include "calib/imatrix.h"
#include "formats/model.h"

/* Zeroed, then set what matters. */
struct qc_calibrate_options {
	const char *model; /* NULL: only `inputs` are put together */
	const char *text;  /* NULL with no model */
	const char *output;
	const char *const *inputs; /* importance matrices to add */
	size_t n_inputs;
	size_t length, most; /* tokens in a window (0: 512), windows at most (0: all) */
	bool full;	     /* windows as qc_windows_full() cuts them, not qc_windows_halves() */
	bool head;	     /* the output head's input too */
	bool legacy;	     /* write the legacy form; also where the output ends in .dat */
	bool force;	     /* replace an existing output */
	bool resume;	     /* go on from the state that an interrupted run has left */
	int threads;	     /* 0: one per processor */
	uint64_t mem_limit;  /* bytes of activations, weights and sums; 0: 1 GiB, where possible */
	const volatile sig_atomic_t *stop;
	/* How far it is, 0 to 1; NULL. */
	void (*progress)(void *user, double part, size_t windows_done, size_t n_windows);
	void *user;
};

/* A calibration with its model open and its text cut. A zeroed struct is closed. */
struct qc_calibration {
	const struct qc_calibrate_options *options;
	struct qc_model model;
	struct qc_forward *forward; /* NULL: there is no model */
	struct qc_windows windows;
	struct qc_stats stats;
	struct qc_imatrix im; /* the result of qc_calibrate_run() */
	struct qc_stats_state state;
	char *state_path;
	size_t resumed; /* windows that the state had */
	uint64_t memory;
	size_t group_first, group; /* that is under way */
};

/* Open everything and check it: the options against each other, the text (QC_BAD_INPUT: empty, no
 * text, not UTF-8, too short), the output (QC_REFUSED: it exists), the state, --mem-limit
 * (QC_UNSUPPORTED). Writes nothing. */
QC_MUST_CHECK
enum qc_status qc_calibrate_open(struct qc_calibration *c,
				 const struct qc_calibrate_options *options, struct qc_err *err);
void qc_calibrate_close(struct qc_calibration *c);

/* What it will take, beside the program and the model's tables. */
void qc_calibrate_memory(const struct qc_calibration *c, struct qc_collect_plan *plan);

/* Collect, add the inputs, write the output whole. After QC_INTERRUPTED the state is on disk if any
 * group was finished. */
QC_MUST_CHECK
enum qc_status qc_calibrate_run(struct qc_calibration *c, struct qc_err *err);

/* Matrix products of the model, as tensors, that no window has gone through: the next one behind
 * `*at` (begins with 0); NULL at the end. */
const struct qc_tensor *qc_calibrate_unseen(const struct qc_calibration *c, size_t *at);

#endif

/*
 * The readers of importance matrices and of calibration states on any bytes. What they accept can
 * be used: weights are positive, and written in either form it is read again.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calib/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int condition)
{
	if (!condition)
		abort();
}

/* A file that has no name; its path for opening. */
static int memory_file(const uint8_t *data, size_t size, char *path, size_t path_size)
{
	int fd = memfd_create("imatrix", 0);

	need(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, path_size, "/proc/self/fd/%d", fd);
	return fd;
}

static void use_weights(struct qc_imatrix *im, struct qc_imatrix_entry *e)
{
	float *weights = malloc(e->cols * sizeof(*weights));
	struct qc_err err = {0};

	need(weights != NULL);
	for (uint64_t m = 0; m < e->n; m++) {
		qc_imatrix_weights(e, m, weights, NULL);
		for (uint64_t c = 0; c < e->cols; c++)
			need(weights[c] > 0 && isfinite(weights[c]));
	}
	free(weights);
	if (e->n == 1 && e->cols % 2 == 0)
		need(!qc_imatrix_fit(im, e, e->cols / 2, 2, &err));
}

static void write_again(const struct qc_imatrix *im, enum qc_imatrix_form form)
{
	struct qc_imatrix again = {0};
	struct qc_err err = {0};
	uint8_t *bytes;
	char path[64];
	size_t size;
	int fd;

	/* names too long for the one, counts too large for the other */
	if (qc_imatrix_bytes(im, form, &bytes, &size, &err))
		return;
	fd = memory_file(bytes, size, path, sizeof(path));
	if (!qc_imatrix_read(&again, path, &err))
		need(again.n_entries == im->n_entries);
	else /* means times calls may be beyond f32 */
		need(form == QC_IMATRIX_DAT);
	qc_imatrix_clear(&again);
	free(bytes);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_imatrix im = {0}, sum = {0};
	struct qc_stats stats = {0};
	struct qc_stats_state state;
	struct qc_err err = {0};
	char path[64];
	int fd = memory_file(data, size, path, sizeof(path));

	if (!qc_stats_load(&stats, &state, path, &err))
		need(stats.n > 0 || state.group > 0);
	qc_stats_clear(&stats);
	if (!qc_imatrix_read(&im, path, &err)) {
		need(im.n_entries > 0);
		write_again(&im, QC_IMATRIX_GGUF);
		write_again(&im, QC_IMATRIX_DAT);
		(void)!qc_imatrix_merge(&sum, &im, 512, &err);
		for (size_t i = 0; i < im.n_entries; i++)
			use_weights(&im, &im.entries[i]);
	}
	qc_imatrix_clear(&sum);
	qc_imatrix_clear(&im);
	close(fd);
	return 0;
}

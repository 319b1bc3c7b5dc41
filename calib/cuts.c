/* Pairs of neighbouring characters, hashed into a bitmap of at most 512 KiB. */
#include "calib/cuts.h"

#include <stdlib.h>

#include "base/utf8.h"

#define MIN_LOG_BITS  10u
#define MAX_LOG_BITS  22u
#define BITS_PER_PAIR 8u
#define ILL_FORMED    0x110000u

uint32_t qc_next_character(const char *text, size_t len, size_t *n)
{
	const uint8_t *b = (const uint8_t *)text;

	*n = 1;
	if (b[0] < 0x80)
		return b[0] == ' ' ? QC_SPACE_CODE : b[0];
	*n = qc_utf8_length(text, len);
	if (*n == 2)
		return (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
	if (*n == 3)
		return (b[0] & 0x0fu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
	if (*n == 4)
		return (b[0] & 0x07u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 |
		       (b[3] & 0x3fu);
	*n = 1;
	return ILL_FORMED + b[0];
}

enum qc_status qc_cuts_init(struct qc_cuts *cuts, uint64_t n, struct qc_err *err)
{
	unsigned log_bits = MIN_LOG_BITS;

	while (log_bits < MAX_LOG_BITS && (uint64_t)1 << log_bits < n * BITS_PER_PAIR)
		log_bits++;
	cuts->bits = calloc((size_t)1 << (log_bits - 6), sizeof(*cuts->bits));
	cuts->shift = 64 - log_bits;
	return cuts->bits ? QC_OK : qc_no_memory(err);
}

void qc_cuts_join_text(struct qc_cuts *cuts, const char *text, size_t len)
{
	uint32_t left = 0;

	for (size_t at = 0, n; at < len; at += n) {
		const uint32_t code = qc_next_character(text + at, len - at, &n);

		if (at)
			qc_cuts_join(cuts, left, code);
		left = code;
	}
}

void qc_cuts_clear(struct qc_cuts *cuts)
{
	free(cuts->bits);
	*cuts = (struct qc_cuts){0};
}

/* A bounded, buffered, forward reader over a range of a file: every length is checked against what
 * is left before anything is allocated or read. Handles either byte order. */
#ifndef QC_BASE_READER_H
#define QC_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "base/file.h"

struct qc_reader {
	const struct qc_file *file;
	uint64_t pos; /* file offset of the next byte */
	uint64_t end; /* one past the last byte that may be read */
	bool big_endian;
	/* private: a window of the file */
	uint8_t *window;
	uint64_t window_start;
	size_t window_size;
};

/* `end` must not exceed the file's size. */
void qc_reader_init(struct qc_reader *reader, const struct qc_file *file, uint64_t pos,
		    uint64_t end);
void qc_reader_clear(struct qc_reader *reader);

static inline uint64_t qc_reader_left(const struct qc_reader *reader)
{
	return reader->end - reader->pos;
}

/* Each fails with QC_BAD_INPUT "truncated: ... needs N bytes at offset O, M are left" (`what` names
 * the item). */
QC_MUST_CHECK
enum qc_status qc_read_u8(struct qc_reader *reader, uint8_t *out, const char *what,
			  struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_read_u16(struct qc_reader *reader, uint16_t *out, const char *what,
			   struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_read_u32(struct qc_reader *reader, uint32_t *out, const char *what,
			   struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_read_u64(struct qc_reader *reader, uint64_t *out, const char *what,
			   struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_read_bytes(struct qc_reader *reader, void *dst, uint64_t size, const char *what,
			     struct qc_err *err);

#endif

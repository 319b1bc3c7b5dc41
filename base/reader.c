/* Small items are served from a window of the file; items larger than it are read straight into
 * place. */
#include "base/reader.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW ((size_t)64 << 10)

void qc_reader_init(struct qc_reader *reader, const struct qc_file *file, uint64_t pos,
		    uint64_t end)
{
	*reader = (struct qc_reader){.file = file, .pos = pos, .end = end};
}

void qc_reader_clear(struct qc_reader *reader)
{
	free(reader->window);
	*reader = (struct qc_reader){0};
}

/* How many of the bytes from pos on the window holds. */
static size_t reader_ready(const struct qc_reader *reader)
{
	uint64_t skip = reader->pos - reader->window_start;

	if (reader->pos < reader->window_start || skip >= reader->window_size)
		return 0;
	return reader->window_size - (size_t)skip;
}

static void reader_take(struct qc_reader *reader, uint8_t *dst, size_t size)
{
	if (size)
		memcpy(dst, reader->window + (reader->pos - reader->window_start), size);
	reader->pos += size;
}

static enum qc_status reader_refill(struct qc_reader *reader, struct qc_err *err)
{
	uint64_t left = qc_reader_left(reader);
	size_t size = left < WINDOW ? (size_t)left : WINDOW;
	enum qc_status s;

	if (!reader->window)
		reader->window = malloc(WINDOW);
	if (!reader->window)
		return qc_no_memory(err);
	reader->window_size = 0; /* nothing, should the read fail half way */
	s = qc_file_read(reader->file, reader->pos, reader->window, size, err);
	if (s)
		return s;
	reader->window_start = reader->pos;
	reader->window_size = size;
	return QC_OK;
}

enum qc_status qc_read_bytes(struct qc_reader *reader, void *dst, uint64_t size, const char *what,
			     struct qc_err *err)
{
	uint64_t left = reader->pos < reader->end ? qc_reader_left(reader) : 0;
	uint8_t *to = dst;
	size_t ready, rest;
	enum qc_status s;

	if (size > left || size > SIZE_MAX)
		return qc_fail(err, QC_BAD_INPUT,
			       "truncated: %s needs %llu bytes at offset %llu, %llu are left", what,
			       (unsigned long long)size, (unsigned long long)reader->pos,
			       (unsigned long long)left);
	ready = reader_ready(reader);
	if (ready > size)
		ready = (size_t)size;
	reader_take(reader, to, ready);
	rest = (size_t)size - ready;
	if (!rest)
		return QC_OK;
	if (rest >= WINDOW) {
		s = qc_file_read(reader->file, reader->pos, to + ready, rest, err);
		if (!s)
			reader->pos += rest;
		return s;
	}
	s = reader_refill(reader, err);
	if (!s)
		reader_take(reader, to + ready, rest);
	return s;
}

/* An unsigned integer of `size` bytes in the file's byte order. */
static enum qc_status read_uint(struct qc_reader *reader, size_t size, uint64_t *out,
				const char *what, struct qc_err *err)
{
	uint8_t bytes[8];
	enum qc_status s = qc_read_bytes(reader, bytes, size, what, err);
	uint64_t value = 0;

	if (s)
		return s;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | bytes[reader->big_endian ? i : size - 1 - i];
	*out = value;
	return QC_OK;
}

enum qc_status qc_read_u8(struct qc_reader *reader, uint8_t *out, const char *what,
			  struct qc_err *err)
{
	return qc_read_bytes(reader, out, 1, what, err);
}

enum qc_status qc_read_u16(struct qc_reader *reader, uint16_t *out, const char *what,
			   struct qc_err *err)
{
	uint64_t value;
	enum qc_status s = read_uint(reader, 2, &value, what, err);

	if (!s)
		*out = (uint16_t)value;
	return s;
}

enum qc_status qc_read_u32(struct qc_reader *reader, uint32_t *out, const char *what,
			   struct qc_err *err)
{
	uint64_t value;
	enum qc_status s = read_uint(reader, 4, &value, what, err);

	if (!s)
		*out = (uint32_t)value;
	return s;
}

enum qc_status qc_read_u64(struct qc_reader *reader, uint64_t *out, const char *what,
			   struct qc_err *err)
{
	return read_uint(reader, 8, out, what, err);
}

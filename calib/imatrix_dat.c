/* The legacy form of the importance matrix, which has no magic number. */
#include <string.h>

#include "base/bytes.h"
#include "base/reader.h"
#include "calib/imatrix_parts.h"

/* ours; names of tensors have at most 63 bytes */
#define MAX_NAME    255
#define MAX_DATASET 65535
/* length, a name of one byte, n_calls, n_values, one value */
#define MIN_ENTRY_BYTES 17

static enum qc_status not_this(const struct qc_file *file, struct qc_err *err)
{
	uint8_t head[512];
	const size_t size = file->size < sizeof(head) ? (size_t)file->size : sizeof(head);
	const char *looks;

	if (qc_file_read(file, 0, head, size, err))
		return err->status;
	looks = size ? qc_file_looks_like(head, size) : "empty";
	return looks ? qc_fail(err, QC_BAD_INPUT, "no imatrix, it looks like %s", looks)
		     : qc_fail(err, QC_BAD_INPUT,
			       "no imatrix: neither a GGUF file nor of the legacy form");
}

/* A length or count: i32 from `least` to `most`. */
static enum qc_status read_number(struct qc_reader *reader, uint32_t least, uint64_t most,
				  uint32_t *value, const char *what, struct qc_err *err)
{
	if (qc_read_u32(reader, value, what, err))
		return err->status;
	if ((int32_t)*value < (int32_t)least || *value > most)
		return qc_fail(err, QC_BAD_INPUT, "%s is %d, %u to %llu are possible", what,
			       (int32_t)*value, least, (unsigned long long)most);
	return QC_OK;
}

static enum qc_status read_name(struct qc_reader *reader, char *name, struct qc_err *err)
{
	uint32_t len;
	enum qc_status s = read_number(reader, 1, MAX_NAME, &len, "a name's length", err);

	if (!s)
		s = qc_read_bytes(reader, name, len, "a name", err);
	if (s)
		return s;
	name[len] = 0;
	if (strlen(name) != len)
		return qc_fail(err, QC_BAD_INPUT, "the name '%s' has a NUL in it", name);
	return QC_OK;
}

static enum qc_status read_values(struct qc_reader *reader, float *values, uint32_t n,
				  struct qc_err *err)
{
	enum qc_status s = qc_read_bytes(reader, values, (uint64_t)n * sizeof(*values),
					 "an entry's values", err);

	for (uint32_t i = 0; !s && i < n; i++)
		values[i] = qc_bits_f32(qc_le32(&values[i]));
	return s;
}

/* What follows the name. */
static enum qc_status read_entry(struct qc_imatrix *im, struct qc_reader *reader, const char *name,
				 struct qc_err *err)
{
	struct qc_imatrix_entry *entry;
	uint32_t n_calls = 0, n_values = 0;
	enum qc_status s = read_number(reader, 0, INT32_MAX, &n_calls, "n_calls", err);

	if (!s)
		s = read_number(reader, 1, INT32_MAX, &n_values, "n_values", err);
	if (!s && n_values > qc_reader_left(reader) / sizeof(float))
		s = qc_fail(err, QC_BAD_INPUT,
			    "truncated: entry '%s' has %u values, %llu bytes are left", name,
			    n_values, (unsigned long long)qc_reader_left(reader));
	if (!s)
		s = qc_imatrix_add(im, name, n_values, 1, false, &entry, err);
	if (!s)
		s = read_values(reader, entry->sums, n_values, err);
	if (!s)
		s = qc_imatrix_check(entry, "value", entry->sums, n_values, err);
	if (!s) /* without calls the values are taken as they are */
		entry->counts[0] = n_calls ? (float)n_calls : 1;
	return s;
}

/* Newer files end with the number of chunks and the text's name. */
static enum qc_status read_trailer(struct qc_imatrix *im, struct qc_reader *reader,
				   struct qc_err *err)
{
	char name[MAX_DATASET];
	uint32_t len = 0;
	enum qc_status s;

	if (!qc_reader_left(reader))
		return QC_OK;
	s = read_number(reader, 0, INT32_MAX, &im->n_chunks, "the number of chunks", err);
	if (!s)
		s = read_number(reader, 0, MAX_DATASET, &len, "the length of the dataset's name",
				err);
	if (!s)
		s = qc_read_bytes(reader, name, len, "the dataset's name", err);
	if (!s && len)
		s = qc_imatrix_add_dataset(im, name, len, err);
	if (!s && qc_reader_left(reader))
		s = qc_fail(err, QC_BAD_INPUT, "%llu bytes behind its end",
			    (unsigned long long)qc_reader_left(reader));
	return s;
}

enum qc_status qc_imatrix_read_dat(struct qc_imatrix *im, const struct qc_file *file,
				   struct qc_err *err)
{
	struct qc_reader reader;
	uint32_t n = 0;
	enum qc_status s;

	if (file->size < 4 + MIN_ENTRY_BYTES)
		return not_this(file, err);
	qc_reader_init(&reader, file, 0, file->size);
	s = qc_read_u32(&reader, &n, "the number of entries", err);
	if (!s && (!n || n > (file->size - 4) / MIN_ENTRY_BYTES))
		s = not_this(file, err);
	for (uint32_t i = 0; !s && i < n; i++) {
		char name[MAX_NAME + 1];

		s = read_name(&reader, name, err);
		if (s == QC_BAD_INPUT && !i) {
			s = not_this(file, err);
			break;
		}
		if (!s)
			s = read_entry(im, &reader, name, err);
		if (s == QC_BAD_INPUT)
			s = qc_fail_in(err, "legacy imatrix, entry %u of %u", i + 1, n);
	}
	if (!s)
		s = read_trailer(im, &reader, err);
	qc_reader_clear(&reader);
	return s;
}

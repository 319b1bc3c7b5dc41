/* base/file and base/reader: what opens, what is noticed, what a bounded reader refuses. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/test.h"

#include "base/file.h"
#include "base/reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The byte at `i` of the file that the reading tests use. */
static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

#define PATTERN_SIZE 100000

static char dir[] = "/tmp/qconv-base-test-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const void *data, size_t size)
{
	FILE *f = fopen(in_dir(name), "wb");

	NEED(f, "cannot create %s", in_dir(name));
	NEED(fwrite(data, 1, size, f) == size && !fclose(f), "cannot write %s", in_dir(name));
}

static void only_regular_files_open(void)
{
	struct qc_file file = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_file_open(&file, in_dir("absent"), &err);

	CHECK(s == QC_IO && strstr(err.text, "No such file"), "%d '%s'", s, err.text);
	s = qc_file_open(&file, dir, &err);
	CHECK(s == QC_BAD_INPUT && strstr(err.text, "a directory"), "%d '%s'", s, err.text);
	s = qc_file_open(&file, "/dev/null", &err);
	CHECK(s == QC_BAD_INPUT && strstr(err.text, "a device"), "%d '%s'", s, err.text);
	NEED(!mkfifo(in_dir("fifo"), 0600), "no FIFO");
	alarm(20); /* rather than hang */
	s = qc_file_open(&file, in_dir("fifo"), &err);
	alarm(0);
	CHECK(s == QC_BAD_INPUT && strstr(err.text, "a pipe"), "%d '%s'", s, err.text);
	CHECK(!file.is_open && !file.path, "a refused file is open");
	qc_file_close(&file);
}

static void files_open_by_name_in_a_directory(void)
{
	static const char *const bad[] = {"", ".", "..", "../etc/passwd", "a/b", "/etc/passwd"};
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	struct qc_file file = {0};
	struct qc_err err = {0};
	enum qc_status s;

	write_file("target", "12345", 5);
	NEED(!symlink("target", in_dir("link")), "no symbolic link");
	NEED(!qc_file_open_at(&file, dir_fd, "link", "model/link", &err), "%s", err.text);
	CHECK(file.size == 5 && !strcmp(file.path, "model/link"), "%" PRIu64 " '%s'", file.size,
	      file.path);
	CHECK(fcntl(file.fd, F_GETFD) & FD_CLOEXEC, "the descriptor survives exec");
	qc_file_close(&file);
	for (size_t i = 0; i < COUNT(bad); i++) {
		s = qc_file_open_at(&file, dir_fd, bad[i], bad[i], &err);
		CHECK(s == QC_BAD_INPUT, "'%s': %d '%s'", bad[i], s, err.text);
	}
	close(dir_fd);
}

static void reading_past_the_end_says_that_the_file_changed(void)
{
	struct qc_file file = {0};
	struct qc_err err = {0};
	uint8_t bytes[8];
	enum qc_status s;

	write_file("short", "12345", 5);
	NEED(!qc_file_open(&file, in_dir("short"), &err), "%s", err.text);
	CHECK(!qc_file_read(&file, 1, bytes, 4, &err) && !memcmp(bytes, "2345", 4), "'%.4s'",
	      bytes);
	s = qc_file_read(&file, 1, bytes, 5, &err);
	CHECK(s == QC_IO && strstr(err.text, "changed while it was read"), "%d '%s'", s, err.text);
	s = qc_file_read(&file, UINT64_MAX - 2, bytes, 8, &err);
	CHECK(s == QC_IO, "%d '%s'", s, err.text);
	qc_file_close(&file);
}

static void a_file_that_changes_is_noticed(void)
{
	struct timeval old[2] = {{1000000000, 0}, {1000000000, 0}};
	struct qc_file file = {0};
	struct qc_err err = {0};
	enum qc_status s;

	write_file("changing", "12345", 5);
	NEED(!qc_file_open(&file, in_dir("changing"), &err), "%s", err.text);
	CHECK(!qc_file_unchanged(&file, &err), "%s", err.text);
	NEED(!utimes(in_dir("changing"), old), "cannot set times");
	s = qc_file_unchanged(&file, &err);
	CHECK(s == QC_IO && strstr(err.text, "changed"), "%d '%s'", s, err.text);
	qc_file_close(&file);
	NEED(!qc_file_open(&file, in_dir("changing"), &err), "%s", err.text);
	NEED(!truncate(in_dir("changing"), 3), "cannot truncate");
	s = qc_file_unchanged(&file, &err);
	CHECK(s == QC_IO && strstr(err.text, "5 bytes at first, 3 now"), "%d '%s'", s, err.text);
	qc_file_close(&file);
}

static void whole_files_load_up_to_a_size(void)
{
	struct qc_err err = {0};
	size_t size = 0;
	char *data = NULL;
	enum qc_status s;

	write_file("whole", "12345", 5);
	NEED(!qc_file_load(in_dir("whole"), 5, &data, &size, &err), "%s", err.text);
	CHECK(size == 5 && !memcmp(data, "12345", 6), "%zu '%s'", size, data);
	free(data);
	data = NULL;
	s = qc_file_load(in_dir("whole"), 4, &data, &size, &err);
	CHECK(s == QC_BAD_INPUT && strstr(err.text, "5 bytes, at most 4") && !data, "%d '%s'", s,
	      err.text);
	write_file("whole", "", 0);
	NEED(!qc_file_load(in_dir("whole"), 4, &data, &size, &err), "%s", err.text);
	CHECK(size == 0 && !*data, "%zu", size);
	free(data);
}

static void unexpected_files_are_recognised(void)
{
	static const struct {
		const char *head;
		size_t size;
		const char *says;
	} cases[] = {
		{"version https://git-lfs.github.com/spec/v1\n", 43, "Git LFS"},
		{"<!DOCTYPE html><html>", 21, "HTML"},
		{"\r\n <HTML>", 9, "HTML"},
		{"<?xml version='1.0'?><Error>", 28, "XML"},
		{"<Error>", 7, "XML"},
		{"Entry not found", 15, "download"},
		{"PK\3\4\0\0", 6, "zip"},
		{"\x1f\x8b\x08\0", 4, "gzip"},
		{"BZh91AY", 7, "bzip2"},
		{"\xfd\x37\x7a\x58\x5a\0", 6, "xz"},
		{"\x28\xb5\x2f\xfd\0", 5, "zstd"},
		{"\x80\2\x8a\nl", 5, "pickle"},
		{"\x80\4\x95", 3, "pickle"},
		{"GGUF\3\0\0\0", 8, "GGUF"},
		{"lmgg\1\0\0\0", 8, "old GGML"},
		{"tjgg\3\0\0\0", 8, "old GGML"},
		{"fmgg\1\0\0\0", 8, "old GGML"},
		{"algg\1\0\0\0", 8, "LoRA"},
		{"\x10\0\0\0\0\0\0\0{\"a\":", 13, "safetensors"},
		{"  {\"a\": 1}", 10, "JSON"},
		{"[1]", 3, "JSON"},
		{"\xff\xfe{\0", 4, "UTF-16"},
		{"\0\0\0\0\0\0\0\0\0", 9, "zero"},
		{"", 0, "empty"},
		{"\x93NUMPY\1\0", 8, "NumPy"},
		{"\x89HDF\r\n\x1a\n", 8, "HDF5"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff{", 9, NULL}, /* no such header length */
		{"hello", 5, NULL},
		{"<", 1, NULL},
		{"G", 1, NULL},
	};
	char tar[300] = "name";

	for (size_t i = 0; i < COUNT(cases); i++) {
		/* an exact copy: reading behind it shows under a sanitizer */
		char *head = malloc(cases[i].size ? cases[i].size : 1);
		const char *like;

		NEED(head, "no memory");
		memcpy(head, cases[i].head, cases[i].size);
		like = qc_file_looks_like(head, cases[i].size);
		if (cases[i].says)
			CHECK(like && strstr(like, cases[i].says), "%s: '%s'", cases[i].says,
			      like ? like : "");
		else
			CHECK(!like, "case %zu looks like %s", i, like);
		free(head);
	}
	memcpy(tar + 257, "ustar", 5);
	CHECK(strstr(qc_file_looks_like(tar, sizeof(tar)), "tar"), "a tar archive");
}

static void write_pattern(void)
{
	uint8_t *data = malloc(PATTERN_SIZE);

	NEED(data, "no memory");
	for (size_t i = 0; i < PATTERN_SIZE; i++)
		data[i] = pattern(i);
	write_file("pattern", data, PATTERN_SIZE);
	free(data);
}

static void a_reader_reads_integers_in_both_byte_orders(void)
{
	struct qc_file file = {0};
	struct qc_reader reader;
	struct qc_err err = {0};
	uint8_t u8 = 0;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	uint64_t u64 = 0;

	write_file("ints", "\1\1\2\1\2\3\4\1\2\3\4\5\6\7\x88", 15);
	NEED(!qc_file_open(&file, in_dir("ints"), &err), "%s", err.text);
	for (int big = 0; big < 2; big++) {
		qc_reader_init(&reader, &file, 0, file.size);
		reader.big_endian = big;
		NEED(!qc_read_u8(&reader, &u8, "a byte", &err), "%s", err.text);
		NEED(!qc_read_u16(&reader, &u16, "two", &err), "%s", err.text);
		NEED(!qc_read_u32(&reader, &u32, "four", &err), "%s", err.text);
		NEED(!qc_read_u64(&reader, &u64, "eight", &err), "%s", err.text);
		CHECK(u8 == 1, "%d", u8);
		CHECK(u16 == (big ? 0x0102 : 0x0201), "%x", u16);
		CHECK(u32 == (big ? 0x01020304u : 0x04030201u), "%x", u32);
		CHECK(u64 == (big ? 0x0102030405060788u : 0x8807060504030201u), "%" PRIx64, u64);
		CHECK(qc_reader_left(&reader) == 0, "%" PRIu64 " left", qc_reader_left(&reader));
		qc_reader_clear(&reader);
	}
	qc_file_close(&file);
}

static void a_reader_refuses_what_is_not_there_before_reading(void)
{
	struct qc_file file = {0};
	struct qc_reader reader;
	struct qc_err err = {0};
	enum qc_status s;
	uint32_t u32 = 0;
	uint8_t bytes[3];

	write_pattern();
	NEED(!qc_file_open(&file, in_dir("pattern"), &err), "%s", err.text);
	qc_reader_init(&reader, &file, 10, 13);
	s = qc_read_u32(&reader, &u32, "the count", &err);
	CHECK(s == QC_BAD_INPUT &&
		      !strcmp(err.text,
			      "truncated: the count needs 4 bytes at offset 10, 3 are left"),
	      "%d '%s'", s, err.text);
	CHECK(reader.pos == 10 && u32 == 0, "moved to %" PRIu64, reader.pos);
	s = qc_read_bytes(&reader, bytes, UINT64_MAX, "a string", &err);
	CHECK(s == QC_BAD_INPUT && strstr(err.text, "18446744073709551615"), "%d '%s'", s,
	      err.text);
	CHECK(!qc_read_bytes(&reader, bytes, 3, "three", &err) && bytes[2] == pattern(12), "%d",
	      bytes[2]);
	CHECK(!qc_read_bytes(&reader, bytes, 0, "none", &err), "%s", err.text);
	s = qc_read_u8(&reader, bytes, "one more", &err);
	CHECK(s == QC_BAD_INPUT, "%d", s);
	qc_reader_clear(&reader);
	qc_file_close(&file);
}

static void a_reader_reads_the_same_bytes_in_any_piece_size(void)
{
	static const size_t sizes[] = {1, 7, 4096, 65535, 65536, 65537, 99999, 100000};
	uint8_t *bytes = malloc(PATTERN_SIZE);
	struct qc_file file = {0};
	struct qc_err err = {0};

	NEED(bytes, "no memory");
	write_pattern();
	NEED(!qc_file_open(&file, in_dir("pattern"), &err), "%s", err.text);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct qc_reader reader;
		size_t wrong = 0;
		uint8_t odd = 0;

		qc_reader_init(&reader, &file, 0, file.size);
		/* a byte first, so that pieces begin inside the window and end outside */
		NEED(!qc_read_u8(&reader, &odd, "a byte", &err), "%s", err.text);
		while (qc_reader_left(&reader)) {
			uint64_t at = reader.pos, left = qc_reader_left(&reader);
			size_t n = left < sizes[i] ? (size_t)left : sizes[i];

			NEED(!qc_read_bytes(&reader, bytes, n, "a piece", &err), "%s", err.text);
			for (size_t k = 0; k < n; k++)
				wrong += bytes[k] != pattern(at + k);
		}
		CHECK(!wrong && odd == pattern(0), "%zu wrong bytes in pieces of %zu", wrong,
		      sizes[i]);
		reader.pos = 50000; /* callers may move it */
		NEED(!qc_read_u8(&reader, &odd, "a byte", &err), "%s", err.text);
		CHECK(odd == pattern(50000), "%d after a jump", odd);
		qc_reader_clear(&reader);
	}
	qc_file_close(&file);
	free(bytes);
}

static void remove_files(void)
{
	static const char *const names[] = {"fifo",  "target",	 "link", "short",
					    "whole", "changing", "ints", "pattern"};

	for (size_t i = 0; i < COUNT(names); i++)
		CHECK(!unlink(in_dir(names[i])), "cannot remove %s", names[i]);
	CHECK(!rmdir(dir), "files are left in %s", dir);
}

int main(void)
{
	NEED(mkdtemp(dir), "cannot make %s", dir);
	only_regular_files_open();
	files_open_by_name_in_a_directory();
	reading_past_the_end_says_that_the_file_changed();
	a_file_that_changes_is_noticed();
	whole_files_load_up_to_a_size();
	unexpected_files_are_recognised();
	a_reader_reads_integers_in_both_byte_orders();
	a_reader_refuses_what_is_not_there_before_reading();
	a_reader_reads_the_same_bytes_in_any_piece_size();
	remove_files();
	return test_end();
}

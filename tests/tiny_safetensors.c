/* Writes a tiny checkpoint without a configuration, for command-line cases: tiny_safetensors PATH
 * COLS [nan|bool] */
#include <inttypes.h>

#include "base/bytes.h"
#include "tests/test.h"

enum { ROWS = 4, MAX_COLS = 4096 };

int main(int argc, char **argv)
{
	uint64_t cols = argc >= 3 ? strtoull(argv[2], NULL, 10) : 0;
	bool nan = argc == 4 && !strcmp(argv[3], "nan"),
	     flag = argc == 4 && !strcmp(argv[3], "bool");
	static uint8_t data[4 * (ROWS + 1) * MAX_COLS + ROWS];
	uint64_t matrix = 4 * ROWS * cols, vector = 4 * cols, size;
	char header[512];
	uint8_t length[8];
	FILE *f;

	NEED(cols > 0 && cols <= MAX_COLS, "usage: tiny_safetensors PATH COLS [nan|bool]");
	for (uint64_t i = 0; i < (ROWS + 1) * cols; i++)
		qc_put_le32(data + 4 * i, qc_f32_bits((float)((i * 7919 + 13) % 1001) / 500 - 1));
	if (nan)
		qc_put_le32(data + 4 * (2 * cols + 5), 0x7fc00000);
	size = matrix + vector + (flag ? ROWS : 0);
	snprintf(header, sizeof(header),
		 "{\"layer.weight\":{\"dtype\":\"F32\",\"shape\":[%d,%" PRIu64
		 "],\"data_offsets\":[0,%" PRIu64 "]},"
		 "\"layer.bias\":{\"dtype\":\"F32\",\"shape\":[%" PRIu64
		 "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
		 ROWS, cols, matrix, cols, matrix, matrix + vector);
	if (flag)
		snprintf(header + strlen(header), sizeof(header) - strlen(header),
			 ",\"mask\":{\"dtype\":\"BOOL\",\"shape\":[%d],\"data_offsets\":[%" PRIu64
			 ",%" PRIu64 "]}",
			 ROWS, matrix + vector, size);
	strcat(header, "}");
	qc_put_le64(length, strlen(header));
	f = fopen(argv[1], "wb");
	NEED(f && fwrite(length, 1, 8, f) == 8 && fputs(header, f) >= 0 &&
		     fwrite(data, 1, size, f) == size && !fclose(f),
	     "cannot write %s", argv[1]);
	return 0;
}

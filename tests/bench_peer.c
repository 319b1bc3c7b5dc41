/* The peer that bench measures: bench_peer LIBDIR IN.gguf OUT.gguf FTYPE THREADS, what
 * llama-quantize does. */
#include "tests/llama_client.h"
#include "tests/test.h"

int main(int argc, char **argv)
{
	static struct llama_client client;
	char why[512];

	NEED(argc == 6, "usage: bench_peer LIBDIR IN OUT FTYPE THREADS");
	NEED(llama_client_open(&client, argv[1], why, sizeof(why)), "%s", why);
	NEED(llama_client_quantize(&client, argv[2], argv[3], atoi(argv[4]), false, atoi(argv[5])),
	     "%s", client.log);
	return 0;
}

/* The next hop as a process of its own. Prints its port, then serves until it is ended. */
#include "hop.h"

int main(void)
{
    static struct hop hop;
    printf("%d\n", hop_open(&hop, 0));
    fflush(stdout);
    for (;;)
        hop_turn(&hop, -1);
}
